//! The site: what stands in the room, typed and validated before anything opens.
//!
//! `parse` turns the text of `site.toml` into [`Site`] and reports every problem at once.
//! Two kinds of site are different types: [`Site<Real>`] comes from a file, its actuators reach
//! real servers; [`Site<Simulated>`] comes from the simulated room, its actuators can only
//! name loopback addresses. Nothing converts one into the other.

pub mod parse;
pub mod problem;

pub mod act;
pub mod battery;
pub mod block;
pub mod derived;
pub mod doors;
pub mod feeds;
pub mod finish;
pub mod groups;
pub mod link;
pub mod nas;
pub mod notice;
pub mod notifier;
pub mod nut_server;
pub mod outage;
pub mod procedures;
pub mod schedule;
pub mod self_test;
pub mod write;

pub(crate) mod calendar;
mod cross;
mod host_key;
mod mounts;
mod nodes;
mod preset;
mod raw;
mod reader;
mod sections;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_act;
#[cfg(test)]
mod tests_derived;
#[cfg(test)]
mod tests_finish;
#[cfg(test)]
mod tests_nodes;
#[cfg(test)]
mod tests_outage;

pub use calendar::day;

use crate::notice::duty::DAY_MINUTES;
use crate::time::Millis;
use shared::Quantity;
use shared::access::{CardId, UnsetClock};
use shared::board::Board;
use shared::mount::Mount;
use shared::provision::{Address, PortalConfig, UPDATE_KEY_LEN};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;

/// Text in both languages of the product.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Label {
    /// Japanese.
    pub ja: String,
    /// English.
    pub en: String,
}

impl Label {
    /// Both languages.
    #[must_use]
    pub fn new(ja: impl Into<String>, en: impl Into<String>) -> Self {
        Self {
            ja: ja.into(),
            en: en.into(),
        }
    }
}

/// How the hands of a site reach the world.
pub trait World: std::fmt::Debug + Clone + Send + Sync + 'static {
    /// What can be done to a host.
    type Action: std::fmt::Debug + Clone + PartialEq + Send + Sync + serde::Serialize;
    /// Drawn as a watermark on every page.
    const SIMULATED: bool;

    /// Name of the UPS that NUT's clients on the host watch, when that is how it is stopped.
    #[must_use]
    fn served_ups(_action: &Self::Action) -> Option<&str> {
        None
    }
}

/// A site with real servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Real {}

/// A site whose servers are simulated on loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Simulated {}

impl World for Real {
    type Action = RealAction;
    const SIMULATED: bool = false;

    fn served_ups(action: &RealAction) -> Option<&str> {
        match action {
            RealAction::Nut(nut) => Some(&nut.ups),
            RealAction::Ssh(_)
            | RealAction::Exec(_)
            | RealAction::Device(_)
            | RealAction::Redfish(_)
            | RealAction::Ipmi(_)
            | RealAction::Wol(_)
            | RealAction::Http(_)
            | RealAction::Libvirt(_)
            | RealAction::Proxmox(_)
            | RealAction::Vsphere(_)
            | RealAction::Winrm(_) => None,
        }
    }
}

impl World for Simulated {
    type Action = SimulatedAction;
    const SIMULATED: bool = true;
}

/// A shutdown action on a real server. One variant for each file in `controller/src/act/`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub enum RealAction {
    /// A forced command over SSH.
    Ssh(SshAction<SocketAddr>),
    /// A program of this machine, by its path and arguments; no shell.
    Exec(ExecAction),
    /// A command to a device of the site: the output of a UPS, an outlet.
    Device(DeviceAction<SocketAddr>),
    /// The word of a UPS to NUT's clients on the host.
    Nut(NutAction),
    /// The server's management controller, by Redfish.
    Redfish(act::redfish::RedfishAction),
    /// The server's management controller, by IPMI.
    Ipmi(act::ipmi::IpmiAction),
    /// Wake-on-LAN; it can only start.
    Wol(act::wol::WolAction),
    /// One request over HTTP.
    Http(act::http::HttpAction),
    /// The guests of a hypervisor that libvirt manages.
    Libvirt(act::libvirt::LibvirtAction),
    /// A node of Proxmox VE, or guests on it.
    Proxmox(act::proxmox::ProxmoxAction),
    /// Virtual machines that a VMware vCenter manages.
    Vsphere(act::vsphere::VsphereAction),
    /// A Windows machine, or guests of its Hyper-V.
    Winrm(act::winrm::WinrmAction),
}

