//! The text of a profile: TOML to [`Profile`], with every key checked.

use super::value::Oid;
use super::{Definition, Kind, Profile, Read, Unit, reserved_words};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Facts of one profile, lines counted; three phases of everything in RFC 1628 are some 60.
pub const FACTS_MAX: usize = 512;
/// Phases, outlets or sensors of one table row definition.
pub const LINES_MAX: u32 = 64;

/// Why a profile is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("profile {profile}: {problem}")]
pub struct BadProfile {
    /// Name of the profile.
    pub profile: String,
    /// What is wrong and where.
    pub problem: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    title: String,
    source: String,
    kind: Kind,
    #[serde(rename = "match")]
    matching: Match,
    #[serde(rename = "fact")]
    facts: Vec<FactText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Match {
    #[serde(default)]
    sys_object_id: Vec<String>,
    probe: Vec<String>,
    #[serde(default)]
    by_probe_alone: bool,
    preference: i32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FactText {
    name: String,
    oid: OneOrMany,
    read: ReadText,
    unit: Option<Unit>,
    #[serde(default = "one")]
    multiply: f64,
    #[serde(default = "one")]
    divide: f64,
    range: Option<(f64, f64)>,
    #[serde(default)]
    invalid: Vec<i64>,
    #[serde(default)]
    words: BTreeMap<String, String>,
    otherwise: Option<String>,
    text: Option<String>,
    lines: Option<u32>,
    line_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
enum ReadText {
    /// A number with unit.
    Number,
    /// An enumeration; `words` maps each value to a reserved word.
    State,
    /// A text of `0` and `1`; `words` maps 1-based positions to reserved words, the first set
    /// one wins, `otherwise` when none is set.
    Flags,
    /// Bits of an integer (0 = least) or of a BITS string (0 = first); as `flags`.
    Bits,
    /// Free text.
    Text,
    /// `text`, whatever the device says; only for what the match has proved (the maker).
    Constant,
}

const fn one() -> f64 {
    1.0
}

/// Reads the text of the profile called `name`.
///
/// # Errors
/// [`BadProfile`] naming the first key that does not fit.
pub fn parse(name: &str, text: &str) -> Result<Profile, BadProfile> {
    let bad = |problem: String| BadProfile {
        profile: name.to_owned(),
        problem,
    };
    let file: File = toml::from_str(text).map_err(|error| bad(error.to_string()))?;
    if file.matching.probe.is_empty() {
        return Err(bad("match.probe names no object".to_owned()));
    }
    if file.matching.sys_object_id.is_empty() && !file.matching.by_probe_alone {
        return Err(bad(
            "neither match.sys_object_id nor match.by_probe_alone".to_owned()
        ));
    }
    let oids = |texts: &[String]| -> Result<Vec<Oid>, BadProfile> {
        texts
            .iter()
            .map(|text| text.parse().map_err(|error| bad(format!("match: {error}"))))
            .collect()
    };
    let mut profile = Profile {
        name: name.to_owned(),
        title: file.title,
        source: file.source,
        kind: file.kind,
        sys_object_ids: oids(&file.matching.sys_object_id)?,
        probes: oids(&file.matching.probe)?,
        by_probe_alone: file.matching.by_probe_alone,
        preference: file.matching.preference,
        oids: Vec::new(),
        definitions: Vec::new(),
    };
    for fact in &file.facts {
        add_fact(&mut profile, fact).map_err(|problem| bad(format!("fact {}: {problem}", fact.name)))?;
    }
    if profile.definitions.len() > FACTS_MAX {
        return Err(bad(format!("more than {FACTS_MAX} facts")));
    }
    Ok(profile)
}

fn add_fact(profile: &mut Profile, fact: &FactText) -> Result<(), String> {
    let (read, unit) = reading_of(fact)?;
    let read = Arc::new(read);
    let templates: Vec<&str> = match &fact.oid {
        OneOrMany::One(oid) => vec![oid],
        OneOrMany::Many(oids) => oids.iter().map(String::as_str).collect(),
    };
    if templates.is_empty() {
        return Err("oid is empty".to_owned());
    }
    let lines = fact.lines.unwrap_or(1);
    if lines == 0 || lines > LINES_MAX {
        return Err(format!("lines must be 1 to {LINES_MAX}"));
    }
    let numbered = templates.iter().all(|template| template.contains("{line}"));
    if fact.lines.is_some() != numbered || (fact.lines.is_some() != fact.line_name.is_some()) {
        return Err("lines, line_name and {line} in every oid belong together".to_owned());
    }
    for line in 1..=lines {
        let name = match &fact.line_name {
            Some(pattern) if line > 1 => pattern.replace("{line}", &line.to_string()),
            _ => fact.name.clone(),
        };
        if line > 1 && name == fact.name {
            return Err("line_name has no {line}".to_owned());
        }
        for template in &templates {
            let oid: Oid = template
                .replace("{line}", &line.to_string())
                .parse()
                .map_err(|error| format!("{error}"))?;
            let at = profile
                .oids
                .iter()
                .position(|known| *known == oid)
                .unwrap_or_else(|| {
                    profile.oids.push(oid);
                    profile.oids.len() - 1
                });
            let known = profile.definitions.iter().find(|other| other.name == name);
            let group = known.map_or(profile.definitions.len(), |other| other.group);
            profile.definitions.push(Definition {
                name: name.clone(),
                group,
                at,
                unit,
                read: Arc::clone(&read),
                further: line > 1,
            });
        }
    }
    Ok(())
}

fn reading_of(fact: &FactText) -> Result<(Read, Unit), String> {
    let words = || -> Result<Vec<(i64, String)>, String> {
        let allowed = reserved_words(&fact.name).ok_or("has no reserved words")?;
        for word in fact.words.values().chain(&fact.otherwise) {
            if !allowed.contains(&word.as_str()) {
                return Err(format!("`{word}` is none of its reserved words {allowed:?}"));
            }
        }
        let mut list = Vec::new();
        for (key, word) in &fact.words {
            let number = key.parse().map_err(|_| format!("words: `{key}` is no number"))?;
            list.push((number, word.clone()));
        }
        list.sort_by_key(|(number, _)| *number);
        if list.is_empty() {
            return Err("words is empty".to_owned());
        }
        Ok(list)
    };
    let flags = || -> Result<(Vec<(usize, String)>, String), String> {
        let otherwise = fact.otherwise.clone().ok_or("otherwise is missing")?;
        let mut set = Vec::new();
        for (number, word) in words()? {
            set.push((
                usize::try_from(number).map_err(|_| "words: negative position")?,
                word,
            ));
        }
        Ok((set, otherwise))
    };
    let is_number = fact.read == ReadText::Number;
    if !is_number
        && (fact.unit.is_some() || fact.range.is_some() || fact.multiply != 1.0 || fact.divide != 1.0)
    {
        return Err("unit, range, multiply and divide belong to numbers".to_owned());
    }
    if (fact.text.is_some()) != (fact.read == ReadText::Constant) {
        return Err("text and read = \"constant\" belong together".to_owned());
    }
    let invalid: Vec<i128> = fact.invalid.iter().copied().map(i128::from).collect();
    let read = match fact.read {
        ReadText::Number => {
            let unit = fact.unit.ok_or("unit is missing")?;
            let (low, high) = fact.range.unwrap_or_else(|| unit.plausible());
            if !(low <= high && fact.multiply > 0.0 && fact.divide > 0.0) {
                return Err("range, multiply or divide makes no sense".to_owned());
            }
            let read = Read::Number {
                multiply: fact.multiply,
                divide: fact.divide,
                invalid,
                low,
                high,
            };
            return Ok((read, unit));
        }
        ReadText::State => Read::State {
            words: words()?,
            invalid,
        },
        ReadText::Flags => {
            let (flags, otherwise) = flags()?;
            if flags.iter().any(|(at, _)| *at == 0) {
                return Err("positions of flags begin with 1".to_owned());
            }
            Read::Flags { flags, otherwise }
        }
        ReadText::Bits => {
            let (bits, otherwise) = flags()?;
            Read::Bits { bits, otherwise }
        }
        ReadText::Text => Read::Text,
        ReadText::Constant => Read::Constant(fact.text.clone().unwrap_or_default()),
    };
    Ok((read, Unit::None))
}
