//! A torn tail is dropped and reported; a rotten middle is refused. One case a test.

mod common;
use common::*;
use halodb_vfs::{SimVfs, Vfs};
use halodb_wal::{Durability, Error, Known, Lsn, RecordKind, Wal};
use std::sync::Arc;

use Durability::{Memory, Sync};

/// A crashed log: records 1 to `synced` each a synced group of its own, then `unsynced` records written as one group.
fn crashed(synced: u64, unsynced: u64) -> SimVfs {
    let sim = disk();
    let wal = create(&sim);
    for n in 1..=synced {
        wal.append(vec![n as u8; 100], 0, Sync).unwrap();
    }
    for n in 1..=unsynced {
        wal.append(vec![n as u8; 100], 0, Memory).unwrap();
    }
    wal.flush().unwrap();
    sim
}

fn offset_of(sim: &SimVfs, number: u64, lsn: u64) -> u64 {
    records_of(sim, number).iter().find(|(_, h)| h.lsn == Lsn(lsn)).unwrap().0
}

fn is_corrupt_at(result: halodb_wal::Result<(halodb_wal::Recovery, Commits)>, number: u64, at: u64) {
    match result {
        Err(Error::Corrupt { path, offset, .. }) => assert_eq!((path, offset), (segment(number), at)),
        other => panic!("expected corruption at byte {at} of segment {number}, got {other:?}"),
    }
}

fn lsns(commits: &Commits) -> Vec<u64> {
    commits.iter().map(|c| c.0).collect()
}

#[test]
fn a_torn_record_of_an_unsynced_group_is_dropped_with_everything_behind_it() {
    let sim = crashed(3, 4);
    let at = offset_of(&sim, 1, 5);
    flip(&sim, &segment(1), at + 50);
    let (recovery, commits) = recover(&sim).unwrap();
    assert_eq!(lsns(&commits), [1, 2, 3, 4]);
    let dropped = recovery.dropped().unwrap();
    assert_eq!((dropped.from, dropped.offset, dropped.valid_after), (Lsn(5), at, 2));
    assert_eq!(dropped.path, segment(1));
    assert_eq!(recovery.proven(), Lsn(3));
}

#[test]
fn a_zeroed_record_with_valid_ones_behind_it_is_a_tail_too() {
    let sim = crashed(3, 4);
    let at = offset_of(&sim, 1, 4) as usize;
    let mut bytes = read(&sim, &segment(1));
    bytes[at..at + 152].fill(0);
    write(&sim, &segment(1), &bytes);
    let (recovery, commits) = recover(&sim).unwrap();
    assert_eq!(lsns(&commits), [1, 2, 3]);
    assert_eq!(recovery.dropped().unwrap().valid_after, 3);
}

#[test]
fn a_bad_record_below_a_later_proof_is_corruption_with_file_and_offset() {
    for damaged in [1, 2] {
        let sim = crashed(3, 0);
        let at = offset_of(&sim, 1, damaged);
        flip(&sim, &segment(1), at + 60);
        is_corrupt_at(recover(&sim), 1, at);
    }
}

#[test]
fn a_bad_record_below_a_proof_that_lies_behind_a_hole_is_corruption() {
    // Record 3 states that 2 is synced. Were its own place not scanned for, losing 2 would look like a tail.
    let sim = crashed(3, 0);
    let at = offset_of(&sim, 1, 2);
    let mut bytes = read(&sim, &segment(1));
    bytes[at as usize..at as usize + 152].fill(0);
    write(&sim, &segment(1), &bytes);
    is_corrupt_at(recover(&sim), 1, at);
}

#[test]
fn the_last_synced_group_is_unproven_until_a_marker_or_a_meta_states_it() {
    let sim = crashed(3, 0);
    let at = offset_of(&sim, 1, 3);
    flip(&sim, &segment(1), at + 60);
    let (recovery, commits) = recover(&sim).unwrap();
    assert_eq!(lsns(&commits), [1, 2]);
    assert_eq!(recovery.dropped().unwrap().from, Lsn(3));
    let known = Known { synced: Lsn(3), ..Known::default() };
    is_corrupt_at(recover_known(&sim, known), 1, at);
    let known = Known { applied_max: Lsn(3), ..Known::default() };
    is_corrupt_at(recover_known(&sim, known), 1, at);
}

