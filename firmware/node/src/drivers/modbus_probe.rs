//! Temperature and humidity probes on RS-485: a Modbus-RTU master that does no I/O.
//!
//! ```text
//!        +-- unit due, line quiet: question --> Asked --answer proven--> tell, next unit
//! Idle --+                                        |
//!   ^                                             +-- ANSWER_MS over, or the unit's own error:
//!   +---- up to ATTEMPTS questions, then tell why there is none ---------+
//! ```
//! The board hands in the bytes of the line and sends what it is given ([`Probe::poll`],
//! [`Probe::feed`]). One question asks for both registers of a unit, so an answer that comes too
//! late can only be an older answer to the same question, never the value of something else; unit,
//! function, length and CRC must fit (Modbus over serial line V1.02, section 2.5.1; application
//! protocol V1.1b3, sections 6.3, 6.4 and 7).
//!
//! Whatever else is on the line is dropped a byte at a time and counted: glitches of a driver that
//! turns around, our own question as an echo, a unit that babbles. Own code, because the master of
//! `rmodbus` needs the frame cut out of the stream before, which is most of the work.

use super::Reading;
use heapless::Vec;
use shared::NoData;
use shared::mount::{Mount, Part};

/// Most units on the line of one node.
pub const MAX_UNITS: usize = 4;
/// Most rows of the mount table that are read from the line.
pub const MAX_ROWS: usize = 2 * MAX_UNITS;
/// Bytes of a question.
pub const QUESTION_LEN: usize = 8;
/// Time for an answer, in milliseconds: its 9 bytes take 10 ms at 9600 baud, probes think for up
/// to 100.
pub const ANSWER_MS: u64 = 200;
/// Questions before a unit counts as mute.
pub const ATTEMPTS: u8 = 3;
/// Silence before a question, in milliseconds: 3.5 characters at 9600 baud are 4, and a probe that
/// has just answered needs some to listen again.
pub const QUIET_MS: u64 = 20;
/// Time between two measurements of a unit, in milliseconds.
pub const POLL_MS: u64 = 1_000;

/// Bytes of an answer: unit, function, count, two words, CRC.
const ANSWER_LEN: usize = 9;
/// Bytes of a refusal: unit, function with the top bit, reason, CRC.
const REFUSAL_LEN: usize = 5;
/// Bytes of two words.
const COUNT: u8 = 4;
const REFUSED: u8 = 0x80;

const READ_HOLDING: u8 = 3;
const READ_INPUT: u8 = 4;

/// Output of the temperature, in thousandths of a degree Celsius.
pub const TEMPERATURE: u8 = 0;
/// Output of the relative humidity, in thousandths of a percent.
pub const HUMIDITY: u8 = 1;

/// Where a probe keeps its two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// True for input registers (function 4), false for holding registers (function 3).
    pub input: bool,
    /// The first of the two registers.
    pub start: u16,
    /// True when the humidity comes first.
    pub humidity_first: bool,
    /// Thousandths that one step means: 100 for tenths, 10 for hundredths.
    pub step_milli: u8,
}

/// Bit of [`Mount::param`]: the layout is spelled out in the other bits.
pub const OWN_LAYOUT: u16 = 1 << 15;
/// Bit of a spelled-out layout: input registers instead of holding registers.
pub const OWN_INPUT: u16 = 1 << 14;
/// Bit of a spelled-out layout: humidity comes first.
pub const OWN_HUMIDITY_FIRST: u16 = 1 << 13;
/// Bit of a spelled-out layout: hundredths instead of tenths.
pub const OWN_HUNDREDTHS: u16 = 1 << 12;
/// Bits of a spelled-out layout: the first register.
pub const OWN_START: u16 = 0x0fff;

impl Layout {
    /// The layout that the parameter of a mount picks: 0 for input registers 1 and 2 in tenths,
    /// temperature first (XY-MD02 and the many with its SHT20 board); 1 for holding registers 0 and 1
    /// in tenths, humidity first (RS-WS-N01 and its kin); [`OWN_LAYOUT`] for any other, spelled out.
    /// `None` for a number without meaning.
    #[must_use]
    pub const fn of(param: u16) -> Option<Self> {
        match param {
            0 => Some(Self {
                input: true,
                start: 1,
                humidity_first: false,
                step_milli: 100,
            }),
            1 => Some(Self {
                input: false,
                start: 0,
                humidity_first: true,
                step_milli: 100,
            }),
            own if own & OWN_LAYOUT != 0 => Some(Self {
                input: own & OWN_INPUT != 0,
                start: own & OWN_START,
                humidity_first: own & OWN_HUMIDITY_FIRST != 0,
                step_milli: if own & OWN_HUNDREDTHS != 0 { 10 } else { 100 },
            }),
            _ => None,
        }
    }

    const fn function(self) -> u8 {
        if self.input { READ_INPUT } else { READ_HOLDING }
    }

