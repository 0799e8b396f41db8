//! The whole node: whatever is in its memory, whatever comes down, is presented or typed.

use crate::rig::{Bytes, Ram};
use crate::{KEY, header};
use ::node::console::{Console, Workbench};
use ::node::keypad::Key;
use ::node::layout::BLOCK_AT;
use ::node::node::{Boot, Node, Order};
use ::node::update::{Firmware, NoSlots};
use shared::NoData;
use shared::board::Board;
use shared::console::{CHUNKS, chunk, commit};
use shared::mount::{Mount, Part, PortalInput};
use shared::provision::{CardKinds, PortalConfig, Provision};
use shared::wire::{
    CredentialKind, DeviceKey, Direction, Down, Envelope, Header, ResetCause, Stream, Version, seal_down,
};

type Any<'a> = Node<&'a mut Ram, NoSlots>;

fn about() -> Firmware {
    Firmware {
        board: Board::Lm3s6965,
        version: Version(1, 0, 0),
        key: None,
    }
}

fn block() -> Provision {
    let mut block = Provision::new(300, 1, KEY, [10, 0, 2, 2], 1883).with_mounts(&[
        Mount::new(Part::Contact, 0, 0).with_portal(PortalInput::Door),
        Mount::new(Part::Contact, 1, 0),
        Mount::new(Part::Sht4x, 0x44, 0),
        Mount::new(Part::LeakRope, 0x4e, 0),
    ]);
    block.portal = Some(PortalConfig {
        keypad: true,
        cards: CardKinds::Both,
        strike_ms: 5_000,
        held_open_s: 30,
        warn_s: 5,
    });
    block
}

fn boot(cause: u8, unix_ms: u64) -> Boot {
    Boot {
        cause: match cause % 4 {
            0 => ResetCause::PowerOn,
            1 => ResetCause::Watchdog,
            2 => ResetCause::Crash,
            _ => ResetCause::Requested,
        },
        crash: None,
        rtc_unix_ms: Some(unix_ms),
    }
}

/// A node opens a memory with anything in it, and lives on with it.
pub fn memory(data: &[u8]) {
    let mut bytes = Bytes(data);
    let mut ram = Ram::new();
    ram.bytes[usize::from(BLOCK_AT[0])..][..512].copy_from_slice(&block().encode());
    // Pieces at any place, each of them page by page with a checksum that fits if it is asked for.
    while let Some(high) = bytes.next() {
        let at = usize::from(high % 128) << 8 | usize::from(bytes.next_or(0));
        let piece = bytes.take_some(usize::from(bytes.0.first().copied().unwrap_or(0) % 65));
        let end = (at + piece.len()).min(ram.bytes.len());
        ram.bytes[at..end].copy_from_slice(&piece[..end - at]);
        if high >= 128 {
            let page = at / 64 * 64;
            let crc = shared::crc::crc32(&ram.bytes[page..page + 60]);
            ram.bytes[page + 60..page + 64].copy_from_slice(&crc.to_le_bytes());
        }
    }
    for life in 0..2 {
        let Ok(Ok(provision)) = ::node::identity::provision(&mut ram) else {
            return;
        };
        let mut place = None;
        let start = Node::start_in(
            &mut place,
            &mut ram,
            NoSlots,
            &provision,
            about(),
            boot(life, 0),
            0,
        );
        let Ok(node) = start else {
            panic!("the memory works, whatever is in it")
        };
        node.connected(1);
        for now_ms in (0..400_u64).map(|step| step * 50) {
            node.tick(now_ms);
            while node.event_to_send(now_ms).is_some() {}
            while node.telemetry_to_send(now_ms).is_some() {}
        }
    }
}

/// A node in service: frames of the controller and of strangers, cards, keys, contacts, readings,
/// requests, time, and a memory that fails now and then.
pub fn node(data: &[u8]) {
    let mut bytes = Bytes(data);
    let mut ram = Ram::new();
    ram.bytes[usize::from(BLOCK_AT[0])..][..512].copy_from_slice(&block().encode());
    let mut now_ms = 0;
    // Lives in a row; each ends with the input, an order or the input's wish.
    for life in 0..4 {
        ram.left = u32::MAX;
        let Ok(Ok(provision)) = ::node::identity::provision(&mut ram) else {
            return;
        };
        let mut place = None;
        let began = boot(life, 1_795_000_000_000);
        let Ok(node) = Node::start_in(&mut place, &mut ram, NoSlots, &provision, about(), began, now_ms)
        else {
            return;
        };
        if !live(node, &mut bytes, &mut now_ms) {
            return;
        }
    }
}

