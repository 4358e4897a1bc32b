//! Commands over many keys: `list`, `scan`, `count`, `len`, `nth`, `rank`. Rows are written while they are read; Ctrl-C stops them.

use super::keys;
use crate::args::{Count, List, Nth, Range, Rank, Scan};
use crate::failure::{Failure, Result};
use crate::output::{Columns, Format, Rows, grouped};
use crate::session::{Session, bytes};
use crate::signals;
use halodb::{Iter, Snapshot};
use std::ops::Bound;

/// Rows after which `list` stops on a terminal.
const ROWS_ON_A_TERMINAL: u64 = 100;

/// `list [PREFIX]`: keys in order.
pub(crate) fn list(session: &mut Session, list: &List, format: Format) -> Result<()> {
    let snapshot = session.reading()?.snapshot();
    let prefix = list.prefix.as_deref().map(bytes).unwrap_or_default();
    let limit = limit(session, list);
    let columns = if list.values { Columns::Pairs } else { Columns::Keys };
    let mut rows = Rows::new(&mut session.out, format, columns)?;
    let stopped = write(&mut rows, directed(snapshot.prefix(prefix), list.reverse), limit);
    let shown = rows.written();
    rows.finish()?;
    stopped?;
    say_rest(session, list, shown, limit, || Ok(snapshot.count_prefix(prefix)?))
}

/// Rows that `list` shows at most.
pub(super) fn limit(session: &Session, list: &List) -> u64 {
    match list.limit {
        None if session.out.terminal => ROWS_ON_A_TERMINAL,
        limit => limit.unwrap_or(u64::MAX),
    }
}

/// Says how many rows remain, if nobody asked for fewer than there are.
pub(super) fn say_rest(
    session: &mut Session,
    list: &List,
    shown: u64,
    limit: u64,
    total: impl FnOnce() -> Result<u64>,
) -> Result<()> {
    if list.limit.is_none() && shown == limit {
        let total = total()?;
        if total > shown {
            session.out.flush()?;
            eprintln!("({} more of {}; --limit shows more)", grouped(total - shown), grouped(total));
        }
    }
    Ok(())
}

/// `scan`: keys and values of a range.
pub(crate) fn scan(session: &mut Session, scan: &Scan, format: Format) -> Result<()> {
    let snapshot = session.reading()?.snapshot();
    let limit = scan.limit.unwrap_or(u64::MAX);
    let mut rows = Rows::new(&mut session.out, format, Columns::Pairs)?;
    let mut stopped = Ok(());
    if let Some(span) = Span::of(&scan.range) {
        stopped = write(&mut rows, directed(span.iter(&snapshot), scan.reverse), limit);
    }
    rows.finish()?;
    stopped
}

/// `count`: one number.
pub(crate) fn count(session: &mut Session, count: &Count) -> Result<()> {
    let snapshot = session.reading()?.snapshot();
    let number = match Span::of(&count.range) {
        Some(span) => snapshot.count::<&[u8]>(span.bounds())?,
        None => 0,
    };
    session.out.line(number.to_string())
}

/// `len`: one number.
pub(crate) fn len(session: &mut Session) -> Result<()> {
    let number = session.reading()?.len()?;
    session.out.line(number.to_string())
}

/// `nth N`: one row.
pub(crate) fn nth(session: &mut Session, nth: &Nth, format: Format) -> Result<()> {
    let pair = session.reading()?.nth(nth.number)?;
    let mut rows = Rows::new(&mut session.out, format, Columns::Pairs)?;
    if let Some((key, value)) = &pair {
        rows.row(key, value)?;
    }
    rows.finish()?;
    if pair.is_some() { Ok(()) } else { Err(keys::not_found()) }
}

/// `rank KEY`: one number.
pub(crate) fn rank(session: &mut Session, rank: &Rank) -> Result<()> {
    let number = session.reading()?.rank(bytes(&rank.key))?;
    session.out.line(number.to_string())
}

