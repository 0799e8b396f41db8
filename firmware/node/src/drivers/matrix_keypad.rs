//! Matrix keypad of twelve keys: four driven rows, three read columns.
//!
//! ```text
//!          C0  C1  C2      rows:    outputs, open drain, low when driven
//!     R0   1   2   3       columns: inputs with pull-ups, low when a key joins them to a driven row
//!     R1   4   5   6
//!     R2   7   8   9
//!     R3   *   0   #       * clears, # enters
//! ```
//! Each call reads the columns of the row that the call before has driven, and drives the next:
//! nothing waits, and the line has settled. Called every [`SCAN_MS`], four calls see all keys.
//!
//! A key counts once, when it alone was down for [`HOLD_MS`]. Two keys at once are none: three keys
//! at the corners of a rectangle show a fourth that nobody presses (there are no diodes), and
//! which of two came first is a guess. After that, and after each key, all must be up for
//! [`HOLD_MS`]. A jammed key counts once and then keeps all others from counting.

use crate::keypad::Key;
use embedded_hal::digital::{InputPin, OutputPin};

/// Time between two calls of [`MatrixKeypad::scan`], in milliseconds.
pub const SCAN_MS: u64 = 2;
/// How long a key must be down, and all keys up, in milliseconds. Membranes bounce for 5 to 15.
pub const HOLD_MS: u64 = 20;

const ROWS: usize = 4;
const COLUMNS: usize = 3;

const _: () = assert!(HOLD_MS >= 2 * SCAN_MS * ROWS as u64, "at least two full scans");

/// What is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    /// Nothing; a key may count.
    Up,
    /// This key alone since then.
    Down { key: u8, since: u64 },
    /// It has counted, or several were down; all must be up first. `Some`: they are, since then.
    Spent { up_since: Option<u64> },
}

/// A keypad on seven pins. A board erases the types of its pins, or uses one port.
#[derive(Debug)]
pub struct MatrixKeypad<R, C> {
    rows: [R; ROWS],
    columns: [C; COLUMNS],
    /// The row that is driven.
    row: usize,
    /// Keys seen in this scan, a bit each.
    seen: u16,
    held: Held,
}

impl<R: OutputPin, C: InputPin> MatrixKeypad<R, C> {
    /// Rows from the top, columns from the left.
    pub const fn new(rows: [R; ROWS], columns: [C; COLUMNS]) -> Self {
        Self {
            rows,
            columns,
            row: ROWS,
            seen: 0,
            // What is down at start is not pressed now.
            held: Held::Spent { up_since: None },
        }
    }

    /// One step; a key when it has settled.
    ///
    /// # Errors
    /// The error of a pin, when pins can fail (expanders); the scan begins anew.
    pub fn scan(&mut self, now_ms: u64) -> Result<Option<Key>, PinError<R::Error, C::Error>> {
        let stepped = self.step();
        if stepped.is_err() {
            self.row = ROWS;
            self.seen = 0;
        }
        Ok(if stepped? { self.judge(now_ms) } else { None })
    }

    /// Reads the driven row and drives the next; true after the last row.
    fn step(&mut self) -> Result<bool, PinError<R::Error, C::Error>> {
        if self.row < ROWS {
            for (column, pin) in self.columns.iter_mut().enumerate() {
                if pin.is_low().map_err(PinError::Column)? {
                    self.seen |= 1 << (self.row * COLUMNS + column);
                }
            }
        }
        let last = self.row + 1 == ROWS;
        self.row = if self.row >= ROWS {
            0
        } else {
            (self.row + 1) % ROWS
        };
        for (row, pin) in self.rows.iter_mut().enumerate() {
            if row == self.row {
                pin.set_low()
            } else {
                pin.set_high()
            }
            .map_err(PinError::Row)?;
        }
        Ok(last)
    }

    /// What a full scan means.
    fn judge(&mut self, now_ms: u64) -> Option<Key> {
        let seen = core::mem::take(&mut self.seen);
        let one = (seen.count_ones() == 1).then(|| seen.trailing_zeros() as u8);
        let mut pressed = None;
        self.held = match (self.held, one) {
            (Held::Up, Some(key)) => Held::Down { key, since: now_ms },
            (Held::Down { key, since }, Some(now)) if key == now => {
                if now_ms.saturating_sub(since) < HOLD_MS {
                    self.held
                } else {
                    pressed = key_at(key);
                    Held::Spent { up_since: None }
                }
            }
            // It bounces, or was noise.
            (Held::Up | Held::Down { .. }, None) if seen == 0 => Held::Up,
            (
                Held::Spent {
                    up_since: Some(since),
                },
                None,
            ) if seen == 0 => {
                if now_ms.saturating_sub(since) < HOLD_MS {
                    self.held
                } else {
                    Held::Up
                }
            }
            (Held::Spent { up_since: None }, None) if seen == 0 => Held::Spent {
                up_since: Some(now_ms),
            },
            // Another key before the first was up, several, or one that has counted.
            _ => Held::Spent { up_since: None },
        };
        pressed
    }
}

/// Which pin failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinError<R, C> {
    /// A row could not be driven.
    Row(R),
    /// A column could not be read.
    Column(C),
}

