//! Frames from the user manual, and what a bad line makes of them.

use super::*;
use std::vec;
use std::vec::Vec as List;

/// An answer as the part would send it.
pub(crate) fn answer(code: u8, data: &[u8]) -> List<u8> {
    let len = data.len() as u8 + 2;
    let mut frame = vec![0, 0, 0xff, len, len.wrapping_neg(), FROM_PART, code];
    frame.extend_from_slice(data);
    let sum = frame[5..].iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    frame.extend([sum.wrapping_neg(), 0]);
    frame
}

#[derive(Debug, PartialEq, Eq, Clone)]
enum Got {
    Ack,
    Nack,
    Error,
    Answer(u8, List<u8>),
}

/// All frames in `bytes`, and how much was garbage; fed in pieces of `piece`.
fn hear_in(bytes: &[u8], piece: usize) -> (List<Got>, u32) {
    let mut receiver = Receiver::new();
    let mut all = List::new();
    for mut input in bytes.chunks(piece) {
        while let Some(heard) = receiver.read(&mut input) {
            all.push(match heard {
                Heard::Ack => Got::Ack,
                Heard::Nack => Got::Nack,
                Heard::Error => Got::Error,
                Heard::Answer { code, data } => Got::Answer(code, data.to_vec()),
            });
        }
        assert!(input.is_empty(), "everything is taken");
    }
    (all, receiver.garbage())
}

fn hear(bytes: &[u8]) -> (List<Got>, u32) {
    hear_in(bytes, bytes.len().max(1))
}

/// A small generator; its seed is in every assertion that uses it.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % below
    }

    fn byte(&mut self) -> u8 {
        // Start codes and lengths more often than chance would give them.
        match self.roll(4) {
            0 => 0x00,
            1 => 0xff,
            _ => self.roll(256) as u8,
        }
    }
}

#[test]
fn the_firmware_version_of_the_manual_is_asked_and_understood() {
    let asked = encode(Command::Identify, Before::Nothing);
    assert_eq!(asked, [0x00, 0x00, 0xff, 0x02, 0xfe, 0xd4, 0x02, 0x2a, 0x00]);
    let told = [
        0x00, 0x00, 0xff, 0x06, 0xfa, 0xd5, 0x03, 0x32, 0x01, 0x06, 0x07, 0xe8, 0x00,
    ];
    let (heard, garbage) = hear(&told);
    assert_eq!(heard, [Got::Answer(0x03, vec![0x32, 0x01, 0x06, 0x07])]);
    assert_eq!(garbage, 0);
    assert!(is_pn532(&[0x32, 0x01, 0x06, 0x07]));
    assert!(
        !is_pn532(&[0x33, 0x01, 0x06, 0x07]),
        "a PN533 is not what was mounted"
    );
}

#[test]
fn every_command_is_a_frame_whose_sums_are_zero() {
    let all = [
        Command::Configure,
        Command::Identify,
        Command::Parameters,
        Command::Tries,
        Command::Endless,
        Command::FieldOff,
        Command::Look(Technology::TypeA),
        Command::Look(Technology::Felica212),
        Command::Look(Technology::Felica424),
        Command::Wait(Technology::TypeA),
        Command::Wait(Technology::Felica212),
        Command::Status,
        Command::Antenna,
    ];
    for command in all {
        let frame = encode(command, Before::WakeUp);
        let (wake, frame) = frame.split_at(WAKE_UP.len());
        assert_eq!(wake, WAKE_UP);
        let [0, 0, 0xff, len, check, body @ .., dcs, 0] = frame else {
            panic!("{command:?} is no frame");
        };
        assert_eq!(usize::from(*len), body.len(), "{command:?}");
        assert_eq!(len.wrapping_add(*check), 0, "{command:?}");
        assert_eq!(
            body.iter().fold(*dcs, |sum, byte| sum.wrapping_add(*byte)),
            0,
            "{command:?}"
        );
        assert_eq!(body[0], TO_PART);
        assert_eq!(body[1] + 1, command.answer());
    }
}

#[test]
fn ack_nack_and_error_are_told_apart() {
    let mut bytes = ABORT.to_vec();
    bytes.extend(AGAIN);
    bytes.extend([0x00, 0x00, 0xff, 0x01, 0xff, 0x7f, 0x81, 0x00]);
    assert_eq!(hear(&bytes), (vec![Got::Ack, Got::Nack, Got::Error], 0));
}

