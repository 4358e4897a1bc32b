//! A child made by `fork`, for tests: it runs a closure, reports through a file and ends by `_exit`. Shared with tests of the crates above, as
//! system calls belong here.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A child that takes longer hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A forked child.
pub(crate) struct Child {
    pid: i32,
    report: PathBuf,
}

/// Runs `body` in a forked child.
#[expect(unsafe_code, reason = "a child made by fork is what is tested")]
pub(crate) fn fork(report: &Path, body: impl FnOnce()) -> Child {
    // SAFETY: the child goes on in this thread alone, with the allocator that glibc keeps usable across a fork, takes no lock
    // that another thread may have held but those of the library under test, and ends by `_exit`.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let ran = catch_unwind(AssertUnwindSafe(body));
        let said = match &ran {
            Ok(()) => "done".to_owned(),
            Err(panic) => match panic.downcast_ref::<String>() {
                Some(text) => text.clone(),
                None => (*panic.downcast_ref::<&str>().unwrap_or(&"no message")).to_owned(),
            },
        };
        let _ = std::fs::write(report, said);
        // SAFETY: it ends the process and returns to nobody.
        unsafe { libc::_exit(i32::from(ran.is_err())) };
    }
    assert!(pid > 0, "fork failed: {}", std::io::Error::last_os_error());
    Child { pid, report: report.to_owned() }
}

impl Child {
    /// Waits for its end.
    #[expect(unsafe_code, reason = "a child made by fork is what is tested")]
    pub(crate) fn wait(self) {
        let begun = Instant::now();
        let mut status = 0;
        // SAFETY: waits for, or kills, the child of this number, which nobody else waits for.
        while unsafe { libc::waitpid(self.pid, &raw mut status, libc::WNOHANG) } == 0 {
            if begun.elapsed() > PATIENCE {
                // SAFETY: as above.
                unsafe {
                    libc::kill(self.pid, libc::SIGKILL);
                    libc::waitpid(self.pid, &raw mut status, 0);
                }
                panic!("the child hangs");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let said = std::fs::read_to_string(&self.report).unwrap_or_default();
        assert_eq!((status, said.as_str()), (0, "done"));
    }
}
