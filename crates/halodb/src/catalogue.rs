//! The catalogue: which keyspaces there are. Ordinary stored keys behind the id `00`, changed by ordinary batches.
//!
//! ```text
//! stored key             value
//! 00 01                  number of the next keyspace, u32       absent: 2, none was ever created
//! 00 02 name             number of the keyspace, u32            one entry for each keyspace
//! 00 03 id               name                                   its counterpart
//! ```
//!
//! Numbers are little-endian; the id is what stands in front of the keyspace's keys. A name is UTF-8 of 1 to 255 bytes without
//! control characters.
//!
//! Invariants: the two entries of a keyspace are written and removed in one record, removal together with the range delete
//! of its keys. The next number only grows, so no number is ever used twice, and what an interrupted or late write leaves
//! under a dropped one is never seen again.
//!
//! The entries are spread over the partitions by their hash, as all keys are: one record changes them together wherever they
//! are, so a place of their own would buy nothing. This file takes no lock and writes nothing; `db/keyspaces.rs` does.

use halodb_partition::{self as partition, Batch};
use halodb_vfs::mutant;

use crate::short::Short;
use crate::space_id::{MAX_NUMBER, SpaceId};
use crate::{Error, ErrorKind, Result};

pub(crate) const NEXT: &[u8] = &[0x00, 0x01];
const BY_NAME: &[u8] = &[0x00, 0x02];
const BY_ID: &[u8] = &[0x00, 0x03];

/// Number of the first named keyspace.
const FIRST: u32 = SpaceId::DEFAULT + 1;

/// Longest name in bytes.
const MAX_NAME: usize = 255;

const _: () = assert!(SpaceId::CATALOGUE == 0 && NEXT[0] == 0 && BY_NAME[0] == 0 && BY_ID[0] == 0);

/// The stored key under which a keyspace's id has its name. Present exactly as long as the keyspace is there.
pub(crate) fn entry_of(id: SpaceId) -> Short {
    Short::joined(BY_ID, id.prefix())
}

/// The stored key under which a name has its number.
pub(crate) fn key_of(name: &str) -> Short {
    Short::joined(BY_NAME, name.as_bytes())
}

/// Checks a name.
///
/// # Errors
/// `InvalidInput`.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let len = name.len();
    if (1..=MAX_NAME).contains(&len) && !name.chars().any(char::is_control) {
        return Ok(());
    }
    let what = match len {
        0 => "is empty".to_owned(),
        _ if len > MAX_NAME => format!("has {len} bytes"),
        _ => "has control characters".to_owned(),
    };
    Err(Error::new(
        ErrorKind::InvalidInput,
        format!("the name of the keyspace {what}; it has 1 to {MAX_NAME} bytes of text"),
    ))
}

/// The number of a keyspace, if there is one of that name.
pub(crate) fn find(view: &partition::Snapshot, name: &str) -> Result<Option<u32>> {
    view.get_with(&key_of(name), number)?.transpose()
}

/// Names of the keyspaces that are there, in order.
pub(crate) fn names(view: partition::Snapshot) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let mut cursor = view.into_cursor();
    cursor.seek(BY_NAME)?;
    while let Some(name) = cursor.key().and_then(|key| key.strip_prefix(BY_NAME)) {
        let name = std::str::from_utf8(name).map_err(|_| corrupt("a name that is no text"))?;
        names.push(name.to_owned());
        cursor.next()?;
    }
    Ok(names)
}

/// The number that the next keyspace gets: that of the counter, unless it is in use after all. `any` is the id of another one.
///
/// # Errors
/// `InvalidInput` if all are used up: half a billion keyspaces were created.
pub(crate) fn next(view: &partition::Snapshot, any: SpaceId) -> Result<u32> {
    // A planted fault takes the first number that no keyspace has now.
    if mutant("halodb.keyspace-number-reused") {
        let is_free = |n: &u32| matches!(view.get_with(&entry_of(any.sibling(*n)), |_| ()), Ok(None));
        return Ok((FIRST..=MAX_NUMBER).find(is_free).unwrap_or(MAX_NUMBER));
    }
    let mut next = view.get_with(NEXT, number)?.transpose()?.unwrap_or(FIRST);
    // What was salvaged from a damaged database may have lost the counter, or a keyspace's entries and not its keys.
    while next <= MAX_NUMBER && is_taken(view, any.sibling(next))? {
        next += 1;
    }
    if next <= MAX_NUMBER {
        return Ok(next);
    }
    Err(Error::new(ErrorKind::InvalidInput, "the numbers of keyspaces are used up: none can be created"))
}

