//! Golden bytes of wire version 1: one frame per variant, sealed with a fixed key.
//!
//! A test that fails here means that boards already in ceilings could no longer be read:
//! revert the change, do not update the file. New variants add lines at the end.

use crate::limit::{MAX_EVENT_FRAME, MAX_FRAME};
use crate::wire::{
    Direction, Down, Envelope, Header, Refusal, ResetCause, Stream, Up, VERSION, WireError, seal_down,
    seal_up,
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
    }
}

const fn down_name(down: &Down) -> &'static str {
    match down {
        Down::Ack { .. } => "down-ack",
        Down::SetTime => "down-set-time",
        Down::Report => "down-report",
    }
}

const fn stream_of(up: &Up) -> Stream {
    match up {
        Up::Sample(_) | Up::Heartbeat { .. } => Stream::Telemetry,
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
    ]
}

fn downs() -> Vec<Down> {
    vec![Down::Ack { upto: 999_999 }, Down::SetTime, Down::Report]
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
    assert_eq!(names.len(), 8 + 3);
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
    ];
    for body in worst {
        let len = seal_up(&key(), &old, &body).unwrap().len();
        assert!(len <= MAX_EVENT_FRAME, "{body:?} takes {len} bytes");
    }
}

#[test]
fn the_broker_password_is_fixed_by_the_key() {
    assert_eq!(key().broker_password(), "d7a92128b372cfbcc65fc3e146f44b60");
}

proptest! {
    #[test]
    fn garbage_never_panics_and_is_never_accepted(bytes in prop::collection::vec(any::<u8>(), 0..MAX_FRAME + 8)) {
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
