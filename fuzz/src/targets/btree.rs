//! Bodies of tree pages. Every input: flags u8 (1: filled up with zeros to a whole body), length of a key u8, the key to
//! search for, body.

use crate::input::{Input, resized};
use crate::{Target, Verdict};
use halodb::bloom::Filter;
use halodb::btree::inspect::{self, BranchPage, FilterPage, LeafPage, Value};

const BODY_LEN: usize = 4096 - 32;

pub(crate) const LEAF: Target = Target { name: "btree-leaf", max_len: 1024, run: leaf, seeds: leaf_seeds };
pub(crate) const BRANCH: Target = Target { name: "btree-branch", max_len: 1024, run: branch, seeds: branch_seeds };
pub(crate) const FILTER: Target = Target { name: "btree-filter", max_len: 1024, run: filter, seeds: filter_seeds };
pub(crate) const OVERFLOW: Target =
    Target { name: "btree-overflow", max_len: 128, run: overflow, seeds: overflow_seeds };

fn key_and_body(data: &[u8]) -> (&[u8], Vec<u8>) {
    let mut input = Input::new(data);
    let whole = input.u8() & 1 != 0;
    let len = usize::from(input.u8());
    let key = input.bytes(len);
    let body = input.rest();
    (key, if whole { resized(body, BODY_LEN) } else { body.to_vec() })
}

fn ascending(keys: &[Vec<u8>]) -> bool {
    keys.windows(2).all(|pair| pair[0] < pair[1])
}

fn leaf(data: &[u8]) -> Verdict {
    let (probe, body) = key_and_body(data);
    let Ok(leaf) = LeafPage::parse(&body) else { return Verdict::Refused };
    let _ = (leaf.used(), leaf.states_overflow(), leaf.least_expiry());
    let found = leaf.search(probe);
    // Keys may overlap in a page of nonsense; together they stay below this.
    let mut room = 1 << 20;
    let mut keys = Vec::new();
    for i in 0..leaf.len() {
        let (Ok(key), Ok(value), Ok(expiry)) = (leaf.key(i), leaf.value(i), leaf.expiry(i)) else {
            return Verdict::Refused;
        };
        assert!(expiry.is_never() || leaf.least_expiry().is_ok_and(|least| least.ms() <= expiry.ms()));
        match value {
            Value::Inline(bytes) => assert!(bytes.len() < body.len()),
            Value::Overflow { at, .. } => assert!(at.pages > 0 && leaf.stride().is_none()),
        }
        room -= key.len() as i64;
        keys.push(key);
        if room < 0 {
            return Verdict::Refused;
        }
    }
    assert!(leaf.key(leaf.len()).is_err() && leaf.value(leaf.len()).is_err());
    if !ascending(&keys) {
        return Verdict::Refused;
    }
    for (i, key) in keys.iter().enumerate() {
        assert_eq!(leaf.search(key), Ok((i, true)), "a leaf finds its own keys");
    }
    let at = keys.partition_point(|key| key.as_slice() < probe);
    assert_eq!(found, Ok((at, keys.get(at).is_some_and(|key| key == probe))), "a search agrees with the keys");
    Verdict::Accepted
}

fn branch(data: &[u8]) -> Verdict {
    let (probe, body) = key_and_body(data);
    let Ok(branch) = BranchPage::parse(&body) else { return Verdict::Refused };
    let _ = (branch.used(), branch.filter());
    let least = branch.least_expiry();
    let found = branch.find(probe);
    assert!(found.is_err() || found.is_ok_and(|i| i < branch.len()), "a search leads to a child");
    let children: Result<Vec<_>, _> = (0..branch.len()).map(|i| branch.child(i)).collect();
    let mut before = 0;
    for (i, child) in children.iter().flatten().enumerate() {
        assert!(child.entries > 0);
        assert!(child.expiry.is_never() || least.is_ok_and(|least| least.ms() <= child.expiry.ms()));
        assert_eq!(branch.find_rank(before), Some(i), "the first entry of a child is in that child");
        before += child.entries;
        assert_eq!(branch.find_rank(before - 1), Some(i), "and so is the last one");
    }
    let separators: Result<Vec<_>, _> = (0..branch.len() - 1).take(300).map(|i| branch.separator(i)).collect();
    assert!(branch.child(branch.len()).is_err() && branch.separator(branch.len() - 1).is_err());
    assert!(branch.find_rank(u64::MAX).is_none());
    if children.is_ok() && separators.is_ok_and(|keys| ascending(&keys)) { Verdict::Accepted } else { Verdict::Refused }
}

