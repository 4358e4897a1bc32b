//! `inspect page`: the header of one page, whether it verifies, who refers to it, and what it holds.

use super::meta::{reference, stamp};
use super::rows::{self, Rows};
use super::sheet::Sheet;
use super::{ROWS, hex};
use crate::args::InspectPage;
use crate::failure::{Failure, Result};
use crate::output::{Format, grouped};
use crate::session::Session;
use halodb::btree::inspect::{BranchPage, FilterPage, LeafPage, OVERFLOW_FIELDS};
use halodb::btree::{BRANCH, FILTER, LEAF, OVERFLOW};
use halodb::inspect::{Inspector, PageReport, Referrer, Standing};
use halodb::pager::inspect::{FREE_LIST, FREE_LIST_FIELDS, Field, PAGE_FIELDS, PageInfo};
use halodb::pager::{PAGE_HEADER_LEN, PageKind};
use serde_json::{Value, json};

/// Shows a page.
pub(super) fn show(session: &mut Session, files: &Inspector, wanted: &InspectPage, format: Format) -> Result<()> {
    let page = files.page(wanted.partition, wanted.number).map_err(halodb::Error::from)?;
    let contents = Contents::read(&page);
    let faults = faults(&page, &contents);
    let mut sheet = header(&page, &faults);
    let limit = match wanted.limit {
        None if format.is_json() => u64::MAX,
        limit => limit.unwrap_or(ROWS),
    };
    let rows = contents.describe(&mut sheet, &page, limit);
    let out = &mut session.out;
    if format.is_json() {
        let mut object = sheet.into_json();
        object.insert("page".into(), json!(page.number));
        object.insert("path".into(), json!(page.path.display().to_string()));
        object.insert("offset".into(), json!(page.offset));
        object.insert(contents.rows_name().into(), Value::Array(rows.values));
        out.line(Value::Object(object).to_string())?;
    } else {
        out.line(format!("page {} of {}, at {}", page.number, page.path.display(), page.offset))?;
        sheet.write(out, "  ")?;
        rows.write(out, contents.rows_name())?;
    }
    if wanted.hex && !format.is_json() {
        out.line("")?;
        let (head, body) = page.bytes.split_at(PAGE_HEADER_LEN.min(page.bytes.len()));
        hex::dump(out, page.offset, head, &PAGE_FIELDS, "")?;
        let (fields, behind) = contents.fields();
        hex::dump(out, page.offset + head.len() as u64, body, &fields, behind)?;
    }
    // What is free may hold anything: an older page, the middle of an extent, what a crash left.
    let matters = !matches!(page.standing, Standing::Free | Standing::Beyond | Standing::Inside { .. });
    match faults.is_empty() || !matters {
        true => Ok(()),
        false => Err(Failure::corrupt(format!("page {}: {}", page.number, faults.join("; ")))
            .with_hint("`halodb doctor` says what is lost, and saves what is left")),
    }
}

