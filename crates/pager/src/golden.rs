//! Golden bytes: one worked example of each structure, equal to the dumps in `testdata/` that `docs/format/` shows.

use crate::file::PageFile;
use crate::freelist::{Decoder, encode};
use crate::id::{Identity, PAGE_HEADER_LEN, PageId, PageKind, PageRef, Root, Stamp};
use crate::meta::{META_LEN, Meta, Slot};
use crate::page::{Header, seal, seed_of};
use halodb_vfs::{SimVfs, Vfs};
use std::path::Path;

const IDENTITY: Identity = Identity {
    uuid: [0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f],
    incarnation: 0x0123_4567_89ab_cdef,
    file_id: 2,
    page_size: 4096,
};

/// Bytes as `hexdump -C` prints them, without its last column: sixteen to a line, repeated lines as one `*`.
fn dump(bytes: &[u8]) -> String {
    let mut out = String::new();
    let (mut before, mut starred): (Option<&[u8]>, bool) = (None, false);
    for (i, line) in bytes.chunks(16).enumerate() {
        if before == Some(line) {
            if !starred {
                out.push_str("*\n");
            }
            starred = true;
            continue;
        }
        (before, starred) = (Some(line), false);
        let hex: Vec<String> = line.iter().map(|b| format!("{b:02x}")).collect();
        out.push_str(&format!("{:08x}  {}\n", i * 16, hex.join(" ")));
    }
    out.push_str(&format!("{:08x}\n", bytes.len()));
    out
}

fn undump(text: &str) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::new();
    for line in text.lines().filter(|line| *line != "*") {
        let mut words = line.split_whitespace();
        let at = usize::from_str_radix(words.next().unwrap(), 16).unwrap();
        while out.len() < at {
            out.push(out[out.len() - 16]);
        }
        out.extend(words.map(|word| u8::from_str_radix(word, 16).unwrap()));
    }
    out
}

fn check(bytes: &[u8], golden: &str) {
    assert_eq!(dump(bytes), golden, "\n{}", dump(bytes));
    assert_eq!(undump(golden), bytes);
}

fn page_image(at: PageRef, kind: PageKind, level: u8, body: &[u8]) -> Vec<u8> {
    let mut image = Header { at, kind, level }.encode().to_vec();
    image.extend_from_slice(body);
    image.resize(4096, 0);
    seal(seed_of(&IDENTITY), &mut image);
    image
}

/// Puts the image where it belongs in a file and reads it as the pager does.
fn read_back(at: PageRef, image: &[u8]) -> (Header, Vec<u8>) {
    let disk = SimVfs::new();
    let mut bytes = vec![0; at.id.0 as usize * 4096];
    bytes.extend_from_slice(image);
    disk.write_file("p", &bytes).unwrap();
    let file = disk.open(Path::new("p"), halodb_vfs::OpenMode::Read).unwrap();
    PageFile::new("p".into(), file, IDENTITY).read_page(at).unwrap()
}

#[test]
fn a_page_is_stored_as_documented() {
    let at = PageRef { id: PageId(5), stamp: Stamp::new(1, 300), pages: 1 };
    let image = page_image(at, PageKind(1), 2, b"the body belongs to the layer above");
    check(&image, include_str!("../testdata/page.hex"));
    let (header, bytes) = read_back(at, &image);
    assert_eq!(header, Header { at, kind: PageKind(1), level: 2 });
    assert!(bytes[PAGE_HEADER_LEN..].starts_with(b"the body"));
}

#[test]
fn a_meta_is_stored_as_documented() {
    let meta = Meta {
        identity: IDENTITY,
        generation: 301,
        epoch: 1,
        page_count: 40,
        list: Some(PageRef { id: PageId(9), stamp: Stamp::new(1, 301), pages: 1 }),
        list_pages: 1,
        free_pages: 14,
        roots: vec![Root {
            page: PageRef { id: PageId(5), stamp: Stamp::new(1, 300), pages: 1 },
            tag: *b"tag of the root!",
        }],
        user: b"the user area".to_vec(),
    };
    let bytes = meta.encode(1);
    check(&bytes, include_str!("../testdata/meta.hex"));
    assert_eq!(Meta::decode(&bytes, 1), Slot::Valid(meta));
    assert!(matches!(Meta::decode(&bytes, 0), Slot::Bad(what) if what.contains("slot 1 is in slot 0")));
}

