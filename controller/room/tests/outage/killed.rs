//! The controller is killed at every record of a run, and once more on top of it. Whatever the
//! moment, every host is stopped, in order, once by effect.

use super::world::{Life, Manner, Room, host, policy, site_with, start};
use room::outage::operator::{Ask, Person, Who, Wish};
use room::outage::{Input, Record, Sight};
use room::site::OnFailure;
use room::site::finish::{Cut, Finish, Own};
use room::site::outage::{About, Rule, Seen, Sign, Then};
use room::time::Millis;

fn outage(crashes: &[usize], orphans: bool, by_the_way: impl Fn(&mut Room)) -> Room {
    let mut policy = policy();
    policy.longest_on_battery = Millis(20_000);
    let mut site = site_with(&["ups-a", "ups-b"], policy);
    site.hosts = vec![
        host("web1", &["ups-a", "ups-b"], &["db"]),
        host("web2", &["ups-a"], &["db"]),
        host("db", &["ups-a", "ups-b"], &["nas"]),
        host("nas", &["ups-b"], &[]),
    ];
    let mut room = Room::new(site, &[600.0, 600.0]);
    room.orphan_orders_arrive = orphans;
    for host in &mut room.hosts {
        host.manner = Manner::Stops(3_000);
    }
    by_the_way(&mut room);
    for crash in crashes {
        room.crash_at = Some(*crash);
        room.run_until(30_000);
        for ups in &mut room.ups {
            ups.mains = false;
        }
        for end in (31_000..400_000).step_by(1_000) {
            room.run_until(end);
            if room.crash_at.is_none() {
                break;
            }
        }
    }
    for ups in &mut room.ups {
        ups.mains = false;
    }
    room.run_until(400_000);
    room
}

fn all_stopped_once(room: &Room, what: &str) {
    let story = || format!("{what}\n{}", room.transcript.join("\n"));
    for host in &room.hosts {
        assert_eq!(host.life, Life::Down, "{} {}", host.id, story());
        assert_eq!(host.effects.len(), 1, "{} {}", host.id, story());
    }
    let ended = |id: &str| {
        room.hosts
            .iter()
            .find(|host| host.id == id)
            .and_then(|host| host.ended)
    };
    assert!(
        ended("web1") < ended("db") && ended("web2") < ended("db") && ended("db") < ended("nas"),
        "{}",
        story()
    );
    assert_eq!(
        room.count(|record| matches!(record, Record::RunStarted { .. })),
        1,
        "{}",
        story()
    );
    assert_eq!(
        room.count(|record| matches!(record, Record::RunEnded { .. })),
        1,
        "{}",
        story()
    );
    let confirmed = room.count(|record| matches!(record, Record::StepConfirmed { .. }));
    assert_eq!(
        confirmed,
        4,
        "a confirmed step is never executed again: {}",
        story()
    );
}

#[test]
fn killed_at_every_record_every_host_is_stopped_exactly_once() {
    let whole = outage(&[], false, |_| {});
    all_stopped_once(&whole, "not killed");
    let records = whole.journal.len();
    assert!(records >= 16, "{records} records are too few to mean something");
    for crash in 2..=records {
        for orphans in [false, true] {
            let room = outage(&[crash], orphans, |_| {});
            all_stopped_once(&room, &format!("killed at record {crash}, orphans {orphans}"));
        }
    }
}

#[test]
fn killed_twice_every_host_is_stopped_exactly_once() {
    let records = outage(&[], false, |_| {}).journal.len();
    for first in (2..records).step_by(3) {
        for second in first + 1..records + 3 {
            let room = outage(&[first, second], second % 2 == 0, |_| {});
            all_stopped_once(&room, &format!("killed at records {first} and {second}"));
        }
    }
}

