//! What a node is made of, its door and its cards: every way of writing them wrongly.

use super::block::block;
use super::doors::cards;
use super::parse::real;
use super::problem::Problem;
use super::{ContactKind, Portal, Real, Site};
use shared::mount::{Converter, Part, PortalInput};
use shared::provision::{CardKinds, Provision};
use std::path::Path;

/// A node that can be provisioned; each case below spoils one line of it.
const GOOD: &str = r#"name = "室"
data_dir = "data"
update_key = "1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d"
[web]
listen = "127.0.0.1:8080"
[mqtt]
listen = "192.168.10.2:1883"
exposed = true
[access]
card_key_file = "secrets/card.key"
cards_file = "cards.toml"
utc_offset = "+09:00"
unset_clock = "allow_and_flag"
stale_after_days = 7
holidays = ["2026-11-23", "2027-01-01"]
[[node]]
id = 1
name = "node-1"
key_file = "keys/node-1"
board = "lm3s6965"
address = "192.168.10.31/24"
gateway = "192.168.10.1"
[[node.channel]]
channel = 0
point = "door.1"
quantity = "contact"
contact = "door"
part = "contact"
at = 2
hold = "50ms"
[[node.channel]]
channel = 1
point = "exit.1"
quantity = "contact"
contact = "exit"
part = "contact"
at = 3
normally = "open"
[[node.channel]]
channel = 2
point = "inlet.temperature"
quantity = "temperature"
part = "sht4x"
at = "0x44"
[[node.channel]]
channel = 3
point = "inlet.humidity"
quantity = "humidity"
part = "sht4x"
at = 0x44
[[node.channel]]
channel = 5
point = "leak.1"
quantity = "contact"
contact = "leak"
part = "leak_rope"
at = "0x4e"
output = 2
converter = "max34451"
[[node.portal]]
name = "entrance"
door = "door.1"
exit = "exit.1"
cards = "felica"
pin = false
strike = "5s"
held_open = "30s"
warn = "10s"
"#;

fn site_of(text: &str) -> Result<Site<Real>, Vec<Problem>> {
    real(text, Path::new("/etc/yagura"))
}

fn made(site: &Site<Real>) -> Result<Provision, Vec<String>> {
    block(site, &site.nodes[0], [1; 32], [2; 32])
}

#[test]
fn the_block_holds_what_the_file_says() {
    let site = site_of(GOOD).unwrap();
    let made = made(&site).unwrap();
    // As the node reads it.
    let read = Provision::decode(&made.encode()).unwrap();
    assert_eq!((read.node, read.board, read.key_id), (1, 1, 0));
    assert_eq!((read.broker, read.port), ([192, 168, 10, 2], 1883));
    assert_eq!(read.address.unwrap().gateway, [192, 168, 10, 1]);
    assert_eq!((read.key, read.card_key), ([1; 32], [2; 32]));
    assert_eq!(read.update_key, Some([0x1d; 32]));
    let portal = read.portal.unwrap();
    assert!(!portal.keypad);
    assert_eq!(portal.cards, CardKinds::Felica);
    assert_eq!(
        (portal.strike_ms, portal.held_open_s, portal.warn_s),
        (5_000, 30, 10)
    );
    assert_eq!(read.mounts.len(), 6);
    let row = |channel: usize| read.mounts[channel].unwrap();
    assert_eq!(
        (row(0).at, row(0).param, row(0).portal()),
        (2, 50, PortalInput::Door)
    );
    assert!(row(1).is_normally_open() && !row(0).is_normally_open());
    assert_eq!(row(1).portal(), PortalInput::RequestToExit);
    assert_eq!((row(2).output, row(3).output, row(3).at), (0, 1, 0x44));
    assert_eq!(read.mounts[4], None);
    assert_eq!(
        (row(5).part, row(5).converter()),
        (Part::LeakRope, Converter::Max34451)
    );
    // And what the engine is told.
    assert_eq!(
        site.nodes[0].channels[1].contact,
        Some(ContactKind::RequestToExit)
    );
    let access = &site.access;
    assert_eq!(
        (access.holidays.clone(), access.stale_after_days),
        (vec![20_780, 20_819], 7)
    );
    let portal = &access.portals[0];
    assert_eq!(
        (portal.name.as_str(), portal.node, portal.door.as_deref()),
        ("entrance", 1, Some("door.1"))
    );
}

