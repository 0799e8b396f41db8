//! A node with the end of the line that the controller holds.

use super::*;
use crate::HEALTH_MS;
use crate::identity::provision;
use crate::layout::{BANK_AT, BLOCK_AT, HEADER_AT, RING_AT};
use crate::memory::fake::{Chip, Random};
use crate::safe::{CRASHES_TO_SAFE, HEALTHY_MS, SAFE_MS};
use crate::update::NoSlots;
use shared::access::{Digest, Entry, ListHead, UnsetClock};
use shared::board::Board;
use shared::mount::{Mount, Part};
use shared::wire::{
    ClockState, CrashKind, DeviceKey, Direction, Down, Entries, Envelope, KeyEvent, ListProblem,
    TransferKind, Version, seal_down,
};
use shared::{Quantity, Sample};
use std::vec::Vec;

mod keys;
mod life;
mod lists;
mod portal;

const UNIX_MS: u64 = 1_795_000_000_000;
const VERSION_OF_OURS: Version = Version(0, 2, 0);

/// A node with the controller's end of the line.
struct Rig {
    chip: Chip,
    node: Node<Chip, NoSlots>,
    counter: u32,
    now_ms: u64,
    key: (u8, DeviceKey),
    unix_ms: u64,
}

fn ours() -> Provision {
    Provision::new(7, 1, [5; 32], [127, 0, 0, 1], 1883).with_mounts(&[
        Mount::new(Part::Contact, 0, 0),
        Mount::new(Part::Contact, 1, 0),
        Mount::new(Part::Tmp105, 0x48, 0),
        Mount::new(Part::LeakRope, 0x4e, 0),
    ])
}

const POWER_ON: Boot = Boot {
    cause: ResetCause::PowerOn,
    crash: None,
    rtc_unix_ms: None,
};

fn boot(chip: &Chip, boot: Boot) -> Node<Chip, NoSlots> {
    let about = Firmware {
        board: Board::Lm3s6965,
        version: VERSION_OF_OURS,
        key: None,
    };
    let provision = provision(&mut chip.clone()).unwrap().unwrap();
    Node::start(chip.clone(), NoSlots, &provision, about, boot, 0).unwrap()
}

fn because(cause: ResetCause) -> Boot {
    Boot { cause, ..POWER_ON }
}

impl Rig {
    fn new() -> Self {
        let mut chip = Chip::blank();
        chip.write(BLOCK_AT[0], &ours().encode()).unwrap();
        Self::on(chip, POWER_ON)
    }

    fn on(chip: Chip, start: Boot) -> Self {
        Self {
            node: boot(&chip, start),
            chip,
            counter: 0,
            now_ms: 0,
            key: (1, ours().device_key()),
            unix_ms: UNIX_MS,
        }
    }

    fn restart(&mut self, start: Boot) {
        self.node = boot(&self.chip, start);
        self.counter = 0;
        self.now_ms = 0;
    }

    /// Lets time pass and what is due be done.
    fn run(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        for _ in 0..100_000 {
            self.node.tick(self.now_ms);
            let next = self.node.next_deadline().max(self.now_ms + 1);
            if next > end {
                self.now_ms = end;
                return;
            }
            self.now_ms = next;
            // A board that is connected sends what is due; otherwise it would stay due.
            self.telemetry();
        }
        panic!("the node never rests");
    }

    fn open(&self, frame: &[u8], stream: Stream) -> (Header, Up) {
        let envelope = Envelope::parse(frame).unwrap();
        assert_eq!(envelope.header.key_id, self.key.0);
        let authentic = envelope.verify(&self.key.1, Direction::Up, stream).unwrap();
        (authentic.header, authentic.up().unwrap())
    }

    fn events(&mut self) -> Vec<(Header, Up)> {
        let frames: Vec<_> = core::iter::from_fn(|| self.node.event_to_send(self.now_ms)).collect();
        frames
            .iter()
            .map(|frame| self.open(frame, Stream::Event))
            .collect()
    }

