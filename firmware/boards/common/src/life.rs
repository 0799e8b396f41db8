//! What the node does by itself, with or without a connection: doors, lists, memory and safe mode
//! do not wait for the network. And what it asks of the board.

use crate::{Board, Shared, Task, now_ms};
use embassy_futures::select::select;
use embassy_time::{Instant, Timer};
use node::node::Order;

/// Longest time between two check-ins, in milliseconds.
const LONGEST_SLEEP_MS: u64 = 1_000;
/// What is due now and could not be done must not keep the others from their turn: milliseconds.
const SHORTEST_SLEEP_MS: u64 = 20;

/// Lives for ever.
pub async fn run<B: Board>(shared: &'static Shared<B>) -> ! {
    loop {
        shared.check_in(Task::Life);
        // Steps of our own need not wake us.
        shared.life_at_ms.set(0);
        let order = shared.step(|node, now_ms| {
            node.tick(now_ms);
            node.take_order(now_ms)
        });
        match order {
            Some(Order::SetRtc(unix_ms)) => shared.board.set_clock(unix_ms),
            Some(Order::Restart | Order::Erased) => {
                let why = if order == Some(Order::Erased) {
                    "erased"
                } else {
                    "as asked"
                };
                shared.board.log(format_args!("{why}, restarting"));
                shared.board.restart();
            }
            None => {}
        }
        let now = now_ms();
        let next = shared
            .look(|node| node.next_tick())
            .clamp(now + SHORTEST_SLEEP_MS, now + LONGEST_SLEEP_MS);
        shared.life_at_ms.set(next);
        select(shared.nearer.wait(), Timer::at(Instant::from_millis(next))).await;
    }
}
