//! Why a value is missing. There is no zero, no minus one and no "last known" standing in.

use serde::{Deserialize, Serialize};

/// The reason for the absence of a value. Append only: the order is the wire encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NoData {
    /// Nothing was ever received since the controller or the node started.
    NeverHeard,
    /// The last value is older than the point allows.
    Stale,
    /// The part does not answer on its bus.
    Absent,
    /// The bus itself is stuck (frozen controller, line held low).
    BusFault,
    /// An answer came, but its checksum or framing is wrong.
    Corrupt,
    /// The value lies outside what the quantity can physically be.
    Implausible,
    /// The raw value has not changed for longer than is possible.
    Stuck,
    /// The device uses this value to say "not measured" (0, -1, 65535, ...).
    Sentinel,
    /// The device has no such object, or answered with another type.
    NotSupported,
    /// The device did not answer in time.
    Timeout,
    /// The device answered with an error of its own.
    DeviceError,
    /// The supervised line is cut or shorted.
    LineFault,
    /// A reason that this version does not know.
    #[serde(other)]
    Unknown,
}

impl NoData {
    /// Reserved word for records, API and screens.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NeverHeard => "never_heard",
            Self::Stale => "stale",
            Self::Absent => "absent",
            Self::BusFault => "bus_fault",
            Self::Corrupt => "corrupt",
            Self::Implausible => "implausible",
            Self::Stuck => "stuck",
            Self::Sentinel => "sentinel",
            Self::NotSupported => "not_supported",
            Self::Timeout => "timeout",
            Self::DeviceError => "device_error",
            Self::LineFault => "line_fault",
            Self::Unknown => "unknown",
        }
    }
}
