//! What is mounted on a node: the table in its configuration block, one row a channel.
//!
//! ```text
//! row = part u8 | at u8 | output u8 | flags u8 | param u16 | 0 u16        little endian
//! ```
//! The row's place is the channel. Rows that name the same part at the same place share it: it is
//! read once, and each row takes one of its outputs.

use crate::Quantity;

/// Bytes of a row.
pub const ROW_LEN: usize = 8;

/// The parts there are. Append only: the number is in blocks of nodes in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Part {
    /// A contact at pin `at` of the board; `param` is its hold in milliseconds (0: the usual one).
    Contact = 1,
    /// TMP105 temperature sensor at I2C address `at`.
    Tmp105 = 2,
    /// TMP1075 temperature sensor at I2C address `at`.
    Tmp1075 = 3,
    /// SHT4x at I2C address `at`: temperature, humidity.
    Sht4x = 4,
    /// SHT3x at I2C address `at`: temperature, humidity.
    Sht3x = 5,
    /// BME280 at I2C address `at`: temperature, humidity, pressure.
    Bme280 = 6,
    /// Modbus-RTU probe with unit id `at` on RS-485: temperature, humidity. `param` picks the
    /// register layout.
    ModbusProbe = 7,
    /// Leak spot with end-of-line resistor on channel `output` of the converter at `at`.
    LeakSpot = 8,
    /// Leak rope with end-of-line resistor on channel `output` of the converter at `at`.
    LeakRope = 9,
    /// LIS3DH accelerometer at I2C address `at`: peak since the last reading. `param` is the peak
    /// in thousandths of m/s² that is told at once (0: never).
    Lis3dh = 10,
    /// SPS30 particle counter at I2C address `at`: PM1.0, PM2.5, PM4, PM10.
    Sps30 = 11,
    /// A voltage on channel `output` of the converter at `at`; `param` is the divider before it
    /// in thousandths (0: none).
    Voltage = 12,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 12] = [
        Self::Contact,
        Self::Tmp105,
        Self::Tmp1075,
        Self::Sht4x,
        Self::Sht3x,
        Self::Bme280,
        Self::ModbusProbe,
        Self::LeakSpot,
        Self::LeakRope,
        Self::Lis3dh,
        Self::Sps30,
        Self::Voltage,
    ];

    /// The part with this number.
    #[must_use]
    pub fn of(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|part| *part as u8 == number)
    }

    /// Its word in `site.toml`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Contact => "contact",
            Self::Tmp105 => "tmp105",
            Self::Tmp1075 => "tmp1075",
            Self::Sht4x => "sht4x",
            Self::Sht3x => "sht3x",
            Self::Bme280 => "bme280",
            Self::ModbusProbe => "modbus_probe",
            Self::LeakSpot => "leak_spot",
            Self::LeakRope => "leak_rope",
            Self::Lis3dh => "lis3dh",
            Self::Sps30 => "sps30",
            Self::Voltage => "voltage",
        }
    }

    /// What its output measures; `None` when it has no such output.
    #[must_use]
    pub const fn quantity(self, output: u8) -> Option<Quantity> {
        match (self, output) {
            (Self::Contact | Self::LeakSpot | Self::LeakRope, _) => Some(Quantity::Contact),
            (
                Self::Tmp105 | Self::Tmp1075 | Self::Sht4x | Self::Sht3x | Self::Bme280 | Self::ModbusProbe,
                0,
            ) => Some(Quantity::Temperature),
            (Self::Sht4x | Self::Sht3x | Self::Bme280 | Self::ModbusProbe, 1) => Some(Quantity::Humidity),
            (Self::Bme280, 2) => Some(Quantity::Pressure),
            (Self::Lis3dh, 0) => Some(Quantity::Acceleration),
            (Self::Sps30, 0..=3) => Some(Quantity::MassConcentration),
            (Self::Voltage, _) => Some(Quantity::Voltage),
            _ => None,
        }
    }
}

/// The analogue-digital converter of a line or voltage, in bits 6 and 7 of [`Mount::flags`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Converter {
    /// ADS1115.
    Ads1115 = 0,
    /// MAX34451: the voltage of page `output`.
    Max34451 = 1,
    /// ADM1272: its input voltage.
    Adm1272 = 2,
    /// The board's own.
    Board = 3,
}

/// What a contact is for the portal, in bits 0 to 3 of [`Mount::flags`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PortalInput {
    /// Nothing: a contact of its own.
    None = 0,
    /// The door contact.
    Door = 1,
    /// The button or sensor of request to exit.
    RequestToExit = 2,
    /// The contact of the lock's bolt.
    Bolt = 3,
    /// The contact of the key cylinder.
    KeyOverride = 4,
    /// The tamper contact of reader or enclosure.
    Tamper = 5,
}

