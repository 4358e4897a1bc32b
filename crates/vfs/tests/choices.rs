//! The modes that choose with a purpose: in the order of each file and directory, and against the program.

use halodb_vfs::sim::CrashMode::{self, Adversarial, Garbage, Kept, Ordered, Prefix, Random};
use halodb_vfs::sim::{Fault, Repeat};
use halodb_vfs::{File, FileExt, OpenMode, SimVfs, Vfs};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

const SEEDS: u64 = 1_000;

fn open(disk: &SimVfs, path: &str) -> Arc<dyn File> {
    disk.open(Path::new(path), OpenMode::Create).unwrap()
}

fn rename(disk: &SimVfs, from: &str, to: &str) {
    disk.rename(Path::new(from), Path::new(to)).unwrap();
}

/// A disk with these durable files, and a history that begins now.
fn disk_with(files: &[(&str, &[u8])]) -> SimVfs {
    let disk = SimVfs::new();
    for (path, bytes) in files {
        if let Some(dir) = Path::new(path).parent().filter(|dir| disk.kind(dir).unwrap().is_none()) {
            disk.create_dir(dir).unwrap();
        }
        disk.write_file(path, bytes).unwrap();
    }
    disk.forget_history();
    disk
}

/// Shows a disk as `name=contents name=contents`, each sector by its first byte, zeros as `0`.
fn show(disk: &SimVfs) -> String {
    let files = disk.files().unwrap();
    let sector = |chunk: &[u8]| match chunk {
        [0, ..] => '0',
        chunk => char::from(chunk[0]),
    };
    let file = |path: &Path| {
        let bytes = disk.read_file(path).unwrap();
        format!("{}={}", path.display(), bytes.chunks(512).map(sector).collect::<String>())
    };
    files.iter().map(|(path, _)| file(path)).collect::<Vec<_>>().join(" ")
}

fn outcomes(disk: &SimVfs, mode: CrashMode) -> BTreeSet<String> {
    (0..SEEDS).map(|seed| show(&disk.crash_image(disk.ops(), mode, seed))).collect()
}

fn check(disk: &SimVfs, mode: CrashMode, expected: &[&str]) {
    let expected: BTreeSet<String> = expected.iter().map(|s| s.to_string()).collect();
    assert_eq!(outcomes(disk, mode), expected, "{mode:?}");
}

#[test]
fn in_order_no_write_survives_without_the_earlier_ones_of_its_file() {
    let disk = disk_with(&[("a", &[b'o'; 1536])]);
    let file = open(&disk, "a");
    for (byte, sector) in [(b'1', 2), (b'2', 0), (b'3', 1)] {
        file.write_all_at(&[byte; 512], sector * 512).unwrap();
    }
    check(&disk, Ordered, &["a=ooo", "a=oo1", "a=2o1", "a=231"]);
}

