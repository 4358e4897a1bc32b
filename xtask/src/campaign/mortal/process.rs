//! A child as its parent sees it: started, watched, and dead.

use super::child::Orders;
use super::holding::{Calls, Hold};
use super::words::Word;
use crate::campaign::rng::Rng;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// SIGKILL.
const KILL: i32 = 9;

/// When a call that is waited for never comes, the strike comes after so long.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// When to strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// So long after the start.
    After(Duration),
    /// When a thread has stood in this call for so long.
    Held(Hold, Duration),
}

impl Moment {
    /// One in six within milliseconds of the start, and one in six in one of the first calls: those belong to creation or
    /// recovery. A third in merges, a third any time.
    pub fn draw(rng: &mut Rng) -> Moment {
        let short = |rng: &mut Rng| Duration::from_micros(rng.below(8_000));
        match rng.below(6) {
            0 => Moment::After(Duration::from_micros(rng.below(12_000))),
            1 => {
                let at = rng.below(25);
                Moment::Held(Hold { calls: Calls::All, at }, short(rng))
            }
            2 | 3 => {
                let at = rng.below(120);
                Moment::Held(Hold { calls: Calls::Pages, at }, short(rng))
            }
            _ => Moment::After(Duration::from_millis(10 + rng.below(200))),
        }
    }

    /// When there is most to lose: a merge has stood still for a while, and with it the synchronisations that come with
    /// merges, and the writers have gone on.
    pub fn draw_worst(rng: &mut Rng) -> Moment {
        let at = rng.below(40);
        Moment::Held(Hold { calls: Calls::Pages, at }, Duration::from_millis(10 + rng.below(20)))
    }

    /// The call to stop in.
    pub fn hold(&self) -> Option<Hold> {
        match self {
            Moment::After(_) => None,
            Moment::Held(hold, _) => Some(*hold),
        }
    }
}

/// What a dead child left beside its files.
#[derive(Debug)]
pub struct Died {
    /// What it had said.
    pub words: Vec<Word>,
    /// Whether SIGKILL ended it; otherwise it ended by itself.
    pub was_killed: bool,
    /// How it ended, and what it had to complain of.
    pub how: String,
}

impl Died {
    /// Whether the database had been open.
    pub fn was_open(&self) -> bool {
        self.words.contains(&Word::Open)
    }

    /// Whether a thread stood in the call that it was to hold.
    pub fn was_held(&self) -> bool {
        self.words.contains(&Word::Held)
    }

    /// How many writes it had acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.words.iter().filter(|word| matches!(word, Word::Ack(_))).count() as u64
    }
}

/// A living child.
#[derive(Debug)]
pub struct Victim {
    child: Child,
    started: Instant,
    moment: Moment,
    held: Receiver<()>,
    words: Option<JoinHandle<io::Result<Vec<String>>>>,
    complaint: Option<JoinHandle<String>>,
}

impl Victim {
    /// Starts `program`, which is this program, with the hidden verb `mortal`.
    ///
    /// # Errors
    /// Those of starting a process.
    pub fn start(program: &Path, orders: &Orders, moment: Moment) -> Result<Victim, String> {
        let mut child = Command::new(program)
            .arg("mortal")
            .args(orders.args())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("cannot start {}: {e}", program.display()))?;
        let started = Instant::now();
        let out = child.stdout.take().ok_or("the child has no output")?;
        let mut err = child.stderr.take().ok_or("the child has no error output")?;
        let (say_held, held) = mpsc::channel();
        let words = std::thread::spawn(move || {
            BufReader::new(out)
                .lines()
                .inspect(|line| {
                    if line.as_ref().is_ok_and(|line| line == "held") {
                        // Nobody waits for the second one.
                        let _ = say_held.send(());
                    }
                })
                .collect()
        });
        let complaint = std::thread::spawn(move || {
            let mut text = Vec::new();
            // What could be read is told even if the rest could not.
            let _ = err.read_to_end(&mut text);
            String::from_utf8_lossy(&text).trim().to_owned()
        });
        Ok(Victim { child, started, moment, held, words: Some(words), complaint: Some(complaint) })
    }

    /// Waits for the moment to strike.
    ///
    /// # Errors
    /// The child does not live to see it.
    pub fn wait(&mut self) -> Result<(), String> {
        match self.moment {
            Moment::After(time) => std::thread::sleep(time.saturating_sub(self.started.elapsed())),
            Moment::Held(_, grace) => {
                if self.held.recv_timeout(PATIENCE).is_ok() {
                    std::thread::sleep(grace);
                }
            }
        }
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(format!("the child ended by itself: {}", self.how(status))),
            Err(e) => Err(format!("cannot look after the child: {e}")),
        }
    }

    /// Kills it.
    ///
    /// # Errors
    /// It said something that nobody understands.
    pub fn kill(mut self) -> Result<Died, String> {
        let killed = self.child.kill();
        let status = self.child.wait().map_err(|e| format!("cannot wait for the child: {e}"))?;
        let words = self.words.take().ok_or("the child was asked twice")?.join().map_err(|_| "the reader panicked")?;
        let words = words.map_err(|e| format!("cannot read from the child: {e}"))?;
        let words = words.iter().map(|line| Word::parse(line)).collect::<Result<_, _>>()?;
        let was_killed = killed.is_ok() && status.signal() == Some(KILL);
        Ok(Died { words, was_killed, how: self.how(status) })
    }

    fn how(&mut self, status: ExitStatus) -> String {
        let complaint = self.complaint.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        if complaint.is_empty() { status.to_string() } else { format!("{status}: {complaint}") }
    }
}

impl Drop for Victim {
    /// A child that nobody strikes any more would write for ever.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Copies a directory; one that is not there yet becomes an empty one.
///
/// # Errors
/// Those of reading and writing.
pub fn copy_dir(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    let entries = match std::fs::read_dir(from) {
        // The child died before it had made the directory.
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
