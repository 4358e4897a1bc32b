//! The runner: rounds, engines in turn, worker processes, and the result files.
//!
//! For each group and round, every engine runs once; the order rotates from round to round, so that no engine always
//! follows the same one. After every worker the group's file is written, so a run that is stopped can be resumed. A
//! worker that dies or hangs fails its rows, not the run.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::interrupt::Interrupt;
use super::options::{RunOptions, word};
use super::progress::Progress;
use super::table::table;
use super::{Message, When, machine, selected};
use crate::engine::{DEFAULT, Kind, find};
use crate::result::{Cell, EngineInfo, Floor, ResultFile, Row, VERSION};
use crate::rows::{Group, groups};

/// How often the runner looks for signals and limits.
const TICK: Duration = Duration::from_millis(100);

/// Why a run ends early.
pub(crate) enum Stop {
    /// Somebody pressed Ctrl-C.
    Interrupted,
    /// It cannot go on: a sentence.
    Failed(String),
}

impl<E: std::error::Error> From<E> for Stop {
    fn from(error: E) -> Self {
        Stop::Failed(error.to_string())
    }
}

/// Runs everything that was asked for; whether every row has a value or an accepted reason.
///
/// # Errors
/// A command line that names what is not there, a directory that cannot be written, Ctrl-C.
pub(crate) fn drive(options: &RunOptions) -> Result<bool, Stop> {
    let mut groups = chosen_groups(options)?;
    if options.list {
        list(&groups);
        return Ok(true);
    }
    let engines = chosen_engines(options)?;
    groups.retain(|group| taking_part(group, &engines).next().is_some());
    if groups.is_empty() {
        return Err(Stop::Failed("none of these engines takes part in these groups".into()));
    }
    let interrupt = Interrupt::install()?;
    let parent = options.dir.clone().unwrap_or_else(build_directory);
    std::fs::create_dir_all(&parent)?;
    // Removed when it goes out of scope, on every way out.
    let scratch = tempfile::Builder::new().prefix("halodb-bench-").tempdir_in(&parent)?;
    let engines_of = |group: &Group| taking_part(group, &engines).count() as u64;
    let mut progress = Progress::new(groups.iter().map(engines_of).sum::<u64>() * u64::from(options.rounds()));
    let mut driver = Driver { options, engines, interrupt, scratch: scratch.path(), progress: &mut progress };
    let mut files = Vec::new();
    let mut outcome = Ok(());
    for group in &groups {
        let (file, result) = driver.group(group)?;
        files.push(file);
        if result.is_err() {
            outcome = result;
            break;
        }
    }
    progress.finish();
    files.iter().for_each(|file| print!("{}", table(file)));
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_string_pretty(&files)? + "\n")?;
    }
    outcome?;
    Ok(tell_failures(&files) == 0)
}

/// Says what failed, on standard error; how many cells.
fn tell_failures(files: &[ResultFile]) -> usize {
    let mut count = 0;
    for (file, row) in files.iter().flat_map(|file| file.rows.iter().map(move |row| (file, row))) {
        for (engine, cell) in &row.cells {
            if let Cell::Failed(why) = cell {
                eprintln!("failed: {}: {}: {engine}: {why}", file.group, row.name);
                count += 1;
            }
        }
    }
    count
}

fn list(groups: &[Group]) {
    for group in groups {
        println!("{}: {}", group.name, group.about);
        group.rows.iter().for_each(|row| println!("    {}", row.name));
    }
}

fn chosen_groups(options: &RunOptions) -> Result<Vec<Group>, Stop> {
    let all = groups();
    if let Some(name) = options.groups.iter().find(|name| all.iter().all(|group| group.name != **name)) {
        let known: Vec<_> = all.iter().map(|group| group.name).collect();
        return Err(Stop::Failed(format!("there is no group {name:?}; there are {}", known.join(", "))));
    }
    let everything = options.quick || options.full || options.list;
    let chosen = |group: &Group| match &options.groups[..] {
        [] => everything || group.name == "basic",
        names => names.iter().any(|name| name == group.name),
    };
    let has_rows = |group: &Group| group.rows.iter().any(|row| selected(&options.rows, &row.name));
    let groups: Vec<_> = all.into_iter().filter(|group| chosen(group) && has_rows(group)).collect();
    if groups.is_empty() {
        return Err(Stop::Failed("no row has such a name; --list shows them".into()));
    }
    Ok(groups)
}

