//! Commands on keyspaces: `use`, `keyspaces`, `drop`.

use super::{clear, keys};
use crate::args::{DropKeyspace, Use};
use crate::failure::{Failure, Result};
use crate::output::{Format, grouped};
use crate::session::{Front, Session};
use halodb::Keyspace;

/// `use [NAME]`: the keyspace of the commands that follow.
pub(crate) fn go(session: &mut Session, to: &Use) -> Result<()> {
    if session.front == Front::OneShot {
        return Err(Failure::usage("`use` is for shell and pipe").with_hint("give --keyspace NAME with the command"));
    }
    if let Some(name) = &to.name {
        let db = session.db()?;
        if db.find_keyspace(name)?.is_none() {
            db.keyspace(name)?;
            if session.front == Front::Shell {
                eprintln!("(created the keyspace `{name}`)");
            }
        }
    }
    session.go_to(to.name.clone());
    Ok(())
}

/// `keyspaces`: names in order; for programs that read JSON or CSV also the number of keys.
pub(crate) fn list(session: &mut Session, format: Format) -> Result<()> {
    let db = session.db()?;
    let mut found = Vec::new();
    for name in db.keyspaces()? {
        if let Some(keyspace) = db.find_keyspace(&name)? {
            found.push((name, keyspace.len()?));
        }
    }
    let object = |(name, keys): &(String, u64)| serde_json::json!({ "keyspace": name, "keys": keys });
    match format {
        Format::Json => {
            let all: Vec<_> = found.iter().map(object).collect();
            session.out.line(serde_json::Value::from(all).to_string())
        }
        Format::Jsonl => found.iter().try_for_each(|one| session.out.line(object(one).to_string())),
        Format::Csv => {
            session.out.line("keyspace,keys")?;
            let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
            found.iter().try_for_each(|(name, keys)| session.out.line(format!("{},{keys}", quoted(name))))
        }
        Format::Text | Format::Hex | Format::Base64 => found.iter().try_for_each(|(name, _)| session.out.line(name)),
    }
}

/// `drop NAME [--yes]`: removes a keyspace. A session that was in it is in the default one then.
pub(crate) fn drop(session: &mut Session, drop: &DropKeyspace, format: Format) -> Result<()> {
    let (db, name) = (session.db()?, drop.name.as_str());
    let Some(keyspace) = db.find_keyspace(name)? else { return Err(keys::not_found()) };
    if name != Keyspace::DEFAULT && !drop.yes && session.front != Front::Pipe {
        let question = format!("Delete the keyspace `{name}` with {} keys?", grouped(keyspace.len()?));
        clear::confirm(session, "drop NAME", "drop deletes the keyspace and every key in it", &question)?;
    }
    if !db.drop_keyspace(name)? {
        return Err(keys::not_found());
    }
    session.leave(name);
    let seq = db.last_seq();
    keys::done(session, halodb::Commit { seq }, format)
}
