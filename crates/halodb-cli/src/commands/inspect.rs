//! `inspect`: the bytes on disk, for somebody who holds `docs/format.md` beside it. Reads the files themselves, without the
//! lock, so it works on a database that does not open and on one that is open.
//!
//! What the bytes mean is the library's to say (`halodb::inspect` and the `inspect` modules of the engine); here it is only put
//! into lines. Damage is told and is exit code 4.

mod hex;
mod meta;
mod page;
mod rows;
mod sheet;
mod wal;

use crate::args::Inspect;
use crate::failure::Result;
use crate::output::Format;
use crate::session::Session;
use halodb::inspect::Inspector;

/// Rows of entries or records that people see unless they ask for more.
const ROWS: u64 = 20;

/// `inspect meta | page | wal`.
pub(crate) fn run(session: &mut Session, command: &Inspect, format: Format) -> Result<()> {
    let files = halodb::inspect::open(session.place.directory()?)?;
    if let Some(doubt) = files.doubt() {
        eprintln!("the MANIFEST cannot be read ({doubt}): what it would say is taken from the other files");
    }
    match command {
        Inspect::Meta { partition } => meta::show(session, &files, *partition, format),
        Inspect::Page(page) => page::show(session, &files, page, format),
        Inspect::Wal(wal) => wal::show(session, &files, wal, format),
    }
}

/// The partitions that are meant: one, or all.
fn partitions(files: &Inspector, partition: Option<u32>) -> std::ops::Range<u32> {
    match partition {
        Some(one) => one..one.saturating_add(1),
        None => 0..files.manifest().partitions,
    }
}
