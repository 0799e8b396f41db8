//! The one picture of the room that web, API and metrics read. Contract: append only.
//!
//! Times are milliseconds since 1970 UTC (`*_ms`) or ages in milliseconds at the moment of the
//! snapshot (`*_age_ms`); spans are seconds (`*_s`). Values are in the unit that stands beside
//! them; a missing value is `null` with its reason in `no_data`.

use crate::catalog::{Class, Kind, Owner, Text};
use crate::incident::{Evidence, Nature};
use crate::notice::Moment;
use crate::site::{ContactKind, DeviceKind, Label, Priority, Side};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use utoipa::ToSchema;

/// Most alarms of one picture, the most urgent ones. It goes to the pages whole with every change, and
/// a flood of ten thousand would fit no message between the roles.
pub const MAX_ALARMS: usize = 500;

/// The picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema, Default)]
pub struct Snapshot {
    /// Counts up with every change; a page that sees it fall knows the controller restarted.
    pub version: u64,
    /// When it was drawn, milliseconds since 1970 UTC.
    pub wall_ms: i64,
    /// Name of the room.
    pub site: Label,
    /// True draws the watermark 模擬.
    pub simulated: bool,
    /// Every point of the room.
    pub points: Vec<Point>,
    /// Alarms that are not normal, most urgent first; at most [`MAX_ALARMS`].
    pub alarms: Vec<Alarm>,
    /// Alarms that are not normal and for which the picture has no room.
    #[serde(default)]
    pub alarms_left_out: u32,
    /// Sensor nodes.
    pub nodes: Vec<Node>,
    /// Polled devices.
    pub devices: Vec<Device>,
    /// Power.
    pub power: Power,
    /// Counters of refused, dropped and failed things, by name.
    pub counters: std::collections::BTreeMap<String, u64>,
    /// Doors with a reader.
    #[serde(default)]
    pub portals: Vec<Portal>,
    /// Devices of which some are enough.
    #[serde(default)]
    pub groups: Vec<Group>,
    /// What will be due, the soonest first; a list of its own, without sound and without notice.
    #[serde(default)]
    pub forecasts: Vec<Forecast>,
    /// Who is told of alarms, and who was.
    #[serde(default)]
    pub notices: NoticesView,
    /// Open incidents, newest first; at most [`crate::incident::MAX_SHOWN`].
    #[serde(default)]
    pub incidents: Vec<Incident>,
    /// Maintenance windows: those that are open or wait for their result, and the last closed ones.
    #[serde(default)]
    pub maintenance: Vec<Maintenance>,
    /// What operators ordered of devices: those under way, then the last that ended, newest first.
    #[serde(default)]
    pub operations: Vec<Operation>,
}

/// What is not looked at every day: batteries, and what happens by the calendar.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PowerCare {
    /// Every UPS.
    pub batteries: Vec<BatteryCare>,
    /// Every schedule.
    pub schedules: Vec<ScheduleRow>,
}

/// A schedule of the site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScheduleRow {
    /// Its name.
    pub name: String,
    /// Hosts that it names.
    pub hosts: Vec<String>,
    /// `waits`, `announced`, `off`.
    pub state: String,
    /// The next stop; `null` while its hosts stand still.
    pub stop_ms: Option<i64>,
    /// When they start again.
    pub start_ms: Option<i64>,
    /// Hosts that stand still by it.
    pub off: Vec<String>,
    /// Why the last stop was left out, or why it does nothing.
    pub trouble: Option<Label>,
}

/// The battery of one UPS over the years.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BatteryCare {
    /// UPS.
    pub ups: String,
    /// Begin of the day on which it was put in; `null` when nobody said.
    pub installed_ms: Option<i64>,
    /// What real discharges gave, in percent of what the UPS had promised; `null` until one says so.
    pub capacity_percent: Option<f64>,
    /// Discharges that this stands on.
    pub capacity_of: u32,
    /// What it is told by the calendar; `null` when it is tested by hand only.
    pub test: Option<String>,
    /// When the next test by the calendar may begin.
    pub next_test_ms: Option<i64>,
    /// When the test under way was ordered.
    pub under_way: Option<i64>,
    /// What speaks against a test now; `null`: nothing, or it is tested by hand only.
    pub why_not: Option<Label>,
    /// Why the last due test was put off; `null` once one began.
    pub put_off: Option<Label>,
    /// Tests, newest first; at most [`crate::battery::MAX_KEPT`].
    pub tests: Vec<BatteryTest>,
    /// Real discharges, newest first.
    pub discharges: Vec<BatteryDischarge>,
    /// Recorded changes, newest first.
    pub changes: Vec<BatteryChange>,
}

