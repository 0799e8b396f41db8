//! The kinds of alarms: what each is about, what it says, and who answers it.
//!
//! An alarm exists only if somebody must act within a stated time. So every kind has a cause, a
//! consequence, an action, a time and an owner, in both languages; a test fails if one is missing.
//! A kind never knows where it stands: place and figures come with the alarm.

use super::advice::{device, door, environment, fire, part, power, system, water};
use crate::site::{Label, Priority};
use crate::time::Millis;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A text of the product in both languages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text {
    /// Japanese.
    pub ja: &'static str,
    /// English.
    pub en: &'static str,
}

impl Text {
    /// Both languages.
    #[must_use]
    pub const fn new(ja: &'static str, en: &'static str) -> Self {
        Self { ja, en }
    }

    /// The same, owned.
    #[must_use]
    pub fn label(self) -> Label {
        Label::new(self.ja, self.en)
    }
}

/// What an alarm is about, for lists, routes and rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Temperature, moisture, and what measures them.
    Environment,
    /// Water where none may be.
    Water,
    /// Smoke, fire panel, extinguishing agent.
    Fire,
    /// Mains, UPSs, and the stopping of servers.
    Power,
    /// Doors and the people who pass them.
    Door,
    /// Devices, nodes and their parts.
    Device,
    /// The watchtower itself.
    System,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 7] = [
        Self::Environment,
        Self::Water,
        Self::Fire,
        Self::Power,
        Self::Door,
        Self::Device,
        Self::System,
    ];

    /// Its stable word, as in the API.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::Water => "water",
            Self::Fire => "fire",
            Self::Power => "power",
            Self::Door => "door",
            Self::Device => "device",
            Self::System => "system",
        }
    }

    /// Its shown name.
    #[must_use]
    pub const fn text(self) -> Text {
        match self {
            Self::Environment => Text::new("環境", "environment"),
            Self::Water => Text::new("水", "water"),
            Self::Fire => Text::new("火災", "fire"),
            Self::Power => Text::new("電源", "power"),
            Self::Door => Text::new("扉・入退室", "doors"),
            Self::Device => Text::new("機器", "devices"),
            Self::System => Text::new("監視装置", "watchtower"),
        }
    }
}

/// Whose work it is to answer an alarm, by office and not by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// 施設管理担当
    Facilities,
    /// 情報システム管理者
    SystemAdministrator,
    /// 情報セキュリティ管理者
    SecurityManager,
}

impl Owner {
    /// Every owner.
    pub const ALL: [Self; 3] = [Self::Facilities, Self::SystemAdministrator, Self::SecurityManager];

    /// Its stable word, as in the API.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Facilities => "facilities",
            Self::SystemAdministrator => "system_administrator",
            Self::SecurityManager => "security_manager",
        }
    }

    /// Its shown name.
    #[must_use]
    pub const fn text(self) -> Text {
        match self {
            Self::Facilities => Text::new("施設管理担当", "facilities staff"),
            Self::SystemAdministrator => Text::new("情報システム管理者", "system administrator"),
            Self::SecurityManager => Text::new("情報セキュリティ管理者", "security manager"),
        }
    }
}

/// What a kind says. A definition may say `what` and `action` more closely, and has the priority
/// that its limit was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advice {
    /// Stable word, as in the API and in `site.toml`.
    pub word: &'static str,
    /// What it is about.
    pub class: Class,
    /// Its usual priority.
    pub priority: Priority,
    /// A person must reset it after it has returned.
    pub latching: bool,
    /// What happened.
    pub what: Text,
    /// What usually leads to it.
    pub cause: Text,
    /// What comes if nobody acts.
    pub consequence: Text,
    /// What to do.
    pub action: Text,
    /// Time to act, from the moment it is raised.
    pub respond_within: Millis,
    /// Whose work it is.
    pub owner: Owner,
}

