//! A controller reduced to what the wire asks of it: verify, remember, acknowledge.
//!
//! It stands for the real one where a test must see every frame as it came, hold back an
//! acknowledgement or send what the real one never would.

use crate::wait_for;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use shared::Sample;
use shared::provision::Provision;
use shared::topic::{self, Leaf};
use shared::wire::{DeviceKey, Direction, Down, Envelope, Header, Stream, Up, VERSION, seal_down};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// Longest wait for anything that must happen.
pub const BOUND: Duration = Duration::from_secs(40);
/// The time that it puts into its frames: 2026-11-18, a Wednesday, 20:26:40 in Tokyo.
pub const NOW_UNIX_MS: u64 = 1_795_000_000_000;
/// Its account at the broker.
pub const ACCOUNT: (&str, &str) = ("controller", "c");

/// What has arrived, proven to come from the node.
#[derive(Debug)]
pub struct Heard {
    key: DeviceKey,
    node: u16,
    key_id: u8,
    /// Events as they came, repetitions included.
    pub events: Vec<(Header, Up)>,
    /// When each of them came.
    pub event_times: Vec<Instant>,
    /// Telemetry as it came.
    pub telemetry: Vec<(Header, Up)>,
    /// When each of it came.
    pub telemetry_times: Vec<Instant>,
    /// Payloads at `up`.
    pub presence: Vec<String>,
    /// Last event committed; the next one must follow it.
    pub committed: u32,
    /// Acknowledge what is committed.
    pub acknowledge: bool,
    /// The time in frames downward.
    pub unix_ms: u64,
    /// Last counter used downward.
    counter: u32,
    /// Highest boot number seen.
    pub boot: u32,
}

impl Heard {
    fn down(&mut self, body: &Down) -> Vec<u8> {
        self.counter += 1;
        let header = self.header(self.counter);
        seal_down(&self.key, &header, body)
            .expect("what a controller says fits a frame")
            .to_vec()
    }

    /// Header of a frame downward, for the node's latest boot.
    #[must_use]
    pub fn header(&self, seq: u32) -> Header {
        Header {
            ver: VERSION,
            key_id: self.key_id,
            node: self.node,
            boot: self.boot,
            stream: Stream::Command,
            seq,
            up_ms: 0,
            unix_ms: self.unix_ms,
        }
    }
}

/// The stand-in. Ends when it is dropped.
#[derive(Debug)]
pub struct Controller {
    heard: Arc<Mutex<Heard>>,
    client: AsyncClient,
    task: JoinHandle<()>,
    node: u16,
}

impl Controller {
    /// Connects to a broker and listens to this node.
    pub async fn start(addr: SocketAddr, provision: &Provision) -> Self {
        let (user, password) = ACCOUNT;
        let mut options = MqttOptions::new(user, addr.ip().to_string(), addr.port());
        options.set_credentials(user, password);
        let (client, eventloop) = AsyncClient::new(options, 64);
        let heard = Arc::new(Mutex::new(Heard {
            key: provision.device_key(),
            node: provision.node,
            key_id: provision.key_id,
            events: Vec::new(),
            event_times: Vec::new(),
            telemetry: Vec::new(),
            telemetry_times: Vec::new(),
            presence: Vec::new(),
            committed: 0,
            acknowledge: true,
            unix_ms: NOW_UNIX_MS,
            counter: 0,
            boot: 0,
        }));
        let subscribed = Arc::new(tokio::sync::Notify::new());
        let task = tokio::spawn(hear(
            client.clone(),
            eventloop,
            Arc::clone(&heard),
            Arc::clone(&subscribed),
        ));
        // What the node says before we listen, only it would know.
        let listening = tokio::time::timeout(BOUND, subscribed.notified()).await;
        listening.expect("the broker lets the controller in");
        Self {
            heard,
            client,
            task,
            node: provision.node,
        }
    }

