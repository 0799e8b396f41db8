//! `cargo xtask fuzz`: every decoder that strangers can reach, fed by libFuzzer for a bounded time.
//!
//! The targets are in `firmware/fuzz` (what reaches a node) and `controller/fuzz` (what devices
//! answer). What a run learnt stays in `firmware/target/fuzz/corpus`
//! and the next run begins there; the first begins with the golden frames and a good example of
//! everything else. An input that breaks something is kept in `firmware/target/fuzz/found`, and
//! the command fails. It is not part of `cargo xtask test`: it needs a nightly compiler.

use crate::stage::{End, Stages, has, program, quiet, root};
use shared::access::{Entry, ListHead, UnsetClock};
use shared::board::Board;
use shared::console;
use shared::image::{file_head, unsigned_head};
use shared::mount::{Mount, Part};
use shared::provision::Provision;
use shared::wire::Version;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Seconds for each target.
pub(crate) const SECONDS: u64 = 60;
/// Longest input in bytes: several of the longest frames in a row.
const MAX_LEN: u32 = 4096;
/// Seconds after which one input counts as hanging.
const HANGS_S: u32 = 10;
/// Most memory in megabytes.
const MEMORY_MB: u32 = 1024;

/// What a target begins with.
type Seeds = fn() -> Vec<Vec<u8>>;

const NODE: &str = "firmware/fuzz";
const DEVICES: &str = "controller/fuzz";

/// The targets.
const TARGETS: [(&str, &str, Seeds); 20] = [
    (NODE, "wire", frames),
    (NODE, "guard", frames),
    (NODE, "provision", blocks),
    (NODE, "access", lists),
    (NODE, "image", images),
    (NODE, "pn532", reader),
    (NODE, "update", updates),
    (NODE, "modbus", probes),
    (NODE, "parts", tables),
    (NODE, "memory", memories),
    (NODE, "node", frames),
    (NODE, "console", typed),
    (DEVICES, "profile", profiles),
    (DEVICES, "layout", recordings),
    (DEVICES, "registers", registers),
    (DEVICES, "nut", variables),
    (DEVICES, "megatec", status_lines),
    (DEVICES, "snmp", datagrams),
    (DEVICES, "modbus", frames_of_a_line),
    (DEVICES, "nut-lines", lines_of_nut),
];

/// Runs every target, or the one named, for `seconds` each.
///
/// # Errors
/// When nightly or cargo-fuzz is missing, there is no such target, or one found something.
pub(crate) fn run(only: Option<&str>, seconds: u64) -> Result<(), String> {
    if let Some(missing) = missing() {
        return Err(missing);
    }
    let wanted: Vec<_> = TARGETS
        .iter()
        .filter(|(_, name, _)| only.is_none_or(|only| only == *name))
        .collect();
    if wanted.is_empty() {
        let known: Vec<&str> = TARGETS.iter().map(|(_, name, _)| *name).collect();
        return Err(format!("no such target; there is: {}", known.join(", ")));
    }
    let mut stages = Stages::new(wanted.len() + 1, false);
    let mut built = true;
    stages.run("build", || {
        let mut folders: Vec<&str> = wanted.iter().map(|(folder, ..)| *folder).collect();
        folders.dedup();
        let end = folders
            .into_iter()
            .try_for_each(|folder| quiet(&mut fuzz(folder, &["build"])).map(|_| ()));
        built = end.is_ok();
        end.into()
    });
    for (folder, name, seeds) in wanted.into_iter().filter(|_| built) {
        stages.run(name, || target(folder, name, &seeds(), seconds));
    }
    stages.finish()
}

/// What to install, if anything.
fn missing() -> Option<String> {
    let nightly = quiet(&mut program("rustup", &["toolchain", "list"]))
        .is_ok_and(|list| list.lines().any(|line| line.starts_with("nightly")));
    if !nightly {
        return Some(
            "no nightly compiler: run `rustup toolchain install nightly --profile minimal`".to_owned(),
        );
    }
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo/bin/cargo-fuzz"));
    if !has("cargo-fuzz") && !home.is_some_and(|path| path.is_file()) {
        return Some("cargo-fuzz is not installed: run `cargo install --locked cargo-fuzz`".to_owned());
    }
    if !has("c++") {
        return Some("no C++ compiler, which libFuzzer is built with: run `apt-get install g++`".to_owned());
    }
    None
}

