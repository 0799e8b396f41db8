//! What is soldered and screwed to a node: the keys of `[[node.channel]]` that say which part
//! measures a channel, and what two of them must be to each other.
//!
//! They are needed to provision a node (`yagura node provision`); a node that was provisioned
//! elsewhere can be watched without them.

use super::ContactKind;
use super::parse::quantity_word;
use super::problem::{Kind, Sink};
use super::raw::{RawChannel, RawNode};
use super::reader::{At, Found, Reader};
use crate::time::Millis;
use shared::Quantity;
use shared::mount::{Converter, Mount, NORMALLY_OPEN, Part};
use std::collections::BTreeMap;

/// I2C addresses that a part can have; those below and above are reserved (NXP UM10204, 3.1.12).
const I2C: std::ops::RangeInclusive<u8> = 0x08..=0x77;
/// Unit ids of Modbus (Modbus over serial line V1.02, 2.2).
const MODBUS: std::ops::RangeInclusive<u8> = 1..=247;
/// Longest hold of a contact: a minute is no bouncing any more.
const MAX_HOLD: Millis = Millis::from_secs(60);
/// Outputs that a part may have, for the search of the one that measures a quantity.
const OUTPUTS: u8 = 4;
/// Keys that say something about a part, beside `part` itself.
const KEYS: [&str; 6] = ["at", "output", "converter", "hold", "param", "normally"];

/// The part of one channel; `None` when none is written or something about it is wrong.
pub(super) fn read(
    r: &mut Reader<'_>,
    quantity: &Found<Quantity>,
    contact: Option<ContactKind>,
) -> Found<Mount> {
    let words = Part::ALL.map(|part| (part.word(), part));
    let part = r.word_or("part", &words);
    let at = r.whole_or_text("at", 0..=255);
    let output = r.whole_or("output", 0..=15);
    let converter = r.word_or(
        "converter",
        &[
            ("ads1115", Converter::Ads1115),
            ("max34451", Converter::Max34451),
            ("adm1272", Converter::Adm1272),
            ("board", Converter::Board),
        ],
    );
    let hold = r.duration_or("hold", (Millis(1), MAX_HOLD));
    let param = r.whole_or("param", 0..=i64::from(u16::MAX));
    let normally = r.word_or("normally", &[("closed", false), ("open", true)]);
    if !r.has("part") {
        if let Some(key) = KEYS.into_iter().find(|key| r.has(key)) {
            r.missing(
                "part",
                &format!("`{key}` says where a part is; which part is it?"),
            );
        }
        return None;
    }
    let part = part?;
    let Some(at) = at else {
        if !r.has("at") {
            r.missing("at", where_is(part.value));
        }
        return None;
    };
    let at = At {
        value: u8::try_from(at.value).ok()?,
        span: at.span,
    };
    if !place_exists(part.value, &at, r.sink()) {
        return None;
    }
    let mut mount = Mount::new(part.value, at.value, 0);
    // Keys that mean nothing for this part would only seem to do something.
    let is_contact = part.value == Part::Contact;
    let foreign = [
        ("hold", hold.is_some() && !is_contact),
        ("normally", normally.is_some() && !is_contact),
        ("param", param.is_some() && is_contact),
        ("output", output.is_some() && is_contact),
        ("converter", converter.is_some() && !needs_converter(part.value)),
    ];
    for (key, _) in foreign.into_iter().filter(|(_, foreign)| *foreign) {
        r.sink().error_hint(
            Kind::Conflict,
            &part.span,
            format!("`{key}` means nothing for part = \"{}\"", part.value.word()),
            "remove it, or correct the part",
        );
    }
    if let Some(hold) = &hold {
        mount.param = u16::try_from(hold.value.0).unwrap_or(u16::MAX);
    }
    if let Some(param) = &param {
        mount.param = u16::try_from(param.value).unwrap_or(u16::MAX);
    }
    if normally.is_some_and(|open| open.value) {
        mount.flags |= NORMALLY_OPEN;
    }
    if needs_converter(part.value) {
        match &converter {
            Some(converter) => mount = mount.with_converter(converter.value),
            None if r.has("converter") => return None,
            None => {
                r.missing(
                    "converter",
                    "what measures the line: \"ads1115\", \"max34451\", \"adm1272\" or \"board\"",
                );
                return None;
            }
        }
    }
    let quantity = quantity.as_ref()?;
    mount.output = match &output {
        Some(output) => u8::try_from(output.value).unwrap_or(u8::MAX),
        None if r.has("output") => return None,
        None => match outputs_of(part.value, quantity.value)[..] {
            [only] => only,
            [] => 0,
            _ => {
                r.missing("output", "which of its outputs, from 0");
                return None;
            }
        },
    };
    if mount.quantity() != Some(quantity.value) {
        r.sink().error_hint(
            Kind::Conflict,
            &part.span,
            format!(
                "\"{}\" does not measure {} at output {}",
                part.value.word(),
                quantity_word(quantity.value),
                mount.output
            ),
            gives(part.value),
        );
        return None;
    }
    if matches!(part.value, Part::LeakSpot | Part::LeakRope)
        && contact.is_some_and(|kind| kind != ContactKind::Leak)
    {
        r.sink().error_hint(
            Kind::Conflict,
            &part.span,
            format!(
                "\"{}\" can guard nothing but contact = \"leak\"",
                part.value.word()
            ),
            "correct the contact, or the part",
        );
    }
    Some(At {
        value: mount,
        span: part.span,
    })
}

