//! What is shown and sent without anybody being told: signal towers, heartbeats, and how long
//! ago the last test call is.
//!
//! Of these only the last one matters, so they have no retry: the next one comes anyway. One
//! whose predecessor got no word is a failure of its notifier.

use super::desk::{Desk, Out, Settings};
use super::lamp::{self, Shown};
use super::{About, Lamp, SendFailure};
use crate::alarm::Standing;
use crate::site::{Label, Priority};
use crate::time::{Millis, Mono, Now};

/// A tower is told what it shows at least so often.
pub const RENEW_EVERY: Millis = Millis::from_secs(60);
/// Two changes of a tower are at least so far apart: a relay is no strobe.
pub const CHANGE_EVERY: Millis = Millis::from_secs(1);
/// How long a lamp test lasts.
pub const LAMP_TEST: Millis = Millis::from_secs(10);
/// The age of the last test call is looked at so often.
const LOOK_AT_TESTS: Millis = Millis::from_secs(3600);

/// Signal towers and heartbeats.
#[derive(Debug, Default)]
pub(super) struct Towers {
    towers: Vec<Beat>,
    hearts: Vec<(Beat, Millis)>,
    shown: Option<Lamp>,
    /// When the picture was last looked at: that costs a look at every alarm.
    looked_at: Mono,
    /// The picture may have changed.
    stale: bool,
    testing_until: Option<Mono>,
    count: u64,
    pub(super) late: bool,
    look_at: Mono,
}

/// One thing that is sent again and again to one notifier.
#[derive(Debug)]
struct Beat {
    notifier: String,
    key: String,
    due: Mono,
    attempt: u32,
    /// The last one got no word yet.
    open: bool,
}

impl Beat {
    fn of(notifier: &str, what: &str) -> Self {
        Self {
            notifier: notifier.to_owned(),
            key: format!("{what}/{notifier}"),
            due: Mono(0),
            attempt: 0,
            open: false,
        }
    }
}

impl Towers {
    pub(super) fn of(settings: &Settings) -> Self {
        Self {
            towers: settings
                .towers
                .iter()
                .map(|notifier| Beat::of(notifier, "lamp"))
                .collect(),
            hearts: settings
                .notices
                .heartbeats
                .iter()
                .map(|heartbeat| (Beat::of(&heartbeat.notifier, "heartbeat"), heartbeat.every))
                .collect(),
            ..Self::default()
        }
    }

    pub(super) fn start(&mut self, now: Mono) {
        self.stale = true;
        self.shown = None;
        self.look_at = now;
        for beat in self
            .towers
            .iter_mut()
            .chain(self.hearts.iter_mut().map(|(beat, _)| beat))
        {
            beat.due = now;
            beat.open = false;
        }
    }

    fn beats(&mut self) -> impl Iterator<Item = &mut Beat> {
        self.towers
            .iter_mut()
            .chain(self.hearts.iter_mut().map(|(beat, _)| beat))
    }

