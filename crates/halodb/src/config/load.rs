//! Brings the sources together, the later the stronger: defaults, file, environment. (The program comes last, by
//! [`Loaded::change`].)
//!
//! The file is the one given, else [`FILE_NAME`] inside the database's directory, never one in the current directory.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::FILE_NAME;
use super::env;
use super::excerpt::{Excerpt, Lines};
use super::kind::Fault;
use super::loaded::{Loaded, Origin};
use super::options::{Config, OPTIONS};
use super::problem::{ConfigErrors, Place, Problem};
use super::setting::{Notation, Setting, quote};
use super::validate::{self, Contradiction};

/// A file beyond this size is no configuration.
const MAX_FILE_BYTES: u64 = 64 << 10;

/// One value that a source gave.
pub(super) struct Given {
    /// In `OPTIONS`.
    pub(super) index: usize,
    pub(super) setting: Setting,
    pub(super) origin: Origin,
    /// The value's place, if it stands in a file.
    pub(super) excerpt: Option<Excerpt>,
}

/// What a source gave, and what is wrong with it.
#[derive(Default)]
pub(super) struct Reading {
    pub(super) given: Vec<Given>,
    /// Options whose value is wrong: nothing more is said about them.
    pub(super) faulty: Vec<usize>,
    pub(super) problems: Vec<Problem>,
}

impl Config {
    /// The configuration of the database in `db_dir`: defaults, then `explicit_file` (else `halodb.toml` in `db_dir`, if
    /// there is one), then the environment. `environment` is usually [`environment`](super::environment)`()`.
    ///
    /// `database.path` of the result is `db_dir`.
    ///
    /// # Errors
    ///
    /// All problems of all sources.
    ///
    /// ```
    /// use std::path::Path;
    /// use halodb::config::{Config, Origin};
    ///
    /// let environment = [("HALODB_WAL__INTERVAL".to_owned(), "20ms".to_owned())];
    /// let loaded = Config::load(None, Path::new("no/such/directory"), environment.into_iter()).unwrap();
    /// assert_eq!(loaded.config().wal.interval.as_millis(), 20);
    /// assert_eq!(loaded.config().wal.limit, 64 << 20);
    /// ```
    pub fn load(
        explicit_file: Option<&Path>,
        db_dir: &Path,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Loaded, ConfigErrors> {
        let own_file = db_dir.join(FILE_NAME);
        let (file, mut reading) = match explicit_file {
            Some(file) => (Some(file), read_file(file)),
            None => match read_bytes(&own_file) {
                // Whether the directory is one, and holds a database, is not for us to say.
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                    (None, Reading::default())
                }
                bytes => {
                    let mut reading = read_outcome(&own_file, bytes);
                    refuse_to_move(&own_file, &mut reading, db_dir);
                    (Some(own_file.as_path()), reading)
                }
            },
        };
        let file = file.map(Path::to_owned);
        let mut problems = std::mem::take(&mut reading.problems);
        let mut from_environment = env::read(environment);
        problems.append(&mut from_environment.problems);
        let mut loaded = combine([reading, from_environment], &mut problems);
        loaded.file = file;
        if loaded.config.database.path != db_dir {
            db_dir.clone_into(&mut loaded.config.database.path);
            loaded.origins[path_index()] = Origin::Program;
        }
        ConfigErrors::unless_empty(problems, loaded)
    }

