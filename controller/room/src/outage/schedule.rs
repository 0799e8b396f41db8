//! Scheduled operation: hosts stand still by the calendar, by the same plan as in an outage, and come
//! back by the same return.
//!
//! ```text
//!            announce before stop          stop                          start, or as long by the
//! (nothing) ---------------------> announced ---> run, demand Schedule ---> off ----- other clock
//!     ^            |  cancelled, or LATEST after stop: not kept               |             |
//!     +------------+<---------------------------------------------------------+-------------+
//!                                        hosts are the return's to start
//! ```
//! Here, and nowhere else, the clock on the wall decides: a schedule is local time. So it must be
//! trusted (while an alarm of a clock stands nothing is announced or stopped, and that is said), every
//! stop has its announcement by the monotonic clock, too, a day is never stopped twice whatever the
//! clock does, and no stop comes later than [`LATEST`]. Hosts are never kept standing for longer than
//! was planned by either clock.
//!
//! An outage, a run of somebody else, a drill and a rehearsal come first. It starts no host itself:
//! it only gives back to the return what it had stopped.

use super::record::{Demand, Record};
use super::{Act, Outage, Turn};
use crate::schedule::{Occurrence, Schedule};
use crate::site::Label;
use crate::snapshot;
use crate::time::{Millis, Mono, Now, Wall};
use std::collections::{BTreeMap, VecDeque};

/// A stop comes so late at most; after that it is left out.
const LATEST: Millis = Millis::from_secs(15 * 60);
/// Days that are remembered as dealt with, of each schedule.
const MAX_DONE: usize = 16;

/// What is durable about a schedule.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Kept {
    announced: Option<Announced>,
    /// Its hosts stand still.
    off: Option<Off>,
    /// Days whose stop was made, cancelled or left out; oldest first.
    done: VecDeque<u16>,
    /// Why the last stop was left out, and until when that matters.
    not_kept: Option<(Label, Wall)>,
}

#[derive(Debug, Clone, PartialEq)]
struct Announced {
    day: u16,
    stop: Wall,
    start: Wall,
    at: Mono,
}

#[derive(Debug, Clone, PartialEq)]
struct Off {
    day: u16,
    start: Wall,
    since: Mono,
    length: Millis,
    hosts: Vec<String>,
}

impl Kept {
    fn deal_with(&mut self, day: u16) {
        self.announced = None;
        if !self.done.contains(&day) {
            if self.done.len() == MAX_DONE {
                self.done.pop_front();
            }
            self.done.push_back(day);
        }
    }
}

/// Every schedule that was ever kept, by name.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Schedules(BTreeMap<String, Kept>);

impl Schedules {
    fn of(&self, name: &str) -> Option<&Kept> {
        self.0.get(name)
    }

    /// Does this host stand still by a schedule?
    pub(super) fn keeps_off(&self, host: &str) -> bool {
        let mut off = self.0.values().filter_map(|kept| kept.off.as_ref());
        off.any(|off| off.hosts.iter().any(|known| known == host))
    }

    /// A host runs again: it is no schedule's any more.
    pub(super) fn let_go(&mut self, host: &str) {
        for off in self.0.values_mut().filter_map(|kept| kept.off.as_mut()) {
            off.hosts.retain(|known| known != host);
        }
    }

    /// A run was begun by it, or took its hosts in.
    pub(super) fn stops(&mut self, at: Now, demand: &Demand, scope: &[String]) {
        let Demand::Schedule { schedule, day } = demand else {
            return;
        };
        let kept = self.0.entry(schedule.clone()).or_default();
        let start = match &kept.announced {
            Some(announced) if announced.day == *day => announced.start,
            // A run is always announced; a journal that says otherwise keeps nothing off.
            _ => at.wall,
        };
        kept.deal_with(*day);
        kept.not_kept = None;
        kept.off = Some(Off {
            day: *day,
            start,
            since: at.mono,
            length: Millis(u64::try_from(start.0.saturating_sub(at.wall.0)).unwrap_or(0)),
            hosts: scope.to_vec(),
        });
    }

