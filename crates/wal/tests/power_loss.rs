//! Power fails after every single operation of a life of the log, and again in the recovery, three deep.
//!
//! The claims: what was acknowledged is there, with identical payload and in order; nothing is invented; what survives is a
//! prefix; an LSN that anybody saw is never given out again; the log goes on.

mod common;
use common::*;
use halodb_vfs::SimVfs;
use halodb_vfs::sim::CrashMode;
use halodb_wal::{Durability, Error, Known, Lsn, Payload, Wal};
use std::collections::BTreeMap;

use Durability::{Buffered, Memory, Sync};

/// Marsaglia's xorshift64.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
}

/// What the outside world remembers of the log on one disk, each with the operation count of the disk at that time.
#[derive(Default)]
struct World {
    /// Every commit that got an LSN and that may turn up: (operations, payload).
    given: BTreeMap<u64, (u64, Vec<u8>)>,
    /// Answers: (operations, LSN, level).
    answers: Vec<(u64, u64, Durability)>,
    /// Values of `applied` that are durable elsewhere.
    applied: Vec<(u64, u64)>,
}

impl World {
    fn known(&self, at: u64) -> Known {
        let applied = self.applied.iter().filter(|a| a.0 <= at).map(|a| a.1).max().unwrap_or(0);
        Known { applied_min: Lsn(applied), applied_max: Lsn(applied), synced: Lsn(applied) }
    }

    /// Greatest LSN answered by then, at this level or a stronger one.
    fn answered(&self, at: u64, level: Durability) -> u64 {
        let answers = self.answers.iter().filter(|a| a.0 <= at && a.2 >= level);
        answers.map(|a| a.1).max().unwrap_or(0)
    }
}

fn append(wal: &Wal, sim: &SimVfs, world: &mut World, dice: &mut Dice, level: Durability) {
    let size = if dice.below(30) == 0 { 6000 } else { dice.below(500) };
    let payload: Vec<u8> = (0..size).map(|_| dice.below(256) as u8).collect();
    let sealed = Payload::new(payload.clone());
    let lsn = loop {
        let mut section = wal.sequence();
        if section.fits(&sealed) {
            break section.append(sealed, 0, level).unwrap();
        }
        drop(section);
        wal.make_room(sealed.record_len()).unwrap();
    };
    world.given.insert(lsn.0, (sim.ops(), payload));
    wal.wait(lsn, level).unwrap();
    assert!(wal.settled() >= lsn);
    world.answers.push((sim.ops(), lsn.0, level));
}

/// Some random actions; returns the log, which may have been closed or killed and opened again in between.
fn live(mut wal: Wal, sim: &SimVfs, world: &mut World, dice: &mut Dice, actions: u64) -> Wal {
    for _ in 0..actions {
        match dice.below(21) {
            0..8 => append(&wal, sim, world, dice, Sync),
            8..11 => append(&wal, sim, world, dice, Buffered),
            11..14 => append(&wal, sim, world, dice, Memory),
            14 => {
                let lsn = wal.sync().unwrap();
                world.answers.push((sim.ops(), lsn.0, Sync));
            }
            15 => wal.flush().unwrap(),
            16 => drop(wal.idle(0).unwrap()),
            17 => {
                let applied = wal.synced().0;
                world.applied.push((sim.ops(), applied));
                wal.recycle(Lsn(applied + 1)).unwrap();
            }
            19 => drop(wal.trim().unwrap()),
            18 => {
                wal.close(0).unwrap();
                drop(wal);
                let (recovery, _) = recover_known(sim, world.known(sim.ops())).unwrap();
                assert!(recovery.clean());
                wal = recovery.into_wal().unwrap();
            }
            _ => {
                drop(wal);
                let at = sim.ops();
                let (recovery, _) = verify(sim, world, at, CrashMode::Kept).unwrap();
                // What was in the buffer is gone with the process, and never was on the disk.
                world.given.retain(|lsn, _| *lsn <= recovery.last().0);
                wal = recovery.into_wal().unwrap();
            }
        }
    }
    wal
}

/// Recovers `image`, the disk of `world` after `at` operations, and holds the result against what was promised.
fn verify(image: &SimVfs, world: &World, at: u64, mode: CrashMode) -> Result<(halodb_wal::Recovery, Commits), Error> {
    let known = world.known(at);
    let (recovery, commits) = recover_known(image, known)?;
    let level = if mode == CrashMode::Kept { Buffered } else { Sync };
    let promised = world.answered(at, level);
    let last = recovery.last().0;
    assert!(last >= promised, "record {promised} was acknowledged, the log ends with {last}");
    let survivors = world.given.range(known.applied_min.0 + 1..).take_while(|(lsn, _)| **lsn <= last);
    let survivors: Commits = survivors.map(|(lsn, payload)| (*lsn, payload.1.clone())).collect();
    assert_eq!(commits, survivors, "not the prefix of what was written");
    Ok((recovery, commits))
}

