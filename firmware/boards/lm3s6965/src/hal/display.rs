//! The OLED: 128 by 64 points of 16 greys behind an SSD0323 (Solomon Systech, SSD0323 rev 1.0,
//! chapter 10) on SSI 0 (chapter 13), written to and never read.
//!
//! There is no picture in RAM, which would take 4 KB: a character is drawn right into its window
//! of the display, and costs 0.1 ms in small and 0.6 ms in large.

use super::Reg;
use super::gpio::Output;

const SSI: u32 = 0x4000_8000;
const CONTROL_0: Reg = Reg(SSI);
const CONTROL_1: Reg = Reg(SSI + 0x004);
const DATA: Reg = Reg(SSI + 0x008);
const STATUS: Reg = Reg(SSI + 0x00c);
const PRESCALE: Reg = Reg(SSI + 0x010);
const RECEIVED: u32 = 1 << 2;
const BUSY: u32 = 1 << 4;
/// Looks at a port that still sends: a byte takes 2.6 us.
const MAX_TRIES: u32 = 1_000;

/// Points across and down.
pub(crate) const WIDTH: u8 = 128;
/// See [`WIDTH`].
pub(crate) const HEIGHT: u8 = 64;
/// A character with the space after and below it, at scale 1.
pub(crate) const CELL: (u8, u8) = (6, 8);

/// Off; 80 lines of the controller, of which 64 are there; both halves of the lines swapped, as
/// the glass is wired; full current, contrast at half; on.
const START: &[u8] = &[
    0xae, 0xa8, 0x3f, 0xa0, 0x52, 0xa1, 0x00, 0xa2, 0x44, 0x81, 0x40, 0x86, 0xa4, 0xaf,
];
const SET_COLUMNS: u8 = 0x15;
const SET_ROWS: u8 = 0x75;

/// Brightness of two neighbouring points by their bits.
const GREYS: [u8; 4] = [0x00, 0x0f, 0xf0, 0xff];

/// The display.
#[derive(Debug)]
pub(crate) struct Display(());

impl Display {
    /// Sets up port and display, dark.
    pub(crate) fn start() -> Self {
        Output::DisplayData.start(false);
        Output::DisplaySelect.start(true);
        CONTROL_1.write(0);
        // 12.5 MHz / 4 is less than the 4 MHz that the part takes; 8 bits, data at the second edge
        // of a clock that rests high.
        PRESCALE.write(4);
        CONTROL_0.write(1 << 7 | 1 << 6 | 7);
        CONTROL_1.write(1 << 1);
        let mut display = Self(());
        START.iter().for_each(|byte| display.send(*byte));
        display.window(0, 0, WIDTH, HEIGHT);
        for _ in 0..usize::from(WIDTH) * usize::from(HEIGHT) / 2 {
            display.send(0);
        }
        display
    }

    /// Draws a character with its upper left corner at an even `x`; `scale` points for each.
    pub(crate) fn draw(&mut self, character: u8, x: u8, y: u8, scale: u8) {
        let rows = glyph(character);
        self.window(x, y, CELL.0 * scale, CELL.1 * scale);
        for row in (0..CELL.1).flat_map(|row| core::iter::repeat_n(row, usize::from(scale))) {
            let bits = rows.get(usize::from(row)).copied().unwrap_or(0);
            // The fifth bit is the leftmost; the sixth point is the space to the next character.
            let point = |column: u8| (bits << 1 >> (5 - column / scale)) & 1;
            for column in (0..CELL.0 * scale).step_by(2) {
                let pair = point(column) << 1 | point(column + 1);
                self.send(GREYS[usize::from(pair)]);
            }
        }
    }

    /// What is sent next fills this rectangle, line by line.
    fn window(&mut self, x: u8, y: u8, width: u8, height: u8) {
        Output::DisplayData.set(false);
        for byte in [
            SET_COLUMNS,
            x / 2,
            (x + width) / 2 - 1,
            SET_ROWS,
            y,
            y + height - 1,
        ] {
            self.send(byte);
        }
        Output::DisplayData.set(true);
    }

    fn send(&mut self, byte: u8) {
        DATA.write(byte.into());
        let _ = (0..MAX_TRIES).any(|_| STATUS.read() & BUSY == 0);
        // What comes back means nothing, but must not fill the FIFO.
        while STATUS.read() & RECEIVED != 0 {
            let _ = DATA.read();
        }
    }
}

