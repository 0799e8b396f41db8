//! Between `tokio-modbus` and the socket or port: replies that nobody waits for end here.
//!
//! Over TCP each frame begins with the number of its question (Modbus Messaging on TCP/IP V1.0b,
//! 3.1.3). Only whole frames with the number of the last question pass; others are late replies
//! and are counted. `tokio-modbus` takes the next frame that comes for the answer, so without
//! this one late reply would shift all that follow it.
//!
//! RTU frames carry no number and pass as they come.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_serial::{SerialPort as _, SerialStream};

/// Bytes before the unit in a TCP frame: number, protocol, length.
const PREFIX: usize = 6;
/// The longest a TCP frame says of itself: unit and 253 bytes.
const LENGTH_MAX: usize = 254;
/// Bytes taken from the socket at once: two frames.
const CHUNK: usize = 2 * (PREFIX + LENGTH_MAX);

/// How frames look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Tcp,
    Rtu,
}

#[derive(Debug)]
enum Inner {
    Tcp(TcpStream),
    Serial(Box<SerialStream>),
}

/// An open line.
#[derive(Debug)]
pub(super) struct Wire {
    inner: Inner,
    framing: Framing,
    /// Bytes that came since the last question began.
    heard: u64,
    /// TCP only.
    frames: Frames,
}

/// The frames of a TCP line: which question left, and what came since.
#[derive(Debug, Default)]
struct Frames {
    /// Frames whose question had been given up.
    late: u64,
    /// Number of the last question.
    expected: Option<[u8; 2]>,
    /// Bytes of the question that have not left yet.
    leaving: usize,
    /// Bytes that make no whole frame yet.
    partial: Vec<u8>,
    /// Bytes of frames that may pass.
    passed: VecDeque<u8>,
}

impl Frames {
    /// Notes which question leaves.
    fn note_written(&mut self, bytes: &[u8]) {
        if self.leaving == 0 {
            // The encoder hands over whole frames; a shorter first piece has no number.
            self.expected = bytes.first_chunk::<2>().copied();
            let length = bytes.get(4..PREFIX).map_or(0, |length| {
                usize::from(u16::from_be_bytes([length[0], length[1]]))
            });
            self.leaving = PREFIX + length;
        }
        self.leaving = self.leaving.saturating_sub(bytes.len());
    }

    /// Lets whole frames of the last question pass.
    fn sort(&mut self) -> io::Result<()> {
        while let Some(prefix) = self.partial.first_chunk::<PREFIX>() {
            let length = usize::from(u16::from_be_bytes([prefix[4], prefix[5]]));
            if prefix[2..4] != [0, 0] || !(2..=LENGTH_MAX).contains(&length) {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "what came is no Modbus TCP frame",
                ));
            }
            if self.partial.len() < PREFIX + length {
                return Ok(());
            }
            let is_wanted = self.expected == Some([prefix[0], prefix[1]]);
            let frame = self.partial.drain(..PREFIX + length);
            if is_wanted {
                self.passed.extend(frame);
                // A unit answers once.
                self.expected = None;
            } else {
                drop(frame);
                self.late += 1;
            }
        }
        Ok(())
    }
}

impl Wire {
    pub(super) fn tcp(stream: TcpStream, framing: Framing) -> Self {
        Self::new(Inner::Tcp(stream), framing)
    }

    pub(super) fn serial(port: SerialStream) -> Self {
        Self::new(Inner::Serial(Box::new(port)), Framing::Rtu)
    }

    fn new(inner: Inner, framing: Framing) -> Self {
        Self {
            inner,
            framing,
            heard: 0,
            frames: Frames::default(),
        }
    }

    fn poll_inner(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = match &mut self.inner {
            Inner::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Inner::Serial(port) => Pin::new(port).poll_read(cx, buffer),
        };
        self.heard += (buffer.filled().len() - before) as u64;
        result
    }

    fn poll_frames(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if !self.frames.passed.is_empty() {
                let take = out.remaining().min(self.frames.passed.len());
                for byte in self.frames.passed.drain(..take) {
                    out.put_slice(&[byte]);
                }
                return Poll::Ready(Ok(()));
            }
            let mut bytes = [0; CHUNK];
            let mut chunk = ReadBuf::new(&mut bytes);
            ready!(self.poll_inner(cx, &mut chunk))?;
            if chunk.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.frames.partial.extend_from_slice(chunk.filled());
            self.frames.sort()?;
        }
    }
}

/// A handle to an open line. `tokio-modbus` holds one, its bus another, so that the bus can put
/// a new context on a line that is intact.
#[derive(Debug, Clone)]
pub(super) struct Port(Arc<Mutex<Wire>>);

