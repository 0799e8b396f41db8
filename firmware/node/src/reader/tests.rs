//! A reader on a bench: a simulated part that speaks the protocol, cards, and a line that can be cut.
// Long because the part speaks its whole protocol here, and each way it can fail is a story.

use super::*;
use std::vec;
use std::vec::Vec as List;

const STAFF: [u8; 4] = [0xde, 0xad, 0xbe, 0xef];
const VISITOR: [u8; 7] = [4, 1, 2, 3, 4, 5, 6];
const IDM: [u8; 8] = [0x01, 0x14, 0xb3, 0x4d, 0x9c, 0x16, 0x2a, 0x05];
const OTHER_IDM: [u8; 8] = [0x01, 0x14, 0xb3, 0x4d, 0x9c, 0x16, 0x2a, 0x06];

fn frame(body: &[u8]) -> List<u8> {
    let len = body.len() as u8;
    let mut frame = vec![0, 0, 0xff, len, len.wrapping_neg()];
    frame.extend(body);
    frame.push(body.iter().fold(0_u8, |sum, byte| sum.wrapping_sub(*byte)));
    frame.push(0);
    frame
}

/// A PN532 as the manual describes it.
struct Part {
    connected: bool,
    held: bool,
    configured: bool,
    endless: bool,
    chip: u8,
    antenna: u8,
    status: u8,
    refuses: Option<u8>,
    /// How long it takes for an answer.
    takes_ms: u64,
    type_a: List<List<u8>>,
    felica: List<List<u8>>,
    /// The FeliCa cards speak 424 kbit/s only.
    only_424: bool,
    /// A selected Type A card is silent until the field was off.
    selected: bool,
    /// One that was asked beside another, too, whatever is tried.
    halted: bool,
    /// The kind of card it waits for, for ever.
    waits: Option<u8>,
    /// Damage so many answers.
    damage: u32,
    /// Seed of a line that spoils every fiftieth byte.
    noise: Option<u64>,
    last: List<u8>,
    resets: u32,
    commands: List<u8>,
    sending: List<(u64, List<u8>)>,
}

impl Part {
    fn new() -> Self {
        Self {
            connected: true,
            held: false,
            configured: false,
            endless: true,
            chip: 0x32,
            antenna: 0,
            status: 0,
            refuses: None,
            takes_ms: 12,
            type_a: vec![],
            felica: vec![],
            only_424: false,
            selected: false,
            halted: false,
            waits: None,
            damage: 0,
            noise: None,
            last: vec![],
            resets: 0,
            commands: vec![],
            sending: vec![],
        }
    }

    fn lose_power(&mut self) {
        self.configured = false;
        self.endless = true;
        self.waits = None;
        self.sending.clear();
    }

    fn reset(&mut self, held: bool) {
        if held && !self.held {
            self.resets += 1;
            self.lose_power();
        }
        self.held = held;
    }

    fn hear(&mut self, bytes: &[u8], now: u64) {
        if !self.connected || self.held || bytes.is_empty() {
            return;
        }
        let Some(start) = bytes.windows(3).position(|three| three == [0, 0, 0xff]) else {
            return;
        };
        let mut bytes = &bytes[start..];
        self.waits = None;
        if let Some(rest) = bytes.strip_prefix(&ABORT) {
            self.sending.clear();
            bytes = rest;
        }
        if bytes.is_empty() {
            return;
        }
        if bytes == AGAIN {
            let again = self.line(self.last.clone());
            self.sending.push((now + 2, again));
            return;
        }
        let len = usize::from(bytes[3]);
        let body = &bytes[5..5 + len];
        assert_eq!(body[0], 0xd4);
        self.sending.clear();
        self.sending.push((now + 1, ABORT.to_vec()));
        self.commands.push(body[1]);
        self.waits = body
            .get(3)
            .copied()
            .filter(|_| body[1] == 0x4a && self.endless && self.configured);
        if let Some(answer) = self.answer(&body[1..]) {
            self.waits = None;
            self.last = answer.clone();
            let answer = self.line(answer);
            let takes_ms = if body[1] == 0x32 { 5 } else { self.takes_ms };
            self.sending.push((now + takes_ms, answer));
        }
    }

