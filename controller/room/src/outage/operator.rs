//! What a person at the controller itself may order of a run: start one, abort it, pause it, go on,
//! skip a host.
//!
//! Who asks is proven by the machine (peer credentials of core's socket), never typed. Everything
//! that is done is a record with the person's name and number. Where the site wants two persons, a
//! start, a pause and a skip wait [`SECOND_WITHIN`] for the second one; aborting never waits.
//!
//! What power or a rule demands is never held up: abort is refused while it does, and a pause ends by
//! itself at the latest safe moment, when a rule or power demands more than it did before, or after its
//! own time, which has an end ([`LONGEST_PAUSE`]).

use super::run::StepState;
use super::{Act, Demand, Do, HostConf, Outage, Record, Turn};
use crate::site::Label;
use crate::site::outage::Operators;
use crate::time::{Millis, Mono, Now};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The second person must agree within this time.
pub const SECOND_WITHIN: Millis = Millis::from_secs(120);
/// Longest pause of a run.
pub const LONGEST_PAUSE: Millis = Millis::from_secs(600);
/// Characters of the plan's hash that must be typed to start it, at least.
pub const TYPED_HASH: usize = 8;
/// Orders that may wait for a second person at a time.
pub const MAX_ASKED: usize = 4;
/// Longest reason, in characters.
pub const MAX_REASON: usize = 200;

/// A person as the journal names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// User name on the controller's machine.
    pub name: String,
    /// Its number.
    pub uid: u32,
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (uid {})", self.name, self.uid)
    }
}

/// Somebody at the socket, as the machine knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Who.
    pub who: Who,
    /// Groups of the machine that this user is in.
    pub groups: Vec<String>,
}

/// What is wished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wish {
    /// Stop hosts by the plan.
    Run {
        /// Which, with what depends on them; empty means all.
        hosts: Vec<String>,
        /// Why.
        reason: String,
        /// The first characters of the plan's hash, at least [`TYPED_HASH`].
        plan_hash: String,
    },
    /// Go no further.
    Abort {
        /// Why.
        reason: String,
    },
    /// Order nothing new for a while.
    Pause {
        /// How long, at most [`LONGEST_PAUSE`].
        length: Millis,
        /// Why.
        reason: String,
    },
    /// End a pause.
    Resume,
    /// Leave a host as it is and stop waiting for it.
    Skip {
        /// Host.
        host: String,
        /// Why.
        reason: String,
    },
    /// Leave out the next stop of a schedule, or end its off time now.
    CancelSchedule {
        /// Schedule.
        schedule: String,
        /// Why.
        reason: String,
    },
    /// Test the battery of a UPS now.
    TestBattery {
        /// UPS.
        ups: String,
        /// Which test.
        test: crate::battery::TestKind,
    },
    /// A new battery was put into a UPS.
    BatteryChanged {
        /// UPS.
        ups: String,
        /// Day since 1970, local time; `None`: today.
        day: Option<u16>,
    },
}

impl Wish {
    const fn needs_second(&self) -> bool {
        match self {
            Self::Run { .. } | Self::Pause { .. } | Self::Skip { .. } => true,
            Self::Abort { .. }
            | Self::Resume
            | Self::CancelSchedule { .. }
            | Self::TestBattery { .. }
            | Self::BatteryChanged { .. } => false,
        }
    }

    fn reason(&self) -> Option<&str> {
        match self {
            Self::Run { reason, .. }
            | Self::Abort { reason }
            | Self::CancelSchedule { reason, .. }
            | Self::Pause { reason, .. }
            | Self::Skip { reason, .. } => Some(reason),
            Self::Resume | Self::TestBattery { .. } | Self::BatteryChanged { .. } => None,
        }
    }
}

/// What came through the socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// A wish.
    Wish(Wish),
    /// The second person agrees.
    Confirm {
        /// Number of the order that waits.
        id: u64,
    },
    /// About the entry log; no business of the outage engine.
    Log(crate::log::wish::Wish),
}

