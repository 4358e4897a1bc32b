//! Whose turn it is to write: many at a time, or one that clears and lets nothing else be in flight.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

/// A lock that remembers a refusal.
///
/// A write that was refused may be in the log nevertheless, so it stays in flight for ever, and whoever wants to be alone
/// afterwards is refused as well.
#[derive(Debug, Default)]
pub(super) struct Turn {
    lock: RwLock<()>,
    refused: AtomicBool,
}

impl Turn {
    /// Writes beside others.
    ///
    /// # Errors
    /// Those of `write`.
    pub(super) fn shared(&self, write: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
        let _shared = self.lock.read().unwrap_or_else(PoisonError::into_inner);
        self.noted(write())
    }

    /// Writes while nothing else does, and with no write before it that nobody knows the outcome of.
    ///
    /// # Errors
    /// Those of `write`; an earlier one was refused.
    pub(super) fn alone(&self, write: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
        let _alone = self.lock.write().unwrap_or_else(PoisonError::into_inner);
        if self.refused.load(Ordering::Relaxed) {
            return Err("another thread was refused, so nobody can be alone".to_owned());
        }
        self.noted(write())
    }

    fn noted(&self, outcome: Result<(), String>) -> Result<(), String> {
        if outcome.is_err() {
            // The lock orders it.
            self.refused.store(true, Ordering::Relaxed);
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_alone_with_a_write_whose_outcome_is_unknown() {
        let turn = Turn::default();
        turn.shared(|| Ok(())).unwrap();
        turn.alone(|| Ok(())).unwrap();
        turn.shared(|| Err("the device failed".to_owned())).unwrap_err();
        turn.alone(|| panic!("alone with a write in flight")).unwrap_err();
        turn.shared(|| Ok(())).unwrap();
    }
}
