//! One line and the task that owns it.
//!
//! ```text
//! closed --open--> intact --question--> answer or exception ------------------> intact
//!    ^               |  ^------ unit silent, line silent, next question in step --+
//!    |               +-- anything else: garbage, wrong unit, wrong length, half a frame,
//!    |                   a byte after the time-out, the line broke
//!    +-- wait: as long as any unit may take, longer each time, with jitter <-----+
//! ```
//!
//! **In step.** An RTU reply does not say which question it answers. When a question was given up,
//! its reply is *owed*. The line is listened to for [`QUIET_MIN`] or the longest time-out in use,
//! whichever is longer; a byte in that time closes the line. If the unit is asked again and the
//! question has the shape of an owed one (table and count), it is asked for another count first:
//! a reply owed would come before and show itself by its length. Devices answer in order, so after
//! one reply of the right shape nothing is owed any more. An exception has no shape: while a reply
//! is owed none is believed.
//!
//! **Units.** A unit that is silent, or answers nothing but garbage, while others share its line is
//! asked less often, so that it costs the others a bounded share of the time.

use super::line::Line;
use super::wire::{Framing, Port};
use super::{Address, BITS_MAX, Error, Exception, Patience, Question, REGISTERS_MAX, Space, WAITING_MAX};
use rand::Rng as _;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_modbus::client::{Client as _, Context};
use tokio_modbus::slave::{Slave, SlaveContext as _};
use tokio_modbus::{Request, Response};

/// A line is listened to at least so long after a question was given up.
const QUIET_MIN: Duration = Duration::from_millis(300);
/// First pause before a line is opened again; it doubles with each failure.
const REOPEN_FIRST: Duration = Duration::from_millis(100);
/// Longest pause before a line is opened again: a port that was plugged in is back within it.
const REOPEN_MAX: Duration = Duration::from_secs(10);
/// Questions in a row that a unit leaves unanswered before it is asked less often.
const SILENCES_MAX: u32 = 3;
/// First rest of a silent unit; it doubles with each further silence.
const REST_FIRST: Duration = Duration::from_secs(1);
/// Longest rest of a silent unit: so late at most is it noticed that it is back.
const REST_MAX: Duration = Duration::from_secs(30);
/// Silent questions on a TCP line, with not a byte from anybody, before the connection is taken
/// for dead.
const DEAD_AFTER: u32 = 2;
/// Shapes of lost questions remembered of one unit; beyond it the oldest is forgotten.
const OWED_MAX: usize = 8;
/// Units of a serial line (Modbus over Serial Line V1.02, 2.2); 0 would be everybody.
const UNITS_RTU: std::ops::RangeInclusive<u8> = 1..=247;
/// Most a flush discards; a line that is never silent is closed.
const DISCARD_MAX: usize = 4096;
// One more count than shapes can be owed is always free.
const _: () = assert!(OWED_MAX + 1 < REGISTERS_MAX as usize);

/// What the bus has seen.
#[derive(Debug, Default)]
pub struct Counters {
    /// Questions sent.
    pub asked: AtomicU64,
    /// Questions answered as they should be.
    pub answered: AtomicU64,
    /// Exceptions.
    pub exceptions: AtomicU64,
    /// Questions left unanswered.
    pub timeouts: AtomicU64,
    /// Replies to questions that had been given up.
    pub late: AtomicU64,
    /// Answers that were none: garbage, wrong unit, function, length.
    pub refused: AtomicU64,
    /// Bytes that came unasked.
    pub stray: AtomicU64,
    /// Times the line was closed because of one of these or because it broke.
    pub closed: AtomicU64,
}

impl Counters {
    /// Names and values.
    #[must_use]
    pub fn list(&self) -> [(&'static str, u64); 8] {
        [
            ("modbus.asked", self.asked.load(Relaxed)),
            ("modbus.answered", self.answered.load(Relaxed)),
            ("modbus.exceptions", self.exceptions.load(Relaxed)),
            ("modbus.timeouts", self.timeouts.load(Relaxed)),
            ("modbus.late", self.late.load(Relaxed)),
            ("modbus.refused", self.refused.load(Relaxed)),
            ("modbus.stray_bytes", self.stray.load(Relaxed)),
            ("modbus.lines_closed", self.closed.load(Relaxed)),
        ]
    }
}

fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Relaxed);
}

