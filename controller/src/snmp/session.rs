//! One device over time: which profile it has, which rows, what it was found to lack, and the
//! next reading.
//!
//! ```text
//! unknown --sysObjectID, sysDescr, probes--> profile --walk its roots--> layout --poll--> Reading
//!    ^--- identity changed, a row is gone, nothing of the profile answers, `forget` ---------+
//! ```
//!
//! Detection asks first what the device says it is, then the probes of the profiles that this
//! fits, and those of generic profiles only when none of them does: two or three packets for a
//! known maker, however many profiles there are. Polls are plain GETs of concrete instances.
//!
//! Identity is read again with every poll, so that a swapped card is noticed at once.

use super::client::COLUMNS_AT_ONCE;
use super::{Client, Error, Oid, Plan, Target, VARIABLES_PER_PACKET, Value};
use room::device::{FactValue, PollFailure, Reading};
use room::profile::{
    Identity, Kind, Layout, Library, Profile, ROWS_MAX, Rank, Roots, SYS_DESCR, SYS_OBJECT_ID,
};
use std::collections::HashMap;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

/// One reading takes at most so many times the longest exchange of one packet, and never more
/// than [`READING_MAX`]: a device that answers every packet at the last moment must end too.
const EXCHANGES_PER_READING: u32 = 4;
const READING_MAX: Duration = Duration::from_secs(60);
/// The first reading, which also finds out what the device is and has, may take so many times
/// longer; nobody waits for it but this device.
const LEARNING_FACTOR: u32 = 4;
const LEARNING_MAX: Duration = Duration::from_secs(180);
/// Identity may change between two packets of one reading; twice in one reading is noise.
const DETECTIONS_PER_READING: usize = 2;
/// Rows walked of one column. More than become facts, so that those left out can be counted.
const COLUMN_ROWS_MAX: usize = 4 * ROWS_MAX;
/// Rows walked of one device, some 3 MB.
const DEVICE_ROWS_MAX: usize = 32_768;
/// Columns that may stay unanswered in one walk of a device: some agents are silent about a
/// table they do not have. More, and the device is away.
const SILENT_COLUMNS_MAX: usize = 2;

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
    /// What was found out so far of a device that is not known yet.
    learning: Option<Learning>,
    /// A row was gone, and the rows were looked for again; once until [`Self::forget`].
    rows_renewed: bool,
}

#[derive(Debug)]
struct Known {
    profile: Arc<Profile>,
    layout: Layout,
    /// The layout's variables, then sysObjectID.
    plan: Plan,
    sys_object_id: Option<Oid>,
    serial: Option<String>,
}

