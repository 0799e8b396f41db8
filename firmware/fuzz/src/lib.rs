//! What is tried on every input: not only that nothing panics, but that what was accepted means
//! the same when it is written again, and that what must not be believed is not.
//!
//! One function a target; the files in `targets/` only hand the bytes over. A target that finds
//! something leaves the input behind; the input becomes a test where the code is.

mod life;
mod rig;
mod sensors;
mod update;

pub use life::{console, memory, node};
pub use sensors::{modbus, parts};
pub use update::update;

use ::node::drivers::pn532::{Receiver, Technology, antenna_is_well, is_pn532, targets};
use ::node::guard::Guard;
use ::node::identity::{Keys, NumberedKey};
use ::node::reader::{Config, Reader};
use shared::provision::CardKinds;
use rig::Bytes;
use shared::access::{self, Entry, ListHead};
use shared::image::{file_head, marked, read_file};
use shared::provision::{BLOCK_LEN, Provision};
use shared::wire::{
    DeviceKey, Direction, Down, Envelope, Header, Refusal, Stream, Up, VERSION, decode_event, seal_down,
    seal_up,
};

const KEY: [u8; 32] = [7; 32];

/// Frames and bodies of both directions.
pub fn wire(data: &[u8]) {
    let key = DeviceKey::new(KEY);
    if let Ok(envelope) = Envelope::parse(data) {
        for direction in [Direction::Up, Direction::Down] {
            for stream in [Stream::Event, Stream::Telemetry, Stream::Command] {
                if let Ok(authentic) = envelope.verify(&key, direction, stream) {
                    let _ = (authentic.up(), authentic.down());
                }
            }
        }
    }
    // A body that decodes is sealed, read back and is the same.
    if let Ok((body, _)) = postcard::take_from_bytes::<Up>(data)
        && let Ok(frame) = seal_up(&key, &header(Stream::Event, 1), &body)
    {
        let read = Envelope::parse(&frame)
            .and_then(|envelope| envelope.verify(&key, Direction::Up, Stream::Event))
            .and_then(|authentic| authentic.up());
        assert_eq!(read, Ok(body));
    }
    if let Ok((body, _)) = postcard::take_from_bytes::<Down>(data)
        && let Ok(frame) = seal_down(&key, &header(Stream::Command, 1), &body)
    {
        let read = Envelope::parse(&frame)
            .and_then(|envelope| envelope.verify(&key, Direction::Down, Stream::Command))
            .and_then(|authentic| authentic.down());
        assert_eq!(read, Ok(body));
    }
    let _ = decode_event(data);
}

/// What comes down to a node: bytes of strangers, and frames of the controller in any order.
pub fn guard(data: &[u8]) {
    let (node, boot) = (300, 7);
    let mut guard = Guard::new(node, boot);
    let key = DeviceKey::new(KEY);
    let keys = Keys {
        current: NumberedKey {
            id: 1,
            key: key.clone(),
        },
        previous: None,
        told: false,
    };
    let _ = guard.accept(&keys, data);
    let mut guard = Guard::new(node, boot);
    let (mut last, mut bytes) = (0, Bytes(data));
    while let Some(seq) = bytes.next() {
        let header = Header {
            node: node ^ u16::from(bytes.next_or(0) == 1),
            boot: boot ^ u32::from(bytes.next_or(0) == 1),
            ..header(Stream::Command, seq.into())
        };
        let body = match postcard::take_from_bytes::<Down>(bytes.take_some(32)) {
            Ok((body, _)) => body,
            Err(_) => Down::Report,
        };
        let Ok(mut frame) = seal_down(&key, &header, &body) else {
            continue;
        };
        if bytes.next_or(0) == 1 {
            let at = usize::from(bytes.next_or(0)) % frame.len();
            frame[at] ^= 1 << (bytes.next_or(0) % 8);
            assert_eq!(guard.accept(&keys, &frame).unwrap_err(), Refusal::Forged);
        } else if (header.node, header.boot) != (node, boot) {
            assert_eq!(guard.accept(&keys, &frame).unwrap_err(), Refusal::Misdirected);
        } else if header.seq <= last {
            assert_eq!(guard.accept(&keys, &frame).unwrap_err(), Refusal::Replayed);
        } else {
            let accepted = guard.accept(&keys, &frame).expect("sealed with the key");
            assert_eq!((accepted.header, accepted.body), (header, body));
            last = header.seq;
        }
    }
}

