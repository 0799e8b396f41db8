//! Golden transcripts: a timeline in `scenarios/*.txt`, and below it what the engine recorded
//! and did. `UPDATE_EXPECT=1` writes the transcripts anew; review them as a diff.
//!
//! ```text
//! ups ups-a 600                          a UPS whose full battery lasts 600 s with every host up
//! host db feeds=ups-a uses=nas budget=20 needs=1 hold|force blind start=60
//! host web feeds=ups-a shed=120             stopped early, after 120 s on battery
//! policy then=shed delay=10 reserve=30 charge=20 longest=1800 contact=15 stable=30 return=30 full=90 [times=learnt] [rehearse=86400]
//! rule heat overheating for=60 then=stop hosts=web signs=hot:node-1,hot-2:node-2,cooler:crac
//!                                        a sign is name:source; of overheating, `hot...` is heat
//! at 100 hot holds | is gone | is lost
//! pdu pdu-1 ups-a                        a PDU and what feeds it; ats ats-1 ups-a ups-b
//! at 100 pdu-1 switches off 3 | switches on 3 | loses its input | falls silent | answers
//! at 100 lose ups-a,mains                what would be if these were lost now
//! at 100 ups-a loses mains | gets mains | falls silent | answers | says <fact>=<word> ... | is honest
//!                | starts a test | ends its test | is full | cuts its load | carries its load
//! at 100 db hangs | stays | refuses | cannot be forced | fails 2 | stops 5 | has another key | is up again
//! at 100 db is off | wakes 20 | sleeps 2   at 100 Sato holds the return | releases the return
//! at 100 controller dies | reboots          at 100 act goes | comes
//! at 100 clock in doubt | trusted           an alarm of a clock stands, or does no more
//! at 100 Sato cancels nights
//! at 100 ups-a is told to test              by us; it may not say so
//! at 100 clock +3600                        at 100 Sato rehearses | started the hosts
//! at 100 Sato drills db [and what uses it]
//! schedule nights hosts=web days=sun stop=09:10 start=09:30 announce=60
//!                                        hosts that stand still by the calendar; the room begins on
//!                                        Sunday 2026-11-22 at 09:00, Monday is a holiday
//! two persons                            a run, a pause and a skip need a second one
//! at 100 Sato orders run [of web,db] | abort | pause 60 | resume | skip web;  Suzuki confirms 1
//! at 100 show                               the power as the page shows it
//! finish ups-a=60 ups-b=60 own=20 may_run=web   what is told when every host is off; own: the controller's machine
//! controller on ups-a                       its machine hangs on that UPS
//! host db ... boots=90                      it comes up by itself when its power is back
//! at 100 ups-a refuses 2 | forgets          tries it does not take; it forgets when mains is back in time
//! until 300
//! ----
//! transcript
//! ```

use super::world::{Life, Manner, Room, Wakes, host, policy, site_with, start};
use room::outage::operator::{Ask, Person, Who, Wish};
use room::outage::{Input, Sight};
use room::schedule::Schedule;
use room::site::feeds::Branch;
use room::site::finish::{Cut, Finish, Own};
use room::site::outage::{About, Operators, Rule, Seen, Sign, Then};
use room::site::{Confirm, DeviceKind, Label, OnFailure, StepTimes};
use room::time::Millis;
use std::path::Path;

#[test]
fn every_scenario_reads_as_it_is_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut wrong = Vec::new();
    let mut found = 0;
    for entry in std::fs::read_dir(&folder)
        .expect("the folder of scenarios")
        .map(|entry| entry.unwrap().path())
    {
        if entry.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        found += 1;
        let text = std::fs::read_to_string(&entry).unwrap();
        let (timeline, expected) = text.split_once("----\n").unwrap_or((&text, ""));
        let got = play(timeline).unwrap_or_else(|problem| panic!("{}: {problem}", entry.display()));
        if got == expected {
            continue;
        }
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&entry, format!("{timeline}----\n{got}")).unwrap();
        } else {
            wrong.push(format!("{}: got\n{got}", entry.display()));
        }
    }
    assert!(found >= 15, "only {found} scenarios in {}", folder.display());
    assert!(wrong.is_empty(), "UPDATE_EXPECT=1 accepts:\n{}", wrong.join("\n"));
}

