//! Traps and informs by our own MIB (`deploy/mibs/YAGURA-MIB.txt`), SNMP v2c and v3.
//!
//! An inform is acknowledged by the station or the attempt fails; of a trap nobody knows whether it
//! arrived, which is why informs are the default. The arcs below are the MIB's: a test reads them
//! from the file, so that neither can change alone. The enterprise number 32473 is the one kept for
//! documentation (RFC 5612); who has his own replaces it here and there, in one line each.

use super::cut;
use crate::clock;
use crate::snmp::{Access, Client, Error, Notification, Oid, Target, Usm, Value};
use room::notice::text::{Language, line};
use room::notice::{About, Moment, Notice, SendFailure, Told};
use room::site::link::SnmpAccess;
use room::site::notifier::snmp as config;
use room::site::{Label, Priority};
use room::time::{Mono, Wall};
use std::error::Error as _;
use std::path::PathBuf;
use std::time::Duration;

/// `yaguraMIB`
const MIB: [u32; 8] = [1, 3, 6, 1, 4, 1, 32473, 1];
/// `yaguraNotifications`
const NOTIFICATIONS: u32 = 0;
/// `yaguraObjects`
const OBJECTS: u32 = 1;
/// Longest text of an object in bytes (`YaguraText`), so that the largest notification stays below
/// what UDP carries without fragments on any network with room for 1,500 bytes and some: eight
/// texts at most.
const TEXT_MAX: usize = 255;

/// Arcs of the notifications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Raised = 1,
    Returned = 2,
    Acknowledged = 3,
    Shelved = 4,
    StillStanding = 5,
    Summary = 6,
    Test = 7,
    Heartbeat = 8,
}

impl Kind {
    #[cfg(test)]
    const ALL: [(&'static str, Self); 8] = [
        ("yaguraAlarmRaised", Self::Raised),
        ("yaguraAlarmReturned", Self::Returned),
        ("yaguraAlarmAcknowledged", Self::Acknowledged),
        ("yaguraAlarmShelved", Self::Shelved),
        ("yaguraAlarmStillStanding", Self::StillStanding),
        ("yaguraAlarmSummary", Self::Summary),
        ("yaguraTest", Self::Test),
        ("yaguraHeartbeat", Self::Heartbeat),
    ];
}

/// Arcs of the objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Object {
    Site = 1,
    NoticeKey = 2,
    Simulated = 3,
    AlarmId = 4,
    Priority = 5,
    Class = 6,
    What = 7,
    Place = 8,
    Because = 9,
    Action = 10,
    RespondWithin = 11,
    Since = 12,
    Lasted = 13,
    Count = 14,
    Folded = 15,
    SummaryCritical = 16,
    SummaryWarning = 17,
    SummaryAdvisory = 18,
    HeartbeatCount = 19,
    Escalated = 20,
}

impl Object {
    #[cfg(test)]
    const ALL: [(&'static str, Self); 20] = [
        ("yaguraSite", Self::Site),
        ("yaguraNoticeKey", Self::NoticeKey),
        ("yaguraSimulated", Self::Simulated),
        ("yaguraAlarmId", Self::AlarmId),
        ("yaguraAlarmPriority", Self::Priority),
        ("yaguraAlarmClass", Self::Class),
        ("yaguraAlarmWhat", Self::What),
        ("yaguraAlarmPlace", Self::Place),
        ("yaguraAlarmBecause", Self::Because),
        ("yaguraAlarmAction", Self::Action),
        ("yaguraAlarmRespondWithin", Self::RespondWithin),
        ("yaguraAlarmSince", Self::Since),
        ("yaguraAlarmLasted", Self::Lasted),
        ("yaguraAlarmCount", Self::Count),
        ("yaguraAlarmFolded", Self::Folded),
        ("yaguraSummaryCritical", Self::SummaryCritical),
        ("yaguraSummaryWarning", Self::SummaryWarning),
        ("yaguraSummaryAdvisory", Self::SummaryAdvisory),
        ("yaguraHeartbeatCount", Self::HeartbeatCount),
        ("yaguraAlarmEscalated", Self::Escalated),
    ];
}

/// A management station.
pub(super) struct Snmp {
    config: config::Snmp,
    client: Option<Client>,
    /// Where our engine's id and boots are kept.
    data_dir: PathBuf,
    since: Mono,
    target: Option<Target>,
}

impl Snmp {
    pub(super) fn new(config: config::Snmp, client: Option<Client>, data_dir: PathBuf) -> Self {
        Self {
            config,
            client,
            data_dir,
            since: clock::now().mono,
            target: None,
        }
    }

