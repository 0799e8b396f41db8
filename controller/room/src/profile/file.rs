//! The text of a profile: TOML to [`Profile`], with every key checked.

use super::read::{Key, Number, Read};
use super::register::{self, Address, Modbus, Order, Register, Type};
use super::rule::{Attribute, Condition, How, Line, Place, Rule, Scale, Source, Subject, Table};
use super::text::{
    ConditionText, FactText, File, KeyText, LabelText, Match, ModbusText, ProtocolText, ReadText, ScaleText,
};
use super::unit::{Limits, Unit};
use super::value::Oid;
use super::words::reserved_words;
use super::{Kind, Profile, Protocol};
use serde_spanned::Spanned;
use std::fmt;
use std::sync::Arc;

/// Facts of one profile, those of its parents and lines counted.
pub const FACTS_MAX: usize = 2048;
/// Phases, outlets or sensors of one fact with `lines`.
pub const LINES_MAX: u32 = 64;
/// Columns and scalars that are read before a layout is made.
pub const ROOTS_MAX: usize = 512;
/// Conditions of one fact.
pub const CONDITIONS_MAX: usize = 8;
/// Bytes of one profile.
pub const TEXT_MAX: usize = 512 * 1024;

/// Why a profile is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct BadProfile {
    /// Name of the profile.
    pub profile: String,
    /// Line of its text, from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong, and what to do.
    pub problem: String,
}

impl BadProfile {
    pub(super) fn new(profile: &str, problem: impl Into<String>) -> Self {
        Self {
            profile: profile.to_owned(),
            line: None,
            problem: problem.into(),
        }
    }
}

impl fmt::Display for BadProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "profile {}, line {line}: {}", self.profile, self.problem),
            None => write!(f, "profile {}: {}", self.profile, self.problem),
        }
    }
}

