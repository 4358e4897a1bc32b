//! Where to cut a sequence of items into pages.
//!
//! A packer holds some of what comes back, so that what is left at the end can be divided evenly: if it cut at
//! the target every time, a last page of a few bytes would have to swallow its neighbour, whose rest would be a last
//! page of a few bytes, and so on through the whole tree.

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

/// Whether a page with the first `count` items, of `size` bytes together, is too long when pages are filled up to `target`:
/// two items go to it anyway if `capacity` allows.
pub(super) fn overflows(count: usize, size: usize, target: usize, capacity: usize) -> bool {
    size > if count <= 2 { capacity } else { target }
}

/// How many of `items` go to a page filled up to `target`: as many as fit, but two at least if `capacity` allows.
pub(super) fn cut_front<M: Measure>(items: &[M::Item], target: usize, capacity: usize) -> usize {
    let mut measure = M::default();
    for (i, item) in items.iter().enumerate() {
        measure.add(item);
        if overflows(i + 1, measure.size(), target, capacity) {
            return i.max(1);
        }
    }
    items.len()
}

/// How many of `items` go to the first of the last pages: all if they fit one page, otherwise an even share of the bytes.
pub(super) fn cut_last<M: Measure>(items: &[M::Item], capacity: usize) -> usize {
    let total = size_of::<M>(items);
    if total <= capacity {
        return items.len();
    }
    let pages = total.div_ceil(capacity);
    let mut measure = M::default();
    let mut share = 0;
    for item in items {
        measure.add(item);
        if measure.size() * pages >= total {
            break;
        }
        share += 1;
    }
    let size = |cut: usize| size_of::<M>(&items[..cut]);
    let fits = |cut: &usize| *cut > 0 && *cut < items.len() && size(*cut) <= capacity;
    if pages > 2 {
        // The item that straddles the border goes to this page: what is left shall not need one page more.
        return [share + 1, share].into_iter().find(fits).unwrap_or_else(|| cut_front::<M>(items, capacity, capacity));
    }
    // It goes to the side where it makes the greater page smaller.
    [share, share + 1]
        .into_iter()
        .filter(fits)
        .map(|cut| (size(cut).max(size_of::<M>(&items[cut..])), cut))
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
        assert_eq!(cut_last::<Plain>(&[10; 20], 100), 6);
        assert_eq!(cut_last::<Plain>(&[10; 27], 100), 9);
        assert_eq!(cut_last::<Plain>(&[45; 5], 100), 2);
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
