//! Power loss at every operation and a fault at every call, through the single-file store on a simulated disk.

mod harness;

use halodb_btree::{Batch, Depth, Error, Expiry, Store, StoreOptions};
use halodb_vfs::SimVfs;
use halodb_vfs::sim::{CrashMode, Fault, Repeat};
use harness::{Keys, Model, compare};
use std::path::Path;
use std::sync::Arc;

const PATH: &str = "one.store";
const OPTIONS: StoreOptions = StoreOptions { page_size: 4096, filter_bits_per_key: 11, hash_seed: 5 };

/// Batches that grow, overwrite, shrink and empty a tree of several levels, with long values among them.
fn batches() -> Vec<(Batch, Model)> {
    let key = |n: u32| Keys::SharedPrefix.key(n);
    let mut out = Vec::new();
    let mut model = Model::new();
    let mut add = |build: &dyn Fn(&mut Batch, &mut Model)| {
        let mut batch = Batch::new();
        build(&mut batch, &mut model);
        out.push((batch, model.clone()));
    };
    let put = |batch: &mut Batch, model: &mut Model, n: u32, len: usize| {
        let value = vec![n as u8 ^ len as u8; len];
        batch.put_until(key(n), value.clone(), until(&value));
        model.insert(key(n), value);
    };
    add(&|batch, model| (0..700).for_each(|n| put(batch, model, n * 3, 90)));
    add(&|batch, model| (100..130).for_each(|n| put(batch, model, n * 7, 40 + n as usize * 20)));
    add(&|batch, model| {
        put(batch, model, 5, 9000);
        put(batch, model, 1900, 5000);
    });
    add(&|batch, model| {
        batch.delete_range(key(300), Some(key(1500)));
        model.retain(|k, _| *k < key(300) || *k >= key(1500));
        put(batch, model, 800, 10);
    });
    add(&|batch, model| {
        for n in (1500..2200).filter(|n| n % 5 != 0) {
            batch.delete(key(n));
            model.remove(&key(n));
        }
    });
    add(&|batch, model| (0..40).for_each(|n| put(batch, model, n * 50, 200)));
    add(&|batch, model| {
        batch.delete_range("", None);
        model.clear();
        put(batch, model, 1, 1);
    });
    out
}

/// When a value expires: some never, some hours apart.
fn until(value: &[u8]) -> Expiry {
    let ms = if value.len().is_multiple_of(3) { 0 } else { 1_000_000 + value.len() as u64 * 60_000 };
    Expiry::at_ms(ms)
}

fn open(disk: &SimVfs) -> Result<Store, Error> {
    Store::open(Arc::new(disk.clone()), Path::new(PATH), OPTIONS.page_size)
}

fn create(disk: &SimVfs) -> Store {
    Store::create(Arc::new(disk.clone()), Path::new(PATH), OPTIONS).unwrap()
}

/// Whether a store holds exactly a model; then all ways of reading must agree, and the file must be sound.
fn holds(store: &Store, model: &Model) -> bool {
    let tree = store.tree().unwrap();
    let mut cursor = tree.cursor();
    cursor.seek_first().unwrap();
    for (key, value) in model {
        if cursor.key() != Some(key) || cursor.value().unwrap() != Some(value) {
            return false;
        }
        assert_eq!(cursor.expiry(), Some(until(value)));
        cursor.next().unwrap();
    }
    cursor.key().is_none()
}

#[test]
fn after_a_power_loss_there_is_all_that_was_acknowledged_and_no_half_batch() {
    let disk = SimVfs::new();
    let store = create(&disk);
    let mut models = vec![Model::new()];
    let mut acknowledged = vec![disk.ops()];
    for (batch, model) in batches() {
        store.apply(&batch).unwrap();
        models.push(model);
        acknowledged.push(disk.ops());
    }
    for at in acknowledged[0]..=disk.ops() {
        let done = acknowledged.iter().filter(|&&ops| ops <= at).count() - 1;
        for (seed, &mode) in (0..).zip(CrashMode::ALL) {
            let image = disk.crash_image(at, mode, seed + at);
            let store = open(&image).unwrap();
            let next = models.get(done + 1).filter(|next| holds(&store, next));
            let found = next.unwrap_or(&models[done]);
            assert!(holds(&store, found), "operation {at}, {mode:?}: neither batch {done} nor the next");
            assert_eq!(store.check(Depth::Deep).unwrap(), [], "operation {at}, {mode:?}");
            let mut batch = Batch::new();
            let mut model = found.clone();
            for key in (0..30).map(|n| Keys::SharedPrefix.key(n * 61)) {
                batch.put_until(key.clone(), vec![7; 300], until(&[7; 300]));
                model.insert(key, vec![7; 300]);
            }
            compare(&store.apply(&batch).unwrap(), &model);
            assert_eq!(store.check(Depth::Deep).unwrap(), []);
        }
    }
}

#[test]
fn a_fault_at_any_call_leaves_one_batch_or_the_next() {
    let batches = batches();
    let calls = {
        let disk = SimVfs::new();
        let store = create(&disk);
        let before = disk.calls();
        batches.iter().for_each(|(batch, _)| drop(store.apply(batch).unwrap()));
        disk.calls() - before
    };
    let mut struck = 0;
    for call in 0..calls {
        for (fault, repeat) in
            [(Fault::Errno(5), Repeat::Once), (Fault::SyncFailsClean, Repeat::Once), (Fault::Errno(28), Repeat::Sticky)]
        {
            let disk = SimVfs::new();
            let store = create(&disk);
            disk.inject(call, fault, repeat);
            let mut now = Model::new();
            for (batch, model) in &batches {
                let applied = store.apply(batch);
                if applied.is_ok() {
                    now = model.clone();
                    continue;
                }
                struck += 1;
                disk.heal();
                assert!(holds(&store, &now), "call {call}, {fault:?}: a failed batch shows");
                let again = store.apply(batch);
                let next = again.is_ok();
                drop((store, again));
                let store = open(&disk).unwrap();
                assert!(holds(&store, model) || (!next && holds(&store, &now)), "call {call}, {fault:?}");
                assert_eq!(store.check(Depth::Deep).unwrap(), [], "call {call}, {fault:?}");
                break;
            }
        }
    }
    assert!(struck > 2 * calls / 3, "only {struck} faults over {calls} calls came to an error");
}
