//! What can be made to happen in the simulated room, and the socket that takes the word.
//!
//! The room runs in a process of its own; its control socket `<data_dir>/run/simroom.sock`
//! takes one word in a line and answers `ok` or `error: ...` in a line. The word `state` is
//! answered with the state of the room as one line of JSON.

use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

/// Longest request line in bytes.
pub const MAX_REQUEST: u64 = 64;
/// Longest answer line in bytes.
pub const MAX_ANSWER: u64 = 64 * 1024;
/// Longest time for a request and its answer.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// A scenario. Its word is the verb on the command line and the name in the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scenario {
    /// The mains fail at both UPSs.
    Outage,
    /// The mains are back; servers that were stopped start again after a while.
    MainsBack,
    /// The cooling fails.
    Cooling,
    /// Water at the leak rope.
    Leak,
    /// A door is opened without a grant.
    Door,
    /// The network cable of a node is cut.
    Link,
    /// Everything is normal again, batteries full.
    Reset,
}

impl Scenario {
    /// Every scenario, in the order of the buttons.
    pub const ALL: [Self; 7] = [
        Self::Outage,
        Self::MainsBack,
        Self::Cooling,
        Self::Leak,
        Self::Door,
        Self::Link,
        Self::Reset,
    ];

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Outage => "outage",
            Self::MainsBack => "mains-back",
            Self::Cooling => "cooling",
            Self::Leak => "leak",
            Self::Door => "door",
            Self::Link => "link",
            Self::Reset => "reset",
        }
    }

    /// The scenario of a word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scenario| scenario.word() == word)
    }
}

/// Where the room listens, for a data directory.
#[must_use]
pub fn socket(data_dir: &Path) -> PathBuf {
    data_dir.join("run").join("simroom.sock")
}

/// Why a word had no effect.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The room does not run, or its socket failed.
    #[error("no simulated room answers at {path}: {source}")]
    Io {
        /// The socket.
        path: PathBuf,
        /// What failed.
        source: std::io::Error,
    },
    /// It did not answer in time.
    #[error("the simulated room did not answer within {} s", TIMEOUT.as_secs())]
    Timeout,
    /// It refused.
    #[error("{0}")]
    Refused(String),
}

/// Makes a scenario happen in the room that runs on this data directory.
///
/// # Errors
/// [`ControlError`].
pub async fn send(data_dir: &Path, scenario: Scenario) -> Result<(), ControlError> {
    match ask(data_dir, scenario.word()).await?.as_str() {
        "ok" => Ok(()),
        other => Err(ControlError::Refused(
            other.strip_prefix("error: ").unwrap_or(other).to_owned(),
        )),
    }
}

/// The state of the room as JSON of [`crate::room::State`].
///
/// # Errors
/// [`ControlError`].
pub async fn state(data_dir: &Path) -> Result<String, ControlError> {
    ask(data_dir, STATE).await
}

/// The word that asks for the state.
pub(crate) const STATE: &str = "state";

async fn ask(data_dir: &Path, word: &str) -> Result<String, ControlError> {
    let path = socket(data_dir);
    let talk = async {
        let mut stream = UnixStream::connect(&path).await?;
        stream.write_all(format!("{word}\n").as_bytes()).await?;
        let mut answer = String::new();
        BufReader::new(stream.take(MAX_ANSWER))
            .read_line(&mut answer)
            .await?;
        if answer.ends_with('\n') {
            Ok(answer.trim_end().to_owned())
        } else {
            Err(std::io::ErrorKind::UnexpectedEof.into())
        }
    };
    match tokio::time::timeout(TIMEOUT, talk).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(source)) => Err(ControlError::Io { path, source }),
        Err(_) => Err(ControlError::Timeout),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_is_found_by_its_word() {
        for scenario in Scenario::ALL {
            assert_eq!(Scenario::of(scenario.word()), Some(scenario));
        }
        assert_eq!(Scenario::of("Outage"), None);
        assert_eq!(Scenario::of(""), None);
    }
}