/// Reads the text of the profile called `name`, without what it takes from its parents.
///
/// # Errors
/// [`BadProfile`] naming the first key that does not fit.
pub fn parse(name: &str, text: &str) -> Result<Profile, BadProfile> {
    let line_of = |at: usize| {
        text.as_bytes()
            .iter()
            .take(at)
            .filter(|byte| **byte == b'\n')
            .count()
            + 1
    };
    let bad = |line: Option<usize>, problem: String| BadProfile {
        profile: name.to_owned(),
        line,
        problem,
    };
    if text.len() > TEXT_MAX {
        return Err(bad(None, format!("more than {TEXT_MAX} bytes")));
    }
    let file: File = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| line_of(span.start));
        bad(line, error.message().trim().replace('\n', " "))
    })?;
    let match_line = file
        .matching
        .as_ref()
        .map(|matching| line_of(matching.span().start));
    let extends_line = file.extends.as_ref().map(|extends| line_of(extends.span().start));
    let drop_line = file.drop.as_ref().map(|drop| line_of(drop.span().start));
    let is_modbus = file.protocol == ProtocolText::Modbus;
    let protocol = protocol_of(is_modbus, file.modbus.as_ref().map(Spanned::get_ref)).map_err(|problem| {
        let line = file.modbus.as_ref().map(|modbus| line_of(modbus.span().start));
        bad(line, problem)
    })?;
    let matching = match (file.kind, file.matching.map(Spanned::into_inner)) {
        (Kind::Part, None) => Match::default(),
        (Kind::Part, Some(_)) => return Err(bad(match_line, "a part has no [match]".to_owned())),
        // A register looks the same in every device.
        (_, Some(_)) if is_modbus => {
            let problem = "a Modbus device cannot be told by asking; the site names its profile";
            return Err(bad(match_line, problem.to_owned()));
        }
        (_, None) if is_modbus => Match::default(),
        (_, Some(matching)) => matching,
        (_, None) => return Err(bad(None, "[match] is missing; only a part has none".to_owned())),
    };
    if file.kind != Kind::Part && !is_modbus {
        if matching.probe.is_empty() {
            return Err(bad(match_line, "match.probe names no object".to_owned()));
        }
        if matching.sys_object_id.is_empty() && matching.sys_descr.is_empty() && !matching.by_probe_alone {
            return Err(bad(
                match_line,
                "none of match.sys_object_id, match.sys_descr and match.by_probe_alone".to_owned(),
            ));
        }
        if matching
            .sys_descr
            .iter()
            .any(|fragment| fragment.trim().is_empty())
        {
            return Err(bad(
                match_line,
                "match.sys_descr: an empty text is in every text".to_owned(),
            ));
        }
    }
    let oids = |texts: &[String]| -> Result<Vec<Oid>, BadProfile> {
        texts
            .iter()
            .map(|text| {
                text.parse()
                    .map_err(|error| bad(match_line, format!("match: {error}")))
            })
            .collect()
    };
    let mut profile = Profile {
        name: name.to_owned(),
        title: file.title,
        source: file.source,
        kind: file.kind,
        protocol,
        extends: file.extends.map(Spanned::into_inner).unwrap_or_default(),
        dropped: file.drop.map(Spanned::into_inner).unwrap_or_default(),
        line: drop_line.or(extends_line).unwrap_or(1),
        sys_object_ids: oids(&matching.sys_object_id)?,
        sys_descr: matching
            .sys_descr
            .iter()
            .map(|text| text.to_lowercase())
            .collect(),
        probes: oids(&matching.probe)?,
        by_probe_alone: matching.by_probe_alone,
        preference: matching.preference,
        no_commands: file.no_commands,
        rules: Vec::new(),
        actions: Vec::new(),
    };
    if profile.extends.is_empty() && file.facts.is_empty() {
        return Err(bad(None, "no [[fact]]".to_owned()));
    }
    for fact in &file.facts {
        let rule = rule_of(fact.get_ref(), protocol).map_err(|problem| {
            bad(
                Some(line_of(fact.span().start)),
                format!("fact {}: {problem}", fact.get_ref().name),
            )
        })?;
        profile.rules.push(Arc::new(rule));
    }
    for command in file.commands {
        let line = line_of(command.span().start);
        let text = command.into_inner();
        let name = text.name.clone();
        let action = super::action::read(text, protocol)
            .and_then(|action| {
                let twice = profile
                    .actions
                    .iter()
                    .any(|own| own.known.pattern == action.known.pattern);
                if twice {
                    Err("is there twice".to_owned())
                } else {
                    Ok(action)
                }
            })
            .map_err(|problem| bad(Some(line), format!("command {name}: {problem}")))?;
        profile.actions.push(Arc::new(action));
    }
    check_size(&profile)?;
    Ok(profile)
}

/// The limits of a whole profile.
pub(super) fn check_size(profile: &Profile) -> Result<(), BadProfile> {
    let facts: usize = profile
        .rules
        .iter()
        .map(|rule| match &rule.source {
            Source::Known(lines) => lines.iter().map(|line| line.places.len()).sum(),
            Source::Table(table) => table.columns.len(),
        })
        .sum();
    if facts > FACTS_MAX {
        return Err(profile.bad(format!("more than {FACTS_MAX} facts")));
    }
    let roots = profile.roots();
    if roots.columns.len() + roots.scalars.len() > ROOTS_MAX {
        return Err(profile.bad(format!(
            "more than {ROOTS_MAX} columns and scalars to read at detection"
        )));
    }
    Ok(())
}

/// What `protocol` and `[modbus]` say.
fn protocol_of(is_modbus: bool, text: Option<&ModbusText>) -> Result<Protocol, String> {
    let text = match (is_modbus, text) {
        (false, None) => return Ok(Protocol::Snmp),
        (false, Some(_)) => return Err("[modbus] belongs to protocol = \"modbus\"".to_owned()),
        (true, None) => &ModbusText::default(),
        (true, Some(text)) => text,
    };
    let house = Modbus::default();
    let modbus = Modbus {
        order: text.order,
        max_registers: text.max_registers.unwrap_or(house.max_registers),
        hole: text.hole.unwrap_or(house.hole),
        pause_ms: text.pause_ms.unwrap_or(house.pause_ms),
    };
    if !(1..=house.max_registers).contains(&modbus.max_registers) {
        return Err(format!("max_registers must be 1 to {}", house.max_registers));
    }
    if modbus.pause_ms > register::PAUSE_MS_MAX {
        return Err(format!("pause_ms must be 0 to {}", register::PAUSE_MS_MAX));
    }
    Ok(Protocol::Modbus(modbus))
}

