//! Locks and atomics under the hand of a model checker: with `--cfg loom` or `--cfg shuttle`, [loom] or [shuttle] decides
//! which thread goes next, and with loom also which value a load sees.
//!
//! They have the interface of parking_lot's and the standard library's, as far as the engine uses it: locks that cannot be
//! poisoned, and a condition variable that waits through a mutable guard. The crates above choose between the real ones and
//! these in a file of their own, `sync.rs`. Ordinary builds have none of this; `cargo xtask loom` and `cargo xtask shuttle`
//! make the others.
//!
//! loom skips orders that it believes to make no difference. To tell, it compares an access with the *last* one to the same
//! object, and a load by one thread hides the load of another one before it; its `RwLock` forgets readers in the same way.
//! Seen from outside: a snapshot that asked for the visible number too late was not noticed in any schedule. So here
//! readers of an `RwLock` exclude each other, and each access to an atomic first takes a turn: a relaxed
//! read-modify-write beside it, which depends on all earlier ones, and makes nothing visible to anybody.
//!
//! [loom]: https://docs.rs/loom
//! [shuttle]: https://docs.rs/shuttle

#[cfg(loom)]
use loom::sync;
#[cfg(shuttle)]
use shuttle::sync;
use std::ops::{Deref, DerefMut};
use std::sync::{PoisonError, TryLockError};

#[cfg(loom)]
pub use turns::{AtomicBool, AtomicU64};

#[cfg(shuttle)]
pub use sync::atomic::{AtomicBool, AtomicU64};

/// A lock that one thread holds at a time.
#[derive(Debug, Default)]
pub struct Mutex<T>(sync::Mutex<T>);

/// Holds a [`Mutex`] until it is dropped.
// `None` only while it waits.
#[derive(Debug)]
pub struct MutexGuard<'a, T>(Option<sync::MutexGuard<'a, T>>);

/// Lets threads wait for each other.
#[derive(Debug, Default)]
pub struct Condvar(sync::Condvar);

impl<T> Mutex<T> {
    /// Not held.
    pub fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    /// Waits until nobody holds it.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard(Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Takes it if nobody holds it.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(MutexGuard(Some(guard))),
            Err(TryLockError::Poisoned(poisoned)) => Some(MutexGuard(Some(poisoned.into_inner()))),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().expect("a guard is empty only while it waits")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_deref_mut().expect("a guard is empty only while it waits")
    }
}

impl Condvar {
    /// Nobody waits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the lock up, waits to be woken, takes the lock again.
    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let held = guard.0.take().expect("a guard is empty only while it waits");
        guard.0 = Some(self.0.wait(held).unwrap_or_else(PoisonError::into_inner));
    }

    /// Wakes one thread that waits.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes all threads that wait.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// A lock for one writer or several readers; with loom, for one reader (see the head of this file).
#[derive(Debug, Default)]
pub struct RwLock<T>(#[cfg(loom)] sync::Mutex<T>, #[cfg(shuttle)] sync::RwLock<T>);

#[cfg(loom)]
impl<T> RwLock<T> {
    /// Not held.
    pub fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    /// Waits until nobody holds it.
    pub fn read(&self) -> sync::MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody holds it.
    pub fn write(&self) -> sync::MutexGuard<'_, T> {
        self.read()
    }
}

#[cfg(shuttle)]
impl<T> RwLock<T> {
    /// Not held.
    pub fn new(value: T) -> Self {
        Self(sync::RwLock::new(value))
    }

    /// Waits until no writer holds it.
    pub fn read(&self) -> sync::RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody holds it.
    pub fn write(&self) -> sync::RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(loom)]
mod turns {
    use loom::sync::atomic;
    use std::sync::atomic::Ordering;

    macro_rules! with_turns {
        ($name:ident, $value:ty) => {
            #[doc = concat!("An atomic `", stringify!($value), "`, each access to which takes a turn.")]
            #[derive(Debug, Default)]
            pub struct $name {
                value: atomic::$name,
                turn: atomic::AtomicUsize,
            }

            impl $name {
                /// Holds `value`.
                pub fn new(value: $value) -> Self {
                    Self { value: atomic::$name::new(value), turn: atomic::AtomicUsize::new(0) }
                }

                fn turn(&self) -> &atomic::$name {
                    self.turn.fetch_add(1, Ordering::Relaxed);
                    &self.value
                }

                /// A value that was stored, not always the last one.
                pub fn load(&self, order: Ordering) -> $value {
                    self.turn().load(order)
                }

                /// Stores `value`.
                pub fn store(&self, value: $value, order: Ordering) {
                    self.turn().store(value, order);
                }

                /// Stores `value` in the place of the last one.
                pub fn swap(&self, value: $value, order: Ordering) -> $value {
                    self.turn().swap(value, order)
                }
            }
        };
    }

    with_turns!(AtomicBool, bool);
    with_turns!(AtomicU64, u64);

    impl AtomicU64 {
        /// Adds.
        pub fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
            self.turn().fetch_add(value, order)
        }

        /// Keeps the greater one.
        pub fn fetch_max(&self, value: u64, order: Ordering) -> u64 {
            self.turn().fetch_max(value, order)
        }
    }
}
