//! Readings of devices that lack registers, change their mind, are busy, or are behind a gateway.

use super::super::{Line, Lines, Session};
use super::fake::{Act, Asked, Fake, Framing, Send, frame};
use room::device::{FactValue, PollFailure, Reading};
use room::profile::Library;
use room::site::link::{ModbusLine, ModbusLink};
use shared::NoData;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// Longer than anything a test waits for on a loaded machine.
const BOUND: Duration = Duration::from_secs(60);

/// Two states, some numbers with a hole between them, a text, a coil.
const PROFILE: &str = r#"
title = "Test UPS"
source = "this test"
kind = "ups"
protocol = "modbus"

[modbus]
max_registers = 20

[[fact]]
name = "output.source"
register = "holding:100"
type = "u16"
read = "state"
words = { 2 = "mains", 3 = "battery" }

[[fact]]
name = "battery.status"
register = "holding:101"
type = "u16"
read = "state"
words = { 0 = "normal", 1 = "low" }

[[fact]]
name = "battery.charge"
register = "holding:104"
type = "u16"
read = "number"
unit = "%"
divide = 10

[[fact]]
name = "input.voltage"
register = "holding:110"
type = "u16"
read = "number"
unit = "V"
divide = 10
lines = 3
stride = 1
line_name = "input.L{line}.voltage"

[[fact]]
name = "ups.model"
register = "input:300"
type = "text:8"
read = "text"

[[fact]]
name = "contact.1"
register = "discrete:5"
read = "state"
words = { 0 = "open", 1 = "closed" }
"#;

/// The register of a healthy device.
fn word(at: u16) -> u16 {
    match at {
        100 => 2,
        101 => 0,
        104 => 987,
        110..=112 => 2305,
        300..=303 => u16::from_be_bytes(*b"UP"),
        _ => 0,
    }
}

/// A right answer with these words.
fn answer(asked: &Asked, framing: Framing, word: impl Fn(u16) -> u16) -> Vec<Act> {
    let mut data = Vec::new();
    if asked.function <= 2 {
        data.resize(usize::from(asked.count.div_ceil(8)), 1);
    } else {
        for n in 0..asked.count {
            data.extend(word(asked.at + n).to_be_bytes());
        }
    }
    let mut pdu = vec![asked.function, u8::try_from(data.len()).unwrap()];
    pdu.extend(data);
    vec![Send(frame(framing, asked.id, asked.unit, &pdu))]
}

fn covers(asked: &Asked, at: u16) -> bool {
    (asked.at..asked.at + asked.count).contains(&at)
}

fn session(fake: &Fake, timeout_ms: u64, retries: u8) -> Session {
    let library = Library::from_texts(&[("test-ups", PROFILE)]).unwrap();
    let line = match &fake.line {
        Line::Tcp(addr) => ModbusLine::Tcp(*addr),
        Line::Rtu(serial) => ModbusLine::Rtu(serial.clone()),
        Line::RtuOverTcp(addr) => panic!("no fake is at {addr}"),
    };
    Session::new(
        Lines::default(),
        &library,
        &ModbusLink { line, unit: 17 },
        Some("test-ups"),
        Duration::from_millis(timeout_ms),
        retries,
    )
}

async fn read(session: &mut Session) -> Result<Reading, PollFailure> {
    tokio::time::timeout(BOUND, session.read())
        .await
        .expect("every reading ends")
}

#[tokio::test]
async fn a_device_is_read_in_few_questions() {
    for framing in [Framing::Tcp, Framing::Rtu] {
        let fake = Fake::start(framing, move |asked| answer(asked, framing, word)).await;
        let mut session = session(&fake, 2000, 1);
        let reading = read(&mut session).await.unwrap();
        assert_eq!(reading.profile, "test-ups");
        assert_eq!(reading.state("output.source"), Some("mains"));
        assert_eq!(reading.number("battery.charge"), Some(98.7));
        assert_eq!(reading.number("input.L3.voltage"), Some(230.5));
        assert_eq!(reading.state("contact.1"), Some("closed"));
        assert_eq!(
            reading.fact("ups.model").unwrap().value,
            Ok(FactValue::Text("UPUPUPUP".to_owned()))
        );
        assert_eq!(reading.fact("input.L2.voltage").unwrap().at, "holding:111");
        // Three blocks, and the states once more: what is new is read twice.
        assert_eq!(fake.asked().len(), 4, "{framing:?}");
        read(&mut session).await.unwrap();
        assert_eq!(fake.asked().len(), 7, "{framing:?}");
    }
}

