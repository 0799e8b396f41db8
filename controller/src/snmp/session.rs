//! One device over time: which profile it has, which rows, what it was found to lack, and the
//! next reading.
//!
//! ```text
//! unknown --sysObjectID, sysDescr, probes--> profile --walk its roots--> layout --poll--> Reading
//!    ^--- identity changed, nothing of the profile answers, `forget` ------------------------+
//! ```
//!
//! What is known grows old: rows come and go, an agent gets a part that it lacked. So it is
//! looked at anew from time to time, between two readings ([`Session::renew`]), and the old
//! layout is read on until the new one is whole and has answered. No reading ever waits for that.
//!
//! Detection asks first what the device says it is, then the probes of the profiles that this
//! fits, and those of generic profiles only when none of them does: two or three packets for a
//! known maker, however many profiles there are. Polls are plain GETs of concrete instances.
//!
//! Identity is read again with every poll, so that a swapped card is noticed at once.

use super::client::COLUMNS_AT_ONCE;
use super::{Access, Client, Error, Oid, Plan, Target, Value};
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
/// Times that looking anew is taken up again after a reading came between. A column that takes
/// longer to walk than the pause between two readings would be begun for ever.
const RENEWALS_MAX: u32 = 100;
/// Probes asked for in one packet; their names take some 800 bytes. There are a few hundred in all
/// profiles that fit any device.
const PROBES_PER_PACKET: usize = 40;
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
    /// What was found out so far of a device that is not known yet, or looked at anew.
    learning: Option<Learning>,
    /// Found by looking anew, and not asked yet.
    next: Option<Known>,
    /// What is known is to be looked at anew.
    is_outdated: bool,
    /// Calls of [`Self::renew`] since then.
    renewals: u32,
    /// A row was gone, and the rows are looked for again; once until [`Self::outdate`].
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
    /// How well the profile fits; `None` when the site names it.
    rank: Option<Rank>,
    /// A column could not be walked.
    has_holes: bool,
}

/// The way to [`Known`]. It outlives the deadline of a reading: a slow device is learnt over
/// several.
#[derive(Debug)]
struct Learning {
    sys_object_id: Option<Oid>,
    profile: Arc<Profile>,
    rank: Option<Rank>,
    roots: Roots,
    /// Columns already walked; `None` before the scalars were got.
    walked: Option<usize>,
    /// Columns before this one are walked one by one, the others several at once.
    singly: usize,
    rows: Vec<(Oid, Value)>,
    left_out: usize,
    silent: usize,
    has_holes: bool,
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
            next: None,
            is_outdated: false,
            renewals: 0,
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
        self.next = None;
        self.is_outdated = false;
        self.renewals = 0;
        self.rows_renewed = false;
    }

    /// What is known is old: [`Self::renew`] looks at the device anew.
    pub fn outdate(&mut self) {
        self.is_outdated = true;
        self.renewals = 0;
        self.rows_renewed = false;
    }

    /// True when [`Self::renew`] has something to do.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        self.is_outdated && self.known.is_some()
    }

    /// Detects again, looks for rows and asks again for what the device lacked. Until all of that
    /// has answered, [`Self::read`] goes on as before. May be dropped at any time: the next call
    /// goes on where it was. What fails leaves everything as it is.
    pub async fn renew(&mut self) {
        if !self.is_outdated() {
            return;
        }
        self.renewals += 1;
        if self.renewals <= RENEWALS_MAX
            && let Some(next) = self.renewed().await
        {
            self.known = Some(next);
        }
        self.learning = None;
        self.next = None;
        self.is_outdated = false;
    }

    async fn renewed(&mut self) -> Option<Known> {
        if self.next.is_none() {
            self.next = Some(self.find().await.ok()?);
        }
        let (known, next) = (self.known.as_ref()?, self.next.as_mut()?);
        // An agent that is short of something for a moment must not lose what it has.
        let is_worse = next.rank < known.rank;
        let is_torn = next.has_holes && next.profile.name() == known.profile.name();
        if is_worse || is_torn {
            return None;
        }
        let values = self.client.ask(&mut next.plan).await.ok()?;
        let is_same = agree(
            sys_object_id_of(values.last()).as_ref(),
            next.sys_object_id.as_ref(),
        );
        let (values, _) = values.split_at(values.len().saturating_sub(1));
        if !is_same || !values.iter().any(Value::is_present) {
            return None;
        }
        next.plan.keep(&next.layout.worth_asking(values));
        self.next.take()
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
            let is_new = self.known.is_none();
            if is_new {
                self.known = Some(self.find().await?);
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
            let is_same = agree(sys_object_id.as_ref(), known.sys_object_id.as_ref())
                && agree(serial.as_ref(), known.serial.as_ref());
            if !is_same {
                self.forget();
                continue;
            }
            if !values.iter().any(Value::is_present) {
                // It answers and tells nothing: that is no reading, or it would look healthy.
                let is_named = matches!(self.wanted, Wanted::Named(_));
                if !is_named {
                    self.forget();
                }
                if is_named || is_new {
                    return Err(PollFailure::NoProfile);
                }
                continue;
            }
            if !self.rows_renewed && known.layout.has_lost_rows(values) {
                self.rows_renewed = true;
                self.is_outdated = true;
            }
            known.plan.keep(&known.layout.worth_asking(values));
            if serial.is_some() {
                known.serial = serial;
            }
            return Ok(reading);
        }
        Err(PollFailure::Refused(
            "the device changes its identity while it is read".to_owned(),
        ))
    }

    /// What the device is, and what it has of that.
    async fn find(&mut self) -> Result<Known, PollFailure> {
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
            return Err(PollFailure::NoProfile);
        };
        let mut layout = learning.profile.layout(&learning.rows);
        layout.leave_out(learning.left_out);
        let mut oids = layout.oids();
        oids.push(oid(SYS_OBJECT_ID));
        Ok(Known {
            plan: Plan::new(&self.target, &oids),
            sys_object_id: learning.sys_object_id,
            serial: None,
            layout,
            profile: learning.profile,
            rank: learning.rank,
            has_holes: learning.has_holes,
        })
    }
}

