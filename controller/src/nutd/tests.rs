//! What NUT's clients say, and what they are answered. Answers that clients depend on were taken
//! from stock upsd 2.8.

use super::hall::{Account, CORE_GONE_AFTER, Hall};
use super::session::{Session, Then};
use proptest::prelude::*;
use room::nut::served::{Freshness, Served, ServedUps};
use room::site::nut_server::{Net, Role};
use sha2::{Digest as _, Sha256};
use std::net::IpAddr;
use tokio::time::{Duration, Instant};

const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn net(text: &str) -> Net {
    Net::parse(text).unwrap()
}

fn served() -> Served {
    let ups = |freshness, status: &str| ServedUps {
        description: "UPS \"A\"".into(),
        vars: [
            ("battery.charge".to_owned(), "100".to_owned()),
            ("ups.model".to_owned(), "SMT \"1500\"".to_owned()),
            ("ups.status".to_owned(), status.to_owned()),
        ]
        .into(),
        freshness,
    };
    Served {
        upses: [
            ("ups-a".to_owned(), ups(Freshness::Fresh, "OL")),
            ("ups-b".to_owned(), ups(Freshness::Stale, "OL")),
            ("ups-c".to_owned(), ups(Freshness::NeverHeard, "")),
        ]
        .into(),
    }
}

fn hall() -> Hall {
    let account = |name: &str, role, from: &str| Account {
        name: name.into(),
        password_sha256: Sha256::digest(b"secret").into(),
        role,
        from: vec![net(from)],
    };
    let accounts = vec![
        account("monitor", Role::Secondary, "127.0.0.0/8"),
        account("main", Role::Primary, "127.0.0.0/8"),
        account("far", Role::Secondary, "10.0.0.0/8"),
    ];
    let hall = Hall::new(accounts, vec![net("127.0.0.0/8")], false);
    hall.show(served(), Instant::now());
    hall
}

fn client(id: u64) -> Session {
    Session::new(id, HOME)
}

