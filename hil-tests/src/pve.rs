//! A simulated node of Proxmox VE: the part of its API that switches guests and the node.
//!
//! Written from the published API (API viewer, `/nodes/{node}/...`). What it keeps true: everything
//! about a guest is a task that takes time and ends with `OK` or a reason; a task holds the guest's
//! lock, so that a second one fails; a shutdown of a guest that does not react lasts until its
//! time-out, and then fails or forces; rights are those of the token, per path.

use crate::api::{Api, Call, Kept, Reply, Simulated};
use crate::certificate::Certificates;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// The token that the node knows.
pub const TOKEN: &str = "yagura@pve!act=8a7c4b9e-0000-4000-8000-000000000000";
/// The node.
pub const NODE: &str = "pve1";
/// How long it takes to switch a guest on or off.
const SWITCH: Duration = Duration::from_millis(50);

/// One guest.
#[derive(Debug, Clone)]
struct Guest {
    kind: &'static str,
    name: String,
    runs: bool,
    /// How long it takes to shut down; `None`: it never does.
    obeys: Option<Duration>,
}

#[derive(Debug, Clone)]
struct Task {
    kind: String,
    vmid: u64,
    ends: Instant,
    /// What the guest is afterwards, and how the task ends.
    then: (Option<bool>, String),
    ended: bool,
}

#[derive(Debug, Default)]
struct State {
    guests: BTreeMap<u64, Guest>,
    tasks: BTreeMap<String, Task>,
    rights: BTreeMap<String, Vec<&'static str>>,
    count: u64,
}

/// The node.
#[derive(Debug)]
pub struct Pve {
    /// Its server.
    pub api: Api,
    state: Kept<State>,
}

