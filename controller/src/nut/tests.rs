//! What a server may do wrong, played by a scripted one. Stock servers are met in the tests of
//! the whole product.

use super::*;
use room::device::FactValue;
use std::sync::atomic::AtomicUsize;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Longer than anything here takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

enum Reply {
    Say(String),
    Silent,
    Close,
}

fn say(text: &str) -> Reply {
    Reply::Say(text.to_owned())
}

/// A server whose answers a test makes up. It ends with the test.
struct Fake {
    addr: SocketAddr,
    connections: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Fake {
    async fn start(reply: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let (reply, count) = (Arc::new(reply), Arc::clone(&connections));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let reply = Arc::clone(&reply);
                open.spawn(async move {
                    let (read, mut write) = stream.into_split();
                    let mut lines = BufReader::new(read).lines();
                    while let Ok(Some(line)) = lines.next_line().await {
                        match reply(&line) {
                            Reply::Say(text) => {
                                if write.write_all(text.as_bytes()).await.is_err() {
                                    return;
                                }
                            }
                            Reply::Silent => {}
                            Reply::Close => return,
                        }
                    }
                });
            }
        });
        Self {
            addr,
            connections,
            _tasks: tasks,
        }
    }

    fn session(&self, timeout: Duration) -> Session {
        Servers::default().session(&link(self.addr, "rack".to_owned(), NutTls::Off), timeout, 0)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

fn list(rows: &str) -> String {
    format!("BEGIN LIST VAR rack\n{rows}END LIST VAR rack\n")
}

const GOOD: &str = "VAR rack battery.charge \"100\"\nVAR rack ups.status \"OL\"\n";

async fn refused(reply: impl Fn(&str) -> Reply + Send + Sync + 'static) -> String {
    let fake = Fake::start(reply).await;
    match fake.session(PATIENCE).read().await {
        Err(PollFailure::Refused(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn variables_arrive_as_facts_over_one_connection() {
    let fake = Fake::start(|_| say(&list(GOOD))).await;
    let mut session = fake.session(PATIENCE);
    for _ in 0..5 {
        let reading = session.read().await.unwrap();
        assert_eq!(reading.state("output.source"), Some("mains"));
        assert_eq!(reading.number("battery.charge"), Some(100.0));
    }
    assert_eq!(fake.connections(), 1);
}

#[tokio::test]
async fn several_upses_of_a_server_share_a_connection() {
    let fake = Fake::start(|line| {
        let ups = line.rsplit(' ').next().unwrap_or_default();
        say(&format!(
            "BEGIN LIST VAR {ups}\nVAR {ups} ups.serial \"{ups}\"\nEND LIST VAR {ups}\n"
        ))
    })
    .await;
    let servers = Servers::default();
    let names = ["a", "b", "c"];
    let mut polls = JoinSet::new();
    for name in names {
        let mut session = servers.session(&link(fake.addr, name.to_owned(), NutTls::Off), PATIENCE, 0);
        polls.spawn(async move { (name, session.read().await.unwrap(), session) });
    }
    for (name, reading, _) in polls.join_all().await {
        let serial = reading.fact("ups.serial").unwrap();
        assert_eq!(serial.value, Ok(FactValue::Text(name.to_owned())));
    }
    assert_eq!(fake.connections(), 1);
}

#[tokio::test]
async fn old_values_are_never_given_out() {
    for (token, why) in [
        ("DATA-STALE", "lost the UPS"),
        ("DRIVER-NOT-CONNECTED", "does not run"),
    ] {
        let fake = Fake::start(move |_| say(&format!("ERR {token}\n"))).await;
        let mut session = fake.session(PATIENCE);
        let Err(PollFailure::Stale(text)) = session.read().await else {
            panic!("{token}");
        };
        assert!(text.contains(token) && text.contains(why), "{text}");
        let _ = session.read().await;
        assert_eq!(fake.connections(), 1, "an error is no reason to connect again");
    }
}

#[tokio::test]
async fn a_ups_that_goes_stale_within_its_list_is_not_read() {
    let fake =
        Fake::start(|_| say("BEGIN LIST VAR rack\nVAR rack ups.status \"OL\"\nERR DATA-STALE\n")).await;
    let mut session = fake.session(PATIENCE);
    for connections in 1..=2 {
        assert!(matches!(session.read().await, Err(PollFailure::Stale(_))));
        // The rest of the list would come as the answer to the next question.
        assert_eq!(fake.connections(), connections);
    }
}

#[tokio::test]
async fn a_wrong_name_is_answered_with_the_right_ones() {
    let why = refused(|line| match line {
        "LIST UPS" => say("BEGIN LIST UPS\nUPS east \"Rack 1\"\nUPS west \"Rack 2\"\nEND LIST UPS\n"),
        _ => say("ERR UNKNOWN-UPS\n"),
    })
    .await;
    assert!(
        why.contains("no UPS `rack`") && why.contains("east, west"),
        "{why}"
    );
}

#[tokio::test]
async fn strange_answers_are_refused_whole() {
    let many = (0..600)
        .map(|n| format!("VAR rack x.{n} \"1\"\n"))
        .collect::<String>();
    let long = format!(
        "BEGIN LIST VAR rack\nVAR rack ups.model \"{}\"\n",
        "x".repeat(100_000)
    );
    for (text, why) in [
        (list("VAR other ups.status \"OL\"\n"), "another answer in a list"),
        ("BEGIN LIST VAR other\n".to_owned(), "another answer than"),
        ("OK\n".to_owned(), "another answer than"),
        (list(&many), "more than 512"),
        (long, "a line of more than"),
        ("x\n".repeat(40), "no NUT"),
        (list(""), "no variable"),
        ("ERR ACCESS-DENIED\n".to_owned(), "upsd.users"),
        ("ERR SOMETHING-NEW\n".to_owned(), "SOMETHING-NEW"),
        (format!("{}{GOOD}", list(GOOD)), ""),
    ] {
        // The last one is a good answer with an answer to no question behind it.
        if why.is_empty() {
            let text = text.clone();
            let fake = Fake::start(move |_| say(&text)).await;
            let mut session = fake.session(PATIENCE);
            session.read().await.unwrap();
            let next = session.read().await;
            assert!(next.is_err() || fake.connections() == 2, "{next:?}");
            continue;
        }
        let refused = refused(move |_| say(&text)).await;
        assert!(refused.contains(why), "{refused}");
    }
}

#[tokio::test]
async fn an_answer_to_no_question_is_never_the_next_one() {
    let fake = Fake::start(|_| {
        let unasked = list("VAR rack ups.status \"OB LB\"\n");
        say(&format!("{}{unasked}", list(GOOD)))
    })
    .await;
    let mut session = fake.session(PATIENCE);
    for _ in 0..4 {
        match session.read().await {
            Ok(reading) => assert_eq!(reading.state("output.source"), Some("mains")),
            Err(PollFailure::Refused(why)) => assert!(why.contains("no question"), "{why}"),
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(fake.connections(), 2);
}

#[tokio::test]
async fn lines_of_a_newer_protocol_are_skipped_and_counted() {
    let fake = Fake::start(|_| say(&format!("NOTICE hello\n{}", list(&format!("{GOOD}NOTE x\n"))))).await;
    let servers = Servers::default();
    let mut session = servers.session(&link(fake.addr, "rack".to_owned(), NutTls::Off), PATIENCE, 0);
    session.read().await.unwrap();
    assert!(
        servers.counters().contains(&("nut.unknown_lines", 2)),
        "{:?}",
        servers.counters()
    );
}

#[tokio::test]
async fn a_late_answer_never_becomes_the_next_one() {
    let asked = AtomicUsize::new(0);
    let fake = Fake::start(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => Reply::Silent,
        _ => say(&list(GOOD)),
    })
    .await;
    let mut session = fake.session(Duration::from_millis(200));
    assert_eq!(session.read().await, Err(PollFailure::Timeout));
    session.limit = PATIENCE;
    session.read().await.unwrap();
    assert_eq!(
        fake.connections(),
        2,
        "the first connection must not be used again"
    );
}

#[tokio::test]
async fn a_server_that_closes_idle_connections_costs_no_reading() {
    let asked = AtomicUsize::new(0);
    let fake = Fake::start(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        1 => Reply::Close,
        _ => say(&list(GOOD)),
    })
    .await;
    let mut session = fake.session(PATIENCE);
    session.read().await.unwrap();
    session.read().await.unwrap();
    assert_eq!(fake.connections(), 2);
}

#[tokio::test]
async fn a_server_that_is_away_is_not_stormed() {
    let fake = Fake::start(|_| Reply::Close).await;
    let mut session = fake.session(PATIENCE);
    for _ in 0..50 {
        assert!(matches!(session.read().await, Err(PollFailure::Unreachable(_))));
    }
    // A connection that was made and then closed is no failed connection; the next ones are.
    let gone = Fake::start(|_| Reply::Close).await;
    let addr = gone.addr;
    drop(gone);
    let mut session = Servers::default().session(&link(addr, "rack".to_owned(), NutTls::Off), PATIENCE, 0);
    let mut held = 0;
    for _ in 0..50 {
        match session.read().await {
            Err(PollFailure::Unreachable(why)) if why.contains("for now") => held += 1,
            Err(PollFailure::Unreachable(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(held >= 40, "{held}");
}

#[tokio::test]
async fn tls_is_required_tried_or_left_out_as_the_site_says() {
    let plain = |line: &str| match line {
        "STARTTLS" => say("ERR FEATURE-NOT-CONFIGURED\n"),
        _ => say(&list(GOOD)),
    };
    let fake = Fake::start(plain).await;
    let servers = Servers::default();
    let session = |tls| servers.session(&link(fake.addr, "rack".to_owned(), tls), PATIENCE, 0);
    session(NutTls::Off).read().await.unwrap();
    session(NutTls::Try).read().await.unwrap();
    let Err(PollFailure::Refused(why)) = session(NutTls::Require).read().await else {
        panic!("read without TLS");
    };
    assert!(why.contains("TLS is required"), "{why}");
    // Bytes behind the answer to STARTTLS were not sent by whom the handshake proves.
    let early = Fake::start(|_| say("OK STARTTLS\nVAR rack ups.status \"OB\"\n")).await;
    let mut session = servers.session(&link(early.addr, "rack".to_owned(), NutTls::Require), PATIENCE, 0);
    assert!(matches!(session.read().await, Err(PollFailure::Refused(_))));
}

#[tokio::test]
async fn a_login_is_sent_only_when_it_is_configured() {
    let fake = Fake::start(|line| match line {
        "USERNAME \"room watch\"" | "PASSWORD \"s\\\"t\"" => say("OK\n"),
        _ if line.starts_with("LIST") => say(&list(GOOD)),
        _ => say("ERR INVALID-ARGUMENT\n"),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "s\"t\n").unwrap();
    let mut link = link(fake.addr, "rack".to_owned(), NutTls::Off);
    link.login = Some(("room watch".to_owned(), file));
    let servers = Servers::default();
    servers.session(&link, PATIENCE, 0).read().await.unwrap();
    link.login = Some(("room watch".to_owned(), folder.path().join("none")));
    let Err(PollFailure::Refused(why)) = servers.session(&link, PATIENCE, 0).read().await else {
        panic!("read without its password");
    };
    assert!(why.contains("password file"), "{why}");
}
