//! The two ends of the node's line that are not the node: Debian's mosquitto, and a controller
//! reduced to what the wire asks of it: verify, remember, acknowledge.

use super::{BOUND, NODE};
use hil_tests::bench::{HOST, QemuBench};
use hil_tests::{Child, free_port, wait_for};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use shared::Sample;
use shared::provision::Provision;
use shared::topic::{self, Leaf};
use shared::wire::{DeviceKey, Direction, Down, Envelope, Header, Stream, Up, VERSION, seal_down};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Debian's mosquitto with an account for the node and one for the controller.
pub(super) struct Mosquitto {
    pub(super) addr: SocketAddr,
    _child: Child,
    _folder: tempfile::TempDir,
}

impl Mosquitto {
    pub(super) async fn start(key: &DeviceKey) -> Self {
        let (addr, folder) = (free_port(), tempfile::tempdir().unwrap());
        let at = folder.path().display().to_string();
        let passwords = folder.path().join("passwords");
        account(&passwords, "controller", "c");
        account(&passwords, &NODE.to_string(), &key.broker_password());
        // A node writes and reads its own branch only; "%u" is its user name.
        let rights = "user controller\ntopic readwrite fac/v1/#\n\
                      pattern write fac/v1/%u/ev\npattern write fac/v1/%u/t\n\
                      pattern write fac/v1/%u/up\npattern read fac/v1/%u/cmd\n";
        std::fs::write(folder.path().join("rights"), rights).unwrap();
        let config = format!(
            "listener {} {}\nallow_anonymous false\npersistence false\nuser root\n\
             password_file {at}/passwords\nacl_file {at}/rights\n",
            addr.port(),
            addr.ip()
        );
        std::fs::write(folder.path().join("mosquitto.conf"), config).unwrap();
        let mut command = Command::new("/usr/sbin/mosquitto");
        command.arg("-c").arg(folder.path().join("mosquitto.conf"));
        let child = Child::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
        wait_for("mosquitto to listen", BOUND, async || {
            TcpStream::connect(addr).await.ok()
        })
        .await;
        Self {
            addr,
            _child: child,
            _folder: folder,
        }
    }
}

fn account(file: &Path, user: &str, password: &str) {
    let mut command = Command::new("mosquitto_passwd");
    if !file.exists() {
        command.arg("-c");
    }
    let status = command.arg("-b").arg(file).args([user, password]).status();
    assert!(status.unwrap().success(), "mosquitto_passwd");
}

/// What has arrived, proven to come from the node.
#[derive(Default)]
pub(super) struct Heard {
    /// Events as they came, repetitions included.
    pub(super) events: Vec<(Header, Up)>,
    pub(super) telemetry: Vec<(Header, Up)>,
    /// Payloads at `up`.
    pub(super) presence: Vec<String>,
    /// Last event committed; the next one must follow it.
    pub(super) committed: u32,
    /// Acknowledge what is committed.
    pub(super) acknowledge: bool,
    /// Last counter used downward.
    counter: u32,
    pub(super) boot: u32,
}

pub(super) struct Controller {
    heard: Arc<Mutex<Heard>>,
    client: AsyncClient,
    task: JoinHandle<()>,
}

impl Controller {
    pub(super) async fn start(addr: SocketAddr) -> Self {
        let mut options = MqttOptions::new("controller", addr.ip().to_string(), addr.port());
        options.set_credentials("controller", "c");
        let (client, eventloop) = AsyncClient::new(options, 64);
        let heard = Arc::new(Mutex::new(Heard {
            acknowledge: true,
            ..Heard::default()
        }));
        let task = tokio::spawn(hear(client.clone(), eventloop, Arc::clone(&heard)));
        Self { heard, client, task }
    }

    pub(super) fn read<T>(&self, look: impl FnOnce(&mut Heard) -> T) -> T {
        look(&mut self.heard.lock().unwrap())
    }

    /// Waits until what was heard satisfies `look`.
    pub(super) async fn until<T>(&self, what: &str, mut look: impl FnMut(&mut Heard) -> Option<T>) -> T {
        wait_for(what, BOUND, async || self.read(&mut look)).await
    }