/// A test of a battery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BatteryTest {
    /// When it was ordered.
    pub started_ms: i64,
    /// When it was over.
    pub ended_ms: i64,
    /// What the UPS was told.
    pub command: String,
    /// Who: a person, or `schedule`.
    pub by: String,
    /// How it ended.
    pub result: crate::battery::TestResult,
    /// What says so.
    pub because: Label,
    /// Since the order.
    pub took_s: f64,
    /// What the UPS told before.
    pub before: crate::battery::Levels,
    /// The least that it told in between.
    pub least: crate::battery::Levels,
}

/// A real discharge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BatteryDischarge {
    /// When it was over.
    pub ended_ms: i64,
    /// How long it lasted.
    pub took_s: f64,
    /// Charge at its begin.
    pub from_percent: Option<f64>,
    /// Charge at its end.
    pub to_percent: Option<f64>,
    /// What the UPS promised at its begin.
    pub promised_s: Option<f64>,
    /// What the battery gave, as a share of that; `null` when it says nothing.
    pub share: Option<f64>,
}

/// A recorded change of battery.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BatteryChange {
    /// Begin of the day on which the new one was put in.
    pub day_ms: i64,
    /// When it was recorded.
    pub recorded_ms: i64,
    /// By whom.
    pub by: String,
}

/// An incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Incident {
    /// Its number; the key for commands.
    pub id: u32,
    /// As it stands on paper: `INC-0001`.
    pub number: String,
    /// What it is.
    pub nature: Nature,
    /// In a few words.
    pub title: Label,
    /// False when it is closed.
    pub open: bool,
    /// When it was opened.
    pub opened_ms: i64,
    /// The person who opened it; `null` when an alarm did.
    pub opened_by: Option<String>,
    /// When it was closed.
    pub closed_ms: Option<i64>,
    /// Who closed it.
    pub closed_by: Option<String>,
    /// What was found and done.
    pub conclusion: Option<String>,
    /// Ids of its alarms.
    pub alarms: Vec<String>,
    /// Alarms that are not named for want of space.
    pub more_alarms: u32,
    /// Of its alarms, those that are not back to normal.
    pub standing: u32,
    /// Notes of persons.
    pub notes: u32,
    /// To whom its document was given.
    pub handed_over: Vec<HandOver>,
}

/// A document of an incident was given to somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HandOver {
    /// To whom.
    pub to: String,
    /// Who did.
    pub by: String,
    /// When.
    pub at_ms: i64,
    /// What the document rests on, and its hash.
    pub evidence: Evidence,
}

/// One measured or derived value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Point {
    /// `inlet.r3.temperature`, `ups-a.battery.charge`
    pub id: String,
    /// Shown name.
    pub label: Label,
    /// Node or device it belongs to.
    pub source: String,
    /// `temperature`, `contact`, ...
    pub quantity: String,
    /// Unit of `value`.
    pub unit: String,
    /// The value; a contact is 0 (closed, dry) or 1 (open, wet, cut).
    pub value: Option<f64>,
    /// A reserved word for states of devices (`battery`, `normal`), when the fact is a state.
    pub state: Option<String>,
    /// Why there is no value; a reserved word of `shared::NoData`.
    pub no_data: Option<String>,
    /// Age of the last word from the source, `null` when never heard.
    pub age_ms: Option<u64>,
    /// For contacts: what it guards.
    pub contact: Option<ContactKind>,
}

/// An alarm that is not in the state "normal".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Alarm {
    /// `room.temperature.high`; the key for commands.
    pub id: String,
    /// ISA-18.2 state.
    pub state: AlarmState,
    /// Priority.
    pub priority: Priority,
    /// What happened.
    pub what: Label,
    /// Where.
    pub place: Label,
    /// What to do.
    pub action: Label,
    /// Why it was raised, with the figures of that moment.
    pub because: Label,
    /// When it was raised.
    pub since_ms: i64,
    /// How long it has lasted, by the monotonic clock.
    pub age_ms: u64,
    /// Who has it.
    pub owner: Option<String>,
    /// How often it was raised since it was last normal.
    pub count: u32,
    /// Until when it is shelved.
    pub shelved_until_ms: Option<i64>,
    /// The alarm under whose cause it is folded, when suppressed by design.
    pub cause: Option<String>,
    /// What kind of alarm it is.
    pub kind: Kind,
    /// What it is about.
    pub class: Class,
    /// What usually leads to it.
    #[schema(value_type = Label)]
    pub usual_cause: Words,
    /// What comes if nobody acts.
    #[schema(value_type = Label)]
    pub consequence: Words,
    /// Time to act from the moment it was raised.
    pub respond_within_s: u64,
    /// Whose work it is to answer, whoever has it now.
    pub responder: Owner,
    /// Link to the site's procedure for this kind of alarm.
    pub procedure: Option<String>,
    /// How many alarms are folded under it now.
    pub folded: u32,
    /// Its condition holds now, whatever covers it.
    pub active: bool,
    /// Who shelved it or took it out of service,
    pub shelved_by: Option<String>,
    /// and why.
    pub shelved_because: Option<String>,
}

