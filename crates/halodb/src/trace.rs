//! Events for the `tracing` feature; without it they compile to nothing.
//!
//! No event carries a key or a value.

/// Emits an event at a level: `event!(WARN, field = value, "message")`.
macro_rules! event {
    ($level:ident, $($rest:tt)+) => {
        #[cfg(feature = "tracing")]
        tracing::event!(tracing::Level::$level, $($rest)+);
    };
}
pub(crate) use event;
