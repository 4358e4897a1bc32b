//! Mixed.
mod cgroup; mod child; mod drive; mod drop_cache; mod histogram; mod large; mod ledger; mod negative; mod newest; mod open; mod random; mod record; mod seconds; mod sustained; mod target; mod workload; mod ycsb; mod zipf;
#[cfg(test)] mod tests;