/// A text of the product: the same as a [`Label`] to a reader, but not copied for every alarm.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Words {
    /// Japanese.
    pub ja: Cow<'static, str>,
    /// English.
    pub en: Cow<'static, str>,
}

impl From<Text> for Words {
    fn from(text: Text) -> Self {
        Self {
            ja: Cow::Borrowed(text.ja),
            en: Cow::Borrowed(text.en),
        }
    }
}

impl From<Words> for Label {
    fn from(words: Words) -> Self {
        Self::new(words.ja, words.en)
    }
}

/// States of ISA-18.2 that are not "normal".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlarmState {
    /// Raised and nobody has it.
    Unacknowledged,
    /// Somebody has it.
    Acknowledged,
    /// The cause is gone but nobody had seen it.
    ReturnedUnacknowledged,
    /// The cause is gone, acknowledged, and a person must reset it.
    Latched,
    /// Put away until a stated time.
    Shelved,
    /// Folded under its cause.
    Suppressed,
    /// Taken out of service.
    OutOfService,
}

/// A maintenance window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Maintenance {
    /// Its number; `maintenance.<number>` is the cause of what is folded under it.
    pub id: u32,
    /// How it is.
    pub state: MaintenanceState,
    /// What it is about, as it was asked for: `node:door-1`, `device:ups-a`, `point:...`, `alarm:...`.
    pub scope: Vec<String>,
    /// Why.
    pub reason: String,
    /// Number of the work order.
    pub work_order: Option<String>,
    /// Who opened it.
    pub by: String,
    /// When it was opened.
    pub since_ms: i64,
    /// When it ends by itself, or ended.
    pub until_ms: i64,
    /// Time that is left of it.
    pub left_s: Option<u64>,
    /// Alarms that stand and are folded under it now.
    pub folded: u32,
    /// What came of the work,
    pub result: Option<String>,
    /// and who said so.
    pub result_by: Option<String>,
}

/// How a maintenance window is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MaintenanceState {
    /// The alarms of its scope are suppressed.
    Open,
    /// It has ended, and an alarm stands until somebody records the result.
    AwaitsResult,
    /// It has ended with a result.
    Closed,
}

/// A sensor node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Node {
    /// Id on the wire.
    pub id: u16,
    /// Short name.
    pub name: String,
    /// Shown name.
    pub label: Label,
    /// `alive`, `silent` or `never_heard`.
    pub state: String,
    /// Age of its last authentic frame.
    pub age_ms: Option<u64>,
    /// Boot number.
    pub boot: Option<u32>,
    /// Firmware version.
    pub firmware: Option<String>,
    /// Sequence of the last committed event.
    pub last_event: Option<u32>,
    /// Events known to be missing.
    pub missing: u64,
    /// Frames refused in its name since the controller started.
    pub refused: u64,
    /// Another board says that it is this node; neither is acknowledged.
    #[serde(default)]
    pub twin: bool,
    /// Its keys were erased by order: it is out of service.
    #[serde(default)]
    pub erased: bool,
    /// Its access list; `null` when it guards no portal.
    #[serde(default)]
    pub list: Option<List>,
    /// Its key; `null` when the controller has none for it.
    #[serde(default)]
    pub key: Option<Key>,
    /// The last update that it was given since the controller started.
    #[serde(default)]
    pub update: Option<Update>,
    /// What it says it was given to witness, when it said so since the controller started.
    #[serde(default)]
    pub witness: Option<Witness>,
    /// How it says it is; `null` before it was heard since the controller started.
    #[serde(default)]
    pub health: Option<Health>,
}

/// The access list of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct List {
    /// Version that the node is to have.
    pub version: u32,
    /// Its entries; a card with a PIN counts twice.
    pub count: u16,
    /// Version that decides at the node, 0 for none; `null` when it did not say.
    pub in_force: Option<u32>,
    /// `there`, `sending`, `waiting`, `unknown`, or `too_many` for one that no node can hold.
    pub state: String,
    /// Entries that the node has of a list under way.
    pub have: Option<u32>,
}

