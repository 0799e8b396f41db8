//! The line to the broker under TLS 1.3 with a key that both ends know (RFC 8446, 2.2), by the crate
//! `embedded-tls`. No certificates, hence no clock: a node without its time can connect.
//!
//! The identity is the node id in decimal, the key that of its configuration block
//! ([`shared::provision::Provision::tls_key`]). The exchange is `psk_dhe_ke`: beside the key, both draw
//! a secret for this connection (P-256), so that who records the line and steals the key later
//! still reads nothing. For that the board must have a source of randomness; one that has none
//! does not build with this feature. A broker that does not know the key cannot finish the
//! handshake, and a node whose key the broker does not know is not let in.
//!
//! ```text
//! MQTT -> Tls -> record layer -> Below --whole records only--> Wire: socket
//! ```
//! **Why [`Wire`].** The uplink drops a read or a write half-way whenever something else happens.
//! The record layer forgets where it was in a record when that happens. So it is given a record
//! when all of it has come, and what it writes is taken at once and goes out afterwards.

use crate::uplink::Home;
use core::cell::RefCell;
use core::fmt::Write as _;
use core::future::poll_fn;
use core::pin::pin;
use core::task::{Context, Poll, ready};
use embassy_net::tcp::TcpSocket;
use embedded_io_async::{Error as _, ErrorKind, ErrorType, Read, Write};
use embedded_tls::{
    Aes128GcmSha256, CryptoProvider, FlushPolicy, MaxFragmentLength, TlsConfig, TlsConnection, TlsContext,
    TlsError,
};
use heapless::{String, Vec};
use rand_core::{CryptoRng, CryptoRngCore, RngCore};

/// Longest text in a record, in bytes: the least that a node can ask of a broker (RFC 6066, 4).
const FRAGMENT: usize = 512;
/// What stands before a record: kind, version, length.
const HEAD: usize = 5;
/// Longest record (RFC 8446, 5.2).
const RECORD_IN: usize = HEAD + FRAGMENT + 256;
/// Longest record of ours: the record layer keeps 128 bytes for what it puts around.
const RECORD_OUT: usize = FRAGMENT + 128;

/// Buffers of the record layer, which decrypts and encrypts in place.
pub(crate) struct Room {
    read: [u8; RECORD_IN],
    write: [u8; RECORD_OUT],
}

impl Room {
    pub(crate) const fn new() -> Self {
        Self {
            read: [0; RECORD_IN],
            write: [0; RECORD_OUT],
        }
    }
}

/// The socket, and what is on its way between it and the record layer.
pub(crate) struct Wire<'s> {
    socket: RefCell<TcpSocket<'s>>,
    came: RefCell<Came>,
    goes: RefCell<Vec<u8, RECORD_OUT>>,
}

/// What has come from the socket.
struct Came {
    bytes: [u8; RECORD_IN],
    len: usize,
    /// So many bytes at the front are the rest of a record that the record layer is reading.
    reading: usize,
}

impl Came {
    /// Hands out bytes of a record that is whole; `None` when there is none.
    fn take(&mut self, into: &mut [u8]) -> Result<Option<usize>, ErrorKind> {
        if self.reading == 0 {
            let [_, _, _, high, low, ..] = self.bytes;
            let record = HEAD + usize::from(u16::from_be_bytes([high, low]));
            if self.len < HEAD || record <= RECORD_IN && self.len < record {
                return Ok(None);
            }
            // The broker does not keep to the length that we asked for.
            if record > RECORD_IN {
                return Err(ErrorKind::InvalidData);
            }
            self.reading = record;
        }
        let count = into.len().min(self.reading);
        into[..count].copy_from_slice(&self.bytes[..count]);
        self.bytes.copy_within(count..self.len, 0);
        self.len -= count;
        self.reading -= count;
        Ok(Some(count))
    }
}

impl<'s> Wire<'s> {
    pub(crate) const fn new(socket: TcpSocket<'s>) -> Self {
        Self {
            socket: RefCell::new(socket),
            came: RefCell::new(Came {
                bytes: [0; RECORD_IN],
                len: 0,
                reading: 0,
            }),
            goes: RefCell::new(Vec::new()),
        }
    }

