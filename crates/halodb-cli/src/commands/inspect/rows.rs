//! What a page holds, row by row: entries, children, filters, extents. A row that cannot be read says so, and the others follow.

use super::meta::{reference, stamp};
use super::sheet::{Sheet, insert_bytes, quoted};
use crate::dates;
use crate::failure::Result;
use crate::output::{Out, grouped};
use halodb::btree::Expiry;
use halodb::btree::inspect::{self, BranchPage, FilterPage, LeafPage, Value as Stored};
use serde_json::{Map, Value, json};

/// Rows for people and for programs, and how many there are in all.
#[derive(Debug, Default)]
pub(super) struct Rows {
    lines: Vec<String>,
    /// The rows for programs.
    pub(super) values: Vec<Value>,
    total: u64,
}

impl Rows {
    /// Writes the lines, with what is left out.
    pub(super) fn write(&self, out: &mut Out, name: &str) -> Result<()> {
        if self.total == 0 {
            return Ok(());
        }
        out.line(format!("{name}:"))?;
        self.lines.iter().try_for_each(|line| out.line(format!("  {line}")))?;
        match self.total - self.lines.len() as u64 {
            0 => Ok(()),
            more => out.line(format!("  … {} more of {}; --limit shows more", grouped(more), grouped(self.total))),
        }
    }

    /// The first rows of `total`; what cannot be read is a clause.
    fn read(
        total: usize,
        limit: u64,
        row: impl Fn(usize) -> std::result::Result<(String, Map<String, Value>), &'static str>,
    ) -> Rows {
        let mut rows = Rows { total: total as u64, ..Rows::default() };
        for i in (0..total).take(usize::try_from(limit).unwrap_or(usize::MAX)) {
            let (line, mut value) = row(i).unwrap_or_else(|what| {
                (format!("damaged: {what}"), Map::from_iter([("damaged".to_owned(), json!(what))]))
            });
            value.insert("number".into(), json!(i));
            rows.lines.push(format!("{i:>4}  {line}"));
            rows.values.push(Value::Object(value));
        }
        rows
    }
}

fn expiry(expiry: std::result::Result<Expiry, &'static str>) -> (String, Value) {
    match expiry {
        Ok(Expiry::NEVER) => ("never".into(), Value::Null),
        Ok(at) => (dates::show(at.ms()), json!(at.ms())),
        Err(what) => (format!("damaged: {what}"), json!({ "damaged": what })),
    }
}

/// How much of a body is used.
fn room(sheet: &mut Sheet, used: usize, body: usize) {
    let percent = used as f64 / body.max(1) as f64 * 100.0;
    let free = grouped(body.saturating_sub(used) as u64);
    let shown = format!("{} of {} bytes ({percent:.1} %), {free} free", grouped(used as u64), grouped(body as u64));
    sheet.add("used", shown, json!({ "used_bytes": used, "body_bytes": body }));
}

/// A leaf.
pub(super) fn leaf(sheet: &mut Sheet, leaf: &LeafPage<'_>, body: usize, limit: u64) -> Rows {
    room(sheet, leaf.used(), body);
    sheet.add("entries", grouped(leaf.len() as u64), leaf.len());
    prefix(sheet, leaf.prefix());
    match leaf.stride() {
        Some(bytes) => sheet.add("stride", format!("all records have {bytes} bytes"), bytes),
        None => sheet.add("stride", "records of different lengths", Value::Null),
    }
    let (shown, value) = expiry(leaf.least_expiry());
    sheet.add("first_expiry", shown, value);
    sheet.add("long_values", if leaf.states_overflow() { "some" } else { "none" }, leaf.states_overflow());
    Rows::read(leaf.len(), limit, |i| {
        let (key, stored, expires) = (leaf.key(i)?, leaf.value(i)?, leaf.expiry(i)?);
        let mut value = Map::new();
        insert_bytes(&mut value, "key", &key);
        let mut line = match stored {
            Stored::Inline(bytes) => {
                insert_bytes(&mut value, "value", bytes);
                format!("{}  {} bytes  {}", quoted(&key), grouped(bytes.len() as u64), quoted(bytes))
            }
            Stored::Overflow { at, len } => {
                value.insert("extent".into(), reference(at));
                value.insert("value_bytes".into(), json!(len));
                let (len, pages) = (grouped(u64::from(len)), at.pages);
                format!("{}  {len} bytes  in {pages} pages from page {}, {}", quoted(&key), at.id.0, stamp(at.stamp))
            }
        };
        if !expires.is_never() {
            line.push_str(&format!("  until {}", dates::show(expires.ms())));
            value.insert("expires_at_ms".into(), json!(expires.ms()));
        }
        Ok((line, value))
    })
}

