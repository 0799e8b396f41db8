//! The node: what happens becomes events and telemetry, and what comes down is obeyed or refused.
//!
//! The board feeds levels, readings and downward frames and asks what to send next. Nothing here
//! waits, and nothing depends on whether a controller is there.

use crate::contact::Contact;
use crate::guard::Guard;
use crate::memory::{EventFrame, Memory, MemoryFault};
use crate::outbox::{Outbox, Seal, Waiting};
use crate::sensor::Sensor;
use crate::{REFUSED_EVERY_MS, REPORT_MS};
use heapless::Vec;
use shared::limit::{MAX_CHANNELS, MAX_FRAME};
use shared::provision::Provision;
use shared::wire::{DeviceKey, Down, Header, Refusal, ResetCause, Stream, Up, VERSION, seal_up};
use shared::{NoData, Quantity, Sample};

/// A frame ready to be published.
pub type Frame = Vec<u8, MAX_FRAME>;

/// What is mounted at a channel; the position in the board's table is the channel number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mount {
    /// A normally-closed contact.
    Contact,
    /// A sensor of this quantity.
    Sensor(Quantity),
}

#[derive(Debug)]
enum Channel {
    Contact(Contact),
    Sensor(Sensor),
}

/// Who we are and when it is: all a header needs but stream and sequence.
struct Sealer<'a> {
    key: &'a DeviceKey,
    template: Header,
    body: Up,
}

impl Sealer<'_> {
    fn seal(&self, seq: u32, body: &Up) -> EventFrame {
        let header = Header {
            stream: Stream::Event,
            seq,
            ..self.template
        };
        // `shared` proves that every event body fits, with every header.
        let frame = seal_up(self.key, &header, body).unwrap_or_default();
        EventFrame::from_slice(&frame).unwrap_or_default()
    }
}

impl Seal for Sealer<'_> {
    fn event(&self, seq: u32) -> EventFrame {
        self.seal(seq, &self.body)
    }

    fn lost(&self, seq: u32, count: u32) -> EventFrame {
        self.seal(seq, &Up::Lost { count })
    }
}

/// Refused downward frames.
#[derive(Debug, Default)]
struct Refusals {
    total: u32,
    unreported: Option<Refusal>,
    report_from_ms: u64,
}

/// A sensor node.
#[derive(Debug)]
pub struct Node<'a, M> {
    id: u16,
    key_id: u8,
    key: DeviceKey,
    channels: Vec<Channel, MAX_CHANNELS>,
    outbox: Outbox<'a, M>,
    guard: Guard,
    refusals: Refusals,
    /// Milliseconds between 1970 and our boot; `None` until the controller told us the time.
    booted_unix_ms: Option<u64>,
    telemetry_seq: u32,
    heartbeat_at_ms: u64,
}

impl<'a, M: Memory> Node<'a, M> {
    /// Opens the memory, counts the boot and makes the first event of it.
    ///
    /// # Errors
    /// [`MemoryFault`] when the boot cannot be counted; nothing may be sent then. The room comes
    /// back for another attempt.
    pub fn start(
        memory: M,
        waiting: &'a mut Waiting,
        provision: &Provision,
        mounts: &[Mount],
        firmware: (u8, u8, u8),
        cause: ResetCause,
        now_ms: u64,
    ) -> Result<Self, (MemoryFault, &'a mut Waiting)> {
        let outbox = Outbox::open(memory, waiting)?;
        let channels: Vec<Channel, MAX_CHANNELS> = (0..)
            .zip(mounts)
            .take(MAX_CHANNELS)
            .map(|(channel, mount)| match mount {
                Mount::Contact => Channel::Contact(Contact::new(channel)),
                Mount::Sensor(quantity) => Channel::Sensor(Sensor::new(channel, *quantity)),
            })
            .collect();
        let mut node = Self {
            id: provision.node,
            key_id: provision.key_id,
            key: provision.device_key(),
            guard: Guard::new(provision.node, outbox.boot()),
            outbox,
            refusals: Refusals::default(),
            booted_unix_ms: None,
            telemetry_seq: 0,
            heartbeat_at_ms: 0,
            channels,
        };
        let hello = Up::Hello {
            firmware,
            cause,
            channels: node.channels.len() as u8,
        };
        node.event(hello, now_ms);
        Ok(node)
    }

    /// Number of this boot, from 1.
    pub const fn boot(&self) -> u32 {
        self.outbox.boot()
    }

