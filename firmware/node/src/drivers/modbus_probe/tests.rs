//! Frames of the standard and of probes in use, and lines on which everything goes wrong.

use super::*;
use crate::drivers::fake::noise;
use std::vec::Vec;

fn rows(units: &[(u8, u16)]) -> Vec<Option<Mount>> {
    units
        .iter()
        .flat_map(|(id, param)| {
            [TEMPERATURE, HUMIDITY].map(|output| {
                Some(Mount {
                    param: *param,
                    ..Mount::new(Part::ModbusProbe, *id, output)
                })
            })
        })
        .collect()
}

fn sealed(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame.extend(crc(&frame).to_le_bytes());
    frame
}

/// A line: runs a probe from one time to another, answering each question as told.
struct Line {
    probe: Probe,
    now_ms: u64,
    told: Vec<(u64, u8, Reading)>,
    questions: Vec<(u64, Vec<u8>)>,
}

impl Line {
    fn new(units: &[(u8, u16)]) -> Self {
        Self {
            probe: Probe::new(&rows(units)),
            now_ms: 0,
            told: Vec::new(),
            questions: Vec::new(),
        }
    }

    /// Runs for so long; `answer` gives what comes 30 ms after a question.
    fn run(&mut self, for_ms: u64, mut answer: impl FnMut(&[u8]) -> Vec<u8>) {
        let until_ms = self.now_ms + for_ms;
        let mut coming: Option<(u64, Vec<u8>)> = None;
        while self.now_ms < until_ms {
            let (now_ms, told) = (self.now_ms, &mut self.told);
            let mut tell = |channel, reading| told.push((now_ms, channel, reading));
            if let Some((at, bytes)) = &coming
                && now_ms >= *at
            {
                self.probe.feed(bytes, now_ms, &mut tell);
                coming = None;
            }
            if let Some(question) = self.probe.poll(now_ms, &mut tell) {
                coming = Some((now_ms + 30, answer(&question)));
                self.questions.push((now_ms, question.to_vec()));
            }
            let next_ms = self.probe.next_ms().unwrap_or(u64::MAX);
            let next_ms = coming.as_ref().map_or(next_ms, |(at, _)| next_ms.min(*at));
            assert!(next_ms > now_ms, "it spins at {now_ms}");
            self.now_ms = next_ms.min(until_ms);
        }
    }

    fn last(&self, channel: u8) -> Option<Reading> {
        self.told
            .iter()
            .rev()
            .find(|(_, of, _)| *of == channel)
            .map(|(.., reading)| *reading)
    }
}

/// 30.5 °C and 54.6 %, as an XY-MD02 answers.
const ANSWER: [u8; 9] = [0x01, 0x04, 0x04, 0x01, 0x31, 0x02, 0x22, 0x2a, 0xce];

#[test]
fn the_crc_is_the_one_of_the_standard() {
    // Serial line V1.02, section 6.2.2: 02 07 gives 0x1241, low byte first 41 12.
    assert_eq!(crc(&[0x02, 0x07]), 0x1241);
    assert_eq!(crc(&ANSWER[..7]).to_le_bytes(), ANSWER[7..]);
    assert!(proven(&ANSWER));
}

#[test]
fn a_common_probe_is_asked_for_input_registers_1_and_2() {
    let mut line = Line::new(&[(1, 0)]);
    line.run(2_500, |_| ANSWER.to_vec());
    assert_eq!(
        line.questions[0],
        (0, vec![0x01, 0x04, 0x00, 0x01, 0x00, 0x02, 0x20, 0x0b])
    );
    let times: Vec<u64> = line.questions.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [0, 1_000, 2_000]);
    assert_eq!((line.last(0), line.last(1)), (Some(Ok(30_500)), Some(Ok(54_600))));
    let counters = line.probe.counters();
    assert_eq!((counters.asked, counters.answered, counters.dropped), (3, 3, 0));
}

