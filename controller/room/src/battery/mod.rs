//! What is known of each UPS's battery over the years: its tests, its real discharges, its changes.
//!
//! ```text
//! due by the calendar, or a person at the machine --pre-checks--> TestStarted --> the UPS is told
//!    it says how it ended ---------------------------------------> TestEnded (passed, warning, failed)
//!    mains fails, it is refused or stopped ----------------------> TestEnded (aborted)
//!    it says nothing that can be believed within its bound ------> TestEnded (unknown)
//! mains lost .. mains back --------------------------------------> Discharged
//! a person put a new one in -------------------------------------> Changed: age, capacity and the
//!                                                                  UPS's own flag begin anew
//! ```
//! "Passed" is only believed of a test that was seen to run: many UPSes go on saying "passed" of the
//! last one for ever. Everything durable follows from the records. It starts nothing by itself.

pub mod check;

use crate::schedule::Days;
use crate::site::Label;
use crate::site::self_test::SelfTest;
use crate::time::{Millis, Mono, Now, Wall};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Tests, discharges and changes of one UPS that are kept, each.
pub const MAX_KEPT: usize = 32;
/// A quick test that has not ended after this time does not end.
pub const LONGEST_QUICK: Millis = crate::power::watch::LONGEST_TEST;
/// The same of a deep one, which runs the battery down.
pub const LONGEST_DEEP: Millis = crate::power::watch::LONGEST_CALIBRATION;
/// A test that is not seen to run within this time did not run as far as anybody knows.
pub const SEEN_WITHIN: Millis = Millis::from_secs(120);
/// For so long after our order a UPS may live on its battery without saying that it tests it. After that
/// only its own word makes a test of it.
pub const UNSAID_FOR: Millis = Millis::from_secs(180);
/// After a test that said nothing of the battery, the next one may come on a later day.
pub const AGAIN_DAYS: u16 = 1;
/// Discharges that must agree that a battery gives less, before the plan reckons with it.
pub const CAPACITY_TRUSTED: usize = 2;
/// Share of a battery that a discharge must take, in percent, to say something of its capacity.
pub const TELLING_FALL: f64 = 5.0;
/// Discharges that the capacity is taken from: the least of the last so many.
pub const CAPACITY_FROM: usize = 3;
/// So long after a recorded change the UPS's own wish for a new battery is not believed, unless it was
/// taken back in between: some say it until they are started anew. Milliseconds of the wall clock.
pub const FLAG_FORGIVEN_MS: i64 = 7 * 86_400_000;
/// The UPS must ask for a new battery for so long before a person is told: the flag flickers on some.
pub const FLAG_HOLDS: Millis = Millis::from_secs(3600);

/// Which test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestKind {
    /// What the UPS does when it is told to test its battery.
    Plain,
    /// A few seconds on battery.
    Quick,
    /// Until the battery is nearly empty.
    Deep,
}

impl TestKind {
    /// As it is written.
    pub const WORDS: [(&'static str, Self); 3] = [
        ("plain", Self::Plain),
        ("quick", Self::Quick),
        ("deep", Self::Deep),
    ];

    /// What the UPS is told.
    #[must_use]
    pub const fn command(self) -> &'static str {
        match self {
            Self::Plain => "test.battery.start",
            Self::Quick => "test.battery.start.quick",
            Self::Deep => "test.battery.start.deep",
        }
    }

    /// The kind that a command starts.
    #[must_use]
    pub fn of(command: &str) -> Option<Self> {
        let mut kinds = Self::WORDS.into_iter().map(|(_, kind)| kind);
        kinds.find(|kind| kind.command() == command)
    }

    /// How long it may last.
    #[must_use]
    pub const fn longest(self) -> Millis {
        match self {
            Self::Plain | Self::Quick => LONGEST_QUICK,
            Self::Deep => LONGEST_DEEP,
        }
    }
}

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TestResult {
    /// The UPS says: well.
    Passed,
    /// It says: well, but.
    Warning,
    /// It says: not well.
    Failed,
    /// It was not carried to its end.
    Aborted,
    /// Nobody knows.
    Unknown,
}