/// A shutdown action on a simulated server: SSH to loopback and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub enum SimulatedAction {
    /// The real SSH client, towards an address that cannot leave the machine.
    Ssh(SshAction<Loopback>),
    /// A command to a device that cannot leave the machine.
    Device(DeviceAction<Loopback>),
}

/// An address that cannot leave the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct Loopback(SocketAddr);

impl Loopback {
    /// `None` unless the address is in 127.0.0.0/8 or `::1`.
    #[must_use]
    pub fn new(addr: SocketAddr) -> Option<Self> {
        addr.ip().is_loopback().then_some(Self(addr))
    }
}

impl From<Loopback> for SocketAddr {
    fn from(addr: Loopback) -> Self {
        addr.0
    }
}

/// `ssh`: log in with a key whose authorized_keys line forces the command.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SshAction<A> {
    /// Where the server listens.
    pub addr: A,
    /// Account on the server.
    pub user: String,
    /// Private key (OpenSSH format), readable by the `act` role alone.
    pub key_file: PathBuf,
    /// The server's public host key, as `ssh-ed25519 AAAA...`; another key is refused.
    pub host_key: String,
    /// The command; a forced command on the server ignores it or reads it as
    /// `SSH_ORIGINAL_COMMAND`.
    pub command: String,
    /// Longest time until the connection is authenticated.
    pub connect_timeout: Millis,
    /// Longest time until the command ends.
    pub command_timeout: Millis,
}

/// `device`: what a device of the site is told; how it is asked stands in its `[[device]]`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct DeviceAction<A> {
    /// Device of the site.
    pub device: String,
    /// Where it is; `None` for one on a serial port.
    pub addr: Option<A>,
    /// Its serial port; `None` for one on the network.
    pub port: Option<PathBuf>,
    /// What it is told.
    pub command: crate::command::Name,
    /// The command's parameter, where it has one.
    pub value: Option<i64>,
}

/// `nut`: NUT's clients on the host (upsmon, a NAS) watch a UPS that `[nut_server]` serves for it
/// alone, and shut the host down when that UPS says so.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct NutAction {
    /// Name of that UPS; a name that no device has.
    pub ups: String,
    /// Where `[nut_server]` is reached from this machine; a rehearsal asks it who is logged in.
    pub addr: SocketAddr,
}

/// `exec`: a program of this machine.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ExecAction {
    /// Absolute path.
    pub program: PathBuf,
    /// Arguments, passed as they are.
    pub args: Vec<String>,
    /// Longest time until it ends.
    pub timeout: Millis,
}

/// Everything the controller knows about its room before it looks.
#[derive(Debug, Clone)]
pub struct Site<W: World = Real> {
    /// Name of the room.
    pub name: Label,
    /// Where journal, history and the roles' sockets live.
    pub data_dir: PathBuf,
    /// Where the site's own device profiles are; `None` when it has none.
    pub profiles_dir: Option<PathBuf>,
    /// Web role.
    pub web: Web,
    /// MQTT.
    pub mqtt: Mqtt,
    /// Sensor nodes.
    pub nodes: Vec<Node>,
    /// Polled devices.
    pub devices: Vec<Device>,
    /// Devices of which some are enough.
    pub groups: Vec<groups::Group>,
    /// `snmp.trap_listen`: where traps and informs of the devices are heard; nowhere unless
    /// written.
    pub traps: Option<SocketAddr>,
    /// `[nut_server]`: NUT's clients are served; `None`: they are not.
    pub nut_server: Option<nut_server::NutServer>,
    /// Where notices can go.
    pub notifiers: Vec<notifier::Notifier>,
    /// Where the site's own procedures stand.
    pub procedures: Vec<procedures::Procedure>,
    /// Who is told of what.
    pub notices: notice::Notices,
    /// Servers that a plan stops.
    pub hosts: Vec<Host<W>>,
    /// Points that are worked out from others.
    pub derived: Vec<derived::Derived>,
    /// PDUs and ATSes and what feeds them.
    pub branches: Vec<feeds::Branch>,
    /// Batteries whose wear is reckoned.
    pub batteries: Vec<battery::Battery>,
    /// UPSes whose batteries are tested by the calendar.
    pub self_tests: Vec<self_test::SelfTest>,
    /// Hosts that stand still by the calendar.
    pub schedules: Vec<crate::schedule::Schedule>,
    /// Alarm limits.
    pub limits: Vec<Limit>,
    /// The outage policy; `None` when the site has no servers to stop.
    pub outage: Option<OutagePolicy>,
    /// What ends a plan; `None`: nothing is switched off.
    pub finish: Option<finish::Finish>,
    /// Who may order a run at the controller itself.
    pub operators: outage::Operators,
    /// Minutes from local midnight at which the credentials of all hosts are checked each day;
    /// `None`: never.
    pub check_credentials: Option<u16>,
    /// Who may enter where.
    pub access: Access,
}

