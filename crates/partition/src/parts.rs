//! The records of a large commit: parts, which make nothing visible, and the record that completes them.
//!
//! ```text
//! part         := varint(id) payload of a batch             id: the number of the commit's first part; 0 in that part itself
//! part commit  := varint(id) varint(number of parts) XXH3-64 over the parts, 8 bytes, little-endian
//! ```
//!
//! Each part is an ordinary record with a number of its own; what all of them write has the number of the part commit, and
//! is there if that is. Their range deletes stand in the first ones and apply before all entries; the entries of one key
//! follow each other in the order in which they were written. The checksum goes on from part to part: the hash of
//! one is the seed of the next, beginning with 0; it is over whole payloads.
//!
//! One large commit writes its parts at a time. So parts of another id mean that the one before was given up, and a reader holds the
//! parts of one commit at most.
//!
//! What this file does not know: when parts are written, and how long the log keeps them (`large.rs`).

use crate::batch::{self, Batch, Op, put_varint, split_varint};
use halodb_wal::Lsn;
use xxhash_rust::xxh3::xxh3_64_with_seed;

type Decoded<T> = std::result::Result<T, &'static str>;

/// What completes the parts, and sums them up while they are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PartCommit {
    /// Number of the first part; 0: there is none yet.
    pub(crate) id: Lsn,
    pub(crate) parts: u64,
    pub(crate) checksum: u64,
}

impl PartCommit {
    /// The payload of the next part.
    pub(crate) fn part(&self, writes: &Batch) -> Vec<u8> {
        let mut out = Vec::with_capacity(writes.len_bytes() + 10);
        put_varint(&mut out, self.id.0);
        writes.encode_to(&mut out);
        out
    }

    /// Counts a part in, which has this number.
    pub(crate) fn add(&mut self, lsn: Lsn, payload: &[u8]) {
        if self.parts == 0 {
            self.id = lsn;
        }
        self.parts += 1;
        self.checksum = xxh3_64_with_seed(payload, self.checksum);
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(28);
        put_varint(&mut out, self.id.0);
        put_varint(&mut out, self.parts);
        out.extend_from_slice(&self.checksum.to_le_bytes());
        out
    }

    pub(crate) fn decode(payload: &[u8]) -> Decoded<Self> {
        let (id, rest) = split_varint(payload)?;
        let (parts, rest) = split_varint(rest)?;
        let checksum = rest.try_into().map(u64::from_le_bytes).map_err(|_| "a part commit of another length")?;
        Ok(Self { id: Lsn(id), parts, checksum })
    }
}

/// The writes of a part's payload.
pub(crate) fn ops(payload: &[u8]) -> Decoded<Vec<Op<'_>>> {
    let (_, writes) = split_varint(payload)?;
    batch::decode(writes)
}

/// Parts in the order of their numbers.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// Whole, with their ids in front.
    pub(crate) payloads: Vec<Box<[u8]>>,
}

/// Which of the others' parts a part follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Follows {
    /// None: what was read before belonged to another commit, which was given up.
    Nothing,
    Parts,
}

/// The parts that are read from a log, summed up until their commit comes.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    sum: PartCommit,
    /// The last record in front of the first part.
    before: Lsn,
}

impl Chain {
    /// Takes a part; `before` is the record in front of it.
    pub(crate) fn part(&mut self, lsn: Lsn, before: Lsn, payload: &[u8]) -> Decoded<Follows> {
        let (id, _) = split_varint(payload)?;
        let mut follows = Follows::Parts;
        if id == 0 || Lsn(id) != self.sum.id {
            *self = Self { before, ..Self::default() };
            follows = Follows::Nothing;
        }
        self.sum.add(lsn, payload);
        if id != 0 {
            // Of a commit whose first parts are not in the log any more.
            self.sum.id = Lsn(id);
        }
        Ok(follows)
    }

    /// The last record in front of the parts that a part commit completes; `None` if the log was read from behind the first of them on,
    /// as every tree has got beyond `needed_from`: none claims to have the first part before it has the whole.
    pub(crate) fn complete(&mut self, payload: &[u8], needed_from: Lsn) -> Decoded<Option<Lsn>> {
        let commit = PartCommit::decode(payload)?;
        let Self { sum, before } = std::mem::take(self);
        if commit.id <= needed_from {
            return Ok(None);
        }
        if sum != commit {
            return Err("its parts are not those that were written");
        }
        Ok(Some(before))
    }
}

/// Holds the parts that are read from a log until their commit comes.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    chain: Chain,
    parts: Parts,
}

