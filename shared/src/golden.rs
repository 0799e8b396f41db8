//! Golden bytes of wire version 1: one frame per variant, sealed with a fixed key.
//!
//! A test that fails here means that boards already in ceilings could no longer be read:
//! revert the change, do not update the file. New variants add lines at the end.

use crate::access::{Decision, Denial, ListHead, UnsetClock};
use crate::limit::{CHUNK_LEN, ENTRIES_PER_FRAME, MAX_CARDS, MAX_DOWN_FRAME, MAX_EVENT_BODY, MAX_HOLIDAYS};
use crate::wire::{
    ClockState, Crash, CrashKind, CredentialKind, Direction, DoorEvent, Down, Envelope, Header, Health,
    ImageHead, KeyEvent, LineFault, ListEvent, ListProblem, OpenedBy, ReaderProblem, ReaderState, Refusal,
    ResetCause, Stream, TransferKind, Up, UpdateOutcome, UpdateRefusal, VERSION, Version, WireError,
    decode_event, encode_event, seal_down, seal_up, seal_up_raw,
};
use crate::{NoData, Quantity, Sample, wire::DeviceKey};
use proptest::prelude::*;
use std::{collections::BTreeSet, format, string::String, vec, vec::Vec};

const GOLDEN: &str = include_str!("../golden/wire-v1.txt");

fn key() -> DeviceKey {
    DeviceKey::new(core::array::from_fn(|i| i as u8))
}

const fn header(stream: Stream) -> Header {
    Header {
        ver: VERSION,
        key_id: 1,
        node: 300,
        boot: 7,
        stream,
        seq: 1_000_000,
        up_ms: 123_456,
        unix_ms: 1_795_000_000_000,
    }
}

/// Names a variant; a new variant does not compile until it has a name, and then fails
/// [`every_variant_has_golden_bytes`] until it has bytes.
const fn up_name(up: &Up) -> &'static str {
    match up {
        Up::Hello { .. } => "up-hello",
        Up::Contact { .. } => "up-contact",
        Up::SensorLost { .. } => "up-sensor-lost",
        Up::SensorBack { .. } => "up-sensor-back",
        Up::Lost { .. } => "up-lost",
        Up::Refused { .. } => "up-refused",
        Up::Sample(_) => "up-sample",
        Up::Heartbeat { .. } => "up-heartbeat",
        Up::Credential { .. } => "up-credential",
        Up::Door { .. } => "up-door",
        Up::Reader { .. } => "up-reader",
        Up::LineFault { .. } => "up-line-fault",
        Up::Chattering { .. } => "up-chattering",
        Up::Rested { .. } => "up-rested",
        Up::Crashed(_) => "up-crashed",
        Up::SafeMode { .. } => "up-safe-mode",
        Up::List(_) => "up-list",
        Up::Key(_) => "up-key",
        Up::Update { .. } => "up-update",
        Up::Health(_) => "up-health",
        Up::Checkpoint { .. } => "up-checkpoint",
        Up::Transfer { .. } => "up-transfer",
        Up::Shock { .. } => "up-shock",
    }
}

const fn down_name(down: &Down) -> &'static str {
    match down {
        Down::Ack { .. } => "down-ack",
        Down::SetTime => "down-set-time",
        Down::Report => "down-report",
        Down::ListBegin(_) => "down-list-begin",
        Down::ListEntries { .. } => "down-list-entries",
        Down::ListCommit { .. } => "down-list-commit",
        Down::ListConfirm { .. } => "down-list-confirm",
        Down::Checkpoint { .. } => "down-checkpoint",
        Down::Rotate { .. } => "down-rotate",
        Down::Erase => "down-erase",
        Down::Restart => "down-restart",
        Down::UpdateBegin(_) => "down-update-begin",
        Down::UpdateChunk { .. } => "down-update-chunk",
        Down::UpdateEnd => "down-update-end",
    }
}

const fn stream_of(up: &Up) -> Stream {
    match up {
        Up::Sample(_)
        | Up::Heartbeat { .. }
        | Up::Health(_)
        | Up::Checkpoint { .. }
        | Up::Transfer { .. } => Stream::Telemetry,
        _ => Stream::Event,
    }
}

