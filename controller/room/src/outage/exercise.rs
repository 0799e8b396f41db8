//! What came of a rehearsal or a drill: dated, with the plan it was of, who asked for it, and each
//! step's time or what went wrong. And when the next one is due.
//!
//! A rehearsal checks every host of the plan and changes nothing; a drill stops one host for real.
//! Both stay in the book, so that a restart forgets neither. The document is made again from the
//! piece of the journal between their first and last record, byte by byte.
//!
//! When the next one is due is the only thing here that goes by the wall clock: months outlast every
//! boot of a machine. Nothing but a reminder hangs on it, and a clock that was set wrong only makes
//! that early or late.

use super::Outage;
use super::book::Book;
use super::record::Record;
use super::run::{Run, StepState};
use crate::incident::document::{CLASS, Proof};
use crate::site::Label;
use crate::time::{Now, Wall};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Results that are kept; at one rehearsal a month four years.
pub const MAX_EXERCISES: usize = 50;

const DAY_MS: i64 = 86_400_000;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExerciseKind {
    /// Every host was checked, none was stopped.
    Rehearsal,
    /// One host was stopped for real, with what depends on it.
    Drill,
}

/// The result of a rehearsal or a drill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Exercise {
    /// Run number; runs, rehearsals and drills count together.
    pub run: u64,
    /// What was done.
    pub kind: ExerciseKind,
    /// The host that a drill was about.
    pub host: Option<String>,
    /// Who asked for it.
    pub by: String,
    /// Hash of the plan it was of, as hex.
    pub plan_hash: String,
    /// Milliseconds since 1970 UTC.
    pub began_ms: i64,
    /// Milliseconds since 1970 UTC.
    pub ended_ms: i64,
    /// True when every step was carried out and none failed.
    pub passed: bool,
    /// Why it ended before every step was carried out.
    pub broken_off: Option<Label>,
    /// The steps, in the order of the plan.
    pub steps: Vec<ExerciseStep>,
}

/// One host of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExerciseStep {
    /// Host.
    pub id: String,
    /// Shown name.
    pub label: Label,
    /// Kind of action, e.g. `ssh`.
    pub action: String,
    /// `passed`, `failed` or `not_done`.
    pub state: String,
    /// How long it took, when it passed: the check in a rehearsal, the stop in a drill.
    pub took_s: Option<f64>,
    /// The step's budget.
    pub budget_s: f64,
    /// What went wrong.
    pub problem: Option<Label>,
}

impl Exercise {
    pub(super) fn of<Kind>(run: &Run<Kind>, kind: ExerciseKind, ended: Wall) -> Self {
        let steps: Vec<ExerciseStep> = run
            .in_order()
            .map(|(step, state)| {
                let (word, took_s, problem) = match state {
                    StepState::Confirmed { took } => ("passed", Some(took.as_secs_f64()), None),
                    StepState::Abandoned { because, problem, .. } => {
                        let said = problem.as_ref().filter(|problem| **problem != because.en);
                        let problem = said.map_or_else(
                            || because.clone(),
                            |said| {
                                Label::new(
                                    format!("{}（{said}）", because.ja),
                                    format!("{} ({said})", because.en),
                                )
                            },
                        );
                        ("failed", None, Some(problem))
                    }
                    StepState::Skipped { because, .. } | StepState::Cancelled { because, .. } => {
                        ("not_done", None, Some(because.clone()))
                    }
                    StepState::Waiting | StepState::InFlight(_) => ("not_done", None, None),
                };
                ExerciseStep {
                    id: step.id.clone(),
                    label: step.label.clone(),
                    action: step.action.clone(),
                    state: word.into(),
                    took_s,
                    budget_s: step.budget.as_secs_f64(),
                    problem,
                }
            })
            .collect();
        Self {
            run: run.id,
            kind,
            host: run.drill.clone(),
            by: run.by.clone(),
            plan_hash: run.plan.hash().into(),
            began_ms: run.since_wall.0,
            ended_ms: ended.0,
            passed: run.abandoned.is_none() && steps.iter().all(|step| step.state == "passed"),
            broken_off: run.abandoned.clone(),
            steps,
        }
    }

    /// A rehearsal that looked at every host, whatever it found: what failed is an alarm of its own.
    pub(super) fn is_whole(&self) -> bool {
        self.kind == ExerciseKind::Rehearsal && self.broken_off.is_none()
    }
}

/// The document of a rehearsal or a drill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = RehearsalDocument)]
pub struct Document {
    /// `REH-0012`: the run's number.
    pub document: String,
    /// Class by which it must be kept.
    pub class: String,
    /// Name of the room.
    pub site: Label,
    /// True for a simulated room.
    pub simulated: bool,
    /// What came of it.
    pub result: Exercise,
    /// The piece of the journal that it rests on.
    pub proof: Proof,
}

/// Number of a document, as it stands on paper.
#[must_use]
pub fn number(run: u64) -> String {
    format!("REH-{run:04}")
}

/// Makes a document from the piece of the journal that begins with the run's first record.
#[derive(Debug, Default)]
pub struct Maker {
    book: Book,
}

impl Maker {
    /// The next record of the piece.
    pub fn read(&mut self, now: Now, record: &Record) {
        self.book.apply(now, record);
    }

    /// The whole; `None` when the piece does not hold this run from its first record to its last.
    #[must_use]
    pub fn end(self, run: u64, site: Label, simulated: bool, proof: Proof) -> Option<Document> {
        let result = self.book.exercises.into_iter().find(|result| result.run == run)?;
        Some(Document {
            document: number(run),
            class: CLASS.into(),
            site,
            simulated,
            result,
            proof,
        })
    }
}

impl Outage {
    /// Why the plan must be rehearsed, when the site wants to be reminded. Looked at with every poll
    /// of a UPS, so that it needs no deadline of its own.
    pub(super) fn rehearsal_due(&self, now: Wall) -> Option<Label> {
        let every = self.config.policy.as_ref()?.rehearse_every?;
        let Some((at, hash)) = &self.book.rehearsed else {
            return Some(Label::new("一度も予行していない", "it was never rehearsed"));
        };
        let days = now.0.saturating_sub(at.0) / DAY_MS;
        if hash != self.config.plan.hash() {
            return Some(Label::new(
                format!("最後の予行（{days} 日前）の後に計画が変わった"),
                format!("the plan has changed since the last rehearsal, {days} days ago"),
            ));
        }
        let late = now.0.saturating_sub(at.0) >= i64::try_from(every.0).unwrap_or(i64::MAX);
        late.then(|| {
            let wanted = every.0 / DAY_MS.unsigned_abs();
            Label::new(
                format!("最後の予行は {days} 日前（{wanted} 日ごとに行う定め）"),
                format!("the last rehearsal was {days} days ago; the site wants one every {wanted} days"),
            )
        })
    }
}
