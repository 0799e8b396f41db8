//! The alarms that every site has, in words a person can act on: what, why it matters, what to do.
//!
//! Limits of the site bring their own action text; everything else is here, once.

use crate::alarm::Definition;
use crate::device::PollFailure;
use crate::event::Part;
use crate::site::{Channel, ContactKind, DeviceKind, Label, Limit, Priority, Side};
use crate::time::Millis;

mod fact;
mod node;
mod portal;
mod redundancy;

pub use fact::fact_label;
pub use node::{LIST_PATIENCE, NodeTrouble, ROTATION_PATIENCE, node, node_id};
pub use portal::{PortalTrouble, portal, portal_id};
pub use redundancy::{
    GROUP_ON_DELAY, GroupTrouble, UPLINK_ON_DELAY, group, group_id, parts, parts_id, uplink, uplink_id,
    with_devices_behind,
};

/// A leak must be wet for so long: a drop on the rope is not a leak (3 s, staff-facing preset).
pub const LEAK_ON_DELAY: Millis = Millis(3_000);

/// Doors of racks stand open while somebody works there; only a forgotten one needs a person.
pub const RACK_ON_DELAY: Millis = Millis(600_000);
/// A window that is opened for a moment by a person inside is no burglary.
pub const WINDOW_ON_DELAY: Millis = Millis(10_000);
/// Relays of power equipment bounce when they switch; a real loss lasts.
pub const RELAY_ON_DELAY: Millis = Millis(2_000);

/// Alarm id of a contact; a kind without an alarm of its own has the word of its state.
#[must_use]
pub fn contact_id(point: &str, kind: ContactKind) -> String {
    let word = match kind {
        ContactKind::Door => "forced",
        ContactKind::Leak => "wet",
        ContactKind::Smoke => "smoke",
        ContactKind::Tamper => "tamper",
        ContactKind::Window | ContactKind::Rack => "open",
        ContactKind::LockBolt => "unlocked",
        ContactKind::RequestToExit => "pressed",
        ContactKind::FirePanel => "fire",
        ContactKind::SurgeProtector => "worn",
        ContactKind::Breaker => "tripped",
        ContactKind::ExtinguishingAgent => "low",
        ContactKind::MainsPresent => "lost",
        ContactKind::KeyOverride => "turned",
    };
    format!("{point}.{word}")
}

/// True when a contact that cannot make up its mind must be taken for the alarm side: what
/// drips, burns or was released may well make its contact bounce.
#[must_use]
pub const fn doubt_is_alarm(kind: ContactKind) -> bool {
    matches!(
        kind,
        ContactKind::Leak | ContactKind::Smoke | ContactKind::FirePanel | ContactKind::ExtinguishingAgent
    )
}