#[test]
fn a_battery_that_gives_less_than_it_promises_must_be_fuller_before_hosts_are_started() {
    let story = "ups ups-a 200\nhost db feeds=ups-a uses=nas start=60 budget=40\n\
                 host nas feeds=ups-a start=60 budget=40\n\
                 policy longest=100 stable=30 charge=5 reserve=20\n\
                 at 60 ups-a loses mains\nat 300 ups-a gets mains\nuntil 400\n";
    let starts_until_20_min = |share: Option<f64>| {
        let mut room = play_out(story).expect("a story");
        assert!(room.hosts[1].starts.is_empty(), "the battery is nearly empty");
        room.engine.learn_capacity("ups-a", share);
        room.run_until(1_200_000);
        room.hosts[1].starts.len()
    };
    assert_eq!(starts_until_20_min(None), 1, "as promised");
    assert_eq!(starts_until_20_min(Some(0.7)), 0, "it gave 70 % of its promises");
}

/// Every scenario, played to its end.
pub(crate) fn rooms() -> Vec<(String, Room)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let entries = std::fs::read_dir(&folder).expect("the folder of scenarios");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("the folder of scenarios can be read").path())
        .collect();
    files.sort();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "txt"));
    let rooms = files.iter().map(|file| {
        let text = std::fs::read_to_string(file).expect("a scenario is a readable text");
        let timeline = text.split_once("----\n").map_or(&*text, |(timeline, _)| timeline);
        let name = file
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        (name, play_out(timeline).expect("a scenario plays to its end"))
    });
    rooms.collect()
}

fn play(timeline: &str) -> Result<String, String> {
    let room = play_out(timeline)?;
    Ok(room.transcript.join("\n") + "\n")
}

fn play_out(timeline: &str) -> Result<Room, String> {
    let lines = || {
        timeline
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
    };
    let mut room = build(lines())?;
    for line in lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["at", secs, who, ref what @ ..] => {
                room.run_until(millis(secs)?);
                if who != "show" && who != "lose" {
                    room.remark(line.splitn(3, ' ').nth(2).unwrap_or_default());
                }
                act_out(&mut room, who, what).ok_or_else(|| format!("cannot read: {line}"))?;
            }
            ["until", secs] => room.run_until(millis(secs)?),
            _ => {}
        }
    }
    Ok(room)
}

