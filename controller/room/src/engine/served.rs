//! What NUT's clients read: every UPS as it is judged, and for each host that stops by NUT a UPS
//! of its own, which is told when its turn has come.

use super::Engine;
use crate::nut::served::{self, Served, ServedUps};
use crate::site::World;
use crate::snapshot;
use crate::time::Now;

impl<W: World> Engine<W> {
    /// The UPSes for the role `nut`.
    #[must_use]
    pub fn served(&self, now: Now) -> Served {
        let power = self.outage.view(now);
        let mut upses: std::collections::BTreeMap<String, ServedUps> = power
            .ups
            .iter()
            .map(|judged| {
                let facts = self.device_facts(now, &judged.name);
                (judged.name.clone(), served::ups(judged, facts.as_ref(), false))
            })
            .collect();
        for host in &self.site.hosts {
            let Some(name) = W::served_ups(&host.action) else {
                continue;
            };
            let feeds: Vec<&snapshot::Ups> = power
                .ups
                .iter()
                .filter(|ups| host.feeds.contains(&ups.name))
                .collect();
            let forced = is_told_to_stop(&power, &host.name);
            upses.insert(
                name.to_owned(),
                served::of_host(&host.label, &feeds, host.need, forced),
            );
        }
        Served { upses }
    }
}

/// From the start of its step until it is confirmed to have stopped. Not longer: a latch would
/// stop the host again when it comes back. A step that was given up keeps telling while its run
/// goes on.
fn is_told_to_stop(power: &snapshot::Power, host: &str) -> bool {
    let real = power
        .run
        .as_ref()
        .is_some_and(|run| matches!(run.kind.as_str(), "real" | "drill") && run.state == "running");
    let step = power.steps.iter().find(|step| step.id == host);
    real && step.is_some_and(|step| matches!(step.state.as_str(), "started" | "abandoned"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::Label;

    fn told(kind: &str, run: &str, step: &str) -> bool {
        let power = snapshot::Power {
            run: Some(snapshot::Run {
                id: 1,
                state: run.into(),
                kind: kind.into(),
                because: Label::default(),
                since_ms: 0,
            }),
            steps: vec![snapshot::Step {
                id: "nas1".into(),
                label: Label::default(),
                after: Vec::new(),
                action: "nut".into(),
                starts_at_s: 0.0,
                planned_s: 1.0,
                latest_end_s: None,
                learnt_s: None,
                learnt_n: 0,
                budget_s: 1.0,
                state: step.into(),
                running_s: None,
                took_s: None,
                problem: None,
            }],
            ..snapshot::Power::default()
        };
        assert!(!is_told_to_stop(&power, "another"), "only the step's own host");
        is_told_to_stop(&power, "nas1")
    }

    #[test]
    fn a_host_is_told_to_stop_from_the_start_of_its_step_until_it_is_confirmed() {
        for (step, expected) in [
            ("waiting", false),
            ("started", true),
            ("confirmed", false),
            ("abandoned", true),
            ("cancelled", false),
        ] {
            assert_eq!(told("real", "running", step), expected, "{step}");
            assert_eq!(
                told("drill", "running", step),
                expected,
                "a drill is real: {step}"
            );
            assert!(!told("rehearsal", "running", step), "a rehearsal stops nobody");
            assert!(!told("real", "done", step), "no latch outlives its run");
            assert!(!told("real", "abandoned", step), "mains are back");
        }
        assert!(!is_told_to_stop(&snapshot::Power::default(), "nas1"));
    }
}
