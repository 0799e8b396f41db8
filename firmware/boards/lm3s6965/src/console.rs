//! The console of a node in service: requests in, answers out, see [`shared::console`].

use crate::board::{Shared, Task};
use crate::hal::console::console;
use crate::hal::uart::CONSOLE;
use embassy_futures::select::{Either, select};
use embassy_time::Timer;
use node::console::Console;

/// Bytes taken at once; more wait in the ring.
const PIECE: usize = 32;
/// Between two check-ins, in milliseconds.
const LONGEST_PAUSE_MS: u64 = 2_500;

/// Answers for ever.
pub(crate) async fn run(shared: &'static Shared) -> ! {
    let mut console = Console::new();
    let mut bytes = [0; PIECE];
    loop {
        shared.check_in(Task::Console);
        let next = Timer::after_millis(LONGEST_PAUSE_MS);
        let length = match select(CONSOLE.read(&mut bytes), next).await {
            Either::First(length) => length,
            Either::Second(()) => continue,
        };
        for byte in &bytes[..length] {
            if let Some(request) = console.feed(*byte) {
                let answer = shared.step(|node, now_ms| node.answer(request, now_ms));
                console!("{answer}");
            }
        }
        shared.garbled(
            Task::Console,
            CONSOLE.lost().saturating_add(console.refused().into()),
        );
    }
}
