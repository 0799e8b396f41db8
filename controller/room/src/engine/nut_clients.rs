//! Hosts that stop by NUT and have nobody who would hear it.
//!
//! The role `nut` says every second how many clients are logged in to each UPS. While it is away
//! nobody knows, and its own alarm stands; what is not known raises nothing and clears nothing.

use super::Engine;
use crate::alarm::Condition;
use crate::catalog;
use crate::event::{Part, Turn};
use crate::site::{Label, World};
use crate::time::Now;
use std::collections::BTreeMap;

impl<W: World> Engine<W> {
    /// One alarm for each host that stops by NUT; folded under what explains it.
    pub(super) fn furnish_nut_clients(&mut self) {
        let hosts = self.site.hosts.iter();
        let hosts = hosts.filter(|host| W::served_ups(&host.action).is_some());
        let alarms: Vec<_> = hosts
            .map(|host| {
                let mut causes = vec![
                    catalog::part_id(Part::Nut).to_owned(),
                    catalog::device_id(&host.name),
                ];
                causes.extend(self.after_the_plan(&[&host.name]));
                catalog::nut_client(&host.name, host.label.clone(), causes)
            })
            .collect();
        for alarm in alarms {
            self.book.define(alarm);
        }
    }

    /// Who is logged in now.
    pub(super) fn nut_logins(&mut self, now: Now, logins: BTreeMap<String, u32>, turn: &mut Turn) {
        let is_news = self.nut_logins.as_ref() != Some(&logins);
        self.nut_logins = Some(logins);
        if is_news {
            self.evaluate_nut_clients(now, turn);
        }
    }

    /// The role has come or gone.
    pub(super) fn forget_nut_logins(&mut self, now: Now, turn: &mut Turn) {
        self.nut_logins = None;
        self.evaluate_nut_clients(now, turn);
    }

    pub(super) fn evaluate_nut_clients(&mut self, now: Now, turn: &mut Turn) {
        let hosts = self.site.hosts.iter();
        let hosts =
            hosts.filter_map(|host| Some((host.name.clone(), W::served_ups(&host.action)?.to_owned())));
        for (host, ups) in hosts.collect::<Vec<_>>() {
            let condition = match &self.nut_logins {
                None => Condition::Unknown,
                Some(logins) if logins.get(&ups).is_some_and(|count| *count > 0) => Condition::Gone,
                Some(_) => Condition::Holds(Label::new(
                    format!("UPS「{ups}」にログインしているクライアントがいない"),
                    format!("no client is logged in to the UPS {ups}"),
                )),
            };
            self.report(now, turn, &catalog::nut_client_id(&host), condition);
        }
    }
}
