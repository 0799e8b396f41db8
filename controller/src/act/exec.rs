//! Action `exec`: a program of this machine, by its path and arguments.
//!
//! There is no shell, and the environment is empty. The program runs in a process group of its
//! own; when its time is over that group is ended, by its own id and no other. What it prints
//! is kept up to `child::MAX_OUTPUT` bytes.

use super::action::{Accepted, Problem, Sent, printable};
use super::permit::{Armed, Checked};
use crate::child::{COLLECT, Group, LAST_WORDS, read_some};
use room::site::ExecAction;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// Sees whether the program is there and may be run. Does not run it.
///
/// # Errors
/// [`Problem`].
pub fn check(action: &ExecAction, _permit: Checked) -> Result<(), Problem> {
    runnable(action)
}

/// Runs the program.
///
/// # Errors
/// [`Problem`]: it is not there, ended with another status than 0, or ran out of time.
pub async fn request(action: &ExecAction, _permit: Armed, sent: &Sent) -> Result<Accepted, Problem> {
    runnable(action)?;
    let at = action.program.display();
    let mut child = Command::new(&action.program)
        .args(&action.args)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| Problem::passing(format!("starting {at}: {error}")))?;
    sent.set();
    let mut group = Group::of(&child);
    let mut stderr = child.stderr.take();
    let mut output = Vec::new();

    let limit = Duration::from_millis(action.timeout.0);
    let ended = tokio::time::timeout(limit, async {
        let mut reading = true;
        loop {
            tokio::select! {
                status = child.wait() => return status,
                more = read_some(stderr.as_mut(), &mut output), if reading => reading = more,
            }
        }
    })
    .await;
    let Ok(status) = ended else {
        // By force and before the child is collected: so long the group's id is ours, and
        // nothing in it can outlive the time-out by ignoring a polite signal.
        group.kill();
        let _ = tokio::time::timeout(COLLECT, child.wait()).await;
        group.done();
        return Err(Problem::passing(format!(
            "{at} did not end within {} s",
            limit.as_secs_f64()
        )));
    };
    group.done();
    let status = status.map_err(|error| Problem::passing(format!("waiting for {at}: {error}")))?;
    if status.success() {
        return Ok(Accepted::Succeeded);
    }
    let _ = tokio::time::timeout(LAST_WORDS, async {
        while read_some(stderr.as_mut(), &mut output).await {}
    })
    .await;
    let said = printable(&output, 240);
    Err(Problem::passing(format!(
        "{at} ended with {status}{}{said}",
        if said.is_empty() { "" } else { ": " }
    )))
}

fn runnable(action: &ExecAction) -> Result<(), Problem> {
    let at = action.program.display();
    if !action.program.is_absolute() {
        return Err(Problem::lasting(format!("{at} is not an absolute path")));
    }
    let meta = std::fs::metadata(&action.program)
        .map_err(|error| Problem::of_file(format_args!("the program {at}"), &error))?;
    if !meta.is_file() || meta.permissions().mode() & 0o111 == 0 {
        return Err(Problem::lasting(format!("{at} is not an executable file")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::permit::Permit;
    use room::time::Millis;

    fn program(path: &str, args: &[&str], timeout: u64) -> ExecAction {
        ExecAction {
            program: path.into(),
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            timeout: Millis(timeout),
        }
    }

    async fn run(action: &ExecAction) -> Result<Accepted, Problem> {
        let Permit::Act(armed) = Permit::of(true) else {
            unreachable!("real orders are armed")
        };
        request(action, armed, &Sent::default()).await
    }

    fn look(action: &ExecAction) -> Result<(), Problem> {
        let Permit::Check(checked) = Permit::of(false) else {
            unreachable!("rehearsals are not armed")
        };
        check(action, checked)
    }

    #[tokio::test]
    async fn status_decides_and_errors_are_quoted_in_one_line() {
        assert_eq!(
            run(&program("/bin/true", &[], 5000)).await,
            Ok(Accepted::Succeeded)
        );
        let problem = run(&program(
            "/bin/sh",
            &["-c", "printf 'no\\nway' >&2; exit 3"],
            5000,
        ))
        .await
        .unwrap_err();
        assert_eq!(problem.text, "/bin/sh ended with exit status: 3: no\\nway");
        assert!(problem.retryable);
    }

    #[tokio::test]
    async fn arguments_are_never_read_by_a_shell_and_the_environment_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("env; echo");
        let script = "env > \"$1\"";
        run(&program(
            "/bin/sh",
            &["-c", script, "x", file.to_str().unwrap()],
            5000,
        ))
        .await
        .unwrap();
        let env = std::fs::read_to_string(&file).unwrap();
        // What is left is what the shell itself sets.
        assert!(
            env.lines()
                .all(|line| line.starts_with("PWD=") || line.starts_with("SHLVL=") || line.starts_with("_=")),
            "{env}"
        );
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_ended_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = "trap '' TERM; sleep 600 & echo $! > \"$1\"; wait; sleep 600";
        let action = program("/bin/sh", &["-c", script, "x", file.to_str().unwrap()], 300);
        let problem = run(&action).await.unwrap_err();
        assert_eq!(problem, Problem::passing("/bin/sh did not end within 0.3 s"));
        let grandchild = std::fs::read_to_string(&file).unwrap();
        let gone = async {
            loop {
                let stat = std::fs::read_to_string(format!("/proc/{}/stat", grandchild.trim()));
                // Not collected yet by its new parent counts as ended.
                if stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z ")) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), gone).await.unwrap();
    }

    #[tokio::test]
    async fn a_flood_of_output_is_read_and_dropped() {
        let script = "i=0; while [ $i -lt 2000 ]; do echo 0123456789012345678901234567890123456789012345678901234567890123 >&2; i=$((i+1)); done; exit 1";
        let problem = run(&program("/bin/sh", &["-c", script], 20_000))
            .await
            .unwrap_err();
        assert!(problem.text.len() <= crate::act::action::MAX_PROBLEM);
    }

    #[test]
    fn a_check_finds_what_cannot_be_run() {
        assert_eq!(look(&program("/bin/true", &[], 1)), Ok(()));
        assert!(
            look(&program("bin/true", &[], 1))
                .unwrap_err()
                .text
                .contains("absolute")
        );
        assert!(
            look(&program("/etc/passwd", &[], 1))
                .unwrap_err()
                .text
                .contains("executable")
        );
        // Not missing, only out of reach: what mounts or links it may be under way.
        let dir = tempfile::tempdir().unwrap();
        let turning = dir.path().join("stop");
        std::os::unix::fs::symlink(&turning, &turning).unwrap();
        let out_of_reach = look(&program(turning.to_str().unwrap(), &[], 1)).unwrap_err();
        assert!(out_of_reach.retryable, "{out_of_reach:?}");
        let missing = look(&program("/nonexistent/stop", &[], 1)).unwrap_err();
        assert!(!missing.retryable, "{missing:?}");
    }
}
