//! The doors of a site: `[access]`, `[[node.portal]]`, and the file with the cards.
//!
//! Cards stand in a file of their own, because other people keep it than the room's settings and
//! because it names persons. A card is written by its id under the site's card key, never by its
//! number; `yagura card enroll` shows the ids of unknown cards that were just presented.

use super::calendar;
use super::problem::{Kind, Problem, Severity, Sink, nearest};
use super::raw::{RawAccess, RawChannel, RawNode, RawPortal};
use super::reader::{At, Found, Reader};
use super::sections::{label, span_or};
use super::{Access, Card, ContactKind, Passes, Portal};
use crate::people;
use crate::register::{self, AntiPassback};
use crate::time::Millis;
use shared::access::{CardId, EVERY_DAY, HOLIDAY, STEPS_PER_DAY, UnsetClock};
use shared::board::Board;
use shared::limit::{MAX_CARDS, MAX_HOLIDAYS};
use shared::mount::PortalInput;
use shared::provision::{CardKinds, MAX_STRIKE_MS};
use std::collections::BTreeMap;
use std::path::Path;
use toml::de::DeTable;

/// Doors that one node can guard.
pub const MAX_PORTALS: usize = 1;
/// Cards of a site; each list of a node holds [`MAX_CARDS`] entries.
const MAX_FILE_CARDS: usize = 2_000;

/// How long a grant drives the strike.
const STRIKE: Millis = Millis::from_secs(5);
/// How long a door may stand open.
const HELD_OPEN: Millis = Millis::from_secs(30);
/// How long before that the buzzer warns.
const WARN: Millis = Millis::from_secs(10);
/// Local time of a site that does not say otherwise: Japan.
const UTC_OFFSET: i16 = 540;
/// Days after which a list that nobody confirmed is stale.
const STALE_AFTER_DAYS: u8 = 14;

/// `[access]`
pub(super) fn access(mut r: Reader<'_>) -> RawAccess {
    let offset = r.text_or("utc_offset");
    let utc_offset_min = offset.map_or(Some(UTC_OFFSET), |text| {
        let minutes = calendar::utc_offset(&text.value);
        if minutes.is_none() {
            r.sink().error_hint(
                Kind::Value,
                &text.span,
                format!("`utc_offset` = \"{}\" is not a distance from UTC", text.value),
                "e.g. \"+09:00\", at most 14 hours",
            );
        }
        minutes
    });
    let stale = r.whole_or("stale_after_days", 0..=90);
    let mut holidays = Vec::new();
    for text in r.list("holidays") {
        match calendar::day(&text.value) {
            Some(day) => holidays.push(At {
                value: day,
                span: text.span,
            }),
            None => r.sink().error_hint(
                Kind::Value,
                &text.span,
                format!("`holidays` names \"{}\", which is no day", text.value),
                "write it as \"2026-11-23\"",
            ),
        }
    }
    if holidays.len() > MAX_HOLIDAYS {
        r.sink().error_hint(
            Kind::Value,
            &r.span,
            format!("`holidays` has more than {MAX_HOLIDAYS} days"),
            "take out those that are over",
        );
    }
    let mut seen = BTreeMap::new();
    for day in &holidays {
        if seen.insert(day.value, ()).is_some() {
            r.sink()
                .error(Kind::Duplicate, &day.span, "this holiday is listed twice");
        }
    }
    let access = RawAccess {
        card_key_file: r.path(
            "card_key_file",
            "the file with the site's card key; `yagura node provision` makes it",
        ),
        cards_file: r.path_or("cards_file"),
        utc_offset_min,
        unset_clock: r
            .word_or(
                "unset_clock",
                &[
                    ("deny", UnsetClock::Deny),
                    ("allow_and_flag", UnsetClock::AllowAndFlag),
                ],
            )
            .map_or(UnsetClock::Deny, |word| word.value),
        stale_after_days: stale.map_or(STALE_AFTER_DAYS, |days| {
            u8::try_from(days.value).unwrap_or(u8::MAX)
        }),
        holidays: holidays.into_iter().map(|day| day.value).collect(),
        people: people(&mut r),
        passages: passages(&mut r),
    };
    r.finish();
    access
}

