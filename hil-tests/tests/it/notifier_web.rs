//! Webhooks against a receiver that verifies, fails, hangs, answers garbage and recovers.

use controller::core::notifier::{Ground, Sender};
use hil_tests::certificate::Certificates;
use hil_tests::hook::{Hook, Manner};
use hil_tests::product::write_secret;
use hil_tests::{cannot_run, lacking};
use room::notice::text::Language;
use room::notice::{About, Notice, SendFailure};
use room::site::Label;
use room::site::notifier::host::Host;
use room::site::notifier::webhook::{Template, UrlFrom, Webhook, url};
use room::site::notifier::{Endpoint, Notifier};
use room::time::{Millis, Wall};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// Longer than anything here takes on a loaded machine.
const BOUND: Duration = Duration::from_secs(20);
const KEY: &str = "0123456789abcdef0123456789abcdef";

fn config(address: &str) -> Webhook {
    Webhook {
        url: UrlFrom::Site(url(address).unwrap()),
        template: Template::Generic,
        key_file: None,
        token_file: None,
        ca_file: None,
        proxy: None,
        language: Language::Ja,
        timeout: Millis(2000),
    }
}

fn of(to: Endpoint) -> Sender {
    let notifier = Notifier {
        name: "hook".into(),
        label: Label::new("hook", "hook"),
        to,
    };
    Sender::of(&notifier, &Ground::alone(540, Path::new("/nonexistent")))
}

fn sender(config: Webhook) -> Sender {
    of(Endpoint::Webhook(Box::new(config)))
}

fn notice(key: &str) -> Notice {
    Notice {
        key: key.into(),
        attempt: 1,
        notifier: "hook".into(),
        to: None,
        contact: Some("山田".into()),
        at: Wall(1_775_001_903_000),
        site: Label::new("本庁サーバー室", "Main server room"),
        simulated: true,
        about: About::Test { by: "山田".into() },
    }
}

fn check(result: Result<(), SendFailure>, retryable: bool, words: &str) {
    let failure = result.unwrap_err();
    assert!(
        failure.retryable == retryable && failure.problem.contains(words),
        "{words}: {failure:?}"
    );
}

#[tokio::test]
async fn a_receiver_can_verify_who_wrote_when_and_whether_it_has_seen_it() {
    if cannot_run(lacking(&["openssl"])) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(folder.path());
    let mut hook = Hook::start(Some(&certificates)).await;
    let mut config = config(&format!("https://localhost:{}/in?room=1", hook.addr.port()));
    config.ca_file = Some(certificates.authority.clone());
    config.key_file = Some(write_secret(&folder.path().join("key"), &format!("{KEY}\n")));
    config.token_file = Some(write_secret(&folder.path().join("token"), "t0ken\n"));
    let token = config.token_file.clone().unwrap();
    let mut good = sender(config.clone());
    good.send(&notice("a")).await.unwrap();
    let first = hook.next(BOUND).await;
    assert_eq!(first.target, "POST /in?room=1");
    assert!(first.is_signed_by(KEY.as_bytes()) && !first.is_signed_by(b"another key of this length"));
    let mut forged = first.clone();
    forged.body = first.body.iter().map(|byte| byte ^ 1).collect();
    assert!(!forged.is_signed_by(KEY.as_bytes()));
    let stamp: u64 = first.headers["yagura-timestamp"].parse().unwrap();
    assert!(stamp > 1_700_000_000);
    assert_eq!(first.headers["authorization"], "Bearer t0ken");
    assert_eq!(first.headers["content-type"], "application/json");
    assert_eq!(first.headers["host"], format!("localhost:{}", hook.addr.port()));
    assert_eq!(first.headers["idempotency-key"], notice("a").id());
    let json = first.json();
    assert_eq!(
        (json["version"].as_u64(), json["kind"].as_str()),
        (Some(1), Some("test"))
    );
    assert_eq!(json["key"], notice("a").id());
    assert!(!json.to_string().contains("山田"), "{json}");

    // A renewed token is taken up; another copy has the same identity.
    write_secret(&token, "renewed");
    good.send(&notice("a")).await.unwrap();
    let second = hook.next(BOUND).await;
    assert_eq!(second.headers["authorization"], "Bearer renewed");
    assert_eq!(
        second.headers["idempotency-key"],
        first.headers["idempotency-key"]
    );

    // Nobody else gets it, and nothing of the secrets leaves without the right certificate.
    let mut strange = config.clone();
    strange.ca_file = None;
    check(
        sender(strange).send(&notice("b")).await,
        false,
        "TLS with localhost",
    );
    let open = folder.path().join("open");
    std::fs::write(&open, "x".repeat(20)).unwrap();
    config.key_file = Some(open);
    check(sender(config).send(&notice("b")).await, false, "chmod 600");
    assert!(hook.rest().is_empty());
}

