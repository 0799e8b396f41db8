//! A bus with several parts, as a node sees it: what is absent, disturbed, frozen or stuck is no
//! value, and comes back.

use super::*;
use crate::bus::{CUT_MS, SETTLE_MS};
use crate::drivers::fake::{Bus, FakePart, Fault, MAX_STRETCH, noise};
use crate::drivers::{max34451, sht4x, tmp105};
use shared::Quantity;
use std::vec::Vec;

type World = Bus<Box<dyn FakePart>>;

const TMP105: u8 = 0x48;
const SHT4X: u8 = 0x44;
const MAX34451: u8 = 0x4e;

const AIR: u8 = 0;
const RACK: u8 = 1;
const RACK_HUMIDITY: u8 = 2;
const ROPE: u8 = 3;
const SUPPLY: u8 = 5;

/// Channel 4 is a contact, which is not on the bus.
fn mounts() -> Vec<Option<Mount>> {
    let converter = |part, page| Mount::new(part, MAX34451, page).with_converter(Converter::Max34451);
    let mut supply = converter(Part::Voltage, 2);
    supply.param = 11_000;
    vec![
        Some(Mount::new(Part::Tmp105, TMP105, 0)),
        Some(Mount::new(Part::Sht4x, SHT4X, 0)),
        Some(Mount::new(Part::Sht4x, SHT4X, 1)),
        Some(converter(Part::LeakRope, 0)),
        Some(Mount::new(Part::Contact, 0, 0)),
        Some(supply),
    ]
}

fn world() -> World {
    let mut world: World = Bus::with(TMP105, Box::new(tmp105::tests::Part::at([0x19, 0x00])));
    world
        .parts
        .insert(SHT4X, Box::new(sht4x::tests::Part::new([0x6666, 0x872b])));
    let mut millivolts = [0; 16];
    millivolts[0] = 1_000;
    millivolts[2] = 1_090;
    world
        .parts
        .insert(MAX34451, Box::new(max34451::tests::Part::new(millivolts)));
    world
}

/// What the board was told and asked while it ran its parts.
#[derive(Debug, Default, PartialEq)]
struct Told {
    heard: Vec<(u64, u8, Heard)>,
    remedies: Vec<(u64, Remedy)>,
}

/// Runs the parts between two times.
fn run(parts: &mut Parts, world: &mut World, from_ms: u64, until_ms: u64) -> Told {
    let mut told = Told::default();
    let (mut now_ms, mut calls) = (from_ms, 0);
    while now_ms < until_ms {
        world.longest = 0;
        world.give_way();
        let heard = &mut told.heard;
        let polled = parts.poll(world, true, now_ms, &mut |channel, what| {
            heard.push((now_ms, channel, what))
        });
        assert!(
            world.longest <= MAX_STRETCH,
            "{} bytes in one step",
            world.longest
        );
        told.remedies.extend(polled.remedy.map(|remedy| (now_ms, remedy)));
        calls += 1;
        assert!(calls < 1_000 + (until_ms - from_ms), "it spins at {now_ms}");
        // Work that is due at once is done in the same millisecond.
        now_ms = polled.next_ms.max(now_ms);
    }
    told
}

/// The last that was told of a channel.
fn last(told: &Told, channel: u8) -> Option<Heard> {
    told.heard
        .iter()
        .rev()
        .find(|(_, of, _)| *of == channel)
        .map(|(_, _, what)| *what)
}

fn value(milli: i32) -> Option<Heard> {
    Some(Heard::Value(Ok(milli)))
}

fn missing(reason: NoData) -> Option<Heard> {
    Some(Heard::Value(Err(reason)))
}

#[test]
fn every_row_gets_its_output_and_each_part_is_read_once() {
    let mut parts = Parts::new(&mounts(), false);
    assert_eq!(parts.count(), 3);
    let told = run(&mut parts, &mut world(), 0, 10_000);
    assert_eq!(last(&told, AIR), value(25_000));
    assert_eq!(last(&told, RACK), value(25_000));
    assert_eq!(last(&told, RACK_HUMIDITY), value(60_001));
    assert_eq!(last(&told, ROPE), Some(Heard::Line(Ok(LineState::Normal))));
    // 1.090 V behind a divider by eleven.
    assert_eq!(last(&told, SUPPLY), value(11_990));
    assert_eq!(last(&told, 4), None);
    let count = |channel| told.heard.iter().filter(|(_, of, _)| *of == channel).count();
    assert_eq!((count(AIR), count(RACK), count(RACK_HUMIDITY)), (20, 10, 10));
}

#[test]
fn a_missing_part_is_absent_and_the_others_are_read() {
    let mut world = world();
    let sht4x = world.parts.remove(&SHT4X).unwrap();
    let mut parts = Parts::new(&mounts(), false);
    let told = run(&mut parts, &mut world, 0, 3_000);
    assert_eq!(last(&told, RACK), missing(NoData::Absent));
    assert_eq!(last(&told, RACK_HUMIDITY), missing(NoData::Absent));
    assert_eq!(last(&told, AIR), value(25_000));
    // The bus is well: nothing is done to it.
    assert_eq!(told.remedies, []);
    world.parts.insert(SHT4X, sht4x);
    let told = run(&mut parts, &mut world, 3_000, 6_000);
    assert_eq!(last(&told, RACK), value(25_000));
}

