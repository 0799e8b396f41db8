//! Access lists on their way to a node, over a link that loses frames, with nodes that start anew
//! and a controller that is killed.

use crate::bench::{Bench, guarded, health};
use room::record::Record;
use room::site::{Card, Real, Site};
use room::snapshot::AlarmState;
use shared::access::{Digest, ENTRY_LEN, ListHead};
use shared::wire::{Down, ListEvent, ListProblem, ResetCause, Stream, TransferKind, Up};

/// SplitMix64, so that a failing seed can be run again.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n.max(1)
    }

    fn one_in(&mut self, n: u64) -> bool {
        n > 0 && self.below(n) == 0
    }
}

fn card(number: u16) -> Card {
    let mut id = [0; 8];
    id[..2].copy_from_slice(&number.wrapping_mul(40_503).to_be_bytes());
    id[6..].copy_from_slice(&number.to_be_bytes());
    Card {
        id,
        pin_id: None,
        holder: format!("{number}"),
        portals: vec!["entrance".to_owned()],
        from: 0,
        to: 144,
        days: 0xff,
        valid_from: 0,
        valid_until: u16::MAX,
        suspended: false,
    }
}

fn with_cards(count: u16) -> Site<Real> {
    let mut site = guarded();
    site.access.cards = (0..count).map(card).collect();
    site
}

type Entries = Vec<[u8; ENTRY_LEN]>;

/// The list half of a node, with two banks.
#[derive(Default)]
struct Holder {
    in_force: Option<(ListHead, Entries)>,
    under_way: Option<(ListHead, Entries)>,
    /// Frames that it was sent.
    frames: u32,
    confirmed: u32,
}

impl Holder {
    fn version(&self) -> u32 {
        self.in_force.as_ref().map_or(0, |(head, _)| head.version)
    }

    fn progress(&self) -> Up {
        let (version, have) = self
            .under_way
            .as_ref()
            .map_or((0, 0), |(head, entries)| (head.version, entries.len() as u32));
        Up::Transfer {
            what: TransferKind::List,
            version,
            have,
        }
    }

    /// Obeys a frame; an event when something came out.
    fn obeys(&mut self, body: Down) -> Option<ListEvent> {
        self.frames += 1;
        match body {
            Down::ListBegin(head) => self.under_way = Some((head, Vec::new())),
            Down::ListEntries { version, at, entries } => {
                if let Some((head, known)) = &mut self.under_way
                    && head.version == version
                    && usize::from(at) <= known.len()
                {
                    let skip = known.len() - usize::from(at);
                    known.extend(entries.iter().skip(skip));
                }
            }
            Down::ListCommit { version, digest } => {
                let (head, entries) = self.under_way.take_if(|(head, _)| head.version == version)?;
                let mut ours = Digest::new(&head);
                entries.iter().for_each(|entry| ours.push(entry));
                let why = if entries.len() != usize::from(head.count) {
                    Some(ListProblem::Incomplete)
                } else if entries.windows(2).any(|pair| pair[0][..8] >= pair[1][..8]) {
                    Some(ListProblem::Malformed)
                } else if ours.finish() != digest {
                    Some(ListProblem::Digest)
                } else {
                    None
                };
                if let Some(why) = why {
                    return Some(ListEvent::Dropped { version, why });
                }
                let count = head.count;
                self.in_force = Some((head, entries));
                return Some(ListEvent::Committed { version, count });
            }
            Down::ListConfirm { version } if version == self.version() => self.confirmed += 1,
            _ => self.frames -= 1,
        }
        None
    }
}

/// How bad the link is: one in so many, 0 for never.
#[derive(Debug, Clone, Copy, Default)]
struct Link {
    down: u64,
    up: u64,
    reboot: u64,
    killed: u64,
}

/// A room, a node that holds lists, and a link between them.
struct Way {
    room: Bench,
    node: Holder,
    random: Random,
    link: Link,
    /// Events the node holds until they are acknowledged.
    ring: Vec<(u32, Vec<u8>)>,
}

