//! [`WalOptions`]: what a log needs to know, and the ranges it accepts.

use crate::record::{BLOCK, HEADER_LEN, records_limit};
use crate::segment::RECORDS_START;
use crate::{Error, Result};

/// What a log needs to know.
#[derive(Clone, Debug)]
pub struct WalOptions {
    /// The database's id: mixed into every header checksum.
    pub uuid: [u8; 16],
    /// Repeated in segment headers, checked at open.
    pub incarnation: u64,
    /// Bytes per segment (a record that is larger gets a segment of its own size). From 4 KiB to 1 GiB, rounded up to
    /// a multiple of 512, and to 8 KiB: no record goes into the last block of 4 KiB. Larger segments rotate less often and are
    /// recycled later.
    pub segment_bytes: u64,
    /// Bytes of the first segment of a new log (tests open thousands). Same range.
    pub first_segment_bytes: u64,
    /// Greatest number of bytes in the buffer before a writer of a weaker level leads the write itself.
    pub buffer_bytes: usize,
}

const SMALLEST: u64 = 4 << 10;
const LARGEST: u64 = 1 << 30;
const SECTOR: u64 = 512;

impl WalOptions {
    /// Segments of 16 MiB, the first one of 1 MiB, a buffer of 1 MiB.
    pub fn new(uuid: [u8; 16], incarnation: u64) -> Self {
        Self { uuid, incarnation, segment_bytes: 16 << 20, first_segment_bytes: 1 << 20, buffer_bytes: 1 << 20 }
    }

    /// The same options with lengths rounded up to whole sectors, and two blocks.
    pub(crate) fn checked(mut self) -> Result<Self> {
        for (name, bytes) in
            [("segment_bytes", &mut self.segment_bytes), ("first_segment_bytes", &mut self.first_segment_bytes)]
        {
            if !(SMALLEST..=LARGEST).contains(bytes) {
                return Err(Error::Invalid(format!("{name} is {bytes}; it must be from {SMALLEST} to {LARGEST}")));
            }
            *bytes = bytes.next_multiple_of(SECTOR).max(2 * BLOCK);
        }
        Ok(self)
    }

    /// Bytes of a segment in which a record of `record_len` bytes finds room.
    pub(crate) fn segment_for(&self, record_len: u64) -> u64 {
        let needed = RECORDS_START + record_len + HEADER_LEN as u64;
        let len = (needed.next_multiple_of(BLOCK) + BLOCK).max(self.segment_bytes);
        debug_assert!(needed <= records_limit(len));
        len
    }
}
