//! [`skim`]: the end of a log that was closed in order, found by the headers of its newest segment.
//!
//! An open after an orderly end needs no record that the trees have, and nothing that lies behind the end. So of those
//! records only the headers are read, in windows, and of what follows the close marker one block:
//!
//! ```text
//!   … record record record close-marker │ zeros … │ witness │ whatever the segment held before
//!                                       end       next block of 4 KiB
//! ```
//!
//! Between the marker and the beginning of the next block stand zeros, there stands the witness of the marker, and that proves that
//! nobody wrote behind it: the first group of whoever opens such a log begins at `end`, and up to the witness's place, which it takes, it is either
//! written as one or synchronised before anything of it that lies farther on is written ([`crate::buffer::Chunk::fenced`]). A loss of
//! power in it leaves other bytes in one of the two places, or nothing anywhere. Later groups are written when it is durable; to
//! forget it then takes damage to two blocks, since a marker that ends with its block is not taken.
//!
//! Whatever looks different in the least is left to `recover`, which reads all of the segment and can tell a tail from
//! corruption. Nothing is decided here but "closed in order, and this is what follows `applied`".

use crate::record::{BLOCK, HEADER_LEN, NoHeader, Place, RecordHeader, RecordKind, witness_offset};
use crate::recover::{End, Ending, Known, place};
use crate::scan::Walk;
use crate::segment::{RECORDS_START, SegmentHeader};
use crate::{Error, Result};
use halodb_vfs::{File, FileExt, OpenMode, Vfs, mutant};
use std::path::Path;

/// Bytes that are read at once where small records follow each other.
const WINDOW: usize = 64 << 10;
/// Bytes that are read behind a record that was larger than a window: of another such one the header is enough.
const GLANCE: usize = 4 << 10;
/// So many bytes of records that the trees do not have are the log's own marks; more are left to `recover`.
const KEPT: u64 = 64 << 10;

/// What `recover` would find in the newest segment, if the log was closed in order and nothing needs a closer look.
pub(crate) fn skim(vfs: &dyn Vfs, path: &Path, segment: &SegmentHeader, known: Known) -> Result<Option<Ending>> {
    let file = vfs.open(path, OpenMode::Read).map_err(Error::io("open", path))?;
    if file.len().map_err(Error::io("measure", path))? < segment.segment_len {
        return Ok(None);
    }
    let mut window = Window { file: &*file, path, end: segment.segment_len, start: 0, bytes: Vec::new(), far: false };
    let mut end = End {
        last: segment.prev_last_lsn,
        proven: segment.prev_last_lsn.max(known.synced),
        clean: false,
        dropped: None,
        offset: RECORDS_START,
        unproven: 0,
    };
    let mut kept = None;
    let mut due = segment.first_lsn;
    while let Ok(header) = window.header(place(segment), end.offset)?
        && header.kind != RecordKind::Witness
        && header.lsn == due
        // A planted fault takes the first orderly end for the last.
        && !(end.clean && mutant("wal.trust-old-marker"))
    {
        if header.lsn > known.applied_min && kept.is_none() {
            kept = Some((end.offset, due));
        }
        let Some(next) = due.0.checked_add(1) else { return Ok(None) };
        due.0 = next;
        end.proven = end.proven.max(header.synced);
        end.last = header.lsn;
        end.clean = header.kind == RecordKind::CleanClose;
        end.offset += header.record_len();
        if end.offset > segment.segment_len || kept.is_some_and(|(from, _)| end.offset - from > KEPT) {
            return Ok(None);
        }
    }
    let Some((from, first)) = kept.filter(|_| end.clean) else { return Ok(None) };
    if first.0 > end.proven.0.saturating_add(1) || end.proven > end.last || known.applied_max > end.last {
        return Ok(None);
    }
    if !end.has_room(segment) || !(window.ends_at(place(segment), &end)? || mutant("wal.trust-old-marker")) {
        return Ok(None);
    }
    let bytes = window.read(from, (end.offset - from) as usize)?.to_vec();
    let mut walk = Walk::part(&bytes, from, place(segment), from, first);
    end.unproven = end.offset;
    while walk.offset() < end.offset {
        let Ok(found) = walk.step() else { return Ok(None) };
        if found.header.lsn > end.proven {
            end.unproven = end.unproven.min(found.offset);
        }
    }
    Ok(Some(Ending { end, base: from, start: from, due: first, bytes }))
}

