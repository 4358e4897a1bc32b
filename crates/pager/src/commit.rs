//! How a write transaction ends: the free list, the data sync, the meta.
//!
//! ```text
//! pages and free list written → data sync → meta to the slot not relied on → sync → published
//!      a failure returns pages │ a failure from here on poisons
//! ```
//!
//! The length of the file is settled before the data sync, which makes it durable before a meta that depends on it.

use crate::collect::ensure_len;
use crate::error::{Error, Result};
use crate::extents::ExtentSet;
use crate::freelist::{self, ListPage};
use crate::id::{FIRST_PAGE, MAX_ROOTS, PageId, PageKind, PageRef, Root};
use crate::meta::Meta;
use crate::open::check_user;
use crate::page::Header;
use crate::pending::Freed;
use crate::snapshot::Snapshot;
use crate::txn::WriteTxn;
use halodb_vfs::mutant;

/// What the commit will leave behind, computed before anything of it is written.
struct Plan {
    meta: Meta,
    free: ExtentSet,
    freed: Vec<Freed>,
    list: Vec<PageRef>,
    stored: Vec<ListPage>,
}

pub(crate) fn commit(mut txn: WriteTxn<'_>, roots: &[Root], user: &[u8]) -> Result<Snapshot> {
    let plan = plan(&mut txn, roots, user)?;
    write(&mut txn, &plan)?;

    let shared = txn.pager.shared();
    // A planted fault goes on after a failed sync or meta write as if nothing had happened.
    txn.held.poisoned = !mutant("pager.no-poison");
    shared.file.sync()?;
    shared.put_meta(&plan.meta)?;
    txn.held.poisoned = false;

    let writer = &mut *txn.held;
    writer.pending.add(plan.meta.generation, plan.freed);
    writer.free = plan.free;
    writer.list = plan.list;
    writer.meta = plan.meta;
    txn.taken.clear();
    txn.scrapped.clear();
    Ok(txn.pager.publish(&txn.held))
}

/// Writes the free list and what was collected, and makes file, mapping and bits large enough.
fn write(txn: &mut WriteTxn<'_>, plan: &Plan) -> Result<()> {
    for (i, (at, page)) in plan.list.iter().zip(&plan.stored).enumerate() {
        let header = Header { at: *at, kind: PageKind::FREE_LIST, level: 0 };
        txn.put(header, &page.body(plan.list.get(i + 1).copied()))?;
    }
    let file = &txn.pager.shared().file;
    let needed = plan.meta.page_count * file.page_size();
    let file_len = &mut txn.held.file_len;
    txn.collector.flush(file, &mut |needed| ensure_len(file, file_len, needed))?;
    // The last page was written just now or belongs to the base, so the file is long enough already; a version beyond the
    // end of its file would kill its readers, so this is not left to reasoning.
    ensure_len(file, &mut txn.held.file_len, needed)?;
    if needed > txn.held.mapping.len() {
        txn.held.mapping = file.map(needed)?;
    }
    txn.held.verified.grow(plan.meta.page_count);
    Ok(())
}

