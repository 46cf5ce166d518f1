//! Repository rules that no compiler checks.

mod commits;
mod layers;
mod links;
mod prose;
mod report;
mod versions;

use crate::run::Step;
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) use report::report;

/// Code that may appear in only one file of the runtime.
const ONLY_IN: &[(&str, &str)] = &[
    ("Store::new(", "sandbox.rs"),
    ("keyward_engine::config()", "engine.rs"),
    ("Component::deserialize(", "artifact.rs"),
    ("bindgen!", "bindings.rs"),
    ("VerifiedActor::new_verified(", "policy.rs"),
];

/// Prefixes of paths outside the repository, which mean nothing on another machine.
const FOREIGN: &[&str] = &["/home/", "/root/", "/Users/"];

/// Maximum length of a source file, in lines.
const MAX_LINES: usize = 600;

/// Maximum number of names at the root of the runtime, for readers of its documentation.
const MAX_ROOT_NAMES: usize = 25;

/// A text file of the repository.
struct Source {
    /// Path relative to the root.
    path: String,
    text: String,
}

/// Checks all rules, and reports all violations at once.
pub(crate) fn tidy(root: &Path) -> Step {
    let sources = sources(root)?;
    let mut wrong = Vec::new();
    for source in &sources {
        let Source { path, text } = source;
        // The rules name the text that they reject.
        if path.starts_with("xtask/src/tidy") {
            continue;
        }
        for needle in FOREIGN {
            for (number, line) in text.lines().enumerate().filter(|(_, line)| line.contains(needle)) {
                wrong.push(format!("{path}:{}: points outside the repository: {}", number + 1, line.trim()));
            }
        }
        if path.ends_with(".rs") && text.lines().count() > MAX_LINES {
            wrong.push(format!("{path}: longer than {MAX_LINES} lines; split it"));
        }
        if let Some(name) = path.strip_prefix("runtime/src/").filter(|name| name.ends_with(".rs") && *name != "lib.rs")
        {
            let code = layers::without_tests(text);
            for (needle, only) in ONLY_IN.iter().filter(|(needle, only)| name != *only && code.contains(needle)) {
                wrong.push(format!("{path}: `{needle}` may appear in {only} only"));
            }
        }
        prose::check(source, &mut wrong);
    }
    versions::check(&sources, &mut wrong);
    layers::check(&sources, &mut wrong);
    root_names(&sources, &mut wrong);
    links::check(root, &sources, &mut wrong);
    commits::check(root, &mut wrong)?;
    if wrong.is_empty() { Ok(()) } else { Err(format!("not tidy:\n  {}", wrong.join("\n  "))) }
}

/// Counts the names that the runtime exports at its root.
fn root_names(sources: &[Source], wrong: &mut Vec<String>) {
    let Some(root) = sources.iter().find(|source| source.path == "runtime/src/lib.rs") else { return };
    let exports = root.text.split("\npub use ").skip(1).filter_map(|export| export.split(';').next());
    let names: usize = exports.map(|export| export.matches(',').count() + usize::from(!export.contains(",\n}"))).sum();
    if names > MAX_ROOT_NAMES {
        wrong
            .push(format!("runtime/src/lib.rs: {names} names at the root, of {MAX_ROOT_NAMES}: export it in a module"));
    }
}

fn sources(root: &Path) -> Result<Vec<Source>, String> {
    let mut paths = Vec::new();
    collect(root, &mut paths).map_err(|error| format!("the source could not be read: {error}"))?;
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).ok()?;
        Some(Source { path: path.strip_prefix(root).unwrap_or(&path).display().to_string(), text })
    };
    Ok(paths.into_iter().filter_map(read).collect())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    const ENDS: [&str; 7] = ["rs", "toml", "md", "wit", "wat", "run", "yml"];
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // Links to `wit/` and `LICENSE` in the packages.
        if entry.file_type()?.is_symlink() {
            continue;
        }
        let path = entry.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !["target", ".git", "vectors"].contains(&name.as_str()) {
                collect(&path, files)?;
            }
        } else if name == "run" || ENDS.iter().any(|end| name.rsplit('.').next() == Some(end)) {
            files.push(path);
        }
    }
    Ok(())
}