/// Alarm of a contact; `None` for those that are events or conditions only. A door without a
/// reader has nobody who could have been granted entry, so every opening of it is forced; at the
/// door of a portal the node decides what was forced.
#[must_use]
pub fn contact(channel: &Channel, kind: ContactKind) -> Option<Definition> {
    let (priority, what, action, on_delay, latching) = match kind {
        ContactKind::Door => (
            Priority::Critical,
            Label::new("扉のこじ開け（許可のない開放）", "Door opened without a grant"),
            Label::new(
                "現地またはカメラで入室者を確認し、情報システム管理者へ連絡してください。",
                "Check who entered, on site or by camera, and call the system administrator.",
            ),
            Millis(0),
            true,
        ),
        ContactKind::Leak => (
            Priority::Critical,
            Label::new("漏水を検知", "Water detected"),
            Label::new(
                "空調の排水と天井を確認し、水を止めてください。機器の下が濡れていれば設備業者へ連絡してください。",
                "Check the air conditioner's drain and the ceiling and stop the water; if it is wet under equipment, call the contractor.",
            ),
            LEAK_ON_DELAY,
            true,
        ),
        ContactKind::Smoke => (
            Priority::Critical,
            Label::new("煙感知器の移報", "Smoke relay"),
            Label::new(
                "自動火災報知設備を確認し、火災なら119番へ通報して避難してください。",
                "Check the fire panel; if there is fire, call the fire brigade and leave.",
            ),
            Millis(0),
            true,
        ),
        ContactKind::Tamper => (
            Priority::Critical,
            Label::new("機器の箱が開けられた", "Enclosure opened"),
            Label::new(
                "現地を確認し、作業予定がなければ情報システム管理者へ連絡してください。",
                "Check on site; if no work is planned, call the system administrator.",
            ),
            Millis(0),
            true,
        ),
        ContactKind::FirePanel => (
            Priority::Critical,
            Label::new("自動火災報知設備の移報", "Relay of the fire panel"),
            Label::new(
                "受信機の表示を確認し、火災なら119番へ通報して避難してください。誤報でも受信機の復旧は防災担当が行います。",
                "Read the fire panel; if there is fire, call the fire brigade and leave. Also a false alarm is reset at the panel by fire-safety staff.",
            ),
            Millis(0),
            true,
        ),
        ContactKind::ExtinguishingAgent => (
            Priority::Critical,
            Label::new(
                "消火剤の圧力低下または放出",
                "Extinguishing agent low or released",
            ),
            Label::new(
                "放出の有無を外から確認してください。放出なら入室せず換気し、そうでなければ消防設備業者へ点検を依頼してください。",
                "Look from outside whether it was released. If so, do not enter and ventilate; if not, have the fire-equipment contractor check the cylinder.",
            ),
            RELAY_ON_DELAY,
            true,
        ),
        ContactKind::Breaker => (
            Priority::Critical,
            Label::new("分電盤の遮断（トリップ）", "Breaker tripped"),
            Label::new(
                "どの回路かを確認し、原因（過負荷・漏電）を調べてから再投入してください。",
                "Find the circuit, and find the cause (overload, earth leakage) before it is switched on again.",
            ),
            RELAY_ON_DELAY,
            true,
        ),
        ContactKind::SurgeProtector => (
            Priority::Warning,
            Label::new("避雷器（SPD）の劣化", "Surge protector worn out"),
            Label::new(
                "表示窓を確認し、電気設備業者へ交換を依頼してください。それまで雷に対する保護がありません。",
                "Check its indicator and have the electrician replace it. Until then there is no protection against lightning.",
            ),
            RELAY_ON_DELAY,
            false,
        ),
        ContactKind::MainsPresent => (
            Priority::Warning,
            Label::new("商用電源がない（接点）", "No mains (contact)"),
            Label::new(
                "UPS の表示と電源の画面を確認してください。UPS が商用運転なら、この回路の遮断器を確認してください。",
                "Look at the UPSs and the power page. If the UPSs run on mains, check the breaker of this circuit.",
            ),
            RELAY_ON_DELAY,
            false,
        ),
        ContactKind::Window => (
            Priority::Warning,
            Label::new("窓が開いている", "Window open"),
            Label::new(
                "室内を確認し、窓を閉めて施錠してください。心当たりがなければ情報システム管理者へ連絡してください。",
                "Check the room, close and lock the window; if nobody knows why it was open, call the system administrator.",
            ),
            WINDOW_ON_DELAY,
            true,
        ),
        ContactKind::Rack => (
            Priority::Advisory,
            Label::new("ラックの扉が開いたまま", "Rack door left open"),
            Label::new(
                "作業が終わっていれば扉を閉めて施錠してください。",
                "If the work is done, close and lock it.",
            ),
            RACK_ON_DELAY,
            false,
        ),
        ContactKind::LockBolt | ContactKind::RequestToExit | ContactKind::KeyOverride => return None,
    };
    Some(Definition {
        id: contact_id(&channel.point, kind),
        priority,
        what,
        place: channel.label.clone(),
        action,
        on_delay,
        off_delay: Millis(0),
        latching,
        cause: None,
    })
}

