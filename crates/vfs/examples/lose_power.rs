//! Two ways of saving a file, and what is left of each when the power fails at the worst moment.
//!
//! Run with `cargo run -p halodb-vfs --example lose_power`.

use halodb_vfs::sim::CrashMode::{Garbage, Prefix, Random, Strict, Torn4k};
use halodb_vfs::{FileExt, OpenMode, SimVfs, Vfs};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

const OLD: &[u8] = &[b'o'; 2000];
const NEW: &[u8] = &[b'n'; 3000];

/// Overwrites the file where it lies. Every programmer has written this once.
fn save_naively(disk: &dyn Vfs) -> io::Result<()> {
    let file = disk.open(Path::new("settings"), OpenMode::Create)?;
    file.set_len(0)?;
    file.write_all_at(NEW, 0)?;
    file.sync_data()
}

/// Writes another file, makes it durable, and gives it the name; then makes the name durable.
fn save_properly(disk: &dyn Vfs) -> io::Result<()> {
    let file = disk.open(Path::new("settings.tmp"), OpenMode::Create)?;
    file.set_len(0)?;
    file.write_all_at(NEW, 0)?;
    file.sync_data()?;
    disk.rename(Path::new("settings.tmp"), Path::new("settings"))?;
    disk.sync_dir(Path::new(""))
}

fn verdict(found: Option<&[u8]>) -> &'static str {
    match found {
        None => "no file at all",
        Some(OLD) => "the old settings",
        Some(NEW) => "the new settings",
        Some([]) => "an empty file",
        Some(bytes) if bytes.contains(&0) => "a file with holes",
        Some(_) => "a mixture",
    }
}

fn main() -> io::Result<()> {
    for (name, save) in [
        ("overwriting in place", save_naively as fn(&dyn Vfs) -> io::Result<()>),
        ("another file, sync, rename, sync", save_properly),
    ] {
        let disk = SimVfs::new();
        disk.write_file("settings", OLD)?;
        disk.forget_history();
        save(&disk)?;

        let mut outcomes: BTreeMap<&str, u64> = BTreeMap::new();
        for at in 0..=disk.ops() {
            for mode in [Strict, Prefix, Random, Torn4k, Garbage] {
                for seed in 0..200 {
                    let after = disk.crash_image(at, mode, seed);
                    let found = after.read_file("settings").ok();
                    *outcomes.entry(verdict(found.as_deref())).or_default() += 1;
                }
            }
        }
        let images: u64 = outcomes.values().sum();
        println!("{name}: {} operations, {images} power losses leave", disk.ops());
        for (outcome, times) in outcomes {
            println!("{times:>8}  {outcome}");
        }
    }
    Ok(())
}