    /// What follows from a record of its own; the hosts that are the return's from now on.
    pub(super) fn apply(&mut self, at: Now, record: &Record) -> Vec<String> {
        match record {
            Record::ScheduleAnnounced {
                schedule,
                day,
                stop_ms,
                start_ms,
                ..
            } => {
                let kept = self.0.entry(schedule.clone()).or_default();
                kept.not_kept = None;
                kept.announced = Some(Announced {
                    day: *day,
                    stop: *stop_ms,
                    start: *start_ms,
                    at: at.mono,
                });
            }
            Record::ScheduleNotKept {
                schedule,
                day,
                start_ms,
                because,
            } => {
                let kept = self.0.entry(schedule.clone()).or_default();
                kept.deal_with(*day);
                kept.not_kept = Some((because.clone(), *start_ms));
            }
            Record::ScheduleCancelled { schedule, day, .. } => {
                let kept = self.0.entry(schedule.clone()).or_default();
                kept.deal_with(*day);
                kept.not_kept = None;
                if kept.off.as_ref().is_some_and(|off| off.day == *day) {
                    return kept.off.take().map(|off| off.hosts).unwrap_or_default();
                }
            }
            Record::ScheduleOver { schedule, .. } => {
                let kept = self.0.entry(schedule.clone()).or_default();
                return kept.off.take().map(|off| off.hosts).unwrap_or_default();
            }
            _ => {}
        }
        Vec::new()
    }

    /// The machine restarted: what went by of an announcement counts anew, what was left of the off
    /// time is left.
    pub(super) fn rebase(&mut self, now: Mono, last: Mono) {
        for kept in self.0.values_mut() {
            if let Some(announced) = &mut kept.announced {
                announced.at = now;
            }
            if let Some(off) = &mut kept.off {
                let gone = last.since(off.since);
                off.length = Millis(off.length.0.saturating_sub(gone.0));
                off.since = now;
            }
        }
    }
}

impl Outage {
    /// Why local time is not to be trusted; `None`: it is.
    pub(super) fn doubt_clock(&mut self, doubt: Option<Label>) {
        self.clock_doubt = doubt;
    }

    /// Announces, stops and gives back what the calendar says.
    pub(super) fn keep_schedules(&mut self, now: Now, turn: &mut Turn) {
        self.give_back(now, turn);
        if self.clock_doubt.is_some() || self.listens(now.mono) {
            return;
        }
        for schedule in self.config.schedules.clone() {
            // What changed in the site since it was announced is announced anew.
            if let Some(record) = self.next_of(now, &schedule) {
                self.record(now, record, turn);
            }
        }
    }

    /// The off times that are over. Also of schedules that are no longer in the site.
    fn give_back(&mut self, now: Now, turn: &mut Turn) {
        if self.book.active_run().is_some() {
            return;
        }
        let over = self.book.schedules.0.iter().filter_map(|(name, kept)| {
            let off = kept.off.as_ref()?;
            let by_either = now.wall >= off.start || now.mono >= off.since.after(off.length);
            by_either.then(|| Record::ScheduleOver {
                schedule: name.clone(),
                day: off.day,
                hosts: off.hosts.clone(),
            })
        });
        for record in over.collect::<Vec<_>>() {
            self.record(now, record, turn);
        }
    }

