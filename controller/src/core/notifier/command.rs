//! Hands a notice to a program of this machine: JSON on its standard input, no shell, an empty
//! environment, a time-out.

use room::notice::{Notice, SendFailure};
use room::site::notifier::command as config;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;

/// The exit status that asks for another attempt (`EX_TEMPFAIL` of sysexits).
const TEMPORARY: i32 = 75;

/// A program that is given every notice.
pub(super) struct Command {
    config: config::Command,
}

impl Command {
    pub(super) const fn new(config: config::Command) -> Self {
        Self { config }
    }

    pub(super) async fn send(&mut self, notice: &Notice) -> Result<(), SendFailure> {
        let json = serde_json::to_vec(notice)
            .map_err(|error| SendFailure::lasting(format!("encoding the notice: {error}")))?;
        let program = self.config.program.display().to_string();
        let mut child = tokio::process::Command::new(&self.config.program)
            .args(&self.config.args)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| SendFailure::passing(format!("starting {program}: {error}")))?;
        let stdin = child.stdin.take();
        let work = async {
            if let Some(mut stdin) = stdin {
                // A program that does not read its input may still do its work.
                let _ = stdin.write_all(&json).await;
            }
            child.wait().await
        };
        let limit = Duration::from_millis(self.config.timeout.0);
        match tokio::time::timeout(limit, work).await {
            Err(_) => Err(SendFailure::passing(format!(
                "{program} did not end within {} s",
                limit.as_secs_f64()
            ))),
            Ok(Err(error)) => Err(SendFailure::passing(format!("waiting for {program}: {error}"))),
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(SendFailure {
                retryable: status.code() == Some(TEMPORARY),
                problem: format!("{program} ended with {status}"),
            }),
        }
    }
}
