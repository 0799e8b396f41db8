//! Mails against a server and a reader that are not ours: aiosmtpd and Python's parser.

use controller::core::notifier::{Ground, Sender};
use hil_tests::certificate::Certificates;
use hil_tests::mail::{ACCOUNT, MailServer, Taking};
use hil_tests::product::write_secret;
use hil_tests::{cannot_run, lacking, pymodbus};
use room::notice::text::Language;
use room::notice::{About, Moment, Notice, SendFailure, Told};
use room::site::notifier::host::Host;
use room::site::notifier::smtp::{Smtp, SmtpTls};
use room::site::notifier::{Endpoint, Notifier};
use room::site::{Label, Priority};
use room::time::{Millis, Wall};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

/// Longer than anything here takes on a loaded machine.
const BOUND: Duration = Duration::from_secs(30);
/// 2026-04-01 09:05:03 in Japan.
const SINCE: Wall = Wall(1_775_001_903_000);

struct Post {
    folder: TempDir,
    certificates: Certificates,
}

impl Post {
    /// What mail servers of these tests need, or `None` where that is not installed.
    fn open() -> Option<(Self, &'static Path)> {
        let python = pymodbus::python();
        if cannot_run(lacking(&["openssl"]).or_else(|| python.as_ref().err().cloned())) {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let certificates = Certificates::make(folder.path());
        Some((Self { folder, certificates }, python.unwrap()))
    }

    fn config(&self, addr: SocketAddr, tls: SmtpTls) -> Smtp {
        let password = write_secret(&self.folder.path().join("mail.password"), ACCOUNT.1);
        let is_clear = tls == SmtpTls::None;
        Smtp {
            server: Host {
                name: addr.ip().to_string(),
                port: addr.port(),
            },
            tls,
            ca_file: (!is_clear).then(|| self.certificates.authority.clone()),
            tls_name: None,
            login: (!is_clear).then(|| (ACCOUNT.0.to_owned(), password)),
            from: "yagura@city.example".into(),
            from_name: Some("サーバー室の監視".into()),
            reply_to: Some("facilities@city.example".into()),
            language: Language::Ja,
            timeout: Millis(3000),
        }
    }
}

fn of(to: Endpoint) -> Sender {
    let notifier = Notifier {
        name: "mail".into(),
        label: Label::new("mail", "mail"),
        to,
    };
    Sender::of(&notifier, &Ground::alone(540, Path::new("/nonexistent")))
}

fn sender(config: Smtp) -> Sender {
    of(Endpoint::Smtp(Box::new(config)))
}

fn told(moment: Moment) -> Told {
    Told {
        moment,
        alarm: "leak.1.wet".into(),
        priority: Priority::Critical,
        class: "water".into(),
        what: Label::new("漏水", "Water leak"),
        place: Label::new("空調機の下", "below the air conditioner"),
        because: Label::new("漏水検知帯 1 が濡れています", "leak rope 1 is wet"),
        cause: Label::new("排水の詰まり", "a blocked drain"),
        consequence: Label::new("停電します", "power fails"),
        action: Label::new("空調機を止め、水を拭き取る", "stop it and mop up"),
        respond_within: Millis::from_secs(900),
        owner: None,
        procedure: Some("https://docs.city.example/3-2".into()),
        since: SINCE,
        lasted: Millis::from_secs(372),
        count: 1,
        folded: 0,
    }
}

fn notice(key: &str, to: &str, about: About) -> Notice {
    Notice {
        key: key.into(),
        attempt: 1,
        notifier: "mail".into(),
        to: Some(to.into()),
        contact: Some("duty".into()),
        at: Wall(SINCE.0 + 1000),
        site: Label::new("本庁サーバー室", "Main server room"),
        simulated: false,
        about,
    }
}

fn alarm(key: &str, to: &str, moment: Moment) -> Notice {
    notice(key, to, About::Alarm(Box::new(told(moment))))
}

#[tokio::test]
async fn an_alarm_arrives_as_a_mail_that_any_reader_understands() {
    let Some((post, python)) = Post::open() else {
        return;
    };
    for (taking, tls) in [
        (Taking::Starttls(&post.certificates), SmtpTls::Starttls),
        (Taking::Implicit(&post.certificates), SmtpTls::Implicit),
    ] {
        let mut server = MailServer::start(python, taking);
        let mut sender = sender(post.config(server.addr, tls));
        let raised = alarm("leak.1.wet/17/duty/1/raised", "duty@city.example", Moment::Raised);
        sender.send(&raised).await.unwrap();
        let (_, mail) = server.next(BOUND);
        assert!(mail.tls && mail.login, "{mail:?}");
        assert_eq!(
            (mail.from.as_str(), mail.to.as_slice()),
            ("yagura@city.example", ["duty@city.example".to_owned()].as_slice())
        );
        assert_eq!(mail.hello, "[127.0.0.1]");
        assert_eq!(mail.defects, Vec::<String>::new());
        assert!(
            mail.longest <= 998 && mail.ascii && mail.bare == 0 && !mail.parts,
            "{mail:?}"
        );
        assert_eq!(mail.subject, "【重大】発生: 漏水(空調機の下) 本庁サーバー室");
        assert_eq!(mail.header("from"), "サーバー室の監視 <yagura@city.example>");
        assert_eq!(mail.header("to"), "duty@city.example");
        assert_eq!(mail.header("reply-to"), "facilities@city.example");
        assert_eq!(mail.header("date"), "Wed, 01 Apr 2026 00:05:04 +0000");
        assert_eq!(mail.header("auto-submitted"), "auto-generated");
        assert_eq!(mail.header("importance"), "high");
        assert_eq!(
            mail.header("message-id"),
            format!("<{}@city.example>", raised.id())
        );
        assert!(
            mail.all("in-reply-to").is_empty() && mail.all("cc").is_empty() && mail.all("bcc").is_empty()
        );
        for words in [
            "何が: 漏水\n",
            "どこで: 空調機の下(本庁サーバー室)\n",
            "いつから: 2026年4月1日(水) 09:05:03\n",
            "すること: 空調機を止め、水を拭き取る\n",
            "いつまでに: 2026年4月1日(水) 09:20:03",
            "手順書: https://docs.city.example/3-2\n",
        ] {
            assert!(mail.text.contains(words), "{words} in {}", mail.text);
        }
        assert!(!mail.text.contains("duty"), "{}", mail.text);

        // What follows is grouped with it; a second copy of the first has its id.
        sender.send(&raised).await.unwrap();
        let (_, again) = server.next(BOUND);
        assert_eq!(again.header("message-id"), mail.header("message-id"));
        let returned = alarm(
            "leak.1.wet/17/duty/1/returned",
            "duty@city.example",
            Moment::Returned,
        );
        sender.send(&returned).await.unwrap();
        let (_, after) = server.next(BOUND);
        assert_ne!(after.header("message-id"), mail.header("message-id"));
        assert_eq!(after.header("references"), mail.header("references"));
        assert_eq!(after.header("in-reply-to"), mail.header("references"));
    }
}

fn lasting(result: Result<(), SendFailure>, words: &str) {
    let failure = result.unwrap_err();
    assert!(
        !failure.retryable && failure.problem.contains(words),
        "{failure:?}"
    );
}

fn passing(result: Result<(), SendFailure>, words: &str) {
    let failure = result.unwrap_err();
    assert!(
        failure.retryable && failure.problem.contains(words),
        "{failure:?}"
    );
}

#[tokio::test]
async fn what_the_server_says_decides_whether_a_mail_is_tried_again() {
    let Some((post, python)) = Post::open() else {
        return;
    };
    let mut server = MailServer::start(python, Taking::Clear);
    let mut sender = sender(post.config(server.addr, SmtpTls::None));
    let to = |to: &str| alarm("k", to, Moment::Raised);

    // One recipient is refused: in the server's words, without the address. The next one is not.
    let gone = sender.send(&to("gone@city.example")).await;
    assert!(!gone.as_ref().unwrap_err().problem.contains("gone@"), "{gone:?}");
    lasting(gone, "nobody here by that name");
    passing(
        sender.send(&to("later@city.example")).await,
        "come back in a minute",
    );
    sender.send(&to("duty@city.example")).await.unwrap();

    server.mode("tempfail");
    passing(sender.send(&to("duty@city.example")).await, "the disk is full");
    server.mode("close");
    passing(sender.send(&to("duty@city.example")).await, "mail: ");
    server.mode("hang");
    let begun = Instant::now();
    passing(
        sender.send(&to("duty@city.example")).await,
        "3 s to take the mail",
    );
    assert!(begun.elapsed() < Duration::from_secs(10));
    // It recovers, and so do we.
    server.mode("accept");
    sender.send(&to("duty@city.example")).await.unwrap();
    assert_eq!(server.rest().len(), 2);
    let dead = server.addr;
    drop(server);
    let mut sender = self::sender(post.config(dead, SmtpTls::None));
    passing(sender.send(&to("duty@city.example")).await, "connecting to ");
    lasting(sender.send(&to("a@b, c@d")).await, "not a mail address");
    let mut nobody = to("x@y");
    nobody.to = None;
    lasting(sender.send(&nobody).await, "needs an address");
}

#[tokio::test]
async fn a_mail_goes_only_to_the_server_that_is_meant_and_never_in_the_clear_by_mistake() {
    let Some((post, python)) = Post::open() else {
        return;
    };
    let raised = alarm("k", "duty@city.example", Moment::Raised);
    let mut server = MailServer::start(python, Taking::Starttls(&post.certificates));

    let wrong = post.config(server.addr, SmtpTls::Starttls);
    write_secret(&wrong.login.as_ref().unwrap().1, "another password");
    lasting(sender(wrong).send(&raised).await, "AUTH");
    let mut stranger = post.config(server.addr, SmtpTls::Starttls);
    let elsewhere = tempfile::tempdir().unwrap();
    stranger.ca_file = Some(Certificates::make(elsewhere.path()).authority);
    lasting(sender(stranger).send(&raised).await, "TLS with 127.0.0.1");
    let mut renamed = post.config(server.addr, SmtpTls::Starttls);
    renamed.tls_name = Some("mail.city.example".into());
    lasting(sender(renamed).send(&raised).await, "TLS with mail.city.example");
    // The server's own certificate is a pin: its name does not matter.
    let mut pinned = post.config(server.addr, SmtpTls::Starttls);
    pinned.tls_name = Some("mail.city.example".into());
    pinned.ca_file = Some(post.certificates.server.clone());
    sender(pinned).send(&raised).await.unwrap();
    // It demands TLS, and refuses what comes without.
    lasting(
        sender(post.config(server.addr, SmtpTls::None))
            .send(&raised)
            .await,
        "STARTTLS",
    );
    assert_eq!(server.rest().len(), 1);

    let mut clear = MailServer::start(python, Taking::Clear);
    lasting(
        sender(post.config(clear.addr, SmtpTls::Starttls))
            .send(&raised)
            .await,
        "no STARTTLS",
    );
    assert!(clear.rest().is_empty());
}

/// A server that says these bytes to whoever comes, and nothing more.
async fn server_saying(bytes: &'static [u8], endless: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(bytes).await;
            while endless && stream.write_all(bytes).await.is_ok() {}
            kept.push(stream);
        }
    });
    addr
}

