//! The inputs that are kept for the fuzz targets run in every `cargo test`: what was once found stays found.

use std::path::Path;
use xtask::fuzz;

#[test]
fn every_kept_input_gives_an_answer_or_an_error() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the repository");
    let targets = fuzz::chosen("all").expect("there are targets");
    let report = fuzz::replay(root, &targets);
    assert!(report.failures.is_empty(), "{report}\n{}", report.failures[0]);
    assert!(report.count >= 3 * targets.len() as u64, "{report}: too few inputs");
}

#[test]
fn a_corpus_that_is_not_there_is_a_failure() {
    let nowhere = tempfile::tempdir().expect("a temporary directory");
    let report = fuzz::replay(nowhere.path(), &fuzz::chosen("bloom").expect("a target"));
    assert_eq!((report.count, report.failures.len()), (0, 1));
}
