//! Records of nodes as they stand in journals in use. A line that changes here is a journal that
//! does not replay any more: revert, do not update. New records are added at the end.
// Long because each kind of record has a line here.

use room::catalog::Kind;
use room::command::Done;
use room::incident::{self, Evidence, Nature};
use room::node::Stray;
use room::notice::Moment;
use room::notice::record::{Group, Record as Told};
use room::outage::{self, Record as Power};
use room::record::{LastSign, NodeEvent, NodeOrder, Record, SignBy};
use room::site::{Label, Priority};
use room::time::{Millis, Wall};
use shared::wire::{
    Crash, CrashKind, CredentialKind, DoorEvent, KeyEvent, LineFault, ListEvent, ListProblem, OpenedBy,
    ReaderProblem, ReaderState, UpdateOutcome, UpdateRefusal,
};

fn event(event: NodeEvent) -> Record {
    Record::NodeEvent {
        node: 1,
        boot: 2,
        event_seq: 3,
        up_ms: 4,
        unix_ms: 5,
        point: None,
        event,
        mark: Some(6),
    }
}

fn door(door: DoorEvent) -> NodeEvent {
    NodeEvent::Door { portal: 0, door }
}

fn done(done: Done) -> Record {
    Record::DeviceDone {
        id: 1,
        device: "ups-a".to_owned(),
        command: "test.battery.start".to_owned(),
        done,
    }
}

