//! What the tests of this crate share: a page file on a simulated disk, a model beside it, and the comparison.

#![allow(dead_code, reason = "each test uses a part of it")]

use halodb_btree::{
    Change, Cursor, Depth, Edits, InTurn, KeyRange, MergePart, Merged, Tree, TreeOptions, max_key_len, merge,
    merge_parts,
};
use halodb_pager::{Identity, PageSet, Pager, WriteTxn};
use halodb_vfs::SimVfs;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

/// The model.
pub(crate) type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// Edits in a vector.
pub(crate) struct VecEdits {
    pub(crate) edits: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    pub(crate) at: usize,
}

impl Edits for VecEdits {
    fn current(&self) -> Option<(&[u8], Change<'_>)> {
        let (key, value) = self.edits.get(self.at)?;
        Some((key, value.as_ref().map_or(Change::Delete, |v| Change::put(v))))
    }
    fn advance(&mut self) {
        self.at += 1;
    }
}

/// A sorted batch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sorted {
    pub(crate) ranges: Vec<KeyRange>,
    pub(crate) edits: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl Sorted {
    /// Applies to the model what is at or below a key (`None`: all).
    pub(crate) fn apply_up_to(&self, model: &mut Model, up_to: Option<&[u8]>) {
        let counts = |key: &[u8]| up_to.is_none_or(|up_to| key <= up_to);
        model.retain(|key, _| {
            let deleted = self.ranges.iter().any(|r| r.start <= *key && r.end.as_ref().is_none_or(|end| key < end));
            !(deleted && counts(key))
        });
        for (key, value) in self.edits.iter().filter(|(key, _)| counts(key)) {
            match value {
                Some(value) => drop(model.insert(key.clone(), value.clone())),
                None => drop(model.remove(key)),
            }
        }
    }
}

/// A page file and the model of its newest version.
pub(crate) struct Rig {
    pub(crate) pager: Pager,
    pub(crate) options: TreeOptions,
    pub(crate) model: Model,
    /// Merges are divided into so many parts.
    pub(crate) parts: usize,
}

/// Merges what is left of some edits in so many parts, each with as many of them; the edits stand behind what is merged.
pub(crate) fn merge_divided(
    txn: &mut WriteTxn<'_>,
    base: &Tree,
    ranges: &[KeyRange],
    edits: &mut VecEdits,
    fill_percent: u32,
    limit_pages: u64,
    parts: usize,
) -> halodb_btree::Result<Merged> {
    let left = &edits.edits[edits.at..];
    let share = left.len().div_ceil(parts).max(1);
    let mut streams: Vec<VecEdits> = left.chunks(share).map(|part| VecEdits { edits: part.to_vec(), at: 0 }).collect();
    streams.resize_with(streams.len().max(1), || VecEdits { edits: Vec::new(), at: 0 });
    // Cuts are keys of edits, and keys between two.
    let starts: Vec<Vec<u8>> = (0..streams.len())
        .map(|i| match i {
            0 => Vec::new(),
            _ if i % 2 == 1 => left[i * share].0.clone(),
            _ => [&left[i * share - 1].0[..], &[0]].concat(),
        })
        .collect();
    let parts = streams.iter_mut().zip(starts).map(|(edits, start)| MergePart { start, edits }).collect();
    let executor = InTurn(NonZeroUsize::MIN);
    let merged = merge_parts(txn, base, ranges, parts, fill_percent, limit_pages, &executor)?;
    edits.at = match &merged.merged_up_to {
        None => edits.edits.len(),
        Some(up_to) => edits.edits.partition_point(|(key, _)| key <= up_to),
    };
    Ok(merged)
}

impl Rig {
    pub(crate) fn new(page_size: u32, filter_bits_per_key: u32) -> Rig {
        let identity = Identity { uuid: [7; 16], incarnation: 1, file_id: 0, page_size };
        let pager = Pager::create(Arc::new(SimVfs::new()), Path::new("pages"), identity, b"").unwrap();
        Rig { pager, options: TreeOptions { hash_seed: 42, filter_bits_per_key }, model: Model::new(), parts: 1 }
    }

    pub(crate) fn tree(&self) -> Tree {
        Tree::open(self.pager.snapshot(), 0, self.options).unwrap()
    }

