//! Drivers of parts, one file each, over `embedded-hal` traits.

pub mod eeprom24;
pub mod pn532;
pub mod tmp105;

use embedded_hal::i2c::{Error, ErrorKind};
use shared::NoData;

/// What a failed transfer says about the part.
pub(crate) fn reason(error: &impl Error) -> NoData {
    match error.kind() {
        // Nobody acknowledged: the bus works, the part is not there.
        ErrorKind::NoAcknowledge(_) => NoData::Absent,
        _ => NoData::BusFault,
    }
}
