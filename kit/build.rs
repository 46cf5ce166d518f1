//! Embeds the templates, the contract, and the SDK with a manifest of its own.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

type Done<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Done {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let manifest = out.join("sdk.toml");
    fs::write(&manifest, standalone(&root.join("sdk/manifest.toml"), &root.join("sdk/workspace.toml"))?)?;
    let mut code = String::new();
    for (name, folder) in [("TEMPLATES", "templates"), ("CONTRACT", "wit"), ("SDK", "sdk")] {
        println!("cargo::rerun-if-changed={folder}");
        let mut files = Vec::new();
        collect(&root.join(folder), "", &mut files)?;
        if name == "SDK" {
            // The contract is that of the project, and these two become one file.
            files.retain(|(path, _)| !["manifest.toml", "workspace.toml"].contains(&path.as_str()));
            files.push(("Cargo.toml".to_owned(), manifest.clone()));
        }
        files.sort();
        writeln!(code, "pub(super) const {name}: &[(&str, &[u8])] = &[")?;
        for (path, file) in files {
            writeln!(code, "    ({path:?}, include_bytes!({:?})),", file.display().to_string())?;
        }
        code.push_str("];\n");
    }
    fs::write(out.join("files.rs"), code)?;
    Ok(())
}

/// Collects the files of a folder, with their paths within it.
fn collect(folder: &Path, within: &str, files: &mut Vec<(String, PathBuf)>) -> Done {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).ok_or("a name that is not UTF-8")?;
        let within = if within.is_empty() { name.to_owned() } else { format!("{within}/{name}") };
        if path.is_dir() {
            collect(&path, &within, files)?;
        } else {
            files.push((within, path));
        }
    }
    Ok(())
}

/// Returns a manifest without references to its workspace, and without what only that uses.
fn standalone(manifest: &Path, workspace: &Path) -> Done<String> {
    let read = |path: &Path| -> Done<Table> { Ok(fs::read_to_string(path)?.parse()?) };
    let (mut manifest, root) = (read(manifest)?, read(workspace)?);
    // A published crate has its own values already.
    let shared = root.get("workspace").and_then(Value::as_table).cloned().unwrap_or_default();
    for unused in ["lints", "dev-dependencies"] {
        manifest.remove(unused);
    }
    inherit(&mut manifest, "package", shared.get("package"));
    inherit(&mut manifest, "dependencies", shared.get("dependencies"));
    if let Some(Value::Table(targets)) = manifest.get_mut("target") {
        for (_, target) in targets.iter_mut() {
            if let Value::Table(target) = target {
                inherit(target, "dependencies", shared.get("dependencies"));
            }
        }
    }
    Ok(manifest.to_string())
}

/// Replaces `name.workspace = true` in a table by the value of the workspace.
fn inherit(manifest: &mut Table, table: &str, shared: Option<&Value>) {
    let Some(Value::Table(table)) = manifest.get_mut(table) else { return };
    for (name, value) in table.iter_mut() {
        let inherits = value.get("workspace").and_then(Value::as_bool) == Some(true);
        if let Some(found) = shared.and_then(|shared| shared.get(name)).filter(|_| inherits) {
            *value = found.clone();
        }
    }
}