fn ups() -> Vec<Up> {
    let sample = |quantity, value| {
        Up::Sample(Sample {
            channel: 2,
            quantity,
            value,
        })
    };
    vec![
        Up::Hello {
            firmware: (0, 1, 200),
            cause: ResetCause::Watchdog,
            channels: 3,
        },
        Up::Contact {
            channel: 1,
            open: true,
        },
        Up::SensorLost {
            channel: 2,
            reason: NoData::BusFault,
        },
        Up::SensorBack { channel: 2 },
        Up::Lost { count: 70_000 },
        Up::Refused {
            total: 3,
            why: Refusal::Replayed,
        },
        sample(Quantity::Temperature, Ok(-1_250)),
        sample(Quantity::Contact, Err(NoData::LineFault)),
        Up::Heartbeat {
            pending: 124,
            last_event: 1_000_000,
            refused: 3,
            dropped: 0,
        },
        credential(CredentialKind::TypeA, Decision::Granted),
        credential(CredentialKind::Felica, Decision::GrantedUnproven),
        credential(CredentialKind::TypeA, Decision::Denied(Denial::Suspended)),
        door(DoorEvent::Opened(OpenedBy::KeyOverride)),
        door(DoorEvent::Forced),
        door(DoorEvent::HeldOpen),
        door(DoorEvent::Closed),
        door(DoorEvent::Unused),
        door(DoorEvent::RequestToExit),
        door(DoorEvent::KeyOverride(true)),
        door(DoorEvent::Tamper(true)),
        door(DoorEvent::Unlocked(false)),
        door(DoorEvent::FoundOpen),
        Up::Reader {
            reader: 0,
            state: ReaderState::Fault(ReaderProblem::OtherPart),
        },
        Up::Reader {
            reader: 0,
            state: ReaderState::Well,
        },
        Up::LineFault {
            channel: 4,
            fault: LineFault::Shorted,
        },
        Up::Chattering {
            channel: 4,
            edges: 20,
        },
        Up::Rested {
            channel: 4,
            open: true,
            edges: 70_000,
        },
        Up::Crashed(CRASH),
        Up::SafeMode { on: true, crashes: 5 },
        Up::List(ListEvent::Committed {
            version: 9,
            count: 500,
        }),
        Up::List(ListEvent::Dropped {
            version: 9,
            why: ListProblem::Memory,
        }),
        Up::List(ListEvent::Stale { version: 9, days: 15 }),
        Up::Key(KeyEvent::Rotated { key_id: 2 }),
        Up::Key(KeyEvent::NotKept { key_id: 2 }),
        Up::Key(KeyEvent::Erased),
        update(UpdateOutcome::Staged),
        update(UpdateOutcome::Refused(UpdateRefusal::NeverReached)),
        update(UpdateOutcome::Confirmed),
        update(UpdateOutcome::RolledBack),
        Up::Health(HEALTH),
        Up::Checkpoint {
            size: 123_456,
            root: [0xc3; 32],
            given_unix_s: 1_795_000_000,
        },
        Up::Transfer {
            what: TransferKind::Image,
            version: Version(0, 2, 0).number(),
            have: 65_536,
        },
        Up::Reader {
            reader: 0,
            state: ReaderState::Fault(ReaderProblem::Blocked),
        },
        Up::Shock {
            channel: 6,
            peak: 2_512,
        },
    ]
}

const CRASH: Crash = Crash {
    kind: CrashKind::Hang,
    pc: 0x0001_2345,
    lr: 0x0001_2001,
    task: 2,
    mark: 0xcbf4_3926,
    up_ms: 86_400_000,
};

const HEALTH: Health = Health {
    running: Version(0, 2, 0),
    previous: Some(Version(0, 1, 9)),
    refused: Some((Version(0, 3, 0), UpdateRefusal::Signature)),
    safe_mode: false,
    crashes: 1,
    clock: ClockState::Controller,
    list: 9,
    list_age_h: 20,
    connects: 3,
    taken_over: 1,
    garbled: 200,
    recoveries: 2,
    stack_free: 12_000,
};

const fn credential(kind: CredentialKind, decision: Decision) -> Up {
    Up::Credential {
        reader: 0,
        kind,
        id: [0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0xf6, 0x07, 0x18],
        decision,
        list: 9,
    }
}

const fn door(event: DoorEvent) -> Up {
    Up::Door { portal: 0, event }
}

const fn update(outcome: UpdateOutcome) -> Up {
    Up::Update {
        version: Version(0, 2, 0),
        outcome,
    }
}

