//! What the display says: which node this is and whether it is heard, the temperature in large
//! digits, the door, and what was decided last.
//!
//! ```text
//! NODE 7         ONLINE
//!
//!   2 3 . 5  C              three times as large
//!
//! DOOR CLOSED
//! DENIED EXPIRED
//! ```
//! Only characters that changed are drawn, one at a time, so that nothing waits for the display.

use crate::board::{Shared, word};
use crate::hal::display::{CELL, Display, WIDTH};
use core::fmt::Write as _;
use embassy_futures::yield_now;
use heapless::String;
use shared::NoData;
use shared::access::Decision;

/// Characters of a line at scale 1.
const COLUMNS: usize = (WIDTH / CELL.0) as usize;

type Text = String<COLUMNS>;

/// A line of the display, and what stands there.
struct Line {
    y: u8,
    scale: u8,
    drawn: Text,
}

impl Line {
    const fn new(y: u8, scale: u8) -> Self {
        let drawn = Text::new();
        Self { y, scale, drawn }
    }

    /// Draws what differs.
    async fn show(&mut self, display: &mut Display, text: &Text) {
        let columns = COLUMNS / usize::from(self.scale);
        for column in 0..columns {
            let at = |text: &Text| text.as_bytes().get(column).copied().unwrap_or(b' ');
            if at(text) != at(&self.drawn) {
                let x = column as u8 * CELL.0 * self.scale;
                display.draw(at(text), x, self.y, self.scale);
                yield_now().await;
            }
        }
        self.drawn.clone_from(text);
    }
}

/// Shows for ever.
pub(crate) async fn run(shared: &'static Shared) -> ! {
    let mut display = Display::start();
    let mut lines = [
        Line::new(0, 1),
        Line::new(16, 3),
        Line::new(46, 1),
        Line::new(56, 1),
    ];
    loop {
        let shown = shared.board.shown();
        let decision = shared.look(|node| node.last_decision());
        for (which, line) in lines.iter_mut().enumerate() {
            let mut text = Text::new();
            // What does not fit is not shown.
            let _ = match which {
                0 => write!(text, "NODE {:<5} {:>10}", shared.provision.node, word(shown.link)),
                1 => temperature(&mut text, shown.temperature),
                2 => text.write_str(door(shown.door_open)),
                _ => text.write_str(decision.map_or("", Decision::word)),
            };
            line.show(&mut display, &text).await;
        }
        common::next_second().await;
    }
}

/// Tenths of a degree, or why there are none.
fn temperature(text: &mut Text, milli: Option<Result<i32, NoData>>) -> core::fmt::Result {
    match milli {
        None => Ok(()),
        Some(Ok(milli)) => {
            let sign = if milli < 0 { "-" } else { "" };
            let tenths = (milli.unsigned_abs() + 50) / 100;
            write!(text, "{sign}{}.{} C", tenths / 10, tenths % 10)
        }
        Some(Err(_)) => text.write_str("--.- C"),
    }
}

const fn door(open: Option<bool>) -> &'static str {
    match open {
        None => "",
        Some(true) => "DOOR OPEN",
        Some(false) => "DOOR CLOSED",
    }
}
