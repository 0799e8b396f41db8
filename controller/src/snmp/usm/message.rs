//! SNMPv3 messages as bytes (RFC 3412 6, RFC 3414 2.4): writing them sealed, and opening those that
//! came.
//!
//! Opening is done in three steps, so that nothing of a stranger's message is believed early:
//! [`Header::read`] only finds out where everything stands; [`open`] compares the code with the
//! keys of the user, decrypts in place, and finds the PDU. What the times in it mean is decided
//! by [`super::peer`].

use super::crypt::{CODE_MAX, Iv, Keys, SALT};
use crate::snmp::ber;
use snmp2::AsnReader;
use std::ops::Range;

/// RFC 3412 6.4.
pub(in crate::snmp) const FLAG_AUTH: u8 = 0x01;
pub(in crate::snmp) const FLAG_PRIVACY: u8 = 0x02;
pub(in crate::snmp) const FLAG_REPORTABLE: u8 = 0x04;
/// The User-based Security Model, RFC 3411 6.2.
const SECURITY_MODEL: i64 = 3;
/// The largest message we take, which is the largest that UDP over IPv4 carries.
const MESSAGE_MAX: i64 = 65_507;
/// Bytes of an engine's id, RFC 3411 5.
pub(in crate::snmp) const ENGINE_MAX: usize = 32;
/// Bytes of a user's name, RFC 3414 5.
const USER_MAX: usize = 32;
const VERSION: [u8; 3] = [ber::INTEGER, 1, 3];
const ID_BYTES: usize = 4;

/// What is written on the envelope.
#[derive(Debug, Clone, Copy)]
pub(in crate::snmp) struct Outgoing<'a> {
    /// `msgID`, at least [`crate::snmp::packet::ID_MIN`].
    pub(in crate::snmp) id: i32,
    /// May the other side answer by a Report?
    pub(in crate::snmp) reportable: bool,
    /// The authoritative engine.
    pub(in crate::snmp) engine: &'a [u8],
    pub(in crate::snmp) boots: u32,
    pub(in crate::snmp) time: u32,
    pub(in crate::snmp) user: &'a str,
    /// Context engine, mostly the authoritative one.
    pub(in crate::snmp) context_engine: &'a [u8],
    pub(in crate::snmp) context: &'a str,
    /// A number that no other message under this key has.
    pub(in crate::snmp) salt: u64,
}

