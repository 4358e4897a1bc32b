//! Where the database is, with which configuration it is opened, and the opening itself.
//!
//! The directory is that of `--db`, else `HALODB_DATABASE__PATH`, else `database.path` of the file of `--config`, else
//! `./data`. The configuration is the file of `--config`, else `halodb.toml` in the directory; what wins over what is the
//! library's business.

use crate::failure::{Failure, Result};
use crate::{logging, opening};
use halodb::config::{Config, Loaded, environment};
use halodb::{Builder, Db, ErrorKind};
use std::path::{Path, PathBuf};

/// What `--db` and `--config` say.
#[derive(Debug)]
pub(crate) struct Place {
    db: Option<PathBuf>,
    config: Option<PathBuf>,
}

impl Place {
    /// From the program's options.
    pub(crate) fn new(db: Option<PathBuf>, config: Option<PathBuf>) -> Self {
        Place { db, config }
    }

    /// Directory of the database.
    pub(crate) fn directory(&self) -> Result<PathBuf> {
        if let Some(directory) = &self.db {
            return Ok(directory.clone());
        }
        Ok(Config::directory(self.config.as_deref(), environment())?)
    }

    /// The configuration in force, with the origin of each value.
    pub(crate) fn configuration(&self) -> Result<Loaded> {
        Ok(Config::load(self.config.as_deref(), &self.directory()?, environment())?)
    }

    /// Opens a database that must be there.
    pub(crate) fn open_existing(&self) -> Result<Db> {
        let opened = self.builder()?.existing().open();
        opened.map_err(|error| {
            let missing = error.kind() == ErrorKind::NotFound;
            let failure = Failure::from(error);
            if missing { failure.with_hint(MISSING) } else { failure }
        })
    }

    /// Opens the database, creating it if there is none.
    pub(crate) fn open_or_create(&self) -> Result<Db> {
        Ok(self.builder()?.open()?)
    }

    /// Creates a database in another directory, with the configuration of `--config` and the environment.
    pub(crate) fn open_in(&self, directory: &Path) -> Result<Db> {
        Ok(self.builder_in(directory)?.open()?)
    }

    fn builder(&self) -> Result<Builder> {
        self.builder_in(&self.directory()?)
    }

    fn builder_in(&self, directory: &Path) -> Result<Builder> {
        let loaded = Config::load(self.config.as_deref(), directory, environment())?;
        logging::start(&loaded.config().log);
        Ok(Db::builder(directory).config(&loaded).on_progress(opening::bar()))
    }
}

const MISSING: &str = "name its directory with --db; `put`, `import` and the shell create one";
