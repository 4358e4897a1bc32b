//! RocksDB: the LSM tree most others are compared with. Feature `rocksdb`: building it takes minutes.

use std::path::PathBuf;

use ::rocksdb as db;
use db::{
    BlockBasedOptions, Cache, DB, DBCompressionType, DBRawIterator, IngestExternalFileOptions, Options, ReadOptions,
    Snapshot, SstFileWriter, WaitForCompactOptions, WriteBatch, WriteOptions,
};

use super::{Batch, Durability, Engine, Fill, Pairs, Problem, Reader, Result, Settings};

struct Rocks {
    db: DB,
    dir: PathBuf,
    write_buffer: u64,
    cache: u64,
}

/// Opens RocksDB with write buffers of a quarter of the budget and the rest as block cache, otherwise as its wiki's
/// page "Setup Options and Basic Tuning" recommends.
pub(super) fn open(settings: &Settings) -> Result<Box<dyn Engine>> {
    // Two write buffers: one is filled while the other is flushed.
    let write_buffer = settings.budget_bytes / 8;
    let cache = settings.budget_bytes - 2 * write_buffer;
    let mut options = options();
    options.create_if_missing(true);
    options.set_write_buffer_size(write_buffer as usize);
    options.set_max_background_jobs(6);
    options.set_bytes_per_sync(1 << 20);
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&Cache::new_lru_cache(cache as usize));
    table.set_block_size(16 << 10);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_bloom_filter(10.0, false);
    options.set_block_based_table_factory(&table);
    let db = DB::open(&options, settings.dir.join("data"))?;
    Ok(Box::new(Rocks { db, dir: settings.dir.clone(), write_buffer, cache }))
}

fn options() -> Options {
    let mut options = Options::default();
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_compression_type(DBCompressionType::Lz4);
    options
}

fn level(durability: Durability) -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(durability == Durability::Sync);
    options
}

impl Batch for WriteBatch {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        WriteBatch::put(self, key, value);
        Ok(())
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        WriteBatch::delete(self, key);
        Ok(())
    }
}

impl Batch for SstFileWriter<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        Ok(SstFileWriter::put(self, key, value)?)
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        Ok(SstFileWriter::delete(self, key)?)
    }
}

impl Engine for Rocks {
    fn settings(&self) -> Vec<String> {
        vec![
            format!("two write buffers of {} MiB, a quarter of the budget", self.write_buffer >> 20),
            format!("block cache of {} MiB, the rest, index and filter blocks in it", self.cache >> 20),
            "as its page \"Setup Options and Basic Tuning\" says: dynamic level bytes, 6 background jobs, bytes_per_sync \
             1 MiB, blocks of 16 KiB, Bloom filters of 10 bits, LZ4"
                .into(),
            "durable: WriteOptions::sync; without sync: the default, the log goes to the page cache".into(),
            "sorted load: SstFileWriter and ingestion".into(),
            "compaction: compact_range over everything".into(),
            "pops: a new iterator and a deletion each; conditional removal: a scan that fills one batch".into(),
        ]
    }

    fn write(&self, durability: Durability, fill: Fill<'_>) -> Result<()> {
        let mut batch = WriteBatch::default();
        fill(&mut batch)?;
        Ok(self.db.write_opt(batch, &level(durability))?)
    }

    fn put(&self, key: &[u8], value: &[u8], durability: Durability) -> Result<()> {
        Ok(self.db.put_opt(key, value, &level(durability))?)
    }

    fn get(&self, key: &[u8], f: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let found = self.db.get_pinned(key)?;
        if let Some(value) = &found {
            f(value);
        }
        Ok(found.is_some())
    }

    fn load_sorted(&self, fill: Fill<'_>) -> Result<()> {
        let options = options();
        let path = self.dir.join("sorted.sst");
        let mut writer = SstFileWriter::create(&options);
        writer.open(&path)?;
        fill(&mut writer)?;
        writer.finish()?;
        let mut ingest = IngestExternalFileOptions::default();
        ingest.set_move_files(true);
        Ok(self.db.ingest_external_file_opts(&ingest, vec![path])?)
    }

    fn reader(&self) -> Result<Box<dyn Reader + '_>> {
        Ok(Box::new(self.db.snapshot()))
    }

    fn len(&self) -> Result<u64> {
        self.reader()?.scan(b"", &mut |_, _| ())
    }

    fn remove_if(
        &self,
        from: &[u8],
        to: &[u8],
        durability: Durability,
        predicate: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<u64> {
        let mut batch = WriteBatch::default();
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(to);
        let mut pairs = self.db.raw_iterator_opt(options);
        pairs.seek(from);
        while let Some((key, value)) = pairs.item() {
            if predicate(key, value) {
                batch.delete(key);
            }
            pairs.next();
        }
        pairs.status()?;
        let removed = batch.len() as u64;
        self.db.write_opt(batch, &level(durability))?;
        Ok(removed)
    }

    fn pop_ends(
        &self,
        count: u64,
        durability: Durability,
        go_on: &mut dyn FnMut() -> bool,
        f: Pairs<'_>,
    ) -> Result<u64> {
        let options = level(Durability::None);
        let mut popped = 0;
        while popped < count && go_on() {
            let mut pairs = self.db.raw_iterator();
            if popped % 2 == 0 {
                pairs.seek_to_first()
            } else {
                pairs.seek_to_last()
            }
            pairs.status()?;
            let Some((key, value)) = pairs.item() else { break };
            f(key, value);
            self.db.delete_opt(key, &options)?;
            popped += 1;
        }
        if durability == Durability::Sync {
            self.sync()?;
        }
        Ok(popped)
    }

    fn compact(&mut self) -> Result<()> {
        self.db.flush()?;
        self.db.compact_range(None::<&[u8]>, None::<&[u8]>);
        Ok(self.db.wait_for_compact(&WaitForCompactOptions::default())?)
    }

    fn sync(&self) -> Result<()> {
        Ok(self.db.flush_wal(true)?)
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.sync()?;
        self.db.cancel_all_background_work(true);
        Ok(())
    }
}

/// What the iterator shows until its end, a failure, or `limit` pairs.
fn show(mut pairs: DBRawIterator<'_>, limit: usize, f: Pairs<'_>) -> Result<u64> {
    let mut found = 0;
    while found < limit as u64 {
        let Some((key, value)) = pairs.item() else { break };
        f(key, value);
        found += 1;
        pairs.next();
    }
    pairs.status().map_err(Problem::from)?;
    Ok(found)
}

impl Reader for Snapshot<'_> {
    fn get(&mut self, key: &[u8], f: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let found = self.get_pinned(key)?;
        if let Some(value) = &found {
            f(value);
        }
        Ok(found.is_some())
    }

    fn seek(&mut self, from: &[u8], limit: usize, f: Pairs<'_>) -> Result<usize> {
        let mut pairs = self.raw_iterator();
        pairs.seek(from);
        Ok(show(pairs, limit, f)? as usize)
    }

    fn scan(&mut self, prefix: &[u8], f: Pairs<'_>) -> Result<u64> {
        let mut options = ReadOptions::default();
        if let Some(end) = super::prefix_end(prefix) {
            options.set_iterate_upper_bound(end);
        }
        let mut pairs = self.raw_iterator_opt(options);
        pairs.seek(prefix);
        show(pairs, usize::MAX, f)
    }
}
