//! What an open is given beside files: threads for the replay of the log, and who hears how far it is.
//!
//! Threads live as long as a piece of work, and there are as many as processors at most. With a file system of one's own
//! ([`Builder::vfs`](crate::Builder::vfs)) there are none: what a simulated disk sees is the same each time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use halodb_partition::OpenProgress;

/// Who hears how far the replay is.
#[derive(Clone, Default)]
pub(crate) struct Listener(Option<Arc<dyn Fn(OpenProgress) + Send + Sync>>);

impl Listener {
    pub(crate) fn new(hear: impl Fn(OpenProgress) + Send + Sync + 'static) -> Self {
        Listener(Some(Arc::new(hear)))
    }

    pub(crate) fn tell(&self, progress: OpenProgress) {
        if let Some(hear) = &self.0 {
            hear(progress);
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Listener" } else { "None" })
    }
}

/// Does pieces of work in as many threads as there are processors, the calling one among them. A thread that the system
/// refuses is done without. A panic in a piece goes on in the caller when the others have ended.
pub(crate) fn side_by_side(pieces: usize, piece: &(dyn Fn(usize) + Sync)) {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            match next.fetch_add(1, Ordering::Relaxed) {
                number if number < pieces => piece(number),
                _ => return,
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..processors.min(pieces) {
            let thread = std::thread::Builder::new().name("halodb-open".to_owned());
            if thread.spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        work();
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn each_piece_is_done_once_whatever_the_number_of_threads() {
        for pieces in [0, 1, 2, 3, 100] {
            let done: Vec<_> = (0..pieces).map(|_| AtomicU32::new(0)).collect();
            side_by_side(pieces, &|number| {
                done[number].fetch_add(1, Ordering::Relaxed);
            });
            assert!(done.iter().all(|n| n.load(Ordering::Relaxed) == 1), "{done:?}");
        }
    }
}