#[test]
fn a_marker_proves_the_group_before_it() {
    let sim = disk();
    let wal = create(&sim);
    wal.append(vec![1; 100], 0, Sync).unwrap();
    wal.idle(0).unwrap();
    assert!(wal.idle(0).unwrap());
    drop(wal);
    let at = offset_of(&sim, 1, 1);
    flip(&sim, &segment(1), at + 60);
    is_corrupt_at(recover(&sim), 1, at);
}

#[test]
fn a_clean_close_proves_everything_before_it() {
    let sim = disk();
    let wal = create(&sim);
    wal.append(vec![1; 100], 0, Memory).unwrap();
    wal.close(0).unwrap();
    let at = offset_of(&sim, 1, 1);
    flip(&sim, &segment(1), at);
    is_corrupt_at(recover(&sim), 1, at);
}

#[test]
fn a_rotten_close_marker_makes_the_open_one_after_a_crash() {
    let sim = disk();
    let wal = create(&sim);
    wal.append(vec![1; 100], 0, Sync).unwrap();
    wal.close(0).unwrap();
    flip(&sim, &segment(1), offset_of(&sim, 1, 2));
    let (recovery, commits) = recover(&sim).unwrap();
    assert_eq!((lsns(&commits), recovery.clean()), (vec![1], false));
    assert!(recovery.dropped().is_some());
    assert_eq!(recovery.into_wal().unwrap().append(vec![], 0, Sync).unwrap(), Lsn(2 * GAP));
}

#[test]
fn the_header_of_the_next_segment_proves_the_whole_one_before_it() {
    let sim = crashed(60, 0);
    let last = records_of(&sim, 1).last().unwrap().0;
    flip(&sim, &segment(1), last + 60);
    is_corrupt_at(recover(&sim), 1, last);
}

#[test]
fn bytes_behind_the_end_of_a_finished_segment_are_never_read() {
    let sim = crashed(60, 0);
    flip(&sim, &segment(1), 4095);
    assert_eq!(recover(&sim).unwrap().1.len(), 60);
}

#[test]
fn a_dropped_tail_stays_dropped_when_the_next_open_crashes_too() {
    let sim = crashed(2, 4);
    let at = offset_of(&sim, 1, 4);
    let good = read(&sim, &segment(1));
    flip(&sim, &segment(1), at + 50);
    let (wal, commits) = reopen(&sim);
    assert_eq!(lsns(&commits), [1, 2, 3]);
    drop(wal);
    // As if the cache had hidden a good sector: the old bytes are back, and must not come to life.
    write(&sim, &segment(1), &good);
    let (_, commits) = reopen(&sim);
    assert_eq!(lsns(&commits), [1, 2, 3]);
}

#[test]
fn a_missing_segment_is_corruption_if_it_is_needed_and_ignored_if_not() {
    let sim = crashed(100, 0);
    sim.remove_file(&segment(2)).unwrap();
    is_corrupt_at(recover(&sim), 2, 0);
    let first_of_4 = records_of(&sim, 4)[0].1.lsn;
    let known = Known { applied_min: first_of_4, applied_max: first_of_4, synced: first_of_4 };
    let (recovery, commits) = recover_known(&sim, known).unwrap();
    assert_eq!(commits.len() as u64, 100 - first_of_4.0);
    let wal = recovery.into_wal().unwrap();
    assert_eq!(wal.recycle(first_of_4).unwrap(), 2, "segments 1 and 3 are left over");
    assert!(sim.kind(&segment(1)).unwrap().is_none());
}

#[test]
fn a_missing_newest_segment_is_noticed_by_the_spare_one_above_it() {
    let sim = disk();
    let wal = create(&sim);
    for _ in 0..3 {
        wal.append(vec![1; 2500], 0, Sync).unwrap();
    }
    wal.make_room(0).unwrap();
    assert!(sim.kind(&segment(4)).unwrap().is_some());
    drop(wal);
    sim.remove_file(&segment(3)).unwrap();
    is_corrupt_at(recover(&sim), 3, 0);
}

