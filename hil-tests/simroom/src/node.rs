//! A simulated sensor node: the real wire format over MQTT 5, without a board.
//!
//! It keeps to what the firmware promises. Events have a sequence that survives restarts and
//! are kept, on disk, until the controller's authenticated acknowledgement; after every
//! reconnect the node subscribes again and sends all of them again, in order. Telemetry is
//! latest-wins. A downward frame that is forged, replayed or meant for another boot is refused,
//! counted and reported.
//!
//! ```text
//! inputs (watch) --> events --> ring on disk --+--> MQTT --ack--> ring forgets
//!                \-> telemetry, heartbeat -----+
//! ```
//! A cut link is a cut cable: the socket stays as it is and nothing moves, so that the other
//! side notices by silence alone.

use crate::{Clock, write_private};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{LastWill, Packet};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use serde::{Deserialize, Serialize};
use shared::topic::{self, Leaf};
use shared::wire::{
    DeviceKey, Direction, Down, Envelope, Header, Refusal, ResetCause, Stream, Up, VERSION, seal_up,
};
use shared::{NoData, Quantity, Sample};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// Events kept while nobody acknowledges them; then the oldest go, and a `Lost` event says so.
pub const MAX_RING: usize = 256;
/// Messages on their way to the broker: the ring once over, and telemetry of some seconds.
pub const MAX_OUTGOING: usize = 2 * MAX_RING;
/// Wait before the next try to reach the broker.
pub const RECONNECT: Duration = Duration::from_millis(500);
/// Events that stay unacknowledged for so long are sent again on a live connection.
pub const RESEND: Duration = Duration::from_secs(10);
/// MQTT keep-alive.
pub const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// What the node is.
#[derive(Debug, Clone)]
pub struct Config {
    /// Id on the wire.
    pub id: u16,
    /// Device key.
    pub key: [u8; 32],
    /// What is mounted, with its first value.
    pub channels: Vec<Input>,
    /// Where boot number, sequence and unacknowledged events are kept.
    pub state_file: PathBuf,
    /// Between two reports of all measurements.
    pub telemetry: Duration,
    /// Between two heartbeats.
    pub heartbeat: Duration,
}

/// One input of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Input {
    /// What is measured.
    pub quantity: Quantity,
    /// In thousandths of the unit (a contact: 0 or 1000), or why there is none.
    pub value: Result<i32, NoData>,
}

/// What is known of the node from outside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct State {
    /// Logged in at the broker.
    pub connected: bool,
    /// Boot number.
    pub boot: u32,
    /// Sequence of the last event.
    pub last_event: u32,
    /// Events not yet acknowledged.
    pub pending: usize,
    /// Downward frames refused since boot.
    pub refused: u32,
}

/// A running node; dropping it takes its power away.
#[derive(Debug)]
pub struct Node {
    id: u16,
    inputs: watch::Sender<Inputs>,
    state: watch::Receiver<State>,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone)]
struct Inputs {
    channels: Vec<Input>,
    broker: Option<SocketAddr>,
    cut: bool,
}

impl Node {
    /// Powers the node on. It needs [`Node::connect`] to reach anybody.
    ///
    /// # Errors
    /// When its state file cannot be read or written.
    pub fn start(config: Config) -> std::io::Result<Self> {
        let memory = Memory::load(&config.state_file)?;
        let (inputs, wired) = watch::channel(Inputs {
            channels: config.channels.clone(),
            broker: None,
            cut: false,
        });
        let (publish_state, state) = watch::channel(State::default());
        let id = config.id;
        let program = Program {
            key: DeviceKey::new(config.key),
            clock: Clock::start(),
            seen: config.channels.clone(),
            config,
            memory,
            telemetry_seq: 0,
            last_command: 0,
            refused: 0,
            dropped: 0,
            state: publish_state,
        };
        Ok(Self {
            id,
            inputs,
            state,
            task: tokio::spawn(program.run(wired)),
        })
    }

    /// Id on the wire.
    #[must_use]
    pub const fn id(&self) -> u16 {
        self.id
    }

    /// Says where the broker is.
    pub fn connect(&self, broker: SocketAddr) {
        self.inputs.send_modify(|inputs| inputs.broker = Some(broker));
    }

    /// Cuts its cable, or joins it again.
    pub fn cut(&self, cut: bool) {
        self.inputs.send_modify(|inputs| inputs.cut = cut);
    }

