//! Recordings of devices, served over UDP and polled by the product.

use hil_tests::conformance::{self, Outcome};
use room::profile::Library;
use std::path::Path;
use std::sync::Arc;

/// Beside the project on the machines that have them. They are third-party data and not part of
/// it.
const RECORDINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/recordings");
/// Percent of the possible values that must be equal.
const EQUAL_MIN: f64 = 98.0;

#[tokio::test]
async fn recordings_of_real_devices_are_read_as_they_are_meant() {
    let folder = Path::new(RECORDINGS);
    if !folder.is_dir() {
        eprintln!("no recordings beside the project: nothing to compare");
        return;
    }
    let reports = conformance::run(folder, Arc::new(Library::builtin()))
        .await
        .unwrap();
    println!("{}", conformance::table(&reports, true));
    let sum = conformance::totals(&reports);
    let unknown: Vec<&str> = reports
        .iter()
        .filter(|report| !report.is_detected())
        .map(|report| report.name.as_str())
        .collect();
    assert!(unknown.is_empty(), "not detected: {unknown:?}");
    assert_eq!(sum.accepted_impossible, 0, "impossible values were taken");
    let percent = 100.0 * sum.equal as f64 / sum.plausible as f64;
    assert!(percent >= EQUAL_MIN, "{percent:.1} % equal");
}

/// A UPS of the standard MIB: 101 V at the output, 27 V battery, 53 minutes left, on mains, and a
/// charge that its card does not know.
const UPS: &str = "1.3.6.1.2.1.1.1.0|4|UPS of the test\n1.3.6.1.2.1.1.2.0|6|1.3.6.1.4.1.32473.1\n\
    1.3.6.1.2.1.1.3.0|67|4711\n1.3.6.1.2.1.33.1.1.2.0|4|Model T\n1.3.6.1.2.1.33.1.2.1.0|2|2\n\
    1.3.6.1.2.1.33.1.2.3.0|2|53\n1.3.6.1.2.1.33.1.2.4.0|2|65535\n1.3.6.1.2.1.33.1.2.5.0|2|273\n\
    1.3.6.1.2.1.33.1.4.1.0|2|3\n1.3.6.1.2.1.33.1.4.4.1.2.1|2|101\nno line of a recording\n";

fn sensor(class: &str, oid: &str, divisor: u32, current: f64) -> serde_json::Value {
    serde_json::json!({
        "sensor_class": class, "sensor_oid": oid, "sensor_descr": class,
        "sensor_divisor": divisor, "sensor_multiplier": 1, "sensor_current": current,
    })
}

#[tokio::test]
async fn what_differs_is_told_apart_from_what_is_refused_and_what_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ups.snmprec"), UPS).unwrap();
    let sensors = [
        sensor("voltage", ".1.3.6.1.2.1.33.1.4.4.1.2.1", 1, 101.0),
        sensor("voltage", ".1.3.6.1.2.1.33.1.2.5.0", 10, 27.3),
        sensor("runtime", ".1.3.6.1.2.1.33.1.2.3.0", 1, 53.0),
        sensor("charge", ".1.3.6.1.2.1.33.1.2.4.0", 1, 65535.0),
        sensor("state", ".1.3.6.1.2.1.33.1.4.1.0", 1, 3.0),
        // A mistake of the other program: the object counts tenths.
        sensor("current", ".1.3.6.1.2.1.33.1.2.5.0", 1, 273.0),
        sensor("temperature", ".1.3.6.1.2.1.1.3.0", 1000, 4.711),
        sensor("voltage", ".1.3.6.1.2.1.33.1.9.9.9.0", 1, 7.0),
    ];
    let expected = serde_json::json!({ "sensors": { "discovery": { "sensors": sensors } } });
    std::fs::write(folder.path().join("ups.json"), expected.to_string()).unwrap();
    let reports = conformance::run(folder.path(), Arc::new(Library::builtin()))
        .await
        .unwrap();
    let [report] = reports.as_slice() else {
        panic!("{reports:?}")
    };
    assert!(report.is_detected(), "{report:?}");
    assert_eq!(report.bad_lines, 1);
    let outcomes: Vec<&Outcome> = report.lines.iter().map(|line| &line.outcome).collect();
    assert!(
        matches!(
            outcomes.as_slice(),
            [
                Outcome::Equal,
                Outcome::Equal,
                Outcome::Equal,
                Outcome::RefusedImpossible(_),
                Outcome::Equal,
                Outcome::Equal | Outcome::Different(_),
                Outcome::NotRead,
            ]
        ),
        "{outcomes:#?}"
    );
    assert_eq!(conformance::totals(&reports).accepted_impossible, 0);
}
