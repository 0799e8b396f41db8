//! `[[command]]` of a profile: what a device can be told, what is written for it, and by what it
//! is known to have happened.
//!
//! ```toml
//! [[command]]
//! name = "shutdown.return"                     # one of `command::KNOWN`
//! before = [{ oid = "1.3.6.1.2.1.33.1.8.5.0", type = "integer", value = 1 }]
//! oid = "1.3.6.1.2.1.33.1.8.2.0"
//! type = "integer"                             # SNMP: integer, unsigned, ticks, oid, text
//! value = "parameter"                          # a number, a text, or what the caller says
//! parameter = { unit = "s", range = [1, 86400] }
//! confirm = "counting"                         # or "written", "answered", or a fact
//! ```
//! `{i}` in the name is the number of an outlet, in an object too. A command that says nothing of
//! its confirmation is refused: "answered" must be meant.

use super::Protocol;
use super::register::Register;
use super::rule::Place;
use super::text::{CommandText, ConfirmText, ValueText, WriteText};
use super::unit::Unit;
use super::value::{Oid, Value};
use super::words::reserved_words;
use crate::command::{Known, Name, OUTLET_MAX};

/// Writes of one command.
pub const WRITES_MAX: usize = 8;
/// Longest wait for a fact to say that it happened, in seconds, beside the command's own delay.
pub const WITHIN_MAX_S: u32 = 600;
/// Bytes of a text that is written.
const TEXT_MAX: usize = 64;
/// As it is written for what the caller says.
const PARAMETER: &str = "parameter";

/// What a device can be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    /// Which command.
    pub known: &'static Known,
    /// What the caller says beside it.
    pub parameter: Option<Parameter>,
    writes: Vec<Template>,
    confirm: Confirm,
}

/// A number that the caller says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter {
    /// Its unit.
    pub unit: Unit,
    /// Least and most.
    pub range: (i64, i64),
    /// Taken when the caller says none; `None`: he must.
    pub usual: Option<i64>,
    /// What is written is so many times it.
    multiply: i64,
}

#[derive(Debug, Clone, PartialEq)]
struct Template {
    place: Spot,
    what: What,
}

#[derive(Debug, Clone, PartialEq)]
enum Spot {
    /// Before and behind the outlet's number; the second is empty where there is none.
    Oid(String),
    Register(Register),
}

#[derive(Debug, Clone, PartialEq)]
enum What {
    Fixed(Value),
    Parameter(Kind),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Integer,
    Unsigned,
    Ticks,
    Oid,
    Text,
}

/// By what a command is known to have happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Confirm {
    /// A state of the device has one of these words.
    Fact {
        /// Its name.
        name: String,
        /// The words.
        is: Vec<String>,
        /// Seconds, from when the command's own delay is over.
        within_s: u32,
    },
    /// What was written last reads back.
    Written,
    /// What was written last reads back as that or less, but not below 0: it counts down.
    Counting,
    /// The device's acceptance is all there is.
    Answered,
}

/// What is to be written for one command, in this order.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Where and what.
    pub writes: Vec<(Place, Value)>,
    /// Seconds until the device acts, where the caller says them.
    pub delay_s: u32,
    /// By what it is known.
    pub confirm: Confirm,
}

/// Why a device cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAction {
    /// The model has no such command.
    #[error("devices of the profile {profile} have no command {command}")]
    Unknown {
        /// Profile.
        profile: String,
        /// Command.
        command: Name,
    },
    /// It needs a number.
    #[error("{command} needs a value from {low} to {high} {unit}")]
    Missing {
        /// Command.
        command: Name,
        /// Least.
        low: i64,
        /// Most.
        high: i64,
        /// Unit.
        unit: &'static str,
    },
    /// The number does not fit.
    #[error("{command} takes a value from {low} to {high} {unit}, not {value}")]
    Range {
        /// Command.
        command: Name,
        /// What was said.
        value: i64,
        /// Least.
        low: i64,
        /// Most.
        high: i64,
        /// Unit.
        unit: &'static str,
    },
    /// It takes no number.
    #[error("{0} takes no value")]
    Needless(Name),
}

