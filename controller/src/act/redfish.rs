//! Action `redfish`: the management controller of a server switches it.
//!
//! ```text
//! login -> the system -> is so already? -> nothing is sent
//!                           | no
//!                        Actions.#ComputerSystem.Reset -> PowerState until it is so
//! ```
//! After DMTF's DSP0266 (1.20) and the schemas ComputerSystem, Session and ActionInfo. What counts
//! is the PowerState that is seen afterwards, never that a request was taken. A path that the
//! controller names is followed only below `/redfish/v1/` of the same controller. A session is
//! closed again, also after a failure: a controller has few of them.

use super::action::{Accepted, Problem, Sent, printable};
use super::https::{Answer, Ask, Client, secret};
use super::permit::{Armed, Checked};
use hyper::Method;
use room::site::act::redfish::{Auth, RedfishAction, Reset};
use serde_json::{Value as Json, json};
use std::time::Duration;

/// Time between two looks at the PowerState.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looks at the most: more than fit into the longest budget of a step, two hours.
const MAX_LOOKS: u32 = 7200;
/// Where everything of a controller is (DSP0266, 6.2).
const ROOT: &str = "/redfish/v1/";
/// Longest path that a controller may name.
const MAX_PATH: usize = 512;
/// Systems of one controller that are named in a message.
const MAX_NAMED: usize = 8;

/// Logs in and sees whether the system is there, shows whether it is on, and takes that reset.
///
/// # Errors
/// [`Problem`] with what to do about it.
pub(super) async fn check(action: &RedfishAction, _permit: Checked) -> Result<(), Problem> {
    let talk = Talk::open(action).await?;
    let checked = async {
        let system = talk.system().await?;
        system.power()?;
        let (_, allowed) = system.reset()?;
        let allowed = match (allowed, system.action_info()) {
            (None, Some(info)) => values_of(&talk.get(&inside(info)?, "reading what a reset can be").await?),
            (allowed, _) => allowed,
        };
        takes(action, allowed.as_deref())
    }
    .await;
    talk.close().await;
    checked
}

/// Tells the system, unless it is so already.
///
/// # Errors
/// [`Problem`].
pub(super) async fn request(action: &RedfishAction, permit: Armed, sent: &Sent) -> Result<Accepted, Problem> {
    let talk = Talk::open(action).await?;
    let told = async {
        let system = talk.system().await?;
        if !is_needed(action.reset, system.power()?) {
            return Ok(Accepted::ToBeSeen);
        }
        let (target, allowed) = system.reset()?;
        takes(action, allowed.as_deref())?;
        talk.reset(&target, permit, sent).await?;
        Ok(Accepted::ToBeSeen)
    }
    .await;
    talk.close().await;
    told
}

/// Looks until the system shows that it is so.
///
/// # Errors
/// [`Problem`]: it does not, in two hours; the caller's patience is shorter.
pub(super) async fn seen(action: &RedfishAction) -> Result<(), Problem> {
    let mut last = Problem::passing(format!("{}: never looked", action.server.addr));
    for look in 0..MAX_LOOKS {
        if look > 0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        match power(action).await {
            Ok(Power::On) if action.reset.is_on() => return Ok(()),
            Ok(Power::Off) if !action.reset.is_on() => return Ok(()),
            Ok(power) => last = Problem::passing(format!("{}: PowerState is {power:?}", action.server.addr)),
            // It may be about to change; only its word ends the watch.
            Err(problem) => last = problem,
        }
    }
    Err(last)
}

async fn power(action: &RedfishAction) -> Result<Power, Problem> {
    let talk = Talk::open(action).await?;
    let power = talk.system().await.and_then(|system| system.power());
    talk.close().await;
    power
}

/// `PowerState` (schema Resource).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Power {
    On,
    Off,
    PoweringOn,
    PoweringOff,
    /// On, without work being done.
    Paused,
}

/// Whether there is anything to ask for. A server that is shutting down is not asked a second time:
/// the second press of a power button can mean another thing. Cutting its power is another matter.
fn is_needed(reset: Reset, power: Power) -> bool {
    match reset {
        Reset::On => !matches!(power, Power::On | Power::PoweringOn),
        Reset::GracefulShutdown => !matches!(power, Power::Off | Power::PoweringOff),
        Reset::ForceOff => power != Power::Off,
    }
}

fn takes(action: &RedfishAction, allowed: Option<&[String]>) -> Result<(), Problem> {
    let wanted = action.reset.name();
    match allowed {
        Some(allowed) if !allowed.iter().any(|value| value == wanted) => Err(Problem::passing(format!(
            "{}: the system takes no reset {wanted}, only {}",
            action.server.addr,
            printable(allowed.join(", ").as_bytes(), 160)
        ))),
        // A controller need not list them; then its answer tells.
        _ => Ok(()),
    }
}

