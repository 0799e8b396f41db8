//! What the node does by itself, with or without a connection: doors, lists, memory and safe mode
//! do not wait for the network. And what it asks of the board.

use crate::board::{Device, LIFE, Shared, Task};
use crate::hal::clock::now_ms;
use crate::hal::console::console;
use crate::hal::crash;
use embassy_futures::select::select;
use embassy_time::{Instant, Timer};
use node::drivers::ds1307::Ds1307;
use node::node::Order;

/// Between two check-ins, in milliseconds.
const LONGEST_SLEEP_MS: u64 = 2_500;
const SHORTEST_SLEEP_MS: u64 = 20;

/// Lives for ever.
pub(crate) async fn run(shared: &'static Shared) -> ! {
    loop {
        shared.check_in(Task::Life);
        // Steps of our own need not wake us.
        shared.life_sleeps_until(0);
        let order = shared.step(|node, now_ms| {
            node.tick(now_ms);
            node.take_order(now_ms)
        });
        match order {
            // Without the chip the time is asked of the controller after the next power cut.
            Some(Order::SetRtc(unix_ms)) => drop(Ds1307::Ds1338.set(&mut Device::new(shared.bus), unix_ms)),
            Some(order @ (Order::Restart | Order::Erased)) => {
                console!(
                    "{}, restarting",
                    if order == Order::Erased {
                        "erased"
                    } else {
                        "as asked"
                    }
                );
                crash::restart();
            }
            None => {}
        }
        let now = now_ms();
        // What is due now and could not be done must not keep the others from their turn.
        let next = shared
            .look(|node| node.next_tick())
            .clamp(now + SHORTEST_SLEEP_MS, now + LONGEST_SLEEP_MS);
        shared.life_sleeps_until(next);
        select(LIFE.wait(), Timer::at(Instant::from_millis(next))).await;
    }
}
