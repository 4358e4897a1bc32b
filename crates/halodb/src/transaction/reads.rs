//! [`Reads`]: what a transaction has read so far, finished scans and those that are under way.
//!
//! A scan has read from its beginning to the key that it gave out last, and nothing beyond: what others write there is no
//! business of this transaction's. How far it is, it says at every step, in a place of its own here, so that even a scan
//! that is never dropped is remembered; in the set it is entered once, when it ends.
//!
//! Keys here are stored keys. This file does *not* know what was found.

use std::cell::RefCell;
use std::ops::Bound;

use halodb_partition::ReadSet;

use crate::short::Short;
use crate::span::Span;

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Reads {
    set: RefCell<ReadSet>,
    scans: RefCell<Vec<Option<Extent>>>,
}

/// How far a scan is.
#[derive(Debug)]
struct Extent {
    span: Span,
    /// The last key that was given out from the front, and from the back.
    front: Option<Short>,
    back: Option<Short>,
    /// Whether it knows that there is nothing in between.
    is_over: bool,
}

impl Extent {
    fn enter(&self, set: &mut ReadSet) {
        let (from, to) = self.span.bounds();
        if self.is_over {
            set.add_range(from, to);
            return;
        }
        if let Some(front) = &self.front {
            set.add_range(from, Bound::Included(front));
        }
        if let Some(back) = &self.back {
            set.add_range(Bound::Included(back), to);
        }
    }
}

impl Reads {
    pub(super) fn add_key(&self, stored: &[u8]) {
        self.set.borrow_mut().add_key(stored);
    }

    pub(super) fn add_span(&self, span: &Span) {
        let (from, to) = span.bounds();
        self.set.borrow_mut().add_range(from, to);
    }

    /// A scan that has read nothing yet.
    pub(super) fn begin_scan(&self, span: Span) -> Progress<'_> {
        let mut scans = self.scans.borrow_mut();
        let number = scans.iter().position(Option::is_none).unwrap_or(scans.len());
        if number == scans.len() {
            scans.push(None);
        }
        scans[number] = Some(Extent { span, front: None, back: None, is_over: false });
        Progress { reads: self, number }
    }

    /// Everything, scans that were never dropped included.
    pub(super) fn into_set(self) -> ReadSet {
        let mut set = self.set.into_inner();
        self.scans.into_inner().iter().flatten().for_each(|extent| extent.enter(&mut set));
        set
    }
}

/// A scan's place. Dropping it ends the scan.
#[derive(Debug)]
pub(super) struct Progress<'t> {
    reads: &'t Reads,
    number: usize,
}

impl Progress<'_> {
    /// The front has given out a key.
    pub(super) fn front(&self, stored: Short) {
        self.change(|extent| extent.front = Some(stored));
    }

    /// The back has given out a key.
    pub(super) fn back(&self, stored: Short) {
        self.change(|extent| extent.back = Some(stored));
    }

    /// There is nothing more in between.
    pub(super) fn over(&self) {
        self.change(|extent| extent.is_over = true);
    }

    fn change(&self, change: impl FnOnce(&mut Extent)) {
        if let Some(extent) = &mut self.reads.scans.borrow_mut()[self.number] {
            change(extent);
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if let Some(extent) = self.reads.scans.borrow_mut()[self.number].take() {
            extent.enter(&mut self.reads.set.borrow_mut());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space_id::SpaceId;

    /// Which of a, b, …, g a scan over b to f has read when `scan` is done with it.
    #[track_caller]
    fn check(scan: impl FnOnce(&Progress<'_>), expected: &str) {
        let space = SpaceId::new(SpaceId::DEFAULT, 4096);
        let reads = Reads::default();
        let progress = reads.begin_scan(Span::of(space, "b".."g").expect("not empty"));
        scan(&progress);
        drop(progress);
        let set = reads.into_set();
        let read: String = ('a'..='h').filter(|key| set.covers(&space.join(key.to_string().as_bytes()))).collect();
        assert_eq!(read, expected);
    }

    fn at(key: &str) -> Short {
        SpaceId::new(SpaceId::DEFAULT, 4096).join(key.as_bytes())
    }

    #[test]
    fn a_scan_has_read_as_far_as_it_has_given_out() {
        check(|_| (), "");
        check(|scan| scan.front(at("c")), "bc");
        check(|scan| scan.back(at("e")), "ef");
        check(
            |scan| {
                scan.front(at("b"));
                scan.back(at("f"));
                scan.front(at("d"));
            },
            "bcdf",
        );
        check(|scan| scan.over(), "bcdef");
    }

    #[test]
    fn a_scan_that_is_never_dropped_is_remembered() {
        let reads = Reads::default();
        let scan = reads.begin_scan(Span::all(SpaceId::new(SpaceId::DEFAULT, 4096)));
        scan.front(at("m"));
        std::mem::forget(scan);
        let other = reads.begin_scan(Span::all(SpaceId::new(SpaceId::DEFAULT, 4096)));
        other.back(at("x"));
        drop(other);
        let set = reads.into_set();
        assert!(set.covers(&at("a")) && set.covers(&at("m")) && !set.covers(&at("n")) && set.covers(&at("z")));
    }
}
