//! Fuzz targets: for every decoder of bytes that come from a disk or from a person, and for opening whole files.
//!
//! A target is a plain function from bytes to a [`Verdict`] that panics when it sees something that must not be. So the same
//! function is driven by libFuzzer (`src/main.rs`), which looks for new inputs, and by an ordinary test, which replays
//! the inputs in `corpus/`.
//!
//! Random bytes end at the first checksum. Most targets therefore read a first byte of flags from the input, one of which
//! makes them *seal* the rest: put in the checksum that belongs there ([`seal`], written from the documented formats and
//! not with the engine's code). Whole files are not made of input at all: a valid one is built once, and the input is a list
//! of [`patch`]es to it.
//!
//! What the targets demand beyond "no panic": what is accepted encodes to the same bytes again, searches agree with the
//! keys they search, damage without a checksum put right never gives other data.

pub mod input;
pub mod patch;
pub mod seal;
mod targets;

/// What a target did with an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The bytes are what the decoder reads.
    Accepted,
    /// They were refused with an error.
    Refused,
}

impl Verdict {
    /// Of a decoder's answer.
    pub fn of<T, E>(answer: &Result<T, E>) -> Verdict {
        if answer.is_ok() { Verdict::Accepted } else { Verdict::Refused }
    }
}

/// One target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, on the command line and in `corpus/`.
    pub name: &'static str,
    /// Longest input that libFuzzer makes, in bytes.
    pub max_len: usize,
    /// Runs one input.
    ///
    /// # Panics
    /// If it finds what must not be.
    pub run: fn(&[u8]) -> Verdict,
    /// The inputs to begin with, by name.
    pub seeds: fn() -> Vec<(&'static str, Vec<u8>)>,
}

/// All targets: decoders of one structure first, whole files last.
pub const TARGETS: &[Target] = &[
    targets::wal::RECORD,
    targets::wal::SEGMENT,
    targets::pager::META,
    targets::pager::ONE_PAGE,
    targets::pager::FREE_LIST,
    targets::btree::LEAF,
    targets::btree::BRANCH,
    targets::btree::FILTER,
    targets::btree::OVERFLOW,
    targets::small::BLOOM,
    targets::small::MANIFEST,
    targets::small::BATCH,
    targets::small::CONFIG,
    targets::shell::WORDS,
    targets::log_files::LOG_FILES,
    targets::page_file::PAGE_FILE,
    targets::tree_file::TREE_FILE,
    targets::database::DATABASE,
];

/// The target of that name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_of_each_target_hold_inputs_that_are_accepted_and_inputs_that_are_refused() {
        for target in TARGETS {
            let verdicts: Vec<_> = (target.seeds)().iter().map(|(name, seed)| (*name, (target.run)(seed))).collect();
            for expected in [Verdict::Accepted, Verdict::Refused] {
                let some = verdicts.iter().any(|(_, verdict)| *verdict == expected);
                assert!(some, "no seed of {} is {expected:?}: {verdicts:?}", target.name);
            }
        }
    }
}
