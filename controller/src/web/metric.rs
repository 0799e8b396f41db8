//! `GET /metrics`: the picture and our own counters in the Prometheus text format (0.0.4).
//!
//! A point without a value has no value line, never a zero; its reason has a line of its own.
//! While core is away there are no lines of the room at all.

use super::App;
use super::link::CoreState;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use room::site::Priority;
use room::snapshot::{AlarmState, PowerMode, Snapshot};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// Everything in Prometheus text.
#[utoipa::path(
    get, path = "/metrics", tag = "operation",
    responses((status = 200, description = "Prometheus text format 0.0.4", content_type = "text/plain", body = String))
)]
pub(super) async fn metrics(State(app): State<App>) -> Response {
    let mut text = Text::default();
    let state = app.core.state();
    own(&mut text, &app, matches!(state, CoreState::Linked { .. }));
    if let CoreState::Linked {
        picture: Some(picture),
    } = state
    {
        let waited = crate::clock::now().mono.since(picture.received).as_secs_f64();
        match serde_json::from_slice::<Snapshot>(&picture.json) {
            Ok(snapshot) => room(&mut text, &snapshot, waited),
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the picture does not decode"
                );
            }
        }
    }
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        text.0,
    )
        .into_response()
}

/// Lines under their HELP and TYPE.
#[derive(Default)]
pub(super) struct Text(pub(super) String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        for (i, (key, text)) in labels.iter().enumerate() {
            let _ = write!(self.0, "{}{key}=\"", if i == 0 { '{' } else { ',' });
            escape(&mut self.0, text);
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: f64) {
        self.head(name, kind, help);
        self.line(name, &[], value);
    }
}

/// The three characters that mean something inside a label.
fn escape(into: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '\\' => into.push_str("\\\\"),
            '"' => into.push_str("\\\""),
            '\n' => into.push_str("\\n"),
            other => into.push(other),
        }
    }
}

fn own(text: &mut Text, app: &App, linked: bool) {
    text.head("yagura_build_info", "gauge", "Version of this binary.");
    text.line(
        "yagura_build_info",
        &[("version", env!("CARGO_PKG_VERSION"))],
        1.0,
    );
    text.one(
        "yagura_core_linked",
        "gauge",
        "1 while the core role answers.",
        if linked { 1.0 } else { 0.0 },
    );
    text.one(
        "yagura_web_streams",
        "gauge",
        "Live streams (pages) open now.",
        as_f64((super::MAX_STREAMS - app.streams.available_permits()) as u64),
    );
    let c = &app.counters;
    let counters: [(&str, &str, &AtomicU64); 12] = [
        ("requests", "Requests.", &c.requests),
        ("forged_requests", "Requests refused as forged.", &c.forged),
        (
            "malformed_requests",
            "Requests refused for body or parameters.",
            &c.malformed,
        ),
        (
            "slow_bodies",
            "Bodies that did not arrive in time.",
            &c.slow_bodies,
        ),
        ("connections", "Connections accepted.", &c.connections),
        (
            "broken_connections",
            "Connections that ended with an error.",
            &c.broken_connections,
        ),
        (
            "accept_errors",
            "Connections that could not be accepted.",
            &c.accept_errors,
        ),
        ("panics", "Handlers that panicked.", &c.panics),
        (
            "refused_streams",
            "Streams refused because too many are open.",
            &c.refused_streams,
        ),
        (
            "lagged_streams",
            "Streams cut because their reader fell behind.",
            &c.lagged_streams,
        ),
        (
            "core_link_losses",
            "Times the link to core was lost.",
            &c.link_losses,
        ),
        (
            "unanswered",
            "Questions that core did not answer in time.",
            &c.unanswered,
        ),
    ];
    for (name, help, value) in counters {
        let name = format!("yagura_web_{name}_total");
        text.one(&name, "counter", help, as_f64(value.load(Ordering::Relaxed)));
    }
}

/// `waited`: seconds since the picture came, to be added to every age in it.
pub(super) fn room(text: &mut Text, snapshot: &Snapshot, waited: f64) {
    text.one(
        "yagura_snapshot_age_seconds",
        "gauge",
        "Age of the picture of the room.",
        waited,
    );
    text.one(
        "yagura_simulated",
        "gauge",
        "1 when the room is simulated.",
        if snapshot.simulated { 1.0 } else { 0.0 },
    );
    points(text, snapshot, waited);
    alarms(text, snapshot);
    sources(text, snapshot, waited);
    power(text, snapshot);
    text.head(
        "yagura_count_total",
        "counter",
        "Refused, dropped and failed things, by name.",
    );
    for (name, value) in &snapshot.counters {
        text.line("yagura_count_total", &[("name", name)], as_f64(*value));
    }
}

