//! Action `proxmox`: a node of Proxmox VE, or guests on it, by its API (`/api2/json` on port 8006).
//!
//! ```text
//! guests   GET nodes/N/qemu, nodes/N/lxc            who is there, who runs
//!          POST nodes/N/qemu/100/status/shutdown    -> UPID, a task of the node
//!               timeout=S[&forceStop=1]             with force_after the node itself cuts it off then
//!          GET nodes/N/tasks/UPID/status            until it ended, or for a shutdown runs for a while
//!          GET nodes/N/tasks?source=active, DELETE  a shutdown that hangs holds the guest's lock
//!          POST nodes/N/qemu/100/status/stop        and is ended before the guest is cut off
//! node     POST nodes/N/status command=shutdown     it stops its guests and itself
//! check    GET access/permissions?path=...          the rights, as the node sees them
//! ```
//! The token needs `VM.Audit` and `VM.PowerMgmt` on the guests; for the node `Sys.PowerMgmt` and
//! `Sys.Audit` on it. A guest that the token may not see is not there, also for `guests = "all"`.
//!
//! Source: the API viewer of Proxmox VE 7 to 9, <https://pve.proxmox.com/pve-docs/api-viewer/>.

use super::action::{Accepted, Problem, Sent, printable};
use super::confirm;
use super::device::Tools;
use super::guests::{self, Guest, Hypervisor};
use super::https::{Answer, Ask, Client, secret};
use super::permit::{Armed, Checked};
use hyper::Method;
use room::outage::Verb;
use room::site::act::guests::{Which, Whom};
use room::site::act::proxmox::ProxmoxAction;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;
use tokio::time::Instant;

/// Most guests of one node.
const MAX_GUESTS: usize = 4096;
/// Guests whose rights a check asks for.
const MAX_CHECKED: usize = 64;
/// Longest time that a task is followed which does not take long.
const SHORT_TASK: Duration = Duration::from_secs(30);
/// How long a shutdown is looked at: what is refused is refused by then.
const SHUTDOWN_LOOK: Duration = Duration::from_millis(800);
/// Time between two looks at a task.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// What a guest is given to shut down where the site says nothing; as the node itself does.
const SHUTDOWN_WITHIN: Duration = Duration::from_secs(180);
/// Longest name of a task.
const MAX_UPID: usize = 256;

struct Pve<'a> {
    action: &'a ProxmoxAction,
    client: Client,
}

/// What the API wraps everything in.
#[derive(Deserialize)]
struct Wrapped<T> {
    data: T,
}

