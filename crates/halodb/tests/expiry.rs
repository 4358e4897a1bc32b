//! Keys that expire, through the whole database, by the machine's own clock.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use halodb::vfs::SimVfs;
use halodb::{Condition, Db, ErrorKind, Ttl, TtlState, WriteOptions};

const SOON: Duration = Duration::from_millis(60);
const LONG: Duration = Duration::from_secs(3600);

fn open(disk: &SimVfs) -> Db {
    let builder = Db::builder("data").vfs(Arc::new(disk.clone()));
    builder.sweep(Duration::from_millis(10)).idle(Duration::from_millis(20)).open().expect("it opens")
}

fn ttl(ttl: Ttl) -> WriteOptions {
    WriteOptions::new().ttl(ttl)
}

/// Sleeps until `moment` is over.
fn wait_for(moment: Instant) {
    std::thread::sleep((moment + Duration::from_millis(2)).saturating_duration_since(Instant::now()));
}

#[test]
fn a_key_is_there_until_its_time_and_then_for_no_read_of_any_kind() {
    let db = open(&SimVfs::new());
    db.put("a", "for ever").unwrap();
    let begun = Instant::now();
    db.put_with("b", "for a while", &ttl(Ttl::After(SOON))).unwrap();
    let before = db.snapshot();
    assert_eq!(before.len().unwrap(), 2);
    assert!(matches!(before.ttl("b").unwrap(), TtlState::In(left) if left <= SOON));
    wait_for(begun + SOON);
    assert_eq!(db.get("b").unwrap(), None);
    assert!(!db.contains("b").unwrap());
    assert_eq!(db.multi_get(["a", "b"]).unwrap().iter().filter(|value| value.is_some()).count(), 1);
    assert_eq!(db.iter().keys().collect::<halodb::Result<Vec<_>>>().unwrap(), [b"a"]);
    assert_eq!(db.last().unwrap().expect("one").0, b"a");
    assert_eq!((db.len().unwrap(), db.rank("c").unwrap()), (1, 1));
    assert_eq!(db.ttl("b").unwrap(), TtlState::Missing);
    assert_eq!(db.nth(1).unwrap(), None);
    assert_eq!(before.len().unwrap(), 2, "a snapshot keeps its time");
    assert_eq!(before.get("b").unwrap().as_deref(), Some(&b"for a while"[..]));
}

#[test]
fn an_expiry_is_changed_kept_and_taken_away() {
    let db = open(&SimVfs::new());
    db.put("k", "1").unwrap();
    assert_eq!(db.ttl("k").unwrap(), TtlState::Never);
    assert!(db.expire("k", Ttl::After(LONG)).unwrap());
    let left = || match db.ttl("k").unwrap() {
        TtlState::In(left) => left,
        other => panic!("{other:?}"),
    };
    assert!(left() <= LONG && left() > LONG - Duration::from_secs(60));
    db.put_with("k", "2", &ttl(Ttl::Keep)).unwrap();
    assert!(left() > LONG - Duration::from_secs(60));
    assert_eq!(db.get("k").unwrap().as_deref(), Some(&b"2"[..]));
    assert!(db.expire("k", Ttl::Keep).unwrap());
    db.put("k", "3").unwrap();
    assert_eq!(db.ttl("k").unwrap(), TtlState::Never, "a put makes it live for ever");
    assert!(db.expire("k", Ttl::At(SystemTime::now() + LONG)).unwrap());
    assert!(left() <= LONG + Duration::from_millis(5), "the two clocks need not agree to the millisecond");
    assert!(db.expire("k", Ttl::Never).unwrap());
    assert_eq!(db.ttl("k").unwrap(), TtlState::Never);
    assert!(db.expire("k", Ttl::At(SystemTime::UNIX_EPOCH)).unwrap());
    assert_eq!(db.get("k").unwrap(), None);
    assert!(!db.expire("k", Ttl::Never).unwrap());
    assert!(!db.expire("k", Ttl::Keep).unwrap());
    assert_eq!(db.expire("", Ttl::Never).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_lease_is_taken_when_the_one_before_has_run_out() {
    let db = open(&SimVfs::new());
    let lease = ttl(Ttl::After(SOON)).condition(Condition::IfAbsent);
    let begun = Instant::now();
    assert!(db.put_with("lease", "1", &lease).unwrap().is_some());
    assert!(db.put_with("lease", "2", &lease).unwrap().is_none());
    let renew = ttl(Ttl::Keep).condition(Condition::IfPresent);
    assert!(db.put_with("lease", "1 again", &renew).unwrap().is_some());
    assert!(db.put_with("lease", "2", &ttl(Ttl::Keep).condition(Condition::IfAbsent)).unwrap().is_none());
    wait_for(begun + SOON);
    assert!(db.put_with("lease", "1 again", &renew).unwrap().is_none());
    assert!(db.put_with("lease", "2", &lease).unwrap().is_some());
}

#[test]
fn batches_take_expiries_and_refuse_to_keep_one() {
    let db = open(&SimVfs::new());
    db.batch()
        .put_ttl("a", "", Ttl::After(LONG))
        .put_ttl("b", "", Ttl::After(Duration::ZERO))
        .put("c", "")
        .commit()
        .unwrap();
    assert_eq!(db.len().unwrap(), 2);
    assert!(matches!(db.ttl("a").unwrap(), TtlState::In(_)));
    let error = db.batch().put_ttl("a", "", Ttl::Keep).commit().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn what_has_expired_is_swept_and_stays_away_over_crashes_and_orderly_ends() {
    let disk = SimVfs::new();
    let db = open(&disk);
    let begun = Instant::now();
    for i in 0..500 {
        db.batch()
            .put_ttl(format!("{i:03}"), "v", if i < 300 { Ttl::After(SOON) } else { Ttl::After(LONG) })
            .commit()
            .unwrap();
    }
    db.flush().unwrap();
    wait_for(begun + SOON + Duration::from_millis(300));
    assert_eq!(db.len().unwrap(), 200);
    let end = Instant::now() + Duration::from_secs(10);
    while db.stats().tree_keys > 200 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(db.stats().tree_keys, 200, "swept");
    let crashed = open(&disk.restart_process());
    assert_eq!(crashed.len().unwrap(), 200);
    drop((crashed, db));
    let db = open(&disk.restart_process());
    assert_eq!((db.len().unwrap(), db.open_report().clean), (200, true));
    assert!(db.check(halodb::Depth::Deep).unwrap().findings.is_empty());
}

#[test]
fn puts_that_keep_an_expiry_lose_none_among_each_other() {
    let db = open(&SimVfs::new());
    db.put_with("k", "", &ttl(Ttl::After(LONG))).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let db = db.clone();
            scope.spawn(move || {
                for i in 0..50 {
                    let value = format!("{thread} {i}");
                    match i % 10 {
                        0 => drop(db.expire("k", Ttl::After(LONG)).unwrap()),
                        _ => drop(db.put_with("k", value, &ttl(Ttl::Keep)).unwrap().expect("always")),
                    }
                }
            });
        }
    });
    assert!(matches!(db.ttl("k").unwrap(), TtlState::In(left) if left > LONG - Duration::from_secs(60)));
}
