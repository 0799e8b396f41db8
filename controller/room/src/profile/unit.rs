//! Units of number facts, and what a number of a unit and a name can physically be.
//!
//! Two kinds of bounds: the *usual range*, which a profile may replace by its own `range`, and
//! the *physical limits*, which no profile can widen. A number outside of either is refused,
//! never repaired: a mains voltage of 2313 V is a device that counts tenths, and whoever sees
//! it must know.

use serde::Deserialize;
use shared::Quantity;

/// Unit of a number fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Unit {
    /// States and texts.
    #[serde(rename = "")]
    None,
    /// Volts.
    V,
    /// Amperes.
    A,
    /// Watts.
    W,
    /// Volt-amperes.
    #[serde(rename = "VA")]
    Va,
    /// Volt-amperes reactive.
    #[serde(rename = "var")]
    Var,
    /// Watt-hours.
    Wh,
    /// Hertz.
    Hz,
    /// Seconds.
    #[serde(rename = "s")]
    Seconds,
    /// Percent.
    #[serde(rename = "%")]
    Percent,
    /// Degrees Celsius.
    #[serde(rename = "°C")]
    Celsius,
    /// Bytes.
    #[serde(rename = "B")]
    Bytes,
    /// Bits per second.
    #[serde(rename = "bit/s")]
    BitsPerSecond,
    /// Turns per minute.
    #[serde(rename = "rpm")]
    Rpm,
    /// Metres per second.
    #[serde(rename = "m/s")]
    MetresPerSecond,
    /// Pascals.
    Pa,
    /// Decibels over a milliwatt.
    #[serde(rename = "dBm")]
    Dbm,
    /// Cubic metres per hour.
    #[serde(rename = "m3/h")]
    CubicMetresPerHour,
    /// Litres per minute.
    #[serde(rename = "l/min")]
    LitresPerMinute,
    /// A count or a ratio.
    #[serde(rename = "1")]
    Count,
}

/// What a number can be, both ends included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Lowest.
    pub low: f64,
    /// Highest.
    pub high: f64,
    /// Zero fits too: a line that is not fed has no frequency.
    pub or_zero: bool,
}

impl Limits {
    /// From lowest to highest.
    #[must_use]
    pub const fn new(low: f64, high: f64) -> Self {
        Self {
            low,
            high,
            or_zero: false,
        }
    }

    /// Never true of what is not a number.
    #[must_use]
    pub fn allow(&self, number: f64) -> bool {
        (self.low..=self.high).contains(&number) || (self.or_zero && number == 0.0)
    }
}

/// A week; no UPS of a server room runs longer, and 0x7fffffff of anything is more.
const RUNTIME_MAX_S: f64 = 7.0 * 86_400.0;
/// Overloads of some seconds are real, and twice the rating is more than any inverter holds.
const LOAD_MAX: f64 = 250.0;
/// 690 V is the highest low-voltage supply in use.
const LINE_VOLTS_MAX: f64 = 700.0;

