//! Notices at Debian's mosquitto, read by its own client.

use super::notifier_syslog::{leak, notice, sender_in};
use controller::core::notifier::Sender;
use hil_tests::certificate::Certificates;
use hil_tests::mosquitto::Mosquitto;
use hil_tests::product::write_secret;
use hil_tests::{Child, cannot_run, lacking, wait_for};
use room::notice::text::Language;
use room::notice::{About, Lamp, Moment};
use room::site::notifier::Endpoint;
use room::site::notifier::host::{Host, Tls};
use room::site::notifier::mqtt::Mqtt;
use room::time::Millis;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Longer than anything here takes on a loaded machine.
const BOUND: Duration = Duration::from_secs(20);

fn sender(broker: SocketAddr, login: Option<(String, PathBuf)>) -> Sender {
    sender_to(broker, login, None, Path::new("/nonexistent"))
}

/// `dir` is where its way to TLS has its socket.
fn sender_to(broker: SocketAddr, login: Option<(String, PathBuf)>, tls: Option<Tls>, dir: &Path) -> Sender {
    let to = Endpoint::Mqtt(Box::new(Mqtt {
        broker: Host {
            name: broker.ip().to_string(),
            port: broker.port(),
        },
        tls,
        login,
        topic: "yagura/honcho".to_owned(),
        language: Language::Ja,
        timeout: Millis::from_secs(3),
    }));
    sender_in(to, dir)
}

/// `mosquitto_sub`, which writes topic and payload, a line each, to a file.
struct Listener {
    file: PathBuf,
    _child: Child,
}

impl Listener {
    fn start(broker: SocketAddr, dir: &Path, name: &str) -> Self {
        let file = dir.join(name);
        let out = std::fs::File::create(&file).unwrap();
        let mut command = Command::new("mosquitto_sub");
        command
            .args(["-h", &broker.ip().to_string(), "-p", &broker.port().to_string()])
            .args(["-q", "1", "-t", "yagura/#", "-F", "%r %t %p"])
            .stdin(Stdio::null())
            .stdout(out);
        Self {
            file,
            _child: Child::start(&mut command),
        }
    }

    fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The first line with this in it.
    async fn heard(&self, words: &str) -> String {
        wait_for(words, BOUND, async || {
            self.lines().into_iter().find(|line| line.contains(words))
        })
        .await
    }
}

#[tokio::test]
async fn programs_hear_notices_find_what_stands_and_learn_that_we_are_gone() {
    if cannot_run(lacking(&["mosquitto", "mosquitto_pub"])) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut broker = Mosquitto::start(dir.path());
    let early = Listener::start(broker.addr, dir.path(), "early");
    let mut sender = sender(broker.addr, None);
    // The listener has subscribed once it hears something; heartbeats are for that, too.
    wait_for("the first heartbeat", BOUND, async || {
        sender.send(&notice(About::Heartbeat { count: 1 })).await.unwrap();
        let heard = early.lines().iter().any(|line| line.contains("/heartbeat "));
        heard.then_some(())
    })
    .await;
    sender.send(&leak(Moment::Raised)).await.unwrap();
    let told = early.heard("0 yagura/honcho/notice ").await;
    let (_, json) = told.split_once("/notice ").unwrap();
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(json["alarm"]["id"], "leak.1");
    assert_eq!(json["alarm"]["moment"], "raised");
    assert_eq!(json["alarm"]["what"]["ja"], "漏水");
    assert!(!told.contains("山田"), "no person is named: {told}");
    sender.send(&notice(About::Lamp(Lamp::default()))).await.unwrap();

    // Who comes later finds what stands, and that we are there.
    let later = Listener::start(broker.addr, dir.path(), "later");
    later.heard("1 yagura/honcho/alarm/leak.1 {").await;
    later.heard("1 yagura/honcho/lamp {").await;
    later.heard("1 yagura/honcho/available online").await;
    sender.send(&leak(Moment::Returned)).await.unwrap();
    early.heard("0 yagura/honcho/alarm/leak.1 ").await;
    let cleared = Listener::start(broker.addr, dir.path(), "cleared");
    cleared.heard("1 yagura/honcho/lamp {").await;
    cleared.heard("1 yagura/honcho/available online").await;
    assert!(
        !cleared.lines().iter().any(|line| line.contains("/alarm/")),
        "{:?}",
        cleared.lines()
    );

    // A broker that was away is not a lost notice.
    broker.kill();
    let away = sender.send(&leak(Moment::Raised)).await.unwrap_err();
    assert!(away.retryable, "{away:?}");
    broker.restart();
    let again = Listener::start(broker.addr, dir.path(), "again");
    wait_for("the broker has it after all", BOUND, async || {
        sender.send(&leak(Moment::Raised)).await.ok()
    })
    .await;
    again.heard("yagura/honcho/available online").await;
    drop(sender);
    again.heard("0 yagura/honcho/available offline").await;
}

