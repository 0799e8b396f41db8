//! The desk as it is shown: contacts, notifiers, who was told.

use super::desk::Desk;
use super::duty;
use crate::site::notice::Route;
use crate::snapshot::{
    ContactRow, FailedRow, NoticesView, NotifierRow, RouteRow, RouteStep, TestRow, ToldRow,
};
use crate::time::Now;

/// Rows of who was told that the page shows, the latest ones.
pub(super) const MAX_TOLD: usize = 200;

impl Desk {
    /// The desk as it is shown.
    #[must_use]
    pub fn view(&self, now: Now) -> NoticesView {
        let contacts = &self.settings.notices.contacts;
        let calendar = &self.settings.calendar;
        let at = calendar.local(now.wall);
        let mut told: Vec<ToldRow> = self
            .cases
            .iter()
            .flat_map(|(alarm, case)| {
                case.told.iter().filter_map(|(contact, marks)| {
                    Some(ToldRow {
                        alarm: alarm.clone(),
                        contact: contact.clone(),
                        deputy_for: marks.deputy_for.clone(),
                        notifier: marks.notifier.clone(),
                        moment: marks.moment?,
                        at_ms: marks.at.0,
                        in_summary: !marks.singly,
                    })
                })
            })
            .collect();
        told.sort_by(|a, b| b.at_ms.cmp(&a.at_ms).then_with(|| a.alarm.cmp(&b.alarm)));
        told.truncate(MAX_TOLD);
        NoticesView {
            contacts: contacts
                .iter()
                .enumerate()
                .map(|(index, contact)| {
                    let target = duty::stand_in(contacts, index, at.day);
                    ContactRow {
                        name: contact.name.clone(),
                        label: contact.label.clone(),
                        on_duty: calendar.on_duty(contact, at),
                        deputy: target
                            .instead_of
                            .and_then(|_| Some(contacts.get(target.contact)?.name.clone())),
                        via: contact.via.iter().map(|via| via.notifier.clone()).collect(),
                        called: self.is_called(index),
                        last_test: self.tested.get(&contact.name).map(|tested| TestRow {
                            at_ms: tested.at.0,
                            by: tested.by.clone(),
                            notifier: tested.notifier.clone(),
                            took_ms: tested.took.0,
                        }),
                    }
                })
                .collect(),
            routes: self.settings.notices.routes.iter().map(route).collect(),
            notifiers: self
                .settings
                .notifiers
                .iter()
                .map(|(name, label)| {
                    let problem = self.trouble(name);
                    let last = self.lines.get(name).and_then(|line| line.last_success);
                    NotifierRow {
                        name: name.clone(),
                        label: label.clone(),
                        state: match (&problem, last) {
                            (Some(_), _) => "failing",
                            (None, Some(_)) => "working",
                            (None, None) => "untried",
                        }
                        .to_owned(),
                        problem,
                        lamps: self.settings.towers.contains(name),
                        last_success_ms: last.map(|at| at.wall.0),
                    }
                })
                .collect(),
            told,
            failed: self
                .failed
                .iter()
                .rev()
                .map(|failed| FailedRow {
                    at_ms: failed.at.0,
                    contact: failed.contact.clone(),
                    alarm: failed.alarm.clone(),
                    problem: failed.problem.clone(),
                    given_up: failed.over,
                })
                .collect(),
            under_way: u32::try_from(self.deliveries.len()).unwrap_or(u32::MAX),
            test_due: self.test_due(now),
        }
    }
}

fn route(route: &Route) -> RouteRow {
    RouteRow {
        name: route.name.clone(),
        at_least: route.at_least,
        classes: route.classes.clone(),
        kinds: route.kinds.clone(),
        sources: route.sources.clone(),
        only: route.only,
        steps: route
            .steps
            .iter()
            .map(|step| RouteStep {
                after_s: step.after.0 / 1000,
                contacts: step.contacts.clone(),
            })
            .collect(),
        repeat_s: route.repeat.map(|repeat| repeat.0 / 1000),
    }
}
