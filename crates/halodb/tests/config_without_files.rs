//! Built without the reading of files, the program refuses a file it would have to read instead of overlooking it.

#![cfg(not(feature = "config"))]

use halodb::config::{Config, FILE_NAME};

#[test]
fn a_file_is_refused_and_the_environment_still_read() {
    let dir = tempfile::tempdir().expect("a directory for the test");
    let environment = || [("HALODB_WAL__INTERVAL".to_owned(), "1s".to_owned())].into_iter();
    let loaded = Config::load(None, dir.path(), environment()).expect("there is no file");
    assert_eq!(loaded.config().wal.interval.as_secs(), 1);

    let file = dir.path().join(FILE_NAME);
    std::fs::write(&file, "").expect("a file in it");
    let errors = Config::load(None, dir.path(), environment()).expect_err("there is one now");
    assert_eq!(
        errors.to_string(),
        format!(
            "{}: this program was built without the reading of configuration files\n  \
             hint: remove the file, or build with the feature `config`\n",
            file.display()
        )
    );
}
