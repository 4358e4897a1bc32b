//! Split-block Bloom filter over 64-bit hashes.
//!
//! A Bloom filter answers "is this key in the set?" with *certainly not* or *probably*. The split-block variant
//! (Putze, Sanders, Singler: "Cache-, Hash- and Space-Efficient Bloom Filters", 2007; the one in Apache Parquet) keeps
//! all the bits of a key inside one block of 32 bytes, so that a question touches at most one cache line.
//!
//! The crate knows neither keys nor files: it takes hashes and gives bytes. Hashing the key, storing the bytes, and a
//! checksum over them are the caller's.
//!
//! ```
//! use halodb_bloom::{Builder, Filter};
//!
//! let mut builder = Builder::new(11);
//! builder.insert(0x9e37_79b9_7f4a_7c15);
//! let mut bytes = Vec::new();
//! builder.finish_into(&mut bytes);
//!
//! let filter = Filter::new(&bytes).expect("whole blocks");
//! assert!(filter.contains(0x9e37_79b9_7f4a_7c15));
//! ```
#![forbid(unsafe_code)]

mod block;
mod builder;
mod filter;

pub use block::BLOCK_BYTES;
pub use builder::Builder;
pub use filter::Filter;

/// The README's example runs as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
