//! [`Run`]: some of the table's keys in order, each with the newest of its records that the run knows.
//!
//! Beside each position stands the key's *head*: the eight bytes after the prefix that all keys of the run share, as a
//! number. Heads decide nearly every comparison, so sorting, merging and searching seldom touch a record. Older versions
//! are reached through the record's chain.
//!
//! This file does not know which runs there are.

use crate::arena::{Arena, Pos, prefetch_all};

/// Sorted and immutable.
#[derive(Clone, Debug, Default)]
pub(crate) struct Run {
    /// Bytes that all keys have in common.
    prefix_len: usize,
    heads: Vec<u64>,
    /// Every [`STRIDE`]th head: a search in these touches few cache lines, which stay near.
    samples: Vec<u64>,
    positions: Vec<Pos>,
}

const STRIDE: usize = 64;

/// The eight bytes of `key` from `skip` on, zeros if there are fewer; numbers compare as the bytes do.
#[inline]
fn head(key: &[u8], skip: usize) -> u64 {
    let rest = key.get(skip..).unwrap_or_default();
    let mut bytes = [0; 8];
    match rest.first_chunk::<8>() {
        Some(first) => bytes = *first,
        None => bytes[..rest.len()].copy_from_slice(rest),
    }
    // Swapped, as the first byte counts most.
    u64::from_le_bytes(bytes).swap_bytes()
}

