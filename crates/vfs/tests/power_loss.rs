//! What a power loss may leave, and what it may not: tiny histories, all their outcomes.

use halodb_vfs::sim::CrashMode::{self, Garbage, Kept, Prefix, Random, Strict, Torn4k};
use halodb_vfs::{File, FileExt, OpenMode, SimVfs, Vfs};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

const SEEDS: u64 = 400;

fn open(disk: &SimVfs, path: &str) -> Arc<dyn File> {
    disk.open(Path::new(path), OpenMode::Create).unwrap()
}

fn write(disk: &SimVfs, path: &str, bytes: &[u8]) -> Arc<dyn File> {
    let file = open(disk, path);
    file.write_all_at(bytes, 0).unwrap();
    file
}

fn sync_root(disk: &SimVfs) {
    disk.sync_dir(Path::new("")).unwrap();
}

/// Shows a disk as `name=contents name=contents`.
fn show(disk: &SimVfs) -> String {
    let files = disk.files().unwrap();
    let show = |path: &Path| {
        let bytes = disk.read_file(path).unwrap();
        format!("{}={}", path.display(), String::from_utf8_lossy(&bytes).replace('\0', "0"))
    };
    files.iter().map(|(path, _)| show(path)).collect::<Vec<_>>().join(" ")
}

/// All outcomes of a power loss now, over many seeds.
fn outcomes(disk: &SimVfs, mode: CrashMode) -> BTreeSet<String> {
    (0..SEEDS).map(|seed| show(&disk.crash_image(disk.ops(), mode, seed))).collect()
}

fn check(disk: &SimVfs, mode: CrashMode, expected: &[&str]) {
    let expected: BTreeSet<String> = expected.iter().map(|s| s.to_string()).collect();
    assert_eq!(outcomes(disk, mode), expected, "{mode:?}");
}

#[test]
fn nothing_synchronised_means_that_nothing_need_be_there() {
    let disk = SimVfs::new();
    write(&disk, "a", b"x");
    check(&disk, Strict, &[""]);
    check(&disk, Kept, &["a=x"]);
    check(&disk, Prefix, &["", "a=", "a=x"]);
    // Length and contents are independent: a zero may stand where the byte is missing.
    check(&disk, Random, &["", "a=", "a=0", "a=x"]);
}

#[test]
fn names_that_change_places_do_so_both_or_neither() {
    let disk = SimVfs::new();
    for (name, bytes) in [("a", b"1"), ("b", b"2")] {
        write(&disk, name, bytes).sync_data().unwrap();
    }
    sync_root(&disk);
    disk.exchange(Path::new("a"), Path::new("b")).unwrap();
    for mode in [Random, Prefix, Torn4k] {
        check(&disk, mode, &["a=1 b=2", "a=2 b=1"]);
    }
    sync_root(&disk);
    check(&disk, Strict, &["a=2 b=1"]);
}

#[test]
fn synchronised_contents_without_a_synchronised_name_may_be_missing() {
    let disk = SimVfs::new();
    write(&disk, "a", b"x").sync_data().unwrap();
    check(&disk, Strict, &[""]);
    check(&disk, Random, &["", "a=x"]);
}

#[test]
fn a_synchronised_name_without_synchronised_contents_may_be_empty() {
    let disk = SimVfs::new();
    write(&disk, "a", b"x");
    sync_root(&disk);
    check(&disk, Strict, &["a="]);
    check(&disk, Random, &["a=", "a=0", "a=x"]);
}

#[test]
fn what_was_synchronised_is_always_there() {
    let disk = SimVfs::new();
    let file = write(&disk, "a", b"x");
    file.sync_data().unwrap();
    sync_root(&disk);
    for &mode in CrashMode::ALL {
        check(&disk, mode, &["a=x"]);
    }
    file.write_all_at(b"y", 0).unwrap();
    file.sync_all().unwrap();
    for &mode in CrashMode::ALL {
        check(&disk, mode, &["a=y"]);
    }
}