/// A kind of alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Temperature above the limit.
    TemperatureHigh,
    /// Temperature dangerously high.
    TemperatureHighHigh,
    /// Temperature below the limit.
    TemperatureLow,
    /// Temperature changes too fast.
    TemperatureRate,
    /// Temperature runs away: the limit is minutes off.
    TemperatureRunaway,
    /// Dew point too high: the air is too moist.
    DewPointHigh,
    /// Dew point too low: the air is too dry.
    DewPointLow,
    /// Humidity above the limit.
    HumidityHigh,
    /// Humidity below the limit: static charge.
    HumidityLow,
    /// Water is about to condense.
    Condensation,
    /// Two sensors do not agree.
    SensorDisagreement,
    /// Above the limit.
    LimitHigh,
    /// Below the limit.
    LimitLow,
    /// No data.
    NoData,
    /// The room was shaken.
    Shaken,
    /// Water detected.
    Leak,
    /// Leak rope cut or shorted.
    LeakRopeBroken,
    /// Drain pump fault.
    DrainPump,
    /// Smoke relay.
    Smoke,
    /// Relay of the fire panel.
    FirePanel,
    /// Extinguishing agent low or released.
    AgentLow,
    /// On battery.
    OnBattery,
    /// Power failure suspected (one sign only).
    PowerSuspected,
    /// The UPS does not supply (bypass or off).
    NotSupplying,
    /// No contact with the UPS.
    UpsContact,
    /// Battery low.
    BatteryLow,
    /// The battery must be replaced.
    BatteryWear,
    /// The UPS is overloaded.
    UpsOverload,
    /// Economy mode: the load hangs on raw mains.
    UpsEconomy,
    /// The server in between has no fresh values of the UPS.
    UpsStale,
    /// Contact was lost while on battery.
    LostOnBattery,
    /// This UPS cannot be judged: it gives only one sign.
    OneSign,
    /// A test or calibration of the UPS does not end.
    TestStuck,
    /// The plan does not fit into the battery's time.
    MarginLow,
    /// The servers are being stopped.
    PlanStarted,
    /// A server cannot be stopped.
    StepFailed,
    /// Power would have stopped servers, but the policy only alarms.
    StopWithheld,
    /// A stop by the calendar was left out, or the clock is in doubt.
    ScheduleNotKept,
    /// Two signs of heat or water that servers do not survive.
    RoomEndangered,
    /// Servers that were stopped must be started.
    HostsStopped,
    /// Servers that were stopped are being started again, or wait for it.
    HostsReturning,
    /// A server that was to be started again does not run.
    HostNotBack,
    /// Every server is off, and a UPS could not be told to switch off.
    OutputNotOff,
    /// The role that stops servers cannot be used.
    ActGone,
    /// The last rehearsal failed for some servers.
    RehearsalFailed,
    /// The plan was not rehearsed for longer than the site wants.
    RehearsalDue,
    /// A host runs on fewer feeds than it has: an outlet is off, an input is lost.
    HostFeedLost,
    /// What stops or starts a server could not be done at the daily check.
    CredentialFailed,
    /// A feed has lost its mains (contact).
    FeedLost,
    /// Breaker tripped.
    BreakerTripped,
    /// Surge protector worn out.
    SurgeProtector,
    /// Door opened without a grant.
    DoorForced,
    /// Door held open.
    DoorHeld,
    /// Entry was denied again and again.
    DeniedRepeatedly,
    /// Reader or enclosure opened.
    Tamper,
    /// A card is used in a way that cannot be right.
    CardAnomaly,
    /// A lent card was not given back in time.
    CardOverdue,
    /// A visitor is alone in the room.
    VisitorAlone,
    /// Nobody attends a carry-in.
    CarryInUnattended,
    /// Card reader does not work.
    ReaderFault,
    /// Door closed but not locked.
    DoorUnlocked,
    /// Window open.
    WindowOpen,
    /// Rack door left open.
    RackOpen,
    /// Device does not answer.
    DeviceUnreachable,
    /// A change of the wiring was seen.
    WiringChange,
    /// Messages of an unknown node.
    UnknownNode,
    /// Sensor node silent.
    NodeSilent,
    /// Sensor node silent for so long that it will not come back by itself.
    NodeLost,
    /// The key of a node is missing or cannot be read.
    NodeNoKey,
    /// Forged or replayed frames refused.
    NodeRefused,
    /// Events of a node are missing.
    NodeMissing,
    /// Two nodes with one identity.
    NodeTwin,
    /// A node crashed and restarted.
    NodeCrashed,
    /// Node in safe mode watches nothing.
    NodeSafeMode,
    /// A node does not take the access list.
    NodeList,
    /// The access list is old.
    NodeListStale,
    /// A node does not change its key.
    NodeKey,
    /// A node did not take a new firmware.
    NodeUpdate,
    /// Contact chatters.
    ContactChattering,
    /// Redundancy is lost; the service goes on.
    RedundancyLost,
    /// The service of a group is lost.
    GroupService,
    /// Both halves of a pair serve.
    GroupBoth,
    /// A member is down; still redundant.
    GroupReduced,
    /// A power supply has failed or lost its feed.
    PowerSupply,
    /// A disc array works without redundancy.
    DiscArray,
    /// A disc array has failed.
    DiscArrayLost,
    /// The battery of a write cache is bad.
    CacheBattery,
    /// A disc has failed or will.
    DiscFailed,
    /// A fan has failed.
    FanFailed,
    /// A memory module has failed or will.
    MemoryFailed,
    /// The device says that its redundancy is lost.
    DeviceRedundancy,
    /// A part is bad.
    PartBad,
    /// An uplink is down.
    UplinkDown,
    /// The journal cannot be written.
    Journal,
    /// The journal was changed or is damaged.
    LogCheckFailed,
    /// The entry log cannot be written or signed.
    EntryLog,
    /// A node witnesses another journal than this.
    WitnessDisagrees,
    /// The history cannot be written.
    History,
    /// No MQTT connection.
    MqttDown,
    /// The web role is down.
    WebDown,
    /// The server for NUT's clients is down.
    NutServerDown,
    /// No NUT client of a host is logged in.
    NutClientMissing,
    /// The clock is off.
    Clock,
    /// Backup or witness overdue.
    BackupOverdue,
    /// Notices cannot be sent.
    Notifier,
    /// The last test call lies too far back.
    TestCallOverdue,
    /// Too much time was not watched.
    Coverage,
    /// The result of the work is not recorded.
    MaintenanceResult,
    /// An alarm that is no longer configured.
    NotConfigured,
}