    /// Temperature and humidity of an answer's two words.
    fn readings(self, words: [u8; 4]) -> [Reading; 2] {
        let [a, b, c, d] = words;
        let (first, second) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let (temperature, humidity) = if self.humidity_first {
            (second, first)
        } else {
            (first, second)
        };
        let step = i32::from(self.step_milli);
        // What probes send while their sensor is unplugged.
        let missing = |word| matches!(word, 0x7fff | 0x8000);
        [
            if missing(temperature) {
                Err(NoData::Sentinel)
            } else {
                Ok(i32::from(temperature.cast_signed()) * step)
            },
            if missing(humidity) || humidity == 0xffff {
                Err(NoData::Sentinel)
            } else {
                Ok(i32::from(humidity) * step)
            },
        ]
    }
}

/// What happened on the line since power-on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Questions sent.
    pub asked: u32,
    /// Answers that were proven.
    pub answered: u32,
    /// Questions after which nothing at all came.
    pub mute: u32,
    /// Questions after which something came, but no proven answer.
    pub corrupt: u32,
    /// Refusals of a unit.
    pub refused: u32,
    /// Bytes that belonged to no proven answer.
    pub dropped: u32,
}

#[derive(Debug)]
struct Unit {
    id: u8,
    /// `None` when the table names a layout that there is not.
    layout: Option<Layout>,
    next_ms: u64,
}

#[derive(Debug)]
struct Row {
    channel: u8,
    /// `None` when there was no room for its unit.
    unit: Option<u8>,
    output: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing is asked; the line is left alone until then.
    Idle { from_ms: u64 },
    /// This unit was asked; its answer is waited for until then.
    Asked { until_ms: u64 },
}

/// The probes of a node.
#[derive(Debug)]
pub struct Probe {
    units: Vec<Unit, MAX_UNITS>,
    rows: Vec<Row, MAX_ROWS>,
    state: State,
    /// The unit that is being asked.
    unit: u8,
    /// Questions to it that failed.
    failed: u8,
    /// Whether anything came since the question.
    heard: bool,
    buffer: Vec<u8, ANSWER_LEN>,
    counters: Counters,
}

impl Probe {
    /// The probes of a mount table. Rows beyond [`MAX_ROWS`] are never told of.
    #[must_use]
    pub fn new(mounts: &[Option<Mount>]) -> Self {
        let mut probe = Self {
            units: Vec::new(),
            rows: Vec::new(),
            state: State::Idle { from_ms: 0 },
            unit: 0,
            failed: 0,
            heard: false,
            buffer: Vec::new(),
            counters: Counters::default(),
        };
        for (channel, mount) in (0..).zip(mounts) {
            let Some(mount) = mount.filter(|mount| mount.part == Part::ModbusProbe) else {
                continue;
            };
            let known = probe.units.iter().position(|unit| unit.id == mount.at);
            let index = known.unwrap_or(probe.units.len());
            let room = known.is_some()
                || probe
                    .units
                    .push(Unit {
                        id: mount.at,
                        layout: Layout::of(mount.param),
                        next_ms: 0,
                    })
                    .is_ok();
            let row = Row {
                channel,
                unit: room.then_some(index as u8),
                output: mount.output,
            };
            if probe.rows.push(row).is_err() {
                break;
            }
        }
        probe
    }

    /// What happened on the line.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// When to call [`Self::poll`] though nothing is heard; `None` when no probe is mounted.
    #[must_use]
    pub fn next_ms(&self) -> Option<u64> {
        let due = self.units.iter().map(|unit| unit.next_ms).min()?;
        Some(match self.state {
            State::Asked { until_ms } => until_ms,
            // A question that failed is asked again.
            State::Idle { from_ms } if self.failed > 0 => from_ms,
            State::Idle { from_ms } => due.max(from_ms),
        })
    }

    /// Does what is due; returns a question to send. `tell` gets channel and value.
    pub fn poll(&mut self, now_ms: u64, tell: &mut impl FnMut(u8, Reading)) -> Option<[u8; QUESTION_LEN]> {
        if let State::Asked { until_ms } = self.state
            && now_ms >= until_ms
        {
            let reason = if self.heard {
                self.counters.corrupt = self.counters.corrupt.saturating_add(1);
                NoData::Corrupt
            } else {
                self.counters.mute = self.counters.mute.saturating_add(1);
                NoData::Timeout
            };
            self.failed(reason, now_ms, tell);
        }
        match self.state {
            State::Idle { from_ms } if now_ms >= from_ms => self.ask(now_ms, tell),
            _ => None,
        }
    }

    /// Feeds bytes of the line.
    pub fn feed(&mut self, bytes: &[u8], now_ms: u64, tell: &mut impl FnMut(u8, Reading)) {
        for byte in bytes {
            if matches!(self.state, State::Idle { .. }) {
                self.counters.dropped = self.counters.dropped.saturating_add(1);
                continue;
            }
            self.heard = true;
            // There is room: a full buffer is an answer or loses its first byte.
            let _ = self.buffer.push(*byte);
            self.look(now_ms, tell);
        }
    }

