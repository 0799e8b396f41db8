//! Builds the boards' firmware and says how much of flash and RAM it takes.
//!
//! The house's toolchain is enough when rustup has the board's target. Where it has not (a machine
//! without access to the Rust project's servers), Debian's rustc-web with its sources builds
//! `core` as well; that is good for the emulator and the tests, and not a toolchain to release
//! with. It never installs anything.

use crate::setup;
use crate::stage::{cargo, check, quiet, root};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A board that can be built.
struct Board {
    /// Its folder below `firmware/boards`, its package and its program.
    name: &'static str,
    target: &'static str,
    flash: u32,
    ram: u32,
}

const BOARDS: [Board; 1] = [Board {
    name: "lm3s6965",
    target: "thumbv7m-none-eabi",
    flash: 256 * 1024,
    ram: 64 * 1024,
}];

/// Debian's second compiler and its sources.
const WEB_RUSTC: &str = "/usr/bin/rustc";
const WEB_SOURCES: &str = "lib/rustlib/src/rust/library/core/Cargo.toml";

/// How a target can be built here.
enum Toolchain {
    /// The house's own, with the target installed.
    Rustup,
    /// Debian's rustc-web, which builds `core` itself, with the linker of the house's toolchain.
    Web { linker: PathBuf },
}

/// Why the firmware cannot be built here, if it cannot.
pub(crate) fn cannot_build() -> Option<String> {
    BOARDS.iter().find_map(|board| toolchain(board.target).err())
}

/// True when the house's own toolchain builds every board, and Debian's second one is not needed.
pub(crate) fn rustup_builds() -> bool {
    BOARDS
        .iter()
        .all(|board| matches!(toolchain(board.target), Ok(Toolchain::Rustup)))
}

/// Builds one board, or all of them, and prints flash and RAM use.
///
/// # Errors
/// When there is no such board, no toolchain for it, or the build fails.
pub(crate) fn run(board: Option<&str>) -> Result<(), String> {
    let wanted: Vec<&Board> = BOARDS
        .iter()
        .filter(|known| board.is_none_or(|name| name == known.name))
        .collect();
    if wanted.is_empty() {
        let known: Vec<&str> = BOARDS.iter().map(|board| board.name).collect();
        return Err(format!(
            "no board `{}`; there is: {}",
            board.unwrap_or_default(),
            known.join(", ")
        ));
    }
    wanted.into_iter().try_for_each(build)
}

fn build(board: &Board) -> Result<(), String> {
    let folder = root().join("firmware");
    let target_dir = folder.join("target");
    let mut command = cargo(&[
        "build",
        "--release",
        "--package",
        board.name,
        "--target",
        board.target,
    ]);
    command
        .current_dir(&folder)
        .arg("--target-dir")
        .arg(&target_dir)
        // Flags for the host's programs are not for a board.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    match toolchain(board.target)? {
        Toolchain::Rustup => {}
        Toolchain::Web { linker } => {
            let target = board.target.replace('-', "_").to_uppercase();
            command
                .args(["-Zbuild-std=core", "-Zbuild-std-features=compiler-builtins-mem"])
                .env("RUSTC", WEB_RUSTC)
                .env("RUSTC_BOOTSTRAP", "1")
                .env(format!("CARGO_TARGET_{target}_LINKER"), linker);
        }
    }
    check(&mut command)?;
    let elf = target_dir.join(board.target).join("release").join(board.name);
    let image = fs::read(&elf).map_err(|why| format!("reading {}: {why}", elf.display()))?;
    let size = Size::of(&image).ok_or_else(|| format!("{} is no 32-bit ELF file", elf.display()))?;
    println!("{}: {}", board.name, elf.display());
    print_use("flash", size.text + size.data, board.flash);
    print_use("RAM without stack", size.data + size.bss, board.ram);
    println!("  text {}, data {}, bss {}", size.text, size.data, size.bss);
    Ok(())
}

fn print_use(what: &str, used: u32, of: u32) {
    let percent = f64::from(used) * 100.0 / f64::from(of);
    println!("  {what:<18} {used:>7} of {of} bytes ({percent:.1} %)");
}

fn toolchain(target: &str) -> Result<Toolchain, String> {
    let sysroot = sysroot("rustc").ok_or("no rustc: install Rust with rustup (https://rustup.rs)")?;
    if sysroot.join("lib/rustlib").join(target).join("lib").is_dir() {
        return Ok(Toolchain::Rustup);
    }
    let web = sysroot_of_web().is_some_and(|web| web.join(WEB_SOURCES).exists());
    let linker = linker(&sysroot);
    match (web, linker) {
        (true, Some(linker)) => Ok(Toolchain::Web { linker }),
        (true, None) => Err(format!("rust-lld is missing below {}", sysroot.display())),
        (false, _) => Err(format!(
            "no toolchain for {target}: run `rustup target add {target}`, or, where rustup cannot \
             reach its servers, `apt-get install rustc-web rust-web-src`"
        )),
    }
}

