//! What NUT's clients say, and what they are answered. Answers that clients depend on were taken
//! from stock upsd 2.8.

use super::gate::{FIRST_PAUSE, FREE_TRIES};
use super::hall::{Account, CORE_GONE_AFTER, Hall};
use super::orders::Asked;
use super::session::{Session, Then};
use proptest::prelude::*;
use room::event::Refused;
use room::nut::served::{Freshness, Progress, Served, ServedUps};
use room::nut::wish::Wish;
use room::site::nas::{Maker, Nas};
use room::site::nut_server::{Net, Role};
use sha2::{Digest as _, Sha256};
use std::net::IpAddr;
use tokio::sync::mpsc;
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
        ..ServedUps::default()
    };
    let mut first = ups(Freshness::Fresh, "OL");
    first.vars.insert("ups.beeper.status".into(), "enabled".into());
    let silence = "silence the beeper for now";
    first.commands = [
        ("beeper.mute", silence),
        ("test.battery.start", "start a battery test"),
    ]
    .map(|(name, does)| (name.to_owned(), does.to_owned()))
    .into();
    first.settable = [("ups.beeper.status".to_owned(), vec!["muted".to_owned()])].into();
    Served {
        orders: [(7, Progress::Pending), (8, Progress::Failed)].into(),
        upses: [
            ("ups-a".to_owned(), first),
            ("ups-b".to_owned(), ups(Freshness::Stale, "OL")),
            ("ups-c".to_owned(), ups(Freshness::NeverHeard, "")),
        ]
        .into(),
    }
}

fn hall_and_core() -> (Hall, mpsc::Receiver<Asked>) {
    let account = |name: &str, role, from: &str| Account {
        name: name.into(),
        password_sha256: Sha256::digest(b"secret").into(),
        role,
        from: vec![net(from)],
        instcmds: Vec::new(),
        set: false,
    };
    let accounts = vec![
        account("monitor", Role::Secondary, "127.0.0.0/8"),
        account("main", Role::Primary, "127.0.0.0/8"),
        account("far", Role::Secondary, "10.0.0.0/8"),
        Account {
            instcmds: vec!["beeper.mute".parse().unwrap(), "load.off".parse().unwrap()],
            set: true,
            ..account("operator", Role::Secondary, "127.0.0.0/8")
        },
    ];
    let (hall, asked) = Hall::new(accounts, Vec::new(), vec![net("127.0.0.0/8")], false);
    hall.show(served(), Instant::now());
    (hall, asked)
}

fn hall() -> Hall {
    hall_and_core().0
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
            "CMDDESC ups-a load.off \"switch the output off at once\"\n",
        ),
        (
            "GET CMDDESC ups-a no.such",
            "CMDDESC ups-a no.such \"Description unavailable\"\n",
        ),
        (
            "GET TYPE ups-a UPS.beeper.status",
            "TYPE ups-a UPS.beeper.status RW ENUM\n",
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
            "BEGIN LIST VAR ups-a\nVAR ups-a battery.charge \"100\"\nVAR ups-a ups.beeper.status \"enabled\"\nVAR ups-a ups.model \"SMT \\\"1500\\\"\"\n\
             VAR ups-a ups.status \"OL\"\nEND LIST VAR ups-a\n",
        ),
        ("LIST VAR ups-b", "ERR DATA-STALE\n"),
        (
            "LIST RW ups-a extra",
            "BEGIN LIST RW ups-a\nRW ups-a ups.beeper.status \"enabled\"\nEND LIST RW ups-a\n",
        ),
        (
            "LIST CMD ups-a",
            "BEGIN LIST CMD ups-a\nCMD ups-a beeper.mute\nCMD ups-a test.battery.start\nEND LIST CMD ups-a\n",
        ),
        (
            "LIST ENUM ups-a ups.beeper.status",
            "BEGIN LIST ENUM ups-a ups.beeper.status\nENUM ups-a ups.beeper.status \"muted\"\nEND LIST ENUM ups-a ups.beeper.status\n",
        ),
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
        ("INSTCMD ups-a", "ERR INVALID-ARGUMENT\n"),
        ("INSTCMD ups-a load.off", "ERR ACCESS-DENIED\n"),
        ("INSTCMD ups-a beeper.mute", "ERR ACCESS-DENIED\n"),
        ("INSTCMD ups-a beeper.enable", "ERR CMD-NOT-SUPPORTED\n"),
        ("INSTCMD ups-a no.such", "ERR CMD-NOT-SUPPORTED\n"),
        ("INSTCMD ups-b beeper.mute", "ERR DATA-STALE\n"),
        ("SET VAR ups-a ups.beeper.status muted", "ERR ACCESS-DENIED\n"),
        ("SET VAR ups-a ups.beeper.status enabled", "ERR INVALID-VALUE\n"),
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
    let hall = Hall::new(Vec::new(), Vec::new(), vec![net("127.0.0.1")], true).0;
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

