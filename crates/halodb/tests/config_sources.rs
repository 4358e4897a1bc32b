//! Where values come from, in which order, and how the wrong ones of each source are reported.

#![cfg(feature = "config")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use halodb::Durability;
use halodb::config::{Config, ConfigErrors, FILE_NAME, Loaded, Origin, Place};

/// A directory with a database's own `halodb.toml`, if a text is given, and another file beside it.
struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    fn new(own: Option<&str>) -> Self {
        let dir = tempfile::tempdir().expect("a directory for the test");
        std::fs::create_dir(dir.path().join("db")).expect("a directory in it");
        if let Some(text) = own {
            std::fs::write(dir.path().join("db").join(FILE_NAME), text).expect("a file in it");
        }
        Self { dir }
    }

    fn db(&self) -> PathBuf {
        self.dir.path().join("db")
    }

    fn own(&self) -> PathBuf {
        self.db().join(FILE_NAME)
    }

    fn other(&self, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir.path().join("other.toml");
        std::fs::write(&path, bytes).expect("a file in the directory");
        path
    }

    fn load(&self, explicit: Option<&Path>, environment: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
        Config::load(explicit, &self.db(), variables(environment))
    }
}

fn variables(list: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>().into_iter()
}

fn origin_of<'a>(loaded: &'a Loaded, name: &str) -> &'a Origin {
    loaded.origin(name).expect("there is such an option")
}

/// What one wrong variable is told.
#[track_caller]
fn check_variable(name: &str, value: &str, expected: &str) {
    let errors = Files::new(None).load(None, &[(name, value)]).expect_err("the variable is wrong");
    assert_eq!(errors.to_string(), expected);
}

#[test]
fn later_sources_win_and_each_value_knows_its_origin() {
    let files = Files::new(Some("[wal]\ninterval = \"1s\"\nsegment = \"1MiB\"\n  durability = \"memory\"\n"));
    let mut loaded = files
        .load(None, &[("HALODB_WAL__SEGMENT", "2MiB"), ("HALODB_WAL__DURABILITY", "buffered"), ("PATH", "/bin")])
        .expect("all of it is right");
    loaded.change(|config| config.wal.durability = Durability::Sync).expect("this too");

    let wal = &loaded.config().wal;
    assert_eq!((wal.interval, wal.segment, wal.limit), (Duration::from_secs(1), 2 << 20, 64 << 20));
    assert_eq!(wal.durability, Durability::Sync);
    assert_eq!(loaded.file(), Some(&*files.own()));
    assert_eq!(origin_of(&loaded, "wal.limit"), &Origin::Default);
    assert_eq!(origin_of(&loaded, "wal.interval"), &Origin::File { file: files.own(), line: 2, column: 1 });
    assert_eq!(origin_of(&loaded, "wal.segment"), &Origin::Variable { name: "HALODB_WAL__SEGMENT".to_owned() });
    assert_eq!(origin_of(&loaded, "wal.durability"), &Origin::Program);
    assert_eq!(origin_of(&loaded, "database.path"), &Origin::Program);
    assert_eq!(loaded.config().database.path, files.db());
}

#[test]
fn an_explicit_file_stands_in_for_the_databases_own() {
    let files = Files::new(Some("not even TOML"));
    let other = files.other("[wal]\ninterval = \"2s\"\n");
    let loaded = files.load(Some(&other), &[]).expect("the own file is not read");
    assert_eq!(loaded.config().wal.interval, Duration::from_secs(2));
    assert_eq!(loaded.file(), Some(&*other));
}

#[test]
fn without_any_file_the_defaults_hold() {
    let loaded = Files::new(None).load(None, &[]).expect("nothing is wrong");
    assert_eq!(loaded.file(), None);
    let mut config = loaded.into_config();
    config.database.path = Config::default().database.path;
    assert_eq!(config, Config::default());
    Config::load(None, Path::new("no/such/directory"), variables(&[])).expect("a directory is created later");
    let files = Files::new(None);
    let file = files.other("");
    Config::load(None, &file, variables(&[])).expect("that it is no directory is found out later");
}