/// An order that waits for a second person.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    pub(super) by: Who,
    pub(super) wish: Wish,
    pub(super) at: Mono,
}

/// May this person order anything? The user of a role never may, whatever groups it is put into.
#[must_use]
pub fn may(operators: &Operators, person: &Person) -> bool {
    if person.who.name.starts_with("yagura-") {
        return false;
    }
    let in_group = |group: &String| person.groups.contains(group);
    person.who.uid == 0
        || operators.users.contains(&person.who.name)
        || operators.group.as_ref().is_some_and(in_group)
}

fn refuse<T>(ja: impl Into<String>, en: impl Into<String>) -> Result<T, Label> {
    Err(Label::new(ja, en))
}

impl Outage {
    pub(super) fn ask(&mut self, now: Now, person: Person, ask: Ask, turn: &mut Turn) {
        let answer = if may(&self.config.operators, &person) {
            match ask {
                Ask::Wish(wish) => self.wish(now, person.who, wish, turn),
                Ask::Confirm { id } => self.second(now, person.who, id, turn),
                // The engine answers it before it comes here.
                Ask::Log(_) => return,
            }
        } else {
            refuse(
                format!("{} には操作の権限がありません（[operators]）", person.who),
                format!("{} is not one of the site's [operators]", person.who),
            )
        };
        match answer {
            Ok(said) => turn.said = Some(said),
            Err(why) => turn.refused = Some(why),
        }
    }

    fn wish(&mut self, now: Now, by: Who, wish: Wish, turn: &mut Turn) -> Result<Label, Label> {
        self.is_possible(now, &wish)?;
        if !(self.config.operators.two_person && wish.needs_second()) {
            return self.follow(now, by, None, wish, turn);
        }
        if self.asked(now.mono).count() >= MAX_ASKED {
            return refuse(
                "確認待ちの操作が多すぎます。しばらく待ってください",
                "too many orders wait for a second person; wait a moment",
            );
        }
        let id = self.book.last_asked.saturating_add(1);
        self.record(now, Record::OperatorAsked { id, by, wish }, turn);
        let secs = SECOND_WITHIN.as_secs_f64();
        Ok(Label::new(
            format!("{secs:.0} 秒以内に別の人の確認が必要です: yagura plan confirm {id}"),
            format!("another person must agree within {secs:.0} s: yagura plan confirm {id}"),
        ))
    }

    /// Orders that still wait for a second person.
    fn asked(&self, now: Mono) -> impl Iterator<Item = (&u64, &Asked)> {
        let asked = self.book.asked.iter();
        asked.filter(move |(_, asked)| now < asked.at.after(SECOND_WITHIN))
    }

    fn second(&mut self, now: Now, by: Who, id: u64, turn: &mut Turn) -> Result<Label, Label> {
        let found = self.asked(now.mono).find(|(asked, _)| **asked == id);
        let Some(asked) = found.map(|(_, asked)| asked.clone()) else {
            return refuse(
                format!("操作 {id} は確認を待っていません（時間切れか、済んでいます）"),
                format!("order {id} does not wait for anybody: its time is over, or it is done"),
            );
        };
        if asked.by.uid == by.uid {
            return refuse(
                "二人目は別の人でなければなりません",
                "the second person must be another one",
            );
        }
        self.is_possible(now, &asked.wish)?;
        self.record(now, Record::OperatorConfirmed { id, by: by.clone() }, turn);
        self.follow(now, asked.by, Some(by), asked.wish, turn)
    }

