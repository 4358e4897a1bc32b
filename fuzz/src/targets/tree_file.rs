//! `btree-file`: a tree in a page file with patches (see `patch.rs`), opened, read in every way, checked, and written.
//!
//! The input begins with flags u8: 1: the checksums of metas and pages are put right after patching.
//!
//! Demanded: without new checksums, reads give what was written, or an error, and a check finds what a read found. With
//! them the content may be anything; then every call must end with an answer.

use crate::input::Input;
use crate::patch::{overwriting, patch};
use crate::{Target, Verdict, seal};
use halodb::btree::{Batch, Depth, Expiry, Store, StoreOptions, Tree};
use halodb::pager::{Identity, inspect};
use halodb::vfs::SimVfs;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, LazyLock};

pub(crate) const TREE_FILE: Target = Target { name: "btree-file", max_len: 1024, run, seeds };

const PATH: &str = "tree";
const PAGE: usize = 4096;
/// A page of nonsense may lead a cursor over the same leaf again and again.
const MOST_STEPS: usize = 4000;

struct Valid {
    bytes: Vec<u8>,
    pairs: BTreeMap<Vec<u8>, Vec<u8>>,
    identity: Identity,
}

static VALID: LazyLock<Valid> = LazyLock::new(|| build().expect("a store on an empty disk"));

/// Three levels, inline and overflow values, leaves of both modes, expiries, filters, a free list.
fn build() -> halodb::btree::Result<Valid> {
    let disk = SimVfs::new();
    let options = StoreOptions { page_size: PAGE as u32, ..StoreOptions::default() };
    let store = Store::create(Arc::new(disk.clone()), Path::new(PATH), options)?;
    let mut pairs = BTreeMap::new();
    for n in 0..120u32 {
        // Long keys make a tall tree of few pages.
        let mut key = format!("key/{n:04}/").into_bytes();
        key.resize(if n % 3 == 0 { 900 } else { 30 }, n as u8);
        pairs.insert(key, vec![n as u8; if n % 30 == 7 { 5000 } else { 40 }]);
    }
    // Behind the others, so that leaves of their own have one stride.
    pairs.extend((0..120u32).map(|n| (format!("row/{n:06}").into_bytes(), vec![n as u8; 60])));
    let mut batch = Batch::new();
    for ((key, value), n) in pairs.iter().zip(0..) {
        let ms = if n % 20 < 3 { 1_000_000 + n * 1000 } else { 0 };
        batch.put_until(key.clone(), value.clone(), Expiry::at_ms(ms));
    }
    store.apply(&batch)?;
    let (key, value) = pairs.iter_mut().nth(50).map(|(k, v)| (k.clone(), v)).expect("240 pairs");
    *value = b"changed".to_vec();
    store.apply(Batch::new().put(key, b"changed".to_vec()))?;
    let identity = *store.pager().identity();
    let end = store.tree()?.snapshot().page_count() as usize * PAGE;
    drop(store);
    let mut bytes = disk.read_file(PATH).unwrap_or_default();
    bytes.truncate(end);
    Ok(Valid { bytes, pairs, identity })
}

fn run(data: &[u8]) -> Verdict {
    let valid = &*VALID;
    let mut input = Input::new(data);
    let sealed = input.u8() & 1 != 0;
    let mut files = vec![Some(valid.bytes.clone())];
    patch(&mut files, &mut input);
    let Some(mut bytes) = files.remove(0) else { return Verdict::Refused };
    if sealed {
        seal::page_file(&mut bytes, &valid.identity);
    }
    let disk = SimVfs::new();
    disk.write_file(PATH, &bytes).expect("an empty disk");
    let Ok(store) = Store::open(Arc::new(disk), Path::new(PATH), PAGE as u32) else { return Verdict::Refused };
    let Ok(tree) = store.tree() else { return Verdict::Refused };
    let readable = if sealed { scan(&tree).is_some() } else { honest(&tree, valid, &bytes) };
    use_in_every_way(&tree, valid);
    let findings = store.check(Depth::Deep).map_or(1, |found| found.len());
    assert!(sealed || readable || findings > 0, "a check finds what a scan found");
    if findings == 0 {
        let _ = tree.shape();
    }
    let mut batch = Batch::new();
    batch.put(b"key/0060/x".to_vec(), vec![1; 3000]).delete(valid.pairs.keys().nth(3).cloned().unwrap_or_default());
    if let Ok(after) = store.apply(&batch) {
        let found = after.get(b"key/0060/x");
        assert!(sealed || found.is_ok_and(|value| value == Some(&[1; 3000])), "what was applied is there");
    }
    if readable && findings == 0 { Verdict::Accepted } else { Verdict::Refused }
}

