//! Why a command failed, in words for the person at the terminal, and the exit code.

use room::site::problem::{Problem, Severity};
use std::fmt::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

/// Why a command failed.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// Done, and something is wrong.
    pub const WRONG: u8 = 1;
    /// The running controller cannot be reached.
    pub const AWAY: u8 = 3;
    /// It cannot start.
    pub const START: u8 = 4;

    /// A failure in own words.
    #[must_use]
    pub fn new(code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// A failure with the causes under it, printed once, here.
    #[must_use]
    pub fn because(code: u8, what: impl Into<String>, error: &dyn std::error::Error) -> Self {
        let mut message = what.into();
        let mut cause = Some(error);
        while let Some(error) = cause {
            // Writing to a String cannot fail.
            let _ = write!(message, ": {error}");
            cause = error.source();
        }
        Self { code, message }
    }

    /// The exit code.
    #[must_use]
    pub fn code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }

    pub(super) fn runtime(error: std::io::Error) -> Self {
        Self::because(Self::START, "starting the runtime", &error)
    }

    pub(super) fn read(path: &Path, error: std::io::Error) -> Self {
        Self::because(Self::START, format!("reading {}", path.display()), &error)
    }

    pub(super) fn site(path: &Path, problems: &[Problem]) -> Self {
        let mut message = format!("{} cannot be used:", path.display());
        for problem in problems {
            let severity = match problem.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            let _ = write!(
                message,
                "\n{}:{}:{}: {severity}: {}",
                path.display(),
                problem.line,
                problem.column,
                problem.message
            );
            if let Some(hint) = &problem.hint {
                let _ = write!(message, "\n    hint: {hint}");
            }
        }
        Self::new(Self::WRONG, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
