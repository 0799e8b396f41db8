//! The room: three nodes, two UPSs, five servers, the air between them, and what can go wrong.
//!
//! One task moves the room a step at a time: heat of the running servers and the cooling make
//! the climate, the climate is what the nodes measure; the running servers are the load of the
//! UPSs, and a server whose UPSs are all empty loses its power, asked or not.
//!
//! ```text
//! servers --heat--> climate --> nodes --MQTT-->
//!    ^  \--load--> UPSs ------------SNMP------>   controller
//!    |               |                               |
//!    +---power lost--+      <------SSH (stop)--------+
//! ```
// Long because the room is one state that every scenario, agent and server turns at.

use crate::climate::{Climate, Forces, SUPPLY};
use crate::layout::{self, Layout, Name};
use crate::log_server::LogServer;
use crate::node::{self, Input, Node};
use crate::scenario::{self, MAX_REQUEST, Scenario, socket};
use crate::server::{self, Mode, Power, Server, new_key, private_text};
use crate::ups::{Mib, Model, Source, Ups};
use crate::write_private;
use serde::Serialize;
use shared::Quantity;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};

/// Between two steps of the room.
pub const STEP: Duration = Duration::from_millis(250);
/// Longest step that is reckoned with; after a longer pause the room has stood still.
pub const LONGEST_STEP: f64 = 5.0;
/// From mains back to the first server that starts by itself.
pub const BOOT_AFTER: Duration = Duration::from_secs(8);
/// Between two servers that start.
pub const BOOT_EVERY: Duration = Duration::from_secs(2);
/// Conversations on the control socket at a time.
pub const MAX_CONVERSATIONS: usize = 8;

/// How the room is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where keys, the nodes' memories and the control socket live.
    pub data_dir: PathBuf,
    /// Simulated seconds of the climate for each second.
    pub speed: f64,
}

/// The running room; dropping it ends everything in it.
pub struct Room {
    layout: Layout,
    parts: Arc<Parts>,
    steps: JoinHandle<()>,
    control: Option<JoinHandle<()>>,
    _log_server: LogServer,
}

/// The room as it is, for tests and for a look from the command line.
#[derive(Debug, Clone, Serialize)]
pub struct State {
    /// The mains are there.
    pub mains: bool,
    /// The cooling runs.
    pub cooling: bool,
    /// The leak rope is wet.
    pub leak: bool,
    /// The door is open.
    pub door_open: bool,
    /// The cable of a node is cut.
    pub link_cut: bool,
    /// Cold-aisle temperature, °C.
    pub temperature: f64,
    /// Relative humidity, percent.
    pub humidity: f64,
    /// Servers.
    pub servers: Vec<ServerState>,
    /// UPSs.
    pub ups: Vec<UpsState>,
    /// Nodes.
    pub nodes: Vec<node::State>,
}

/// A UPS as it is, whatever its agent says.
#[derive(Debug, Clone, Serialize)]
pub struct UpsState {
    /// Its output has power.
    pub supplies: bool,
    /// State of charge, percent.
    pub charge_percent: f64,
    /// Left at the present load, seconds.
    pub runtime_s: f64,
    /// Load, watts.
    pub load_w: f64,
}

/// A server as it is.
#[derive(Debug, Clone, Serialize)]
pub struct ServerState {
    /// Short name.
    pub name: &'static str,
    /// `up`, `stopping` or `down`.
    pub power: &'static str,
    /// Times it was stopped by a command.
    pub stops: u32,
    /// Times its power went away under it.
    pub crashes: u32,
}

struct Parts {
    nodes: Vec<Node>,
    ups: Vec<Ups>,
    servers: Vec<Server>,
    world: Mutex<World>,
}

/// What is not in a device.
struct World {
    climate: Climate,
    /// Air out of the cooling unit, °C.
    supply: f64,
    mains: bool,
    cooling: bool,
    leak: bool,
    door_open: bool,
    link_cut: bool,
    crashes: Vec<u32>,
    /// Servers that start, and when.
    boots: VecDeque<(Instant, usize)>,
}

/// The plan of the room: a server of it.
struct Rack {
    name: &'static str,
    label: Name,
    watts: f64,
    stop_after: Duration,
    depends_on: &'static [&'static str],
    on_failure: &'static str,
}

