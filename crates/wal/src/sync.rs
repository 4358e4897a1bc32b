//! The locks and atomics of this crate: parking_lot's and the standard library's, unless a model checker runs it.
//!
//! Not here: `Arc`. Nothing depends on the order in which the last references go.

#[cfg(not(any(loom, shuttle)))]
pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
#[cfg(not(any(loom, shuttle)))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64};

#[cfg(any(loom, shuttle))]
pub(crate) use halodb_vfs::scheduled::{AtomicBool, AtomicU64, Condvar, Mutex, MutexGuard};
