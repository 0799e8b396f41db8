//! `yagura profile`: for people who write profiles.
//!
//! `test` reads a recording with a profile file as the controller would read the device, and
//! says what is wrong or missing; `list` shows what is built in. Nothing is asked of a device
//! and nothing is written.

use super::Failure;
use clap::{Args, Subcommand};
use room::device::Reading;
use room::profile::recording::{Recording, reading_text};
use room::profile::register::{Image, Space};
use room::profile::{Kind, Layout, LeftOut, Library, Oid, Profile, Unit};
use shared::NoData;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Prints a line; a reader that has gone away, as `head` does, is no failure.
macro_rules! say {
    ($($part:tt)*) => {
        say_text(&format!("{}\n", format_args!($($part)*)))
    };
}

fn say_text(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// Longest file that is read, in bytes.
const FILE_MAX: u64 = 32 * 1024 * 1024;
/// Reasons shown for rows that are left out.
const LEFT_OUT_LINES_MAX: usize = 60;
/// Arcs of `1.3.6.1.4.1.<maker>`.
const MAKER_ARCS: usize = 7;

#[derive(Debug, Subcommand)]
pub(super) enum ProfileCommand {
    /// Read a recording with a profile file, and say what is wrong (プロファイルを試す)
    #[command(
        after_long_help = "The recording has a line `oid|type|value` for each object (type: 2 integer, 4 text, 4x text in \
        hexadecimal, 6 object identifier, 65 counter, 66 gauge, 67 ticks, 70 64-bit counter). Parents named by `extends` are \
        looked for in the profile's folder and its sister folders first, then among the built-in ones. Exit code 1: the \
        profile is bad or does not fit the recording. The recording of a Modbus device has a line `holding 0x0082 = 0x2000` \
        for each register, several numbers or a \"text\" for those that follow each other, and `! 2` for exception 2."
    )]
    Test(TestArgs),
    /// Read a recording with the profile that the controller would choose (記録データを読む)
    Read(ReadArgs),
    /// List the built-in profiles (プロファイルの一覧)
    List,
}

#[derive(Debug, Args)]
pub(super) struct ReadArgs {
    /// What a device answered
    recording: PathBuf,
    /// Folder with profiles of one's own, as `profiles_dir` of a site
    #[arg(long, value_name = "DIR")]
    profiles: Option<PathBuf>,
    /// List the objects that nobody reads, instead of counting them
    #[arg(long)]
    unread: bool,
}

#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// The profile, a TOML file
    file: PathBuf,
    /// What a device answered
    recording: PathBuf,
    /// Print only the reading, as it is kept beside a recording
    #[arg(long)]
    reading: bool,
    /// List the objects that nobody reads, instead of counting them
    #[arg(long)]
    unread: bool,
}