/// A branch.
pub(super) fn branch(sheet: &mut Sheet, branch: &BranchPage<'_>, body: usize, limit: u64) -> Rows {
    room(sheet, branch.used(), body);
    sheet.add("children", grouped(branch.len() as u64), branch.len());
    match branch.filter() {
        Some(at) => {
            let shown = format!("{} pages from page {}, {}", at.pages, at.id.0, stamp(at.stamp));
            sheet.add("filters", shown, reference(at));
        }
        None => sheet.add("filters", "none", Value::Null),
    }
    let (shown, value) = expiry(branch.least_expiry());
    sheet.add("first_expiry", shown, value);
    Rows::read(branch.len(), limit, |i| {
        let child = branch.child(i)?;
        let mut value = Map::new();
        value.insert("at".into(), reference(child.at));
        value.insert("entries".into(), json!(child.entries));
        value.insert("long_values".into(), json!(child.states_overflow));
        value.insert("first_expiry_ms".into(), expiry(Ok(child.expiry)).1);
        let from = match i.checked_sub(1) {
            None => "from the beginning".to_owned(),
            Some(before) => {
                let separator = branch.separator(before)?;
                insert_bytes(&mut value, "from", &separator);
                format!("from {}", quoted(&separator))
            }
        };
        let (page, entries) = (child.at.id.0, grouped(child.entries));
        Ok((format!("page {page}, {}  {entries} entries  {from}", stamp(child.at.stamp)), value))
    })
}

/// Filters.
pub(super) fn filter(sheet: &mut Sheet, filter: &FilterPage<'_>, limit: u64) -> Rows {
    sheet.add("leaves", grouped(filter.len() as u64), filter.len());
    Rows::read(filter.len(), limit, |i| {
        let leaf = filter.leaf(i).ok_or("it does not lie within the extent")?;
        let bytes = filter.get(i, leaf).ok_or("its filter does not lie within the extent")?;
        let value = Map::from_iter([
            ("leaf".to_owned(), json!(leaf.id.0)),
            ("epoch".to_owned(), json!(leaf.stamp.epoch())),
            ("generation".to_owned(), json!(leaf.stamp.generation())),
            ("filter_bytes".to_owned(), json!(bytes.len())),
        ]);
        let len = grouped(bytes.len() as u64);
        Ok((format!("leaf {}, {}  filter of {len} bytes", leaf.id.0, stamp(leaf.stamp)), value))
    })
}

/// A long value.
pub(super) fn overflow(sheet: &mut Sheet, body: &[u8]) -> Rows {
    match inspect::overflow_len(body) {
        Some(len) => sheet.add("value_bytes", grouped(len), len),
        None => sheet.add("value_bytes", "the extent is too short to say", Value::Null),
    }
    let value = u32::try_from(inspect::overflow_len(body).unwrap_or(0)).ok();
    match value.map(|len| inspect::overflow_value(body, len)) {
        Some(Ok(bytes)) => sheet.add_text("value", quoted(bytes)),
        Some(Err(what)) => sheet.add("value", format!("damaged: {what}"), Value::Null),
        None => sheet.add("value", "damaged: longer than any value", Value::Null),
    }
    Rows::default()
}

/// A page of the free list.
pub(super) fn free_list(sheet: &mut Sheet, body: &[u8], limit: u64) -> Rows {
    let list = match halodb::pager::inspect::free_list([body], u64::MAX) {
        Ok(list) => list,
        Err(what) => {
            sheet.add("free_pages", format!("damaged: {what}"), Value::Null);
            return Rows::default();
        }
    };
    sheet.add("free_pages", grouped(list.free_pages), list.free_pages);
    match list.next {
        Some(at) => sheet.add("next", format!("page {}, {}", at.id.0, stamp(at.stamp)), reference(at)),
        None => sheet.add("next", "none: this is the last page of the list", Value::Null),
    }
    Rows::read(list.extents.len(), limit, |i| {
        let (first, pages) = list.extents[i];
        let value = Map::from_iter([("first".to_owned(), json!(first)), ("pages".to_owned(), json!(pages))]);
        Ok((format!("pages {} to {}  {} pages", first, first.saturating_add(pages) - 1, grouped(pages)), value))
    })
}

fn prefix(sheet: &mut Sheet, prefix: &[u8]) {
    let mut value = Map::new();
    insert_bytes(&mut value, "bytes", prefix);
    sheet.add("prefix", quoted(prefix), Value::Object(value));
}