fn plan(txn: &mut WriteTxn<'_>, roots: &[Root], user: &[u8]) -> Result<Plan> {
    if let Some(fault) = &txn.fault {
        return Err(Error::Invalid(fault.clone()));
    }
    check_user(user)?;
    if roots.len() > MAX_ROOTS {
        return Err(Error::Invalid(format!("{} roots: at most {MAX_ROOTS} fit", roots.len())));
    }
    txn.held.next_generation = txn.stamp.generation() + 1;
    let freed = freed_extents(txn)?;
    let mut free = free_after(txn)?;

    let mut end = txn.end;
    let mut list: Vec<PageRef> = Vec::new();
    // The list's own pages come from the free ones, which changes the list; each round only adds pages to it.
    let (mut stored, extents) = loop {
        end = free.take_tail(end).unwrap_or(end);
        let pending = txn.held.pending.iter().chain(freed.iter().map(|e| (e.start, e.len)));
        // A planted fault lists only what is free already: the next open has lost the rest.
        let pending = pending.filter(|_| !mutant("pager.list-omits-pending"));
        let extents = merge(free.iter().chain(pending).collect(), end)?;
        let stored = freelist::encode(&extents, txn.body_len());
        if stored.len() <= list.len() {
            break (stored, extents);
        }
        while list.len() < stored.len() {
            let page = free.take_lowest(1).unwrap_or_else(|| {
                end += 1;
                end - 1
            });
            txn.held.verified.clear(page, 1);
            list.push(PageRef { id: PageId(page), stamp: txn.stamp, pages: 1 });
        }
    };
    stored.resize_with(list.len(), ListPage::default);

    let meta = Meta {
        identity: txn.held.meta.identity,
        generation: txn.stamp.generation(),
        epoch: txn.stamp.epoch(),
        page_count: end,
        list: list.first().copied(),
        list_pages: list.len() as u64,
        free_pages: extents.iter().map(|(_, len)| len).sum(),
        roots: roots.to_vec(),
        user: user.to_vec(),
    };
    for root in roots {
        check_root(txn, &meta, &extents, root)?;
    }
    Ok(Plan { meta, free, freed, list, stored })
}

/// What this commit gives up: what the caller says, and the pages of the list before.
fn freed_extents(txn: &WriteTxn<'_>) -> Result<Vec<Freed>> {
    let base = &txn.held.meta;
    let mut taken = ExtentSet::default();
    for (start, t) in &txn.taken {
        taken.insert(*start, u64::from(t.pages));
    }
    txn.freed
        .iter()
        .chain(&txn.held.list)
        .map(|at| {
            let (start, len) = (at.id.0, u64::from(at.pages));
            base.admits(*at).map_err(|what| Error::Invalid(format!("{what} was given up")))?;
            if taken.overlaps(start, len) {
                return Err(Error::Invalid(format!("page {start} was given up, but was free already")));
            }
            Ok(Freed { born: at.stamp.generation(), start, len })
        })
        .collect()
}

/// The reusable pages, with those that this transaction took and does not keep.
fn free_after(txn: &mut WriteTxn<'_>) -> Result<ExtentSet> {
    let mut free = txn.held.free.clone();
    let unwritten = txn.taken.iter().filter(|(_, t)| !t.written).map(|(start, t)| (*start, u64::from(t.pages)));
    for (start, len) in unwritten.chain(txn.scrapped.iter().copied()) {
        if !free.insert(start, len) {
            return Err(Error::Invalid(format!("page {start} was taken and is free")));
        }
    }
    Ok(free)
}

/// Sorts and joins extents, which must not overlap and must lie among the first `end` pages.
fn merge(mut extents: Vec<(u64, u64)>, end: u64) -> Result<Vec<(u64, u64)>> {
    extents.sort_unstable();
    let mut out: Vec<(u64, u64)> = Vec::with_capacity(extents.len());
    for (start, len) in extents {
        match out.last_mut() {
            Some((s, l)) if *s + *l > start => {
                return Err(Error::Invalid(format!("page {start} was given up twice, or was free already")));
            }
            Some((s, l)) if *s + *l == start => *l += len,
            _ => out.push((start, len)),
        }
    }
    let fits = |&(start, _): &(u64, u64)| start >= FIRST_PAGE;
    if !out.first().is_none_or(fits) || out.last().is_some_and(|(start, len)| start + len > end) {
        return Err(Error::Invalid(format!("free pages outside a file of {end} pages")));
    }
    Ok(out)
}

fn check_root(txn: &WriteTxn<'_>, meta: &Meta, free: &[(u64, u64)], root: &Root) -> Result<()> {
    let at = root.page;
    meta.admits(at).map_err(|what| Error::Invalid(format!("{what} as a root")))?;
    let is_data = match txn.taken.get(&at.id.0) {
        Some(taken) => taken.written && taken.pages == 1 && at.stamp == txn.stamp,
        None => at.stamp != txn.stamp,
    };
    if at.pages != 1 || !is_data || freelist::contains(free, at.id.0) {
        return Err(Error::Invalid(format!("page {} cannot be a root: it is free, or no ordinary page", at.id.0)));
    }
    Ok(())
}
