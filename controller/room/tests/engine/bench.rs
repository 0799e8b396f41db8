//! A small room with a simulated clock, nodes that seal real frames, and a journal in memory.

use room::Engine;
use room::event::{Command, Effect, Event, Message, Refused, Turn};
use room::record::{Entry, Record};
use room::site::{
    Access, Channel, ContactKind, Hardware, Label, Limit, Node, Portal, Priority, Real, Side, Site,
};
use room::snapshot::AlarmState;
use room::time::{Millis, Mono, Now, Wall};
use shared::wire::{
    ClockState, DeviceKey, Direction, Down, Envelope, Header, Health, Stream, Up, UpdateRefusal, Version,
    seal_up,
};
use shared::{NoData, Quantity, Sample};
use std::collections::BTreeMap;

pub(crate) const KEY: [u8; 32] = [7; 32];
pub(crate) const NODE: u16 = 1;

pub(crate) fn site() -> Site<Real> {
    let channel = |channel, point: &str, quantity, contact| Channel {
        channel,
        point: point.to_owned(),
        label: Label::new(point, point),
        quantity,
        contact,
        mount: None,
    };
    Site {
        nodes: vec![Node {
            id: NODE,
            name: "node-1".to_owned(),
            label: Label::new("入口", "entrance"),
            key_file: "/nonexistent".into(),
            silent_after: Millis(10_000),
            channels: vec![
                channel(0, "door.1", Quantity::Contact, Some(ContactKind::Door)),
                channel(1, "leak.1", Quantity::Contact, Some(ContactKind::Leak)),
                channel(2, "inlet.temperature", Quantity::Temperature, None),
            ],
            hardware: Hardware::default(),
        }],
        devices: vec![],
        hosts: vec![],
        limits: vec![Limit {
            id: "inlet.temperature.high".to_owned(),
            point: "inlet.temperature".to_owned(),
            side: Side::High,
            limit: 30.0,
            deadband: 0.5,
            on_delay: Millis(2_000),
            off_delay: Millis(1_000),
            priority: Priority::Warning,
            action: Label::new("空調を確認", "check the air conditioner"),
        }],
        ..Site::bare()
    }
}

