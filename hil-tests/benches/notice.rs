//! How long a person waits: from an alarm to the mail server's word that it has the mail. Run it by
//! `cargo xtask bench notice`; it prints figures and asserts nothing about time.
//!
//! ```text
//! contact at the simulated node -> MQTT -> core -> journal -> notifier -> SMTP, DATA accepted
//!                                            |--- alarm -> accepted ---------------|
//! ```
//! One node has many doors, each with a contact of its own, since a contact is told only so many
//! alarms singly. The alarm's moment is the wall time of its record, in whole milliseconds; the
//! server's is taken where its word arrives. Once in the clear and once over STARTTLS with an
//! account, each mail over a connection of its own, as the product does it.

use hil_tests::certificate::Certificates;
use hil_tests::mail::{ACCOUNT, MailServer, Taking};
use hil_tests::product::{Yagura, write_secret};
use hil_tests::sitefile::SiteFile;
use hil_tests::{free_port, lacking, pymodbus, wait_for};
use serde_json::Value;
use shared::Quantity;
use simroom::node::{self, Input, Node};
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// Doors, and so alarms, of one run; a node has at most 32 channels.
const DOORS: u8 = 24;
/// Not counted: the first ones find cold files.
const WARM_UP: usize = 2;
/// Longest wait for anything.
const BOUND: Duration = Duration::from_secs(60);
const NODE: u16 = 9;
const KEY: [u8; 32] = [9; 32];

fn main() {
    // `cargo test` builds and runs bench targets too; there is nothing to test here.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    if let Some(what) = lacking(&["openssl"]).or_else(|| pymodbus::python().err()) {
        println!("alarm -> mail accepted: SKIPPED, missing {what}");
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        run(false).await;
        run(true).await;
    });
}

async fn run(encrypted: bool) {
    let dir = tempfile::tempdir().expect("a folder");
    let python = pymodbus::python().expect("looked at before");
    let certificates = Certificates::make(dir.path());
    let taking = if encrypted {
        Taking::Starttls(&certificates)
    } else {
        Taking::Clear
    };
    let mut server = MailServer::start(python, taking);
    let broker = free_port();
    let site = site(dir.path(), &server, encrypted.then_some(&certificates), broker);
    let yagura = tokio::task::block_in_place(|| Yagura::run(&site));
    let door = Input {
        quantity: Quantity::Contact,
        value: Ok(0),
    };
    let node = Node::start(node::Config {
        id: NODE,
        key: KEY,
        channels: vec![door; usize::from(DOORS)],
        state_file: dir.path().join("node.json"),
        telemetry: Duration::from_secs(1),
        heartbeat: Duration::from_secs(5),
    })
    .expect("a node");
    node.connect(broker);
    let quiet = async || (node.state().last_event > 0 && node.state().pending == 0).then_some(());
    wait_for("the node to be heard", BOUND, quiet).await;

    let mut from_edge = Vec::new();
    let mut accepted = Vec::new();
    for door in 0..DOORS {
        let edge = Instant::now();
        node.set_contact(door, true);
        let (at, mail) = tokio::task::block_in_place(|| server.next(BOUND));
        from_edge.push((at - edge).as_secs_f64() * 1000.0);
        let id = mail
            .text
            .lines()
            .find_map(|line| line.strip_prefix("警報: ").map(str::to_owned));
        accepted.push((id.expect("a mail names its alarm"), mail.accepted_ms));
    }
    let records = tokio::task::block_in_place(|| yagura.records());
    let raised = |id: &str| {
        let row = records.iter().find(|row| {
            let record = row.get("record").unwrap_or(row);
            record["kind"] == "alarm_raised" && record["alarm"] == id
        });
        row.and_then(wall)
    };
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of one run")]
    let from_alarm = accepted
        .iter()
        .filter_map(|(id, at)| Some((at - raised(id)?) as f64))
        .collect();
    let how = if encrypted {
        "STARTTLS and account"
    } else {
        "in the clear"
    };
    report(&format!("alarm journaled -> DATA accepted ({how})"), from_alarm);
    report(&format!("contact edge -> DATA accepted ({how})"), from_edge);
}

/// The wall time of a record.
fn wall(row: &Value) -> Option<i64> {
    row["wall_ms"].as_i64()
}

fn site(
    dir: &Path,
    server: &MailServer,
    certificates: Option<&Certificates>,
    broker: std::net::SocketAddr,
) -> std::path::PathBuf {
    let password = write_secret(&dir.join("mail.password"), ACCOUNT.1);
    let key: String = KEY.iter().map(|byte| format!("{byte:02x}")).collect();
    let key = write_secret(&dir.join("node.key"), &key);
    let mut text = format!(
        "[[node]]\nid = {NODE}\nname = \"node-9\"\nkey_file = \"{}\"\nsilent_after = \"60s\"\n",
        key.display()
    );
    for door in 0..DOORS {
        let _ = write!(
            text,
            "[[node.channel]]\nchannel = {door}\npoint = \"door.{door}\"\nquantity = \"contact\"\ncontact = \"door\"\n"
        );
    }
    let _ = write!(
        text,
        "[[notifier]]\nname = \"mail\"\nkind = \"smtp\"\nserver = \"{}\"\nfrom = \"yagura@city.example\"\n",
        server.addr
    );
    let _ = match certificates {
        None => writeln!(text, "tls = \"none\""),
        Some(files) => writeln!(
            text,
            "ca_file = \"{}\"\nuser = \"{}\"\npassword_file = \"{}\"",
            files.authority.display(),
            ACCOUNT.0,
            password.display()
        ),
    };
    for door in 0..DOORS {
        let _ = write!(
            text,
            "[[contact]]\nname = \"c{door}\"\nvia = [{{ notifier = \"mail\", to = \"c{door}@city.example\" }}]\n\
             [[route]]\nname = \"r{door}\"\nsources = [\"door.{door}\"]\nsteps = [{{ contacts = [\"c{door}\"] }}]\nmoments = [\"raised\"]\n"
        );
    }
    SiteFile::new(dir).builtin_mqtt(broker).with(&text).write()
}

fn report(what: &str, samples: Vec<f64>) {
    let mut samples: Vec<f64> = samples.into_iter().skip(WARM_UP).collect();
    samples.sort_by(f64::total_cmp);
    let (Some(low), Some(high)) = (samples.first(), samples.last()) else {
        println!("{what}: nothing was measured");
        return;
    };
    let at = |share: usize| samples[(samples.len() - 1) * share / 100];
    println!(
        "{what}: median {:.1} ms (quartiles {:.1} to {:.1}, extremes {low:.1} to {high:.1}, n = {})",
        at(50),
        at(25),
        at(75),
        samples.len()
    );
}