    fn bodies(&mut self) -> Vec<Up> {
        self.events().into_iter().map(|(_, body)| body).collect()
    }

    fn telemetry(&mut self) -> Vec<Up> {
        let frames: Vec<_> = core::iter::from_fn(|| self.node.telemetry_to_send(self.now_ms)).collect();
        frames
            .iter()
            .map(|frame| self.open(frame, Stream::Telemetry).1)
            .collect()
    }

    fn health(&mut self) -> shared::wire::Health {
        self.down(&Down::Report);
        let said = self.telemetry();
        let health = said.iter().find_map(|body| match body {
            Up::Health(health) => Some(*health),
            _ => None,
        });
        health.unwrap()
    }

    fn header(&mut self) -> Header {
        self.counter += 1;
        Header {
            ver: VERSION,
            key_id: self.key.0,
            node: 7,
            boot: self.node.boot(),
            stream: Stream::Command,
            seq: self.counter,
            up_ms: 0,
            unix_ms: self.unix_ms,
        }
    }

    fn down(&mut self, body: &Down) {
        let header = self.header();
        let frame = seal_down(&self.key.1, &header, body).unwrap();
        self.node.downward(&frame, self.now_ms);
    }

    fn acknowledge(&mut self) {
        if let Some((header, _)) = self.events().last() {
            self.down(&Down::Ack { upto: header.seq });
            self.node.outbox.forget(&mut self.chip, self.now_ms);
        }
    }

    fn door(&mut self, open: bool) {
        self.node.contact(0, open, self.now_ms);
        self.now_ms += 5;
        self.node.contact(0, open, self.now_ms);
    }
}

fn hello(cause: ResetCause) -> Up {
    Up::Hello {
        firmware: (0, 2, 0),
        cause,
        channels: 4,
    }
}

const DOOR_OPEN: Up = Up::Contact {
    channel: 0,
    open: true,
};

#[test]
fn the_first_event_of_a_boot_is_hello() {
    let mut rig = Rig::new();
    rig.door(true);
    assert_eq!(rig.bodies(), [hello(ResetCause::PowerOn), DOOR_OPEN]);
}

#[test]
fn sequence_goes_on_over_restarts_and_the_boot_is_counted() {
    let mut rig = Rig::new();
    rig.door(true);
    rig.restart(because(ResetCause::Watchdog));
    let seen: Vec<_> = rig
        .events()
        .iter()
        .map(|(h, body)| (h.boot, h.seq, *body))
        .collect();
    let second_boot = (2, 3, hello(ResetCause::Watchdog));
    assert_eq!(
        seen,
        [(1, 1, hello(ResetCause::PowerOn)), (1, 2, DOOR_OPEN), second_boot]
    );
}

#[test]
fn only_the_controllers_acknowledgement_frees_an_event() {
    let mut rig = Rig::new();
    assert_eq!(rig.bodies().len(), 1);
    rig.node.connected(0);
    assert_eq!(rig.bodies().len(), 1, "sent again on every connection");
    rig.down(&Down::Ack { upto: 1 });
    rig.node.connected(0);
    assert_eq!((rig.bodies(), rig.node.pending()), (vec![], 0));
}

#[test]
fn on_connection_every_channel_says_where_it_is() {
    let mut rig = Rig::new();
    rig.node.reading(2, Ok(23_500), 0);
    rig.node.line(3, Ok(LineState::Normal), 0);
    rig.node.connected(0);
    let sample = |channel, quantity, value| {
        Up::Sample(Sample {
            channel,
            quantity,
            value,
        })
    };
    let everything = [
        sample(0, Quantity::Contact, Ok(0)),
        sample(1, Quantity::Contact, Ok(0)),
        sample(2, Quantity::Temperature, Ok(23_500)),
        sample(3, Quantity::Contact, Ok(0)),
        Up::Heartbeat {
            pending: 1,
            last_event: 1,
            refused: 0,
            dropped: 0,
        },
    ];
    let mut said = rig.telemetry();
    assert!(matches!(said.pop(), Some(Up::Health(health)) if health.connects == 1));
    assert_eq!(said, everything);
    assert_eq!(rig.telemetry(), []);
    rig.down(&Down::Report);
    assert_eq!(rig.telemetry()[..5], everything);
}

