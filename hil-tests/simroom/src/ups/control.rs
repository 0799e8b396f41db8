//! What a manager can write to a simulated UPS: tests, the beeper, the shutdown of its output.
//!
//! Only what the product's own profiles say of these MIBs; anything else is "not writable".

use super::battery::Battery;
use super::mib::{Mib, POWERNET, UPS};

/// Length of a short battery test, seconds.
const TEST_S: f64 = 10.0;
/// `upsConfigAudibleStatus`: enabled.
const ENABLED: i64 = 2;

/// What was written.
#[derive(Debug)]
pub(super) struct Control {
    beeper: i64,
    returns: bool,
    /// PowerNet's delay before a shutdown, seconds.
    delay_s: f64,
    shutdown_in_s: Option<f64>,
    /// Switched off by a manager, for good.
    stays_off: bool,
    writes: u64,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            beeper: ENABLED,
            returns: true,
            delay_s: 20.0,
            shutdown_in_s: None,
            stays_off: false,
            writes: 0,
        }
    }
}

impl Control {
    pub(super) const fn beeper(&self) -> i64 {
        self.beeper
    }

    pub(super) const fn returns(&self) -> bool {
        self.returns
    }

    pub(super) const fn shutdown_in_s(&self) -> Option<f64> {
        self.shutdown_in_s
    }

    pub(super) const fn writes(&self) -> u64 {
        self.writes
    }

    /// Lets so many seconds pass.
    pub(super) fn advance(&mut self, battery: &mut Battery, seconds: f64) {
        if self.stays_off {
            battery.switch(false);
        }
        let Some(left) = self.shutdown_in_s else { return };
        let left = left - seconds;
        if left > 0.0 {
            self.shutdown_in_s = Some(left);
            return;
        }
        self.shutdown_in_s = None;
        self.stays_off = !self.returns;
        // With mains there a UPS that returns goes off and on again; what is fed is off for that moment.
        battery.switch(self.returns && battery.mains());
    }

    /// False when there is nothing to write there, or not this.
    pub(super) fn write(&mut self, mib: Mib, battery: &mut Battery, name: &[u32], number: i64) -> bool {
        let is_done = match mib {
            Mib::Rfc1628 => name
                .strip_prefix(&UPS[..])
                .is_some_and(|arcs| self.write_rfc1628(battery, arcs, number)),
            Mib::PowerNet => name
                .strip_prefix(&POWERNET[..])
                .is_some_and(|arcs| self.write_powernet(battery, arcs, number)),
        };
        self.writes += u64::from(is_done);
        is_done
    }

    fn write_rfc1628(&mut self, battery: &mut Battery, arcs: &[u32], number: i64) -> bool {
        match (arcs, number) {
            // upsTestId: the last arc of a well-known test.
            ([7, 1, 0], 4) => battery.start_test(TEST_S),
            ([7, 1, 0], 2) => battery.stop_test(),
            ([8, 1, 0], 1) => {}
            ([8, 2, 0], -1) => self.shutdown_in_s = None,
            ([8, 2, 0], 0..) => self.shutdown_in_s = Some(number as f64),
            ([8, 5, 0], 1 | 2) => self.returns = number == 1,
            ([9, 8, 0], 1..=3) => self.beeper = number,
            _ => return false,
        }
        true
    }

    fn write_powernet(&mut self, battery: &mut Battery, arcs: &[u32], number: i64) -> bool {
        match (arcs, number) {
            ([7, 2, 2, 0], 2) => battery.start_test(TEST_S),
            ([5, 2, 10, 0], 0..) => self.delay_s = number as f64 / 100.0,
            // On battery only, as the maker says.
            ([6, 1, 1, 0], 2) => {
                if !battery.mains() {
                    self.returns = true;
                    self.shutdown_in_s = Some(self.delay_s);
                }
            }
            ([6, 2, 1, 0], 2 | 3) => {
                self.returns = false;
                self.shutdown_in_s = Some(if number == 3 { self.delay_s } else { 0.0 });
            }
            _ => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::battery::{Model, Source};
    use super::*;

    #[test]
    fn a_shutdown_counts_down_and_mains_brings_the_output_back_only_when_it_may() {
        for (returns, after) in [(1, Source::Mains), (2, Source::Off)] {
            let mut battery = Battery::full(Model::rack_1500("1"));
            let mut control = Control::default();
            battery.set_mains(false);
            let mut write = |control: &mut Control, arcs: &[u32], number| {
                control.write(Mib::Rfc1628, &mut battery, &[&UPS[..], arcs].concat(), number)
            };
            assert!(write(&mut control, &[8, 5, 0], returns));
            assert!(write(&mut control, &[8, 2, 0], 30));
            assert!(
                !write(&mut control, &[8, 1, 0], 2),
                "nothing but the output can be stopped"
            );
            control.advance(&mut battery, 29.0);
            assert_eq!(battery.source(), Source::Battery);
            assert_eq!(control.shutdown_in_s(), Some(1.0));
            control.advance(&mut battery, 2.0);
            assert_eq!(battery.source(), Source::Off);
            battery.set_mains(true);
            control.advance(&mut battery, 1.0);
            assert_eq!(battery.source(), after);
        }
    }
}
