//! [`Damage`]: what can happen to the files of a database, how it is written on a command line, and how it is done.
//!
//! [`Catalogue`] numbers every damage to one disk, so that all of them can be done, or some be drawn.

use super::victim::Sources;
use crate::campaign::rng::Rng;
use halodb::vfs::{SimVfs, Vfs};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Bytes of the two units that devices lose or mix up.
pub(super) const UNITS: [u64; 2] = [512, 4096];

/// What is done to the victim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// One bit turns.
    Flip(PathBuf, u64),
    /// The file ends after so many bytes.
    Cut(PathBuf, u64),
    /// So many bytes from there on become zeros.
    Zero(PathBuf, u64, u64),
    /// So many bytes from there on are as they were in an earlier state of the file: a write that never arrived.
    Stale(PathBuf, u64, u64),
    /// Two stretches of so many bytes change places.
    Swap(PathBuf, u64, u64, u64),
    /// The whole file is as it was earlier.
    Old(PathBuf),
    /// The file is gone.
    Delete(PathBuf),
    /// The file is empty.
    Empty(PathBuf),
    /// The file is that of another database.
    Foreign(PathBuf),
    /// Two files change places.
    Exchange(PathBuf, PathBuf),
}

/// The forms a damage has on a command line.
pub(super) const SYNTAX: &str = "flip|cut:PATH:N, zero|stale:PATH:AT:LEN, swap:PATH:AT:OTHER:LEN, old|delete|empty|foreign:PATH, \
                          exchange:PATH:PATH";

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        let path = self.path().display();
        match self {
            Damage::Flip(_, n) | Damage::Cut(_, n) => write!(f, "{name}:{path}:{n}"),
            Damage::Zero(_, at, len) | Damage::Stale(_, at, len) => write!(f, "{name}:{path}:{at}:{len}"),
            Damage::Swap(_, at, other, len) => write!(f, "{name}:{path}:{at}:{other}:{len}"),
            Damage::Old(_) | Damage::Delete(_) | Damage::Empty(_) | Damage::Foreign(_) => write!(f, "{name}:{path}"),
            Damage::Exchange(_, other) => write!(f, "{name}:{path}:{}", other.display()),
        }
    }
}

impl std::str::FromStr for Damage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage = || format!("write the damage as {SYNTAX}");
        let words: Vec<&str> = text.split(':').collect();
        let number = |word: &str| word.parse::<u64>().map_err(|_| usage());
        Ok(match words[..] {
            ["flip", path, n] => Damage::Flip(path.into(), number(n)?),
            ["cut", path, n] => Damage::Cut(path.into(), number(n)?),
            ["zero", path, at, len] => Damage::Zero(path.into(), number(at)?, number(len)?),
            ["stale", path, at, len] => Damage::Stale(path.into(), number(at)?, number(len)?),
            ["swap", path, at, other, len] => Damage::Swap(path.into(), number(at)?, number(other)?, number(len)?),
            ["old", path] => Damage::Old(path.into()),
            ["delete", path] => Damage::Delete(path.into()),
            ["empty", path] => Damage::Empty(path.into()),
            ["foreign", path] => Damage::Foreign(path.into()),
            ["exchange", path, other] => Damage::Exchange(path.into(), other.into()),
            _ => return Err(usage()),
        })
    }
}

