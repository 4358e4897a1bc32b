//! What the program `halodb` can lend to others: how a line of its shell is cut into words ([`words`]), for programs that
//! write commands into its pipe, and for those that try to break it.
//!
//! Everything else is the program itself: see `main.rs`. Without the feature `program` this library has no dependencies.

#![forbid(unsafe_code)]

pub mod words;
