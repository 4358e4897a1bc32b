//! One worked example per page body, held against the bytes in `testdata/`; `docs/format` shows the same bytes.
//!
//! A difference means that files written before can no longer be read: change the format version, not the file here.

use crate::branch::{self, Branch, Child};
use crate::expiry::Expiry;
use crate::filter::{self, Filters};
use crate::leaf::{self, Leaf, Place, RawEntry};
use crate::overflow::{self, Overflow, OverflowRef};
use halodb_pager::{PageId, PageRef, Stamp};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The bytes of a hex file: after the offset of each line, the bytes of the line; `*`: the line before again.
fn parse(hex: &str) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::new();
    let mut last = Vec::new();
    for line in hex.lines().filter(|line| *line != "*") {
        let mut words = line.split_whitespace();
        let offset = words.next().map_or(0, |word| usize::from_str_radix(word, 16).unwrap());
        while out.len() < offset {
            out.extend_from_slice(&last);
        }
        last = words.map(|word| u8::from_str_radix(word, 16).unwrap()).collect();
        out.extend_from_slice(&last);
    }
    out
}

fn print(bytes: &[u8]) -> String {
    let line = |(i, line): (usize, &[u8])| {
        let line: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{:08x}  {}\n", 16 * i, line.join(" "))
    };
    bytes.chunks(16).enumerate().map(line).collect()
}

fn check(name: &str, golden: &str, encoded: &[u8]) {
    let same = parse(golden) == encoded;
    assert!(same, "testdata/{name}.hex differs; encoded now:\n{}", print(encoded));
}

fn page(id: u64, pages: u32) -> PageRef {
    PageRef { id: PageId(id), stamp: Stamp::new(3, 0x11), pages }
}

#[test]
fn a_leaf_has_the_bytes_it_always_had() {
    let reference = OverflowRef { at: page(0x2a, 2), len: 5000 };
    let payload = reference.encode();
    let until = Expiry::at_ms(1_000_000_000_000);
    let entries = [
        RawEntry { key: b"fruit/apple", expiry: Expiry::NEVER, place: Place::Inline, payload: b"red" },
        RawEntry { key: b"fruit/apricot", expiry: until, place: Place::Inline, payload: b"" },
        RawEntry { key: b"fruit/fig", expiry: Expiry::at_ms(until.ms() + 500), place: Place::Inline, payload: b"blue" },
        RawEntry { key: b"fruit/plum", expiry: Expiry::NEVER, place: Place::Overflow, payload: &payload },
    ];
    let mut body = Vec::new();
    leaf::encode(entries.into_iter(), &mut body);
    check("leaf", include_str!("../testdata/leaf.hex"), &body);
    let leaf = Leaf::parse(&body).unwrap();
    assert_eq!((leaf.len(), leaf.prefix(), leaf.overflow(), leaf.stride()), (4, &b"fruit/"[..], Overflow::Some, None));
    assert_eq!(leaf.record(0).unwrap().payload, b"red");
    assert_eq!(leaf.record(3).unwrap().overflow(), Ok(Some(reference)));
    assert_eq!(leaf.search(b"fruit/apricot"), Ok((1, true)));
    assert_eq!((leaf.expiry(0), leaf.expiry(1), leaf.least_expiry()), (Ok(Expiry::NEVER), Ok(until), Ok(until)));
}

