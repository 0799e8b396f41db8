//! The mark that says until when the loop was alive: a small file beside the journal, written every
//! few seconds by the loop's order. A controller that was killed leaves it behind, and the next one
//! knows how long nobody watched, also when nothing was journaled for hours.
//!
//! A thread of its own writes it, so that a disk that hangs never holds the loop; a mark that is on
//! its way is not overtaken but left out. It is not synced: after a power cut it may be some seconds
//! old or gone, and then the last record of the journal says the rest.

use room::record::Sign;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

/// Name of the file in the data folder.
const FILE: &str = "alive";
/// The loop leaves a mark so often: a gap in the watching is known to this.
pub(super) const EVERY: Duration = Duration::from_secs(5);
/// Longest file that is read.
const MAX_LENGTH: u64 = 1024;

/// What an earlier life left behind; `None` when there is nothing that reads.
pub(super) fn left_behind(dir: &Path) -> Option<Sign> {
    use std::io::Read as _;
    let file = std::fs::File::open(dir.join(FILE)).ok()?;
    let mut text = String::new();
    file.take(MAX_LENGTH).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// The writing side.
#[derive(Debug)]
pub(super) struct Alive(SyncSender<Sign>);

impl Alive {
    /// Starts the thread.
    pub(super) fn start(dir: &Path) -> Self {
        let (marks, inbox) = sync_channel::<Sign>(1);
        let (new, file) = (dir.join("alive.new"), dir.join(FILE));
        std::thread::Builder::new()
            .name("alive".to_owned())
            .spawn(move || {
                while let Ok(mark) = inbox.recv() {
                    let text = serde_json::to_string(&mark).unwrap_or_default();
                    // What cannot be written now can in a few seconds, or the journal's alarm says why.
                    if std::fs::write(&new, text).is_ok() {
                        let _ = std::fs::rename(&new, &file);
                    }
                }
            })
            .expect("a thread can be started while the program starts");
        Self(marks)
    }

    /// The loop lives.
    pub(super) fn mark(&self, sign: Sign) {
        let _ = self.0.try_send(sign);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use room::time::{Mono, Now, Wall};

    #[test]
    fn the_mark_is_read_back_and_rubbish_is_no_mark() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(left_behind(dir.path()), None);
        let sign = Sign {
            boot_id: "boot".to_owned(),
            now: Now {
                mono: Mono(5),
                wall: Wall(7),
            },
        };
        let alive = Alive::start(dir.path());
        alive.mark(sign.clone());
        for look in 0..200_000_u32 {
            if left_behind(dir.path()).is_some() {
                break;
            }
            assert!(look < 199_999, "the mark was not written");
            std::thread::yield_now();
        }
        assert_eq!(left_behind(dir.path()), Some(sign));
        std::fs::write(dir.path().join(FILE), "\u{0}\u{0}").unwrap();
        assert_eq!(left_behind(dir.path()), None);
    }
}
