//! Parsing of arguments into typed commands.
//!
//! Any argument may be a token that was passed by mistake. clap's own error texts repeat arguments,
//! so they are never shown; [`sentence`] reports the same error by the names of known options.

pub(crate) mod audit;
pub(crate) mod cache;
pub(crate) mod config;
pub(crate) mod doctor;
pub(crate) mod keys;
pub(crate) mod kit;
pub(crate) mod login;
pub(crate) mod sessions;
pub(crate) mod store;
pub(crate) mod tokens;

use crate::CliError;
use crate::date::parse_at;
use audit::Audit;
use cache::Cache;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use config::Config;
use doctor::Doctor;
use keys::Keys;
use keyward_runtime::Restrictions;
use keyward_runtime::clock::{Clock, SystemClock, UnixTime};
use kit::{Bench, Build, Explain, New, Test};
use login::Login;
use sessions::Sessions;
use std::error::Error as _;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use store::Store;
use tokens::Tokens;

/// The parsed arguments.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// A text to print: help, or the version.
    Help(String),
    Command(Command),
}

/// Creates and verifies API tokens with untrusted, sandboxed handlers.
#[derive(Parser)]
#[command(
    name = "keyward",
    version,
    disable_help_subcommand = true,
    after_help = "\
Exit status: 0 success, 1 denied or not accepted, 2 usage error, 3 no verdict.

Without --config, commands use the file in KEYWARD_CONFIG, or else keyward.toml
or keyward-data/keyward.toml. KEYWARD_LOG=error|warn|info|debug: the log level.

Example:
  keyward create --config keyward.toml --actor root --expires-after 3600"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// The command to run.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(Serve),
    Create(Create),
    Verify(Verify),
    New(New),
    Build(Build),
    Test(Test),
    Bench(Bench),
    Check(Check),
    Explain(Explain),
    Cache(Cache),
    Keygen(Keygen),
    Client(Client),
    Login(Login),
    Keys(Keys),
    Tokens(Tokens),
    Sessions(Sessions),
    Store(Store),
    Audit(Audit),
    Status(StatusOf),
    Doctor(Doctor),
    Config(Config),
    Completions(Completions),
    Man(Man),
}

/// Runs the daemon, which serves applications and proxies over HTTP
#[derive(Debug, Parser)]
#[command(after_help = "\
Without --config, the daemon uses the file that KEYWARD_CONFIG names, or else
keyward.toml or keyward-data/keyward.toml in the current folder. If there is
none, the first start creates the folder keyward-data with a key, a
configuration to edit, and the client `admin`, whose secret is printed once on a
terminal, or else written to a file.

The daemon prints the addresses that it listens on, then logs JSON lines to
standard error, from the level of KEYWARD_LOG up (default: info). SIGHUP reloads
the configuration and every file that it names, and so does a change of one of
them. If a reload fails, the previous configuration stays in effect. SIGTERM and
Ctrl-C stop the daemon once requests in progress are answered.

Exit status: 0 stopped by a signal, 2 invalid arguments or configuration, or an
address in use, 3 the daemon cannot run.

Examples:
  keyward serve
  keyward serve --config keyward.toml")]
pub(crate) struct Serve {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Address for clients, in place of `server.listen`
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    pub(crate) listen: Option<SocketAddr>,
    /// Address for operators, in place of `server.admin`
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    pub(crate) admin: Option<SocketAddr>,
}

/// Creates a token and prints it
#[derive(Debug, Parser)]
#[command(after_help = "\
Without --all, --database and --resource, the token has all rights of its actor.
With any of them, it has only the rights that they list.

