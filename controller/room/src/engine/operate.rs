//! What operators order of devices: a battery test, silence for a beeper.
//!
//! ```text
//! command --allowed? not what cuts power? nothing else under way? --> DeviceOrdered --> act
//!    act: confirmed | accepted | refused | unknown  ---------------> DeviceDone --> a new reading
//!    no word of act within OPERATION_MAX ----------> DeviceDone (unknown)
//! ```
//! An order is given once. After a restart it is not given again: act says what became of it, or
//! nobody knows.

use super::Engine;
use crate::alarm;
use crate::command::{Danger, Done, Name, Operation};
use crate::event::{Effect, Refused, Turn};
use crate::nut::served::Progress;
use crate::record::Record;
use crate::site::World;
use crate::snapshot;
use crate::time::{Millis, Mono, Now, Wall};
use std::collections::{BTreeMap, VecDeque};

/// Longest wait for the word of act: the longest look of a command by hand is shorter.
pub const OPERATION_MAX: Millis = Millis::from_secs(120);
/// Orders under way at the same time.
const MAX_AT_ONCE: usize = 16;
/// Orders that ended and are still shown.
const SHOWN: usize = 20;

/// Orders to devices.
#[derive(Debug, Clone, Default)]
pub(super) struct Operations {
    /// Of the last one; they count up over restarts.
    last: u64,
    under_way: BTreeMap<u64, Row>,
    ended: VecDeque<(u64, Row, Done)>,
}

#[derive(Debug, Clone)]
struct Row {
    device: String,
    command: String,
    value: Option<i64>,
    by: String,
    at: Wall,
    since: Mono,
}

impl<W: World> Engine<W> {
    pub(super) fn operate(
        &mut self,
        now: Now,
        by: &str,
        name: &str,
        command: &str,
        value: Option<i64>,
        turn: &mut Turn,
    ) -> Result<(), Refused> {
        let by = alarm::operator_text("by", by)?;
        let command: Name = command.parse().map_err(|why: crate::command::BadName| {
            Refused::invalid(
                format!("機器への指示の名前ではありません: {why}"),
                why.to_string(),
            )
        })?;
        let device = self
            .site
            .devices
            .iter()
            .find(|device| device.name == name)
            .ok_or_else(|| {
                Refused::not_found(format!("機器 {name} はありません"), format!("no device {name}"))
            })?;
        if !device.commands.contains(&command) {
            return Err(Refused::conflict(
                format!(
                    "{name} への {command} は許可されていません（設定ファイルの [[device]] の commands）"
                ),
                format!(
                    "the site does not allow {name} to be told {command}; see `commands` of its [[device]]"
                ),
            ));
        }
        let running = &self.operations.under_way;
        if command.danger() == Danger::CutsPower {
            return Err(Refused::conflict(
                format!(
                    "{command} は電源を切り替えるため、手では指示できません。計画の手順（[host.action] kind = \"device\"）で行います"
                ),
                format!(
                    "{command} switches power: it is a step of a plan ([host.action] kind = \"device\"), never an order by hand"
                ),
            ));
        }
        if command.danger() == Danger::Test && self.outage.any_on_battery() {
            return Err(Refused::conflict(
                "UPS がバッテリー運転中のため、いまは試験を行いません",
                "a UPS is on battery; its charge is not spent on a test now",
            ));
        }
        if let Some(row) = running.values().find(|row| row.device == name) {
            return Err(Refused::conflict(
                format!(
                    "{name} には {} を指示中です。終わるまで待ってください",
                    row.command
                ),
                format!("{name} is already being told {}; wait for its end", row.command),
            ));
        }
        if running.len() >= MAX_AT_ONCE {
            return Err(Refused::conflict(
                format!("{MAX_AT_ONCE} 台の機器に指示中です。どれかが終わるまで待ってください"),
                format!("{MAX_AT_ONCE} devices are being told something; wait for one"),
            ));
        }
        let id = self.operations.last + 1;
        self.commit(
            now,
            turn,
            Record::DeviceOrdered {
                id,
                device: name.to_owned(),
                command: command.to_string(),
                value,
                by: by.clone(),
            },
        );
        turn.effects.push(Effect::Operate(Operation {
            id,
            device: name.to_owned(),
            command,
            value,
        }));
        self.note_test(now, &by, name, (id, &command.to_string()), turn);
        Ok(())
    }

