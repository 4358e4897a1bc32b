//! A configuration together with where each of its values came from.

use std::fmt;
use std::path::{Path, PathBuf};

use super::kind::Kind;
use super::options::{Config, ConfigOption, OPTIONS};
use super::problem::ConfigErrors;
use super::setting::Notation;

/// Where a value came from. Later sources win over earlier ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// Nobody set it.
    #[default]
    Default,
    /// A file; line and column of the key, from 1.
    File {
        /// As it was given.
        file: PathBuf,
        /// Line, from 1.
        line: u32,
        /// Column in characters, from 1.
        column: u32,
    },
    /// A variable of the environment.
    Variable {
        /// Its name.
        name: String,
    },
    /// The program: an option of its command line or a call.
    Program,
}

/// `default`, `FILE:LINE:COLUMN`, `environment NAME` or `program`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line, column } => write!(f, "{}:{line}:{column}", file.display()),
            Self::Variable { name } => write!(f, "environment {name}"),
            Self::Program => f.write_str("program"),
        }
    }
}

/// A configuration and the origin of each of its values. The default: nobody set anything.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub(super) config: Config,
    /// One for each of `OPTIONS`.
    pub(super) origins: Vec<Origin>,
    pub(super) file: Option<PathBuf>,
}

impl Default for Loaded {
    fn default() -> Self {
        Self { config: Config::default(), origins: vec![Origin::Default; OPTIONS.len()], file: None }
    }
}

impl Loaded {
    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The configuration, without the origins.
    pub fn into_config(self) -> Config {
        self.config
    }

    /// The file that was read, if any.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Where the value of an option (`section.key`) came from; `None` if there is no such option.
    ///
    /// What is fixed when a database is created should be asked of an existing one only if somebody set it:
    ///
    /// ```
    /// use halodb::config::{Loaded, Origin};
    ///
    /// let loaded = Loaded::default();
    /// assert_eq!(loaded.origin("database.partitions"), Some(&Origin::Default));
    /// ```
    pub fn origin(&self, option: &str) -> Option<&Origin> {
        let index = OPTIONS.iter().position(|known| known.name() == option)?;
        self.origins.get(index)
    }

    /// Sets values by the program, the strongest source. What `change` leaves as it was keeps its origin.
    ///
    /// # Errors
    ///
    /// If the result is not valid ([`Config::validate`]); nothing is changed then.
    pub fn change(&mut self, change: impl FnOnce(&mut Config)) -> Result<(), ConfigErrors> {
        let mut changed = self.config.clone();
        change(&mut changed);
        changed.validate()?;
        for (option, origin) in OPTIONS.iter().zip(&mut self.origins) {
            if option.get(&changed) != option.get(&self.config) {
                *origin = Origin::Program;
            }
        }
        self.config = changed;
        Ok(())
    }

    /// Each option with its value, as it is written in a file, and its origin.
    pub fn settings(&self) -> impl Iterator<Item = (&'static ConfigOption, String, &Origin)> {
        OPTIONS
            .iter()
            .zip(&self.origins)
            .map(|(option, origin)| (option, option.get(&self.config).render(Notation::Toml), origin))
    }

    /// The whole configuration as a file.
    pub fn show(&self) -> String {
        self.render(|line, _| line)
    }

    /// The whole configuration as a file, with the origin of each value in a comment.
    pub fn show_origins(&self) -> String {
        // Paths may be long; the others line up.
        let others = self.settings().filter(|(option, ..)| !matches!(option.kind, Kind::Path { .. }));
        let width = others.map(|(option, value, _)| option.key().len() + " = ".len() + value.len()).max().unwrap_or(0);
        self.render(|line, origin| format!("{line:width$}  # {origin}"))
    }

    fn render(&self, line: impl Fn(String, &Origin) -> String) -> String {
        let mut text = String::new();
        let mut section = "";
        for (option, value, origin) in self.settings() {
            if option.section() != section {
                if !section.is_empty() {
                    text.push('\n');
                }
                section = option.section();
                text += &format!("[{section}]\n");
            }
            text += &line(format!("{} = {value}", option.key()), origin);
            text.push('\n');
        }
        text
    }
}