    /// Events that the controller has not acknowledged.
    pub fn pending(&self) -> usize {
        self.outbox.pending()
    }

    /// Feeds the level of a contact; returns when it must be fed again for a change to settle.
    pub fn contact(&mut self, channel: usize, open: bool, now_ms: u64) -> Option<u64> {
        let Some(Channel::Contact(contact)) = self.channels.get_mut(channel) else {
            return None;
        };
        let event = contact.feed(open, now_ms);
        let again = contact.next_ms();
        if let Some(event) = event {
            self.event(event, now_ms);
        }
        again
    }

    /// Feeds the reading of a sensor, in thousandths of its unit.
    pub fn reading(&mut self, channel: usize, read: Result<i32, NoData>, now_ms: u64) {
        if let Some(Channel::Sensor(sensor)) = self.channels.get_mut(channel)
            && let Some(event) = sensor.feed(read, now_ms)
        {
            self.event(event, now_ms);
        }
    }

    /// True when the board is to free the bus of this sensor now.
    pub fn take_recovery(&mut self, channel: usize, now_ms: u64) -> bool {
        match self.channels.get_mut(channel) {
            Some(Channel::Sensor(sensor)) => sensor.take_recovery(now_ms),
            _ => false,
        }
    }

    /// Obeys a downward frame, or refuses, counts and reports it.
    pub fn downward(&mut self, payload: &[u8], now_ms: u64) {
        match self.guard.accept(&self.key, payload) {
            Ok((header, Down::SetTime)) => {
                self.booted_unix_ms = header.unix_ms.checked_sub(now_ms).filter(|at| *at > 0);
            }
            Ok((_, Down::Ack { upto })) => self.outbox.acknowledged(upto, now_ms),
            Ok((_, Down::Report)) => self.report_everything(now_ms),
            // Authentic, but of a later version: it decodes to a variant we cannot name.
            Ok(_) => self.refuse(Refusal::Unknown, now_ms),
            Err(why) => self.refuse(why, now_ms),
        }
    }

    /// A connection to the broker stands: everything unacknowledged goes out again, and every
    /// channel says where it is.
    pub fn connected(&mut self, now_ms: u64) {
        self.outbox.connected();
        self.report_everything(now_ms);
    }

    /// Does what is due. Call it before asking what to send.
    pub fn tick(&mut self, now_ms: u64) {
        self.outbox.maintain(now_ms);
        if let Some(why) = self.refusals.unreported
            && now_ms >= self.refusals.report_from_ms
        {
            self.refusals.unreported = None;
            self.refusals.report_from_ms = now_ms + REFUSED_EVERY_MS;
            let total = self.refusals.total;
            self.event(Up::Refused { total, why }, now_ms);
        }
        let sealer = Sealer {
            key: &self.key,
            template: template(self.id, self.key_id, self.boot(), self.booted_unix_ms, now_ms),
            body: Up::Lost { count: 0 },
        };
        self.outbox.settle_losses(&sealer);
    }

    /// The next event to publish with QoS 1, oldest first; it counts as sent.
    pub fn event_to_send(&mut self, now_ms: u64) -> Option<EventFrame> {
        self.outbox.next_to_send(now_ms)
    }

    /// The next telemetry frame to publish with QoS 0; it counts as sent.
    pub fn telemetry_to_send(&mut self, now_ms: u64) -> Option<Frame> {
        let body = (0_u8..)
            .zip(&mut self.channels)
            .find_map(|(channel, mount)| match mount {
                Channel::Contact(contact) => contact.take_due().then(|| Sample {
                    channel,
                    quantity: Quantity::Contact,
                    value: Ok(contact.milli()),
                }),
                Channel::Sensor(sensor) => sensor.take_due(now_ms),
            })
            .map(Up::Sample)
            .or_else(|| self.heartbeat(now_ms))?;
        self.telemetry_seq += 1;
        let header = Header {
            stream: Stream::Telemetry,
            seq: self.telemetry_seq,
            ..template(self.id, self.key_id, self.boot(), self.booted_unix_ms, now_ms)
        };
        // `shared` proves that every telemetry body fits.
        seal_up(&self.key, &header, &body).ok()
    }

    /// True when there is an event to send now.
    pub fn wants_to_send(&self, now_ms: u64) -> bool {
        self.outbox.wants_to_send(now_ms)
    }

