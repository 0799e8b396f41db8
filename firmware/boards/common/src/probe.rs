//! Modbus-RTU probes on RS-485: bytes between the port and [`node::drivers::modbus_probe::Probe`].

use crate::{Board, Shared, Task, now_ms};
use embassy_futures::select::{Either, select};
use embassy_time::{Duration, Instant, Timer, with_timeout};
use embedded_io_async::{Read, Write};
use node::drivers::modbus_probe::Probe;

/// Bytes taken at once; more wait in the port's buffer.
const PIECE: usize = 16;
/// Longest time between two check-ins, in milliseconds.
const LONGEST_PAUSE_MS: u64 = 1_000;
/// Longest time for the port to take a question: 8 bytes take 9 ms at 9600 bits per second.
const SEND: Duration = Duration::from_millis(100);

/// Bits per second (8N1).
pub const BAUD: u32 = 9_600;

/// A port whose driver is switched on only while it sends.
pub trait HalfDuplex: Read + Write {
    /// Takes the line, or lets go of it. Letting go comes when the last bit is out. Nothing to do where
    /// the port does that itself.
    fn drive(&mut self, _on: bool) {}
}

/// Asks the probes for ever.
pub async fn run<B: Board>(shared: &'static Shared<B>, mut port: impl HalfDuplex) -> ! {
    let mut probe = Probe::new(&shared.provision.mounts);
    let mut bytes = [0; PIECE];
    let mut length = 0;
    loop {
        shared.check_in(Task::Probe);
        if shared.is_watching() {
            let mut tell = |channel: u8, reading| {
                shared.step(|node, now_ms| node.reading(channel.into(), reading, now_ms));
            };
            probe.feed(&bytes[..length], now_ms(), &mut tell);
            if let Some(question) = probe.poll(now_ms(), &mut tell) {
                port.drive(true);
                // A port that takes nothing shows as a probe that does not answer.
                let _ = with_timeout(SEND, async {
                    port.write_all(&question).await?;
                    port.flush().await
                })
                .await;
                port.drive(false);
            }
            let counters = probe.counters();
            let lost = shared.board.lost(Task::Probe);
            shared.garbled(
                Task::Probe,
                counters
                    .corrupt
                    .saturating_add(counters.dropped)
                    .saturating_add(lost),
            );
        }
        let pause = now_ms() + LONGEST_PAUSE_MS;
        let next = probe.next_ms().unwrap_or(pause).clamp(now_ms() + 1, pause);
        length = match select(port.read(&mut bytes), Timer::at(Instant::from_millis(next))).await {
            Either::First(Ok(length)) => length,
            Either::First(Err(_)) => {
                // A line that is held low reports itself again and again.
                Timer::after_millis(1).await;
                0
            }
            Either::Second(()) => 0,
        };
    }
}