const fn needs_converter(part: Part) -> bool {
    matches!(part, Part::LeakSpot | Part::LeakRope | Part::Voltage)
}

const fn where_is(part: Part) -> &'static str {
    match part {
        Part::Contact => "the pin of the board, e.g. at = 0",
        Part::ModbusProbe => "the probe's unit id, e.g. at = 1",
        Part::LeakSpot | Part::LeakRope | Part::Voltage => {
            "the I2C address of its converter, e.g. at = \"0x48\""
        }
        _ => "the I2C address, e.g. at = \"0x44\"",
    }
}

fn place_exists(part: Part, at: &At<u8>, sink: &Sink<'_>) -> bool {
    let (range, what) = match part {
        Part::Contact => return true,
        Part::ModbusProbe => (MODBUS, "a Modbus unit id"),
        // The board's own converter has no address; 0 stands for it.
        _ if needs_converter(part) && at.value == 0 => return true,
        _ => (I2C, "an I2C address"),
    };
    if range.contains(&at.value) {
        return true;
    }
    sink.error_hint(
        Kind::Value,
        &at.span,
        format!("`at` = {0} (0x{0:02x}) is not {what}", at.value),
        format!(
            "from {} to {} (0x{:02x} to 0x{:02x})",
            range.start(),
            range.end(),
            range.start(),
            range.end()
        ),
    );
    false
}

fn outputs_of(part: Part, quantity: Quantity) -> Vec<u8> {
    // A line is on one channel of a converter of many, which nobody can guess.
    if part == Part::Contact {
        return vec![0];
    }
    (0..OUTPUTS)
        .filter(|output| part.quantity(*output) == Some(quantity))
        .collect()
}

fn gives(part: Part) -> String {
    let outputs: Vec<String> = (0..OUTPUTS)
        .filter_map(|output| Some(format!("{output}: {}", quantity_word(part.quantity(output)?))))
        .collect();
    format!("its outputs are {}", outputs.join(", "))
}

/// What the parts of one node must be to each other.
pub(super) fn check(node: &RawNode, sink: &Sink<'_>) {
    let mounted: Vec<(&RawChannel, &At<Mount>)> = node
        .channels
        .iter()
        .filter_map(|channel| Some((channel, channel.mount.as_ref()?)))
        .collect();
    if mounted.is_empty() && node.board.is_none() {
        return;
    }
    // A block with half of the channels would make a node that is silent about the rest.
    for channel in node.channels.iter().filter(|channel| !channel.has_part) {
        sink.error_hint(
            Kind::Missing,
            &channel.span,
            "`part` is missing in [[node.channel]]",
            "the node is to be provisioned from this file: every channel needs its part and place",
        );
    }
    let mut rows: BTreeMap<(u8, u8, u8, u8), usize> = BTreeMap::new();
    let mut chips: BTreeMap<u8, (&'static str, usize)> = BTreeMap::new();
    for (_, mount) in &mounted {
        let line = sink.line(mount.span.start);
        let value = mount.value;
        let key = (value.part as u8, value.at, value.output, value.converter() as u8);
        if let Some(first) = rows.insert(key, line) {
            let what = match value.part {
                Part::Contact => format!("the pin {} is used twice", value.at),
                part => format!(
                    "output {} of \"{}\" at 0x{:02x} is used twice",
                    value.output,
                    part.word(),
                    value.at
                ),
            };
            sink.error_hint(
                Kind::Duplicate,
                &mount.span,
                what,
                format!("it is first used in line {first}"),
            );
        }
        let Some(chip) = chip(value) else { continue };
        let (other, first) = *chips.entry(value.at).or_insert((chip, line));
        if other != chip {
            sink.error_hint(
                Kind::Duplicate,
                &mount.span,
                format!("\"{chip}\" cannot be at 0x{:02x}: \"{other}\" is", value.at),
                format!("that one stands in line {first}; give one of them another address"),
            );
        }
    }
}

/// The chip that answers on the I2C bus, if any.
const fn chip(mount: Mount) -> Option<&'static str> {
    match mount.part {
        Part::Contact | Part::ModbusProbe => None,
        Part::LeakSpot | Part::LeakRope | Part::Voltage => match mount.converter() {
            Converter::Ads1115 => Some("ads1115"),
            Converter::Max34451 => Some("max34451"),
            Converter::Adm1272 => Some("adm1272"),
            Converter::Board => None,
        },
        part => Some(part.word()),
    }
}
