//! Guests of a hypervisor: what every hypervisor's action does alike.
//!
//! ```text
//! stop    who runs? -> put down (notes) -> each is asked -> taken
//!           with force_after: -> off? --all--> taken
//!                                  \--after force_after--> those left are switched off -> taken
//! force   who runs? -> put down -> each is switched off -> taken
//! start   whom did we stop and did not start since? -> each is started -> put down -> taken
//! seen    stop, force: none of them runs;  start: all that we started run
//! ```
//! Everything is safe to repeat: whoever is off is not asked again, whoever runs is not started. One
//! guest's refusal keeps no other from being asked; it is named.

use super::action::{Accepted, Problem, Sent};
use super::notes::Notes;
use super::permit::Armed;
use futures_util::{StreamExt as _, stream};
use room::outage::Verb;
use room::site::act::guests::{Guests, Which};
use std::time::Duration;
use tokio::time::Instant;

/// Guests that are told something at once.
const MAX_AT_ONCE: usize = 8;
/// Time between two looks at the guests.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Looks in a row that may fail, for a hypervisor that is busy stopping its guests.
const MAX_BLIND: u32 = 5;
/// Longest time of looking; the budget of the step is shorter.
const LONGEST_LOOK: Duration = Duration::from_secs(2 * 3600);
/// Names in the text of a problem.
const MAX_NAMED: usize = 5;

/// One guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Guest {
    /// By which the hypervisor knows it.
    pub(super) id: String,
    /// By which people know it.
    pub(super) name: String,
    /// Anything but switched off.
    pub(super) runs: bool,
}

/// What a hypervisor can do to its guests. Each call is bounded in time by itself.
pub(super) trait Hypervisor: Sync {
    /// By which its guests are remembered.
    fn name(&self) -> String;

    /// Every guest.
    fn list(&self) -> impl Future<Output = Result<Vec<Guest>, Problem>> + Send;

    /// Asks a guest to shut down; does not wait until it has.
    fn shut_down(&self, guest: &Guest) -> impl Future<Output = Result<(), Problem>> + Send;

    /// Switches a guest off as a power cut would.
    fn switch_off(&self, guest: &Guest) -> impl Future<Output = Result<(), Problem>> + Send;

    /// Starts a guest.
    fn start(&self, guest: &Guest) -> impl Future<Output = Result<(), Problem>> + Send;
}

/// The guests that an action is about, for a check.
///
/// # Errors
/// [`Problem`]: the list cannot be had, or a name is nobody's.
pub(super) async fn chosen<H: Hypervisor>(hypervisor: &H, which: &Which) -> Result<Vec<Guest>, Problem> {
    let mut guests = hypervisor.list().await?;
    if let Which::Named(names) = which {
        let missing: Vec<&str> = names
            .iter()
            .filter(|name| guests.iter().all(|guest| guest.name != **name))
            .map(String::as_str)
            .collect();
        if !missing.is_empty() {
            return Err(Problem::passing(format!(
                "{} has no guest {}; see `guests` in the site file",
                hypervisor.name(),
                some(&missing)
            )));
        }
    }
    guests.retain(|guest| which.takes(&guest.name));
    Ok(guests)
}

/// Those of them that are there. One that is missing, since it was moved to another machine or renamed,
/// keeps no other from being told; a check names it.
async fn there<H: Hypervisor>(hypervisor: &H, which: &Which) -> Result<Vec<Guest>, Problem> {
    let mut guests = hypervisor.list().await?;
    guests.retain(|guest| which.takes(&guest.name));
    Ok(guests)
}

async fn running<H: Hypervisor>(hypervisor: &H, which: &Which) -> Result<Vec<Guest>, Problem> {
    let mut guests = there(hypervisor, which).await?;
    if let Which::Named(names) = which {
        for name in names {
            if guests.iter().all(|guest| guest.name != *name) {
                tracing::warn!(hypervisor = hypervisor.name(), guest = name, "is not there");
            }
        }
    }
    guests.retain(|guest| guest.runs);
    Ok(guests)
}