fn common_prefix_len(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

impl Run {
    /// Sorts records that come in the order of arrival. Of several with one key the last one stays: it is the head of the
    /// chain that leads to the others.
    pub(crate) fn sort<W>(arena: &Arena<W>, arrived: Vec<Pos>) -> Self {
        Self::sort_with(arena, arrived.into_iter().map(|pos| (pos, ())).collect(), |(), _| {})
    }

    /// As [`Run::sort`] of records with something beside them: `each` is told it, in order, and whether it is the last one of
    /// its key.
    pub(crate) fn sort_with<W, T: Copy>(
        arena: &Arena<W>,
        arrived: Vec<(Pos, T)>,
        mut each: impl FnMut(T, bool),
    ) -> Self {
        let Some((&(first, _), others)) = arrived.split_first() else { return Self::default() };
        let first = arena.record(first).key();
        let mut prefix_len = first.len();
        for &(pos, _) in others {
            prefix_len = common_prefix_len(&first[..prefix_len], arena.record(pos).key());
        }
        let mut entries: Vec<(u64, Pos, T)> =
            arrived.into_iter().map(|(pos, beside)| (head(arena.record(pos).key(), prefix_len), pos, beside)).collect();
        // Stable: what arrived later comes later.
        entries.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| arena.record(a.1).key().cmp(arena.record(b.1).key())));
        let mut run = Self::with_capacity(prefix_len, entries.len());
        for (i, &(head, pos, beside)) in entries.iter().enumerate() {
            let goes_on = entries
                .get(i + 1)
                .is_some_and(|&(next, after, _)| next == head && arena.record(pos).key() == arena.record(after).key());
            each(beside, !goes_on);
            if !goes_on {
                run.push(head, pos);
            }
        }
        run
    }

    /// Both runs as one. Where they have the same key, the newer one knows its newest record.
    pub(crate) fn merge<W>(arena: &Arena<W>, older: &Run, newer: &Run) -> Self {
        Self::merge_with(arena, older, newer, |_, _| {})
    }

    /// As [`Run::merge`]; `each` is told of each key, in order, which one it was in the older run and in the newer one.
    pub(crate) fn merge_with<W>(
        arena: &Arena<W>,
        older: &Run,
        newer: &Run,
        mut each: impl FnMut(Option<usize>, Option<usize>),
    ) -> Self {
        let (Some(&a), Some(&b)) = (older.positions.first(), newer.positions.first()) else {
            (0..older.len()).for_each(|i| each(Some(i), None));
            (0..newer.len()).for_each(|i| each(None, Some(i)));
            let all = if older.positions.is_empty() { newer } else { older };
            return all.clone();
        };
        let (mut of_older, mut of_newer) = (0..older.len(), 0..newer.len());
        let shared =
            common_prefix_len(&arena.record(a).key()[..older.prefix_len], &arena.record(b).key()[..newer.prefix_len]);
        let mut a = older.after_prefix(arena, shared).peekable();
        let mut b = newer.after_prefix(arena, shared).peekable();
        let mut run = Self::with_capacity(shared, older.len() + newer.len());
        loop {
            let order = match (a.peek(), b.peek()) {
                (None, None) => return run,
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(a), Some(b)) => a.0.cmp(&b.0).then_with(|| arena.record(a.1).key().cmp(arena.record(b.1).key())),
            };
            each(
                if order.is_le() { of_older.next() } else { None },
                if order.is_ge() { of_newer.next() } else { None },
            );
            if order.is_eq() {
                a.next();
            }
            let next = if order.is_lt() { a.next() } else { b.next() };
            let (head, pos) = next.expect("it was peeked at");
            run.push(head, pos);
        }
    }

    /// The entries with heads as after a shorter prefix.
    fn after_prefix<W>(&self, arena: &Arena<W>, prefix_len: usize) -> impl Iterator<Item = (u64, Pos)> {
        let same = prefix_len == self.prefix_len;
        self.heads.iter().zip(&self.positions).map(move |(&of_run, &pos)| {
            let head = if same { of_run } else { head(arena.record(pos).key(), prefix_len) };
            (head, pos)
        })
    }

    fn with_capacity(prefix_len: usize, len: usize) -> Self {
        let samples = Vec::with_capacity(len / STRIDE + 1);
        Self { prefix_len, heads: Vec::with_capacity(len), samples, positions: Vec::with_capacity(len) }
    }

    fn push(&mut self, head: u64, pos: Pos) {
        if self.heads.len().is_multiple_of(STRIDE) {
            self.samples.push(head);
        }
        self.heads.push(head);
        self.positions.push(pos);
    }

    pub(crate) fn len(&self) -> usize {
        self.positions.len()
    }

    /// The newest record of each key, in the order of the keys.
    pub(crate) fn positions(&self) -> &[Pos] {
        &self.positions
    }

    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<Pos> {
        self.positions.get(index).copied()
    }

    /// The first part of a search for `key`: the stretch of heads where it goes on, by number, and asks for the memory there.
    /// For whoever has something else to do meanwhile.
    pub(crate) fn approach<W>(&self, arena: &Arena<W>, key: &[u8]) -> usize {
        if self.side_of_prefix(arena, key).is_ne() {
            return 0;
        }
        let wanted = head(key, self.prefix_len);
        let stretch = self.samples.partition_point(|&head| head < wanted).saturating_sub(1);
        let (start, end) = (stretch * STRIDE, self.len().min((stretch + 1) * STRIDE));
        prefetch_all(&self.heads[start..end]);
        prefetch_all(&self.positions[start..end]);
        stretch
    }

    /// How many keys are below `key`. O(log n), touching a record at the end only, unless heads are equal.
    pub(crate) fn below<W>(&self, arena: &Arena<W>, key: &[u8]) -> usize {
        self.below_near(arena, key, 0)
    }

    /// As [`Run::below`], in a stretch that [`Run::approach`] said; any other number makes the search longer, and not wrong.
    pub(crate) fn below_near<W>(&self, arena: &Arena<W>, key: &[u8], stretch: usize) -> usize {
        self.partition(arena, key, stretch, |there| there < key)
    }

    /// How many keys are not above `key`; as [`Run::below_near`].
    pub(crate) fn not_above_near<W>(&self, arena: &Arena<W>, key: &[u8], stretch: usize) -> usize {
        self.partition(arena, key, stretch, |there| there <= key)
    }

    /// How many heads are near, which those at the beginning are; a guess in which stretch the first one is that is not.
    fn heads_below(&self, guess: usize, is_near: impl Fn(u64) -> bool) -> usize {
        let begins_near = guess == 0 || self.samples.get(guess).is_some_and(|&head| is_near(head));
        let is_right = begins_near && self.samples.get(guess + 1).is_none_or(|&head| !is_near(head));
        let stretch = if is_right {
            guess
        } else {
            // The last sample that is near begins the stretch where the first head is that is not.
            let Some(stretch) = self.samples.partition_point(|&head| is_near(head)).checked_sub(1) else { return 0 };
            stretch
        };
        let start = stretch * STRIDE;
        let end = self.heads.len().min(start + STRIDE);
        start + self.heads[start..end].partition_point(|&head| is_near(head))
    }

    /// Whether `key` is before all keys that begin with the prefix, which those of the run do, among them, or behind all of them.
    fn side_of_prefix<W>(&self, arena: &Arena<W>, key: &[u8]) -> std::cmp::Ordering {
        let Some(&first) = self.positions.first() else { return std::cmp::Ordering::Less };
        let prefix = &arena.record(first).key()[..self.prefix_len];
        key.get(..self.prefix_len).unwrap_or(key).cmp(prefix)
    }

    /// How many keys are on the near side of `key`; `is_near` says so of those whose head is the same.
    fn partition<W>(&self, arena: &Arena<W>, key: &[u8], stretch: usize, is_near: impl Fn(&[u8]) -> bool) -> usize {
        match self.side_of_prefix(arena, key) {
            std::cmp::Ordering::Less => return 0,
            std::cmp::Ordering::Greater => return self.len(),
            std::cmp::Ordering::Equal => {}
        }
        let wanted = head(key, self.prefix_len);
        let mut low = self.heads_below(stretch, |head| head < wanted);
        if self.heads.get(low) != Some(&wanted) {
            return low;
        }
        let mut high = match self.heads.get(low + 1) {
            Some(next) if *next == wanted => self.heads_below(stretch, |head| head <= wanted),
            _ => low + 1,
        };
        while low < high {
            let middle = low + (high - low) / 2;
            if is_near(arena.record(self.positions[middle]).key()) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::Entry;
    use crate::pool::Pool;

    fn append(arena: &Arena<()>, keys: &[&str]) -> Vec<Pos> {
        let mut writer = arena.writer();
        keys.iter().map(|key| writer.append(key.as_bytes(), 1, Entry::Tombstone, None)).collect()
    }

    fn keys<'a>(arena: &'a Arena<()>, run: &Run) -> Vec<&'a str> {
        run.positions.iter().map(|&pos| std::str::from_utf8(arena.record(pos).key()).expect("text")).collect()
    }

    #[track_caller]
    fn check(older: &[&str], newer: &[&str], expected: &[&str]) {
        let arena = Arena::new(Arc::new(Pool::new(0)), ());
        let [older, newer] = [older, newer].map(|keys| append(&arena, keys));
        let merged = Run::merge(&arena, &Run::sort(&arena, older.clone()), &Run::sort(&arena, newer.clone()));
        assert_eq!(keys(&arena, &merged), expected);
        let all: Vec<Pos> = older.iter().chain(&newer).copied().collect();
        let at_once = Run::sort(&arena, all.clone());
        assert!(at_once.positions == merged.positions, "the newest record of each key");
        for run in [&merged, &at_once] {
            for key in
                ["", "a", "aaaaaaaab", "user", "user0000000", "user00000001", "user1", "v", "~"].iter().chain(expected)
            {
                let below = expected.iter().filter(|there| *there < key).count();
                let not_above = expected.iter().filter(|there| *there <= key).count();
                for stretch in [run.approach(&arena, key.as_bytes()), 0, 1, 7, usize::MAX - 1] {
                    assert_eq!(run.below_near(&arena, key.as_bytes(), stretch), below, "{key}");
                    assert_eq!(run.not_above_near(&arena, key.as_bytes(), stretch), not_above, "{key}");
                }
            }
        }
    }

    #[test]
    fn runs_are_sorted_merged_and_searched_whatever_their_keys_have_in_common() {
        check(&[], &[], &[]);
        check(&["b", "a"], &[], &["a", "b"]);
        check(&[], &["a"], &["a"]);
        check(&["a", "a", "a"], &["a"], &["a"]);
        check(
            &["user00000001", "user00000003"],
            &["user00000002", "user00000001"],
            &["user00000001", "user00000002", "user00000003"],
        );
        check(&["user1", "user2"], &["a"], &["a", "user1", "user2"]);
        check(&["same-prefix-1"], &["same-suffix-2"], &["same-prefix-1", "same-suffix-2"]);
        check(
            &["aaaaaaaab", "aaaaaaaa"],
            &["aaaaaaaa\0", "aaaaaaaac", ""],
            &["", "aaaaaaaa", "aaaaaaaa\0", "aaaaaaaab", "aaaaaaaac"],
        );
    }

    #[test]
    fn a_long_run_is_searched_from_any_guess() {
        let arena = Arena::new(Arc::new(Pool::new(0)), ());
        // Of each head there are up to 130 keys: more than a stretch has.
        let name = |i: usize| format!("key {:06} {:04}", i / 130, i % 130);
        let names: Vec<String> = (0..1000).map(name).collect();
        let keys: Vec<&str> = names.iter().map(String::as_str).collect();
        let run = Run::sort(&arena, append(&arena, &keys));
        let stretches = run.len().div_ceil(STRIDE);
        for i in (0..1000).step_by(7) {
            let (there, between) = (name(i), format!("{}~", name(i)));
            for guess in (0..=stretches).chain([run.approach(&arena, there.as_bytes())]) {
                assert_eq!(run.below_near(&arena, there.as_bytes(), guess), i);
                assert_eq!(run.not_above_near(&arena, there.as_bytes(), guess), i + 1);
                assert_eq!(run.below_near(&arena, between.as_bytes(), guess), i + 1);
            }
        }
    }
}
