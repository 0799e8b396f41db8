//! Notices at Debian's rsyslog, over UDP, TCP and TLS.

use controller::core::notifier::{Ground, Sender};
use hil_tests::certificate::Certificates;
use hil_tests::{Child, cannot_run, free_port, free_udp_port, lacking, wait_for};
use room::notice::text::Language;
use room::notice::{About, Moment, Notice, Told};
use room::site::notifier::host::Tls;
use room::site::notifier::syslog::{Syslog, Transport};
use room::site::notifier::{Endpoint, Notifier};
use room::site::{Label, Priority};
use room::time::{Millis, Wall};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Longer than anything here takes on a loaded machine.
const BOUND: Duration = Duration::from_secs(20);

/// A notice of the test room about this.
pub(super) fn notice(about: About) -> Notice {
    Notice {
        key: "leak.1/3/duty/0".into(),
        attempt: 1,
        notifier: "machine".into(),
        to: None,
        contact: Some("山田".into()),
        at: Wall(1_795_000_000_123),
        site: Label::new("第一サーバ室", "Server room 1"),
        simulated: false,
        about,
    }
}

/// What happened to a leak.
pub(super) fn leak(moment: Moment) -> Notice {
    notice(About::Alarm(Box::new(Told {
        moment,
        alarm: "leak.1".into(),
        priority: Priority::Critical,
        class: "water".into(),
        what: Label::new("漏水", "Leak"),
        place: Label::new("空調機Aの下", "below air conditioner [A]"),
        because: Label::new("検知帯がぬれた", "the rope is wet"),
        cause: Label::new("ドレン配管の詰まり", "a blocked drain"),
        consequence: Label::new("床下に水がたまる", "water below the floor"),
        action: Label::new("空調機Aを止める", "stop air conditioner A"),
        respond_within: Millis::from_secs(600),
        owner: None,
        procedure: None,
        since: Wall(1_794_999_990_000),
        lasted: Millis(10_123),
        count: 2,
        folded: 4,
    })))
}

/// The sender of a notifier that needs no site around it.
pub(super) fn sender_of(to: Endpoint) -> Sender {
    sender_in(to, Path::new("/nonexistent"))
}

/// As [`sender_of`], with a folder for what is to be kept.
pub(super) fn sender_in(to: Endpoint, data_dir: &Path) -> Sender {
    let notifier = Notifier {
        name: "machine".into(),
        label: Label::default(),
        to,
    };
    Sender::of(&notifier, &Ground::alone(540, data_dir))
}

struct Rsyslog {
    child: Child,
    udp: SocketAddr,
    tcp: SocketAddr,
    tls: SocketAddr,
    certificates: Certificates,
    dir: tempfile::TempDir,
}

impl Rsyslog {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (udp, tcp, tls) = (free_udp_port(), free_port(), free_port());
        let certificates = Certificates::make(dir.path());
        let config = format!(
            "global(workDirectory=\"{dir}\" defaultNetstreamDriverCAFile=\"{ca}\" \
             defaultNetstreamDriverCertFile=\"{cert}\" defaultNetstreamDriverKeyFile=\"{key}\")\n\
             module(load=\"imudp\")\nmodule(load=\"imtcp\")\n\
             input(type=\"imudp\" address=\"127.0.0.1\" port=\"{udp}\")\n\
             input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{tcp}\")\n\
             input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{tls}\" streamDriver.name=\"gtls\" \
             streamDriver.mode=\"1\" streamDriver.authMode=\"anon\")\n\
             template(name=\"line\" type=\"string\" string=\"%pri%|%timestamp:::date-rfc3339%|%app-name%|\
             %msgid%|%structured-data%|%msg%\\n\")\n\
             action(type=\"omfile\" file=\"{dir}/messages\" template=\"line\")\n",
            dir = dir.path().display(),
            ca = certificates.authority.display(),
            cert = certificates.server.display(),
            key = certificates.key.display(),
            udp = udp.port(),
            tcp = tcp.port(),
            tls = tls.port(),
        );
        std::fs::write(dir.path().join("rsyslog.conf"), config).unwrap();
        let mut daemon = Self {
            child: spawn(dir.path()),
            udp,
            tcp,
            tls,
            certificates,
            dir,
        };
        daemon.until_listening().await;
        daemon
    }

    async fn until_listening(&mut self) {
        for addr in [self.tcp, self.tls] {
            wait_for("rsyslog listens", BOUND, async || {
                let ended = self.child.ended();
                assert!(ended.is_none(), "rsyslog ended: {ended:?}: {}", self.read("log"));
                tokio::net::TcpStream::connect(addr).await.ok()
            })
            .await;
        }
    }

    async fn restart(&mut self) {
        self.child.stop();
        self.child = spawn(self.dir.path());
        self.until_listening().await;
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(file)).unwrap_or_default()
    }

    /// Waits until so many messages with this id are written, and gives their fields.
    async fn written(&self, id: &str, count: usize) -> Vec<Vec<String>> {
        wait_for(&format!("{count} messages {id}"), BOUND, async || {
            let lines = self.read("messages");
            let found: Vec<Vec<String>> = lines
                .lines()
                .map(|line| line.split('|').map(str::to_owned).collect::<Vec<_>>())
                .filter(|fields: &Vec<String>| fields.get(3).is_some_and(|found| found == id))
                .collect();
            (found.len() >= count).then_some(found)
        })
        .await
    }

    fn sender(&self, addr: SocketAddr, transport: Transport) -> Sender {
        sender_of(Endpoint::Syslog(Syslog {
            addr,
            transport,
            facility: 16,
            language: Language::Ja,
            timeout: Millis::from_secs(10),
        }))
    }

    fn tls(&self, ca_file: &Path, name: Option<&str>) -> Sender {
        self.sender(
            self.tls,
            Transport::Tls(Tls {
                ca_file: Some(ca_file.to_owned()),
                name: name.map(str::to_owned),
            }),
        )
    }
}

