//! The annotated `halodb.toml`: every key with its default, what it is and what it costs.

use super::explain::wrap;
use super::options::{Config, OPTIONS};

const HEAD: &str = "\
# Configuration of HaloDB: every key, commented out, with its default.
#
# The program reads the file of --config, else halodb.toml in the database's directory. Stronger than the file are
# variables of the environment (HALODB_SECTION__KEY, for example HALODB_WAL__DURABILITY=buffered) and, strongest,
# options of the program. `halodb config check` checks a file, `halodb config show --origin` says where each value
# came from.
#
# Sizes are \"64KiB\", \"64MiB\", \"1GiB\"; durations are \"200ms\", \"10s\", \"5m\", \"1h\".
";

impl Config {
    /// The annotated example: a file in which every key stands commented out, with its default.
    ///
    /// It is the text of `halodb.toml` at the top of the repository, and what `halodb config init` writes.
    pub fn annotated_example() -> String {
        let mut text = HEAD.to_owned();
        let mut section = "";
        for option in OPTIONS {
            if option.section != section {
                section = option.section;
                text += &format!("\n[{section}]\n");
            }
            text.push('\n');
            for paragraph in [option.what, option.cost] {
                for line in wrap(paragraph, 112) {
                    text += &format!("# {line}\n");
                }
            }
            text += &format!("# Allowed: {}.\n", option.allowed());
            text += &format!("#{} = {}\n", option.key, option.default_value());
        }
        text
    }
}
