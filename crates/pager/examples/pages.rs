//! A list of notes in a page file: each commit writes a new page that points to the one before.
//!
//! Shows commits, a snapshot that keeps its version, reuse of pages that were given up, a reopen, and the accounting.
//! Run it with `cargo run -p halodb-pager --example pages`.

use halodb_pager::{Access, Identity, PageId, PageKind, PageRef, PageSet, Pager, Root, Snapshot, Stamp};
use halodb_vfs::OsVfs;
use std::error::Error;
use std::sync::Arc;

const NOTE: PageKind = PageKind(1);

fn encode(before: Option<PageRef>, text: &str) -> Vec<u8> {
    let (id, stamp) = before.map_or((0, 0), |at| (at.id.0, at.stamp.raw()));
    let mut body = Vec::new();
    body.extend_from_slice(&id.to_le_bytes());
    body.extend_from_slice(&stamp.to_le_bytes());
    body.extend_from_slice(text.as_bytes());
    body
}

fn before(body: &[u8]) -> Result<Option<PageRef>, Box<dyn Error>> {
    let id = u64::from_le_bytes(body[..8].try_into()?);
    let stamp = Stamp::from_raw(u64::from_le_bytes(body[8..16].try_into()?));
    Ok((id != 0).then_some(PageRef { id: PageId(id), stamp, pages: 1 }))
}

/// The notes of a version, newest first, and the pages they are on.
fn notes(snapshot: &Snapshot) -> Result<(Vec<String>, PageSet), Box<dyn Error>> {
    let (mut notes, mut pages) = (Vec::new(), PageSet::default());
    let mut next = snapshot.roots().first().map(|root| root.page);
    while let Some(at) = next {
        let body = snapshot.page(at)?.body();
        notes.push(String::from_utf8_lossy(&body[16..]).trim_end_matches('\0').to_string());
        pages.insert(at);
        next = before(body)?;
    }
    Ok((notes, pages))
}

fn add(pager: &Pager, text: &str) -> Result<Snapshot, Box<dyn Error>> {
    let base = pager.snapshot().roots().first().map(|root| root.page);
    let mut txn = pager.begin()?;
    let at = txn.alloc(1)?;
    txn.write(at, NOTE, 0, &encode(base, text))?;
    Ok(txn.commit(&[Root { page: at, tag: [0; 16] }], b"")?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("notes.pages");
    let vfs = Arc::new(OsVfs);
    let identity = Identity { uuid: *b"an example of it", incarnation: 1, file_id: 0, page_size: 4096 };

    let pager = Pager::create(vfs.clone(), &path, identity, b"")?;
    add(&pager, "milk")?;
    let early = add(&pager, "bread")?;
    add(&pager, "a book")?;
    println!("newest:           {:?}", notes(&pager.snapshot())?.0);
    println!("early snapshot:   {:?}", notes(&early)?.0);

    // Forget everything but the newest note: its page is written anew, the others are given up.
    let base = pager.snapshot();
    let (all, _) = notes(&base)?;
    let mut txn = pager.begin()?;
    let mut next = base.roots().first().map(|root| root.page);
    while let Some(at) = next {
        next = before(base.page(at)?.body())?;
        txn.free(at);
    }
    let at = txn.alloc(1)?;
    txn.write(at, NOTE, 0, &encode(None, &all[0]))?;
    txn.commit(&[Root { page: at, tag: [0; 16] }], b"")?;
    drop(base);
    println!("after forgetting: {:?}", notes(&pager.snapshot())?.0);
    println!("early snapshot:   {:?} (its pages are kept)", notes(&early)?.0);
    let held = pager.stats();
    println!("pages {}, pending {}, free {}", held.pages, held.pending, held.free);

    drop(early);
    pager.republish(None)?; // the meta before is no longer findable
    let freed = pager.stats();
    println!("pages {}, pending {}, free {} once nobody can see them", freed.pages, freed.pending, freed.free);
    drop(pager);

    let pager = Pager::open(vfs, &path, &identity, Access::ReadWrite)?;
    let snapshot = pager.snapshot();
    let (found, pages) = notes(&snapshot)?;
    println!("reopened:         {found:?}, generation {}", snapshot.generation());
    println!("accounting:       {} findings", snapshot.check_accounting(&pages)?.len());
    Ok(())
}