fn build<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Room, String> {
    let mut boxes = Vec::new();
    let (mut ups, mut batteries, mut hosts, mut policy) = (Vec::new(), Vec::new(), Vec::new(), policy());
    let mut operators = Operators {
        group: Some("duty".into()),
        ..Operators::default()
    };
    let (mut check, mut schedules) = (None, Vec::new());
    let (mut finish, mut boots, mut controller) = (None, Vec::new(), None);
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["two", "persons"] => operators.two_person = true,
            ["ups", name, full] => {
                ups.push(name);
                batteries.push(full.parse().map_err(|_| format!("cannot read: {line}"))?);
            }
            ["pdu", name, ref feeds @ ..] => boxes.push((DeviceKind::Pdu, name, feeds.to_vec())),
            ["ats", name, ref feeds @ ..] => boxes.push((DeviceKind::Ats, name, feeds.to_vec())),
            ["finish", ref options @ ..] => finish = Some(read_finish(options)?),
            ["controller", "on", name] => controller = Some(name),
            ["host", name, ref options @ ..] => {
                let options = options.iter().filter(|option| {
                    if let Some(secs) = option.strip_prefix("shed=") {
                        let after = millis(secs).expect("shed=SECONDS");
                        policy.shed.insert(name.to_owned(), Millis(after));
                        return false;
                    }
                    if let Some(secs) = option.strip_prefix("boots=") {
                        boots.push((name, millis(secs).expect("boots=SECONDS")));
                        return false;
                    }
                    true
                });
                let options: Vec<&str> = options.copied().collect();
                hosts.push(read_host(name, &options)?);
            }
            ["rule", name, about, ref options @ ..] => policy.rules.push(read_rule(name, about, options)?),
            ["policy", ref options @ ..] => {
                for option in options {
                    let (key, value) = option.split_once('=').ok_or("a policy is key=value")?;
                    match key {
                        "delay" => policy.on_battery_delay = Millis(millis(value)?),
                        "reserve" => policy.reserve = Millis(millis(value)?),
                        "charge" => {
                            policy.start_at_charge = value.parse().map_err(|_| "charge is a number")?
                        }
                        "longest" => policy.longest_on_battery = Millis(millis(value)?),
                        "contact" => policy.contact_lost_after = Millis(millis(value)?),
                        "then" => policy.then = then(value)?,
                        "return" => policy.return_after = Some(Millis(millis(value)?)),
                        "full" => {
                            policy.return_charge = Some(value.parse().map_err(|_| "full is a number")?);
                        }
                        "stable" => policy.mains_stable = Millis(millis(value)?),
                        "rehearse" => policy.rehearse_every = Some(Millis(millis(value)?)),
                        "times" if value == "learnt" => policy.step_times = StepTimes::Learnt,
                        _ => return Err(format!("unknown policy {key}")),
                    }
                }
            }
            ["schedule", name, ref options @ ..] => schedules.push(read_schedule(name, options)?),
            ["credentials", time] => check = Some(minutes(time).ok_or("credentials HH:MM")?),
            ["at" | "until", ..] => {}
            _ => return Err(format!("cannot read: {line}")),
        }
    }
    let mut site = site_with(&ups, policy);
    site.hosts = hosts;
    for (kind, name, feeds) in boxes {
        let mut device = site.devices[0].clone();
        (device.kind, device.name) = (kind, name.into());
        site.devices.push(device);
        site.branches.push(Branch {
            device: name.into(),
            fed_by: feeds.into_iter().map(String::from).collect(),
        });
    }
    site.operators = operators;
    site.check_credentials = check;
    site.schedules = schedules;
    site.finish = finish;
    let mut room = Room::new(site, &batteries);
    for (name, takes) in boots {
        let host = room.hosts.iter_mut().find(|host| host.id == name);
        host.expect("it was just read").by_itself = Some(takes);
    }
    room.controller_on = controller.and_then(|name| room.ups.iter().position(|ups| ups.name == name));
    Ok(room)
}

fn read_finish(options: &[&str]) -> Result<Finish, String> {
    let mut finish = Finish {
        cuts: Vec::new(),
        may_run: [].into(),
        controller: None,
    };
    for option in options {
        match option.split_once('=') {
            Some(("own", secs)) => {
                finish.controller = Some(Own {
                    program: "/bin/true".into(),
                    args: Vec::new(),
                    budget: Millis(millis(secs)?),
                });
            }
            Some(("may_run", names)) => finish.may_run = names.split(',').map(String::from).collect(),
            Some((ups, secs)) => finish.cuts.push(Cut {
                ups: ups.into(),
                delay: Millis(millis(secs)?),
                also: Vec::new(),
            }),
            None => return Err(format!("unknown option of the finish: {option}")),
        }
    }
    Ok(finish)
}

/// Minutes from midnight, Japan time; the room begins at 09:00.
fn minutes(time: &str) -> Option<u16> {
    let (hours, minutes) = time.split_once(':')?;
    Some(hours.parse::<u16>().ok()? * 60 + minutes.parse::<u16>().ok()?)
}

