//! `cargo xtask tidy --report`: statistics of each crate's prose.

use super::prose::{Kind, Line, WORDS, forbidden_words, is_forbidden_opening, lines};
use super::{Source, commits, sources};
use crate::run::Step;
use std::path::Path;

/// The crates with a table row of their own.
const CRATES: &[&str] = &["runtime", "server", "service", "pages", "store", "fetch", "audit", "cli", "sdk", "kit"];

/// The counts of one crate.
#[derive(Default)]
struct Counted {
    comments: usize,
    forbidden: usize,
    links: usize,
}

/// Prints the tables.
pub(crate) fn report(root: &Path) -> Step {
    let sources = sources(root)?;
    println!("| crate | doc comments | forbidden openings | links per 100 |");
    println!("| --- | --- | --- | --- |");
    for name in CRATES {
        let folder = format!("{name}/src/");
        let Counted { comments, forbidden, links } = count(sources.iter().filter(|s| s.path.starts_with(&folder)));
        if comments > 0 {
            let percent = |part: usize| part as f64 * 100.0 / comments as f64;
            println!("| {name} | {comments} | {:.0} % | {:.0} |", percent(forbidden), percent(links));
        }
    }
    println!("\n| word | in rustdoc and Markdown |");
    println!("| --- | --- |");
    let used = |word: &&'static str| sources.iter().map(|source| uses(source, word)).sum::<usize>();
    for word in WORDS {
        let times = used(word);
        if times > 0 {
            println!("| {word} | {times} |");
        }
    }
    println!("| all {} words | {} |", WORDS.len(), WORDS.iter().map(used).sum::<usize>());
    let subjects = commits::subjects(root)?;
    let long = subjects.iter().filter(|subject| subject.chars().count() > commits::MAX_SUBJECT).count();
    println!(
        "\nCommits: {}, of which {long} have a subject of more than {} characters.",
        subjects.len(),
        commits::MAX_SUBJECT
    );
    Ok(())
}

fn count<'a>(sources: impl Iterator<Item = &'a Source>) -> Counted {
    let mut counted = Counted::default();
    for source in sources {
        for Line { text, kind, is_first, .. } in lines(&source.path, &source.text) {
            if kind == Kind::Doc {
                counted.comments += usize::from(is_first);
                counted.forbidden += usize::from(is_first && is_forbidden_opening(text));
                counted.links += text.matches("[`").count();
            }
        }
    }
    counted
}

fn uses(source: &Source, word: &str) -> usize {
    let is_checked = !source.path.starts_with("xtask/src/tidy");
    let prose = lines(&source.path, &source.text).into_iter().filter(|line| is_checked && line.kind != Kind::Comment);
    prose.map(|line| forbidden_words(line.text).filter(|found| *found == word).count()).sum()
}