fn chosen_engines(options: &RunOptions) -> Result<Vec<Kind>, Stop> {
    let named = |name: &String| find(name).map_err(Stop::Failed);
    let mut engines: Vec<Kind> = match &options.engines[..] {
        [] => DEFAULT.iter().map(|name| named(&(*name).to_owned())).collect::<Result<_, _>>()?,
        names => names.iter().map(named).collect::<Result<_, _>>()?,
    };
    for name in &options.compare {
        if engines.iter().all(|kind| kind.name != name) {
            engines.push(named(name)?);
        }
    }
    Ok(engines)
}

/// The engines of a group.
fn taking_part<'a>(group: &Group, engines: &'a [Kind]) -> impl Iterator<Item = Kind> + 'a {
    let only = group.engines;
    engines.iter().copied().filter(move |kind| only.is_none_or(|only| only.contains(&kind.name)))
}

/// Beside the program, which cargo puts into its target directory.
fn build_directory() -> PathBuf {
    let program = std::env::current_exe().ok();
    program.and_then(|path| path.parent()?.parent().map(Path::to_owned)).unwrap_or_else(std::env::temp_dir)
}

struct Driver<'a> {
    options: &'a RunOptions,
    engines: Vec<Kind>,
    interrupt: Interrupt,
    scratch: &'a Path,
    progress: &'a mut Progress,
}