/// The key of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Key {
    /// Id of the key in force; `null` when the node was not heard.
    pub id: Option<u8>,
    /// Id of the key that it is changing to.
    pub next: Option<u8>,
}

/// A firmware that a node is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Update {
    /// Its version, `major.minor.patch`.
    pub version: String,
    /// Name of the signed image.
    pub file: String,
    /// `under_way`, `staged`, `confirmed`, `rolled_back` or `failed`.
    pub state: String,
    /// Bytes of the image,
    pub size: u32,
    /// and how many of them the node has.
    pub have: u32,
    /// Why it failed.
    pub problem: Option<String>,
}

/// What a node was given to witness.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Witness {
    /// Records of the journal.
    pub size: u64,
    /// Hash of its chain there, as hex.
    pub root: String,
    /// When it was given, by the node's clock, milliseconds since 1970 UTC; 0 when not known.
    pub given_ms: i64,
    /// `agrees`, `ahead` (records are gone here), `differs`, or `too_old` to be judged.
    pub verdict: String,
}

/// How a node says it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// Age of this word.
    pub age_ms: u64,
    /// Firmware that runs, `major.minor.patch`.
    pub running: String,
    /// The one before it, if an update replaced one.
    pub previous: Option<String>,
    /// The last one that was not taken,
    pub refused: Option<String>,
    /// and why: a variant of `shared::wire::UpdateRefusal`.
    pub refused_because: Option<String>,
    /// True: it watches nothing.
    pub safe_mode: bool,
    /// Crashes in a row.
    pub crashes: u8,
    /// Where its time comes from: `unset`, `rtc` or `controller`.
    pub clock: String,
    /// Version of the access list in force, 0 when there is none.
    pub list: u32,
    /// Hours since that list was confirmed; `null` when it does not know.
    pub list_age_h: Option<u16>,
    /// Connections to the MQTT endpoint since its boot.
    pub connects: u16,
    /// Connections that ended because another client took its name.
    pub taken_over: u16,
    /// What came from readers, probes and console and was no frame.
    pub garbled: u16,
    /// Buses freed and sensor rails switched off and on.
    pub recoveries: u16,
    /// Bytes of stack never used; `null` when not measured.
    pub stack_free: Option<u16>,
}

/// A door with a reader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Portal {
    /// Short name.
    pub name: String,
    /// Shown name.
    pub label: Label,
    /// Id of the node that guards it.
    pub node: u16,
    /// Point of its door contact.
    pub point: Option<String>,
    /// `closed`, `open`, `held_open` or `unknown`.
    pub door: String,
    /// `well`, `mute`, `garbled`, `radio`, `other_part`, `blocked` or `unknown`.
    pub reader: String,
    /// Reader or enclosure is open; `null` when it was not said.
    pub tamper: Option<bool>,
    /// Closed but not locked; `null` when it was not said.
    pub unlocked: Option<bool>,
    /// What the node decided about the last card, a word of `shared::access::Decision`.
    pub last_decision: Option<String>,
    /// Age of that decision.
    pub last_decision_age_ms: Option<u64>,
    /// The area that it leads into or out of.
    #[serde(default)]
    pub area: String,
    /// `entry` or `exit`: which way people pass its reader.
    #[serde(default)]
    pub passes: String,
    /// Who may enter, as far as its node has it.
    #[serde(default)]
    pub list: Option<List>,
}

/// A polled device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Device {
    /// Short name.
    pub name: String,
    /// Shown name.
    pub label: Label,
    /// What it is.
    pub kind: DeviceKind,
    /// `answering`, `silent`, `never_heard`, or `hidden`: it does not answer, and neither does what
    /// it is reached through, so that nobody can say how it is.
    pub state: String,
    /// Name of the device that it is reached through.
    #[serde(default)]
    pub behind: Option<String>,
    /// Age of its last good answer.
    pub age_ms: Option<u64>,
    /// Profile in use.
    pub profile: Option<String>,
    /// Polls that failed since the last good one.
    pub failed_polls: u32,
    /// Facts that it told last time; the picture carries the chief ones among its points.
    pub facts: u32,
}

/// Devices of which some are enough.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Group {
    /// Short name.
    pub name: String,
    /// Shown name.
    pub label: Label,
    /// `up`, `lost` or `unknown`.
    pub service: String,
    /// `full`, `reduced`, `lost`, or `unknown`: never full while nothing is known of a member.
    pub redundancy: String,
    /// How many members are enough.
    pub need: usize,
    /// The members, in the order of the site's file.
    pub members: Vec<GroupMember>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupMember {
    /// Name of the device.
    pub name: String,
    /// Shown name.
    pub label: Label,
    /// `serving`, `waiting`, `up` when it does not say which, `down` or `unknown`.
    pub state: String,
}

