//! The parent: starts children, kills them, and compares what they left with what they had acknowledged.

use super::script::{self, ThreadState};
use crate::campaign::Plan;
use crate::campaign::engine::Refusal;
use crate::campaign::guard;
use crate::campaign::oracle::show;
use crate::campaign::report::{Budget, Failure, Report};
use crate::campaign::rng::{Rng, derive};
use halodb::Depth;
use halodb::partition::Create;
use halodb::vfs::OsVfs;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// A directory is given up for a new one after so many lives, so that young databases are killed too.
const LIVES: u64 = 40;

/// SIGKILL.
const KILL: i32 = 9;

/// Runs the campaign; a case is a kill. `program` is this program: it is started with the hidden verb `kill-child`.
pub fn run(plan: &Plan, program: &Path) -> Report {
    Budget::new(plan).run("kill", "kills", plan, |budget| {
        while let Some(index) = budget.take() {
            let seed = derive(plan.seed, index);
            if let Err(what) = one_directory(seed, program, budget) {
                // The moments of the kills are not repeatable; what the children write is.
                let reproduce = format!("cargo xtask kill --seed {} --count {}", plan.seed, plan.count);
                budget.fail(Failure { what, reproduce });
            }
        }
    })
}

/// Lives and deaths on one directory.
fn one_directory(seed: u64, program: &Path, budget: &Budget) -> Result<(), String> {
    let place = tempfile::tempdir().map_err(|e| format!("cannot make a directory: {e}"))?;
    let dir = place.path().join("data");
    let mut rng = Rng::new(seed);
    let mut states: Vec<ThreadState> = (0..script::THREADS).map(|_| ThreadState::default()).collect();
    for life in 0..LIVES {
        if budget.is_spent() {
            break;
        }
        let copy = place.path().join("copy");
        let outcome = live_and_die(&dir, seed, program, &mut rng)
            .and_then(|acknowledged| {
                copy_dir(&dir, &copy).map_err(|e| format!("cannot copy the directory: {e}"))?;
                guard::caught(|| compare(&copy, seed, &acknowledged, &mut states)).unwrap_or_else(Err)
            })
            .and_then(|()| std::fs::remove_dir_all(&copy).map_err(|e| format!("cannot remove the copy: {e}")));
        if let Err(what) = outcome {
            let kept = place.keep();
            return Err(format!("life {life} in {}: {what}", kept.display()));
        }
        budget.add(1);
    }
    Ok(())
}

/// Starts a child, kills it at a random moment; the number of the last batch that each thread acknowledged.
fn live_and_die(dir: &Path, seed: u64, program: &Path, rng: &mut Rng) -> Result<BTreeMap<u64, u64>, String> {
    let mut child = Command::new(program)
        .args(["kill-child", "--seed", &seed.to_string(), "--dir"])
        .arg(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cannot start {}: {e}", program.display()))?;
    let mut out = child.stdout.take().ok_or("the child has no output")?;
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        out.read_to_string(&mut text).map(|_| text)
    });
    // Every fourth dies early, most of them while they recover.
    let ms = if rng.below(4) == 0 { rng.below(12) } else { 10 + rng.below(200) };
    std::thread::sleep(Duration::from_millis(ms));
    let killed = child.kill();
    let status = child.wait().map_err(|e| format!("cannot wait for the child: {e}"))?;
    let text =
        reader.join().map_err(|_| "the reader panicked")?.map_err(|e| format!("cannot read from the child: {e}"))?;
    if killed.is_err() || status.signal() != Some(KILL) {
        return Err(format!("the child ended by itself: {status}"));
    }
    acknowledged(&text)
}

fn acknowledged(text: &str) -> Result<BTreeMap<u64, u64>, String> {
    let mut last = BTreeMap::new();
    for line in text.lines().filter(|line| *line != "open") {
        let numbers: Option<(u64, u64)> =
            line.split_once(' ').and_then(|(t, n)| Some((t.parse().ok()?, n.parse().ok()?)));
        let (thread, number) = numbers.ok_or_else(|| format!("the child said {line:?}"))?;
        last.insert(thread, number);
    }
    Ok(last)
}

/// Opens what the child left and compares every key.
fn compare(dir: &Path, seed: u64, acknowledged: &BTreeMap<u64, u64>, states: &mut [ThreadState]) -> Result<(), String> {
    let refused = |e: halodb::Error| format!("refused without reason: {}", Refusal::from(e));
    let db = script::SETUP.builder(Arc::new(OsVfs), dir, Create::IfMissing).open().map_err(refused)?;
    for (thread, state) in (0..).zip(states.iter_mut()) {
        let last = db.get(script::counter(thread)).map_err(refused)?;
        let last = last.map_or(0, |bytes| bytes[..].try_into().map_or(u64::MAX, u64::from_le_bytes));
        let least = acknowledged.get(&thread).copied().unwrap_or(0).max(state.number);
        if last < least || last > least + 1 {
            return Err(format!("thread {thread} acknowledged batch {least}, the database is at batch {last}"));
        }
        state.advance(seed, thread, last);
        let mut found = BTreeMap::new();
        for pair in db.prefix(script::prefix(thread)) {
            let (key, value) = pair.map_err(refused)?;
            found.insert(key.to_vec(), value.to_vec());
        }
        if found != state.pairs {
            let keys = state.pairs.keys().chain(found.keys());
            let first = keys.filter(|key| state.pairs.get(*key) != found.get(*key)).min();
            let first = first.map_or(String::new(), |key| show(key));
            return Err(format!("thread {thread} at batch {last}: {first} is not what was written"));
        }
    }
    let report = db.check(Depth::Deep).map_err(refused)?;
    if let Some(finding) = report.findings.first() {
        return Err(format!(
            "check finds {} faults, first: {}: {}",
            report.findings.len(),
            finding.path.display(),
            finding.what
        ));
    }
    db.close().map_err(refused)
}

fn copy_dir(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    let entries = match std::fs::read_dir(from) {
        // The child died before it had made the directory.
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_acknowledgement_of_each_thread_counts() {
        assert_eq!(acknowledged("open\n0 1\n1 1\n0 2\n").unwrap(), BTreeMap::from([(0, 2), (1, 1)]));
        assert_eq!(acknowledged("").unwrap(), BTreeMap::new());
        assert!(acknowledged("open\n0 x\n").is_err());
    }

    #[test]
    fn a_batch_always_moves_its_threads_counter() {
        let mut state = ThreadState::default();
        state.advance(1, 0, 7);
        assert_eq!(state.pairs[&script::counter(0)], 7u64.to_le_bytes());
    }
}