/// The queue of a line. Clones share it; the task ends when all are gone.
#[derive(Debug, Clone)]
pub struct Bus {
    asks: mpsc::Sender<Ask>,
    counters: Arc<Counters>,
}

/// Registers or bits, one word each.
pub(super) type Words = Vec<u16>;

#[derive(Debug)]
struct Ask {
    question: Question,
    patience: Patience,
    answer: oneshot::Sender<Result<Words, Error>>,
}

impl Bus {
    /// A bus and the task that its owner must run.
    pub fn new(line: Line) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (asks, waiting) = mpsc::channel(WAITING_MAX);
        let counters = Arc::new(Counters::default());
        let task = Task {
            gap: line.gap(),
            line,
            counters: Arc::clone(&counters),
            open: None,
            reopen: Reopen::default(),
            units: BTreeMap::new(),
            longest: QUIET_MIN,
            silences: 0,
        };
        (Self { asks, counters }, task.run(waiting))
    }

    /// True when the task of the line is gone.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.asks.is_closed()
    }

    /// What the line has seen.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Asks. The answer has exactly as many words as were asked for; a bit is 0 or 1.
    ///
    /// # Errors
    /// [`Error`]; nothing of an answer is used then.
    pub async fn ask(&self, question: Question, patience: Patience) -> Result<Vec<u16>, Error> {
        check(&question)?;
        let (answer, answered) = oneshot::channel();
        let ask = Ask {
            question,
            patience,
            answer,
        };
        self.asks.send(ask).await.map_err(|_| Error::Ended)?;
        answered.await.map_err(|_| Error::Ended)?
    }
}

fn check(question: &Question) -> Result<(), Error> {
    let most = if question.start.space.is_bits() {
        BITS_MAX
    } else {
        REGISTERS_MAX
    };
    if question.count == 0 || question.count > most {
        return Err(Error::Question(
            "a question is for 1 to 125 registers or 1 to 2000 bits",
        ));
    }
    if question.start.at.checked_add(question.count - 1).is_none() {
        return Err(Error::Question("a question ends at register 65535"));
    }
    Ok(())
}

struct Task {
    line: Line,
    gap: Duration,
    counters: Arc<Counters>,
    open: Option<Open>,
    reopen: Reopen,
    units: BTreeMap<u8, Unit>,
    /// The longest time-out in use: how late a reply of this line may be.
    longest: Duration,
    /// Silent questions in a row, of whichever unit.
    silences: u32,
}

struct Open {
    port: Port,
    context: Context,
    /// When the last exchange ended.
    quiet_since: Instant,
}

/// When the line may be opened again.
#[derive(Default)]
struct Reopen {
    at: Option<Instant>,
    failures: u32,
    problem: String,
}

#[derive(Default)]
struct Unit {
    silences: u32,
    rests_until: Option<Instant>,
    /// Shapes of questions whose replies may still come.
    owed: Vec<Shape>,
}

/// How an exchange ended that brought no words.
enum Failed {
    /// The unit says no; the line is intact.
    Exception(Exception),
    /// Silence.
    Timeout,
    /// The line cannot be trusted any more.
    Refused(String),
    /// The line broke.
    Broken(String),
}

impl Task {
    async fn run(mut self, mut waiting: mpsc::Receiver<Ask>) {
        while let Some(ask) = waiting.recv().await {
            // Who asked has gone away meanwhile.
            if ask.answer.is_closed() {
                continue;
            }
            let result = self.serve(ask.question, ask.patience).await;
            let _ = ask.answer.send(result);
        }
    }

    async fn serve(&mut self, question: Question, patience: Patience) -> Result<Words, Error> {
        if self.line.framing() == Framing::Rtu && !UNITS_RTU.contains(&question.unit) {
            return Err(Error::Question("units of a serial line are 1 to 247"));
        }
        let shares =
            self.units.len() > 1 || (self.units.len() == 1 && !self.units.contains_key(&question.unit));
        self.longest = self.longest.max(patience.timeout);
        let unit = self.units.entry(question.unit).or_default();
        if shares && unit.rests_until.is_some_and(|until| Instant::now() < until) {
            return Err(Error::Resting { unit: question.unit });
        }
        self.be_open(patience.timeout).await?;
        let result = match self.get_in_step(question, patience).await {
            Ok(()) => match self.exchange(question, patience).await {
                // An exception has no shape: a late one looks like the answer to this question,
                // whose own answer would then come in the time of the next.
                Err(Failed::Exception(_)) if !self.owed(question.unit).is_empty() => Err(Failed::Refused(
                    "an exception that may belong to an earlier question".to_owned(),
                )),
                result => result,
            },
            Err(failed) => Err(failed),
        };
        self.settle(question, result).await
    }

