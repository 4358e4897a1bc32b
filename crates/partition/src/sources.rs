//! The k-way merge beneath cursors and counts: every layer of every partition as one sorted stream of *decisions*.
//!
//! A key belongs to one partition, and within a partition the newest layer that has a version of it decides whether it is
//! live. Range deletes of newer layers hide what older layers and the tree hold; in the direction of travel whole hidden
//! stretches are skipped by one seek.
//!
//! The streams are kept in the order of the keys they are on. So a step moves the first one, and puts it where it belongs by
//! changing places with the ones before it, mostly none or one. Compared are *heads*, the eight bytes after what all the keys
//! at hand begin with, turned over for the way back, so that the lesser one always comes first; the keys themselves only where
//! these are equal. As keys are spread by their hash, which stream comes next is as good as random: so the two streams
//! change places without a branch. Nothing is allocated and no key is copied, but where the merge turns round.
//!
//! This file does not know what bounds a user asked for, and copies no value.

use crate::Result;
use crate::snapshot::Snapshot;
use crate::stream::{self, Direction, Memory, OfRun, Stream};
use crate::version::PartVersion;
use halodb_memtable::{Life, RangeDelete};
use halodb_wal::Lsn;
use std::cmp::Ordering;
use std::hint::select_unpredictable;
use std::sync::Arc;

/// Range deletes of the newer layers of the same partition.
type Hiding = Arc<[RangeDelete]>;

/// The range delete that hides the key that a stream is on, if one does.
#[inline]
fn hiding<'r>(hidden_by: &'r [Option<Hiding>], number: usize, stream: &Stream) -> Option<&'r RangeDelete> {
    let ranges = hidden_by.get(number)?.as_deref()?;
    let key = stream.key()?;
    ranges.iter().find(|range| range.covers(key))
}

/// What all keys at hand begin with.
#[derive(Debug, Default)]
struct Prefix {
    bytes: Vec<u8>,
    /// Up to eight of the bytes, and where in a word they are: enough to know nearly every prefix by.
    word: u64,
    mask: u64,
}

impl Prefix {
    fn set(&mut self, bytes: &[u8]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
        self.cut(bytes.len());
    }

    /// Only the first bytes.
    fn cut(&mut self, len: usize) {
        self.bytes.truncate(len);
        let mut first = [0; 8];
        let known = self.bytes.len().min(8);
        first[..known].copy_from_slice(&self.bytes[..known]);
        self.word = u64::from_le_bytes(first);
        self.mask = if known == 8 { u64::MAX } else { (1 << (8 * known)) - 1 };
    }

    /// What a key has behind it; `None` if the key does not begin with it.
    #[inline]
    fn strip<'k>(&self, key: &'k [u8]) -> Option<&'k [u8]> {
        let len = self.bytes.len();
        match key.first_chunk::<8>() {
            Some(first) if len <= 8 => {
                let is_there = (u64::from_le_bytes(*first) ^ self.word) & self.mask == 0;
                if is_there { key.get(len..) } else { None }
            }
            _ => key.strip_prefix(&self.bytes[..]),
        }
    }
}

/// The merge of all streams; of none by default.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// In the order of their age, newest first, per partition; keys of different partitions never meet.
    streams: Vec<Stream>,
    /// For each stream what hides its keys; shorter than `streams` where nothing hides the last ones.
    hidden_by: Vec<Option<Hiding>>,
    direction: Direction,
    /// The streams that are on a key, the nearest key first, and of equal keys the newest layer. The first one decides the
    /// key at hand.
    order: Vec<u16>,
    /// What all keys that the streams are on begin with, while there are several.
    prefix: Prefix,
    /// For each stream in the order the head of its key, while there are several; on the way back with all bits turned over.
    heads: Vec<u64>,
    /// The time by which values have expired.
    now_ms: u64,
}

/// The first eight bytes as a number that orders as they do, zeros where there are fewer.
#[inline]
fn head(rest: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    match rest.first_chunk::<8>() {
        Some(first) => bytes = *first,
        None => bytes[..rest.len()].copy_from_slice(rest),
    }
    u64::from_le_bytes(bytes).swap_bytes()
}

