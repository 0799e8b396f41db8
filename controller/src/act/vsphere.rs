//! Action `vsphere`: virtual machines that a VMware vCenter manages, by the vSphere Automation API.
//!
//! ```text
//! POST /api/session (Basic)                               -> a session id for the header of the rest
//! GET  /api/vcenter/host?names=ESXI                       -> its id, where only its machines are meant
//! GET  /api/vcenter/vm[?hosts=ID]                         who is there, who runs
//! POST /api/vcenter/vm/{vm}/guest/power?action=shutdown   asked, through VMware Tools
//! POST /api/vcenter/vm/{vm}/power?action=stop|start       cut off, started
//! GET  /api/vcenter/vm/{vm}/guest/power                   check: can it be asked at all?
//! DELETE /api/session
//! ```
//! The ESXi host under them is a step of its own, stopped by ssh after them: this API cannot switch it
//! off. Where vCenter is itself a guest there, `except` names it, and so it stops with its host.
//!
//! The account needs `Virtual machine > Interaction > Power on` and `Power off` on the machines; the API
//! does not say whether it has them, so a check sees the login and the machines, and not that right.
//!
//! Source: vSphere Automation API 7.0 U2 to 8.0, <https://developer.broadcom.com/xapis/vsphere-automation-api/latest/>.

use super::action::{Accepted, Problem, Sent, printable};
use super::device::Tools;
use super::guests::{self, Guest, Hypervisor};
use super::https::{Answer, Ask, Client, secret};
use super::permit::{Armed, Checked};
use hyper::Method;
use room::site::act::vsphere::VsphereAction;
use serde::Deserialize;
use std::fmt::Write as _;

/// Most guests of one list; vCenter itself answers with no more than 4,000.
const MAX_GUESTS: usize = 4000;
/// Guests that a check looks at one by one.
const MAX_CHECKED: usize = 64;
/// Longest id of a session, a host or a machine.
const MAX_ID: usize = 128;

struct Vcenter<'a> {
    action: &'a VsphereAction,
    client: Client,
    /// The host whose machines are meant.
    host: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ListedHost {
    host: String,
    name: String,
}

#[derive(Debug, Deserialize)]
struct ListedVm {
    vm: String,
    name: String,
    power_state: String,
}

#[derive(Debug, Deserialize)]
struct GuestPower {
    #[serde(default)]
    operations_ready: bool,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    #[serde(default)]
    error_type: String,
    #[serde(default)]
    messages: Vec<Message>,
}

#[derive(Debug, Deserialize)]
struct Message {
    #[serde(default)]
    default_message: String,
}

/// Logs in and sees whether every guest is there and can be asked. Changes nothing.
///
/// # Errors
/// [`Problem`] naming the guests that cannot be asked.
pub(super) async fn check(action: &VsphereAction, _permit: Checked) -> Result<(), Problem> {
    let vcenter = Vcenter::open(action).await?;
    let checked = vcenter.check().await;
    vcenter.close().await;
    checked
}

pub(super) async fn request(
    action: &VsphereAction,
    tools: &Tools,
    permit: Armed,
    sent: &Sent,
) -> Result<Accepted, Problem> {
    let vcenter = Vcenter::open(action).await?;
    let result = guests::request(&vcenter, action.verb, &action.guests, tools.notes(), permit, sent).await;
    vcenter.close().await;
    result
}

pub(super) async fn seen(action: &VsphereAction, tools: &Tools) -> Result<(), Problem> {
    let vcenter = Vcenter::open(action).await?;
    let result = guests::seen(&vcenter, action.verb, &action.guests, tools.notes()).await;
    vcenter.close().await;
    result
}

impl<'a> Vcenter<'a> {
    async fn open(action: &'a VsphereAction) -> Result<Self, Problem> {
        let password = secret(&action.password_file)?;
        let mut login = Client::of(&action.server).await?;
        login.basic(&action.user, &password)?;
        let answer = login.ask(Ask::new(Method::POST, "/api/session")).await?;
        let session: String = good(action, answer, "login")?.json()?;
        if session.is_empty() || session.len() > MAX_ID {
            return Err(Problem::passing(format!(
                "{}: the login brought no session",
                action.server.addr
            )));
        }
        // From here on the password is not needed, and not sent.
        let mut client = Client::of(&action.server).await?;
        client.always("vmware-api-session-id", &session)?;
        let mut vcenter = Self {
            action,
            client,
            host: None,
        };
        if let Some(name) = &action.esxi {
            match vcenter.host(name).await {
                Ok(host) => vcenter.host = Some(host),
                Err(problem) => {
                    vcenter.close().await;
                    return Err(problem);
                }
            }
        }
        Ok(vcenter)
    }

    /// vCenter takes some hundred sessions of one account; they end by themselves when idle.
    async fn close(&self) {
        let _ = self.client.ask(Ask::new(Method::DELETE, "/api/session")).await;
    }