struct Campaign {
    images: u64,
    deepest: u64,
}

/// Crashes `sim` after `at` operations, verifies, goes on for a while, and crashes that at `branches` places.
fn crash(sim: &SimVfs, world: &World, at: u64, mode: CrashMode, seed: u64, depth: u64, campaign: &mut Campaign) {
    campaign.images += 1;
    campaign.deepest = campaign.deepest.max(depth);
    let image = sim.crash_image(at, mode, seed);
    let (recovery, commits) = verify(&image, world, at, mode).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(image.ops(), 0, "recovery writes nothing");
    let mut next = World::default();
    let known = world.known(at);
    next.applied.push((0, known.applied_min.0));
    next.given.extend(commits.into_iter().map(|(lsn, payload)| (lsn, (0, payload))));
    // What survived a power loss once survives the next one as well: it was rewritten, or it is not built upon.
    let (last, clean, proven) = (recovery.last().0, recovery.clean(), recovery.proven());
    let opened = recovery.into_wal().unwrap();
    next.answers.push((image.ops(), last, Sync));
    // The marker of a clean close is written again with the first commit only.
    let durable = if clean { proven } else { Lsn(last) };
    assert_eq!((opened.settled(), opened.synced()), (Lsn(last), durable));
    let answered = world.answered(at, Memory);
    let first = opened.sequence().next().0;
    assert!(first > answered, "LSN {answered} was answered and would be given out again");
    if !clean {
        let given = world.given.iter().filter(|(_, g)| g.0 <= at);
        assert!(given.map(|(lsn, _)| *lsn).max().unwrap_or(0) < first, "an LSN would be given out again");
    }

    let mut dice = Dice::new(seed ^ at);
    let opened = live(opened, &image, &mut next, &mut dice, 6);
    drop(opened);
    if depth < 3 {
        let ops = image.ops();
        let branches = if depth == 1 { 3 } else { 1 };
        for branch in 0..branches {
            // The first branch falls into the open itself.
            let at = dice.below(if branch == 0 { ops.min(6) } else { ops } + 1);
            crash(&image, &next, at, mode, seed + branch, depth + 1, campaign);
        }
    }
}

/// One life, and a power loss after each of its operations.
fn campaign(seed: u64, seeds_per_op: u64) -> Campaign {
    let sim = disk();
    let mut world = World::default();
    let wal = create(&sim);
    let start = sim.ops();
    drop(live(wal, &sim, &mut world, &mut Dice::new(seed), 40));
    let mut campaign = Campaign { images: 0, deepest: 0 };
    for at in start..=sim.ops() {
        for &mode in CrashMode::ALL {
            let fixed = matches!(mode, CrashMode::Strict | CrashMode::Kept);
            for n in 0..if fixed { 1 } else { seeds_per_op } {
                let what = format!("life {seed}, operation {at}, {mode:?}, seed {n}");
                let run = std::panic::AssertUnwindSafe(|| crash(&sim, &world, at, mode, n, 1, &mut campaign));
                std::panic::catch_unwind(run).unwrap_or_else(|_| panic!("{what}"));
            }
        }
    }
    campaign
}

#[test]
fn an_acknowledged_record_survives_any_power_loss_and_nothing_is_invented() {
    let mut images = 0;
    for seed in 1..=10 {
        let done = campaign(seed, 2);
        assert_eq!(done.deepest, 3);
        images += done.images;
    }
    assert!(images > 40_000, "{images}");
    println!("{images} power losses");
}

#[test]
fn a_log_half_created_is_empty_or_recognised_as_not_created() {
    let sim = disk();
    let start = sim.ops();
    drop(create(&sim));
    for at in start..=sim.ops() {
        for (mode, seed) in
            [(CrashMode::Strict, 0), (CrashMode::Random, 1), (CrashMode::Random, 2), (CrashMode::Kept, 0)]
        {
            let image = sim.crash_image(at, mode, seed);
            match recover(&image) {
                Ok((recovery, commits)) => {
                    assert_eq!((recovery.last(), commits.len()), (Lsn(0), 0));
                    recovery.into_wal().unwrap().append(vec![1], 0, Sync).unwrap();
                }
                Err(Error::Corrupt { .. }) => {
                    // The caller, who knows that nothing was acknowledged yet, clears the directory and starts again.
                    use halodb_vfs::Vfs;
                    for name in image.read_dir(&dir()).unwrap() {
                        image.remove_file(&dir().join(name.name)).unwrap();
                    }
                    create(&image).append(vec![1], 0, Sync).unwrap();
                }
                Err(e) => panic!("{e}"),
            }
        }
    }
}
