//! Action `ipmi`: a management controller switches its server, by Debian's `ipmitool`.
//!
//! ```text
//! chassis power status -> is so already? -> nothing is said
//!                            | no
//!                         chassis power soft|off|on -> status until it is so
//! ```
//! IPMI 2.0 with its own cryptography is nothing to write anew; `ipmitool` is kept by Debian. It
//! runs as a child with a fixed list of arguments and an empty environment, reads the password from
//! its file (an argument could be seen by everybody on this machine), and is ended when its time is
//! over. What counts is the state that is seen afterwards, never that a command was taken.

use super::action::{Accepted, MAX_PROBLEM, Problem, Sent, printable};
use super::https::secret;
use super::permit::{Armed, Checked};
use crate::child::{COLLECT, Group, LAST_WORDS, read_some};
use room::site::act::ipmi::IpmiAction;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// Where Debian puts it (package `ipmitool`).
pub const PROGRAM: &str = "/usr/bin/ipmitool";
/// Time between two looks at the state.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looks at the most: more than fit into the longest budget of a step, two hours.
const MAX_LOOKS: u32 = 7200;
/// Longest password (IPMI 2.0, 22.30); a longer one is cut off by some controllers and not by others.
const MAX_PASSWORD: usize = 20;

/// Logs in with the right to switch, and reads the state. Changes nothing.
///
/// A controller refuses a login that asks for more than the account has (IPMI 2.0, 13.20), so a
/// state that was read is the proof of the right, too.
///
/// # Errors
/// [`Problem`] with what to do about it.
pub(super) async fn check(action: &IpmiAction, _permit: Checked) -> Result<(), Problem> {
    status(action).await.map(drop)
}

/// Tells the controller, unless it is so already.
///
/// # Errors
/// [`Problem`].
pub(super) async fn request(action: &IpmiAction, _permit: Armed, sent: &Sent) -> Result<Accepted, Problem> {
    if status(action).await? != action.power.is_on() {
        sent.set();
        run(action, action.power.name()).await?;
    }
    Ok(Accepted::ToBeSeen)
}

/// Looks until the server is so.
///
/// # Errors
/// [`Problem`]: it is not, in two hours; the caller's patience is shorter.
pub(super) async fn seen(action: &IpmiAction) -> Result<(), Problem> {
    let mut last = Problem::passing(format!("{}: never looked", action.addr));
    for look in 0..MAX_LOOKS {
        if look > 0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        match status(action).await {
            Ok(on) if on == action.power.is_on() => return Ok(()),
            Ok(on) => {
                last = Problem::passing(format!("{}: its power is {}", action.addr, word(on)));
            }
            // It may be about to change; only its word ends the watch.
            Err(problem) => last = problem,
        }
    }
    Err(last)
}

const fn word(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

/// Whether the server is on.
async fn status(action: &IpmiAction) -> Result<bool, Problem> {
    let said = run(action, "status").await?;
    on_of(&said).ok_or_else(|| {
        Problem::passing(format!(
            "{}: the controller does not say whether the server is on: {}",
            action.addr,
            printable(said.as_bytes(), 120)
        ))
    })
}

/// `Chassis Power is on`, with other lines around it.
fn on_of(said: &str) -> Option<bool> {
    said.lines().find_map(|line| match line.trim() {
        "Chassis Power is on" => Some(true),
        "Chassis Power is off" => Some(false),
        _ => None,
    })
}

/// The whole list of arguments; nothing of it is read by a shell.
fn arguments(action: &IpmiAction, word: &str) -> Vec<String> {
    let password_file = action.password_file.to_string_lossy();
    let fixed = [
        // Without it a refused password and a silent controller look the same.
        "-v",
        "-I",
        "lanplus",
        "-H",
        &action.addr.ip().to_string(),
        "-p",
        &action.addr.port().to_string(),
        "-U",
        &action.user,
        "-f",
        &password_file,
        "-C",
        &action.cipher_suite.to_string(),
        "-L",
        action.privilege.name(),
        // Seconds for one packet, and how often it is sent; the whole is limited by `timeout`.
        "-N",
        "2",
        "-R",
        "3",
        "chassis",
        "power",
        word,
    ];
    fixed.map(str::to_owned).to_vec()
}

/// Runs it once; what it printed.
async fn run(action: &IpmiAction, word: &str) -> Result<String, Problem> {
    // Read by ipmitool itself; looked at here for its mode and length.
    let password = secret(&action.password_file)?;
    if password.len() > MAX_PASSWORD {
        return Err(Problem::lasting(format!(
            "{}: a password of IPMI has at most {MAX_PASSWORD} bytes",
            action.password_file.display()
        )));
    }
    let mut child = Command::new(PROGRAM)
        .args(arguments(action, word))
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Problem::lasting(format!("{PROGRAM} is not there: apt-get install ipmitool"))
            }
            _ => Problem::passing(format!("starting {PROGRAM}: {error}")),
        })?;
    let mut group = Group::of(&child);
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let (mut said, mut complaint) = (Vec::new(), Vec::new());
    let limit = Duration::from_millis(action.timeout.0);
    let ended = tokio::time::timeout(limit, async {
        let (mut out, mut err) = (true, true);
        loop {
            // Every arm is cancel-safe.
            tokio::select! {
                status = child.wait() => return status,
                more = read_some(stdout.as_mut(), &mut said), if out => out = more,
                more = read_some(stderr.as_mut(), &mut complaint), if err => err = more,
            }
        }
    })
    .await;
    let Ok(status) = ended else {
        group.kill();
        let _ = tokio::time::timeout(COLLECT, child.wait()).await;
        group.done();
        return Err(Problem::passing(format!(
            "{}: no answer by IPMI within {} s",
            action.addr,
            limit.as_secs_f64()
        )));
    };
    group.done();
    let _ = tokio::time::timeout(LAST_WORDS, async {
        while read_some(stdout.as_mut(), &mut said).await {}
        while read_some(stderr.as_mut(), &mut complaint).await {}
    })
    .await;
    let status = status.map_err(|error| Problem::passing(format!("waiting for {PROGRAM}: {error}")))?;
    if status.success() {
        return Ok(String::from_utf8_lossy(&said).into_owned());
    }
    Err(explained(action, &String::from_utf8_lossy(&complaint)))
}