#[test]
fn a_site_that_cannot_provision_its_node_says_all_that_is_missing() {
    let mut text = GOOD.replace("192.168.10.2:1883", "0.0.0.0:1883");
    for line in [
        "board = \"lm3s6965\"\n",
        "part = \"contact\"\n",
        "part = \"sht4x\"\n",
        "part = \"leak_rope\"\n",
    ] {
        text = text.replace(line, "");
    }
    for line in [
        "at = 2\n",
        "at = 3\n",
        "hold = \"50ms\"\n",
        "normally = \"open\"\n",
        "at = \"0x44\"\n",
        "at = 0x44\n",
        "at = \"0x4e\"\n",
        "output = 2\n",
        "converter = \"max34451\"\n",
    ] {
        text = text.replace(line, "");
    }
    let missing = made(&site_of(&text).unwrap()).unwrap_err();
    assert_eq!(missing.len(), 6, "{missing:?}");
    assert!(
        missing[0].contains("broker = \"192.168.10.2:1883\""),
        "{missing:?}"
    );
    assert!(missing[5].contains("channel 5 (leak.1)"), "{missing:?}");
    let text = text.replace("id = 1\n", "id = 1\nbroker = \"10.0.0.9:8883\"\n");
    assert_eq!(made(&site_of(&text).unwrap()).unwrap_err().len(), 5);
}

/// (what is spoilt, what it becomes, where it is reported, a word of the message or hint)
const BAD: &[(&str, &str, &str, &str)] = &[
    // parts
    (
        "part = \"sht4x\"\nat = \"0x44\"",
        "part = \"sht4\"\nat = \"0x44\"",
        "part = \"sht4\"",
        "did you mean \"sht4x\"",
    ),
    (
        "at = 2\n",
        "",
        "[[node.channel]]\nchannel = 0",
        "the pin of the board",
    ),
    ("at = \"0x44\"", "at = \"0x4g\"", "at = \"0x4g\"", "not a number"),
    (
        "at = \"0x44\"",
        "at = \"0x78\"",
        "at = \"0x78\"",
        "not an I2C address",
    ),
    ("at = 0x44", "at = 0x300", "at = 0x300", "out of range"),
    (
        "quantity = \"humidity\"",
        "quantity = \"pressure\"",
        "part = \"sht4x\"\nat = 0x44",
        "does not measure pressure",
    ),
    (
        "at = 0x44\n",
        "at = 0x44\noutput = 0\n",
        "part = \"sht4x\"\nat = 0x44",
        "its outputs are 0: temperature, 1: humidity",
    ),
    (
        "at = 3\n",
        "at = 2\n",
        "part = \"contact\"\nat = 2\nnormally",
        "pin 2 is used twice",
    ),
    (
        "at = \"0x4e\"",
        "at = \"0x44\"",
        "part = \"leak_rope\"",
        "cannot be at 0x44",
    ),
    ("output = 2\n", "", "[[node.channel]]\nchannel = 5", "output"),
    (
        "converter = \"max34451\"\n",
        "",
        "[[node.channel]]\nchannel = 5",
        "what measures the line",
    ),
    (
        "at = 0x44\n",
        "at = 0x44\nhold = \"1s\"\n",
        "part = \"sht4x\"\nat = 0x44",
        "means nothing",
    ),
    (
        "hold = \"50ms\"",
        "hold = \"2m\"",
        "hold = \"2m\"",
        "out of range",
    ),
    (
        "normally = \"open\"",
        "normally = \"opened\"",
        "normally = \"opened\"",
        "\"closed\", \"open\"",
    ),
    (
        "part = \"sht4x\"\nat = 0x44\n",
        "",
        "[[node.channel]]\nchannel = 3",
        "every channel needs its part",
    ),
    (
        "part = \"sht4x\"\nat = 0x44\n",
        "at = 0x44\n",
        "[[node.channel]]\nchannel = 3",
        "which part is it",
    ),
    (
        "contact = \"leak\"",
        "contact = \"smoke\"",
        "part = \"leak_rope\"",
        "nothing but contact = \"leak\"",
    ),
    (
        "contact = \"leak\"",
        "contact = \"flood\"",
        "contact = \"flood\"",
        "surge",
    ),
    // the node
    (
        "board = \"lm3s6965\"",
        "board = \"lm3s\"",
        "board = \"lm3s\"",
        "rp2040-w5500",
    ),
    (
        "address = \"192.168.10.31/24\"",
        "address = \"192.168.10.31\"",
        "address = \"192.168.10.31\"",
        "length of its network",
    ),
    (
        "gateway = \"192.168.10.1\"",
        "gateway = \"192.168.11.1\"",
        "gateway = \"192.168.11.1\"",
        "own network",
    ),
    (
        "address = \"192.168.10.31/24\"\n",
        "",
        "gateway = \"192.168.10.1\"",
        "DHCP",
    ),
    (
        "board = \"lm3s6965\"",
        "broker = \"broker:1883\"",
        "broker = \"broker:1883\"",
        "IPv4",
    ),
    (
        "update_key = \"1d",
        "update_key = \"xd",
        "update_key = \"xd",
        "64 hex digits",
    ),
    // the door
    (
        "door = \"door.1\"",
        "door = \"dor.1\"",
        "door = \"dor.1\"",
        "did you mean `door.1`",
    ),
    (
        "door = \"door.1\"",
        "door = \"leak.1\"",
        "door = \"leak.1\"",
        "guards something else",
    ),
    (
        "exit = \"exit.1\"",
        "exit = \"door.1\"",
        "exit = \"door.1\"",
        "contact = \"exit\"",
    ),
    (
        "strike = \"5s\"",
        "strike = \"45s\"",
        "strike = \"45s\"",
        "out of range",
    ),
    (
        "warn = \"10s\"",
        "warn = \"30s\"",
        "warn = \"30s\"",
        "not shorter",
    ),
    ("name = \"entrance\"\n", "", "[[node.portal]]", "name"),
    ("pin = false", "pins = true", "pins = true", "did you mean `pin`"),
    ("pin = false", "pin = true", "pin = true", "nobody could type it"),
    // access
    (
        "card_key_file = \"secrets/card.key\"\n",
        "",
        "[access]",
        "card_key_file",
    ),
    ("\"2027-01-01\"", "\"2027-02-29\"", "\"2027-02-29\"", "no day"),
    (
        "\"2027-01-01\"",
        "\"2026-11-23\"",
        "\"2026-11-23\"]",
        "listed twice",
    ),
    (
        "utc_offset = \"+09:00\"",
        "utc_offset = \"JST\"",
        "utc_offset = \"JST\"",
        "+09:00",
    ),
    (
        "unset_clock = \"allow_and_flag\"",
        "unset_clock = \"allow\"",
        "unset_clock = \"allow\"",
        "allow_and_flag",
    ),
    (
        "stale_after_days = 7",
        "stale_after_days = 200",
        "stale_after_days = 200",
        "0 to 90",
    ),
];

