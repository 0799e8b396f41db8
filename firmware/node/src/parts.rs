//! The parts on the board's I2C bus, built from the mount table.
//!
//! ```text
//! mount rows --> one instance a part and address --> step by step on the bus --> rows that want
//!                (read once, however many rows)      (never longer than 2 ms)    the output
//! ```
//! A board with an I2C bus and a mount table gets every part without code of its own: it calls
//! [`Parts::poll`] when the last call said so, hands what is told to its node, and carries out the
//! remedy that comes back. One call does one step of one part, the one that waits longest, so
//! contacts and network get their turn in between.
//!
//! Contacts and Modbus probes are not read here: they are on no I2C bus. Rows that cannot be read
//! (a part too many, an output that the part does not have) say [`NoData::NotSupported`] again and
//! again, so that a wrong table is seen on the controller and not only missing.

use crate::REPORT_MS;
use crate::bus::{Care, Remedy, Trouble};
use crate::drivers::adm1272::Adm1272;
use crate::drivers::ads1115::Ads1115;
use crate::drivers::bme280::Bme280;
use crate::drivers::lis3dh::Lis3dh;
use crate::drivers::max34451::Max34451;
use crate::drivers::sht3x::Sht3x;
use crate::drivers::sht4x::Sht4x;
use crate::drivers::sps30::Sps30;
use crate::drivers::tmp105::Tmp105;
use crate::drivers::tmp1075::Tmp1075;
use crate::drivers::{Driver, MAX_GIVEN, Next, Outputs, Reading};
use crate::line::{Line, LineState};
use crate::sensor::LOST_AFTER;
use core::mem::discriminant;
use embedded_hal::i2c::I2c;
use heapless::Vec;
use shared::NoData;
use shared::filter::Unchanged;
use shared::limit::MAX_CHANNELS;
use shared::mount::{Converter, Mount, Part};

/// Most parts on the bus of one node. A server room's corner has fewer than this; each takes 112
/// bytes of RAM.
pub const MAX_PARTS: usize = 10;

/// The table of parts: `name = what is mounted, outputs, milliseconds between measurements, how it
/// is made`. A part is one line here and one file in `drivers`.
macro_rules! table {
    ($($driver:ident = $mounted:pat, $outputs:literal outputs, every $ms:literal ms, $new:expr;)+) => {
        /// A driver of any part of the table.
        #[derive(Debug)]
        enum Any {
            $($driver($driver)),+
        }

        impl Any {
            /// The driver of what is mounted, how many outputs it has, and its interval.
            fn of(mount: &Mount) -> Option<(Self, u8, u16)> {
                match (mount.part, mount.converter()) {
                    $($mounted => {
                        let new: fn(&Mount) -> $driver = $new;
                        Some((Self::$driver(new(mount)), $outputs, $ms))
                    })+
                    _ => None,
                }
            }

            fn step(
                &mut self,
                bus: &mut impl I2c,
                wanted: Outputs,
                give: &mut impl FnMut(u8, Reading),
            ) -> Result<Next, NoData> {
                match self {
                    $(Self::$driver(driver) => driver.step(bus, wanted, give)),+
                }
            }

            const fn stuck_after_ms(&self) -> Option<u32> {
                match self {
                    $(Self::$driver(_) => $driver::STUCK_AFTER_MS),+
                }
            }
        }
    };
}

table! {
    Tmp105   = (Part::Tmp105, _),   1 outputs, every 500 ms,   |mount| Tmp105::new(mount.at);
    Tmp1075  = (Part::Tmp1075, _),  1 outputs, every 500 ms,   |mount| Tmp1075::new(mount.at);
    Sht4x    = (Part::Sht4x, _),    2 outputs, every 1_000 ms, |mount| Sht4x::new(mount.at);
    Sht3x    = (Part::Sht3x, _),    2 outputs, every 1_000 ms, |mount| Sht3x::new(mount.at);
    Bme280   = (Part::Bme280, _),   3 outputs, every 1_000 ms, |mount| Bme280::new(mount.at);
    Lis3dh   = (Part::Lis3dh, _),   1 outputs, every 100 ms,   |mount| Lis3dh::new(mount.at, mount.param);
    Sps30    = (Part::Sps30, _),    4 outputs, every 2_000 ms, |mount| Sps30::new(mount.at);
    Ads1115  = (Part::LeakSpot | Part::LeakRope | Part::Voltage, Converter::Ads1115),
                                    4 outputs, every 500 ms,   |mount| Ads1115::new(mount.at);
    Max34451 = (Part::LeakSpot | Part::LeakRope | Part::Voltage, Converter::Max34451),
                                   16 outputs, every 500 ms,   |mount| Max34451::new(mount.at);
    Adm1272  = (Part::LeakSpot | Part::LeakRope | Part::Voltage, Converter::Adm1272),
                                    1 outputs, every 500 ms,   |mount| Adm1272::new(mount.at);
}

/// What is told of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// A measurement in thousandths of the unit, or why there is none.
    Value(Reading),
    /// The state of a supervised line, or why there is none.
    Line(Result<LineState, NoData>),
}

