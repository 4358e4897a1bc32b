//! [`PageFile`]: the open file with its identity; reads whole pages and verifies them, reads and writes metas.
//!
//! Every read here is a system call, so that an I/O error or a short file is a typed error; the mapping is used only for
//! pages that were verified before, or that are in memory (see `snapshot.rs`). This file decides nothing about what may be written
//! when.

use crate::error::{Error, Result};
use crate::id::{Identity, MAX_PAGE_SIZE, PageRef};
use crate::meta::{META_LEN, Meta};
use crate::page::{self, Header, Summer};
use halodb_vfs::{File, FileExt, Mapping, mutant};
use std::cell::Cell;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Extents are read in pieces of this many bytes, so that a damaged length cannot claim memory. Every page is one piece.
const PIECE: usize = MAX_PAGE_SIZE as usize;

thread_local! {
    /// Where [`PageFile::read`] reads to, between two reads: the first touch of a page needs no memory of its own.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Sizes of the address range to reserve, tried in this order.
const RESERVATIONS: [u64; 4] = [1 << 40, 1 << 36, 1 << 33, 1 << 30];

#[derive(Debug)]
pub(crate) struct PageFile {
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn File>,
    pub(crate) identity: Identity,
    seed: u64,
}

impl PageFile {
    pub(crate) fn new(path: PathBuf, file: Arc<dyn File>, identity: Identity) -> Self {
        PageFile { path, file, identity, seed: page::seed_of(&identity) }
    }

    /// Bytes per page.
    pub(crate) fn page_size(&self) -> u64 {
        u64::from(self.identity.page_size)
    }

    /// The seed of page checksums.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// Where a page begins. The page number was checked against a page count that fits the file.
    pub(crate) fn offset(&self, page: u64) -> u64 {
        page * self.page_size()
    }

    pub(crate) fn io(&self, op: &'static str) -> impl FnOnce(io::Error) -> Error + '_ {
        move |source| Error::Io { op, path: self.path.clone(), source }
    }

    pub(crate) fn corrupt(&self, page: u64, what: impl Into<String>) -> Error {
        let offset = page.saturating_mul(self.page_size());
        Error::Corrupt { path: self.path.clone(), offset, what: what.into() }
    }

    /// Reads a page or extent from the file and compares checksum, id, stamp and length. The caller has checked that it
    /// lies in the file.
    pub(crate) fn verify(&self, at: PageRef) -> Result<()> {
        self.read(at, |_| ()).map(|_| ())
    }

    /// As [`PageFile::verify`] for an ordinary page, whose bytes it returns.
    pub(crate) fn read_page(&self, at: PageRef) -> Result<(Header, Vec<u8>)> {
        let mut bytes = Vec::new();
        let header = self.read(at, |piece| bytes.extend_from_slice(piece))?;
        Ok((header, bytes))
    }

    /// Whether the bytes of a page or extent, as the mapping shows them, are what [`PageFile::verify`] would let pass. "No" for
    /// extents longer than a piece, which are read in pieces.
    pub(crate) fn is_sound(&self, at: PageRef, bytes: &[u8]) -> bool {
        bytes.len() <= PIECE && page::states(bytes, at) && page::is_sealed(self.seed, bytes)
    }

    fn read(&self, at: PageRef, each: impl FnMut(&[u8])) -> Result<Header> {
        // A thread that is ending has no buffer any more.
        let mut buf = BUFFER.try_with(Cell::take).unwrap_or_default();
        let needed = (u64::from(at.pages) * self.page_size()).min(PIECE as u64) as usize;
        if buf.len() < needed {
            buf.resize(needed, 0);
        }
        let header = self.read_pieces(at, &mut buf[..needed], each);
        let _ = BUFFER.try_with(|kept| kept.set(buf));
        header
    }

    fn read_pieces(&self, at: PageRef, buf: &mut [u8], mut each: impl FnMut(&[u8])) -> Result<Header> {
        let mut left = u64::from(at.pages) * self.page_size();
        let mut offset = self.offset(at.id.0);
        let mut summer = Summer::new(self.seed);
        let mut header = None;
        while left > 0 {
            let piece = &mut buf[..left.min(PIECE as u64) as usize];
            self.file.read_exact_at(piece, offset).map_err(|e| match e.kind() {
                io::ErrorKind::UnexpectedEof => self.corrupt(at.id.0, "the file ends inside the page"),
                _ => self.io("read")(e),
            })?;
            summer.update(piece);
            header.get_or_insert_with(|| Header::decode(piece, at));
            each(piece);
            offset += piece.len() as u64;
            left -= piece.len() as u64;
        }
        if !mutant("pager.ignore-page-checksum") {
            summer.verify().map_err(|what| self.corrupt(at.id.0, what))?;
        }
        header.unwrap_or_else(|| Err("it has no page".into())).map_err(|what| self.corrupt(at.id.0, what))
    }

    /// Reads a meta slot; `None` if the file ends before its end.
    pub(crate) fn read_slot(&self, slot: u32) -> Result<Option<[u8; META_LEN]>> {
        let mut bytes = [0; META_LEN];
        match self.file.read_exact_at(&mut bytes, self.offset(u64::from(slot))) {
            Ok(()) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(e) => Err(self.io("read")(e)),
        }
    }

    /// Writes a meta to a slot and synchronises it. After a failure the slot holds nobody knows what.
    pub(crate) fn write_slot(&self, slot: u32, meta: &Meta) -> Result<()> {
        self.file.write_all_at(&meta.encode(slot), self.offset(u64::from(slot))).map_err(self.io("write"))?;
        self.sync()
    }

    pub(crate) fn sync(&self) -> Result<()> {
        let done = self.file.sync_data();
        // The classic fault: the second try succeeds, because the system has given the pages up as clean.
        let done = if done.is_err() && mutant("pager.retry-failed-sync") { self.file.sync_data() } else { done };
        done.map_err(self.io("sync"))
    }

    /// Reserves addresses for a file of `needed` bytes and for as much growth as the system grants.
    pub(crate) fn map(&self, needed: u64) -> Result<Arc<Mapping>> {
        let twice = needed.checked_next_power_of_two().unwrap_or(needed).saturating_mul(2);
        let mut refused = None;
        for len in RESERVATIONS.into_iter().filter(|len| *len >= needed).chain([twice, needed]) {
            match self.file.map(len) {
                Ok(mapping) => return Ok(Arc::new(mapping)),
                Err(e) => refused = Some(e),
            }
        }
        let refused = refused.unwrap_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory));
        Err(self.io("map")(refused))
    }
}
