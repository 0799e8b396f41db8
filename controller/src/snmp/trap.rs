//! Traps and informs: what agents say unasked (RFC 3416 4.2.6 and 4.2.7, RFC 1157 4.1.6).
//!
//! A trap is a hint that it may be worth asking, and nothing else: the answer to it is a poll of the
//! device it comes from. What it says is never read, so a forged or replayed one costs one poll.
//! Even so it is taken only from an address of the site's devices, in the name of one of them
//! (community or user), so many a second, and whole.
//!
//! ```text
//! datagram -> address known? -> rate -> version
//!   v1, v2c: community of a device there -> poll; an inform is answered
//!   v3 trap:   the agent's own engine, as polls have proven it: code, level, time -> poll
//!   v3 inform: our engine is the authority: discovery and errors by Report, then answered -> poll
//! everything else: a counter
//! ```
//!
//! Reports and answers are never longer than what they answer by more than some 40 bytes, and go to
//! the site's devices only.

use super::Access;
use super::answer::{Body, community};
use super::ber::{self, pdu};
use super::client::Client;
use super::demux::count;
use super::usm::message::{Closed, FLAG_REPORTABLE, Header, Outgoing, context, open, seal};
use super::usm::peer::{Clock, Step};
use super::usm::{Keys, Report, User};
use room::time::Mono;
use snmp2::AsnReader;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OnceCell;

/// Messages that a source may send in a row.
const BURST: u64 = 20;
/// Milliseconds after which it may send another one.
const EVERY_MS: u64 = 500;
/// Seconds that a sender's notion of our clock may be off, RFC 3414 3.2.
const WINDOW_S: u32 = 150;
/// Variables of a trap that are looked at for being readable.
const VARIABLES_MAX: usize = 256;

/// What came, was taken and was refused since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Traps taken.
    traps: AtomicU64,
    /// Informs taken and answered.
    informs: AtomicU64,
    /// Polls that did not fit the poller's queue.
    pub crowded: AtomicU64,
    /// From an address of no device of the site.
    foreign: AtomicU64,
    /// Too many from one address.
    flooded: AtomicU64,
    /// Not SNMP, or neither trap nor inform.
    malformed: AtomicU64,
    /// With a community or user of no device there.
    stranger: AtomicU64,
    /// v3: of an engine that no poll has proven.
    engine: AtomicU64,
    /// v3: wrong code, wrong key, or less protected than the device is asked.
    unproven: AtomicU64,
    /// v3: from the past.
    replayed: AtomicU64,
    /// v3: Reports sent, of discovery and of errors.
    reports: AtomicU64,
}

impl Counters {
    /// Names and values, for the snapshot.
    #[must_use]
    pub fn list(&self) -> [(&'static str, u64); 11] {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("trap.traps", get(&self.traps)),
            ("trap.informs", get(&self.informs)),
            ("trap.crowded", get(&self.crowded)),
            ("trap.refused_foreign", get(&self.foreign)),
            ("trap.refused_flood", get(&self.flooded)),
            ("trap.refused_malformed", get(&self.malformed)),
            ("trap.refused_stranger", get(&self.stranger)),
            ("trap.refused_engine", get(&self.engine)),
            ("trap.refused_unproven", get(&self.unproven)),
            ("trap.refused_replay", get(&self.replayed)),
            ("trap.reports", get(&self.reports)),
        ]
    }
}

/// A device that may speak.
#[derive(Debug)]
struct Speaker {
    name: String,
    access: Access,
    /// Its user's keys at our engine, for informs.
    own_keys: OnceCell<Keys>,
}

/// Who may speak, by address. Clones of the [`Arc`] share it: the poller adds the devices it
/// knows.
#[derive(Debug, Default)]
pub struct Speakers {
    by_addr: Mutex<HashMap<IpAddr, Vec<Arc<Speaker>>>>,
    /// What came, was taken and was refused.
    pub counters: Counters,
}

