//! Finds the result files: those of one commit, in the order in which the page shows them.
//!
//! A file that cannot be read ends the report with a sentence; nothing is left out silently. Of two files with the same
//! group, scale and budget the later one counts.

use crate::result::ResultFile;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The groups in the order of the page, with their titles. Groups that are not here follow by name.
const GROUPS: [(&str, &str); 11] = [
    ("basic", "Basic operations"),
    ("threads", "Reads from many threads"),
    ("unmerged", "Reads of what was just written"),
    ("text", "Text keys and mixed values"),
    ("tree", "The tree alone"),
    ("ycsb", "YCSB"),
    ("commit", "Group commit"),
    ("sustained", "Sustained load"),
    ("open", "Opening"),
    ("large", "Large values"),
    ("memory", "Less memory than data"),
];

const SCALES: [&str; 3] = ["100k", "1m", "5m"];
const BUDGETS: [&str; 2] = ["default", "4gib"];

/// All files of one commit.
///
/// # Errors
/// A sentence: no results, no such commit, a file that is no result file.
pub(crate) fn one_commit(results: &Path, commit: Option<&str>) -> Result<Vec<ResultFile>, String> {
    let files = read_all(results)?;
    let commit = chosen(&files, commit).map_err(|what| format!("{}: {what}", results.display()))?.to_owned();
    let mut latest: BTreeMap<(usize, String, usize, usize), ResultFile> = BTreeMap::new();
    for file in files.into_iter().filter(|file| file.commit == commit) {
        let place = place(&file);
        if latest.get(&place).is_none_or(|other| other.date < file.date) {
            latest.insert(place, file);
        }
    }
    Ok(latest.into_values().collect())
}

/// A file, or all files of a folder's one commit: what `compare` is given.
///
/// # Errors
/// A sentence.
pub(crate) fn file_or_folder(path: &Path) -> Result<Vec<ResultFile>, String> {
    if path.is_dir() { one_commit(path, None) } else { Ok(vec![load(path)?]) }
}

/// The title of a group; its name if it has none.
pub(crate) fn title(group: &str) -> &str {
    GROUPS.iter().find(|(name, _)| *name == group).map_or(group, |(_, title)| title)
}

fn place(file: &ResultFile) -> (usize, String, usize, usize) {
    let of = |list: &[&str], name: &str| list.iter().position(|entry| *entry == name).unwrap_or(list.len());
    let group = GROUPS.iter().position(|(name, _)| *name == file.group).unwrap_or(GROUPS.len());
    // The larger scale first: it is the one that counts.
    (group, file.group.clone(), SCALES.len() - of(&SCALES, &file.scale), of(&BUDGETS, &file.budget))
}

/// The commit that begins with `wanted`, or the one of the newest file.
fn chosen<'a>(files: &'a [ResultFile], wanted: Option<&str>) -> Result<&'a str, String> {
    let Some(wanted) = wanted else {
        let newest = files.iter().max_by(|a, b| a.date.cmp(&b.date));
        return newest
            .map(|file| file.commit.as_str())
            .ok_or_else(|| "there are no results yet; `cargo xtask bench` makes some".to_owned());
    };
    let mut commits: Vec<&str> = files.iter().map(|file| file.commit.as_str()).collect();
    commits.sort_unstable();
    commits.dedup();
    let matching: Vec<&str> = commits.iter().copied().filter(|commit| commit.starts_with(wanted)).collect();
    match matching[..] {
        [one] => Ok(one),
        [] => Err(format!("no results of commit {wanted}; there are results of {}", listed(&commits))),
        _ => Err(format!("more than one commit begins with {wanted}: {}", listed(&matching))),
    }
}

fn listed(commits: &[&str]) -> String {
    if commits.is_empty() { "no commit".to_owned() } else { commits.join(", ") }
}

/// The JSON files in `results` and in the folders directly below it.
fn read_all(results: &Path) -> Result<Vec<ResultFile>, String> {
    let mut paths = Vec::new();
    for path in entries(results)? {
        if path.is_dir() {
            paths.extend(entries(&path)?);
        } else {
            paths.push(path);
        }
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.iter().map(|path| load(path)).collect()
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let told = |e: std::io::Error| format!("cannot list {}: {e}", dir.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(told)? {
        paths.push(entry.map_err(told)?.path());
    }
    // A folder has no order of its own.
    paths.sort();
    Ok(paths)
}

fn load(path: &Path) -> Result<ResultFile, String> {
    ResultFile::load(path).map_err(|e| {
        // An error of the format names the file already.
        let what = e.to_string();
        let name = path.display().to_string();
        if what.contains(&name) { what } else { format!("cannot read {name}: {what}") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/results")
    }

    #[test]
    fn the_commit_of_the_newest_file_is_chosen() {
        let files = one_commit(&results(), None).unwrap();
        assert!(files.iter().all(|file| file.commit.starts_with("22222222")));
        let groups: Vec<&str> = files.iter().map(|file| file.group.as_str()).collect();
        assert_eq!(groups, ["basic", "basic", "sustained"], "in the order of the page");
        assert_eq!(files[0].budget, "default");
    }

    #[test]
    fn a_commit_is_named_by_its_beginning() {
        let files = one_commit(&results(), Some("1111")).unwrap();
        assert_eq!(files.len(), 1);
        let told = one_commit(&results(), Some("3333")).unwrap_err();
        assert!(told.contains("1111111111111111") && told.contains("2222222222222222"), "{told}");
        assert!(one_commit(&results(), Some("")).unwrap_err().contains("more than one commit"));
    }

    #[test]
    fn a_folder_without_results_says_how_to_make_some() {
        let empty = tempfile::tempdir().unwrap();
        assert!(one_commit(empty.path(), None).unwrap_err().contains("cargo xtask bench"));
        assert!(one_commit(&empty.path().join("none"), None).unwrap_err().contains("cannot list"));
    }

    #[test]
    fn a_file_that_is_no_result_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("broken.json"), "{").unwrap();
        assert!(one_commit(dir.path(), None).unwrap_err().contains("broken.json"));
    }

    #[test]
    fn of_two_files_in_one_place_the_later_counts() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = one_commit(&results(), Some("1111")).unwrap().remove(0);
        file.save(&dir.path().join("z.json")).unwrap();
        file.date = "2099-01-01T00:00:00Z".to_owned();
        file.save(&dir.path().join("a.json")).unwrap();
        let files = one_commit(dir.path(), None).unwrap();
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].date, "2099-01-01T00:00:00Z");
    }
}
