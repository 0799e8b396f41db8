//! The simulated room itself: what it says it is, it is.

use ::simroom::node::{self, Input, Node};
use ::simroom::room::{Config, Room, SITE_FILE};
use ::simroom::scenario::{self, Scenario};
use hil_tests::mosquitto::Mosquitto;
use hil_tests::product::Yagura;
use hil_tests::{cannot_run, lacking, wait_for};
use room::site::{SimulatedAction, parse};
use room::snapshot::AlarmState;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use shared::topic::{Leaf, of};
use shared::wire::{DeviceKey, Direction, Down, Envelope, Header, Stream, Up, VERSION, seal_down};
use shared::{NoData, Quantity};
use std::fs;
use std::path::Path;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

const SOON: Duration = Duration::from_secs(10);
const KEY: [u8; 32] = [7; 32];

/// What a controller would do, for one node: listen, verify, acknowledge when told to.
struct Listener {
    client: AsyncClient,
    heard: mpsc::Receiver<Publish>,
    pump: JoinHandle<()>,
    sent: u32,
}

impl Listener {
    async fn start(broker: &Mosquitto) -> Self {
        let mut options = MqttOptions::new("listener", "127.0.0.1", broker.addr.port());
        options.set_keep_alive(Duration::from_secs(5));
        let (client, mut eventloop) = AsyncClient::new(options, 16);
        client.subscribe("fac/v1/#", QoS::AtLeastOnce).await.unwrap();
        loop {
            let event = tokio::time::timeout(SOON, eventloop.poll())
                .await
                .unwrap()
                .unwrap();
            if matches!(event, Event::Incoming(Packet::SubAck(_))) {
                break;
            }
        }
        // Moves on by itself, so that what is published leaves while the test waits.
        let (to, heard) = mpsc::channel(10_000);
        let pump = tokio::spawn(async move {
            while let Ok(event) = eventloop.poll().await {
                if let Event::Incoming(Packet::Publish(publish)) = event {
                    to.send(publish).await.unwrap();
                }
            }
        });
        Self {
            client,
            heard,
            pump,
            sent: 0,
        }
    }

    /// The next frame of node 9 on a stream, proven.
    async fn next(&mut self, stream: Stream) -> (Header, Up) {
        let leaf = if stream == Stream::Event {
            Leaf::Event
        } else {
            Leaf::Telemetry
        };
        let look = async {
            loop {
                let publish = self.heard.recv().await.expect("the connection to the broker");
                if publish.topic != of(9, leaf).as_bytes() {
                    continue;
                }
                let key = DeviceKey::new(KEY);
                let frame = Envelope::parse(&publish.payload)
                    .unwrap()
                    .verify(&key, Direction::Up, stream)
                    .unwrap();
                return (frame.header, frame.up().unwrap());
            }
        };
        tokio::time::timeout(SOON, look)
            .await
            .expect("a frame of the node")
    }

    /// The next so many events, as sequence and body.
    async fn events(&mut self, count: usize) -> Vec<(u32, Up)> {
        let mut events = Vec::new();
        while events.len() < count {
            let (header, body) = self.next(Stream::Event).await;
            events.push((header.seq, body));
        }
        events
    }

    async fn down(&mut self, boot: u32, seq: u32, body: Down) -> Vec<u8> {
        let header = Header {
            ver: VERSION,
            key_id: 0,
            node: 9,
            boot,
            stream: Stream::Command,
            seq,
            up_ms: 1,
            unix_ms: 1,
        };
        let frame = seal_down(&DeviceKey::new(KEY), &header, &body).unwrap().to_vec();
        self.publish(frame.clone()).await;
        frame
    }

    async fn acknowledge(&mut self, boot: u32, upto: u32) {
        self.sent += 1;
        self.down(boot, self.sent, Down::Ack { upto }).await;
    }