fn rule_of(fact: &FactText, protocol: Protocol) -> Result<Rule, String> {
    let (read, unit) = reading_of(fact)?;
    let source = match (&fact.oid, &fact.column, &fact.register, protocol) {
        (Some(oid), None, None, Protocol::Snmp) => known(fact, &oid.list())?,
        (None, Some(column), None, Protocol::Snmp) => table(fact, &column.list())?,
        (None, None, Some(register), Protocol::Modbus(modbus)) => {
            registers(fact, &register.list(), modbus.order)?
        }
        (None, None, None, Protocol::Snmp) => return Err("has neither oid nor column".to_owned()),
        (None, None, None, Protocol::Modbus(_)) => return Err("has no register".to_owned()),
        (_, _, Some(_), Protocol::Snmp) => {
            return Err("a register needs protocol = \"modbus\" at the top of the file".to_owned());
        }
        (_, _, _, Protocol::Modbus(_)) => {
            return Err("oid and column belong to SNMP; name a register".to_owned());
        }
        (Some(_), Some(_), None, Protocol::Snmp) => return Err("has both oid and column".to_owned()),
    };
    let has_register_keys = fact.kind.is_some() || fact.order.is_some() || fact.stride.is_some();
    if protocol == Protocol::Snmp && has_register_keys {
        return Err("type, order and stride belong to a register".to_owned());
    }
    let is_table = matches!(source, Source::Table(_));
    if fact.conditions.len() > CONDITIONS_MAX {
        return Err(format!("where: more than {CONDITIONS_MAX} conditions"));
    }
    let mut conditions = Vec::new();
    for condition in &fact.conditions {
        conditions.push(condition_of(condition, is_table).map_err(|problem| format!("where: {problem}"))?);
    }
    let scale = match &fact.scale {
        Some(_) if fact.read != ReadText::Number => return Err("scale belongs to numbers".to_owned()),
        Some(scale) => Some(scale_of(scale, is_table).map_err(|problem| format!("scale: {problem}"))?),
        None => None,
    };
    let line_name = fact.line_name.as_ref().map(|name| name.replace("{line}", "{i}"));
    let names = [Some(fact.name.clone()), fact.first_name.clone(), line_name];
    if fact.rarely && !is_table {
        return Err("rarely belongs to a column".to_owned());
    }
    Ok(Rule {
        written: names.into_iter().flatten().collect(),
        rarely: fact.rarely,
        unit,
        read: Arc::new(read),
        source,
        conditions,
        scale,
    })
}

fn known(fact: &FactText, templates: &[&str]) -> Result<Source, String> {
    if templates.is_empty() {
        return Err("oid is empty".to_owned());
    }
    if fact.first_name.is_some() || fact.label.is_some() {
        return Err("first_name and label belong to a column".to_owned());
    }
    check_name(&fact.name, &[])?;
    let count = fact.lines.unwrap_or(1);
    if count == 0 || count > LINES_MAX {
        return Err(format!("lines must be 1 to {LINES_MAX}"));
    }
    let numbered = templates.iter().all(|template| template.contains("{line}"));
    if fact.lines.is_some() != numbered || (fact.lines.is_some() != fact.line_name.is_some()) {
        return Err("lines, line_name and {line} in every oid belong together".to_owned());
    }
    if let Some(pattern) = &fact.line_name {
        check_name(pattern, &["line"])?;
        if !pattern.contains("{line}") {
            return Err("line_name has no {line}".to_owned());
        }
    }
    let mut lines = Vec::new();
    for line in 1..=count {
        let name = match &fact.line_name {
            Some(pattern) if line > 1 => pattern.replace("{line}", &line.to_string()),
            _ => fact.name.clone(),
        };
        let mut places = Vec::new();
        for template in templates {
            places.push(Place::Oid(oid(&template.replace("{line}", &line.to_string()))?));
        }
        lines.push(Line {
            name,
            places,
            further: line > 1,
        });
    }
    Ok(Source::Known(lines))
}

