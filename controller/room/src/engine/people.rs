//! Persons, cards and passages in the engine: lists made anew when somebody changes something or the
//! day turns, doors that confirm a stopped card, and what the doors say written into the register.
//!
//! ```text
//! order of a person at the machine -> records -> lists made anew -> sent to the nodes at once
//! list in force at a node ---------> a lost card is stopped there: journaled with the time it took
//! credential, door word -----------> passage -> flags -> alarms
//! ```

use super::{Engine, nodes::OCCURRENCE_HOLDS};
use crate::alarm::Condition;
use crate::catalog::{self, PortalTrouble};
use crate::event::Turn;
use crate::forecast::calendar;
use crate::outage::operator::{self, Person};
use crate::people::{self, Ask, Question, Register, Rows, decide::Ground};
use crate::record::{NodeEvent, Record};
use crate::register::{self, AntiPassback, Flag, InsideRow, PassageRow, Source};
use crate::site::{Access, Label, Passes, World};
use crate::time::{Mono, Now};
use std::collections::BTreeMap;

/// Problems of an order that are said; the rest is counted.
const MAX_SAID: usize = 50;

/// Everything about persons and passages.
#[derive(Debug, Clone, Default)]
pub(super) struct Entry {
    pub(super) people: Register,
    pub(super) book: register::Book,
    /// The local day for which the lists were made.
    day: Option<u16>,
    /// When the loss of a card was reported in this life of the controller.
    lost: BTreeMap<String, Mono>,
    /// Where the last order failed: which wish and why.
    problems: Vec<people::Problem>,
}

impl<W: World> Engine<W> {
    /// The local day; `None` for a clock that cannot be right.
    fn local_day(&self, now: Now) -> Option<u16> {
        calendar::day_and_hour(now.wall, self.site.access.utc_offset_min).map(|(day, _)| day)
    }

    /// The register of persons.
    #[must_use]
    pub const fn people(&self) -> &Register {
        &self.entry.people
    }

    pub(super) fn furnish_people(&mut self) {
        if !self.site.access.portals.is_empty() {
            self.book.define(catalog::cards_overdue());
        }
    }

    /// What the site's portals allow now: the cards of the register beside those of the file.
    pub(super) fn access_now(&self, now: Now) -> Access {
        let access = &self.site.access;
        let Some(today) = self.local_day(now) else {
            return access.clone();
        };
        let enforce = access.passages.anti_passback == AntiPassback::Enforce;
        let barred = |person: &str, portal: &str| {
            let area = self.entry.book.pairing().area_of(person);
            enforce
                && access.portals.iter().any(|row| {
                    let leads_there = row.name == portal && row.passes == Passes::Entry;
                    leads_there && area == Some(row.area.as_str()) && access.has_exit(&row.area)
                })
        };
        let cards = self
            .entry
            .people
            .cards(today, access.people, &access.cards, &barred);
        Access {
            cards,
            ..access.clone()
        }
    }

    pub(super) fn apply_people(&mut self, now: Now, record: &Record) {
        match record {
            Record::People { record } => {
                let today = self.local_day(now).unwrap_or_default();
                self.entry.people.apply(now.wall.0, today, record);
                if let people::Record::CardLost { card, .. } = record
                    && self.started.is_some()
                {
                    self.entry.lost.insert(card.clone(), now.mono);
                }
            }
            Record::Passage { passage } => self.entry.book.apply(self.seq, now.wall.0, passage),
            Record::NodeEvent {
                node,
                boot,
                event_seq,
                unix_ms,
                event,
                ..
            } => self.learn_passage(now, (*node, *boot, *event_seq, *unix_ms), false, event),
            Record::StrayEvent {
                node,
                boot,
                event_seq,
                unix_ms,
                event,
                ..
            } => self.learn_passage(now, (*node, *boot, *event_seq, *unix_ms), true, event),
            _ => {}
        }
    }

    fn learn_passage(
        &mut self,
        now: Now,
        (node, boot, event_seq, unix_ms): (u16, u32, u32, u64),
        stray: bool,
        event: &NodeEvent,
    ) {
        let source = Source {
            node,
            boot,
            event_seq,
            unix_ms,
            stray,
        };
        let (access, people) = (&self.site.access, &self.entry.people);
        self.entry.book.learn(now, access, people, source, event);
    }

