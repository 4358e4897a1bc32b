//! The rows `open`: how long until a database answers its first read, after an orderly close and after a SIGKILL.
//!
//! Measured is opening and reading one record, so that an engine which only postpones its work gains nothing. The page
//! cache is warm. For the second row a child process writes durable transactions of 1,000 records and is killed in the
//! middle of one.
//!
//! Checked after a close: every record. After a kill: the database holds the acknowledged transactions, perhaps the one
//! that was under way, whole, and nothing else; every value.

use std::time::{Duration, Instant};

use crate::engine::{Engine, Kind, Problem, Result, Settings};

use super::child::{ChildArgs, LOAD_BATCH};
use super::record::Records;
use super::target::{Target, wrong};

/// Times that a closed database is opened; the median counts.
const OPENS: usize = 5;

/// The longest time that the child loads.
const LOAD_LIMIT: Duration = Duration::from_secs(25);

/// Milliseconds to open a database of `count` records that was closed.
pub(super) fn after_close(kind: Kind, settings: &Settings, records: Records, count: u64) -> Result<f64> {
    let engine = kind.open(settings)?;
    Target { engine: &*engine, records }.load(count)?;
    engine.close()?;
    let mut times = Vec::new();
    for round in 0..OPENS {
        let (engine, millis) = open(kind, settings, records, round as u64 % count)?;
        times.push(millis);
        if round == 0 {
            expect_all(&*engine, records, count)?;
        }
        engine.close()?;
    }
    times.sort_by(f64::total_cmp);
    Ok(times[OPENS / 2])
}

/// Milliseconds to open a database whose writer was killed after about half of `count` records.
pub(super) fn after_kill(kind: Kind, settings: &Settings, records: Records, count: u64) -> Result<f64> {
    let mut child = ChildArgs::load(kind.name, settings, &records, count).start()?;
    let (began, mut written) = (Instant::now(), 0);
    while written < count / 2 && (written == 0 || began.elapsed() < LOAD_LIMIT) {
        match child.next("written")? {
            Some(number) => written = number,
            None => return Err(Problem::Failed(format!("the writing process ended after {written} records"))),
        }
    }
    child.kill()?;
    // What the child said before it died was acknowledged too.
    while let Some(number) = child.next("written")? {
        written = number;
    }
    let (engine, millis) = open(kind, settings, records, 0)?;
    let found = engine.len()?;
    if found != written && found != (written + LOAD_BATCH).min(count) {
        return Err(Problem::wrong("records after the kill", format!("{written} or one transaction more"), found));
    }
    expect_all(&*engine, records, found)?;
    engine.close()?;
    Ok(millis)
}

/// Opens and reads `record`; milliseconds of both.
fn open(kind: Kind, settings: &Settings, records: Records, record: u64) -> Result<(Box<dyn Engine>, f64)> {
    let began = Instant::now();
    let engine = kind.open(settings)?;
    Target { engine: &*engine, records }.read(record)?;
    Ok((engine, began.elapsed().as_secs_f64() * 1e3))
}

/// Checks that the database holds records `0..count` in version 0 and no others.
pub(super) fn expect_all(engine: &dyn Engine, records: Records, count: u64) -> Result<()> {
    let mut judged = Ok(());
    let mut seen = vec![false; count as usize];
    let found = engine.reader()?.scan(&[], &mut |key, value| {
        if judged.is_ok() {
            judged = records.judge(value).and_then(|(record, version)| {
                if version != 0 || key != records.key(record) {
                    return Err(format!("record {record} has the wrong key or version"));
                }
                match seen.get_mut(record as usize).map(|seen| std::mem::replace(seen, true)) {
                    Some(false) => Ok(()),
                    _ => Err(format!("record {record} is there twice or was never written")),
                }
            });
        }
    })?;
    judged.map_err(wrong)?;
    if found == count { Ok(()) } else { Err(Problem::wrong("records in the database", count, found)) }
}