    /// Opens the line if it is closed. Waits for a pause that ends within `patience`; a longer
    /// one is an answer by itself.
    async fn be_open(&mut self, patience: Duration) -> Result<(), Error> {
        if let Some(open) = &mut self.open {
            // Many devices close a connection that was idle for a minute; that is no failure.
            match discard(&mut open.port, Instant::now()).await {
                Ok(stray) => {
                    add(&self.counters.stray, stray as u64);
                    return Ok(());
                }
                Err(Failed::Refused(problem)) => self.close(&problem, self.longest),
                Err(_) => self.open = None,
            }
        }
        if let Some(at) = self.reopen.at {
            if at > Instant::now() + patience.max(self.longest + REOPEN_FIRST * 2) {
                return Err(self.line_error());
            }
            sleep_until(at).await;
        }
        match self.line.open().await {
            Ok(wire) => {
                let port = Port::new(wire);
                port.clear();
                self.silences = 0;
                self.open = Some(Open {
                    context: attach(&self.line, port.clone()),
                    port,
                    quiet_since: Instant::now(),
                });
                Ok(())
            }
            Err(error) => {
                self.reopen.problem = error.to_string();
                self.reopen.later(Duration::ZERO);
                Err(self.line_error())
            }
        }
    }

    fn line_error(&self) -> Error {
        Error::Line {
            line: self.line.to_string(),
            problem: self.reopen.problem.clone(),
        }
    }

    /// Makes sure that what the unit says next is no reply to an earlier question.
    async fn get_in_step(&mut self, question: Question, patience: Patience) -> Result<(), Failed> {
        let owed = self.owed(question.unit);
        if !owed.contains(&shape(&question)) {
            return Ok(());
        }
        let count = free_count(&owed, question.start, question.count);
        let step = Question { count, ..question };
        match self.exchange(step, patience).await {
            Ok(_) => {}
            // It does not have so many registers; but a late exception would look the same.
            Err(Failed::Exception(_)) => {
                if self.listen().await {
                    return Err(Failed::Refused("a late reply came".to_owned()));
                }
            }
            Err(failed) => {
                self.owe(&step);
                return Err(failed);
            }
        }
        self.forget_owed(question.unit);
        Ok(())
    }

    fn owed(&self, unit: u8) -> Vec<Shape> {
        self.units
            .get(&unit)
            .map(|unit| unit.owed.clone())
            .unwrap_or_default()
    }

    fn forget_owed(&mut self, unit: u8) {
        if let Some(unit) = self.units.get_mut(&unit) {
            unit.owed.clear();
        }
    }

    /// Over TCP nothing is owed: replies carry the number of their question.
    fn owe(&mut self, question: &Question) {
        if self.line.framing() == Framing::Tcp {
            return;
        }
        let unit = self.units.entry(question.unit).or_default();
        if unit.owed.contains(&shape(question)) {
            return;
        }
        if unit.owed.len() == OWED_MAX {
            unit.owed.remove(0);
        }
        unit.owed.push(shape(question));
    }

    /// One question and its answer, on an open line.
    async fn exchange(&mut self, question: Question, patience: Patience) -> Result<Words, Failed> {
        let Some(open) = &mut self.open else {
            return Err(Failed::Broken("the line is closed".to_owned()));
        };
        sleep_until(open.quiet_since + self.gap.max(patience.pause)).await;
        if self.line.framing() == Framing::Rtu {
            open.port.clear();
            let stray = discard(&mut open.port, Instant::now()).await?;
            add(&self.counters.stray, stray as u64);
        }
        open.port.begin();
        open.context.set_slave(Slave(question.unit));
        add(&self.counters.asked, 1);
        let answer = timeout(patience.timeout, open.context.call(request(&question))).await;
        open.quiet_since = Instant::now();
        add(&self.counters.late, open.port.take_late());
        match answer {
            Err(_) if open.port.is_leaving() => {
                Err(Failed::Broken("the peer takes no more bytes".to_owned()))
            }
            Err(_) if open.port.is_in_frame() => Err(Failed::Refused("a part of an answer came".to_owned())),
            Err(_) => Err(Failed::Timeout),
            Ok(Err(tokio_modbus::Error::Transport(error))) => Err(match error.kind() {
                std::io::ErrorKind::InvalidData
                | std::io::ErrorKind::InvalidInput
                | std::io::ErrorKind::UnexpectedEof => Failed::Refused(error.to_string()),
                std::io::ErrorKind::BrokenPipe => {
                    Failed::Broken("the line was closed at the other end".to_owned())
                }
                _ => Failed::Broken(error.to_string()),
            }),
            Ok(Err(tokio_modbus::Error::Protocol(error))) => Err(Failed::Refused(mismatch(&error))),
            Ok(Ok(Err(exception))) => Err(Failed::Exception(Exception::new(exception.into()))),
            Ok(Ok(Ok(response))) => {
                words(response, &question).map_err(|problem| Failed::Refused(problem.to_owned()))
            }
        }
    }

