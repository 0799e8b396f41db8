//! The LM3S6965's own hardware, as far as a node uses it.
//!
//! All `unsafe` of the firmware lives below this module: registers are read and written through
//! [`Reg`] and nowhere else. Addresses and bits are those of the data sheet DS-LM3S6965. What the
//! emulator does differently is said where it matters; it was seen with QEMU 7.2.
#![allow(unsafe_code)]

pub(crate) mod clock;
pub(crate) mod console;
pub(crate) mod crash;
pub(crate) mod display;
pub(crate) mod ethernet;
pub(crate) mod executor;
pub(crate) mod gpio;
pub(crate) mod i2c;
pub(crate) mod stack;
pub(crate) mod uart;
mod vectors;
pub(crate) mod watchdog;

/// A register of this chip, or a word of RAM that belongs to no section.
#[derive(Debug, Clone, Copy)]
struct Reg(u32);

impl Reg {
    fn read(self) -> u32 {
        // SAFETY: every `Reg` is made in this module tree from the constant address of a register
        // or of a word outside of every section; Rust knows of no memory there.
        unsafe { (self.0 as *const u32).read_volatile() }
    }

    fn write(self, value: u32) {
        // SAFETY: as above; the peripherals in use do no DMA.
        unsafe { (self.0 as *mut u32).write_volatile(value) }
    }

    fn set(self, bits: u32) {
        self.write(self.read() | bits);
    }

    fn clear(self, bits: u32) {
        self.write(self.read() & !bits);
    }
}

/// System control, chapter 6.
const SYSCTL: u32 = 0x400f_e000;

/// Runs the core at 12.5 MHz from the 8 MHz crystal and gives every peripheral in use its clock.
///
/// 12.5 MHz is plenty for a node, and one second of it fits the 24 bits of SysTick.
pub(crate) fn start() {
    stack::wipe();

    const RIS: Reg = Reg(SYSCTL + 0x050);
    const RCC: Reg = Reg(SYSCTL + 0x060);
    const PLL_LOCKED: u32 = 1 << 6;
    const BYPASS: u32 = 1 << 11;
    const POWER_DOWN: u32 = 1 << 13;
    const USE_DIVIDER: u32 = 1 << 22;
    const DIVIDER_16: u32 = 0xf << 23;
    const CRYSTAL_8MHZ: u32 = 0xe << 6;
    const CLEARED: u32 = POWER_DOWN | 1 << 12 | 0xf << 6 | 0b11 << 4 | 1;
    /// Tries before we go on without the PLL: half a second, the crystal is then dead anyway.
    const MAX_TRIES: u32 = 1_000_000;

    RCC.set(BYPASS);
    RCC.write(RCC.read() & !CLEARED | CRYSTAL_8MHZ | DIVIDER_16 | USE_DIVIDER);
    if (0..MAX_TRIES).any(|_| RIS.read() & PLL_LOCKED != 0) {
        RCC.clear(BYPASS);
    }

    // Clock gates: watchdog; I2C0, SSI0, timers 0 and 1, UARTs 0 to 2; ports A to G, Ethernet.
    Reg(SYSCTL + 0x100).set(1 << 3);
    Reg(SYSCTL + 0x104).set(1 << 12 | 1 << 4 | 0b11 << 16 | 0b111);
    Reg(SYSCTL + 0x108).set(0x7f | 1 << 28 | 1 << 30);
    // A peripheral needs a few cycles after its gate opens; this read is longer than that.
    let _ = Reg(SYSCTL + 0x108).read();
    gpio::start_ports();
}