    /// A card that has come ends the waiting.
    fn wait(&mut self, now: u64) {
        let Some(kind) = self.waits else {
            return;
        };
        if self.connected
            && !self.held
            && let Some(answer) = self.answer(&[0x4a, 1, kind])
        {
            self.waits = None;
            self.last = answer.clone();
            let answer = self.line(answer);
            self.sending.push((now + self.takes_ms, answer));
        }
    }

    /// What the line makes of an answer.
    fn line(&mut self, mut answer: List<u8>) -> List<u8> {
        if self.damage > 0 {
            self.damage -= 1;
            answer[7] ^= 0x10;
        }
        answer
    }

    /// What arrives of bytes on a bad line.
    fn arrives(&mut self, bytes: List<u8>) -> List<u8> {
        let Some(seed) = &mut self.noise else {
            return bytes;
        };
        let mut arrived = List::new();
        for byte in bytes {
            *seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let dice = (*seed >> 33) as usize;
            match dice % 150 {
                0 => {}
                1 => arrived.extend([byte, byte]),
                2 => arrived.push(byte ^ (1 << (dice / 150 % 8))),
                _ => arrived.push(byte),
            }
        }
        arrived
    }

    fn answer(&mut self, command: &[u8]) -> Option<List<u8>> {
        let error = frame(&[0x7f]);
        if self.refuses == Some(command[0]) {
            return Some(error);
        }
        if command[0] == 0x14 {
            self.configured = true;
            return Some(frame(&[0xd5, 0x15]));
        }
        let mut body = vec![0xd5, command[0] + 1];
        match command {
            [0x02] => body.extend([self.chip, 1, 6, 7]),
            [0x12, _] => {}
            [0x32, 0x05, _, _, tries] => self.endless = *tries == 0xff,
            [0x32, 0x01, 0x00] => (self.selected, self.halted) = (false, false),
            [0x04] => body.extend([self.status, 0, 0, 0]),
            [0x00, 0x07, _] => body.push(self.antenna),
            [0x4a, most, kind, ..] => {
                let cards = match kind {
                    // The first try makes a selected card ready, the second finds it; a halted one
                    // stays silent.
                    0 if !self.selected || self.endless && !self.halted => &self.type_a,
                    1 if self.only_424 => &vec![],
                    1 | 2 => &self.felica,
                    _ => &vec![],
                };
                if cards.is_empty() && self.endless || !self.configured {
                    return None;
                }
                self.selected |= *kind == 0 && !cards.is_empty();
                self.halted |= *kind == 0 && !cards.is_empty() && *most > 1;
                let found = cards.len().min(usize::from(*most));
                body.push(found as u8);
                for (number, card) in (1..).zip(&cards[..found]) {
                    body.push(number);
                    if *kind == 0 {
                        body.extend([0x00, 0x04, 0x08, card.len() as u8]);
                        body.extend(card);
                    } else {
                        body.extend([0x12, 0x01]);
                        body.extend(card);
                        body.extend([0; 8]);
                    }
                }
            }
            other => panic!("not a command of ours: {other:02x?}"),
        }
        Some(frame(&body))
    }
}

struct Bench {
    reader: Reader,
    part: Part,
    now: u64,
    events: List<(u64, Event)>,
}

