//! One device over time: its registers, what it was found to lack, and the next reading.
//!
//! ```text
//! plan --blocks--> bus --words--> image --profile--> reading
//!   ^ refused: cut, or skip one      |  a safety fact changed: its blocks are read again
//!   +--------------------------------+  until two readings in a row agree
//! ```
//!
//! **Two equal readings.** On the line a reply has no number and sixteen bits of checksum. So a
//! changed `output.source` or `battery.status`, on which servers are stopped, is believed when a
//! second reading of its registers says the same; until then it is [`NoData::Corrupt`].
//!
//! **What a device lacks** it says by an exception, or by silence. Both count as "lacks" only until
//! the first whole reading: what was there once is asked for with every reading, whatever the
//! device says. Silence counts only while the device answers other questions, and never for a
//! safety fact: a cable that was pulled half-way through the first reading must not hide an outage.

use super::{Block, Bus, Error, Exception, Line, Lines, Patience, Plan, Question, RETRIES_MAX};
use room::device::{FactValue, PollFailure, Reading};
use room::profile::register::{Address, Cell, Image};
use room::profile::{Layout, Library, Profile};
use room::site::link::ModbusLink;
use shared::NoData;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Facts on which servers are stopped.
const SAFETY_FACTS: [&str; 2] = ["output.source", "battery.status"];
/// Readings of a changed safety fact until two in a row agree.
const CONFIRMATIONS_MAX: usize = 4;
/// Times a busy device is asked again.
const BUSY_RETRIES: u8 = 3;
/// Pause before a busy device is asked again.
const BUSY_PAUSE: Duration = Duration::from_millis(200);
/// Questions of one reading, those that teach what the device lacks counted.
const QUESTIONS_MAX: usize = 400;
/// A reading never takes longer, whatever the device does.
const READING_MAX: Duration = Duration::from_secs(60);

/// What is known of one device.
#[derive(Debug)]
pub struct Session {
    asker: Asker,
    known: Option<Known>,
}

/// How the device is asked.
#[derive(Debug)]
struct Asker {
    lines: Lines,
    line: Line,
    unit: u8,
    patience: Patience,
    retries: u8,
}

#[derive(Debug)]
struct Known {
    profile: Arc<Profile>,
    layout: Layout,
    plan: Plan,
    /// A whole reading came: what is silent from now on is not missing.
    is_proven: bool,
    /// The safety facts as last reported.
    reported: BTreeMap<&'static str, Result<FactValue, NoData>>,
}

impl Session {
    /// Of a device nothing was read of yet. Without a Modbus profile every reading ends in
    /// [`PollFailure::NoProfile`].
    #[must_use]
    pub fn new(
        lines: Lines,
        library: &Library,
        link: &ModbusLink,
        profile: Option<&str>,
        timeout: Duration,
        retries: u8,
    ) -> Self {
        let profile = profile.and_then(|name| library.get(name)).cloned();
        let known = profile.and_then(Known::new);
        Self::with(known, lines, Line::from(&link.line), link.unit, timeout, retries)
    }

    /// Of a unit on any line, with this profile.
    #[must_use]
    pub fn on(
        lines: Lines,
        line: Line,
        unit: u8,
        profile: Arc<Profile>,
        timeout: Duration,
        retries: u8,
    ) -> Self {
        Self::with(Known::new(profile), lines, line, unit, timeout, retries)
    }

    fn with(
        known: Option<Known>,
        lines: Lines,
        line: Line,
        unit: u8,
        timeout: Duration,
        retries: u8,
    ) -> Self {
        Self {
            asker: Asker {
                lines,
                line,
                unit,
                patience: Patience {
                    timeout,
                    pause: known.as_ref().map_or(Duration::ZERO, Known::pause),
                },
                retries: retries.min(RETRIES_MAX),
            },
            known,
        }
    }

    /// Asks again, with the next reading, for what the device was found to lack.
    pub fn forget(&mut self) {
        if let Some(known) = &mut self.known {
            known.plan.ask_all();
            known.is_proven = false;
        }
    }

