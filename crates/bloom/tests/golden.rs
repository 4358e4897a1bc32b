//! The bytes of a small filter, written once and for all (`testdata/filter.hex`, explained in `docs/format/bloom.md`).

use halodb_bloom::{Builder, Filter};

const HEX: &str = include_str!("../testdata/filter.hex");

/// Bytes of a dump: an offset, then up to 16 bytes a line.
fn parse(hex: &str) -> Vec<u8> {
    hex.lines()
        .flat_map(|line| line.split_whitespace().skip(1))
        .map(|byte| u8::from_str_radix(byte, 16).expect("two hexadecimal digits"))
        .collect()
}

fn hashes() -> impl Iterator<Item = u64> {
    (1..=5_u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

#[test]
fn five_keys_at_64_bits_are_two_blocks_of_these_bytes() {
    let mut builder = Builder::new(64);
    hashes().for_each(|hash| builder.insert(hash));
    let mut bytes = Vec::new();
    builder.finish_into(&mut bytes);
    assert_eq!(parse(HEX), bytes, "bytes written now: {bytes:02x?}");
}

#[test]
fn the_written_bytes_still_answer() {
    let bytes = parse(HEX);
    let filter = Filter::new(&bytes).expect("whole blocks");
    assert!(hashes().all(|hash| filter.contains(hash)));
    assert!(!(6..1000_u64).any(|n| filter.contains(n.wrapping_mul(0x9e37_79b9_7f4a_7c15))));
}
