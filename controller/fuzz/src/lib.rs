//! What the targets do with the bytes that libFuzzer makes up. Nothing may panic, hang or grow
//! without bound; what is read must keep to the limits that its module names.

use controller::nut::{Line, quoted};
use room::megatec;
use room::nut;
use room::profile::recording::Recording;
use room::profile::register::Image;
use room::profile::{LAYOUT_FACTS_MAX, Library, file};
use room::site::link::MegatecDialect;
use std::sync::OnceLock;

fn library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(Library::builtin)
}

/// A site's own profile.
pub fn profile(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = file::parse("fuzz", text);
    }
}

/// The first byte chooses a profile, the rest is what a device answers: a recording.
pub fn layout(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else {
        return;
    };
    let Ok(recording) = Recording::parse(&String::from_utf8_lossy(rest)) else {
        return;
    };
    let all = library();
    let at = usize::from(*choice) % all.iter().count().max(1);
    if let Some(profile) = all.iter().nth(at) {
        let (_, reading) = recording.read(profile);
        assert!(reading.facts.len() <= LAYOUT_FACTS_MAX + 1);
    }
    all.detect(&recording.identity(), |probe| recording.has(probe));
}

/// The first byte chooses a profile, the rest is what the registers of a device hold.
pub fn registers(data: &[u8]) {
    let Some((choice, rest)) = data.split_first() else {
        return;
    };
    let Ok(image) = Image::parse(&String::from_utf8_lossy(rest)) else {
        return;
    };
    let all = library();
    let at = usize::from(*choice) % all.iter().count().max(1);
    if let Some(profile) = all.iter().nth(at) {
        let _ = image.reading(profile);
    }
}

/// Lines `name=value`, as a NUT server tells them.
pub fn nut(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let variables: Vec<(String, String)> = text
        .lines()
        .map(|line| {
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            (name.to_owned(), value.to_owned())
        })
        .collect();
    let reading = nut::reading(&variables);
    assert!(reading.facts.len() <= 2 * nut::VARIABLES_MAX);
}

/// A line of a UPS on a serial port.
pub fn megatec(data: &[u8]) {
    let line = String::from_utf8_lossy(data);
    for dialect in [
        MegatecDialect::Megatec,
        MegatecDialect::Omron,
        MegatecDialect::Fuji,
    ] {
        let _ = megatec::signs(dialect, &line);
        let answers = megatec::Question::ALL
            .into_iter()
            .map(|question| (question, megatec::Answer::Line(line.clone().into_owned())))
            .collect();
        let _ = megatec::reading(dialect, &answers);
    }
}

/// A datagram at a port of ours: an answer, a trap, an inform.
pub fn snmp(data: &[u8]) {
    controller::snmp::strangers::read(data);
}

/// Pieces of a Modbus TCP line, in both directions.
pub fn modbus(data: &[u8]) {
    let passed = controller::modbus::strangers(data);
    assert!(passed <= data.len());
}

/// Lines of a NUT server or client; a name that can be written is read as it was.
pub fn nut_lines(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for line in text.lines() {
        if let Line::Err(token) = Line::read(line) {
            let _ = token.word();
        }
        if let Some(name) = quoted(line) {
            match Line::read(&format!("VAR ups {name} \"1\"")) {
                Line::Var { name: read, .. } => assert_eq!(read, line),
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}
