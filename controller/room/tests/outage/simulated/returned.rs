//! The end of the story, as far as hosts are to come back: whoever we stopped runs again, unless a
//! good reason is in the truth of the room.

use super::fate::Fate;
use super::promises::{needs, policy};
use crate::world::{Curve, Life, SimHost};
use room::outage::{Demand, Record};
use room::site::StepTimes;

pub(super) fn everyone_is_back(fate: &Fate) -> Result<(), String> {
    let room = &fate.room;
    let doubtful = room
        .hosts
        .iter()
        .any(|host| !host.falls.is_empty() && host.unseen);
    if doubtful || room.overseer.holds() || !batteries_do(fate) {
        return Ok(());
    }
    let off: Vec<&SimHost> = room.hosts.iter().filter(|host| host.life != Life::Up).collect();
    let stopped = room.engine.stopped_hosts();
    let left = off.iter().find(|host| {
        let conf = room.site.hosts.iter().find(|other| other.name == host.id);
        let conf = conf.expect("a host of the site");
        // One that was asked and never confirmed may run, and nobody knows.
        let waits = conf.depends_on.iter().any(|used| stopped.contains(used));
        let ours = matches!(host.life, Life::Down) && !host.effects.is_empty();
        ours && conf.start.is_some() && !waits && !ordered(fate, &host.id) && wakes(fate, host)
    });
    match left {
        Some(host) => {
            let conditions = room.engine.conditions(room.clock());
            let said = conditions.iter().filter(|condition| condition.active);
            let said: Vec<&str> = said.map(|condition| condition.because.en.as_str()).collect();
            Err(format!("{} was stopped and not brought back: {said:?}", host.id))
        }
        None => Ok(()),
    }
}

/// The batteries are known to hold one more full stop, and every UPS tells the truth.
fn batteries_do(fate: &Fate) -> bool {
    let room = &fate.room;
    let honest = room
        .ups
        .iter()
        .all(|ups| ups.says.is_empty() && ups.curve == Curve::STRAIGHT && ups.mains);
    let boxes = room.branchings.iter().all(|own| !own.dead && own.off.is_empty());
    let enough = 1.3 * needs(&room.site) + 20.0;
    let lives = room.lives_if(|_| false);
    honest
        && boxes
        && fate.recharged
        && policy(fate).step_times == StepTimes::Budget
        && lives.iter().all(|life| *life > enough)
}

/// A run that stopped it was demanded by somebody or something else than power as well, and nobody has
/// let it go since. Such a host waits for a person, also when power alone had added it to the run.
fn ordered(fate: &Fate, id: &str) -> bool {
    let has = |scope: &[String]| scope.iter().any(|host| host == id);
    let (mut mine, mut by_others, mut kept) = (false, false, false);
    for (_, record) in &fate.room.journal {
        match record {
            Record::RunStarted { scope, demand, .. } => {
                (mine, by_others) = (has(scope), *demand != Demand::Power);
            }
            Record::RunExtended { scope, demand, .. } => {
                mine |= has(scope);
                by_others |= *demand != Demand::Power;
            }
            Record::DrillStarted { scope, .. } => (mine, by_others) = (has(scope), true),
            Record::ReturnReleased { .. } => kept = false,
            _ => {}
        }
        let stops = matches!(
            record,
            Record::RunStarted { .. }
                | Record::RunExtended { .. }
                | Record::DrillStarted { .. }
                | Record::StepConfirmed { .. }
        );
        kept |= stops && mine && by_others;
    }
    kept
}

/// It would come up within the time that it is given, and nothing came in between.
fn wakes(fate: &Fate, host: &SimHost) -> bool {
    let given_up = fate.room.count(|record| match record {
        Record::HostStartAbandoned { order, .. } => order.step == host.id,
        _ => false,
    });
    // A death, a cut or a second outage may have taken its tries; then an alarm says so.
    let troubled = fate.room.deaths > 0 || !fate.raced.is_empty() || !host.falls.is_empty();
    fate.quick.contains(&host.id) && (given_up == 0 || !troubled)
}
