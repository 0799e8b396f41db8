//! `[[schedule]]`: hosts that stand still by the calendar, each night or over the new year.

use super::problem::{Kind, Sink, nearest};
use super::raw::Raw;
use super::reader::{At, Found, Reader};
use super::{DAY_MINUTES, World, calendar};
use crate::schedule::{Date, LOOK_AHEAD_DAYS, MAX_OFF_DAYS, Schedule};
use crate::time::Millis;

/// Most schedules of a site.
pub const MAX_SCHEDULES: usize = 32;
/// How long before a stop it can be announced.
const ANNOUNCE: (Millis, Millis) = (Millis::from_secs(60), Millis::from_secs(3600));
/// How long before a stop it is announced, when the site does not say.
pub const ANNOUNCE_BEFORE: Millis = Millis::from_secs(600);

pub(super) struct RawSchedule {
    at: At<()>,
    name: Found<String>,
    hosts: Vec<At<String>>,
    days: Option<u8>,
    dates: Option<Vec<Date>>,
    except: Option<Vec<Date>>,
    stop: Option<u16>,
    start: Option<u16>,
    start_on: Option<u8>,
    start_dates: Option<Vec<Date>>,
    announce: Found<Millis>,
}

/// `[[schedule]]`
pub(super) fn schedule(mut r: Reader<'_>) -> RawSchedule {
    let at = At {
        value: (),
        span: r.span.clone(),
    };
    let name = r.name("name");
    let hosts = r.list("hosts");
    if hosts.is_empty() {
        r.missing(
            "hosts",
            "the [[host]]s that stop, with what depends on them: hosts = [\"batch-1\"]",
        );
    }
    let has_dates = r.has("dates");
    let days = if r.has("days") || !has_dates {
        super::doors::days(&mut r)
    } else {
        Some(0)
    };
    let raw = RawSchedule {
        at,
        name,
        hosts,
        days,
        dates: dates(&mut r, "dates"),
        except: dates(&mut r, "except"),
        stop: minute(&mut r, "stop", "when they stop, e.g. \"21:00\""),
        start: minute(&mut r, "start", "when they start again, e.g. \"06:30\""),
        start_on: if r.has("start_on") {
            super::doors::days_of(&mut r, "start_on")
        } else {
            Some(0)
        },
        start_dates: dates(&mut r, "start_dates"),
        announce: if r.has("announce") {
            r.duration_or("announce", ANNOUNCE)
        } else {
            let _ = r.duration_or("announce", ANNOUNCE);
            Some(At {
                value: ANNOUNCE_BEFORE,
                span: r.span.clone(),
            })
        },
    };
    r.finish();
    raw
}

/// A time of day that must be there, in minutes from midnight.
pub(super) fn minute(r: &mut Reader<'_>, key: &'static str, hint: &str) -> Option<u16> {
    let text = r.text(key, hint)?;
    let minute = calendar::minute(&text.value).filter(|minute| *minute < DAY_MINUTES);
    if minute.is_none() {
        r.sink().error_hint(
            Kind::Value,
            &text.span,
            format!("`{key}` = \"{}\" is not a time of day", text.value),
            "from \"00:00\" to \"23:59\"",
        );
    }
    minute
}

/// `12-29` of every year, or `2026-12-29`.
fn dates(r: &mut Reader<'_>, key: &'static str) -> Option<Vec<Date>> {
    let texts = r.list(key);
    let mut dates = Vec::new();
    for text in &texts {
        // 2028 is a leap year: the 29th of February is a day of some years.
        let yearly = calendar::day(&format!("2028-{}", text.value)).map(|day| {
            let (_, month, date) = crate::forecast::calendar::date(day);
            Date::Yearly(month, date)
        });
        let once = || calendar::day(&text.value).map(Date::Once);
        match yearly.or_else(once) {
            Some(date) => dates.push(date),
            None => r.sink().error_hint(
                Kind::Value,
                &text.span,
                format!("`{key}` names \"{}\", which is no day", text.value),
                "\"12-29\" for every year, or \"2026-12-29\"",
            ),
        }
    }
    (dates.len() == texts.len()).then_some(dates)
}

