//! `inspect meta`: both metas of each page file, field by field, and which one an open relies on.

use super::sheet::{Sheet, insert_bytes, quoted};
use crate::dates;
use crate::failure::{Failure, Result};
use crate::output::{Format, grouped, hex};
use crate::session::Session;
use halodb::inspect::{Inspector, Metas, SlotReport};
use halodb::pager::inspect::{MetaInfo, MetaSlot};
use halodb::pager::{PageRef, Stamp};
use serde_json::{Map, Value, json};

/// Shows the metas of one partition, or of all.
pub(super) fn show(session: &mut Session, files: &Inspector, partition: Option<u32>, format: Format) -> Result<()> {
    let out = &mut session.out;
    let mut refused = Vec::new();
    let mut all = Vec::new();
    for partition in super::partitions(files, partition) {
        let metas = files.metas(partition).map_err(halodb::Error::from)?;
        if metas.relied.is_none() {
            refused.push(format!("no meta of {} is one to rely on", metas.path.display()));
        }
        if format.is_json() {
            all.push(as_json(partition, &metas));
            continue;
        }
        out.line(format!("{}, {} bytes", metas.path.display(), grouped(metas.file_len)))?;
        for (number, slot) in (0..).zip(&metas.slots) {
            let relied = if metas.relied == Some(number) { ", relied on" } else { "" };
            out.line(format!("slot {number} at {}: {}{relied}", slot.offset, verdict(slot)))?;
            if let MetaSlot::Valid(meta) = &slot.slot {
                fields(meta, slot).write(out, "  ")?;
            }
        }
        match metas.relied {
            Some(slot) => out.line(format!("An open relies on slot {slot}. {}", metas.why))?,
            None => out.line(format!("An open relies on neither. {}", metas.why))?,
        }
    }
    if format.is_json() {
        out.line(Value::Array(all).to_string())?;
    }
    match refused.is_empty() {
        true => Ok(()),
        false => {
            Err(Failure::corrupt(refused.join("; "))
                .with_hint("`halodb doctor` says what is lost, and saves what is left"))
        }
    }
}

/// Epoch and generation.
pub(super) fn stamp(stamp: Stamp) -> String {
    format!("epoch {}, generation {}", stamp.epoch(), grouped(stamp.generation()))
}

/// A reference for programs.
pub(super) fn reference(at: PageRef) -> Value {
    json!({ "page": at.id.0, "epoch": at.stamp.epoch(), "generation": at.stamp.generation(), "pages": at.pages })
}

fn verdict(slot: &SlotReport) -> String {
    match (&slot.slot, &slot.foreign) {
        (MetaSlot::Valid(_), None) => "valid, checksum right".into(),
        (MetaSlot::Valid(_), Some(what)) => format!("valid, and not of this file: {what}"),
        (MetaSlot::OtherVersion(version), _) => {
            format!("of format version {version}, which this program does not know")
        }
        (MetaSlot::NoMagic, _) if slot.bytes.iter().all(|byte| *byte == 0) => "empty: zeros".into(),
        (MetaSlot::NoMagic, _) => "no meta: it does not begin with HALOPAGE".into(),
        (MetaSlot::Bad(what), _) => format!("damaged: {what}"),
    }
}

fn fields(meta: &MetaInfo, slot: &SlotReport) -> Sheet {
    let mut sheet = Sheet::default();
    let mut number = |name, number: u64| sheet.add(name, grouped(number), number);
    number("page_size", u64::from(meta.identity.page_size));
    number("generation", meta.generation);
    number("open_epoch", u64::from(meta.epoch));
    number("page_count", meta.page_count);
    number("file_id", u64::from(meta.identity.file_id));
    sheet.add_text("uuid", hex(&meta.identity.uuid));
    sheet.add_text("incarnation", format!("{:016x}", meta.identity.incarnation));
    match meta.free_list {
        None => sheet.add("free_list", "none", Value::Null),
        Some(at) => {
            let (pages, free) = (grouped(meta.free_list_pages), grouped(meta.free_pages));
            let shown = format!("begins at page {}, {}: {pages} pages that name {free}", at.id.0, stamp(at.stamp));
            let mut value = reference(at);
            value["pages"] = json!(meta.free_list_pages);
            value["free_pages"] = json!(meta.free_pages);
            sheet.add("free_list", shown, value);
        }
    }
    let roots = meta.roots.iter().map(|root| {
        let shape = halodb::btree::inspect::root(root);
        json!({ "at": reference(root.page), "entries": shape.map(|(n, _)| n), "levels": shape.map(|(_, levels)| levels) })
    });
    let shown = meta.roots.iter().map(|root| {
        let shape = match halodb::btree::inspect::root(root) {
            Some((entries, levels)) => format!("{} entries in {levels} levels", grouped(entries)),
            None => format!("tag {} is none of a tree", hex(&root.tag)),
        };
        format!("page {}, {}: {shape}", root.page.id.0, stamp(root.page.stamp))
    });
    let shown: Vec<String> = shown.collect();
    let shown = if shown.is_empty() { "none: the tree is empty".to_owned() } else { shown.join("; ") };
    sheet.add("roots", shown, Value::Array(roots.collect()));
    match slot.checkpoint {
        Some(position) => {
            sheet.add("applied", grouped(position.applied.0), position.applied.0);
            sheet.add("synced", grouped(position.synced.0), position.synced.0);
            let mark = if position.mark_ms == 0 { "none".to_owned() } else { dates::show(position.mark_ms) };
            sheet.add("time_mark_ms", mark, position.mark_ms);
        }
        None => {
            let mut value = Map::new();
            insert_bytes(&mut value, "bytes", &meta.user);
            sheet.add("user_area", format!("{} is no checkpoint", quoted(&meta.user)), Value::Object(value));
        }
    }
    sheet
}

fn as_json(partition: u32, metas: &Metas) -> Value {
    let slot = |(number, slot): (u32, &SlotReport)| {
        let fields = match &slot.slot {
            MetaSlot::Valid(meta) => Some(fields(meta, slot).into_json()),
            _ => None,
        };
        json!({ "slot": number, "offset": slot.offset, "verdict": verdict(slot), "fields": fields })
    };
    json!({
        "partition": partition,
        "path": metas.path.display().to_string(),
        "file_bytes": metas.file_len,
        "slots": (0..).zip(&metas.slots).map(slot).collect::<Vec<_>>(),
        "relied_on": metas.relied,
        "why": metas.why,
    })
}
