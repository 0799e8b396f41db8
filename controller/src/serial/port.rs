//! A serial port: opened as the site says, asked one line at a time.
//!
//! There is no framing on such a line but the CR, and nothing says which question an answer is to.
//! So before a question whatever came meanwhile is thrown away, an answer must have the shape of
//! its question, and after a time-out the line must fall quiet before it is used again.

use room::megatec::{ANSWER_MAX, Question};
use room::site::link::{LineParity, SerialLine};
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_serial::{
    ClearBuffer, DataBits, FlowControl, Parity, SerialPort as _, SerialPortBuilderExt as _, SerialStream,
    StopBits,
};

/// A line is quiet when no byte came for so long.
const QUIET: Duration = Duration::from_millis(120);
/// A line that does not fall quiet for so long never will: it is noise.
const NOISE_MAX: Duration = Duration::from_secs(2);
/// A device that echoes what it does not know says nothing more; one that echoes every byte
/// answers behind it.
const AFTER_ECHO: Duration = Duration::from_millis(500);
/// Lines that answer something else, within one question.
const STRANGE_MAX: usize = 8;
/// Bits of a byte on the line: start, eight, parity, stop; rounded up.
const BITS: u32 = 12;
/// Bytes read at once.
const CHUNK: usize = 256;

/// Longest wait for a port to open; an adapter whose driver hangs takes for ever.
const OPEN_MAX: Duration = Duration::from_secs(5);

/// Ports whose opening has not come back yet. Each holds a thread, so none is begun twice.
static OPENING: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Opens a port, on a thread of its own: a driver that hangs must not hold up anything else.
///
/// # Errors
/// It is not there, not permitted, in use, does not open in [`OPEN_MAX`], or cannot be set so.
pub async fn open(line: &SerialLine) -> io::Result<SerialStream> {
    let opening = || OPENING.lock().unwrap_or_else(PoisonError::into_inner);
    if !opening().insert(line.path.clone()) {
        return Err(stuck());
    }
    let line = line.clone();
    let opened = tokio::task::spawn_blocking(move || {
        let opened = open_now(&line);
        opening().remove(&line.path);
        opened
    });
    match timeout(OPEN_MAX, opened).await {
        Ok(Ok(opened)) => opened.map_err(|error| explained(&error)),
        Ok(Err(panicked)) => Err(io::Error::other(panicked)),
        // When it opens all the same, it is closed again.
        Err(_) => Err(stuck()),
    }
}

fn stuck() -> io::Error {
    let text = "it does not open, its driver hangs; pull the adapter and plug it in again";
    io::Error::new(io::ErrorKind::TimedOut, text)
}

/// The system's words and what a person can do.
fn explained(error: &io::Error) -> io::Error {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => "`ls -l /dev/serial/by-id` shows the ports there are",
        io::ErrorKind::PermissionDenied => "its group (`ls -l`) must be one of the service's",
        _ => return io::Error::new(error.kind(), error.to_string()),
    };
    io::Error::new(error.kind(), format!("{error}; {hint}"))
}

fn open_now(line: &SerialLine) -> io::Result<SerialStream> {
    let builder = tokio_serial::new(line.path.to_string_lossy(), line.baud)
        .data_bits(DataBits::Eight)
        .flow_control(FlowControl::None)
        .parity(match line.parity {
            LineParity::None => Parity::None,
            LineParity::Even => Parity::Even,
            LineParity::Odd => Parity::Odd,
        })
        .stop_bits(if line.stop_bits == 2 {
            StopBits::Two
        } else {
            StopBits::One
        });
    builder.open_native_async().map_err(io::Error::from)
}

/// What came back within the time of a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// An answer of the right shape.
    Line(String),
    /// The question itself, or a refusal: the device does not know it.
    NotSupported,
    /// Something, but no answer; the first of it.
    Strange(String),
    /// Nothing.
    Silence,
}

/// A line that questions are asked on.
pub(super) struct Port {
    stream: SerialStream,
    /// Time that the longest question and answer take on the wire.
    wire: Duration,
    /// An answer may still be on its way.
    late: bool,
    /// Bytes and lines that answered nothing.
    pub(super) noise: u64,
}

