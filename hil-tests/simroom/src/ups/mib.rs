//! The UPS as objects: what a card of its kind would answer now.

use super::Inner;
use super::battery::{Source, TestResult};
use std::collections::BTreeMap;

/// Which objects the agent has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mib {
    /// The standard UPS-MIB.
    Rfc1628,
    /// APC's PowerNet-MIB, group ups.
    PowerNet,
}

/// A value as it goes over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wire {
    /// Tag and content of any type.
    Raw(u8, Vec<u8>),
    Integer(i64),
    Gauge(u32),
    Ticks(u32),
    Text(String),
    Oid(Vec<u32>),
}

/// Instances in the order of a walk.
pub(crate) type Values = BTreeMap<Vec<u32>, Wire>;

const SYSTEM: [u32; 7] = [1, 3, 6, 1, 2, 1, 1];
pub(super) const UPS: [u32; 8] = [1, 3, 6, 1, 2, 1, 33, 1];
pub(super) const POWERNET: [u32; 10] = [1, 3, 6, 1, 4, 1, 318, 1, 1, 1];
/// RFC 5612: the enterprise number for examples.
const EXAMPLE: [u32; 9] = [1, 3, 6, 1, 4, 1, 32473, 1, 33];
const SMART_UPS: [u32; 9] = [1, 3, 6, 1, 4, 1, 318, 1, 3];

/// What the agent answers now.
pub(super) fn values(mib: Mib, inner: &Inner) -> Values {
    let mut values = Values::new();
    let system = |arc: u32| [&SYSTEM[..], &[arc, 0]].concat();
    let identity = match mib {
        Mib::Rfc1628 => EXAMPLE.to_vec(),
        Mib::PowerNet => [&SMART_UPS[..], &[27]].concat(),
    };
    let description = format!(
        "{} {}, simulated",
        inner.battery.model().maker,
        inner.battery.model().name
    );
    values.insert(system(1), Wire::Text(description));
    values.insert(system(2), Wire::Oid(identity));
    values.insert(
        system(3),
        Wire::Ticks(hundredths(inner.started.elapsed().as_secs_f64())),
    );
    values.insert(system(4), Wire::Text("simulated room".to_owned()));
    values.insert(system(5), Wire::Text(inner.battery.model().serial.clone()));
    values.insert(system(6), Wire::Text("loopback".to_owned()));
    match mib {
        Mib::Rfc1628 => rfc1628(&mut values, inner),
        Mib::PowerNet => powernet(&mut values, inner),
    }
    values
}

