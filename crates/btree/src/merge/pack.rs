//! Where to cut a sequence of items into pages.
//!
//! A packer holds more than one page's worth back, so that what is left at the end can be divided evenly: if it cut at
//! the target every time, a last page of a few bytes would have to swallow its neighbour, whose rest would be a last
//! page of a few bytes, and so on through the whole tree.

/// Below this share of a page, a page counts as poorly filled.
pub(super) const POOR_PERCENT: usize = 40;

/// The size of a page body holding some consecutive items.
pub(super) trait Measure: Default {
    /// What it measures.
    type Item;
    /// Takes the next item in.
    fn add(&mut self, item: &Self::Item);
    /// Size in bytes of a body with the items so far.
    fn size(&self) -> usize;
}

/// The size of a body with all of `items`.
pub(super) fn size_of<M: Measure>(items: &[M::Item]) -> usize {
    let mut measure = M::default();
    items.iter().for_each(|item| measure.add(item));
    measure.size()
}

/// How many of `items` go to a page filled up to `target`: as many as fit, but two at least if `capacity` allows.
pub(super) fn cut_front<M: Measure>(items: &[M::Item], target: usize, capacity: usize) -> usize {
    let mut measure = M::default();
    for (i, item) in items.iter().enumerate() {
        measure.add(item);
        let limit = if i < 2 { capacity } else { target };
        if measure.size() > limit {
            return i.max(1);
        }
    }
    items.len()
}

/// How many of `items` go to the first of the last pages: all if they fit one page, otherwise about half the bytes.
pub(super) fn cut_last<M: Measure>(items: &[M::Item], capacity: usize) -> usize {
    let total = size_of::<M>(items);
    if total <= capacity {
        return items.len();
    }
    let mut measure = M::default();
    let mut middle = 0;
    for item in items {
        measure.add(item);
        if measure.size() * 2 >= total {
            break;
        }
        middle += 1;
    }
    // The item that straddles the middle goes to the side where it makes the greater page smaller.
    let greater = |cut: usize| size_of::<M>(&items[..cut]).max(size_of::<M>(&items[cut..]));
    [middle, middle + 1]
        .into_iter()
        .filter(|&cut| cut > 0 && cut < items.len())
        .map(|cut| (greater(cut), cut))
        .filter(|&(size, _)| size <= capacity)
        .min()
        .map_or_else(|| cut_front::<M>(items, capacity, capacity), |(_, cut)| cut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Default)]
    struct Plain(usize);
    impl Measure for Plain {
        type Item = usize;
        fn add(&mut self, item: &usize) {
            self.0 += item;
        }
        fn size(&self) -> usize {
            10 + self.0
        }
    }

    #[test]
    fn what_fits_one_page_is_not_divided_and_the_rest_evenly() {
        assert_eq!(cut_last::<Plain>(&[10; 9], 100), 9);
        assert_eq!(cut_last::<Plain>(&[10; 12], 100), 6);
        assert_eq!(cut_last::<Plain>(&[10, 45, 45], 100), 2);
        assert_eq!(cut_front::<Plain>(&[10; 12], 60, 100), 5);
        assert_eq!(cut_front::<Plain>(&[45, 45, 45], 60, 100), 2);
    }

    proptest! {
        #[test]
        fn every_cut_takes_something_and_fits(items in prop::collection::vec(1usize..=45, 1..40), target in 50usize..=100) {
            let front = cut_front::<Plain>(&items, target, 100);
            prop_assert!(front >= 1 && size_of::<Plain>(&items[..front]) <= 100);
            let last = cut_last::<Plain>(&items, 100);
            prop_assert!(last >= 1);
            if size_of::<Plain>(&items) <= 140 {
                prop_assert!(size_of::<Plain>(&items[..last]) <= 100);
                prop_assert!(size_of::<Plain>(&items[last..]) <= 100);
            }
        }
    }
}
