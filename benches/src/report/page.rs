//! The page: what was run where, how HaloDB stands, what it loses at, every table with its plots, settings, method.
//!
//! Caveats come before praise. The page stands alone: it links to its own headings and plots only.

use super::names::{engine, heading, prose, slug};
use super::number;
use super::view::Figure;
use super::{bars, curves, losses, settings, table};
use crate::result::{Machine, ResultFile};
use std::fmt::Write;

/// A plot: the name of its file below the page's folder of plots, and the SVG.
pub(crate) type Plot = (String, String);

/// The method, written by hand.
const METHOD: &str = include_str!("method.md");

/// The page in Markdown and its plots; the page refers to them as `benchmarks/NAME`.
pub(crate) fn page(files: &[ResultFile]) -> (String, Vec<Plot>) {
    let mut plots = Vec::new();
    let mut text = String::from(
        "# Benchmarks\n\nHaloDB beside its peers, in one run on one machine. `cargo xtask bench report` writes this page from \
         the files in `benches/results`; changes belong there or into the program.\n\n",
    );
    text.push_str(&provenance(files));
    text.push_str("\n## How HaloDB stands\n\n");
    text.push_str(&scoreboard(files));
    text.push_str("\n## What HaloDB loses at\n\n");
    text.push_str(&losses::section(files));
    text.push_str("\n## How to read the tables\n\n");
    text.push_str(READING);
    for file in files {
        section(&mut text, file, &mut plots);
    }
    text.push_str("\n## Settings of the engines\n\n");
    text.push_str(&settings::section(files));
    text.push_str("## Method\n\n");
    text.push_str(METHOD);
    (text, plots)
}

const READING: &str = "\
A cell is the median of the rounds; the small figure beside it is their spread, (max − min) / median. The best median of a \
row is bold. \"↓\": less is better. The last column says how many times better HaloDB is than the best peer, which it \
names: above 1 HaloDB is ahead, below 1 it is behind. A word stands where there is no figure; its reason is below the table. \
\"–\": did not take part. k is a thousand, M a million, MiB 1,048,576 bytes; three digits are significant.
";

/// Machine, commit, versions, commands.
fn provenance(files: &[ResultFile]) -> String {
    let mut text = String::from("| | |\n|---|---|\n");
    let mut machines: Vec<&Machine> = Vec::new();
    for file in files {
        if !machines.contains(&&file.machine) {
            machines.push(&file.machine);
        }
    }
    for machine in &machines {
        // More than one machine: say which tables are whose.
        let whose = if machines.len() > 1 {
            let of: Vec<String> = files.iter().filter(|file| file.machine == **machine).map(heading).collect();
            format!(" ({})", of.join("; "))
        } else {
            String::new()
        };
        writeln!(text, "| machine | {}{whose} |", machine_text(machine)).unwrap_or_default();
    }
    if let Some(file) = files.first() {
        let dirty = files.iter().filter(|file| file.dirty).count();
        let changed = match dirty {
            0 => String::new(),
            n if n == files.len() => ", with uncommitted changes".to_owned(),
            n => format!(", with uncommitted changes in {n} of {} tables", files.len()),
        };
        writeln!(text, "| commit | `{}`{changed} |", prose(&file.commit)).unwrap_or_default();
    }
    let dates: Vec<&str> = files.iter().map(|file| file.date.as_str()).collect();
    if let (Some(first), Some(last)) = (dates.iter().min(), dates.iter().max()) {
        let until = if first == last { String::new() } else { format!(" to {last}") };
        writeln!(text, "| begun | {first}{until} |").unwrap_or_default();
    }
    let engines = settings::names(files);
    let versions = engines.iter().map(|name| {
        let version = files.iter().flat_map(|file| &file.engines).find(|engine| engine.name == *name);
        format!("{} {}", engine(name), version.map_or("", |engine| engine.version.as_str()))
    });
    writeln!(text, "| engines | {} |", versions.collect::<Vec<_>>().join(", ")).unwrap_or_default();
    text
}

fn machine_text(machine: &Machine) -> String {
    let cores = if machine.cores == 1 { "core" } else { "cores" };
    let memory = number::plain(machine.memory_bytes as f64 / f64::from(1 << 30));
    format!(
        "{}, {} {cores}, {memory} GiB of memory; {}, kernel {}; {}",
        prose(&machine.cpu),
        machine.cores,
        prose(&machine.os),
        prose(&machine.kernel),
        prose(&machine.file_system)
    )
}

/// One line for each table, and the sum.
fn scoreboard(files: &[ResultFile]) -> String {
    let mut text =
        String::from("| table | rows | HaloDB first or level | behind | no figure yet |\n|---|--:|--:|--:|--:|\n");
    let mut sum = losses::Score::default();
    for file in files {
        let score = losses::score(file);
        let (heading, rows) = (heading(file), score.first + score.behind + score.missing);
        writeln!(
            text,
            "| [{heading}](#{}) | {rows} | {} | {} | {} |",
            slug(&heading),
            score.first,
            score.behind,
            score.missing
        )
        .unwrap_or_default();
        sum.first += score.first;
        sum.behind += score.behind;
        sum.missing += score.missing;
    }
    let rows = sum.first + sum.behind + sum.missing;
    writeln!(text, "| **all** | **{rows}** | **{}** | **{}** | **{}** |", sum.first, sum.behind, sum.missing)
        .unwrap_or_default();
    text
}

/// One result file: how it was run, its table, its plots.
fn section(text: &mut String, file: &ResultFile, plots: &mut Vec<Plot>) {
    let heading = heading(file);
    let rounds = if file.rounds == 1 { "1 round".to_owned() } else { format!("{} rounds", file.rounds) };
    let dirty = if file.dirty { ", with uncommitted changes" } else { "" };
    write!(
        text,
        "\n## {heading}\n\n`{}`, {}, {rounds}, seed {}{dirty}.",
        file.command.replace('`', "'"),
        file.date,
        file.seed
    )
    .unwrap_or_default();
    if let (Some(before), Some(after)) = (Figure::of(&file.floor_us.before), Figure::of(&file.floor_us.after)) {
        write!(
            text,
            " The disk's floor, one `fdatasync` of a 200-byte overwrite: {} µs before the durable rows, {} µs after them.",
            floor(&before),
            floor(&after)
        )
        .unwrap_or_default();
    }
    text.push_str("\n\n");
    text.push_str(&table::table(file));
    let mut plot = |name: String, alt: &str, svg: Option<String>| {
        if let Some(svg) = svg {
            writeln!(text, "\n![{alt}](benchmarks/{name}.svg)").unwrap_or_default();
            plots.push((format!("{name}.svg"), svg));
        }
    };
    plot(super::names::plot(file, &[]), &format!("Bars on a logarithmic scale: {heading}"), bars::plot(file));
    for curves in curves::of(file) {
        let row = prose(curves.row);
        let name = |what: &str| super::names::plot(file, &[curves.row, what]);
        plot(name("throughput"), &format!("{row}: operations a second over time"), curves.throughput());
        plot(name("latency"), &format!("{row}: latency by percentile"), curves.latency());
    }
}

/// The median and, of more than one process, the range.
fn floor(figure: &Figure) -> String {
    let median = number::plain(figure.median);
    if figure.rounds < 2 {
        return median;
    }
    format!("{median} ({} to {})", number::plain(figure.min), number::plain(figure.max))
}
