//! This role's end of the link to core.
//!
//! ```text
//! Away --connected, Hello both ways--> Linked{no picture} --Snapshot--> Linked{picture}
//!   ^------- closed, unreadable, or silent for SILENT_AFTER -----------------'
//! ```
//!
//! The picture goes out by `watch` (only the latest counts), records by `broadcast` (a reader
//! that falls behind is told so and leaves). A core that is stopped but keeps its socket open
//! is noticed by a question it must answer, since a quiet room and a dead core look alike.

use super::{Counters, count};
use crate::link::wire::{self, LinkError, Reader, Writer};
use crate::link::{AccessQuestion, Command, FromWeb, LimitQuestion, OutageQuestion, Refused, Role, ToWeb};
use bytes::Bytes;
use room::time::Mono;
use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::timeout;

/// First wait before connecting again; doubles up to [`BACKOFF_MAX`].
pub const BACKOFF_FIRST: Duration = Duration::from_millis(20);
/// Longest wait before connecting again: the page is blind for that long after core is back.
pub const BACKOFF_MAX: Duration = Duration::from_millis(200);
/// Core must take a message within this time.
pub const SEND_WITHIN: Duration = Duration::from_secs(5);
/// How often core is asked a question that costs it nothing.
pub const PING_EVERY: Duration = Duration::from_secs(4);
/// Silence after which core counts as away: two questions and some room for a slow disk.
pub const SILENT_AFTER: Duration = Duration::from_secs(10);
/// Longest wait for the answer to a command or query.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Questions that wait for core at once.
pub const MAX_PENDING: usize = 256;
/// Batches of records a stream may be behind.
pub const MAX_BEHIND: usize = 256;

/// Token of the question that only checks that core is alive.
const PING: u64 = 0;

/// What web knows of core.
#[derive(Debug, Clone)]
pub enum CoreState {
    /// Not connected, or connected to something that does not answer.
    Away {
        /// Since when.
        since: Mono,
    },
    /// Core answers.
    Linked {
        /// The latest picture; `None` until the first one came.
        picture: Option<Arc<Picture>>,
    },
}

/// A picture of the room as core drew it.
#[derive(Debug)]
pub struct Picture {
    /// JSON of `room::snapshot::Snapshot`.
    pub json: Bytes,
    /// The same as an event of the stream, made once for all readers.
    pub frame: Bytes,
    /// When it came.
    pub received: Mono,
}

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AskError {
    /// Core is away.
    Away,
    /// Core took the question and did not answer.
    TimedOut,
    /// Too many questions wait already.
    Busy,
    /// Core refused.
    Refused(Refused),
}

/// A question to core; it becomes a [`FromWeb`] with a token.
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    /// A command of an operator.
    Command {
        /// Who.
        by: String,
        /// What.
        command: Command,
    },
    /// History of a point.
    History {
        /// Point id.
        point: String,
        /// Milliseconds since 1970 UTC.
        from_ms: i64,
        /// Milliseconds since 1970 UTC.
        to_ms: i64,
        /// Most rows.
        buckets: u32,
    },
    /// About limits.
    Limits(LimitQuestion),
    /// About rehearsals and outages.
    Outage(OutageQuestion),
    /// About the entry log.
    Log(crate::link::LogQuestion),
    /// Everything that a device tells.
    Device {
        /// Short name of the device.
        name: String,
    },
    /// Records after a sequence number.
    Records {
        /// Exclusive.
        after: u64,
        /// Most records.
        limit: u32,
    },
    /// How much of a span was watched.
    Coverage {
        /// Milliseconds since 1970 UTC.
        from_ms: i64,
        /// Milliseconds since 1970 UTC.
        to_ms: i64,
    },
    /// What would be if these were lost now.
    WhatIf {
        /// UPSes, PDUs, ATSes, outlets or `mains`.
        lose: Vec<String>,
    },
    /// Every incident.
    Incidents,
    /// About persons, cards and passages.
    Access(AccessQuestion),
    /// The document of an incident.
    Incident {
        /// Which.
        incident: u32,
        /// As it was after this record.
        upto: Option<u64>,
    },
}

