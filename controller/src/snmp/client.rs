//! The shared sockets, and the questions asked over them.

use super::SnmpVersion;
use super::answer::{self, Answer, Refusal, Rows};
use super::packet::{ID_MIN, Packet, Question};
use super::plan::{Part, Plan};
use super::{Error, Oid, RETRIES_MAX, Target, VARIABLES_MAX, Value, WALK_ROWS_MAX};
use rand::Rng as _;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// Datagrams held for one question: the answer, an answer to the packet sent again, and room
/// for two that are refused.
const ANSWERS_HELD: usize = 4;
/// The largest UDP datagram.
const DATAGRAM_MAX: usize = 65_535;
/// Rows asked in one GETBULK.
const BULK_ROWS: u16 = 20;
/// Packets of one question for each of its variables, and a few more: every variable may have
/// to be dropped by one packet (v1), and every packet be split.
const PACKETS_PER_VARIABLE: usize = 2;
const PACKETS_MORE: usize = 8;
/// Later tries wait longer, up to so many times the first wait.
const BACKOFF_MAX: u32 = 4;
/// Waits differ by so much of themselves, so that many devices do not speak at once.
const JITTER: f64 = 0.1;
/// Pause after the socket itself failed, so that a broken one does not take a core.
const SOCKET_PAUSE: Duration = Duration::from_millis(20);

const TOO_BIG: u32 = 1;
const NO_SUCH_NAME: u32 = 2;

/// A manager's end of SNMP. Clones share the sockets; the last one closes them.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    v4: Option<Arc<UdpSocket>>,
    v6: Option<Arc<UdpSocket>>,
    demux: Arc<Demux>,
    next_id: AtomicI32,
    receivers: Vec<AbortHandle>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        for receiver in &self.receivers {
            receiver.abort();
        }
    }
}

/// What was sent, refused and ignored since the client was bound.
#[derive(Debug, Default)]
pub struct Counters {
    /// Packets sent, repeated ones as well.
    pub sent: AtomicU64,
    /// Packets sent again.
    pub repeated: AtomicU64,
    /// Answers taken.
    pub answered: AtomicU64,
    /// Questions given up without an answer.
    pub timeouts: AtomicU64,
    /// Answers refused whole.
    pub refused: AtomicU64,
    /// Datagrams that answer no open question: late, repeated or foreign.
    pub unexpected: AtomicU64,
    /// Datagrams that are no SNMP.
    pub malformed: AtomicU64,
}

impl Counters {
    /// Names and values, for the snapshot.
    #[must_use]
    pub fn list(&self) -> [(&'static str, u64); 7] {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("snmp.sent", get(&self.sent)),
            ("snmp.repeated", get(&self.repeated)),
            ("snmp.answered", get(&self.answered)),
            ("snmp.timeouts", get(&self.timeouts)),
            ("snmp.refused", get(&self.refused)),
            ("snmp.unexpected", get(&self.unexpected)),
            ("snmp.malformed", get(&self.malformed)),
        ]
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Address, port and request id.
type Key = (IpAddr, u16, i32);

/// Open questions: one for each task that asks. The lock is held for a look-up only, never across
/// an await.
#[derive(Debug, Default)]
struct Demux {
    open: Mutex<HashMap<Key, mpsc::Sender<Vec<u8>>>>,
    counters: Counters,
}

impl Demux {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, mpsc::Sender<Vec<u8>>>> {
        // The map is whole between any two statements, so a panic elsewhere left it usable.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn deliver(&self, from: SocketAddr, datagram: &[u8]) {
        let Some(id) = answer::request_id(datagram) else {
            count(&self.counters.malformed);
            return;
        };
        let question = self.lock().get(&(from.ip(), from.port(), id)).cloned();
        let taken = question.is_some_and(|question| question.try_send(datagram.to_vec()).is_ok());
        if !taken {
            count(&self.counters.unexpected);
        }
    }
}

/// Keeps a question open; dropped, whatever still comes for it is unexpected.
struct Open<'a> {
    demux: &'a Demux,
    key: Key,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.demux.lock().remove(&self.key);
    }
}

async fn receive(socket: Arc<UdpSocket>, demux: Arc<Demux>) {
    let mut buffer = vec![0; DATAGRAM_MAX];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((length, from)) => demux.deliver(from, &buffer[..length]),
            Err(error) => {
                tracing::debug!(%error, "receive SNMP");
                tokio::time::sleep(SOCKET_PAUSE).await;
            }
        }
    }
}

