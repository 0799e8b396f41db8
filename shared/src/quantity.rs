//! Quantities with unit and plausible range.
//!
//! On the wire every value is an `i32` in thousandths of the unit (milli-degrees, milli-percent),
//! so that a node needs no floating point. A contact is 0 (closed, dry) or 1000 (open, wet, cut).

use crate::NoData;
use serde::{Deserialize, Serialize};

/// What is measured. Append only: the order is the wire encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Quantity {
    /// Air temperature in degrees Celsius.
    Temperature,
    /// Relative humidity in percent.
    Humidity,
    /// A normally-closed contact: 0 closed, 1 open or cut.
    Contact,
    /// Electrical potential in volts.
    Voltage,
    /// Electrical current in amperes.
    Current,
    /// Frequency in hertz.
    Frequency,
    /// Real power in watts.
    Power,
    /// A share in percent (load, charge).
    Percent,
    /// A span of time in seconds.
    Seconds,
    /// A count without unit.
    Count,
    /// Air pressure in hectopascals.
    Pressure,
    /// Acceleration in metres per second squared (1 gal is 0.01).
    Acceleration,
    /// Mass of particles in air, in micrograms per cubic metre.
    MassConcentration,
}

impl Quantity {
    /// Every quantity, for tables and tests.
    pub const ALL: [Self; 13] = [
        Self::Temperature,
        Self::Humidity,
        Self::Contact,
        Self::Voltage,
        Self::Current,
        Self::Frequency,
        Self::Power,
        Self::Percent,
        Self::Seconds,
        Self::Count,
        Self::Pressure,
        Self::Acceleration,
        Self::MassConcentration,
    ];

    /// The unit as it is printed.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Temperature => "°C",
            Self::Humidity | Self::Percent => "%",
            Self::Contact | Self::Count => "",
            Self::Voltage => "V",
            Self::Current => "A",
            Self::Frequency => "Hz",
            Self::Power => "W",
            Self::Seconds => "s",
            Self::Pressure => "hPa",
            Self::Acceleration => "m/s²",
            Self::MassConcentration => "µg/m³",
        }
    }

    /// What the quantity can be in a server room, in thousandths of the unit, both ends included.
    /// Wider than any alarm limit: outside of it the sensor is wrong, not the room.
    #[must_use]
    pub const fn plausible_milli(self) -> (i32, i32) {
        match self {
            // Parts in use end at -40 and +125; 85.0 at power-on is a driver's business.
            Self::Temperature => (-40_000, 125_000),
            Self::Humidity | Self::Percent => (0, 100_000),
            Self::Contact => (0, 1_000),
            Self::Voltage => (0, 1_000_000),
            Self::Current => (0, 2_000_000),
            Self::Frequency => (0, 100_000),
            // From the highest town to the deepest low and a positive-pressure room.
            Self::Pressure => (600_000, 1_100_000),
            // 16 g, the widest range of the parts in use.
            Self::Acceleration => (0, 160_000),
            Self::MassConcentration => (0, 1_000_000),
            // 2.1 MW is where 32 bits end; no municipal room comes near.
            Self::Power | Self::Seconds | Self::Count => (0, i32::MAX),
        }
    }

    /// Refuses what cannot be.
    ///
    /// # Errors
    /// [`NoData::Implausible`] when `milli` lies outside [`Self::plausible_milli`].
    pub const fn check(self, milli: i32) -> Result<i32, NoData> {
        let (low, high) = self.plausible_milli();
        if milli < low || milli > high {
            Err(NoData::Implausible)
        } else {
            Ok(milli)
        }
    }
}

/// One measurement of one channel: a value in thousandths of the unit, or the reason why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Channel of the node, 0-based.
    pub channel: u8,
    /// What is measured.
    pub quantity: Quantity,
    /// Value in thousandths of the unit, or why there is none.
    pub value: Result<i32, NoData>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_complete_and_in_wire_order() {
        // `ALL` is indexed by the wire encoding; a missing or moved entry shows here.
        for (index, quantity) in Quantity::ALL.iter().enumerate() {
            let mut bytes = [0; 4];
            assert_eq!(postcard::to_slice(quantity, &mut bytes).unwrap(), &[index as u8]);
        }
    }

    #[test]
    fn ranges_hold_both_ends_and_refuse_the_next() {
        for quantity in Quantity::ALL {
            let (low, high) = quantity.plausible_milli();
            assert!(low < high, "{quantity:?}");
            assert_eq!((quantity.check(low), quantity.check(high)), (Ok(low), Ok(high)));
            assert_eq!(quantity.check(low - 1), Err(NoData::Implausible), "{quantity:?}");
            if let Some(above) = high.checked_add(1) {
                assert_eq!(quantity.check(above), Err(NoData::Implausible), "{quantity:?}");
            }
        }
    }

    #[test]
    fn what_can_be_measured_in_a_room_is_plausible() {
        for (quantity, milli) in [
            (Quantity::Temperature, -5_000),
            (Quantity::Temperature, 60_000),
            (Quantity::Humidity, 45_000),
            (Quantity::Voltage, 202_000),
            (Quantity::Frequency, 60_000),
            (Quantity::Power, 120_000_000),
            (Quantity::Seconds, 3_600_000),
        ] {
            assert_eq!(quantity.check(milli), Ok(milli));
        }
        assert_eq!(Quantity::Temperature.check(-273_160), Err(NoData::Implausible));
    }

    #[test]
    fn units_are_printed_as_people_write_them() {
        let units: std::vec::Vec<_> = Quantity::ALL.iter().map(|quantity| quantity.unit()).collect();
        assert_eq!(
            units,
            [
                "°C", "%", "", "V", "A", "Hz", "W", "%", "s", "", "hPa", "m/s²", "µg/m³"
            ]
        );
    }
}