#[test]
fn another_common_probe_has_humidity_first_in_holding_registers() {
    let mut line = Line::new(&[(3, 1)]);
    // 65.8 % and -10.1 °C.
    line.run(500, |_| sealed(&[3, 3, 4, 0x02, 0x92, 0xff, 0x9b]));
    assert_eq!(line.questions[0].1, sealed(&[3, 3, 0, 0, 0, 2]));
    assert_eq!(
        (line.last(0), line.last(1)),
        (Some(Ok(-10_100)), Some(Ok(65_800)))
    );
}

#[test]
fn any_other_layout_is_spelled_out_in_the_mount() {
    let own = OWN_LAYOUT | OWN_HUNDREDTHS | 0x101;
    let mut line = Line::new(&[(7, own)]);
    line.run(500, |_| sealed(&[7, 3, 4, 0x09, 0xc4, 0x11, 0x94]));
    assert_eq!(line.questions[0].1, sealed(&[7, 3, 0x01, 0x01, 0, 2]));
    assert_eq!((line.last(0), line.last(1)), (Some(Ok(25_000)), Some(Ok(45_000))));
    assert_eq!(
        Layout::of(OWN_LAYOUT | OWN_INPUT | OWN_HUMIDITY_FIRST | 1),
        Some(Layout {
            input: true,
            start: 1,
            humidity_first: true,
            step_milli: 100,
        })
    );
    assert_eq!(Layout::of(2), None);
}

#[test]
fn a_mute_probe_is_asked_three_times_and_is_a_timeout() {
    let mut line = Line::new(&[(1, 0)]);
    line.run(1_000, |_| vec![]);
    let times: Vec<u64> = line.questions.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [0, 220, 440]);
    assert_eq!(
        line.told,
        [(640, 0, Err(NoData::Timeout)), (640, 1, Err(NoData::Timeout))]
    );
    assert_eq!(line.probe.counters().mute, 3);
    // And back at once.
    line.run(500, |_| ANSWER.to_vec());
    assert_eq!(line.last(0), Some(Ok(30_500)));
}

#[test]
fn a_wrong_crc_or_a_short_answer_is_corrupt() {
    for cut in [0, 1, 4] {
        let mut bad = ANSWER.to_vec();
        bad[4] ^= 1;
        bad.truncate(ANSWER.len() - cut);
        let mut line = Line::new(&[(1, 0)]);
        line.run(1_000, |_| bad.clone());
        assert_eq!(
            line.told,
            [(640, 0, Err(NoData::Corrupt)), (640, 1, Err(NoData::Corrupt))]
        );
        assert_eq!(line.probe.counters().corrupt, 3);
    }
}

#[test]
fn one_disturbed_answer_is_asked_for_again_and_nobody_notices() {
    let mut line = Line::new(&[(1, 0)]);
    let mut first = true;
    line.run(900, |_| {
        let mut answer = ANSWER.to_vec();
        answer[7] ^= u8::from(core::mem::take(&mut first));
        answer
    });
    assert_eq!(line.told, [(250, 0, Ok(30_500)), (250, 1, Ok(54_600))]);
}

#[test]
fn a_refusal_is_an_error_of_the_device() {
    let mut line = Line::new(&[(1, 0)]);
    // Illegal data address: 01 84 02, CRC c2 c1.
    line.run(1_000, |_| vec![0x01, 0x84, 0x02, 0xc2, 0xc1]);
    assert_eq!(
        (line.last(0), line.last(1)),
        (Some(Err(NoData::DeviceError)), Some(Err(NoData::DeviceError)))
    );
    assert_eq!(line.probe.counters().refused, 3);
}

#[test]
fn glitches_and_the_echo_of_the_question_before_the_answer_are_dropped_and_counted() {
    let before: [&[u8]; 5] = [
        &[0x00],
        &[0xff, 0x01],
        &[0x01, 0x01],
        &[0x01, 0x04, 0x01],
        &[0x01, 0x04, 0x04],
    ];
    for garbage in before {
        let mut line = Line::new(&[(1, 0)]);
        line.run(200, |question| [garbage, question, &ANSWER].concat());
        assert_eq!(line.last(0), Some(Ok(30_500)), "{garbage:?}");
        let dropped = garbage.len() + QUESTION_LEN;
        assert_eq!(line.probe.counters().dropped as usize, dropped, "{garbage:?}");
    }
}

