//! `yagura log status|export|proof|key|hold|release|erase|rotate-key`: the entry log, at the machine
//! that has it.
//!
//! What is only looked at is read from the files. What changes something, and every copy, is first told
//! to core's socket and journaled, with who asks and why.

use super::operator::order;
use super::{Failure, load};
use crate::core::log::{LogError, read};
use crate::core::vault::read_secret;
use crate::link::Ask;
use clap::{Args, Subcommand};
use ed25519_dalek::SigningKey;
use room::log::note::{Note, VerifierKey};
use room::log::wish::Wish;
use room::log::{leaf, year};
use room::site::{Real, Site};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Core signs what a copy is taken of, and that it is taken; a disk that does not let it in this time gives a
/// copy that ends at the last checkpoint.
const SIGNED_WITHIN: Duration = Duration::from_secs(5);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

#[derive(Debug, Subcommand)]
pub(super) enum LogCommand {
    /// Which log there is, how long it is and what of it is signed (記録の状態)
    Status(ConfigArg),
    /// Copy a year's log into a new folder, for a verifier (持ち出し)
    Export(ExportArgs),
    /// Prove one row: `<n>.leaf` and `<n>.tlog-proof` (1 件の証明)
    Proof(ProofArgs),
    /// The verifier key, for the security ledger (検証鍵)
    Key(ConfigArg),
    /// Another key signs from here on (署名鍵の交代)
    RotateKey(ReasonArgs),
    /// Legal hold: nothing of a range is erased (証拠保全)
    Hold(RangeArgs),
    /// End a legal hold (証拠保全の解除)
    Release(ReleaseArgs),
    /// Erase personal particulars of a range; the tree stays valid (個人情報の消去)
    Erase(EraseArgs),
}

#[derive(Debug, Args)]
pub(super) struct ConfigArg {
    /// Site file (設置場所の設定ファイル)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct ReasonArgs {
    #[command(flatten)]
    at: ConfigArg,
    /// Why (理由)
    #[arg(long)]
    reason: String,
}

#[derive(Debug, Args)]
pub(super) struct RangeArgs {
    #[command(flatten)]
    why: ReasonArgs,
    /// Fiscal year; the newest when left out (年度)
    #[arg(long)]
    year: Option<i64>,
    /// First row (最初の番号)
    #[arg(long, value_name = "N")]
    from: u64,
    /// Last row (最後の番号)
    #[arg(long, value_name = "N")]
    to: u64,
}

#[derive(Debug, Args)]
pub(super) struct ReleaseArgs {
    #[command(flatten)]
    why: ReasonArgs,
    /// Number of the hold (番号)
    hold: u32,
}

#[derive(Debug, Args)]
pub(super) struct EraseArgs {
    #[command(flatten)]
    range: RangeArgs,
    /// Names of the fields, as they stand under `sealed`; all when left out (項目)
    #[arg(long, value_delimiter = ',', value_name = "FIELD")]
    fields: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    why: ReasonArgs,
    /// Folder to make (作るフォルダ)
    dir: PathBuf,
    /// Fiscal year; the newest when left out (年度)
    #[arg(long)]
    year: Option<i64>,
    /// With the personal particulars of these rows (個人情報を含める)
    #[arg(long)]
    openings: bool,
    /// First row whose particulars are taken along (最初の番号)
    #[arg(long, value_name = "N", default_value_t = 0, requires = "openings")]
    from: u64,
    /// Last row whose particulars are taken along (最後の番号)
    #[arg(long, value_name = "N", requires = "openings")]
    to: Option<u64>,
}

#[derive(Debug, Args)]
pub(super) struct ProofArgs {
    #[command(flatten)]
    at: ConfigArg,
    /// The row (番号)
    n: u64,
    /// Fiscal year; the newest when left out (年度)
    #[arg(long)]
    year: Option<i64>,
    /// Folder for the two files; this one when left out
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

pub(super) async fn run(command: LogCommand) -> Result<ExitCode, Failure> {
    match command {
        LogCommand::Status(ConfigArg { config }) => status(&load::<Real>(&config)?),
        LogCommand::Key(ConfigArg { config }) => {
            let site = load::<Real>(&config)?;
            println!(
                "{}",
                verifier_key(&site).map_err(|why| Failure::new(Failure::START, why))?
            );
            Ok(ExitCode::SUCCESS)
        }
        LogCommand::Proof(args) => prove(&args),
        LogCommand::Export(args) => export(args).await,
        LogCommand::RotateKey(ReasonArgs { at, reason }) => {
            let key = String::new();
            let wish = Wish::RotateKey { key, reason };
            order(&load::<Real>(&at.config)?, Ask::Log(wish)).await
        }
        LogCommand::Hold(range) => {
            let site = load::<Real>(&range.why.at.config)?;
            let (year, from, to) = place(&site, &range)?;
            let reason = range.why.reason;
            let wish = Wish::Hold {
                year,
                from,
                to,
                reason,
            };
            order(&site, Ask::Log(wish)).await
        }
        LogCommand::Release(ReleaseArgs { why, hold }) => {
            let reason = why.reason;
            let wish = Wish::Release { hold, reason };
            order(&load::<Real>(&why.at.config)?, Ask::Log(wish)).await
        }
        LogCommand::Erase(EraseArgs { range, fields }) => {
            let site = load::<Real>(&range.why.at.config)?;
            let (year, from, to) = place(&site, &range)?;
            let reason = range.why.reason;
            let wish = Wish::Erase {
                year,
                from,
                to,
                fields,
                reason,
            };
            order(&site, Ask::Log(wish)).await
        }
    }
}

/// The verifier key of a site's log, as `yagura check` prints it, too.
pub(super) fn verifier_key(site: &Site<Real>) -> Result<String, String> {
    let path = site.data_dir.join("log.key");
    let seed = match read_secret(&path) {
        Ok(Some(seed)) => seed,
        Ok(None) => {
            return Err(format!(
                "{} is no key that only its owner can read",
                path.display()
            ));
        }
        Err(error) => return Err(format!("reading {}: {error}", path.display())),
    };
    let name = key_name(site);
    Ok(VerifierKey::of_log(&name, &SigningKey::from_bytes(&seed)).to_string())
}

/// The name that the log has kept, else the one it would get.
fn key_name(site: &Site<Real>) -> String {
    let kept = || {
        let log = read::open(&site.data_dir).ok()?;
        let note = read::last_note(&log, read::newest_year(&log).ok()?).ok()??;
        let origin = Note::parse(&note)?.checkpoint().origin.clone();
        Some(origin.rsplit_once('/')?.0.to_owned())
    };
    kept().unwrap_or_else(|| year::key_name(&year::slug(&site.name)))
}

fn wrong(what: &str) -> impl Fn(LogError) -> Failure + '_ {
    move |error| Failure::because(Failure::START, what, &error)
}

