//! [`Pending`]: pages that were given up but can still be reached, by the generations in which they lived.
//!
//! A page born in generation b and freed by commit f is reachable in the generations b to f − 1. It may be written again
//! when every findable meta is of generation f or later, and no snapshot pins a generation from b to f − 1. So a long
//! reader holds back only what it can see.
//!
//! A snapshot is always taken of the newest generation, so no new pin can appear below f once f is committed: an extent
//! waits for the greatest pin below f, and when that is gone for the next lower one, if that is not below b. Each extent
//! is therefore looked at only when the pin it waits for disappears.

use halodb_vfs::mutant;
use std::collections::BTreeMap;

/// An extent that was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Freed {
    /// Generation in which it was written.
    pub(crate) born: u64,
    pub(crate) start: u64,
    pub(crate) len: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// By the commit that freed them: waiting for the metas.
    by_commit: BTreeMap<u64, Vec<Freed>>,
    /// By the pinned generation that is waited for: the metas are past them.
    by_pin: BTreeMap<u64, Vec<Freed>>,
    pages: u64,
    /// Those in `by_pin`.
    pinned: u64,
}

impl Pending {
    /// Number of pages.
    pub(crate) fn pages(&self) -> u64 {
        self.pages
    }

    /// Of these, how many only pinned generations still reach.
    pub(crate) fn pinned_pages(&self) -> u64 {
        self.pinned
    }

    /// All extents as (first page, length), in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.by_commit.values().chain(self.by_pin.values()).flatten().map(|e| (e.start, e.len))
    }

    /// What commit `generation` gave up.
    pub(crate) fn add(&mut self, generation: u64, freed: Vec<Freed>) {
        self.pages += freed.iter().map(|e| e.len).sum::<u64>();
        self.by_commit.entry(generation).or_default().extend(freed);
    }

    /// Takes out what may be written again. `oldest_findable` is the least generation of the findable metas; the keys of
    /// `pins` are the pinned generations.
    pub(crate) fn release<V>(&mut self, oldest_findable: u64, pins: &BTreeMap<u64, V>) -> Vec<(u64, u64)> {
        let mut out = Vec::new();
        let later = self.by_commit.split_off(&oldest_findable.saturating_add(1));
        for (commit, extents) in std::mem::replace(&mut self.by_commit, later) {
            self.wait_for_pin_below(commit, extents, pins, &mut out);
        }
        let gone: Vec<u64> = self.by_pin.keys().copied().filter(|pin| !pins.contains_key(pin)).collect();
        // Downwards would look twice at what moves from one vanished pin to the next; the next lower *existing* pin is
        // where it goes, so the order does not matter.
        for pin in gone {
            let extents = self.by_pin.remove(&pin).unwrap_or_default();
            self.pinned -= extents.iter().map(|e| e.len).sum::<u64>();
            self.wait_for_pin_below(pin, extents, pins, &mut out);
        }
        self.pages -= out.iter().map(|(_, len)| len).sum::<u64>();
        out
    }

    fn wait_for_pin_below<V>(
        &mut self,
        bound: u64,
        extents: Vec<Freed>,
        pins: &BTreeMap<u64, V>,
        out: &mut Vec<(u64, u64)>,
    ) {
        let pin = pins.range(..bound).next_back().map(|(pin, _)| *pin);
        for extent in extents {
            match pin {
                Some(pin) if pin >= extent.born && !mutant("pager.reuse-under-readers") => {
                    self.pinned += extent.len;
                    self.by_pin.entry(pin).or_default().push(extent);
                }
                _ => out.push((extent.start, extent.len)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The rule itself, applied to every extent at every step, against the shortcut.
        #[test]
        fn it_releases_exactly_what_no_meta_and_no_pin_can_reach(
            steps in proptest::collection::vec((0u64..30, any::<bool>(), 0usize..8), 1..40),
        ) {
            let mut pending = Pending::default();
            let mut model: Vec<(Freed, u64)> = Vec::new();
            let mut pins: BTreeMap<u64, ()> = BTreeMap::new();
            for (i, (age, pin, unpin)) in steps.into_iter().enumerate() {
                let commit = i as u64 + 1;
                let freed = Freed { born: commit.saturating_sub(age + 1), start: 10 * commit, len: 1 + age % 3 };
                pending.add(commit, vec![freed]);
                model.push((freed, commit));
                if let Some(k) = pins.keys().copied().nth(unpin) {
                    pins.remove(&k);
                }
                if pin {
                    pins.insert(commit, ());
                }
                let oldest = commit - 1;
                let mut released = pending.release(oldest, &pins);
                released.sort_unstable();
                let free = |e: &(Freed, u64)| e.1 <= oldest && pins.range(e.0.born..e.1).next().is_none();
                let mut expected: Vec<_> = model.iter().filter(|e| free(e)).map(|e| (e.0.start, e.0.len)).collect();
                expected.sort_unstable();
                model.retain(|e| !free(e));
                prop_assert_eq!(released, expected);
                prop_assert_eq!(pending.pages(), model.iter().map(|e| e.0.len).sum::<u64>());
                prop_assert_eq!(pending.iter().count(), model.len());
                let pinned = model.iter().filter(|e| e.1 <= oldest).map(|e| e.0.len).sum::<u64>();
                prop_assert_eq!(pending.pinned_pages(), pinned);
            }
        }
    }
}
