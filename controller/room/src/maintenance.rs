//! Maintenance windows: while somebody works on a thing, its alarms are suppressed by design.
//!
//! ```text
//!  start --> Open --its time is over, or ended without a result--> AwaitsResult --result--> Closed
//!              +---------------- ended with a result --------------------------------------^
//! ```
//! A window always ends by itself, at the latest after a day, and an alarm stands until somebody
//! has recorded what came of the work: that is how a forgotten bridge or a closed valve is found.
//! Water, smoke, the fire panel and the extinguishing agent are covered only when their alarm is
//! named singly. A window never changes where an alarm stands: what still stands when it ends
//! comes up by itself.

use crate::alarm::{operator_text, span};
use crate::catalog::Kind;
use crate::event::Refused;
use crate::record::Record;
use crate::snapshot::{self, MaintenanceState};
use crate::time::{Millis, Mono, Now, Wall};
use std::collections::BTreeMap;

/// Longest window: one day. What takes longer is opened again, by somebody who has looked.
pub const MAX_WINDOW_MINUTES: u32 = 24 * 60;
/// Most windows that can be open or wait for their result at once.
pub const MAX_WINDOWS: usize = 50;
/// Most nodes, devices, points and alarms that one window can name.
pub const MAX_SCOPE: usize = 200;
/// Closed windows that are still shown; the journal has all of them.
pub const SHOWN_CLOSED: usize = 20;

/// Id under which the alarms of a window are folded.
#[must_use]
pub fn id(window: u32) -> String {
    format!("maintenance.{window}")
}

/// Alarm id of a window that waits for its result.
#[must_use]
pub fn result_id(window: u32) -> String {
    format!("maintenance.{window}.result")
}

/// A maintenance window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Its number.
    pub id: u32,
    /// Who opened it.
    pub by: String,
    /// When.
    pub since: Now,
    /// When it ends by itself.
    pub until: Mono,
    /// The same, for screens; once it has ended, when that was.
    pub until_wall: Wall,
    /// Why.
    pub reason: String,
    /// Number of the work order.
    pub work_order: Option<String>,
    /// What it is about, as it was asked for.
    pub scope: Vec<String>,
    covers: Vec<String>,
    alarms: Vec<String>,
    /// How it is.
    pub state: MaintenanceState,
    /// What came of the work, and who said so.
    pub result: Option<(String, String)>,
}

impl Window {
    fn covers(&self, alarm: &str, kind: Kind) -> bool {
        if self.state != MaintenanceState::Open || kind == Kind::MaintenanceResult {
            return false;
        }
        let is_named = self.alarms.iter().any(|named| named == alarm);
        is_named
            || !kind.is_life_safety()
                && self.covers.iter().any(|name| {
                    alarm
                        .strip_prefix(name.as_str())
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                })
    }
}

/// What a window is asked to cover; the engine knows what of it is in the room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// As it was asked for: `node:door-1`.
    pub asked: Vec<String>,
    /// Names whose alarms are covered.
    pub covers: Vec<String>,
    /// Alarms named singly.
    pub alarms: Vec<String>,
}

/// Every window.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Maintenance {
    windows: BTreeMap<u32, Window>,
    last: u32,
}

impl Maintenance {
    /// The window that an alarm lies in: the oldest that is open.
    #[must_use]
    pub fn window_of(&self, alarm: &str, kind: Kind) -> Option<u32> {
        let mut windows = self.windows.values();
        windows
            .find(|window| window.covers(alarm, kind))
            .map(|window| window.id)
    }

    /// Windows whose time is over.
    pub fn ended(&self, now: Mono) -> impl Iterator<Item = &Window> {
        self.open().filter(move |window| window.until <= now)
    }