const fn key_at(index: u8) -> Option<Key> {
    Some(match index {
        0..=8 => Key::Digit(index + 1),
        9 => Key::Clear,
        10 => Key::Digit(0),
        11 => Key::Enter,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::RefCell;
    use core::convert::Infallible;
    use embedded_hal::digital::ErrorType;
    use std::rc::Rc;
    use std::vec::Vec as List;

    /// Keys that are down join rows and columns, also by detours.
    #[derive(Default)]
    struct Board {
        down: List<u8>,
        driven: [bool; ROWS],
    }

    impl Board {
        fn is_low(&self, column: usize) -> bool {
            let mut rows = self.driven;
            let mut low = [false; COLUMNS];
            for _ in 0..ROWS + COLUMNS {
                for key in &self.down {
                    let (row, column) = (usize::from(*key) / COLUMNS, usize::from(*key) % COLUMNS);
                    low[column] |= rows[row];
                    rows[row] |= low[column];
                }
            }
            low[column]
        }
    }

    struct Row(Rc<RefCell<Board>>, usize);
    struct Column(Rc<RefCell<Board>>, usize);

    impl ErrorType for Row {
        type Error = Infallible;
    }

    impl ErrorType for Column {
        type Error = Infallible;
    }

    impl OutputPin for Row {
        fn set_low(&mut self) -> Result<(), Infallible> {
            self.0.borrow_mut().driven[self.1] = true;
            Ok(())
        }

        fn set_high(&mut self) -> Result<(), Infallible> {
            self.0.borrow_mut().driven[self.1] = false;
            Ok(())
        }
    }

    impl InputPin for Column {
        fn is_high(&mut self) -> Result<bool, Infallible> {
            Ok(!self.0.borrow().is_low(self.1))
        }

        fn is_low(&mut self) -> Result<bool, Infallible> {
            Ok(self.0.borrow().is_low(self.1))
        }
    }

    struct Rig {
        board: Rc<RefCell<Board>>,
        keypad: MatrixKeypad<Row, Column>,
        now: u64,
    }

    impl Rig {
        fn new() -> Self {
            let board = Rc::new(RefCell::new(Board::default()));
            let keypad = MatrixKeypad::new(
                core::array::from_fn(|row| Row(board.clone(), row)),
                core::array::from_fn(|column| Column(board.clone(), column)),
            );
            let mut rig = Self {
                board,
                keypad,
                now: 0,
            };
            assert_eq!(rig.hold(&[], 60), []);
            rig
        }

        /// Holds these keys down for a while; what was pressed.
        fn hold(&mut self, keys: &[u8], ms: u64) -> List<Key> {
            self.board.borrow_mut().down = keys.to_vec();
            (0..ms / SCAN_MS)
                .filter_map(|_| {
                    self.now += SCAN_MS;
                    self.keypad.scan(self.now).unwrap()
                })
                .collect()
        }
    }

    #[test]
    fn every_key_is_told_once_and_rightly() {
        let mut rig = Rig::new();
        let mut told = List::new();
        for key in 0..12 {
            told.extend(rig.hold(&[key], 200));
            told.extend(rig.hold(&[], 60));
        }
        let digit = Key::Digit;
        let mut wanted: List<Key> = (1..=9).map(digit).collect();
        wanted.extend([Key::Clear, digit(0), Key::Enter]);
        assert_eq!(told, wanted);
    }

    #[test]
    fn a_bouncing_key_is_one_press() {
        let mut rig = Rig::new();
        let mut told = List::new();
        for _ in 0..6 {
            told.extend(rig.hold(&[4], 6));
            told.extend(rig.hold(&[], 4));
        }
        told.extend(rig.hold(&[4], 100));
        for _ in 0..6 {
            told.extend(rig.hold(&[], 4));
            told.extend(rig.hold(&[4], 6));
        }
        told.extend(rig.hold(&[], 100));
        assert_eq!(told, [Key::Digit(5)]);
    }

    #[test]
    fn three_corners_do_not_press_the_fourth() {
        let mut rig = Rig::new();
        // 1, 3 and 7 are down; the detour shows 9 (8), too.
        assert_eq!(rig.hold(&[0, 2, 6], 500), []);
        // Letting go one by one presses nothing either.
        assert_eq!(rig.hold(&[0, 2], 100), []);
        assert_eq!(rig.hold(&[2], 500), []);
        rig.hold(&[], 60);
        assert_eq!(rig.hold(&[2], 60), [Key::Digit(3)]);
    }

    #[test]
    fn two_keys_at_once_are_none_and_a_slide_from_one_to_the_next_is_the_first() {
        let mut rig = Rig::new();
        assert_eq!(rig.hold(&[0, 1], 200), []);
        rig.hold(&[], 60);
        assert_eq!(rig.hold(&[0], 60), [Key::Digit(1)]);
        assert_eq!(rig.hold(&[0, 1], 60), []);
        assert_eq!(rig.hold(&[1], 60), []);
    }

    #[test]
    fn a_jammed_key_counts_once_and_one_found_down_at_start_never() {
        let mut rig = Rig::new();
        assert_eq!(rig.hold(&[11], 600_000), [Key::Enter]);
        let mut rig = Rig::new();
        rig.keypad.held = Held::Spent { up_since: None };
        assert_eq!(rig.hold(&[5], 1_000), []);
    }

    #[test]
    fn a_key_that_is_noise_for_a_moment_is_nothing() {
        let mut rig = Rig::new();
        for _ in 0..20 {
            assert_eq!(rig.hold(&[7], 10), []);
            assert_eq!(rig.hold(&[], 30), []);
        }
    }
}