fn work() -> PathBuf {
    root().join("firmware/target/fuzz")
}

/// `cargo fuzz` of the nightly toolchain. Address checks are left out: the code under test forbids
/// `unsafe`, and without them it is several times as fast.
fn fuzz(folder: &str, args: &[&str]) -> Command {
    let mut command = program("rustup", &["run", "nightly", "cargo", "fuzz"]);
    command
        .args(args)
        .args(["--fuzz-dir", folder, "--sanitizer", "none", "--target-dir"])
        .arg(work())
        .current_dir(root());
    // What the cargo above us says of its toolchain and flags is not for this one.
    for name in [
        "RUSTC",
        "RUSTDOC",
        "CARGO",
        "RUSTFLAGS",
        "RUSTUP_TOOLCHAIN",
        "CARGO_TARGET_DIR",
    ] {
        command.env_remove(name);
    }
    command
}

fn target(folder: &str, name: &str, seeds: &[Vec<u8>], seconds: u64) -> End {
    let (corpus, found) = (work().join("corpus").join(name), work().join("found").join(name));
    for folder in [&corpus, &found] {
        if let Err(why) = fs::create_dir_all(folder) {
            return End::Failed(format!("cannot make {}: {why}", folder.display()));
        }
    }
    for (number, seed) in seeds.iter().enumerate() {
        let file = corpus.join(format!("seed-{number}"));
        if let Err(why) = fs::write(&file, seed) {
            return End::Failed(format!("cannot write {}: {why}", file.display()));
        }
    }
    let mut command = fuzz(folder, &["run", name]);
    command.arg(&corpus).arg("--").args([
        format!("-max_total_time={seconds}"),
        format!("-max_len={MAX_LEN}"),
        format!("-timeout={HANGS_S}"),
        format!("-rss_limit_mb={MEMORY_MB}"),
        format!("-artifact_prefix={}/", found.display()),
        "-print_final_stats=1".to_owned(),
    ]);
    let output = match command.output() {
        Ok(output) => output,
        Err(why) => return End::Failed(format!("cannot start cargo-fuzz: {why}")),
    };
    let text = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        return End::Done(summary(&text));
    }
    eprint!("{}", last_lines(&text, 40));
    End::Failed(format!("see above; the input is in {}", found.display()))
}

/// How much was tried, from libFuzzer's last words.
fn summary(text: &str) -> String {
    let number = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name))
            .map_or("?", str::trim)
            .to_owned()
    };
    let covered = text
        .lines()
        .rev()
        .find_map(|line| line.split("cov: ").nth(1)?.split_whitespace().next())
        .unwrap_or("?");
    format!(
        "{} inputs, {covered} branches reached, {} MB",
        number("stat::number_of_executed_units:"),
        number("stat::peak_rss_mb:")
    )
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(count);
    lines[from..].iter().map(|line| format!("{line}\n")).collect()
}

/// The golden frames, and their bodies without what is around them.
fn frames() -> Vec<Vec<u8>> {
    let golden = root().join("shared/golden/wire-v1.txt");
    fs::read_to_string(golden)
        .unwrap_or_default()
        .lines()
        .filter_map(|line| unhex(line.split_whitespace().nth(1)?))
        .collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    (0..text.len() / 2)
        .map(|at| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok())
        .collect()
}

fn block() -> Provision {
    Provision::new(7, 1, [5; 32], [10, 0, 2, 2], 1883).with_mounts(&[
        Mount::new(Part::Contact, 0, 0),
        Mount::new(Part::Sht4x, 0x44, 0),
        Mount::new(Part::Sht4x, 0x44, 1),
    ])
}

fn blocks() -> Vec<Vec<u8>> {
    vec![block().encode().to_vec(), vec![0xff; 512]]
}