    /// Sends a notice once; an inform that is not acknowledged is repeated by the protocol within
    /// this one attempt.
    ///
    /// # Errors
    /// No acknowledgement, or a password that cannot be read; both may pass.
    pub(super) async fn send(&mut self, notice: &Notice) -> Result<(), SendFailure> {
        let hundredths = clock::now().mono.since(self.since).0 / 10;
        let up_time = u32::try_from(hundredths % (1 << 32)).expect("below 2^32");
        let notification = notification(notice, self.config.language, up_time)
            .ok_or_else(|| SendFailure::lasting("lamps are shown by signal towers only"))?;
        let target = self.target()?;
        let client = self.client().await?;
        let sent = if self.config.inform {
            client.inform(&target, &notification).await
        } else {
            let own = client
                .own_engine(&self.data_dir)
                .map_err(|error| SendFailure::passing(error.to_string()))?;
            client
                .trap(target.addr, &target.access, &own, &notification)
                .await
        };
        sent.map_err(|error| failure(&error))
    }

    async fn client(&mut self) -> Result<Client, SendFailure> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let client = Client::bind().await.map_err(|error| failure(&error))?;
        Ok(self.client.insert(client).clone())
    }

    /// Keeps what is learnt about the station's engine; the passwords are read until they can be.
    fn target(&mut self) -> Result<Target, SendFailure> {
        if let Some(target) = &self.target {
            return Ok(target.clone());
        }
        let access = match &self.config.access {
            SnmpAccess::V1(community) => Access::V1(community.clone()),
            SnmpAccess::V2c(community) => Access::V2c(community.clone()),
            SnmpAccess::V3(user) => {
                Access::v3(Usm::read(user).map_err(|error| SendFailure::passing(error.to_string()))?)
            }
        };
        let timeout = Duration::from_millis(self.config.timeout.0);
        let target = Target::new(self.config.addr, access, timeout, self.config.retries);
        Ok(self.target.insert(target).clone())
    }
}

/// A refusal names its cause in the source of the error.
fn failure(error: &Error) -> SendFailure {
    let cause = error
        .source()
        .map_or_else(String::new, |source| format!(": {source}"));
    SendFailure::passing(format!("{error}{cause}"))
}

/// A notice as a notification of the MIB; nothing for a lamp.
fn notification(notice: &Notice, language: Language, up_time: u32) -> Option<Notification> {
    let mut objects = vec![
        object(Object::Site, text(pick(&notice.site, language))),
        object(Object::NoticeKey, text(&notice.id())),
        object(Object::Simulated, truth(notice.simulated)),
    ];
    let kind = match &notice.about {
        About::Alarm(told) => {
            objects.extend(alarm(told, language));
            match told.moment {
                Moment::Raised => Kind::Raised,
                Moment::Returned => Kind::Returned,
                Moment::Acknowledged => Kind::Acknowledged,
                Moment::Shelved => Kind::Shelved,
                Moment::Reminder | Moment::Escalated => {
                    objects.push(object(Object::Escalated, truth(told.moment == Moment::Escalated)));
                    Kind::StillStanding
                }
            }
        }
        About::Summary(summary) => {
            let names = [
                Object::SummaryCritical,
                Object::SummaryWarning,
                Object::SummaryAdvisory,
            ];
            for (name, count) in names.into_iter().zip(summary.counts) {
                objects.push(object(name, whole(u64::try_from(count).unwrap_or(u64::MAX))));
            }
            Kind::Summary
        }
        // Who asked for it is a person's name.
        About::Test { .. } => Kind::Test,
        About::Heartbeat { count } => {
            objects.push(object(Object::HeartbeatCount, whole(*count)));
            Kind::Heartbeat
        }
        About::Lamp(_) => return None,
    };
    Some(Notification {
        up_time,
        id: oid(&[NOTIFICATIONS, kind as u32]),
        objects,
    })
}