#[test]
fn in_order_files_know_nothing_of_each_other_and_nothing_of_names() {
    let disk = disk_with(&[("a", b"o"), ("b", b"o")]);
    open(&disk, "a").write_all_at(b"n", 0).unwrap();
    open(&disk, "b").write_all_at(b"n", 0).unwrap();
    check(&disk, Ordered, &["a=o b=o", "a=n b=o", "a=o b=n", "a=n b=n"]);
    rename(&disk, "b", "c");
    let both = |name: &str| ["oo", "on", "no", "nn"].map(|s| format!("a={} {name}={}", &s[..1], &s[1..]));
    let expected: Vec<String> = both("b").into_iter().chain(both("c")).collect();
    check(&disk, Ordered, &expected.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn in_order_the_write_at_which_a_file_ends_may_be_torn_and_only_from_behind() {
    let disk = disk_with(&[("a", &[b'o'; 512])]);
    open(&disk, "a").write_all_at(&[b'n'; 1400], 100).unwrap();
    // The first sector begins with what is not overwritten.
    let lengths: BTreeSet<usize> = (0..SEEDS)
        .map(|seed| {
            let bytes = disk.crash_image(disk.ops(), Ordered, seed).read_file("a").unwrap();
            let new = bytes.iter().filter(|byte| **byte == b'n').count();
            assert!(bytes[..100].iter().all(|byte| *byte == b'o'));
            assert!(bytes[100..100 + new].iter().all(|byte| *byte == b'n'), "a hole");
            assert_eq!(bytes.len(), (100 + new).max(512));
            new
        })
        .collect();
    assert_eq!(lengths, BTreeSet::from([0, 412, 924, 1400]));
}

#[test]
fn in_order_lengths_take_their_place_among_the_writes() {
    let disk = disk_with(&[("a", &[b'o'; 1024])]);
    let file = open(&disk, "a");
    file.set_len(512).unwrap();
    file.write_all_at(&[b'n'; 512], 512).unwrap();
    check(&disk, Ordered, &["a=oo", "a=o", "a=on"]);
}

#[test]
fn in_order_names_survive_in_the_order_of_their_directory() {
    let disk = disk_with(&[("d/x", b""), ("e/x", b"")]);
    for path in ["d/1", "e/1", "d/2"] {
        open(&disk, path);
    }
    check(
        &disk,
        Ordered,
        &[
            "d/x= e/x=",
            "d/1= d/x= e/x=",
            "d/1= d/2= d/x= e/x=",
            "d/x= e/1= e/x=",
            "d/1= d/x= e/1= e/x=",
            "d/1= d/2= d/x= e/1= e/x=",
        ],
    );
}

#[test]
fn in_order_a_rename_between_directories_waits_for_both_and_what_follows_waits_for_it() {
    let disk = disk_with(&[("d/a", b""), ("e/x", b"")]);
    open(&disk, "e/1");
    rename(&disk, "d/a", "e/a");
    open(&disk, "d/2");
    check(&disk, Ordered, &["d/a= e/x=", "d/a= e/1= e/x=", "e/1= e/a= e/x=", "d/2= e/1= e/a= e/x="]);
}

/// Durable 'o's in two files; three writes to the one, growth and a cut, and one write to the other.
fn busy() -> SimVfs {
    let disk = disk_with(&[("a", &[b'o'; 2048]), ("b", &[b'o'; 512])]);
    let a = open(&disk, "a");
    a.write_all_at(&[b'1'; 512], 0).unwrap();
    a.write_all_at(&[b'2'; 1024], 512).unwrap();
    a.write_all_at(&[b'3'; 512], 2048).unwrap();
    let b = open(&disk, "b");
    b.write_all_at(&[b'4'; 512], 512).unwrap();
    disk
}

#[test]
fn the_adversary_reaches_what_its_table_promises() {
    let disk = busy();
    rename(&disk, "b", "c");
    let found = outcomes(&disk, Adversarial);
    for (image, what) in [
        ("a=oooo3 c=o4", "of each file its newest write, and the newest name"),
        ("a=o22o3 b=o0", "all but the oldest write of each file, and the oldest name"),
        ("a=1ooo3 b=o4", "short writes"),
        ("a=o22o0 b=o0", "long writes"),
        ("a=1ooo0 b=o0", "writes at the front"),
        ("a=o22o3 c=o4", "writes at the back"),
        ("a=oooo c=o", "names, no contents"),
        ("a=122o3 b=o4", "contents, no names"),
        ("a=oooo0 c=o0", "names and lengths, no bytes"),
        ("a=122o c=o", "names and bytes, no lengths"),
        ("a=122o3 b=o", "one file"),
        ("a=oooo b=o4", "all files but one"),
        ("a=oooo0 b=o4", "one write"),
        ("a=1ooo3 c=o4", "all but one write"),
        ("a=1o2o3 c=o4", "all but the first sector of one write"),
        ("a=12oo3 b=o4", "all but the last sector of one write"),
    ] {
        assert!(found.contains(image), "{what}: {image} is not among {found:#?}");
    }
}

#[test]
fn the_adversary_leaves_nothing_that_random_losses_could_not() {
    // Small enough that random choices reach everything.
    let disk = disk_with(&[("a", &[b'o'; 1024])]);
    let file = open(&disk, "a");
    file.write_all_at(&[b'1'; 1024], 0).unwrap();
    file.write_all_at(&[b'2'; 512], 1024).unwrap();
    file.set_len(1024).unwrap();
    rename(&disk, "a", "b");
    let possible: BTreeSet<String> =
        (0..100_000).map(|seed| show(&disk.crash_image(disk.ops(), Random, seed))).collect();
    let found = outcomes(&disk, Adversarial);
    let beyond: Vec<_> = found.difference(&possible).collect();
    assert!(beyond.is_empty(), "{beyond:?}");
    assert_eq!(found.len(), 8, "{found:?}");
}

#[test]
fn the_adversary_keeps_the_newest_name_with_what_it_builds_on() {
    let disk = disk_with(&[("a", b""), ("x", b"")]);
    rename(&disk, "x", "y");
    rename(&disk, "a", "b");
    rename(&disk, "b", "c");
    check(
        &disk,
        Adversarial,
        // None; all; the newest with the one before; all but the oldest, which nothing builds on.
        &["a= x=", "c= y=", "c= x="],
    );
    let disk = disk_with(&[("a", b""), ("x", b"")]);
    rename(&disk, "a", "b");
    rename(&disk, "x", "y");
    rename(&disk, "b", "c");
    check(&disk, Adversarial, &["a= x=", "c= y=", "c= x=", "a= y="]);
}

#[test]
fn the_adversary_has_nothing_to_choose_where_nothing_is_pending() {
    let disk = disk_with(&[("a", b"x")]);
    check(&disk, Adversarial, &["a=x"]);
    open(&disk, "a").set_len(0).unwrap();
    check(&disk, Adversarial, &["a=x", "a="]);
}

#[test]
fn torn_sectors_may_hold_zeros_as_well_as_garbage() {
    let disk = disk_with(&[("a", &[b'o'; 512])]);
    open(&disk, "a").write_all_at(&[b'n'; 512], 0).unwrap();
    let images: BTreeSet<Vec<u8>> =
        (0..SEEDS).map(|seed| disk.crash_image(disk.ops(), Garbage, seed).read_file("a").unwrap()).collect();
    for uniform in [b'o', b'n', 0] {
        assert!(images.contains(&[uniform; 512][..]));
    }
    assert!(images.len() > 10);
}

/// Once, a write after a failed synchronisation left its sector half new and half from before the failure.
#[test]
fn a_write_to_a_sector_that_a_failed_sync_lost_takes_the_rest_of_the_sector_along() {
    let disk = disk_with(&[("a", &[b'o'; 512])]);
    let file = open(&disk, "a");
    file.write_all_at(&[b'1'; 512], 0).unwrap();
    disk.inject(0, Fault::SyncFailsClean, Repeat::Once);
    assert!(file.sync_data().is_err());
    file.write_all_at(&[b'2'; 256], 0).unwrap();
    for mode in [Prefix, Ordered, Random, Adversarial, Kept] {
        for seed in 0..SEEDS {
            let bytes = disk.crash_image(disk.ops(), mode, seed).read_file("a").unwrap();
            assert!(matches!((bytes[0], bytes[511]), (b'o', b'o') | (b'1' | b'2', b'1')), "{mode:?}");
        }
    }
}
