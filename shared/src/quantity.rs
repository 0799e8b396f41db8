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
}

impl Quantity {
    /// Every quantity, for tables and tests.
    pub const ALL: [Self; 10] = [
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