    /// What keeps a wish from being followed now.
    fn is_possible(&self, now: Now, wish: &Wish) -> Result<(), Label> {
        if let Some(reason) = wish.reason()
            && (reason.trim().is_empty()
                || reason.chars().count() > MAX_REASON
                || reason.chars().any(char::is_control))
        {
            return refuse(
                format!("理由を {MAX_REASON} 文字以内の 1 行で書いてください"),
                format!("say why, in one line of at most {MAX_REASON} characters"),
            );
        }
        if matches!(wish, Wish::TestBattery { .. } | Wish::BatteryChanged { .. }) {
            // The engine of the whole room carries these out.
            return refuse("停止計画の操作ではありません", "this is no order to the plan");
        }
        let running = self.book.active_run().filter(|run| run.abandoned.is_none());
        if running.is_none() && !matches!(wish, Wish::Run { .. } | Wish::CancelSchedule { .. }) {
            return refuse("停止計画は進行していません", "no run is under way");
        }
        match wish {
            Wish::Run { hosts, plan_hash, .. } => self.may_run(hosts, plan_hash),
            Wish::Abort { .. } => match self.demanded(now.mono) {
                Some(why) => refuse(
                    format!("中止できません。停止が必要です: {}", why.ja),
                    format!("it cannot be aborted, for it is needed: {}", why.en),
                ),
                None => Ok(()),
            },
            Wish::Pause { length, .. } => self.may_pause(now.mono, *length),
            Wish::Resume if self.book.pause.is_none() => {
                refuse("一時停止していません", "the run is not paused")
            }
            Wish::CancelSchedule { schedule, .. } => self.cancellable(schedule, now.wall).map(|_| ()),
            // Resumed; the others never come here.
            Wish::Resume | Wish::TestBattery { .. } | Wish::BatteryChanged { .. } => Ok(()),
            Wish::Skip { host, .. } => {
                let state = running.and_then(|run| run.steps.get(host));
                match state {
                    Some(StepState::Waiting | StepState::InFlight(_)) => Ok(()),
                    _ => refuse(
                        format!("{host} の停止は待っておらず、進行してもいません"),
                        format!("the run neither waits for {host} nor is it stopping it"),
                    ),
                }
            }
        }
    }

    fn may_run(&self, hosts: &[String], typed: &str) -> Result<(), Label> {
        let hash = self.config.plan.hash();
        if typed.len() < TYPED_HASH || !hash.starts_with(typed) {
            return refuse(
                "計画のハッシュが一致しません。yagura plan show で確認してください",
                "this is not the hash of the plan that the controller runs; see yagura plan show",
            );
        }
        if let Some(unknown) = hosts.iter().find(|host| self.config.host(host).is_none()) {
            return refuse(
                format!("{unknown} は停止計画にありません"),
                format!("{unknown} is no host of the plan"),
            );
        }
        match &self.act {
            Act::Ready => {}
            Act::Gone => return refuse("実行役が接続していません", "the act role is not connected"),
            Act::OtherPlan(_) => {
                return refuse("実行役の計画が異なります", "the act role has read another plan");
            }
        }
        if self.book.active_run().is_some_and(|run| run.drill.is_some()) {
            return refuse(
                "訓練が進行中です。先に中止してください",
                "a drill is under way; abort it first",
            );
        }
        if self.book.active_run().is_some_and(|run| run.abandoned.is_some()) {
            return refuse(
                "前の停止計画が終わるまで待ってください",
                "the run before is still ending; wait for it",
            );
        }
        if self.scope_anew(self.named(hosts)).is_empty() {
            return refuse(
                "停止するサーバーが残っていません",
                "these hosts are stopped, or being stopped, already",
            );
        }
        Ok(())
    }

    fn named(&self, hosts: &[String]) -> Vec<String> {
        if hosts.is_empty() {
            return self.config.hosts.iter().map(|host| host.id.clone()).collect();
        }
        hosts.to_vec()
    }

    fn may_pause(&self, now: Mono, length: Millis) -> Result<(), Label> {
        if length.0 == 0 || length > LONGEST_PAUSE {
            let minutes = LONGEST_PAUSE.0 / 60_000;
            return refuse(
                format!("一時停止は {minutes} 分以内です"),
                format!("a pause has at most {minutes} minutes"),
            );
        }
        match self.due_in_run(now) {
            Some((secs, why)) if secs <= 0.0 => refuse(
                format!("一時停止できません。安全に待てる時間がありません: {}", why.ja),
                format!("it cannot be paused, the latest safe moment has come: {}", why.en),
            ),
            _ => Ok(()),
        }
    }

