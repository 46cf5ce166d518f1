//! `keyward new` and `keyward build`: projects of handlers.

use crate::args::kit::{Build, New};
use crate::output::one_line;
use crate::{CliError, ExitStatus, Io};
use keyward_kit::{Declarations, Project};
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn new(args: &New, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    let New { name, lang } = args;
    let folder = Path::new(name.as_str());
    keyward_kit::create(folder, name, *lang).map_err(|error| CliError::Usage(error.to_string()))?;
    writeln!(
        io.stdout,
        "{name}: a token handler in {lang}, whose tokens begin with `{prefix}`\n\n  cd {name}\n  keyward build\n\n\
         README.md says what it needs, and how to go on.",
        name = name.as_str(),
        prefix = name.prefix()
    )
    .map_err(CliError::stdout)?;
    Ok(ExitStatus::Success)
}

pub(crate) fn build(args: &Build, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    let output = if args.path.is_dir() { project(args)? } else { module(args)? };
    let bytes = fs::metadata(&output).map_or(0, |metadata| metadata.len());
    writeln!(io.stdout, "{}: a component of {bytes} bytes", output.display()).map_err(CliError::stdout)?;
    Ok(ExitStatus::Success)
}

/// Builds a project, and returns the file of the component.
fn project(args: &Build) -> Result<PathBuf, CliError> {
    let project = Project::open(&args.path).map_err(|error| usage(&error))?;
    let output = args.output.clone().unwrap_or_else(|| project.component());
    project.build(&output).map_err(|error| usage(&error))?;
    Ok(output)
}

/// Makes a component of a file, and returns its file.
fn module(args: &Build) -> Result<PathBuf, CliError> {
    let path = &args.path;
    let output = args.output.clone().unwrap_or_else(|| path.with_extension("component.wasm"));
    let failed = |file: &Path, why: String| CliError::Usage(format!("{}: {}", file.display(), one_line(&why)));
    let core = fs::read(path).map_err(|error| failed(path, error.to_string()))?;
    let component =
        keyward_kit::encode(&core, &Declarations::default()).map_err(|error| failed(path, error.to_string()))?;
    fs::write(&output, component).map_err(|error| failed(&output, error.to_string()))?;
    Ok(output)
}

fn usage(error: &keyward_kit::BuildError) -> CliError {
    CliError::Usage(error.to_string())
}