impl TestResult {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
            Self::Unknown => "unknown",
        }
    }

    /// It says something of the battery.
    #[must_use]
    pub const fn tells(self) -> bool {
        matches!(self, Self::Passed | Self::Warning | Self::Failed)
    }
}

/// What the UPS told of its battery at a moment, or the least of it over a test.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Levels {
    /// Percent.
    pub charge_percent: Option<f64>,
    /// Volts.
    pub voltage: Option<f64>,
    /// Its own estimate, in seconds.
    pub runtime_s: Option<f64>,
    /// Percent.
    pub load_percent: Option<f64>,
}

impl Levels {
    /// The least of each; of the load the most.
    #[must_use]
    pub fn least(self, other: Self) -> Self {
        let least = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let most = |a: Option<f64>, b: Option<f64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
        Self {
            charge_percent: least(self.charge_percent, other.charge_percent),
            voltage: least(self.voltage, other.voltage),
            runtime_s: least(self.runtime_s, other.runtime_s),
            load_percent: most(self.load_percent, other.load_percent),
        }
    }
}

/// What the journal keeps of batteries. Contract: append only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Record {
    /// A test was ordered; the order itself stands before it.
    TestStarted {
        /// UPS.
        ups: String,
        /// Number of the order to the device.
        order: u64,
        /// Which.
        test: TestKind,
        /// Who: a person, or `schedule`.
        by: String,
        /// What the UPS told before.
        before: Levels,
    },
    /// It is over.
    TestEnded {
        /// UPS.
        ups: String,
        /// Number of the order.
        order: u64,
        /// How.
        result: TestResult,
        /// What says so.
        because: Label,
        /// Since the order.
        took_ms: Millis,
        /// The least that the UPS told in between.
        least: Levels,
    },
    /// A test was due and its time of day had come, but something spoke against it.
    TestPutOff {
        /// UPS.
        ups: String,
        /// What.
        because: Label,
    },
    /// A real discharge is over.
    Discharged {
        /// UPS.
        ups: String,
        /// How long it lived on its battery.
        took_ms: Millis,
        /// Charge at its begin,
        from_percent: Option<f64>,
        /// and at its end.
        to_percent: Option<f64>,
        /// What it promised at its begin, in seconds.
        promised_s: Option<f64>,
    },
    /// A new battery was put in.
    Changed {
        /// UPS.
        ups: String,
        /// Day since 1970, local time.
        day: u16,
        /// Who says so.
        by: String,
    },
}

impl Record {
    /// The UPS it is about.
    #[must_use]
    pub fn ups(&self) -> &str {
        match self {
            Self::TestStarted { ups, .. }
            | Self::TestEnded { ups, .. }
            | Self::TestPutOff { ups, .. }
            | Self::Discharged { ups, .. }
            | Self::Changed { ups, .. } => ups,
        }
    }
}

/// A test that is under way.
#[derive(Debug, Clone, PartialEq)]
pub struct Running {
    /// Number of the order.
    pub order: u64,
    /// Which.
    pub test: TestKind,
    /// Who.
    pub by: String,
    /// When it was ordered.
    pub at: Now,
    /// What the UPS told before.
    pub before: Levels,
}

/// A test that is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Tested {
    /// What was started.
    pub test: Running,
    /// When it was over.
    pub ended: Wall,
    /// How.
    pub result: TestResult,
    /// What says so.
    pub because: Label,
    /// Since the order.
    pub took: Millis,
    /// The least that the UPS told.
    pub least: Levels,
}

/// A real discharge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Discharge {
    /// When it was over.
    pub ended: Wall,
    /// How long.
    pub took: Millis,
    /// Charge at its begin.
    pub from_percent: Option<f64>,
    /// Charge at its end.
    pub to_percent: Option<f64>,
    /// What was promised, in seconds.
    pub promised_s: Option<f64>,
}

impl Discharge {
    /// What the battery gave, as a share of what the UPS had promised for that part of it: 1 is as
    /// promised. `None` when it took too little or the UPS promised nothing.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        let (from, to, promised) = (self.from_percent?, self.to_percent?, self.promised_s?);
        let fall = from - to;
        if fall < TELLING_FALL || from <= 0.0 || promised <= 0.0 {
            return None;
        }
        Some(self.took.as_secs_f64() / (promised * fall / from))
    }
}

