//! Makes the list of built-in profiles from the folder `profiles/<kind>/`, so that a new model
//! is a new file and nothing else. Only names and paths are written here; the text is taken in
//! by `include_str!`, and read and checked by `room::profile`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=profiles");
    let folder = Path::new(&variable("CARGO_MANIFEST_DIR")).join("profiles");
    let mut files = Vec::new();
    for kind in entries(&folder)?.into_iter().filter(|path| path.is_dir()) {
        files.extend(
            entries(&kind)?
                .into_iter()
                .filter(|path| path.extension().is_some_and(|found| found == "toml")),
        );
    }
    let mut list = format!(
        "/// Every profile of the house: name and text. The name is the file's.\n\
         pub const BUILTIN: [(&str, &str); {}] = [\n",
        files.len()
    );
    for file in &files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        // Below the package's folder wherever that stands when this is compiled: a checkout that was
        // moved keeps what was built in it.
        let below = file.strip_prefix(folder.parent().unwrap_or(&folder));
        let path = format!("/{}", below.map_err(io::Error::other)?.to_string_lossy());
        writeln!(
            list,
            "    ({name:?}, include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {path:?}))),"
        )
        .map_err(io::Error::other)?;
    }
    list.push_str("];\n");
    fs::write(Path::new(&variable("OUT_DIR")).join("builtin.rs"), list)
}

/// By name, so that the list does not depend on the file system.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        paths.push(entry?.path());
    }
    paths.sort();
    Ok(paths)
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}