fn read_host(name: &str, options: &[&str]) -> Result<room::site::Host<room::site::Real>, String> {
    let mut host = host(name, &[], &[]);
    for option in options {
        match option.split_once('=') {
            Some(("feeds", names)) => host.feeds = names.split(',').map(String::from).collect(),
            Some(("uses", names)) => host.depends_on = names.split(',').map(String::from).collect(),
            Some(("needs", count)) => host.need = count.parse().map_err(|_| "needs is a number")?,
            Some(("start", secs)) => {
                host.start = Some(start(name, Millis(millis(secs)?)));
            }
            Some(("budget", secs)) => host.budget = Millis(millis(secs)?),
            None if *option == "force" => {
                host.on_failure = OnFailure::Force;
                host.force = Some(host.action.clone());
            }
            None if *option == "hold" => host.on_failure = OnFailure::Hold,
            None if *option == "start" => {
                host.start = Some(room::site::Start {
                    action: host.action.clone(),
                    alive: None,
                    budget: Millis(20_000),
                });
            }
            None if *option == "blind" => host.confirm = Confirm::ActionSucceeded,
            _ => return Err(format!("unknown option {option}")),
        }
    }
    Ok(host)
}

fn read_schedule(name: &str, options: &[&str]) -> Result<Schedule, String> {
    let mut schedule = Schedule {
        name: name.into(),
        hosts: Vec::new(),
        days: 0,
        dates: Vec::new(),
        except: Vec::new(),
        stop: 0,
        start: 0,
        start_on: 0,
        start_dates: Vec::new(),
        announce: Millis(60_000),
    };
    let days = |text: &str| {
        let all = ["mon", "tue", "wed", "thu", "fri", "sat", "sun", "holiday"];
        let bits = text
            .split(',')
            .map(|day| Some(1_u8 << all.iter().position(|known| *known == day)?));
        bits.collect::<Option<Vec<u8>>>()
            .map(|bits| bits.into_iter().sum())
    };
    for option in options {
        let (key, value) = option.split_once('=').ok_or("a schedule is key=value")?;
        let wrong = || format!("cannot read: {option}");
        match key {
            "hosts" => schedule.hosts = value.split(',').map(String::from).collect(),
            "days" => schedule.days = days(value).ok_or_else(wrong)?,
            "on" => schedule.start_on = days(value).ok_or_else(wrong)?,
            "stop" => schedule.stop = minutes(value).ok_or_else(wrong)?,
            "start" => schedule.start = minutes(value).ok_or_else(wrong)?,
            "announce" => schedule.announce = Millis(millis(value)?),
            _ => return Err(format!("unknown option of a schedule: {key}")),
        }
    }
    Ok(schedule)
}

fn then(word: &str) -> Result<Then, String> {
    Ok(match word {
        "stop" => Then::Stop,
        "shed" => Then::Shed,
        "alarm" => Then::Alarm,
        _ => return Err(format!("then={word}: stop, shed or alarm")),
    })
}

fn read_rule(name: &str, about: &str, options: &[&str]) -> Result<Rule, String> {
    let mut rule = Rule {
        name: name.into(),
        about: match about {
            "overheating" => About::Overheating,
            "leak" => About::Leak,
            _ => return Err(format!("unknown rule about {about}")),
        },
        signs: Vec::new(),
        hold: Millis(60_000),
        then: Then::Stop,
        hosts: Vec::new(),
    };
    for option in options {
        let (key, value) = option.split_once('=').ok_or("an option of a rule is key=value")?;
        match key {
            "for" => rule.hold = Millis(millis(value)?),
            "then" => rule.then = then(value)?,
            "hosts" => rule.hosts = value.split(',').map(String::from).collect(),
            "signs" => rule.signs = value.split(',').map(read_sign).collect::<Result<_, _>>()?,
            _ => return Err(format!("unknown option of a rule: {key}")),
        }
    }
    Ok(rule)
}

