//! Sets of alarm limits that can be named instead of written out.
//!
//! A preset is chosen in the site file, point by point; none is applied by itself.

use super::raw::{RawLimit, side_word};
use super::reader::At;
use super::{Label, Limit, Priority, Side};
use crate::time::Millis;
use shared::Quantity;

/// A named set of limits for points of one quantity.
pub(super) struct Preset {
    /// As it is written in the site file.
    pub(super) name: &'static str,
    quantity: Quantity,
    deadband: f64,
    rows: &'static [Row],
}

/// Side, limit, on-delay in seconds, priority.
type Row = (Side, f64, u64, Priority);

/// How long a value must be back inside before any of these alarms returns.
const OFF_DELAY: Millis = Millis::from_secs(60);

pub(super) const PRESETS: [Preset; 2] = [
    // ASHRAE thermal guidelines 2021, class A1, measured at the equipment's inlet: recommended
    // 18-27, allowable 15-32. 30 lies half-way, so that there is time to act.
    Preset {
        name: "ashrae-a1-temperature",
        quantity: Quantity::Temperature,
        deadband: 0.5,
        rows: &[
            (Side::High, 27.0, 300, Priority::Advisory),
            (Side::High, 30.0, 120, Priority::Warning),
            (Side::High, 32.0, 30, Priority::Critical),
            (Side::Low, 18.0, 300, Priority::Advisory),
            (Side::Low, 15.0, 30, Priority::Critical),
        ],
    },
    // The same card: recommended up to 70 %, allowable 8-80 %. 60 and 20 are a margin of ours.
    Preset {
        name: "ashrae-a1-humidity",
        quantity: Quantity::Humidity,
        deadband: 2.0,
        rows: &[
            (Side::High, 60.0, 600, Priority::Advisory),
            (Side::High, 70.0, 600, Priority::Warning),
            (Side::High, 80.0, 600, Priority::Critical),
            (Side::Low, 20.0, 600, Priority::Advisory),
            (Side::Low, 8.0, 600, Priority::Critical),
        ],
    },
];

impl Preset {
    /// Its limits for one point, with ids `<point>.<side>.<priority>`.
    pub(super) fn limits(&self, point: &At<String>) -> Vec<RawLimit> {
        let row = |&(side, limit, on_delay, priority): &Row| {
            let id = format!("{}.{}.{}", point.value, side_word(side), priority_word(priority));
            let limit = Limit {
                id,
                point: point.value.clone(),
                side,
                limit,
                deadband: self.deadband,
                on_delay: Millis::from_secs(on_delay),
                off_delay: OFF_DELAY,
                priority,
                action: action(self.quantity, side, priority),
            };
            RawLimit::of_preset(point, self.quantity, limit)
        };
        self.rows.iter().map(row).collect()
    }
}

const fn priority_word(priority: Priority) -> &'static str {
    match priority {
        Priority::Advisory => "advisory",
        Priority::Warning => "warning",
        Priority::Critical => "critical",
    }
}

/// What the person who reads the alarm does.
fn action(quantity: Quantity, side: Side, priority: Priority) -> Label {
    match (quantity, side, priority) {
        (Quantity::Temperature, Side::High, Priority::Critical) => Label::new(
            "直ちに現地へ行き、空調の停止と扉・パネルの開放を確認する。下がらなければ優先度の低いサーバから停止する",
            "Go there at once: look for stopped cooling and open doors or panels. If it does not fall, stop servers from the least important on",
        ),
        (Quantity::Temperature, Side::High, _) => Label::new(
            "空調の運転状態と吸込み口の塞がりを確認する",
            "Check that the cooling runs and that no inlet is blocked",
        ),
        (Quantity::Temperature, Side::Low, _) => Label::new(
            "空調の設定温度と外気の流入を確認する",
            "Check the cooling's set point and for outside air coming in",
        ),
        (_, Side::High, _) => Label::new(
            "加湿器の停止、外気の流入、漏水の有無を確認する",
            "Stop humidifiers; look for outside air coming in and for water",
        ),
        (_, Side::Low, _) => Label::new(
            "加湿の状態を確認し、機器に触れる前に静電気対策をする",
            "Check the humidification; wear a wrist strap before touching equipment",
        ),
    }
}
