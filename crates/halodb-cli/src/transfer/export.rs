//! `export`: every key and value of one snapshot, sorted, as records that `import` reads back unchanged.
//!
//! A file appears whole or not at all: it is written under a temporary name beside its place, synced and renamed.

use super::progress::Progress;
use super::{FileFormat, is_stdio};
use crate::args::Export;
use crate::failure::{Failure, Result};
use crate::output::{Columns, Format, Out, Rows};
use crate::session::Session;
use crate::signals;
use halodb::Snapshot;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Rows between two looks at the clock.
const ROWS_PER_LOOK: u64 = 256;

/// `export [PATH]`.
pub(crate) fn export(session: &mut Session, export: &Export, asked: Option<Format>) -> Result<()> {
    let snapshot = session.reading()?.snapshot();
    let format = match FileFormat::choose(asked, &export.path)? {
        FileFormat::Jsonl => Format::Jsonl,
        FileFormat::Csv => Format::Csv,
    };
    if is_stdio(&export.path) {
        return write(&mut session.out, &snapshot, format);
    }
    if is_special(&export.path) {
        let file = File::options().write(true).open(&export.path);
        let file = file.map_err(|e| Failure::file("write", &export.path, &e))?;
        let mut out = Out::file(file, &export.path);
        write(&mut out, &snapshot, format)?;
        return out.flush();
    }
    let temporary = temporary_name(&export.path);
    let written = write_file(&temporary, &snapshot, format)
        .and_then(|()| fs::rename(&temporary, &export.path).map_err(|e| Failure::file("write", &export.path, &e)));
    if written.is_err() {
        // Nothing more can be done about a leftover whose removal fails; the failure itself is reported.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write_file(path: &Path, snapshot: &Snapshot, format: Format) -> Result<()> {
    let failed = |e: std::io::Error| Failure::file("write", path, &e);
    let file = File::create(path).map_err(failed)?;
    let synced = file.try_clone().map_err(failed)?;
    let mut out = Out::file(file, path);
    write(&mut out, snapshot, format)?;
    out.flush()?;
    synced.sync_all().map_err(failed)
}

fn write(out: &mut Out, snapshot: &Snapshot, format: Format) -> Result<()> {
    let mut progress = Progress::new("exported", Some(snapshot.len()?));
    // A column that stays empty is left out.
    let columns = if snapshot.has_time() { Columns::Expiring } else { Columns::Pairs };
    let mut rows = Rows::new(out, format, columns)?;
    for pair in snapshot.iter() {
        signals::check()?;
        let (key, value) = pair?;
        rows.expiring(&key, &value, expires_at_ms(snapshot, &key)?)?;
        if rows.written().is_multiple_of(ROWS_PER_LOOK) {
            progress.at(rows.written(), rows.written());
        }
    }
    let written = rows.written();
    rows.finish()?;
    out.flush()?;
    progress.finish(written);
    Ok(())
}

/// When a key expires, in milliseconds since 1970.
fn expires_at_ms(snapshot: &Snapshot, key: &[u8]) -> Result<Option<u64>> {
    let at = snapshot.expires_at(key)?.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    Ok(at.map(|since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
}

/// A device or pipe is written in place: it cannot be renamed over.
fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}