    /// Reads the device.
    ///
    /// # Errors
    /// [`PollFailure`]; nothing of the device is believed then.
    pub async fn read(&mut self) -> Result<Reading, PollFailure> {
        let Some(known) = &mut self.known else {
            return Err(PollFailure::NoProfile);
        };
        // What was learnt until a deadline stays learnt.
        match tokio::time::timeout(READING_MAX, self.asker.reading(known)).await {
            Ok(result) => result,
            Err(_) => Err(PollFailure::Timeout),
        }
    }
}

impl Asker {
    async fn reading(&self, known: &mut Known) -> Result<Reading, PollFailure> {
        let bus = self.lines.bus(&self.line);
        let mut image = Image::default();
        self.read_blocks(&bus, known, &mut image).await?;
        let mut reading = known.decode(&image);
        let mut unconfirmed = known.changed(&reading);
        for _ in 0..CONFIRMATIONS_MAX {
            if unconfirmed.is_empty() {
                break;
            }
            for block in known.blocks_of(&unconfirmed) {
                let words = self.ask(&bus, &block).await.map_err(|error| failure(&error))?;
                image.set_words(block.start, words);
            }
            let again = known.decode(&image);
            unconfirmed.retain(|name| value(&again, name) != value(&reading, name));
            reading = again;
        }
        for name in unconfirmed {
            if let Some(fact) = reading.facts.iter_mut().find(|fact| fact.name == name) {
                fact.value = Err(NoData::Corrupt);
            }
        }
        known.report(&reading);
        Ok(reading)
    }

    /// Fills the image, and the plan with what the device teaches.
    async fn read_blocks(&self, bus: &Bus, known: &mut Known, image: &mut Image) -> Result<(), PollFailure> {
        let mut answered = false;
        let mut last = None;
        let mut waiting = known.plan.blocks();
        waiting.reverse();
        for _ in 0..QUESTIONS_MAX {
            let Some(block) = waiting.pop() else { break };
            match self.ask(bus, &block).await {
                Ok(words) => {
                    image.set_words(block.start, words);
                    answered = true;
                }
                Err(error) => {
                    let teaches = match &error {
                        Error::Exception { exception, .. } => {
                            answered = true;
                            if *exception == Exception::IllegalFunction && !known.is_proven {
                                known.plan.skip(&block);
                                last = Some(error);
                                continue;
                            }
                            teaches(*exception)
                        }
                        // It is there and does not answer this: some devices say "no" so.
                        Error::Timeout { .. } if answered && known.may_lack(&block) => Teaches::Lacks(None),
                        _ => Teaches::Nothing,
                    };
                    match teaches {
                        Teaches::Nothing => return Err(failure(&error)),
                        // Asked for again with the next reading.
                        Teaches::Fails(code) if block.is_single() || known.is_proven => {
                            fail(image, &block, code);
                        }
                        Teaches::Lacks(Some(code)) if block.is_single() && known.is_proven => {
                            fail(image, &block, code);
                        }
                        Teaches::Fails(_) | Teaches::Lacks(_) => {
                            known.plan.refuse(&block);
                            // The parts of what was cut, now.
                            let parts = known.plan.blocks();
                            let within = parts.into_iter().filter(|part| block.covers(part.start));
                            waiting.extend(within.collect::<Vec<_>>().into_iter().rev());
                        }
                    }
                    last = Some(error);
                }
            }
        }
        if !waiting.is_empty() {
            return Err(PollFailure::Refused(format!(
                "it takes more than {QUESTIONS_MAX} questions to read it; name fewer registers, or nearer ones"
            )));
        }
        let has_words = image.iter().any(|(_, _, cell)| matches!(cell, Cell::Word(_)));
        match last {
            // Not one register: nothing is known of the device, not even that it has this profile.
            Some(error) if !has_words => {
                known.plan.ask_all();
                Err(failure(&error))
            }
            _ => {
                known.is_proven = true;
                Ok(())
            }
        }
    }

    /// Asks for one block, again where that may help.
    async fn ask(&self, bus: &Bus, block: &Block) -> Result<Vec<u16>, Error> {
        let question = Question {
            unit: self.unit,
            start: block.start,
            count: block.count,
        };
        let (mut silences, mut busy) = (0, 0);
        loop {
            match bus.ask(question, self.patience).await {
                Err(Error::Exception {
                    exception: Exception::Busy | Exception::Acknowledge,
                    ..
                }) if busy < BUSY_RETRIES => {
                    busy += 1;
                    sleep(BUSY_PAUSE).await;
                }
                Err(Error::Timeout { .. } | Error::Refused { .. } | Error::Line { .. })
                    if silences < self.retries =>
                {
                    silences += 1;
                }
                result => return result,
            }
        }
    }
}

