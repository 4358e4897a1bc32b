//! [`caught`] turns a panic of the engine into a finding, and [`Watch`] turns a hang into one.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

thread_local! {
    /// The message of the last panic on this thread, while [`caught`] runs; `None` outside it.
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `f`; a panic in it is an error that says where and why.
///
/// # Errors
/// The message and place of the panic.
pub fn caught<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    install_hook();
    LAST.with(|last| *last.borrow_mut() = Some(String::new()));
    let outcome = catch_unwind(AssertUnwindSafe(f));
    let message = LAST.with(|last| last.borrow_mut().take()).unwrap_or_default();
    outcome.map_err(|_| format!("panicked: {message}"))
}

/// Panics that [`caught`] expects are remembered, all others are printed as ever.
fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let ordinary = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let expected = LAST.with(|last| match last.try_borrow_mut() {
                Ok(mut last) => match last.as_mut() {
                    Some(message) => {
                        *message = info.to_string();
                        true
                    }
                    None => false,
                },
                Err(_) => false,
            });
            if !expected || std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value == "full") {
                ordinary(info);
            }
        }));
    });
}

/// What is running now, and since when.
type Running = Arc<Mutex<Option<(Instant, String)>>>;

/// Ends the process, saying what was running, when one case takes longer than a limit: a hang cannot be caught.
#[derive(Debug)]
pub struct Watch {
    running: Running,
}

impl Watch {
    /// Watches the calling thread's cases.
    pub fn new(limit: Duration) -> Watch {
        let running = Running::default();
        let watched = Arc::downgrade(&running);
        std::thread::spawn(move || {
            while let Some(running) = watched.upgrade() {
                let since = running.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some((started, what)) = since
                    && started.elapsed() > limit
                {
                    eprintln!("FAILURE: no end after {} s\n  reproduce: {what}", limit.as_secs());
                    std::process::exit(3);
                }
                drop(running);
                std::thread::sleep(Duration::from_millis(500));
            }
        });
        Watch { running }
    }

    /// A case begins; `reproduce` is the command that runs it alone.
    pub fn begin(&self, reproduce: String) {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), reproduce));
    }

    /// The case is over.
    pub fn end(&self) {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_sentence_with_its_place() {
        let empty: &[u32] = &[];
        let text = caught(|| empty[std::hint::black_box(3)]).unwrap_err();
        assert!(text.contains("guard.rs") && text.contains("out of bounds"), "{text}");
        assert_eq!(caught(|| 5), Ok(5));
    }
}