    /// Draws the conclusions for unit and line.
    async fn settle(&mut self, question: Question, result: Result<Words, Failed>) -> Result<Words, Error> {
        let unit = question.unit;
        match result {
            Ok(words) => {
                add(&self.counters.answered, 1);
                self.heard(unit);
                self.forget_owed(unit);
                Ok(words)
            }
            Err(Failed::Exception(exception)) => {
                add(&self.counters.exceptions, 1);
                if matches!(exception, Exception::GatewayPath | Exception::GatewayTarget) {
                    self.silences = 0;
                    self.silent(unit);
                } else {
                    self.heard(unit);
                }
                Err(Error::Exception { unit, exception })
            }
            Err(Failed::Timeout) => {
                add(&self.counters.timeouts, 1);
                if self.open.as_ref().is_some_and(|open| open.port.heard() == 0) {
                    self.silences += 1;
                }
                self.owe(&question);
                self.silent(unit);
                match self.line.framing() {
                    Framing::Rtu => {
                        if self.listen().await {
                            self.close("a late reply came", self.longest);
                        } else {
                            self.renew();
                        }
                    }
                    Framing::Tcp if self.silences >= DEAD_AFTER => {
                        self.close("nothing comes any more", Duration::ZERO)
                    }
                    // The number of the next question tells a late reply apart.
                    Framing::Tcp => {}
                }
                Err(Error::Timeout { unit })
            }
            Err(Failed::Refused(problem)) => {
                add(&self.counters.refused, 1);
                self.owe(&question);
                self.silent(unit);
                let quiet = match self.line.framing() {
                    Framing::Rtu => self.longest,
                    Framing::Tcp => Duration::ZERO,
                };
                self.close(&problem, quiet);
                Err(Error::Refused { unit, problem })
            }
            Err(Failed::Broken(problem)) => {
                self.owe(&question);
                self.close(&problem, Duration::ZERO);
                Err(self.line_error())
            }
        }
    }

    fn heard(&mut self, unit: u8) {
        self.silences = 0;
        self.reopen.failures = 0;
        if let Some(unit) = self.units.get_mut(&unit) {
            unit.silences = 0;
            unit.rests_until = None;
        }
    }

    fn silent(&mut self, unit: u8) {
        let unit = self.units.entry(unit).or_default();
        unit.silences = unit.silences.saturating_add(1);
        if unit.silences >= SILENCES_MAX {
            let doublings = (unit.silences - SILENCES_MAX).min(8);
            unit.rests_until = Some(Instant::now() + jitter((REST_FIRST * (1 << doublings)).min(REST_MAX)));
        }
    }

    /// Listens as long as any reply may take. True when something came.
    async fn listen(&mut self) -> bool {
        let Some(open) = &mut self.open else { return false };
        let came = match discard(&mut open.port, Instant::now() + self.longest).await {
            Ok(0) => return false,
            Ok(bytes) => bytes,
            Err(_) => 1,
        };
        add(&self.counters.stray, came as u64);
        add(&self.counters.late, 1);
        true
    }

    /// A new context on the same line: nothing half-read stays in it.
    fn renew(&mut self) {
        if let Some(open) = &mut self.open {
            open.context = attach(&self.line, open.port.clone());
        }
    }