impl Port {
    pub(super) fn new(wire: Wire) -> Self {
        Self(Arc::new(Mutex::new(wire)))
    }

    /// Never held over an await: each use is one poll.
    fn locked(&self) -> MutexGuard<'_, Wire> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A question begins: counts from here.
    pub(super) fn begin(&self) {
        self.locked().heard = 0;
    }

    /// Bytes that came since [`Self::begin`].
    pub(super) fn heard(&self) -> u64 {
        self.locked().heard
    }

    /// True when a part of a frame came and its end did not.
    pub(super) fn is_in_frame(&self) -> bool {
        let wire = self.locked();
        match wire.framing {
            Framing::Tcp => !wire.frames.partial.is_empty(),
            Framing::Rtu => wire.heard > 0,
        }
    }

    /// Takes the number of late replies seen since the last call.
    pub(super) fn take_late(&self) -> u64 {
        std::mem::take(&mut self.locked().frames.late)
    }

    /// True while a part of the question is still here: the peer does not read.
    pub(super) fn is_leaving(&self) -> bool {
        self.locked().frames.leaving > 0
    }

    /// Forgets what the serial port holds, in both directions.
    pub(super) fn clear(&self) {
        if let Inner::Serial(port) = &self.locked().inner {
            // A port that has gone says so with the next exchange.
            let _ = port.clear(tokio_serial::ClearBuffer::All);
        }
    }
}

impl AsyncRead for Port {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut wire = self.locked();
        match wire.framing {
            Framing::Rtu => wire.poll_inner(cx, buffer),
            Framing::Tcp => wire.poll_frames(cx, buffer),
        }
    }
}

impl AsyncWrite for Port {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut wire = self.locked();
        let written = ready!(match &mut wire.inner {
            Inner::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Inner::Serial(port) => Pin::new(port).poll_write(cx, bytes),
        })?;
        if let Some(written) = bytes.get(..written)
            && wire.framing == Framing::Tcp
        {
            wire.frames.note_written(written);
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.locked().inner {
            Inner::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            // The port's own flush is `tcdrain`, which blocks the thread until the last bit has
            // left; nothing is held back here.
            Inner::Serial(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.locked().inner {
            Inner::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Inner::Serial(_) => Poll::Ready(Ok(())),
        }
    }
}

/// Questions and what comes, for the fuzz target: the first byte of each piece says how long it is and,
/// by its highest bit, that it leaves. Returns how many bytes passed.
///
/// # Panics
/// When a frame passes that nobody asked for, or what is kept grows beyond a frame and a chunk.
#[doc(hidden)]
pub fn strangers(mut data: &[u8]) -> usize {
    let mut frames = Frames::default();
    let mut passed = 0;
    while let Some((head, rest)) = data.split_first() {
        let (piece, rest) = rest.split_at(usize::from(head & 0x7f).min(rest.len()));
        data = rest;
        if head & 0x80 != 0 {
            frames.note_written(piece);
            continue;
        }
        let expected = frames.expected;
        frames.partial.extend_from_slice(piece);
        if frames.sort().is_err() {
            // The line is closed.
            break;
        }
        assert!(frames.partial.len() < PREFIX + LENGTH_MAX, "an endless frame");
        let out: Vec<u8> = frames.passed.drain(..).collect();
        if !out.is_empty() {
            assert_eq!(out.first_chunk::<2>().copied(), expected, "nobody asked for it");
            assert!(out.len() <= PREFIX + LENGTH_MAX, "more than one answer");
        }
        passed += out.len();
    }
    passed
}

#[cfg(test)]
mod strange {
    use super::*;
    use proptest::prelude::*;
    use proptest::sample::Index;

    proptest! {
        #[test]
        fn any_pieces_of_a_line_are_survived(data in proptest::collection::vec(any::<u8>(), 0..600)) {
            prop_assert!(strangers(&data) <= data.len());
        }

        #[test]
        fn a_good_exchange_with_wrong_bytes_is_survived(
            wrong in proptest::collection::vec((any::<Index>(), any::<u8>()), 0..4),
        ) {
            // A question, the first piece of its answer, and the rest.
            let mut data = [
                &[0x80 | 12, 0, 7, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1][..],
                &[5, 0, 7, 0, 0, 0],
                &[6, 5, 1, 3, 2, 0, 42],
            ]
            .concat();
            if wrong.is_empty() {
                prop_assert_eq!(strangers(&data), 11, "the answer passes");
            }
            for (at, byte) in wrong {
                let at = at.index(data.len());
                data[at] = byte;
            }
            prop_assert!(strangers(&data) <= data.len());
        }
    }
}
