//! Hands a notice to a program of this machine.
//!
//! No shell, an environment of a few words, a process group of its own that ends with its time. The
//! program gets the notice as JSON on its standard input (`room::notice::document`), and the parts
//! that a short script needs as variables:
//!
//! | variable | holds |
//! |---|---|
//! | `YAGURA_KEY` | the same for every copy of one notice |
//! | `YAGURA_KIND` | `alarm`, `summary`, `test`, `heartbeat`, `lamp` |
//! | `YAGURA_SUBJECT`, `YAGURA_TEXT` | as a person reads them |
//! | `YAGURA_TO` | the contact's address, where there is one |
//! | `YAGURA_ALARM`, `YAGURA_MOMENT`, `YAGURA_PRIORITY` | of an alarm |
//! | `YAGURA_SIMULATED` | `1` when the room is a simulated one |
//!
//! Exit status 0: told. 75 (`EX_TEMPFAIL` of sysexits): try again. Anything else: not, until a person
//! looks. What it prints goes to the log, bounded.

use crate::child::{COLLECT, Group, LAST_WORDS, MAX_OUTPUT, read_some};
use room::notice::document::{Document, document};
use room::notice::text::line;
use room::notice::{Notice, SendFailure};
use room::site::notifier::command as config;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;

/// The exit status that asks for another attempt (`EX_TEMPFAIL` of sysexits).
const TEMPORARY: i32 = 75;
/// Where the program finds others.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program that is given every notice.
pub(super) struct Command {
    config: config::Command,
    utc_offset_min: i16,
}

impl Command {
    pub(super) const fn new(config: config::Command, utc_offset_min: i16) -> Self {
        Self {
            config,
            utc_offset_min,
        }
    }

    pub(super) async fn send(&mut self, notice: &Notice) -> Result<(), SendFailure> {
        let document = document(notice, self.config.language, self.utc_offset_min);
        let json = serde_json::to_vec(&document)
            .map_err(|error| SendFailure::lasting(format!("encoding the notice: {error}")))?;
        let program = self.config.program.display().to_string();
        let mut child = tokio::process::Command::new(&self.config.program)
            .args(&self.config.args)
            .env_clear()
            .env("PATH", PATH)
            .env("LANG", "C.UTF-8")
            .envs(variables(&document))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied => {
                    SendFailure::lasting(format!("starting {program}: {error}"))
                }
                _ => SendFailure::passing(format!("starting {program}: {error}")),
            })?;
        let mut group = Group::of(&child);
        let (stdin, mut stdout, mut stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let feed = async move {
            if let Some(mut stdin) = stdin {
                // A program that does not read its input may still do its work.
                let _ = stdin.write_all(&json).await;
            }
        };
        tokio::pin!(feed);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let limit = Duration::from_millis(self.config.timeout.0);
        let ended = tokio::time::timeout(limit, async {
            let (mut feeding, mut out_open, mut err_open) = (true, true, true);
            loop {
                // Cancel-safe: waiting can be begun again, a read happened or did not, and the feed
                // goes on where it was.
                tokio::select! {
                    status = child.wait() => return status,
                    () = &mut feed, if feeding => feeding = false,
                    more = read_some(stdout.as_mut(), &mut out), if out_open => out_open = more,
                    more = read_some(stderr.as_mut(), &mut err), if err_open => err_open = more,
                }
            }
        })
        .await;
        let Ok(status) = ended else {
            // By force and before the child is collected: so long the group's id is ours.
            group.kill();
            let _ = tokio::time::timeout(COLLECT, child.wait()).await;
            group.done();
            return Err(SendFailure::passing(format!(
                "{program} did not end within {} s",
                limit.as_secs_f64()
            )));
        };
        group.done();
        let _ = tokio::time::timeout(LAST_WORDS, async {
            while read_some(stdout.as_mut(), &mut out).await {}
            while read_some(stderr.as_mut(), &mut err).await {}
        })
        .await;
        let said = said(&err, &out);
        let status =
            status.map_err(|error| SendFailure::passing(format!("waiting for {program}: {error}")))?;
        if status.success() {
            if !said.is_empty() {
                tracing::info!(program, said, "what a notifier's program printed");
            }
            return Ok(());
        }
        Err(SendFailure {
            retryable: status.code() == Some(TEMPORARY),
            problem: format!(
                "{program} ended with {status}{}{said}",
                if said.is_empty() { "" } else { ": " }
            ),
        })
    }
}

/// Errors first: they say why.
fn said(err: &[u8], out: &[u8]) -> String {
    let mut all = String::from_utf8_lossy(err).into_owned();
    all.push(' ');
    all.push_str(&String::from_utf8_lossy(&out[..out.len().min(MAX_OUTPUT)]));
    line(&all)
}

