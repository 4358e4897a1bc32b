//! A batch sixteen times as large as the memory for what is not committed, and the recovery of it after a kill: how much memory both
//! take of the system. In processes of their own, as memory is counted by process.

#![cfg(target_os = "linux")]

use halodb_partition::{Durability, Entropy, ErrorKind, Options, Outcome, PartitionSet};
use halodb_vfs::OsVfs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Set for a child to what it does: `write` or `recover`. The directory is its second word.
const ROLE: &str = "HALODB_SPILLED_MEMORY";
const PAIRS: u64 = 1_600_000;
const VALUE_BYTES: usize = 150;
const UNCOMMITTED_BYTES: u64 = 16 << 20;
/// Of anonymous memory, which is what a process takes for itself: no pages of files.
const MOST_BYTES: u64 = 64 << 20;

fn open(dir: &Path) -> PartitionSet {
    let mut options = Options::default();
    options.partitions = Some(2);
    options.memtable_bytes = 8 << 20;
    options.uncommitted_bytes = Some(UNCOMMITTED_BYTES);
    let entropy = Entropy { uuid: [3; 16], incarnation: 1, hash_seed: 5 };
    PartitionSet::open(Arc::new(OsVfs), dir, options, entropy, 0).expect("it opens").0
}

/// Keys in no order, each once.
fn key(n: u64) -> String {
    format!("{:024x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn anonymous_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("there is one");
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("it says so");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") << 10
}

/// What `work` takes at its highest, beyond what the process had.
fn peak(work: impl FnOnce()) -> u64 {
    let (highest, is_done) = (AtomicU64::new(0), AtomicBool::new(false));
    let before = anonymous_bytes();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Acquire) {
                highest.fetch_max(anonymous_bytes(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        work();
        is_done.store(true, Ordering::Release);
    });
    highest.into_inner().saturating_sub(before)
}

fn check(set: &PartitionSet) {
    for n in (0..PAIRS).step_by(9973) {
        let value = set.get(key(n).as_bytes()).expect("readable").expect("it is there");
        assert_eq!(value.len(), VALUE_BYTES);
        assert_eq!(value[..8], n.to_le_bytes());
    }
    let mut cursor = set.snapshot().cursor();
    cursor.seek_first().expect("readable");
    let mut pairs = 0;
    while cursor.key().is_some() {
        pairs += 1;
        cursor.next().expect("readable");
    }
    assert_eq!(pairs, PAIRS);
}

fn write(dir: &Path) {
    let set = open(dir);
    let mut staged = set.stage();
    let mut value = [7; VALUE_BYTES];
    for n in 0..PAIRS {
        value[..8].copy_from_slice(&n.to_le_bytes());
        staged.put(key(n).as_bytes(), &value).expect("room on the disk");
    }
    assert!(set.uncommitted_bytes() <= UNCOMMITTED_BYTES);
    let committed = set.commit_staged(&mut staged, &[], Durability::Buffered, 0).expect("it is committed");
    assert!(matches!(committed, Outcome::Committed(_)));
    check(&set);
    // Nothing is merged, and nobody closes it.
    std::mem::forget(set);
}

fn recover(dir: &Path) {
    let set = open(dir);
    assert!(set.stats().run_bytes > PAIRS * VALUE_BYTES as u64, "it was replayed to files");
    check(&set);
    while let Some(job) = set.next_job(0) {
        job.run().expect("a merge");
    }
    assert_eq!(set.stats().run_bytes, 0);
    check(&set);
    match set.close(0) {
        Err(e) if e.kind() != ErrorKind::Closed => panic!("{e}"),
        _ => {}
    }
}

#[test]
fn a_batch_larger_than_memory_and_its_recovery_take_a_few_times_the_memory_they_may_hold() {
    if let Ok(role) = std::env::var(ROLE) {
        let (what, dir) = role.split_once(' ').expect("two words");
        let work = match what {
            "write" => write,
            _ => recover,
        };
        let bytes = peak(|| work(Path::new(dir)));
        println!("{what}: {} MiB of anonymous memory", bytes >> 20);
        assert!(bytes < MOST_BYTES, "{what} took {} MiB", bytes >> 20);
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let program = std::env::current_exe().expect("it runs");
    for what in ["write", "recover"] {
        let role = format!("{what} {}", dir.path().join("db").display());
        let status = Command::new(&program).arg("--nocapture").env(ROLE, role).status().expect("it starts");
        assert!(status.success(), "{what}: {status}");
    }
}
