//! `compact`: brings the files down to what lives in them, with a bar on a terminal, and says what was won.

use super::table::{Table, Unit, bytes_for_people};
use crate::failure::Result;
use crate::output::{Format, Working};
use crate::session::Session;
use crate::signals;
use halodb::Compaction;
use std::ops::ControlFlow;
use std::time::Instant;

/// Steps of the bar.
const STEPS: f64 = 1000.0;

/// `compact`: what was won. Ctrl-C ends it early; what was won by then stays.
pub(crate) fn compact(session: &mut Session, format: Format) -> Result<()> {
    let begun = Instant::now();
    let bar = Working::of("compacting", STEPS as u64);
    let won = session.db()?.compact_with(|done| {
        bar.at((done * STEPS) as u64);
        if signals::interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    drop(bar);
    let won = won?;
    Table::default()
        .number("bytes_before", won.bytes_before, Unit::Bytes)
        .number("bytes_after", won.bytes_after, Unit::Bytes)
        .number("bytes_won", won.won_bytes(), Unit::Bytes)
        .number("pages_written", won.pages_written, Unit::Count)
        .number("partitions_held_back", won.held_back, Unit::Count)
        .write(&mut session.out, format)?;
    if matches!(format, Format::Text | Format::Hex | Format::Base64) {
        session.out.line(sentence(&won, begun.elapsed().as_secs_f64()))?;
    }
    signals::check()
}

/// What was won, in words.
fn sentence(won: &Compaction, seconds: f64) -> String {
    let held = match won.held_back {
        0 => String::new(),
        _ => "; snapshots that are held keep the rest: `space` names them".to_owned(),
    };
    if won.won_bytes() == 0 {
        return format!("nothing to win: the files are as small as what lives in them{held}");
    }
    let percent = won.won_bytes() as f64 / won.bytes_before.max(1) as f64 * 100.0;
    format!("won {} ({percent:.1} %) in {seconds:.1} s{held}", bytes_for_people(won.won_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_won_is_said_in_words() {
        let check = |before, after, held_back, expected: &str| {
            let mut won = Compaction::default();
            (won.bytes_before, won.bytes_after, won.held_back) = (before, after, held_back);
            assert_eq!(sentence(&won, 1.25), expected);
        };
        check(4 << 20, 3 << 20, 0, "won 1.0 MiB (25.0 %) in 1.2 s");
        check(1 << 20, 1 << 20, 0, "nothing to win: the files are as small as what lives in them");
        let held = "won 1.0 MiB (50.0 %) in 1.2 s; snapshots that are held keep the rest: `space` names them";
        check(2 << 20, 1 << 20, 1, held);
    }
}