/// Everything that one device tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeviceFacts {
    /// The device itself.
    pub device: Device,
    /// All of its facts by name, as points.
    pub points: Vec<Point>,
}

/// A limit as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Limit {
    /// Alarm id; the key for changes.
    pub id: String,
    /// Point watched.
    pub point: String,
    /// Shown name of the point.
    pub label: Label,
    /// Unit of `limit` and `deadband`.
    pub unit: String,
    /// Which side is the alarm.
    pub side: Side,
    /// The values in force.
    pub values: LimitValues,
    /// The values that the site's file says.
    pub written: LimitValues,
    /// What to do when it is raised.
    pub action: Label,
    /// The last change, while it is in force.
    pub changed: Option<LimitChange>,
}

/// The values of a limit that can be changed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LimitValues {
    /// Raise beyond this value.
    pub limit: f64,
    /// Return only when this far inside again.
    pub deadband: f64,
    /// Must hold so long before it is raised.
    pub on_delay_s: f64,
    /// Must be back so long before it returns.
    pub off_delay_s: f64,
    /// Priority.
    pub priority: Priority,
}

/// A change of a limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LimitChange {
    /// When, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// Who; `null` when the site's file was edited after the change before it.
    pub by: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// The values before,
    pub before: LimitValues,
    /// and after; `null` when the site's file has the limit no more.
    pub after: Option<LimitValues>,
}

/// What a limit would have done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LimitPreview {
    /// Alarm id.
    pub id: String,
    /// Unit of its values.
    pub unit: String,
    /// How far it looks back.
    pub days: u32,
    /// The first value that was looked at, milliseconds since 1970 UTC; `null` when there is none.
    pub from_ms: Option<i64>,
    /// Values that were looked at.
    pub rows: u64,
    /// The result in a sentence.
    pub summary: Label,
    /// With the proposed values.
    pub proposed: LimitRun,
    /// With those in force.
    pub present: LimitRun,
    /// What the history cannot show.
    pub hidden: Label,
}

/// How often and how long a limit would have been an alarm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LimitRun {
    /// Raise beyond this value.
    pub limit: f64,
    /// Return only when this far inside again.
    pub deadband: f64,
    /// Must hold so long before it is raised.
    pub on_delay_s: u64,
    /// Must be back so long before it returns.
    pub off_delay_s: u64,
    /// Priority.
    pub priority: Priority,
    /// How often it would have been raised.
    pub count: u32,
    /// How long it would have stood in all.
    pub total_s: u64,
    /// The longest of them.
    pub longest_s: u64,
    /// True when it would stand now.
    pub stands: bool,
    /// The last ones, newest first; at most ten.
    pub last: Vec<LimitOccurrence>,
    /// For how long there were values to judge.
    pub known_s: u64,
}

/// One time that a limit would have been an alarm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LimitOccurrence {
    /// When it would have been raised, milliseconds since 1970 UTC.
    pub raised_ms: i64,
    /// When it would have returned; `null` when it would stand.
    pub returned_ms: Option<i64>,
    /// How long it would have stood.
    pub lasted_s: u64,
    /// The value furthest outside meanwhile.
    pub worst: f64,
}

/// Something that will be due. It has no sound and is no notice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Forecast {
    /// `ups-a.battery.wear`; the same as long as it is about the same.
    pub id: String,
    /// What it is about.
    pub kind: ForecastKind,
    /// What will happen.
    pub what: Label,
    /// Where.
    pub place: Label,
    /// The figures it stands on.
    pub because: Label,
    /// What to do about it.
    pub action: Label,
    /// When it is expected, milliseconds since 1970 UTC; `null` when it has no date.
    pub at_ms: Option<i64>,
    /// The earliest by its own error,
    pub earliest_ms: Option<i64>,
    /// and the latest; `null` when it may never come.
    pub latest_ms: Option<i64>,
    /// How sure.
    pub confidence: Confidence,
    /// The same in words.
    pub confidence_words: Label,
    /// Life used, in percent, of what wears.
    pub used_percent: Option<f64>,
    /// When to ask for the money of what must be replaced.
    pub budget: Option<Budget>,
}

/// What a forecast is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ForecastKind {
    /// A temperature runs towards its critical limit.
    Runaway,
    /// A load or a runtime grows out of its limit.
    Capacity,
    /// A battery wears.
    BatteryWear,
    /// Humidity or dew point creeps towards a limit.
    HumidityCreep,
    /// A link is lost again and again.
    FlappingLink,
}