    /// When [`Self::tick`] and the two `to_send` functions have something to do though nothing
    /// new happens. Contacts and sensors have their own rhythm.
    pub fn next_deadline(&self) -> u64 {
        let refused = self.refusals.unreported.map(|_| self.refusals.report_from_ms);
        [self.outbox.next_deadline(), refused]
            .into_iter()
            .flatten()
            .fold(self.heartbeat_at_ms, u64::min)
    }

    fn heartbeat(&mut self, now_ms: u64) -> Option<Up> {
        (now_ms >= self.heartbeat_at_ms).then(|| {
            self.heartbeat_at_ms = now_ms + REPORT_MS;
            Up::Heartbeat {
                pending: self.outbox.pending() as u16,
                last_event: self.outbox.last(),
                refused: self.refusals.total,
                dropped: self.outbox.lost_total(),
            }
        })
    }

    fn report_everything(&mut self, now_ms: u64) {
        for channel in &mut self.channels {
            match channel {
                Channel::Contact(contact) => contact.ask(),
                Channel::Sensor(sensor) => sensor.ask(),
            }
        }
        self.heartbeat_at_ms = now_ms;
    }

    fn refuse(&mut self, why: Refusal, now_ms: u64) {
        self.refusals.total = self.refusals.total.saturating_add(1);
        self.refusals.unreported = Some(why);
        self.tick(now_ms);
    }

    fn event(&mut self, body: Up, now_ms: u64) {
        let sealer = Sealer {
            key: &self.key,
            template: template(self.id, self.key_id, self.boot(), self.booted_unix_ms, now_ms),
            body,
        };
        self.outbox.push(&sealer);
    }
}