#[test]
fn a_free_list_is_stored_as_documented() {
    let extents = [(3, 2), (6, 1), (20, 11)];
    let pages = encode(&extents, 4096 - PAGE_HEADER_LEN);
    assert_eq!(pages.len(), 1);
    let at = PageRef { id: PageId(9), stamp: Stamp::new(1, 301), pages: 1 };
    let image = page_image(at, PageKind::FREE_LIST, 0, &pages[0].body(None));
    check(&image, include_str!("../testdata/freelist.hex"));

    let (header, bytes) = read_back(at, &image);
    assert_eq!(header.kind, PageKind::FREE_LIST);
    let mut decoder = Decoder::new(40);
    assert_eq!(decoder.page(&bytes[PAGE_HEADER_LEN..]), Ok(None));
    assert_eq!(decoder.finish(), (extents.to_vec(), 14));
}

/// A meta with one bit changed is never taken for a meta: the file-level tests need not try them all.
#[test]
fn no_flipped_bit_of_a_meta_goes_unnoticed() {
    let golden: [u8; META_LEN] = undump(include_str!("../testdata/meta.hex")).try_into().unwrap();
    for bit in 0..META_LEN * 8 {
        let mut bytes = golden;
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(Meta::decode(&bytes, 1), Slot::Bad(_) | Slot::NoMagic), "bit {bit}");
    }
}

/// Metas whose checksum holds, but which no pager writes, are refused: each field is looked at.
#[test]
fn a_meta_that_contradicts_itself_is_refused() {
    let golden: [u8; META_LEN] = undump(include_str!("../testdata/meta.hex")).try_into().unwrap();
    let check = |at: usize, value: &[u8], expected: &str| {
        let mut bytes = golden;
        bytes[at..at + value.len()].copy_from_slice(value);
        let sum = xxhash_rust::xxh3::xxh3_64(&bytes[..META_LEN - 8]);
        bytes[META_LEN - 8..].copy_from_slice(&sum.to_le_bytes());
        match Meta::decode(&bytes, 1) {
            Slot::Bad(what) => assert!(what.contains(expected), "{what}"),
            other => panic!("offset {at}: {other:?}"),
        }
    };
    check(12, &[0, 0, 0, 0], "page size");
    check(12, &4097u32.to_le_bytes(), "page size");
    check(48, &(1u64 << 40).to_le_bytes(), "generation");
    check(56, &(1u32 << 24).to_le_bytes(), "epoch");
    check(60, &17u32.to_le_bytes(), "roots");
    check(60, &0u32.to_le_bytes(), "unused roots");
    check(64, &1u64.to_le_bytes(), "page count");
    check(64, &u64::MAX.to_le_bytes(), "page count");
    check(72, &40u64.to_le_bytes(), "40");
    check(72, &1u64.to_le_bytes(), "page 1");
    check(72, &[0; 16], "no free list");
    check(80, &Stamp::new(2, 301).raw().to_le_bytes(), "epoch 2");
    check(88, &0u64.to_le_bytes(), "no page");
    check(96, &u64::MAX.to_le_bytes(), "free pages");
    check(104, &1025u32.to_le_bytes(), "user bytes");
    check(104, &3u32.to_le_bytes(), "unused user bytes");
    check(110, &[1], "reserved");
    check(1700, &[1], "reserved");
    check(128, &0u64.to_le_bytes(), "page 0");
    check(136, &Stamp::new(1, 302).raw().to_le_bytes(), "generation 302");
}

#[test]
fn a_meta_of_a_newer_format_is_told_from_a_damaged_one() {
    let mut bytes: [u8; META_LEN] = undump(include_str!("../testdata/meta.hex")).try_into().unwrap();
    bytes[8] = 9;
    assert!(matches!(Meta::decode(&bytes, 1), Slot::Bad(_)));
    let sum = xxhash_rust::xxh3::xxh3_64(&bytes[..META_LEN - 8]);
    bytes[META_LEN - 8..].copy_from_slice(&sum.to_le_bytes());
    assert_eq!(Meta::decode(&bytes, 1), Slot::OtherVersion(9));
}