/// How often somebody must say that a person still needs to enter, and what else becomes of them.
fn people(r: &mut Reader<'_>) -> people::Rules {
    let days = r.whole_or("reconfirm_days", 1..=1_000);
    let what = r.word_or("unconfirmed", &[("name", false), ("suspend", true)]);
    if let (Some(what), None) = (&what, &days) {
        r.sink().error_hint(
            Kind::Conflict,
            &what.span,
            "`unconfirmed` without `reconfirm_days`: nobody is ever unconfirmed",
            "e.g. reconfirm_days = 400, for once a year with some weeks to do it",
        );
    }
    people::Rules {
        reconfirm_days: days.map_or(0, |days| u16::try_from(days.value).unwrap_or(u16::MAX)),
        suspend_unconfirmed: what.is_some_and(|what| what.value),
    }
}

/// What is noteworthy about passages.
fn passages(r: &mut Reader<'_>) -> register::Rules {
    let anti_passback = r.word_or(
        "anti_passback",
        &[
            ("off", AntiPassback::Off),
            ("report", AntiPassback::Report),
            ("enforce", AntiPassback::Enforce),
        ],
    );
    let hours = r.text_or("hours").and_then(|text| {
        let read = text.value.split_once('-').and_then(|(from, to)| {
            let hours = (calendar::step(from)?, calendar::step(to)?);
            (hours.0 < hours.1).then_some(hours)
        });
        if read.is_none() {
            r.sink().error_hint(
                Kind::Value,
                &text.span,
                format!("`hours` = \"{}\" is no span of a day", text.value),
                "in steps of ten minutes, e.g. \"07:00-20:00\"",
            );
        }
        read
    });
    register::Rules {
        anti_passback: anti_passback.map_or_else(AntiPassback::default, |word| word.value),
        hours,
    }
}

/// Whether a PIN keypad is mounted; refused where there is none to mount, because every card that
/// wants a PIN would wait for one that nobody can type.
fn keypad(r: &mut Reader<'_>, board: Option<Board>) -> bool {
    let Some(flag) = r.flag_or("pin") else {
        return false;
    };
    let possible = match board {
        Some(board) => board.has_keypad(),
        None => Board::ALL.into_iter().any(Board::has_keypad),
    };
    if flag.value && !possible {
        r.sink().error_hint(
            Kind::Conflict,
            &flag.span,
            "`pin` = true, but this board has no connector for a keypad",
            "remove it, and give no card of this door a PIN: nobody could type it",
        );
    }
    flag.value
}

/// `[[node.portal]]`; the board is the node's, if it is known.
pub(super) fn portal(mut r: Reader<'_>, board: Option<Board>) -> RawPortal {
    let name = r.name("name");
    let longest_strike = Millis(u64::from(MAX_STRIKE_MS));
    let portal = RawPortal {
        span: r.span.clone(),
        label: label(&mut r, &name),
        name,
        keypad: keypad(&mut r, board),
        cards: r
            .word_or(
                "cards",
                &[
                    ("both", CardKinds::Both),
                    ("type_a", CardKinds::TypeA),
                    ("felica", CardKinds::Felica),
                ],
            )
            .map_or(CardKinds::Both, |word| word.value),
        strike: span_or(&mut r, "strike", (Millis(100), longest_strike), STRIKE),
        held_open: span_or(
            &mut r,
            "held_open",
            (Millis::from_secs(5), Millis::from_secs(3600)),
            HELD_OPEN,
        ),
        warn: span_or(
            &mut r,
            "warn",
            (Millis::from_secs(0), Millis::from_secs(250)),
            WARN,
        ),
        inputs: INPUTS
            .iter()
            .filter_map(|(key, input, _)| Some((*input, *key, r.dotted(key, false)?)))
            .collect(),
        area: r.text_or("area"),
        passes: r
            .word_or("reader", &[("entry", Passes::Entry), ("exit", Passes::Exit)])
            .map_or(Passes::Entry, |word| word.value),
    };
    if let Some(area) = &portal.area
        && (area.value.is_empty() || area.value.len() > 40)
    {
        r.sink().error_hint(
            Kind::Value,
            &area.span,
            "`area` is no name",
            "a short name of the room behind the door, the same at its entry and its exit reader",
        );
    }
    r.finish();
    portal
}

