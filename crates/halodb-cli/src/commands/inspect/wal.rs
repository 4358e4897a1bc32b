//! `inspect wal`: the files of the log with what they are and how they end; or one of them, with its records.

use super::ROWS;
use super::sheet::Sheet;
use crate::args::InspectWal;
use crate::dates;
use crate::failure::{Failure, Result};
use crate::output::{Format, Out, grouped, hex};
use crate::session::Session;
use halodb::Lsn;
use halodb::inspect::{Inspector, LogReport, SegmentReport, Verdict};
use halodb::partition::{Op, decode};
use halodb::wal::inspect::{Entry, SegmentState, kind_name, records};
use halodb::wal::{RecordKind, SegmentHeader};
use serde_json::{Map, Value, json};

/// Shows the log, or one segment.
pub(super) fn show(session: &mut Session, files: &Inspector, wanted: &InspectWal, format: Format) -> Result<()> {
    let log = files.log().map_err(halodb::Error::from)?;
    let out = &mut session.out;
    let mut faults = Vec::new();
    match wanted.segment {
        Some(number) => {
            let segment =
                log.segments.iter().find(|segment| segment.number == number).ok_or_else(|| none(&log, number))?;
            let read = Read::of(files, &log, segment)?;
            faults.extend(read.fault(segment));
            one(out, segment, &read, wanted.limit, format)?;
        }
        None => {
            let mut reads = Vec::new();
            for segment in &log.segments {
                let read = Read::of(files, &log, segment)?;
                faults.extend(read.fault(segment));
                reads.push(read);
            }
            all(out, &log, &reads, format)?;
        }
    }
    match faults.is_empty() {
        true => Ok(()),
        false => {
            Err(Failure::corrupt(faults.join("; "))
                .with_hint("`halodb doctor` says what is lost, and saves what is left"))
        }
    }
}

fn none(log: &LogReport, number: u64) -> Failure {
    let there = match (log.segments.first(), log.segments.last()) {
        (Some(first), Some(last)) => format!("there are {} to {}", first.number, last.number),
        _ => "there is none".to_owned(),
    };
    Failure::usage(format!("there is no segment {number}: {there}"))
}

/// The records of a segment, read to their end.
struct Read {
    bytes: Vec<u8>,
    first: Option<u64>,
    last: Option<u64>,
    count: u64,
    /// What the end means; `None` where there are no records to be.
    verdict: Option<Verdict>,
}

impl Read {
    fn of(files: &Inspector, log: &LogReport, segment: &SegmentReport) -> Result<Self> {
        let SegmentState::Live(header) = &segment.state else {
            return Ok(Read { bytes: Vec::new(), first: None, last: None, count: 0, verdict: None });
        };
        let bytes = files.segment_bytes(segment).map_err(halodb::Error::from)?;
        let (mut first, mut last, mut count, mut stated) = (None, None, 0, Lsn(0));
        let mut walk = records(&bytes, header);
        for entry in walk.by_ref() {
            first = first.or(Some(entry.header.lsn.0));
            last = Some(entry.header.lsn.0);
            stated = stated.max(entry.header.synced);
            count += 1;
        }
        let verdict = Some(segment.verdict(&walk.end(), stated, log.proven));
        Ok(Read { bytes, first, last, count, verdict })
    }

    fn fault(&self, segment: &SegmentReport) -> Option<String> {
        match (&segment.state, &self.verdict) {
            (_, Some(Verdict::Damaged(what))) => Some(format!("segment {}: {what}", segment.number)),
            (SegmentState::Bad(what), _) => Some(format!("segment {}: {what}", segment.number)),
            (SegmentState::Misplaced(_) | SegmentState::Foreign(_) | SegmentState::OtherVersion(_), _) => {
                Some(format!("segment {}: {}", segment.number, state(segment)))
            }
            _ => None,
        }
    }
}

