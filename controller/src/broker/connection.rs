//! One connection: from the first byte to the last.
//!
//! Every time-out of a client runs in its own task, so a client that says nothing, half of
//! something, or does not read holds up only itself.
//!
//! ```text
//!  greet: CONNECT within 5 s -> accounts known? -> password -> attach -> CONNACK
//!  serve: write what the hub has for it -> read packets -> wait for either, or keep-alive
//!  close: tell it why (MQTT 5), send FIN, empty the socket so that no reset eats our words
//! ```

use super::hub::{Attached, Counter, End, Login, Verdict};
use super::limit::{
    CONNECT_TIMEOUT, LINGER, MAX_BATCH, MAX_KEEP_ALIVE_SECS, MAX_LINGER_BYTES, MAX_PACKET, READ_CHUNK,
    REFUSAL_DELAY, STALL_TIMEOUT, WRITE_TIMEOUT,
};
use super::packet::{self, Connect, In, Out, PacketError, Publish, Reason, Version, Welcome};
use super::shared::Shared;
use crate::clock;
use bytes::BytesMut;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// Why a connection ends.
#[derive(Debug)]
enum Closed {
    /// The client said goodbye.
    Goodbye(Option<u32>),
    /// It is gone, or does not take what we write.
    Gone,
    /// We end it, and tell an MQTT 5 client why.
    Because(Reason),
}

/// The socket with what is read and not yet understood, and what is to be written.
struct Wire {
    stream: TcpStream,
    inbox: BytesMut,
    outbox: BytesMut,
}

/// A client that is let in. Dropping it, even in a panic, gives the session back.
struct Guest {
    shared: Arc<Shared>,
    attached: Attached,
    end: End,
}

impl Drop for Guest {
    fn drop(&mut self) {
        let now = clock::now().mono;
        self.shared.with(|hub| hub.detach(self.attached, self.end, now));
    }
}

/// What is fixed for the length of a connection.
struct Terms {
    version: Version,
    max_packet: usize,
    patience: Duration,
    wake: Arc<Notify>,
}

/// Serves one client until it leaves, fails or `stop` is cancelled.
pub(super) async fn run(stream: TcpStream, shared: Arc<Shared>, stop: CancellationToken) {
    // Acknowledgements are small and must not wait for each other.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut wire = Wire {
        stream,
        inbox: BytesMut::with_capacity(READ_CHUNK),
        outbox: BytesMut::new(),
    };
    let greeted = tokio::select! {
        greeted = greet(&mut wire, &shared) => greeted,
        () = stop.cancelled() => None,
    };
    let Some((mut guest, terms)) = greeted else {
        wire.linger().await;
        return;
    };
    let closed = serve(&mut wire, &guest, &terms, &stop).await;
    match closed {
        Closed::Goodbye(expiry) => guest.end = End::Goodbye(expiry),
        Closed::Gone => {}
        Closed::Because(reason) => {
            tracing::debug!(?reason, "connection closed");
            if wire.put(&terms, &Out::Disconnect(reason)).is_ok() {
                wire.flush(&shared).await.ok();
            }
        }
    }
    // The session is free before the socket is emptied: a client that reconnects waits for us.
    drop(guest);
    wire.linger().await;
}

// --- greeting ------------------------------------------------------------------------------

async fn greet(wire: &mut Wire, shared: &Arc<Shared>) -> Option<(Guest, Terms)> {
    let Ok(_permit) = Arc::clone(&shared.greeting).try_acquire_owned() else {
        shared.with(|hub| hub.count(Counter::TooManyConnections));
        return None;
    };
    let deadline = Instant::now() + CONNECT_TIMEOUT;
    let first = tokio::select! {
        first = wire.next_frame() => first,
        () = sleep_until(deadline) => {
            shared.with(|hub| hub.count(Counter::ConnectTimeout));
            return None;
        }
    };
    let frame = match first {
        Ok(Some(frame)) => frame,
        Ok(None) => return None,
        Err(error) => {
            count_malformed(shared, &error);
            return None;
        }
    };
    let connect = match packet::read_connect(frame) {
        Ok(connect) => connect,
        Err((version, error)) => {
            count_malformed(shared, &error);
            refuse_unreadable(wire, shared, version, &error).await;
            return None;
        }
    };
    let version = connect.version;
    match admit(wire, shared, connect, deadline).await {
        Ok(admitted) => Some(admitted),
        Err(reason) => {
            if packet::write(version, &Out::Refused(reason), MAX_PACKET, &mut wire.outbox).is_ok() {
                wire.flush(shared).await.ok();
            }
            None
        }
    }
}

