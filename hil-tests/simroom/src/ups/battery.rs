//! The battery, the load and the supply. Pure: time comes in as passed seconds.

/// What a model is built like.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Maker, as the agent says it.
    pub maker: String,
    /// Model, as the agent says it.
    pub name: String,
    /// Serial number.
    pub serial: String,
    /// Energy of the full battery, watt-hours.
    pub capacity_wh: f64,
    /// Rated output, watts.
    pub rated_w: f64,
    /// Power that goes into an empty battery, watts.
    pub charger_w: f64,
    /// Load at the start, watts.
    pub load_w: f64,
    /// Mains voltage; Japan has 100 and 200.
    pub volts: f64,
    /// Mains frequency; 50 in the east of Japan, 60 in the west.
    pub hertz: f64,
    /// The battery counts as low below this runtime, seconds.
    pub low_s: f64,
}

impl Model {
    /// A rack UPS of 1,500 VA with a third of its load, some 20 minutes.
    #[must_use]
    pub fn rack_1500(serial: &str) -> Self {
        Self {
            maker: "Simulated".to_owned(),
            name: "Rack UPS 1500".to_owned(),
            serial: serial.to_owned(),
            capacity_wh: 180.0,
            rated_w: 1200.0,
            charger_w: 90.0,
            load_w: 420.0,
            volts: 100.0,
            hertz: 60.0,
            low_s: 120.0,
        }
    }
}

/// What supplies the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Mains.
    Mains,
    /// The battery, because mains is gone.
    Battery,
    /// The battery, for a self-test.
    Test,
    /// Nothing: the battery is empty.
    Off,
}

/// How the last self-test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TestResult {
    None,
    Passed,
    Failed,
    /// Mains went away meanwhile.
    Aborted,
}

/// Losses of the inverter.
const EFFICIENCY: f64 = 0.9;
/// What the UPS itself takes, watts.
const OWN_W: f64 = 12.0;
/// Lead batteries give less the faster they are emptied (Peukert's exponent less 1).
const PEUKERT: f64 = 0.1;
/// The charger slows down above this share.
const ABSORPTION: f64 = 0.9;
/// Cells of 2 V for each 100 W of rating would be too fine; a string of 4 blocks of 12 V.
const STRING_VOLTS: (f64, f64) = (42.0, 54.6);
const ROOM_CELSIUS: f64 = 25.0;

/// A battery with its load.
#[derive(Debug, Clone)]
pub struct Battery {
    model: Model,
    energy_wh: f64,
    load_w: f64,
    mains: bool,
    is_on: bool,
    test_left_s: f64,
    test: TestResult,
    on_battery_s: f64,
    worn: bool,
}

impl Battery {
    /// Full and on mains.
    #[must_use]
    pub fn full(model: Model) -> Self {
        Self {
            energy_wh: model.capacity_wh,
            load_w: model.load_w,
            mains: true,
            is_on: true,
            test_left_s: 0.0,
            test: TestResult::None,
            on_battery_s: 0.0,
            worn: false,
            model,
        }
    }

    /// Lets so many seconds pass.
    pub fn advance(&mut self, seconds: f64) {
        let mut left = seconds.max(0.0);
        while left > 0.0 {
            match self.source() {
                Source::Battery | Source::Test => {
                    let mut step = left.min(self.runtime_s());
                    let is_test = self.source() == Source::Test;
                    if is_test {
                        step = step.min(self.test_left_s);
                    }
                    self.energy_wh -= self.drain_w() * step / 3600.0;
                    self.on_battery_s += step;
                    if is_test {
                        self.test_left_s -= step;
                        if self.test_left_s <= 0.0 {
                            self.on_battery_s = 0.0;
                            self.test = if self.worn {
                                TestResult::Failed
                            } else {
                                TestResult::Passed
                            };
                        }
                    }
                    left -= step;
                    if self.runtime_s() <= 1e-6 {
                        self.energy_wh = 0.0;
                        self.test_left_s = 0.0;
                        // With mains there the load goes back to it.
                        self.is_on = self.mains;
                        self.on_battery_s = if self.mains { 0.0 } else { self.on_battery_s };
                    }
                }
                Source::Mains => {
                    let missing = 1.0 - self.charge_percent() / 100.0;
                    let power = self.model.charger_w * (missing / (1.0 - ABSORPTION)).min(1.0);
                    // Exact enough in steps of a minute: absorption takes hours.
                    let step = left.min(60.0);
                    self.energy_wh = (self.energy_wh + power * step / 3600.0).min(self.model.capacity_wh);
                    left -= step;
                }
                Source::Off => return,
            }
        }
    }

    pub(super) fn set_mains(&mut self, present: bool) {
        self.mains = present;
        if present {
            self.is_on = true;
            self.on_battery_s = 0.0;
        } else if self.test_left_s > 0.0 {
            self.test_left_s = 0.0;
            self.test = TestResult::Aborted;
        }
    }

