//! The node: what happens becomes events and telemetry, and what comes down is obeyed or refused.
//!
//! The board feeds levels, readings and downward frames and asks what to send next. Nothing here
//! waits, and nothing depends on whether a controller is there.
//!
//! ```text
//! contact, line, reading --> channels --+                     +-- event_to_send
//!                                       +--> events, samples -+-- telemetry_to_send
//! downward ---> down (obey) ------------+                     +-- take_order: clock, restart
//! tick -------> list, update, safe mode, erasing: a piece at a time
//! ```
//! [`Node::tick`] is called when [`Node::next_deadline`] says so, with or without a connection:
//! door, memory and safe mode do not wait for the network.

mod answer;
mod channel;
mod clock;
mod down;
mod erase;
mod portal;
mod report;

use crate::checkpoint::Witness;
use crate::guard::Guard;
use crate::identity::Keys;
use crate::line::LineState;
use crate::list::List;
use crate::memory::{Memory, MemoryFault};
use crate::outbox::{Outbox, Rank, Stamp};
use crate::safe::{Due, Safe};
use crate::shock::{MAX_SHOCKS, Shock};
use crate::update::{Firmware, Slots, Update};
use crate::{REFUSED_AT_MOST_MS, REFUSED_EVERY_MS, STORE_RETRY_MS};
use channel::Channel;
use clock::Clock;
use erase::Erasing;
use heapless::Vec;
use portal::{Entrance, level_of_contact, level_of_line};
use report::Reports;
use shared::limit::MAX_CHANNELS;
use shared::provision::Provision;
use shared::wire::{
    Crash, Header, ListEvent, Refusal, ResetCause, Stream, Up, UpFrame, VERSION, seal_up, seal_up_raw,
};
use shared::{NoData, Quantity};

pub use report::Counts;

/// Milliseconds between the order to restart and the restart: the acknowledgement is to leave.
pub const RESTART_MS: u64 = 1_000;

/// Why and from what this life of the node began.
#[derive(Debug, Clone, Copy)]
pub struct Boot {
    /// Why it started.
    pub cause: ResetCause,
    /// What the last life ended with, if it ended badly.
    pub crash: Option<Crash>,
    /// What the clock chip says, in milliseconds since 1970 UTC; `None` without one, or when it
    /// says that it stood still.
    pub rtc_unix_ms: Option<u64>,
}

/// What the board is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Set the clock chip to this time, in milliseconds since 1970 UTC.
    SetRtc(u64),
    /// Restart now; the next start is [`ResetCause::Requested`].
    Restart,
    /// Everything is erased, and the controller was told. Restart; there is no node any more.
    Erased,
}

/// Refused downward frames.
#[derive(Debug, Default)]
struct Refusals {
    total: u32,
    unreported: Option<Refusal>,
    report_from_ms: u64,
    /// Time between the last two reports, 0 before the first.
    pause_ms: u64,
}

/// A sensor node. `M` is its EEPROM, `S` its slots for firmware.
#[derive(Debug)]
pub struct Node<M, S> {
    memory: M,
    id: u16,
    keys: Keys,
    /// When the copy of the previous key is to be overwritten.
    erase_previous_at_ms: Option<u64>,
    channels: Vec<Channel, MAX_CHANNELS>,
    shocks: Vec<Shock, MAX_SHOCKS>,
    entrance: Entrance,
    outbox: Outbox,
    guard: Guard,
    list: List,
    /// The last confirmation of the list in this boot, in seconds since 1970 UTC.
    confirmed_unix_s: u32,
    stale_told: bool,
    witness: Witness,
    update: Update<S>,
    safe: Safe,
    erasing: Erasing,
    clock: Clock,
    refusals: Refusals,
    reports: Reports,
    telemetry_seq: u32,
    restart_at_ms: Option<u64>,
}

impl<M: Memory, S: Slots> Node<M, S> {
    /// Opens the memory, counts the boot and makes the first events of it.
    ///
    /// # Errors
    /// [`MemoryFault`] when the boot cannot be counted; nothing may be sent then.
    #[cfg(test)]
    pub fn start(
        memory: M,
        slots: S,
        provision: &Provision,
        about: Firmware,
        boot: Boot,
        now_ms: u64,
    ) -> Result<Self, MemoryFault> {
        let mut place = None;
        Self::start_in(&mut place, memory, slots, provision, about, boot, now_ms)?;
        place.ok_or(MemoryFault)
    }