/// Alarm id of a contact that cannot make up its mind.
#[must_use]
pub fn chattering_id(point: &str) -> String {
    format!("{point}.chattering")
}

/// Alarm of a contact that cannot make up its mind. While it stands nobody knows where the
/// contact is, and this one alarm says so instead of hundreds.
#[must_use]
pub fn chattering(channel: &Channel) -> Definition {
    Definition {
        id: chattering_id(&channel.point),
        priority: Priority::Warning,
        what: Label::new("接点がばたついている", "Contact chatters"),
        place: channel.label.clone(),
        action: Label::new(
            "現物を目で確認し、緩んだ配線・磁石のずれ・接点の汚れを直してください。止まるまで、この接点の開閉は分かりません。",
            "Look at the thing itself, then fix loose wiring, a shifted magnet or a dirty contact. Until it rests, nobody can tell open from closed here.",
        ),
        on_delay: Millis(0),
        off_delay: Millis(0),
        latching: false,
        cause: None,
    }
}

/// Alarm id of an accelerometer that felt an earthquake.
#[must_use]
pub fn shock_id(point: &str) -> String {
    format!("{point}.shock")
}

/// Alarm of an earthquake. It stands until somebody has looked at the room.
#[must_use]
pub fn shock(channel: &Channel) -> Definition {
    Definition {
        id: shock_id(&channel.point),
        priority: Priority::Warning,
        what: Label::new("強い揺れを検知", "The room was shaken"),
        place: channel.label.clone(),
        action: Label::new(
            "安全を確かめてから、ラックの固定と傾き、配線の抜け、空調の水漏れ、UPS の表示を点検してください。",
            "When it is safe, check that the racks stand fixed and upright, plugs, water of the air conditioner, and the UPSs.",
        ),
        on_delay: Millis(0),
        off_delay: Millis(0),
        latching: true,
        cause: None,
    }
}

/// Alarm of a limit.
#[must_use]
pub fn limit(limit: &Limit, place: Label) -> Definition {
    let what = match limit.side {
        Side::High => Label::new("上限超過", "Above the limit"),
        Side::Low => Label::new("下限未満", "Below the limit"),
    };
    Definition {
        id: limit.id.clone(),
        priority: limit.priority,
        what,
        place,
        action: limit.action.clone(),
        on_delay: limit.on_delay,
        off_delay: limit.off_delay,
        latching: false,
        cause: None,
    }
}

/// Alarm id of a point without a value.
#[must_use]
pub fn no_data_id(point: &str) -> String {
    format!("{point}.no_data")
}

/// Alarm of a point without a value, folded under the silence of its source.
#[must_use]
pub fn no_data(point: &str, place: Label, cause: Option<String>) -> Definition {
    Definition {
        id: no_data_id(point),
        priority: Priority::Warning,
        what: Label::new("欠測（値が得られない）", "No data"),
        place,
        action: Label::new(
            "センサーと配線を確認してください。値が戻るまで、この場所は監視されていません。",
            "Check the sensor and its wiring. Until the value is back, nobody watches this place.",
        ),
        on_delay: Millis(0),
        off_delay: Millis(0),
        latching: false,
        cause,
    }
}

/// Alarm id of a device that does not answer.
#[must_use]
pub fn device_id(device: &str) -> String {
    format!("{device}.contact")
}

/// Alarm of a device that does not answer.
#[must_use]
pub fn device(name: &str, place: Label, on_delay: Millis) -> Definition {
    Definition {
        id: device_id(name),
        priority: Priority::Warning,
        what: Label::new("機器が応答しない", "Device does not answer"),
        place,
        action: Label::new(
            "機器の管理ポートと網を確認してください。停電中であれば残り時間は推定で数え続けます。",
            "Check the device's management port and the network. During an outage its runtime is modelled.",
        ),
        on_delay,
        off_delay: Millis(0),
        latching: false,
        cause: None,
    }
}