fn alarm(told: &Told, language: Language) -> [(Oid, Value); 12] {
    let priority = match told.priority {
        Priority::Advisory => 1,
        Priority::Warning => 2,
        Priority::Critical => 3,
    };
    [
        object(Object::AlarmId, text(&told.alarm)),
        object(Object::Priority, Value::Integer(priority)),
        object(Object::Class, text(&told.class)),
        object(Object::What, text(pick(&told.what, language))),
        object(Object::Place, text(pick(&told.place, language))),
        object(Object::Because, text(pick(&told.because, language))),
        object(Object::Action, text(pick(&told.action, language))),
        object(Object::RespondWithin, whole(told.respond_within.0 / 1000)),
        object(Object::Since, Value::Bytes(date_and_time(told.since))),
        object(Object::Lasted, whole(told.lasted.0 / 1000)),
        object(Object::Count, whole(u64::from(told.count))),
        object(
            Object::Folded,
            whole(u64::try_from(told.folded).unwrap_or(u64::MAX)),
        ),
    ]
}

fn pick(label: &Label, language: Language) -> &str {
    match language {
        Language::Ja => &label.ja,
        Language::En => &label.en,
    }
}

fn oid(arcs: &[u32]) -> Oid {
    Oid::new([&MIB[..], arcs].concat()).expect("a few arcs below an enterprise")
}

fn object(object: Object, value: Value) -> (Oid, Value) {
    (oid(&[OBJECTS, object as u32, 0]), value)
}

fn text(text: &str) -> Value {
    Value::Bytes(cut(&line(text), TEXT_MAX).as_bytes().to_vec())
}

/// `Unsigned32`; what is larger says so by its largest value.
fn whole(n: u64) -> Value {
    Value::Unsigned(n.min(u64::from(u32::MAX)))
}

/// `TruthValue`, RFC 2579.
fn truth(is_true: bool) -> Value {
    Value::Integer(if is_true { 1 } else { 2 })
}

/// `DateAndTime`, RFC 2579, in UTC with its eleven octets. A moment outside of years 0 to 9999 is
/// the standard's "no such time": eight zeros.
fn date_and_time(at: Wall) -> Vec<u8> {
    let moment = jiff::Timestamp::from_millisecond(at.0)
        .ok()
        .map(|at| at.to_zoned(jiff::tz::TimeZone::UTC));
    let Some(moment) = moment.filter(|moment| (0..=9999).contains(&moment.year())) else {
        return vec![0; 8];
    };
    let [high, low] = moment.year().to_be_bytes();
    let part = |n: i8| n.unsigned_abs();
    let tenths = u8::try_from(moment.millisecond() / 100).unwrap_or_default();
    vec![
        high,
        low,
        part(moment.month()),
        part(moment.day()),
        part(moment.hour()),
        part(moment.minute()),
        part(moment.second()),
        tenths,
        b'+',
        0,
        0,
    ]
}

#[cfg(test)]
mod tests {
    use super::super::samples::{any_notice, leak, notice};
    use super::*;
    use proptest::prelude::*;
    use room::notice::Lamp;

    const MIB_FILE: &str = include_str!("../../../../deploy/mibs/YAGURA-MIB.txt");

