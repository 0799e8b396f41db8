//! The watchdog (section 4.7), which the bootloader has started already.

use embassy_rp::Peri;
use embassy_rp::peripherals::WATCHDOG;
use embassy_time::Duration;

/// It counts to 8.3 s at most. Erasing a page of flash takes up to 0.4 s.
const TIMEOUT: Duration = Duration::from_secs(8);

/// The running watchdog.
pub(crate) struct Watchdog(embassy_rp::watchdog::Watchdog);

/// Takes it over; the time begins anew.
pub(crate) fn start(watchdog: Peri<'static, WATCHDOG>) -> Watchdog {
    let mut watchdog = embassy_rp::watchdog::Watchdog::new(watchdog);
    watchdog.start(TIMEOUT);
    Watchdog(watchdog)
}

impl Watchdog {
    /// Begins the time anew.
    pub(crate) fn feed(&mut self) {
        self.0.feed(TIMEOUT);
    }
}
