//! The simulated disk answers like the real one: random calls on both, equal results, equal contents.

use halodb_vfs::{DirEntry, EntryKind, File, FileExt, OpenMode, OsVfs, SimVfs, Vfs};
use proptest::prelude::*;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Clone, Debug)]
enum Step {
    Open(&'static str, OpenMode),
    Close(usize),
    Read(usize, u64, usize),
    Write(usize, u64, usize, u8),
    SetLen(usize, u64),
    Sync(usize),
    Map(usize, u64),
    CreateDir(&'static str),
    ReadDir(&'static str),
    Kind(&'static str),
    Rename(&'static str, &'static str),
    Exchange(&'static str, &'static str),
    RemoveFile(&'static str),
    RemoveDir(&'static str),
    SyncDir(&'static str),
}

/// Names inside the directory of the test; files and directories take each other's place.
fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "d", "d/a", "./d//b", "d/e", "d/e/x", "e", "e/a", "d/../b", "nowhere/x"])
}

/// Also the directory of the test itself.
fn any_name() -> impl Strategy<Value = &'static str> {
    prop_oneof![1 => prop::sample::select(vec!["", ".", "d/.."]), 6 => name()]
}

fn mode() -> impl Strategy<Value = OpenMode> {
    use OpenMode::{Create, CreateNew, Read, ReadWrite};
    prop_oneof![1 => Just(Read), 1 => Just(ReadWrite), 3 => Just(Create), 1 => Just(CreateNew)]
}

fn step() -> impl Strategy<Value = Step> {
    let handle = 0..6usize;
    let offset = prop_oneof![0..600u64, 3_000..20_000u64, Just(1 << 63)];
    prop_oneof![
        6 => (any_name(), mode()).prop_map(|(n, m)| Step::Open(n, m)),
        1 => handle.clone().prop_map(Step::Close),
        3 => (handle.clone(), offset.clone(), 0..9_000usize).prop_map(|(h, o, n)| Step::Read(h, o, n)),
        6 => (handle.clone(), offset, 0..9_000usize, 0..4u8).prop_map(|(h, o, n, b)| Step::Write(h, o, n, b)),
        2 => (handle.clone(), prop_oneof![0..30_000u64, Just(1 << 63)]).prop_map(|(h, n)| Step::SetLen(h, n)),
        1 => handle.clone().prop_map(Step::Sync),
        1 => (handle, 1..40_000u64).prop_map(|(h, n)| Step::Map(h, n)),
        3 => any_name().prop_map(Step::CreateDir),
        2 => any_name().prop_map(Step::ReadDir),
        2 => any_name().prop_map(Step::Kind),
        4 => (name(), name()).prop_map(|(a, b)| Step::Rename(a, b)),
        2 => (name(), name()).prop_map(|(a, b)| Step::Exchange(a, b)),
        2 => name().prop_map(Step::RemoveFile),
        2 => name().prop_map(Step::RemoveDir),
        1 => any_name().prop_map(Step::SyncDir),
    ]
}

/// A disk, the directory on it that the test uses, and the open files.
struct Side {
    vfs: Box<dyn Vfs>,
    root: PathBuf,
    open: Vec<Arc<dyn File>>,
}

/// What one step answered, in comparable form.
#[derive(Debug, PartialEq)]
enum Answer {
    Done,
    Number(u64),
    Bytes(Vec<u8>),
    Entries(Vec<DirEntry>),
    Kind(Option<EntryKind>),
    Failed(Option<i32>, io::ErrorKind),
    NoSuchHandle,
}

impl Side {
    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.root.clone() } else { self.root.join(name) }
    }

    fn run(&mut self, step: &Step) -> Answer {
        self.try_run(step).unwrap_or_else(|e| Answer::Failed(e.raw_os_error(), e.kind()))
    }

    fn try_run(&mut self, step: &Step) -> io::Result<Answer> {
        let done = |()| Answer::Done;
        let vfs = &*self.vfs;
        Ok(match step {
            Step::Open(name, mode) => {
                let file = vfs.open(&self.path(name), *mode)?;
                self.open.push(file);
                Answer::Done
            }
            Step::CreateDir(name) => done(vfs.create_dir(&self.path(name))?),
            Step::ReadDir(name) => Answer::Entries(vfs.read_dir(&self.path(name))?),
            Step::Kind(name) => Answer::Kind(vfs.kind(&self.path(name))?),
            Step::Rename(from, to) => done(vfs.rename(&self.path(from), &self.path(to))?),
            Step::Exchange(a, b) => done(vfs.exchange(&self.path(a), &self.path(b))?),
            Step::RemoveFile(name) => done(vfs.remove_file(&self.path(name))?),
            Step::RemoveDir(name) => done(vfs.remove_dir(&self.path(name))?),
            Step::SyncDir(name) => done(vfs.sync_dir(&self.path(name))?),
            Step::Close(h)
            | Step::Read(h, ..)
            | Step::Write(h, ..)
            | Step::SetLen(h, _)
            | Step::Sync(h)
            | Step::Map(h, _) => {
                let Some(file) = self.open.get(*h).cloned() else {
                    return Ok(Answer::NoSuchHandle);
                };
                match step {
                    Step::Close(h) => drop(self.open.remove(*h)),
                    Step::Read(_, offset, len) => {
                        let mut buf = vec![0xee; *len];
                        let n = file.read_at(&mut buf, *offset)?;
                        return Ok(Answer::Bytes(buf[..n].to_vec()));
                    }
                    Step::Write(_, offset, len, byte) => {
                        return Ok(Answer::Number(file.write_at(&vec![*byte; *len], *offset)? as u64));
                    }
                    Step::SetLen(_, len) => file.set_len(*len)?,
                    Step::Map(_, len) => return mapped(&*file, *len).map(Answer::Bytes),
                    _ => file.sync_data()?,
                }
                Answer::Done
            }
        })
    }

    /// Every file and directory below the root, with contents; and the contents of all open files.
    fn everything(&self) -> Vec<(String, Vec<u8>)> {
        let mut found = Vec::new();
        let mut todo = vec![String::new()];
        while let Some(dir) = todo.pop() {
            for entry in self.vfs.read_dir(&self.path(&dir)).unwrap() {
                let name = format!("{dir}/{}", entry.name).trim_start_matches('/').to_string();
                if entry.kind == EntryKind::Dir {
                    found.push((name.clone(), Vec::new()));
                    todo.push(name);
                } else {
                    let file = self.vfs.open(&self.path(&name), OpenMode::Read).unwrap();
                    found.push((name, whole(&*file)));
                }
            }
        }
        found.extend(self.open.iter().map(|file| ("handle".to_string(), whole(&**file))));
        found
    }
}

fn whole(file: &dyn File) -> Vec<u8> {
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

#[expect(unsafe_code, reason = "a slice of mapped memory")]
fn mapped(file: &dyn File, len: u64) -> io::Result<Vec<u8>> {
    let mapping = file.map(len)?;
    assert_eq!(mapping.len(), len);
    let there = file.len()?.min(len) as usize;
    // SAFETY: the range is inside the file, and nobody else uses the file.
    Ok(unsafe { mapping.slice(0, there) }.expect("inside the mapping").to_vec())
}

fn sides(dir: &Path) -> (Side, Side, SimVfs) {
    let sim = SimVfs::new();
    let real = Side { vfs: Box::new(OsVfs), root: dir.to_path_buf(), open: Vec::new() };
    let simulated = Side { vfs: Box::new(sim.clone()), root: PathBuf::new(), open: Vec::new() };
    (real, simulated, sim)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_simulated_disk_answers_like_the_real_one(steps in prop::collection::vec(step(), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        let (mut real, mut simulated, sim) = sides(dir.path());
        for (i, step) in steps.iter().enumerate() {
            let (expected, found) = (real.run(step), simulated.run(step));
            prop_assert_eq!(expected, found, "step {}: {:?}", i, step);
        }
        prop_assert_eq!(real.everything(), simulated.everything());
        // The history leads to the same contents.
        let copy = sim.copy();
        for (path, _) in sim.files().unwrap() {
            prop_assert_eq!(sim.read_file(&path).unwrap(), copy.read_file(&path).unwrap());
        }
        prop_assert_eq!(sim.files().unwrap(), copy.files().unwrap());
    }
}
