//! The forecasts' part of the engine: values become days, days become dates.
//!
//! What takes weeks is worked out once a day and at a start, from the journaled means; what takes
//! minutes is worked out when a value comes. The wall clock gives the dates and the turn of the day,
//! and decides no alarm but that of a worn battery, whose life is counted in days of the calendar.

use super::Engine;
use crate::alarm::{Condition, Definition};
use crate::catalog::Kind;
use crate::derive::Window;
use crate::event::Turn;
use crate::forecast::days::Days;
use crate::forecast::flapping::{self, Losses};
use crate::forecast::trend::{self, Question, Reach};
use crate::forecast::{battery, calendar, runaway};
use crate::point;
use crate::record::Record;
use crate::site::battery::Battery;
use crate::site::derived::Derivation;
use crate::site::{DeviceKind, Label, Limit, Priority, Side, Site, World};
use crate::snapshot::{Confidence, Forecast, ForecastKind};
use crate::time::Now;
use shared::Quantity;
use std::collections::BTreeMap;

/// Load of a UPS that is full, in percent, where no limit of the site says it.
const FULL_LOAD: f64 = 80.0;
/// Most forecasts of the picture.
pub const MAX_FORECASTS: usize = 256;

/// What the forecasts stand on.
#[derive(Debug, Clone, Default)]
pub(super) struct Forecasts {
    days: Days,
    /// Temperatures with a critical limit.
    runs: BTreeMap<String, Window>,
    losses: Losses,
    daily: Vec<Forecast>,
}

impl Forecasts {
    pub(super) fn of<W: World>(site: &Site<W>) -> Self {
        let batteries = site.batteries.iter().map(temperature_of);
        let ups = site
            .devices
            .iter()
            .filter(|device| device.kind == DeviceKind::Ups)
            .flat_map(|device| [load_of(&device.name), runtime_of(&device.name)]);
        let damp = site
            .nodes
            .iter()
            .flat_map(|node| &node.channels)
            .filter(|channel| channel.quantity == Quantity::Humidity)
            .map(|channel| channel.point.clone());
        let dew_points = site
            .derived
            .iter()
            .filter(|derived| matches!(derived.from, Derivation::DewPoint { .. }))
            .map(|derived| derived.point.clone());
        Self {
            days: Days::of(batteries.chain(ups).chain(damp).chain(dew_points)),
            ..Self::default()
        }
    }
}

fn temperature_of(battery: &Battery) -> String {
    let own = || format!("{}.battery.temperature", battery.device);
    battery.temperature.clone().unwrap_or_else(own)
}

fn load_of(device: &str) -> String {
    format!("{device}.ups.load")
}

fn runtime_of(device: &str) -> String {
    format!("{device}.battery.runtime")
}

/// Alarm id of a temperature that runs away.
fn runaway_id(point: &str) -> String {
    format!("{point}.runaway")
}

/// Alarms of a battery's age: share of its life, id, priority.
const AGED: [(f64, &str, Priority); 2] = [
    (80.0, "battery.aged.advisory", Priority::Advisory),
    (100.0, "battery.aged.warning", Priority::Warning),
];

impl<W: World> Engine<W> {
    pub(super) fn furnish_forecasts(&mut self) {
        for battery in self.site.batteries.clone() {
            let place = self.label_of_device(&battery.device);
            for (share, id, priority) in AGED {
                let own_what = (share < 100.0).then(|| {
                    Label::new(
                        "蓄電池の寿命の 8 割を使った",
                        "Four fifths of the battery's life are used",
                    )
                });
                self.book.define(Definition {
                    priority,
                    own_what,
                    ..Definition::of(
                        Kind::BatteryWear,
                        format!("{}.{id}", battery.device),
                        place.clone(),
                    )
                });
            }
        }
    }

