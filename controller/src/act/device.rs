//! Action `device`: tells a device of the site what the site allows, and looks whether it did it.
//!
//! ```text
//! reading: is it there, which model?  -> the model's command -> holds already? -> nothing is written
//!   -> write, each once -> answered | refused | nobody knows
//!   -> readings until the command's fact holds, or its time is over
//! ```
//! What counts is what the device shows afterwards, never that an answer came: an answer that was
//! lost is made good by the fact, and an answer that came does not stand for it. What may not be
//! said twice (a test, an outlet's cycle) is sent in one packet and never again.
//!
//! The credential for writing is read from its file for each command; only this role can.

use super::action::{Accepted, Problem, Sent};
use super::notes::Notes;
use super::permit::{Armed, Checked};
use crate::core::source::poll::Means;
use crate::modbus::{self, NotWritten};
use crate::nut::{self, NotTold};
use crate::profiles;
use crate::snmp::{self, Target};
use room::command::{Done, Name};
use room::device::{PollFailure, Reading};
use room::profile::action::{Confirm, Told};
use room::profile::{Library, Place, Value};
use room::site::link::{Link, NutLink, SnmpAccess};
use room::site::write::Write;
use room::site::{Device, DeviceAction, Secret, Site, World};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// Time between two looks at a device.
pub const LOOK_EVERY: Duration = Duration::from_millis(300);
/// Time in which what was written must read back.
pub const READ_BACK_WITHIN: Duration = Duration::from_secs(5);
/// Largest file with a community, in bytes.
const COMMUNITY_MAX: u64 = 256;

/// The devices that may be told something, and what they are told with.
#[derive(Debug)]
pub struct Tools {
    devices: BTreeMap<String, Device>,
    library: Arc<Library>,
    means: OnceCell<Means>,
    snmp: OnceCell<snmp::Client>,
    notes: Notes,
}

/// Why a device was not told, or what is not known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It has not happened.
    Refused(Problem),
    /// It may have happened.
    Unknown(Problem),
}

/// How far a command came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Seen to have happened.
    Seen(String),
    /// Taken; to be looked for.
    Taken,
    /// Taken, and nobody can look.
    Blind,
}

impl Tools {
    /// Those of a site. Opens nothing.
    #[must_use]
    pub fn of<W: World>(site: &Site<W>) -> Self {
        let told = site.devices.iter().filter(|device| !device.commands.is_empty());
        let devices: BTreeMap<_, _> = told.map(|device| (device.name.clone(), device.clone())).collect();
        let library = if devices.is_empty() {
            Library::builtin()
        } else {
            profiles::library(site.profiles_dir.as_deref()).0
        };
        Self {
            devices,
            library: Arc::new(library),
            means: OnceCell::new(),
            snmp: OnceCell::new(),
            notes: Notes::in_folder(site.data_dir.join("act")),
        }
    }

    /// What is remembered of guests that were stopped.
    pub(super) const fn notes(&self) -> &Notes {
        &self.notes
    }

    /// The device, if the site allows it to be told this.
    ///
    /// # Errors
    /// A lasting [`Problem`].
    pub fn allowed(&self, device: &str, command: Name) -> Result<&Device, Problem> {
        let found = self.devices.get(device);
        found
            .filter(|device| device.commands.contains(&command))
            .ok_or_else(|| Problem::lasting(format!("the site does not allow {device} to be told {command}")))
    }

    async fn means(&self) -> Result<&Means, Problem> {
        self.means
            .get_or_try_init(|| Means::open(Arc::clone(&self.library)))
            .await
            .map_err(|error| Problem::passing(format!("{error}")))
    }

    async fn snmp(&self) -> Result<&snmp::Client, Problem> {
        self.snmp
            .get_or_try_init(snmp::Client::bind)
            .await
            .map_err(|error| Problem::passing(format!("{error}")))
    }

    /// A reading of the device, with the credential for writing.
    async fn read(&self, device: &Device) -> Result<Reading, Problem> {
        let mut conversation = self.means().await?.converse(device);
        conversation.read().await.map_err(|failure| {
            let why = match failure {
                PollFailure::Timeout => "does not answer".to_owned(),
                PollFailure::NoProfile => "is of no model that we know".to_owned(),
                PollFailure::Unreachable(why) | PollFailure::Refused(why) | PollFailure::Stale(why) => why,
            };
            Problem::passing(format!("{}: {why}", device.name))
        })
    }
}