async fn admit(
    wire: &mut Wire,
    shared: &Arc<Shared>,
    connect: Connect,
    deadline: Instant,
) -> Result<(Guest, Terms), Reason> {
    if connect.extended_authentication {
        shared.with(|hub| hub.count(Counter::ProtocolError));
        return Err(Reason::BadAuthenticationMethod);
    }
    wait_for_accounts(shared, deadline).await?;
    let digest: [u8; 32] = Sha256::digest(connect.password.as_bytes()).into();
    match shared.with(|hub| hub.login(&connect.user, &digest)) {
        Login::Accepted => {}
        Login::Unknown => return Err(Reason::ServerUnavailable),
        Login::Refused => {
            let count = shared.with(|hub| hub.count(Counter::WrongPassword));
            // Whoever guesses must not fill the log: the 1st, 2nd, 4th, 8th ... is written.
            if count.is_power_of_two() {
                // A name is text from outside: `?` escapes it.
                let user: String = connect.user.chars().take(64).collect();
                tracing::warn!(?user, count, "wrong MQTT password");
            }
            sleep(REFUSAL_DELAY).await;
            return Err(Reason::BadUserOrPassword);
        }
    }
    let mut welcome = Welcome::default();
    let client_id = if connect.client_id.is_empty() && (connect.clean || connect.version == Version::V5) {
        let assigned = format!("auto-{:016x}", rand::random::<u64>());
        welcome.assigned_id = Some(assigned.clone());
        assigned
    } else {
        connect.client_id.clone()
    };
    let wake = Arc::new(Notify::new());
    let now = clock::now().mono;
    let attached = shared.with(|hub| hub.attach(&connect, &client_id, Arc::clone(&wake), now))?;
    let guest = Guest {
        shared: Arc::clone(shared),
        attached,
        end: End::Lost,
    };
    let keep_alive = keep_alive(&connect);
    welcome.session_present = attached.present;
    welcome.keep_alive = (keep_alive != connect.keep_alive).then_some(keep_alive);
    welcome.session_expiry = (attached.expiry_secs != connect.session_expiry).then_some(attached.expiry_secs);
    let terms = Terms {
        version: connect.version,
        max_packet: connect.max_packet.min(MAX_PACKET),
        // One and a half times (MQTT-3.1.2-22).
        patience: Duration::from_millis(u64::from(keep_alive) * 1500),
        wake,
    };
    wire.put(&terms, &Out::Welcome(welcome))
        .map_err(|_| Reason::PacketTooLarge)?;
    Ok((guest, terms))
}

/// Seconds in force. MQTT 5 lets the server set it; a 3.1.1 client that names one keeps it.
fn keep_alive(connect: &Connect) -> u16 {
    match (connect.keep_alive, connect.version) {
        (0, _) => MAX_KEEP_ALIVE_SECS,
        (wished, Version::V5) => wished.min(MAX_KEEP_ALIVE_SECS),
        (wished, Version::V4) => wished,
    }
}

async fn wait_for_accounts(shared: &Shared, deadline: Instant) -> Result<(), Reason> {
    let mut known = shared.accounts_known.subscribe();
    let wait = tokio::select! {
        wait = known.wait_for(|known| *known) => wait.is_ok(),
        () = sleep_until(deadline) => false,
    };
    if wait {
        Ok(())
    } else {
        shared.with(|hub| hub.count(Counter::NoAccountsYet));
        Err(Reason::ServerUnavailable)
    }
}

fn count_malformed(shared: &Shared, error: &PacketError) {
    let counter = match error {
        PacketError::Protocol { .. } => Counter::UnsupportedProtocol,
        _ => Counter::MalformedPacket,
    };
    shared.with(|hub| hub.count(counter));
    tracing::debug!(%error, "first packet refused");
}

