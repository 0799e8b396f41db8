//! SNMPv3 against Debian's snmpd: every pair of algorithms it knows, in one agent with a user each.

use controller::snmp::{
    Access, AuthProtocol, Client, Error, Oid, PrivProtocol, Refusal, Report, Target, Usm, Value,
};
use hil_tests::{Child, cannot_run, free_udp_port, lacking, wait_for, yagura_bin};
use room::site::Secret;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Longer than anything here takes on a loaded machine.
const BOUND: Duration = Duration::from_secs(60);
pub(super) const AUTH_PASSWORD: &str = "correct horse battery";
pub(super) const PRIVACY_PASSWORD: &str = "staple it together";
const SYS_NAME: &str = "1.3.6.1.2.1.1.5.0";

/// Our word, theirs for `createUser`.
const AUTH: [(AuthProtocol, &str); 6] = [
    (AuthProtocol::Md5, "MD5"),
    (AuthProtocol::Sha1, "SHA"),
    (AuthProtocol::Sha224, "SHA-224"),
    (AuthProtocol::Sha256, "SHA-256"),
    (AuthProtocol::Sha384, "SHA-384"),
    (AuthProtocol::Sha512, "SHA-512"),
];
const PRIVACY: [(PrivProtocol, &str); 6] = [
    (PrivProtocol::Des, "DES"),
    (PrivProtocol::Aes128, "AES"),
    (PrivProtocol::Aes192, "AES-192"),
    (PrivProtocol::Aes256, "AES-256"),
    (PrivProtocol::Aes192Cisco, "AES-192-C"),
    (PrivProtocol::Aes256Cisco, "AES-256-C"),
];

fn user_name(auth: &str, privacy: Option<&str>) -> String {
    format!("{auth}{}", privacy.unwrap_or_default()).replace('-', "")
}

fn usm(user: &str, auth: Option<AuthProtocol>, privacy: Option<PrivProtocol>) -> Usm {
    Usm {
        user: user.to_owned(),
        auth: auth.map(|auth| (auth, Secret(AUTH_PASSWORD.to_owned()))),
        privacy: privacy.map(|privacy| (privacy, Secret(PRIVACY_PASSWORD.to_owned()))),
        context: String::new(),
    }
}

fn target(addr: SocketAddr, usm: Usm) -> Target {
    Target::new(addr, Access::v3(usm), Duration::from_secs(2), 2)
}

fn name() -> Vec<Oid> {
    vec![SYS_NAME.parse().unwrap()]
}

pub(super) struct Snmpd {
    pub(super) addr: SocketAddr,
    dir: tempfile::TempDir,
    child: Child,
}

fn config() -> String {
    let mut text =
        "rocommunity serverroom 127.0.0.1\nrwcommunity keeper 127.0.0.1\nsysname db1\ncreateUser nobody\nrouser nobody noauth\n".to_owned();
    text += &format!(
        "createUser keeper SHA-256 \"{AUTH_PASSWORD}\" AES \"{PRIVACY_PASSWORD}\"\nrwuser keeper priv\n"
    );
    for (_, auth) in AUTH {
        let user = user_name(auth, None);
        text += &format!("createUser {user} {auth} \"{AUTH_PASSWORD}\"\nrouser {user} auth\n");
        for (_, privacy) in PRIVACY {
            let user = user_name(auth, Some(privacy));
            text += &format!(
                "createUser {user} {auth} \"{AUTH_PASSWORD}\" {privacy} \"{PRIVACY_PASSWORD}\"\nrouser {user} priv\n"
            );
        }
    }
    text
}