    /// Merges a batch in chunks, each a commit, and compares after each; gives the number of chunks.
    pub(crate) fn merge(&mut self, batch: &Sorted, fill_percent: u32, limit_pages: u64) -> u64 {
        let edits = batch.edits.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        let mut edits = VecEdits { edits, at: 0 };
        let mut ranges = batch.ranges.clone();
        let before = self.model.clone();
        let mut chunks = 0;
        let mut last: Option<Vec<u8>> = None;
        loop {
            let base = self.tree();
            let mut txn = self.pager.begin().unwrap();
            let merged = match self.parts {
                1 => merge(&mut txn, &base, &ranges, &mut edits, fill_percent, limit_pages).unwrap(),
                n => merge_divided(&mut txn, &base, &ranges, &mut edits, fill_percent, limit_pages, n).unwrap(),
            };
            assert_eq!(txn.allocated(), merged.pages_written);
            let roots: Vec<_> = merged.root.into_iter().collect();
            txn.commit(&roots, b"").unwrap();
            chunks += 1;
            self.model = before.clone();
            batch.apply_up_to(&mut self.model, merged.merged_up_to.as_deref());
            let Some(up_to) = merged.merged_up_to else {
                assert!(edits.current().is_none(), "edits are left over");
                self.compare();
                return chunks;
            };
            if chunks < 4 {
                self.compare();
            }
            assert!(last.as_ref().is_none_or(|last| *last < up_to), "no progress beyond {last:?}");
            assert!(edits.current().is_none_or(|(key, _)| key > up_to.as_slice()));
            assert!(edits.at == 0 || edits.edits[edits.at - 1].0 <= up_to);
            let above = [&up_to[..], &[0]].concat();
            ranges.retain(|range| range.end.as_ref().is_none_or(|end| *end > above));
            ranges.iter_mut().for_each(|range| range.start = range.start.clone().max(above.clone()));
            last = Some(up_to);
        }
    }

    /// Compares the newest version with the model in every way there is, and checks the file.
    pub(crate) fn compare(&self) {
        compare(&self.tree(), &self.model);
        self.check();
    }

    /// Nothing may be found in the tree and the accounting.
    pub(crate) fn check(&self) {
        for depth in [Depth::Quick, Depth::Deep] {
            let tree = self.tree();
            let mut pages = PageSet::default();
            assert_eq!(tree.check(depth, &mut pages).unwrap(), []);
            assert_eq!(tree.snapshot().check_accounting(&pages).unwrap(), []);
            let counted: u64 = tree.shape().unwrap().iter().map(|level| level.pages + level.extra_pages).sum();
            assert_eq!(counted, pages.len());
            assert_eq!(tree.usage().unwrap().pages(), pages.len());
        }
    }
}

fn pair(cursor: &Cursor) -> Option<(Vec<u8>, Vec<u8>)> {
    Some((cursor.key()?.to_vec(), cursor.value().unwrap()?.to_vec()))
}

fn owned(entry: Option<(&Vec<u8>, &Vec<u8>)>) -> Option<(Vec<u8>, Vec<u8>)> {
    entry.map(|(key, value)| (key.clone(), value.clone()))
}

