//! [`Group`] and [`RowSpec`]: what is measured, and the list of it.
//!
//! A group runs in one process for one engine, from an empty directory to the end; its rows come in a fixed order,
//! because each finds the database as the rows before it left it. Every row checks what it was given.

mod basic;
mod model;
mod text;
mod threads;
mod timing;
mod tree;
mod unmerged;

pub(crate) use timing::rate;

use crate::engine::Result;
use crate::result::{Better, Bound, Unit};
use crate::run::Run;

/// A row, as the table shows it.
#[derive(Clone, Debug)]
pub(crate) struct RowSpec {
    /// Its name, one for the group.
    pub(crate) name: String,
    /// What its values count.
    pub(crate) unit: Unit,
    /// Which of them is better.
    pub(crate) better: Better,
    /// What decides it.
    pub(crate) bound: Bound,
}

impl RowSpec {
    /// Operations a second.
    pub(crate) fn rate(name: impl Into<String>, bound: Bound) -> Self {
        RowSpec { name: name.into(), unit: Unit::OpsPerSecond, better: Better::Higher, bound }
    }

    /// Something of which less is better.
    pub(crate) fn cost(name: impl Into<String>, unit: Unit, bound: Bound) -> Self {
        RowSpec { name: name.into(), unit, better: Better::Lower, bound }
    }
}

/// Rows that run together.
pub(crate) struct Group {
    /// Its name on the command line and of its file.
    pub(crate) name: &'static str,
    /// What it is, in a line of help.
    pub(crate) about: &'static str,
    /// Its rows, in order.
    pub(crate) rows: Vec<RowSpec>,
    /// The engines it is for, if not for all.
    pub(crate) engines: Option<&'static [&'static str]>,
    /// Runs them. A problem returned from here is given to all rows that have no answer yet.
    pub(crate) run: fn(&mut Run<'_>) -> Result<()>,
}

/// Every group, in the order they run.
pub(crate) fn groups() -> Vec<Group> {
    let mut groups = vec![basic::group(), threads::group(), unmerged::group(), text::group(), tree::group()];
    groups.extend(crate::mixed::groups());
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_of_groups_and_of_rows_in_a_group_differ() {
        let groups = groups();
        assert_eq!(groups.iter().map(|group| group.name).collect::<HashSet<_>>().len(), groups.len());
        for group in &groups {
            let names: HashSet<_> = group.rows.iter().map(|row| &row.name).collect();
            assert_eq!(names.len(), group.rows.len(), "{}", group.name);
        }
    }
}
