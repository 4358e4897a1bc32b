//! [`LiveVictim`]: a database that is open while it is damaged, all pages of which were read but those that its last merge
//! wrote. What was verified once is not verified again; what was written anew must be.

use super::{Damage, Fate};
use crate::campaign::config::{self, Setup};
use crate::campaign::engine::Partitions;
use crate::campaign::ops::{Op, Val, Write};
use crate::campaign::session::{Session, Stop, honest};
use halodb::Durability;
use std::path::PathBuf;

/// Merges in one piece: a second chunk would read the pages of the first.
const SETUP: Setup = Setup { chunk_bytes: 1 << 20, ..config::TINY };

/// Of the many bits of fresh pages, one in so many is turned: each case makes a database of its own.
const STRIDE: usize = 61;

pub(super) struct LiveVictim {
    session: Session<Partitions>,
    /// The pages that the last merge wrote, metas aside.
    fresh: Vec<(PathBuf, u64)>,
}

impl LiveVictim {
    pub(super) fn new() -> Result<LiveVictim, String> {
        Self::build().map_err(|stop| stop.text())
    }

    fn build() -> Result<LiveVictim, Stop> {
        let mut session = Session::<Partitions>::create(honest, &SETUP)?;
        let mut before = Vec::new();
        for round in 0..6u16 {
            // The pages that are written now were free for a while, and were read before that.
            session.look()?;
            before = trees(&session)?;
            let keys = (0..40).filter(|key| key % 3 == round % 3);
            let batch = keys.map(|key| Write::Put(key, Val { len: 90, fill: round })).collect();
            session.step(&Op::Commit(batch, Durability::Sync))?;
            session.step(&Op::Freeze)?;
            session.step(&Op::Jobs(20))?;
        }
        let mut fresh = Vec::new();
        for ((path, old), (_, new)) in before.iter().zip(trees(&session)?) {
            let len = SETUP.page_size as usize;
            for (number, page) in new.chunks(len).enumerate().skip(2) {
                if old.chunks(len).nth(number) != Some(page) {
                    fresh.push((path.clone(), number as u64));
                }
            }
        }
        Ok(LiveVictim { session, fresh })
    }

    /// What is done to it.
    pub(super) fn damages(&self) -> Vec<Damage> {
        let bits = u64::from(SETUP.page_size) * 8;
        let of_page = |(path, page): &(PathBuf, u64)| {
            let (path, first) = (path.clone(), page * bits);
            (0..bits).map(move |bit| Damage::Flip(path.clone(), first + bit))
        };
        self.fresh.iter().flat_map(of_page).step_by(STRIDE).collect()
    }

    /// Damages it under way.
    pub(super) fn survives(mut self, damage: &Damage) -> Result<Fate, String> {
        let Damage::Flip(path, bit) = damage else {
            return Err("an open database is damaged by flips only".to_owned());
        };
        self.session.disk().flip_bit(path, *bit).map_err(|e| format!("the damage cannot be done: {e}"))?;
        match self.session.look() {
            Ok(()) => Ok(Fate::Identical),
            Err(Stop::Refused(_)) => Ok(Fate::ReadRefused),
            Err(Stop::Wrong(what)) => Err(format!("wrong data without an error: {what}")),
        }
    }
}

fn trees(session: &Session<Partitions>) -> Result<Vec<(PathBuf, Vec<u8>)>, Stop> {
    let io = |e: std::io::Error| Stop::Wrong(e.to_string());
    let disk = session.disk();
    let files = disk.files().map_err(io)?;
    let paths = files.into_iter().map(|(path, _)| path).filter(|path| path.ends_with("tree.db"));
    paths.map(|path| Ok((path.clone(), disk.read_file(&path).map_err(io)?))).collect()
}