    fn ask(&mut self, now_ms: u64, tell: &mut impl FnMut(u8, Reading)) -> Option<[u8; QUESTION_LEN]> {
        if self.failed == 0 {
            let due = self
                .units
                .iter_mut()
                .zip(0..)
                .min_by_key(|(unit, _)| unit.next_ms);
            let (unit, index) = due.filter(|(unit, _)| now_ms >= unit.next_ms)?;
            unit.next_ms = now_ms + POLL_MS;
            self.unit = index;
            self.refuse_rows_without_unit(index, tell);
        }
        let unit = self.units.get(usize::from(self.unit))?;
        let Some(layout) = unit.layout else {
            self.tell([Err(NoData::NotSupported); 2], tell);
            return None;
        };
        let [high, low] = layout.start.to_be_bytes();
        let mut question = [unit.id, layout.function(), high, low, 0, 2, 0, 0];
        let crc = crc(&question[..QUESTION_LEN - 2]);
        question[QUESTION_LEN - 2..].copy_from_slice(&crc.to_le_bytes());
        self.buffer.clear();
        self.heard = false;
        self.state = State::Asked {
            until_ms: now_ms + ANSWER_MS,
        };
        self.counters.asked = self.counters.asked.saturating_add(1);
        Some(question)
    }

    /// Looks for an answer at the beginning of the buffer, and moves the beginning on until one
    /// may still come.
    fn look(&mut self, now_ms: u64, tell: &mut impl FnMut(u8, Reading)) {
        let Some((id, layout)) = self
            .units
            .get(usize::from(self.unit))
            .and_then(|unit| Some((unit.id, unit.layout?)))
        else {
            return;
        };
        let function = layout.function();
        while !self.buffer.is_empty() {
            match *self.buffer.as_slice() {
                [a, b, c, ref words @ .., _, _]
                    if self.buffer.len() == ANSWER_LEN && [a, b, c] == [id, function, COUNT] =>
                {
                    if proven(&self.buffer)
                        && let Ok(words) = <[u8; 4]>::try_from(words)
                    {
                        self.counters.answered = self.counters.answered.saturating_add(1);
                        let readings = layout.readings(words);
                        self.finished(now_ms);
                        self.tell(readings, tell);
                        return;
                    }
                }
                [a, b, ..]
                    if self.buffer.len() == REFUSAL_LEN
                        && [a, b] == [id, function | REFUSED]
                        && proven(&self.buffer) =>
                {
                    self.counters.refused = self.counters.refused.saturating_add(1);
                    self.failed(NoData::DeviceError, now_ms, tell);
                    return;
                }
                // The beginning of an answer or a refusal.
                [a] if a == id => return,
                [a, b] if a == id && (b == function || b == function | REFUSED) => return,
                [a, b, c, ..] if [a, b, c] == [id, function, COUNT] => return,
                [a, b, ..] if [a, b] == [id, function | REFUSED] && self.buffer.len() < REFUSAL_LEN => {
                    return;
                }
                _ => {}
            }
            self.buffer.remove(0);
            self.counters.dropped = self.counters.dropped.saturating_add(1);
        }
    }

    fn finished(&mut self, now_ms: u64) {
        self.failed = 0;
        self.buffer.clear();
        self.state = State::Idle {
            from_ms: now_ms + QUIET_MS,
        };
    }

    fn failed(&mut self, reason: NoData, now_ms: u64, tell: &mut impl FnMut(u8, Reading)) {
        let failed = self.failed + 1;
        self.finished(now_ms);
        if failed < ATTEMPTS {
            self.failed = failed;
        } else {
            self.tell([Err(reason); 2], tell);
        }
    }

    /// Tells the rows of the unit that was asked.
    fn tell(&mut self, readings: [Reading; 2], tell: &mut impl FnMut(u8, Reading)) {
        for row in self.rows.iter().filter(|row| row.unit == Some(self.unit)) {
            let reading = readings.get(usize::from(row.output)).copied();
            tell(row.channel, reading.unwrap_or(Err(NoData::NotSupported)));
        }
    }

    /// Rows of a unit too many say so whenever the first unit has its turn.
    fn refuse_rows_without_unit(&self, index: u8, tell: &mut impl FnMut(u8, Reading)) {
        if index == 0 {
            for row in self.rows.iter().filter(|row| row.unit.is_none()) {
                tell(row.channel, Err(NoData::NotSupported));
            }
        }
    }
}

/// True when the last two bytes are the CRC of the others.
fn proven(frame: &[u8]) -> bool {
    // Over a frame and its own CRC, low byte first, the sum is zero.
    crc(frame) == 0
}

/// CRC-16 of Modbus: polynomial 0xa001, reflected, from 0xffff (serial line V1.02, section 6.2).
fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xffff, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| {
            if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0xa001 }
        })
    })
}

#[cfg(test)]
mod tests;
