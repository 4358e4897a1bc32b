//! A merge divided by key ranges, each part in a thread of its own.
//!
//! ```text
//! part 0        part 1        part 2        each walks the old tree within its keys and makes leaves,
//! ──────────┤   ├─────────┤   ├──────────   through a share of the transaction
//!            cut           cut
//! join: all that the parts noted, in key order, through the packers of branches; one root
//! ```
//!
//! A cut is any key. The old pages on the way down to it hold keys of two parts: each part takes over its own side, entries of a
//! leaf or children of a branch, and the join gives the page up. What a part has left at its end and what the next one holds
//! back at its beginning meet in the join's packer of leaves, so a seam looks like any other place of the tree.
//!
//! Invariant: the new tree holds what an undivided merge would give; only where its leaves begin may differ. If a part
//! reaches its limit, what the later ones made is dropped, and the old tree stays behind it: so what is merged is always all up
//! to one key.

use super::executor::{Executor, Task};
use super::input::Input;
use super::output::{Made, Output, Pages};
use super::part::Part;
use super::walk::Walk;
use super::{Change, Edits, KeyRange, Merged, check_fill};
use crate::error::{Error, Result};
use crate::tree::Tree;
use halodb_pager::{Hand, Hands, WriteTxn};
use halodb_vfs::mutant;
use std::collections::BTreeSet;
use std::sync::OnceLock;

/// The edits of one part of a divided merge.
pub struct MergePart<'e> {
    /// No edit of this part is below, and none of the part before it is at or above. Of the first part: empty.
    pub start: Vec<u8>,
    /// Its edits.
    pub edits: &'e mut (dyn Edits + Send),
}

/// As [`super::merge`], with the edits divided into parts that `executor` works through, at the same time if it can.
///
/// The tree holds the same entries afterwards as after an undivided merge, whatever the parts are; to be of use they should have
/// about equally many edits. Each part stops at its share of `limit_pages`, so a limit that is not to be reached should leave
/// room for parts that are larger than others: what was made behind a part that stops is dropped. The streams of edits have
/// no defined place afterwards; [`Merged::merged_up_to`] says what is in.
///
/// Costs what the undivided merge costs, and a second look at what is kept of the branches above touched leaves. Memory: for each part
/// a few megabytes of pages that are being written, and about 200 bytes for each leaf that was made or stands beside a touched one.
///
/// # Errors
/// As [`super::merge`]; [`Error::Invalid`] as well for parts out of order, and edits outside of their part.
pub fn merge_parts(
    txn: &mut WriteTxn<'_>,
    base: &Tree,
    ranges: &[KeyRange],
    parts: Vec<MergePart<'_>>,
    fill_percent: u32,
    limit_pages: u64,
    executor: &dyn Executor,
) -> Result<Merged> {
    check_fill(fill_percent)?;
    Input::check_ranges(ranges)?;
    let starts: Vec<Vec<u8>> = parts.iter().map(|part| part.start.clone()).collect();
    if starts.first().is_none_or(|start| !start.is_empty()) || starts.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(Error::Invalid("the parts of a merge do not begin at the first key, or do not ascend".to_string()));
    }
    let limit_pages = limit_pages.div_ceil(parts.len() as u64);
    let hands = txn.divide();
    let job = |index: usize| {
        let end = starts.get(index + 1).map(Vec::as_slice);
        let ranges = clipped(ranges, &starts[index], end);
        Job { hands: &hands, base, start: &starts[index], end, ranges, fill_percent, limit_pages }
    };
    let slots: Vec<OnceLock<Result<(Hand<'_>, Made)>>> = parts.iter().map(|_| OnceLock::new()).collect();
    let tasks = parts.into_iter().zip(&slots).enumerate().map(|(index, (part, slot))| {
        let job = job(index);
        let task: Task<'_> = Box::new(move || {
            // Nobody else sets it.
            let _ = slot.set(job.run(part.edits));
        });
        task
    });
    executor.run(tasks.collect());

    let mut hands_and_parts = Vec::with_capacity(slots.len());
    for slot in slots {
        let undone = || Err(Error::Invalid("a part of the merge was not run".to_string()));
        hands_and_parts.push(slot.into_inner().unwrap_or_else(undone)?);
    }
    let mut merged_up_to = None;
    if let Some(stopped) = hands_and_parts.iter_mut().position(|(_, made)| made.stopped.is_some()) {
        merged_up_to = hands_and_parts[stopped].1.stopped.take();
        hands_and_parts.truncate(stopped + 1);
        if let Some(start) = starts.get(stopped + 1) {
            let rest = Job { hands: &hands, base, start, end: None, ranges: Vec::new(), fill_percent, limit_pages };
            hands_and_parts.push(rest.run(&mut NoEdits)?);
        }
    }
    if !hands_and_parts.iter().any(|(_, made)| made.is_changed) {
        return Ok(Merged { root: base.root(), merged_up_to, pages_written: 0, pages_freed: 0 });
    }
    let mut made = Vec::with_capacity(hands_and_parts.len());
    for (hand, part) in hands_and_parts {
        hand.keep();
        made.push(part);
    }
    let mut output = Output::new(txn, base, fill_percent);
    give_up_cut_pages(base, &starts[1..made.len()], &mut output)?;
    made.iter().try_for_each(|part| output.join(part))?;
    let (root, pages_written, pages_freed) = output.finish()?;
    Ok(Merged { root, merged_up_to, pages_written, pages_freed })
}