/// A controller that we are logged in to.
struct Talk<'a> {
    action: &'a RedfishAction,
    client: Client,
    /// Path of the session, to close it.
    session: Option<String>,
}

/// The resource of a system.
struct System {
    from: String,
    json: Json,
}

impl<'a> Talk<'a> {
    async fn open(action: &'a RedfishAction) -> Result<Self, Problem> {
        let password = secret(&action.password_file)?;
        let mut client = Client::of(&action.server).await?;
        let session = match action.auth {
            Auth::Basic => {
                client.basic(&action.user, &password)?;
                None
            }
            Auth::Session => {
                let login = json!({"UserName": action.user, "Password": password.as_str()});
                let ask = Ask::post(format!("{ROOT}SessionService/Sessions"), &login);
                let answer = good(client.ask(odata(ask)?).await?, "logging in")?;
                let token = answer.header("x-auth-token").ok_or_else(|| {
                    Problem::passing(format!(
                        "{}: the login brought no token; try auth = \"basic\"",
                        action.server.addr
                    ))
                })?;
                client.always("x-auth-token", token)?;
                answer
                    .header("location")
                    .and_then(|path| inside(below_host(path)).ok())
            }
        };
        Ok(Self {
            action,
            client,
            session,
        })
    }

    async fn close(self) {
        let Some(path) = self.session else { return };
        // One that cannot be closed ends by itself after some minutes.
        if let Ok(ask) = odata(Ask::new(Method::DELETE, path))
            && let Err(problem) = self.client.ask(ask).await
        {
            tracing::debug!(problem = problem.text, "a session was left open");
        }
    }

    async fn get(&self, path: &str, what: &str) -> Result<Json, Problem> {
        good(self.client.ask(odata(Ask::get(path))?).await?, what)?.json()
    }

    /// The system that the site names, or the only one.
    async fn system(&self) -> Result<System, Problem> {
        let from = self.action.server.addr.to_string();
        let path = match &self.action.system {
            Some(id) => format!("{ROOT}Systems/{id}"),
            None => self.only_system(&from).await?,
        };
        let json = self.get(&path, &format!("reading {path}")).await?;
        Ok(System { from, json })
    }

    async fn only_system(&self, from: &str) -> Result<String, Problem> {
        let list = self.get(&format!("{ROOT}Systems"), "listing the systems").await?;
        let members = list.get("Members").and_then(Json::as_array);
        let paths: Vec<&str> = members
            .into_iter()
            .flatten()
            .filter_map(|member| member.get("@odata.id")?.as_str())
            .collect();
        match paths[..] {
            [one] => inside(one),
            [] => Err(Problem::passing(format!("{from}: the controller has no system"))),
            _ => {
                let ids = paths
                    .iter()
                    .take(MAX_NAMED)
                    .filter_map(|path| path.rsplit('/').next());
                let ids: Vec<&str> = ids.collect();
                Err(Problem::lasting(format!(
                    "{from}: the controller has {} systems, name one by `system`: {}",
                    paths.len(),
                    printable(ids.join(", ").as_bytes(), 160)
                )))
            }
        }
    }

    async fn reset(&self, target: &str, _permit: Armed, sent: &Sent) -> Result<(), Problem> {
        let body = json!({"ResetType": self.action.reset.name()});
        let ask = odata(Ask::post(target, &body))?;
        let what = format!("the reset {}", self.action.reset.name());
        good(self.client.tell(ask, sent).await?, &what).map(drop)
    }
}

impl System {
    fn power(&self) -> Result<Power, Problem> {
        let word = self.json.get("PowerState").and_then(Json::as_str);
        match word {
            Some("On") => Ok(Power::On),
            Some("Off") => Ok(Power::Off),
            Some("PoweringOn") => Ok(Power::PoweringOn),
            Some("PoweringOff") => Ok(Power::PoweringOff),
            Some("Paused") => Ok(Power::Paused),
            Some(other) => Err(Problem::passing(format!(
                "{}: PowerState \"{}\" is no state that we know",
                self.from,
                printable(other.as_bytes(), 40)
            ))),
            None => Err(Problem::passing(format!(
                "{}: the system does not say whether it is on (PowerState)",
                self.from
            ))),
        }
    }

    fn action(&self) -> Option<&Json> {
        self.json.get("Actions")?.get("#ComputerSystem.Reset")
    }

