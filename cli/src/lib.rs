//! The command line of Keyward, as a library so that tests reach it in-process.
//!
//! This is the only crate that reads arguments and the environment. [`run`] is the whole command; what it may touch
//! besides files comes in as a [`World`].

mod args;
mod audit;
pub mod builtin;
mod caller;
mod check;
pub mod config;
mod create;
mod date;
mod keygen;
mod keys;
mod limits;
mod load;
mod log;
mod output;
mod record;
mod serve;
mod status;
mod store;
mod tokens;
mod upkeep;
mod verify;

use args::Command;
use output::one_line;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, BufRead, Write};
use std::process::ExitCode;

pub use args::parse_at;
pub use log::{Log, log_to_stderr};

/// What a command may touch, besides files.
pub struct World<'a> {
    /// Where tokens come from.
    pub stdin: &'a mut dyn BufRead,
    /// Where answers go.
    pub stdout: &'a mut dyn Write,
    /// Where one sentence goes if something is wrong.
    pub stderr: &'a mut dyn Write,
    /// The environment variables.
    pub env: &'static Env,
}

/// Looks an environment variable up. The daemon does so on another thread, whenever it reloads.
pub type Env = dyn Fn(&str) -> Option<OsString> + Sync;

impl fmt::Debug for World<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

/// How a command ended. The larger is the worse of two, except for [`Status::Mistake`], which ends a command at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// 0: created, every token accepted, or done.
    Good,
    /// 1: denied, or a token not accepted.
    No,
    /// 2: the command or the configuration is wrong.
    Mistake,
    /// 3: no verdict could be had.
    NoVerdict,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(match status {
            Status::Good => 0,
            Status::No => 1,
            Status::Mistake => 2,
            Status::NoVerdict => 3,
        })
    }
}

/// Why a command ends before its time.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The caller or the operator has to mend something: one sentence that says what, where and what to do.
    Mistake(String),
    /// Keyward itself cannot go on.
    NoVerdict(String),
    /// The answers could not be read or written.
    Stream(&'static str, io::Error),
}

impl Stop {
    /// For `map_err` on writes of answers.
    pub(crate) fn stdout(error: io::Error) -> Self {
        Self::Stream("standard output could not be written", error)
    }

    /// How the command ends, and why.
    pub(crate) fn sentence(self) -> (Status, String) {
        match self {
            Self::Mistake(sentence) => (Status::Mistake, sentence),
            Self::NoVerdict(sentence) => (Status::NoVerdict, sentence),
            Self::Stream(what, error) => (Status::NoVerdict, format!("{what}: {error}")),
        }
    }
}

/// Runs one command. `args` begin with the name of the program. `keyward serve` returns when a signal has ended it.
pub fn run(args: impl IntoIterator<Item = OsString>, mut world: World<'_>) -> Status {
    let done = args::parse(args).and_then(|command| match command {
        Command::Help(text) => {
            world.stdout.write_all(text.as_bytes()).map_err(Stop::stdout)?;
            Ok(Status::Good)
        }
        Command::Create(args) => create::run(args, &mut world),
        Command::Verify(args) => verify::run(args, &mut world),
        Command::Check(args) => check::run(args, &mut world),
        Command::Keygen(args) => keygen::run(&args, &mut world),
        Command::Caller(args) => caller::run(&args, &mut world),
        Command::Keys(args) => keys::run(args, &mut world),
        Command::Tokens(args) => tokens::run(args, &mut world),
        Command::Store(args) => upkeep::run(args, &mut world),
        Command::Audit(args) => audit::run(args, &mut world),
        Command::Status(args) => status::run(&args.of, &mut world),
        Command::Serve(args) => serve::run(args, &mut world),
    });
    let done = done.and_then(|status| world.stdout.flush().map(|()| status).map_err(Stop::stdout));
    let (status, sentence) = match done {
        Ok(status) => return status,
        Err(stop) => stop.sentence(),
    };
    complain(world.stderr, &sentence);
    status
}

/// The one form of a complaint: a line on standard error. Nobody is left to tell if that fails.
pub(crate) fn complain(stderr: &mut dyn Write, sentence: &str) {
    let _ = writeln!(stderr, "keyward: {}", one_line(sentence));
}