/// A recorded change of battery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Day since 1970, local time.
    pub day: u16,
    /// When it was recorded.
    pub at: Wall,
    /// By whom.
    pub by: String,
}

/// Everything durable about the battery of one UPS.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Care {
    /// The test under way.
    pub running: Option<Running>,
    /// Tests, oldest first.
    pub tests: VecDeque<Tested>,
    /// Discharges, oldest first.
    pub discharges: VecDeque<Discharge>,
    /// Changes, oldest first.
    pub changes: VecDeque<Change>,
    /// Why the last due test was put off, and when; gone once one begins.
    pub put_off: Option<(Wall, Label)>,
}

fn keep<T>(list: &mut VecDeque<T>, new: T) {
    if list.len() == MAX_KEPT {
        list.pop_front();
    }
    list.push_back(new);
}

impl Care {
    /// What follows from a record of this UPS.
    pub fn apply(&mut self, at: Now, record: &Record) {
        match record {
            Record::TestStarted {
                order,
                test,
                by,
                before,
                ..
            } => {
                self.put_off = None;
                self.running = Some(Running {
                    order: *order,
                    test: *test,
                    by: by.clone(),
                    at,
                    before: *before,
                });
            }
            Record::TestEnded {
                order,
                result,
                because,
                took_ms,
                least,
                ..
            } => {
                if let Some(test) = self.running.take_if(|running| running.order == *order) {
                    let tested = Tested {
                        test,
                        ended: at.wall,
                        result: *result,
                        because: because.clone(),
                        took: *took_ms,
                        least: *least,
                    };
                    keep(&mut self.tests, tested);
                }
            }
            Record::TestPutOff { because, .. } => self.put_off = Some((at.wall, because.clone())),
            Record::Discharged {
                took_ms,
                from_percent,
                to_percent,
                promised_s,
                ..
            } => {
                let discharge = Discharge {
                    ended: at.wall,
                    took: *took_ms,
                    from_percent: *from_percent,
                    to_percent: *to_percent,
                    promised_s: *promised_s,
                };
                keep(&mut self.discharges, discharge);
            }
            Record::Changed { day, by, .. } => {
                let change = Change {
                    day: *day,
                    at: at.wall,
                    by: by.clone(),
                };
                keep(&mut self.changes, change);
            }
        }
    }

    /// The day on which the present battery came: the later of what the site says and what was
    /// recorded.
    #[must_use]
    pub fn installed(&self, by_site: Option<u16>) -> Option<u16> {
        self.changes.back().map(|change| change.day).max(by_site)
    }

    /// When the last change was recorded; what was learnt before is of another battery.
    fn changed(&self) -> Option<Wall> {
        self.changes.back().map(|change| change.at)
    }

    /// The last test of this battery that says something of it.
    #[must_use]
    pub fn last_told(&self) -> Option<&Tested> {
        let mut tests = self.tests.iter().rev();
        tests.find(|tested| tested.result.tells() && self.is_of_this_battery(tested.ended))
    }

    fn is_of_this_battery(&self, at: Wall) -> bool {
        self.changed().is_none_or(|changed| at >= changed)
    }

    /// What real discharges say of its capacity: the least share of what was promised of the last
    /// [`CAPACITY_FROM`] that say anything, and of how many.
    #[must_use]
    pub fn capacity(&self) -> Option<(f64, usize)> {
        let shares = self.discharges.iter().rev();
        let shares = shares
            .take_while(|discharge| self.is_of_this_battery(discharge.ended))
            .filter_map(Discharge::share)
            .take(CAPACITY_FROM);
        let shares: Vec<f64> = shares.collect();
        let least = shares.iter().copied().min_by(f64::total_cmp)?;
        Some((least, shares.len()))
    }

    /// The UPS's wish for a new battery is left over from the old one.
    #[must_use]
    pub fn forgives_flag(&self, now: Wall) -> bool {
        self.changed()
            .is_some_and(|changed| (0..FLAG_FORGIVEN_MS).contains(&(now.0 - changed.0)))
    }

