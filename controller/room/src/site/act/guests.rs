//! Which guests of a hypervisor an action is about: the keys that every such action has.

use crate::outage::Verb;
use crate::site::problem::Kind;
use crate::site::reader::Reader;
use crate::time::Millis;

/// Shortest and longest time that guests may be given.
const FORCE_AFTER: (Millis, Millis) = (Millis::from_secs(1), Millis::from_secs(3600));
/// Time that is added to `force_after` for what comes after: the guests are cut off and seen to be.
pub const CUT_WITHIN: Millis = Millis::from_secs(30);

/// Guests of a hypervisor.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Guests {
    /// Which.
    pub which: Which,
    /// When those that have not shut down by then are switched off as by a power cut; `None`: never.
    pub force_after: Option<Millis>,
}

/// Which guests.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub enum Which {
    /// Whatever runs there, but these names.
    All {
        /// Names of guests that are left alone, such as the hypervisors' own management.
        except: Vec<String>,
    },
    /// These names.
    Named(Vec<String>),
}

impl Which {
    /// Whether it is about a guest of this name.
    #[must_use]
    pub fn takes(&self, name: &str) -> bool {
        match self {
            Self::All { except } => !except.iter().any(|other| other == name),
            Self::Named(names) => names.iter().any(|other| other == name),
        }
    }

    /// In one word, to find the same guests aimed at twice.
    #[must_use]
    pub fn aim(&self) -> String {
        match self {
            Self::All { .. } => "all".to_owned(),
            Self::Named(names) => {
                let mut names = names.clone();
                names.sort_unstable();
                names.join("\u{1f}")
            }
        }
    }
}

/// What an action on a hypervisor is about.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub enum Whom {
    /// The hypervisor's own machine.
    Host,
    /// Guests on it.
    Guests(Guests),
}

impl Whom {
    /// In one word, to find the same aim twice.
    #[must_use]
    pub fn aim(&self) -> String {
        match self {
            Self::Host => "host".to_owned(),
            Self::Guests(guests) => format!("guests {}", guests.which.aim()),
        }
    }

    /// Longest time that the action may take beside its own requests.
    #[must_use]
    pub fn longest(&self) -> Millis {
        match self {
            Self::Host => Millis(0),
            Self::Guests(guests) => guests.longest(),
        }
    }
}

impl Guests {
    /// Longest time that the action may take beside its own requests.
    #[must_use]
    pub fn longest(&self) -> Millis {
        self.force_after
            .map_or(Millis(0), |after| Millis(after.0.saturating_add(CUT_WITHIN.0)))
    }
}

/// Reads `guests`, `except` and, for a stop, `force_after`.
pub(in crate::site) fn read(r: &mut Reader<'_>, verb: Verb) -> Option<Guests> {
    let hint = "guests = \"all\", or a list of their names: [\"web\", \"mail\"]";
    let span = r.span.clone();
    let word = if r.is_text("guests") {
        r.text_or("guests")
    } else {
        None
    };
    let named = if word.is_none() {
        r.list("guests")
    } else {
        Vec::new()
    };
    let except = r.list("except");
    let force_after = match verb {
        Verb::Stop => r.duration_or("force_after", FORCE_AFTER),
        Verb::Force | Verb::Start => None,
    };
    let except: Vec<String> = except.into_iter().map(|name| name.value).collect();
    let which = match word {
        Some(word) if word.value == "all" => Which::All { except },
        Some(word) => {
            r.sink().error_hint(
                Kind::Value,
                &word.span,
                format!("`guests` = \"{}\" is neither \"all\" nor a list", word.value),
                hint,
            );
            return None;
        }
        None if named.is_empty() => {
            if r.has("guests") {
                r.sink()
                    .error_hint(Kind::Value, &span, "`guests` names nobody", hint);
            } else {
                r.missing("guests", hint);
            }
            return None;
        }
        None => {
            if !except.is_empty() {
                r.sink().error_hint(
                    Kind::Conflict,
                    &span,
                    "`except` goes with guests = \"all\"",
                    "take those names out of `guests`",
                );
                return None;
            }
            Which::Named(named.into_iter().map(|name| name.value).collect())
        }
    };
    Some(Guests {
        which,
        force_after: force_after.map(|after| after.value),
    })
}

/// Reads `what` and, for guests, their keys.
pub(in crate::site) fn whom(r: &mut Reader<'_>, verb: Verb) -> Option<Whom> {
    let what = r.word("what", &[("host", false), ("guests", true)]);
    match what {
        None => {
            r.forgive();
            None
        }
        Some(what) if what.value => Some(Whom::Guests(read(r, verb)?)),
        Some(_) => Some(Whom::Host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_are_all_but_some_or_those_that_are_named() {
        let all = Which::All {
            except: vec!["vcenter".to_owned()],
        };
        assert!(all.takes("web") && !all.takes("vcenter"));
        let named = Which::Named(vec!["web".to_owned(), "db".to_owned()]);
        assert!(named.takes("web") && !named.takes("mail"));
        assert_eq!(named.aim(), "db\u{1f}web");
    }
}
