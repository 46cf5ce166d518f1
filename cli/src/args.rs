//! Arguments into typed commands.
//!
//! Whatever stands among the arguments may be a token that somebody put there by mistake. So clap's own error texts, which
//! repeat it, are never shown; [`sentence`] says the same of options that are known.

pub(crate) mod audit;
pub(crate) mod keys;
pub(crate) mod store;
pub(crate) mod tokens;

use crate::Stop;
use audit::Audit;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use keys::Keys;
use keyward_runtime::{Clock, Restrictions, SystemClock, UnixTime};
use std::error::Error as _;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use store::Store;
use tokens::Tokens;

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Command {
    Help(String),
    Serve(Serve),
    Create(Create),
    Verify(Verify),
    Check(Check),
    Keygen(Keygen),
    Caller(Caller),
    Keys(Keys),
    Tokens(Tokens),
    Store(Store),
    Audit(Audit),
    Status(StatusOf),
}

/// Creates and verifies API tokens with handlers that nobody has to trust.
#[derive(Parser)]
#[command(
    name = "keyward",
    version,
    disable_help_subcommand = true,
    after_help = "\
Exit status: 0 yes, 1 no (denied, or a token that is not accepted), 2 a mistake in the command or the configuration,
3 no verdict could be had. The log goes to standard error; KEYWARD_LOG=error|warn|info|debug sets its level (warn, and
info for the daemon).

Examples:
  keyward keygen secret.key
  keyward create --config keyward.toml --actor root --expires-after 3600
  keyward verify --config keyward.toml <tokens.txt
  keyward serve --config keyward.toml"
)]
struct Arguments {
    #[command(subcommand)]
    command: Commands,
}

#[derive(Subcommand)]
enum Commands {
    Serve(Serve),
    Create(Create),
    Verify(Verify),
    Check(Check),
    Keygen(Keygen),
    Caller(Caller),
    Keys(Keys),
    Tokens(Tokens),
    Store(Store),
    Audit(Audit),
    Status(StatusOf),
}

/// Answers host services and proxies over HTTP
///
/// Without --config it works in the folder keyward-data, here. On its first start it makes it: a key, a configuration to
/// change, and a caller `admin`, whose secret is printed this once.
#[derive(Debug, Parser)]
#[command(after_help = "\
It prints where it listens, then logs JSON lines to standard error, from KEYWARD_LOG (info) on. SIGHUP loads the
configuration and all that it names anew, and so does a change of these files; if anything is wrong, what was there
stays. SIGTERM and Ctrl-C finish what is being answered.

Exit status: 0 ended by a signal, 2 a mistake in the command or the configuration, or an address in use, 3 it cannot run.

Examples:
  keyward serve
  keyward serve --config keyward.toml")]
pub(crate) struct Serve {
    /// The configuration [default: keyward-data/keyward.toml]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Listens here, whatever the configuration says
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    pub(crate) listen: Option<SocketAddr>,
    /// Answers operators here, whatever the configuration says
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address)]
    pub(crate) operations: Option<SocketAddr>,
}

/// Creates a token and prints it
///
/// Without --all, --database and --resource the token has all the rights of the actor; with any of them it has those only.
#[derive(Debug, Parser)]
#[command(after_help = "\
Exit status: 0 created, 1 denied, 2 a mistake in the command or the configuration, 3 no answer could be had.

Examples:
  keyward create --config keyward.toml --actor root --expires-after 3600
  keyward create --config keyward.toml --actor root --all view-instance --resource db table insert-row")]
