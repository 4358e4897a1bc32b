//! What the log promises to its callers, one sentence a test.

mod common;
use common::*;
use halodb_wal::{Durability, Error, Known, Lsn, Payload, RecordKind, Wal, WalOptions};
use std::sync::Arc;

use Durability::{Buffered, Memory, Sync};

fn payload(n: u64) -> Vec<u8> {
    n.to_le_bytes().repeat(5)
}

#[test]
fn what_was_appended_is_there_after_a_clean_close() {
    let sim = disk();
    let wal = create(&sim);
    for n in 1..=100 {
        assert_eq!(wal.append(payload(n), n, Sync).unwrap(), Lsn(n));
    }
    wal.close(100).unwrap();
    let (recovery, commits) = recover(&sim).unwrap();
    assert!(recovery.clean());
    assert_eq!(recovery.dropped(), None);
    assert_eq!(recovery.last(), Lsn(101));
    assert_eq!(commits, (1..=100).map(|n| (n, payload(n))).collect::<Vec<_>>());
}

#[test]
fn after_a_clean_close_lsns_go_on_with_an_open_record_in_the_same_segment() {
    let sim = disk();
    create(&sim).close(0).unwrap();
    let (wal, _) = reopen(&sim);
    // The marker itself was read, and is not known to be durable.
    assert_eq!((wal.settled(), wal.synced(), wal.appended()), (Lsn(1), Lsn(0), Lsn(2)));
    assert_eq!(wal.append(payload(3), 0, Sync).unwrap(), Lsn(3));
    let kinds: Vec<_> = records_of(&sim, 1).iter().map(|(_, h)| h.kind).collect();
    assert_eq!(kinds, [RecordKind::CleanClose, RecordKind::Open, RecordKind::Commit]);
}

/// A log whose last segment had no room for an open record was taken for one that had crashed, after a process had opened
/// it and closed it again without a commit: the segment that the open began held no marker.
#[test]
fn an_open_after_a_clean_close_writes_nothing_before_the_first_append_even_if_the_segment_is_full() {
    let sim = disk();
    let wal = create(&sim);
    wal.append(vec![1; 3456], 0, Sync).unwrap();
    wal.close(0).unwrap();
    for _ in 0..2 {
        let (recovery, _) = recover(&sim).unwrap();
        assert!(recovery.clean());
        drop(recovery.into_wal().unwrap());
    }
    let (wal, _) = reopen(&sim);
    assert_eq!(wal.append(payload(4), 0, Sync).unwrap(), Lsn(4));
    let kinds: Vec<_> = records_of(&sim, 2).iter().map(|(_, h)| h.kind).collect();
    assert_eq!(kinds, [RecordKind::Open, RecordKind::Commit]);
    drop(wal);
    let (_, commits) = reopen(&sim);
    assert_eq!(commits.iter().map(|c| c.0).collect::<Vec<_>>(), [1, 4]);
}

#[test]
fn an_open_after_a_clean_close_synchronises_nothing_though_a_segment_is_prepared() {
    let sim = disk();
    let wal = create(&sim);
    wal.append(payload(1), 0, Sync).unwrap();
    wal.make_room(0).unwrap();
    assert_eq!(wal.stats().segments, 2);
    wal.close(0).unwrap();
    drop(wal);
    let before = sim.ops();
    drop(reopen(&sim));
    assert_eq!(sim.ops(), before);
}

#[test]
fn after_a_crash_lsns_go_on_beyond_a_gap_in_a_new_segment() {
    let sim = disk();
    let wal = create(&sim);
    wal.append(payload(1), 0, Sync).unwrap();
    drop(wal);
    let (wal, commits) = reopen(&sim);
    assert_eq!(commits.len(), 1);
    assert_eq!((wal.settled(), wal.synced(), wal.appended()), (Lsn(1), Lsn(1), Lsn(1)));
    assert_eq!(wal.append(payload(2), 0, Sync).unwrap(), Lsn(2 * GAP));
    assert_eq!(records_of(&sim, 1).len(), 1);
    assert_eq!(records_of(&sim, 2).len(), 1);
    drop(wal);
    let (wal, commits) = reopen(&sim);
    assert_eq!(commits.iter().map(|c| c.0).collect::<Vec<_>>(), [1, 2 * GAP]);
    assert_eq!(wal.append(payload(3), 0, Sync).unwrap(), Lsn(3 * GAP));
}

