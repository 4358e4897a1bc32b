//! How each engine was set up, gathered over all result files: what was the same everywhere is said once, what was not
//! says where it held.

use super::names::{budget, engine, prose};
use crate::result::ResultFile;
use std::collections::BTreeSet;
use std::fmt::Write;

/// A heading for each engine and its settings below it, in Markdown.
pub(crate) fn section(files: &[ResultFile]) -> String {
    let mut text = String::new();
    for name in names(files) {
        let with: Vec<(&ResultFile, &str, &[String])> = files
            .iter()
            .flat_map(|file| {
                let of = file.engines.iter().filter(|engine| engine.name == name);
                of.map(move |engine| (file, engine.version.as_str(), engine.settings.as_slice()))
            })
            .collect();
        let versions: BTreeSet<&str> = with.iter().map(|(_, version, _)| *version).collect();
        let versions: Vec<&str> = versions.into_iter().collect();
        writeln!(text, "### {} {}\n", engine(name), versions.join(", ")).unwrap_or_default();
        // A run that ended early has not asked the engine.
        let told: Vec<(&ResultFile, &[String])> =
            with.iter().filter(|(_, _, lines)| !lines.is_empty()).map(|(file, _, lines)| (*file, *lines)).collect();
        let mut said: Vec<&str> = Vec::new();
        for line in told.iter().flat_map(|(_, lines)| lines.iter()) {
            if !said.contains(&line.as_str()) {
                said.push(line);
                let place = place(&told, line).map(|place| format!(" ({place})")).unwrap_or_default();
                writeln!(text, "- {}{place}", prose(line)).unwrap_or_default();
            }
        }
        if said.is_empty() {
            text.push_str("- nothing was recorded\n");
        }
        text.push('\n');
    }
    text
}

/// The engines' names in the order in which the files name them.
pub(crate) fn names(files: &[ResultFile]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for engine in files.iter().flat_map(|file| &file.engines) {
        if !names.contains(&engine.name.as_str()) {
            names.push(&engine.name);
        }
    }
    names
}

/// Where `line` held: `None` for everywhere, else the budget or the groups.
fn place(told: &[(&ResultFile, &[String])], line: &str) -> Option<String> {
    let holds = |lines: &[String]| lines.iter().any(|other| other == line);
    let here: Vec<&ResultFile> = told.iter().filter(|(_, lines)| holds(lines)).map(|(file, _)| *file).collect();
    if here.len() == told.len() {
        return None;
    }
    let budgets: BTreeSet<&str> = here.iter().map(|file| file.budget.as_str()).collect();
    let with_budgets = told.iter().filter(|(file, _)| budgets.contains(file.budget.as_str())).count();
    if budgets.len() == 1 && with_budgets == here.len() {
        return budgets.first().map(|name| budget(name));
    }
    let mut places: Vec<String> = here.iter().map(|file| format!("{} {}", file.group, file.scale)).collect();
    places.dedup();
    if budgets.len() == 1 {
        places.extend(budgets.first().map(|name| budget(name)));
    }
    Some(places.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::load;
    use super::*;
    use std::path::Path;

    #[test]
    fn what_differs_says_where_it_held() {
        let files = load::one_commit(&Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/results"), None).unwrap();
        let text = section(&files);
        assert!(
            text.contains("### redb 4.4.0\n\n- cache 256 MiB (default budget)\n- cache 4 GiB (4 GiB each)\n"),
            "{text}"
        );
        assert_eq!(text.matches("- no cache of its own\n").count(), 1, "{text}");
    }

    #[test]
    fn a_setting_of_one_group_names_it() {
        let mut files =
            load::one_commit(&Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/results"), None).unwrap();
        files[2].engines[0].settings.push("a larger memtable".to_owned());
        assert!(section(&files).contains("- a larger memtable (sustained 1m, default budget)\n"));
    }
}
