//! Looks at the contacts at every edge and while a change settles, and at one part on the bus at
//! a time when it is due.

use crate::board::{Device, Shared, Task};
use crate::hal::clock::now_ms;
use crate::hal::gpio::{self, EDGE, Output};
use embassy_futures::select::select;
use embassy_time::{Instant, Timer};
use node::bus::Remedy;
use node::parts::{Heard, Parts};
use shared::Quantity;
use shared::limit::MAX_CHANNELS;
use shared::mount::{Mount, Part, PortalInput};

/// While the node watches nothing (safe mode), a look whether it does again.
const IDLE_MS: u64 = 1_000;
const SHORTEST_SLEEP_MS: u64 = 1;

/// Watches for ever.
pub(crate) async fn run(shared: &'static Shared, parts: &'static mut Parts) -> ! {
    let mounts = &shared.provision.mounts;
    let contacts = || {
        let rows = (0..MAX_CHANNELS).zip(mounts);
        let mounted = rows.filter_map(|(channel, mount)| Some((channel, (*mount)?)));
        mounted.filter(|(_, mount)| mount.part == Part::Contact)
    };
    for (_, mount) in contacts() {
        gpio::start_contact(mount.at);
    }
    Output::SensorRail.start(true);
    let mut parts_at_ms = 0;
    loop {
        shared.check_in(Task::Sampler);
        let now = now_ms();
        let mut again_ms = now + IDLE_MS;
        if shared.is_watching() {
            for (channel, mount) in contacts() {
                let open = gpio::is_open(mount.at);
                if mount.portal() == PortalInput::Door {
                    shared.show(|shown| shown.door_open = Some(open));
                }
                let settles = shared.step(|node, now_ms| node.contact(channel, open, now_ms));
                again_ms = again_ms.min(settles.unwrap_or(u64::MAX));
            }
            if now >= parts_at_ms {
                parts_at_ms = poll(shared, parts);
            }
            again_ms = again_ms.min(parts_at_ms);
        }
        let again = Instant::from_millis(again_ms.max(now_ms() + SHORTEST_SLEEP_MS));
        select(EDGE.wait(), Timer::at(again)).await;
    }
}

/// One step of one part, and what is to be done about the bus.
fn poll(shared: &Shared, parts: &mut Parts) -> u64 {
    let mounts = &shared.provision.mounts;
    let shown = mounts
        .iter()
        .position(|mount| mount.and_then(Mount::quantity) == Some(Quantity::Temperature));
    let mut tell = |channel: u8, heard: Heard| {
        if let Heard::Value(reading) = heard
            && shown == Some(channel.into())
        {
            shared.show(|shown| shown.temperature = Some(reading));
        }
        shared.step(|node, now_ms| match heard {
            Heard::Value(reading) => node.reading(channel.into(), reading, now_ms),
            Heard::Line(state) => node.line(channel.into(), state, now_ms),
        });
    };
    let polled = parts.poll(&mut Device::new(shared.bus), true, now_ms(), &mut tell);
    match polled.remedy {
        Some(Remedy::FreeBus) => {
            shared.bus.borrow_mut().recover();
        }
        Some(Remedy::CutRail) => Output::SensorRail.set(false),
        Some(Remedy::RestoreRail) => Output::SensorRail.set(true),
        None => {}
    }
    if polled.remedy.is_some() {
        shared.recovered();
    }
    polled.next_ms
}