fn spawn(dir: &Path) -> Child {
    let log = std::fs::File::create(dir.join("log")).unwrap();
    Child::start(
        Command::new("/usr/sbin/rsyslogd")
            .arg("-n")
            .arg("-f")
            .arg(dir.join("rsyslog.conf"))
            .arg("-i")
            .arg(dir.join("pid"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log),
    )
}

#[tokio::test]
async fn a_log_server_writes_what_we_said_and_one_that_was_restarted_loses_nothing() {
    if cannot_run(lacking(&["rsyslogd", "openssl"])) {
        return;
    }
    let mut daemon = Rsyslog::start().await;
    let authority: PathBuf = daemon.certificates.authority.clone();
    let mut udp = daemon.sender(daemon.udp, Transport::Udp);
    let mut tcp = daemon.sender(daemon.tcp, Transport::Tcp);
    let mut tls = daemon.tls(&authority, None);
    let raised = leak(Moment::Raised);
    for sender in [&mut udp, &mut tcp, &mut tls] {
        sender.send(&raised).await.unwrap();
    }
    let written = daemon.written("alarm-raised", 3).await;
    for fields in &written {
        let &[pri, time, app, _, data, text] =
            fields.iter().map(String::as_str).collect::<Vec<_>>().as_slice()
        else {
            panic!("{fields:?}");
        };
        assert_eq!((pri, app), ("130", "yagura"), "local0, critical");
        assert!(time.starts_with("2026-11-18T11:06:40.123"), "{time}");
        assert!(
            data.contains("alarm=\"leak.1\"") && data.contains(r#"place="below air conditioner [A\]""#),
            "{data}"
        );
        assert!(
            text.contains("漏水") && text.contains("空調機Aを止める"),
            "{text}"
        );
        let all = fields.join("|");
        assert!(!all.contains("山田"), "no person is named: {all}");
    }
    tls.send(&notice(About::Heartbeat { count: 7 })).await.unwrap();
    assert!(daemon.written("heartbeat", 1).await[0][4].contains("count=\"7\""));

    // The name is checked: it is not in the certificate, though the authority is ours.
    let mut misnamed = daemon.tls(&authority, Some("log.city.example"));
    let refused = misnamed.send(&leak(Moment::Escalated)).await.unwrap_err();
    assert!(refused.problem.contains("TLS"), "{refused:?}");
    // And so is the authority.
    let others = tempfile::tempdir().unwrap();
    let other = Certificates::make(others.path());
    assert!(
        daemon
            .tls(&other.authority, None)
            .send(&leak(Moment::Escalated))
            .await
            .is_err()
    );

    daemon.child.stop();
    for sender in [&mut udp, &mut tcp, &mut tls] {
        let gone = sender.send(&leak(Moment::Reminder)).await.unwrap_err();
        assert!(gone.retryable, "{gone:?}");
    }
    daemon.restart().await;
    for sender in [&mut tcp, &mut tls] {
        sender.send(&leak(Moment::Returned)).await.unwrap();
    }
    daemon.written("alarm-returned", 2).await;
    let all = daemon.read("messages");
    assert!(!all.contains("escalated") && !all.contains("reminder"), "{all}");
}