impl Known {
    fn new(profile: Arc<Profile>) -> Option<Self> {
        let modbus = profile.modbus()?;
        let layout = profile.layout(&[]);
        let values = layout
            .registers()
            .map(|register| (register.address, register.kind.words()));
        let plan = Plan::new(values, modbus.max_registers, modbus.hole);
        Some(Self {
            plan,
            layout,
            is_proven: false,
            reported: BTreeMap::new(),
            profile,
        })
    }

    fn pause(&self) -> Duration {
        let modbus = self.profile.modbus().unwrap_or_default();
        Duration::from_millis(u64::from(modbus.pause_ms))
    }

    fn decode(&self, image: &Image) -> Reading {
        self.layout.decode(None, &self.layout.values_in(image))
    }

    /// The safety facts that differ from what was last reported.
    fn changed(&self, reading: &Reading) -> Vec<&'static str> {
        let mut names = SAFETY_FACTS.to_vec();
        names.retain(|name| {
            let now = value(reading, name);
            // Without a value there is nothing to believe.
            matches!(now, Some(Ok(_))) && now != self.reported.get(name)
        });
        names
    }

    fn report(&mut self, reading: &Reading) {
        for name in SAFETY_FACTS {
            match value(reading, name) {
                Some(value) => self.reported.insert(name, value.clone()),
                None => self.reported.remove(name),
            };
        }
    }

    /// True when silence about a block can mean that the device does not have it.
    fn may_lack(&self, block: &Block) -> bool {
        !self.is_proven && (!block.is_single() || !self.is_safety(block))
    }

    fn is_safety(&self, block: &Block) -> bool {
        SAFETY_FACTS
            .iter()
            .flat_map(|name| self.layout.registers_of(name))
            .any(|register| block.covers(register.address))
    }

    /// The blocks that hold the registers of these facts.
    fn blocks_of(&self, names: &[&str]) -> Vec<Block> {
        let registers: Vec<Address> = names
            .iter()
            .flat_map(|name| self.layout.registers_of(name))
            .map(|register| register.address)
            .collect();
        let mut blocks = self.plan.blocks();
        blocks.retain(|block| registers.iter().any(|address| block.covers(*address)));
        blocks
    }
}

fn value<'a>(reading: &'a Reading, name: &str) -> Option<&'a Result<FactValue, NoData>> {
    reading.fact(name).map(|fact| &fact.value)
}

/// What an exception says about a block.
enum Teaches {
    /// The device does not have it, or not so much at once; with the code that said so.
    Lacks(Option<u8>),
    /// The device has it and cannot tell it now.
    Fails(u8),
    /// Nothing: there is no reading.
    Nothing,
}

const fn teaches(exception: Exception) -> Teaches {
    match exception {
        Exception::IllegalFunction | Exception::IllegalAddress | Exception::IllegalValue => {
            Teaches::Lacks(Some(exception.code()))
        }
        Exception::DeviceFailure
        | Exception::Acknowledge
        | Exception::Busy
        | Exception::Parity
        | Exception::Other(_) => Teaches::Fails(exception.code()),
        Exception::GatewayPath | Exception::GatewayTarget => Teaches::Nothing,
    }
}

fn fail(image: &mut Image, block: &Block, code: u8) {
    for at in (block.start.at..=u16::MAX).take(usize::from(block.count)) {
        image.set(block.start.space, at, Cell::Failed(code));
    }
}

fn failure(error: &Error) -> PollFailure {
    match error {
        Error::Timeout { .. } | Error::Resting { .. } => PollFailure::Timeout,
        Error::Exception {
            exception: Exception::GatewayTarget,
            ..
        } => PollFailure::Timeout,
        Error::Exception {
            exception: Exception::GatewayPath,
            ..
        }
        | Error::Line { .. }
        | Error::Ended => PollFailure::Unreachable(error.to_string()),
        Error::Refused { .. } | Error::Exception { .. } | Error::Question(_) => {
            PollFailure::Refused(error.to_string())
        }
    }
}