#[test]
fn synchronising_one_file_does_nothing_for_another() {
    let disk = SimVfs::new();
    let (a, b) = (open(&disk, "a"), open(&disk, "b"));
    sync_root(&disk);
    a.write_all_at(b"1", 0).unwrap();
    b.write_all_at(b"2", 0).unwrap();
    b.sync_data().unwrap();
    check(&disk, Strict, &["a= b=2"]);
}

#[test]
fn a_rename_without_dir_sync_may_be_lost_or_kept() {
    let disk = SimVfs::new();
    write(&disk, "old", b"x").sync_data().unwrap();
    sync_root(&disk);
    disk.rename(Path::new("old"), Path::new("new")).unwrap();
    check(&disk, Strict, &["old=x"]);
    for mode in [Prefix, Random] {
        check(&disk, mode, &["old=x", "new=x"]);
    }
    sync_root(&disk);
    check(&disk, Random, &["new=x"]);
}

#[test]
fn an_overwriting_rename_leaves_the_old_or_the_new_file() {
    let disk = SimVfs::new();
    write(&disk, "f", b"old").sync_data().unwrap();
    write(&disk, "t", b"new").sync_data().unwrap();
    sync_root(&disk);
    disk.rename(Path::new("t"), Path::new("f")).unwrap();
    check(&disk, Random, &["f=old t=new", "f=new"]);
}

#[test]
fn a_rename_depends_on_the_creation_of_the_name_it_takes() {
    let disk = SimVfs::new();
    write(&disk, "t", b"x").sync_data().unwrap();
    disk.rename(Path::new("t"), Path::new("u")).unwrap();
    disk.rename(Path::new("u"), Path::new("v")).unwrap();
    // Never two names at a time, never "v" without the steps before.
    check(&disk, Random, &["", "t=x", "u=x", "v=x"]);
}

#[test]
fn independent_names_survive_in_any_combination() {
    let disk = SimVfs::new();
    open(&disk, "a");
    open(&disk, "b");
    check(&disk, Random, &["", "a=", "b=", "a= b="]);
    check(&disk, Prefix, &["", "a=", "a= b="]);
}

#[test]
fn a_removal_may_be_undone_until_its_directory_is_synchronised() {
    let disk = SimVfs::new();
    write(&disk, "a", b"x").sync_data().unwrap();
    sync_root(&disk);
    disk.remove_file(Path::new("a")).unwrap();
    check(&disk, Random, &["", "a=x"]);
    sync_root(&disk);
    check(&disk, Random, &[""]);
}

#[test]
fn a_name_taken_again_never_shows_a_mixture() {
    let disk = SimVfs::new();
    write(&disk, "a", b"1").sync_data().unwrap();
    sync_root(&disk);
    disk.remove_file(Path::new("a")).unwrap();
    write(&disk, "a", b"2").sync_data().unwrap();
    check(&disk, Random, &["a=1", "", "a=2"]);
}

#[test]
fn a_rename_between_directories_is_durable_when_both_are_synchronised() {
    let disk = SimVfs::new();
    for dir in ["d", "e"] {
        disk.create_dir(Path::new(dir)).unwrap();
    }
    sync_root(&disk);
    write(&disk, "d/a", b"x").sync_data().unwrap();
    disk.sync_dir(Path::new("d")).unwrap();
    disk.rename(Path::new("d/a"), Path::new("e/a")).unwrap();
    check(&disk, Random, &["d/a=x", "e/a=x"]);
    disk.sync_dir(Path::new("e")).unwrap();
    check(&disk, Random, &["d/a=x", "e/a=x"]);
    disk.sync_dir(Path::new("d")).unwrap();
    check(&disk, Random, &["e/a=x"]);
}

#[test]
fn files_in_a_directory_whose_own_name_was_not_synchronised_may_be_missing() {
    let disk = SimVfs::new();
    disk.create_dir(Path::new("d")).unwrap();
    write(&disk, "d/a", b"x").sync_data().unwrap();
    disk.sync_dir(Path::new("d")).unwrap();
    check(&disk, Strict, &[""]);
    check(&disk, Random, &["", "d/a=x"]);
    sync_root(&disk);
    check(&disk, Strict, &["d/a=x"]);
}