    /// Where a reset is asked for, and what it can be, if that stands here.
    fn reset(&self) -> Result<(String, Option<Vec<String>>), Problem> {
        let action = self.action();
        let target = action.and_then(|action| action.get("target")?.as_str());
        let target = target.ok_or_else(|| {
            Problem::passing(format!(
                "{}: the system offers no reset to this account (Actions.#ComputerSystem.Reset)",
                self.from
            ))
        })?;
        let allowed = action.and_then(|action| texts(action.get("ResetType@Redfish.AllowableValues")?));
        Ok((inside(target)?, allowed))
    }

    /// Where it stands what a reset can be, if elsewhere.
    fn action_info(&self) -> Option<&str> {
        self.action()?.get("@Redfish.ActionInfo")?.as_str()
    }
}

/// The values of `ResetType` in an ActionInfo.
fn values_of(info: &Json) -> Option<Vec<String>> {
    let parameters = info.get("Parameters")?.as_array()?;
    let reset = parameters
        .iter()
        .find(|parameter| parameter.get("Name").and_then(Json::as_str) == Some("ResetType"))?;
    texts(reset.get("AllowableValues")?)
}

fn texts(list: &Json) -> Option<Vec<String>> {
    let list = list.as_array()?.iter();
    Some(list.filter_map(|text| text.as_str().map(str::to_owned)).collect())
}

/// Some controllers refuse a request without it (DSP0266, 6.4).
fn odata(ask: Ask) -> Result<Ask, Problem> {
    ask.header("odata-version", "4.0")?
        .header("accept", "application/json")
}

/// The answer unless its status is an error; of that one the message that DSP0266 8.6 has.
fn good(mut answer: Answer, what: &str) -> Result<Answer, Problem> {
    if answer.status.is_success() {
        return Ok(answer);
    }
    let json: Option<Json> = serde_json::from_slice(&answer.body).ok();
    let error = json.as_ref().and_then(|json| json.get("error"));
    let message = error.and_then(|error| {
        let more = error
            .get("@Message.ExtendedInfo")
            .and_then(|more| more.get(0)?.get("Message"));
        more.or_else(|| error.get("message"))?.as_str()
    });
    if let Some(message) = message.map(|message| message.as_bytes().to_vec()) {
        answer.body = message;
    }
    answer.good(what)
}

/// The path of an address; services name either.
fn below_host(text: &str) -> &str {
    let Some((_, rest)) = text.split_once("://") else {
        return text;
    };
    rest.find('/').map_or("", |start| &rest[start..])
}

/// A path that the controller named, when it stays within its own service.
fn inside(path: &str) -> Result<String, Problem> {
    let good = path.starts_with(ROOT)
        && path.len() <= MAX_PATH
        && path
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"\\\"<>".contains(&byte))
        && !path.split(['/', '?', '#']).any(|part| part == "..");
    if good {
        return Ok(path.to_owned());
    }
    Err(Problem::passing(format!(
        "the controller points to \"{}\", which is outside of {ROOT}",
        printable(path.as_bytes(), 80)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_shutting_down_is_not_asked_twice_but_may_be_cut() {
        for (reset, needed) in [
            (Reset::GracefulShutdown, [true, false, true, false, true]),
            (Reset::ForceOff, [true, false, true, true, true]),
            (Reset::On, [false, true, false, true, true]),
        ] {
            let states = [
                Power::On,
                Power::Off,
                Power::PoweringOn,
                Power::PoweringOff,
                Power::Paused,
            ];
            assert_eq!(states.map(|power| is_needed(reset, power)), needed, "{reset:?}");
        }
    }

    #[test]
    fn a_controller_leads_nowhere_but_into_its_own_service() {
        for good in [
            "/redfish/v1/Systems/1",
            "/redfish/v1/Systems/437XR1138R2/Actions/ComputerSystem.Reset",
        ] {
            assert_eq!(inside(good).unwrap(), good);
        }
        for bad in [
            "",
            "/",
            "//192.0.2.1/redfish/v1/",
            "http://192.0.2.1/redfish/v1/x",
            "/redfish/v1/../../etc",
            "/redfish/v1/a b",
            "/redfish/v1/\r\nX: y",
            "/redfish/v1/é",
        ] {
            assert!(inside(bad).is_err(), "{bad}");
        }
        assert_eq!(
            below_host("https://192.0.2.1/redfish/v1/SessionService/Sessions/1"),
            "/redfish/v1/SessionService/Sessions/1"
        );
        assert_eq!(below_host("/redfish/v1/x"), "/redfish/v1/x");
        assert_eq!(below_host("https://192.0.2.1"), "");
    }
}