impl Kind {
    /// Every kind. Its length follows from the list, so that two people can add to it.
    pub const ALL: [Self; Self::LIST.len()] = {
        let mut all = [Self::LIST[0]; Self::LIST.len()];
        let mut at = 1;
        while at < all.len() {
            all[at] = Self::LIST[at];
            at += 1;
        }
        all
    };

    const LIST: &[Self] = &[
        Self::TemperatureHigh,
        Self::TemperatureHighHigh,
        Self::TemperatureLow,
        Self::TemperatureRate,
        Self::TemperatureRunaway,
        Self::DewPointHigh,
        Self::DewPointLow,
        Self::HumidityHigh,
        Self::HumidityLow,
        Self::Condensation,
        Self::SensorDisagreement,
        Self::LimitHigh,
        Self::LimitLow,
        Self::NoData,
        Self::Shaken,
        Self::Leak,
        Self::LeakRopeBroken,
        Self::DrainPump,
        Self::Smoke,
        Self::FirePanel,
        Self::AgentLow,
        Self::OnBattery,
        Self::PowerSuspected,
        Self::NotSupplying,
        Self::UpsContact,
        Self::BatteryLow,
        Self::BatteryWear,
        Self::UpsOverload,
        Self::UpsEconomy,
        Self::UpsStale,
        Self::LostOnBattery,
        Self::OneSign,
        Self::TestStuck,
        Self::MarginLow,
        Self::PlanStarted,
        Self::StepFailed,
        Self::StopWithheld,
        Self::ScheduleNotKept,
        Self::RoomEndangered,
        Self::HostsStopped,
        Self::HostsReturning,
        Self::HostNotBack,
        Self::OutputNotOff,
        Self::ActGone,
        Self::RehearsalFailed,
        Self::RehearsalDue,
        Self::HostFeedLost,
        Self::CredentialFailed,
        Self::FeedLost,
        Self::BreakerTripped,
        Self::SurgeProtector,
        Self::DoorForced,
        Self::DoorHeld,
        Self::DeniedRepeatedly,
        Self::Tamper,
        Self::CardAnomaly,
        Self::CardOverdue,
        Self::VisitorAlone,
        Self::CarryInUnattended,
        Self::ReaderFault,
        Self::DoorUnlocked,
        Self::WindowOpen,
        Self::RackOpen,
        Self::DeviceUnreachable,
        Self::WiringChange,
        Self::UnknownNode,
        Self::NodeSilent,
        Self::NodeLost,
        Self::NodeNoKey,
        Self::NodeRefused,
        Self::NodeMissing,
        Self::NodeTwin,
        Self::NodeCrashed,
        Self::NodeSafeMode,
        Self::NodeList,
        Self::NodeListStale,
        Self::NodeKey,
        Self::NodeUpdate,
        Self::ContactChattering,
        Self::RedundancyLost,
        Self::GroupService,
        Self::GroupBoth,
        Self::GroupReduced,
        Self::PowerSupply,
        Self::DiscArray,
        Self::DiscArrayLost,
        Self::CacheBattery,
        Self::DiscFailed,
        Self::FanFailed,
        Self::MemoryFailed,
        Self::DeviceRedundancy,
        Self::PartBad,
        Self::UplinkDown,
        Self::Journal,
        Self::LogCheckFailed,
        Self::EntryLog,
        Self::WitnessDisagrees,
        Self::History,
        Self::MqttDown,
        Self::WebDown,
        Self::NutServerDown,
        Self::NutClientMissing,
        Self::Clock,
        Self::BackupOverdue,
        Self::Notifier,
        Self::TestCallOverdue,
        Self::Coverage,
        Self::MaintenanceResult,
        Self::NotConfigured,
    ];