impl Action {
    /// What is to be written.
    ///
    /// # Errors
    /// The parameter does not fit.
    pub(super) fn told(&self, name: Name, value: Option<i64>) -> Result<Told, NoAction> {
        let parameter = match (self.parameter, value) {
            (None, None) => 0,
            (None, Some(_)) => return Err(NoAction::Needless(name)),
            (Some(parameter), value) => {
                let (low, high) = parameter.range;
                let unit = parameter.unit.symbol();
                match value.or(parameter.usual) {
                    None => {
                        return Err(NoAction::Missing {
                            command: name,
                            low,
                            high,
                            unit,
                        });
                    }
                    Some(value) if !(low..=high).contains(&value) => {
                        return Err(NoAction::Range {
                            command: name,
                            value,
                            low,
                            high,
                            unit,
                        });
                    }
                    Some(value) => value,
                }
            }
        };
        let times = self.parameter.map_or(1, |parameter| parameter.multiply);
        let outlet = name.outlet().map(|outlet| outlet.to_string()).unwrap_or_default();
        let unknown = || NoAction::Needless(name);
        let writes = self.writes.iter().map(|template| {
            let value = match &template.what {
                What::Fixed(value) => value.clone(),
                What::Parameter(kind) => kind.value(parameter.saturating_mul(times)).ok_or_else(unknown)?,
            };
            let place = match &template.place {
                Spot::Register(register) => Place::Register(*register),
                // `read` has tried it with a number.
                Spot::Oid(text) => Place::Oid(text.replace("{i}", &outlet).parse().map_err(|_| unknown())?),
            };
            Ok((place, value))
        });
        let is_time = self
            .parameter
            .is_some_and(|parameter| parameter.unit.symbol() == "s");
        Ok(Told {
            writes: writes.collect::<Result<_, NoAction>>()?,
            delay_s: if is_time {
                u32::try_from(parameter).unwrap_or(0)
            } else {
                0
            },
            confirm: match &self.confirm {
                Confirm::Fact { name, is, within_s } => Confirm::Fact {
                    name: name.replace("{i}", &outlet),
                    is: is.clone(),
                    within_s: *within_s,
                },
                other => other.clone(),
            },
        })
    }
}

impl Kind {
    /// A number as a value of this kind.
    fn value(self, number: i64) -> Option<Value> {
        match self {
            Self::Integer => i32::try_from(number).ok().map(|n| Value::Integer(i64::from(n))),
            Self::Unsigned => u32::try_from(number).ok().map(|n| Value::Unsigned(u64::from(n))),
            Self::Ticks => u32::try_from(number).ok().map(Value::Ticks),
            Self::Oid | Self::Text => None,
        }
    }
}

/// Reads one `[[command]]`.
pub(super) fn read(text: CommandText, protocol: Protocol) -> Result<Action, String> {
    let known = Known::of(&text.name).ok_or_else(|| {
        let names: Vec<&str> = Known::all().map(|known| known.pattern).collect();
        format!("is none of {}", names.join(", "))
    })?;
    let parameter = match &text.parameter {
        None => None,
        Some(parameter) => {
            let (low, high) = parameter.range;
            let fits = |value: &i64| (low..=high).contains(value);
            let multiply = parameter.multiply.unwrap_or(1);
            if low < 0 || low > high || high > i64::from(i32::MAX) || multiply < 1 {
                return Err("parameter: range or multiply makes no sense".to_owned());
            }
            if parameter.usual.is_some_and(|usual| !fits(&usual)) {
                return Err("parameter: usual is outside of range".to_owned());
            }
            Some(Parameter {
                unit: parameter.unit,
                range: parameter.range,
                usual: parameter.usual,
                multiply,
            })
        }
    };
    if text.before.len() >= WRITES_MAX {
        return Err(format!("more than {WRITES_MAX} writes"));
    }
    let last = WriteText {
        oid: text.oid,
        register: text.register,
        kind: text.kind,
        order: text.order,
        value: text.value,
    };
    let writes = text.before.into_iter().chain([last]);
    let writes = writes
        .map(|write| template(write, known, protocol))
        .collect::<Result<Vec<_>, _>>()?;
    let takes = writes
        .iter()
        .any(|write| matches!(write.what, What::Parameter(_)));
    if takes != parameter.is_some() {
        return Err("parameter and value = \"parameter\" belong together".to_owned());
    }
    if let (Some(parameter), Some(template)) = (
        parameter,
        writes
            .iter()
            .find(|write| matches!(write.what, What::Parameter(_))),
    ) && let What::Parameter(kind) = template.what
    {
        let most = parameter.range.1.saturating_mul(parameter.multiply);
        let fits = match &template.place {
            Spot::Oid(_) => kind.value(most).is_some(),
            Spot::Register(register) => register.words_of(most).is_some(),
        };
        if !fits {
            return Err("parameter: its most does not fit the type".to_owned());
        }
    }
    let confirm = match text.confirm {
        ConfirmText::Word(word) => match word.as_str() {
            "written" => Confirm::Written,
            "counting" if takes => Confirm::Counting,
            "counting" => return Err("confirm: what counts down is a parameter".to_owned()),
            "answered" => Confirm::Answered,
            _ => {
                return Err(
                    "confirm is none of written, counting, answered, { fact, is, within_s }".to_owned(),
                );
            }
        },
        ConfirmText::Fact(fact) => {
            let words = reserved_words(&fact.fact)
                .ok_or_else(|| format!("confirm: `{}` has no reserved words", fact.fact))?;
            if let Some(word) = fact.is.iter().find(|word| !words.allow(word)) {
                return Err(format!("confirm: `{word}` is no word of {}", fact.fact));
            }
            if fact.is.is_empty() || !(1..=WITHIN_MAX_S).contains(&fact.within_s) {
                return Err(format!(
                    "confirm: needs words in `is`, and within_s of 1 to {WITHIN_MAX_S}"
                ));
            }
            Confirm::Fact {
                name: fact.fact,
                is: fact.is,
                within_s: fact.within_s,
            }
        }
    };
    Ok(Action {
        known,
        parameter,
        writes,
        confirm,
    })
}

