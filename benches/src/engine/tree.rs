//! HaloDB's tree alone: the single-file store of its crate, without log, memtable and partitions.
//!
//! It takes the place of HaloDB in the group `tree`, beside peers that are a tree in a file. It can do what that group
//! asks for; conditional removals and pops belong to the database.

use halodb::btree::{Build, Change, Cursor, Edits, Store, StoreOptions, Tree};

use super::{Batch, Durability, Engine, Fill, Pairs, Problem, Reader, Result, Settings, prefix_end};

/// Opens a store with its defaults in an empty directory.
pub(super) fn open(settings: &Settings) -> Result<Box<dyn Engine>> {
    let vfs = std::sync::Arc::new(halodb::vfs::OsVfs);
    Ok(Box::new(Store::create(vfs, &settings.dir.join("data"), StoreOptions::default())?))
}

/// The changes of a transaction, beside each other in memory: the store takes sorted streams.
#[derive(Default)]
struct Changes {
    bytes: Vec<u8>,
    /// Where the key begins, where its value begins, and where that ends; no value for a removal.
    places: Vec<(usize, usize, Option<usize>)>,
    next: usize,
}

impl Changes {
    fn key(&self, place: &(usize, usize, Option<usize>)) -> &[u8] {
        &self.bytes[place.0..place.1]
    }

    /// In key order, the last change of each key only.
    fn sort(&mut self) {
        let mut places = std::mem::take(&mut self.places);
        let ascending = places.windows(2).all(|pair| self.key(&pair[0]) < self.key(&pair[1]));
        if !ascending {
            // The later of two changes comes first, and stays.
            places.sort_by(|a, b| self.key(a).cmp(self.key(b)).then(b.0.cmp(&a.0)));
            places.dedup_by(|later, earlier| self.key(later) == self.key(earlier));
        }
        self.places = places;
    }
}

impl Batch for Changes {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.places.push((begin, begin + key.len(), Some(self.bytes.len())));
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(key);
        self.places.push((begin, begin + key.len(), None));
        Ok(())
    }
}

impl Edits for Changes {
    fn current(&self) -> Option<(&[u8], Change<'_>)> {
        let place = self.places.get(self.next)?;
        let change = place.2.map_or(Change::Delete, |end| Change::put(&self.bytes[place.1..end]));
        Some((self.key(place), change))
    }

    fn advance(&mut self) {
        self.next += 1;
    }
}

/// A bulk load: pairs go into pages as they come.
struct Loading<'b, 'o, 'p>(&'b mut Build<'o, 'p>);

impl Batch for Loading<'_, '_, '_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        Ok(self.0.put(key, value)?)
    }

    fn delete(&mut self, _: &[u8]) -> Result<()> {
        Err(Problem::Unsupported("removals in a bulk load"))
    }
}

impl Engine for Store {
    fn settings(&self) -> Vec<String> {
        vec![
            "the tree alone: halodb-btree's Store with its defaults, no log, no memtable, no partitions".into(),
            "no cache of its own: pages are mapped; every transaction is durable".into(),
        ]
    }

    fn write(&self, _: Durability, fill: Fill<'_>) -> Result<()> {
        let mut changes = Changes::default();
        fill(&mut changes)?;
        changes.sort();
        self.apply_sorted(&mut changes)?;
        Ok(())
    }

    fn load_sorted(&self, fill: Fill<'_>) -> Result<()> {
        self.build(|build| fill(&mut Loading(build))).map(drop)
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        let tree = self.tree()?;
        Ok(Box::new(Reading { cursor: tree.cursor(), tree }))
    }

    fn len(&self) -> Result<u64> {
        Ok(self.tree()?.len())
    }

    fn remove_if(&self, _: &[u8], _: &[u8], _: Durability, _: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> Result<u64> {
        Err(Problem::Unsupported("transactions that read and remove"))
    }

    fn pop_ends(&self, _: u64, _: Durability, _: &mut dyn FnMut() -> bool, _: Pairs<'_>) -> Result<u64> {
        Err(Problem::Unsupported("taking pairs out at the ends"))
    }

    fn compact(&mut self) -> Result<()> {
        Store::compact(self)?;
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

struct Reading {
    tree: Tree,
    cursor: Cursor,
}

impl Reading {
    /// Pairs from where the cursor stands, as long as `wanted` says so.
    fn walk(&mut self, limit: u64, end: Option<&[u8]>, f: Pairs<'_>) -> Result<u64> {
        let mut found = 0;
        while found < limit {
            let Some(key) = self.cursor.key() else { break };
            if end.is_some_and(|end| key >= end) {
                break;
            }
            let Some(value) = self.cursor.value()? else { break };
            f(key, value);
            found += 1;
            self.cursor.next()?;
        }
        Ok(found)
    }
}

impl Reader for Reading {
    fn get(&mut self, key: &[u8], f: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let found = self.tree.get(key)?;
        if let Some(value) = found {
            f(value);
        }
        Ok(found.is_some())
    }

    fn multi_get(&mut self, keys: &[&[u8]], f: &mut dyn FnMut(&[u8])) -> Result<usize> {
        let values = self.tree.multi_get(keys)?;
        values.iter().flatten().for_each(|value| f(value));
        Ok(values.iter().flatten().count())
    }

    fn seek(&mut self, from: &[u8], limit: usize, f: Pairs<'_>) -> Result<usize> {
        self.cursor.seek(from)?;
        Ok(self.walk(limit as u64, None, f)? as usize)
    }

    fn scan(&mut self, prefix: &[u8], f: Pairs<'_>) -> Result<u64> {
        self.cursor.seek(prefix)?;
        self.walk(u64::MAX, prefix_end(prefix).as_deref(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_change_of_a_key_in_a_transaction_counts() {
        let mut changes = Changes::default();
        for (key, value) in [("b", "1"), ("a", "2"), ("b", "3"), ("c", "4")] {
            changes.put(key.as_bytes(), value.as_bytes()).unwrap();
        }
        changes.delete(b"c").unwrap();
        changes.sort();
        let mut seen = Vec::new();
        while let Some((key, change)) = changes.current() {
            seen.push((key.to_vec(), change == Change::Delete, format!("{change:?}")));
            changes.advance();
        }
        let keys: Vec<_> = seen.iter().map(|(key, deleted, _)| (&key[..], *deleted)).collect();
        assert_eq!(keys, [(&b"a"[..], false), (&b"b"[..], false), (&b"c"[..], true)]);
        assert!(seen[1].2.contains("51"), "{}", seen[1].2);
    }
}
