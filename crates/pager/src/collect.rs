//! [`Collector`]: builds page images and writes neighbours together in large pieces.
//!
//! What it holds was not written yet; nothing here is synchronised. The order of the writes does not matter: no meta
//! reaches any of them before the data sync.

use crate::error::Result;
use crate::file::PageFile;
use crate::growth;
use crate::id::PAGE_HEADER_LEN;
use crate::page::{CHECKSUM_LEN, Header, Summer, seal};
use halodb_vfs::FileExt;

/// A piece is written when it has this many bytes, or when the next page does not follow it.
const PIECE: usize = 2 * 1024 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Collector {
    bytes: Vec<u8>,
    offset: u64,
}

impl Collector {
    /// Adds a page or extent. The body fits it: the caller has checked that.
    pub(crate) fn add(&mut self, file: &PageFile, file_len: &mut u64, header: Header, body: &[u8]) -> Result<()> {
        let offset = file.offset(header.at.id.0);
        if offset != self.offset + self.bytes.len() as u64 {
            self.flush(file, file_len)?;
            self.offset = offset;
        }
        let total = u64::from(header.at.pages) * file.page_size();
        let zeros = total - (PAGE_HEADER_LEN + body.len()) as u64;
        if total <= PIECE as u64 {
            let begin = self.bytes.len();
            self.bytes.extend_from_slice(&header.encode());
            self.bytes.extend_from_slice(body);
            self.bytes.resize(begin + total as usize, 0);
            seal(file.seed(), &mut self.bytes[begin..]);
            return self.flush_if_large(file, file_len);
        }
        // Too large to hold: the checksum comes from a first pass over the parts.
        let mut head = header.encode();
        let mut summer = Summer::new(file.seed());
        summer.update(&head);
        summer.update(body);
        in_pieces_of_zeros(zeros, |piece| {
            summer.update(piece);
            Ok(())
        })?;
        head[..CHECKSUM_LEN].copy_from_slice(&summer.computed().to_le_bytes());
        self.bytes.extend_from_slice(&head);
        for piece in body.chunks(PIECE) {
            self.bytes.extend_from_slice(piece);
            self.flush_if_large(file, file_len)?;
        }
        in_pieces_of_zeros(zeros, |piece| {
            self.bytes.extend_from_slice(piece);
            self.flush_if_large(file, file_len)
        })
    }

    fn flush_if_large(&mut self, file: &PageFile, file_len: &mut u64) -> Result<()> {
        if self.bytes.len() >= PIECE { self.flush(file, file_len) } else { Ok(()) }
    }

    /// Writes what is held, after making the file long enough.
    pub(crate) fn flush(&mut self, file: &PageFile, file_len: &mut u64) -> Result<()> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        let end = self.offset + self.bytes.len() as u64;
        ensure_len(file, file_len, end)?;
        file.file.write_all_at(&self.bytes, self.offset).map_err(file.io("write"))?;
        self.offset = end;
        self.bytes.clear();
        Ok(())
    }
}

/// Makes the file at least `needed` bytes long. Durable with the next data sync.
pub(crate) fn ensure_len(file: &PageFile, file_len: &mut u64, needed: u64) -> Result<()> {
    if needed > *file_len {
        let len = growth::grown(needed);
        file.file.set_len(len).map_err(file.io("extend"))?;
        *file_len = len;
    }
    Ok(())
}

fn in_pieces_of_zeros(mut count: u64, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    const ZEROS: [u8; 4096] = [0; 4096];
    while count > 0 {
        let len = count.min(ZEROS.len() as u64);
        each(&ZEROS[..len as usize])?;
        count -= len;
    }
    Ok(())
}