/// A durable file of `len` bytes, all `old`.
fn durable(len: usize, old: u8) -> (SimVfs, Arc<dyn File>) {
    let disk = SimVfs::new();
    disk.write_file("a", &vec![old; len]).unwrap();
    let file = open(&disk, "a");
    (disk, file)
}

/// The contents of "a" after each of many power losses.
fn contents(disk: &SimVfs, mode: CrashMode) -> Vec<Vec<u8>> {
    (0..SEEDS).map(|seed| disk.crash_image(disk.ops(), mode, seed).read_file("a").unwrap()).collect()
}

#[test]
fn a_torn_overwrite_leaves_each_sector_old_or_new() {
    for (mode, unit, len) in [(Random, 512, 3 * 512), (Torn4k, 4096, 3 * 4096)] {
        let (disk, file) = durable(len, b'o');
        file.write_all_at(&vec![b'n'; len], 0).unwrap();
        let mut patterns = BTreeSet::new();
        for bytes in contents(&disk, mode) {
            let pattern: Vec<u8> = bytes.chunks(unit).map(|c| c[0]).collect();
            assert!(bytes.chunks(unit).all(|c| c.iter().all(|b| *b == c[0])), "{mode:?}: a torn unit");
            patterns.insert(pattern);
        }
        assert_eq!(patterns.len(), 8, "{mode:?} does not reach every combination");
    }
}

#[test]
fn a_sector_written_twice_never_shows_the_second_write_without_the_first() {
    let (disk, file) = durable(512, b'o');
    file.write_all_at(b"1", 0).unwrap();
    file.write_all_at(b"2", 100).unwrap();
    let seen: BTreeSet<_> = contents(&disk, Random).iter().map(|b| (b[0], b[100])).collect();
    assert_eq!(seen, BTreeSet::from([(b'o', b'o'), (b'1', b'o'), (b'1', b'2')]));
}

#[test]
fn a_later_write_may_survive_an_earlier_one_in_another_sector() {
    let (disk, file) = durable(1024, b'o');
    file.write_all_at(b"1", 0).unwrap();
    file.write_all_at(b"2", 512).unwrap();
    let seen: BTreeSet<_> = contents(&disk, Random).iter().map(|b| (b[0], b[512])).collect();
    assert_eq!(seen.len(), 4);
}

#[test]
fn garbage_strikes_only_where_old_and_new_differ() {
    let (disk, file) = durable(1024, b'o');
    let mut new = vec![b'o'; 1024];
    new[10..20].fill(b'n');
    file.write_all_at(&new, 0).unwrap();
    let mut strange = 0;
    for bytes in contents(&disk, Garbage) {
        assert!(bytes[..10].iter().chain(&bytes[20..]).all(|b| *b == b'o'));
        strange += u32::from(bytes[10..20].iter().any(|b| *b != b'o' && *b != b'n'));
    }
    assert!(strange > 0, "no garbage at all");
    for bytes in contents(&disk, Random) {
        assert!(bytes[10..20] == [b'o'; 10] || bytes[10..20] == [b'n'; 10]);
    }
}

#[test]
fn a_cut_may_be_lost_and_takes_its_bytes_along_if_not() {
    let (disk, file) = durable(8, b'o');
    file.set_len(2).unwrap();
    file.set_len(4).unwrap();
    check(&disk, Random, &["a=oooooooo", "a=oo", "a=oo00"]);
    file.sync_data().unwrap();
    check(&disk, Random, &["a=oo00"]);
}

#[test]
fn growth_may_survive_without_data_and_then_reads_zeros() {
    let (disk, file) = durable(512, b'o');
    file.write_all_at(&[b'n'; 512], 512).unwrap();
    let seen: BTreeSet<_> = contents(&disk, Random).iter().map(|b| b.get(512).copied()).collect();
    assert_eq!(seen, BTreeSet::from([None, Some(0), Some(b'n')]));
}