pub(crate) struct Create {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Whom the token speaks for
    #[arg(long, value_name = "ID")]
    pub(crate) actor: String,
    /// The handler that makes it [default: the first one]
    #[arg(long, value_name = "NAME")]
    pub(crate) handler: Option<String>,
    /// Seconds until it ends [default: it does not end]
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub(crate) expires_after: Option<NonZeroU32>,
    #[command(flatten)]
    pub(crate) restrictions: RestrictionArgs,
    /// A note for handlers that keep one
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// The time to go by, in seconds since 1970; decimals are allowed [default: now]
    #[arg(long, value_name = "UNIX", value_parser = parse_at)]
    pub(crate) at: Option<UnixTime>,
    /// Prints {"token":…,"handler":…,"token_id":…,"expires_at":…}
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a token is restricted to.
#[derive(Debug, Args)]
pub(crate) struct RestrictionArgs {
    /// Allows an action on everything
    #[arg(long, value_name = "ACTION")]
    all: Vec<String>,
    /// Allows an action on a database and all that is in it
    #[arg(long, num_args = 2, value_names = ["DB", "ACTION"])]
    database: Vec<String>,
    /// Allows an action on one resource, such as a table
    #[arg(long, num_args = 3, value_names = ["DB", "RESOURCE", "ACTION"])]
    resource: Vec<String>,
}

impl RestrictionArgs {
    /// None without an option for them: that is "all the actor's rights", not "none".
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

/// Judges the tokens on standard input, one a line
///
/// A line ends with one line feed, which is not part of the token; all else on it is. An empty line is an empty token. A
/// line of more than 1 MiB is rejected. The answers come in the order of the lines.
#[derive(Debug, Parser)]
#[command(
    override_usage = "keyward verify [OPTIONS] --config <FILE> [-]",
    after_help = "\
Exit status: 0 all accepted, 1 at least one not accepted, 3 at least one without a verdict (before 1), 2 a mistake in the
command or the configuration, or no line at all.

Examples:
  keyward verify --config keyward.toml --json <tokens.txt
  keyward create --config keyward.toml --actor root | keyward verify --config keyward.toml"
)]
pub(crate) struct Verify {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Accepts tokens of this handler only; others are not mine
    #[arg(long, value_name = "NAME")]
    pub(crate) handler: Option<String>,
    /// The time to go by, in seconds since 1970; decimals are allowed [default: now]
    #[arg(long, value_name = "UNIX", value_parser = parse_at)]
    pub(crate) at: Option<UnixTime>,
    /// Prints a JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Nothing but `-`: standard input, which is the default too. Tokens land here by mistake.
    #[arg(hide = true)]
    words: Vec<OsString>,
}

/// Says what a component is, what it asks for and what it would get
#[derive(Debug, Parser)]
#[command(after_help = "\
Exit status: 0 it can be used, 2 it is refused, or a mistake in the command or the configuration.

Examples:
  keyward check partner.wasm
  keyward check builtin:signed --config keyward.toml")]
pub(crate) struct Check {
    /// A file, or one that is built in, such as builtin:signed
    pub(crate) component: String,
    /// Says what its handlers in this configuration get, and whether the whole configuration is accepted
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Prints one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Writes a new secret to a file
///
/// 32 random bytes as a line of 43 characters, mode 0600. A file that exists is not overwritten.
#[derive(Debug, Parser)]
#[command(after_help = "Example:\n  keyward keygen secret.key")]
pub(crate) struct Keygen {
    /// The file to make
    pub(crate) file: PathBuf,
}

/// Makes a secret for a service that may ask the daemon
///
/// Prints the secret, which is kept nowhere, and the lines for the configuration, which hold its SHA-256.
#[derive(Debug, Parser)]
#[command(after_help = "Example:\n  keyward caller app")]
pub(crate) struct Caller {
    /// The name of the service
    pub(crate) name: String,
}

/// Shows what there is: tokens by handler and status, keys, daemons and the audit
///
/// What is known of tokens and daemons stands in the store: without one it is left out.
#[derive(Debug, Parser)]
#[command(after_help = "\
Exit status: 0 done, 2 a mistake in the command or the configuration, 3 the store does not answer.

Example:
  keyward status --config keyward.toml")]
pub(crate) struct StatusOf {
    #[command(flatten)]
    pub(crate) of: Of,
}

/// A configuration to look at, and how.
#[derive(Debug, Args)]
pub(crate) struct Of {
    /// The configuration
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// The time to go by, in seconds since 1970; decimals are allowed [default: now]
    #[arg(long, value_name = "UNIX", value_parser = parse_at)]
    pub(crate) at: Option<UnixTime>,
    /// Prints one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

impl Of {
    /// The time to go by, in unix seconds.
    pub(crate) fn now(&self) -> Result<u64, Stop> {
        let now = self.at.or_else(|| SystemClock.now()).map(|now| now.seconds);
        now.ok_or_else(|| Stop::NoVerdict("the system's clock stands before 1970: set it, or give --at".to_owned()))
    }
}

/// Reads the arguments, the program's name first.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, Stop> {
    let (mut clap, args) = (Arguments::command(), args.into_iter().collect::<Vec<_>>());
    let parsed = clap.try_get_matches_from_mut(&args).and_then(|matches| Arguments::from_arg_matches(&matches));
    match parsed.map(|arguments| arguments.command) {
        Ok(Commands::Serve(args)) => Ok(Command::Serve(args)),
        Ok(Commands::Create(args)) => Ok(Command::Create(args)),
        Ok(Commands::Verify(args)) if args.words.iter().any(|word| word != "-") => Err(Stop::Mistake(
            "tokens come on standard input, not as arguments; see `keyward verify --help`".to_owned(),
        )),
        Ok(Commands::Verify(args)) => Ok(Command::Verify(args)),
        Ok(Commands::Check(args)) => Ok(Command::Check(args)),
        Ok(Commands::Keygen(args)) => Ok(Command::Keygen(args)),
        Ok(Commands::Caller(args)) => Ok(Command::Caller(args)),
        Ok(Commands::Keys(args)) => Ok(Command::Keys(args)),
        Ok(Commands::Tokens(args)) => Ok(Command::Tokens(args)),
        Ok(Commands::Store(args)) => Ok(Command::Store(args)),
        Ok(Commands::Audit(args)) => Ok(Command::Audit(args)),
        Ok(Commands::Status(args)) => Ok(Command::Status(args)),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Ok(Command::Help(error.to_string()))
        }
        Err(error) => Err(Stop::Mistake(sentence(&error, &Spoken::of(&clap, &args)))),
    }
}

