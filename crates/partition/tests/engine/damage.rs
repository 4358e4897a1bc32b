//! Damage that is planted and must be found: by `check` in an open database, by `diagnose` in a closed one; and what
//! `salvage` brings back, compared with what was written.

use crate::*;
use halodb_partition::{BehindGaps, Depth, Diagnosis, ErrorKind, Health, SalvageReport, diagnose, salvage};
use halodb_vfs::Vfs;
use std::collections::{BTreeMap, BTreeSet};

const PAGE: usize = 4096;
const INTO: &str = "saved";

type Pairs = BTreeMap<String, String>;

/// A database with inner pages, filters and long values in its trees, and records that only the log has; what it holds, and
/// every value that any key ever had.
struct Sample {
    disk: SimVfs,
    pairs: Pairs,
    ever: BTreeSet<(String, String)>,
    /// Keys that were written after the last merge.
    unmerged: BTreeSet<String>,
}

fn sample() -> Sample {
    let disk = SimVfs::new();
    let set = open(&disk);
    let mut sample = Sample { disk, pairs: Pairs::new(), ever: BTreeSet::new(), unmerged: BTreeSet::new() };
    for round in 0..3 {
        for i in 0..400 {
            let len = if i % 100 == 7 { 9_000 } else { 60 };
            sample.put(&set, &format!("key{i:04}"), &format!("{round}-{i}-{}", "v".repeat(len)));
        }
        for i in (round..400).step_by(50) {
            sample.delete(&set, &format!("key{i:04}"));
        }
        merge_all(&set);
    }
    sample.unmerged.clear();
    for i in (3..400).step_by(40) {
        sample.put(&set, &format!("key{i:04}"), &format!("unmerged {i}"));
    }
    sample.put(&set, "new", "only in the log");
    drop(set);
    sample
}

impl Sample {
    fn put(&mut self, set: &PartitionSet, key: &str, value: &str) {
        put(set, key, value);
        self.pairs.insert(key.into(), value.into());
        self.ever.insert((key.into(), value.into()));
        self.unmerged.insert(key.into());
    }

    fn delete(&mut self, set: &PartitionSet, key: &str) {
        let mut batch = Batch::new();
        batch.delete(key.as_bytes());
        commit(set, &batch);
        self.pairs.remove(key);
        self.unmerged.insert(key.into());
    }

    fn edit(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = self.disk.read_file(path).unwrap();
        change(&mut bytes);
        self.disk.write_file(path, &bytes).unwrap();
    }

    /// Numbers of the pages of one kind that belong to the newest commit of a page file.
    fn current(&self, path: &str, kind: u8) -> Vec<usize> {
        let free = {
            let (_, report) = (0, self.diagnose());
            assert_eq!(report.health, Health::Sound, "{report:?}");
            let identity = halodb_pager::read_identity(&self.disk, Path::new(path)).unwrap().unwrap();
            let vfs = Arc::new(self.disk.clone());
            let pager =
                halodb_pager::Pager::open(vfs, Path::new(path), &identity, halodb_pager::Access::ReadOnly).unwrap();
            pager.snapshot().free_pages().unwrap()
        };
        let bytes = self.disk.read_file(path).unwrap();
        let is_free = |page: u64| free.iter().any(|(start, len)| (*start..start + len).contains(&page));
        // A page that states its own number; what lies inside an extent does not.
        let begins = |page: usize| bytes[page * PAGE + 8..][..8] == (page as u64).to_le_bytes();
        (2..bytes.len() / PAGE)
            .filter(|&page| begins(page) && bytes[page * PAGE + 24] == kind && !is_free(page as u64))
            .collect()
    }

    fn rot(&self, path: &str, pages: &[usize]) {
        self.edit(path, |bytes| pages.iter().for_each(|page| bytes[page * PAGE + 2000] ^= 1));
    }

    fn diagnose(&self) -> Diagnosis {
        diagnose(Arc::new(self.disk.clone()), Path::new(DIR)).unwrap()
    }

