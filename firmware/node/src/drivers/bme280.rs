//! BME280 temperature, humidity and pressure sensor (Bosch, BST-BME280-DS002, revision 1.24).
//!
//! ```text
//! Unknown --identity--> Known --calibration, two bursts--> Idle --forced mode--> Measuring --burst--> Idle
//!    ^---------------------------------- any error ------------------------------+
//! ```
//! Every measurement is asked for (forced mode, section 3.3.3), so the part does not warm itself
//! in between. One burst fetches the configuration together with the result: the two bytes of it
//! differ, so a bus that repeats a byte does not pass, and a part that lost its power has lost
//! them. Compensation is in integers, by the formulas of section 4.2.3.

use super::{Driver, Next, Outputs, Reading, register, write};
use embedded_hal::i2c::I2c;
use shared::NoData;

const IDENTITY_AT: u8 = 0xd0;
const IDENTITY: u8 = 0x60;
/// 26 bytes from here: dig_T1 to dig_H1; 7 from the other: dig_H2 to dig_H6 (table 16).
const CALIBRATION_AT: u8 = 0x88;
const CALIBRATION_HUMIDITY_AT: u8 = 0xe1;
const CONTROL_HUMIDITY: u8 = 0xf2;
const CONTROL: u8 = 0xf4;
const CONFIGURATION: u8 = 0xf5;

/// Oversampling once for each quantity: what "weather monitoring" takes (section 3.5.1).
const HUMIDITY_ONCE: u8 = 0b001;
/// Temperature and pressure once each (001, 001), one measurement (01).
const FORCED: u8 = 0b0010_0101;
const SLEEPING: u8 = FORCED & !0b11;
/// No filter, no standby, three wires off.
const PLAIN: u8 = 0;

/// At most 1.25 + 2.3 + (2.3 + 0.575) + (2.3 + 0.575) = 9.3 ms (section 9.1).
const MEASURE_MS: u16 = 10;
/// Looks at a measurement that is not over.
const MAX_LOOKS: u8 = 3;
const MEASURING: u8 = 1 << 3;

/// What the part puts where nothing was measured (section 4.2.3).
const SKIPPED_20: u32 = 0x8_0000;
const SKIPPED_16: u32 = 0x8000;

/// Output of the temperature, in thousandths of a degree Celsius.
pub const TEMPERATURE: u8 = 0;
/// Output of the relative humidity, in thousandths of a percent.
pub const HUMIDITY: u8 = 1;
/// Output of the pressure, in thousandths of a hectopascal.
pub const PRESSURE: u8 = 2;

/// A part at 0x76 or 0x77, by its pin SDO.
#[derive(Debug)]
pub struct Bme280 {
    address: u8,
    phase: Phase,
    calibration: Calibration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing is known of the part.
    Unknown,
    /// It is a BME280.
    Known,
    /// The first part of the calibration is known, too.
    HalfKnown,
    /// The calibration is known.
    Idle,
    /// A measurement runs; looked at so many times.
    Measuring { looks: u8 },
}

impl Bme280 {
    /// A part that has not been measured yet.
    #[must_use]
    pub const fn new(address: u8) -> Self {
        Self {
            address,
            phase: Phase::Unknown,
            calibration: Calibration::new(),
        }
    }

