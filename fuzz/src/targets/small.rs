//! What is neither page nor log: Bloom filter, manifest, payload of a commit, configuration.
//!
//! `bloom`: bits per key u8, number of hashes u8, hashes, bytes of a filter.
//! `manifest`: flags u8 (1: seal, 2: put in magic, version and length), bytes.
//! `batch`: the payload. `config`: the text.

use crate::input::{Input, resized};
use crate::{Target, Verdict, seal};
use halodb::bloom::{Builder, Filter};
use halodb::config::{Config, Loaded};
use halodb::partition::{Batch, Manifest, Op, decode};
use std::path::Path;

pub(crate) const BLOOM: Target = Target { name: "bloom", max_len: 512, run: bloom, seeds: bloom_seeds };
pub(crate) const MANIFEST: Target = Target { name: "manifest", max_len: 128, run: manifest, seeds: manifest_seeds };
pub(crate) const BATCH: Target = Target { name: "batch", max_len: 4096, run: batch, seeds: batch_seeds };
pub(crate) const CONFIG: Target = Target { name: "config", max_len: 512, run: config, seeds: config_seeds };

const MANIFEST_LEN: usize = 96;

fn bloom(data: &[u8]) -> Verdict {
    let mut input = Input::new(data);
    let mut builder = Builder::new(u32::from(input.u8()));
    let count = input.u8();
    let hashes: Vec<u64> = (0..count).map(|_| input.u64()).collect();
    hashes.iter().for_each(|hash| builder.insert(*hash));
    let expected = builder.finished_bytes();
    let mut built = Vec::new();
    builder.finish_into(&mut built);
    assert_eq!(built.len(), expected);
    let own = Filter::new(&built).expect("a filter that was built has whole blocks");
    assert!(hashes.iter().all(|hash| own.contains(*hash)), "a filter never denies a key that is there");
    match Filter::new(input.rest()) {
        Some(filter) => {
            let found = hashes.iter().filter(|hash| filter.contains(**hash)).count();
            assert!(found <= hashes.len());
            Verdict::Accepted
        }
        None => Verdict::Refused,
    }
}

fn bloom_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let hashes: Vec<u8> = (1..4u64).flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect();
    let input = |len: usize| [&[11, 3][..], &hashes, &vec![0xa5; len]].concat();
    vec![("two-blocks", input(64)), ("no-filter", input(0)), ("part-of-a-block", input(33))]
}

fn manifest(data: &[u8]) -> Verdict {
    let mut input = Input::new(data);
    let flags = input.u8();
    let mut bytes = input.rest().to_vec();
    if flags & 3 != 0 {
        bytes = resized(&bytes, MANIFEST_LEN);
    }
    if flags & 2 != 0 {
        bytes[..8].copy_from_slice(b"HALOMANI");
        bytes[8..12].copy_from_slice(&1u32.to_le_bytes());
        bytes[12..16].copy_from_slice(&(MANIFEST_LEN as u32).to_le_bytes());
    }
    if flags & 1 != 0 {
        seal::trailing(&mut bytes, MANIFEST_LEN);
    }
    let decoded = Manifest::decode(&bytes, Path::new("MANIFEST"));
    match &decoded {
        Ok(manifest) => assert_eq!(manifest.encode(), *bytes, "a manifest encodes to the bytes it was read from"),
        Err(e) => assert!(!e.to_string().is_empty()),
    }
    Verdict::of(&decoded)
}

fn manifest_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let sample = Manifest { uuid: [9; 16], incarnation: 7, partitions: 2, hash_seed: 42, page_size: 16_384 };
    let bytes = sample.encode();
    vec![
        ("whole", [&[0][..], &bytes].concat()),
        ("fields", [&[3][..], &bytes[..72]].concat()),
        ("newer", [&[1][..], &bytes[..8], &[2], &bytes[9..]].concat()),
        ("foreign", b"\0something else".to_vec()),
    ]
}

fn batch(data: &[u8]) -> Verdict {
    let decoded = decode(data);
    if let Ok(ops) = &decoded {
        let mut again = Batch::new();
        for op in ops {
            match *op {
                Op::Put(key, value) => again.put(key, value),
                Op::PutUntil(key, value, at_ms) => again.put_until(key, value, at_ms),
                Op::Delete(key) => again.delete(key),
                Op::DeleteRange(start, end) => again.delete_range(start, end),
            }
        }
        assert_eq!(again.len(), ops.len());
        assert!(again.len_bytes() <= data.len(), "what was read takes no more bytes than what it was read from");
    }
    Verdict::of(&decoded)
}

fn batch_seeds() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("all-kinds", b"\x02\x03\x01m\x00\x03\x01a\x01\x01b\x02\x01\x03key\x05value\x02\x01d".to_vec()),
        ("empty", vec![0, 0]),
        ("long-length", b"\x00\x01\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01k".to_vec()),
        ("many", b"\x00\xff\xff\xff\xff\x0f\x02\x00\x02\x00".to_vec()),
    ]
}

fn config(data: &[u8]) -> Verdict {
    let text = String::from_utf8_lossy(data);
    let checked = Config::check_text("halodb.toml", &text);
    if let Err(errors) = &checked {
        let lines = text.lines().count().max(1) as u32 + 1;
        for problem in errors.iter() {
            assert!(!problem.message().is_empty());
            assert!(problem.line().is_none_or(|line| (1..=lines).contains(&line)), "a problem lies in the text");
            assert!(problem.column() != Some(0), "columns count from 1");
        }
        assert!(!errors.to_string().is_empty());
    }
    Verdict::of(&checked)
}

fn config_seeds() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("example", Config::annotated_example().into_bytes()),
        ("every-key", Loaded::default().show().into_bytes()),
        ("some", b"[wal]\nsegment = \"16MiB\"\ninterval = \"5ms\"\n[database]\npartitions = 4\n".to_vec()),
        ("mistakes", "[wal]\nsegmnt = \"\u{e4}\u{1f600}\"\ninterval = 5\n[bloom]\nbits_per_key = -1\n".into()),
        ("no-toml", b"[wal\n\xff = \"".to_vec()),
    ]
}
