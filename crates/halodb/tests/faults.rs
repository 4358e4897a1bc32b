//! A full or failing disk: typed errors, nothing acknowledged is lost, reads go on, nobody hangs.

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::full_disk::{Full, FullDisk};
use common::{assert_sound, on, tiny};
use halodb::vfs::SimVfs;
use halodb::vfs::sim::{CrashMode, Fault, Repeat};
use halodb::{Db, Durability, Error, ErrorKind};

const EIO: i32 = 5;
const LONG: Duration = Duration::from_secs(30);

fn on_full(disk: &FullDisk) -> Db {
    tiny(Db::builder(common::PATH).vfs(Arc::new(disk.clone()))).durability(Durability::Buffered).open().unwrap()
}

/// Writes keys until it fails; the number written and the error.
fn write_until_error(db: &Db, prefix: &str) -> (u64, Error) {
    let begun = Instant::now();
    for i in 0.. {
        if let Err(error) = db.put(format!("{prefix}{i:06}"), [b'v'; 200]) {
            return (i, error);
        }
        assert!(begun.elapsed() < LONG, "the disk never seems full: {:?}", db.stats());
    }
    unreachable!("the loop has no other end")
}

#[test]
fn when_merges_find_no_space_writers_get_the_error_and_go_on_when_there_is_space() {
    let disk = FullDisk::default();
    let db = on_full(&disk);
    db.put("first", "1").unwrap();
    disk.set(Full::Trees);
    let begun = Instant::now();
    let (written, error) = write_until_error(&db, "a");
    assert!(begun.elapsed() < LONG);
    assert_eq!(error.kind(), ErrorKind::Io, "{error:?}");
    assert!(error.is_retryable(), "{error:?}");
    assert!(error.hint().unwrap().contains("free disk space"));
    assert!(format!("{error:?}").contains("tree.db"), "{error:?}");
    assert!(db.stats().stalls > 0);

    // Reads go on, and the writes that were acknowledged are there.
    assert_eq!(db.len().unwrap(), written + 1);
    assert!(db.contains("first").unwrap());
    let error = db.flush().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);

    disk.set(Full::No);
    db.put("second", "2").unwrap();
    db.flush().unwrap();
    assert_eq!(db.len().unwrap(), written + 2);
    assert_sound(&db);
    db.close().unwrap();
}

#[test]
fn when_the_log_finds_no_space_nothing_is_written_and_it_goes_on_when_there_is_space() {
    let disk = FullDisk::default();
    let db = on_full(&disk);
    disk.set(Full::Log);
    let (written, error) = write_until_error(&db, "a");
    assert_eq!(error.kind(), ErrorKind::Full, "{error:?}");
    assert!(error.is_retryable());
    assert_eq!(db.len().unwrap(), written);
    disk.set(Full::No);
    db.put("second", "2").unwrap();
    db.close().unwrap();
    drop(db);
    assert_eq!(on_full(&disk).len().unwrap(), written + 1);
}

#[test]
fn closing_on_a_full_disk_says_so_and_loses_nothing() {
    let disk = FullDisk::default();
    let db = on_full(&disk);
    for i in 0..20 {
        db.put(format!("k{i}"), "v").unwrap();
    }
    disk.set(Full::Trees);
    let error = db.close().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error:?}");
    assert_eq!(db.close().unwrap_err().kind(), ErrorKind::Io, "closing again gives the same answer");
    assert_eq!(db.get("k1").unwrap_err().kind(), ErrorKind::Closed);
    drop(db);
    disk.set(Full::No);
    let db = on_full(&disk);
    assert_eq!(db.len().unwrap(), 20);
    assert_sound(&db);
}

#[test]
fn a_failed_sync_poisons_writes_and_lets_reads_go_on() {
    let disk = SimVfs::new();
    let db = tiny(on(&disk)).open().unwrap();
    db.put("kept", "1").unwrap();
    // Whatever comes next is done by this put: its write of the log succeeds, its sync fails.
    let error = loop {
        disk.inject(1, Fault::SyncFailsClean, Repeat::Once);
        match db.put("unknown", "2") {
            Ok(_) => disk.heal(),
            Err(error) => break error,
        }
    };
    assert!(matches!(error.kind(), ErrorKind::Poisoned | ErrorKind::Io), "{error:?}");
    disk.heal();
    let error = db.put("more", "3").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Poisoned, "{error:?}");
    assert!(error.hint().unwrap().contains("open it again"));
    assert_eq!(common::text(&db, "kept").as_deref(), Some("1"));
    assert_eq!(db.close().unwrap_err().kind(), ErrorKind::Poisoned);
    drop(db);

    let db = tiny(on(&disk)).open().unwrap();
    assert!(db.contains("kept").unwrap() && !db.contains("more").unwrap());
    db.put("more", "3").unwrap();
    assert_sound(&db);
}

/// One scenario, run once to count its calls to the disk, and then with a fault at many of them.
#[test]
fn a_fault_at_any_call_is_an_error_and_never_a_lost_write_a_panic_or_a_hang() {
    let scenario = |disk: &SimVfs, acknowledged: &mut Vec<u32>| -> halodb::Result<()> {
        let db = tiny(on(disk)).open()?;
        for i in 0..60u32 {
            db.put(format!("k{i:03}"), [b'v'; 500])?;
            acknowledged.push(i);
            if i % 25 == 24 {
                db.flush()?;
            }
        }
        assert_eq!(db.len()?, 60);
        db.close()
    };
    let disk = SimVfs::new();
    scenario(&disk, &mut Vec::new()).unwrap();
    let calls = disk.calls();
    let step = (calls / u64::from(90 * common::scale())).max(1);
    for (run, call) in (0..calls).step_by(step as usize).enumerate() {
        let (fault, repeat) = match run % 4 {
            0 => (Fault::Errno(EIO), Repeat::Once),
            1 => (Fault::Errno(28), Repeat::Sticky),
            2 => (Fault::Short, Repeat::Once),
            _ => (Fault::SyncFailsClean, Repeat::Once),
        };
        let disk = SimVfs::new();
        disk.inject(call, fault, repeat);
        let (mut acknowledged, begun) = (Vec::new(), Instant::now());
        let result = scenario(&disk, &mut acknowledged);
        assert!(begun.elapsed() < LONG, "call {call}, {fault:?}");
        if let Err(error) = &result {
            assert!(!matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Closed), "call {call}: {error:?}");
        }
        disk.heal();
        // The process goes on with a healed disk, or the power is cut as well.
        let after = if run % 2 == 0 { disk } else { disk.crash_image(disk.ops(), CrashMode::Strict, call) };
        let db = tiny(on(&after)).open().unwrap_or_else(|e| panic!("call {call}, {fault:?}: {e:?}"));
        for i in acknowledged {
            assert!(db.contains(format!("k{i:03}")).unwrap(), "call {call}, {fault:?}: write {i} is lost");
        }
        assert_sound(&db);
    }
}
