//! `cargo xtask demo`: Keyward in a minute. Each step prints a line that describes it, then runs.

mod daemon;

use crate::handlers;
use crate::run::{Step, cargo, run, target, workspace};
use keyward_kit::Declarations;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const CONFIG: &str = r#"# Two handlers: one that ships with Keyward, and a stranger's.

[keys.main]
secret = { file = "secret.key" }

[[handlers]]
name = "signed"
component = "builtin:signed"
prefixes = ["dstok_"]
keys.token = { ring = "main" }

[[handlers]]
name = "stranger"
component = "spin.wasm"
prefixes = ["str_"]
actors = ["stranger:*"]
limits = { cpu_ms = 20, wall_ms = 10000 }   # a busy machine may need the wall time

[actions]
view-instance = "vi"
view-table = "vt"
"#;

/// A handler that never returns, as text.
const SPIN: &str = include_str!("../../examples/spin.wat");

/// Builds and shows the demo. Every outcome is checked: any other outcome fails the demo.
pub(crate) fn demo() -> Step {
    println!("Building the command line and its handlers: a few minutes the first time, then seconds.");
    handlers::build()?;
    // Only the command line: the workspace's tests and benchmarks cost several times as much.
    run(cargo().args(["build", "--profile", "demo", "--package", "keyward-cli", "--locked"]))?;
    let keyward = Keyward::new()?;

    step("Create a secret that only you can read.");
    keyward.expect(0, &["keygen", "secret.key"], "")?;
    fs::write(keyward.folder.join("keyward.toml"), CONFIG).map_err(text)?;
    let spin = wat::parse_str(SPIN).map_err(text)?;
    fs::write(keyward.folder.join("spin.wasm"), keyward_kit::encode(&spin, &Declarations::default()).map_err(text)?)
        .map_err(text)?;

    step("Inspect a handler before you run it: this one imports `keys`, and is granted one label.");
    keyward.expect(0, &["check", "builtin:signed", "--config", "keyward.toml"], "")?;

    step("Issue a token for alice that may only view, and expires in an hour.");
    let create = [
        "create",
        "--config",
        "keyward.toml",
        "--actor",
        "alice",
        "--expires-after",
        "3600",
        "--all",
        "view-instance",
        "--database",
        "fixtures",
        "view-table",
        "--at",
        "1767225600",
    ];
    let token = keyward.expect(0, &create, "")?;
    let token = token.trim();

    let verify = ["verify", "--config", "keyward.toml", "--at", "1767225660"];
    step("A minute later it is valid, and the actor lists its restrictions.");
    keyward.expect(0, &verify, token)?;

    step("With one character changed it is rejected.");
    keyward.expect(1, &verify, &tampered(token))?;

    step("It is valid until its last second; half a second later it has expired.");
    keyward.expect(0, &["verify", "--config", "keyward.toml", "--at", "1767229200"], token)?;
    keyward.expect(1, &["verify", "--config", "keyward.toml", "--at", "1767229200.5"], token)?;

    step("A token with an unknown prefix belongs to no handler, and no handler sees it.");
    keyward.expect(1, &verify, "abc_16C7e42F292c6912E7710c838347Ae178B4a")?;

    step("A hostile handler loops forever. It is stopped at a limit that the error names, and there is no actor.");
    let stopped = keyward.expect(3, &verify, "str_anything")?;
    if !stopped.contains("limits.cpu_ms") {
        return Err(format!("the hostile handler should have been stopped by `limits.cpu_ms`, but: {stopped}"));
    }

    daemon::show(&keyward)?;

    println!("\nDone. The files are in {}; continue with README.md.", keyward.shown.display());
    Ok(())
}

fn step(what: &str) {
    println!("\n-- {what}");
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Returns the token with its fifth-last character changed, which is part of the signature.
fn tampered(token: &str) -> String {
    let at = token.len().saturating_sub(5);
    let other = if token.as_bytes().get(at) == Some(&b'A') { "B" } else { "A" };
    format!("{}{other}{}", token.get(..at).unwrap_or_default(), token.get(at + 1..).unwrap_or_default())
}

/// The program, in its own folder.
struct Keyward {
    program: PathBuf,
    folder: PathBuf,
    shown: PathBuf,
}

impl Keyward {
    fn new() -> Result<Self, String> {
        let target = target();
        let folder = target.join("demo-files");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).map_err(text)?;
        let program = target.join("demo").join(format!("keyward{}", std::env::consts::EXE_SUFFIX));
        let shown = folder.strip_prefix(workspace()).map(Path::to_owned).unwrap_or_else(|_| folder.clone());
        Ok(Self { program, folder, shown })
    }

    /// Prints a command, runs it with `input` on its standard input, prints its output, and checks
    /// its exit status.
    fn expect(&self, status: i32, args: &[&str], input: &str) -> Result<String, String> {
        let pipe = if input.is_empty() { String::new() } else { format!("echo {} | ", shorten(input)) };
        println!("   $ {pipe}keyward {}", args.join(" "));
        let Output { status: got, stdout, stderr } = self.run(args, input)?;
        let stdout = String::from_utf8_lossy(&stdout).into_owned();
        for line in stdout.lines().chain(String::from_utf8_lossy(&stderr).lines()) {
            println!("   {line}");
        }
        println!("   (exit status {})", got.code().unwrap_or(-1));
        if got.code() == Some(status) {
            Ok(stdout)
        } else {
            Err(format!("that should have exited with status {status}"))
        }
    }

    fn run(&self, args: &[&str], input: &str) -> Result<Output, String> {
        let mut child = Command::new(&self.program)
            .args(args)
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{} could not be started: {error}", self.program.display()))?;
        if let Some(mut stdin) = child.stdin.take()
            && !input.is_empty()
        {
            // The program may exit without reading; its exit status decides.
            let _ = writeln!(stdin, "{input}");
        }
        child.wait_with_output().map_err(text)
    }
}

fn shorten(token: &str) -> String {
    let keep = token.len().saturating_sub(8);
    match (token.get(..14), token.get(keep..)) {
        (Some(first), Some(last)) if token.len() > 30 => format!("{first}…{last}"),
        _ => token.to_owned(),
    }
}