fn registers(fact: &FactText, templates: &[&str], order: Order) -> Result<Source, String> {
    if templates.is_empty() {
        return Err("register is empty".to_owned());
    }
    if fact.first_name.is_some() || fact.label.is_some() {
        return Err("first_name and label belong to a column".to_owned());
    }
    check_name(&fact.name, &[])?;
    let count = fact.lines.unwrap_or(1);
    if count == 0 || count > LINES_MAX {
        return Err(format!("lines must be 1 to {LINES_MAX}"));
    }
    let together = [fact.line_name.is_some(), fact.stride.is_some()];
    if together.iter().any(|given| *given != fact.lines.is_some()) {
        return Err("lines, line_name and stride belong together".to_owned());
    }
    if let Some(pattern) = &fact.line_name {
        check_name(pattern, &["line"])?;
        if !pattern.contains("{line}") {
            return Err("line_name has no {line}".to_owned());
        }
    }
    let mut lines = Vec::new();
    for line in 1..=count {
        let name = match &fact.line_name {
            Some(pattern) if line > 1 => pattern.replace("{line}", &line.to_string()),
            _ => fact.name.clone(),
        };
        let mut places = Vec::new();
        for template in templates {
            let mut address: Address = template.parse().map_err(|error| format!("{error}"))?;
            let further = u32::from(fact.stride.unwrap_or(0)) * (line - 1);
            address.at = u16::try_from(u32::from(address.at) + further)
                .map_err(|_| format!("line {line} is beyond register 65535"))?;
            let kind = match &fact.kind {
                Some(kind) => kind.parse()?,
                None if address.space.is_bits() => Type::Bit,
                None => return Err("type is missing (u16, i16, u32, i32, u64, f32 or text:20)".to_owned()),
            };
            if (fact.read == ReadText::Text) != matches!(kind, Type::Text(_))
                && fact.read != ReadText::Constant
            {
                return Err("read = \"text\" and type = \"text:...\" belong together".to_owned());
            }
            places.push(Place::Register(Register::new(
                address,
                kind,
                fact.order.unwrap_or(order),
            )?));
        }
        lines.push(Line {
            name,
            places,
            further: line > 1,
        });
    }
    Ok(Source::Known(lines))
}

fn table(fact: &FactText, columns: &[&str]) -> Result<Source, String> {
    if columns.is_empty() {
        return Err("column is empty".to_owned());
    }
    if fact.lines.is_some() || fact.line_name.is_some() {
        return Err(
            "lines and line_name belong to an oid; a column has the rows that the device has".to_owned(),
        );
    }
    check_name(&fact.name, &["i", "index"])?;
    if let Some(first) = &fact.first_name {
        check_name(first, &[])?;
        if !fact.name.contains('{') {
            return Err("first_name needs a name with {i} for the other rows".to_owned());
        }
    }
    let label = match &fact.label {
        None => None,
        Some(LabelText::Column(column)) => Some(Attribute::Column(oid(column)?, None)),
        Some(LabelText::Table(label)) => Some(Attribute::Column(oid(&label.column)?, arcs(label.arcs)?)),
    };
    Ok(Source::Table(Table {
        name: fact.name.clone(),
        first_name: fact.first_name.clone(),
        columns: columns
            .iter()
            .map(|column| oid(column))
            .collect::<Result<_, _>>()?,
        label,
    }))
}