impl Bench {
    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        Self {
            reader: Reader::new(config),
            part: Part::new(),
            now: 1_000,
            events: vec![],
        }
    }

    /// A reader that has started and said so.
    fn well() -> Self {
        let mut bench = Self::new();
        bench.run(1_000);
        assert_eq!(bench.said(), [Event::State(ReaderState::Well)]);
        bench
    }

    fn run(&mut self, ms: u64) {
        let end = self.now + ms;
        loop {
            self.part.wait(self.now);
            let due = self.part.sending.iter().map(|(at, _)| *at);
            let next = due
                .chain([self.reader.next_ms()])
                .min()
                .unwrap_or(end)
                .max(self.now + 1);
            if next > end {
                self.now = end;
                break;
            }
            self.now = next;
            let now = self.now;
            let (due, later): (List<_>, List<_>) =
                self.part.sending.drain(..).partition(|(at, _)| *at <= now);
            self.part.sending = later;
            let received: List<u8> = due.into_iter().flat_map(|(_, bytes)| bytes).collect();
            let received = self.part.arrives(received);
            let turn = self.reader.poll(now, &received);
            assert!(self.reader.next_ms() > now, "no busy loop");
            self.part.reset(turn.reset);
            self.part.hear(&turn.transmit, now);
            self.events.extend(turn.event.map(|event| (now, event)));
        }
    }

    /// What was said since the last call.
    fn said(&mut self) -> List<Event> {
        self.events.drain(..).map(|(_, event)| event).collect()
    }
}

fn card(kind: CredentialKind, uid: &[u8]) -> Event {
    Event::Card {
        kind,
        uid: Uid::new(uid).unwrap(),
    }
}

fn fault(why: ReaderProblem) -> Event {
    Event::State(ReaderState::Fault(why))
}

const WELL: Event = Event::State(ReaderState::Well);

#[test]
fn a_healthy_reader_is_reset_configured_tested_and_then_says_once_that_it_is_well() {
    let mut bench = Bench::new();
    bench.run(60_000);
    assert_eq!(bench.said(), [WELL]);
    assert_eq!(bench.part.resets, 1);
    assert_eq!(bench.part.commands[..6], [0x14, 0x02, 0x12, 0x32, 0x32, 0x04]);
    assert!(bench.part.commands.contains(&0x00), "the antenna was tested");
    assert_eq!((bench.reader.garbage(), bench.reader.restarts()), (0, 0));
}

#[test]
fn a_card_is_seen_in_good_time_whenever_it_comes() {
    for kind in [CredentialKind::TypeA, CredentialKind::Felica] {
        let mut worst = 0;
        // Over the self-check, ten seconds after the first.
        for moment in 0..400 {
            let mut bench = Bench::well();
            bench.part.takes_ms = 15;
            bench.run(8_700 + 2 * moment);
            let came = bench.now;
            match kind {
                CredentialKind::TypeA => bench.part.type_a.push(STAFF.to_vec()),
                CredentialKind::Felica => bench.part.felica.push(IDM.to_vec()),
            }
            bench.run(300);
            let (seen, event) = bench.events[0];
            assert!(matches!(event, Event::Card { .. }));
            worst = worst.max(seen - came);
        }
        assert!(worst <= SEEN_MS, "{kind:?} took {worst} ms");
    }
}

#[test]
fn while_nobody_is_there_the_part_is_left_alone_and_still_proven_to_look() {
    const SECONDS: usize = 60;
    let mut bench = Bench::well();
    bench.part.commands.clear();
    bench.run(SECONDS as u64 * 1_000);
    let commands = bench.part.commands.len();
    assert!(commands <= SECONDS * 22, "{commands} in a minute");
    // A round has its own number of tries.
    let rounds = bench.part.commands.windows(2).filter(|two| two == &[0x32, 0x32]);
    assert!(rounds.count() >= SECONDS / 3, "it is asked again and again");
    assert_eq!(bench.said(), []);
}

/// A reader of a door for these cards that has started and said so.
fn well_for(cards: CardKinds) -> Bench {
    let mut bench = Bench::with(Config {
        cards,
        ..Config::default()
    });
    bench.run(1_500);
    assert_eq!(bench.said(), [WELL]);
    bench
}