#[tokio::test]
async fn a_server_that_is_silent_strange_or_talks_without_end_costs_its_time_and_no_more() {
    let Some((post, _)) = Post::open() else { return };
    let raised = alarm("k", "duty@city.example", Moment::Raised);
    let cases: [(&'static [u8], bool, SmtpTls, &str); 7] = [
        (b"", false, SmtpTls::None, "3 s with its greeting"),
        (b"", false, SmtpTls::Starttls, "3 s with its greeting"),
        (b"", false, SmtpTls::Implicit, "3 s with the TLS handshake"),
        (
            b"SSH-2.0-OpenSSH_9.2\r\n",
            false,
            SmtpTls::Starttls,
            "no mail server",
        ),
        (
            b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            true,
            SmtpTls::None,
            "without end",
        ),
        (
            b"220-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
            true,
            SmtpTls::Starttls,
            "",
        ),
        // A plain answer sneaked in before the handshake is no answer after it.
        (
            b"220 hi\r\n250-hi\r\n250 STARTTLS\r\n220 go\r\n250 sneaked in\r\n",
            false,
            SmtpTls::Starttls,
            "before the TLS handshake",
        ),
    ];
    let tries = cases.map(|(bytes, endless, tls, words)| {
        let post = &post;
        let raised = &raised;
        async move {
            let addr = server_saying(bytes, endless).await;
            let result = sender(post.config(addr, tls)).send(raised).await;
            passing(result, words);
        }
    });
    Box::pin(side_by_side(tries)).await;
}

/// All of them, side by side: each waits for its own time-out.
async fn side_by_side<const N: usize>(all: [impl Future<Output = ()>; N]) {
    let mut all: Vec<_> = all.into_iter().map(Box::pin).collect();
    std::future::poll_fn(|cx| {
        all.retain_mut(|one| one.as_mut().poll(cx).is_pending());
        if all.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}

#[tokio::test]
async fn no_text_of_an_alarm_becomes_a_header_or_a_command() {
    let Some((post, python)) = Post::open() else {
        return;
    };
    let mut server = MailServer::start(python, Taking::Clear);
    let mut config = post.config(server.addr, SmtpTls::None);
    config.from_name = Some("\"Évil\" <a@b>, x".into());
    let mut sender = sender(config);
    let texts = [
        "a\r\nBcc: evil@example.com\r\n\r\nnew body",
        "x\r\n.\r\nMAIL FROM:<evil@example.com>",
        "\r\n.\r\n",
        "..\n.\n..",
        "\u{202e}detrever\u{2066} =?utf-8?q?=0d=0aBcc=3a_e@x?= \u{0}\u{7f}\u{85}",
        "👩\u{200d}🚒🇯🇵 emoji 𠮷",
        &"長い".repeat(5000),
        &"a".repeat(10_000),
        &"a b ".repeat(3000),
    ];
    for (number, evil) in texts.into_iter().enumerate() {
        let mut told = told(Moment::Reminder);
        told.alarm = evil.into();
        for label in [
            &mut told.what,
            &mut told.place,
            &mut told.because,
            &mut told.action,
        ] {
            *label = Label::new(evil, evil);
        }
        told.owner = Some(Label::new(evil, evil));
        told.procedure = Some(evil.into());
        let mut notice = notice(evil, "duty@city.example", About::Alarm(Box::new(told)));
        notice.key = evil.into();
        sender.send(&notice).await.unwrap();
        let (_, mail) = server.next(BOUND);
        assert_eq!(mail.to, ["duty@city.example"], "{number}");
        assert!(
            mail.all("bcc").is_empty() && mail.defects.is_empty(),
            "{number}: {mail:?}"
        );
        assert_eq!(
            mail.header("from"),
            "\"\\\"Évil\\\" <a@b>, x\" <yagura@city.example>"
        );
        let names: Vec<&str> = mail.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names.len(), 14, "{number}: {names:?}");
        assert!(mail.longest <= 998 && mail.bare == 0, "{number}: {mail:?}");
        assert!(
            mail.subject.starts_with("【重大】6分12秒継続中: "),
            "{number}: {}",
            mail.subject
        );
        assert!(
            mail.text.contains("担当: ") && mail.text.contains("自動送信 Yagura"),
            "{number}: {}",
            mail.text
        );
    }
    assert!(server.rest().is_empty(), "no command in a text was one");
}
