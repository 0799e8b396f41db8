//! The alarms that every site has, in words a person can act on: what, why it matters, what to do.
//!
//! [`Kind`] is what an alarm is about and what it says, once for all of its kind; the functions
//! here make the alarms of a thing in the room. Limits of the site bring their own action text.

use crate::alarm::Definition;
use crate::device::PollFailure;
use crate::event::Part;
use crate::maintenance::Window;
use crate::site::{Channel, ContactKind, DeviceKind, Label, Limit, Priority, Side};
use crate::time::Millis;
use shared::Quantity;

mod advice;
mod fact;
mod kind;
mod node;
mod portal;
mod redundancy;

pub use fact::fact_label;
pub use kind::{Advice, Class, Kind, Owner, SHIPPED, Text};
pub use node::{
    CLOCK_SAMPLES, CLOCK_STEPS, LIST_PATIENCE, LOST_BEATS, NodeTrouble, ROTATION_PATIENCE, SILENT_BEATS,
    is_guard, lost_after, node, node_clock, node_clock_id, node_id,
};
pub use portal::{CARDS_OVERDUE, HELD_LONG, PortalTrouble, cards_overdue, portal, portal_id};
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
    let (about, on_delay) = match kind {
        ContactKind::Door => (Kind::DoorForced, Millis(0)),
        ContactKind::Leak => (Kind::Leak, LEAK_ON_DELAY),
        ContactKind::Smoke => (Kind::Smoke, Millis(0)),
        ContactKind::Tamper => (Kind::Tamper, Millis(0)),
        ContactKind::FirePanel => (Kind::FirePanel, Millis(0)),
        ContactKind::ExtinguishingAgent => (Kind::AgentLow, RELAY_ON_DELAY),
        ContactKind::Breaker => (Kind::BreakerTripped, RELAY_ON_DELAY),
        ContactKind::SurgeProtector => (Kind::SurgeProtector, RELAY_ON_DELAY),
        ContactKind::MainsPresent => (Kind::FeedLost, RELAY_ON_DELAY),
        ContactKind::Window => (Kind::WindowOpen, WINDOW_ON_DELAY),
        ContactKind::Rack => (Kind::RackOpen, RACK_ON_DELAY),
        ContactKind::LockBolt | ContactKind::RequestToExit | ContactKind::KeyOverride => return None,
    };
    Some(Definition {
        on_delay,
        ..Definition::of(about, contact_id(&channel.point, kind), channel.label.clone())
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
    Definition::of(
        Kind::ContactChattering,
        chattering_id(&channel.point),
        channel.label.clone(),
    )
}

/// Alarm id of a leak rope that is cut or shorted.
#[must_use]
pub fn rope_id(point: &str) -> String {
    format!("{point}.rope")
}

/// Alarm of a leak rope that is cut or shorted: until it is mended, water is not noticed.
#[must_use]
pub fn rope(channel: &Channel) -> Definition {
    Definition::of(
        Kind::LeakRopeBroken,
        rope_id(&channel.point),
        channel.label.clone(),
    )
}

/// Alarm id of an accelerometer that felt an earthquake.
#[must_use]
pub fn shock_id(point: &str) -> String {
    format!("{point}.shock")
}

/// Alarm of an earthquake. It stands until somebody has looked at the room.
#[must_use]
pub fn shock(channel: &Channel) -> Definition {
    Definition::of(Kind::Shaken, shock_id(&channel.point), channel.label.clone())
}

/// What a limit is about: temperature and humidity have words of their own. What a device calls
/// so is known by its unit and name, for its facts have no quantity.
#[must_use]
pub fn limit_kind(limit: &Limit, quantity: Option<Quantity>) -> Kind {
    let last = limit.point.rsplit('.').next().unwrap_or_default();
    let is_temperature =
        quantity == Some(Quantity::Temperature) || (quantity.is_none() && last == "temperature");
    let is_humidity = quantity == Some(Quantity::Humidity) || (quantity.is_none() && last == "humidity");
    match (limit.side, is_temperature, is_humidity) {
        (Side::High, true, _) if limit.priority == Priority::Critical => Kind::TemperatureHighHigh,
        (Side::High, true, _) => Kind::TemperatureHigh,
        (Side::Low, true, _) => Kind::TemperatureLow,
        (Side::High, _, true) => Kind::HumidityHigh,
        (Side::Low, _, true) => Kind::HumidityLow,
        (Side::High, ..) => Kind::LimitHigh,
        (Side::Low, ..) => Kind::LimitLow,
    }
}

/// Alarm of a limit.
#[must_use]
pub fn limit(limit: &Limit, place: Label, quantity: Option<Quantity>) -> Definition {
    limit_of(limit, place, limit_kind(limit, quantity))
}

/// Alarm of a limit of a known kind.
#[must_use]
pub fn limit_of(limit: &Limit, place: Label, kind: Kind) -> Definition {
    Definition {
        priority: limit.priority,
        on_delay: limit.on_delay,
        off_delay: limit.off_delay,
        own_action: Some(limit.action.clone()),
        ..Definition::of(kind, limit.id.clone(), place)
    }
}

/// Alarm id of a point without a value.
#[must_use]
pub fn no_data_id(point: &str) -> String {
    format!("{point}.no_data")
}

/// Alarm of a point without a value, folded under the silence of its source and what is behind it.
#[must_use]
pub fn no_data(point: &str, place: Label, folded_under: Vec<String>) -> Definition {
    Definition {
        folded_under,
        ..Definition::of(Kind::NoData, no_data_id(point), place)
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
        on_delay,
        ..Definition::of(Kind::DeviceUnreachable, device_id(name), place)
    }
}

/// Alarm of the hosts that a run stopped; its reset says that they were started again.
pub const HOSTS_STOPPED: &str = "outage.hosts_stopped";
/// Alarm of the hosts that are being started again, or wait for it.
pub const HOSTS_RETURNING: &str = "outage.return";
/// A role that the supervisor restarts within this time needs nobody.
pub const ROLE_ON_DELAY: Millis = Millis(10_000);

/// Alarm of a condition that the outage engine reports; it has its own delays.
#[must_use]
pub fn power(id: &str, kind: Kind, own_what: Option<Label>, place: Label) -> Definition {
    Definition {
        own_what,
        on_delay: match kind {
            Kind::ActGone => ROLE_ON_DELAY,
            // Some flicker several times a day.
            Kind::BatteryWear => crate::battery::FLAG_HOLDS,
            _ => Millis(0),
        },
        ..Definition::of(kind, id, place)
    }
}

/// Alarm id of a part of the controller.
#[must_use]
pub const fn part_id(part: Part) -> &'static str {
    match part {
        Part::Journal => "system.journal",
        Part::JournalBroken => "system.journal_broken",
        Part::EntryLog => "system.entry_log",
        Part::History => "system.history",
        Part::Mqtt => "system.mqtt",
        Part::Web => "system.web",
        Part::Nut => "system.nut",
    }
}

