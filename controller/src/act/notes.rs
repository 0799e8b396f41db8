//! Which guests a plan stopped: what a hypervisor does not remember for us.
//!
//! A host is one step of the plan, and the journal knows whether it was stopped by us. Its guests
//! are not: which of them ran when the outage came is known only to the hypervisor, and only until
//! they are asked to stop. So their ids are put down before they are asked, one small file for each
//! hypervisor under `data_dir/act`, and those alone are started again: a guest that was off before
//! stays off, also when this role or its machine was restarted in between.
//!
//! ```text
//! stop, run 7:   a, b run      -> { run 7, stopped [a, b], started [] }    before a and b are asked
//! stop again:    b runs        -> the same: what was put down for a run stays
//! start:         a is started  -> { run 7, stopped [b], started [a] }
//! stop, run 8:   a runs        -> { run 8, stopped [a], started [] }       a new run begins anew
//! ```
//! A file that cannot be written keeps nobody from being stopped: that is logged, and what was not
//! put down is not started again by us, which is said when the start comes.

use super::action::Problem;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Largest file in bytes: [`MAX_GUESTS`] ids of 64 bytes in both lists are less.
const MAX_FILE: u64 = 1 << 20;
/// Guests of one hypervisor that are remembered.
pub(super) const MAX_GUESTS: usize = 4096;

/// The folder with one file for each hypervisor.
#[derive(Debug)]
pub(super) struct Notes {
    folder: PathBuf,
    /// Two steps may be about guests of the same hypervisor: one writes at a time.
    turn: Mutex<()>,
}

/// What is known of one hypervisor.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Note {
    /// The hypervisor, for people.
    of: String,
    /// The run in which they were stopped.
    run: u64,
    /// Stopped by us and not started since, by id.
    pub(super) stopped: BTreeSet<String>,
    /// Started by us since.
    pub(super) started: BTreeSet<String>,
}

impl Note {
    /// False when nothing was ever put down.
    pub(super) const fn exists(&self) -> bool {
        !self.of.is_empty()
    }
}

impl Notes {
    pub(super) const fn in_folder(folder: PathBuf) -> Self {
        Self {
            folder,
            turn: Mutex::new(()),
        }
    }

    /// What is known of this hypervisor; an empty note when there is none.
    ///
    /// # Errors
    /// [`Problem`] naming the file.
    pub(super) fn of(&self, hypervisor: &str) -> Result<Note, Problem> {
        let path = self.path(hypervisor);
        let unreadable =
            |error: std::io::Error| Problem::of_file(format_args!("reading {}", path.display()), &error);
        let mut text = String::new();
        match std::fs::File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Note::default()),
            Err(error) => return Err(unreadable(error)),
            Ok(file) => file
                .take(MAX_FILE)
                .read_to_string(&mut text)
                .map_err(unreadable)?,
        };
        serde_json::from_str(&text)
            .map_err(|error| Problem::lasting(format!("{} is damaged: {error}", path.display())))
    }

    /// Puts down whom this run is about to stop. Never keeps anybody from being stopped.
    pub(super) fn stopping(&self, hypervisor: &str, run: u64, ids: impl IntoIterator<Item = String>) {
        let result = self.change(hypervisor, |note| {
            if note.run != run {
                note.run = run;
                note.stopped.clear();
            }
            note.started.clear();
            for id in ids {
                if note.stopped.len() < MAX_GUESTS {
                    note.stopped.insert(id);
                }
            }
        });
        if let Err(problem) = result {
            // Who was stopped in another run must not be taken for one of this: the file can be deleted
            // also where nothing can be written any more.
            if self.of(hypervisor).map_or(true, |note| note.run != run) {
                let _ = std::fs::remove_file(self.path(hypervisor));
            }
            tracing::error!(
                hypervisor,
                why = problem.text,
                "the guests that are stopped now will not be started again by us"
            );
        }
    }

    /// Puts down that these were started.
    ///
    /// # Errors
    /// [`Problem`] naming the file.
    pub(super) fn started(&self, hypervisor: &str, ids: &[String]) -> Result<(), Problem> {
        if ids.is_empty() {
            return Ok(());
        }
        self.change(hypervisor, |note| {
            for id in ids {
                if note.stopped.remove(id) {
                    note.started.insert(id.clone());
                }
            }
        })
    }

    fn change(&self, hypervisor: &str, change: impl FnOnce(&mut Note)) -> Result<(), Problem> {
        let _turn = self
            .turn
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        // A damaged note is no reason to stop working with it: what it said is lost either way.
        let before = self.of(hypervisor);
        let mut note = match &before {
            Ok(note) => note.clone(),
            Err(problem) if !problem.retryable => Note::default(),
            Err(problem) => return Err(problem.clone()),
        };
        change(&mut note);
        hypervisor.clone_into(&mut note.of);
        if before.as_ref() == Ok(&note) {
            return Ok(());
        }
        let path = self.path(hypervisor);
        write(&self.folder, &path, &note)
            .map_err(|error| Problem::of_file(format_args!("writing {}", path.display()), &error))
    }

    fn path(&self, hypervisor: &str) -> PathBuf {
        let digest = Sha256::digest(hypervisor.as_bytes());
        let name: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        self.folder.join(format!("guests-{name}.json"))
    }
}

