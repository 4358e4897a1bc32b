//! What goes into a write beside key and value, and what comes out: [`WriteOptions`], [`Condition`], [`Commit`], [`Cas`],
//! [`Update`].

use halodb_partition::Value;
use halodb_wal::Durability;

/// The answer to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Commit {
    /// Sequence number of the write, for [`Db::wait_durable`](crate::Db::wait_durable). Numbers grow with every write;
    /// they are contiguous but for gaps after a crash.
    pub seq: u64,
}

/// Durability and condition of one [`put_with`](crate::Keyspace::put_with).
///
/// ```
/// use halodb::{Condition, Durability, WriteOptions};
/// let options = WriteOptions::new().durability(Durability::Buffered).condition(Condition::IfAbsent);
/// assert_eq!(options.condition, Condition::IfAbsent);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriteOptions {
    /// How durable the write is when it is answered. `None`: as the database was opened
    /// ([`Builder::durability`](crate::Builder::durability)).
    pub durability: Option<Durability>,
    /// When the write applies.
    pub condition: Condition,
}

impl WriteOptions {
    /// The database's durability, no condition.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the durability.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = Some(durability);
        self
    }

    /// Sets the condition.
    #[must_use]
    pub fn condition(mut self, condition: Condition) -> Self {
        self.condition = condition;
        self
    }
}

/// When a put applies. Checked and written as one step: no other write comes between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Always.
    #[default]
    Always,
    /// Only if the key is absent.
    IfAbsent,
    /// Only if the key is present.
    IfPresent,
}

/// The answer of [`compare_and_swap`](crate::Keyspace::compare_and_swap).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cas {
    /// The value was the expected one, and is the new one.
    Swapped,
    /// The value is another one; nothing was written.
    Mismatch {
        /// The value that the key has; `None`: it is absent.
        current: Option<Value>,
    },
}

/// The answer of [`update`](crate::Keyspace::update): the value before and after, `None` where the key is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The value just before.
    pub before: Option<Value>,
    /// The value that was written, or that was left if it is the same.
    pub after: Option<Value>,
}