impl Damage {
    /// The name of its kind.
    pub fn name(&self) -> &'static str {
        match self {
            Damage::Flip(..) => "flip",
            Damage::Cut(..) => "cut",
            Damage::Zero(..) => "zero",
            Damage::Stale(..) => "stale",
            Damage::Swap(..) => "swap",
            Damage::Old(_) => "old",
            Damage::Delete(_) => "delete",
            Damage::Empty(_) => "empty",
            Damage::Foreign(_) => "foreign",
            Damage::Exchange(..) => "exchange",
        }
    }

    /// The file (of an exchange: the first one).
    pub fn path(&self) -> &Path {
        match self {
            Damage::Flip(path, _)
            | Damage::Cut(path, _)
            | Damage::Zero(path, ..)
            | Damage::Stale(path, ..)
            | Damage::Swap(path, ..)
            | Damage::Old(path)
            | Damage::Delete(path)
            | Damage::Empty(path)
            | Damage::Foreign(path)
            | Damage::Exchange(path, _) => path,
        }
    }

    /// Bytes of the block that it concerns; 0: something else than a block.
    fn unit(&self) -> u64 {
        match *self {
            Damage::Zero(_, _, len) | Damage::Stale(_, _, len) | Damage::Swap(_, _, _, len) => len,
            _ => 0,
        }
    }

    /// Whether it changes bytes of its file between `begin` and `end`.
    pub fn touches(&self, begin: u64, end: u64) -> bool {
        let overlaps = |at: u64, len: u64| at < end && at.saturating_add(len) > begin;
        match *self {
            Damage::Flip(_, bit) => overlaps(bit / 8, 1),
            Damage::Zero(_, at, len) | Damage::Stale(_, at, len) => overlaps(at, len),
            Damage::Swap(_, at, other, len) => overlaps(at, len) || overlaps(other, len),
            Damage::Cut(_, at) => end > at,
            _ => true,
        }
    }

    /// Whether it is confined to one of the two metas of a page file with pages of so many bytes.
    pub fn hits_one_meta(&self, page_size: u64) -> bool {
        let (begin, len) = match *self {
            Damage::Flip(_, bit) => (bit / 8, 1),
            Damage::Zero(_, at, len) => (at, len),
            _ => return false,
        };
        self.path().ends_with("tree.db")
            && begin + len <= 2 * page_size
            && begin / page_size == (begin + len - 1) / page_size
    }

    /// Does it to `disk`; `sources` holds what an older state and another database consist of.
    ///
    /// # Errors
    /// The damage does not fit the files.
    pub fn inflict(&self, disk: &SimVfs, sources: &Sources) -> io::Result<()> {
        let path = self.path();
        let edit = |change: &dyn Fn(&mut Vec<u8>) -> Option<()>| {
            let mut bytes = disk.read_file(path)?;
            change(&mut bytes).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
            disk.write_file(path, &bytes)
        };
        match self {
            Damage::Flip(_, bit) => disk.flip_bit(path, *bit),
            Damage::Cut(_, len) => edit(&|bytes| {
                bytes.truncate(*len as usize);
                Some(())
            }),
            Damage::Zero(_, at, len) => edit(&|bytes| {
                bytes.get_mut(range(*at, *len))?.fill(0);
                Some(())
            }),
            Damage::Stale(_, at, len) => {
                let older = sources.older.read_file(path)?;
                edit(&|bytes| {
                    bytes.get_mut(range(*at, *len))?.copy_from_slice(older.get(range(*at, *len))?);
                    Some(())
                })
            }
            Damage::Swap(_, at, other, len) => edit(&|bytes| {
                let (a, b) = (range(*at, *len), range(*other, *len));
                let first = bytes.get(a.clone())?.to_vec();
                let second = bytes.get(b.clone())?.to_vec();
                bytes[a].copy_from_slice(&second);
                bytes[b].copy_from_slice(&first);
                Some(())
            }),
            Damage::Old(_) => disk.write_file(path, &sources.older.read_file(path)?),
            Damage::Delete(_) => disk.remove_file(path),
            Damage::Empty(_) => disk.write_file(path, b""),
            Damage::Foreign(_) => disk.write_file(path, &sources.foreign.read_file(path)?),
            Damage::Exchange(_, other) => {
                let (first, second) = (disk.read_file(path)?, disk.read_file(other)?);
                disk.write_file(path, &second)?;
                disk.write_file(other, &first)
            }
        }
    }
}

fn range(at: u64, len: u64) -> std::ops::Range<usize> {
    at as usize..at.saturating_add(len) as usize
}