/// Whole or not at all, and on disk before this returns.
fn write(folder: &Path, path: &Path, note: &Note) -> std::io::Result<()> {
    match std::fs::DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let text = serde_json::to_vec(note)?;
    let fresh = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(&text)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    fn set(words: &[&str]) -> BTreeSet<String> {
        ids(words).into_iter().collect()
    }

    #[test]
    fn who_was_stopped_is_remembered_over_a_restart_until_he_is_started() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("act");
        let notes = Notes::in_folder(folder.clone());
        assert_eq!(notes.of("kvm1"), Ok(Note::default()));
        notes.stopping("kvm1", 7, ids(&["a", "b"]));
        // The order comes again when a is off already.
        notes.stopping("kvm1", 7, ids(&["b"]));
        let again = Notes::in_folder(folder);
        assert_eq!(again.of("kvm1").unwrap().stopped, set(&["a", "b"]));
        assert_eq!(again.of("kvm2"), Ok(Note::default()));
        again.started("kvm1", &ids(&["a", "x"])).unwrap();
        let note = again.of("kvm1").unwrap();
        assert_eq!((note.stopped, note.started), (set(&["b"]), set(&["a"])));
    }

    #[test]
    fn what_a_run_before_left_behind_is_no_guide_for_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let notes = Notes::in_folder(dir.path().join("act"));
        notes.stopping("kvm1", 7, ids(&["a", "b"]));
        notes.stopping("kvm1", 8, ids(&["c"]));
        assert_eq!(notes.of("kvm1").unwrap().stopped, set(&["c"]));
    }

    #[test]
    fn a_damaged_note_is_said_and_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let notes = Notes::in_folder(dir.path().to_owned());
        notes.stopping("kvm1", 7, ids(&["a"]));
        std::fs::write(notes.path("kvm1"), "{").unwrap();
        let problem = notes.of("kvm1").unwrap_err();
        assert!(
            !problem.retryable && problem.text.contains("is damaged"),
            "{problem:?}"
        );
        notes.stopping("kvm1", 8, ids(&["b"]));
        assert_eq!(notes.of("kvm1").unwrap().stopped, set(&["b"]));
    }

    #[test]
    fn a_folder_that_cannot_be_written_keeps_nobody_from_being_stopped() {
        let notes = Notes::in_folder("/nonexistent/act".into());
        notes.stopping("kvm1", 7, ids(&["a"]));
        assert!(!notes.of("kvm1").unwrap().exists());
    }

    #[test]
    fn whom_a_run_before_stopped_is_not_started_when_this_run_cannot_be_put_down() {
        let dir = tempfile::tempdir().unwrap();
        let notes = Notes::in_folder(dir.path().to_owned());
        notes.stopping("kvm1", 7, ids(&["a", "b"]));
        // A folder in its way: the new file cannot be written, as on a full disk.
        std::fs::create_dir(notes.path("kvm1").with_extension("new")).unwrap();
        notes.stopping("kvm1", 7, ids(&["c"]));
        assert_eq!(
            notes.of("kvm1").unwrap().stopped,
            set(&["a", "b"]),
            "the same run"
        );
        notes.stopping("kvm1", 8, ids(&["b"]));
        assert!(!notes.of("kvm1").unwrap().exists());
    }

    #[test]
    fn that_nobody_ran_is_known_too() {
        let dir = tempfile::tempdir().unwrap();
        let notes = Notes::in_folder(dir.path().to_owned());
        notes.stopping("kvm1", 7, ids(&[]));
        assert!(notes.of("kvm1").unwrap().exists());
    }
}
