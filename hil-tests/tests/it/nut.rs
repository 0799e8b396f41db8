//! NUT against parts that are not ours: Debian's upsd and its dummy driver.

use controller::nut::{Servers, Session};
use hil_tests::nut::{Driver, Nut, say};
use hil_tests::product::Yagura;
use hil_tests::sitefile::SiteFile;
use hil_tests::{cannot_run, free_port, lacking, wait_for, yagura_bin};
use room::device::{PollFailure, Reading};
use room::site::link::{NutLink, NutTls};
use rustix::process::Signal;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longer than anything here takes on a loaded machine.
const BOUND: Duration = Duration::from_secs(60);

const ON_MAINS: [(&str, &str); 8] = [
    ("ups.status", "OL CHRG"),
    ("ups.mfr", "Example"),
    ("ups.model", "RT-1500"),
    ("battery.charge", "100"),
    ("battery.runtime", "1800"),
    ("input.voltage", "101.2"),
    ("output.voltage", "101.0"),
    ("ups.load", "14"),
];

const ON_BATTERY: [(&str, &str); 6] = [
    ("ups.status", "OB DISCHRG"),
    ("battery.charge", "93"),
    ("battery.runtime", "1500"),
    ("input.voltage", "0.0"),
    ("output.voltage", "100.0"),
    ("ups.load", "14"),
];

struct Bench {
    folder: TempDir,
    nut: Nut,
    ca_file: Option<PathBuf>,
    servers: Servers,
}

impl Bench {
    /// A server with the UPSes `rack` and `shelf`, or `None` where it is not installed.
    fn start(tls: bool) -> Option<Self> {
        if cannot_run(lacking(&["upsd", "certutil"])) {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let drivers = ["rack", "shelf"].map(|ups| {
            let file = folder.path().join(format!("{ups}.dev"));
            say(&file, 0, &ON_MAINS);
            Driver::dummy(ups, &file)
        });
        let (nut, ca_file) = if tls {
            let (nut, pem) = Nut::with_tls(folder.path(), &drivers);
            (nut, Some(pem))
        } else {
            (Nut::start(folder.path(), &drivers), None)
        };
        Some(Self {
            folder,
            nut,
            ca_file,
            servers: Servers::default(),
        })
    }

    fn link(&self, ups: &str, tls: NutTls) -> NutLink {
        NutLink {
            addr: self.nut.addr,
            ups: ups.to_owned(),
            login: None,
            tls,
            ca_file: self.ca_file.clone(),
        }
    }

    fn session(&self, ups: &str, tls: NutTls) -> Session {
        self.servers.session(&self.link(ups, tls), BOUND, 0)
    }

    fn say(&self, ups: &str, change: u64, variables: &[(&str, &str)]) {
        say(&self.folder.path().join(format!("{ups}.dev")), change, variables);
    }
}

/// Polls until the result is as wanted; drivers take a second to notice.
async fn until<T>(
    session: &mut Session,
    what: &str,
    wanted: impl Fn(&Result<Reading, PollFailure>) -> Option<T>,
) -> T {
    wait_for(what, BOUND, async || wanted(&session.read().await)).await
}

async fn until_source(session: &mut Session, source: &str) -> Reading {
    until(session, source, |result| {
        let reading = result.as_ref().ok()?;
        (reading.state("output.source") == Some(source)).then(|| reading.clone())
    })
    .await
}

#[tokio::test]
async fn a_stock_server_is_read_and_a_change_is_seen() {
    let Some(bench) = Bench::start(false) else { return };
    let mut session = bench.session("rack", NutTls::Try);
    let reading = until_source(&mut session, "mains").await;
    assert!(!session.is_encrypted().await);
    for (name, value) in [
        ("battery.charge", 100.0),
        ("battery.runtime", 1800.0),
        ("input.voltage", 101.2),
        ("ups.load", 14.0),
    ] {
        assert_eq!(reading.number(name), Some(value), "{name}");
    }
    assert_eq!(session.get("ups.load").await.unwrap(), "14");
    bench.say("rack", 1, &ON_BATTERY);
    let reading = until_source(&mut session, "battery").await;
    assert_eq!(reading.number("input.voltage"), Some(0.0));
    // The other UPS of the same server is as it was.
    until_source(&mut bench.session("shelf", NutTls::Try), "mains").await;
}

#[tokio::test]
async fn a_poll_does_not_wait_for_delayed_acknowledgements() {
    /// Each would take 44 ms if the kernel delayed what the server waits for.
    const POLLS: u32 = 200;
    const EACH: Duration = Duration::from_millis(20);
    let Some(bench) = Bench::start(false) else { return };
    let mut session = bench.session("rack", NutTls::Off);
    until_source(&mut session, "mains").await;
    let begun = Instant::now();
    for _ in 0..POLLS {
        session.read().await.unwrap();
    }
    let each = begun.elapsed() / POLLS;
    println!("a poll of a stock upsd takes {each:?}");
    assert!(each < EACH, "{each:?}");
    let opened = bench.servers.counters()[0];
    assert_eq!(opened, ("nut.connected", 1));
}

#[tokio::test]
async fn a_driver_that_hangs_or_dies_fails_the_polls_instead_of_old_values() {
    let Some(mut bench) = Bench::start(false) else {
        return;
    };
    let mut session = bench.session("rack", NutTls::Off);
    until_source(&mut session, "mains").await;
    let stale = |word: &'static str| {
        move |result: &Result<Reading, PollFailure>| match result {
            Err(PollFailure::Stale(why)) if why.contains(word) => Some(()),
            _ => None,
        }
    };
    bench.nut.driver("rack").signal(Signal::STOP);
    until(&mut session, "stale data", stale("DATA-STALE")).await;
    bench.nut.driver("rack").signal(Signal::CONT);
    until_source(&mut session, "mains").await;
    bench.nut.driver("rack").kill();
    until(
        &mut session,
        "a driver that is gone",
        stale("DRIVER-NOT-CONNECTED"),
    )
    .await;
    until_source(&mut bench.session("shelf", NutTls::Off), "mains").await;
    bench.nut.restart_driver("rack");
    until_source(&mut session, "mains").await;
}