fn sysroot_of_web() -> Option<PathBuf> {
    // The plain rustc of Debian lies at the same place and is too old.
    setup::installed("rustc-web")
        .then(|| sysroot(WEB_RUSTC))
        .flatten()
}

fn sysroot(rustc: &str) -> Option<PathBuf> {
    let mut command = Command::new(rustc);
    let text = quiet(command.args(["--print", "sysroot"]).current_dir(root())).ok()?;
    Some(PathBuf::from(text.trim()))
}

/// `rust-lld` of the house's toolchain; rustc-web comes without one.
fn linker(sysroot: &Path) -> Option<PathBuf> {
    let hosts = fs::read_dir(sysroot.join("lib/rustlib")).ok()?;
    hosts
        .filter_map(Result::ok)
        .map(|host| host.path().join("bin/rust-lld"))
        .find(|linker| linker.exists())
}

/// What an image takes, in bytes.
#[derive(Debug, PartialEq, Eq, Default)]
struct Size {
    /// Code and constants, in flash.
    text: u32,
    /// Initialised variables, in flash and RAM.
    data: u32,
    /// Other variables, in RAM.
    bss: u32,
}

impl Size {
    /// Adds up the sections of a 32-bit little-endian ELF file that are loaded.
    fn of(elf: &[u8]) -> Option<Self> {
        const WRITE: u32 = 1;
        const ALLOC: u32 = 2;
        const NOBITS: u32 = 8;
        if elf.get(..6)? != b"\x7fELF\x01\x01" {
            return None;
        }
        let half = |at: usize| {
            Some(usize::from(u16::from_le_bytes(
                elf.get(at..at + 2)?.try_into().ok()?,
            )))
        };
        let word = |at: usize| Some(u32::from_le_bytes(elf.get(at..at + 4)?.try_into().ok()?));
        let (table, entry, count) = (word(32)? as usize, half(46)?, half(48)?);
        let mut size = Self::default();
        for section in 0..count {
            let at = table + section * entry;
            let (kind, flags, length) = (word(at + 4)?, word(at + 8)?, word(at + 20)?);
            match (flags & ALLOC != 0, kind == NOBITS, flags & WRITE != 0) {
                (false, ..) => {}
                (_, true, _) => size.bss += length,
                (_, _, true) => size.data += length,
                (_, _, false) => size.text += length,
            }
        }
        Some(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file of nothing but a header and sections of (type, flags, length).
    fn elf(sections: &[(u32, u32, u32)]) -> Vec<u8> {
        let mut file = vec![0; 52];
        file[..6].copy_from_slice(b"\x7fELF\x01\x01");
        file[32..36].copy_from_slice(&52_u32.to_le_bytes());
        file[46..48].copy_from_slice(&40_u16.to_le_bytes());
        file[48..50].copy_from_slice(&u16::try_from(sections.len()).unwrap().to_le_bytes());
        for (kind, flags, length) in sections {
            let mut section = [0; 40];
            section[4..8].copy_from_slice(&kind.to_le_bytes());
            section[8..12].copy_from_slice(&flags.to_le_bytes());
            section[20..24].copy_from_slice(&length.to_le_bytes());
            file.extend(section);
        }
        file
    }

    #[test]
    fn sections_count_by_where_they_lie() {
        let image = elf(&[
            (0, 0, 0),
            (1, 2, 1024), // vectors
            (1, 2 | 4, 80_000),
            (1, 2, 5_000),
            (1, 2 | 1, 16),
            (8, 2 | 1, 20_000),
            (1, 0, 700_000), // debugging, not loaded
        ]);
        let expected = Size {
            text: 86_024,
            data: 16,
            bss: 20_000,
        };
        assert_eq!(Size::of(&image), Some(expected));
    }

    #[test]
    fn what_is_no_elf_file_is_refused() {
        let whole = elf(&[(1, 2, 1)]);
        assert_eq!(Size::of(b""), None);
        assert_eq!(Size::of(b"#!/bin/sh"), None);
        assert_eq!(Size::of(&whole[..whole.len() - 20]), None);
    }

    #[test]
    fn an_unknown_board_is_named_with_those_that_exist() {
        let problem = run(Some("lm3s9999")).unwrap_err();
        assert!(
            problem.contains("lm3s9999") && problem.contains("lm3s6965"),
            "{problem}"
        );
    }
}