#[tokio::test]
async fn what_a_receiver_answers_decides_whether_a_notice_is_tried_again() {
    let mut hook = Hook::start(None).await;
    let mut sender = sender(config(&format!("http://{}/", hook.addr)));
    let answer = |status, body: &str| Manner::Answer(status, None, body.to_owned());
    for (manner, retryable, words) in [
        (answer(500, "no\r\nroom"), true, "HTTP 500: no  room"),
        (answer(503, ""), true, "HTTP 503"),
        (answer(408, ""), true, "HTTP 408"),
        (answer(400, "invalid_payload"), false, "HTTP 400: invalid_payload"),
        (answer(404, "no_team"), false, "HTTP 404"),
        (
            Manner::Answer(
                307,
                Some(("location", "http://127.0.0.1:1/x".into())),
                String::new(),
            ),
            false,
            "not followed",
        ),
        (
            Manner::Garbage(b"220 mail.example ESMTP\r\n".to_vec()),
            true,
            "HTTP: ",
        ),
        (Manner::Garbage(Vec::new()), true, "HTTP: "),
        (
            Manner::Garbage([b"HTTP/1.1 200 OK\r\nX: ".as_slice(), &vec![b'a'; 1 << 20]].concat()),
            true,
            "HTTP: ",
        ),
        (Manner::Endless, true, "HTTP 500: xxx"),
        (Manner::Hang, true, "within 2 s"),
    ] {
        hook.behave(manner);
        check(sender.send(&notice("a")).await, retryable, words);
    }
    hook.behave(answer(200, "{ not json at all"));
    sender.send(&notice("b")).await.unwrap();
    let last = hook.rest().pop().unwrap();
    assert_eq!(last.json()["key"], notice("b").id());
}

#[tokio::test]
async fn a_receiver_that_asks_for_time_gets_it() {
    let mut hook = Hook::start(None).await;
    let mut sender = sender(config(&format!("http://{}/", hook.addr)));
    let busy =
        |seconds: &str| Manner::Answer(429, Some(("retry-after", seconds.to_owned())), "slow down".into());
    hook.behave(busy("1"));
    let begun = Instant::now();
    check(sender.send(&notice("a")).await, true, "HTTP 429: slow down");
    hook.behave(Manner::good());
    sender.send(&notice("a")).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1));
    let posted = hook.rest();
    assert_eq!(posted.len(), 2);
    assert!(posted[1].at - posted[0].at >= Duration::from_millis(900));

    // What is longer than a worker can wait fails at once, without a request.
    hook.behave(busy("600"));
    check(sender.send(&notice("b")).await, true, "HTTP 429");
    check(sender.send(&notice("b")).await, true, "left alone");
    assert_eq!(hook.rest().len(), 1);
}

/// A proxy that knows CONNECT and these hosts.
async fn proxy(known: Vec<(String, SocketAddr)>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let known = known.clone();
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let mut asked = String::new();
                let mut line = String::new();
                while stream.read_line(&mut line).await.unwrap_or(0) > 2 {
                    asked.push_str(&line);
                    line.clear();
                }
                let target = asked.split(' ').nth(1).unwrap_or_default();
                let Some((_, addr)) = known
                    .iter()
                    .find(|(name, _)| asked.starts_with("CONNECT ") && name == target)
                else {
                    let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await;
                    return;
                };
                let mut there = TcpStream::connect(addr).await.unwrap();
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\nVia: test\r\n\r\n")
                    .await
                    .unwrap();
                let _ = copy_bidirectional(&mut stream, &mut there).await;
            });
        }
    });
    addr
}

#[tokio::test]
async fn a_closed_network_reaches_a_chat_service_through_its_proxy_alone() {
    if cannot_run(lacking(&["openssl"])) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(folder.path());
    let mut hook = Hook::start(Some(&certificates)).await;
    // A name that only the proxy can resolve: it is not asked for here.
    let proxy = proxy(vec![("chat.invalid:443".into(), hook.addr)]).await;
    let secret = write_secret(&folder.path().join("url"), "https://chat.invalid/hooks/secret\n");
    let mut config = config("https://chat.invalid/");
    config.url = UrlFrom::File(secret);
    config.template = Template::Slack;
    config.ca_file = Some(certificates.server.clone());
    config.proxy = Some(Host {
        name: proxy.ip().to_string(),
        port: proxy.port(),
    });
    sender(config.clone()).send(&notice("a")).await.unwrap();
    let posted = hook.next(BOUND).await;
    assert_eq!(
        (posted.target.as_str(), posted.headers["host"].as_str()),
        ("POST /hooks/secret", "chat.invalid")
    );
    assert_eq!(
        posted.json()["text"],
        "【模擬】【試験】通知の試験です 本庁サーバー室"
    );
    config.url = UrlFrom::Site(url("https://elsewhere.invalid/").unwrap());
    check(sender(config).send(&notice("a")).await, false, "403 Forbidden");
}

#[tokio::test]
async fn the_address_of_a_contact_finds_its_place_in_the_path_and_nothing_more() {
    let mut hook = Hook::start(None).await;
    let mut config = config(&format!("http://{}/v1.0/bots/7/{{to}}/messages", hook.addr));
    config.template = Template::LineWorks;
    let mut sender = sender(config);
    let mut told = notice("a");
    check(sender.send(&told).await, false, "that of a contact");
    told.to = Some("users/duty@city".into());
    sender.send(&told).await.unwrap();
    let posted = hook.next(BOUND).await;
    assert_eq!(posted.target, "POST /v1.0/bots/7/users/duty@city/messages");
    assert_eq!(posted.json()["content"]["type"], "text");
    told.to = Some("a b?c#d\r\nX: y%".into());
    sender.send(&told).await.unwrap();
    assert_eq!(
        hook.next(BOUND).await.target,
        "POST /v1.0/bots/7/a%20b%3Fc%23d%0D%0AX%3A%20y%25/messages"
    );
}