    async fn publish(&mut self, frame: Vec<u8>) {
        let topic = of(9, Leaf::Command);
        self.client
            .publish(topic.as_str(), QoS::AtLeastOnce, false, frame)
            .await
            .unwrap();
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

fn node_9(dir: &Path) -> Node {
    let contact = Input {
        quantity: Quantity::Contact,
        value: Ok(0),
    };
    let temperature = Input {
        quantity: Quantity::Temperature,
        value: Ok(23_000),
    };
    Node::start(node::Config {
        id: 9,
        key: KEY,
        channels: vec![contact, temperature],
        state_file: dir.join("node-9.json"),
        telemetry: Duration::from_millis(100),
        heartbeat: Duration::from_millis(200),
    })
    .unwrap()
}

fn open(channel: u8, open: bool) -> Up {
    Up::Contact { channel, open }
}

#[tokio::test]
async fn a_node_keeps_events_until_they_are_acknowledged_over_cuts_and_restarts() {
    if cannot_run(lacking(&["mosquitto"])) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(dir.path());
    let mut listener = Listener::start(&broker).await;
    let node = node_9(dir.path());
    node.connect(broker.addr);
    let (hello, body) = listener.next(Stream::Event).await;
    assert!(matches!(body, Up::Hello { channels: 2, .. }));
    assert_eq!((hello.boot, hello.seq), (1, 1));
    listener.acknowledge(1, 1).await;
    wait_for("the acknowledgement", SOON, async || {
        (node.state().pending == 0).then_some(())
    })
    .await;

    // With the cable cut, events wait and arrive in order; the value that came and went is not
    // lost either.
    node.cut(true);
    wait_for("the cut", SOON, async || (!node.state().connected).then_some(())).await;
    for (index, level) in [(2, true), (3, false)] {
        node.set_contact(0, level);
        wait_for("the event", SOON, async || {
            (node.state().last_event == index).then_some(())
        })
        .await;
    }
    node.set(1, Err(NoData::BusFault));
    wait_for("the event", SOON, async || {
        (node.state().last_event == 4).then_some(())
    })
    .await;
    node.cut(false);
    let lost = Up::SensorLost {
        channel: 1,
        reason: NoData::BusFault,
    };
    let waiting = vec![(2, open(0, true)), (3, open(0, false)), (4, lost)];
    assert_eq!(listener.events(3).await, waiting);

    // Only the first is acknowledged; then the power goes. The rest comes again, in order.
    listener.acknowledge(1, 2).await;
    wait_for("the acknowledgement", SOON, async || {
        (node.state().pending == 2).then_some(())
    })
    .await;
    drop(node);
    let node = node_9(dir.path());
    node.connect(broker.addr);
    let events = listener.events(3).await;
    assert_eq!(events[..2], waiting[1..]);
    assert!(matches!(events[2], (5, Up::Hello { .. })));
    assert_eq!(node.state().boot, 2);
}

#[tokio::test]
async fn a_node_obeys_authentic_fresh_frames_alone() {
    if cannot_run(lacking(&["mosquitto"])) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::start(dir.path());
    let mut listener = Listener::start(&broker).await;
    let node = node_9(dir.path());
    node.connect(broker.addr);
    listener.events(1).await;

    // Forged, for another boot, and a replay of a frame that was good once.
    listener
        .publish(b"not a frame at all, but long enough to be one".to_vec())
        .await;
    listener.down(2, 90, Down::Ack { upto: 1 }).await;
    let good = listener.down(1, 91, Down::SetTime).await;
    listener.publish(good).await;
    wait_for("three refusals", SOON, async || {
        (node.state().refused == 3).then_some(())
    })
    .await;
    let whys: Vec<Up> = listener
        .events(3)
        .await
        .into_iter()
        .map(|(_, body)| body)
        .collect();
    assert!(
        whys.iter().all(|body| matches!(body, Up::Refused { .. })),
        "{whys:?}"
    );
    assert_eq!(node.state().pending, 4, "nothing was acknowledged");

    // Telemetry goes on meanwhile, with values and the count.
    let heartbeat = async {
        loop {
            if let (
                _,
                Up::Heartbeat {
                    refused: 3,
                    pending: 4,
                    ..
                },
            ) = listener.next(Stream::Telemetry).await
            {
                break;
            }
        }
    };
    tokio::time::timeout(SOON, heartbeat).await.unwrap();
}

#[tokio::test]
async fn the_site_file_of_the_room_is_a_simulated_site_and_its_steps_reach_the_servers() {
    let dir = tempfile::tempdir().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let listen = "127.0.0.1:0".parse().unwrap();
    let config = Config::demo(dir.path().to_owned());
    let process = tokio::spawn(::simroom::room::run(config, listen, async {
        let _ = stopped.await;
    }));
    let file = dir.path().join(SITE_FILE);
    let text = wait_for("the site file", SOON, async || fs::read_to_string(&file).ok()).await;
    let outcome = parse::read::<room::site::Simulated>(&text, dir.path());
    assert!(outcome.problems.is_empty(), "{:#?}", outcome.problems);
    let site = outcome.site.unwrap();
    assert_eq!(
        (site.nodes.len(), site.devices.len(), site.hosts.len()),
        (3, 2, 5)
    );
    for node in &site.nodes {
        let key = fs::read_to_string(&node.key_file).unwrap();
        assert_eq!(key.trim().len(), 64);
    }

    // Every host can be checked with the key and the host key that the file names.
    for host in &site.hosts {
        let SimulatedAction::Ssh(action) = &host.action else {
            panic!("{:?}", host.action);
        };
        let controller::act::permit::Permit::Check(permit) = controller::act::permit::Permit::of(false)
        else {
            unreachable!("a rehearsal is not armed");
        };
        assert_eq!(
            controller::act::ssh::check(action, permit).await,
            Ok(()),
            "{}",
            host.name
        );
    }

    let state = scenario::state(dir.path()).await.unwrap();
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    assert_eq!(state["servers"].as_array().unwrap().len(), 5);
    stop.send(()).unwrap();
    tokio::time::timeout(SOON, process)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let gone = scenario::send(dir.path(), Scenario::Leak).await.unwrap_err();
    assert!(gone.to_string().contains("no simulated room answers"), "{gone}");
}

#[tokio::test]
async fn scenarios_have_consequences() {
    let dir = tempfile::tempdir().unwrap();
    let mut room = Room::start(Config {
        data_dir: dir.path().to_owned(),
        speed: 600.0,
    })
    .await
    .unwrap();
    room.control(dir.path()).unwrap();
    let play = async |scenario| scenario::send(dir.path(), scenario).await.unwrap();

    play(Scenario::Cooling).await;
    wait_for("a hot room", SOON, async || {
        (room.state().temperature > 32.0).then_some(())
    })
    .await;
    play(Scenario::Leak).await;
    play(Scenario::Door).await;
    play(Scenario::Link).await;
    let state = room.state();
    assert!(state.leak && state.door_open && state.link_cut && !state.cooling);

    // Stopped servers are less load; empty batteries take the rest down, unasked.
    play(Scenario::Outage).await;
    room.server("web1").unwrap().power_off();
    wait_for("less load", SOON, async || {
        (room.state().ups[0].load_w < 400.0).then_some(())
    })
    .await;
    room.ups(0).unwrap().set_charge(0.0);
    wait_for("ups-b carries all", SOON, async || {
        (room.state().ups[1].load_w > 700.0).then_some(())
    })
    .await;
    assert_eq!(
        room.state()
            .servers
            .iter()
            .map(|server| server.crashes)
            .sum::<u32>(),
        0
    );
    room.ups(1).unwrap().set_charge(0.0);
    wait_for("a dark room", SOON, async || {
        room.state()
            .servers
            .iter()
            .all(|server| server.power == "down")
            .then_some(())
    })
    .await;
    let crashes: Vec<u32> = room.state().servers.iter().map(|server| server.crashes).collect();
    assert_eq!(crashes, [1, 1, 1, 0, 1], "web1 was off before");

    play(Scenario::Reset).await;
    let state = room.state();
    assert!(state.mains && state.cooling && !state.leak && !state.door_open && !state.link_cut);
    assert!(
        state.servers.iter().all(|server| server.power == "up"),
        "{:?}",
        state.servers
    );
    assert!(
        state.ups.iter().all(|ups| ups.charge_percent > 99.0),
        "{:?}",
        state.ups
    );
}

#[tokio::test]
async fn the_control_socket_refuses_what_it_does_not_know() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let dir = tempfile::tempdir().unwrap();
    let mut room = Room::start(Config::demo(dir.path().to_owned())).await.unwrap();
    room.control(dir.path()).unwrap();
    for request in ["fire\n".to_owned(), "x".repeat(10_000)] {
        let mut stream = tokio::net::UnixStream::connect(scenario::socket(dir.path()))
            .await
            .unwrap();
        // The room may have answered and left before it read all of it.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        assert!(
            answer.is_empty() || answer.starts_with("error: no such scenario"),
            "{answer}"
        );
    }
    scenario::send(dir.path(), Scenario::Reset).await.unwrap();
}