/// What one part has to do.
struct Job<'j, 't, 'p> {
    hands: &'j Hands<'t, 'p>,
    base: &'j Tree,
    start: &'j [u8],
    end: Option<&'j [u8]>,
    ranges: Vec<KeyRange>,
    fill_percent: u32,
    limit_pages: u64,
}

impl<'j> Job<'j, '_, '_> {
    fn run(self, edits: &mut dyn Edits) -> Result<(Hand<'j>, Made)> {
        let Job { hands, base, start, end, .. } = self;
        let input = Input::new(edits, &self.ranges, base.snapshot().page_size())?.within(start, end)?;
        let part = if start.is_empty() { Part::first } else { Part::later };
        let pages = |target, capacity| Pages::Hand(Box::new(hands.hand()), Box::new(part(target, capacity)));
        let output = Output::with(pages, base, self.fill_percent);
        let made = Walk::new(base, input, output, self.limit_pages).within(start, end).run_part()?;
        made.ok_or_else(|| Error::Invalid("a part of the merge noted nothing".to_string()))
    }
}

struct NoEdits;

impl Edits for NoEdits {
    fn current(&self) -> Option<(&[u8], Change<'_>)> {
        None
    }
    fn advance(&mut self) {}
}

/// What of some ranges lies from `start` on and below `end`.
fn clipped(ranges: &[KeyRange], start: &[u8], end: Option<&[u8]>) -> Vec<KeyRange> {
    let clip = |range: &KeyRange| {
        let from = start.max(&range.start).to_vec();
        let to = match (range.end.as_deref(), end) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        to.is_none_or(|to| *from < *to).then(|| KeyRange { start: from, end: to.map(<[u8]>::to_vec) })
    };
    ranges.iter().filter_map(clip).collect()
}

/// Gives up the pages of the old tree that hold keys of several parts, each once.
fn give_up_cut_pages(base: &Tree, cuts: &[Vec<u8>], output: &mut Output<'_, '_>) -> Result<()> {
    let mut given_up = BTreeSet::new();
    for cut in cuts {
        let Some((mut at, mut level)) = base.top() else { return Ok(()) };
        loop {
            // A planted fault forgets the pages that are cut.
            let is_first = given_up.insert(at.id) && !mutant("btree.seam-leaks-page");
            if level == 0 {
                if is_first {
                    output.free(at)?;
                }
                break;
            }
            let branch = base.branch(at, level)?;
            if is_first {
                output.free_branch(at, &branch)?;
            }
            let index = base.decoded(at, branch.find(cut))?;
            let mut start = Vec::new();
            if let Some(before) = index.checked_sub(1) {
                base.decoded(at, branch.append_separator(before, &mut start))?;
            }
            // A page that begins with the cut is no matter of the part before it. An empty start is the branch's own.
            if start == *cut {
                break;
            }
            at = base.child(at, &branch, index)?.at;
            level -= 1;
        }
    }
    Ok(())
}

impl std::fmt::Debug for MergePart<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MergePart").field("start", &self.start).finish_non_exhaustive()
    }
}
