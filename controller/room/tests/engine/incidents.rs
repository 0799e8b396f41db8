//! Incidents as the people who answer for them see them: what opens one, what joins it, what closes
//! it, and what is handed over.

use crate::bench::{Bench, site};
use room::event::{Command, Effect, Event, Refused};
use room::incident::document::{Document, Maker, Proof};
use room::incident::timeline::{FROM_BEGINNING, MAX_LINES, Names, Topic, Writer};
use room::incident::{Evidence, Nature, Order, Record as OfIncident};
use room::limits::Change;
use room::notice::text::Language;
use room::notice::{Delivered, Notice, SendFailure};
use room::outage::Record as OfOutage;
use room::record::{Entry, Record};
use room::site::notice::{Contact, Moments, Route, Step, Via};
use room::site::notifier::{Endpoint, Notifier, command};
use room::site::{Label, Priority, Real, Site};
use room::snapshot::Incident;
use room::time::Millis;
use shared::Quantity;
use shared::wire::Up;

/// A room whose limit is a serious one.
fn hot() -> Site<Real> {
    let mut site = site();
    site.limits[0].priority = Priority::Critical;
    site
}

impl Bench {
    fn leak(&mut self, wet: bool) {
        let body = Up::Contact {
            channel: 1,
            open: wet,
        };
        self.node_event(&body);
        self.pass(4_000);
    }

    fn temperature(&mut self, celsius: i32) {
        self.sample(2, Quantity::Temperature, Ok(celsius * 1000));
        self.pass(2_500);
        self.sample(2, Quantity::Temperature, Ok(celsius * 1000));
    }

    /// Hours in which the node goes on saying that it is there.
    fn quiet(&mut self, minutes: u64) {
        for _ in 0..minutes * 60 / 8 {
            let last = self.event_seq;
            self.heartbeat(last, 0);
            self.pass(8_000);
        }
    }

    fn incidents(&self) -> Vec<Incident> {
        self.engine.incident_rows()
    }

    fn order(&mut self, order: Order) -> Option<Refused> {
        self.command(Command::Incident { order })
    }

    fn clear(&mut self, alarm: &str) {
        for command in [
            Command::Acknowledge {
                alarm: alarm.to_owned(),
            },
            Command::Reset {
                alarm: alarm.to_owned(),
            },
        ] {
            let _ = self.command(command);
        }
    }

    fn document(&self, incident: u32) -> Document {
        let mut names = Names::of(&site());
        names.nodes.clear();
        let mut maker = Maker::new(
            &names,
            room::site::Label::new("試験室", "test room"),
            false,
            incident,
        );
        for entry in &self.journal {
            maker.read(entry);
        }
        maker.end(Proof::default()).expect("it was opened")
    }
}

#[test]
fn a_leak_opens_an_incident_and_heat_within_half_an_hour_joins_it() {
    let mut room = Bench::with(hot());
    room.leak(true);
    let first = room.incidents();
    assert_eq!(
        (first.len(), first[0].nature, first[0].open),
        (1, Nature::Water, true)
    );
    assert_eq!(first[0].alarms, ["leak.1.wet"]);
    room.quiet(20);
    room.temperature(35);
    let joined = room.incidents();
    assert_eq!(joined.len(), 1, "one thing leads to another");
    assert_eq!(joined[0].alarms, ["inlet.temperature.high", "leak.1.wet"]);
    assert_eq!(joined[0].standing, 2);
}

#[test]
fn a_forced_door_is_another_story_than_a_leak_at_the_same_time() {
    let mut room = Bench::with(hot());
    room.leak(true);
    room.node_event(&Up::Contact {
        channel: 0,
        open: true,
    });
    let natures: Vec<Nature> = room.incidents().iter().map(|row| row.nature).collect();
    assert_eq!(natures, [Nature::Intrusion, Nature::Water]);
}

#[test]
fn heat_an_hour_after_the_leak_is_a_new_incident_and_the_same_leak_again_is_not() {
    let mut room = Bench::with(hot());
    room.leak(true);
    room.leak(false);
    room.clear("leak.1.wet");
    room.quiet(60);
    room.leak(true);
    assert_eq!(
        room.incidents().len(),
        1,
        "the same alarm, and nobody has closed it"
    );
    room.quiet(60);
    room.temperature(35);
    assert_eq!(room.incidents().len(), 2);
}

