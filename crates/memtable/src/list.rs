//! [`List`]: an append-only list whose elements never move, so that readers need no lock while it grows.
//!
//! Levels of doubling length, each allocated when its first element comes: an element is found by two loads and the
//! number of leading zeros of its index. One thread sets elements; that none is set twice is checked.

use std::sync::OnceLock;

/// Elements of the first level, log2.
const FIRST_BITS: u32 = 3;

const LEVELS: usize = 29;

/// Room for 2^32 elements, taken as they come.
pub(crate) struct List<T> {
    levels: [OnceLock<Box<[OnceLock<T>]>>; LEVELS],
}

impl<T> List<T> {
    pub(crate) fn new() -> Self {
        Self { levels: [const { OnceLock::new() }; LEVELS] }
    }

    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        let (level, offset) = place(index);
        self.levels.get(level)?.get()?.get(offset)?.get()
    }

    /// # Panics
    /// If the element is there already.
    pub(crate) fn set(&self, index: usize, value: T) {
        let (level, offset) = place(index);
        let level = self.levels[level]
            .get_or_init(|| (0..1usize << (level as u32 + FIRST_BITS)).map(|_| OnceLock::new()).collect());
        assert!(level[offset].set(value).is_ok(), "element {index} is set twice");
    }

    /// Takes everything out.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> {
        self.levels.iter_mut().filter_map(OnceLock::take).flatten().filter_map(OnceLock::into_inner)
    }
}

#[inline]
fn place(index: usize) -> (usize, usize) {
    let shifted = index + (1 << FIRST_BITS);
    let level = shifted.ilog2() - FIRST_BITS;
    (level as usize, shifted - (1 << (level + FIRST_BITS)))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn places_are_dense_and_levels_double() {
        assert_eq!([0, 7, 8, 23, 24].map(place), [(0, 0), (0, 7), (1, 0), (1, 15), (2, 0)]);
    }

    #[test]
    fn elements_are_found_where_they_were_put_and_come_out_in_order() {
        let mut list = List::new();
        for i in (0..1000).filter(|i| i % 3 != 1) {
            list.set(i, i);
        }
        assert!((0..1100).all(|i| list.get(i).copied() == (i < 1000 && i % 3 != 1).then_some(i)));
        assert!(list.drain().eq((0..1000).filter(|i| i % 3 != 1)));
        assert_eq!(list.get(0), None);
    }

    #[test]
    #[should_panic(expected = "set twice")]
    fn an_element_is_set_once() {
        let list = List::new();
        list.set(4, 'a');
        list.set(4, 'b');
    }
}
