//! The child: writes until it is killed, and says which batches were acknowledged.

use super::script;
use crate::campaign::engine::Refusal;
use halodb::partition::Create;
use halodb::vfs::OsVfs;
use halodb::{Db, Durability};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// Opens the database in `dir` and writes for ever. Lines on standard output: `open` when the database is open, and
/// `THREAD NUMBER` for each acknowledged batch; each is one write to the pipe, so none is cut in half.
///
/// # Errors
/// Whatever the database refuses: nothing gives it reason to.
pub fn serve(dir: &Path, seed: u64) -> Result<(), String> {
    let db = script::SETUP.builder(Arc::new(OsVfs), dir, Create::IfMissing).open().map_err(refused)?;
    say("open\n");
    let outcomes: Vec<Result<(), String>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..script::THREADS)
            .map(|thread| {
                scope.spawn({
                    let db = &db;
                    move || write(db, seed, thread)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err("a thread panicked".to_owned())))
            .collect()
    });
    outcomes.into_iter().collect()
}

fn write(db: &Db, seed: u64, thread: u64) -> Result<(), String> {
    let last = db.get(script::counter(thread)).map_err(refused)?;
    let mut number = last.map_or(0, |bytes| bytes[..].try_into().map_or(0, u64::from_le_bytes));
    loop {
        number += 1;
        // Both levels survive the death of the process.
        let level = if number.is_multiple_of(5) { Durability::Buffered } else { Durability::Sync };
        let mut batch = db.batch().durability(level);
        for (key, value) in script::batch(seed, thread, number) {
            batch = match value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            };
        }
        batch.commit().map_err(refused)?;
        say(&format!("{thread} {number}\n"));
    }
}

fn refused(e: halodb::Error) -> String {
    format!("refused without reason: {}", Refusal::from(e))
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // If the parent is gone, so is the purpose of this process.
    if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}
