//! Values that are made where they stay.

use core::mem::MaybeUninit;

/// Makes a value in its place until that succeeds. Returning it instead would move some kilobytes
/// over the stack, once for every function they pass.
pub(crate) fn make<T, E>(
    place: &'static mut MaybeUninit<Result<T, E>>,
    mut attempt: impl FnMut() -> Result<T, E>,
    mut failed: impl FnMut(E),
) -> &'static mut T {
    loop {
        // What stood there before is the error that was moved out below.
        place.write(attempt());
        // SAFETY: written by the line above. The reference made here is the only one: it is either
        // given to the caller, who holds `place` for ever, or gone before the next attempt.
        match unsafe { &mut *place.as_mut_ptr() } {
            Ok(value) => return value,
            // SAFETY: initialised, see above, and not looked at again before it is overwritten.
            Err(error) => failed(unsafe { core::ptr::read(error) }),
        }
    }
}
