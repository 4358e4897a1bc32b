//! The child: writes until it dies, and says which writes were acknowledged.

use super::holding::{Hold, Holder, HoldingVfs, PAGES};
use super::script::{self, Act, History, How};
use super::turn::Turn;
use super::words::{Ack, Word};
use crate::campaign::engine::Refusal;
use crate::campaign::lying::{self, LyingVfs};
use halodb::partition::Create;
use halodb::vfs::{OsVfs, Vfs};
use halodb::{Commit, Db, Durability, WriteOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a child does not do although it says so: only the self-tests of the campaigns ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Lie {
    /// All writes stay in memory, whatever they are acknowledged as.
    Memory,
    /// All writes are handed to the system and not synchronised.
    Buffered,
    /// Page files are never synchronised.
    Pages,
}

/// What a child is to do.
#[derive(Clone, Debug, clap::Args)]
pub struct Orders {
    /// The database's directory.
    #[arg(long)]
    pub dir: PathBuf,
    /// What the directory's configuration and the writes follow from.
    #[arg(long)]
    pub seed: u64,
    /// The number of this life.
    #[arg(long)]
    pub life: u64,
    /// The number of each thread's last write.
    #[arg(long, value_delimiter = ',')]
    pub numbers: Vec<u64>,
    /// Stops in this call.
    #[arg(long, value_name = "all|pages:NUMBER")]
    pub hold: Option<Hold>,
    /// Lies.
    #[arg(long)]
    pub lie: Option<Lie>,
}

impl Orders {
    /// To write on where a history ends.
    pub fn new(dir: &Path, history: &History, hold: Option<Hold>, lie: Option<Lie>) -> Orders {
        let (seed, life, numbers) = (history.seed(), history.life(), history.numbers());
        Orders { dir: dir.to_owned(), seed, life, numbers, hold, lie }
    }

    /// The command line that gives these orders.
    pub fn args(&self) -> Vec<String> {
        let numbers: Vec<String> = self.numbers.iter().map(u64::to_string).collect();
        let mut args = vec![
            format!("--dir={}", self.dir.display()),
            format!("--seed={}", self.seed),
            format!("--life={}", self.life),
            format!("--numbers={}", numbers.join(",")),
        ];
        args.extend(self.hold.map(|hold| format!("--hold={hold}")));
        let lie = self.lie.and_then(|lie| clap::ValueEnum::to_possible_value(&lie));
        args.extend(lie.map(|lie| format!("--lie={}", lie.get_name())));
        args
    }
}

/// Opens the database and writes for ever.
///
/// # Errors
/// Whatever the database refuses.
pub fn serve(orders: &Orders) -> Result<(), String> {
    let holder = Holder::new(orders.hold, || say(Word::Held));
    let mut disk: Arc<dyn Vfs> = Arc::new(OsVfs);
    if orders.lie == Some(Lie::Pages) {
        disk = Arc::new(LyingVfs::new(disk, lying::Lie::Contents(PAGES)));
    }
    let disk = Arc::new(HoldingVfs::new(disk, Arc::clone(&holder)));
    let level = told(orders.lie, Durability::Sync);
    let setup = script::setup(orders.seed);
    let db = setup.builder(disk, &orders.dir, Create::IfMissing).durability(level).open().map_err(refused)?;
    holder.opened();
    say(Word::Open);
    let child = Child { db, orders, turn: Turn::default() };
    let outcomes: Vec<Result<(), String>> = std::thread::scope(|scope| {
        let start = |thread| {
            scope.spawn({
                let child = &child;
                move || child.write(thread)
            })
        };
        let threads: Vec<_> = (0..script::THREADS).map(start).collect();
        let panicked = || Err("a thread panicked".to_owned());
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| panicked())).collect()
    });
    outcomes.into_iter().collect()
}

/// The level that is asked of the database where `level` is to be acknowledged.
fn told(lie: Option<Lie>, level: Durability) -> Durability {
    match lie {
        Some(Lie::Memory) => Durability::Memory,
        Some(Lie::Buffered) => Durability::Buffered,
        Some(Lie::Pages) | None => level,
    }
}

struct Child<'a> {
    db: Db,
    orders: &'a Orders,
    /// What clears is alone: so it is clear what comes before and after.
    turn: Turn,
}

impl Child<'_> {
    fn write(&self, thread: u64) -> Result<(), String> {
        let seed = script::life_seed(self.orders.seed, self.orders.life);
        let mut number = self.orders.numbers.get(thread as usize).copied().unwrap_or(0);
        loop {
            number += 1;
            let (act, how) = script::act(seed, thread, number);
            if act == Act::Clear {
                self.turn.alone(|| {
                    say(Word::Clearing);
                    let seq = self.db.clear().map_err(refused)?.seq;
                    say(Word::Ack(Ack { thread, number, level: Durability::Sync, seq }));
                    Ok(())
                })?;
            } else {
                self.turn.shared(|| {
                    let (level, seq) = self.one(act, how).map_err(refused)?;
                    say(Word::Ack(Ack { thread, number, level, seq }));
                    Ok(())
                })?;
            }
            if number.is_multiple_of(150) {
                self.db.flush().map_err(refused)?;
            }
        }
    }

    /// Writes; the level that was reached, as it is acknowledged, and the sequence number.
    fn one(&self, act: Act, how: How) -> halodb::Result<(Durability, u64)> {
        let claimed = match how {
            How::Level(level) => level,
            How::ThenSync => Durability::Buffered,
            How::ThenWait => Durability::Memory,
        };
        let level = told(self.orders.lie, claimed);
        let mut reached = claimed;
        let seq = match act {
            Act::Batch(writes) => {
                let mut batch = self.db.batch().durability(level);
                for (key, value) in writes {
                    batch = match value {
                        Some(value) => batch.put(key, value),
                        None => batch.delete(key),
                    };
                }
                batch.commit()?.seq
            }
            Act::Put(key, value) => {
                let options = WriteOptions::new().durability(level);
                self.db.put_with(key, value, &options)?.map_or(0, |Commit { seq }| seq)
            }
            Act::Delete(key) => {
                // Where there is nothing to delete, nothing is written, so nothing is promised about what came before.
                if !self.db.delete(key)? {
                    reached = Durability::Memory;
                }
                0
            }
            Act::Clear => self.db.clear()?.seq,
        };
        if matches!(self.orders.lie, Some(Lie::Memory | Lie::Buffered)) {
            return Ok((if how == How::Level(claimed) { reached } else { Durability::Sync }, seq));
        }
        match how {
            How::Level(_) => Ok((reached, seq)),
            How::ThenSync => self.db.sync().map(|_| (Durability::Sync, seq)),
            How::ThenWait => self.db.wait_durable(seq).map(|()| (Durability::Sync, seq)),
        }
    }
}

fn refused(e: halodb::Error) -> String {
    format!("refused: {}", Refusal::from(e))
}

fn say(word: Word) {
    let mut out = std::io::stdout().lock();
    // If the parent is gone, so is the purpose of this process.
    if out.write_all(format!("{word}\n").as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}
