//! The locks and atomics of this crate: parking_lot's and the standard library's, unless a model checker runs it.
//!
//! Not here: `Arc` and `OnceLock`. Nothing depends on the order in which the last references go, and the one thing that is
//! set once, why a page file takes no more writes, is looked at again under the log's lock.

#[cfg(not(any(loom, shuttle)))]
pub(crate) use parking_lot::{Mutex, RwLock};
#[cfg(not(any(loom, shuttle)))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64};

#[cfg(any(loom, shuttle))]
pub(crate) use halodb_vfs::scheduled::{AtomicBool, AtomicU64, Mutex, RwLock};