/// What a client says, and what core answers it with.
async fn ordered(
    session: &mut Session,
    hall: &Hall,
    core: &mut mpsc::Receiver<Asked>,
    line: &str,
    result: Result<u64, Refused>,
) -> (Option<(String, Wish)>, String) {
    let mut out = Vec::new();
    if session.line(line.as_bytes(), hall, &mut out) != Then::Order {
        return (None, String::from_utf8(out).unwrap());
    }
    assert!(out.is_empty(), "no answer before core's: {line}");
    let as_core = async {
        let asked = core.recv().await.unwrap();
        asked.answer.send(result).unwrap();
        (
            format!("{}@{} {}", asked.account, asked.peer, asked.ups),
            asked.wish,
        )
    };
    let ((), asked) = tokio::join!(session.order(hall, &mut out), as_core);
    (Some(asked), String::from_utf8(out).unwrap())
}

#[tokio::test]
async fn an_order_goes_to_core_with_the_name_of_its_account_and_is_answered_when_core_has_it() {
    let (hall, mut core) = hall_and_core();
    let mut session = client(1);
    for line in ["USERNAME operator", "PASSWORD secret"] {
        assert_eq!(say(&mut session, &hall, line), "OK\n");
    }
    let mut order = async |line: &str, result| ordered(&mut session, &hall, &mut core, line, result).await;
    let (asked, answer) = order("INSTCMD UPS-A Beeper.Mute", Ok(7)).await;
    let mute = Wish::Command {
        name: "beeper.mute".into(),
        value: None,
    };
    assert_eq!(asked, Some(("operator@127.0.0.1 ups-a".to_owned(), mute)));
    assert_eq!(answer, "OK\n");
    let (asked, _) = order("SET VAR ups-a UPS.beeper.status Muted", Ok(7)).await;
    let set = Wish::Set {
        variable: "ups.beeper.status".into(),
        value: "muted".into(),
    };
    assert_eq!(asked.unwrap().1, set);
    // Power is switched by plans only, whatever the account says; a value must be a number.
    for (line, answer) in [
        ("INSTCMD ups-a load.off", "ERR ACCESS-DENIED\n"),
        ("INSTCMD ups-a test.battery.start", "ERR ACCESS-DENIED\n"),
        ("INSTCMD ups-a beeper.mute soon", "ERR INVALID-ARGUMENT\n"),
    ] {
        assert_eq!(order(line, Ok(7)).await, (None, answer.to_owned()), "{line}");
    }
    let conflict = || Err(Refused::conflict("", "a UPS is on battery"));
    assert_eq!(
        order("INSTCMD ups-a beeper.mute", conflict()).await.1,
        "ERR INSTCMD-FAILED\n"
    );
    assert_eq!(
        order("SET VAR ups-a ups.beeper.status muted", conflict()).await.1,
        "ERR SET-FAILED\n"
    );

    assert_eq!(order("SET TRACKING ON", Ok(0)).await.1, "OK\n");
    for (number, answer) in [(7, "PENDING\n"), (8, "ERR FAILED\n"), (9, "PENDING\n")] {
        let (_, id) = order("INSTCMD ups-a beeper.mute", Ok(number)).await;
        let id = id.strip_prefix("OK TRACKING ").unwrap().trim_end().to_owned();
        let ask = format!("GET TRACKING {id}");
        assert_eq!(order(&ask, Ok(0)).await.1, answer, "{number}");
        let mut later = served();
        later.orders.insert(number, Progress::Done);
        hall.show(later, Instant::now());
        assert_eq!(order(&ask, Ok(0)).await.1, "SUCCESS\n", "{number}");
        hall.show(served(), Instant::now());
    }
}

#[tokio::test]
async fn without_core_an_order_fails_at_once_and_is_not_kept_for_later() {
    let (hall, core) = hall_and_core();
    drop(core);
    let mut session = client(1);
    for line in ["USERNAME operator", "PASSWORD secret"] {
        say(&mut session, &hall, line);
    }
    let mut out = Vec::new();
    assert_eq!(
        session.line(b"INSTCMD ups-a beeper.mute", &hall, &mut out),
        Then::Order
    );
    session.order(&hall, &mut out).await;
    assert_eq!(out, b"ERR INSTCMD-FAILED\n");
}

