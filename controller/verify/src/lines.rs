//! Lines of a file, none longer than a limit: a file that never ends its line must not fill the memory.

use std::io::{self, BufRead, Read};

/// What is wrong with a line.
#[derive(Debug)]
pub enum LineError {
    /// The file cannot be read on.
    Io(io::Error),
    /// Longer than the limit; what follows is not read.
    TooLong,
    /// The file ends without a line feed: something is cut off.
    Open,
}

/// Lines without their line feeds.
pub struct Lines<R> {
    reader: R,
    max: usize,
    line: Vec<u8>,
    ended: bool,
}

impl<R: BufRead> Lines<R> {
    /// Lines of at most `max` bytes.
    pub fn new(reader: R, max: usize) -> Self {
        Self {
            reader,
            max,
            line: Vec::new(),
            ended: false,
        }
    }

    /// The next line; none at the end. After an error there is no next line.
    ///
    /// # Errors
    /// See [`LineError`].
    pub fn next_line(&mut self) -> Result<Option<&[u8]>, LineError> {
        self.line.clear();
        if self.ended {
            return Ok(None);
        }
        let result = (&mut self.reader)
            .take(self.max as u64 + 1)
            .read_until(b'\n', &mut self.line);
        let read = result.map_err(|why| {
            self.ended = true;
            LineError::Io(why)
        })?;
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
            return Ok(Some(&self.line));
        }
        self.ended = true;
        match read {
            0 => Ok(None),
            long if long > self.max => Err(LineError::TooLong),
            _ => Err(LineError::Open),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_with_a_line_feed_and_have_a_limit() {
        let mut lines = Lines::new(&b"one\n\n123456\nxx"[..], 6);
        assert_eq!(lines.next_line().unwrap(), Some(&b"one"[..]));
        assert_eq!(lines.next_line().unwrap(), Some(&b""[..]));
        assert_eq!(lines.next_line().unwrap(), Some(&b"123456"[..]));
        assert!(matches!(lines.next_line(), Err(LineError::Open)));
        assert!(matches!(lines.next_line(), Ok(None)));
        let mut lines = Lines::new(&b"1234567\nx\n"[..], 6);
        assert!(matches!(lines.next_line(), Err(LineError::TooLong)));
        assert!(matches!(lines.next_line(), Ok(None)));
    }
}