/// A run that no outage demands: `begin` is called when everything is quiet.
fn quiet_run(crash: Option<usize>, begin: impl Fn(&mut Room)) -> Room {
    let mut site = site_with(&["ups-a"], policy());
    site.outage.as_mut().expect("a policy").rules = vec![leak()];
    site.hosts = vec![
        host("web1", &["ups-a"], &["db"]),
        host("web2", &["ups-a"], &["db"]),
        host("db", &["ups-a"], &["nas"]),
        host("nas", &["ups-a"], &[]),
    ];
    site.hosts[0].on_failure = OnFailure::Force;
    site.hosts[0].force = Some(site.hosts[0].action.clone());
    let mut room = Room::new(site, &[600.0]);
    room.hosts[0].manner = Manner::Hangs;
    room.crash_at = crash;
    room.run_until(10_000);
    begin(&mut room);
    room.run_until(200_000);
    room
}

fn leak() -> Rule {
    let sign = |name: &str| Sign {
        name: name.into(),
        seen: Seen::Contact { point: name.into() },
        sources: [format!("node:{name}")].into(),
    };
    Rule {
        name: "water".into(),
        about: About::Leak,
        signs: vec![sign("rope-1"), sign("rope-2")],
        hold: Millis(10_000),
        then: Then::Stop,
        hosts: Vec::new(),
    }
}

fn killed_everywhere(begin: impl Fn(&mut Room) + Copy) {
    let whole = quiet_run(None, begin);
    all_stopped_once(&whole, "not killed");
    assert!(whole.journal.len() >= 16, "{}", whole.transcript.join("\n"));
    for crash in 2..=whole.journal.len() {
        let room = quiet_run(Some(crash), begin);
        all_stopped_once(&room, &format!("killed at record {crash}"));
    }
}

fn it_is_wet(room: &mut Room) {
    for rope in ["rope-1", "rope-2"] {
        room.set_sign(rope, Sight::Holds);
    }
}

/// Orders a run of everything and a pause of it.
fn sato_runs_and_pauses(room: &mut Room) {
    let sato = || Person {
        who: Who {
            name: "Sato".into(),
            uid: 0,
        },
        groups: Vec::new(),
    };
    let reason = || "smoke".to_owned();
    let run = Wish::Run {
        hosts: Vec::new(),
        reason: reason(),
        plan_hash: room.engine.plan().hash().to_owned(),
    };
    let pause = Wish::Pause {
        length: Millis(5_000),
        reason: reason(),
    };
    for wish in [run, pause] {
        let (person, ask) = (sato(), Ask::Wish(wish));
        room.tell(Input::Operator { person, ask });
        room.run_until(room.now + 2_000);
    }
}

#[test]
fn killed_at_every_record_a_rule_s_run_and_a_forced_host_are_finished_once() {
    killed_everywhere(it_is_wet);
}

#[test]
fn killed_at_every_record_an_operator_s_run_is_finished_once_though_it_was_paused() {
    killed_everywhere(sato_runs_and_pauses);
}

#[test]
fn a_replay_gives_the_same_picture_of_what_a_rule_or_a_person_had_stopped() {
    for begin in [it_is_wet, sato_runs_and_pauses] {
        let room = quiet_run(None, begin);
        let mut replayed = room::outage::Outage::new(&room.site).expect("a good site");
        for (at, record) in &room.journal {
            replayed.apply(*at, record);
        }
        let (before, after) = (room.engine.view(room.clock()), replayed.view(room.clock()));
        assert_eq!(before.run, after.run);
        assert_eq!(before.steps, after.steps);
        let purpose = room.engine.stopped_on_purpose();
        assert_eq!(purpose, replayed.stopped_on_purpose());
        assert_eq!(purpose, ["db", "nas", "web1", "web2"]);
    }
}