    /// A temperature with a critical limit can run away. One with any limit above it may be given a
    /// critical one at run time: its values are kept, so that it is judged from that moment on.
    pub(super) fn furnish_runaway(&mut self, point: &point::Definition) {
        let is_temperature = match point.quantity {
            Some(quantity) => quantity == Quantity::Temperature,
            None => point.unit == "°C",
        };
        let is_dew_point =
            self.site.derived.iter().any(|derived| {
                derived.point == point.id && matches!(derived.from, Derivation::DewPoint { .. })
            });
        let has_limit_above = self
            .limits
            .get(&point.id)
            .is_some_and(|limits| limits.iter().any(|limit| limit.side == Side::High));
        if !is_temperature || is_dew_point || !has_limit_above {
            return;
        }
        self.forecasts
            .runs
            .entry(point.id.clone())
            .or_insert_with(|| Window::new(runaway::WINDOW));
        if self.critical(&point.id).is_none() {
            return;
        }
        self.book.define(Definition {
            off_delay: runaway::WINDOW,
            ..Definition::of(
                Kind::TemperatureRunaway,
                runaway_id(&point.id),
                point.label.clone(),
            )
        });
    }

    fn label_of_device(&self, name: &str) -> Label {
        let device = self.site.devices.iter().find(|device| device.name == name);
        device.map_or_else(|| Label::new(name, name), |device| device.label.clone())
    }

    /// The lowest critical limit above a point.
    fn critical(&self, point: &str) -> Option<&Limit> {
        let limits = self.limits.get(point)?.iter();
        limits
            .filter(|limit| limit.side == Side::High && limit.priority == Priority::Critical)
            .min_by(|a, b| a.limit.total_cmp(&b.limit))
    }

    // ---- values come in ------------------------------------------------------------------

    /// A value of a point or a fact.
    pub(super) fn forecast_value(&mut self, now: Now, id: &str, value: f64) {
        if let Some((_, hour)) = calendar::day_and_hour(now.wall, self.site.access.utc_offset_min) {
            self.forecasts.days.take(id, hour, value);
        }
    }

    /// A new word of a point whose runaway is watched.
    pub(super) fn forecast_point(&mut self, now: Now, id: &str, turn: &mut Turn) {
        let Some(point) = self.points.get(id) else { return };
        let (Ok(value), Some(at)) = (point.number(now.mono), point.heard()) else {
            return;
        };
        self.forecast_value(now, id, value);
        if let Some(window) = self.forecasts.runs.get_mut(id) {
            window.take(at, value);
            self.evaluate_runaway(now, id, turn);
        }
    }

    fn runaway(&self, now: Now, id: &str) -> Option<runaway::Runaway> {
        let line = self.forecasts.runs.get(id)?.line(now.mono)?;
        let value = self.points.get(id)?.number(now.mono).ok()?;
        runaway::judge(&line, value, self.critical(id)?.limit)
    }

    pub(super) fn evaluate_runaways(&mut self, now: Now, turn: &mut Turn) {
        for id in self.forecasts.runs.keys().cloned().collect::<Vec<_>>() {
            self.evaluate_runaway(now, &id, turn);
        }
    }

    pub(super) fn evaluate_runaway(&mut self, now: Now, id: &str, turn: &mut Turn) {
        let window = self.forecasts.runs.get(id);
        let is_known = window.is_some_and(|window| window.line(now.mono).is_some())
            && self
                .points
                .get(id)
                .is_some_and(|point| point.number(now.mono).is_ok());
        let condition = match self.runaway(now, id) {
            Some(found) if found.is_alarm() => Condition::Holds(self.runaway_words(id, &found)),
            _ if is_known => Condition::Gone,
            _ => Condition::Unknown,
        };
        self.report(now, turn, &runaway_id(id), condition);
    }

    fn runaway_words(&self, id: &str, found: &runaway::Runaway) -> Label {
        let limit = self.critical(id).map_or(f64::NAN, |limit| limit.limit);
        let (slope, minutes) = (found.slope, (found.seconds / 60.0).ceil());
        Label::new(
            format!("1 時間に {slope:.0} ℃の速さで上昇、約 {minutes:.0} 分で {limit:.1} ℃に達する"),
            format!("it rises {slope:.0} °C an hour and reaches {limit:.1} °C in about {minutes:.0} min"),
        )
    }