    /// What it says.
    #[must_use]
    pub const fn advice(self) -> &'static Advice {
        match self {
            Self::TemperatureHigh => &environment::TEMPERATURE_HIGH,
            Self::TemperatureHighHigh => &environment::TEMPERATURE_HIGH_HIGH,
            Self::TemperatureLow => &environment::TEMPERATURE_LOW,
            Self::TemperatureRate => &environment::TEMPERATURE_RATE,
            Self::TemperatureRunaway => &environment::TEMPERATURE_RUNAWAY,
            Self::DewPointHigh => &environment::DEW_POINT_HIGH,
            Self::DewPointLow => &environment::DEW_POINT_LOW,
            Self::HumidityHigh => &environment::HUMIDITY_HIGH,
            Self::HumidityLow => &environment::HUMIDITY_LOW,
            Self::Condensation => &environment::CONDENSATION,
            Self::SensorDisagreement => &environment::SENSOR_DISAGREEMENT,
            Self::LimitHigh => &environment::LIMIT_HIGH,
            Self::LimitLow => &environment::LIMIT_LOW,
            Self::NoData => &environment::NO_DATA,
            Self::Shaken => &environment::SHAKEN,
            Self::Leak => &water::LEAK,
            Self::LeakRopeBroken => &water::LEAK_ROPE_BROKEN,
            Self::DrainPump => &water::DRAIN_PUMP,
            Self::Smoke => &fire::SMOKE,
            Self::FirePanel => &fire::FIRE_PANEL,
            Self::AgentLow => &fire::AGENT_LOW,
            Self::OnBattery => &power::ON_BATTERY,
            Self::PowerSuspected => &power::POWER_SUSPECTED,
            Self::NotSupplying => &power::NOT_SUPPLYING,
            Self::UpsContact => &power::UPS_CONTACT,
            Self::BatteryLow => &power::BATTERY_LOW,
            Self::BatteryWear => &power::BATTERY_WEAR,
            Self::UpsOverload => &power::UPS_OVERLOAD,
            Self::UpsEconomy => &power::UPS_ECONOMY,
            Self::UpsStale => &power::UPS_STALE,
            Self::LostOnBattery => &power::LOST_ON_BATTERY,
            Self::OneSign => &power::ONE_SIGN,
            Self::TestStuck => &power::TEST_STUCK,
            Self::MarginLow => &power::MARGIN_LOW,
            Self::PlanStarted => &power::PLAN_STARTED,
            Self::StepFailed => &power::STEP_FAILED,
            Self::StopWithheld => &power::STOP_WITHHELD,
            Self::ScheduleNotKept => &power::SCHEDULE_NOT_KEPT,
            Self::RoomEndangered => &power::ROOM_ENDANGERED,
            Self::HostsStopped => &power::HOSTS_STOPPED,
            Self::HostsReturning => &power::HOSTS_RETURNING,
            Self::OutputNotOff => &power::OUTPUT_NOT_OFF,
            Self::HostNotBack => &power::HOST_NOT_BACK,
            Self::ActGone => &power::ACT_GONE,
            Self::RehearsalFailed => &power::REHEARSAL_FAILED,
            Self::RehearsalDue => &power::REHEARSAL_DUE,
            Self::HostFeedLost => &power::HOST_FEED_LOST,
            Self::CredentialFailed => &power::CREDENTIAL_FAILED,
            Self::FeedLost => &power::FEED_LOST,
            Self::BreakerTripped => &power::BREAKER_TRIPPED,
            Self::SurgeProtector => &power::SURGE_PROTECTOR,
            Self::DoorForced => &door::DOOR_FORCED,
            Self::DoorHeld => &door::DOOR_HELD,
            Self::DeniedRepeatedly => &door::DENIED_REPEATEDLY,
            Self::Tamper => &door::TAMPER,
            Self::CardAnomaly => &door::CARD_ANOMALY,
            Self::CardOverdue => &door::CARD_OVERDUE,
            Self::VisitorAlone => &door::VISITOR_ALONE,
            Self::CarryInUnattended => &door::CARRY_IN_UNATTENDED,
            Self::ReaderFault => &door::READER_FAULT,
            Self::DoorUnlocked => &door::DOOR_UNLOCKED,
            Self::WindowOpen => &door::WINDOW_OPEN,
            Self::RackOpen => &door::RACK_OPEN,
            Self::DeviceUnreachable => &device::DEVICE_UNREACHABLE,
            Self::WiringChange => &device::WIRING_CHANGE,
            Self::UnknownNode => &device::UNKNOWN_NODE,
            Self::NodeSilent => &device::NODE_SILENT,
            Self::NodeLost => &device::NODE_LOST,
            Self::NodeNoKey => &device::NODE_NO_KEY,
            Self::NodeRefused => &device::NODE_REFUSED,
            Self::NodeMissing => &device::NODE_MISSING,
            Self::NodeTwin => &device::NODE_TWIN,
            Self::NodeCrashed => &device::NODE_CRASHED,
            Self::NodeSafeMode => &device::NODE_SAFE_MODE,
            Self::NodeList => &device::NODE_LIST,
            Self::NodeListStale => &device::NODE_LIST_STALE,
            Self::NodeKey => &device::NODE_KEY,
            Self::NodeUpdate => &device::NODE_UPDATE,
            Self::ContactChattering => &device::CONTACT_CHATTERING,
            Self::RedundancyLost => &part::REDUNDANCY_LOST,
            Self::GroupService => &part::GROUP_SERVICE,
            Self::GroupBoth => &part::GROUP_BOTH,
            Self::GroupReduced => &part::GROUP_REDUCED,
            Self::PowerSupply => &part::POWER_SUPPLY,
            Self::DiscArray => &part::DISC_ARRAY,
            Self::DiscArrayLost => &part::DISC_ARRAY_LOST,
            Self::CacheBattery => &part::CACHE_BATTERY,
            Self::DiscFailed => &part::DISC_FAILED,
            Self::FanFailed => &part::FAN_FAILED,
            Self::MemoryFailed => &part::MEMORY_FAILED,
            Self::DeviceRedundancy => &part::DEVICE_REDUNDANCY,
            Self::PartBad => &part::PART_BAD,
            Self::UplinkDown => &part::UPLINK_DOWN,
            Self::Journal => &system::JOURNAL,
            Self::LogCheckFailed => &system::LOG_CHECK_FAILED,
            Self::EntryLog => &system::ENTRY_LOG,
            Self::WitnessDisagrees => &system::WITNESS_DISAGREES,
            Self::History => &system::HISTORY,
            Self::MqttDown => &system::MQTT_DOWN,
            Self::WebDown => &system::WEB_DOWN,
            Self::NutServerDown => &system::NUT_SERVER_DOWN,
            Self::NutClientMissing => &system::NUT_CLIENT_MISSING,
            Self::Clock => &system::CLOCK,
            Self::BackupOverdue => &system::BACKUP_OVERDUE,
            Self::Notifier => &system::NOTIFIER,
            Self::TestCallOverdue => &system::TEST_CALL_OVERDUE,
            Self::Coverage => &system::COVERAGE,
            Self::MaintenanceResult => &system::MAINTENANCE_RESULT,
            Self::NotConfigured => &system::NOT_CONFIGURED,
        }
    }

    /// Its stable word, as in the API and in `site.toml`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        self.advice().word
    }

    /// What it is about.
    #[must_use]
    pub const fn class(self) -> Class {
        self.advice().class
    }

    /// The kind with this word.
    #[must_use]
    pub fn by_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// True when it may be folded under a cause. Water, smoke, the fire panel, the extinguishing
    /// agent and doors never are: whatever else is wrong, somebody must go and look.
    #[must_use]
    pub const fn may_fold(self) -> bool {
        !self.is_life_safety() && !matches!(self.class(), Class::Door)
    }

    /// True for what can cost a life or the room at once.
    #[must_use]
    pub const fn is_life_safety(self) -> bool {
        matches!(self, Self::Leak) || matches!(self.class(), Class::Fire)
    }
}