#[test]
fn an_answer_in_an_extended_frame_is_understood() {
    let bytes = [0, 0, 0xff, 0xff, 0xff, 0x00, 0x02, 0xfe, 0xd5, 0x15, 0x16, 0x00];
    assert_eq!(hear(&bytes), (vec![Got::Answer(0x15, vec![])], 0));
}

#[test]
fn frames_arrive_in_any_pieces() {
    let mut bytes = ABORT.to_vec();
    bytes.extend(answer(0x4b, &[1, 1, 0, 4, 8, 4, 1, 2, 3, 4]));
    for piece in 1..=bytes.len() {
        let (heard, garbage) = hear_in(&bytes, piece);
        assert_eq!(heard.len(), 2, "in pieces of {piece}");
        assert_eq!(garbage, 0);
    }
}

#[test]
fn every_single_wrong_bit_is_noticed_and_the_next_frame_is_heard() {
    let good = answer(
        0x4b,
        &[1, 1, 0x44, 0x00, 0x00, 7, 4, 0x5e, 0x2c, 0x9a, 0x3b, 0x61, 0x80],
    );
    // From the start code to the data checksum: the zeros around carry nothing.
    for bit in 8..(good.len() - 1) * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let damaged = bytes.clone();
        // As much silence and noise as a false length may swallow.
        bytes.extend([0x00; BUFFER + 2]);
        bytes.extend(&good);
        let (heard, _) = hear(&bytes);
        let wanted = Got::Answer(0x4b, good[7..good.len() - 2].to_vec());
        assert_eq!(heard, [wanted], "bit {bit}: {damaged:02x?}");
    }
}

#[test]
fn a_true_frame_behind_a_false_start_is_found() {
    let good = answer(0x15, &[]);
    let false_starts: [&[u8]; 5] = [
        &[0x00, 0xff],
        &[0x00, 0x00, 0xff, 0x05, 0xfa],
        &[0x00, 0xff, 0x04, 0xfc],
        &[0x13, 0x37, 0x00, 0xff, 0xff, 0xff, 0x01, 0x00, 0xff],
        &[0xff; 200],
    ];
    for start in false_starts {
        let mut bytes = start.to_vec();
        bytes.extend(&good);
        let (heard, garbage) = hear(&bytes);
        assert_eq!(heard, [Got::Answer(0x15, vec![])], "behind {start:02x?}");
        assert!(garbage >= 1);
    }
}

#[test]
fn our_own_echo_is_not_an_answer() {
    let (heard, garbage) = hear(&encode(Command::Look(Technology::TypeA), Before::Nothing));
    assert_eq!(heard, []);
    assert!(garbage >= 1);
}

#[test]
fn random_bytes_never_stop_the_receiver() {
    for seed in 0..400 {
        let mut dice = Dice(seed);
        let noise: List<u8> = (0..1_000).map(|_| dice.byte()).collect();
        let mut receiver = Receiver::new();
        let mut input = noise.as_slice();
        let mut frames = 0;
        while receiver.read(&mut input).is_some() {
            frames += 1;
            assert!(
                frames <= noise.len() / 4,
                "seed {seed}: a frame takes at least four bytes"
            );
        }
        receiver.clear();
        let good = answer(0x15, &[]);
        assert!(receiver.read(&mut good.as_slice()).is_some(), "seed {seed}");
    }
}

#[test]
fn mutated_answers_never_give_a_card_that_was_not_there() {
    let good = answer(
        0x4b,
        &[1, 1, 0x03, 0x44, 0x20, 7, 4, 0x5e, 0x2c, 0x9a, 0x3b, 0x61, 0x80],
    );
    let mut believed = 0;
    for seed in 0..20_000 {
        let mut dice = Dice(seed);
        let mut bytes = good.clone();
        for _ in 0..=dice.roll(3) {
            let at = dice.roll(bytes.len());
            match dice.roll(3) {
                0 => bytes[at] = dice.byte(),
                1 => bytes.insert(at, dice.byte()),
                _ => drop(bytes.remove(at)),
            }
        }
        for got in hear(&bytes).0 {
            if let Got::Answer(0x4b, data) = got
                && let Some(Seen::One(target)) = targets(Technology::TypeA, &data)
                && target.uid.as_slice() != &good[13..20]
            {
                believed += 1;
            }
        }
    }
    // An 8-bit sum lets some double faults through; they must be what chance gives, not more.
    assert!(believed <= 20_000 / 256, "{believed} of 20000 false cards");
}

