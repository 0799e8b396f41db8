//! The difference between a rehearsal and the real thing, as two types.
//!
//! A handle over a target carries one of these. Only a handle over [`Armed`] has the function
//! that makes the target act; a check holds a handle over [`Checked`] and could not call it.

/// May look: connect, log in, see whether a file is there. Nothing more.
#[derive(Debug, Clone, Copy)]
pub struct Checked(());

/// May act. Made in one place, from an order that core marked as real.
#[derive(Debug, Clone, Copy)]
pub struct Armed {
    run: u64,
}

impl Armed {
    /// The run that the order belongs to; 0 when it belongs to none. What is remembered of one run
    /// is no guide for the next.
    #[must_use]
    pub const fn run(self) -> u64 {
        self.run
    }
}

/// What an order allows.
#[derive(Debug, Clone, Copy)]
pub enum Permit {
    /// A rehearsal.
    Check(Checked),
    /// The real thing.
    Act(Armed),
}

impl Permit {
    /// Reads the order's `real`, where no run matters.
    #[must_use]
    pub const fn of(real: bool) -> Self {
        Self::of_run(real, 0)
    }

    /// Reads the order's `real` and its run.
    #[must_use]
    pub const fn of_run(real: bool, run: u64) -> Self {
        if real {
            Self::Act(Armed { run })
        } else {
            Self::Check(Checked(()))
        }
    }
}