/// What the body of a page is.
enum Contents<'a> {
    Leaf(LeafPage<'a>),
    Branch(BranchPage<'a>),
    Filter(FilterPage<'a>),
    Overflow,
    FreeList,
    /// A kind that says nothing, or no header.
    Unknown,
    /// A body that breaks a rule of its kind: a clause.
    Bad(&'static str),
}

impl<'a> Contents<'a> {
    fn read(page: &'a PageReport) -> Self {
        let body = page.body();
        let parsed = match page.header.as_ref().map(|info| info.kind) {
            Ok(LEAF) => LeafPage::parse(body).map(Contents::Leaf),
            Ok(BRANCH) => BranchPage::parse(body).map(Contents::Branch),
            Ok(FILTER) => FilterPage::parse(body).map(Contents::Filter),
            Ok(OVERFLOW) => Ok(Contents::Overflow),
            Ok(FREE_LIST) => Ok(Contents::FreeList),
            _ => Ok(Contents::Unknown),
        };
        parsed.unwrap_or_else(Contents::Bad)
    }

    /// What the rows are.
    fn rows_name(&self) -> &'static str {
        match self {
            Contents::Branch(_) => "children",
            Contents::Filter(_) => "leaves",
            Contents::FreeList => "extents",
            _ => "entries",
        }
    }

    /// The parts of the body, and what follows the last of them.
    fn fields(&self) -> (Vec<Field>, &'static str) {
        match self {
            Contents::Leaf(leaf) => (leaf.fields(), "not used"),
            Contents::Branch(branch) => (branch.fields(), "not used"),
            Contents::Filter(filter) => (filter.fields(), "not used"),
            Contents::Overflow => (OVERFLOW_FIELDS.to_vec(), "value"),
            Contents::FreeList => (FREE_LIST_FIELDS.to_vec(), "extents"),
            Contents::Unknown | Contents::Bad(_) => (Vec::new(), "body"),
        }
    }

    /// Adds what is special of the kind, and reads the rows.
    fn describe(&self, sheet: &mut Sheet, page: &PageReport, limit: u64) -> Rows {
        match self {
            Contents::Leaf(leaf) => rows::leaf(sheet, leaf, page.body().len(), limit),
            Contents::Branch(branch) => rows::branch(sheet, branch, page.body().len(), limit),
            Contents::Filter(filter) => rows::filter(sheet, filter, limit),
            Contents::Overflow => rows::overflow(sheet, page.body()),
            Contents::FreeList => rows::free_list(sheet, page.body(), limit),
            Contents::Unknown | Contents::Bad(_) => Rows::default(),
        }
    }
}

fn kind_name(kind: PageKind) -> &'static str {
    match kind {
        LEAF => "leaf",
        BRANCH => "branch",
        FILTER => "filters of a branch's leaves",
        OVERFLOW => "long value",
        FREE_LIST => "page of the free list",
        _ => "of no kind that this program knows",
    }
}

/// Everything that is wrong with the page itself, and between it and its parent.
fn faults(page: &PageReport, contents: &Contents<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    faults.extend(page.verdict.as_ref().err().cloned());
    if let Contents::Bad(what) = contents {
        faults.push((*what).to_owned());
    }
    if let (Standing::Referred { at, .. }, Ok(info)) = (&page.standing, &page.header) {
        if at.stamp != info.at.stamp {
            let (there, here) = (stamp(at.stamp), stamp(info.at.stamp));
            faults.push(format!("whoever refers to it means {there}, it is of {here} (a lost write)"));
        }
        if at.pages != info.at.pages {
            faults.push(format!("whoever refers to it says {} pages, it says {}", at.pages, info.at.pages));
        }
    }
    faults
}

fn header(page: &PageReport, faults: &[String]) -> Sheet {
    let mut sheet = Sheet::default();
    match faults {
        [] => sheet.add("verdict", "sound: checksum, place and length are right", json!({ "sound": true })),
        faults => sheet.add("verdict", faults.join("; "), json!({ "sound": false, "faults": faults })),
    }
    match &page.header {
        Ok(PageInfo { at, kind, level }) => {
            sheet.add("page_id", grouped(at.id.0), at.id.0);
            let value = json!({ "epoch": at.stamp.epoch(), "generation": at.stamp.generation() });
            sheet.add("stamp", stamp(at.stamp), value);
            let value = json!({ "number": kind.0, "name": kind_name(*kind) });
            sheet.add("kind", format!("{}, {}", kind.0, kind_name(*kind)), value);
            sheet.add("level", level.to_string(), *level);
            sheet.add("pages", grouped(u64::from(at.pages)), at.pages);
        }
        Err(what) => sheet.add("header", what.clone(), Value::Null),
    }
    let (shown, value) = standing(page);
    sheet.add("standing", shown, value);
    sheet
}

/// Who refers to the page: for people, and for programs.
fn standing(page: &PageReport) -> (String, Value) {
    match page.standing {
        Standing::Referred { by, at } => {
            let (who, value) = referrer(by);
            let same = page.header.as_ref().is_ok_and(|info| info.at == at);
            let stamp = if same { "with this stamp".to_owned() } else { format!("with {}", stamp(at.stamp)) };
            let value = json!({ "state": "in_use", "by": value, "as": reference(at), "same_stamp": same });
            (format!("in use: {who} refers to it {stamp}"), value)
        }
        Standing::Inside { first } => {
            (format!("inside the extent that begins at page {first}"), json!({ "state": "inside", "first": first }))
        }
        Standing::Free => (
            "free, or only older commits and snapshots reach it: the free list names it".into(),
            json!({ "state": "free" }),
        ),
        Standing::Beyond => ("behind the pages in use: room for growth".into(), json!({ "state": "beyond" })),
        Standing::Nobody { unread: 0 } => ("nobody refers to it".into(), json!({ "state": "nobody", "unread": 0 })),
        Standing::Nobody { unread } => (
            format!("nobody is found that refers to it; {unread} damaged pages could not be asked"),
            json!({ "state": "nobody", "unread": unread }),
        ),
        Standing::NoMeta => {
            ("unknown: no meta is valid, so nothing tells what is in use".into(), json!({ "state": "no_meta" }))
        }
    }
}

fn referrer(by: Referrer) -> (String, Value) {
    match by {
        Referrer::Meta => ("the meta, as the root of the tree,".into(), json!({ "meta": "root" })),
        Referrer::MetaList => ("the meta, as the free list,".into(), json!({ "meta": "free_list" })),
        Referrer::FreeList(page) => (format!("page {page} of the free list"), json!({ "free_list": page })),
        Referrer::Branch { page, child } => {
            (format!("branch {page}, child {child},"), json!({ "branch": page, "child": child }))
        }
        Referrer::Filter(page) => {
            (format!("branch {page}, as its filters,"), json!({ "branch": page, "filters": true }))
        }
        Referrer::Leaf { page, entry } => {
            (format!("leaf {page}, entry {entry},"), json!({ "leaf": page, "entry": entry }))
        }
    }
}