/// What a visitor does, one after the other, against the whole product.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_scenario_of_the_demo_shows_and_is_undone() {
    const LONG: Duration = Duration::from_secs(60);
    let dir = tempfile::tempdir().unwrap();
    let demo = tokio::task::block_in_place(|| Yagura::demo(dir.path()));
    let play = async |scenario| scenario::send(dir.path(), scenario).await.unwrap();
    let appears = |alarm: &str| {
        tokio::task::block_in_place(|| demo.wait_alarm(alarm, AlarmState::Unacknowledged, LONG));
    };
    let returns = |alarm: &str| {
        tokio::task::block_in_place(|| demo.wait_alarm(alarm, AlarmState::ReturnedUnacknowledged, LONG));
    };
    tokio::task::block_in_place(|| {
        demo.wait("three nodes and two UPSs", LONG, |picture| {
            let nodes = picture.nodes.iter().filter(|node| node.state == "alive").count();
            let devices = picture
                .devices
                .iter()
                .filter(|device| device.state == "answering")
                .count();
            ((nodes, devices) == (3, 2)).then_some(())
        });
    });
    play(Scenario::Link).await;
    play(Scenario::Cooling).await;
    play(Scenario::Leak).await;
    play(Scenario::Door).await;
    // Silence becomes an alarm by time alone: nothing comes in that could raise it.
    for alarm in [
        "door.1.forced",
        "leak.1.wet",
        "node-3.silent",
        "inlet.r3.temperature.warm",
    ] {
        appears(alarm);
    }
    play(Scenario::Reset).await;
    for alarm in [
        "door.1.forced",
        "leak.1.wet",
        "node-3.silent",
        "inlet.r3.temperature.warm",
    ] {
        returns(alarm);
    }
    let nodes = demo.snapshot().unwrap().nodes;
    assert!(
        nodes.iter().all(|node| node.missing == 0 && node.refused == 0),
        "{nodes:?}"
    );
}