#[test]
fn a_log_that_was_never_written_to_opens() {
    let sim = disk();
    drop(create(&sim));
    let (recovery, commits) = recover(&sim).unwrap();
    assert_eq!((recovery.last(), recovery.clean(), commits.len()), (Lsn(0), false, 0));
    let wal = recovery.into_wal().unwrap();
    assert_eq!(wal.append(payload(1), 0, Sync).unwrap(), Lsn(2 * GAP));
}

#[test]
fn weaker_commits_after_a_clean_close_wait_until_the_open_record_is_synced() {
    let sim = disk();
    create(&sim).close(0).unwrap();
    let (wal, _) = reopen(&sim);
    let lsn = wal.append(payload(1), 0, Memory).unwrap();
    assert!(wal.synced() >= Lsn(2), "the open record is synced: {wal:?}");
    assert_eq!(wal.settled(), lsn);
}

#[test]
fn a_memory_commit_settles_when_its_section_is_left_and_not_before() {
    let sim = disk();
    let wal = create(&sim);
    let mut section = wal.sequence();
    let lsn = section.append(Payload::new(payload(1)), 0, Memory).unwrap();
    assert_eq!(wal.settled(), Lsn(0));
    drop(section);
    assert_eq!(wal.settled(), lsn);
    assert_eq!(wal.written(), Lsn(0));
    wal.flush().unwrap();
    assert_eq!((wal.written(), wal.synced()), (lsn, Lsn(0)));
    assert_eq!(wal.sync().unwrap(), lsn);
}

#[test]
fn settled_stops_before_a_commit_that_has_not_reached_its_level() {
    let sim = disk();
    let wal = create(&sim);
    let append = |level| wal.sequence().append(Payload::new(payload(1)), 0, level).unwrap();
    append(Memory);
    let sync = append(Sync);
    let memory = append(Memory);
    assert_eq!(wal.settled(), Lsn(1));
    let buffered = append(Buffered);
    wal.wait(memory, Memory).unwrap();
    assert_eq!((wal.settled(), wal.synced()), (buffered, buffered));
    assert!(wal.wait(sync, Sync).is_ok());
}

#[test]
fn a_sync_commit_makes_everything_before_it_durable() {
    let sim = disk();
    let wal = create(&sim);
    wal.append(payload(1), 0, Memory).unwrap();
    wal.append(payload(2), 0, Buffered).unwrap();
    wal.append(payload(3), 0, Sync).unwrap();
    assert_eq!(wal.synced(), Lsn(3));
}

#[test]
fn a_full_buffer_is_written_by_the_writer_that_finds_it_full() {
    let sim = disk();
    let options = WalOptions { buffer_bytes: 300, ..options() };
    let wal = Wal::create(Arc::new(sim.clone()), &dir(), options).unwrap();
    for n in 0..50 {
        wal.append(payload(n), 0, Memory).unwrap();
        assert!(wal.appended().0 - wal.written().0 <= 3, "{wal:?}");
    }
}

#[test]
fn a_record_larger_than_a_segment_gets_one_of_its_own() {
    let sim = disk();
    let wal = create(&sim);
    wal.append(payload(1), 0, Sync).unwrap();
    wal.append(vec![9; 50_000], 0, Sync).unwrap();
    wal.append(payload(3), 0, Sync).unwrap();
    drop(wal);
    let (_, commits) = reopen(&sim);
    assert_eq!(commits.iter().map(|c| c.1.len()).collect::<Vec<_>>(), [40, 50_000, 40]);
}

#[test]
fn a_record_that_does_not_fit_gets_no_lsn() {
    let sim = disk();
    let wal = create(&sim);
    let mut section = wal.sequence();
    let large = || Payload::new(vec![0; 5000]);
    assert!(!section.fits(&large()));
    assert!(matches!(section.append(large(), 0, Sync), Err(Error::Invalid(_))));
    assert_eq!(section.next(), Lsn(1));
    drop(section);
    wal.make_room(large().record_len()).unwrap();
    assert!(wal.sequence().fits(&large()));
}

