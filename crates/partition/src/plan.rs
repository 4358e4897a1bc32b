//! [`Plan`]: which keys the next chunk of a merge takes, and where it is cut into parts that are worked through at the same
//! time.
//!
//! A chunk that is not divided ends by itself where it has written enough. The parts of a divided one begin at different keys at
//! once, so where the chunk ends is settled beforehand: by the number of keys that are likely to fill it, as the chunks
//! before have shown. Ends and cuts are found by halving the memtable's keys.

use crate::version::successor;
use halodb_memtable::Memtable;

/// The keys of a chunk.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The first key of each part; that of the first part is empty.
    pub(crate) starts: Vec<Vec<u8>>,
    /// The last key of the chunk; `None`: the table's last.
    pub(crate) last: Option<Vec<u8>>,
}

impl Plan {
    /// The whole table, or rather as much of it as the chunk takes.
    pub(crate) fn undivided() -> Plan {
        Plan { starts: vec![Vec::new()], last: None }
    }

    /// A chunk of about `keys` keys of a sorted table, the ones from `from` on, in about so many parts of `least` keys each at least.
    pub(crate) fn divided(table: &Memtable, from: &[u8], keys: u64, parts: usize, least: u64) -> Plan {
        let count = |end: Option<&[u8]>| table.middle(from, end).map_or(0, |(keys, _)| keys as u64);
        let mut last: Option<Vec<u8>> = None;
        let mut has = count(None);
        while has / 3 * 2 > keys {
            let end = last.as_deref().map(successor);
            let Some((_, middle)) = table.middle(from, end.as_deref()) else { break };
            let rest = count(Some(&successor(middle)));
            if rest >= has {
                break;
            }
            (last, has) = (Some(middle.to_vec()), rest);
        }
        let end = last.as_deref().map(successor);
        let mut starts = vec![Vec::new()];
        cut(table, from, end.as_deref(), parts, least, &mut starts);
        if starts.len() == 1 { Plan::undivided() } else { Plan { starts, last } }
    }

    /// The first key behind the chunk.
    pub(crate) fn end(&self) -> Option<Vec<u8>> {
        self.last.as_deref().map(successor)
    }
}

/// Halves a range of keys until there are so many parts.
fn cut(table: &Memtable, from: &[u8], end: Option<&[u8]>, parts: usize, least: u64, starts: &mut Vec<Vec<u8>>) {
    if parts < 2 {
        return;
    }
    match table.middle(from, end) {
        Some((keys, middle)) if keys as u64 >= 2 * least.max(1) && middle > from => {
            cut(table, from, Some(middle), parts / 2, least, starts);
            starts.push(middle.to_vec());
            cut(table, middle, end, parts.div_ceil(2), least, starts);
        }
        _ => {}
    }
}

/// How many keys fill a chunk of so many pages: as the ones before have, or else as if each key touched a page of its own as
/// long as there are so many.
pub(crate) fn keys_for(
    pages: u64,
    seen: Option<(u64, u64)>,
    keys_left: u64,
    tree_pages: u64,
    bytes: u64,
    page_size: u64,
) -> u64 {
    let (keys, written) = match seen {
        Some((keys, written)) if keys > 0 && written > 0 => (keys, written),
        _ => (keys_left, keys_left.min(tree_pages) + bytes / page_size + 1),
    };
    // A fifth less: a part that reaches the limit makes those behind it vain.
    let filling = u128::from(pages) * u128::from(keys) * 4 / (u128::from(written) * 5);
    u64::try_from(filling).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn key(n: u32) -> Vec<u8> {
        format!("{n:06}").into_bytes()
    }

    fn table(keys: std::ops::Range<u32>) -> Arc<Memtable> {
        let table = Arc::new(Memtable::new());
        for n in keys {
            table.insert(u64::from(n), &key(n), u64::from(n) + 1, halodb_memtable::Entry::Value(b"v"));
        }
        table.sort();
        table
    }

    fn number(key: &[u8]) -> u32 {
        std::str::from_utf8(key).unwrap().parse().unwrap()
    }

    #[test]
    fn parts_are_about_equal_and_the_chunk_is_about_as_long_as_asked() {
        let table = table(0..1000);
        for (keys, parts) in [(1000, 2), (1000, 4), (300, 2), (100, 3), (40, 4)] {
            let plan = Plan::divided(&table, &key(100), keys, parts, 4);
            assert_eq!(plan.starts.len(), parts);
            assert!(plan.starts[0].is_empty());
            let last = plan.last.as_deref().map_or(999, number);
            let has = u64::from(last - 99);
            assert!(has <= 900.min(keys * 3 / 2 + 2) && has >= 900.min(keys / 2), "{has} keys for {keys}");
            let mut borders: Vec<u32> = plan.starts[1..].iter().map(|key| number(key)).collect();
            borders.insert(0, 100);
            borders.push(last + 1);
            for pair in borders.windows(2) {
                let part = u64::from(pair[1] - pair[0]);
                assert!(part <= has.div_ceil(parts as u64) * 2 && part >= has / (2 * parts as u64), "{borders:?}");
            }
        }
    }

    #[test]
    fn few_keys_are_not_divided() {
        let table = table(0..20);
        assert_eq!(Plan::divided(&table, &[], 20, 4, 11).starts.len(), 1);
        assert_eq!(Plan::divided(&table, &[], 20, 4, 10).starts.len(), 2);
        assert_eq!(Plan::divided(&table, &key(19), 20, 4, 1).starts.len(), 1);
        let one = Plan::divided(&table, &[], 1, 2, 1);
        assert!(one.starts.len() <= 2 && one.last.is_some_and(|last| number(&last) < 3));
        assert_eq!(Plan::divided(&table, &key(99), 20, 4, 1).starts.len(), 1);
    }

    #[test]
    fn chunks_follow_what_those_before_have_shown() {
        assert_eq!(keys_for(100, Some((1000, 50)), 9999, 0, 0, 4096), 1600);
        assert_eq!(keys_for(100, None, 1000, 10_000, 0, 4096), 79);
        assert_eq!(keys_for(100, None, 100_000, 99, 0, 4096), 80_000);
        assert_eq!(keys_for(1, Some((1, 1000)), 9999, 0, 0, 4096), 1);
    }
}
