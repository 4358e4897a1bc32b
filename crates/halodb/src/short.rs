//! [`Short`]: immutable bytes, on the stack if there are few of them: keys, and bounds of ranges.
//!
//! A scan gives out millions of keys, and most have less than forty bytes: an allocation for each would cost more than the
//! step that finds it. It does *not* know what the bytes mean.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Bytes that have room without an allocation. With it a `Short` takes five words.
const ROOM: usize = 38;

/// See the head of this file.
#[derive(Clone)]
pub(crate) enum Short {
    Inline { len: u8, bytes: [u8; ROOM] },
    Shared(Arc<[u8]>),
}

const _: () = assert!(size_of::<Short>() == 40);

impl Short {
    /// `first`, at most a few bytes, and the bytes behind it.
    pub(crate) fn joined(first: &[u8], rest: &[u8]) -> Self {
        let len = first.len() + rest.len();
        if len <= ROOM {
            let mut bytes = [0; ROOM];
            bytes[..first.len()].copy_from_slice(first);
            bytes[first.len()..len].copy_from_slice(rest);
            return Short::Inline { len: len as u8, bytes };
        }
        Short::Shared(first.iter().chain(rest).copied().collect())
    }
}

/// The first eight bytes as a number, zeros where there are fewer. Of two different heads the lesser one is that of the lesser
/// bytes.
#[inline]
pub(crate) fn head(bytes: &[u8]) -> u64 {
    let first = match bytes.first_chunk::<8>() {
        Some(first) => *first,
        None => {
            let mut first = [0; 8];
            first[..bytes.len()].copy_from_slice(bytes);
            first
        }
    };
    u64::from_le_bytes(first).swap_bytes()
}

impl From<&[u8]> for Short {
    #[inline]
    fn from(source: &[u8]) -> Self {
        if source.len() <= ROOM {
            let mut bytes = [0; ROOM];
            bytes[..source.len()].copy_from_slice(source);
            return Short::Inline { len: source.len() as u8, bytes };
        }
        Short::Shared(Arc::from(source))
    }
}

impl Deref for Short {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Short::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Short::Shared(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for Short {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Short {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Short {}

impl fmt::Debug for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_any_length_come_back() {
        for len in [0, 1, ROOM - 1, ROOM, ROOM + 1, 300] {
            let bytes: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let short = Short::from(&bytes[..]);
            assert_eq!(*short, bytes[..]);
            assert_eq!(matches!(short, Short::Inline { .. }), len <= ROOM);
            assert_eq!(short.clone(), short);
            let joined = Short::joined(&[9], &bytes);
            assert_eq!(*joined, [&[9], &bytes[..]].concat());
            assert_eq!(matches!(joined, Short::Inline { .. }), len < ROOM);
        }
    }
}