/// What is not said this time is no other word.
fn agree<T: PartialEq>(now: Option<&T>, before: Option<&T>) -> bool {
    now.is_none() || before.is_none() || now == before
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
        rank: match wanted {
            Wanted::Named(_) => None,
            Wanted::Any | Wanted::Ups => profile.rank(&identity),
        },
        sys_object_id: identity.sys_object_id,
        roots: profile.roots(),
        profile,
        walked: None,
        singly: 0,
        rows: Vec::new(),
        left_out: 0,
        silent: 0,
        has_holes: false,
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
    let (fitting, generic) = candidates.split_at(candidates.partition_point(|(rank, _)| !rank.is_generic()));
    for candidates in [fitting, generic] {
        // Single rows of tables are few, and only a GET finds them.
        let rows: Vec<Oid> = candidates
            .iter()
            .flat_map(|(_, profile)| single_rows(profile))
            .filter(|row| !seen.contains_key(row))
            .collect();
        if !rows.is_empty() {
            let answer = client.get(target, &rows).await.map_err(|error| failure(&error))?;
            let present = answer.into_iter().filter(|(_, value)| value.is_present());
            seen.extend(present.map(|(row, _)| (row, true)));
        }
        for batch in batches(candidates) {
            let mut asked: Vec<Oid> = Vec::new();
            for probe in batch.iter().flat_map(|(_, profile)| profile.probes()) {
                if !seen.contains_key(probe) && !asked.contains(probe) {
                    asked.push(probe.clone());
                }
            }
            let found = are_there(client, target, &asked).await?;
            seen.extend(asked.into_iter().zip(found));
            let is_there = |probe: &Oid| seen.get(probe) == Some(&true);
            if let Some((_, profile)) = batch
                .iter()
                .find(|(_, profile)| profile.probes().iter().any(is_there))
            {
                return Ok(Some(Arc::clone(profile)));
            }
        }
    }
    Ok(None)
}

/// Probes that may be a row of a table: neither a scalar nor a column of the profile.
fn single_rows(profile: &Profile) -> Vec<Oid> {
    let may_be_row = |probe: &&Oid| probe.may_have_rows();
    if !profile.probes().iter().any(|probe| may_be_row(&probe)) {
        return Vec::new();
    }
    let columns = profile.roots().columns;
    let rows = profile.probes().iter().filter(may_be_row);
    rows.filter(|probe| !columns.contains(probe)).cloned().collect()
}