    // ---- days ----------------------------------------------------------------------------

    /// At the turn of the day the means of the one before are journaled, and the dates worked out.
    pub(super) fn turn_day(&mut self, now: Now, turn: &mut Turn) {
        if !self.forecasts.days.is_used() {
            return;
        }
        let Some((today, _)) = calendar::day_and_hour(now.wall, self.site.access.utc_offset_min) else {
            return;
        };
        if self.forecasts.days.today() == Some(today) {
            return;
        }
        if let Some((day, points)) = self.forecasts.days.turn(today) {
            self.commit(now, turn, Record::DailyMeans { day, points });
        }
        self.forecast_days(now, turn);
    }

    pub(super) fn apply_forecast(&mut self, now: Now, record: &Record) {
        match record {
            Record::DailyMeans { day, points } => self.forecasts.days.apply(*day, points),
            Record::AlarmRaised {
                alarm,
                about: Some(kind),
                ..
            } if flapping::is_link(*kind) => self.forecasts.losses.lost(alarm, now.wall),
            _ => {}
        }
    }

    /// Everything that stands on days.
    pub(super) fn forecast_days(&mut self, now: Now, turn: &mut Turn) {
        let Some((today, _)) = calendar::day_and_hour(now.wall, self.site.access.utc_offset_min) else {
            return;
        };
        let mut found = Vec::new();
        for mut battery in self.site.batteries.clone() {
            battery.installed = self.batteries.installed(&battery.device, battery.installed);
            let wear = battery::wear(
                self.forecasts
                    .days
                    .means(&temperature_of(&battery), battery.installed, today),
                battery.installed,
                battery.life_months,
                today,
            );
            for (share, id, _) in AGED {
                let condition = match &wear {
                    None => Condition::Unknown,
                    Some(wear) if wear.used >= share => Condition::Holds(wear_words(wear)),
                    Some(_) => Condition::Gone,
                };
                self.report(now, turn, &format!("{}.{id}", battery.device), condition);
            }
            found.extend(wear.map(|wear| self.battery_row(&battery, &wear, today)));
        }
        let power = self.outage.view(now);
        let needed = power.plan_s.map(|plan| plan + power.reserve_s.unwrap_or(0.0));
        let ups = self.site.devices.iter();
        for device in ups.filter(|device| device.kind == DeviceKind::Ups) {
            let load = load_of(&device.name);
            let full = self.nearest(&load, Side::High, f64::NEG_INFINITY);
            found.extend(self.capacity(&load, full.unwrap_or(FULL_LOAD), "%", "負荷", "the load", today));
            if let Some(needed) = needed {
                let runtime = runtime_of(&device.name);
                found.extend(self.capacity(&runtime, needed, "s", "運転可能時間", "the runtime", today));
            }
        }
        for id in self.points.keys() {
            found.extend(self.creep(id, today));
        }
        self.forecasts.daily = found;
    }

    /// The first limit of a point beyond `level` on one side.
    fn nearest(&self, point: &str, side: Side, level: f64) -> Option<f64> {
        let limits = self.limits.get(point)?.iter().filter(|limit| limit.side == side);
        let values = limits.map(|limit| limit.limit);
        match side {
            Side::High => values.filter(|value| *value > level).min_by(f64::total_cmp),
            Side::Low => values.filter(|value| *value < level).max_by(f64::total_cmp),
        }
    }

    fn reach(&self, point: &str, limit: f64, today: u16, question: Question) -> Option<Reach> {
        let means = self.forecasts.days.means(point, 0, today);
        trend::reach(means, today, limit, question)
    }