impl<W: World> Site<W> {
    /// A room with nothing in it, which listens nowhere in particular; tests furnish it.
    #[must_use]
    pub fn bare() -> Self {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            name: Label::new("試験室", "test room"),
            data_dir: "/nonexistent".into(),
            profiles_dir: None,
            web: Web { listen: nowhere },
            mqtt: Mqtt::Builtin { listen: nowhere },
            nodes: Vec::new(),
            devices: Vec::new(),
            groups: Vec::new(),
            traps: None,
            nut_server: None,
            notifiers: Vec::new(),
            procedures: Vec::new(),
            notices: notice::Notices::default(),
            hosts: Vec::new(),
            derived: Vec::new(),
            branches: Vec::new(),
            batteries: Vec::new(),
            self_tests: Vec::new(),
            schedules: Vec::new(),
            limits: Vec::new(),
            outage: None,
            finish: None,
            operators: outage::Operators::default(),
            check_credentials: None,
            access: Access::default(),
        }
    }
}

/// `[web]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Web {
    /// Where the pages are served.
    pub listen: SocketAddr,
}

/// `[mqtt]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mqtt {
    /// The endpoint of our own, as the `broker` role.
    Builtin {
        /// Where it listens.
        listen: SocketAddr,
    },
    /// A broker of the site, e.g. mosquitto; core is its client.
    External {
        /// Host and port.
        addr: String,
        /// Account.
        user: Option<String>,
        /// File with the password.
        password_file: Option<PathBuf>,
    },
}

/// `[[node]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Id on the wire.
    pub id: u16,
    /// Short name, used in point ids: `node-1`.
    pub name: String,
    /// Shown name.
    pub label: Label,
    /// File with the 32-byte device key as 64 hex digits.
    pub key_file: PathBuf,
    /// Longest silence before the node counts as silent (twice its heartbeat).
    pub silent_after: Millis,
    /// What is mounted where.
    pub channels: Vec<Channel>,
    /// What it is provisioned with beside that.
    pub hardware: Hardware,
}

/// What a node is provisioned with; nothing of it is needed to watch one that has its block.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hardware {
    /// Which board it is; `None`: the block fits any.
    pub board: Option<Board>,
    /// Where it finds the broker; `None`: at the address of `[mqtt]`.
    pub broker: Option<SocketAddrV4>,
    /// Its own address; `None`: by DHCP.
    pub address: Option<Address>,
    /// The door that it guards.
    pub portal: Option<PortalConfig>,
    /// The Ed25519 public key whose firmware images it takes; `None`: it takes none.
    pub update_key: Option<[u8; UPDATE_KEY_LEN]>,
}

/// `[[node.channel]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Number on the node.
    pub channel: u8,
    /// Point id: `inlet.r3.temperature`, `door.1`, `leak.1`.
    pub point: String,
    /// Shown name.
    pub label: Label,
    /// What is measured.
    pub quantity: Quantity,
    /// What an open contact means; `None` for measurements.
    pub contact: Option<ContactKind>,
    /// Which part measures it, and where; `None` when the site does not say.
    pub mount: Option<Mount>,
}