/// The command that the arguments name, as far as they do.
struct Spoken<'a> {
    /// `keyward tokens list`.
    words: String,
    command: &'a clap::Command,
}

impl<'a> Spoken<'a> {
    /// The words are those of the commands, and none that was given.
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

    /// What may follow.
    fn commands(&self, and: &str) -> String {
        let names: Vec<_> = self.command.get_subcommands().map(clap::Command::get_name).collect();
        match names.split_last() {
            Some((last, [])) => (*last).to_owned(),
            Some((last, others)) => format!("{} {and} {last}", others.join(", ")),
            None => String::new(),
        }
    }
}

/// What is wrong, without a word of what was given.
fn sentence(error: &clap::Error, spoken: &Spoken<'_>) -> String {
    // For options that clap does not know, this is what was given.
    let option = || match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(name)) => name.clone(),
        Some(ContextValue::Strings(names)) => names.join(", "),
        _ => "an argument".to_owned(),
    };
    let what = match error.kind() {
        ErrorKind::UnknownArgument => match error.get(ContextKind::SuggestedArg) {
            Some(ContextValue::String(known)) => format!("there is an unknown argument; did you mean `{known}`?"),
            _ => "there is an unknown argument".to_owned(),
        },
        ErrorKind::InvalidSubcommand | ErrorKind::MissingSubcommand => {
            let place = match spoken.words.split_once(' ') {
                Some((_, words)) => format!("the argument behind `{words}`"),
                None => "the first argument".to_owned(),
            };
            format!("{place} is none of the commands {}", spoken.commands("and"))
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            format!("a command is missing: {}", spoken.commands("or"))
        }
        ErrorKind::MissingRequiredArgument => format!("{} is missing", option()),
        ErrorKind::ValueValidation => match error.source() {
            Some(why) => format!("the value of {} {why}", option()),
            None => format!("the value of {} is not allowed", option()),
        },
        ErrorKind::InvalidValue | ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => {
            format!("{} does not have all its values", option())
        }
        ErrorKind::TooManyValues => format!("{} has too many values", option()),
        ErrorKind::ArgumentConflict => format!("{} stands twice", option()),
        ErrorKind::InvalidUtf8 => "an argument is not UTF-8 text".to_owned(),
        _ => "the arguments cannot be understood".to_owned(),
    };
    format!("{what}; see `{} --help`", spoken.words)
}

/// A lifetime. The texts go on from "the value of --expires-after".
fn parse_seconds(text: &str) -> Result<NonZeroU32, &'static str> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits && text.bytes().all(|byte| byte == b'0') {
        return Err("is 0, and such a token would be of no use: leave the option out for a token that does not end");
    }
    let number = text.parse().ok().filter(|_| digits);
    number.ok_or("is not a whole number of seconds from 1 to 4294967295")
}