    fn capacity(
        &self,
        point: &str,
        limit: f64,
        unit: &str,
        ja: &str,
        en: &str,
        today: u16,
    ) -> Option<Forecast> {
        let found = self.reach(point, limit, today, trend::CAPACITY)?;
        let device = point.split('.').next().unwrap_or_default();
        let what = Label::new(
            format!("UPS の{ja}が {limit:.0} {unit} に達する"),
            format!("{en} of the UPS reaches {limit:.0} {unit}"),
        );
        let action = Label::new(
            "増設の計画を見直し、負荷の移動か UPS・電池の更新を予算化する",
            "Look at what is to be added; plan to move load or to renew the UPS or its battery",
        );
        let place = self.label_of_device(device);
        Some(self.trend_row(
            (format!("{point}.capacity"), ForecastKind::Capacity),
            (what, place, action),
            &found,
            unit,
            today,
        ))
    }

    fn creep(&self, id: &str, today: u16) -> Option<Forecast> {
        let definition = &self.points.get(id)?.definition;
        let sides = [Side::High, Side::Low];
        let found = sides.into_iter().find_map(|side| {
            let level = self
                .forecasts
                .days
                .means(id, today.saturating_sub(trend::CREEP.back), today);
            let (_, level) = level.last()?;
            let limit = self.nearest(id, side, level)?;
            Some((limit, self.reach(id, limit, today, trend::CREEP)?))
        });
        let (limit, found) = found?;
        // Loads and runtimes of UPSs are no moisture.
        if definition.quantity != Some(Quantity::Humidity)
            && definition.quantity != Some(Quantity::Temperature)
        {
            return None;
        }
        let unit = definition.unit;
        let what = Label::new(
            format!("湿り気が少しずつ変わり {limit:.0} {unit} に近づく"),
            format!("moisture creeps towards {limit:.0} {unit}"),
        );
        let action = Label::new(
            "加湿器・空調の除湿・外気の入り口を点検する（季節の変わり目なら設定を見直す）",
            "Have humidifiers, the drying of the air conditioner and ways of outside air looked at; at a change of season, its settings",
        );
        Some(self.trend_row(
            (format!("{id}.creep"), ForecastKind::HumidityCreep),
            (what, definition.label.clone(), action),
            &found,
            unit,
            today,
        ))
    }

    fn day_ms(&self, today: u16, days: f64) -> i64 {
        #[expect(clippy::cast_possible_truncation, reason = "some thousand days")]
        let ahead = (days.clamp(0.0, 36_500.0) * 86_400_000.0) as i64;
        calendar::begin_ms(today, self.site.access.utc_offset_min).saturating_add(ahead)
    }

    fn trend_row(
        &self,
        (id, kind): (String, ForecastKind),
        (what, place, action): (Label, Label, Label),
        found: &Reach,
        unit: &str,
        today: u16,
    ) -> Forecast {
        let (level, month, means) = (found.level, found.slope * battery::DAYS_OF_MONTH, found.means);
        Forecast {
            id,
            kind,
            what,
            place,
            because: Label::new(
                format!("いま {level:.1} {unit}、1 か月に {month:+.1} {unit}（{means} 日分の日平均）"),
                format!("now {level:.1} {unit}, {month:+.1} {unit} a month (means of {means} days)"),
            ),
            action,
            at_ms: Some(self.day_ms(today, found.days)),
            earliest_ms: Some(self.day_ms(today, found.earliest)),
            latest_ms: found.latest.map(|latest| self.day_ms(today, latest)),
            confidence: found.confidence,
            confidence_words: found.confidence.words(),
            used_percent: None,
            budget: None,
        }
    }

