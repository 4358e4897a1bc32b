//! [`Kept`]: what a program holds of the engine's, and what becomes of it in a child made by `fork`.
//!
//! A child has a copy of everything its parent held, and none of its threads. To read there is not safe: the parent does not
//! know of the child's readers, and writes over pages that it takes for free, under the mapping that both share. To let go of
//! it there is not safe either: a lock on the way may have been held, at the moment of the fork, by a thread that the child
//! does not have. So in a child it answers `Forked`, and dropping it does nothing: its memory stays until the child ends or
//! executes another program.

use halodb_vfs::Process;

use crate::{Error, Result};

/// See the head of this file. `T` is something of which all clones are one, such as an `Arc`.
#[derive(Debug)]
pub(crate) struct Kept<T: Clone> {
    it: T,
    taken_by: Process,
}

impl<T: Clone> Kept<T> {
    /// From now on it belongs to this process.
    pub(crate) fn new(it: T) -> Self {
        Kept { it, taken_by: Process::this() }
    }

    /// It, to be read.
    ///
    /// # Errors
    /// `Forked`.
    #[inline]
    pub(crate) fn here(&self) -> Result<&T> {
        if self.taken_by.is_this() { Ok(&self.it) } else { Err(Error::forked("what is read", self.taken_by)) }
    }

    /// It, for what needs neither a lock nor a page.
    pub(crate) fn anywhere(&self) -> &T {
        &self.it
    }
}

impl<T: Clone> Clone for Kept<T> {
    fn clone(&self) -> Self {
        Kept { it: self.it.clone(), taken_by: self.taken_by }
    }
}

impl<T: Clone> Drop for Kept<T> {
    fn drop(&mut self) {
        if !self.taken_by.is_this() {
            // One more is counted for good, so nothing of it ever ends.
            std::mem::forget(self.it.clone());
        }
    }
}