impl Port {
    pub(super) fn new(stream: SerialStream, baud: u32) -> Self {
        let bits = u32::try_from(ANSWER_MAX + 8)
            .unwrap_or(u32::MAX)
            .saturating_mul(BITS);
        Self {
            stream,
            wire: Duration::from_secs(1).mul_f64(f64::from(bits) / f64::from(baud.max(1))),
            late: false,
            noise: 0,
        }
    }

    /// True when an answer that nobody waits for any more may still come.
    pub(super) const fn is_late(&self) -> bool {
        self.late
    }

    /// Asks, and waits at most `patience` beyond what the wire takes.
    ///
    /// # Errors
    /// The port is gone.
    pub(super) async fn ask(&mut self, question: Question, patience: Duration) -> io::Result<Heard> {
        self.clear(QUIET).await?;
        // Until an answer is here, one is on its way, also when this is given up half-way.
        self.late = true;
        let text = question.text();
        // No flush: on a serial port it is `tcdrain`, which blocks the thread until the last bit
        // has left, and for ever when the adapter hangs.
        self.stream.write_all(format!("{text}\r").as_bytes()).await?;
        let mut deadline = Instant::now() + patience + self.wire;
        let (mut line, mut strange, mut echoed) = (Vec::new(), None, false);
        for _ in 0..STRANGE_MAX {
            let Some(heard) = self.line(&mut line, deadline).await? else {
                break;
            };
            if question.accepts(&heard) {
                self.late = false;
                return Ok(Heard::Line(heard));
            }
            if heard == text {
                echoed = true;
                deadline = deadline.min(Instant::now() + AFTER_ECHO + self.wire);
            } else if matches!(heard.trim(), "NAK" | "NA" | "(NAK" | "ERR") {
                self.late = false;
                return Ok(Heard::NotSupported);
            } else {
                self.noise += 1;
                strange.get_or_insert(heard);
            }
        }
        Ok(match strange {
            Some(strange) => Heard::Strange(strange),
            None if echoed => Heard::NotSupported,
            None => Heard::Silence,
        })
    }

    /// The next line that is not empty, without its end; `None` when the time is over. Bytes that
    /// are no text become `?`, so that such a line is seen and is no answer.
    async fn line(&mut self, held: &mut Vec<u8>, deadline: Instant) -> io::Result<Option<String>> {
        loop {
            while let Some(end) = held.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
                let rest = held.split_off(end + 1);
                let line = std::mem::replace(held, rest);
                let text: String = line[..end]
                    .iter()
                    .map(|byte| {
                        if (0x20..0x7f).contains(byte) {
                            char::from(*byte)
                        } else {
                            '?'
                        }
                    })
                    .collect();
                if !text.is_empty() {
                    return Ok(Some(text));
                }
            }
            if held.len() > ANSWER_MAX {
                held.clear();
                return Ok(Some("a line without end".to_owned()));
            }
            let mut chunk = [0; CHUNK];
            match timeout_at(deadline, self.stream.read(&mut chunk)).await {
                Err(_) => return Ok(None),
                Ok(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(Ok(count)) => held.extend_from_slice(&chunk[..count]),
                Ok(Err(error)) => return Err(error),
            }
        }
    }

    /// Throws away what waits; after a time-out also what comes until the line is quiet.
    ///
    /// # Errors
    /// The port is gone.
    pub(super) async fn clear(&mut self, quiet: Duration) -> io::Result<()> {
        let waiting = self.stream.bytes_to_read().map_err(io::Error::from)?;
        self.noise += u64::from(waiting);
        self.stream.clear(ClearBuffer::Input).map_err(io::Error::from)?;
        if !self.late {
            return Ok(());
        }
        let quiet = quiet.max(QUIET).max(self.wire);
        let end = Instant::now() + NOISE_MAX.max(quiet);
        let mut chunk = [0; CHUNK];
        while Instant::now() < end {
            match timeout(quiet, self.stream.read(&mut chunk)).await {
                Err(_) => break,
                Ok(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(Ok(count)) => self.noise += u64::try_from(count).unwrap_or(u64::MAX),
                Ok(Err(error)) => return Err(error),
            }
        }
        self.late = false;
        Ok(())
    }
}
