//! Relative links in Markdown lead somewhere: to a tracked file or folder, and to a heading if they name one.
//!
//! Understood are inline links and images, `[text](target)`, and reference definitions, `[name]: target`. Code, fenced or
//! inline, is not looked at. Links with a scheme are left alone: they would need a network.

use super::{Sources, Violation};

/// Every relative link resolves.
pub(super) fn links(sources: &Sources) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, text) in sources.markdown() {
        for (line, target) in targets(text) {
            if let Some(what) = broken(sources, path, text, &target) {
                found.push(Violation::new(path, line, what));
            }
        }
    }
    found
}

fn broken(sources: &Sources, from: &str, text: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let (resolved, text) = if file.is_empty() {
        (from.to_owned(), Some(text))
    } else {
        let Some(resolved) = resolve(from, file) else {
            return Some(format!("The link {target} leaves the repository."));
        };
        if !sources.exists(&resolved) {
            return Some(format!("The link {target} leads to {resolved}, which does not exist."));
        }
        let text = sources.text(&resolved);
        (resolved, text)
    };
    let anchor = anchor?;
    if !resolved.ends_with(".md") || text?.lines().any(|line| heading_slug(line).as_deref() == Some(anchor)) {
        return None;
    }
    Some(format!("The link {target} names a heading that {resolved} does not have."))
}

/// `file` as seen from the folder of `from`; `None` if it climbs out of the repository.
fn resolve(from: &str, file: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in file.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The anchor of a heading, as the usual renderers build it.
fn heading_slug(line: &str) -> Option<String> {
    let title = line.strip_prefix('#')?.trim_start_matches('#').strip_prefix(' ')?;
    let kept = title.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    Some(kept.map(|c| if c == ' ' { '-' } else { c }).flat_map(char::to_lowercase).collect())
}

/// The link targets of a document with their lines.
fn targets(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fence: Option<&str> = None;
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| trimmed.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (Some(_), _) => {}
            (None, None) => {
                let prose = without_code(line);
                found.extend(inline_targets(&prose).into_iter().map(|target| (index + 1, target)));
                found.extend(reference_target(&prose).map(|target| (index + 1, target)));
            }
        }
    }
    found
}

fn without_code(line: &str) -> String {
    line.split('`')
        .enumerate()
        .map(|(i, part)| if i % 2 == 0 { part.to_owned() } else { " ".repeat(part.len()) })
        .collect()
}

fn inline_targets(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("](") {
        let rest = &line[at + 2..];
        if let Some(end) = rest.find(')') {
            let target = rest[..end].split_whitespace().next().unwrap_or("");
            found.push(target.trim_matches(['<', '>']).to_owned());
        }
    }
    found
}

fn reference_target(line: &str) -> Option<String> {
    let (_, target) = line.strip_prefix('[')?.split_once("]: ")?;
    target.split_whitespace().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[usize]) {
        let sources =
            Sources::planted(&[("docs/a.md", text), ("docs/b.md", "# Big `End` of it\n"), ("README.md", "# Top\n")]);
        let found = links(&sources);
        assert_eq!(found.iter().map(|v| v.line).collect::<Vec<_>>(), expected, "{text}: {found:?}");
    }

    #[test]
    fn links_that_lead_somewhere_pass() {
        check("[b](b.md) [top](../README.md) [dir](../docs) [web](https://example.org/x)", &[]);
        check("# Here\n[here](#here) [b](b.md#big-end-of-it)", &[]);
        check("[b]: b.md", &[]);
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        check("text\n[c](c.md)", &[2]);
        check("![picture](c.png)", &[1]);
        check("[c]: c.md", &[1]);
        check("[out](../../x.md)", &[1]);
        check("[here](#there)", &[1]);
        check("[b](b.md#small)", &[1]);
    }

    #[test]
    fn code_is_no_link() {
        check("`a[0](c.md)`\n```text\n[c](c.md)\n```\n", &[]);
    }
}
