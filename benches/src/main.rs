//! `halodb-bench`: HaloDB beside other embedded databases. Run it with `cargo xtask bench`.

mod engine;
mod result;

fn main() {}
