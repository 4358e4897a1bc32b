//! `pager-file`: a page file with patches (see `patch.rs`), opened for reading and for writing, walked, written, opened again.
//!
//! The input begins with flags u8: 1: the checksums of metas and pages are put right after patching.

use crate::input::Input;
use crate::patch::{overwriting, patch};
use crate::targets::pager::IDENTITY;
use crate::{Target, Verdict, seal};
use halodb::pager::{Access, PAGE_HEADER_LEN, PageKind, PageSet, Pager, Root, Snapshot, inspect};
use halodb::vfs::SimVfs;
use std::path::Path;
use std::sync::{Arc, LazyLock};

pub(crate) const PAGE_FILE: Target = Target { name: "pager-file", max_len: 1024, run, seeds };

const PATH: &str = "pages";
const PAGE: usize = IDENTITY.page_size as usize;

static VALID: LazyLock<Vec<u8>> = LazyLock::new(|| build().expect("a page file on an empty disk"));

/// The file before patching: pages, an extent, a free list, both metas in use.
pub(crate) fn valid() -> &'static [u8] {
    &VALID
}

fn build() -> halodb::pager::Result<Vec<u8>> {
    let disk = SimVfs::new();
    let pager = Pager::create(Arc::new(disk.clone()), Path::new(PATH), IDENTITY, b"user area")?;
    let mut roots = Vec::new();
    let mut txn = pager.begin()?;
    for pages in [1, 3, 1, 2, 1, 1] {
        let at = txn.alloc(pages)?;
        txn.write(at, PageKind(7), pages as u8, &[pages as u8; 50])?;
        if pages == 1 {
            roots.push(Root { page: at, tag: [pages as u8; 16] });
        } else if pages == 2 {
            txn.free(at);
        }
    }
    txn.commit(&roots, b"user area")?;
    let mut txn = pager.begin()?;
    let gone = roots.remove(1);
    txn.free(gone.page);
    let at = txn.alloc(1)?;
    txn.write(at, PageKind(8), 0, b"the youngest page")?;
    roots.push(Root { page: at, tag: [9; 16] });
    txn.commit(&roots, b"user area")?;
    drop(pager);
    let mut bytes = disk.read_file(PATH).unwrap_or_default();
    // A file may be longer than its meta says; a fuzzer is quicker without that.
    bytes.truncate(16 * PAGE);
    Ok(bytes)
}

fn run(data: &[u8]) -> Verdict {
    let mut input = Input::new(data);
    let sealed = input.u8() & 1 != 0;
    let mut files = vec![Some(valid().to_vec())];
    patch(&mut files, &mut input);
    let Some(mut bytes) = files.remove(0) else { return Verdict::Refused };
    if sealed {
        seal::page_file(&mut bytes, &IDENTITY);
    }
    let disk = SimVfs::new();
    disk.write_file(PATH, &bytes).expect("an empty disk");
    let open = |access| Pager::open(Arc::new(disk.clone()), Path::new(PATH), &IDENTITY, access);
    if let Ok(pager) = open(Access::ReadOnly) {
        walk(&pager.snapshot(), &bytes);
    }
    let Ok(pager) = open(Access::ReadWrite) else { return Verdict::Refused };
    walk(&pager.snapshot(), &bytes);
    if let Err(e) = write(&pager) {
        assert!(!e.to_string().is_empty());
        return Verdict::Refused;
    }
    let expected = pager.snapshot().user().to_vec();
    drop(pager);
    let pager = open(Access::ReadWrite).expect("a file that was committed to opens again");
    assert_eq!(pager.snapshot().user(), expected);
    Verdict::Accepted
}

/// Reads every page that a header in the file states, wherever it claims to be, and checks the accounting. What is given
/// are the bytes of the place that was asked for, and their header says that they belong there: the header that led there
/// may be a stranger's that rot made claim that place.
fn walk(snapshot: &Snapshot, bytes: &[u8]) {
    let mut set = PageSet::default();
    for root in snapshot.roots() {
        if let Ok(page) = snapshot.page(root.page) {
            assert!(page.body().len() < PAGE);
            set.insert(root.page);
        }
    }
    for page in bytes.chunks(PAGE).skip(2) {
        if let Ok(info) = inspect::page_header(page)
            && let Ok(page) = snapshot.page(info.at)
        {
            let place = &bytes[info.at.id.0 as usize * PAGE..][..info.at.pages as usize * PAGE];
            let stands = inspect::page_header(place).expect("a page that is given has a header");
            assert_eq!(stands.at, info.at, "another page was given");
            assert_eq!((page.kind(), page.level()), (stands.kind, stands.level));
            assert!(page.body() == &place[PAGE_HEADER_LEN..], "other bytes were given than the file holds");
            let _ = snapshot.verify(info.at);
            set.insert(info.at);
        }
    }
    let _ = snapshot.check_accounting(&set);
}

fn write(pager: &Pager) -> halodb::pager::Result<()> {
    let mut roots = pager.snapshot().roots().to_vec();
    let mut txn = pager.begin()?;
    for pages in [1, 2, 1] {
        let at = txn.alloc(pages)?;
        txn.write(at, PageKind(1), 1, &[pages as u8; 5000][..(pages as usize * PAGE - 32).min(5000)])?;
        if pages == 2 {
            txn.free(at);
        } else {
            roots.truncate(10);
            roots.push(Root { page: at, tag: [1; 16] });
        }
    }
    txn.commit(&roots, b"written")?;
    pager.republish(Some(b"again"))?;
    let _ = pager.truncate_tail();
    let _ = (pager.stats(), pager.findable_users());
    Ok(())
}

fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let sealed = |patch: Vec<u8>| [&[1][..], &patch].concat();
    let page = |n: usize, at: usize| (n * PAGE + at) as u32;
    let list = valid().chunks(PAGE).position(|page| page[24] == 250).unwrap_or(2);
    vec![
        ("unchanged", vec![0]),
        ("rotten", [&[0][..], &overwriting(0, page(3, 100), b"x")].concat()),
        ("rotten-meta", [&[0][..], &overwriting(0, page(0, 70), b"x")].concat()),
        (
            "page-count",
            sealed([overwriting(0, page(0, 64), &[0xff; 6]), overwriting(0, page(1, 64), &[0xff; 6])].concat()),
        ),
        ("root", sealed([overwriting(0, page(0, 128), &[200]), overwriting(0, page(1, 128), &[3])].concat())),
        ("list", sealed(overwriting(0, page(list, 32), &[5]))),
        ("list-count", sealed(overwriting(0, page(list, 48), &[9]))),
        ("list-extents", sealed(overwriting(0, page(list, 56), &[0, 2, 1, 1]))),
        ("extent", sealed(overwriting(0, page(3, 28), &[255, 255]))),
        ("generation", sealed(overwriting(0, page(0, 48), &[0xff; 5]))),
        ("epoch", sealed(overwriting(0, page(1, 56), &[0xff, 0xff, 0xff]))),
        ("cut", vec![0, 5, 0, 0, 0x28, 0, 0]),
    ]
}