#[derive(Debug, Deserialize)]
struct ListedGuest {
    /// A number for virtual machines, a text for containers of older releases.
    vmid: serde_json::Value,
    #[serde(default)]
    name: Option<String>,
    status: String,
    #[serde(default)]
    template: Option<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct TaskStatus {
    status: String,
    #[serde(default)]
    exitstatus: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ActiveTask {
    upid: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Debug, Deserialize)]
struct Member {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    local: Option<u8>,
}

/// Sees whether the token is accepted and may do it. Changes nothing.
///
/// # Errors
/// [`Problem`] naming the right that is missing.
pub(super) async fn check(action: &ProxmoxAction, _permit: Checked) -> Result<(), Problem> {
    let pve = Pve::open(action).await?;
    match &action.what {
        Whom::Host => {
            let members: Vec<Member> = pve.get("/cluster/status").await?;
            let here = members
                .iter()
                .find(|member| member.kind == "node" && member.local == Some(1));
            let here = here.and_then(|member| member.name.as_deref()).unwrap_or("?");
            if here != action.node {
                return Err(Problem::lasting(format!(
                    "{} is node {}, not {}: ask a node at its own address, since that it is silent is how its \
                     stop is seen",
                    action.server.addr,
                    printable(here.as_bytes(), 64),
                    action.node
                )));
            }
            pve.may(&format!("/nodes/{}", action.node), "Sys.PowerMgmt").await
        }
        Whom::Guests(guests) => {
            let found = guests::chosen(&pve, &guests.which).await?;
            if found.is_empty() {
                return Err(pve.sees_nobody());
            }
            for guest in found.iter().take(MAX_CHECKED) {
                let vmid = guest.id.rsplit('/').next().unwrap_or_default();
                pve.may(&format!("/vms/{vmid}"), "VM.PowerMgmt").await?;
            }
            Ok(())
        }
    }
}

pub(super) async fn request(
    action: &ProxmoxAction,
    tools: &Tools,
    permit: Armed,
    sent: &Sent,
) -> Result<Accepted, Problem> {
    let pve = Pve::open(action).await?;
    match &action.what {
        Whom::Guests(guests) => guests::request(&pve, action.verb, guests, tools.notes(), permit, sent).await,
        Whom::Host if action.verb != Verb::Stop => Err(Problem::lasting("a node only shuts down by this")),
        Whom::Host => {
            let ask = Ask::new(Method::POST, pve.path(&format!("/nodes/{}/status", action.node)))
                .body(FORM, "command=shutdown");
            pve.client.tell(ask, sent).await?.good("shutting the node down")?;
            Ok(Accepted::ToBeSeen)
        }
    }
}

pub(super) async fn seen(action: &ProxmoxAction, tools: &Tools) -> Result<(), Problem> {
    match &action.what {
        Whom::Host => {
            confirm::until_closed(action.server.addr).await;
            Ok(())
        }
        Whom::Guests(guests) => {
            let pve = Pve::open(action).await?;
            guests::seen(&pve, action.verb, guests, tools.notes()).await
        }
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

impl<'a> Pve<'a> {
    async fn open(action: &'a ProxmoxAction) -> Result<Self, Problem> {
        let token = secret(&action.token_file)?;
        if !is_token(&token) {
            return Err(Problem::lasting(format!(
                "{} is no API token: USER@REALM!TOKENID=UUID in one line",
                action.token_file.display()
            )));
        }
        let mut client = Client::of(&action.server).await?;
        client.always(
            "authorization",
            &zeroize::Zeroizing::new(format!("PVEAPIToken={}", token.as_str())),
        )?;
        Ok(Self { action, client })
    }

    fn path(&self, path: &str) -> String {
        format!("/api2/json{path}")
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, Problem> {
        let answer = self.client.ask(Ask::get(self.path(path))).await?;
        data(&answer.good(path)?)
    }

    /// Whether the token has this right there.
    async fn may(&self, path: &str, right: &str) -> Result<(), Problem> {
        let rights: BTreeMap<String, BTreeMap<String, serde_json::Value>> = self
            .get(&format!("/access/permissions?path={}", path.replace('/', "%2F")))
            .await?;
        if rights.get(path).is_some_and(|rights| rights.contains_key(right)) {
            return Ok(());
        }
        Err(Problem::passing(format!(
            "{}: the token lacks {right} on {path}; give it a role with that right there",
            self.action.server.addr
        )))
    }

    /// Tells a guest something, and follows the task as long as it makes sense.
    async fn tell(&self, guest: &Guest, word: &str, body: String, most: Duration) -> Result<(), Problem> {
        let path = format!("/nodes/{}/{}/status/{word}", self.action.node, guest.id);
        let ask = Ask::new(Method::POST, self.path(&path)).body(FORM, body);
        let answer = self
            .client
            .ask(ask)
            .await?
            .good(&format!("{word} of {}", guest.name))?;
        let upid: String = data(&answer)?;
        if !is_upid(&upid) {
            return Err(Problem::passing(format!(
                "{}: this is no task: {}",
                self.action.server.addr,
                printable(upid.as_bytes(), 80)
            )));
        }
        let until = Instant::now() + most;
        loop {
            let path = format!("/nodes/{}/tasks/{upid}/status", self.action.node);
            let task: TaskStatus = self.get(&path).await?;
            match (task.status.as_str(), task.exitstatus.as_deref()) {
                ("stopped", Some("OK")) => return Ok(()),
                ("stopped", why) => {
                    let why = printable(why.unwrap_or("without a word").as_bytes(), 200);
                    return Err(Problem::passing(format!(
                        "{word} of {} failed: {why}",
                        guest.name
                    )));
                }
                // A shutdown lasts as long as the guest wants; it is seen by what the guest becomes.
                _ if Instant::now() >= until => return Ok(()),
                _ => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    fn sees_nobody(&self) -> Problem {
        Problem::passing(format!(
            "{}: the token sees no guest on {}: it needs VM.Audit and VM.PowerMgmt",
            self.action.server.addr, self.action.node
        ))
    }

    /// Ends shutdowns of this guest that still wait for it: they hold its lock.
    async fn end_shutdowns(&self, guest: &Guest) -> Result<(), Problem> {
        let (node, vmid) = (&self.action.node, guest.id.rsplit('/').next().unwrap_or_default());
        let tasks: Vec<ActiveTask> = self
            .get(&format!("/nodes/{node}/tasks?source=active&vmid={vmid}"))
            .await?;
        for task in tasks {
            if matches!(task.kind.as_str(), "qmshutdown" | "vzshutdown") && is_upid(&task.upid) {
                let path = self.path(&format!("/nodes/{node}/tasks/{}", task.upid));
                // One that ended meanwhile, or that another user began: the stop itself will tell.
                let _ = self.client.ask(Ask::new(Method::DELETE, path)).await;
            }
        }
        Ok(())
    }
}

impl Hypervisor for Pve<'_> {
    fn name(&self) -> String {
        format!("proxmox {} {}", self.action.server.addr, self.action.node)
    }

    async fn list(&self) -> Result<Vec<Guest>, Problem> {
        let named: &[String] = match &self.action.what {
            Whom::Guests(guests) => match &guests.which {
                Which::Named(names) => names,
                Which::All { except } => except,
            },
            Whom::Host => &[],
        };
        let (mut guests, mut is_empty) = (Vec::new(), true);
        for kind in ["qemu", "lxc"] {
            let listed: Vec<ListedGuest> = self.get(&format!("/nodes/{}/{kind}", self.action.node)).await?;
            is_empty &= listed.is_empty();
            for guest in listed {
                if let Some(guest) = guest.read(kind, named)? {
                    guests.push(guest);
                }
            }
        }
        // Those that are off are listed, too: a token without rights is not a node on which nobody runs.
        if is_empty {
            return Err(self.sees_nobody());
        }
        if guests.len() > MAX_GUESTS {
            return Err(Problem::passing(format!(
                "the node lists more than {MAX_GUESTS} guests"
            )));
        }
        Ok(guests)
    }

    async fn shut_down(&self, guest: &Guest) -> Result<(), Problem> {
        let force_after = match &self.action.what {
            Whom::Guests(guests) => guests.force_after,
            Whom::Host => None,
        };
        let mut body = String::from("timeout=");
        match force_after {
            Some(after) => {
                let _ = write!(body, "{}&forceStop=1", after.0.div_ceil(1000));
            }
            None => {
                let _ = write!(body, "{}", SHUTDOWN_WITHIN.as_secs());
            }
        }
        self.tell(guest, "shutdown", body, SHUTDOWN_LOOK).await
    }

    async fn switch_off(&self, guest: &Guest) -> Result<(), Problem> {
        self.end_shutdowns(guest).await?;
        self.tell(guest, "stop", String::new(), SHORT_TASK).await
    }

    async fn start(&self, guest: &Guest) -> Result<(), Problem> {
        self.tell(guest, "start", String::new(), SHORT_TASK).await
    }
}

impl ListedGuest {
    /// `None`: a template, which never runs. A guest that the site names by its number is called so.
    fn read(self, kind: &str, named: &[String]) -> Result<Option<Guest>, Problem> {
        let vmid = match &self.vmid {
            serde_json::Value::Number(number) => number.as_u64(),
            serde_json::Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let Some(vmid) = vmid else {
            return Err(Problem::passing("the node lists a guest without a number"));
        };
        let is_template = self.template.is_some_and(|template| {
            template.as_u64() == Some(1) || template.as_bool() == Some(true) || template.as_str() == Some("1")
        });
        if is_template {
            return Ok(None);
        }
        let number = vmid.to_string();
        let name = match self.name {
            Some(name) if !named.contains(&number) => name,
            _ => number,
        };
        Ok(Some(Guest {
            id: format!("{kind}/{vmid}"),
            name: printable(name.as_bytes(), 80),
            runs: self.status != "stopped",
        }))
    }
}

fn data<T: serde::de::DeserializeOwned>(answer: &Answer) -> Result<T, Problem> {
    answer.json::<Wrapped<T>>().map(|wrapped| wrapped.data)
}

/// `USER@REALM!TOKENID=UUID`
fn is_token(text: &str) -> bool {
    let parts = text
        .split_once('@')
        .and_then(|(user, rest)| Some((user, rest.split_once('!')?)))
        .and_then(|(user, (realm, rest))| Some((user, realm, rest.split_once('=')?)));
    parts.is_some_and(|(user, realm, (id, secret))| {
        [user, realm, id, secret].iter().all(|part| !part.is_empty())
            && text.bytes().all(|byte| byte.is_ascii_graphic())
    })
}

/// The name of a task may stand in a path.
fn is_upid(text: &str) -> bool {
    text.starts_with("UPID:")
        && text.len() <= MAX_UPID
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b":@!-._".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tokens_and_tasks_are_told_from_other_text() {
        assert!(is_token("yagura@pve!act=8a7c4b9e-0000-4000-8000-000000000000"));
        for bad in ["", "yagura", "root@pam", "a@b!c", "a@b!c=", "a@b!c=d e"] {
            assert!(!is_token(bad), "{bad}");
        }
        assert!(is_upid(
            "UPID:pve1:0000A1B2:00112233:65000000:qmshutdown:100:yagura@pve!act:"
        ));
        for bad in ["", "100", "UPID:../../x", "UPID:a?b", "UPID:a b", "UPID:%2f"] {
            assert!(!is_upid(bad), "{bad}");
        }
    }

    #[test]
    fn guests_are_called_by_their_name_or_by_the_number_that_the_site_writes() {
        let list = r#"[{"vmid":100,"name":"web","status":"running"},
            {"vmid":"101","status":"stopped"},
            {"vmid":102,"name":"golden","status":"stopped","template":1},
            {"vmid":103,"name":"mail","status":"paused"}]"#;
        let listed: Vec<ListedGuest> = serde_json::from_str(list).unwrap();
        let named = ["103".to_owned()];
        let guests: Vec<Guest> = listed
            .into_iter()
            .filter_map(|guest| guest.read("qemu", &named).unwrap())
            .collect();
        let shown: Vec<(&str, &str, bool)> = guests
            .iter()
            .map(|guest| (guest.id.as_str(), guest.name.as_str(), guest.runs))
            .collect();
        assert_eq!(
            shown,
            [
                ("qemu/100", "web", true),
                ("qemu/101", "101", false),
                ("qemu/103", "103", true)
            ]
        );
    }

    proptest! {
        #[test]
        fn no_list_panics(text in "\\PC{0,80}", number in any::<i64>()) {
            let list = serde_json::json!([{"vmid": number, "name": text, "status": text, "template": number},
                {"vmid": text, "status": "stopped"}]);
            let listed: Vec<ListedGuest> = serde_json::from_value(list).unwrap();
            for guest in listed {
                if let Ok(Some(guest)) = guest.read("qemu", &[]) {
                    let number = guest.id.strip_prefix("qemu/").unwrap();
                    prop_assert!(number.bytes().all(|byte| byte.is_ascii_digit()));
                }
            }
        }
    }
}