#[test]
fn a_cleared_and_closed_alarm_opens_a_new_incident_and_one_on_its_shelf_does_not() {
    let mut room = Bench::with(hot());
    let close = |incident| Order::Close {
        incident,
        conclusion: "空調の設定を直した".to_owned(),
    };
    room.temperature(35);
    room.temperature(20);
    room.pass(1_500);
    room.clear("inlet.temperature.high");
    assert_eq!(room.order(close(1)), None);
    room.temperature(35);
    assert_eq!(room.incidents().len(), 2, "the first one is closed");
    room.temperature(20);
    room.pass(1_500);
    let shelve = Command::Shelve {
        alarm: "inlet.temperature.high".to_owned(),
        minutes: 5,
        reason: "空調の作業".to_owned(),
    };
    assert_eq!(room.command(shelve), None);
    assert!(matches!(room.order(close(2)), Some(Refused::Conflict(_))));
    room.temperature(35);
    assert_eq!(room.incidents().len(), 2, "nothing new while it is put away");
}

#[test]
fn an_incident_is_closed_with_a_conclusion_and_not_while_its_alarm_needs_somebody() {
    let mut room = Bench::with(hot());
    room.leak(true);
    let close = |conclusion: &str| Order::Close {
        incident: 1,
        conclusion: conclusion.to_owned(),
    };
    let refused = room.order(close("配管を直した")).unwrap();
    assert!(
        matches!(&refused, Refused::Conflict(why) if why.en.contains("leak.1.wet") && why.ja.contains("leak.1.wet が正常に")),
        "{refused:?}"
    );
    room.leak(false);
    assert!(
        room.order(close("配管を直した")).is_some(),
        "it is latched and not reset"
    );
    room.clear("leak.1.wet");
    assert!(matches!(room.order(close("  ")), Some(Refused::Invalid(_))));
    assert_eq!(room.order(close("配管を直した\n床を乾かした")), None);
    assert!(matches!(room.order(close("again")), Some(Refused::Conflict(_))));
    let row = room.incidents().remove(0);
    assert_eq!((row.open, row.closed_by.as_deref()), (false, Some("山田")));
    let reopen = Order::Reopen {
        incident: 1,
        reason: "また濡れている".to_owned(),
    };
    assert_eq!(room.order(reopen.clone()), None);
    assert!(matches!(room.order(reopen), Some(Refused::Conflict(_))));
    assert!(room.incidents()[0].open);
}

/// What nobody can acknowledge is put back first, and that is what is said.
#[test]
fn an_alarm_out_of_service_or_shelved_holds_its_incident_open_and_says_what_to_do() {
    let close = || Order::Close {
        incident: 1,
        conclusion: "直した".to_owned(),
    };
    let (alarm, reason) = ("leak.1.wet".to_owned(), "工事".to_owned());
    for (put_away, todo) in [
        (
            Command::OutOfService {
                alarm: alarm.clone(),
                minutes: 60,
                reason: reason.clone(),
            },
            "leak.1.wet are out of service; put them back into service first",
        ),
        (
            Command::Shelve {
                alarm,
                minutes: 60,
                reason,
            },
            "leak.1.wet are shelved and not back to normal; unshelve and acknowledge them first",
        ),
    ] {
        let mut room = Bench::with(hot());
        room.leak(true);
        assert_eq!(room.command(put_away), None);
        let refused = room.order(close());
        assert!(
            matches!(&refused, Some(Refused::Conflict(why)) if why.en == todo),
            "{refused:?}"
        );
    }
}

