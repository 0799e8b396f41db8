//! Devices, sensor nodes and contacts that cannot be relied on.

use super::{Advice, Class, Owner, Priority, Text, days, hours, minutes};

const CLASS: Class = Class::Device;

pub(in crate::catalog) const DEVICE_UNREACHABLE: Advice = Advice {
    word: "device_unreachable",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new("機器が応答しない", "Device does not answer"),
    cause: Text::new(
        "機器の停止、網の断、または管理機能の停止です。",
        "It is off, the network is down, or its management hangs.",
    ),
    consequence: Text::new(
        "機器に何か起きても分かりません。サービスが止まっているかもしれません。",
        "Whatever happens to it is not seen, and its service may be down.",
    ),
    action: Text::new(
        "機器の表示、管理ポート、網を確認してください。停電中であれば残り時間は推定で数え続けます。",
        "Look at the device, its management port and the network. During an outage its runtime is modelled.",
    ),
    respond_within: minutes(30),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const WIRING_CHANGE: Advice = Advice {
    word: "wiring_change",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new("配線や接続の変更を検知", "A change of the wiring was seen"),
    cause: Text::new(
        "機器の差し替え、ケーブルのつなぎ替え、または知らない機器の接続です。",
        "A device was exchanged, a cable moved, or something unknown was plugged in.",
    ),
    consequence: Text::new(
        "届け出のない変更であれば、不正な接続のおそれがあります。",
        "If nobody announced it, somebody may have connected without permission.",
    ),
    action: Text::new(
        "作業票と照らし合わせ、予定のない変更なら現地を確認してください。",
        "Compare with the work orders; if it was not planned, check on site.",
    ),
    respond_within: hours(1),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const UNKNOWN_NODE: Advice = Advice {
    word: "unknown_node",
    class: CLASS,
    priority: Priority::Warning,
    latching: true,
    what: Text::new("登録のない端末からの通信", "Messages of an unknown node"),
    cause: Text::new(
        "設置したばかりで未登録の端末か、許可のない機器です。",
        "A new node that is not yet registered, or a device that nobody allowed.",
    ),
    consequence: Text::new(
        "許可のない機器であれば、監視網に入り込まれています。",
        "If it is a stranger, somebody is in the monitoring network.",
    ),
    action: Text::new(
        "新しい端末なら site.toml に登録し、心当たりがなければ情報システム管理者へ連絡してください。",
        "If the node is new, add it to site.toml; otherwise call the system administrator.",
    ),
    respond_within: hours(1),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const NODE_SILENT: Advice = Advice {
    word: "node_silent",
    class: CLASS,
    priority: Priority::Advisory,
    latching: false,
    what: Text::new("センサー端末が応答しない", "Sensor node silent"),
    cause: Text::new(
        "端末の電源断、網の断、または端末の故障です。",
        "It has no power or no network, or it is faulty.",
    ),
    consequence: Text::new(
        "この端末の扉・漏水・温度は監視されていません。",
        "Its door, water and temperature are not watched.",
    ),
    action: Text::new(
        "端末の電源と網を確認してください。戻るまで現地を見回ってください。",
        "Check the node's power and network. Until it is back, look after the place yourself.",
    ),
    respond_within: minutes(30),
    owner: Owner::Facilities,
};

pub(in crate::catalog) const NODE_LOST: Advice = Advice {
    word: "node_lost",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new("センサー端末の無応答が続いている", "Sensor node lost"),
    cause: Text::new(
        "端末の電源断、網の断、または端末の故障です。一時的な途切れではありません。",
        "It has no power or no network, or it is faulty. It is more than a short gap.",
    ),
    consequence: Text::new(
        "この端末の扉・漏水・温度は監視されていません。",
        "Its door, water and temperature are not watched.",
    ),
    action: Text::new(
        "端末の電源と網を確認してください。戻るまで現地を見回ってください。",
        "Check the node's power and network. Until it is back, look after the place yourself.",
    ),
    respond_within: minutes(30),
    owner: Owner::Facilities,
};

pub(in crate::catalog) const NODE_NO_KEY: Advice = Advice {
    word: "node_no_key",
    class: CLASS,
    priority: Priority::Critical,
    latching: false,
    what: Text::new(
        "端末の鍵がない、または読めない",
        "The key of a node is missing or cannot be read",
    ),
    cause: Text::new(
        "端末の初期設定が済んでいないか、鍵ファイルが壊れました。",
        "The node was not provisioned, or its key file is damaged.",
    ),
    consequence: Text::new(
        "この端末の扉・漏水・温度は監視されていません。",
        "Its door, water and temperature are not watched.",
    ),
    action: Text::new(
        "端末を初期設定し直すか、鍵ファイルを戻すか、site.toml から外し、監視装置を再起動してください。",
        "Provision the node again, put its key file back, or take it out of site.toml; then start the controller again.",
    ),
    respond_within: hours(1),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const NODE_REFUSED: Advice = Advice {
    word: "node_refused",
    class: CLASS,
    priority: Priority::Critical,
    latching: true,
    what: Text::new(
        "偽造または再送の疑いがある通信を拒否",
        "Forged or replayed frames refused",
    ),
    cause: Text::new(
        "許可のない機器が端末になりすましているか、鍵が食い違っています。",
        "A foreign device poses as the node, or the keys differ.",
    ),
    consequence: Text::new(
        "扉や漏水の状態をごまかされるおそれがあります。",
        "Somebody may try to hide what happens at the door or with water.",
    ),
    action: Text::new(
        "監視網に許可のない機器がないか確認し、情報システム管理者へ連絡してください。",
        "Look for a foreign device in the monitoring network and call the system administrator.",
    ),
    respond_within: minutes(30),
    owner: Owner::SecurityManager,
};

pub(in crate::catalog) const NODE_MISSING: Advice = Advice {
    word: "node_missing",
    class: CLASS,
    priority: Priority::Warning,
    latching: true,
    what: Text::new("端末の記録に欠落がある", "Events of a node are missing"),
    cause: Text::new(
        "長い通信断で端末の記憶があふれたか、記録が失われました。",
        "Its memory overflowed while it was cut off, or events were lost.",
    ),
    consequence: Text::new(
        "その時間帯の入退室記録が完全ではありません。",
        "The entry log of that period is not complete.",
    ),
    action: Text::new(
        "欠落した時間帯の入退室を別の記録（カメラ等）で確認し、所見を残してください。",
        "Check the missing period by other means (camera) and note what you found.",
    ),
    respond_within: days(1),
    owner: Owner::SecurityManager,
};

pub(in crate::catalog) const NODE_TWIN: Advice = Advice {
    word: "node_twin",
    class: CLASS,
    priority: Priority::Critical,
    latching: true,
    what: Text::new(
        "同じ端末番号と鍵を持つ端末が二台ある",
        "Two nodes with one identity",
    ),
    cause: Text::new(
        "交換した古い端末が動いているか、端末が複製されました。",
        "An old node that was replaced still runs, or a node was copied.",
    ),
    consequence: Text::new(
        "どちらの事象も記録に確定できず、端末に残ります。",
        "Neither one's events can be accepted; they stay on the nodes.",
    ),
    action: Text::new(
        "どちらが本来の端末かを確認し、もう一方の電源を切って設定し直し、残した端末の電源を入れ直してください。心当たりがなければ複製の疑いとして情報システム管理者へ連絡してください。",
        "Find out which is the right one, switch the other off and provision it anew, then power-cycle the one that stays. If nobody knows of a second one, it may be a copy: call the system administrator.",
    ),
    respond_within: hours(1),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const NODE_CRASHED: Advice = Advice {
    word: "node_crashed",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new("端末のプログラムが異常終了した", "A node crashed and restarted"),
    cause: Text::new(
        "プログラムの不具合、電源の乱れ、または部品の故障です。",
        "A fault of its program, disturbed power, or a bad part.",
    ),
    consequence: Text::new(
        "監視は再開していますが、止まっていた間は見ていません。",
        "It watches again, but it saw nothing while it was down.",
    ),
    action: Text::new(
        "繰り返すときは記録を保存して保守業者へ渡してください。",
        "If this repeats, save the records and give them to the maintainer.",
    ),
    respond_within: days(1),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const NODE_SAFE_MODE: Advice = Advice {
    word: "node_safe_mode",
    class: CLASS,
    priority: Priority::Critical,
    latching: false,
    what: Text::new(
        "端末が安全モードで何も監視していない",
        "Node in safe mode watches nothing",
    ),
    cause: Text::new(
        "異常終了を繰り返し、端末が自分で監視をやめました。",
        "It crashed again and again and has stopped itself.",
    ),
    consequence: Text::new(
        "この端末の扉・漏水・温度は監視されていません。",
        "Its door, water and temperature are not watched.",
    ),
    action: Text::new(
        "現地で見張りを立て、端末を再起動し、直らなければ交換してください。",
        "Have somebody look after the place, restart the node, and replace it if that does not help.",
    ),
    respond_within: minutes(30),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const NODE_LIST: Advice = Advice {
    word: "node_list",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new(
        "入室許可一覧を端末が受け取らない",
        "A node does not take the access list",
    ),
    cause: Text::new(
        "通信が途切れがちか、端末の記憶が足りません。",
        "The connection is poor, or its memory does not suffice.",
    ),
    consequence: Text::new(
        "紛失停止などの変更がこの扉に効いていません。",
        "Changes such as a suspended card have no effect at this door.",
    ),
    action: Text::new(
        "端末の状態を確認し、急ぐときは現地で入室を管理してください。",
        "Check the node; if it is urgent, control the door on site.",
    ),
    respond_within: hours(1),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const NODE_LIST_STALE: Advice = Advice {
    word: "node_list_stale",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new("入室許可一覧が古い", "The access list is old"),
    cause: Text::new(
        "監視装置と長く通信できていないか、端末の時計が狂っています。",
        "It has not reached the controller for long, or its clock is wrong.",
    ),
    consequence: Text::new(
        "端末は古い一覧のまま入室を判断し続けます。",
        "The node goes on deciding by an old list.",
    ),
    action: Text::new(
        "監視装置との通信と端末の時計を確認してください。",
        "Check its connection to the controller and its clock.",
    ),
    respond_within: hours(4),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const NODE_KEY: Advice = Advice {
    word: "node_key",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new("端末の鍵の更新が終わらない", "A node does not change its key"),
    cause: Text::new(
        "通信が途切れているか、端末が新しい鍵を保存できません。",
        "The connection breaks, or it cannot store the new key.",
    ),
    consequence: Text::new(
        "端末は古い鍵のまま動いています。",
        "It works on with the old key.",
    ),
    action: Text::new(
        "通信を確認し、続くときは端末を設定し直してください。",
        "Check its connection; if this lasts, provision the node anew.",
    ),
    respond_within: days(1),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const NODE_UPDATE: Advice = Advice {
    word: "node_update",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new(
        "端末が新しいファームウェアを受け付けなかった",
        "A node did not take a new firmware",
    ),
    cause: Text::new(
        "署名や機種が違うか、試運転で元に戻りました。",
        "Signature or board do not match, or it went back after its trial.",
    ),
    consequence: Text::new(
        "端末は前の版で動いています。直したかった不具合は残ります。",
        "It works on with the version before; what was to be mended is not.",
    ),
    action: Text::new(
        "理由を確認し、正しい版を配り直してください。",
        "Read the reason and send the right image.",
    ),
    respond_within: days(3),
    owner: Owner::SystemAdministrator,
};

pub(in crate::catalog) const CONTACT_CHATTERING: Advice = Advice {
    word: "contact_chattering",
    class: CLASS,
    priority: Priority::Warning,
    latching: false,
    what: Text::new("接点がばたついている", "Contact chatters"),
    cause: Text::new(
        "緩んだ配線、磁石のずれ、または接点の汚れです。",
        "Loose wiring, a shifted magnet, or a dirty contact.",
    ),
    consequence: Text::new(
        "止まるまで、この接点の開閉は分かりません。",
        "Until it rests, nobody can tell open from closed here.",
    ),
    action: Text::new(
        "現物を目で確認し、配線・磁石・接点を直してください。",
        "Look at the thing itself, then mend wiring, magnet or contact.",
    ),
    respond_within: hours(4),
    owner: Owner::Facilities,
};