    /// Begins again after a restart: what waited still waits, what was resolved is written.
    pub(super) fn resume_people(&mut self, now: Now, turn: &mut Turn) {
        self.entry.book.resume(now.mono);
        for portal in self.site.access.portals.clone() {
            for trouble in PortalTrouble::ALL
                .into_iter()
                .filter(|trouble| trouble.is_occurrence())
            {
                let id = catalog::portal_id(&portal, trouble);
                if self.book.is_active(&id) {
                    let until = now.mono.after(OCCURRENCE_HOLDS);
                    self.occurrences.insert(id, (until, Label::default()));
                }
            }
        }
        self.write_passages(now, turn);
        self.entry.day = self.local_day(now);
        self.evaluate_overdue(now, turn);
    }

    /// Journals what was resolved, and lets it have its consequences.
    pub(super) fn write_passages(&mut self, now: Now, turn: &mut Turn) {
        let mut moved = false;
        while let Some(passage) = {
            let (access, people) = (&self.site.access, &self.entry.people);
            self.entry.book.next_ready(now.wall, access, people)
        } {
            moved |= passage.went_through();
            self.count("register_passages");
            self.commit(
                now,
                turn,
                Record::Passage {
                    passage: passage.clone(),
                },
            );
            let portal = self
                .site
                .access
                .portals
                .iter()
                .find(|row| row.name == passage.portal);
            let Some(portal) = portal.cloned() else { continue };
            let words = |anomaly: fn(Flag) -> bool| {
                let flags = passage.flags.iter().filter(|flag| anomaly(**flag));
                let words: Vec<_> = flags.map(|flag| flag.words()).collect();
                let ja: Vec<&str> = words.iter().map(|(ja, _)| *ja).collect();
                let en: Vec<&str> = words.iter().map(|(_, en)| *en).collect();
                (!words.is_empty()).then(|| Label::new(ja.join("、"), en.join(", ")))
            };
            if let Some(because) = words(Flag::is_anomaly) {
                let id = catalog::portal_id(&portal, PortalTrouble::Card);
                self.has_occurred(now, id, because, turn);
            }
            if let Some(because) = words(|flag| flag == Flag::DeniedRepeatedly) {
                let id = catalog::portal_id(&portal, PortalTrouble::Denied);
                self.has_occurred(now, id, because, turn);
            }
        }
        if moved && self.site.access.passages.anti_passback == AntiPassback::Enforce {
            self.make_lists(now, turn);
            self.run_lists(now, turn);
        }
    }

    /// Grants of which no word came, and the turn of the day.
    pub(super) fn evaluate_people(&mut self, now: Now, turn: &mut Turn) {
        self.entry.book.give_up(now.mono);
        self.write_passages(now, turn);
        let today = self.local_day(now);
        if self.started.is_none() || today.is_none() || self.entry.day == today {
            return;
        }
        self.entry.day = today;
        self.evaluate_overdue(now, turn);
        // Overdue cards and unconfirmed persons are blocked from today on.
        self.make_lists(now, turn);
        self.run_lists(now, turn);
    }

    pub(super) fn people_deadline(&self, now: Now) -> Option<Mono> {
        self.entry.book.next_deadline().filter(|at| *at > now.mono)
    }

    fn evaluate_overdue(&mut self, now: Now, turn: &mut Turn) {
        let Some(today) = self.local_day(now) else { return };
        let cards: Vec<String> = self
            .entry
            .people
            .overdue(today)
            .map(|(name, _)| name.clone())
            .collect();
        let condition = if cards.is_empty() {
            Condition::Gone
        } else {
            let shown = cards.iter().take(10).cloned().collect::<Vec<_>>().join(", ");
            let count = cards.len();
            Condition::Holds(Label::new(
                format!("{count} 枚: {shown}"),
                format!("{count} cards: {shown}"),
            ))
        };
        if self.book.knows(catalog::CARDS_OVERDUE) {
            self.report(now, turn, catalog::CARDS_OVERDUE, condition);
        }
    }

    /// The list of a node is in force there: lost cards are stopped at its doors.
    pub(super) fn cards_stopped(&mut self, now: Now, node: u16, version: u32, turn: &mut Turn) {
        let portals = self
            .site
            .access
            .portals
            .iter()
            .filter(|portal| portal.node == node);
        let portals: Vec<String> = portals.map(|portal| portal.name.clone()).collect();
        let stopping = self.entry.people.stopping();
        let here: Vec<_> = stopping.filter(|(_, portal)| portals.contains(portal)).collect();
        for (card, portal) in here {
            let after_ms = match self.entry.lost.get(&card) {
                Some(since) => now.mono.since(*since).0,
                // Reported in an earlier life: the wall clock is all there is.
                None => {
                    let since_ms = self.entry.people.lost_since_ms(&card).unwrap_or(now.wall.0);
                    u64::try_from(now.wall.0 - since_ms).unwrap_or(0)
                }
            };
            let record = people::Record::CardStopped {
                card,
                portal,
                version,
                after_ms,
            };
            self.commit(now, turn, Record::People { record });
        }
    }