/// An incident lists two hundred alarms. What came after them is looked for among what stands.
#[test]
fn an_incident_with_more_alarms_than_it_lists_is_not_closed_while_one_of_the_others_stands() {
    let mut site = hot();
    let (channel, limit) = (site.nodes[0].channels.remove(2), site.limits.remove(0));
    for rack in 0..210_u8 {
        site.nodes[0].channels.push(room::site::Channel {
            channel: 2 + rack,
            point: format!("r{rack:03}.temperature"),
            ..channel.clone()
        });
        site.limits.push(room::site::Limit {
            id: format!("r{rack:03}.hot"),
            point: format!("r{rack:03}.temperature"),
            on_delay: Millis(0),
            off_delay: Millis(0),
            ..limit.clone()
        });
    }
    let mut room = Bench::with(site);
    for rack in 0..210 {
        room.sample(2 + rack, Quantity::Temperature, Ok(40_000));
    }
    let row = room.incidents().remove(0);
    assert_eq!((row.alarms.len(), row.more_alarms), (200, 10));
    for rack in 0..210 {
        // The last one, which is beyond the list, stays hot.
        if rack < 209 {
            room.sample(2 + rack, Quantity::Temperature, Ok(20_000));
            room.clear(&format!("r{rack:03}.hot"));
        }
    }
    let close = || Order::Close {
        incident: 1,
        conclusion: "直した".to_owned(),
    };
    let refused = room.order(close());
    assert!(
        matches!(&refused, Some(Refused::Conflict(why)) if why.en.starts_with("r209.hot may be of its alarms")),
        "{refused:?}"
    );
    room.sample(211, Quantity::Temperature, Ok(20_000));
    room.clear("r209.hot");
    assert_eq!(room.order(close()), None);
}

#[test]
fn one_failure_of_the_mains_counts_once_however_many_upses_it_hits() {
    let mut room = Bench::with(hot());
    room.leak(true);
    let lost = |ups: &str| OfOutage::MainsLost {
        ups: ups.to_owned(),
        evidence: vec![],
        charge_percent: None,
        runtime_s: None,
    };
    let back = |ups: &str| OfOutage::MainsBack {
        ups: ups.to_owned(),
        source: "mains".to_owned(),
        evidence: vec![],
    };
    for record in [
        lost("ups-a"),
        lost("ups-b"),
        back("ups-a"),
        // Its neighbour is still on battery: the same failure.
        lost("ups-a"),
        back("ups-b"),
        back("ups-a"),
        lost("ups-b"),
    ] {
        let seq = room.journal.len() as u64 + 1;
        room.journal.push(Entry {
            seq,
            now: room.now(),
            record: Record::Power { record },
        });
    }
    assert_eq!(room.document(1).figures.outages, 2);
}

#[test]
fn everything_about_incidents_survives_a_restart() {
    let mut room = Bench::with(hot());
    room.leak(true);
    room.order(Order::Note {
        incident: 1,
        text: "現地へ向かう".to_owned(),
    });
    room.order(Order::Classify {
        incident: 1,
        nature: Nature::Equipment,
    });
    room.order(Order::Open {
        nature: Nature::Other,
        title: "鍵の紛失".to_owned(),
    });
    let before = room.incidents();
    let place = room.engine.incident_place(1);
    room.restart(hot());
    assert_eq!(room.incidents(), before);
    assert_eq!(room.engine.incident_place(1), place);
    let opened = place.unwrap().0;
    let entry = &room.journal[usize::try_from(opened).unwrap() - 1];
    assert!(
        matches!(
            &entry.record,
            Record::Incident {
                record: OfIncident::Opened { incident: 1, .. }
            }
        ),
        "{entry:?}"
    );
    // What stood before is the same raise: it opens nothing again.
    room.quiet(10);
    assert_eq!(room.incidents().len(), 2);
}

#[test]
fn orders_without_sense_say_what_is_wrong_and_change_nothing() {
    let mut room = Bench::with(hot());
    let note = |incident, text: &str| Order::Note {
        incident,
        text: text.to_owned(),
    };
    assert!(matches!(room.order(note(9, "x")), Some(Refused::NotFound(_))));
    room.order(Order::Open {
        nature: Nature::Drill,
        title: "訓練".to_owned(),
    });
    assert!(matches!(room.order(note(1, "\u{7}")), Some(Refused::Invalid(_))));
    assert!(matches!(
        room.order(note(1, &"あ".repeat(2_001))),
        Some(Refused::Invalid(_))
    ));
    let bare = Order::HandOver {
        incident: 1,
        to: "CSIRT".to_owned(),
        evidence: None,
    };
    assert!(matches!(room.order(bare), Some(Refused::Unavailable(_))));
    let same = Order::Classify {
        incident: 1,
        nature: Nature::Drill,
    };
    assert!(matches!(room.order(same), Some(Refused::Conflict(_))));
    assert_eq!(room.incidents()[0].notes, 0);
}

