//! Files that shrink under a database in use, and `space`, which says where every byte is and who holds back which.

mod common;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{assert_sound, on, tiny};
use halodb::vfs::SimVfs;
use halodb::{Db, Durability, ErrorKind};

fn open(disk: &SimVfs) -> Db {
    tiny(on(disk)).durability(Durability::Memory).idle(Duration::from_secs(3600)).open().expect("opens")
}

fn fill(db: &Db, keys: u32) {
    for from in (0..keys).step_by(50) {
        let put = |batch: halodb::Batch, i| batch.put(format!("{i:06}"), format!("{i} {}", "v".repeat(100)));
        (from..from + 50).fold(db.batch(), put).commit().expect("a commit succeeds");
    }
}

fn page_bytes(db: &Db) -> u64 {
    db.space().expect("readable").partitions.iter().map(|part| part.file_bytes).sum()
}

#[test]
fn compacting_beside_writers_and_readers_disturbs_nobody() {
    let disk = SimVfs::new();
    let db = open(&disk);
    fill(&db, 6000);
    for i in (0..6000).filter(|i| i % 3 != 0) {
        db.delete(format!("{i:06}")).unwrap();
    }
    let (stop, before) = (AtomicBool::new(false), page_bytes(&db));
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut rounds = 0;
            while !stop.load(Ordering::Acquire) || rounds == 0 {
                let snapshot = db.snapshot();
                assert_eq!(snapshot.range(.."w").count() as u64, 2000);
                assert_eq!(snapshot.count(.."w").unwrap(), 2000);
                rounds += 1;
            }
        });
        let writer = scope.spawn(|| {
            let mut i = 0;
            while !stop.load(Ordering::Acquire) || i < 100 {
                db.put(format!("w{:03}", i % 200), format!("{i} {}", "v".repeat(100))).unwrap();
                i += 1;
            }
        });
        for _ in 0..3 {
            let mut last = 0.0;
            db.compact_with(|done| {
                assert!((0.0..=1.0).contains(&done));
                last = done;
                ControlFlow::Continue(())
            })
            .unwrap();
            assert!(last == 1.0);
        }
        stop.store(true, Ordering::Release);
        reader.join().unwrap();
        writer.join().unwrap();
    });
    assert_sound(&db);
    let won = db.compact().unwrap();
    assert_eq!((won.held_back, won.bytes_after), (0, page_bytes(&db)));
    assert!(won.bytes_after < before, "{won:?}, at first {before}");
    db.close().unwrap();
    assert_eq!(db.compact().unwrap_err().kind(), ErrorKind::Closed);
    drop(db);
    let db = open(&disk);
    assert_eq!(db.count(.."w").unwrap(), 2000);
    assert_sound(&db);
}

#[test]
fn a_compaction_ends_when_it_is_told_to_and_when_the_database_is_closed() {
    let disk = SimVfs::new();
    let db = open(&disk);
    fill(&db, 4000);
    let mut steps = 0;
    let won = db.compact_with(|_| {
        steps += 1;
        ControlFlow::Break(())
    });
    assert_eq!(steps, 1);
    assert!(won.is_ok());
    let closing = db.clone();
    let error = db
        .compact_with(|done| {
            assert!(done < 1.0);
            closing.close().expect("closes between two steps");
            ControlFlow::Continue(())
        })
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    drop((db, closing));
    let db = open(&disk);
    assert_eq!(db.len().unwrap(), 4000);
    assert_sound(&db);
}

#[test]
fn space_names_the_snapshots_that_hold_pages_as_long_as_they_live() {
    let disk = SimVfs::new();
    let db = open(&disk);
    fill(&db, 2000);
    db.flush().unwrap();
    assert_eq!(db.space().unwrap().snapshots, []);
    let first = db.snapshot().label("report");
    let clone = first.clone();
    let pairs = db.iter();
    for i in 0..2000 {
        db.delete(format!("{i:06}")).unwrap();
    }
    db.flush().unwrap();
    db.put("one", "more").unwrap();
    db.flush().unwrap();
    let space = db.space().unwrap();
    let [held] = &space.snapshots[..] else { panic!("{:?}", space.snapshots) };
    assert_eq!((held.seq, held.label.as_deref()), (first.seq(), Some("report")));
    assert!(held.thread.contains("space_names") || held.thread == "main", "{}", held.thread);
    let pinned = |db: &Db| db.space().unwrap().partitions.iter().map(|part| part.pinned).sum::<u64>();
    assert!(pinned(&db) > 100_000, "{space:?}");
    drop(first);
    assert_eq!(db.space().unwrap().snapshots.len(), 1, "a clone holds the same");
    drop(clone);
    assert_eq!(db.space().unwrap().snapshots, []);
    assert!(pinned(&db) > 100_000, "the iterator still holds its pages");
    assert!(db.space().unwrap().partitions.iter().any(|part| part.pinned_versions > 0));
    drop(pairs);
    assert_eq!(pinned(&db), 0);
    let won = db.compact().unwrap();
    assert!(won.bytes_after < 40 * 4096, "{won:?}");
}

#[test]
fn a_database_that_is_largely_free_becomes_small_by_itself() {
    let disk = SimVfs::new();
    let db = tiny(on(&disk)).durability(Durability::Memory).open().unwrap();
    fill(&db, 8000);
    db.flush().unwrap();
    let reader = db.snapshot();
    db.clear().unwrap();
    db.flush().unwrap();
    let before = page_bytes(&db);
    drop(reader);
    let patience = Instant::now() + Duration::from_secs(30);
    while page_bytes(&db) > before / 4 {
        assert!(Instant::now() < patience, "{} of {before} bytes", page_bytes(&db));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_sound(&db);
}
