//! One write to a unit: over a line of its own, so that no other question's reply can be its answer.
//!
//! It is sent once. A reply that is not exactly the echo the standard asks for is no success, and
//! silence is "nobody knows".

use super::bus::attach;
use super::line::Line;
use super::wire::Port;
use super::{Exception, Space};
use room::profile::register::Address;
use std::borrow::Cow;
use std::time::Duration;
use tokio_modbus::client::Client as _;
use tokio_modbus::slave::SlaveContext as _;
use tokio_modbus::{Request, Response, Slave};

/// Why a write was not done, or what is not known of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotWritten {
    /// Nothing left this machine.
    #[error("{line}: {problem}")]
    Unsent {
        /// Where.
        line: String,
        /// Why.
        problem: String,
    },
    /// The unit says no.
    #[error("unit {unit}: {exception}")]
    Refused {
        /// Who.
        unit: u8,
        /// Why.
        exception: Exception,
    },
    /// It was sent, and no answer of use came.
    #[error("unit {unit}: {problem}")]
    Unknown {
        /// Who.
        unit: u8,
        /// What came instead.
        problem: String,
    },
}

/// Writes registers or one coil that follow each other; `sent` is called at the moment from which the
/// unit may act.
///
/// # Errors
/// [`NotWritten`].
pub async fn write(
    line: &Line,
    unit: u8,
    start: Address,
    words: &[u16],
    timeout: Duration,
    sent: impl FnOnce(),
) -> Result<(), NotWritten> {
    let (request, expected) = match (start.space, words) {
        (Space::Coil, [word]) => {
            let bit = *word != 0;
            (
                Request::WriteSingleCoil(start.at, bit),
                Response::WriteSingleCoil(start.at, bit),
            )
        }
        (Space::Holding, [word]) => (
            Request::WriteSingleRegister(start.at, *word),
            Response::WriteSingleRegister(start.at, *word),
        ),
        (Space::Holding, words) if !words.is_empty() && words.len() <= 4 => {
            let count = u16::try_from(words.len()).unwrap_or(0);
            (
                Request::WriteMultipleRegisters(start.at, Cow::Borrowed(words)),
                Response::WriteMultipleRegisters(start.at, count),
            )
        }
        _ => {
            return Err(NotWritten::Unsent {
                line: line.to_string(),
                problem: format!("{start} cannot be written"),
            });
        }
    };
    let wire = line.open().await.map_err(|error| NotWritten::Unsent {
        line: line.to_string(),
        problem: error.to_string(),
    })?;
    let mut context = attach(line, Port::new(wire));
    context.set_slave(Slave(unit));
    tokio::time::sleep(line.gap()).await;
    sent();
    let unknown = |problem: String| NotWritten::Unknown { unit, problem };
    match tokio::time::timeout(timeout, context.call(request.into_owned())).await {
        Err(_) => Err(unknown("no answer to the write".to_owned())),
        Ok(Ok(Ok(answer))) if answer == expected => Ok(()),
        Ok(Ok(Ok(_))) => Err(unknown("the answer is not the one to this write".to_owned())),
        Ok(Ok(Err(code))) => Err(NotWritten::Refused {
            unit,
            exception: Exception::new(code.into()),
        }),
        Ok(Err(error)) => Err(unknown(error.to_string())),
    }
}
