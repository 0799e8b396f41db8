//! Messages that a syslog server reads as RFC 5424 has them, and servers that hang, close and vanish.

use super::super::samples::{any_notice, leak, notice};
use super::*;
use proptest::prelude::*;
use room::time::Millis;
use tokio::net::TcpListener;

/// A message taken apart by RFC 5424 6, strictly; `None` when it is not one.
#[derive(Debug, PartialEq, Eq)]
struct Parsed {
    priority: u16,
    time: String,
    id: String,
    parameters: Vec<(String, String)>,
    text: String,
}

fn parse(message: &str) -> Option<Parsed> {
    let rest = message.strip_prefix('<')?;
    let (priority, rest) = rest.split_once('>')?;
    let rest = rest.strip_prefix("1 ")?;
    let words: Vec<&str> = rest.splitn(6, ' ').collect();
    let &[time, host, app, process, id, rest] = words.as_slice() else {
        return None;
    };
    for (word, most) in [(host, 255), (app, 48), (process, 128), (id, 32)] {
        if word.is_empty() || word.len() > most || !word.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
    }
    let mut rest = rest.strip_prefix("[yagura@32473")?;
    let mut parameters = Vec::new();
    while let Some(more) = rest.strip_prefix(' ') {
        let (name, more) = more.split_once("=\"")?;
        if name.is_empty() || name.len() > 32 || name.contains(['=', ' ', ']', '"']) {
            return None;
        }
        let mut value = String::new();
        let mut chars = more.char_indices();
        let end = loop {
            match chars.next()? {
                (at, '"') => break at,
                (_, '\\') => value.push(chars.next()?.1),
                (_, ']') => return None,
                (_, ch) => value.push(ch),
            }
        };
        parameters.push((name.to_owned(), value));
        rest = &more[end + 1..];
    }
    let text = rest.strip_prefix("] \u{feff}")?;
    Some(Parsed {
        priority: priority.parse().ok().filter(|priority| *priority <= 191)?,
        time: time.to_owned(),
        id: id.to_owned(),
        parameters,
        text: text.to_owned(),
    })
}

fn said(notice: &Notice) -> Parsed {
    let text = spoken(notice, Language::Ja, 540);
    let message = message(notice, 16, "tower", &text, MESSAGE_MAX);
    parse(&message).unwrap_or_else(|| panic!("no message of RFC 5424: {message}"))
}

#[test]
fn a_leak_is_a_critical_message_with_its_facts_beside_the_text() {
    let parsed = said(&leak(Moment::Raised));
    assert_eq!(parsed.priority, 16 * 8 + 2);
    assert_eq!(parsed.time, "2026-11-18T11:06:40.123Z");
    assert_eq!(parsed.id, "alarm-raised");
    let facts: Vec<(&str, &str)> = parsed
        .parameters
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        facts,
        [
            ("key", leak(Moment::Raised).id().as_str()),
            ("attempt", "1"),
            ("alarm", "leak.1"),
            ("moment", "raised"),
            ("priority", "critical"),
            ("class", "water"),
            ("since", "2026-11-18T11:06:30.000Z"),
            ("lasted", "10"),
            ("count", "2"),
            ("folded", "4"),
            ("place", "below air conditioner A"),
            ("site", "Server room 1"),
        ]
    );
    assert!(parsed.text.contains("漏水"), "{}", parsed.text);
    assert_eq!(said(&leak(Moment::Returned)).priority, 16 * 8 + 5);
    let heartbeat = said(&notice(About::Heartbeat { count: 7 }));
    assert_eq!(
        (heartbeat.priority, heartbeat.id.as_str()),
        (16 * 8 + 6, "heartbeat")
    );
}

