//! Registers: where a Modbus device keeps a fact, and how its words become a value.
//!
//! **Notation.** One form everywhere, in profiles, recordings, the page and the log:
//! `space:address`, the address as it travels on the wire, that is zero-based, decimal or with
//! `0x`. A manual that counts `40001` or "holding register 1" means `holding:0`; `30001` is
//! `input:0`, `10001` is `discrete:0`, `1` of the coils is `coil:0`. Nothing else is accepted, so
//! that a number copied from a manual cannot silently mean its neighbour.
//!
//! A device that was not asked for a register, or does not have it, gives no value and never 0.

use super::Profile;
use super::value::Value;
use crate::device::Reading;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Registers of one text; 60 characters are more than any model name.
pub const TEXT_CHARACTERS_MAX: u16 = 60;
/// Longest silence before a question that a profile may ask for.
pub const PAUSE_MS_MAX: u16 = 1000;
/// Rows of a recording.
pub const RECORDING_LINES_MAX: usize = 20_000;

/// One of the four tables of a Modbus device (MODBUS Application Protocol V1.1b3, 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// Single bits that can be written; function 1.
    Coil,
    /// Single bits that can only be read; function 2.
    Discrete,
    /// Words that can be written; function 3.
    Holding,
    /// Words that can only be read; function 4.
    Input,
}

impl Space {
    /// As it is written.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Coil => "coil",
            Self::Discrete => "discrete",
            Self::Holding => "holding",
            Self::Input => "input",
        }
    }

    /// True for tables of single bits.
    #[must_use]
    pub const fn is_bits(self) -> bool {
        matches!(self, Self::Coil | Self::Discrete)
    }
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Space {
    type Err = BadRegister;

    fn from_str(text: &str) -> Result<Self, BadRegister> {
        [Self::Coil, Self::Discrete, Self::Holding, Self::Input]
            .into_iter()
            .find(|space| space.word() == text)
            .ok_or_else(|| BadRegister::shortened(text))
    }
}

/// Text that names no register.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no register (holding:0x82, input:30, coil:5 or discrete:5; addresses are zero-based, \
     0 to 65535, so 40001 of a manual is holding:0)"
)]
pub struct BadRegister(pub String);

impl BadRegister {
    fn shortened(text: &str) -> Self {
        Self(text.chars().take(40).collect())
    }
}

/// Where a value begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The table.
    pub space: Space,
    /// Zero-based.
    pub at: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.space, self.at)
    }
}

impl FromStr for Address {
    type Err = BadRegister;

    fn from_str(text: &str) -> Result<Self, BadRegister> {
        let bad = || BadRegister::shortened(text);
        let (space, at) = text.trim().split_once(':').ok_or_else(bad)?;
        Ok(Self {
            space: space.parse().map_err(|_| bad())?,
            at: number(at).and_then(|at| u16::try_from(at).ok()).ok_or_else(bad)?,
        })
    }
}

/// Decimal digits or `0x` and hexadecimal ones.
fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) if !digits.starts_with('+') => u32::from_str_radix(digits, 16).ok(),
        Some(_) => None,
        None if text.starts_with(|c: char| c.is_ascii_digit()) => text.parse().ok(),
        None => None,
    }
}

/// How words become a number or a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Type {
    /// A coil or a discrete input.
    Bit,
    /// 0 to 65,535.
    U16,
    /// Two's complement.
    I16,
    /// Two registers.
    U32,
    /// Two registers, two's complement.
    I32,
    /// Four registers.
    U64,
    /// Two registers, IEEE 754 single precision.
    F32,
    /// So many characters, two in a register, the first in the high byte.
    Text(u16),
}

impl Type {
    /// Registers that it takes.
    #[must_use]
    pub const fn words(self) -> u16 {
        match self {
            Self::Bit | Self::U16 | Self::I16 => 1,
            Self::U32 | Self::I32 | Self::F32 => 2,
            Self::U64 => 4,
            Self::Text(characters) => characters.div_ceil(2),
        }
    }
}