/// How sure a forecast is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// A hint.
    Low,
    /// Roughly.
    Medium,
    /// Quite sure.
    High,
}

/// When a replacement is due and when its money is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Budget {
    /// Month of the replacement, `2027-10`.
    pub replace: String,
    /// Fiscal year (April to March) whose money pays for it.
    pub fiscal_year: i32,
    /// Month in which that year's money is asked for.
    pub request: String,
    /// The same in a sentence.
    pub words: Label,
}

/// The power of the room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema, Default)]
pub struct Power {
    /// The room as a whole.
    pub mode: PowerMode,
    /// Every UPS.
    pub ups: Vec<Ups>,
    /// What the plan needs from its start to its end.
    pub plan_s: Option<f64>,
    /// Usable runtime: the least of all estimates of the feeds the plan stands on.
    pub runtime_s: Option<f64>,
    /// What the whole plan would need by the times that were learnt, whatever it is planned with.
    #[serde(default)]
    pub learnt_s: Option<f64>,
    /// What the steps are planned with: `budget` or `learnt`.
    #[serde(default)]
    pub step_times: String,
    /// Kept back by the policy.
    pub reserve_s: Option<f64>,
    /// `runtime_s - plan_s - reserve_s`, less what the on-battery delay takes beyond the reserve;
    /// counted down between polls while on battery.
    pub margin_s: Option<f64>,
    /// Time until the plan starts by itself, while on battery.
    pub starts_in_s: Option<f64>,
    /// Time since mains was lost.
    pub outage_s: Option<f64>,
    /// Hash of the plan that is shown.
    pub plan_hash: Option<String>,
    /// The run: `none`, `running`, `abandoned` or `done`, with the reason.
    pub run: Option<Run>,
    /// The steps, in the order of their planned start.
    pub steps: Vec<Step>,
    /// How the power comes to the hosts.
    #[serde(default)]
    pub feeds: FeedGraph,
    /// Hosts that are started again after an outage; `None` when nothing is to be started.
    #[serde(default)]
    pub bringing_back: Option<BringingBack>,
    /// What ends a plan; `None` when the site says nothing of it.
    #[serde(default)]
    pub finish: Option<Finish>,
}

/// What is told once every host of the plan is off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Finish {
    /// `planned`, `waiting` (an outage stands, and something keeps it back), `telling`, `told` or
    /// `broken_off`.
    pub state: String,
    /// What keeps it back, or why it ended; empty otherwise.
    pub because: Label,
    /// The UPSes, and the controller's own machine last.
    pub steps: Vec<FinishStep>,
    /// Hosts that may lose their power without being confirmed off.
    pub may_run: Vec<String>,
}

/// One thing that is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FinishStep {
    /// UPS, or `controller`.
    pub id: String,
    /// Seconds from the command until the output goes off.
    pub delay_s: Option<f64>,
    /// Seconds that the controller's machine has to stop.
    pub budget_s: Option<f64>,
    /// `waiting`, `ordered`, `told` or `failed`.
    pub state: String,
    /// What the last try said.
    pub problem: Option<String>,
    /// Hosts of the plan that it feeds.
    pub hosts: Vec<String>,
    /// What else loses its power, by the site.
    pub also: Vec<String>,
}

/// The way of the power: UPS, PDU or ATS, outlet, host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema, Default)]
pub struct FeedGraph {
    /// Where something is plugged in, the UPSes first, each behind what feeds it.
    pub points: Vec<FeedPoint>,
    /// The hosts of the plan.
    pub hosts: Vec<FedHost>,
}

/// A place where something is plugged in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FeedPoint {
    /// `ups-a`, `pdu-1`, `pdu-1/3`.
    pub id: String,
    /// Shown name.
    pub label: Label,
    /// `ups`, `pdu`, `ats`, `outlet` or `mains`.
    pub kind: String,
    /// The device it is of; `null` for mains without a UPS.
    pub device: Option<String>,
    /// What it gives: `mains`, `battery`, `unknown` or `none` (bypass, off, lost).
    pub state: String,
    /// What feeds it; of an ATS input A first.
    pub inputs: Vec<FeedEdge>,
}

/// One line of the diagram.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FeedEdge {
    /// Id of the point it comes from.
    pub from: String,
    /// What comes over it: `mains`, `battery`, `unknown`, `none`, or `off` when its device says that
    /// nothing passes here.
    pub state: String,
    /// An ATS says that it uses this input.
    pub in_use: bool,
}