#[test]
fn a_leaf_of_one_stride_has_the_bytes_it_always_had() {
    let entry = |key, payload| RawEntry { key, expiry: Expiry::NEVER, place: Place::Inline, payload };
    let entries = [entry(b"row/000017", b"red"), entry(b"row/000130", b"sky"), entry(b"row/000131", b"now")];
    let mut body = Vec::new();
    leaf::encode(entries.into_iter(), &mut body);
    check("leaf-fixed", include_str!("../testdata/leaf-fixed.hex"), &body);
    let leaf = Leaf::parse(&body).unwrap();
    assert_eq!((leaf.len(), leaf.prefix(), leaf.stride()), (3, &b"row/000"[..], Some(3)));
    assert_eq!(leaf.search(b"row/000130"), Ok((1, true)));
    assert_eq!(leaf.record(1).unwrap().payload, b"sky");
    let mut body = Vec::new();
    let until = |ms, entry| RawEntry { expiry: Expiry::at_ms(ms), ..entry };
    let entries = [until(1_000_000_000_000, entry(b"session:8c1f", b"17")), until(0, entry(b"session:c02d", b"18"))];
    leaf::encode(entries.into_iter(), &mut body);
    check("leaf-expiring", include_str!("../testdata/leaf-expiring.hex"), &body);
    let leaf = Leaf::parse(&body).unwrap();
    assert_eq!((leaf.expiry(0), leaf.expiry(1)), (Ok(Expiry::at_ms(1_000_000_000_000)), Ok(Expiry::NEVER)));
    assert_eq!((leaf.prefix(), leaf.stride()), (&b"session:"[..], Some(2)));
}

#[test]
fn a_branch_has_the_bytes_it_always_had() {
    let child = |id, entries, overflow, ms| Child { at: page(id, 1), entries, overflow, expiry: Expiry::at_ms(ms) };
    let children = [
        (&b""[..], child(0x10, 100, Overflow::None, 1_000_000_000_000)),
        (b"fruit/b", child(0x11, 20, Overflow::Some, 0)),
        (b"fruit/pomegranate", child(0x15, 3, Overflow::None, 1_000_000_000_254)),
    ];
    let mut body = Vec::new();
    branch::encode(children.into_iter(), Some(page(0x20, 1)), &mut body);
    check("branch", include_str!("../testdata/branch.hex"), &body);
    let branch = Branch::parse(&body).unwrap();
    assert_eq!(branch.filter(), Some(page(0x20, 1)));
    assert_eq!((0..3).map(|i| branch.child(i).unwrap()).collect::<Vec<_>>(), children.map(|(_, child)| child));
    assert_eq!(branch.least_expiry(), Ok(Expiry::at_ms(1_000_000_000_000)));
    assert_eq!(branch.find(b"fruit/plum"), Ok(1));
    assert_eq!(branch.find(b"fruit/pomegranate"), Ok(2));
}

#[test]
fn a_filter_extent_has_the_bytes_it_always_had() {
    let keys: [&[&[u8]]; 2] = [&[b"fruit/apple", b"fruit/apricot"], &[b"fruit/plum"]];
    let hash = |key: &[u8]| xxh3_64_with_seed(key, 42);
    let filters = keys.map(|keys| {
        let mut builder = halodb_bloom::Builder::new(11);
        keys.iter().for_each(|key| builder.insert(hash(key)));
        let mut out = Vec::new();
        builder.finish_into(&mut out);
        out
    });
    let mut body = Vec::new();
    let leaves = [(page(0x10, 1), &filters[0][..]), (page(0x11, 1), &filters[1][..])];
    filter::encode(leaves.into_iter(), &mut body);
    check("filter", include_str!("../testdata/filter.hex"), &body);
    let read = Filters::parse(&body).unwrap();
    assert_eq!(read.len(), 2);
    for (i, keys) in keys.iter().enumerate() {
        let filter = halodb_bloom::Filter::new(read.get(i, leaves[i].0).unwrap()).unwrap();
        assert!(keys.iter().all(|key| filter.contains(hash(key))));
        assert!(!filter.contains(hash(b"vegetable/leek")));
    }
}

#[test]
fn an_overflow_extent_has_the_bytes_it_always_had() {
    let mut body = Vec::new();
    overflow::encode(b"imagine five thousand bytes here", &mut body);
    check("overflow", include_str!("../testdata/overflow.hex"), &body);
    assert_eq!(overflow::value(&body, 32), Ok(&b"imagine five thousand bytes here"[..]));
}
