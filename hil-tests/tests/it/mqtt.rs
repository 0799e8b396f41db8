//! MQTT against parts that are not ours: Debian's mosquitto as a site's broker, and its clients
//! at the built-in endpoint. The test stands in core's place.
#![allow(clippy::unwrap_used, reason = "a test")]

use controller::broker::{self, CoreLink};
use controller::core::source::mqtt::{ExternalConfig, external};
use controller::core::source::{Message, Publish};
use controller::link::{Account, FromBroker, ToBroker};
use hil_tests::{Child, cannot_run, free_port, lacking, wait_for};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Longest wait for anything that must happen.
const BOUND: Duration = Duration::from_secs(30);

// --- Debian's mosquitto as the site's broker -------------------------------------------------

struct Mosquitto {
    addr: SocketAddr,
    child: Child,
    folder: tempfile::TempDir,
}

impl Mosquitto {
    async fn start() -> Self {
        let addr = free_port();
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "listener {} {}\nallow_anonymous true\npersistence false\n",
            addr.port(),
            addr.ip()
        );
        std::fs::write(folder.path().join("mosquitto.conf"), config).unwrap();
        let child = Self::spawn(&folder);
        let mosquitto = Self { addr, child, folder };
        mosquitto.listening().await;
        mosquitto
    }

    fn spawn(folder: &tempfile::TempDir) -> Child {
        let mut command = Command::new("/usr/sbin/mosquitto");
        command.arg("-c").arg(folder.path().join("mosquitto.conf"));
        Child::start(command.stdout(Stdio::null()).stderr(Stdio::null()))
    }

    async fn listening(&self) {
        let connects = async || TcpStream::connect(self.addr).await.ok();
        wait_for("mosquitto to listen", BOUND, connects).await;
    }

    /// Crashes and comes back with nothing of what it knew.
    async fn crash_and_restart(&mut self) {
        self.child.kill();
        self.child = Self::spawn(&self.folder);
        self.listening().await;
    }
}

/// The source under test, with the test in core's place.
struct Source {
    inbound: mpsc::Receiver<Message>,
    outbound: mpsc::Sender<Publish>,
    task: JoinHandle<()>,
}

impl Source {
    fn start(addr: SocketAddr) -> Self {
        let (to_core, inbound) = mpsc::channel(8);
        let (outbound, from_core) = mpsc::channel(8);
        let config = ExternalConfig::new(&addr.to_string(), None, "yagura-core").unwrap();
        let task = tokio::spawn(external(
            config,
            to_core,
            from_core,
            tokio::sync::watch::channel(None).0,
        ));
        Self {
            inbound,
            outbound,
            task,
        }
    }

    async fn next(&mut self) -> Message {
        timeout(BOUND, self.inbound.recv())
            .await
            .expect("a message in time")
            .unwrap()
    }

