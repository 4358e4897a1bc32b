//! Processes that are made to die: what [`kill`](super::kill) and [`powercut`](super::powercut) have in common.
//!
//! A child opens a database, writes from several threads, and acknowledges each write through a pipe. The parent strikes
//! at a random moment, or when the child is inside a certain call; then it opens a *copy* of what is left and compares.
//! The child's next life begins on the original, as the strike left it.
//!
//! What a thread's write number `i` does follows from the thread, `i` and the seed (`script.rs`). Nearly every write also
//! leaves its number, so the numbers tell the whole state, and half a batch cannot hide. `judge.rs` has the rules.

mod child;
mod holding;
mod judge;
mod process;
mod script;
mod turn;
mod words;

pub use child::{Lie, Orders, serve};
pub use holding::{Calls, Hold};
pub use judge::{Survives, compare_copy};
pub use process::{Died, Moment, Victim, copy_dir};
pub use script::History;
pub use words::{Ack, Word};