    /// Sets an input, in thousandths of its unit; unknown channels are ignored.
    pub fn set(&self, channel: u8, value: Result<i32, NoData>) {
        self.inputs
            .send_if_modified(|inputs| match inputs.channels.get_mut(usize::from(channel)) {
                Some(input) if input.value != value => {
                    input.value = value;
                    true
                }
                _ => false,
            });
    }

    /// Sets a contact; true is the alarm side (open, wet, cut).
    pub fn set_contact(&self, channel: u8, open: bool) {
        self.set(channel, Ok(if open { 1000 } else { 0 }));
    }

    /// What is known of it.
    #[must_use]
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What survives a restart.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Memory {
    boot: u32,
    last_event: u32,
    /// Unacknowledged events: sequence and frame.
    ring: VecDeque<(u32, Vec<u8>)>,
}

impl Memory {
    /// Reads the file and counts the boot, on disk, before any frame.
    fn load(path: &std::path::Path) -> std::io::Result<Self> {
        let mut memory = match std::fs::read(path) {
            // A damaged file would make the node repeat sequences that the controller has
            // seen, and be refused for ever; better not to start.
            Ok(text) => serde_json::from_slice::<Self>(&text).map_err(std::io::Error::other)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Self::default(),
            Err(error) => return Err(error),
        };
        memory.boot += 1;
        memory.save(path)?;
        Ok(memory)
    }

    fn save(&self, path: &std::path::Path) -> std::io::Result<()> {
        write_private(path, &serde_json::to_vec(self).map_err(std::io::Error::other)?)
    }
}

struct Program {
    config: Config,
    key: DeviceKey,
    clock: Clock,
    memory: Memory,
    /// Inputs as they were last turned into events.
    seen: Vec<Input>,
    telemetry_seq: u32,
    last_command: u32,
    refused: u32,
    dropped: u32,
    state: watch::Sender<State>,
}

/// What the connection brings.
enum Heard {
    Connected,
    Command(Vec<u8>),
    Lost(String),
}

impl Program {
    async fn run(mut self, mut inputs: watch::Receiver<Inputs>) {
        self.event(&Up::Hello {
            firmware: (0, 1, 0),
            cause: ResetCause::PowerOn,
            channels: u8::try_from(self.config.channels.len()).unwrap_or(u8::MAX),
        });
        loop {
            // Without a connection the node still watches its inputs.
            let broker = {
                let now = inputs.borrow_and_update().clone();
                self.take_in(&now.channels, None);
                now.broker.filter(|_| !now.cut)
            };
            if let Some(broker) = broker {
                self.talk(broker, &mut inputs).await;
                self.state.send_modify(|state| state.connected = false);
                tokio::select! {
                    () = tokio::time::sleep(RECONNECT) => {}
                    changed = inputs.changed() => if changed.is_err() { return },
                }
            } else if inputs.changed().await.is_err() {
                return;
            }
        }
    }

    /// One connection, until it ends or the cable is joined again after a cut.
    async fn talk(&mut self, broker: SocketAddr, inputs: &mut watch::Receiver<Inputs>) {
        let (client, eventloop) = AsyncClient::new(self.options(broker), MAX_OUTGOING);
        let (to, mut heard) = mpsc::channel(64);
        let pump = Pump(tokio::spawn(pump(eventloop, inputs.clone(), to)));
        let mut telemetry = ticker(self.config.telemetry);
        let mut heartbeat = ticker(self.config.heartbeat);
        let mut resend = ticker(RESEND);
        resend.reset();
        let mut connected = false;
        // Every arm is cancel-safe: channels keep what was not received, tickers keep time.
        loop {
            tokio::select! {
                message = heard.recv() => match message {
                    Some(Heard::Connected) => {
                        connected = true;
                        self.greet(&client);
                        self.resend(&client);
                        self.state.send_modify(|state| state.connected = true);
                    }
                    Some(Heard::Command(frame)) => self.command(&frame, &client),
                    Some(Heard::Lost(why)) => {
                        tracing::debug!(node = self.config.id, why, "no connection to the broker");
                        break;
                    }
                    None => break,
                },
                changed = inputs.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    let now = inputs.borrow_and_update().clone();
                    if now.cut {
                        // The socket stays open below; events wait in the ring.
                        connected = false;
                        self.state.send_modify(|state| state.connected = false);
                    }
                    self.take_in(&now.channels, connected.then_some(&client));
                    if now.broker != Some(broker) {
                        break;
                    }
                }
                _ = telemetry.tick(), if connected => self.report(&client),
                _ = heartbeat.tick(), if connected => self.heartbeat(&client),
                _ = resend.tick(), if connected => self.resend(&client),
            }
        }
        drop(pump);
    }

