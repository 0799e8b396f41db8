//! Builds the boards' firmware and says how much of flash and RAM it takes.
//!
//! The house's toolchain is enough when rustup has the board's target. Where it has not (a machine
//! without access to the Rust project's servers), Debian's rustc-web with its sources builds
//! `core` as well; that is good for the emulator and the tests, and not a toolchain to release
//! with. It never installs anything.
//!
//! The emulated board is built every day. The real ones take minutes the first time and are built
//! on demand (`--all`); a board whose sources are those of its last build is not built again.
//!
//! With `--tls` the node's program is built a second time with TLS to its broker, kept beside the plain
//! one, and what that costs is printed.

mod elf;
mod sign;
mod stamp;

use crate::setup;
use crate::stage::{cargo, check, quiet, root};
use elf::Size;
pub(crate) use sign::{new_key, run as sign};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A board that can be built. Its folder below `firmware/boards`, its package and its program
/// bear its name.
struct Board {
    board: shared::board::Board,
    target: &'static str,
    flash: u32,
    ram: u32,
    /// Built by `cargo xtask test` and wherever no board is named.
    everyday: bool,
    /// Where its program lies when a bootloader swaps two of them.
    slot: Option<Slot>,
    /// The features that build it with TLS, or why that is not done.
    tls: Result<&'static [&'static str], &'static str>,
}

/// Which of a board's programs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Variant {
    Plain,
    Tls,
}

/// The slot of flash that a program is linked for, as in `memory/app/memory.x` of the board.
struct Slot {
    origin: u32,
    len: u32,
}

const BOARDS: [Board; 3] = [
    Board {
        board: shared::board::Board::Lm3s6965,
        target: "thumbv7m-none-eabi",
        flash: 256 * 1024,
        ram: 64 * 1024,
        everyday: true,
        slot: None,
        // For the tests on the emulated board: the chip has no source of randomness.
        tls: Ok(&["tls", "tls-test-seed"]),
    },
    Board {
        board: shared::board::Board::Rp2040W5500,
        target: "thumbv6m-none-eabi",
        flash: 2 * 1024 * 1024,
        ram: 264 * 1024,
        everyday: false,
        slot: Some(Slot {
            origin: 0x1000_7000,
            len: 768 * 1024,
        }),
        tls: Err(
            "the RP2040 has no source of randomness that its data sheet (2.17.5) would use for security",
        ),
    },
    Board {
        board: shared::board::Board::Stm32f767zi,
        target: "thumbv7em-none-eabi",
        flash: 2 * 1024 * 1024,
        ram: 512 * 1024,
        everyday: false,
        slot: Some(Slot {
            origin: 0x0804_0000,
            len: 768 * 1024,
        }),
        tls: Ok(&["tls"]),
    },
];

impl Board {
    /// The programs of this board: the node, and the bootloader where there is one.
    fn programs(&self) -> Vec<String> {
        let name = self.board.name();
        let boot = self.slot.as_ref().map(|_| format!("{name}-boot"));
        std::iter::once(name.to_owned()).chain(boot).collect()
    }

    /// The programs of a variant: of that with TLS, only the node.
    fn programs_of(&self, variant: Variant) -> Vec<String> {
        match variant {
            Variant::Plain => self.programs(),
            Variant::Tls => vec![format!("{}-tls", self.board.name())],
        }
    }

    /// Where a program of this board lies.
    fn elf(&self, program: &str) -> PathBuf {
        target_dir().join(self.target).join("release").join(program)
    }
}

fn target_dir() -> PathBuf {
    root().join("firmware/target")
}

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
    everyday().find_map(|board| toolchain(board.target).err())
}

/// True when the house's own toolchain builds every board, and Debian's second one is not needed.
pub(crate) fn rustup_builds() -> bool {
    everyday().all(|board| matches!(toolchain(board.target), Ok(Toolchain::Rustup)))
}

/// The boards that are built every day.
fn everyday() -> impl Iterator<Item = &'static Board> {
    BOARDS.iter().filter(|board| board.everyday)
}

