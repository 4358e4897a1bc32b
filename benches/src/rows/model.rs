//! [`Model`]: which index has which version, as the database should have it, at a byte an index.

use crate::data::{Data, touch};
use crate::engine::{Engine, Problem, Reader, Result};

/// The expected content of a database filled from [`Data`].
pub(crate) struct Model {
    pub(crate) data: Data,
    /// Version of each index; 0 is absent.
    versions: Vec<u8>,
}

/// An amount of pairs and the sum of [`touch`] over their values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) pairs: u64,
    pub(crate) sum: u64,
}

impl Tally {
    /// Counts a value.
    pub(crate) fn add(&mut self, value: &[u8]) {
        self.pairs += 1;
        self.sum = self.sum.wrapping_add(touch(value));
    }

    /// Fails a row whose tally is not the expected one.
    pub(crate) fn check(self, what: &str, expected: Tally) -> Result<()> {
        if self == expected {
            return Ok(());
        }
        Err(Problem::wrong(what, format_args!("{expected:?}"), format_args!("{self:?}")))
    }
}

impl Model {
    /// Nothing, with room for `capacity` indices.
    pub(crate) fn new(data: Data, capacity: u64) -> Self {
        Model { data, versions: vec![0; capacity as usize] }
    }

    /// Whether an index is there.
    pub(crate) fn has(&self, index: u64) -> bool {
        self.version(index) > 0
    }

    /// The version of an index.
    pub(crate) fn version(&self, index: u64) -> u8 {
        self.versions[index as usize]
    }

    /// Sets an index, or sets it again; its new version.
    pub(crate) fn put(&mut self, index: u64) -> u8 {
        let version = &mut self.versions[index as usize];
        *version = if *version == u8::MAX { 1 } else { *version + 1 };
        *version
    }

    /// Removes an index.
    pub(crate) fn remove(&mut self, index: u64) {
        self.versions[index as usize] = 0;
    }

    /// The indices that are there.
    pub(crate) fn live(&self) -> impl Iterator<Item = u64> + '_ {
        (0..self.versions.len() as u64).filter(|&index| self.has(index))
    }

    /// The value of an index that is there.
    pub(crate) fn value(&self, index: u64) -> [u8; crate::data::VALUE_BYTES] {
        self.data.value(index, self.version(index))
    }

    /// How many are there.
    pub(crate) fn len(&self) -> u64 {
        self.live().count() as u64
    }

    /// The tally of `indices`, counting those that are there.
    pub(crate) fn tally(&self, indices: impl Iterator<Item = u64>) -> Tally {
        let mut tally = Tally::default();
        for index in indices.filter(|&index| self.has(index)) {
            tally.add(&self.value(index));
        }
        tally
    }

    /// The indices that are there, in the order of their keys.
    pub(crate) fn sorted(&self) -> Vec<u32> {
        let mut order: Vec<_> = self.live().map(|index| (self.data.key(index), index as u32)).collect();
        order.sort_unstable();
        order.into_iter().map(|(_, index)| index).collect()
    }

    /// Reads everything and compares: number, order of keys, values.
    pub(crate) fn verify(&self, engine: &dyn Engine, when: &str) -> Result<()> {
        let mut reader = engine.reader()?;
        scan_in_order(&mut *reader, when)?.check(when, self.tally(self.live()))
    }
}

/// Reads everything; a key that is not above the one before it is an error.
fn scan_in_order(reader: &mut dyn Reader, when: &str) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut last: Vec<u8> = Vec::new();
    let mut ascending = true;
    reader.scan(b"", &mut |key, value| {
        ascending &= tally.pairs == 0 || last[..] < *key;
        last.clear();
        last.extend_from_slice(key);
        tally.add(value);
    })?;
    if ascending { Ok(tally) } else { Err(Problem::wrong(when, "ascending keys", "others")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_knows_what_was_put_and_removed() {
        let mut model = Model::new(Data::new(1), 10);
        assert_eq!((model.put(3), model.put(3), model.put(5)), (1, 2, 1));
        model.remove(5);
        assert_eq!((model.live().collect::<Vec<_>>(), model.len()), (vec![3], 1));
        let mut tally = Tally::default();
        tally.add(&model.data.value(3, 2));
        assert!(tally.check("all", model.tally(0..10)).is_ok());
        assert!(Tally::default().check("all", tally).is_err());
    }

    #[test]
    fn sorted_indices_are_in_the_order_of_keys() {
        let mut model = Model::new(Data::new(1), 100);
        (0..100).for_each(|index| assert_eq!(model.put(index), 1));
        assert!(model.sorted().windows(2).all(|w| model.data.key(w[0].into()) < model.data.key(w[1].into())));
    }
}
