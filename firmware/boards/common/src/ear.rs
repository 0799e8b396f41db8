//! A connection that is listened to, see [`node::takeover`].

use core::cell::Cell;
use embedded_io_async::{ErrorType, Read, Write};
use node::takeover::Listener;

/// A connection with a listener.
pub(crate) struct Ear<'a, IO> {
    connection: IO,
    listener: Listener,
    taken_over: &'a Cell<bool>,
}

impl<'a, IO> Ear<'a, IO> {
    /// `taken_over` is set when the broker says so.
    pub(crate) const fn new(connection: IO, taken_over: &'a Cell<bool>) -> Self {
        Self {
            connection,
            listener: Listener::new(),
            taken_over,
        }
    }
}

impl<IO: ErrorType> ErrorType for Ear<'_, IO> {
    type Error = IO::Error;
}

impl<IO: Read> Read for Ear<'_, IO> {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, IO::Error> {
        let length = self.connection.read(into).await?;
        if self.listener.hear(into.get(..length).unwrap_or_default()) {
            self.taken_over.set(true);
        }
        Ok(length)
    }
}

impl<IO: Write> Write for Ear<'_, IO> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, IO::Error> {
        self.connection.write(bytes).await
    }

    async fn flush(&mut self) -> Result<(), IO::Error> {
        self.connection.flush().await
    }
}
