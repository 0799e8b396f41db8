//! LIS3DH accelerometer (STMicroelectronics, DS6839 revision 2), used as a seismometer.
//!
//! ```text
//! Unknown --identity, configuration--> Sampling --count--> Draining --FIFO empty--> Verifying
//!    ^                                    ^----------------- verified: count the peak ---+
//!    +------------------------------ any error, or not verified -------------------------+
//! ```
//! 50 samples a second at ±4 g, where 1 digit is 2 mg (table 4); ground motion that harms is
//! slower than 20 Hz. The part keeps 32 samples in its FIFO, so looking every 100 ms loses none.
//! Gravity and the tilt of the mounting are the slow mean of each axis and taken out; what is left
//! is the vibration, and its largest magnitude since the last value is the peak.
//!
//! Peaks count only after the configuration was read back unchanged: its bytes differ, so a bus
//! that repeats a byte is no earthquake.

use super::{Driver, Next, Outputs, Reading, fetch, register, write};
use embedded_hal::i2c::I2c;
use shared::NoData;

const WHO_AM_I: u8 = 0x0f;
const IDENTITY: u8 = 0x33;
/// Bit of a register's address: count on with every byte (section 6.1.1).
const MULTIPLE: u8 = 0x80;
const CONTROL_1: u8 = 0x20 | MULTIPLE;
/// Control registers 1 to 5: 50 Hz on three axes; no filter; no interrupt; block update, ±4 g,
/// high resolution; FIFO on.
const CONFIGURED: [u8; 5] = [0x47, 0x00, 0x00, 0x98, 0x40];
const OUT_X: u8 = 0x28 | MULTIPLE;
const FIFO_CONTROL: u8 = 0x2e;
/// New samples replace the oldest.
const STREAM: u8 = 0x80;
const FIFO_SOURCE: u8 = 0x2f;
const UNREAD: u8 = 0x1f;

/// Samples fetched in one step: 18 bytes are 1.8 ms.
const BATCH: u8 = 3;
/// Samples of an interval: one second.
const INTERVAL: u8 = 50;
/// Looks in a row that find no sample, and the part does not sample: a second.
const MAX_EMPTY: u8 = 10;
/// Samples in a row that are the same in every digit: a minute. Its noise is about a digit.
const STUCK_AFTER: u16 = 3_000;
/// A sample moves the mean by 1/64: the mean follows within seconds, the ground moves faster.
const MEAN_SHIFT: i32 = 6;

/// A part at 0x18 or 0x19, by its pin SA0. Output 0 is the peak, in thousandths of a metre per
/// second squared (1 gal is 10).
#[derive(Debug)]
pub struct Lis3dh {
    address: u8,
    phase: Phase,
    /// Peaks from here on are told at once.
    urgent_milli: u16,
    /// Of each axis, in digits times 64.
    mean: Option<[i32; 3]>,
    last: [i16; 3],
    same: u16,
    samples: u8,
    empty: u8,
    /// Squared magnitude in digits, not yet verified, and verified.
    candidate: u32,
    peak: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Unknown,
    Sampling,
    Draining { left: u8 },
    Verifying,
}

impl Lis3dh {
    /// A part that has not been spoken to yet. `urgent_milli` is the peak that is told at once
    /// instead of at the end of its second, in thousandths of m/s²; 0 for never.
    #[must_use]
    pub const fn new(address: u8, urgent_milli: u16) -> Self {
        Self {
            address,
            phase: Phase::Unknown,
            urgent_milli,
            mean: None,
            last: [0; 3],
            same: 0,
            samples: 0,
            empty: 0,
            candidate: 0,
            peak: 0,
        }
    }

