//! A simulated vCenter: the part of the vSphere Automation API that switches virtual machines.
//!
//! Written from the published API. What it keeps true: a session from `POST /api/session` by Basic,
//! which ends with `DELETE`; a shutdown goes through VMware Tools, is only asked for and takes its time;
//! errors are 400 `ALREADY_IN_DESIRED_STATE`, 401 `UNAUTHENTICATED`, 403 `UNAUTHORIZED`, 404 `NOT_FOUND`,
//! 503 `SERVICE_UNAVAILABLE`.

use crate::api::{Api, Call, Kept, Reply, Simulated};
use crate::certificate::Certificates;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// The account that vCenter knows.
pub const USER: &str = "yagura@vsphere.local";
/// Base64 of the account and its password `hunter 2`.
const BASIC: &str = "Basic eWFndXJhQHZzcGhlcmUubG9jYWw6aHVudGVyIDI=";
/// The ESXi host, and its id.
pub const ESXI: (&str, &str) = ("esxi1.city.example", "host-12");

#[derive(Debug)]
struct Vm {
    name: String,
    host: &'static str,
    runs: bool,
    tools: bool,
    /// How long it takes to shut down; `None`: it never does.
    obeys: Option<Duration>,
    stops: Option<Instant>,
}

#[derive(Debug, Default)]
struct State {
    vms: BTreeMap<String, Vm>,
    sessions: Vec<String>,
    count: u32,
    may_switch: bool,
}

/// vCenter.
#[derive(Debug)]
pub struct Vcenter {
    /// Its server.
    pub api: Api,
    state: Kept<State>,
}

impl Vcenter {
    /// A vCenter with these machines on [`ESXI`], which run: name, how long they take to shut down
    /// (never: `None`); and one on another host.
    pub async fn start(certificates: &Certificates, vms: &[(&str, Option<u64>)]) -> Self {
        let mut state = State {
            may_switch: true,
            ..State::default()
        };
        let all = vms.iter().map(|(name, obeys)| (*name, ESXI.1, *obeys));
        for (at, (name, host, obeys)) in all.chain([("elsewhere", "host-13", Some(0))]).enumerate() {
            let vm = Vm {
                name: name.to_owned(),
                host,
                runs: true,
                tools: true,
                obeys: obeys.map(Duration::from_millis),
                stops: None,
            };
            state.vms.insert(format!("vm-{}", 40 + at), vm);
        }
        let (api, state) = Api::of(certificates, state).await;
        Self { api, state }
    }

    /// Names of those that run.
    #[must_use]
    pub fn running(&self) -> Vec<String> {
        self.state.with(|state| {
            let running = state.vms.values().filter(|vm| vm.runs);
            running.map(|vm| vm.name.clone()).collect()
        })
    }

    /// Sessions that nobody ended.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.state.with(|state| state.sessions.len())
    }

    /// VMware Tools of a machine end.
    pub fn end_tools(&self, name: &str) {
        self.state.with(|state| {
            for vm in state.vms.values_mut().filter(|vm| vm.name == name) {
                vm.tools = false;
            }
        });
    }

    /// Takes the right to switch from the account.
    pub fn forbid(&self) {
        self.state.with(|state| state.may_switch = false);
    }

    /// Writes the password into a file of its owner alone.
    #[must_use]
    pub fn password_file(folder: &Path) -> PathBuf {
        let file = folder.join("vcenter-password");
        crate::sshd::write_private(&file, "hunter 2\n");
        file
    }
}

impl Simulated for State {
    fn pass(&mut self, now: Instant) {
        for vm in self.vms.values_mut() {
            if vm.stops.is_some_and(|stops| stops <= now) {
                vm.stops = None;
                vm.runs = false;
            }
        }
    }

