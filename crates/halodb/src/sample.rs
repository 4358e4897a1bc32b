//! Which calls are timed: one in [`ONE_IN`], chosen at random by each thread for itself.
//!
//! Looking at the clock twice takes as long as a good part of a lookup, and a counter that threads share as long as all of it.
//! So a thread counts down a number of its own, and draws a new one when it is there. Random, as calls come in patterns: every
//! 64th of a loop over four keyspaces would always be of the same. No two threads share anything here.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

/// One call in so many, on average, is timed.
pub(crate) const ONE_IN: u64 = 64;

struct Local {
    /// Calls until the one that is timed.
    left: Cell<u32>,
    /// State of a xorshift generator; 0: not begun.
    random: Cell<u32>,
    number: Cell<u32>,
}

thread_local! {
    static LOCAL: Local = const { Local { left: Cell::new(0), random: Cell::new(0), number: Cell::new(0) } };
}

/// Whether this call is one to be timed.
#[inline]
pub(crate) fn is_due() -> bool {
    LOCAL.with(|local| match local.left.get() {
        left @ 2.. => {
            local.left.set(left - 1);
            false
        }
        _ => local.renew(),
    })
}

/// A number of the calling thread, for spreading threads over places to write to.
pub(crate) fn thread() -> usize {
    LOCAL.with(|local| local.number.get() as usize)
}

impl Local {
    #[cold]
    fn renew(&self) -> bool {
        static THREADS: AtomicU32 = AtomicU32::new(1);
        if self.random.get() == 0 {
            let number = THREADS.fetch_add(1, Ordering::Relaxed);
            self.number.set(number);
            self.random.set(number.wrapping_mul(0x9e37_79b9) | 1);
            self.left.set(self.gap());
        }
        // 1: this one is due.
        let left = self.left.get() - 1;
        self.left.set(if left == 0 { self.gap() } else { left });
        left == 0
    }

    /// How many calls until one is due: geometric, as if a die were cast at each. So calls of threads that make a few only
    /// are as likely to be due as all others.
    fn gap(&self) -> u32 {
        let mut x = self.random.get();
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        self.random.set(x);
        let uniform = (f64::from(x) + 0.5) / (f64::from(u32::MAX) + 1.0);
        1 + (uniform.ln() / (1.0 - 1.0 / ONE_IN as f64).ln()) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_in_64_is_due_in_threads_of_many_calls_and_of_few() {
        for (threads, calls) in [(1, 640_000), (2000, 100)] {
            let due = |_| std::thread::spawn(move || (0..calls).filter(|_| is_due()).count()).join().unwrap();
            let due: usize = (0..threads).map(due).sum();
            let expected = (threads * calls) as f64 / ONE_IN as f64;
            assert!((due as f64 - expected).abs() < expected / 10.0, "{due} instead of {expected}");
        }
    }
}
