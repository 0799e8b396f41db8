//! The binary: reads the command line, starts one runtime, and turns a failure into a message
//! and an exit code. It decides nothing else.

use clap::Parser as _;
use controller::commands::{self, Cli};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    commands::log_to_stderr();
    match commands::dispatch(cli) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("yagura: {failure}");
            failure.code()
        }
    }
}