    fn next_of(&self, now: Now, schedule: &Schedule) -> Option<Record> {
        let kept = self.book.schedules.of(&schedule.name);
        if kept.is_some_and(|kept| kept.off.is_some()) {
            return None;
        }
        let done = |day: u16| kept.is_some_and(|kept| kept.done.contains(&day));
        let next = self.occurrence(schedule, now.wall)?;
        if let Some(announced) = kept.and_then(|kept| kept.announced.as_ref()) {
            let unchanged = schedule
                .on(announced.day, &self.config.days)
                .is_some_and(|on| (on.stop, on.start) == (announced.stop, announced.start));
            let reason = if !unchanged {
                Some(Label::new("設定が変わった", "the site was changed"))
            } else if now.wall >= latest(announced.stop) {
                let why = self.why_schedule_waits(now.mono);
                Some(why.unwrap_or_else(too_late))
            } else {
                None
            };
            if let Some(because) = reason {
                return Some(Record::ScheduleNotKept {
                    schedule: schedule.name.clone(),
                    day: announced.day,
                    start_ms: announced.start,
                    because,
                });
            }
            let is_due = now.wall >= announced.stop && now.mono >= announced.at.after(schedule.announce);
            if !is_due || self.why_schedule_waits(now.mono).is_some() {
                return None;
            }
            return Some(self.stop_by(schedule, announced));
        }
        if done(next.day) || now.wall < announce_at(schedule, next) {
            return None;
        }
        let (name, day) = (schedule.name.clone(), next.day);
        Some(if now.wall >= latest(next.stop) {
            Record::ScheduleNotKept {
                schedule: name,
                day,
                start_ms: next.start,
                because: too_late(),
            }
        } else {
            Record::ScheduleAnnounced {
                schedule: name,
                day,
                stop_ms: next.stop,
                start_ms: next.start,
                hosts: self.scope_anew(schedule.hosts.clone()),
            }
        })
    }

    /// The occurrence that matters: the one of now, if it is not dealt with, or the next one.
    fn occurrence(&self, schedule: &Schedule, wall: Wall) -> Option<Occurrence> {
        let kept = self.book.schedules.of(&schedule.name);
        let next = schedule.next(wall, &self.config.days)?;
        match kept {
            Some(kept) if kept.done.contains(&next.day) => {
                let done: Vec<u16> = kept.done.iter().copied().collect();
                schedule.next_stop(wall, &done, &self.config.days)
            }
            _ => Some(next),
        }
    }

    fn stop_by(&self, schedule: &Schedule, announced: &Announced) -> Record {
        let (name, day) = (schedule.name.clone(), announced.day);
        let scope = self.scope_anew(schedule.hosts.clone());
        if scope.is_empty() {
            return Record::ScheduleNotKept {
                schedule: name,
                day,
                start_ms: announced.start,
                because: Label::new("停止済みだった", "its hosts were stopped already"),
            };
        }
        let because = Label::new(
            format!("スケジュール運転（{name}）"),
            format!("scheduled operation ({name})"),
        );
        let demand = Demand::Schedule { schedule: name, day };
        self.run_for(demand, because, scope)
    }

    /// What keeps a stop by the calendar from beginning now.
    fn why_schedule_waits(&self, now: Mono) -> Option<Label> {
        if self.book.outage_since.is_some() || self.any_on_battery() || self.awaits_word(now) {
            return Some(Label::new(
                "停電中、または復電の確認中",
                "there is an outage, or it is not over",
            ));
        }
        let foreign =
            |run: &super::run::Run<super::run::Reality>| run.abandoned.is_some() || !run.is_scheduled();
        if self.book.active_run().is_some_and(foreign) || self.book.active_back().is_some() {
            return Some(Label::new(
                "ほかの停止・復帰・訓練が進行中",
                "another run, a drill or a return is under way",
            ));
        }
        (self.act != Act::Ready).then(|| {
            Label::new(
                "停止を実行する役割の準備ができていない",
                "what carries out orders is not ready",
            )
        })
    }

    /// What a person must know of a schedule now.
    pub(super) fn because_schedule(&self, schedule: &Schedule, now: Now) -> Option<Label> {
        let kept = self.book.schedules.of(&schedule.name);
        if let Some((because, until)) = kept.and_then(|kept| kept.not_kept.as_ref())
            && now.wall < *until
        {
            return Some(Label::new(
                format!("停止しなかった: {}", because.ja),
                format!("its hosts were not stopped: {}", because.en),
            ));
        }
        let doubt = self.clock_doubt.as_ref()?;
        // The clock may be anywhere; who has schedules must know that they stand still.
        Some(Label::new(
            format!("時計を信頼できないため動かない: {}", doubt.ja),
            format!("it does nothing, for the time is not to be trusted: {}", doubt.en),
        ))
    }

