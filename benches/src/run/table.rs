//! A table of a result file for the terminal: medians, the best of each row marked. The report has the full one.

use crate::result::{Better, Cell, ResultFile, Row, Unit};

/// Lines for people.
pub(crate) fn table(file: &ResultFile) -> String {
    let names: Vec<_> = file.engines.iter().map(|engine| engine.name.as_str()).collect();
    let mut text = format!("\n{} · {} · budget {}\n", file.group, file.scale, file.budget);
    let width = file.rows.iter().map(|row| row.name.len() + 7).max().unwrap_or(0);
    text.push_str(&format!("{:width$}", ""));
    names.iter().for_each(|name| text.push_str(&format!("{name:>12}")));
    text.push('\n');
    for row in &file.rows {
        let best = names.iter().filter_map(|name| value(row, name)).reduce(|a, b| match row.better {
            Better::Higher => a.max(b),
            Better::Lower => a.min(b),
        });
        text.push_str(&format!("{:width$}", format!("{} {}", row.name, unit(row.unit))));
        for name in &names {
            let shown = match (row.cells.get(*name), value(row, name)) {
                (_, Some(value)) => {
                    let star = if Some(value) == best { "*" } else { " " };
                    format!("{}{star}", show(value, row.unit))
                }
                (Some(Cell::NotYet(_)), _) => "not yet ".into(),
                (Some(Cell::Failed(_)), _) => "failed ".into(),
                (Some(Cell::Skipped(_)), _) => "- ".into(),
                _ => " ".into(),
            };
            text.push_str(&format!("{shown:>12}"));
        }
        text.push('\n');
    }
    text
}

/// The median of a cell with values.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = sorted.get(sorted.len() / 2)?;
    let lower = sorted[(sorted.len() - 1) / 2];
    Some((lower + upper) / 2.0)
}

fn value(row: &Row, engine: &str) -> Option<f64> {
    match row.cells.get(engine)? {
        Cell::Values(values) => median(values),
        _ => None,
    }
}

fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::OpsPerSecond => "/s",
        Unit::Bytes => "MiB",
        Unit::Seconds => "s",
        Unit::Millis => "ms",
        Unit::Micros => "µs",
    }
}

/// Three significant digits, thousands as k, millions as M; bytes in MiB.
fn show(value: f64, unit: Unit) -> String {
    let (value, suffix) = match unit {
        Unit::Bytes => (value / f64::from(1 << 20), ""),
        _ if value >= 999_500.0 => (value / 1e6, "M"),
        _ if value >= 9_995.0 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let decimals = if value >= 99.95 {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    format!("{value:.decimals$}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_or_between_the_two() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!(show(1_234_567.0, Unit::OpsPerSecond), "1.23M");
        assert_eq!(show(123_456.0, Unit::OpsPerSecond), "123k");
        assert_eq!(show(9_876.0, Unit::OpsPerSecond), "9876");
        assert_eq!(show(1.5, Unit::Seconds), "1.50");
        assert_eq!(show(f64::from(300 << 20), Unit::Bytes), "300");
    }
}
