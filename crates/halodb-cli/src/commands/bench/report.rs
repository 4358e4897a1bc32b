//! What was measured, as a table with what is to be known about it, or for programs.

use super::load::Row;
use crate::args::Bench;
use crate::commands::table::bytes_for_people;
use crate::failure::Result;
use crate::output::{Format, Out, grouped};
use serde_json::{Value, json};
use std::path::Path;

/// What the figures are, and what they are not.
const NOTES: &str = "\
A durable put waits until the disk has it, so the first row bounds it; threads that write at once share one wait.
A buffered put survives the end of the process, not a power cut. Reads come from the trees, and where these fit into
memory, from there. What else this machine does meanwhile is in all figures.";

/// Lengths in bytes.
#[derive(Default)]
struct Bytes {
    /// Of the page files.
    trees: u64,
    /// Of the log's files.
    log: u64,
    /// Of all keys and values.
    raw: u64,
}

/// All rows.
pub(super) struct Report {
    records: u64,
    value_size: u32,
    threads: u32,
    directory: String,
    rows: Vec<(String, Row)>,
    bytes: Bytes,
}

impl Report {
    pub(super) fn new(arguments: &Bench, directory: &Path) -> Self {
        let Bench { records, value_size, threads, .. } = *arguments;
        let directory = directory.display().to_string();
        Report { records, value_size, threads, directory, rows: Vec::new(), bytes: Bytes::default() }
    }

    pub(super) fn add(&mut self, name: String, row: Row) {
        self.rows.push((name, row));
    }

    /// The length of page files and log, for so many bytes of keys and values.
    pub(super) fn size(&mut self, trees: u64, log: u64, raw: u64) {
        self.bytes = Bytes { trees, log, raw };
    }

    pub(super) fn write(&self, out: &mut Out, format: Format) -> Result<()> {
        match format {
            _ if format.is_json() => out.line(self.as_json().to_string()),
            Format::Csv => self.write_csv(out),
            _ => self.write_text(out),
        }
    }

    fn write_text(&self, out: &mut Out) -> Result<()> {
        let (records, value) = (grouped(self.records), grouped(u64::from(self.value_size)));
        let (version, directory) = (env!("CARGO_PKG_VERSION"), &self.directory);
        out.line(format!(
            "HaloDB {version}: {records} records of 16 + {value} bytes in {directory}, which is removed"
        ))?;
        out.line("")?;
        out.line(format!("{:<32}{:>12}{:>14}{:>12}{:>12}", "", "count", "per second", "median", "99 %"))?;
        for (name, row) in &self.rows {
            out.line(format!(
                "{name:<32}{:>12}{:>14}{:>12}{:>12}",
                grouped(row.operations()),
                grouped(row.rate().round() as u64),
                time(row.percentile_us(0.5)),
                time(row.percentile_us(0.99)),
            ))?;
        }
        let [trees, log, raw] = [self.bytes.trees, self.bytes.log, self.bytes.raw].map(bytes_for_people);
        out.line("")?;
        out.line(format!("{trees} of page files and {log} of log, which is used again, for {raw} of keys and values"))?;
        out.line("")?;
        out.line(NOTES)
    }

    fn write_csv(&self, out: &mut Out) -> Result<()> {
        out.line("name,threads,count,seconds,per_second,p50_us,p99_us")?;
        for (name, row) in &self.rows {
            let name = name.replace(',', "");
            out.line(format!(
                "{name},{},{},{:.3},{:.1},{:.3},{:.3}",
                row.threads,
                row.operations(),
                row.elapsed.as_secs_f64(),
                row.rate(),
                row.percentile_us(0.5),
                row.percentile_us(0.99),
            ))?;
        }
        Ok(())
    }

    fn as_json(&self) -> Value {
        let rounded = |number: f64| (number * 1000.0).round() / 1000.0;
        let row = |(name, row): &(String, Row)| {
            json!({
                "name": name,
                "threads": row.threads,
                "count": row.operations(),
                "seconds": rounded(row.elapsed.as_secs_f64()),
                "per_second": rounded(row.rate()),
                "p50_us": rounded(row.percentile_us(0.5)),
                "p99_us": rounded(row.percentile_us(0.99)),
            })
        };
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "records": self.records,
            "key_bytes": 16,
            "value_bytes": self.value_size,
            "threads": self.threads,
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
            "tree_bytes": self.bytes.trees,
            "log_bytes": self.bytes.log,
            "raw_bytes": self.bytes.raw,
        })
    }
}

/// Microseconds in the unit that fits.
fn time(us: f64) -> String {
    match us {
        us if us < 1.0 => format!("{:.0} ns", us * 1000.0),
        us if us < 1000.0 => format!("{us:.1} µs"),
        us => format!("{:.1} ms", us / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_unit_that_fits() {
        assert_eq!([0.25, 12.34, 2500.0].map(time), ["250 ns", "12.3 µs", "2.5 ms"]);
    }
}
