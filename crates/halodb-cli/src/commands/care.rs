//! `check`: reads the database and says what is damaged. It repairs nothing.

use crate::args::Check;
use crate::failure::{Failure, Result};
use crate::output::{Format, Out, grouped};
use crate::session::Session;
use halodb::{CheckReport, Depth, Finding};
use serde_json::json;

/// `check [--deep]`: exit code 4 if anything is found.
pub(crate) fn check(session: &mut Session, check: &Check, format: Format) -> Result<()> {
    let depth = if check.deep { Depth::Deep } else { Depth::Quick };
    let report = session.db()?.check(depth)?;
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