    pub(super) fn apply_operation(&mut self, now: Now, record: &Record) {
        let operations = &mut self.operations;
        match record {
            Record::DeviceOrdered {
                id,
                device,
                command,
                value,
                by,
            } => {
                operations.last = operations.last.max(*id);
                let row = Row {
                    device: device.clone(),
                    command: command.clone(),
                    value: *value,
                    by: by.clone(),
                    at: now.wall,
                    since: now.mono,
                };
                operations.under_way.insert(*id, row);
            }
            Record::DeviceDone { id, done, .. } => {
                if let Some(row) = operations.under_way.remove(id) {
                    if operations.ended.len() == SHOWN {
                        operations.ended.pop_front();
                    }
                    operations.ended.push_back((*id, row, done.clone()));
                }
            }
            _ => {}
        }
    }

    /// After a restart the waiting begins anew: act may have been started again, too.
    pub(super) fn resume_operations(&mut self, now: Now) {
        for row in self.operations.under_way.values_mut() {
            row.since = now.mono;
        }
    }

    /// The word of act; one that comes again, or late, changes nothing.
    pub(super) fn operated(&mut self, now: Now, id: u64, done: Done, turn: &mut Turn) {
        let Some(row) = self.operations.under_way.get(&id) else {
            return;
        };
        let (device, command) = (row.device.clone(), row.command.clone());
        turn.effects.push(Effect::Poll(device.clone()));
        self.commit(
            now,
            turn,
            Record::DeviceDone {
                id,
                device,
                command,
                done: done.clone(),
            },
        );
        self.test_was_told(now, id, &done, turn);
    }

    /// Gives up on those that act says nothing of.
    pub(super) fn evaluate_operations(&mut self, now: Now, turn: &mut Turn) {
        let due = |row: &Row| row.since.after(OPERATION_MAX) <= now.mono;
        let rows = self.operations.under_way.iter();
        let late: Vec<u64> = rows.filter(|(_, row)| due(row)).map(|(id, _)| *id).collect();
        for id in late {
            let problem = "the role act did not say what became of it".to_owned();
            self.operated(now, id, Done::Unknown { problem }, turn);
        }
    }

    pub(super) fn operation_deadline(&self) -> Option<Mono> {
        let rows = self.operations.under_way.values();
        rows.map(|row| row.since.after(OPERATION_MAX)).min()
    }

    /// How far each has come.
    pub(super) fn operation_progress(&self) -> BTreeMap<u64, Progress> {
        let under_way = self.operations.under_way.keys();
        let ended = self.operations.ended.iter();
        under_way
            .map(|id| (*id, Progress::Pending))
            .chain(ended.map(|(id, _, done)| {
                let progress = match done {
                    Done::Confirmed { .. } | Done::Accepted => Progress::Done,
                    Done::Refused { .. } => Progress::Failed,
                    Done::Unknown { .. } => Progress::Unknown,
                };
                (*id, progress)
            }))
            .collect()
    }

    /// Those under way, then those that ended, the newest first.
    pub(super) fn operation_rows(&self) -> Vec<snapshot::Operation> {
        let shown = |id: u64, row: &Row, done: Option<&Done>| snapshot::Operation {
            id,
            device: row.device.clone(),
            command: row.command.clone(),
            value: row.value,
            by: row.by.clone(),
            ordered_ms: row.at.0,
            state: done.map_or("under_way", Done::word).to_owned(),
            text: done.map_or("", Done::text).to_owned(),
        };
        let under_way = self.operations.under_way.iter().rev();
        let ended = self.operations.ended.iter().rev();
        under_way
            .map(|(id, row)| shown(*id, row, None))
            .chain(ended.map(|(id, row, done)| shown(*id, row, Some(done))))
            .collect()
    }
}
