//! Rules about a whole configuration: each value in its bounds, and values that contradict each other.

use super::kind::Fault;
use super::options::{Config, OPTIONS};
use super::problem::{ConfigErrors, Place, Problem};
use super::setting::{Notation, Setting};

/// Two options whose values cannot both hold.
pub(super) struct Contradiction {
    /// Names of the options; the first is blamed if neither was set later than the other.
    pub(super) options: [&'static str; 2],
    pub(super) fault: Fault,
}

impl Config {
    /// Checks bounds and contradictions.
    ///
    /// # Errors
    ///
    /// All that is wrong; the places are `section.key`.
    pub fn validate(&self) -> Result<(), ConfigErrors> {
        let mut problems = Vec::new();
        for option in OPTIONS {
            if let Err(fault) = option.check(&option.get(self), Notation::Bare) {
                problems.push(Problem::new(Place::Key { name: option.name() }, fault));
            }
        }
        // A value out of its bounds is its own explanation.
        if problems.is_empty() {
            for Contradiction { options, fault } in contradictions(self, Notation::Bare) {
                problems.push(Problem::new(Place::Key { name: options[0].to_owned() }, fault));
            }
        }
        ConfigErrors::unless_empty(problems, ())
    }
}

pub(super) fn contradictions(config: &Config, notation: Notation) -> Vec<Contradiction> {
    let mut found = Vec::new();
    let size = |bytes| Setting::Size(bytes).render(notation);

    // While one segment is being written the one before it must be allowed to stay until it is merged.
    let (limit, segment) = (config.wal.limit, config.wal.segment);
    let twice = segment.saturating_mul(2);
    if limit < twice {
        found.push(Contradiction {
            options: ["wal.limit", "wal.segment"],
            fault: Fault {
                message: format!("`wal.limit` is {}, less than two segments of {} each", size(limit), size(segment)),
                hint: Some(format!(
                    "set `wal.limit` to {} or more, or `wal.segment` to {} or less",
                    size(twice),
                    size(limit / 2)
                )),
            },
        });
    }
    found
}
