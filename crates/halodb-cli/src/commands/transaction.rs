//! Transactions in shell and pipe: `begin`, `commit`, `rollback`, and what the commands on data do in between.
//!
//! Inside a transaction they read and write it, and answer as they do outside. Commands that cannot take part, because they
//! commit by themselves or read the files, are refused. What is still open at the end is rolled back.

use super::browse::{self, Span};
use super::keys::{self, not_found};
use super::{revise, ttl};
use crate::args::{Command, Count, Delete, Get, List, Mget, Put, Scan};
use crate::failure::{Failure, Result};
use crate::output::{Columns, Format, Rows};
use crate::session::{Front, Session, bytes};
use halodb::{Transaction, Ttl};
use std::collections::BTreeSet;
use std::ffi::OsString;

/// `begin`: answers `OK`.
pub(crate) fn begin(session: &mut Session, format: Format) -> Result<()> {
    if session.front == Front::OneShot {
        return Err(Failure::usage("`begin` is for shell and pipe: a single command is a transaction of its own"));
    }
    if session.transaction.is_some() {
        return Err(Failure::usage("a transaction is open already").with_hint("`commit` or `rollback` ends it"));
    }
    session.transaction = Some(session.db()?.begin()?);
    keys::ok(session, format)
}

/// `commit`: answers as a write does.
pub(crate) fn commit(session: &mut Session, format: Format) -> Result<()> {
    let commit = taken(session)?.commit()?;
    keys::done(session, commit, format)
}

/// `rollback`: answers `OK`.
pub(crate) fn rollback(session: &mut Session, format: Format) -> Result<()> {
    taken(session)?.rollback();
    keys::ok(session, format)
}

fn taken(session: &mut Session) -> Result<Transaction> {
    let none = || Failure::usage("no transaction is open").with_hint("`begin` begins one, in shell and pipe");
    session.transaction.take().ok_or_else(none)
}

/// Runs a command on data in the open transaction; `None`: the command has nothing to do with data.
pub(crate) fn run(session: &mut Session, command: &Command, format: Format) -> Option<Result<()>> {
    let done = match command {
        Command::Import(_) | Command::Export(_) | Command::Drop(_) => {
            let what = "this command does not take part in transactions";
            return Some(Err(Failure::usage(what).with_hint("`commit` or `rollback` first")));
        }
        Command::Put(put) => within(session, |session, tx| self::put(session, tx, put, format)),
        Command::Expire(expire) => within(session, |session, tx| {
            let is_there = tx.expire(bytes(&expire.key), Ttl::After(expire.after))?;
            ttl::changed(session, is_there, format)
        }),
        Command::Persist(persist) => within(session, |session, tx| {
            let is_there = tx.expire(bytes(&persist.key), Ttl::Never)?;
            ttl::changed(session, is_there, format)
        }),
        Command::Ttl(of) => within(session, |session, tx| {
            let state = tx.ttl(bytes(&of.key))?;
            ttl::show(session, state, format)
        }),
        Command::Get(get) => within(session, |session, tx| self::get(session, tx, get, format)),
        Command::Mget(mget) => within(session, |session, tx| self::mget(session, tx, mget, format)),
        Command::Delete(delete) => within(session, |session, tx| self::delete(session, tx, delete)),
        Command::Exists(exists) => within(session, |session, tx| {
            let there = tx.contains(bytes(&exists.key))?;
            session.out.line(there.to_string())?;
            if there { Ok(()) } else { Err(Failure::silent_no()) }
        }),
        Command::List(list) => within(session, |session, tx| self::list(session, tx, list, format)),
        Command::Scan(scan) => within(session, |session, tx| self::scan(session, tx, scan, format)),
        Command::Count(count) => within(session, |session, tx| self::count(session, tx, count)),
        Command::Len => within(session, |session, tx| session.out.line(tx.len()?.to_string())),
        Command::Rank(rank) => within(session, |session, tx| {
            let below = tx.rank(bytes(&rank.key))?;
            session.out.line(below.to_string())
        }),
        Command::Nth(nth) => within(session, |session, tx| {
            let pair = tx.nth(nth.number)?;
            let mut rows = Rows::new(&mut session.out, format, Columns::Pairs)?;
            if let Some((key, value)) = &pair {
                rows.row(key, value)?;
            }
            rows.finish()?;
            if pair.is_some() { Ok(()) } else { Err(not_found()) }
        }),
        Command::Incr(incr) => within(session, |session, tx| {
            let sum = tx.increment(bytes(&incr.key), incr.by)?;
            session.out.line(sum.to_string())
        }),
        Command::Cas(cas) => within(session, |session, tx| {
            let (expected, new) = revise::sides(cas)?;
            let key = bytes(&cas.key);
            let current = tx.get(key)?;
            if current.as_deref() != expected {
                return revise::mismatch(session, key, current.as_deref(), format);
            }
            match new {
                Some(new) => tx.put(key, new)?,
                None => drop(tx.delete(key)?),
            }
            keys::ok(session, format)
        }),
        Command::DeleteRange(delete) => within(session, |session, tx| {
            revise::check_range(&delete.range)?;
            let deleted = match Span::of(&delete.range) {
                Some(span) => tx.delete_range::<&[u8]>(span.bounds())?,
                None => 0,
            };
            session.out.line(deleted.to_string())
        }),
        Command::DeletePrefix(delete) => within(session, |session, tx| {
            let prefix = revise::prefix(delete)?;
            let deleted = tx.delete_prefix(prefix)?;
            session.out.line(deleted.to_string())
        }),
        // It can be taken back: nobody is asked.
        Command::Clear(_) => within(session, |session, tx| {
            tx.clear();
            keys::ok(session, format)
        }),
        _ => return None,
    };
    Some(done)
}

