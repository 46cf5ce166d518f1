//! Links between Markdown pages, and the table of contents of docs/.

use super::Source;
use super::prose::{Line, lines};
use std::path::{Component, Path, PathBuf};

/// The table of contents, which mdBook builds the site from.
const SUMMARY: &str = "docs/SUMMARY.md";

/// Rejects links to files and headings that do not exist, and pages of docs/ that the table of
/// contents lacks.
pub(super) fn check(root: &Path, sources: &[Source], wrong: &mut Vec<String>) {
    let mut listed = Vec::new();
    for Source { path, text } in sources.iter().filter(|source| source.path.ends_with(".md")) {
        for (number, link) in links(path, text) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { path.clone() } else { resolve(path, file) };
            if !root.join(&target).exists() {
                wrong.push(format!("{path}:{number}: `{link}` names no file"));
                continue;
            }
            let page = sources.iter().find(|source| source.path == target);
            if !heading.is_empty() && page.is_some_and(|page| !headings(page).any(|known| known == heading)) {
                wrong.push(format!("{path}:{number}: `{link}` names no heading of {target}"));
            }
            if path == SUMMARY {
                listed.push(target);
            }
        }
    }
    for Source { path, .. } in sources {
        if path.starts_with("docs/") && path.ends_with(".md") && path != SUMMARY && !listed.contains(path) {
            wrong.push(format!("{path}: is not in {SUMMARY}"));
        }
    }
}

/// Returns the targets of links to files and headings, with their lines.
fn links<'a>(path: &str, text: &'a str) -> Vec<(usize, &'a str)> {
    let mut found = Vec::new();
    for Line { number, text, .. } in lines(path, text) {
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        found.extend(targets.filter(|target| !target.contains(':')).map(|target| (number, target)));
    }
    found
}

/// Returns the path of `file`, which is relative to the page `path`, from the root.
fn resolve(path: &str, file: &str) -> String {
    let mut resolved = PathBuf::from(path);
    resolved.pop();
    for part in Path::new(file).components() {
        match part {
            Component::ParentDir => {
                resolved.pop();
            }
            Component::Normal(name) => resolved.push(name),
            _ => {}
        }
    }
    resolved.display().to_string()
}

/// Returns the names of a page's headings in links.
fn headings(page: &Source) -> impl Iterator<Item = String> {
    let headings = lines(&page.path, &page.text).into_iter().filter(|line| line.text.starts_with('#'));
    headings.map(|line| {
        let text = line.text.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_links_and_unlisted_pages_are_found() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let page = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
        let summary = |text: &str| page(SUMMARY, text);
        for (text, wanted) in [
            ("[a](tokens.md), [b](../README.md), [c](../wit/), [d](https://example.org)", None),
            ("# The `first` one: it's\n\n[a](#the-first-one-its)", None),
            ("```\n[a](no.md)\n```", None),
            ("[a](no.md)", Some("docs/serve.md:1: `no.md` names no file")),
            ("\n[a](serve.md#other)", Some("docs/serve.md:2: `serve.md#other` names no heading of docs/serve.md")),
        ] {
            let (page, mut wrong) = (page("docs/serve.md", text), Vec::new());
            check(&root, &[page, summary("[a](serve.md)")], &mut wrong);
            assert_eq!(wrong.first().map(String::as_str), wanted, "{text}");
        }
        let mut wrong = Vec::new();
        check(&root, &[page("docs/serve.md", ""), summary("")], &mut wrong);
        assert_eq!(wrong, ["docs/serve.md: is not in docs/SUMMARY.md"]);
    }
}
