//! Air: temperature, moisture, and sensors that do not agree.

use super::{Advice, Class, Owner, Priority, Text, days, hours, minutes};

const CLASS: Class = Class::Environment;

pub(in crate::catalog) const TEMPERATURE_HIGH: Advice = Advice {
    word: "temperature_high",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new("温度の上限超過", "Temperature above the limit"),
    cause: Text::new(
        "空調の停止や能力不足、吹き出し口や吸気口のふさがり、機器の増設が考えられます。",
        "An air conditioner stopped or is too weak, an outlet or inlet is blocked, or equipment was added.",
    ),
    consequence: Text::new(
        "上がり続けると機器が自動で止まり、蓄電池とディスクの寿命が縮みます。",
        "If it goes on rising, machines switch themselves off, and batteries and discs age faster.",
    ),
    action: Text::new(
        "空調の運転表示と設定温度を確認してください。止まっていれば再運転し、動かなければ空調の保守業者へ連絡してください。",
        "Look at the air conditioner's display and set point. If it is off, start it; if it does not start, call its contractor.",
    ),
    respond_within: minutes(30),
    owner: Owner::Facilities,
};

pub(in crate::catalog) const TEMPERATURE_HIGH_HIGH: Advice = Advice {
    word: "temperature_high_high",
    class: CLASS,
    priority: Priority::Critical,
    latching: false,
    what: Text::new("温度が危険な高さ", "Temperature dangerously high"),
    cause: Text::new(
        "空調が止まっているか、冷気が機器に届いていません。",
        "The air conditioning has stopped, or its air does not reach the machines.",
    ),
    consequence: Text::new(
        "まもなく機器が保護のため突然止まり、データが壊れるおそれがあります。",
        "Machines will soon switch off without warning to protect themselves, and data may be damaged.",
    ),
    action: Text::new(
        "空調を確認し、予備の空調や送風機で冷やしてください。下がらなければ情報システム管理者に、急がない機器の停止を求めてください。",
        "Check the air conditioning and cool with spare units or fans. If it does not fall, ask the system administrator to stop what is least needed.",
    ),
    respond_within: minutes(10),
    owner: Owner::Facilities,
};

pub(in crate::catalog) const TEMPERATURE_LOW: Advice = Advice {
    word: "temperature_low",
    class: CLASS,
    priority: Priority::Advisory,
    latching: false,
    what: Text::new("温度の下限未満", "Temperature below the limit"),
    cause: Text::new(
        "空調の設定が低すぎるか、外気が入っています。",
        "The air conditioner is set too low, or outside air comes in.",
    ),
    consequence: Text::new(
        "結露しやすくなり、電気代もむだになります。",
        "Moisture condenses more easily, and electricity is wasted.",
    ),
    action: Text::new(
        "空調の設定温度と、窓や扉のすき間を確認してください。",
        "Check the set point of the air conditioner, and windows and doors for gaps.",
    ),
    respond_within: hours(4),
    owner: Owner::Facilities,
};

pub(in crate::catalog) const TEMPERATURE_RATE: Advice = Advice {
    word: "temperature_rate",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new("温度の変化が速すぎる", "Temperature changes too fast"),
    cause: Text::new(
        "空調の入り切り、扉の開けたまま、または急な負荷の変化が考えられます。",
        "The air conditioner goes on and off, a door stands open, or the load changed at once.",
    ),
    consequence: Text::new(
        "磁気テープと機器が傷み、結露するおそれがあります。上がっている場合は空調停止の前ぶれです。",
        "Tapes and machines suffer and moisture may condense. If it rises, the air conditioning may be failing.",
    ),
    action: Text::new(
        "空調が動いているか、扉が閉まっているかを確認してください。",
        "Check that the air conditioning runs and that the doors are closed.",
    ),
    respond_within: minutes(30),
    owner: Owner::Facilities,
};

pub(in crate::catalog) const TEMPERATURE_RUNAWAY: Advice = Advice {
    word: "temperature_runaway",
    class: CLASS,
    priority: Priority::Critical,
    latching: false,
    what: Text::new(
        "温度が急上昇（まもなく上限）",
        "Temperature runs away: the limit is minutes off",
    ),
    cause: Text::new(
        "空調がすべて止まった可能性が高いです。",
        "All of the air conditioning has probably stopped.",
    ),
    consequence: Text::new(
        "このままでは 15 分以内に上限を超え、機器が次々に止まります。",
        "At this pace the limit is passed within 15 minutes and machines stop one after another.",
    ),
    action: Text::new(
        "すぐに空調を確認してください。動かなければ扉を開けて送風し、情報システム管理者に停止の判断を求めてください。",
        "Check the air conditioning now. If it does not start, open the doors, use fans, and ask the system administrator to decide about stopping.",
    ),
    respond_within: minutes(5),
    owner: Owner::Facilities,
};

