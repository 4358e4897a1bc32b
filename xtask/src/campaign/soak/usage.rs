//! [`Usage`]: what this process and the database's directory take, and whether it grows.
//!
//! Measured are the greatest values of each life. The first quarter of the lives is left out: caches, arenas and files
//! find their size then. Of the rest, the greatest value of the second half may exceed that of the first by a quarter and a
//! little, in proportion to the live data. What grows with every operation exceeds that soon; what merely goes up and down
//! does not.

use std::fmt;
use std::io;
use std::path::Path;

/// One measurement, or the greatest of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory in bytes.
    pub memory_bytes: u64,
    /// Length of all files of the database.
    pub file_bytes: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
    /// Keys and values that are there.
    pub live_bytes: u64,
}

const PAGE: u64 = 4096;

impl Usage {
    /// Measures this process and the files below `dir`.
    ///
    /// # Errors
    /// Those of reading `/proc` and the directory.
    pub fn now(dir: &Path) -> io::Result<Usage> {
        let statm = std::fs::read_to_string("/proc/self/statm")?;
        let resident = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
        Ok(Usage {
            memory_bytes: resident.ok_or_else(|| io::Error::other(format!("statm says {statm:?}")))? * PAGE,
            file_bytes: length(dir)?,
            descriptors: std::fs::read_dir("/proc/self/fd")?.count() as u64,
            threads: std::fs::read_dir("/proc/self/task")?.count() as u64,
            live_bytes: 0,
        })
    }

    /// The greater of both, number by number.
    #[must_use]
    pub fn most(self, other: Usage) -> Usage {
        Usage {
            memory_bytes: self.memory_bytes.max(other.memory_bytes),
            file_bytes: self.file_bytes.max(other.file_bytes),
            descriptors: self.descriptors.max(other.descriptors),
            threads: self.threads.max(other.threads),
            live_bytes: self.live_bytes.max(other.live_bytes),
        }
    }
}

/// Length of all files below `dir`. Files may come and go meanwhile.
fn length(dir: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let len = match entry.file_type()?.is_dir() {
            true => length(&entry.path()),
            false => entry.metadata().map(|data| data.len()),
        };
        sum += match len {
            Err(e) if e.kind() == io::ErrorKind::NotFound => 0,
            len => len?,
        };
    }
    Ok(sum)
}

const MIB: u64 = 1 << 20;

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Usage { memory_bytes, file_bytes, descriptors, threads, live_bytes } = self;
        let mib = |bytes: &u64| *bytes as f64 / MIB as f64;
        let (memory, files, live) = (mib(memory_bytes), mib(file_bytes), mib(live_bytes));
        write!(f, "memory {memory:.1} MiB, files {files:.1} MiB for {live:.1} MiB of data, ")?;
        write!(f, "{descriptors} descriptors, {threads} threads")
    }
}

/// The greatest values of the first and the second half of what is left without the first quarter.
fn halves(lives: &[Usage]) -> Option<(Usage, Usage)> {
    let settled = &lives[lives.len() / 4..];
    let (first, second) = settled.split_at(settled.len() / 2);
    let most = |part: &[Usage]| part.iter().copied().reduce(Usage::most);
    most(first).zip(most(second))
}

/// Whether nothing grew.
///
/// # Errors
/// What grew, and from what to what.
pub fn judge(lives: &[Usage]) -> Result<(), String> {
    let Some((first, second)) = halves(lives) else { return Ok(()) };
    // Bounds are for equal amounts of data; data may only grow so far as the keys that the shards may use.
    let scaled =
        |bytes: u64| (bytes as f64 * (second.live_bytes as f64 / first.live_bytes.max(1) as f64).max(1.0)) as u64;
    for (what, before, after, bound) in [
        ("memory", first.memory_bytes, second.memory_bytes, scaled(first.memory_bytes) * 5 / 4 + 8 * MIB),
        ("the size of the files", first.file_bytes, second.file_bytes, scaled(first.file_bytes) * 5 / 4 + 4 * MIB),
        ("the number of descriptors", first.descriptors, second.descriptors, first.descriptors + 4),
        ("the number of threads", first.threads, second.threads, first.threads),
    ] {
        if after > bound {
            let lives: String = lives.iter().map(|life| format!("\n    {life}")).collect();
            return Err(format!("{what} grows: {before}, then {after}, at most {bound} was expected{lives}"));
        }
    }
    Ok(())
}

/// Both halves in a line.
pub fn summary(lives: &[Usage]) -> String {
    match halves(lives) {
        Some((first, second)) => format!("first {first}; then {second}"),
        None => lives.last().map_or(String::new(), Usage::to_string),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAT: Usage =
        Usage { memory_bytes: 50 * MIB, file_bytes: 30 * MIB, descriptors: 20, threads: 9, live_bytes: 10 * MIB };

    fn check(life: impl Fn(u64) -> Usage, expected: Option<&str>) {
        let lives: Vec<Usage> = (0..24).map(life).collect();
        let found = judge(&lives);
        assert_eq!(found.is_err(), expected.is_some(), "{found:?}");
        assert!(expected.is_none_or(|what| found.is_err_and(|found| found.starts_with(what))));
    }

    #[test]
    fn what_stays_or_goes_up_and_down_is_no_growth() {
        check(|_| FLAT, None);
        check(|i| Usage { file_bytes: (30 + i % 3 * 5) * MIB, ..FLAT }, None);
        // The time in which everything finds its size.
        check(|i| Usage { memory_bytes: (10 + i.min(5) * 8) * MIB, ..FLAT }, None);
    }

    #[test]
    fn what_grows_with_every_life_is_found() {
        check(|i| Usage { memory_bytes: (50 + 5 * i) * MIB, ..FLAT }, Some("memory"));
        check(|i| Usage { file_bytes: (30 + 3 * i) * MIB, ..FLAT }, Some("the size"));
        check(|i| Usage { descriptors: 20 + i, ..FLAT }, Some("the number of descriptors"));
        check(|i| Usage { threads: 9 + i / 4, ..FLAT }, Some("the number of threads"));
    }

    #[test]
    fn files_may_grow_with_the_data() {
        check(|i| Usage { file_bytes: (30 + 3 * i) * MIB, live_bytes: (10 + i) * MIB, ..FLAT }, None);
    }

    #[test]
    fn a_descriptor_that_is_opened_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), [0; 1000]).unwrap();
        let files: Vec<_> = (0..50).map(|_| std::fs::File::open(dir.path().join("a")).unwrap()).collect();
        let usage = Usage::now(dir.path()).unwrap();
        assert!(usage.descriptors >= files.len() as u64 && usage.memory_bytes > MIB && usage.threads >= 1);
        assert_eq!(usage.file_bytes, 1000);
    }
}