/// The inputs of a door: key, use, kinds of contact that can be it.
const INPUTS: [(&str, PortalInput, &[ContactKind]); 5] = [
    ("door", PortalInput::Door, &[ContactKind::Door]),
    ("exit", PortalInput::RequestToExit, &[ContactKind::RequestToExit]),
    ("bolt", PortalInput::Bolt, &[ContactKind::LockBolt]),
    ("key", PortalInput::KeyOverride, &[ContactKind::KeyOverride]),
    ("tamper", PortalInput::Tamper, &[ContactKind::Tamper]),
];

/// What portals must be to the rest of the file.
pub(super) fn check(nodes: &[RawNode], access: Option<&RawAccess>, sink: &Sink<'_>) {
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    for (node, portal) in nodes
        .iter()
        .filter_map(|node| Some((node, node.portal.as_ref()?)))
    {
        if access.is_none() {
            sink.error_hint(
                Kind::Missing,
                &portal.span,
                "there is a [[node.portal]] but no [access]",
                "add [access] with card_key_file, and cards_file with who may enter",
            );
        }
        if let Some(name) = &portal.name {
            let line = sink.line(name.span.start);
            if let Some(first) = names.insert(&name.value, line) {
                sink.error_hint(
                    Kind::Duplicate,
                    &name.span,
                    format!("the portal {} is used twice", name.value),
                    format!("it is first used in line {first}"),
                );
            }
        }
        if let (Some(held), Some(warn)) = (&portal.held_open, &portal.warn)
            && warn.value >= held.value
        {
            sink.error_hint(
                Kind::Conflict,
                &warn.span,
                "`warn` is not shorter than `held_open`",
                "the buzzer warns so long before the door counts as held open",
            );
        }
        for (input, key, point) in &portal.inputs {
            input_exists(node, *input, key, point, sink);
        }
        if !portal
            .inputs
            .iter()
            .any(|(input, ..)| *input == PortalInput::Door)
        {
            sink.warning(
                Kind::Missing,
                &portal.span,
                "the portal has no `door`: nobody sees whether it was opened, forced or held open",
                "name the point of its door contact",
            );
        }
    }
}

fn input_exists(node: &RawNode, input: PortalInput, key: &str, point: &At<String>, sink: &Sink<'_>) {
    let of_node = |channel: &&RawChannel| channel.point.as_ref().is_some_and(|id| id.value == point.value);
    let Some(channel) = node.channels.iter().find(of_node) else {
        let points = node.channels.iter().filter_map(|channel| channel.point.as_ref());
        let hint = match nearest(&point.value, points.map(|id| id.value.as_str())) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "the point of a [[node.channel]] of the same node".to_owned(),
        };
        sink.error_hint(
            Kind::Reference,
            &point.span,
            format!("`{key}` names `{}`, which is no point of this node", point.value),
            hint,
        );
        return;
    };
    let kinds = INPUTS
        .iter()
        .find(|(_, other, _)| *other == input)
        .map_or(&[][..], |(.., kinds)| kinds);
    if channel.quantity.is_some() && !channel.contact.is_some_and(|kind| kinds.contains(&kind)) {
        sink.error_hint(
            Kind::Conflict,
            &point.span,
            format!(
                "`{key}` names `{}`, whose contact guards something else",
                point.value
            ),
            format!("a channel with contact = \"{key}\""),
        );
    }
}

/// `[access]` and the portals of all nodes, as the engine takes them.
pub(super) fn build(raw: Option<RawAccess>, portals: Vec<Portal>) -> Option<Access> {
    let Some(raw) = raw else {
        return Some(Access {
            portals,
            ..Access::default()
        });
    };
    Some(Access {
        card_key_file: Some(raw.card_key_file?.value),
        cards_file: raw.cards_file.map(|file| file.value),
        utc_offset_min: raw.utc_offset_min?,
        unset_clock: raw.unset_clock,
        stale_after_days: raw.stale_after_days,
        holidays: raw.holidays,
        portals,
        cards: Vec::new(),
        people: raw.people,
        passages: raw.passages,
    })
}