#[test]
fn a_reason_has_one_line() {
    let room = quiet_run(None, |room| {
        let who = Who {
            name: "Sato".into(),
            uid: 0,
        };
        let groups = Vec::new();
        let wish = Wish::Run {
            hosts: Vec::new(),
            reason: "smoke\r\nBcc: all".into(),
            plan_hash: room.engine.plan().hash().to_owned(),
        };
        let person = Person { who, groups };
        room.tell(Input::Operator {
            person,
            ask: Ask::Wish(wish),
        });
    });
    let refused = room
        .transcript
        .iter()
        .any(|line| line.contains("say why, in one line"));
    assert!(refused && room.orders == 0, "{}", room.transcript.join("\n"));
}

#[test]
fn the_wall_clock_decides_nothing() {
    let story = |step: i64| {
        let mut site = site_with(&["ups-a"], policy());
        site.hosts = vec![host("web", &["ups-a"], &["db"]), host("db", &["ups-a"], &[])];
        let mut room = Room::new(site, &[300.0]);
        room.run_until(30_000);
        room.ups[0].mains = false;
        for end in [60_000, 90_000, 250_000, 251_000, 400_000] {
            room.run_until(end);
            room.wall_step += step;
            room.ups[0].silent = end == 90_000;
        }
        room.journal
            .into_iter()
            .map(|(at, record)| (at.mono, record))
            .collect::<Vec<_>>()
    };
    let calm = story(0);
    assert!(
        calm.iter()
            .any(|(_, record)| matches!(record, Record::RunEnded { .. }))
    );
    for step in [60_000, -3_600_000, 315_360_000_000] {
        assert!(
            story(step) == calm,
            "the wall clock stepped by {step} ms and changed the story"
        );
    }
}

#[test]
fn levels_are_recorded_though_answers_wait_in_a_queue() {
    let mut site = site_with(&["ups-a"], policy());
    site.hosts = vec![host("web", &["ups-a"], &[])];
    let mut room = Room::new(site, &[1_500.0]);
    room.lag = 3;
    room.run_until(30_000);
    room.ups[0].mains = false;
    room.run_until(330_000);
    let levels = room.count(|record| matches!(record, Record::BatteryLevel { .. }));
    assert_eq!(levels, 4, "one a minute after the first");
}

#[test]
fn a_replay_gives_the_same_picture() {
    let room = outage(&[], false, |_| {});
    let mut replayed = room::outage::Outage::new(&room.site).expect("a good site");
    for (at, record) in &room.journal {
        replayed.apply(*at, record);
    }
    let (before, after) = (room.engine.view(room.clock()), replayed.view(room.clock()));
    assert_eq!(before.run, after.run);
    assert_eq!(before.steps, after.steps);
    assert_eq!(before.outage_s, after.outage_s);
}

/// A drill of the middle host and of what uses it, with the controller killed at this record.
fn drill(crash: Option<usize>) -> Room {
    let mut site = site_with(&["ups-a"], policy());
    site.hosts = vec![
        host("web", &["ups-a"], &["db"]),
        host("db", &["ups-a"], &["nas"]),
        host("nas", &["ups-a"], &[]),
    ];
    let mut room = Room::new(site, &[600.0]);
    room.run_until(30_000);
    room.crash_at = crash;
    room.tell(room::outage::Input::Drill {
        host: "db".into(),
        with_dependants: true,
        by: "Sato".into(),
    });
    room.run_until(120_000);
    room
}

#[test]
fn a_drill_that_is_killed_at_any_record_stops_its_hosts_once_and_keeps_its_result() {
    let whole = drill(None);
    let records = whole.journal.len();
    assert!(records >= 9, "{records} records are too few to mean something");
    for crash in (1..=records).map(Some).chain([None]) {
        let room = drill(crash.filter(|crash| *crash > 1));
        let story = || format!("killed at {crash:?}\n{}", room.transcript.join("\n"));
        let effects = |id: &str| {
            let host = room.hosts.iter().find(|host| host.id == id);
            host.map_or(0, |host| host.effects.len())
        };
        assert_eq!(
            (effects("web"), effects("db"), effects("nas")),
            (1, 1, 0),
            "{}",
            story()
        );
        assert_eq!(room.engine.stopped_hosts(), ["db", "web"], "{}", story());
        let results: Vec<_> = room.engine.exercises().collect();
        assert_eq!(results.len(), 1, "{}", story());
        assert!(results[0].passed && results[0].by == "Sato", "{}", story());
    }
}

