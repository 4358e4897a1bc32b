//! Pages of a real file that are in memory are verified where they lie: what is bad there is refused as it is when it is read.

use halodb_pager::{Access, Error, Identity, PageKind, PageRef, Pager, Root};
use halodb_vfs::OsVfs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

const PAGE: u32 = 4096;
const IDENTITY: Identity = Identity { uuid: [3; 16], incarnation: 1, file_id: 0, page_size: PAGE };

/// A file with a page and an extent of each length up to more than is looked at in one piece.
fn create(path: &Path) -> Vec<PageRef> {
    let pager = Pager::create(Arc::new(OsVfs), path, IDENTITY, b"").unwrap();
    let mut txn = pager.begin().unwrap();
    let mut pages = Vec::new();
    for len in [1, 2, 15, 16, 17, 40] {
        let at = txn.alloc(len).unwrap();
        txn.write(at, PageKind(len as u8), 0, &vec![len as u8; (len * PAGE) as usize - 100]).unwrap();
        pages.push(at);
    }
    txn.commit(&[Root { page: pages[0], tag: [0; 16] }], b"").unwrap();
    pages
}

fn read(path: &Path, access: Access, at: PageRef) -> halodb_pager::Result<Vec<u8>> {
    let pager = Pager::open(Arc::new(OsVfs), path, &IDENTITY, access)?;
    let snapshot = pager.snapshot();
    let first = snapshot.page(at)?.body().to_vec();
    assert_eq!(first, snapshot.page(at)?.body(), "the second touch shows something else");
    Ok(first)
}

#[test]
fn a_bad_byte_in_memory_is_a_typed_error_at_the_first_touch() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pages");
    let pages = create(&path);
    let file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
    for access in [Access::ReadWrite, Access::ReadOnly] {
        for at in &pages {
            let (begin, len) = (at.id.0 * u64::from(PAGE), u64::from(at.pages * PAGE));
            let good = read(&path, access, *at).unwrap();
            assert!(good.starts_with(&[at.pages as u8; 100]));
            // Checksum, page, stamp, length, body, and what is not used.
            for offset in [0, 7, 8, 16, 23, 28, 40, len / 2, len - 101, len - 1] {
                let mut byte = [0];
                file.read_exact_at(&mut byte, begin + offset).unwrap();
                file.write_all_at(&[byte[0] ^ 0x10], begin + offset).unwrap();
                let found = read(&path, access, *at);
                assert!(matches!(found, Err(Error::Corrupt { .. })), "{} pages, byte {offset}: {found:?}", at.pages);
                file.write_all_at(&byte, begin + offset).unwrap();
            }
            assert_eq!(read(&path, access, *at).unwrap(), good);
        }
    }
}

#[test]
fn a_reference_to_another_writing_or_length_of_a_page_in_memory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pages");
    let pages = create(&path);
    let two = pages[1];
    for wrong in [PageRef { pages: 1, ..two }, PageRef { id: pages[2].id, ..two }, PageRef { stamp: later(two), ..two }]
    {
        assert!(matches!(read(&path, Access::ReadWrite, wrong), Err(Error::Corrupt { .. })), "{wrong:?}");
    }
}

fn later(at: PageRef) -> halodb_pager::Stamp {
    halodb_pager::Stamp::from_raw(at.stamp.raw() + 1)
}