    fn salvage(&self, behind_gaps: BehindGaps) -> (SalvageReport, Pairs) {
        let before: Vec<_> = self.files();
        let vfs = Arc::new(self.disk.clone());
        let entropy = Entropy { uuid: [3; 16], incarnation: 9, hash_seed: 5 };
        let report = salvage(vfs, Path::new(DIR), Path::new(INTO), behind_gaps, tiny(), entropy, 0).unwrap();
        assert_eq!(self.files(), before, "the source was touched");
        let (set, _) = PartitionSet::open(Arc::new(self.disk.clone()), Path::new(INTO), tiny(), entropy, 0).unwrap();
        let found: Pairs = all(&set.snapshot()).into_iter().collect();
        assert_sound(&set);
        assert_eq!(report.keys, found.len() as u64);
        for pair in &found {
            let pair = (pair.0.clone(), pair.1.clone());
            assert!(self.ever.contains(&pair), "{} was never written", pair.0);
        }
        (report, found)
    }

    fn files(&self) -> Vec<(std::path::PathBuf, Vec<u8>)> {
        let files = self.disk.files().unwrap().into_iter().map(|(path, _)| path);
        let ours = files.filter(|path| path.starts_with(DIR) && !path.ends_with("LOCK"));
        ours.map(|path| (path.clone(), self.disk.read_file(&path).unwrap())).collect()
    }

    /// Diagnoses and salvages: everything must come back.
    fn check_whole(&self, health: Health, words: &str) {
        let report = self.diagnose();
        assert_eq!(report.health, health, "{report:#?}");
        assert!(words.is_empty() || report.ailments.iter().any(|a| a.what.contains(words)), "{words}: {report:#?}");
        let (report, found) = self.salvage(BehindGaps::Use);
        assert_eq!(report.diagnosis.health, health);
        assert!(found == self.pairs, "{} of {} pairs came back", found.len(), self.pairs.len());
    }
}

#[test]
fn a_database_that_was_killed_is_sound_and_can_be_copied_whole() {
    let sample = sample();
    sample.check_whole(Health::Sound, "");
    assert!(sample.diagnose().records > 10);
}

#[test]
fn a_missing_or_damaged_manifest_loses_nothing() {
    let sample = sample();
    sample.edit("db/MANIFEST", |bytes| bytes[50] ^= 1);
    sample.check_whole(Health::Repairable, "MANIFEST");
    sample.disk.remove_file(Path::new("db/MANIFEST")).unwrap();
    assert_eq!(sample.diagnose().health, Health::Repairable);
}

#[test]
fn a_damaged_meta_beside_a_valid_one_loses_nothing_while_the_log_covers_it() {
    for slot in [0, 1] {
        let sample = sample();
        sample.edit("db/p001/tree.db", |bytes| bytes[slot * PAGE + 700] ^= 1);
        let report = sample.diagnose();
        assert!(report.ailments.iter().any(|a| a.what.contains("One of the two metas")), "{report:#?}");
        if report.health == Health::Repairable {
            sample.check_whole(Health::Repairable, "One of the two metas");
        }
    }
}

#[test]
fn what_lies_under_a_damaged_branch_is_found_through_the_free_list() {
    let sample = sample();
    let branches = sample.current("db/p000/tree.db", 2);
    assert!(!branches.is_empty());
    sample.rot("db/p000/tree.db", &branches);
    sample.check_whole(Health::Repairable, "cannot be reached");
}

#[test]
fn a_damaged_leaf_loses_its_entries_and_no_others() {
    let sample = sample();
    let leaves = sample.current("db/p000/tree.db", 1);
    sample.rot("db/p000/tree.db", &leaves[..1]);
    let report = sample.diagnose();
    assert_eq!(report.health, Health::Lost, "{report:#?}");
    assert!(report.ailments.iter().any(|a| a.offset == Some((leaves[0] * PAGE) as u64)), "{report:#?}");
    assert!(report.lost_entries > 0);
    let (report, found) = sample.salvage(BehindGaps::Use);
    let missing: Vec<_> = sample.pairs.keys().filter(|key| !found.contains_key(*key)).collect();
    assert!(!missing.is_empty() && missing.len() as u64 <= report.diagnosis.lost_entries, "{missing:?}");
    assert!(found.iter().all(|(key, value)| sample.pairs.get(key) == Some(value)), "an old value");
}