#[test]
fn an_image_of_an_earlier_moment_knows_nothing_of_later_ones() {
    let disk = SimVfs::new();
    let mut states = vec![show(&disk)];
    let file = open(&disk, "a");
    states.push(show(&disk));
    for step in ["1", "22", "333"] {
        file.write_all_at(step.as_bytes(), 0).unwrap();
        states.push(show(&disk));
    }
    disk.rename(Path::new("a"), Path::new("b")).unwrap();
    states.push(show(&disk));
    disk.remove_file(Path::new("b")).unwrap();
    states.push(show(&disk));
    assert_eq!(disk.ops(), states.len() as u64 - 1);
    // Forwards, and backwards against any cache.
    for at in (0..states.len()).chain((0..states.len()).rev()) {
        assert_eq!(show(&disk.crash_image(at as u64, Kept, 0)), states[at], "after {at} operations");
    }
}

#[test]
fn an_image_is_a_fresh_disk_on_which_everything_is_durable() {
    let disk = SimVfs::new();
    write(&disk, "a", b"x");
    let lock = disk.lock(Path::new("LOCK")).unwrap();
    let image = disk.copy();
    assert_eq!((image.ops(), image.calls()), (0, 0));
    drop(image.lock(Path::new("LOCK")).unwrap());
    assert!(disk.lock(Path::new("LOCK")).is_err());
    drop(lock);
    let again = image.crash_image(0, Strict, 0);
    assert_eq!(again.read_file("a").unwrap(), b"x");
    // And it is independent.
    write(&image, "a", b"y");
    assert_eq!(disk.read_file("a").unwrap(), b"x");
    assert_eq!(again.read_file("a").unwrap(), b"x");
}

#[test]
fn equal_seeds_give_equal_images_and_different_seeds_different_ones() {
    let (disk, file) = durable(4096, b'o');
    file.write_all_at(&[b'n'; 4096], 0).unwrap();
    assert_eq!(contents(&disk, Random), contents(&disk, Random));
    assert!(contents(&disk, Random).iter().collect::<BTreeSet<_>>().len() > 50);
}

#[test]
fn forgetting_history_makes_everything_durable_and_keeps_handles() {
    let disk = SimVfs::new();
    let file = write(&disk, "a", b"x");
    disk.forget_history();
    assert_eq!(disk.ops(), 0);
    file.write_all_at(b"y", 1).unwrap();
    check(&disk, Strict, &["a=x"]);
    check(&disk, Kept, &["a=xy"]);
}

/// The protocol for replacing a file, with single steps left out. Returns whether some power loss breaks the promise
/// that the file holds the old or the new contents, and the new ones once the function has returned.
fn some_power_loss_breaks(sync_data: bool, sync_dir: bool) -> bool {
    const OLD: &[u8] = &[b'o'; 1500];
    const NEW: &[u8] = &[b'n'; 2000];
    let disk = SimVfs::new();
    disk.write_file("f", OLD).unwrap();
    disk.forget_history();
    let file = write(&disk, "f.tmp", NEW);
    if sync_data {
        file.sync_data().unwrap();
    }
    disk.rename(Path::new("f.tmp"), Path::new("f")).unwrap();
    if sync_dir {
        sync_root(&disk);
    }
    let done = disk.ops();
    let modes: Vec<_> = CrashMode::ALL.iter().filter(|mode| **mode != Kept).collect();
    (0..=done).any(|at| {
        modes.iter().any(|mode| {
            (0..100).any(|seed| {
                let found = disk.crash_image(at, **mode, seed).read_file("f").unwrap();
                found != NEW && (at == done || found != OLD)
            })
        })
    })
}

#[test]
fn a_planted_mistake_in_a_protocol_is_found_and_the_right_protocol_is_not_blamed() {
    assert!(!some_power_loss_breaks(true, true));
    assert!(some_power_loss_breaks(false, true));
    assert!(some_power_loss_breaks(true, false));
    assert!(some_power_loss_breaks(false, false));
}

