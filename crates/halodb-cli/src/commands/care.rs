//! `check`: reads the database and says what is damaged. It repairs nothing.

use crate::args::Check;
use crate::failure::{Failure, Result};
use crate::output::{Format, Out, Working, grouped};
use crate::session::Session;
use crate::signals;
use halodb::{CheckProgress, CheckReport, Depth, Finding};
use serde_json::json;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// Time between two changes of the bar.
const INTERVAL: Duration = Duration::from_millis(100);

/// `check [--deep]`: exit code 4 if anything is found.
pub(crate) fn check(session: &mut Session, check: &Check, format: Format) -> Result<()> {
    let depth = if check.deep { Depth::Deep } else { Depth::Quick };
    let bar = Working::of("checking", 1);
    let begun = Instant::now();
    let mut told = begun;
    let report = session.db()?.check_with(depth, |CheckProgress { pages, total, .. }| {
        // Not after every page: there are tens of thousands a second.
        if told.elapsed() >= INTERVAL {
            told = Instant::now();
            let rate = (pages as f64 / begun.elapsed().as_secs_f64()) as u64;
            bar.set_total(total.max(pages));
            bar.at(pages);
            bar.say(|| format!("checked {} pages ({}/s)", grouped(pages), grouped(rate)));
        }
        if signals::interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    drop(bar);
    let report = report?;
    write(&mut session.out, &report, format)?;
    match report.findings.len() {
        0 => Ok(()),
        n => Err(Failure::corrupt(format!("the check found {n} faults"))
            .with_hint("copy the directory before anything else; `halodb export` saves what can be read")),
    }
}

fn write(out: &mut Out, report: &CheckReport, format: Format) -> Result<()> {
    if format.is_json() {
        let finding = |f: &Finding| json!({ "path": f.path.display().to_string(), "offset": f.offset, "what": f.what });
        let answer = json!({
            "sound": report.findings.is_empty(),
            "keys": report.keys,
            "pages": report.pages,
            "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        });
        return out.line(answer.to_string());
    }
    for finding in &report.findings {
        let offset = finding.offset.map(|offset| format!(" at {offset}"));
        out.line(format!("{}{}: {}", finding.path.display(), offset.unwrap_or_default(), finding.what))?;
    }
    if report.findings.is_empty() {
        out.line(format!("sound: {} keys, {} pages", grouped(report.keys), grouped(report.pages)))?;
    }
    Ok(())
}
