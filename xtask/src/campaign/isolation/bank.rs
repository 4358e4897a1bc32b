//! Money that is moved between accounts by many threads: whatever moment a reader looks at, the sum is the same.
//!
//! An account holds its balance and how often it was changed. A transfer reads two accounts, and writes both in one step.
//! Two transfers with a common account are kept apart: by transactions; or by the caller, by mutexes, or by keys in the
//! database that are taken with [`Condition::IfAbsent`] and given back by the transfer's own batch. Such a key is taken by
//! one thread at a time only if conditional writes hold what they promise.
//!
//! Looked at: each snapshot's sum, by single reads and by a scan; that no account's changes ever go back for a reader;
//! at the end, and after reopening, that each account was changed as often as transfers touched it (no update was lost).

use crate::campaign::engine::{Answer, Refusal};
use crate::campaign::rng::{Rng, derive};
use halodb::{Condition, Db, Durability, Snapshot, WriteOptions};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

const ACCOUNTS: usize = 12;
const START: u64 = 1_000;
const TRANSFERS: u64 = 120;
const WRITERS: u64 = 3;
const READERS: u64 = 2;
/// Lives of the database.
const LIVES: u64 = 2;

/// How two transfers with a common account are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// A mutex for each account.
    Mutexes,
    /// A key in the database for each account.
    Keys,
    /// A transaction reads and writes both.
    Transactions,
    /// Not at all: a mistake, planted.
    Nothing,
}

/// What a bank's run reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Transfers.
    pub transfers: u64,
    /// Snapshots that were summed.
    pub snapshots: u64,
}

/// Balance and number of changes of each account.
type Accounts = [(u64, u64); ACCOUNTS];

/// Opens a bank, moves money, opens it again, moves more.
///
/// # Errors
/// A wrong sum, a lost update, or what the database refused.
pub fn run(seed: u64, guard: Guard, open: &dyn Fn() -> Result<Db, Refusal>) -> Result<Reached, String> {
    let mut reached = Reached::default();
    let mut changes = [0; ACCOUNTS];
    for life in 0..LIVES {
        let db = open().map_err(|e| format!("life {life}: opening was refused without reason: {e}"))?;
        if life == 0 {
            found(&db).map_err(|e| e.to_string())?;
        }
        let outcome = move_money(&db, derive(seed, life), guard, &mut changes);
        let (transfers, snapshots) = outcome.map_err(|e| format!("life {life}: {e}"))?;
        reached.transfers += transfers;
        reached.snapshots += snapshots;
        db.close().map_err(|e| format!("life {life}: closing was refused without reason: {}", Refusal::from(e)))?;
        drop(db);
        let db = open().map_err(|e| format!("life {life}: opening was refused without reason: {e}"))?;
        settled(&db, &changes).map_err(|e| format!("life {life}, after reopening: {e}"))?;
        db.close().map_err(|e| Refusal::from(e).to_string())?;
    }
    Ok(reached)
}

fn key(account: usize) -> String {
    format!("account/{account:02}")
}

fn taken(account: usize) -> String {
    format!("taken/{account:02}")
}

/// An account's bytes: balance, number of changes, and a filling that makes pages change hands.
fn encode((balance, changes): (u64, u64)) -> Vec<u8> {
    let mut bytes = [balance.to_le_bytes(), changes.to_le_bytes()].concat();
    bytes.resize(16 + (changes as usize * 37) % 400, balance as u8);
    bytes
}

fn decode(bytes: Option<&[u8]>) -> Answer<(u64, u64)> {
    let parts = bytes.and_then(|b| Some((*b.first_chunk()?, *b.get(8..)?.first_chunk()?)));
    let account = parts.map(|(a, b)| (u64::from_le_bytes(a), u64::from_le_bytes(b)));
    account
        .filter(|&account| Some(&encode(account)[..]) == bytes)
        .ok_or_else(|| wrong(format!("an account holds {:?}", bytes.map(<[u8]>::len))))
}

fn wrong(text: String) -> Refusal {
    Refusal { kind: "Wrong".to_owned(), text }
}

fn found(db: &Db) -> Answer<()> {
    let batch = (0..ACCOUNTS).fold(db.batch(), |batch, account| batch.put(key(account), encode((START, 0))));
    batch.commit()?;
    Ok(())
}

/// Everything at one moment, summed in two ways.
fn look(snapshot: &Snapshot) -> Answer<Accounts> {
    let mut single = Accounts::default();
    for (account, slot) in single.iter_mut().enumerate() {
        *slot = decode(snapshot.get(key(account))?.as_deref())?;
    }
    let mut scanned = Vec::new();
    for pair in snapshot.prefix("account/") {
        scanned.push(decode(Some(&pair?.1))?);
    }
    if scanned != single {
        return Err(wrong(format!("one snapshot shows {single:?} by single reads and {scanned:?} by a scan")));
    }
    let sum: u64 = single.iter().map(|(balance, _)| balance).sum();
    if sum != START * ACCOUNTS as u64 {
        return Err(wrong(format!("the sum is {sum} instead of {}: {single:?}", START * ACCOUNTS as u64)));
    }
    Ok(single)
}

/// Sum and number of changes when nobody writes.
fn settled(db: &Db, changes: &[u64; ACCOUNTS]) -> Result<(), String> {
    let accounts = look(&db.snapshot()).map_err(|e| e.to_string())?;
    for (account, ((_, found), expected)) in accounts.iter().zip(changes).enumerate() {
        if found != expected {
            return Err(format!("account {account} was changed {expected} times and says {found}: an update was lost"));
        }
    }
    let left = db.count_prefix("taken/").map_err(|e| Refusal::from(e).to_string())?;
    if left > 0 { Err(format!("{left} accounts are still taken")) } else { Ok(()) }
}

