//! Golden transcripts: a site and a timeline in `scenarios/notices/*.txt`, and below it who heard
//! what by what. `UPDATE_EXPECT=1` writes the transcripts anew; review them as a diff.
//!
//! ```text
//! begins 2026-11-24 12:00                            local time, +09:00; 2026-11-23 is a holiday
//! notifier mail          tower lamp          heartbeat mail 60
//! contact staff mail=staff@city.example.jp sms=+81312345678
//!   duty staff mon-fri 08:30-17:15           deputy staff chief 2026-11-24..2026-11-25
//! route all warning 0:staff 300:guard,chief repeat 1800 [only] [door forced] [without returned]
//! alarm leak.1.wet leak            id and kind of the catalogue; `under ID` folds it
//! at 10 leak.1.wet holds | is gone | is acknowledged by NAME | is shelved 60 | is reset
//! at 10 mail fails | refuses | hangs | works
//! at 10 controller restarts | reboots | dies 2      2: the last two records are lost
//! at 10 clock +3600          at 10 test staff | all          at 10 lamp test
//! until 600
//! ----
//! transcript
//! ```

use super::world::{Manner, World};
use room::alarm::Definition;
use room::catalog::Kind;
use room::notice::Settings;
use room::notice::duty::{Calendar, HOLIDAY};
use room::site::notice::{Contact, Deputy, Heartbeat, Hours, Moments, Notices, Route, Step, Via};
use room::site::{Label, Priority};
use room::time::{Millis, Mono};
use std::path::Path;

#[test]
fn every_scenario_of_notices_reads_as_it_is_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/notices");
    let mut wrong = Vec::new();
    let mut found = 0;
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in files {
        found += 1;
        let text = std::fs::read_to_string(&file).unwrap();
        let (timeline, expected) = text.split_once("----\n").unwrap_or((&text, ""));
        let got = play(timeline).unwrap_or_else(|problem| panic!("{}: {problem}", file.display()));
        if got == expected {
            continue;
        }
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&file, format!("{timeline}----\n{got}")).unwrap();
        } else {
            wrong.push(format!("{}: got\n{got}", file.display()));
        }
    }
    assert!(found >= 15, "only {found} scenarios in {}", folder.display());
    assert!(wrong.is_empty(), "UPDATE_EXPECT=1 accepts:\n{}", wrong.join("\n"));
}

/// 2026-11-23, a Monday and a holiday.
pub(crate) const MONDAY: u16 = 20_780;

fn play(timeline: &str) -> Result<String, String> {
    let mut settings = Settings {
        site: Label::new("第一サーバ室", "Server room 1"),
        calendar: Calendar {
            utc_offset_min: 540,
            holidays: vec![MONDAY],
        },
        ..Settings::default()
    };
    let mut definitions = Vec::new();
    let mut wall = 0;
    let mut world: Option<World> = None;
    for line in timeline.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let cannot = || format!("cannot read: {line}");
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["begins", date, time] => {
                wall = (i64::from(day(date).ok_or_else(cannot)?) * 1440
                    + i64::from(minute(time).ok_or_else(cannot)?)
                    - 540)
                    * 60_000;
            }
            ["at", secs, ref what @ ..] => {
                let world = open(&mut world, &settings, &definitions, wall);
                world.run_until(at(secs).ok_or_else(cannot)?);
                world.remark(&format!("# {}", what.join(" ")));
                act(world, what).ok_or_else(cannot)?;
            }
            ["until", secs] => {
                open(&mut world, &settings, &definitions, wall).run_until(at(secs).ok_or_else(cannot)?);
            }
            _ => furnish(&mut settings, &mut definitions, &words).ok_or_else(cannot)?,
        }
    }
    let world = world.ok_or("nothing happens")?;
    Ok(world.transcript.join("\n") + "\n")
}

fn open<'w>(
    world: &'w mut Option<World>,
    settings: &Settings,
    definitions: &[Definition],
    wall: i64,
) -> &'w mut World {
    world.get_or_insert_with(|| {
        let mut world = World::new(settings.clone(), definitions.to_vec());
        world.wall_step = wall - 1_000_000;
        world
    })
}

fn at(secs: &str) -> Option<Mono> {
    Some(Mono(1_000_000 + secs.parse::<u64>().ok()? * 1000))
}

fn day(date: &str) -> Option<u16> {
    let date = date.strip_prefix("2026-11-")?.parse::<u16>().ok()?;
    Some(MONDAY - 23 + date)
}

fn minute(time: &str) -> Option<u16> {
    let (hours, minutes) = time.split_once(':')?;
    Some(hours.parse::<u16>().ok()? * 60 + minutes.parse::<u16>().ok()?)
}

