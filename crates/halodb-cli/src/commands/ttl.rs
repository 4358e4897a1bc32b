//! Commands on the time that keys have to live: `expire`, `ttl`, `persist`.

use super::keys::{not_found, ok};
use crate::args::{Expire, Persist, TtlOf};
use crate::durations;
use crate::failure::Result;
use crate::output::Format;
use crate::session::{Session, bytes};
use halodb::{Ttl, TtlState};

/// `expire KEY DURATION`: answers `OK`.
pub(crate) fn expire(session: &mut Session, expire: &Expire, format: Format) -> Result<()> {
    change(session, bytes(&expire.key), Ttl::After(expire.after), format)
}

/// `persist KEY`: answers `OK`.
pub(crate) fn persist(session: &mut Session, persist: &Persist, format: Format) -> Result<()> {
    change(session, bytes(&persist.key), Ttl::Never, format)
}

/// `ttl KEY`: writes how long the key will live.
pub(crate) fn ttl(session: &mut Session, ttl: &TtlOf, format: Format) -> Result<()> {
    let state = session.reading()?.ttl(bytes(&ttl.key))?;
    show(session, state, format)
}

/// The answer of `ttl`, of a transaction as well.
pub(crate) fn show(session: &mut Session, state: TtlState, format: Format) -> Result<()> {
    let left = match state {
        TtlState::Missing => return Err(not_found()),
        TtlState::Never => None,
        TtlState::In(left) => Some(left),
    };
    if format.is_json() {
        let ms = left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
        return session.out.line(serde_json::json!({ "ttl_ms": ms }).to_string());
    }
    session.out.line(left.map_or_else(|| "never".to_owned(), durations::show))
}

fn change(session: &mut Session, key: &[u8], ttl: Ttl, format: Format) -> Result<()> {
    // A key that is to be there already creates no keyspace.
    let is_there = session.reading()?.expire(key, ttl)?;
    changed(session, is_there, format)
}

/// The answer of `expire` and `persist`, of a transaction as well.
pub(crate) fn changed(session: &mut Session, is_there: bool, format: Format) -> Result<()> {
    if is_there { ok(session, format) } else { Err(not_found()) }
}
