//! Whether a board's programs are those of the sources that are there now.
//!
//! The stamp is a hash over every file that a build reads (the firmware's workspace, `shared`),
//! the features and the compiler, kept beside the programs. It is told from contents, not from
//! times: a fresh checkout with a kept target folder builds nothing.

use super::{Board, Toolchain, Variant, WEB_RUSTC, target_dir};
use crate::stage::{quiet, root};
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::Hasher as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Most folders in each other.
const DEPTH: usize = 12;

/// What a build was made from.
pub(super) struct Stamp(String);

impl Stamp {
    /// Of what would be built now.
    pub(super) fn of(board: &Board, features: &[&str], toolchain: &Toolchain) -> Result<Self, String> {
        let name = board.board.name();
        let mut files = Vec::new();
        for path in [
            "Cargo.toml",
            "shared",
            "firmware/Cargo.toml",
            "firmware/Cargo.lock",
            "firmware/node",
            "firmware/boards/common",
        ] {
            collect(&root().join(path), DEPTH, &mut files);
        }
        collect(&root().join("firmware/boards").join(name), DEPTH, &mut files);
        files.sort();
        let mut hasher = DefaultHasher::new();
        for file in files {
            let shown = file
                .strip_prefix(root())
                .unwrap_or(&file)
                .to_string_lossy()
                .into_owned();
            let bytes = fs::read(&file).map_err(|why| format!("cannot read {shown}: {why}"))?;
            hasher.write(shown.as_bytes());
            hasher.write_usize(bytes.len());
            hasher.write(&bytes);
        }
        let rustc = match toolchain {
            Toolchain::Rustup => "rustc",
            Toolchain::Web { .. } => WEB_RUSTC,
        };
        let version = quiet(Command::new(rustc).arg("-vV").current_dir(root()))?;
        hasher.write(version.as_bytes());
        hasher.write(features.join(",").as_bytes());
        Ok(Self(format!("{:016x}", hasher.finish())))
    }

    /// True when the programs that are there were built from this.
    pub(super) fn holds(&self, board: &Board, variant: Variant) -> bool {
        let programs = board.programs_of(variant);
        fs::read_to_string(file(board, variant)).is_ok_and(|kept| kept == self.0)
            && programs.iter().all(|program| board.elf(program).exists())
    }

    /// Notes that the programs are built from this.
    pub(super) fn keep(&self, board: &Board, variant: Variant) -> Result<(), String> {
        let file = file(board, variant);
        fs::write(&file, &self.0).map_err(|why| format!("cannot write {}: {why}", file.display()))
    }
}

/// The programs are about to change.
pub(super) fn forget(board: &Board, variant: Variant) -> Result<(), String> {
    let file = file(board, variant);
    match fs::remove_file(&file) {
        Err(why) if why.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("cannot remove {}: {why}", file.display()))
        }
        _ => Ok(()),
    }
}

fn file(board: &Board, variant: Variant) -> PathBuf {
    target_dir().join(format!("{}.stamp", board.programs_of(variant)[0]))
}

fn collect(path: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    if path.is_file() {
        files.push(path.to_path_buf());
    } else if depth > 0
        && let Ok(entries) = fs::read_dir(path)
    {
        for entry in entries.filter_map(Result::ok) {
            collect(&entry.path(), depth - 1, files);
        }
    }
}