    /// Waits until a whole record is there, and hands out bytes of it.
    fn poll_take(&self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<Result<usize, ErrorKind>> {
        let mut came = self.came.borrow_mut();
        loop {
            if let Some(count) = came.take(into)? {
                return Poll::Ready(Ok(count));
            }
            // Never empty: a record that would fill it whole would have been handed out.
            let from = came.len;
            let mut socket = self.socket.borrow_mut();
            let read = pin!(socket.read(&mut came.bytes[from..])).poll(cx);
            match ready!(read).map_err(|why| why.kind())? {
                0 => return Poll::Ready(Ok(0)),
                count => came.len += count,
            }
        }
    }

    /// Sends what the record layer has written. What is sent is taken off at once, so this may be
    /// dropped at any time.
    async fn drain(&self) -> Result<(), ErrorKind> {
        poll_fn(|cx| {
            let mut goes = self.goes.borrow_mut();
            while !goes.is_empty() {
                let sent = ready!(pin!(self.socket.borrow_mut().write(&goes)).poll(cx));
                let sent = sent.map_err(|why| why.kind())?;
                let left = goes.len().saturating_sub(sent);
                goes.copy_within(sent.., 0);
                goes.truncate(left);
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Until the far end has it all.
    async fn flush(&self) -> Result<(), ErrorKind> {
        poll_fn(|cx| pin!(self.socket.borrow_mut().flush()).poll(cx))
            .await
            .map_err(|why| why.kind())
    }
}

/// The record layer's end of the line.
struct Below<'w, 's>(&'w Wire<'s>);

impl ErrorType for Below<'_, '_> {
    type Error = ErrorKind;
}

impl Read for Below<'_, '_> {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, ErrorKind> {
        // Whoever waits for an answer has sent the question.
        self.0.drain().await?;
        poll_fn(|cx| self.0.poll_take(cx, into)).await
    }
}

impl Write for Below<'_, '_> {
    /// Takes a record at once: [`Tls`] lets none begin before the last one has gone.
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        let mut goes = self.0.goes.borrow_mut();
        goes.extend_from_slice(bytes)
            .map_err(|_| ErrorKind::OutOfMemory)?;
        Ok(bytes.len())
    }

    /// [`Below::read`] and [`Tls::flush`] send.
    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// A line that nobody else reads.
pub(crate) struct Tls<'w, 's> {
    records: TlsConnection<'w, Below<'w, 's>, Aes128GcmSha256>,
    wire: &'w Wire<'s>,
}

impl<'w, 's> Tls<'w, 's> {
    /// The handshake. `Err`: the two do not know the same key, or the far end does not speak so.
    pub(crate) async fn open(
        wire: &'w Wire<'s>,
        room: &'w mut Room,
        key: &[u8],
        home: &impl Home,
    ) -> Result<Self, TlsError> {
        let mut identity: String<5> = String::new();
        // Five digits hold every node id.
        let _ = write!(identity, "{}", home.provision().node);
        let config = TlsConfig::new()
            .with_max_fragment_length(MaxFragmentLength::Bits9)
            .with_psk(key, &[identity.as_bytes()]);
        let mut records = TlsConnection::new(Below(wire), &mut room.read, &mut room.write);
        records.set_flush_policy(FlushPolicy::Relaxed);
        records.open(TlsContext::new(&config, Provider(home))).await?;
        wire.drain().await.map_err(TlsError::Io)?;
        Ok(Self { records, wire })
    }
}

impl ErrorType for Tls<'_, '_> {
    type Error = TlsError;
}

impl Read for Tls<'_, '_> {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, TlsError> {
        self.records.read(into).await
    }
}

impl Write for Tls<'_, '_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, TlsError> {
        self.wire.drain().await.map_err(TlsError::Io)?;
        // Does not wait: at most one record becomes full, and there is room for it.
        self.records.write(bytes).await
    }

    async fn flush(&mut self) -> Result<(), TlsError> {
        self.wire.drain().await.map_err(TlsError::Io)?;
        // Does not wait either.
        self.records.flush().await?;
        self.wire.drain().await.map_err(TlsError::Io)?;
        self.wire.flush().await.map_err(TlsError::Io)
    }
}

/// What the record layer asks for: random numbers, and no certificate of anybody. The far end is
/// proven by the key: without it its part of the handshake cannot be decrypted.
struct Provider<'a, H>(&'a H);

impl<H: Home> CryptoProvider for Provider<'_, H> {
    type CipherSuite = Aes128GcmSha256;
    type Signature = [u8; 0];

    fn rng(&mut self) -> impl CryptoRngCore {
        Dice(self.0)
    }
}

/// The board's source of randomness, as the record layer wants it.
struct Dice<'a, H>(&'a H);

impl<H: Home> RngCore for Dice<'_, H> {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.0.random(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.random(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, into: &mut [u8]) {
        self.0.random(into);
    }

    fn try_fill_bytes(&mut self, into: &mut [u8]) -> Result<(), rand_core::Error> {
        self.0.random(into);
        Ok(())
    }
}

impl<H: Home> CryptoRng for Dice<'_, H> {}