/// False when the input is used up.
fn live(node: &mut Any<'_>, bytes: &mut Bytes<'_>, now_ms: &mut u64) -> bool {
    let key = DeviceKey::new(KEY);
    let mut seq = 0;
    while let Some(step) = bytes.next() {
        match step % 16 {
            0..4 => {
                if let Ok((body, rest)) = postcard::take_from_bytes::<Down>(bytes.0) {
                    bytes.0 = rest;
                    seq += 1;
                    let header = Header {
                        boot: node.boot(),
                        ..header(Stream::Command, seq)
                    };
                    if let Ok(frame) = seal_down(&key, &header, &body) {
                        node.downward(&frame, *now_ms);
                    }
                }
            }
            4 => node.downward(bytes.take_some(64), *now_ms),
            5 => {
                let contact = bytes.next_or(0);
                let _ = node.contact(usize::from(contact >> 1), contact & 1 == 1, *now_ms);
            }
            6 => {
                let len = usize::from(bytes.next_or(4) % 12);
                node.card(CredentialKind::TypeA, bytes.take_some(len), *now_ms);
            }
            7 => {
                let digit = bytes.next_or(0) % 12;
                let pressed = match digit {
                    10 => Key::Enter,
                    11 => Key::Clear,
                    _ => Key::Digit(digit),
                };
                node.key(pressed, *now_ms);
            }
            8 => node.reading(2, Ok(i32::from(bytes.next_or(0)) * 500), *now_ms),
            9 => node.reading(2, Err(NoData::Corrupt), *now_ms),
            10 => node.connected(*now_ms),
            11 => node.unreadable(*now_ms),
            12 => *now_ms += u64::from(bytes.next_or(1)) * 1_000,
            13 => return true,
            _ => *now_ms += u64::from(step),
        }
        node.tick(*now_ms);
        for _ in 0..8 {
            let (event, report) = (node.event_to_send(*now_ms), node.telemetry_to_send(*now_ms));
            for (frame, stream) in [(event, Stream::Event), (report, Stream::Telemetry)] {
                let Some(frame) = frame else { continue };
                let envelope = Envelope::parse(&frame).expect("what a node sends is a frame");
                if envelope.header.key_id == 1 {
                    let proven = envelope.verify(&key, Direction::Up, stream);
                    assert!(proven.is_ok_and(|proven| proven.up().is_ok()));
                }
            }
        }
        let _ = (node.outputs(), node.next_deadline());
        match node.take_order(*now_ms) {
            Some(Order::Restart) => return true,
            Some(Order::Erased) => return false,
            Some(Order::SetRtc(_)) | None => {}
        }
    }
    false
}

/// What is typed on the console, of a board without a block and of a node.
pub fn console(data: &[u8]) {
    let mut ram = Ram::new();
    let mut bench = Workbench::new(about(), shared::provision::ProvisionError::Blank);
    let mut console = Console::new();
    for request in data.iter().filter_map(|byte| console.feed(*byte)) {
        let _ = format!("{}", bench.answer(request, &mut ram));
    }
    // Whatever was typed before, a node that is not provisioned can still be.
    if !bench.is_done() {
        let block = block().encode();
        let lines = (0..CHUNKS).map(|n| chunk(&block, n).to_string());
        let lines = ["", "begin"].map(str::to_owned).into_iter().chain(lines);
        for line in lines.chain([commit(&block).to_string()]) {
            for request in format!("{line}\n").bytes().filter_map(|byte| console.feed(byte)) {
                let _ = bench.answer(request, &mut ram);
            }
        }
        assert!(bench.is_done());
    }
    let Ok(Ok(provision)) = ::node::identity::provision(&mut ram) else {
        panic!("what was committed is there");
    };
    let mut place = None;
    let began = boot(0, 0);
    let node = Node::start_in(&mut place, &mut ram, NoSlots, &provision, about(), began, 0);
    let Ok(node) = node else {
        panic!("the memory works")
    };
    let mut console = Console::new();
    for request in data.iter().filter_map(|byte| console.feed(*byte)) {
        let _ = format!("{}", node.answer(request, 1));
        node.tick(2);
    }
}