/// A CONNECT we cannot read is answered when the client can understand the answer.
async fn refuse_unreadable(wire: &mut Wire, shared: &Shared, version: Option<Version>, error: &PacketError) {
    let version = match (version, error) {
        (Some(Version::V5), _) => Version::V5,
        // Older clients know "unacceptable protocol version"; later ones may know neither.
        (None, PacketError::Protocol { level, .. }) if *level < 5 => Version::V4,
        (None, PacketError::Protocol { .. }) => Version::V5,
        _ => return,
    };
    if packet::write(
        version,
        &Out::Refused(error.reason()),
        MAX_PACKET,
        &mut wire.outbox,
    )
    .is_ok()
    {
        wire.flush(shared).await.ok();
    }
}

// --- serving -------------------------------------------------------------------------------

async fn serve(wire: &mut Wire, guest: &Guest, terms: &Terms, stop: &CancellationToken) -> Closed {
    let mut heard = Instant::now();
    // A publish there is no room for, and since when.
    let mut held: Option<(Publish, Instant)> = None;
    loop {
        if let Err(closed) = send(wire, guest, terms).await {
            return closed;
        }
        match understand(wire, guest, terms, &mut heard, &mut held) {
            Ok(true) => {
                if stop.is_cancelled() {
                    return Closed::Because(Reason::ShuttingDown);
                }
                // More is buffered; let the other clients have their turn.
                tokio::task::yield_now().await;
                continue;
            }
            Ok(false) => {}
            Err(closed) => return closed,
        }
        if !wire.outbox.is_empty() {
            continue;
        }
        let (deadline, late) = match &held {
            None => (
                heard + terms.patience,
                (Counter::KeepAliveTimeout, Reason::KeepAliveTimeout),
            ),
            Some((_, since)) => (
                *since + STALL_TIMEOUT,
                (Counter::StallTimeout, Reason::QuotaExceeded),
            ),
        };
        // Every arm is cancel-safe: `read_buf` takes bytes only when it returns them, `Notify`
        // keeps a wake-up that nobody waited for.
        tokio::select! {
            biased;
            () = stop.cancelled() => return Closed::Because(Reason::ShuttingDown),
            () = terms.wake.notified() => {}
            read = wire.read(), if held.is_none() => match read {
                Ok(0) | Err(_) => return Closed::Gone,
                Ok(_) => {}
            },
            () = sleep_until(deadline) => {
                guest.shared.with(|hub| hub.count(late.0));
                return Closed::Because(late.1);
            }
        }
    }
}

/// Writes everything that is waiting for the client.
async fn send(wire: &mut Wire, guest: &Guest, terms: &Terms) -> Result<(), Closed> {
    loop {
        let now = clock::now().mono;
        let packets = guest
            .shared
            .with(|hub| hub.pull(guest.attached, now))
            .map_err(Closed::Because)?;
        for packet in &packets {
            if wire.put(terms, packet).is_err() {
                let pkid = if let Out::Publish { pkid, .. } = packet {
                    *pkid
                } else {
                    0
                };
                guest.shared.with(|hub| {
                    hub.count(Counter::DroppedTooLong);
                    hub.acknowledged(guest.attached, pkid);
                });
            }
        }
        if wire.outbox.is_empty() {
            return Ok(());
        }
        wire.flush(&guest.shared).await?;
        if packets.len() < MAX_BATCH {
            return Ok(());
        }
    }
}

/// Takes packets from what was read; true when there may be more.
fn understand(
    wire: &mut Wire,
    guest: &Guest,
    terms: &Terms,
    heard: &mut Instant,
    held: &mut Option<(Publish, Instant)>,
) -> Result<bool, Closed> {
    let malformed = |error: PacketError| {
        guest.shared.with(|hub| hub.count(Counter::MalformedPacket));
        tracing::debug!(%error, "packet refused");
        Closed::Because(error.reason())
    };
    if let Some((publish, since)) = held.take()
        && let Some(publish) = take_publish(guest, publish)?
    {
        *held = Some((publish, since));
        return Ok(false);
    }
    for _ in 0..MAX_BATCH {
        let Some(frame) = packet::frame(&mut wire.inbox).map_err(malformed)? else {
            return Ok(false);
        };
        *heard = Instant::now();
        match packet::read(terms.version, frame).map_err(malformed)? {
            In::Publish(publish) => {
                if let Some(publish) = take_publish(guest, publish)? {
                    *held = Some((publish, Instant::now()));
                    return Ok(false);
                }
            }
            other => {
                if let Some(answer) = take(guest, other)? {
                    wire.put(terms, &answer)
                        .map_err(|_| Closed::Because(Reason::PacketTooLarge))?;
                }
            }
        }
    }
    Ok(true)
}

