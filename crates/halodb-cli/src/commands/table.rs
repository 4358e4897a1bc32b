//! A table of names and numbers, aligned for people or as JSON or CSV for programs.

use crate::dates;
use crate::failure::Result;
use crate::output::{Format, Out, grouped};
use halodb::Histogram;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// How a number is shown to people.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unit {
    /// A plain number.
    Count,
    /// Bytes, also in KiB, MiB, GiB.
    Bytes,
    /// Milliseconds since 1970: people see the date, and the name without its unit.
    Moment,
    /// An object: how long calls took.
    Latency,
}

/// Names and numbers in the order they are shown.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<(&'static str, Value, Unit)>);

impl Table {
    /// Adds a number.
    pub(crate) fn number(mut self, name: &'static str, number: u64, unit: Unit) -> Self {
        self.0.push((name, json!(number), unit));
        self
    }

    /// Adds a word.
    pub(crate) fn text(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.0.push((name, json!(text.into()), Unit::Count));
        self
    }

    /// Adds a share between 0 and 1, if there is one.
    pub(crate) fn share(mut self, name: &'static str, share: Option<f64>) -> Self {
        self.0.push((name, json!(share.map(|share| (share * 1e6).round() / 1e6)), Unit::Count));
        self
    }

    /// Adds how long calls took: to programs also the buckets, each as its longest time in nanoseconds and its calls.
    pub(crate) fn latency(mut self, name: &'static str, calls: &Histogram) -> Self {
        let ns = |time: Option<Duration>| time.map(|time| time.as_nanos() as u64);
        let buckets: Vec<_> = calls.buckets().map(|(upper, n)| json!([upper.as_nanos() as u64, n])).collect();
        let object = json!({
            "count": calls.count(),
            "p50_ns": ns(calls.percentile(50.0)),
            "p99_ns": ns(calls.percentile(99.0)),
            "max_ns": ns(calls.max()),
            "buckets": buckets,
        });
        self.0.push((name, object, Unit::Latency));
        self
    }

    /// Writes the table.
    pub(crate) fn write(self, out: &mut Out, format: Format) -> Result<()> {
        if format.is_json() {
            let object: Map<String, Value> = self.0.into_iter().map(|(n, v, _)| (n.into(), v)).collect();
            return out.line(Value::Object(object).to_string());
        }
        if format == Format::Csv {
            out.line("name,value")?;
            for (name, value, unit) in self.0 {
                let Unit::Latency = unit else {
                    out.line(format!("{name},{value}"))?;
                    continue;
                };
                for part in ["count", "p50_ns", "p99_ns", "max_ns"] {
                    out.line(format!("{name}_{part},{}", value[part].as_u64().unwrap_or(0)))?;
                }
            }
            return Ok(());
        }
        let name_of = |name: &str, unit| match unit {
            Unit::Moment => name.strip_suffix("_ms").unwrap_or(name).replace('_', " "),
            _ => name.replace('_', " "),
        };
        let width = self.0.iter().map(|(name, _, unit)| name_of(name, *unit).len()).max().unwrap_or(0);
        for (name, value, unit) in self.0 {
            let shown = shown(&value, unit);
            let name = name_of(name, unit);
            out.line(format!("{name:<width$}  {shown}"))?;
        }
        Ok(())
    }
}

/// Bytes for people: `1.5 MiB`.
pub(crate) fn bytes_for_people(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

fn shown(value: &Value, unit: Unit) -> String {
    match (value, value.as_u64(), unit) {
        (_, Some(bytes), Unit::Bytes) => bytes_for_people(bytes),
        (_, Some(number), Unit::Count) => grouped(number),
        (_, Some(ms), Unit::Moment) => dates::show(ms),
        (Value::Object(_), _, Unit::Latency) => latency_for_people(value),
        (Value::Null, ..) => "-".to_owned(),
        (Value::String(text), ..) => text.clone(),
        (other, ..) => other.to_string(),
    }
}

/// How long calls took: `p50 1.2 µs, p99 3.1 µs, max 12 µs of 64`.
fn latency_for_people(latency: &Value) -> String {
    let time = |part: &str| latency[part].as_u64().map(Duration::from_nanos);
    match (time("p50_ns"), time("p99_ns"), time("max_ns")) {
        (Some(p50), Some(p99), Some(max)) => {
            let count = grouped(latency["count"].as_u64().unwrap_or(0));
            format!("p50 {p50:.1?}, p99 {p99:.1?}, max {max:.1?} of {count}")
        }
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::testing::written;

    fn check(format: Format, expected: &str) {
        let table = Table::default().number("keys", 64_298, Unit::Count).number("log_bytes", 1_572_864, Unit::Bytes);
        let bytes = written(false, |out| table.write(out, format));
        assert_eq!(String::from_utf8_lossy(&bytes), expected);
    }

    #[test]
    fn people_get_units_and_programs_get_numbers() {
        check(Format::Text, "keys       64,298\nlog bytes  1.5 MiB\n");
        check(Format::Json, "{\"keys\":64298,\"log_bytes\":1572864}\n");
        check(Format::Csv, "name,value\nkeys,64298\nlog_bytes,1572864\n");
    }

    #[test]
    fn moments_are_dates_for_people_and_milliseconds_for_programs() {
        let table = || Table::default().number("backup_time_ms", 1_700_000_000_000, Unit::Moment);
        let text = |format| String::from_utf8(written(false, |out| table().write(out, format))).unwrap();
        assert_eq!(text(Format::Text), "backup time  2023-11-14 22:13:20 UTC\n");
        assert_eq!(text(Format::Json), "{\"backup_time_ms\":1700000000000}\n");
    }

    #[test]
    fn what_was_not_measured_is_a_dash_for_people_and_null_for_programs() {
        let written = |format| {
            let table = Table::default().share("rate", None).latency("get_latency", &Histogram::default());
            String::from_utf8(written(false, |out| table.write(out, format))).unwrap()
        };
        assert_eq!(written(Format::Text), "rate         -\nget latency  -\n");
        let json: Value = serde_json::from_str(&written(Format::Json)).unwrap();
        assert_eq!((&json["rate"], &json["get_latency"]["p50_ns"]), (&Value::Null, &Value::Null));
        assert_eq!(json["get_latency"]["count"], 0);
    }

    #[test]
    fn sizes_have_the_unit_that_fits() {
        let all = [0, 1023, 1024, 1_610_612_736, u64::MAX].map(bytes_for_people);
        assert_eq!(all, ["0 B", "1023 B", "1.0 KiB", "1.5 GiB", "16777216.0 TiB"]);
    }
}