impl Way {
    fn new(site: Site<Real>, seed: u64, link: Link) -> Self {
        Self {
            room: Bench::with(site),
            node: Holder::default(),
            random: Random(seed),
            link,
            ring: Vec::new(),
        }
    }

    fn event(&mut self, body: &Up) {
        let frame = self.room.frame(Stream::Event, body);
        self.ring.push((self.room.event_seq, frame));
    }

    /// Telemetry, which may be lost.
    fn tells(&mut self, body: &Up) {
        if self.random.one_in(self.link.up) {
            self.room.telemetry_seq += 1;
        } else {
            self.room.telemetry(body);
        }
    }

    /// A second of the room; the node obeys what reaches it.
    fn second(&mut self, site: &Site<Real>, second: u64) {
        self.room.pass(1_000);
        if self.random.one_in(self.link.reboot) {
            self.node.under_way = None;
            self.room.boot += 1;
            self.room.telemetry_seq = 0;
            self.event(&Up::Hello {
                firmware: (1, 0, 0),
                cause: ResetCause::Watchdog,
                channels: 3,
            });
            self.tells(&health(self.node.version(), 0));
        }
        if self.random.one_in(self.link.killed) {
            self.room.restart(site.clone());
        }
        if second.is_multiple_of(60) {
            self.tells(&health(self.node.version(), 0));
        } else if second.is_multiple_of(5) {
            let body = Up::Heartbeat {
                pending: self.ring.len() as u16,
                last_event: self.room.event_seq,
                refused: 0,
                dropped: 0,
            };
            self.tells(&body);
        }
        if second.is_multiple_of(10) {
            for (_, frame) in self.ring.clone() {
                self.room.message("ev", frame);
            }
        }
        // Whatever is answered may be answered again, within the same second.
        for _ in 0..100 {
            let downs = self.room.downs();
            if downs.is_empty() {
                return;
            }
            for (header, body) in downs {
                if header.boot != self.room.boot || self.random.one_in(self.link.down) {
                    continue;
                }
                if let Down::Ack { upto } = body {
                    self.ring.retain(|(seq, _)| *seq > upto);
                    continue;
                }
                let is_list = matches!(
                    body,
                    Down::ListBegin(_) | Down::ListEntries { .. } | Down::ListCommit { .. }
                );
                if let Some(event) = self.node.obeys(body) {
                    self.event(&Up::List(event));
                    if let Some((_, frame)) = self.ring.last().cloned() {
                        self.room.message("ev", frame);
                    }
                }
                if is_list {
                    let progress = self.node.progress();
                    self.tells(&progress);
                }
            }
        }
        panic!("the conversation does not end");
    }

    /// Seconds until the node has the list of the site and the room knows it.
    fn settle(&mut self, site: &Site<Real>, most: u64) -> Option<u64> {
        (0..most).find(|second| {
            self.second(site, *second);
            self.room.node().list.unwrap().state == "there"
        })
    }
}

#[test]
fn five_hundred_cards_are_at_the_door_within_seconds_of_the_first_word_of_the_node() {
    let site = with_cards(500);
    let mut way = Way::new(site.clone(), 1, Link::default());
    assert_eq!(way.room.node().list.unwrap().state, "unknown");
    let seconds = way.settle(&site, 60).expect("within a minute");
    assert!(seconds < 5, "{seconds} s");
    assert_eq!(way.node.frames, 34, "a head, 32 parts, an end");
    assert_eq!(way.node.in_force.as_ref().unwrap().1.len(), 500);
    assert_eq!(way.node.version(), 1);
    for record in ["access_list", "list_sent", "node_event"] {
        let found = way
            .room
            .journal
            .iter()
            .filter(|entry| {
                serde_json::to_string(entry)
                    .unwrap()
                    .contains(&format!("\"kind\":\"{record}\""))
            })
            .count();
        assert!(found >= 1, "{record}");
    }
    assert_eq!(way.room.state("node-1.list"), None);
}