// ---- the file with the cards ---------------------------------------------------------------

/// Weekdays as they are written, from Monday; the last one is for holidays.
const DAYS: [(&str, &str); 8] = [
    ("mon", "月"),
    ("tue", "火"),
    ("wed", "水"),
    ("thu", "木"),
    ("fri", "金"),
    ("sat", "土"),
    ("sun", "日"),
    ("holiday", "祝"),
];
// The last word is the holiday's.
const _: () = assert!(HOLIDAY == 1 << 7);
/// Monday to Friday.
const WORKING_DAYS: u8 = 0b1_1111;

/// Reads the file with the cards, for these portals; warnings come with the cards.
///
/// # Errors
/// Every problem of the text when at least one of them is an error.
pub fn cards(text: &str, portals: &[Portal]) -> Result<(Vec<Card>, Vec<Problem>), Vec<Problem>> {
    let sink = Sink::new(text);
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        super::parse::syntax(&sink, error);
    }
    let mut r = Reader::new(root.get_ref(), 0..0, "the file of cards", &sink, Path::new(""));
    let names: Vec<&str> = portals.iter().map(|portal| portal.name.as_str()).collect();
    let read: Vec<Option<RawCard>> = r
        .tables("card", "[[card]]", MAX_FILE_CARDS)
        .into_iter()
        .map(|r| card(r, &names))
        .collect();
    r.finish();
    let mut ids: BTreeMap<CardId, usize> = BTreeMap::new();
    let mut entries: BTreeMap<&str, usize> = BTreeMap::new();
    for card in read.iter().flatten() {
        for id in [Some(&card.id), card.pin_id.as_ref()].into_iter().flatten() {
            let line = sink.line(id.span.start);
            if let Some(first) = ids.insert(id.value, line) {
                sink.error_hint(
                    Kind::Duplicate,
                    &id.span,
                    "this card is in the file already",
                    format!("it is first used in line {first}"),
                );
            }
        }
        for portal in &card.card.portals {
            let count = entries
                .entry(
                    names
                        .iter()
                        .find(|name| *name == portal)
                        .copied()
                        .unwrap_or_default(),
                )
                .or_default();
            *count += 1 + usize::from(card.pin_id.is_some());
            if *count > MAX_CARDS && *count <= MAX_CARDS + 2 {
                sink.error_hint(
                    Kind::Value,
                    &card.id.span,
                    format!("the list of {portal} has more than {MAX_CARDS} entries"),
                    "a card with a PIN takes two; take out cards that were given back",
                );
            }
        }
    }
    let problems = sink.finish();
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Err(problems);
    }
    Ok((read.into_iter().flatten().map(|raw| raw.card).collect(), problems))
}

struct RawCard {
    id: At<CardId>,
    pin_id: Option<At<CardId>>,
    card: Card,
}