fn lists() -> Vec<Vec<u8>> {
    let head = ListHead {
        version: 9,
        count: 1,
        utc_offset_min: 540,
        unset_clock: UnsetClock::AllowAndFlag,
        stale_after_days: 14,
        holidays: [20_781].into_iter().collect(),
    };
    let entry = Entry::decode(&[0x21; 16]);
    let time = 1_795_000_000_000_u64.to_le_bytes();
    vec![[&head.encode()[..], &entry.encode(), &time].concat()]
}

fn images() -> Vec<Vec<u8>> {
    let image = [3; 64];
    let head = unsigned_head(Board::Rp2040W5500, Version(1, 0, 0), &image);
    let mark = shared::image::mark(Board::Rp2040W5500, Version(1, 0, 0));
    vec![[&file_head(&head)[..], &image].concat(), mark.to_vec()]
}

/// An acknowledgement, the answer to GetFirmwareVersion, a Type A and a FeliCa card (NXP UM0701-02
/// sections 6.2.1.3, 7.2.2, 7.3.5).
fn reader() -> Vec<Vec<u8>> {
    let ack = [0x00, 0x00, 0xff, 0x00, 0xff, 0x00];
    let frame = |data: &[u8]| {
        let len = data.len() as u8;
        let sum = data.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        let mut bytes = vec![0, 0, 0xff, len, len.wrapping_neg()];
        bytes.extend(data);
        bytes.extend([sum.wrapping_neg(), 0]);
        bytes
    };
    let version = frame(&[0xd5, 0x03, 0x32, 0x01, 0x06, 0x07]);
    let type_a = frame(&[0xd5, 0x4b, 1, 1, 0, 4, 8, 4, 0xde, 0xad, 0xbe, 0xef]);
    let felica = frame(&[
        0xd5, 0x4b, 1, 1, 18, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
    ]);
    let all = [&ack[..], &version, &ack, &type_a, &ack, &felica].concat();
    vec![ack.to_vec(), version, type_a, felica, all]
}

/// Waits, lengths and bytes of a line: good, refused, disturbed.
fn probes() -> Vec<Vec<u8>> {
    let answer = [1, 4, 4, 0x01, 0x31, 0x02, 0x22, 0x2a, 0xce];
    let refusal = [1, 0x84, 2, 0xc2, 0xc1];
    let good = [
        &[0, 0, 30, 9][..],
        &answer,
        &[255, 0, 255, 0, 255, 0, 255, 0, 30, 9],
        &answer,
    ]
    .concat();
    let refused = [&[0, 0, 30, 5][..], &refusal, &[50, 0, 30, 9], &answer].concat();
    let late = [&[0, 0, 201, 0, 50, 12, 0, 1, 4][..], &answer].concat();
    vec![good, refused, late]
}

/// An answer with one value, one with an error, and a trap of version 1 (RFC 1157 4.1).
fn datagrams() -> Vec<Vec<u8>> {
    let answer = "302902010104067075626c6963a21c02047fffffff020100020100300e300c06082b0601020101030043002a";
    let error = "302702010004067075626c6963a21a02047fffffff020102020101300c300a06062b060102010105 00";
    let trap = "302c02010004067075626c6963a41f06062b06010401014004 7f000001020106020101430101300a300806042b06010105 00";
    let spaces = |text: &str| text.replace(' ', "");
    [answer, error, trap]
        .map(|text| unhex(&spaces(text)).unwrap_or_default())
        .to_vec()
}

/// A question, its answer in two pieces, and an answer that comes late.
fn frames_of_a_line() -> Vec<Vec<u8>> {
    let question = [0x80 | 12, 0, 7, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1];
    let (first, second) = ([4, 0, 7, 0, 0], [7, 0, 5, 1, 3, 2, 0, 42]);
    let late = [11, 0, 6, 0, 0, 0, 5, 1, 3, 2, 0, 41];
    vec![[&question[..], &late, &first, &second].concat()]
}

fn lines_of_nut() -> Vec<Vec<u8>> {
    let lines = [
        "VAR ups battery.charge \"100\"",
        "BEGIN LIST VAR ups",
        "END LIST VAR ups",
        "UPS ups \"a \\\"name\\\"\"",
        "ERR ACCESS-DENIED",
        "OK STARTTLS",
        "SET VAR ups ups.id \"x\"",
    ];
    lines.map(|line| line.as_bytes().to_vec()).to_vec()
}

