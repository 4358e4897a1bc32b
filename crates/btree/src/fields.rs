//! The parts of a body as ranges with the names that `docs/format` gives them: for tools that show bytes ([`crate::inspect`]).
//! Where the parts end is for the files to say that own the formats.

use halodb_pager::inspect::Field;

/// Parts that stand one behind the other, each given by where it ends. What is empty is left out; nothing ends behind `limit`.
pub(crate) fn up_to(limit: usize, ends: &[(usize, &'static str)]) -> Vec<Field> {
    let mut from = 0;
    let mut fields = Vec::new();
    for &(end, name) in ends {
        let end = end.min(limit);
        if end > from {
            fields.push((from..end, name));
            from = end;
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_each_other_and_stay_within_the_limit() {
        assert_eq!(up_to(9, &[(2, "a"), (2, "b"), (8, "c"), (12, "d")]), [(0..2, "a"), (2..8, "c"), (8..9, "d")]);
        assert_eq!(up_to(0, &[(2, "a")]), []);
    }
}