    /// A person at the controller's own machine orders something about persons and cards.
    pub(super) fn people_ask(&mut self, now: Now, person: &Person, ask: &Ask, turn: &mut Turn) {
        self.entry.problems.clear();
        turn.said = Some(self.answer(now, person, ask, turn));
    }

    fn answer(&mut self, now: Now, person: &Person, ask: &Ask, turn: &mut Turn) -> Result<Label, Label> {
        if !operator::may(&self.site.operators, person) {
            return Err(Label::new(
                format!("{} には操作の権限がありません（[operators]）", person.who),
                format!("{} is not one of the site's [operators]", person.who),
            ));
        }
        let Some(today) = self.local_day(now) else {
            return Err(Label::new(
                "時計が正しくありません",
                "the clock of this machine cannot be right",
            ));
        };
        let (wishes, is_trial) = match ask {
            Ask::Do(wishes) => (wishes, false),
            Ask::Try(wishes) => (wishes, true),
            Ask::Tell(_) => return Ok(Label::default()),
        };
        if self.site.access.portals.is_empty() {
            return Err(Label::new(
                "この設置場所にはカードリーダー付きの出入口がありません",
                "this site has no [[node.portal]]: there is nothing to enter",
            ));
        }
        let ground = Ground {
            access: &self.site.access,
            rules: self.site.access.people,
            today,
            at_ms: now.wall.0,
        };
        let by = person.who.to_string();
        let records = match self.entry.people.decide(ground, &by, wishes) {
            Ok(records) => records,
            Err(problems) => {
                let said = said(&problems);
                self.entry.problems = problems;
                self.entry.problems.truncate(MAX_SAID);
                return Err(said);
            }
        };
        let count = records.len();
        if is_trial {
            return Ok(Label::new(
                format!("変更 {count} 件。まだ何も変えていません"),
                format!("{count} changes; nothing was changed yet"),
            ));
        }
        for record in records {
            self.commit(now, turn, Record::People { record });
        }
        self.make_lists(now, turn);
        self.run_lists(now, turn);
        self.evaluate_overdue(now, turn);
        Ok(Label::new(
            format!("{count} 件を記録し、扉への一覧を更新しました"),
            format!("{count} changes recorded; the lists of the doors are on their way"),
        ))
    }

    /// Which wishes of the last order failed, at most fifty of them.
    #[must_use]
    pub fn people_problems(&self) -> &[people::Problem] {
        &self.entry.problems
    }

    /// What a question is answered with, as JSON rows without personal values.
    ///
    /// # Errors
    /// Of the encoding.
    pub fn people_told(&self, now: Now, question: Question) -> serde_json::Result<Vec<u8>> {
        match question {
            Question::Register => serde_json::to_vec(&self.people_rows(now)),
            Question::Passages => serde_json::to_vec(&(self.inside_rows(now), self.passage_rows(usize::MAX))),
        }
    }

    /// Everybody and every card.
    #[must_use]
    pub fn people_rows(&self, now: Now) -> Rows {
        let today = self.local_day(now).unwrap_or_default();
        let door = |name: &str| {
            let portals = &self.site.access.portals;
            let node = portals
                .iter()
                .find(|portal| portal.name == name)
                .map(|row| row.node);
            let Some(node) = node else {
                return (false, None, None);
            };
            let list = self.list_row(node);
            let version = list.as_ref().map(|list| list.version);
            (
                self.is_alive(now, node),
                version,
                list.and_then(|list| list.in_force),
            )
        };
        let access = &self.site.access;
        self.entry.people.rows(today, access.people, &access.cards, &door)
    }

    /// Who is inside.
    #[must_use]
    pub fn inside_rows(&self, now: Now) -> Vec<InsideRow> {
        self.entry.book.inside(now.wall, &self.site.access)
    }

    /// The newest passages, newest first.
    #[must_use]
    pub fn passage_rows(&self, most: usize) -> Vec<PassageRow> {
        self.entry.book.recent().take(most).collect()
    }
}

/// All problems of an order in one text.
fn said(problems: &[people::Problem]) -> Label {
    if let [only] = problems {
        return only.why.clone();
    }
    let lines = |text: fn(&people::Problem) -> String| {
        let lines: Vec<String> = problems.iter().take(MAX_SAID).map(text).collect();
        lines.join("; ")
    };
    Label::new(
        format!(
            "{} 件の誤り: {}",
            problems.len(),
            lines(|row| format!("{}: {}", row.at + 1, row.why.ja))
        ),
        format!(
            "{} mistakes: {}",
            problems.len(),
            lines(|row| format!("{}: {}", row.at + 1, row.why.en))
        ),
    )
}