#[test]
fn a_damaged_long_value_loses_its_key_and_no_others() {
    let sample = sample();
    let extents = sample.current("db/p000/tree.db", 3);
    sample.rot("db/p000/tree.db", &extents[..1]);
    let (report, found) = sample.salvage(BehindGaps::Use);
    assert_eq!((report.diagnosis.health, report.diagnosis.lost_entries), (Health::Lost, 1));
    assert_eq!(found.len() + 1, sample.pairs.len());
}

#[test]
fn a_damaged_free_list_or_filter_loses_nothing() {
    for kind in [250, 4] {
        let sample = sample();
        let pages = sample.current_or_listed("db/p000/tree.db", kind);
        assert!(!pages.is_empty(), "kind {kind}");
        sample.rot("db/p000/tree.db", &pages);
        sample.check_whole(Health::Repairable, "");
    }
}

impl Sample {
    /// As `current`; the free list's own pages count as free there.
    fn current_or_listed(&self, path: &str, kind: u8) -> Vec<usize> {
        if kind != 250 {
            return self.current(path, kind);
        }
        let bytes = self.disk.read_file(path).unwrap();
        (2..bytes.len() / PAGE).filter(|page| bytes[page * PAGE + 24] == kind).collect()
    }
}

#[test]
fn a_file_without_metas_gives_back_what_its_leaves_hold() {
    let sample = sample();
    sample.edit("db/p000/tree.db", |bytes| bytes[..2 * PAGE].fill(0));
    let report = sample.diagnose();
    assert_eq!(report.health, Health::Lost);
    assert!(report.notes.iter().any(|note| note.contains("looking at every page")), "{report:#?}");
    let (_, found) = sample.salvage(BehindGaps::Use);
    for (key, value) in &sample.pairs {
        assert_eq!(found.get(key), Some(value), "{key}");
    }
}

#[test]
fn a_missing_page_file_leaves_the_other_one() {
    let sample = sample();
    sample.disk.remove_file(Path::new("db/p001/tree.db")).unwrap();
    let report = sample.diagnose();
    assert_eq!(report.health, Health::Lost);
    assert!(report.ailments.iter().any(|a| a.path.ends_with("p001/tree.db")), "{report:#?}");
    let (_, found) = sample.salvage(BehindGaps::Use);
    assert!(found.len() > 100 && found.len() < sample.pairs.len());
    assert!(found.iter().all(|(key, value)| sample.pairs.get(key) == Some(value)), "an old value");
    assert!(sample.unmerged.iter().all(|key| found.get(key) == sample.pairs.get(key)), "the log has these");
}

#[test]
fn a_rotten_middle_of_the_log_is_named_and_the_rest_is_used_if_wanted() {
    let sample = sample();
    let place = |bytes: &[u8]| bytes.windows(12).position(|window| window == b"unmerged 123");
    let files = sample.disk.files().unwrap();
    let path = files.iter().find(|(path, _)| place(&sample.disk.read_file(path).unwrap()).is_some()).unwrap();
    sample.edit(path.0.to_str().unwrap(), |bytes| {
        let at = place(bytes).unwrap();
        bytes[at] ^= 1;
    });
    assert_eq!(try_open(&sample.disk, tiny()).unwrap_err().kind(), ErrorKind::Corrupt);
    let report = sample.diagnose();
    assert_eq!((report.health, report.lost_records.len()), (Health::Lost, 1), "{report:#?}");
    let (from, to) = report.lost_records[0];
    assert_eq!(from, to);
    let differing = |found: &Pairs| sample.pairs.iter().filter(|(key, value)| found.get(*key) != Some(*value)).count();
    let (_, found) = sample.salvage(BehindGaps::Use);
    assert_eq!(differing(&found), 1, "one record is lost");
    let target: Vec<_> = sample.disk.files().unwrap().into_iter().filter(|(path, _)| path.starts_with(INTO)).collect();
    for (path, _) in target {
        sample.disk.remove_file(&path).unwrap();
    }
    for folder in ["wal", "p000", "p001", ""] {
        sample.disk.remove_dir(&Path::new(INTO).join(folder)).unwrap();
    }
    let (_, found) = sample.salvage(BehindGaps::Leave);
    assert!(differing(&found) > 5, "what comes after the lost record is left out");
    assert_eq!(found.get("new"), None);
}