fn records() -> Vec<Record> {
    let mut records: Vec<Record> = [
        NodeEvent::Credential {
            reader: 0,
            credential: CredentialKind::Felica,
            card: "0102030405060708".to_owned(),
            decision: "outside_hours".to_owned(),
            list: 7,
        },
        door(DoorEvent::Opened(OpenedBy::Grant)),
        door(DoorEvent::Opened(OpenedBy::RequestToExit)),
        door(DoorEvent::Opened(OpenedBy::KeyOverride)),
        door(DoorEvent::Forced),
        door(DoorEvent::HeldOpen),
        door(DoorEvent::Closed),
        door(DoorEvent::Unused),
        door(DoorEvent::RequestToExit),
        door(DoorEvent::KeyOverride(true)),
        door(DoorEvent::Tamper(true)),
        door(DoorEvent::Unlocked(false)),
        door(DoorEvent::FoundOpen),
        NodeEvent::Reader {
            reader: 0,
            state: ReaderState::Well,
        },
        NodeEvent::Reader {
            reader: 0,
            state: ReaderState::Fault(ReaderProblem::OtherPart),
        },
        NodeEvent::LineFault {
            channel: 1,
            fault: LineFault::Cut,
        },
        NodeEvent::LineFault {
            channel: 1,
            fault: LineFault::Shorted,
        },
        NodeEvent::Chattering {
            channel: 1,
            edges: 20,
        },
        NodeEvent::Rested {
            channel: 1,
            open: false,
            edges: 900,
        },
        NodeEvent::Crashed {
            crash: Crash {
                kind: CrashKind::Panic,
                pc: 1,
                lr: 2,
                task: 3,
                mark: 4,
                up_ms: 5,
            },
        },
        NodeEvent::SafeMode { on: true, crashes: 5 },
        NodeEvent::List {
            list: ListEvent::Committed {
                version: 7,
                count: 500,
            },
        },
        NodeEvent::List {
            list: ListEvent::Dropped {
                version: 7,
                why: ListProblem::Digest,
            },
        },
        NodeEvent::List {
            list: ListEvent::Stale { version: 7, days: 14 },
        },
        NodeEvent::Key {
            key: KeyEvent::Rotated { key_id: 2 },
        },
        NodeEvent::Key {
            key: KeyEvent::NotKept { key_id: 2 },
        },
        NodeEvent::Key {
            key: KeyEvent::Erased,
        },
        NodeEvent::Update {
            version: "1.5.0".to_owned(),
            outcome: UpdateOutcome::Staged,
        },
        NodeEvent::Update {
            version: "1.5.0".to_owned(),
            outcome: UpdateOutcome::Refused(UpdateRefusal::Signature),
        },
        NodeEvent::Reader {
            reader: 0,
            state: ReaderState::Fault(ReaderProblem::Blocked),
        },
        NodeEvent::Shock {
            channel: 6,
            peak: 2_512,
        },
    ]
    .map(event)
    .into();
    records.extend([
        Record::StrayEvent {
            node: 1,
            boot: 2,
            event_seq: 3,
            up_ms: 4,
            unix_ms: 0,
            point: Some("door.1".to_owned()),
            event: NodeEvent::Contact {
                channel: 0,
                open: true,
            },
            why: Stray::Twin,
            mark: 6,
        },
        Record::AccessList {
            node: 1,
            version: 7,
            count: 500,
            content: "00ff".to_owned(),
        },
        Record::ListSent { node: 1, version: 7 },
        Record::KeyRotation {
            node: 1,
            key_id: 2,
            salt: "00ff".to_owned(),
            first: "0123456789abcdef".to_owned(),
            by: "山田".to_owned(),
        },
        Record::NodeOrder {
            node: 1,
            order: NodeOrder::Erase,
            by: "山田".to_owned(),
        },
        Record::NodeOrder {
            node: 1,
            order: NodeOrder::Restart,
            by: "山田".to_owned(),
        },
        Record::UpdateBegun {
            node: 1,
            version: "1.5.0".to_owned(),
            file: "a.img".to_owned(),
            by: "山田".to_owned(),
        },
        Record::CheckpointGiven {
            size: 100,
            root: "00ff".to_owned(),
            log: None,
        },
        Record::WitnessDisagrees {
            node: 1,
            size: 100,
            root: "00ff".to_owned(),
            given_unix_s: 1_700_000_000,
        },
        Record::KeyInUse { node: 1, key_id: 2 },
    ]);
    records.extend(incidents());
    records.extend(alarms());
    records.extend([
        Record::DeviceOrdered {
            id: 1,
            device: "ups-a".to_owned(),
            command: "test.battery.start".to_owned(),
            value: None,
            by: "山田".to_owned(),
        },
        done(Done::Confirmed {
            seen: "ups.test.result is running".to_owned(),
        }),
        done(Done::Accepted),
        done(Done::Refused {
            problem: "no".to_owned(),
        }),
        done(Done::Unknown {
            problem: "silence".to_owned(),
        }),
    ]);
    records.extend(notices());
    records.extend(watching());
    records.extend(exercises());
    records.extend(batteries());
    records.extend(schedules());
    records.extend(entry());
    records.extend(entry_log());
    records
}

/// Tests, discharges and changes of batteries.
fn batteries() -> Vec<Record> {
    use room::battery::{Levels, Record as Battery, TestKind, TestResult};
    let ups = || "ups-a".to_owned();
    let levels = Levels {
        charge_percent: Some(100.0),
        voltage: Some(54.2),
        runtime_s: None,
        load_percent: Some(31.0),
    };
    let mut records = vec![
        Battery::TestStarted {
            ups: ups(),
            order: 7,
            test: TestKind::Quick,
            by: "schedule".to_owned(),
            before: levels,
        },
        Battery::TestPutOff {
            ups: ups(),
            because: Label::new("停電中", "there is an outage"),
        },
        Battery::Discharged {
            ups: ups(),
            took_ms: Millis(290_000),
            from_percent: Some(100.0),
            to_percent: Some(60.0),
            promised_s: Some(900.0),
        },
        Battery::Changed {
            ups: ups(),
            day: 20_781,
            by: "sato (uid 1000)".to_owned(),
        },
    ];
    for result in [
        TestResult::Passed,
        TestResult::Warning,
        TestResult::Failed,
        TestResult::Aborted,
        TestResult::Unknown,
    ] {
        records.push(Battery::TestEnded {
            ups: ups(),
            order: 7,
            result,
            because: Label::new("合格", "it passed"),
            took_ms: Millis(8_000),
            least: levels,
        });
    }
    records
        .into_iter()
        .map(|record| Record::Battery { record })
        .collect()
}

