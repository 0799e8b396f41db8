//! `[device.test]` of a UPS: when its battery is tested, and what must be so before.

use super::problem::{Kind, Sink};
use super::raw::Raw;
use super::reader::{At, Found, Reader};
use super::{DeviceKind, World};
use crate::battery::TestKind;

/// Days between two tests, when the site does not say.
pub const EVERY_DAYS: u16 = 30;
/// Hottest battery that is tested, in °C, when the site does not say: above it charging wears it most.
pub const HOTTEST: f64 = 35.0;
/// What a test needs of the other feeds.
const REDUNDANCY: [(&str, bool); 2] = [("required", true), ("unnecessary", false)];

/// `[device.test]`
#[derive(Debug, Clone, PartialEq)]
pub struct SelfTest {
    /// Name of the UPS.
    pub device: String,
    /// Which test.
    pub kind: TestKind,
    /// Days between two tests.
    pub every_days: u16,
    /// A bit for each weekday from Monday (bit 0), and one for holidays (bit 7).
    pub days: u8,
    /// Minute of the day from which it may begin,
    pub from: u16,
    /// and before which.
    pub to: u16,
    /// Hosts that it feeds must be fed by another UPS that stands on mains.
    pub redundant: bool,
    /// Hottest battery that is tested, in °C.
    pub hottest_celsius: f64,
}

pub(super) struct RawSelfTest {
    at: At<()>,
    kind: Found<TestKind>,
    every_days: Found<u16>,
    days: Option<u8>,
    from: Option<u16>,
    to: Option<u16>,
    redundant: Found<bool>,
    hottest_celsius: Found<f64>,
}

/// The sub-table of a `[[device]]`.
pub(super) fn section(mut r: Reader<'_>) -> RawSelfTest {
    let at = At {
        value: (),
        span: r.span.clone(),
    };
    fn given<T>(found: Found<T>, written: bool, at: &At<()>, value: T) -> Found<T> {
        if written {
            return found;
        }
        Some(At {
            value,
            span: at.span.clone(),
        })
    }
    let has = |r: &Reader<'_>, key| r.has(key);
    let (kind, every, redundant, hottest) = (
        has(&r, "kind"),
        has(&r, "every_days"),
        has(&r, "redundant"),
        has(&r, "hottest_celsius"),
    );
    let raw = RawSelfTest {
        kind: given(r.word_or("kind", &TestKind::WORDS), kind, &at, TestKind::Quick),
        every_days: given(
            super::sections::narrow_to(r.whole_or("every_days", 7..=366)),
            every,
            &at,
            EVERY_DAYS,
        ),
        days: super::doors::days(&mut r),
        from: super::schedule::minute(&mut r, "from", "from when on a test may begin, e.g. \"10:00\""),
        to: super::schedule::minute(&mut r, "to", "until when a test may begin, e.g. \"15:00\""),
        redundant: given(r.word_or("redundant", &REDUNDANCY), redundant, &at, true),
        hottest_celsius: given(r.number_or("hottest_celsius"), hottest, &at, HOTTEST),
        at,
    };
    r.finish();
    raw
}

pub(super) fn build(device: &Found<String>, raw: RawSelfTest) -> Option<SelfTest> {
    Some(SelfTest {
        device: device.as_ref()?.value.clone(),
        kind: raw.kind?.value,
        every_days: raw.every_days?.value,
        days: raw.days?,
        from: raw.from?,
        to: raw.to?,
        redundant: raw.redundant?.value,
        hottest_celsius: raw.hottest_celsius?.value,
    })
}

pub(super) fn check<W: World>(raw: &Raw<W>, sink: &Sink<'_>) {
    for device in &raw.devices {
        let Some(test) = &device.test else { continue };
        if device
            .kind
            .as_ref()
            .is_some_and(|kind| kind.value != DeviceKind::Ups)
        {
            sink.error_hint(
                Kind::Conflict,
                &test.at.span,
                "[device.test] of a device that is no UPS",
                "only a UPS has a battery to test; write it below a [[device]] with kind = \"ups\"",
            );
        }
        if let (Some(from), Some(to)) = (test.from, test.to)
            && from >= to
        {
            sink.error_hint(
                Kind::Conflict,
                &test.at.span,
                "`to` does not lie after `from`",
                "a test begins within one day, while somebody is there: from = \"10:00\", to = \"15:00\"",
            );
        }
        if let Some(hottest) = &test.hottest_celsius
            && !(20.0..=50.0).contains(&hottest.value)
        {
            sink.error_hint(
                Kind::Value,
                &hottest.span,
                format!("`hottest_celsius` = {} is out of range", hottest.value),
                "from 20 to 50; a battery should stay below 25 °C",
            );
        }
        let Some(kind) = &test.kind else { continue };
        let command = kind.value.command();
        if !device
            .commands
            .iter()
            .any(|name| name.value.to_string() == command)
        {
            sink.error_hint(
                Kind::Missing,
                &test.at.span,
                format!("[device.test] tells the UPS {command}, which its `commands` do not allow"),
                format!("write commands = [\"{command}\"] in its [[device]], or another `kind`"),
            );
        }
    }
}