#[test]
fn at_a_door_for_one_kind_of_card_the_line_is_silent_between_two_rounds() {
    const SECONDS: usize = 60;
    for cards in [CardKinds::TypeA, CardKinds::Felica] {
        let mut bench = well_for(cards);
        bench.part.commands.clear();
        bench.run(SECONDS as u64 * 1_000);
        let commands = bench.part.commands.len();
        // Rounds and self-checks are left: a quarter of what a door for both kinds takes.
        assert!(commands <= SECONDS * 6, "{cards:?}: {commands} in a minute");
        assert_eq!(bench.said(), []);
    }
}

#[test]
fn a_door_for_one_kind_of_card_sees_that_kind_in_good_time_and_the_other_never() {
    for (cards, kind) in [
        (CardKinds::TypeA, CredentialKind::TypeA),
        (CardKinds::Felica, CredentialKind::Felica),
    ] {
        for moment in 0..200 {
            let mut bench = well_for(cards);
            bench.part.takes_ms = 15;
            bench.run(11 * moment);
            let came = bench.now;
            let (ours, others): (&[u8], _) = match kind {
                CredentialKind::TypeA => {
                    bench.part.type_a.push(STAFF.to_vec());
                    (&STAFF, &mut bench.part.felica)
                }
                CredentialKind::Felica => {
                    bench.part.felica.push(IDM.to_vec());
                    (&IDM, &mut bench.part.type_a)
                }
            };
            others.push(OTHER_IDM.to_vec());
            bench.run(3_000);
            let (seen, event) = bench.events[0];
            assert_eq!(event, card(kind, ours));
            assert!(seen - came <= SEEN_MS, "{kind:?} took {} ms", seen - came);
            assert_eq!(bench.events.len(), 1);
        }
    }
}

#[test]
fn a_silent_reader_that_is_cut_is_a_fault_after_the_next_round() {
    let mut bench = well_for(CardKinds::TypeA);
    bench.part.connected = false;
    bench.run(ROUND_EVERY_MS + 1_000);
    assert_eq!(bench.said(), [fault(ReaderProblem::Mute)]);
    bench.part.connected = true;
    bench.part.lose_power();
    bench.run(PAUSE_MAX_MS + 2_000);
    assert_eq!(bench.said(), [WELL]);
}

#[test]
fn a_card_that_the_waiting_part_does_not_see_is_found_by_the_next_round() {
    let mut bench = Bench::well();
    bench.part.only_424 = true;
    bench.run(700);
    bench.part.felica.push(IDM.to_vec());
    bench.run(ROUND_EVERY_MS + SEEN_MS);
    assert_eq!(bench.said(), [card(CredentialKind::Felica, &IDM)]);
}

#[test]
fn a_card_left_on_the_reader_for_a_minute_is_one_presentation() {
    for kind in [CredentialKind::TypeA, CredentialKind::Felica] {
        let mut bench = Bench::well();
        let uid: &[u8] = match kind {
            CredentialKind::TypeA => &STAFF,
            CredentialKind::Felica => &IDM,
        };
        match kind {
            CredentialKind::TypeA => bench.part.type_a.push(uid.to_vec()),
            CredentialKind::Felica => bench.part.felica.push(uid.to_vec()),
        }
        bench.run(60_000);
        assert_eq!(bench.said(), [card(kind, uid)]);
    }
}

#[test]
fn a_card_at_the_edge_of_the_field_is_one_presentation() {
    let mut bench = Bench::well();
    for _ in 0..50 {
        bench.part.type_a = vec![STAFF.to_vec()];
        bench.run(130);
        bench.part.type_a.clear();
        bench.run(170);
    }
    assert_eq!(bench.said(), [card(CredentialKind::TypeA, &STAFF)]);
}

#[test]
fn a_card_that_was_away_is_presented_again() {
    let mut bench = Bench::well();
    for _ in 0..3 {
        bench.part.type_a = vec![VISITOR.to_vec()];
        bench.run(400);
        bench.part.type_a.clear();
        bench.run(1_000);
    }
    assert_eq!(bench.said(), [card(CredentialKind::TypeA, &VISITOR); 3]);
}

