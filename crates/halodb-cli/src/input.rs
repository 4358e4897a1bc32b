//! Standard input, shared by the pipe's command lines, `put KEY -` and `import -`.
//!
//! One buffer for all of them: what the pipe has read ahead must not be lost to the command that reads on. On a terminal a
//! read waits in small steps so that Ctrl-C ends it. A line may be as long as the largest value written as an escaped word.

use crate::failure::Failure;
use crate::signals;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes read ahead.
const BUFFER: usize = 256 << 10;

/// Longest line of the pipe and of an import file, in bytes: a value of 1 GiB in which every byte is written `\xNN`.
pub(crate) const MAX_LINE: u64 = (4 << 30) + (64 << 10);

/// Standard input; clones share one buffer.
#[derive(Clone)]
pub(crate) struct Stdin {
    buffer: Arc<Mutex<BufReader<Source>>>,
    /// It is a terminal.
    pub(crate) terminal: bool,
}

/// The descriptor behind the buffer.
pub(crate) struct Source {
    file: File,
    terminal: bool,
}

impl Stdin {
    /// Opens the process's standard input.
    pub(crate) fn open() -> io::Result<Self> {
        let stdin = io::stdin();
        let terminal = stdin.is_terminal();
        let file = File::from(stdin.as_fd().try_clone_to_owned()?);
        Ok(Stdin {
            buffer: Arc::new(Mutex::new(BufReader::with_capacity(BUFFER, Source { file, terminal }))),
            terminal,
        })
    }

    /// The buffer, for one reader at a time.
    pub(crate) fn lock(&self) -> MutexGuard<'_, BufReader<Source>> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a whole line is there already, so that reading it does not wait.
    pub(crate) fn has_line(&self) -> bool {
        self.lock().buffer().contains(&b'\n')
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.terminal && !self.readable()? {
            if signals::interrupted() {
                return Err(io::Error::other("interrupted"));
            }
        }
        self.file.read(buffer)
    }
}

impl Source {
    /// Waits a tenth of a second for input.
    fn readable(&self) -> io::Result<bool> {
        let mut fds = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::from(100_u8)) {
            Ok(ready) => Ok(ready > 0),
            Err(nix::errno::Errno::EINTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Why reading standard input failed: Ctrl-C on a terminal, or the system.
pub(crate) fn failure(doing: &str, error: &io::Error) -> Failure {
    if signals::interrupted() {
        return Failure::interrupted("interrupted");
    }
    Failure::stream(doing, error)
}

/// Reads one line without its newline; false at the end of the input. The last line needs no newline.
///
/// # Errors
/// What the reader says; `InvalidData` for a line above [`MAX_LINE`].
pub(crate) fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    append_line(reader, line)
}

/// As [`read_line`], behind what is in `line` already.
///
/// # Errors
/// As those of [`read_line`].
pub(crate) fn append_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    let read = reader.take(MAX_LINE).read_until(b'\n', line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if read as u64 == MAX_LINE {
        let message = format!("a line is longer than {MAX_LINE} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(read > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_newlines_and_the_last_needs_none() {
        let mut reader: &[u8] = b"a\n\nb\r\nc";
        let mut lines = Vec::new();
        let mut line = Vec::new();
        while read_line(&mut reader, &mut line).unwrap() {
            lines.push(line.clone());
        }
        assert_eq!(lines, [&b"a"[..], b"", b"b\r", b"c"]);
    }
}