    fn options(&self, broker: SocketAddr) -> MqttOptions {
        let id = self.config.id;
        let mut options = MqttOptions::new(format!("node-{id}"), broker.ip().to_string(), broker.port());
        options.set_keep_alive(KEEP_ALIVE);
        // What must not be lost is in the ring; a session of the broker would only repeat it.
        options.set_clean_start(true);
        options.set_credentials(id.to_string(), self.key.broker_password().as_str());
        options.set_last_will(LastWill::new(
            topic::of(id, Leaf::Presence).as_str(),
            "0",
            QoS::AtLeastOnce,
            true,
            None,
        ));
        options
    }

    fn greet(&mut self, client: &AsyncClient) {
        let id = self.config.id;
        let asked = client.try_subscribe(topic::of(id, Leaf::Command).as_str(), QoS::AtLeastOnce);
        let told = client.try_publish(
            topic::of(id, Leaf::Presence).as_str(),
            QoS::AtLeastOnce,
            true,
            "1",
        );
        if asked.is_err() || told.is_err() {
            self.dropped += 1;
        }
    }

    /// Turns changed inputs into events, and changed measurements into telemetry.
    fn take_in(&mut self, channels: &[Input], client: Option<&AsyncClient>) {
        let mut fresh = Vec::new();
        for (index, (now, seen)) in channels.iter().zip(self.seen.clone()).enumerate() {
            let Ok(channel) = u8::try_from(index) else { break };
            let event = match (seen.value, now.value) {
                (Ok(_), Err(reason)) => Some(Up::SensorLost { channel, reason }),
                (Err(_), Ok(_)) => Some(Up::SensorBack { channel }),
                (Ok(before), Ok(value)) if now.quantity == Quantity::Contact && before != value => {
                    Some(Up::Contact {
                        channel,
                        open: value != 0,
                    })
                }
                _ => None,
            };
            if let Some(event) = event {
                fresh.push(self.event(&event));
            }
        }
        self.seen.clear();
        self.seen.extend_from_slice(channels);
        if let Some(client) = client {
            for frame in fresh {
                self.send(client, Leaf::Event, frame);
            }
        }
    }

    /// Writes an event into the ring and returns its frame.
    fn event(&mut self, body: &Up) -> Vec<u8> {
        let ring = &mut self.memory.ring;
        if ring.len() >= MAX_RING && !matches!(body, Up::Lost { .. }) {
            // Two go, so that the word about the loss and the new event have room.
            let lost = ring.drain(..2).count();
            self.event(&Up::Lost {
                count: u32::try_from(lost).unwrap_or(u32::MAX),
            });
        }
        self.memory.last_event += 1;
        let seq = self.memory.last_event;
        let frame = self.seal(Stream::Event, seq, body);
        self.memory.ring.push_back((seq, frame.clone()));
        self.remember();
        frame
    }

    fn remember(&mut self) {
        if let Err(error) = self.memory.save(&self.config.state_file) {
            self.dropped += 1;
            tracing::warn!(node = self.config.id, %error, "the node's memory could not be written");
        }
        let (boot, last_event) = (self.memory.boot, self.memory.last_event);
        let (pending, refused) = (self.memory.ring.len(), self.refused);
        self.state.send_modify(|state| {
            state.boot = boot;
            state.last_event = last_event;
            state.pending = pending;
            state.refused = refused;
        });
    }

    fn seal(&self, stream: Stream, seq: u32, body: &Up) -> Vec<u8> {
        let header = Header {
            ver: VERSION,
            key_id: 0,
            node: self.config.id,
            boot: self.memory.boot,
            stream,
            seq,
            up_ms: self.clock.up_ms(),
            unix_ms: self.clock.unix_ms(),
        };
        seal_up(&self.key, &header, body)
            .expect("every body of version 1 fits into a frame")
            .to_vec()
    }

