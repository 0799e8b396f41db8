//! Values that are possible one by one and impossible together.

use crate::device::{Fact, FactValue};
use shared::NoData;

/// Below this apparent power the meters of a UPS are too coarse to contradict each other.
const CONTRADICTION_FROM_VA: f64 = 200.0;
/// Real power can be no less than this share of the apparent power of a server room; a unit
/// that reports kilowatts where its MIB says watts is a thousand times lower.
const POWER_FACTOR_MIN: f64 = 0.05;
/// Real power above the apparent one by more than meters differ.
const POWER_FACTOR_MAX: f64 = 2.0;

/// Refuses a real power that voltage and current of the same phase contradict.
pub(super) fn refuse(facts: &mut [Fact]) {
    for (power, voltage, current) in [
        ("ups.realpower", "output.voltage", "output.current"),
        ("output.L2.realpower", "output.L2.voltage", "output.L2.current"),
        ("output.L3.realpower", "output.L3.voltage", "output.L3.current"),
    ] {
        let number = |name: &str| {
            facts
                .iter()
                .find(|fact| fact.name == name)
                .and_then(|fact| match fact.value {
                    Ok(FactValue::Number(number)) => Some(number),
                    _ => None,
                })
        };
        let of_phase = |phase: &str| {
            let value = |quantity: &str| number(&format!("output.{phase}.{quantity}")).unwrap_or(0.0);
            value("voltage") * value("current")
        };
        let (Some(volts), Some(amperes), Some(watts)) = (number(voltage), number(current), number(power))
        else {
            continue;
        };
        let apparent = volts * amperes;
        // The power of the whole unit may be the sum of its phases.
        let sum = if power == "ups.realpower" {
            apparent + of_phase("L2") + of_phase("L3")
        } else {
            apparent
        };
        let contradicts = apparent >= CONTRADICTION_FROM_VA
            && (watts < apparent * POWER_FACTOR_MIN || watts > sum * POWER_FACTOR_MAX);
        if contradicts && let Some(fact) = facts.iter_mut().find(|fact| fact.name == power) {
            fact.value = Err(NoData::Implausible);
        }
    }
}
