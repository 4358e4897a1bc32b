//! Bytes on disk change: a typed error or identical data, never other data, a panic or a hang.

mod harness;

use halodb_pager::{Access, Error, Identity, OtherSlot, Pager};
use halodb_vfs::SimVfs;
use harness::script::{Step, World};
use harness::{Edit, IDENTITY, State, directory, read};
use std::path::Path;
use std::sync::Arc;

const PATH: &str = "p";
const PAGE: usize = 4096;

/// A file with small pages, an extent, a free list and both metas in use; and the states of the two metas.
fn sample() -> (SimVfs, [State; 2]) {
    let disk = SimVfs::new();
    let mut world = World::create(Arc::new(disk.clone()), Path::new(PATH), IDENTITY).unwrap();
    world.step(&Step::Commit(vec![Edit::Add(1), Edit::Add(3), Edit::Add(1), Edit::Add(2), Edit::Add(1)]), 1).unwrap();
    world.step(&Step::Commit(vec![Edit::Remove(2), Edit::Replace(0)]), 2).unwrap();
    let older = world.newest.clone();
    world.step(&Step::Commit(vec![Edit::Replace(1)]), 3).unwrap();
    world.check().unwrap();
    let newest = world.newest.clone();
    drop(world);
    (disk, [older, newest])
}

fn open(disk: &SimVfs, access: Access) -> halodb_pager::Result<Pager> {
    Pager::open(Arc::new(disk.clone()), Path::new(PATH), &IDENTITY, access)
}

/// Opens and reads everything. An error must be one that names damage; data must be that of the meta that was chosen.
fn look(disk: &SimVfs, states: &[State; 2], access: Access, context: &str) -> Option<State> {
    let found = open(disk, access).and_then(|pager| {
        // A damaged list is a finding, not an error: `read` would take it for a broken promise of the writer.
        let (root, entries) = directory(&pager.snapshot())?;
        let mut set = halodb_pager::PageSet::default();
        for at in root.iter().chain(entries.iter().map(|(at, _)| at)) {
            pager.snapshot().page(*at)?;
            set.insert(*at);
        }
        let findings = pager.snapshot().check_accounting(&set)?;
        if findings.is_empty() { read(&pager.snapshot()).map(Some) } else { Ok(None) }
    });
    match found {
        Ok(Some(state)) => {
            assert!(states.contains(&state), "{context}: other data");
            Some(state)
        }
        Ok(None) => None,
        Err(Error::Corrupt { .. } | Error::Mismatch { .. } | Error::NotAPageFile { .. } | Error::Version { .. }) => {
            None
        }
        Err(e) => panic!("{context}: {e}"),
    }
}

#[test]
fn a_flipped_bit_gives_a_typed_error_or_identical_data() {
    let (disk, states) = sample();
    let bytes = disk.read_file(PATH).unwrap();
    let used = open(&disk, Access::ReadOnly).unwrap().stats().pages as usize * PAGE;
    let damaged = disk.copy();
    let (mut same, mut refused) = (0, 0);
    // Every byte of the parts with content, every 61st of the padding; the bit moves along.
    for at in 0..used {
        let in_page = at % PAGE;
        if in_page >= 200 && at % 61 != 0 && in_page < PAGE - 8 {
            continue;
        }
        let bit = (at * 8 + (at * 5 + 3) % 8) as u64;
        damaged.flip_bit(PATH, bit).unwrap();
        for access in [Access::ReadOnly, Access::ReadWrite] {
            match look(&damaged, &states, access, &format!("bit {bit}")) {
                Some(_) => same += 1,
                None => refused += 1,
            }
        }
        damaged.flip_bit(PATH, bit).unwrap();
        damaged.forget_history();
    }
    assert_eq!(damaged.read_file(PATH).unwrap(), bytes);
    assert!(same > 500 && refused > 2_000, "{same} the same, {refused} refused");
}

#[test]
fn one_damaged_meta_is_reported_and_the_other_one_counts() {
    for slot in 0..2u32 {
        let (disk, states) = sample();
        let chosen = open(&disk, Access::ReadOnly).unwrap().opened().clone();
        assert!(matches!(chosen.other, OtherSlot::Valid { generation } if generation + 1 == chosen.generation));
        disk.flip_bit(PATH, u64::from(slot) * PAGE as u64 * 8 + 700).unwrap();
        let pager = open(&disk, Access::ReadWrite).unwrap();
        let opened = pager.opened();
        assert_eq!(opened.slot, 1 - slot);
        assert!(matches!(&opened.other, OtherSlot::Bad { what } if what.contains("checksum")));
        let expected = if slot == chosen.slot { &states[0] } else { &states[1] };
        assert_eq!(&read(&pager.snapshot()).unwrap(), expected);
        // Securing mends the damaged slot.
        pager.secure().unwrap();
        drop(pager);
        assert!(matches!(open(&disk, Access::ReadOnly).unwrap().opened().other, OtherSlot::Valid { .. }));
    }
}

#[test]
fn a_file_that_was_cut_gives_a_typed_error_or_identical_data() {
    let (disk, states) = sample();
    let bytes = disk.read_file(PATH).unwrap();
    let used = open(&disk, Access::ReadOnly).unwrap().stats().pages as usize * PAGE;
    for len in (0..bytes.len()).step_by(512).chain([1, 7, PAGE - 1, PAGE + 1, used - 1, used, used + 1]) {
        let cut = disk.copy();
        cut.write_file(PATH, &bytes[..len]).unwrap();
        let found = look(&cut, &states, Access::ReadWrite, &format!("{len} bytes"));
        assert_eq!(found.is_some(), len >= used, "{len} of {used} bytes");
    }
}

