//! Little-endian numbers at fixed places of a buffer, and LEB128 numbers in a stream.
//!
//! The fixed-place functions are for offsets that are compile-time constants inside a buffer of known length; whatever
//! comes from a disk is read with [`varint`], which is total.

#[inline]
pub(crate) fn u16_at(buf: &[u8], at: usize) -> u16 {
    let mut b = [0; 2];
    b.copy_from_slice(&buf[at..at + 2]);
    u16::from_le_bytes(b)
}

#[inline]
pub(crate) fn u32_at(buf: &[u8], at: usize) -> u32 {
    let mut b = [0; 4];
    b.copy_from_slice(&buf[at..at + 4]);
    u32::from_le_bytes(b)
}

#[inline]
pub(crate) fn u64_at(buf: &[u8], at: usize) -> u64 {
    let mut b = [0; 8];
    b.copy_from_slice(&buf[at..at + 8]);
    u64::from_le_bytes(b)
}

pub(crate) fn put(buf: &mut [u8], at: usize, bytes: &[u8]) {
    buf[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Appends `value` as LEB128: seven bits a byte, lowest first, the top bit set in all but the last.
pub(crate) fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes a number off the front of `input`; `None` if it ends early, exceeds 64 bits, or is longer than it need be.
pub(crate) fn varint(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = input.split_first()?;
        *input = rest;
        let part = u64::from(byte & 0x7f);
        if shift == 63 && part > 1 {
            return None;
        }
        value |= part << shift;
        if byte & 0x80 == 0 {
            return (byte != 0 || shift == 0).then_some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(input: &[u8], expected: Option<u64>) {
        let mut rest = input;
        assert_eq!(varint(&mut rest), expected, "{input:02x?}");
    }

    #[test]
    fn a_varint_is_refused_when_it_is_cut_too_long_or_too_large() {
        check(&[], None);
        check(&[0x80], None);
        check(&[0x80, 0x00], None);
        check(&[0xff; 10], None);
        check(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], None);
        check(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], Some(u64::MAX));
        check(&[0], Some(0));
        check(&[0x80, 0x01], Some(128));
    }

    proptest! {
        #[test]
        fn every_number_comes_back(value: u64, tail: Vec<u8>) {
            let mut out = Vec::new();
            push_varint(&mut out, value);
            out.extend_from_slice(&tail);
            let mut rest = &out[..];
            prop_assert_eq!(varint(&mut rest), Some(value));
            prop_assert_eq!(rest, &tail[..]);
        }
    }
}