/// Rows of five points, the leftmost in bit 4; what has no glyph is a blank.
fn glyph(character: u8) -> [u8; 7] {
    let at = match character.to_ascii_uppercase() {
        digit @ b'0'..=b'9' => digit - b'0',
        letter @ b'A'..=b'Z' => letter - b'A' + 10,
        b'.' => 36,
        b'-' => 37,
        b':' => 38,
        b'%' => 39,
        b'/' => 40,
        b'?' => 41,
        _ => return [0; 7],
    };
    GLYPHS[usize::from(at)]
}

#[rustfmt::skip]
const GLYPHS: [[u8; 7]; 42] = [
    [0x0e, 0x11, 0x13, 0x15, 0x19, 0x11, 0x0e], // 0
    [0x04, 0x0c, 0x04, 0x04, 0x04, 0x04, 0x0e], // 1
    [0x0e, 0x11, 0x01, 0x06, 0x08, 0x10, 0x1f], // 2
    [0x0e, 0x11, 0x01, 0x06, 0x01, 0x11, 0x0e], // 3
    [0x02, 0x06, 0x0a, 0x12, 0x1f, 0x02, 0x02], // 4
    [0x1f, 0x10, 0x1e, 0x01, 0x01, 0x11, 0x0e], // 5
    [0x06, 0x08, 0x10, 0x1e, 0x11, 0x11, 0x0e], // 6
    [0x1f, 0x01, 0x02, 0x04, 0x04, 0x08, 0x08], // 7
    [0x0e, 0x11, 0x11, 0x0e, 0x11, 0x11, 0x0e], // 8
    [0x0e, 0x11, 0x11, 0x0f, 0x01, 0x02, 0x0c], // 9
    [0x04, 0x0a, 0x11, 0x11, 0x1f, 0x11, 0x11], // A
    [0x1e, 0x11, 0x11, 0x1e, 0x11, 0x11, 0x1e], // B
    [0x0e, 0x11, 0x10, 0x10, 0x10, 0x11, 0x0e], // C
    [0x1e, 0x11, 0x11, 0x11, 0x11, 0x11, 0x1e], // D
    [0x1f, 0x10, 0x10, 0x1e, 0x10, 0x10, 0x1f], // E
    [0x1f, 0x10, 0x10, 0x1e, 0x10, 0x10, 0x10], // F
    [0x0e, 0x11, 0x10, 0x17, 0x11, 0x11, 0x0f], // G
    [0x11, 0x11, 0x11, 0x1f, 0x11, 0x11, 0x11], // H
    [0x0e, 0x04, 0x04, 0x04, 0x04, 0x04, 0x0e], // I
    [0x01, 0x01, 0x01, 0x01, 0x11, 0x11, 0x0e], // J
    [0x11, 0x12, 0x14, 0x18, 0x14, 0x12, 0x11], // K
    [0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x1f], // L
    [0x11, 0x1b, 0x15, 0x15, 0x11, 0x11, 0x11], // M
    [0x11, 0x19, 0x15, 0x15, 0x13, 0x11, 0x11], // N
    [0x0e, 0x11, 0x11, 0x11, 0x11, 0x11, 0x0e], // O
    [0x1e, 0x11, 0x11, 0x1e, 0x10, 0x10, 0x10], // P
    [0x0e, 0x11, 0x11, 0x11, 0x15, 0x12, 0x0d], // Q
    [0x1e, 0x11, 0x11, 0x1e, 0x14, 0x12, 0x11], // R
    [0x0f, 0x10, 0x10, 0x0e, 0x01, 0x01, 0x1e], // S
    [0x1f, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04], // T
    [0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x0e], // U
    [0x11, 0x11, 0x11, 0x11, 0x0a, 0x0a, 0x04], // V
    [0x11, 0x11, 0x11, 0x15, 0x15, 0x1b, 0x11], // W
    [0x11, 0x11, 0x0a, 0x04, 0x0a, 0x11, 0x11], // X
    [0x11, 0x11, 0x0a, 0x04, 0x04, 0x04, 0x04], // Y
    [0x1f, 0x01, 0x02, 0x04, 0x08, 0x10, 0x1f], // Z
    [0x00, 0x00, 0x00, 0x00, 0x00, 0x0c, 0x0c], // .
    [0x00, 0x00, 0x00, 0x1f, 0x00, 0x00, 0x00], // -
    [0x00, 0x0c, 0x0c, 0x00, 0x0c, 0x0c, 0x00], // :
    [0x18, 0x19, 0x02, 0x04, 0x08, 0x13, 0x03], // %
    [0x01, 0x01, 0x02, 0x04, 0x08, 0x10, 0x10], // /
    [0x0e, 0x11, 0x01, 0x02, 0x04, 0x00, 0x04], // ?
];