const fn template(node: u16, key_id: u8, boot: u32, booted_unix_ms: Option<u64>, now_ms: u64) -> Header {
    Header {
        ver: VERSION,
        key_id,
        node,
        boot,
        stream: Stream::Event,
        seq: 0,
        up_ms: now_ms,
        unix_ms: match booted_unix_ms {
            Some(booted) => booted.saturating_add(now_ms),
            None => 0,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::fake::Chip;
    use crate::memory::provision;
    use shared::wire::{Direction, Envelope, seal_down};
    use std::vec::Vec;

    const MOUNTS: [Mount; 3] = [
        Mount::Contact,
        Mount::Contact,
        Mount::Sensor(Quantity::Temperature),
    ];

    /// A node with the controller's end of the line.
    struct Rig {
        chip: Chip,
        node: Node<'static, Chip>,
        counter: u32,
        now_ms: u64,
    }

    fn ours() -> Provision {
        Provision::new(7, 1, [5; 32], [127, 0, 0, 1], 1883)
    }

    fn boot(chip: &Chip, cause: ResetCause) -> Node<'static, Chip> {
        let waiting = Box::leak(Box::default());
        Node::start(chip.clone(), waiting, &ours(), &MOUNTS, (0, 1, 0), cause, 0).unwrap()
    }

    impl Rig {
        fn new() -> Self {
            let chip = Chip::blank();
            Self {
                node: boot(&chip, ResetCause::PowerOn),
                chip,
                counter: 0,
                now_ms: 0,
            }
        }

        fn events(&mut self) -> Vec<(Header, Up)> {
            core::iter::from_fn(|| self.node.event_to_send(self.now_ms))
                .map(|frame| open(&frame, Stream::Event))
                .collect()
        }

        fn bodies(&mut self) -> Vec<Up> {
            self.events().into_iter().map(|(_, body)| body).collect()
        }

        fn telemetry(&mut self) -> Vec<Up> {
            core::iter::from_fn(|| self.node.telemetry_to_send(self.now_ms))
                .map(|frame| open(&frame, Stream::Telemetry).1)
                .collect()
        }

        fn header(&mut self) -> Header {
            self.counter += 1;
            Header {
                ver: VERSION,
                key_id: 1,
                node: 7,
                boot: self.node.boot(),
                stream: Stream::Command,
                seq: self.counter,
                up_ms: 0,
                unix_ms: 1_795_000_000_000,
            }
        }

        fn down(&mut self, body: Down) {
            let frame = seal_down(&ours().device_key(), &self.header(), &body).unwrap();
            self.node.downward(&frame, self.now_ms);
        }
    }

    fn open(frame: &[u8], stream: Stream) -> (Header, Up) {
        let authentic = Envelope::parse(frame)
            .unwrap()
            .verify(&ours().device_key(), Direction::Up, stream)
            .unwrap();
        (authentic.header, authentic.up().unwrap())
    }

    fn hello(cause: ResetCause) -> Up {
        Up::Hello {
            firmware: (0, 1, 0),
            cause,
            channels: 3,
        }
    }

    const DOOR_OPEN: Up = Up::Contact {
        channel: 0,
        open: true,
    };

    #[test]
    fn the_first_event_of_a_boot_is_hello() {
        let mut rig = Rig::new();
        rig.node.contact(0, true, 0);
        rig.node.contact(0, true, 5);
        assert_eq!(rig.bodies(), [hello(ResetCause::PowerOn), DOOR_OPEN]);
    }

    #[test]
    fn sequence_goes_on_over_restarts_and_the_boot_is_counted() {
        let mut rig = Rig::new();
        rig.node.contact(0, true, 0);
        rig.node.contact(0, true, 5);
        rig.node = boot(&rig.chip, ResetCause::Watchdog);
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
        rig.down(Down::Ack { upto: 1 });
        rig.node.connected(0);
        assert_eq!((rig.bodies(), rig.node.pending()), (vec![], 0));
    }

    #[test]
    fn on_connection_every_channel_says_where_it_is() {
        let mut rig = Rig::new();
        rig.node.reading(2, Ok(23_500), 0);
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
            Up::Heartbeat {
                pending: 1,
                last_event: 1,
                refused: 0,
                dropped: 0,
            },
        ];
        assert_eq!(rig.telemetry(), everything);
        assert_eq!(rig.telemetry(), []);
        rig.down(Down::Report);
        assert_eq!(rig.telemetry(), everything);
    }

    #[test]
    fn a_sensor_never_read_is_no_data_and_not_zero() {
        let mut rig = Rig::new();
        rig.node.connected(0);
        let temperature = rig.telemetry()[2];
        assert!(matches!(
            temperature,
            Up::Sample(Sample {
                value: Err(NoData::NeverHeard),
                ..
            })
        ));
    }

    #[test]
    fn time_stands_in_the_header_once_it_is_known() {
        let mut rig = Rig::new();
        assert_eq!(rig.events()[0].0.unix_ms, 0);
        rig.now_ms = 10_000;
        rig.down(Down::SetTime);
        rig.node.contact(0, true, 12_000);
        rig.node.contact(0, true, 12_005);
        let header = rig.events().last().unwrap().0;
        assert_eq!((header.up_ms, header.unix_ms), (12_005, 1_795_000_002_005));
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
                    rig.down(Down::Report);
                    rig.counter -= 1;
                    rig.down(Down::Report);
                }
                _ => {
                    let other_boot = Header {
                        boot: 99,
                        ..rig.header()
                    };
                    let frame = seal_down(&ours().device_key(), &other_boot, &Down::Report).unwrap();
                    rig.node.downward(&frame, now_ms);
                }
            }
        }
        let first = Up::Refused {
            total: 1,
            why: Refusal::Forged,
        };
        assert_eq!(rig.bodies(), [first]);
        rig.down(Down::Ack { upto: 2 });
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
    fn refused_frames_change_nothing() {
        let mut rig = Rig::new();
        rig.events();
        let ack = seal_down(&DeviceKey::new([6; 32]), &rig.header(), &Down::Ack { upto: 1 }).unwrap();
        rig.node.downward(&ack, 0);
        assert!(rig.node.pending() >= 1);
        rig.node.connected(0);
        assert_eq!(rig.bodies()[0], hello(ResetCause::PowerOn));
    }

    #[test]
    fn a_frozen_memory_does_not_silence_the_door() {
        let mut rig = Rig::new();
        rig.bodies();
        rig.chip.freeze(true);
        rig.node.contact(0, true, 0);
        rig.node.contact(0, true, 5);
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
        assert_eq!(rig.bodies(), []);
    }

    #[test]
    fn the_configuration_block_is_read_from_the_memory() {
        let mut chip = Chip::blank();
        assert!(provision(&mut chip).unwrap().is_err());
        chip.write(0, &ours().encode()).unwrap();
        assert_eq!(provision(&mut chip).unwrap().unwrap().node, 7);
    }

    #[test]
    fn a_node_that_cannot_count_its_boot_does_not_start() {
        let chip = Chip::blank();
        chip.freeze(true);
        let mut waiting = Waiting::new();
        let started = Node::start(
            chip,
            &mut waiting,
            &ours(),
            &MOUNTS,
            (0, 1, 0),
            ResetCause::PowerOn,
            0,
        );
        assert!(started.is_err());
    }
}
