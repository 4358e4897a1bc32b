//! Runs the built program in a directory of its own.

// Each test file uses its own part of this.
#![allow(dead_code, unreachable_pub)]

pub mod script;
pub mod terminal;

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A directory in which the program runs; the database is `data` in it.
pub struct Place {
    dir: TempDir,
}

/// What one run of the program did.
#[derive(Debug)]
pub struct Run {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
}

impl Place {
    /// An empty directory.
    pub fn new() -> Self {
        Place { dir: tempfile::tempdir().expect("a temporary directory") }
    }

    /// A path in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file into the directory.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).expect("a file");
        path
    }

    /// The program, about to run in the directory.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_halodb"));
        command.current_dir(self.dir.path()).env_clear().env("HOME", self.dir.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs one command without input.
    pub fn run<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Run {
        self.feed(arguments, b"")
    }

    /// Runs with input.
    pub fn feed<A: AsRef<OsStr>>(&self, arguments: &[A], input: &[u8]) -> Run {
        let mut child = self.command().args(arguments).spawn().expect("the program starts");
        let mut stdin = child.stdin.take().expect("its input");
        let input = input.to_vec();
        let writer = std::thread::spawn(move || {
            // The program may end before it has read everything.
            let _ = stdin.write_all(&input);
        });
        let output = child.wait_with_output().expect("the program ends");
        writer.join().expect("the input is written");
        Run {
            code: output.status.code().unwrap_or(-1),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Puts keys `0000`, `0001`, … with values of so many bytes into the database.
    pub fn fill(&self, keys: usize, value_bytes: usize) {
        let value = "x".repeat(value_bytes);
        let records: String = (0..keys).map(|i| format!("{{\"key\":\"{i:04}\",\"value\":\"{value}\"}}\n")).collect();
        self.feed(&["import"], records.as_bytes()).expect(0, "");
    }

    /// Runs lines through the pipe.
    pub fn pipe(&self, lines: impl AsRef<[u8]>) -> Run {
        self.feed::<&str>(&[], lines.as_ref())
    }
}

impl Run {
    /// Standard output as text.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Asserts exit code and standard output.
    #[track_caller]
    pub fn expect(&self, code: i32, stdout: &str) -> &Self {
        assert_eq!((self.code, self.out().as_str()), (code, stdout), "stderr: {}", self.stderr);
        self
    }

    /// Asserts that standard error holds a text.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "{text:?} is not in: {}", self.stderr);
        self
    }
}

/// The names in a directory, sorted.
pub fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("a directory");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Names of all commands, as `help` lists them.
pub fn command_names(place: &Place) -> Vec<String> {
    let help = place.run(&["help"]).out();
    let (_, groups) = help.split_once("Keys:\n").expect("the first group");
    let groups = groups.split("\nOptions:").next().unwrap_or_default();
    let rows = groups.lines().filter_map(|line| line.strip_prefix("  ").filter(|row| !row.starts_with(' ')));
    let names: Vec<String> = rows.filter_map(|row| row.split_whitespace().next()).map(str::to_owned).collect();
    assert!(names.len() > 30, "{help}");
    names
}
