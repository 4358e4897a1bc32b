//! `cargo xtask bench`: builds the comparison of `benches/` and becomes it.
//!
//! This package does not depend on that one: no other verb compiles a competitor. All arguments belong to the program
//! built here; read from them is only which engines of C and C++ must be compiled in. The process is replaced, not
//! joined by a child, so that Ctrl-C, a closed terminal and the exit code need no forwarding.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the comparison has beyond the engines that are always there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Extra {
    RocksDb,
    Sqlite,
}

impl Extra {
    const ALL: [Extra; 2] = [Extra::RocksDb, Extra::Sqlite];

    /// The engine's name, which is the feature's too.
    fn name(self) -> &'static str {
        match self {
            Extra::RocksDb => "rocksdb",
            Extra::Sqlite => "sqlite",
        }
    }
}

/// Builds the program and runs it with `args` in its place. Returns only if that fails.
///
/// # Errors
/// A sentence: an unknown engine, a missing compiler and what to install, a failed build.
pub fn run(root: &Path, args: &[OsString]) -> Result<std::convert::Infallible, String> {
    let extras = extras(args)?;
    if let Some(what) = Toolchain::of_this_machine().lacks(&extras) {
        return Err(what);
    }
    let program = build(root, &extras)?;
    let failed = Command::new(&program).args(args).current_dir(root).exec();
    Err(format!("cannot run {}: {failed}", program.display()))
}

fn build(root: &Path, extras: &BTreeSet<Extra>) -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let status = Command::new(cargo)
        .args(build_args(root, extras))
        .env("CARGO_TARGET_DIR", &target)
        .status()
        .map_err(|e| format!("cannot run cargo: {e}"))?;
    if !status.success() {
        return Err("the comparison does not build".to_owned());
    }
    // Absolute, because it runs in the root of the repository.
    let program = target.join("release/halodb-bench");
    program.canonicalize().map_err(|e: io::Error| format!("cannot find {}: {e}", program.display()))
}

fn build_args(root: &Path, extras: &BTreeSet<Extra>) -> Vec<OsString> {
    let mut args: Vec<OsString> =
        ["build", "--release", "--package", "halodb-benches", "--manifest-path"].map(Into::into).into();
    args.push(root.join("Cargo.toml").into());
    if !extras.is_empty() {
        let names: Vec<&str> = extras.iter().map(|extra| extra.name()).collect();
        args.extend(["--features".into(), names.join(",").into()]);
    }
    args
}

/// The engines that `--compare` names, as `--compare a,b`, `--compare=a,b`, or more than once.
fn extras(args: &[OsString]) -> Result<BTreeSet<Extra>, String> {
    let mut found = BTreeSet::new();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let Some(arg) = arg.to_str() else { continue };
        let list = match arg.strip_prefix("--compare") {
            Some("") => rest.next().and_then(|next| next.to_str()).unwrap_or_default(),
            Some(value) if value.starts_with('=') => &value[1..],
            _ => continue,
        };
        for name in list.split(',').filter(|name| !name.is_empty()) {
            let extra = Extra::ALL.into_iter().find(|extra| extra.name() == name);
            found.insert(extra.ok_or_else(|| format!("--compare takes rocksdb and sqlite, not {name}"))?);
        }
    }
    Ok(found)
}

/// What of the tools that C and C++ engines need is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Toolchain {
    c: Found,
    cpp: Found,
    libclang: Found,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Yes,
    No,
}

impl Found {
    fn when(there: bool) -> Found {
        if there { Found::Yes } else { Found::No }
    }
}

impl Toolchain {
    /// Looks where the build scripts will look: the compilers' variables and `PATH`; for libclang its variable,
    /// `llvm-config`, and the usual folders.
    fn of_this_machine() -> Toolchain {
        let compiler = |variable: &str, names: &[&str]| {
            Found::when(std::env::var_os(variable).is_some() || names.iter().any(|name| in_path(name)))
        };
        Toolchain {
            c: compiler("CC", &["cc", "gcc", "clang"]),
            cpp: compiler("CXX", &["c++", "g++", "clang++"]),
            libclang: Found::when(
                std::env::var_os("LIBCLANG_PATH").is_some()
                    || in_path("llvm-config")
                    || libclang_folders().iter().any(|dir| holds_libclang(dir)),
            ),
        }
    }