/// Builds one board, those of every day, or (`all`) every one, and prints flash and RAM use; with
/// `tls` also what TLS costs.
///
/// # Errors
/// When there is no such board, no toolchain for it, or the build fails.
pub(crate) fn run(name: Option<&str>, all: bool, tls: bool) -> Result<(), String> {
    let wanted: Vec<&Board> = BOARDS
        .iter()
        .filter(|known| name.map_or(all || known.everyday, |name| name == known.board.name()))
        .collect();
    if wanted.is_empty() {
        let known: Vec<&str> = BOARDS.iter().map(|known| known.board.name()).collect();
        return Err(format!(
            "no board `{}`; there is: {}",
            name.unwrap_or_default(),
            known.join(", ")
        ));
    }
    // One board that cannot be built does not hide the others.
    let failed: Vec<String> = wanted
        .into_iter()
        .filter_map(|board| build_and_print(board, tls).err())
        .collect();
    if failed.is_empty() {
        Ok(())
    } else {
        Err(failed.join("; "))
    }
}

fn build_and_print(board: &Board, tls: bool) -> Result<(), String> {
    if !tls {
        return build(board, Variant::Plain).and_then(|()| print(board, Variant::Plain));
    }
    // First, because cargo leaves both at the same place.
    if let Err(why) = board.tls {
        return Err(format!("{}: not built with TLS: {why}", board.board.name()));
    }
    build(board, Variant::Tls)?;
    build(board, Variant::Plain)?;
    print(board, Variant::Plain)?;
    print(board, Variant::Tls)?;
    let [plain, secure] = [Variant::Plain, Variant::Tls].map(|variant| {
        let program = &board.programs_of(variant)[0];
        size(board, program)
    });
    let (plain, secure) = (plain?, secure?);
    println!(
        "{}: TLS costs {} bytes of flash and {} of RAM without stack",
        board.board.name(),
        (secure.text + secure.data).saturating_sub(plain.text + plain.data),
        (secure.data + secure.bss).saturating_sub(plain.data + plain.bss),
    );
    Ok(())
}

/// Builds all programs of a variant of a board, unless that is what is there.
fn build(board: &Board, variant: Variant) -> Result<(), String> {
    let features = match variant {
        Variant::Plain => &[],
        Variant::Tls => board.tls?,
    };
    let toolchain = toolchain(board.target)?;
    let stamp = stamp::Stamp::of(board, features, &toolchain)?;
    let name = &board.programs_of(variant)[0];
    if stamp.holds(board, variant) {
        println!("{name}: as built before, nothing has changed");
        return Ok(());
    }
    let folder = root().join("firmware");
    let mut command = cargo(&[
        "build",
        "--release",
        "--package",
        board.board.name(),
        "--target",
        board.target,
    ]);
    command
        .current_dir(&folder)
        .arg("--target-dir")
        .arg(target_dir())
        // Flags for the host's programs are not for a board.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    if !features.is_empty() {
        command.args(["--features", &features.join(",")]);
    }
    match toolchain {
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
    stamp::forget(board, variant)?;
    // Whatever is built lies where the plain program lies.
    stamp::forget(board, Variant::Plain)?;
    check(&mut command)?;
    if variant == Variant::Tls {
        let (from, to) = (board.elf(board.board.name()), board.elf(name));
        fs::copy(&from, &to).map_err(|why| format!("cannot copy {} to {name}: {why}", from.display()))?;
    }
    stamp.keep(board, variant)
}

/// What a program takes.
fn size(board: &Board, program: &str) -> Result<Size, String> {
    let elf = board.elf(program);
    let image = fs::read(&elf).map_err(|why| format!("reading {}: {why}", elf.display()))?;
    Size::of(&image).ok_or_else(|| format!("{} is no 32-bit ELF file", elf.display()))
}

fn print(board: &Board, variant: Variant) -> Result<(), String> {
    for program in board.programs_of(variant) {
        let size = size(board, &program)?;
        println!("{program}: {}", board.elf(&program).display());
        print_use("flash", size.text + size.data, board.flash);
        print_use("RAM without stack", size.data + size.bss, board.ram);
        println!("  text {}, data {}, bss {}", size.text, size.data, size.bss);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_board_is_named_with_those_that_exist() {
        let problem = run(Some("lm3s9999"), false, false).unwrap_err();
        assert!(
            problem.contains("lm3s9999") && problem.contains("lm3s6965"),
            "{problem}"
        );
    }

    #[test]
    fn a_board_without_randomness_is_not_built_with_tls() {
        let problem = run(Some("rp2040-w5500"), false, true).unwrap_err();
        assert!(problem.contains("randomness"), "{problem}");
    }
}