    pub(super) fn set_load(&mut self, watts: f64) {
        self.load_w = watts.max(0.0);
    }

    pub(super) fn set_charge(&mut self, percent: f64) {
        self.energy_wh = self.model.capacity_wh * percent.clamp(0.0, 100.0) / 100.0;
    }

    pub(super) fn set_worn(&mut self, worn: bool) {
        self.worn = worn;
    }

    pub(super) fn start_test(&mut self, seconds: f64) {
        if self.mains && self.is_on {
            self.test_left_s = seconds.max(0.0);
        }
    }

    pub(super) fn stop_test(&mut self) {
        if self.test_left_s > 0.0 {
            self.test_left_s = 0.0;
            self.on_battery_s = 0.0;
            self.test = TestResult::Aborted;
        }
    }

    /// A manager switches the output. Mains that comes back switches it on, as after an empty
    /// battery.
    pub(super) fn switch(&mut self, on: bool) {
        self.is_on = on;
    }

    /// What supplies the output.
    #[must_use]
    pub fn source(&self) -> Source {
        if !self.is_on {
            Source::Off
        } else if !self.mains {
            Source::Battery
        } else if self.test_left_s > 0.0 {
            Source::Test
        } else {
            Source::Mains
        }
    }

    /// State of charge in percent.
    #[must_use]
    pub fn charge_percent(&self) -> f64 {
        self.energy_wh / self.model.capacity_wh * 100.0
    }

    /// Seconds until the battery is empty at the present load.
    #[must_use]
    pub fn runtime_s(&self) -> f64 {
        self.energy_wh * 3600.0 / self.drain_w()
    }

    fn drain_w(&self) -> f64 {
        let share = (self.load_w / self.model.rated_w).max(0.01);
        (self.load_w / EFFICIENCY + OWN_W) * (1.0 + share).powf(PEUKERT)
    }

    pub(super) fn model(&self) -> &Model {
        &self.model
    }

    pub(super) fn mains(&self) -> bool {
        self.mains
    }

    pub(super) fn load_w(&self) -> f64 {
        self.load_w
    }

    pub(super) fn load_percent(&self) -> f64 {
        self.load_w / self.model.rated_w * 100.0
    }

    pub(super) fn on_battery_s(&self) -> f64 {
        self.on_battery_s
    }

    pub(super) fn is_low(&self) -> bool {
        self.runtime_s() < self.model.low_s
    }

    pub(super) fn worn(&self) -> bool {
        self.worn
    }

    pub(super) fn is_testing(&self) -> bool {
        self.source() == Source::Test
    }

    pub(super) fn test(&self) -> TestResult {
        self.test
    }

    pub(super) fn battery_volts(&self) -> f64 {
        let (empty, full) = STRING_VOLTS;
        empty + (full - empty) * self.charge_percent() / 100.0
    }

    /// Discharging warms the battery a little.
    pub(super) fn battery_celsius(&self) -> f64 {
        ROOM_CELSIUS + (self.on_battery_s / 120.0).min(8.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn battery() -> Battery {
        Battery::full(Model::rack_1500("1"))
    }

    #[test]
    fn an_outage_drains_until_the_output_is_off_and_mains_brings_it_back() {
        let mut battery = battery();
        battery.set_mains(false);
        let estimate = battery.runtime_s();
        assert!((600.0..2400.0).contains(&estimate), "{estimate}");
        battery.advance(estimate / 2.0);
        assert!((battery.charge_percent() - 50.0).abs() < 0.1);
        assert!((battery.runtime_s() - estimate / 2.0).abs() < 1.0);
        assert_eq!(battery.source(), Source::Battery);
        battery.advance(estimate);
        assert_eq!(battery.source(), Source::Off);
        assert_eq!(battery.charge_percent(), 0.0);
        battery.set_mains(true);
        assert_eq!(battery.source(), Source::Mains);
        battery.advance(1800.0);
        let half_hour = battery.charge_percent();
        assert!((10.0..60.0).contains(&half_hour), "{half_hour}");
        battery.advance(48.0 * 3600.0);
        assert!(battery.charge_percent() > 99.0);
    }

    #[test]
    fn more_load_means_less_runtime() {
        let mut battery = battery();
        let before = battery.runtime_s();
        battery.set_load(840.0);
        assert!(battery.runtime_s() < before / 1.8);
    }

    #[test]
    fn a_self_test_ends_by_itself_and_mains_loss_aborts_it() {
        let mut battery = battery();
        battery.start_test(10.0);
        assert_eq!(battery.source(), Source::Test);
        battery.advance(11.0);
        assert_eq!(
            (battery.source(), battery.test()),
            (Source::Mains, TestResult::Passed)
        );
        battery.start_test(10.0);
        battery.set_mains(false);
        assert_eq!(
            (battery.source(), battery.test()),
            (Source::Battery, TestResult::Aborted)
        );
    }
}