/// What happens by the calendar.
fn schedules() -> Vec<Record> {
    use room::outage::operator::Who;
    use room::outage::{Demand, Record as Power};
    let schedule = || "nights".to_owned();
    let hosts = || vec!["web".to_owned()];
    let day = 20_779;
    let records = [
        Power::ScheduleAnnounced {
            schedule: schedule(),
            day,
            stop_ms: Wall(1_795_306_200_000),
            start_ms: Wall(1_795_307_400_000),
            hosts: hosts(),
        },
        Power::ScheduleNotKept {
            schedule: schedule(),
            day,
            start_ms: Wall(1_795_307_400_000),
            because: Label::new("停電中", "there is an outage"),
        },
        Power::ScheduleCancelled {
            schedule: schedule(),
            day,
            reason: "closing of accounts".to_owned(),
            by: Who {
                name: "sato".to_owned(),
                uid: 1000,
            },
        },
        Power::ScheduleOver {
            schedule: schedule(),
            day,
            hosts: hosts(),
        },
        Power::RunExtended {
            run: 3,
            because: Label::new("スケジュール運転", "scheduled operation"),
            scope: hosts(),
            demand: Demand::Schedule {
                schedule: schedule(),
                day,
            },
        },
    ];
    records
        .into_iter()
        .map(|record| Record::Power { record })
        .collect()
}