#[test]
fn whatever_is_lost_or_started_anew_on_the_way_the_right_list_arrives_whole() {
    for seed in 0..400 {
        let mut random = Random(seed);
        let link = Link {
            down: [0, 3, 10, 50][random.below(4) as usize],
            up: [0, 3, 10, 50][random.below(4) as usize],
            reboot: [0, 100, 300][random.below(3) as usize],
            killed: [0, 60, 200][random.below(3) as usize],
        };
        let cards = [0, 1, 16, 17, 200, 500][random.below(6) as usize];
        let site = with_cards(cards);
        let mut way = Way::new(site.clone(), seed, link);
        let settled = way.settle(&site, 14_400);
        assert!(
            settled.is_some(),
            "seed {seed}: {cards} cards, {link:?}: not within four hours"
        );
        let (head, entries) = way.node.in_force.as_ref().unwrap();
        assert_eq!(
            (entries.len(), head.count),
            (usize::from(cards), cards),
            "seed {seed}"
        );
        assert_eq!(way.room.node().list.unwrap().version, head.version, "seed {seed}");
        assert!(way.node.frames < 3_000, "seed {seed}: {} frames", way.node.frames);
    }
}

#[test]
fn a_changed_card_is_a_new_version_and_an_unchanged_site_is_the_old_one() {
    let site = with_cards(20);
    let mut way = Way::new(site.clone(), 2, Link::default());
    way.settle(&site, 60).unwrap();
    way.room.restart(site.clone());
    assert_eq!(
        way.room
            .recorded(|record| matches!(record, Record::AccessList { .. })),
        0
    );
    let frames = way.node.frames;
    way.settle(&site, 120).unwrap();
    assert_eq!(way.node.frames, frames + 1, "it is only confirmed");

    let mut changed = site;
    changed.access.cards[3].suspended = true;
    way.room.restart(changed.clone());
    assert_eq!(way.room.node().list.unwrap().version, 2);
    way.settle(&changed, 120).unwrap();
    assert_eq!(way.node.version(), 2);
}

#[test]
fn a_portal_that_is_taken_out_of_the_site_gets_an_empty_list_and_opens_for_nobody() {
    let site = with_cards(20);
    let mut way = Way::new(site.clone(), 3, Link::default());
    way.settle(&site, 60).unwrap();
    let mut without = site;
    without.access = room::site::Access::default();
    way.room.restart(without.clone());
    way.settle(&without, 120).unwrap();
    assert_eq!(way.node.in_force.as_ref().unwrap().1.len(), 0);
}

#[test]
fn a_list_from_elsewhere_never_counts_as_ours_whatever_its_version() {
    // The journal is new; the node has a list of another one, with a number that we use, too.
    for foreign in [1, 2, 77] {
        let site = with_cards(20);
        let mut way = Way::new(site.clone(), 4, Link::default());
        let mut head = ListHead {
            version: foreign,
            count: 0,
            utc_offset_min: 540,
            unset_clock: shared::access::UnsetClock::AllowAndFlag,
            stale_after_days: 0,
            holidays: Default::default(),
        };
        head.count = 0;
        way.node.in_force = Some((head, Vec::new()));
        way.settle(&site, 120).unwrap();
        assert_eq!(way.node.version(), foreign + 1);
        assert_eq!(way.node.in_force.as_ref().unwrap().1.len(), 20);
    }
}

#[test]
fn a_list_that_rotted_in_the_node_is_sent_again() {
    let site = with_cards(20);
    let mut way = Way::new(site.clone(), 5, Link::default());
    way.settle(&site, 60).unwrap();
    way.node.in_force = None;
    way.event(&Up::List(ListEvent::Dropped {
        version: 1,
        why: ListProblem::Digest,
    }));
    let frame = way.ring.last().unwrap().1.clone();
    way.room.message("ev", frame);
    assert_ne!(way.room.node().list.unwrap().state, "there");
    way.settle(&site, 120).unwrap();
    assert_eq!(way.node.version(), 1);
}