    /// `name ... ::= { parent arc }` of the file, in its order.
    fn arcs(macro_name: &str, parent: &str) -> Vec<(String, u32)> {
        let mut found = Vec::new();
        let mut name = None;
        for line in MIB_FILE.lines() {
            let mut words = line.split_whitespace();
            if let (Some(first), Some(second), None) = (words.next(), words.next(), words.next())
                && second == macro_name
            {
                name = Some(first.to_owned());
            }
            let arc = line
                .trim()
                .strip_prefix("::= {")
                .and_then(|rest| rest.trim().strip_prefix(parent))
                .and_then(|rest| rest.trim_end_matches('}').trim().parse().ok());
            if let (Some(arc), Some(name)) = (arc, name.take_if(|_| line.contains("::="))) {
                found.push((name, arc));
            }
        }
        found
    }

    #[test]
    fn every_arc_is_the_one_of_the_mib() {
        let code: Vec<(String, u32)> = Kind::ALL
            .iter()
            .map(|(name, kind)| ((*name).to_owned(), *kind as u32))
            .collect();
        assert_eq!(arcs("NOTIFICATION-TYPE", "yaguraNotifications"), code);
        let code: Vec<(String, u32)> = Object::ALL
            .iter()
            .map(|(name, object)| ((*name).to_owned(), *object as u32))
            .collect();
        assert_eq!(arcs("OBJECT-TYPE", "yaguraObjects"), code);
        assert!(MIB_FILE.contains("::= { enterprises 32473 1 }"));
    }

    /// The objects that a notification names in the file.
    fn objects_of(kind: &str) -> Vec<String> {
        let at = MIB_FILE.find(&format!("\n{kind} NOTIFICATION-TYPE")).unwrap();
        let (_, list) = MIB_FILE[at..].split_once('{').unwrap();
        let (list, _) = list.split_once('}').unwrap();
        list.split(',').map(|name| name.trim().to_owned()).collect()
    }

    #[test]
    fn a_notification_carries_the_objects_that_the_mib_says_in_its_order() {
        let moments = [
            Moment::Raised,
            Moment::Returned,
            Moment::Acknowledged,
            Moment::Shelved,
            Moment::Reminder,
            Moment::Escalated,
        ];
        let summary = room::notice::Summary {
            counts: [1, 2, 3],
            some: Vec::new(),
            returned: 0,
        };
        let all = moments.into_iter().map(leak).chain([
            notice(About::Summary(summary)),
            notice(About::Test { by: "施設".into() }),
            notice(About::Heartbeat { count: 3 }),
        ]);
        for notice in all {
            let sent = notification(&notice, Language::Ja, 0).unwrap();
            let kind = sent.id.arcs().last().copied().unwrap();
            let (name, _) = Kind::ALL.iter().find(|(_, known)| *known as u32 == kind).unwrap();
            let names: Vec<String> = sent
                .objects
                .iter()
                .map(|(oid, _)| {
                    let arc = oid.arcs()[MIB.len() + 1];
                    let known = Object::ALL.iter().find(|(_, known)| *known as u32 == arc);
                    known.unwrap().0.to_owned()
                })
                .collect();
            assert_eq!(names, objects_of(name), "{name}");
        }
        assert_eq!(
            notification(&notice(About::Lamp(Lamp::default())), Language::Ja, 0),
            None
        );
    }

    #[test]
    fn a_moment_is_written_as_the_standard_says() {
        // 2026-11-18 11:06:40.123 UTC
        assert_eq!(
            date_and_time(Wall(1_795_000_000_123)),
            [0x07, 0xea, 11, 18, 11, 6, 40, 1, b'+', 0, 0]
        );
        assert_eq!(date_and_time(Wall(i64::MIN)), [0; 8]);
        assert_eq!(date_and_time(Wall(i64::MAX)), [0; 8]);
    }

    proptest! {
        #[test]
        fn any_notice_is_a_notification_of_bounded_size(notice in any_notice()) {
            let Some(sent) = notification(&notice, Language::En, u32::MAX) else {
                prop_assert!(matches!(notice.about, About::Lamp(_)));
                return Ok(());
            };
            for (_, value) in &sent.objects {
                if let Value::Bytes(bytes) = value {
                    prop_assert!(bytes.len() <= TEXT_MAX);
                }
            }
        }
    }
}
