//! [`Sheet`]: names and what stands there, for people as aligned lines and for programs as a JSON object.

use crate::failure::Result;
use crate::output::{Out, base64_text, printable};
use serde_json::{Map, Value, json};

/// Bytes of a key or value that people see.
const SHOWN: usize = 60;

/// Lines in the order in which they are shown.
#[derive(Debug, Default)]
pub(super) struct Sheet(Vec<(&'static str, String, Value)>);

impl Sheet {
    /// Adds a line: what people see, and the value for programs.
    pub(super) fn add(&mut self, name: &'static str, shown: impl Into<String>, value: impl Into<Value>) {
        self.0.push((name, shown.into(), value.into()));
    }

    /// Adds a line that is the same for both.
    pub(super) fn add_text(&mut self, name: &'static str, text: impl Into<String>) {
        let text = text.into();
        self.add(name, text.clone(), text);
    }

    /// Writes the lines, each behind `indent`.
    pub(super) fn write(&self, out: &mut Out, indent: &str) -> Result<()> {
        // What programs get in milliseconds, people see as a date.
        let name_of = |name: &str| name.strip_suffix("_ms").unwrap_or(name).replace('_', " ");
        let width = self.0.iter().map(|(name, ..)| name_of(name).len()).max().unwrap_or(0);
        self.0.iter().try_for_each(|(name, shown, _)| {
            let name = name_of(name);
            out.line(format!("{indent}{name:<width$}  {shown}"))
        })
    }

    /// The object for programs.
    pub(super) fn into_json(self) -> Map<String, Value> {
        self.0.into_iter().map(|(name, _, value)| (name.to_owned(), value)).collect()
    }
}

/// The beginning of a key or value, in quotes.
pub(super) fn quoted(bytes: &[u8]) -> String {
    match bytes.get(..SHOWN) {
        Some(beginning) if bytes.len() > SHOWN => format!("\"{}\"…", printable(beginning)),
        _ => format!("\"{}\"", printable(bytes)),
    }
}

/// Bytes in an object for programs: as text under `name` where they are UTF-8, else in base64 under `name_b64`.
pub(super) fn insert_bytes(object: &mut Map<String, Value>, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => object.insert(name.to_owned(), json!(text)),
        Err(_) => object.insert(format!("{name}_b64"), json!(base64_text(bytes))),
    };
}
