//! `keyward new` and `keyward build`: projects of handlers.

use crate::args::kit::{Build, New};
use crate::output::with_code;
use crate::{CliError, ExitStatus, Io};
use keyward_kit::{BuildError, Declarations, Project};
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn new(args: &New, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    let New { name, lang } = args;
    let folder = Path::new(name.as_str());
    keyward_kit::create(folder, name, *lang).map_err(|error| CliError::Usage(with_code(&error, error.code())))?;
    writeln!(
        io.stdout,
        "{name}: a token handler in {lang}, whose tokens begin with `{prefix}`\n\n  cd {name}\n  keyward build\n\n\
         README.md lists the requirements and the next steps.",
        name = name.as_str(),
        prefix = name.prefix()
    )
    .map_err(CliError::stdout)?;
    Ok(ExitStatus::Success)
}

pub(crate) fn build(args: &Build, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    let output = component(args).map_err(|error| CliError::Usage(with_code(&error, error.code())))?;
    let bytes = fs::metadata(&output).map_or(0, |metadata| metadata.len());
    writeln!(io.stdout, "{}: a component of {bytes} bytes", output.display()).map_err(CliError::stdout)?;
    Ok(ExitStatus::Success)
}

/// Builds a project, or makes a component of a file, and returns the file of the component.
fn component(args: &Build) -> Result<PathBuf, BuildError> {
    let Build { path, output } = args;
    if path.is_dir() {
        let project = Project::open(path)?;
        let output = output.clone().unwrap_or_else(|| project.component());
        project.build(&output)?;
        return Ok(output);
    }
    let output = output.clone().unwrap_or_else(|| path.with_extension("component.wasm"));
    keyward_kit::encode_file(path, &output, &Declarations::default())?;
    Ok(output)
}