/// Letters, digits, points and, in braces, these words or the number of an arc.
fn check_name(name: &str, allowed: &[&str]) -> Result<(), String> {
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('{') {
        check_letters(before)?;
        let (inside, after) = after
            .split_once('}')
            .ok_or(format!("`{name}` has a {{ without a }}"))?;
        let is_arc =
            allowed.contains(&"i") && inside.parse::<usize>().is_ok_and(|arc| (1..=128).contains(&arc));
        if !is_arc && !allowed.contains(&inside) {
            return Err(match allowed {
                [] => format!("`{{{inside}}}` in the name needs a column"),
                _ => format!("`{{{inside}}}` in a name: {{i}}, {{index}} and {{1}}, {{2}}, ... are known"),
            });
        }
        rest = after;
    }
    if name.is_empty() {
        return Err("the name is empty".to_owned());
    }
    check_letters(rest)
}

fn check_letters(text: &str) -> Result<(), String> {
    match text
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')))
    {
        Some(c) => Err(format!("`{c}` cannot be in a name")),
        None => Ok(()),
    }
}

fn oid(text: &str) -> Result<Oid, String> {
    text.parse().map_err(|error| format!("{error}"))
}

fn arcs(arcs: Option<usize>) -> Result<Option<usize>, String> {
    match arcs {
        Some(0) => Err("arcs must be 1 or more".to_owned()),
        arcs => Ok(arcs),
    }
}

fn attribute_of(
    column: Option<&String>,
    of_arcs: Option<usize>,
    scalar: Option<&String>,
    is_table: bool,
) -> Result<Attribute, String> {
    match (column, scalar) {
        (Some(_), None) if !is_table => Err("a column belongs to a fact with a column".to_owned()),
        (Some(column), None) => Ok(Attribute::Column(oid(column)?, arcs(of_arcs)?)),
        (None, Some(_)) if of_arcs.is_some() => Err("arcs belong to a column".to_owned()),
        (None, Some(scalar)) => Ok(Attribute::Scalar(oid(scalar)?)),
        _ => Err("names either a column or a scalar".to_owned()),
    }
}

fn condition_of(text: &ConditionText, is_table: bool) -> Result<Condition, String> {
    let subject = match text.arc {
        Some(_) if text.column.is_some() || text.scalar.is_some() || !is_table => {
            return Err("arc stands alone, in a fact with a column".to_owned());
        }
        Some(0) => return Err("arcs are counted from 1".to_owned()),
        Some(arc) => Subject::Arc(arc),
        None => Subject::Attribute(attribute_of(
            text.column.as_ref(),
            text.arcs,
            text.scalar.as_ref(),
            is_table,
        )?),
    };
    let texts = text.text.iter().map(|text| Key::Text(text.clone()));
    let is: Vec<Key> = text.is.iter().map(KeyText::key).chain(texts).collect();
    let not: Vec<Key> = text.not.iter().map(KeyText::key).collect();
    if is.is_empty() && not.is_empty() {
        return Err("says neither is, nor not, nor text".to_owned());
    }
    Ok(Condition { subject, is, not })
}

fn scale_of(text: &ScaleText, is_table: bool) -> Result<Scale, String> {
    let by = attribute_of(text.column.as_ref(), text.arcs, text.scalar.as_ref(), is_table)?;
    let precision = match (&text.precision, text.how) {
        (None, _) => None,
        (Some(precision), How::Entity) => Some(match &by {
            Attribute::Column(_, arcs) => Attribute::Column(oid(precision)?, *arcs),
            Attribute::Scalar(_) => Attribute::Scalar(oid(precision)?),
        }),
        (Some(_), _) => return Err("precision belongs to as = \"entity\"".to_owned()),
    };
    Ok(Scale {
        by,
        how: text.how,
        precision,
    })
}

