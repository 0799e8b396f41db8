//! Action `libvirt`: the guests of a hypervisor that libvirt manages, by `virsh`.
//!
//! libvirt's protocol is private to its library, so its own client speaks it: a child with an empty
//! environment, told the connection and the guest's id as arguments, never through a shell. What a
//! guest is called is never an argument, since names can begin with a hyphen.
//!
//! The host under the guests is a step of its own, stopped by ssh after them: libvirt cannot switch
//! it off. What is needed of the account: to connect, to list, `virDomainShutdown`, `virDomainDestroy`
//! with `force_after`, `virDomainCreate` to start. Whether it has these rights shows a try alone; a
//! check connects and lists.

use super::action::{Accepted, Problem, Sent, printable};
use super::device::Tools;
use super::guests::{self, Guest, Hypervisor};
use super::permit::{Armed, Checked};
use crate::child::{COLLECT, Group};
use room::site::act::libvirt::LibvirtAction;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

/// Most bytes of a list: [`MAX_GUESTS`] lines of an id and a name.
const MAX_LIST: usize = 256 * 1024;
/// Most guests of one hypervisor.
const MAX_GUESTS: usize = 2048;
/// Most bytes of an error that are kept.
const MAX_ERROR: usize = 4 * 1024;
/// Length of an id.
const UUID: usize = 36;

/// Connects, and sees whether every guest that is named is there. Changes nothing.
///
/// # Errors
/// [`Problem`].
pub async fn check(action: &LibvirtAction, _permit: Checked) -> Result<(), Problem> {
    let found = guests::chosen(action, &action.guests.which).await?;
    if found.is_empty() {
        return Err(Problem::passing(format!(
            "{} shows no guest at all: see the connection (qemu:///system, not session) and the account's rights",
            action.uri
        )));
    }
    Ok(())
}

pub(super) async fn request(
    action: &LibvirtAction,
    tools: &Tools,
    permit: Armed,
    sent: &Sent,
) -> Result<Accepted, Problem> {
    guests::request(action, action.verb, &action.guests, tools.notes(), permit, sent).await
}

pub(super) async fn seen(action: &LibvirtAction, tools: &Tools) -> Result<(), Problem> {
    guests::seen(action, action.verb, &action.guests, tools.notes()).await
}

impl Hypervisor for LibvirtAction {
    fn name(&self) -> String {
        format!("libvirt {}", self.uri)
    }

    async fn list(&self) -> Result<Vec<Guest>, Problem> {
        // Those that run come first: one that stops between the two is in both lists, and runs.
        let active = virsh(self, &["list", "--uuid", "--name"]).await?;
        let inactive = virsh(self, &["list", "--inactive", "--uuid", "--name"]).await?;
        let mut guests = read(&active, true)?;
        for guest in read(&inactive, false)? {
            if guests.iter().all(|other| other.id != guest.id) {
                guests.push(guest);
            }
        }
        Ok(guests)
    }

    async fn shut_down(&self, guest: &Guest) -> Result<(), Problem> {
        let mut args = vec!["shutdown", guest.id.as_str()];
        if let Some(mode) = self.mode.argument() {
            args.extend(["--mode", mode]);
        }
        virsh(self, &args).await.map(drop)
    }

    async fn switch_off(&self, guest: &Guest) -> Result<(), Problem> {
        virsh(self, &["destroy", &guest.id]).await.map(drop)
    }

    async fn start(&self, guest: &Guest) -> Result<(), Problem> {
        virsh(self, &["start", &guest.id]).await.map(drop)
    }
}

/// Reads lines of an id and a name.
fn read(text: &str, runs: bool) -> Result<Vec<Guest>, Problem> {
    let mut guests = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let (id, name) = line.trim_end().split_once(' ').unwrap_or((line, ""));
        let good = id.len() == UUID && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        if !good || name.is_empty() {
            return Err(Problem::passing(format!(
                "virsh lists a guest in a form that we do not know: {}",
                printable(line.as_bytes(), 80)
            )));
        }
        if guests.len() == MAX_GUESTS {
            return Err(Problem::passing(format!(
                "virsh lists more than {MAX_GUESTS} guests"
            )));
        }
        guests.push(Guest {
            id: id.to_owned(),
            name: name.trim_start().to_owned(),
            runs,
        });
    }
    Ok(guests)
}

/// One call, and what it printed.
async fn virsh(action: &LibvirtAction, args: &[&str]) -> Result<String, Problem> {
    let at = action.program.display();
    let mut child = Command::new(&action.program)
        .args(["--quiet", "--connect", &action.uri])
        .args(args)
        .env_clear()
        // Words that we read; and where virsh finds ssh.
        .env("LC_ALL", "C.UTF-8")
        .env("PATH", "/usr/bin:/bin")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound {
                Problem::lasting(format!("{at} is not there: install libvirt-clients"))
            } else {
                Problem::of_file(format_args!("starting {at}"), &error)
            }
        })?;
    let mut group = Group::of(&child);
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let limit = Duration::from_millis(action.timeout.0);
    let talked = tokio::time::timeout(limit, async {
        let (said, wrong) = tokio::join!(most(stdout, MAX_LIST), most(stderr, MAX_ERROR));
        (said, wrong, child.wait().await)
    })
    .await;
    let Ok((said, wrong, status)) = talked else {
        // Before the child is collected: so long the group's id is ours. ssh under it ends with it.
        group.kill();
        let _ = tokio::time::timeout(COLLECT, child.wait()).await;
        group.done();
        return Err(Problem::passing(format!(
            "{}: virsh {} did not end within {} s",
            action.uri,
            args[0],
            limit.as_secs_f64()
        )));
    };
    group.done();
    let status = status.map_err(|error| Problem::passing(format!("waiting for {at}: {error}")))?;
    if !status.success() {
        return Err(refused(action, args[0], &wrong, status));
    }
    if said.len() > MAX_LIST {
        return Err(Problem::passing(format!(
            "virsh {} printed more than {MAX_LIST} bytes",
            args[0]
        )));
    }
    Ok(String::from_utf8_lossy(&said).into_owned())
}

