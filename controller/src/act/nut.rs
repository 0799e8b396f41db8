//! Action `nut`: NUT's clients on the host watch a UPS that is served for it alone.
//!
//! There is nothing to send: core sends the role `nut` what its clients are to read, and from the
//! start of the step that UPS says `FSD`. So this holds no key. What it can do is to see, before
//! an outage, that a client of the host is logged in and would hear it.

use super::action::{Accepted, Problem, Sent, printable};
use super::permit::{Armed, Checked};
use room::site::NutAction;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest time until the server has answered.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest answer that is looked at, in bytes.
const MAX_ANSWER: u64 = 256;

/// Sees whether a client is logged in to that UPS.
///
/// # Errors
/// [`Problem`]: the server is not there, does not serve that UPS, or nobody is logged in.
pub(super) async fn check(action: &NutAction, _permit: Checked) -> Result<(), Problem> {
    let answer = timeout(PATIENCE, ask(action))
        .await
        .map_err(|_| Problem::passing(format!("the NUT server at {} does not answer", action.addr)))?
        .map_err(|error| Problem::passing(format!("the NUT server at {}: {error}", action.addr)))?;
    let words: Vec<&str> = answer.split_whitespace().collect();
    match words[..] {
        ["NUMLOGINS", _, count] if count != "0" => Ok(()),
        ["NUMLOGINS", ..] => Err(Problem::passing(format!(
            "no client is logged in to the UPS {}: start upsmon on the host, with this UPS in its settings",
            action.ups
        ))),
        _ => Err(Problem::passing(format!(
            "the NUT server at {} does not serve {}: {}",
            action.addr,
            action.ups,
            printable(answer.as_bytes(), 80)
        ))),
    }
}

async fn ask(action: &NutAction) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(action.addr).await?;
    let ask = format!("GET NUMLOGINS {}\nLOGOUT\n", action.ups);
    stream.write_all(ask.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

/// The step has begun, and that is what the clients are told.
#[must_use]
pub(super) fn request(_permit: Armed, sent: &Sent) -> Accepted {
    sent.set();
    Accepted::Cut
}