fn card(mut r: Reader<'_>, portals: &[&str]) -> Option<RawCard> {
    let id = card_id(&mut r, "id", true);
    let pin_id = card_id(&mut r, "pin_id", false);
    let holder = r.text("holder", "who has it, as you call them");
    let names = r.list("portals");
    if names.is_empty() {
        r.missing("portals", "the doors it opens, e.g. portals = [\"entrance\"]");
    }
    for name in names
        .iter()
        .filter(|name| !portals.contains(&name.value.as_str()))
    {
        let hint = match nearest(&name.value, portals.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if portals.is_empty() => "the site has no [[node.portal]]".to_owned(),
            None => format!("portals of this site: {}", portals.join(", ")),
        };
        r.sink().error_hint(
            Kind::Reference,
            &name.span,
            format!("the card opens `{}`, which is no portal of this site", name.value),
            hint,
        );
    }
    let from = time(&mut r, "from", 0);
    let to = time(&mut r, "to", STEPS_PER_DAY);
    if let (Some(from), Some(to)) = (from, to)
        && from == to
    {
        r.sink().error_hint(
            Kind::Conflict,
            &r.span,
            "`from` and `to` are the same: the card opens nothing",
            "leave both out for the whole day; a `to` before `from` runs over midnight",
        );
    }
    let days = days(&mut r);
    let valid_from = date(&mut r, "valid_from");
    let valid_until = date(&mut r, "valid_until");
    if !r.has("valid_until") {
        r.missing("valid_until", "its last day, e.g. valid_until = \"2027-03-31\"");
    }
    if let (Some(first), Some(last)) = (&valid_from, &valid_until)
        && first.value > last.value
    {
        r.sink().error(
            Kind::Conflict,
            &last.span,
            "`valid_until` lies before `valid_from`",
        );
    }
    let suspended = r.flag_or("suspended").is_some_and(|flag| flag.value);
    r.finish();
    let id = id?;
    Some(RawCard {
        card: Card {
            id: id.value,
            pin_id: pin_id.as_ref().map(|id| id.value),
            holder: holder?.value,
            portals: names.into_iter().map(|name| name.value).collect(),
            from: from?,
            to: to?,
            days: days?,
            valid_from: valid_from.map_or(0, |day| day.value),
            valid_until: valid_until?.value,
            suspended,
        },
        id,
        pin_id,
    })
}

fn card_id(r: &mut Reader<'_>, key: &'static str, required: bool) -> Found<CardId> {
    let text = if required {
        r.text(key, "16 hex digits, as `yagura card enroll` shows them")?
    } else {
        r.text_or(key)?
    };
    let mut id = CardId::default();
    let good = crate::hex::read(text.value.as_bytes(), &mut id);
    if good {
        return Some(At {
            value: id,
            span: text.span,
        });
    }
    r.sink().error_hint(
        Kind::Value,
        &text.span,
        format!("`{key}` is not a card's id"),
        "16 hex digits, as `yagura card enroll` shows them; never the number printed on the card",
    );
    None
}

fn time(r: &mut Reader<'_>, key: &'static str, default: u8) -> Option<u8> {
    let Some(text) = r.text_or(key) else {
        return (!r.has(key)).then_some(default);
    };
    let step = calendar::step(&text.value);
    if step.is_none() {
        r.sink().error_hint(
            Kind::Value,
            &text.span,
            format!("`{key}` = \"{}\" is not a time", text.value),
            "in steps of ten minutes, from \"00:00\" to \"24:00\"",
        );
    }
    step
}

pub(super) fn date(r: &mut Reader<'_>, key: &'static str) -> Found<u16> {
    let text = r.text_or(key)?;
    let day = calendar::day(&text.value);
    if day.is_none() {
        r.sink().error_hint(
            Kind::Value,
            &text.span,
            format!("`{key}` = \"{}\" is not a day", text.value),
            "write it as \"2027-03-31\"",
        );
    }
    Some(At {
        value: day?,
        span: text.span,
    })
}

pub(super) fn days(r: &mut Reader<'_>) -> Option<u8> {
    if !r.has("days") {
        return Some(WORKING_DAYS);
    }
    days_of(r, "days")
}

/// The days of the list under this key.
pub(super) fn days_of(r: &mut Reader<'_>, key: &'static str) -> Option<u8> {
    let words = r.list(key);
    if words.is_empty() {
        r.sink().error_hint(
            Kind::Value,
            &r.span,
            format!("`{key}` is no list of days: this would never be in force"),
            "name its days, or leave `days` out for Monday to Friday; a card is blocked with suspended = true",
        );
        return None;
    }
    let mut mask = 0;
    for word in &words {
        let index = DAYS
            .iter()
            .position(|(en, ja)| word.value == *en || word.value == *ja);
        match index {
            Some(index) => mask |= 1 << index,
            None if word.value == "every" => mask |= EVERY_DAY,
            None => {
                r.sink().error_hint(
                    Kind::Value,
                    &word.span,
                    format!("`days` names \"{}\", which is no day of the week", word.value),
                    "mon tue wed thu fri sat sun holiday (月 火 水 木 金 土 日 祝), or every",
                );
                return None;
            }
        }
    }
    Some(mask)
}
