//! The way up: one MQTT 5 connection to the broker, made again whenever it ends.
//!
//! ```text
//! wait for an address -> connect (-> TLS) -> log in -> subscribe cmd, publish up=1 -> serve -> back-off -+
//!     ^--------------------------------------------------------------------------------------------------+
//! ```
//! **Client id.** `yagura-<node>-<fingerprint of the key>`. Two boards with the same node id and
//! different keys are two clients, so the wrong one cannot push the right one off the line: it has
//! another password and is not let in. Two boards with a copy of the same block are one client, and
//! the broker ends the connection of the one when the other logs in: that is the surest sign there
//! is that a block was copied. Each counts it and reports it with its health; with ids that always
//! differ, both would publish as one node, and the controller would drop the events of one of them
//! as repetitions.
//!
//! The broker keeps no session for us (expiry 0): what is not acknowledged by the controller is
//! sent again by `node`, so nothing depends on what a broker remembers.

use crate::ear::Ear;
#[cfg(feature = "tls")]
use crate::tls;
use core::cell::Cell;
use core::fmt::{self, Write as _};
use core::net::Ipv4Addr;
use embassy_futures::select::{Either, Either3, select, select3};
use embassy_net::Stack;
use embassy_net::tcp::TcpSocket;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::signal::Signal;
use embassy_time::{Duration, Instant, Timer, with_timeout};
use heapless::String;
use minimq::{
    Buffers, ConfigBuilder, ConfigError, Connection, Io, Publication, QoS, Session, TopicFilter, Will,
};
use node::backoff::Backoff;
use node::memory::Memory;
use node::node::Node;
use node::update::Slots;
use shared::limit::{MAX_DOWN_FRAME, MAX_EVENT_BODY, MAX_HEADER, MAX_TOPIC, TAG_LEN};
use shared::provision::Provision;
use shared::topic::{self, Leaf};
use static_cell::ConstStaticCell;

/// Longest wait for each step of a connection, and for the far end to acknowledge what we send.
const STEP: Duration = Duration::from_secs(10);
/// Seconds of silence after which the broker may give us up, and we it.
const KEEP_ALIVE_S: u16 = 10;
/// A connection that stood for so long counts as one, and the next attempt is soon.
const LASTING: Duration = Duration::from_secs(15);
/// Four steps between two check-ins (log in, subscribe, two publications), or one and a back-off.
pub const LONGEST_SILENCE_MS: u64 = 45_000;
/// The emulator's network looks at a new connection only when the guest does something: without
/// this tick, connecting takes a second.
const CONNECTING_TICK_MS: u64 = 20;
/// Least time between two looks at the deadlines, when nothing else happens.
const SHORTEST_SLEEP_MS: u64 = 20;

/// Longest packet we take: a frame with what MQTT puts around it, and properties of a broker.
const RECEIVE_LEN: usize = 432;
const _: () = assert!(MAX_DOWN_FRAME + AROUND <= RECEIVE_LEN);
/// Events in flight at once; the client keeps each until the broker has it, and counts to eight.
const IN_FLIGHT: usize = 8;
/// What MQTT puts around a frame: two lengths, packet id, topic, properties.
const AROUND: usize = 2 + 2 + 2 + MAX_TOPIC + 1;
/// Largest packet that is made beside those in flight: the log-in with its will.
const LOG_IN_LEN: usize = 192;
/// Longest frame of an event.
const EVENT_LEN: usize = MAX_HEADER + MAX_EVENT_BODY + TAG_LEN;
const TRANSMIT_LEN: usize = IN_FLIGHT * (EVENT_LEN + AROUND) + LOG_IN_LEN;
/// What the broker may send before we look: the longest packet we take.
const SOCKET_RECEIVE_LEN: usize = RECEIVE_LEN;
/// What we may send before the broker answers.
const SOCKET_TRANSMIT_LEN: usize = 384;

/// Buffers of the one connection. Not in the task's own storage, which travels over the stack
/// when the task is made.
struct Room {
    receive: [u8; RECEIVE_LEN],
    transmit: [u8; TRANSMIT_LEN],
    socket_receive: [u8; SOCKET_RECEIVE_LEN],
    socket_transmit: [u8; SOCKET_TRANSMIT_LEN],
    #[cfg(feature = "tls")]
    tls: tls::Room,
}

static ROOM: ConstStaticCell<Room> = ConstStaticCell::new(Room {
    receive: [0; RECEIVE_LEN],
    transmit: [0; TRANSMIT_LEN],
    socket_receive: [0; SOCKET_RECEIVE_LEN],
    socket_transmit: [0; SOCKET_TRANSMIT_LEN],
    #[cfg(feature = "tls")]
    tls: tls::Room::new(),
});

struct Topics {
    event: String<MAX_TOPIC>,
    telemetry: String<MAX_TOPIC>,
    presence: String<MAX_TOPIC>,
    command: String<MAX_TOPIC>,
}

/// Set when the node may have something new to send.
pub type News = Signal<CriticalSectionRawMutex, ()>;

