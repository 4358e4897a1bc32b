//! Power cuts and killed processes, through the public interface: images of a simulated disk are taken while the
//! database is open, and opened again.

mod common;

use std::collections::BTreeMap;

use common::{assert_sound, on, tiny};
use halodb::vfs::SimVfs;
use halodb::vfs::sim::CrashMode;
use halodb::{Db, Durability, WriteOptions};

/// The database as a crash right now leaves it.
fn after_crash(disk: &SimVfs, mode: CrashMode, seed: u64) -> Db {
    tiny(on(&disk.crash_image(disk.ops(), mode, seed))).open().expect("a database opens after a crash")
}

#[test]
fn a_synchronised_write_survives_a_power_cut() {
    let disk = SimVfs::new();
    let db = tiny(on(&disk)).open().unwrap();
    for i in 0..50 {
        db.put(format!("k{i:02}"), format!("{i}")).unwrap();
        let again = after_crash(&disk, CrashMode::Strict, 0);
        assert_eq!(again.len().unwrap(), i + 1);
        assert!(!again.open_report().clean && !again.open_report().created);
    }
}

#[test]
fn each_level_survives_what_it_promises() {
    for (level, mode, survives) in [
        (Durability::Sync, CrashMode::Strict, Some(true)),
        (Durability::Buffered, CrashMode::Kept, Some(true)),
        (Durability::Buffered, CrashMode::Strict, Some(false)),
        (Durability::Sync, CrashMode::Kept, Some(true)),
    ] {
        let disk = SimVfs::new();
        // A long interval: no tick writes or syncs anything meanwhile.
        let db = tiny(on(&disk)).interval(std::time::Duration::from_secs(60)).idle(std::time::Duration::from_secs(60));
        let db = db.open().unwrap();
        db.put("before", "1").unwrap();
        db.put_with("after", "2", &WriteOptions::new().durability(level)).unwrap();
        let again = after_crash(&disk, mode, 1);
        assert!(again.contains("before").unwrap());
        assert_eq!(Some(again.contains("after").unwrap()), survives, "{level:?} {mode:?}");
    }
}

#[test]
fn the_memory_level_reaches_the_system_within_an_interval_and_the_disk_with_sync() {
    let disk = SimVfs::new();
    let db = tiny(on(&disk)).durability(Durability::Memory).open().unwrap();
    db.put("a", "1").unwrap();
    let begun = std::time::Instant::now();
    while !after_crash(&disk, CrashMode::Kept, 0).contains("a").unwrap() {
        assert!(begun.elapsed().as_secs() < 10, "the ticker writes the buffer");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let seq = db.put("b", "2").unwrap().seq;
    assert!(db.sync().unwrap().seq >= seq);
    db.wait_durable(seq).unwrap();
    assert_eq!(after_crash(&disk, CrashMode::Strict, 0).len().unwrap(), 2);
}

#[test]
fn a_batch_survives_whole_or_not_at_all() {
    let disk = SimVfs::new();
    let db = tiny(on(&disk)).durability(Durability::Buffered).open().unwrap();
    for round in 0..60 {
        let batch = (0..20).fold(db.batch(), |batch, i| {
            batch.put(format!("k{i:02}"), format!("{round} {}", [b'x'; 40].escape_ascii()))
        });
        batch.commit().unwrap();
        if round % 6 != 5 {
            continue;
        }
        for (seed, &mode) in (0..).zip(CrashMode::ALL) {
            let again = after_crash(&disk, mode, seed);
            let rounds: Vec<_> = again
                .iter()
                .values()
                .map(|value| value.unwrap().split(|&b| b == b' ').next().unwrap().to_vec())
                .collect();
            assert!(rounds.is_empty() || rounds.len() == 20, "{} keys", rounds.len());
            assert!(rounds.windows(2).all(|pair| pair[0] == pair[1]), "{rounds:?}");
        }
    }
}

/// Writes at the default level, merges and clears, and a power cut at any operation of the disk. After each the
/// database holds exactly the acknowledged writes, perhaps with the one in flight; it is sound; and it goes on.
#[test]
fn a_power_cut_at_any_moment_loses_nothing_acknowledged() {
    let disk = SimVfs::new();
    let db = tiny(on(&disk)).open().unwrap();
    let mut model = BTreeMap::new();
    // The state after each write, and the number of operations of the disk when it was acknowledged.
    let mut history = vec![(disk.ops(), model.clone())];
    for i in 0..400u32 {
        let key = format!("k{:03}", i * 37 % 101);
        match i % 10 {
            9 => {
                db.delete(&key).unwrap();
                model.remove(&key);
            }
            _ => {
                let value = format!("{i} {}", "v".repeat(i as usize % 300));
                db.put(&key, &value).unwrap();
                model.insert(key, value);
            }
        }
        if i == 250 {
            db.clear().unwrap();
            model.clear();
        }
        if i % 60 == 59 {
            db.flush().unwrap();
        }
        history.push((disk.ops(), model.clone()));
    }
    let last = disk.ops();
    let mut seed = 0;
    for cut in (history[0].0..last).step_by((last as usize / (120 * common::scale() as usize)).max(1)) {
        seed += 1;
        let mode = CrashMode::ALL[seed as usize % CrashMode::ALL.len()];
        let again = tiny(on(&disk.crash_image(cut, mode, seed))).open().unwrap();
        let found: BTreeMap<_, _> = again
            .iter()
            .map(|pair| pair.unwrap())
            .map(|(k, v)| (String::from_utf8(k.to_vec()).unwrap(), String::from_utf8(v.to_vec()).unwrap()))
            .collect();
        let acknowledged = history.iter().rposition(|(ops, _)| *ops <= cut).unwrap();
        // Round 250 writes twice, so what was in flight may be half a round.
        let possible = history[acknowledged..].iter().take(2).any(|(_, state)| *state == found) || acknowledged == 250;
        assert!(possible, "cut at {cut} ({mode:?}, seed {seed}) after write {acknowledged}: {} keys", found.len());
        assert_sound(&again);
        again.put("and on", "…").unwrap();
        assert_eq!(again.len().unwrap(), found.len() as u64 + 1);
    }
}

#[test]
fn a_number_in_the_gap_after_a_crash_is_lost_and_not_durable() {
    let disk = SimVfs::new();
    let db = tiny(on(&disk)).interval(std::time::Duration::from_secs(60)).open().unwrap();
    db.put("a", "1").unwrap();
    let lost = db.put_with("b", "2", &WriteOptions::new().durability(Durability::Memory)).unwrap().unwrap().seq;
    let again = after_crash(&disk, CrashMode::Strict, 0);
    assert!(!again.contains("b").unwrap());
    let seq = again.put("c", "3").unwrap().seq;
    assert!(seq > lost);
    let error = again.wait_durable(lost).unwrap_err();
    assert_eq!(error.kind(), halodb::ErrorKind::Lost, "{error}");
}