#[test]
fn results_outlive_a_restart_and_are_the_last_fifty() {
    let mut site = site_with(&["ups-a"], policy());
    site.hosts = vec![host("web", &["ups-a"], &[])];
    let mut room = Room::new(site, &[600.0]);
    for _ in 0..60 {
        room.run_until(room.now + 5_000);
        room.tell(room::outage::Input::Rehearse { by: "Sato".into() });
    }
    room.run_until(room.now + 5_000);
    let before: Vec<_> = room.engine.exercises().cloned().collect();
    assert_eq!(before.len(), room::outage::exercise::MAX_EXERCISES);
    assert_eq!((before[0].run, before[49].run), (60, 11), "newest first");
    assert!(before[0].passed && before[0].steps[0].took_s.is_some());
    room.kill(true);
    room.run_until(room.now + 120_000);
    assert_eq!(room.engine.exercises().cloned().collect::<Vec<_>>(), before);
}

#[test]
fn a_rehearsal_sends_checks_only() {
    let mut site = site_with(&["ups-a"], policy());
    site.hosts = vec![host("web", &["ups-a"], &["db"]), host("db", &["ups-a"], &[])];
    let mut room = Room::new(site, &[600.0]);
    for _ in 0..100 {
        room.run_until(room.now + 10_000);
        room.tell(room::outage::Input::Rehearse { by: "Sato".into() });
    }
    room.run_until(room.now + 10_000);
    assert_eq!((room.checks, room.orders), (200, 0));
    assert!(
        room.hosts
            .iter()
            .all(|host| host.life == Life::Up && host.effects.is_empty())
    );
    assert!(!room.is_active("outage.rehearsal"));
}

/// A long outage and the way back, killed when the journal has grown to a length.
fn there_and_back(crash: Option<usize>, orphans: bool, reboots: bool) -> Room {
    let mut policy = policy();
    policy.longest_on_battery = Millis(20_000);
    let mut site = site_with(&["ups-a", "ups-b"], policy);
    site.hosts = vec![
        host("web", &["ups-a", "ups-b"], &["db"]),
        host("db", &["ups-a", "ups-b"], &["nas"]),
        host("nas", &["ups-b"], &[]),
    ];
    for host in &mut site.hosts {
        host.start = Some(start(&host.name, Millis(30_000)));
    }
    let mut room = Room::new(site, &[900.0, 900.0]);
    room.orphan_orders_arrive = orphans;
    room.crash_reboots = reboots;
    room.crash_at = crash;
    room.run_until(30_000);
    for ups in &mut room.ups {
        ups.mains = false;
    }
    room.run_until(150_000);
    for ups in &mut room.ups {
        ups.mains = true;
    }
    room.run_until(600_000);
    room
}

fn all_back_once(room: &Room, what: &str) {
    let story = || format!("{what}\n{}", room.transcript.join("\n"));
    for host in &room.hosts {
        assert_eq!(host.life, Life::Up, "{} {}", host.id, story());
        assert_eq!(host.effects.len(), 1, "{} {}", host.id, story());
        assert_eq!(host.starts.len(), 1, "{} {}", host.id, story());
    }
    let started = |id: &str| {
        let host = room.hosts.iter().find(|host| host.id == id);
        host.and_then(|host| host.starts.first())
            .map(|(_, at)| *at)
            .unwrap_or_default()
    };
    // Each is seen to run, five seconds after its start, before what uses it is started.
    assert!(
        started("nas") + 5_000 <= started("db") && started("db") + 5_000 <= started("web"),
        "{}",
        story()
    );
    assert!(room.engine.stopped_hosts().is_empty(), "{}", story());
    assert!(!room.is_active("outage.return") && !room.is_active("outage.hosts_stopped"));
}

