//! A call fails, at every index of a script: a typed error and no panic; what was acknowledged is there after reopening;
//! what failed before the data sync leaves the handle usable, what failed after it poisons.

mod harness;

use halodb_pager::{Access, Error, PageKind, Pager, Root};
use halodb_vfs::SimVfs;
use halodb_vfs::sim::{Fault, Repeat};
use harness::script::{Step, World, script};
use harness::{Edit, IDENTITY, commit, read};
use std::path::Path;
use std::sync::Arc;

const PATH: &str = "p";
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

fn world(disk: &SimVfs) -> World<'static> {
    World::create(Arc::new(disk.clone()), Path::new(PATH), IDENTITY).unwrap()
}

fn is_poisoned(pager: &Pager) -> bool {
    matches!(pager.begin(), Err(Error::Poisoned))
}

/// After a failed step: the rules of poisoning, reads, and what a reopened file holds.
fn survive(disk: &SimVfs, world: &mut World<'_>, error: &Error, context: &str) {
    disk.heal();
    let Error::Io { op, .. } = error else { panic!("{context}: not an I/O error: {error}") };
    world.check().unwrap_or_else(|e| panic!("{context}: reads went wrong: {e}"));
    let poisoned = is_poisoned(&world.pager);
    match *op {
        "sync" => assert!(poisoned, "{context}: a failed sync must poison"),
        "write" => {}
        _ => assert!(!poisoned, "{context}: a failed {op} must not poison"),
    }
    if poisoned {
        assert!(matches!(world.pager.secure(), Err(Error::Poisoned)));
        assert!(matches!(world.pager.republish(None), Err(Error::Poisoned)));
        assert!(matches!(world.pager.truncate_tail(), Err(Error::Poisoned)));
        world.check().unwrap();
        world.pinned.clear();
        let attempt = world.attempt.take();
        let reopened = World::open(world.vfs.clone(), world.path, world.identity)
            .unwrap_or_else(|e| panic!("{context}: cannot be opened: {e}"));
        assert!(
            reopened.newest == world.newest || Some(&reopened.newest) == attempt.as_ref(),
            "{context}: reopened with commit {}, acknowledged was {}",
            reopened.newest.number,
            world.newest.number
        );
        *world = reopened;
    } else {
        world.attempt = None;
    }
}

#[test]
fn a_call_that_fails_anywhere_loses_nothing_that_was_acknowledged() {
    let mut struck = 0;
    for seed in 0..3 {
        let steps = script(seed, 16);
        let calls = {
            let disk = SimVfs::new();
            let mut world = world(&disk);
            let before = disk.calls();
            for (i, step) in steps.iter().enumerate() {
                world.step(step, i as u64).unwrap();
                world.check().unwrap();
            }
            disk.calls() - before
        };
        for call in 0..calls {
            let faults = [Fault::Errno(EIO), Fault::Errno(ENOSPC), Fault::Short, Fault::SyncFailsClean];
            for (fault, repeat) in
                faults.map(|f| (f, Repeat::Once)).into_iter().chain([(Fault::Errno(EIO), Repeat::Sticky)])
            {
                let disk = SimVfs::new();
                let mut world = world(&disk);
                disk.inject(call, fault, repeat);
                for (i, step) in steps.iter().enumerate() {
                    let context = format!("script {seed}, {fault:?} {repeat:?} at call {call}, step {i} {step:?}");
                    let result = world.step(step, i as u64).and_then(|()| world.check());
                    if let Err(error) = result {
                        survive(&disk, &mut world, &error, &context);
                    }
                }
                disk.heal();
                struck += disk.struck();
                let newest = world.newest.clone();
                world.pinned.clear();
                drop(world);
                let reopened = World::open(Arc::new(disk.clone()), Path::new(PATH), IDENTITY).unwrap();
                assert_eq!(reopened.newest, newest, "script {seed}, {fault:?} at call {call}");
            }
        }
    }
    eprintln!("{struck} calls failed");
    assert!(struck > 2_000, "only {struck} calls failed");
}

