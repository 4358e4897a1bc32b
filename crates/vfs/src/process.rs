//! [`process_id`] and [`Process`]: which process this is, without a system call.
//!
//! A database that was opened before a `fork` must not be used in the child, so each call asks who it is. The answer is
//! kept in a page of memory that the kernel empties in every child (`MADV_WIPEONFORK`, Linux 4.14), however it was made:
//! an empty word means "ask the system". Where there is no such page the system is asked each time.

use std::sync::atomic::{AtomicU32, Ordering};

/// The number of this process, as [`std::process::id`] says, also in a child made by `fork`. Costs a load from the second call on.
#[inline]
pub fn process_id() -> u32 {
    match word() {
        Some(word) => match word.load(Ordering::Relaxed) {
            0 => remember(word),
            id => id,
        },
        None => std::process::id(),
    }
}

/// A process, for whoever must know later whether it is still there or in a child that was forked since.
///
/// ```
/// let opened_by = halodb_vfs::Process::this();
/// assert!(opened_by.is_this());
/// assert_eq!(opened_by.id(), std::process::id());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Process {
    /// See [`word`].
    word: Option<&'static AtomicU32>,
    id: u32,
}

impl Process {
    /// This one.
    pub fn this() -> Self {
        Self::numbered(process_id())
    }

    /// The one with a number.
    pub fn numbered(id: u32) -> Self {
        Process { word: word(), id }
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Whether the caller is in it. Costs a load. In a new child the word is empty, and so it is no process's number.
    #[inline]
    pub fn is_this(&self) -> bool {
        match self.word {
            Some(word) => word.load(Ordering::Relaxed) == self.id,
            None => std::process::id() == self.id,
        }
    }
}

#[cold]
fn remember(word: &AtomicU32) -> u32 {
    let id = std::process::id();
    // Threads that come here together store the same.
    word.store(id, Ordering::Relaxed);
    id
}

#[cfg(target_os = "linux")]
#[inline]
fn word() -> Option<&'static AtomicU32> {
    use std::sync::LazyLock;
    static WORD: LazyLock<Option<&'static AtomicU32>> = LazyLock::new(wiped_on_fork);
    *WORD
}

#[cfg(not(target_os = "linux"))]
#[inline]
fn word() -> Option<&'static AtomicU32> {
    None
}

/// A word that is 0, and is 0 again in every child. Never given back.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "a page of memory with a promise of the kernel's about forks")]
fn wiped_on_fork() -> Option<&'static AtomicU32> {
    /// What is asked for; the kernel gives whole pages.
    const LEN: usize = 4096;
    // SAFETY: a new private mapping; no memory that exists is touched.
    let page = unsafe {
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        libc::mmap(std::ptr::null_mut(), LEN, protection, flags, -1, 0)
    };
    if page == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: the range is the mapping just made, and nothing is in it.
    if unsafe { libc::madvise(page, LEN, libc::MADV_WIPEONFORK) } != 0 {
        // SAFETY: as above; nobody knows the address.
        unsafe { libc::munmap(page, LEN) };
        return None;
    }
    // SAFETY: a page is aligned for a word, holds zeros, which are one, is never unmapped, and is used through this atomic
    // only. The kernel's wiping happens in a child before any of its code runs.
    Some(unsafe { AtomicU32::from_ptr(page.cast()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_systems_answer_every_time() {
        for _ in 0..3 {
            assert_eq!(process_id(), std::process::id());
        }
        assert!(Process::this().is_this());
        assert!(!Process::numbered(std::process::id() + 1).is_this());
    }

    #[cfg(target_os = "linux")]
    #[test]
    #[expect(unsafe_code, reason = "a child made by fork is what is tested")]
    fn a_forked_child_is_another_process() {
        let parent = process_id();
        let opener = Process::this();
        // SAFETY: the child calls nothing but what is safe between `fork` and `_exit`: a load, `getpid`, and `_exit`.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                let is_told = !opener.is_this() && process_id() != parent && process_id() == std::process::id();
                let is_told = is_told && !opener.is_this() && Process::this().is_this();
                libc::_exit(if is_told { 0 } else { 1 });
            }
            assert!(child > 0, "fork failed");
            let mut status = -1;
            assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
            assert_eq!(status, 0, "the child took itself for its parent");
        }
        assert_eq!(process_id(), parent);
        assert!(opener.is_this());
    }
}
