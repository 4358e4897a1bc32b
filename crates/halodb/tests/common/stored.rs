//! What a database holds below its keyspaces: every stored key, by the number in front of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use halodb::partition::{Create, Entropy, Options, PartitionSet};
use halodb::vfs::SimVfs;

/// The number of the keyspace that a stored key belongs to, read from the bytes as `docs/format/catalogue.md` has them.
fn number(stored: &[u8]) -> u32 {
    match *stored {
        [id @ 0..0x80, ..] => u32::from(id),
        [high @ 0x80..0xc0, low, ..] => 0x80 + (u32::from(high & 0x3f) << 8 | u32::from(low)),
        _ => panic!("an id that no test gets to: {stored:?}"),
    }
}

/// How many stored keys each number has, and the numbers that the catalogue knows by name. Of a database that is closed, or
/// of an image of its disk.
pub(crate) fn keys_by_number(disk: &SimVfs) -> (BTreeMap<u32, u64>, BTreeSet<u32>) {
    let entropy = Entropy { uuid: [1; 16], incarnation: 1, hash_seed: 1 };
    let mut options = Options::default();
    options.create = Create::Never;
    let (set, _) = PartitionSet::open(Arc::new(disk.clone()), Path::new(super::PATH), options, entropy, 0)
        .expect("a database opens below its facade");
    let (mut keys, mut named) = (BTreeMap::new(), BTreeSet::new());
    let mut cursor = set.snapshot().cursor();
    cursor.seek_first().expect("a scan succeeds");
    while let Some(key) = cursor.key() {
        *keys.entry(number(key)).or_default() += 1;
        if let [0x00, 0x03, id @ ..] = key {
            named.insert(number(id));
        }
        cursor.next().expect("a scan succeeds");
    }
    (keys, named)
}

/// Fails if a key lies under a number that belongs to no keyspace.
#[track_caller]
pub(crate) fn assert_no_strays(disk: &SimVfs) {
    let (keys, named) = keys_by_number(disk);
    let strays: Vec<_> = keys.iter().filter(|(number, _)| **number > 1 && !named.contains(number)).collect();
    assert!(strays.is_empty(), "keys of no keyspace: {strays:?}, there are {named:?}");
}
