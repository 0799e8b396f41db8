//! The SNMP agent: v1 and v2c GET, GETNEXT and GETBULK over UDP; a SET is carried out for the community
//! that may write, where the UPS has something to write, and refused otherwise.

use super::mib::{self, Values, Wire};
use super::{Shared, Source};
use snmp2::{MessageType, Pdu, Version};
use std::net::SocketAddr;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;

/// The largest UDP datagram.
const DATAGRAM_MAX: usize = 65_535;
/// Variables of one request, and rows of one GETBULK.
const VARIABLES_MAX: usize = 256;
/// A reply that fits one Ethernet frame, unless told otherwise.
const REPLY_MAX: usize = 1472;

const TOO_BIG: u32 = 1;
const NO_SUCH_NAME: u32 = 2;
const READ_ONLY: u32 = 4;
const NOT_WRITABLE: u32 = 17;

pub(super) async fn serve(socket: Arc<UdpSocket>, shared: Arc<Shared>) {
    let mut buffer = vec![0; DATAGRAM_MAX];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let Some(reply) = reply(&shared, &buffer[..length]) else {
            continue;
        };
        match reply.delay {
            None => send(&socket, &reply.bytes, from).await,
            Some(delay) => {
                let socket = Arc::clone(&socket);
                // Ends by itself after the delay, which a test chose.
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    send(&socket, &reply.bytes, from).await;
                });
            }
        }
    }
}

async fn send(socket: &UdpSocket, bytes: &[u8], to: SocketAddr) {
    if let Err(error) = socket.send_to(bytes, to).await {
        tracing::debug!(%error, %to, "send a simulated reply");
    }
}

struct Reply {
    bytes: Vec<u8>,
    delay: Option<Duration>,
}

fn take(left: &mut u32) -> bool {
    let is_left = *left > 0;
    *left = left.saturating_sub(1);
    is_left
}

/// `None` when there is nothing to say: no SNMP, another community, a fault, or no power.
fn reply(shared: &Shared, datagram: &[u8]) -> Option<Reply> {
    let pdu = Pdu::from_bytes(datagram).ok()?;
    let version = pdu.version().ok()?;
    let mut inner = shared.lock();
    let may_write = inner
        .writers
        .as_ref()
        .is_some_and(|writers| pdu.community == writers.as_bytes());
    if pdu.community != shared.community.as_bytes() && !may_write {
        return None;
    }
    inner.requests += 1;
    // The card lives on the UPS's output and dies with it.
    let has_power = inner.battery.source() != Source::Off;
    if !has_power || inner.faults.silent || take(&mut inner.faults.drop) {
        return None;
    }
    let delay = inner.faults.delay_one.take().or(inner.faults.delay_each);
    if take(&mut inner.faults.garbage) {
        let bytes = datagram.iter().rev().copied().collect();
        return Some(Reply { bytes, delay });
    }
    if may_write && matches!(pdu.message_type, MessageType::SetRequest) {
        let answer = set(shared, &mut inner, &pdu, version);
        let bytes = encode(&pdu, version, &answer);
        return Some(Reply { bytes, delay });
    }
    let values = match &inner.frozen {
        Some(values) => values.clone(),
        None => mib::values(shared.mib, &inner),
    };
    let mut answer = answer(&pdu, version, &values, inner.faults.looping)?;
    if take(&mut inner.faults.zero_variables) {
        answer.bindings.clear();
    }
    if take(&mut inner.faults.reordered) {
        answer.bindings.reverse();
    }
    let limit = inner.faults.reply_max.unwrap_or(REPLY_MAX);
    let bytes = fitting(&pdu, version, &answer, limit);
    Some(Reply { bytes, delay })
}

/// Carries a SET out; what was written comes back as it was sent.
fn set(shared: &Shared, inner: &mut super::Inner, pdu: &Pdu<'_>, version: Version) -> Answer {
    let super::Inner { control, battery, .. } = inner;
    let mut bindings = Vec::new();
    for (at, (name, value)) in pdu.varbinds.clone().take(VARIABLES_MAX).enumerate() {
        let arcs: Vec<u32> = name
            .iter()
            .map(|arcs| arcs.map(|arc| arc as u32).collect())
            .unwrap_or_default();
        let (number, written) = match value {
            snmp2::Value::Integer(n) => (Some(n), Wire::Integer(n)),
            snmp2::Value::Timeticks(n) => (Some(i64::from(n)), Wire::Ticks(n)),
            snmp2::Value::ObjectIdentifier(oid) => {
                let arcs: Vec<u32> = oid
                    .iter()
                    .map(|arcs| arcs.map(|arc| arc as u32).collect())
                    .unwrap_or_default();
                (arcs.last().map(|last| i64::from(*last)), Wire::Oid(arcs))
            }
            _ => (None, Wire::Text(String::new())),
        };
        if !number.is_some_and(|number| control.write(shared.mib, battery, &arcs, number)) {
            return Answer {
                status: if matches!(version, Version::V1) {
                    READ_ONLY
                } else {
                    NOT_WRITABLE
                },
                index: u32::try_from(at + 1).unwrap_or(0),
                bindings: echo(pdu),
            };
        }
        bindings.push((arcs, Binding::Value(written)));
    }
    Answer {
        status: 0,
        index: 0,
        bindings,
    }
}

