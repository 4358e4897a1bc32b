//! The project's verbs as a library, so that the binary and the tests run the same code: [`tidy`] reads the house rules
//! out of the sources, [`campaign`] tries to make the database lose data, [`fuzz`] looks for bytes that a
//! decoder cannot bear, [`mod@bench`] starts the comparison with other engines, [`dist`] builds what is shipped.
//!
//! Nothing here is part of the database, and nothing in the database depends on it. The campaigns use public interfaces
//! only: whatever they can do, a user can do.

pub mod bench;
pub mod campaign;
pub mod dist;
pub mod fuzz;
pub mod tidy;

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
