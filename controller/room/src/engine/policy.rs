//! What the signs of the site's rules are now, for the outage engine.
//!
//! It only reads. What cannot be read is [`Sight::Unknown`]; silence is never a word of its own.

use super::Engine;
use crate::catalog::Kind;
use crate::device::FactValue;
use crate::event::Turn;
use crate::outage::operator::{Ask, Person};
use crate::outage::{Input, Sight};
use crate::redundancy::Member;
use crate::site::Label;
use crate::site::World;
use crate::site::outage::Seen;
use crate::time::{Mono, Now, Wall};
use shared::NoData;

/// A clock that shows less has lost its battery: 2026-01-01.
const EARLIEST: Wall = Wall(1_767_225_600_000);

impl<W: World> Engine<W> {
    /// Tells the outage engine what it may judge by, when it has changed.
    pub(super) fn show_signs(&mut self, now: Now, turn: &mut Turn) {
        let Some(policy) = self
            .site
            .outage
            .as_ref()
            .filter(|policy| !policy.rules.is_empty())
        else {
            return;
        };
        let rules = policy.rules.iter();
        let sights: Vec<Vec<Sight>> = rules
            .map(|rule| {
                rule.signs
                    .iter()
                    .map(|sign| self.sight(now, &sign.seen))
                    .collect()
            })
            .collect();
        if sights != self.sights {
            self.sights.clone_from(&sights);
            self.power(now, Input::Signs(&sights), turn);
        }
    }

    /// Tells the outage engine whether local time is to be trusted, when that has changed.
    pub(super) fn show_clock(&mut self, now: Now, turn: &mut Turn) {
        if self.site.schedules.is_empty() {
            return;
        }
        let doubt = self.clock_doubt(now);
        if doubt != self.doubt {
            self.doubt.clone_from(&doubt);
            self.power(now, Input::Clock(doubt), turn);
        }
    }

    fn clock_doubt(&self, now: Now) -> Option<Label> {
        if now.wall < EARLIEST {
            return Some(Label::new(
                "監視装置の時計が古い日付を示している",
                "the controller's clock shows a day long past",
            ));
        }
        let mut standing = self.book.standing_ids();
        let alarm = standing.find(|id| {
            let kind = self.book.definition(id).map(|definition| definition.kind);
            kind == Some(Kind::Clock) && self.book.is_active(id)
        })?;
        Some(Label::new(
            format!("時計の警報 {alarm} が出ている"),
            format!("the alarm {alarm} of a clock stands"),
        ))
    }

    /// Somebody at the controller's own socket orders something.
    pub(super) fn operator(&mut self, now: Now, person: Person, ask: Ask, turn: &mut Turn) {
        turn.said = None;
        if let Ask::Wish(wish) = &ask
            && let Some(answer) = self.battery_order(now, &person, wish, turn)
        {
            turn.refused = None;
            turn.said = Some(answer);
            return;
        }
        let ask = match ask {
            Ask::Log(wish) => return self.log_order(now, &person, wish, turn),
            ask => ask,
        };
        let input = Input::Operator { person, ask };
        let (said, refused) = self.power(now, input, turn);
        turn.refused = None;
        turn.said = said.map(Ok).or(refused.map(Err));
    }

    fn sight(&self, now: Now, seen: &Seen) -> Sight {
        let holds = |value: Result<bool, NoData>| match value {
            Ok(true) => Sight::Holds,
            Ok(false) => Sight::Absent,
            Err(_) => Sight::Unknown,
        };
        match seen {
            Seen::Beyond { point, above, limit } => {
                let beyond = |value: f64| if *above { value > *limit } else { value < *limit };
                holds(self.number(now.mono, point).map(beyond))
            }
            Seen::Contact { point } if self.chatters(point) => Sight::Unknown,
            Seen::Contact { point } => holds(self.number(now.mono, point).map(|level| level >= 0.5)),
            Seen::Fact { device, fact, is } => {
                let says = |value: FactValue| match value {
                    FactValue::State(word) | FactValue::Text(word) => Ok(is.contains(&word)),
                    FactValue::Number(number) => Ok(is.contains(&number.to_string())),
                };
                holds(self.fact_now(now.mono, device, fact).and_then(says))
            }
            Seen::Group { group } => self.group_sight(now, group),
        }
    }

    fn number(&self, now: Mono, point: &str) -> Result<f64, NoData> {
        let point = self.points.get(point).ok_or(NoData::NeverHeard)?;
        point.number(now)
    }

    /// A group is lost when every member says that it does not serve. One that does not answer says
    /// nothing.
    fn group_sight(&self, now: Now, name: &str) -> Sight {
        let Some(at) = self.site.groups.iter().position(|group| group.name == name) else {
            return Sight::Unknown;
        };
        let (members, _) = self.assess_group(now, at);
        if members.contains(&Member::Up(Some(true))) {
            Sight::Absent
        } else if members.iter().all(|member| *member == Member::Up(Some(false))) {
            Sight::Holds
        } else {
            Sight::Unknown
        }
    }
}
