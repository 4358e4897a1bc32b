//! Files that no pager writes, with checksums that hold: chains of free-list pages that loop, end early or lie.

use crate::error::{Error, Result};
use crate::file::PageFile;
use crate::freelist::{ListPage, encode};
use crate::id::{Access, Identity, PageId, PageKind, PageRef, Stamp};
use crate::meta::Meta;
use crate::open::load_list;
use crate::page::{Header, seal, seed_of};
use crate::pager::Pager;
use halodb_vfs::{OpenMode, SimVfs, Vfs};
use std::path::Path;
use std::sync::Arc;

const IDENTITY: Identity = Identity { uuid: [3; 16], incarnation: 4, file_id: 5, page_size: 4096 };
const PAGE_COUNT: u64 = 30;
const GENERATION: u64 = 7;

fn at(id: u64) -> PageRef {
    PageRef { id: PageId(id), stamp: Stamp::new(1, GENERATION), pages: 1 }
}

fn list_page(extents: &[(u64, u64)]) -> ListPage {
    encode(extents, 4064).pop().unwrap_or_default()
}

/// A file whose meta states the list; each page of it is given as (page, content, page after it, kind).
fn load(list_pages: u64, free_pages: u64, pages: &[(u64, ListPage, Option<u64>, PageKind)]) -> Result<Vec<(u64, u64)>> {
    let meta = Meta {
        identity: IDENTITY,
        generation: GENERATION,
        epoch: 1,
        page_count: PAGE_COUNT,
        list: Some(at(pages[0].0)),
        list_pages,
        free_pages,
        roots: Vec::new(),
        user: Vec::new(),
    };
    let mut bytes = vec![0; PAGE_COUNT as usize * 4096];
    bytes[..4096].copy_from_slice(&meta.encode(0));
    for (id, page, next, kind) in pages {
        let image = &mut bytes[*id as usize * 4096..][..4096];
        image[..32].copy_from_slice(&Header { at: at(*id), kind: *kind, level: 0 }.encode());
        let body = page.body(next.map(at));
        image[32..32 + body.len()].copy_from_slice(&body);
        seal(seed_of(&IDENTITY), image);
    }
    let disk = SimVfs::new();
    disk.write_file("p", &bytes).unwrap();

    // The same bytes through the front door: reading only leaves the list alone, writing does not.
    Pager::open(Arc::new(disk.clone()), Path::new("p"), &IDENTITY, Access::ReadOnly).unwrap();
    let opened = Pager::open(Arc::new(disk.clone()), Path::new("p"), &IDENTITY, Access::ReadWrite);
    let file = PageFile::new("p".into(), disk.open(Path::new("p"), OpenMode::Read).unwrap(), IDENTITY);
    let list = load_list(&file, &meta);
    assert_eq!(list.is_ok(), opened.is_ok());
    list.map(|list| list.extents)
}

fn refused(result: Result<Vec<(u64, u64)>>, expected: &str) {
    match result {
        Err(Error::Corrupt { what, .. }) => assert!(what.contains(expected), "{what}"),
        other => panic!("expected damage with {expected:?}, got {other:?}"),
    }
}

const LIST: PageKind = PageKind::FREE_LIST;

#[test]
fn a_chain_of_several_pages_is_read_to_its_end() {
    let first = list_page(&[(4, 2), (8, 1)]);
    let second = {
        // A gap counts from the end of the extent before, which stands in the page before.
        let whole = encode(&[(4, 2), (8, 1)], 4064);
        assert_eq!(whole.len(), 1);
        list_page(&[(2 + 3, 2)])
    };
    let pages = [(2, first, Some(3), LIST), (3, second, None, LIST)];
    assert_eq!(load(2, 5, &pages).unwrap(), [(4, 2), (8, 1), (12, 2)]);
}

#[test]
fn a_chain_that_loops_or_lies_is_damage() {
    let page = || list_page(&[(10, 2)]);
    let none = ListPage::default;
    refused(load(9, 2, &[(2, page(), Some(2), LIST)]), "comes back to page 2");
    refused(load(9, 2, &[(2, page(), Some(3), LIST), (3, none(), Some(2), LIST)]), "comes back to page 2");
    refused(load(1, 2, &[(2, page(), Some(3), LIST), (3, none(), None, LIST)]), "more than 1 pages");
    refused(load(3, 2, &[(2, page(), Some(3), LIST), (3, none(), None, LIST)]), "its meta states 3");
    refused(load(1, 3, &[(2, page(), None, LIST)]), "naming 2 free ones, its meta states 1 and 3");
    refused(load(1, 2, &[(2, page(), None, PageKind(1))]), "a page of kind 1");
    refused(load(2, 2, &[(2, page(), Some(30), LIST)]), "from page 30");
    refused(load(2, 2, &[(2, page(), Some(1), LIST)]), "from page 1");
    refused(load(1, 2, &[(10, page(), None, LIST)]), "one of its own pages");
    refused(load(1, 20, &[(2, list_page(&[(20, 20)]), None, LIST)]), "in a file of 30 pages");
}