fn state(segment: &SegmentReport) -> String {
    match &segment.state {
        SegmentState::Live(_) if segment.needed => "live, needed".into(),
        SegmentState::Live(_) => "live, all trees have it".into(),
        SegmentState::Spare => "spare".into(),
        SegmentState::Recycled(former) => format!("recycled: it was segment {}", former.number),
        SegmentState::Misplaced(is) => format!("the file of segment {} under this name", is.number),
        SegmentState::Foreign(_) => "of another database, or of this one before a restore".into(),
        SegmentState::OtherVersion(version) => format!("of format version {version}, which this program does not know"),
        SegmentState::Bad(what) => format!("damaged: {what}"),
    }
}

/// A word for the state, for programs.
fn state_word(segment: &SegmentReport) -> &'static str {
    match &segment.state {
        SegmentState::Live(_) => "live",
        SegmentState::Spare => "spare",
        SegmentState::Recycled(_) => "recycled",
        SegmentState::Misplaced(_) => "misplaced",
        SegmentState::Foreign(_) => "foreign",
        SegmentState::OtherVersion(_) => "other_version",
        SegmentState::Bad(_) => "damaged",
    }
}

fn verdict_text(verdict: Option<&Verdict>) -> &str {
    match verdict {
        Some(Verdict::Sound(what) | Verdict::Tail(what) | Verdict::Damaged(what)) => what,
        None => "",
    }
}

fn verdict_json(verdict: Option<&Verdict>) -> Value {
    let word = match verdict {
        Some(Verdict::Sound(_)) => "sound",
        Some(Verdict::Tail(_)) => "tail",
        Some(Verdict::Damaged(_)) => "damaged",
        None => return Value::Null,
    };
    json!({ "end": word, "what": verdict_text(verdict) })
}

fn all(out: &mut Out, log: &LogReport, reads: &[Read], format: Format) -> Result<()> {
    if format.is_json() {
        let segments = log.segments.iter().zip(reads).map(|(segment, read)| Value::Object(summary(segment, read)));
        let answer = json!({
            "applied": log.applied.map(|lsn| lsn.0),
            "proven": log.proven.0,
            "segments": segments.collect::<Vec<_>>(),
        });
        return out.line(answer.to_string());
    }
    match log.applied {
        Some(applied) => out.line(format!("All trees have everything up to record {}.", grouped(applied.0)))?,
        None => out.line("How far the trees are is not to be read.")?,
    }
    out.line(format!(
        "Metas and headers prove that everything up to record {} was synchronised.",
        grouped(log.proven.0)
    ))?;
    for (segment, read) in log.segments.iter().zip(reads) {
        let records = match (read.first, read.last) {
            (Some(first), Some(last)) => format!("records {} to {}", grouped(first), grouped(last)),
            _ if matches!(segment.state, SegmentState::Live(_)) => "no record".into(),
            _ => String::new(),
        };
        let name = segment.path.file_name().unwrap_or_default().to_string_lossy();
        let line = format!("{name}  {:>13} bytes  {}  {records}", grouped(segment.file_len), state(segment));
        out.line(line.trim_end())?;
        if read.verdict.is_some() {
            out.line(format!("    {}", verdict_text(read.verdict.as_ref())))?;
        }
    }
    Ok(())
}