#[test]
fn waiting_for_an_lsn_in_a_gap_is_lost_and_for_a_future_one_invalid() {
    let sim = disk();
    let wal = create(&sim);
    wal.append(payload(1), 0, Sync).unwrap();
    drop(wal);
    let (wal, _) = reopen(&sim);
    wal.append(payload(1), 0, Sync).unwrap();
    let check = |lsn: u64| wal.wait_durable(Lsn(lsn));
    assert!(check(1).is_ok());
    assert!(matches!(check(2), Err(Error::Lost(Lsn(2)))));
    assert!(matches!(check(2 * GAP - 1), Err(Error::Lost(_))));
    assert!(check(2 * GAP).is_ok());
    assert!(matches!(check(2 * GAP + 1), Err(Error::Invalid(_))));
    assert!(matches!(check(0), Err(Error::Invalid(_))));
    assert!(matches!(wal.wait(Lsn(2), Memory), Err(Error::Lost(_))));
    drop(wal);
    // The gap is still known one life later.
    let (wal, _) = reopen(&sim);
    assert!(matches!(wal.wait_durable(Lsn(3)), Err(Error::Lost(_))));
}

#[test]
fn segments_below_what_is_needed_are_recycled_and_the_rest_replays() {
    let sim = disk();
    let wal = create(&sim);
    for n in 1..=400 {
        wal.append(payload(n), 0, Sync).unwrap();
    }
    let before = wal.stats();
    assert!(before.segments > 8);
    let live = wal.live_bytes();
    assert!(wal.recycle(Lsn(300)).unwrap() > 4);
    assert!(wal.stats().segments < before.segments);
    assert!(wal.live_bytes() < live);
    for n in 401..=500 {
        wal.append(payload(n), 0, Sync).unwrap();
    }
    assert_eq!(wal.check().unwrap(), []);
    drop(wal);
    let known = Known { applied_min: Lsn(299), applied_max: Lsn(299), synced: Lsn(299) };
    let (_, commits) = recover_known(&sim, known).unwrap();
    assert_eq!(commits, (300..=500).map(|n| (n, payload(n))).collect::<Vec<_>>());
    assert!(matches!(recover(&sim), Err(Error::Corrupt { .. })), "records 1 and on are needed and gone");
}

#[test]
fn the_newest_segment_is_never_recycled() {
    let sim = disk();
    let wal = create(&sim);
    wal.append(payload(1), 0, Sync).unwrap();
    assert_eq!(wal.recycle(Lsn(u64::MAX)).unwrap(), 0);
}

#[test]
fn reading_from_an_lsn_gives_the_written_records_until_told_to_stop() {
    let sim = disk();
    let wal = create(&sim);
    for n in 1..=200 {
        wal.append(payload(n), n, Sync).unwrap();
    }
    wal.make_room(88).unwrap();
    wal.sequence().append(Payload::new(payload(201)), 0, Memory).unwrap();
    let read = |from, limit: usize| {
        let mut seen = Vec::new();
        wal.read_from(Lsn(from), &mut |r| {
            assert_eq!(r.payload, payload(r.lsn.0));
            seen.push(r.lsn.0);
            seen.len() < limit
        })
        .map(|()| seen)
    };
    assert_eq!(read(0, 1000).unwrap(), (1..=200).collect::<Vec<_>>());
    assert_eq!(read(150, 1000).unwrap(), (150..=200).collect::<Vec<_>>());
    assert_eq!(read(150, 2).unwrap(), [150, 151]);
    assert_eq!(read(201, 1000).unwrap(), []);
    wal.recycle(Lsn(100)).unwrap();
    assert!(matches!(read(1, 1000), Err(Error::TooOld { asked: Lsn(1), .. })));
    assert_eq!(read(100, 1000).unwrap().len(), 101);
}

#[test]
fn an_idle_log_states_what_is_synced_once() {
    let sim = disk();
    let wal = create(&sim);
    assert!(!wal.idle(0).unwrap());
    wal.append(payload(1), 0, Sync).unwrap();
    assert!(!wal.idle(0).unwrap(), "a commit came since the last call");
    assert!(wal.idle(0).unwrap());
    assert!(!wal.idle(0).unwrap(), "nothing new to say");
    assert_eq!(records_of(&sim, 1).last().unwrap().1.synced, Lsn(1));
    wal.append(payload(1), 0, Memory).unwrap();
    assert!(!wal.idle(0).unwrap());
    assert!(!wal.idle(0).unwrap(), "the commit is not synced, so there is nothing to say");
}

#[test]
fn nothing_is_appended_after_a_close() {
    let sim = disk();
    let wal = create(&sim);
    wal.close(0).unwrap();
    wal.close(0).unwrap();
    assert!(matches!(wal.append(payload(1), 0, Sync), Err(Error::Invalid(_))));
    assert!(matches!(wal.make_room(1), Err(Error::Invalid(_))));
}