/// Every damage to the files of one disk, by number. What would change no byte is none.
#[derive(Debug)]
pub(super) struct Catalogue {
    /// Each file with its length in bits.
    flips: Vec<(PathBuf, u64)>,
    bits: u64,
    others: Vec<Damage>,
    /// By name and unit: places in `others`.
    kinds: BTreeMap<(&'static str, u64), Vec<usize>>,
}

impl Catalogue {
    /// Lists the damages to `files`.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) fn new(disk: &SimVfs, files: &[PathBuf], sources: &Sources) -> io::Result<Catalogue> {
        let mut catalogue = Catalogue { flips: Vec::new(), bits: 0, others: Vec::new(), kinds: BTreeMap::new() };
        for (number, path) in files.iter().enumerate() {
            let bytes = disk.read_file(path)?;
            catalogue.flips.push((path.clone(), 8 * bytes.len() as u64));
            catalogue.bits += 8 * bytes.len() as u64;
            let others = &mut catalogue.others;
            others.extend(cuts(&bytes).map(|len| Damage::Cut(path.clone(), len)));
            let older = sources.older.read_file(path).ok();
            for unit in UNITS {
                others.extend(blocks(path, &bytes, older.as_deref(), unit));
            }
            others.extend([Damage::Delete(path.clone()), Damage::Empty(path.clone())]);
            if older.is_some_and(|older| older != bytes) {
                others.push(Damage::Old(path.clone()));
            }
            if sources.foreign.read_file(path).is_ok_and(|foreign| foreign != bytes) {
                others.push(Damage::Foreign(path.clone()));
            }
            let later = files[number + 1..].iter();
            others.extend(later.map(|other| Damage::Exchange(path.clone(), other.clone())));
        }
        for (place, damage) in catalogue.others.iter().enumerate() {
            catalogue.kinds.entry((damage.name(), damage.unit())).or_default().push(place);
        }
        Ok(catalogue)
    }

    /// Number of bits of all files: the first so many damages turn one each.
    pub(super) fn bits(&self) -> u64 {
        self.bits
    }

    /// Number of damages.
    pub(super) fn len(&self) -> u64 {
        self.bits + self.others.len() as u64
    }

    /// Damage number `index`, which must be below [`Catalogue::len`].
    pub(super) fn damage(&self, index: u64) -> Damage {
        let mut bit = index;
        for (path, bits) in &self.flips {
            if bit < *bits {
                return Damage::Flip(path.clone(), bit);
            }
            bit -= bits;
        }
        self.others[bit as usize].clone()
    }

    /// A damage that is no flip. Its kind and unit are drawn first: some have few members, and those matter most.
    pub(super) fn other(&self, rng: &mut Rng) -> Damage {
        let kinds: Vec<_> = self.kinds.values().collect();
        let members = kinds[rng.below(kinds.len() as u64) as usize];
        self.others[members[rng.below(members.len() as u64) as usize]].clone()
    }
}

/// All lengths below the present one; inside long stretches of zeros every 64th.
fn cuts(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    const NEAR: usize = 32;
    (0..bytes.len())
        .filter(|&len| {
            let near = &bytes[len.saturating_sub(NEAR)..(len + NEAR).min(bytes.len())];
            len % 64 == 0 || near.iter().any(|byte| *byte != 0)
        })
        .map(|len| len as u64)
}

/// Each unit zeroed, as it was in an older state, and swapped with each other unit of the file.
fn blocks(path: &Path, bytes: &[u8], older: Option<&[u8]>, unit: u64) -> Vec<Damage> {
    let mut damages = Vec::new();
    let units: Vec<(u64, &[u8])> =
        bytes.chunks_exact(unit as usize).enumerate().map(|(i, b)| (i as u64 * unit, b)).collect();
    for (number, &(at, block)) in units.iter().enumerate() {
        if block.iter().any(|byte| *byte != 0) {
            damages.push(Damage::Zero(path.to_path_buf(), at, unit));
        }
        if older.and_then(|older| older.get(range(at, unit))).is_some_and(|older| older != block) {
            damages.push(Damage::Stale(path.to_path_buf(), at, unit));
        }
        let different = units[number + 1..].iter().filter(|(_, other)| *other != block);
        damages.extend(different.map(|(other, _)| Damage::Swap(path.to_path_buf(), at, *other, unit)));
    }
    damages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damage_is_written_as_it_is_read() {
        for text in [
            "flip:data/wal/0000000001.log:17",
            "cut:data/MANIFEST:0",
            "zero:p:512:4096",
            "stale:p:0:512",
            "swap:p:0:512:512",
            "old:p",
            "delete:p",
            "empty:p",
            "foreign:p",
            "exchange:p:q",
        ] {
            assert_eq!(text.parse::<Damage>().unwrap().to_string(), text);
        }
        assert!("bend:x:1".parse::<Damage>().is_err());
        assert!("flip:x".parse::<Damage>().is_err());
    }

    #[test]
    fn cuts_leave_out_nothing_but_the_inside_of_zeros() {
        let mut bytes = vec![0; 1024];
        bytes[500] = 1;
        let found: Vec<u64> = cuts(&bytes).collect();
        assert!((480..530).all(|len| found.contains(&len)));
        assert!(found.contains(&0) && found.contains(&960) && !found.contains(&700));
    }
}
