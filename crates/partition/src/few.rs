//! [`Few`]: a list that mostly has one element, which needs no memory of its own then.
//!
//! Most commits are a single write: its lists of writes, places and partitions would cost more than looking at it.

use std::ops::Deref;

/// One element in place, or a list.
#[derive(Debug)]
pub(crate) enum Few<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Few::One(one) => std::slice::from_ref(one),
            Few::Many(many) => many,
        }
    }
}

impl<T> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(all: I) -> Self {
        let mut all = all.into_iter();
        match (all.next(), all.next()) {
            (None, _) => Few::Many(Vec::new()),
            (Some(one), None) => Few::One(one),
            (Some(first), Some(second)) => {
                let mut many = Vec::with_capacity(all.size_hint().0.saturating_add(2));
                many.extend([first, second]);
                many.extend(all);
                Few::Many(many)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_what_was_collected_however_much_that_is() {
        for count in 0..5 {
            let few: Few<u32> = (0..count).collect();
            assert_eq!(few[..], (0..count).collect::<Vec<_>>());
            assert_eq!(matches!(few, Few::One(_)), count == 1);
        }
    }
}