/// Does what the verb says.
///
/// # Errors
/// [`Problem`] naming the guests that refused.
pub(super) async fn request<H: Hypervisor>(
    hypervisor: &H,
    verb: Verb,
    guests: &Guests,
    notes: &Notes,
    permit: Armed,
    sent: &Sent,
) -> Result<Accepted, Problem> {
    match verb {
        Verb::Start => start(hypervisor, guests, notes, sent).await,
        Verb::Stop => stop(hypervisor, guests, notes, permit, sent).await,
        Verb::Force => {
            let running = running(hypervisor, &guests.which).await?;
            put_down(hypervisor, notes, permit, &running);
            cut(hypervisor, &guests.which, &running, sent).await?;
            Ok(Accepted::ToBeSeen)
        }
    }
}

async fn stop<H: Hypervisor>(
    hypervisor: &H,
    guests: &Guests,
    notes: &Notes,
    permit: Armed,
    sent: &Sent,
) -> Result<Accepted, Problem> {
    let begun = Instant::now();
    let running = running(hypervisor, &guests.which).await?;
    put_down(hypervisor, notes, permit, &running);
    let refused = each(hypervisor, Word::ShutDown, &running, sent).await;
    let Some(force_after) = guests.force_after else {
        // One that stopped meanwhile refuses, too.
        return done(hypervisor, &guests.which, refused, |guest| guest.runs)
            .await
            .map(|()| Accepted::ToBeSeen);
    };
    let until = begun + Duration::from_millis(force_after.0);
    // A hypervisor that cannot be looked at for a while takes nothing of the guests' time.
    let _ = tokio::time::timeout_at(until, async {
        while until_none(hypervisor, &guests.which, |guest| guest.runs)
            .await
            .is_err()
        {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
    .await;
    let left = self::running(hypervisor, &guests.which).await?;
    if !left.is_empty() {
        let names: Vec<&str> = left.iter().map(|guest| guest.name.as_str()).collect();
        tracing::warn!(
            hypervisor = hypervisor.name(),
            guests = some(&names),
            "did not shut down in their time and are switched off"
        );
        cut(hypervisor, &guests.which, &left, sent).await?;
    }
    Ok(Accepted::ToBeSeen)
}

async fn cut<H: Hypervisor>(
    hypervisor: &H,
    which: &Which,
    running: &[Guest],
    sent: &Sent,
) -> Result<(), Problem> {
    let refused = each(hypervisor, Word::SwitchOff, running, sent).await;
    done(hypervisor, which, refused, |guest| guest.runs).await
}

async fn start<H: Hypervisor>(
    hypervisor: &H,
    guests: &Guests,
    notes: &Notes,
    sent: &Sent,
) -> Result<Accepted, Problem> {
    let name = hypervisor.name();
    let note = notes.of(&name)?;
    if !note.exists() {
        return Err(Problem::lasting(format!(
            "nothing is remembered of guests that were stopped on {name}: start by hand those that are missing"
        )));
    }
    let mut ours = there(hypervisor, &guests.which).await?;
    ours.retain(|guest| note.stopped.contains(&guest.id));
    let (running, off): (Vec<Guest>, Vec<Guest>) = ours.into_iter().partition(|guest| guest.runs);
    let refused = each(hypervisor, Word::Start, &off, sent).await;
    let gone = |guest: &&Guest| !refused.iter().any(|(other, _)| other.id == guest.id);
    let begun: Vec<String> = running
        .iter()
        .chain(off.iter().filter(gone))
        .map(|guest| guest.id.clone())
        .collect();
    notes.started(&name, &begun)?;
    done(hypervisor, &guests.which, refused, |guest| !guest.runs).await?;
    Ok(Accepted::ToBeSeen)
}

/// Looks until it is done.
///
/// # Errors
/// [`Problem`]: the hypervisor cannot be looked at any more, or it takes longer than anybody waits.
pub(super) async fn seen<H: Hypervisor>(
    hypervisor: &H,
    verb: Verb,
    guests: &Guests,
    notes: &Notes,
) -> Result<(), Problem> {
    let looked = async {
        match verb {
            Verb::Stop | Verb::Force => until_none(hypervisor, &guests.which, |guest| guest.runs).await,
            Verb::Start => {
                let note = notes.of(&hypervisor.name())?;
                until_none(hypervisor, &guests.which, |guest| {
                    !guest.runs && note.started.contains(&guest.id)
                })
                .await
            }
        }
    };
    tokio::time::timeout(LONGEST_LOOK, looked)
        .await
        .unwrap_or_else(|_| Err(Problem::passing("looking at the guests took too long")))
}

/// Looks until no guest is as `other` says.
async fn until_none<H: Hypervisor>(
    hypervisor: &H,
    which: &Which,
    other: impl Fn(&Guest) -> bool,
) -> Result<(), Problem> {
    let mut blind = 0;
    loop {
        match hypervisor.list().await {
            Ok(guests) => {
                blind = 0;
                if !guests
                    .iter()
                    .any(|guest| which.takes(&guest.name) && other(guest))
                {
                    return Ok(());
                }
            }
            Err(problem) => {
                blind += 1;
                if blind == MAX_BLIND || !problem.retryable {
                    return Err(problem);
                }
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn put_down<H: Hypervisor>(hypervisor: &H, notes: &Notes, permit: Armed, running: &[Guest]) {
    let ids = running.iter().map(|guest| guest.id.clone());
    notes.stopping(&hypervisor.name(), permit.run(), ids);
}

/// What a guest is told.
#[derive(Debug, Clone, Copy)]
enum Word {
    ShutDown,
    SwitchOff,
    Start,
}

/// Tells each of them, some at once; gives back who refused.
async fn each<H: Hypervisor>(
    hypervisor: &H,
    word: Word,
    guests: &[Guest],
    sent: &Sent,
) -> Vec<(Guest, Problem)> {
    let told = stream::iter(guests.to_vec()).map(|guest| tell(hypervisor, word, guest, sent));
    let told: Vec<_> = told.buffer_unordered(MAX_AT_ONCE).collect().await;
    told.into_iter()
        .filter_map(|(guest, result)| result.err().map(|problem| (guest, problem)))
        .collect()
}

async fn tell<H: Hypervisor>(
    hypervisor: &H,
    word: Word,
    guest: Guest,
    sent: &Sent,
) -> (Guest, Result<(), Problem>) {
    sent.set();
    let result = match word {
        Word::ShutDown => hypervisor.shut_down(&guest).await,
        Word::SwitchOff => hypervisor.switch_off(&guest).await,
        Word::Start => hypervisor.start(&guest).await,
    };
    (guest, result)
}

/// A problem when one of those that refused is still as `other` says.
async fn done<H: Hypervisor>(
    hypervisor: &H,
    which: &Which,
    refused: Vec<(Guest, Problem)>,
    other: impl Fn(&Guest) -> bool,
) -> Result<(), Problem> {
    if refused.is_empty() {
        return Ok(());
    }
    let now = there(hypervisor, which).await?;
    let left: Vec<&(Guest, Problem)> = refused
        .iter()
        .filter(|(guest, _)| now.iter().any(|now| now.id == guest.id && other(now)))
        .collect();
    let Some((_, first)) = left.first() else {
        return Ok(());
    };
    let names: Vec<&str> = left.iter().map(|(guest, _)| guest.name.as_str()).collect();
    Err(Problem {
        // One that can be mended only by a person does not make all the others wait for him.
        retryable: left.iter().any(|(_, problem)| problem.retryable),
        ..Problem::passing(format!("guest {}: {}", some(&names), first.text))
    })
}

/// The first few names.
pub(super) fn some(names: &[&str]) -> String {
    let mut text = names
        .iter()
        .take(MAX_NAMED)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > MAX_NAMED {
        text.push_str(&format!(" and {} more", names.len() - MAX_NAMED));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::permit::Permit;
    use room::time::Millis;
    use std::sync::Mutex;

    /// Guests that obey or do not, on a hypervisor that cannot be looked at for a while.
    struct Stage {
        begun: Instant,
        /// Name, whether it runs, whether it shuts down when it is asked.
        guests: Mutex<Vec<(&'static str, bool, bool)>>,
        cut: Mutex<Vec<(String, Duration)>>,
        blind: std::ops::Range<Duration>,
    }

    impl Stage {
        fn of(guests: &[(&'static str, bool, bool)]) -> Self {
            Self {
                begun: Instant::now(),
                guests: Mutex::new(guests.to_vec()),
                cut: Mutex::default(),
                blind: Duration::ZERO..Duration::ZERO,
            }
        }

        fn set(&self, guest: &Guest, runs: bool) {
            for known in self.guests.lock().unwrap().iter_mut() {
                if known.0 == guest.name {
                    known.1 = runs;
                }
            }
        }

        fn running(&self) -> Vec<&'static str> {
            let guests = self.guests.lock().unwrap();
            guests
                .iter()
                .filter(|guest| guest.1)
                .map(|guest| guest.0)
                .collect()
        }
    }

    impl Hypervisor for Stage {
        fn name(&self) -> String {
            "stage".to_owned()
        }

        async fn list(&self) -> Result<Vec<Guest>, Problem> {
            if self.blind.contains(&self.begun.elapsed()) {
                return Err(Problem::passing("busy"));
            }
            let guests = self.guests.lock().unwrap();
            Ok(guests
                .iter()
                .map(|(name, runs, _)| Guest {
                    id: format!("id-{name}"),
                    name: (*name).to_owned(),
                    runs: *runs,
                })
                .collect())
        }

        async fn shut_down(&self, guest: &Guest) -> Result<(), Problem> {
            let obeys = self
                .guests
                .lock()
                .unwrap()
                .iter()
                .any(|(name, _, obeys)| *name == guest.name && *obeys);
            if obeys {
                self.set(guest, false);
            }
            Ok(())
        }

        async fn switch_off(&self, guest: &Guest) -> Result<(), Problem> {
            self.cut
                .lock()
                .unwrap()
                .push((guest.name.clone(), self.begun.elapsed()));
            self.set(guest, false);
            Ok(())
        }

        async fn start(&self, guest: &Guest) -> Result<(), Problem> {
            self.set(guest, true);
            Ok(())
        }
    }

    async fn tell(
        stage: &Stage,
        verb: Verb,
        which: Which,
        force_after: Option<Millis>,
        notes: &Notes,
    ) -> Result<Accepted, Problem> {
        let Permit::Act(armed) = Permit::of_run(true, 7) else {
            unreachable!("real orders are armed")
        };
        let guests = Guests { which, force_after };
        request(stage, verb, &guests, notes, armed, &Sent::default()).await
    }

    fn all() -> Which {
        Which::All { except: Vec::new() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_hypervisor_that_is_blind_for_a_while_takes_nothing_of_the_guests_time() {
        let dir = tempfile::tempdir().unwrap();
        let notes = Notes::in_folder(dir.path().to_owned());
        let stage = Stage {
            blind: Duration::from_secs(1)..Duration::from_millis(3200),
            ..Stage::of(&[("web", true, true), ("slow", true, false)])
        };
        let told = tell(&stage, Verb::Stop, all(), Some(Millis::from_secs(60)), &notes).await;
        assert_eq!(told, Ok(Accepted::ToBeSeen));
        let cut = stage.cut.lock().unwrap().clone();
        assert_eq!(cut, [("slow".to_owned(), Duration::from_secs(60))]);
    }

    #[tokio::test]
    async fn a_guest_that_was_moved_away_keeps_no_other_from_being_told() {
        let dir = tempfile::tempdir().unwrap();
        let notes = Notes::in_folder(dir.path().to_owned());
        let names = || Which::Named(vec!["moved".to_owned(), "web".to_owned()]);
        for verb in [Verb::Stop, Verb::Force] {
            let stage = Stage::of(&[("web", true, true), ("other", true, true)]);
            assert!(
                chosen(&stage, &names())
                    .await
                    .unwrap_err()
                    .text
                    .contains("has no guest moved")
            );
            assert_eq!(
                tell(&stage, verb, names(), None, &notes).await,
                Ok(Accepted::ToBeSeen)
            );
            assert_eq!(stage.running(), ["other"], "{verb:?}");
            assert_eq!(
                tell(&stage, Verb::Start, names(), None, &notes).await,
                Ok(Accepted::ToBeSeen)
            );
            assert_eq!(stage.running(), ["web", "other"]);
        }
    }
}