fn read_sign(text: &str) -> Result<Sign, String> {
    let (name, source) = text.split_once(':').ok_or("a sign is name:source")?;
    let point = name.to_owned();
    Ok(Sign {
        name: name.into(),
        seen: if name.starts_with("hot") {
            Seen::Beyond {
                point,
                above: true,
                limit: 40.0,
            }
        } else {
            Seen::Contact { point }
        },
        sources: [source.to_owned()].into(),
    })
}

fn millis(secs: &str) -> Result<u64, String> {
    let secs: f64 = secs
        .parse()
        .map_err(|_| format!("not a number of seconds: {secs}"))?;
    Ok((secs * 1000.0) as u64)
}

fn act_out(room: &mut Room, who: &str, what: &[&str]) -> Option<()> {
    if let Some(ups) = room.ups.iter_mut().find(|ups| ups.name == who) {
        match what {
            ["loses", "mains"] => ups.mains = false,
            ["gets", "mains"] => ups.mains = true,
            ["falls", "silent"] => ups.silent = true,
            ["answers"] => ups.silent = false,
            ["starts", "a", "test"] => ups.testing = true,
            ["ends", "its", "test"] => ups.testing = false,
            ["is", "told", "to", "test"] => {
                let until = Some(room.clock().mono.after(Millis(900_000)));
                room.tell(Input::BatteryTest { ups: who, until });
                let ups = room.ups.iter_mut().find(|ups| ups.name == who)?;
                ups.testing = true;
                // It does not say so.
                let silent = [("ups.test.result", "passed"), ("output.source", "battery")];
                let silent = silent.map(|(fact, word)| (fact.to_owned(), word.to_owned()));
                ups.says.extend(silent);
            }
            ["is", "honest"] => ups.says.clear(),
            ["is", "full"] => ups.energy = ups.full,
            ["cuts", "its", "load"] => ups.cut = true,
            ["carries", "its", "load"] => ups.cut = false,
            ["refuses", times] => ups.output.refuses = times.parse().ok()?,
            ["forgets"] => ups.output.forgets = true,
            ["says", facts @ ..] => {
                for fact in facts {
                    let (name, value) = fact.split_once('=')?;
                    ups.says.insert(name.into(), value.into());
                }
            }
            _ => return None,
        }
        return Some(());
    }
    if let Some(branching) = room.branchings.iter_mut().find(|branching| branching.name == who) {
        match what {
            ["switches", "off", outlet] => branching.off.insert((*outlet).into()),
            ["switches", "on", outlet] => branching.off.remove(*outlet),
            ["loses", "its", "input"] => std::mem::replace(&mut branching.dead, true),
            ["falls", "silent"] => std::mem::replace(&mut branching.silent, true),
            ["answers"] => std::mem::replace(&mut branching.silent, false),
            _ => return None,
        };
        return Some(());
    }
    if let Some(host) = room.hosts.iter_mut().find(|host| host.id == who) {
        host.manner = match what {
            ["hangs"] => Manner::Hangs,
            ["stays"] => Manner::Stays,
            ["refuses"] => Manner::Refuses,
            ["has", "another", "key"] => Manner::OtherKey,
            ["fails", times] => Manner::Fails(times.parse().ok()?),
            ["cannot", "be", "forced"] => {
                host.forced = Manner::Refuses;
                host.manner
            }
            ["stops", secs] => Manner::Stops(millis(secs).ok()?),
            ["is", "off"] => {
                host.life = Life::Down;
                host.manner
            }
            ["wakes", secs] => {
                host.wakes = Wakes::After(millis(secs).ok()?);
                host.manner
            }
            ["sleeps", times] => {
                host.wakes = Wakes::Sleeps(times.parse().ok()?);
                host.manner
            }
            ["is", "up", "again"] => {
                host.life = Life::Up;
                host.ended = None;
                host.manner
            }
            _ => return None,
        };
        return Some(());
    }
    let rules = room.site.outage.iter().flat_map(|policy| &policy.rules);
    if rules.flat_map(|rule| &rule.signs).any(|sign| sign.name == who) {
        let sight = match what {
            ["holds"] => Sight::Holds,
            ["is", "gone"] => Sight::Absent,
            ["is", "lost"] => Sight::Unknown,
            _ => return None,
        };
        room.set_sign(who, sight);
        return Some(());
    }
    match (who, what) {
        ("controller", ["dies"]) => room.kill(false),
        ("controller", ["reboots"]) => room.kill(true),
        ("act", ["goes"]) => room.lose_act(),
        ("act", ["comes"]) => room.connect_act(),
        ("clock", ["in", "doubt"]) => {
            let doubt = Label::new("試験", "the alarm node-1.clock.off of a clock stands");
            room.tell(Input::Clock(Some(doubt)));
        }
        ("clock", ["trusted"]) => room.tell(Input::Clock(None)),
        (by, ["cancels", schedule]) => {
            let wish = Wish::CancelSchedule {
                schedule: (*schedule).into(),
                reason: "closing of the year's accounts".into(),
            };
            let (person, ask) = (person(by)?, Ask::Wish(wish));
            room.tell(Input::Operator { person, ask });
        }
        ("clock", [step]) => room.wall_step += step.parse::<i64>().ok()? * 1000,
        (by, ["drills", host]) => room.tell(drill(host, false, by)),
        (by, ["drills", host, "and", "what", "uses", "it"]) => room.tell(drill(host, true, by)),
        (by, ["orders" | "confirms", ..]) => {
            let (person, ask) = (person(by)?, ask(room, what)?);
            room.tell(Input::Operator { person, ask });
        }
        (by, ["holds", "the", "return"]) => room.tell(Input::HoldReturn {
            by: by.into(),
            reason: "work on the rack".into(),
        }),
        (by, ["releases", "the", "return"]) => room.tell(Input::ReleaseReturn { by: by.into() }),
        (by, ["rehearses"]) => room.tell(Input::Rehearse { by: by.into() }),
        (by, ["started", host]) => room.tell(Input::HostsStarted {
            hosts: vec![(*host).into()],
            by: by.into(),
        }),
        (by, ["started", "the", "hosts"]) => room.tell(Input::HostsStarted {
            hosts: Vec::new(),
            by: by.into(),
        }),
        ("lose", [names]) => lose(room, names),
        ("show", []) => show(room),
        _ => return None,
    }
    Some(())
}