    fn follow(
        &mut self,
        now: Now,
        by: Who,
        second: Option<Who>,
        wish: Wish,
        turn: &mut Turn,
    ) -> Result<Label, Label> {
        let both = second
            .as_ref()
            .map_or_else(|| by.to_string(), |second| format!("{by} + {second}"));
        let run = self.book.active_run().map_or(self.book.last_run, |run| run.id);
        match wish {
            Wish::Run { hosts, reason, .. } => {
                let because = Label::new(
                    format!("操作者 {both} の指示: {reason}"),
                    format!("ordered by {both}: {reason}"),
                );
                let scope = self.scope_anew(self.named(&hosts));
                let shown = scope.join(", ");
                let record = self.run_for(Demand::Operator { by, second }, because, scope);
                self.record(now, record, turn);
                Ok(Label::new(
                    format!("停止を開始しました: {shown}"),
                    format!("the run has begun: {shown}"),
                ))
            }
            Wish::Abort { reason } => {
                let because = Label::new(
                    format!("操作者 {both} が中止: {reason}"),
                    format!("aborted by {both}: {reason}"),
                );
                let by = Some(by);
                self.record(now, Record::RunAbandoned { run, because, by }, turn);
                Ok(Label::new(
                    "中止しました。停止を受け付けたサーバーは停止します",
                    "aborted; hosts that have accepted the request do stop",
                ))
            }
            Wish::Pause { length, reason } => {
                let until_secs = length.as_secs_f64();
                self.record(
                    now,
                    Record::RunPaused {
                        run,
                        length,
                        reason,
                        by,
                    },
                    turn,
                );
                Ok(Label::new(
                    format!("一時停止しました（最長 {until_secs:.0} 秒）"),
                    format!("paused for at most {until_secs:.0} s"),
                ))
            }
            Wish::Resume => {
                let because = Label::new(format!("操作者 {both}"), format!("by {both}"));
                let by = Some(by);
                self.record(now, Record::RunResumed { run, because, by }, turn);
                Ok(Label::new("再開しました", "it goes on"))
            }
            Wish::CancelSchedule { schedule, reason } => {
                let day = self.cancellable(&schedule, now.wall)?;
                let (year, month, date) = crate::forecast::calendar::date(day);
                let said = Label::new(
                    format!("{schedule} の {year}-{month:02}-{date:02} の停止を取りやめました"),
                    format!("the stop of {schedule} on {year}-{month:02}-{date:02} is cancelled"),
                );
                let cancelled = Record::ScheduleCancelled {
                    schedule,
                    day,
                    reason,
                    by,
                };
                self.record(now, cancelled, turn);
                Ok(said)
            }
            Wish::TestBattery { .. } | Wish::BatteryChanged { .. } => self
                .is_possible(now, &wish)
                .and_then(|()| refuse("停止計画の操作ではありません", "this is no order to the plan")),
            Wish::Skip { host, reason } => {
                self.skip(now, run, host, format!("{both}: {reason}"), by, turn);
                Ok(Label::new("そのサーバーを飛ばしました", "the host is skipped"))
            }
        }
    }

    fn skip(&mut self, now: Now, run: u64, step: String, why: String, by: Who, turn: &mut Turn) {
        let state = self.book.active_run().and_then(|run| run.steps.get(&step));
        if let Some(StepState::InFlight(flight)) = state
            && flight.failed_at.is_none()
            && !flight.requested
        {
            let order = self.order(&step, flight);
            turn.effects.push(Do::Cancel(order));
        }
        self.lost.remove(&step);
        let because = Label::new(format!("操作者が飛ばした（{why}）"), format!("skipped by {why}"));
        let skipped = Record::StepSkipped {
            run,
            step,
            because,
            by,
        };
        self.record(now, skipped, turn);
    }