#[test]
fn a_salvage_refuses_a_directory_that_holds_something() {
    let sample = sample();
    let attempt = |into: &str| {
        let vfs = Arc::new(sample.disk.clone());
        salvage(vfs, Path::new(DIR), Path::new(into), BehindGaps::Use, tiny(), entropy(), 0).unwrap_err().kind()
    };
    assert_eq!(attempt(DIR), ErrorKind::InvalidInput);
    assert_eq!(attempt("db/inside"), ErrorKind::InvalidInput);
    sample.disk.create_dir(Path::new("taken")).unwrap();
    sample.disk.write_file("taken/file", b"x").unwrap();
    assert_eq!(attempt("taken"), ErrorKind::InvalidInput);
}

#[test]
fn a_database_that_is_open_is_not_diagnosed() {
    let sample = sample();
    let set = open(&sample.disk);
    let refused = diagnose(Arc::new(sample.disk.clone()), Path::new(DIR)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Locked);
    drop(set);
    assert_eq!(diagnose(Arc::new(SimVfs::new()), Path::new(DIR)).unwrap_err().kind(), ErrorKind::NotFound);
}

/// Plants damage under an open database; `check` must name the file and, where there is one, the place.
fn check_finds(path: &str, offset: Option<u64>, words: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let sample = sample();
    let set = open(&sample.disk);
    assert_sound(&set);
    sample.edit(path, change);
    let findings = set.check(Depth::Deep).unwrap().findings;
    let found = findings.iter().any(|f| f.path == Path::new(path) && f.offset == offset && f.what.contains(words));
    assert!(found, "{path} {offset:?} {words}: {findings:#?}");
}

#[test]
fn check_finds_a_damaged_manifest() {
    check_finds("db/MANIFEST", None, "checksum", |bytes| bytes[50] ^= 1);
}

#[test]
fn check_finds_damage_to_either_meta() {
    check_finds("db/p000/tree.db", Some(0), "Meta slot 0", |bytes| bytes[700] ^= 1);
    check_finds("db/p000/tree.db", Some(4096), "Meta slot 1", |bytes| bytes[PAGE + 700] ^= 1);
}

#[test]
fn check_finds_a_meta_that_went_back_in_time() {
    let sample = sample();
    let set = open(&sample.disk);
    let before = sample.disk.read_file("db/p000/tree.db").unwrap();
    put(&set, "one more", "v");
    merge_all(&set);
    put(&set, "two more", "v");
    merge_all(&set);
    sample.edit("db/p000/tree.db", |bytes| bytes[..2 * PAGE].copy_from_slice(&before[..2 * PAGE]));
    let findings = set.check(Depth::Quick).unwrap().findings;
    assert!(findings.iter().any(|f| f.what.contains("not the newest one")), "{findings:?}");
}

#[test]
fn check_finds_damage_to_every_kind_of_page() {
    let places = sample();
    for kind in [1, 2, 3, 4] {
        let page = places.current("db/p000/tree.db", kind)[0];
        check_finds("db/p000/tree.db", Some((page * PAGE) as u64), "checksum", |bytes| bytes[page * PAGE + 2000] ^= 1);
    }
}
