//! Leaves of both modes against sorted sets, and any bytes.

use super::*;
use crate::bytes::common_prefix_len;
use crate::page::{body_len, max_key_len};
use halodb_pager::{PageId, PageRef, Stamp};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn entry<'a>(key: &'a [u8], payload: &'a [u8]) -> RawEntry<'a> {
    RawEntry { key, expiry: Expiry::NEVER, place: Place::Inline, payload }
}

fn encoded(entries: &[RawEntry<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    encode(entries.iter().copied(), &mut out);
    out
}

/// Keys with values that are a half of them.
fn body(keys: &BTreeSet<Vec<u8>>) -> Vec<u8> {
    encoded(&keys.iter().map(|k| entry(k, &k[..k.len() / 2])).collect::<Vec<_>>())
}

fn sizes(entries: &[RawEntry<'_>]) -> Sizes {
    let mut sizes = Sizes::default();
    for (i, e) in entries.iter().enumerate() {
        let shared = i.checked_sub(1).map_or(0, |i| common_prefix_len(entries[i].key, e.key));
        sizes.add(&Size {
            key_len: e.key.len() as u16,
            payload_len: e.payload.len() as u16,
            shared: shared as u16,
            place: e.place,
            expiry: e.expiry,
        });
    }
    sizes
}

fn check_search(keys: &BTreeSet<Vec<u8>>, probe: &[u8]) {
    let body = body(keys);
    let leaf = Leaf::parse(&body).unwrap();
    let expected = (keys.iter().filter(|k| k.as_slice() < probe).count(), keys.contains(probe));
    assert_eq!(leaf.search(probe), Ok(expected), "{probe:?} in {keys:?}");
}

fn set(keys: &[&[u8]]) -> BTreeSet<Vec<u8>> {
    keys.iter().map(|k| k.to_vec()).collect()
}

#[test]
fn keys_that_share_a_head_are_told_apart() {
    let keys = set(&[b"a", b"a\0", b"a\0\0", b"a\0\0\0", b"a\0\0\0\0", b"a\0\0\0\0\0", b"a\0\0\0x", b"ab"]);
    for key in &keys {
        check_search(&keys, key);
    }
    check_search(&keys, b"");
    check_search(&keys, b"a\0\0\0\0\0\0");
    check_search(&keys, b"a\0\0\0w");
    check_search(&keys, b"b");
}

#[test]
fn a_probe_outside_the_common_prefix_goes_to_either_end() {
    let keys = set(&[b"table/row/1", b"table/row/2", b"table/row/20"]);
    for probe in [&b""[..], b"t", b"table/row/", b"table/ro", b"table/rp", b"table/row0", b"u", b"\xff"] {
        check_search(&keys, probe);
    }
}

#[test]
fn a_leaf_of_one_entry_has_its_whole_key_as_prefix() {
    let keys = set(&[b"only"]);
    let body = body(&keys);
    assert_eq!(Leaf::parse(&body).unwrap().prefix(), b"only");
    for probe in [&b""[..], b"onl", b"only", b"only\0", b"p"] {
        check_search(&keys, probe);
    }
}

#[test]
fn the_stride_is_fixed_exactly_if_all_keys_and_all_values_have_one_length_and_are_inline() {
    let check = |entries: &[RawEntry<'_>], stride: Option<usize>| {
        let body = encoded(entries);
        let leaf = Leaf::parse(&body).unwrap();
        assert_eq!(leaf.stride(), stride);
        assert_eq!(leaf.used(), body.len());
        for (i, e) in entries.iter().enumerate() {
            let record = leaf.record(i).unwrap();
            assert_eq!((leaf.key(&record), record.payload, record.place), (e.key.to_vec(), e.payload, e.place));
            assert_eq!(leaf.search(e.key), Ok((i, true)));
        }
        assert!(leaf.record(entries.len()).is_err());
    };
    check(&[entry(b"key 0001", b"red"), entry(b"key 0002", b"sky"), entry(b"key 1000", b"")], None);
    check(&[entry(b"key 0001", b"red"), entry(b"key 0002", b"sky"), entry(b"key 1000", b"now")], Some(3));
    check(&[entry(b"key/longer/1", b"red"), entry(b"key/shorter2", b"sky")], Some(7));
    check(&[entry(b"key 0001", b"red"), entry(b"key 0002", b"sky"), entry(b"key 3", b"now")], None);
    check(&[entry(b"a", b""), entry(b"b", b""), entry(b"c", b"")], Some(0));
    check(&[entry(b"a", b"only")], Some(4));
    let reference = OverflowRef { at: PageRef { id: PageId(3), stamp: Stamp::new(1, 2), pages: 4 }, len: 9999 };
    let encoded = reference.encode();
    check(&[RawEntry { place: Place::Overflow, ..entry(b"a", &encoded) }], None);
}

#[test]
fn references_and_their_flag_come_back() {
    let reference = OverflowRef { at: PageRef { id: PageId(3), stamp: Stamp::new(1, 2), pages: 4 }, len: 9999 };
    let encoded_reference = reference.encode();
    let body = encoded(&[entry(b"k1", b""), RawEntry { place: Place::Overflow, ..entry(b"k2", &encoded_reference) }]);
    let leaf = Leaf::parse(&body).unwrap();
    assert_eq!(leaf.overflow(), Overflow::Some);
    assert_eq!(leaf.record(0).unwrap().overflow(), Ok(None));
    assert_eq!(leaf.record(0).unwrap().payload, b"");
    assert_eq!(leaf.record(1).unwrap().overflow(), Ok(Some(reference)));
    assert!(leaf.record(2).is_err());
}

#[test]
fn two_of_the_greatest_entries_fit_every_page_size() {
    for page_size in [4096u32, 8192, 16384, 32768, 65536] {
        let key_len = max_key_len(page_size);
        let value = vec![7; inline_limit(page_size, key_len)];
        let (a, b) = (vec![1; key_len], vec![2; key_len]);
        let long = |key, ms| RawEntry { expiry: Expiry::at_ms(ms), ..entry(key, &value) };
        let body = encoded(&[long(&a, 1), RawEntry { payload: &value[1..], ..long(&b, u64::MAX) }]);
        assert!(body.len() <= body_len(page_size), "{} in {}", body.len(), body_len(page_size));
        let leaf = Leaf::parse(&body).unwrap();
        assert_eq!(leaf.search(&b), Ok((1, true)));
        assert_eq!(leaf.record(0).unwrap().payload, value);
    }
    assert_eq!(inline_limit(16384, 24), 4096);
}

#[test]
fn a_leaf_of_one_stride_takes_nothing_beside_heads_suffixes_and_values() {
    let keys: Vec<[u8; 24]> = (0..94u8).map(|n| [[7; 1], [n; 1]].concat().repeat(12).try_into().unwrap()).collect();
    let entries: Vec<_> = keys.iter().map(|key| entry(key, &[1; 150])).collect();
    assert_eq!(encoded(&entries).len(), HEADER_LEN + 4 + 94 * 173);
    assert!(encoded(&entries).len() <= body_len(16_384));
}

#[test]
fn a_header_that_promises_more_than_the_page_holds_is_refused() {
    let body = encoded(&[entry(b"key 1", b"red"), entry(b"key 2", b"sky")]);
    let parse = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut body = body.clone();
        change(&mut body);
        Leaf::parse(&body).map(|leaf| leaf.record(1).is_ok())
    };
    assert_eq!(parse(&|_| {}), Ok(true));
    assert!(parse(&|body| body[COUNT] = 0).is_err());
    assert!(parse(&|body| body[COUNT + 1] = 1).is_err());
    assert!(parse(&|body| body[PREFIX_LEN] = 200).is_err());
    assert!(parse(&|body| body[EXPIRY_WIDTH] = 9).is_err());
    assert!(parse(&|body| body[EXPIRY_WIDTH] = 8).is_err());
    assert!(parse(&|body| body.truncate(HEADER_LEN - 1)).is_err());
    assert_eq!(parse(&|body| body[VALUE_LEN] = 4), Ok(false));
    assert_eq!(parse(&|body| body[SUFFIX_LEN + 1] = 1), Ok(false));
}

fn any_key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![0u8, 1, 97, 255]), 1..9)
}

