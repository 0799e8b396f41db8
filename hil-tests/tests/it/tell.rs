//! Devices are told something: the simulated UPS, Debian's snmpd, upsd with a stock driver, pymodbus,
//! and the whole product by its command line.

use super::snmp_v3::{AUTH_PASSWORD, PRIVACY_PASSWORD, snmpd};
use ::simroom::megatec::{Dialect, SerialUps};
use ::simroom::ups::{Fault, Mib, Model, Ups};
use controller::act::action::{Accepted, Sent};
use controller::act::device::{self, Tools};
use controller::act::permit::{Armed, Permit};
use hil_tests::nut::{Driver, Nut};
use hil_tests::product::{Yagura, write_secret};
use hil_tests::pymodbus::{Server, python};
use hil_tests::sitefile::SiteFile;
use hil_tests::{cannot_run, free_port, lacking, wait_for, yagura_bin};
use room::command::{Done, Name};
use room::profile::register::Image;
use room::site::{DeviceAction, parse};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Longer than anything a test waits for on a loaded machine.
const BOUND: Duration = Duration::from_secs(60);

fn armed() -> Armed {
    match Permit::of(true) {
        Permit::Act(armed) => armed,
        Permit::Check(_) => unreachable!("a real order is armed"),
    }
}

/// The tools of a site with this one device.
fn tools(dir: &Path, device: &str) -> Tools {
    let text = format!(
        "name = \"room\"\ndata_dir = \"data\"\nprofiles_dir = \"profiles\"\n[web]\nlisten = \"127.0.0.1:0\"\n\
         [mqtt]\nlisten = \"127.0.0.1:0\"\n[[device]]\nname = \"it\"\ntimeout = \"300ms\"\n{device}\n"
    );
    std::fs::create_dir_all(dir.join("profiles")).unwrap();
    Tools::of(&parse::real(&text, dir).unwrap_or_else(|problems| panic!("{problems:?}\n{text}")))
}

async fn tell(tools: &Tools, command: &str) -> Done {
    let command: Name = command.parse().unwrap();
    device::operate(tools, "it", command, None, armed(), &Sent::default()).await
}

fn seen(done: &Done, what: &str) {
    assert!(
        matches!(done, Done::Confirmed { seen } if seen.contains(what)),
        "{what}: {done:?}"
    );
}

fn refused(done: &Done, why: &str) {
    assert!(
        matches!(done, Done::Refused { problem } if problem.contains(why)),
        "{why}: {done:?}"
    );
}

async fn ups(dir: &Path, mib: Mib) -> (Ups, String) {
    let ups = Ups::start(Model::rack_1500("S1"), mib, "room").await.unwrap();
    ups.let_write("keeper");
    write_secret(&dir.join("keeper"), "keeper\n");
    let device = format!(
        "kind = \"ups\"\naddr = \"{}\"\nversion = \"v2c\"\ncommunity = \"room\"\n\
         commands = [\"test.battery.start\", \"test.battery.stop\", \"beeper.mute\", \"shutdown.return\"]\n\
         write = {{ community_file = \"keeper\" }}",
        ups.addr
    );
    (ups, device)
}

