//! `config`: looks at the configuration without opening the database.

use crate::args::Config as Command;
use crate::failure::{Failure, Result};
use crate::output::Format;
use crate::session::Session;
use halodb::config::{Config, Loaded};
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// `config check | show | explain | init`.
pub(crate) fn run(session: &mut Session, command: &Command, format: Format) -> Result<()> {
    match command {
        Command::Check => check(session, format),
        Command::Show { origin } => show(session, *origin, format),
        Command::Explain { key } => {
            let text = Config::explain(key)?;
            if format.is_json() {
                return session.out.line(json!({ "key": key, "text": text.trim_end() }).to_string());
            }
            session.out.line(text.trim_end())
        }
        Command::Init { path } => init(session, path),
    }
}

fn check(session: &mut Session, format: Format) -> Result<()> {
    let loaded = session.place.configuration()?;
    let file = loaded.file().map(|file| file.display().to_string());
    if format.is_json() {
        return session.out.line(json!({ "sound": true, "file": file }).to_string());
    }
    session.out.line(match file {
        Some(file) => format!("{file}: no mistakes"),
        None => {
            let directory = session.place.directory()?;
            format!("there is no halodb.toml in {}: the defaults are in force", directory.display())
        }
    })
}

fn show(session: &mut Session, origin: bool, format: Format) -> Result<()> {
    let loaded = session.place.configuration()?;
    if format.is_json() {
        return session.out.line(as_json(&loaded, origin).to_string());
    }
    let text = if origin { loaded.show_origins() } else { loaded.show() };
    session.out.line(text.trim_end())
}

fn as_json(loaded: &Loaded, with_origin: bool) -> Value {
    let settings = loaded.settings().map(|(option, value, origin)| {
        // Texts come with the quotes of TOML, which are those of JSON.
        let value = serde_json::from_str(&value).unwrap_or(Value::String(value));
        let shown = if with_origin { json!({ "value": value, "origin": origin.to_string() }) } else { value };
        (option.name(), shown)
    });
    Value::Object(settings.collect::<Map<String, Value>>())
}

fn init(session: &mut Session, path: &Path) -> Result<()> {
    let text = Config::annotated_example();
    if path.as_os_str() == "-" {
        return session.out.line(text.trim_end());
    }
    let written = File::create_new(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Failure::usage(format!("{} is there already", path.display()))
            .with_hint("name another file; this one is left as it is"),
        _ => Failure::file("write", path, &error),
    })?;
    session.out.line(format!("{} is written: every key commented out, with its default", path.display()))
}
