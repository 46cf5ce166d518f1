//! Collects the pages of `errors/` for `keyward explain`.

use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?).join("errors");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut pages = Vec::new();
    for file in fs::read_dir(&folder)? {
        let path = file?.path();
        if let Some(code) = path.file_stem().and_then(|name| name.to_str()).filter(|code| *code != "README") {
            pages.push(format!("({code:?}, include_str!({:?})),", path.display().to_string()));
        }
    }
    pages.sort();
    let text = format!("const PAGES: &[(&str, &str)] = &[{}];\n", pages.concat());
    fs::write(Path::new(&env::var("OUT_DIR").map_err(io::Error::other)?).join("pages.rs"), text)
}
