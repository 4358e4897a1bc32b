//! What each command does. Every command gets the session and its parsed arguments; none knows whether it was typed, piped
//! or given as program arguments, except where the product says that this matters (asking, and where a list stops).

mod backup;
mod bench;
mod browse;
mod care;
mod clear;
mod compact;
mod config;
mod doctor;
mod generate;
mod inspect;
mod keys;
mod keyspaces;
mod revise;
mod shape;
mod space;
mod table;
mod transaction;
mod ttl;
mod watch;

pub(crate) use table::bytes_for_people;

use crate::args::Command;
use crate::failure::Result;
use crate::help;
use crate::output::Format;
use crate::session::Session;
use crate::transfer;

/// What happens after a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// The next command.
    Continue,
    /// The end of shell or pipe.
    Quit,
}

/// Runs one command. `format` is what was asked for, if anything was.
pub(crate) fn run(session: &mut Session, command: &Command, format: Option<Format>) -> Result<Flow> {
    let form = format.unwrap_or_default();
    if session.transaction.is_some()
        && let Some(done) = transaction::run(session, command, form)
    {
        return done.map(|()| Flow::Continue);
    }
    match command {
        Command::Put(put) => keys::put(session, put, form)?,
        Command::Get(get) => keys::get(session, get, form)?,
        Command::Delete(delete) => keys::delete(session, delete)?,
        Command::Exists(exists) => keys::exists(session, exists)?,
        Command::Expire(expire) => ttl::expire(session, expire, form)?,
        Command::Ttl(of) => ttl::ttl(session, of, form)?,
        Command::Persist(persist) => ttl::persist(session, persist, form)?,
        Command::List(list) => browse::list(session, list, form)?,
        Command::Scan(scan) => browse::scan(session, scan, form)?,
        Command::Count(count) => browse::count(session, count)?,
        Command::Len => browse::len(session)?,
        Command::Nth(nth) => browse::nth(session, nth, form)?,
        Command::Rank(rank) => browse::rank(session, rank)?,
        Command::Mget(mget) => keys::mget(session, mget, form)?,
        Command::Incr(incr) => revise::incr(session, incr)?,
        Command::Cas(cas) => revise::cas(session, cas, form)?,
        Command::DeleteRange(range) => revise::delete_range(session, range)?,
        Command::DeletePrefix(prefix) => revise::delete_prefix(session, prefix)?,
        Command::Use(to) => keyspaces::go(session, to)?,
        Command::Keyspaces => keyspaces::list(session, form)?,
        Command::Drop(drop) => keyspaces::drop(session, drop, form)?,
        Command::Clear(clear) => clear::clear(session, clear, form)?,
        Command::Begin => transaction::begin(session, form)?,
        Command::Commit => transaction::commit(session, form)?,
        Command::Rollback => transaction::rollback(session, form)?,
        Command::Import(import) => transfer::import(session, import, format)?,
        Command::Export(export) => transfer::export(session, export, format)?,
        Command::Backup(backup) => backup::backup(session, backup, form)?,
        Command::Restore(restore) => backup::restore(session, restore, form).map_err(backup::advise)?,
        Command::Stats(stats) if stats.watch.is_some() => watch::watch(session, stats, form)?,
        Command::Stats(_) => shape::stats(session, form)?,
        Command::Tree(tree) => shape::tree(session, tree, form)?,
        Command::Space => space::space(session, form)?,
        Command::Compact => compact::compact(session, form)?,
        Command::Check(check) => care::check(session, check, form)?,
        Command::Doctor(doctor) => doctor::run(session, doctor, form)?,
        Command::Inspect(inspect) => inspect::run(session, inspect, form)?,
        Command::Config(config) => config::run(session, config, form)?,
        Command::Bench(bench) => bench::run_all(session, bench, form)?,
        Command::Completions(wanted) => generate::completions(session, wanted)?,
        Command::Generate(wanted) => generate::all(session, wanted)?,
        Command::Help(wanted) => help::command(session, wanted)?,
        Command::Version => session.out.line(concat!("halodb ", env!("CARGO_PKG_VERSION")))?,
        Command::Quit => return Ok(Flow::Quit),
    }
    Ok(Flow::Continue)
}
