//! [`Chain`]: which segment files form the log, judged by their headers alone.
//!
//! From the newest live segment downwards, numbers are without a hole and each header follows the one before; the chain
//! must reach down to the segment that holds the first record still needed. Older files that no longer fit are
//! left-overs: ignored, and removed by the next recycling. Files above the newest live segment are spare. A live segment
//! whose beginning turned to zeros looks the same but for its records: where nothing else says that there is none, the spare
//! files are read whole ([`Chain::survey_spares`]).
//!
//! The first spare may have a header that does not verify: a write of it that failed half way. That is no corruption if
//! the file holds no valid record, for records are written only after the header is synchronised. Since nobody can say
//! any more which LSNs it announced, the open leaves room for them.

use crate::files;
use crate::record::Place;
use crate::scan::survey;
use crate::segment::{self, NoSegment, RECORDS_START, SegmentHeader, VERSION};
use crate::{Error, Lsn, Result, WalOptions};
use halodb_vfs::{OpenMode, Vfs};
use std::path::Path;

/// The log's files.
#[derive(Debug)]
pub(crate) struct Chain {
    /// Headers of the live segments, oldest first; never empty.
    pub(crate) live: Vec<SegmentHeader>,
    /// Position in `live` of the first segment that is needed.
    pub(crate) needed: usize,
    /// Numbers of older files that do not belong to the chain, ascending.
    pub(crate) leftovers: Vec<u64>,
    /// Numbers and lengths of the prepared files, ascending from the newest live number + 1.
    pub(crate) spares: Vec<(u64, u64)>,
    /// The first spare file was about to be begun: its header is half written.
    pub(crate) half_begun: bool,
}

impl Chain {
    /// The newest live segment: the only one that may have a tail.
    pub(crate) fn newest(&self) -> &SegmentHeader {
        self.live.last().expect("a chain holds a segment")
    }
}

enum State {
    Live(SegmentHeader),
    /// Not begun: bytes of the file, and the number it bore before it was recycled, if it was.
    Spare(u64, Option<u64>),
    /// The header does not verify, for this reason.
    Damaged(Error),
    /// The header is that of a later segment: files only ever get higher names, so this one changed places with another.
    Misplaced(Error),
}

/// Reads the headers in `dir`.
pub(crate) fn read(vfs: &dyn Vfs, dir: &Path, options: &WalOptions, applied_min: Lsn) -> Result<Chain> {
    let numbers = files::list(vfs, dir)?;
    let mut spares = Vec::new();
    let mut live: Vec<SegmentHeader> = Vec::new();
    let mut leftovers = Vec::new();
    // Set when something older cannot be part of the chain.
    let mut ended = false;
    let mut damaged = None;
    let mut recycled = Vec::new();
    let reaches = |live: &[SegmentHeader]| live.last().is_some_and(|h| h.prev_last_lsn <= applied_min);

    for (i, &number) in numbers.iter().enumerate().rev() {
        let path = segment::path_of(dir, number);
        if ended {
            leftovers.push(number);
            continue;
        }
        let above = numbers.get(i + 1);
        if let Some(&above) = above.filter(|&&above| above != number + 1) {
            let missing = segment::path_of(dir, above - 1);
            if !reaches(&live) {
                return Err(Error::corrupt(&missing, 0, format!("the segment is missing, {above} is there")));
            }
            ended = true;
            leftovers.push(number);
            continue;
        }
        let state = state(vfs, &path, number, options);
        if let Ok(State::Misplaced(e)) = state {
            // Needed or not: what is in it is missing where it belongs.
            return Err(e);
        }
        let link = state.and_then(|state| match (state, live.last()) {
            (State::Spare(len, former), None) => {
                spares.push((number, len));
                recycled.extend(former.map(|former| (number, former)));
                Ok(None)
            }
            (State::Damaged(e), None) if damaged.is_none() => {
                spares.push((number, len_of(vfs, &path)?));
                damaged = Some((number, e));
                Ok(None)
            }
            (State::Damaged(e) | State::Misplaced(e), _) => Err(e),
            (State::Spare(..), Some(_)) => Err(Error::corrupt(&path, 0, "the segment's header is missing")),
            (State::Live(header), None) => Ok(Some(header)),
            (State::Live(header), Some(next)) => match next.follows(&header) {
                Ok(()) => Ok(Some(header)),
                Err(what) => Err(Error::corrupt(&path, 0, what)),
            },
        });
        match link {
            Ok(header) => live.extend(header),
            Err(e) if reaches(&live) && !matches!(e, Error::Io { .. }) => {
                ended = true;
                leftovers.push(number);
            }
            Err(e) => return Err(e),
        }
    }
    live.reverse();
    leftovers.reverse();
    spares.reverse();
    let Some(oldest) = live.first() else {
        return Err(Error::corrupt(dir, 0, "the directory holds no segment that was begun"));
    };
    let Some(needed) = live.iter().rposition(|h| h.prev_last_lsn <= applied_min) else {
        let path = segment::path_of(dir, oldest.number);
        let what = format!(
            "records {} to {} are needed and missing: the oldest segment starts after them",
            applied_min.0.saturating_add(1),
            oldest.prev_last_lsn
        );
        return Err(Error::corrupt(&path, 0, what));
    };
    // Only what is older than the whole chain is recycled: a segment of the chain, or one that follows it, under another name
    // is missing under its own, and with it everything that was acknowledged in it.
    if let Some(&(number, former)) = recycled.iter().find(|(_, former)| *former >= oldest.number) {
        let what = format!("the file of segment {former} stands under the name of segment {number}");
        return Err(Error::corrupt(&segment::path_of(dir, number), 0, what));
    }
    let half_begun = match damaged {
        Some((number, e)) if live.last().is_none_or(|newest| newest.number + 1 != number) => return Err(e),
        damaged => damaged.is_some(),
    };
    Ok(Chain { live, needed, leftovers, spares, half_begun })
}

