//! Sources: they bring what happens into core's loop, and decide nothing.
//!
//! Each is one file with a `run` future that core's app spawns; it sends into a bounded channel
//! and ends when the channel closes.

pub mod lateness;
pub mod mqtt;
pub mod poll;
pub mod trap;

/// A message of the MQTT side, from the built-in endpoint or from an external broker.
#[derive(Debug)]
pub struct Message {
    /// Account of the sender when the endpoint is ours; an external broker does not tell.
    pub user: Option<String>,
    /// Topic.
    pub topic: String,
    /// Payload.
    pub payload: Vec<u8>,
    /// True for a retained message: its age is unknown.
    pub retained: bool,
    /// When it arrived here, for the measure of how far the loop is behind.
    pub at: tokio::time::Instant,
    /// To be answered once the message is committed or refused for good; only then may the
    /// sender's PUBACK leave.
    pub settle: Option<tokio::sync::oneshot::Sender<()>>,
}

/// A message to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Topic.
    pub topic: String,
    /// Payload.
    pub payload: Vec<u8>,
}
