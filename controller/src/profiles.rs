//! The profiles of this controller: those built in, and those that the site drops into its
//! folder (`profiles_dir`).
//!
//! A file that is no profile is reported with its line and left out; it stops neither the others
//! nor the built-in ones. Nothing is written.

use room::profile::file::TEXT_MAX;
use room::profile::{BadProfile, Library};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Files of one folder.
const FILES_MAX: usize = 512;

/// Why a file of the folder, or the folder, gives no profile.
#[derive(Debug)]
pub struct BadFile {
    /// File or folder.
    pub path: PathBuf,
    /// Line, from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong.
    pub problem: String,
}

impl std::fmt::Display for BadFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = self.path.display();
        match self.line {
            Some(line) => write!(f, "{path}:{line}: {}", self.problem),
            None => write!(f, "{path}: {}", self.problem),
        }
    }
}

/// The built-in profiles and, where the site has a folder, its own: every `*.toml` in it and in
/// its folders of one level.
#[must_use]
pub fn library(folder: Option<&Path>) -> (Library, Vec<BadFile>) {
    let house = Library::builtin();
    let Some(folder) = folder else {
        return (house, Vec::new());
    };
    let mut problems = Vec::new();
    let mut texts: Vec<(String, String, PathBuf)> = Vec::new();
    for path in files(folder, &mut problems) {
        match read(&path) {
            Ok((name, text)) => texts.push((name, text, path)),
            Err(problem) => problems.push(BadFile {
                path,
                line: None,
                problem,
            }),
        }
    }
    let pairs: Vec<(&str, &str)> = texts
        .iter()
        .map(|(name, text, _)| (name.as_str(), text.as_str()))
        .collect();
    let (library, bad) = house.with(&pairs);
    problems.extend(bad.into_iter().map(|bad| {
        let BadProfile {
            profile,
            line,
            problem,
        } = bad;
        // Of two files with one name the later is the bad one.
        let path = texts.iter().rev().find(|(name, _, _)| *name == profile);
        BadFile {
            path: path.map_or_else(|| folder.to_path_buf(), |(_, _, path)| path.clone()),
            line,
            problem,
        }
    }));
    (library, problems)
}

/// By name, so that the order does not depend on the file system.
fn files(folder: &Path, problems: &mut Vec<BadFile>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut listed = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder)
            .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect());
        match entries {
            Ok(entries) => entries,
            Err(error) => {
                problems.push(BadFile {
                    path: folder.to_path_buf(),
                    line: None,
                    problem: format!("cannot be read: {error}"),
                });
                Vec::new()
            }
        }
    };
    for path in listed(folder) {
        if path.is_dir() {
            found.extend(listed(&path));
        } else {
            found.push(path);
        }
    }
    found.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    found.sort();
    if let Some(first) = found.get(FILES_MAX) {
        problems.push(BadFile {
            path: first.clone(),
            line: None,
            problem: format!("more than {FILES_MAX} profiles; this and what follows is left out"),
        });
        found.truncate(FILES_MAX);
    }
    found
}

/// Name and text of a profile file.
///
/// # Errors
/// Why it cannot be read, in words.
pub fn read(path: &Path) -> Result<(String, String), String> {
    let name = path.file_stem().and_then(|stem| stem.to_str());
    let name = name.ok_or("the name of the file is the name of the profile, and this is none")?;
    let unreadable = |error: io::Error| format!("cannot be read: {error}");
    let mut bytes = Vec::new();
    let longest = u64::try_from(TEXT_MAX).unwrap_or(u64::MAX);
    File::open(path)
        .map_err(unreadable)?
        .take(longest.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8; save it as UTF-8".to_owned())?;
    Ok((name.to_owned(), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "title=\"t\"\nsource=\"s\"\nkind=\"ups\"\nextends=[\"rfc1628\"]\n[match]\n\
        sys_object_id=[\"1.3.6.1.4.1.99999\"]\nprobe=[\"1.3.6.1.2.1.33.1.4.1.0\"]\npreference=1\n";

    #[test]
    fn a_bad_file_is_named_with_its_line_and_stops_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("good.toml", GOOD);
        write("bad.toml", &GOOD.replace("preference=1", "preference=\"high\""));
        write("notes.txt", "not a profile");
        std::fs::create_dir(folder.path().join("ups")).unwrap();
        write("ups/inner.toml", &GOOD.replace("99999", "99998"));
        let (library, problems) = library(Some(folder.path()));
        assert!(library.get("good").is_some() && library.get("inner").is_some());
        assert!(library.get("rfc1628").is_some() && library.get("bad").is_none());
        let [problem] = problems.as_slice() else {
            panic!("{problems:?}");
        };
        assert_eq!(
            (problem.path.file_name().unwrap().to_str(), problem.line),
            (Some("bad.toml"), Some(8))
        );
    }

    #[test]
    fn a_folder_that_is_not_there_is_said_and_the_built_in_profiles_stay() {
        let folder = tempfile::tempdir().unwrap();
        let (library, problems) = library(Some(&folder.path().join("none")));
        assert_eq!(problems.len(), 1);
        assert!(library.get("rfc1628").is_some());
    }
}