/// Sees whether the device is there, answers to the credential for writing, and has the command.
///
/// # Errors
/// [`Problem`].
pub async fn check<A: Sync>(
    action: &DeviceAction<A>,
    tools: &Tools,
    _permit: Checked,
) -> Result<(), Problem> {
    let device = tools.allowed(&action.device, action.command)?;
    let device = with_write(device)?;
    let reading = tools.read(&device).await?;
    if let Link::Snmp(_) | Link::Modbus(_) = device.link {
        told(tools, &reading, action.command, action.value)?;
    }
    Ok(())
}

/// Tells the device.
///
/// # Errors
/// [`Problem`]; what is not known is said so in it.
pub async fn request<A: Sync>(
    action: &DeviceAction<A>,
    tools: &Tools,
    permit: Armed,
    sent: &Sent,
) -> Result<Accepted, Problem> {
    match tell(tools, &action.device, action.command, action.value, permit, sent).await {
        Ok(Step::Seen(_) | Step::Blind) => Ok(Accepted::Succeeded),
        // Taken or not: only the device can say now.
        Ok(Step::Taken) | Err(Trouble::Unknown(_)) => Ok(Accepted::ToBeSeen),
        Err(Trouble::Refused(problem)) => Err(problem),
    }
}

/// Looks until the device shows that it did what it was told.
///
/// # Errors
/// [`Problem`]: it does not, in the command's time.
pub async fn seen<A: Sync>(action: &DeviceAction<A>, tools: &Tools) -> Result<String, Problem> {
    look(tools, &action.device, action.command, action.value).await
}

/// What an operator ordered, from beginning to end.
pub async fn operate(
    tools: &Tools,
    device: &str,
    command: Name,
    value: Option<i64>,
    permit: Armed,
    sent: &Sent,
) -> Done {
    let doubt = match tell(tools, device, command, value, permit, sent).await {
        Ok(Step::Seen(seen)) => return Done::Confirmed { seen },
        Ok(Step::Blind) => return Done::Accepted,
        Ok(Step::Taken) => None,
        Err(Trouble::Refused(problem)) => {
            return Done::Refused {
                problem: problem.text,
            };
        }
        Err(Trouble::Unknown(problem)) => Some(problem.text),
    };
    match look(tools, device, command, value).await {
        Ok(seen) => Done::Confirmed { seen },
        Err(problem) => Done::Unknown {
            problem: match doubt {
                Some(doubt) => format!("{doubt}; {}", problem.text),
                None => format!("it accepted the command, but {}", problem.text),
            },
        },
    }
}

/// Writes what the command says, unless it holds already.
pub(super) async fn tell(
    tools: &Tools,
    device: &str,
    command: Name,
    value: Option<i64>,
    _permit: Armed,
    sent: &Sent,
) -> Result<Step, Trouble> {
    let device = tools.allowed(device, command).map_err(Trouble::Refused)?;
    let device = with_write(device).map_err(Trouble::Refused)?;
    let reading = tools.read(&device).await.map_err(Trouble::Refused)?;
    if let Link::Nut(link) = &device.link {
        return tell_nut(link, &device, command, value, sent).await;
    }
    let told = told(tools, &reading, command, value).map_err(Trouble::Refused)?;
    if let Some(seen) = holds(tools, &device, &reading, &told).await {
        if command.known().repeatable {
            return Ok(Step::Seen(format!("{seen}, before anything was written")));
        }
        let problem = format!("{}: {seen} already; it is not told again", device.name);
        return Err(Trouble::Refused(Problem::lasting(problem)));
    }
    for (index, (place, value)) in told.writes.iter().enumerate() {
        let written = match (&device.link, place) {
            (Link::Snmp(_), Place::Oid(oid)) => set(tools, &device, command, oid, value, sent).await,
            (Link::Modbus(link), Place::Register(register)) => {
                let number = value.as_integer().and_then(|number| i64::try_from(number).ok());
                let words = number.and_then(|number| register.words_of(number));
                let words = words.ok_or_else(|| {
                    let problem = format!("{value} does not fit {}", register.address);
                    Trouble::Refused(Problem::lasting(problem))
                })?;
                let timeout = Duration::from_millis(device.timeout.0);
                let line = modbus::Line::from(&link.line);
                modbus::write(&line, link.unit, register.address, &words, timeout, || sent.set())
                    .await
                    .map_err(|error| match error {
                        NotWritten::Unsent { .. } => Trouble::Refused(Problem::passing(error.to_string())),
                        NotWritten::Refused { .. } => Trouble::Refused(Problem::lasting(error.to_string())),
                        NotWritten::Unknown { .. } => Trouble::Unknown(Problem::passing(error.to_string())),
                    })
            }
            _ => Err(Trouble::Refused(Problem::lasting(format!(
                "{}: the command {command} is of another protocol",
                device.name
            )))),
        };
        match written {
            Ok(()) => {}
            // What was set before is only a setting; the command itself is the last write.
            Err(Trouble::Unknown(problem)) if index + 1 < told.writes.len() => {
                return Err(Trouble::Refused(problem));
            }
            Err(trouble) => return Err(trouble),
        }
    }
    match told.confirm {
        Confirm::Answered => Ok(Step::Blind),
        _ => Ok(Step::Taken),
    }
}

