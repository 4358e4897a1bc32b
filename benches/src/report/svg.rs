//! A drawing as SVG text: rectangles, lines, words. The file that comes out is self-contained and the same for the same
//! calls.
//!
//! Colours are classes, so that one style sheet serves light and dark: the drawing brings its own background and follows
//! the reader's `prefers-color-scheme`. Words stay words (they can be searched and copied). Nothing here knows what is
//! drawn.

use std::fmt::Write;

/// The engines' colours, by position: first HaloDB, then its peers. After Okabe and Ito, told apart by colour-blind eyes.
const PALETTE: [&str; 8] = ["#d55e00", "#3b82c4", "#009e73", "#9a6fd0", "#cc79a7", "#b58900", "#7a8691", "#56b4e9"];

const STYLE: &str = "\
svg{font-family:system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;font-size:11px}\
text{paint-order:stroke;stroke:#ffffff;stroke-width:3px;stroke-linejoin:round}.back{fill:#ffffff}.ink{fill:#1f2328}.dim{fill:#59636e}.strong{font-weight:600}.title{font-size:14px;font-weight:600}\
.grid{stroke:#d1d9e0;stroke-width:1}.axis{stroke:#818b98;stroke-width:1}.curve{fill:none;stroke-width:1.6;stroke-linejoin:round}\
@media (prefers-color-scheme:dark){text{stroke:#0d1117}.back{fill:#0d1117}.ink{fill:#f0f6fc}.dim{fill:#9198a1}.grid{stroke:#2b323b}.axis{stroke:#656c76}}";

/// Where a word stands to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    /// The word begins there.
    Start,
    /// Its middle is there.
    Middle,
    /// It ends there.
    End,
}

/// A drawing in the making. Lengths are pixels at its natural size, from the upper left.
#[derive(Debug)]
pub(crate) struct Drawing {
    width: f64,
    height: f64,
    title: String,
    body: String,
}

impl Drawing {
    /// An empty sheet; `title` is what a screen reader says.
    pub(crate) fn new(width: f64, height: f64, title: &str) -> Drawing {
        Drawing { width, height, title: title.to_owned(), body: String::new() }
    }

    /// A filled rectangle in the colour of engine `color`; `hint` appears under the pointer.
    pub(crate) fn bar(&mut self, x: f64, y: f64, width: f64, height: f64, color: usize, hint: &str) {
        self.add(format_args!(
            "<rect class=\"c{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"><title>{}</title></rect>",
            color % PALETTE.len(),
            px(x),
            px(y),
            px(width.max(0.0)),
            px(height),
            escaped(hint)
        ));
    }

    /// A straight line; `class` is `grid` or `axis`.
    pub(crate) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        self.add(format_args!(
            "<line class=\"{class}\" x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\"/>",
            px(from.0),
            px(from.1),
            px(to.0),
            px(to.1)
        ));
    }

    /// A line through many points, in the colour of engine `color`.
    pub(crate) fn curve(&mut self, points: &[(f64, f64)], color: usize, hint: &str) {
        let points: Vec<String> = points.iter().map(|&(x, y)| format!("{},{}", px(x), px(y))).collect();
        self.add(format_args!(
            "<polyline class=\"curve s{}\" points=\"{}\"><title>{}</title></polyline>",
            color % PALETTE.len(),
            points.join(" "),
            escaped(hint)
        ));
    }

    /// Words on the base line `y`; `class` names styles: `ink`, `dim`, `strong`, `title`.
    pub(crate) fn text(&mut self, class: &str, x: f64, y: f64, anchor: Anchor, words: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        self.add(format_args!(
            "<text class=\"{class}\" x=\"{}\" y=\"{}\"{anchor}>{}</text>",
            px(x),
            px(y),
            escaped(words)
        ));
    }

    /// The file.
    pub(crate) fn finish(self) -> String {
        let (width, height) = (px(self.width), px(self.height));
        let mut style = STYLE.to_owned();
        for (index, color) in PALETTE.iter().enumerate() {
            write!(style, ".c{index}{{fill:{color}}}.s{index}{{stroke:{color}}}").unwrap_or_default();
        }
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
             role=\"img\">\n<title>{}</title>\n<style>{style}</style>\n<rect class=\"back\" width=\"{width}\" \
             height=\"{height}\"/>\n{}</svg>\n",
            escaped(&self.title),
            self.body
        )
    }

    fn add(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing into a string does not fail.
        writeln!(self.body, "{element}").unwrap_or_default();
    }
}

