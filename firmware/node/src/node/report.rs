//! Telemetry: samples, heartbeat, and how the node itself is. The latest word counts; nothing of
//! it is kept.

use super::Node;
use crate::memory::Memory;
use crate::update::{Slots, Versions};
use crate::{HEALTH_MS, REPORT_MS};
use shared::wire::{Health, TransferKind, Up};

/// What only the board can count, since boot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bytes or frames of readers, probes and console that were no frames.
    pub garbled: u16,
    /// Times a bus had to be freed or a sensor rail to be switched off and on.
    pub recoveries: u16,
    /// Bytes of stack never used so far; `None` when not measured.
    pub stack_free: Option<u16>,
}

/// What is due, and what was counted for it.
#[derive(Debug)]
pub(super) struct Reports {
    heartbeat_at_ms: u64,
    health_at_ms: u64,
    checkpoint_due: bool,
    transfer_due: bool,
    counts: Counts,
    connects: u16,
    taken_over: u16,
}

impl Reports {
    pub(super) const fn new(now_ms: u64) -> Self {
        Self {
            heartbeat_at_ms: now_ms,
            health_at_ms: now_ms,
            checkpoint_due: true,
            transfer_due: false,
            counts: Counts {
                garbled: 0,
                recoveries: 0,
                stack_free: None,
            },
            connects: 0,
            taken_over: 0,
        }
    }

    pub(super) const fn connected(&mut self) {
        self.connects = self.connects.saturating_add(1);
    }

    pub(super) const fn taken_over(&mut self) {
        self.taken_over = self.taken_over.saturating_add(1);
    }

    pub(super) const fn transfer_due(&mut self) {
        self.transfer_due = true;
    }

    pub(super) const fn checkpoint_due(&mut self) {
        self.checkpoint_due = true;
    }

    pub(super) fn next_deadline(&self) -> u64 {
        self.heartbeat_at_ms.min(self.health_at_ms)
    }
}

impl<M: Memory, S: Slots> Node<M, S> {
    /// Takes what only the board can count; it goes with the next health frame.
    pub fn count(&mut self, counts: Counts) {
        self.reports.counts = counts;
    }

    /// What is due next: samples first, since somebody may wait for them.
    pub(super) fn next_report(&mut self, now_ms: u64) -> Option<Up> {
        let sample = if self.is_blind() {
            None
        } else {
            (0_u8..)
                .zip(&mut self.channels)
                .find_map(|(channel, mount)| mount.take_due(channel, now_ms))
        };
        sample
            .map(Up::Sample)
            .or_else(|| self.heartbeat(now_ms))
            .or_else(|| self.health(now_ms))
            .or_else(|| self.checkpoint())
            .or_else(|| self.transfer())
    }

    fn heartbeat(&mut self, now_ms: u64) -> Option<Up> {
        (now_ms >= self.reports.heartbeat_at_ms).then(|| {
            self.reports.heartbeat_at_ms = now_ms + REPORT_MS;
            Up::Heartbeat {
                pending: self.outbox.unreleased() as u16,
                last_event: self.outbox.last(),
                refused: self.refusals.total,
                dropped: self.outbox.lost_total(),
            }
        })
    }

    fn health(&mut self, now_ms: u64) -> Option<Up> {
        (now_ms >= self.reports.health_at_ms).then(|| {
            self.reports.health_at_ms = now_ms + HEALTH_MS;
            let Versions {
                running,
                previous,
                refused,
            } = self.update.versions();
            let reports = &self.reports;
            Up::Health(Health {
                running,
                previous,
                refused,
                safe_mode: self.safe.is_on(),
                crashes: self.safe.crashes(),
                clock: self.clock.state(),
                list: self.list.version(),
                list_age_h: self.list_age_h(now_ms),
                connects: reports.connects,
                taken_over: reports.taken_over,
                garbled: reports.counts.garbled,
                recoveries: reports.counts.recoveries,
                stack_free: reports.counts.stack_free.unwrap_or(u16::MAX),
            })
        })
    }

    fn list_age_h(&self, now_ms: u64) -> u16 {
        let (confirmed_s, unix_s) = (self.list_confirmed_s(), self.clock.unix_s(now_ms));
        if self.list.version() == 0 || confirmed_s == 0 || unix_s == 0 {
            return u16::MAX;
        }
        u16::try_from(unix_s.saturating_sub(confirmed_s) / 3_600).unwrap_or(u16::MAX)
    }

    fn checkpoint(&mut self) -> Option<Up> {
        let due = core::mem::take(&mut self.reports.checkpoint_due);
        self.witness
            .last()
            .filter(|_| due)
            .map(|checkpoint| Up::Checkpoint {
                size: checkpoint.size,
                root: checkpoint.root,
                given_unix_s: checkpoint.given_unix_s,
            })
    }

    fn transfer(&mut self) -> Option<Up> {
        if core::mem::take(&mut self.reports.transfer_due) {
            let progress = self.list.progress();
            return Some(Up::Transfer {
                what: TransferKind::List,
                version: progress.version,
                have: progress.have.into(),
            });
        }
        self.update.take_transfer().map(|(version, have)| Up::Transfer {
            what: TransferKind::Image,
            version: version.number(),
            have,
        })
    }

    pub(super) fn report_everything(&mut self, now_ms: u64) {
        for channel in &mut self.channels {
            channel.ask();
        }
        self.reports.heartbeat_at_ms = now_ms;
        self.reports.health_at_ms = now_ms;
        self.reports.checkpoint_due = true;
    }
}