/// What an agent with these values answers to a datagram of its community; `None` when it stays
/// silent.
pub(crate) fn answer_to(datagram: &[u8], community: &str, values: &Values) -> Option<Vec<u8>> {
    let pdu = Pdu::from_bytes(datagram).ok()?;
    let version = pdu.version().ok()?;
    if pdu.community != community.as_bytes() {
        return None;
    }
    let answer = answer(&pdu, version, values, false)?;
    Some(fitting(&pdu, version, &answer, REPLY_MAX))
}

/// The encoded reply, or `tooBig` when it is longer than `limit` bytes.
fn fitting(pdu: &Pdu<'_>, version: Version, answer: &Answer, limit: usize) -> Vec<u8> {
    let bytes = encode(pdu, version, answer);
    if bytes.len() <= limit {
        return bytes;
    }
    let too_big = Answer {
        status: TOO_BIG,
        index: 0,
        bindings: match version {
            Version::V1 => echo(pdu),
            _ => Vec::new(),
        },
    };
    encode(pdu, version, &too_big)
}

enum Binding {
    Value(Wire),
    Null,
    NoSuchObject,
    NoSuchInstance,
    EndOfMib,
}

struct Answer {
    status: u32,
    index: u32,
    bindings: Vec<(Vec<u32>, Binding)>,
}

fn echo(pdu: &Pdu<'_>) -> Vec<(Vec<u32>, Binding)> {
    asked(pdu).into_iter().map(|name| (name, Binding::Null)).collect()
}

fn asked(pdu: &Pdu<'_>) -> Vec<Vec<u32>> {
    pdu.varbinds
        .clone()
        .take(VARIABLES_MAX)
        .filter_map(|(name, _)| name.iter().map(|arcs| arcs.map(|arc| arc as u32).collect()))
        .collect()
}

fn answer(pdu: &Pdu<'_>, version: Version, values: &Values, looping: bool) -> Option<Answer> {
    let names = asked(pdu);
    let is_v1 = matches!(version, Version::V1);
    let bindings: Vec<(Vec<u32>, Binding)> = match pdu.message_type {
        MessageType::GetRequest => names.into_iter().map(|name| get(values, name)).collect(),
        MessageType::GetNextRequest => names
            .into_iter()
            .map(|name| next(values, name, looping))
            .collect(),
        MessageType::GetBulkRequest if !is_v1 => bulk(pdu, values, names, looping),
        MessageType::SetRequest => {
            return Some(Answer {
                status: if is_v1 { READ_ONLY } else { NOT_WRITABLE },
                index: 1,
                bindings: echo(pdu),
            });
        }
        _ => return None,
    };
    if is_v1
        && let Some(at) = bindings
            .iter()
            .position(|(_, value)| !matches!(value, Binding::Value(_)))
    {
        return Some(Answer {
            status: NO_SUCH_NAME,
            index: u32::try_from(at + 1).unwrap_or(0),
            bindings: echo(pdu),
        });
    }
    Some(Answer {
        status: 0,
        index: 0,
        bindings,
    })
}

fn get(values: &Values, name: Vec<u32>) -> (Vec<u32>, Binding) {
    if let Some(value) = values.get(&name) {
        return (name, Binding::Value(value.clone()));
    }
    let object = &name[..name.len().saturating_sub(1)];
    let has_object = values
        .range(object.to_vec()..)
        .next()
        .is_some_and(|(known, _)| known.starts_with(object));
    let missing = if has_object {
        Binding::NoSuchInstance
    } else {
        Binding::NoSuchObject
    };
    (name, missing)
}

fn next(values: &Values, name: Vec<u32>, looping: bool) -> (Vec<u32>, Binding) {
    let after = (Bound::Excluded(name.clone()), Bound::Unbounded);
    let following = values.range(after).next();
    let first = values.iter().next().filter(|_| looping);
    match following.or(first) {
        Some((found, value)) => (found.clone(), Binding::Value(value.clone())),
        None => (name, Binding::EndOfMib),
    }
}