    fn send(&mut self, client: &AsyncClient, leaf: Leaf, frame: Vec<u8>) {
        let qos = if leaf == Leaf::Event {
            QoS::AtLeastOnce
        } else {
            QoS::AtMostOnce
        };
        if client
            .try_publish(topic::of(self.config.id, leaf).as_str(), qos, false, frame)
            .is_err()
        {
            // An event stays in the ring and goes again later; telemetry is made anew.
            self.dropped += 1;
        }
    }

    fn resend(&mut self, client: &AsyncClient) {
        let frames: Vec<Vec<u8>> = self.memory.ring.iter().map(|(_, frame)| frame.clone()).collect();
        for frame in frames {
            self.send(client, Leaf::Event, frame);
        }
    }

    fn telemetry(&mut self, client: &AsyncClient, body: &Up) {
        self.telemetry_seq += 1;
        let frame = self.seal(Stream::Telemetry, self.telemetry_seq, body);
        self.send(client, Leaf::Telemetry, frame);
    }

    /// Sends every input.
    fn report(&mut self, client: &AsyncClient) {
        for (index, input) in self.seen.clone().into_iter().enumerate() {
            let Ok(channel) = u8::try_from(index) else { break };
            let sample = Sample {
                channel,
                quantity: input.quantity,
                value: input.value,
            };
            self.telemetry(client, &Up::Sample(sample));
        }
    }

    fn heartbeat(&mut self, client: &AsyncClient) {
        let body = Up::Heartbeat {
            pending: u16::try_from(self.memory.ring.len()).unwrap_or(u16::MAX),
            last_event: self.memory.last_event,
            refused: self.refused,
            dropped: self.dropped,
        };
        self.telemetry(client, &body);
    }

    /// A frame on the command topic.
    fn command(&mut self, frame: &[u8], client: &AsyncClient) {
        match self.judge(frame) {
            Ok(Down::Ack { upto }) => {
                self.memory.ring.retain(|(seq, _)| *seq > upto);
                self.remember();
            }
            Ok(Down::Report) => {
                self.report(client);
                self.heartbeat(client);
            }
            Ok(_) => {}
            Err(why) => {
                self.refused += 1;
                let total = self.refused;
                let frame = self.event(&Up::Refused { total, why });
                self.send(client, Leaf::Event, frame);
            }
        }
    }

    fn judge(&mut self, frame: &[u8]) -> Result<Down, Refusal> {
        let envelope = Envelope::parse(frame).map_err(|_| Refusal::Forged)?;
        let authentic = envelope
            .verify(&self.key, Direction::Down, Stream::Command)
            .map_err(|_| Refusal::Forged)?;
        let header = authentic.header;
        if header.node != self.config.id || header.boot != self.memory.boot {
            return Err(Refusal::Misdirected);
        }
        if header.seq <= self.last_command {
            return Err(Refusal::Replayed);
        }
        self.last_command = header.seq;
        authentic.down().map_err(|_| Refusal::Unknown)
    }
}

/// Ends the connection's task with the connection.
struct Pump(JoinHandle<()>);

impl Drop for Pump {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Moves the connection. With the cable cut it keeps the socket and does nothing, until the
/// cable is joined again; then the old connection is given up.
async fn pump(mut eventloop: EventLoop, mut inputs: watch::Receiver<Inputs>, to: mpsc::Sender<Heard>) {
    loop {
        let event = tokio::select! {
            biased;
            () = cut(&mut inputs, true) => {
                cut(&mut inputs, false).await;
                let _ = to.send(Heard::Lost("the cable was cut".to_owned())).await;
                return;
            }
            event = eventloop.poll() => event,
        };
        let heard = match event {
            Ok(Event::Incoming(Packet::ConnAck(_))) => Heard::Connected,
            Ok(Event::Incoming(Packet::Publish(publish))) => Heard::Command(publish.payload.to_vec()),
            Ok(_) => continue,
            Err(error) => {
                let _ = to.send(Heard::Lost(error.to_string())).await;
                return;
            }
        };
        if to.send(heard).await.is_err() {
            return;
        }
    }
}

/// Waits until the cable is cut, or joined; returns also when the node is gone. Cancel-safe.
async fn cut(inputs: &mut watch::Receiver<Inputs>, state: bool) {
    let _ = inputs.wait_for(|inputs| inputs.cut == state).await;
}

fn ticker(every: Duration) -> tokio::time::Interval {
    let mut ticker = interval(every);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticker
}
