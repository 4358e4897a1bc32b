//! Short versions of the campaigns, and the proof that they can fail.

use halodb::vfs::{SimVfs, Vfs};
use std::path::Path;
use std::sync::Arc;
use xtask::campaign::corrupt::{self, Extent};
use xtask::campaign::lying::{Lie, LyingVfs};
use xtask::campaign::report::Report;
use xtask::campaign::session::{Seam, honest};
use xtask::campaign::{Plan, crash, faults, kill, mortal};

fn check_passes(report: &Report) {
    assert!(report.count > 0, "{report}: nothing was tried");
    assert!(report.failures.is_empty(), "{report}\n{}", report.failures[0]);
}

/// A disk that lies must be caught within `images` images.
fn check_caught(images: u64, seam: Seam) {
    let report = crash::run(&Plan::small(1, images), seam);
    assert!(!report.failures.is_empty(), "{report}: the campaign does not notice a disk that lies");
}

#[test]
fn nothing_is_lost_when_the_power_goes() {
    check_passes(&crash::run(&Plan::small(11, 600), honest));
}

#[test]
fn nothing_is_lost_when_a_call_fails() {
    check_passes(&faults::run(&Plan::small(12, 300)));
}

#[test]
fn a_bit_that_turns_is_noticed_or_does_not_matter() {
    check_passes(&corrupt::run(&Plan::small(13, 300), Extent::Sample));
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    check_passes(&kill::run(&Plan::small(14, 6), Path::new(env!("CARGO_BIN_EXE_xtask"))));
}

#[test]
fn a_process_that_acknowledges_what_it_has_not_handed_over_is_noticed() {
    let report = kill::run_with(&Plan::small(1, 60), Path::new(env!("CARGO_BIN_EXE_xtask")), Some(mortal::Lie::Memory));
    assert!(!report.failures.is_empty(), "{report}: the campaign does not notice a process that lies");
}

#[test]
fn a_log_that_is_never_synchronised_is_noticed() {
    fn seam(disk: SimVfs) -> Arc<dyn Vfs> {
        Arc::new(LyingVfs::new(Arc::new(disk), Lie::Contents("wal")))
    }
    check_caught(2_000, seam);
}

#[test]
fn a_page_file_that_is_never_synchronised_is_noticed() {
    fn seam(disk: SimVfs) -> Arc<dyn Vfs> {
        Arc::new(LyingVfs::new(Arc::new(disk), Lie::Contents("tree.db")))
    }
    check_caught(4_000, seam);
}

#[test]
fn a_directory_that_is_never_synchronised_is_noticed() {
    fn seam(disk: SimVfs) -> Arc<dyn Vfs> {
        Arc::new(LyingVfs::new(Arc::new(disk), Lie::Names))
    }
    check_caught(2_000, seam);
}