    /// The first day on which a test by the calendar may come.
    #[must_use]
    pub fn due_day(&self, test: &SelfTest, days: &Days) -> u16 {
        let day = |at: Wall| days.local(at).map_or(0, |(day, _)| day);
        let told = self
            .last_told()
            .map(|tested| day(tested.ended).saturating_add(test.every_days));
        let tried = self.tests.back().filter(|tested| !tested.result.tells());
        let again = tried.map(|tested| day(tested.ended).saturating_add(AGAIN_DAYS));
        told.max(again).unwrap_or(0)
    }

    /// When the next test by the calendar may begin, at the earliest.
    #[must_use]
    pub fn next_test(&self, test: &SelfTest, days: &Days, now: Wall) -> Option<Wall> {
        let (today, minute) = days.local(now)?;
        let first = self.due_day(test, days).max(today);
        let last = first.saturating_add(crate::schedule::LOOK_AHEAD_DAYS);
        let mut open = (first..=last)
            .filter(|day| test.days & days.bit(*day) != 0 && (*day > today || minute < test.to));
        let day = open.next()?;
        let from = if day == today {
            test.from.max(minute)
        } else {
            test.from
        };
        let begin = crate::forecast::calendar::begin_ms(day, days.utc_offset_min);
        Some(Wall(begin + i64::from(from) * 60_000))
    }
}

/// What is heard of a test under way, since this process started.
#[derive(Debug, Clone, Default)]
pub struct Hearing {
    /// Since when it is listened to.
    pub since: Mono,
    /// It was seen to run.
    pub seen: bool,
    /// The word that stood there before it.
    pub word_before: Option<String>,
    /// The least that the UPS told.
    pub least: Levels,
}

/// What the UPS says at a moment of a test.
#[derive(Debug, Clone, Default)]
pub struct Said {
    /// `ups.test.result`, when it can be read.
    pub word: Option<String>,
    /// A test is seen to run.
    pub runs: bool,
    /// Two signs say that mains is gone.
    pub outage: bool,
    /// What it tells of its battery.
    pub levels: Levels,
}

/// How the test has ended, if it has; takes in what is said.
pub fn judge(now: Mono, running: &Running, heard: &mut Hearing, said: &Said) -> Option<(TestResult, Label)> {
    heard.least = heard.least.least(said.levels);
    let told = |word: &str| match word {
        "passed" => Some((TestResult::Passed, Label::new("合格", "it passed"))),
        "warning" => Some((
            TestResult::Warning,
            Label::new("注意あり", "it passed with a warning"),
        )),
        "failed" => Some((TestResult::Failed, Label::new("不合格", "it failed"))),
        "aborted" => Some((
            TestResult::Aborted,
            Label::new("UPS が中止した", "the UPS broke it off"),
        )),
        _ => None,
    };
    if said.outage {
        let because = Label::new("試験中に停電した", "mains failed during the test");
        return Some((TestResult::Aborted, because));
    }
    if said.runs {
        heard.seen = true;
    }
    let age = now.since(heard.since);
    if !said.runs
        && let Some(word) = &said.word
    {
        let changed = heard.word_before.as_ref().is_some_and(|before| before != word);
        if (heard.seen || changed)
            && let Some(end) = told(word)
        {
            return Some(end);
        }
    }
    if heard.seen && !said.runs && said.word.is_none() && age >= SEEN_WITHIN {
        let because = Label::new(
            "試験は行われたが、UPS は結果を返さない",
            "it ran, but this UPS does not say how it ended",
        );
        return Some((TestResult::Unknown, because));
    }
    if !heard.seen && age >= SEEN_WITHIN {
        let because = Label::new(
            "試験の実行を確認できなかった（前回の結果が残っているだけ）",
            "it was never seen to run; what the UPS says is of an earlier test",
        );
        return Some((TestResult::Unknown, because));
    }
    (age >= running.test.longest()).then(|| {
        let because = Label::new("試験が終わらない", "the test does not end");
        (TestResult::Unknown, because)
    })
}

#[cfg(test)]
mod tests;