fn points(text: &mut Text, snapshot: &Snapshot, waited: f64) {
    text.head(
        "yagura_point_value",
        "gauge",
        "Value of a point in its unit; absent without data.",
    );
    for point in &snapshot.points {
        if let Some(value) = point.value {
            let labels = [
                ("point", point.id.as_str()),
                ("source", &point.source),
                ("quantity", &point.quantity),
                ("unit", &point.unit),
            ];
            text.line("yagura_point_value", &labels, value);
        }
    }
    text.head(
        "yagura_point_state",
        "gauge",
        "1 for the state word of a point that has one.",
    );
    for point in &snapshot.points {
        if let Some(state) = &point.state {
            text.line(
                "yagura_point_state",
                &[("point", &point.id), ("state", state)],
                1.0,
            );
        }
    }
    text.head(
        "yagura_point_no_data",
        "gauge",
        "1 for a point without a value, by reason.",
    );
    for point in &snapshot.points {
        if let Some(reason) = &point.no_data {
            text.line(
                "yagura_point_no_data",
                &[("point", &point.id), ("reason", reason)],
                1.0,
            );
        }
    }
    text.head(
        "yagura_point_age_seconds",
        "gauge",
        "Age of the last word on a point.",
    );
    for point in &snapshot.points {
        if let Some(age) = point.age_ms {
            text.line(
                "yagura_point_age_seconds",
                &[("point", &point.id)],
                seconds(age) + waited,
            );
        }
    }
}

fn alarms(text: &mut Text, snapshot: &Snapshot) {
    text.head(
        "yagura_alarms",
        "gauge",
        "Alarms that are not normal, by state and priority.",
    );
    for state in STATES {
        for priority in PRIORITIES {
            let n = snapshot
                .alarms
                .iter()
                .filter(|alarm| alarm.state == state && alarm.priority == priority)
                .count();
            let labels = [
                ("state", state_word(state)),
                ("priority", priority_word(priority)),
            ];
            text.line("yagura_alarms", &labels, as_f64(n as u64));
        }
    }
    text.head(
        "yagura_alarms_left_out",
        "gauge",
        "Alarms that are not normal and are counted nowhere else here: the least urgent of very many.",
    );
    text.line("yagura_alarms_left_out", &[], f64::from(snapshot.alarms_left_out));
    text.head("yagura_alarm", "gauge", "1 for each alarm that is not normal.");
    for alarm in &snapshot.alarms {
        let labels = [
            ("alarm", alarm.id.as_str()),
            ("state", state_word(alarm.state)),
            ("priority", priority_word(alarm.priority)),
        ];
        text.line("yagura_alarm", &labels, 1.0);
    }
}

fn sources(text: &mut Text, snapshot: &Snapshot, waited: f64) {
    text.head(
        "yagura_source_up",
        "gauge",
        "1 when a node is alive or a device answers.",
    );
    for node in &snapshot.nodes {
        let up = if node.state == "alive" { 1.0 } else { 0.0 };
        text.line(
            "yagura_source_up",
            &[("source", &node.name), ("kind", "node")],
            up,
        );
    }
    for device in &snapshot.devices {
        let up = if device.state == "answering" { 1.0 } else { 0.0 };
        text.line(
            "yagura_source_up",
            &[("source", &device.name), ("kind", "device")],
            up,
        );
    }
    text.head(
        "yagura_source_age_seconds",
        "gauge",
        "Age of the last word of a node or device.",
    );
    let ages = snapshot.nodes.iter().map(|node| (&node.name, node.age_ms)).chain(
        snapshot
            .devices
            .iter()
            .map(|device| (&device.name, device.age_ms)),
    );
    for (source, age) in ages {
        if let Some(age) = age {
            text.line(
                "yagura_source_age_seconds",
                &[("source", source)],
                seconds(age) + waited,
            );
        }
    }
    text.head(
        "yagura_node_refused_frames_total",
        "counter",
        "Frames refused in a node's name.",
    );
    for node in &snapshot.nodes {
        text.line(
            "yagura_node_refused_frames_total",
            &[("source", &node.name)],
            as_f64(node.refused),
        );
    }
    text.head(
        "yagura_node_missing_events_total",
        "counter",
        "Events of a node known to be missing.",
    );
    for node in &snapshot.nodes {
        text.line(
            "yagura_node_missing_events_total",
            &[("source", &node.name)],
            as_f64(node.missing),
        );
    }
}