#[test]
fn a_sensor_never_read_is_no_data_and_not_zero() {
    let mut rig = Rig::new();
    rig.node.connected(0);
    for sample in &rig.telemetry()[2..4] {
        assert!(matches!(
            sample,
            Up::Sample(Sample {
                value: Err(NoData::NeverHeard),
                ..
            })
        ));
    }
}

#[test]
fn time_stands_in_the_header_once_it_is_known() {
    let mut rig = Rig::new();
    assert_eq!(rig.events()[0].0.unix_ms, 0);
    rig.now_ms = 10_000;
    rig.down(&Down::SetTime);
    rig.now_ms = 12_000;
    rig.door(true);
    let header = rig.events().last().unwrap().0;
    assert_eq!((header.up_ms, header.unix_ms), (12_005, UNIX_MS + 2_005));
}

#[test]
fn the_clock_chip_counts_until_the_controller_sets_it() {
    let start = Boot {
        rtc_unix_ms: Some(UNIX_MS - 5_000),
        ..POWER_ON
    };
    let mut rig = Rig::on(Rig::new().chip, start);
    assert_eq!(rig.events()[1].0.unix_ms, UNIX_MS - 5_000);
    assert_eq!(rig.health().clock, ClockState::Rtc);
    assert_eq!(rig.node.take_order(0), None);
    rig.down(&Down::SetTime);
    assert_eq!(rig.health().clock, ClockState::Controller);
    assert_eq!(rig.node.take_order(0), Some(Order::SetRtc(UNIX_MS)));
    assert_eq!(rig.node.take_order(0), None);
}

#[test]
fn refused_frames_are_counted_and_reported_not_more_often_than_every_ten_seconds() {
    let mut rig = Rig::new();
    rig.bodies();
    for (now_ms, kind) in [(0, 0), (1, 0), (50, 1), (9_999, 2)] {
        rig.now_ms = now_ms;
        match kind {
            0 => rig.node.downward(b"forged", now_ms),
            1 => {
                rig.down(&Down::Report);
                rig.counter -= 1;
                rig.down(&Down::Report);
            }
            _ => {
                let other_boot = Header {
                    boot: 99,
                    ..rig.header()
                };
                let frame = seal_down(&rig.key.1, &other_boot, &Down::Report).unwrap();
                rig.node.downward(&frame, now_ms);
            }
        }
    }
    let first = Up::Refused {
        total: 1,
        why: Refusal::Forged,
    };
    assert_eq!(rig.bodies(), [first]);
    rig.down(&Down::Ack { upto: 2 });
    assert_eq!(rig.node.next_deadline(), 50, "the heartbeat asked for by Report");
    rig.now_ms = REFUSED_EVERY_MS;
    rig.node.tick(rig.now_ms);
    let second = Up::Refused {
        total: 4,
        why: Refusal::Misdirected,
    };
    assert_eq!(rig.bodies(), [second]);
}

#[test]
fn a_year_of_forged_frames_does_not_wear_out_the_memory() {
    let mut rig = Rig::new();
    let forged = |rig: &mut Rig, now_ms| {
        let before = rig.node.outbox.last();
        rig.now_ms = now_ms;
        rig.node.downward(b"forged", now_ms);
        rig.node.tick(now_ms);
        rig.node.outbox.last() - before
    };
    let day = 86_400_000;
    let told: u32 = (0..day)
        .step_by(1_000)
        .map(|now_ms| forged(&mut rig, now_ms))
        .sum();
    assert!((24..40).contains(&told), "{told} events in a day");
    // After quiet hours the first one is told at once again, and the next ten seconds later.
    rig.node.tick(day + REFUSED_AT_MOST_MS);
    let later = day + 3 * REFUSED_AT_MOST_MS;
    let told = [later, later + 1, later + REFUSED_EVERY_MS].map(|now_ms| forged(&mut rig, now_ms));
    assert_eq!(told, [1, 0, 1]);
}