/// Every part.
pub const PARTS: [Part; 7] = [
    Part::Journal,
    Part::JournalBroken,
    Part::EntryLog,
    Part::History,
    Part::Mqtt,
    Part::Web,
    Part::Nut,
];

/// Alarm id for frames of nodes that the site does not know.
pub const UNKNOWN_NODE: &str = "system.unknown_node";

/// Alarm for frames of nodes that the site does not know.
#[must_use]
pub fn unknown_node() -> Definition {
    Definition::of(
        Kind::UnknownNode,
        UNKNOWN_NODE,
        Label::new("監視網", "Monitoring network"),
    )
}

/// Alarm id of a node that witnesses another journal.
#[must_use]
pub fn witness_id(node: &str) -> String {
    format!("{node}.witness")
}

/// Alarm of a node that witnesses another journal.
#[must_use]
pub fn witness(node: &str, place: Label) -> Definition {
    Definition::of(Kind::WitnessDisagrees, witness_id(node), place)
}

/// Alarm of a part of the controller.
#[must_use]
pub fn part(part: Part) -> Definition {
    let (kind, on_delay) = match part {
        Part::Journal => (Kind::Journal, Millis(0)),
        Part::JournalBroken => (Kind::LogCheckFailed, Millis(0)),
        Part::EntryLog => (Kind::EntryLog, Millis(0)),
        Part::History => (Kind::History, Millis(0)),
        Part::Mqtt => (Kind::MqttDown, ROLE_ON_DELAY),
        Part::Web => (Kind::WebDown, ROLE_ON_DELAY),
        Part::Nut => (Kind::NutServerDown, ROLE_ON_DELAY),
    };
    Definition {
        on_delay,
        ..Definition::of(kind, part_id(part), Label::new("監視装置", "Controller"))
    }
}

/// A host whose NUT client is away for less than this starts again, or its network does.
pub const NUT_CLIENT_ON_DELAY: Millis = Millis(5 * 60_000);

/// Id of the alarm that no NUT client of a host is logged in.
#[must_use]
pub fn nut_client_id(host: &str) -> String {
    format!("{host}.nut_client")
}

/// Alarm that no NUT client of a host is logged in.
#[must_use]
pub fn nut_client(host: &str, place: Label, folded_under: Vec<String>) -> Definition {
    Definition {
        on_delay: NUT_CLIENT_ON_DELAY,
        folded_under,
        ..Definition::of(Kind::NutClientMissing, nut_client_id(host), place)
    }
}

/// Alarm of a maintenance window that waits for its result.
#[must_use]
pub fn maintenance_result(window: &Window) -> Definition {
    let scope = window.scope.join(", ");
    Definition::of(
        Kind::MaintenanceResult,
        crate::maintenance::result_id(window.id),
        Label::new(scope.clone(), scope),
    )
}

/// Why a maintenance window waits for its result: what was to be done.
#[must_use]
pub fn maintenance_because(window: &Window) -> Label {
    let work = match &window.work_order {
        Some(order) => format!("{} ({order})", window.reason),
        None => window.reason.clone(),
    };
    Label::new(format!("作業: {work}"), format!("work: {work}"))
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