pub(super) fn run(command: ProfileCommand) -> Result<ExitCode, Failure> {
    match command {
        ProfileCommand::Test(args) => test(&args),
        ProfileCommand::Read(args) => read_recording(&args),
        ProfileCommand::List => {
            list();
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn list() {
    let library = Library::builtin();
    let width = library
        .iter()
        .map(|profile| profile.name().len())
        .max()
        .unwrap_or(0);
    for profile in library.iter() {
        say!(
            "{:<width$}  {:<11} {}  ({})",
            profile.name(),
            profile.kind().word(),
            profile.title(),
            profile.source()
        );
    }
}

fn read_recording(args: &ReadArgs) -> Result<ExitCode, Failure> {
    let (library, bad) = crate::profiles::library(args.profiles.as_deref());
    for bad in bad {
        eprintln!("yagura: {bad}; this profile is left out");
    }
    let recording = recording(&args.recording)?;
    let Some(profile) = library.detect(&recording.identity(), |probe| recording.has(probe)) else {
        return Err(Failure::new(
            Failure::WRONG,
            format!("{}: no profile fits", args.recording.display()),
        ));
    };
    let (layout, reading) = recording.read(&profile);
    say_text(&reading_text(&reading));
    say!("");
    print_refused(&reading);
    print_left_out(&profile, &recording);
    print_unread(&profile, &layout, &recording, args.unread);
    Ok(ExitCode::SUCCESS)
}

fn recording(path: &Path) -> Result<Recording, Failure> {
    Recording::parse(&read(path)?).map_err(|bad| {
        Failure::new(
            Failure::WRONG,
            format!("{}:{}: {}", path.display(), bad.line, bad.problem),
        )
    })
}

fn test(args: &TestArgs) -> Result<ExitCode, Failure> {
    let name = stem(&args.file)?;
    let own = read(&args.file)?;
    let neighbours = neighbours(&args.file, &name)?;
    let mut texts = vec![(name.as_str(), own.as_str())];
    texts.extend(
        neighbours
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str())),
    );
    let (library, bad) = Library::builtin().with(&texts);
    // What is wrong with a neighbour matters only where this one extends it, and then it says so.
    if let Some(bad) = bad.iter().find(|bad| bad.profile == name) {
        let line = bad.line.map_or_else(String::new, |line| format!(":{line}"));
        return Err(Failure::new(
            Failure::WRONG,
            format!("{}{line}: {}", args.file.display(), bad.problem),
        ));
    }
    let profile = library.get(&name).ok_or_else(|| {
        Failure::new(
            Failure::WRONG,
            format!("{}: is not understood", args.file.display()),
        )
    })?;
    if profile.modbus().is_some() {
        return test_registers(args, profile, &read(&args.recording)?);
    }
    let recording = recording(&args.recording)?;
    let (layout, reading) = recording.read(profile);
    say_text(&reading_text(&reading));
    if args.reading {
        return Ok(ExitCode::SUCCESS);
    }
    let fits = print_fit(&library, profile, &recording);
    print_refused(&reading);
    print_left_out(profile, &recording);
    print_unread(profile, &layout, &recording, args.unread);
    Ok(if fits {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(Failure::WRONG)
    })
}

/// A Modbus device is not detected: its profile fits when it reads something.
fn test_registers(args: &TestArgs, profile: &Profile, text: &str) -> Result<ExitCode, Failure> {
    let image = Image::parse(text).map_err(|bad| {
        Failure::new(
            Failure::WRONG,
            format!("{}:{}: {}", args.recording.display(), bad.line, bad.problem),
        )
    })?;
    let reading = image.reading(profile);
    say_text(&reading_text(&reading));
    if args.reading {
        return Ok(ExitCode::SUCCESS);
    }
    say!("");
    let fits = reading.facts.iter().any(|fact| fact.value.is_ok());
    if !fits {
        say!("fit: NONE of the profile's registers is in the recording");
    }
    print_refused(&reading);
    let layout = profile.layout(&[]);
    let is_read = |space: Space, at: u16| {
        layout.registers().any(|register| {
            let start = register.address;
            start.space == space
                && at >= start.at
                && u32::from(at - start.at) < u32::from(register.kind.words())
        })
    };
    let unread: Vec<String> = image
        .iter()
        .filter(|(space, at, _)| !is_read(*space, *at))
        .map(|(space, at, _)| format!("{space}:{at}"))
        .collect();
    say!("unread: {} registers", unread.len());
    if args.unread && !unread.is_empty() {
        say!("  {}", unread.join(" "));
    }
    Ok(if fits {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(Failure::WRONG)
    })
}

/// True when the detector would choose this profile for the device.
fn print_fit(library: &Library, profile: &Arc<Profile>, recording: &Recording) -> bool {
    say!("");
    if profile.kind() == Kind::Part {
        say!("fit: a part fits no device by itself");
        return true;
    }
    let identity = recording.identity();
    let fitting: Vec<_> = library
        .candidates(&identity)
        .into_iter()
        .filter(|(_, candidate)| candidate.probes().iter().any(|probe| recording.has(probe)))
        .collect();
    let id = identity
        .sys_object_id
        .as_ref()
        .map_or_else(|| "no sysObjectID".to_owned(), |id| id.to_string());
    match fitting.first() {
        Some((rank, best)) if best.name() == profile.name() => {
            say!("fit: this profile is chosen for {id}");
            match fitting.get(1) {
                Some((second, other)) if second == rank => {
                    say!(
                        "     BUT {} fits equally well: give one a higher preference",
                        other.name()
                    );
                    false
                }
                _ => true,
            }
        }
        Some((_, best)) => {
            say!("fit: NOT CHOSEN for {id}; {} is", best.name());
            match profile.rank(&identity) {
                None => say!("     neither sys_object_id nor sys_descr fits, and not by_probe_alone"),
                Some(_) if !profile.probes().iter().any(|probe| recording.has(probe)) => {
                    say!("     none of its probes is there");
                }
                Some(_) => say!("     its sys_object_id is shorter, or its preference lower"),
            }
            false
        }
        None => {
            say!("fit: NOT CHOSEN for {id}; nor is any other");
            false
        }
    }
}

fn print_refused(reading: &Reading) {
    let refused: Vec<_> = reading
        .facts
        .iter()
        .filter_map(|fact| Some((fact, fact.value.as_ref().err()?)))
        .filter(|(fact, _)| !fact.raw.is_empty())
        .collect();
    say!("refused: {}", refused.len());
    for (fact, reason) in refused {
        let why = match reason {
            NoData::Sentinel => "the device's way to say `not measured`",
            NoData::Implausible if fact.unit == Unit::None.symbol() => "has no word in the profile",
            NoData::Implausible => "cannot be",
            NoData::NotSupported => "is of another type than the profile expects",
            other => other.word(),
        };
        say!("  {} = {} {why}  ({})", fact.name, fact.raw, fact.at);
    }
}

fn print_left_out(profile: &Profile, recording: &Recording) {
    let left_out = profile.explain(&recording.rows(&profile.roots()));
    say!("rows left out: {}", left_out.len());
    // A line for each fact and reason; the reasons of one condition differ by the value seen.
    let mut lines: Vec<(&LeftOut, usize)> = Vec::new();
    for row in &left_out {
        match lines
            .iter_mut()
            .find(|(known, _)| known.fact == row.fact && known.because == row.because)
        {
            Some((_, count)) => *count += 1,
            None => lines.push((row, 1)),
        }
    }
    for (row, count) in lines.iter().take(LEFT_OUT_LINES_MAX) {
        let more = match count {
            1 => String::new(),
            _ => format!(" and {} more", count - 1),
        };
        say!("  {}  {}{more}: {}", row.fact, row.at, row.because);
    }
    if let Some(rest) = lines
        .len()
        .checked_sub(LEFT_OUT_LINES_MAX)
        .filter(|rest| *rest > 0)
    {
        say!("  and {rest} lines more");
    }
}

/// Columns below the maker's own subtrees that no fact and no attribute reads.
fn print_unread(profile: &Profile, layout: &Layout, recording: &Recording, list: bool) {
    let roots = profile.roots();
    let read: BTreeSet<Oid> = layout.oids().into_iter().chain(roots.scalars).collect();
    let makers: Vec<Oid> = makers(profile, &read);
    let mut columns: Vec<(Oid, usize, String)> = Vec::new();
    for (oid, value) in recording.iter() {
        let is_read = read.contains(oid) || roots.columns.iter().any(|column| oid.is_under(column));
        if is_read || !makers.iter().any(|maker| oid.is_under(maker)) {
            continue;
        }
        // Without a MIB the end of the index is not known; the instance's first object that is
        // not read stands for what follows it with the same beginning.
        let arcs = oid.arcs();
        let Ok(column) = Oid::new(arcs[..arcs.len() - 1].to_vec()) else {
            continue;
        };
        match columns.last_mut() {
            Some((last, count, _)) if *last == column => *count += 1,
            _ => columns.push((column, 1, value.to_string())),
        }
    }
    let objects: usize = columns.iter().map(|(_, count, _)| count).sum();
    say!(
        "unread: {objects} objects in {} columns{}",
        columns.len(),
        if list || columns.is_empty() {
            ""
        } else {
            "; --unread lists them"
        }
    );
    if list {
        for (column, count, example) in columns {
            say!("  {column}.*  {count}, the first is {example}");
        }
    }
}

/// The makers' subtrees that the profile is about.
fn makers(profile: &Profile, read: &BTreeSet<Oid>) -> Vec<Oid> {
    let mut list: Vec<Oid> = Vec::new();
    let named = profile
        .sys_object_ids()
        .iter()
        .chain(profile.probes())
        .chain(read);
    for oid in named {
        let arcs = oid.arcs();
        let is_enterprise = arcs.starts_with(&[1, 3, 6, 1, 4, 1]);
        if let Some(arcs) = arcs.get(..MAKER_ARCS)
            && is_enterprise
            && let Ok(maker) = Oid::new(arcs.to_vec())
            && !list.contains(&maker)
        {
            list.push(maker);
        }
    }
    list
}

/// Every other profile file of this folder and of its sister folders.
fn neighbours(file: &Path, name: &str) -> Result<Vec<(String, String)>, Failure> {
    let absolute = std::path::absolute(file).map_err(|error| Failure::read(file, error))?;
    let folder = absolute.parent().unwrap_or(Path::new("/"));
    let mut folders = vec![folder.to_path_buf()];
    if let Some(above) = folder.parent().filter(|above| above.ends_with("profiles")) {
        folders.extend(
            entries(above)
                .into_iter()
                .filter(|path| path.is_dir() && path != folder),
        );
    }
    let mut found: Vec<(String, String)> = Vec::new();
    for path in folders.iter().flat_map(|folder| entries(folder)) {
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let other = stem(&path)?;
        if other != name && !found.iter().any(|(known, _)| *known == other) {
            found.push((other, read(&path)?));
        }
    }
    Ok(found)
}

/// By name; a folder that cannot be read has none.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    paths.sort();
    paths
}

fn stem(path: &Path) -> Result<String, Failure> {
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    stem.map(str::to_owned).ok_or_else(|| {
        Failure::new(
            Failure::WRONG,
            format!(
                "{}: the name of a profile is the name of its file",
                path.display()
            ),
        )
    })
}

fn read(path: &Path) -> Result<String, Failure> {
    let size = fs::metadata(path)
        .map_err(|error| Failure::read(path, error))?
        .len();
    if size > FILE_MAX {
        return Err(Failure::new(
            Failure::START,
            format!("{}: longer than {FILE_MAX} bytes", path.display()),
        ));
    }
    let bytes = fs::read(path).map_err(|error| Failure::read(path, error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