#[test]
fn of_two_cards_in_one_hand_none_is_taken_until_both_were_away() {
    let mut bench = Bench::well();
    bench.part.type_a = vec![STAFF.to_vec(), VISITOR.to_vec()];
    bench.run(2_000);
    assert_eq!(bench.said(), [Event::SeveralCards]);
    // One of them is taken away: still nobody can say which was meant.
    bench.part.type_a.pop();
    bench.run(2_000);
    assert_eq!(bench.said(), []);
    bench.part.type_a.clear();
    bench.run(1_000);
    bench.part.type_a.push(STAFF.to_vec());
    bench.run(500);
    assert_eq!(bench.said(), [card(CredentialKind::TypeA, &STAFF)]);
}

#[test]
fn two_cards_that_answer_in_turn_do_not_open_and_refuse_in_turn() {
    let mut bench = Bench::well();
    for _ in 0..100 {
        bench.part.felica = vec![IDM.to_vec()];
        bench.run(70);
        bench.part.felica = vec![OTHER_IDM.to_vec()];
        bench.run(70);
    }
    assert_eq!(
        bench.said(),
        [card(CredentialKind::Felica, &IDM), Event::SeveralCards]
    );
}

#[test]
fn a_telephone_with_a_random_number_is_refused_once_and_its_felica_side_is_taken() {
    let mut bench = Bench::well();
    bench.part.felica.push(IDM.to_vec());
    for random in 0..20 {
        bench.part.type_a = vec![vec![0x08, random, 3, 4]];
        bench.run(100);
    }
    let said = bench.said();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said.contains(&Event::RandomUid) && said.contains(&card(CredentialKind::Felica, &IDM)));
}

#[test]
fn a_cut_reader_is_a_fault_once_and_well_once_when_it_is_back() {
    let mut bench = Bench::well();
    bench.part.connected = false;
    bench.run(2_000);
    assert_eq!(bench.said(), [fault(ReaderProblem::Mute)]);
    bench.run(600_000);
    assert_eq!(bench.said(), []);
    let resets = bench.part.resets;
    assert!(
        (60..=90).contains(&resets),
        "it is tried every eight seconds: {resets}"
    );
    bench.part.connected = true;
    bench.part.lose_power();
    bench.run(PAUSE_MAX_MS + 2_000);
    assert_eq!(bench.said(), [WELL]);
}

#[test]
fn a_reader_that_never_answers_after_start_is_a_fault_within_a_second() {
    let mut bench = Bench::new();
    bench.part.connected = false;
    bench.run(1_000);
    assert_eq!(bench.said(), [fault(ReaderProblem::Mute)]);
}

#[test]
fn a_reader_that_lost_its_power_for_a_moment_reads_cards_again_within_seconds() {
    let mut bench = Bench::well();
    bench.part.lose_power();
    // It waits for cards that it never sees, and looks like one to which nobody comes.
    bench.run(ROUND_EVERY_MS + 500);
    assert_eq!(bench.said(), [], "no fault for a blink; it is counted");
    assert_eq!(bench.reader.restarts(), 1);
    assert!(bench.part.configured);
    bench.part.type_a.push(STAFF.to_vec());
    bench.run(200);
    assert_eq!(bench.said(), [card(CredentialKind::TypeA, &STAFF)]);
}

#[test]
fn a_reader_that_refuses_to_look_is_configured_again_and_then_a_fault() {
    let mut bench = Bench::well();
    bench.part.refuses = Some(0x4a);
    bench.run(2_000);
    assert_eq!(bench.said(), [fault(ReaderProblem::Garbled)]);
    bench.part.refuses = None;
    bench.run(PAUSE_MAX_MS + 1_000);
    assert_eq!(bench.said(), [WELL]);
}