/// Writes a message around a PDU, sealed with what there is of keys.
pub(in crate::snmp) fn seal(out: &mut Vec<u8>, envelope: &Outgoing<'_>, keys: Option<&Keys>, pdu: &[&[u8]]) {
    let code = keys.and_then(|keys| keys.code.as_ref());
    let cipher = keys.and_then(|keys| keys.cipher.as_ref());
    let pdu_size: usize = pdu.iter().map(|part| part.len()).sum();
    let scoped_content =
        ber::size(envelope.context_engine.len()) + ber::size(envelope.context.len()) + pdu_size;
    let scoped = ber::size(scoped_content);
    let data = cipher.map_or(scoped, |cipher| cipher.padded(scoped));
    let data_size = if cipher.is_some() { ber::size(data) } else { data };

    let mut flags = 0;
    for (bit, is_set) in [
        (FLAG_AUTH, code.is_some()),
        (FLAG_PRIVACY, cipher.is_some()),
        (FLAG_REPORTABLE, envelope.reportable),
    ] {
        flags |= if is_set { bit } else { 0 };
    }
    let (boots, time) = (i64::from(envelope.boots), i64::from(envelope.time));
    let code_length = code.map_or(0, super::crypt::Code::len);
    let salt = cipher.map(|cipher| cipher.salt(envelope.boots, envelope.salt));
    let security_content = ber::size(envelope.engine.len())
        + ber::integer_size(boots)
        + ber::integer_size(time)
        + ber::size(envelope.user.len())
        + ber::size(code_length)
        + ber::size(if cipher.is_some() { SALT } else { 0 });
    let security = ber::size(security_content);
    let head_content =
        2 + ID_BYTES + ber::integer_size(MESSAGE_MAX) + ber::size(1) + ber::integer_size(SECURITY_MODEL);
    let content = VERSION.len() + ber::size(head_content) + ber::size(security) + data_size;

    out.clear();
    out.reserve(ber::size(content));
    ber::head(out, ber::SEQUENCE, content);
    out.extend_from_slice(&VERSION);
    ber::head(out, ber::SEQUENCE, head_content);
    ber::put(out, ber::INTEGER, &envelope.id.to_be_bytes());
    ber::put_integer(out, ber::INTEGER, MESSAGE_MAX);
    ber::put(out, ber::OCTET_STRING, &[flags]);
    ber::put_integer(out, ber::INTEGER, SECURITY_MODEL);
    ber::head(out, ber::OCTET_STRING, security);
    ber::head(out, ber::SEQUENCE, security_content);
    ber::put(out, ber::OCTET_STRING, envelope.engine);
    ber::put_integer(out, ber::INTEGER, boots);
    ber::put_integer(out, ber::INTEGER, time);
    ber::put(out, ber::OCTET_STRING, envelope.user.as_bytes());
    ber::put(out, ber::OCTET_STRING, &[0; CODE_MAX][..code_length]);
    let code_at = out.len() - code_length;
    ber::put(
        out,
        ber::OCTET_STRING,
        salt.as_ref().map_or(&[], |salt| &salt[..]),
    );
    if cipher.is_some() {
        ber::head(out, ber::OCTET_STRING, data);
    }
    let data_at = out.len();
    ber::head(out, ber::SEQUENCE, scoped_content);
    ber::put(out, ber::OCTET_STRING, envelope.context_engine);
    ber::put(out, ber::OCTET_STRING, envelope.context.as_bytes());
    for part in pdu {
        out.extend_from_slice(part);
    }
    if let (Some(cipher), Some(salt)) = (cipher, salt) {
        out.resize(data_at + data, 0);
        let iv = Iv {
            boots: envelope.boots,
            time: envelope.time,
            salt,
        };
        cipher.encrypt(&mut out[data_at..], iv);
    }
    if let Some(code) = code {
        let sum = code.of(out, code_at);
        out[code_at..code_at + code_length].copy_from_slice(&sum[..code_length]);
    }
}

/// Where everything of a message stands, none of it believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::snmp) struct Header {
    pub(in crate::snmp) id: i32,
    pub(in crate::snmp) flags: u8,
    pub(in crate::snmp) boots: u32,
    pub(in crate::snmp) time: u32,
    engine: Range<usize>,
    user: Range<usize>,
    code: Range<usize>,
    salt: Range<usize>,
    /// The scoped PDU with its head, or the content of the encrypted one.
    data: Range<usize>,
}

impl Header {
    /// Finds the parts of a message; `None` when it is no SNMPv3 message of this security model,
    /// or lies about its own lengths.
    pub(in crate::snmp) fn read(message: &[u8]) -> Option<Self> {
        let at = |part: &[u8]| {
            // Every part is a slice of the message, so the difference is its place in it.
            let from = part.as_ptr().addr() - message.as_ptr().addr();
            from..from + part.len()
        };
        let mut reader = AsnReader::from_bytes(message);
        let content = reader.read_raw(ber::SEQUENCE).ok()?;
        let mut body = AsnReader::from_bytes(content);
        if body.read_asn_integer().ok()? != 3 {
            return None;
        }
        let mut head = AsnReader::from_bytes(body.read_raw(ber::SEQUENCE).ok()?);
        let id = i32::try_from(head.read_asn_integer().ok()?).ok()?;
        let _their_max = head.read_asn_integer().ok()?;
        let &[flags] = head.read_asn_octetstring().ok()? else {
            return None;
        };
        if head.read_asn_integer().ok()? != SECURITY_MODEL {
            return None;
        }
        let mut security = AsnReader::from_bytes(body.read_asn_octetstring().ok()?);
        let mut security = AsnReader::from_bytes(security.read_raw(ber::SEQUENCE).ok()?);
        let engine = security.read_asn_octetstring().ok()?;
        // RFC 3414 2.4: both from 0 to 2^31 - 1.
        let counter = |n: i64| i32::try_from(n).ok().and_then(|n| u32::try_from(n).ok());
        let boots = counter(security.read_asn_integer().ok()?)?;
        let time = counter(security.read_asn_integer().ok()?)?;
        let user = security.read_asn_octetstring().ok()?;
        let code = security.read_asn_octetstring().ok()?;
        let salt = security.read_asn_octetstring().ok()?;
        if engine.len() > ENGINE_MAX || user.len() > USER_MAX {
            return None;
        }
        let data = if flags & FLAG_PRIVACY == 0 {
            let from = at(content).end - body.bytes_left();
            from..at(body.read_raw(ber::SEQUENCE).ok()?).end
        } else {
            at(body.read_asn_octetstring().ok()?)
        };
        Some(Self {
            id,
            flags,
            boots,
            time,
            engine: at(engine),
            user: at(user),
            code: at(code),
            salt: at(salt),
            data,
        })
    }