/// What a contact guards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ContactKind {
    /// A door leaf: open is an event; forced is an alarm when no grant preceded it.
    Door,
    /// A leak spot or rope: open is wet.
    Leak,
    /// A smoke relay.
    Smoke,
    /// An enclosure.
    Tamper,
    /// A window.
    Window,
    /// The door of a rack.
    Rack,
    /// The bolt of a lock: open is not locked. No alarm by itself.
    LockBolt,
    /// The button or sensor on the inside: open is pressed. No alarm by itself.
    RequestToExit,
    /// The relay of the fire panel. Auxiliary: it never replaces the fire panel.
    FirePanel,
    /// The telltale of a surge protector: open is worn out or blown.
    SurgeProtector,
    /// The auxiliary contact of a breaker: open is tripped.
    Breaker,
    /// The pressure switch of the extinguishing agent: open is low, or released.
    ExtinguishingAgent,
    /// A relay on the mains: open is no mains.
    MainsPresent,
    /// The contact of the key cylinder: open is turned. No alarm by itself.
    KeyOverride,
}

/// `[access]`, `[[portal]]` and `[[card]]`: who may enter where. Without portals nobody is let in
/// by a node, and every opening of a door is forced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// File with the site's 32-byte card key as 64 hex digits; only provisioning reads it.
    pub card_key_file: Option<PathBuf>,
    /// File with the cards, see [`doors::cards`].
    pub cards_file: Option<PathBuf>,
    /// Local time minus UTC in minutes; windows and holidays are in local time.
    pub utc_offset_min: i16,
    /// What a node does while it does not know the time.
    pub unset_clock: UnsetClock,
    /// Days without the controller's confirmation after which a node calls its list stale; 0: never.
    pub stale_after_days: u8,
    /// Days since 1970 in local time on which the holiday's bit of a card counts; at most
    /// [`shared::limit::MAX_HOLIDAYS`].
    pub holidays: Vec<u16>,
    /// Doors with a reader.
    pub portals: Vec<Portal>,
    /// Cards of that file.
    pub cards: Vec<Card>,
    /// Persons and the cards lent to them.
    pub people: crate::people::Rules,
    /// What is noteworthy about passages.
    pub passages: crate::register::Rules,
}

impl Access {
    /// True when a reader sees people leave this area.
    #[must_use]
    pub fn has_exit(&self, area: &str) -> bool {
        let mut portals = self.portals.iter();
        portals.any(|portal| portal.area == area && portal.passes == Passes::Exit)
    }
}

/// Which way people pass a portal's reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Passes {
    /// In.
    #[default]
    Entry,
    /// Out.
    Exit,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            card_key_file: None,
            cards_file: None,
            utc_offset_min: 540,
            unset_clock: UnsetClock::Deny,
            stale_after_days: 14,
            holidays: Vec::new(),
            portals: Vec::new(),
            cards: Vec::new(),
            people: crate::people::Rules::default(),
            passages: crate::register::Rules::default(),
        }
    }
}

/// `[[portal]]`: a door that a node guards with a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Portal {
    /// Short name, used in alarm ids and on cards: `entrance`.
    pub name: String,
    /// Shown name.
    pub label: Label,
    /// Id of the node that guards it.
    pub node: u16,
    /// Its number on the node, from 0.
    pub portal: u8,
    /// The number of its reader on the node, from 0.
    pub reader: u8,
    /// Point id of its door contact, a channel of the same node with `contact = "door"`; the
    /// node judges its openings. `None` when the door has no contact.
    pub door: Option<String>,
    /// The area that it leads into or out of; the portal's own name where nothing is said.
    pub area: String,
    /// Which way.
    pub passes: Passes,
}

/// `[[card]]`: a card, never its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// The card under the site's card key.
    pub id: CardId,
    /// The card with its PIN under the same key; `None` when the card alone opens.
    pub pin_id: Option<CardId>,
    /// Who has it, as the site calls them.
    pub holder: String,
    /// Names of the portals it may open.
    pub portals: Vec<String>,
    /// Start of its hours in steps of ten minutes from midnight (0 to 144).
    pub from: u8,
    /// End of its hours, not included; before `from`: over midnight.
    pub to: u8,
    /// A bit per weekday from Monday (bit 0), and one for holidays (bit 7).
    pub days: u8,
    /// First day since 1970, local time.
    pub valid_from: u16,
    /// Last day since 1970, local time, included.
    pub valid_until: u16,
    /// Blocked: lost or given back. It stays in the list to be told from an unknown card.
    pub suspended: bool,
}