/// What an iterator over pairs gives.
type Pair = <Iter as Iterator>::Item;

pub(super) fn directed<'i>(
    iter: impl DoubleEndedIterator<Item = Pair> + 'i,
    reverse: bool,
) -> Box<dyn Iterator<Item = Pair> + 'i> {
    if reverse { Box::new(iter.rev()) } else { Box::new(iter) }
}

pub(super) fn write(rows: &mut Rows<'_>, pairs: impl Iterator<Item = Pair>, limit: u64) -> Result<()> {
    for pair in pairs.take(usize::try_from(limit).unwrap_or(usize::MAX)) {
        if signals::interrupted() {
            let rows = grouped(rows.written());
            return Err(Failure::interrupted(format!("interrupted after {rows} rows")));
        }
        let (key, value) = pair?;
        rows.row(&key, &value)?;
    }
    Ok(())
}

/// The keys from `start` (inclusive) to `end` (exclusive, `None`: to the last). Never empty: `start < end`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Span {
    start: Vec<u8>,
    end: Option<Vec<u8>>,
}

impl Span {
    /// The intersection of all limits; `None` if no key can be in it.
    pub(super) fn of(range: &Range) -> Option<Span> {
        let limit = |argument: &Option<std::ffi::OsString>| argument.as_deref().map(|a| bytes(a).to_vec());
        let prefix = limit(&range.prefix).unwrap_or_default();
        let start = limit(&range.from).unwrap_or_default().max(prefix.clone());
        let ends = [limit(&range.to), after_prefix(prefix)];
        let end = ends.into_iter().flatten().min();
        if end.as_ref().is_some_and(|end| *end <= start) {
            return None;
        }
        Some(Span { start, end })
    }

    pub(super) fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let start = match self.start.as_slice() {
            [] => Bound::Unbounded,
            start => Bound::Included(start),
        };
        let end = match &self.end {
            Some(end) => Bound::Excluded(end.as_slice()),
            None => Bound::Unbounded,
        };
        (start, end)
    }

    fn iter(&self, snapshot: &Snapshot) -> Iter {
        snapshot.range::<&[u8]>(self.bounds())
    }
}

/// The least key above all keys with the prefix; `None` if there is none.
fn after_prefix(mut prefix: Vec<u8>) -> Option<Vec<u8>> {
    while let Some(last) = prefix.pop() {
        if last < u8::MAX {
            prefix.push(last + 1);
            return Some(prefix);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(from: Option<&str>, to: Option<&str>, prefix: Option<&str>, expected: Option<(&str, Option<&str>)>) {
        let range = Range { from: from.map(Into::into), to: to.map(Into::into), prefix: prefix.map(Into::into) };
        let expected = expected.map(|(start, end)| Span { start: start.into(), end: end.map(Into::into) });
        assert_eq!(Span::of(&range), expected, "{range:?}");
    }

    #[test]
    fn limits_are_intersected() {
        check(None, None, None, Some(("", None)));
        check(Some("b"), Some("d"), None, Some(("b", Some("d"))));
        check(None, None, Some("ab"), Some(("ab", Some("ac"))));
        check(Some("abx"), None, Some("ab"), Some(("abx", Some("ac"))));
        check(Some("a"), Some("b"), Some("ab"), Some(("ab", Some("ac"))));
        check(None, Some("abm"), Some("ab"), Some(("ab", Some("abm"))));
    }

    #[test]
    fn a_range_that_holds_no_key_is_empty_not_wrong() {
        check(Some("d"), Some("b"), None, None);
        check(Some("b"), Some("b"), None, None);
        check(None, Some(""), None, None);
        check(Some("x"), None, Some("ab"), None);
    }

    #[test]
    fn the_end_of_a_prefix_skips_the_greatest_bytes() {
        assert_eq!(after_prefix(b"a\xff\xff".to_vec()), Some(b"b".to_vec()));
        assert_eq!(after_prefix(b"\xff".to_vec()), None);
        assert_eq!(after_prefix(Vec::new()), None);
    }
}