#[tokio::test]
async fn what_a_device_lacks_costs_only_itself() {
    for code in [2, 3] {
        let fake = Fake::start(Framing::Tcp, move |asked| {
            if asked.function == 3 && covers(asked, 111) || asked.function == 2 {
                vec![Send(asked.exception(Framing::Tcp, code))]
            } else {
                answer(asked, Framing::Tcp, word)
            }
        })
        .await;
        let mut session = session(&fake, 2000, 0);
        for _ in 0..2 {
            let reading = read(&mut session).await.unwrap();
            assert_eq!(reading.state("output.source"), Some("mains"));
            assert_eq!(reading.number("input.voltage"), Some(230.5));
            assert_eq!(reading.number("input.L3.voltage"), Some(230.5));
            assert!(reading.fact("input.L2.voltage").is_none());
            assert_eq!(
                reading.fact("contact.1").unwrap().value,
                Err(NoData::NotSupported)
            );
        }
        let learnt = fake.asked().len();
        read(&mut session).await.unwrap();
        assert!(
            fake.asked().len() - learnt <= 4,
            "what it lacks is not asked again"
        );
        session.forget();
        read(&mut session).await.unwrap();
        assert!(
            fake.asked().iter().skip(learnt).any(|asked| covers(asked, 111)),
            "until it is time to ask for all"
        );
    }
}

#[tokio::test]
async fn silence_means_lacking_only_before_the_first_whole_reading() {
    let dead = Arc::new(AtomicUsize::new(0));
    let is_dead = Arc::clone(&dead);
    let fake = Fake::start(Framing::Tcp, move |asked| {
        let silent = asked.function == 4 || is_dead.load(Relaxed) == 1;
        if silent {
            vec![]
        } else {
            answer(asked, Framing::Tcp, word)
        }
    })
    .await;
    let mut session = session(&fake, 150, 0);
    let reading = read(&mut session).await.unwrap();
    assert_eq!(
        reading.fact("ups.model").unwrap().value,
        Err(NoData::NotSupported)
    );
    assert_eq!(reading.state("output.source"), Some("mains"));
    dead.store(1, Relaxed);
    assert_eq!(read(&mut session).await, Err(PollFailure::Timeout));
    dead.store(0, Relaxed);
    let mut reading = read(&mut session).await;
    for _ in 0..20 {
        if reading.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        reading = read(&mut session).await;
    }
    assert_eq!(reading.unwrap().number("battery.charge"), Some(98.7));
}

