//! `kill`: real processes on a real disk, killed at random moments; every acknowledged batch is there afterwards.
//!
//! A child opens a database, writes from several threads, and acknowledges each committed batch through a pipe. The
//! parent kills it with SIGKILL, sometimes while it recovers, copies the directory, opens the copy and compares. The
//! child's next life begins on the directory as the killed one left it.
//!
//! What a thread's batch number `i` writes follows from the thread, `i` and the seed, and each batch also writes its
//! number: so the number of the last batch tells the thread's whole state, and half a batch cannot hide.

mod child;
mod parent;
mod script;

pub use child::serve;
pub use parent::run;
