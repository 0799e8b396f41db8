//! The node's end of its serial console: who it is, how it is, and its provisioning.
//!
//! ```text
//! bytes --> Console --> request --> Workbench (no block yet): begin, chunk, commit
//!                          |
//!                          +------> Node::answer (in service): ?, status, erase
//! ```
//! The protocol stands in [`shared::console`]. The board moves bytes, prints the [`Answer`] as a
//! line, and restarts when the workbench says that it is done.
//!
//! Chunks go straight into the memory, all but the first: that one, with the block's magic, is
//! written last and makes the block count. So a power cut at any byte leaves the node without a
//! block, as it was, and RAM holds 32 bytes instead of 512.
//!
//! Nothing that is typed here changes a node in service but `erase` with its number. No answer
//! holds a key. A line that is too long or no text is refused as a whole.

use crate::identity;
use crate::layout::BLOCK_AT;
use crate::memory::{Memory, MemoryFault, write_verified};
use crate::update::Firmware;
use core::fmt;
use heapless::{String, Vec};
use shared::console::{ANSWER, CHUNK_LEN, CHUNKS, MAX_LINE, REFUSAL, chunk_crc, refusal};
use shared::crc::crc32;
use shared::provision::{BLOCK_LEN, Provision, ProvisionError};
use shared::wire::{ClockState, Version};

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Who are you?
    Identify,
    /// How are you?
    Status,
    /// A block begins.
    Begin,
    /// A piece of it.
    Chunk {
        /// Its number.
        n: u8,
        /// Its bytes.
        bytes: [u8; CHUNK_LEN],
    },
    /// The block is complete.
    Commit {
        /// CRC-32 of the whole.
        crc: u32,
    },
    /// Erase everything.
    Erase {
        /// The node that is meant.
        node: u16,
    },
}

/// Keys come in chunks: those do not print.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identify => f.write_str("Identify"),
            Self::Status => f.write_str("Status"),
            Self::Begin => f.write_str("Begin"),
            Self::Chunk { n, .. } => write!(f, "Chunk({n}, ***)"),
            Self::Commit { .. } => f.write_str("Commit"),
            Self::Erase { node } => write!(f, "Erase({node})"),
        }
    }
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// The line is too long, or no text.
    Line,
    /// Not a request.
    Unknown,
    /// A number or CRC does not read or does not match.
    Damaged,
    /// Chunks are missing, or `begin`.
    Incomplete,
    /// The block is none that this node takes.
    Block(BlockProblem),
    /// There is a block already.
    InService,
    /// `erase` names another node.
    OtherNode,
    /// The memory does not keep what is written.
    Memory,
}

/// Why a complete block is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockProblem {
    /// It does not read.
    Unreadable(ProvisionError),
    /// It is for another board.
    OtherBoard,
}

impl Problem {
    /// The word for programs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Line => refusal::LINE,
            Self::Unknown => refusal::UNKNOWN,
            Self::Damaged => refusal::DAMAGED,
            Self::Incomplete => refusal::INCOMPLETE,
            Self::Block(_) => refusal::BLOCK,
            Self::InService => refusal::IN_SERVICE,
            Self::OtherNode => refusal::OTHER_NODE,
            Self::Memory => refusal::MEMORY,
        }
    }

    /// The text for people: what is wrong, and what to do.
    const fn text(self) -> &'static str {
        match self {
            Self::Line => "the line is too long or no text: send it again",
            Self::Unknown => "not a request here: ?, status, begin, chunk, commit, erase",
            Self::Damaged => "a number or checksum is wrong: send the line again",
            Self::Incomplete => "chunks are missing: send begin, all chunks, then commit",
            Self::Block(BlockProblem::Unreadable(ProvisionError::Blank | ProvisionError::Damaged)) => {
                "the block is no block: provision again"
            }
            Self::Block(BlockProblem::Unreadable(ProvisionError::NoBroker)) => {
                "the block names no broker: check the site's configuration"
            }
            Self::Block(BlockProblem::Unreadable(ProvisionError::Range)) => {
                "a number in the block is out of range: check the site's configuration"
            }
            Self::Block(BlockProblem::OtherBoard) => "the block is for another board: check the node's board",
            Self::InService => "this node has a block: erase it first, by its number",
            Self::OtherNode => "erase names another node than this one: ask it with ?",
            Self::Memory => "the memory does not keep what is written: check the EEPROM",
        }
    }
}

/// A request that was understood, or why none was.
pub type Request = Result<Command, Problem>;

/// Collects lines.
#[derive(Debug, Default)]
pub struct Console {
    line: Vec<u8, MAX_LINE>,
    /// The line is too long or holds what is no text.
    spoilt: bool,
    refused: u16,
}