/// Bit of [`Mount::flags`]: the contact is normally open (closed is the alarm side). Such a
/// contact cannot tell a cut wire.
pub const NORMALLY_OPEN: u8 = 1 << 4;

/// Bit of [`Mount::flags`] of a [`Part::ModbusProbe`]: the line runs at 19 200 bits per second
/// instead of 9 600. The first probe of the table speaks for the line.
pub const FAST_LINE: u8 = 1 << 4;
/// Bit of [`Mount::flags`] of a [`Part::ModbusProbe`]: bytes have even parity instead of none.
pub const EVEN_PARITY: u8 = 1 << 5;

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mount {
    /// The part.
    pub part: Part,
    /// Pin, I2C address or Modbus unit, as the part says.
    pub at: u8,
    /// Which output of the part, or which channel of its converter.
    pub output: u8,
    /// [`PortalInput`], [`NORMALLY_OPEN`], [`Converter`].
    pub flags: u8,
    /// As the part says.
    pub param: u16,
}

impl Mount {
    /// A part with nothing special.
    #[must_use]
    pub const fn new(part: Part, at: u8, output: u8) -> Self {
        Self {
            part,
            at,
            output,
            flags: 0,
            param: 0,
        }
    }

    /// What it measures; `None` when the part has no such output.
    #[must_use]
    pub const fn quantity(self) -> Option<Quantity> {
        self.part.quantity(self.output)
    }

    /// What it is for the portal.
    #[must_use]
    pub const fn portal(self) -> PortalInput {
        match self.flags & 0x0f {
            1 => PortalInput::Door,
            2 => PortalInput::RequestToExit,
            3 => PortalInput::Bolt,
            4 => PortalInput::KeyOverride,
            5 => PortalInput::Tamper,
            _ => PortalInput::None,
        }
    }

    /// True when closed is the alarm side.
    #[must_use]
    pub const fn is_normally_open(self) -> bool {
        self.flags & NORMALLY_OPEN != 0
    }

    /// Its converter.
    #[must_use]
    pub const fn converter(self) -> Converter {
        match self.flags >> 6 {
            0 => Converter::Ads1115,
            1 => Converter::Max34451,
            2 => Converter::Adm1272,
            _ => Converter::Board,
        }
    }

    /// The same with this use at the portal.
    #[must_use]
    pub const fn with_portal(mut self, input: PortalInput) -> Self {
        self.flags = self.flags & !0x0f | input as u8;
        self
    }

    /// The same with this converter.
    #[must_use]
    pub const fn with_converter(mut self, converter: Converter) -> Self {
        self.flags = self.flags & 0x3f | (converter as u8) << 6;
        self
    }

    /// The row.
    #[must_use]
    pub fn encode(self) -> [u8; ROW_LEN] {
        let [low, high] = self.param.to_le_bytes();
        [self.part as u8, self.at, self.output, self.flags, low, high, 0, 0]
    }

    /// Reads a row; `None` for an empty one and for a part of a later version.
    #[must_use]
    pub fn decode(row: &[u8; ROW_LEN]) -> Option<Self> {
        Some(Self {
            part: Part::of(row[0])?,
            at: row[1],
            output: row[2],
            flags: row[3],
            param: u16::from_le_bytes([row[4], row[5]]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_survives_the_way_and_measures_something() {
        for part in Part::ALL {
            let mount = Mount {
                param: 0x1234,
                ..Mount::new(part, 0x48, 0)
            }
            .with_portal(PortalInput::Bolt)
            .with_converter(Converter::Adm1272);
            assert_eq!(Mount::decode(&mount.encode()), Some(mount));
            assert_eq!(
                (mount.portal(), mount.converter()),
                (PortalInput::Bolt, Converter::Adm1272)
            );
            assert!(mount.quantity().is_some(), "{part:?}");
        }
    }

    #[test]
    fn numbers_and_words_are_each_used_once() {
        for (index, part) in Part::ALL.iter().enumerate() {
            assert_eq!(*part as usize, index + 1);
            assert!(
                Part::ALL[index + 1..]
                    .iter()
                    .all(|other| other.word() != part.word())
            );
        }
    }

    #[test]
    fn rows_of_nothing_and_of_later_parts_are_no_channels() {
        for first in [0, Part::ALL.len() as u8 + 1, 0xff] {
            assert_eq!(Mount::decode(&[first, 1, 2, 3, 4, 5, 6, 7]), None);
        }
    }

    #[test]
    fn outputs_that_a_part_does_not_have_measure_nothing() {
        assert_eq!(Part::Tmp105.quantity(1), None);
        assert_eq!(Part::Sht4x.quantity(2), None);
        assert_eq!(Part::Sps30.quantity(4), None);
    }
}