fn template(text: WriteText, known: &Known, protocol: Protocol) -> Result<Template, String> {
    let place = match (&text.oid, &text.register, protocol) {
        (Some(oid), None, Protocol::Snmp) => {
            let is_of_outlet = known.pattern.contains("{i}");
            if oid.contains("{i}") && !is_of_outlet {
                return Err(format!("{oid}: {{i}} belongs to commands of outlets"));
            }
            let sample = oid.replace("{i}", &OUTLET_MAX.to_string());
            sample.parse::<Oid>().map_err(|error| error.to_string())?;
            Spot::Oid(oid.clone())
        }
        (None, Some(register), Protocol::Modbus(modbus)) => {
            let kind = match &text.kind {
                Some(kind) => kind.parse()?,
                None => super::register::Type::Bit,
            };
            let address = register.parse().map_err(|error| format!("{error}"))?;
            Spot::Register(Register::new(address, kind, text.order.unwrap_or(modbus.order))?)
        }
        (_, _, Protocol::Snmp) => return Err("needs an oid".to_owned()),
        (_, _, Protocol::Modbus(_)) => return Err("needs a register".to_owned()),
    };
    let kind = match (&place, text.kind.as_deref()) {
        (Spot::Register(_), _) | (_, Some("integer")) => Kind::Integer,
        (_, Some("unsigned")) => Kind::Unsigned,
        (_, Some("ticks")) => Kind::Ticks,
        (_, Some("oid")) => Kind::Oid,
        (_, Some("text")) => Kind::Text,
        _ => return Err("type is none of integer, unsigned, ticks, oid, text".to_owned()),
    };
    let fixed = |value: Option<Value>| value.map(What::Fixed).ok_or("value does not fit its type");
    let what = match (text.value, kind) {
        (ValueText::Text(text), Kind::Integer | Kind::Unsigned | Kind::Ticks) if text == PARAMETER => {
            What::Parameter(kind)
        }
        (ValueText::Number(number), _) => {
            if let Spot::Register(register) = &place
                && register.words_of(number).is_none()
            {
                return Err(format!("{number} cannot be written to {}", register.address));
            }
            fixed(kind.value(number))?
        }
        (ValueText::Text(text), Kind::Oid) => fixed(text.parse().ok().map(Value::Oid))?,
        (ValueText::Text(text), Kind::Text) if text.len() <= TEXT_MAX => {
            What::Fixed(Value::Bytes(text.into_bytes()))
        }
        (ValueText::Text(text), _) => return Err(format!("value `{text}` does not fit its type")),
    };
    Ok(Template { place, what })
}

#[cfg(test)]
mod tests {
    use super::super::Library;
    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn profile(commands: &str) -> Result<std::sync::Arc<super::super::Profile>, String> {
        let text = format!(
            "title = \"t\"\nsource = \"s\"\nkind = \"ups\"\n\
             [match]\nsys_object_id = [\"1.3.6.1.4.1.9999\"]\nprobe = [\"1.3.6.1.4.1.9999.1.0\"]\npreference = 0\n\
             [[fact]]\nname = \"ups.model\"\noid = \"1.3.6.1.4.1.9999.1.0\"\nread = \"text\"\n{commands}"
        );
        let library = Library::from_texts(&[("x", &text)]).map_err(|bad| bad.to_string())?;
        Ok(std::sync::Arc::clone(library.get("x").unwrap()))
    }

