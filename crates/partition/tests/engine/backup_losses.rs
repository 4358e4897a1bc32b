//! Power losses and faults at every operation of a backup and of a restore: the source stays whole, and what is made is
//! absent, recognised as unfinished, or whole.

use crate::backups::{AGAIN, BACKUP, Pairs, back_up, fill, kind_of, open_at, pairs_at, restore_to};
use crate::{DIR, all, open, put};
use halodb_partition::{ErrorKind, Existing};
use halodb_vfs::sim::CrashMode::{self, Kept, Prefix, Random, Strict};
use halodb_vfs::sim::{Fault, Repeat};
use halodb_vfs::{SimVfs, Vfs};
use std::path::Path;

/// A closed database, and what it holds.
fn source() -> (SimVfs, Pairs) {
    let disk = SimVfs::new();
    let set = open(&disk);
    fill(&set);
    let pairs = all(&set.snapshot());
    set.close(0).expect("a sound disk");
    drop(set);
    (disk.copy(), pairs)
}

/// Calls `judge` with the images of what power losses leave, after each operation from `from` on.
fn after_each_loss(disk: &SimVfs, from: u64, mut judge: impl FnMut(&SimVfs, &str)) {
    for at in from..=disk.ops() {
        let tries: [(CrashMode, u64); 5] =
            [(Strict, 0), (Kept, 0), (Prefix, at), (Random, at), (Random, at + 1_000_000)];
        for (mode, seed) in tries {
            judge(&disk.crash_image(at, mode, seed), &format!("{mode:?} after operation {at}, seed {seed}"));
        }
    }
}

fn exists(disk: &SimVfs, path: &str) -> bool {
    disk.kind(Path::new(path)).expect("a sound disk").is_some()
}

/// Nothing that is unfinished passes for whole.
fn assert_recognised(disk: &SimVfs, name: &str, context: &str) {
    let left = format!("{name}.unfinished");
    if exists(disk, &format!("{left}/UNFINISHED")) {
        assert_eq!(kind_of(open_at(&disk.copy(), &left)), ErrorKind::NotADatabase, "{context}");
    }
}

/// The target is absent, or a whole backup of `expected`; the source is whole, and can be backed up.
fn assert_backed_up_or_not(disk: &SimVfs, expected: &Pairs, context: &str) {
    assert_recognised(disk, BACKUP, context);
    let whole = exists(disk, BACKUP);
    if whole {
        restore_to(disk, AGAIN, Existing::Refuse).unwrap_or_else(|e| panic!("{context}: {e}"));
        assert_eq!(&pairs_at(disk, AGAIN).unwrap(), expected, "{context}");
    }
    let set = open(disk);
    assert_eq!(&all(&set.snapshot()), expected, "{context}");
    if !whole {
        back_up(&set).unwrap_or_else(|e| panic!("{context}: {e}"));
        assert!(!exists(disk, "nightly.unfinished"), "{context}");
    }
}

#[test]
fn a_power_loss_during_a_backup_leaves_it_absent_recognised_or_whole() {
    let (disk, expected) = source();
    let set = open(&disk);
    let from = disk.ops();
    back_up(&set).expect("a sound disk");
    let mut whole = 0;
    after_each_loss(&disk, from, |image, context| {
        whole += u32::from(exists(image, BACKUP));
        assert_backed_up_or_not(image, &expected, context);
    });
    assert!(whole > 0);
    let after = disk.crash_image(disk.ops(), Strict, 0);
    assert!(exists(&after, BACKUP), "a backup that was reported is durable");
}

#[test]
fn a_power_loss_during_a_restore_leaves_it_absent_recognised_or_whole() {
    let (disk, expected) = source();
    let set = open(&disk);
    back_up(&set).expect("a sound disk");
    drop(set);
    let disk = disk.copy();
    restore_to(&disk, AGAIN, Existing::Refuse).expect("a sound backup");
    let mut whole = 0;
    after_each_loss(&disk, 0, |image, context| {
        assert_recognised(image, AGAIN, context);
        if exists(image, AGAIN) {
            whole += 1;
        } else {
            restore_to(image, AGAIN, Existing::Refuse).unwrap_or_else(|e| panic!("{context}: {e}"));
        }
        assert_eq!(pairs_at(image, AGAIN).unwrap_or_else(|e| panic!("{context}: {e}")), expected, "{context}");
    });
    assert!(whole > 0);
    assert!(exists(&disk.crash_image(disk.ops(), Strict, 0), AGAIN), "a restore that was reported is durable");
}