/// What a call of [`Parts::poll`] leaves to the board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Polled {
    /// When to call again.
    pub next_ms: u64,
    /// What is to be done about the bus before that.
    pub remedy: Option<Remedy>,
}

/// When a part that was measured at `ms` comes next. Parts of one period come together, and the
/// processor sleeps until then.
const fn turn_after(ms: u64, every_ms: u16) -> u64 {
    let every_ms = if every_ms == 0 { 1 } else { every_ms as u64 };
    (ms / every_ms + 1) * every_ms
}

/// A part on the bus.
#[derive(Debug)]
struct Instance {
    driver: Any,
    at: u8,
    wanted: Outputs,
    every_ms: u16,
    /// Failed measurements in a row that the bus or the power may be to blame for, and when they
    /// began.
    failed: u8,
    failed_since_ms: u64,
    /// When the running measurement was begun; `None` between two of them.
    begun_ms: Option<u64>,
    next_ms: u64,
    unchanged: Unchanged,
}

/// Where a row gets its value from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Instance(u8),
    /// The board's own converter.
    Board,
    /// Nothing: the table asks for what there is not.
    Nothing,
}

/// How a row takes its value.
#[derive(Debug)]
enum Take {
    AsItIs,
    /// Times so many thousandths.
    Divided(u16),
    Line(Line),
}

#[derive(Debug)]
struct Row {
    channel: u8,
    output: u8,
    source: Source,
    take: Take,
}

impl Row {
    fn tell(&mut self, reading: Reading, tell: &mut impl FnMut(u8, Heard)) {
        let heard = match (&mut self.take, reading) {
            (Take::AsItIs, reading) => Some(Heard::Value(reading)),
            (Take::Divided(thousandths), reading) => Some(Heard::Value(reading.and_then(|milli| {
                let milli = i64::from(milli) * i64::from(*thousandths) / 1_000;
                i32::try_from(milli).map_err(|_| NoData::Implausible)
            }))),
            (Take::Line(line), Ok(millivolts)) => line.feed(millivolts).map(|state| Heard::Line(Ok(state))),
            (Take::Line(_), Err(reason)) => Some(Heard::Line(Err(reason))),
        };
        if let Some(heard) = heard {
            tell(self.channel, heard);
        }
    }
}

/// The parts of a node.
#[derive(Debug)]
pub struct Parts {
    instances: Vec<Instance, MAX_PARTS>,
    rows: Vec<Row, MAX_CHANNELS>,
    care: Care,
    /// When a part was last measured well.
    well_ms: Option<u64>,
    refused_ms: u64,
}

impl Parts {
    /// The parts of a mount table, none of which was spoken to yet. `has_rail` as for
    /// [`Care::new`].
    #[inline(never)] // Its stack is for the start only, not for the task that polls.
    #[must_use]
    pub fn new(mounts: &[Option<Mount>], has_rail: bool) -> Self {
        let mut parts = Self {
            instances: Vec::new(),
            rows: Vec::new(),
            care: Care::new(has_rail),
            well_ms: None,
            refused_ms: 0,
        };
        for (channel, mount) in (0..).zip(mounts.iter().take(MAX_CHANNELS)) {
            let Some(mount) = mount else { continue };
            if matches!(mount.part, Part::Contact | Part::ModbusProbe) {
                continue;
            }
            let take = match mount.part {
                Part::LeakSpot | Part::LeakRope => Take::Line(Line::new(mount.param)),
                Part::Voltage if mount.param != 0 => Take::Divided(mount.param),
                _ => Take::AsItIs,
            };
            let row = Row {
                channel,
                output: mount.output,
                source: parts.source(mount),
                take,
            };
            // There are as many rows as channels.
            let _ = parts.rows.push(row);
        }
        parts
    }

    /// Parts on the bus.
    #[must_use]
    pub fn count(&self) -> usize {
        self.instances.len()
    }

    fn source(&mut self, mount: &Mount) -> Source {
        if mount.quantity().is_none() {
            return Source::Nothing;
        }
        let Some((driver, outputs, every_ms)) = Any::of(mount) else {
            return if mount.converter() == Converter::Board {
                Source::Board
            } else {
                Source::Nothing
            };
        };
        if mount.output >= outputs {
            return Source::Nothing;
        }
        let known = self.instances.iter().position(|instance| {
            instance.at == mount.at && discriminant(&instance.driver) == discriminant(&driver)
        });
        let index = known.unwrap_or(self.instances.len());
        if known.is_none() {
            let instance = Instance {
                driver,
                at: mount.at,
                wanted: 0,
                every_ms,
                failed: 0,
                failed_since_ms: 0,
                begun_ms: None,
                next_ms: 0,
                unchanged: Unchanged::new(),
            };
            if self.instances.push(instance).is_err() {
                return Source::Nothing;
            }
        }
        self.instances[index].wanted |= 1 << mount.output;
        Source::Instance(index as u8)
    }