pub(super) fn build(raw: RawSchedule) -> Option<Schedule> {
    Some(Schedule {
        name: raw.name?.value,
        hosts: raw.hosts.into_iter().map(|host| host.value).collect(),
        days: raw.days?,
        dates: raw.dates?,
        except: raw.except?,
        stop: raw.stop?,
        start: raw.start?,
        start_on: raw.start_on?,
        start_dates: raw.start_dates?,
        announce: raw.announce?.value,
    })
}

pub(super) fn check<W: World>(raw: &Raw<W>, sink: &Sink<'_>) {
    let holidays = raw.access.as_ref().map(|access| access.holidays.clone());
    let days = crate::schedule::Days {
        utc_offset_min: 0,
        holidays: holidays.unwrap_or_default(),
    };
    let mut names: Vec<&str> = Vec::new();
    for schedule in &raw.schedules {
        if let Some(name) = &schedule.name {
            if names.contains(&name.value.as_str()) {
                sink.error(
                    Kind::Duplicate,
                    &name.span,
                    format!("the schedule {} is there twice", name.value),
                );
            }
            names.push(&name.value);
        }
        for host in &schedule.hosts {
            let hosts = || raw.hosts.iter().filter_map(|host| host.name.as_ref());
            let Some(found) = raw
                .hosts
                .iter()
                .find(|known| known.name.as_ref().is_some_and(|name| name.value == host.value))
            else {
                let near = nearest(&host.value, hosts().map(|name| name.value.as_str()));
                sink.error_hint(
                    Kind::Reference,
                    &host.span,
                    format!("`hosts` names `{}`, which is no [[host]]", host.value),
                    near.map_or_else(
                        || "the name of a [[host]] of this site".to_owned(),
                        |near| format!("did you mean `{near}`?"),
                    ),
                );
                continue;
            };
            if found.start.is_none() {
                sink.error_hint(
                    Kind::Missing,
                    &host.span,
                    format!(
                        "{} would be stopped and never started: it has no [host.start]",
                        host.value
                    ),
                    "say how it is started, e.g. [host.start] kind = \"wol\", or leave it out",
                );
            }
        }
        never(schedule, &days, sink);
    }
}

/// A schedule that never stops anything, or whose start does not come.
fn never(schedule: &RawSchedule, days: &crate::schedule::Days, sink: &Sink<'_>) {
    let (Some(stops), Some(dates), Some(except), Some(stop), Some(start), Some(on), Some(start_dates)) = (
        schedule.days,
        &schedule.dates,
        &schedule.except,
        schedule.stop,
        schedule.start,
        schedule.start_on,
        &schedule.start_dates,
    ) else {
        return;
    };
    if stop == start && on == 0 && start_dates.is_empty() {
        sink.warning(
            Kind::Value,
            &schedule.at.span,
            "`stop` and `start` are the same time: its hosts stand still for a whole day",
            "a day is meant? then leave it; else correct one of them",
        );
    }
    let built = Schedule {
        name: String::new(),
        hosts: Vec::new(),
        days: stops,
        dates: dates.clone(),
        except: except.clone(),
        stop,
        start,
        start_on: on,
        start_dates: start_dates.clone(),
        announce: ANNOUNCE_BEFORE,
    };
    // Any year with all of its holidays; single days may lie in any other.
    let first = 20_454_u16;
    let year = first..=first + LOOK_AHEAD_DAYS;
    let once = dates.iter().filter_map(|date| match date {
        Date::Once(day) => Some(*day),
        Date::Yearly(..) => None,
    });
    let open = Schedule {
        start_on: 0,
        start_dates: Vec::new(),
        ..built.clone()
    };
    let named: Vec<u16> = year
        .chain(once)
        .filter(|day| open.on(*day, days).is_some())
        .collect();
    if named.is_empty() {
        sink.error_hint(
            Kind::Value,
            &schedule.at.span,
            "this schedule never stops anything",
            "name days of the week (`days`) or dates (`dates`) that `except` does not take back",
        );
    } else if named.iter().any(|day| built.on(*day, days).is_none()) {
        sink.error_hint(
            Kind::Value,
            &schedule.at.span,
            format!("after some of its stops its hosts would not start again within {MAX_OFF_DAYS} days"),
            "name days (`start_on`) or dates (`start_dates`) on which they start",
        );
    }
}
