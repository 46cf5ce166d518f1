//! The prose conventions of CONTRIBUTING.md, as far as a program can check them.

use super::Source;

/// Words that a doc comment must not begin with: it begins with a verb or a noun phrase.
pub(super) const OPENINGS: &[&str] = &["What", "Whether", "Who", "How", "It", "One", "Of", "Those"];

/// Words that the field has better ones for.
pub(super) const WORDS: &[&str] = &[
    "somebody",
    "nobody",
    "whoever",
    "anybody",
    "everybody",
    "stand",
    "stands",
    "stood",
    "all the same",
    "all that",
    "so many",
    "so long",
    "so far",
    "so often",
    "taken back",
    "take back",
    "taken for",
    "take over",
    "taken over",
    "anew",
    "meanwhile",
    "besides",
    "beforehand",
    "what is known",
    "what is said",
    "what is asked",
    "what is made",
    "what is kept",
    "what is there",
    "that is known",
    "that is said",
    "that is asked",
    "that is made",
    "that is kept",
    "that is there",
    "look after",
    "looked after",
];

/// Maximum width of a line of prose, in characters. Code follows rustfmt's width.
const MAX_WIDTH: usize = 100;

/// Files that are exempt from the rules, with the reason.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("docs/proxies.md", "holds what proxies and clients print"),
    ("docs/originals.md", "holds the original systems' own words"),
];

/// A line of prose.
pub(super) struct Line<'a> {
    /// Line number, from 1.
    pub(super) number: usize,
    pub(super) text: &'a str,
    pub(super) kind: Kind,
    /// Set for the first line of a paragraph or comment.
    pub(super) is_first: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Doc,
    Comment,
    Markdown,
}

/// Rejects violations of the conventions.
pub(super) fn check(source: &Source, wrong: &mut Vec<String>) {
    let Source { path, text } = source;
    if EXCEPTIONS.iter().any(|(file, _)| file == path) {
        return;
    }
    for Line { number, text, kind, is_first } in lines(path, text) {
        let mut refuse = |why: String| wrong.push(format!("{path}:{number}: {why}: {}", text.trim()));
        if is_first && kind == Kind::Doc && is_forbidden_opening(text) {
            refuse("begin with a verb or a noun phrase".to_owned());
        }
        if kind != Kind::Comment {
            for word in forbidden_words(text) {
                refuse(format!("write another word than `{word}`"));
            }
        }
        if text.chars().count() > MAX_WIDTH && !is_wide(text, kind) {
            refuse(format!("wider than {MAX_WIDTH} columns"));
        }
    }
}

/// Returns whether a line of rustdoc begins with one of [`OPENINGS`].
pub(super) fn is_forbidden_opening(line: &str) -> bool {
    let text = line.trim().trim_start_matches(['/', '!']).trim();
    let first = text.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    OPENINGS.contains(&first)
}

/// Returns those [`WORDS`] that occur in a line. Code in backticks does not count.
pub(super) fn forbidden_words(line: &str) -> impl Iterator<Item = &'static str> {
    let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join(" ");
    let words: Vec<_> = prose.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let text = format!(" {} ", words.join(" ").to_lowercase());
    WORDS.iter().copied().filter(move |word| text.contains(&format!(" {word} ")))
}

/// Returns whether a line may be wide: a table, a heading, or a link without a place to break.
fn is_wide(line: &str, kind: Kind) -> bool {
    let text = line.trim_start().trim_start_matches(['/', '!']).trim();
    text.starts_with('|')
        || text.starts_with('#')
        || text.contains("](")
        || text.contains("://")
        || kind != Kind::Markdown && text.split_whitespace().count() < 3
}

/// Returns the prose of a Rust or Markdown file, without fenced code.
pub(super) fn lines<'a>(path: &str, text: &'a str) -> Vec<Line<'a>> {
    let is_markdown = path.ends_with(".md");
    if !is_markdown && !path.ends_with(".rs") {
        return Vec::new();
    }
    let (mut found, mut in_code, mut before) = (Vec::new(), false, None);
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        let kind = match () {
            () if is_markdown => Some(Kind::Markdown),
            () if trimmed.starts_with("///") || trimmed.starts_with("//!") => Some(Kind::Doc),
            () if trimmed.starts_with("//") => Some(Kind::Comment),
            () => None,
        };
        let content = trimmed.trim_start_matches(['/', '!']).trim_start();
        if kind.is_some() && content.starts_with("```") {
            in_code = !in_code;
        } else if let Some(kind) = kind.filter(|_| !in_code) {
            found.push(Line { number: index + 1, text: line, kind, is_first: before != Some(kind) });
        }
        if kind.is_none() {
            in_code = false;
        }
        before = kind;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> usize {
        let mut wrong = Vec::new();
        check(&Source { path: path.to_owned(), text: text.to_owned() }, &mut wrong);
        wrong.len()
    }

    #[test]
    fn prose_is_checked_and_code_is_not() {
        for (text, wanted) in [
            ("/// Returns the id.\nfn id() {}", 0),
            ("/// Whether it is one.\nfn is() {}", 1),
            ("/// Returns the id.\n/// It is short.\nfn id() {}", 0),
            ("//! Taken for one: somebody's.", 2),
            ("// Nobody reads this.", 0),
            ("/// Calls `somebody`.\nfn f() {}", 0),
            ("/// ```\n/// // Whoever comes.\n/// ```\nfn f() {}", 0),
        ] {
            assert_eq!(findings("a.rs", text), wanted, "{text}");
        }
        assert_eq!(findings("a.rs", &format!("// {}", "word ".repeat(20))), 1);
        assert_eq!(findings("a.md", &format!("| {}", "word ".repeat(20))), 0);
        assert_eq!(findings("a.md", &"word ".repeat(21)), 1);
    }
}
