//! The database answers as a `BTreeMap` would: the model campaign in short, with proptest's own shrinking.
//!
//! The long runs are `cargo xtask model`.

use proptest::prelude::*;
use xtask::campaign::config::{ALL, Setup};
use xtask::campaign::model::{Level, drive};
use xtask::campaign::ops::{Op, Profile, workload};

fn check(level: Level, setup: &Setup, steps: &[Op]) -> Result<(), TestCaseError> {
    drive(level, setup, steps).map_err(|what| TestCaseError::fail(format!("{level:?}, {}: {what}", setup.name)))
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(40))]

    #[test]
    fn the_partitions_answer_as_a_map_does(which in 0..ALL.len(), steps in workload(Profile::MODEL, 50..400)) {
        check(Level::Partitions, &ALL[which], &steps)?;
    }
}

proptest! {
    #![proptest_config(config(10))]

    #[test]
    fn a_tree_by_itself_answers_as_a_map_does(which in 0..ALL.len(), steps in workload(Profile::MODEL, 50..300)) {
        check(Level::Tree, &ALL[which], &steps)?;
    }
}

proptest! {
    #![proptest_config(config(10))]

    #[test]
    fn the_facade_answers_as_a_map_does(which in 0..ALL.len(), steps in workload(Profile::MODEL, 50..300)) {
        check(Level::Facade, &ALL[which], &steps)?;
    }
}