/// How far the way to the broker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// No address by DHCP yet.
    NoAddress,
    /// The broker is not reached.
    NoBroker,
    /// Connected and let in.
    Online,
}

/// What the way to the broker needs of the tasks' common ground. Every method returns at once.
pub trait Home: 'static {
    /// The node's memory.
    type Memory: Memory;
    /// Its slots for firmware.
    type Slots: Slots;

    /// Who the node is.
    fn provision(&self) -> &'static Provision;
    /// Set when the node may have something new to send.
    fn news(&self) -> &News;
    /// Looks at the node.
    fn look<T>(&self, look: impl FnOnce(&Node<Self::Memory, Self::Slots>) -> T) -> T;
    /// One step of the node, at this time.
    fn step<T>(&self, step: impl FnOnce(&mut Node<Self::Memory, Self::Slots>, u64) -> T) -> T;
    /// Takes what the node has to send; nobody else needs to look again.
    fn send<T>(&self, take: impl FnOnce(&mut Node<Self::Memory, Self::Slots>, u64) -> T) -> T;
    /// The uplink is alive.
    fn check_in(&self);
    /// The way to the broker has changed.
    fn link(&self, link: Link);
    /// Says a line on the console.
    fn log(&self, line: fmt::Arguments<'_>);
    /// Fills this from the chip's own source of randomness.
    #[cfg(feature = "tls")]
    fn random(&self, into: &mut [u8]);
}

/// Why a connection ended or did not come about; for the console.
#[derive(Debug, Clone, Copy)]
enum Lost {
    NoAddress,
    Connect,
    #[cfg(feature = "tls")]
    NoKey,
    #[cfg(feature = "tls")]
    Secure,
    LogIn,
    Subscribe,
    Publish,
    Receive,
    TakenOver,
}

impl Lost {
    const fn link(self) -> Link {
        match self {
            Self::NoAddress => Link::NoAddress,
            _ => Link::NoBroker,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::NoAddress => "no address by DHCP",
            Self::Connect => "no connection",
            #[cfg(feature = "tls")]
            Self::NoKey => "provisioned before there was TLS: provision this node anew",
            #[cfg(feature = "tls")]
            Self::Secure => "no TLS: is its port for TLS 1.3, and does it know this node's key",
            Self::LogIn => "it does not let us in",
            Self::Subscribe => "it does not let us subscribe",
            Self::Publish => "it does not take what we send",
            Self::Receive => "the connection ended",
            Self::TakenOver => "another board has logged in as this node",
        }
    }
}

/// Keeps a connection for ever.
pub async fn run<H: Home>(home: &'static H, stack: Stack<'static>, seed: u32) -> ! {
    let provision = home.provision();
    let topics = Topics {
        event: topic::of(provision.node, Leaf::Event),
        telemetry: topic::of(provision.node, Leaf::Telemetry),
        presence: topic::of(provision.node, Leaf::Presence),
        command: topic::of(provision.node, Leaf::Command),
    };
    let mut user: String<5> = String::new();
    // Five digits hold every node id.
    let _ = write!(user, "{}", provision.node);
    let password = provision.broker_password();

    let room = ROOM.take();
    let config = configure(
        &mut room.receive,
        &mut room.transmit,
        provision,
        &user,
        &password,
        &topics.presence,
    )
    .expect("our client id and topic are shorter than what the client holds");
    let mut session = Session::new(config);
    let mut backoff = Backoff::new(seed);
    let taken_over = Cell::new(false);
    loop {
        home.check_in();
        let mut socket = TcpSocket::new(stack, &mut room.socket_receive, &mut room.socket_transmit);
        socket.set_timeout(Some(STEP));
        // An event must not wait for the acknowledgement of the one before it.
        socket.set_nagle_enabled(false);
        let begun = Instant::now();
        let mut lost = connect(
            stack,
            socket,
            #[cfg(feature = "tls")]
            &mut room.tls,
            &topics,
            &mut session,
            &taken_over,
            home,
        )
        .await;
        home.link(lost.link());
        if taken_over.take() {
            lost = Lost::TakenOver;
            home.step(|node, _| node.taken_over());
        }
        // A connection that does not last is no success: two boards that take each other's place
        // do it ever more slowly.
        if begun.elapsed() >= LASTING {
            backoff.succeeded();
        }
        let wait_ms = backoff.failed();
        home.log(format_args!("broker: {}, again in {wait_ms} ms", lost.words()));
        home.check_in();
        Timer::after_millis(wait_ms).await;
    }
}

fn configure<'a>(
    receive: &'a mut [u8],
    transmit: &'a mut [u8],
    provision: &Provision,
    user: &'a str,
    password: &'a str,
    presence: &str,
) -> Result<ConfigBuilder<'a>, ConfigError> {
    let fingerprint = provision.device_key().fingerprint();
    let mut client: String<24> = String::new();
    // "yagura-", five digits, "-", eight digits. See the head for why it ends with these.
    let _ = write!(client, "yagura-{user}-{fingerprint:.8}");
    ConfigBuilder::new(Buffers::new(receive, transmit))
        .client_id(&client)?
        .auth(user, password.as_bytes())?
        .keepalive_interval(KEEP_ALIVE_S)
        .will(Will::new(presence, b"0", &[])?.retained())
}

