//! Feeds the watchdog while every task is heard of, every second.

use crate::{Board, Shared, next_second};

/// Seconds between two looks at the stack, which take milliseconds.
const STACK_EVERY: u32 = 60;

/// Supervises for ever.
pub async fn run<B: Board>(shared: &'static Shared<B>) -> ! {
    let mut second = 0;
    loop {
        match shared.silent() {
            None => shared.board.feed_watchdog(),
            // Not fed any more: the watchdog bites.
            Some(task) => {
                shared.board.missed(task);
                shared.board.log(format_args!("task {task} is silent"));
            }
        }
        if second == 0
            && let Some(bytes) = shared.board.stack_free()
        {
            shared.count(|counts| counts.stack_free = Some(bytes.try_into().unwrap_or(u16::MAX)));
        }
        second = (second + 1) % STACK_EVERY;
        next_second().await;
    }
}