/// The main job in the demo: the mains fail, the servers are stopped in order, once, and come
/// back with the mains.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_the_demo_stops_every_server_once_and_in_order() {
    const LONG: Duration = Duration::from_secs(120);
    let dir = tempfile::tempdir().unwrap();
    let demo = tokio::task::block_in_place(|| Yagura::demo(dir.path()));
    tokio::task::block_in_place(|| {
        demo.wait("a margin", LONG, |picture| picture.power.margin_s);
    });
    scenario::send(dir.path(), Scenario::Outage).await.unwrap();
    let mut order = Vec::new();
    tokio::task::block_in_place(|| {
        demo.wait("the end of the plan", LONG, |picture| {
            for step in &picture.power.steps {
                if step.state == "confirmed" && !order.contains(&step.id) {
                    order.push(step.id.clone());
                }
            }
            picture
                .power
                .run
                .as_ref()
                .filter(|run| run.state == "done")
                .map(|_| ())
        });
    });
    assert_eq!(order.len(), 5, "{order:?}");
    assert_eq!(order[2..], ["app1", "db1", "storage1"], "{order:?}");
    let state = async || -> serde_json::Value {
        serde_json::from_str(&scenario::state(dir.path()).await.unwrap()).unwrap()
    };
    for server in state().await["servers"].as_array().unwrap() {
        assert_eq!(
            (&server["power"], &server["stops"], &server["crashes"]),
            (&"down".into(), &1.into(), &0.into()),
            "{server}"
        );
    }
    scenario::send(dir.path(), Scenario::MainsBack).await.unwrap();
    wait_for("the servers to be up again", LONG, async || {
        let state = state().await;
        state["servers"]
            .as_array()
            .unwrap()
            .iter()
            .all(|server| server["power"] == "up")
            .then_some(())
    })
    .await;
}