async fn set(
    tools: &Tools,
    device: &Device,
    command: Name,
    oid: &snmp::Oid,
    value: &Value,
    sent: &Sent,
) -> Result<(), Trouble> {
    let client = tools.snmp().await.map_err(Trouble::Refused)?;
    let mut target = target(device).map_err(Trouble::Refused)?;
    if !command.known().repeatable {
        target.retries = 0;
    }
    sent.set();
    client
        .set(&target, oid, value)
        .await
        .map_err(|error| match error {
            snmp::Error::Bind(_) | snmp::Error::Send { .. } => {
                Trouble::Refused(Problem::passing(chain(&error)))
            }
            snmp::Error::Status { status, .. } => Trouble::Refused(Problem::lasting(format!(
                "{}: {} refused: {}",
                device.name,
                oid,
                status_words(status)
            ))),
            error => Trouble::Unknown(Problem::passing(chain(&error))),
        })
}

/// RFC 3416 3, for people.
fn status_words(status: u32) -> String {
    let words = match status {
        2 => "it has no such object (noSuchName)",
        3 | 7 | 8 | 10 => "it does not take this value",
        4 => "it can only be read",
        6 => "the credential may not write it (noAccess)",
        16 => "the credential may not write it (authorizationError)",
        17 => "it can only be read (notWritable)",
        _ => return format!("error-status {status}"),
    };
    words.to_owned()
}

async fn tell_nut(
    link: &NutLink,
    device: &Device,
    command: Name,
    value: Option<i64>,
    sent: &Sent,
) -> Result<Step, Trouble> {
    let mut variables = Vec::new();
    if let Some(value) = value {
        if !command.known().pattern.starts_with("shutdown.") {
            let problem = format!("{command} takes no value");
            return Err(Trouble::Refused(Problem::lasting(problem)));
        }
        variables.push(("ups.delay.shutdown", value.to_string()));
    }
    let timeout = Duration::from_millis(device.timeout.0);
    let told = nut::tell(link, &variables, &command.to_string(), timeout, || sent.set()).await;
    match told {
        Ok(nut::Told::Done) => Ok(Step::Seen("the driver says that it is done".to_owned())),
        Ok(nut::Told::Taken) => Ok(Step::Blind),
        Err(NotTold::Refused(problem)) => Err(Trouble::Refused(Problem::passing(problem))),
        Err(NotTold::Unknown(problem)) => Err(Trouble::Unknown(Problem::passing(problem))),
    }
}