fn say(session: &mut Session, hall: &Hall, line: &str) -> String {
    let mut out = Vec::new();
    session.line(line.as_bytes(), hall, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn questions_are_answered_as_stock_clients_expect() {
    let hall = hall();
    for (line, answer) in [
        ("GET VAR ups-a ups.status", "VAR ups-a ups.status \"OL\"\n"),
        ("get var UPS-A Ups.Status", "VAR UPS-A Ups.Status \"OL\"\n"),
        (
            "GET VAR ups-a ups.model",
            "VAR ups-a ups.model \"SMT \\\"1500\\\"\"\n",
        ),
        ("GET VAR ups-a ups.nonsense", "ERR VAR-NOT-SUPPORTED\n"),
        ("GET VAR ups-a", "ERR INVALID-ARGUMENT\n"),
        ("GET VAR nobody ups.status", "ERR UNKNOWN-UPS\n"),
        ("GET VAR ups-b ups.status", "ERR DATA-STALE\n"),
        ("GET VAR ups-c ups.status", "ERR DRIVER-NOT-CONNECTED\n"),
        (
            "GET VAR anything server.version",
            concat!(
                "VAR anything server.version \"",
                env!("CARGO_PKG_VERSION"),
                "\"\n"
            ),
        ),
        (
            "GET TYPE ups-a battery.charge",
            "TYPE ups-a battery.charge NUMBER\n",
        ),
        ("GET TYPE ups-a ups.model", "TYPE ups-a ups.model STRING:128\n"),
        (
            "GET DESC ups-a battery.charge",
            "DESC ups-a battery.charge \"battery charge\"\n",
        ),
        (
            "GET CMDDESC ups-a load.off",
            "CMDDESC ups-a load.off \"Description unavailable\"\n",
        ),
        ("GET UPSDESC ups-a", "UPSDESC ups-a \"UPS \\\"A\\\"\"\n"),
        // Also while its values are stale: a primary counts its secondaries then.
        ("GET NUMLOGINS ups-b", "NUMLOGINS ups-b 0\n"),
        ("GET TRACKING", "OFF\n"),
        ("GET TRACKING 1234", "ERR FEATURE-NOT-CONFIGURED\n"),
        (
            "LIST UPS",
            "BEGIN LIST UPS\nUPS ups-a \"UPS \\\"A\\\"\"\nUPS ups-b \"UPS \\\"A\\\"\"\nUPS ups-c \"UPS \\\"A\\\"\"\nEND LIST UPS\n",
        ),
        (
            "LIST VAR ups-a",
            "BEGIN LIST VAR ups-a\nVAR ups-a battery.charge \"100\"\nVAR ups-a ups.model \"SMT \\\"1500\\\"\"\n\
             VAR ups-a ups.status \"OL\"\nEND LIST VAR ups-a\n",
        ),
        ("LIST VAR ups-b", "ERR DATA-STALE\n"),
        ("LIST RW ups-a extra", "BEGIN LIST RW ups-a\nEND LIST RW ups-a\n"),
        ("LIST CMD ups-a", "BEGIN LIST CMD ups-a\nEND LIST CMD ups-a\n"),
        (
            "LIST ENUM ups-a ups.model",
            "BEGIN LIST ENUM ups-a ups.model\nEND LIST ENUM ups-a ups.model\n",
        ),
        ("LIST RANGE ups-a no.such", "ERR VAR-NOT-SUPPORTED\n"),
        (
            "LIST CLIENT ups-a",
            "BEGIN LIST CLIENT ups-a\nEND LIST CLIENT ups-a\n",
        ),
        ("LIST CLIENTS ups-a", "ERR INVALID-ARGUMENT\n"),
        ("LIST", "ERR INVALID-ARGUMENT\n"),
        ("NETVER", "1.3\n"),
        ("PROTVER", "1.3\n"),
        ("STARTTLS", "ERR FEATURE-NOT-CONFIGURED\n"),
        ("ATTACH ups-a", "ERR UNKNOWN-COMMAND\n"),
        ("", "ERR UNKNOWN-COMMAND\n"),
        ("LOGOUT now", "ERR INVALID-ARGUMENT\n"),
        ("GET VAR \"ups-a", "ERR UNKNOWN-COMMAND\n"),
        (
            "VER\r",
            concat!("Yagura NUT server ", env!("CARGO_PKG_VERSION"), "\n"),
        ),
    ] {
        assert_eq!(say(&mut client(1), &hall, line), answer, "{line}");
    }
    let mut same = client(1);
    let (lower, upper) = (
        say(&mut same, &hall, "LIST VAR ups-a"),
        say(&mut same, &hall, "LIST VAR UPS-A"),
    );
    assert_eq!(
        upper,
        lower.replace("ups-a", "UPS-A"),
        "rows echo the client's spelling"
    );
}

#[test]
fn accounts_are_looked_at_when_they_are_used_and_counted_by_connection() {
    let hall = hall();
    let mut first = client(1);
    for (line, answer) in [
        ("LOGIN ups-a", "ERR USERNAME-REQUIRED\n"),
        ("USERNAME monitor", "OK\n"),
        ("USERNAME other", "ERR ALREADY-SET-USERNAME\n"),
        ("LOGIN ups-a", "ERR PASSWORD-REQUIRED\n"),
        ("PASSWORD secret", "OK\n"),
        ("PASSWORD secret", "ERR ALREADY-SET-PASSWORD\n"),
        ("LOGIN", "ERR INVALID-ARGUMENT\n"),
        ("LOGIN nobody", "ERR UNKNOWN-UPS\n"),
        ("LOGIN UPS-A", "OK\n"),
        ("LOGIN ups-a", "ERR ALREADY-LOGGED-IN\n"),
        ("GET NUMLOGINS ups-a", "NUMLOGINS ups-a 1\n"),
        ("PRIMARY ups-a", "ERR ACCESS-DENIED\n"),
        ("FSD ups-a", "ERR ACCESS-DENIED\n"),
        ("INSTCMD ups-a load.off", "ERR CMD-NOT-SUPPORTED\n"),
        ("SET VAR ups-a ups.model x", "ERR READONLY\n"),
        ("SET VAR ups-a no.such x", "ERR VAR-NOT-SUPPORTED\n"),
        ("SET TRACKING ON", "OK\n"),
        ("GET TRACKING", "ON\n"),
        ("GET TRACKING 1234", "ERR UNKNOWN\n"),
    ] {
        assert_eq!(say(&mut first, &hall, line), answer, "{line}");
    }
    let mut second = client(2);
    for (line, answer) in [
        ("USERNAME main", "OK\n"),
        ("PASSWORD secret", "OK\n"),
        ("LOGIN ups-a", "OK\n"),
        ("PRIMARY ups-a", "OK PRIMARY-GRANTED\n"),
        ("MASTER ups-a", "OK MASTER-GRANTED\n"),
        // Only a plan stops hosts: an FSD of a client would be a latch nobody clears.
        ("FSD ups-a", "ERR ACCESS-DENIED\n"),
        (
            "LIST CLIENT ups-a",
            "BEGIN LIST CLIENT ups-a\nCLIENT ups-a 127.0.0.1\nCLIENT ups-a 127.0.0.1\nEND LIST CLIENT ups-a\n",
        ),
    ] {
        assert_eq!(say(&mut second, &hall, line), answer, "{line}");
    }
    first.leave(&hall);
    assert_eq!(
        say(&mut second, &hall, "GET NUMLOGINS ups-a"),
        "NUMLOGINS ups-a 1\n"
    );
}

#[test]
fn a_wrong_password_and_a_wrong_address_are_denied_and_counted() {
    let hall = hall();
    for (user, password) in [
        ("monitor", "wrong"),
        ("nobody", "secret"),
        ("far", "secret"),
        ("monitor", ""),
    ] {
        let mut session = client(1);
        say(&mut session, &hall, &format!("USERNAME {user}"));
        say(&mut session, &hall, &format!("PASSWORD \"{password}\""));
        assert_eq!(
            say(&mut session, &hall, "LOGIN ups-a"),
            "ERR ACCESS-DENIED\n",
            "{user}"
        );
    }
    let denied = hall.counters().into_iter().find(|(name, _)| name == "denied");
    assert_eq!(denied, Some(("denied".into(), 4)));
    assert!(!hall.may_connect("10.0.0.1".parse().unwrap()));
}

#[test]
fn without_core_everything_is_stale_until_core_is_back() {
    let hall = hall();
    let now = Instant::now();
    hall.show(served(), now);
    assert!(!hall.age(now + CORE_GONE_AFTER));
    assert_eq!(
        say(&mut client(1), &hall, "GET VAR ups-a ups.status"),
        "VAR ups-a ups.status \"OL\"\n"
    );
    let late = now + CORE_GONE_AFTER + Duration::from_millis(1);
    assert!(hall.age(late), "then core is called again, and says everything");
    assert!(!hall.age(late), "once");
    assert_eq!(
        say(&mut client(1), &hall, "GET VAR ups-a ups.status"),
        "ERR DATA-STALE\n"
    );
    // A sign of life without a picture brings old values back to no life.
    hall.heard(now + CORE_GONE_AFTER * 2);
    assert_eq!(
        say(&mut client(1), &hall, "GET VAR ups-a ups.status"),
        "ERR DATA-STALE\n"
    );
    hall.show(served(), now + CORE_GONE_AFTER * 2);
    assert_eq!(
        say(&mut client(1), &hall, "GET VAR ups-a ups.status"),
        "VAR ups-a ups.status \"OL\"\n"
    );
}

#[test]
fn tls_begins_anew_and_leaving_says_goodbye() {
    let hall = Hall::new(Vec::new(), vec![net("127.0.0.1")], true);
    hall.show(served(), Instant::now());
    let mut session = client(1);
    let mut out = Vec::new();
    session.line(b"USERNAME monitor", &hall, &mut out);
    assert_eq!(session.line(b"STARTTLS", &hall, &mut out), Then::StartTls);
    session.secured(&hall);
    assert_eq!(say(&mut session, &hall, "STARTTLS"), "ERR ALREADY-SSL-MODE\n");
    assert_eq!(
        say(&mut session, &hall, "USERNAME other"),
        "OK\n",
        "what was said in the clear is forgotten"
    );
    assert_eq!(session.line(b"LOGOUT", &hall, &mut out), Then::Close);
    assert!(out.ends_with(b"OK Goodbye\n"));
}

proptest! {
    /// Whatever a client says is answered by whole lines, and by nothing it could use to make a
    /// later line.
    #[test]
    fn any_line_is_answered_in_whole_lines(lines in prop::collection::vec(
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "(GET|LIST|SET|LOGIN|USERNAME|PASSWORD|FSD|INSTCMD|PRIMARY) (VAR|TYPE|CLIENT|NUMLOGINS|TRACKING|RW)? ?(ups-[abc])? ?[ -~]{0,40}"
                .prop_map(String::into_bytes),
        ],
        1..20,
    )) {
        let hall = hall();
        let mut session = client(1);
        for line in lines {
            let mut out = Vec::new();
            session.line(&line, &hall, &mut out);
            prop_assert!(out.ends_with(b"\n"), "{:?}", String::from_utf8_lossy(&out));
            let answer = String::from_utf8(out).unwrap();
            prop_assert!(!answer.chars().any(|c| c.is_control() && c != '\n'), "{answer:?}");
        }
        session.leave(&hall);
        prop_assert_eq!(hall.logins("ups-a"), 0);
    }
}
