//! Configuration: what can be set, where it comes from, what is wrong with it.
//!
//! `options.rs` holds the one list of keys; the defaults, the checks, the names of environment variables, the annotated
//! `halodb.toml` and [`Config::explain`] all derive from it. Values come from, the later the stronger: defaults, a file,
//! the environment (`HALODB_SECTION__KEY`), the program. Every problem of every source is reported at once, each with its
//! place.
//!
//! Nothing here opens a database or keeps anything: the result is a plain [`Config`]. Reading a file needs the feature
//! `config`; everything else is there without it.
//!
//! ```
//! use halodb::config::Config;
//!
//! # #[cfg(feature = "config")] {
//! let errors = Config::check_text("my.toml", "[wal]\nsegment = 16\n").unwrap_err();
//! assert_eq!(
//!     errors.to_string(),
//!     "my.toml:2:11: `wal.segment` must be a size, not the bare number 16\n    \
//!          2 | segment = 16\n      \
//!            |           ^^\n  \
//!        hint: write \"16MiB\"\n"
//! );
//! # }
//! ```

mod accept;
mod env;
mod example;
mod excerpt;
mod explain;
#[cfg(feature = "config")]
mod file;
mod kind;
mod load;
mod loaded;
mod options;
mod problem;
mod setting;
mod suggest;
mod units;
mod validate;

pub use env::environment;
pub use loaded::{Loaded, Origin};
pub use options::{Bloom, Config, ConfigOption, Database, Log, LogFormat, LogLevel, Memory, Merge, Ttl, Wal, options};
pub use problem::{ConfigErrors, Place, Problem};

/// Name of the file that is read inside a database's directory.
pub const FILE_NAME: &str = "halodb.toml";