    fn proceed(
        &mut self,
        bus: &mut impl I2c,
        give: &mut impl FnMut(u8, Reading),
    ) -> Result<(Phase, Next), NoData> {
        match self.phase {
            Phase::Unknown => {
                *self = Self::new(self.address, self.urgent_milli);
                if register(bus, self.address, WHO_AM_I)? != [IDENTITY] {
                    return Err(NoData::BusFault);
                }
                let [a, b, c, d, e] = CONFIGURED;
                write(bus, self.address, &[CONTROL_1, a, b, c, d, e])?;
                write(bus, self.address, &[FIFO_CONTROL, STREAM])?;
                Ok((Phase::Sampling, Next::Done))
            }
            Phase::Sampling => {
                let [source]: [u8; 1] = register(bus, self.address, FIFO_SOURCE)?;
                let left = source & UNREAD;
                self.empty = if left == 0 { self.empty + 1 } else { 0 };
                if self.empty >= MAX_EMPTY {
                    return Err(NoData::Timeout);
                }
                Ok((Phase::Draining { left }, Next::After(0)))
            }
            Phase::Draining { left: 0 } => Ok((Phase::Verifying, Next::After(0))),
            Phase::Draining { left } => {
                let batch = left.min(BATCH);
                let mut bytes = [0; BATCH as usize * 6];
                let bytes = &mut bytes[..usize::from(batch) * 6];
                fetch(bus, self.address, OUT_X, bytes)?;
                for sample in bytes.chunks_exact(6) {
                    // Twelve bits, left-justified, low byte first.
                    self.sample(core::array::from_fn(|axis| {
                        i16::from_le_bytes([sample[2 * axis], sample[2 * axis + 1]]) >> 4
                    }));
                }
                Ok((Phase::Draining { left: left - batch }, Next::After(0)))
            }
            Phase::Verifying => {
                if register(bus, self.address, CONTROL_1)? != CONFIGURED {
                    return Err(NoData::BusFault);
                }
                self.peak = self.peak.max(core::mem::take(&mut self.candidate));
                if self.same >= STUCK_AFTER {
                    return Err(NoData::Stuck);
                }
                let milli = milli(self.peak);
                let urgent = self.urgent_milli > 0 && milli >= i32::from(self.urgent_milli);
                if urgent || self.samples >= INTERVAL {
                    give(0, Ok(milli));
                    self.peak = 0;
                    self.samples = 0;
                }
                Ok((Phase::Sampling, Next::Done))
            }
        }
    }

    fn sample(&mut self, sample: [i16; 3]) {
        self.same = if sample == self.last {
            self.same.saturating_add(1)
        } else {
            0
        };
        self.last = sample;
        self.samples = self.samples.saturating_add(1);
        let mean = self
            .mean
            .get_or_insert_with(|| sample.map(|digits| i32::from(digits) << MEAN_SHIFT));
        let mut square = 0;
        for (mean, digits) in mean.iter_mut().zip(sample) {
            let off = i32::from(digits) - (*mean >> MEAN_SHIFT);
            *mean += off;
            square += off.unsigned_abs().pow(2);
        }
        self.candidate = self.candidate.max(square);
    }
}

impl Driver for Lis3dh {
    fn step(
        &mut self,
        bus: &mut impl I2c,
        _: Outputs,
        give: &mut impl FnMut(u8, Reading),
    ) -> Result<Next, NoData> {
        let proceeded = self.proceed(bus, give);
        self.phase = proceeded.map_or(Phase::Unknown, |(phase, _)| phase);
        proceeded.map(|(_, next)| next)
    }
}