    /// The authoritative engine's id, as claimed.
    pub(in crate::snmp) fn engine<'a>(&self, message: &'a [u8]) -> &'a [u8] {
        &message[self.engine.clone()]
    }

    /// The user, as claimed.
    pub(in crate::snmp) fn user<'a>(&self, message: &'a [u8]) -> &'a [u8] {
        &message[self.user.clone()]
    }

    /// The scoped PDU with its head, once [`open`] has decrypted it.
    pub(in crate::snmp) fn scoped<'a>(&self, message: &'a [u8]) -> &'a [u8] {
        &message[self.data.clone()]
    }

    pub(in crate::snmp) const fn is_authenticated(&self) -> bool {
        self.flags & FLAG_AUTH != 0
    }

    pub(in crate::snmp) const fn is_private(&self) -> bool {
        self.flags & FLAG_PRIVACY != 0
    }
}

/// Why a message stays closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::snmp) enum Closed {
    /// The code is not what our key makes of it.
    Code,
    /// It says that it is encrypted or authenticated where we have no such key.
    Level,
    /// What was decrypted is no scoped PDU: another privacy key.
    Cipher,
    /// No scoped PDU in the clear either.
    Shape,
}

/// Checks the code if the message claims one, decrypts in place if it is encrypted, and returns
/// the PDU with its head. Whether the level is high enough is for the caller to decide.
pub(in crate::snmp) fn open<'a>(
    message: &'a mut [u8],
    header: &Header,
    keys: Option<&Keys>,
) -> Result<&'a [u8], Closed> {
    if header.is_private() && !header.is_authenticated() {
        return Err(Closed::Level);
    }
    if header.is_authenticated() {
        let code = keys.and_then(|keys| keys.code.as_ref()).ok_or(Closed::Level)?;
        if header.code.len() != code.len() || !code.is_right(message, header.code.start) {
            return Err(Closed::Code);
        }
    }
    let shape = if header.is_private() {
        let cipher = keys.and_then(|keys| keys.cipher.as_ref()).ok_or(Closed::Level)?;
        let salt = message[header.salt.clone()]
            .try_into()
            .map_err(|_| Closed::Shape)?;
        let iv = Iv {
            boots: header.boots,
            time: header.time,
            salt,
        };
        if !cipher.decrypt(&mut message[header.data.clone()], iv) {
            return Err(Closed::Cipher);
        }
        Closed::Cipher
    } else {
        Closed::Shape
    };
    scoped_pdu(&message[header.data.clone()]).ok_or(shape)
}

/// The PDU with its head, out of a scoped PDU.
pub(in crate::snmp) fn scoped_pdu(bytes: &[u8]) -> Option<&[u8]> {
    let content = AsnReader::from_bytes(bytes).read_raw(ber::SEQUENCE).ok()?;
    let mut reader = AsnReader::from_bytes(content);
    reader.read_asn_octetstring().ok()?;
    reader.read_asn_octetstring().ok()?;
    Some(&content[content.len() - reader.bytes_left()..])
}

/// The content of the scoped PDU's two names, for answering an inform in its own context.
pub(in crate::snmp) fn context(scoped: &[u8]) -> Option<(&[u8], &[u8])> {
    let content = AsnReader::from_bytes(scoped).read_raw(ber::SEQUENCE).ok()?;
    let mut reader = AsnReader::from_bytes(content);
    Some((
        reader.read_asn_octetstring().ok()?,
        reader.read_asn_octetstring().ok()?,
    ))
}
