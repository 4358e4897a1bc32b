//! [`Key`]: a key that an iterator gives out, owned. It does *not* contain the keyspace prefix of `keyspace.rs`.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A key, owned: `'static`, cheap to clone, sends across threads. Compares, hashes and dereferences as its bytes.
///
/// ```
/// let key = halodb::Key::from("user/42");
/// assert!(key.starts_with(b"user/"));
/// assert_eq!(key, b"user/42");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    bytes: Arc<[u8]>,
}

impl Deref for Key {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.bytes
    }
}

impl From<&[u8]> for Key {
    fn from(bytes: &[u8]) -> Self {
        Key { bytes: Arc::from(bytes) }
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

impl From<Key> for Vec<u8> {
    fn from(key: Key) -> Self {
        key.to_vec()
    }
}

impl PartialEq<[u8]> for Key {
    fn eq(&self, other: &[u8]) -> bool {
        **self == *other
    }
}

impl PartialEq<&[u8]> for Key {
    fn eq(&self, other: &&[u8]) -> bool {
        **self == **other
    }
}

impl<const N: usize> PartialEq<&[u8; N]> for Key {
    fn eq(&self, other: &&[u8; N]) -> bool {
        **self == other[..]
    }
}

impl fmt::Debug for Key {
    /// As a byte string, unprintable bytes escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_map_of_keys_is_searched_by_bytes() {
        let map = BTreeMap::from([(Key::from("a"), 1), (Key::from("b"), 2)]);
        assert_eq!(map.get(&b"b"[..]), Some(&2));
    }

    #[test]
    fn debug_shows_bytes_that_are_not_text() {
        assert_eq!(format!("{:?}", Key::from(&b"a\x00\xff\"\n"[..])), r#"b"a\x00\xff\"\n""#);
    }
}