--json prints {\"token\":…,\"handler\":…,\"token_id\":…,\"expires_at\":…}.

Exit status: 0 created, 1 denied, 2 invalid arguments or configuration, 3 the
token could not be created.

Examples:
  keyward create --config keyward.toml --actor root --expires-after 3600
  keyward create --config keyward.toml --actor root --all view-instance \\
    --resource db table insert-row")]
pub(crate) struct Create {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Actor that the token authenticates
    #[arg(long, value_name = "ID")]
    pub(crate) actor: String,
    /// Handler to use [default: the first]
    #[arg(long, value_name = "NAME")]
    pub(crate) handler: Option<String>,
    /// Lifetime [default: the handler's]
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub(crate) expires_after: Option<NonZeroU32>,
    #[command(flatten)]
    pub(crate) restrictions: RestrictionArgs,
    /// Note, for handlers that keep one
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// Time to use instead of now
    #[arg(long, value_name = "TIME", value_parser = parse_at)]
    pub(crate) at: Option<UnixTime>,
    /// Prints a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options for the restrictions of a token.
#[derive(Debug, Args)]
pub(crate) struct RestrictionArgs {
    /// Allows an action on everything
    #[arg(long, value_name = "ACTION")]
    all: Vec<String>,
    /// Allows an action on a database and
    /// its contents
    #[arg(long, verbatim_doc_comment, num_args = 2, value_names = ["DB", "ACTION"])]
    database: Vec<String>,
    /// Allows an action on one resource,
    /// such as a table
    #[arg(long, verbatim_doc_comment, num_args = 3, value_names = ["DB", "RESOURCE", "ACTION"])]
    resource: Vec<String>,
}

impl RestrictionArgs {
    /// Returns the restrictions; `None` without any of the options, which leaves the actor all its
    /// rights.
    pub(crate) fn restrictions(&self) -> Option<Restrictions> {
        let Self { all, database, resource } = self;
        if all.is_empty() && database.is_empty() && resource.is_empty() {
            return None;
        }
        let mut restrictions = all.iter().fold(Restrictions::new(), Restrictions::allow_all);
        for pair in database.chunks_exact(2) {
            if let [database, action] = pair {
                restrictions = restrictions.allow_database(database, action);
            }
        }
        for triple in resource.chunks_exact(3) {
            if let [database, resource, action] = triple {
                restrictions = restrictions.allow_resource(database, resource, action);
            }
        }
        Some(restrictions)
    }
}

/// Verifies the tokens on standard input, one per line
#[derive(Debug, Parser)]
#[command(
    override_usage = "keyward verify [OPTIONS] [-]",
    after_help = "\
A token is the whole line without its line feed, including any spaces. An empty
line is an empty token. A line of more than 1 MiB is rejected. Verdicts are
printed in the order of the lines.

Exit status: 0 all accepted, 1 at least one not accepted, 2 invalid arguments or
configuration, or no input, 3 at least one without a verdict (takes precedence
over 1).

Examples:
  keyward verify --config keyward.toml --json <tokens.txt
  keyward create --config keyward.toml --actor root |
    keyward verify --config keyward.toml"
)]
pub(crate) struct Verify {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Handler to verify with; other tokens get `not-mine`
    #[arg(long, value_name = "NAME")]
    pub(crate) handler: Option<String>,
    /// Time to use instead of now; decimals are allowed
    #[arg(long, value_name = "TIME", value_parser = parse_at)]
    pub(crate) at: Option<UnixTime>,
    /// Reads requests as JSON and identifies their users:
    /// see docs/sessions.md
    #[arg(long, verbatim_doc_comment)]
    pub(crate) session: bool,
    /// Prints one JSON object per token
    #[arg(long)]
    pub(crate) json: bool,
    /// At most `-`, which names standard input. Tokens arrive here by mistake.
    #[arg(hide = true)]
    words: Vec<OsString>,
}

/// Describes a component: its imports, settings and grants
#[derive(Debug, Parser)]
#[command(after_help = "\
Exit status: 0 the component can be used, 2 the component or the configuration
is refused, or the arguments are invalid.

Examples:
  keyward check partner.wasm
  keyward check builtin:signed --config keyward.toml")]
pub(crate) struct Check {
    /// Component file, or a built-in handler such as builtin:signed
    pub(crate) component: String,
    /// Also shows the grants of handlers in this configuration,
    /// and checks the whole configuration
    #[arg(long, verbatim_doc_comment, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Prints a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Writes a new secret to a file
#[derive(Debug, Parser)]
#[command(after_help = "\
The secret is a line of 43 characters, which encode 32 random bytes. The file
has mode 0600. An existing file is not overwritten.

Examples:
  keyward keygen secret.key
  keyward keygen --ed25519 issuer.pem")]
pub(crate) struct Keygen {
    /// Writes an Ed25519 private key instead: PKCS#8 in PEM
    #[arg(long)]
    pub(crate) ed25519: bool,
    /// File to create
    pub(crate) file: PathBuf,
}

/// Generates a secret for a client of the daemon
#[derive(Debug, Parser)]
#[command(after_help = "\
Prints the secret, which is stored nowhere, and the lines for the configuration,
which contain its SHA-256.

Example:
  keyward client app")]
pub(crate) struct Client {
    /// Name of the client
    pub(crate) name: String,
}

/// Shows an overview: tokens, keys, daemons and the audit log
#[derive(Debug, Parser)]
#[command(after_help = "\
Tokens are counted by handler and status. Tokens and other daemons are shown
only if the configuration has a `[store]`. The last line is what the daemon of
this configuration reports about itself, if it runs.

Exit status: 0 success, 2 invalid arguments or configuration, 3 the store is not
available.

Example:
  keyward status --config keyward.toml")]
pub(crate) struct StatusOf {
    #[command(flatten)]
    pub(crate) of: CommonArgs,
}

/// Options of the commands that show a configuration.
#[derive(Debug, Args)]
pub(crate) struct CommonArgs {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Time to use instead of now; decimals are allowed
    #[arg(long, value_name = "TIME", value_parser = parse_at)]
    pub(crate) at: Option<UnixTime>,
    /// Prints a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

impl CommonArgs {
    /// Returns the time of `--at` or of the system clock, in whole seconds.
    pub(crate) fn now(&self) -> Result<UnixTime, CliError> {
        let now = self.at.or_else(|| SystemClock.now()).map(UnixTime::whole);
        now.ok_or_else(|| {
            CliError::Unavailable("the system clock is set before 1970: correct it, or use --at".to_owned())
        })
    }
}

/// Prints a completion script for a shell
#[derive(Debug, Parser)]
#[command(after_help = "\
Example:
  keyward completions bash > ~/.local/share/bash-completion/completions/keyward")]
pub(crate) struct Completions {
    /// Shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// Writes the manual pages, one per command
#[derive(Debug, Parser)]
#[command(after_help = "\
Example:
  keyward man ~/.local/share/man/man1")]
pub(crate) struct Man {
    /// Existing folder to write to
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
}

/// Returns the description of the whole command line.
pub(crate) fn command_line() -> clap::Command {
    Arguments::command()
}

/// Parses the arguments. The first one is the program's name.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Parsed, CliError> {
    let (mut clap, args) = (Arguments::command(), args.into_iter().collect::<Vec<_>>());
    let parsed = clap.try_get_matches_from_mut(&args).and_then(|matches| Arguments::from_arg_matches(&matches));
    match parsed.map(|arguments| arguments.command) {
        Ok(Command::Verify(args)) if args.words.iter().any(|word| word != "-") => Err(CliError::Usage(
            "tokens are read from standard input, not from arguments; see `keyward verify --help`".to_owned(),
        )),
        Ok(command) => Ok(Parsed::Command(command)),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Ok(Parsed::Help(error.to_string()))
        }
        Err(error) => Err(CliError::Usage(sentence(&error, &ParsedCommand::of(&clap, &args)))),
    }
}

/// The command that the leading arguments name.
struct ParsedCommand<'a> {
    /// The names of the program and its subcommands, such as `keyward tokens list`.
    words: String,
    command: &'a clap::Command,
}