#[test]
fn a_node_that_does_not_take_its_list_is_an_alarm_after_ten_minutes_with_the_reason() {
    let mut room = Bench::with(with_cards(20));
    for second in 0..599 {
        if second % 5 == 0 {
            room.telemetry(&health(0, u16::MAX));
        }
        if second == 30 {
            room.node_event(&Up::List(ListEvent::Dropped {
                version: 1,
                why: ListProblem::Memory,
            }));
        }
        room.pass(1_000);
    }
    assert_eq!(room.state("node-1.list"), None);
    room.telemetry(&health(0, u16::MAX));
    room.pass(2_000);
    assert_eq!(room.state("node-1.list"), Some(AlarmState::Unacknowledged));
    let alarms = room.engine.snapshot(room.now()).alarms;
    let because = &alarms
        .iter()
        .find(|alarm| alarm.id == "node-1.list")
        .unwrap()
        .because;
    assert!(because.en.contains("Memory"), "{}", because.en);
    // Meanwhile it was not flooded.
    assert!(room.counter("list_frames_sent") < 60);
}

#[test]
fn more_cards_than_a_node_holds_are_an_alarm_and_the_old_list_stays() {
    let site = with_cards(20);
    let mut way = Way::new(site.clone(), 6, Link::default());
    way.settle(&site, 60).unwrap();
    let full = with_cards(501);
    way.room.restart(full.clone());
    for second in 0..700 {
        way.second(&full, second);
    }
    assert_eq!(way.room.state("node-1.list"), Some(AlarmState::Unacknowledged));
    assert_eq!(way.room.node().list.unwrap().state, "too_many");
    assert_eq!(way.node.in_force.as_ref().unwrap().1.len(), 20);
}

#[test]
fn a_list_in_force_is_confirmed_twice_a_day_and_hourly_while_the_node_does_not_hear_it() {
    let site = with_cards(1);
    let mut way = Way::new(site.clone(), 7, Link::default());
    way.settle(&site, 60).unwrap();
    let confirmed = |way: &mut Way, hours: u64, age_h: u16| {
        let mut count = 0;
        for _ in 0..hours {
            way.room.pass(3_600_000);
            way.room.telemetry(&health(1, age_h));
            count += way
                .room
                .downs()
                .iter()
                .filter(|(_, body)| matches!(body, Down::ListConfirm { version: 1 }))
                .count();
        }
        count
    };
    assert_eq!(confirmed(&mut way, 48, 1), 4);
    assert_eq!(confirmed(&mut way, 10, 14), 10);
}

#[test]
fn a_list_that_is_not_confirmed_for_long_is_an_alarm_until_it_is() {
    let site = with_cards(1);
    let mut way = Way::new(site.clone(), 8, Link::default());
    way.settle(&site, 60).unwrap();
    let stale = Up::List(ListEvent::Stale { version: 1, days: 14 });
    way.room.node_event(&stale);
    assert_eq!(
        way.room.state("node-1.list_stale"),
        Some(AlarmState::Unacknowledged)
    );
    way.room.telemetry(&health(1, 14 * 24));
    assert_eq!(
        way.room.state("node-1.list_stale"),
        Some(AlarmState::Unacknowledged)
    );
    way.room.telemetry(&health(1, 0));
    assert_eq!(
        way.room.state("node-1.list_stale"),
        Some(AlarmState::ReturnedUnacknowledged)
    );
}

#[test]
fn a_node_without_a_portal_is_given_no_list() {
    let mut room = Bench::new();
    room.telemetry(&health(0, u16::MAX));
    room.pass(60_000);
    assert_eq!(room.counter("list_frames_sent"), 0);
    assert!(room.node().list.is_none());
}
