//! PN532 contactless reader (NXP, user manual UM0701-02 rev. 02) on a serial line: frames and bodies.
//!
//! ```text
//! command  00 00 FF LEN LCS D4 code ... DCS 00      LEN counts D4 and what follows; LEN + LCS = 0
//! answer   00 00 FF LEN LCS D5 code+1 ... DCS 00    D5 + ... + DCS = 0                   (6.2.1.1)
//! extended 00 00 FF FF FF LENM LENL LCS D5 ...      understood when short enough         (6.2.1.2)
//! ACK      00 00 FF 00 FF 00    from the part: command understood; from us: abort        (6.2.1.3)
//! NACK     00 00 FF FF 00 00    from us: send the last answer again                      (6.2.1.4)
//! error    00 00 FF 01 FF 7F 81 00    the command was not acceptable                     (6.2.1.5)
//! wake-up  55 55 00 ...         before the first command after a reset                   (7.2.11)
//! ```
//! The line is 115 200 baud, 8N1, the part's own choice after a reset. This file is only about
//! bytes: [`encode`] writes a command, [`Receiver`] finds frames in whatever arrives and
//! [`targets`] reads what a poll found. When to send what is decided in [`crate::reader`].
//!
//! Every byte may be garbage. A frame is believed when its length, both checksums and its first
//! byte are right; otherwise only the start code is dropped and the search goes on behind it,
//! so that a true frame inside a false one is found. Nothing here waits, allocates or panics.

use heapless::Vec;

/// Longest body (first byte, code and parameters) that is understood. Two Type A cards with
/// triple-size UID take 2 + 1 + 2 × 15 = 33 bytes, two FeliCa cards with system code
/// 2 + 1 + 2 × 21 = 45; answers to select are switched off.
pub const MAX_BODY: usize = 64;
/// Longest frame with the wake-up before it.
pub const MAX_TRANSMIT: usize = WAKE_UP.len() + 3 + 2 + MAX_COMMAND + 2 + 1;
const _: () = assert!(ABORT.len() <= WAKE_UP.len());
/// Longest command: D4, code and parameters.
const MAX_COMMAND: usize = 12;
/// Start code of an extended frame to its body.
const EXTENDED_HEAD: usize = 7;
/// Bytes kept while a frame is incomplete: the longest is an extended one.
const BUFFER: usize = EXTENDED_HEAD + MAX_BODY + 1;

/// Fewest bytes of a card in an answer, its number left out: Type A with four bytes.
const MIN_TARGET: usize = 8;

/// Host to PN532.
const TO_PART: u8 = 0xd4;
/// PN532 to host.
const FROM_PART: u8 = 0xd5;
/// The only byte of an error frame.
const NOT_ACCEPTABLE: u8 = 0x7f;

/// Two edges on the line end the power-down or low-battery mode; the zeros give the oscillator
/// the time it needs (16 bytes at 115 200 baud are 1.4 ms).
const WAKE_UP: [u8; 16] = [0x55, 0x55, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Sent by us it aborts the command under way.
pub const ABORT: [u8; 6] = [0x00, 0x00, 0xff, 0x00, 0xff, 0x00];
/// Asks for the last answer again.
pub const AGAIN: [u8; 6] = [0x00, 0x00, 0xff, 0xff, 0x00, 0x00];

/// Thresholds of the antenna test (register 610Ch): detection on, 25 mA to 150 mA. The bits of a
/// verdict are 7 (too little current: antenna open) and 6 (too much: shorted).
const ANTENNA_LIMITS: u8 = 0b0010_1111;

/// How the part looks for cards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Technology {
    /// ISO 14443-3 Type A at 106 kbit/s.
    TypeA,
    /// FeliCa at 212 kbit/s.
    Felica212,
    /// FeliCa at 424 kbit/s.
    Felica424,
}

