//! One packet out, its answer in: sending again, judging what comes, and for v3 all that has to
//! happen before an agent listens.
//!
//! ```text
//! v1, v2c:  send --answer--> checked, taken
//! v3:       engine known? --no--> discovery (unauthenticated, a guess)
//!              | send sealed <---------- clock set, new engine ----------+
//!              +--authenticated answer--> clock kept, taken              |
//!              +--"not in time window", "unknown engine" (each bounded) -+
//!              +--any other Report, or silence--> an error that says what to do
//! ```
//!
//! A refused answer never ends the wait: a good one may follow, and a forged one must not cut it
//! off. That holds for unauthenticated Reports as well; they only end the sending again.

use super::answer::{self, Body, Refusal};
use super::ber::{self, pdu};
use super::client::Client;
use super::demux::{Open, count};
use super::packet::{ID_MIN, Packet};
use super::usm::message::{Closed, Header, Outgoing, open, seal};
use super::usm::peer::{Clock, Engine, Known, Step};
use super::usm::{Keys, Report, User};
use super::{Error, RETRIES_MAX, Target};
use crate::clock;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Later tries wait longer, up to so many times the first wait.
const BACKOFF_MAX: u32 = 4;
/// Waits differ by so much of themselves, so that many devices do not speak at once.
const JITTER: f64 = 0.1;
/// An agent is discovered at most so often for one packet.
const DISCOVERIES: u32 = 2;
/// An agent's clock is set at most so often for one packet.
const CLOCK_SETTINGS: u32 = 2;

/// How one packet ended.
enum End<T> {
    Taken(T),
    /// Nothing good came; the last reason for refusing what did.
    Silent(Option<Refusal>),
}

/// What a v3 agent said.
enum Said<T> {
    Answer {
        value: T,
        boots: u32,
        time: u32,
    },
    Report {
        report: Report,
        boots: u32,
        time: u32,
        is_proven: bool,
    },
}

impl Client {
    /// Sends a packet until `read` accepts an answer.
    pub(super) async fn exchange<T>(
        &self,
        target: &Target,
        packet: &Packet,
        read: impl Fn(&Body<'_>, usize) -> Result<T, Refusal>,
    ) -> Result<T, Error> {
        if let super::Access::V3(user) = &target.access {
            return self.exchange_v3(target, user, packet, read).await;
        }
        let question = self.question(target)?;
        let mut bytes = Vec::new();
        packet.write(question.id, &mut bytes);
        let judge = |datagram: Vec<u8>| {
            let body = answer::open(&target.access, &datagram)?;
            if body.id != question.id {
                return Err(Refusal::OtherRequest);
            }
            read(&body, datagram.len())
        };
        match self.converse(target, &question, &bytes, judge).await? {
            End::Taken(answer) => {
                count(&self.counters().answered);
                Ok(answer)
            }
            End::Silent(refusal) => Err(self.silence(target, refusal)),
        }
    }

    fn question(&self, target: &Target) -> Result<Open<'_>, Error> {
        self.demux().open(target.addr).ok_or(Error::Limit {
            addr: target.addr,
            what: "open questions",
            limit: super::demux::PLACES,
        })
    }

    fn silence(&self, target: &Target, refusal: Option<Refusal>) -> Error {
        count(&self.counters().timeouts);
        match refusal {
            Some(refusal) => Error::Refused {
                addr: target.addr,
                refusal,
            },
            None => Error::Timeout {
                addr: target.addr,
                tries: u32::from(target.retries.min(RETRIES_MAX)) + 1,
            },
        }
    }

    /// Sends bytes, again and again, until `judge` takes something. What it refuses with a
    /// Report ends the sending again, but not the wait.
    async fn converse<T>(
        &self,
        target: &Target,
        question: &Open<'_>,
        bytes: &[u8],
        mut judge: impl FnMut(Vec<u8>) -> Result<T, Refusal>,
    ) -> Result<End<T>, Error> {
        let mut refusal = None;
        for attempt in 0..=target.retries.min(RETRIES_MAX) {
            if attempt > 0 {
                count(&self.counters().repeated);
            }
            self.send(target.addr, bytes).await?;
            let wait = jittered(target.timeout * BACKOFF_MAX.min(1 << attempt.min(8)));
            let good = async {
                // `next` is cancel-safe: an answer not taken before the time-out is taken in the
                // next round, because every try has the same id.
                loop {
                    match judge(question.next().await) {
                        Ok(answer) => return answer,
                        Err(reason) => {
                            count(&self.counters().refused);
                            refusal = Some(reason);
                        }
                    }
                }
            };
            if let Ok(answer) = tokio::time::timeout(wait, good).await {
                return Ok(End::Taken(answer));
            }
            if matches!(refusal, Some(Refusal::Report(_))) {
                break;
            }
        }
        Ok(End::Silent(refusal))
    }

