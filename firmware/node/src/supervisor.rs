//! Who must have been heard of before the watchdog is fed.
//!
//! Every task checks in; each has its own allowance. One silent task and the watchdog bites: a
//! node whose network task hangs is as mute as one without power, but looks alive.

/// The check-ins of `N` tasks.
#[derive(Debug)]
pub struct Supervisor<const N: usize> {
    tasks: [(u64, u64); N],
}

impl<const N: usize> Supervisor<N> {
    /// `allowances`: longest silence of each task in milliseconds, counted from time 0.
    #[must_use]
    pub fn new(allowances: [u64; N]) -> Self {
        Self {
            tasks: allowances.map(|allowance| (allowance, 0)),
        }
    }

    /// The task is alive. An unknown task is ignored.
    pub fn check_in(&mut self, task: usize, now_ms: u64) {
        if let Some((_, seen)) = self.tasks.get_mut(task) {
            *seen = now_ms;
        }
    }

    /// The first task that has been silent for too long.
    #[must_use]
    pub fn silent(&self, now_ms: u64) -> Option<usize> {
        self.tasks
            .iter()
            .position(|(allowance, seen)| now_ms.saturating_sub(*seen) > *allowance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_task_has_its_own_allowance() {
        let mut tasks = Supervisor::new([1_000, 60_000]);
        assert_eq!(tasks.silent(1_000), None);
        assert_eq!(tasks.silent(1_001), Some(0));
        tasks.check_in(0, 60_500);
        assert_eq!(tasks.silent(60_500), Some(1));
        tasks.check_in(1, 60_500);
        assert_eq!(tasks.silent(61_500), None);
        tasks.check_in(7, 0);
    }
}