/// All pairs by a cursor, both ways; `None` after an error or too many steps.
fn scan(tree: &Tree) -> Option<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut pairs = BTreeMap::new();
    let mut cursor = tree.cursor();
    cursor.seek_first().ok()?;
    let mut steps = 0;
    while let Some(key) = cursor.key() {
        pairs.insert(key.to_vec(), cursor.value().ok()??.to_vec());
        cursor.next().ok()?;
        steps += 1;
        if steps > MOST_STEPS {
            return None;
        }
    }
    cursor.seek_last().ok()?;
    while cursor.key().is_some() && steps > 0 {
        cursor.prev().ok()?;
        steps -= 1;
    }
    Some(pairs)
}

/// Reads of a file whose checksums were not put right give what was written or an error; whether everything was read.
fn honest(tree: &Tree, valid: &Valid, bytes: &[u8]) -> bool {
    // The older meta leads to the state before the last change, which a store without a log cannot know to be old.
    let newest = |slot: usize| match inspect::meta(bytes.get(slot * PAGE..).unwrap_or_default(), slot as u32) {
        inspect::MetaSlot::Valid(meta) => meta.generation,
        _ => 0,
    };
    let whole = |slot: usize| match inspect::meta(&valid.bytes[slot * PAGE..], slot as u32) {
        inspect::MetaSlot::Valid(meta) => meta.generation,
        _ => 0,
    };
    let is_newest = newest(0).max(newest(1)) == whole(0).max(whole(1));
    for (key, value) in &valid.pairs {
        if let Ok(found) = tree.get(key) {
            assert!(!is_newest || found == Some(value), "a rotten page gave other data");
        }
    }
    let scanned = scan(tree);
    assert!(!is_newest || scanned.as_ref().is_none_or(|pairs| *pairs == valid.pairs), "a scan gave other data");
    scanned.is_some()
}

fn use_in_every_way(tree: &Tree, valid: &Valid) {
    let keys = valid.pairs.keys().step_by(17).cloned().chain([vec![], vec![255; 40], b"key/0033/absent".to_vec()]);
    for key in keys {
        let _ = tree.get(&key);
        let _ = (
            tree.get_with_expiry(&key, tree.hash(&key)),
            tree.count_expired(&key, None, u64::MAX),
            tree.expired_keys(&key, u64::MAX, 4),
            tree.rank(&key),
        );
        let _ = tree.count(Bound::Excluded(&key), Bound::Unbounded);
        let mut cursor = tree.cursor();
        let _ =
            (cursor.seek(&key), cursor.prev(), cursor.seek_back(&key), cursor.next(), cursor.value(), cursor.expiry());
    }
    for i in [0, 1, 60, 239, 240, u64::MAX] {
        let _ = tree.nth(i);
    }
    let _ = tree.least_expiry();
}

fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let valid = &*VALID;
    let of_kind = |kind: u8, level: u8| {
        let is = |page: &[u8]| page[24] == kind && page[25] == level;
        valid.bytes.chunks(PAGE).skip(2).position(is).map_or(2, |n| n + 2)
    };
    let at = |page: usize, offset: usize| (page * PAGE + offset) as u32;
    let sealed = |kind: u8, level: u8, offset: usize, bytes: &[u8]| {
        [&[1][..], &overwriting(0, at(of_kind(kind, level), offset), bytes)].concat()
    };
    vec![
        ("unchanged", vec![0]),
        ("rotten", [&[0][..], &overwriting(0, at(of_kind(1, 0), 200), b"x")].concat()),
        ("leaf-count", sealed(1, 0, 32, &[200, 3])),
        ("leaf-prefix", sealed(1, 0, 34, &[200, 3])),
        ("leaf-mode", sealed(1, 0, 32 + 6, &[2, 0, 200, 0])),
        ("leaf-expiries", sealed(1, 0, 32 + 7, &[8])),
        ("leaf-heads", sealed(1, 0, 48, &[0xff; 8])),
        ("branch-count", sealed(2, 1, 32, &[200, 0])),
        ("branch-child", sealed(2, 1, 32 + 32 + 40, &[2, 0, 0])),
        ("branch-expiries", sealed(2, 1, 32 + 28, &[3])),
        ("branch-filter", sealed(2, 1, 40, &[4])),
        ("top", sealed(2, 2, 32, &[1])),
        ("filter", sealed(4, 1, 32, &[255, 255, 255])),
        ("filter-offset", sealed(4, 1, 56, &[255, 255, 255, 255])),
        ("overflow", sealed(3, 0, 32, &[255, 255, 255, 63])),
        ("height", [&[1][..], &overwriting(0, at(0, 152), &[5]), &overwriting(0, at(1, 152), &[1])].concat()),
        ("stale-page", [&[0, 4, 0][..], &at(5, 0).to_le_bytes(), &[0], &at(6, 0).to_le_bytes(), &[7]].concat()),
    ]
}
