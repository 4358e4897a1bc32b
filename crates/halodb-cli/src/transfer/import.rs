//! `import`: records of a file into the database, in the order of the file.
//!
//! ```text
//!   reader thread:  lines → records → batches ──(bounded channel)──▶  this thread: commit, one sync each; tell
//! ```
//!
//! Batches are committed one after the other, so whatever ends the process leaves a prefix of the file: at least the last
//! number told, because a number is told only after its commit has returned. Parsing goes on while a commit is synced.

use super::packed::{self, Content, Kind};
use super::progress::Progress;
use super::records::{self, Parsed, Record};
use super::{FileFormat, Header, is_stdio};
use crate::args::Import;
use crate::failure::{Failure, Result};
use crate::input::{self, Stdin};
use crate::output::Format;
use crate::session::Session;
use crate::signals;
use halodb::{Batch, Keyspace, Ttl};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes after which a batch is committed even if it has fewer records: memory stays small with large values.
const BATCH_BYTES: usize = 8 << 20;
/// Batches parsed ahead of the commit.
const AHEAD: usize = 2;
/// How often the committing thread looks up while it waits for input.
const LOOK_UP: Duration = Duration::from_millis(100);
/// Bytes read from a file at once.
const READ_AHEAD: usize = 1 << 20;

/// What the reader thread sends.
enum Message {
    /// Records to commit.
    Batch(Box<Ready>),
    /// A line that is no record; nothing follows.
    Bad(u64, String),
    /// The input could not be read on; nothing follows.
    Failed(io::Error),
    /// The input is compressed in a way that is not known here; nothing follows.
    Packed(Kind),
    /// The end of the input.
    End(Skipped),
}

/// A batch and where it comes from.
struct Ready {
    batch: Batch,
    records: u64,
    first_line: u64,
    last_line: u64,
    /// Bytes of the file that were read by then.
    position: u64,
}

/// Lines left out.
#[derive(Default)]
struct Skipped {
    lines: u64,
    first: Option<(u64, String)>,
}

/// `import [PATH]`.
pub(crate) fn import(session: &mut Session, import: &Import, asked: Option<Format>) -> Result<()> {
    let format = FileFormat::choose(asked, &import.path)?;
    let header = Header::choose(import.no_header, format)?;
    let keyspace = session.writing()?;
    let source = Source::open(&import.path, &session.stdin)?;
    let total = source.len();
    let (sender, receiver) = mpsc::sync_channel(AHEAD);
    let mut parser = Parser::new(keyspace, session.db()?.stats().page_size, import, sender);
    // Not scoped: after Ctrl-C nobody waits for a thread that is blocked in a read.
    let spawned = thread::Builder::new().name("import".into()).spawn(move || parser.run(source, format, header));
    spawned.map_err(|e| Failure::stream("start a thread", &e))?;
    commit(&receiver, Progress::new("committed", total), |kind| unpack_first(kind, &import.path, format))
}

/// What to do with a file that is not unpacked here.
fn unpack_first(kind: Kind, path: &Path, format: FileFormat) -> Failure {
    let file = if is_stdio(path) { "FILE".into() } else { path.display().to_string() };
    let form = match format {
        FileFormat::Jsonl => String::new(),
        other => format!("--format {} ", other.name()),
    };
    let unpacker = kind.unpacker();
    Failure::usage(format!("the input is compressed ({kind:?}), and only gzip is unpacked here"))
        .with_hint(format!("unpack it on the way: `{unpacker} {file} | halodb import {form}-`"))
}

/// Fails early if the file cannot be read or the options make no sense, before a database is created for it.
pub(crate) fn possible(import: &Import, asked: Option<Format>) -> Result<()> {
    Header::choose(import.no_header, FileFormat::choose(asked, &import.path)?)?;
    if is_stdio(&import.path) {
        return Ok(());
    }
    open_file(&import.path).map(drop)
}

/// Commits what the parser sends and tells how far it is.
fn commit(receiver: &Receiver<Message>, mut progress: Progress, packed: impl FnOnce(Kind) -> Failure) -> Result<()> {
    let mut committed = 0;
    let mut position = 0;
    let result = loop {
        if signals::interrupted() {
            break Err(Failure::interrupted("interrupted"));
        }
        match receiver.recv_timeout(LOOK_UP) {
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break Err(reader_lost()),
            Ok(Message::Batch(ready)) => {
                if let Err(error) = ready.batch.commit() {
                    let failure = Failure::from(error);
                    break Err(failure.on_lines(ready.first_line, ready.last_line));
                }
                committed += ready.records;
                position = ready.position;
            }
            Ok(Message::Bad(line, why)) => {
                break Err(Failure::bad_record(line, &why)
                    .with_hint("mend the line and import again, or leave such lines out with --skip-bad"));
            }
            Ok(Message::Packed(kind)) => break Err(packed(kind)),
            Ok(Message::Failed(error)) if error.kind() == io::ErrorKind::InvalidData => {
                break Err(Failure::usage(error.to_string()));
            }
            Ok(Message::Failed(error)) => break Err(input::failure("read the input", &error)),
            Ok(Message::End(skipped)) => break Ok(skipped),
        }
        progress.at(committed, position);
    };
    progress.finish(committed);
    let skipped = result.map_err(|failure| failure.after_commits(committed))?;
    if let Some((line, why)) = skipped.first {
        let lines = skipped.lines;
        eprintln!("skipped {lines} lines that are no records; the first is line {line}: {why}");
    }
    Ok(())
}

