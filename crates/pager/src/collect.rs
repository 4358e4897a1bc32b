//! [`Collector`]: builds page images and writes neighbours together in large pieces.
//!
//! What it holds was not written yet; nothing here is synchronised. The order of the writes does not matter: no meta
//! reaches any of them before the data sync. So pages wait until there are many, and are then written by address:
//! leaves, and the extents and branches made in between, which lie elsewhere, do not cut each other into small writes.

use crate::error::Result;
use crate::file::PageFile;
use crate::growth;
use crate::id::PAGE_HEADER_LEN;
use crate::page::{CHECKSUM_LEN, Header, Summer, seal};
use halodb_vfs::FileExt;
use std::ops::Range;

/// So many bytes wait at most before they are written.
const PIECE: usize = 2 * 1024 * 1024;

/// Makes the file so many bytes long at least.
pub(crate) type Lengthen<'l> = &'l mut dyn FnMut(u64) -> Result<()>;

#[derive(Debug, Default)]
pub(crate) struct Collector {
    bytes: Vec<u8>,
    /// What lies where in `bytes`, in the order it came; neighbours in both the file and the memory are one image.
    images: Vec<Image>,
    /// One write's bytes, where they come from several places.
    joined: Vec<u8>,
}

/// A run of pages that waits.
#[derive(Clone, Copy, Debug)]
struct Image {
    offset: u64,
    at: usize,
    len: usize,
}

impl Image {
    fn end(&self) -> u64 {
        self.offset + self.len as u64
    }
}

impl Collector {
    /// Adds a page or extent. The body fits it: the caller has checked that.
    pub(crate) fn add(&mut self, file: &PageFile, lengthen: Lengthen<'_>, header: Header, body: &[u8]) -> Result<()> {
        let offset = file.offset(header.at.id.0);
        let total = u64::from(header.at.pages) * file.page_size();
        let zeros = total - (PAGE_HEADER_LEN + body.len()) as u64;
        if total <= PIECE as u64 {
            let begin = self.bytes.len();
            self.bytes.extend_from_slice(&header.encode());
            self.bytes.extend_from_slice(body);
            self.bytes.resize(begin + total as usize, 0);
            seal(file.seed(), &mut self.bytes[begin..]);
            self.placed(offset, begin);
            return self.flush_if_large(file, lengthen);
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
        let mut at = offset;
        let mut put = |piece: &[u8]| {
            let begin = self.bytes.len();
            self.bytes.extend_from_slice(piece);
            self.placed(at, begin);
            at += piece.len() as u64;
            self.flush_if_large(file, lengthen)
        };
        put(&head)?;
        body.chunks(PIECE).try_for_each(&mut put)?;
        in_pieces_of_zeros(zeros, put)
    }

    /// Whether nothing waits to be written.
    pub(crate) fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// The bytes from `begin` on belong at `offset`.
    fn placed(&mut self, offset: u64, begin: usize) {
        let len = self.bytes.len() - begin;
        match self.images.last_mut() {
            Some(last) if last.end() == offset => last.len += len,
            _ => self.images.push(Image { offset, at: begin, len }),
        }
    }

    fn flush_if_large(&mut self, file: &PageFile, lengthen: Lengthen<'_>) -> Result<()> {
        if self.bytes.len() < PIECE {
            return Ok(());
        }
        let range = self.write(file, lengthen)?;
        // There is more to come: the disk may begin.
        file.file.begin_writing(range.start, range.end - range.start);
        Ok(())
    }

    /// Writes what is held, neighbours together, after making the file long enough.
    pub(crate) fn flush(&mut self, file: &PageFile, lengthen: Lengthen<'_>) -> Result<()> {
        self.write(file, lengthen).map(|_| ())
    }

    /// As [`Collector::flush`]. Gives the range of the file within which it wrote.
    fn write(&mut self, file: &PageFile, lengthen: Lengthen<'_>) -> Result<Range<u64>> {
        self.images.sort_unstable_by_key(|image| image.offset);
        if let Some(last) = self.images.last() {
            lengthen(last.end())?;
        }
        for run in self.images.chunk_by(|a, b| a.end() == b.offset) {
            let bytes = match run {
                [image] => &self.bytes[image.at..image.at + image.len],
                _ => {
                    self.joined.clear();
                    run.iter().for_each(|i| self.joined.extend_from_slice(&self.bytes[i.at..i.at + i.len]));
                    &self.joined
                }
            };
            file.file.write_all_at(bytes, run[0].offset).map_err(file.io("write"))?;
        }
        let range = match self.images[..] {
            [first, .., last] => first.offset..last.end(),
            [only] => only.offset..only.end(),
            [] => 0..0,
        };
        self.images.clear();
        self.bytes.clear();
        Ok(range)
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