impl Question {
    fn with(self, token: u64) -> FromWeb {
        match self {
            Self::Command { by, command } => FromWeb::Command { token, by, command },
            Self::History {
                point,
                from_ms,
                to_ms,
                buckets,
            } => FromWeb::History {
                token,
                point,
                from_ms,
                to_ms,
                buckets,
            },
            Self::Limits(question) => FromWeb::Limits { token, question },
            Self::Outage(question) => FromWeb::Outage { token, question },
            Self::Log(question) => FromWeb::Log { token, question },
            Self::Device { name } => FromWeb::Device { token, name },
            Self::Records { after, limit } => FromWeb::Records { token, after, limit },
            Self::Coverage { from_ms, to_ms } => FromWeb::Coverage {
                token,
                from_ms,
                to_ms,
            },
            Self::WhatIf { lose } => FromWeb::WhatIf { token, lose },
            Self::Incidents => FromWeb::Incidents { token },
            Self::Access(question) => FromWeb::Access { token, question },
            Self::Incident { incident, upto } => FromWeb::Incident {
                token,
                incident,
                upto,
            },
        }
    }
}

struct Ask {
    question: Question,
    reply: Reply,
}

type Reply = oneshot::Sender<Result<Vec<u8>, AskError>>;

/// Handle to core. Cheap to clone.
#[derive(Clone)]
pub struct Core {
    asks: mpsc::Sender<Ask>,
    state: watch::Receiver<CoreState>,
    records: broadcast::Sender<Bytes>,
}

impl Core {
    /// The latest state.
    #[must_use]
    pub fn state(&self) -> CoreState {
        self.state.borrow().clone()
    }

    /// The latest picture, unless core is away.
    #[must_use]
    pub fn picture(&self) -> Option<Arc<Picture>> {
        match &*self.state.borrow() {
            CoreState::Away { .. } => None,
            CoreState::Linked { picture } => picture.clone(),
        }
    }

    /// Follows the state.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<CoreState> {
        self.state.clone()
    }

    /// Follows the records committed from now on, as events of the stream.
    #[must_use]
    pub fn records(&self) -> broadcast::Receiver<Bytes> {
        self.records.subscribe()
    }

    /// Asks core and waits for its answer, at most [`ANSWER_WITHIN`].
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask(&self, question: Question) -> Result<Vec<u8>, AskError> {
        if matches!(*self.state.borrow(), CoreState::Away { .. }) {
            return Err(AskError::Away);
        }
        let (reply, answer) = oneshot::channel();
        self.asks
            .try_send(Ask { question, reply })
            .map_err(|full| match full {
                mpsc::error::TrySendError::Full(_) => AskError::Busy,
                mpsc::error::TrySendError::Closed(_) => AskError::Away,
            })?;
        match timeout(ANSWER_WITHIN, answer).await {
            Ok(Ok(result)) => result,
            // The link dropped the question: it was lost on the way.
            Ok(Err(_)) => Err(AskError::Away),
            Err(_) => Err(AskError::TimedOut),
        }
    }
}

/// The handle, and the future that keeps the link; it never ends while a handle lives.
pub fn connect(socket: PathBuf, counters: Arc<Counters>) -> (Core, impl Future<Output = ()> + Send) {
    let (asks, questions) = mpsc::channel(MAX_PENDING);
    let (state, states) = watch::channel(CoreState::Away {
        since: crate::clock::now().mono,
    });
    let (records, _) = broadcast::channel(MAX_BEHIND);
    let core = Core {
        asks,
        state: states,
        records: records.clone(),
    };
    let outlet = Outlet { state, records };
    (core, keep(socket, questions, outlet, counters))
}

/// Where what core says goes.
struct Outlet {
    state: watch::Sender<CoreState>,
    records: broadcast::Sender<Bytes>,
}