/// The configuration block.
pub fn provision(data: &[u8]) {
    let mut block = [0; BLOCK_LEN];
    let len = data.len().min(BLOCK_LEN);
    block[..len].copy_from_slice(&data[..len]);
    let _ = Provision::decode(&block);
    // Once more with a checksum that fits, or nothing behind it is ever tried.
    let crc = shared::crc::crc32(&block[..BLOCK_LEN - 4]);
    block[BLOCK_LEN - 4..].copy_from_slice(&crc.to_le_bytes());
    if let Ok(read) = Provision::decode(&block) {
        let again = Provision::decode(&read.encode()).expect("what was read can be written");
        assert_eq!(again.encode(), read.encode());
        let _ = (read.broker_password(), read.device_key());
    }
}

/// Head and entries of an access list, and what is decided by them.
pub fn access(data: &[u8]) {
    let mut bytes = Bytes(data);
    let mut block = [0; access::HEAD_LEN];
    let head = bytes.take_some(access::HEAD_LEN);
    block[..head.len()].copy_from_slice(head);
    let head = ListHead::decode(&block);
    if let Some(head) = &head {
        assert_eq!(ListHead::decode(&head.encode()).as_ref(), Some(head));
        let _ = head.is_sound();
    }
    let mut row = [0; access::ENTRY_LEN];
    let entry = bytes.take_some(access::ENTRY_LEN);
    row[..entry.len()].copy_from_slice(entry);
    let entry = Entry::decode(&row);
    assert_eq!(Entry::decode(&entry.encode()), entry);
    let mut time = [0; 8];
    let rest = bytes.take_some(8);
    time[..rest.len()].copy_from_slice(rest);
    for unix_ms in [None, Some(u64::from_le_bytes(time))] {
        for head in [None, head.as_ref()] {
            for entry in [None, Some(&entry)] {
                let decision = access::decide(head, entry, unix_ms);
                assert!(
                    !decision.opens() || (head.is_some() && entry.is_some()),
                    "nobody opens without a list and an entry"
                );
            }
        }
    }
}

/// Files with a firmware image.
pub fn image(data: &[u8]) {
    let _ = marked(data);
    if let Ok((head, image)) = read_file(data) {
        let mut again = file_head(&head).to_vec();
        again.extend_from_slice(image);
        assert_eq!(again, data);
    }
}

/// What a card reader sends: the framing, the answers, and the reader's whole course.
pub fn pn532(data: &[u8]) {
    let (mut receiver, mut input) = (Receiver::new(), data);
    while let Some(heard) = receiver.read(&mut input) {
        let _ = heard;
    }
    assert!(input.is_empty(), "every byte is taken");
    for technology in [Technology::TypeA, Technology::Felica212, Technology::Felica424] {
        let _ = targets(technology, data);
    }
    let _ = (is_pn532(data), antenna_is_well(data));

    let mut reader = Reader::new(Config {
        antenna_test: data.len() % 2 == 0,
        cards: CardKinds::ALL[data.len() / 2 % 3],
    });
    let (mut now_ms, mut bytes) = (0, Bytes(data));
    while let Some(len) = bytes.next() {
        let received = bytes.take_some(usize::from(len % 64));
        let turn = reader.poll(now_ms, received);
        assert!(
            !turn.reset || turn.transmit.is_empty(),
            "nothing is sent to a reader in reset"
        );
        // Sooner or later than the reader asked for.
        now_ms = match bytes.next_or(0) % 4 {
            0 => now_ms + 1,
            1 => now_ms + 10_000,
            _ => reader.next_ms().max(now_ms),
        };
    }
}

fn header(stream: Stream, seq: u32) -> Header {
    Header {
        ver: VERSION,
        key_id: 1,
        node: 300,
        boot: 7,
        stream,
        seq,
        up_ms: 1,
        unix_ms: 1_795_000_000_000,
    }
}
