//! Commands to devices: their names, how dangerous they are, and what became of one.
//!
//! Names are NUT's instant commands (RFC 9271), whatever the protocol: a profile says how its
//! devices are told (`profile::Action`), NUT and Megatec have words of their own. A site allows
//! each by its name (`device.commands`); without that a device is only read.
//!
//! ```text
//! operator --allowed? harmless or a test?--> engine: record --> act: look, write, look --> record
//! plan step (what cuts power) ----------------------------------> act
//! ```
//! What cuts power is never an operator's command: it is a step of a plan, which the role `act`
//! knows by its own reading of the site.

use crate::site::Label;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Outlets of a device that a command can name.
pub const OUTLET_MAX: u16 = 128;

/// What a command can do to a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Danger {
    /// Nothing that a server would notice.
    Harmless,
    /// Puts load on the battery for a while; refused while the mains fail.
    Test,
    /// Switches power: a step of a plan only.
    CutsPower,
}

/// A command as we know it.
#[derive(Debug, PartialEq, Eq)]
pub struct Known {
    /// Its name; `{i}` stands for the number of an outlet.
    pub pattern: &'static str,
    /// What it can do.
    pub danger: Danger,
    /// Said twice it does no more than said once.
    pub repeatable: bool,
    /// For people.
    ja: &'static str,
    en: &'static str,
}

const fn known(
    pattern: &'static str,
    danger: Danger,
    repeatable: bool,
    ja: &'static str,
    en: &'static str,
) -> Known {
    Known {
        pattern,
        danger,
        repeatable,
        ja,
        en,
    }
}

/// Every command there is. A name that is not here is none.
pub const KNOWN: &[Known] = {
    use Danger::{CutsPower, Harmless, Test};
    &[
        known(
            "test.battery.start",
            Test,
            false,
            "電池試験を始める",
            "start a battery test",
        ),
        known(
            "test.battery.start.quick",
            Test,
            false,
            "短い電池試験を始める",
            "start a short battery test",
        ),
        known(
            "test.battery.start.deep",
            Test,
            false,
            "深い電池試験を始める",
            "start a deep battery test",
        ),
        known(
            "test.battery.stop",
            Harmless,
            true,
            "電池試験を止める",
            "stop a battery test",
        ),
        known(
            "test.panel.start",
            Harmless,
            false,
            "表示灯とブザーを試す",
            "test lamps and beeper",
        ),
        known(
            "calibrate.start",
            Test,
            false,
            "稼働時間の較正を始める",
            "start a runtime calibration",
        ),
        known(
            "calibrate.stop",
            Harmless,
            true,
            "稼働時間の較正を止める",
            "stop a runtime calibration",
        ),
        known(
            "beeper.mute",
            Harmless,
            true,
            "今のブザーを止める",
            "silence the beeper for now",
        ),
        known(
            "beeper.enable",
            Harmless,
            true,
            "ブザーを使う",
            "let the beeper sound",
        ),
        known(
            "beeper.disable",
            Harmless,
            true,
            "ブザーを使わない",
            "never let the beeper sound",
        ),
        known(
            "shutdown.return",
            CutsPower,
            true,
            "出力を切り、商用電源が戻れば入れる",
            "switch the output off, and on again when mains is back",
        ),
        known(
            "shutdown.stayoff",
            CutsPower,
            true,
            "出力を切り、切ったままにする",
            "switch the output off for good",
        ),
        known(
            "shutdown.stop",
            CutsPower,
            true,
            "出力の停止を取り消す",
            "call a shutdown of the output back",
        ),
        known(
            "load.off",
            CutsPower,
            true,
            "出力をすぐに切る",
            "switch the output off at once",
        ),
        known("load.on", CutsPower, true, "出力を入れる", "switch the output on"),
        known(
            "outlet.{i}.load.off",
            CutsPower,
            true,
            "コンセントを切る",
            "switch an outlet off",
        ),
        known(
            "outlet.{i}.load.on",
            CutsPower,
            true,
            "コンセントを入れる",
            "switch an outlet on",
        ),
        known(
            "outlet.{i}.load.cycle",
            CutsPower,
            false,
            "コンセントを切って入れ直す",
            "switch an outlet off and on again",
        ),
    ]
};

/// The name of a command, with the outlet's number where it has one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name {
    known: &'static Known,
    outlet: Option<u16>,
}