fn rfc1628(values: &mut Values, inner: &Inner) {
    let battery = &inner.battery;
    let model = battery.model();
    let sentinels = inner.faults.sentinels;
    let mut put = |arcs: &[u32], value: Wire| {
        values.insert([&UPS[..], arcs].concat(), value);
    };
    put(&[1, 1, 0], Wire::Text(model.maker.clone()));
    put(&[1, 2, 0], Wire::Text(model.name.clone()));
    put(&[1, 3, 0], Wire::Text("1.0".to_owned()));
    put(&[1, 4, 0], Wire::Text("simroom".to_owned()));
    put(&[1, 5, 0], Wire::Text(model.serial.clone()));
    let battery_status = match (battery.charge_percent() <= 0.0, battery.is_low()) {
        (true, _) => 4,
        (_, true) => 3,
        _ => 2,
    };
    put(&[2, 1, 0], Wire::Integer(battery_status));
    put(&[2, 2, 0], Wire::Integer(whole(battery.on_battery_s())));
    let minutes = if sentinels {
        65_535
    } else {
        (battery.runtime_s() / 60.0).floor() as i64
    };
    put(&[2, 3, 0], Wire::Integer(minutes));
    put(
        &[2, 4, 0],
        Wire::Integer(if sentinels {
            -1
        } else {
            whole(battery.charge_percent())
        }),
    );
    put(&[2, 5, 0], Wire::Integer(whole(battery.battery_volts() * 10.0)));
    put(
        &[2, 7, 0],
        Wire::Integer(if sentinels {
            0
        } else {
            whole(battery.battery_celsius())
        }),
    );
    let (input_volts, input_hertz) = if battery.mains() {
        (model.volts, model.hertz)
    } else {
        (0.0, 0.0)
    };
    put(&[3, 1, 0], Wire::Gauge(u32::from(!battery.mains())));
    put(&[3, 2, 0], Wire::Integer(1));
    put(&[3, 3, 1, 2, 1], Wire::Integer(whole(input_hertz * 10.0)));
    put(&[3, 3, 1, 3, 1], Wire::Integer(whole(input_volts)));
    let (volts, load_w) = output(inner);
    let source = match battery.source() {
        Source::Mains => 3,
        Source::Battery | Source::Test => 5,
        Source::Off => 2,
    };
    put(&[4, 1, 0], Wire::Integer(source));
    put(
        &[4, 2, 0],
        Wire::Integer(whole(if volts > 0.0 { model.hertz * 10.0 } else { 0.0 })),
    );
    put(&[4, 3, 0], Wire::Integer(1));
    put(&[4, 4, 1, 2, 1], Wire::Integer(whole(volts)));
    put(
        &[4, 4, 1, 3, 1],
        Wire::Integer(whole(load_w / model.volts * 10.0)),
    );
    put(&[4, 4, 1, 4, 1], Wire::Integer(whole(load_w)));
    put(
        &[4, 4, 1, 5, 1],
        Wire::Integer(whole(load_w / model.rated_w * 100.0)),
    );
    rfc1628_alarms(&mut put, inner);
    let test = if battery.is_testing() {
        5
    } else {
        match battery.test() {
            TestResult::Passed => 1,
            TestResult::Failed => 3,
            TestResult::Aborted => 4,
            TestResult::None => 6,
        }
    };
    put(&[7, 3, 0], Wire::Integer(test));
    let control = &inner.control;
    put(&[8, 1, 0], Wire::Integer(1));
    put(
        &[8, 2, 0],
        Wire::Integer(control.shutdown_in_s().map_or(-1, |left| left.ceil() as i64)),
    );
    put(&[8, 5, 0], Wire::Integer(if control.returns() { 1 } else { 2 }));
    put(&[9, 8, 0], Wire::Integer(control.beeper()));
    put(&[9, 1, 0], Wire::Integer(whole(model.volts)));
    put(&[9, 2, 0], Wire::Integer(whole(model.hertz * 10.0)));
    put(&[9, 3, 0], Wire::Integer(whole(model.volts)));
    put(&[9, 4, 0], Wire::Integer(whole(model.hertz * 10.0)));
    put(&[9, 5, 0], Wire::Integer(whole(model.rated_w * 1.25)));
    put(&[9, 6, 0], Wire::Integer(whole(model.rated_w)));
    put(&[9, 7, 0], Wire::Integer(whole(model.low_s / 60.0)));
}

/// upsAlarmTable: one row for each well-known alarm that is present.
fn rfc1628_alarms(put: &mut impl FnMut(&[u32], Wire), inner: &Inner) {
    const BATTERY_BAD: u32 = 1;
    const ON_BATTERY: u32 = 2;
    const LOW_BATTERY: u32 = 3;
    const INPUT_BAD: u32 = 6;
    const OUTPUT_OVERLOAD: u32 = 8;
    let battery = &inner.battery;
    let present: Vec<u32> = [
        (BATTERY_BAD, battery.worn()),
        (ON_BATTERY, battery.source() == Source::Battery),
        (LOW_BATTERY, battery.is_low()),
        (INPUT_BAD, !battery.mains()),
        (OUTPUT_OVERLOAD, battery.load_percent() > 100.0),
    ]
    .into_iter()
    .filter_map(|(alarm, is_present)| is_present.then_some(alarm))
    .collect();
    put(&[6, 1, 0], Wire::Gauge(u32::try_from(present.len()).unwrap_or(0)));
    for alarm in present {
        put(
            &[6, 2, 1, 2, alarm],
            Wire::Oid([&UPS[..], &[6, 3, alarm]].concat()),
        );
    }
}