/// The way to [`Known`]. It outlives the deadline of a reading: a slow device is learnt over
/// several.
#[derive(Debug)]
struct Learning {
    sys_object_id: Option<Oid>,
    profile: Arc<Profile>,
    roots: Roots,
    /// Columns already walked; `None` before the scalars were got.
    walked: Option<usize>,
    /// Columns before this one are walked one by one, the others several at once.
    singly: usize,
    rows: Vec<(Oid, Value)>,
    left_out: usize,
    silent: usize,
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
            learning: None,
            rows_renewed: false,
        }
    }

    /// The profile in use.
    #[must_use]
    pub fn profile(&self) -> Option<&Arc<Profile>> {
        self.known.as_ref().map(|known| &known.profile)
    }

    /// The layout in use: which fact each object feeds.
    #[must_use]
    pub fn layout(&self) -> Option<&Layout> {
        self.known.as_ref().map(|known| &known.layout)
    }

    /// Detects again with the next reading, looks for rows and asks again for what the device
    /// lacked.
    pub fn forget(&mut self) {
        self.known = None;
        self.learning = None;
        self.rows_renewed = false;
    }

    /// Reads the device.
    ///
    /// # Errors
    /// [`PollFailure`]; nothing of the device is believed then.
    pub async fn read(&mut self) -> Result<Reading, PollFailure> {
        let one_exchange: u32 = (0..=u32::from(self.target.retries)).map(|n| 1 << n.min(2)).sum();
        let reading = (self.target.timeout * one_exchange * EXCHANGES_PER_READING).min(READING_MAX);
        let deadline = match self.known {
            Some(_) => reading,
            None => (reading * LEARNING_FACTOR).min(LEARNING_MAX),
        };
        match tokio::time::timeout(deadline, self.read_in_time()).await {
            Ok(result) => result,
            Err(_) => Err(PollFailure::Timeout),
        }
    }

    async fn read_in_time(&mut self) -> Result<Reading, PollFailure> {
        for _ in 0..DETECTIONS_PER_READING {
            if self.known.is_none() {
                self.learn().await?;
            }
            let Some(known) = &mut self.known else {
                return Err(PollFailure::NoProfile);
            };
            // Silence says nothing about what the device is, so a failure leaves it known; so
            // does a deadline, and what the plan learnt until then stays learnt.
            let values = self.client.ask(&mut known.plan).await;
            let values = values.map_err(|error| failure(&error))?;
            let sys_object_id = sys_object_id_of(values.last());
            let (values, _) = values.split_at(values.len().saturating_sub(1));
            let reading = known.layout.decode(sys_object_id.as_ref(), values);
            let serial =
                ["ups.serial", "device.serial"]
                    .iter()
                    .find_map(|name| match &reading.fact(name)?.value {
                        Ok(FactValue::Text(serial)) => Some(serial.clone()),
                        _ => None,
                    });
            let is_same =
                sys_object_id == known.sys_object_id && (known.serial.is_none() || serial == known.serial);
            let says_nothing = !values.iter().any(Value::is_present);
            let has_lost_rows = !self.rows_renewed && known.layout.has_lost_rows(values);
            self.rows_renewed |= has_lost_rows;
            if !is_same || has_lost_rows || (says_nothing && !matches!(self.wanted, Wanted::Named(_))) {
                self.known = None;
                continue;
            }
            known.plan.keep(&known.layout.worth_asking(values));
            known.serial = serial;
            return Ok(reading);
        }
        Err(PollFailure::Refused(
            "the device changes its identity while it is read".to_owned(),
        ))
    }

    /// What the device is, and what it has of that.
    async fn learn(&mut self) -> Result<(), PollFailure> {
        let learning = match &mut self.learning {
            Some(learning) => learning,
            none => none.insert(begin(&self.client, &self.library, &self.target, &self.wanted).await?),
        };
        if let Err(failure) = walk(&self.client, &self.target, learning).await {
            // It is away, or it may be another one when it is back.
            self.learning = None;
            return Err(failure);
        }
        let Some(learning) = self.learning.take() else {
            return Ok(());
        };
        let mut layout = learning.profile.layout(&learning.rows);
        layout.leave_out(learning.left_out);
        let mut oids = layout.oids();
        oids.push(oid(SYS_OBJECT_ID));
        self.known = Some(Known {
            plan: Plan::new(&self.target, &oids),
            sys_object_id: learning.sys_object_id,
            serial: None,
            layout,
            profile: learning.profile,
        });
        Ok(())
    }
}

/// What the device is.
async fn begin(
    client: &Client,
    library: &Library,
    target: &Target,
    wanted: &Wanted,
) -> Result<Learning, PollFailure> {
    let answer = client.get(target, &[oid(SYS_OBJECT_ID), oid(SYS_DESCR)]).await;
    let answer = answer.map_err(|error| failure(&error))?;
    let value = |at: usize| answer.get(at).map(|(_, value)| value);
    let identity = Identity {
        sys_object_id: sys_object_id_of(value(0)),
        sys_descr: value(1).and_then(|value| match value {
            Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }),
    };
    let profile = match wanted {
        // A profile of registers has nothing to ask an agent for.
        Wanted::Named(name) => library
            .get(name)
            .filter(|profile| profile.modbus().is_none())
            .map(Arc::clone),
        Wanted::Any => detect(client, library, target, &identity).await?,
        Wanted::Ups => detect(client, library, target, &identity)
            .await?
            .filter(|profile| profile.kind() == Kind::Ups),
    };
    let profile = profile.ok_or(PollFailure::NoProfile)?;
    Ok(Learning {
        sys_object_id: identity.sys_object_id,
        roots: profile.roots(),
        profile,
        walked: None,
        singly: 0,
        rows: Vec::new(),
        left_out: 0,
        silent: 0,
    })
}