    #[test]
    fn a_command_becomes_writes_with_the_outlets_number_and_the_callers_value() {
        let profile = profile(
            "[[command]]\nname = \"outlet.{i}.load.off\"\noid = \"1.3.6.1.4.1.9999.2.{i}\"\ntype = \"integer\"\nvalue = 2\n\
             confirm = { fact = \"outlet.{i}.status\", is = [\"off\"], within_s = 10 }\n\
             [[command]]\nname = \"shutdown.return\"\nbefore = [{ oid = \"1.3.6.1.4.1.9999.3.0\", type = \"ticks\", value = \"parameter\" }]\n\
             oid = \"1.3.6.1.4.1.9999.4.0\"\ntype = \"integer\"\nvalue = 2\n\
             parameter = { unit = \"s\", range = [20, 600], multiply = 100 }\nconfirm = \"written\"\n",
        )
        .unwrap();
        let off = profile.told(name("outlet.7.load.off"), None).unwrap();
        let oid = |text: &str| Place::Oid(text.parse().unwrap());
        assert_eq!(off.writes, [(oid("1.3.6.1.4.1.9999.2.7"), Value::Integer(2))]);
        assert!(matches!(off.confirm, Confirm::Fact { name, .. } if name == "outlet.7.status"));
        let back = profile.told(name("shutdown.return"), Some(30)).unwrap();
        assert_eq!(back.delay_s, 30);
        assert_eq!(back.writes[0], (oid("1.3.6.1.4.1.9999.3.0"), Value::Ticks(3000)));
        assert_eq!(back.writes[1], (oid("1.3.6.1.4.1.9999.4.0"), Value::Integer(2)));
        for (value, why) in [
            (None, "needs a value from 20"),
            (Some(19), "not 19"),
            (Some(601), "not 601"),
        ] {
            let refused = profile.told(name("shutdown.return"), value).unwrap_err();
            assert!(refused.to_string().contains(why), "{refused}");
        }
        assert!(profile.told(name("outlet.7.load.off"), Some(1)).is_err());
        assert!(profile.told(name("outlet.7.load.on"), None).is_err());
    }

    #[test]
    fn a_bad_command_is_refused_with_its_name() {
        let oid = "oid = \"1.3.6.1.4.1.9999.2.0\"\ntype = \"integer\"\n";
        for (text, why) in [
            (format!("name = \"explode\"\n{oid}value = 1\nconfirm = \"written\""), "is none of"),
            (format!("name = \"load.off\"\n{oid}value = 1"), "confirm"),
            (format!("name = \"load.off\"\n{oid}value = 1\nconfirm = \"hoped\""), "none of written"),
            (format!("name = \"load.off\"\n{oid}value = 1\nconfirm = \"counting\""), "parameter"),
            (format!("name = \"load.off\"\n{oid}value = \"parameter\"\nconfirm = \"written\""), "belong together"),
            (format!("name = \"load.off\"\n{oid}value = \"x\"\nconfirm = \"written\""), "does not fit"),
            (format!("name = \"load.off\"\n{oid}value = 4294967296\nconfirm = \"written\""), "does not fit"),
            (
                format!("name = \"load.off\"\n{oid}value = 1\nconfirm = {{ fact = \"output.source\", is = [\"gone\"], within_s = 9 }}"),
                "no word of",
            ),
            (
                "name = \"load.off\"\noid = \"1.3.6.1.4.1.9999.{i}\"\ntype = \"integer\"\nvalue = 1\nconfirm = \"written\"".to_owned(),
                "commands of outlets",
            ),
            (
                "name = \"load.off\"\nregister = \"holding:1\"\ntype = \"u16\"\nvalue = 1\nconfirm = \"written\"".to_owned(),
                "needs an oid",
            ),
        ] {
            let refused = profile(&format!("[[command]]\n{text}\n")).unwrap_err();
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }

    /// Whatever a shipped profile says can be encoded, and can be seen by a fact that it has.
    #[test]
    fn every_shipped_command_can_be_said_and_its_fact_exists() {
        let library = Library::builtin();
        let mut commands = 0;
        for profile in library.iter() {
            for action in profile.actions() {
                commands += 1;
                let name = name(&action.known.pattern.replace("{i}", "1"));
                let value = action.parameter.map(|parameter| parameter.range.1);
                let told = profile
                    .told(name, value)
                    .unwrap_or_else(|error| panic!("{}: {error}", profile.name()));
                assert!(!told.writes.is_empty());
                if let Confirm::Fact { name, .. } = &told.confirm {
                    let pattern = name.replace(".1.", ".{i}.");
                    let has = profile
                        .fact_names()
                        .any(|fact| fact == name || outlet_like(fact) == pattern);
                    assert!(has, "{}: {name} is no fact of it", profile.name());
                }
            }
        }
        assert!(commands > 60, "{commands}");
    }

    fn outlet_like(fact: &str) -> String {
        ["{index}", "{1}", "{2}", "{3}"]
            .iter()
            .fold(fact.to_owned(), |fact, index| fact.replace(index, "{i}"))
    }
}
