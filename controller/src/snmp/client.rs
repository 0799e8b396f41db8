//! The shared sockets, and the questions asked over them.

use super::answer::{self, Answer, Rows};
use super::demux::{Counters, Demux, count};
use super::packet::{Packet, Question};
use super::plan::{Part, Plan};
use super::trap::{NoEngine, OwnEngine};
use super::usm::KeyCache;
use super::{Access, Error, Oid, Target, VARIABLES_MAX, Value, WALK_ROWS_MAX};
use crate::clock;
use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;

/// The largest UDP datagram.
const DATAGRAM_MAX: usize = 65_535;
/// What the kernel holds for us while we do something else: the answers of some thousand agents
/// that were asked in the same moment. The kernel cuts it to what the machine allows.
const SOCKET_BUFFER: usize = 4 << 20;
/// Packets of one question for each of its variables, and a few more: every variable may have
/// to be dropped by one packet (v1), and every packet be split.
const PACKETS_PER_VARIABLE: usize = 2;
const PACKETS_MORE: usize = 8;
/// Columns read by one GETBULK.
pub(super) const COLUMNS_AT_ONCE: usize = 8;
/// Pause after the socket itself failed, so that a broken one does not take a core.
const SOCKET_PAUSE: Duration = Duration::from_millis(20);
/// Engines whose address is remembered, to see two agents that claim to be one.
const CLAIMS_MAX: usize = 20_000;

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
    keys: KeyCache,
    claims: Claims,
    salts: AtomicU64,
    receivers: Vec<AbortHandle>,
    own: Mutex<Option<Arc<OwnEngine>>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        for receiver in &self.receivers {
            receiver.abort();
        }
    }
}

/// Which address was seen with which engine id.
#[derive(Debug, Default)]
pub(super) struct Claims {
    engines: Mutex<HashMap<Vec<u8>, SocketAddr>>,
}

