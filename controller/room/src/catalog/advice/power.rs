//! Power: what the UPSs say, and what becomes of the servers.

use super::{Advice, Class, Owner, Priority, Text, days, hours, minutes};

const CLASS: Class = Class::Power;

pub(in crate::catalog) const ON_BATTERY: Advice = Advice {
    word: "on_battery",
    class: CLASS,
    priority: Priority::Critical,
    latching: false,
    what: Text::new("バッテリー運転", "On battery"),
    cause: Text::new(
        "商用電源が止まったか、UPS の入力が外れました。",
        "Mains has failed, or the UPS has lost its input.",
    ),
    consequence: Text::new(
        "電池が尽きる前に、サーバーは計画に従って順に停止されます。",
        "Before the battery ends, the servers are stopped in order by the plan.",
    ),
    action: Text::new(
        "停電の範囲と復電の見込みを確認してください。UPS だけなら入力の遮断器を確認してください。",
        "Find out how far the outage reaches and how long it will last. If it is this UPS alone, check the breaker of its input.",
    ),
    respond_within: minutes(2),
    owner: Owner::Facilities,
};

pub(in crate::catalog) const POWER_SUSPECTED: Advice = Advice {
    word: "power_suspected",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new(
        "停電の疑い（兆候が一つだけ）",
        "Power failure suspected (one sign only)",
    ),
    cause: Text::new(
        "UPS の値の一つだけが停電を示しています。瞬間的な電圧低下か、UPS の誤報かもしれません。",
        "One value of the UPS alone says so: a short dip of the mains, or an error of the UPS.",
    ),
    consequence: Text::new(
        "本当に停電であれば、次の兆候が出るまで停止計画は始まりません。",
        "If it is real, the plan does not begin until a second sign appears.",
    ),
    action: Text::new(
        "UPS の表示を見て、商用電源で動いているか確認してください。",
        "Look at the UPS itself: does it run on mains?",
    ),
    respond_within: minutes(5),
    owner: Owner::Facilities,
};

pub(in crate::catalog) const NOT_SUPPLYING: Advice = Advice {
    word: "not_supplying",
    class: CLASS,
    priority: Priority::Critical,
    latching: false,
    what: Text::new(
        "UPS が給電していない（バイパスまたは出力停止）",
        "The UPS does not supply (bypass or off)",
    ),
    cause: Text::new(
        "UPS がバイパスに切り替わったか、出力が止められました。",
        "The UPS has gone to bypass, or its output was switched off.",
    ),
    consequence: Text::new(
        "停電すると、つながった機器はすぐに止まります。",
        "At a power failure everything on it stops at once.",
    ),
    action: Text::new(
        "UPS の表示を確認し、作業中でなければ通常運転に戻してください。戻らなければ UPS の保守業者へ連絡してください。",
        "Look at the UPS; if nobody works on it, bring it back to normal operation. If that fails, call its contractor.",
    ),
    respond_within: minutes(15),
    owner: Owner::Facilities,
};