    async fn crash(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

/// A node: repeats its events until core's own acknowledgement has arrived, as firmware does.
async fn node(addr: SocketAddr, mut events: mpsc::Receiver<u32>, done: mpsc::Sender<u32>) {
    let (client, mut eventloop) = client("node-1", addr);
    let mut unacknowledged = BTreeSet::new();
    let mut again = tokio::time::interval(Duration::from_millis(200));
    let (tell, mut acks) = mpsc::channel(64);
    let poll = async {
        loop {
            match eventloop.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    client.try_subscribe("fac/v1/1/cmd", QoS::AtLeastOnce).unwrap();
                }
                Ok(Event::Incoming(Packet::Publish(publish))) => {
                    let upto: u32 = std::str::from_utf8(&publish.payload).unwrap().parse().unwrap();
                    tell.send(upto).await.unwrap();
                }
                Ok(_) => {}
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    };
    let work = async {
        loop {
            let send: Vec<u32> = tokio::select! {
                Some(event) = events.recv() => {
                    unacknowledged.insert(event);
                    vec![event]
                }
                Some(acknowledged) = acks.recv() => {
                    if unacknowledged.remove(&acknowledged) {
                        done.send(acknowledged).await.unwrap();
                    }
                    Vec::new()
                }
                _ = again.tick() => unacknowledged.iter().copied().take(16).collect(),
            };
            for event in send {
                let payload = event.to_string();
                let _ = client.try_publish("fac/v1/1/ev", QoS::AtLeastOnce, false, payload);
            }
        }
    };
    tokio::join!(poll, work);
}

fn client(id: &str, addr: SocketAddr) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new(id, addr.ip().to_string(), addr.port());
    options.set_keep_alive(Duration::from_secs(5));
    AsyncClient::new(options, 64)
}

#[tokio::test]
async fn no_event_is_lost_when_the_sites_broker_crashes() {
    if cannot_run(lacking(&["mosquitto"])) {
        return;
    }
    const EVENTS: u32 = 60;
    let mut mosquitto = Mosquitto::start().await;
    let mut source = Source::start(mosquitto.addr);
    let (happen, events) = mpsc::channel(64);
    let (done, mut acknowledged) = mpsc::channel(64);
    let node = tokio::spawn(node(mosquitto.addr, events, done));
    let mut arrived = BTreeSet::new();
    for event in 1..=EVENTS {
        happen.send(event).await.unwrap();
        if event % 20 == 0 {
            mosquitto.crash_and_restart().await;
        }
        // Core commits, settles, and acknowledges to the node by itself.
        while !arrived.contains(&event) {
            let message = source.next().await;
            assert_eq!(message.topic, "fac/v1/1/ev");
            let text = String::from_utf8(message.payload).unwrap();
            arrived.insert(text.parse().unwrap());
            message.settle.expect("QoS 1").send(()).unwrap_or(());
            let topic = "fac/v1/1/cmd".to_owned();
            let payload = text.into_bytes();
            source.outbound.send(Publish { topic, payload }).await.unwrap();
        }
    }
    assert_eq!(arrived, (1..=EVENTS).collect());
    // Acknowledgements lost in a crash are asked for again by the node's next repetition.
    let mut answered = BTreeSet::new();
    let all = async {
        while answered.len() < arrived.len() {
            tokio::select! {
                Some(event) = acknowledged.recv() => { answered.insert(event); }
                Some(message) = source.inbound.recv() => {
                    message.settle.unwrap().send(()).unwrap_or(());
                    let topic = "fac/v1/1/cmd".to_owned();
                    source.outbound.send(Publish { topic, payload: message.payload }).await.unwrap();
                }
            }
        }
    };
    timeout(BOUND, all)
        .await
        .expect("every event acknowledged to the node");
    node.abort();
}

#[tokio::test]
async fn the_sites_broker_delivers_again_what_core_had_not_settled() {
    if cannot_run(lacking(&["mosquitto"])) {
        return;
    }
    let mosquitto = Mosquitto::start().await;
    let mut source = Source::start(mosquitto.addr);
    let (node, mut eventloop) = client("node-1", mosquitto.addr);
    let polling = tokio::spawn(async move { while eventloop.poll().await.is_ok() {} });
    // Published again and again until the source has subscribed; the first copy is settled.
    let first = async {
        loop {
            node.publish("fac/v1/1/ev", QoS::AtLeastOnce, false, "first")
                .await
                .unwrap();
            if let Ok(message) = timeout(Duration::from_millis(100), source.inbound.recv()).await {
                return message.unwrap();
            }
        }
    };
    let mut message = timeout(BOUND, first).await.unwrap();
    node.publish("fac/v1/1/ev", QoS::AtLeastOnce, false, "second")
        .await
        .unwrap();
    loop {
        let second = message.payload == b"second";
        if second {
            break;
        }
        message.settle.unwrap().send(()).unwrap();
        message = source.next().await;
    }
    // Core dies before it has settled the second.
    source.crash().await;
    drop(message);
    let mut source = Source::start(mosquitto.addr);
    let again = source.next().await;
    assert_eq!(again.payload, b"second");
    again.settle.unwrap().send(()).unwrap();
    node.publish("fac/v1/1/ev", QoS::AtLeastOnce, false, "third")
        .await
        .unwrap();
    assert_eq!(source.next().await.payload, b"third");
    polling.abort();
}

#[tokio::test]
async fn a_broker_that_falls_silent_is_left() {
    // Lets the source in, and never says another word: what a frozen host looks like.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let source = Source::start(listener.local_addr().unwrap());
    let mut frozen = Vec::new();
    for _ in 0..2 {
        let (mut stream, _) = timeout(BOUND, listener.accept()).await.expect("a call").unwrap();
        let mut connect = [0; 256];
        assert!(stream.read(&mut connect).await.unwrap() > 0);
        stream.write_all(&[0x20, 3, 0, 0, 0]).await.unwrap();
        frozen.push(stream);
    }
    source.crash().await;
}

// --- mosquitto's clients at the built-in endpoint ---------------------------------------------

/// The endpoint with the test in core's place; it settles nothing by itself.
struct Endpoint {
    addr: SocketAddr,
    from_broker: mpsc::Receiver<FromBroker>,
    to_broker: mpsc::Sender<ToBroker>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Endpoint {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (links, link) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let task = tokio::spawn(broker::serve(listener, link, stop.clone()));
        let (to_core, from_broker) = mpsc::channel(64);
        let (to_broker, from_core) = mpsc::channel(64);
        links.send(CoreLink { to_core, from_core }).await.unwrap();
        let endpoint = Self {
            addr,
            from_broker,
            to_broker,
            stop,
            task,
        };
        let accounts = [
            ("1", ["fac/v1/1/+"], ["fac/v1/1/cmd"]),
            ("panel", ["panel/#"], ["#"]),
        ];
        let accounts = accounts.map(|(user, publish, subscribe)| Account {
            user: user.to_owned(),
            password_sha256: Sha256::digest(format!("secret of {user}")).into(),
            publish: publish.map(str::to_owned).to_vec(),
            subscribe: subscribe.map(str::to_owned).to_vec(),
        });
        endpoint
            .to_broker
            .send(ToBroker::Accounts(accounts.to_vec()))
            .await
            .unwrap();
        endpoint
    }