#[test]
fn a_process_that_dies_leaves_the_cache_to_the_next_one_and_nothing_more_durable() {
    let disk = SimVfs::new();
    let file = write(&disk, "a", b"x");
    let lock = disk.lock(Path::new("LOCK")).unwrap();
    let next = disk.restart_process();
    assert_eq!(next.read_file("a").unwrap(), b"x");
    assert_eq!(next.crash_image(next.ops(), Strict, 0).files().unwrap(), []);
    // Threads left over from the dead process do no harm, nor does its lock when it is dropped at last.
    let stale = |e: std::io::Error| assert_eq!(e.raw_os_error(), Some(libc::ESTALE));
    stale(file.write_at(b"y", 0).unwrap_err());
    stale(disk.open(Path::new("a"), OpenMode::Read).unwrap_err());
    let own = next.lock(Path::new("LOCK")).unwrap();
    drop(lock);
    assert!(next.lock(Path::new("LOCK")).is_err());
    drop(own);
    // What the next one synchronises is durable, including what the dead one wrote.
    open(&next, "a").sync_data().unwrap();
    sync_root(&next);
    assert_eq!(next.crash_image(next.ops(), Strict, 0).read_file("a").unwrap(), b"x");
}

#[test]
fn an_open_file_works_on_after_rename_and_removal_of_its_name() {
    let disk = SimVfs::new();
    let file = write(&disk, "a", b"x");
    disk.rename(Path::new("a"), Path::new("b")).unwrap();
    file.write_all_at(b"y", 0).unwrap();
    assert_eq!(show(&disk), "b=y");
    disk.remove_file(Path::new("b")).unwrap();
    file.write_all_at(b"z", 1).unwrap();
    file.sync_data().unwrap();
    let mut bytes = [0; 2];
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"yz");
    check(&disk, Random, &["", "a=yz", "b=yz"]);
}

#[test]
fn planted_contents_are_durable_at_once_and_disturb_nothing_else() {
    let disk = SimVfs::new();
    let other = write(&disk, "b", b"o");
    other.sync_data().unwrap();
    sync_root(&disk);
    other.write_all_at(b"n", 0).unwrap();
    disk.write_file("a", b"0123").unwrap();
    disk.flip_bit("a", 8 * 2).unwrap();
    check(&disk, Strict, &["a=0133 b=o"]);
    check(&disk, Kept, &["a=0133 b=n"]);
    assert!(disk.flip_bit("a", 8 * 4).is_err());
    // A mapped file changes under the mapping.
    let file = open(&disk, "a");
    let _mapping = file.map(4096).unwrap();
    disk.flip_bit("a", 8 * 2).unwrap();
    check(&disk, Kept, &["a=0123 b=n"]);
    assert_eq!(show(&disk), "a=0123 b=n");
}

#[test]
fn a_durable_step_of_a_name_takes_the_earlier_steps_along() {
    let disk = SimVfs::new();
    for dir in ["d", "e"] {
        disk.create_dir(Path::new(dir)).unwrap();
    }
    disk.write_file("d/a", b"x").unwrap();
    disk.forget_history();
    disk.rename(Path::new("d/a"), Path::new("e/a")).unwrap();
    disk.rename(Path::new("e/a"), Path::new("e/b")).unwrap();
    check(&disk, Random, &["d/a=x", "e/a=x", "e/b=x"]);
    // The first rename waits for "d" too, but the second cannot be durable without it.
    disk.sync_dir(Path::new("e")).unwrap();
    check(&disk, Random, &["e/b=x"]);
}

#[test]
fn a_pending_removal_does_not_take_a_file_planted_later() {
    let disk = SimVfs::new();
    disk.write_file("a", b"1").unwrap();
    disk.remove_file(Path::new("a")).unwrap();
    disk.write_file("a", b"2").unwrap();
    for mode in [Strict, Prefix, Random, Kept] {
        check(&disk, mode, &["a=2"]);
    }
}