fn summary(segment: &SegmentReport, read: &Read) -> Map<String, Value> {
    let value = json!({
        "segment": segment.number,
        "path": segment.path.display().to_string(),
        "bytes": segment.file_len,
        "state": state_word(segment),
        "needed": segment.needed,
        "records": read.count,
        "first": read.first,
        "last": read.last,
        "verdict": verdict_json(read.verdict.as_ref()),
    });
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

fn header(sheet: &mut Sheet, header: &SegmentHeader) {
    let mut number = |name, number: u64| sheet.add(name, grouped(number), number);
    number("number", header.number);
    number("prev_last_lsn", header.prev_last_lsn.0);
    number("first_lsn", header.first_lsn.0);
    number("segment_bytes", header.segment_len);
    let mark = if header.time_mark_ms == 0 { "none".to_owned() } else { dates::show(header.time_mark_ms) };
    sheet.add("time_mark_ms", mark, header.time_mark_ms);
    sheet.add_text("uuid", hex(&header.uuid));
    sheet.add_text("incarnation", format!("{:016x}", header.incarnation));
}

fn one(out: &mut Out, segment: &SegmentReport, read: &Read, limit: Option<u64>, format: Format) -> Result<()> {
    let mut sheet = Sheet::default();
    let live = match &segment.state {
        SegmentState::Live(found) => Some(found),
        _ => None,
    };
    if let SegmentState::Live(found)
    | SegmentState::Recycled(found)
    | SegmentState::Misplaced(found)
    | SegmentState::Foreign(found) = &segment.state
    {
        header(&mut sheet, found);
    }
    let entries = || live.into_iter().flat_map(|header| records(&read.bytes, header));
    if format.is_json() {
        let mut object = summary(segment, read);
        object.insert("header".into(), Value::Object(sheet.into_json()));
        let limit = usize::try_from(limit.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        object.insert("entries".into(), entries().take(limit).map(|entry| record_json(&entry)).collect());
        return out.line(Value::Object(object).to_string());
    }
    out.line(format!("{}, {} bytes: {}", segment.path.display(), grouped(segment.file_len), state(segment)))?;
    sheet.write(out, "  ")?;
    let limit = limit.unwrap_or(ROWS);
    if read.count > 0 {
        out.line(format!("records: {}", grouped(read.count)))?;
    }
    for entry in entries().take(usize::try_from(limit).unwrap_or(usize::MAX)) {
        out.line(format!("  {}", record_line(&entry)))?;
    }
    if read.count > limit {
        let more = grouped(read.count - limit);
        out.line(format!("  … {more} more of {}; --limit shows more", grouped(read.count)))?;
    }
    if read.verdict.is_some() {
        out.line(verdict_text(read.verdict.as_ref()))?;
    }
    Ok(())
}

fn record_line(entry: &Entry<'_>) -> String {
    let head = &entry.header;
    let (kind, what) = (kind_name(head.kind), contents(entry));
    let (lsn, synced, len) = (grouped(head.lsn.0), grouped(head.synced.0), grouped(u64::from(head.payload_len)));
    let line =
        format!("at {:>9}  record {lsn}  {kind}  {len} bytes, both checksums right  synced {synced}", entry.offset);
    let time = if head.time_ms == 0 { String::new() } else { format!("  {}", dates::show(head.time_ms)) };
    format!("{line}{time}  {what}").trim_end().to_owned()
}

fn record_json(entry: &Entry<'_>) -> Value {
    let head = &entry.header;
    json!({
        "offset": entry.offset,
        "lsn": head.lsn.0,
        "kind": kind_name(head.kind),
        "payload_bytes": head.payload_len,
        "synced": head.synced.0,
        "time_ms": head.time_ms,
        "checksums": "right",
        "what": contents(entry),
    })
}

/// What a commit writes, in a few words.
fn contents(entry: &Entry<'_>) -> String {
    if entry.header.kind != RecordKind::Commit {
        return String::new();
    }
    let ops = match decode(entry.payload) {
        Ok(ops) if ops.is_empty() => return "time mark".into(),
        Ok(ops) => ops,
        Err(what) => return format!("no batch: {what}"),
    };
    let count = |is: fn(&Op<'_>) -> bool| ops.iter().filter(|op| is(op)).count() as u64;
    let parts = [
        (count(|op| matches!(op, Op::Put(..))), "put"),
        (count(|op| matches!(op, Op::PutUntil(..))), "put with an expiry"),
        (count(|op| matches!(op, Op::Delete(_))), "delete"),
        (count(|op| matches!(op, Op::DeleteRange(..))), "range delete"),
    ];
    let words = parts.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", grouped(n)));
    words.collect::<Vec<_>>().join(", ")
}