fn uid(technology: Technology, data: &[u8]) -> List<u8> {
    match targets(technology, data) {
        Some(Seen::One(target)) => target.uid.as_slice().to_vec(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn cards_with_four_seven_and_ten_bytes_are_read() {
    let a = Technology::TypeA;
    assert_eq!(
        uid(a, &[1, 1, 0x00, 0x04, 0x08, 4, 0xde, 0xad, 0xbe, 0xef]),
        [0xde, 0xad, 0xbe, 0xef]
    );
    assert_eq!(
        uid(a, &[1, 1, 0x00, 0x44, 0x00, 7, 4, 1, 2, 3, 4, 5, 6]),
        [4, 1, 2, 3, 4, 5, 6]
    );
    let ten = [1, 1, 0x00, 0x84, 0x20, 10, 4, 1, 2, 3, 4, 5, 6, 7, 8, 9];
    assert_eq!(uid(a, &ten), [4, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let Some(Seen::One(target)) = targets(a, &ten) else {
        panic!("one card");
    };
    assert_eq!(target.select, Some((0x0084, 0x20)));
    // A part that answers to select appends it.
    assert_eq!(
        uid(
            a,
            &[1, 1, 3, 0x44, 0x20, 4, 1, 2, 3, 4, 6, 0x75, 0x77, 0x81, 2, 0x80]
        ),
        [1, 2, 3, 4]
    );
}

#[test]
fn a_felica_card_is_read_with_and_without_its_system_code() {
    let idm = [0x01, 0x14, 0xb3, 0x4d, 0x9c, 0x16, 0x2a, 0x05];
    for (len, technology) in [(0x12, Technology::Felica212), (0x14, Technology::Felica424)] {
        let mut data = vec![1, 1, len, 0x01];
        data.extend(idm);
        data.extend([0xff; 8]);
        data.extend((0x12..len).map(|_| 0x03));
        assert_eq!(uid(technology, &data), idm);
    }
}

#[test]
fn two_cards_are_several_and_nobody_is_nobody() {
    assert_eq!(targets(Technology::TypeA, &[0]), Some(Seen::Nobody));
    let two = [2, 1, 0, 4, 8, 4, 1, 2, 3, 4, 2, 0, 4, 8, 4, 5, 6, 7, 8];
    assert_eq!(targets(Technology::TypeA, &two), Some(Seen::Several));
    assert_eq!(targets(Technology::Felica212, &two[..9]), None, "cut short");
}

#[test]
fn a_malformed_answer_is_no_card() {
    for data in [
        &[][..],
        &[3],
        &[1],
        &[1, 1],
        &[1, 1, 0, 4, 8, 5, 1, 2, 3, 4, 5],
        &[1, 1, 0, 4, 8, 7, 1, 2],
    ] {
        assert_eq!(targets(Technology::TypeA, data), None, "{data:02x?}");
    }
    for data in [
        &[1, 1, 0x12][..],
        &[1, 1, 0x12, 0x00, 1, 2, 3, 4, 5, 6, 7, 8],
        &[1, 1, 0x12, 0x01, 1, 2],
    ] {
        assert_eq!(targets(Technology::Felica212, data), None, "{data:02x?}");
    }
}

#[test]
fn a_number_drawn_anew_each_time_is_known_as_such() {
    let random = |data: &[u8]| match targets(Technology::TypeA, data) {
        Some(Seen::One(target)) => target.is_random(),
        _ => false,
    };
    assert!(random(&[1, 1, 0, 4, 0x20, 4, 0x08, 2, 3, 4]));
    assert!(!random(&[1, 1, 0, 4, 0x20, 4, 0x04, 2, 3, 4]));
    assert!(!random(&[1, 1, 0, 0x44, 0, 7, 0x08, 2, 3, 4, 5, 6, 7]));
}

#[test]
fn the_antenna_test_fails_on_its_two_verdict_bits() {
    assert!(antenna_is_well(&[0x00]));
    assert!(antenna_is_well(&[ANTENNA_LIMITS]));
    assert!(!antenna_is_well(&[0x80]) && !antenna_is_well(&[0xaf]) && !antenna_is_well(&[0x40]));
    assert!(!antenna_is_well(&[]));
    assert!(transmitter_is_well(&[0x01, 0, 0, 0]) && !transmitter_is_well(&[0x0d, 0, 0, 0]));
}

#[test]
fn a_card_number_is_never_printed() {
    let uid = Uid::new(&[0xde, 0xad, 0xbe, 0xef]).unwrap();
    assert_eq!(std::format!("{uid:?}"), "Uid(4 bytes)");
}
