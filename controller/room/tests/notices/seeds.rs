//! Random rooms: alarms, people, failing notifiers, clocks that are set, and a controller that dies
//! at any record, also between sending and recording. The seed is printed with a failure.

use super::flood::{contact, route, settings};
use super::world::{Manner, World};
use room::alarm::{Definition, Standing};
use room::catalog::Kind;
use room::notice::fold::{SUMMARY_EVERY, WINDOW};
use room::notice::record::Record as Told;
use room::notice::{About, Moment};
use room::record::Record;
use room::site::{Label, Priority};
use room::time::{Millis, Mono};
use std::collections::{BTreeMap, BTreeSet};

/// Seeds of an ordinary run; `YAGURA_SEEDS` asks for more.
const SEEDS: u64 = 300;
const STEPS: u64 = 60;

/// xorshift64*; a test needs no more.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % sides
    }
}

const KINDS: [Kind; 8] = [
    Kind::TemperatureHigh,
    Kind::NoData,
    Kind::DoorForced,
    Kind::Leak,
    Kind::Smoke,
    Kind::FanFailed,
    Kind::HumidityLow,
    Kind::NodeSilent,
];

fn room(dice: &mut Dice) -> World {
    let definitions = (0..12)
        .map(|at| {
            let kind = KINDS[at % KINDS.len()];
            let mut definition = Definition::of(kind, format!("p{at}.alarm"), Label::new("室", "room"));
            if at == 1 || at == 9 {
                definition.folded_under = vec!["p7.alarm".to_owned()];
            }
            definition
        })
        .collect();
    let mut door = route("door", &[(0, &["security"]), (120, &["chief"])]);
    door.only = true;
    door.classes = vec!["door".to_owned()];
    let settings = settings(
        &["mail", "sms", "page"],
        vec![
            contact("staff", &["mail", "sms"]),
            contact("chief", &["mail", "page"]),
            contact("security", &["page"]),
        ],
        vec![route("all", &[(0, &["staff"]), (300, &["chief"])]), door],
    );
    let mut world = World::new(settings, definitions);
    world.latency = Millis(50 + dice.roll(3_000));
    world
}

/// True when records were lost that had not reached the disk.
fn step(world: &mut World, dice: &mut Dice, seed: u64) -> bool {
    let mut is_lost = false;
    let alarm = format!("p{}.alarm", dice.roll(12));
    match dice.roll(20) {
        0..=6 => world.alarm(&alarm, true),
        7..=9 => world.alarm(&alarm, false),
        10 | 11 => {
            world.acknowledge(&alarm, "Sato");
        }
        12 => world.reset(&alarm),
        13 => world.shelve(&alarm, 1 + dice.roll(30) as u32),
        14 | 15 => {
            let notifier = ["mail", "sms", "page"][dice.roll(3) as usize];
            let manner = [Manner::Works, Manner::Works, Manner::Fails, Manner::Hangs][dice.roll(4) as usize];
            world.manners.insert(notifier.to_owned(), manner);
        }
        16 => world.wall_step += 1000 * (dice.roll(200_000) as i64 - 100_000),
        17 | 18 => {
            // Dies anywhere in its last records, which were not yet on disk, or after them.
            let before = world.recorded();
            let keep = world.journal.len().saturating_sub(dice.roll(4) as usize);
            let kept_all = keep == world.journal.len();
            world.restart(keep, dice.roll(5) > 0);
            is_lost = !kept_all;
            if kept_all {
                assert!(world.recorded().is_superset(&before), "seed {seed}");
            }
        }
        _ => world.test_call(None),
    }
    let pause = [10, 500, 5_000, 60_000, 400_000][dice.roll(5) as usize];
    world.run_until(world.mono.after(Millis(1 + dice.roll(pause))));
    is_lost
}

/// Whatever happened, these hold for what arrived and what was recorded.
fn judge(world: &World, seed: u64) {
    let mut told: BTreeSet<(String, String)> = BTreeSet::new();
    let mut summarised: BTreeSet<String> = BTreeSet::new();
    for arrived in &world.arrived {
        let Some(contact) = arrived.notice.contact.clone() else {
            continue;
        };
        match &arrived.notice.about {
            About::Alarm(alarm) => match alarm.moment {
                Moment::Returned | Moment::Acknowledged | Moment::Shelved => assert!(
                    told.contains(&(contact.clone(), alarm.alarm.clone())) || summarised.contains(&contact),
                    "seed {seed}: {contact} hears {:?} of {} and was not told of it",
                    alarm.moment,
                    alarm.alarm
                ),
                _ => {
                    told.insert((contact, alarm.alarm.clone()));
                }
            },
            About::Summary(_) => {
                summarised.insert(contact);
            }
            _ => {}
        }
    }
}

