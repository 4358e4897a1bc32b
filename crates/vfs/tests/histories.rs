//! Random histories: properties that every crash image has.

use halodb_vfs::sim::CrashMode::{self, Adversarial, Kept, Ordered, Prefix, Random, Strict, Torn4k};
use halodb_vfs::{EntryKind, FileExt, OpenMode, SimVfs, Vfs};
use proptest::prelude::*;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug)]
enum Step {
    Write(&'static str, u64, usize, u8),
    SetLen(&'static str, u64),
    Sync(&'static str),
    CreateDir(&'static str),
    Rename(&'static str, &'static str),
    Remove(&'static str),
    SyncDir(&'static str),
    Map(&'static str),
}

fn step() -> impl Strategy<Value = Step> {
    let name = || prop::sample::select(vec!["a", "b", "c", "d", "d/a", "d/b", "d/e", "e", "e/a"]);
    let dir = prop::sample::select(vec!["", "d", "e", "d/e"]);
    prop_oneof![
        6 => (name(), 0..9_000u64, 1..6_000usize, 1..250u8).prop_map(|(n, o, l, b)| Step::Write(n, o, l, b)),
        2 => (name(), 0..16_000u64).prop_map(|(n, l)| Step::SetLen(n, l)),
        2 => name().prop_map(Step::Sync),
        2 => name().prop_map(Step::CreateDir),
        4 => (name(), name()).prop_map(|(a, b)| Step::Rename(a, b)),
        2 => name().prop_map(Step::Remove),
        2 => dir.prop_map(Step::SyncDir),
        1 => name().prop_map(Step::Map),
    ]
}

/// Runs a step; that some fail is part of the game.
fn run(disk: &SimVfs, step: &Step) {
    let open = |name: &str| disk.open(Path::new(name), OpenMode::Create);
    let _ = match step {
        Step::Write(name, offset, len, byte) => {
            open(name).and_then(|file| file.write_all_at(&vec![*byte; *len], *offset))
        }
        Step::SetLen(name, len) => open(name).and_then(|file| file.set_len(*len)),
        Step::Sync(name) => open(name).and_then(|file| file.sync_data()),
        Step::Map(name) => open(name).and_then(|file| file.map(65_536).map(drop)),
        Step::CreateDir(name) => disk.create_dir(Path::new(name)),
        Step::Rename(from, to) => disk.rename(Path::new(from), Path::new(to)),
        Step::Remove(name) => disk.remove_file(Path::new(name)),
        Step::SyncDir(name) => disk.sync_dir(Path::new(name)),
    };
}

/// All files with contents, and all directories.
fn everything(disk: &SimVfs) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let mut found = Vec::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(dir) = todo.pop() {
        for entry in disk.read_dir(&dir).unwrap() {
            let path = dir.join(entry.name);
            if entry.kind == EntryKind::Dir {
                found.push((path.clone(), None));
                todo.push(path);
            } else {
                let bytes = disk.read_file(&path).unwrap();
                found.push((path, Some(bytes)));
            }
        }
    }
    found.sort();
    found
}

fn sync_everything(disk: &SimVfs) {
    disk.sync_dir(Path::new("")).unwrap();
    for (path, bytes) in everything(disk) {
        match bytes {
            None => disk.sync_dir(&path).unwrap(),
            Some(_) => disk.open(&path, OpenMode::Read).unwrap().sync_all().unwrap(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_image_that_keeps_everything_shows_the_disk_as_it_was(steps in prop::collection::vec(step(), 1..40)) {
        let disk = SimVfs::new();
        let mut seen = Vec::new();
        for step in &steps {
            run(&disk, step);
            seen.push((disk.ops(), everything(&disk)));
        }
        for (at, expected) in seen.iter().rev().chain(&seen) {
            prop_assert_eq!(&everything(&disk.crash_image(*at, Kept, 0)), expected);
        }
    }

    #[test]
    fn when_everything_is_synchronised_every_power_loss_leaves_everything(
        steps in prop::collection::vec(step(), 1..40),
        seed: u64,
    ) {
        let disk = SimVfs::new();
        steps.iter().for_each(|step| run(&disk, step));
        sync_everything(&disk);
        let expected = everything(&disk);
        for &mode in CrashMode::ALL {
            prop_assert_eq!(&everything(&disk.crash_image(disk.ops(), mode, seed)), &expected, "{:?}", mode);
        }
    }

    #[test]
    fn an_image_never_shows_one_file_under_two_names(
        steps in prop::collection::vec(step(), 1..40),
        seed: u64,
    ) {
        // Each file gets contents of its own, durable at once, so that it can be recognised under any name.
        let disk = SimVfs::new();
        let mut number = 0u64;
        for step in &steps {
            if !matches!(step, Step::Write(..) | Step::SetLen(..)) {
                run(&disk, step);
            } else if let Step::Write(name, ..) = step
                && let Ok(file) = disk.open(Path::new(name), OpenMode::CreateNew)
            {
                number += 1;
                file.write_all_at(&number.to_le_bytes(), 0).unwrap();
                file.sync_data().unwrap();
            }
        }
        for &mode in CrashMode::ALL {
            let image = disk.crash_image(disk.ops(), mode, seed);
            let mut contents: Vec<_> =
                everything(&image).into_iter().filter_map(|(_, bytes)| bytes.filter(|b| b.len() == 8)).collect();
            let count = contents.len();
            contents.sort();
            contents.dedup();
            prop_assert_eq!(contents.len(), count, "{:?}", mode);
        }
    }

    /// An independent statement of the model for one file: no cuts, as these have rules of their own.
    #[test]
    fn every_unit_of_an_image_is_one_that_the_cache_held_since_the_last_sync(
        writes in prop::collection::vec((0..9_000u64, 1..6_000usize, 1..250u8, 0..6u8), 1..12),
        seed: u64,
    ) {
        let disk = SimVfs::new();
        disk.write_file("f", &[]).unwrap();
        let file = disk.open(Path::new("f"), OpenMode::ReadWrite).unwrap();
        let mut versions = vec![Vec::new()];
        for (offset, len, byte, sync) in writes {
            file.write_all_at(&vec![byte; len], offset).unwrap();
            versions.push(disk.read_file("f").unwrap());
            if sync == 0 {
                file.sync_data().unwrap();
                versions.drain(..versions.len() - 1);
            }
        }
        let modes = [(Strict, 512), (Prefix, 512), (Ordered, 512), (Random, 512), (Torn4k, 4096), (Adversarial, 512)];
        for (mode, unit) in modes {
            let found = disk.crash_image(disk.ops(), mode, seed).read_file("f").unwrap();
            // A write that arrives in part, up to some sector, makes the file as long.
            let grown = mode == Ordered && found.len().is_multiple_of(512);
            prop_assert!(grown || versions.iter().any(|v| v.len() == found.len()), "{:?}: a new length", mode);
            for (i, bytes) in found.chunks(unit).enumerate() {
                let held = versions.iter().any(|v| {
                    let there = v.iter().skip(i * unit).copied().chain(std::iter::repeat(0));
                    there.take(bytes.len()).eq(bytes.iter().copied())
                });
                prop_assert!(held, "{:?}: unit {} was never like this", mode, i);
            }
        }
    }

    #[test]
    fn in_order_means_that_a_file_ends_between_two_states_that_the_cache_held(
        writes in prop::collection::vec((0..9_000u64, 1..6_000usize, 1..250u8), 1..12),
        seed: u64,
    ) {
        let disk = SimVfs::new();
        disk.write_file("f", &[]).unwrap();
        let file = disk.open(Path::new("f"), OpenMode::ReadWrite).unwrap();
        let mut versions = vec![Vec::new()];
        for (offset, len, byte) in writes {
            file.write_all_at(&vec![byte; len], offset).unwrap();
            versions.push(disk.read_file("f").unwrap());
        }
        let found = disk.crash_image(disk.ops(), Ordered, seed).read_file("f").unwrap();
        let between = versions.windows(2).any(|pair| {
            (0..=found.len().div_ceil(512)).any(|sectors| {
                let (old, new) = (&pair[0], &pair[1]);
                let torn = |i: usize| if i < sectors * 512 { new.get(i) } else { old.get(i) };
                old.len() <= found.len() && found.len() <= new.len()
                    && found.iter().enumerate().all(|(i, byte)| torn(i).copied().unwrap_or(0) == *byte)
            })
        });
        prop_assert!(between, "{} bytes are none of {} versions", found.len(), versions.len());
    }
}