/// A chip of which the part with the access lists does not answer.
struct WithoutLists(Chip);

impl Memory for WithoutLists {
    fn read(&mut self, at: u16, into: &mut [u8]) -> Result<(), MemoryFault> {
        if (BANK_AT[0]..RING_AT).contains(&at) {
            return Err(MemoryFault);
        }
        self.0.read(at, into)
    }

    fn write(&mut self, at: u16, bytes: &[u8]) -> Result<(), MemoryFault> {
        self.0.write(at, bytes)
    }
}

#[test]
fn attempts_to_start_are_one_boot_and_one_crash() {
    let chip = Rig::new().chip;
    let before = chip.written();
    let about = Firmware {
        board: Board::Lm3s6965,
        version: VERSION_OF_OURS,
        key: None,
    };
    let bite = because(ResetCause::Watchdog);
    for _ in 0..10 {
        let memory = WithoutLists(chip.clone());
        assert!(Node::start(memory, NoSlots, &ours(), about, bite, 0).is_err());
    }
    assert_eq!(chip.written(), before);
    let node = boot(&chip, bite);
    assert_eq!((node.boot(), node.safe_mode()), (2, false));
}

#[test]
fn refused_frames_change_nothing() {
    let mut rig = Rig::new();
    rig.events();
    for body in [Down::Ack { upto: 1 }, Down::Erase, Down::Restart] {
        let frame = seal_down(&DeviceKey::new([6; 32]), &rig.header(), &body).unwrap();
        rig.node.downward(&frame, 0);
    }
    assert!(rig.node.pending() >= 1);
    rig.now_ms = 60_000;
    rig.node.tick(rig.now_ms);
    assert_eq!(rig.node.take_order(rig.now_ms), None);
    rig.node.connected(0);
    assert_eq!(rig.bodies()[0], hello(ResetCause::PowerOn));
}

#[test]
fn a_frozen_memory_does_not_silence_the_door() {
    let mut rig = Rig::new();
    rig.bodies();
    rig.chip.freeze(true);
    rig.door(true);
    assert_eq!(rig.bodies(), [DOOR_OPEN]);
}

#[test]
fn unknown_channels_and_wrong_kinds_are_ignored() {
    let mut rig = Rig::new();
    rig.bodies();
    assert_eq!(rig.node.contact(2, true, 0), None);
    assert_eq!(rig.node.contact(99, true, 0), None);
    rig.node.reading(0, Ok(1), 0);
    rig.node.reading(99, Ok(1), 0);
    rig.node.line(0, Ok(LineState::Cut), 0);
    assert_eq!(rig.bodies(), []);
}

#[test]
fn a_node_that_cannot_count_its_boot_does_not_start() {
    let chip = Chip::blank();
    chip.freeze(true);
    let about = Firmware {
        board: Board::Lm3s6965,
        version: VERSION_OF_OURS,
        key: None,
    };
    assert!(Node::start(chip, NoSlots, &ours(), about, POWER_ON, 0).is_err());
}

#[test]
fn health_is_said_every_minute_with_what_the_board_counts() {
    let mut rig = Rig::new();
    rig.node.connected(0);
    rig.telemetry();
    let counts = Counts {
        garbled: 3,
        recoveries: 2,
        stack_free: Some(1_234),
    };
    rig.node.count(counts);
    rig.node.taken_over();
    let mut said = 0;
    for now_ms in (1_000..=600_000).step_by(1_000) {
        rig.now_ms = now_ms;
        for body in rig.telemetry() {
            if let Up::Health(health) = body {
                said += 1;
                assert_eq!(
                    (health.garbled, health.recoveries, health.stack_free),
                    (3, 2, 1_234)
                );
                assert_eq!((health.running, health.taken_over), (VERSION_OF_OURS, 1));
            }
        }
    }
    assert_eq!(said, 600_000 / HEALTH_MS);
}

