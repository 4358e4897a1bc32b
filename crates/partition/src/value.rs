//! [`Value`]: the bytes of a value, owned by the caller.
//!
//! A value is copied, out of the mapping or out of a memtable, so that it pins neither; only a large one that is still in
//! a memtable is shared with it, as the memory it pins is not much more than its own. To read without a copy use
//! `get_with`.

use halodb_memtable::Bytes;
use std::fmt;
use std::ops::Deref;

/// An owned, immutable value: `'static`, cheap to send, reads as `&[u8]`.
#[derive(Clone)]
pub struct Value(Repr);

#[derive(Clone)]
enum Repr {
    Shared(Bytes),
    Owned(Box<[u8]>),
}

impl Value {
    /// Values up to this length are copied: a share of a memtable's memory would keep up to 1 MiB of it.
    pub(crate) const COPIED_BYTES: usize = 16 << 10;

    pub(crate) fn shared(bytes: Bytes) -> Self {
        Value(Repr::Shared(bytes))
    }

    pub(crate) fn copied(bytes: &[u8]) -> Self {
        Value(Repr::Owned(bytes.into()))
    }

    /// The bytes as a vector of one's own.
    pub fn into_vec(self) -> Vec<u8> {
        match self.0 {
            Repr::Shared(bytes) => bytes.to_vec(),
            Repr::Owned(bytes) => bytes.into_vec(),
        }
    }
}

impl From<&[u8]> for Value {
    /// Copies the bytes.
    fn from(bytes: &[u8]) -> Self {
        Value::copied(bytes)
    }
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Repr::Shared(bytes) => bytes,
            Repr::Owned(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl<T: AsRef<[u8]> + ?Sized> PartialEq<T> for Value {
    fn eq(&self, other: &T) -> bool {
        **self == *other.as_ref()
    }
}

impl Eq for Value {}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.escape_ascii())
    }
}