impl<'a> ParsedCommand<'a> {
    /// Finds the command. `words` contains only names of known commands.
    fn of(clap: &'a clap::Command, args: &[OsString]) -> Self {
        let mut spoken = Self { words: clap.get_name().to_owned(), command: clap };
        for arg in args.iter().skip(1) {
            let known = arg.to_str().and_then(|word| spoken.command.find_subcommand(word));
            let Some(command) = known else { break };
            spoken.words.extend([" ", command.get_name()]);
            spoken.command = command;
        }
        spoken
    }

    /// Returns a list of the subcommands, with `and` before the last one.
    fn commands(&self, and: &str) -> String {
        let names: Vec<_> = self.command.get_subcommands().map(clap::Command::get_name).collect();
        match names.split_last() {
            Some((last, [])) => (*last).to_owned(),
            Some((last, others)) => format!("{} {and} {last}", others.join(", ")),
            None => String::new(),
        }
    }
}

/// Describes an error without repeating any argument.
fn sentence(error: &clap::Error, spoken: &ParsedCommand<'_>) -> String {
    // For unknown options this is the argument itself, so only kinds about known ones use it.
    let option = || match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(name)) => name.clone(),
        Some(ContextValue::Strings(names)) => names.join(", "),
        _ => "an argument".to_owned(),
    };
    let what = match error.kind() {
        ErrorKind::UnknownArgument => match error.get(ContextKind::SuggestedArg) {
            Some(ContextValue::String(known)) => format!("unknown argument; did you mean `{known}`?"),
            _ => "unknown argument".to_owned(),
        },
        ErrorKind::InvalidSubcommand | ErrorKind::MissingSubcommand => {
            let place = match spoken.words.split_once(' ') {
                Some((_, words)) => format!("the argument after `{words}`"),
                None => "the first argument".to_owned(),
            };
            let hint = match error.get(ContextKind::SuggestedSubcommand) {
                Some(ContextValue::Strings(names)) => names.last().map(|name| format!("; did you mean `{name}`?")),
                _ => None,
            };
            format!("{place} is not one of the commands {}{}", spoken.commands("and"), hint.unwrap_or_default())
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            format!("missing command: use {}", spoken.commands("or"))
        }
        ErrorKind::MissingRequiredArgument => format!("{} is missing", option()),
        ErrorKind::ValueValidation => match error.source() {
            Some(why) => format!("the value of {} {why}", option()),
            None => format!("the value of {} is not allowed", option()),
        },
        ErrorKind::InvalidValue | ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => {
            format!("{} is missing a value", option())
        }
        ErrorKind::TooManyValues => format!("{} has too many values", option()),
        ErrorKind::ArgumentConflict => format!("{} was given twice", option()),
        ErrorKind::InvalidUtf8 => "an argument is not UTF-8 text".to_owned(),
        _ => "the arguments are invalid".to_owned(),
    };
    format!("{what}; see `{} --help`", spoken.words)
}

/// Parses a lifetime. Errors continue "the value of --expires-after".
fn parse_seconds(text: &str) -> Result<NonZeroU32, &'static str> {
    match parse_number(text) {
        Some(0) => Err("is 0: use at least 1 second, or omit the option for the default lifetime"),
        number => number.and_then(NonZeroU32::new).ok_or("is not a whole number of seconds from 1 to 4294967295"),
    }
}

/// Parses a number that consists of digits only.
fn parse_number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

/// Parses an address with a port. The error continues "the value of --listen".
fn parse_address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "is not an address with a port, such as 127.0.0.1:8787 or [::1]:8787")
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
