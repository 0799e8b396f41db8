//! The file with the cards, beside the site file.
//!
//! Read when core starts, like the site; a file with a mistake keeps core from starting, with
//! every mistake and its line. The alternative, to start without cards, would lock the staff out.

use room::site::doors::cards;
use room::site::problem::Problem;
use room::site::{Card, Site, World};
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Longest file of cards in bytes: 2,000 cards with comments need half of it.
const MAX_TEXT: u64 = 2 << 20;

/// Why the cards cannot be used.
#[derive(Debug)]
pub enum CardsError {
    /// The file cannot be read.
    Read(PathBuf, std::io::Error),
    /// What stands in it is wrong.
    Wrong(PathBuf, Vec<Problem>),
}

impl fmt::Display for CardsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, error) => write!(
                f,
                "the cards in {} cannot be read ({error}); without any card make an empty file",
                path.display()
            ),
            Self::Wrong(path, problems) => {
                write!(f, "the cards in {} cannot be used:", path.display())?;
                for problem in problems {
                    write!(f, "\n{}:{problem}", path.display())?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for CardsError {}

/// The cards of the site, and warnings about them.
///
/// # Errors
/// [`CardsError`].
pub fn read<W: World>(site: &Site<W>) -> Result<(Vec<Card>, Vec<Problem>), CardsError> {
    let Some(path) = &site.access.cards_file else {
        return Ok((Vec::new(), Vec::new()));
    };
    let text = text_of(path).map_err(|error| CardsError::Read(path.clone(), error))?;
    cards(&text, &site.access.portals).map_err(|problems| CardsError::Wrong(path.clone(), problems))
}

fn text_of(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let read = std::fs::File::open(path)?
        .take(MAX_TEXT + 1)
        .read_to_string(&mut text)?;
    if u64::try_from(read).unwrap_or(u64::MAX) > MAX_TEXT {
        return Err(std::io::Error::other(format!(
            "it is longer than {MAX_TEXT} bytes"
        )));
    }
    Ok(text)
}
