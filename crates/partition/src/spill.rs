//! [`Spill`]: where the runs of a set are written: sorted writes that find no room in memory (`run.rs`).
//!
//! ```text
//! p000/run-000001.tmp     a page file, its name gone before the first entry is in it
//! ```
//!
//! A run is of no use to anybody but this process: after a crash the log has what was committed, and nobody wants the rest. So its file loses
//! its name as soon as it has one. It takes room on the disk as long as a batch, a layer or a reader has it, and nothing is
//! left to be removed, by whoever comes last, by a forked child, or after a crash; nor is it ever synchronised. What a crash leaves in the
//! moment between the two, an empty file, goes before the next run is written.
//!
//! Invariant: no file is created when the set has given up its files: they are another process's by then.
//!
//! What this file does not know: what is written, and when (`staged.rs`).

use crate::directory;
use crate::fleeting::Fleeting;
use crate::manifest::Manifest;
use crate::run::{self, Run};
use crate::sync::Mutex;
use crate::{Error, ErrorKind, Options, Result};
use halodb_btree::{Build, Cursor, Store, StoreOptions};
use halodb_memtable::{Entry, Memtable};
use halodb_vfs::{Vfs, mutant};
use std::cmp::Ordering;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Spill {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    partitions: u32,
    options: StoreOptions,
    state: Mutex<State>,
    /// Bytes of all runs that somebody has.
    bytes: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct State {
    /// Number of the last run.
    last: u64,
    /// Whether nothing is left of those before.
    is_swept: bool,
    is_closed: bool,
}

impl Spill {
    pub(crate) fn new(vfs: &Arc<dyn Vfs>, dir: &Path, manifest: &Manifest, options: &Options) -> Self {
        let options = StoreOptions {
            page_size: manifest.page_size,
            filter_bits_per_key: options.filter_bits_per_key,
            hash_seed: manifest.hash_seed,
        };
        Self {
            vfs: Arc::new(Fleeting(vfs.clone())),
            dir: dir.to_path_buf(),
            partitions: manifest.partitions,
            options,
            state: Mutex::default(),
            bytes: Arc::default(),
        }
    }

    /// Bytes of all runs that somebody has.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// From now on no run is begun: the files may be another process's.
    pub(crate) fn close(&self) {
        self.state.lock().is_closed = true;
    }

    /// Writes the newest versions of the keys of a table, which must not be empty. Sorts it.
    ///
    /// # Errors
    /// `Full` if the disk is, `Io`, `Closed`: nothing is left of the run.
    pub(crate) fn write_table(&self, partition: usize, table: &Arc<Memtable>) -> Result<Arc<Run>> {
        table.sort();
        let mut cursor = table.cursor(u64::MAX);
        cursor.seek_first();
        self.write(partition, |build| {
            while let (Some(key), Some(found)) = (cursor.key(), cursor.found()) {
                let (value, expiry) = run::stored(found.entry);
                build.put_until(key, value, expiry)?;
                cursor.next();
            }
            Ok(())
        })
    }

    /// Writes a run of one entry.
    ///
    /// # Errors
    /// As [`Spill::write_table`].
    pub(crate) fn write_entry(&self, partition: usize, key: &[u8], entry: Entry<'_>) -> Result<Arc<Run>> {
        let (value, expiry) = run::stored(entry);
        self.write(partition, |build| Ok(build.put_until(key, value, expiry)?))
    }

    /// Writes one run that says what several say, of which a later one is newer.
    ///
    /// Cost: reading and writing all of them, and for each key the logarithm of their number in comparisons.
    ///
    /// # Errors
    /// As [`Spill::write_table`]; `Corrupt` if one of them cannot be read.
    pub(crate) fn merge(&self, partition: usize, runs: &[Arc<Run>]) -> Result<Arc<Run>> {
        let mut cursors: Vec<Cursor> = runs.iter().map(|run| run.cursor()).collect();
        cursors.iter_mut().try_for_each(Cursor::seek_first)?;
        // The cursors that are on a key: the least key comes last, and of equal ones the newest run.
        let mut order: Vec<usize> = (0..cursors.len()).filter(|&i| cursors[i].key().is_some()).collect();
        order.sort_unstable_by(|&a, &b| is_before(&cursors, a, b).reverse());
        self.write(partition, |build| {
            while let Some(nearest) = order.pop() {
                if let Some((key, entry)) = run::entry_at(&cursors[nearest])? {
                    let (value, expiry) = run::stored(entry);
                    build.put_until(key, value, expiry)?;
                }
                // The older versions of the key first, as long as the newest one shows which it is.
                while let Some(&older) = order.last().filter(|&&older| cursors[older].key() == cursors[nearest].key()) {
                    order.pop();
                    step(&mut cursors, &mut order, older)?;
                }
                step(&mut cursors, &mut order, nearest)?;
            }
            Ok(())
        })
    }

    fn write(&self, partition: usize, fill: impl FnOnce(&mut Build<'_, '_>) -> Result<()>) -> Result<Arc<Run>> {
        let written = self.create(partition).and_then(|store| {
            let tree = store.build(fill)?;
            Ok((tree, store.pager().stats().file_bytes))
        });
        let (tree, file_bytes) = written.map_err(say_if_full)?;
        Ok(Arc::new(Run::new(tree, file_bytes, self.bytes.clone())))
    }

    /// An empty file without a name.
    fn create(&self, partition: usize) -> Result<Store> {
        let mut state = self.state.lock();
        if state.is_closed {
            return Err(Error::closed());
        }
        if !state.is_swept {
            self.sweep()?;
            state.is_swept = true;
        }
        state.last += 1;
        let path = directory::run_path(&self.dir, partition as u32, state.last);
        let store = Store::create(self.vfs.clone(), &path, self.options);
        if store.is_err() {
            // Some of it may be there.
            state.is_swept = false;
        }
        let store = store?;
        self.vfs.remove_file(&path).map_err(|e| {
            state.is_swept = false;
            Error::io("remove", &path, e)
        })?;
        Ok(store)
    }

    /// Removes what a crash has left.
    fn sweep(&self) -> Result<()> {
        for partition in 0..self.partitions {
            let tree = directory::tree_path(&self.dir, partition);
            let folder = tree.parent().expect("a tree lies in a folder of its own");
            let names = self.vfs.read_dir(folder).map_err(|e| Error::io("list", folder, e))?;
            for entry in names.iter().filter(|entry| directory::is_run(&entry.name)) {
                let path = folder.join(&entry.name);
                self.vfs.remove_file(&path).map_err(|e| Error::io("remove", &path, e))?;
            }
        }
        Ok(())
    }
}

/// Whether the key of one cursor comes before that of another, or is the same and of a newer run.
fn is_before(cursors: &[Cursor], a: usize, b: usize) -> Ordering {
    let of_runs = if mutant("partition.run-keeps-oldest") { a.cmp(&b) } else { b.cmp(&a) };
    cursors[a].key().cmp(&cursors[b].key()).then(of_runs)
}

/// Takes a cursor that is not in the order to its next key, and to its place.
fn step(cursors: &mut [Cursor], order: &mut Vec<usize>, moved: usize) -> Result<()> {
    cursors[moved].next()?;
    if cursors[moved].key().is_some() {
        let place = order.partition_point(|&other| is_before(cursors, other, moved).is_gt());
        order.insert(place, moved);
    }
    Ok(())
}

/// A disk that has no room is no other failure.
fn say_if_full(e: Error) -> Error {
    let mut cause = std::error::Error::source(&e);
    while let Some(inner) = cause {
        if inner.downcast_ref::<io::Error>().is_some_and(|inner| inner.kind() == io::ErrorKind::StorageFull) {
            let what = "a large batch or transaction finds no room, neither in memory nor on the disk";
            return Error::new(ErrorKind::Full, format!("{what}: {e}"));
        }
        cause = inner.source();
    }
    e
}

#[cfg(test)]
mod tests {
    use super::*;
    use halodb_vfs::SimVfs;
    use halodb_vfs::sim::{Fault, Repeat};
    use xxhash_rust::xxh3::xxh3_64_with_seed;

    fn spill(disk: &SimVfs) -> Spill {
        let manifest = Manifest { uuid: [1; 16], incarnation: 1, partitions: 1, hash_seed: 5, page_size: 4096 };
        let vfs: Arc<dyn Vfs> = Arc::new(disk.clone());
        for dir in ["db", "db/p000"] {
            match vfs.create_dir(Path::new(dir)) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => panic!("{e}"),
                _ => {}
            }
        }
        Spill::new(&vfs, Path::new("db"), &manifest, &Options::default())
    }

    fn table(entries: &[(u32, Entry<'_>)]) -> Arc<Memtable> {
        let table = Arc::new(Memtable::new());
        for (key, entry) in entries {
            let key = name(*key);
            table.insert(xxh3_64_with_seed(&key, 5), &key, 0, *entry);
        }
        table
    }

    fn name(key: u32) -> Vec<u8> {
        format!("{key:06}").into_bytes()
    }

    fn entries(run: &Run) -> Vec<(u32, String)> {
        let mut cursor = run.cursor();
        cursor.seek_first().unwrap();
        let mut all = Vec::new();
        while let Some((key, entry)) = run::entry_at(&cursor).unwrap() {
            let hash = xxh3_64_with_seed(key, 5);
            assert_eq!(run.get(hash, key).unwrap(), Some(entry));
            all.push((std::str::from_utf8(key).unwrap().parse().unwrap(), format!("{entry:?}")));
            cursor.next().unwrap();
        }
        all
    }

    fn names(disk: &SimVfs) -> Vec<String> {
        disk.read_dir(Path::new("db/p000")).unwrap().into_iter().map(|entry| entry.name).collect()
    }

    #[test]
    fn runs_become_one_in_which_the_newest_entry_of_each_key_is_left() {
        let disk = SimVfs::new();
        let spill = spill(&disk);
        let (old, new) = (Entry::Value(b"old"), Entry::Expiring(b"new", 70));
        let tables = [
            table(&[(1, old), (2, old), (3, old), (9, old)]),
            table(&[(3, Entry::Tombstone), (2, new)]),
            table(&[(0, new), (3, new), (3, Entry::Tombstone), (9, new)]),
        ];
        let runs: Vec<_> = tables.iter().map(|table| spill.write_table(0, table).unwrap()).collect();
        let one = spill.merge(0, &runs).unwrap();
        let said = |key: u32, entry: Entry<'_>| (key, format!("{entry:?}"));
        let wanted = [said(0, new), said(1, old), said(2, new), said(3, Entry::Tombstone), said(9, new)];
        assert_eq!(entries(&one), wanted);
        assert_eq!((one.len(), one.keys_between(&name(1), Some(&name(3))).unwrap()), (5, 2));
        assert!(one.meets(&name(4), None).unwrap());
        assert!(!one.meets(&name(4), Some(&name(9))).unwrap());
        assert!(names(&disk).is_empty(), "no run has a name");
        let bytes: u64 = runs.iter().chain([&one]).map(|run| run.file_bytes()).sum();
        assert!(bytes > 0 && spill.bytes() == bytes);
        drop((runs, one));
        assert_eq!(spill.bytes(), 0);
    }

    #[test]
    fn whatever_fails_leaves_nothing_and_what_a_crash_leaves_goes_before_the_next_run() {
        let full = table(&(0..2000).map(|key| (key, Entry::Value(&[7; 50]))).collect::<Vec<_>>());
        let mut failures = 0;
        for call in 0..60 {
            let disk = SimVfs::new();
            let spill = spill(&disk);
            disk.inject(call, Fault::Errno(28), Repeat::Once);
            let written = spill.write_table(0, &full);
            disk.heal();
            if let Err(e) = &written {
                failures += 1;
                assert_eq!(e.kind(), ErrorKind::Full, "{e}");
            }
            drop(written);
            assert_eq!(spill.bytes(), 0, "after call {call}");
            // A process that died here would leave what is there now.
            let after = if call % 2 == 0 { disk } else { disk.restart_process() };
            let spill = if call % 2 == 0 { spill } else { super::tests::spill(&after) };
            let run = spill.write_table(0, &full).expect("there is room again");
            assert_eq!(entries(&run).len(), 2000);
            assert!(names(&after).is_empty(), "after call {call}: {:?}", names(&after));
        }
        assert!(failures > 10, "{failures} calls failed");
    }

    #[test]
    fn a_set_that_gave_its_files_up_begins_no_run_and_goes_on_reading_what_it_has() {
        let disk = SimVfs::new();
        let spill = spill(&disk);
        let table = table(&[(1, Entry::Tombstone), (2, Entry::Value(b"v"))]);
        let run = spill.write_table(0, &table).unwrap();
        spill.close();
        assert_eq!(spill.write_table(0, &table).unwrap_err().kind(), ErrorKind::Closed);
        assert_eq!(entries(&run).len(), 2);
    }
}