#[tokio::test]
async fn a_broker_that_refuses_our_account_or_our_topic_needs_a_person() {
    if cannot_run(lacking(&["mosquitto", "mosquitto_pub"])) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let broker = Mosquitto::with_accounts(dir.path(), &[("controller", "right")]);
    for (password, words) in [("wrong", "account"), ("right", "refuses yagura/honcho")] {
        let file = write_secret(&dir.path().join(password), password);
        let login = Some(("controller".to_owned(), file));
        let refused = sender(broker.addr, login).send(&leak(Moment::Raised)).await;
        let refused = refused.unwrap_err();
        assert!(
            !refused.retryable && refused.problem.contains(words),
            "{refused:?}"
        );
    }
    let readable = write_secret(&dir.path().join("readable"), "right");
    std::fs::set_permissions(&readable, std::fs::Permissions::from_mode(0o644)).unwrap();
    let login = Some(("controller".to_owned(), readable));
    let refused = sender(broker.addr, login).send(&leak(Moment::Raised)).await;
    let refused = refused.unwrap_err();
    assert!(
        !refused.retryable && refused.problem.contains("can be read by others"),
        "{refused:?}"
    );
}

/// The broker shows a certificate, and is told nothing before it is the right one.
#[tokio::test]
async fn over_tls_the_broker_must_be_the_one_that_the_site_names() {
    if cannot_run(lacking(&["mosquitto", "mosquitto_pub", "openssl"])) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(dir.path());
    let (mut broker, addr) = Mosquitto::with_certificate(dir.path(), &certificates);
    let by = |ca_file: &Path, name: Option<&str>| {
        let tls = Tls {
            ca_file: Some(ca_file.to_owned()),
            name: name.map(str::to_owned),
        };
        sender_to(addr, None, Some(tls), dir.path())
    };
    // By its authority, and by its own certificate as a pin.
    for (number, file) in [&certificates.authority, &certificates.server].iter().enumerate() {
        let mut sender = by(file, None);
        sender.send(&leak(Moment::Raised)).await.unwrap();
        let heard = Listener::start(broker.addr, dir.path(), &format!("heard-{number}"));
        heard.heard("1 yagura/honcho/alarm/leak.1 {").await;
        heard.heard("1 yagura/honcho/available online").await;
        drop(sender);
        heard.heard("0 yagura/honcho/available offline").await;
    }
    // Another authority, and another name than the certificate has: a person must look.
    let folder = dir.path().join("other");
    std::fs::create_dir(&folder).unwrap();
    let other = Certificates::make(&folder);
    for (file, name) in [
        (&other.authority, None),
        (&certificates.authority, Some("bus.city.example")),
    ] {
        let refused = by(file, name).send(&leak(Moment::Raised)).await;
        let refused = refused.unwrap_err();
        assert!(
            !refused.retryable && refused.problem.contains("TLS with"),
            "{refused:?}"
        );
    }
    // Away and back: the same sender finds it again.
    let mut sender = by(&certificates.authority, None);
    sender.send(&leak(Moment::Raised)).await.unwrap();
    broker.kill();
    let away = sender.send(&leak(Moment::Raised)).await.unwrap_err();
    assert!(away.retryable, "{away:?}");
    broker.restart();
    wait_for("the broker has it after all", BOUND, async || {
        sender.send(&leak(Moment::Raised)).await.ok()
    })
    .await;
}
