//! [`Mapping`]: a read-only window on a file, possibly longer than the file is now.
//!
//! The unsafety of mapped memory has its address here: the bytes of a mapping change when the file is written, and do
//! not exist beyond its end. [`Mapping::slice`] is therefore unsafe, and states what its caller has to ensure.

use memmap2::MmapRaw;

/// A read-only mapping of the beginning of a file.
#[derive(Debug)]
pub struct Mapping {
    raw: MmapRaw,
}

impl Mapping {
    pub(crate) fn new(raw: MmapRaw) -> Self {
        Self { raw }
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
