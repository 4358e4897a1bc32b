//! Commands on keys that are named: `put`, `get`, `mget`, `delete`, `exists`.

use crate::args::{Delete, Exists, Get, Mget, Put};
use crate::failure::{Failure, Result};
use crate::input::{self, MAX_LINE, Stdin};
use crate::output::{Columns, Format, Rows};
use crate::session::{Session, bytes};
use halodb::{Condition, Keyspace, Ttl, WriteOptions};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// `put KEY VALUE`: answers `OK`.
pub(crate) fn put(session: &mut Session, put: &Put, format: Format) -> Result<()> {
    let keys = session.writing()?;
    let value = value(put, &session.stdin)?;
    match keys.put_with(bytes(&put.key), &value, &options(put))? {
        Some(commit) => done(session, commit, format),
        None => Err(unmet(put)),
    }
}

/// What the options of a `put` ask for.
pub(crate) fn options(put: &Put) -> WriteOptions {
    let mut options = WriteOptions::default();
    options.condition = match (put.if_absent, put.if_present) {
        (true, _) => Condition::IfAbsent,
        (_, true) => Condition::IfPresent,
        _ => Condition::Always,
    };
    options.ttl = put.ttl.map_or(Ttl::Never, Ttl::After);
    options
}

/// The answer to a `put` whose condition does not hold.
pub(crate) fn unmet(put: &Put) -> Failure {
    if put.if_absent { Failure::answer("exists", "(exists)") } else { not_found() }
}

/// `get KEY`: writes the value.
pub(crate) fn get(session: &mut Session, get: &Get, format: Format) -> Result<()> {
    let keys = session.reading()?;
    let key = bytes(&get.key);
    let out = &mut session.out;
    let shown = keys.get_with(key, |value| match (get.raw, format) {
        (true, Format::Text) => out.bytes(value),
        _ => out.value(key, value, format),
    })?;
    match shown {
        Some(shown) => shown,
        None => {
            // A program that reads JSON gets one value for every `get`.
            if format.is_json() {
                session.out.line("null")?;
            }
            Err(not_found())
        }
    }
}

/// `mget KEY…`: keys and values of those that are there, in the order in which they were asked for.
pub(crate) fn mget(session: &mut Session, mget: &Mget, format: Format) -> Result<()> {
    let values = session.reading()?.multi_get(mget.keys.iter().map(|key| bytes(key)))?;
    let mut rows = Rows::new(&mut session.out, format, Columns::Pairs)?;
    let mut missing = 0;
    for (key, value) in mget.keys.iter().zip(&values) {
        match value {
            Some(value) => rows.row(bytes(key), value)?,
            None => missing += 1,
        }
    }
    rows.finish()?;
    match missing {
        0 => Ok(()),
        _ => Err(Failure::answer("not_found", &format!("({missing} of {} keys not found)", values.len()))),
    }
}

/// `delete KEY…`: writes how many of the keys were there.
pub(crate) fn delete(session: &mut Session, delete: &Delete) -> Result<()> {
    let keyspace = session.writing()?;
    let deleted = match delete.keys.as_slice() {
        [key] => u64::from(keyspace.delete(bytes(key))?),
        keys => delete_together(&keyspace, keys)?,
    };
    session.out.line(deleted.to_string())
}

/// `exists KEY`: writes `true` or `false`.
pub(crate) fn exists(session: &mut Session, exists: &Exists) -> Result<()> {
    let there = session.reading()?.contains(bytes(&exists.key))?;
    session.out.line(there.to_string())?;
    if there {
        return Ok(());
    }
    // The answer is on standard output already.
    Err(Failure::silent_no())
}

/// The answer of a write.
pub(crate) fn done(session: &mut Session, commit: halodb::Commit, format: Format) -> Result<()> {
    if format.is_json() {
        let answer = serde_json::json!({ "ok": true, "seq": commit.seq });
        return session.out.line(answer.to_string());
    }
    session.out.line("OK")
}

/// The answer of a write that has no sequence number of its own.
pub(crate) fn ok(session: &mut Session, format: Format) -> Result<()> {
    session.out.line(if format.is_json() { "{\"ok\":true}" } else { "OK" })
}

/// Deletes several keys in one batch. This process has the database alone and this thread is its only writer, so what is
/// counted first is what the batch deletes.
fn delete_together(keyspace: &Keyspace, keys: &[std::ffi::OsString]) -> Result<u64> {
    let unique: BTreeSet<&[u8]> = keys.iter().map(|key| bytes(key)).collect();
    let mut there = 0;
    let mut batch = keyspace.batch();
    for key in unique {
        there += u64::from(keyspace.contains(key)?);
        batch = batch.delete(key);
    }
    batch.commit()?;
    Ok(there)
}

pub(crate) fn not_found() -> Failure {
    Failure::answer("not_found", "(not found)")
}

/// The bytes that VALUE stands for.
pub(super) fn value<'a>(put: &'a Put, stdin: &Stdin) -> Result<Cow<'a, [u8]>> {
    let word = bytes(&put.value);
    match word {
        _ if put.literal => Ok(Cow::Borrowed(word)),
        b"-" => {
            let mut value = Vec::new();
            let mut input = stdin.lock();
            let read = input.by_ref().take(MAX_LINE).read_to_end(&mut value);
            read.map_err(|e| input::failure("read the value from standard input", &e))?;
            Ok(Cow::Owned(value))
        }
        [b'@', name @ ..] => {
            let path = Path::new(OsStr::from_bytes(name));
            let value = fs::read(path).map_err(|e| {
                Failure::file("read the value from", path, &e)
                    .with_hint("a value that begins with @ names a file; --literal stores it as it is")
            })?;
            Ok(Cow::Owned(value))
        }
        word => Ok(Cow::Borrowed(word)),
    }
}
