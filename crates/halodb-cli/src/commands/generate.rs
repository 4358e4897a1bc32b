//! `completions SHELL`, and `generate DIR`, by which `cargo xtask dist` makes what is shipped beside the program: man pages and
//! completions. All of it is written from the definitions in `args`.

mod man;

use crate::args::{Completions, Generate, Program};
use crate::failure::{Failure, Result};
use crate::session::Session;
use clap::{CommandFactory, ValueEnum};
use clap_complete::Shell;
use std::fs;
use std::io;
use std::path::Path;

const NAME: &str = "halodb";

/// `completions SHELL`.
pub(crate) fn completions(session: &mut Session, wanted: &Completions) -> Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(wanted.shell, &mut shown(), NAME, &mut text);
    session.out.bytes(&text)
}

/// `generate DIR`: man pages in `DIR/man`, completions in `DIR/completions`.
pub(crate) fn all(session: &mut Session, wanted: &Generate) -> Result<()> {
    let (man, completions) = (wanted.dir.join("man"), wanted.dir.join("completions"));
    let mut built = shown();
    built.build();
    make(&man, |dir| man::pages(dir, &built))?;
    make(&completions, |dir| {
        let mut command = shown();
        Shell::value_variants()
            .iter()
            .try_for_each(|shell| clap_complete::generate_to(*shell, &mut command, NAME, dir).map(drop))
    })?;
    session.out.line(format!("{}\n{}", man.display(), completions.display()))
}

/// The program's definition without the commands that are hidden, which clap would offer all the same.
fn shown() -> clap::Command {
    let all = Program::command();
    clap::Command::new(NAME)
        .version(env!("CARGO_PKG_VERSION"))
        .about(all.get_about().cloned().unwrap_or_default())
        .after_help(all.get_after_help().cloned().unwrap_or_default())
        .disable_help_subcommand(true)
        .args(all.get_arguments().cloned())
        .subcommands(all.get_subcommands().filter(|command| !command.is_hide_set()).cloned())
}

fn make(dir: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> Result<()> {
    fs::create_dir_all(dir).and_then(|()| write(dir)).map_err(|error| Failure::file("write", dir, &error))
}