const FEEDS: &[&str] = &["ups-a", "ups-b"];

/// In the order in which they start.
const RACKS: [Rack; 5] = [
    Rack {
        name: "storage1",
        label: Name {
            ja: "共有ストレージ",
            en: "Storage",
        },
        watts: 260.0,
        stop_after: Duration::from_millis(4_000),
        depends_on: &[],
        on_failure: "go_on",
    },
    Rack {
        name: "db1",
        label: Name {
            ja: "データベース",
            en: "Database",
        },
        watts: 200.0,
        stop_after: Duration::from_millis(5_000),
        depends_on: &["storage1"],
        on_failure: "hold",
    },
    Rack {
        name: "app1",
        label: Name {
            ja: "業務サーバ",
            en: "Application server",
        },
        watts: 160.0,
        stop_after: Duration::from_millis(3_000),
        depends_on: &["db1"],
        on_failure: "go_on",
    },
    Rack {
        name: "web1",
        label: Name {
            ja: "Web サーバ 1",
            en: "Web server 1",
        },
        watts: 110.0,
        stop_after: Duration::from_millis(2_000),
        depends_on: &["app1"],
        on_failure: "go_on",
    },
    Rack {
        name: "web2",
        label: Name {
            ja: "Web サーバ 2",
            en: "Web server 2",
        },
        watts: 110.0,
        stop_after: Duration::from_millis(2_500),
        depends_on: &["app1"],
        on_failure: "go_on",
    },
];

const fn channel(
    point: &'static str,
    ja: &'static str,
    en: &'static str,
    quantity: &'static str,
    contact: Option<&'static str>,
) -> layout::Channel {
    layout::Channel {
        point,
        label: Name { ja, en },
        quantity,
        contact,
    }
}

const NODE_1: &[layout::Channel] = &[
    channel(
        "inlet.r1.temperature",
        "ラック1 吸気温度",
        "Rack 1 inlet",
        "temperature",
        None,
    ),
    channel(
        "inlet.r1.humidity",
        "ラック1 吸気湿度",
        "Rack 1 inlet humidity",
        "humidity",
        None,
    ),
    channel(
        "inlet.r2.temperature",
        "ラック2 吸気温度",
        "Rack 2 inlet",
        "temperature",
        None,
    ),
    channel("door.1", "正面扉", "Front door", "contact", Some("door")),
];
const NODE_2: &[layout::Channel] = &[
    channel(
        "inlet.r3.temperature",
        "ラック3 吸気温度",
        "Rack 3 inlet",
        "temperature",
        None,
    ),
    channel(
        "inlet.r3.humidity",
        "ラック3 吸気湿度",
        "Rack 3 inlet humidity",
        "humidity",
        None,
    ),
    channel(
        "supply.temperature",
        "空調 吹出し温度",
        "Cooling supply air",
        "temperature",
        None,
    ),
    channel(
        "leak.1",
        "空調機下 漏水",
        "Leak below the cooling unit",
        "contact",
        Some("leak"),
    ),
];
const NODE_3: &[layout::Channel] = &[
    channel(
        "ups-room.temperature",
        "UPS 周囲温度",
        "Air around the UPSs",
        "temperature",
        None,
    ),
    channel(
        "ups-room.humidity",
        "UPS 周囲湿度",
        "Humidity around the UPSs",
        "humidity",
        None,
    ),
    channel("smoke.1", "煙感知器", "Smoke detector", "contact", Some("smoke")),
];

/// Channels that scenarios and the climate move.
const DOOR: (usize, u8) = (0, 3);
const LEAK: (usize, u8) = (1, 3);
/// The node whose cable is cut.
const LINK: usize = 2;