impl Claims {
    /// False when another address has this engine id.
    pub(super) fn claim(&self, engine: &[u8], addr: SocketAddr) -> bool {
        let mut engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        if engines.len() >= CLAIMS_MAX && !engines.contains_key(engine) {
            engines.clear();
        }
        *engines.entry(engine.to_vec()).or_insert(addr) == addr
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

/// The socket of a family; a machine without IPv6 has only one.
async fn socket(addr: SocketAddr) -> std::io::Result<Arc<UdpSocket>> {
    let socket = UdpSocket::bind(addr).await?;
    if let Err(error) = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BUFFER) {
        tracing::debug!(%error, "make the SNMP socket's buffer larger");
    }
    Ok(Arc::new(socket))
}

impl Client {
    /// Opens one socket for each address family that this machine has.
    ///
    /// # Errors
    /// [`Error::Bind`] when there is neither.
    pub async fn bind() -> Result<Self, Error> {
        let v4 = socket((Ipv4Addr::UNSPECIFIED, 0).into()).await;
        let v6 = socket((Ipv6Addr::UNSPECIFIED, 0).into()).await.ok();
        let (v4, v6) = match (v4, v6) {
            (Err(error), None) => return Err(Error::Bind(error)),
            (v4, v6) => (v4.ok(), v6),
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
                keys: KeyCache::default(),
                claims: Claims::default(),
                salts: AtomicU64::new(rand::random()),
                receivers,
                own: Mutex::default(),
            }),
        })
    }

    /// What was sent, refused and ignored so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.inner.demux.counters
    }

    /// Our own engine, which informs are sent to and in whose name traps of v3 go out. It is opened
    /// in `folder` by who asks first, and then is the engine of this client and its clones: two
    /// with one id would each count their own starts.
    ///
    /// # Errors
    /// [`NoEngine`]
    pub fn own_engine(&self, folder: &Path) -> Result<Arc<OwnEngine>, NoEngine> {
        let mut own = self.inner.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = own.as_ref() {
            return Ok(Arc::clone(own));
        }
        let opened = Arc::new(OwnEngine::open(folder, clock::now().mono)?);
        Ok(Arc::clone(own.insert(opened)))
    }

    pub(super) fn demux(&self) -> &Demux {
        &self.inner.demux
    }

    pub(super) fn keys(&self) -> &KeyCache {
        &self.inner.keys
    }

    pub(super) fn claims(&self) -> &Claims {
        &self.inner.claims
    }

    pub(super) fn salts(&self) -> &AtomicU64 {
        &self.inner.salts
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
        let mut has_answered = false;
        while let Some(part) = waiting.pop_front() {
            packets += 1;
            if packets > limit {
                return Err(Error::Limit {
                    addr: target.addr,
                    what: "packets of one question",
                    limit,
                });
            }
            let asked = part.indices.len();
            let answer = match self.ask_part(&target, &part).await {
                Ok(answer) => answer,
                // It has just answered another packet, so it is not dead: these values may be longer.
                Err(Error::Timeout { .. }) if target.learned.silent(asked) || (has_answered && asked > 1) => {
                    // One variable tells a dead agent from one that drops what is too large.
                    self.ask_part(&target, &plan.part(&part.indices[..1])).await?;
                    // It may have come back just now, and then the size was never the matter.
                    match self.ask_part(&target, &part).await {
                        Ok(answer) => answer,
                        Err(Error::Timeout { .. }) => {
                            target.learned.dropped(asked);
                            count(&self.counters().shrunk);
                            for smaller in part.indices.chunks(target.learned.variables()).rev() {
                                waiting.push_front(plan.part(smaller));
                            }
                            continue;
                        }
                        Err(error) => return Err(error),
                    }
                }
                Err(error) => return Err(error),
            };
            has_answered = true;
            let (status, at) = match answer {
                Answer::Values(list) => {
                    target.learned.answered(asked);
                    for (index, value) in part.indices.iter().zip(list) {
                        values[*index] = value;
                    }
                    continue;
                }
                Answer::Error { status, at } => (status, at),
            };
            match (status, at.or((asked == 1).then_some(0))) {
                (TOO_BIG, _) | (_, None) if asked > 1 => {
                    if status == TOO_BIG {
                        target.learned.too_big(asked);
                        count(&self.counters().shrunk);
                    }
                    let (front, back) = part.indices.split_at(asked / 2);
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

    async fn ask_part(&self, target: &Target, part: &Part) -> Result<Answer, Error> {
        self.exchange(target, &part.packet, |body, _| {
            answer::read_get(&part.packet, body)
        })
        .await
    }

    /// Reads the instance that follows `oid`; [`Value::EndOfMib`] with `oid` itself when none
    /// does.
    ///
    /// # Errors
    /// No answer, or one that is refused, reports an error or does not follow `oid`.
    pub async fn get_next(&self, target: &Target, oid: &Oid) -> Result<(Oid, Value), Error> {
        let mut rows = self.rows_after(target, &[oid], 1).await?;
        let row = rows.pop().filter(|(_, value)| *value != Value::EndOfMib);
        match row {
            Some((name, _)) if name <= *oid => Err(Error::NotIncreasing {
                addr: target.addr,
                oid: name,
            }),
            Some(row) => Ok(row),
            None => Ok((oid.clone(), Value::EndOfMib)),
        }
    }

    /// Reads in one packet the instance that follows each of these. Fewer rows than asked for, and
    /// errors, say nothing of any single one: then they are asked for one by one.
    ///
    /// # Errors
    /// No answer, or one that is refused or reports an error.
    pub async fn get_next_each(&self, target: &Target, oids: &[Oid]) -> Result<Vec<(Oid, Value)>, Error> {
        let after: Vec<&Oid> = oids.iter().collect();
        self.rows_after(target, &after, 1).await
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
        let mut found = self
            .walk_columns(target, std::slice::from_ref(root), limit)
            .await?;
        Ok(found.pop().unwrap_or_default())
    }

    /// Reads the first `each` rows under each of the roots, several of them with each packet: for
    /// the columns of a table, which are alike in length. True where there are more.
    ///
    /// # Errors
    /// As [`Self::get_next`]; one bad column spoils the walk, so who wants to know which asks for
    /// them one by one.
    pub async fn walk_columns(
        &self,
        target: &Target,
        roots: &[Oid],
        each: usize,
    ) -> Result<Vec<(Vec<(Oid, Value)>, bool)>, Error> {
        let mut found: Vec<(Vec<(Oid, Value)>, bool)> = vec![(Vec::new(), false); roots.len()];
        let mut open: VecDeque<usize> = (0..roots.len()).collect();
        while !open.is_empty() {
            let most = match target.access {
                // The end of one column is the end of the whole packet there.
                Access::V1(_) => 1,
                Access::V2c(_) | Access::V3(_) => target.learned.variables().min(COLUMNS_AT_ONCE),
            };
            let at_once: Vec<usize> = open.drain(..open.len().min(most)).collect();
            let after: Vec<&Oid> = at_once
                .iter()
                .map(|column| found[*column].0.last().map_or(&roots[*column], |(oid, _)| oid))
                .collect();
            let rows = self.step(target, &after).await?;
            let mut is_open = vec![true; at_once.len()];
            if rows.as_ref().is_some_and(Vec::is_empty) {
                is_open.fill(false);
            }
            for (index, (oid, value)) in rows.into_iter().flatten().enumerate() {
                // RFC 3416 4.2.3: the columns take turns, and an answer may end anywhere.
                let turn = index % at_once.len();
                let column = at_once[turn];
                if !is_open[turn] {
                    continue;
                }
                let root = &roots[column];
                if value == Value::EndOfMib || !oid.is_under(root) {
                    is_open[turn] = false;
                    continue;
                }
                let (rows, is_more) = &mut found[column];
                if oid <= *rows.last().map_or(root, |(oid, _)| oid) {
                    return Err(Error::NotIncreasing {
                        addr: target.addr,
                        oid,
                    });
                }
                if rows.len() >= each {
                    *is_more = true;
                    is_open[turn] = false;
                    continue;
                }
                rows.push((oid, value));
            }
            // Unfinished columns go on together, before the next ones begin.
            for (turn, column) in at_once.into_iter().enumerate().rev() {
                if is_open[turn] {
                    open.push_front(column);
                }
            }
        }
        Ok(found)
    }

    /// One step of a walk over these columns: as many rows as this agent was found to give. When
    /// it does not answer, one row of one column tells a dead agent from one that drops what is
    /// too large; `None` then means that the same is to be asked again, in smaller packets.
    async fn step(&self, target: &Target, after: &[&Oid]) -> Result<Option<Vec<(Oid, Value)>>, Error> {
        let repetitions = match target.access {
            Access::V1(_) => 1,
            Access::V2c(_) | Access::V3(_) => target.learned.repetitions(after.len()),
        };
        let rows = repetitions * after.len();
        let error = match self.rows_after(target, after, repetitions).await {
            Ok(found) => return Ok(Some(found)),
            Err(error) => error,
        };
        match error {
            Error::Status { status: TOO_BIG, .. } => {}
            Error::Timeout { .. } if rows > 1 => {
                self.rows_after(target, &after[..1], 1).await?;
            }
            error => return Err(error),
        }
        if repetitions == 1 {
            // Several columns but one row of each: one of the columns is the matter, not the size.
            return Err(error);
        }
        count(&self.counters().shrunk);
        target.learned.rows_failed(rows);
        Ok(None)
    }

    /// Rows that follow each of the columns, `repetitions` times.
    async fn rows_after(
        &self,
        target: &Target,
        after: &[&Oid],
        repetitions: usize,
    ) -> Result<Vec<(Oid, Value)>, Error> {
        let question = match u16::try_from(repetitions) {
            Ok(rows) if rows > 1 => Question::GetBulk(rows),
            _ => Question::GetNext,
        };
        let oids: Vec<Oid> = after.iter().map(|oid| (*oid).clone()).collect();
        let packet = Packet::new(&target.access, question, &oids);
        let most = after.len() * repetitions;
        let read = |body: &answer::Body<'_>, bytes: usize| {
            answer::read_rows(&packet, body, most).map(|rows| (rows, bytes))
        };
        match self.exchange(target, &packet, read).await? {
            (Rows::Rows(rows), bytes) => {
                if most > 1 {
                    target.learned.rows_came(rows.len(), bytes);
                }
                Ok(rows)
            }
            // v1 says so at the end of the MIB.
            (Rows::Error { status: NO_SUCH_NAME }, _) => Ok(Vec::new()),
            (Rows::Error { status }, _) => Err(Error::Status {
                addr: target.addr,
                status,
            }),
        }
    }

    /// Writes one variable, which the agent must answer with. Only a command that the site
    /// enables for the device may lead here. A packet whose answer was lost is sent again: so
    /// this is for what may be said twice, like "start the battery test".
    ///
    /// # Errors
    /// No answer, one that is refused, or [`Error::Status`] with the agent's reason.
    pub async fn set(&self, target: &Target, oid: &Oid, value: &Value) -> Result<(), Error> {
        let packet = Packet::with_values(&target.access, Question::Set, &[(oid, value)]);
        match self
            .exchange(target, &packet, |body, _| answer::read_get(&packet, body))
            .await?
        {
            Answer::Values(_) => Ok(()),
            Answer::Error { status, .. } => Err(Error::Status {
                addr: target.addr,
                status,
            }),
        }
    }

    pub(super) async fn send(&self, addr: SocketAddr, bytes: &[u8]) -> Result<(), Error> {
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
}