fn drill(host: &str, with_dependants: bool, by: &str) -> Input<'static> {
    Input::Drill {
        host: host.into(),
        with_dependants,
        by: by.into(),
    }
}

/// What would be if these were lost.
fn lose(room: &mut Room, names: &str) {
    let lost: Vec<String> = names.split(',').map(String::from).collect();
    let answer = match room.engine.what_if(&lost, room.clock().mono) {
        Ok(answer) => answer,
        Err(problem) => return room.remark(&format!("lose {names}: {problem}")),
    };
    let secs = |value: Option<f64>| value.map_or("-".into(), |secs| format!("{secs:.0} s"));
    for fate in &answer.hosts {
        room.remark(&format!(
            "lose {names}: {} {:?}, {} of {} feeds, lives {} on {}, stopped in {} to {}",
            fate.host,
            fate.fate,
            fate.feeds_left,
            fate.feeds,
            secs(fate.lives_s),
            fate.battery.as_deref().unwrap_or("-"),
            secs(fate.stops_in_s),
            secs(fate.stopped_in_s),
        ));
    }
    room.remark(&match &answer.plan {
        None => format!("lose {names}: no plan starts"),
        Some(plan) => format!(
            "lose {names}: the plan starts in {:.0} s, ends in {:.0} s, {}",
            plan.starts_in_s,
            plan.ends_in_s,
            if plan.fits {
                "fits".into()
            } else {
                format!("too late for {}", plan.too_late.join(" "))
            }
        ),
    });
}