impl Unit {
    /// As it is printed.
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Va => "VA",
            Self::Var => "var",
            Self::Wh => "Wh",
            Self::Bytes => "B",
            Self::BitsPerSecond => "bit/s",
            Self::Rpm => "rpm",
            Self::MetresPerSecond => "m/s",
            Self::Pa => "Pa",
            Self::Dbm => "dBm",
            Self::CubicMetresPerHour => "m3/h",
            Self::LitresPerMinute => "l/min",
            Self::V => Quantity::Voltage.unit(),
            Self::A => Quantity::Current.unit(),
            Self::W => Quantity::Power.unit(),
            Self::Hz => Quantity::Frequency.unit(),
            Self::Seconds => Quantity::Seconds.unit(),
            Self::Percent => Quantity::Percent.unit(),
            Self::Celsius => Quantity::Temperature.unit(),
            Self::Count => Quantity::Count.unit(),
        }
    }

    /// What the unit can plausibly measure, both ends included.
    #[must_use]
    pub fn plausible(self) -> (f64, f64) {
        let Limits { low, high, .. } = self.range();
        (low, high)
    }

    fn range(self) -> Limits {
        let of = |quantity: Quantity| {
            let (low, high) = quantity.plausible_milli();
            Limits::new(f64::from(low) / 1000.0, f64::from(high) / 1000.0)
        };
        match self {
            Self::V => of(Quantity::Voltage),
            Self::A => of(Quantity::Current),
            Self::W | Self::Va => of(Quantity::Power),
            Self::Hz => of(Quantity::Frequency),
            Self::Seconds => of(Quantity::Seconds),
            Self::Percent => of(Quantity::Percent),
            Self::Celsius => of(Quantity::Temperature),
            Self::Var => {
                let power = of(Quantity::Power);
                Limits::new(-power.high, power.high)
            }
            // The life of a hall of racks.
            Self::Wh => Limits::new(0.0, 1e15),
            Self::BitsPerSecond => Limits::new(0.0, 1e13),
            Self::Rpm => Limits::new(0.0, 100_000.0),
            Self::MetresPerSecond => Limits::new(0.0, 100.0),
            // Differences below a raised floor as well as the air's own pressure.
            Self::Pa => Limits::new(-100_000.0, 200_000.0),
            // From what a receiver still hears to what an amplifier sends.
            Self::Dbm => Limits::new(-80.0, 40.0),
            Self::CubicMetresPerHour => Limits::new(0.0, 1e6),
            Self::LitresPerMinute => Limits::new(0.0, 1e5),
            // Counters have 64 bits.
            Self::Bytes | Self::Count => Limits::new(0.0, 2e19),
            Self::None => Limits::new(f64::MIN, f64::MAX),
        }
    }

    /// The range of a fact whose profile gives none.
    #[must_use]
    pub fn usual(self, fact: &str) -> Limits {
        match self {
            Self::Percent if fact.ends_with(".load") && !fact.starts_with("cpu.") => {
                Limits::new(0.0, LOAD_MAX)
            }
            // Negative while it is discharged, or charged, as the maker likes.
            Self::A if fact.starts_with("battery.") => {
                let current = self.range();
                Limits::new(-current.high, current.high)
            }
            Self::Count if fact.ends_with("powerfactor") => Limits::new(-1.0, 1.0),
            _ => self.range(),
        }
    }

    /// What no device can measure under that name, whatever its profile says.
    #[must_use]
    pub fn physical(self, fact: &str) -> Option<Limits> {
        let has = |words: &[&str]| fact.split('.').any(|word| words.contains(&word));
        let is_line =
            has(&["input", "output", "bypass", "outlet", "phase", "bank"]) && !has(&["dc", "battery"]);
        match self {
            // 50 Hz and 60 Hz, generators under load included; 400 Hz is for aircraft.
            Self::Hz if is_line => Some(Limits {
                low: 40.0,
                high: 70.0,
                or_zero: true,
            }),
            Self::V if is_line => Some(Limits::new(0.0, LINE_VOLTS_MAX)),
            Self::Seconds if fact.starts_with("battery.runtime") => Some(Limits::new(0.0, RUNTIME_MAX_S)),
            Self::Percent if fact.starts_with("battery.charge") || fact.contains("humidity") => {
                Some(Limits::new(0.0, 100.0))
            }
            Self::Celsius
                if fact.starts_with("battery.")
                    || fact.starts_with("ambient.")
                    || fact.starts_with("ups.temperature") =>
            {
                Some(Limits::new(-40.0, 100.0))
            }
            _ => None,
        }
    }

    /// True for what counts up: every value of it may come by, so none is a sign of its own.
    #[must_use]
    pub fn is_counter(self, fact: &str) -> bool {
        matches!(self, Self::Bytes | Self::Count | Self::Wh | Self::BitsPerSecond)
            || (self == Self::Seconds && !fact.starts_with("battery."))
    }
}
