//! Names as the page writes them: engines, places of result files, headings and their anchors.

use super::load;
use crate::result::ResultFile;

/// How an engine writes itself, and its colour in the plots: the same in every plot, whoever takes part.
const ENGINES: [(&str, &str); 7] = [
    ("halodb", "HaloDB"),
    ("redb", "redb"),
    ("fjall", "fjall"),
    ("lmdb", "LMDB"),
    ("sled", "sled"),
    ("rocksdb", "RocksDB"),
    ("sqlite", "SQLite"),
];

/// The engine's name in prose.
pub(crate) fn engine(name: &str) -> &str {
    ENGINES.iter().find(|(key, _)| *key == name).map_or(name, |(_, written)| written)
}

/// The engine's colour.
pub(crate) fn color(name: &str) -> usize {
    ENGINES.iter().position(|(key, _)| *key == name).unwrap_or(ENGINES.len())
}

/// `Basic operations, 1m, default budget`: one for each file of the page.
pub(crate) fn heading(file: &ResultFile) -> String {
    format!("{}, {}, {}", load::title(&file.group), file.scale, budget(&file.budget))
}

/// The budget in prose.
pub(crate) fn budget(name: &str) -> String {
    match name {
        "4gib" => "4 GiB each".to_owned(),
        other => format!("{other} budget"),
    }
}

/// The anchor of a heading: lower case, dashes for blanks, nothing but letters, digits, `-` and `_`.
pub(crate) fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).flat_map(char::to_lowercase).collect()
}

/// The name of a plot's file without its ending, from names that may hold anything.
pub(crate) fn plot(file: &ResultFile, more: &[&str]) -> String {
    let parts = [file.group.as_str(), &file.scale, &file.budget].into_iter().chain(more.iter().copied());
    let safe = |part: &str| part.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect::<String>();
    parts.map(|part| safe(&part.to_ascii_lowercase())).collect::<Vec<_>>().join("-")
}

/// Foreign text for a table or a list: one line, nothing that Markdown would take for its own, and no folders of the
/// machine where it was recorded.
pub(crate) fn prose(text: &str) -> String {
    let words = text.split_whitespace().map(|word| match word.find('/') {
        // An absolute path, perhaps in quotes: only its last name says anything elsewhere.
        Some(at) if word[..at].chars().all(|c| !c.is_alphanumeric()) && word.len() > at + 1 => {
            format!("{}…{}", &word[..at], &word[word.rfind('/').unwrap_or(at)..])
        }
        _ => word.to_owned(),
    });
    let line = words.collect::<Vec<_>>().join(" ");
    let mut escaped = String::with_capacity(line.len());
    for c in line.chars() {
        match c {
            '|' | '*' | '`' | '[' | ']' | '\\' => {
                escaped.push('\\');
                escaped.push(c);
            }
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_are_what_renderers_make_of_headings() {
        assert_eq!(slug("Basic operations, 1m, 4 GiB each"), "basic-operations-1m-4-gib-each");
        assert_eq!(slug("What HaloDB loses at"), "what-halodb-loses-at");
    }

    #[test]
    fn foreign_text_breaks_no_table_and_names_no_folder() {
        assert_eq!(prose("a | b\n c"), "a \\| b c");
        assert_eq!(prose("cannot open \"/tmp/x/db/file.log\": full"), "cannot open \"…/file.log\": full");
        assert_eq!(prose("op/s and 1/2 stay"), "op/s and 1/2 stay");
        assert_eq!(prose("Vec<u8> [x](y)"), "Vec&lt;u8&gt; \\[x\\](y)");
    }

    #[test]
    fn every_engine_has_a_colour_of_its_own() {
        let colors: std::collections::BTreeSet<usize> = ENGINES.iter().map(|(name, _)| color(name)).collect();
        assert_eq!(colors.len(), ENGINES.len());
        assert_eq!(color("another"), ENGINES.len());
    }
}
