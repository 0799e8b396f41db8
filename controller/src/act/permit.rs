//! The difference between a rehearsal and the real thing, as two types.
//!
//! A handle over a target carries one of these. Only a handle over [`Armed`] has the function
//! that makes the target act; a check holds a handle over [`Checked`] and could not call it.

/// May look: connect, log in, see whether a file is there. Nothing more.
#[derive(Debug, Clone, Copy)]
pub struct Checked(());

/// May act. Made in one place, from an order that core marked as real.
#[derive(Debug, Clone, Copy)]
pub struct Armed(());

/// What an order allows.
#[derive(Debug, Clone, Copy)]
pub enum Permit {
    /// A rehearsal.
    Check(Checked),
    /// The real thing.
    Act(Armed),
}

impl Permit {
    /// Reads the order's `real`.
    #[must_use]
    pub const fn of(real: bool) -> Self {
        if real {
            Self::Act(Armed(()))
        } else {
            Self::Check(Checked(()))
        }
    }
}
