//! The UPS of the tests' rack.

use simroom::ups::{Mib, Model, Ups};

/// A UPS of 200 Wh with 300 W on it, on mains.
///
/// # Panics
/// When there is no free port.
pub async fn ups(mib: Mib) -> Ups {
    let model = Model {
        maker: "Simulated".to_owned(),
        name: "Rack UPS".to_owned(),
        serial: "1".to_owned(),
        capacity_wh: 200.0,
        rated_w: 1000.0,
        charger_w: 100.0,
        load_w: 300.0,
        volts: 100.0,
        hertz: 60.0,
        low_s: 60.0,
    };
    Ups::start(model, mib, "hil").await.expect("a loopback socket")
}