/// Rehearsals, drills and what was learnt.
fn exercises() -> Vec<Record> {
    let plan: room::plan::Plan = serde_json::from_str(r#"{"hash":"ab","steps":[]}"#).unwrap();
    let scope = vec!["db".to_owned()];
    let records = [
        Power::RunStarted {
            run: 1,
            plan_hash: "ab".to_owned(),
            because: Label::new("理由", "why"),
            plan: plan.clone(),
            scope: scope.clone(),
            demand: room::outage::Demand::Power,
            planned: [("db".to_owned(), room::time::Millis(50_000))].into(),
        },
        Power::DrillStarted {
            run: 2,
            plan_hash: "ab".to_owned(),
            by: "山田".to_owned(),
            host: "db".to_owned(),
            plan: plan.clone(),
            scope,
        },
        Power::RehearsalStarted {
            run: 3,
            plan_hash: "ab".to_owned(),
            by: "山田".to_owned(),
            plan,
        },
        Power::RehearsalEnded {
            run: 3,
            passed: vec!["db".to_owned()],
            failed: Vec::new(),
            broken_off: None,
        },
    ];
    records.map(|record| Record::Power { record }).into()
}

fn notices() -> Vec<Record> {
    [
        Told::Sent {
            key: "leak.1.wet/7/facilities/escalated-1".to_owned(),
            contact: "facilities".to_owned(),
            deputy_for: Some("system".to_owned()),
            notifier: "mail".to_owned(),
            alarm: "leak.1.wet".to_owned(),
            occurrence: 7,
            moment: Moment::Escalated,
            step: 1,
            nth: 0,
            urgent: true,
            attempts: 2,
            took_ms: 5_200,
        },
        Told::SummarySent {
            key: "summary/facilities/1/8-20-13".to_owned(),
            contact: "facilities".to_owned(),
            deputy_for: None,
            notifier: "mail".to_owned(),
            groups: vec![Group {
                moment: Moment::Raised,
                step: 0,
                nth: 0,
                also_singly: false,
                occurrences: vec![(8, 18), (20, 20)],
            }],
            took_ms: 300,
        },
        Told::Failed {
            key: "leak.1.wet/7/chief/returned".to_owned(),
            contact: "chief".to_owned(),
            alarm: Some("leak.1.wet".to_owned()),
            occurrence: 7,
            moment: Some(Moment::Returned),
            nth: 0,
            problem: "connection refused".to_owned(),
            over: true,
        },
        Told::TestCalled {
            by: "山田".to_owned(),
            contacts: vec!["facilities".to_owned()],
        },
        Told::TestReached {
            test: 1,
            contact: "facilities".to_owned(),
            deputy_for: None,
            notifier: "mail".to_owned(),
            by: "山田".to_owned(),
            took_ms: 420,
        },
        Told::LampTested {
            by: "山田".to_owned(),
        },
    ]
    .map(|record| Record::Notice { record })
    .into()
}

fn incidents() -> Vec<Record> {
    let place = || Label::new("入口", "entrance");
    [
        incident::Record::Opened {
            incident: 1,
            nature: Nature::Intrusion,
            title: Label::new("扉のこじ開け", "Door forced open"),
            alarm: Some("door.1.forced".to_owned()),
            place: Some(place()),
            by: None,
        },
        incident::Record::Joined {
            incident: 1,
            alarm: "entrance.tamper".to_owned(),
            place: place(),
        },
        incident::Record::Noted {
            incident: 1,
            by: "山田".to_owned(),
            text: "現地へ".to_owned(),
        },
        incident::Record::Classified {
            incident: 1,
            nature: Nature::FalseAlarm,
            by: "山田".to_owned(),
        },
        incident::Record::Closed {
            incident: 1,
            by: "山田".to_owned(),
            conclusion: "磁石のずれ".to_owned(),
        },
        incident::Record::Reopened {
            incident: 1,
            by: "山田".to_owned(),
            reason: "再発".to_owned(),
        },
        incident::Record::HandedOver {
            incident: 1,
            to: "CSIRT".to_owned(),
            by: "山田".to_owned(),
            evidence: Evidence {
                first_seq: 1,
                last_seq: 9,
                before: "00".to_owned(),
                last: "ff".to_owned(),
                document: "0f".to_owned(),
            },
        },
    ]
    .map(|record| Record::Incident { record })
    .into()
}

/// Persons, cards and passages.
fn entry() -> Vec<Record> {
    use room::people::{Kind, Record as People, Right};
    use room::register::{ClockMark, Direction, Flag, Passage};
    let (person, card, by) = (
        "p-4k2m9x7q".to_owned(),
        "C-012".to_owned(),
        "root (uid 0)".to_owned(),
    );
    let (portal, other) = ("entrance".to_owned(), "p-bbbbbbbb".to_owned());
    let right = Right {
        from: 51,
        to: 104,
        days: 31,
        valid_from: 20_781,
        valid_until: 65_535,
    };
    let of_person = [
        People::PersonAdded {
            person: person.clone(),
            group: Kind::FixedTerm,
            from: 20_781,
            until: Some(20_908),
            by: by.clone(),
        },
        People::PersonChanged {
            person: person.clone(),
            group: Kind::Staff,
            until: None,
            by: by.clone(),
        },
        People::PersonLeft {
            person: person.clone(),
            from: 20_800,
            cards: vec![card.clone()],
            by: by.clone(),
        },
        People::PersonErased {
            person: person.clone(),
            by: by.clone(),
        },
        People::Confirmed {
            persons: vec![person.clone()],
            by: by.clone(),
        },
        People::RightGranted {
            person: person.clone(),
            portal: portal.clone(),
            right,
            by: by.clone(),
        },
        People::RightRevoked {
            person: person.clone(),
            portal: portal.clone(),
            by: by.clone(),
        },
        People::DeputyNamed {
            deputy: other.clone(),
            of: person.clone(),
            from: 20_781,
            until: 20_790,
            by: by.clone(),
        },
        People::DeputyEnded {
            deputy: other,
            of: person.clone(),
            by: by.clone(),
        },
    ];
    let of_card = [
        People::CardIssued {
            card: card.clone(),
            id: "0102030405060708".to_owned(),
            pin_id: None,
            by: by.clone(),
        },
        People::CardLent {
            card: card.clone(),
            person: person.clone(),
            due: Some(20_790),
            by: by.clone(),
        },
        People::CardReturned {
            card: card.clone(),
            by: by.clone(),
        },
        People::CardLost {
            card: card.clone(),
            doors: vec![portal.clone()],
            by: by.clone(),
        },
        People::CardStopped {
            card: card.clone(),
            portal: portal.clone(),
            version: 8,
            after_ms: 640,
        },
        People::CardBroken { card, by },
    ];
    let passage = Passage {
        node: 1,
        boot: 2,
        event_seq: 3,
        portal,
        area: "server-room".to_owned(),
        direction: Direction::Entry,
        card: Some("0102030405060708".to_owned()),
        person: Some(person),
        decision: "granted".to_owned(),
        opened: Some(true),
        at_ms: 1_700_000_000_000,
        clock: ClockMark::Node,
        flags: vec![Flag::Late, Flag::TwiceIn],
    };
    let records = of_person.into_iter().chain(of_card);
    let records = records.map(|record| Record::People { record });
    records.chain([Record::Passage { passage }]).collect()
}

fn entry_log() -> Vec<Record> {
    use room::log::record::Record as Log;
    let (by, reason) = ("山田".to_owned(), "監査".to_owned());
    [
        Log::Viewed {
            by: by.clone(),
            what: "entries".to_owned(),
        },
        Log::Exported {
            by: by.clone(),
            reason: reason.clone(),
            year: 2026,
            from: 0,
            to: 10,
            openings: true,
        },
        Log::KeyChanged {
            key: "x/entry-log+00000000+AQ==".to_owned(),
            by: by.clone(),
            reason: reason.clone(),
        },
        Log::Held {
            hold: 1,
            year: 2026,
            from: 3,
            to: 5,
            reason: reason.clone(),
            by: by.clone(),
        },
        Log::Released {
            hold: 1,
            reason: reason.clone(),
            by: by.clone(),
        },
        Log::Erased {
            year: 2026,
            from: 3,
            to: 5,
            fields: vec!["card".to_owned()],
            reason,
            by,
        },
        Log::WitnessSaw {
            witness: "node-1".to_owned(),
            year: 2026,
            size: 7,
            root: "0f".to_owned(),
            at_ms: 1_700_000_000_000,
        },
    ]
    .map(|record| Record::Log { record })
    .into()
}

fn watching() -> [Record; 2] {
    [
        Record::GapExplained {
            from_ms: 1,
            to_ms: 2,
            source: Some("inlet".to_owned()),
            text: "停電作業".to_owned(),
            by: "山田".to_owned(),
        },
        Record::Started {
            version: "0.1.0".to_owned(),
            boot_id: "boot".to_owned(),
            epoch: 2,
            before: Some(LastSign {
                at: Wall(1_700_000_000_000),
                ago_ms: 5_000,
                same_boot: true,
                by: SignBy::AliveMark,
            }),
        },
    ]
}

fn alarms() -> Vec<Record> {
    let alarm = || "leak.1.wet".to_owned();
    let by = || "山田".to_owned();
    vec![
        Record::AlarmRaised {
            alarm: alarm(),
            priority: Priority::Critical,
            what: Label::new("漏水", "leak"),
            place: Label::new("床下", "floor"),
            action: Label::new("止める", "stop it"),
            because: Label::new("濡れ", "wet"),
            latching: true,
            about: Some(Kind::Leak),
        },
        Record::AlarmReturned {
            alarm: alarm(),
            unseen: false,
        },
        Record::AlarmReturned {
            alarm: alarm(),
            unseen: true,
        },
        Record::AlarmUnshelved {
            alarm: alarm(),
            by: None,
            again: false,
        },
        Record::AlarmUnshelved {
            alarm: alarm(),
            by: Some(by()),
            again: true,
        },
        Record::AlarmTaken {
            alarm: alarm(),
            by: by(),
        },
        Record::AlarmOutOfService {
            alarm: alarm(),
            by: by(),
            minutes: 1440,
            reason: "交換待ち".to_owned(),
        },
        Record::AlarmInService {
            alarm: alarm(),
            by: None,
            again: true,
        },
        Record::MaintenanceStarted {
            window: 1,
            by: by(),
            minutes: 60,
            reason: "点検".to_owned(),
            work_order: Some("88".to_owned()),
            scope: vec!["node:node-1".to_owned()],
            covers: vec!["leak.1".to_owned(), "node-1".to_owned()],
            alarms: vec![],
        },
        Record::MaintenanceEnded { window: 1, by: None },
        Record::MaintenanceResult {
            window: 1,
            by: by(),
            result: "異常なし".to_owned(),
        },
        Record::Power {
            record: room::outage::Record::CredentialsDue {
                run: 3,
                plan_hash: "cafe".to_owned(),
            },
        },
        Record::Power {
            record: room::outage::Record::CredentialChecked {
                order: room::outage::Order {
                    plan_hash: "cafe".to_owned(),
                    run: 3,
                    step: "db1".to_owned(),
                    attempt: 2,
                    verb: room::outage::Verb::Force,
                },
                took_ms: room::time::Millis(1200),
                problem: Some("HTTP 401".to_owned()),
            },
        },
    ]
    .into_iter()
    .chain(bringing_back().map(|record| Record::Power { record }))
    .collect()
}

/// Records of hosts that are started again.
fn bringing_back() -> [outage::Record; 15] {
    let order = |verb| outage::Order {
        plan_hash: "cafe".to_owned(),
        run: 2,
        step: "db".to_owned(),
        attempt: 1,
        verb,
    };
    let start = || order(outage::Verb::Start);
    let why = || Label::new("復電", "mains is back");
    let last = || outage::Order {
        step: "output/ups-a".to_owned(),
        ..order(outage::Verb::Stop)
    };
    [
        outage::Record::StepConfirmed {
            order: order(outage::Verb::Stop),
            took_ms: Millis(200),
            late: false,
            already: false,
            off_before: true,
        },
        outage::Record::HostStartStarted {
            order: start(),
            budget_ms: Millis(60_000),
        },
        outage::Record::HostStartRequested { order: start() },
        outage::Record::HostStartConfirmed {
            order: start(),
            took_ms: Millis(5_000),
            already: false,
        },
        outage::Record::HostStartFailed {
            order: start(),
            problem: "no answer".to_owned(),
            retryable: true,
        },
        outage::Record::HostStartAbandoned {
            order: start(),
            because: why(),
        },
        outage::Record::ReturnEnded {
            run: 2,
            started: vec!["db".to_owned()],
            not_started: vec!["web".to_owned()],
            broken_off: Some(why()),
        },
        outage::Record::FinishStarted {
            run: 3,
            plan_hash: "0123abcd".to_owned(),
            because: why(),
            ups: vec![outage::Cutting {
                ups: "ups-a".to_owned(),
                delay_ms: Millis(120_000),
                hosts: vec!["db".to_owned()],
            }],
            controller_ms: Some(Millis(60_000)),
        },
        outage::Record::FinishOrdered { order: last() },
        outage::Record::FinishFailed {
            order: last(),
            problem: "no answer".to_owned(),
            retryable: true,
        },
        outage::Record::FinishTold { order: last() },
        outage::Record::FinishEnded {
            run: 3,
            told: vec!["ups-a".to_owned()],
            not_told: vec!["controller".to_owned()],
            because: why(),
        },
        outage::Record::ReturnHeld {
            by: "山田".to_owned(),
            reason: "作業中".to_owned(),
        },
        outage::Record::ReturnReleased {
            by: "山田".to_owned(),
        },
        outage::Record::HostsStarted {
            hosts: vec!["db".to_owned()],
            by: "山田".to_owned(),
        },
    ]
}

/// Records of runs that a person or a rule demands.
fn policy_records() -> Vec<Record> {
    use room::outage::operator::{Who, Wish};
    use room::outage::{Demand, Order, Record as Power, Verb};
    let sato = || Who {
        name: "sato".to_owned(),
        uid: 1000,
    };
    let because = || Label::new("煙", "smoke");
    let step = || "web".to_owned();
    let extended = |demand| Power::RunExtended {
        run: 3,
        because: because(),
        scope: vec![step()],
        demand,
    };
    let records = [
        extended(Demand::Power),
        extended(Demand::Rule {
            rule: "heat".to_owned(),
        }),
        extended(Demand::Operator {
            by: sato(),
            second: None,
        }),
        Power::StopWithheld {
            hosts: vec![step()],
            because: because(),
        },
        Power::RuleOver {
            rule: "heat".to_owned(),
        },
        Power::StepStarted {
            order: Order {
                plan_hash: "ab".to_owned(),
                run: 3,
                step: step(),
                attempt: 1,
                verb: Verb::Force,
            },
        },
        Power::RunPaused {
            run: 3,
            length: room::time::Millis(60_000),
            reason: "確認中".to_owned(),
            by: sato(),
        },
        Power::RunResumed {
            run: 3,
            because: because(),
            by: None,
        },
        Power::StepSkipped {
            run: 3,
            step: step(),
            because: because(),
            by: sato(),
        },
        Power::OperatorAsked {
            id: 1,
            by: sato(),
            wish: Wish::Run {
                hosts: vec![step()],
                reason: "煙".to_owned(),
                plan_hash: "0123abcd".to_owned(),
            },
        },
        Power::OperatorConfirmed { id: 1, by: sato() },
        Power::RunAbandoned {
            run: 3,
            because: because(),
            by: Some(sato()),
        },
        Power::OrdersHeld { run: 3 },
        Power::OrdersFreed { run: 3 },
    ];
    records.map(|record| Record::Power { record }).into()
}

#[test]
fn the_lines_of_runs_that_a_person_or_a_rule_demands_stay_as_they_are() {
    let records = policy_records();
    let lines = records
        .iter()
        .map(|record| serde_json::to_string(record).unwrap());
    let lines: Vec<String> = lines.collect();
    expect_test::expect_file!["golden-policy.jsonl"].assert_eq(&(lines.join("\n") + "\n"));
    for (line, record) in lines.iter().zip(records) {
        assert_eq!(serde_json::from_str::<Record>(line).unwrap(), record);
    }
    let old =
        r#"{"kind":"power","record":{"kind":"run_abandoned","run":3,"because":{"ja":"煙","en":"smoke"}}}"#;
    let record: Record = serde_json::from_str(old).unwrap();
    assert_eq!(serde_json::to_string(&record).unwrap(), old);
}

#[test]
fn the_lines_of_journals_in_use_stay_as_they_are() {
    let lines: Vec<String> = records()
        .iter()
        .map(|record| serde_json::to_string(record).unwrap())
        .collect();
    expect_test::expect_file!["golden-records.jsonl"].assert_eq(&(lines.join("\n") + "\n"));
    for (line, record) in lines.iter().zip(records()) {
        assert_eq!(serde_json::from_str::<Record>(line).unwrap(), record);
    }
}

#[test]
fn an_event_of_a_journal_from_before_the_marks_still_replays() {
    let line = r#"{"kind":"node_event","node":1,"boot":2,"event_seq":3,"up_ms":4,"unix_ms":5,"point":null,"event":{"event":"contact","channel":0,"open":true}}"#;
    let record: Record = serde_json::from_str(line).unwrap();
    assert!(matches!(record, Record::NodeEvent { mark: None, .. }));
    assert_eq!(serde_json::to_string(&record).unwrap(), line);
}

#[test]
fn alarms_of_a_journal_from_before_the_kinds_still_replay() {
    for line in [
        r#"{"kind":"alarm_raised","alarm":"a","priority":"warning","what":{"ja":"x","en":"x"},"place":{"ja":"x","en":"x"},"action":{"ja":"x","en":"x"},"because":{"ja":"x","en":"x"},"latching":false}"#,
        r#"{"kind":"alarm_returned","alarm":"a"}"#,
        r#"{"kind":"alarm_unshelved","alarm":"a"}"#,
    ] {
        let record: Record = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json::to_string(&record).unwrap(), line);
    }
}