    /// What to say before a build that would fail.
    fn lacks(self, extras: &BTreeSet<Extra>) -> Option<String> {
        let mut missing = Vec::new();
        if extras.contains(&Extra::RocksDb) {
            missing.extend((self.cpp == Found::No).then_some("a C++ compiler"));
            missing.extend((self.libclang == Found::No).then_some("libclang"));
        }
        missing.extend((!extras.is_empty() && self.c == Found::No).then_some("a C compiler"));
        if missing.is_empty() {
            return None;
        }
        let names: Vec<&str> = extras.iter().map(|extra| extra.name()).collect();
        Some(format!(
            "--compare {} needs {}, which cannot be found here. Install it:\n\
             \x20   Debian, Ubuntu   apt install build-essential clang libclang-dev\n\
             \x20   Fedora           dnf install gcc-c++ clang clang-devel\n\
             \x20   Arch             pacman -S base-devel clang\n\
             \x20   macOS            xcode-select --install\n\
             If libclang lies in an unusual place, name its folder in LIBCLANG_PATH. Without --compare, only engines in \
             Rust and LMDB are compared.",
            names.join(","),
            missing.join(" and ")
        ))
    }
}

fn in_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(name).is_file())
}

fn libclang_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/Library/Developer/CommandLineTools/usr/lib"]
            .map(PathBuf::from)
            .into();
    // One level deeper lie the multi-architecture folders and `llvm-15/lib`.
    for entry in std::fs::read_dir("/usr/lib").into_iter().flatten().flatten() {
        folders.push(entry.path());
        folders.push(entry.path().join("lib"));
    }
    folders
}

/// `libclang-cpp` is another library.
fn holds_libclang(dir: &Path) -> bool {
    let is_it = |name: &OsStr| {
        let rest = name.to_str().and_then(|name| name.strip_prefix("libclang"));
        rest.is_some_and(|rest| rest.starts_with(['.', '-']) && !rest.starts_with("-cpp"))
    };
    std::fs::read_dir(dir).into_iter().flatten().flatten().any(|entry| is_it(&entry.file_name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(args: &[&str], expected: &[Extra]) {
        let args: Vec<OsString> = args.iter().map(Into::into).collect();
        assert_eq!(extras(&args), Ok(expected.iter().copied().collect()), "{args:?}");
    }

    #[test]
    fn the_engines_of_compare_are_read_however_they_are_written() {
        check(&["--quick"], &[]);
        check(&["--compare", "rocksdb,sqlite", "--quick"], &Extra::ALL);
        check(&["run", "--compare=sqlite"], &[Extra::Sqlite]);
        check(&["--compare", "sqlite", "--compare", "rocksdb"], &Extra::ALL);
        check(&["--compared", "rocksdb"], &[]);
        check(&["compare", "a.json", "b.json"], &[]);
    }

    #[test]
    fn a_forgotten_name_is_left_to_the_program_to_refuse() {
        check(&["--quick", "--compare"], &[]);
    }

    #[test]
    fn an_unknown_engine_is_refused_with_the_names() {
        let told = extras(&["--compare".into(), "rocksdb,leveldb".into()]).unwrap_err();
        assert!(told.contains("leveldb") && told.contains("sqlite"), "{told}");
    }

    #[test]
    fn the_build_asks_for_the_features_of_the_engines_named() {
        let root = Path::new("/repository");
        let plain = build_args(root, &BTreeSet::new());
        assert!(plain.contains(&"--release".into()) && !plain.contains(&"--features".into()));
        let both = build_args(root, &Extra::ALL.into());
        assert_eq!(both[both.len() - 2..], ["--features", "rocksdb,sqlite"].map(OsString::from));
    }

    #[test]
    fn a_missing_tool_is_told_with_what_to_install_and_only_if_it_is_needed() {
        let none = Toolchain { c: Found::No, cpp: Found::No, libclang: Found::No };
        let told = none.lacks(&[Extra::RocksDb].into()).unwrap();
        assert!(told.contains("a C++ compiler and libclang") && told.contains("apt install"), "{told}");
        assert_eq!(none.lacks(&BTreeSet::new()), None);
        let no_clang = Toolchain { c: Found::Yes, cpp: Found::Yes, libclang: Found::No };
        assert_eq!(no_clang.lacks(&[Extra::Sqlite].into()), None);
        assert!(no_clang.lacks(&Extra::ALL.into()).unwrap().contains("needs libclang,"));
    }

    #[test]
    fn libclang_is_known_by_its_file_name() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("libclang-cpp.so.15"), "").unwrap();
        assert!(!holds_libclang(dir.path()));
        std::fs::write(dir.path().join("libclang-15.so.1"), "").unwrap();
        assert!(holds_libclang(dir.path()));
        assert!(!holds_libclang(&dir.path().join("nowhere")));
    }
}
