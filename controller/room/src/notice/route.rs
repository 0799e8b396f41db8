//! Which routes take an alarm.

use super::case::Brief;
use crate::site::notice::{Moments, Route};
use crate::time::Millis;
use std::collections::BTreeMap;

/// A route with its contacts found.
#[derive(Debug, Clone)]
pub(super) struct Path {
    pub(super) route: Route,
    /// After so long, these.
    pub(super) steps: Vec<(Millis, Vec<usize>)>,
    /// The contacts of `steps` alone.
    pub(super) contacts: Vec<Vec<usize>>,
    pub(super) repeat: Option<Millis>,
    pub(super) moments: Moments,
}

impl Path {
    pub(super) fn of(route: &Route, names: &BTreeMap<String, usize>) -> Self {
        let steps: Vec<(Millis, Vec<usize>)> = route
            .steps
            .iter()
            .map(|step| {
                let contacts = step.contacts.iter().filter_map(|name| names.get(name).copied());
                (step.after, contacts.collect())
            })
            .collect();
        Self {
            contacts: steps.iter().map(|(_, contacts)| contacts.clone()).collect(),
            steps,
            repeat: route.repeat,
            moments: route.moments,
            route: route.clone(),
        }
    }

    fn takes(&self, alarm: &str, brief: &Brief) -> bool {
        let route = &self.route;
        let among =
            |words: &[String], word: &str| words.is_empty() || words.iter().any(|other| other == word);
        brief.priority >= route.at_least
            && among(&route.classes, brief.class)
            && among(&route.kinds, brief.kind)
            && (route.sources.is_empty() || route.sources.iter().any(|source| belongs(alarm, source)))
    }
}

/// Whether an alarm's id begins with this node, device or point.
fn belongs(alarm: &str, source: &str) -> bool {
    alarm
        .strip_prefix(source)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The routes of an alarm: those marked `only` that take it, or else all others that do.
pub(super) fn paths_of(paths: &[Path], alarm: &str, brief: &Brief) -> Vec<usize> {
    let taking = |only: bool| -> Vec<usize> {
        let it = paths.iter().enumerate();
        it.filter(|(_, path)| path.route.only == only && path.takes(alarm, brief))
            .map(|(at, _)| at)
            .collect()
    };
    let own = taking(true);
    if own.is_empty() { taking(false) } else { own }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alarm::Standing;
    use crate::site::Priority;

    fn route(name: &str, change: impl FnOnce(&mut Route)) -> Path {
        let mut route = Route {
            name: name.to_owned(),
            at_least: Priority::Advisory,
            classes: Vec::new(),
            kinds: Vec::new(),
            sources: Vec::new(),
            only: false,
            steps: Vec::new(),
            repeat: None,
            moments: Moments::ALL,
        };
        change(&mut route);
        Path::of(&route, &BTreeMap::new())
    }

    #[test]
    fn alarms_of_doors_leave_the_general_route_and_nothing_else_does() {
        let paths = [
            route("all", |_| {}),
            route("door", |route| {
                route.only = true;
                route.classes = vec!["door".to_owned()];
                route.kinds = vec!["forced".to_owned(), "tamper".to_owned()];
            }),
            route("night-shift", |route| {
                route.at_least = Priority::Critical;
                route.sources = vec!["ups-a".to_owned()];
            }),
        ];
        let taken = |alarm: &str, class, kind, priority| {
            let brief = Brief {
                standing: Standing::Unacknowledged,
                quiet: None,
                under: None,
                priority,
                class,
                kind,
            };
            paths_of(&paths, alarm, &brief)
        };
        assert_eq!(taken("door.1.forced", "door", "forced", Priority::Critical), [1]);
        assert_eq!(taken("entrance.list", "door", "list", Priority::Warning), [0]);
        assert_eq!(
            taken("ups-a.on_battery", "power", "on_battery", Priority::Critical),
            [0, 2]
        );
        assert_eq!(
            taken("ups-a.on_battery", "power", "on_battery", Priority::Warning),
            [0]
        );
        assert_eq!(
            taken("ups-ab.on_battery", "power", "on_battery", Priority::Critical),
            [0]
        );
    }
}
