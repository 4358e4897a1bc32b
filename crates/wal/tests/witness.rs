//! What a killed process left is damaged in one place: one block or sector is lost, old, or in the place of another.
//!
//! The claims: the log is as it was, or refused, or ends before its last group and says so. The witness behind that group is in
//! nobody's way: not of a clean close, not of a torn write, not of the groups that follow.

mod common;
use common::*;
use halodb_vfs::{SimVfs, Vfs};
use halodb_wal::{Durability, Error, HEADER_LEN, Lsn, Place, RecordHeader, RecordKind, Wal, WalOptions};
use std::sync::Arc;

use Durability::{Buffered, Memory, Sync};

const BLOCK: usize = 4096;

fn log(sim: &SimVfs, segment_bytes: u64) -> Wal {
    let options = WalOptions { segment_bytes, first_segment_bytes: segment_bytes, ..options() };
    Wal::create(Arc::new(sim.clone()), &dir(), options).unwrap()
}

fn newest(sim: &SimVfs) -> u64 {
    let live = |&n: &u64| sim.kind(&segment(n)).unwrap().is_some() && !records_of(sim, n).is_empty();
    (1..100).rfind(live).unwrap()
}

/// Offsets of all that looks like a witness of segment `number` in its place.
fn witnesses(sim: &SimVfs, number: u64) -> Vec<(usize, RecordHeader)> {
    let bytes = read(sim, &segment(number));
    let place = Place::new(&UUID, number);
    let at = |at: usize| RecordHeader::decode(&bytes[at..], place, at as u64).ok().map(|header| (at, header));
    let all = (0..bytes.len()).step_by(BLOCK).filter_map(at);
    all.filter(|(_, header)| header.kind == RecordKind::Witness).collect()
}

/// Every damage to one piece of `bytes`, or to two that change places: what it is, and what comes of it.
fn damages(bytes: &[u8], older: &[Vec<u8>], unit: usize) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    let mut damage = |what: String, change: &dyn Fn(&mut [u8])| {
        let mut damaged = bytes.to_vec();
        change(&mut damaged);
        if damaged != bytes {
            all.push((what, damaged));
        }
    };
    let used = bytes.iter().rposition(|&b| b != 0).unwrap() + 1;
    for at in (0..used.next_multiple_of(unit)).step_by(unit) {
        let piece = at..at + unit;
        damage(format!("{unit} zeros at {at}"), &|b| b[piece.clone()].fill(0));
        for (age, older) in older.iter().enumerate() {
            damage(format!("{unit} bytes at {at} as in state {age}"), &|b| {
                b[piece.clone()].copy_from_slice(&older[piece.clone()]);
            });
        }
        for other in (at + unit..bytes.len()).step_by(unit) {
            damage(format!("{unit} bytes at {at} and {other} change places"), &|b| {
                let (front, back) = b.split_at_mut(other);
                front[piece.clone()].swap_with_slice(&mut back[..unit]);
            });
        }
    }
    all
}

/// Damages the newest segment of `sim` everywhere, whose last group begins with `last_group`, and whose segment looked like
/// `older` before. Returns how often the log was intact, refused, and shorter.
fn judge(sim: &SimVfs, last_group: u64, older: &[Vec<u8>]) -> [u64; 3] {
    let number = newest(sim);
    let bytes = read(sim, &segment(number));
    let (_, intact) = recover(sim).unwrap();
    let mut fates = [0; 3];
    for unit in [512, BLOCK] {
        for (what, damaged) in damages(&bytes, older, unit) {
            write(sim, &segment(number), &damaged);
            match recover(sim) {
                Err(Error::Corrupt { .. }) => fates[1] += 1,
                Err(e) => panic!("{what}: {e}"),
                Ok((_, commits)) if commits == intact => fates[0] += 1,
                Ok((recovery, commits)) => {
                    let dropped = recovery.dropped().unwrap_or_else(|| panic!("{what}: records vanished in silence"));
                    assert!(dropped.from.0 >= last_group, "{what}: dropped from {} on", dropped.from);
                    assert_eq!(commits[..], intact[..commits.len()], "{what}");
                    fates[2] += 1;
                }
            }
        }
    }
    write(sim, &segment(number), &bytes);
    fates
}

