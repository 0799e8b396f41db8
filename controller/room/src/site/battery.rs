//! `battery_installed` and `battery_life_months` of a `[[device]]`: when its battery came, how long
//! it lives, and what measures the air about it.

use super::problem::{Kind, Sink, nearest};
use super::raw::Raw;
use super::reader::{At, Found, Reader};
use super::{DeviceKind, World};

/// Life of a small sealed battery at 25 °C or below, in months, when the site does not say: two and
/// a half years (SBA G0202, standard type; the long-life type of the same guide: 48).
pub const BATTERY_LIFE_MONTHS: u16 = 30;

/// The battery of a UPS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Battery {
    /// Name of the device.
    pub device: String,
    /// Day since 1970, local time, on which it was put in.
    pub installed: u16,
    /// Its life at 25 °C or below, in months.
    pub life_months: u16,
    /// Point of the temperature about it; the device's own `battery.temperature` when `None`.
    pub temperature: Option<String>,
}

pub(super) struct RawBattery {
    installed: Found<u16>,
    life_months: Found<u16>,
    temperature: Found<String>,
    at: At<()>,
}

/// The keys of a `[[device]]`.
pub(super) fn battery(r: &mut Reader<'_>) -> Option<RawBattery> {
    let at = At {
        value: (),
        span: r.span.clone(),
    };
    let written = r.has("battery_installed");
    let installed = r.text_or("battery_installed").and_then(|text| {
        let day = super::calendar::day(&text.value);
        if day.is_none() {
            r.sink().error_hint(
                Kind::Value,
                &text.span,
                format!("`battery_installed` = \"{}\" is no day", text.value),
                "write it as \"2024-04-01\"",
            );
        }
        Some(At {
            value: day?,
            span: text.span,
        })
    });
    let life_months = if r.has("battery_life_months") {
        super::sections::narrow_to(r.whole_or("battery_life_months", 6..=180))
    } else {
        let _ = r.whole_or("battery_life_months", 6..=180);
        Some(At {
            value: BATTERY_LIFE_MONTHS,
            span: r.span.clone(),
        })
    };
    let temperature = r.text_or("battery_temperature");
    for key in ["battery_life_months", "battery_temperature"] {
        if !written && r.has(key) {
            r.sink().error_hint(
                Kind::Missing,
                &r.span,
                format!("`{key}` without `battery_installed`"),
                "a battery's wear counts from the day it was put in: battery_installed = \"2024-04-01\"",
            );
        }
    }
    written.then_some(RawBattery {
        installed,
        life_months,
        temperature,
        at,
    })
}

pub(super) fn build(device: &Found<String>, raw: RawBattery) -> Option<Battery> {
    Some(Battery {
        device: device.as_ref()?.value.clone(),
        installed: raw.installed?.value,
        life_months: raw.life_months?.value,
        temperature: raw.temperature.map(|point| point.value),
    })
}

pub(super) fn check<W: World>(raw: &Raw<W>, sink: &Sink<'_>) {
    let measures = super::derived::measures(raw);
    for device in &raw.devices {
        let Some(battery) = &device.battery else { continue };
        if device
            .kind
            .as_ref()
            .is_some_and(|kind| kind.value != DeviceKind::Ups)
        {
            sink.warning(
                Kind::Conflict,
                &battery.at.span,
                "`battery_installed` of a device that is no UPS: its battery is reckoned, but nothing is stopped by it",
                "write kind = \"ups\" if it supplies servers",
            );
        }
        if let Some(point) = &battery.temperature
            && !measures.contains_key(point.value.as_str())
            && !raw.devices.iter().any(|device| {
                device
                    .name
                    .as_ref()
                    .is_some_and(|name| point.value.split('.').next() == Some(name.value.as_str()))
            })
        {
            let hint = match nearest(&point.value, measures.keys().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "a point of temperature, e.g. of a sensor beside the UPS".to_owned(),
            };
            sink.error_hint(
                Kind::Reference,
                &point.span,
                format!(
                    "`battery_temperature` = \"{}\" is no point of this site",
                    point.value
                ),
                hint,
            );
        }
    }
}
