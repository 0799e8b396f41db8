//! What a signal tower shows: a pure function of the alarms that are not normal.
//!
//! ```text
//! red    critical:  flashing with the buzzer while nobody has one, steady once all are taken
//! amber  warning:   flashing while nobody has one, steady once all are taken
//! blue   advisory:  steady
//! white  an alarm about the controller itself or its notices: flashing, steady once taken
//! green  steady while there is neither a critical alarm nor a warning, nor trouble of our own
//! ```
//! What is shelved, suppressed or out of service is not shown. A tower that shows nothing at all
//! has lost its controller: one light is always on.

use super::{Lamp, Light};
use crate::site::Priority;

/// An alarm as far as a lamp shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// Priority.
    pub priority: Priority,
    /// Nobody has it yet.
    pub unacknowledged: bool,
    /// It is about the controller itself.
    pub system: bool,
}

/// What the tower shows for these alarms.
#[must_use]
pub fn lamp(alarms: impl IntoIterator<Item = Shown>) -> Lamp {
    let mut lamp = Lamp::default();
    for alarm in alarms {
        let light = if alarm.unacknowledged {
            Light::Flashing
        } else {
            Light::Steady
        };
        match alarm.priority {
            Priority::Critical => {
                raise(&mut lamp.red, light);
                lamp.buzzer |= alarm.unacknowledged;
            }
            Priority::Warning => raise(&mut lamp.amber, light),
            Priority::Advisory => raise(&mut lamp.blue, Light::Steady),
        }
        if alarm.system {
            raise(&mut lamp.white, light);
        }
    }
    if [lamp.red, lamp.amber, lamp.white]
        .into_iter()
        .all(|light| light == Light::Off)
    {
        lamp.green = Light::Steady;
    }
    lamp
}

/// Every light and the buzzer, for the lamp test.
#[must_use]
pub const fn everything() -> Lamp {
    Lamp {
        red: Light::Steady,
        amber: Light::Steady,
        green: Light::Steady,
        blue: Light::Steady,
        white: Light::Steady,
        buzzer: true,
    }
}

fn raise(light: &mut Light, to: Light) {
    if *light != Light::Flashing && to != Light::Off {
        *light = to;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Red, amber, green, blue, white: `-` off, `o` steady, `*` flashing; `!` the buzzer.
    fn drawn(alarms: &[(Priority, bool, bool)]) -> String {
        let lamp = lamp(alarms.iter().map(|(priority, unacknowledged, system)| Shown {
            priority: *priority,
            unacknowledged: *unacknowledged,
            system: *system,
        }));
        let lights = [lamp.red, lamp.amber, lamp.green, lamp.blue, lamp.white];
        let drawn: String = lights
            .into_iter()
            .map(|light| match light {
                Light::Off => '-',
                Light::Steady => 'o',
                Light::Flashing => '*',
            })
            .collect();
        drawn + if lamp.buzzer { "!" } else { "" }
    }

    #[test]
    fn the_worst_of_each_colour_is_shown_and_green_only_when_all_is_well() {
        use Priority::{Advisory, Critical, Warning};
        for (alarms, expected) in [
            (&[][..], "--o--"),
            (&[(Critical, true, false)], "*----!"),
            (&[(Critical, false, false)], "o----"),
            (&[(Critical, true, false), (Critical, false, false)], "*----!"),
            (&[(Critical, false, false), (Critical, true, false)], "*----!"),
            (&[(Warning, true, false)], "-*---"),
            (&[(Warning, false, false), (Critical, false, false)], "oo---"),
            (&[(Advisory, true, false)], "--oo-"),
            (&[(Advisory, true, true)], "---o*"),
            (&[(Critical, false, true)], "o---o"),
        ] {
            assert_eq!(drawn(alarms), expected, "{alarms:?}");
        }
    }
}