impl Chain {
    /// Fails if a spare file is a live segment whose beginning turned to zeros: that looks the same but for its records.
    /// Reads all of them whole.
    pub(crate) fn survey_spares(&self, vfs: &dyn Vfs, dir: &Path, options: &WalOptions) -> Result<()> {
        for &(number, _) in &self.spares {
            // The header that does not verify, if there is one, is that of the first of them.
            let damaged = self.half_begun && number == self.newest().number + 1;
            let header = if damaged { "does not verify" } else { "is missing" };
            let path = segment::path_of(dir, number);
            survey_spare(vfs, &path, number, options, header, self.newest().prev_last_lsn)?;
        }
        Ok(())
    }
}

/// Judges one file by its first bytes.
fn state(vfs: &dyn Vfs, path: &Path, number: u64, options: &WalOptions) -> Result<State> {
    let file = vfs.open(path, OpenMode::Read).map_err(Error::io("open", path))?;
    let start = files::read_start(&*file, path, RECORDS_START)?;
    let header = match SegmentHeader::decode(&start) {
        Ok(header) => Some(header),
        Err(NoSegment::Empty) => None,
        Err(NoSegment::Short) => {
            return Err(Error::corrupt(path, 0, "the file is shorter than a segment's header"));
        }
        Err(NoSegment::Magic) => {
            let what = "the file does not start like a segment";
            return Ok(State::Damaged(Error::corrupt(path, 0, what)));
        }
        Err(NoSegment::Version(found)) => {
            return Err(Error::Version { path: path.to_owned(), found, supported: VERSION });
        }
        Err(NoSegment::Checksum) => {
            let what = "the segment's header does not verify";
            return Ok(State::Damaged(Error::corrupt(path, 0, what)));
        }
        Err(NoSegment::Field(what)) => {
            return Err(Error::corrupt(path, 0, format!("{what} in the segment's header makes no sense")));
        }
    };
    if let Some(h) = &header {
        identify(h, path, options)?;
        if h.number > number {
            let e = Error::corrupt(path, 0, format!("the header says that this is segment {}", h.number));
            return Ok(State::Misplaced(e));
        }
    }
    match header {
        Some(h) if h.number == number => Ok(State::Live(h)),
        former => Ok(State::Spare(file.len().map_err(Error::io("measure", path))?, former.map(|h| h.number))),
    }
}

/// Fails if a file without a header of its own holds a record, or a witness that records after `before` were there: they are
/// written only after the header is on the disk. Reads the whole file. `header` says what became of the header.
fn survey_spare(
    vfs: &dyn Vfs,
    path: &Path,
    number: u64,
    options: &WalOptions,
    header: &str,
    before: Lsn,
) -> Result<()> {
    let file = vfs.open(path, OpenMode::Read).map_err(Error::io("open", path))?;
    let bytes = files::read_start(&*file, path, u64::MAX)?;
    // From the very beginning, which may be a witness that strayed.
    let found = survey(&bytes, Place::new(&options.uuid, number), 0, before);
    if found.any || found.witnessed > 0 {
        return Err(Error::corrupt(path, 0, format!("the segment's header {header}, and records follow it")));
    }
    Ok(())
}

fn len_of(vfs: &dyn Vfs, path: &Path) -> Result<u64> {
    let file = vfs.open(path, OpenMode::Read).map_err(Error::io("open", path))?;
    file.len().map_err(Error::io("measure", path))
}

fn identify(header: &SegmentHeader, path: &Path, options: &WalOptions) -> Result<()> {
    let mismatch = |what| Err(Error::Mismatch { path: path.to_owned(), what });
    if header.uuid != options.uuid {
        return mismatch(format!("its uuid is {}, expected is {}", hex(&header.uuid), hex(&options.uuid)));
    }
    if header.incarnation != options.incarnation {
        return mismatch(format!("its incarnation is {}, expected is {}", header.incarnation, options.incarnation));
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
