//! What a child says to its parent: one line for each [`Word`], each one write to the pipe, so that none is cut in half.
//!
//! | line | meaning |
//! |---|---|
//! | `open` | the database is open |
//! | `held` | a thread stands inside the call that it was told to hold |
//! | `clearing` | nothing else is in flight, and the database is about to be cleared |
//! | `ack THREAD NUMBER LEVEL SEQ` | a write was answered; `SEQ` is 0 where the interface does not tell it |

use halodb::Durability;
use std::fmt;

/// An acknowledged write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The thread that wrote.
    pub thread: u64,
    /// The number of the write, from 1 in each thread.
    pub number: u64,
    /// How durable it was said to be.
    pub level: Durability,
    /// Its sequence number in the database; 0 if unknown.
    pub seq: u64,
}

/// A line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// The database is open.
    Open,
    /// A thread stands inside the call that it was told to hold.
    Held,
    /// The database is about to be cleared.
    Clearing,
    /// A write was answered.
    Ack(Ack),
}

const LEVELS: [(&str, Durability); 3] =
    [("memory", Durability::Memory), ("buffered", Durability::Buffered), ("sync", Durability::Sync)];

fn level_name(level: Durability) -> &'static str {
    LEVELS.iter().find(|(_, other)| *other == level).map_or("sync", |(name, _)| name)
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Word::Open => f.write_str("open"),
            Word::Held => f.write_str("held"),
            Word::Clearing => f.write_str("clearing"),
            Word::Ack(Ack { thread, number, level, seq }) => {
                write!(f, "ack {thread} {number} {} {seq}", level_name(*level))
            }
        }
    }
}

impl Word {
    /// The word of a line.
    ///
    /// # Errors
    /// The line, if it is none.
    pub fn parse(line: &str) -> Result<Word, String> {
        let wrong = || format!("the child said {line:?}");
        let ack = |rest: &str| {
            let mut parts = rest.split(' ');
            let mut number = || parts.next()?.parse::<u64>().ok();
            let (thread, write) = (number()?, number()?);
            let name = parts.next()?;
            let level = LEVELS.iter().find(|(other, _)| *other == name)?.1;
            let seq = parts.next()?.parse().ok()?;
            parts.next().is_none().then_some(Ack { thread, number: write, level, seq })
        };
        match line {
            "open" => Ok(Word::Open),
            "held" => Ok(Word::Held),
            "clearing" => Ok(Word::Clearing),
            _ => line.strip_prefix("ack ").and_then(ack).map(Word::Ack).ok_or_else(wrong),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_back_as_it_was_said() {
        let ack = |level| Word::Ack(Ack { thread: 2, number: 31, level, seq: 77 });
        let acks = LEVELS.map(|(_, level)| ack(level));
        for word in [Word::Open, Word::Held, Word::Clearing].iter().chain(&acks) {
            assert_eq!(Word::parse(&word.to_string()).as_ref(), Ok(word));
        }
    }

    #[test]
    fn other_lines_are_refused() {
        for line in ["", "opened", "ack", "ack 1 2 sync", "ack 1 2 often 3", "ack 1 2 sync 3 4", "ack x 2 sync 3"] {
            assert!(Word::parse(line).is_err(), "{line:?}");
        }
    }
}
