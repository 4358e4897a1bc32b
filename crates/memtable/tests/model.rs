//! The table against a list of all writes, searched from end to end for each question.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use halodb_memtable::{
    Cursor, EXPIRY_BYTES, Entry, Found, KEY_OVERHEAD_BYTES, Memtable, RANGE_DELETE_OVERHEAD_BYTES,
    RECORD_OVERHEAD_BYTES, RangeDelete,
};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Write {
    Put(Vec<u8>, Vec<u8>),
    PutUntil(Vec<u8>, Vec<u8>, u64),
    Delete(Vec<u8>),
    DeleteRange(Vec<u8>, Option<Vec<u8>>),
}

#[derive(Clone, Debug)]
enum Move {
    First,
    Last,
    Seek(Vec<u8>),
    SeekBack(Vec<u8>),
    Next,
    Prev,
}

/// Short keys over three letters: they collide, and are prefixes of each other.
fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![0_u8, b'a', 0xff]), 0..4)
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        6 => (key(), prop::collection::vec(any::<u8>(), 0..6)).prop_map(|(key, value)| Write::Put(key, value)),
        3 => (key(), prop::collection::vec(any::<u8>(), 0..12), 1..u64::MAX)
            .prop_map(|(key, value, at)| Write::PutUntil(key, value, at)),
        2 => key().prop_map(Write::Delete),
        1 => (key(), prop::option::weighted(0.8, key())).prop_map(|(start, end)| Write::DeleteRange(start, end)),
    ]
}

/// Writes with rising sequence numbers; a step of zero makes a batch of several writes.
fn writes() -> impl Strategy<Value = Vec<(u64, Write)>> {
    prop::collection::vec((0_u64..3, write()), 0..60).prop_map(|steps| {
        let mut seq = 1;
        steps
            .into_iter()
            .map(|(step, write)| {
                seq += step;
                (seq, write)
            })
            .collect()
    })
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        1 => Just(Move::First),
        1 => Just(Move::Last),
        2 => key().prop_map(Move::Seek),
        2 => key().prop_map(Move::SeekBack),
        8 => Just(Move::Next),
        8 => Just(Move::Prev),
    ];
    prop::collection::vec(one, 0..60)
}

type Hash = fn(&[u8]) -> u64;

/// A good hash, and such as no database would have: keys that share a chain, a sub-table, the beginning of a probe.
fn hashes() -> impl Strategy<Value = Hash> {
    prop::sample::select(vec![
        good_hash as Hash,
        |_| 0,
        |key| good_hash(key) & 1 << 63,
        |key| good_hash(key) & 0x1ff << 32,
        |key| good_hash(key) & 7 << 40,
    ])
}

fn good_hash(key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(key);
    hasher.finish()
}

fn apply(table: &Memtable, hash: Hash, seq: u64, write: &Write) {
    match write {
        Write::Put(key, value) => table.insert(hash(key), key, seq, Entry::Value(value)),
        Write::PutUntil(key, value, at) => table.insert(hash(key), key, seq, Entry::Expiring(value, *at)),
        Write::Delete(key) => table.insert(hash(key), key, seq, Entry::Tombstone),
        Write::DeleteRange(start, end) => table.delete_range(start, end.as_deref(), seq),
    }
}

/// What the write says about `key`, if anything; `true` if it is an entry of the key itself.
fn says<'a>(write: &'a Write, asked: &[u8]) -> Option<(bool, Entry<'a>)> {
    match write {
        Write::Put(key, value) if key == asked => Some((true, Entry::Value(value))),
        Write::PutUntil(key, value, at) if key == asked => Some((true, Entry::Expiring(value, *at))),
        Write::Delete(key) if key == asked => Some((true, Entry::Tombstone)),
        Write::DeleteRange(start, end) if start.as_slice() <= asked && end.as_deref().is_none_or(|end| asked < end) => {
            Some((false, Entry::Tombstone))
        }
        _ => None,
    }
}