impl Console {
    /// Nothing typed yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            line: Vec::new(),
            spoilt: false,
            refused: 0,
        }
    }

    /// Takes a byte; a request when it ends a line. Empty lines are nothing.
    pub fn feed(&mut self, byte: u8) -> Option<Request> {
        match byte {
            b'\r' | b'\n' => return self.end(),
            // A person's backspace.
            0x08 | 0x7f => drop(self.line.pop()),
            b' '..=b'~' => self.spoilt |= self.line.push(byte).is_err(),
            _ => self.spoilt = true,
        }
        None
    }

    /// Lines that were no request, since start.
    #[must_use]
    pub const fn refused(&self) -> u16 {
        self.refused
    }

    fn end(&mut self) -> Option<Request> {
        let spoilt = core::mem::take(&mut self.spoilt);
        let request = match (spoilt, core::str::from_utf8(&self.line).map(str::trim_ascii)) {
            (true, _) | (_, Err(_)) => Some(Err(Problem::Line)),
            (_, Ok("")) => None,
            (_, Ok(line)) => Some(parse(line)),
        };
        // It may have held a key.
        self.line.fill(0);
        self.line.clear();
        if matches!(request, Some(Err(_))) {
            self.refused = self.refused.saturating_add(1);
        }
        request
    }
}

fn parse(line: &str) -> Request {
    let mut words = line.split_ascii_whitespace();
    let word = words.next().ok_or(Problem::Unknown)?;
    let mut next = || words.next().ok_or(Problem::Damaged);
    let command = match word {
        "?" => Command::Identify,
        "status" => Command::Status,
        "begin" => Command::Begin,
        "chunk" => {
            let n = next()?.parse().map_err(|_| Problem::Damaged)?;
            let mut bytes = [0; CHUNK_LEN];
            read_hex(next()?, &mut bytes)?;
            if n >= CHUNKS || read_crc(next()?)? != chunk_crc(n, &bytes) {
                return Err(Problem::Damaged);
            }
            Command::Chunk { n, bytes }
        }
        "commit" => Command::Commit {
            crc: read_crc(next()?)?,
        },
        "erase" => Command::Erase {
            node: next()?.parse().map_err(|_| Problem::Damaged)?,
        },
        _ => return Err(Problem::Unknown),
    };
    if words.next().is_some() {
        return Err(Problem::Damaged);
    }
    Ok(command)
}

fn read_crc(text: &str) -> Result<u32, Problem> {
    let mut bytes = [0; 4];
    read_hex(text, &mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

fn read_hex(text: &str, into: &mut [u8]) -> Result<(), Problem> {
    if text.len() != 2 * into.len() {
        return Err(Problem::Damaged);
    }
    for (byte, digits) in into.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(digits[0])? << 4 | digit(digits[1])?;
    }
    Ok(())
}

const fn digit(letter: u8) -> Result<u8, Problem> {
    match letter {
        b'0'..=b'9' => Ok(letter - b'0'),
        b'a'..=b'f' => Ok(letter - b'a' + 10),
        _ => Err(Problem::Damaged),
    }
}

/// In what state a node says to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It has no block.
    Unprovisioned,
    /// It had one, and its memory has lost it.
    Damaged,
    /// It is in service.
    Running,
    /// It is in service, in safe mode.
    Safe,
    /// It is being erased.
    Erased,
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::Unprovisioned => "unprovisioned",
            Self::Damaged => "damaged",
            Self::Running => "running",
            Self::Safe => "safe",
            Self::Erased => "erased",
        }
    }
}

/// A node's number, key id and the fingerprint of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// Node id.
    pub node: u16,
    /// Number of its key.
    pub key_id: u8,
    /// Fingerprint of its key.
    pub fingerprint: String<16>,
}

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Boot number.
    pub boot: u32,
    /// Events not yet acknowledged.
    pub pending: usize,
    /// Events lost since boot.
    pub lost: u32,
    /// Downward frames refused since boot.
    pub refused: u32,
    /// Crashes in a row.
    pub crashes: u8,
    /// Where the time comes from.
    pub clock: ClockState,
    /// Version of the access list.
    pub list: u32,
}

/// What the node answers; prints as the line, without its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To `?`.
    Identity {
        /// The node, if it is one.
        who: Option<Who>,
        /// What runs.
        firmware: Version,
        /// How it stands.
        state: State,
    },
    /// To `status`.
    Status(Status),
    /// To `begin`.
    Ready,
    /// To `chunk`.
    Chunk(u8),
    /// To `commit`.
    Provisioned(Who),
    /// To `erase`.
    Erasing(u16),
    /// It is not done.
    Refused(Problem),
}

