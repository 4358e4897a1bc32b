//! `cargo xtask tidy`: house rules that no compiler checks, read from the text of the tracked files.
//!
//! Each rule is a function from [`Sources`] to a list of [`Violation`]s, in a file of its own, with tests that plant a
//! violation in memory. A rule looks at text only: it runs nothing, and resolves no name.

mod hex;
mod house;
mod layers;
mod links;
mod privacy;
mod rust_text;
mod source;
mod tree;

use std::fmt;

pub use tree::Sources;

/// One broken rule: where, and a sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Path relative to the root of the repository.
    pub path: String,
    /// Line, from 1.
    pub line: usize,
    /// A sentence.
    pub what: String,
}

impl Violation {
    fn new(path: impl Into<String>, line: usize, what: impl Into<String>) -> Self {
        Violation { path: path.into(), line, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// A rule: what it finds in the sources.
pub type Rule = fn(&Sources) -> Vec<Violation>;

/// The rules by name, in the order in which they are run.
pub const RULES: &[(&str, Rule)] = &[
    ("headers", source::headers),
    ("length", source::length),
    ("unsafe", source::unsafe_code),
    ("markers", source::markers),
    ("layers", layers::layers),
    ("house", house::house),
    ("links", links::links),
    ("hex", hex::hex),
    ("privacy", privacy::privacy),
];

/// Applies every rule; the violations come sorted by path and line.
pub fn run(sources: &Sources) -> Vec<Violation> {
    let mut found: Vec<Violation> = RULES.iter().flat_map(|(_, rule)| rule(sources)).collect();
    found.sort();
    found
}
