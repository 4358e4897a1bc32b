//! The targets: `wal`, `pager`, `btree`, `small` and `shell` decode one structure; `log_files`, `page_file`, `tree_file` and `database`
//! open files and use what was opened.

pub(crate) mod btree;
pub(crate) mod database;
pub(crate) mod log_files;
pub(crate) mod page_file;
pub(crate) mod pager;
pub(crate) mod shell;
pub(crate) mod small;
pub(crate) mod tree_file;
pub(crate) mod wal;
