//! The house rules hold for this repository: `cargo xtask tidy` as a test.

use std::path::Path;
use xtask::tidy::{self, Sources};

#[test]
fn the_repository_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let found = tidy::run(&Sources::read(root).unwrap());
    let lines: Vec<String> = found.iter().map(|v| format!("  {v}")).collect();
    assert!(found.is_empty(), "{} violations:\n{}", found.len(), lines.join("\n"));
}
