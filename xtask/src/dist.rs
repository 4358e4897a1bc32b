//! `cargo xtask dist`: the program as it is shipped, with man pages and completions beside it.
//!
//! ```text
//! DIR/halodb
//! DIR/man/halodb.1, halodb-put.1, …
//! DIR/completions/halodb.bash, _halodb, halodb.fish, …
//! ```
//!
//! The program writes the pages and completions itself, from the one definition of its commands; here it is only built and run.
//! Packing and signing are not done here.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds the program and fills `out`, which is made if it is not there. The answer is what there is now.
///
/// # Errors
/// A sentence: the build failed, or a file could not be written.
pub fn run(root: &Path, out: &Path) -> Result<Vec<PathBuf>, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let built = Command::new(cargo)
        .args(["build", "--release", "--package", "halodb-cli"])
        .current_dir(root)
        .env("CARGO_TARGET_DIR", &target)
        .status();
    match built {
        Ok(status) if status.success() => {}
        Ok(_) => return Err("the program does not build".to_owned()),
        Err(e) => return Err(format!("cannot run cargo: {e}")),
    }
    assemble(&target.join("release/halodb"), out)
}

/// Copies the program into `out` and lets it write what belongs beside it.
fn assemble(program: &Path, out: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |doing: &str, path: &Path, e: std::io::Error| format!("cannot {doing} {}: {e}", path.display());
    std::fs::create_dir_all(out).map_err(|e| failed("create", out, e))?;
    let shipped = out.join("halodb");
    std::fs::copy(program, &shipped).map_err(|e| failed("copy", program, e))?;
    let written = Command::new(program).arg("generate").arg(out).output().map_err(|e| failed("run", program, e))?;
    if !written.status.success() {
        return Err(format!("{} generate: {}", program.display(), String::from_utf8_lossy(&written.stderr).trim()));
    }
    let folders = String::from_utf8_lossy(&written.stdout).lines().map(PathBuf::from).collect::<Vec<_>>();
    Ok(std::iter::once(shipped).chain(folders).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_program_is_copied_and_asked_to_write_the_rest() {
        let dir = tempfile::tempdir().expect("a directory");
        let program = dir.path().join("program");
        std::fs::write(&program, "#!/bin/sh\nmkdir $2/man && echo $2/man\n").expect("written");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("executable");
        let out = dir.path().join("a/b");
        assert_eq!(assemble(&program, &out), Ok(vec![out.join("halodb"), out.join("man")]));
        assert!(out.join("man").is_dir() && out.join("halodb").is_file());
        // A second time it fails, because the directory is there already, and that is told.
        assert!(assemble(&program, &out).is_err_and(|what| what.contains("generate")));
    }
}
