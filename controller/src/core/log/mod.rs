//! The entry log on disk: a projection of the journal into `log.db`, signed and searched.
//!
//! ```text
//! loop: journal committed --nudge--> thread: Book::work --> leaves, checkpoints
//!                      <--Said--            (reads journal.db itself)
//! ```
//! A nudge carries nothing: the thread always reads what the journal has and the log has not. So the
//! everyday path, the start after a crash and the end of a disk failure are the same path; nothing is
//! lost and nothing is twice. A failing log never holds the loop, a door or an alarm up: the journal
//! has every record, the failure is an alarm, and the thread tries again.

pub mod book;
mod keys;
pub mod read;
#[cfg(test)]
mod tests;

use crate::clock;
use crate::core::vault::VaultError;
use book::{Book, Fresh};
use room::log::of::Portals;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// A log that fails is tried again after this.
const RETRY: Duration = Duration::from_secs(2);
/// The thread looks around at least so often.
const LOOK: Duration = Duration::from_secs(10);

/// What went wrong with the log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// `log.db` could not be opened.
    #[error("opening {0}")]
    Open(PathBuf, #[source] rusqlite::Error),
    /// A later release wrote it.
    #[error("{0} is of a later release; install that")]
    Newer(PathBuf),
    /// Leaves could not be appended.
    #[error("appending to log.db")]
    Append(#[source] rusqlite::Error),
    /// The log could not be read.
    #[error("reading log.db")]
    Read(#[source] rusqlite::Error),
    /// The journal could not be read.
    #[error("reading journal.db for the log")]
    Journal(#[source] rusqlite::Error),
    /// What the log knows of itself does not decode.
    #[error("the state in log.db")]
    State(#[source] serde_json::Error),
    /// The vault with the openings.
    #[error("keeping openings")]
    Vault(#[from] VaultError),
    /// A small file.
    #[error("the file {0}")]
    File(PathBuf, #[source] std::io::Error),
    /// The key is missing though there is a log.
    #[error("{0} is missing and there is a log that it signed; restore it from the backup")]
    NoKey(PathBuf),
    /// The key file is damaged or open to others.
    #[error("{0} can be read by others or is not 64 hex digits; restore it from the backup, mode 0600")]
    BadKey(PathBuf),
    /// The key file is another key than the log names.
    #[error("log.key is not the key that the log names ({named}); restore it from the backup")]
    OtherKey {
        /// The key that the log names.
        named: String,
    },
    /// The last signed checkpoint was changed by somebody else.
    #[error("{0} is not the checkpoint that this program signed last; two programs, or a restored file")]
    Signed(PathBuf),
    /// The log is not the one that was signed.
    #[error("the log was rolled back or exchanged ({0}); restore log.db, delete nothing")]
    RolledBack(String),
    /// There is no log yet.
    #[error("there is no log yet")]
    Empty,
    /// There is no such leaf, or no checkpoint covers it yet.
    #[error("leaf {0} is not in a signed checkpoint; one is signed every minute")]
    NotSigned(u64),
}

/// What the log says to the loop.
#[derive(Debug)]
pub enum Said {
    /// It fails, or is well again.
    Problem(Option<String>),
    /// It has signed a checkpoint.
    Signed(Fresh),
}

/// How the log is; for screens and the command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Name of the log.
    pub origin: Option<String>,
    /// Leaves,
    pub size: u64,
    /// and how many of them the last checkpoint covers.
    pub signed: u64,
    /// The verifier key,
    pub key: String,
    /// and the one that is to follow it.
    pub next_key: String,
    /// Why it cannot be written.
    pub problem: Option<String>,
}

impl Standing {
    /// As the API shows it.
    #[must_use]
    pub fn shown(&self) -> room::snapshot::LogStanding {
        room::snapshot::LogStanding {
            origin: self.origin.clone(),
            size: self.size,
            signed: self.signed,
            key: self.key.clone(),
            problem: self.problem.clone(),
        }
    }
}

/// The log's side of the loop. Ends with it.
#[derive(Debug)]
pub struct EntryLog {
    nudges: SyncSender<()>,
    standing: Arc<Mutex<Standing>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// Starts the log's thread. A log that is not there begins with the record behind `begins_after`.
pub fn start(
    dir: &Path,
    slug: String,
    portals: Portals,
    begins_after: u64,
    said: mpsc::UnboundedSender<Said>,
) -> EntryLog {
    let (nudges, inbox) = sync_channel::<()>(1);
    let standing = Arc::new(Mutex::new(Standing::default()));
    let mut writer = Thread {
        dir: dir.to_owned(),
        slug,
        portals,
        begins_after,
        book: None,
        has_signed: false,
        said,
        standing: Arc::clone(&standing),
    };
    let thread = std::thread::Builder::new()
        .name("entry-log".to_owned())
        .spawn(move || {
            let mut wait = Duration::ZERO;
            loop {
                match inbox.recv_timeout(wait) {
                    Ok(()) | Err(RecvTimeoutError::Timeout) => wait = writer.turn(),
                    Err(RecvTimeoutError::Disconnected) => return writer.end(),
                }
            }
        })
        .expect("a thread can be started while the program starts");
    EntryLog {
        nudges,
        standing,
        thread: Some(thread),
    }
}

impl EntryLog {
    /// The journal has something new.
    pub fn nudge(&self) {
        match self.nudges.try_send(()) {
            // One that waits is enough; a thread that is gone is its alarm's business.
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
        }
    }

    /// How it is.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for EntryLog {
    /// The thread takes what the journal has, signs it and ends.
    fn drop(&mut self) {
        let (gone, _) = sync_channel(1);
        self.nudges = gone;
        if let Some(thread) = self.thread.take() {
            // Its last word is a sync; who stops us would wait for a disk in any case.
            let _ = thread.join();
        }
    }
}

struct Thread {
    dir: PathBuf,
    slug: String,
    portals: Portals,
    begins_after: u64,
    book: Option<Book>,
    has_signed: bool,
    said: mpsc::UnboundedSender<Said>,
    standing: Arc<Mutex<Standing>>,
}

impl Thread {
    /// One look; returns how long nothing will be due.
    fn turn(&mut self) -> Duration {
        let result = self.work();
        let problem = result.as_ref().err().map(|error| in_words(error));
        {
            let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(book) = &self.book {
                (standing.origin, standing.size, standing.signed) = book.place();
                (standing.key, standing.next_key) = book.keys();
            }
            if standing.problem != problem {
                standing.problem.clone_from(&problem);
                let _ = self.said.send(Said::Problem(problem.clone()));
            }
        }
        if problem.is_some() {
            // What is in memory may be ahead of the disk: it is read anew.
            self.book = None;
            return RETRY;
        }
        let now = clock::now();
        let due = self.book.as_ref().and_then(Book::next_deadline);
        due.map_or(LOOK, |at| Duration::from_millis(at.since(now.mono).0))
            .min(LOOK)
    }

    fn work(&mut self) -> Result<(), LogError> {
        let book = match &mut self.book {
            Some(book) => book,
            none => none.insert(Book::open(
                &self.dir,
                &self.slug,
                self.portals.clone(),
                self.begins_after,
            )?),
        };
        let mut fresh = book.work(clock::now())?;
        if !self.has_signed {
            // The first one of a life comes at once: what was found is what is there.
            let first = book.sign(clock::now())?;
            self.has_signed = first.is_some();
            fresh.extend(first);
        }
        for fresh in fresh {
            let _ = self.said.send(Said::Signed(fresh));
        }
        Ok(())
    }

    fn end(&mut self) {
        let _ = self.turn();
        if let Some(book) = &mut self.book
            && let Err(error) = book.sign(clock::now())
        {
            tracing::error!(problem = in_words(&error), "the last checkpoint");
        }
    }
}

fn in_words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