    /// `mosquitto_pub` or `mosquitto_sub` with the account's right password.
    fn tool(&self, tool: &str, version: &str, user: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(tool);
        command
            .args([
                "-h",
                &self.addr.ip().to_string(),
                "-p",
                &self.addr.port().to_string(),
            ])
            .args(["-V", version, "-u", user, "-P", &format!("secret of {user}")])
            .args(arguments);
        command
    }

    async fn run(&self, tool: &str, version: &str, user: &str, arguments: &[&str]) -> Output {
        let mut command = self.tool(tool, version, user, arguments);
        let run = tokio::task::spawn_blocking(move || command.output().unwrap());
        timeout(BOUND, run).await.expect("the tool ends in time").unwrap()
    }

    async fn arrival(&mut self) -> (u64, String, Vec<u8>) {
        let arrival = async {
            loop {
                match self.from_broker.recv().await.unwrap() {
                    FromBroker::Publish {
                        token,
                        topic,
                        payload,
                        ..
                    } => return (token, topic, payload),
                    FromBroker::Counters(_) => {}
                }
            }
        };
        timeout(BOUND, arrival).await.expect("a message in time")
    }

    async fn stop(self) {
        self.stop.cancel();
        timeout(BOUND, self.task).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn mosquitto_pub_waits_for_the_commit() {
    if cannot_run(lacking(&["mosquitto_pub"])) {
        return;
    }
    let mut endpoint = Endpoint::start().await;
    for version in ["311", "5"] {
        let arguments = ["-q", "1", "-t", "fac/v1/1/ev", "-m", version];
        let mut publisher = Child::start(&mut endpoint.tool("mosquitto_pub", version, "1", &arguments));
        let (token, topic, payload) = endpoint.arrival().await;
        assert_eq!(
            (topic.as_str(), payload.as_slice()),
            ("fac/v1/1/ev", version.as_bytes())
        );
        // It leaves as soon as it has its PUBACK, so it has none.
        assert!(publisher.ended().is_none());
        endpoint
            .to_broker
            .send(ToBroker::Settled { token })
            .await
            .unwrap();
        let status = wait_for("mosquitto_pub to end", BOUND, async || publisher.ended()).await;
        assert!(status.success());
    }
    endpoint.stop().await;
}

#[tokio::test]
async fn mosquitto_sub_gets_what_is_retained_and_what_comes() {
    if cannot_run(lacking(&["mosquitto_pub"])) {
        return;
    }
    let endpoint = Endpoint::start().await;
    for version in ["311", "5"] {
        let kept = ["-q", "1", "-r", "-t", "panel/kept", "-m", "old"];
        assert!(
            endpoint
                .run("mosquitto_pub", version, "panel", &kept)
                .await
                .status
                .success()
        );
        let wish = [
            "-q", "1", "-t", "panel/+", "-C", "2", "-W", "20", "-F", "%r %t %p",
        ];
        let mut command = endpoint.tool("mosquitto_sub", version, "panel", &wish);
        let subscriber = tokio::task::spawn_blocking(move || command.output().unwrap());
        // Published until the subscriber has two: it cannot say when it is there.
        let publish = async {
            while !subscriber.is_finished() {
                let live = ["-q", "1", "-t", "panel/live", "-m", "new"];
                endpoint.run("mosquitto_pub", version, "panel", &live).await;
            }
        };
        timeout(BOUND, publish).await.unwrap();
        let output = subscriber.await.unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "1 panel/kept old\n0 panel/live new\n"
        );
        let clear = ["-q", "1", "-r", "-t", "panel/kept", "-n"];
        assert!(
            endpoint
                .run("mosquitto_pub", version, "panel", &clear)
                .await
                .status
                .success()
        );
    }
    endpoint.stop().await;
}

#[tokio::test]
async fn mosquitto_s_tools_are_told_why_they_are_refused() {
    if cannot_run(lacking(&["mosquitto_pub"])) {
        return;
    }
    let endpoint = Endpoint::start().await;
    for version in ["311", "5"] {
        let mut command = endpoint.tool("mosquitto_pub", version, "1", &["-t", "fac/v1/1/t", "-m", "x"]);
        command.args(["-P", "wrong"]);
        let run = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = timeout(BOUND, run).await.unwrap().unwrap();
        let words = String::from_utf8_lossy(&output.stderr).to_lowercase();
        assert!(
            !output.status.success() && words.contains("user name"),
            "{version}: {words}"
        );

        let all = ["-t", "#", "-W", "20"];
        let output = endpoint.run("mosquitto_sub", version, "1", &all).await;
        let words = String::from_utf8_lossy(&output.stderr).to_lowercase();
        assert!(words.contains("denied"), "{version}: {words}");

        let foreign = ["-q", "1", "-t", "fac/v1/2/ev", "-m", "x"];
        let output = endpoint.run("mosquitto_pub", version, "1", &foreign).await;
        let words = String::from_utf8_lossy(&output.stderr).to_lowercase();
        // MQTT 5 has a reason for it; 3.1.1 has none, so the connection is closed and
        // mosquitto_pub says so or tries again until it gives up.
        if version == "5" {
            assert!(words.contains("not authorized"), "{words}");
        } else {
            assert!(!output.status.success(), "{words}");
        }
    }
    endpoint.stop().await;
}

#[tokio::test]
async fn the_will_of_a_killed_client_arrives() {
    if cannot_run(lacking(&["mosquitto_pub"])) {
        return;
    }
    let mut endpoint = Endpoint::start().await;
    for version in ["311", "5"] {
        let will = [
            "-i",
            "node-1",
            "-t",
            "fac/v1/1/cmd",
            "--will-topic",
            "fac/v1/1/up",
            "--will-payload",
            "0",
            "--will-qos",
            "1",
        ];
        let mut client = Child::start(
            endpoint
                .tool("mosquitto_sub", version, "1", &will)
                .stdout(Stdio::piped()),
        );
        // Retained, so it arrives whenever the client has subscribed.
        let command = ToBroker::Publish {
            topic: "fac/v1/1/cmd".to_owned(),
            payload: b"hello\n".to_vec(),
            at_least_once: true,
            retain: true,
        };
        endpoint.to_broker.send(command).await.unwrap();
        let stdout = client.inner().stdout.take().unwrap();
        let heard = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
            line
        });
        assert_eq!(timeout(BOUND, heard).await.unwrap().unwrap(), "hello\n");
        client.kill();
        let (token, topic, payload) = endpoint.arrival().await;
        assert_eq!((topic.as_str(), payload.as_slice()), ("fac/v1/1/up", &b"0"[..]));
        endpoint
            .to_broker
            .send(ToBroker::Settled { token })
            .await
            .unwrap();
    }
    endpoint.stop().await;
}