    fn answer(&mut self, call: &Call, _: &watch::Sender<bool>) -> Reply {
        let parts: Vec<&str> = call.path.trim_start_matches('/').split('/').collect();
        if (call.method.as_str(), &parts[..]) == ("POST", &["api", "session"]) {
            if call.header("authorization") != BASIC {
                return refusal(401, "UNAUTHENTICATED", "Authentication required.");
            }
            self.count += 1;
            let session = format!("{:032x}", self.count);
            self.sessions.push(session.clone());
            return Reply::json(201, &json!(session));
        }
        let session = call.header("vmware-api-session-id").to_owned();
        if !self.sessions.contains(&session) {
            return refusal(401, "UNAUTHENTICATED", "This method requires authentication.");
        }
        match (call.method.as_str(), &parts[..]) {
            ("DELETE", ["api", "session"]) => {
                self.sessions.retain(|other| *other != session);
                Reply::empty(204)
            }
            ("GET", ["api", "vcenter", "host"]) => {
                let names = call.value("names");
                let hosts: Vec<Value> = [ESXI, ("esxi2.city.example", "host-13")]
                    .iter()
                    .filter(|(name, _)| names.as_deref().is_none_or(|wanted| wanted == *name))
                    .map(|(name, id)| json!({"host": id, "name": name, "connection_state": "CONNECTED", "power_state": "POWERED_ON"}))
                    .collect();
                Reply::json(200, &Value::Array(hosts))
            }
            ("GET", ["api", "vcenter", "vm"]) => {
                let hosts = call.value("hosts");
                let vms: Vec<Value> = self
                    .vms
                    .iter()
                    .filter(|(_, vm)| hosts.as_deref().is_none_or(|wanted| wanted == vm.host))
                    .map(|(id, vm)| {
                        json!({"vm": id, "name": vm.name, "cpu_count": 2, "memory_size_MiB": 4096,
                            "power_state": if vm.runs { "POWERED_ON" } else { "POWERED_OFF" }})
                    })
                    .collect();
                Reply::json(200, &Value::Array(vms))
            }
            (method, ["api", "vcenter", "vm", id, rest @ ..]) => {
                let action = call.value("action").unwrap_or_default();
                self.switch(method, id, &rest.join("/"), &action)
            }
            _ => refusal(404, "NOT_FOUND", "Not found."),
        }
    }
}

impl State {
    fn switch(&mut self, method: &str, id: &str, rest: &str, action: &str) -> Reply {
        let may = self.may_switch;
        let Some(vm) = self.vms.get_mut(id) else {
            return refusal(
                404,
                "NOT_FOUND",
                "The object has been deleted or has not been completely created",
            );
        };
        if (method, rest) == ("GET", "guest/power") {
            let state = if vm.runs { "RUNNING" } else { "NOT_RUNNING" };
            return Reply::json(
                200,
                &json!({"state": state, "operations_ready": vm.runs && vm.tools}),
            );
        }
        if !may {
            return refusal(
                403,
                "UNAUTHORIZED",
                "Permission to perform this operation was denied.",
            );
        }
        let already = || {
            refusal(
                400,
                "ALREADY_IN_DESIRED_STATE",
                "The virtual machine is in the state already.",
            )
        };
        match (method, rest, action, vm.runs) {
            ("POST", "guest/power", "shutdown", false) => refusal(
                400,
                "NOT_ALLOWED_IN_CURRENT_STATE",
                "The attempted operation cannot be performed in the current state (Powered off).",
            ),
            ("POST", "guest/power", "shutdown", true) if !vm.tools => refusal(
                503,
                "SERVICE_UNAVAILABLE",
                "Cannot complete operation because VMware Tools is not running in this virtual machine.",
            ),
            ("POST", "guest/power", "shutdown", true) => {
                vm.stops = vm.obeys.map(|obeys| Instant::now() + obeys);
                Reply::empty(204)
            }
            ("POST", "power", "stop", true) => {
                (vm.runs, vm.stops) = (false, None);
                Reply::empty(204)
            }
            ("POST", "power", "start", false) => {
                vm.runs = true;
                Reply::empty(204)
            }
            ("POST", "power", "stop", false) | ("POST", "power", "start", true) => already(),
            _ => refusal(404, "NOT_FOUND", "Not found."),
        }
    }
}

fn refusal(status: u16, kind: &str, text: &str) -> Reply {
    Reply::json(
        status,
        &json!({"error_type": kind, "messages": [{"id": "com.vmware.x", "default_message": text, "args": []}]}),
    )
}