#[test]
fn a_frozen_bus_is_no_value_for_anybody_until_it_is_freed() {
    let (mut parts, mut world) = (Parts::new(&mounts(), false), world());
    run(&mut parts, &mut world, 0, 5_000);
    let mut from_ms = 5_000;
    for byte in [0x00, 0x19, 0x40, 0xff] {
        world.fault = Some(Fault::Frozen(byte));
        let told = run(&mut parts, &mut world, from_ms, from_ms + 3_000);
        for channel in [AIR, RACK, RACK_HUMIDITY, ROPE, SUPPLY] {
            let of_it: Vec<_> = told.heard.iter().filter(|(_, of, _)| *of == channel).collect();
            assert!(
                of_it
                    .iter()
                    .all(|(_, _, what)| matches!(what, Heard::Value(Err(_)) | Heard::Line(Err(_)))),
                "{byte:#x} {of_it:?}"
            );
            assert!(of_it.len() >= 2);
        }
        assert_eq!(told.remedies[0].1, Remedy::FreeBus);
        world.fault = None;
        let told = run(&mut parts, &mut world, from_ms + 3_000, from_ms + 6_000);
        assert_eq!(last(&told, AIR), value(25_000));
        assert_eq!(last(&told, RACK), value(25_000));
        assert_eq!(last(&told, ROPE), Some(Heard::Line(Ok(LineState::Normal))));
        from_ms += 6_000;
    }
}

#[test]
fn a_wrong_checksum_is_corrupt_and_over_with_the_next() {
    let (mut parts, mut world) = (Parts::new(&mounts(), false), world());
    let mut part = sht4x::tests::Part::new([0x6666, 0x872b]);
    part.disturbed = 4;
    let good = world.parts.insert(SHT4X, Box::new(part)).unwrap();
    let told = run(&mut parts, &mut world, 0, 2_000);
    assert_eq!(last(&told, RACK), missing(NoData::Corrupt));
    world.parts.insert(SHT4X, good);
    let told = run(&mut parts, &mut world, 2_000, 4_000);
    assert_eq!(last(&told, RACK), value(25_000));
}

#[test]
fn a_reading_that_never_moves_is_stuck_where_the_part_cannot_rest() {
    let (mut parts, mut world) = (Parts::new(&mounts(), true), world());
    let told = run(&mut parts, &mut world, 0, 599_000);
    assert_eq!(last(&told, RACK), value(25_000));
    let told = run(&mut parts, &mut world, 599_000, 607_000);
    assert_eq!(last(&told, RACK), missing(NoData::Stuck));
    assert_eq!(last(&told, RACK_HUMIDITY), missing(NoData::Stuck));
    // 0.0625 °C steps may well stay.
    assert_eq!(last(&told, AIR), value(25_000));
    // The bus brought it well; the part itself needs another start.
    assert_eq!(told.remedies[0].1, Remedy::CutRail);
    // The last digit of one output moves: it lives.
    world
        .parts
        .insert(SHT4X, Box::new(sht4x::tests::Part::new([0x6666, 0x872c])));
    let told = run(&mut parts, &mut world, 607_000, 611_000);
    assert_eq!(last(&told, RACK), value(25_000));
}

#[test]
fn nobody_is_spoken_to_while_the_rail_is_off_and_all_come_back() {
    let (mut parts, mut world) = (Parts::new(&mounts(), true), world());
    world.fault = Some(Fault::Arbitration);
    let told = run(&mut parts, &mut world, 0, 20_000);
    let cut_ms = told
        .remedies
        .iter()
        .find(|(_, remedy)| *remedy == Remedy::CutRail)
        .unwrap()
        .0;
    let back_ms = cut_ms + CUT_MS + SETTLE_MS;
    assert!(told.remedies.contains(&(cut_ms + CUT_MS, Remedy::RestoreRail)));
    assert!(
        told.heard
            .iter()
            .all(|(at, ..)| !(cut_ms + 1..back_ms).contains(at))
    );
    assert!(told.heard.iter().any(|(at, ..)| *at >= back_ms), "and then again");
    world.fault = None;
    let told = run(&mut parts, &mut world, 20_000, 23_000);
    for (channel, milli) in [(AIR, 25_000), (RACK, 25_000), (SUPPLY, 11_990)] {
        assert_eq!(last(&told, channel), value(milli));
    }
}

