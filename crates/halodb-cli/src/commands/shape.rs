//! `stats` and `tree`: how large everything is and what the trees look like. On a terminal bars show how full pages are.

use super::table::{Table, Unit};
use crate::args::Tree;
use crate::failure::{Failure, Result};
use crate::output::{Format, Out, bar, grouped};
use crate::session::Session;
use halodb::PartitionShape;
use halodb::btree::LevelShape;
use serde_json::{Value, json};

/// `stats`: sizes and counters.
pub(crate) fn stats(session: &mut Session, format: Format) -> Result<()> {
    let db = session.db()?;
    let stats = db.stats();
    let (operations, latencies) = (&stats.operations, &stats.latencies);
    let bytes = |pages: u64| pages.saturating_mul(u64::from(stats.page_size));
    Table::default()
        .text("directory", db.path().display().to_string())
        .number("keys", db.len()?, Unit::Count)
        .number("partitions", u64::from(stats.partitions), Unit::Count)
        .number("page_size", u64::from(stats.page_size), Unit::Bytes)
        .number("tree_keys", stats.tree_keys, Unit::Count)
        .number("tree_pages", stats.pages, Unit::Count)
        .number("free_pages", stats.free_pages, Unit::Count)
        .number("tree_bytes", bytes(stats.pages), Unit::Bytes)
        .number("free_bytes", bytes(stats.free_pages), Unit::Bytes)
        .number("memtable_versions", stats.memtable_versions, Unit::Count)
        .number("memtable_bytes", stats.memtable_bytes, Unit::Bytes)
        .number("log_segments", stats.wal.segments, Unit::Count)
        .number("log_bytes", stats.wal.segment_bytes, Unit::Bytes)
        .number("log_live_bytes", stats.log_live_bytes, Unit::Bytes)
        .number("log_records_since_open", stats.wal.records, Unit::Count)
        .number("log_syncs_since_open", stats.wal.syncs, Unit::Count)
        .number("commits_since_open", stats.commits, Unit::Count)
        .number("merges_since_open", stats.merges, Unit::Count)
        .number("sweeps_since_open", stats.sweeps, Unit::Count)
        .number("stalls_since_open", stats.stalls, Unit::Count)
        .number("slowed_since_open", stats.slowed, Unit::Count)
        .number("slowed_us_since_open", stats.slowed_us, Unit::Count)
        .number("conflicts_since_open", stats.conflicts, Unit::Count)
        .number("gets_since_open", operations.gets, Unit::Count)
        .number("multi_gets_since_open", operations.multi_gets, Unit::Count)
        .number("scans_since_open", operations.scans, Unit::Count)
        .number("counts_since_open", operations.counts, Unit::Count)
        .number("plain_commits_since_open", operations.commits, Unit::Count)
        .number("conditional_commits_since_open", operations.conditional_commits, Unit::Count)
        .number("validated_commits_since_open", operations.validated_commits, Unit::Count)
        .number("range_deletes_since_open", operations.range_deletes, Unit::Count)
        .number("filters_asked_of_absent_keys", stats.filters.asked, Unit::Count)
        .share("filter_false_positive_rate", stats.filters.false_positive_rate())
        .latency("get_latency", &latencies.gets)
        .latency("multi_get_latency", &latencies.multi_gets)
        .latency("seek_latency", &latencies.seeks)
        .latency("count_latency", &latencies.counts)
        .latency("commit_latency", &latencies.commits)
        .latency("sync_commit_latency", &latencies.sync_commits)
        .latency("sync_latency", &latencies.syncs)
        .latency("merge_latency", &latencies.merges)
        .latency("upkeep_latency", &latencies.upkeep)
        .latency("stall_latency", &latencies.stalls)
        .latency("slowed_latency", &latencies.slowed)
        .number("last_visible_seq", stats.visible, Unit::Count)
        .number("last_durable_seq", stats.durable, Unit::Count)
        .write(&mut session.out, format)
}

/// Characters of a bar.
const BAR: usize = 20;