impl FromStr for Type {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "bit" => Self::Bit,
            "u16" => Self::U16,
            "i16" => Self::I16,
            "u32" => Self::U32,
            "i32" => Self::I32,
            "u64" => Self::U64,
            "f32" => Self::F32,
            _ => match text.strip_prefix("text:").and_then(|length| length.parse().ok()) {
                Some(length @ 1..=TEXT_CHARACTERS_MAX) => Self::Text(length),
                _ => {
                    return Err(format!(
                        "type `{text}` is none of bit, u16, i16, u32, i32, u64, f32, text:1 to text:{TEXT_CHARACTERS_MAX}"
                    ));
                }
            },
        })
    }
}

/// Which register of a pair holds the high word. Within a register the high byte is first, as
/// the standard says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// High word first.
    #[default]
    Big,
    /// Low word first.
    WordSwapped,
}

/// What a profile says about the whole device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Modbus {
    /// Order of the words of a value, where a fact says nothing else.
    pub order: Order,
    /// Registers that it takes in one question, at most.
    pub max_registers: u16,
    /// Unused registers between two wanted ones that may be read for nothing; 0 for a device
    /// that refuses them.
    pub hole: u16,
    /// Silence before each question, in milliseconds, where it needs more than the line does.
    pub pause_ms: u16,
}

impl Default for Modbus {
    fn default() -> Self {
        Self {
            order: Order::Big,
            // MODBUS Application Protocol V1.1b3, 6.3.
            max_registers: 125,
            // A question and its answer cost 13 bytes beside the registers, and the device's
            // time to think: less than sixteen more registers do.
            hole: 16,
            pause_ms: 0,
        }
    }
}

/// A value of a device: where it is and how to read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Register {
    /// Where it begins.
    pub address: Address,
    /// What it is.
    pub kind: Type,
    /// Of its words.
    pub order: Order,
}

impl Register {
    /// # Errors
    /// What is wrong, when the type does not fit the table or runs over its end.
    pub fn new(address: Address, kind: Type, order: Order) -> Result<Self, String> {
        if address.space.is_bits() != (kind == Type::Bit) {
            return Err(format!(
                "{address}: type bit belongs to coil and discrete, every other one to holding and input"
            ));
        }
        if address.at.checked_add(kind.words() - 1).is_none() {
            return Err(format!("{address}: runs over the last register, 65535"));
        }
        Ok(Self { address, kind, order })
    }

    /// Reads it from what the device answered.
    #[must_use]
    pub fn value(&self, image: &Image) -> Value {
        let mut words = Vec::with_capacity(usize::from(self.kind.words()));
        for offset in 0..self.kind.words() {
            // Cannot overflow: `new` refused what runs over the end.
            match image.cell(self.address.space, self.address.at.wrapping_add(offset)) {
                Cell::Word(word) => words.push(word),
                Cell::Missing => return Value::NoSuchInstance,
                Cell::Failed(code) => return Value::DeviceError(u32::from(code)),
            }
        }
        self.assemble(&words)
    }

    /// The words of a whole number, to be written; `None` when it does not fit, or when such a
    /// place cannot be written.
    #[must_use]
    pub fn words_of(&self, number: i64) -> Option<Vec<u16>> {
        if !matches!(self.address.space, Space::Coil | Space::Holding) {
            return None;
        }
        let low = match self.kind {
            Type::Bit | Type::U16 | Type::U32 | Type::U64 => 0,
            Type::I16 => i64::from(i16::MIN),
            Type::I32 => i64::from(i32::MIN),
            Type::F32 | Type::Text(_) => return None,
        };
        let high = match self.kind {
            Type::Bit => 1,
            Type::U16 => i64::from(u16::MAX),
            Type::U32 => i64::from(u32::MAX),
            Type::I16 => i64::from(i16::MAX),
            Type::I32 => i64::from(i32::MAX),
            _ => i64::MAX,
        };
        if !(low..=high).contains(&number) {
            return None;
        }
        let bytes = number.to_be_bytes();
        let all: Vec<u16> = bytes
            .chunks_exact(2)
            .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
            .collect();
        let mut words = all[all.len() - usize::from(self.kind.words())..].to_vec();
        if self.order == Order::WordSwapped {
            words.reverse();
        }
        Some(words)
    }