/// Sato and Suzuki are on duty, root is root, and others are users of the machine.
fn person(name: &str) -> Option<Person> {
    let (uid, group) = match name {
        "root" => (0, "root"),
        "Sato" => (1000, "duty"),
        "Suzuki" => (1001, "duty"),
        "Stranger" => (1002, "users"),
        // The web role, taken over, with the best of groups.
        "yagura-web" => (993, "duty"),
        _ => return None,
    };
    let (name, groups) = (name.to_owned(), vec![group.to_owned()]);
    let who = Who { name, uid };
    Some(Person { who, groups })
}

fn ask(room: &Room, what: &[&str]) -> Option<Ask> {
    let reason = "smoke in the room".to_owned();
    let run = |hosts: &str, plan_hash: String| {
        let hosts = hosts.split(',').filter(|host| !host.is_empty());
        let (hosts, reason) = (hosts.map(String::from).collect(), reason.clone());
        Wish::Run {
            hosts,
            reason,
            plan_hash,
        }
    };
    let hash = room.engine.plan().hash()[..8].to_owned();
    Some(Ask::Wish(match what {
        ["confirms", id] => {
            return Some(Ask::Confirm { id: id.parse().ok()? });
        }
        ["orders", "run"] => run("", hash),
        ["orders", "run", "of", hosts] => run(hosts, hash),
        ["orders", "run", "by", hash] => run("", (*hash).to_owned()),
        ["orders", "abort"] => Wish::Abort { reason },
        ["orders", "pause", secs] => {
            let length = Millis(millis(secs).ok()?);
            Wish::Pause { length, reason }
        }
        ["orders", "resume"] => Wish::Resume,
        ["orders", "skip", host] => {
            let host = (*host).to_owned();
            Wish::Skip { host, reason }
        }
        _ => return None,
    }))
}

/// The power as the page shows it, in two lines.
fn show(room: &mut Room) {
    let now = room.clock();
    let power = room.engine.view(now);
    let secs = |value: Option<f64>| value.map_or("-".into(), |secs| format!("{secs:.0} s"));
    room.remark(&format!(
        "page: {:?}, runtime {}, plan {}, margin {}, starts in {}",
        power.mode,
        secs(power.runtime_s),
        secs(power.plan_s),
        secs(power.margin_s),
        secs(power.starts_in_s),
    ));
    if let Some(back) = &power.bringing_back {
        let hosts = back
            .hosts
            .iter()
            .map(|host| format!("{} {}", host.id, host.state));
        let hosts: Vec<String> = hosts.collect();
        let (state, because) = (&back.state, &back.because.en);
        room.remark(&format!("page: return {state}, {because} [{}]", hosts.join(", ")));
    }
    if let Some(finish) = power.finish.as_ref().filter(|finish| finish.state != "planned") {
        let steps = finish
            .steps
            .iter()
            .map(|step| format!("{} {}", step.id, step.state));
        let steps: Vec<String> = steps.collect();
        let (state, because) = (&finish.state, &finish.because.en);
        room.remark(&format!("page: end {state}, {because} [{}]", steps.join(", ")));
    }
    for ups in &power.ups {
        let charge = ups
            .charge_percent
            .map_or("-".into(), |charge| format!("{charge:.0} %"));
        let modelled = if ups.modelled { ", modelled" } else { "" };
        room.remark(&format!(
            "page: {} {} ({}), {charge}, {}{modelled} [{}]",
            ups.name,
            ups.source,
            ups.contact,
            secs(ups.runtime_s),
            ups.evidence.join(", ")
        ));
    }
    let conditions = room.engine.conditions(now);
    let active: Vec<&str> = conditions
        .iter()
        .filter(|condition| condition.active)
        .map(|condition| condition.id.as_str())
        .collect();
    room.remark(&format!("alarms: {}", active.join(" ")));
}
