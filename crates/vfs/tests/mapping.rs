//! Mappings of real and simulated files: windows that show later writes and may be longer than the file.

#![expect(unsafe_code, reason = "slices of mapped memory")]

use halodb_vfs::{File, FileExt, Mapping, OpenMode, OsVfs, SimVfs, Vfs};
use std::path::Path;

/// Runs a check on a real file and on a simulated one.
fn on_both(check: impl Fn(&dyn File)) {
    let dir = tempfile::tempdir().unwrap();
    check(&*OsVfs.open(&dir.path().join("f"), OpenMode::Create).unwrap());
    check(&*SimVfs::new().open(Path::new("f"), OpenMode::Create).unwrap());
}

fn bytes(mapping: &Mapping, offset: u64, len: usize) -> Vec<u8> {
    // SAFETY: the tests ask only for bytes inside the file, and write nothing meanwhile.
    unsafe { mapping.slice(offset, len) }.expect("inside the mapping").to_vec()
}

#[test]
fn a_mapping_shows_writes_made_after_mapping() {
    on_both(|file| {
        file.write_all_at(b"before", 0).unwrap();
        let mapping = file.map(4096).unwrap();
        assert_eq!(bytes(&mapping, 0, 6), b"before");
        file.write_all_at(b"AFTER!", 0).unwrap();
        assert_eq!(bytes(&mapping, 0, 6), b"AFTER!");
    });
}

#[test]
fn a_file_grows_into_the_addresses_that_a_mapping_has_reserved() {
    on_both(|file| {
        let mapping = file.map(1 << 32).unwrap();
        assert_eq!(mapping.len(), 1 << 32);
        file.set_len(1 << 20).unwrap();
        assert_eq!(bytes(&mapping, (1 << 20) - 3, 3), [0; 3]);
        file.write_all_at(b"far", 3 << 20).unwrap();
        assert_eq!(bytes(&mapping, 3 << 20, 3), b"far");
    });
}

#[test]
fn nothing_outside_the_reserved_range_is_handed_out() {
    on_both(|file| {
        file.set_len(8192).unwrap();
        let mapping = file.map(4096).unwrap();
        for (offset, len) in [(4096, 1), (4095, 2), (0, 4097), (u64::MAX, 1), (u64::MAX, usize::MAX)] {
            // SAFETY: nothing is handed out.
            let slice = unsafe { mapping.slice(offset, len) };
            assert!(slice.is_none(), "{offset} {len}");
        }
        assert_eq!(bytes(&mapping, 4096, 0), b"");
        assert!(mapping.address(4095).is_some());
        assert!(mapping.address(4096).is_none());
    });
}

#[test]
fn a_mapping_outlives_its_handle_and_the_name_of_its_file() {
    let sim = SimVfs::new();
    let file = sim.open(Path::new("f"), OpenMode::Create).unwrap();
    file.write_all_at(b"still here", 0).unwrap();
    let mapping = file.map(4096).unwrap();
    drop(file);
    sim.remove_file(Path::new("f")).unwrap();
    drop(sim);
    assert_eq!(bytes(&mapping, 0, 10), b"still here");
}

#[test]
fn an_empty_mapping_is_possible() {
    on_both(|file| {
        let mapping = file.map(0).unwrap();
        assert!(mapping.address(0).is_none());
    });
}

#[test]
fn an_absurd_reservation_is_an_error() {
    on_both(|file| assert!(file.map(u64::MAX / 2).is_err()));
}

#[cfg(target_os = "linux")]
#[test]
fn what_was_written_just_now_is_in_memory_and_what_is_not_there_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let file = OsVfs.open(&path, OpenMode::Create).unwrap();
    file.write_all_at(&[7; 65_536], 0).unwrap();
    let mapping = file.map(1 << 20).unwrap();
    for (offset, len) in [(0, 65_536), (0, 1), (100, 16_384), (65_535, 1), (4_095, 2)] {
        assert!(mapping.is_resident(offset, len), "{len} bytes at {offset}");
    }
    for (offset, len) in
        [(0, 0), (0, 131_073), (131_072, 1), (61_440, 131_072), (1 << 20, 1), (u64::MAX, 1), (1, usize::MAX)]
    {
        assert!(!mapping.is_resident(offset, len), "{len} bytes at {offset}");
    }
    // Of a file that one may not write to the system says that all of it is there.
    let reading = OsVfs.open(&path, OpenMode::Read).unwrap().map(1 << 20).unwrap();
    assert!(!reading.is_resident(0, 16_384));
}

#[test]
fn a_simulated_disk_is_never_known_to_be_in_memory() {
    let file = SimVfs::new().open(Path::new("f"), OpenMode::Create).unwrap();
    file.write_all_at(&[7; 65_536], 0).unwrap();
    assert!(!file.map(1 << 20).unwrap().is_resident(0, 4_096));
}