    fn assemble(&self, words: &[u16]) -> Value {
        let wide = || -> u64 {
            let join = |value, word: &u16| (value << 16) | u64::from(*word);
            match self.order {
                Order::Big => words.iter().fold(0, join),
                Order::WordSwapped => words.iter().rev().fold(0, join),
            }
        };
        match self.kind {
            Type::Bit | Type::U16 | Type::U32 | Type::U64 => Value::Unsigned(wide()),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_possible_wrap,
                reason = "its own 16 bits"
            )]
            Type::I16 => Value::Integer(i64::from(wide() as u16 as i16)),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_possible_wrap,
                reason = "its own 32 bits"
            )]
            Type::I32 => Value::Integer(i64::from(wide() as u32 as i32)),
            #[expect(clippy::cast_possible_truncation, reason = "two words were joined")]
            Type::F32 => real(wide() as u32),
            Type::Text(characters) => {
                let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
                bytes.truncate(usize::from(characters));
                Value::Bytes(bytes)
            }
        }
    }
}

/// A single-precision number in the encoding that carries one in SNMP, too: an `Opaque` of the
/// context tag 0x9f78 and four octets. One way to write a real number is one way to read it.
fn real(bits: u32) -> Value {
    let mut bytes = vec![0x9f, 0x78, 0x04];
    bytes.extend(bits.to_be_bytes());
    Value::Opaque(bytes)
}

/// One register as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cell {
    /// Its value; 0 or 1 for a bit.
    Word(u16),
    /// The device does not have it, or nobody asked.
    #[default]
    Missing,
    /// The device answered with this exception code.
    Failed(u8),
}

/// What one device answered, register by register.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    cells: BTreeMap<(Space, u16), Cell>,
}

impl Image {
    /// Keeps one register.
    pub fn set(&mut self, space: Space, at: u16, cell: Cell) {
        self.cells.insert((space, at), cell);
    }

    /// Keeps registers that follow each other; what would run over the end is left out.
    pub fn set_words(&mut self, start: Address, words: impl IntoIterator<Item = u16>) {
        for (at, word) in (start.at..=u16::MAX).zip(words) {
            self.set(start.space, at, Cell::Word(word));
        }
    }

    /// One register.
    #[must_use]
    pub fn cell(&self, space: Space, at: u16) -> Cell {
        self.cells.get(&(space, at)).copied().unwrap_or_default()
    }

    /// All that were read, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Space, u16, Cell)> {
        self.cells.iter().map(|((space, at), cell)| (*space, *at, *cell))
    }

    /// Reads a recording: a register or several that follow each other on a line, `#` begins a
    /// comment line.
    ///
    /// ```text
    /// holding 0x0082 = 0x2000
    /// holding 1000 = 2305 2310 2298
    /// input 0x0214 = "Smart-UPS"
    /// coil 5 = 1
    /// holding 0x0090 ! 2          (asked for it, the device answers with exception 2)
    /// ```
    ///
    /// # Errors
    /// The first line that is none, by its number.
    pub fn parse(text: &str) -> Result<Self, super::recording::BadLine> {
        let mut image = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bad = |problem: &str| super::recording::BadLine {
                line: index + 1,
                problem: problem.to_owned(),
            };
            if index >= RECORDING_LINES_MAX {
                return Err(bad("a recording has 20,000 lines at most"));
            }
            image.add_line(line).map_err(|problem| bad(&problem))?;
        }
        Ok(image)
    }

    /// What a device that answers so is, by this profile.
    #[must_use]
    pub fn reading(&self, profile: &Profile) -> Reading {
        let layout = profile.layout(&[]);
        layout.decode(None, &layout.values_in(self))
    }

    fn add_line(&mut self, line: &str) -> Result<(), String> {
        let shape = || format!("expected `holding 0x0082 = 0x2000`, found `{line}`");
        let (place, sign, value) = [" = ", " ! "]
            .into_iter()
            .find_map(|sign| {
                line.split_once(sign)
                    .map(|(place, value)| (place, sign, value.trim()))
            })
            .ok_or_else(shape)?;
        let (space, at) = place.trim().split_once(' ').ok_or_else(shape)?;
        let start: Address = format!("{space}:{}", at.trim())
            .parse()
            .map_err(|error| format!("{error}"))?;
        if sign == " ! " {
            let code = number(value).and_then(|code| u8::try_from(code).ok());
            self.set(start.space, start.at, Cell::Failed(code.ok_or_else(shape)?));
            return Ok(());
        }
        let words = match value.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
            Some(text) => text_words(text),
            None => value
                .split_whitespace()
                .map(|word| number(word).and_then(|word| u16::try_from(word).ok()))
                .collect::<Option<_>>()
                .ok_or_else(shape)?,
        };
        if start.space.is_bits() && words.iter().any(|word| *word > 1) {
            return Err(format!("a {} is 0 or 1", start.space));
        }
        if words.is_empty() || usize::from(start.at) + words.len() > usize::from(u16::MAX) + 1 {
            return Err(shape());
        }
        self.set_words(start, words);
        Ok(())
    }
}