#[test]
fn a_close_finds_room_in_a_full_segment() {
    let sim = disk();
    for size in 3000..3600 {
        let sim = sim.clone();
        let at = std::path::PathBuf::from(format!("/{size}"));
        halodb_vfs::Vfs::create_dir(&sim, &at).unwrap();
        let wal = Wal::create(Arc::new(sim.clone()), &at, options()).unwrap();
        wal.append(vec![1; size], 0, Sync).unwrap();
        wal.close(0).unwrap();
        let each = &mut |_: halodb_wal::Record<'_>| Ok::<(), Error>(());
        let recovery = Wal::recover(Arc::new(sim.clone()), &at, options(), Known::default(), each).unwrap();
        assert!(recovery.clean());
        let wal = recovery.into_wal().unwrap();
        assert_eq!(wal.append(vec![2; 8], 0, Sync).unwrap(), Lsn(4));
        wal.close(0).unwrap();
    }
}

#[test]
fn a_log_is_not_created_over_another() {
    let sim = disk();
    drop(create(&sim));
    assert!(matches!(Wal::create(Arc::new(sim), &dir(), options()), Err(Error::Invalid(_))));
}

#[test]
fn a_log_of_another_database_or_incarnation_is_refused_with_both_values() {
    let sim = disk();
    drop(create(&sim));
    let check = |options: WalOptions| {
        let each = &mut |_: halodb_wal::Record<'_>| Ok::<(), Error>(());
        let e = Wal::recover(Arc::new(sim.clone()), &dir(), options, Known::default(), each).unwrap_err();
        assert!(matches!(e, Error::Mismatch { .. }), "{e}");
        e.to_string()
    };
    assert!(check(WalOptions { uuid: [9; 16], ..options() }).contains("0909"));
    assert!(check(WalOptions { incarnation: 77, ..options() }).contains("77"));
}

#[test]
fn sixteen_threads_share_their_syncs() {
    let tmp = tempfile::tempdir().unwrap();
    let options = WalOptions { segment_bytes: 256 << 10, first_segment_bytes: 64 << 10, ..options() };
    let wal = Wal::create(Arc::new(halodb_vfs::OsVfs), tmp.path(), options.clone()).unwrap();
    std::thread::scope(|s| {
        for t in 0..16_u64 {
            let wal = &wal;
            s.spawn(move || {
                for n in 0..200_u64 {
                    let lsn = wal.append([t, n].map(u64::to_le_bytes).concat(), 0, Sync).unwrap();
                    assert!(wal.synced() >= lsn && wal.settled() >= lsn);
                }
            });
        }
    });
    let stats = wal.stats();
    assert_eq!((stats.records, wal.synced()), (3200, Lsn(3200)));
    assert!(stats.groups < 3200, "{stats:?}");
    drop(wal);
    let mut next = [0_u64; 16];
    Wal::recover(Arc::new(halodb_vfs::OsVfs), tmp.path(), options, Known::default(), &mut |r| {
        let t = u64::from_le_bytes(r.payload[..8].try_into().unwrap()) as usize;
        assert_eq!(u64::from_le_bytes(r.payload[8..].try_into().unwrap()), next[t]);
        next[t] += 1;
        Ok::<(), Error>(())
    })
    .unwrap();
    assert_eq!(next, [200; 16]);
}

#[test]
fn parts_and_what_completes_them_are_kept_as_commits_are_and_the_logs_own_kinds_are_refused() {
    let sim = disk();
    let wal = create(&sim);
    let kinds = [RecordKind::Part, RecordKind::Commit, RecordKind::PartCommit];
    for (n, kind) in (1..).zip(kinds) {
        let mut section = wal.sequence();
        assert_eq!(section.append_as(kind, Payload::new(payload(n)), n, Memory).unwrap(), Lsn(n));
    }
    let own = wal.sequence().append_as(RecordKind::Marker, Payload::new(payload(4)), 4, Memory);
    assert!(matches!(own, Err(Error::Invalid(_))), "{own:?}");
    wal.wait(Lsn(3), Sync).unwrap();
    let mut read = Vec::new();
    wal.read_from(Lsn(1), &mut |record| {
        read.push((record.kind, record.payload.to_vec()));
        true
    })
    .unwrap();
    assert_eq!(read, kinds.into_iter().zip((1..).map(payload)).collect::<Vec<_>>());
}