    /// Closes the line; it is opened again when it has been silent for `quiet`.
    fn close(&mut self, problem: &str, quiet: Duration) {
        add(&self.counters.closed, 1);
        tracing::debug!(line = %self.line, problem, "line closed");
        if let Some(open) = self.open.take() {
            open.port.clear();
        }
        self.reopen.problem = problem.to_owned();
        self.reopen.later(quiet);
    }
}

impl Reopen {
    fn later(&mut self, quiet: Duration) {
        let doublings = self.failures.min(8);
        self.failures = self.failures.saturating_add(1);
        self.at = Some(Instant::now() + quiet + jitter((REOPEN_FIRST * (1 << doublings)).min(REOPEN_MAX)));
    }
}

/// Three quarters to five quarters of it, so that lines that broke together do not come back
/// together.
fn jitter(pause: Duration) -> Duration {
    pause.mul_f64(rand::rng().random_range(0.75..1.25))
}

pub(super) fn attach(line: &Line, port: Port) -> Context {
    match line.framing() {
        Framing::Tcp => tokio_modbus::client::tcp::attach(port),
        Framing::Rtu => tokio_modbus::client::rtu::attach(port),
    }
}

/// What a reply looks like from outside: its table and its bytes. One to eight bits look alike.
type Shape = (Space, u16);

const fn shape(question: &Question) -> Shape {
    let space = question.start.space;
    let bytes = if space.is_bits() {
        question.count.div_ceil(8)
    } else {
        question.count * 2
    };
    (space, bytes)
}

/// A count whose reply looks like none that is owed.
fn free_count(owed: &[Shape], start: Address, wanted: u16) -> u16 {
    let is_free = |count: &u16| {
        let question = Question {
            unit: 0,
            start,
            count: *count,
        };
        check(&question).is_ok() && !owed.contains(&shape(&question))
    };
    let most = if start.space.is_bits() {
        BITS_MAX
    } else {
        REGISTERS_MAX
    };
    // Fewer of what is known to be there, before more of what may not be. One is always free:
    // see OWED_MAX; at the end of a table the smaller ones are.
    (1..wanted)
        .rev()
        .chain(wanted + 1..=most)
        .find(is_free)
        .unwrap_or(wanted)
}

fn request(question: &Question) -> Request<'static> {
    let (at, count) = (question.start.at, question.count);
    match question.start.space {
        Space::Coil => Request::ReadCoils(at, count),
        Space::Discrete => Request::ReadDiscreteInputs(at, count),
        Space::Holding => Request::ReadHoldingRegisters(at, count),
        Space::Input => Request::ReadInputRegisters(at, count),
    }
}

fn words(response: Response, question: &Question) -> Result<Words, &'static str> {
    let wanted = usize::from(question.count);
    match (question.start.space, response) {
        (Space::Holding, Response::ReadHoldingRegisters(words))
        | (Space::Input, Response::ReadInputRegisters(words)) => {
            if words.len() == wanted {
                Ok(words)
            } else {
                Err("an answer with another number of registers")
            }
        }
        (Space::Coil, Response::ReadCoils(bits)) | (Space::Discrete, Response::ReadDiscreteInputs(bits)) => {
            // Bits come in whole bytes.
            if bits.len() == wanted.next_multiple_of(8) {
                Ok(bits.into_iter().take(wanted).map(u16::from).collect())
            } else {
                Err("an answer with another number of bits")
            }
        }
        _ => Err("an answer of another kind"),
    }
}

fn mismatch(error: &tokio_modbus::ProtocolError) -> String {
    match error {
        tokio_modbus::ProtocolError::HeaderMismatch { .. } => "an answer of another unit".to_owned(),
        tokio_modbus::ProtocolError::FunctionCodeMismatch { .. } => {
            "an answer to another function".to_owned()
        }
    }
}

/// Reads and forgets until `until`. The bytes that came.
async fn discard(port: &mut Port, until: Instant) -> Result<usize, Failed> {
    let mut bytes = [0; 256];
    let mut came = 0;
    loop {
        match timeout_at(until, port.read(&mut bytes)).await {
            Err(_) => return Ok(came),
            Ok(Ok(0)) => return Err(Failed::Broken("the line was closed at the other end".to_owned())),
            Ok(Ok(n)) => came += n,
            Ok(Err(error)) => return Err(Failed::Broken(error.to_string())),
        }
        if came > DISCARD_MAX {
            return Err(Failed::Refused("the line is never silent".to_owned()));
        }
    }
}