pub(in crate::catalog) const UPS_CONTACT: Advice = Advice {
    word: "ups_contact",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new("UPS と通信できない", "No contact with the UPS"),
    cause: Text::new(
        "網の断、管理カードの停止、または設定の違いが考えられます。",
        "The network is down, the management card hangs, or its settings have changed.",
    ),
    consequence: Text::new(
        "停電してもこの UPS の残り時間が分からず、計算値に頼ることになります。",
        "At an outage its remaining time is not known and must be calculated.",
    ),
    action: Text::new(
        "UPS の表示が正常か見てから、管理カードの網と設定を確認してください。",
        "See that the UPS itself is well, then check the network and the management card.",
    ),
    respond_within: hours(1),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const BATTERY_LOW: Advice = Advice {
    word: "battery_low",
    class: CLASS,
    priority: Priority::Critical,
    latching: false,
    what: Text::new("蓄電池の残量低下", "Battery low"),
    cause: Text::new(
        "停電が続いて蓄電池が減ったか、充電されていません。",
        "The outage has lasted, or the battery is not charged.",
    ),
    consequence: Text::new(
        "残りはわずかです。停止が間に合わない機器は突然止まります。",
        "Little is left; what is not stopped in time goes down without warning.",
    ),
    action: Text::new(
        "停電中なら停止の進行を見守り、残った機器を手で止めてください。停電でなければ UPS の充電を確認してください。",
        "During an outage watch the plan and stop by hand what is left. Without an outage, check that the UPS charges.",
    ),
    respond_within: minutes(2),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const BATTERY_WEAR: Advice = Advice {
    word: "battery_wear",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new("蓄電池の交換が必要", "The battery must be replaced"),
    cause: Text::new(
        "寿命に達したか、自己診断で不合格になりました。暑い部屋では早く傷みます。",
        "It has reached its age or failed its test. It wears faster in a warm room.",
    ),
    consequence: Text::new(
        "停電のとき、停止が終わる前に電池が尽きるおそれがあります。",
        "At an outage the battery may end before the servers are stopped.",
    ),
    action: Text::new(
        "UPS の保守業者に交換を依頼し、予算を手配してください。",
        "Order the replacement from the contractor and arrange the budget.",
    ),
    respond_within: days(14),
    owner: Owner::Facilities,
};

pub(in crate::catalog) const UPS_OVERLOAD: Advice = Advice {
    word: "ups_overload",
    class: CLASS,
    priority: Priority::Critical,
    latching: false,
    what: Text::new("UPS の過負荷", "The UPS is overloaded"),
    cause: Text::new(
        "つながる機器が増えたか、片方の UPS に負荷が寄りました。",
        "Equipment was added, or load moved over from another UPS.",
    ),
    consequence: Text::new(
        "停電の瞬間に出力が落ち、つながった機器がすべて止まるおそれがあります。",
        "When the power fails it may drop its output, and everything on it stops.",
    ),
    action: Text::new(
        "急がない機器を外すか、別の UPS に移してください。掃除機などの持ち込みも確認してください。",
        "Unplug what is least needed or move it to another UPS. Look for a vacuum cleaner or the like on its outlets.",
    ),
    respond_within: minutes(15),
    owner: Owner::Facilities,
};

pub(in crate::catalog) const UPS_ECONOMY: Advice = Advice {
    word: "ups_economy",
    class: CLASS,
    priority: Priority::Advisory,
    latching: false,
    what: Text::new(
        "エコ運転中（負荷は商用電源に直結）",
        "Economy mode: the load hangs on raw mains",
    ),
    cause: Text::new(
        "UPS がエコ運転に設定されています。",
        "The UPS is set to economy mode.",
    ),
    consequence: Text::new(
        "電圧の乱れがそのまま機器に届き、切り替えの瞬間に止まる機器もあります。",
        "Disturbances of the mains reach the load, and some machines stop when it switches over.",
    ),
    action: Text::new(
        "意図した設定か確認し、そうでなければ通常運転に戻してください。",
        "Check that it is meant to be so; otherwise set it back to normal operation.",
    ),
    respond_within: days(1),
    owner: Owner::Facilities,
};

pub(in crate::catalog) const UPS_STALE: Advice = Advice {
    word: "ups_stale",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new(
        "中継サーバーが UPS の新しい値を持たない",
        "The server in between has no fresh values of the UPS",
    ),
    cause: Text::new(
        "UPS と中継サーバーの間のケーブルか、ドライバーが止まっています。",
        "The cable between UPS and server has come off, or the driver there has stopped.",
    ),
    consequence: Text::new(
        "停電してもこの UPS からは分かりません。",
        "An outage would not be seen at this UPS.",
    ),
    action: Text::new(
        "UPS のケーブルと、中継サーバーのドライバーを確認してください。",
        "Check the UPS's cable and the driver on that server.",
    ),
    respond_within: hours(1),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const LOST_ON_BATTERY: Advice = Advice {
    word: "lost_on_battery",
    class: CLASS,
    priority: Priority::Critical,
    latching: false,
    what: Text::new(
        "バッテリー運転のまま通信が途絶えた",
        "Contact was lost while on battery",
    ),
    cause: Text::new(
        "停電で網の機器が止まったか、UPS の出力が尽きました。",
        "The outage took the network with it, or the UPS has run empty.",
    ),
    consequence: Text::new(
        "残り時間は計算値です。停止計画はその値で進みます。",
        "What is left is calculated, and the plan goes on by that.",
    ),
    action: Text::new(
        "UPS の表示を直接見て、残り時間を確かめてください。",
        "Look at the UPS itself for the time that is left.",
    ),
    respond_within: minutes(2),
    owner: Owner::Facilities,
};

pub(in crate::catalog) const ONE_SIGN: Advice = Advice {
    word: "one_sign",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new(
        "停電を判定できない UPS",
        "This UPS cannot be judged: it gives only one sign",
    ),
    cause: Text::new(
        "UPS または機種定義が、停電の判定に必要な二つの値を返していません。",
        "The UPS, or its profile, does not give the two values that a verdict needs.",
    ),
    consequence: Text::new(
        "停電してもこの UPS からは停止計画が始まりません。",
        "An outage at this UPS would not start the plan.",
    ),
    action: Text::new(
        "機種定義と UPS の設定を確認し、足りない値を取得できるようにしてください。",
        "Check the profile and what the UPS reports, so that the missing value is had.",
    ),
    respond_within: days(3),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const TEST_STUCK: Advice = Advice {
    word: "test_stuck",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new(
        "UPS の自己診断が終わらない",
        "A test or calibration of the UPS does not end",
    ),
    cause: Text::new(
        "自己診断または校正が止まらずに続いています。",
        "A test or calibration goes on and on.",
    ),
    consequence: Text::new(
        "蓄電池が減り続け、その間の停電を見落とすおそれがあります。",
        "The battery drains, and an outage meanwhile may be missed.",
    ),
    action: Text::new(
        "UPS の操作部で自己診断を止めてください。",
        "Stop the test at the UPS.",
    ),
    respond_within: minutes(30),
    owner: Owner::Facilities,
};

pub(in crate::catalog) const MARGIN_LOW: Advice = Advice {
    word: "margin_low",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new(
        "停止計画が電池の時間に収まらない",
        "The plan does not fit into the battery's time",
    ),
    cause: Text::new(
        "負荷の増加、蓄電池の劣化、または停止にかかる時間の伸びです。",
        "The load has grown, the battery has aged, or stopping takes longer than before.",
    ),
    consequence: Text::new(
        "いま停電すると、停止が終わる前に電池が尽きます。",
        "If the power failed now, the battery would end before the servers are stopped.",
    ),
    action: Text::new(
        "負荷を減らすか、停止計画の時間を見直すか、蓄電池を増やしてください。",
        "Reduce the load, shorten the plan, or add battery.",
    ),
    respond_within: days(1),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const PLAN_STARTED: Advice = Advice {
    word: "plan_started",
    class: CLASS,
    priority: Priority::Critical,
    latching: false,
    what: Text::new("サーバーを順に停止中", "The servers are being stopped"),
    cause: Text::new(
        "停電が続き、停止計画が始まりました。",
        "The outage has lasted and the plan has begun.",
    ),
    consequence: Text::new(
        "窓口業務のシステムが順に使えなくなります。",
        "The systems of the counters go down one after another.",
    ),
    action: Text::new(
        "停止の進行を見守り、各課へ業務停止を連絡してください。",
        "Watch the plan and tell the departments that their systems stop.",
    ),
    respond_within: minutes(2),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const SCHEDULE_NOT_KEPT: Advice = Advice {
    word: "schedule_not_kept",
    class: CLASS,
    priority: Priority::Advisory,
    latching: false,
    what: Text::new(
        "スケジュール運転の停止が行われない",
        "A scheduled stop was left out",
    ),
    cause: Text::new(
        "時刻の頃に停電やほかの停止・訓練があったか、監視装置が止まっていたか、時計が信頼できません。",
        "There was an outage, another run or a drill at its time, the controller was down, or a clock is in doubt.",
    ),
    consequence: Text::new(
        "対象のサーバーは動き続けます。電力を使うほかに害はありません。",
        "Its servers go on running; nothing is lost but the energy.",
    ),
    action: Text::new(
        "時計の警報があれば先に直してください。今日止める必要があれば yagura plan run で停止してください。",
        "If an alarm of a clock stands, see to that first. If they must stop today, order it with yagura plan run.",
    ),
    respond_within: hours(24),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const STOP_WITHHELD: Advice = Advice {
    word: "stop_withheld",
    class: CLASS,
    priority: Priority::Critical,
    latching: false,
    what: Text::new(
        "停止すべき時点を過ぎたが、方針により停止していない",
        "Servers should stop now, and the policy only alarms",
    ),
    cause: Text::new(
        "停電が続き、電池の残りが停止に必要な時間まで減りました。",
        "The outage has lasted until the battery holds no more than stopping takes.",
    ),
    consequence: Text::new(
        "電池が尽きると突然電源が切れ、データが壊れるおそれがあります。",
        "When the battery ends they lose power at once, and data may be damaged.",
    ),
    action: Text::new(
        "今すぐ手で停止してください（yagura plan run）。",
        "Stop them by hand now (yagura plan run).",
    ),
    respond_within: minutes(2),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const ROOM_ENDANGERED: Advice = Advice {
    word: "room_endangered",
    class: CLASS,
    priority: Priority::Critical,
    latching: false,
    what: Text::new(
        "サーバーの継続運転が危険",
        "It is dangerous to keep the servers running",
    ),
    cause: Text::new(
        "過熱または漏水の兆候が、別々の機器で二つ以上続いています。",
        "Two signs of heat or water hold, from different nodes or devices.",
    ),
    consequence: Text::new(
        "サーバーが故障し、データが失われるおそれがあります。",
        "Servers may fail and data may be lost.",
    ),
    action: Text::new(
        "現場を確認し、原因（空調、水）を止めてください。規則によりサーバーが停止することがあります。",
        "Go there and end the cause (air conditioning, water). By the rule servers may be stopping.",
    ),
    respond_within: minutes(2),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const STEP_FAILED: Advice = Advice {
    word: "step_failed",
    class: CLASS,
    priority: Priority::Critical,
    latching: false,
    what: Text::new("サーバーを停止できない", "A server cannot be stopped"),
    cause: Text::new(
        "サーバーが応答しないか、停止の命令が失敗しました。",
        "The server does not answer, or its command failed.",
    ),
    consequence: Text::new(
        "電池が尽きると突然電源が切れ、データが壊れるおそれがあります。",
        "When the battery ends it loses power at once, and data may be damaged.",
    ),
    action: Text::new("手で停止してください。", "Stop it by hand."),
    respond_within: minutes(2),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const HOSTS_STOPPED: Advice = Advice {
    word: "hosts_stopped",
    class: CLASS,
    priority: Priority::Critical,
    latching: false,
    what: Text::new(
        "停止したサーバーの起動が必要",
        "Servers that were stopped must be started",
    ),
    cause: Text::new(
        "停電で停止したサーバーが、復電後も止まったままです。",
        "Servers that were stopped in the outage are still off.",
    ),
    consequence: Text::new(
        "起動するまで業務システムは使えません。",
        "Until they are started, the services are not there.",
    ),
    action: Text::new(
        "電源の安定を確認し、停止と逆の順に起動してください。",
        "Check that power is stable, then start them in reverse order.",
    ),
    respond_within: minutes(30),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const HOSTS_RETURNING: Advice = Advice {
    word: "hosts_returning",
    class: CLASS,
    priority: Priority::Advisory,
    latching: false,
    what: Text::new(
        "停止したサーバーを順に起動する",
        "Servers that were stopped are started again",
    ),
    cause: Text::new(
        "停電が終わり、停止したサーバーを停止と逆の順に自動で起動します。",
        "The outage is over; what was stopped is started by itself, in reverse order.",
    ),
    consequence: Text::new(
        "電源が安定し、電池がもう一度の全停止に足りるまで、起動は待ちます。",
        "Nothing starts before mains is stable and the batteries hold one more full stop.",
    ),
    action: Text::new(
        "待っている理由を見てください。起動したくないときは保留にしてください。",
        "See what it waits for. If nothing is to start, hold it.",
    ),
    respond_within: hours(1),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const OUTPUT_NOT_OFF: Advice = Advice {
    word: "output_not_off",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new(
        "UPS に出力の切断を命令できない",
        "A UPS cannot be told to switch off",
    ),
    cause: Text::new(
        "全サーバーの停止後、計画の最後の命令（shutdown.return）を UPS が受け付けません。",
        "Every server is off, and the UPS does not take the last command of the plan (shutdown.return).",
    ),
    consequence: Text::new(
        "電池は最後まで減ります。その前に復電すると、自動で起動しないサーバーが残ることがあります。監視装置は停止しません。",
        "The battery drains to its end. If mains is back before, servers may stay off. The controller runs on.",
    ),
    action: Text::new(
        "UPS の通信、権限、commands の設定を確かめ、復電後に全サーバーの起動を確かめてください。",
        "Check the UPS's network card, the right to write and its commands; after the outage see that every server runs.",
    ),
    respond_within: minutes(30),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const HOST_NOT_BACK: Advice = Advice {
    word: "host_not_back",
    class: CLASS,
    priority: Priority::Critical,
    latching: false,
    what: Text::new("サーバーが起動しない", "A server does not come back"),
    cause: Text::new(
        "起動の命令を繰り返しましたが、時間内に応答しません。",
        "It was told to start more than once, and does not answer in its time.",
    ),
    consequence: Text::new(
        "このサーバーと、これを使うサーバーは止まったままです。",
        "It stays off, and so does every server that uses it.",
    ),
    action: Text::new(
        "電源と画面を確かめ、手で起動してください。",
        "Look at its power and its screen, and start it by hand.",
    ),
    respond_within: minutes(30),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const ACT_GONE: Advice = Advice {
    word: "act_gone",
    class: CLASS,
    priority: Priority::Critical,
    latching: false,
    what: Text::new(
        "停止の実行役が使えない",
        "The role that stops servers cannot be used",
    ),
    cause: Text::new(
        "実行役のプログラムが止まったか、別の停止計画を読んでいます。",
        "Its program has stopped, or it has read another plan.",
    ),
    consequence: Text::new(
        "停電してもサーバーを自動で停止できません。",
        "At an outage the servers cannot be stopped automatically.",
    ),
    action: Text::new(
        "act の状態と設定を確認し、起動してください。",
        "Check the act role and its configuration, and start it.",
    ),
    respond_within: minutes(30),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const REHEARSAL_FAILED: Advice = Advice {
    word: "rehearsal_failed",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new(
        "予行で失敗したサーバーがある",
        "The last rehearsal failed for some servers",
    ),
    cause: Text::new(
        "接続、鍵、または権限が合っていません。",
        "The connection, the key or a permission is wrong.",
    ),
    consequence: Text::new(
        "本番の停電でも、そのサーバーは停止できません。",
        "In a real outage those servers could not be stopped either.",
    ),
    action: Text::new(
        "接続と鍵を直し、もう一度予行してください。",
        "Repair reachability and keys, then rehearse again.",
    ),
    respond_within: days(3),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const REHEARSAL_DUE: Advice = Advice {
    word: "rehearsal_due",
    class: CLASS,
    priority: Priority::Advisory,
    latching: false,
    what: Text::new("停止計画の予行が必要", "The shutdown plan must be rehearsed"),
    cause: Text::new(
        "最後の予行から定めた期間が過ぎたか、その後に計画が変わりました。",
        "The last rehearsal is older than the site wants, or the plan has changed since.",
    ),
    consequence: Text::new(
        "鍵の期限切れや設定の誤りに、停電のときに初めて気づくことになります。",
        "An expired key or a wrong setting would be found only in an outage.",
    ),
    action: Text::new(
        "yagura plan rehearse で予行してください。サーバーは停止しません。",
        "Run `yagura plan rehearse`; it stops no server.",
    ),
    respond_within: days(14),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const HOST_FEED_LOST: Advice = Advice {
    word: "host_feed_lost",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new(
        "サーバーの給電系統の一部が断",
        "Servers run on fewer feeds than they have",
    ),
    cause: Text::new(
        "PDU の出力が切られたか、PDU や ATS の入力がなくなりました。",
        "An outlet of a PDU was switched off, or a PDU or ATS has lost an input.",
    ),
    consequence: Text::new(
        "サーバーは動いていますが、残る系統が止まるとすぐに落ちます。",
        "The servers still run; if the feed that is left fails too, they fall at once.",
    ),
    action: Text::new(
        "作業中でなければ、PDU の出力、差し込み、手前の遮断器を確認して元に戻してください。",
        "Unless somebody works on it, check the outlet, its plug and the breaker in front of it, and bring the feed back.",
    ),
    respond_within: minutes(30),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const CREDENTIAL_FAILED: Advice = Advice {
    word: "credential_failed",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new(
        "停止または起動の手段が使えない",
        "What stops or starts the server cannot be used",
    ),
    cause: Text::new(
        "パスワードや鍵の期限切れ・変更、権限の不足、または管理コントローラが応答していません。",
        "A password or key ran out or was changed, a right is missing, or the management controller does not answer.",
    ),
    consequence: Text::new(
        "停電のときに、このサーバーを停止・切断・起動できません。",
        "In an outage this server cannot be stopped, cut or started in that way.",
    ),
    action: Text::new(
        "理由に書かれた手段の資格情報と接続を直してください。翌日の点検で、または予行で確かめられます。",
        "Repair the credential or the way to it that the reason names; the next daily check clears this.",
    ),
    respond_within: days(3),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const FEED_LOST: Advice = Advice {
    word: "feed_lost",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new(
        "電源系統の片方が断（接点）",
        "A feed has lost its mains (contact)",
    ),
    cause: Text::new(
        "遮断器が落ちたか、この系統の商用電源が止まりました。",
        "A breaker has tripped, or this feed has lost its mains.",
    ),
    consequence: Text::new(
        "もう一方が止まると、この系統の機器はすべて止まります。",
        "If the other feed fails too, everything on it stops.",
    ),
    action: Text::new(
        "UPS の表示と電源の画面を確認してください。UPS が商用運転なら、この回路の遮断器を確認してください。",
        "Look at the UPSs and the power page. If the UPSs run on mains, check the breaker of this circuit.",
    ),
    respond_within: minutes(15),
    owner: Owner::Facilities,
};

pub(in crate::catalog) const BREAKER_TRIPPED: Advice = Advice {
    word: "breaker_tripped",
    class: CLASS,
    priority: Priority::Critical,
    latching: false,
    what: Text::new("分電盤の遮断（トリップ）", "Breaker tripped"),
    cause: Text::new(
        "過負荷、漏電、または機器の短絡です。",
        "Overload, earth leakage, or a short circuit in a machine.",
    ),
    consequence: Text::new(
        "この回路の機器は電池だけで動くか、止まっています。",
        "What hangs on this circuit lives on battery or is off.",
    ),
    action: Text::new(
        "どの回路かを確認し、原因（過負荷・漏電）を調べてから再投入してください。",
        "Find the circuit, and find the cause (overload, earth leakage) before it is switched on again.",
    ),
    respond_within: minutes(10),
    owner: Owner::Facilities,
};

pub(in crate::catalog) const SURGE_PROTECTOR: Advice = Advice {
    word: "surge_protector",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new("避雷器（SPD）の劣化", "Surge protector worn out"),
    cause: Text::new(
        "落雷や過電圧を受け、保護素子が切れました。",
        "It took lightning or overvoltage, and its element is spent.",
    ),
    consequence: Text::new(
        "交換するまで雷に対する保護がなく、次の落雷で機器が壊れるおそれがあります。",
        "Until it is replaced there is no protection, and the next lightning may destroy equipment.",
    ),
    action: Text::new(
        "表示窓を確認し、電気設備業者へ交換を依頼してください。",
        "Check its indicator and have the electrician replace it.",
    ),
    respond_within: days(3),
    owner: Owner::Facilities,
};
