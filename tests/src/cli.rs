//! The program `keyward`, run by tests as a user runs it.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::{env, fs};

/// Returns the path of the program, which cargo builds along with the calling tests.
///
/// # Panics
///
/// Panics if the program does not exist, as is the case outside of an integration test.
#[must_use]
#[expect(clippy::panic, reason = "a test of the program cannot continue without it")]
pub fn keyward() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        // This test is TARGET/PROFILE/deps/NAME.
        let test = env::current_exe().unwrap_or_default();
        let folder = test.parent().and_then(Path::parent).unwrap_or_else(|| Path::new("."));
        let program = folder.join("keyward-under-test");
        if program.is_file() { program } else { panic!("{} does not exist", program.display()) }
    })
}

/// The result of a run of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The exit status.
    pub status: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// A folder for a test's files, and the environment of the program: only what the test sets.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    env: BTreeMap<String, String>,
}

impl Folder {
    /// Creates an empty folder at `path`, deleting whatever is there.
    ///
    /// # Panics
    ///
    /// Panics if that fails.
    #[must_use]
    #[expect(clippy::unwrap_used, reason = "a test cannot continue without its folder")]
    pub fn new(path: PathBuf) -> Self {
        if path.exists() {
            fs::remove_dir_all(&path).unwrap();
        }
        fs::create_dir_all(&path).unwrap();
        // Keyward refuses folders that a group can write to, as some default permissions allow.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self { path, env: BTreeMap::new() }
    }

    /// Writes a file with the permissions `mode`, such as `0o600`.
    ///
    /// # Panics
    ///
    /// Panics if that fails.
    #[expect(clippy::unwrap_used, reason = "a test cannot continue without its files")]
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>, mode: u32) {
        let path = self.path.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Sets an environment variable for subsequent runs.
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.insert(name.to_owned(), value.to_owned());
    }

    /// Returns the path of the folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns a command that runs the program in this folder, without arguments.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(keyward());
        command.current_dir(&self.path).env_clear().envs(&self.env);
        command
    }

    /// Runs the program in this folder.
    ///
    /// # Panics
    ///
    /// Panics if the program cannot be run, is killed, or prints anything but UTF-8.
    #[expect(clippy::unwrap_used, reason = "a test cannot continue without the program")]
    pub fn run(&self, args: &[&str], stdin: impl AsRef<[u8]>) -> Ran {
        let mut child = self
            .command()
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let input = stdin.as_ref().to_owned();
        let mut pipe = child.stdin.take().unwrap();
        let output = std::thread::scope(|scope| {
            // The program may exit without reading all of its input.
            let writer = scope.spawn(move || drop(pipe.write_all(&input)));
            let output = child.wait_with_output().unwrap();
            writer.join().unwrap();
            output
        });
        Ran {
            status: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}