impl From<Problem> for Answer {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity { who, firmware, state } => match who {
                Some(who) => {
                    let Who {
                        node,
                        key_id,
                        fingerprint,
                    } = who;
                    write!(
                        f,
                        "{ANSWER}node {node} firmware {firmware} state {} ",
                        state.word()
                    )?;
                    write!(f, "key {key_id} fingerprint {fingerprint}")
                }
                None => write!(f, "{ANSWER}node none firmware {firmware} state {}", state.word()),
            },
            Self::Status(status) => {
                let clock = match status.clock {
                    ClockState::Unset => "unset",
                    ClockState::Rtc => "rtc",
                    ClockState::Controller => "controller",
                };
                let (boot, pending, lost) = (status.boot, status.pending, status.lost);
                let (refused, crashes, list) = (status.refused, status.crashes, status.list);
                write!(
                    f,
                    "{ANSWER}boot {boot} pending {pending} lost {lost} refused {refused} "
                )?;
                write!(f, "crashes {crashes} clock {clock} list {list}")
            }
            Self::Ready => write!(f, "{ANSWER}ready"),
            Self::Chunk(n) => write!(f, "{ANSWER}chunk {n}"),
            Self::Provisioned(who) => {
                write!(
                    f,
                    "{ANSWER}provisioned node {} fingerprint {}",
                    who.node, who.fingerprint
                )
            }
            Self::Erasing(node) => write!(f, "{ANSWER}erasing node {node}"),
            Self::Refused(problem) => write!(f, "{REFUSAL}{} {}", problem.word(), problem.text()),
        }
    }
}

/// A board that is no node yet, and takes a block.
#[derive(Debug)]
pub struct Workbench {
    about: Firmware,
    state: State,
    /// Bits of the chunks that are in; `None` before `begin`.
    have: Option<u16>,
    /// Held back until the end; not printed, as it holds a key.
    first: Held,
    done: bool,
}

struct Held([u8; CHUNK_LEN]);

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

const _: () = assert!(CHUNKS as u32 == u16::BITS);

impl Workbench {
    /// For a board whose memory holds no valid block, for this reason.
    #[must_use]
    pub const fn new(about: Firmware, why: ProvisionError) -> Self {
        Self {
            about,
            state: match why {
                ProvisionError::Blank => State::Unprovisioned,
                ProvisionError::Damaged | ProvisionError::NoBroker | ProvisionError::Range => State::Damaged,
            },
            have: None,
            first: Held([0; CHUNK_LEN]),
            done: false,
        }
    }

    /// True when the board is to restart, as a node.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.done
    }

    /// Does what is asked for.
    pub fn answer(&mut self, request: Request, memory: &mut impl Memory) -> Answer {
        match request {
            Ok(Command::Identify) => Answer::Identity {
                who: None,
                firmware: self.about.version,
                state: self.state,
            },
            Ok(Command::Status | Command::Erase { .. }) => Problem::OtherNode.into(),
            Ok(Command::Begin) => self.begin(memory).unwrap_or_else(Answer::Refused),
            Ok(Command::Chunk { n, bytes }) => self.chunk(n, &bytes, memory).unwrap_or_else(Answer::Refused),
            Ok(Command::Commit { crc }) => self.commit(crc, memory).unwrap_or_else(Answer::Refused),
            Err(problem) => problem.into(),
        }
    }

    fn begin(&mut self, memory: &mut impl Memory) -> Result<Answer, Problem> {
        if self.done || matches!(identity::provision(memory), Ok(Ok(_))) {
            return Err(Problem::InService);
        }
        // What rotted there must not become whole before its time.
        write_verified(memory, BLOCK_AT[0], &[0xff; CHUNK_LEN])?;
        self.have = Some(0);
        Ok(Answer::Ready)
    }

    fn chunk(&mut self, n: u8, bytes: &[u8; CHUNK_LEN], memory: &mut impl Memory) -> Result<Answer, Problem> {
        let have = self.have.as_mut().ok_or(Problem::Incomplete)?;
        if n == 0 {
            self.first = Held(*bytes);
        } else {
            write_verified(memory, BLOCK_AT[0] + u16::from(n) * CHUNK_LEN as u16, bytes)?;
        }
        *have |= 1 << n;
        Ok(Answer::Chunk(n))
    }

    fn commit(&mut self, crc: u32, memory: &mut impl Memory) -> Result<Answer, Problem> {
        if self.have != Some(u16::MAX) {
            return Err(Problem::Incomplete);
        }
        let mut block = [0; BLOCK_LEN];
        memory.read(BLOCK_AT[0], &mut block)?;
        block[..CHUNK_LEN].copy_from_slice(&self.first.0);
        if crc32(&block) != crc {
            return Err(Problem::Damaged);
        }
        let provision =
            Provision::decode(&block).map_err(|why| Problem::Block(BlockProblem::Unreadable(why)))?;
        if provision.board != 0 && provision.board != self.about.board.number() {
            return Err(Problem::Block(BlockProblem::OtherBoard));
        }
        write_verified(memory, BLOCK_AT[0], &self.first.0)?;
        self.first = Held([0; CHUNK_LEN]);
        self.have = None;
        self.done = true;
        Ok(Answer::Provisioned(Who {
            node: provision.node,
            key_id: provision.key_id,
            fingerprint: provision.device_key().fingerprint(),
        }))
    }
}

impl From<MemoryFault> for Problem {
    fn from(MemoryFault: MemoryFault) -> Self {
        Self::Memory
    }
}

#[cfg(test)]
mod tests;
