//! Serial: UPSes that speak Megatec's Q1 protocol, or OMRON's or Fuji's dialect of it.
//!
//! A port that vanishes (an adapter is pulled) fails the polls until it is back; then it is opened
//! again and the device is asked anew what it is, for it may be another one. What the answers
//! mean stands in [`room::megatec`]; nothing here changes anything in a device.
//!
//! ```text
//! closed --open--> unknown --Q1, (auto) "Bl ?"--> known --Q1 and the dialect's questions--> Reading
//!    ^  back-off      ^            silence, three times |
//!    +----------------+---- the port is gone -----------+
//! ```
//!
//! OMRON's questions are sent to an OMRON only: on a plain Megatec device `TPb` would start a
//! battery test, because it begins with `T`.
//!
//! **Two equal answers.** An answer has no checksum, and one bit that flips on the line makes a
//! `0` of the status a `1`: an outage. So another source, battery status or self-test than the
//! last one is believed when a second answer in a row says the same.

mod port;

pub use port::open;

use port::{Heard, Port};
use rand::Rng as _;
use room::device::{PollFailure, Reading};
use room::megatec::{self, Answer, Question, Signs};
use room::site::link::{MegatecDialect, MegatecLink};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Pause after a port could not be opened; it doubles with every further failure ...
const BACKOFF_FIRST: Duration = Duration::from_millis(250);
/// ... up to this: a cable that is back must be noticed soon, for the mains may be gone.
const BACKOFF_MAX: Duration = Duration::from_secs(4);
/// Longest time of one poll, whatever the site says: nine questions with slow answers.
const POLL_MAX: Duration = Duration::from_secs(30);
/// Polls without an answer after which the device may be another one.
const SILENT_POLLS: u32 = 3;
/// Silences after which a question is not asked again until [`Session::forget`].
const SILENCES: u32 = 2;
/// Further answers to a changed Q1 until two in a row agree.
const CONFIRMATIONS_MAX: usize = 4;

/// What happened, since the start.
#[derive(Debug, Default)]
struct Counters {
    opened: AtomicU64,
    answered: AtomicU64,
    silent: AtomicU64,
    strange: AtomicU64,
    gone: AtomicU64,
}

/// What the conversations share. Cloning it is cheap.
#[derive(Debug, Clone, Default)]
pub struct Ports {
    counters: Arc<Counters>,
}

impl Ports {
    /// A conversation with a UPS. `timeout` is for one answer, beyond what the line takes.
    #[must_use]
    pub fn session(&self, link: &MegatecLink, timeout: Duration, retries: u8) -> Session {
        Session {
            link: link.clone(),
            timeout,
            retries,
            counters: Arc::clone(&self.counters),
            port: None,
            failures: 0,
            closed_until: None,
            dialect: None,
            known: BTreeMap::new(),
            silences: BTreeMap::new(),
            silent_polls: 0,
            signs: None,
        }
    }

    /// Names and values, for the snapshot.
    #[must_use]
    pub fn counters(&self) -> [(&'static str, u64); 5] {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("megatec.opened", get(&self.counters.opened)),
            ("megatec.answered", get(&self.counters.answered)),
            ("megatec.silent", get(&self.counters.silent)),
            ("megatec.strange", get(&self.counters.strange)),
            ("megatec.gone", get(&self.counters.gone)),
        ]
    }
}

/// One UPS at one port.
pub struct Session {
    link: MegatecLink,
    timeout: Duration,
    retries: u8,
    counters: Arc<Counters>,
    port: Option<Port>,
    failures: u32,
    /// Before this the port is not opened, and why it could not be.
    closed_until: Option<(Instant, String)>,
    /// Found out or configured.
    dialect: Option<MegatecDialect>,
    /// Answers that stay the same, and questions that the device does not know.
    known: BTreeMap<Question, Answer>,
    silences: BTreeMap<Question, u32>,
    silent_polls: u32,
    /// What the last reading said of source, battery and self-test.
    signs: Option<Signs>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({})", self.link.line.path.display())
    }
}

/// What stopped an exchange: the port, not the device.
struct Gone(std::io::Error);

