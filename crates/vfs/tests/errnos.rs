//! Every error that a disk is known for can be injected, and what the crate repeats by itself is what it says.

use halodb_vfs::sim::{Fault, Repeat};
use halodb_vfs::{FileExt, OpenMode, SimVfs, Vfs};
use std::path::Path;
use std::sync::Arc;

const ERRNOS: [i32; 5] = [libc::EIO, libc::ENOSPC, libc::EMFILE, libc::EINTR, libc::EROFS];

fn disk_with(bytes: &[u8]) -> (SimVfs, Arc<dyn halodb_vfs::File>) {
    let disk = SimVfs::new();
    disk.write_file("a", bytes).unwrap();
    let file = disk.open(Path::new("a"), OpenMode::ReadWrite).unwrap();
    (disk, file)
}

#[test]
fn a_disk_can_be_worn_full_out_of_descriptors_interrupted_and_read_only() {
    for errno in ERRNOS {
        for (repeat, times) in [(Repeat::Once, 1), (Repeat::Sticky, 3)] {
            let (disk, file) = disk_with(b"x");
            let code = |result: std::io::Result<()>| result.err().and_then(|e| e.raw_os_error());
            let calls: [&dyn Fn() -> std::io::Result<()>; 5] = [
                &|| file.read_at(&mut [0], 0).map(drop),
                &|| file.write_at(b"y", 0).map(drop),
                &|| file.sync_data(),
                &|| disk.open(Path::new("a"), OpenMode::Read).map(drop),
                &|| disk.sync_dir(Path::new("")),
            ];
            for call in calls {
                disk.inject(0, Fault::Errno(errno), repeat);
                let struck = (0..3).take_while(|_| code(call()) == Some(errno)).count();
                assert_eq!(struck, times);
                disk.heal();
                assert_eq!(code(call()), None);
            }
        }
    }
}

#[test]
fn an_interrupted_transfer_is_repeated_and_an_interrupted_sync_is_the_callers() {
    let (disk, file) = disk_with(b"old");
    let eintr = Fault::Errno(libc::EINTR);
    disk.inject(0, eintr, Repeat::Once);
    file.write_all_at(b"new", 0).unwrap();
    let mut bytes = [0; 3];
    disk.inject(0, eintr, Repeat::Once);
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!((&bytes, disk.struck()), (b"new", 2));
    disk.inject(0, eintr, Repeat::Once);
    assert_eq!(file.sync_data().unwrap_err().raw_os_error(), Some(libc::EINTR));
}