#[test]
fn no_damage_in_one_place_takes_more_than_the_last_group_or_anything_in_silence() {
    let mut fates = [0; 3];
    // The groups end in the middle of blocks, near their ends, at them, and behind several of them.
    for sizes in [[100, 100], [900, 905], [1344, 1992], [3488, 4048], [7000, 300], [40, 9000]] {
        for groups in [1, 2, 3, 4, 7, 12] {
            let sim = disk();
            let wal = log(&sim, 32 << 10);
            let mut states = Vec::new();
            let mut last = Lsn(0);
            for n in 0..groups {
                states.push(if n > 0 { read(&sim, &segment(newest(&sim))) } else { vec![0; 32 << 10] });
                last = wal.append(vec![n as u8; sizes[n % 2]], 0, Sync).unwrap();
            }
            drop(wal);
            let older = &states[states.len().saturating_sub(3)..];
            for (sum, n) in fates.iter_mut().zip(judge(&sim, last.0, older)) {
                *sum += n;
            }
        }
    }
    assert!(fates.iter().all(|&n| n > 1000), "{fates:?}");
}

#[test]
fn groups_that_were_not_synced_leave_the_proof_of_the_last_that_was() {
    for len in [10, 300, 3384, 3432, 3440, 3480, 3500, 6000] {
        for groups in 1..6 {
            let sim = disk();
            let wal = log(&sim, 64 << 10);
            wal.append(vec![1; 100], 0, Sync).unwrap();
            wal.append(vec![2; 200], 0, Sync).unwrap();
            for n in 0..groups {
                wal.append(vec![3 + n; len], 0, Buffered).unwrap();
            }
            drop(wal);
            let mut bytes = read(&sim, &segment(1));
            bytes[512..BLOCK].fill(0);
            write(&sim, &segment(1), &bytes);
            match recover(&sim) {
                Err(Error::Corrupt { .. }) => {}
                Err(e) => panic!("{groups} groups of {len} bytes: {e}"),
                Ok((recovery, _)) => {
                    let from = recovery.dropped().expect("a drop is reported").from;
                    assert!(from >= Lsn(2), "{groups} groups of {len} bytes: dropped from {from} on");
                }
            }
        }
    }
}

#[test]
fn what_was_written_before_somebody_wanted_it_synced_has_a_witness_too() {
    let sim = disk();
    let wal = log(&sim, 16 << 10);
    wal.append(vec![1; 100], 0, Memory).unwrap();
    wal.append(vec![2; 100], 0, Memory).unwrap();
    wal.flush().unwrap();
    assert_eq!(witnesses(&sim, 1), []);
    wal.sync().unwrap();
    assert_eq!(witnesses(&sim, 1)[0].1.lsn, Lsn(2));
    drop(wal);
    assert_eq!(recover(&sim).unwrap().0.dropped(), None);
    let mut bytes = read(&sim, &segment(1));
    bytes[512..BLOCK].fill(0);
    write(&sim, &segment(1), &bytes);
    assert_eq!(recover(&sim).unwrap().0.dropped().unwrap().from, Lsn(1));
}

#[test]
fn a_log_closed_in_order_is_clean_wherever_in_its_block_it_ends() {
    for len in (0..BLOCK + 64).step_by(8) {
        let sim = disk();
        let wal = log(&sim, 32 << 10);
        wal.append(vec![1; len], 0, Sync).unwrap();
        wal.close(0).unwrap();
        drop(wal);
        let (recovery, _) = recover(&sim).unwrap();
        assert!(recovery.clean() && recovery.dropped().is_none(), "{len} bytes: {:?}", recovery.dropped());
        let wal = recovery.into_wal().unwrap();
        wal.append(vec![2; 300], 0, Sync).unwrap();
        drop(wal);
        let (recovery, commits) = recover(&sim).unwrap();
        assert_eq!((recovery.dropped(), commits.len()), (None, 2), "{len} bytes");
    }
}