/// A cable that is pulled while the device is read for the first time.
#[tokio::test]
async fn silence_never_means_that_a_device_has_no_source() {
    let times = AtomicUsize::new(0);
    let fake = Fake::start(Framing::Tcp, move |asked| {
        // The other tables answer; the one with the source does not, for some questions.
        if asked.function == 3 && times.fetch_add(1, Relaxed) < 12 {
            vec![]
        } else {
            answer(asked, Framing::Tcp, word)
        }
    })
    .await;
    // The bits are read first, so that something has answered.
    let first = PROFILE.replace("discrete:5", "coil:5");
    let library = Library::from_texts(&[("test-ups", &first)]).unwrap();
    let Line::Tcp(addr) = fake.line else {
        panic!("it is TCP")
    };
    let link = ModbusLink {
        line: ModbusLine::Tcp(addr),
        unit: 17,
    };
    let mut session = Session::new(
        Lines::default(),
        &library,
        &link,
        Some("test-ups"),
        Duration::from_millis(60),
        0,
    );
    let mut readings = 0;
    let reading = loop {
        readings += 1;
        assert!(readings < 100, "it answers again");
        match read(&mut session).await {
            Ok(reading) => break reading,
            // The line is opened anew in between.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    assert_eq!(reading.state("output.source"), Some("mains"));
    assert_eq!(reading.state("battery.status"), Some("normal"));
}

/// A gateway that starts again says "illegal address" for what it has.
#[tokio::test]
async fn what_was_there_once_is_asked_for_again_whatever_the_device_says() {
    for code in [1, 2] {
        let refuses = Arc::new(AtomicUsize::new(0));
        let is_refused = Arc::clone(&refuses);
        let fake = Fake::start(Framing::Tcp, move |asked| {
            if is_refused.load(Relaxed) == 1 && asked.function == 3 && covers(asked, 100) {
                vec![Send(asked.exception(Framing::Tcp, code))]
            } else {
                answer(asked, Framing::Tcp, word)
            }
        })
        .await;
        let mut session = session(&fake, 2000, 0);
        assert_eq!(
            read(&mut session).await.unwrap().state("output.source"),
            Some("mains")
        );
        refuses.store(1, Relaxed);
        let reading = read(&mut session).await.unwrap();
        assert_eq!(
            reading.fact("output.source").unwrap().value,
            Err(NoData::DeviceError)
        );
        refuses.store(0, Relaxed);
        let reading = read(&mut session).await.unwrap();
        assert_eq!(reading.state("output.source"), Some("mains"), "exception {code}");
    }
}

/// One answer that is wrong in a bit its checksum did not catch must not stop a server.
#[tokio::test]
async fn a_changed_source_is_believed_when_it_is_read_twice() {
    let fake = Fake::start(Framing::Rtu, |asked| {
        answer(asked, Framing::Rtu, |at| match (at, asked.nth) {
            // Of the second reading: the first answer only.
            (100, 4) => 3,
            // From the third reading on: the outage is real.
            (100, 8..) => 3,
            _ => word(at),
        })
    })
    .await;
    let mut session = session(&fake, 2000, 0);
    let mut sources = Vec::new();
    for _ in 0..4 {
        let reading = read(&mut session).await.unwrap();
        sources.push(reading.state("output.source").map(str::to_owned));
    }
    let asked: Vec<(u16, u16)> = fake.asked().iter().map(|asked| (asked.at, asked.count)).collect();
    assert_eq!(
        sources.iter().flatten().collect::<Vec<_>>(),
        ["mains", "mains", "battery", "battery"],
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_source_that_changes_with_every_answer_is_no_value() {
    let times = AtomicUsize::new(0);
    let fake = Fake::start(Framing::Tcp, move |asked| {
        let is_source = asked.function == 3 && covers(asked, 100);
        let nth = times.fetch_add(usize::from(is_source), Relaxed);
        let flip = 2 + u16::try_from(nth % 2).unwrap();
        answer(asked, Framing::Tcp, |at| if at == 100 { flip } else { word(at) })
    })
    .await;
    let mut session = session(&fake, 2000, 0);
    for _ in 0..3 {
        let reading = read(&mut session).await.unwrap();
        assert_eq!(reading.fact("output.source").unwrap().value, Err(NoData::Corrupt));
        assert_eq!(reading.state("battery.status"), Some("normal"));
    }
}

#[tokio::test]
async fn a_busy_device_is_asked_again() {
    let fake = Fake::start(Framing::Tcp, |asked| match asked.nth {
        0 => vec![Send(asked.exception(Framing::Tcp, 6))],
        1 => vec![Send(asked.exception(Framing::Tcp, 5))],
        _ => answer(asked, Framing::Tcp, word),
    })
    .await;
    let reading = read(&mut session(&fake, 2000, 0)).await.unwrap();
    assert_eq!(reading.state("output.source"), Some("mains"));
}

#[tokio::test]
async fn a_device_failure_is_a_reason_and_not_a_missing_register() {
    let fake = Fake::start(Framing::Tcp, |asked| match asked.function {
        3 if covers(asked, 104) => vec![Send(asked.exception(Framing::Tcp, 4))],
        _ => answer(asked, Framing::Tcp, word),
    })
    .await;
    let mut session = session(&fake, 2000, 0);
    for _ in 0..3 {
        let reading = read(&mut session).await.unwrap();
        assert_eq!(
            reading.fact("battery.charge").unwrap().value,
            Err(NoData::DeviceError)
        );
        assert_eq!(reading.state("output.source"), Some("mains"));
        assert_eq!(reading.number("input.voltage"), Some(230.5));
    }
}

#[tokio::test]
async fn a_gateway_says_what_is_wrong_behind_it() {
    for (code, expected) in [(10, "Unreachable"), (11, "Timeout")] {
        let fake = Fake::start(Framing::Tcp, move |asked| {
            vec![Send(asked.exception(Framing::Tcp, code))]
        })
        .await;
        let failure = read(&mut session(&fake, 2000, 2)).await.unwrap_err();
        assert!(format!("{failure:?}").starts_with(expected), "{failure:?}");
    }
}

#[tokio::test]
async fn a_device_with_none_of_the_registers_is_refused_and_not_empty() {
    let fake = Fake::start(Framing::Tcp, |asked| vec![Send(asked.exception(Framing::Tcp, 1))]).await;
    let mut session = session(&fake, 2000, 0);
    for _ in 0..2 {
        let failure = read(&mut session).await.unwrap_err();
        assert!(
            matches!(&failure, PollFailure::Refused(why) if why.contains("illegal function")),
            "{failure:?}"
        );
    }
}

#[tokio::test]
async fn a_profile_of_another_protocol_reads_nothing() {
    let fake = Fake::start(Framing::Tcp, |asked| answer(asked, Framing::Tcp, word)).await;
    let Line::Tcp(addr) = fake.line else {
        panic!("it is TCP")
    };
    for profile in [None, Some("rfc1628"), Some("no-such")] {
        let link = ModbusLink {
            line: ModbusLine::Tcp(addr),
            unit: 1,
        };
        let library = Library::builtin();
        let mut session = Session::new(
            Lines::default(),
            &library,
            &link,
            profile,
            Duration::from_secs(1),
            0,
        );
        assert_eq!(read(&mut session).await, Err(PollFailure::NoProfile));
    }
    assert_eq!(fake.asked(), []);
}