#[test]
fn a_card_held_to_the_reader_while_it_restarts_is_not_presented_again() {
    let mut bench = Bench::well();
    bench.part.type_a.push(STAFF.to_vec());
    bench.run(300);
    bench.part.connected = false;
    bench.run(5_000);
    bench.part.connected = true;
    bench.part.lose_power();
    bench.run(20_000);
    let all = [
        card(CredentialKind::TypeA, &STAFF),
        fault(ReaderProblem::Mute),
        WELL,
    ];
    assert_eq!(bench.said(), all);
}

#[test]
fn a_damaged_answer_is_asked_for_again_and_costs_no_card() {
    let mut bench = Bench::well();
    bench.part.type_a.push(STAFF.to_vec());
    bench.part.damage = 1;
    bench.run(300);
    assert_eq!(bench.said(), [card(CredentialKind::TypeA, &STAFF)]);
    assert_eq!((bench.reader.garbage(), bench.reader.restarts()), (1, 0));
}

#[test]
fn a_line_on_which_every_answer_is_damaged_is_a_fault() {
    let mut bench = Bench::well();
    bench.part.damage = u32::MAX;
    bench.run(5_000);
    assert_eq!(bench.said(), [fault(ReaderProblem::Garbled)]);
}

/// Not a damaged frame now and then, but a line on which every fiftieth byte is lost, doubled or wrong.
#[test]
fn on_a_bad_line_a_card_that_is_left_there_is_still_one_card_and_no_other() {
    for seed in 1..=20_u64 {
        let mut bench = Bench::well();
        bench.part.noise = Some(seed);
        bench.part.type_a.push(STAFF.to_vec());
        bench.run(120_000);
        let said = bench.said();
        // Refusing is safe: a damaged answer may look like two cards.
        let cards = said.iter().filter(|event| matches!(event, Event::Card { .. }));
        assert!(
            cards.eq(&[card(CredentialKind::TypeA, &STAFF)]),
            "seed {seed}: {said:?}"
        );
        assert!(said.len() <= 16, "seed {seed}: it does not chatter: {said:?}");
        assert!(bench.reader.garbage() > 10, "the line was bad");
        bench.part.noise = None;
        bench.part.type_a.clear();
        bench.run(PROOF_MAX_MS / 4);
        bench.said();
        bench.part.felica.push(IDM.to_vec());
        bench.run(200);
        assert_eq!(bench.said(), [card(CredentialKind::Felica, &IDM)], "seed {seed}");
        assert_eq!(bench.reader.said, Some(ReaderState::Well));
    }
}

#[test]
fn a_loose_plug_says_less_and_less() {
    let mut bench = Bench::well();
    for _ in 0..600 {
        bench.part.connected = false;
        bench.part.lose_power();
        bench.run(3_000);
        bench.part.connected = true;
        bench.run(12_000);
    }
    let said = bench.said().len();
    assert!((4..=8).contains(&said), "{said} events in two and a half hours");
}

#[test]
fn another_part_than_was_mounted_is_said_to_be_another_part() {
    let mut bench = Bench::new();
    bench.part.chip = 0x07;
    bench.run(2_000);
    assert_eq!(bench.said(), [fault(ReaderProblem::OtherPart)]);
}

#[test]
fn a_torn_antenna_is_a_fault_after_three_tests_and_cards_are_still_read() {
    let mut bench = Bench::well();
    bench.part.antenna = 0x80;
    bench.run(CHECK_MS + CHECK_AGAIN_MS);
    assert_eq!(bench.said(), [], "two are not enough");
    // The third; a fourth would come a second later.
    bench.run(CHECK_AGAIN_MS);
    assert_eq!(bench.said(), [fault(ReaderProblem::Radio)]);
    bench.part.felica.push(IDM.to_vec());
    bench.run(300);
    assert_eq!(bench.said(), [card(CredentialKind::Felica, &IDM)]);
    bench.part.felica.clear();
    bench.part.antenna = 0;
    bench.run(3_000);
    assert_eq!(bench.said(), [WELL]);
}