/// The best profile of which a probe is there. Candidates are asked for in packets, the best
/// first, so that what a device says it is decides in one or two of them.
async fn detect(
    client: &Client,
    library: &Library,
    target: &Target,
    identity: &Identity,
) -> Result<Option<Arc<Profile>>, PollFailure> {
    let mut seen: HashMap<Oid, bool> = HashMap::new();
    let candidates = library.candidates(identity);
    for batch in batches(&candidates) {
        let mut asked: Vec<Oid> = Vec::new();
        for probe in batch.iter().flat_map(|(_, profile)| profile.probes()) {
            if !seen.contains_key(probe) && !asked.contains(probe) {
                asked.push(probe.clone());
            }
        }
        let answer = client
            .get(target, &asked)
            .await
            .map_err(|error| failure(&error))?;
        let present: HashMap<Oid, bool> = answer
            .into_iter()
            .map(|(probe, value)| (probe, value.is_present()))
            .collect();
        for (_, profile) in batch {
            for probe in profile.probes() {
                let is_there = match (seen.get(probe), present.get(probe)) {
                    (Some(known), _) => *known,
                    (None, Some(true)) => true,
                    (None, _) => probe.may_have_rows() && has_rows(client, target, probe).await?,
                };
                seen.insert(probe.clone(), is_there);
                if is_there {
                    return Ok(Some(Arc::clone(profile)));
                }
            }
        }
    }
    Ok(None)
}

/// Cuts where a packet is full, and where what the device says of itself ends to speak for a
/// profile.
fn batches(candidates: &[(Rank, Arc<Profile>)]) -> Vec<&[(Rank, Arc<Profile>)]> {
    let mut batches = Vec::new();
    let mut from = 0;
    let mut probes = 0;
    for (at, (rank, profile)) in candidates.iter().enumerate() {
        let more = profile.probes().len();
        let generic_begins = at > 0 && rank.is_generic() && !candidates[at - 1].0.is_generic();
        if at > from && (generic_begins || probes + more > VARIABLES_PER_PACKET) {
            batches.push(&candidates[from..at]);
            (from, probes) = (at, 0);
        }
        probes += more;
    }
    if from < candidates.len() {
        batches.push(&candidates[from..]);
    }
    batches
}

/// True when a column has a row; an agent that errs about it has none.
async fn has_rows(client: &Client, target: &Target, column: &Oid) -> Result<bool, PollFailure> {
    match client.get_next(target, column).await {
        Ok((next, value)) => Ok(next.is_under(column) && value.is_present()),
        Err(error @ (Error::Timeout { .. } | Error::Bind(_) | Error::Send { .. })) => Err(failure(&error)),
        Err(_) => Ok(false),
    }
}

/// Reads the rows of the roots that are not read yet.
async fn walk(client: &Client, target: &Target, learning: &mut Learning) -> Result<(), PollFailure> {
    let Learning { roots, rows, .. } = learning;
    if learning.walked.is_none() && !roots.scalars.is_empty() {
        let scalars = client.get(target, &roots.scalars).await;
        rows.extend(scalars.map_err(|error| failure(&error))?);
    }
    let walked = learning.walked.get_or_insert(0);
    while let Some(column) = roots.columns.get(*walked) {
        let together = roots.columns[*walked..].iter().take(COLUMNS_AT_ONCE).len();
        let fits = rows.len() + together * COLUMN_ROWS_MAX <= DEVICE_ROWS_MAX;
        if *walked >= learning.singly && together > 1 && fits {
            let columns = &roots.columns[*walked..*walked + together];
            // One of them may spoil it for all, or it may take longer than the deadline: then
            // they are walked one by one.
            learning.singly = *walked + together;
            match client.walk_columns(target, columns, COLUMN_ROWS_MAX).await {
                Ok(all) => {
                    for (found, more) in all {
                        rows.extend(found);
                        learning.left_out += usize::from(more);
                    }
                    *walked += together;
                }
                Err(error @ (Error::Bind(_) | Error::Send { .. })) => return Err(failure(&error)),
                Err(error) => tracing::debug!(%column, %error, "walk columns together"),
            }
            continue;
        }
        let room = COLUMN_ROWS_MAX.min(DEVICE_ROWS_MAX.saturating_sub(rows.len()));
        match client.walk_first(target, column, room).await {
            Ok((found, more)) => {
                rows.extend(found);
                learning.left_out += usize::from(more);
            }
            Err(Error::Timeout { .. }) if learning.silent < SILENT_COLUMNS_MAX => learning.silent += 1,
            Err(error @ (Error::Timeout { .. } | Error::Bind(_) | Error::Send { .. })) => {
                return Err(failure(&error));
            }
            // A table that loops or errs brings no rows, and takes none of the others with it.
            Err(error) => tracing::debug!(%column, %error, "walk a column"),
        }
        *walked += 1;
    }
    Ok(())
}

fn oid(text: &str) -> Oid {
    text.parse().expect("a constant in dotted form")
}

/// Some cards answer their sysObjectID as text.
fn sys_object_id_of(value: Option<&Value>) -> Option<Oid> {
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
