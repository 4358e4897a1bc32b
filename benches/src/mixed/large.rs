//! The rows `large`: values of 1 MiB, written with a sync each, then read whole in random order.
//!
//! The bytes of a value are random and its own; a read computes the checksum of all of them, which every engine pays
//! alike and which makes an engine that answers with a mapped address fetch what it promised.

use std::time::Instant;

use xxhash_rust::xxh3::xxh3_64;

use crate::engine::{Durability, Engine, Result};

use super::random::Random;
use super::record::Records;
use super::target::wrong;

/// Bytes of a value.
const BYTES: usize = 1 << 20;

/// Values that have been written, and their checksums.
pub(super) struct Large<'a> {
    engine: &'a dyn Engine,
    records: Records,
    checksums: Vec<u64>,
}

impl<'a> Large<'a> {
    /// Writes `count` values, one durable transaction each; with the values written a second.
    pub(super) fn write(engine: &'a dyn Engine, count: u64, seed: u64) -> Result<(Large<'a>, f64)> {
        let records = Records::with_values(seed, BYTES);
        let (mut value, mut checksums, mut seconds) = (Vec::with_capacity(BYTES), Vec::new(), 0.0);
        for record in 0..count {
            records.fill(record, 0, &mut value);
            checksums.push(xxh3_64(&value));
            let began = Instant::now();
            engine.put(&records.key(record), &value, Durability::Sync)?;
            seconds += began.elapsed().as_secs_f64();
        }
        Ok((Large { engine, records, checksums }, count as f64 / seconds.max(1e-9)))
    }

    /// Reads `count` of them; how many a second.
    pub(super) fn read(&self, count: u64, seed: u64) -> Result<f64> {
        let mut random = Random::new(seed);
        let began = Instant::now();
        for _ in 0..count {
            let record = random.below(self.checksums.len() as u64);
            let mut checksum = None;
            self.engine.get(&self.records.key(record), &mut |value| checksum = Some(xxh3_64(value)))?;
            match checksum {
                Some(found) if found == self.checksums[record as usize] => {}
                Some(_) => return Err(wrong(format!("value {record} of 1 MiB is damaged"))),
                None => return Err(wrong(format!("value {record} of 1 MiB is missing"))),
            }
        }
        Ok(count as f64 / began.elapsed().as_secs_f64().max(1e-9))
    }
}