/// One connection from beginning to end.
async fn connect<H: Home>(
    stack: Stack<'static>,
    mut socket: TcpSocket<'_>,
    #[cfg(feature = "tls")] room: &mut tls::Room,
    topics: &Topics,
    session: &mut Session<'_>,
    taken_over: &Cell<bool>,
    home: &H,
) -> Lost {
    if with_timeout(STEP, stack.wait_config_up()).await.is_err() {
        return Lost::NoAddress;
    }
    let broker = (Ipv4Addr::from(home.provision().broker), home.provision().port);
    let tick = async {
        loop {
            Timer::after_millis(CONNECTING_TICK_MS).await;
        }
    };
    match select(with_timeout(STEP, socket.connect(broker)), tick).await {
        Either::First(Ok(Ok(()))) => {}
        _ => return Lost::Connect,
    }
    home.check_in();
    #[cfg(feature = "tls")]
    let wire = tls::Wire::new(socket);
    #[cfg(feature = "tls")]
    let socket = {
        let Some(key) = &home.provision().tls_key else {
            return Lost::NoKey;
        };
        match with_timeout(STEP, tls::Tls::open(&wire, room, key, home)).await {
            Ok(Ok(secure)) => secure,
            _ => return Lost::Secure,
        }
    };
    home.check_in();
    let Ok(Ok(mut connection)) = with_timeout(STEP, session.connect(Ear::new(socket, taken_over))).await
    else {
        return Lost::LogIn;
    };
    let command = TopicFilter::new(&topics.command);
    let Ok(Ok(_)) = with_timeout(STEP, connection.subscribe(&[command], &[])).await else {
        return Lost::Subscribe;
    };
    let present = Publication::bytes(&topics.presence, b"1").retain();
    if let Err(lost) = publish(connection.publish(present)).await {
        return lost;
    }
    home.log(format_args!("broker: connected"));
    home.link(Link::Online);
    home.step(|node, now_ms| node.connected(now_ms));
    serve(&mut connection, topics, home).await
}

/// Sends what the node has to say and hands down what comes, until the connection ends.
async fn serve<IO: Io, H: Home>(connection: &mut Connection<'_, '_, IO>, topics: &Topics, home: &H) -> Lost {
    // Before the first events: stored ones carry the boot in which they happened, and the
    // controller must have heard of this one before it acknowledges them.
    let mut sent = send_telemetry(connection, topics, home).await;
    while sent.is_ok() {
        home.check_in();
        sent = send_events(connection, topics, home).await;
        if sent.is_ok() {
            sent = send_telemetry(connection, topics, home).await;
        }
        // What is due now and could not be sent must not keep us from sleeping.
        let soonest = Instant::now() + Duration::from_millis(SHORTEST_SLEEP_MS);
        let deadline = Instant::from_millis(home.look(|node| node.next_deadline())).max(soonest);
        // All three may be dropped half-way: `poll` by its own promise, the others hold nothing.
        match select3(connection.poll(), home.news().wait(), Timer::at(deadline)).await {
            Either3::First(Ok(Some(message))) => {
                // We have subscribed to one topic; whatever the broker says, it is a command.
                home.step(|node, now_ms| node.downward(message.payload(), now_ms));
            }
            Either3::First(Err(_)) => sent = Err(Lost::Receive),
            Either3::First(Ok(None)) | Either3::Second(()) | Either3::Third(()) => {}
        }
    }
    sent.err().unwrap_or(Lost::Receive)
}

async fn send_events<IO: Io, H: Home>(
    connection: &mut Connection<'_, '_, IO>,
    topics: &Topics,
    home: &H,
) -> Result<(), Lost> {
    while connection.can_publish(QoS::AtLeastOnce) {
        home.check_in();
        let Some(frame) = home.send(|node, now_ms| node.event_to_send(now_ms)) else {
            break;
        };
        let event = Publication::bytes(&topics.event, &frame).qos(QoS::AtLeastOnce);
        publish(connection.publish(event)).await?;
    }
    Ok(())
}

async fn send_telemetry<IO: Io, H: Home>(
    connection: &mut Connection<'_, '_, IO>,
    topics: &Topics,
    home: &H,
) -> Result<(), Lost> {
    while connection.can_publish(QoS::AtMostOnce) {
        home.check_in();
        let Some(frame) = home.send(|node, now_ms| node.telemetry_to_send(now_ms)) else {
            break;
        };
        publish(connection.publish(Publication::bytes(&topics.telemetry, &frame))).await?;
    }
    Ok(())
}

/// A publication in bounded time. One that was not finished leaves the connection unusable.
async fn publish<T, E>(publication: impl Future<Output = Result<T, E>>) -> Result<(), Lost> {
    match with_timeout(STEP, publication).await {
        Ok(Ok(_)) => Ok(()),
        _ => Err(Lost::Publish),
    }
}
