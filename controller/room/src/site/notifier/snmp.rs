//! `[[notifier]]` with `kind = "snmp"`: traps and informs to a management station, by our own MIB
//! (`deploy/mibs/YAGURA-MIB.txt`).

use super::keys;
use crate::notice::text::Language;
use crate::site::link::{self, SnmpAccess};
use crate::site::problem::Kind;
use crate::site::reader::Reader;
use crate::time::Millis;
use std::net::SocketAddr;

/// Wait for the acknowledgement of an inform, unless written; later tries wait longer.
pub const SNMP_TIMEOUT: Millis = Millis::from_secs(2);
/// Times an inform is sent again within one attempt, unless written.
pub const SNMP_RETRIES: u8 = 2;

/// A management station.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snmp {
    /// Where it listens, mostly at port 162.
    pub addr: SocketAddr,
    /// Version, and who we say that we are; never v1.
    pub access: SnmpAccess,
    /// It acknowledges. Otherwise a trap is sent, of which nobody knows whether it arrived.
    pub inform: bool,
    /// Language of the texts.
    pub language: Language,
    /// Wait for the first acknowledgement.
    pub timeout: Millis,
    /// Times an inform is sent again within one attempt.
    pub retries: u8,
}

#[derive(Clone, Copy)]
enum Version {
    V2c,
    V3,
}

/// The keys of the table beside `name`, `label` and `kind`.
pub(super) fn read(r: &mut Reader<'_>) -> Option<Snmp> {
    let addr = r.addr("addr", "\"192.168.10.7:162\"");
    let access = match r.word("version", &[("v2c", Version::V2c), ("v3", Version::V3)]) {
        Some(version) => match version.value {
            Version::V2c => link::community(r).map(SnmpAccess::V2c),
            Version::V3 => link::usm(r).map(|usm| SnmpAccess::V3(Box::new(usm))),
        },
        None => {
            link::unknown_version(r);
            None
        }
    };
    let inform = r.flag_or("inform");
    let inform_is_wrong = r.has("inform") && inform.is_none();
    let language = keys::language(r);
    let timeout = keys::timeout(r, SNMP_TIMEOUT, (Millis(100), Millis::from_secs(10)));
    let retries_written = r.has("retries");
    let retries = match r.whole_or("retries", 0..=5) {
        Some(retries) => u8::try_from(retries.value).ok(),
        None if retries_written => None,
        None => Some(SNMP_RETRIES),
    };
    if let Some(at) = inform
        .as_ref()
        .filter(|inform| !inform.value)
        .map(|inform| &inform.span)
        && (retries_written || r.has("timeout"))
    {
        r.sink().error_hint(
            Kind::Conflict,
            at,
            "a trap is sent once and waits for nothing",
            "take `timeout` and `retries` out, or write inform = true",
        );
    }
    if inform_is_wrong {
        return None;
    }
    Some(Snmp {
        addr: addr?.value,
        access: access?,
        inform: inform.is_none_or(|inform| inform.value),
        language: language?,
        timeout: timeout?,
        retries: retries?,
    })
}
