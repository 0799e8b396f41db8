//! Looks at the contacts at every edge and while a change settles, and at one part on the bus at a
//! time when it is due.

use crate::{Board, Shared, Task, next_second, now_ms};
use embassy_futures::select::select;
use embassy_time::{Instant, Timer};
use node::bus::Remedy;
use node::parts::{Heard, Parts};
use shared::mount::Part;

/// A contact's level is told again at every multiple of this though it is the same, in milliseconds:
/// only time tells that it rests, and that it is to be reported once more.
const AGAIN_MS: u64 = 1_000;
/// The same after the first look: how soon a door that was closed all the time is known to be.
const FIRST_AGAIN_MS: u64 = 20;

/// Watches for ever.
pub async fn run<B: Board>(shared: &'static Shared<B>, parts: &'static mut Parts) -> ! {
    shared.board.sensor_rail(true);
    let contacts = || {
        (0..)
            .zip(&shared.provision.mounts)
            .filter_map(|(channel, mount)| {
                Some((channel, mount.filter(|mount| mount.part == Part::Contact)?.at))
            })
    };
    let mut parts_at_ms = 0;
    // Levels that the node has heard of, one bit a channel; the first look tells all of them.
    let (mut told, mut first) = (0_u32, true);
    let mut again_ms = 0;
    loop {
        shared.check_in(Task::Sampler);
        let now = now_ms();
        if !shared.is_watching() {
            first = true;
            next_second().await;
            continue;
        }
        let levels = contacts().fold(0, |levels, (channel, at)| {
            levels | u32::from(shared.board.is_open(at)) << channel
        });
        if first || levels != told || now >= again_ms {
            again_ms = if first {
                now + FIRST_AGAIN_MS
            } else {
                (now / AGAIN_MS + 1) * AGAIN_MS
            };
            (told, first) = (levels, false);
            for (channel, _) in contacts() {
                let open = levels & 1 << channel != 0;
                shared.board.contact(channel, open);
                let settles = shared.step(|node, now_ms| node.contact(channel.into(), open, now_ms));
                again_ms = again_ms.min(settles.unwrap_or(u64::MAX));
            }
        }
        if now >= parts_at_ms {
            parts_at_ms = poll(shared, parts);
        }
        let soonest = now_ms() + 1;
        let next = again_ms.min(parts_at_ms).max(soonest);
        select(shared.board.edge(), Timer::at(Instant::from_millis(next))).await;
    }
}

/// One step of one part, and what is to be done about the bus.
fn poll<B: Board>(shared: &Shared<B>, parts: &mut Parts) -> u64 {
    let mut tell = |channel: u8, heard: Heard| {
        if let Heard::Value(reading) = &heard {
            shared.board.reading(channel, reading);
        }
        shared.step(|node, now_ms| match heard {
            Heard::Value(reading) => node.reading(channel.into(), reading, now_ms),
            Heard::Line(state) => node.line(channel.into(), state, now_ms),
        });
    };
    let polled = parts.poll(&mut shared.board.bus(), true, now_ms(), &mut tell);
    match polled.remedy {
        Some(Remedy::FreeBus) => shared.board.free_bus(),
        Some(Remedy::CutRail) => shared.board.sensor_rail(false),
        Some(Remedy::RestoreRail) => shared.board.sensor_rail(true),
        None => {}
    }
    if polled.remedy.is_some() {
        shared.recovered();
    }
    polled.next_ms
}
