//! A tiny store over the pager, for tests: a root page that lists data pages whose contents follow from a number, so
//! that every page proves itself.
//!
//! It stands for the layer above: what it commits is known to the test as a [`State`], and [`read`] gives back the state
//! that a snapshot holds, after looking at every byte of it and proving the accounting.
#![allow(dead_code, unreachable_pub)]

pub mod script;

use halodb_pager::{
    Identity, PAGE_HEADER_LEN, PageId, PageKind, PageRef, PageSet, Pager, Root, Snapshot, Stamp, WriteTxn,
};

pub const IDENTITY: Identity = Identity { uuid: *b"0123456789abcdef", incarnation: 77, file_id: 3, page_size: 4096 };
pub const ROOT_KIND: PageKind = PageKind(1);
pub const DATA_KIND: PageKind = PageKind(2);
pub const MAX_ENTRIES: usize = 60;

/// A data page (or extent) of the state: what it holds follows from `seed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub seed: u64,
    pub pages: u32,
}

/// What a commit holds: its number (the user area) and its entries in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub number: u64,
    pub entries: Vec<Entry>,
}

/// One change of a transaction.
#[derive(Clone, Copy, Debug)]
pub enum Edit {
    Add(u32),
    Remove(usize),
    Replace(usize),
    /// Moves an entry to pages before those where it is, if there is room.
    Lower(usize),
}

/// The body for a seed; its last page is not full.
fn body(entry: Entry, page_size: usize) -> Vec<u8> {
    let len = entry.pages as usize * page_size - PAGE_HEADER_LEN - (entry.seed % 1000) as usize;
    let mut x = entry.seed | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        out.extend_from_slice(&(x ^ (x >> 29)).to_le_bytes());
    }
    out.truncate(len);
    out
}

const ENTRY_LEN: usize = 28;

fn encode(entries: &[(PageRef, Entry)]) -> Vec<u8> {
    let mut out = (entries.len() as u32).to_le_bytes().to_vec();
    for (at, entry) in entries {
        out.extend_from_slice(&at.id.0.to_le_bytes());
        out.extend_from_slice(&at.stamp.raw().to_le_bytes());
        out.extend_from_slice(&at.pages.to_le_bytes());
        out.extend_from_slice(&entry.seed.to_le_bytes());
    }
    out
}

fn u64_at(b: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(b[at..at + 8].try_into().unwrap())
}

fn u32_at(b: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(b[at..at + 4].try_into().unwrap())
}

/// The root page, and what it lists.
pub type Directory = (Option<PageRef>, Vec<(PageRef, Entry)>);

/// The root reference and the entries of a snapshot.
pub fn directory(snapshot: &Snapshot) -> halodb_pager::Result<Directory> {
    let Some(root) = snapshot.roots().first() else {
        return Ok((None, Vec::new()));
    };
    let page = snapshot.page(root.page)?;
    assert_eq!((page.kind(), page.level(), root.tag), (ROOT_KIND, 9, [5; 16]));
    let b = page.body();
    let entries = (0..u32_at(b, 0) as usize).map(|i| {
        let e = &b[4 + i * ENTRY_LEN..][..ENTRY_LEN];
        let at = PageRef { id: PageId(u64_at(e, 0)), stamp: Stamp::from_raw(u64_at(e, 8)), pages: u32_at(e, 16) };
        (at, Entry { seed: u64_at(e, 20), pages: at.pages })
    });
    Ok((Some(root.page), entries.collect()))
}

pub fn number(user: &[u8]) -> u64 {
    u64::from_le_bytes(user.try_into().expect("the user area holds the number"))
}

/// Reads everything in a snapshot. Wrong bytes under an `Ok` are a panic: that must never happen.
pub fn read(snapshot: &Snapshot) -> halodb_pager::Result<State> {
    let (root, entries) = directory(snapshot)?;
    let mut reachable = PageSet::default();
    for at in root.iter().chain(entries.iter().map(|(at, _)| at)) {
        assert!(reachable.insert(*at), "{at:?} is in the tree twice");
    }
    for (at, entry) in &entries {
        let page = snapshot.page(*at)?;
        assert_eq!((page.kind(), page.level()), (DATA_KIND, 0));
        let expected = body(*entry, snapshot.page_size() as usize);
        let (head, tail) = page.body().split_at(expected.len());
        assert!(head == expected, "{at:?} does not hold what was written");
        assert!(tail.iter().all(|b| *b == 0), "{at:?} ends with something else than zeros");
        snapshot.verify(*at)?;
    }
    let findings = snapshot.check_accounting(&reachable)?;
    assert_eq!(findings, [], "accounting of generation {}", snapshot.generation());
    Ok(State { number: number(snapshot.user()), entries: entries.into_iter().map(|(_, e)| e).collect() })
}

/// Writes the edits into a transaction and gives the new root and state. Seeds follow from `seed`.
pub fn edit(
    txn: &mut WriteTxn<'_>,
    base: &Snapshot,
    edits: &[Edit],
    mut seed: u64,
) -> halodb_pager::Result<(Vec<Root>, State)> {
    let (root, mut entries) = directory(base)?;
    let mut fresh = |txn: &mut WriteTxn<'_>, pages: u32| {
        seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
        let entry = Entry { seed, pages };
        let at = txn.alloc(pages)?;
        txn.write(at, DATA_KIND, 0, &body(entry, base.page_size() as usize))?;
        Ok::<_, halodb_pager::Error>((at, entry))
    };
    for change in edits {
        match *change {
            Edit::Add(pages) if entries.len() < MAX_ENTRIES => entries.push(fresh(txn, pages)?),
            Edit::Remove(i) if !entries.is_empty() => {
                let i = i % entries.len();
                txn.free(entries.remove(i).0);
            }
            Edit::Replace(i) if !entries.is_empty() => {
                let i = i % entries.len();
                txn.free(entries[i].0);
                entries[i] = fresh(txn, entries[i].1.pages)?;
            }
            Edit::Lower(i) if !entries.is_empty() => {
                let i = i % entries.len();
                let (at, entry) = entries[i];
                let room = txn.has_room_before(at.pages, at.id);
                let lower = txn.alloc_before(at.pages, at.id);
                assert_eq!(lower.is_some(), room);
                if let Some(lower) = lower {
                    assert!(lower.id.0 + u64::from(lower.pages) <= at.id.0, "{lower:?} is not before {at:?}");
                    txn.write(lower, DATA_KIND, 0, &body(entry, base.page_size() as usize))?;
                    txn.free(at);
                    entries[i].0 = lower;
                }
            }
            _ => {}
        }
    }
    if let Some(root) = root {
        txn.free(root);
    }
    let state = State { number: number(base.user()) + 1, entries: entries.iter().map(|(_, e)| *e).collect() };
    if entries.is_empty() {
        return Ok((Vec::new(), state));
    }
    let page = txn.alloc(1)?;
    txn.write(page, ROOT_KIND, 9, &encode(&entries))?;
    Ok((vec![Root { page, tag: [5; 16] }], state))
}

/// One whole transaction.
pub fn commit(pager: &Pager, edits: &[Edit], seed: u64) -> halodb_pager::Result<(Snapshot, State)> {
    let mut txn = pager.begin()?;
    let (roots, state) = edit(&mut txn, &pager.snapshot(), edits, seed)?;
    let snapshot = txn.commit(&roots, &state.number.to_le_bytes())?;
    Ok((snapshot, state))
}
