//! An ordered store in a single file: batches, a version that stays, ranges, counting, checking.
//!
//! Run it with `cargo run -p halodb-btree --example ordered_store`.

use halodb_btree::{Batch, Depth, Store, StoreOptions};
use std::ops::Bound;
use std::sync::Arc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("cities.store");
    let store = Store::create(Arc::new(halodb_vfs::OsVfs), &path, StoreOptions::default())?;

    // A batch is applied as a whole and is durable when `apply` returns.
    let mut batch = Batch::new();
    for n in 0..100_000u32 {
        batch.put(format!("city/{n:06}"), format!("{} inhabitants", n.wrapping_mul(2_654_435_761) % 1_000_000));
    }
    let first = store.apply(&batch)?;
    println!("{} cities in {} pages", first.len(), store.pager().stats().pages);

    let mut batch = Batch::new();
    batch.put("city/000042", "one, me");
    batch.delete_range("city/001", Some(b"city/099".to_vec()));
    let second = store.apply(&batch)?;
    println!("{} cities after a range was deleted", second.len());

    // The version before is still there for whoever holds it.
    let show = |value: Option<&[u8]>| value.map_or("-".into(), |v| String::from_utf8_lossy(v).into_owned());
    println!("city 42 was: {}; is: {}", show(first.get(b"city/000042")?), show(second.get(b"city/000042")?));

    // Ranges in both directions, counted without being scanned.
    let mut cursor = second.cursor();
    cursor.seek_back(b"city/099")?;
    for _ in 0..3 {
        println!("  {} = {}", show(cursor.key()), show(cursor.value()?));
        cursor.prev()?;
    }
    let from = Bound::Included(&b"city/0995"[..]);
    println!("{} cities from 99500 on", second.count(from, Bound::Unbounded)?);
    if let Some((key, value)) = second.nth(second.len() / 2)? {
        println!("the median is {} with {}", show(Some(&key)), show(Some(value)));
    }

    for level in second.shape()? {
        println!(
            "level {}: {} pages, {} entries, {} % full",
            level.level,
            level.pages,
            level.entries,
            100 * level.used_bytes / level.capacity_bytes
        );
    }
    println!("findings of a deep check: {}", store.check(Depth::Deep)?.len());
    Ok(())
}
