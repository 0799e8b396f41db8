//! What NUT's clients may tell devices: instant commands, and variables behind which one stands.
//!
//! Both end in an order to a device (`command`), journaled with the account's name and carried out
//! by the role `act`; the role `nut` can only ask. Which device may be told what says the site
//! (`device.commands`), and who may ask says the account (`instcmds`, `set`). What switches power is
//! neither listed nor done: it is a step of a plan.

use crate::command::{Danger, Name};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a client wants of a UPS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wish {
    /// `INSTCMD`
    Command {
        /// Its name.
        name: String,
        /// Its parameter.
        value: Option<i64>,
    },
    /// `SET VAR`
    Set {
        /// The variable.
        variable: String,
        /// The value that it shall have.
        value: String,
    },
}

/// The command behind each value of a variable.
const SETTINGS: &[(&str, &str, &str)] = &[
    ("ups.beeper.status", "enabled", "beeper.enable"),
    ("ups.beeper.status", "disabled", "beeper.disable"),
    ("ups.beeper.status", "muted", "beeper.mute"),
];

/// What is listed as commands, with what each does.
#[must_use]
pub fn commands(allowed: &[Name]) -> BTreeMap<String, String> {
    let harmless = allowed.iter().filter(|name| name.danger() != Danger::CutsPower);
    harmless.map(|name| (name.to_string(), name.label().en)).collect()
}

/// What is listed as settable: variables that are there, and those of their values for which the
/// device has a command.
#[must_use]
pub fn settable(allowed: &[Name], vars: &BTreeMap<String, String>) -> BTreeMap<String, Vec<String>> {
    let mut settable: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (variable, value, command) in SETTINGS {
        let is_allowed = command
            .parse()
            .is_ok_and(|command: Name| allowed.contains(&command));
        if is_allowed && vars.contains_key(*variable) {
            let values = settable.entry((*variable).to_owned()).or_default();
            values.push((*value).to_owned());
        }
    }
    settable
}

/// The command that gives a variable this value.
#[must_use]
pub fn behind(variable: &str, value: &str) -> Option<&'static str> {
    let mut settings = SETTINGS.iter();
    let found = settings.find(|(name, of, _)| *name == variable && *of == value);
    found.map(|(_, _, command)| *command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_switches_power_is_neither_listed_nor_behind_a_variable() {
        let allowed: Vec<Name> = [
            "test.battery.start",
            "load.off",
            "outlet.3.load.off",
            "beeper.mute",
        ]
        .map(|name| name.parse().unwrap())
        .into();
        let listed = commands(&allowed);
        assert_eq!(
            listed.keys().collect::<Vec<_>>(),
            ["beeper.mute", "test.battery.start"]
        );
        assert_eq!(listed["beeper.mute"], "silence the beeper for now");
        for (variable, value, command) in SETTINGS {
            let command: Name = command.parse().unwrap();
            assert_eq!(command.danger(), Danger::Harmless, "{variable} {value}");
        }
    }

    #[test]
    fn a_variable_is_settable_to_the_values_that_the_device_has_commands_for() {
        let allowed: Vec<Name> = ["beeper.enable", "beeper.disable"]
            .map(|name| name.parse().unwrap())
            .into();
        let there = BTreeMap::from([("ups.beeper.status".to_owned(), "enabled".to_owned())]);
        let set = settable(&allowed, &there);
        assert_eq!(set["ups.beeper.status"], ["enabled", "disabled"]);
        assert!(
            settable(&allowed, &BTreeMap::new()).is_empty(),
            "what is not there cannot be set"
        );
        assert!(settable(&[], &there).is_empty());
        assert_eq!(behind("ups.beeper.status", "muted"), Some("beeper.mute"));
        assert_eq!(behind("ups.beeper.status", "loud"), None);
        assert_eq!(behind("outlet.1.switch", "off"), None);
    }
}