async fn keep(socket: PathBuf, mut questions: mpsc::Receiver<Ask>, outlet: Outlet, counters: Arc<Counters>) {
    let mut backoff = BACKOFF_FIRST;
    loop {
        match wire::connect(&socket, Role::Web).await {
            Ok((reader, writer)) => {
                tracing::info!("linked to core");
                outlet.state.send_replace(CoreState::Linked { picture: None });
                let why = talk(reader, writer, &mut questions, &outlet).await;
                outlet.state.send_replace(CoreState::Away {
                    since: crate::clock::now().mono,
                });
                count(&counters.link_losses);
                let Some(why) = why else { return };
                tracing::warn!(error = &why as &dyn std::error::Error, "lost core");
                backoff = BACKOFF_FIRST;
            }
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "core is not there");
                backoff = (backoff * 2).min(BACKOFF_MAX);
            }
        }
        let pause = tokio::time::sleep(backoff);
        tokio::pin!(pause);
        loop {
            // Both arms are cancel-safe: `recv` loses nothing, the pause keeps its deadline.
            tokio::select! {
                () = &mut pause => break,
                ask = questions.recv() => match ask {
                    // Nobody is there to ask; dropping the reply says so.
                    Some(ask) => drop(ask),
                    None => return,
                },
            }
        }
    }
}

/// Questions on their way, by token.
#[derive(Default)]
struct Pending(Mutex<HashMap<u64, Reply>>);

impl Pending {
    fn insert(&self, token: u64, reply: Reply) -> bool {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if map.len() >= MAX_PENDING {
            // Those whose asker gave up.
            map.retain(|_, reply| !reply.is_closed());
        }
        if map.len() >= MAX_PENDING {
            let _ = reply.send(Err(AskError::Busy));
            return false;
        }
        map.insert(token, reply);
        true
    }

    fn take(&self, token: u64) -> Option<Reply> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&token)
    }
}

/// Reads and writes until the link breaks; `None` when no handle is left.
async fn talk(
    mut reader: Reader,
    mut writer: Writer,
    questions: &mut mpsc::Receiver<Ask>,
    outlet: &Outlet,
) -> Option<LinkError> {
    let pending = Pending::default();
    let reading = async {
        loop {
            match timeout(SILENT_AFTER, reader.next::<ToWeb>()).await {
                Err(_) => return Some(silent()),
                Ok(Err(error)) => return Some(error),
                Ok(Ok(message)) => take_in(message, &pending, outlet),
            }
        }
    };
    let writing = async {
        let mut token = PING;
        let mut ping = tokio::time::interval(PING_EVERY);
        ping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            // Both arms are cancel-safe; the sending happens after one was chosen.
            let message = tokio::select! {
                _ = ping.tick() => Question::Records { after: i64::MAX as u64, limit: 1 }.with(PING),
                ask = questions.recv() => {
                    let Ask { question, reply } = ask?;
                    token += 1;
                    if !pending.insert(token, reply) {
                        continue;
                    }
                    question.with(token)
                }
            };
            match timeout(SEND_WITHIN, writer.send(&message)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Some(error),
                Err(_) => return Some(LinkError::Silent),
            }
        }
    };
    tokio::select! {
        why = reading => why,
        why = writing => why,
    }
}

fn silent() -> LinkError {
    LinkError::Io(std::io::Error::new(
        std::io::ErrorKind::TimedOut,
        "core keeps its socket open and says nothing",
    ))
}

fn take_in(message: ToWeb, pending: &Pending, outlet: &Outlet) {
    match message {
        ToWeb::Snapshot(json) => {
            let picture = Picture {
                frame: frame("snapshot", &json),
                json: Bytes::from(json),
                received: crate::clock::now().mono,
            };
            outlet.state.send_replace(CoreState::Linked {
                picture: Some(Arc::new(picture)),
            });
        }
        // No reader is no fault.
        ToWeb::Records(json) => drop(outlet.records.send(frame("records", &json))),
        ToWeb::Answer { token, result } => {
            if let Some(reply) = pending.take(token) {
                // The asker may have given up.
                let _ = reply.send(result.map_err(AskError::Refused));
            }
        }
    }
}

/// An event of the stream. JSON has line ends only between its tokens, where a space is as
/// good; in the stream they would end the event.
#[must_use]
pub fn frame(event: &str, json: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(json.len() + event.len() + 20);
    frame.extend_from_slice(b"event: ");
    frame.extend_from_slice(event.as_bytes());
    frame.extend_from_slice(b"\ndata: ");
    frame.extend(json.iter().map(|byte| match byte {
        b'\n' | b'\r' => b' ',
        other => *other,
    }));
    frame.extend_from_slice(b"\n\n");
    Bytes::from(frame)
}