    /// Looks at what was heard, or changes how it is taken.
    pub fn read<T>(&self, look: impl FnOnce(&mut Heard) -> T) -> T {
        look(&mut self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until what was heard satisfies `look`.
    pub async fn until<T>(&self, what: &str, mut look: impl FnMut(&mut Heard) -> Option<T>) -> T {
        wait_for(what, BOUND, async || self.read(&mut look)).await
    }

    /// Waits for an event; the first such one counts, also when it came long ago.
    pub async fn event(&self, body: Up) -> Header {
        self.event_that(&format!("{body:?}"), |event| *event == body)
            .await
            .0
    }

    /// Waits for the first event of a kind.
    pub async fn event_that(&self, what: &str, is: impl Fn(&Up) -> bool) -> (Header, Up) {
        self.until(what, |heard| {
            heard.events.iter().find(|(_, body)| is(body)).copied()
        })
        .await
    }

    /// Waits for an event of a kind after the first `seq` ones.
    pub async fn event_after(&self, seq: u32, what: &str, is: impl Fn(&Up) -> bool) -> (Header, Up) {
        self.until(what, |heard| {
            let mut after = heard.events.iter().filter(|(header, _)| header.seq > seq);
            after.find(|(_, body)| is(body)).copied()
        })
        .await
    }

    /// Waits for a sample.
    pub async fn sample(&self, what: &str, matches: impl Fn(&Sample) -> bool) {
        self.until(what, |heard| {
            let mut samples = heard.telemetry.iter().filter_map(|(_, body)| sample(body));
            samples.any(|sample| matches(&sample)).then_some(())
        })
        .await;
    }

    /// Sends bytes to the node, whatever they are.
    ///
    /// # Panics
    /// When the client has ended.
    pub async fn send(&self, payload: &[u8]) {
        let topic = topic::of(self.node, Leaf::Command);
        self.client
            .publish(topic.as_str(), QoS::AtLeastOnce, false, payload.to_vec())
            .await
            .expect("the client runs as long as this");
    }

    /// A good frame with the next counter, to be spoilt: one that the node is to obey may be overtaken by
    /// an acknowledgement before it is sent; [`Self::tell`] sends at once.
    #[must_use]
    pub fn frame(&self, body: Down) -> Vec<u8> {
        self.read(|heard| heard.down(&body))
    }

    /// Sends a good frame.
    ///
    /// # Panics
    /// When the client has ended.
    pub async fn tell(&self, body: Down) {
        self.told(body).await;
    }

    /// Sends a good frame and gives it back, to be sent again.
    ///
    /// # Panics
    /// When the client has ended.
    pub async fn told(&self, body: Down) -> Vec<u8> {
        wait_for("room for a frame in the client's queue", BOUND, async || {
            self.read(|heard| {
                let counter = heard.counter;
                let frame = heard.down(&body);
                let queued = publish(&self.client, self.node, frame.clone());
                if !queued {
                    heard.counter = counter;
                }
                queued.then_some(frame)
            })
        })
        .await
    }
}

/// Puts a frame into the client's queue; false when that is full. Whoever calls this holds what was
/// heard since the frame got its counter: an acknowledgement that came in between would overtake the
/// frame, and the node refuses what is older than what it has.
fn publish(client: &AsyncClient, node: u16, frame: Vec<u8>) -> bool {
    let topic = topic::of(node, Leaf::Command);
    client
        .try_publish(topic.as_str(), QoS::AtLeastOnce, false, frame)
        .is_ok()
}

impl Drop for Controller {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Ok(heard) = self.heard.lock()
        {
            for (header, body) in &heard.events {
                eprintln!("event {} of boot {}: {body:?}", header.seq, header.boot);
            }
            eprintln!("last telemetry: {:?}", heard.telemetry.last());
        }
        self.task.abort();
    }
}

/// The sample in a message, if it is one.
#[must_use]
pub const fn sample(body: &Up) -> Option<Sample> {
    match body {
        Up::Sample(sample) => Some(*sample),
        _ => None,
    }
}

async fn hear(
    client: AsyncClient,
    mut eventloop: EventLoop,
    heard: Arc<Mutex<Heard>>,
    subscribed: Arc<tokio::sync::Notify>,
) {
    loop {
        match eventloop.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                client
                    .try_subscribe("fac/v1/#", QoS::AtLeastOnce)
                    .expect("the client's queue is empty");
            }
            Ok(Event::Incoming(Packet::SubAck(_))) => subscribed.notify_one(),
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                let topic = String::from_utf8_lossy(&publish.topic).into_owned();
                let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(answer) = take(&mut heard, &topic, &publish.payload) {
                    assert!(
                        self::publish(&client, heard.node, answer),
                        "the client's queue holds an answer to each of a node's events"
                    );
                }
            }
            Ok(_) => {}
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

/// What a controller does with a message; the acknowledgement, if there is one to send.
///
/// # Panics
/// When a frame is not what the node owes: forged, damaged, or an event without its predecessor.
fn take(heard: &mut Heard, topic: &str, payload: &[u8]) -> Option<Vec<u8>> {
    let (node, leaf) = topic::parse(topic).expect("a topic of a node");
    if node != heard.node {
        return None;
    }
    let stream = match leaf {
        Leaf::Event => Stream::Event,
        Leaf::Telemetry => Stream::Telemetry,
        Leaf::Presence => {
            heard.presence.push(String::from_utf8_lossy(payload).into_owned());
            return None;
        }
        Leaf::Command => return None,
    };
    let frame = Envelope::parse(payload).expect("a frame");
    let authentic = frame.verify(&heard.key, Direction::Up, stream);
    let authentic = authentic.expect("a frame that the node has sealed");
    let (header, body) = (authentic.header, authentic.up().expect("a message that we know"));
    heard.boot = heard.boot.max(header.boot);
    if stream == Stream::Telemetry {
        heard.telemetry.push((header, body));
        heard.telemetry_times.push(Instant::now());
        return None;
    }
    heard.events.push((header, body));
    heard.event_times.push(Instant::now());
    if header.seq > heard.committed {
        assert_eq!(
            header.seq,
            heard.committed + 1,
            "an event is missing before {body:?}"
        );
        heard.committed = header.seq;
    }
    let upto = heard.committed;
    heard.acknowledge.then(|| heard.down(&Down::Ack { upto }))
}
