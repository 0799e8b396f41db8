//! NUT's clients that are not ours, Debian's upsc and upsmon, against the server of the product.

use hil_tests::product::{Yagura, write_secret};
use hil_tests::rack::ups;
use hil_tests::sitefile::SiteFile;
use hil_tests::{Child, cannot_run, free_port, lacking, wait_for};
use simroom::ups::Mib;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Longer than anything here takes on a loaded machine.
const BOUND: Duration = Duration::from_secs(60);

/// A plan that starts two seconds after two signs of the outage.
const SOON_STOPPED: &str = "on_battery_delay = \"500ms\"\nreserve = \"1s\"\nstart_at_charge = 5\n\
    longest_on_battery = \"2s\"\ncontact_lost_after = \"5s\"\nmains_stable = \"1s\"";

fn upsc(addr: SocketAddr, words: &[&str]) -> String {
    let output = Command::new("upsc").args(words).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{addr}: {text} {}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// Says one line to the server and reads its one-line answer.
fn ask(addr: SocketAddr, line: &str) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    stream.write_all(format!("{line}\nLOGOUT\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

/// A stock upsmon as secondary, which stops its host by writing a file.
fn upsmon(dir: &Path, ups: &str, addr: SocketAddr, stopped: &Path) -> Child {
    let mut text = String::new();
    let _ = write!(
        text,
        "MONITOR {ups}@{addr} 1 monitor secret secondary\nMINSUPPLIES 1\nPOLLFREQ 1\nPOLLFREQALERT 1\n\
         FINALDELAY 0\nHOSTSYNC 2\nDEADTIME 15\nSHUTDOWNCMD \"/bin/touch {}\"\nPOWERDOWNFLAG {}\nRUN_AS_USER root\n",
        stopped.display(),
        dir.join("killpower").display(),
    );
    let conf = dir.join("upsmon.conf");
    std::fs::write(&conf, text).unwrap();
    std::fs::set_permissions(&conf, std::fs::Permissions::from_mode(0o640)).unwrap();
    let mut command = Command::new("/lib/nut/upsmon");
    command
        .args(["-D", "-p"])
        .env("NUT_CONFPATH", dir)
        .env("NUT_STATEPATH", dir)
        .env("NUT_ALTPIDPATH", dir)
        .env("NUT_PIDPATH", dir);
    Child::start(&mut command)
}

/// What a stock program says, on both of its outputs.
fn says(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output().unwrap();
    [output.stdout, output.stderr]
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_upscmd_and_upsrw_order_what_the_site_allows_and_nothing_that_switches_power() {
    if cannot_run(lacking(&["upsc"])) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (ups_a, nut) = (ups(Mib::Rfc1628).await, free_port());
    ups_a.let_write("keeper");
    let password = write_secret(&dir.path().join("monitor"), "secret");
    let community = write_secret(&dir.path().join("keeper"), "keeper");
    let account = |name: &str, rights: &str| {
        format!(
            "[[nut_server.user]]\nname = \"{name}\"\npassword_file = \"{}\"\nrole = \"secondary\"\n{rights}\n",
            password.display()
        )
    };
    let site = SiteFile::new(dir.path())
        .builtin_mqtt(free_port())
        .with(&format!(
            "[[device]]\nname = \"ups-a\"\nkind = \"ups\"\naddr = \"{}\"\nversion = \"v2c\"\ncommunity = \"hil\"\n\
             poll = \"500ms\"\ncommands = [\"test.battery.start\", \"beeper.mute\", \"shutdown.return\"]\n\
             write = {{ community_file = \"{}\" }}\n",
            ups_a.addr,
            community.display()
        ))
        .with(&format!(
            "[nut_server]\nlisten = \"{nut}\"\nallow = [\"127.0.0.1\"]\n{}{}",
            account("operator", "instcmds = [\"test.battery.start\", \"beeper.mute\"]\nset = true"),
            account("monitor", ""),
        ))
        .write();
    let yagura = Yagura::run(&site);
    let at = format!("ups-a@{nut}");
    wait_for("upscmd to list what may be told", BOUND, async || {
        let listed = says("upscmd", &["-l", &at]);
        (listed.contains("beeper.mute - silence the beeper") && !listed.contains("shutdown")).then_some(())
    })
    .await;
    let order = |user: &str, command: &str| {
        says(
            "upscmd",
            &["-u", user, "-p", "secret", "-w", "-t", "20", &at, command],
        )
    };
    // Until the role that tells devices is there, an order fails and changes nothing.
    wait_for("upscmd to hear of success", BOUND, async || {
        order("operator", "beeper.mute").contains("SUCCESS").then_some(())
    })
    .await;
    let denied = order("monitor", "beeper.mute");
    assert!(denied.contains("ACCESS-DENIED"), "{denied}");
    let power = order("operator", "shutdown.return");
    assert!(
        power.contains("ACCESS-DENIED"),
        "what switches power is a step of a plan: {power}"
    );
    assert_eq!(ups_a.writes(), 1, "only the beeper was written");

    // Of the beeper's values only the one for which the site allows a command can be set.
    let listed = wait_for("upsrw to list the beeper", BOUND, async || {
        let listed = says("upsrw", &["-l", &at]);
        listed.contains("[ups.beeper.status]").then_some(listed)
    })
    .await;
    assert!(
        listed.contains("Option: \"muted\"") && !listed.contains("enabled\""),
        "{listed}"
    );
    let set = |user: &str| {
        let value = "ups.beeper.status=muted";
        says(
            "upsrw",
            &["-u", user, "-p", "secret", "-w", "-t", "20", "-s", value, &at],
        )
    };
    let done = set("operator");
    assert!(done.contains("SUCCESS"), "{done}");
    let denied = set("monitor");
    assert!(denied.contains("ACCESS-DENIED"), "{denied}");
    assert_eq!(ups_a.writes(), 1, "it was muted already");

    let records: Vec<String> = yagura.records().iter().map(ToString::to_string).collect();
    let ordered = records
        .iter()
        .any(|record| record.contains("\"beeper.mute\"") && record.contains("\"nut:operator@127.0.0.1\""));
    assert!(ordered, "the journal names the account: {records:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_upsmon_is_told_to_stop_by_a_ups_of_its_own_and_not_before_its_turn() {
    if cannot_run(lacking(&["upsc"])) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (ups_a, nut) = (ups(Mib::Rfc1628).await, free_port());
    // The host serves this port while it runs.
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    let password = write_secret(&dir.path().join("monitor"), "secret");
    let site = SiteFile::new(dir.path())
        .builtin_mqtt(free_port())
        .ups("ups-a", ups_a.addr, "hil")
        .with(&format!(
            "[nut_server]\nlisten = \"{nut}\"\nallow = [\"127.0.0.1\"]\n\
             [[nut_server.user]]\nname = \"monitor\"\npassword_file = \"{}\"\nrole = \"secondary\"\n\
             [[host]]\nname = \"nas1\"\nfeeds = [\"ups-a\"]\nbudget = \"20s\"\non_failure = \"go_on\"\n\
             [host.action]\nkind = \"nut\"\nups = \"nas1-ups\"\naddr = \"{nut}\"\n\
             [host.confirm]\nkind = \"port_closed\"\naddr = \"{}\"\n",
            password.display(),
            host.local_addr().unwrap(),
        ))
        .outage(SOON_STOPPED)
        .write();
    let yagura = Yagura::run(&site);
    yagura.wait("the UPS on mains", BOUND, |s| {
        s.power.ups.iter().all(|ups| ups.source == "mains").then_some(())
    });
    wait_for("upsc to read mains", BOUND, async || {
        (ask(nut, "GET VAR ups-a ups.status") == "VAR ups-a ups.status \"OL\"").then_some(())
    })
    .await;
    let at = format!("ups-a@{nut}");
    let listed = upsc(nut, &["-l", &nut.to_string()]);
    assert_eq!(listed.lines().collect::<Vec<_>>(), ["nas1-ups", "ups-a"]);
    let vars = upsc(nut, &[&at]);
    assert!(
        vars.contains("battery.charge: ") && vars.contains("ups.status: OL\n"),
        "{vars}"
    );

    // A rehearsal says that nobody would hear it.
    wait_for("act to be there for a rehearsal", BOUND, async || {
        let answer = yagura.post("/api/v1/plan/rehearse", &serde_json::json!({"by": "hil"}));
        (answer.status < 300).then_some(())
    })
    .await;
    yagura.wait("the rehearsal to find nobody logged in", BOUND, |s| {
        let problem = s.power.steps.first()?.problem.clone()?;
        problem.contains("no client is logged in").then_some(())
    });

    let stopped = dir.path().join("stopped");
    let monitor = tempfile::tempdir().unwrap();
    let _upsmon = upsmon(monitor.path(), "nas1-ups", nut, &stopped);
    wait_for("upsmon to log in", BOUND, async || {
        (ask(nut, "GET NUMLOGINS nas1-ups") == "NUMLOGINS nas1-ups 1").then_some(())
    })
    .await;
    ups_a.set_mains(false);
    wait_for("its UPS on battery", BOUND, async || {
        ask(nut, "GET VAR nas1-ups ups.status")
            .contains("OB")
            .then_some(())
    })
    .await;
    let on_battery = Instant::now();
    wait_for("upsmon to stop its host", BOUND, async || {
        stopped.exists().then_some(())
    })
    .await;
    assert!(
        on_battery.elapsed() > Duration::from_millis(500),
        "only when its turn has come"
    );
    drop(host);
    wait_for(
        "the step to be confirmed and the word to be taken back",
        BOUND,
        async || {
            (ask(nut, "GET VAR nas1-ups ups.status") == "VAR nas1-ups ups.status \"OB DISCHRG\"")
                .then_some(())
        },
    )
    .await;
    yagura.wait("the host confirmed as stopped", BOUND, |s| {
        (s.power.steps.first()?.state == "confirmed").then_some(())
    });
    ups_a.set_mains(true);
    wait_for("no latch that would stop it again", BOUND, async || {
        (ask(nut, "GET VAR nas1-ups ups.status") == "VAR nas1-ups ups.status \"OL\"").then_some(())
    })
    .await;
}
