//! `cargo xtask conformance DIR`: how much of the recordings in DIR the product reads rightly.

use hil_tests::conformance;
use room::profile::Library;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

const USAGE: &str = "conformance DIR [--details]: DIR holds NAME.snmprec with NAME.json beside it";
/// Percent of the possible values that must be equal.
const EQUAL_MIN: f64 = 98.0;

fn main() -> ExitCode {
    let (flags, dirs): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|word| word.starts_with("--"));
    let details = flags.iter().any(|flag| flag == "--details");
    let (Some(dir), true) = (dirs.first(), flags.iter().all(|flag| flag == "--details")) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let run = conformance::run(Path::new(dir), Arc::new(Library::builtin()));
    match runtime.block_on(run) {
        Ok(reports) => {
            print!("{}", conformance::table(&reports, details));
            verdict(conformance::totals(&reports))
        }
        Err(error) => {
            use std::error::Error as _;
            let cause = error
                .source()
                .map(|source| format!(": {source}"))
                .unwrap_or_default();
            eprintln!("{error}{cause}");
            ExitCode::FAILURE
        }
    }
}

fn verdict(sum: conformance::Totals) -> ExitCode {
    #[expect(clippy::cast_precision_loss, reason = "a percentage")]
    let percent = 100.0 * sum.equal as f64 / sum.plausible.max(1) as f64;
    if percent >= EQUAL_MIN && sum.accepted_impossible == 0 && sum.detected == sum.devices {
        ExitCode::SUCCESS
    } else {
        eprintln!("the aim: every device detected, {EQUAL_MIN} % equal, no impossible value taken");
        ExitCode::FAILURE
    }
}
