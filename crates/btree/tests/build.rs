//! The bulk build of a store: the same file as by a batch; all or nothing after a refusal, a fault at any call and a power loss.

mod harness;

use halodb_btree::{Change, Depth, Edits, Error, Expiry, Store, StoreOptions, max_key_len};
use halodb_vfs::SimVfs;
use halodb_vfs::sim::{CrashMode, Fault, Repeat};
use harness::{Keys, Model, compare};
use std::path::Path;
use std::sync::Arc;

const PATH: &str = "one.store";
const OPTIONS: StoreOptions = StoreOptions { page_size: 4096, filter_bits_per_key: 11, hash_seed: 5 };

fn create(disk: &SimVfs) -> Store {
    Store::create(Arc::new(disk.clone()), Path::new(PATH), OPTIONS).unwrap()
}

fn open(disk: &SimVfs) -> Store {
    Store::open(Arc::new(disk.clone()), Path::new(PATH), OPTIONS.page_size).unwrap()
}

/// Pairs of all sizes, long values among them.
fn model(keys: Keys, count: u32) -> Model {
    let len = |n: u32| if n.is_multiple_of(97) { 3000 + n as usize * 11 } else { n as usize * 7 % 120 };
    (0..count).map(|n| (keys.key(n), vec![n as u8; len(n)])).collect()
}

fn until(value: &[u8]) -> Expiry {
    Expiry::at_ms(if value.len().is_multiple_of(3) { 0 } else { 1_000_000 + value.len() as u64 * 60_000 })
}

fn build(store: &Store, model: &Model) -> Result<(), Error> {
    store.build(|build| model.iter().try_for_each(|(key, value)| build.put_until(key, value, until(value)))).map(drop)
}

/// The pairs of a model as edits.
struct Stream<'m>(std::collections::btree_map::Iter<'m, Vec<u8>, Vec<u8>>, Option<(&'m [u8], &'m [u8])>);

impl<'m> Stream<'m> {
    fn new(model: &'m Model) -> Self {
        let mut stream = Stream(model.iter(), None);
        stream.advance();
        stream
    }
}

impl Edits for Stream<'_> {
    fn current(&self) -> Option<(&[u8], Change<'_>)> {
        self.1.map(|(key, value)| (key, Change::put_until(value, until(value))))
    }
    fn advance(&mut self) {
        self.1 = self.0.next().map(|(key, value)| (&key[..], &value[..]));
    }
}

#[test]
fn a_build_makes_the_file_that_a_sorted_batch_makes() {
    for keys in [Keys::Numbers, Keys::SharedPrefix, Keys::Extremes, Keys::Longest, Keys::Tall] {
        for count in [0, 1, 2, 50, 3000] {
            let model = model(keys, count);
            let (one, other) = (SimVfs::new(), SimVfs::new());
            let (built, merged) = (create(&one), create(&other));
            build(&built, &model).unwrap();
            merged.apply_sorted(&mut Stream::new(&model)).unwrap();
            compare(&built.tree().unwrap(), &model);
            assert_eq!(built.check(Depth::Deep).unwrap(), [], "{keys:?} {count}");
            assert!(one.read_file(PATH).unwrap() == other.read_file(PATH).unwrap(), "{keys:?} {count}: other files");
        }
    }
}

