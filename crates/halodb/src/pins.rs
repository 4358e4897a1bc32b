//! [`Pins`]: the snapshots that programs hold, so that [`Db::space`](crate::Db::space) can name who keeps old pages.
//!
//! Only what [`Keyspace::snapshot`](crate::Keyspace::snapshot) gives is listed: a read or an iterator takes none, because an entry costs
//! a lock and a look at the clock. The list pins nothing itself.

use std::sync::Arc;
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use halodb_vfs::Process;
use parking_lot::Mutex;

use crate::{Error, ErrorKind};

/// A snapshot that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldSnapshot {
    /// Sequence number of the newest write that it shows.
    pub seq: u64,
    /// Time since it was taken.
    pub age: Duration,
    /// Name of the thread that took it, or its number if it has none.
    pub thread: String,
    /// What [`Snapshot::label`](crate::Snapshot::label) was given.
    pub label: Option<String>,
}

/// The list. See the head of this file.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// In no order; `None`: free. A short scan takes and leaves a place, so neither searches nor allocates.
    places: Vec<Option<Entry>>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Entry {
    /// How many were entered before.
    number: u64,
    seq: u64,
    since: Instant,
    thread: Thread,
    label: Option<String>,
}

/// One entry of the list; dropping it takes it out.
#[derive(Debug)]
pub(crate) struct Pin {
    pins: Arc<Pins>,
    place: usize,
    /// A child forked from it leaves the list alone: another thread may have held its lock at that moment.
    taken_by: Process,
}

impl Pins {
    /// Adds a snapshot taken now by this thread.
    pub(crate) fn enter(this: &Arc<Pins>, seq: u64) -> Pin {
        let (thread, since) = (thread::current(), Instant::now());
        let mut state = this.state.lock();
        let number = state.next;
        state.next += 1;
        let entry = Some(Entry { number, seq, since, thread, label: None });
        let place = match state.free.pop() {
            Some(place) => {
                state.places[place] = entry;
                place
            }
            None => {
                state.places.push(entry);
                state.places.len() - 1
            }
        };
        Pin { pins: Arc::clone(this), place, taken_by: Process::this() }
    }

    /// All that are held, oldest first.
    pub(crate) fn list(&self) -> Vec<HeldSnapshot> {
        let state = self.state.lock();
        let held = |entry: &Entry| HeldSnapshot {
            seq: entry.seq,
            age: entry.since.elapsed(),
            thread: entry.thread.name().map_or_else(|| format!("{:?}", entry.thread.id()), str::to_owned),
            label: entry.label.clone(),
        };
        let mut entries: Vec<&Entry> = state.places.iter().flatten().collect();
        entries.sort_unstable_by_key(|entry| entry.number);
        entries.into_iter().map(held).collect()
    }
}

/// A snapshot that is held, for people: `"export", taken 12 s ago by thread reader`.
fn described(held: &HeldSnapshot) -> String {
    let label = held.label.as_deref().map_or_else(|| "a snapshot".to_owned(), |label| format!("\"{label}\""));
    format!("{label}, taken {} s ago by thread {}", held.age.as_secs(), held.thread)
}

impl Pins {
    /// The error for one that must not be taken: what is held keeps `bytes` of memory, more than its share.
    pub(crate) fn used_up(&self, bytes: u64, share: u64) -> Error {
        let what = format!(
            "snapshots, iterators and transactions that are held keep {bytes} bytes of merged memtables in memory, and may keep \
             {share}; no more can be taken for now. Lookups and writes go on"
        );
        let hint = match self.list().first() {
            Some(oldest) => format!("drop what is held longer than it is read; the oldest is {}", described(oldest)),
            None => "drop iterators that are held longer than they are read, or wait until they are".to_owned(),
        };
        Error::new(ErrorKind::Busy, what).with_hint(hint)
    }
}

impl Pin {
    /// Names it.
    pub(crate) fn label(&self, label: String) {
        if !self.taken_by.is_this() {
            return;
        }
        if let Some(Some(entry)) = self.pins.state.lock().places.get_mut(self.place) {
            entry.label = Some(label);
        }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        if !self.taken_by.is_this() {
            return;
        }
        let mut state = self.pins.state.lock();
        let entry = state.places.get_mut(self.place).and_then(Option::take);
        state.free.push(self.place);
        drop(state);
        // What it holds is given back outside the lock.
        drop(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_stands_in_the_list_as_long_as_it_lives() {
        let pins = Arc::new(Pins::default());
        let first = Pins::enter(&pins, 5);
        let second = std::thread::Builder::new().name("reader".into()).spawn({
            let pins = Arc::clone(&pins);
            move || Pins::enter(&pins, 7)
        });
        let second = second.expect("a thread").join().expect("no panic");
        second.label("export".to_owned());
        let list = pins.list();
        assert_eq!(list.iter().map(|held| held.seq).collect::<Vec<_>>(), [5, 7]);
        assert_eq!((list[1].thread.as_str(), list[1].label.as_deref()), ("reader", Some("export")));
        assert_eq!(list[0].label, None);
        drop(first);
        assert_eq!(pins.list().len(), 1);
        let third = Pins::enter(&pins, 9);
        let list = pins.list();
        assert_eq!(
            list.iter().map(|held| held.seq).collect::<Vec<_>>(),
            [7, 9],
            "oldest first, whatever place they have"
        );
        assert_eq!(list[1].label, None, "nor is anything left of the one that had it");
        drop((second, third));
        assert_eq!(pins.list(), []);
    }
}