#[test]
fn swapped_stale_and_foreign_pages_are_found() {
    let (disk, states) = sample();
    let bytes = disk.read_file(PATH).unwrap();
    let pager = open(&disk, Access::ReadOnly).unwrap();
    let (root, entries) = directory(&pager.snapshot()).unwrap();
    let root = root.unwrap();
    let page = |id: u64| id as usize * PAGE..(id as usize + 1) * PAGE;
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let copy = disk.copy();
        let mut changed = bytes.clone();
        change(&mut changed);
        copy.write_file(PATH, &changed).unwrap();
        copy
    };
    let refused = |disk: &SimVfs, expected: &str| {
        let pager = open(disk, Access::ReadOnly).unwrap();
        let error = pager.snapshot().page(root).unwrap_err();
        assert!(matches!(&error, Error::Corrupt { offset, .. } if *offset == root.id.0 * PAGE as u64), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(look(disk, &states, Access::ReadOnly, expected), None);
    };

    let other = entries.iter().find(|(at, _)| at.pages == 1).unwrap().0;
    let swapped = with(&|b| b.copy_within(page(other.id.0), root.id.0 as usize * PAGE));
    refused(&swapped, "a misdirected write");

    // Some commits later the root stands on a page that held something else before: that write never arrived.
    let later = disk.copy();
    let mut world = World::open(Arc::new(later.clone()), Path::new(PATH), IDENTITY).unwrap();
    let moved = (0..20).find_map(|i| {
        let before = later.read_file(PATH).unwrap();
        world.step(&Step::Commit(vec![Edit::Replace(0)]), 50 + i).unwrap();
        let at = world.pager.snapshot().roots()[0].page;
        (before.get(page(at.id.0)).is_some_and(|b| b[8..16] == at.id.0.to_le_bytes() && b[28] == 1))
            .then_some((at, before))
    });
    let (at, before) = moved.expect("a page is reused within twenty commits");
    drop(world);
    let mut bytes_now = later.read_file(PATH).unwrap();
    bytes_now[page(at.id.0)].copy_from_slice(&before[page(at.id.0)]);
    later.write_file(PATH, &bytes_now).unwrap();
    let pager = open(&later, Access::ReadOnly).unwrap();
    let error = pager.snapshot().page(at).unwrap_err();
    assert!(error.to_string().contains("a lost write"), "{error}");

    let foreign = {
        let disk = SimVfs::new();
        let identity = Identity { incarnation: IDENTITY.incarnation + 1, ..IDENTITY };
        let mut world = World::create(Arc::new(disk.clone()), Path::new(PATH), identity).unwrap();
        world.step(&Step::Commit(vec![Edit::Add(1)]), 1).unwrap();
        disk.read_file(PATH).unwrap()
    };
    let planted = with(&|b| b[page(root.id.0)].copy_from_slice(&foreign[2 * PAGE..3 * PAGE]));
    refused(&planted, "checksum");
}

#[test]
fn another_file_is_refused_with_both_values_named() {
    let (disk, _) = sample();
    let check = |expect: Identity, parts: [&str; 2]| {
        let error = Pager::open(Arc::new(disk.clone()), Path::new(PATH), &expect, Access::ReadWrite).unwrap_err();
        assert!(matches!(error, Error::Mismatch { .. }), "{error}");
        for part in parts {
            assert!(error.to_string().contains(part), "{error}");
        }
    };
    check(Identity { uuid: [0xab; 16], ..IDENTITY }, ["abababab", "30313233"]);
    check(Identity { incarnation: 0xbeef, ..IDENTITY }, ["beef", "4d"]);
    check(Identity { file_id: 11, ..IDENTITY }, ["file 11", "file 3"]);
    check(Identity { page_size: 8192, ..IDENTITY }, ["8192", "4096"]);
}

#[test]
fn what_is_no_page_file_is_called_that() {
    let check = |bytes: &[u8]| {
        let disk = SimVfs::new();
        disk.write_file(PATH, bytes).unwrap();
        let error = open(&disk, Access::ReadOnly).unwrap_err();
        assert!(matches!(error, Error::NotAPageFile { .. }), "{error}");
    };
    check(b"");
    check(b"HALOPAG");
    check(&[0; 3 * PAGE]);
    check(&b"SQLite format 3\0".repeat(1024));
}

/// A page that was verified, given up and written anew is verified again.
#[test]
fn a_recycled_page_is_verified_again() {
    let disk = SimVfs::new();
    let mut world = World::create(Arc::new(disk.clone()), Path::new(PATH), IDENTITY).unwrap();
    let mut seen = std::collections::HashSet::new();
    for i in 0..20 {
        let edit = if i == 0 { Edit::Add(1) } else { Edit::Replace(0) };
        world.step(&Step::Commit(vec![edit]), i + 1).unwrap();
        let at = world.pager.snapshot().roots().first().map(|root| root.page);
        let Some(at) = at else { continue };
        if seen.insert(at.id) {
            world.check().unwrap();
            continue;
        }
        disk.flip_bit(PATH, (at.id.0 * PAGE as u64 + 2000) * 8).unwrap();
        let snapshot = world.pager.snapshot();
        assert!(matches!(snapshot.page(at), Err(Error::Corrupt { .. })), "{at:?}");
        return;
    }
    panic!("no page was recycled in twenty commits");
}
