//! `space`: where every byte of the files is, and who holds back what could be used again. On a terminal a
//! bar beside each part shows its share of all files.

use super::table::bytes_for_people;
use crate::failure::Result;
use crate::output::{Format, Out, bar};
use crate::session::Session;
use halodb::{HeldSnapshot, PartitionSpace, Space};
use serde_json::{Map, Value, json};

/// How much of a page file a part takes.
type Bytes = fn(&PartitionSpace) -> u64;

/// The parts in the order they are shown: the name for programs, the one for people.
const PARTS: [(&str, &str, Bytes); 11] = [
    ("leaves", "keys and values", |part| part.leaves),
    ("values", "long values", |part| part.values),
    ("branches", "branches", |part| part.branches),
    ("filters", "filters", |part| part.filters),
    ("metas", "metas", |part| part.metas),
    ("free_list", "list of free pages", |part| part.free_list),
    ("free", "free", |part| part.free),
    ("settling", "free after the next merge", |part| part.settling),
    ("pinned", "held by readers", |part| part.pinned),
    ("ahead", "ahead for growth", |part| part.ahead),
    ("file", "page file", |part| part.file_bytes),
];

/// Characters of a bar.
const BAR: usize = 24;

/// With more partitions people see the sums only.
const MOST_COLUMNS: usize = 4;

/// `space`.
pub(crate) fn space(session: &mut Session, format: Format) -> Result<()> {
    let space = session.db()?.space()?;
    match format {
        _ if format.is_json() => session.out.line(as_json(&space).to_string()),
        Format::Csv => write_csv(&mut session.out, &space),
        _ => write_text(&mut session.out, &space),
    }
}

/// What is not in a page file.
fn others(space: &Space) -> [(&'static str, &'static str, u64); 5] {
    [
        ("log_needed", "log, needed", space.log.needed),
        ("log_spare", "log, spare", space.log.spare),
        ("runs", "large batches, in files", space.runs),
        ("other_files", "other files", space.others.iter().map(|file| file.file_bytes).sum()),
        ("total", "all files", space.total()),
    ]
}

fn percent(bytes: u64, total: u64) -> f64 {
    bytes as f64 / total.max(1) as f64 * 100.0
}

fn write_text(out: &mut Out, space: &Space) -> Result<()> {
    let out_is_terminal = out.terminal;
    let parts = if space.partitions.len() <= MOST_COLUMNS { &space.partitions[..] } else { &[] };
    // A pipe never sees a bar.
    let total = space.total();
    let share = |bytes: u64| match out_is_terminal {
        true => format!("  {}{:>5.1} %", bar(bytes as f64 / total.max(1) as f64, BAR), percent(bytes, total)),
        false => String::new(),
    };
    let header: String = parts.iter().map(|part| format!("{:>12}", format!("p{:03}", part.partition))).collect();
    out.line(format!("{:<26}{:>12}{header}", "", "all"))?;
    for (_, name, bytes) in PARTS {
        let sum: u64 = space.partitions.iter().map(bytes).sum();
        let each: String = parts.iter().map(|part| format!("{:>12}", bytes_for_people(bytes(part)))).collect();
        out.line(format!("{name:<26}{:>12}{each}{}", bytes_for_people(sum), share(sum)))?;
    }
    for (_, name, bytes) in others(space) {
        let columns = " ".repeat(12 * parts.len());
        let line = format!("{name:<26}{:>12}{columns}{}", bytes_for_people(bytes), share(bytes));
        out.line(line.trim_end())?;
    }
    let memory: u64 = space.partitions.iter().map(|part| part.memtable_bytes).sum();
    out.line(format!("{:<26}{:>12}", "in memory, unmerged", bytes_for_people(memory)))?;
    for held in &space.snapshots {
        let label = held.label.as_ref().map(|label| format!(" {label:?}"));
        out.line(format!(
            "snapshot{}: taken {:.1} s ago by thread {}, shows writes up to {}",
            label.unwrap_or_default(),
            held.age.as_secs_f64(),
            held.thread,
            held.seq
        ))?;
    }
    Ok(())
}

fn write_csv(out: &mut Out, space: &Space) -> Result<()> {
    out.line("part,partition,bytes")?;
    for part in &space.partitions {
        for (name, _, bytes) in PARTS {
            out.line(format!("{name},{},{}", part.partition, bytes(part)))?;
        }
    }
    others(space).iter().try_for_each(|(name, _, bytes)| out.line(format!("{name},,{bytes}")))
}

fn as_json(space: &Space) -> Value {
    let part = |part: &PartitionSpace| {
        let mut object = Map::new();
        object.insert("partition".into(), json!(part.partition));
        object.insert("path".into(), json!(part.path.display().to_string()));
        for (name, _, bytes) in PARTS {
            object.insert(format!("{name}_bytes"), json!(bytes(part)));
        }
        object.insert("pinned_versions".into(), json!(part.pinned_versions));
        object.insert("memtable_bytes".into(), json!(part.memtable_bytes));
        Value::Object(object)
    };
    let snapshot = |held: &HeldSnapshot| {
        json!({
            "seq": held.seq,
            "age_ms": u64::try_from(held.age.as_millis()).unwrap_or(u64::MAX),
            "thread": held.thread,
            "label": held.label,
        })
    };
    let file = |file: &halodb::OtherFile| json!({ "path": file.path.display().to_string(), "bytes": file.file_bytes });
    let mut object = Map::new();
    object.insert("partitions".into(), space.partitions.iter().map(part).collect());
    for (name, _, bytes) in others(space) {
        object.insert(format!("{name}_bytes"), json!(bytes));
    }
    object.insert("files".into(), space.others.iter().map(file).collect());
    object.insert("snapshots".into(), space.snapshots.iter().map(snapshot).collect());
    Value::Object(object)
}