fn common_prefix_len(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

impl Sources {
    /// All layers and trees of a snapshot.
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let mut all = Self::with_capacity(3 * snapshot.parts().len(), snapshot.now_ms());
        for part in snapshot.parts() {
            let hidden_by = all.add_memory(part, snapshot.lsn());
            if !part.tree.is_empty() {
                all.add(Stream::Tree(part.tree.cursor()), hidden_by);
            }
        }
        if all.streams.len() > 1 {
            for stream in &mut all.streams {
                stream.ask_ahead();
            }
        }
        all
    }

    /// On no key, as at the beginning.
    pub(crate) fn reset(&mut self) {
        self.order.clear();
    }

    /// Only the layers above the tree of one partition.
    pub(crate) fn in_memory(part: &PartVersion, at: Lsn, now_ms: u64) -> Self {
        let mut all = Self::with_capacity(2, now_ms);
        all.add_memory(part, at);
        all
    }

    fn with_capacity(streams: usize, now_ms: u64) -> Self {
        let (streams, order) = (Vec::with_capacity(streams), Vec::with_capacity(streams));
        let (hidden_by, prefix, heads) = (Vec::new(), Prefix::default(), Vec::new());
        Self { streams, hidden_by, direction: Direction::Forward, order, prefix, heads, now_ms }
    }

    fn add(&mut self, stream: Stream, hidden_by: Option<Hiding>) {
        if hidden_by.is_some() {
            self.hidden_by.resize(self.streams.len(), None);
            self.hidden_by.push(hidden_by);
        }
        self.streams.push(stream);
    }

    /// Adds the layers of a partition, newest first, and returns the range deletes that hide what is below them.
    fn add_memory(&mut self, part: &PartVersion, at: Lsn) -> Option<Hiding> {
        let mut hidden_by: Option<Hiding> = None;
        for layer in part.layers().filter(|layer| !layer.is_empty()) {
            match &layer.run {
                None => self.add(Stream::Memory(Memory::new(layer, at)), hidden_by.clone()),
                Some(run) if at >= layer.last => self.add(Stream::Run(OfRun::new(layer, run)), hidden_by.clone()),
                Some(_) => {}
            }
            let ranges = layer.range_deletes(at);
            if !ranges.is_empty() {
                let newer = hidden_by.as_deref().unwrap_or_default().iter().cloned();
                hidden_by = Some(newer.chain(ranges).collect());
            }
        }
        hidden_by
    }

    #[inline]
    fn head(&self) -> Option<usize> {
        self.order.first().map(|&head| usize::from(head))
    }

    /// The key at hand, live or not.
    #[inline]
    pub(crate) fn key(&self) -> Option<&[u8]> {
        self.streams[self.head()?].key()
    }

    /// Whether the key at hand is live: its newest version is a value that has not expired.
    #[inline]
    pub(crate) fn is_live(&self) -> bool {
        let Some(head) = self.head() else { return false };
        let stream = &self.streams[head];
        stream.has_value(self.now_ms) && hiding(&self.hidden_by, head, stream).is_none()
    }

    /// How long the key at hand, which must be live, has its value.
    pub(crate) fn life(&self) -> Life {
        self.head().map(|head| self.streams[head].life()).unwrap_or_default()
    }

    /// The value at hand, which must be live.
    #[inline]
    pub(crate) fn value(&self) -> Result<Option<&[u8]>> {
        match self.head() {
            Some(head) => self.streams[head].value(),
            None => Ok(None),
        }
    }

    pub(crate) fn seek_first(&mut self) -> Result<()> {
        self.seek_end(Direction::Forward)
    }

    pub(crate) fn seek_last(&mut self) -> Result<()> {
        self.seek_end(Direction::Backward)
    }

    fn seek_end(&mut self, direction: Direction) -> Result<()> {
        self.order.clear();
        self.direction = direction;
        self.streams.iter_mut().try_for_each(|stream| stream.seek_end(direction))?;
        self.put_in_order();
        Ok(())
    }

    pub(crate) fn seek(&mut self, key: &[u8]) -> Result<()> {
        self.seek_in(key, Direction::Forward)
    }

    pub(crate) fn seek_back(&mut self, key: &[u8]) -> Result<()> {
        self.seek_in(key, Direction::Backward)
    }

    fn seek_in(&mut self, key: &[u8], direction: Direction) -> Result<()> {
        self.order.clear();
        self.direction = direction;
        stream::seek_all(&mut self.streams, key, direction)?;
        self.put_in_order();
        Ok(())
    }

    /// To the next key, live or not. A dead head is left by the longest step that is safe.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<()> {
        self.step(Direction::Forward)
    }

    /// To the previous key, live or not.
    #[inline]
    pub(crate) fn prev(&mut self) -> Result<()> {
        self.step(Direction::Backward)
    }

    #[inline]
    fn step(&mut self, direction: Direction) -> Result<()> {
        if self.direction != direction {
            self.turn()?;
        }
        match self.order[..] {
            [] => Ok(()),
            [head, other, ..] if self.is_same_key(head, other) => self.leave_versions(),
            [head, ..] => self.advance(0, head),
        }
    }

    /// All streams that have the key at hand leave it.
    #[inline(never)]
    fn leave_versions(&mut self) -> Result<()> {
        let [head, others @ ..] = &self.order[..] else { return Ok(()) };
        let older = others.iter().take_while(|&&other| self.is_same_key(*head, other)).count();
        // The decided one last; each finds its place among those behind it.
        (0..=older).rev().try_for_each(|at| self.advance(at, self.order[at]))
    }

    /// Takes the stream at a place of the order to its next key.
    #[inline]
    fn advance(&mut self, at: usize, stream: u16) -> Result<()> {
        let number = usize::from(stream);
        self.leave(number)?;
        if self.note(number) {
            self.move_back(at);
        } else {
            self.order.remove(at);
        }
        Ok(())
    }

    /// Goes the other way from now on: the other streams stand on the far side of the key, and are put on it or just past it.
    #[cold]
    fn turn(&mut self) -> Result<()> {
        let direction = match self.direction {
            Direction::Forward => Direction::Backward,
            Direction::Backward => Direction::Forward,
        };
        match self.key().map(<[u8]>::to_vec) {
            Some(key) => self.seek_in(&key, direction),
            None => Ok(()),
        }
    }

    /// Moves a stream off its key; if the key lies in a stretch hidden from it, past that stretch.
    #[inline]
    fn leave(&mut self, number: usize) -> Result<()> {
        let stream = &mut self.streams[number];
        match (self.direction, hiding(&self.hidden_by, number, stream)) {
            (direction, None) => stream.step(direction),
            (Direction::Forward, Some(RangeDelete { end: Some(end), .. })) => stream.seek(end, Direction::Forward),
            (Direction::Forward, Some(RangeDelete { end: None, .. })) => {
                stream.seek_end(Direction::Backward)?;
                stream.step(Direction::Forward)
            }
            (Direction::Backward, Some(RangeDelete { start, .. })) => {
                stream.seek(start, Direction::Backward)?;
                if stream.key() == Some(&**start) { stream.step(Direction::Backward) } else { Ok(()) }
            }
        }
    }

    /// Whether the key of one stream is nearer than that of another, or the same and the stream newer.
    #[inline]
    fn is_before(&self, a: u16, b: u16) -> bool {
        let (head_of_a, head_of_b) = (self.heads[usize::from(a)], self.heads[usize::from(b)]);
        if head_of_a == head_of_b { self.is_before_by_key(a, b) } else { head_of_a < head_of_b }
    }

    #[inline(never)]
    fn is_before_by_key(&self, a: u16, b: u16) -> bool {
        let order = self.streams[usize::from(a)].key().cmp(&self.streams[usize::from(b)].key());
        match (order, self.direction) {
            (Ordering::Less, Direction::Forward) | (Ordering::Greater, Direction::Backward) => true,
            (Ordering::Equal, _) => a < b,
            _ => false,
        }
    }

    /// Whether two streams are on the same key.
    #[inline]
    fn is_same_key(&self, a: u16, b: u16) -> bool {
        let [a, b] = [a, b].map(usize::from);
        self.heads[a] == self.heads[b] && self.streams[a].key() == self.streams[b].key()
    }

    /// Remembers the head of a stream that has moved; whether it is on a key.
    #[inline]
    fn note(&mut self, stream: usize) -> bool {
        let Some(key) = self.streams[stream].key() else { return false };
        if self.order.len() > 1 {
            match self.prefix.strip(key) {
                Some(rest) => self.heads[stream] = head(rest) ^ self.turned_over(),
                None => {
                    let len = common_prefix_len(key, &self.prefix.bytes);
                    self.begin_heads(len);
                }
            }
        }
        true
    }

    /// The bits of heads that are turned over.
    #[inline]
    fn turned_over(&self) -> u64 {
        match self.direction {
            Direction::Forward => 0,
            Direction::Backward => u64::MAX,
        }
    }

    /// Takes the heads from an offset on.
    #[cold]
    fn begin_heads(&mut self, prefix_len: usize) {
        self.prefix.cut(prefix_len);
        let turned_over = self.turned_over();
        for (head_of, stream) in self.heads.iter_mut().zip(&self.streams) {
            *head_of = head(stream.key().and_then(|key| key.get(prefix_len..)).unwrap_or_default()) ^ turned_over;
        }
    }

    /// Puts the stream at a place of the order, which has moved ahead, where it belongs behind that place.
    #[inline]
    fn move_back(&mut self, mut at: usize) {
        while let Some(&[moved, next]) = self.order.get(at..).and_then(<[u16]>::first_chunk) {
            let is_behind = self.is_before(next, moved);
            let nearer = select_unpredictable(is_behind, next, moved);
            self.order[at] = nearer;
            self.order[at + 1] = moved ^ next ^ nearer;
            at += 1;
            // With two streams this is known without having looked at the keys.
            if at + 1 == self.order.len() || !is_behind {
                break;
            }
        }
    }

    fn put_in_order(&mut self) {
        let mut keys = self.streams.iter().filter_map(Stream::key);
        let first = keys.next().unwrap_or_default();
        let prefix_len = keys.fold(first.len(), |len, key| common_prefix_len(&first[..len], key));
        self.prefix.set(&first[..prefix_len]);
        self.heads.resize(self.streams.len(), 0);
        self.begin_heads(prefix_len);
        for stream in 0..self.streams.len() {
            if self.streams[stream].key().is_some() {
                let stream = stream as u16;
                let place = self.order.partition_point(|&other| self.is_before(other, stream));
                self.order.insert(place, stream);
            }
        }
    }
}