    /// The day that would be cancelled now, or why none can be.
    pub(super) fn cancellable(&self, name: &str, wall: Wall) -> Result<u16, Label> {
        let Some(schedule) = self.config.schedules.iter().find(|known| known.name == name) else {
            let names: Vec<&str> = self
                .config
                .schedules
                .iter()
                .map(|known| known.name.as_str())
                .collect();
            let names = names.join(", ");
            return Err(Label::new(
                format!("{name} というスケジュールはありません（{names}）"),
                format!("{name} is no schedule of this site; there are: {names}"),
            ));
        };
        let kept = self.book.schedules.of(name);
        if let Some(off) = kept.and_then(|kept| kept.off.as_ref()) {
            if self.book.active_run().is_some() {
                return Err(Label::new(
                    "停止中です。先に yagura plan abort で中止してください",
                    "its run is under way; abort it first (yagura plan abort)",
                ));
            }
            return Ok(off.day);
        }
        if let Some(announced) = kept.and_then(|kept| kept.announced.as_ref()) {
            return Ok(announced.day);
        }
        let next = self.occurrence(schedule, wall);
        next.map(|next| next.day)
            .ok_or_else(|| Label::new("次の停止がありません", "it has no stop to come"))
    }

    pub(super) fn schedule_wakes(&self, wakes: &mut Vec<Mono>) {
        let ahead = |at: Wall| {
            let span = u64::try_from(at.0.saturating_sub(self.wall.0)).ok()?;
            (span > 0).then(|| self.now.after(Millis(span)))
        };
        for kept in self.book.schedules.0.values() {
            if let Some(off) = &kept.off {
                wakes.extend(ahead(off.start));
                wakes.push(off.since.after(off.length));
            }
            wakes.extend(kept.not_kept.as_ref().and_then(|(_, until)| ahead(*until)));
        }
        for schedule in &self.config.schedules {
            let kept = self.book.schedules.of(&schedule.name);
            if let Some(announced) = kept.and_then(|kept| kept.announced.as_ref()) {
                wakes.extend(ahead(announced.stop));
                wakes.extend(ahead(latest(announced.stop)));
                wakes.push(announced.at.after(schedule.announce));
            } else if let Some(next) = self.occurrence(schedule, self.wall) {
                wakes.extend(ahead(announce_at(schedule, next)));
            }
        }
        // What is due and waits for something else is woken by that.
        wakes.retain(|wake| *wake > self.now);
    }

    /// Every schedule, for whoever asks.
    #[must_use]
    pub fn schedule_rows(&self, now: Now) -> Vec<snapshot::ScheduleRow> {
        let rows = self.config.schedules.iter().map(|schedule| {
            let kept = self.book.schedules.of(&schedule.name);
            let off = kept.and_then(|kept| kept.off.as_ref());
            let announced = kept.and_then(|kept| kept.announced.as_ref());
            let next = self.occurrence(schedule, now.wall);
            snapshot::ScheduleRow {
                name: schedule.name.clone(),
                hosts: schedule.hosts.clone(),
                state: match (off, announced) {
                    (Some(_), _) => "off",
                    (None, Some(_)) => "announced",
                    (None, None) => "waits",
                }
                .to_owned(),
                stop_ms: next.filter(|_| off.is_none()).map(|next| next.stop.0),
                start_ms: match off {
                    Some(off) => Some(off.start.0),
                    None => next.map(|next| next.start.0),
                },
                off: off.map(|off| off.hosts.clone()).unwrap_or_default(),
                trouble: self.because_schedule(schedule, now),
            }
        });
        rows.collect()
    }
}

fn announce_at(schedule: &Schedule, next: Occurrence) -> Wall {
    back(next.stop, schedule.announce)
}

fn back(at: Wall, span: Millis) -> Wall {
    Wall(at.0.saturating_sub(i64::try_from(span.0).unwrap_or(i64::MAX)))
}

fn latest(stop: Wall) -> Wall {
    Wall(stop.0.saturating_add(i64::try_from(LATEST.0).unwrap_or(i64::MAX)))
}

fn too_late() -> Label {
    let minutes = LATEST.0 / 60_000;
    Label::new(
        format!("時刻を {minutes} 分以上過ぎていた"),
        format!("its time was over by more than {minutes} min"),
    )
}