#[test]
fn the_document_tells_the_story_and_is_the_same_whenever_it_is_made() {
    let mut room = Bench::with(hot());
    room.leak(true);
    room.quiet(1);
    room.command(Command::Acknowledge {
        alarm: "leak.1.wet".to_owned(),
    });
    room.order(Order::Note {
        incident: 1,
        text: "止水した".to_owned(),
    });
    let document = room.document(1);
    assert_eq!(document.document, "INC-0001-01");
    assert_eq!(document.figures.first_acknowledged_ms, Some(57_000));
    assert_eq!(document.figures.notes, 1);
    assert_eq!(document.alarms.len(), 1);
    let story: Vec<(Topic, &str)> = document
        .timeline
        .lines
        .iter()
        .filter(|line| {
            matches!(line.topic, Topic::Alarm | Topic::Incident | Topic::Entry)
                || line.text.ja.contains("接点")
        })
        .filter(|line| {
            line.alarm
                .as_deref()
                .is_none_or(|alarm| alarm.starts_with("leak"))
        })
        .map(|line| (line.topic, line.text.ja.as_str()))
        .collect();
    assert_eq!(
        story,
        [
            (Topic::Node, "leak.1：接点 開（作動）"),
            (
                Topic::Alarm,
                "警報 発生［重大］leak.1：漏水を検知（接点が開いた）"
            ),
            (Topic::Incident, "事案 INC-0001 開始：漏水を検知"),
            (
                Topic::Alarm,
                "警報 発生［警告］leak.1：欠測（値が得られない）（更新が止まった）"
            ),
            (Topic::Alarm, "警報 確認 leak.1：漏水を検知"),
            (Topic::Incident, "所見：止水した"),
        ]
    );
    assert_eq!(
        serde_json::to_vec(&document).unwrap(),
        serde_json::to_vec(&room.document(1)).unwrap()
    );
    let evidence = Some(Evidence {
        first_seq: 1,
        last_seq: room.journal.len() as u64,
        ..Evidence::default()
    });
    let given = Order::HandOver {
        incident: 1,
        to: "CSIRT".to_owned(),
        evidence,
    };
    assert_eq!(room.order(given), None);
    assert_eq!(room.document(1).document, "INC-0001-02");
    assert_eq!(room.incidents()[0].handed_over[0].to, "CSIRT");
}

/// A room whose only notifier is a program, and everybody is told by it.
fn told() -> Site<Real> {
    let mut site = hot();
    let label = Label::new("設備", "facilities");
    site.notifiers.push(Notifier {
        name: "call".to_owned(),
        label: label.clone(),
        to: Endpoint::Command(command::Command {
            program: "/nonexistent".into(),
            args: vec![],
            language: Language::Ja,
            timeout: Millis(1_000),
        }),
    });
    site.notices.contacts.push(Contact {
        name: "facilities".to_owned(),
        label,
        via: vec![Via {
            notifier: "call".to_owned(),
            to: None,
        }],
        duty: vec![],
        deputies: vec![],
    });
    site.notices.routes.push(Route {
        name: "all".to_owned(),
        at_least: Priority::Advisory,
        classes: vec![],
        kinds: vec![],
        sources: vec![],
        only: false,
        steps: vec![Step {
            after: Millis(0),
            contacts: vec!["facilities".to_owned()],
        }],
        repeat: None,
        moments: Moments::ALL,
    });
    site
}

