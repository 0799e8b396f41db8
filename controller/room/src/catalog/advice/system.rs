//! The watchtower itself.

use super::{Advice, Class, Owner, Priority, Text, days, hours, minutes};

const CLASS: Class = Class::System;

pub(in crate::catalog) const JOURNAL: Advice = Advice {
    word: "journal",
    class: CLASS,
    priority: Priority::Critical,
    latching: false,
    what: Text::new("記録を書き込めない", "The journal cannot be written"),
    cause: Text::new(
        "ディスクの満杯、故障、または読み取り専用への切り替わりです。",
        "The disk is full, failing, or has become read-only.",
    ),
    consequence: Text::new(
        "監視と停止は続きますが、記録は保留され、再起動すると失われます。",
        "Watching and shutdown go on, but records are held back and are lost at a restart.",
    ),
    action: Text::new(
        "監視装置を再起動せずに、ディスクの空きと状態を確認してください。",
        "Do not restart the controller; check the disk's space and health.",
    ),
    respond_within: minutes(30),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const LOG_CHECK_FAILED: Advice = Advice {
    word: "log_check_failed",
    class: CLASS,
    priority: Priority::Critical,
    latching: true,
    what: Text::new(
        "記録の改変または破損を検知",
        "The journal was changed or is damaged",
    ),
    cause: Text::new(
        "記録のファイルが外から書き換えられたか、ディスクが壊れています。",
        "Its file was changed from outside, or the disk rots.",
    ),
    consequence: Text::new(
        "入退室記録が証拠として使えなくなります。",
        "The entry log no longer stands as evidence.",
    ),
    action: Text::new(
        "ディスクを交換せず保全し、情報セキュリティ管理者へ連絡してください。",
        "Preserve the disk as it is and call the security manager.",
    ),
    respond_within: minutes(30),
    owner: Owner::SecurityManager,
};

pub(in crate::catalog) const ENTRY_LOG: Advice = Advice {
    word: "entry_log",
    class: CLASS,
    priority: Priority::Critical,
    latching: false,
    what: Text::new(
        "入退室記録を書き込めない",
        "The entry log cannot be written or signed",
    ),
    cause: Text::new(
        "ディスクの障害、または記録・鍵のファイルが以前の状態に戻されたか失われています。",
        "The disk fails, or the log's files or key were rolled back or are missing.",
    ),
    consequence: Text::new(
        "扉と監視は動き続け、記録は内部に保持されますが、改ざん防止の署名が止まります。",
        "Doors and watching go on and nothing is lost, but no checkpoint is signed meanwhile.",
    ),
    action: Text::new(
        "理由を確認し、ファイルを消さずに情報セキュリティ管理者へ連絡してください。",
        "Read the reason, delete nothing, and call the security manager.",
    ),
    respond_within: minutes(30),
    owner: Owner::SecurityManager,
};

pub(in crate::catalog) const WITNESS_DISAGREES: Advice = Advice {
    word: "witness_disagrees",
    class: CLASS,
    priority: Priority::Critical,
    latching: true,
    what: Text::new(
        "端末が覚えている記録と監視装置の記録が合わない",
        "A node witnesses another journal than this",
    ),
    cause: Text::new(
        "記録が巻き戻された、取り替えられた、または書き換えられた疑いがあります。控えから戻した直後にも起こります。",
        "The journal may have been rolled back, exchanged or rewritten. It also happens after a backup was restored.",
    ),
    consequence: Text::new(
        "入退室記録が証拠として使えなくなります。",
        "The entry log no longer stands as evidence.",
    ),
    action: Text::new(
        "ディスクをそのまま保全し、情報システム管理者へ連絡してください。控えから戻した直後なら、その旨を所見に残して復帰してください。",
        "Preserve the disk as it is and call the system administrator. If a backup was just restored, note that and reset the alarm.",
    ),
    respond_within: minutes(30),
    owner: Owner::SecurityManager,
};

pub(in crate::catalog) const HISTORY: Advice = Advice {
    word: "history",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new("履歴を書き込めない", "The history cannot be written"),
    cause: Text::new("ディスクの満杯または故障です。", "The disk is full or failing."),
    consequence: Text::new(
        "温度などの推移が残らず、後から原因を調べられません。",
        "Trends are not kept, and causes cannot be found later.",
    ),
    action: Text::new("ディスクの空きを確認してください。", "Check the disk's space."),
    respond_within: hours(4),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const MQTT_DOWN: Advice = Advice {
    word: "mqtt_down",
    class: CLASS,
    priority: Priority::Critical,
    latching: false,
    what: Text::new("センサー端末の値が届く経路がない", "No MQTT connection"),
    cause: Text::new(
        "MQTT の中継（内蔵または外部）が止まったか、つながりません。",
        "The MQTT endpoint or broker has stopped or cannot be reached.",
    ),
    consequence: Text::new(
        "端末の値は届いていません。扉・漏水・温度が監視されていません。",
        "Nothing arrives from the nodes: doors, water and temperature are not watched.",
    ),
    action: Text::new(
        "MQTT の中継と網を確認してください。戻るまで現地を見回ってください。",
        "Check the MQTT endpoint or broker and the network. Until it is back, look after the room yourself.",
    ),
    respond_within: minutes(15),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const WEB_DOWN: Advice = Advice {
    word: "web_down",
    class: CLASS,
    priority: Priority::Advisory,
    latching: false,
    what: Text::new("画面の役割が止まっている", "The web role is down"),
    cause: Text::new(
        "画面のプログラムが異常終了しました。",
        "The program of the pages has ended badly.",
    ),
    consequence: Text::new(
        "画面が使えません。監視と停止は続いています。",
        "The pages are not there. Watching and shutdown go on.",
    ),
    action: Text::new(
        "自動で再起動します。繰り返すときはログを確認してください。",
        "It restarts by itself; if this repeats, look at the log.",
    ),
    respond_within: hours(1),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const NUT_SERVER_DOWN: Advice = Advice {
    word: "nut_server_down",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new("NUT の窓口が止まっている", "The server for NUT's clients is down"),
    cause: Text::new(
        "NUT の窓口のプログラムが異常終了しました。",
        "The program that serves NUT's clients has ended badly.",
    ),
    consequence: Text::new(
        "NUT で停電を知るサーバや NAS に、停止の合図が届きません。",
        "Servers and NAS boxes that learn of an outage by NUT are not told to stop.",
    ),
    action: Text::new(
        "自動で再起動します。10 分たっても戻らなければ情報システム管理者へ連絡し、停電に備えて該当の機器を手で止められるようにしてください。",
        "It restarts by itself. If it is not back after 10 minutes, call the system administrator, and be ready to stop those machines by hand.",
    ),
    respond_within: hours(1),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const NUT_CLIENT_MISSING: Advice = Advice {
    word: "nut_client_missing",
    class: Class::Power,
    priority: Priority::Warning,
    latching: false,
    what: Text::new(
        "停止の合図を聞く NUT クライアントがいない",
        "No NUT client listens for the word to stop",
    ),
    cause: Text::new(
        "サーバや NAS の upsmon が止まっているか、パスワードや接続先の設定が変わりました。",
        "The upsmon of the server or NAS is down, or its password or the address it calls was changed.",
    ),
    consequence: Text::new(
        "停電しても、このサーバには停止の合図が届かず、電池が尽きると突然止まります。",
        "At an outage nobody on this host hears that it must stop, and it goes down without warning when the battery ends.",
    ),
    action: Text::new(
        "サーバで upsmon（NAS では UPS の設定）が動いているか確認し、ログイン名とパスワードを見直してください。",
        "See that upsmon runs on the host (on a NAS, the page of its UPS), and check its user name and password.",
    ),
    respond_within: hours(4),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const CLOCK: Advice = Advice {
    word: "clock",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new("時計のずれ", "The clock is off"),
    cause: Text::new(
        "時刻サーバーと通信できないか、時計が狂っています。",
        "The time server is not reached, or the clock runs wrong.",
    ),
    consequence: Text::new(
        "入退室記録と警報の時刻がずれ、証拠として疑われます。",
        "Times of entries and alarms are wrong, and the records are open to doubt.",
    ),
    action: Text::new(
        "時刻同期の設定と、時刻サーバーまでの網を確認してください。",
        "Check the time synchronisation and the network to the time server.",
    ),
    respond_within: hours(4),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const BACKUP_OVERDUE: Advice = Advice {
    word: "backup_overdue",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new("控えまたは外部照合が遅れている", "Backup or witness overdue"),
    cause: Text::new(
        "控えの保存先や照合先に届いていません。",
        "The place of the backups, or the witness, is not reached.",
    ),
    consequence: Text::new(
        "故障すると、その間の記録を失うか、改ざんがないことを示せません。",
        "After a failure the records since then are lost, or cannot be shown to be unchanged.",
    ),
    action: Text::new(
        "保存先の空きと接続を確認し、手で一度実行してください。",
        "Check space and connection there, and run it once by hand.",
    ),
    respond_within: days(1),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const NOTIFIER: Advice = Advice {
    word: "notifier",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new("通知を送れない", "Notices cannot be sent"),
    cause: Text::new(
        "メールサーバーなど通知先の停止、設定の違い、または網の断です。",
        "The mail server or other endpoint is down, its settings are wrong, or the network is cut.",
    ),
    consequence: Text::new(
        "警報が出ても、この通知先の人は気づきません。",
        "When an alarm comes up, whoever is told this way does not know.",
    ),
    action: Text::new(
        "通知先と設定を確認し、試し送りで届くことを確かめてください。",
        "Check the endpoint and its settings, and see with a test call that it arrives.",
    ),
    respond_within: hours(1),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const TEST_CALL_OVERDUE: Advice = Advice {
    word: "test_call_overdue",
    class: CLASS,
    priority: Priority::Advisory,
    latching: false,
    what: Text::new("試験通報の期限切れ", "Test call overdue"),
    cause: Text::new(
        "定めた期間、通報先へ試験通報をしていません。",
        "No test call reached a contact within the site's period.",
    ),
    consequence: Text::new(
        "宛先の変更や退職に気付かず、警報がだれにも届かないおそれがあります。",
        "An address that nobody reads any more is found out only by a real alarm.",
    ),
    action: Text::new(
        "通報先へ試験通報を行い、受け取ったことを電話などで確かめてください。",
        "Make a test call to the contacts, and ask each whether it was read.",
    ),
    respond_within: days(7),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const COVERAGE: Advice = Advice {
    word: "coverage",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new("監視できていない時間が長い", "Too much time was not watched"),
    cause: Text::new(
        "端末や機器の停止、通信断、または監視装置の停止が続きました。",
        "Nodes or devices were down, cut off, or the controller was not running.",
    ),
    consequence: Text::new(
        "その間の異常は記録に残っていません。",
        "What went wrong in that time is not on record.",
    ),
    action: Text::new(
        "監視の空白の一覧を見て、原因と対策を書き残してください。",
        "See the list of gaps, and write down their causes and what is done about them.",
    ),
    respond_within: days(3),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const MAINTENANCE_RESULT: Advice = Advice {
    word: "maintenance_result",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new(
        "作業の結果が記録されていない",
        "The result of the work is not recorded",
    ),
    cause: Text::new(
        "作業時間が終わりましたが、結果が書かれていません。",
        "The maintenance window has ended, and nobody wrote down its result.",
    ),
    consequence: Text::new(
        "作業中に止めていた警報が正しく戻ったか、だれも確かめていません。",
        "Nobody has checked that what was held during the work is well again.",
    ),
    action: Text::new(
        "作業した人に状況を確認し、結果を記録してください。",
        "Ask whoever did the work, and record the result.",
    ),
    respond_within: hours(1),
    owner: Owner::Facilities,
};

pub(in crate::catalog) const NOT_CONFIGURED: Advice = Advice {
    word: "not_configured",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new("設定から外された警報", "An alarm that is no longer configured"),
    cause: Text::new(
        "警報が出たまま、その監視点が site.toml から外されました。",
        "What it watched was taken out of site.toml while it stood.",
    ),
    consequence: Text::new(
        "この警報はもう監視されておらず、自然には復旧しません。",
        "Nothing watches it any more, and it does not return by itself.",
    ),
    action: Text::new(
        "現地の状態を確かめ、問題がなければ使用停止にしてください。",
        "Check the place yourself; if it is well, take the alarm out of service.",
    ),
    respond_within: days(1),
    owner: Owner::SystemAdministrator,
};