/// A host and what its supplies are plugged into.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FedHost {
    /// Its name.
    pub id: String,
    /// Shown name.
    pub label: Label,
    /// Feeds it needs.
    pub need: usize,
    /// Feeds that supply now.
    pub left: usize,
    /// Seconds it still has power, while it lives on a battery.
    pub lives_s: Option<f64>,
    /// Its supplies.
    pub feeds: Vec<FeedEdge>,
}

/// Hosts that a plan stopped are started again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BringingBack {
    /// `waiting`, `running`, `held`, `done` or `broken_off`.
    pub state: String,
    /// What it waits for, why it was broken off, or why it began.
    pub because: Label,
    /// Hosts, in the order in which they are started.
    pub hosts: Vec<BringingBackHost>,
}

/// One host that is started again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BringingBackHost {
    /// Host.
    pub id: String,
    /// Shown name.
    pub label: Label,
    /// `waiting`, `started`, `confirmed`, `abandoned` or `cancelled`.
    pub state: String,
    /// Seconds since the first order, while it is under way.
    pub running_s: Option<f64>,
    /// Seconds it took.
    pub took_s: Option<f64>,
    /// What went wrong.
    pub problem: Option<String>,
}

/// Mode of the room's power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema, Default)]
#[serde(rename_all = "snake_case")]
pub enum PowerMode {
    /// No UPS has been heard from: unknown, never "normal".
    #[default]
    Unknown,
    /// Every feed supplies from mains.
    Mains,
    /// Some feeds do not, but every host has enough.
    Reduced,
    /// Hosts live on battery.
    Battery,
    /// The plan runs.
    Stopping,
    /// The plan has ended.
    Stopped,
}

/// One UPS as it is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Ups {
    /// Short name.
    pub name: String,
    /// Shown name.
    pub label: Label,
    /// `mains`, `battery`, `bypass`, `off` or `unknown`.
    pub source: String,
    /// `good`, `lost` or `never_heard`.
    pub contact: String,
    /// State of charge in percent, as last heard or as modelled when `modelled`.
    pub charge_percent: Option<f64>,
    /// Runtime in seconds, likewise.
    pub runtime_s: Option<f64>,
    /// Load in percent.
    pub load_percent: Option<f64>,
    /// Time on battery by our own clock.
    pub on_battery_s: Option<f64>,
    /// True when charge and runtime come from our model because contact is lost.
    pub modelled: bool,
    /// The signs the verdict rests on.
    pub evidence: Vec<String>,
    /// What it is assessed to be doing: `mains`, `eco`, `battery`, `suspected`, `self_test`,
    /// `calibration`, `bypass`, `off`, `stale`, `lost`, `lost_on_battery`, `never_heard` or
    /// `unknown`.
    #[serde(default)]
    pub state: String,
    /// What holds beside the state: `overload`, `replace_battery`, `battery_low`, `test_stuck`.
    #[serde(default)]
    pub marks: Vec<String>,
}

/// The run of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Run {
    /// Run number.
    pub id: u64,
    /// `running`, `abandoned` or `done`.
    pub state: String,
    /// `real`, `drill` (hosts are stopped for real, by a person's wish) or `rehearsal`.
    pub kind: String,
    /// Why it started.
    pub because: Label,
    /// When.
    pub since_ms: i64,
}

/// One step of the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Step {
    /// Id, the host's name.
    pub id: String,
    /// Shown name.
    pub label: Label,
    /// Steps that must have ended before.
    pub after: Vec<String>,
    /// `ssh`, `exec`.
    pub action: String,
    /// Planned start after the plan's start.
    pub starts_at_s: f64,
    /// Planned length.
    pub planned_s: f64,
    /// By when it has ended although one step of its chain hung for its whole budget.
    #[serde(default)]
    pub latest_end_s: Option<f64>,
    /// 95 % of its measured stops were not slower; `null` while none was measured.
    #[serde(default)]
    pub learnt_s: Option<f64>,
    /// How many stops were measured, of the last 20.
    #[serde(default)]
    pub learnt_n: u32,
    /// Longest length.
    pub budget_s: f64,
    /// `waiting`, `started`, `confirmed`, `abandoned`, `cancelled`.
    pub state: String,
    /// Started so long ago, while it runs.
    pub running_s: Option<f64>,
    /// How long it took.
    pub took_s: Option<f64>,
    /// What went wrong.
    pub problem: Option<String>,
    /// What the daily check found, for each thing that can be done to the host.
    #[serde(default)]
    pub credentials: Vec<Credential>,
}

