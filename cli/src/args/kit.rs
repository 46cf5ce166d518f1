//! Arguments of the author kit: `keyward new`, `build`, `test` and `bench`.

use clap::{Args, Parser};
use keyward_kit::{Language, Name};
use std::path::PathBuf;

/// Writes a project with a token handler
#[derive(Debug, Parser)]
#[command(after_help = "\
The project is a folder of that name. Its handler issues and verifies signed
tokens, with unit tests, a README with the next steps, and a workflow for
GitHub. `keyward build` in the folder makes a component of it.

Exit status: 0 success, 2 invalid arguments, or the folder exists.

Example:
  keyward new my-handler --lang python")]
pub(crate) struct New {
    /// Name, such as my-handler, whose tokens begin with my_
    #[arg(value_parser = parse_name)]
    pub(crate) name: Name,
    /// Language: rust, python, js, ts, c or go
    #[arg(long, value_name = "LANG", value_parser = parse_language)]
    pub(crate) lang: Language,
}

/// Builds the component of a handler
#[derive(Debug, Parser)]
#[command(after_help = "\
In a project of `keyward new`, runs the tool of its language, whose output goes
to standard error, and writes NAME.component.wasm. A core module, or WebAssembly
text, becomes FILE.component.wasm.

Exit status: 0 success, 2 the build has failed, or a program that it needs is
missing.

Examples:
  keyward build
  keyward build handler.wat --output handler.wasm")]
pub(crate) struct Build {
    /// Project folder, core module or WebAssembly text
    #[arg(default_value = ".", hide_default_value = true)]
    pub(crate) path: PathBuf,
    /// File to write
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// A handler to test or measure, with what it is granted.
#[derive(Debug, Args)]
pub(crate) struct Trial {
    /// Component file, or a built-in handler [default: the project's]
    pub(crate) component: Option<String>,
    /// Label of a key that it uses
    #[arg(long, value_name = "LABEL", default_value = "token")]
    pub(crate) key: Vec<String>,
    /// Setting, as name=JSON
    #[arg(long, value_name = "SETTING", value_parser = parse_setting)]
    pub(crate) setting: Vec<(String, String)>,
    /// Grants and cases [default: the project's cases.toml]
    #[arg(long, value_name = "FILE")]
    pub(crate) cases: Option<PathBuf>,
}

/// Tests whether a handler meets the contract
#[derive(Debug, Parser)]
#[command(after_help = "\
Issues and verifies tokens in the sandbox, with throw-away keys, an empty store
and a clock that moves: changed, cut and foreign tokens, expiry, restrictions,
ids, leaks. A handler that only verifies, or identifies sessions, is judged by
the tokens and requests in a file: docs/authors/judged.md describes it.

Exit status: 0 passed, 1 a check has failed, 2 invalid arguments, or the
component is refused, 3 not judged, because it issues no tokens and there are no
cases.

Examples:
  keyward test
  keyward test partner.wasm --key signing --setting 'greeting=\"hello\"'
  keyward test partner.wasm --cases cases.toml")]
pub(crate) struct Test {
    #[command(flatten)]
    pub(crate) of: Trial,
    /// Prints a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Measures the calls of a handler
#[derive(Debug, Parser)]
#[command(after_help = "\
Issues and verifies tokens for some seconds, with throw-away keys and without
the verdict cache, and does the same with builtin:signed: median and 99th
percentile of the times, page faults, memory and host calls, and advice. A
session handler, or one that only verifies, needs a case that it accepts.

Exit status: 0 measured, 2 invalid arguments, or the component is refused, 3
there is nothing to measure.

Examples:
  keyward bench
  keyward bench partner.wasm --json")]
pub(crate) struct Bench {
    #[command(flatten)]
    pub(crate) of: Trial,
    /// Prints a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Explains the code of an error
#[derive(Debug, Parser)]
#[command(after_help = "\
An error ends with its code in brackets, and JSON has it in the member `code`.
Without a code, lists all of them.

Exit status: 0 success, 2 there is no such code.

Example:
  keyward explain not-granted")]
pub(crate) struct Explain {
    /// Code, such as not-granted
    pub(crate) code: Option<String>,
}

/// Parses a setting. The error continues "the value of `--setting <SETTING>`".
fn parse_setting(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("is not name=JSON, such as size=4")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Parses a name. Errors continue "the value of `<NAME>`".
fn parse_name(name: &str) -> Result<Name, keyward_kit::InvalidName> {
    name.parse()
}

/// Parses a language. The error continues "the value of `--lang <LANG>`".
fn parse_language(name: &str) -> Result<Language, &'static str> {
    let known = Language::ALL.into_iter().find(|language| language.as_str() == name);
    known
        .ok_or("is not one of rust, python, js, ts, c and go; for other languages, see docs/authors/other-languages.md")
}