/// `[[device]]`: asked again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Short name: `ups-a`. Points are `<name>.<fact>`.
    pub name: String,
    /// Shown name.
    pub label: Label,
    /// What it is to the outage engine.
    pub kind: DeviceKind,
    /// How it is reached.
    pub link: link::Link,
    /// Profile name, or `None` to detect it.
    pub profile: Option<String>,
    /// Poll interval on mains.
    pub poll: Millis,
    /// Poll interval while any UPS is on battery.
    pub poll_on_battery: Millis,
    /// Time-out of one request.
    pub timeout: Millis,
    /// Requests sent again before the poll counts as failed.
    pub retries: u8,
    /// The device through which it is reached: while that one is silent, this one is unknown.
    pub behind: Option<String>,
    /// Ports of a switch that lead on, by their number in its facts (`port.<number>.status`).
    pub uplinks: Vec<String>,
    /// What it may be told; empty: it is only read.
    pub commands: Vec<crate::command::Name>,
    /// As whom it is told; protocols without credentials have none.
    pub write: Option<write::Write>,
}

/// `device.kind`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// Supplies hosts; judged by the outage engine.
    Ups,
    /// Hands power on to outlets.
    Pdu,
    /// Chooses between two feeds.
    Ats,
    /// Measures the room.
    Environment,
    /// A server, or what manages its board.
    Server,
    /// A switch.
    Switch,
    /// Anything else that is only watched.
    Other,
}

impl DeviceKind {
    /// Every kind and its word in the site file.
    pub const WORDS: [(&'static str, Self); 7] = [
        ("ups", Self::Ups),
        ("pdu", Self::Pdu),
        ("ats", Self::Ats),
        ("environment", Self::Environment),
        ("server", Self::Server),
        ("switch", Self::Switch),
        ("other", Self::Other),
    ];
}

/// Text that never prints.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// `[[host]]`
#[derive(Debug, Clone)]
pub struct Host<W: World> {
    /// Short name, also the step's id: `db1`.
    pub name: String,
    /// Shown name.
    pub label: Label,
    /// What its supplies are plugged into: UPSes, PDUs, ATSes (`pdu-1`) or outlets (`pdu-1/3`).
    pub feeds: Vec<String>,
    /// How many feeds must supply for it to run.
    pub need: usize,
    /// Hosts this one uses; they stop after it.
    pub depends_on: Vec<String>,
    /// How it is asked to stop.
    pub action: W::Action,
    /// How we know it stopped.
    pub confirm: Confirm,
    /// Longest time from request to confirmed, after which `on_failure` decides.
    pub budget: Millis,
    /// What to do when the budget is spent.
    pub on_failure: OnFailure,
    /// How it is made to stop when asking was of no use.
    pub force: Option<W::Action>,
    /// How it is made to run again; `None`: a person does it.
    pub start: Option<Start<W>>,
}

impl<W: World> Host<W> {
    /// How this is done to the host, if the site says how.
    #[must_use]
    pub fn doing(&self, verb: crate::outage::Verb) -> Option<&W::Action> {
        use crate::outage::Verb;
        match verb {
            Verb::Stop => Some(&self.action),
            Verb::Force => self.force.as_ref(),
            Verb::Start => self.start.as_ref().map(|start| &start.action),
        }
    }
}

/// `[host.start]`: how a host that a plan stopped is made to run again.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Start<W: World> {
    /// How.
    pub action: W::Action,
    /// A TCP port that answers once it runs; `None`: the action's own success is all there is.
    pub alive: Option<SocketAddr>,
    /// Longest time from the request until it runs.
    pub budget: Millis,
}

/// `host.confirm`: what counts as stopped. "Command sent" never does.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub enum Confirm {
    /// A TCP port that answered no longer accepts connections, twice in a row.
    PortClosed {
        /// The port watched.
        addr: SocketAddr,
    },
    /// The action's own success is all there is (exit status 0).
    ActionSucceeded,
}