    fn proceed(
        &mut self,
        bus: &mut impl I2c,
        give: &mut impl FnMut(u8, Reading),
    ) -> Result<(Phase, Next), NoData> {
        match self.phase {
            Phase::Unknown => {
                let identity: [u8; 1] = register(bus, self.address, IDENTITY_AT)?;
                if identity != [IDENTITY] {
                    return Err(NoData::BusFault);
                }
                Ok((Phase::Known, Next::After(1)))
            }
            Phase::Known => {
                self.calibration
                    .common(register(bus, self.address, CALIBRATION_AT)?);
                Ok((Phase::HalfKnown, Next::After(1)))
            }
            Phase::HalfKnown => {
                let last = register(bus, self.address, CALIBRATION_HUMIDITY_AT)?;
                self.calibration.humidity(last);
                Ok((Phase::Idle, Next::After(1)))
            }
            Phase::Idle => {
                // The humidity's setting counts from the next write to CONTROL (section 5.4.3).
                write(bus, self.address, &[CONTROL_HUMIDITY, HUMIDITY_ONCE])?;
                write(bus, self.address, &[CONFIGURATION, PLAIN])?;
                write(bus, self.address, &[CONTROL, FORCED])?;
                Ok((Phase::Measuring { looks: 0 }, Next::After(MEASURE_MS)))
            }
            Phase::Measuring { looks } => {
                let burst: [u8; 13] = register(bus, self.address, CONTROL_HUMIDITY)?;
                let [control_humidity, status, control, _, _, result @ ..] = burst;
                if control_humidity != HUMIDITY_ONCE || control & !0b11 != SLEEPING {
                    return Err(NoData::BusFault);
                }
                if status & MEASURING != 0 || control != SLEEPING {
                    return if looks + 1 < MAX_LOOKS {
                        Ok((Phase::Measuring { looks: looks + 1 }, Next::After(MEASURE_MS)))
                    } else {
                        Err(NoData::Timeout)
                    };
                }
                self.calibration.give(result, give);
                Ok((Phase::Idle, Next::Done))
            }
        }
    }
}

impl Driver for Bme280 {
    // Pressure moves by 0.2 Pa from sample to sample (table 3), a step is 0.18 Pa.
    const STUCK_AFTER_MS: Option<u32> = Some(600_000);

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

/// The compensation words of one part (table 16).
#[derive(Debug)]
struct Calibration {
    t1: u16,
    t2: i16,
    t3: i16,
    p1: u16,
    p: [i16; 8],
    h1: u8,
    h2: i16,
    h3: u8,
    h4: i16,
    h5: i16,
    h6: i8,
}

impl Calibration {
    const fn new() -> Self {
        Self {
            t1: 0,
            t2: 0,
            t3: 0,
            p1: 0,
            p: [0; 8],
            h1: 0,
            h2: 0,
            h3: 0,
            h4: 0,
            h5: 0,
            h6: 0,
        }
    }

    /// Registers 0x88 to 0xa1.
    fn common(&mut self, bytes: [u8; 26]) {
        let word = |index: usize| i16::from_le_bytes([bytes[2 * index], bytes[2 * index + 1]]);
        self.t1 = word(0) as u16;
        self.t2 = word(1);
        self.t3 = word(2);
        self.p1 = word(3) as u16;
        self.p = core::array::from_fn(|index| word(4 + index));
        self.h1 = bytes[25];
    }

    /// Registers 0xe1 to 0xe7; dig_H4 and dig_H5 share the byte 0xe5.
    fn humidity(&mut self, [h2_low, h2_high, h3, h4_high, shared, h5_high, h6]: [u8; 7]) {
        self.h2 = i16::from_le_bytes([h2_low, h2_high]);
        self.h3 = h3;
        self.h4 = i16::from(h4_high as i8) * 16 + i16::from(shared & 0x0f);
        self.h5 = i16::from(h5_high as i8) * 16 + i16::from(shared >> 4);
        self.h6 = h6 as i8;
    }

    /// Registers 0xf7 to 0xfe.
    fn give(&self, raw: [u8; 8], give: &mut impl FnMut(u8, Reading)) {
        let word = |bytes: [u8; 3]| u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) >> 4;
        let pressure = word([raw[0], raw[1], raw[2]]);
        let temperature = word([raw[3], raw[4], raw[5]]);
        let humidity = u32::from_be_bytes([0, 0, raw[6], raw[7]]);
        if temperature == SKIPPED_20 {
            // The other two cannot be compensated without it.
            for output in [TEMPERATURE, HUMIDITY, PRESSURE] {
                give(output, Err(NoData::Sentinel));
            }
            return;
        }
        let fine = self.fine(temperature);
        give(TEMPERATURE, Ok(celsius_milli(fine)));
        give(
            HUMIDITY,
            if humidity == SKIPPED_16 {
                Err(NoData::Sentinel)
            } else {
                Ok(self.humidity_milli(humidity, fine))
            },
        );
        give(
            PRESSURE,
            if pressure == SKIPPED_20 {
                Err(NoData::Sentinel)
            } else {
                self.pressure_milli(pressure, fine)
            },
        );
    }

