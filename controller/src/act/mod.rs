//! Role `act`: the hands of the watchtower, and the only holder of shutdown keys.
//!
//! It connects to core, says which plan it reads in its own configuration, carries out the
//! steps that core orders and reports what became of them. It decides nothing: not when, not
//! in which order, not how often. It never does anything that is not in its own reading of the
//! site, whatever the order says, and it takes orders for one plan hash only.
//!
//! ```text
//! core.sock --Execute--> ledger --> one task for each order (step.rs) --> ssh.rs | exec.rs | device.rs
//!           <--Report--- last outcome kept for each order <-- events
//! core.sock --Operate--> operations: one task for each (device.rs) --Operated-->
//! ```
//!
//! An order that runs while core is away goes on; after the reconnect the last outcome of
//! every order is reported again, so that a restarted core misses nothing.

pub mod action;
pub mod confirm;
pub mod device;
pub mod exec;
mod finish;
mod guests;
mod http;
pub mod https;
mod ipmi;
mod ledger;
pub mod libvirt;
mod notes;
mod nut;
mod operations;
pub mod permit;
mod proxmox;
mod redfish;
pub mod ssh;
pub mod step;
mod vsphere;
mod winrm;
mod wol;

pub use ipmi::PROGRAM as IPMITOOL;

use crate::link::{FromAct, Role, ToAct, wire};
use crate::pulse::Pulse;
use action::Action;
use device::Tools;
use ledger::Ledger;
use operations::Operations;
use room::site::{Site, World};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// First wait before the next try to reach core.
pub const RECONNECT_FIRST: Duration = Duration::from_millis(50);
/// Longest wait before the next try to reach core. Core resumes a plan within seconds after a
/// restart, and this wait is part of those seconds.
pub const RECONNECT_LONGEST: Duration = Duration::from_millis(500);
/// Longest time for one message to core; a core that does not read is left and sought again.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// Where core listens, for a data directory.
#[must_use]
pub fn core_socket(data_dir: &std::path::Path) -> PathBuf {
    data_dir.join("run").join("core.sock")
}

/// Runs the role until `stop` resolves.
///
/// `plan_hash` is the hash of the plan that this process computed from its own reading of the
/// configuration. Actions that run when `stop` resolves are dropped: a program is killed, a
/// connection cut. Their orders come again, and targets take a repeated request as one.
pub async fn run<W>(site: Site<W>, plan_hash: String, stop: impl Future<Output = ()>)
where
    W: World,
    W::Action: Action,
{
    let socket = core_socket(&site.data_dir);
    let tools = Arc::new(Tools::of(&site));
    let mut ledger = Ledger::new(&site, &tools, plan_hash);
    let mut operations = Operations::new(tools);
    let mut pulse = Pulse::of_environment();
    let work = async {
        let mut wait = RECONNECT_FIRST;
        loop {
            pulse.beat();
            match wire::connect(&socket, Role::Act).await {
                Ok((reader, writer)) => {
                    wait = RECONNECT_FIRST;
                    tracing::info!("connected to core");
                    let why = serve(&mut ledger, &mut operations, &mut pulse, reader, writer).await;
                    tracing::warn!(%why, "the link to core ended; orders under way go on");
                }
                Err(why) => tracing::debug!(%why, "core is not reachable"),
            }
            // Orders go on while core is away: their events are taken in during the wait.
            let _ = tokio::time::timeout(wait, async {
                loop {
                    // Both arms are cancel-safe; what was an operator's is told after the reconnect.
                    tokio::select! {
                        _ = ledger.next() => {}
                        () = operations.settle() => {}
                    }
                }
            })
            .await;
            wait = (wait * 2).min(RECONNECT_LONGEST);
        }
    };
    tokio::select! {
        () = stop => tracing::info!("stopping"),
        () = work => {}
    }
}

/// Serves one connection until it ends; the return value says why it did.
async fn serve(
    ledger: &mut Ledger,
    operations: &mut Operations,
    pulse: &mut Pulse,
    mut reader: wire::Reader,
    mut writer: wire::Writer,
) -> wire::LinkError {
    let mut waiting = vec![FromAct::Ready {
        plan_hash: ledger.plan_hash().to_owned(),
    }];
    waiting.extend(ledger.last_outcomes());
    waiting.extend(operations.outcomes());
    loop {
        pulse.beat();
        for message in waiting.drain(..) {
            match tokio::time::timeout(SEND_TIMEOUT, writer.send(&message)).await {
                Ok(Ok(())) => {}
                Ok(Err(why)) => return why,
                Err(_) => return wire::LinkError::Silent,
            }
        }
        // Every arm is cancel-safe: a partly read message stays in the reader's buffer, an event
        // stays in its channel. The last one only lets the loop turn, for its sign of life.
        tokio::select! {
            message = reader.next::<ToAct>() => match message {
                Ok(ToAct::Execute { order, accepted: false }) => waiting.extend(ledger.execute(order, true)),
                Ok(ToAct::Execute { order, accepted: true }) => waiting.extend(ledger.go_on(order)),
                Ok(ToAct::Check { order }) => waiting.extend(ledger.execute(order, false)),
                Ok(ToAct::Cancel { order }) => ledger.cancel(&order),
                Ok(ToAct::Operate { operation }) => waiting.extend(operations.begin(operation)),
                Err(why) => return why,
            },
            report = ledger.next() => waiting.extend(report),
            () = operations.settle() => waiting.extend(operations.ended()),
            () = tokio::time::sleep(pulse.turn_within()) => {}
        }
    }
}