/// Alarm of the hosts that a run stopped; its reset says that they were started again.
pub const HOSTS_STOPPED: &str = "outage.hosts_stopped";
/// Alarm of a missing act role.
pub const ACT: &str = "outage.act";
/// A role that the supervisor restarts within this time needs nobody.
pub const ROLE_ON_DELAY: Millis = Millis(10_000);

/// Alarm of a condition that the outage engine reports; it has its own delays.
#[must_use]
pub fn power(id: &str, priority: Priority, what: Label, place: Label, action: Label) -> Definition {
    Definition {
        id: id.to_owned(),
        priority,
        what,
        place,
        action,
        on_delay: if id == ACT { ROLE_ON_DELAY } else { Millis(0) },
        off_delay: Millis(0),
        latching: false,
        cause: None,
    }
}

/// Alarm id of a part of the controller.
#[must_use]
pub const fn part_id(part: Part) -> &'static str {
    match part {
        Part::Journal => "system.journal",
        Part::JournalBroken => "system.journal_broken",
        Part::History => "system.history",
        Part::Mqtt => "system.mqtt",
        Part::Web => "system.web",
    }
}

/// Every part.
pub const PARTS: [Part; 5] = [
    Part::Journal,
    Part::JournalBroken,
    Part::History,
    Part::Mqtt,
    Part::Web,
];

/// Alarm id for frames of nodes that the site does not know.
pub const UNKNOWN_NODE: &str = "system.unknown_node";

/// Alarm for frames of nodes that the site does not know.
#[must_use]
pub fn unknown_node() -> Definition {
    Definition {
        id: UNKNOWN_NODE.to_owned(),
        priority: Priority::Warning,
        what: Label::new("登録のない端末からの通信", "Messages of an unknown node"),
        place: Label::new("監視網", "Monitoring network"),
        action: Label::new(
            "新しい端末なら site.toml に登録し、心当たりがなければ情報システム管理者へ連絡してください。",
            "If the node is new, add it to site.toml; otherwise call the system administrator.",
        ),
        on_delay: Millis(0),
        off_delay: Millis(0),
        latching: true,
        cause: None,
    }
}

/// Alarm id of a node that witnesses another journal.
#[must_use]
pub fn witness_id(node: &str) -> String {
    format!("{node}.witness")
}

/// Alarm of a node that witnesses another journal.
#[must_use]
pub fn witness(node: &str, place: Label) -> Definition {
    Definition {
        id: witness_id(node),
        priority: Priority::Critical,
        what: Label::new(
            "端末が覚えている記録と監視装置の記録が合わない",
            "A node witnesses another journal than this",
        ),
        place,
        action: Label::new(
            "監視装置の記録が巻き戻された、取り替えられた、または書き換えられた疑いがあります。ディスクをそのまま保全し、情報システム管理者へ連絡してください。控えから戻した直後なら、その旨を所見に残して復帰してください。",
            "The controller's journal may have been rolled back, exchanged or rewritten. Preserve the disk as it is and call the system administrator. If a backup was just restored, note that and reset the alarm.",
        ),
        on_delay: Millis(0),
        off_delay: Millis(0),
        latching: true,
        cause: None,
    }
}

