//! What is wrong, where, and what to do about it.

use std::fmt;
use std::path::{Path, PathBuf};

use super::excerpt::Excerpt;
use super::kind::Fault;

/// Where a problem lies.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// In a file; line and column (in characters) count from 1.
    File {
        /// As it was given.
        file: PathBuf,
        /// Line, from 1.
        line: u32,
        /// Column, from 1.
        column: u32,
    },
    /// A file as a whole: it cannot be read.
    WholeFile {
        /// As it was given.
        file: PathBuf,
    },
    /// A variable of the environment.
    Variable {
        /// Its name.
        name: String,
    },
    /// A value the program set.
    Key {
        /// `section.key`.
        name: String,
    },
}

/// `FILE:LINE:COLUMN`, `FILE`, `HALODB_SECTION__KEY` or `section.key`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line, column } => write!(f, "{}:{line}:{column}", file.display()),
            Self::WholeFile { file } => write!(f, "{}", file.display()),
            Self::Variable { name } | Self::Key { name } => f.write_str(name),
        }
    }
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    place: Place,
    message: String,
    hint: Option<String>,
    excerpt: Option<Excerpt>,
}

impl Problem {
    pub(super) fn new(place: Place, fault: Fault) -> Self {
        Self { place, message: fault.message, hint: fault.hint, excerpt: None }
    }

    pub(super) fn in_file(file: &Path, excerpt: Excerpt, fault: Fault) -> Self {
        let place = Place::File { file: file.to_owned(), line: excerpt.line, column: excerpt.column };
        Self { place, message: fault.message, hint: fault.hint, excerpt: Some(excerpt) }
    }

    /// Where it lies.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The file, if it lies in one.
    pub fn file(&self) -> Option<&Path> {
        match &self.place {
            Place::File { file, .. } | Place::WholeFile { file } => Some(file),
            Place::Variable { .. } | Place::Key { .. } => None,
        }
    }

    /// Line, from 1.
    pub fn line(&self) -> Option<u32> {
        match self.place {
            Place::File { line, .. } => Some(line),
            _ => None,
        }
    }

    /// Column in characters, from 1.
    pub fn column(&self) -> Option<u32> {
        match self.place {
            Place::File { column, .. } => Some(column),
            _ => None,
        }
    }

    /// What is wrong, in one line, without the place.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to write instead.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

/// `PLACE: MESSAGE`, the line with carets, the hint; each line ends with a newline.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.place, self.message)?;
        if let Some(excerpt) = &self.excerpt {
            write!(f, "{excerpt}")?;
        }
        if let Some(hint) = &self.hint {
            writeln!(f, "  hint: {hint}")?;
        }
        Ok(())
    }
}

/// Everything that is wrong with a configuration: at least one problem, those of the file first, in the order of their places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    problems: Vec<Problem>,
}

impl ConfigErrors {
    /// `Ok(value)` if there is no problem.
    pub(super) fn unless_empty<T>(mut problems: Vec<Problem>, value: T) -> Result<T, Self> {
        if problems.is_empty() {
            return Ok(value);
        }
        problems.sort_by_key(|problem| match problem.place {
            Place::WholeFile { .. } => (0, 0, 0),
            Place::File { line, column, .. } => (0, line, column),
            Place::Variable { .. } => (1, 0, 0),
            Place::Key { .. } => (2, 0, 0),
        });
        Err(Self { problems })
    }

    /// The problems one by one.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.problems.iter()
    }
}

impl<'a> IntoIterator for &'a ConfigErrors {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// All problems, one after the other.
impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problems.iter().try_for_each(|problem| write!(f, "{problem}"))
    }
}

impl std::error::Error for ConfigErrors {}
