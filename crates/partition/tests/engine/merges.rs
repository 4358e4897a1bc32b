//! Merging: chunks, log that is given back, partitions that write nothing.

use crate::*;

fn fill(set: &PartitionSet, from: u32, to: u32) {
    for i in from..to {
        put(set, &format!("{:08x}", i.wrapping_mul(2_654_435_761)), &format!("value {i}"));
    }
}

#[test]
fn merging_changes_no_answer() {
    let disk = SimVfs::new();
    let set = open(&disk);
    fill(&set, 0, 3000);
    let before = all(&set.snapshot());
    merge_all(&set);
    assert_eq!(all(&set.snapshot()), before);
    assert_eq!(set.stats().tree_keys, 3000);
    assert_eq!(set.stats().memtable_versions, 0);
    assert_sound(&set);
}

#[test]
fn the_log_stays_below_its_limit_as_long_as_jobs_run() {
    let disk = SimVfs::new();
    let set = open(&disk);
    for round in 0..40 {
        fill(&set, round * 200, round * 200 + 200);
        settle(&set);
        let live = set.stats().log_live_bytes;
        assert!(live <= tiny().log_limit_bytes + 2 * tiny().segment_bytes, "{live} bytes live in round {round}");
    }
    assert!(set.stats().wal.segments <= 9, "{:?}", set.stats().wal);
}

#[test]
fn a_partition_that_nobody_writes_to_does_not_pin_the_log() {
    let disk = SimVfs::new();
    let mut options = tiny();
    options.partitions = Some(4);
    let (set, _) = try_open(&disk, options).unwrap();
    for i in 0..4000u32 {
        // One key: one partition gets everything, three are idle.
        put(&set, "the same key", &format!("{i} {}", "x".repeat(200)));
        settle(&set);
    }
    let live = set.stats().log_live_bytes;
    assert!(live <= tiny().log_limit_bytes + 2 * tiny().segment_bytes, "{live} bytes live");
}

#[test]
fn quiet_memtables_are_merged_after_the_idle_time() {
    let disk = SimVfs::new();
    let set = open(&disk);
    put(&set, "k", "v");
    let idle = tiny().idle_ms;
    assert!(set.next_job(idle - 1).is_none());
    set.next_job(idle).expect("due").run().unwrap();
    assert_eq!(set.stats().tree_keys, 1);
    assert!(set.next_job(10 * idle).is_none());
}

#[test]
fn a_job_that_is_dropped_is_handed_out_again() {
    let disk = SimVfs::new();
    let set = open(&disk);
    put(&set, "k", "v");
    set.freeze_all().unwrap();
    let job = set.next_job(0).expect("due");
    assert!(set.next_job(0).is_none(), "each job is handed out once");
    drop(job);
    set.next_job(0).expect("due again").run().unwrap();
    assert_eq!(set.stats().tree_keys, 1);
}

#[test]
fn deleting_everything_key_by_key_leaves_an_empty_tree_and_a_small_file() {
    let disk = SimVfs::new();
    let set = open(&disk);
    fill(&set, 0, 3000);
    merge_all(&set);
    let full = set.stats().pages;
    for (key, _) in all(&set.snapshot()) {
        let mut batch = Batch::new();
        batch.delete(key.as_bytes());
        commit(&set, &batch);
    }
    for _ in 0..3 {
        // Into every partition: what its last merge freed is given back by the next one.
        for key in 0..8u8 {
            let mut batch = Batch::new();
            batch.delete(&[key]);
            commit(&set, &batch);
        }
        put(&set, "last", "one");
        merge_all(&set);
    }
    assert_eq!(keys(&set.snapshot()), ["last"]);
    assert!(set.stats().pages < full / 2, "{} of {full} pages", set.stats().pages);
    assert_sound(&set);
}

#[test]
fn unsynced_writes_to_one_partition_do_not_let_an_idle_one_pin_the_log() {
    for key in ["a", "b", "c", "d"] {
        let disk = SimVfs::new();
        let mut options = tiny();
        options.memtable_bytes = 64 << 20;
        let (set, _) = try_open(&disk, options).unwrap();
        let mut batch = Batch::new();
        batch.put(key.as_bytes(), &[7; 2000]);
        for _ in 0..1000 {
            set.commit(&batch, Durability::Buffered, 0).unwrap();
            settle(&set);
        }
        let live = set.stats().log_live_bytes;
        assert!(live <= tiny().log_limit_bytes + 2 * tiny().segment_bytes, "{live} bytes live, key {key}");
    }
}

#[test]
fn partitions_that_hold_back_the_log_together_are_handed_out_together() {
    let disk = SimVfs::new();
    let mut options = tiny();
    options.memtable_bytes = 64 << 20;
    let (set, _) = try_open(&disk, options).unwrap();
    let mut batch = Batch::new();
    for i in 0..200 {
        batch.put(format!("{i}").as_bytes(), &[7; 2000]);
    }
    commit(&set, &batch);
    let first = set.next_job(0).expect("the log is beyond its limit");
    let second = set.next_job(0).expect("the other partition holds it back as well");
    assert_ne!(first.partition(), second.partition());
    assert!(set.next_job(0).is_none());
    first.run().unwrap();
    second.run().unwrap();
    assert_eq!(set.stats().tree_keys, 200);
}
