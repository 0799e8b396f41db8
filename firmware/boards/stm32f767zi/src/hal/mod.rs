//! What embassy-stm32 does not do for us: words of RAM and one register. All `unsafe` of the node
//! lives below this module. Addresses and bits are those of the reference manual RM0410.
#![allow(unsafe_code)]

pub(crate) mod crash;

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
        // SAFETY: as above.
        unsafe { (self.0 as *mut u32).write_volatile(value) }
    }
}
