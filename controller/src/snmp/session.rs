//! One device over time: which profile it has, what it was found to lack, and the next reading.
//!
//! ```text
//! unknown --sysObjectID and probes--> known profile --poll--> Reading
//!    ^--- sysObjectID or serial number changed, nothing of the profile answers ---+
//! ```
//!
//! Identity is read again with every poll, so that a swapped card is noticed at once.

use super::{Client, Error, Oid, Plan, Target, Value};
use room::device::{FactValue, PollFailure, Reading};
use room::profile::{Kind, Library, Profile, SYS_OBJECT_ID};
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

/// One reading takes at most so many times the longest exchange of one packet, and never more
/// than [`READING_MAX`]: a device that answers every packet at the last moment must end too.
const EXCHANGES_PER_READING: u32 = 4;
const READING_MAX: Duration = Duration::from_secs(60);
/// Identity may change between two packets of one reading; twice in one reading is noise.
const DETECTIONS_PER_READING: usize = 2;

/// Which profiles a device may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The best fitting one.
    Any,
    /// The best fitting one, if it is a UPS's.
    Ups,
    /// This one.
    Named(String),
}

/// What is known of one device.
#[derive(Debug)]
pub struct Session {
    client: Client,
    library: Arc<Library>,
    target: Target,
    wanted: Wanted,
    known: Option<Known>,
}

#[derive(Debug)]
struct Known {
    profile: Arc<Profile>,
    /// The profile's variables, then sysObjectID.
    plan: Plan,
    sys_object_id: Option<Oid>,
    serial: Option<String>,
}

impl Session {
    /// Of a device nothing is known about yet.
    #[must_use]
    pub fn new(client: Client, library: Arc<Library>, target: Target, wanted: Wanted) -> Self {
        Self {
            client,
            library,
            target,
            wanted,
            known: None,
        }
    }

    /// The profile in use.
    #[must_use]
    pub fn profile(&self) -> Option<&Arc<Profile>> {
        self.known.as_ref().map(|known| &known.profile)
    }

    /// Detects again with the next reading, and asks again for what the device lacked.
    pub fn forget(&mut self) {
        self.known = None;
    }

    /// Reads the device.
    ///
    /// # Errors
    /// [`PollFailure`]; nothing of the device is believed then.
    pub async fn read(&mut self) -> Result<Reading, PollFailure> {
        let one_exchange: u32 = (0..=u32::from(self.target.retries)).map(|n| 1 << n.min(2)).sum();
        let deadline = (self.target.timeout * one_exchange * EXCHANGES_PER_READING).min(READING_MAX);
        match tokio::time::timeout(deadline, self.read_in_time()).await {
            Ok(result) => result,
            Err(_) => Err(PollFailure::Timeout),
        }
    }

    async fn read_in_time(&mut self) -> Result<Reading, PollFailure> {
        for _ in 0..DETECTIONS_PER_READING {
            let known = match &mut self.known {
                Some(known) => known,
                unknown => {
                    unknown.insert(detect(&self.client, &self.library, &self.target, &self.wanted).await?)
                }
            };
            // Silence says nothing about what the device is, so a failure leaves it known; so
            // does a deadline, and what the plan learnt until then stays learnt.
            let values = self.client.ask(&mut known.plan).await;
            let values = values.map_err(|error| failure(&error))?;
            let identity = identity(values.last());
            let (values, _) = values.split_at(known.profile.oids().len());
            let reading = known.profile.decode(identity.as_ref(), values);
            let serial = match reading.fact("ups.serial").map(|fact| &fact.value) {
                Some(Ok(FactValue::Text(serial))) => Some(serial.clone()),
                _ => None,
            };
            let is_same =
                identity == known.sys_object_id && (known.serial.is_none() || serial == known.serial);
            let says_nothing = !values.iter().any(Value::is_present);
            if !is_same || (says_nothing && !matches!(self.wanted, Wanted::Named(_))) {
                self.known = None;
                continue;
            }
            known.plan.keep(&known.profile.worth_asking(values));
            known.serial = serial;
            return Ok(reading);
        }
        Err(PollFailure::Refused(
            "the device changes its identity while it is read".to_owned(),
        ))
    }
}

async fn detect(
    client: &Client,
    library: &Library,
    target: &Target,
    wanted: &Wanted,
) -> Result<Known, PollFailure> {
    let mut oids = library.probes();
    oids.push(sys_object_id());
    let answer = client.get(target, &oids).await;
    let answer = answer.map_err(|error| failure(&error))?;
    let present = |oid: &Oid| {
        answer
            .iter()
            .any(|(name, value)| name == oid && value.is_present())
    };
    let identity = identity(answer.last().map(|(_, value)| value));
    let profile = match wanted {
        Wanted::Named(name) => library.get(name),
        Wanted::Any => library.detect(identity.as_ref(), present),
        Wanted::Ups => library
            .detect(identity.as_ref(), present)
            .filter(|profile| profile.kind() == Kind::Ups),
    };
    let profile = Arc::clone(profile.ok_or(PollFailure::NoProfile)?);
    let mut oids = profile.oids().to_vec();
    oids.push(sys_object_id());
    Ok(Known {
        plan: Plan::new(target, &oids),
        sys_object_id: identity,
        serial: None,
        profile,
    })
}

fn sys_object_id() -> Oid {
    SYS_OBJECT_ID.parse().expect("a constant in dotted form")
}

/// Some cards answer their sysObjectID as text.
fn identity(value: Option<&Value>) -> Option<Oid> {
    match value? {
        Value::Oid(oid) => Some(oid.clone()),
        Value::Bytes(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok(),
        _ => None,
    }
}

fn failure(error: &Error) -> PollFailure {
    let cause = error
        .source()
        .map_or_else(|| error.to_string(), ToString::to_string);
    match error {
        Error::Timeout { .. } => PollFailure::Timeout,
        Error::Bind(_) | Error::Send { .. } => PollFailure::Unreachable(cause),
        Error::Refused { .. } | Error::Status { .. } | Error::NotIncreasing { .. } | Error::Limit { .. } => {
            PollFailure::Refused(cause)
        }
    }
}