/// A row count, the rows, a byte for the rail, and what the bus answers.
fn tables() -> Vec<Vec<u8>> {
    Part::ALL
        .into_iter()
        .flat_map(|part| [0, 1, 2].map(|output| Mount::new(part, 0x48, output).encode()))
        .map(|row| [&[1][..], &row, &[1], &[2; 300]].concat())
        .collect()
}

/// Begin, send, end: a whole image of each size; and the steps one by one.
fn updates() -> Vec<Vec<u8>> {
    vec![
        vec![0, 0, 2, 0, 2, 5, 7, 7, 7, 6],
        vec![0, 0x80, 2, 0, 0x82, 0x85, 0x87, 0x87],
        (0..=255).collect(),
    ]
}

/// A piece in the header, one in a slot of the ring, one in a list.
fn memories() -> Vec<Vec<u8>> {
    let piece = |page: u8, at: u8| [&[page, at][..], &[60; 61]].concat();
    vec![[piece(0x84, 0), piece(0xc8, 64), piece(0x88, 0)].concat()]
}

/// Texts of files below a folder of the profiles, each with a byte before it when it chooses one.
fn texts(extension: &str, before: Option<u8>) -> Vec<Vec<u8>> {
    let below = |folder: PathBuf| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let mut files: Vec<PathBuf> = below(root().join("controller/room/profiles"));
    for _ in 0..2 {
        let folders: Vec<PathBuf> = files.iter().filter(|path| path.is_dir()).cloned().collect();
        files.extend(folders.into_iter().flat_map(below));
    }
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files.sort();
    files.dedup();
    files
        .iter()
        .filter_map(|path| fs::read(path).ok())
        .filter(|text| text.len() < MAX_LEN as usize)
        .map(|text| before.into_iter().chain(text).collect())
        .collect()
}

fn profiles() -> Vec<Vec<u8>> {
    texts("toml", None)
}

fn recordings() -> Vec<Vec<u8>> {
    texts("snmprec", Some(0))
}

fn registers() -> Vec<Vec<u8>> {
    texts("registers", Some(0))
}

fn variables() -> Vec<Vec<u8>> {
    vec![
        b"ups.status=OL CHRG\nbattery.charge=98\nbattery.runtime=1200\ninput.voltage=101.5\nups.load=34\n"
            .to_vec(),
        b"ups.status=OB LB DISCHRG\nbattery.charge=12\nups.test.result=Done and passed\n".to_vec(),
    ]
}

fn status_lines() -> Vec<Vec<u8>> {
    vec![
        b"(101.0 101.0 100.8 034 60.0 27.3 25.0 00001000".to_vec(),
        b"(000.0 000.0 100.8 034 60.0 24.1 25.0 11001000".to_vec(),
        b"#100.0 015 024.0 60.0".to_vec(),
    ]
}

/// A whole provisioning, and questions.
fn typed() -> Vec<Vec<u8>> {
    let block = block().encode();
    let chunks = (0..console::CHUNKS).map(|n| console::chunk(&block, n).to_string());
    let lines: Vec<String> = std::iter::once("begin".to_owned())
        .chain(chunks)
        .chain([console::commit(&block).to_string()])
        .collect();
    vec![
        b"?\nstatus\nerase 7\n".to_vec(),
        (lines.join("\n") + "\n").into_bytes(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_there_and_has_something_to_begin_with() {
        for (folder, name, seeds) in TARGETS {
            let file = root().join(format!("{folder}/targets/{name}.rs"));
            assert!(file.is_file(), "{} is missing", file.display());
            assert!(seeds().iter().any(|seed| seed.len() > 4), "{name}");
        }
        assert!(frames().len() > 20, "the golden frames are read");
    }

    #[test]
    fn the_summary_says_how_much_was_tried() {
        let text = "#2 INITED cov: 10 ft: 12\n#9 DONE   cov: 812 ft: 2000 corp: 300\n\
                    stat::number_of_executed_units: 123456\nstat::peak_rss_mb:              57\n";
        assert_eq!(summary(text), "123456 inputs, 812 branches reached, 57 MB");
    }
}
