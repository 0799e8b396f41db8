//! `[[notifier]]` with `kind = "syslog"`: a log server of the site.

use super::host::{self, Tls};
use super::keys::{self, NETWORK_TIMEOUT};
use crate::notice::text::Language;
use crate::site::reader::Reader;
use crate::time::Millis;
use std::net::SocketAddr;

/// Whole length of one message's way, unless written.
pub const SYSLOG_TIMEOUT: Millis = Millis::from_secs(10);

/// A log server, by its address: it is to hear of an outage that takes the name server with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Syslog {
    /// Where it listens.
    pub addr: SocketAddr,
    /// How messages travel.
    pub transport: Transport,
    /// Facility (RFC 5424 6.2.1), 0 to 23.
    pub facility: u8,
    /// Language of the text.
    pub language: Language,
    /// Longest time of one message.
    pub timeout: Millis,
}

/// `notifier.transport`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// RFC 5426: nobody knows whether a message arrived.
    Udp,
    /// RFC 6587 with octet counting.
    Tcp,
    /// RFC 5425.
    Tls(Tls),
}

#[derive(Clone, Copy, PartialEq)]
enum Word {
    Udp,
    Tcp,
    Tls,
}

/// Facilities that a site may choose, RFC 5424 table 1.
const FACILITIES: [(&str, u8); 11] = [
    ("user", 1),
    ("daemon", 3),
    ("authpriv", 10),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];
/// `local0`
const FACILITY: u8 = 16;

/// The keys of the table beside `name`, `label` and `kind`.
pub(super) fn read(r: &mut Reader<'_>) -> Option<Syslog> {
    let addr = r.addr("addr", "\"192.168.10.6:6514\"");
    let words = [("udp", Word::Udp), ("tcp", Word::Tcp), ("tls", Word::Tls)];
    let transport = r.word("transport", &words);
    let is_tls = transport.as_ref().is_none_or(|word| word.value == Word::Tls);
    let tls = host::tls(r, is_tls);
    let facility_written = r.has("facility");
    let facility = match r.word_or("facility", &FACILITIES) {
        Some(facility) => Some(facility.value),
        None if facility_written => None,
        None => Some(FACILITY),
    };
    let language = keys::language(r);
    let timeout = keys::timeout(r, SYSLOG_TIMEOUT, NETWORK_TIMEOUT);

    Some(Syslog {
        addr: addr?.value,
        transport: match transport?.value {
            Word::Udp => Transport::Udp,
            Word::Tcp => Transport::Tcp,
            Word::Tls => Transport::Tls(tls),
        },
        facility: facility?,
        language: language?,
        timeout: timeout?,
    })
}