#[test]
fn killed_at_every_record_of_the_way_back_every_host_runs_again_and_was_started_once() {
    let whole = there_and_back(None, false, false);
    all_back_once(&whole, "not killed");
    let records = whole.journal.len();
    assert!(records >= 30, "{records} records are too few to mean something");
    for crash in 2..=records {
        for (orphans, reboots) in [(false, false), (true, false), (true, true)] {
            let room = there_and_back(Some(crash), orphans, reboots);
            let what = format!("killed at record {crash}, orphans {orphans}, reboots {reboots}");
            all_back_once(&room, &what);
        }
    }
}

/// A long outage to its end, and the way back, killed when the journal has grown to a length.
fn to_the_end(crash: Option<usize>, reboots: bool) -> Room {
    let mut policy = policy();
    policy.longest_on_battery = Millis(20_000);
    let mut site = site_with(&["ups-a", "ups-b"], policy);
    site.hosts = vec![
        host("web", &["ups-a", "ups-b"], &["db"]),
        host("db", &["ups-a"], &[]),
    ];
    for host in &mut site.hosts {
        host.start = Some(start(&host.name, Millis(60_000)));
    }
    let cut = |ups: &str| Cut {
        ups: ups.into(),
        delay: Millis(120_000),
        also: Vec::new(),
    };
    site.finish = Some(Finish {
        cuts: vec![cut("ups-a"), cut("ups-b")],
        may_run: [].into(),
        controller: Some(Own {
            program: "/bin/true".into(),
            args: Vec::new(),
            budget: Millis(20_000),
        }),
    });
    let mut room = Room::new(site, &[3_600.0, 3_600.0]);
    room.controller_on = Some(0);
    // One server comes up by itself, the other is to be woken.
    room.hosts[0].by_itself = Some(40_000);
    room.crash_reboots = reboots;
    room.crash_at = crash;
    room.run_until(30_000);
    for ups in &mut room.ups {
        ups.mains = false;
    }
    room.run_until(900_000);
    for ups in &mut room.ups {
        ups.mains = true;
    }
    room.run_until(2_400_000);
    room
}

#[test]
fn killed_at_every_record_of_the_end_every_ups_is_told_and_everybody_runs_again() {
    let whole = to_the_end(None, false);
    let records = whole.journal.len();
    assert!(records >= 25, "{records} records are too few to mean something");
    for crash in (2..=records).map(Some).chain([None]) {
        for reboots in [false, true] {
            let room = to_the_end(crash, reboots);
            let story = || {
                format!(
                    "killed at {crash:?}, reboots {reboots}\n{}",
                    room.transcript.join("\n")
                )
            };
            for ups in &room.ups {
                // A command whose answer died with the controller is said once more; it may be. A
                // machine that restarts in between cannot know what came up meanwhile, and tells no more.
                let least = u32::from(!reboots);
                assert!((least..=2).contains(&ups.output.told), "{} {}", ups.name, story());
                let told = room.count(|record| match record {
                    Record::FinishTold { order } => order.step == format!("output/{}", ups.name),
                    _ => false,
                });
                assert!(told <= 1 && (reboots || told == 1), "{} {}", ups.name, story());
            }
            let ends = room.count(|record| matches!(record, Record::FinishEnded { .. }));
            assert_eq!(ends, 1, "{}", story());
            for host in &room.hosts {
                assert_eq!(host.life, Life::Up, "{} {}", host.id, story());
                assert_eq!(host.effects.len(), 1, "{} {}", host.id, story());
            }
            assert!(room.engine.stopped_hosts().is_empty(), "{}", story());
            assert!(room.broken.is_empty(), "{:?}\n{}", room.broken, story());
        }
    }
}