fn reading_of(fact: &FactText) -> Result<(Read, Unit), String> {
    let is_number = fact.read == ReadText::Number;
    let scales = fact.multiply != 1.0 || fact.divide != 1.0 || fact.offset != 0.0;
    if !is_number && (fact.unit.is_some() || fact.range.is_some() || scales) {
        return Err("unit, range, multiply, divide and offset belong to numbers".to_owned());
    }
    if !matches!(fact.read, ReadText::Flags | ReadText::Bits) && !fact.first.is_empty() {
        return Err("first belongs to flags and bits".to_owned());
    }
    if (fact.text.is_some()) != (fact.read == ReadText::Constant) {
        return Err("text and read = \"constant\" belong together".to_owned());
    }
    if !matches!(fact.read, ReadText::State | ReadText::Flags | ReadText::Bits)
        && (!fact.words.is_empty() || fact.otherwise.is_some())
    {
        return Err("words and otherwise belong to states".to_owned());
    }
    let invalid: Vec<Key> = fact.invalid.iter().map(KeyText::key).collect();
    let read = match fact.read {
        ReadText::Number => {
            let unit = fact.unit.ok_or("unit is missing")?;
            let usual = match fact.range {
                Some((low, high)) => Limits::new(low, high),
                None => unit.usual(&fact.name),
            };
            let numbers = [usual.low, usual.high, fact.multiply, fact.divide, fact.offset];
            if !(usual.low <= usual.high && fact.multiply > 0.0 && fact.divide > 0.0)
                || numbers.iter().any(|number| !number.is_finite())
            {
                return Err("range, multiply, divide or offset makes no sense".to_owned());
            }
            let number = Number {
                multiply: fact.multiply,
                divide: fact.divide,
                offset: fact.offset,
                invalid,
                usual,
                physical: unit.physical(&fact.name),
                unit,
                is_counter: unit.is_counter(&fact.name),
            };
            return Ok((Read::Number(number), unit));
        }
        ReadText::State => {
            if fact.otherwise.is_some() {
                return Err(
                    "otherwise belongs to flags and bits: a value without a word is no state".to_owned(),
                );
            }
            Read::State {
                words: words(fact)?
                    .into_iter()
                    .map(|(key, word)| match key.parse::<i32>() {
                        Ok(number) => (Key::Number(f64::from(number)), word),
                        Err(_) => (Key::Text(key), word),
                    })
                    .collect(),
                invalid,
            }
        }
        ReadText::Flags => {
            let (flags, otherwise) = positions(fact)?;
            if flags.iter().any(|(at, _)| *at == 0) {
                return Err("positions of flags begin with 1".to_owned());
            }
            Read::Flags { flags, otherwise }
        }
        ReadText::Bits => {
            let (bits, otherwise) = positions(fact)?;
            Read::Bits { bits, otherwise }
        }
        ReadText::Text => Read::Text { invalid },
        ReadText::Constant => Read::Constant(fact.text.clone().unwrap_or_default()),
    };
    Ok((read, Unit::None))
}

/// Each key with its word, which must be one of the fact's reserved ones.
fn words(fact: &FactText) -> Result<Vec<(String, String)>, String> {
    for name in [
        Some(&fact.name),
        fact.first_name.as_ref(),
        fact.line_name.as_ref(),
    ]
    .into_iter()
    .flatten()
    {
        let reserved = reserved_words(name).ok_or(format!("`{name}` has no reserved words"))?;
        if let Some(word) = fact
            .words
            .values()
            .chain(&fact.otherwise)
            .find(|word| !reserved.allow(word))
        {
            return Err(format!("`{word}` is none of its reserved words {reserved:?}"));
        }
    }
    if fact.words.is_empty() {
        return Err("words is empty".to_owned());
    }
    Ok(fact.words.clone().into_iter().collect())
}

/// Positions with their words, the lowest first, and the word when none is set.
fn positions(fact: &FactText) -> Result<(Vec<(usize, String)>, String), String> {
    let mut set = Vec::new();
    for (key, word) in words(fact)? {
        let at: usize = key
            .parse()
            .map_err(|_| format!("words: `{key}` is no position"))?;
        set.push((at, word));
    }
    let rank = |at: usize| fact.first.iter().position(|first| *first == at);
    // Those that count first, in their order, then the others, the lowest first.
    set.sort_by_key(|(at, _)| (rank(*at).unwrap_or(usize::MAX), *at));
    if let Some(at) = fact
        .first
        .iter()
        .find(|at| !set.iter().any(|(known, _)| known == *at))
    {
        return Err(format!("first: {at} has no word"));
    }
    let otherwise = fact.otherwise.clone().ok_or("otherwise is missing")?;
    Ok((set, otherwise))
}
