//! How long the file is for the pages it holds: it grows in steps ahead of its pages, and shrinks only by more than one.
//!
//! A step is a quarter of the file, at least 64 KiB and at most 2 MiB, a power of two, and the file ends on a multiple of
//! it: small files stay small, large ones grow in pieces that the file system can lay out well.

const MIN_STEP: u64 = 64 * 1024;
const MAX_STEP: u64 = 2 * 1024 * 1024;

fn step(needed: u64) -> u64 {
    (needed / 4).clamp(MIN_STEP, MAX_STEP).next_power_of_two()
}

/// The length to give a file that needs `needed` bytes.
pub(crate) fn grown(needed: u64) -> u64 {
    needed.next_multiple_of(step(needed))
}

/// The length to cut a file of `len` bytes to; `None`: it is not worth it.
pub(crate) fn shrunk(needed: u64, len: u64) -> Option<u64> {
    let target = grown(needed);
    (len >= target.saturating_add(step(needed))).then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_grows_in_steps_that_fit_its_size() {
        let check = |needed, expected| assert_eq!(grown(needed), expected, "{needed}");
        check(8192, 64 << 10);
        check(64 << 10, 64 << 10);
        check((64 << 10) + 1, 128 << 10);
        check(200 << 10, 256 << 10);
        check(5 << 20, 6 << 20);
        check(100 << 20, 100 << 20);
        check((100 << 20) + 1, 102 << 20);
    }

    #[test]
    fn a_file_is_not_cut_by_less_than_a_step() {
        let check = |needed, len, expected| assert_eq!(shrunk(needed, len), expected, "{needed} {len}");
        check(8192, 64 << 10, None);
        check(8192, 128 << 10, Some(64 << 10));
        check(8192, 8192, None);
        check(100 << 20, 101 << 20, None);
        check(100 << 20, 102 << 20, Some(100 << 20));
    }
}
