//! Commands that answer with what they found while they wrote: `incr`, `cas`, `delete-range`, `delete-prefix`.

use super::browse::Span;
use super::keys;
use crate::args::{Cas, DeletePrefix, DeleteRange, Incr, Range};
use crate::failure::{Failure, Result};
use crate::output::{Format, json_record};
use crate::session::{Session, bytes};
use halodb::Cas as Swap;

/// `incr KEY [BY]`: writes the sum.
pub(crate) fn incr(session: &mut Session, incr: &Incr) -> Result<()> {
    let sum = session.writing()?.increment(bytes(&incr.key), incr.by)?;
    session.out.line(sum.to_string())
}

/// `cas KEY EXPECTED NEW`: answers `OK`, or says that the value is another one.
pub(crate) fn cas(session: &mut Session, cas: &Cas, format: Format) -> Result<()> {
    let (expected, new) = sides(cas)?;
    match session.writing()?.compare_and_swap(bytes(&cas.key), expected, new)? {
        Swap::Swapped => keys::ok(session, format),
        Swap::Mismatch { current } => mismatch(session, bytes(&cas.key), current.as_deref(), format),
    }
}

/// The answer of a `cas` that found another value. A program that reads JSON is told which one; none if there is no key.
pub(super) fn mismatch(session: &mut Session, key: &[u8], current: Option<&[u8]>, format: Format) -> Result<()> {
    let what = if current.is_some() { "(another value)" } else { "(not found)" };
    if !format.is_json() {
        return Err(Failure::answer("mismatch", what));
    }
    let mut line = Vec::new();
    json_record(&mut line, key, current, None);
    session.out.line(line)?;
    Err(Failure::answered("mismatch", what))
}

/// `delete-range`: writes how many keys there were.
pub(crate) fn delete_range(session: &mut Session, delete: &DeleteRange) -> Result<()> {
    let range = &delete.range;
    check_range(range)?;
    let keyspace = session.writing()?;
    let deleted = match Span::of(range) {
        Some(span) => keyspace.delete_range::<&[u8]>(span.bounds())?,
        None => 0,
    };
    session.out.line(deleted.to_string())
}

/// `delete-prefix PREFIX`: writes how many keys there were.
pub(crate) fn delete_prefix(session: &mut Session, delete: &DeletePrefix) -> Result<()> {
    let prefix = prefix(delete)?;
    let deleted = session.writing()?.delete_prefix(prefix)?;
    session.out.line(deleted.to_string())
}

/// That everything goes has to be said by another command.
pub(super) fn check_range(range: &Range) -> Result<()> {
    if range.from.is_none() && range.to.is_none() && range.prefix.is_none() {
        return Err(Failure::usage("delete-range needs --from, --to or --prefix")
            .with_hint("`clear` deletes every key of the keyspace"));
    }
    Ok(())
}

/// As [`check_range`], of `delete-prefix`.
pub(super) fn prefix(delete: &DeletePrefix) -> Result<&[u8]> {
    match bytes(&delete.prefix) {
        [] => Err(Failure::usage("the prefix is empty").with_hint("`clear` deletes every key of the keyspace")),
        prefix => Ok(prefix),
    }
}

/// A value; `None`: the key is absent.
pub(super) type Side<'c> = Option<&'c [u8]>;

/// What is expected and what is to be, as `--absent` and `--delete` say.
pub(super) fn sides(cas: &Cas) -> Result<(Side<'_>, Side<'_>)> {
    let values: Vec<&[u8]> = cas.values.iter().map(|value| bytes(value)).collect();
    match (cas.absent, cas.delete, values.as_slice()) {
        (false, false, &[expected, new]) => Ok((Some(expected), Some(new))),
        (true, _, &[new]) => Ok((None, Some(new))),
        (_, true, &[expected]) => Ok((Some(expected), None)),
        (false, false, _) => Err(Failure::usage("cas needs KEY, EXPECTED and NEW").with_hint(
            "`cas KEY --absent NEW` if there is to be no key yet, `cas KEY EXPECTED --delete` to remove it",
        )),
        (true, ..) => Err(Failure::usage("cas KEY --absent needs exactly one value: NEW")),
        (_, true, _) => Err(Failure::usage("cas KEY --delete needs exactly one value: EXPECTED")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_of_cas_stand_for_a_value_each() {
        let check = |values: &[&str], absent, delete, expected: Option<(Option<&str>, Option<&str>)>| {
            let values = values.iter().map(Into::into).collect();
            let cas = Cas { key: "k".into(), values, absent, delete };
            let expected = expected.map(|(a, b)| (a.map(str::as_bytes), b.map(str::as_bytes)));
            assert_eq!(sides(&cas).ok(), expected, "{cas:?}");
        };
        check(&["a", "b"], false, false, Some((Some("a"), Some("b"))));
        check(&["b"], true, false, Some((None, Some("b"))));
        check(&["a"], false, true, Some((Some("a"), None)));
        check(&["a"], false, false, None);
        check(&["a", "b"], true, false, None);
        check(&["a", "b"], false, true, None);
        check(&[], true, false, None);
    }
}
