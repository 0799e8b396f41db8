//! How long a battery lasts: the least of what the UPS says and of what our own models say.
//!
//! Everything is pessimistic on purpose: an estimate that is too short starts the plan early,
//! one that is too long lets servers fall.

use crate::time::Mono;

/// A full battery of which nothing is known lasts so long, in seconds. Pessimistic: rack UPSes
/// at their rated load last five to ten minutes.
pub const ASSUMED_FULL_RUNTIME: f64 = 300.0;
/// The slope of the charge is used after so many seconds of discharge ...
pub const SLOPE_AFTER: f64 = 30.0;
/// ... and a fall of so many percent; below that, steps of 1 % make it noise.
pub const SLOPE_FALL: f64 = 3.0;
/// Agreeing samples before a value is trusted for a decision.
pub const TRUSTED_AFTER: u32 = 2;

/// A measured value that does not jump: a jump is believed when two samples agree on it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Believed {
    value: Option<(Mono, f64)>,
    doubted: Option<f64>,
    agreeing: u32,
}

impl Believed {
    /// Hears a sample. `expected` is what a sample now would be if nothing special happened;
    /// within `tolerance` of it (or of the sample doubted just before) it is believed.
    pub fn hear(&mut self, at: Mono, new: f64, expected: Option<f64>, tolerance: f64) {
        let near = |other: f64| (new - other).abs() <= tolerance;
        match expected.or(self.value.map(|(_, value)| value)) {
            None => self.agreeing = 1,
            Some(expected) if near(expected) => self.agreeing = self.agreeing.saturating_add(1),
            Some(_) if self.doubted.is_some_and(near) => self.agreeing = TRUSTED_AFTER,
            Some(_) => {
                self.doubted = Some(new);
                return;
            }
        }
        self.doubted = None;
        self.value = Some((at, new));
    }

    /// When it was sampled, and the value.
    #[must_use]
    pub const fn value(&self) -> Option<(Mono, f64)> {
        self.value
    }

    /// The value, when enough samples agree on it to decide by.
    #[must_use]
    pub fn trusted(&self) -> Option<(Mono, f64)> {
        self.value.filter(|_| self.agreeing >= TRUSTED_AFTER)
    }
}

/// Where a discharge began.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Start {
    /// Percent when mains was lost.
    pub charge: Option<f64>,
    /// Seconds the UPS promised when mains was lost.
    pub runtime: Option<f64>,
}

/// Everything known about a discharge.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Discharge {
    /// Where it began.
    pub start: Start,
    /// Seconds on battery by our own clock, over all gaps of a flapping outage.
    pub on_battery: f64,
    /// Last trusted charge: seconds ago, percent.
    pub charge: Option<(f64, f64)>,
    /// Last trusted estimate of the UPS: seconds ago, seconds.
    pub runtime: Option<(f64, f64)>,
    /// The UPS says "low", and has said it twice.
    pub low: bool,
}

/// Seconds until this battery is empty: the least of
/// * what the UPS last promised, less the time since;
/// * what it promised when mains was lost, less the time on battery (finds a stuck estimate);
/// * the charge divided by its own slope;
/// * when the UPS promises nothing: its charge as a share of [`ASSUMED_FULL_RUNTIME`].
#[must_use]
pub fn usable(discharge: &Discharge) -> f64 {
    if discharge.low {
        return 0.0;
    }
    let promised = discharge.runtime.map(|(age, runtime)| runtime - age);
    let begun = discharge
        .start
        .runtime
        .map(|runtime| runtime - discharge.on_battery);
    let assumed = if promised.or(begun).is_none() {
        Some(
            match discharge.charge.or(discharge
                .start
                .charge
                .map(|charge| (discharge.on_battery, charge)))
            {
                Some((age, charge)) => charge / 100.0 * ASSUMED_FULL_RUNTIME - age,
                None => ASSUMED_FULL_RUNTIME - discharge.on_battery,
            },
        )
    } else {
        None
    };
    let estimates = [promised, begun, by_slope(discharge), assumed];
    let least = estimates.into_iter().flatten().min_by(f64::total_cmp);
    least.unwrap_or(0.0).max(0.0)
}

fn by_slope(discharge: &Discharge) -> Option<f64> {
    let (age, charge) = discharge.charge?;
    let fallen = discharge.start.charge? - charge;
    let took = discharge.on_battery - age;
    (fallen >= SLOPE_FALL && took >= SLOPE_AFTER).then(|| charge * took / fallen - age)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_is_believed_when_two_samples_agree_on_it() {
        let mut charge = Believed::default();
        for (at, sample) in [(0, 100.0), (1, 100.0), (2, 0.0), (3, 100.0)] {
            charge.hear(Mono(at), sample, None, 10.0);
        }
        assert_eq!(
            charge.trusted(),
            Some((Mono(3), 100.0)),
            "100 -> 0 -> 100 is a lie of one poll"
        );
        charge.hear(Mono(4), 40.0, None, 10.0);
        charge.hear(Mono(5), 39.0, None, 10.0);
        assert_eq!(charge.trusted(), Some((Mono(5), 39.0)));
    }

    #[test]
    fn one_sample_is_shown_but_not_trusted() {
        let mut charge = Believed::default();
        charge.hear(Mono(0), 3.0, None, 10.0);
        assert_eq!(charge.value(), Some((Mono(0), 3.0)));
        assert_eq!(charge.trusted(), None);
    }

    #[test]
    fn the_least_estimate_counts() {
        let discharge = Discharge {
            start: Start {
                charge: Some(100.0),
                runtime: Some(1000.0),
            },
            on_battery: 100.0,
            charge: Some((0.0, 50.0)),
            runtime: Some((10.0, 990.0)),
            low: false,
        };
        assert!(
            (usable(&discharge) - 100.0).abs() < 0.001,
            "half the charge in 100 s"
        );
        let stuck = Discharge {
            charge: None,
            ..discharge
        };
        assert!(
            (usable(&stuck) - 900.0).abs() < 0.001,
            "a stuck estimate drains by our clock"
        );
        assert!(
            usable(&Discharge {
                low: true,
                ..discharge
            }) < 0.001
        );
    }

    #[test]
    fn without_an_estimate_the_charge_is_a_share_of_the_assumed_runtime() {
        let discharge = Discharge {
            charge: Some((5.0, 50.0)),
            on_battery: 5.0,
            ..Discharge::default()
        };
        assert!((usable(&discharge) - 145.0).abs() < 0.001);
        assert!((usable(&Discharge::default()) - ASSUMED_FULL_RUNTIME).abs() < 0.001);
    }
}