    async fn host(&self, name: &str) -> Result<String, Problem> {
        let path = format!("/api/vcenter/host?names={}", encoded(name));
        let hosts: Vec<ListedHost> = self.get(&path).await?;
        let found = hosts.into_iter().find(|host| host.name == name);
        found.map(|host| host.host).filter(|id| is_id(id)).ok_or_else(|| {
            Problem::passing(format!(
                "{}: vCenter has no host {name}; see `esxi` in the site file",
                self.action.server.addr
            ))
        })
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, Problem> {
        let answer = self.client.ask(Ask::get(path)).await?;
        good(self.action, answer, path)?.json()
    }

    async fn check(&self) -> Result<(), Problem> {
        let found = guests::chosen(self, &self.action.guests.which).await?;
        let mut mute = Vec::new();
        for guest in found.iter().filter(|guest| guest.runs).take(MAX_CHECKED) {
            let path = format!("/api/vcenter/vm/{}/guest/power", guest.id);
            let power: GuestPower = self.get(&path).await?;
            if !power.operations_ready {
                mute.push(guest.name.as_str());
            }
        }
        if mute.is_empty() || self.action.verb != room::outage::Verb::Stop {
            return Ok(());
        }
        Err(Problem::passing(format!(
            "VMware Tools do not run in {}: it cannot be asked to shut down",
            guests::some(&mute)
        )))
    }

    /// Tells a guest something; that it is so already is as good.
    async fn tell(&self, guest: &Guest, path: &str) -> Result<(), Problem> {
        let path = format!("/api/vcenter/vm/{}/{path}", guest.id);
        let answer = self.client.ask(Ask::new(Method::POST, &path)).await?;
        if answer.status == 400
            && answer
                .json::<Refusal>()
                .is_ok_and(|refusal| refusal.error_type == "ALREADY_IN_DESIRED_STATE")
        {
            return Ok(());
        }
        good(self.action, answer, &guest.name).map(drop)
    }
}

impl Hypervisor for Vcenter<'_> {
    fn name(&self) -> String {
        format!("vsphere {}", self.action.server.addr)
    }

    async fn list(&self) -> Result<Vec<Guest>, Problem> {
        let path = match &self.host {
            Some(host) => format!("/api/vcenter/vm?hosts={host}"),
            None => "/api/vcenter/vm".to_owned(),
        };
        let listed: Vec<ListedVm> = self.get(&path).await?;
        // A host may be empty; a vCenter without a single machine is an account without rights.
        if listed.is_empty()
            && (self.host.is_none() || self.get::<Vec<ListedVm>>("/api/vcenter/vm").await?.is_empty())
        {
            return Err(Problem::passing(format!(
                "{}: the account {} sees no machine at all: it needs Read-only and Virtual machine > Interaction > \
                 Power on and Power off",
                self.action.server.addr, self.action.user
            )));
        }
        if listed.len() > MAX_GUESTS {
            return Err(Problem::passing(format!(
                "vCenter lists more than {MAX_GUESTS} machines"
            )));
        }
        listed
            .into_iter()
            .map(|vm| {
                if !is_id(&vm.vm) {
                    return Err(Problem::passing(format!(
                        "vCenter lists a machine in a form that we do not know: {}",
                        printable(vm.vm.as_bytes(), 80)
                    )));
                }
                Ok(Guest {
                    // One that is suspended needs no power, and loses nothing.
                    runs: vm.power_state == "POWERED_ON",
                    id: vm.vm,
                    name: vm.name,
                })
            })
            .collect()
    }

    async fn shut_down(&self, guest: &Guest) -> Result<(), Problem> {
        self.tell(guest, "guest/power?action=shutdown").await
    }

    async fn switch_off(&self, guest: &Guest) -> Result<(), Problem> {
        self.tell(guest, "power?action=stop").await
    }

    async fn start(&self, guest: &Guest) -> Result<(), Problem> {
        self.tell(guest, "power?action=start").await
    }
}

/// An answer that is no error, or vCenter's own words.
fn good(action: &VsphereAction, answer: Answer, what: &str) -> Result<Answer, Problem> {
    if let Ok(refusal) = answer.json::<Refusal>()
        && !answer.status.is_success()
    {
        let words = refusal
            .messages
            .first()
            .map(|message| message.default_message.as_str());
        let advice = match refusal.error_type.as_str() {
            "UNAUTHENTICATED" => "; see the account and its file",
            "UNAUTHORIZED" => {
                "; the account lacks Virtual machine > Interaction > Power on and Power off there"
            }
            "SERVICE_UNAVAILABLE" => "; VMware Tools do not run in it",
            _ => "",
        };
        return Err(Problem::passing(format!(
            "{}: {what}: {} {}{advice}",
            action.server.addr,
            printable(refusal.error_type.as_bytes(), 64),
            printable(words.unwrap_or_default().as_bytes(), 160)
        )));
    }
    answer.good(what)
}

/// Ids go into paths as they are.
fn is_id(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_ID
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_:.".contains(&byte))
}

/// A text in a query (RFC 3986 2.1).
fn encoded(text: &str) -> String {
    let mut written = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            written.push(char::from(byte));
        } else {
            let _ = write!(written, "%{byte:02X}");
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_stand_in_a_query_and_ids_in_a_path() {
        assert_eq!(encoded("esxi 1/ä"), "esxi%201%2F%C3%A4");
        assert!(is_id("vm-42") && is_id("host-1012"));
        for bad in ["", "vm-1/../x", "vm?x", "vm 1", "%2f"] {
            assert!(!is_id(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_query_holds_nothing_but_what_may_stand_there(text in "\\PC{0,60}") {
            prop_assert!(encoded(&text).bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte)));
        }
    }
}