#[test]
fn a_lost_close_record_is_noticed() {
    let sim = disk();
    let wal = log(&sim, 16 << 10);
    wal.append(vec![1; 100], 0, Sync).unwrap();
    wal.close(0).unwrap();
    drop(wal);
    let mut bytes = read(&sim, &segment(1));
    bytes[512..1024].fill(0);
    write(&sim, &segment(1), &bytes);
    assert!(matches!(recover(&sim), Err(Error::Corrupt { .. })));
}

/// The group that was torn was not acknowledged. Its witness says that it was on its way, and never more than that.
#[test]
fn a_witness_without_its_group_is_a_dropped_tail_and_the_log_goes_on_in_another_segment() {
    let sim = disk();
    let wal = log(&sim, 16 << 10);
    wal.append(vec![1; 100], 0, Sync).unwrap();
    let before = read(&sim, &segment(1));
    wal.append(vec![2; 100], 0, Sync).unwrap();
    drop(wal);
    let mut bytes = read(&sim, &segment(1));
    bytes[..BLOCK].copy_from_slice(&before[..BLOCK]);
    write(&sim, &segment(1), &bytes);
    // Once more, as if the first recovery had been interrupted.
    for _ in 0..2 {
        let (recovery, commits) = recover(&sim).unwrap();
        assert_eq!((recovery.dropped().unwrap().from, commits.len()), (Lsn(2), 1));
    }
    let (wal, _) = reopen(&sim);
    let next = wal.append(vec![3; 100], 0, Sync).unwrap();
    assert!(next.0 >= GAP);
    drop(wal);
    let (recovery, commits) = recover(&sim).unwrap();
    assert_eq!((recovery.dropped(), commits.len()), (None, 2), "the old witness is behind what counts");
    let halodb_wal::Rescued { findings, missing, .. } =
        halodb_wal::rescue(&sim, &dir(), &UUID, 1, &mut |_| {}).unwrap();
    assert_eq!((findings, missing), (vec![], vec![]));
}

#[test]
fn the_last_group_is_named_by_a_rescue_when_only_its_witness_is_left() {
    let sim = disk();
    let wal = log(&sim, 16 << 10);
    for n in 0..3 {
        wal.append(vec![n; 100], 0, Sync).unwrap();
    }
    drop(wal);
    let mut bytes = read(&sim, &segment(1));
    bytes[512..BLOCK].fill(0);
    write(&sim, &segment(1), &bytes);
    let found = halodb_wal::rescue(&sim, &dir(), &UUID, 1, &mut |_| {}).unwrap();
    assert_eq!((found.records, found.synced), (0, Lsn(2)));
    assert!(found.findings.iter().any(|f| f.what.contains('3')), "{:?}", found.findings);
}

#[test]
fn the_witness_of_a_recycled_segment_says_nothing_in_its_next_life() {
    let sim = disk();
    let wal = log(&sim, 16 << 10);
    let mut last = Lsn(0);
    for _ in 0..600 {
        last = wal.append(vec![1; 100], 0, Sync).unwrap();
    }
    assert!(wal.recycle(last).unwrap() > 2);
    drop(wal);
    let known = halodb_wal::Known { applied_min: Lsn(last.0 - 1), ..halodb_wal::Known::default() };
    let wal = recover_known(&sim, known).unwrap().0.into_wal().unwrap();
    wal.append(vec![2; 100], 0, Buffered).unwrap();
    drop(wal);
    let (recovery, _) = recover_known(&sim, known).unwrap();
    assert_eq!(recovery.dropped(), None);
}

/// As in a segment filled to the last byte that it has for records.
#[test]
fn a_full_segment_has_room_for_the_witness_of_its_last_group() {
    let sim = disk();
    let wal = log(&sim, 8 << 10);
    let payload = BLOCK - 512 - 2 * HEADER_LEN;
    wal.append(vec![1; payload], 0, Sync).unwrap();
    wal.close(0).unwrap();
    assert_eq!(records_of(&sim, 1).last().map(|(at, h)| at + h.record_len()), Some(BLOCK as u64));
    assert_eq!(witnesses(&sim, 1).iter().map(|(at, _)| *at).collect::<Vec<_>>(), [BLOCK]);
    drop(wal);
    let (recovery, commits) = recover(&sim).unwrap();
    assert!(recovery.clean() && commits.len() == 1);
}
