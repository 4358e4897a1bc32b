//! What the run ran on: the machine, the commit, the date; and what this process has used.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::result::Machine;

/// The machine; what cannot be found out is "unknown".
pub(crate) fn machine(dir: &Path) -> Machine {
    let unknown = || "unknown".to_owned();
    Machine {
        cpu: field("/proc/cpuinfo", "model name", ':').unwrap_or_else(unknown),
        cores: std::thread::available_parallelism().map_or(0, |cores| cores.get() as u32),
        memory_bytes: field("/proc/meminfo", "MemTotal", ':').and_then(|text| kib(&text)).unwrap_or(0),
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease").map_or_else(|_| unknown(), |text| text.trim().into()),
        os: field("/etc/os-release", "PRETTY_NAME", '=').map_or_else(unknown, |name| name.trim_matches('"').into()),
        file_system: fs::read_to_string("/proc/self/mountinfo")
            .ok()
            .and_then(|mounts| file_system(&mounts, &fs::canonicalize(dir).ok()?))
            .unwrap_or_else(unknown),
    }
}

/// The value behind the first line that begins with `name` in a file of `name separator value` lines.
fn field(path: &str, name: &str, separator: char) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(separator)?.1.trim().to_owned())
}

/// Bytes of "123 kB".
fn kib(text: &str) -> Option<u64> {
    Some(text.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}

/// The type of the file system that `dir` is on: the mount with the longest path that is a part of it, the last of
/// several. A line is `id parent device root MOUNTPOINT options [more] - TYPE source …` (proc_pid_mountinfo(5)).
fn file_system(mounts: &str, dir: &Path) -> Option<String> {
    let mount = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let point = left.split(' ').nth(4)?.to_owned();
        Some((point, right.split(' ').next()?.to_owned()))
    };
    mounts
        .lines()
        .filter_map(mount)
        .filter(|(point, _)| dir.starts_with(point))
        .max_by_key(|(point, _)| point.len())
        .map(|(_, kind)| kind)
}

/// The commit of the source, and whether it was changed since; results do not count as changes.
pub(crate) fn commit() -> (String, bool) {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "HEAD"]).unwrap_or_else(|| "unknown".into());
    let changes = git(&["status", "--porcelain", "--", ".", ":!benches/results", ":!docs/benchmarks*"]);
    (commit, changes.is_none_or(|changes| !changes.is_empty()))
}

/// Now, UTC, as `2026-11-21T11:22:33Z`.
pub(crate) fn now() -> String {
    date(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// A Unix time as a date. The civil calendar from a count of days: Howard Hinnant, "chrono-compatible low-level date
/// algorithms".
fn date(unix: u64) -> String {
    let (days, second) = (unix / 86_400 + 719_468, unix % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z", second % 60)
}

/// Seconds of processor time that this process has used.
pub(crate) fn cpu_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    #[expect(unsafe_code, reason = "a system call")]
    // SAFETY: `time` is a valid timespec to write to.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) } != 0;
    if failed { 0.0 } else { time.tv_sec as f64 + time.tv_nsec as f64 / 1e9 }
}

/// Greatest resident size of this process so far, in bytes.
pub(crate) fn peak_memory_bytes() -> u64 {
    field("/proc/self/status", "VmHWM", ':').and_then(|text| kib(&text)).unwrap_or(0)
}

/// Has the operating system write everything out, so that a worker does not pay for the one before it.
pub(crate) fn write_back() {
    #[expect(unsafe_code, reason = "a system call")]
    // SAFETY: sync(2) has no arguments and cannot fail.
    unsafe {
        libc::sync();
    }
}

/// Kills a process group that is led by the child process `leader`, which nobody has waited for yet.
pub(crate) fn kill_group(leader: u32) {
    #[expect(unsafe_code, reason = "a system call")]
    // SAFETY: kill(2) touches no memory. The leader was not waited for, so its number is still its own.
    unsafe {
        libc::kill(-(leader as i32), libc::SIGKILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01T00:00:00Z");
        assert_eq!(date(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(date(1_795_260_153), "2026-11-21T11:22:33Z");
    }

    #[test]
    fn a_file_system_is_that_of_the_nearest_mount() {
        let mounts = "1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 0:5 / /tmp rw shared:1 - tmpfs tmpfs rw\n";
        assert_eq!(file_system(mounts, Path::new("/tmp/x")).as_deref(), Some("tmpfs"));
        assert_eq!(file_system(mounts, Path::new("/tmpx")).as_deref(), Some("ext4"));
    }

    #[test]
    fn a_process_has_used_time_and_memory() {
        assert!((0..1_000_000u64).fold(1, |a, b| a ^ b.wrapping_mul(31)) != 0 && cpu_seconds() > 0.0);
        assert!(peak_memory_bytes() > 1 << 20);
    }
}