fn refused(action: &LibvirtAction, what: &str, wrong: &[u8], status: std::process::ExitStatus) -> Problem {
    let text = String::from_utf8_lossy(wrong);
    let said: Vec<&str> = text
        .lines()
        .map(|line| line.trim().trim_start_matches("error: "))
        .filter(|line| !line.is_empty())
        .collect();
    let said = said.join("; ");
    let advice = if said.contains("authentication") || said.contains("Permission denied") {
        "; see the account: it must be allowed to manage the guests there"
    } else if said.contains("Host key verification failed") {
        "; the connection needs known_hosts=FILE with the server's key"
    } else {
        ""
    };
    let said = printable(said.as_bytes(), 240);
    let said = if said.is_empty() { status.to_string() } else { said };
    Problem::passing(format!("{}: virsh {what}: {said}{advice}", action.uri))
}

/// Everything until its end, of which one byte more than `most` is kept.
async fn most<R: AsyncRead + Unpin>(from: Option<R>, most: usize) -> Vec<u8> {
    let Some(mut from) = from else { return Vec::new() };
    let (mut kept, mut chunk) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = from.read(&mut chunk).await {
        let room = (most + 1).saturating_sub(kept.len());
        kept.extend_from_slice(&chunk[..length.min(room)]);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::permit::Permit;
    use proptest::prelude::*;
    use room::outage::Verb;
    use room::site::act::guests::{Guests, Which};
    use room::site::act::libvirt::Mode;
    use room::time::Millis;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    const WEB: &str = "6695eb01-f6a4-8304-79aa-97f2502e193f";

    fn with(dir: &Path, script: &str) -> LibvirtAction {
        let program = dir.join("virsh");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        LibvirtAction {
            program,
            uri: "test:///default".to_owned(),
            guests: Guests {
                which: Which::Named(vec!["web".to_owned()]),
                force_after: None,
            },
            mode: Mode::Any,
            timeout: Millis(2000),
            verb: Verb::Stop,
        }
    }

    async fn look(action: &LibvirtAction) -> Result<(), Problem> {
        let Permit::Check(checked) = Permit::of(false) else {
            unreachable!("rehearsals are not armed")
        };
        check(action, checked).await
    }

    #[test]
    fn lists_are_read_line_by_line() {
        let text = format!("{WEB} web\n\n{WEB} two words \n");
        let names: Vec<String> = read(&text, true)
            .unwrap()
            .into_iter()
            .map(|guest| guest.name)
            .collect();
        assert_eq!(names, ["web", "two words"]);
        for bad in ["web", "-x web", WEB, " Id   Name   State"] {
            assert!(read(bad, true).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_list_panics_and_no_guest_has_an_id_that_could_be_an_option(text in "\\PC*(\n\\PC*){0,4}") {
            for guest in read(&text, true).unwrap_or_default() {
                prop_assert!(guest.id.len() == UUID && guest.id.is_ascii());
            }
        }
    }

    #[tokio::test]
    async fn words_of_virsh_are_quoted_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let action = with(
            dir.path(),
            "echo 'error: failed to connect' >&2; echo 'error: Host key verification failed.' >&2; exit 1",
        );
        let problem = look(&action).await.unwrap_err();
        assert!(
            problem.text.ends_with(
                "virsh list: failed to connect; Host key verification failed.; the connection needs \
                 known_hosts=FILE with the server's key"
            ),
            "{problem:?}"
        );
        assert!(problem.retryable);
    }

    #[tokio::test]
    async fn a_virsh_that_hangs_is_ended_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let action = LibvirtAction {
            timeout: Millis(200),
            ..with(dir.path(), "trap '' TERM; sleep 600 & wait; sleep 600")
        };
        let problem = look(&action).await.unwrap_err();
        assert!(
            problem.text.ends_with("virsh list did not end within 0.2 s"),
            "{problem:?}"
        );
    }

    #[tokio::test]
    async fn a_virsh_that_is_not_there_or_prints_without_end_is_a_problem() {
        let dir = tempfile::tempdir().unwrap();
        let missing = LibvirtAction {
            program: "/nonexistent/virsh".into(),
            ..with(dir.path(), "")
        };
        let problem = look(&missing).await.unwrap_err();
        assert!(
            !problem.retryable && problem.text.contains("libvirt-clients"),
            "{problem:?}"
        );
        let flood = with(dir.path(), "head -c 400000 /dev/zero | tr '\\0' x");
        assert!(look(&flood).await.unwrap_err().text.contains("more than"));
    }

    #[tokio::test]
    async fn a_guest_that_is_named_and_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let action = with(dir.path(), &format!("echo {WEB} mail"));
        let problem = look(&action).await.unwrap_err();
        assert!(problem.text.contains("has no guest web"), "{problem:?}");
    }
}
