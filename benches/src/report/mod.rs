//! `halodb-bench report` and `halodb-bench compare`: from result files to a page with tables and plots, and to a
//! judgement on how far two runs agree.
//!
//! ```text
//! load      which result files          number  figures as text      page    the whole page
//! view      medians, spreads, ratios    names   names and anchors    compare two runs
//! table     one table                   scale   axes
//! losses    what HaloDB loses at        svg     a drawing as text
//! settings  how engines were set up     bars, curves  the plots
//! ```
//!
//! The same results give the same bytes: nothing here asks for the time, the machine or the order of a folder. Nothing
//! here measures.

mod bars;
mod compare;
mod curves;
mod load;
mod losses;
mod names;
mod number;
mod page;
mod scale;
mod settings;
mod svg;
mod table;
mod view;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What `report` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// Folder of the result files.
    #[arg(long, value_name = "DIR", default_value = "benches/results")]
    results: PathBuf,
    /// Beginning of the commit to report [default: that of the newest result].
    #[arg(long, value_name = "COMMIT")]
    commit: Option<String>,
    /// Folder for benchmarks.md, and below it benchmarks/ for the plots.
    #[arg(long, value_name = "DIR", default_value = "docs")]
    out: PathBuf,
}

/// What `compare` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct CompareArgs {
    /// A result file, or a folder of them.
    first: PathBuf,
    /// The other run's.
    second: PathBuf,
}

/// Writes the page and its plots; plots of an earlier report are removed.
///
/// # Errors
/// A sentence: no results, a broken one, or a file that cannot be written.
pub(crate) fn run(args: &ReportArgs) -> Result<(), String> {
    let files = load::one_commit(&args.results, args.commit.as_deref())?;
    let (text, plots) = page::page(&files);
    let place = args.out.join("benchmarks.md");
    write(&args.out, &text, &plots).map_err(|e| format!("cannot write {}: {e}", place.display()))?;
    let rows: usize = files.iter().map(|file| file.rows.len()).sum();
    println!("report: {}, {} tables, {rows} rows, {} plots", place.display(), files.len(), plots.len());
    Ok(())
}

/// Prints how far the ratios of two runs agree.
///
/// # Errors
/// A sentence: a file that cannot be read, or runs that have nothing in common.
pub(crate) fn compare(args: &CompareArgs) -> Result<(), String> {
    let (first, second) = (load::file_or_folder(&args.first)?, load::file_or_folder(&args.second)?);
    print!("{}", compare::compare(&first, &second)?);
    Ok(())
}

fn write(out: &Path, text: &str, plots: &[page::Plot]) -> io::Result<()> {
    let folder = out.join("benchmarks");
    fs::create_dir_all(&folder)?;
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "svg") {
            fs::remove_file(path)?;
        }
    }
    for (name, svg) in plots {
        fs::write(folder.join(name), svg)?;
    }
    fs::write(out.join("benchmarks.md"), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn testdata() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
    }

    fn report(out: &Path) {
        let args = ReportArgs { results: testdata().join("results"), commit: None, out: out.to_owned() };
        run(&args).unwrap();
    }

    fn listed(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// After a change that is meant: `halodb-bench report --results benches/testdata/results --out benches/testdata/report`.
    #[test]
    fn the_report_of_the_test_data_is_the_one_that_is_kept() {
        let out = tempfile::tempdir().unwrap();
        report(out.path());
        let kept = testdata().join("report");
        let plots = listed(&kept.join("benchmarks"));
        assert_eq!(listed(&out.path().join("benchmarks")), plots);
        let files = plots.iter().map(|name| format!("benchmarks/{name}")).chain(["benchmarks.md".to_owned()]);
        for file in files {
            let (made, kept) = (fs::read_to_string(out.path().join(&file)), fs::read_to_string(kept.join(&file)));
            assert!(made.unwrap() == kept.unwrap(), "{file} differs from the one that is kept");
        }
    }

    #[test]
    fn plots_of_an_earlier_report_go_and_other_files_stay() {
        let out = tempfile::tempdir().unwrap();
        let folder = out.path().join("benchmarks");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("gone.svg"), "").unwrap();
        fs::write(folder.join("kept.txt"), "").unwrap();
        report(out.path());
        assert!(!folder.join("gone.svg").exists() && folder.join("kept.txt").exists());
    }

    #[test]
    fn every_plot_that_the_page_shows_is_written() {
        let out = tempfile::tempdir().unwrap();
        report(out.path());
        let text = fs::read_to_string(out.path().join("benchmarks.md")).unwrap();
        let shown: Vec<&str> =
            text.split("](benchmarks/").skip(1).map(|rest| rest.split(')').next().unwrap()).collect();
        assert_eq!(shown.len(), 5);
        assert!(shown.iter().all(|name| out.path().join("benchmarks").join(name).exists()), "{shown:?}");
    }
}