/// Looks until the command's confirmation holds; what was seen.
async fn look(tools: &Tools, device: &str, command: Name, value: Option<i64>) -> Result<String, Problem> {
    let device = with_write(tools.allowed(device, command)?)?;
    if let Link::Nut(_) | Link::Megatec(_) = device.link {
        return Err(Problem::passing("nothing of the device shows whether it did it"));
    }
    let begun = Instant::now();
    let mut until = begun + READ_BACK_WITHIN;
    let mut last = "it was not heard since".to_owned();
    loop {
        match tools.read(&device).await {
            Ok(reading) => {
                let told = told(tools, &reading, command, value)?;
                if let Confirm::Fact { name, within_s, .. } = &told.confirm {
                    until = begun + Duration::from_secs(u64::from(told.delay_s) + u64::from(*within_s));
                    let now = reading.fact(name).map_or("nothing", |fact| match &fact.value {
                        Ok(room::device::FactValue::State(word)) => word,
                        _ => "nothing of use",
                    });
                    last = format!("{name} says {now}");
                } else {
                    "it does not read back".clone_into(&mut last);
                }
                if let Some(seen) = holds(tools, &device, &reading, &told).await {
                    return Ok(seen);
                }
            }
            Err(problem) => last = problem.text,
        }
        if Instant::now() + LOOK_EVERY > until {
            return Err(Problem::passing(format!("{}: {last}", device.name)));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What shows that the command has happened; `None` when nothing does.
async fn holds(tools: &Tools, device: &Device, reading: &Reading, told: &Told) -> Option<String> {
    let (place, written) = told.writes.last()?;
    let counts = match &told.confirm {
        Confirm::Fact { name, is, .. } => {
            let word = reading.state(name)?;
            return is
                .iter()
                .any(|wanted| wanted == word)
                .then(|| format!("{name} is {word}"));
        }
        Confirm::Answered => return None,
        Confirm::Written => false,
        Confirm::Counting => true,
    };
    let (Place::Oid(oid), Link::Snmp(_)) = (place, &device.link) else {
        return None;
    };
    let answer = tools
        .snmp()
        .await
        .ok()?
        .get(&target(device).ok()?, std::slice::from_ref(oid))
        .await
        .ok()?;
    let (_, there) = answer.first()?;
    let is_so = match (there.as_integer(), written.as_integer()) {
        (Some(there), Some(written)) if counts => (0..=written).contains(&there),
        (Some(there), Some(written)) => there == written,
        _ => !counts && there == written,
    };
    is_so.then(|| format!("{oid} reads {there}"))
}

fn told(tools: &Tools, reading: &Reading, command: Name, value: Option<i64>) -> Result<Told, Problem> {
    let profile = tools
        .library
        .get(&reading.profile)
        .ok_or_else(|| Problem::lasting(format!("there is no profile {}", reading.profile)))?;
    profile
        .told(command, value)
        .map_err(|why| Problem::lasting(why.to_string()))
}

fn target(device: &Device) -> Result<Target, Problem> {
    let Link::Snmp(link) = &device.link else {
        return Err(Problem::lasting("it does not speak SNMP"));
    };
    let timeout = Duration::from_millis(device.timeout.0);
    Target::of(link, timeout, device.retries).map_err(|error| Problem::lasting(chain(&error)))
}

/// The device as it is reached by who may write.
fn with_write(device: &Device) -> Result<Device, Problem> {
    let mut device = device.clone();
    match (&mut device.link, &device.write) {
        (Link::Snmp(link), Some(Write::Community(file))) => {
            let community = community(file)?;
            link.access = match link.access {
                SnmpAccess::V1(_) => SnmpAccess::V1(community),
                SnmpAccess::V2c(_) | SnmpAccess::V3(_) => SnmpAccess::V2c(community),
            };
        }
        (Link::Snmp(link), Some(Write::User(user))) => link.access = SnmpAccess::V3(user.clone()),
        (Link::Nut(link), Some(Write::Login(user, file))) => {
            private(file)?;
            link.login = Some((user.clone(), file.clone()));
        }
        (Link::Modbus(_) | Link::Megatec(_), None) => {}
        _ => {
            let problem = format!("{}: [device.write] is not of its protocol", device.name);
            return Err(Problem::lasting(problem));
        }
    }
    Ok(device)
}

/// Refuses a file that others can read.
fn private(path: &Path) -> Result<std::fs::Metadata, Problem> {
    let at = path.display();
    let meta =
        std::fs::metadata(path).map_err(|error| Problem::of_file(format_args!("the file {at}"), &error))?;
    if meta.mode() & 0o077 != 0 {
        return Err(Problem::lasting(format!(
            "the file {at} can be read by others (mode {:04o}); chmod 600 it",
            meta.mode() & 0o7777
        )));
    }
    Ok(meta)
}

fn community(path: &Path) -> Result<Secret, Problem> {
    let at = path.display();
    if private(path)?.len() > COMMUNITY_MAX {
        return Err(Problem::lasting(format!(
            "the file {at} is larger than {COMMUNITY_MAX} bytes"
        )));
    }
    let text = std::fs::read_to_string(path)
        .map_err(|error| Problem::of_file(format_args!("the file {at}"), &error))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(Problem::lasting(format!("the file {at} is empty")));
    }
    Ok(Secret(text.to_owned()))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
