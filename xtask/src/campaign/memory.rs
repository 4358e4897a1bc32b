//! An allocator that counts, for each thread, what it has and the most it had: so that a campaign can say that a damaged
//! file makes the engine claim no memory that the file does not pay for.
//!
//! Only what a thread allocates itself is counted: enough for the engine without threads. Mappings are not memory in
//! this sense: they reserve addresses.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

#[global_allocator]
static COUNTING: Counting = Counting;

struct Counting;

thread_local! {
    /// Bytes this thread has; what it frees for another one counts against it.
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // While a thread ends its counters may be gone; nobody measures then.
    let _ = HELD.try_with(|held| {
        let now = held.get() + bytes;
        held.set(now);
        let _ = MOST.try_with(|most| most.set(most.get().max(now)));
    });
}

#[expect(
    unsafe_code,
    reason = "the interface of a global allocator is unsafe; everything is handed on to the system's"
)]
// SAFETY: every call goes to `System` with the arguments it came with, and its answer is returned unchanged. Counting
// neither allocates nor unwinds: the counters need no initialisation and have no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`, which is that of `System`.
        let block = unsafe { System.alloc(layout) };
        if !block.is_null() {
            count(layout.size() as isize);
        }
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for `alloc`.
        let block = unsafe { System.alloc_zeroed(layout) };
        if !block.is_null() {
            count(layout.size() as isize);
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block came from `System` with this layout, because every allocation does.
        unsafe { System.dealloc(block, layout) };
        count(-(layout.size() as isize));
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as for `dealloc`, and the caller has checked `size`.
        let moved = unsafe { System.realloc(block, layout, size) };
        if !moved.is_null() {
            // Old and new block exist at the same time while the system copies.
            count(size as isize);
            count(-(layout.size() as isize));
        }
        moved
    }
}

/// Runs `f`; how many bytes more than before this thread had at most, meanwhile.
pub fn measured<T>(f: impl FnOnce() -> T) -> (T, u64) {
    let before = HELD.with(Cell::get);
    MOST.with(|most| most.set(before));
    let result = f();
    let most = MOST.with(Cell::get);
    (result, (most - before).max(0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_amount_held_at_a_time_is_measured() {
        let (_, most) = measured(|| {
            drop(std::hint::black_box(vec![0u8; 1 << 20]));
            drop(std::hint::black_box(vec![1u8; 3 << 20]));
        });
        assert!((3 << 20..4 << 20).contains(&most), "{most}");
    }
}
