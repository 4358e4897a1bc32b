//! Single pages of a page file: metas, pages with their headers, pages of the free list.
//!
//! `pager-meta`: flags u8 (1: seal, 2: put in magic and version, 4: slot 1), meta, filled up with zeros.
//! `pager-page`: flags u8 (1: seal, 2: two pages, 4: length as given), page, filled up with zeros.
//! `pager-free-list`: flags u8 (1: the stated length of each body is what is there), page count u64, length of a body u16, bodies.

use crate::input::{Input, resized};
use crate::{Target, Verdict, seal};
use halodb::pager::Identity;
use halodb::pager::inspect::{self, META_LEN, MetaSlot};

pub(crate) const IDENTITY: Identity = Identity { uuid: [3; 16], incarnation: 4, file_id: 5, page_size: 4096 };
const PAGE: usize = IDENTITY.page_size as usize;

pub(crate) const META: Target = Target { name: "pager-meta", max_len: 1 + 2048, run: meta, seeds: meta_seeds };
pub(crate) const ONE_PAGE: Target = Target { name: "pager-page", max_len: 256, run: page, seeds: page_seeds };
pub(crate) const FREE_LIST: Target =
    Target { name: "pager-free-list", max_len: 512, run: free_list, seeds: free_list_seeds };

fn meta(data: &[u8]) -> Verdict {
    let mut input = Input::new(data);
    let flags = input.u8();
    let mut bytes = resized(input.rest(), META_LEN);
    if flags & 2 != 0 {
        bytes[..8].copy_from_slice(b"HALOPAGE");
        bytes[8..12].copy_from_slice(&1u32.to_le_bytes());
    }
    if flags & 1 != 0 {
        seal::trailing(&mut bytes, META_LEN);
    }
    let MetaSlot::Valid(meta) = inspect::meta(&bytes, u32::from(flags >> 2) & 1) else { return Verdict::Refused };
    let inside = |page: u64| (2..meta.page_count).contains(&page);
    assert!(meta.roots.iter().all(|root| inside(root.page.id.0)), "roots lie in the file");
    assert!(meta.free_list.is_none_or(|list| inside(list.id.0)), "the free list lies in the file");
    assert!(meta.free_pages + meta.free_list_pages <= meta.page_count);
    assert!(
        meta.page_count.checked_mul(u64::from(meta.identity.page_size)).is_some(),
        "places in the file are numbers"
    );
    Verdict::Accepted
}

fn meta_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let file = super::page_file::valid();
    let first = &file[..META_LEN];
    let second = &file[PAGE..PAGE + META_LEN];
    vec![
        ("slot-0", [&[3][..], &first[..800]].concat()),
        ("slot-1", [&[7][..], &second[..800]].concat()),
        ("whole", [&[0][..], first].concat()),
        ("wrong-slot", [&[7][..], &first[..128]].concat()),
    ]
}

fn page(data: &[u8]) -> Verdict {
    let mut input = Input::new(data);
    let flags = input.u8();
    let pages = 1 + usize::from(flags >> 1 & 1);
    let mut bytes = input.rest().to_vec();
    if flags & 4 == 0 {
        bytes = resized(&bytes, pages * PAGE);
    }
    if flags & 1 != 0 {
        seal::page(&mut bytes, &IDENTITY);
    }
    let found = inspect::page(&bytes, &IDENTITY);
    if let Ok(info) = &found {
        assert_eq!(info.at.pages as usize * PAGE, bytes.len());
        assert_eq!(inspect::page_header(&bytes).as_ref(), Ok(info));
    }
    Verdict::of(&found)
}

fn page_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let file = super::page_file::valid();
    let head = |page: usize| file[page * PAGE..page * PAGE + 64].to_vec();
    let mut extent = head(2);
    extent[28] = 2;
    vec![
        ("page", [&[1][..], &head(2)].concat()),
        ("extent", [&[3][..], &extent].concat()),
        ("not-sealed", [&[0][..], &head(2)].concat()),
        ("short", vec![5; 20]),
    ]
}

fn free_list(data: &[u8]) -> Verdict {
    let mut input = Input::new(data);
    let flags = input.u8();
    let page_count = input.u64();
    let len = usize::from(input.u16()).max(1);
    let mut bodies: Vec<Vec<u8>> = Vec::new();
    while !input.is_empty() {
        bodies.push(input.bytes(len).to_vec());
    }
    if flags & 1 != 0 {
        for body in bodies.iter_mut().filter(|body| body.len() >= 24) {
            let len = body.len() as u32 - 24;
            body[20..24].copy_from_slice(&len.to_le_bytes());
        }
    }
    let found = inspect::free_list(bodies.iter().map(Vec::as_slice), page_count);
    if let Ok(list) = &found {
        let mut end = 2;
        for &(start, len) in &list.extents {
            assert!(start >= end && len > 0 && start + len <= page_count, "extents ascend and lie in the file");
            end = start + len;
        }
        assert_eq!(list.free_pages, list.extents.iter().map(|(_, len)| len).sum::<u64>());
    }
    Verdict::of(&found)
}

fn free_list_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let body = |next: u64, count: u32, extents: &[u8]| {
        let mut out = next.to_le_bytes().to_vec();
        out.extend_from_slice(&next.to_le_bytes());
        out.extend_from_slice(&count.to_le_bytes());
        out.extend_from_slice(&(extents.len() as u32).to_le_bytes());
        out.extend_from_slice(extents);
        out
    };
    let input = |page_count: u64, len: u16, bodies: &[Vec<u8>]| {
        let mut out = vec![1];
        out.extend_from_slice(&page_count.to_le_bytes());
        out.extend_from_slice(&len.to_le_bytes());
        out.extend(bodies.concat());
        out
    };
    vec![
        ("two-pages", input(1000, 29, &[body(9, 2, &[0, 3, 0x85, 1, 2]), body(0, 2, &[1, 1, 0x80, 1, 1])])),
        ("beyond-the-file", input(5, 26, &[body(0, 1, &[0, 4])])),
        ("greatest", input(u64::MAX, 34, &[body(0, 1, &[0, 0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])])),
    ]
}
