//! Recoveries, merges, stalls and failed synchronisations are `tracing` events.
#![cfg(feature = "tracing")]

mod common;

use common::full_disk::{Full, FullDisk};
use common::{on, tiny};
use halodb::vfs::SimVfs;
use halodb::vfs::sim::{Fault, Repeat};
use halodb::{Db, Durability, ErrorKind};
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

static HEARD: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Keeps the sentences of all events.
struct Listener;

struct Sentence(String);

impl Visit for Sentence {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

impl Subscriber for Listener {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut sentence = Sentence(String::new());
        event.record(&mut sentence);
        HEARD.lock().unwrap().push(sentence.0);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[track_caller]
fn assert_heard(part: &str) {
    let heard = std::mem::take(&mut *HEARD.lock().unwrap());
    assert!(heard.iter().any(|sentence| sentence.contains(part)), "no `{part}` in {heard:#?}");
}

#[test]
fn recoveries_merges_stalls_and_failed_syncs_are_told() {
    tracing::subscriber::set_global_default(Listener).unwrap();
    let full = FullDisk::default();
    let db = tiny(Db::builder(common::PATH).vfs(Arc::new(full.clone()))).durability(Durability::Memory).open().unwrap();
    assert_heard("database open");
    full.set(Full::Trees);
    let mut i = 0u32;
    while db.put(i.to_le_bytes(), [1; 200]).is_ok() {
        i += 1;
    }
    assert!(db.stats().stalls > 0);
    assert_heard("a writer found memory full");
    full.set(Full::No);
    db.flush().unwrap();
    assert_heard("background job done");
    drop(db);

    let disk = SimVfs::new();
    let db = on(&disk).open().unwrap();
    db.put("last", "1").unwrap();
    db.sync().unwrap();
    let crashed = disk.crash_image(disk.ops(), halodb::vfs::sim::CrashMode::Strict, 0);
    drop(db);
    let db = on(&crashed).open().unwrap();
    assert!(db.open_report().replayed > 0);
    assert_heard("the log was replayed");
    crashed.inject(0, Fault::Errno(5), Repeat::Sticky);
    assert_eq!(db.put("a", "1").unwrap_err().kind(), ErrorKind::Poisoned);
    assert_heard("a write or a synchronisation failed");
}