impl Collector {
    /// Takes a part. What belonged to another commit is let go: that one was given up.
    pub(crate) fn part(&mut self, lsn: Lsn, payload: &[u8]) -> Decoded<()> {
        if self.chain.part(lsn, Lsn(lsn.0.saturating_sub(1)), payload)? == Follows::Nothing {
            self.parts = Parts::default();
        }
        self.parts.payloads.push(payload.into());
        Ok(())
    }

    /// As [`Chain::complete`], with the parts.
    pub(crate) fn complete(&mut self, payload: &[u8], needed_from: Lsn) -> Decoded<Option<Parts>> {
        let Self { mut chain, parts } = std::mem::take(self);
        Ok(chain.complete(payload, needed_from)?.map(|_| parts))
    }

    /// As [`Collector::complete`] for a damaged log: whatever is there of the parts.
    pub(crate) fn salvage(&mut self, payload: &[u8]) -> Decoded<Parts> {
        let commit = PartCommit::decode(payload)?;
        let Self { chain, parts } = std::mem::take(self);
        Ok(if chain.sum.id == commit.id { parts } else { Parts::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn batch(key: &str) -> Batch {
        let mut batch = Batch::new();
        batch.put(key.as_bytes(), b"v");
        batch
    }

    /// The parts of a commit with these keys, numbered from `first`, and what completes them.
    fn written(first: u64, keys: &[&str]) -> (Vec<(Lsn, Vec<u8>)>, Vec<u8>) {
        let mut sum = PartCommit::default();
        let mut parts = Vec::new();
        for (lsn, key) in (first..).map(Lsn).zip(keys) {
            let payload = sum.part(&batch(key));
            sum.add(lsn, &payload);
            parts.push((lsn, payload));
        }
        (parts, sum.encode())
    }

    fn collect(collector: &mut Collector, parts: &[(Lsn, Vec<u8>)]) {
        for (lsn, payload) in parts {
            collector.part(*lsn, payload).expect("it decodes");
        }
    }

    fn keys(parts: &Parts) -> Vec<String> {
        let of = |payload: &[u8]| match ops(payload).expect("it decodes")[..] {
            [Op::Put(key, _)] => String::from_utf8_lossy(key).into_owned(),
            ref other => panic!("{other:?}"),
        };
        parts.payloads.iter().map(|payload| of(payload)).collect()
    }

    #[test]
    fn parts_are_given_when_their_commit_comes_and_those_of_an_earlier_one_are_let_go() {
        let (given_up, _) = written(10, &["x", "y"]);
        let (parts, commit) = written(20, &["a", "b", "c"]);
        let mut collector = Collector::default();
        collect(&mut collector, &given_up);
        collect(&mut collector, &parts);
        let complete = collector.complete(&commit, Lsn(5)).expect("it is whole").expect("it is needed");
        assert_eq!(keys(&complete), ["a", "b", "c"]);
        let mut chain = Chain::default();
        let told: Vec<_> =
            given_up.iter().chain(&parts).map(|(lsn, part)| chain.part(*lsn, Lsn(lsn.0 - 1), part)).collect();
        let (first, next) = (Ok(Follows::Nothing), Ok(Follows::Parts));
        assert_eq!(told, [first, next, first, next, next]);
        assert_eq!(chain.complete(&commit, Lsn(5)), Ok(Some(Lsn(19))));
    }

    #[test]
    fn a_commit_that_every_tree_has_needs_no_parts() {
        let (_, commit) = written(20, &["a", "b"]);
        assert!(Collector::default().complete(&commit, Lsn(20)).expect("not looked at").is_none());
    }

    #[test]
    fn a_commit_whose_parts_are_missing_or_others_is_refused() {
        let (parts, commit) = written(20, &["a", "b", "c"]);
        let (others, _) = written(20, &["a", "b", "d"]);
        for present in [&parts[..2], &parts[1..], &others[..], &[][..]] {
            let mut collector = Collector::default();
            collect(&mut collector, present);
            assert!(collector.complete(&commit, Lsn(0)).is_err(), "{} parts", present.len());
        }
    }

    #[test]
    fn of_a_damaged_log_the_parts_that_are_there_are_taken() {
        let (parts, commit) = written(20, &["a", "b", "c"]);
        let mut collector = Collector::default();
        collect(&mut collector, &parts[1..]);
        assert_eq!(keys(&collector.salvage(&commit).expect("it decodes")), ["b", "c"]);
        assert!(keys(&collector.salvage(&commit).expect("it decodes")).is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = PartCommit::decode(&bytes);
            let _ = ops(&bytes);
            let _ = Collector::default().part(Lsn(7), &bytes);
        }
    }
}