#[test]
fn a_segment_whose_header_vanished_is_not_taken_for_a_spare_one() {
    let sim = crashed(60, 0);
    let newest = (1..).take_while(|&n| sim.kind(&segment(n)).unwrap().is_some()).last().unwrap();
    let mut bytes = read(&sim, &segment(newest));
    bytes[..512].fill(0);
    write(&sim, &segment(newest), &bytes);
    is_corrupt_at(recover(&sim), newest, 0);
}

/// A fuzzer found it: with the header, the first record had vanished, as when a file system gives back a block of zeros.
/// The rest of the segment, acknowledged as durable, was overwritten without a word.
#[test]
fn a_segment_whose_beginning_vanished_is_not_taken_for_a_spare_one() {
    for (zeros, clean) in [(1024, false), (1024, true), (2048, true)] {
        let sim = disk();
        let wal = create(&sim);
        for n in 0..40 {
            wal.append(vec![n; 200], 0, Sync).unwrap();
        }
        if clean {
            wal.close(0).unwrap();
        }
        drop(wal);
        let newest = (1..)
            .take_while(|&n| sim.kind(&segment(n)).unwrap().is_some())
            .filter(|&n| !records_of(&sim, n).is_empty())
            .last()
            .unwrap();
        let mut bytes = read(&sim, &segment(newest));
        assert!(bytes[zeros..].iter().any(|b| *b != 0), "records stand behind the zeros");
        bytes[..zeros].fill(0);
        write(&sim, &segment(newest), &bytes);
        is_corrupt_at(recover(&sim), newest, 0);
    }
}

/// What recovery refuses can still be read record by record, and what is missing has a number.
#[test]
fn a_rescue_gives_every_record_that_verifies_and_names_the_missing_ones() {
    let sim = crashed(6, 0);
    for lsn in [2, 4] {
        flip(&sim, &segment(1), offset_of(&sim, 1, lsn) + 60);
    }
    let header = halodb_wal::SegmentHeader::decode(&read(&sim, &segment(1))).unwrap();
    let mut seen = Vec::new();
    let dir = segment(1);
    let found = halodb_wal::rescue(&sim, dir.parent().unwrap(), &header.uuid, header.incarnation, &mut |record| {
        seen.push(record.lsn.0);
    })
    .unwrap();
    assert_eq!(seen, [1, 3, 5, 6]);
    assert_eq!(found.missing, [(Lsn(2), Lsn(2)), (Lsn(4), Lsn(4))]);
    assert_eq!((found.span, found.before), (Some((Lsn(1), Lsn(6))), Some(Lsn(0))));
    assert_eq!(found.findings.len(), 2, "{:?}", found.findings);
    assert!(found.findings[0].offset.is_some());
    // Of another database nothing is taken.
    let found =
        halodb_wal::rescue(&sim, dir.parent().unwrap(), &[0; 16], 0, &mut |_| panic!("a foreign record")).unwrap();
    assert_eq!(found.records, 0);
}

#[test]
fn records_in_any_spare_segment_are_refused_before_the_log_is_written_to() {
    let sim = disk();
    let wal = create(&sim);
    for n in 0..40 {
        wal.append(vec![n; 200], 0, Sync).unwrap();
    }
    drop(wal);
    for number in [2, 3] {
        let mut bytes = read(&sim, &segment(number));
        let len = if number == 2 { bytes.len() } else { 1024 };
        bytes[..len].fill(0);
        write(&sim, &segment(number), &bytes);
    }
    is_corrupt_at(recover(&sim), 3, 0);
}

#[test]
fn a_cut_segment_is_corruption_at_its_new_end() {
    let sim = crashed(3, 0);
    let bytes = read(&sim, &segment(1));
    write(&sim, &segment(1), &bytes[..4000]);
    is_corrupt_at(recover(&sim), 1, 4000);
}

/// The newest segment changed places with a spare one: under its new name it looks like a recycled one, under its old name
/// like one that was never begun, and what was acknowledged in it vanished without a word.
#[test]
fn a_segment_that_changed_places_with_a_spare_one_is_refused() {
    let sim = crashed(60, 0);
    let newest = (1..).take_while(|&n| sim.kind(&segment(n)).unwrap().is_some()).last().unwrap();
    let bytes = read(&sim, &segment(newest));
    write(&sim, &segment(newest), &vec![0; bytes.len()]);
    write(&sim, &segment(newest + 1), &bytes);
    is_corrupt_at(recover(&sim), newest + 1, 0);
}