/// A whole second since 1970. The texts go on from "the value of …".
fn parse_second(text: &str) -> Result<u64, &'static str> {
    match parse_at(text) {
        Ok(at) if at.nanoseconds == 0 => Ok(at.seconds),
        Err(too_late) if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() => Err(too_late),
        _ => Err("is not a time: write whole seconds since 1970, such as 1767225600"),
    }
}

/// An address. The text goes on from "the value of --listen".
fn parse_address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "is no address with a port: write one such as 127.0.0.1:8787 or [::1]:8787")
}

/// A moment as seconds since 1970, with up to nine decimals, digit by digit: `1767225660.5`.
///
/// # Errors
/// A text that goes on from "the value of …" and does not repeat the value.
pub fn parse_at(text: &str) -> Result<UnixTime, &'static str> {
    const FORM: &str = "is not a time: write seconds since 1970 with at most nine decimals, such as 1767225660.5";
    /// The last second of the year 9999.
    const LAST: u64 = 253_402_300_799;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    if !digits(whole) || !digits(decimals) || decimals.len() > 9 {
        return Err(FORM);
    }
    let seconds = whole.parse().ok().filter(|seconds| *seconds <= LAST);
    let seconds = seconds.ok_or("is a time after the year 9999; give an earlier one")?;
    let nanoseconds = format!("{decimals:0<9}").parse().map_err(|_| FORM)?;
    Ok(UnixTime { seconds, nanoseconds })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TOKEN: &str = "dstok_eyJhIjoicm9vdCJ9.c2lnbmF0dXJl";

    fn parse_words(words: &[&str]) -> Result<Command, Stop> {
        parse(std::iter::once("keyward").chain(words.iter().copied()).map(OsString::from))
    }

    fn mistake(words: &[&str]) -> String {
        match parse_words(words) {
            Err(Stop::Mistake(text)) => text,
            other => panic!("{words:?}: {other:?}"),
        }
    }

    #[test]
    fn restrictions_keep_their_order() {
        let words =
            ["create", "--config=f", "--actor=a", "--database", "d", "x", "--all", "vi", "--database", "c", "y"];
        let Ok(Command::Create(args)) = parse_words(&words) else { panic!() };
        let restrictions = Restrictions::new().allow_database("d", "x").allow_all("vi").allow_database("c", "y");
        assert_eq!(args.restrictions.restrictions(), Some(restrictions));
    }

    #[test]
    fn times_are_exact() {
        let at = |text| parse_at(text).map(|at| (at.seconds, at.nanoseconds));
        assert_eq!(at("0"), Ok((0, 0)));
        assert_eq!(at("1767225660.5"), Ok((1_767_225_660, 500_000_000)));
        assert_eq!(at("1767225660.000000001"), Ok((1_767_225_660, 1)));
        assert_eq!(at("253402300799.999999999"), Ok((253_402_300_799, 999_999_999)));
        for bad in ["", ".", "1.", ".5", "-1", "+1", "1e3", "1.0000000000", "1.-5", "1 ", "1.2.3", "١", "253402300800"]
        {
            assert!(parse_at(bad).is_err(), "{bad}");
        }
        assert!(parse_at("99999999999999999999999999").is_err());
    }

    #[test]
    fn lifetimes_are_at_least_a_second() {
        assert_eq!(parse_seconds("1").unwrap().get(), 1);
        assert_eq!(parse_seconds("4294967295").unwrap().get(), u32::MAX);
        for bad in ["0", "00", "-1", "+1", "1.5", "", "4294967296", "1h"] {
            assert!(parse_seconds(bad).is_err(), "{bad}");
        }
        assert!(mistake(&["create", "--config=f", "--actor=a", "--expires-after", "0"]).contains("is 0"));
    }

    #[test]
    fn whole_seconds_are_whole() {
        for (text, wanted) in [("0", 0), ("1767225600", 1_767_225_600), ("7.0", 7), ("253402300799", 253_402_300_799)] {
            assert_eq!(parse_second(text), Ok(wanted), "{text}");
        }
        for bad in ["", "x", "1.5", "-1", "2026-11-22", "1e9"] {
            assert!(parse_second(bad).unwrap_err().contains("whole seconds"), "{bad}");
        }
        assert!(parse_second("99999999999999999999").unwrap_err().contains("after the year 9999"));
    }

    #[test]
    fn the_dash_is_all_that_verify_takes() {
        assert!(matches!(parse_words(&["verify", "--config=f"]), Ok(Command::Verify(_))));
        assert!(matches!(parse_words(&["verify", "--config=f", "-"]), Ok(Command::Verify(_))));
        assert!(mistake(&["verify", "--config=f", TOKEN]).starts_with("tokens come on standard input"));
        assert!(mistake(&["verify", "--config=f", "-", TOKEN]).starts_with("tokens come on standard input"));
    }

    #[test]
    fn no_complaint_repeats_an_argument() {
        let create = ["create", "--config=f", "--actor=a"];
        let token_options: Vec<String> =
            ["", "-", "--", "--token=", "--at=", "--expires-after=", "--json=", "-j", "--config="]
                .iter()
                .map(|before| format!("{before}{TOKEN}"))
                .collect();
        for start in [&[][..], &["verify"], &["verify", "--config=f"], &["verify", "--config=f", "--at"]] {
            for token in &token_options {
                let words: Vec<_> = start.iter().copied().chain([token.as_str()]).collect();
                if let Err(Stop::Mistake(text)) = parse_words(&words) {
                    assert!(!text.contains(TOKEN) && text.lines().count() == 1, "{words:?}: {text}");
                }
            }
        }
        for more in [
            &[TOKEN][..],
            &["--expires-after", TOKEN],
            &["--at", TOKEN],
            &["--resource", TOKEN],
            &["--resource", TOKEN, "b"],
            &["--database", "a", "b", TOKEN],
            &["--json", TOKEN],
            &["--actor", TOKEN],
            &["check", TOKEN, "--at"],
        ] {
            let text = mistake(&[&create, more].concat());
            assert!(!text.contains(TOKEN) && text.lines().count() == 1, "{more:?}: {text}");
        }
        assert!(!mistake(&["check", "a", TOKEN]).contains(TOKEN));
        assert!(!mistake(&["keygen", "a", TOKEN]).contains(TOKEN));
        assert!(!mistake(&["caller", "a", TOKEN]).contains(TOKEN));
        assert!(!mistake(&["keys", "list", TOKEN]).contains(TOKEN));
        assert!(!mistake(&["serve", TOKEN]).contains(TOKEN));
        assert!(!mistake(&["serve", "--listen", TOKEN]).contains(TOKEN));
    }

    #[test]
    fn help_is_whole() {
        Arguments::command().debug_assert();
        for words in [
            &["--help"][..],
            &["serve", "--help"],
            &["create", "--help"],
            &["verify", "--help"],
            &["check", "-h"],
            &["keygen", "-h"],
            &["caller", "-h"],
            &["keys", "list", "--help"],
            &["keys", "check", "-h"],
            &["tokens", "list", "-h"],
            &["tokens", "show", "-h"],
            &["tokens", "edit", "-h"],
            &["tokens", "rotate", "-h"],
            &["tokens", "revoke", "-h"],
            &["tokens", "import", "-h"],
            &["store", "backup", "-h"],
            &["store", "check", "-h"],
            &["store", "accept", "-h"],
            &["audit", "verify", "-h"],
            &["audit", "tail", "-h"],
            &["audit", "export", "-h"],
            &["status", "-h"],
        ] {
            let Ok(Command::Help(text)) = parse_words(words) else { panic!("{words:?}") };
            assert!(text.contains("Example"), "{words:?}");
        }
        assert!(mistake(&[]).starts_with("a command is missing"));
    }

    proptest! {
        #[test]
        fn any_words_are_a_command_or_a_sentence(words in proptest::collection::vec("(--)?[a-z=.0-9-]{0,12}", 0..6)) {
            let words: Vec<_> = words.iter().map(String::as_str).collect();
            let _ = parse_words(&words);
        }

        #[test]
        fn every_moment_reads_back(seconds in 0..=253_402_300_799_u64, nanoseconds in 0..1_000_000_000_u32) {
            let text = format!("{seconds}.{nanoseconds:09}");
            prop_assert_eq!(parse_at(&text), Ok(UnixTime { seconds, nanoseconds }));
        }
    }
}
