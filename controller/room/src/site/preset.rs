//! Sets of alarm limits that can be named instead of written out.
//!
//! A preset is chosen in the site file, point by point or for the pair of sensors of a place; none
//! is applied by itself. A pair's preset brings the dew point and the rate of change that it judges
//! as derived points: at 27 °C and 60 % the dew point is 18.6 °C, outside of what is recommended,
//! although neither value looks wrong.
//!
//! Left out: JEITA IT-1004, whose class numbers we could not read; nobody's guess is shipped. What is
//! no value of a point has its steps where its alarm is made: how long a door stands open
//! (`catalog::portal`, with `held_open` and `warn` of the site's file), how far a node's clock is off
//! and how long a node is silent (`catalog::node`, with `silent_after`), and a failed mains (`[outage]`).
// Sources: ASHRAE TC 9.9, 2021 reference card, table 2.1, measured at the equipment's inlet:
// recommended 18-27 °C, dew point -9 to 15 °C, up to 70 %; A1 allowable 15-32 °C, dew point -12 to
// 17 °C, 8-80 %; A2 allowable 10-35 °C, dew point -12 to 21 °C, 8-80 %; at most 5 °C/h with tape and
// 20 °C/h without. What lies between advice and the end of what is allowed is ours, so that there
// is time to act; A2 warns where A1 ends.

use super::derived::RawDerived;
use super::raw::{RawLimit, side_word};
use super::reader::At;
use super::{Label, Limit, Priority, Side};
use crate::time::Millis;
use shared::Quantity;

/// A named set of limits for points of one quantity.
pub(super) struct Preset {
    /// As it is written in the site file.
    pub(super) name: &'static str,
    rows: &'static Rows,
}

/// A named set of limits for the temperature and the humidity of one place.
pub(super) struct PairPreset {
    /// As it is written in the site file.
    pub(super) name: &'static str,
    temperature: &'static Rows,
    humidity: &'static Rows,
    dew_point: &'static Rows,
    rate: &'static Rows,
}

/// What a set of limits watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watches {
    Temperature,
    Humidity,
    DewPoint,
    Rate,
    Load,
    BatteryTemperature,
}

/// Limits of one point.
struct Rows {
    watches: Watches,
    deadband: f64,
    /// How long a value must be back inside before any of these alarms returns.
    off_delay: Millis,
    rows: &'static [Row],
}

/// Side, limit, on-delay in seconds, priority.
type Row = (Side, f64, u64, Priority);

const OFF_DELAY: Millis = Millis::from_secs(60);

const A1_TEMPERATURE: Rows = Rows {
    watches: Watches::Temperature,
    deadband: 0.5,
    off_delay: OFF_DELAY,
    rows: &[
        (Side::High, 27.0, 300, Priority::Advisory),
        (Side::High, 30.0, 120, Priority::Warning),
        (Side::High, 32.0, 30, Priority::Critical),
        (Side::Low, 18.0, 300, Priority::Advisory),
        (Side::Low, 15.0, 30, Priority::Critical),
    ],
};

const A2_TEMPERATURE: Rows = Rows {
    watches: Watches::Temperature,
    deadband: 0.5,
    off_delay: OFF_DELAY,
    rows: &[
        (Side::High, 27.0, 300, Priority::Advisory),
        (Side::High, 32.0, 120, Priority::Warning),
        (Side::High, 35.0, 30, Priority::Critical),
        (Side::Low, 18.0, 300, Priority::Advisory),
        (Side::Low, 15.0, 120, Priority::Warning),
        (Side::Low, 10.0, 30, Priority::Critical),
    ],
};

// 60 and 20 are a margin of ours; 70 is the end of what is recommended, 8 and 80 of what is allowed,
// in A1 and A2 alike.
const HUMIDITY: Rows = Rows {
    watches: Watches::Humidity,
    deadband: 2.0,
    off_delay: OFF_DELAY,
    rows: &[
        (Side::High, 60.0, 600, Priority::Advisory),
        (Side::High, 70.0, 600, Priority::Warning),
        (Side::High, 80.0, 600, Priority::Critical),
        (Side::Low, 20.0, 600, Priority::Advisory),
        (Side::Low, 8.0, 600, Priority::Critical),
    ],
};

const A1_DEW_POINT: Rows = Rows {
    watches: Watches::DewPoint,
    deadband: 0.5,
    off_delay: OFF_DELAY,
    rows: &[
        (Side::High, 15.0, 600, Priority::Advisory),
        (Side::High, 16.0, 600, Priority::Warning),
        (Side::High, 17.0, 600, Priority::Critical),
        (Side::Low, -9.0, 600, Priority::Advisory),
        (Side::Low, -12.0, 600, Priority::Critical),
    ],
};

