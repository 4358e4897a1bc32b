//! `doctor`: says what is wrong with a database that may not even open, and saves what can be read. It repairs nothing in
//! place, but for a time that a wrong clock has put ahead, if that is asked for.

use super::clear;
use crate::args::Doctor;
use crate::failure::{Failure, Result};
use crate::output::{Format, Out, Working, grouped};
use crate::session::{Front, Session};
use halodb::{Ailment, BehindGaps, Diagnosis, Health};
use serde_json::{Map, Value, json};
use std::io::{self, IsTerminal};
use std::path::Path;

/// `doctor [--salvage DIR [--stop-at-gap]]`: exit code 0 sound, 1 repairable, 4 data lost.
pub(crate) fn run(session: &mut Session, doctor: &Doctor, format: Format) -> Result<()> {
    let directory = session.place.directory()?;
    if doctor.turn_back {
        return turn_back(session, doctor, &directory, format);
    }
    let behind_gaps = if doctor.stop_at_gap { BehindGaps::Leave } else { BehindGaps::Use };
    let working = Working::on(if doctor.salvage.is_some() { "salvaging" } else { "reading everything" });
    let (diagnosis, saved) = match &doctor.salvage {
        None => (halodb::doctor(&directory)?, None),
        Some(into) => {
            let report = halodb::salvage(&directory, into, behind_gaps)?;
            (report.diagnosis, Some((into, report.keys)))
        }
    };
    drop(working);
    if format.is_json() {
        let mut answer = as_json(&diagnosis);
        if let Some((into, keys)) = saved {
            answer.insert("salvaged".into(), json!({ "directory": into.display().to_string(), "keys": keys }));
        }
        session.out.line(Value::Object(answer).to_string())?;
    } else {
        write(&mut session.out, &diagnosis)?;
        if let Some((into, keys)) = saved {
            session.out.line(format!("salvaged {} keys into {}", grouped(keys), into.display()))?;
        }
    }
    match diagnosis.health {
        Health::Sound => Ok(()),
        Health::Repairable => Err(Failure::silent_no()),
        Health::Lost => Err(Failure::corrupt("data is lost").with_hint(match saved {
            None => "restore a copy; `halodb doctor --salvage DIR` copies what is left into a new database",
            Some(_) => "the lines above say what is missing in the new database; the old one is unchanged",
        })),
    }
}

/// `doctor --turn-back [--yes]`.
fn turn_back(session: &mut Session, doctor: &Doctor, directory: &Path, format: Format) -> Result<()> {
    if !doctor.yes {
        if session.front == Front::Pipe || !session.stdin.terminal || !io::stderr().is_terminal() {
            return Err(Failure::usage("keys that have expired by a wrong clock come back")
                .with_hint("say `doctor --turn-back --yes` if that is what you want"));
        }
        clear::ask(session, "Let keys come back that have expired by a wrong clock?", "(nothing was changed)")?;
    }
    let ahead = halodb::turn_back(directory)?;
    if format.is_json() {
        let answer = json!({ "turned_back_seconds": ahead.map(|ahead| ahead.as_secs()) });
        return session.out.line(answer.to_string());
    }
    session.out.line(match ahead {
        Some(ahead) => format!("the time was set back by {} s", grouped(ahead.as_secs())),
        None => "the time is not ahead of the machine's clock; nothing was changed".to_owned(),
    })
}

fn name(health: Health) -> &'static str {
    match health {
        Health::Sound => "sound",
        Health::Repairable => "repairable",
        Health::Lost => "lost",
    }
}

fn write(out: &mut Out, diagnosis: &Diagnosis) -> Result<()> {
    for Ailment { path, offset, what, health, remedy } in &diagnosis.ailments {
        let offset = offset.map(|offset| format!(" at {offset}")).unwrap_or_default();
        out.line(format!("{}{offset}: {what} [{}] {remedy}", path.display(), name(*health)))?;
    }
    for note in &diagnosis.notes {
        out.line(format!("note: {note}"))?;
    }
    let readable =
        format!("{} entries in trees, {} log records", grouped(diagnosis.entries), grouped(diagnosis.records));
    out.line(match diagnosis.health {
        Health::Sound => format!("sound: {readable}"),
        Health::Repairable => format!("repairable, nothing is lost: {readable} can be read"),
        Health::Lost => format!(
            "data is lost: at least {} entries and {} log records; {readable} can be read",
            grouped(diagnosis.lost_entries),
            grouped(diagnosis.lost_records.iter().map(|(from, to)| to.0 - from.0 + 1).sum()),
        ),
    })
}

fn as_json(diagnosis: &Diagnosis) -> Map<String, Value> {
    let ailment = |a: &Ailment| {
        json!({
            "path": a.path.display().to_string(),
            "offset": a.offset,
            "what": a.what,
            "health": name(a.health),
            "remedy": a.remedy,
        })
    };
    let answer = json!({
        "health": name(diagnosis.health),
        "ailments": diagnosis.ailments.iter().map(ailment).collect::<Vec<_>>(),
        "notes": diagnosis.notes,
        "entries": diagnosis.entries,
        "lost_entries": diagnosis.lost_entries,
        "records": diagnosis.records,
        "lost_records": diagnosis.lost_records.iter().map(|(from, to)| json!([from.0, to.0])).collect::<Vec<_>>(),
    });
    match answer {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
