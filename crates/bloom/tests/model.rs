//! What must hold for any set of hashes and for any bytes.

use halodb_bloom::{BLOCK_BYTES, Builder, Filter};
use proptest::prelude::*;

fn build(bits_per_key: u32, hashes: &[u64]) -> Vec<u8> {
    let mut builder = Builder::new(bits_per_key);
    for &hash in hashes {
        builder.insert(hash);
    }
    let mut bytes = Vec::new();
    builder.finish_into(&mut bytes);
    bytes
}

proptest! {
    // A failure is kept as a test of its own, with its story, not as a seed in a file.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_key_that_was_added_is_never_denied(
        bits_per_key in 1_u32..=64,
        hashes in prop::collection::vec(any::<u64>(), 0..600),
    ) {
        let bytes = build(bits_per_key, &hashes);
        let filter = Filter::new(&bytes).expect("whole blocks");
        for hash in hashes {
            prop_assert!(filter.contains(hash));
        }
    }

    #[test]
    fn a_filter_has_the_fewest_blocks_that_give_each_key_its_bits(
        bits_per_key in 1_u32..=64,
        keys in 0_usize..2000,
    ) {
        let hashes: Vec<u64> = (0..keys as u64).collect();
        let bytes = build(bits_per_key, &hashes);
        let wanted = keys * bits_per_key as usize;
        prop_assert_eq!(bytes.len() % BLOCK_BYTES, 0);
        prop_assert!(bytes.len() * 8 >= wanted);
        prop_assert!(bytes.len() * 8 < wanted + BLOCK_BYTES * 8);
    }

    #[test]
    fn the_order_of_the_keys_does_not_change_the_bytes(
        mut hashes in prop::collection::vec(any::<u64>(), 0..200),
    ) {
        let forward = build(11, &hashes);
        hashes.reverse();
        prop_assert_eq!(forward, build(11, &hashes));
    }

    #[test]
    fn any_bytes_give_an_answer_or_none(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        hash: u64,
    ) {
        match Filter::new(&bytes) {
            Some(filter) => {
                let _ = filter.contains(hash);
                prop_assert_eq!(bytes.len() % BLOCK_BYTES, 0);
            }
            None => prop_assert_ne!(bytes.len() % BLOCK_BYTES, 0),
        }
    }
}

#[test]
fn no_key_gives_no_bytes_and_no_bytes_deny_nothing() {
    assert_eq!(build(11, &[]), []);
    assert!(Filter::new(&[]).expect("no bytes are whole blocks").contains(0));
}

#[test]
fn a_builder_starts_afresh_behind_what_it_appended() {
    let mut builder = Builder::new(8);
    let mut bytes = vec![0xaa; 5];
    builder.insert(1);
    builder.finish_into(&mut bytes);
    assert_eq!((bytes.len(), builder.len()), (5 + 32, 0));
    builder.insert(2);
    builder.finish_into(&mut bytes);
    assert_eq!(bytes[..5], [0xaa; 5]);
    assert_eq!(bytes[5..37], build(8, &[1]));
    assert_eq!(bytes[37..], build(8, &[2]));
}

#[test]
fn bits_per_key_outside_its_range_becomes_the_nearer_bound() {
    let hashes: Vec<u64> = (0..1000).collect();
    assert_eq!(build(0, &hashes), build(1, &hashes));
    assert_eq!(build(u32::MAX, &hashes), build(64, &hashes));
}
