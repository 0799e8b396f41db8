//! The probes on RS-485: bytes between their port and [`node::drivers::modbus_probe::Probe`].

use crate::board::{Shared, Task};
use crate::hal::clock::now_ms;
use crate::hal::uart::{PROBES, Parity, Rs485};
use embassy_futures::select::{Either, select};
use embassy_time::{Instant, Timer};
use node::drivers::Reading;
use node::drivers::modbus_probe::Probe;
use shared::mount::{EVEN_PARITY, FAST_LINE, Mount, Part};

/// Bits per second of the line.
const BAUD: u32 = 9_600;
/// The same with [`FAST_LINE`].
const FAST_BAUD: u32 = 19_200;
/// Bytes taken at once; more wait in the ring.
const PIECE: usize = 16;
/// Between two check-ins, in milliseconds.
const LONGEST_PAUSE_MS: u64 = 2_500;

/// Asks for ever.
pub(crate) async fn run(shared: &'static Shared) -> ! {
    let mounts = &shared.provision.mounts;
    // One line, one speed: that of the first probe in the table.
    let first = mounts
        .iter()
        .flatten()
        .find(|mount| mount.part == Part::ModbusProbe);
    let has = |flag: u8| first.is_some_and(|mount: &Mount| mount.flags & flag != 0);
    let baud = if has(FAST_LINE) { FAST_BAUD } else { BAUD };
    let parity = if has(EVEN_PARITY) {
        Parity::Even
    } else {
        Parity::None
    };
    let line = Rs485::start(baud, parity);
    let mut probe = Probe::new(mounts);
    let mut bytes = [0; PIECE];
    let mut length = 0;
    loop {
        shared.check_in(Task::Probes);
        let now = now_ms();
        let mut next_ms = now + LONGEST_PAUSE_MS;
        if shared.is_watching() {
            let mut tell = |channel: u8, reading: Reading| {
                shared.step(|node, now_ms| node.reading(channel.into(), reading, now_ms));
            };
            probe.feed(&bytes[..length], now, &mut tell);
            if let Some(question) = probe.poll(now, &mut tell) {
                line.send(&question);
            }
            next_ms = probe.next_ms().unwrap_or(next_ms).clamp(now + 1, next_ms);
            shared.garbled(
                Task::Probes,
                probe.counters().dropped.saturating_add(PROBES.lost()),
            );
        }
        let next = Timer::at(Instant::from_millis(next_ms));
        length = match select(PROBES.read(&mut bytes), next).await {
            Either::First(length) => length,
            Either::Second(()) => 0,
        };
    }
}