impl Room {
    /// Builds the room and starts everything in it; the nodes wait for
    /// [`Room::connect_nodes`].
    ///
    /// # Errors
    /// When a port cannot be opened or a file not be written.
    pub async fn start(config: Config) -> std::io::Result<Self> {
        let keys = config.data_dir.join("keys");
        let memories = config.data_dir.join("nodes");
        for dir in [&config.data_dir, &keys, &memories] {
            make_private_dir(dir)?;
        }
        let mut nodes = Vec::new();
        let mut node_layout = Vec::new();
        for (id, label, channels) in [
            (
                1,
                Name {
                    ja: "ラック列 A ノード",
                    en: "Row A node",
                },
                NODE_1,
            ),
            (
                2,
                Name {
                    ja: "空調側ノード",
                    en: "Cooling side node",
                },
                NODE_2,
            ),
            (
                3,
                Name {
                    ja: "UPS 室ノード",
                    en: "UPS room node",
                },
                NODE_3,
            ),
        ] {
            let key_file = keys.join(format!("node-{id}.key"));
            nodes.push(Node::start(node::Config {
                id,
                key: device_key(&key_file)?,
                channels: channels.iter().map(first_value).collect(),
                state_file: memories.join(format!("node-{id}.json")),
                telemetry: Duration::from_secs(1),
                heartbeat: Duration::from_secs(4),
            })?);
            node_layout.push(layout::Node {
                id,
                label,
                key_file,
                channels,
            });
        }
        let (ups, devices) = start_ups().await?;
        let mut servers = Vec::new();
        let mut hosts = Vec::new();
        for rack in &RACKS {
            let key_file = keys.join(format!("stop-{}", rack.name));
            let (server, host) = start_server(rack, key_file).await?;
            servers.push(server);
            hosts.push(host);
        }
        let log_server = LogServer::start().await?;
        let parts = Arc::new(Parts {
            nodes,
            ups,
            servers,
            world: Mutex::new(World {
                climate: Climate::quiet(config.speed),
                supply: SUPPLY,
                mains: true,
                cooling: true,
                leak: false,
                door_open: false,
                link_cut: false,
                crashes: vec![0; RACKS.len()],
                boots: VecDeque::new(),
            }),
        });
        Ok(Self {
            layout: Layout {
                nodes: node_layout,
                devices,
                // Who is stopped first stands first.
                hosts: hosts.into_iter().rev().collect(),
                log_server: log_server.addr(),
            },
            _log_server: log_server,
            steps: tokio::spawn(steps(Arc::clone(&parts))),
            parts,
            control: None,
        })
    }

    /// Where everything is.
    #[must_use]
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Tells the nodes where the broker is; they try until it is there.
    pub fn connect_nodes(&self, broker: SocketAddr) {
        for node in &self.parts.nodes {
            node.connect(broker);
        }
    }

    /// Makes a scenario happen.
    pub async fn play(&self, scenario: Scenario) {
        self.parts.play(scenario).await;
    }

    /// The room as it is.
    #[must_use]
    pub fn state(&self) -> State {
        self.parts.state()
    }

    /// A server of the room, to change how it behaves.
    #[must_use]
    pub fn server(&self, name: &str) -> Option<&Server> {
        self.parts.servers.iter().find(|server| server.name() == name)
    }

    /// A node of the room, by its id.
    #[must_use]
    pub fn node(&self, id: u16) -> Option<&Node> {
        self.parts.nodes.iter().find(|node| node.id() == id)
    }

    /// A UPS of the room: 0 is `ups-a`, 1 is `ups-b`.
    #[must_use]
    pub fn ups(&self, index: usize) -> Option<&Ups> {
        self.parts.ups.get(index)
    }

    /// Opens the control socket below the data directory.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn control(&mut self, data_dir: &Path) -> std::io::Result<()> {
        let path = socket(data_dir);
        if let Some(dir) = path.parent() {
            make_private_dir(dir)?;
        }
        // Left behind by a room that was killed; a live one has another data directory.
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        self.control = Some(tokio::spawn(control(listener, Arc::clone(&self.parts))));
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.steps.abort();
        if let Some(control) = &self.control {
            control.abort();
        }
    }
}

/// File below the data directory that tells the controller of the room; it appears when the
/// room is ready.
pub const SITE_FILE: &str = "site.toml";
/// File below the data directory in which the controller's MQTT endpoint says where it listens.
pub const BROKER_FILE: &str = "run/broker.addr";
/// Between two looks at [`BROKER_FILE`].
pub const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Longest address that is read from [`BROKER_FILE`], in bytes.
const MAX_ADDRESS: u64 = 64;

impl Config {
    /// The room as the demo shows it: its climate runs ten times as fast as a real one.
    #[must_use]
    pub const fn demo(data_dir: PathBuf) -> Self {
        Self {
            data_dir,
            speed: 10.0,
        }
    }
}