pub(in crate::catalog) const DEW_POINT_HIGH: Advice = Advice {
    word: "dew_point_high",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new(
        "露点が高い（湿りすぎ）",
        "Dew point too high: the air is too moist",
    ),
    cause: Text::new(
        "除湿の不足、外気の流入、または漏水が考えられます。",
        "The air is not dried enough, outside air comes in, or water leaks.",
    ),
    consequence: Text::new(
        "冷えた面に結露し、腐食やショートの原因になります。",
        "Water condenses on cold surfaces, which corrodes and shorts circuits.",
    ),
    action: Text::new(
        "空調の除湿運転、扉と窓、床下の水を確認してください。",
        "Check that the air conditioner dries the air, the doors and windows, and look for water under the floor.",
    ),
    respond_within: hours(1),
    owner: Owner::Facilities,
};

pub(in crate::catalog) const DEW_POINT_LOW: Advice = Advice {
    word: "dew_point_low",
    class: CLASS,
    priority: Priority::Advisory,
    latching: false,
    what: Text::new("露点が低い（乾きすぎ）", "Dew point too low: the air is too dry"),
    cause: Text::new(
        "冬の乾いた外気、または加湿器の停止が考えられます。",
        "Dry winter air comes in, or a humidifier has stopped.",
    ),
    consequence: Text::new(
        "静電気が起きやすくなり、部品に触れる作業で機器を壊すおそれがあります。",
        "Static charge builds up, and touching parts may destroy them.",
    ),
    action: Text::new(
        "加湿器と給水を確認してください。戻るまで機器の内部に触れる作業は控え、静電気対策をしてください。",
        "Check the humidifier and its water. Until it is back, do not work inside machines without protection against static charge.",
    ),
    respond_within: hours(4),
    owner: Owner::Facilities,
};

pub(in crate::catalog) const HUMIDITY_HIGH: Advice = Advice {
    word: "humidity_high",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new("湿度の上限超過", "Humidity above the limit"),
    cause: Text::new(
        "除湿の不足、外気の流入、または漏水が考えられます。",
        "The air is not dried enough, outside air comes in, or water leaks.",
    ),
    consequence: Text::new(
        "結露と腐食の原因になります。",
        "Water may condense, and metal corrodes.",
    ),
    action: Text::new(
        "空調の除湿運転と、扉と窓を確認してください。",
        "Check that the air conditioner dries the air, and the doors and windows.",
    ),
    respond_within: hours(1),
    owner: Owner::Facilities,
};

pub(in crate::catalog) const HUMIDITY_LOW: Advice = Advice {
    word: "humidity_low",
    class: CLASS,
    priority: Priority::Advisory,
    latching: false,
    what: Text::new(
        "湿度の下限未満（静電気に注意）",
        "Humidity below the limit: static charge",
    ),
    cause: Text::new(
        "冬の乾いた外気、または加湿器の停止が考えられます。",
        "Dry winter air comes in, or a humidifier has stopped.",
    ),
    consequence: Text::new(
        "静電気で機器が誤動作したり壊れたりするおそれがあります。",
        "Static charge may disturb or destroy machines.",
    ),
    action: Text::new(
        "加湿器と給水を確認し、作業者はリストストラップを着けてください。",
        "Check the humidifier and its water; whoever works there wears a wrist strap.",
    ),
    respond_within: hours(4),
    owner: Owner::Facilities,
};

pub(in crate::catalog) const CONDENSATION: Advice = Advice {
    word: "condensation",
    class: CLASS,
    priority: Priority::Critical,
    latching: false,
    what: Text::new("結露のおそれ", "Water is about to condense"),
    cause: Text::new(
        "表面の温度が露点に近づいています。冷やしすぎか、湿った空気の流入です。",
        "A surface is nearly as cold as the dew point: it is cooled too much, or moist air comes in.",
    ),
    consequence: Text::new(
        "機器や配線に水滴が付き、ショートするおそれがあります。",
        "Drops form on machines and wiring and may short them.",
    ),
    action: Text::new(
        "扉と窓を閉め、空調の設定温度を上げて除湿してください。濡れた機器の電源は入れないでください。",
        "Close doors and windows, raise the set point and dry the air. Do not switch on anything that is wet.",
    ),
    respond_within: minutes(15),
    owner: Owner::Facilities,
};