fn bulk(pdu: &Pdu<'_>, values: &Values, names: Vec<Vec<u32>>, looping: bool) -> Vec<(Vec<u32>, Binding)> {
    let once = (pdu.error_status as usize).min(names.len());
    let mut rows: Vec<(Vec<u32>, Binding)> = Vec::new();
    let mut columns = names;
    let repeated = columns.split_off(once);
    rows.extend(columns.into_iter().map(|name| next(values, name, looping)));
    let mut columns = repeated;
    // RFC 3416 4.2.3 allows fewer rows than asked: as many as fit the frame.
    let mut size: usize = 60;
    for _ in 0..pdu.error_index {
        let row: Vec<(Vec<u32>, Binding)> = columns
            .iter()
            .map(|name| next(values, name.clone(), looping))
            .collect();
        size += row
            .iter()
            .map(|(name, value)| name.len() + 12 + length(value))
            .sum::<usize>();
        let is_end = row.iter().all(|(_, value)| matches!(value, Binding::EndOfMib));
        if row.is_empty() || rows.len() + row.len() > VARIABLES_MAX || size > REPLY_MAX {
            break;
        }
        columns = row.iter().map(|(name, _)| name.clone()).collect();
        rows.extend(row);
        if is_end {
            break;
        }
    }
    rows
}

fn length(value: &Binding) -> usize {
    match value {
        Binding::Value(Wire::Text(text)) => text.len(),
        Binding::Value(Wire::Raw(_, content)) => content.len(),
        Binding::Value(Wire::Oid(arcs)) => arcs.len() * 2,
        _ => 5,
    }
}

fn encode(pdu: &Pdu<'_>, version: Version, answer: &Answer) -> Vec<u8> {
    let mut list = Vec::new();
    for (name, value) in &answer.bindings {
        let mut binding = Vec::new();
        push(&mut binding, 0x06, &identifier(name));
        match value {
            Binding::Null => push(&mut binding, 0x05, &[]),
            Binding::NoSuchObject => push(&mut binding, 0x80, &[]),
            Binding::NoSuchInstance => push(&mut binding, 0x81, &[]),
            Binding::EndOfMib => push(&mut binding, 0x82, &[]),
            Binding::Value(Wire::Raw(tag, content)) => push(&mut binding, *tag, content),
            Binding::Value(Wire::Integer(n)) => push(&mut binding, 0x02, &integer(*n)),
            Binding::Value(Wire::Gauge(n)) => push(&mut binding, 0x42, &integer(i64::from(*n))),
            Binding::Value(Wire::Ticks(n)) => push(&mut binding, 0x43, &integer(i64::from(*n))),
            Binding::Value(Wire::Text(text)) => push(&mut binding, 0x04, text.as_bytes()),
            Binding::Value(Wire::Oid(arcs)) => push(&mut binding, 0x06, &identifier(arcs)),
        }
        push(&mut list, 0x30, &binding);
    }
    let mut body = Vec::new();
    push(&mut body, 0x02, &integer(i64::from(pdu.req_id)));
    push(&mut body, 0x02, &integer(i64::from(answer.status)));
    push(&mut body, 0x02, &integer(i64::from(answer.index)));
    push(&mut body, 0x30, &list);
    let mut message = Vec::new();
    let version = match version {
        Version::V1 => 0,
        _ => 1,
    };
    push(&mut message, 0x02, &[version]);
    push(&mut message, 0x04, pdu.community);
    push(&mut message, 0xa2, &body);
    let mut bytes = Vec::new();
    push(&mut bytes, 0x30, &message);
    bytes
}

fn push(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    match content.len() {
        length @ 0..=0x7f => out.push(length as u8),
        length => {
            let bytes = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
            let used: Vec<u8> = bytes.into_iter().skip_while(|byte| *byte == 0).collect();
            out.push(0x80 | used.len() as u8);
            out.extend(used);
        }
    }
    out.extend_from_slice(content);
}

/// Content of an INTEGER: two's complement in the fewest bytes.
pub(crate) fn integer(number: i64) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let mut from = 0;
    while from < 7 {
        let is_filler = match bytes[from] {
            0x00 => bytes[from + 1] < 0x80,
            0xff => bytes[from + 1] >= 0x80,
            _ => false,
        };
        if !is_filler {
            break;
        }
        from += 1;
    }
    bytes[from..].to_vec()
}

/// Content of an OBJECT IDENTIFIER.
pub(crate) fn identifier(arcs: &[u32]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (head, tail) = arcs.split_at(arcs.len().min(2));
    let first = head.first().copied().unwrap_or(0) * 40 + head.get(1).copied().unwrap_or(0);
    for arc in std::iter::once(&first).chain(tail) {
        let mut groups = vec![(arc & 0x7f) as u8];
        let mut left = arc >> 7;
        while left > 0 {
            groups.push(0x80 | (left & 0x7f) as u8);
            left >>= 7;
        }
        bytes.extend(groups.iter().rev());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_the_fewest_bytes() {
        for (number, bytes) in [
            (0, vec![0]),
            (127, vec![0x7f]),
            (128, vec![0, 0x80]),
            (-1, vec![0xff]),
            (-128, vec![0x80]),
            (-129, vec![0xff, 0x7f]),
            (4_294_967_295, vec![0, 0xff, 0xff, 0xff, 0xff]),
        ] {
            assert_eq!(integer(number), bytes, "{number}");
        }
        assert_eq!(
            identifier(&[1, 3, 6, 1, 4, 1, 318]),
            [0x2b, 6, 1, 4, 1, 0x82, 0x3e]
        );
    }
}