/// The last daily check of something that can be done to a host: its credentials, and the right to
/// do it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Credential {
    /// `stop`, `force`, `start`.
    pub verb: String,
    /// When it was checked, milliseconds since 1970 UTC; nothing: not yet.
    pub checked_ms: Option<i64>,
    /// Why it could not be done; nothing: it could.
    pub problem: Option<String>,
}

/// What an operator ordered of a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Operation {
    /// Counts up.
    pub id: u64,
    /// Device.
    pub device: String,
    /// Name of the command, e.g. `test.battery.start`.
    pub command: String,
    /// Its parameter.
    pub value: Option<i64>,
    /// Who.
    pub by: String,
    /// When, milliseconds since 1970 UTC.
    pub ordered_ms: i64,
    /// `under_way`, `confirmed`, `accepted` (nobody can look whether it happened), `refused` (it
    /// did not happen) or `unknown` (it may have happened).
    pub state: String,
    /// What was seen, or what is wrong.
    pub text: String,
}

/// Who is told of alarms, and who was.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct NoticesView {
    /// Who can be told.
    pub contacts: Vec<ContactRow>,
    /// Which alarms are told to whom, in which order.
    #[serde(default)]
    pub routes: Vec<RouteRow>,
    /// By what.
    pub notifiers: Vec<NotifierRow>,
    /// Who was told of the alarms that stand, the latest first; at most 200 rows.
    pub told: Vec<ToldRow>,
    /// What could not be told, the latest first; at most 20 rows.
    pub failed: Vec<FailedRow>,
    /// Messages that wait or are being sent.
    pub under_way: u32,
    /// Who was not reached by a test call for too long; `null` when all were.
    pub test_due: Option<Label>,
}

/// Which alarms are told to whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RouteRow {
    /// Short name.
    pub name: String,
    /// Alarms of at least this priority,
    pub at_least: Priority,
    /// of these classes (empty: any),
    pub classes: Vec<String>,
    /// of these kinds (empty: any),
    pub kinds: Vec<String>,
    /// and of these nodes, devices and points (empty: any).
    pub sources: Vec<String>,
    /// Takes its alarms away from the routes without this mark.
    pub only: bool,
    /// Who, in which order.
    pub steps: Vec<RouteStep>,
    /// Told again so often while nobody has it.
    pub repeat_s: Option<u64>,
}

/// A step of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RouteStep {
    /// So long after the alarm, while nobody has it.
    pub after_s: u64,
    /// Names of the contacts.
    pub contacts: Vec<String>,
}

/// Somebody who can be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ContactRow {
    /// Short name.
    pub name: String,
    /// Shown name.
    pub label: Label,
    /// Within the hours of duty now.
    pub on_duty: bool,
    /// Who is told instead today.
    pub deputy: Option<String>,
    /// Notifiers by which it is reached, the preferred one first.
    pub via: Vec<String>,
    /// A test call is on its way.
    pub called: bool,
    /// The last test call that arrived.
    pub last_test: Option<TestRow>,
}

/// A test call that arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TestRow {
    /// When, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// Who asked for it.
    pub by: String,
    /// By which notifier it arrived.
    pub notifier: String,
    /// How long it took.
    pub took_ms: u64,
}

/// A means by which people or machines outside are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NotifierRow {
    /// Short name.
    pub name: String,
    /// Shown name.
    pub label: Label,
    /// `working`, `failing`, or `untried` since the controller started.
    pub state: String,
    /// Why it fails.
    pub problem: Option<Label>,
    /// It shows lamps instead of telling anybody: a lamp test reaches it.
    pub lamps: bool,
    /// When it last took something, milliseconds since 1970 UTC.
    pub last_success_ms: Option<i64>,
}

/// Somebody was told of an alarm that stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ToldRow {
    /// Alarm id.
    pub alarm: String,
    /// Who.
    pub contact: String,
    /// As the deputy of this one.
    pub deputy_for: Option<String>,
    /// By what.
    pub notifier: String,
    /// What was told last.
    pub moment: Moment,
    /// When, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// Only in a summary, with others.
    pub in_summary: bool,
}

/// Something could not be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FailedRow {
    /// When, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// Who was to be told.
    pub contact: String,
    /// Of what, when it was about an alarm.
    pub alarm: Option<String>,
    /// Why not.
    pub problem: String,
    /// It is not tried again.
    pub given_up: bool,
}

/// How the entry log is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct LogStanding {
    /// Its name; `None` before the first entry.
    pub origin: Option<String>,
    /// Rows.
    pub size: u64,
    /// Rows that the last signed checkpoint covers.
    pub signed: u64,
    /// The verifier key.
    pub key: String,
    /// Why it cannot be written; `None` when all is well.
    pub problem: Option<String>,
}