pub(in crate::catalog) const SENSOR_DISAGREEMENT: Advice = Advice {
    word: "sensor_disagreement",
    class: CLASS,
    priority: Priority::Advisory,
    latching: false,
    what: Text::new("センサー同士の値が合わない", "Two sensors do not agree"),
    cause: Text::new(
        "片方のセンサーの故障、位置のずれ、または局所的な熱だまりが考えられます。",
        "One sensor is faulty or has moved, or heat collects at one of the two places.",
    ),
    consequence: Text::new(
        "どちらが正しいか分かるまで、この場所の温度や湿度を信頼できません。",
        "Until it is known which one is right, the values of this place cannot be relied on.",
    ),
    action: Text::new(
        "携帯の温湿度計で両方の場所を測り、ずれている方を直すか交換してください。",
        "Measure both places with a hand-held meter, and mend or replace the one that is wrong.",
    ),
    respond_within: days(1),
    owner: Owner::Facilities,
};

pub(in crate::catalog) const LIMIT_HIGH: Advice = Advice {
    word: "limit_high",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new("上限超過", "Above the limit"),
    cause: Text::new(
        "この場所の値が、決められた上限を超え続けています。",
        "The value of this place stays above the limit that was set for it.",
    ),
    consequence: Text::new(
        "放置すると、この値が守っている機器や設備に支障が出ます。",
        "What this value protects will suffer if nothing is done.",
    ),
    action: Text::new(
        "現地と推移を確認し、手順書に従って対応してください。",
        "Look at the place and at the trend, and follow the procedure.",
    ),
    respond_within: hours(1),
    owner: Owner::Facilities,
};

pub(in crate::catalog) const LIMIT_LOW: Advice = Advice {
    word: "limit_low",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new("下限未満", "Below the limit"),
    cause: Text::new(
        "この場所の値が、決められた下限を下回り続けています。",
        "The value of this place stays below the limit that was set for it.",
    ),
    consequence: Text::new(
        "放置すると、この値が守っている機器や設備に支障が出ます。",
        "What this value protects will suffer if nothing is done.",
    ),
    action: Text::new(
        "現地と推移を確認し、手順書に従って対応してください。",
        "Look at the place and at the trend, and follow the procedure.",
    ),
    respond_within: hours(1),
    owner: Owner::Facilities,
};

pub(in crate::catalog) const NO_DATA: Advice = Advice {
    word: "no_data",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new("欠測（値が得られない）", "No data"),
    cause: Text::new(
        "センサーの故障、配線の抜け、または機器が値を返さなくなったことが考えられます。",
        "The sensor is faulty, its wiring came off, or the device no longer tells the value.",
    ),
    consequence: Text::new(
        "値が戻るまで、この場所は監視されていません。",
        "Until the value is back, nobody watches this place.",
    ),
    action: Text::new(
        "センサーと配線を確認してください。戻るまで、この場所をときどき見回ってください。",
        "Check the sensor and its wiring. Until the value is back, look after the place yourself from time to time.",
    ),
    respond_within: hours(4),
    owner: Owner::Facilities,
};

pub(in crate::catalog) const SHAKEN: Advice = Advice {
    word: "shaken",
    class: CLASS,
    priority: Priority::Warning,
    latching: true,
    what: Text::new("強い揺れを検知", "The room was shaken"),
    cause: Text::new(
        "地震、または機器への強い衝撃です。",
        "An earthquake, or a heavy blow to the equipment.",
    ),
    consequence: Text::new(
        "ラックの傾きや配線の抜けに気づかないと、余震や後の作業で停止や事故につながります。",
        "A leaning rack or a loose plug that nobody sees leads to a stop or an accident later, or at the next shock.",
    ),
    action: Text::new(
        "安全を確かめてから、ラックの固定と傾き、配線の抜け、空調の水漏れ、UPS の表示を点検してください。",
        "When it is safe, check that the racks stand fixed and upright, plugs, water of the air conditioner, and the UPSs.",
    ),
    respond_within: hours(1),
    owner: Owner::Facilities,
};