#[test]
fn show_prints_a_file_and_with_origins_says_where_each_value_came_from() {
    let files = Files::new(None);
    let loaded =
        files.load(None, &[("HALODB_WAL__INTERVAL", "5s"), ("HALODB_DATABASE__PATH", "x")]).expect("it is right");
    let shown = loaded.show_origins();
    let wal = shown.split("\n\n").find(|part| part.starts_with("[wal]")).expect("there is such a section");
    assert_eq!(
        wal,
        "[wal]\n\
         durability = \"sync\"  # default\n\
         interval = \"5s\"      # environment HALODB_WAL__INTERVAL\n\
         segment = \"16MiB\"    # default\n\
         limit = \"64MiB\"      # default"
    );
    assert!(loaded.show().ends_with("\n[log]\nlevel = \"warn\"\nformat = \"text\"\n"), "{}", loaded.show());
}

#[test]
fn wrong_variables_are_named_with_what_to_write() {
    check_variable(
        "HALODB_WAL__DURABILITY",
        "synk",
        "HALODB_WAL__DURABILITY: `wal.durability` must be memory, buffered or sync, not \"synk\"\n  hint: did you mean sync?\n",
    );
    check_variable(
        "HALODB_MEMORY__MEMTABLE",
        "64",
        "HALODB_MEMORY__MEMTABLE: `memory.memtable` must be a size, not \"64\", which has no unit\n  hint: write 64MiB\n",
    );
    check_variable(
        "HALODB_MERGE__THREADS",
        "two",
        "HALODB_MERGE__THREADS: `merge.threads` must be a whole number, not \"two\"\n  hint: for example 1\n",
    );
    check_variable(
        "HALODB_MERGE__THREADS",
        "99",
        "HALODB_MERGE__THREADS: `merge.threads` must be 1 to 16, not 99\n  hint: the nearest allowed value is 16\n",
    );
    check_variable(
        "HALODB_WAL__DURABILTY",
        "sync",
        "HALODB_WAL__DURABILTY: no option has this variable\n  hint: did you mean HALODB_WAL__DURABILITY?\n",
    );
    check_variable(
        "HALODB_DATABASE__PATH",
        "caf\u{fffd}",
        "HALODB_DATABASE__PATH: `database.path` must be valid UTF-8\n",
    );
    check_variable(
        "HALODB_WAL__LIMIT",
        "1MiB",
        "HALODB_WAL__LIMIT: `wal.limit` is 1MiB, less than two segments of 16MiB each\n  hint: set `wal.limit` to 32MiB or more, or `wal.segment` to 512KiB or less\n",
    );
}

#[test]
fn variables_that_are_not_ours_are_left_alone() {
    Files::new(None)
        .load(None, &[("HALODB_EDITOR", "vi"), ("XHALODB_A__B", "1"), ("HALODB", "")])
        .expect("nothing is wrong");
}

#[test]
fn the_problems_of_all_sources_are_shown_at_once_those_of_the_file_first() {
    let files = Files::new(Some("[wal]\nintervall = \"1s\"\n"));
    let errors = files.load(None, &[("HALODB_X__Y", "1"), ("HALODB_LOG__LEVEL", "loud")]).expect_err("three are wrong");
    let places: Vec<String> = errors.iter().map(|problem| problem.place().to_string()).collect();
    assert_eq!(places, [format!("{}:2:1", files.own().display()), "HALODB_LOG__LEVEL".into(), "HALODB_X__Y".into()]);
}

#[test]
fn a_contradiction_across_sources_is_reported_at_the_stronger_one() {
    let files = Files::new(Some("[wal]\nlimit = \"20MiB\"\nsegment = \"1MiB\"\n"));
    files.load(None, &[]).expect("the file alone is right");
    let errors = files.load(None, &[("HALODB_WAL__SEGMENT", "16MiB")]).expect_err("they contradict each other");
    let places: Vec<&Place> = errors.iter().map(|problem| problem.place()).collect();
    assert_eq!(places, [&Place::Variable { name: "HALODB_WAL__SEGMENT".to_owned() }]);
}