fn filter(data: &[u8]) -> Verdict {
    let (_, body) = key_and_body(data);
    let Ok(filters) = FilterPage::parse(&body) else { return Verdict::Refused };
    for i in 0..filters.len() {
        let Some(leaf) = filters.leaf(i) else { panic!("leaf {i} of {} is not there", filters.len()) };
        if let Some(bytes) = filters.get(i, leaf)
            && let Some(filter) = Filter::new(bytes)
        {
            let _ = (filter.contains(0), filter.contains(u64::MAX), filter.contains(leaf.id.0));
        }
    }
    assert_eq!(filters.leaf(filters.len()), None);
    Verdict::Accepted
}

fn overflow(data: &[u8]) -> Verdict {
    let mut input = Input::new(data);
    let len = input.u32();
    let body = input.rest();
    let value = inspect::overflow_value(body, len);
    if let Ok(value) = value {
        assert_eq!(value.len(), len as usize);
    }
    Verdict::of(&value)
}

/// The dumps of `docs/format/`.
fn golden(hex: &str) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::new();
    let mut last = Vec::new();
    for line in hex.lines().filter(|line| *line != "*") {
        let mut words = line.split_whitespace();
        let offset = words.next().and_then(|word| usize::from_str_radix(word, 16).ok()).unwrap_or(out.len());
        while out.len() < offset && !last.is_empty() {
            out.extend_from_slice(&last);
        }
        last = words.filter_map(|word| u8::from_str_radix(word, 16).ok()).collect();
        out.extend_from_slice(&last);
    }
    out
}

fn seed(key: &[u8], hex: &str) -> Vec<u8> {
    let mut out = vec![1, key.len() as u8];
    out.extend_from_slice(key);
    out.extend(golden(hex));
    out
}

fn leaf_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let hex = include_str!("../../../crates/btree/testdata/leaf.hex");
    let fixed = include_str!("../../../crates/btree/testdata/leaf-fixed.hex");
    let expiring = include_str!("../../../crates/btree/testdata/leaf-expiring.hex");
    vec![
        ("present", seed(b"fruit/apricot", hex)),
        ("absent", seed(b"fruit/b", hex)),
        ("fixed-stride", seed(b"row/000130", fixed)),
        ("expiring", seed(b"session:9", expiring)),
        ("short", vec![0, 0, 9, 0, 9]),
    ]
}

fn branch_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let hex = include_str!("../../../crates/btree/testdata/branch.hex");
    vec![("within", seed(b"fruit/plum", hex)), ("tie", seed(b"fruit/pomegranate", hex)), ("short", vec![0, 0, 9, 0])]
}

fn filter_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let hex = include_str!("../../../crates/btree/testdata/filter.hex");
    vec![("two-leaves", seed(b"", hex)), ("too-many", vec![0, 0, 255, 255, 0, 0, 0, 0, 0, 0])]
}

fn overflow_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let body = golden(include_str!("../../../crates/btree/testdata/overflow.hex"));
    let with_len = |len: u32| [&len.to_le_bytes()[..], &body].concat();
    vec![("whole", with_len(32)), ("other-length", with_len(31)), ("greatest", with_len(u32::MAX))]
}