#[test]
fn an_earthquake_without_a_connection_is_told_when_there_is_one() {
    let mut chip = Chip::blank();
    let shaken = Mount {
        param: 250,
        ..Mount::new(Part::Lis3dh, 0x18, 0)
    };
    let provision = Provision::new(7, 1, [5; 32], [127, 0, 0, 1], 1883);
    chip.write(BLOCK_AT[0], &provision.with_mounts(&[shaken]).encode())
        .unwrap();
    let mut rig = Rig::on(chip, POWER_ON);
    for (now_ms, peak) in (0..).step_by(1_000).zip([20, 2_500, 20]) {
        rig.node.reading(0, Ok(peak), now_ms);
    }
    let shock = Up::Shock {
        channel: 0,
        peak: 2_500,
    };
    assert_eq!(rig.bodies()[1..], [shock]);
}

/// The size of a node is RAM of the smallest board.
#[test]
fn a_node_is_small() {
    let size = size_of::<Node<(), NoSlots>>();
    println!(
        "a node has {size} bytes: channel {}, outbox {}, list {}, update {}, keys {}, sensor {}, contact {}",
        size_of::<Channel>(),
        size_of::<Outbox>(),
        size_of::<List>(),
        size_of::<Update<NoSlots>>(),
        size_of::<Keys>(),
        size_of::<crate::sensor::Sensor>(),
        size_of::<crate::contact::Contact>(),
    );
    assert!(size <= 6 * 1024, "{size} bytes");
}

/// A day without a controller that listens, with contacts that move, a sensor that comes and goes and
/// a memory that freezes: the heart beats every five seconds, and the node rests in between.
#[test]
fn for_a_whole_day_no_heartbeat_is_missed() {
    let mut rig = Rig::new();
    rig.node.connected(0);
    let mut random = Random(24);
    let (mut last_ms, mut wakes) = (0, 0_u32);
    while rig.now_ms < 24 * 3_600_000 {
        rig.chip.freeze(random.below(50) == 0);
        let contact = random.below(2) as usize;
        let again = rig.node.contact(contact, random.below(20) == 0, rig.now_ms);
        rig.node.reading(
            2,
            if random.below(9) == 0 {
                Err(NoData::Absent)
            } else {
                Ok(21_000)
            },
            rig.now_ms,
        );
        rig.node.tick(rig.now_ms);
        if random.below(40) == 0 {
            rig.events();
        }
        if rig
            .telemetry()
            .iter()
            .any(|body| matches!(body, Up::Heartbeat { .. }))
        {
            assert!(
                rig.now_ms - last_ms <= crate::REPORT_MS + 500,
                "silent since {last_ms}"
            );
            last_ms = rig.now_ms;
        }
        let next = rig.node.next_deadline().min(again.unwrap_or(u64::MAX));
        rig.now_ms = next.clamp(rig.now_ms + 1, rig.now_ms + 500);
        wakes += 1;
    }
    assert!(wakes < 3 * 24 * 3_600, "{wakes} wakes");
    assert!(
        rig.node.outbox.lost_total() > 0,
        "the day was long enough to fill the ring"
    );
}

#[test]
fn without_a_connection_a_quiet_node_has_nothing_to_do() {
    let mut rig = Rig::new();
    rig.events();
    for now_ms in (0..600_000).step_by(500) {
        rig.now_ms = now_ms;
        rig.node.tick(now_ms);
        assert_eq!(rig.node.next_tick(), u64::MAX, "at {now_ms}");
    }
}
