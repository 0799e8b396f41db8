//! Looks at the contacts all the time, and at one part on the bus at a time when it is due.

use crate::{Board, Shared, Task, now_ms};
use embassy_time::{Instant, Timer};
use node::bus::Remedy;
use node::parts::{Heard, Parts};
use shared::mount::Part;

/// Time between two looks at the contacts, in milliseconds: half of how long a level must hold.
const LOOK_MS: u64 = 2;
/// While the node watches nothing (safe mode), a look whether it does again.
const IDLE_MS: u64 = 1_000;

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
    let mut settles_ms = u64::MAX;
    loop {
        shared.check_in(Task::Sampler);
        let now = now_ms();
        if !shared.is_watching() {
            first = true;
            Timer::after_millis(IDLE_MS).await;
            continue;
        }
        let levels = contacts().fold(0, |levels, (channel, at)| {
            levels | u32::from(shared.board.is_open(at)) << channel
        });
        if first || levels != told || now >= settles_ms {
            (told, first, settles_ms) = (levels, false, u64::MAX);
            for (channel, _) in contacts() {
                let open = levels & 1 << channel != 0;
                let again_ms = shared.step(|node, now_ms| node.contact(channel, open, now_ms));
                settles_ms = settles_ms.min(again_ms.unwrap_or(u64::MAX));
            }
        }
        if now >= parts_at_ms {
            parts_at_ms = poll(shared, parts);
        }
        Timer::at(Instant::from_millis(now_ms() + LOOK_MS)).await;
    }
}

/// One step of one part, and what is to be done about the bus.
fn poll<B: Board>(shared: &Shared<B>, parts: &mut Parts) -> u64 {
    let mut tell = |channel: u8, heard: Heard| {
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