/// What we say to the part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// SAMConfiguration, normal mode (7.2.10). The first command after power-on: until then the
    /// part is in its low-battery mode.
    Configure,
    /// GetFirmwareVersion (7.2.2).
    Identify,
    /// SetParameters: no automatic answer to select (7.2.9), which costs time and tells us nothing.
    Parameters,
    /// RFConfiguration item 5: two tries for a card, then an answer "nobody" (7.3.1). The value
    /// after power-on is "try for ever".
    Tries,
    /// The same, for ever: then the part keeps silent until a card comes or it is told to stop.
    Endless,
    /// RFConfiguration item 1: field off, so that a selected card starts anew.
    FieldOff,
    /// InListPassiveTarget, up to two cards (7.3.5).
    Look(Technology),
    /// The same for one card, with [`Command::Endless`] tries. One: for a second card the part halts the
    /// first, which then is silent until the field was off; one that was merely selected is ready again
    /// at the next try (ISO 14443-3, 6.3.3).
    Wait(Technology),
    /// GetGeneralStatus (7.2.3).
    Status,
    /// Diagnose 7, antenna continuity (7.2.1).
    Antenna,
}

impl Command {
    /// Code and parameters.
    const fn body(self) -> &'static [u8] {
        match self {
            // Time-out 1 s (without meaning in normal mode), P70 used as interrupt line.
            Self::Configure => &[0x14, 0x01, 0x14, 0x01],
            Self::Identify => &[0x02],
            Self::Parameters => &[0x12, 0x00],
            Self::Tries => &[0x32, 0x05, 0xff, 0x01, 0x01],
            Self::Endless => &[0x32, 0x05, 0xff, 0x01, 0xff],
            Self::FieldOff => &[0x32, 0x01, 0x00],
            Self::Look(Technology::TypeA) => &[0x4a, 0x02, 0x00],
            // The polling request (JIS X 6319-4): any system code, no request, two time slots, so
            // that two cards do not always answer at once.
            Self::Look(Technology::Felica212) => &[0x4a, 0x02, 0x01, 0x00, 0xff, 0xff, 0x00, 0x01],
            Self::Look(Technology::Felica424) => &[0x4a, 0x02, 0x02, 0x00, 0xff, 0xff, 0x00, 0x01],
            Self::Wait(Technology::TypeA) => &[0x4a, 0x01, 0x00],
            Self::Wait(Technology::Felica212) => &[0x4a, 0x01, 0x01, 0x00, 0xff, 0xff, 0x00, 0x01],
            Self::Wait(Technology::Felica424) => &[0x4a, 0x01, 0x02, 0x00, 0xff, 0xff, 0x00, 0x01],
            Self::Status => &[0x04],
            Self::Antenna => &[0x00, 0x07, ANTENNA_LIMITS],
        }
    }

    /// The code of its answer.
    #[must_use]
    pub const fn answer(self) -> u8 {
        self.body()[0] + 1
    }
}

/// A command as it goes out.
pub type Transmit = Vec<u8, MAX_TRANSMIT>;

/// What goes before a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// Nothing: the last command is answered.
    Nothing,
    /// The wake-up: the part may be asleep.
    WakeUp,
    /// The abort: the part may still wait for a card.
    Abort,
}

/// The frame of a command, with what goes before it.
#[must_use]
pub fn encode(command: Command, before: Before) -> Transmit {
    let body = command.body();
    // Every body is a constant of at most MAX_COMMAND - 1 bytes; the test writes each of them.
    let len = body.len() as u8 + 1;
    let sum = body.iter().fold(TO_PART, |sum, byte| sum.wrapping_add(*byte));
    let mut frame = Transmit::new();
    let parts: [&[u8]; 5] = [
        match before {
            Before::Nothing => &[],
            Before::WakeUp => &WAKE_UP,
            Before::Abort => &ABORT,
        },
        &[0x00, 0x00, 0xff, len, len.wrapping_neg()],
        &[TO_PART],
        body,
        &[sum.wrapping_neg(), 0x00],
    ];
    for part in parts {
        let _ = frame.extend_from_slice(part);
    }
    frame
}

/// A frame that has arrived.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard<'a> {
    /// The part has understood the command.
    Ack,
    /// The part wants something again; it never should.
    Nack,
    /// The command was not acceptable.
    Error,
    /// An answer.
    Answer {
        /// Code of the command plus one.
        code: u8,
        /// What follows the code.
        data: &'a [u8],
    },
}