    fn battery_row(&self, battery: &Battery, wear: &battery::Wear, today: u16) -> Forecast {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "days between 0 and fifteen years"
        )]
        let due = today.saturating_add(wear.days as u16);
        Forecast {
            id: format!("{}.battery.wear", battery.device),
            kind: ForecastKind::BatteryWear,
            what: Label::new("蓄電池が寿命に達する", "the battery reaches the end of its life"),
            place: self.label_of_device(&battery.device),
            because: wear_words(wear),
            action: Label::new(
                "交換の見積もりを取り、予算を要求する",
                "Get an offer for the replacement and ask for the money",
            ),
            at_ms: Some(self.day_ms(today, wear.days)),
            earliest_ms: Some(self.day_ms(today, wear.earliest)),
            latest_ms: Some(self.day_ms(today, wear.latest)),
            confidence: wear.confidence,
            confidence_words: wear.confidence.words(),
            used_percent: Some((wear.used * 10.0).round() / 10.0),
            budget: Some(calendar::budget(due, today)),
        }
    }

    // ---- the picture ---------------------------------------------------------------------

    /// The list of forecasts, the soonest first, those without a date last.
    pub(super) fn forecast_rows(&self, now: Now) -> Vec<Forecast> {
        let mut rows = self.forecasts.daily.clone();
        for id in self.forecasts.runs.keys() {
            rows.extend(self.runaway_row(now, id));
        }
        let flapping = self.forecasts.losses.flapping(now.wall);
        rows.extend(flapping.filter_map(|(alarm, count, last)| self.flapping_row(now, alarm, count, last)));
        rows.sort_by_key(|row| (row.at_ms.unwrap_or(i64::MAX), row.id.clone()));
        rows.truncate(MAX_FORECASTS);
        rows
    }

    fn runaway_row(&self, now: Now, id: &str) -> Option<Forecast> {
        let found = self.runaway(now, id)?;
        #[expect(clippy::cast_possible_truncation, reason = "some hours in milliseconds")]
        let at = |seconds: f64| {
            let ahead = (seconds.clamp(0.0, 1e7) * 1000.0) as i64;
            now.wall.0.saturating_add(ahead)
        };
        Some(Forecast {
            id: runaway_id(id),
            kind: ForecastKind::Runaway,
            what: Label::new(
                "温度が重大の上限に達する",
                "the temperature reaches its critical limit",
            ),
            place: self.points.get(id)?.definition.label.clone(),
            because: self.runaway_words(id, &found),
            action: Label::new(
                "空調の運転と扉を確認する",
                "Look at the air conditioning and the doors",
            ),
            at_ms: Some(at(found.seconds)),
            earliest_ms: Some(at(found.earliest)),
            latest_ms: found.latest.map(at),
            confidence: found.confidence,
            confidence_words: found.confidence.words(),
            used_percent: None,
            budget: None,
        })
    }

    fn flapping_row(&self, now: Now, alarm: &str, count: usize, last: crate::time::Wall) -> Option<Forecast> {
        let place = self.book.definition(alarm)?.place.clone();
        let minutes = now.wall.0.saturating_sub(last.0) / 60_000;
        let confidence = if count >= 3 * flapping::FLAPS {
            Confidence::High
        } else {
            Confidence::Medium
        };
        Some(Forecast {
            id: format!("{alarm}.flapping"),
            kind: ForecastKind::FlappingLink,
            what: Label::new("通信が切れたり戻ったりしている", "the link comes and goes"),
            place,
            because: Label::new(
                format!("24 時間に {count} 回切れた（最後は {minutes} 分前）"),
                format!("lost {count} times in 24 h, {minutes} min ago the last time"),
            ),
            action: Label::new(
                "ケーブル・コネクタ・電源を点検し、予備のポートに差し替えて比べる",
                "Look at cable, plugs and power, and compare with a spare port",
            ),
            at_ms: None,
            earliest_ms: None,
            latest_ms: None,
            confidence,
            confidence_words: confidence.words(),
            used_percent: None,
            budget: None,
        })
    }
}

fn wear_words(wear: &battery::Wear) -> Label {
    let battery::Wear {
        used,
        age,
        measured,
        mean,
        factor,
        ..
    } = wear;
    let years = f64::from(*age) / 365.25;
    Label::new(
        format!(
            "寿命の {used:.0} % を使用（設置から {years:.1} 年、実測 {measured} 日の平均 {mean:.1} ℃、劣化は 25 ℃の {factor:.2} 倍）"
        ),
        format!(
            "{used:.0} % of its life is used ({years:.1} years old, {mean:.1} °C on {measured} measured days, wear {factor:.2} times that at 25 °C)"
        ),
    )
}