    pub(super) async fn event(&self, body: Up) -> Header {
        let what = format!("{body:?}");
        let find = |heard: &mut Heard| {
            heard
                .events
                .iter()
                .find(|event| event.1 == body)
                .map(|event| event.0)
        };
        self.until(&what, find).await
    }

    pub(super) async fn sample(&self, what: &str, matches: impl Fn(&Sample) -> bool) {
        self.until(what, |heard| {
            let mut samples = heard.telemetry.iter().filter_map(|(_, body)| sample(body));
            samples.any(|sample| matches(&sample)).then_some(())
        })
        .await;
    }

    /// Sends bytes to the node, whatever they are.
    pub(super) async fn send(&self, payload: &[u8]) {
        let topic = topic::of(NODE, Leaf::Command);
        self.client
            .publish(topic.as_str(), QoS::AtLeastOnce, false, payload.to_vec())
            .await
            .unwrap();
    }

    /// A good frame with the next counter.
    pub(super) fn frame(&self, body: Down) -> Vec<u8> {
        self.read(|heard| down(heard, &body))
    }

    pub(super) async fn connected(&self, board: &QemuBench) {
        board.console_wait("broker: connected", BOUND).await;
    }
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

pub(super) const fn sample(body: &Up) -> Option<Sample> {
    match body {
        Up::Sample(sample) => Some(*sample),
        _ => None,
    }
}

pub(super) fn key() -> DeviceKey {
    ours(0).device_key()
}

pub(super) fn ours(port: u16) -> Provision {
    Provision::new(NODE, 1, [0x5a; 32], HOST, port)
}

pub(super) fn down_header(boot: u32, seq: u32) -> Header {
    Header {
        ver: VERSION,
        key_id: 1,
        node: NODE,
        boot,
        stream: Stream::Command,
        seq,
        up_ms: 0,
        unix_ms: 1_795_000_000_000,
    }
}

fn down(heard: &mut Heard, body: &Down) -> Vec<u8> {
    heard.counter += 1;
    let header = down_header(heard.boot, heard.counter);
    seal_down(&key(), &header, body).unwrap().to_vec()
}

async fn hear(client: AsyncClient, mut eventloop: EventLoop, heard: Arc<Mutex<Heard>>) {
    loop {
        match eventloop.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                client.try_subscribe("fac/v1/#", QoS::AtLeastOnce).unwrap();
            }
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                let topic = std::str::from_utf8(&publish.topic).unwrap();
                let answer = take(&mut heard.lock().unwrap(), topic, &publish.payload);
                if let Some(answer) = answer {
                    let topic = topic::of(NODE, Leaf::Command);
                    client
                        .try_publish(topic.as_str(), QoS::AtLeastOnce, false, answer)
                        .unwrap();
                }
            }
            Ok(_) => {}
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

/// What a controller does with a message; the acknowledgement, if there is one to send.
fn take(heard: &mut Heard, topic: &str, payload: &[u8]) -> Option<Vec<u8>> {
    let (node, leaf) = topic::parse(topic).unwrap();
    assert_eq!(node, NODE);
    let stream = match leaf {
        Leaf::Event => Stream::Event,
        Leaf::Telemetry => Stream::Telemetry,
        Leaf::Presence => {
            heard.presence.push(String::from_utf8_lossy(payload).into_owned());
            return None;
        }
        Leaf::Command => return None,
    };
    let frame = Envelope::parse(payload).unwrap();
    let authentic = frame.verify(&key(), Direction::Up, stream).unwrap();
    let (header, body) = (authentic.header, authentic.up().unwrap());
    heard.boot = heard.boot.max(header.boot);
    if stream == Stream::Telemetry {
        heard.telemetry.push((header, body));
        return None;
    }
    heard.events.push((header, body));
    if header.seq > heard.committed {
        assert_eq!(
            header.seq,
            heard.committed + 1,
            "an event is missing before {body:?}"
        );
        heard.committed = header.seq;
    }
    let upto = heard.committed;
    heard.acknowledge.then(|| down(heard, &Down::Ack { upto }))
}
