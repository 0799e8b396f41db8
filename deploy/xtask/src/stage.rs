//! Stages: one progress line when a stage begins, one when it ends, and a summary of all.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How a stage ended.
pub(crate) enum End {
    /// Good, with what is worth saying.
    Done(String),
    /// Not run, and why. In CI it is a failure.
    Skipped(String),
    /// Not run, and CI goes on without it, because something else there looks at the same.
    Excused(String),
    /// Bad, and what to look at.
    Failed(String),
}

impl From<Result<(), String>> for End {
    fn from(result: Result<(), String>) -> Self {
        match result {
            Ok(()) => Self::Done(String::new()),
            Err(why) => Self::Failed(why),
        }
    }
}

/// Runs stages and keeps how they ended.
pub(crate) struct Stages {
    total: usize,
    ended: Vec<(&'static str, End, Duration)>,
    begun: Instant,
    /// In CI nothing may be skipped.
    strict: bool,
    /// Remarks for the end of the summary.
    pub(crate) remarks: Vec<String>,
}

impl Stages {
    pub(crate) fn new(total: usize, strict: bool) -> Self {
        Self {
            total,
            ended: Vec::new(),
            begun: now(),
            strict,
            remarks: Vec::new(),
        }
    }

    /// Runs one stage. A failed stage does not stop the next: one round shows everything.
    pub(crate) fn run(&mut self, name: &'static str, what: impl FnOnce() -> End) {
        let number = self.ended.len() + 1;
        eprintln!("\n[{number}/{}] {name} ...", self.total);
        let begun = now();
        let end = match what() {
            End::Skipped(why) if self.strict => End::Failed(format!("CI skips nothing: {why}")),
            end => end,
        };
        let took = begun.elapsed();
        eprintln!("[{number}/{}] {}", self.total, line(name, &end, took));
        self.ended.push((name, end, took));
    }

    /// Prints the summary.
    ///
    /// # Errors
    /// When a stage failed.
    pub(crate) fn finish(self) -> Result<(), String> {
        eprintln!("\n== summary ==");
        for (name, end, took) in &self.ended {
            eprintln!("{}", line(name, end, *took));
        }
        for remark in &self.remarks {
            eprintln!("{remark}");
        }
        eprintln!("total {}", shown(self.begun.elapsed()));
        let failed: Vec<&str> = self
            .ended
            .iter()
            .filter(|(_, end, _)| matches!(end, End::Failed(_)))
            .map(|(name, _, _)| *name)
            .collect();
        if failed.is_empty() {
            Ok(())
        } else {
            Err(format!("failed: {}", failed.join(", ")))
        }
    }
}

fn line(name: &str, end: &End, took: Duration) -> String {
    let (word, text) = match end {
        End::Done(text) => ("ok", text),
        End::Skipped(why) | End::Excused(why) => ("SKIPPED", why),
        End::Failed(why) => ("FAILED", why),
    };
    format!("{word:<8}{name:<28}{:>9}  {text}", shown(took))
        .trim_end()
        .to_owned()
}

/// A span for people.
pub(crate) fn shown(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{} min {:02} s", span.as_secs() / 60, span.as_secs() % 60)
    }
}

/// The clock of a command line tool; the product's own clock is `controller/src/clock.rs`.
#[expect(
    clippy::disallowed_methods,
    reason = "xtask measures its own stages and decides nothing by them"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The project's root folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// A program started from the project's root.
pub(crate) fn program(name: &str, args: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.args(args).current_dir(root());
    command
}

/// The cargo that runs us.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = program(&cargo, args);
    // What cargo tells the programs it runs must not reach the cargo below us: it would rebuild.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// True when a program can be found.
pub(crate) fn has(name: &str) -> bool {
    if name.contains('/') {
        return Path::new(name).exists();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|folder| folder.join(name).is_file())
}

/// Runs a program to its end with its output on our terminal.
///
/// # Errors
/// When it cannot be started or fails.
pub(crate) fn check(command: &mut Command) -> Result<(), String> {
    let name = shown_command(command);
    let status = command
        .status()
        .map_err(|why| format!("cannot start `{name}`: {why}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("`{name}` ended with {status}"))
    }
}

/// Runs a program to its end quietly; its output is shown only when it fails.
///
/// # Errors
/// When it cannot be started or fails.
pub(crate) fn quiet(command: &mut Command) -> Result<String, String> {
    let name = shown_command(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|why| format!("cannot start `{name}`: {why}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    eprint!("{text}{}", String::from_utf8_lossy(&output.stderr));
    Err(format!("`{name}` ended with {}", output.status))
}

/// Runs a program, passes its error stream on line by line, and returns the last line in which
/// `mark` stands.
///
/// # Errors
/// When it cannot be started or fails; the marked line comes with it.
pub(crate) fn watched(command: &mut Command, mark: &str) -> Result<String, String> {
    let name = shown_command(command);
    let mut child = command
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|why| format!("cannot start `{name}`: {why}"))?;
    let mut marked = String::new();
    if let Some(stream) = child.stderr.take() {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            eprintln!("{line}");
            if line.contains(mark) {
                line.trim().clone_into(&mut marked);
            }
        }
    }
    let status = child.wait().map_err(|why| format!("lost `{name}`: {why}"))?;
    if status.success() {
        Ok(marked)
    } else if marked.is_empty() {
        Err(format!("`{name}` ended with {status}"))
    } else {
        Err(marked)
    }
}

fn shown_command(command: &Command) -> String {
    let name = Path::new(command.get_program());
    let mut text = name
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    for arg in command.get_args().take(4) {
        text.push(' ');
        text.push_str(&arg.to_string_lossy());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_skipped_fails_in_ci_unless_it_is_excused() {
        let round = |strict, end| {
            let mut stages = Stages::new(1, strict);
            stages.run("a stage", || end);
            stages.finish()
        };
        let skipped = || End::Skipped("no qemu".to_owned());
        assert_eq!(round(false, skipped()), Ok(()));
        assert!(round(true, skipped()).is_err());
        assert_eq!(round(true, End::Excused("no cargo-deny".to_owned())), Ok(()));
        assert_eq!(round(true, End::Done(String::new())), Ok(()));
    }
}