/// Compares a tree with a model: whole scans both ways, then lookups, seeks and counts around some keys.
pub(crate) fn compare(tree: &Tree, model: &Model) {
    assert_eq!(tree.len(), model.len() as u64);
    assert_eq!(tree.root().is_none(), model.is_empty());
    let mut cursor = tree.cursor();
    assert_eq!(cursor.key(), None);
    cursor.seek_first().unwrap();
    for (key, value) in model {
        assert_eq!(cursor.key(), Some(&key[..]));
        assert!(cursor.value().unwrap() == Some(&value[..]), "value of {key:?}");
        cursor.next().unwrap();
    }
    assert_eq!(cursor.key(), None);
    cursor.seek_last().unwrap();
    for (key, value) in model.iter().rev() {
        assert_eq!(cursor.key(), Some(&key[..]));
        assert!(cursor.value().unwrap() == Some(&value[..]), "value of {key:?} on the way back");
        cursor.prev().unwrap();
    }
    assert_eq!(cursor.key(), None);

    let step = (model.len() / 40).max(1);
    let many: Vec<Vec<u8>> =
        model.keys().rev().step_by(step).flat_map(|key| [key.clone(), [&key[..], b"+"].concat()]).collect();
    for (key, value) in many.iter().zip(tree.multi_get(&many).unwrap()) {
        assert!(value == model.get(key).map(|value| &value[..]), "one of many: {key:?}");
    }
    let mut probes: Vec<Vec<u8>> = vec![vec![], vec![0], vec![255; 3], vec![97; 400]];
    for key in model.keys().step_by(step) {
        let mut longer = key.clone();
        longer.push(0);
        let mut shorter = key.clone();
        shorter.pop();
        let mut other = key.clone();
        if let Some(last) = other.last_mut() {
            *last = last.wrapping_add(1);
        }
        probes.extend([key.clone(), longer, shorter, other]);
    }
    for (i, probe) in probes.iter().enumerate() {
        let probe = probe.as_slice();
        let expected = model.get(probe).map(Vec::as_slice);
        assert!(tree.get(probe).unwrap() == expected, "get {probe:?}");
        assert!(tree.get_hashed(probe, tree.hash(probe)).unwrap() == expected);
        let from = || model.range::<[u8], _>((Bound::Included(probe), Bound::Unbounded));
        let to = || model.range::<[u8], _>((Bound::Unbounded, Bound::Included(probe)));
        cursor.seek(probe).unwrap();
        assert_eq!(pair(&cursor), owned(from().next()), "seek {probe:?}");
        cursor.next().unwrap();
        assert_eq!(pair(&cursor), owned(from().nth(1)));
        if from().nth(1).is_some() {
            cursor.prev().unwrap();
            assert_eq!(pair(&cursor), owned(from().next()), "there and back at {probe:?}");
            cursor.prev().unwrap();
            let below = model.range::<[u8], _>((Bound::Unbounded, Bound::Excluded(probe))).next_back();
            assert_eq!(pair(&cursor), owned(below));
        }
        cursor.seek_back(probe).unwrap();
        assert_eq!(pair(&cursor), owned(to().next_back()), "seek back {probe:?}");
        cursor.prev().unwrap();
        assert_eq!(pair(&cursor), owned(to().nth_back(1)));

        let other = probes[(i * 7 + 3) % probes.len()].as_slice();
        let rank = |key: &[u8]| model.range::<[u8], _>((Bound::Unbounded, Bound::Excluded(key))).count() as u64;
        let through = |key: &[u8]| model.range::<[u8], _>((Bound::Unbounded, Bound::Included(key))).count() as u64;
        assert_eq!(tree.rank(probe).unwrap(), rank(probe));
        let count = |from, to| tree.count(from, to).unwrap();
        assert_eq!(
            count(Bound::Included(probe), Bound::Excluded(other)),
            rank(other).saturating_sub(rank(probe)),
            "{probe:?} to {other:?}"
        );
        assert_eq!(
            count(Bound::Excluded(probe), Bound::Included(other)),
            through(other).saturating_sub(through(probe))
        );
        assert_eq!(count(Bound::Unbounded, Bound::Included(other)), through(other));
        assert_eq!(count(Bound::Excluded(probe), Bound::Unbounded), tree.len() - through(probe));
        let n = rank(probe);
        let nth = tree.nth(n).unwrap().map(|(key, value)| (key, value.to_vec()));
        assert_eq!(nth, owned(model.iter().nth(n as usize)));
    }
    assert_eq!(tree.count(Bound::Unbounded, Bound::Unbounded).unwrap(), tree.len());
    assert_eq!(tree.nth(tree.len()).unwrap(), None);
}

/// How the keys of a test look.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Keys {
    /// Eight bytes, big-endian numbers.
    Numbers,
    /// Text with a long beginning that all share.
    SharedPrefix,
    /// Zeros and 0xff: many are prefixes of each other, many heads are equal.
    Extremes,
    /// From one byte to the longest there can be at a page size of 4 KiB, sharing much.
    Longest,
    /// Long keys that share nearly everything within groups of eight and nothing beyond: leaves of three entries,
    /// branches of few children, trees of many levels.
    Tall,
}

impl Keys {
    pub(crate) fn key(self, n: u32) -> Vec<u8> {
        match self {
            Keys::Numbers => u64::from(n).to_le_bytes().into_iter().rev().collect(),
            Keys::SharedPrefix => format!("{}/user/{:03}/row/{n:07}", "x".repeat(150), n / 100).into_bytes(),
            Keys::Extremes => {
                let mut key = vec![if n.is_multiple_of(2) { 0 } else { 255 }; 1 + (n as usize / 2) % 21];
                let mut digits = n / 42;
                while digits > 0 {
                    key.push([0, 1, 255][digits as usize % 3]);
                    digits /= 3;
                }
                key
            }
            Keys::Longest => {
                let mut key = format!("{:04}", n / 4).into_bytes();
                let longest = max_key_len(4096);
                key.resize([4, 5, longest - 1, longest][n as usize % 4], b'k');
                key
            }
            Keys::Tall => {
                let group = (n / 8) as u16;
                let mut key = group.to_le_bytes().into_iter().rev().collect::<Vec<u8>>();
                key.resize(1000, b't');
                key.push(n as u8 % 8);
                key
            }
        }
    }
}