    /// Why power or a rule needs the active run, if it does.
    fn demanded(&self, now: Mono) -> Option<Label> {
        let run = self.book.active_run()?;
        if let Some((secs, why)) = self.due_in_run(now)
            && (secs <= 0.0 || run.demands.contains(&Demand::Power))
        {
            return Some(why);
        }
        let rules: Vec<String> = run.demands.iter().filter_map(Demand::rule).collect();
        let rule = rules.iter().find(|rule| self.book.rules_done.contains(*rule))?;
        Some(Label::new(
            format!("規則 {rule} の条件が続いている"),
            format!("the evidence of the rule {rule} is not over"),
        ))
    }

    /// Seconds until the first host that the run has not stopped yet is due by its power, and why it
    /// will be; zero or less is now.
    fn due_in_run(&self, now: Mono) -> Option<(f64, Label)> {
        let run = self.book.active_run()?;
        let (supplies, stops) = (self.supplies(now), self.stops_in(now));
        let open = |host: &&HostConf| {
            let state = run.steps.get(&host.id);
            matches!(state, Some(StepState::Waiting | StepState::InFlight(_)))
        };
        let hosts = self.config.hosts.iter().filter(open);
        let all = hosts.filter_map(|host| self.urgency(host, &supplies, &stops, now));
        let first = all.min_by(|a, b| a.starts_in.total_cmp(&b.starts_in))?;
        Some((first.starts_in, first.because()))
    }

    /// A pause ends by itself: after its time, and at the latest safe moment.
    pub(super) fn end_pause(&mut self, now: Now, turn: &mut Turn) {
        let Some(pause) = self.book.pause else { return };
        let Some(run) = self.book.active_run().map(|run| run.id) else {
            return;
        };
        let because = match self.due_in_run(now.mono) {
            Some((secs, why)) if secs <= 0.0 => why,
            _ if now.mono >= pause.until => {
                Label::new("一時停止の時間が過ぎた", "the time of the pause is over")
            }
            _ => return,
        };
        let by = None;
        self.record(now, Record::RunResumed { run, because, by }, turn);
    }

    /// What power or a rule has just added to the run does not wait for the pause of what was there.
    pub(super) fn end_pause_for_more(&mut self, now: Now, turn: &mut Turn) {
        if self.book.pause.is_none() {
            return;
        }
        let more = turn.records.iter().rev().find_map(|record| match record {
            Record::RunExtended {
                run,
                because,
                demand: Demand::Power | Demand::Rule { .. },
                ..
            } => Some((*run, because.clone())),
            _ => None,
        });
        if let Some((run, because)) = more {
            let by = None;
            self.record(now, Record::RunResumed { run, because, by }, turn);
        }
    }

    pub(super) fn pause_wakes(&self, wakes: &mut Vec<Mono>) {
        if let Some(pause) = self.book.pause {
            wakes.push(pause.until);
            let due = self.due_in_run(self.now);
            wakes.extend(due.map(|(secs, _)| self.in_secs(secs)));
        }
    }

    /// Hosts that stand still because an operator or a rule wanted it, not for lack of power. They
    /// are never started again by themselves.
    #[must_use]
    pub fn stopped_on_purpose(&self) -> Vec<String> {
        let stopped = &self.book.stopped;
        let hosts = self.book.on_purpose.iter();
        hosts
            .filter(|host| stopped.contains_key(*host))
            .cloned()
            .collect()
    }
}

/// The orders that wait, after this one has come.
pub(super) fn with_asked(asked: &mut BTreeMap<u64, Asked>, id: u64, new: Asked) {
    let now = new.at;
    asked.retain(|_, asked| now < asked.at.after(SECOND_WITHIN));
    asked.insert(id, new);
}