/// Does something in the open transaction, in the keyspace at hand, which must be there.
fn within(session: &mut Session, act: impl FnOnce(&mut Session, &mut Transaction) -> Result<()>) -> Result<()> {
    let keyspace = session.reading()?;
    let mut tx = taken(session)?;
    let done = match tx.keyspace(&keyspace) {
        Ok(mut tx) => act(session, &mut tx),
        Err(error) => Err(error.into()),
    };
    session.transaction = Some(tx);
    done
}

fn put(session: &mut Session, tx: &mut Transaction, put: &Put, format: Format) -> Result<()> {
    let value = keys::value(put, &session.stdin)?;
    match tx.put_with(bytes(&put.key), &value, &keys::options(put))? {
        true => keys::ok(session, format),
        false => Err(keys::unmet(put)),
    }
}

fn get(session: &mut Session, tx: &mut Transaction, get: &Get, format: Format) -> Result<()> {
    let key = bytes(&get.key);
    let out = &mut session.out;
    let shown = tx.get_with(key, |value| match (get.raw, format) {
        (true, Format::Text) => out.bytes(value),
        _ => out.value(key, value, format),
    })?;
    match shown {
        Some(shown) => shown,
        None => {
            if format.is_json() {
                session.out.line("null")?;
            }
            Err(not_found())
        }
    }
}

fn mget(session: &mut Session, tx: &mut Transaction, mget: &Mget, format: Format) -> Result<()> {
    let values = tx.multi_get(mget.keys.iter().map(|key| bytes(key)))?;
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
        _ => Err(Failure::answer("not_found", &format!("({missing} of {} keys not found)", mget.keys.len()))),
    }
}

fn delete(session: &mut Session, tx: &mut Transaction, delete: &Delete) -> Result<()> {
    let mut deleted = 0;
    for key in delete.keys.iter().map(OsString::as_os_str).collect::<BTreeSet<_>>() {
        deleted += u64::from(tx.delete(bytes(key))?);
    }
    session.out.line(deleted.to_string())
}

fn list(session: &mut Session, tx: &mut Transaction, list: &List, format: Format) -> Result<()> {
    let prefix = list.prefix.as_deref().map(bytes).unwrap_or_default();
    let limit = browse::limit(session, list);
    let columns = if list.values { Columns::Pairs } else { Columns::Keys };
    let mut rows = Rows::new(&mut session.out, format, columns)?;
    let stopped = browse::write(&mut rows, browse::directed(tx.prefix(prefix), list.reverse), limit);
    let shown = rows.written();
    rows.finish()?;
    stopped?;
    browse::say_rest(session, list, shown, limit, || Ok(tx.count_prefix(prefix)?))
}

fn scan(session: &mut Session, tx: &mut Transaction, scan: &Scan, format: Format) -> Result<()> {
    let mut rows = Rows::new(&mut session.out, format, Columns::Pairs)?;
    let mut stopped = Ok(());
    if let Some(span) = Span::of(&scan.range) {
        let pairs = browse::directed(tx.range::<&[u8]>(span.bounds()), scan.reverse);
        stopped = browse::write(&mut rows, pairs, scan.limit.unwrap_or(u64::MAX));
    }
    rows.finish()?;
    stopped
}

fn count(session: &mut Session, tx: &mut Transaction, count: &Count) -> Result<()> {
    let number = match Span::of(&count.range) {
        Some(span) => tx.count::<&[u8]>(span.bounds())?,
        None => 0,
    };
    session.out.line(number.to_string())
}
