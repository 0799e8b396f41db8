//! The entry log (入退室・操作の記録): what happened, as leaves of a tree that nobody can rewrite unseen.
//!
//! ```text
//! journal --of--> Draft --seal--> leaf --tree--> root --note--> checkpoint --> witnesses
//! ```
//! The log is a projection of the journal: [`writer`] turns its records, in their order, into leaves
//! and says when a heartbeat, a mark of a stepped clock or another year is due. The form of all of it is
//! a contract (`deploy/docs/entry-log.md`) with verifiers that share no code with this.
//!
//! Nothing here reads a file, a clock or random numbers: salts and keys come in as arguments.

pub mod leaf;
pub mod note;
pub mod of;
pub mod proof;
pub mod record;
pub mod seal;
pub mod tree;
pub mod wish;
pub mod writer;
pub mod year;

#[cfg(test)]
mod tests;