/// What stands at the front of the received bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Front {
    /// Too short to tell.
    Incomplete,
    /// So many bytes belong to no frame, and none of them was worth counting (zeros).
    Idle(usize),
    /// So many bytes are noise or the start of a damaged frame.
    Garbage(usize),
    /// A frame without a body, so many bytes long.
    Short(Short, usize),
    /// A body of an answer from `.0` to `.1`; the frame ends before `.2`.
    Answer(usize, usize, usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Short {
    Ack,
    Nack,
    Error,
}

/// Bytes of the start code, dropped when what follows is not a frame.
const START: usize = 2;

fn front(bytes: &[u8]) -> Front {
    match bytes {
        [] | [0x00] | [0x00, 0xff] | [0x00, 0xff, _] => Front::Incomplete,
        [0x00, 0x00, ..] => Front::Idle(1),
        [0x00, 0xff, 0x00, 0xff, ..] => Front::Short(Short::Ack, 4),
        [0x00, 0xff, 0xff, 0x00, ..] => Front::Short(Short::Nack, 4),
        [0x00, 0xff, 0xff, 0xff, rest @ ..] => match rest {
            [high, low, check, ..] if high.wrapping_add(*low).wrapping_add(*check) == 0 => {
                body(bytes, EXTENDED_HEAD, usize::from(*high) << 8 | usize::from(*low))
            }
            [_, _, _, ..] => Front::Garbage(START),
            _ => Front::Incomplete,
        },
        [0x00, 0xff, len, check, ..] if len.wrapping_add(*check) == 0 => body(bytes, 4, usize::from(*len)),
        [0x00, 0xff, ..] => Front::Garbage(START),
        _ => Front::Garbage(
            bytes
                .iter()
                .position(|&byte| byte == 0)
                .unwrap_or(bytes.len())
                .max(1),
        ),
    }
}

fn body(bytes: &[u8], at: usize, len: usize) -> Front {
    if len == 0 || len > MAX_BODY {
        return Front::Garbage(START);
    }
    let end = at + len + 1;
    let Some(checked) = bytes.get(at..end) else {
        return Front::Incomplete;
    };
    if checked.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)) != 0 {
        return Front::Garbage(START);
    }
    match checked {
        [FROM_PART, _, .., _] if len >= 2 => Front::Answer(at + 1, end - 1, end),
        [NOT_ACCEPTABLE, _] => Front::Short(Short::Error, end),
        _ => Front::Garbage(START),
    }
}

/// Finds frames in received bytes.
#[derive(Debug, Default)]
pub struct Receiver {
    bytes: Vec<u8, BUFFER>,
    /// Bytes at the front that were handed out with the last frame.
    used: usize,
    /// The last thing in this exchange was garbage, and is counted.
    noisy: bool,
    garbage: u32,
}

impl Receiver {
    /// Nothing received.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            used: 0,
            noisy: false,
            garbage: 0,
        }
    }

    /// Stretches of damaged frames or noise so far.
    #[must_use]
    pub const fn garbage(&self) -> u32 {
        self.garbage
    }

    /// Counts something that was a frame but made no sense.
    pub const fn count(&mut self) {
        self.garbage = self.garbage.saturating_add(1);
    }

    /// Forgets what has arrived: a new exchange begins.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.used = 0;
        self.noisy = false;
    }

    /// True unless a frame has begun.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.iter().skip(self.used).all(|&byte| byte == 0)
    }

    /// Takes bytes from the front of `input` until a frame is complete. `None`: all are taken.
    pub fn read(&mut self, input: &mut &[u8]) -> Option<Heard<'_>> {
        let (short, start, end) = loop {
            self.drop_front(self.used);
            self.used = 0;
            match front(&self.bytes) {
                Front::Incomplete => {
                    let (&byte, rest) = input.split_first()?;
                    *input = rest;
                    if self.bytes.push(byte).is_err() {
                        // Cannot happen: the longest frame fits. Never stop for it, though.
                        self.clear();
                    }
                }
                Front::Idle(count) => self.used = count,
                Front::Garbage(count) => {
                    if !self.noisy {
                        self.count();
                    }
                    self.noisy = true;
                    self.used = count;
                }
                Front::Short(short, used) => {
                    self.used = used;
                    break (Some(short), 0, 0);
                }
                Front::Answer(start, end, used) => {
                    self.used = used;
                    break (None, start, end);
                }
            }
        };
        self.noisy = false;
        Some(match short {
            Some(Short::Ack) => Heard::Ack,
            Some(Short::Nack) => Heard::Nack,
            Some(Short::Error) => Heard::Error,
            None => {
                let (code, data) = self.bytes.get(start..end)?.split_first()?;
                Heard::Answer { code: *code, data }
            }
        })
    }

    fn drop_front(&mut self, count: usize) {
        let count = count.min(self.bytes.len());
        self.bytes.rotate_left(count);
        self.bytes.truncate(self.bytes.len() - count);
    }
}