/// A part of the segment in memory.
struct Window<'f> {
    file: &'f dyn File,
    path: &'f Path,
    /// Bytes of the segment.
    end: u64,
    start: u64,
    bytes: Vec<u8>,
    /// The last record reached beyond the window.
    far: bool,
}

impl Window<'_> {
    /// The header at `offset`.
    fn header(&mut self, place: Place, offset: u64) -> Result<std::result::Result<RecordHeader, NoHeader>> {
        let within = |window: &Self| {
            let at = usize::try_from(offset.checked_sub(window.start)?).ok()?;
            window.bytes.get(at..at + HEADER_LEN).map(|_| at)
        };
        let at = match within(self) {
            Some(at) => at,
            None => {
                self.far = offset > self.start + self.bytes.len() as u64;
                self.read(offset, if self.far { GLANCE } else { WINDOW })?;
                0
            }
        };
        Ok(RecordHeader::decode(&self.bytes[at..], place, offset))
    }

    /// Moves to `offset`; fewer than `len` bytes where the segment ends.
    fn read(&mut self, offset: u64, len: usize) -> Result<&[u8]> {
        let len = self.end.saturating_sub(offset).min(len as u64) as usize;
        self.start = offset;
        self.bytes.resize(len, 0);
        self.file.read_exact_at(&mut self.bytes, offset).map_err(Error::io("read", self.path))?;
        Ok(&self.bytes)
    }

    /// Whether nothing was written behind the marker with which the log ends.
    fn ends_at(&mut self, place: Place, end: &End) -> Result<bool> {
        let at = witness_offset(end.offset);
        if at == end.offset {
            return Ok(false);
        }
        let gap = (at - end.offset) as usize;
        let bytes = self.read(end.offset, gap + HEADER_LEN)?;
        let Some((zeros, witness)) = bytes.split_at_checked(gap) else { return Ok(false) };
        let stands = RecordHeader::decode(witness, place, at)
            .is_ok_and(|header| header.kind == RecordKind::Witness && header.lsn == end.last);
        Ok(stands && zeros.iter().all(|&byte| byte == 0))
    }
}