/// Thousandths of m/s² of a squared magnitude in digits of 2 mg; 1 g is 9.80665 m/s².
fn milli(square: u32) -> i32 {
    // Three axes of at most 4096 digits each: the root is below 7100.
    (square.isqrt() * 19_613 / 1_000) as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::fake::{Bus, FakePart, Fault, noise};
    use std::collections::VecDeque;

    struct Part {
        registers: [u8; 64],
        pointer: usize,
        fifo: VecDeque<[i16; 3]>,
    }

    impl FakePart for Part {
        fn write(&mut self, bytes: &[u8]) -> Result<(), ()> {
            self.pointer = usize::from(bytes[0] & !MULTIPLE);
            self.registers[self.pointer..][..bytes.len() - 1].copy_from_slice(&bytes[1..]);
            Ok(())
        }

        fn read(&mut self, into: &mut [u8]) -> Result<(), ()> {
            match self.pointer {
                0x2f => into[0] = self.fifo.len().min(31) as u8,
                0x28 => {
                    for chunk in into.chunks_mut(6) {
                        let sample = self.fifo.pop_front().ok_or(())?;
                        for (bytes, digits) in chunk.chunks_mut(2).zip(sample) {
                            bytes.copy_from_slice(&(digits << 4).to_le_bytes());
                        }
                    }
                }
                at => into.copy_from_slice(&self.registers[at..][..into.len()]),
            }
            Ok(())
        }
    }

    /// 1 g on the vertical axis, as it hangs on the wall.
    const REST: [i16; 3] = [3, -5, 500];

    fn part() -> (Lis3dh, Bus<Part>) {
        let mut registers = [0; 64];
        registers[usize::from(WHO_AM_I)] = IDENTITY;
        let part = Part {
            registers,
            pointer: 0,
            fifo: VecDeque::new(),
        };
        (Lis3dh::new(0x18, 250), Bus::with(0x18, part))
    }

    /// One look: steps until a measurement is done.
    fn look(driver: &mut Lis3dh, bus: &mut Bus<Part>) -> Result<Vec<Reading>, NoData> {
        let mut given = Vec::new();
        let mut steps = 0;
        while driver.step(bus, 1, &mut |_, reading| given.push(reading))? != Next::Done {
            steps += 1;
            assert!(steps < 20, "it never ends");
        }
        Ok(given)
    }

    /// What is given while these samples come, five for each look.
    fn run(driver: &mut Lis3dh, bus: &mut Bus<Part>, samples: &[[i16; 3]]) -> Vec<Reading> {
        samples
            .chunks(5)
            .flat_map(|chunk| {
                bus.part().fifo.extend(chunk);
                look(driver, bus).unwrap_or_else(|reason| vec![Err(reason)])
            })
            .collect()
    }

    /// Rest, with the last digit of one axis moving.
    fn rest(count: usize) -> Vec<[i16; 3]> {
        (0..count)
            .map(|n| [REST[0] + (n % 2) as i16, REST[1], REST[2]])
            .collect()
    }

    #[test]
    fn a_digit_is_two_thousandths_of_gravity() {
        // 500 digits are 1 g; 4 digits are 8 mg, 7.8 gal.
        for (digits, milli_mps2) in [(0, 0), (500, 9_806), (4, 78), (1, 19)] {
            assert_eq!(milli(digits * digits), milli_mps2);
        }
        assert_eq!(milli(3 * 4_096 * 4_096), 139_134);
    }

    #[test]
    fn the_configuration_is_the_one_of_the_datasheet() {
        let (mut driver, mut bus) = part();
        assert_eq!(look(&mut driver, &mut bus), Ok(vec![]));
        let registers = bus.part().registers;
        // ODR 0100, axes 111 | BDU 1, FS 01, HR 1 | FIFO_EN 1.
        assert_eq!(
            (registers[0x20], registers[0x23], registers[0x24]),
            (0x47, 0x98, 0x40)
        );
        assert_eq!(registers[0x2e], 0x80);
    }

    #[test]
    fn rest_is_a_value_each_second_and_gravity_is_no_vibration() {
        let (mut driver, mut bus) = part();
        look(&mut driver, &mut bus).unwrap();
        let given = run(&mut driver, &mut bus, &rest(500));
        assert_eq!(given.len(), 10);
        assert!(given.iter().all(|peak| peak.unwrap() <= 20), "{given:?}");
    }

    #[test]
    fn an_earthquake_is_told_at_once_with_its_peak() {
        let (mut driver, mut bus) = part();
        look(&mut driver, &mut bus).unwrap();
        run(&mut driver, &mut bus, &rest(100));
        let mut shake = rest(5);
        // 100 digits sideways: 200 mg, 196 gal.
        shake[2][0] += 100;
        let given = run(&mut driver, &mut bus, &shake);
        assert_eq!(given.len(), 1);
        let peak = given[0].unwrap();
        assert!((1_940..=2_000).contains(&peak), "{peak}");
        // What is over is not told again.
        let after = run(&mut driver, &mut bus, &rest(100));
        assert!(after.iter().all(|peak| peak.unwrap() < 250), "{after:?}");
    }

    #[test]
    fn a_small_shock_waits_for_the_end_of_its_second() {
        let (mut driver, mut bus) = part();
        look(&mut driver, &mut bus).unwrap();
        let mut samples = rest(50);
        samples[10][1] += 10;
        let given = run(&mut driver, &mut bus, &samples);
        assert_eq!(given.len(), 1);
        assert!((180..=200).contains(&given[0].unwrap()), "{given:?}");
    }

    #[test]
    fn a_frozen_bus_is_no_earthquake() {
        for fault in (0..=255).map(Fault::Frozen).chain([Fault::Echo]) {
            let (mut driver, mut bus) = part();
            look(&mut driver, &mut bus).unwrap();
            run(&mut driver, &mut bus, &rest(100));
            bus.fault = Some(fault);
            for _ in 0..40 {
                if let Ok(given) = look(&mut driver, &mut bus) {
                    assert_eq!(given, [], "{fault:?}");
                }
            }
            bus.fault = None;
            let _ = look(&mut driver, &mut bus);
            let _ = look(&mut driver, &mut bus);
            let given = run(&mut driver, &mut bus, &rest(100));
            assert!(
                given.iter().flatten().all(|peak| *peak <= 20),
                "{fault:?} {given:?}"
            );
            assert!(!given.is_empty());
        }
    }

    #[test]
    fn a_part_that_does_not_sample_is_a_timeout() {
        let (mut driver, mut bus) = part();
        let looks: Vec<_> = (0..11).map(|_| look(&mut driver, &mut bus)).collect();
        assert_eq!(looks[10], Err(NoData::Timeout));
        assert!(looks[..10].iter().all(|look| *look == Ok(vec![])));
    }

    #[test]
    fn samples_that_never_move_by_a_digit_are_stuck() {
        let (mut driver, mut bus) = part();
        look(&mut driver, &mut bus).unwrap();
        let given = run(&mut driver, &mut bus, &vec![REST; 3_010]);
        assert!(given[..59].iter().all(|peak| *peak == Ok(0)));
        assert_eq!(given.last(), Some(&Err(NoData::Stuck)));
    }

    #[test]
    fn absent_is_absent_and_another_chip_is_not_believed() {
        let (mut driver, mut bus) = part();
        bus.fault = Some(Fault::Absent);
        assert_eq!(look(&mut driver, &mut bus), Err(NoData::Absent));
        bus.fault = None;
        bus.part().registers[usize::from(WHO_AM_I)] = 0x32;
        assert_eq!(look(&mut driver, &mut bus), Err(NoData::BusFault));
    }

    #[test]
    fn noise_on_the_bus_and_in_the_samples_never_panics() {
        let (mut driver, mut bus) = part();
        let mut seed = 3;
        for round in 0..2_000 {
            bus.fault = (round % 3 == 0).then_some(Fault::Garbage(round));
            let word = |seed: &mut u64| i16::from_le_bytes([noise(seed), noise(seed)]);
            bus.part().fifo = (0..5)
                .map(|_| [0; 3].map(|_: i16| word(&mut seed) >> 4))
                .collect();
            let _ = look(&mut driver, &mut bus);
        }
    }
}
