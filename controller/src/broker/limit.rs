//! Named limits of the endpoint, with the arithmetic beside them.

use std::time::Duration;

/// Longest packet in bytes, in and out. A node's frame with its topic needs 116 + 32 + 7; a
/// CONNECT with long names, a will and properties stays well under this.
pub const MAX_PACKET: usize = 4096;
/// Longest topic or filter in bytes.
pub const MAX_TOPIC: usize = 128;
/// Most levels of a topic or filter.
pub const MAX_TOPIC_LEVELS: usize = 16;
/// Longest client id in bytes.
pub const MAX_CLIENT_ID: usize = 128;
/// Bytes offered to one read of the socket.
pub const READ_CHUNK: usize = 1024;

/// Most connections at once; more are closed at once and counted.
pub const MAX_CONNECTIONS: usize = 2048;
/// Most connections that have not been let in yet.
pub const MAX_GREETING: usize = 1024;
/// Most sessions, connected or waiting; beyond it the one that would end first is ended.
pub const MAX_SESSIONS: usize = 4096;
/// Longest life of a session without its client.
pub const MAX_SESSION_EXPIRY_SECS: u32 = 24 * 60 * 60;
/// Most subscriptions of one session.
pub const MAX_SUBSCRIPTIONS: usize = 32;

/// Unacknowledged QoS 1 messages on their way to one client.
pub const MAX_IN_FLIGHT: u16 = 16;
/// QoS 1 publishes of one client that may wait for their PUBACK (MQTT 5: Receive Maximum).
pub const RECEIVE_MAX: u16 = 32;
/// QoS 1 publishes of one account that wait for core, over its present and past connections.
pub const MAX_UNSETTLED_PER_USER: usize = 4 * RECEIVE_MAX as usize;
/// QoS 1 publishes that wait for core: at most 4,096 * 4 KiB = 16 MiB, with frames of nodes 1 MiB.
pub const MAX_UNSETTLED: usize = 4096;
/// QoS 0 messages waiting for core; the oldest is dropped.
pub const MAX_LOOSE: usize = 1024;

/// Messages waiting for one client.
pub const MAX_QUEUED: usize = 256;
/// Bytes of all messages waiting for clients.
pub const MAX_QUEUED_BYTES: usize = 16 << 20;
/// Retained messages.
pub const MAX_RETAINED: usize = 2048;
/// Bytes of all retained messages.
pub const MAX_RETAINED_BYTES: usize = 1 << 20;

/// Packets written before the socket is read again, and packets read before it is written again.
pub const MAX_BATCH: usize = 32;

/// Longest time until CONNECT is complete and answered.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time one write may take.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a refused client waits for its answer, so that guessing is slow.
pub const REFUSAL_DELAY: Duration = Duration::from_secs(1);
/// Longest time a client is not read because core is behind; then it is closed and resends.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest time a closed socket is emptied, so that our last words are not lost to a reset.
pub const LINGER: Duration = Duration::from_millis(500);
/// Most bytes thrown away while lingering.
pub const MAX_LINGER_BYTES: usize = 64 << 10;
/// Keep-alive of a client that names none, and the longest MQTT 5 keep-alive we accept.
pub const MAX_KEEP_ALIVE_SECS: u16 = 600;

/// First pause after a failed accept (EMFILE), doubled up to the next.
pub const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);
/// Longest pause after a failed accept.
pub const MAX_ACCEPT_BACKOFF: Duration = Duration::from_secs(2);
/// First pause before core is called again, doubled up to the next.
pub const LINK_BACKOFF: Duration = Duration::from_millis(100);
/// Longest pause before core is called again.
pub const MAX_LINK_BACKOFF: Duration = Duration::from_secs(2);
/// Messages between the endpoint and the task that holds the socket of core.
pub const LINK_QUEUE: usize = 256;
/// How often expired sessions, due wills and changed counters are looked for.
pub const TICK: Duration = Duration::from_secs(1);
/// Counters are sent at least once in so many ticks.
pub const COUNTERS_EVERY: u32 = 5;
/// Longest time connections get to say goodbye when the role stops.
pub const STOP_GRACE: Duration = Duration::from_secs(2);

const _: () = assert!(shared::limit::MAX_TOPIC <= MAX_TOPIC);
const _: () = assert!(shared::limit::MAX_FRAME + MAX_TOPIC + 16 <= MAX_PACKET);
const _: () = assert!(MAX_UNSETTLED_PER_USER < MAX_UNSETTLED);
const _: () = assert!(MAX_PACKET <= u16::MAX as usize, "so lengths below fit 16 bits");