#[test]
fn who_guesses_passwords_waits_and_a_right_one_does_not_help_meanwhile() {
    let hall = hall();
    let now = Instant::now();
    let right = |at| hall.account("monitor", "secret", HOME, at).is_some();
    for _ in 0..=FREE_TRIES {
        assert!(hall.account("monitor", "wrong", HOME, now).is_none());
    }
    assert!(!right(now), "nothing is looked at in the pause");
    let other: IpAddr = "127.0.0.9".parse().unwrap();
    assert!(
        hall.account("monitor", "secret", other, now).is_some(),
        "others do not wait"
    );
    assert!(right(now + FIRST_PAUSE));
    assert!(
        hall.account("monitor", "wrong", HOME, now + FIRST_PAUSE)
            .is_none()
    );
    assert!(right(now + FIRST_PAUSE), "a right one forgives the ones before");
    let count = |name: &str| {
        hall.counters()
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, times)| *times)
    };
    assert_eq!(
        (count("wrong_password"), count("denied_in_pause")),
        (Some(u64::from(FREE_TRIES) + 2), Some(1))
    );
}

#[test]
fn a_nas_finds_the_ups_of_its_makers_name_from_its_own_address_only() {
    let nas = |maker, address: &str, ups: &str| Nas {
        maker,
        address: address.parse().unwrap(),
        ups: ups.into(),
    };
    let boxes = vec![
        nas(Maker::Synology, "127.0.0.2", "ups-a"),
        nas(Maker::Qnap, "127.0.0.3", "ups-a"),
    ];
    let accounts = boxes.iter().map(super::account_of_nas).collect();
    let (hall, _core) = Hall::new(accounts, boxes, vec![net("127.0.0.0/8")], false);
    hall.show(served(), Instant::now());
    let from = |last: u8| Session::new(u64::from(last), IpAddr::from([127, 0, 0, last]));
    // What Synology's upsmon and QNAP's client say, in their order.
    let synology = [
        ("STARTTLS", "ERR FEATURE-NOT-CONFIGURED\n"),
        ("USERNAME monuser", "OK\n"),
        ("PASSWORD secret", "OK\n"),
        ("LOGIN ups", "OK\n"),
        ("GET VAR ups ups.status", "VAR ups ups.status \"OL\"\n"),
        ("GET NUMLOGINS ups", "NUMLOGINS ups 1\n"),
        // The account is public: it commands nothing.
        ("INSTCMD ups beeper.mute", "ERR ACCESS-DENIED\n"),
        ("SET VAR ups ups.beeper.status muted", "ERR ACCESS-DENIED\n"),
        ("MASTER ups", "ERR ACCESS-DENIED\n"),
        ("LOGOUT", "OK Goodbye\n"),
    ];
    let mut box_ = from(2);
    for (line, answer) in synology {
        assert_eq!(say(&mut box_, &hall, line), answer, "{line}");
    }
    let qnap = [
        ("USERNAME admin", "OK\n"),
        ("PASSWORD 123456", "OK\n"),
        ("LOGIN qnapups", "OK\n"),
        (
            "GET VAR qnapups battery.charge",
            "VAR qnapups battery.charge \"100\"\n",
        ),
        ("GET VAR ups ups.status", "ERR UNKNOWN-UPS\n"),
    ];
    let mut other = from(3);
    for (line, answer) in qnap {
        assert_eq!(say(&mut other, &hall, line), answer, "{line}");
    }
    assert!(say(&mut from(2), &hall, "LIST UPS").starts_with("BEGIN LIST UPS\nUPS ups "));
    assert!(say(&mut from(2), &hall, "LIST VAR ups").contains("VAR ups ups.status \"OL\"\n"));
    assert_eq!(hall.logins("ups-a"), 2, "both count at the UPS behind the name");
    // Elsewhere neither the name nor the account is there.
    let mut stranger = from(4);
    for (line, answer) in [
        ("GET VAR ups ups.status", "ERR UNKNOWN-UPS\n"),
        ("USERNAME monuser", "OK\n"),
        ("PASSWORD secret", "OK\n"),
        ("LOGIN ups-a", "ERR ACCESS-DENIED\n"),
    ] {
        assert_eq!(say(&mut stranger, &hall, line), answer, "{line}");
    }
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
