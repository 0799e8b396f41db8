//! `kind = "command"`: a program of this machine that is given the notice.

use crate::site::problem::Kind;
use crate::site::reader::Reader;
use crate::time::Millis;
use std::path::PathBuf;

/// Longest time until it ends, unless written.
const TIMEOUT: Millis = Millis::from_secs(10);

/// A program that is given every notice as JSON on its standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Absolute path.
    pub program: PathBuf,
    /// Arguments, passed as they are; no shell reads them.
    pub args: Vec<String>,
    /// Longest time until it ends.
    pub timeout: Millis,
}

pub(super) fn read(r: &mut Reader<'_>) -> Option<Command> {
    let program = r.path("program", "an absolute path, e.g. \"/usr/local/bin/call-duty\"");
    let args = r.list("args").into_iter().map(|arg| arg.value).collect();
    let timeout = match r.duration_or("timeout", (Millis(100), Millis::from_secs(60))) {
        Some(timeout) => timeout.value,
        None => TIMEOUT,
    };
    let program = program?;
    if !program.value.is_absolute() {
        r.sink()
            .error(Kind::Value, &program.span, "`program` must be an absolute path");
        return None;
    }
    Some(Command {
        program: program.value,
        args,
        timeout,
    })
}
