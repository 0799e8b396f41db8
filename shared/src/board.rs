//! The boards that there are, by the number that images and blocks carry.

/// A board. Append only: the number is in signed images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Board {
    /// Stellaris LM3S6965 evaluation board; also the emulated board of the tests.
    Lm3s6965 = 1,
    /// RP2040 with a W5500 Ethernet controller (W5500-EVB-Pico).
    Rp2040W5500 = 2,
    /// STM32F767ZI (NUCLEO-F767ZI).
    Stm32f767zi = 3,
}

impl Board {
    /// Every board.
    pub const ALL: [Self; 3] = [Self::Lm3s6965, Self::Rp2040W5500, Self::Stm32f767zi];

    /// The number in images and blocks.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The board with this number.
    #[must_use]
    pub fn of(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|board| board.number() == number)
    }

    /// True when a PIN keypad can be connected to it. So far to none: the drivers are there, the pins
    /// are not.
    #[must_use]
    pub const fn has_keypad(self) -> bool {
        match self {
            Self::Lm3s6965 | Self::Rp2040W5500 | Self::Stm32f767zi => false,
        }
    }

    /// Its name in `site.toml`, on labels and of its firmware.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lm3s6965 => "lm3s6965",
            Self::Rp2040W5500 => "rp2040-w5500",
            Self::Stm32f767zi => "stm32f767zi",
        }
    }
}
