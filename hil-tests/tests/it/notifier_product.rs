//! The whole product tells people: a door is forced at a simulated node, and who is to know knows.

use ::simroom::node::{self, Input, Node};
use hil_tests::certificate::Certificates;
use hil_tests::hook::Hook;
use hil_tests::mail::{ACCOUNT, MailServer, Taking};
use hil_tests::product::{Yagura, write_secret};
use hil_tests::sitefile::SiteFile;
use hil_tests::{cannot_run, free_port, lacking, pymodbus, wait_for};
use room::snapshot::AlarmState;
use rustix::process::{Pid, Signal, kill_process};
use shared::Quantity;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::block_in_place;

/// Longer than anything here takes on a loaded machine.
const BOUND: Duration = Duration::from_secs(30);
const NODE: u16 = 9;
const KEY: [u8; 32] = [9; 32];
const SIGNING: &str = "0123456789abcdef0123456789abcdef";

/// Mail to two roles, one of which its server does not know; a signed webhook; and a mail server
/// that takes connections and never says a word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forced_door_is_told_by_mail_and_webhook_while_another_notifier_hangs() {
    let python = pymodbus::python();
    if cannot_run(lacking(&["openssl"]).or_else(|| python.as_ref().err().cloned())) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(dir.path());
    let mut post = MailServer::start(python.unwrap(), Taking::Starttls(&certificates));
    let mut hook = Hook::start(None).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let broker = free_port();
    let password = write_secret(&dir.path().join("mail.password"), ACCOUNT.1);
    let key = write_secret(&dir.path().join("hook.key"), SIGNING);
    let site = SiteFile::new(dir.path())
        .builtin_mqtt(broker)
        .node(NODE, KEY, "60s")
        .with(&format!(
            r#"
[[notifier]]
name = "mail"
kind = "smtp"
server = "{}"
ca_file = "{}"
user = "{}"
password_file = "{}"
from = "yagura@city.example"
[[notifier]]
name = "dead"
kind = "smtp"
tls = "none"
server = "{}"
from = "yagura@city.example"
timeout = "60s"
[[notifier]]
name = "csirt"
kind = "webhook"
template = "generic"
url = "http://{}/in"
key_file = "{}"
[[contact]]
name = "facilities"
via = [{{ notifier = "mail", to = "facilities@city.example" }}]
[[contact]]
name = "moved"
via = [{{ notifier = "mail", to = "gone@city.example" }}]
[[contact]]
name = "guard"
via = [{{ notifier = "dead", to = "guard@city.example" }}]
[[contact]]
name = "csirt"
via = [{{ notifier = "csirt" }}]
[[route]]
name = "all"
at_least = "critical"
steps = [{{ contacts = ["guard", "moved", "facilities", "csirt"] }}]
"#,
            post.addr,
            certificates.authority.display(),
            ACCOUNT.0,
            password.display(),
            silent.local_addr().unwrap(),
            hook.addr,
            key.display(),
        ))
        .write();
    let yagura = block_in_place(|| Yagura::run(&site));
    let contact = Input {
        quantity: Quantity::Contact,
        value: Ok(0),
    };
    let node = Node::start(node::Config {
        id: NODE,
        key: KEY,
        channels: vec![contact, contact],
        state_file: dir.path().join("node-9.json"),
        telemetry: Duration::from_millis(500),
        heartbeat: Duration::from_secs(1),
    })
    .unwrap();
    node.connect(broker);
    wait_for("the node's hello to be journaled", BOUND, async || {
        (node.state().last_event > 0 && node.state().pending == 0).then_some(())
    })
    .await;

    node.set_contact(0, true);
    let (_, mail) = block_in_place(|| post.next(BOUND));
    assert_eq!(mail.to, ["facilities@city.example"]);
    assert!(
        mail.tls && mail.login && mail.subject.starts_with("【重大】発生: "),
        "{mail:?}"
    );
    assert!(
        mail.text.contains("すること: ") && mail.text.contains("警報: door.9.forced\n"),
        "{}",
        mail.text
    );
    let posted = hook.next(BOUND).await;
    assert!(posted.is_signed_by(SIGNING.as_bytes()));
    let json = posted.json();
    assert_eq!(json["alarm"]["id"], "door.9.forced");
    assert_eq!(
        (
            json["alarm"]["moment"].as_str(),
            json["alarm"]["priority"].as_str()
        ),
        (Some("raised"), Some("critical"))
    );

    // Who cannot be told is an alarm of its own; both that were told once were told once.
    block_in_place(|| yagura.wait_alarm("notifier.mail", AlarmState::Unacknowledged, BOUND));
    let about = |mail: &hil_tests::mail::Mail| mail.text.contains("警報: door.9.forced\n");
    assert!(!block_in_place(|| post.rest()).iter().any(about));
    assert!(
        hook.rest()
            .iter()
            .all(|posted| posted.json()["alarm"]["id"] != "door.9.forced")
    );
    drop(silent);
}

/// Shortest time between heartbeats that a site may ask for, and what a loaded machine adds.
const EVERY: Duration = Duration::from_secs(5);
const LATE: Duration = Duration::from_secs(1);

/// Whoever waits outside needs nothing of the controller to notice: the signs of life stop coming.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_core_that_stands_still_is_noticed_outside_because_its_heartbeat_is_not_heard() {
    let dir = tempfile::tempdir().unwrap();
    let mut outside = Hook::start(None).await;
    let site = SiteFile::new(dir.path())
        .builtin_mqtt(free_port())
        .with(&format!(
            r#"
[[notifier]]
name = "outside"
kind = "webhook"
template = "generic"
url = "http://{}/alive"
[[heartbeat]]
notifier = "outside"
every = "5s"
"#,
            outside.addr
        ))
        .write();
    // The supervisor would end it before the test has seen enough.
    let yagura = block_in_place(|| Yagura::run_with(&site, &[("YAGURA_HANGS_AFTER_S", "60")]));
    let first = outside.next(BOUND).await;
    assert_eq!(first.json()["heartbeat"]["count"], 1);
    let core = block_in_place(|| yagura.role("core")).expect("the role runs");
    let core = Pid::from_raw(core).expect("a process id");
    // A child of our child, which is alive and has not collected it: the id is its own.
    kill_process(core, Signal::STOP).expect("the role is there");
    let heard = tokio::time::timeout(EVERY + LATE, outside.next(BOUND)).await;
    assert!(heard.is_err(), "a core that stands still lives: {heard:?}");
    // It was this alone that kept it from being heard.
    kill_process(core, Signal::CONT).expect("the role is there");
    let second = outside.next(BOUND).await;
    assert_eq!(second.json()["heartbeat"]["count"], 2);
    assert_ne!(
        (
            second.headers.get("idempotency-key"),
            second.json()["key"].as_str()
        ),
        (first.headers.get("idempotency-key"), first.json()["key"].as_str()),
        "who drops copies hears each of them"
    );
}
