//! Feeds the watchdog while every task is heard of, and measures what is left of the stack.

use crate::board::Shared;
use crate::hal::console::console;
use crate::hal::{crash, stack, watchdog};
use embassy_time::Timer;

const SUPERVISE_MS: u64 = 500;
/// Rounds between two looks at the stack, which take 3 ms each: a minute.
const STACK_EVERY: u32 = 120;

/// Supervises for ever.
pub(crate) async fn run(shared: &'static Shared) -> ! {
    let mut round = 0_u32;
    loop {
        match shared.silent() {
            None => watchdog::feed(),
            // Not fed any more: the watchdog bites within four seconds.
            Some(task) => {
                crash::missed(task);
                console!("task {task} is silent");
            }
        }
        if round.is_multiple_of(STACK_EVERY) {
            shared.stack_free(stack::never_used());
        }
        round = round.wrapping_add(1);
        Timer::after_millis(SUPERVISE_MS).await;
    }
}
