//! How long a row may take, and what its value is.

use std::time::{Duration, Instant};

use crate::engine::Result;

/// The time after which a row that counts operations ends early: its value is the rate so far.
pub(crate) const ENOUGH: Duration = Duration::from_secs(10);

/// The time that short rows repeat themselves for.
pub(crate) const REPEAT: Duration = Duration::from_millis(400);

/// Does `op` for 0, 1, … up to `total`, or until [`ENOUGH`] time has passed, which is looked at every `chunk`
/// operations. How many were done, and the time they took.
///
/// # Errors
/// The first of `op`.
pub(crate) fn capped(total: u64, chunk: u64, mut op: impl FnMut(u64) -> Result<()>) -> Result<(u64, Duration)> {
    let start = Instant::now();
    let mut done = 0;
    while done < total && (done == 0 || start.elapsed() < ENOUGH) {
        let end = total.min(done + chunk);
        for step in done..end {
            op(step)?;
        }
        done = end;
    }
    Ok((done, start.elapsed()))
}

/// Operations a second.
pub(crate) fn rate(ops: u64, time: Duration) -> f64 {
    ops as f64 / time.as_secs_f64().max(1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_done_once_and_in_order_when_there_is_time() {
        let mut seen = Vec::new();
        let (done, _) = capped(10, 4, |step| {
            seen.push(step);
            Ok(())
        })
        .unwrap();
        assert_eq!((done, seen), (10, (0..10).collect()));
    }

    #[test]
    fn a_rate_is_operations_a_second() {
        assert!((rate(10, Duration::from_secs(2)) - 5.0).abs() < 1e-9);
    }
}