#[test]
fn what_the_program_sets_is_checked_and_refused_whole() {
    let mut loaded = Loaded::default();
    let errors = loaded
        .change(|config| {
            config.database.partitions = 0;
            config.merge.chunk = 1;
        })
        .expect_err("both are wrong");
    assert_eq!(
        errors.to_string(),
        "database.partitions: `database.partitions` must be 1 to 256, not 0\n  hint: the nearest allowed value is 1\n\
         merge.chunk: `merge.chunk` must be 1MiB to 1GiB, not 1B\n  hint: the nearest allowed value is 1MiB\n"
    );
    assert_eq!(loaded.config(), &Config::default());
    let errors = loaded.change(|config| config.wal.limit = 1 << 20).expect_err("two segments do not fit");
    assert!(errors.to_string().starts_with("wal.limit: `wal.limit` is 1MiB, less than two segments"), "{errors}");
}

#[test]
fn an_explicit_file_that_cannot_be_read_is_a_problem_of_the_file() {
    let files = Files::new(None);
    let missing = files.dir.path().join("missing.toml");
    let errors = files.load(Some(&missing), &[]).expect_err("it is not there");
    assert!(errors.to_string().starts_with(&format!("{}: cannot be read: ", missing.display())), "{errors}");
    let errors = Config::check_file(&files.db()).expect_err("it is a directory");
    assert!(errors.to_string().starts_with(&format!("{}: cannot be read: ", files.db().display())), "{errors}");
    let large = files.other("#".repeat(300 << 10));
    let errors = Config::check_file(&large).expect_err("it is too large");
    assert!(errors.to_string().starts_with(&format!("{}: is larger than 65536 bytes", large.display())), "{errors}");
}

#[test]
fn a_file_that_is_not_text_is_shown_where_it_stops_being_text() {
    let files = Files::new(None);
    let file = files.other(b"[wal]\ninterval = \"\xff\"\n");
    let errors = Config::check_file(&file).expect_err("it is not UTF-8");
    assert_eq!(
        errors.to_string(),
        format!(
            "{}:2:13: the byte 0xff is not valid UTF-8\n    2 | interval = \"\u{fffd}\"\n      |             ^\n  hint: save the file as UTF-8\n",
            file.display()
        )
    );
}

#[test]
fn a_databases_own_file_cannot_move_it() {
    let files = Files::new(Some("[database]\npath = \"elsewhere\"\n"));
    let errors = files.load(None, &[]).expect_err("the file moves the database");
    let text = errors.to_string();
    assert!(text.starts_with(&format!("{}:2:8: `database.path` is ", files.own().display())), "{text}");
    assert!(text.contains("remove the line, or keep the file elsewhere and give it with --config"), "{text}");

    let files = Files::new(None);
    std::fs::write(files.own(), format!("[database]\npath = '{}'\n", files.db().display())).expect("a file");
    files.load(None, &[]).expect("it says where it is");
}

#[test]
fn the_directory_is_that_of_the_environment_else_of_the_file_else_the_default() {
    let files = Files::new(None);
    let other = files.other("[database]\npath = \"here\"\n");
    let directory = |file: Option<&Path>, environment: &[(&str, &str)]| Config::directory(file, variables(environment));
    assert_eq!(directory(None, &[]), Ok(PathBuf::from("data")));
    assert_eq!(directory(Some(&other), &[]), Ok(files.dir.path().join("here")));
    assert_eq!(directory(Some(&other), &[("HALODB_DATABASE__PATH", "there")]), Ok(PathBuf::from("there")));
    assert_eq!(directory(None, &[("HALODB_WAL__LIMIT", "wrong")]), Ok(PathBuf::from("data")), "load will say so");
    assert!(directory(None, &[("HALODB_DATABASE__PATH", "")]).is_err());
    assert!(directory(Some(Path::new("no/such/file")), &[]).is_err());

    let loaded = Config::load(Some(&other), &files.dir.path().join("here"), variables(&[])).expect("it is right");
    assert!(matches!(origin_of(&loaded, "database.path"), Origin::File { line: 2, .. }));
}
