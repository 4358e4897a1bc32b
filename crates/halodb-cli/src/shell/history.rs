//! The history of the shell: `$XDG_STATE_HOME/halodb/history`, else `~/.local/state/halodb/history`. Lines that begin with
//! a space are not kept. A history that cannot be read or written is no reason to stop working: it is left out.

use super::Reader;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the history is kept, if the environment says where that could be.
pub(super) fn path() -> Option<PathBuf> {
    path_from(env::var_os("XDG_STATE_HOME"), env::var_os("HOME"))
}

/// Reads the lines of earlier sessions.
pub(super) fn load(reader: &mut Reader, path: Option<&Path>) {
    if let Some(path) = path {
        let _ = reader.load_history(path);
    }
}

/// Keeps a line, in memory and in the file, so that a killed shell has lost nothing.
pub(super) fn remember(reader: &mut Reader, path: Option<&Path>, line: &str) {
    if line.trim().is_empty() || !reader.add_history_entry(line).unwrap_or(false) {
        return;
    }
    if let Some(path) = path {
        if let Some(parent) = path.parent() {
            let _ = fs::create_dir_all(parent);
        }
        let _ = reader.append_history(path);
    }
}

/// The XDG specification: a path that is not absolute does not count.
fn path_from(state: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let state = state.map(PathBuf::from).filter(|path| path.is_absolute());
    let base = match state {
        Some(path) => path,
        None => PathBuf::from(home.filter(|home| !home.is_empty())?).join(".local/state"),
    };
    Some(base.join("halodb/history"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(state: Option<&str>, home: Option<&str>, expected: Option<&str>) {
        let path = path_from(state.map(Into::into), home.map(Into::into));
        assert_eq!(path, expected.map(PathBuf::from));
    }

    #[test]
    fn the_history_is_where_the_environment_says() {
        check(Some("/s"), Some("/h"), Some("/s/halodb/history"));
        check(None, Some("/h"), Some("/h/.local/state/halodb/history"));
        check(Some("relative"), Some("/h"), Some("/h/.local/state/halodb/history"));
        check(Some(""), None, None);
        check(None, Some(""), None);
    }
}
