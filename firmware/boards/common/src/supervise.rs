//! Feeds the watchdog while every task is heard of.

use crate::{Board, Shared};
use embassy_time::Timer;

/// Time between two looks, in milliseconds.
const SUPERVISE_MS: u64 = 500;

/// Supervises for ever.
pub async fn run<B: Board>(shared: &'static Shared<B>) -> ! {
    loop {
        match shared.silent() {
            None => shared.board.feed_watchdog(),
            // Not fed any more: the watchdog bites.
            Some(task) => {
                shared.board.missed(task);
                shared.board.log(format_args!("task {task} is silent"));
            }
        }
        Timer::after_millis(SUPERVISE_MS).await;
    }
}
