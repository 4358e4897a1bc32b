//! `database`: a whole directory with patches (see `patch.rs`), opened, scanned, written, closed, opened again.
//!
//! The input begins with flags u8: 1: the victim's process died (else it was closed in order); 2: the checksums of the
//! manifest, segment headers, metas and pages are put right after patching; 4: the victim's batches are large ones, in parts; 8: as
//! 2, and those of the log's records as well.
//!
//! Demanded: without new checksums, a closed database gives identical data or an error; one whose process died gives the
//! state after some of its batches, in order, or an error. Whatever opened takes a write, and has it after the next open.

use crate::input::Input;
use crate::patch::{Files, overwriting, patch};
use crate::{Target, Verdict, seal};
use halodb::Durability;
use halodb::pager::Identity;
use halodb::partition::{Batch, Create, Depth, Entropy, Options, PartitionSet, Result};
use halodb::vfs::SimVfs;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

pub(crate) const DATABASE: Target = Target { name: "database", max_len: 1024, run, seeds };

const DIR: &str = "data";
const PARTITIONS: u32 = 2;
const UUID: [u8; 16] = [7; 16];
const INCARNATION: u64 = 1;
/// Pages of nonsense may lead a cursor over the same leaf again and again.
const MOST_STEPS: usize = 4000;

type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

struct Victim {
    disk: SimVfs,
    paths: Vec<PathBuf>,
    files: Files,
    /// What it held after each batch.
    states: Vec<Pairs>,
}

static CLOSED: LazyLock<Victim> = LazyLock::new(|| Victim::new(true, None).expect("a database on an empty disk"));
static DIED: LazyLock<Victim> = LazyLock::new(|| Victim::new(false, None).expect("a database on an empty disk"));
static CLOSED_LARGE: LazyLock<Victim> =
    LazyLock::new(|| Victim::new(true, LARGE).expect("a database on an empty disk"));
static DIED_LARGE: LazyLock<Victim> = LazyLock::new(|| Victim::new(false, LARGE).expect("a database on an empty disk"));

/// Every batch of a victim has more bytes, and is three parts or four.
const LARGE: Option<u64> = Some(400);

fn open(disk: SimVfs, create: Create) -> Result<PartitionSet> {
    open_with(disk, create, None)
}

fn open_with(disk: SimVfs, create: Create, large_bytes: Option<u64>) -> Result<PartitionSet> {
    let mut options = Options::default();
    options.large_bytes = large_bytes;
    options.partitions = Some(PARTITIONS);
    options.page_size = Some(4096);
    options.segment_bytes = 4096;
    options.first_segment_bytes = 4096;
    options.create = create;
    let entropy = Entropy { uuid: UUID, incarnation: INCARNATION, hash_seed: 42 };
    PartitionSet::open(Arc::new(disk), Path::new(DIR), options, entropy, 0).map(|(set, _)| set)
}

impl Victim {
    fn new(closed: bool, large_bytes: Option<u64>) -> Result<Victim> {
        let disk = SimVfs::new();
        let set = open_with(disk.clone(), Create::IfMissing, large_bytes)?;
        let mut states = vec![Pairs::new()];
        for round in 0..8u32 {
            let mut pairs = states[states.len() - 1].clone();
            let mut batch = Batch::new();
            for n in 0..12 {
                let key = format!("{:03}/{}", (n * 17 + round * 5) % 97, "k".repeat(n as usize % 4 * 20)).into_bytes();
                let value = vec![round as u8; if n == 3 && round % 3 == 1 { 2500 } else { 10 + n as usize }];
                batch.put(&key, &value);
                pairs.insert(key, value);
            }
            if let Some(key) = pairs.keys().nth(7).cloned() {
                batch.delete(&key);
                pairs.remove(&key);
            }
            set.commit(&batch, Durability::Sync, u64::from(round))?;
            states.push(pairs);
            // The log and the trees both hold something that the other one lacks.
            if round % 3 == 1 {
                set.flush()?;
            }
        }
        if closed {
            set.close(9)?;
        }
        drop(set);
        let disk = disk.copy();
        let paths: Vec<PathBuf> = disk
            .files()
            .unwrap_or_default()
            .into_iter()
            .map(|(path, _)| path)
            .filter(|path| !path.ends_with("LOCK"))
            .collect();
        let files = paths.iter().map(|path| disk.read_file(path).ok().map(trimmed)).collect();
        Ok(Victim { disk, paths, files, states })
    }

    /// A disk with the patched files in place of the victim's.
    fn patched(&self, files: &Files) -> SimVfs {
        let disk = self.disk.copy();
        for ((path, before), after) in self.paths.iter().zip(&self.files).zip(files) {
            match after {
                _ if before == after => {}
                Some(bytes) => disk.write_file(path, bytes).expect("the directory is there"),
                None => halodb::vfs::Vfs::remove_file(&disk, path).expect("the file is there"),
            }
        }
        disk
    }
}

/// Page files grow in large steps; a fuzzer need not look for its bytes among zeros behind the last page.
fn trimmed(mut bytes: Vec<u8>) -> Vec<u8> {
    let used = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    if bytes.starts_with(b"HALOPAGE") {
        bytes.truncate(used.next_multiple_of(4096) + 4096);
    }
    bytes
}

