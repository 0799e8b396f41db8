//! The project's own commands. `cargo xtask demo` and `cargo xtask test` are all that a newcomer
//! needs; each does its own set-up and says what it skips and why.
//!
//! It starts programs and reports; it decides nothing about the product and holds no test.

mod bench;
mod demo;
mod firmware;
mod fuzz;
mod setup;
mod stage;
mod test;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Commands of the Yagura project"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build everything and start the simulated room; prints the address of its page
    Demo {
        /// Passed on to `yagura demo`, e.g. --listen 127.0.0.1:8080
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Set up and run every check and test of the project
    Test {
        /// Passed on to the test runner, e.g. a part of a test's name; other stages are left out
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        only: Vec<String>,
    },
    /// `test`, as CI runs it: what would be skipped fails
    Ci,
    /// Build the firmware and print its flash and RAM use
    #[command(args_conflicts_with_subcommands = true)]
    Firmware {
        /// The board; the emulated one when left out
        board: Option<String>,
        /// Every board; minutes the first time, an instant when nothing has changed
        #[arg(long, conflicts_with = "board")]
        all: bool,
        /// Also with TLS to the broker, kept beside the plain program; prints what that costs
        #[arg(long)]
        tls: bool,
        #[command(subcommand)]
        image: Option<Image>,
    },
    /// Measure the figures of the product (release build; nothing is asserted)
    Bench {
        /// What to measure; everything when left out
        #[arg(value_enum)]
        what: Option<bench::What>,
        /// Measure the everyday build instead, to try the bench itself
        #[arg(long)]
        dev: bool,
    },
    /// Feed everything that reads bytes from outside with what libFuzzer makes up
    Fuzz {
        /// The target; every one when left out
        target: Option<String>,
        /// How long, for each target
        #[arg(long, default_value_t = fuzz::SECONDS)]
        seconds: u64,
    },
    /// Serve recordings of real devices, poll them with the product, and compare the values
    Conformance {
        /// Folder of NAME.snmprec with NAME.json beside it
        dir: std::path::PathBuf,
        /// List every value that is not equal
        #[arg(long)]
        details: bool,
    },
    /// Print nftables rules for a site (the same as `yagura firewall`)
    Firewall {
        /// The site file
        #[arg(long)]
        config: std::path::PathBuf,
    },
    /// Run the simulated outages with many seeds; stops at the first that breaks a promise
    Simulate {
        /// Passed on: --seeds 100000, --from 0, --threads 2, --seed 17 (its story), --broken 1
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

#[derive(Subcommand)]
enum Image {
    /// Make the key that signs firmware images; prints its public half for the nodes
    Key {
        /// The private key's file; it must not exist
        file: std::path::PathBuf,
    },
    /// Sign an image, so that nodes with the public key take it over the network
    Sign {
        /// The private key
        #[arg(long)]
        key: std::path::PathBuf,
        /// The board
        board: String,
        /// The program's ELF file; the one built last when left out
        image: Option<std::path::PathBuf>,
        /// The signed image; `<board>-<version>.yimg` when left out
        #[arg(long)]
        out: Option<std::path::PathBuf>,
    },
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Demo { args } => demo::run(&args),
        Command::Test { only } => test::run(&only, std::env::var_os("CI").is_some()),
        Command::Ci => test::ci(),
        Command::Firmware {
            image: Some(Image::Key { file }),
            ..
        } => firmware::new_key(&file),
        Command::Firmware {
            image:
                Some(Image::Sign {
                    key,
                    board,
                    image,
                    out,
                }),
            ..
        } => firmware::sign(&key, &board, image.as_deref(), out.as_deref()),
        Command::Firmware { board, all, tls, .. } => firmware::run(board.as_deref(), all, tls),
        Command::Fuzz { target, seconds } => fuzz::run(target.as_deref(), seconds),
        Command::Bench { what, dev } => bench::run(what, dev),
        Command::Conformance { dir, details } => demo::conformance(&dir, details),
        Command::Firewall { config } => demo::yagura(&["firewall".into(), "--config".into(), config.into()]),
        Command::Simulate { args } => test::simulate(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}