impl Client {
    /// Opens one socket for each address family that this machine has.
    ///
    /// # Errors
    /// [`Error::Bind`] when there is neither.
    pub async fn bind() -> Result<Self, Error> {
        let v4 = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await;
        let v6 = bind_v6().await;
        let (v4, v6) = match (v4, v6) {
            (Err(error), None) => return Err(Error::Bind(error)),
            (v4, v6) => (v4.ok().map(Arc::new), v6.map(Arc::new)),
        };
        let demux = Arc::new(Demux::default());
        let receivers = v4
            .iter()
            .chain(v6.iter())
            .map(|socket| tokio::spawn(receive(Arc::clone(socket), Arc::clone(&demux))).abort_handle())
            .collect();
        Ok(Self {
            inner: Arc::new(Inner {
                v4,
                v6,
                demux,
                next_id: AtomicI32::new(rand::rng().random_range(ID_MIN..i32::MAX)),
                receivers,
            }),
        })
    }

    /// What was sent, refused and ignored so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.inner.demux.counters
    }

    /// Reads these instances; each comes back with its value or with the reason why there is
    /// none, in the order asked.
    ///
    /// # Errors
    /// When nothing can be said about any of them: no answer, or one that is refused.
    pub async fn get(&self, target: &Target, oids: &[Oid]) -> Result<Vec<(Oid, Value)>, Error> {
        if oids.len() > VARIABLES_MAX {
            return Err(Error::Limit {
                addr: target.addr,
                what: "variables of one question",
                limit: VARIABLES_MAX,
            });
        }
        let mut plan = Plan::new(target, oids);
        let values = self.ask(&mut plan).await?;
        Ok(plan.oids().iter().cloned().zip(values).collect())
    }

    /// Asks a plan and teaches it what the device does not have. Values stand in the order of
    /// the plan's variables.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn ask(&self, plan: &mut Plan) -> Result<Vec<Value>, Error> {
        let target = plan.target().clone();
        let limit = plan.oids().len() * PACKETS_PER_VARIABLE + PACKETS_MORE;
        let mut values = plan.blank();
        let mut waiting: VecDeque<Part> = plan.parts().into();
        let mut packets = 0;
        while let Some(part) = waiting.pop_front() {
            packets += 1;
            if packets > limit {
                return Err(Error::Limit {
                    addr: target.addr,
                    what: "packets of one question",
                    limit,
                });
            }
            let answer = self
                .exchange(&target, &part.packet, |datagram| {
                    answer::read_get(&part.packet, datagram)
                })
                .await?;
            let (status, at) = match answer {
                Answer::Values(list) => {
                    for (index, value) in part.indices.iter().zip(list) {
                        values[*index] = value;
                    }
                    continue;
                }
                Answer::Error { status, at } => (status, at),
            };
            let single = part.indices.len() == 1;
            match (status, at.or(single.then_some(0))) {
                (TOO_BIG, _) | (_, None) if !single => {
                    if status == TOO_BIG {
                        plan.shrink(part.indices.len());
                    }
                    let (front, back) = part.indices.split_at(part.indices.len() / 2);
                    waiting.push_front(plan.part(back));
                    waiting.push_front(plan.part(front));
                }
                (_, Some(at)) => {
                    let index = part.indices[at];
                    if status == NO_SUCH_NAME {
                        plan.skip(index);
                    } else {
                        values[index] = Value::DeviceError(status);
                    }
                    let mut rest = part.indices.to_vec();
                    rest.remove(at);
                    if !rest.is_empty() {
                        waiting.push_front(plan.part(&rest));
                    }
                }
                // A part is never empty, so an error without a variable belongs to the arm above.
                (_, None) => values[part.indices[0]] = Value::DeviceError(status),
            }
        }
        Ok(values)
    }

    /// Reads the instance that follows `oid`; [`Value::EndOfMib`] with `oid` itself when none
    /// does.
    ///
    /// # Errors
    /// No answer, or one that is refused, reports an error or does not follow `oid`.
    pub async fn get_next(&self, target: &Target, oid: &Oid) -> Result<(Oid, Value), Error> {
        let mut rows = self.rows_after(target, oid, Question::GetNext, 1).await?;
        Ok(rows.pop().unwrap_or((oid.clone(), Value::EndOfMib)))
    }

    /// Reads everything under `root`, at most `limit` rows (and never more than
    /// [`WALK_ROWS_MAX`]).
    ///
    /// # Errors
    /// As [`Self::get_next`], and [`Error::Limit`] when there are more rows.
    pub async fn walk(&self, target: &Target, root: &Oid, limit: usize) -> Result<Vec<(Oid, Value)>, Error> {
        let limit = limit.min(WALK_ROWS_MAX);
        match self.walk_first(target, root, limit).await? {
            (rows, false) => Ok(rows),
            (_, true) => Err(Error::Limit {
                addr: target.addr,
                what: "rows of one walk",
                limit,
            }),
        }
    }

    /// Reads the first `limit` rows under `root`; true when there are more.
    ///
    /// # Errors
    /// As [`Self::get_next`].
    pub async fn walk_first(
        &self,
        target: &Target,
        root: &Oid,
        limit: usize,
    ) -> Result<(Vec<(Oid, Value)>, bool), Error> {
        let limit = limit.min(WALK_ROWS_MAX);
        let (question, at_once) = match target.version {
            SnmpVersion::V1 => (Question::GetNext, 1),
            SnmpVersion::V2c => (Question::GetBulk(BULK_ROWS), usize::from(BULK_ROWS)),
        };
        let mut found: Vec<(Oid, Value)> = Vec::new();
        loop {
            let last = found.last().map_or(root, |(oid, _)| oid).clone();
            let rows = self.rows_after(target, &last, question, at_once).await?;
            if rows.is_empty() {
                return Ok((found, false));
            }
            for (oid, value) in rows {
                if !oid.is_under(root) || value == Value::EndOfMib {
                    return Ok((found, false));
                }
                if found.len() == limit {
                    return Ok((found, true));
                }
                found.push((oid, value));
            }
        }
    }

    /// Rows that follow `oid`, each greater than the one before; none at the end of the MIB.
    async fn rows_after(
        &self,
        target: &Target,
        oid: &Oid,
        question: Question,
        at_once: usize,
    ) -> Result<Vec<(Oid, Value)>, Error> {
        let packet = Packet::new(
            target.version,
            &target.community.0,
            question,
            std::slice::from_ref(oid),
        );
        let read = |datagram: &[u8]| answer::read_rows(&packet, datagram, at_once);
        let mut rows = match self.exchange(target, &packet, read).await? {
            Rows::Rows(rows) => rows,
            // v1 says so at the end of the MIB.
            Rows::Error { status: NO_SUCH_NAME } => return Ok(Vec::new()),
            Rows::Error { status } => {
                return Err(Error::Status {
                    addr: target.addr,
                    status,
                });
            }
        };
        if let Some(end) = rows.iter().position(|(_, value)| *value == Value::EndOfMib) {
            rows.truncate(end);
        }
        let mut last = oid;
        for (name, _) in &rows {
            if name <= last {
                return Err(Error::NotIncreasing {
                    addr: target.addr,
                    oid: name.clone(),
                });
            }
            last = name;
        }
        Ok(rows)
    }

    /// Sends a packet until `read` accepts an answer. A refused answer does not end the wait: a
    /// good one may follow, and a forged one must not cut it off.
    async fn exchange<T>(
        &self,
        target: &Target,
        packet: &Packet,
        read: impl Fn(&[u8]) -> Result<T, Refusal>,
    ) -> Result<T, Error> {
        let id = self.next_id();
        let bytes = packet.with_id(id);
        let (question, mut answers) = mpsc::channel(ANSWERS_HELD);
        let open = Open {
            demux: &self.inner.demux,
            key: (target.addr.ip(), target.addr.port(), id),
        };
        open.demux.lock().insert(open.key, question);
        let mut refusal = None;
        let retries = target.retries.min(RETRIES_MAX);
        for attempt in 0..=retries {
            if attempt > 0 {
                count(&self.counters().repeated);
            }
            self.send(target.addr, &bytes).await?;
            let wait = jittered(target.timeout * BACKOFF_MAX.min(1 << attempt.min(8)));
            let good = async {
                // `recv` is cancel-safe: an answer not taken before the time-out is taken in the
                // next round, because every try has the same id.
                while let Some(datagram) = answers.recv().await {
                    match read(&datagram) {
                        Ok(answer) => return Some(answer),
                        Err(reason) => {
                            count(&self.counters().refused);
                            refusal = Some(reason);
                        }
                    }
                }
                None
            };
            if let Ok(Some(answer)) = tokio::time::timeout(wait, good).await {
                count(&self.counters().answered);
                return Ok(answer);
            }
        }
        count(&self.counters().timeouts);
        Err(match refusal {
            Some(refusal) => Error::Refused {
                addr: target.addr,
                refusal,
            },
            None => Error::Timeout {
                addr: target.addr,
                tries: u32::from(retries) + 1,
            },
        })
    }

    async fn send(&self, addr: SocketAddr, bytes: &[u8]) -> Result<(), Error> {
        let socket = match addr {
            SocketAddr::V4(_) => &self.inner.v4,
            SocketAddr::V6(_) => &self.inner.v6,
        };
        let sent = match socket {
            Some(socket) => socket.send_to(bytes, addr).await,
            None => Err(std::io::Error::from(std::io::ErrorKind::AddrNotAvailable)),
        };
        count(&self.counters().sent);
        sent.map(|_| ()).map_err(|source| Error::Send { addr, source })
    }

    fn next_id(&self) -> i32 {
        let step = |id: i32| if id == i32::MAX { ID_MIN } else { id + 1 };
        self.inner
            .next_id
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |id| Some(step(id)))
            .unwrap_or(ID_MIN)
    }
}

/// The other family's socket; a machine without IPv6 has none.
async fn bind_v6() -> Option<UdpSocket> {
    UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await.ok()
}

fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::rng().random_range(1.0 - JITTER..1.0 + JITTER))
}