    /// The same, made where it stays: some kilobytes that need not pass over the stack of a board.
    ///
    /// # Errors
    /// As [`Self::start`]; the place is then as it was.
    pub fn start_in<'p>(
        place: &'p mut Option<Self>,
        mut memory: M,
        slots: S,
        provision: &Provision,
        about: Firmware,
        boot: Boot,
        now_ms: u64,
    ) -> Result<&'p mut Self, MemoryFault> {
        let crashed = matches!(boot.cause, ResetCause::Watchdog | ResetCause::Crash);
        let list = List::open(&mut memory)?;
        let witness = Witness::open(&mut memory)?;
        // Last of all that may fail: it counts the boot and the crash, once for each of them.
        let outbox = Outbox::open(&mut memory, provision.node, provision.first_boot, crashed)?;
        // The later of the two; a time that was put right since is lower.
        let known_s = match (outbox.confirmed(), list.committed_unix_s()) {
            (confirmed, committed_s) if confirmed.version != list.version() && committed_s != 0 => {
                committed_s
            }
            (confirmed, committed_s) if confirmed.unix_s == 0 => committed_s,
            (confirmed, _) => confirmed.unix_s,
        };
        let node = place.insert(Self {
            id: provision.node,
            keys: Keys::open(&mut memory, provision),
            erase_previous_at_ms: None,
            channels: Vec::new(),
            shocks: Vec::new(),
            entrance: Entrance::new(provision),
            guard: Guard::new(provision.node, outbox.boot()),
            safe: Safe::new(outbox.crashes(), now_ms),
            update: Update::start(slots, &mut memory, about, now_ms),
            outbox,
            list,
            confirmed_unix_s: 0,
            stale_told: false,
            witness,
            erasing: Erasing::No,
            clock: Clock::start(boot.rtc_unix_ms, known_s, now_ms),
            refusals: Refusals::default(),
            reports: Reports::new(now_ms),
            telemetry_seq: 0,
            restart_at_ms: None,
            memory,
        });
        for (channel, mount) in (0..).zip(&provision.mounts) {
            // There are as many channels as rows.
            let _ = node.channels.push(Channel::new(channel, mount.as_ref()));
            if let Some(mount) = mount
                && mount.quantity() == Some(Quantity::Acceleration)
                && mount.param > 0
            {
                // There are as many as a bus has addresses for.
                let _ = node.shocks.push(Shock::new(channel, mount.param));
            }
        }
        // A copy that was torn may hold a part of an old key.
        let torn = node.keys.left_something(&mut node.memory);
        node.erase_previous_at_ms = torn.then_some(now_ms);
        node.event(
            &Up::Hello {
                firmware: (about.version.0, about.version.1, about.version.2),
                cause: boot.cause,
                channels: node.channels.len() as u8,
            },
            now_ms,
        );
        if let Some(crash) = boot.crash {
            node.event(&Up::Crashed(crash), now_ms);
        }
        if node.safe.is_on() {
            node.tell_safe_mode(now_ms);
        }
        node.take_update_outcome(now_ms);
        Ok(node)
    }

    /// Number of this boot, from 1.
    pub const fn boot(&self) -> u32 {
        self.outbox.boot()
    }

    /// Events that the controller has not acknowledged.
    pub const fn pending(&self) -> usize {
        self.outbox.pending()
    }

    /// True in safe mode: the board touches no sensor, no reader and no door.
    pub const fn safe_mode(&self) -> bool {
        self.safe.is_on()
    }

    /// True while nothing in the room is watched: safe mode, or the node is being erased.
    const fn is_blind(&self) -> bool {
        self.safe.is_on() || self.erasing.is_on()
    }

    /// Feeds the level of a contact (true: the circuit is open); returns when it must be fed again
    /// for a change to settle.
    pub fn contact(&mut self, channel: usize, level_open: bool, now_ms: u64) -> Option<u64> {
        if self.is_blind() {
            return None;
        }
        let Channel::Contact { contact, .. } = self.channels.get_mut(channel)? else {
            return None;
        };
        let event = contact.feed(level_open, now_ms);
        let again = contact.next_ms();
        let level = level_of_contact(contact, now_ms);
        if let Some(event) = event {
            self.event(&event, now_ms);
        }
        self.portal_input(channel, level, now_ms);
        again
    }

    /// Feeds the settled state of a supervised line, or why there is none.
    pub fn line(&mut self, channel: usize, state: Result<LineState, NoData>, now_ms: u64) {
        if !self.is_blind()
            && let Some(Channel::Line { line, .. }) = self.channels.get_mut(channel)
        {
            if let Some(event) = line.feed(state, now_ms) {
                self.event(&event, now_ms);
            }
            self.portal_input(channel, Some(level_of_line(state)), now_ms);
        }
    }

    /// Feeds the reading of a sensor, in thousandths of its unit.
    pub fn reading(&mut self, channel: usize, read: Result<i32, NoData>, now_ms: u64) {
        if self.is_blind() {
            return;
        }
        let Some(Channel::Sensor(sensor)) = self.channels.get_mut(channel) else {
            return;
        };
        if let Some(event) = sensor.feed(read, now_ms) {
            self.event(&event, now_ms);
        }
        let mut shocks = self.shocks.iter_mut();
        if let Some(shock) = shocks.find(|shock| usize::from(shock.channel()) == channel)
            && let Ok(peak) = read.and_then(|milli| Quantity::Acceleration.check(milli))
            && let Some(event) = shock.feed(peak.unsigned_abs(), now_ms)
        {
            self.event(&event, now_ms);
        }
    }

    /// A connection to the broker stands: everything unacknowledged goes out again, and every
    /// channel says where it is.
    pub fn connected(&mut self, now_ms: u64) {
        self.outbox.connected();
        self.erasing.connected();
        self.reports.connected();
        self.report_everything(now_ms);
    }

    /// The broker ended the connection because another client has our name: a second board with
    /// our configuration block.
    pub const fn taken_over(&mut self) {
        self.reports.taken_over();
    }

    /// Does what is due.
    pub fn tick(&mut self, now_ms: u64) {
        let memory = &mut self.memory;
        if self.erasing.tick(memory, now_ms) {
            return;
        }
        if !self.safe.is_on() {
            self.tick_portal(now_ms);
        }
        let memory = &mut self.memory;
        self.outbox.maintain(memory, now_ms);
        self.witness.maintain(memory, now_ms);
        let unix_s = self.clock.told_s(now_ms);
        if let Some(event) = self.list.step(memory, unix_s, now_ms) {
            self.tell_list(event, now_ms);
        }
        self.tell_stale(now_ms);
        self.take_update_outcome(now_ms);
        self.update.tick(&mut self.memory, now_ms);
        self.take_update_outcome(now_ms);
        if self.erase_previous_at_ms.is_some_and(|at| now_ms >= at) {
            let erased = self.keys.erase_previous(&mut self.memory);
            self.erase_previous_at_ms = erased.is_err().then_some(now_ms + STORE_RETRY_MS);
        }
        match self.safe.tick(now_ms) {
            Some(Due::Leave) => {
                self.tell_safe_mode(now_ms);
                self.report_everything(now_ms);
            }
            // After an error the row is counted on, which costs at most an hour of safe mode.
            Some(Due::Forget) => drop(self.outbox.forget_crashes(&mut self.memory)),
            None => {}
        }
        self.tell_refusals(now_ms);
        let stamp = self.clock.stamp(now_ms);
        self.outbox.settle_losses(&mut self.memory, stamp);
    }

    /// The next event to publish with QoS 1, oldest first; it counts as sent.
    pub fn event_to_send(&mut self, now_ms: u64) -> Option<UpFrame> {
        if self.erasing.is_on() {
            return self.farewell(now_ms);
        }
        let event = self.outbox.next_to_send(&mut self.memory, now_ms)?;
        let header = Header {
            ver: VERSION,
            key_id: self.keys.current.id,
            node: self.id,
            boot: event.boot,
            stream: Stream::Event,
            seq: event.seq,
            up_ms: event.up_ms,
            unix_ms: event.unix_ms,
        };
        // A stored body is never longer than one may be.
        seal_up_raw(&self.keys.current.key, &header, &event.body).ok()
    }

    /// The next telemetry frame to publish with QoS 0; it counts as sent.
    pub fn telemetry_to_send(&mut self, now_ms: u64) -> Option<UpFrame> {
        let body = self.next_report(now_ms)?;
        self.telemetry_seq = self.telemetry_seq.saturating_add(1);
        let header = self.header(Stream::Telemetry, self.telemetry_seq, now_ms);
        // `shared` proves that every telemetry body fits.
        seal_up(&self.keys.current.key, &header, &body).ok()
    }

    /// True when there is an event to send now.
    pub fn wants_to_send(&self, now_ms: u64) -> bool {
        self.outbox.wants_to_send(now_ms)
    }

    /// What the board is to do now, once.
    pub fn take_order(&mut self, now_ms: u64) -> Option<Order> {
        if self.erasing.is_on() {
            // Whatever else was asked for: nothing is written any more.
            return self.erasing.is_over(now_ms).then_some(Order::Erased);
        }
        let asked = self.restart_at_ms.is_some_and(|at| now_ms >= at);
        if asked || self.update.wants_restart(now_ms) {
            // What is known only to RAM would be sent again, or be lost.
            self.outbox.forget(&mut self.memory, now_ms);
            let stamp = self.clock.stamp(now_ms);
            self.outbox.flush_losses(&mut self.memory, stamp);
            self.witness.flush(&mut self.memory, now_ms);
            return Some(Order::Restart);
        }
        self.clock.take_rtc(now_ms).map(Order::SetRtc)
    }

    /// When [`Self::tick`], [`Self::take_order`] or, with a connection, the two `to_send` functions
    /// have something to do though nothing new happens. Contacts and sensors have their own rhythm.
    pub fn next_deadline(&self) -> u64 {
        let send = self.outbox.next_send().filter(|_| !self.erasing.is_on());
        [self.next_tick(), self.reports.next_deadline()]
            .into_iter()
            .chain(send)
            .fold(u64::MAX, u64::min)
    }

    /// The same without reports, which are due all the time while nobody listens.
    pub fn next_tick(&self) -> u64 {
        let refused = self.refusals.unreported.map(|_| self.refusals.report_from_ms);
        [
            self.erasing.next_deadline(),
            self.outbox.next_maintain(),
            self.witness.next_deadline(),
            self.list.next_deadline(),
            self.update.next_deadline(),
            self.entrance.next_deadline().filter(|_| !self.is_blind()),
            self.safe.next_deadline(),
            self.erase_previous_at_ms,
            self.restart_at_ms,
            refused,
        ]
        .into_iter()
        .flatten()
        .fold(u64::MAX, u64::min)
    }

    fn tell_safe_mode(&mut self, now_ms: u64) {
        let event = Up::SafeMode {
            on: self.safe.is_on(),
            crashes: self.safe.crashes(),
        };
        self.event(&event, now_ms);
    }

    fn take_update_outcome(&mut self, now_ms: u64) {
        if let Some((version, outcome)) = self.update.take_outcome() {
            self.event(&Up::Update { version, outcome }, now_ms);
        }
    }

    fn tell_list(&mut self, event: ListEvent, now_ms: u64) {
        self.reports.transfer_due();
        if matches!(event, ListEvent::Committed { .. }) {
            self.confirmed_unix_s = 0;
            self.stale_told = false;
        }
        self.event(&Up::List(event), now_ms);
    }

    fn tell_refusals(&mut self, now_ms: u64) {
        if let Some(why) = self.refusals.unreported
            && now_ms >= self.refusals.report_from_ms
        {
            self.refusals.unreported = None;
            let quiet = now_ms.saturating_sub(self.refusals.report_from_ms) >= REFUSED_AT_MOST_MS;
            let pause_ms = if quiet { 0 } else { self.refusals.pause_ms * 2 };
            self.refusals.pause_ms = pause_ms.clamp(REFUSED_EVERY_MS, REFUSED_AT_MOST_MS);
            self.refusals.report_from_ms = now_ms + self.refusals.pause_ms;
            let total = self.refusals.total;
            self.event(&Up::Refused { total, why }, now_ms);
        }
    }

    fn event(&mut self, body: &Up, now_ms: u64) {
        let stamp = self.clock.stamp(now_ms);
        self.outbox.push(&mut self.memory, body, rank(body), stamp);
    }

    fn header(&self, stream: Stream, seq: u32, now_ms: u64) -> Header {
        let Stamp { up_ms, unix_ms } = self.clock.stamp(now_ms);
        Header {
            ver: VERSION,
            key_id: self.keys.current.id,
            node: self.id,
            boot: self.boot(),
            stream,
            seq,
            up_ms,
            unix_ms,
        }
    }
}

/// What may come in floods, and what is an entry.
const fn rank(body: &Up) -> Rank {
    match body {
        // Boots and crashes, too: a supply that comes and goes must not cost the record of entries.
        Up::Hello { .. }
        | Up::Crashed(_)
        | Up::SafeMode { .. }
        | Up::Contact { .. }
        | Up::SensorLost { .. }
        | Up::SensorBack { .. }
        | Up::LineFault { .. }
        | Up::Chattering { .. }
        | Up::Rested { .. }
        | Up::Refused { .. } => Rank::Common,
        _ => Rank::Entry,
    }
}

#[cfg(test)]
mod tests;