impl From<std::io::Error> for Gone {
    fn from(error: std::io::Error) -> Self {
        Self(error)
    }
}

impl Session {
    /// Reads the UPS. Ends in bounded time.
    ///
    /// # Errors
    /// [`PollFailure`]; `Unreachable` when the port is not there.
    pub async fn read(&mut self) -> Result<Reading, PollFailure> {
        let port = self.port().await?;
        // The port is out of its place while it is used: what is given up half-way takes it along.
        let work = tokio::time::timeout(POLL_MAX, self.poll(port)).await;
        match work {
            Ok(result) => result,
            Err(_) => Err(PollFailure::Timeout),
        }
    }

    /// Asks the device anew what it is and what it knows.
    pub fn forget(&mut self) {
        self.dialect = None;
        self.known.clear();
        self.silences.clear();
        self.signs = None;
    }

    /// The dialect in use, once one is.
    #[must_use]
    pub const fn dialect(&self) -> Option<MegatecDialect> {
        self.dialect
    }

    async fn port(&mut self) -> Result<Port, PollFailure> {
        if let Some(port) = self.port.take() {
            return Ok(port);
        }
        let now = Instant::now();
        if let Some((until, why)) = &self.closed_until
            && now < *until
        {
            return Err(PollFailure::Unreachable(why.clone()));
        }
        match open(&self.link.line).await {
            Ok(stream) => {
                self.counters.opened.fetch_add(1, Ordering::Relaxed);
                self.failures = 0;
                self.closed_until = None;
                self.forget();
                Ok(Port::new(stream, self.link.line.baud))
            }
            Err(error) => {
                let why = format!("{}: {error}", self.link.line.path.display());
                let pause = BACKOFF_FIRST
                    .saturating_mul(1 << self.failures.min(8))
                    .min(BACKOFF_MAX);
                let pause = pause.mul_f64(rand::rng().random_range(0.5..1.0));
                self.failures = self.failures.saturating_add(1);
                self.closed_until = Some((now + pause, why.clone()));
                Err(PollFailure::Unreachable(why))
            }
        }
    }