/// A length with at most one decimal.
fn px(length: f64) -> String {
    let text = format!("{length:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Characters that mean something in XML, replaced; those that XML does not allow, left out.
fn escaped(words: &str) -> String {
    let mut text = String::with_capacity(words.len());
    for c in words.chars() {
        match c {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\n' | '\t' => text.push(' '),
            c if c.is_control() => {}
            c => text.push(c),
        }
    }
    text
}

/// How wide `words` will be at 11 pixels, roughly and rather too wide: the reader's font is not known.
pub(crate) fn width_of(words: &str) -> f64 {
    words.chars().map(|c| if "iljft.,:'|! ".contains(c) { 3.6 } else { 6.6 }).sum()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Fails unless every tag of `xml` is closed in order, attributes are quoted, and no stray `<` or `&` is left.
    pub(crate) fn assert_well_formed(xml: &str) {
        let mut open: Vec<&str> = Vec::new();
        let mut rest = xml;
        while let Some(at) = rest.find('<') {
            assert_entities(&rest[..at]);
            let end = rest[at..].find('>').expect("a tag ends") + at;
            let tag = &rest[at + 1..end];
            rest = &rest[end + 1..];
            assert!(!tag.contains('<'), "a tag inside a tag: {tag}");
            assert!(tag.matches('"').count().is_multiple_of(2), "a quote stays open: {tag}");
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name), "closes what is not open");
            } else if !tag.ends_with('/') {
                open.push(tag.split_whitespace().next().expect("a tag has a name"));
            }
        }
        assert!(open.is_empty(), "never closed: {open:?}");
        assert!(!rest.contains('>') && rest.trim().is_empty(), "text after the end: {rest}");
        assert!(!xml.contains("NaN") && !xml.contains("inf"), "a length is no number");
    }

    fn assert_entities(text: &str) {
        for (at, _) in text.match_indices('&') {
            let known = ["&amp;", "&lt;", "&gt;", "&quot;"].iter().any(|entity| text[at..].starts_with(entity));
            assert!(known, "a stray & in {text}");
        }
    }

    #[test]
    fn a_drawing_is_well_formed_whatever_the_words_are() {
        let mut drawing = Drawing::new(100.0, 50.0, "a < b & \"c\"");
        drawing.bar(0.0, 1.25, 10.0, 5.0, 0, "<tag>&");
        drawing.line("grid", (0.0, 0.0), (-0.01, 10.0));
        drawing.curve(&[(0.0, 1.0), (2.0, 3.5)], 9, "it's > that");
        drawing.text("ink", 1.0, 2.0, Anchor::End, "bell \u{7} & tab\tend");
        let svg = drawing.finish();
        assert_well_formed(&svg);
        assert!(svg.contains("bell  &amp; tab end"), "{svg}");
        assert!(svg.contains("a &lt; b &amp; &quot;c&quot;"), "{svg}");
    }

    #[test]
    #[should_panic(expected = "closes what is not open")]
    fn the_check_of_well_formedness_can_fail() {
        assert_well_formed("<svg><g></svg></g>");
    }

    #[test]
    fn lengths_are_short() {
        assert_eq!(px(12.0), "12");
        assert_eq!(px(12.34), "12.3");
        assert_eq!(px(-0.04), "0");
    }
}