/// Whether an id has an entry, or keys.
fn is_taken(view: &partition::Snapshot, id: SpaceId) -> Result<bool> {
    if view.get_with(&entry_of(id), |_| ())?.is_some() {
        return Ok(true);
    }
    let mut cursor = view.cursor();
    cursor.seek(&id.start())?;
    Ok(cursor.key().is_some_and(|key| key < &id.end()[..]))
}

/// The writes that create a keyspace.
pub(crate) fn creation(name: &str, number: u32, id: SpaceId) -> Batch {
    let mut batch = Batch::new();
    batch.put(NEXT, &(number + 1).to_le_bytes());
    batch.put(&key_of(name), &number.to_le_bytes());
    batch.put(&entry_of(id), name.as_bytes());
    batch
}

/// The writes that remove a keyspace and what is in it.
pub(crate) fn removal(name: &str, id: SpaceId) -> Batch {
    let mut batch = Batch::new();
    // A planted fault forgets the keys.
    if !mutant("halodb.drop-leaves-keys") {
        batch.delete_range(&id.start(), Some(&id.end()));
    }
    batch.delete(&key_of(name));
    batch.delete(&entry_of(id));
    batch
}

fn number(value: &[u8]) -> Result<u32> {
    match value.try_into().map(u32::from_le_bytes) {
        Ok(number) if number >= FIRST => Ok(number),
        _ => Err(corrupt("a number that is none")),
    }
}

fn corrupt(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the catalogue of keyspaces holds {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use halodb_partition::Op;

    #[test]
    fn names_have_1_to_255_bytes_of_text() {
        for name in ["a", "default", "with blank", "ключ", &"n".repeat(255)] {
            check_name(name).expect("a good name");
        }
        for (name, expected) in [
            ("", "the name of the keyspace is empty; it has 1 to 255 bytes of text"),
            (&*"n".repeat(256), "the name of the keyspace has 256 bytes; it has 1 to 255 bytes of text"),
            ("a\nb", "the name of the keyspace has control characters; it has 1 to 255 bytes of text"),
        ] {
            let error = check_name(name).unwrap_err();
            assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::InvalidInput, expected));
        }
    }

    /// The batch whose payload is this dump.
    fn batch_of(dump: &str) -> Batch {
        let bytes = dump.lines().flat_map(|line| line.split_whitespace().skip(1));
        let payload: Vec<u8> = bytes.map(|byte| u8::from_str_radix(byte, 16).expect("a dump")).collect();
        let mut batch = Batch::new();
        for op in partition::decode(&payload).expect("a payload") {
            match op {
                Op::Put(key, value) => batch.put(key, value),
                Op::PutUntil(key, value, at_ms) => batch.put_until(key, value, at_ms),
                Op::Delete(key) => batch.delete(key),
                Op::DeleteRange(start, end) => batch.delete_range(start, end),
            }
        }
        batch
    }

    /// The bytes that `docs/format/catalogue.md` shows.
    #[test]
    fn a_keyspace_is_created_and_dropped_by_the_records_that_are_documented() {
        let id = SpaceId::new(2, 4096);
        assert_eq!((&entry_of(id)[..], &key_of("users")[..]), (&[0x00, 0x03, 0x02][..], &b"\x00\x02users"[..]));
        let created = batch_of(include_str!("../testdata/keyspace_created.hex"));
        assert_eq!(format!("{:?}", creation("users", 2, id)), format!("{created:?}"));
        let dropped = batch_of(include_str!("../testdata/keyspace_dropped.hex"));
        assert_eq!(format!("{:?}", removal("users", id)), format!("{dropped:?}"));
    }

    #[test]
    fn what_is_no_number_is_corrupt() {
        for value in [&[][..], &[2, 0, 0], &[2, 0, 0, 0, 0], &[1, 0, 0, 0]] {
            assert_eq!(number(value).unwrap_err().kind(), ErrorKind::Corrupt, "{value:?}");
        }
    }
}