/// What ipmitool complains of, with what to do. The words are those of ipmitool 1.8.19.
fn explained(action: &IpmiAction, complaint: &str) -> Problem {
    let said = |word: &str| complaint.to_ascii_lowercase().contains(word);
    let advice = if said("unauthorized name") {
        "it does not know the account, or not for this privilege"
    } else if said("hmac is invalid") || said("rakp") {
        "it does not accept the password, see password_file"
    } else if said("privilege") {
        "the account lacks the privilege on the LAN channel"
    } else if said("algorithm") || said("cipher suite") {
        "it does not know this cipher_suite, try the other one (3, 17)"
    } else if said("unable to establish") {
        "it does not answer; is IPMI over LAN switched on there?"
    } else {
        "it does not do it"
    };
    // Its verbose remarks are no complaints.
    let telling = |line: &&str| {
        [
            "error",
            "failed",
            "invalid",
            "unable",
            "unauthorized",
            "insufficient",
        ]
        .iter()
        .any(|word| line.to_ascii_lowercase().contains(word))
            && !line.contains("HPM.x")
            && !line.contains("completion code")
    };
    let lines: Vec<&str> = complaint.lines().map(str::trim).filter(telling).collect();
    let text = format!("{}: {advice}: {}", action.addr, lines.join("; "));
    Problem::passing(printable(text.as_bytes(), MAX_PROBLEM))
}

#[cfg(test)]
mod tests {
    use super::*;
    use room::site::act::ipmi::{Power, Privilege};
    use room::time::Millis;

    fn action() -> IpmiAction {
        IpmiAction {
            addr: "192.0.2.7:623".parse().unwrap(),
            user: "operator".to_owned(),
            password_file: "/etc/yagura/secret/bmc".into(),
            cipher_suite: 17,
            privilege: Privilege::Operator,
            power: Power::Soft,
            timeout: Millis(1000),
        }
    }

    #[test]
    fn the_arguments_are_fixed_and_hold_no_password() {
        assert_eq!(
            arguments(&action(), "soft").join(" "),
            "-v -I lanplus -H 192.0.2.7 -p 623 -U operator -f /etc/yagura/secret/bmc -C 17 -L OPERATOR -N 2 -R 3 \
             chassis power soft"
        );
    }

    #[test]
    fn the_state_is_read_among_other_lines_and_never_guessed() {
        assert_eq!(on_of("Get VSO failed\nChassis Power is on\n"), Some(true));
        assert_eq!(on_of("Chassis Power is off\n"), Some(false));
        for other in [
            "",
            "Chassis Power is unknown",
            "Chassis Power Control: Soft",
            "Chassis Power is on fire",
        ] {
            assert_eq!(on_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_complaint_says_what_to_do() {
        for (complaint, expected) in [
            (
                "Loading IANA PEN Registry...\n> RAKP 2 HMAC is invalid\nError: Unable to establish IPMI v2 / RMCP+ session",
                "the password",
            ),
            (
                "RAKP 2 message indicates an error : unauthorized name\nError: Unable to establish",
                "the account",
            ),
            (
                "Set Chassis Power Control to Down/Off failed: Insufficient privilege level",
                "privilege",
            ),
            (
                "Error in open session response message : invalid authentication algorithm\n\nError: Unable",
                "cipher_suite",
            ),
            (
                "Error: Unable to establish IPMI v2 / RMCP+ session",
                "IPMI over LAN",
            ),
        ] {
            let problem = explained(&action(), complaint);
            assert!(problem.text.contains(expected), "{problem:?}");
            assert!(!problem.text.contains("Loading"), "{problem:?}");
        }
    }
}