/// The last word on `key` in the order (sequence number, range deletes first, arrival).
fn model_get<'a>(writes: &'a [(u64, Write)], key: &[u8], at: u64) -> Option<Found<'a>> {
    let words = writes.iter().filter(|(seq, _)| *seq <= at);
    let words = words.filter_map(|(seq, write)| says(write, key).map(|(own, entry)| (*seq, own, entry)));
    words.max_by_key(|(seq, own, _)| (*seq, *own)).map(|(seq, _, entry)| Found { seq, entry })
}

fn is_empty_range(write: &Write) -> bool {
    matches!(write, Write::DeleteRange(start, Some(end)) if end <= start)
}

fn own_key(write: &Write) -> Option<&[u8]> {
    match write {
        Write::Put(key, _) | Write::PutUntil(key, ..) | Write::Delete(key) => Some(key),
        Write::DeleteRange(..) => None,
    }
}

fn model_visible(writes: &[(u64, Write)], at: u64) -> Vec<(Vec<u8>, Found<'_>)> {
    let keys: BTreeSet<&[u8]> =
        writes.iter().filter(|(seq, _)| *seq <= at).filter_map(|(_, write)| own_key(write)).collect();
    keys.into_iter()
        .map(|key| (key.to_vec(), model_get(writes, key, at).expect("the key has an own version")))
        .collect()
}

fn model_range_deletes(writes: &[(u64, Write)], at: u64) -> Vec<RangeDelete> {
    writes
        .iter()
        .filter(|(seq, write)| *seq <= at && !is_empty_range(write))
        .filter_map(|(seq, write)| match write {
            Write::DeleteRange(start, end) => {
                Some(RangeDelete { start: start.as_slice().into(), end: end.as_deref().map(Into::into), seq: *seq })
            }
            _ => None,
        })
        .collect()
}

/// Bytes of all writes; versions: the last entry of each key and sequence number.
fn model_size(writes: &[(u64, Write)]) -> (u64, u64) {
    let (mut bytes, mut versions) = (0, 0);
    let keys: BTreeSet<&[u8]> = writes.iter().filter_map(|(_, write)| own_key(write)).collect();
    for key in keys {
        bytes += KEY_OVERHEAD_BYTES;
        let of_key = || writes.iter().filter(|(_, write)| own_key(write) == Some(key));
        versions += of_key().map(|(seq, _)| *seq).collect::<BTreeSet<u64>>().len() as u64;
        for (_, write) in of_key() {
            bytes += RECORD_OVERHEAD_BYTES + key.len() as u64;
            bytes += match write {
                Write::Put(_, value) => value.len() as u64,
                Write::PutUntil(_, value, _) => value.len() as u64 + EXPIRY_BYTES,
                _ => 0,
            };
        }
    }
    for range in model_range_deletes(writes, u64::MAX) {
        versions += 1;
        bytes += RANGE_DELETE_OVERHEAD_BYTES + (range.start.len() + range.end.map_or(0, |end| end.len())) as u64;
    }
    (bytes, versions)
}