/// Cuts where a packet is full.
fn batches(candidates: &[(Rank, Arc<Profile>)]) -> Vec<&[(Rank, Arc<Profile>)]> {
    let mut batches = Vec::new();
    let mut from = 0;
    let mut probes = 0;
    for (at, (_, profile)) in candidates.iter().enumerate() {
        let more = profile.probes().len();
        if at > from && probes + more > PROBES_PER_PACKET {
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

/// Which of these are there: a scalar, or a column with a row. One packet tells it of all of them,
/// for what follows an object is its instance. In v1 the end of the MIB spoils such a packet, so
/// they are got, and then asked for one by one.
async fn are_there(client: &Client, target: &Target, probes: &[Oid]) -> Result<Vec<bool>, PollFailure> {
    if probes.is_empty() {
        return Ok(Vec::new());
    }
    if matches!(target.access, Access::V1(_)) {
        let answer = client
            .get(target, probes)
            .await
            .map_err(|error| failure(&error))?;
        let mut found = Vec::with_capacity(probes.len());
        for (probe, value) in answer {
            found
                .push(value.is_present() || probe.may_have_rows() && has_rows(client, target, &probe).await?);
        }
        return Ok(found);
    }
    let objects: Vec<Oid> = probes
        .iter()
        .map(|probe| match probe.arcs().split_last() {
            Some((0, object)) => Oid::new(object.to_vec()).unwrap_or_else(|_| probe.clone()),
            _ => probe.clone(),
        })
        .collect();
    let next = next_each(client, target, &objects).await?;
    let found = probes.iter().zip(next).map(|(probe, next)| {
        next.is_some_and(|(name, value)| {
            value.is_present() && (name == *probe || probe.may_have_rows() && name.is_under(probe))
        })
    });
    Ok(found.collect())
}

/// What follows each of these; in halves of an agent that does not take so many at once. Nothing
/// follows one that the agent errs about.
async fn next_each(
    client: &Client,
    target: &Target,
    objects: &[Oid],
) -> Result<Vec<Option<(Oid, Value)>>, PollFailure> {
    let mut found = vec![None; objects.len()];
    let mut parts: Vec<_> = std::iter::once(0..objects.len()).collect();
    while let Some(part) = parts.pop() {
        let asked = &objects[part.clone()];
        match client.get_next_each(target, asked).await {
            Ok(rows) if rows.len() == asked.len() => {
                for (place, row) in part.zip(rows) {
                    found[place] = Some(row);
                }
                continue;
            }
            Err(error @ (Error::Bind(_) | Error::Send { .. })) => return Err(failure(&error)),
            // A dead agent, or one that drops what is too large: one object tells them apart.
            Err(error @ Error::Timeout { .. }) => {
                if part.len() == 1 {
                    return Err(failure(&error));
                }
                if let Err(error @ Error::Timeout { .. }) = client.get_next(target, &asked[0]).await {
                    return Err(failure(&error));
                }
            }
            Ok(_) | Err(_) => {}
        }
        if part.len() > 1 {
            let middle = part.start + part.len() / 2;
            parts.push(middle..part.end);
            parts.push(part.start..middle);
        }
    }
    Ok(found)
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
            Err(Error::Timeout { .. }) if learning.silent < SILENT_COLUMNS_MAX => {
                learning.silent += 1;
                learning.has_holes = true;
            }
            Err(error @ (Error::Timeout { .. } | Error::Bind(_) | Error::Send { .. })) => {
                return Err(failure(&error));
            }
            // A table that loops or errs brings no rows, and takes none of the others with it.
            Err(error) => {
                tracing::debug!(%column, %error, "walk a column");
                learning.has_holes = true;
            }
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
        Error::Refused { .. }
        | Error::Status { .. }
        | Error::NotIncreasing { .. }
        | Error::Limit { .. }
        | Error::Version { .. }
        | Error::Own { .. } => PollFailure::Refused(cause),
    }
}