fn text_words(text: &str) -> Vec<u16> {
    text.as_bytes()
        .chunks(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, address: &str, kind: &str, order: Order) -> Value {
        let image = Image::parse(text).unwrap();
        let register = Register::new(address.parse().unwrap(), kind.parse().unwrap(), order).unwrap();
        register.value(&image)
    }

    #[test]
    fn an_address_is_zero_based_and_says_its_table() {
        for (text, expected) in [
            ("holding:0x82", "holding:130"),
            ("input:30", "input:30"),
            ("coil:5", "coil:5"),
            ("discrete:65535", "discrete:65535"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), expected);
        }
        for text in [
            "40001",
            "holding:",
            "holding:65536",
            "holding:0x",
            "holding:+1",
            "holding:0x+1",
            "Holding:1",
            "hold:1",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn words_are_joined_in_the_order_of_the_device() {
        let text = "holding 10 = 0x4366 0x8000 0x0001 0x0002";
        assert_eq!(
            read(text, "holding:10", "u32", Order::Big),
            Value::Unsigned(0x4366_8000)
        );
        assert_eq!(
            read(text, "holding:10", "u32", Order::WordSwapped),
            Value::Unsigned(0x8000_4366)
        );
        assert_eq!(
            read(text, "holding:10", "u64", Order::WordSwapped),
            Value::Unsigned(0x0002_0001_8000_4366)
        );
        assert_eq!(
            read(text, "holding:10", "f32", Order::Big),
            Value::Opaque(vec![0x9f, 0x78, 4, 0x43, 0x66, 0x80, 0])
        );
    }

    #[test]
    fn negative_numbers_are_twos_complement() {
        let text = "input 1 = 0xffff 0xfffe";
        assert_eq!(read(text, "input:1", "i16", Order::Big), Value::Integer(-1));
        assert_eq!(read(text, "input:1", "i32", Order::Big), Value::Integer(-2));
        assert_eq!(read(text, "input:1", "u16", Order::Big), Value::Unsigned(65_535));
    }

    #[test]
    fn a_text_ends_where_its_length_says() {
        let text = "holding 0x214 = \"Smart-UPS\"";
        assert_eq!(
            read(text, "holding:0x214", "text:9", Order::Big),
            Value::Bytes(b"Smart-UPS".to_vec())
        );
        assert_eq!(
            read(text, "holding:0x214", "text:5", Order::Big),
            Value::Bytes(b"Smart".to_vec())
        );
    }

    #[test]
    fn half_a_value_is_none() {
        let text = "holding 1 = 7\nholding 2 ! 4\nholding 10 = 1\n";
        assert_eq!(read(text, "holding:1", "u32", Order::Big), Value::DeviceError(4));
        assert_eq!(read(text, "holding:10", "u32", Order::Big), Value::NoSuchInstance);
        assert_eq!(read(text, "coil:10", "bit", Order::Big), Value::NoSuchInstance);
    }

    #[test]
    fn types_that_cannot_be_there_are_refused() {
        let new = |address: &str, kind: &str| {
            Register::new(address.parse().unwrap(), kind.parse().unwrap(), Order::Big)
        };
        assert!(new("coil:1", "u16").is_err());
        assert!(new("holding:1", "bit").is_err());
        assert!(new("holding:65535", "u32").is_err());
        assert!(new("holding:65535", "u16").is_ok());
        for text in ["text:0", "text:61", "text:", "f64", "U16"] {
            assert!(text.parse::<Type>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_bad_line_of_a_recording_is_named() {
        for (text, line) in [
            ("holding 1 = 1\nholding 2", 2),
            ("coil 1 = 2", 1),
            ("holding 65535 = 1 2", 1),
            ("holding 1 = 65536", 1),
            ("holding 1 ! 256", 1),
            ("holding 1 = ", 1),
            ("thing 1 = 1", 1),
        ] {
            assert_eq!(Image::parse(text).unwrap_err().line, line, "{text}");
        }
    }
}
