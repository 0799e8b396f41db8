//! The console on UART 0, 115200 8N1: milestones in plain words, for whoever holds the board, and
//! the way in for the configuration block.

use super::uart::{CONSOLE, Parity};
use core::fmt;

/// Sets up the port. Before that, what is printed waits in its ring.
pub(crate) fn start() {
    CONSOLE.start(115_200, Parity::None);
}

/// Where `console!` prints to.
pub(crate) struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        CONSOLE.write_patiently(text.as_bytes());
        Ok(())
    }
}

/// Prints a line on the console.
macro_rules! console {
    ($($part:tt)*) => {{
        use core::fmt::Write as _;
        // Writing to the console cannot fail; a stuck port drops bytes.
        let _ = writeln!($crate::hal::console::Console, $($part)*);
    }};
}
pub(crate) use console;