const A2_DEW_POINT: Rows = Rows {
    watches: Watches::DewPoint,
    deadband: 0.5,
    off_delay: OFF_DELAY,
    rows: &[
        (Side::High, 15.0, 600, Priority::Advisory),
        (Side::High, 17.0, 600, Priority::Warning),
        (Side::High, 21.0, 600, Priority::Critical),
        (Side::Low, -9.0, 600, Priority::Advisory),
        (Side::Low, -12.0, 600, Priority::Critical),
    ],
};

// The window of a quarter of an hour is the delay. A minute more, so that the moment at which a
// door lets warm air in and the window begins to see it is no alarm.
const RATE: Rows = Rows {
    watches: Watches::Rate,
    deadband: 1.0,
    off_delay: Millis::from_secs(300),
    rows: &[
        (Side::High, 5.0, 60, Priority::Advisory),
        (Side::High, 10.0, 60, Priority::Warning),
        (Side::High, 20.0, 60, Priority::Critical),
    ],
};

// Ours: a UPS of a pair must be able to take the other's load, and a load above nine tenths is an
// overload when one server more starts.
const LOAD: Rows = Rows {
    watches: Watches::Load,
    deadband: 2.0,
    off_delay: OFF_DELAY,
    rows: &[
        (Side::High, 80.0, 300, Priority::Advisory),
        (Side::High, 90.0, 60, Priority::Warning),
    ],
};

// SBA G0202: at 30 °C a battery lives 1/1.45 of its life, at 35 °C half of it. 40 is where the makers
// of small units end.
const BATTERY_TEMPERATURE: Rows = Rows {
    watches: Watches::BatteryTemperature,
    deadband: 1.0,
    off_delay: Millis::from_secs(300),
    rows: &[
        (Side::High, 30.0, 1_800, Priority::Advisory),
        (Side::High, 35.0, 600, Priority::Warning),
        (Side::High, 40.0, 60, Priority::Critical),
    ],
};

pub(super) const PRESETS: [Preset; 6] = [
    Preset {
        name: "ashrae-a1-temperature",
        rows: &A1_TEMPERATURE,
    },
    Preset {
        name: "ashrae-a1-humidity",
        rows: &HUMIDITY,
    },
    Preset {
        name: "ashrae-a2-temperature",
        rows: &A2_TEMPERATURE,
    },
    Preset {
        name: "ashrae-a2-humidity",
        rows: &HUMIDITY,
    },
    Preset {
        name: "ups-load",
        rows: &LOAD,
    },
    Preset {
        name: "battery-temperature",
        rows: &BATTERY_TEMPERATURE,
    },
];

pub(super) const PAIR_PRESETS: [PairPreset; 2] = [
    PairPreset {
        name: "ashrae-a1",
        temperature: &A1_TEMPERATURE,
        humidity: &HUMIDITY,
        dew_point: &A1_DEW_POINT,
        rate: &RATE,
    },
    PairPreset {
        name: "ashrae-a2",
        temperature: &A2_TEMPERATURE,
        humidity: &HUMIDITY,
        dew_point: &A2_DEW_POINT,
        rate: &RATE,
    },
];

impl Preset {
    /// Its limits for one point, with ids `<point>.<side>.<priority>`.
    pub(super) fn limits(&self, point: &At<String>) -> Vec<RawLimit> {
        self.rows.limits(point)
    }
}

impl PairPreset {
    /// Its limits for the sensors of one place, and the points that it judges besides:
    /// `<place>.dew_point` and `<temperature>.rate`.
    pub(super) fn limits(
        &self,
        temperature: &At<String>,
        humidity: &At<String>,
    ) -> (Vec<RawLimit>, Vec<RawDerived>) {
        let name = &temperature.value;
        let place = name.strip_suffix(".temperature").unwrap_or(name);
        let here = |value: String| At {
            value,
            span: temperature.span.clone(),
        };
        let dew_point = here(format!("{place}.dew_point"));
        let rate = here(format!("{name}.rate"));
        let mut limits = self.temperature.limits(temperature);
        limits.extend(self.humidity.limits(humidity));
        limits.extend(self.dew_point.limits(&dew_point));
        limits.extend(self.rate.limits(&rate));
        let derived = vec![
            RawDerived::dew_point(dew_point.value, temperature, humidity),
            RawDerived::rate(rate.value, temperature),
        ];
        (limits, derived)
    }
}