    /// Where the database is when the program did not say: `HALODB_DATABASE__PATH`, else `database.path` of the explicit
    /// file, else `data` in the current directory.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or one of the two is no path. Everything else wrong with them is left to
    /// [`load`](Self::load).
    pub fn directory(
        explicit_file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<PathBuf, ConfigErrors> {
        let from_file = explicit_file.map(read_file).unwrap_or_default();
        let from_environment = env::read(environment);
        let readings = [from_file, from_environment];
        let unreadable = readings[0].problems.iter().any(|problem| problem.line().is_none());
        if unreadable || readings.iter().any(|reading| reading.faulty.contains(&path_index())) {
            let problems = readings.into_iter().flat_map(|reading| reading.problems).collect();
            return ConfigErrors::unless_empty(problems, PathBuf::new());
        }
        Ok(combine(readings, &mut Vec::new()).config.database.path)
    }

    /// Checks a file by itself, over the defaults.
    ///
    /// # Errors
    ///
    /// If it cannot be read, and all that is wrong with it.
    pub fn check_file(file: &Path) -> Result<Config, ConfigErrors> {
        check(read_file(file))
    }

    /// Checks the text of a file by itself, over the defaults. The name is for the errors, and its parent is what relative
    /// paths are relative to; nothing is read.
    ///
    /// # Errors
    ///
    /// All that is wrong with it.
    pub fn check_text(file_name: impl AsRef<Path>, text: &str) -> Result<Config, ConfigErrors> {
        check(read_text(file_name.as_ref(), text))
    }
}

fn check(mut reading: Reading) -> Result<Config, ConfigErrors> {
    let mut problems = std::mem::take(&mut reading.problems);
    let loaded = combine([reading], &mut problems);
    ConfigErrors::unless_empty(problems, loaded.config)
}

fn path_index() -> usize {
    OPTIONS
        .iter()
        .position(|option| (option.section, option.key) == ("database", "path"))
        .expect("the list has database.path")
}

/// The values of the sources over the defaults, later sources over earlier ones; contradictions are reported at the value
/// that was set last.
fn combine<const N: usize>(readings: [Reading; N], problems: &mut Vec<Problem>) -> Loaded {
    let mut loaded = Loaded::default();
    let mut excerpts: Vec<Option<Excerpt>> = vec![None; OPTIONS.len()];
    let mut faulty = Vec::new();
    for reading in readings {
        for Given { index, setting, origin, excerpt } in reading.given {
            OPTIONS[index].set(&mut loaded.config, setting);
            loaded.origins[index] = origin;
            excerpts[index] = excerpt;
        }
        faulty.extend(reading.faulty);
    }
    for notation in [Notation::Toml, Notation::Bare] {
        for Contradiction { options, fault } in validate::contradictions(&loaded.config, notation) {
            let indices = OPTIONS.iter().enumerate().filter(|(_, option)| options.contains(&&*option.name()));
            let indices: Vec<usize> = indices.map(|(index, _)| index).collect();
            let Some(&last) = indices.iter().max_by_key(|&&index| rank(&loaded.origins[index])) else {
                continue;
            };
            if indices.iter().any(|index| faulty.contains(index)) {
                continue;
            }
            match (&loaded.origins[last], &excerpts[last]) {
                (Origin::File { file, .. }, Some(excerpt)) if notation == Notation::Toml => {
                    problems.push(Problem::in_file(file, excerpt.clone(), fault));
                }
                (Origin::Variable { name }, _) if notation == Notation::Bare => {
                    problems.push(Problem::new(Place::Variable { name: name.clone() }, fault));
                }
                _ => {}
            }
        }
    }
    loaded
}

/// Order of the sources, and of places in one file.
fn rank(origin: &Origin) -> (u32, u32, u32) {
    match origin {
        Origin::Default => (0, 0, 0),
        Origin::File { line, column, .. } => (1, *line, *column),
        Origin::Variable { .. } => (2, 0, 0),
        Origin::Program => (3, 0, 0),
    }
}

/// A database's own file is found through the directory, so it cannot name another one.
fn refuse_to_move(file: &Path, reading: &mut Reading, db_dir: &Path) {
    let path = Setting::Path(db_dir.to_owned());
    let elsewhere = reading.given.iter().position(|given| given.index == path_index() && given.setting != path);
    let Some(given) = elsewhere.map(|position| reading.given.swap_remove(position)) else {
        return;
    };
    let Some(excerpt) = given.excerpt else { return };
    let fault = Fault {
        message: format!(
            "`database.path` is {}, but this file lies in the database's directory {}",
            given.setting.render(Notation::Toml),
            quote(&db_dir.to_string_lossy())
        ),
        hint: Some("remove the line, or keep the file elsewhere and give it with --config".to_owned()),
    };
    reading.problems.push(Problem::in_file(file, excerpt, fault));
}

fn read_file(file: &Path) -> Reading {
    read_outcome(file, read_bytes(file))
}

fn read_bytes(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read_outcome(file: &Path, bytes: io::Result<Vec<u8>>) -> Reading {
    let whole = |message: String, hint: &str| {
        let fault = Fault { message, hint: Some(hint.to_owned()) };
        let problem = Problem::new(Place::WholeFile { file: file.to_owned() }, fault);
        Reading { problems: vec![problem], ..Reading::default() }
    };
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(error) => {
            return whole(format!("cannot be read: {error}"), "check the path and the permissions");
        }
    };
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return whole(
            format!("is larger than {MAX_FILE_BYTES} bytes"),
            "is this a configuration? `halodb config init` writes one",
        );
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => read_text(file, text),
        Err(error) => {
            // What is valid stays in its place when the rest is replaced.
            let place = error.valid_up_to();
            let excerpt = Lines::new(&String::from_utf8_lossy(&bytes)).excerpt(place..place + 1);
            let fault = Fault {
                message: format!("the byte 0x{:02x} is not valid UTF-8", bytes[place]),
                hint: Some("save the file as UTF-8".to_owned()),
            };
            Reading { problems: vec![Problem::in_file(file, excerpt, fault)], ..Reading::default() }
        }
    }
}

#[cfg(feature = "config")]
use super::file::read_text;

/// Without the feature a file is refused, never overlooked.
#[cfg(not(feature = "config"))]
fn read_text(file: &Path, _text: &str) -> Reading {
    let fault = Fault {
        message: "this program was built without the reading of configuration files".to_owned(),
        hint: Some("remove the file, or build with the feature `config`".to_owned()),
    };
    let problem = Problem::new(Place::WholeFile { file: file.to_owned() }, fault);
    Reading { problems: vec![problem], ..Reading::default() }
}
