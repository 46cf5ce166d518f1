//! Rules about the source that no compiler knows.

use crate::run::Step;
use std::fs;
use std::path::{Path, PathBuf};

/// The modules of the runtime from the bottom up. A module uses only modules of lines above its own; those of one line do
/// not use each other, but for the files of `host`, which share the parent's types.
const LAYERS: &[&[&str]] = &[
    &["text", "checksum", "clock", "counts", "json", "limits", "actor", "sync", "form", "token", "usage"],
    &["answers"],
    &["error"],
    &["keys"],
    &["verdict"],
    &["store"],
    &["policy", "permission"],
    &["queries"],
    &["revocations::cutoffs", "revocations::pace"],
    &["revocations::unwritten"],
    &["grants", "revocations"],
    &["admission"],
    &["bindings", "engine"],
    &["slice"],
    &["lane"],
    &["conduct"],
    &["pool"],
    &[
        "host::clock",
        "host::digest",
        "host::keys",
        "host::log",
        "host::queries",
        "host::random",
        "host::secrets",
        "host::settings",
        "host::store",
    ],
    &["component::shape"],
    &["host", "component"],
    &["runtime"],
    &["sandbox"],
    &["handler", "handler::create", "handler::record"],
    &["registry", "registry::presented", "registry::records", "registry::revocation"],
    &["model"],
];

/// What may stand in one file only.
const ONLY_IN: &[(&str, &str)] = &[
    ("Store::new(", "sandbox.rs"),
    ("Config::new()", "engine.rs"),
    ("bindgen!", "bindings.rs"),
    ("VerifiedActor::let_through(", "policy.rs"),
];

/// What must not stand in any file: it would point to where nobody else can look.
const FOREIGN: &[&str] = &["/home/", "/root/", "/Users/"];

/// The longest that a source file may grow.
const MAX_LINES: usize = 600;

/// Checks them all, and says everything that is wrong at once.
pub(crate) fn tidy(root: &Path) -> Step {
    let mut wrong = Vec::new();
    let mut files = Vec::new();
    collect(root, &mut files).map_err(|error| format!("the source could not be read: {error}"))?;
    for path in &files {
        let Ok(text) = fs::read_to_string(path) else { continue };
        let shown = path.strip_prefix(root).unwrap_or(path).display().to_string();
        if shown == "xtask/src/tidy.rs" {
            continue;
        }
        for needle in FOREIGN {
            for (number, line) in text.lines().enumerate().filter(|(_, line)| line.contains(needle)) {
                wrong.push(format!("{shown}:{}: points outside of the repository: {}", number + 1, line.trim()));
            }
        }
        if shown.ends_with(".rs") && text.lines().count() > MAX_LINES {
            wrong.push(format!("{shown}: longer than {MAX_LINES} lines; split it by what it knows"));
        }
        if let Some(inside) = shown.strip_prefix("runtime/src/").filter(|name| name.ends_with(".rs")) {
            check_runtime_file(inside, &text, &mut wrong);
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(format!("not tidy:\n  {}", wrong.join("\n  "))) }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && name != ".git" && name != "vectors" {
                collect(&path, files)?;
            }
        } else if ["rs", "toml", "md", "wit", "wat", "run", "yml"]
            .iter()
            .any(|end| name.rsplit('.').next() == Some(end))
            || name == "run"
        {
            files.push(path);
        }
    }
    Ok(())
}

fn check_runtime_file(name: &str, text: &str, wrong: &mut Vec<String>) {
    let module = name.trim_end_matches(".rs").replace('/', "::");
    // What stands behind the tests' attribute is not part of the library.
    let code = text.split("#[cfg(test)]").next().unwrap_or(text);
    for (needle, only) in ONLY_IN {
        if name != *only && code.contains(needle) && name != "lib.rs" {
            wrong.push(format!("runtime/src/{name}: `{needle}` may stand in {only} only"));
        }
    }
    if module == "lib" {
        return;
    }
    let Some(own) = layer(&module) else {
        wrong.push(format!("runtime/src/{name}: has no place in the order of modules (xtask/src/tidy.rs)"));
        return;
    };
    for line in code.lines() {
        let Some(used) = line.trim().strip_prefix("use crate::") else { continue };
        let used = used.split([':', ';', ' ']).next().unwrap_or(used);
        match layer(used) {
            Some(layer) if layer < own => {}
            _ => wrong.push(format!("runtime/src/{name}: uses `{used}`, which is not below it: {}", line.trim())),
        }
    }
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|modules| modules.contains(&module))
}
