//! Random transactions, snapshots and reopens against a model in memory: every live snapshot keeps its contents, every
//! page is accounted for after each step, and a reopened file holds the last commit.

mod harness;

use halodb_pager::Identity;
use halodb_vfs::{OsVfs, SimVfs, Vfs};
use harness::script::{Step, World};
use harness::{Edit, IDENTITY};
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let pages = prop_oneof![6 => Just(1u32), 2 => 2u32..6, 1 => 6u32..40];
    let one = prop_oneof![
        4 => pages.prop_map(Edit::Add),
        3 => (0usize..64).prop_map(Edit::Remove),
        3 => (0usize..64).prop_map(Edit::Replace),
        2 => (0usize..64).prop_map(Edit::Lower),
    ];
    proptest::collection::vec(one, 0..12)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => edits().prop_map(Step::Commit),
        2 => edits().prop_map(Step::Abort),
        1 => Just(Step::Republish),
        2 => Just(Step::Snapshot),
        2 => (0usize..8).prop_map(Step::Drop),
        1 => Just(Step::Truncate),
        1 => Just(Step::Trim),
        1 => Just(Step::Reopen),
    ]
}

fn play(vfs: Arc<dyn Vfs>, path: &Path, identity: Identity, steps: &[Step]) {
    let mut world = World::create(vfs, path, identity).unwrap();
    for (i, step) in steps.iter().enumerate() {
        world.step(step, i as u64 * 1000 + 1).unwrap();
        world.check().unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, ..ProptestConfig::default() })]

    #[test]
    fn every_snapshot_keeps_its_pages_and_every_page_is_accounted_for(
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        play(Arc::new(SimVfs::new()), Path::new("p"), IDENTITY, &steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, ..ProptestConfig::default() })]

    #[test]
    fn the_same_holds_on_a_real_file_with_larger_pages(steps in proptest::collection::vec(step(), 1..30)) {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity { page_size: 16384, ..IDENTITY };
        play(Arc::new(OsVfs), &dir.path().join("p"), identity, &steps);
    }
}