/// Text that names no command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no command; there are: {list}", list = list())]
pub struct BadName(pub String);

fn list() -> String {
    let all: Vec<&str> = KNOWN.iter().map(|known| known.pattern).collect();
    all.join(", ")
}

impl Name {
    /// What is known of it.
    #[must_use]
    pub const fn known(self) -> &'static Known {
        self.known
    }

    /// The number of its outlet.
    #[must_use]
    pub const fn outlet(self) -> Option<u16> {
        self.outlet
    }

    /// What it can do.
    #[must_use]
    pub const fn danger(self) -> Danger {
        self.known.danger
    }

    /// For people.
    #[must_use]
    pub fn label(self) -> Label {
        match self.outlet {
            None => Label::new(self.known.ja, self.known.en),
            Some(outlet) => Label::new(
                format!("{}: {outlet} 番", self.known.ja),
                format!("{}: number {outlet}", self.known.en),
            ),
        }
    }
}

impl Known {
    /// For people.
    #[must_use]
    pub fn label(&self) -> Label {
        Label::new(self.ja, self.en)
    }

    /// Every one.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        KNOWN.iter()
    }

    /// By its pattern.
    #[must_use]
    pub fn of(pattern: &str) -> Option<&'static Self> {
        KNOWN.iter().find(|known| known.pattern == pattern)
    }
}

impl FromStr for Name {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = || BadName(text.chars().take(60).collect());
        for known in KNOWN {
            let Some((before, after)) = known.pattern.split_once("{i}") else {
                if known.pattern == text {
                    return Ok(Self { known, outlet: None });
                }
                continue;
            };
            let digits = text
                .strip_prefix(before)
                .and_then(|rest| rest.strip_suffix(after))
                .filter(|digits| {
                    digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0')
                });
            if let Some(outlet) = digits.and_then(|digits| digits.parse().ok()) {
                if outlet > OUTLET_MAX {
                    return Err(bad());
                }
                return Ok(Self {
                    known,
                    outlet: Some(outlet),
                });
            }
        }
        Err(bad())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.outlet, self.known.pattern.split_once("{i}")) {
            (Some(outlet), Some((before, after))) => write!(f, "{before}{outlet}{after}"),
            _ => f.write_str(self.known.pattern),
        }
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Name {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What an operator wants of a device, as the role `act` is asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Counts up over restarts; an operation is never carried out twice.
    pub id: u64,
    /// Device of the site.
    pub device: String,
    /// Which command.
    pub command: Name,
    /// Its parameter, where it has one.
    pub value: Option<i64>,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// It was seen to have happened.
    Confirmed {
        /// What was seen: a fact and its value.
        seen: String,
    },
    /// The device accepted it and has no way to tell whether it did it.
    Accepted,
    /// It has not happened: refused before it was sent, or by the device.
    Refused {
        /// Why.
        problem: String,
    },
    /// It was sent, and nobody knows what became of it.
    Unknown {
        /// Why nobody knows.
        problem: String,
    },
}

impl Done {
    /// Its word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Confirmed { .. } => "confirmed",
            Self::Accepted => "accepted",
            Self::Refused { .. } => "refused",
            Self::Unknown { .. } => "unknown",
        }
    }

    /// What was seen, or what is wrong.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Confirmed { seen } => seen,
            Self::Accepted => "",
            Self::Refused { problem } | Self::Unknown { problem } => problem,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written_and_nothing_else_is_a_name() {
        for known in KNOWN {
            let text = known.pattern.replace("{i}", "12");
            let name: Name = text.parse().unwrap();
            assert_eq!(name.known(), known);
            assert_eq!(name.to_string(), text);
            assert_eq!(name.outlet().is_some(), known.pattern.contains("{i}"));
        }
        for bad in [
            "",
            "load",
            "load.off.now",
            "outlet.load.off",
            "outlet.{i}.load.off",
            "outlet.0.load.off",
            "outlet.01.load.off",
            "outlet.+1.load.off",
            "outlet.129.load.off",
            "outlet.1.2.load.off",
            "LOAD.OFF",
        ] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_switches_power_is_no_harmless_command() {
        for known in KNOWN {
            let switches = known.pattern.contains("load.") || known.pattern.starts_with("shutdown.");
            assert_eq!(known.danger == Danger::CutsPower, switches, "{}", known.pattern);
            assert!(!known.ja.is_empty() && !known.en.is_empty());
        }
    }
}