/// Under its new name the old segment looked like a recycled one, and under the old name the newest looked like a left-over.
#[test]
fn the_newest_segment_that_changed_places_with_one_no_longer_needed_is_refused() {
    let sim = crashed(60, 0);
    let newest = (1..).take_while(|&n| sim.kind(&segment(n)).unwrap().is_some()).last().unwrap();
    let known = Known { applied_min: records_of(&sim, newest - 1)[0].1.lsn, ..Known::default() };
    let (old, new) = (read(&sim, &segment(1)), read(&sim, &segment(newest)));
    write(&sim, &segment(1), &new);
    write(&sim, &segment(newest), &old);
    is_corrupt_at(recover_known(&sim, known), 1, 0);
}

#[test]
fn a_segment_under_a_lower_number_is_refused() {
    let sim = crashed(60, 0);
    let bytes = read(&sim, &segment(2));
    write(&sim, &segment(1), &bytes);
    is_corrupt_at(recover(&sim), 1, 0);
}

#[test]
fn a_log_that_starts_after_what_is_needed_is_refused() {
    let sim = crashed(60, 0);
    sim.remove_file(&segment(1)).unwrap();
    is_corrupt_at(recover(&sim), 2, 0);
}

#[test]
fn records_of_the_former_life_of_a_recycled_segment_do_not_verify() {
    let sim = disk();
    // With room for bytes of the former life behind the first witness.
    let options = halodb_wal::WalOptions { segment_bytes: 16 << 10, first_segment_bytes: 16 << 10, ..options() };
    let wal = Wal::create(std::sync::Arc::new(sim.clone()), &dir(), options).unwrap();
    let mut last = 0;
    for _ in 0..480 {
        last = wal.append(vec![1; 100], 0, Sync).unwrap().0;
    }
    assert!(wal.recycle(Lsn(last)).unwrap() > 2);
    let recycled = (1..).find(|&n| sim.kind(&segment(n)).unwrap().is_some() && read(&sim, &segment(n))[16] < n as u8);
    let recycled = recycled.expect("a segment was recycled");
    while wal.check().unwrap().is_empty() && records_of(&sim, recycled).is_empty() {
        last = wal.append(vec![2; 100], 0, Sync).unwrap().0;
    }
    let bytes = read(&sim, &segment(recycled));
    assert!(bytes[8192..].windows(100).any(|run| run == [1; 100]), "bytes of the former life are still there");
    drop(wal);
    let known = Known { applied_min: Lsn(last - 1), ..Known::default() };
    let (recovery, commits) = recover_known(&sim, known).unwrap();
    assert_eq!(lsns(&commits), [last]);
    assert_eq!(recovery.dropped(), None, "old bytes are not reported as a dropped tail");
}

#[test]
fn a_payload_that_is_a_copy_of_the_log_does_not_verify() {
    let sim = disk();
    let wal = create(&sim);
    wal.append(b"drop the table".to_vec(), 0, Sync).unwrap();
    let log = read(&sim, &segment(1));
    let copy = log[512..800].to_vec();
    // Written, not synced, and torn: recovery scans through the payload.
    wal.append(copy, 0, Memory).unwrap();
    wal.flush().unwrap();
    drop(wal);
    let at = offset_of(&sim, 1, 2);
    flip(&sim, &segment(1), at);
    let (recovery, commits) = recover(&sim).unwrap();
    assert_eq!(lsns(&commits), [1]);
    assert_eq!(recovery.dropped().unwrap().valid_after, 0);
}

#[test]
fn surviving_records_prove_what_they_state() {
    let (recovery, commits) = recover(&crashed(3, 4)).unwrap();
    assert_eq!((recovery.proven(), recovery.last(), commits.len()), (Lsn(3), Lsn(7), 7));
    assert_eq!(recovery.dropped(), None);
}

#[test]
fn a_lost_open_record_with_a_valid_commit_behind_it_is_an_unclean_end() {
    let sim = disk();
    create(&sim).close(0).unwrap();
    let (wal, _) = reopen(&sim);
    wal.append(vec![1; 10], 0, Sync).unwrap();
    drop(wal);
    let (at, open) = records_of(&sim, 1)[1];
    assert_eq!(open.kind, RecordKind::Open);
    let mut bytes = read(&sim, &segment(1));
    bytes[at as usize..at as usize + 48].fill(0);
    write(&sim, &segment(1), &bytes);
    let (recovery, _) = recover(&sim).unwrap();
    assert!(!recovery.clean());
    assert_eq!(recovery.dropped().unwrap().valid_after, 1);
}

