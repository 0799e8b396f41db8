//! `[[notifier]]` with `kind = "command"`: a program of this machine gets the notice as JSON.

use super::keys;
use crate::notice::text::Language;
use crate::site::problem::Kind;
use crate::site::reader::Reader;
use crate::time::Millis;
use std::path::PathBuf;

/// Longest time of the program, unless written.
pub const COMMAND_TIMEOUT: Millis = Millis::from_secs(10);

/// A program by its path and arguments; no shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Absolute path.
    pub program: PathBuf,
    /// Arguments, passed as they are.
    pub args: Vec<String>,
    /// Language of the subject and text it gets.
    pub language: Language,
    /// Longest time until it ends.
    pub timeout: Millis,
}

/// The keys of the table beside `name`, `label` and `kind`.
pub(super) fn read(r: &mut Reader<'_>) -> Option<Command> {
    let program = r.text("program", "the absolute path of the program; there is no shell");
    let args = r.list("args");
    let language = keys::language(r);
    let timeout = keys::timeout(r, COMMAND_TIMEOUT, (Millis(100), Millis::from_secs(60)));
    let program = program?;
    if !program.value.starts_with('/') {
        r.sink().error_hint(
            Kind::Value,
            &program.span,
            format!("`program` = \"{}\" is not an absolute path", program.value),
            "write the whole path, e.g. \"/usr/local/bin/call-duty\"; arguments go into `args`",
        );
        return None;
    }
    if let Some(bad) = args.iter().find(|arg| arg.value.contains('\0')) {
        r.sink()
            .error(Kind::Value, &bad.span, "an argument cannot hold a zero character");
        return None;
    }
    Some(Command {
        program: PathBuf::from(program.value),
        args: args.into_iter().map(|arg| arg.value).collect(),
        language: language?,
        timeout: timeout?,
    })
}
