//! A notice as a machine reads it: the JSON of the webhook template `generic`, and what a command
//! gets on its standard input. A contract: it grows and never changes meaning; `version` counts
//! what could not be added without that.
//!
//! Those who asked for a test, and contacts, are not in it: what leaves the house names no person.

use super::text::{Language, line, rfc3339, text};
use super::{About, Lamp, Notice, Told};
use crate::site::{Label, Priority};
use crate::time::Wall;
use serde::Serialize;

/// The version of [`Document`].
pub const VERSION: u32 = 1;

/// The JSON of a notice.
#[derive(Debug, Clone, Serialize)]
pub struct Document {
    /// [`VERSION`].
    pub version: u32,
    /// 32 hex digits, the same for every copy of one notice: a receiver drops what it has seen.
    pub key: String,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Name of the notifier.
    pub notifier: String,
    /// Address at the notifier, where it has several.
    pub to: Option<String>,
    /// When it was decided, RFC 3339 in UTC.
    pub at: String,
    /// Name of the room.
    pub site: Both,
    /// True when it is about a simulated room.
    pub simulated: bool,
    /// `alarm`, `summary`, `test`, `heartbeat` or `lamp`; the key of that name is there, except for
    /// `test`, about which there is nothing more to say.
    pub kind: &'static str,
    /// One line for people, in the notifier's language.
    pub subject: String,
    /// The whole text for people, lines ended by `\n`.
    pub text: String,
    /// Of `alarm`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alarm: Option<Alarm>,
    /// Of `summary`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
    /// Of `heartbeat`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<Heartbeat>,
    /// Of `lamp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lamp: Option<Lamp>,
}

/// Text in both languages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Both {
    /// Japanese.
    pub ja: String,
    /// English.
    pub en: String,
}

/// What a notice says about an alarm.
#[derive(Debug, Clone, Serialize)]
pub struct Alarm {
    /// Alarm id.
    pub id: String,
    /// `raised`, `escalated`, `reminder`, `acknowledged`, `shelved` or `returned`.
    pub moment: super::Moment,
    /// `critical`, `warning` or `advisory`.
    pub priority: &'static str,
    /// A word of the catalogue's classes.
    pub class: String,
    /// What happened.
    pub what: Both,
    /// Where.
    pub place: Both,
    /// With figures.
    pub because: Both,
    /// What is probably the cause.
    pub cause: Both,
    /// What follows if nobody acts.
    pub consequence: Both,
    /// What to do.
    pub action: Both,
    /// Seconds from `since` within which somebody has to act.
    pub respond_within_s: u64,
    /// The end of that time, RFC 3339 in UTC.
    pub respond_by: String,
    /// Who has it.
    pub owner: Option<String>,
    /// Where the procedure is.
    pub procedure: Option<String>,
    /// When it was raised, RFC 3339 in UTC.
    pub since: String,
    /// Whole seconds that it has stood.
    pub lasted_s: u64,
    /// How often it was raised since it was last normal.
    pub count: u32,
    /// Alarms that are folded under it.
    pub folded: usize,
}

/// What a notice says about many alarms.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// How many of each priority.
    pub critical: usize,
    /// How many of each priority.
    pub warning: usize,
    /// How many of each priority.
    pub advisory: usize,
    /// Some of them, most urgent first.
    pub some: Vec<Listed>,
    /// How many that were told before are over.
    pub returned: usize,
}

/// One alarm of a summary.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// `critical`, `warning` or `advisory`.
    pub priority: &'static str,
    /// What happened.
    pub what: Both,
    /// Where.
    pub place: Both,
}

/// The controller lives.
#[derive(Debug, Clone, Serialize)]
pub struct Heartbeat {
    /// Counts up since the controller started.
    pub count: u64,
}

/// The JSON of a notice; `language` and `utc_offset_min` (local time minus UTC in minutes) are for
/// the texts in it.
#[must_use]
pub fn document(notice: &Notice, language: Language, utc_offset_min: i16) -> Document {
    let read = text(notice, language, utc_offset_min);
    let mut document = Document {
        version: VERSION,
        key: notice.id(),
        attempt: notice.attempt,
        notifier: line(&notice.notifier),
        to: notice.to.as_deref().map(line),
        at: rfc3339(notice.at),
        site: both(&notice.site),
        simulated: notice.simulated,
        kind: "test",
        subject: read.subject,
        text: read.body,
        alarm: None,
        summary: None,
        heartbeat: None,
        lamp: None,
    };
    document.kind = match &notice.about {
        About::Alarm(told) => {
            document.alarm = Some(alarm(told));
            "alarm"
        }
        About::Summary(summary) => {
            let [critical, warning, advisory] = summary.counts;
            let listed = summary.some.iter().take(super::text::MAX_LISTED);
            document.summary = Some(Summary {
                critical,
                warning,
                advisory,
                some: listed
                    .map(|(priority, what, place)| Listed {
                        priority: word(*priority),
                        what: both(what),
                        place: both(place),
                    })
                    .collect(),
                returned: summary.returned,
            });
            "summary"
        }
        About::Test { .. } => "test",
        About::Heartbeat { count } => {
            document.heartbeat = Some(Heartbeat { count: *count });
            "heartbeat"
        }
        About::Lamp(lamp) => {
            document.lamp = Some(*lamp);
            "lamp"
        }
    };
    document
}

/// The stable word of a priority.
#[must_use]
pub const fn word(priority: Priority) -> &'static str {
    match priority {
        Priority::Critical => "critical",
        Priority::Warning => "warning",
        Priority::Advisory => "advisory",
    }
}

fn both(label: &Label) -> Both {
    Both {
        ja: line(&label.ja),
        en: line(&label.en),
    }
}

fn alarm(told: &Told) -> Alarm {
    let by = Wall(told.since.0.saturating_add_unsigned(told.respond_within.0));
    Alarm {
        id: line(&told.alarm),
        moment: told.moment,
        priority: word(told.priority),
        class: line(&told.class),
        what: both(&told.what),
        place: both(&told.place),
        because: both(&told.because),
        cause: both(&told.cause),
        consequence: both(&told.consequence),
        action: both(&told.action),
        respond_within_s: told.respond_within.0 / 1000,
        respond_by: rfc3339(by),
        owner: told.owner.as_ref().map(|owner| line(&owner.ja)),
        procedure: told.procedure.as_deref().map(line),
        since: rfc3339(told.since),
        lasted_s: told.lasted.0 / 1000,
        count: told.count,
        folded: told.folded,
    }
}