/// Runs writers and readers; the numbers of transfers and of snapshots.
fn move_money(db: &Db, seed: u64, guard: Guard, changes: &mut [u64; ACCOUNTS]) -> Result<(u64, u64), String> {
    let over = AtomicBool::new(false);
    let mutexes: Vec<Mutex<()>> = (0..ACCOUNTS).map(|_| Mutex::new(())).collect();
    let (written, read) = std::thread::scope(|scope| {
        let (over, mutexes) = (&over, &mutexes[..]);
        let writers: Vec<_> = (0..WRITERS)
            .map(|thread| scope.spawn(move || write(db, Rng::new(derive(seed, thread)), guard, mutexes)))
            .collect();
        let readers: Vec<_> = (0..READERS).map(|_| scope.spawn(move || read(db, over))).collect();
        let written: Vec<_> = writers.into_iter().map(|thread| thread.join()).collect();
        over.store(true, Ordering::Release);
        let read: Vec<_> = readers.into_iter().map(|thread| thread.join()).collect();
        (written, read)
    });
    let mut transfers = 0;
    for outcome in written {
        let counts = outcome.map_err(|_| "a writer panicked")?.map_err(|e| e.to_string())?;
        transfers += counts.iter().sum::<u64>() / 2;
        changes.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    let mut snapshots = 0;
    for outcome in read {
        snapshots += outcome.map_err(|_| "a reader panicked")?.map_err(|e| e.to_string())?;
    }
    settled(db, changes)?;
    Ok((transfers, snapshots))
}

/// One writer; how often it changed each account.
fn write(db: &Db, mut rng: Rng, guard: Guard, mutexes: &[Mutex<()>]) -> Answer<[u64; ACCOUNTS]> {
    let mut changes = [0; ACCOUNTS];
    for _ in 0..TRANSFERS {
        let first = rng.below(ACCOUNTS as u64) as usize;
        let second = (first + 1 + rng.below(ACCOUNTS as u64 - 1) as usize) % ACCOUNTS;
        if guard == Guard::Transactions {
            transact(db, [first, second], &mut rng)?;
            changes[first] += 1;
            changes[second] += 1;
            continue;
        }
        let pair = [first.min(second), first.max(second)];
        let mut guards: Vec<MutexGuard<'_, ()>> = Vec::new();
        match guard {
            Guard::Mutexes => {
                guards.extend(pair.iter().map(|&a| mutexes[a].lock().unwrap_or_else(PoisonError::into_inner)));
            }
            Guard::Keys => {
                for account in pair {
                    take(db, account)?;
                }
            }
            Guard::Transactions | Guard::Nothing => {}
        }
        let mut accounts = [(0, 0); 2];
        for (slot, account) in accounts.iter_mut().zip([first, second]) {
            *slot = decode(db.get(key(account))?.as_deref())?;
        }
        if guard == Guard::Nothing {
            std::thread::yield_now();
        }
        let amount = rng.below(accounts[0].0 + 1);
        accounts[0] = (accounts[0].0 - amount, accounts[0].1 + 1);
        accounts[1] = (accounts[1].0 + amount, accounts[1].1 + 1);
        let level = rng.pick(&[Durability::Sync, Durability::Buffered, Durability::Memory]);
        let mut batch = db.batch().durability(level);
        batch = batch.put(key(first), encode(accounts[0])).put(key(second), encode(accounts[1]));
        if guard == Guard::Keys {
            batch = batch.delete(taken(first)).delete(taken(second));
        }
        batch.commit()?;
        changes[first] += 1;
        changes[second] += 1;
        drop(guards);
    }
    Ok(changes)
}

/// Moves money by a transaction, that is tried again until it meets no conflict.
fn transact(db: &Db, accounts: [usize; 2], rng: &mut Rng) -> Answer<()> {
    let (part, level) = (rng.draw(), rng.pick(&[Durability::Sync, Durability::Buffered, Durability::Memory]));
    db.try_transaction(|tx| {
        tx.set_durability(level);
        let [from, to] = accounts;
        let (a, b) = (decode(tx.get(key(from))?.as_deref())?, decode(tx.get(key(to))?.as_deref())?);
        let amount = part % (a.0 + 1);
        tx.put(key(from), encode((a.0 - amount, a.1 + 1)))?;
        tx.put(key(to), encode((b.0 + amount, b.1 + 1)))?;
        Ok(())
    })
}

/// Takes an account by writing a key that nobody else has written.
fn take(db: &Db, account: usize) -> Answer<()> {
    let options = WriteOptions::new().durability(Durability::Memory).condition(Condition::IfAbsent);
    while db.put_with(taken(account), "", &options)?.is_none() {
        std::thread::yield_now();
    }
    Ok(())
}

/// One reader; how many snapshots it summed.
fn read(db: &Db, over: &AtomicBool) -> Answer<u64> {
    let mut last: Accounts = Default::default();
    let mut count = 0;
    while !over.load(Ordering::Acquire) {
        let snapshot = db.snapshot();
        let accounts = look(&snapshot)?;
        for (account, (before, now)) in last.iter().zip(&accounts).enumerate() {
            if now.1 < before.1 {
                return Err(wrong(format!("account {account} went back from change {} to {}", before.1, now.1)));
            }
        }
        if look(&snapshot)? != accounts {
            return Err(wrong("a snapshot shows something else the second time".to_owned()));
        }
        last = accounts;
        count += 1;
    }
    Ok(count)
}