impl Pve {
    /// A node with these guests, which run: number, `qemu` or `lxc`, name, how long they take to shut
    /// down (never: `None`). The token may do everything that is needed.
    pub async fn start(
        certificates: &Certificates,
        guests: &[(u64, &'static str, &str, Option<u64>)],
    ) -> Self {
        let mut state = State::default();
        for (vmid, kind, name, obeys) in guests {
            state.guests.insert(
                *vmid,
                Guest {
                    kind,
                    name: (*name).to_owned(),
                    runs: true,
                    obeys: obeys.map(Duration::from_millis),
                },
            );
            let rights = vec!["VM.Audit", "VM.PowerMgmt"];
            state.rights.insert(format!("/vms/{vmid}"), rights);
        }
        let rights = vec!["Sys.Audit", "Sys.PowerMgmt"];
        state.rights.insert(format!("/nodes/{NODE}"), rights);
        let (api, state) = Api::of(certificates, state).await;
        Self { api, state }
    }

    /// Names of those that run, in order of their numbers.
    #[must_use]
    pub fn running(&self) -> Vec<String> {
        self.state.with(|state| {
            let running = state.guests.values().filter(|guest| guest.runs);
            running.map(|guest| guest.name.clone()).collect()
        })
    }

    /// Takes a right from the token.
    pub fn forbid(&self, path: &str, right: &str) {
        self.state.with(|state| {
            if let Some(rights) = state.rights.get_mut(path) {
                rights.retain(|other| *other != right);
            }
        });
    }

    /// Switches a guest off, as its user would.
    pub fn switch_off(&self, vmid: u64) {
        self.state.with(|state| {
            if let Some(guest) = state.guests.get_mut(&vmid) {
                guest.runs = false;
            }
        });
    }

    /// Writes the token into a file of its owner alone.
    ///
    /// # Panics
    /// When it cannot.
    pub fn token_file(folder: &Path) -> std::path::PathBuf {
        let file = folder.join("pve-token");
        crate::sshd::write_private(&file, &format!("{TOKEN}\n"));
        file
    }
}

impl Simulated for State {
    fn pass(&mut self, now: Instant) {
        for task in self.tasks.values_mut() {
            if !task.ended && task.ends <= now {
                task.ended = true;
                if let (Some(runs), Some(guest)) = (task.then.0, self.guests.get_mut(&task.vmid)) {
                    guest.runs = runs;
                }
            }
        }
    }

    fn answer(&mut self, call: &Call, off: &watch::Sender<bool>) -> Reply {
        if call.header("authorization") != format!("PVEAPIToken={TOKEN}") {
            return Reply::json(401, &json!({"data": null, "message": "invalid token value!\n"}));
        }
        let Some(path) = call.path.strip_prefix("/api2/json/") else {
            return Reply::empty(501);
        };
        let parts: Vec<&str> = path.split('/').collect();
        match (call.method.as_str(), &parts[..]) {
            ("GET", ["access", "permissions"]) => {
                let asked = call.value("path").unwrap_or_default();
                let rights: BTreeMap<&str, u8> = self
                    .rights
                    .get(&asked)
                    .into_iter()
                    .flatten()
                    .map(|right| (*right, 1))
                    .collect();
                data(&json!({ asked: rights }))
            }
            ("GET", ["cluster", "status"]) => data(&json!([
                {"type": "cluster", "name": "city", "nodes": 2, "quorate": 1},
                {"type": "node", "name": "pve2", "local": 0, "online": 1},
                {"type": "node", "name": NODE, "local": 1, "online": 1},
            ])),
            (_, ["nodes", node, ..]) if *node != NODE => Reply::json(
                500,
                &json!({"data": null, "message": format!("hostname lookup '{node}' failed")}),
            ),
            ("POST", ["nodes", _, "status"]) => {
                if !self.may(&format!("/nodes/{NODE}"), "Sys.PowerMgmt") {
                    return forbidden(&format!("/nodes/{NODE}"), "Sys.PowerMgmt");
                }
                match call.value("command").as_deref() {
                    Some("shutdown") => {
                        off.send_replace(true);
                        data(&Value::Null)
                    }
                    _ => Reply::json(
                        400,
                        &json!({"data": null, "errors": {"command": "value not in enumeration"}}),
                    ),
                }
            }
            ("GET", ["nodes", _, kind @ ("qemu" | "lxc")]) => {
                let guests = self.guests.iter().filter(|(vmid, guest)| {
                    guest.kind == *kind && self.may(&format!("/vms/{vmid}"), "VM.Audit")
                });
                let list: Vec<Value> = guests
                    .map(|(vmid, guest)| {
                        json!({"vmid": vmid, "name": guest.name, "cpus": 2, "maxmem": 2_147_483_648_u64,
                            "status": if guest.runs { "running" } else { "stopped" }})
                    })
                    .collect();
                data(&Value::Array(list))
            }
            ("POST", ["nodes", _, "qemu" | "lxc", vmid, "status", word]) => {
                self.begin(vmid.parse().unwrap_or(0), word, call)
            }
            ("GET", ["nodes", _, "tasks"]) => {
                let vmid: Option<u64> = call.value("vmid").and_then(|vmid| vmid.parse().ok());
                let active = self
                    .tasks
                    .iter()
                    .filter(|(_, task)| !task.ended && vmid.is_none_or(|vmid| vmid == task.vmid));
                let list: Vec<Value> = active
                    .map(|(upid, task)| json!({"upid": upid, "type": task.kind, "id": task.vmid.to_string()}))
                    .collect();
                data(&Value::Array(list))
            }
            ("GET", ["nodes", _, "tasks", upid, "status"]) => match self.tasks.get(*upid) {
                None => Reply::json(500, &json!({"data": null, "message": "no such task\n"})),
                Some(task) if task.ended => data(
                    &json!({"upid": upid, "type": task.kind, "status": "stopped", "exitstatus": task.then.1}),
                ),
                Some(task) => data(&json!({"upid": upid, "type": task.kind, "status": "running"})),
            },
            ("DELETE", ["nodes", _, "tasks", upid]) => {
                if let Some(task) = self.tasks.get_mut(*upid).filter(|task| !task.ended) {
                    task.ended = true;
                    task.then = (None, "unexpected status".to_owned());
                }
                data(&Value::Null)
            }
            _ => Reply::json(
                501,
                &json!({"data": null, "message": format!("Method '{} /{path}' not implemented", call.method)}),
            ),
        }
    }
}

impl State {
    fn may(&self, path: &str, right: &str) -> bool {
        self.rights
            .get(path)
            .is_some_and(|rights| rights.contains(&right))
    }

    fn begin(&mut self, vmid: u64, word: &str, call: &Call) -> Reply {
        if !self.may(&format!("/vms/{vmid}"), "VM.PowerMgmt") {
            return forbidden(&format!("/vms/{vmid}"), "VM.PowerMgmt");
        }
        let Some(guest) = self.guests.get(&vmid).cloned() else {
            return Reply::json(
                500,
                &json!({"data": null, "message": "Configuration file does not exist\n"}),
            );
        };
        let prefix = if guest.kind == "qemu" { "qm" } else { "vz" };
        let locked = self.tasks.values().any(|task| !task.ended && task.vmid == vmid);
        let failed = |why: &str| (Duration::ZERO, None, why.to_owned());
        let (takes, runs, exit) = if locked {
            failed(&format!(
                "can't lock file '/var/lock/qemu-server/lock-{vmid}.conf' - got timeout"
            ))
        } else {
            match (word, guest.runs) {
                ("shutdown" | "stop", false) => failed(&format!("VM {vmid} not running")),
                ("start", true) => failed(&format!("VM {vmid} already running")),
                ("start", false) => (SWITCH, Some(true), "OK".to_owned()),
                ("stop", true) => (SWITCH, Some(false), "OK".to_owned()),
                ("shutdown", true) => {
                    let timeout = call.value("timeout").and_then(|text| text.parse().ok());
                    let timeout = Duration::from_secs(timeout.unwrap_or(60));
                    let forced = call.value("forceStop").as_deref() == Some("1");
                    match guest.obeys.filter(|obeys| *obeys <= timeout) {
                        Some(obeys) => (obeys, Some(false), "OK".to_owned()),
                        None if forced => (timeout, Some(false), "OK".to_owned()),
                        None => (timeout, None, "VM quit/powerdown failed - got timeout".to_owned()),
                    }
                }
                _ => return Reply::empty(501),
            }
        };
        self.count += 1;
        let upid = format!(
            "UPID:{NODE}:{:08X}:{:08X}:65000000:{prefix}{word}:{vmid}:yagura@pve!act:",
            self.count, 7
        );
        self.tasks.insert(
            upid.clone(),
            Task {
                kind: format!("{prefix}{word}"),
                vmid,
                ends: Instant::now() + takes,
                then: (runs, exit),
                ended: false,
            },
        );
        data(&json!(upid))
    }
}

fn data(value: &Value) -> Reply {
    Reply::json(200, &json!({ "data": value }))
}

fn forbidden(path: &str, right: &str) -> Reply {
    Reply::json(
        403,
        &json!({"data": null, "message": format!("Permission check failed ({path}, {right})\n")}),
    )
}