fn place(site: &Site<Real>, range: &RangeArgs) -> Result<(i64, u64, u64), Failure> {
    let year = year_of(site, range.year)?;
    Ok((year, range.from, range.to.saturating_add(1)))
}

fn year_of(site: &Site<Real>, year: Option<i64>) -> Result<i64, Failure> {
    match year {
        Some(year) => Ok(year),
        None => read::open(&site.data_dir)
            .and_then(|log| read::newest_year(&log))
            .map_err(wrong("looking for the newest log")),
    }
}

fn status(site: &Site<Real>) -> Result<ExitCode, Failure> {
    let what = wrong("reading the log");
    let log = read::open(&site.data_dir).map_err(&what)?;
    let year = read::newest_year(&log).map_err(&what)?;
    let size = read::size(&log, year).map_err(&what)?;
    let note = read::last_note(&log, year).map_err(&what)?;
    let signed = note.as_deref().and_then(Note::parse);
    let rows = [
        ("年度 year", year.to_string()),
        ("件数 rows", size.to_string()),
        (
            "署名済み signed",
            signed.map_or_else(|| "-".to_owned(), |note| note.checkpoint().size.to_string()),
        ),
        (
            "検証鍵 key",
            verifier_key(site).unwrap_or_else(|why| format!("- ({why})")),
        ),
    ];
    for (name, value) in rows {
        println!("{name}: {value}");
    }
    if let Some(note) = note {
        println!("\n{note}");
    }
    Ok(ExitCode::SUCCESS)
}

fn prove(args: &ProofArgs) -> Result<ExitCode, Failure> {
    let site = load::<Real>(&args.at.config)?;
    let year = year_of(&site, args.year)?;
    let proven = read::open(&site.data_dir).and_then(|log| read::prove(&log, year, args.n));
    let (proof, leaf) = proven.map_err(wrong("proving the row"))?;
    for (ending, content) in [("leaf", leaf), ("tlog-proof", proof.into_bytes())] {
        let path = args.out.join(format!("{}.{ending}", args.n));
        std::fs::write(&path, content).map_err(|error| {
            Failure::because(Failure::START, format!("writing {}", path.display()), &error)
        })?;
        println!("{}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

async fn export(args: ExportArgs) -> Result<ExitCode, Failure> {
    let site = load::<Real>(&args.why.at.config)?;
    if args.dir.exists() {
        let path = args.dir.display();
        return Err(Failure::new(
            Failure::WRONG,
            format!("{path} はすでにあります。 {path} is there already; name a folder to be made."),
        ));
    }
    let year = year_of(&site, args.year)?;
    let end = args
        .to
        .map_or(u64::try_from(leaf::MAX_INTEGER).unwrap_or(u64::MAX), |to| {
            to.saturating_add(1)
        });
    // Whose copy it is stands in the log before there is one.
    let wish = Wish::Export {
        year,
        from: args.from,
        to: end,
        openings: args.openings,
        reason: args.why.reason,
    };
    let before = signed_size(&site, year);
    order(&site, Ask::Log(wish)).await?;
    let signed = async {
        while signed_size(&site, year) <= before {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    // Without it the copy ends at the last checkpoint, and says how many rows it has.
    let _ = tokio::time::timeout(SIGNED_WITHIN, signed).await;
    let openings = args.openings.then_some((args.from, end));
    let (data, into) = (site.data_dir.clone(), args.dir);
    let exported = copy(&data, year, &into, openings)?;
    println!(
        "{}: {} 件、個人情報 {} 件。 {} rows, {} openings.",
        into.display(),
        exported.leaves,
        exported.openings,
        exported.leaves,
        exported.openings
    );
    Ok(ExitCode::SUCCESS)
}

/// Rows of a year that a checkpoint covers; 0 when that cannot be read.
fn signed_size(site: &Site<Real>, year: i64) -> u64 {
    let note = read::open(&site.data_dir).and_then(|log| read::last_note(&log, year));
    let note = note.ok().flatten();
    note.as_deref()
        .and_then(Note::parse)
        .map_or(0, |note| note.checkpoint().size)
}

fn copy(
    data: &Path,
    year: i64,
    into: &Path,
    openings: Option<(u64, u64)>,
) -> Result<read::Exported, Failure> {
    read::export(data, year, into, openings).map_err(wrong("copying the log"))
}