fn downs() -> Vec<Down> {
    vec![
        Down::Ack { upto: 999_999 },
        Down::SetTime,
        Down::Report,
        Down::ListBegin(ListHead {
            version: 9,
            count: 500,
            utc_offset_min: 540,
            unset_clock: UnsetClock::AllowAndFlag,
            stale_after_days: 14,
            holidays: [20_781, 20_820].into_iter().collect(),
        }),
        Down::ListEntries {
            version: 9,
            at: 16,
            entries: [[0xee; 16], [0xef; 16]].into_iter().collect(),
        },
        Down::ListCommit {
            version: 9,
            digest: [0xd1; 16],
        },
        Down::ListConfirm { version: 9 },
        Down::Checkpoint {
            size: 123_456,
            root: [0xc3; 32],
        },
        Down::Rotate {
            key_id: 2,
            salt: [0x5a; 16],
        },
        Down::Erase,
        Down::Restart,
        Down::UpdateBegin(image()),
        Down::UpdateChunk {
            at: 512,
            bytes: [1, 2, 3].into_iter().collect(),
        },
        Down::UpdateEnd,
    ]
}

const fn image() -> ImageHead {
    ImageHead {
        board: 2,
        version: Version(0, 2, 0),
        size: 123_456,
        sha256: [0x51; 32],
        signature: ([0xaa; 32], [0xbb; 32]),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every golden frame with the direction and stream it belongs to.
fn frames() -> Vec<(Direction, Stream, Vec<u8>)> {
    let up = ups().into_iter().map(|body| {
        let stream = stream_of(&body);
        let frame = seal_up(&key(), &header(stream), &body).unwrap();
        (Direction::Up, stream, frame.to_vec())
    });
    let down = downs().into_iter().map(|body| {
        let frame = seal_down(&key(), &header(Stream::Command), &body).unwrap();
        (Direction::Down, Stream::Command, frame.to_vec())
    });
    up.chain(down).collect()
}

/// All a receiver does before it believes a frame.
fn accepts(frame: &[u8], direction: Direction, stream: Stream) -> Result<(), WireError> {
    let authentic = Envelope::parse(frame)?.verify(&key(), direction, stream)?;
    match direction {
        Direction::Up => authentic.up().map(drop),
        Direction::Down => authentic.down().map(drop),
    }
}

#[test]
fn frames_are_the_golden_bytes() {
    let mut lines = String::new();
    for body in ups() {
        let frame = seal_up(&key(), &header(stream_of(&body)), &body).unwrap();
        lines += &format!("{} {}\n", up_name(&body), hex(&frame));
    }
    for body in downs() {
        let frame = seal_down(&key(), &header(Stream::Command), &body).unwrap();
        lines += &format!("{} {}\n", down_name(&body), hex(&frame));
    }
    assert_eq!(lines, GOLDEN, "wire version 1 has changed its bytes");
}

#[test]
fn every_variant_has_golden_bytes() {
    let names: BTreeSet<&str> = GOLDEN.lines().filter_map(|line| line.split(' ').next()).collect();
    // One name per arm of the two functions above.
    assert_eq!(names.len(), 23 + 14);
    assert!(ups().iter().all(|up| names.contains(up_name(up))));
    assert!(downs().iter().all(|down| names.contains(down_name(down))));
}

#[test]
fn golden_bytes_decode_to_what_was_sealed() {
    for (body, (direction, stream, frame)) in ups().into_iter().zip(frames()) {
        let authentic = Envelope::parse(&frame)
            .unwrap()
            .verify(&key(), direction, stream)
            .unwrap();
        assert_eq!((authentic.header, authentic.up()), (header(stream), Ok(body)));
    }
    for (body, (_, stream, frame)) in downs().into_iter().zip(frames().into_iter().skip(ups().len())) {
        let authentic = Envelope::parse(&frame)
            .unwrap()
            .verify(&key(), Direction::Down, stream)
            .unwrap();
        assert_eq!(authentic.down(), Ok(body));
    }
}

#[test]
fn no_truncation_of_a_golden_frame_is_accepted() {
    for (direction, stream, frame) in frames() {
        for len in 0..frame.len() {
            assert!(
                accepts(&frame[..len], direction, stream).is_err(),
                "{} at {len}",
                hex(&frame)
            );
        }
    }
}

#[test]
fn no_flipped_bit_of_a_golden_frame_is_accepted() {
    for (direction, stream, frame) in frames() {
        for bit in 0..frame.len() * 8 {
            let mut damaged = frame.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(
                accepts(&damaged, direction, stream).is_err(),
                "{} bit {bit}",
                hex(&frame)
            );
        }
    }
}

#[test]
fn a_frame_counts_only_in_its_own_direction_stream_and_key() {
    let other_key = DeviceKey::new([9; 32]);
    let every = [
        (Direction::Up, Stream::Event),
        (Direction::Up, Stream::Telemetry),
        (Direction::Up, Stream::Command),
        (Direction::Down, Stream::Event),
        (Direction::Down, Stream::Telemetry),
        (Direction::Down, Stream::Command),
    ];
    for (direction, stream, frame) in frames() {
        let envelope = Envelope::parse(&frame).unwrap();
        for (d, s) in every {
            let right = (d, s) == (direction, stream);
            assert_eq!(envelope.verify(&key(), d, s).is_ok(), right, "{d:?} {s:?}");
            assert!(envelope.verify(&other_key, d, s).is_err());
        }
    }
}

#[test]
fn a_body_of_a_later_version_is_authentic_but_not_understood() {
    #[derive(serde::Serialize)]
    struct Later(u8, u32);
    let head = header(Stream::Event);
    let mut signed = [0; 64];
    let len = postcard::to_slice(&(head, Later(200, 5)), &mut signed)
        .unwrap()
        .len();
    let frame = [
        &signed[..len],
        &key().tag(Direction::Up, Stream::Event, &signed[..len]),
    ]
    .concat();
    let authentic = Envelope::parse(&frame)
        .unwrap()
        .verify(&key(), Direction::Up, Stream::Event)
        .unwrap();
    assert_eq!(authentic.up(), Err(WireError::Body));
    assert_eq!(authentic.raw_body, &[200, 5]);
}

#[test]
fn another_wire_version_is_named() {
    let mut frame = frames().remove(0).2;
    frame[0] = 2;
    assert_eq!(Envelope::parse(&frame).unwrap_err(), WireError::Version(2));
}

#[test]
fn events_fit_the_ring_at_the_end_of_a_long_life() {
    // Boots and events as many as the type holds, uptime and clock 40 years from now.
    let old = Header {
        node: u16::MAX,
        key_id: u8::MAX,
        boot: u32::MAX,
        seq: u32::MAX,
        up_ms: 40 * 365 * 86_400_000,
        unix_ms: 3_000_000_000_000,
        ..header(Stream::Event)
    };
    let worst = [
        Up::Hello {
            firmware: (255, 255, 255),
            cause: ResetCause::Requested,
            channels: 255,
        },
        Up::Contact {
            channel: 255,
            open: true,
        },
        Up::SensorLost {
            channel: 255,
            reason: NoData::Unknown,
        },
        Up::SensorBack { channel: 255 },
        Up::Lost { count: u32::MAX },
        Up::Refused {
            total: u32::MAX,
            why: Refusal::Unknown,
        },
        Up::Credential {
            reader: 255,
            kind: CredentialKind::Felica,
            id: [255; 8],
            decision: Decision::Denied(Denial::Suspended),
            list: u32::MAX,
        },
        Up::Crashed(Crash {
            pc: u32::MAX,
            lr: u32::MAX,
            task: 255,
            mark: u32::MAX,
            up_ms: u64::MAX,
            ..CRASH
        }),
        Up::Rested {
            channel: 255,
            open: true,
            edges: u32::MAX,
        },
        Up::List(ListEvent::Committed {
            version: u32::MAX,
            count: u16::MAX,
        }),
    ];
    let all = ups()
        .into_iter()
        .filter(|body| stream_of(body) == Stream::Event)
        .chain(worst);
    for body in all {
        let kept = encode_event(&body).unwrap();
        assert!(
            kept.len() <= MAX_EVENT_BODY,
            "{body:?} takes {} bytes",
            kept.len()
        );
        assert_eq!(decode_event(&kept), Ok(body));
        // What a node seals of its memory is what it would have sealed at once.
        assert_eq!(seal_up_raw(&key(), &old, &kept), seal_up(&key(), &old, &body));
    }
}

#[test]
fn the_largest_bodies_downward_fit() {
    let full = [
        Down::ListBegin(ListHead {
            version: u32::MAX,
            count: MAX_CARDS as u16,
            utc_offset_min: -720,
            unset_clock: UnsetClock::AllowAndFlag,
            stale_after_days: 255,
            holidays: (0..MAX_HOLIDAYS).map(|_| u16::MAX).collect(),
        }),
        Down::ListEntries {
            version: u32::MAX,
            at: u16::MAX,
            entries: [[0xff; 16]; ENTRIES_PER_FRAME].into_iter().collect(),
        },
        Down::UpdateChunk {
            at: u32::MAX,
            bytes: [0xff; CHUNK_LEN].into_iter().collect(),
        },
    ];
    for body in full {
        let frame = seal_down(&key(), &header(Stream::Command), &body).unwrap();
        assert!(frame.len() <= MAX_DOWN_FRAME);
        assert_eq!(accepts(&frame, Direction::Down, Stream::Command), Ok(()));
    }
}

#[test]
fn an_upward_frame_as_long_as_a_downward_one_is_refused() {
    let long = Down::UpdateChunk {
        at: 0,
        bytes: [0; CHUNK_LEN].into_iter().collect(),
    };
    let frame = seal_down(&key(), &header(Stream::Command), &long).unwrap();
    assert_eq!(
        accepts(&frame, Direction::Up, Stream::Event),
        Err(WireError::Length(frame.len()))
    );
}

#[test]
fn rotation_makes_another_key_that_only_the_old_one_leads_to() {
    let (first, again) = (key().rotated(&[1; 16]), key().rotated(&[1; 16]));
    assert_eq!(first.expose(), again.expose());
    assert_ne!(first.expose(), key().expose());
    assert_ne!(first.expose(), key().rotated(&[2; 16]).expose());
    assert_ne!(first.expose(), DeviceKey::new([9; 32]).rotated(&[1; 16]).expose());
    assert_eq!(key().fingerprint(), "b524e61b22bdcfcd");
}

#[test]
fn what_is_signed_of_an_image_covers_every_field_but_the_signature() {
    let (signed, other) = (image().signed(), |change: fn(&mut ImageHead)| {
        let mut head = image();
        change(&mut head);
        head.signed()
    });
    assert!(signed.starts_with(b"yagura-image-1"));
    assert_ne!(signed, other(|head| head.board = 3));
    assert_ne!(signed, other(|head| head.version = Version(0, 2, 1)));
    assert_ne!(signed, other(|head| head.size += 1));
    assert_ne!(signed, other(|head| head.sha256[31] ^= 1));
    assert_eq!(signed, other(|head| head.signature.1[0] ^= 1));
}

#[test]
fn the_broker_password_is_fixed_by_the_key() {
    assert_eq!(key().broker_password(), "d7a92128b372cfbcc65fc3e146f44b60");
}

#[test]
fn the_tls_key_is_fixed_by_the_key_and_is_none_of_the_others() {
    assert_eq!(
        hex(&key().tls_key()),
        "b2a97ffd57777daa1d32b84c5715f6e89ac673837b42b09712858657492b303a"
    );
    for label in ["up", "down", "mqtt", "fingerprint", "net"] {
        assert_ne!(key().tls_key(), key().derive(label));
    }
}

proptest! {
    #[test]
    fn garbage_never_panics_and_is_never_accepted(bytes in prop::collection::vec(any::<u8>(), 0..MAX_DOWN_FRAME + 8)) {
        for (direction, stream) in [(Direction::Up, Stream::Event), (Direction::Down, Stream::Command)] {
            prop_assert!(accepts(&bytes, direction, stream).is_err());
        }
    }

    #[test]
    fn any_header_survives_the_way(
        key_id: u8, node: u16, boot: u32, seq: u32, up_ms: u64, unix_ms: u64, count: u32,
    ) {
        let sent = Header { ver: VERSION, key_id, node, boot, stream: Stream::Event, seq, up_ms, unix_ms };
        let frame = seal_up(&key(), &sent, &Up::Lost { count }).unwrap();
        let authentic = Envelope::parse(&frame).unwrap().verify(&key(), Direction::Up, Stream::Event).unwrap();
        prop_assert_eq!((authentic.header, authentic.up()), (sent, Ok(Up::Lost { count })));
    }
}