#[test]
fn a_creation_that_fails_is_an_error_and_can_be_repeated() {
    let calls = {
        let disk = SimVfs::new();
        world(&disk);
        disk.calls()
    };
    for call in 0..calls {
        let disk = SimVfs::new();
        disk.inject(call, Fault::Errno(ENOSPC), Repeat::Once);
        let vfs = Arc::new(disk.clone());
        let path = Path::new(PATH);
        let Err(error) = Pager::create(vfs.clone(), path, IDENTITY, &0u64.to_le_bytes()) else { continue };
        assert!(matches!(error, Error::Io { .. }), "{error}");
        let there = disk.read_file(PATH).is_ok();
        let pager = if there {
            Pager::open(vfs, path, &IDENTITY, Access::ReadWrite).unwrap()
        } else {
            Pager::create(vfs, path, IDENTITY, &0u64.to_le_bytes()).unwrap()
        };
        commit(&pager, &[Edit::Add(1)], 1).unwrap();
    }
}

/// The disk is full while pages are written: the pages come back, and the next commit goes through.
#[test]
fn a_full_disk_before_the_data_sync_gives_the_pages_back() {
    let disk = SimVfs::new();
    let mut world = world(&disk);
    world.step(&Step::Commit(vec![Edit::Add(1); 10]), 1).unwrap();
    world.step(&Step::Commit(vec![Edit::Remove(0); 5]), 2).unwrap();
    world.step(&Step::Republish, 0).unwrap();
    drop(world.pager.begin().unwrap());
    let before = world.pager.stats();
    assert_eq!(before.pending, 0);

    for fault in [Fault::Errno(ENOSPC), Fault::Errno(EIO)] {
        let mut txn = world.pager.begin().unwrap();
        let at = txn.alloc(1).unwrap();
        txn.write(at, PageKind(2), 0, b"x").unwrap();
        disk.inject(0, fault, Repeat::Once);
        let error = txn.commit(&[Root { page: at, tag: [0; 16] }], b"").unwrap_err();
        assert!(matches!(error, Error::Io { op: "write", .. }), "{error}");
        assert_eq!(world.pager.stats(), before);
        world.check().unwrap();
    }
    world.step(&Step::Commit(vec![Edit::Add(1); 5]), 3).unwrap();
    world.check().unwrap();
}

/// The meta write fails: nobody knows what the slot holds, so this handle writes no more.
#[test]
fn a_failed_meta_write_poisons_and_both_metas_stay_findable() {
    let disk = SimVfs::new();
    let mut world = world(&disk);
    world.step(&Step::Commit(vec![Edit::Add(1)]), 1).unwrap();
    let held = world.newest.clone();
    // A republish writes nothing but the meta.
    disk.inject(0, Fault::Errno(EIO), Repeat::Once);
    assert!(matches!(world.pager.republish(Some(&9u64.to_le_bytes())), Err(Error::Io { op: "write", .. })));
    assert!(is_poisoned(&world.pager));
    let mut findable = world.findable();
    findable.sort_unstable();
    assert_eq!(findable, [0, 1, 9]);
    assert_eq!(read(&world.pager.snapshot()).unwrap(), held);
}

/// The first touch of a page is a read that can fail; the page is not taken for bad because of it.
#[test]
fn a_read_error_at_first_touch_is_an_error_once() {
    let disk = SimVfs::new();
    let mut first = world(&disk);
    first.step(&Step::Commit(vec![Edit::Add(3)]), 1).unwrap();
    drop(first);
    let pager = Pager::open(Arc::new(disk.clone()), Path::new(PATH), &IDENTITY, Access::ReadOnly).unwrap();
    let snapshot = pager.snapshot();
    disk.inject(0, Fault::Errno(EIO), Repeat::Once);
    assert!(matches!(snapshot.page(snapshot.roots()[0].page), Err(Error::Io { op: "read", .. })));
    read(&snapshot).unwrap();
}
