//! Programs of this machine that we start: their process group, and what they print.
//!
//! A program runs in a group of its own, which is ended by its id and no other. The id stays ours
//! until the program is waited for.

use rustix::process::{Pid, Signal, kill_process_group};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Most bytes kept of what a program prints.
pub(crate) const MAX_OUTPUT: usize = 4 * 1024;
/// Longest time to collect a program that was ended by force; the kernel may hold it in a
/// system call, and what comes next does not wait for that.
pub(crate) const COLLECT: Duration = Duration::from_millis(500);
/// How long output is read after the program itself has ended: something it left behind may
/// hold the other end open.
pub(crate) const LAST_WORDS: Duration = Duration::from_millis(100);

/// Reads once; false at the end. Cancel-safe: one read that either happened or did not.
pub(crate) async fn read_some<R: AsyncRead + Unpin>(from: Option<&mut R>, kept: &mut Vec<u8>) -> bool {
    let mut chunk = [0; 512];
    let Some(from) = from else { return false };
    match from.read(&mut chunk).await {
        Ok(n) if n > 0 => {
            let room = MAX_OUTPUT.saturating_sub(kept.len());
            kept.extend_from_slice(&chunk[..n.min(room)]);
            true
        }
        _ => false,
    }
}

/// The program's process group, ended by force when this is dropped before [`Group::done`].
pub(crate) struct Group(Option<Pid>);

impl Group {
    pub(crate) fn of(child: &tokio::process::Child) -> Self {
        // The id stays ours until the child is waited for.
        Self(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)))
    }

    pub(crate) fn kill(&self) {
        if let Some(group) = self.0 {
            // ESRCH: it has ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    pub(crate) const fn done(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
