//! Making a failing workload small: leave out what is not needed, first large pieces, then single steps, then single
//! writes of batches ("Simplifying and isolating failure-inducing input", Zeller and Hildebrandt 2002).
//!
//! The short tests shrink by proptest itself; a workload of thousands of steps needs the halving.

use super::ops::{Op, Val, Write};
use std::time::{Duration, Instant};

/// The smallest workload found within `limit` for which `fails` still says something, with what it says; `None` if the
/// whole one does not fail.
pub fn smallest(steps: &[Op], limit: Duration, fails: impl Fn(&[Op]) -> Option<String>) -> Option<(Vec<Op>, String)> {
    let until = Instant::now() + limit;
    let mut best = steps.to_vec();
    let mut said = fails(&best)?;
    let mut attempt = |candidate: Vec<Op>, best: &mut Vec<Op>| match fails(&candidate) {
        Some(text) => {
            *best = candidate;
            said = text;
            true
        }
        None => false,
    };
    let mut size = best.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        let mut removed = false;
        while at < best.len() && Instant::now() < until {
            let mut candidate = best.clone();
            candidate.drain(at..(at + size).min(best.len()));
            if attempt(candidate, &mut best) {
                removed = true;
            } else {
                at += size;
            }
        }
        // Single steps are tried until none can go.
        if size > 1 || !removed {
            size /= 2;
        }
    }
    for at in 0..best.len() {
        for simpler in simpler(&best[at]) {
            if Instant::now() >= until {
                break;
            }
            let mut candidate = best.clone();
            candidate[at] = simpler;
            attempt(candidate, &mut best);
        }
    }
    Some((best, said))
}

/// Simpler forms of one step: a batch without one of its writes, shorter values.
fn simpler(op: &Op) -> Vec<Op> {
    if let Op::Begin(reads) = op {
        return (0..reads.len()).map(|skip| Op::Begin([&reads[..skip], &reads[skip + 1..]].concat())).collect();
    }
    let Op::Commit(batch, level) = op else { return Vec::new() };
    let without =
        |skip: usize| batch.iter().enumerate().filter(|(i, _)| *i != skip).map(|(_, write)| write.clone()).collect();
    let mut forms: Vec<Op> =
        (0..batch.len()).filter(|_| batch.len() > 1).map(|skip| Op::Commit(without(skip), *level)).collect();
    let short = |write: &Write| match write {
        Write::PutUntil(key, value, after) => {
            Write::PutUntil(*key, Val { len: value.len.min(4), fill: value.fill }, *after)
        }
        Write::Put(key, value) => Write::Put(*key, Val { len: value.len.min(4), fill: value.fill }),
        other => other.clone(),
    };
    forms.push(Op::Commit(batch.iter().map(short).collect(), *level));
    forms
}

#[cfg(test)]
mod tests {
    use super::*;
    use halodb::Durability;

    fn put(key: u16) -> Op {
        Op::Commit(vec![Write::Put(key, Val { len: 900, fill: 1 }), Write::Delete(key + 1)], Durability::Sync)
    }

    #[test]
    fn a_failure_shrinks_to_what_matters() {
        let steps: Vec<Op> = (0..300).map(put).collect();
        let has = |steps: &[Op], key: u16| {
            steps.iter().any(|op| matches!(op, Op::Commit(batch, _) if batch.iter().any(|w| matches!(w, Write::Put(k, _) if *k == key))))
        };
        let fails = |steps: &[Op]| (has(steps, 17) && has(steps, 230)).then(|| "both".to_owned());
        let (smallest, said) = smallest(&steps, Duration::from_secs(10), fails).unwrap();
        assert_eq!(said, "both");
        assert_eq!(smallest.len(), 2);
    }

    #[test]
    fn what_does_not_fail_has_no_smallest_failure() {
        assert_eq!(smallest(&[put(1)], Duration::from_secs(1), |_| None), None);
    }
}