#[test]
fn a_rope_says_dry_wet_cut_and_shorted() {
    let mut parts = Parts::new(&mounts(), false);
    for (from_ms, (millivolts, state)) in (0..).step_by(3_000).zip([
        (1_000, LineState::Normal),
        (400, LineState::Active),
        (2_000, LineState::Cut),
        (0, LineState::Shorted),
        (1_000, LineState::Normal),
    ]) {
        let mut world = world();
        let mut inputs = [0; 16];
        inputs[0] = millivolts;
        world
            .parts
            .insert(MAX34451, Box::new(max34451::tests::Part::new(inputs)));
        let told = run(&mut parts, &mut world, from_ms, from_ms + 3_000);
        assert_eq!(last(&told, ROPE), Some(Heard::Line(Ok(state))));
    }
}

#[test]
fn a_row_that_cannot_be_read_says_so_again_and_again() {
    let wrong = [
        Mount::new(Part::Tmp105, TMP105, 1),
        Mount::new(Part::Voltage, 0x10, 1).with_converter(Converter::Adm1272),
        Mount::new(Part::Lis3dh, 0x18, 1),
    ];
    let rope = Mount::new(Part::LeakRope, 0x48, 4).with_converter(Converter::Ads1115);
    let told = run(&mut Parts::new(&[Some(rope)], false), &mut world(), 0, 1);
    assert_eq!(last(&told, 0), Some(Heard::Line(Err(NoData::NotSupported))));
    let mut parts = Parts::new(&wrong.map(Some), false);
    assert_eq!(parts.count(), 0);
    let told = run(&mut parts, &mut world(), 0, 10_001);
    assert_eq!(told.heard.len(), 9);
    assert!(
        told.heard
            .iter()
            .all(|(_, _, what)| Some(*what) == missing(NoData::NotSupported))
    );
}

#[test]
fn more_parts_than_there_is_room_for_are_refused_and_the_others_work() {
    let many: Vec<_> = (0..MAX_CHANNELS as u8)
        .map(|at| Some(Mount::new(Part::Tmp1075, 0x70 + at, 0)))
        .collect();
    let mut parts = Parts::new(&many, false);
    assert_eq!(parts.count(), MAX_PARTS);
    let told = run(&mut parts, &mut world(), 0, 1_000);
    assert_eq!(last(&told, 0), missing(NoData::Absent));
    assert_eq!(last(&told, MAX_PARTS as u8), missing(NoData::NotSupported));
}

#[test]
fn a_converter_of_the_board_feeds_its_rows() {
    let rope = Mount::new(Part::LeakRope, 0, 3).with_converter(Converter::Board);
    let mut parts = Parts::new(&[Some(rope)], false);
    let mut heard = Vec::new();
    for reading in [Ok(400), Ok(400), Err(NoData::DeviceError)] {
        parts.board_input(3, reading, &mut |channel, what| heard.push((channel, what)));
        parts.board_input(2, reading, &mut |_, _| panic!("nobody wants it"));
    }
    assert_eq!(heard[0].1, Heard::Line(Ok(LineState::Active)));
    assert_eq!(heard.last().unwrap().1, Heard::Line(Err(NoData::DeviceError)));
}

#[test]
fn every_part_of_the_mount_table_is_in_the_table_of_drivers() {
    for part in Part::ALL {
        let known = [Converter::Ads1115, Converter::Max34451, Converter::Adm1272]
            .iter()
            .all(|converter| Any::of(&Mount::new(part, 0x48, 0).with_converter(*converter)).is_some());
        let elsewhere = matches!(part, Part::Contact | Part::ModbusProbe);
        assert_eq!(known, !elsewhere, "{part:?}");
        // And the table has the outputs that the mount table knows, converters aside.
        if let (Some((_, outputs, _)), false) = (
            Any::of(&Mount::new(part, 0x48, 0)),
            matches!(part, Part::LeakSpot | Part::LeakRope | Part::Voltage),
        ) {
            let known = (0..=255)
                .filter(|output| part.quantity(*output).is_some())
                .count();
            assert_eq!(usize::from(outputs), known, "{part:?}");
        }
    }
}

#[test]
fn tables_and_buses_of_noise_never_panic() {
    for seed in 1..300 {
        let mut state = seed;
        let mounts: Vec<_> = (0..MAX_CHANNELS)
            .map(|_| {
                let mut row: [u8; 8] = core::array::from_fn(|_| noise(&mut state));
                row[0] %= 16;
                row[2] %= 5;
                Mount::decode(&row)
            })
            .collect();
        let mut parts = Parts::new(&mounts, seed % 2 == 0);
        let mut world = world();
        world.fault = Some(Fault::Garbage(seed));
        let told = run(&mut parts, &mut world, 0, 3_000);
        for (_, channel, _) in told.heard {
            let mount = mounts[usize::from(channel)].unwrap();
            assert_ne!(mount.quantity(), Some(Quantity::Count));
        }
    }
}

#[test]
fn the_parts_of_a_node_take_at_most_one_and_a_half_kilobytes() {
    assert!(size_of::<Parts>() <= 1_536, "{}", size_of::<Parts>());
    assert!(size_of::<Instance>() <= 112, "{}", size_of::<Instance>());
}
