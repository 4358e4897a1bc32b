//! Values from the environment: `HALODB_SECTION__KEY`, the value bare (`64MiB`, `sync`).
//!
//! Every variable that begins with `HALODB_` and has two underscores is taken for an option, so that a misspelt one is
//! reported; others are not ours.

use super::accept::Raw;
use super::kind::{Fault, Kind};
use super::load::{Given, Reading};
use super::loaded::Origin;
use super::options::OPTIONS;
use super::problem::{Place, Problem};
use super::setting::Notation;
use super::suggest;

const PREFIX: &str = "HALODB_";

/// The variables of this process that configure HaloDB, for [`Config::load`](super::Config::load).
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok().filter(|name| name.starts_with(PREFIX))?;
        Some((name, value.to_string_lossy().into_owned()))
    })
}

pub(super) fn read(variables: impl Iterator<Item = (String, String)>) -> Reading {
    let mut reading = Reading::default();
    let mut variables: Vec<_> =
        variables.filter(|(name, _)| name.strip_prefix(PREFIX).is_some_and(|rest| rest.contains("__"))).collect();
    variables.sort();
    for (name, value) in variables {
        let place = Place::Variable { name: name.clone() };
        let Some(index) = OPTIONS.iter().position(|option| option.variable() == name) else {
            reading.problems.push(Problem::new(place, unknown(&name)));
            continue;
        };
        let option = &OPTIONS[index];
        // A replacement character is what bytes that are not UTF-8 became; a path with one would be another directory.
        let accepted = if matches!(option.kind, Kind::Path { .. }) && value.contains('\u{fffd}') {
            Err(Fault { message: format!("`{}` must be valid UTF-8", option.name()), hint: None })
        } else {
            option.accept(Raw::Text(&value), Notation::Bare)
        };
        match accepted {
            Ok(setting) => {
                reading.given.push(Given { index, setting, origin: Origin::Variable { name }, excerpt: None });
            }
            Err(fault) => {
                reading.faulty.push(index);
                reading.problems.push(Problem::new(place, fault));
            }
        }
    }
    reading
}

fn unknown(name: &str) -> Fault {
    let known: Vec<String> = OPTIONS.iter().map(|option| option.variable().to_lowercase()).collect();
    let hint = match suggest::closest(name, known.iter().map(String::as_str)) {
        Some(closest) => format!("did you mean {}?", closest.to_uppercase()),
        None => "`halodb config explain` lists the keys and their variables".to_owned(),
    };
    Fault { message: "no option has this variable".to_owned(), hint: Some(hint) }
}
