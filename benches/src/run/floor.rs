//! The floor of the disk: what one `fdatasync` costs when next to nothing has to be written.
//!
//! No engine can answer a durable single write faster than this, and it drifts by a factor of two within hours, so it
//! is measured beside the rows it limits: overwrites of 200 bytes, one behind the other, in a file that was written and
//! synchronised before.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

const FILE_BYTES: usize = 1 << 20;
const WRITE_BYTES: usize = 200;
const SYNCS: usize = 200;

/// Median microseconds of a 200-byte overwrite and its `fdatasync`, in a file in `dir` that is removed afterwards.
///
/// # Errors
/// The disk's.
pub(crate) fn median_us(dir: &Path) -> io::Result<f64> {
    let path = dir.join("floor");
    let file = File::create_new(&path)?;
    let result = measure(&file);
    std::fs::remove_file(path)?;
    result
}

fn measure(file: &File) -> io::Result<f64> {
    file.write_all_at(&vec![1; FILE_BYTES], 0)?;
    file.sync_all()?;
    let mut times = Vec::with_capacity(SYNCS);
    for number in 0..SYNCS {
        let start = Instant::now();
        file.write_all_at(&[number as u8; WRITE_BYTES], (number * WRITE_BYTES) as u64)?;
        file.sync_data()?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[SYNCS / 2])
}

const _: () = assert!(SYNCS * WRITE_BYTES <= FILE_BYTES);

#[cfg(test)]
mod tests {
    #[test]
    fn a_floor_takes_time_and_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        assert!(super::median_us(dir.path()).unwrap() > 0.0);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