/// Alarm of a part of the controller.
#[must_use]
pub fn part(part: Part) -> Definition {
    let (priority, what, action) = match part {
        Part::Journal => (
            Priority::Critical,
            Label::new("記録を書き込めない", "The journal cannot be written"),
            Label::new(
                "ディスクの空きと状態を確認してください。監視と停止は続きますが、記録は保留されています。",
                "Check the disk's space and health. Watching and shutdown go on; records are held back.",
            ),
        ),
        Part::JournalBroken => (
            Priority::Critical,
            Label::new(
                "記録の改変または破損を検知",
                "The journal was changed or is damaged",
            ),
            Label::new(
                "ディスクを交換せず保全し、情報システム管理者へ連絡してください。",
                "Preserve the disk as it is and call the system administrator.",
            ),
        ),
        Part::History => (
            Priority::Warning,
            Label::new("履歴を書き込めない", "The history cannot be written"),
            Label::new("ディスクの空きを確認してください。", "Check the disk's space."),
        ),
        Part::Mqtt => (
            Priority::Critical,
            Label::new("MQTT 接続がない", "No MQTT connection"),
            Label::new(
                "MQTT の中継（内蔵または外部）を確認してください。端末の値は届いていません。",
                "Check the MQTT endpoint or broker. Nothing arrives from the nodes.",
            ),
        ),
        Part::Web => (
            Priority::Advisory,
            Label::new("画面の役割が止まっている", "The web role is down"),
            Label::new(
                "自動で再起動します。繰り返すときはログを確認してください。",
                "It restarts by itself; if this repeats, look at the log.",
            ),
        ),
    };
    Definition {
        id: part_id(part).to_owned(),
        priority,
        what,
        place: Label::new("監視装置", "Controller"),
        action,
        on_delay: match part {
            Part::Web | Part::Mqtt => ROLE_ON_DELAY,
            Part::Journal | Part::JournalBroken | Part::History => Millis(0),
        },
        off_delay: Millis(0),
        latching: matches!(part, Part::JournalBroken),
        cause: None,
    }
}

/// Why a device could not be read.
#[must_use]
pub fn poll_failure(failure: &PollFailure) -> Label {
    match failure {
        PollFailure::Timeout => Label::new("応答がない", "it does not answer"),
        PollFailure::Unreachable(why) => Label::new(
            format!("到達できない（{why}）"),
            format!("it cannot be reached ({why})"),
        ),
        PollFailure::Refused(why) => Label::new(
            format!("応答を採用できない（{why}）"),
            format!("its answer was refused whole ({why})"),
        ),
        PollFailure::Stale(why) => Label::new(
            format!("中継サーバーに新しい値がない（{why}）"),
            format!("the server in between has no fresh values ({why})"),
        ),
        PollFailure::NoProfile => Label::new(
            "応答はあるが、合う機種定義がない",
            "it answers, but no profile fits it",
        ),
    }
}

/// Facts of a UPS that people look at every day.
const CHIEF_OF_UPS: [&str; 24] = [
    "output.source",
    "battery.status",
    "battery.charge",
    "battery.runtime",
    "battery.time_on",
    "battery.temperature",
    "battery.voltage",
    "battery.replace",
    "ups.load",
    "ups.realpower",
    "ups.temperature",
    "ups.overload",
    "ups.test.result",
    "ups.calibration",
    "ups.model",
    "input.voltage",
    "input.L2.voltage",
    "input.L3.voltage",
    "input.frequency",
    "output.voltage",
    "output.L2.voltage",
    "output.L3.voltage",
    "output.current",
    "output.frequency",
];

/// First and last part of the facts of other devices that people look at every day.
const CHIEF_OF_OTHERS: [(&str, &str); 23] = [
    ("input.", ".voltage"),
    ("input.", ".current"),
    ("input.", ".power"),
    ("input.", ".realpower"),
    ("input.", ".load"),
    ("input.", ".status"),
    ("input.source", ""),
    ("ambient.", ".temperature"),
    ("ambient.", ".humidity"),
    ("ambient.", ".status"),
    ("ambient.temperature", ""),
    ("ambient.humidity", ""),
    ("contact.", ""),
    ("system.health", ""),
    ("system.power", ""),
    ("system.uptime", ""),
    ("redundancy.", ""),
    ("psu.", ".health"),
    ("fan.", ".health"),
    ("raid.", ".health"),
    ("temperature.", ""),
    ("output.", ".realpower"),
    ("device.model", ""),
];

/// Whether the picture of the room carries this fact of a device although no limit watches it.
#[must_use]
pub fn is_chief(kind: DeviceKind, fact: &str) -> bool {
    if kind == DeviceKind::Ups {
        return CHIEF_OF_UPS.contains(&fact);
    }
    CHIEF_OF_OTHERS
        .iter()
        .any(|(first, last)| fact.starts_with(first) && fact[first.len() - 1..].ends_with(last))
}
