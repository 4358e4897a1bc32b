//! Scans a snapshot while other threads write: the scan shows one moment, and holds nobody up.
//! `cargo run --release -p halodb --example snapshot_scan`

use std::sync::atomic::{AtomicBool, Ordering};

use halodb::{Db, Durability};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let db = Db::builder(dir.path()).durability(Durability::Buffered).open()?;
    for i in 0..50_000 {
        db.put(format!("item/{i:06}"), "0")?;
    }

    let snapshot = db.snapshot();
    let stop = AtomicBool::new(false);
    let written = std::thread::scope(|scope| -> halodb::Result<u64> {
        let writer = scope.spawn(|| -> halodb::Result<u64> {
            let mut written = 0;
            while !stop.load(Ordering::Relaxed) {
                db.put(format!("item/{:06}", written * 7919 % 60_000), "1")?;
                written += 1;
            }
            Ok(written)
        });
        let (mut keys, mut changed) = (0, 0);
        for pair in snapshot.prefix("item/") {
            let (_, value) = pair?;
            keys += 1;
            changed += u64::from(*value != *b"0");
        }
        println!("the snapshot at {} shows {keys} keys, {changed} of them changed since", snapshot.seq());
        for key in snapshot.prefix("item/").keys().rev().take(3) {
            println!("  among its last: {}", key?.escape_ascii());
        }
        stop.store(true, Ordering::Relaxed);
        writer.join().expect("the writer does not panic")
    })?;
    println!("{written} writes went on beside it; the database now has {} keys", db.len()?);
    db.close()?;
    Ok(())
}