/// The kinds that the staff's manual promises, by its chapters.
pub const SHIPPED: [Kind; 36] = [
    // Air.
    Kind::TemperatureHigh,
    Kind::TemperatureHighHigh,
    Kind::TemperatureLow,
    Kind::TemperatureRate,
    Kind::TemperatureRunaway,
    Kind::DewPointHigh,
    Kind::DewPointLow,
    Kind::HumidityLow,
    Kind::SensorDisagreement,
    // Water and fire.
    Kind::Leak,
    Kind::LeakRopeBroken,
    Kind::Smoke,
    Kind::AgentLow,
    Kind::DrainPump,
    // Power.
    Kind::OnBattery,
    Kind::MarginLow,
    Kind::PlanStarted,
    Kind::StepFailed,
    Kind::BatteryWear,
    Kind::UpsOverload,
    Kind::FeedLost,
    Kind::SurgeProtector,
    // Doors and people.
    Kind::DoorForced,
    Kind::DoorHeld,
    Kind::DeniedRepeatedly,
    Kind::Tamper,
    Kind::CardAnomaly,
    Kind::VisitorAlone,
    Kind::CarryInUnattended,
    // Devices.
    Kind::RedundancyLost,
    Kind::DeviceUnreachable,
    Kind::WiringChange,
    Kind::UnknownNode,
    // The watchtower.
    Kind::LogCheckFailed,
    Kind::Clock,
    Kind::BackupOverdue,
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn problems(kind: Kind) -> Vec<String> {
        let advice = kind.advice();
        let mut problems = Vec::new();
        for (name, text) in [
            ("what", advice.what),
            ("cause", advice.cause),
            ("consequence", advice.consequence),
            ("action", advice.action),
        ] {
            let is_japanese = text
                .ja
                .chars()
                .any(|letter| ('\u{3040}'..='\u{9fff}').contains(&letter));
            let is_english = text.en.is_ascii() && text.en.contains(' ');
            if !is_japanese || !(is_english || name == "what") || text.en.is_empty() {
                problems.push(format!("{}: {name} lacks a language", kind.word()));
            }
        }
        if advice.respond_within == Millis(0) {
            problems.push(format!("{}: nobody knows by when", kind.word()));
        }
        problems
    }

    #[test]
    fn every_kind_says_in_both_languages_what_why_what_comes_what_to_do_and_by_when() {
        let problems: Vec<String> = Kind::ALL.into_iter().flat_map(problems).collect();
        assert!(problems.is_empty(), "{problems:#?}");
    }

    #[test]
    fn the_shipped_alarms_are_thirty_six_and_each_can_be_answered() {
        let words: BTreeSet<&str> = SHIPPED.into_iter().map(Kind::word).collect();
        assert_eq!(words.len(), 36, "none is named twice");
        for kind in SHIPPED {
            assert!(Kind::ALL.contains(&kind));
            assert_eq!(problems(kind), Vec::<String>::new());
            assert!(!kind.advice().owner.text().ja.is_empty());
        }
    }

    #[test]
    fn words_are_unique_and_the_same_in_the_api() {
        let words: BTreeSet<&str> = Kind::ALL.into_iter().map(Kind::word).collect();
        assert_eq!(words.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.word());
            assert_eq!(Kind::by_word(kind.word()), Some(kind));
        }
        for class in Class::ALL {
            assert_eq!(serde_json::to_value(class).unwrap(), class.word());
        }
        for owner in Owner::ALL {
            assert_eq!(serde_json::to_value(owner).unwrap(), owner.word());
        }
    }

    #[test]
    fn who_is_more_urgent_has_less_time() {
        for kind in Kind::ALL {
            let limit = match kind.advice().priority {
                Priority::Critical => Millis::from_secs(3600),
                Priority::Warning => Millis::from_secs(14 * 86_400),
                Priority::Advisory => Millis::from_secs(30 * 86_400),
            };
            assert!(kind.advice().respond_within <= limit, "{}", kind.word());
        }
    }

    #[test]
    fn water_fire_and_doors_are_never_folded() {
        for kind in [
            Kind::Leak,
            Kind::Smoke,
            Kind::FirePanel,
            Kind::AgentLow,
            Kind::DoorForced,
            Kind::DoorHeld,
            Kind::Tamper,
        ] {
            assert!(!kind.may_fold(), "{}", kind.word());
        }
        assert!(Kind::NoData.may_fold() && Kind::TemperatureHigh.may_fold());
    }
}
