//! The command line of Keyward, as a library so that tests can run it in-process.
//!
//! Only this crate reads arguments and the environment. [`run`] is the whole command; except for
//! files, it accesses its environment only through an [`Io`].

mod args;
mod assemble;
mod audit;
mod audit_log;
mod bench;
mod builtin;
mod cache;
mod check;
mod client;
pub mod config;
mod config_file;
mod conformance;
mod create;
mod daemon;
mod date;
mod doctor;
mod explain;
mod key_sets;
mod keygen;
mod keys;
mod kit;
mod limits;
mod log;
mod login;
mod output;
mod pending_file;
mod private_file;
mod remote;
mod serve;
mod sessions;
mod shell;
mod status;
mod store;
mod tokens;
mod trial;
mod upkeep;
mod verify;

use args::{Command, Parsed};
use output::one_line;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, BufRead, Write};
use std::path::Path;
use std::process::ExitCode;

pub use date::parse_at;
pub use log::{Log, log_to_stderr};
pub use output::columns;

/// The streams and environment variables of a command.
pub struct Io<'a> {
    /// Standard input, from which tokens are read.
    pub stdin: &'a mut dyn BufRead,
    /// Standard output, for results.
    pub stdout: &'a mut dyn Write,
    /// Set if standard output is a terminal, which may show a secret.
    pub stdout_is_terminal: bool,
    /// Width of tables on standard output, at least 80.
    pub columns: usize,
    /// Standard error, for error messages.
    pub stderr: &'a mut dyn Write,
    /// Set if standard error is a terminal, on which progress is displayed.
    pub stderr_is_terminal: bool,
    /// The environment variables.
    pub env: &'static Env,
    /// The program that compiles foreign components: this one.
    pub worker: &'a Path,
}

/// A function that looks up an environment variable. The daemon calls it from another thread on
/// each reload.
pub type Env = dyn Fn(&str) -> Option<OsString> + Sync;

impl fmt::Debug for Io<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Io").finish_non_exhaustive()
    }
}

/// The exit status of a command. Of two, the greater is the worse, except for
/// [`ExitStatus::Usage`], which stops a command at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExitStatus {
    /// 0: success, or every token was accepted.
    Success,
    /// 1: the request was denied, or a token was not accepted.
    Negative,
    /// 2: the arguments or the configuration are invalid.
    Usage,
    /// 3: no verdict or result could be obtained.
    Unavailable,
    /// 141: the reader of standard output has closed it. The status is that of a process which
    /// SIGPIPE has ended.
    Closed,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(match status {
            ExitStatus::Success => 0,
            ExitStatus::Negative => 1,
            ExitStatus::Usage => 2,
            ExitStatus::Unavailable => 3,
            ExitStatus::Closed => 141,
        })
    }
}

/// An error that stops a command.
#[derive(Debug)]
pub(crate) enum CliError {
    /// The arguments, the configuration or a file must be corrected. One sentence says what is
    /// wrong, where, and what to do.
    Usage(String),
    /// Keyward cannot continue.
    Unavailable(String),
    /// Reading input or writing output failed.
    Stream(&'static str, io::Error),
}

impl CliError {
    /// Wraps an error of a write to standard output, for `map_err`.
    pub(crate) fn stdout(error: io::Error) -> Self {
        Self::Stream("standard output could not be written", error)
    }

    /// Returns the exit status and the error message.
    pub(crate) fn sentence(self) -> (ExitStatus, String) {
        match self {
            Self::Usage(sentence) => (ExitStatus::Usage, sentence),
            Self::Unavailable(sentence) => (ExitStatus::Unavailable, sentence),
            Self::Stream(what, error) => (ExitStatus::Unavailable, format!("{what}: {error}")),
        }
    }
}

/// Runs one command. `args` begin with the name of the program. `keyward serve` returns when a
/// signal has stopped it.
pub fn run(args: impl IntoIterator<Item = OsString>, mut io: Io<'_>) -> ExitStatus {
    // A daemon that cannot announce its addresses does not start, and says so.
    let mut is_daemon = false;
    let done = args::parse(args).and_then(|parsed| match parsed {
        Parsed::Help(text) => {
            io.stdout.write_all(text.as_bytes()).map_err(CliError::stdout)?;
            Ok(ExitStatus::Success)
        }
        Parsed::Command(command) => {
            is_daemon = matches!(command, Command::Serve(_));
            run_command(command, &mut io)
        }
    });
    let done = done.and_then(|status| io.stdout.flush().map(|()| status).map_err(CliError::stdout));
    let (status, sentence) = match done {
        Ok(status) => return status,
        Err(CliError::Stream(_, error)) if error.kind() == io::ErrorKind::BrokenPipe && !is_daemon => {
            return ExitStatus::Closed;
        }
        Err(stop) => stop.sentence(),
    };
    report_error(io.stderr, &sentence);
    status
}

fn run_command(command: Command, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    match command {
        Command::Create(args) => create::run(args, io),
        Command::Verify(args) => verify::run(args, io),
        Command::Cache(args) => cache::run(args, io),
        Command::New(args) => kit::new(&args, io),
        Command::Build(args) => kit::build(&args, io),
        Command::Test(args) => conformance::run(args, io),
        Command::Bench(args) => bench::run(args, io),
        Command::Explain(args) => explain::run(&args, io),
        Command::Check(args) => check::run(args, io),
        Command::Keygen(args) => keygen::run(&args, io),
        Command::Client(args) => client::run(&args, io),
        Command::Login(args) => login::run(&args, io),
        Command::Keys(args) => keys::run(args, io),
        Command::Tokens(args) => tokens::run(args, io),
        Command::Sessions(args) => sessions::run(args, io),
        Command::Store(args) => upkeep::run(args, io),
        Command::Audit(args) => audit::run(args, io),
        Command::Status(args) => status::run(&args.of, io),
        Command::Doctor(args) => doctor::run(&args, io),
        Command::Config(args) => shell::config(&args, io),
        Command::Completions(args) => shell::completions(&args, io),
        Command::Man(args) => shell::man(&args, io),
        Command::Serve(args) => serve::run(args, io),
    }
}

/// Prints an error message on standard error. If that fails, there is no place left to report it.
pub(crate) fn report_error(stderr: &mut dyn Write, sentence: &str) {
    let _ = writeln!(stderr, "keyward: {}", one_line(sentence));
}