fn powernet(values: &mut Values, inner: &Inner) {
    let battery = &inner.battery;
    let model = battery.model();
    let sentinels = inner.faults.sentinels;
    let mut put = |arcs: &[u32], value: Wire| {
        values.insert([&POWERNET[..], arcs].concat(), value);
    };
    put(&[1, 1, 1, 0], Wire::Text(model.name.clone()));
    put(&[1, 2, 1, 0], Wire::Text("UPS 1.0".to_owned()));
    put(&[1, 2, 3, 0], Wire::Text(model.serial.clone()));
    put(&[2, 1, 1, 0], Wire::Integer(if battery.is_low() { 3 } else { 2 }));
    put(&[2, 1, 2, 0], Wire::Ticks(hundredths(battery.on_battery_s())));
    let charge = if sentinels {
        u32::MAX
    } else {
        gauge(battery.charge_percent())
    };
    put(&[2, 2, 1, 0], Wire::Gauge(charge));
    put(&[2, 2, 2, 0], Wire::Gauge(gauge(battery.battery_celsius())));
    let runtime = if sentinels {
        u32::MAX
    } else {
        hundredths(battery.runtime_s())
    };
    put(&[2, 2, 3, 0], Wire::Ticks(runtime));
    put(&[2, 2, 4, 0], Wire::Integer(if battery.worn() { 2 } else { 1 }));
    put(&[2, 2, 8, 0], Wire::Integer(whole(battery.battery_volts())));
    let fine_charge = if sentinels {
        u32::MAX
    } else {
        gauge(battery.charge_percent() * 10.0)
    };
    put(&[2, 3, 1, 0], Wire::Gauge(fine_charge));
    put(
        &[2, 3, 2, 0],
        Wire::Gauge(gauge(battery.battery_celsius() * 10.0)),
    );
    put(
        &[2, 3, 4, 0],
        Wire::Integer(whole(battery.battery_volts() * 10.0)),
    );
    let (input_volts, input_hertz) = if battery.mains() {
        (model.volts, model.hertz)
    } else {
        (0.0, 0.0)
    };
    put(&[3, 2, 1, 0], Wire::Gauge(gauge(input_volts)));
    put(&[3, 2, 4, 0], Wire::Gauge(gauge(input_hertz)));
    let reason = match (battery.source(), battery.test()) {
        (Source::Battery | Source::Off, _) => 4,
        (Source::Test, _) | (_, TestResult::Passed | TestResult::Failed) => 9,
        _ => 1,
    };
    put(&[3, 2, 5, 0], Wire::Integer(reason));
    put(&[3, 3, 1, 0], Wire::Gauge(gauge(input_volts * 10.0)));
    put(&[3, 3, 4, 0], Wire::Gauge(gauge(input_hertz * 10.0)));
    let source = match battery.source() {
        Source::Mains => 2,
        Source::Battery => 3,
        Source::Test => 15,
        Source::Off => 7,
    };
    put(&[4, 1, 1, 0], Wire::Integer(source));
    let (volts, load_w) = output(inner);
    let hertz = if volts > 0.0 { model.hertz } else { 0.0 };
    put(&[4, 2, 1, 0], Wire::Gauge(gauge(volts)));
    put(&[4, 2, 2, 0], Wire::Gauge(gauge(hertz)));
    put(&[4, 2, 3, 0], Wire::Gauge(gauge(load_w / model.rated_w * 100.0)));
    put(&[4, 2, 4, 0], Wire::Gauge(gauge(load_w / model.volts)));
    put(&[4, 2, 8, 0], Wire::Gauge(gauge(load_w)));
    put(&[4, 3, 1, 0], Wire::Gauge(gauge(volts * 10.0)));
    put(&[4, 3, 2, 0], Wire::Gauge(gauge(hertz * 10.0)));
    put(&[4, 3, 3, 0], Wire::Gauge(gauge(load_w / model.rated_w * 1000.0)));
    put(&[4, 3, 4, 0], Wire::Gauge(gauge(load_w / model.volts * 10.0)));
    let test = if battery.is_testing() {
        4
    } else {
        match battery.test() {
            TestResult::Failed => 2,
            TestResult::Aborted => 3,
            TestResult::Passed | TestResult::None => 1,
        }
    };
    put(&[7, 2, 3, 0], Wire::Integer(test));
    put(&[7, 2, 6, 0], Wire::Integer(1));
    put(&[11, 1, 1, 0], Wire::Text(powernet_flags(inner)));
}

/// upsBasicStateOutputState: 64 flags, counted from 1.
fn powernet_flags(inner: &Inner) -> String {
    let battery = &inner.battery;
    let mut flags = ['0'; 64];
    for (at, is_set) in [
        (2, battery.source() == Source::Battery),
        (3, battery.is_low()),
        (4, battery.source() == Source::Mains),
        (5, battery.worn()),
        (6, true),
        (9, battery.load_percent() > 100.0),
        (19, battery.source() != Source::Off),
        (29, battery.is_testing()),
    ] {
        flags[at - 1] = if is_set { '1' } else { '0' };
    }
    flags.iter().collect()
}

/// Volts and watts at the output.
fn output(inner: &Inner) -> (f64, f64) {
    match inner.battery.source() {
        Source::Off => (0.0, 0.0),
        _ => (inner.battery.model().volts, inner.battery.load_w()),
    }
}

fn whole(number: f64) -> i64 {
    number.round() as i64
}

fn gauge(number: f64) -> u32 {
    number.round() as u32
}

fn hundredths(seconds: f64) -> u32 {
    (seconds * 100.0) as u32
}