#[test]
fn every_mistake_is_reported_at_its_line() {
    check_all(GOOD, BAD, |text| site_of(text).map(drop));
}

fn check_all(good: &str, bad: &[(&str, &str, &str, &str)], read: impl Fn(&str) -> Result<(), Vec<Problem>>) {
    read(good).unwrap();
    for (from, to, place, word) in bad {
        assert_eq!(good.matches(from).count(), 1, "{from:?} stands once");
        let text = good.replacen(from, to, 1);
        let problems = read(&text).expect_err(to);
        let at = text
            .find(place)
            .unwrap_or_else(|| panic!("{place:?} is in the text"));
        let line = text[..at].matches('\n').count() + 1;
        let found = problems.iter().any(|problem| {
            let said = format!(
                "{} {}",
                problem.message,
                problem.hint.as_deref().unwrap_or_default()
            );
            problem.line == line && said.contains(word)
        });
        assert!(
            found,
            "{to:?}: nothing about {word:?} in line {line}: {problems:#?}"
        );
    }
}

#[test]
fn a_portal_needs_access_and_warns_without_its_door() {
    let start = GOOD.find("[access]").unwrap();
    let end = GOOD.find("[[node]]").unwrap();
    let without = format!("{}{}", &GOOD[..start], &GOOD[end..]);
    let problems = site_of(&without).unwrap_err();
    assert!(
        problems
            .iter()
            .any(|problem| problem.message.contains("no [access]")),
        "{problems:?}"
    );
    let blind = GOOD.replace("door = \"door.1\"\n", "");
    let outcome = super::parse::read::<Real>(&blind, Path::new("/"));
    assert!(outcome.site.is_some());
    assert!(
        outcome.problems[0].message.contains("no `door`"),
        "{:?}",
        outcome.problems
    );
}