impl Speakers {
    /// Adds a device, or replaces what was known of it.
    pub fn add(&self, name: &str, addr: SocketAddr, access: &Access) {
        let mut by_addr = self.by_addr.lock().unwrap_or_else(PoisonError::into_inner);
        for speakers in by_addr.values_mut() {
            speakers.retain(|speaker| speaker.name != name);
        }
        by_addr.entry(addr.ip()).or_default().push(Arc::new(Speaker {
            name: name.to_owned(),
            access: access.clone(),
            own_keys: OnceCell::new(),
        }));
    }

    fn at(&self, addr: IpAddr) -> Vec<Arc<Speaker>> {
        let by_addr = self.by_addr.lock().unwrap_or_else(PoisonError::into_inner);
        by_addr.get(&addr.to_canonical()).cloned().unwrap_or_default()
    }
}

/// Our own engine, which informs are sent to: RFC 3411 5, RFC 3414 2.2.
#[derive(Debug)]
pub struct OwnEngine {
    id: Vec<u8>,
    boots: u32,
    since: Mono,
}

/// Why our engine's id and boots cannot be kept.
#[derive(Debug, thiserror::Error)]
#[error("keep the SNMP engine in {path}")]
pub struct NoEngine {
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

/// Name of the file, in the data folder.
const ENGINE_FILE: &str = "snmp-engine";
/// Bit of RFC 3411 5 with the enterprise number kept for examples (RFC 5612), form "octets".
const ENGINE_PREFIX: [u8; 5] = [0x80, 0x00, 0x7e, 0xd9, 0x05];
const ENGINE_RANDOM: usize = 12;

impl OwnEngine {
    /// Reads the engine's id and counts one more start; makes an id the first time. The file is
    /// on disk before anybody is told: two starts with the same boots would let old messages in.
    ///
    /// # Errors
    /// [`NoEngine`]
    pub fn open(folder: &Path, now: Mono) -> Result<Self, NoEngine> {
        let path = folder.join(ENGINE_FILE);
        let error = |source| NoEngine {
            path: path.clone(),
            source,
        };
        let known = match std::fs::read_to_string(&path) {
            Ok(text) => parse_engine(&text),
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => None,
            Err(why) => return Err(error(why)),
        };
        // A file that cannot be read as one is replaced under a new id: senders discover it.
        let (id, boots) = known.unwrap_or_else(|| {
            let random: [u8; ENGINE_RANDOM] = rand::random();
            ([&ENGINE_PREFIX[..], &random].concat(), 0)
        });
        let boots = boots.saturating_add(1).min(i32::MAX.unsigned_abs());
        let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        write_synced(&path, &format!("{hex} {boots}\n")).map_err(error)?;
        Ok(Self {
            id,
            boots,
            since: now,
        })
    }

    /// Its id, 5 to 32 bytes.
    pub(super) fn id(&self) -> &[u8] {
        &self.id
    }

    /// Its boots and the seconds since the last of them.
    pub(super) fn clock(&self, now: Mono) -> (u32, u32) {
        (self.boots, self.time(now))
    }

