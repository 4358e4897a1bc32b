//! The mixed rows: what engines do under several kinds of work at once, for a long time, and at their edges.
//!
//! | group | rows | file |
//! |---|---|---|
//! | `ycsb` | workloads A to F, 2 and 8 threads | `workload`, `ycsb` |
//! | `commit` | workload A with a sync per commit, 1 to 64 threads | `ycsb` |
//! | `sustained` | random inserts: rate, latencies, stalls | `sustained`, `histogram`, `seconds` |
//! | `open` | time to the first read after a close and after a kill | `open`, `child` |
//! | `large` | values of 1 MiB | `large` |
//! | `memory` | absent keys with less memory than data | `negative`, `cgroup` |
//!
//! `groups` names the rows and puts the pieces together; `record`, `target` and `ledger` judge answers; `random` and `zipf`
//! draw; `drive` runs threads. What is *not* here: processes, rounds and files of results (`run/`), and the rows of one
//! operation at a time (`rows/`).

mod cgroup;
mod child;
mod drive;
mod drop_cache;
mod groups;
mod histogram;
mod large;
mod ledger;
mod negative;
mod newest;
mod open;
mod random;
mod record;
mod seconds;
mod sustained;
mod target;
#[cfg(test)]
mod tests;
mod workload;
mod ycsb;
mod zipf;

pub(crate) use child::{ChildArgs, run as run_child};
pub(crate) use groups::groups;
