//! `yagura-verify`: reads what it is given on the command line, asks the library, prints the verdicts.
//! Exit code 0 good, 1 bad, 2 cannot tell; a wrong command line or an unreadable policy is "cannot tell".

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};
use yagura_verify::forms::{decimal, from_rfc3339};
use yagura_verify::leaf::MAX_LEAF;
use yagura_verify::lines::Lines;
use yagura_verify::note::{MAX_NOTE, Note, parse};
use yagura_verify::policy::{MAX_SEEN, Seen};
use yagura_verify::proof::{self, MAX_PROOF};
use yagura_verify::witnesses::{MAX_SEEN_LINE, seen_line};
use yagura_verify::{Ask, Policy, Source, verify};

/// Bytes of a policy at most.
const MAX_POLICY: u64 = 4 << 20;
/// Notes of one file at most.
const MAX_NOTES: usize = 10_000;
/// Minutes of a standstill that are only remarked.
const GAP_MIN: u64 = 60;
/// Minutes that can be asked for at most: two years.
const MAX_GAP_MIN: u64 = 2 * 366 * 24 * 60;

const HELP: &str = "\
yagura-verify  入退室の記録（書き出したもの）を検査する / checks an export of the entry log

  yagura-verify --policy FILE DIR             書き出したフォルダー / an exported folder
  yagura-verify --policy FILE --row N.tlog-proof [N.leaf]   1 行とその証明 / one row and its proof

  --policy FILE       検証鍵と証人 / the log's key and the witnesses:
                        log KEY | witness NAME [KEY] | seen NAME SIZE ROOT [TIME] | quorum N
  --note [NAME=]FILE  別に保管した控え（複数可） / notes kept elsewhere, held by NAME
  --seen FILE         別に保管した証人の記録（seen.jsonl の形） / what witnesses said, kept elsewhere
  --until TIME        この時まで続いているか（例 2027-03-31T17:00:00+09:00） / must reach to this moment
  --gap MINUTES       この長さまでの停止は可とする（既定 60） / standstills up to this are only remarked
  --json              機械向け / for machines

終了コード exit code: 0 良 good, 1 不良 bad, 2 判定できない cannot tell
";

fn main() -> ExitCode {
    let arguments = std::env::args_os().skip(1).map(|argument| argument.into_string());
    let result = arguments
        .collect::<Result<Vec<String>, _>>()
        .map_err(|_| "an argument that is not UTF-8".to_owned())
        .and_then(|arguments| run(&arguments));
    let (text, code) = match result {
        Ok(done) => done,
        Err(why) => {
            let _ = writeln!(io::stderr(), "判定できない / cannot tell: {why}");
            return ExitCode::from(2);
        }
    };
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::from(code),
        // Nobody has read the verdict.
        Err(_) => ExitCode::from(2),
    }
}

/// Runs one check; gives what to print and the exit code.
fn run(arguments: &[String]) -> Result<(String, u8), String> {
    let mut ask = Ask {
        now: now(),
        gap_ms: minutes(GAP_MIN),
        ..Ask::default()
    };
    let (mut json, mut row, mut paths) = (false, false, Vec::new());
    let mut left = arguments.iter();
    let mut policy = None;
    while let Some(argument) = left.next() {
        let mut value = || left.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--help" | "-h" => return Ok((HELP.to_owned(), 0)),
            "--json" => json = true,
            "--row" => row = true,
            "--policy" if policy.is_some() => return Err("--policy is given twice".to_owned()),
            "--policy" => {
                let file = value()?;
                policy =
                    Some(Policy::parse(&text(file, MAX_POLICY)?).map_err(|why| format!("{file}: {why}"))?);
            }
            "--note" => ask.notes.extend(notes(value()?)?),
            "--seen" => ask.seen.extend(seen(value()?)?),
            "--until" => {
                let until =
                    from_rfc3339(value()?).ok_or("--until needs a time such as 2027-03-31T17:00:00+09:00")?;
                ask.until = Some(until);
            }
            "--gap" => {
                let gap = decimal(value()?).filter(|gap| *gap <= MAX_GAP_MIN);
                ask.gap_ms = minutes(gap.ok_or("--gap needs a number of minutes")?);
            }
            unknown if unknown.starts_with("--") => return Err(format!("{unknown} is unknown; see --help")),
            path => paths.push(PathBuf::from(path)),
        }
    }
    ask.policy = policy.unwrap_or_default();
    let held = ask.notes.iter().filter_map(|(holder, _)| holder.as_ref());
    if let Some(name) = held
        .chain(ask.seen.iter().map(|seen| &seen.witness))
        .find(|name| !ask.policy.counts(name))
    {
        return Err(format!("{name}: the policy has no such witness"));
    }
    let report = match (row, &paths[..]) {
        (true, [proof]) => check_row(&proof.with_extension("leaf"), proof, &ask)?,
        (true, [proof, row]) => check_row(row, proof, &ask)?,
        (false, [folder]) if folder.is_dir() => verify(&Folder(folder.clone()), &ask),
        (false, [folder]) => return Err(format!("{}: no such folder", folder.display())),
        _ => return Err("which export? see --help".to_owned()),
    };
    let text = if json { report.json() + "\n" } else { report.text() };
    Ok((text, report.exit_code()))
}