/// `host.on_failure`
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum OnFailure {
    /// Abandon the step, alarm, and go on with what depends on it.
    GoOn,
    /// Abandon the step, alarm, and do not stop what it depends on.
    Hold,
    /// Make it stop by `[host.force]`; if that is of no use either, as [`Self::Hold`].
    Force,
}

/// `[[limit]]`
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    /// Alarm id: `<point>.<kind>`, e.g. `room.temperature.high`.
    pub id: String,
    /// Point watched.
    pub point: String,
    /// Which side.
    pub side: Side,
    /// Raise beyond this value, in the point's unit.
    pub limit: f64,
    /// Return only when this far inside again.
    pub deadband: f64,
    /// Must hold so long before it is raised.
    pub on_delay: Millis,
    /// Must be back so long before it returns.
    pub off_delay: Millis,
    /// Priority.
    pub priority: Priority,
    /// What to do.
    pub action: Label,
}

/// `limit.side`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Above the limit is the alarm.
    High,
    /// Below the limit is the alarm.
    Low,
}

/// Priority of an alarm: 重大, 警告, 注意.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// 注意
    Advisory,
    /// 警告
    Warning,
    /// 重大
    Critical,
}

/// `[outage]`: when the plan starts. Safety limits have no default.
#[derive(Debug, Clone, PartialEq)]
pub struct OutagePolicy {
    /// Ride through outages shorter than this.
    pub on_battery_delay: Millis,
    /// Kept back from the battery beyond the plan's own length.
    pub reserve: Millis,
    /// Start when the charge of the weakest needed feed falls to this, in percent.
    pub start_at_charge: f64,
    /// Start after so long on battery whatever the UPS says.
    pub longest_on_battery: Millis,
    /// A device that does not answer for so long has lost contact.
    pub contact_lost_after: Millis,
    /// Mains must be back so long before an abandoned plan counts as over.
    pub mains_stable: Millis,
    /// Mains must have been stable so long before hosts are started again; `None`: `mains_stable`.
    pub return_after: Option<Millis>,
    /// Charge in percent that every feed of a host needs before it is started; `None`: whatever is
    /// enough for one more full stop.
    pub return_charge: Option<f64>,
    /// What a failing supply leads to.
    pub then: outage::Then,
    /// Hosts that are stopped early to lengthen the runtime, and after how long on battery.
    pub shed: BTreeMap<String, Millis>,
    /// What else than power stops servers.
    pub rules: Vec<outage::Rule>,
    /// What a step is planned with.
    pub step_times: StepTimes,
    /// A rehearsal older than this is an alarm; `None`: nobody is reminded.
    pub rehearse_every: Option<Millis>,
}

/// What a step of the plan is planned with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StepTimes {
    /// Its whole budget.
    #[default]
    Budget,
    /// What its stops took, with headroom; the budget while too few were measured.
    Learnt,
}

/// Addresses on which anything of this site listens: (what, transport, address).
#[must_use]
pub fn listening<W: World>(site: &Site<W>) -> Vec<(&'static str, &'static str, SocketAddr)> {
    let mut ports = vec![("web", "tcp", site.web.listen)];
    if let Mqtt::Builtin { listen } = site.mqtt {
        ports.push(("broker", "tcp", listen));
    }
    if let Some(server) = &site.nut_server {
        ports.push(("nut", "tcp", server.listen));
    }
    if let Some(listen) = site.traps {
        ports.push(("traps", "udp", listen));
    }
    ports
}

/// Point ids of the site with their shown name and quantity, in the order of the file.
#[must_use]
pub fn node_points<W: World>(site: &Site<W>) -> BTreeMap<&str, (&Node, &Channel)> {
    let mut points = BTreeMap::new();
    for node in &site.nodes {
        for channel in &node.channels {
            points.insert(channel.point.as_str(), (node, channel));
        }
    }
    points
}

/// True when the address can be reached from another machine.
#[must_use]
pub fn is_exposed(addr: IpAddr) -> bool {
    !addr.is_loopback()
}