    async fn exchange_v3<T>(
        &self,
        target: &Target,
        user: &User,
        packet: &Packet,
        read: impl Fn(&Body<'_>, usize) -> Result<T, Refusal>,
    ) -> Result<T, Error> {
        let refused = |refusal| Error::Refused {
            addr: target.addr,
            refusal,
        };
        // What an agent was proven to be stays until something else is proven; after repeated
        // silence it is asked again who it is.
        let mut known = user.peer.trusted();
        let (mut discoveries, mut settings) = (0, 0);
        loop {
            let mut current = match known.take() {
                Some(known) => known,
                None if discoveries == DISCOVERIES => return Err(refused(Report::UnknownEngine.into())),
                None => {
                    discoveries += 1;
                    self.discover(target, user).await?
                }
            };
            let said = match self
                .ask_engine(target, user, packet, &current.engine, current.clock, &read)
                .await?
            {
                End::Taken(said) => said,
                End::Silent(refusal) => {
                    user.peer.failed();
                    let silent = (discoveries > 0).then_some(Refusal::SilentToUser);
                    return Err(self.silence(target, refusal.or(silent)));
                }
            };
            let (report, boots, time, is_proven) = match said {
                Said::Answer { value, boots, time } => {
                    count(&self.counters().answered);
                    self.set_clock(&mut current, boots, time, discoveries > 0 || settings > 0);
                    self.keep(target, user, current);
                    return Ok(value);
                }
                Said::Report {
                    report,
                    boots,
                    time,
                    is_proven,
                } => (report, boots, time, is_proven),
            };
            count(&self.counters().reports);
            match report {
                Report::NotInTimeWindow if settings < CLOCK_SETTINGS => {
                    settings += 1;
                    self.set_clock(&mut current, boots, time, !is_proven || discoveries > 0);
                    if is_proven {
                        self.keep(target, user, current.clone());
                    }
                    known = Some(current);
                }
                Report::UnknownEngine if discoveries < DISCOVERIES => {}
                report => {
                    user.peer.failed();
                    return Err(refused(report.into()));
                }
            }
        }
    }

    fn set_clock(&self, known: &mut Known, boots: u32, time: u32, is_first: bool) {
        let (clock, step) = known.clock.set(boots, time, clock::now().mono);
        known.clock = clock;
        match step {
            Step::Forward if !is_first => count(&self.counters().clock_forward),
            Step::Back if !is_first => count(&self.counters().clock_back),
            Step::On | Step::Forward | Step::Back => {}
        }
    }

    /// Keeps what is proven, and looks whether another agent claims to be the same engine.
    fn keep(&self, target: &Target, user: &User, known: Known) {
        if user.peer.keep(known.clone()) && !self.claims().claim(&known.engine.id, target.addr) {
            count(&self.counters().shared_engines);
            tracing::warn!(
                addr = %target.addr,
                "another agent has the same SNMP engine id; give each its own, or both may be refused by other managers"
            );
        }
    }

    /// Asks an agent who it is. What comes back is a guess: anybody could have sent it.
    async fn discover(&self, target: &Target, user: &User) -> Result<Known, Error> {
        let question = self.question(target)?;
        let request = {
            let mut content = Vec::new();
            ber::put(&mut content, ber::INTEGER, &question.id.to_be_bytes());
            ber::put_integer(&mut content, ber::INTEGER, 0);
            ber::put_integer(&mut content, ber::INTEGER, 0);
            ber::put(&mut content, ber::SEQUENCE, &[]);
            let mut bytes = Vec::new();
            ber::put(&mut bytes, pdu::GET, &content);
            bytes
        };
        let envelope = Outgoing {
            id: question.id,
            reportable: true,
            engine: &[],
            boots: 0,
            time: 0,
            user: "",
            context_engine: &[],
            context: "",
            salt: 0,
        };
        let mut bytes = Vec::new();
        seal(&mut bytes, &envelope, None, &[&request]);
        let judge = |mut datagram: Vec<u8>| {
            let header = Header::read(&datagram).ok_or(Refusal::Malformed)?;
            if header.is_authenticated() || header.is_private() {
                return Err(Refusal::OtherEngine);
            }
            let engine = header.engine(&datagram).to_vec();
            let pdu = open(&mut datagram, &header, None).map_err(|_| Refusal::Malformed)?;
            let body = Body::read(pdu).ok_or(Refusal::Malformed)?;
            if body.kind != pdu::REPORT || engine.is_empty() {
                return Err(Refusal::NotAResponse);
            }
            Ok((engine, header.boots, header.time))
        };
        let (id, boots, time) = match self.converse(target, &question, &bytes, judge).await? {
            End::Taken(found) => found,
            End::Silent(refusal) => return Err(self.silence(target, refusal)),
        };
        drop(question);
        let clock = Clock::new(boots, time, clock::now().mono);
        let kept = user.peer.known().filter(|kept| kept.engine.id == id);
        let engine = match kept {
            Some(kept) => kept.engine,
            None => {
                count(&self.counters().discovered);
                let keys = Keys::derive(self.keys(), &user.usm, &id).await;
                let keys = keys.ok_or_else(|| self.silence(target, None))?;
                Arc::new(Engine { id, keys })
            }
        };
        Ok(Known { engine, clock })
    }

    async fn ask_engine<T>(
        &self,
        target: &Target,
        user: &User,
        packet: &Packet,
        engine: &Engine,
        clock: Clock,
        read: impl Fn(&Body<'_>, usize) -> Result<T, Refusal>,
    ) -> Result<End<Said<T>>, Error> {
        let question = self.question(target)?;
        // Inside what is authenticated, and not the id outside: a recorded answer would have to
        // fit both.
        let request: i32 = rand::random_range(ID_MIN..=i32::MAX);
        let (boots, time) = clock.read(clock::now().mono);
        let envelope = Outgoing {
            id: question.id,
            reportable: true,
            engine: &engine.id,
            boots,
            time,
            user: &user.usm.user,
            context_engine: &engine.id,
            context: &user.usm.context,
            salt: self.salt(),
        };
        let (front, back) = packet.pieces();
        let mut bytes = Vec::new();
        seal(
            &mut bytes,
            &envelope,
            Some(&engine.keys),
            &[front, &request.to_be_bytes(), back],
        );
        let mut hint = None;
        let judge = |datagram| {
            let judged = judge(datagram, user, engine, request, &read);
            if let Err(Unfit::Hint { report, boots, time }) = judged {
                hint = Some((report, boots, time));
                return Err(report.into());
            }
            judged.map_err(|unfit| {
                if let Unfit::Refused(Refusal::Code | Refusal::Level | Refusal::Cipher) = unfit {
                    count(&self.counters().unproven);
                }
                match unfit {
                    Unfit::Refused(refusal) => refusal,
                    Unfit::Hint { report, .. } => report.into(),
                }
            })
        };
        let end = self.converse(target, &question, &bytes, judge).await?;
        Ok(match (end, hint) {
            (End::Silent(_), Some((report, boots, time))) => End::Taken(Said::Report {
                report,
                boots,
                time,
                is_proven: false,
            }),
            (end, _) => end,
        })
    }

    fn salt(&self) -> u64 {
        self.salts().fetch_add(1, Ordering::Relaxed)
    }
}

/// Why a v3 message is not taken.
enum Unfit {
    Refused(Refusal),
    /// A Report that anybody could have sent.
    Hint {
        report: Report,
        boots: u32,
        time: u32,
    },
}

impl From<Refusal> for Unfit {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

fn judge<T>(
    mut datagram: Vec<u8>,
    user: &User,
    engine: &Engine,
    request: i32,
    read: &impl Fn(&Body<'_>, usize) -> Result<T, Refusal>,
) -> Result<Said<T>, Unfit> {
    let size = datagram.len();
    let header = Header::read(&datagram).ok_or(Refusal::Malformed)?;
    let (boots, time) = (header.boots, header.time);
    let is_ours = header.engine(&datagram) == engine.id && header.user(&datagram) == user.usm.user.as_bytes();
    let wants_code = user.usm.auth.is_some();
    if header.is_authenticated() && !is_ours {
        return Err(Refusal::OtherEngine.into());
    }
    let pdu = open(&mut datagram, &header, Some(&engine.keys)).map_err(|closed| match closed {
        Closed::Code => Refusal::Code,
        Closed::Level => Refusal::Level,
        Closed::Cipher => Refusal::Cipher,
        Closed::Shape => Refusal::Malformed,
    })?;
    let body = Body::read(pdu).ok_or(if header.is_private() {
        Refusal::Cipher
    } else {
        Refusal::Malformed
    })?;
    if body.kind == pdu::REPORT {
        let report = Report::of(body.bindings);
        // Who asks without authentication cannot have a better answer than this.
        return if header.is_authenticated() || !wants_code {
            Ok(Said::Report {
                report,
                boots,
                time,
                is_proven: header.is_authenticated(),
            })
        } else {
            Err(Unfit::Hint { report, boots, time })
        };
    }
    if wants_code && !header.is_authenticated() || user.usm.privacy.is_some() && !header.is_private() {
        return Err(Refusal::Level.into());
    }
    if !is_ours {
        return Err(Refusal::OtherEngine.into());
    }
    if body.id != request {
        return Err(Refusal::OtherRequest.into());
    }
    let value = read(&body, size)?;
    Ok(Said::Answer { value, boots, time })
}

fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::random_range(1.0 - JITTER..1.0 + JITTER))
}
