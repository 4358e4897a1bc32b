//! Power loss at every operation of a script: what is found is the last acknowledged commit or the one under way, whole,
//! with every page accounted for; and so again after going on from there, three crashes deep.

mod harness;

use halodb_pager::{Error, OtherSlot};
use halodb_vfs::SimVfs;
use halodb_vfs::sim::{CrashMode, Fault, Repeat};
use harness::script::{Rng, World, script};
use harness::{IDENTITY, State};
use std::path::Path;
use std::sync::Arc;

const PATH: &str = "p";
const MODES: &[CrashMode] = CrashMode::ALL;

/// What was true when a number of operations had been issued.
struct Mark {
    ops: u64,
    state: State,
    findable: Vec<u64>,
}

fn mark(disk: &SimVfs, world: &World<'_>) -> Mark {
    Mark { ops: disk.ops(), state: world.newest.clone(), findable: world.findable() }
}

/// Plays a script on an open file and marks what was acknowledged when.
fn play(disk: &SimVfs, world: &mut World<'_>, seed: u64, len: usize) -> Vec<Mark> {
    let mut marks = vec![mark(disk, world)];
    for (i, step) in script(seed, len).iter().enumerate() {
        world.step(step, seed ^ (i as u64) << 32).unwrap();
        marks.push(mark(disk, world));
    }
    world.check().unwrap();
    marks
}

/// Opens the disk after a crash at `at`; the file must hold what `marks` allow.
fn open_after<'a>(image: &SimVfs, marks: &[Mark], at: u64, context: &str) -> World<'a> {
    let world = World::open(Arc::new(image.clone()), Path::new(PATH), IDENTITY)
        .unwrap_or_else(|e| panic!("{context}: cannot be opened: {e}"));
    let next = marks.partition_point(|m| m.ops <= at);
    let (acknowledged, under_way) = (&marks[next - 1], marks.get(next));
    let allowed = [Some(&acknowledged.state), under_way.map(|m| &m.state)];
    assert!(
        allowed.contains(&Some(&world.newest)),
        "{context}: found commit {}, acknowledged was {}",
        world.newest.number,
        acknowledged.state.number
    );
    let findable = acknowledged.findable.contains(&world.newest.number);
    assert!(
        findable || under_way.is_some_and(|m| m.state == world.newest),
        "{context}: commit {} was not among the findable ones, {:?}",
        world.newest.number,
        acknowledged.findable
    );
    older_meta_is_whole(image, &world, acknowledged, context);
    world
}

/// If the newest meta were lost to rot, the older one would count: all that it reaches must be there.
fn older_meta_is_whole(image: &SimVfs, world: &World<'_>, acknowledged: &Mark, context: &str) {
    let opened = world.pager.opened();
    let OtherSlot::Valid { generation } = opened.other else { return };
    let rotten = image.copy();
    rotten.flip_bit(PATH, u64::from(opened.slot * IDENTITY.page_size) * 8 + 1000).unwrap();
    let older = World::open(Arc::new(rotten), Path::new(PATH), IDENTITY)
        .unwrap_or_else(|e| panic!("{context}: the older meta, generation {generation}: {e}"));
    let number = older.newest.number;
    assert!(
        acknowledged.findable.contains(&number),
        "{context}: the older meta holds commit {number}, findable were {:?}",
        acknowledged.findable
    );
}

/// Goes on after a crash, and crashes again at `samples` places, `depth` times.
fn go_on(disk: &SimVfs, mut world: World<'_>, rng: &mut Rng, depth: u32, samples: u64, context: &str) -> u64 {
    let seed = rng.next();
    let marks = play(disk, &mut world, seed, 4);
    drop(world);
    let mut images = 0;
    for _ in 0..samples {
        let at = marks[0].ops + rng.below(disk.ops() - marks[0].ops + 1);
        let mode = MODES[rng.below(MODES.len() as u64) as usize];
        let crash_seed = rng.next();
        let context = format!("{context}, then script {seed} crashed at {at} {mode:?} {crash_seed}");
        let image = disk.crash_image(at, mode, crash_seed);
        let world = open_after(&image, &marks, at, &context);
        images += 1;
        if depth > 1 {
            images += go_on(&image, world, rng, depth - 1, 1, &context);
        }
    }
    images
}