/// Moves a cursor and a place in the model's list alike.
fn check_moves(
    cursor: &mut Cursor,
    place: &mut Option<usize>,
    visible: &[(Vec<u8>, Found<'_>)],
    moves: &[Move],
) -> Result<(), TestCaseError> {
    for (i, m) in moves.iter().enumerate() {
        match m {
            Move::First => {
                cursor.seek_first();
                *place = Some(0);
            }
            Move::Last => {
                cursor.seek_last();
                *place = visible.len().checked_sub(1);
            }
            Move::Seek(key) => {
                cursor.seek(key);
                *place = Some(visible.partition_point(|(there, _)| there < key));
            }
            Move::SeekBack(key) => {
                cursor.seek_back(key);
                *place = visible.partition_point(|(there, _)| there <= key).checked_sub(1);
            }
            Move::Next => {
                cursor.next();
                *place = place.map(|place| place + 1);
            }
            Move::Prev => {
                cursor.prev();
                *place = place.and_then(|place| place.checked_sub(1));
            }
        }
        *place = place.filter(|place| *place < visible.len());
        let expected = place.map(|place| &visible[place]);
        prop_assert_eq!(cursor.key(), expected.map(|(key, _)| key.as_slice()), "move {}", i);
        prop_assert_eq!(cursor.found(), expected.map(|(_, found)| *found), "move {}", i);
    }
    Ok(())
}

proptest! {
    // A failure is kept as a test of its own, with its story, not as a seed in a file.
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn every_snapshot_reads_what_the_list_of_writes_says(
        writes in writes(),
        hash in hashes(),
        asked in prop::collection::vec(key(), 8),
    ) {
        let table = Memtable::new();
        for (seq, write) in &writes {
            apply(&table, hash, *seq, write);
        }
        let last = writes.last().map_or(0, |(seq, _)| *seq);
        let own = writes.iter().filter_map(|(_, write)| own_key(write));
        let asked: BTreeSet<&[u8]> = asked.iter().map(Vec::as_slice).chain(own).collect();
        for at in (0..=last + 1).chain([u64::MAX]) {
            for &key in &asked {
                prop_assert_eq!(table.get(hash(key), key, at), model_get(&writes, key, at), "{:?} at {}", key, at);
            }
            prop_assert_eq!(table.range_deletes(at), model_range_deletes(&writes, at));
        }
        for &key in &asked {
            prop_assert_eq!(table.newest(hash(key), key), model_get(&writes, key, u64::MAX));
        }
    }

    #[test]
    fn size_and_number_are_the_sums_over_what_was_written(writes in writes(), hash in hashes()) {
        let table = Memtable::new();
        for (seq, write) in &writes {
            apply(&table, hash, *seq, write);
        }
        let (bytes, versions) = model_size(&writes);
        prop_assert_eq!(table.size_bytes(), bytes);
        prop_assert_eq!(table.versions(), versions);
        prop_assert_eq!(table.is_empty(), versions == 0);
        let counted = writes.iter().filter(|(_, write)| !is_empty_range(write));
        prop_assert_eq!(table.last_seq(), counted.map(|(seq, _)| *seq).max().unwrap_or(0));
    }

    #[test]
    fn a_cursor_walks_its_snapshot_both_ways_while_the_table_grows(
        writes in writes(),
        hash in hashes(),
        split in any::<prop::sample::Index>(),
        first in moves(),
        second in moves(),
    ) {
        let table = Arc::new(Memtable::new());
        let split = split.index(writes.len() + 1);
        for (seq, write) in &writes[..split] {
            apply(&table, hash, *seq, write);
        }
        // Writes of the same number as the last one belong to its batch: the snapshot is below an unfinished batch.
        let at = writes.get(split).map_or(u64::MAX, |(seq, _)| seq - 1);
        let visible = model_visible(&writes, at);
        let mut cursor = table.cursor(at);
        prop_assert_eq!(cursor.key(), None);
        let mut place = None;
        check_moves(&mut cursor, &mut place, &visible, &first)?;
        for (seq, write) in &writes[split..] {
            apply(&table, hash, *seq, write);
        }
        check_moves(&mut cursor, &mut place, &visible, &second)?;
    }

    #[test]
    fn the_order_of_arrival_of_different_numbers_does_not_matter(writes in writes(), hash in hashes()) {
        let mut distinct = writes;
        for (i, (seq, _)) in distinct.iter_mut().enumerate() {
            *seq = i as u64 + 1;
        }
        let table = Memtable::new();
        for (seq, write) in distinct.iter().rev() {
            apply(&table, hash, *seq, write);
        }
        for (at, (_, write)) in (0..).zip(&distinct) {
            if let Some(key) = own_key(write) {
                prop_assert_eq!(table.get(hash(key), key, at), model_get(&distinct, key, at));
            }
        }
        prop_assert_eq!(table.size_bytes(), model_size(&distinct).0);
    }
}
