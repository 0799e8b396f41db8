//! A bus for tests: simulated parts, and what can become of them and of the bus.

use super::{Driver, MAX_GIVEN, Next, Outputs, Reading};
use embedded_hal::i2c::{ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation};
use shared::NoData;
use std::collections::BTreeMap;

/// A simulated part. A refused transfer is not acknowledged.
pub(crate) trait FakePart {
    fn write(&mut self, bytes: &[u8]) -> Result<(), ()>;
    fn read(&mut self, into: &mut [u8]) -> Result<(), ()>;
}

impl FakePart for Box<dyn FakePart> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), ()> {
        self.as_mut().write(bytes)
    }

    fn read(&mut self, into: &mut [u8]) -> Result<(), ()> {
        self.as_mut().read(into)
    }
}

/// What can become of a bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nobody there.
    Absent,
    /// Writes vanish, reads give the same byte for ever.
    Frozen(u8),
    /// Reads give the last byte that was sent, as the data register of a stopped controller.
    Echo,
    Arbitration,
    /// Reads give noise; the number is the seed.
    Garbage(u64),
}

/// A bus with one part at each address.
pub(crate) struct Bus<P> {
    pub(crate) parts: BTreeMap<u8, P>,
    pub(crate) fault: Option<Fault>,
    /// Bytes of the longest stretch on the bus without giving way, and of the current one.
    pub(crate) longest: usize,
    stretch: usize,
    last_sent: u8,
}

impl<P: FakePart> Bus<P> {
    pub(crate) fn with(address: u8, part: P) -> Self {
        Self {
            parts: BTreeMap::from([(address, part)]),
            fault: None,
            longest: 0,
            stretch: 0,
            last_sent: 0,
        }
    }

    /// The node did something else in between.
    pub(crate) fn give_way(&mut self) {
        self.stretch = 0;
    }

    pub(crate) fn part(&mut self) -> &mut P {
        self.parts.values_mut().next().unwrap()
    }
}

impl<P> ErrorType for Bus<P> {
    type Error = ErrorKind;
}

impl<P: FakePart> I2c for Bus<P> {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), ErrorKind> {
        const NACK: ErrorKind = ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address);
        for operation in operations {
            self.stretch += 1 + match operation {
                Operation::Write(bytes) => bytes.len(),
                Operation::Read(into) => into.len(),
            };
            self.longest = self.longest.max(self.stretch);
            match (operation, &mut self.fault) {
                (_, Some(Fault::Absent)) => return Err(NACK),
                (_, Some(Fault::Arbitration)) => return Err(ErrorKind::ArbitrationLoss),
                (Operation::Write(bytes), Some(_)) => self.last_sent = bytes[bytes.len() - 1],
                (Operation::Read(into), Some(Fault::Frozen(byte))) => into.fill(*byte),
                (Operation::Read(into), Some(Fault::Echo)) => into.fill(self.last_sent),
                (Operation::Read(into), Some(Fault::Garbage(state))) => {
                    into.fill_with(|| noise(state));
                }
                (Operation::Write(bytes), None) => self
                    .parts
                    .get_mut(&address)
                    .ok_or(NACK)?
                    .write(bytes)
                    .map_err(|()| NACK)?,
                (Operation::Read(into), None) => self
                    .parts
                    .get_mut(&address)
                    .ok_or(NACK)?
                    .read(into)
                    .map_err(|()| NACK)?,
            }
        }
        Ok(())
    }
}

/// One byte of noise (xorshift).
pub(crate) fn noise(state: &mut u64) -> u8 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 32) as u8
}

/// Steps of one measurement that a test has patience for.
const MAX_STEPS: usize = 64;
/// Bytes of a step: 2.7 ms at 100 kHz and nine bits a byte. The longest is a BME280's calibration,
/// once after power-on; the others stay below 2 ms.
pub(crate) const MAX_STRETCH: usize = 30;

/// Everything one measurement gives; the whole of it, or why not.
pub(crate) fn measure<P: FakePart>(
    driver: &mut impl Driver,
    bus: &mut Bus<P>,
    wanted: Outputs,
) -> Result<Vec<(u8, Reading)>, NoData> {
    let mut given = Vec::new();
    bus.longest = 0;
    for _ in 0..MAX_STEPS {
        bus.give_way();
        let before = given.len();
        let next = driver.step(bus, wanted, &mut |output, reading| given.push((output, reading)))?;
        assert!(given.len() - before <= MAX_GIVEN);
        if next == Next::Done {
            assert!(bus.longest <= MAX_STRETCH, "{} bytes in one step", bus.longest);
            return Ok(given);
        }
    }
    panic!("the measurement never ends");
}

/// What must hold for every part: a bus that is frozen, empty or disturbed gives no value, and the
/// part is measured again when the bus is back, after at most one more error.
pub(crate) fn survives_the_bus<P: FakePart, D: Driver>(
    new: impl Fn() -> (D, Bus<P>),
    wanted: Outputs,
    good: &[(u8, Reading)],
) {
    let frozen = (0..=255).map(Fault::Frozen);
    for fault in frozen.chain([Fault::Echo, Fault::Arbitration, Fault::Absent]) {
        // From the start, and in the middle of a life.
        for lived in [false, true] {
            let (mut driver, mut bus) = new();
            if lived {
                assert_eq!(measure(&mut driver, &mut bus, wanted).as_deref(), Ok(good));
            }
            bus.fault = Some(fault);
            let mut heard = measure(&mut driver, &mut bus, wanted);
            if let Ok(given) = &heard {
                assert!(
                    given.iter().all(|(_, reading)| reading.is_err()),
                    "{fault:?} {given:?}"
                );
                heard = measure(&mut driver, &mut bus, wanted);
            }
            match (fault, heard) {
                (Fault::Absent, heard) => assert_eq!(heard, Err(NoData::Absent), "{lived}"),
                (_, Ok(given)) => assert!(given.iter().all(|(_, reading)| reading.is_err())),
                (_, Err(_)) => (),
            }
            bus.fault = None;
            let again =
                measure(&mut driver, &mut bus, wanted).or_else(|_| measure(&mut driver, &mut bus, wanted));
            assert_eq!(again.as_deref(), Ok(good), "after {fault:?}");
        }
    }
    // Noise never panics, and is hardly ever believed.
    for seed in 0..200 {
        let (mut driver, mut bus) = new();
        let _ = measure(&mut driver, &mut bus, wanted);
        bus.fault = Some(Fault::Garbage(seed));
        for _ in 0..50 {
            let mut give = |output: u8, _| assert!(output < 16);
            bus.give_way();
            let _ = driver.step(&mut bus, wanted, &mut give);
        }
    }
}