fn reader_lost() -> Failure {
    Failure::stream("read the input", &io::Error::other("the reader has stopped"))
}

/// Turns lines into batches, in the reader thread.
struct Parser {
    keyspace: Keyspace,
    sender: SyncSender<Message>,
    batch_records: u64,
    skip_bad: bool,
    max_key: usize,
    /// Bytes of the file read so far.
    read: Arc<AtomicU64>,
    pending: Option<Ready>,
    skipped: Skipped,
    /// The message after which nothing follows.
    last: Option<Message>,
}

impl Parser {
    fn new(keyspace: Keyspace, page_size: u32, import: &Import, sender: SyncSender<Message>) -> Self {
        let max_key = page_size as usize / 4;
        Parser {
            keyspace,
            sender,
            batch_records: u64::from(import.batch),
            skip_bad: import.skip_bad,
            max_key,
            read: Arc::default(),
            pending: None,
            skipped: Skipped::default(),
            last: None,
        }
    }

    fn run(&mut self, source: Source, format: FileFormat, header: Header) {
        let read = match source {
            Source::Stdin(stdin) => self.read(&mut *stdin.lock(), format, header),
            Source::File(file) => {
                let counted = Counted { file, read: self.read.clone() };
                self.read(BufReader::with_capacity(READ_AHEAD, counted), format, header)
            }
        };
        // Records before the mistake are committed; the receiver has gone only if it has given up itself.
        if self.send_pending().is_continue() {
            let skipped = std::mem::take(&mut self.skipped);
            let end = match read {
                Err(error) => Message::Failed(error),
                Ok(()) => self.last.take().unwrap_or(Message::End(skipped)),
            };
            let _ = self.sender.send(end);
        }
    }

    /// Takes all records, or those before the one that ends the import.
    fn read(&mut self, reader: impl BufRead, format: FileFormat, header: Header) -> io::Result<()> {
        match packed::unpack(reader)? {
            Content::Plain(mut reader) => {
                records::for_each(&mut *reader, format, header, |line, record| self.record(line, record))
            }
            Content::Packed(kind) => {
                self.last = Some(Message::Packed(kind));
                Ok(())
            }
        }
    }

    fn record(&mut self, line: u64, record: Parsed<'_>) -> ControlFlow<()> {
        match record.and_then(|record| self.valid(record)) {
            Ok(record) => self.add(line, &record),
            Err(why) if self.skip_bad => {
                self.skipped.lines += 1;
                self.skipped.first.get_or_insert((line, why));
                ControlFlow::Continue(())
            }
            Err(why) => {
                self.last = Some(Message::Bad(line, why));
                ControlFlow::Break(())
            }
        }
    }

    /// What the database would refuse is refused here, where the line is known.
    fn valid<'l>(&self, record: Record<'l>) -> std::result::Result<Record<'l>, String> {
        match record.key.len() {
            0 => Err("the key is empty".into()),
            length if length > self.max_key => {
                let limit = self.max_key;
                Err(format!("the key has {length} bytes and the limit is {limit}"))
            }
            _ => Ok(record),
        }
    }

    fn add(&mut self, line: u64, record: &Record<'_>) -> ControlFlow<()> {
        let ready = match self.pending.take() {
            Some(ready) => ready,
            None => Ready { batch: self.keyspace.batch(), records: 0, first_line: line, last_line: line, position: 0 },
        };
        let ready = Ready {
            batch: match record.expires_at_ms {
                None => ready.batch.put(&record.key, &record.value),
                Some(ms) => ready.batch.put_ttl(&record.key, &record.value, Ttl::At(at(ms))),
            },
            records: ready.records + 1,
            last_line: line,
            ..ready
        };
        let full = ready.records >= self.batch_records || ready.batch.len_bytes() >= BATCH_BYTES;
        self.pending = Some(ready);
        if full {
            return self.send_pending();
        }
        ControlFlow::Continue(())
    }

    fn send_pending(&mut self) -> ControlFlow<()> {
        let Some(mut ready) = self.pending.take() else { return ControlFlow::Continue(()) };
        ready.position = self.read.load(Ordering::Relaxed);
        match self.sender.send(Message::Batch(Box::new(ready))) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }
}

/// A time in milliseconds since 1970; what no clock will ever show is the end of time.
fn at(ms: u64) -> SystemTime {
    let times = [ms, i64::MAX as u64 / 1_000_000];
    times.iter().find_map(|ms| UNIX_EPOCH.checked_add(Duration::from_millis(*ms))).unwrap_or(UNIX_EPOCH)
}

/// Where records come from.
enum Source {
    Stdin(Stdin),
    File(File),
}

impl Source {
    fn open(path: &Path, stdin: &Stdin) -> Result<Self> {
        if is_stdio(path) {
            return Ok(Source::Stdin(stdin.clone()));
        }
        open_file(path).map(Source::File)
    }

    /// Bytes there are, if that is known.
    fn len(&self) -> Option<u64> {
        match self {
            Source::Stdin(_) => None,
            Source::File(file) => file.metadata().ok().filter(|m| m.is_file()).map(|m| m.len()),
        }
    }
}

/// A file that counts what is read of it.
struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

fn open_file(path: &Path) -> Result<File> {
    let opened = File::open(path).and_then(|file| match file.metadata()?.is_dir() {
        true => Err(io::ErrorKind::IsADirectory.into()),
        false => Ok(file),
    });
    opened.map_err(|e| Failure::file("read", path, &e))
}