const _: () = assert!(GLANCE >= HEADER_LEN && BLOCK as usize + HEADER_LEN <= WINDOW);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recover::read_newest;
    use crate::{Durability, Lsn, Wal, WalOptions, chain};
    use halodb_vfs::SimVfs;
    use halodb_vfs::sim::CrashMode;
    use std::sync::Arc;

    fn options() -> WalOptions {
        let lens = 64 << 10;
        WalOptions { segment_bytes: lens, first_segment_bytes: lens, ..WalOptions::new([7; 16], 1) }
    }

    fn dir() -> &'static Path {
        Path::new("/wal")
    }

    /// What is found by skimming, and what by reading everything.
    fn both(sim: &SimVfs, known: Known) -> (Option<End>, Result<End>) {
        let chain = chain::read(sim, dir(), &options(), known.applied_min).unwrap();
        let path = crate::segment::path_of(dir(), chain.newest().number);
        let skimmed = skim(sim, &path, chain.newest(), known).unwrap();
        let read = read_newest(sim, dir(), &options(), &chain, known, Vec::new());
        (skimmed.map(|ending| ending.end), read.map(|ending| ending.end))
    }

    fn open(sim: &SimVfs, known: Known) -> Wal {
        let each = &mut |_: crate::Record<'_>| Result::Ok(());
        Wal::recover(Arc::new(sim.clone()), dir(), options(), known, each).unwrap().into_wal().unwrap()
    }

    /// A log with commits of these lengths, closed in order.
    fn closed(payloads: &[usize]) -> SimVfs {
        let sim = SimVfs::new();
        sim.create_dir(dir()).unwrap();
        sim.sync_dir(Path::new("/")).unwrap();
        let wal = Wal::create(Arc::new(sim.clone()), dir(), options()).unwrap();
        for &len in payloads {
            wal.append(vec![1; len], 0, Durability::Memory).unwrap();
        }
        wal.close(0).unwrap();
        sim
    }

    fn applied(lsn: u64) -> Known {
        Known { applied_min: Lsn(lsn), applied_max: Lsn(lsn), synced: Lsn(lsn) }
    }

    #[test]
    fn a_log_that_was_closed_in_order_is_skimmed_and_says_the_same_as_all_of_it() {
        for (payloads, applied_to) in
            [(&[][..], 0), (&[10, 20, 30], 3), (&[10, 20, 30], 1), (&[9000, 3, 5000, 0], 4), (&[40_000], 1)]
        {
            let (skimmed, read) = both(&closed(payloads), applied(applied_to));
            assert_eq!(skimmed.as_ref(), Some(&read.unwrap()), "{payloads:?}");
        }
    }

    #[test]
    fn what_the_trees_have_is_passed_over_and_what_they_lack_is_verified() {
        let sim = closed(&[10, 9000, 3000]);
        let file = sim.open(&crate::segment::path_of(dir(), 1), OpenMode::ReadWrite).unwrap();
        let in_payload = |lsn: u64| {
            let ending = read_newest(
                &sim,
                dir(),
                &options(),
                &chain::read(&sim, dir(), &options(), Lsn(0)).unwrap(),
                Known::default(),
                Vec::new(),
            );
            let ending = ending.unwrap();
            let place = Place::new(&[7; 16], 1);
            let mut walk = Walk::part(&ending.bytes, 0, place, RECORDS_START, Lsn(1));
            std::iter::from_fn(|| walk.step().ok()).find(|found| found.header.lsn.0 == lsn).unwrap().offset + 60
        };
        let at = in_payload(2);
        file.write_all_at(&[9], at).unwrap();
        let (skimmed, read) = both(&sim, applied(3));
        assert!(skimmed.is_some() && read.is_err(), "nobody needs record 2");
        assert_eq!(both(&sim, applied(1)).0, None);
    }

    #[test]
    fn a_marker_that_ends_with_its_block_is_looked_at_more_closely() {
        // Two headers, the second one of the marker, and padding to the end of the block.
        let first = BLOCK as usize - RECORDS_START as usize - 2 * HEADER_LEN;
        let (skimmed, read) = both(&closed(&[first]), applied(1));
        assert!(skimmed.is_none() && read.unwrap().clean);
    }

    /// The story that skimming must not fall for: power is lost while the first group after an orderly end is on its way, its first
    /// sectors are lost, and later ones arrive. The number of what stands there is given out again, and one day a record ends just before it.
    #[test]
    fn after_a_loss_of_power_in_the_first_group_skimming_says_what_all_of_the_log_says_or_nothing() {
        let mut clean = 0;
        for (before, group) in [
            (&[10][..], &[100][..]),
            (&[10], &[3000, 3000]),
            (&[10], &[700, 700, 700, 700, 700, 700, 700, 700, 700, 700, 700]),
            (&[3300], &[200, 200, 200, 200]),
            (&[3400], &[5000, 100]),
            (&[3480], &[10, 10, 10]),
            (&[10], &[20_000, 100, 100, 30_000]),
        ] {
            let sim = closed(before);
            let known = applied(1);
            let wal = open(&sim, known);
            let from = sim.ops();
            let mut last = Lsn(0);
            for &len in group {
                let payload = crate::Payload::new(vec![2; len]);
                if !wal.sequence().fits(&payload) {
                    wal.make_room(payload.record_len()).unwrap();
                }
                last = wal.sequence().append(payload, 0, Durability::Sync).unwrap();
            }
            wal.wait(last, Durability::Sync).unwrap();
            for at in from..=sim.ops() {
                for seed in 0..if cfg!(debug_assertions) { 40 } else { 200 } {
                    for mode in [CrashMode::Ordered, CrashMode::Random, CrashMode::Adversarial] {
                        let image = sim.crash_image(at, mode, seed);
                        let (skimmed, read) = both(&image, known);
                        if let Some(skimmed) = skimmed {
                            clean += 1;
                            assert_eq!(skimmed, read.unwrap(), "{before:?} {group:?} {at} {mode:?} {seed}");
                        }
                    }
                }
            }
        }
        assert!(clean > 0, "some losses leave the log as it was closed");
    }
}
