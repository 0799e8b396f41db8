//! How deep the stack has been: what lies between the variables and it is wiped at the start, and
//! what is still zero later was never used.

use super::Reg;
use cortex_m::register::msp;

unsafe extern "C" {
    /// End of the variables, from the linker.
    static __sheap: u32;
}

/// Bytes below the stack pointer that [`wipe`] itself may use.
const SPARE: u32 = 64;

fn end_of_variables() -> u32 {
    (&raw const __sheap) as u32
}

/// Wipes what is not in use.
#[inline(never)]
pub(super) fn wipe() {
    let mut at = end_of_variables();
    let end = msp::read() - SPARE;
    while at < end {
        Reg(at).write(0);
        at += 4;
    }
}

/// Bytes that were never used since the start.
pub(crate) fn never_used() -> u32 {
    let begin = end_of_variables();
    let end = msp::read();
    let mut at = begin;
    while at < end && Reg(at).read() == 0 {
        at += 4;
    }
    at - begin
}
