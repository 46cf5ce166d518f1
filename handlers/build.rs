//! Says what to do if the components have not been built, and compiles them to machine code.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=components");
    if !Path::new("components/table.rs").is_file() {
        println!(
            "cargo::error=the built-in handlers have not been built here: run `cargo xtask handlers`, then repeat"
        );
        return ExitCode::FAILURE;
    }
    match compile() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error=the built-in handlers could not be compiled: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(feature = "compiled")]
fn compile() -> Result<(), Box<dyn std::error::Error>> {
    use std::{env, fs};

    let (target, out) = (env::var("TARGET")?, env::var("OUT_DIR")?);
    let compiler = keyward_engine::Compiler::new(Some(&target))
        .inspect_err(|error| {
            println!("cargo::warning=the built-in handlers are compiled when they are loaded: {error}")
        })
        .ok();
    for entry in fs::read_dir("components")? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "wasm") {
            continue;
        }
        let code = match &compiler {
            Some(compiler) => compiler.compile(&fs::read(&path)?)?,
            None => Vec::new(),
        };
        let name = path.with_extension("cwasm");
        fs::write(Path::new(&out).join(name.file_name().unwrap_or_default()), code)?;
    }
    Ok(())
}

#[cfg(not(feature = "compiled"))]
#[expect(clippy::unnecessary_wraps, reason = "as with the feature")]
fn compile() -> Result<(), Box<dyn std::error::Error>> {
    Ok(())
}
