//! [`Value`]: the bytes of a value, owned by the caller.
//!
//! A value that is still in a memtable is shared with it; one that comes from a tree is copied out of the mapping, so
//! that it pins nothing. To read without a copy use `get_with`.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// An owned, immutable value: `'static`, cheap to send, reads as `&[u8]`.
#[derive(Clone)]
pub struct Value(Repr);

#[derive(Clone)]
enum Repr {
    Shared(Arc<[u8]>),
    Owned(Box<[u8]>),
}

impl Value {
    pub(crate) fn shared(bytes: Arc<[u8]>) -> Self {
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
