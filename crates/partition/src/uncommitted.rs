//! [`Share`]: how much memory batches and transactions hold that are not committed yet, of all of a set together.
//!
//! What is written and not committed lies in memory, and only its owner knows when it will end. So there is one account for a
//! set, and whoever collects writes takes shares of it as they come. What no longer fits is refused at once, with the
//! numbers, while there is memory left, and nothing that others do meanwhile is in danger: a batch is spilled to files then
//! (`staged.rs`), a transaction refuses the write. A share is given back when its
//! owner is dropped or committed; from then on the layer that it became counts (`large.rs`).
//!
//! Each share has a first step free: small batches and transactions never come here. So the account is exact up to one step for each.
//!
//! What this file does not do: it measures nothing. Who collects says what it takes.

use crate::set::{PartitionSet, Shared};
use crate::sync::Mutex;
use crate::{Error, ErrorKind, Result};
use std::sync::Arc;

/// So many times the memory of all memtables may be held by what is not committed.
const MEMTABLES: u64 = 32;
/// In any case so much: where memtables are tiny, a batch may still be a batch.
const LEAST_BYTES: u64 = 64 << 20;
/// So many steps make the account, unless they would be large.
const STEPS: u64 = 64;
const LARGEST_STEP_BYTES: u64 = 1 << 20;

/// What all shares of a set hold together.
#[derive(Debug)]
pub(crate) struct Uncommitted {
    held_bytes: Mutex<u64>,
    limit_bytes: u64,
}

impl Uncommitted {
    /// With this limit, or else the one that follows from the bytes of all memtables.
    pub(crate) fn new(limit_bytes: Option<u64>, memtable_bytes: u64) -> Arc<Self> {
        let limit_bytes = limit_bytes.unwrap_or(memtable_bytes.saturating_mul(MEMTABLES).max(LEAST_BYTES));
        Arc::new(Self { held_bytes: Mutex::new(0), limit_bytes })
    }

    pub(crate) fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    pub(crate) fn share(self: &Arc<Self>) -> Share {
        Share { account: self.clone(), held_bytes: 0 }
    }

    fn step_bytes(&self) -> u64 {
        (self.limit_bytes / STEPS).clamp(1, LARGEST_STEP_BYTES)
    }
}

/// What one batch or transaction holds of the memory for writes that are not committed; given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    account: Arc<Uncommitted>,
    held_bytes: u64,
}

impl Default for Share {
    /// Of an account that nobody else has, and that has no limit: for what was promised already, like a replay.
    fn default() -> Self {
        Uncommitted::new(Some(u64::MAX), 0).share()
    }
}

impl Share {
    /// Sees to it that the owner may hold so many bytes in all. One comparison, and every MiB a lock.
    ///
    /// # Errors
    /// `Memory` if all shares together would be more than there may be: the share is as it was.
    #[inline]
    pub fn hold(&mut self, bytes: u64) -> Result<()> {
        if bytes <= self.held_bytes.saturating_add(self.step_bytes()) { Ok(()) } else { self.grow(bytes) }
    }

    #[cold]
    fn grow(&mut self, bytes: u64) -> Result<()> {
        let limit = self.account.limit_bytes;
        let mut all = self.account.held_bytes.lock();
        let others = *all - self.held_bytes;
        if bytes > limit.saturating_sub(others) {
            let what = format!(
                "a batch or transaction that is not committed would hold {bytes} bytes of memory; of the {limit} bytes that all of \
                 them may hold together, others have {others}"
            );
            return Err(Error::new(ErrorKind::Memory, what));
        }
        *all = others + bytes;
        self.held_bytes = bytes;
        Ok(())
    }

    /// So much may be held beyond what was asked for.
    #[inline]
    pub(crate) fn step_bytes(&self) -> u64 {
        self.account.step_bytes()
    }

    /// Gives back what it holds beyond so many bytes.
    pub(crate) fn shrink_to(&mut self, bytes: u64) {
        if self.held_bytes > bytes {
            *self.account.held_bytes.lock() -= self.held_bytes - bytes;
            self.held_bytes = bytes;
        }
    }

    /// Gives everything back.
    pub(crate) fn give_back(&mut self) {
        if self.held_bytes == 0 {
            return;
        }
        *self.account.held_bytes.lock() -= std::mem::take(&mut self.held_bytes);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl Shared {
    /// Whether layers of large commits that are not merged leave no room for `bytes` more: together they may take as much as what is
    /// not committed. One alone always has room, and so has one that takes no memory.
    pub(crate) fn is_full_of_layers(&self, bytes: u64) -> bool {
        let current = self.versions.load();
        let frozen = current.parts.iter().flat_map(|part| &part.frozen);
        let unmerged: u64 = frozen.map(|layer| layer.table.size_bytes()).sum();
        bytes > 0 && unmerged > 0 && unmerged.saturating_add(bytes) > self.uncommitted.limit_bytes()
    }
}

impl PartitionSet {
    /// Nothing yet of the memory for writes that are not committed: 32 times [`Options::memtable_bytes`](crate::Options::memtable_bytes),
    /// at least 64 MiB, for all batches and transactions together.
    pub fn share(&self) -> Share {
        self.shared.uncommitted.share()
    }

    /// Bytes that batches and transactions hold which are not committed, without the first step of each (1 MiB at most). One lock.
    pub fn uncommitted_bytes(&self) -> u64 {
        *self.shared.uncommitted.held_bytes.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_refused_when_all_of_them_together_would_be_too_large_and_stay_as_they_were() {
        let account = Uncommitted::new(Some(6400), 0);
        let (mut one, mut two) = (account.share(), account.share());
        one.hold(4000).unwrap();
        let error = two.hold(3000).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Memory);
        assert!(error.to_string().contains("3000 bytes") && error.to_string().contains("have 4000"), "{error}");
        two.hold(2400).unwrap();
        assert_eq!(*account.held_bytes.lock(), 6400);
        drop(one);
        assert_eq!(*account.held_bytes.lock(), 2400);
        two.hold(6400).unwrap();
        two.give_back();
        assert_eq!(*account.held_bytes.lock(), 0);
    }

    #[test]
    fn what_takes_less_than_a_step_is_not_counted() {
        let account = Uncommitted::new(Some(6400), 0);
        let mut share = account.share();
        share.hold(100).unwrap();
        assert_eq!(*account.held_bytes.lock(), 0);
        share.hold(101).unwrap();
        assert_eq!(*account.held_bytes.lock(), 101);
        share.hold(201).unwrap();
        assert_eq!(*account.held_bytes.lock(), 101, "again a step later");
    }

    #[test]
    fn the_limit_follows_the_memtables_and_is_never_tiny() {
        assert_eq!(Uncommitted::new(None, 64 << 20).limit_bytes(), 2 << 30);
        assert_eq!(Uncommitted::new(None, 4096).limit_bytes(), 64 << 20);
        assert_eq!(Uncommitted::new(None, u64::MAX).limit_bytes(), u64::MAX);
        Share::default().hold(u64::MAX).unwrap();
    }
}
