//! Arguments of the author kit: `keyward new` and `keyward build`.

use clap::Parser;
use keyward_kit::{Language, Name};
use std::path::PathBuf;

/// Writes a project with a token handler
#[derive(Debug, Parser)]
#[command(after_help = "\
The project is a folder of that name. Its handler issues and verifies signed
tokens, with unit tests, a page that says how to go on, and a workflow for
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

/// Tests how a token handler keeps its contract
#[derive(Debug, Parser)]
#[command(after_help = "\
Issues and verifies tokens in the sandbox, with throw-away keys and a clock that
moves: changed, cut and foreign tokens, expiry, restrictions, ids. Without a
component, tests that of the project in this folder.

Exit status: 0 passed, 1 a check has failed, 2 invalid arguments, or the
component is refused, 3 not judged, because it issues no tokens here.

Examples:
  keyward test
  keyward test partner.wasm --key signing --setting 'greeting=\"hello\"'")]
pub(crate) struct Test {
    /// Component file, or a built-in handler
    pub(crate) component: Option<String>,
    /// Label of a key that it uses
    #[arg(long, value_name = "LABEL", default_value = "token")]
    pub(crate) key: Vec<String>,
    /// Setting, as name=JSON
    #[arg(long, value_name = "SETTING", value_parser = parse_setting)]
    pub(crate) setting: Vec<(String, String)>,
    /// Prints a JSON object
    #[arg(long)]
    pub(crate) json: bool,
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
    known.ok_or("is not one of rust, python, js, ts, c and go; for other languages, see docs/authors.md")
}