    /// When the next window ends by itself.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        self.open().map(|window| window.until).min()
    }

    /// True when there is no window to show.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// A window by its number, open, waiting or lately closed.
    #[must_use]
    pub fn window(&self, id: u32) -> Option<&Window> {
        self.windows.get(&id)
    }

    fn open(&self) -> impl Iterator<Item = &Window> {
        let windows = self.windows.values();
        windows.filter(|window| window.state == MaintenanceState::Open)
    }

    /// Opens a window. The record must be applied.
    ///
    /// # Errors
    /// [`Refused`] when a field is wrong or too many windows are open.
    pub fn start(
        &self,
        by: &str,
        minutes: u32,
        reason: &str,
        work_order: Option<&str>,
        scope: Scope,
    ) -> Result<Record, Refused> {
        span(minutes, MAX_WINDOW_MINUTES)?;
        if scope.asked.is_empty() {
            return Err(Refused::invalid(
                "対象のノード、機器、点、警報を指定してください",
                "a window needs a scope: name a node, device, point or alarm",
            ));
        }
        if scope.asked.len() > MAX_SCOPE {
            return Err(Refused::invalid(
                format!(
                    "対象は {MAX_SCOPE} 件までです（{} 件あります）",
                    scope.asked.len()
                ),
                format!(
                    "a window can name at most {MAX_SCOPE} things, not {}",
                    scope.asked.len()
                ),
            ));
        }
        let waiting = self.windows.values();
        if waiting
            .filter(|window| window.state != MaintenanceState::Closed)
            .count()
            >= MAX_WINDOWS
        {
            return Err(Refused::conflict(
                format!("作業が {MAX_WINDOWS} 件、継続中か結果待ちです。先に終わらせてください"),
                format!("{MAX_WINDOWS} windows are open or wait for their result; end some first"),
            ));
        }
        Ok(Record::MaintenanceStarted {
            window: self.last + 1,
            by: operator_text("by", by)?,
            minutes,
            reason: operator_text("reason", reason)?,
            work_order: work_order
                .map(|order| operator_text("work_order", order))
                .transpose()?,
            scope: scope.asked,
            covers: scope.covers,
            alarms: scope.alarms,
        })
    }

    /// Ends a window, records its result, or both. The records must be applied.
    ///
    /// # Errors
    /// [`Refused`] when it is unknown, closed, or has ended and no result is given.
    pub fn end(&self, id: u32, by: &str, result: Option<&str>) -> Result<Vec<Record>, Refused> {
        let window = self.windows.get(&id).ok_or_else(|| {
            Refused::not_found(
                format!("作業 {id} はありません"),
                format!("no maintenance window {id}"),
            )
        })?;
        let by = operator_text("by", by)?;
        let result = result.map(|text| operator_text("result", text)).transpose()?;
        let is_open = match window.state {
            MaintenanceState::Open => true,
            MaintenanceState::AwaitsResult => false,
            MaintenanceState::Closed => {
                return Err(Refused::conflict(
                    format!("作業 {id} の結果はすでに記録されています"),
                    format!("maintenance window {id} has its result already"),
                ));
            }
        };
        if !is_open && result.is_none() {
            return Err(Refused::invalid(
                format!("作業 {id} は終わっています。結果を入力してください"),
                format!("maintenance window {id} has ended; it needs a result"),
            ));
        }
        let ended = is_open.then(|| Record::MaintenanceEnded {
            window: id,
            by: Some(by.clone()),
        });
        let result = result.map(|result| Record::MaintenanceResult {
            window: id,
            by,
            result,
        });
        Ok(ended.into_iter().chain(result).collect())
    }

    /// Applies a record, at its own time. Records of other kinds are ignored.
    pub fn apply(&mut self, at: Now, record: &Record) {
        match record {
            Record::MaintenanceStarted {
                window,
                by,
                minutes,
                reason,
                work_order,
                scope,
                covers,
                alarms,
            } => {
                let span = Millis::from_secs(u64::from(*minutes) * 60);
                self.last = self.last.max(*window);
                self.windows.insert(
                    *window,
                    Window {
                        id: *window,
                        by: by.clone(),
                        since: at,
                        until: at.mono.after(span),
                        until_wall: Wall(at.wall.0.saturating_add(i64::from(*minutes) * 60_000)),
                        reason: reason.clone(),
                        work_order: work_order.clone(),
                        scope: scope.clone(),
                        covers: covers.clone(),
                        alarms: alarms.clone(),
                        state: MaintenanceState::Open,
                        result: None,
                    },
                );
            }
            Record::MaintenanceEnded { window, .. } => {
                if let Some(window) = self.windows.get_mut(window) {
                    window.state = MaintenanceState::AwaitsResult;
                    window.until_wall = at.wall;
                }
            }
            Record::MaintenanceResult { window, by, result } => {
                if let Some(window) = self.windows.get_mut(window) {
                    window.state = MaintenanceState::Closed;
                    window.result = Some((result.clone(), by.clone()));
                }
                self.forget_old();
            }
            _ => {}
        }
    }

    fn forget_old(&mut self) {
        let closed = self.windows.values();
        let mut closed: Vec<u32> = closed
            .filter(|window| window.state == MaintenanceState::Closed)
            .map(|window| window.id)
            .collect();
        closed.truncate(closed.len().saturating_sub(SHOWN_CLOSED));
        for id in closed {
            self.windows.remove(&id);
        }
    }

    /// The machine was started again: what was left at the last record is what is left.
    pub(crate) fn forget_monotonic(&mut self, now: Mono, last: Mono) {
        for window in self.windows.values_mut() {
            window.until = now.after(window.until.since(last));
            window.since.mono = now;
        }
    }

    /// The windows as they are shown, the newest first.
    pub(crate) fn view(&self, now: Now, folded: impl Fn(&str) -> u32) -> Vec<snapshot::Maintenance> {
        let row = |window: &Window| {
            let is_open = window.state == MaintenanceState::Open;
            snapshot::Maintenance {
                id: window.id,
                state: window.state,
                scope: window.scope.clone(),
                reason: window.reason.clone(),
                work_order: window.work_order.clone(),
                by: window.by.clone(),
                since_ms: window.since.wall.0,
                until_ms: window.until_wall.0,
                left_s: is_open.then(|| window.until.since(now.mono).0 / 1000),
                folded: if is_open { folded(&id(window.id)) } else { 0 },
                result: window.result.as_ref().map(|(result, _)| result.clone()),
                result_by: window.result.as_ref().map(|(_, by)| by.clone()),
            }
        };
        self.windows.values().rev().map(row).collect()
    }
}