fn furnish(settings: &mut Settings, definitions: &mut Vec<Definition>, words: &[&str]) -> Option<()> {
    let notices: &mut Notices = &mut settings.notices;
    match *words {
        ["notifier", name] => {
            settings.notifiers.insert(name.to_owned(), Label::new(name, name));
        }
        ["tower", name] => {
            settings.notifiers.insert(name.to_owned(), Label::new(name, name));
            settings.towers.push(name.to_owned());
        }
        ["heartbeat", name, secs] => notices.heartbeats.push(Heartbeat {
            notifier: name.to_owned(),
            every: Millis::from_secs(secs.parse().ok()?),
        }),
        ["contact", name, ref ways @ ..] => notices.contacts.push(Contact {
            name: name.to_owned(),
            label: Label::new(name, name),
            via: ways
                .iter()
                .map(|way| {
                    let (notifier, to) = way.split_once('=').unwrap_or((way, ""));
                    Via {
                        notifier: notifier.to_owned(),
                        to: (!to.is_empty()).then(|| to.to_owned()),
                    }
                })
                .collect(),
            duty: Vec::new(),
            deputies: Vec::new(),
        }),
        ["duty", name, days, hours] => {
            let (from, to) = hours.split_once('-')?;
            let hours = Hours {
                days: match days {
                    "mon-fri" => 0b1_1111,
                    "every" => 0b111_1111 | HOLIDAY,
                    _ => return None,
                },
                from: minute(from)?,
                to: minute(to)?,
            };
            let contact = notices.contacts.iter_mut().find(|contact| contact.name == name)?;
            contact.duty.push(hours);
        }
        ["deputy", name, deputy, days] => {
            let (from, until) = days.split_once("..")?;
            let deputy = Deputy {
                contact: deputy.to_owned(),
                from: day(from)?,
                until: day(until)?,
            };
            let contact = notices.contacts.iter_mut().find(|contact| contact.name == name)?;
            contact.deputies.push(deputy);
        }
        ["route", name, at_least, ref rest @ ..] => notices.routes.push(route(name, at_least, rest)?),
        ["alarm", id, kind, ref rest @ ..] => {
            let place = Label::new(id, id);
            let mut definition = Definition::of(Kind::by_word(kind)?, id, place);
            if let ["under", causes @ ..] = rest {
                definition.folded_under = causes.iter().map(|cause| (*cause).to_owned()).collect();
            }
            definitions.push(definition);
        }
        _ => return None,
    }
    Some(())
}

fn route(name: &str, at_least: &str, rest: &[&str]) -> Option<Route> {
    let mut route = Route {
        name: name.to_owned(),
        at_least: match at_least {
            "advisory" => Priority::Advisory,
            "warning" => Priority::Warning,
            "critical" => Priority::Critical,
            _ => return None,
        },
        classes: Vec::new(),
        kinds: Vec::new(),
        sources: Vec::new(),
        only: false,
        steps: Vec::new(),
        repeat: None,
        moments: Moments::ALL,
    };
    let mut words = rest.iter();
    while let Some(word) = words.next() {
        match *word {
            "only" => route.only = true,
            "repeat" => route.repeat = Some(Millis::from_secs(words.next()?.parse().ok()?)),
            "class" => route.classes.push((*words.next()?).to_owned()),
            "kind" => route.kinds.push((*words.next()?).to_owned()),
            "without" => match *words.next()? {
                "returned" => route.moments.returned = false,
                "acknowledged" => route.moments.acknowledged = false,
                _ => return None,
            },
            step => {
                let (after, contacts) = step.split_once(':')?;
                route.steps.push(Step {
                    after: Millis::from_secs(after.parse().ok()?),
                    contacts: contacts.split(',').map(String::from).collect(),
                });
            }
        }
    }
    Some(route)
}

fn act(world: &mut World, what: &[&str]) -> Option<()> {
    match *what {
        ["controller", "restarts"] => world.restart(usize::MAX, true),
        ["controller", "reboots"] => world.restart(usize::MAX, false),
        ["controller", "dies", lost] => {
            let keep = world.journal.len() - lost.parse::<usize>().ok()?;
            world.restart(keep, true);
        }
        ["clock", step] => world.wall_step += step.parse::<i64>().ok()? * 1000,
        ["test", "all"] => world.test_call(None),
        ["test", contact] => world.test_call(Some(contact)),
        ["lamp", "test"] => world.lamp_test(),
        [notifier, manner @ ("works" | "fails" | "refuses" | "hangs")] => {
            let manner = match manner {
                "works" => Manner::Works,
                "fails" => Manner::Fails,
                "refuses" => Manner::Refuses,
                _ => Manner::Hangs,
            };
            *world.manners.get_mut(notifier)? = manner;
        }
        [alarm, "holds"] => world.alarm(alarm, true),
        [alarm, "is", "gone"] => world.alarm(alarm, false),
        [alarm, "is", "reset"] => world.reset(alarm),
        [alarm, "is", "shelved", minutes] => world.shelve(alarm, minutes.parse().ok()?),
        [alarm, "is", "acknowledged", "by", by] => {
            world.acknowledge(alarm, by);
        }
        _ => return None,
    }
    Some(())
}