#[tokio::test]
async fn a_ups_is_told_and_what_counts_is_what_it_shows() {
    let dir = tempfile::tempdir().unwrap();
    for mib in [Mib::Rfc1628, Mib::PowerNet] {
        let (ups, device) = ups(dir.path(), mib).await;
        let tools = tools(dir.path(), &device);
        seen(
            &tell(&tools, "test.battery.start").await,
            "ups.test.result is running",
        );
        assert_eq!(ups.writes(), 1);
        refused(&tell(&tools, "test.battery.start").await, "not told again");
        assert_eq!(ups.writes(), 1, "a test is not started in a test");
        refused(&tell(&tools, "beeper.enable").await, "does not allow");
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_or_late_is_neither_success_nor_a_second_write() {
    let dir = tempfile::tempdir().unwrap();
    let (ups, device) = ups(dir.path(), Mib::Rfc1628).await;
    let tools = tools(dir.path(), &device);
    // Its session learns what the model has first; then every answer is later than the time-out.
    seen(&tell(&tools, "beeper.mute").await, "is muted");
    let told = tokio::spawn(async move { tell(&tools, "test.battery.start").await });
    wait_for("the write", BOUND, async || {
        // The reading before it is answered; what follows the write is not, for a while.
        (ups.writes() == 4 || ups.writes() == 2).then(|| ups.fault(Fault::Silent(true)))
    })
    .await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    ups.fault(Fault::Silent(false));
    seen(&told.await.unwrap(), "running");
    assert_eq!(ups.writes(), 2, "it was written once");
}

#[tokio::test]
async fn without_the_credential_for_writing_nothing_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (ups, device) = ups(dir.path(), Mib::Rfc1628).await;
    let spoil = |text: &str, mode: u32| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::write(dir.path().join("keeper"), text).unwrap();
        std::fs::set_permissions(dir.path().join("keeper"), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let tools = tools(dir.path(), &device);
    spoil("room\n", 0o600);
    refused(&tell(&tools, "beeper.mute").await, "can only be read");
    spoil("nobody\n", 0o600);
    refused(&tell(&tools, "beeper.mute").await, "does not answer");
    spoil("keeper\n", 0o644);
    refused(&tell(&tools, "beeper.mute").await, "chmod 600");
    spoil("", 0o600);
    refused(&tell(&tools, "beeper.mute").await, "empty");
    assert_eq!(ups.writes(), 0);
}

#[tokio::test]
async fn the_output_of_a_ups_is_a_step_that_is_seen_and_never_told_twice() {
    let dir = tempfile::tempdir().unwrap();
    let (ups, device) = ups(dir.path(), Mib::Rfc1628).await;
    let tools = tools(dir.path(), &device);
    let action = DeviceAction {
        device: "it".to_owned(),
        addr: Some(ups.addr),
        port: None,
        command: "shutdown.return".parse().unwrap(),
        value: Some(120),
    };
    let Permit::Check(checked) = Permit::of(false) else {
        unreachable!("a rehearsal is not armed")
    };
    device::check(&action, &tools, checked).await.unwrap();
    assert_eq!(ups.writes(), 0, "a rehearsal writes nothing");
    ups.set_mains(false);
    let sent = Sent::default();
    assert_eq!(
        device::request(&action, &tools, armed(), &sent).await,
        Ok(Accepted::ToBeSeen)
    );
    assert!(sent.is_set());
    assert!(device::seen(&action, &tools).await.unwrap().contains("reads 1"));
    assert_eq!(ups.writes(), 3, "type, restart, delay");
    // The role was started again and does not know.
    let again = device::request(&action, &tools, armed(), &Sent::default()).await;
    assert_eq!((again, ups.writes()), (Ok(Accepted::Succeeded), 3));
    ups.set_time_factor(1000.0);
    wait_for("the output to go off", BOUND, async || {
        (ups.state().source == ::simroom::ups::Source::Off).then_some(())
    })
    .await;
    ups.set_mains(true);
    assert_eq!(ups.state().source, ::simroom::ups::Source::Mains, "it returns");
}

/// Debian's agent lets its location be written; here that is a beeper.
const BEEPER: &str = r#"
title = "A beeper"
source = "SNMPv2-MIB"
kind = "host"
[match]
sys_object_id = ["1.3.6.1.4.1.8072"]
probe = ["1.3.6.1.2.1.1.6.0"]
preference = 9
[[fact]]
name = "ups.beeper.status"
oid = "1.3.6.1.2.1.1.6.0"
read = "state"
words = { quiet = "muted", loud = "enabled" }
[[command]]
name = "beeper.mute"
oid = "1.3.6.1.2.1.1.6.0"
type = "text"
value = "quiet"
confirm = { fact = "ups.beeper.status", is = ["muted"], within_s = 5 }
[[command]]
name = "beeper.enable"
oid = "1.3.6.1.2.1.1.6.0"
type = "text"
value = "loud"
confirm = "written"
[[command]]
name = "beeper.disable"
oid = "1.3.6.1.2.1.1.3.0"
type = "ticks"
value = 1
confirm = "written"
"#;

#[tokio::test]
async fn debians_agent_is_written_by_community_and_by_user() {
    if cannot_run(lacking(&["snmpd"])) {
        return;
    }
    let snmpd = snmpd().await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("profiles")).unwrap();
    std::fs::write(dir.path().join("profiles/beeper.toml"), BEEPER).unwrap();
    for (file, text) in [
        ("keeper", "keeper"),
        ("auth", AUTH_PASSWORD),
        ("priv", PRIVACY_PASSWORD),
    ] {
        write_secret(&dir.path().join(file), text);
    }
    let common = format!(
        "kind = \"other\"\naddr = \"{}\"\nprofile = \"beeper\"\n\
         commands = [\"beeper.mute\", \"beeper.enable\", \"beeper.disable\"]\n",
        snmpd.addr
    );
    let community =
        "version = \"v2c\"\ncommunity = \"serverroom\"\nwrite = { community_file = \"keeper\" }\n";
    let user = "version = \"v3\"\nuser = \"nobody\"\nwrite = { user = \"keeper\", auth = \"sha256\", \
         auth_password_file = \"auth\", privacy = \"aes128\", privacy_password_file = \"priv\" }\n";
    for (access, first, second) in [
        (community, "beeper.mute", "beeper.enable"),
        (user, "beeper.mute", "beeper.enable"),
    ] {
        let tools = tools(dir.path(), &format!("{common}{access}"));
        seen(&tell(&tools, first).await, "ups.beeper.status is muted");
        seen(&tell(&tools, second).await, "loud");
        seen(&tell(&tools, second).await, "before anything was written");
        refused(&tell(&tools, "beeper.disable").await, "can only be read");
    }
}

#[tokio::test]
async fn a_stock_driver_of_nut_says_that_it_is_done() {
    if cannot_run(lacking(&["upsd"])) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let ups = SerialUps::start(Dialect::Megatec, &dir.path().join("ups")).unwrap();
    let driver = Driver {
        ups: "sim",
        driver: "nutdrv_qx",
        port: ups.port().to_owned(),
        lines: "protocol = megatec\n",
    };
    let nut = Nut::start(dir.path(), &[driver]);
    write_secret(&dir.path().join("teller"), "room act");
    write_secret(&dir.path().join("reader"), "room watch");
    let device = |user: &str| {
        format!(
            "kind = \"other\"\nprotocol = \"nut\"\naddr = \"{}\"\nups = \"sim\"\ntls = \"off\"\n\
             commands = [\"test.battery.start.quick\", \"test.panel.start\"]\n\
             write = {{ user = \"{user}\", password_file = \"{user}\" }}",
            nut.addr
        )
    };
    let able = tools(dir.path(), &device("teller"));
    let done = wait_for("the driver to be there", BOUND, async || {
        let done = tell(&able, "test.battery.start.quick").await;
        // Until the driver has read the UPS once, the server has nothing fresh.
        (!matches!(&done, Done::Refused { problem } if problem.contains("upsd"))).then_some(done)
    })
    .await;
    seen(&done, "the driver says that it is done");
    assert_eq!(
        ups.heard().iter().filter(|heard| heard.as_str() == "T").count(),
        1,
        "{:?}",
        ups.heard()
    );
    refused(&tell(&able, "test.panel.start").await, "CMD-NOT-SUPPORTED");
    let reader = tools(dir.path(), &device("reader"));
    refused(&tell(&reader, "test.battery.start.quick").await, "ACCESS-DENIED");
}

#[tokio::test]
async fn a_register_is_written_in_a_server_that_is_not_ours() {
    let python = match python() {
        Ok(python) => python,
        Err(why) => return assert!(cannot_run(Some(why))),
    };
    let recording = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../controller/room/profiles/ups/modbus-apc-smart-ups/on-mains.registers");
    let mut text = std::fs::read_to_string(recording).unwrap();
    text.push_str("\nholding 1543 = 0\n");
    let units = BTreeMap::from([(1, Image::parse(&text).unwrap())]);
    let listen = free_port();
    let _server = Server::tcp(python, listen.port(), &units);
    let dir = tempfile::tempdir().unwrap();
    let device = format!(
        "kind = \"ups\"\nprotocol = \"modbus\"\naddr = \"{listen}\"\nunit = 1\nprofile = \"modbus-apc-smart-ups\"\n\
         commands = [\"test.panel.start\", \"calibrate.start\"]"
    )
    .replace("300ms", "3s");
    let tools = tools(dir.path(), &device);
    assert_eq!(tell(&tools, "test.panel.start").await, Done::Accepted);
    assert_eq!(word(listen, 1543).await, 1);
    // A register that the unit does not have.
    refused(&tell(&tools, "calibrate.start").await, "illegal data address");
}

/// A register, read by our own bus.
async fn word(addr: SocketAddr, at: u16) -> u16 {
    use controller::modbus::{Address, Bus, Line, Patience, Question, Space};
    let (bus, task) = Bus::new(Line::Tcp(addr));
    let task = tokio::spawn(task);
    let start = Address {
        space: Space::Holding,
        at,
    };
    let question = Question {
        unit: 1,
        start,
        count: 1,
    };
    let patience = Patience {
        timeout: Duration::from_secs(3),
        pause: Duration::ZERO,
    };
    let words = bus.ask(question, patience).await.unwrap();
    task.abort();
    words[0]
}

fn yagura(dir: &TempDir, args: &[&str]) -> (bool, String) {
    let output = Command::new(yagura_bin())
        .arg("device")
        .args(&args[..1])
        .arg("--config")
        .arg(dir.path().join("site.toml"))
        .args(&args[1..])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_tells_a_ups_by_the_command_line_and_the_journal_says_who_and_what() {
    let dir = tempfile::tempdir().unwrap();
    let (ups, device) = ups(dir.path(), Mib::Rfc1628).await;
    let _ = SiteFile::new(dir.path())
        .builtin_mqtt(free_port())
        .with(&format!("[[device]]\nname = \"ups-a\"\n{device}\n"))
        .write();
    tokio::task::block_in_place(|| {
        let running = Yagura::run(&dir.path().join("site.toml"));
        running.wait("the UPS", BOUND, |picture| {
            picture
                .devices
                .iter()
                .any(|device| device.state == "answering")
                .then_some(())
        });
        let (good, said) = yagura(&dir, &["commands", "ups-a"]);
        assert!(
            good && said.contains("shutdown.return") && said.contains("1 to 86400 s"),
            "{said}"
        );
        let (good, said) = yagura(&dir, &["run", "ups-a", "test.battery.start"]);
        assert!(!good && said.contains("--yes"), "{said}");
        let (good, said) = yagura(&dir, &["run", "--yes", "ups-a", "shutdown.return", "60"]);
        assert!(!good && said.contains("step of a plan"), "{said}");
        assert_eq!(ups.writes(), 0);
        let (good, said) = yagura(&dir, &["run", "--yes", "ups-a", "test.battery.start"]);
        assert!(
            good && said.contains("confirmed: ups.test.result is running"),
            "{said}"
        );
        // The reading that follows by itself says so, too.
        running.wait("the test on the picture", BOUND, |picture| {
            (picture.operations.first()?.state == "confirmed").then_some(())
        });
        let records = running.records();
        let of = |kind: &str| records.iter().filter(|row| row["kind"] == kind).count();
        assert_eq!((of("device_ordered"), of("device_done")), (1, 1));
        let by = records
            .iter()
            .find(|row| row["kind"] == "device_ordered")
            .unwrap();
        assert_eq!(
            (&by["device"], &by["command"]),
            (&"ups-a".into(), &"test.battery.start".into())
        );
        assert!(!by["by"].as_str().unwrap().is_empty());
    });
    assert_eq!(ups.writes(), 1);
}