impl Driver<'_> {
    /// Runs a group; its file, and whether it was interrupted.
    fn group(&mut self, group: &Group) -> Result<(ResultFile, Result<(), Stop>), Stop> {
        let fresh = self.fresh(group);
        let short: String = fresh.commit.chars().take(12).collect();
        let name = format!("{}-{}-{}.json", fresh.group, fresh.scale, fresh.budget);
        let path = self.options.results.join(short).join(name);
        let mut file = if self.options.resume { resumed(fresh, &path) } else { fresh };
        let engines: Vec<Kind> = taking_part(group, &self.engines).collect();
        for round in 0..self.options.rounds() {
            for turn in 0..engines.len() {
                let kind = engines[(turn + round as usize) % engines.len()];
                self.progress.begin(format!("{} {}, round {}", group.name, kind.name, round + 1));
                if !file.done.contains(&(round, kind.name.to_owned())) {
                    if let Err(stop) = self.worker(group, kind, round, &mut file) {
                        return Ok((file, Err(stop)));
                    }
                    file.done.push((round, kind.name.to_owned()));
                    file.save(&path)?;
                }
                self.progress.end();
            }
        }
        Ok((file, Ok(())))
    }

    fn fresh(&self, group: &Group) -> ResultFile {
        let (commit, dirty) = machine::commit();
        let rows = group.rows.iter().filter(|row| selected(&self.options.rows, &row.name));
        let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "run").collect();
        ResultFile {
            version: VERSION,
            commit,
            dirty,
            date: machine::now(),
            command: format!("cargo xtask bench {}", arguments.join(" ")).trim_end().to_owned(),
            machine: machine::machine(self.scratch),
            group: group.name.to_owned(),
            scale: word(self.options.scale()),
            budget: word(self.options.budget),
            rounds: self.options.rounds(),
            seed: self.options.seed,
            engines: taking_part(group, &self.engines)
                .map(|kind| EngineInfo { name: kind.name.into(), version: kind.version(), settings: vec![] })
                .collect(),
            floor_us: Floor::default(),
            rows: rows
                .map(|row| Row {
                    name: row.name.clone(),
                    unit: row.unit,
                    better: row.better,
                    bound: row.bound,
                    cells: BTreeMap::new(),
                })
                .collect(),
            done: vec![],
            curves: vec![],
        }
    }

    /// One worker process from beginning to end; its rows go into `file`.
    fn worker(&mut self, group: &Group, kind: Kind, round: u32, file: &mut ResultFile) -> Result<(), Stop> {
        let dir = tempfile::Builder::new().prefix(kind.name).tempdir_in(self.scratch)?;
        self.before()?;
        machine::write_back();
        let mut child = self.spawn(group, kind, round, dir.path())?;
        let (send, receive) = mpsc::channel();
        let output = child.stdout.take();
        let listener = thread::spawn(move || {
            for line in output.into_iter().flat_map(|output| BufReader::new(output).lines().map_while(Result::ok)) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        let limit = Duration::from_secs(self.options.row_limit);
        let mut answered = Vec::new();
        let mut since = Instant::now();
        let mut current = String::from("the beginning");
        let end = loop {
            match receive.recv_timeout(TICK) {
                Ok(line) => {
                    since = Instant::now();
                    match serde_json::from_str(&line) {
                        Ok(Message::Started(row)) => {
                            self.progress.row(&row);
                            current = row;
                        }
                        Ok(message) => answered.extend(keep(file, kind.name, message)),
                        Err(_) => self.progress.line(&format!("{}: {line}", kind.name)),
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break None,
                Err(RecvTimeoutError::Timeout) if self.interrupt.is_set() => {
                    end_child(&mut child);
                    return Err(Stop::Interrupted);
                }
                Err(RecvTimeoutError::Timeout) if since.elapsed() > limit => {
                    end_child(&mut child);
                    break Some(format!("stopped: no word for {} s at {current}", limit.as_secs()));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        };
        let status = child.wait()?;
        // The listener ends with the output of a process that is gone.
        drop(listener.join());
        if self.interrupt.is_set() {
            return Err(Stop::Interrupted);
        }
        let why = end.unwrap_or_else(|| format!("the process ended at {current}: {status}"));
        for row in &mut file.rows {
            if !answered.contains(&row.name) {
                row.cells.insert(kind.name.to_owned(), Cell::Failed(why.clone()));
            }
        }
        Ok(())
    }

    /// What the user wants to happen before each process.
    fn before(&self) -> Result<(), Stop> {
        let Some(line) = &self.options.before else { return Ok(()) };
        let status = Command::new("sh").args(["-c", line]).stdin(Stdio::null()).status()?;
        if status.success() {
            Ok(())
        } else {
            Err(Stop::Failed(format!("the command of --before, {line:?}: {status}")))
        }
    }

    fn spawn(&self, group: &Group, kind: Kind, round: u32, dir: &Path) -> Result<Child, Stop> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["worker", "--engine", kind.name, "--group", group.name]);
        command.args(["--scale", &word(self.options.scale()), "--budget", &word(self.options.budget)]);
        command.args(["--seed", &self.options.seed.to_string(), "--round", &round.to_string(), "--dir"]).arg(dir);
        if !self.options.rows.is_empty() {
            command.args(["--rows", &self.options.rows.join(",")]);
        }
        // A group of its own: it is ended together with the processes that it starts.
        command.process_group(0);
        Ok(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?)
    }
}

/// Ends a worker and what it has started, and waits for it.
fn end_child(child: &mut Child) {
    machine::kill_group(child.id());
    drop(child.wait());
}

/// What the file at `path` holds of the same run, or `fresh`.
fn resumed(fresh: ResultFile, path: &Path) -> ResultFile {
    match ResultFile::load(path) {
        Ok(file)
            if (&file.commit, file.dirty, file.seed) == (&fresh.commit, fresh.dirty, fresh.seed)
                && file.rows.iter().map(|row| &row.name).eq(fresh.rows.iter().map(|row| &row.name))
                && file
                    .engines
                    .iter()
                    .map(|engine| &engine.name)
                    .eq(fresh.engines.iter().map(|engine| &engine.name)) =>
        {
            ResultFile { rounds: fresh.rounds, ..file }
        }
        _ => fresh,
    }
}

/// Puts a message into the file; the name of the row that it answers.
fn keep(file: &mut ResultFile, engine: &str, message: Message) -> Option<String> {
    match message {
        Message::Started(_) => None,
        Message::Settings(settings) => {
            if let Some(info) = file.engines.iter_mut().find(|info| info.name == engine) {
                info.settings = settings;
            }
            None
        }
        Message::Floor(When::Before, median) => {
            file.floor_us.before.push(median);
            None
        }
        Message::Floor(When::After, median) => {
            file.floor_us.after.push(median);
            None
        }
        Message::Curve(curve) => {
            file.curves.push(curve);
            None
        }
        Message::Value(row, value) => cell(file, engine, row, Cell::Values(vec![value])),
        Message::NotYet(row, what) => cell(file, engine, row, Cell::NotYet(what)),
        Message::Failed(row, why) => cell(file, engine, row, Cell::Failed(why)),
        Message::Skipped(row, why) => cell(file, engine, row, Cell::Skipped(why)),
    }
}

/// Adds a value to those of earlier rounds. A reason not to have one takes the place of values, and a failure stays.
fn cell(file: &mut ResultFile, engine: &str, name: String, new: Cell) -> Option<String> {
    let row = file.rows.iter_mut().find(|row| row.name == name)?;
    match (row.cells.get_mut(engine), new) {
        (Some(Cell::Failed(_)), _) => {}
        (Some(Cell::Values(values)), Cell::Values(more)) => values.extend(more),
        (_, new) => drop(row.cells.insert(engine.to_owned(), new)),
    }
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{Better, Bound, Machine, Unit};

    fn file() -> ResultFile {
        ResultFile {
            version: VERSION,
            commit: "c".into(),
            dirty: false,
            date: String::new(),
            command: String::new(),
            machine: Machine::default(),
            group: "g".into(),
            scale: "100k".into(),
            budget: "default".into(),
            rounds: 2,
            seed: 1,
            engines: vec![EngineInfo { name: "e".into(), version: "1".into(), settings: vec![] }],
            floor_us: Floor::default(),
            rows: vec![Row {
                name: "r".into(),
                unit: Unit::OpsPerSecond,
                better: Better::Higher,
                bound: Bound::Cpu,
                cells: BTreeMap::new(),
            }],
            done: vec![],
            curves: vec![],
        }
    }

    #[test]
    fn values_of_rounds_are_kept_in_order_and_a_failure_replaces_them_for_good() {
        let mut file = file();
        let value = |value| Message::Value("r".into(), value);
        assert_eq!(keep(&mut file, "e", value(1.0)).as_deref(), Some("r"));
        keep(&mut file, "e", value(2.0));
        assert_eq!(file.rows[0].cells["e"], Cell::Values(vec![1.0, 2.0]));
        keep(&mut file, "e", Message::Failed("r".into(), "why".into()));
        keep(&mut file, "e", value(3.0));
        assert_eq!(file.rows[0].cells["e"], Cell::Failed("why".into()));
        assert_eq!(keep(&mut file, "e", Message::Value("another".into(), 1.0)), None);
    }

    #[test]
    fn a_run_resumes_only_what_has_the_same_commit_seed_rows_and_engines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        let mut held = file();
        held.done.push((0, "e".into()));
        held.save(&path).unwrap();
        assert_eq!(resumed(file(), &path).done.len(), 1);
        let other = ResultFile { seed: 2, ..file() };
        assert!(resumed(other, &path).done.is_empty());
        let other = ResultFile { commit: "d".into(), ..file() };
        assert!(resumed(other, &path).done.is_empty());
        assert!(resumed(file(), &dir.path().join("none")).done.is_empty());
    }
}