/// A room with a simulated clock, a node that seals real frames, and a journal in memory.
pub(crate) struct Bench {
    pub(crate) engine: Engine<Real>,
    pub(crate) journal: Vec<Entry>,
    pub(crate) mono: u64,
    pub(crate) wall: i64,
    pub(crate) event_seq: u32,
    pub(crate) telemetry_seq: u32,
    pub(crate) boot: u32,
    pub(crate) last: Turn,
    /// Effects that nobody has taken yet.
    pub(crate) sent: Vec<Effect>,
    /// The key that the node uses.
    pub(crate) key: DeviceKey,
    pub(crate) key_id: u8,
    /// How far the node's clock is from ours; `None` when it does not know the time.
    pub(crate) clock_off: Option<i64>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(site())
    }

    pub(crate) fn with(site: Site<Real>) -> Self {
        let mut bench = Self {
            engine: Engine::new(site, BTreeMap::from([(NODE, DeviceKey::new(KEY))])).expect("a good site"),
            journal: vec![],
            mono: 1_000_000,
            wall: 1_700_000_000_000,
            event_seq: 0,
            telemetry_seq: 0,
            boot: 1,
            last: Turn::default(),
            sent: vec![],
            key: DeviceKey::new(KEY),
            key_id: 0,
            clock_off: None,
        };
        let turn = bench.engine.start(bench.now(), "boot-a", "0.0.0", []);
        bench.keep(turn);
        bench
    }

    pub(crate) fn now(&self) -> Now {
        Now {
            mono: Mono(self.mono),
            wall: Wall(self.wall),
        }
    }

    pub(crate) fn keep(&mut self, turn: Turn) {
        for record in &turn.records {
            let seq = self.journal.len() as u64 + 1;
            self.journal.push(Entry {
                seq,
                now: self.now(),
                record: record.clone(),
            });
        }
        self.sent.extend(turn.effects.iter().cloned());
        self.last = turn;
    }

    pub(crate) fn event(&mut self, event: Event) {
        let turn = self.engine.handle(self.now(), event);
        self.keep(turn);
    }

    /// Time passes; every deadline on the way gets its tick.
    pub(crate) fn pass(&mut self, ms: u64) {
        let end = self.mono + ms;
        while let Some(at) = self.engine.next_deadline(self.now()).filter(|at| at.0 <= end) {
            assert!(
                at.0 >= self.mono,
                "a deadline behind us would spin the loop: {at:?} at {}",
                self.mono
            );
            self.wall += i64::try_from(at.0 - self.mono).unwrap();
            self.mono = at.0;
            let before = self.engine.next_deadline(self.now());
            self.event(Event::Tick);
            let after = self.engine.next_deadline(self.now());
            assert!(
                before != after || after.is_none_or(|at| at.0 > self.mono),
                "a tick must use up its deadline"
            );
        }
        self.wall += i64::try_from(end - self.mono).unwrap();
        self.mono = end;
    }

    pub(crate) fn frame(&mut self, stream: Stream, body: &Up) -> Vec<u8> {
        let seq = match stream {
            Stream::Event => &mut self.event_seq,
            _ => &mut self.telemetry_seq,
        };
        *seq += 1;
        let unix = self.clock_off.map_or(0, |off| self.wall + off);
        let header = Header {
            unix_ms: u64::try_from(unix).unwrap(),
            ..header(self.boot, stream, *seq, self.mono - 900_000, self.key_id)
        };
        seal_up(&self.key, &header, body).unwrap().to_vec()
    }

    /// What went to the node since the last call: what it can read with its key, in order.
    pub(crate) fn downs(&mut self) -> Vec<(Header, Down)> {
        let key = self.key.clone();
        self.sent
            .drain(..)
            .filter_map(|effect| {
                let Effect::Downlink { payload, .. } = effect else {
                    return None;
                };
                let frame = Envelope::parse(&payload).unwrap();
                let proven = frame.verify(&key, Direction::Down, Stream::Command).ok()?;
                Some((proven.header, proven.down().unwrap()))
            })
            .collect()
    }

    /// A frame of telemetry.
    pub(crate) fn telemetry(&mut self, body: &Up) {
        let frame = self.frame(Stream::Telemetry, body);
        self.message("t", frame);
    }

    /// The node as the page shows it.
    pub(crate) fn node(&self) -> room::snapshot::Node {
        self.engine.snapshot(self.now()).nodes.remove(0)
    }

    pub(crate) fn message(&mut self, leaf: &str, payload: Vec<u8>) {
        let message = Message {
            user: Some(NODE.to_string()),
            topic: format!("fac/v1/{NODE}/{leaf}"),
            payload,
            retained: false,
        };
        self.event(Event::Message(message));
    }

    pub(crate) fn node_event(&mut self, body: &Up) {
        let frame = self.frame(Stream::Event, body);
        self.message("ev", frame);
    }

    pub(crate) fn heartbeat(&mut self, last_event: u32, pending: u16) {
        let body = Up::Heartbeat {
            pending,
            last_event,
            refused: 0,
            dropped: 0,
        };
        let frame = self.frame(Stream::Telemetry, &body);
        self.message("t", frame);
    }

    pub(crate) fn sample(&mut self, channel: u8, quantity: Quantity, value: Result<i32, NoData>) {
        let frame = self.frame(
            Stream::Telemetry,
            &Up::Sample(Sample {
                channel,
                quantity,
                value,
            }),
        );
        self.message("t", frame);
    }

    pub(crate) fn state(&self, alarm: &str) -> Option<AlarmState> {
        self.engine
            .snapshot(self.now())
            .alarms
            .into_iter()
            .find(|row| row.id == alarm)
            .map(|row| row.state)
    }

    /// Records of the last turn.
    pub(crate) fn recorded(&self, wanted: impl Fn(&Record) -> bool) -> usize {
        self.last.records.iter().filter(|record| wanted(record)).count()
    }

    /// A row of the picture.
    pub(crate) fn portal(&self, name: &str) -> room::snapshot::Portal {
        let snapshot = self.engine.snapshot(self.now());
        snapshot
            .portals
            .into_iter()
            .find(|portal| portal.name == name)
            .unwrap()
    }

    /// A point of the picture: its value, or why there is none.
    pub(crate) fn point(&self, id: &str) -> Result<f64, String> {
        let snapshot = self.engine.snapshot(self.now());
        let point = snapshot.points.into_iter().find(|point| point.id == id).unwrap();
        point.value.ok_or_else(|| point.no_data.unwrap())
    }

    /// The controller is killed and comes back on the same machine with its journal.
    pub(crate) fn restart(&mut self, site: Site<Real>) {
        let keys = BTreeMap::from([(NODE, DeviceKey::new(KEY))]);
        self.engine = Engine::new(site, keys).expect("a good site");
        let text: Vec<String> = self
            .journal
            .iter()
            .map(|entry| serde_json::to_string(entry).unwrap())
            .collect();
        let entries: Vec<Entry> = text
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let turn = self.engine.start(self.now(), "boot-a", "0.0.0", entries);
        self.keep(turn);
    }

    pub(crate) fn command(&mut self, command: Command) -> Option<Refused> {
        self.event(Event::Command {
            by: "山田".to_owned(),
            command,
        });
        self.last.refused.clone()
    }

    pub(crate) fn acked(&self) -> Option<u32> {
        self.last.effects.iter().find_map(|effect| {
            let Effect::Downlink { payload, .. } = effect else {
                return None;
            };
            let frame = Envelope::parse(payload).unwrap();
            match frame
                .verify(&self.key, Direction::Down, Stream::Command)
                .unwrap()
                .down()
            {
                Ok(Down::Ack { upto }) => Some(upto),
                _ => None,
            }
        })
    }

    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.engine
            .snapshot(self.now())
            .counters
            .get(name)
            .copied()
            .unwrap_or(0)
    }
}