    /// True when the word is about one of these.
    pub(super) fn heard(&mut self, key: &str) -> bool {
        match self.beats().find(|beat| beat.key == key) {
            Some(beat) => {
                beat.open = false;
                true
            }
            None => false,
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Mono> {
        let hearts = self.hearts.iter().map(|(beat, _)| beat.due);
        let renew = self.towers.iter().map(|beat| beat.due);
        let change = (self.stale && !self.towers.is_empty()).then(|| self.looked_at.after(CHANGE_EVERY));
        hearts
            .chain(renew)
            .chain(change)
            .chain(self.testing_until)
            .chain([self.look_at])
            .min()
    }
}

impl Desk {
    /// Lets every light of the towers burn for a moment.
    pub(super) fn test_lamps(&mut self, now: Mono) {
        self.towers.testing_until = Some(now.after(LAMP_TEST));
        self.towers.looked_at = Mono(now.0.saturating_sub(CHANGE_EVERY.0));
        self.towers.stale = true;
    }

    pub(super) fn has_towers(&self) -> bool {
        !self.towers.towers.is_empty()
    }

    /// What the towers show now.
    #[must_use]
    pub fn lamp(&self) -> Lamp {
        lamp::lamp(self.cases.values().filter_map(|case| {
            let brief = case.brief.as_ref()?;
            let unacknowledged = case.needs_a_person(brief.standing);
            let shows =
                unacknowledged || matches!(brief.standing, Standing::Acknowledged | Standing::Latched);
            (shows && brief.quiet.is_none()).then_some(Shown {
                priority: brief.priority,
                unacknowledged,
                system: brief.class == super::SYSTEM,
            })
        }))
    }

    /// Sends what is due to towers and receivers of heartbeats, and looks at the test calls.
    pub(super) fn signal(&mut self, now: Now, changed: bool, out: &mut Out) {
        self.towers.stale |= changed;
        if self.towers.testing_until.is_some_and(|until| until <= now.mono) {
            self.towers.testing_until = None;
            self.towers.stale = true;
        }
        if self.has_towers() {
            let may_change = self.towers.stale
                && (self.towers.shown.is_none() || now.mono.since(self.towers.looked_at) >= CHANGE_EVERY);
            if may_change {
                self.towers.stale = false;
                self.towers.looked_at = now.mono;
                let lamp = match self.towers.testing_until {
                    Some(_) => lamp::everything(),
                    None => self.lamp(),
                };
                if self.towers.shown != Some(lamp) {
                    self.towers.shown = Some(lamp);
                    for beat in &mut self.towers.towers {
                        beat.due = now.mono;
                        // A newer one takes its place on purpose.
                        beat.open = false;
                    }
                }
            }
        }
        let lamp = self.towers.shown.unwrap_or_default();
        let mut due: Vec<(String, String, u32, bool, About)> = Vec::new();
        for beat in &mut self.towers.towers {
            if beat.due <= now.mono {
                due.push(beat.next(now.mono, RENEW_EVERY, About::Lamp(lamp)));
            }
        }
        let mut count = self.towers.count;
        for (beat, every) in &mut self.towers.hearts {
            if beat.due <= now.mono {
                count += 1;
                due.push(beat.next(now.mono, *every, About::Heartbeat { count }));
            }
        }
        self.towers.count = count;
        for (notifier, key, attempt, had_no_word, about) in due {
            if had_no_word && let Some(line) = self.lines.get_mut(&notifier) {
                let failure = SendFailure::passing("the notifier said nothing");
                line.failed(now.mono, None, &failure);
            }
            let notice = self.notice(now, &key, attempt, &notifier, None, None, about);
            out.notices.push(notice);
        }
        if self.towers.look_at <= now.mono {
            self.towers.look_at = now.mono.after(LOOK_AT_TESTS);
            self.towers.late = !self.untested(now).is_empty();
        }
    }

    /// Contacts whose last test call lies too far back, by the clock on the wall: it spans
    /// restarts of the machine, and all that hangs on it is a reminder.
    fn untested(&self, now: Now) -> Vec<usize> {
        let (Some(every), Some(began)) = (self.settings.notices.test_every, self.began) else {
            return Vec::new();
        };
        let every = i64::try_from(every.0).unwrap_or(i64::MAX);
        (0..self.settings.notices.contacts.len())
            .filter(|at| {
                let contact = self.contact(*at).map(|contact| &contact.name);
                let last = contact
                    .and_then(|name| self.tested.get(name))
                    .map_or(began, |tested| tested.at);
                now.wall.0.saturating_sub(last.0) > every
            })
            .collect()
    }

    /// Why a test call is due; `None` while it is not.
    #[must_use]
    pub fn test_due(&self, now: Now) -> Option<Label> {
        if !self.towers.late {
            return None;
        }
        let untested = self.untested(now);
        let labels = || {
            untested
                .iter()
                .filter_map(|at| self.contact(*at))
                .map(|contact| &contact.label)
        };
        if untested.is_empty() {
            return None;
        }
        let ja: Vec<&str> = labels().map(|label| label.ja.as_str()).collect();
        let en: Vec<&str> = labels().map(|label| label.en.as_str()).collect();
        Some(Label::new(
            format!("試験通報が期限を過ぎた宛先: {}", ja.join("、")),
            format!("no test call of late to: {}", en.join(", ")),
        ))
    }
}

impl Beat {
    fn next(&mut self, now: Mono, every: Millis, about: About) -> (String, String, u32, bool, About) {
        self.due = now.after(every);
        self.attempt = self.attempt.wrapping_add(1);
        let had_no_word = std::mem::replace(&mut self.open, true);
        (
            self.notifier.clone(),
            self.key.clone(),
            self.attempt,
            had_no_word,
            about,
        )
    }
}

const _: () = assert!(Priority::Critical as usize == 2, "a summary counts by priority");