/// The publish comes back when there is no room for it.
fn take_publish(guest: &Guest, publish: Publish) -> Result<Option<Publish>, Closed> {
    let now = clock::now().mono;
    match guest
        .shared
        .with(|hub| hub.publish(guest.attached, &publish, now))
    {
        Verdict::Done => Ok(None),
        Verdict::Stall => Ok(Some(publish)),
        Verdict::Close(reason) => Err(Closed::Because(reason)),
    }
}

fn take(guest: &Guest, packet: In) -> Result<Option<Out>, Closed> {
    let now = clock::now().mono;
    let attached = guest.attached;
    Ok(match packet {
        In::Publish(_) | In::Ping => Some(Out::Pong),
        In::PubAck(pkid) => {
            guest.shared.with(|hub| hub.acknowledged(attached, pkid));
            None
        }
        In::Subscribe { identifier: true, .. } => {
            guest.shared.with(|hub| hub.count(Counter::SubscribeRefused));
            return Err(Closed::Because(Reason::SubscriptionIdsNotSupported));
        }
        In::Subscribe { pkid, filters, .. } => Some(Out::SubAck(
            pkid,
            guest.shared.with(|hub| hub.subscribe(attached, &filters, now)),
        )),
        In::Unsubscribe { pkid, filters } => Some(Out::UnsubAck(
            pkid,
            guest.shared.with(|hub| hub.unsubscribe(attached, &filters)),
        )),
        In::Disconnect {
            with_will,
            session_expiry,
        } => {
            return Err(if with_will {
                Closed::Gone
            } else {
                Closed::Goodbye(session_expiry)
            });
        }
    })
}

// --- the socket ----------------------------------------------------------------------------

impl Wire {
    /// Reads what is there; 0 at the end of the stream.
    async fn read(&mut self) -> std::io::Result<usize> {
        self.inbox.reserve(READ_CHUNK);
        self.stream.read_buf(&mut self.inbox).await
    }

    /// The next whole packet; `None` when the client is gone.
    async fn next_frame(&mut self) -> Result<Option<BytesMut>, PacketError> {
        loop {
            if let Some(frame) = packet::frame(&mut self.inbox)? {
                return Ok(Some(frame));
            }
            match self.read().await {
                Ok(0) | Err(_) => return Ok(None),
                Ok(_) => {}
            }
        }
    }

    fn put(&mut self, terms: &Terms, packet: &Out) -> Result<(), PacketError> {
        packet::write(terms.version, packet, terms.max_packet, &mut self.outbox)
    }

    /// Writes the outbox out.
    async fn flush(&mut self, shared: &Shared) -> Result<(), Closed> {
        match timeout(WRITE_TIMEOUT, self.stream.write_all(&self.outbox)).await {
            Ok(Ok(())) => {
                self.outbox.clear();
                // A burst once sent does not keep its memory for as long as the client stays.
                if self.outbox.capacity() > MAX_PACKET {
                    self.outbox = BytesMut::new();
                }
                Ok(())
            }
            Ok(Err(_)) => Err(Closed::Gone),
            Err(_) => {
                shared.with(|hub| hub.count(Counter::WriteTimeout));
                Err(Closed::Gone)
            }
        }
    }

    /// Ends our side and throws away what still comes, for a short while.
    async fn linger(mut self) {
        let empty = async {
            self.stream.shutdown().await?;
            let mut bin = [0; 1024];
            let mut thrown = 0;
            while thrown < MAX_LINGER_BYTES {
                match self.stream.read(&mut bin).await? {
                    0 => break,
                    count => thrown += count,
                }
            }
            std::io::Result::Ok(())
        };
        timeout(LINGER, empty).await.ok();
    }
}