fn start(dir: &Path, addr: SocketAddr) -> Child {
    let log = std::fs::File::create(dir.join("log")).unwrap();
    let mut command = std::process::Command::new("snmpd");
    command
        .args(["-f", "-Lo", "-c"])
        .arg(dir.join("agent.conf"))
        .arg(format!("udp:{addr}"))
        // Its boots, its engine id and its agentx socket stay in this folder; the boots in a file
        // of the name `snmpd.conf`.
        .env("SNMP_PERSISTENT_DIR", dir)
        .env("SNMPCONFPATH", dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    Child::start(&mut command)
}

pub(super) async fn snmpd() -> Snmpd {
    let dir = tempfile::tempdir().unwrap();
    let addr = free_udp_port();
    std::fs::write(dir.path().join("agent.conf"), config()).unwrap();
    let child = start(dir.path(), addr);
    let mut snmpd = Snmpd { addr, dir, child };
    snmpd.wait().await;
    snmpd
}

impl Snmpd {
    async fn wait(&mut self) {
        let client = Client::bind().await.unwrap();
        let access = Access::V2c(Secret("serverroom".to_owned()));
        let target = Target::new(self.addr, access, Duration::from_millis(200), 0);
        wait_for("snmpd to answer", BOUND, async || {
            assert!(
                self.child.ended().is_none(),
                "snmpd ended: {}",
                std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
            );
            client.get(&target, &name()).await.ok()
        })
        .await;
    }

    /// Ends it and starts it again: its boots grow by one.
    async fn restart(&mut self) {
        self.child.stop();
        self.child = start(self.dir.path(), self.addr);
        self.wait().await;
    }
}

#[tokio::test]
async fn every_pair_of_algorithms_reads_from_debians_agent() {
    if cannot_run(lacking(&["snmpd"])) {
        return;
    }
    let snmpd = snmpd().await;
    let client = Client::bind().await.unwrap();
    let mut targets = vec![("nobody".to_owned(), target(snmpd.addr, usm("nobody", None, None)))];
    for (auth, their_auth) in AUTH {
        let user = user_name(their_auth, None);
        targets.push((user.clone(), target(snmpd.addr, usm(&user, Some(auth), None))));
        for (privacy, their_privacy) in PRIVACY {
            let user = user_name(their_auth, Some(their_privacy));
            targets.push((
                user.clone(),
                target(snmpd.addr, usm(&user, Some(auth), Some(privacy))),
            ));
        }
    }
    assert_eq!(targets.len(), 43);
    for (user, target) in &targets {
        for round in 0..2 {
            let answer = client.get(target, &name()).await;
            let answer = answer.unwrap_or_else(|error| panic!("{user} round {round}: {error:?}"));
            assert_eq!(answer[0].1, Value::Bytes(b"db1".to_vec()), "{user}");
        }
        let system: Oid = "1.3.6.1.2.1.1".parse().unwrap();
        let rows = client.walk(target, &system, 1000).await.unwrap();
        assert!(rows.len() > 8, "{user}: {rows:?}");
    }
    // One discovery for each user, and no engine taken for another's.
    let counters = client.counters();
    assert_eq!(counters.discovered.load(Ordering::Relaxed), 43);
    assert_eq!(counters.shared_engines.load(Ordering::Relaxed), 0);
    assert_eq!(counters.unproven.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn what_is_set_up_wrong_is_said_so_that_a_person_can_put_it_right() {
    if cannot_run(lacking(&["snmpd"])) {
        return;
    }
    let snmpd = snmpd().await;
    let client = Client::bind().await.unwrap();
    let (auth, privacy) = (Some(AuthProtocol::Sha256), Some(PrivProtocol::Aes128));
    let good = usm("SHA256AES", auth, privacy);
    let mut wrong_password = good.clone();
    wrong_password.auth = Some((AuthProtocol::Sha256, Secret("another password".to_owned())));
    let mut wrong_privacy = good.clone();
    wrong_privacy.privacy = Some((PrivProtocol::Aes128, Secret("another password".to_owned())));
    let cases = [
        (usm("stranger", auth, privacy), "user"),
        (wrong_password, "auth"),
        (usm("SHA256", auth, privacy), "privacy"),
        (wrong_privacy, "privacy"),
        (usm("SHA256AES", Some(AuthProtocol::Sha1), privacy), "auth"),
    ];
    for (usm, word) in cases {
        let mut target = target(snmpd.addr, usm.clone());
        target.timeout = Duration::from_millis(300);
        target.retries = 0;
        let error = client.get(&target, &name()).await.unwrap_err();
        let Error::Refused { refusal, .. } = &error else {
            panic!("{usm:?}: {error:?}");
        };
        assert!(
            refusal.to_string().contains(&format!("`{word}`")),
            "{usm:?}: {refusal}"
        );
    }
    let stranger = target(snmpd.addr, usm("stranger", None, None));
    let error = client.get(&stranger, &name()).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Refused {
                refusal: Refusal::Report(Report::UnknownUser),
                ..
            }
        ),
        "{error:?}"
    );
    assert!(client.get(&target(snmpd.addr, good), &name()).await.is_ok());
}

#[tokio::test]
async fn an_agent_that_restarts_or_gets_another_engine_is_read_on() {
    if cannot_run(lacking(&["snmpd"])) {
        return;
    }
    let mut snmpd = snmpd().await;
    let client = Client::bind().await.unwrap();
    let usm = usm(
        "SHA256AES",
        Some(AuthProtocol::Sha256),
        Some(PrivProtocol::Aes128),
    );
    let target = target(snmpd.addr, usm);
    client.get(&target, &name()).await.unwrap();
    snmpd.restart().await;
    client.get(&target, &name()).await.unwrap();
    assert_eq!(client.counters().clock_forward.load(Ordering::Relaxed), 1);
    assert_eq!(client.counters().discovered.load(Ordering::Relaxed), 1);
    // A swapped card: another engine at the same address.
    // What it kept, its engine id among it, is gone with the old card.
    snmpd.child.stop();
    std::fs::remove_file(snmpd.dir.path().join("snmpd.conf")).unwrap();
    snmpd.restart().await;
    client.get(&target, &name()).await.unwrap();
    assert_eq!(client.counters().discovered.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn yagura_probe_reads_as_a_user_with_passwords_from_files() {
    if cannot_run(lacking(&["snmpd"])) {
        return;
    }
    let snmpd = snmpd().await;
    let file = |name: &str, text: &str| {
        let path = snmpd.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let (auth, privacy) = (file("auth", AUTH_PASSWORD), file("privacy", PRIVACY_PASSWORD));
    let probe = async |user: &str| {
        let mut command = tokio::process::Command::new(yagura_bin());
        command
            .args([
                "probe",
                "snmp",
                &snmpd.addr.to_string(),
                "--user",
                user,
                "--auth",
                "sha512",
            ])
            .arg("--auth-password-file")
            .arg(&auth)
            .args(["--privacy", "aes256", "--privacy-password-file"])
            .arg(&privacy)
            .stdin(Stdio::null());
        tokio::time::timeout(BOUND, command.output())
            .await
            .unwrap()
            .unwrap()
    };
    let good = probe("SHA512AES256").await;
    let text = String::from_utf8_lossy(&good.stdout).into_owned();
    assert!(
        good.status.success() && text.contains("SNMPv3") && text.contains("db1"),
        "{good:?}"
    );
    let bad = probe("stranger").await;
    assert!(
        String::from_utf8_lossy(&bad.stderr).contains("does not know this user"),
        "{bad:?}"
    );
}