proptest! {
    #[test]
    fn search_agrees_with_a_sorted_set(
        keys in prop::collection::btree_set(any_key(), 1..60),
        probes in prop::collection::vec(prop::collection::vec(prop::sample::select(vec![0u8, 1, 97, 255]), 0..10), 20),
        shared in prop::collection::vec(any::<u8>(), 0..20),
        one_length in prop::option::of(1usize..9),
    ) {
        let glue = |k: &Vec<u8>| [&shared[..], k].concat();
        let cut = |k: &Vec<u8>| { let mut k = k.clone(); if let Some(len) = one_length { k.resize(len, 1) } k };
        let keys: BTreeSet<Vec<u8>> = keys.iter().map(cut).map(|k| glue(&k)).collect();
        for probe in probes.iter().map(glue).chain(keys.iter().cloned()).chain(probes.iter().cloned()) {
            check_search(&keys, &probe);
        }
        let body = body(&keys);
        let leaf = Leaf::parse(&body).unwrap();
        prop_assert!(one_length.is_none() || leaf.stride().is_some());
        for (i, key) in keys.iter().enumerate() {
            let record = leaf.record(i).unwrap();
            prop_assert_eq!(&leaf.key(&record), key);
            prop_assert!(record.head_is_true());
            prop_assert_eq!(record.payload, &key[..key.len() / 2]);
        }
    }

    #[test]
    fn the_length_is_known_beforehand_and_expiries_come_back(
        keys in prop::collection::btree_set(any_key(), 1..40),
        shared in prop::collection::vec(any::<u8>(), 0..200),
        lens in (prop::option::of(1usize..9), prop::option::of(0usize..200)),
        expiries in prop::collection::vec(prop_oneof![3 => Just(0), 2 => 1000u64..3000, 1 => any::<u64>()], 40),
        references in prop::collection::vec(prop::bool::weighted(0.02), 40),
    ) {
        let glue = |k: &Vec<u8>| { let mut k = k.clone(); if let Some(len) = lens.0 { k.resize(len, 1) } [&shared[..], &k].concat() };
        let keys: BTreeSet<Vec<u8>> = keys.iter().map(glue).collect();
        let payload = [5; 200];
        let entries: Vec<_> = keys.iter().zip(&expiries).zip(&references).map(|((key, ms), long)| RawEntry {
            key,
            expiry: Expiry::at_ms(*ms),
            place: if *long { Place::Overflow } else { Place::Inline },
            payload: &payload[..if *long { overflow::REF_LEN } else { lens.1.unwrap_or(key[key.len() - 1] as usize % 200) }],
        }).collect();
        let body = encoded(&entries);
        let sizes = sizes(&entries);
        prop_assert_eq!(body.len(), sizes.len());
        let leaf = Leaf::parse(&body).unwrap();
        let found: Vec<u64> = (0..leaf.len()).map(|i| leaf.expiry(i).unwrap().ms()).collect();
        prop_assert_eq!(&found[..], &expiries[..keys.len()]);
        let least = entries.iter().fold(Expiry::NEVER, |least, e| least.earlier(e.expiry));
        prop_assert_eq!(leaf.least_expiry(), Ok(least));
    }

    #[test]
    fn any_bytes_give_entries_or_an_error(
        mut bytes: Vec<u8>,
        head in prop::collection::vec(0u8..20, 4),
        lens in prop::collection::vec(0u8..9, 6),
        key: Vec<u8>,
    ) {
        for honest in [false, true] {
            if honest && bytes.len() >= HEADER_LEN {
                bytes[..4].copy_from_slice(&[head[0], 0, head[1], 0]);
                bytes[FLAGS..HEADER_LEN].copy_from_slice(&lens);
                (bytes[SUFFIX_LEN + 1], bytes[VALUE_LEN + 1]) = (0, 0);
            }
            if let Ok(leaf) = Leaf::parse(&bytes) {
                let _ = (leaf.search(&key), leaf.search(leaf.prefix()), leaf.least_expiry(), leaf.stride());
                for i in 0..leaf.len() {
                    let _ = leaf.expiry(i);
                    let record = leaf.record(i);
                    let _ = record.map(|r| (leaf.key(&r), r.head_is_true(), r.overflow()));
                    prop_assert_eq!(leaf.layout().span(&bytes, i).and_then(|span| span.record(&bytes)), record);
                }
                prop_assert!(leaf.layout().span(&bytes, leaf.len()).is_err());
            }
        }
    }
}
