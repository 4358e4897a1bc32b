//! Building a page file that holds the keys of a cursor: the way of a backup and of a restore.
//!
//! The pages are packed full, as nothing is to be inserted between them. A file comes into being in chunks, each a commit
//! of its own, so that the memory it takes does not grow with it; the few pages that a chunk gives up (the right edge of the
//! tree) are used again by later ones.
//!
//! [`Meter`] tells how far the work is and hears whether it is to go on.

use crate::checkpoint::Checkpoint;
use crate::cursor::Cursor;
use crate::stream::expiry_of;
use crate::{Error, ErrorKind, Result};
use halodb_btree::{Change, Edits, Tree, TreeOptions};
use halodb_pager::{Identity, Pager};
use halodb_vfs::Vfs;
use std::cell::RefCell;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

/// Nothing is inserted between the keys while a tree is built.
const FILL_PERCENT: u32 = 100;
/// The least number of pages in a chunk.
const MIN_CHUNK_PAGES: u64 = 8;
/// So many keys go by between two reports.
const KEYS_PER_REPORT: u64 = 4096;

/// What a backup or a restore is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CopyStep {
    /// Reading the files of a backup and comparing their checksums; counts bytes.
    Verify,
    /// Writing new trees; counts keys.
    Copy,
    /// Reading what was written, for its checksums, and making it durable; counts bytes.
    Seal,
    /// Checking the restored database; counts databases.
    Check,
}

/// How far a step of a backup or a restore is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopyProgress {
    /// The step.
    pub step: CopyStep,
    /// How much of it is done.
    pub done: u64,
    /// How much there is to do.
    pub total: u64,
}

impl CopyProgress {
    /// Says so.
    pub fn new(step: CopyStep, done: u64, total: u64) -> Self {
        Self { step, done, total }
    }
}

/// Hears how far the work is, and says whether it goes on.
pub type OnProgress<'p> = &'p mut dyn FnMut(CopyProgress) -> ControlFlow<()>;

pub(crate) struct Meter<'p> {
    report: OnProgress<'p>,
    now: CopyProgress,
}

impl<'p> Meter<'p> {
    pub(crate) fn new(report: OnProgress<'p>) -> Self {
        Self { report, now: CopyProgress { step: CopyStep::Copy, done: 0, total: 0 } }
    }

    /// A step begins.
    pub(crate) fn begin(&mut self, step: CopyStep, total: u64) -> Result<()> {
        self.now = CopyProgress { step, done: 0, total };
        self.tell()
    }

    /// So much more of the step is done.
    pub(crate) fn add(&mut self, done: u64) -> Result<()> {
        self.now.done += done;
        self.tell()
    }

    fn tell(&mut self) -> Result<()> {
        match (self.report)(self.now) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::new(ErrorKind::Cancelled, "it was cancelled; nothing was changed")),
        }
    }
}

/// What a page file is to be.
pub(crate) struct NewFile<'a> {
    pub(crate) vfs: &'a Arc<dyn Vfs>,
    pub(crate) path: &'a Path,
    pub(crate) identity: Identity,
    pub(crate) options: TreeOptions,
    pub(crate) checkpoint: Checkpoint,
    /// Bytes of pages per chunk, about.
    pub(crate) chunk_bytes: u64,
}

/// Makes the page file with everything from `source`, durable but for a last cut of its length. Returns the number of keys.
pub(crate) fn build(file: &NewFile<'_>, mut source: Cursor, meter: &mut Meter<'_>) -> Result<u64> {
    let user = file.checkpoint.encode();
    let pager = Pager::create(file.vfs.clone(), file.path, file.identity, &user)?;
    source.seek_first()?;
    let mut edits = Source { cursor: source, taken: 0, told: 0, meter, failed: RefCell::default() };
    let limit_pages = (file.chunk_bytes / u64::from(file.identity.page_size)).max(MIN_CHUNK_PAGES);
    loop {
        let base = Tree::open(pager.snapshot(), 0, file.options)?;
        let mut txn = pager.begin()?;
        let merged = halodb_btree::merge(&mut txn, &base, &[], &mut edits, FILL_PERCENT, limit_pages);
        // What ended the stream is told before what came of its end.
        edits.check()?;
        let merged = merged?;
        let roots: Vec<_> = merged.root.into_iter().collect();
        if !roots.is_empty() {
            txn.commit(&roots, &user)?;
        }
        if merged.merged_up_to.is_none() {
            break;
        }
    }
    let (taken, rest) = (edits.taken, edits.taken - edits.told);
    meter.add(rest)?;
    pager.trim()?;
    Ok(taken)
}

/// The keys of a cursor, as edits that put them.
struct Source<'m, 'p> {
    cursor: Cursor,
    taken: u64,
    told: u64,
    meter: &'m mut Meter<'p>,
    /// Why the stream ended before its end.
    failed: RefCell<Option<Error>>,
}

impl Source<'_, '_> {
    fn check(&self) -> Result<()> {
        self.failed.borrow_mut().take().map_or(Ok(()), Err)
    }

    fn move_on(&mut self) -> Result<()> {
        self.taken += 1;
        if self.taken - self.told >= KEYS_PER_REPORT {
            self.meter.add(self.taken - self.told)?;
            self.told = self.taken;
        }
        self.cursor.next()
    }
}

impl Edits for Source<'_, '_> {
    fn current(&self) -> Option<(&[u8], Change<'_>)> {
        if self.failed.borrow().is_some() {
            return None;
        }
        let key = self.cursor.key()?;
        let put = || Ok((self.cursor.value()?, expiry_of(self.cursor.life())));
        match put() {
            Ok((value, expiry)) => Some((key, Change::put_until(value?, expiry))),
            Err(e) => {
                self.failed.replace(Some(e));
                None
            }
        }
    }

    fn advance(&mut self) {
        if let Err(e) = self.move_on() {
            self.failed.replace(Some(e));
        }
    }
}