#[test]
fn what_cannot_be_stored_is_refused_and_the_store_stays_empty() {
    let long = vec![b'k'; max_key_len(OPTIONS.page_size) + 1];
    let wrong: [(&[u8], &[u8]); 5] = [(b"b", b"a"), (b"b", b"b"), (b"b", b""), (b"", b""), (b"b", &long)];
    for (first, second) in wrong {
        let disk = SimVfs::new();
        let store = create(&disk);
        let refused = |result: Result<(), Error>| matches!(result, Err(Error::Invalid(_)));
        let told = store.build(|build| {
            // Enough before it that pages are written.
            (0..2000).try_for_each(|n| build.put(&[b"a", &Keys::Numbers.key(n)[..]].concat(), &[7; 20]))?;
            build.put(first, b"")?;
            build.put(second, b"")
        });
        assert!(refused(told.map(drop)), "{first:?} {second:?}");
        let swallowed = store.build(|build| {
            let _ = build.put(first, b"");
            assert!(build.put(second, b"").is_err());
            build.put(b"z", b"")
        });
        assert!(refused(swallowed.map(drop)), "{first:?} {second:?}: a refusal was forgotten");
        assert!(store.tree().unwrap().is_empty());
        let model = model(Keys::Numbers, 500);
        build(&store, &model).unwrap();
        drop(store);
        let store = open(&disk);
        compare(&store.tree().unwrap(), &model);
        assert_eq!(store.check(Depth::Deep).unwrap(), []);
        assert!(refused(build(&store, &model)), "a build into a store that is not empty");
        compare(&store.tree().unwrap(), &model);
    }
}

#[test]
fn an_error_of_the_caller_comes_back_as_it_was_given() {
    #[derive(Debug, PartialEq)]
    enum Mine {
        Tired,
        Store,
    }
    impl From<Error> for Mine {
        fn from(_: Error) -> Self {
            Mine::Store
        }
    }
    let store = create(&SimVfs::new());
    let stopped = store.build(|build| {
        build.put(b"a", b"1")?;
        Err(Mine::Tired)
    });
    assert_eq!(stopped.map(drop), Err(Mine::Tired));
    assert!(store.tree().unwrap().is_empty());
    let refused = store.build(|build| Ok(build.put(b"", b"1")?));
    assert_eq!(refused.map(drop), Err(Mine::Store));
}

#[test]
fn after_a_power_loss_in_a_build_there_is_nothing_or_everything() {
    let disk = SimVfs::new();
    let store = create(&disk);
    let model = model(Keys::SharedPrefix, 900);
    let before = disk.ops();
    build(&store, &model).unwrap();
    let mut found = [0; 2];
    for at in before..=disk.ops() {
        for (seed, &mode) in (0..).zip(CrashMode::ALL) {
            let store = open(&disk.crash_image(at, mode, seed + at));
            let tree = store.tree().unwrap();
            assert!(at < disk.ops() || !tree.is_empty(), "an acknowledged build is lost, {mode:?}");
            found[usize::from(!tree.is_empty())] += 1;
            compare(&tree, if tree.is_empty() { const { &Model::new() } } else { &model });
            assert_eq!(store.check(Depth::Deep).unwrap(), [], "operation {at}, {mode:?}");
        }
    }
    assert!(found.iter().all(|times| *times > 0), "{found:?}");
}

#[test]
fn a_fault_at_any_call_of_a_build_leaves_nothing_or_everything() {
    let model = model(Keys::SharedPrefix, 900);
    let calls = {
        let disk = SimVfs::new();
        let store = create(&disk);
        let before = disk.calls();
        build(&store, &model).unwrap();
        disk.calls() - before
    };
    for call in 0..calls {
        for (fault, repeat) in
            [(Fault::Errno(5), Repeat::Once), (Fault::SyncFailsClean, Repeat::Once), (Fault::Errno(28), Repeat::Sticky)]
        {
            let disk = SimVfs::new();
            let store = create(&disk);
            disk.inject(call, fault, repeat);
            let built = build(&store, &model);
            disk.heal();
            let is_empty = store.tree().unwrap().is_empty();
            assert_eq!(is_empty, built.is_err(), "call {call}, {fault:?}");
            drop(store);
            let store = open(&disk);
            let tree = store.tree().unwrap();
            assert!(built.is_err() || !tree.is_empty(), "call {call}, {fault:?}: an acknowledged build is lost");
            compare(&tree, if tree.is_empty() { const { &Model::new() } } else { &model });
            assert_eq!(store.check(Depth::Deep).unwrap(), [], "call {call}, {fault:?}");
        }
    }
}