#[test]
fn a_power_loss_while_a_database_is_replaced_leaves_the_old_one_or_the_new_one() {
    let (disk, expected) = source();
    let set = open(&disk);
    back_up(&set).expect("a sound disk");
    put(&set, "later", "only in the old one");
    let old = all(&set.snapshot());
    set.close(0).expect("a sound disk");
    drop(set);
    let disk = disk.copy();
    restore_to(&disk, DIR, Existing::Replace).expect("a sound backup");
    let mut seen = [0, 0];
    after_each_loss(&disk, 0, |image, context| {
        let found = pairs_at(image, DIR).unwrap_or_else(|e| panic!("{context}: {e}"));
        assert!(found == expected || found == old, "{context}: neither the old one nor the new one");
        seen[usize::from(found == expected)] += 1;
    });
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
    assert_eq!(pairs_at(&disk.crash_image(disk.ops(), Strict, 0), DIR).unwrap(), expected);
}

/// The same number on Linux and macOS, as that of a full disk is.
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

const FAULTS: [(Fault, Repeat); 5] = [
    (Fault::Errno(EIO), Repeat::Once),
    (Fault::Errno(EIO), Repeat::Sticky),
    (Fault::Errno(ENOSPC), Repeat::Sticky),
    (Fault::Short, Repeat::Once),
    (Fault::SyncFailsClean, Repeat::Once),
];

#[test]
fn a_fault_at_any_call_of_a_backup_is_an_error_and_the_source_goes_on() {
    let (base, expected) = source();
    let calls = {
        let disk = base.copy();
        let set = open(&disk);
        let before = disk.calls();
        back_up(&set).expect("a sound disk");
        disk.calls() - before
    };
    let mut failed = 0;
    for call in 0..calls {
        let (fault, repeat) = FAULTS[call as usize % FAULTS.len()];
        let disk = base.copy();
        let set = open(&disk);
        disk.inject(call, fault, repeat);
        let result = back_up(&set);
        disk.heal();
        let context = format!("{fault:?} {repeat:?} at call {call}");
        failed += u32::from(result.is_err());
        if result.is_ok() {
            assert!(exists(&disk, BACKUP), "{context}");
        }
        assert_eq!(all(&set.snapshot()), expected, "{context}");
        put(&set, "0000", "the source takes writes");
        put(&set, "0000", &expected[0].1);
        drop(set);
        assert_backed_up_or_not(&disk.crash_image(disk.ops(), Strict, 0), &expected, &context);
        assert_backed_up_or_not(&disk.copy(), &expected, &context);
    }
    assert!(failed > calls as u32 / 2, "{failed} of {calls} failed");
}

#[test]
fn a_fault_at_any_call_of_a_restore_is_an_error_and_leaves_what_was_there() {
    let (disk, expected) = source();
    let set = open(&disk);
    back_up(&set).expect("a sound disk");
    put(&set, "later", "only in the old one");
    let old = all(&set.snapshot());
    set.close(0).expect("a sound disk");
    drop(set);
    let base = disk.copy();
    let calls = {
        let disk = base.copy();
        restore_to(&disk, DIR, Existing::Replace).expect("a sound backup");
        disk.calls()
    };
    let mut failed = 0;
    for call in 0..calls {
        let (fault, repeat) = FAULTS[call as usize % FAULTS.len()];
        let disk = base.copy();
        disk.inject(call, fault, repeat);
        let result = restore_to(&disk, DIR, Existing::Replace);
        disk.heal();
        let context = format!("{fault:?} {repeat:?} at call {call}: {:?}", result.as_ref().err());
        failed += u32::from(result.is_err());
        for image in [disk.crash_image(disk.ops(), Strict, 0), disk.copy()] {
            let found = pairs_at(&image, DIR).unwrap_or_else(|e| panic!("{context}: {e}"));
            match &result {
                Ok(_) => assert_eq!(found, expected, "{context}"),
                Err(_) => assert!(found == old || found == expected, "{context}"),
            }
        }
    }
    assert!(failed > calls as u32 / 2, "{failed} of {calls} failed");
}
