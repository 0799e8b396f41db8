//! Parts that fail while everything still works, uplinks and groups.

use super::{Advice, Class, Owner, Priority, Text, days, hours, minutes};

const CLASS: Class = Class::Device;

pub(in crate::catalog) const REDUNDANCY_LOST: Advice = Advice {
    word: "redundancy_lost",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new(
        "冗長性の喪失（サービスは継続）",
        "Redundancy is lost; the service goes on",
    ),
    cause: Text::new("二重化の片方が止まっています。", "One half of the pair is down."),
    consequence: Text::new(
        "次の故障でサービスが止まります。",
        "The next failure stops the service.",
    ),
    action: Text::new(
        "停止している側を復旧してください。",
        "Bring the other member back.",
    ),
    respond_within: hours(4),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const GROUP_SERVICE: Advice = Advice {
    word: "group_service",
    class: CLASS,
    priority: Priority::Critical,
    latching: false,
    what: Text::new("冗長構成のサービスが停止", "The service of a group is lost"),
    cause: Text::new("どの機器も役目を果たしていません。", "No member does its work."),
    consequence: Text::new("業務システムが使えません。", "The service is not there."),
    action: Text::new(
        "電源と網を確認し、復旧手順に従って起動してください。",
        "Check power and network, and start them by the recovery procedure.",
    ),
    respond_within: minutes(10),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const GROUP_BOTH: Advice = Advice {
    word: "group_both",
    class: CLASS,
    priority: Priority::Critical,
    latching: false,
    what: Text::new("両系が同時に稼働", "Both halves of a pair serve"),
    cause: Text::new(
        "系統間の接続が切れ、両方が自分を稼働系だと判断しました。",
        "The link between them broke, and both believe that they must serve.",
    ),
    consequence: Text::new(
        "データが食い違い、復旧が難しくなります。",
        "Their data drifts apart and is hard to bring together again.",
    ),
    action: Text::new(
        "勝手に片方を止めず、系統間の接続を確認して保守業者へ連絡してください。",
        "Do not stop one of them on your own; check the link between them and call the contractor.",
    ),
    respond_within: minutes(10),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const GROUP_REDUCED: Advice = Advice {
    word: "group_reduced",
    class: CLASS,
    priority: Priority::Advisory,
    latching: false,
    what: Text::new(
        "構成機器の一部が停止（冗長性あり）",
        "A member is down; still redundant",
    ),
    cause: Text::new("構成機器の一台が止まっています。", "One of the members is down."),
    consequence: Text::new(
        "まだ余裕はありますが、続けて故障すると冗長性を失います。",
        "There is still a reserve, but another failure takes it.",
    ),
    action: Text::new("停止している機器を復旧してください。", "Bring the member back."),
    respond_within: days(1),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const POWER_SUPPLY: Advice = Advice {
    word: "power_supply",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new(
        "電源装置の異常または片系の給電断",
        "A power supply has failed or lost its feed",
    ),
    cause: Text::new(
        "電源ケーブルの抜け、遮断器の断、または電源装置の故障です。",
        "A cord came off, a breaker is out, or the supply is faulty.",
    ),
    consequence: Text::new(
        "もう一方の電源が止まると、機器が突然止まります。",
        "If the other supply fails too, the machine stops at once.",
    ),
    action: Text::new(
        "電源ケーブル・PDU・遮断器を確認し、給電があれば電源装置を交換してください。",
        "Check the cord, the PDU and the breaker; if there is a feed, replace the supply.",
    ),
    respond_within: hours(4),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const DISC_ARRAY: Advice = Advice {
    word: "disc_array",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new(
        "ディスクアレイの冗長性なし",
        "A disc array works without redundancy",
    ),
    cause: Text::new(
        "ディスクが故障し、予備だけで動いています。",
        "A disc failed and nothing is left in reserve.",
    ),
    consequence: Text::new(
        "次の 1 台の故障でデータを失います。",
        "The next failed disc loses data.",
    ),
    action: Text::new(
        "故障したディスクを交換し、再構築が終わるまで確認してください。",
        "Replace the failed one and watch until the array is rebuilt.",
    ),
    respond_within: hours(4),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const DISC_ARRAY_LOST: Advice = Advice {
    word: "disc_array_lost",
    class: CLASS,
    priority: Priority::Critical,
    latching: false,
    what: Text::new("ディスクアレイが停止", "A disc array has failed"),
    cause: Text::new(
        "複数のディスク、または制御装置の故障です。",
        "Several discs or the controller have failed.",
    ),
    consequence: Text::new(
        "データを読み書きできません。操作を誤ると復旧できなくなります。",
        "Data cannot be read or written, and a wrong move makes it unrecoverable.",
    ),
    action: Text::new(
        "電源を切らず、ディスクを抜かずに保守業者へ連絡し、バックアップを確認してください。",
        "Do not switch it off and pull no disc. Call the maintenance contractor and check the backup.",
    ),
    respond_within: minutes(10),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const CACHE_BATTERY: Advice = Advice {
    word: "cache_battery",
    class: CLASS,
    priority: Priority::Advisory,
    latching: false,
    what: Text::new(
        "書き込みキャッシュの電池の異常",
        "The battery of a write cache is bad",
    ),
    cause: Text::new("電池の寿命、または過熱です。", "It is worn out or too hot."),
    consequence: Text::new(
        "書き込みが遅くなり、停電で失われるおそれがあります。",
        "Writing is slow, or can be lost with the power.",
    ),
    action: Text::new("電池の交換を依頼してください。", "Have the battery replaced."),
    respond_within: days(3),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const DISC_FAILED: Advice = Advice {
    word: "disc_failed",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new("ディスクの故障または故障予告", "A disc has failed or will"),
    cause: Text::new("ディスクの寿命または故障です。", "The disc is worn or broken."),
    consequence: Text::new(
        "冗長性が下がり、続けて故障するとデータを失います。",
        "There is less redundancy, and another failure loses data.",
    ),
    action: Text::new(
        "位置を確かめて交換を依頼してください。隣のディスクを抜かないでください。",
        "Make sure of its slot and have it replaced. Do not pull its neighbour.",
    ),
    respond_within: days(1),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const FAN_FAILED: Advice = Advice {
    word: "fan_failed",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new("ファンの故障", "A fan has failed"),
    cause: Text::new(
        "ファンの寿命、または異物やほこりです。",
        "The fan is worn, or something blocks it.",
    ),
    consequence: Text::new(
        "機器が過熱し、自動で止まるおそれがあります。",
        "The machine overheats and may switch itself off.",
    ),
    action: Text::new(
        "吸気口を塞いでいないか見て、ファンの交換を依頼してください。温度の上昇に注意してください。",
        "Look whether the air inlet is free, and have the fan replaced. Watch the temperature.",
    ),
    respond_within: hours(4),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const MEMORY_FAILED: Advice = Advice {
    word: "memory_failed",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new("メモリの故障または故障予告", "A memory module has failed or will"),
    cause: Text::new(
        "メモリの誤りが増えています。",
        "The module makes more and more errors.",
    ),
    consequence: Text::new(
        "ある日突然サーバーが止まります。",
        "One day the server stops without warning.",
    ),
    action: Text::new(
        "次の停止の機会にメモリを交換してください。",
        "Replace the module at the next planned stop.",
    ),
    respond_within: days(3),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const DEVICE_REDUNDANCY: Advice = Advice {
    word: "device_redundancy",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new(
        "機器の冗長性が失われた",
        "The device says that its redundancy is lost",
    ),
    cause: Text::new(
        "電源・ファン・スタックの接続のどれかが欠けています。",
        "A supply, a fan or a cable of the stack is missing.",
    ),
    consequence: Text::new("次の故障で機器が止まります。", "The next failure stops it."),
    action: Text::new(
        "欠けているものを確認して直してください。",
        "Find and mend what is missing.",
    ),
    respond_within: hours(4),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const PART_BAD: Advice = Advice {
    word: "part_bad",
    class: CLASS,
    priority: Priority::Advisory,
    latching: false,
    what: Text::new("部品の異常", "A part is bad"),
    cause: Text::new(
        "機器が自分の部品の異常を伝えています。",
        "The device reports a fault of one of its parts.",
    ),
    consequence: Text::new(
        "内容によっては、機器の停止につながります。",
        "Depending on what it is, the device may stop.",
    ),
    action: Text::new(
        "機器の管理画面で内容を確認してください。",
        "See the device's own management page.",
    ),
    respond_within: days(1),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const UPLINK_DOWN: Advice = Advice {
    word: "uplink_down",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new("上位への回線が切れた", "An uplink is down"),
    cause: Text::new(
        "ケーブルやモジュールの抜け、または相手のスイッチの停止です。",
        "A plug or module came off, or the other switch is down.",
    ),
    consequence: Text::new(
        "残りの回線で通信しています。それも切れると、この先はすべて通信できません。",
        "Traffic takes what is left; if that breaks too, nothing behind it can be reached.",
    ),
    action: Text::new(
        "両端の挿し込みとモジュール、相手のスイッチを確認してください。",
        "Check the plugs and modules at both ends, and the other switch.",
    ),
    respond_within: hours(1),
    owner: Owner::SystemAdministrator,
};
