//! The endpoint's end of the link to core.

use super::hub::Hub;
use super::limit::{COUNTERS_EVERY, LINK_BACKOFF, LINK_QUEUE, MAX_BATCH, MAX_LINK_BACKOFF, TICK};
use super::shared::Shared;
use crate::clock;
use crate::link::wire::{self, LinkError};
use crate::link::{FromBroker, Role, ToBroker};
use rand::Rng as _;
use std::path::Path;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

/// One connection to core; it is over when `from_core` ends.
#[derive(Debug)]
pub struct CoreLink {
    /// Towards core.
    pub to_core: mpsc::Sender<FromBroker>,
    /// From core.
    pub from_core: mpsc::Receiver<ToBroker>,
}

/// Serves one link after the other until `stop` is cancelled. Between two links connections
/// live on; what needs core waits in the hub.
pub(super) async fn run(shared: &Shared, mut links: mpsc::Receiver<CoreLink>, stop: &CancellationToken) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut no_more_links = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            link = links.recv(), if !no_more_links => match link {
                Some(link) => serve(shared, link, &mut ticks, stop).await,
                None => no_more_links = true,
            },
            _ = ticks.tick() => tick(shared),
        }
    }
}

fn tick(shared: &Shared) {
    let now = clock::now().mono;
    shared.with(|hub| hub.tick(now));
}

async fn serve(
    shared: &Shared,
    mut link: CoreLink,
    ticks: &mut tokio::time::Interval,
    stop: &CancellationToken,
) {
    let now = clock::now().mono;
    shared.with(|hub| hub.link_up(now));
    let mut ticks_to_counters = 0;
    loop {
        let waiting = shared.with(|hub| hub.has_for_core());
        // Every arm is cancel-safe: a message is taken from the hub only with a permit at hand.
        tokio::select! {
            () = stop.cancelled() => break,
            message = link.from_core.recv() => {
                let Some(message) = message else { break };
                let now = clock::now().mono;
                shared.with(|hub| hub.hear(message, now));
            }
            permit = link.to_core.reserve(), if waiting => {
                let Ok(permit) = permit else { break };
                // Only as many as fit: awaiting here would keep us from reading what core says.
                let room = link.to_core.capacity().min(MAX_BATCH);
                let mut batch = shared.with(|hub| take_batch(hub, 1 + room)).into_iter();
                if let Some(first) = batch.next() {
                    permit.send(first);
                }
                for message in batch {
                    // Nobody else sends, so the capacity is still there; a closed link is seen
                    // above, and what it lost is sent again on the next.
                    link.to_core.try_send(message).ok();
                }
            }
            () = shared.for_core.notified(), if !waiting => {}
            _ = ticks.tick() => {
                tick(shared);
                let always = ticks_to_counters == 0;
                ticks_to_counters = if always { COUNTERS_EVERY } else { ticks_to_counters } - 1;
                if let Ok(permit) = link.to_core.try_reserve()
                    && let Some(counters) = shared.with(|hub| hub.take_counters(always))
                {
                    permit.send(counters);
                }
            }
        }
    }
    // What was counted since the last tick, if the link still takes it.
    if let Ok(permit) = link.to_core.try_reserve()
        && let Some(counters) = shared.with(|hub| hub.take_counters(false))
    {
        permit.send(counters);
    }
    shared.with(Hub::link_down);
}

fn take_batch(hub: &mut Hub, most: usize) -> Vec<FromBroker> {
    std::iter::from_fn(|| hub.next_for_core()).take(most).collect()
}

/// Calls core again and again, and hands every connection to `links`, until `stop` is cancelled.
pub(super) async fn call(socket: &Path, links: mpsc::Sender<CoreLink>, stop: &CancellationToken) {
    let mut pause = LINK_BACKOFF;
    loop {
        let failed = tokio::select! {
            () = stop.cancelled() => return,
            result = talk(socket, &links) => result,
        };
        pause = match failed {
            // It had been up: core restarts, and is likely to be back at once.
            Ok(()) => LINK_BACKOFF,
            Err(error) => {
                tracing::debug!(%error, "core is not there");
                (pause * 2).min(MAX_LINK_BACKOFF)
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(jittered(pause)) => {}
        }
    }
}

/// Half to all of the span, so that roles do not call in step.
fn jittered(span: Duration) -> Duration {
    span.mul_f64(rand::rng().random_range(0.5..=1.0))
}

/// One connection to core from its beginning to its end.
async fn talk(socket: &Path, links: &mpsc::Sender<CoreLink>) -> Result<(), LinkError> {
    let (mut reader, mut writer) = wire::connect(socket, Role::Broker).await?;
    let (to_core, mut outgoing) = mpsc::channel(LINK_QUEUE);
    let (incoming, from_core) = mpsc::channel(LINK_QUEUE);
    if links.send(CoreLink { to_core, from_core }).await.is_err() {
        return Ok(());
    }
    tracing::info!("linked to core");
    let read = async {
        loop {
            let message = reader.next::<ToBroker>().await?;
            if incoming.send(message).await.is_err() {
                return Ok::<(), LinkError>(());
            }
        }
    };
    let write = async {
        while let Some(message) = outgoing.recv().await {
            writer.send(&message).await?;
        }
        Ok::<(), LinkError>(())
    };
    let ended = tokio::select! {
        ended = read => ended,
        ended = write => ended,
    };
    if let Err(error) = ended {
        tracing::warn!(%error, "link to core ended");
    }
    Ok(())
}