fn small_log() -> (SimVfs, Commits) {
    let sim = disk();
    let wal = create(&sim);
    for n in 0..50_u64 {
        wal.append(vec![n as u8; (n * 7 % 130) as usize], n, if n % 3 == 0 { Memory } else { Sync }).unwrap();
    }
    wal.flush().unwrap();
    drop(wal);
    let (_, commits) = recover(&sim).unwrap();
    (sim, commits)
}

/// A damaged log gives a typed error, or a prefix; and if anything is missing, the drop is reported.
fn check_damaged(sim: &SimVfs, whole: &Commits, what: &str) -> bool {
    match recover(sim) {
        Err(Error::Corrupt { .. } | Error::Mismatch { .. } | Error::Version { .. }) => true,
        Err(e) => panic!("{what}: {e}"),
        Ok((recovery, commits)) => {
            assert!(whole.starts_with(&commits), "{what}: invented or changed records");
            let silent = commits.len() < whole.len() && recovery.dropped().is_none();
            assert!(!silent, "{what}: records are missing and nothing was said");
            // Only the last group may ever be given up.
            assert!(commits.len() + 3 >= whole.len(), "{what}: proven records were dropped");
            false
        }
    }
}

#[test]
fn every_flipped_bit_of_a_small_log_is_refused_or_harmless_or_a_reported_tail() {
    let (sim, whole) = small_log();
    let mut refused = 0;
    for (path, len) in sim.files().unwrap() {
        for bit in 0..len * 8 {
            let image = sim.copy();
            image.flip_bit(&path, bit).unwrap();
            refused += u32::from(check_damaged(&image, &whole, &format!("bit {bit} of {}", path.display())));
        }
    }
    assert!(refused > 30_000, "{refused}");
}

#[test]
fn every_truncation_of_a_small_log_is_refused_or_harmless_or_a_reported_tail() {
    let (sim, whole) = small_log();
    for (path, len) in sim.files().unwrap() {
        let bytes = sim.read_file(&path).unwrap();
        for cut in 0..len as usize {
            let image = sim.copy();
            image.write_file(&path, &bytes[..cut]).unwrap();
            check_damaged(&image, &whole, &format!("{} cut to {cut}", path.display()));
        }
    }
}

#[test]
fn an_open_log_finds_damage_in_its_segments() {
    let sim = disk();
    let wal: Wal = create(&sim);
    for _ in 0..60 {
        wal.append(vec![1; 100], 0, Sync).unwrap();
    }
    assert_eq!(wal.check().unwrap(), []);
    let at = offset_of(&sim, 1, 5);
    flip(&sim, &segment(1), at + 50);
    flip(&sim, &segment(2), 40);
    let findings = wal.check().unwrap();
    let places: Vec<_> = findings.iter().map(|f| (f.path.clone(), f.offset)).collect();
    assert_eq!(places, [(segment(1), Some(at)), (segment(2), Some(0))]);
    assert!(matches!(wal.read_from(Lsn(1), &mut |_| true), Err(Error::Corrupt { .. })));
}

#[test]
fn a_half_written_header_of_the_next_segment_is_reported_and_its_lsns_are_skipped() {
    let sim = crashed(60, 0);
    let newest = (1..).take_while(|&n| sim.kind(&segment(n)).unwrap().is_some()).last().unwrap();
    let (wal, _) = reopen(&sim);
    assert_eq!(wal.append(vec![], 0, Memory).unwrap(), Lsn(2 * GAP));
    drop(wal);
    flip(&sim, &segment(newest + 1), 20);
    let (recovery, commits) = recover(&sim).unwrap();
    assert_eq!(commits.len(), 60);
    assert_eq!(recovery.dropped().unwrap().path, segment(newest + 1));
    let wal = recovery.into_wal().unwrap();
    assert_eq!(wal.append(vec![], 0, Sync).unwrap(), Lsn(3 * GAP));
    drop(wal);
    // With a record behind it, it was begun, and is corrupt.
    flip(&sim, &segment(newest + 1), 20);
    is_corrupt_at(recover(&sim), newest + 1, 0);
}