fn put_right(paths: &[PathBuf], files: &mut Files, records: bool) {
    for (path, file) in paths.iter().zip(files) {
        let Some(bytes) = file else { continue };
        let partition = path.components().find_map(|c| c.as_os_str().to_str()?.strip_prefix('p')?.parse().ok());
        match partition {
            Some(file_id) => {
                let identity = Identity { uuid: UUID, incarnation: INCARNATION, file_id, page_size: 4096 };
                seal::page_file(bytes, &identity);
            }
            None if path.ends_with("MANIFEST") => seal::trailing(bytes, 96),
            None => {
                seal::trailing(bytes, 512);
                if records {
                    seal::log(bytes, &UUID);
                }
            }
        }
    }
}

fn run(data: &[u8]) -> Verdict {
    let mut input = Input::new(data);
    let flags = input.u8();
    let closed = flags & 1 == 0;
    let sealed = flags & (2 | 8) != 0;
    let victim = match (closed, flags & 4 != 0) {
        (true, false) => &*CLOSED,
        (false, false) => &*DIED,
        (true, true) => &*CLOSED_LARGE,
        (false, true) => &*DIED_LARGE,
    };
    let mut files = victim.files.clone();
    patch(&mut files, &mut input);
    if sealed {
        put_right(&victim.paths, &mut files, flags & 8 != 0);
    }
    let disk = victim.patched(&files);
    let Ok(set) = open(disk.clone(), Create::Never) else { return Verdict::Refused };
    let scanned = scan(&set);
    if let (Some(pairs), false) = (&scanned, sealed) {
        let newest = victim.states.len() - 1;
        let from = if closed { newest } else { 0 };
        assert!(victim.states[from..].contains(pairs), "the damage gave data that was never there");
    }
    let counted = set.snapshot().count(Bound::Unbounded, Bound::Unbounded);
    if let (Some(pairs), Ok(counted), false) = (&scanned, &counted, sealed) {
        assert_eq!(*counted, pairs.len() as u64, "the count is that of a scan");
    }
    for key in victim.states[victim.states.len() - 1].keys().step_by(9) {
        let found = set.get(key);
        if let (Some(pairs), Ok(found), false) = (&scanned, &found, sealed) {
            assert_eq!(found.as_deref(), pairs.get(key).map(Vec::as_slice), "a get agrees with a scan");
        }
    }
    let findings = set.check(Depth::Deep).map_or(1, |report| report.findings.len());
    assert!(sealed || scanned.is_some() || findings > 0, "a check finds what a scan found");
    let written = write(&set);
    drop(set);
    let whole = scanned.is_some() && findings == 0 && written.is_ok();
    if whole && !sealed {
        let again = open(disk, Create::Never).expect("a database that was whole and closed opens again");
        let found = again.get(b"one more").expect("and can be read");
        assert_eq!(found.as_deref(), Some(&b"value"[..]), "and has what was written");
    } else {
        drop(open(disk, Create::Never));
    }
    if whole { Verdict::Accepted } else { Verdict::Refused }
}

fn scan(set: &PartitionSet) -> Option<Pairs> {
    let mut cursor = set.snapshot().cursor();
    let mut pairs = Pairs::new();
    cursor.seek_first().ok()?;
    for _ in 0..MOST_STEPS {
        let Some(key) = cursor.key() else { return Some(pairs) };
        pairs.insert(key.to_vec(), cursor.value().ok()??.to_vec());
        cursor.next().ok()?;
    }
    None
}

fn write(set: &PartitionSet) -> Result<()> {
    let mut batch = Batch::new();
    batch.put(b"one more", b"value");
    batch.delete_range(b"030", Some(b"050"));
    batch.put(b"040", &[4; 3000]);
    set.commit(&batch, Durability::Sync, 20)?;
    set.close(21)
}

fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let victim = &*CLOSED;
    let number =
        |name: &str| victim.paths.iter().position(|path| path.to_string_lossy().contains(name)).unwrap_or(0) as u8;
    let (manifest, tree, log) = (number("MANIFEST"), number("p000"), number(".log"));
    let with = |flags: u8, patch: Vec<u8>| [&[flags][..], &patch].concat();
    vec![
        ("closed", vec![0]),
        ("died", vec![1]),
        ("closed-large", vec![4]),
        ("died-large", vec![5]),
        ("part", with(13, overwriting(log, 600, &[3]))),
        ("manifest", with(2, overwriting(manifest, 40, &[3]))),
        ("manifest-seed", with(2, overwriting(manifest, 48, &[3]))),
        ("segment", with(2, overwriting(log, 56, &[3]))),
        ("record", with(1, overwriting(log, 600, &[3]))),
        ("page", with(0, overwriting(tree, 2 * 4096 + 50, &[3]))),
        ("page-sealed", with(2, overwriting(tree, 2 * 4096 + 50, &[3]))),
        ("applied", with(2, overwriting(tree, 648, &[3]))),
        ("meta", with(1, overwriting(tree, 50, &[3]))),
        ("no-manifest", with(0, vec![6, manifest, 0, 0, 0, 0])),
        ("no-log", with(0, vec![6, log, 0, 0, 0, 0])),
        ("short-log", with(1, vec![5, log, 0, 3, 0, 0])),
    ]
}