impl Rows {
    fn limits(&self, point: &At<String>) -> Vec<RawLimit> {
        let row = |&(side, limit, on_delay, priority): &Row| {
            let id = format!("{}.{}.{}", point.value, side_word(side), priority_word(priority));
            let limit = Limit {
                id,
                point: point.value.clone(),
                side,
                limit,
                deadband: self.deadband,
                on_delay: Millis::from_secs(on_delay),
                off_delay: self.off_delay,
                priority,
                action: action(self.watches, side, priority),
            };
            RawLimit::of_preset(point, self.watches.quantity(), limit)
        };
        self.rows.iter().map(row).collect()
    }
}

impl Watches {
    /// What the point must measure, when the site's file can say it.
    const fn quantity(self) -> Option<Quantity> {
        match self {
            Self::Temperature | Self::BatteryTemperature => Some(Quantity::Temperature),
            Self::Humidity => Some(Quantity::Humidity),
            Self::Load => Some(Quantity::Percent),
            Self::DewPoint | Self::Rate => None,
        }
    }
}

/// The word of a priority in the site file.
pub(super) const fn priority_word(priority: Priority) -> &'static str {
    match priority {
        Priority::Advisory => "advisory",
        Priority::Warning => "warning",
        Priority::Critical => "critical",
    }
}

/// What the person who reads the alarm does.
fn action(watches: Watches, side: Side, priority: Priority) -> Label {
    match (watches, side, priority) {
        (Watches::Temperature, Side::High, Priority::Critical) => Label::new(
            "直ちに現地へ行き、空調の停止と扉・パネルの開放を確認する。下がらなければ優先度の低いサーバから停止する",
            "Go there at once: look for stopped cooling and open doors or panels. If it does not fall, stop servers from the least important on",
        ),
        (Watches::Temperature, Side::High, _) => Label::new(
            "空調の運転状態と吸込み口の塞がりを確認する",
            "Check that the cooling runs and that no inlet is blocked",
        ),
        (Watches::Temperature, Side::Low, _) => Label::new(
            "空調の設定温度と外気の流入を確認する",
            "Check the cooling's set point and for outside air coming in",
        ),
        (Watches::Humidity, Side::High, _) => Label::new(
            "加湿器の停止、外気の流入、漏水の有無を確認する",
            "Stop humidifiers; look for outside air coming in and for water",
        ),
        (Watches::Humidity | Watches::DewPoint, Side::Low, _) => Label::new(
            "加湿の状態を確認し、機器に触れる前に静電気対策をする",
            "Check the humidification; wear a wrist strap before touching equipment",
        ),
        (Watches::DewPoint, Side::High, Priority::Critical) => Label::new(
            "結露のおそれがある。加湿器を止め、空調の設定温度を下げず、冷たい面（配管・床下・冷風の吹出口）の濡れを確認する",
            "Water may condense: stop humidifiers, do not lower the cooling's set point, and look for wet cold surfaces (pipes, below the floor, cold-air outlets)",
        ),
        (Watches::DewPoint, Side::High, _) => Label::new(
            "加湿器の停止と外気の流入を確認し、除湿運転にする",
            "Stop humidifiers, look for outside air coming in, and let the cooling dry the air",
        ),
        (Watches::Rate, _, Priority::Critical) => Label::new(
            "直ちに空調の運転を確認し、現地へ行く。限界に達する前に優先度の低いサーバの停止を準備する",
            "Check the cooling at once and go there; get ready to stop the least important servers before the limit is reached",
        ),
        (Watches::Rate, ..) => Label::new(
            "空調の運転状態と、扉や窓が開いたままでないかを確認する",
            "Check that the cooling runs and that no door or window stands open",
        ),
        (Watches::Load, ..) => Label::new(
            "最近増えた機器を確認し、負荷を減らすか別の系統へ移す",
            "Look for equipment that was added lately; take load off this UPS or move it to another",
        ),
        (Watches::BatteryTemperature, _, Priority::Critical) => Label::new(
            "直ちに換気し、電池の膨らみ・臭い・発熱を離れて確認する。異常があれば保守業者へ連絡し、負荷を別の系統へ移す",
            "Ventilate at once and look from a distance for a swollen, smelling or hot battery; if so, call the maintainer and move its load",
        ),
        (Watches::BatteryTemperature, ..) => Label::new(
            "電池のまわりの換気と空調を確認する（30℃ で寿命は約 7 割、35℃ で半分になる）",
            "Check the ventilation about the battery: at 30 °C it lives seven tenths of its life, at 35 °C half",
        ),
    }
}
