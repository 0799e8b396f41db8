//! The console on UART 0, 115200 8N1: milestones in plain words, for whoever holds the board.

use super::Reg;
use core::fmt;

const UART: u32 = 0x4000_c000;
const DATA: Reg = Reg(UART);
const FLAGS: Reg = Reg(UART + 0x018);
const FIFO_FULL: u32 = 1 << 5;
/// Looks at a full FIFO before a byte is given up: ten times the length of a byte.
const MAX_TRIES: u32 = 2_000;

/// Sets up the port. Before that, what is printed goes nowhere.
pub(crate) fn start() {
    // Port A, pins 0 and 1 to the UART.
    Reg(0x4000_4420).set(0b11);
    Reg(0x4000_451c).set(0b11);
    // 12.5 MHz / (16 * 115200) = 6 + 50/64.
    Reg(UART + 0x024).write(6);
    Reg(UART + 0x028).write(50);
    // 8 bits, FIFO; transmitter and UART on.
    Reg(UART + 0x02c).write(0x70);
    Reg(UART + 0x030).write(0x101);
}

/// Where `console!` prints to.
pub(crate) struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if (0..MAX_TRIES).any(|_| FLAGS.read() & FIFO_FULL == 0) {
                DATA.write(byte.into());
            }
        }
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