/// A fuzzer found it: the length of a prepared file that somebody had cut went into the header of the segment that was
/// begun in it, and that header did not decode at the next open. Records acknowledged as durable were behind it.
#[test]
fn a_prepared_segment_of_an_odd_length_is_begun_so_that_it_can_be_read_again() {
    for (keep, clean) in [(4093, true), (4093, false), (4099, true), (4099, false), (513, true), (519, false)] {
        let sim = disk();
        let wal = create(&sim);
        wal.append(vec![0; 2500], 0, Sync).unwrap();
        wal.make_room(0).unwrap();
        if clean {
            wal.close(0).unwrap();
        }
        drop(wal);
        let mut bytes = read(&sim, &segment(2));
        bytes.resize(keep, 0);
        write(&sim, &segment(2), &bytes);
        let (wal, _) = reopen(&sim);
        for n in 1..6 {
            wal.append(vec![n; 1000], 0, Sync).unwrap();
        }
        drop(wal);
        let (_, commits) = recover(&sim).unwrap_or_else(|e| panic!("{keep} bytes, clean close {clean}: {e}"));
        assert_eq!(commits.len(), 6, "{keep} bytes, clean close {clean}");
    }
}

/// A log of segments that have room after an orderly end, closed in order, with a prepared segment behind it.
fn closed_with_room() -> (SimVfs, halodb_wal::WalOptions) {
    let options =
        halodb_wal::WalOptions { segment_bytes: 64 << 10, first_segment_bytes: 64 << 10, ..common::options() };
    let sim = disk();
    let wal = Wal::create(Arc::new(sim.clone()), &dir(), options.clone()).unwrap();
    for n in 0..40 {
        wal.append(vec![n; 1000], 0, Sync).unwrap();
    }
    wal.close(0).unwrap();
    drop(wal);
    write(&sim, &segment(2), &vec![0; 64 << 10]);
    (sim, options)
}

fn recover_with(sim: &SimVfs, options: &halodb_wal::WalOptions) -> halodb_wal::Result<halodb_wal::Recovery> {
    let each = &mut |_: halodb_wal::Record<'_>| halodb_wal::Result::Ok(());
    Wal::recover(Arc::new(sim.clone()), &dir(), options.clone(), Known::default(), each)
}

#[test]
fn after_an_orderly_end_with_room_behind_it_only_the_headers_of_prepared_segments_are_read() {
    let calls = |sim: &SimVfs, options: &halodb_wal::WalOptions| {
        let before = sim.calls();
        recover_with(sim, options).unwrap();
        sim.calls() - before
    };
    let with_and_without_spare = |is_clean: bool| {
        let (sim, options) = closed_with_room();
        if !is_clean {
            // Without its last record the log has no orderly end.
            let (at, _) = *records_of(&sim, 1).last().unwrap();
            flip(&sim, &segment(1), at);
        }
        assert_eq!(recover_with(&sim, &options).unwrap().clean(), is_clean);
        let with = calls(&sim, &options);
        sim.remove_file(&segment(2)).unwrap();
        with - calls(&sim, &options)
    };
    // Its header is read in either case.
    let header = with_and_without_spare(true);
    assert_eq!(with_and_without_spare(false) - header, 3, "open, measure and read the prepared segment");
}

#[test]
fn a_segment_begun_after_an_orderly_end_is_missed_when_its_header_vanishes() {
    // The second one is too large for what is left of the first segment: only the open record goes there.
    for payload in [100, 40_000] {
        let (sim, options) = closed_with_room();
        let wal = recover_with(&sim, &options).unwrap().into_wal().unwrap();
        for n in 0..200 {
            wal.append(vec![n; payload], 0, Sync).unwrap();
            if records_of(&sim, 2).len() == 1 {
                break;
            }
        }
        drop(wal);
        let mut bytes = read(&sim, &segment(2));
        bytes[..512].fill(0);
        write(&sim, &segment(2), &bytes);
        let refused = recover_with(&sim, &options).unwrap_err();
        assert!(matches!(refused, halodb_wal::Error::Corrupt { .. }), "{payload}: {refused}");
    }
}
