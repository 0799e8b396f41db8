//! What NUT's clients read: every UPS as it is judged, and for each host that stops by NUT a UPS
//! of its own, which is told when its turn has come.

use super::Engine;
use crate::alarm;
use crate::event::{NutWish, Refused, Turn};
use crate::nut::served::{self, Served, ServedUps, Told};
use crate::nut::wish::{self, Wish};
use crate::site::World;
use crate::snapshot::{self, PowerMode};
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
                let device = self.site.devices.iter().find(|device| device.name == judged.name);
                let allowed = device.map_or(&[][..], |device| &device.commands);
                (
                    judged.name.clone(),
                    served::ups(judged, facts.as_ref(), false, allowed),
                )
            })
            .collect();
        for host in &self.site.hosts {
            let Some(name) = W::served_ups(&host.action) else {
                continue;
            };
            let own = self.outage.upses_of(&host.name);
            let feeds: Vec<&snapshot::Ups> = power
                .ups
                .iter()
                .filter(|ups| own.contains(&ups.name.as_str()))
                .collect();
            // Two feeds that come from one UPS are one to a client that asks for UPSes.
            let need = host.need.min(feeds.len().max(1));
            let told = told(&power, &host.name);
            upses.insert(name.to_owned(), served::of_host(&host.label, &feeds, need, told));
        }
        Served {
            upses,
            orders: self.operation_progress(),
        }
    }

    /// A client of NUT wants a device to be told something. That its account may is looked up here
    /// again: the role that asks is open to the network.
    pub(super) fn nut_wish(&mut self, now: Now, asked: &NutWish, turn: &mut Turn) -> Result<(), Refused> {
        let NutWish {
            account,
            peer,
            ups,
            wish,
        } = asked;
        let users = self.site.nut_server.iter().flat_map(|server| &server.users);
        let user = users.into_iter().find(|user| user.name == *account);
        let user = user.filter(|user| user.from.iter().any(|net| net.contains(*peer)));
        let may_not = |what: &str| {
            Refused::conflict(
                format!("{peer} の {account} には許可されていません: {what}"),
                format!("{account} at {peer} may not {what}"),
            )
        };
        let (command, value, may) = match wish {
            Wish::Command { name, value } => {
                let may =
                    user.is_some_and(|user| user.instcmds.iter().any(|known| known.to_string() == *name));
                (name.as_str(), *value, may)
            }
            Wish::Set { variable, value } => {
                let command = wish::behind(variable, value).ok_or_else(|| {
                    Refused::invalid(
                        format!("{variable} を {value} にする操作はありません"),
                        format!("no command sets {variable} to {value}"),
                    )
                })?;
                (command, None, user.is_some_and(|user| user.set))
            }
        };
        if !may {
            return Err(may_not(command));
        }
        let by = format!("nut:{account}@{peer}");
        let by = if by.chars().count() > alarm::MAX_OPERATOR_TEXT {
            format!("nut:{account}")
                .chars()
                .take(alarm::MAX_OPERATOR_TEXT)
                .collect()
        } else {
            by
        };
        self.operate(now, &by, ups, command, value, turn)
    }
}

/// From the start of its step until it is confirmed to have stopped. A step that was given up keeps
/// telling while its run goes on, and after that as long as this outage lasts and the host lives on
/// battery: it is still up, and nobody will stop it any more. With the outage everything ends: a
/// latch would stop the host again when it comes back, or at the first moment of the next outage.
fn told(power: &snapshot::Power, host: &str) -> Told {
    let Some(run) = &power.run else { return Told::No };
    let step = power.steps.iter().find(|step| step.id == host);
    let step = step.map(|step| step.state.as_str());
    match (run.kind.as_str(), run.state.as_str(), step) {
        // A drill stops its host for real.
        ("real" | "drill", "running", Some("started" | "abandoned")) => Told::Now,
        ("real", "done", Some("abandoned")) if power.mode == PowerMode::Stopped => Told::WhileOnBattery,
        _ => Told::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::Label;

    fn heard(kind: &str, run: &str, step: &str, mode: PowerMode) -> Told {
        let power = snapshot::Power {
            mode,
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
                credentials: Vec::new(),
            }],
            ..snapshot::Power::default()
        };
        assert_eq!(told(&power, "another"), Told::No, "only the step's own host");
        told(&power, "nas1")
    }

    #[test]
    fn a_host_is_told_to_stop_from_the_start_of_its_step_until_it_is_confirmed() {
        use Told::{No, Now, WhileOnBattery};
        for (step, running, done) in [
            ("waiting", No, No),
            ("started", Now, No),
            ("confirmed", No, No),
            ("abandoned", Now, WhileOnBattery),
            ("cancelled", No, No),
        ] {
            let this = PowerMode::Stopped;
            assert_eq!(
                heard("real", "running", step, PowerMode::Stopping),
                running,
                "{step}"
            );
            assert_eq!(heard("real", "done", step, this), done, "{step}");
            assert_eq!(
                heard("drill", "running", step, PowerMode::Mains),
                running,
                "a drill is real: {step}"
            );
            assert_eq!(
                heard("drill", "done", step, this),
                No,
                "a drill ends with its run"
            );
            assert_eq!(
                heard("rehearsal", "running", step, this),
                No,
                "a rehearsal stops nobody"
            );
            assert_eq!(heard("real", "abandoned", step, this), No, "mains are back");
            // The same run seen after its outage, and in the next one before a plan has started.
            for mode in [PowerMode::Mains, PowerMode::Battery] {
                assert_eq!(
                    heard("real", "done", step, mode),
                    No,
                    "no latch outlives its outage"
                );
            }
        }
        assert_eq!(told(&snapshot::Power::default(), "nas1"), No);
    }
}