#[tokio::test]
async fn a_server_that_restarts_is_connected_again() {
    let Some(mut bench) = Bench::start(false) else {
        return;
    };
    let mut session = bench.session("rack", NutTls::Off);
    until_source(&mut session, "mains").await;
    bench.nut.kill_server();
    until(&mut session, "a server that is gone", |result| {
        matches!(result, Err(PollFailure::Unreachable(_))).then_some(())
    })
    .await;
    bench.nut.restart_server();
    until_source(&mut session, "mains").await;
}

#[tokio::test]
async fn starttls_is_used_and_the_wrong_certificate_is_refused() {
    let Some(mut bench) = Bench::start(true) else {
        return;
    };
    let mut session = bench.session("rack", NutTls::Require);
    until_source(&mut session, "mains").await;
    assert!(session.is_encrypted().await, "{}", bench.nut.log());
    // Nobody is authenticated without a file, but nobody can listen either.
    let pinned = bench.ca_file.take();
    let mut open = bench.session("rack", NutTls::Try);
    until_source(&mut open, "mains").await;
    assert!(open.is_encrypted().await);
    // A certificate of somebody else.
    let other = tempfile::tempdir().unwrap();
    let file = other.path().join("other.dev");
    say(&file, 0, &ON_MAINS);
    let (_other, foreign) = Nut::with_tls(other.path(), &[Driver::dummy("other", &file)]);
    bench.ca_file = Some(foreign);
    for tls in [NutTls::Require, NutTls::Try] {
        let result = bench.session("rack", tls).read().await;
        let Err(PollFailure::Refused(why)) = result else {
            panic!("{result:?}");
        };
        assert!(why.contains("TLS"), "{why}");
    }
    bench.ca_file = pinned;
    let mut named = bench.link("rack", NutTls::Require);
    let password = bench.folder.path().join("password");
    std::fs::write(&password, "room watch\n").unwrap();
    named.login = Some(("reader".to_owned(), password));
    let mut session = bench.servers.session(&named, BOUND, 0);
    until_source(&mut session, "mains").await;
}

fn probe(args: &[&str]) -> Output {
    Command::new(yagura_bin())
        .args(["probe", "nut"])
        .args(args)
        .output()
        .unwrap()
}

#[tokio::test]
async fn the_command_line_names_the_upses_of_a_server() {
    let Some(bench) = Bench::start(false) else { return };
    for ups in ["rack", "shelf"] {
        until_source(&mut bench.session(ups, NutTls::Off), "mains").await;
    }
    let addr = bench.nut.addr.to_string();
    let all = probe(&[&addr]);
    let text = String::from_utf8_lossy(&all.stdout);
    assert!(all.status.success(), "{}", String::from_utf8_lossy(&all.stderr));
    for wanted in ["rack  the rack", "shelf  the shelf", "battery.runtime", "1800 s"] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    let wrong = probe(&[&addr, "cellar"]);
    let why = String::from_utf8_lossy(&wrong.stderr);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(why.contains("rack, shelf"), "{why}");
    let nobody = probe(&[&free_port().to_string(), "rack"]);
    assert_eq!(nobody.status.code(), Some(1));
}

fn site(dir: &Path, bench: &Bench) -> PathBuf {
    SiteFile::new(dir)
        .builtin_mqtt(free_port())
        .with(&format!(
            "[[device]]\nname = \"ups-a\"\nkind = \"ups\"\nprotocol = \"nut\"\naddr = \"{}\"\nups = \"rack\"\n\
             poll = \"500ms\"\npoll_on_battery = \"200ms\"\ntimeout = \"2s\"\nretries = 0\n",
            bench.nut.addr
        ))
        .write()
}

#[test]
fn the_product_sees_an_outage_and_a_dead_driver_by_a_stock_server() {
    let Some(mut bench) = Bench::start(false) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let yagura = Yagura::run(&site(dir.path(), &bench));
    let source = |word: &'static str| {
        yagura.wait(word, BOUND, |room| {
            room.power
                .ups
                .iter()
                .any(|ups| ups.source == word && ups.contact == "good")
                .then_some(())
        });
    };
    source("mains");
    bench.say("rack", 1, &ON_BATTERY);
    source("battery");
    bench.say("rack", 2, &ON_MAINS);
    source("mains");
    bench.nut.driver("rack").kill();
    yagura.wait("loss of contact", BOUND, |room| {
        room.power
            .ups
            .iter()
            .any(|ups| ups.contact == "lost")
            .then_some(())
    });
}