fn check_row(row: &Path, proof: &Path, ask: &Ask) -> Result<yagura_verify::Report, String> {
    let mut row = bytes(row, MAX_LEAF as u64 + 1)?;
    if row.last() == Some(&b'\n') {
        row.pop();
    }
    let proof = bytes(proof, MAX_PROOF as u64)?;
    Ok(proof::verify(&row, &proof, ask))
}

/// `NAME=FILE` or `FILE`: one note, or several, each followed by a line `---`.
fn notes(argument: &str) -> Result<Vec<(Option<String>, Note)>, String> {
    let (name, file) = match argument.split_once('=') {
        Some((name, file)) => (Some(name.to_owned()), file),
        None => (None, argument),
    };
    let text = text(file, (MAX_NOTE * MAX_NOTES) as u64)?;
    let mut found = Vec::new();
    for note in text.split_inclusive("\n---\n") {
        let note = note.strip_suffix("---\n").unwrap_or(note);
        let note = parse(note.as_bytes()).map_err(|why| format!("{file}: {why}"))?;
        found.push((name.clone(), note));
    }
    if found.is_empty() || found.len() > MAX_NOTES {
        return Err(format!("{file}: between 1 and {MAX_NOTES} notes are read"));
    }
    Ok(found)
}

fn seen(file: &str) -> Result<Vec<Seen>, String> {
    let opened = File::open(file).map_err(|why| format!("{file}: {why}"))?;
    let mut lines = Lines::new(io::BufReader::new(opened), MAX_SEEN_LINE);
    let mut found = Vec::new();
    while let Some(line) = lines.next_line().map_err(|why| format!("{file}: {why:?}"))? {
        let wrong = || format!("{file}: line {} is not at, root, size, witness", found.len() + 1);
        found.push(seen_line(line).ok_or_else(wrong)?);
        if found.len() > MAX_SEEN {
            return Err(format!("{file}: more than {MAX_SEEN} lines"));
        }
    }
    Ok(found)
}

fn bytes(file: &Path, max: u64) -> Result<Vec<u8>, String> {
    let wrong = |why: io::Error| format!("{}: {why}", file.display());
    let mut bytes = Vec::new();
    let opened = File::open(file).map_err(wrong)?;
    opened.take(max + 1).read_to_end(&mut bytes).map_err(wrong)?;
    if bytes.len() as u64 > max {
        return Err(format!("{}: longer than {max} bytes", file.display()));
    }
    Ok(bytes)
}

fn text(file: &str, max: u64) -> Result<String, String> {
    String::from_utf8(bytes(Path::new(file), max)?).map_err(|_| format!("{file}: not UTF-8"))
}

fn minutes(minutes: u64) -> i64 {
    minutes.cast_signed() * 60_000
}

#[expect(
    clippy::disallowed_methods,
    reason = "whether a log reaches to now is asked of the checker's own clock"
)]
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// An export on disk.
struct Folder(PathBuf);

impl Source for Folder {
    fn open(&self, name: &str) -> io::Result<Option<Box<dyn Read + '_>>> {
        match File::open(self.0.join(name)) {
            Ok(file) => Ok(Some(Box::new(file))),
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(why) => Err(why),
        }
    }
}
