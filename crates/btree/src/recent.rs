//! Whether the lookups of this thread find their keys.
//!
//! A filter answers "not here" without a look at the leaf, and costs a lookup that finds its key two accesses to memory
//! for nothing. Which of the two a program does is mostly a habit: it reads what it knows to be there, or it asks about
//! what may be new. So a thread whose last lookups all found their keys goes straight to the leaf, and the first one that
//! does not brings the filters back: a lookup of an absent key is slow once, the next ones are not.
//!
//! One number per thread, whatever the tree; no two threads share it. What is absent: any effect on the answers, as
//! long as filters are true.

use std::cell::Cell;

/// So many lookups in a row have to find their keys before filters are passed over.
const ENOUGH: u8 = 16;

thread_local! {
    /// How many lookups in a row have found their keys, up to [`ENOUGH`].
    static FOUND: Cell<u8> = const { Cell::new(0) };
}

/// Whether to ask filters.
#[inline]
pub(crate) fn filters_pay() -> bool {
    FOUND.get() < ENOUGH
}

/// Takes note of a lookup that came to its end.
#[inline]
pub(crate) fn note(found: bool) {
    FOUND.set(if found { (FOUND.get() + 1).min(ENOUGH) } else { 0 });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_passed_over_after_enough_hits_until_the_first_miss() {
        note(false);
        for _ in 0..ENOUGH {
            assert!(filters_pay());
            note(true);
        }
        assert!(!filters_pay());
        note(true);
        assert!(!filters_pay());
        std::thread::spawn(|| assert!(filters_pay())).join().unwrap();
        note(false);
        assert!(filters_pay());
    }
}