fn power(text: &mut Text, snapshot: &Snapshot) {
    let power = &snapshot.power;
    text.head(
        "yagura_power_mode",
        "gauge",
        "1 for the mode of the room's power.",
    );
    for mode in MODES {
        let is = if power.mode == mode { 1.0 } else { 0.0 };
        text.line("yagura_power_mode", &[("mode", mode_word(mode))], is);
    }
    let spans = [
        ("margin", "Usable runtime less plan and reserve.", power.margin_s),
        ("runtime", "Usable runtime.", power.runtime_s),
        ("plan", "Length of the shutdown plan.", power.plan_s),
        ("reserve", "Kept back by the policy.", power.reserve_s),
        (
            "starts_in",
            "Time until the plan starts by itself.",
            power.starts_in_s,
        ),
        ("outage", "Time since mains was lost.", power.outage_s),
    ];
    for (name, help, value) in spans {
        if let Some(value) = value {
            text.one(&format!("yagura_power_{name}_seconds"), "gauge", help, value);
        }
    }
    let figures: [(&str, &str, UpsFigure); 4] = [
        ("yagura_ups_charge_percent", "State of charge.", |ups| {
            ups.charge_percent
        }),
        ("yagura_ups_runtime_seconds", "Runtime.", |ups| ups.runtime_s),
        ("yagura_ups_load_percent", "Load.", |ups| ups.load_percent),
        (
            "yagura_ups_on_battery_seconds",
            "Time on battery by our own clock.",
            |ups| ups.on_battery_s,
        ),
    ];
    for (name, help, figure) in figures {
        text.head(name, "gauge", help);
        for ups in &power.ups {
            if let Some(value) = figure(ups) {
                let modelled = if ups.modelled { "true" } else { "false" };
                text.line(name, &[("ups", &ups.name), ("modelled", modelled)], value);
            }
        }
    }
    text.head(
        "yagura_ups_source",
        "gauge",
        "1 for what a UPS's output lives on.",
    );
    for ups in &power.ups {
        text.line(
            "yagura_ups_source",
            &[
                ("ups", &ups.name),
                ("source", &ups.source),
                ("contact", &ups.contact),
            ],
            1.0,
        );
    }
}

type UpsFigure = fn(&room::snapshot::Ups) -> Option<f64>;

#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus counts in doubles; exact up to 2^53"
)]
fn as_f64(value: u64) -> f64 {
    value as f64
}

fn seconds(millis: u64) -> f64 {
    room::time::Millis(millis).as_secs_f64()
}

const STATES: [AlarmState; 7] = [
    AlarmState::Unacknowledged,
    AlarmState::Acknowledged,
    AlarmState::ReturnedUnacknowledged,
    AlarmState::Latched,
    AlarmState::Shelved,
    AlarmState::Suppressed,
    AlarmState::OutOfService,
];

const fn state_word(state: AlarmState) -> &'static str {
    match state {
        AlarmState::Unacknowledged => "unacknowledged",
        AlarmState::Acknowledged => "acknowledged",
        AlarmState::ReturnedUnacknowledged => "returned_unacknowledged",
        AlarmState::Latched => "latched",
        AlarmState::Shelved => "shelved",
        AlarmState::Suppressed => "suppressed",
        AlarmState::OutOfService => "out_of_service",
    }
}

const PRIORITIES: [Priority; 3] = [Priority::Critical, Priority::Warning, Priority::Advisory];

const fn priority_word(priority: Priority) -> &'static str {
    match priority {
        Priority::Advisory => "advisory",
        Priority::Warning => "warning",
        Priority::Critical => "critical",
    }
}

const MODES: [PowerMode; 6] = [
    PowerMode::Unknown,
    PowerMode::Mains,
    PowerMode::Reduced,
    PowerMode::Battery,
    PowerMode::Stopping,
    PowerMode::Stopped,
];

const fn mode_word(mode: PowerMode) -> &'static str {
    match mode {
        PowerMode::Unknown => "unknown",
        PowerMode::Mains => "mains",
        PowerMode::Reduced => "reduced",
        PowerMode::Battery => "battery",
        PowerMode::Stopping => "stopping",
        PowerMode::Stopped => "stopped",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn label_values_cannot_break_out_of_their_line() {
        let mut text = Text::default();
        text.line("m", &[("a", "x\"} 1\nforged 1\\"), ("b", "室")], 2.5);
        assert_eq!(text.0, "m{a=\"x\\\"} 1\\nforged 1\\\\\",b=\"室\"} 2.5\n");
    }

    #[test]
    fn words_are_those_of_the_api() {
        for state in STATES {
            assert_eq!(
                serde_json::to_value(state).unwrap(),
                Value::from(state_word(state))
            );
        }
        for priority in PRIORITIES {
            assert_eq!(
                serde_json::to_value(priority).unwrap(),
                Value::from(priority_word(priority))
            );
        }
        for mode in MODES {
            assert_eq!(serde_json::to_value(mode).unwrap(), Value::from(mode_word(mode)));
        }
    }
}