const CARDS: &str = r#"[[card]]
id = "0123456789abcdef"
pin_id = "fedcba9876543210"
holder = "情報政策課 佐藤"
portals = ["entrance"]
from = "08:30"
to = "17:30"
days = ["月", "tue", "祝"]
valid_from = "2026-04-01"
valid_until = "2027-03-31"
[[card]]
id = "0000000000000001"
holder = "保守業者 A"
portals = ["entrance"]
valid_until = "2026-12-31"
suspended = true
"#;

fn entrance() -> Vec<Portal> {
    site_of(GOOD).unwrap().access.portals
}

#[test]
fn cards_are_read_with_their_hours_and_days() {
    let (cards, warnings) = cards(CARDS, &entrance()).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(cards[0].id, [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef]);
    assert_eq!(cards[0].pin_id.unwrap()[0], 0xfe);
    assert_eq!(
        (cards[0].from, cards[0].to, cards[0].days),
        (51, 105, 0b1000_0011)
    );
    assert_eq!((cards[0].valid_from, cards[0].valid_until), (20_544, 20_908));
    assert_eq!((cards[1].from, cards[1].to, cards[1].days), (0, 144, 0b1_1111));
    assert!(cards[1].suspended && !cards[0].suspended);
}

#[test]
fn every_mistake_about_a_card_is_reported_at_its_line() {
    let bad = &[
        (
            "id = \"0123456789abcdef\"",
            "id = \"0123456789abcde\"",
            "id = \"0123456789abcde\"",
            "16 hex digits",
        ),
        (
            "id = \"0123456789abcdef\"",
            "id = \"+123456789abcdef\"",
            "id = \"+123",
            "16 hex digits",
        ),
        (
            "id = \"0000000000000001\"",
            "id = \"fedcba9876543210\"",
            "id = \"fedcba9876543210\"\nholder = \"保守",
            "first used in line 3",
        ),
        (
            "portals = [\"entrance\"]\nfrom",
            "portals = [\"entrace\"]\nfrom",
            "portals = [\"entrace\"]",
            "did you mean `entrance`",
        ),
        (
            "portals = [\"entrance\"]\nfrom",
            "from",
            "[[card]]\nid = \"0123",
            "portals",
        ),
        (
            "from = \"08:30\"",
            "from = \"08:35\"",
            "from = \"08:35\"",
            "ten minutes",
        ),
        (
            "from = \"08:30\"",
            "from = \"17:30\"",
            "[[card]]\nid = \"0123",
            "opens nothing",
        ),
        ("\"tue\"", "\"tuesday\"", "\"tuesday\"", "no day of the week"),
        (
            "days = [\"月\", \"tue\", \"祝\"]",
            "days = []",
            "[[card]]\nid = \"0123",
            "suspended = true",
        ),
        (
            "valid_until = \"2027-03-31\"",
            "valid_until = \"2027-03-32\"",
            "valid_until = \"2027-03-32\"",
            "not a day",
        ),
        (
            "valid_until = \"2027-03-31\"",
            "valid_until = \"2025-03-31\"",
            "valid_until = \"2025",
            "before",
        ),
        (
            "valid_until = \"2026-12-31\"\n",
            "",
            "[[card]]\nid = \"0000",
            "last day",
        ),
        ("holder = \"保守業者 A\"\n", "", "[[card]]\nid = \"0000", "holder"),
        (
            "suspended = true",
            "suspend = true",
            "suspend = true",
            "did you mean `suspended`",
        ),
    ];
    check_all(CARDS, bad, |text| cards(text, &entrance()).map(drop));
}

#[test]
fn a_list_that_a_node_cannot_hold_is_refused() {
    let card = |number: usize| {
        format!(
            "[[card]]\nid = \"{number:016x}\"\nholder = \"x\"\nportals = [\"entrance\"]\nvalid_until = \"2027-03-31\"\n"
        )
    };
    let file = |count: usize| (1..=count).map(card).collect::<String>();
    assert_eq!(cards(&file(500), &entrance()).unwrap().0.len(), 500);
    let problems = cards(&file(501), &entrance()).unwrap_err();
    assert!(problems[0].message.contains("more than 500"), "{problems:?}");
}