#[test]
fn what_would_end_a_value_or_a_line_is_escaped_or_taken_out() {
    let mut forged = leak(Moment::Raised);
    forged.site.en = "a\"]\\b\r\n<13>1 - forged".to_owned();
    let parsed = said(&forged);
    let (name, value) = parsed.parameters.last().unwrap();
    assert_eq!(
        (name.as_str(), value.as_str()),
        ("site", "a\"]\\b  <13>1 - forged")
    );
    let message = message(&forged, 16, "tower", "", MESSAGE_MAX);
    assert!(
        message.contains(r#"site="a\"\]\\b  <13>1 - forged""#),
        "{message}"
    );
}

#[test]
fn the_name_of_the_machine_is_plain_or_not_there() {
    assert_eq!(host_name("tower\n"), "tower");
    assert_eq!(host_name("櫓 1"), "1");
    assert_eq!(host_name(""), "-");
    assert_eq!(host_name(&"x".repeat(300)).len(), 255);
}

proptest! {
    #[test]
    fn any_notice_is_a_message_of_the_standard_and_fits(notice in any_notice(), short: bool) {
        let longest = if short { DATAGRAM_MAX } else { MESSAGE_MAX };
        let text = spoken(&notice, Language::En, -600);
        let message = message(&notice, 23, "tower", &text, longest);
        prop_assert!(message.len() <= longest);
        let parsed = parse(&message);
        prop_assert!(parsed.is_some(), "{}", message);
        let lines = message.chars().filter(|ch| ch.is_control()).count();
        prop_assert_eq!(lines, 0);
    }
}

fn to(addr: SocketAddr, transport: Transport) -> Syslog {
    Syslog::new(
        config::Syslog {
            addr,
            transport,
            facility: 16,
            language: Language::Ja,
            timeout: Millis::from_secs(5),
        },
        540,
    )
}

#[tokio::test]
async fn a_server_that_reads_to_the_end_gets_one_counted_frame() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut sender = to(listener.local_addr().unwrap(), Transport::Tcp);
    let notice = leak(Moment::Raised);
    let reading = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = String::new();
        stream.read_to_string(&mut bytes).await.unwrap();
        bytes
    };
    let (sent, bytes) = tokio::join!(sender.send(&notice), reading);
    sent.unwrap();
    let (length, message) = bytes.split_once(' ').unwrap();
    assert_eq!(length.parse::<usize>().unwrap(), message.len());
    assert!(parse(message).is_some(), "{message}");
}

#[tokio::test]
async fn a_server_that_is_gone_or_cuts_us_off_is_a_failure_that_may_pass() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let mut sender = to(addr, Transport::Tcp);
    let notice = leak(Moment::Raised);
    for waits in [false, true] {
        let cutting = async {
            let (stream, _) = listener.accept().await.unwrap();
            if waits {
                // Closing with our bytes unread makes the kernel send a reset.
                stream.peek(&mut [0]).await.unwrap();
            }
            drop(stream);
        };
        let (cut, ()) = tokio::join!(sender.send(&notice), cutting);
        assert!(cut.unwrap_err().retryable);
    }
    drop(listener);
    let gone = sender.send(&notice).await.unwrap_err();
    assert!(gone.retryable && gone.problem.contains("connecting"), "{gone:?}");
}

#[tokio::test]
async fn a_port_where_nobody_listens_refuses_a_datagram_and_that_is_noticed() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let addr = socket.local_addr().unwrap();
    let mut sender = to(addr, Transport::Udp);
    sender.send(&leak(Moment::Raised)).await.unwrap();
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).await.unwrap();
    assert!(parse(std::str::from_utf8(&buffer[..length]).unwrap()).is_some());
    drop(socket);
    assert!(sender.send(&leak(Moment::Raised)).await.unwrap_err().retryable);
}

#[tokio::test]
async fn a_lamp_is_nothing_to_log() {
    let mut sender = to("127.0.0.1:9".parse().unwrap(), Transport::Udp);
    let lamp = notice(About::Lamp(room::notice::Lamp::default()));
    assert!(!sender.send(&lamp).await.unwrap_err().retryable);
}