#[test]
fn every_acknowledged_commit_survives_a_power_loss_at_every_operation() {
    let mut images = 0;
    for seed in 0..4 {
        let disk = SimVfs::new();
        let mut world = World::create(Arc::new(disk.clone()), Path::new(PATH), IDENTITY).unwrap();
        let marks = play(&disk, &mut world, seed, 24);
        let mut rng = Rng(seed);
        for at in marks[0].ops..=disk.ops() {
            for &mode in MODES {
                let crash_seed = rng.next();
                let context = format!("script {seed} crashed at {at} {mode:?} {crash_seed}");
                let image = disk.crash_image(at, mode, crash_seed);
                let world = open_after(&image, &marks, at, &context);
                images += 1 + go_on(&image, world, &mut rng, 2, 1, &context);
            }
        }
    }
    eprintln!("{images} images");
    assert!(images > 5_000, "only {images} images");
}

/// A process that dies leaves writes in the page cache that the next process reads, and that a power loss still takes
/// away: the next process may not rely on anything it did not make durable itself.
#[test]
fn what_a_dead_process_left_in_the_page_cache_is_not_relied_on() {
    let mut images = 0;
    for seed in 100..103 {
        let calls = {
            let disk = SimVfs::new();
            let mut world = World::create(Arc::new(disk.clone()), Path::new(PATH), IDENTITY).unwrap();
            let first = disk.calls();
            play(&disk, &mut world, seed, 10);
            first..disk.calls()
        };
        for call in calls.clone() {
            for fault in [Fault::Errno(5), Fault::SyncFailsClean] {
                let disk = SimVfs::new();
                let mut first = World::create(Arc::new(disk.clone()), Path::new(PATH), IDENTITY).unwrap();
                disk.inject(call - calls.start, fault, Repeat::Once);
                let died = script(seed, 10)
                    .iter()
                    .enumerate()
                    .any(|(i, step)| first.step(step, seed ^ (i as u64) << 32).is_err());
                disk.heal();
                let (acknowledged, attempt) = (first.newest.clone(), first.attempt.take());
                drop(first);
                if !died {
                    continue;
                }
                let context = format!("script {seed}, {fault:?} at call {call}");
                let mut second = World::open(Arc::new(disk.clone()), Path::new(PATH), IDENTITY)
                    .unwrap_or_else(|e| panic!("{context}: cannot be opened: {e}"));
                let found = second.newest.clone();
                assert!(found == acknowledged || Some(&found) == attempt.as_ref(), "{context}");
                let opened = disk.ops();
                let mut marks = play(&disk, &mut second, seed + 7, 5);
                drop(second);
                // Until the second life has acknowledged something, the first one's last word is either of the two.
                let allowed = [Some(acknowledged), attempt];
                let mut rng = Rng(call);
                for at in opened..=disk.ops() {
                    let mode = MODES[rng.below(MODES.len() as u64) as usize];
                    let crash_seed = rng.next();
                    let context = format!("{context}, second life crashed at {at} {mode:?} {crash_seed}");
                    let image = disk.crash_image(at, mode, crash_seed);
                    let world = World::open(Arc::new(image.clone()), Path::new(PATH), IDENTITY)
                        .unwrap_or_else(|e| panic!("{context}: cannot be opened: {e}"));
                    images += 1;
                    let next = marks.partition_point(|m| m.ops <= at);
                    let states = [Some(&marks[next - 1].state), marks.get(next).map(|m| &m.state)];
                    let before_ack = marks[next - 1].state == marks[0].state;
                    let of_first_life = before_ack && allowed.contains(&Some(world.newest.clone()));
                    assert!(states.contains(&Some(&world.newest)) || of_first_life, "{context}");
                }
                marks.clear();
            }
        }
    }
    eprintln!("{images} images in the second life");
    assert!(images > 2_000, "only {images} images");
}

#[test]
fn a_file_whose_creation_was_interrupted_is_whole_or_not_there() {
    let disk = SimVfs::new();
    drop(World::create(Arc::new(disk.clone()), Path::new(PATH), IDENTITY).unwrap());
    for at in 0..=disk.ops() {
        for &mode in MODES {
            for seed in 0..20 {
                let image = disk.crash_image(at, mode, seed);
                let path = Path::new(PATH);
                match World::open(Arc::new(image.clone()), path, IDENTITY) {
                    Ok(world) => assert_eq!(world.newest, State::default()),
                    Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                        assert!(at < disk.ops(), "it was acknowledged");
                        let mut again = World::create(Arc::new(image), path, IDENTITY).unwrap();
                        again.step(&script(1, 1)[0], 1).unwrap();
                    }
                    Err(e) => panic!("crashed at {at} {mode:?} {seed}: {e}"),
                }
            }
        }
    }
}
