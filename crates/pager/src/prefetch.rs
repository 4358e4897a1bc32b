//! [`prefetch`]: tells the processor that a piece of memory will be read soon.
//!
//! A hint: it reads nothing that the program could see, and an address that is not mapped, or whose page the system
//! would first have to bring in, is passed over without a fault. Where we know no such instruction it does nothing.

/// Bytes that come into the cache together.
const LINE: usize = 64;

/// Begins to load the `len` bytes at `address`, which may be any address.
#[inline]
pub(crate) fn prefetch(address: *const u8, len: usize) {
    for offset in (0..len).step_by(LINE) {
        line(address.wrapping_add(offset));
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
#[expect(unsafe_code, reason = "the instruction's wrapper takes a raw pointer")]
fn line(address: *const u8) {
    use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: the instruction is part of every x86-64 processor, and is defined for every address: it does not access
    // memory in the sense of the language and cannot fault.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn line(_address: *const u8) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_is_refused() {
        let here = [1u8; 200];
        for address in [std::ptr::null(), here.as_ptr(), usize::MAX as *const u8] {
            for len in [0, 1, 64, 65, 1000] {
                prefetch(address, len);
            }
        }
        assert_eq!(here, [1; 200]);
    }
}