/// The number by which a card names itself: 4, 7 or 10 bytes of Type A, 8 of FeliCa.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Uid {
    len: u8,
    bytes: [u8; Self::MAX],
}

impl Uid {
    /// Length of a triple-size UID (ISO 14443-3).
    pub const MAX: usize = shared::limit::MAX_UID;

    /// `None` unless 1 to 10 bytes.
    #[must_use]
    pub fn new(uid: &[u8]) -> Option<Self> {
        let mut bytes = [0; Self::MAX];
        bytes.get_mut(..uid.len())?.copy_from_slice(uid);
        (!uid.is_empty()).then_some(Self {
            len: uid.len() as u8,
            bytes,
        })
    }

    /// Its bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl core::fmt::Debug for Uid {
    /// Never the number: who can read a card's number can make a copy of the card.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Uid({} bytes)", self.len)
    }
}

/// Whom a poll found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// No card.
    Nobody,
    /// Exactly one.
    One(Target),
    /// Two. Which of them is meant, nobody can say.
    Several,
}

/// One card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Its number.
    pub uid: Uid,
    /// SENS_RES (ATQA) and SEL_RES (SAK) of a Type A card; `None` for FeliCa.
    pub select: Option<(u16, u8)>,
}

impl Target {
    /// True when the number is drawn anew for every presentation (telephones and some cards
    /// protect their owner so): four bytes, the first 08h (ISO 14443-3, 6.5.4).
    #[must_use]
    pub fn is_random(&self) -> bool {
        self.select.is_some() && matches!(self.uid.as_slice(), [0x08, _, _, _])
    }
}

/// Reads the answer to [`Command::Look`]; `None` when it is malformed. Strict in every length: an
/// eight-bit sum lets one in 256 doubly damaged frames through.
#[must_use]
pub fn targets(technology: Technology, data: &[u8]) -> Option<Seen> {
    match (data, technology) {
        ([0], _) => Some(Seen::Nobody),
        ([1, 1, target @ ..], Technology::TypeA) => {
            let [atqa_high, atqa_low, sak, len @ (4 | 7 | 10), rest @ ..] = target else {
                return None;
            };
            let (uid, rest) = rest.split_at_checked(usize::from(*len))?;
            // An answer to select, from a part that was not told to leave it: its length with itself.
            if rest.first().is_some_and(|len| usize::from(*len) != rest.len()) {
                return None;
            }
            Some(Seen::One(Target {
                uid: Uid::new(uid)?,
                select: Some((u16::from_be_bytes([*atqa_high, *atqa_low]), *sak)),
            }))
        }
        ([1, 1, target @ ..], Technology::Felica212 | Technology::Felica424) => {
            // POL_RES: its length with itself, response code 01h, IDm, PMm and, if asked, a system code.
            let [len @ (0x12 | 0x14), 0x01, rest @ ..] = target else {
                return None;
            };
            if usize::from(*len) != target.len() {
                return None;
            }
            Some(Seen::One(Target {
                uid: Uid::new(rest.get(..8)?)?,
                select: None,
            }))
        }
        ([2, 1, rest @ ..], _) if rest.len() >= 2 * MIN_TARGET => Some(Seen::Several),
        _ => None,
    }
}

/// True when the answer to [`Command::Identify`] is a PN532's.
#[must_use]
pub const fn is_pn532(data: &[u8]) -> bool {
    matches!(data, [0x32, _version, _revision, _support])
}

/// True when the answer to [`Command::Antenna`] is good: 00h, or our own limits echoed without
/// a verdict. Measured by integrators: parts fed by less than 5 V may fail it now and then with a
/// healthy antenna, so one bad answer proves nothing.
#[must_use]
pub const fn antenna_is_well(data: &[u8]) -> bool {
    matches!(data, [verdict] if *verdict & !ANTENNA_LIMITS == 0)
}

/// True unless the answer to [`Command::Status`] names overheating (0Dh) or over-current (2Dh)
/// of the transmitter (7.1, error list); other errors are those of the last card.
#[must_use]
pub const fn transmitter_is_well(data: &[u8]) -> bool {
    !matches!(data, [0x0d | 0x2d, ..])
}

#[cfg(test)]
mod tests;
