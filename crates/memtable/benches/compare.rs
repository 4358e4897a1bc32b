//! The table against the standard library's ordered map behind a lock, in turns: `cargo bench -p halodb-memtable`.
//!
//! 350,000 entries with random keys of 24 bytes and values of 150, hashed with xxh3 each time, as the engine does. Each
//! figure is the median of some rounds in nanoseconds for an operation; in a round each kind is measured once, so that
//! other work on the machine disturbs all of them alike. `ROUNDS` says how many (default 7).
//!
//! `recycled`: the table's memory was another one's before. `chased`: the next key depends on what was read, so that
//! misses of the cache cannot overlap; the figures without it can.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use halodb_memtable::{Entry, Memtable, Pool};
use parking_lot::RwLock;
use xxhash_rust::xxh3::xxh3_64_with_seed;

const ENTRIES: usize = 350_000;
const SEEKS: usize = 50_000;

type Key = [u8; 24];

/// The structure before: versions are left out, which only makes it faster.
type Map = RwLock<BTreeMap<Box<[u8]>, (u64, Option<Arc<[u8]>>)>>;

/// SplitMix64 (Steele et al., 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let a = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let b = (a ^ (a >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        b ^ (b >> 31)
    }

    fn key(&mut self) -> Key {
        let mut key = [0; 24];
        key.chunks_exact_mut(8).for_each(|part| part.copy_from_slice(&self.next().to_le_bytes()));
        key
    }
}

fn hash(key: &[u8]) -> u64 {
    xxh3_64_with_seed(key, 7)
}

/// Nanoseconds for each of `n` operations.
fn timed<R>(n: usize, work: impl FnOnce() -> R) -> (f64, R) {
    let start = Instant::now();
    let result = black_box(work());
    (start.elapsed().as_nanos() as f64 / n as f64, result)
}

#[derive(Default)]
struct Figures(BTreeMap<&'static str, Vec<f64>>);

impl Figures {
    fn add<R>(&mut self, name: &'static str, n: usize, work: impl FnOnce() -> R) -> R {
        let (ns, result) = timed(n, work);
        self.0.entry(name).or_default().push(ns);
        result
    }
}

fn fill(table: &Memtable, keys: &[Key], value: &[u8]) {
    for (seq, key) in (1..).zip(keys) {
        table.insert(hash(key), key, seq, Entry::Value(value));
    }
}

fn main() {
    // Cargo says `--bench`; nothing else is understood.
    let rounds = std::env::var("ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(7);
    let mut random = Random(1);
    let keys: Vec<Key> = (0..ENTRIES).map(|_| random.key()).collect();
    let absent: Vec<Key> = (0..ENTRIES).map(|_| random.key()).collect();
    let mut asked = keys.clone();
    for i in (1..asked.len()).rev() {
        asked.swap(i, random.next() as usize % (i + 1));
    }
    let value = [7_u8; 150];
    let pool = Arc::new(Pool::new(256 << 20));
    let mut figures = Figures::default();
    for _ in 0..rounds {
        round(&mut figures, &keys, &absent, &asked, &value, &pool);
    }
    for (name, mut all) in figures.0 {
        all.sort_by(f64::total_cmp);
        println!("{name:<28} {:>8.1} ns   (least {:.1})", all[all.len() / 2], all[0]);
    }
}

fn round(figures: &mut Figures, keys: &[Key], absent: &[Key], asked: &[Key], value: &[u8], pool: &Arc<Pool>) {
    let n = keys.len();
    {
        let fresh = Memtable::new();
        figures.add("insert: arena, fresh", n, || fill(&fresh, keys, value));
    }
    pool.clear();
    fill(&Memtable::with_pool(pool.clone()), keys, value);
    let table = Arc::new(Memtable::with_pool(pool.clone()));
    figures.add("insert: arena, recycled", n, || fill(&table, keys, value));
    let map: Map = RwLock::default();
    figures.add("insert: map", n, || {
        for (seq, key) in (1..).zip(keys) {
            map.write().insert(key.as_slice().into(), (seq, Some(value.into())));
        }
    });
    figures.add("hash alone", n, || absent.iter().fold(0, |sum, key| sum ^ hash(key)));
    let misses = |asked: &[Key]| asked.iter().filter(|key| table.get(hash(*key), *key, u64::MAX).is_none()).count();
    assert_eq!(figures.add("miss: arena", n, || misses(absent)), n);
    figures.add("miss: arena, chased", n, || {
        let mut seen = 0;
        for key in absent {
            let mut key = *key;
            key[0] ^= seen;
            seen = u8::from(table.get(hash(&key), &key, u64::MAX).is_some());
        }
        seen
    });
    let no_table = Memtable::new();
    figures.add("miss: arena, empty", n, || {
        absent.iter().filter(|key| no_table.get(hash(*key), *key, u64::MAX).is_none()).count()
    });
    let map_misses = || absent.iter().filter(|key| map.read().get(key.as_slice()).is_none()).count();
    assert_eq!(figures.add("miss: map", n, map_misses), n);
    assert_eq!(figures.add("hit: arena", n, || n - misses(asked)), n);
    let map_hits =
        || asked.iter().filter(|key| map.read().get(key.as_slice()).is_some_and(|(seq, _)| *seq > 0)).count();
    assert_eq!(figures.add("hit: map", n, map_hits), n);

    figures.add("order: arena, first cursor", n, || table.cursor(u64::MAX));
    figures.add("order: arena, one more", 1000, || {
        for (seq, key) in (n as u64..).zip(&absent[..1000]) {
            table.insert(hash(key), key, seq, Entry::Value(value));
            black_box(table.cursor(u64::MAX));
        }
    });
    let mut seeker = table.cursor(u64::MAX);
    figures.add("seek: arena, some runs", SEEKS, || {
        asked[..SEEKS].iter().for_each(|key| seeker.seek(key));
        seeker.key().map(<[u8]>::len)
    });
    figures.add("order: arena, one run", n, || table.sort());
    let mut seeker = table.cursor(u64::MAX);
    figures.add("seek: arena, one run", SEEKS, || {
        asked[..SEEKS].iter().for_each(|key| seeker.seek(key));
        seeker.key().map(<[u8]>::len)
    });
    figures.add("seek: map", SEEKS, || {
        let map_seek = |key: &Key| {
            let map = map.read();
            let range = (Bound::Included(key.as_slice()), Bound::Unbounded);
            map.range::<[u8], _>(range).next().map(|(key, (seq, value))| (key.to_vec(), *seq, value.clone()))
        };
        asked[..SEEKS].iter().filter_map(map_seek).count()
    });
    figures.add("walk: arena", n, || {
        let mut cursor = table.cursor(u64::MAX);
        let mut bytes = 0;
        cursor.seek_first();
        while let Some(found) = cursor.found() {
            bytes += found.entry.value().map_or(0, <[u8]>::len);
            cursor.next();
        }
        bytes
    });
    figures.add("walk: map, a lock each", n, || {
        let mut last: Option<Box<[u8]>> = None;
        let mut bytes = 0;
        loop {
            let map = map.read();
            let from = last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let Some((key, (_, value))) = map.range::<[u8], _>((from, Bound::Unbounded)).next() else { return bytes };
            bytes += value.as_ref().map_or(0, |value| value.len());
            last = Some(key.clone());
        }
    });
}
