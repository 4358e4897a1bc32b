//! [`Mapping`]: a read-only window on a file, possibly longer than the file is now.
//!
//! The unsafety of mapped memory has its address here: the bytes of a mapping change when the file is written, and do
//! not exist beyond its end. [`Mapping::slice`] is therefore unsafe, and states what its caller has to ensure.

use memmap2::MmapRaw;

/// A read-only mapping of the beginning of a file.
#[derive(Debug)]
pub struct Mapping {
    raw: MmapRaw,
    residency: Residency,
}

/// Whether the system's word on what is in memory is worth asking for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Residency {
    /// It tells.
    Told,
    /// It calls everything resident (Linux, to whoever may not write to the file), or every read is to be a call of its own
    /// (the simulated disk, whose faults strike calls).
    Unknown,
}

/// Where more has to be asked about at once the answer is "no".
const MOST_SYSTEM_PAGES: usize = 32;

impl Mapping {
    pub(crate) fn new(raw: MmapRaw, residency: Residency) -> Self {
        Self { raw, residency }
    }

    /// The same mapping, which does not ask the system what is in memory.
    pub(crate) fn without_residency(self) -> Self {
        Self { residency: Residency::Unknown, ..self }
    }

    /// The number of bytes for which addresses are reserved; not the file's length.
    pub fn len(&self) -> u64 {
        self.raw.len() as u64
    }

    /// Whether no address is reserved.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The address of `offset`, for prefetching; `None` outside the reserved range. Never dereferenced by this crate.
    pub fn address(&self, offset: u64) -> Option<*const u8> {
        (offset < self.len()).then(|| self.raw.as_ptr().wrapping_add(offset as usize))
    }

    /// Whether the system has these bytes of the file in memory at this moment, so that reading them through the mapping needs
    /// no disk (`mincore`, one system call). "No" where that is not known: beyond the end of the file, for more than 128 KiB, for a
    /// file that was not opened for writing, on other systems than Linux, on a simulated disk.
    ///
    /// The system may give the memory up at any time after the answer, as it may with bytes that were read a moment ago.
    #[cfg(target_os = "linux")]
    #[expect(unsafe_code, reason = "a system call that std does not have, about addresses and with an array of ours")]
    pub fn is_resident(&self, offset: u64, len: usize) -> bool {
        let Some(end) = offset.checked_add(len as u64).filter(|end| *end <= self.len()) else { return false };
        let unit = system_page();
        let start = offset / unit * unit;
        let count = (end - start).div_ceil(unit) as usize;
        let mut pages = [0u8; MOST_SYSTEM_PAGES];
        if self.residency == Residency::Unknown || len == 0 || count > pages.len() {
            return false;
        }
        let address = self.raw.as_mut_ptr().wrapping_add(start as usize);
        // SAFETY: the call reads no memory of the range, which begins at a page of the system within the mapping, and writes one
        // byte for each page of it; there are as many in the array.
        let answer = unsafe { libc::mincore(address.cast(), (end - start) as usize, pages.as_mut_ptr()) };
        answer == 0 && pages[..count].iter().all(|page| page & 1 == 1)
    }

    /// Whether the system has these bytes of the file in memory. Here nobody knows.
    #[cfg(not(target_os = "linux"))]
    pub fn is_resident(&self, _offset: u64, _len: usize) -> bool {
        false
    }

    /// The bytes at `offset`; `None` if they are not inside the reserved range.
    ///
    /// # Safety
    /// For as long as the slice lives, the caller ensures that `offset + len` is within the file's length, and that
    /// nobody writes to these bytes of the file.
    #[expect(unsafe_code, reason = "the only place where mapped memory becomes a slice")]
    pub unsafe fn slice(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let end = offset.checked_add(len as u64)?;
        if end > self.len() {
            return None;
        }
        // SAFETY: the range is inside the mapping, which lives as long as `self`; the caller ensures that the file
        // backs it and that its bytes do not change.
        Some(unsafe { std::slice::from_raw_parts(self.raw.as_ptr().add(offset as usize), len) })
    }
}

/// Bytes of a page of the system, a power of two.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "a call of the C library without pointers")]
fn system_page() -> u64 {
    static BYTES: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    // SAFETY: the call takes a number and gives one.
    *BYTES.get_or_init(|| u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(0).max(4096))
}