#[test]
fn one_bad_antenna_test_is_not_a_fault() {
    let mut bench = Bench::well();
    for _ in 0..10 {
        bench.part.antenna = 0x80;
        bench.run(CHECK_AGAIN_MS);
        bench.part.antenna = 0;
        bench.run(CHECK_MS + 500);
    }
    assert_eq!(bench.said(), []);
}

#[test]
fn what_is_stuck_to_the_reader_is_said_to_block_it_until_it_is_taken_away() {
    for stickers in [vec![STAFF.to_vec(), VISITOR.to_vec()], vec![STAFF.to_vec()]] {
        let mut bench = Bench::well();
        bench.part.type_a = stickers;
        bench.run(BLOCKED_MS - 1_000);
        let first = bench.said();
        assert!(
            matches!(first[..], [Event::SeveralCards | Event::Card { .. }]),
            "{first:?}"
        );
        let tests = bench.part.commands.iter().filter(|&&code| code == 0x00).count();
        bench.run(3_600_000);
        assert_eq!(bench.said(), [fault(ReaderProblem::Blocked)]);
        let after = bench.part.commands.iter().filter(|&&code| code == 0x00).count();
        assert!(after > tests + 300, "the self-check goes on: {tests} {after}");
        bench.part.type_a.clear();
        bench.run(3_000);
        assert_eq!(bench.said(), [WELL]);
        bench.part.felica.push(IDM.to_vec());
        bench.run(200);
        assert_eq!(bench.said(), [card(CredentialKind::Felica, &IDM)]);
    }
}

#[test]
fn a_blocked_reader_whose_antenna_is_torn_says_so() {
    let mut bench = Bench::well();
    bench.part.felica.push(IDM.to_vec());
    bench.run(BLOCKED_MS + 1_000);
    bench.part.antenna = 0x80;
    bench.run(CHECK_MS + 4 * CHECK_AGAIN_MS);
    bench.part.felica.clear();
    bench.run(60_000);
    let all = [
        card(CredentialKind::Felica, &IDM),
        fault(ReaderProblem::Blocked),
        fault(ReaderProblem::Radio),
    ];
    assert_eq!(bench.said(), all);
}

#[test]
fn a_hot_transmitter_is_a_fault() {
    let mut bench = Bench::well();
    bench.part.status = 0x0d;
    bench.run(CHECK_MS + 2 * CHECK_AGAIN_MS);
    assert_eq!(bench.said(), [fault(ReaderProblem::Radio)]);
}

#[test]
fn a_part_that_does_not_know_the_antenna_test_works_without() {
    let mut bench = Bench::new();
    bench.part.refuses = Some(0x00);
    bench.run(30_000);
    assert_eq!(bench.said(), [WELL]);
    assert_eq!(
        bench.part.commands.iter().filter(|&&code| code == 0x00).count(),
        1
    );
    let mut bench = Bench::with(Config {
        antenna_test: false,
        ..Config::default()
    });
    bench.run(30_000);
    assert_eq!(bench.said(), [WELL]);
    assert!(!bench.part.commands.contains(&0x00));
}

#[test]
fn noise_on_the_line_never_stops_the_reader_and_never_makes_a_card() {
    let mut seed = 7_u64;
    let mut dice = move || {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as u8
    };
    let mut reader = Reader::new(Config::default());
    let mut now = 0;
    for _ in 0..200_000 {
        now += u64::from(dice() % 8);
        let noise: List<u8> = (0..dice() % 24)
            .map(|_| match dice() % 4 {
                0 => 0,
                1 => 0xff,
                _ => dice(),
            })
            .collect();
        let turn = reader.poll(now, &noise);
        assert!(!matches!(turn.event, Some(Event::Card { .. })));
        assert!(reader.next_ms() <= now + PAUSE_MAX_MS, "it always comes back");
    }
    assert!(reader.garbage() > 1_000);
}