/// No value can hold a zero byte: the texts are free of control characters but line breaks.
fn variables(document: &Document) -> Vec<(&'static str, String)> {
    let mut variables = vec![
        ("YAGURA_KEY", document.key.clone()),
        ("YAGURA_KIND", document.kind.to_owned()),
        ("YAGURA_SUBJECT", document.subject.clone()),
        ("YAGURA_TEXT", document.text.clone()),
    ];
    if let Some(to) = &document.to {
        variables.push(("YAGURA_TO", to.clone()));
    }
    if let Some(alarm) = &document.alarm {
        variables.push(("YAGURA_ALARM", alarm.id.clone()));
        variables.push(("YAGURA_MOMENT", alarm.moment.word().to_owned()));
        variables.push(("YAGURA_PRIORITY", alarm.priority.to_owned()));
    }
    if document.simulated {
        variables.push(("YAGURA_SIMULATED", "1".to_owned()));
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;
    use room::notice::About;
    use room::notice::text::Language;
    use room::site::Label;
    use room::time::{Millis, Wall};

    fn command(script: &str, args: &[&str], timeout: u64) -> Command {
        let mut all = vec!["-c".to_owned(), script.to_owned(), "x".to_owned()];
        all.extend(args.iter().map(|&arg| arg.to_owned()));
        let config = config::Command {
            program: "/bin/sh".into(),
            args: all,
            language: Language::Ja,
            timeout: Millis(timeout),
        };
        Command::new(config, 540)
    }

    fn notice() -> Notice {
        Notice {
            key: "test/1".into(),
            attempt: 2,
            notifier: "phone".into(),
            to: Some("0120".into()),
            contact: Some("duty".into()),
            at: Wall(1_775_001_903_000),
            site: Label::new("本庁\0\nサーバー室", "server room"),
            simulated: true,
            about: About::Test {
                by: "施設 太郎".into(),
            },
        }
    }

    #[tokio::test]
    async fn a_program_gets_the_notice_as_json_and_as_a_few_variables_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (json, env) = (folder.path().join("json; true"), folder.path().join("env"));
        let mut command = command(
            "cat > \"$1\"; env > \"$2\"; pwd; echo said >&2",
            &[json.to_str().unwrap(), env.to_str().unwrap()],
            5000,
        );
        command.send(&notice()).await.unwrap();
        let read: serde_json::Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
        assert_eq!(read["kind"], "test");
        assert_eq!(read["key"], notice().id());
        assert_eq!(read["attempt"], 2);
        let env = std::fs::read_to_string(&env).unwrap();
        assert!(
            env.contains("YAGURA_TO=0120\n") && env.contains("YAGURA_SIMULATED=1\n"),
            "{env}"
        );
        let whole = format!("{read}{env}");
        assert!(!whole.contains("太郎") && !whole.contains("duty"), "{whole}");
        assert!(!env.contains("CARGO") && !env.contains("HOME="), "{env}");
    }

    #[tokio::test]
    async fn the_exit_status_says_whether_to_try_again() {
        for (script, retryable, words) in [
            ("echo busy >&2; exit 75", true, "busy"),
            ("echo 'no\nway'; exit 1", false, "no way"),
            ("kill -9 $$", false, "signal"),
        ] {
            let failure = command(script, &[], 5000).send(&notice()).await.unwrap_err();
            assert_eq!(failure.retryable, retryable, "{failure:?}");
            assert!(failure.problem.contains(words), "{failure:?}");
        }
        let mut missing = command("", &[], 5000);
        missing.config.program = "/nonexistent/call".into();
        assert!(!missing.send(&notice()).await.unwrap_err().retryable);
    }

    #[tokio::test]
    async fn a_program_that_neither_reads_nor_ends_is_ended_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let script = "trap '' TERM; sleep 600 & echo $! > \"$1\"; wait; sleep 600";
        let failure = command(script, &[file.to_str().unwrap()], 300)
            .send(&notice())
            .await
            .unwrap_err();
        assert!(
            failure.retryable && failure.problem.contains("0.3 s"),
            "{failure:?}"
        );
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
        let script = "i=0; while [ $i -lt 3000 ]; do echo 0123456789012345678901234567890123456789; echo no >&2; i=$((i+1)); done; exit 1";
        let failure = command(script, &[], 20_000).send(&notice()).await.unwrap_err();
        assert!(
            failure.problem.len() < 4 * room::notice::text::MAX_PIECE,
            "{}",
            failure.problem.len()
        );
    }
}
