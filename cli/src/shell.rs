//! Texts for other programs: shell completions, manual pages, and the schema of the configuration.

use crate::args::config::{Command, Config, Schema};
use crate::args::{Completions, Man, command_line};
use crate::config::schema;
use crate::private_file::file_error;
use crate::{CliError, ExitStatus, Io};

pub(crate) fn completions(args: &Completions, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command_line(), "keyward", &mut script);
    io.stdout.write_all(&script).map_err(CliError::stdout)?;
    Ok(ExitStatus::Success)
}

pub(crate) fn config(args: &Config, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    let Config { command: Command::Schema(Schema {}) } = args;
    writeln!(io.stdout, "{:#}", schema()).map_err(CliError::stdout)?;
    Ok(ExitStatus::Success)
}

pub(crate) fn man(args: &Man, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    let folder = &args.folder;
    clap_mangen::generate_to(command_line(), folder).map_err(|error| {
        CliError::Usage(format!(
            "{} cannot be written to ({}): use another folder",
            folder.display(),
            file_error(&error)
        ))
    })?;
    writeln!(io.stdout, "wrote the manual pages to {}", folder.display()).map_err(CliError::stdout)?;
    Ok(ExitStatus::Success)
}