    /// Does the next step, if one is due, and tells what came of it. `may_cut` is false while the
    /// power of the sensors must stay.
    pub fn poll(
        &mut self,
        bus: &mut impl I2c,
        may_cut: bool,
        now_ms: u64,
        tell: &mut impl FnMut(u8, Heard),
    ) -> Polled {
        self.refuse(now_ms, tell);
        if self.care.quiet_until().is_none_or(|until_ms| now_ms >= until_ms) {
            let instances = self.instances.iter().enumerate();
            let longest = instances.min_by_key(|(_, instance)| instance.next_ms);
            if let Some((index, instance)) = longest
                && now_ms >= instance.next_ms
            {
                self.step(index, bus, now_ms, tell);
            }
        }
        let remedy = self.care.next(self.trouble(), may_cut, now_ms);
        Polled {
            remedy,
            next_ms: self.next_ms(now_ms),
        }
    }

    /// Feeds a channel of the board's own converter, in millivolts.
    pub fn board_input(&mut self, output: u8, reading: Reading, tell: &mut impl FnMut(u8, Heard)) {
        self.tell(Source::Board, output, reading, tell);
    }

    fn trouble(&self) -> Trouble {
        let failing = self
            .instances
            .iter()
            .filter(|instance| instance.failed >= LOST_AFTER);
        let Some(last) = failing.map(|instance| instance.failed_since_ms).max() else {
            return Trouble::None;
        };
        if self.well_ms.is_some_and(|well_ms| well_ms > last) {
            Trouble::Part
        } else {
            Trouble::Bus
        }
    }

    fn next_ms(&self, now_ms: u64) -> u64 {
        let quiet_until = self.care.quiet_until().unwrap_or(0);
        let instances = self
            .instances
            .iter()
            .map(|instance| instance.next_ms.max(quiet_until));
        let refused = self.rows.iter().any(|row| row.source == Source::Nothing);
        instances
            .chain(self.care.next_ms())
            .chain(refused.then_some(self.refused_ms))
            .fold(now_ms + REPORT_MS, u64::min)
    }

    fn refuse(&mut self, now_ms: u64, tell: &mut impl FnMut(u8, Heard)) {
        if now_ms >= self.refused_ms {
            self.refused_ms = now_ms + REPORT_MS;
            for row in self.rows.iter_mut().filter(|row| row.source == Source::Nothing) {
                row.tell(Err(NoData::NotSupported), tell);
            }
        }
    }

    fn step(&mut self, index: usize, bus: &mut impl I2c, now_ms: u64, tell: &mut impl FnMut(u8, Heard)) {
        let instance = &mut self.instances[index];
        let begun_ms = *instance.begun_ms.get_or_insert(now_ms);
        let mut given: Vec<(u8, Reading), MAX_GIVEN> = Vec::new();
        let stepped = instance
            .driver
            .step(bus, instance.wanted, &mut |output, reading| {
                // Checked with every driver's tests.
                let _ = given.push((output, reading));
            });
        match stepped {
            Ok(Next::After(ms)) => instance.next_ms = now_ms + u64::from(ms),
            Ok(Next::Done) => {
                instance.begun_ms = None;
                instance.next_ms = turn_after(begun_ms, instance.every_ms).max(now_ms + 1);
                self.well_ms = Some(now_ms);
                let stuck = !given.is_empty()
                    && instance.driver.stuck_after_ms().is_some_and(|after_ms| {
                        instance.unchanged.feed(fingerprint(&given), now_ms) >= u64::from(after_ms)
                    });
                if !stuck {
                    instance.failed = 0;
                } else if instance.failed < LOST_AFTER {
                    instance.failed = LOST_AFTER;
                    // Its bytes came well: it is not the bus.
                    instance.failed_since_ms = now_ms.saturating_sub(1);
                }
                if stuck {
                    for (_, reading) in &mut given {
                        *reading = Err(NoData::Stuck);
                    }
                }
            }
            Err(reason) => {
                instance.begun_ms = None;
                instance.next_ms = now_ms + u64::from(instance.every_ms);
                if blames_the_bus(reason) {
                    if instance.failed == 0 {
                        instance.failed_since_ms = now_ms;
                    }
                    instance.failed = instance.failed.saturating_add(1);
                }
                let source = Source::Instance(index as u8);
                for row in self.rows.iter_mut().filter(|row| row.source == source) {
                    row.tell(Err(reason), tell);
                }
                return;
            }
        }
        for (output, reading) in given {
            self.tell(Source::Instance(index as u8), output, reading, tell);
        }
    }

    fn tell(&mut self, source: Source, output: u8, reading: Reading, tell: &mut impl FnMut(u8, Heard)) {
        for row in &mut self.rows {
            if row.source == source && row.output == output {
                row.tell(reading, tell);
            }
        }
    }
}

/// True when clocks or a power cycle may help.
const fn blames_the_bus(reason: NoData) -> bool {
    !matches!(
        reason,
        NoData::DeviceError | NoData::Implausible | NoData::Sentinel | NoData::NotSupported
    )
}

/// Thirty-two bits that differ when a value does (FNV-1a, a word at a time).
fn fingerprint(given: &[(u8, Reading)]) -> u32 {
    given.iter().fold(0x811c_9dc5, |hash, (_, reading)| {
        (hash ^ reading.unwrap_or(i32::MIN) as u32).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests;
