//! Group `threads`: random reads from several threads at once, of a database at rest.

use std::sync::Barrier;
use std::time::Instant;

use super::model::{Model, Tally};
use super::timing::{capped, rate};
use super::{Group, RowSpec};
use crate::data::{Data, pick};
use crate::engine::{Durability, Engine, Problem, Result};
use crate::result::Bound;
use crate::run::Run;

const THREADS: [u64; 4] = [4, 8, 16, 32];

/// The group.
pub(super) fn group() -> Group {
    let rows = THREADS.iter().map(|&threads| RowSpec::rate(name(threads), Bound::Cpu)).collect();
    Group { name: "threads", about: "random reads from 4 to 32 threads", rows, engines: None, run }
}

fn name(threads: u64) -> String {
    format!("random reads, {threads} threads")
}

fn run(run: &mut Run<'_>) -> Result<()> {
    let count = run.scale;
    let engine = run.open("data")?;
    let mut model = Model::new(Data::new(run.seed), count);
    engine.write(Durability::Sync, &mut |batch| {
        (0..count).try_for_each(|index| {
            let version = model.put(index);
            batch.put(&model.data.key(index), &model.data.value(index, version))
        })
    })?;
    run.settle();
    // Threads that do less than 30,000 reads measure their own start.
    let reads = count.clamp(1_000_000, 2_000_000);
    for threads in THREADS {
        run.measure(&name(threads), || read(&*engine, &model, threads, reads / threads));
    }
    engine.close()
}

/// Up to `each` reads in each of the threads, all beginning at once; reads a second of all together.
fn read(engine: &dyn Engine, model: &Model, threads: u64, each: u64) -> Result<f64> {
    let count = model.len();
    let begin = Barrier::new(threads as usize + 1);
    let index = |thread: u64, step: u64| pick(1, 100 * threads + thread, step, count);
    let one = |thread: u64| -> Result<(u64, Tally)> {
        let reader = engine.reader();
        begin.wait();
        let mut reader = reader?;
        let mut tally = Tally::default();
        let (done, _) = capped(each, 1_000, |step| {
            reader.get(&model.data.key(index(thread, step)), &mut |value| tally.add(value)).map(drop)
        })?;
        Ok((done, tally))
    };
    std::thread::scope(|scope| {
        let one = &one;
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || one(thread))).collect();
        begin.wait();
        let start = Instant::now();
        let tallies: Vec<_> = running.into_iter().map(|thread| thread.join()).collect();
        let time = start.elapsed();
        let mut reads = 0;
        for (thread, answer) in tallies.into_iter().enumerate() {
            let (done, tally) = answer.map_err(|_| Problem::Failed("a reader panicked".into()))??;
            let expected = (0..done).map(|step| index(thread as u64, step));
            tally.check("reads of a thread", model.tally(expected))?;
            reads += done;
        }
        Ok(rate(reads, time))
    })
}
