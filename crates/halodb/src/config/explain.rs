//! The text of `config explain`.

use super::kind::Fault;
use super::options::{Config, ConfigOption, OPTIONS};
use super::problem::{ConfigErrors, Place, Problem};
use super::setting::quote;
use super::suggest;

impl Config {
    /// What an option is: by `section.key`, by its key alone, or by its variable; by a section's name, all its options.
    ///
    /// # Errors
    ///
    /// If nothing has this name; the hint is the nearest one.
    ///
    /// ```
    /// let text = halodb::config::Config::explain("wal.interval").unwrap();
    /// assert!(text.starts_with("wal.interval = \"50ms\"\n"));
    /// ```
    pub fn explain(name: &str) -> Result<String, ConfigErrors> {
        let name = name.trim().trim_start_matches('[').trim_end_matches(']');
        let named = |option: &&ConfigOption| {
            [option.section, option.key].contains(&name) || option.name() == name || option.variable() == name
        };
        let texts: Vec<String> = OPTIONS.iter().filter(named).map(explain).collect();
        if !texts.is_empty() {
            return Ok(texts.join("\n"));
        }
        let full: Vec<String> = OPTIONS.iter().map(ConfigOption::name).collect();
        let names = full.iter().map(String::as_str);
        let names = names.chain(OPTIONS.iter().flat_map(|option| [option.section, option.key]));
        let hint = match suggest::closest(name, names) {
            Some(closest) => format!("did you mean `{closest}`?"),
            None => format!("the options are {}", full.join(", ")),
        };
        let fault = Fault { message: "there is no such option".to_owned(), hint: Some(hint) };
        // Quoted if needed: the name is what someone typed.
        let shown = if name.bytes().all(|byte| byte.is_ascii_graphic()) { name.to_owned() } else { quote(name) };
        ConfigErrors::unless_empty(vec![Problem::new(Place::Key { name: shown }, fault)], String::new())
    }
}

fn explain(option: &ConfigOption) -> String {
    let mut text = format!("{} = {}\n", option.name(), option.default_value());
    for paragraph in [option.what, option.cost] {
        for line in wrap(paragraph, 96) {
            text += &format!("  {line}\n");
        }
    }
    text += &format!("  allowed: {}\n  environment: {}\n", option.allowed(), option.variable());
    text
}

/// Lines of at most `width` characters, broken at spaces.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always a line");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}