#[test]
fn the_answer_of_another_unit_or_function_is_no_answer() {
    for foreign in [
        sealed(&[2, 4, 4, 1, 0x31, 2, 0x22]),
        sealed(&[1, 3, 4, 1, 0x31, 2, 0x22]),
        sealed(&[1, 4, 2, 1, 0x31]),
    ] {
        let mut line = Line::new(&[(1, 0)]);
        line.run(1_000, |_| foreign.clone());
        assert_eq!(line.last(0), Some(Err(NoData::Corrupt)));
    }
}

#[test]
fn what_comes_while_nothing_is_asked_is_dropped() {
    let mut line = Line::new(&[(1, 0)]);
    line.run(500, |_| [ANSWER, ANSWER].concat());
    assert_eq!(line.told.len(), 2);
    assert_eq!(line.probe.counters().dropped, 9);
}

#[test]
fn an_unplugged_sensor_is_a_sentinel() {
    let mut line = Line::new(&[(1, 0)]);
    line.run(500, |_| sealed(&[1, 4, 4, 0x7f, 0xff, 0xff, 0xff]));
    assert_eq!(
        (line.last(0), line.last(1)),
        (Some(Err(NoData::Sentinel)), Some(Err(NoData::Sentinel)))
    );
}

#[test]
fn units_take_turns_and_a_mute_one_does_not_hold_up_the_others() {
    let mut line = Line::new(&[(1, 0), (2, 0), (3, 0)]);
    line.run(10_000, |question| match question[0] {
        2 => vec![],
        id => sealed(&[id, 4, 4, 0, 200 + id, 1, 0xf4]),
    });
    assert_eq!(line.last(0), Some(Ok(20_100)));
    assert_eq!(line.last(2), Some(Err(NoData::Timeout)));
    assert_eq!(line.last(4), Some(Ok(20_300)));
    for channel in [0, 4] {
        let count = line.told.iter().filter(|(_, of, _)| *of == channel).count();
        assert!((9..=10).contains(&count), "{channel}: {count}");
    }
}

#[test]
fn a_table_that_asks_for_too_much_says_so() {
    let mut line = Line::new(&[(1, 2)]);
    line.run(2_500, |_| ANSWER.to_vec());
    assert_eq!(line.told.len(), 6);
    assert!(
        line.told
            .iter()
            .all(|(.., reading)| *reading == Err(NoData::NotSupported))
    );
    let mut many = rows(&[(1, 0)]);
    many.extend([2, 3, 4, 5].map(|id| Some(Mount::new(Part::ModbusProbe, id, TEMPERATURE))));
    let mut line = Line {
        probe: Probe::new(&many),
        ..Line::new(&[])
    };
    line.run(5_000, |question| sealed(&[question[0], 4, 4, 0, 200, 1, 0xf4]));
    assert_eq!(line.last(4), Some(Ok(20_000)));
    assert_eq!(line.last(5), Some(Err(NoData::NotSupported)));
    assert_eq!(Probe::new(&[]).next_ms(), None);
}

#[test]
fn noise_is_bounded_counted_and_never_a_value() {
    let mut seed = 11;
    let mut line = Line::new(&[(1, 0)]);
    line.run(600_000, |_| {
        let len = usize::from(noise(&mut seed));
        (0..len)
            // Many of the bytes that a header is made of.
            .map(|_| match noise(&mut seed) {
                byte @ 0..=127 => [1, 4, 4, 0x84][usize::from(byte) % 4],
                byte => byte,
            })
            .collect()
    });
    assert!(line.told.iter().all(|(.., reading)| reading.is_err()));
    assert!(line.told.len() >= 1_000);
    let counters = line.probe.counters();
    assert!(
        counters.dropped > 100_000 && counters.answered == 0,
        "{counters:?}"
    );
    // And the line works as soon as the noise ends.
    line.run(1_000, |_| ANSWER.to_vec());
    assert_eq!(line.last(0), Some(Ok(30_500)));
}
