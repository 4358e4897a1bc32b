//! [`Key`]: a key that an iterator gives out, owned. It does *not* contain the id of `space_id.rs`.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use crate::short::Short;

/// A key, owned: `'static`, cheap to clone, sends across threads. Compares, hashes and dereferences as its bytes. Keys up to
/// 38 bytes are not allocated.
///
/// ```
/// let key = halodb::Key::from("user/42");
/// assert!(key.starts_with(b"user/"));
/// assert_eq!(key, b"user/42");
/// ```
#[derive(Clone)]
pub struct Key {
    bytes: Short,
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
        Key { bytes: bytes.into() }
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

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // As the bytes do, which a map of keys is asked with.
        (**self).hash(state);
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
    fn keys_compare_and_hash_as_bytes_whatever_their_length() {
        let long = "k".repeat(39);
        let keys = [Key::from("a"), Key::from("b"), Key::from(&long[..38]), Key::from(&long[..])];
        assert!(keys.is_sorted());
        let set = std::collections::HashSet::from(keys.clone());
        assert!(keys.iter().all(|key| set.contains(&key[..])), "found by its bytes");
        assert_ne!(keys[2], keys[3]);
    }

    #[test]
    fn debug_shows_bytes_that_are_not_text() {
        assert_eq!(format!("{:?}", Key::from(&b"a\x00\xff\"\n"[..])), r#"b"a\x00\xff\"\n""#);
    }
}