/// A frame of the node, made with its key.
pub(crate) fn seal(boot: u32, stream: Stream, seq: u32, up_ms: u64, body: &Up) -> Vec<u8> {
    let header = header(boot, stream, seq, up_ms, 0);
    seal_up(&DeviceKey::new(KEY), &header, body).unwrap().to_vec()
}

fn header(boot: u32, stream: Stream, seq: u32, up_ms: u64, key_id: u8) -> Header {
    Header {
        ver: 1,
        key_id,
        node: NODE,
        boot,
        stream,
        seq,
        up_ms,
        unix_ms: 0,
    }
}

/// A node that says it is well and has this list in force.
pub(crate) fn health(list: u32, list_age_h: u16) -> Up {
    Up::Health(Health {
        running: Version(1, 4, 0),
        previous: Some(Version(1, 3, 9)),
        refused: Some((Version(1, 2, 0), UpdateRefusal::Older)),
        safe_mode: false,
        crashes: 0,
        clock: ClockState::Rtc,
        list,
        list_age_h,
        connects: 2,
        taken_over: 0,
        garbled: 7,
        recoveries: 1,
        stack_free: u16::MAX,
    })
}

/// The small room, whose door has a reader.
pub(crate) fn guarded() -> Site<Real> {
    let mut site = site();
    site.access = Access {
        portals: vec![Portal {
            name: "entrance".to_owned(),
            label: Label::new("入口", "entrance"),
            node: NODE,
            portal: 0,
            reader: 0,
            door: Some("door.1".to_owned()),
            area: "room".to_owned(),
            passes: room::site::Passes::Entry,
        }],
        ..Access::default()
    };
    site
}