    fn time(&self, now: Mono) -> u32 {
        u32::try_from(now.since(self.since).0 / 1000).unwrap_or(u32::MAX)
    }
}

fn parse_engine(text: &str) -> Option<(Vec<u8>, u32)> {
    let (hex, boots) = text.trim().split_once(' ')?;
    let mut id = vec![0; ENGINE_PREFIX.len() + ENGINE_RANDOM];
    if !room::hex::read(hex.as_bytes(), &mut id) || id.iter().all(|byte| *byte == 0) {
        return None;
    }
    Some((id, boots.parse().ok()?))
}

fn write_synced(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    let fresh = path.with_extension("new");
    let mut file = std::fs::File::create(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    match path.parent() {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// What a message leads to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Devices to poll now.
    pub poll: Vec<String>,
    /// To be sent back.
    pub reply: Option<Vec<u8>>,
}

/// How much a source may still say.
#[derive(Debug)]
struct Allowance {
    left: u64,
    since: Mono,
}

/// Hears traps and informs. It does no I/O.
#[derive(Debug)]
pub struct Gate {
    client: Client,
    speakers: Arc<Speakers>,
    own: Option<Arc<OwnEngine>>,
    /// One for each known address: never more than there are devices.
    allowances: HashMap<IpAddr, Allowance>,
}

impl Gate {
    /// For these speakers; without an engine of our own v3 informs are refused.
    #[must_use]
    pub fn new(client: Client, speakers: Arc<Speakers>, own: Option<Arc<OwnEngine>>) -> Self {
        Self {
            client,
            speakers,
            own,
            allowances: HashMap::new(),
        }
    }

    /// What was taken and refused.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.speakers.counters
    }

    /// Judges one datagram. It may wait for a key to be derived, once for each device.
    pub async fn hear(&mut self, now: Mono, from: SocketAddr, datagram: &mut [u8]) -> Heard {
        let speakers = self.speakers.at(from.ip());
        if speakers.is_empty() {
            count(&self.counters().foreign);
            return Heard::default();
        }
        if !self.may_speak(now, from.ip()) {
            count(&self.counters().flooded);
            return Heard::default();
        }
        let heard = match community(datagram) {
            Some(_) => self.hear_community(&speakers, datagram),
            None => self.hear_v3(now, &speakers, datagram).await,
        };
        match heard {
            Ok(heard) => heard,
            Err(counter) => {
                count(counter(self.counters()));
                Heard::default()
            }
        }
    }

    fn may_speak(&mut self, now: Mono, from: IpAddr) -> bool {
        let allowance = self.allowances.entry(from).or_insert(Allowance {
            left: BURST,
            since: now,
        });
        let earned = now.since(allowance.since).0 / EVERY_MS;
        if earned > 0 {
            allowance.left = allowance.left.saturating_add(earned).min(BURST);
            allowance.since = now;
        }
        match allowance.left.checked_sub(1) {
            Some(left) => {
                allowance.left = left;
                true
            }
            None => false,
        }
    }

    fn hear_community(&self, speakers: &[Arc<Speaker>], datagram: &[u8]) -> Result<Heard, Refused> {
        let (version, theirs, pdu_bytes) = community(datagram).ok_or(malformed as Refused)?;
        let kind = *pdu_bytes.first().ok_or(malformed as Refused)?;
        let is_whole = match (version, kind) {
            (0, pdu::TRAP_V1) => is_v1_trap(pdu_bytes),
            (1, pdu::TRAP | pdu::INFORM) => {
                Body::read(pdu_bytes).is_some_and(|body| is_readable(body.bindings))
            }
            _ => false,
        };
        if !is_whole {
            return Err(malformed);
        }
        let poll = names(speakers, |speaker| match &speaker.access {
            Access::V1(ours) | Access::V2c(ours) => {
                subtle::ConstantTimeEq::ct_eq(ours.0.as_bytes(), theirs).into()
            }
            Access::V3(_) => false,
        });
        if poll.is_empty() {
            return Err(|counters| &counters.stranger);
        }
        let reply = (kind == pdu::INFORM).then(|| {
            // RFC 3416 4.2.7: the same variables, in a Response.
            let mut reply = datagram.to_vec();
            let at = datagram.len() - trailing(datagram, pdu_bytes);
            reply[at] = pdu::RESPONSE;
            reply
        });
        self.taken(reply.is_some());
        Ok(Heard { poll, reply })
    }

    fn taken(&self, is_inform: bool) {
        count(if is_inform {
            &self.counters().informs
        } else {
            &self.counters().traps
        });
    }

    async fn hear_v3(
        &self,
        now: Mono,
        speakers: &[Arc<Speaker>],
        datagram: &mut [u8],
    ) -> Result<Heard, Refused> {
        let header = Header::read(datagram).ok_or(malformed as Refused)?;
        let users: Vec<(&Arc<Speaker>, &Arc<User>)> = speakers
            .iter()
            .filter_map(|speaker| match &speaker.access {
                Access::V3(user) => Some((speaker, user)),
                Access::V1(_) | Access::V2c(_) => None,
            })
            .collect();
        if users.is_empty() {
            return Err(|counters| &counters.stranger);
        }
        let engine = header.engine(datagram);
        if let Some(own) = self.own.as_deref().filter(|own| own.id == engine) {
            return self.hear_inform(now, own, &users, &header, datagram).await;
        }
        // A trap: the sender's engine is the authority, and only polls tell which that is.
        for &(_, user) in &users {
            let Some(known) = user.peer.known().filter(|known| known.engine.id == engine) else {
                continue;
            };
            // One card may be several devices of the site (a UPS and its probe), each asked as it
            // is here.
            let poll = users
                .iter()
                .filter(|(_, other)| {
                    other.usm == user.usm
                        && other
                            .peer
                            .known()
                            .is_some_and(|other| other.engine.id == known.engine.id)
                })
                .map(|(speaker, _)| speaker.name.clone())
                .collect();
            if header.user(datagram) != user.usm.user.as_bytes() {
                return Err(|counters| &counters.stranger);
            }
            if !has_level(user, &header) {
                return Err(|counters| &counters.unproven);
            }
            let pdu_bytes =
                open(datagram, &header, Some(&known.engine.keys)).map_err(|_| unproven as Refused)?;
            let body = Body::read(pdu_bytes).ok_or(malformed as Refused)?;
            if body.kind != pdu::TRAP || !is_readable(body.bindings) {
                return Err(malformed);
            }
            if header.is_authenticated() && is_past(known.clock, header.boots, header.time, now) {
                return Err(|counters| &counters.replayed);
            }
            self.taken(false);
            return Ok(Heard { poll, reply: None });
        }
        // Somebody who waits for an answer wants to know our engine; this is how informs begin.
        match &self.own {
            Some(own) if header.flags & FLAG_REPORTABLE != 0 => {
                Ok(self.report(own, now, &header, datagram, Report::UnknownEngine, None))
            }
            _ => Err(|counters| &counters.engine),
        }
    }

    async fn hear_inform(
        &self,
        now: Mono,
        own: &OwnEngine,
        users: &[(&Arc<Speaker>, &Arc<User>)],
        header: &Header,
        datagram: &mut [u8],
    ) -> Result<Heard, Refused> {
        let name = header.user(datagram);
        let Some((speaker, user)) = users.iter().find(|(_, user)| user.usm.user.as_bytes() == name) else {
            count(&self.counters().stranger);
            return Ok(self.report(own, now, header, datagram, Report::UnknownUser, None));
        };
        if !has_level(user, header) {
            count(&self.counters().unproven);
            return Ok(self.report(own, now, header, datagram, Report::UnsupportedLevel, None));
        }
        let derive = async || {
            Keys::derive(self.client.keys(), &user.usm, &own.id)
                .await
                .ok_or(())
        };
        let keys = speaker.own_keys.get_or_try_init(derive).await;
        let keys = keys.map_err(|()| unproven as Refused)?;
        let scoped_at = match open(datagram, header, Some(keys)) {
            Ok(pdu_bytes) => pdu_bytes.len(),
            Err(closed) => {
                count(&self.counters().unproven);
                let report = match closed {
                    Closed::Code => Report::WrongDigest,
                    Closed::Level => Report::UnsupportedLevel,
                    Closed::Cipher => Report::Decryption,
                    Closed::Shape => return Err(malformed),
                };
                return Ok(self.report(own, now, header, datagram, report, None));
            }
        };
        let is_in_time = header.boots == own.boots && header.time.abs_diff(own.time(now)) <= WINDOW_S;
        if header.is_authenticated() && !is_in_time {
            return Ok(self.report(own, now, header, datagram, Report::NotInTimeWindow, Some(keys)));
        }
        let scoped = header.scoped(datagram);
        let (context_engine, context_name) = context(scoped).ok_or(malformed as Refused)?;
        let context_name = std::str::from_utf8(context_name).map_err(|_| malformed as Refused)?;
        let pdu_bytes = super::usm::message::scoped_pdu(scoped)
            .filter(|pdu_bytes| pdu_bytes.len() == scoped_at)
            .ok_or(malformed as Refused)?;
        let body = Body::read(pdu_bytes).ok_or(malformed as Refused)?;
        if body.kind != pdu::INFORM || !is_readable(body.bindings) {
            return Err(malformed);
        }
        let envelope = Outgoing {
            id: header.id,
            reportable: false,
            engine: &own.id,
            boots: own.boots,
            time: own.time(now),
            user: &user.usm.user,
            context_engine,
            context: context_name,
            salt: self.client.salts().fetch_add(1, Ordering::Relaxed),
        };
        // The same PDU but for its tag. What stands behind it is padding of the cipher.
        let mut behind = AsnReader::from_bytes(pdu_bytes);
        behind.read_raw(pdu::INFORM).map_err(|_| malformed as Refused)?;
        let pdu_bytes = &pdu_bytes[..pdu_bytes.len() - behind.bytes_left()];
        let mut reply = Vec::new();
        seal(
            &mut reply,
            &envelope,
            Some(keys),
            &[&[pdu::RESPONSE], &pdu_bytes[1..]],
        );
        self.taken(true);
        Ok(Heard {
            poll: vec![speaker.name.clone()],
            reply: Some(reply),
        })
    }

    /// A Report of our engine: unauthenticated, or with the sender's code where RFC 3414 wants it.
    fn report(
        &self,
        own: &OwnEngine,
        now: Mono,
        header: &Header,
        datagram: &[u8],
        report: Report,
        keys: Option<&Keys>,
    ) -> Heard {
        if header.flags & FLAG_REPORTABLE == 0 {
            return Heard::default();
        }
        count(&self.counters().reports);
        let keys = keys.map(Keys::without_cipher);
        let envelope = Outgoing {
            id: header.id,
            reportable: false,
            engine: &own.id,
            boots: own.boots,
            time: own.time(now),
            // The sender finds its key by it. A name that is no text is none of ours.
            user: std::str::from_utf8(header.user(datagram)).unwrap_or_default(),
            context_engine: &own.id,
            context: "",
            salt: 0,
        };
        let mut reply = Vec::new();
        seal(&mut reply, &envelope, keys.as_ref(), &[&report.pdu()]);
        Heard {
            poll: Vec::new(),
            reply: Some(reply),
        }
    }
}

/// Which counter a refusal is counted in.
type Refused = fn(&Counters) -> &AtomicU64;

fn malformed(counters: &Counters) -> &AtomicU64 {
    &counters.malformed
}

fn unproven(counters: &Counters) -> &AtomicU64 {
    &counters.unproven
}

fn names(speakers: &[Arc<Speaker>], is_meant: impl Fn(&Speaker) -> bool) -> Vec<String> {
    speakers
        .iter()
        .filter(|speaker| is_meant(speaker))
        .map(|speaker| speaker.name.clone())
        .collect()
}

/// At least as protected as we ask the device.
fn has_level(user: &User, header: &Header) -> bool {
    (user.usm.auth.is_none() || header.is_authenticated())
        && (user.usm.privacy.is_none() || header.is_private())
}

/// Said before what a poll has heard of that clock since, by more than the window.
fn is_past(clock: Clock, boots: u32, time: u32, now: Mono) -> bool {
    matches!(clock.set(boots, time, now).1, Step::Back)
}

/// Bytes from the beginning of a part to the end of the whole.
fn trailing(whole: &[u8], part: &[u8]) -> usize {
    whole.len() - (part.as_ptr().addr() - whole.as_ptr().addr())
}

/// Every variable has a name and a value; some agents send none.
pub(super) fn is_readable(bindings: &[u8]) -> bool {
    let mut list = AsnReader::from_bytes(bindings);
    for _ in 0..VARIABLES_MAX {
        if list.bytes_left() == 0 {
            return true;
        }
        if super::answer::binding(&mut list).is_none() {
            return false;
        }
    }
    false
}

/// RFC 1157 4.1.6: enterprise, agent address, generic and specific trap, time, variables.
pub(super) fn is_v1_trap(bytes: &[u8]) -> bool {
    let read = || {
        let mut trap = AsnReader::from_bytes(AsnReader::from_bytes(bytes).read_raw(pdu::TRAP_V1).ok()?);
        trap.read_raw(ber::OBJECT_IDENTIFIER).ok()?;
        trap.read_raw(ber::ADDRESS).ok()?;
        trap.read_asn_integer().ok()?;
        trap.read_asn_integer().ok()?;
        trap.read_raw(ber::TICKS).ok()?;
        trap.read_raw(ber::SEQUENCE).ok()
    };
    read().is_some_and(is_readable)
}

#[cfg(test)]
mod tests;
