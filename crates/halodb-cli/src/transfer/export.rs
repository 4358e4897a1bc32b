//! `export`: every key and value of one snapshot, sorted, as records that `import` reads back unchanged.
//!
//! A file appears whole or not at all: it is written under a temporary name beside its place, synced and renamed.

use super::packed::{Kind, Packer};
use super::progress::Progress;
use super::writer::{Encoding, Writer};
use super::{FileFormat, Header, is_stdio};
use crate::args::Export;
use crate::failure::{Failure, Result};
use crate::output::{Format, Out};
use crate::session::Session;
use crate::signals;
use halodb::Snapshot;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Records between two looks at the clock.
const RECORDS_PER_LOOK: u64 = 256;

/// `export [PATH]`.
pub(crate) fn export(session: &mut Session, export: &Export, asked: Option<Format>) -> Result<()> {
    let snapshot = session.reading()?.snapshot();
    let format = FileFormat::choose(asked, &export.path)?;
    let writer = Writer {
        format,
        header: Header::choose(export.no_header, format)?,
        encoding: encoding(export, format)?,
        with_expiry: snapshot.has_time(),
    };
    if is_stdio(&export.path) {
        return write(&mut session.out, &snapshot, writer);
    }
    let packs = packs(&export.path, format)?;
    if is_special(&export.path) {
        let file = File::options().write(true).open(&export.path);
        let file = file.map_err(|e| Failure::file("write", &export.path, &e))?;
        return write(&mut opened(file, &export.path, packs), &snapshot, writer);
    }
    let failed = |e: std::io::Error| Failure::file("write", &export.path, &e);
    let temporary = temporary_name(&export.path);
    let written = File::create(&temporary).map_err(failed).and_then(|file| {
        let synced = file.try_clone().map_err(failed)?;
        write(&mut opened(file, &export.path, packs), &snapshot, writer)?;
        synced.sync_all().and_then(|()| fs::rename(&temporary, &export.path)).map_err(failed)
    });
    if written.is_err() {
        // Nothing more can be done about a leftover whose removal fails; the failure itself is reported.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn encoding(export: &Export, format: FileFormat) -> Result<Encoding> {
    match (export.base64, format) {
        (false, _) => Ok(Encoding::Bytes),
        (true, FileFormat::Csv) => Ok(Encoding::Base64),
        (true, other) => {
            Err(Failure::usage(format!("--base64 is for CSV files, and {} holds any bytes without it", other.name()))
                .with_hint("say --format csv as well, or leave --base64 out"))
        }
    }
}

/// What becomes of the bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    Plain,
    Gzip,
}

/// What the name of a file asks for: one that ends in `.zst` must not hold anything else.
fn packs(path: &Path, format: FileFormat) -> Result<Packing> {
    match Kind::of_name(path) {
        None => Ok(Packing::Plain),
        Some(Kind::Gzip) => Ok(Packing::Gzip),
        Some(_) => {
            let (name, form) = (path.display(), format.name());
            Err(Failure::usage(format!("export does not write {name}: it knows plain files and gzip (.gz)"))
                .with_hint(format!("pack it on the way: `halodb export --format {form} | … > {name}`")))
        }
    }
}

fn opened(file: File, path: &Path, packing: Packing) -> Out {
    match packing {
        Packing::Plain => Out::file(file, path),
        Packing::Gzip => Out::file(Packer::new(file), path),
    }
}

/// Writes all records and flushes, once.
fn write(out: &mut Out, snapshot: &Snapshot, writer: Writer) -> Result<()> {
    let mut progress = Progress::new("exported", Some(snapshot.len()?));
    let mut buffer = Vec::new();
    writer.begin(&mut buffer);
    out.bytes(&buffer)?;
    let mut written = 0_u64;
    let mut scan = snapshot.scan::<&[u8]>(..);
    while let Some((key, value)) = scan.next()? {
        signals::check()?;
        let expires_at_ms = if writer.with_expiry { expires_at_ms(snapshot, key)? } else { None };
        buffer.clear();
        writer.record(&mut buffer, key, value, expires_at_ms);
        out.bytes(&buffer)?;
        written += 1;
        if written.is_multiple_of(RECORDS_PER_LOOK) {
            progress.at(written, written);
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_how_a_file_is_packed() {
        let check = |name: &str, expected| assert_eq!(packs(Path::new(name), FileFormat::Csv).ok(), expected, "{name}");
        check("a.csv", Some(Packing::Plain));
        check("a.csv.gz", Some(Packing::Gzip));
        check("a.csv.zst", None);
    }
}