#[test]
fn an_incident_knows_its_records_by_number_whatever_was_told_in_between() {
    let mut room = Bench::with(told());
    room.temperature(35);
    // The notifier refuses for good: that is an alarm, and a record that nobody could be told.
    let notices: Vec<Box<Notice>> = room
        .sent
        .drain(..)
        .filter_map(|effect| match effect {
            Effect::Notify(notice) => Some(notice),
            _ => None,
        })
        .collect();
    assert!(!notices.is_empty());
    for notice in notices {
        room.event(Event::Delivered(Delivered {
            key: notice.key,
            attempt: notice.attempt,
            notifier: notice.notifier,
            result: Err(SendFailure {
                retryable: false,
                problem: "no such program".to_owned(),
            }),
        }));
    }
    room.pass(3_600_000);
    let is_notice = |entry: &Entry| matches!(entry.record, Record::Notice { .. });
    assert!(room.journal.iter().any(is_notice));
    room.order(Order::Open {
        nature: Nature::Drill,
        title: "訓練".to_owned(),
    });
    let opened: Vec<(u32, u64)> = room
        .journal
        .iter()
        .filter_map(|entry| match &entry.record {
            Record::Incident {
                record: OfIncident::Opened { incident, .. },
            } => Some((*incident, entry.seq)),
            _ => None,
        })
        .collect();
    assert!(opened.len() >= 2);
    for (incident, seq) in &opened {
        assert_eq!(room.engine.incident_place(*incident), Some((*seq, None)));
    }
    room.restart(told());
    for (incident, seq) in &opened {
        assert_eq!(
            room.engine.incident_place(*incident),
            Some((*seq, None)),
            "after a restart"
        );
    }
}

#[test]
fn the_story_names_who_took_an_alarm_over_what_they_changed_and_who_could_not_be_told() {
    let mut room = Bench::with(hot());
    room.leak(true);
    let alarm = || "leak.1.wet".to_owned();
    room.command(Command::Acknowledge { alarm: alarm() });
    room.event(Event::Command {
        by: "佐藤".to_owned(),
        command: Command::Take { alarm: alarm() },
    });
    assert_eq!(room.last.refused, None);
    room.command(Command::ChangeLimit {
        limit: "inlet.temperature.high".to_owned(),
        change: Change {
            limit: Some(33.0),
            ..Change::default()
        },
        reason: "復旧まで".to_owned(),
    });
    assert_eq!(room.last.refused, None);
    let now = room.now();
    room.journal.push(Entry {
        seq: room.journal.len() as u64 + 1,
        now,
        record: Record::Notice {
            record: room::notice::record::Record::Failed {
                key: "k".to_owned(),
                contact: "facilities".to_owned(),
                alarm: Some(alarm()),
                occurrence: 1,
                moment: None,
                nth: 0,
                problem: "電話に出ない".to_owned(),
                over: true,
            },
        },
    });
    let document = room.document(1);
    let story: Vec<(Topic, Option<&str>, &str)> = document
        .timeline
        .lines
        .iter()
        .map(|line| (line.topic, line.by.as_deref(), line.text.ja.as_str()))
        .collect();
    for expected in [
        (Topic::Alarm, Some("佐藤"), "警報 担当の交代 leak.1：漏水を検知"),
        (
            Topic::Action,
            Some("山田"),
            "限界値の変更 inlet.temperature.high：30 → 33（復旧まで）",
        ),
        (Topic::Notice, None, "通報できない facilities（電話に出ない）"),
    ] {
        assert!(story.contains(&expected), "{expected:?} is not in {story:#?}");
    }
}

#[test]
fn a_long_story_keeps_its_beginning_and_its_end_and_counts_the_rest() {
    let mut room = Bench::with(hot());
    room.leak(true);
    let names = Names::default();
    let mut writer = Writer::new(&names, 1);
    let sample = room
        .journal
        .iter()
        .find(|entry| matches!(entry.record, Record::AlarmRaised { .. }))
        .unwrap()
        .clone();
    let count = MAX_LINES as u64 + 500;
    for seq in 1..=count {
        writer.read(&Entry {
            seq,
            ..sample.clone()
        });
    }
    let story = writer.end();
    assert_eq!((story.lines.len(), story.omitted), (MAX_LINES, 500));
    assert_eq!(story.omitted_after_seq, Some(FROM_BEGINNING as u64));
    assert_eq!(story.lines.last().unwrap().seq, count);
}