/// `tree [--depth N] [--partition N]`: levels, pages, fill of each partition.
pub(crate) fn tree(session: &mut Session, tree: &Tree, format: Format) -> Result<()> {
    let db = session.db()?;
    let partitions = db.stats().partitions;
    if let Some(partition) = tree.partition.filter(|partition| *partition >= partitions) {
        return Err(Failure::usage(format!(
            "there is no partition {partition}: the database has {partitions}, from 0 on"
        )));
    }
    let mut shapes = db.shape()?;
    shapes.retain(|shape| tree.partition.is_none_or(|partition| partition == shape.partition));
    let depth = tree.depth.unwrap_or(usize::MAX);
    if format.is_json() {
        let all: Vec<Value> = shapes.iter().map(|shape| as_json(shape, depth)).collect();
        return session.out.line(Value::Array(all).to_string());
    }
    if format == Format::Csv {
        session.out.line("partition,level,pages,entries,used_bytes,capacity_bytes,extra_pages")?;
    }
    for shape in &shapes {
        match format {
            Format::Csv => write_csv(&mut session.out, shape, depth)?,
            _ => write_text(&mut session.out, shape, depth)?,
        }
    }
    Ok(())
}

fn write_text(out: &mut Out, shape: &PartitionShape, depth: usize) -> Result<()> {
    out.line(format!(
        "partition {}: {} keys, {} file pages, {} free, {} unmerged versions in memory",
        shape.partition,
        grouped(shape.keys),
        grouped(shape.pages),
        grouped(shape.free_pages),
        grouped(shape.unmerged),
    ))?;
    out.line(format!("  {}", shape.path.display()))?;
    if shape.levels.is_empty() {
        return out.line("  no page: the tree is empty");
    }
    for (i, level) in shape.levels.iter().take(depth).enumerate() {
        // The root is drawn as the trunk, each level below as a branch of the one above.
        let indent = match i {
            0 => String::new(),
            _ => format!("{}└ ", "  ".repeat(i - 1)),
        };
        let kind = match (i, level.level) {
            (0, 0) => "root, a leaf",
            (0, _) => "root",
            (_, 0) => "leaves",
            _ => "branches",
        };
        let percent = fill_percent(level);
        let bar = if out.terminal { format!("  {}", bar(percent / 100.0, BAR)) } else { String::new() };
        let items = if level.level == 0 { "keys" } else { "children" };
        let mut line = format!(
            "  {:<26}{:>10} pages {:>13} {items:<8}{bar}  {percent:>5.1} % full",
            format!("{indent}level {} {kind}", level.level),
            grouped(level.pages),
            grouped(level.entries),
        );
        if level.extra_pages > 0 {
            let what = if level.level == 0 { "long values" } else { "filters" };
            line.push_str(&format!("  + {} pages of {what}", grouped(level.extra_pages)));
        }
        out.line(line)?;
    }
    Ok(())
}

fn write_csv(out: &mut Out, shape: &PartitionShape, depth: usize) -> Result<()> {
    for level in shape.levels.iter().take(depth) {
        out.line(format!(
            "{},{},{},{},{},{},{}",
            shape.partition,
            level.level,
            level.pages,
            level.entries,
            level.used_bytes,
            level.capacity_bytes,
            level.extra_pages
        ))?;
    }
    Ok(())
}

fn as_json(shape: &PartitionShape, depth: usize) -> Value {
    let level = |level: &LevelShape| {
        json!({
            "level": level.level,
            "pages": level.pages,
            "entries": level.entries,
            "used_bytes": level.used_bytes,
            "capacity_bytes": level.capacity_bytes,
            "fill_percent": (fill_percent(level) * 10.0).round() / 10.0,
            "extra_pages": level.extra_pages,
        })
    };
    json!({
        "partition": shape.partition,
        "path": shape.path.display().to_string(),
        "keys": shape.keys,
        "pages": shape.pages,
        "free_pages": shape.free_pages,
        "unmerged": shape.unmerged,
        "levels": shape.levels.iter().take(depth).map(level).collect::<Vec<_>>(),
    })
}

fn fill_percent(level: &LevelShape) -> f64 {
    if level.capacity_bytes == 0 {
        return 0.0;
    }
    level.used_bytes as f64 / level.capacity_bytes as f64 * 100.0
}