/// Nothing that was recorded goes out again; a person hears at most so many singly.
fn judge_order(world: &World, seed: u64, since: usize, recorded: &mut BTreeSet<String>) {
    for arrived in &world.arrived[since..] {
        if matches!(arrived.notice.about, About::Alarm(_) | About::Summary(_)) {
            assert!(
                !recorded.contains(&arrived.notice.key),
                "seed {seed}: {} was recorded and goes out again",
                arrived.notice.key
            );
        }
    }
    *recorded = world.recorded();
}

/// One boot's worth of messages: at most five ordinary and five urgent ones in any ten minutes.
fn judge_rate(world: &World, seed: u64, since: usize) {
    let mut heard: BTreeMap<(String, bool), Vec<(Mono, String)>> = BTreeMap::new();
    for arrived in &world.arrived[since..] {
        let About::Alarm(alarm) = &arrived.notice.about else {
            continue;
        };
        let is_news = matches!(
            alarm.moment,
            Moment::Raised | Moment::Escalated | Moment::Reminder
        );
        if !is_news {
            continue;
        }
        let urgent = alarm.priority == Priority::Critical || alarm.class == "door";
        let contact = arrived.notice.contact.clone().unwrap();
        heard
            .entry((contact, urgent))
            .or_default()
            .push((arrived.at, arrived.notice.key.clone()));
    }
    for ((contact, urgent), messages) in heard {
        for (first, (begin, _)) in messages.iter().enumerate() {
            let keys: BTreeSet<&str> = messages[first..]
                .iter()
                .take_while(|(at, _)| at.since(*begin) < WINDOW)
                .map(|(_, key)| key.as_str())
                .collect();
            // What waited for a notifier that hung or failed may come together with the next ones.
            assert!(
                keys.len() <= 10,
                "seed {seed}: {contact} heard {} in ten minutes (urgent: {urgent}): {keys:?}",
                keys.len()
            );
        }
    }
}

#[test]
fn whatever_happens_nothing_is_told_twice_and_no_critical_alarm_is_lost() {
    let seeds = std::env::var("YAGURA_SEEDS").map_or(SEEDS, |seeds| seeds.parse().unwrap());
    for seed in 1..=seeds {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut world = room(&mut dice);
        world.is_quiet = true;
        let mut recorded = BTreeSet::new();
        let mut boot = 0;
        for _ in 0..STEPS {
            let since = world.arrived.len();
            let mono = world.mono;
            if step(&mut world, &mut dice, seed) {
                // What was recorded and lost again may go out again.
                recorded.clear();
            }
            if world.mono < mono {
                boot = world.arrived.len();
            }
            judge_order(&world, seed, since, &mut recorded);
            let size = world.desk.size();
            assert!(size.cases <= 15 && size.deliveries <= 60, "seed {seed}: {size:?}");
        }
        judge(&world, seed);
        judge_rate(&world, seed, boot);
        // Everything works again: within an hour whoever must know knows.
        for manner in world.manners.values_mut() {
            *manner = Manner::Works;
        }
        world.run_until(world.mono.after(Millis::from_secs(3_600)));
        judge(&world, seed);
        for definition in world.definitions.clone() {
            let standing = world.book.standing(&definition.id);
            let state = world.book.state(&definition.id);
            let is_open = standing == Standing::Unacknowledged
                && state == Some(room::snapshot::AlarmState::Unacknowledged);
            let urgent = definition.priority == Priority::Critical;
            if !(is_open && urgent) {
                continue;
            }
            let told = world.journal.iter().any(|(_, record)| {
                matches!(record, Record::Notice { record: Told::Sent { alarm, .. } } if *alarm == definition.id)
            });
            assert!(
                told,
                "seed {seed}: nobody was told of {} by a message of its own",
                definition.id
            );
        }
        // A reminder may be in the next summary just now, but that has its time.
        let next = world.desk.next_deadline(world.now());
        let is_soon = next.is_some_and(|at| at.since(world.mono) <= SUMMARY_EVERY);
        assert!(
            world.desk.size().folded == 0 || is_soon,
            "seed {seed}: a summary for ever"
        );
    }
}

#[test]
fn while_nothing_works_the_notifiers_are_alarms_and_the_alarm_arrives_when_one_does() {
    for seed in 1..=50 {
        let mut dice = Dice(seed * 7919);
        let mut world = room(&mut dice);
        world.is_quiet = true;
        for manner in world.manners.values_mut() {
            *manner = if dice.roll(2) == 0 {
                Manner::Fails
            } else {
                Manner::Hangs
            };
        }
        world.alarm("p4.alarm", true);
        world.run_until(world.mono.after(Millis::from_secs(600)));
        for notifier in ["mail", "sms"] {
            assert!(
                world.book.is_active(&format!("notifier.{notifier}")),
                "seed {seed}: {notifier}"
            );
        }
        world.manners.insert("sms".to_owned(), Manner::Works);
        world.run_until(world.mono.after(Millis::from_secs(1_300)));
        let heard = world
            .arrived
            .iter()
            .any(|arrived| matches!(&arrived.notice.about, About::Alarm(alarm) if alarm.alarm == "p4.alarm"));
        assert!(heard, "seed {seed}: {:#?}", world.desk.size());
    }
}