    // A disturbed calibration must not overflow into a panic, hence the wrapping; what comes out
    // then is outside of what the quantity can be, or differs from reading to reading.

    /// Temperature in 1/5120 °C.
    fn fine(&self, raw: u32) -> i32 {
        let (raw, t1) = (raw as i32, i32::from(self.t1));
        let first = (((raw >> 3) - (t1 << 1)).wrapping_mul(i32::from(self.t2))) >> 11;
        let offset = (raw >> 4) - t1;
        let second = ((offset.wrapping_mul(offset) >> 12).wrapping_mul(i32::from(self.t3))) >> 14;
        first.wrapping_add(second)
    }

    /// Pressure in thousandths of a hectopascal.
    fn pressure_milli(&self, raw: u32, fine: i32) -> Reading {
        let p = self.p.map(i64::from);
        let first = i64::from(fine) - 128_000;
        let square = first.wrapping_mul(first);
        let second = square
            .wrapping_mul(p[4])
            .wrapping_add(first.wrapping_mul(p[3]) << 17)
            .wrapping_add(p[2] << 35);
        let scale = (square.wrapping_mul(p[1]) >> 8).wrapping_add(first.wrapping_mul(p[0]) << 12);
        let scale = ((1_i64 << 47).wrapping_add(scale)).wrapping_mul(i64::from(self.p1)) >> 33;
        if scale == 0 {
            return Err(NoData::Implausible);
        }
        let pressure = (((i64::from(1_048_576 - raw as i32) << 31).wrapping_sub(second)).wrapping_mul(3_125))
            .wrapping_div(scale);
        let cubic = (p[7].wrapping_mul(pressure >> 13).wrapping_mul(pressure >> 13)) >> 25;
        let linear = p[6].wrapping_mul(pressure) >> 19;
        // In 1/256 Pa.
        let pressure = (pressure.wrapping_add(cubic).wrapping_add(linear) >> 8).wrapping_add(p[5] << 4);
        // 1 Pa is 10 thousandths of a hectopascal.
        i32::try_from(pressure.wrapping_mul(10) / 256).map_err(|_| NoData::Implausible)
    }

    /// Relative humidity in thousandths of a percent, 0 to 100 000 (the formula crops).
    fn humidity_milli(&self, raw: u32, fine: i32) -> i32 {
        let [h1, h2, h3, h4, h5, h6] = [
            i32::from(self.h1),
            i32::from(self.h2),
            i32::from(self.h3),
            i32::from(self.h4),
            i32::from(self.h5),
            i32::from(self.h6),
        ];
        let fine = fine.wrapping_sub(76_800);
        let left = (((raw as i32) << 14)
            .wrapping_sub(h4 << 20)
            .wrapping_sub(h5.wrapping_mul(fine))
            .wrapping_add(16_384))
            >> 15;
        let right = (fine.wrapping_mul(h6) >> 10)
            .wrapping_mul((fine.wrapping_mul(h3) >> 11).wrapping_add(32_768))
            >> 10;
        let right = (right.wrapping_add(2_097_152).wrapping_mul(h2).wrapping_add(8_192)) >> 14;
        let humidity = left.wrapping_mul(right);
        let square = (humidity >> 15).wrapping_mul(humidity >> 15) >> 7;
        let humidity = humidity.wrapping_sub(square.wrapping_mul(h1) >> 4);
        // In 1/1024 % after the shift; 419 430 400 is 100 %.
        let humidity = humidity.clamp(0, 419_430_400) >> 12;
        humidity * 125 / 128
    }
}