/// The room as a process: starts it, writes [`SITE_FILE`] with pages at `listen`, connects the
/// nodes to whatever [`BROKER_FILE`] says, and takes words until `stop` resolves.
///
/// # Errors
/// As [`Room::start`] and [`Room::control`].
pub async fn run(config: Config, listen: SocketAddr, stop: impl Future<Output = ()>) -> std::io::Result<()> {
    let data_dir = config.data_dir.clone();
    let mut room = Room::start(config).await?;
    room.control(&data_dir)?;
    // Port 0: the endpoint takes a free one and says which.
    let mqtt = SocketAddr::from(([127, 0, 0, 1], 0));
    let site = layout::site_toml(room.layout(), &data_dir, listen, mqtt);
    write_private(&data_dir.join(SITE_FILE), site.as_bytes())?;
    tracing::info!("the simulated room runs");
    let follow = async {
        let mut known = None;
        loop {
            let broker = broker_of(&data_dir).await;
            if let Some(broker) = broker.filter(|_| broker != known) {
                room.connect_nodes(broker);
                known = Some(broker);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        () = stop => Ok(()),
        () = follow => Ok(()),
    }
}

/// Where the MQTT endpoint listens, if it has said so. Loopback alone: the nodes of a simulated
/// room have no business elsewhere.
async fn broker_of(data_dir: &Path) -> Option<SocketAddr> {
    let file = tokio::fs::File::open(data_dir.join(BROKER_FILE)).await.ok()?;
    let mut text = String::new();
    file.take(MAX_ADDRESS).read_to_string(&mut text).await.ok()?;
    let addr: SocketAddr = text.trim().parse().ok()?;
    (addr.ip().is_loopback() && addr.port() != 0).then_some(addr)
}

impl Parts {
    fn world(&self) -> MutexGuard<'_, World> {
        // A panic while it was held would have left a half step behind, which the next mends.
        self.world
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn play(&self, scenario: Scenario) {
        match scenario {
            Scenario::Outage => self.mains(false),
            Scenario::MainsBack => self.mains(true),
            Scenario::Cooling => self.world().cooling = false,
            Scenario::Leak => self.contact(LEAK, true),
            Scenario::Door => self.contact(DOOR, true),
            Scenario::Link => self.link(true),
            Scenario::Reset => {
                self.mains(true);
                self.contact(LEAK, false);
                self.contact(DOOR, false);
                self.link(false);
                for ups in &self.ups {
                    ups.set_charge(100.0);
                }
                {
                    let mut world = self.world();
                    world.cooling = true;
                    world.climate = Climate::quiet(world.climate.speed);
                    world.boots.clear();
                }
                for server in &self.servers {
                    self.boot(server).await;
                }
            }
        }
    }

    fn mains(&self, there: bool) {
        for ups in &self.ups {
            ups.set_mains(there);
        }
        let mut world = self.world();
        world.boots.clear();
        if there && !world.mains {
            // Only those that are down by then do start.
            let first = Instant::now() + BOOT_AFTER;
            for index in 0..self.servers.len() {
                let at = first + BOOT_EVERY * u32::try_from(index).unwrap_or(0);
                world.boots.push_back((at, index));
            }
        }
        world.mains = there;
    }

    fn contact(&self, (node, channel): (usize, u8), open: bool) {
        self.nodes[node].set_contact(channel, open);
        let mut world = self.world();
        if (node, channel) == LEAK {
            world.leak = open;
        } else {
            world.door_open = open;
        }
    }

    fn link(&self, cut: bool) {
        self.nodes[LINK].cut(cut);
        self.world().link_cut = cut;
    }

    async fn boot(&self, server: &Server) {
        if let Err(error) = server.boot().await {
            tracing::warn!(server = server.name(), %error, "a simulated server could not start again");
        }
    }

    fn state(&self) -> State {
        let world = self.world();
        let servers = RACKS.iter().zip(&self.servers).zip(&world.crashes);
        State {
            mains: world.mains,
            cooling: world.cooling,
            leak: world.leak,
            door_open: world.door_open,
            link_cut: world.link_cut,
            temperature: world.climate.temperature,
            humidity: world.climate.humidity(),
            servers: servers
                .map(|((rack, server), crashes)| {
                    let state = server.state();
                    ServerState {
                        name: rack.name,
                        power: match state.power {
                            Power::Up => "up",
                            Power::Stopping => "stopping",
                            Power::Down => "down",
                        },
                        stops: state.stops,
                        crashes: *crashes,
                    }
                })
                .collect(),
            ups: self
                .ups
                .iter()
                .map(|ups| {
                    let state = ups.state();
                    UpsState {
                        supplies: state.source != Source::Off,
                        charge_percent: state.charge_percent,
                        runtime_s: state.runtime_s,
                        load_w: state.load_w,
                    }
                })
                .collect(),
            nodes: self.nodes.iter().map(Node::state).collect(),
        }
    }

    /// Moves the room by `seconds` of real time; returns the servers whose start is due.
    fn step(&self, seconds: f64, now: Instant) -> Vec<usize> {
        let watts = RACKS
            .iter()
            .zip(&self.servers)
            .filter(|(_, server)| server.state().power != Power::Down)
            // Not `sum`, whose empty value is -0.0.
            .fold(0.0, |sum, (rack, _)| sum + rack.watts);
        let all: f64 = RACKS.iter().map(|rack| rack.watts).sum();
        self.share_load(watts);
        let mut world = self.world();
        if !self.ups.iter().any(supplies) {
            for (server, crashes) in self.servers.iter().zip(&mut world.crashes) {
                if server.state().power != Power::Down {
                    server.power_off();
                    *crashes += 1;
                }
            }
        }
        let forces = Forces {
            // The cooling is not on the UPSs.
            cooling: world.cooling && world.mains,
            heat: watts / all,
        };
        // Fast motion is for a fault of the cooling alone: in an outage the batteries live in
        // real time, and so does the air.
        let climate = world.climate;
        let speed = if world.mains { climate.speed } else { 1.0 };
        world.climate = Climate {
            speed: climate.speed,
            ..Climate { speed, ..climate }.after(seconds, forces)
        };
        let supply = if forces.cooling {
            SUPPLY
        } else {
            world.climate.temperature
        };
        world.supply += (supply - world.supply) * (1.0 - (-seconds / 10.0).exp());
        self.measure(&world);
        let mut due = Vec::new();
        while world.boots.front().is_some_and(|(at, _)| *at <= now) {
            due.extend(world.boots.pop_front().map(|(_, server)| server));
        }
        due
    }

    /// The load goes half to each UPS, or all to the one that still supplies.
    fn share_load(&self, watts: f64) {
        let supplying: u32 = self.ups.iter().map(|ups| u32::from(supplies(ups))).sum();
        for ups in &self.ups {
            ups.set_load(if supplies(ups) {
                watts / f64::from(supplying)
            } else {
                0.0
            });
        }
    }

    /// Sets what the nodes measure.
    fn measure(&self, world: &World) {
        let (air, humidity) = (world.climate.temperature, world.climate.humidity());
        // Air rises slowly and unevenly: a little noise of the sensors, in its range.
        let noise = || (rand::random::<f64>() - 0.5) * 0.12;
        let values = [
            (0, 0, air + noise()),
            (0, 1, humidity + 4.0 * noise()),
            (0, 2, air + 0.7 + noise()),
            (1, 0, air + 1.4 + noise()),
            (1, 1, humidity - 2.0 + 4.0 * noise()),
            (1, 2, world.supply + noise()),
            (2, 0, 24.0 + (air - 23.0) * 0.2 + noise()),
            (2, 1, 44.0 + 4.0 * noise()),
        ];
        for (node, channel, value) in values {
            self.nodes[node].set(channel, Ok(milli(value)));
        }
    }
}

fn supplies(ups: &Ups) -> bool {
    ups.state().source != Source::Off
}

/// Small batteries and strong chargers: some six minutes at half the room's load, so that a
/// visitor sees a whole outage.
fn model(serial: &str) -> Model {
    Model {
        capacity_wh: 60.0,
        charger_w: 600.0,
        low_s: 60.0,
        ..Model::rack_1500(serial)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "room values are far below two million"
)]
fn milli(value: f64) -> i32 {
    // Sensors of this kind resolve a hundredth.
    (value * 100.0).round() as i32 * 10
}

fn first_value(channel: &layout::Channel) -> Input {
    let (quantity, value) = match channel.quantity {
        "temperature" => (Quantity::Temperature, 23_000),
        "humidity" => (Quantity::Humidity, 45_000),
        _ => (Quantity::Contact, 0),
    };
    Input {
        quantity,
        value: Ok(value),
    }
}

async fn start_ups() -> std::io::Result<(Vec<Ups>, Vec<layout::Device>)> {
    let mut all = Vec::new();
    let mut devices = Vec::new();
    for (name, ja, en, serial, version, mib) in [
        ("ups-a", "UPS A 系", "UPS A", "SIM-0001", "v2c", Mib::Rfc1628),
        ("ups-b", "UPS B 系", "UPS B", "SIM-0002", "v1", Mib::PowerNet),
    ] {
        let community = "simulated";
        let ups = Ups::start(model(serial), mib, community).await?;
        devices.push(layout::Device {
            name,
            label: Name { ja, en },
            addr: ups.addr,
            version,
            community,
        });
        all.push(ups);
    }
    Ok((all, devices))
}

async fn start_server(rack: &Rack, key_file: PathBuf) -> std::io::Result<(Server, layout::Host)> {
    let client = new_key();
    write_private(&key_file, private_text(&client).as_bytes())?;
    let server = Server::start(server::Config {
        name: rack.name.to_owned(),
        user: "yagura-stop".to_owned(),
        host_key: new_key(),
        authorized: client.public_key().clone(),
        mode: Mode::Normal {
            stop_after: rack.stop_after,
        },
    })
    .await?;
    let host = layout::Host {
        name: rack.name,
        label: rack.label,
        feeds: FEEDS,
        depends_on: rack.depends_on,
        addr: server.addr(),
        user: server.user().to_owned(),
        key_file,
        host_key: server.host_key(),
        on_failure: rack.on_failure,
    };
    Ok((server, host))
}

/// The key of a node: kept from an earlier start, so that its unsent events stay authentic.
fn device_key(path: &Path) -> std::io::Result<[u8; 32]> {
    match std::fs::read_to_string(path) {
        Ok(text) => unhex(text.trim())
            .ok_or_else(|| std::io::Error::other(format!("{} is no device key", path.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let key: [u8; 32] = rand::random();
            let text: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
            write_private(path, format!("{text}\n").as_bytes())?;
            Ok(key)
        }
        Err(error) => Err(error),
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut key = [0; 32];
    for (byte, digits) in key.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(key)
}

fn make_private_dir(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

async fn steps(parts: Arc<Parts>) {
    let mut next = tokio::time::interval(STEP);
    next.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = next.tick().await;
    loop {
        let now = next.tick().await;
        let seconds = (now - last).as_secs_f64().min(LONGEST_STEP);
        last = now;
        for server in parts.step(seconds, now) {
            parts.boot(&parts.servers[server]).await;
        }
    }
}

async fn control(listener: UnixListener, parts: Arc<Parts>) {
    let turns = Arc::new(Semaphore::new(MAX_CONVERSATIONS));
    loop {
        let turn = Arc::clone(&turns)
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((stream, _)) => {
                let parts = Arc::clone(&parts);
                tokio::spawn(async move {
                    // Whoever does not ask or read in time is left.
                    let _ = tokio::time::timeout(scenario::TIMEOUT, converse(stream, &parts)).await;
                    drop(turn);
                });
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn converse(mut stream: UnixStream, parts: &Parts) -> std::io::Result<()> {
    let mut word = String::new();
    let (from, mut to) = stream.split();
    BufReader::new(from.take(MAX_REQUEST))
        .read_line(&mut word)
        .await?;
    let answer = match word.trim() {
        scenario::STATE => serde_json::to_string(&parts.state()).map_err(std::io::Error::other)?,
        word => match Scenario::of(word) {
            Some(scenario) => {
                parts.play(scenario).await;
                tracing::info!(scenario = scenario.word(), "scenario");
                "ok".to_owned()
            }
            None => {
                let words: Vec<&str> = Scenario::ALL.iter().map(|scenario| scenario.word()).collect();
                format!("error: no such scenario; there are: {}", words.join(", "))
            }
        },
    };
    to.write_all(format!("{answer}\n").as_bytes()).await
}