    async fn poll(&mut self, mut port: Port) -> Result<Reading, PollFailure> {
        let noise = port.noise;
        let result = self.converse(&mut port).await;
        self.counters
            .strange
            .fetch_add(port.noise - noise, Ordering::Relaxed);
        match result {
            Ok(result) => {
                self.port = Some(port);
                match &result {
                    Ok(_) => {
                        self.silent_polls = 0;
                        self.counters.answered.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(_) => {
                        self.counters.silent.fetch_add(1, Ordering::Relaxed);
                        self.silent_polls = self.silent_polls.saturating_add(1);
                        if self.silent_polls == SILENT_POLLS {
                            self.forget();
                        }
                    }
                }
                result
            }
            Err(Gone(error)) => {
                self.counters.gone.fetch_add(1, Ordering::Relaxed);
                self.forget();
                Err(PollFailure::Unreachable(format!(
                    "{}: the port is gone: {error}",
                    self.link.line.path.display()
                )))
            }
        }
    }

    /// One poll, `Q1` first: without it there is no reading, and nothing else is worth asking.
    async fn converse(&mut self, port: &mut Port) -> Result<Result<Reading, PollFailure>, Gone> {
        // Another question first: a late answer to the last Q1 cannot pass for its answer.
        if port.is_late() {
            let other = self.known.iter().find_map(|(question, answer)| match answer {
                Answer::Line(_) => Some(*question),
                Answer::NotSupported => None,
            });
            match other {
                Some(other) => drop(port.ask(other, self.timeout).await?),
                // Nothing else can be asked: it gets as long again to fall silent.
                None => port.clear(self.timeout).await?,
            }
        }
        let mut answers = BTreeMap::new();
        match self.status(port).await? {
            Ok(line) => answers.insert(Question::Status, Answer::Line(line)),
            Err(failure) => return Ok(Err(failure)),
        };
        let dialect = self.dialect_of(port, &mut answers).await?;
        match self.confirmed(port, dialect, &answers).await? {
            Ok(line) => answers.insert(Question::Status, Answer::Line(line)),
            Err(failure) => return Ok(Err(failure)),
        };
        for question in megatec::questions(dialect) {
            if answers.contains_key(question) {
                continue;
            }
            if let Some(answer) = self.known.get(question) {
                answers.insert(*question, answer.clone());
                continue;
            }
            if let Some(answer) = self.ask(port, *question).await? {
                answers.insert(*question, answer);
            }
        }
        let reading = megatec::reading(dialect, &answers);
        Ok(reading.ok_or_else(|| PollFailure::Refused("its answer to Q1 has another shape".to_owned())))
    }

    /// The answer to Q1 that is believed: this one when it says what the last reading said, else
    /// one that says the same as the one before it.
    async fn confirmed(
        &mut self,
        port: &mut Port,
        dialect: MegatecDialect,
        answers: &BTreeMap<Question, Answer>,
    ) -> Result<Result<String, PollFailure>, Gone> {
        let Some(Answer::Line(first)) = answers.get(&Question::Status) else {
            return Ok(Err(PollFailure::Timeout));
        };
        let mut line = first.clone();
        let mut signs = megatec::signs(dialect, &line);
        for _ in 0..CONFIRMATIONS_MAX {
            if signs.is_some() && signs == self.signs {
                return Ok(Ok(line));
            }
            line = match self.status(port).await? {
                Ok(line) => line,
                failed => return Ok(failed),
            };
            let again = megatec::signs(dialect, &line);
            if again == signs {
                self.signs = again;
                return Ok(Ok(line));
            }
            signs = again;
        }
        self.counters.strange.fetch_add(1, Ordering::Relaxed);
        Ok(Err(PollFailure::Refused(
            "the status bits of its answers to Q1 contradict each other".to_owned(),
        )))
    }

    async fn status(&mut self, port: &mut Port) -> Result<Result<String, PollFailure>, Gone> {
        let mut failure = PollFailure::Timeout;
        for _ in 0..=self.retries {
            match port.ask(Question::Status, self.timeout).await? {
                Heard::Line(line) => return Ok(Ok(line)),
                Heard::Silence => {}
                Heard::NotSupported => {
                    failure = PollFailure::Refused(
                        "the device does not know Q1: it speaks another protocol".to_owned(),
                    );
                }
                Heard::Strange(line) => {
                    failure =
                        PollFailure::Refused(format!("no answer to Q1: `{line}`; is the baud rate right?"));
                }
            }
        }
        Ok(Err(failure))
    }

    /// Configured, known, or found out by a question that a plain Megatec device only echoes.
    async fn dialect_of(
        &mut self,
        port: &mut Port,
        answers: &mut BTreeMap<Question, Answer>,
    ) -> Result<MegatecDialect, Gone> {
        if let Some(dialect) = self.dialect {
            return Ok(dialect);
        }
        let dialect = match self.link.dialect {
            MegatecDialect::Auto => match port.ask(megatec::TELLS_OMRON, self.timeout).await? {
                Heard::Line(line) => {
                    answers.insert(megatec::TELLS_OMRON, Answer::Line(line));
                    MegatecDialect::Omron
                }
                Heard::NotSupported | Heard::Strange(_) | Heard::Silence => MegatecDialect::Megatec,
            },
            configured => configured,
        };
        self.dialect = Some(dialect);
        Ok(dialect)
    }

    /// A question beside Q1. What lasts is kept; what the device does not know is not asked again.
    async fn ask(&mut self, port: &mut Port, question: Question) -> Result<Option<Answer>, Gone> {
        let answer = match port.ask(question, self.timeout).await? {
            Heard::Line(line) => Answer::Line(line),
            Heard::NotSupported => Answer::NotSupported,
            Heard::Strange(_) => return Ok(None),
            Heard::Silence => {
                let silences = self.silences.entry(question).or_default();
                *silences += 1;
                if *silences < SILENCES {
                    return Ok(None);
                }
                Answer::NotSupported
            }
        };
        if question.is_lasting() || answer == Answer::NotSupported {
            self.known.insert(question, answer.clone());
        }
        Ok(Some(answer))
    }
}

#[cfg(test)]
mod tests;