/// Thousandths of a degree from 1/5120 °C.
const fn celsius_milli(fine: i32) -> i32 {
    // The formula's (fine × 5 + 128) >> 8 is hundredths; this keeps one digit more.
    (fine as i64 * 1_000 / 5_120) as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drivers::fake::{Bus, FakePart, measure, noise, survives_the_bus};

    /// The worked example that Bosch gives for the same compensation (BST-BMP280-DS001, section
    /// 3.12, figure "calculation example"), with the humidity words of a part in use.
    const EXAMPLE: Calibration = Calibration {
        t1: 27_504,
        t2: 26_435,
        t3: -1_000,
        p1: 36_477,
        p: [-10_685, 3_024, 2_855, 140, -7, 15_500, -14_600, 6_000],
        h1: 75,
        h2: 361,
        h3: 0,
        h4: 322,
        h5: 50,
        h6: 30,
    };
    const RAW_TEMPERATURE: u32 = 519_888;
    const RAW_PRESSURE: u32 = 415_148;
    const RAW_HUMIDITY: u16 = 30_000;

    #[test]
    fn compensates_the_example_of_the_datasheet() {
        let fine = EXAMPLE.fine(RAW_TEMPERATURE);
        assert_eq!(fine, 128_422);
        assert_eq!(celsius_milli(fine), 25_082);
        // 100 653.27 Pa in the datasheet.
        assert_eq!(EXAMPLE.pressure_milli(RAW_PRESSURE, fine), Ok(1_006_532));
    }

    #[test]
    fn humidity_follows_the_floating_point_formula_of_the_datasheet() {
        let c = EXAMPLE;
        for (raw, celsius_raw) in [
            (30_000, 519_888),
            (24_000, 519_888),
            (36_000, 480_000),
            (20_000, 560_000),
        ] {
            let fine = c.fine(celsius_raw);
            let h = f64::from(fine) - 76_800.0;
            let h = (f64::from(raw) - (f64::from(c.h4) * 64.0 + f64::from(c.h5) / 16_384.0 * h))
                * (f64::from(c.h2) / 65_536.0
                    * (1.0
                        + f64::from(c.h6) / 67_108_864.0 * h * (1.0 + f64::from(c.h3) / 67_108_864.0 * h)));
            let h = (h * (1.0 - f64::from(c.h1) * h / 524_288.0)).clamp(0.0, 100.0);
            let ours = f64::from(c.humidity_milli(raw, fine)) / 1_000.0;
            assert!((ours - h).abs() < 0.05, "{raw}: {ours} against {h}");
        }
    }

    /// Answers like the part: sleeps until it is told to measure.
    struct Part {
        registers: [u8; 256],
        pointer: u8,
        busy: u8,
    }

    impl Part {
        fn new() -> Self {
            let mut registers = [0; 256];
            registers[usize::from(IDENTITY_AT)] = IDENTITY;
            let words = [EXAMPLE.t1 as i16, EXAMPLE.t2, EXAMPLE.t3, EXAMPLE.p1 as i16];
            for (index, word) in words.into_iter().chain(EXAMPLE.p).enumerate() {
                registers[0x88 + 2 * index..][..2].copy_from_slice(&word.to_le_bytes());
            }
            registers[0xa1] = EXAMPLE.h1;
            let (h4, h5) = (EXAMPLE.h4, EXAMPLE.h5);
            let shared = (h4 & 0xf) as u8 | ((h5 & 0xf) << 4) as u8;
            registers[0xe1..0xe8].copy_from_slice(&[
                EXAMPLE.h2 as u8,
                (EXAMPLE.h2 >> 8) as u8,
                EXAMPLE.h3,
                (h4 >> 4) as u8,
                shared,
                (h5 >> 4) as u8,
                EXAMPLE.h6 as u8,
            ]);
            Self {
                registers,
                pointer: 0,
                busy: 0,
            }
        }

        fn result(&mut self, pressure: u32, temperature: u32, humidity: u16) {
            self.registers[0xf7..0xfa].copy_from_slice(&(pressure << 4).to_be_bytes()[1..]);
            self.registers[0xfa..0xfd].copy_from_slice(&(temperature << 4).to_be_bytes()[1..]);
            self.registers[0xfd..0xff].copy_from_slice(&humidity.to_be_bytes());
        }
    }

    impl FakePart for Part {
        fn write(&mut self, bytes: &[u8]) -> Result<(), ()> {
            self.pointer = bytes[0];
            if let [at, value] = *bytes {
                self.registers[usize::from(at)] = value;
                if at == CONTROL && value & 0b11 == 0b01 {
                    self.result(RAW_PRESSURE, RAW_TEMPERATURE, RAW_HUMIDITY);
                    self.registers[usize::from(CONTROL)] &= !0b11;
                }
            }
            Ok(())
        }

        fn read(&mut self, into: &mut [u8]) -> Result<(), ()> {
            self.registers[0xf3] = if self.busy > 0 { MEASURING } else { 0 };
            self.busy = self.busy.saturating_sub(1);
            let from = usize::from(self.pointer);
            into.copy_from_slice(&self.registers[from..from + into.len()]);
            Ok(())
        }
    }

    fn part() -> (Bme280, Bus<Part>) {
        (Bme280::new(0x76), Bus::with(0x76, Part::new()))
    }

    fn good() -> [(u8, Reading); 3] {
        let humidity = EXAMPLE.humidity_milli(u32::from(RAW_HUMIDITY), 128_422);
        [
            (TEMPERATURE, Ok(25_082)),
            (HUMIDITY, Ok(humidity)),
            (PRESSURE, Ok(1_006_532)),
        ]
    }

    #[test]
    fn a_good_part_gives_three_quantities() {
        let (mut driver, mut bus) = part();
        for _ in 0..2 {
            assert_eq!(measure(&mut driver, &mut bus, 7).as_deref(), Ok(&good()[..]));
        }
    }

    #[test]
    fn a_slow_measurement_is_waited_for_and_an_endless_one_is_a_timeout() {
        let (mut driver, mut bus) = part();
        measure(&mut driver, &mut bus, 7).unwrap();
        bus.part().busy = 2;
        assert_eq!(measure(&mut driver, &mut bus, 7).as_deref(), Ok(&good()[..]));
        bus.part().busy = 9;
        assert_eq!(measure(&mut driver, &mut bus, 7), Err(NoData::Timeout));
    }

    #[test]
    fn what_was_skipped_is_no_value() {
        let mut given = Vec::new();
        let mut give = |output, reading| given.push((output, reading));
        EXAMPLE.give([0x80, 0, 0, 0x7e, 0xed, 0, 0x80, 0], &mut give);
        assert_eq!(given[0], (TEMPERATURE, Ok(25_082)));
        assert_eq!(
            given[1..],
            [
                (HUMIDITY, Err(NoData::Sentinel)),
                (PRESSURE, Err(NoData::Sentinel))
            ]
        );
    }

    #[test]
    fn a_part_that_lost_its_power_while_measuring_is_no_value() {
        let (mut driver, mut bus) = part();
        measure(&mut driver, &mut bus, 7).unwrap();
        let mut give = |_, _| ();
        driver.step(&mut bus, 7, &mut give).unwrap();
        *bus.part() = Part::new();
        assert_eq!(driver.step(&mut bus, 7, &mut give), Err(NoData::BusFault));
        assert_eq!(measure(&mut driver, &mut bus, 7).as_deref(), Ok(&good()[..]));
    }

    #[test]
    fn another_chip_is_not_believed() {
        let (mut driver, mut bus) = part();
        // A BMP280, which has no humidity.
        bus.part().registers[usize::from(IDENTITY_AT)] = 0x58;
        assert_eq!(measure(&mut driver, &mut bus, 7), Err(NoData::BusFault));
    }

    #[test]
    fn no_state_of_the_bus_is_a_value() {
        survives_the_bus(part, 7, &good());
    }

    #[test]
    fn any_calibration_and_any_result_is_computed_without_a_panic() {
        let mut seed = 1;
        for _ in 0..20_000 {
            let mut calibration = Calibration::new();
            calibration.common(core::array::from_fn(|_| noise(&mut seed)));
            calibration.humidity(core::array::from_fn(|_| noise(&mut seed)));
            calibration.give(core::array::from_fn(|_| noise(&mut seed)), &mut |_, _| ());
        }
    }
}
