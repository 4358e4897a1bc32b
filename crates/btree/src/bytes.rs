//! Reading and writing of small integers in byte slices, key heads, common prefixes.
//!
//! Every read is checked: past the end there is `None`, never a panic. Nothing here knows a page format.

/// The little-endian `u16` at an offset.
#[inline]
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The little-endian `u32` at an offset.
#[inline]
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The little-endian `u64` at an offset.
#[inline]
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Bytes of the LEB128 form of `value`: 1 to 5.
pub(crate) fn varint_len(value: u32) -> usize {
    (32 - (value | 1).leading_zeros()).div_ceil(7) as usize
}

/// Appends `value` as LEB128, seven bits a byte, lowest first.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The LEB128 number at the beginning of `bytes` and its length; `None` if it is cut off or exceeds 32 bits.
#[inline]
pub(crate) fn varint(bytes: &[u8]) -> Option<(u32, usize)> {
    // Nearly every number that a tree stores takes one byte or two.
    match *bytes {
        [a, ..] if a < 0x80 => Some((u32::from(a), 1)),
        [a, b, ..] if b < 0x80 => Some((u32::from(a & 0x7f) | u32::from(b) << 7, 2)),
        _ => long_varint(bytes),
    }
}

fn long_varint(bytes: &[u8]) -> Option<(u32, usize)> {
    let mut value = 0u32;
    for (i, &byte) in bytes.iter().take(5).enumerate() {
        let part = u32::from(byte & 0x7f);
        if i == 4 && part > 0x0f {
            return None;
        }
        value |= part << (7 * i);
        if byte & 0x80 == 0 {
            return Some((value, i + 1));
        }
    }
    None
}

/// The first four bytes as a number that orders as the bytes do, a shorter string padded with zeros.
///
/// If the heads of two strings differ, they order as the strings; if not, the strings themselves must be compared
/// (`a` and `a\0` have one head).
#[inline]
pub(crate) fn head4(bytes: &[u8]) -> u32 {
    match bytes.first_chunk() {
        Some(first) => u32::from_le_bytes(*first).swap_bytes(),
        None if bytes.is_empty() => 0,
        // Without the calls to copy that a length not known beforehand would cost.
        None => bytes.iter().fold(0, |head, &byte| head << 8 | u32::from(byte)) << (8 * (4 - bytes.len())),
    }
}

/// As [`head4`] with eight bytes.
#[inline]
pub(crate) fn head8(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(first) => u64::from_le_bytes(*first).swap_bytes(),
        None if bytes.is_empty() => 0,
        None => bytes.iter().fold(0, |head, &byte| head << 8 | u64::from(byte)) << (8 * (8 - bytes.len())),
    }
}

/// The four bytes of a head, as they stood in the string.
#[inline]
pub(crate) fn head4_bytes(head: u32) -> [u8; 4] {
    head.swap_bytes().to_le_bytes()
}

/// The eight bytes of a head, as they stood in the string.
pub(crate) fn head8_bytes(head: u64) -> [u8; 8] {
    head.swap_bytes().to_le_bytes()
}

/// Number of leading bytes that two strings share.
pub(crate) fn common_prefix_len(a: &[u8], b: &[u8]) -> usize {
    let (words, _) = a.as_chunks::<8>();
    let same = words.iter().zip(b.as_chunks::<8>().0).take_while(|(x, y)| x == y).count() * 8;
    same + a[same..].iter().zip(&b[same..]).take_while(|(x, y)| x == y).count()
}

/// The shortest string above `left` and not above `right` that is a prefix of `right`; needs `left < right`.
/// (Bayer and Unterauer's suffix truncation, "Prefix B-Trees", 1977.)
pub(crate) fn separator<'a>(left: &[u8], right: &'a [u8]) -> &'a [u8] {
    let shared = common_prefix_len(left, right);
    &right[..right.len().min(shared + 1)]
}

/// `len` rounded up to a multiple of `to`, a power of two.
pub(crate) const fn padded(len: usize, to: usize) -> usize {
    (len + to - 1) & !(to - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_come_back_and_their_length_is_known_beforehand() {
        for value in [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 1 << 28, u32::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out.len(), varint_len(value), "{value}");
            assert_eq!(varint(&out), Some((value, out.len())));
            assert_eq!(varint(&out[..out.len() - 1]), None);
        }
        assert_eq!(varint(&[0xff, 0xff, 0xff, 0xff, 0x1f]), None);
        assert_eq!(varint(&[0x80, 0x80, 0x80, 0x80, 0x80, 0]), None);
    }

    #[test]
    fn heads_that_differ_order_as_their_strings() {
        let strings: [&[u8]; 9] =
            [b"", b"\0", b"\0\0\0\0\0", b"\0a", b"a", b"a\0", b"ab", b"abcd\xff\xff\xff\xff\xff", b"\xff\xff\xff\xff"];
        for a in strings {
            for b in strings {
                if head4(a) != head4(b) {
                    assert_eq!(head4(a).cmp(&head4(b)), a.cmp(b), "{a:?} {b:?}");
                }
                if head8(a) != head8(b) {
                    assert_eq!(head8(a).cmp(&head8(b)), a.cmp(b), "{a:?} {b:?}");
                }
            }
        }
        assert_eq!(head4_bytes(head4(b"abcdef")), *b"abcd");
        assert_eq!((head4_bytes(head4(b"ab")), head4_bytes(head4(b""))), (*b"ab\0\0", [0; 4]));
        assert_eq!((head8_bytes(head8(b"abcdefg")), head8_bytes(head8(b"a"))), (*b"abcdefg\0", *b"a\0\0\0\0\0\0\0"));
        assert_eq!(head8_bytes(head8(b"abcdefghi")), *b"abcdefgh");
    }

    #[test]
    fn what_strings_share_is_counted_byte_by_byte() {
        let long = [7; 40];
        for shared in 0..40 {
            let mut other = long;
            other[shared] = 8;
            for len in shared..=40 {
                assert_eq!(common_prefix_len(&long, &other[..len]), shared);
                assert_eq!(common_prefix_len(&other[..len], &long), shared);
            }
        }
        assert_eq!(common_prefix_len(&long, &long[..17]), 17);
    }

    #[test]
    fn a_separator_is_above_the_left_key_and_not_above_the_right_one() {
        let check = |left: &[u8], right: &[u8], expected: &[u8]| {
            assert_eq!(separator(left, right), expected);
            assert!(left < expected && expected <= right);
        };
        check(b"apple", b"banana", b"b");
        check(b"apple", b"apricot", b"apr");
        check(b"a", b"a\0", b"a\0");
        check(b"a", b"a\0b", b"a\0");
        check(b"ab", b"abc", b"abc");
    }
}
