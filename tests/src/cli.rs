//! The program `keyward`, for tests that run it as a user does.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::{env, fs};

/// The program, as cargo has built it along with the tests that ask.
///
/// # Panics
///
/// Panics where it is not there: outside of an integration test.
#[must_use]
#[expect(clippy::panic, reason = "without the program no test of it can go on")]
pub fn keyward() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        // This test is TARGET/PROFILE/deps/NAME.
        let test = env::current_exe().unwrap_or_default();
        let folder = test.parent().and_then(Path::parent).unwrap_or_else(|| Path::new("."));
        let program = folder.join("keyward-under-test");
        if program.is_file() { program } else { panic!("{} is not there", program.display()) }
    })
}

/// What a run of the program came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The exit status.
    pub status: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// A folder for files that a test makes, and the environment that the program is run in: nothing but what the test sets.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    env: BTreeMap<String, String>,
}

impl Folder {
    /// An empty folder; `path` is made, and emptied if it is there.
    ///
    /// # Panics
    ///
    /// Panics where that fails.
    #[must_use]
    #[expect(clippy::unwrap_used, reason = "a test cannot go on without its folder")]
    pub fn new(path: PathBuf) -> Self {
        if path.exists() {
            fs::remove_dir_all(&path).unwrap();
        }
        fs::create_dir_all(&path).unwrap();
        Self { path, env: BTreeMap::new() }
    }

    /// Writes a file with these permissions, such as `0o600`.
    ///
    /// # Panics
    ///
    /// Panics where that fails.
    #[expect(clippy::unwrap_used, reason = "a test cannot go on without its files")]
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>, mode: u32) {
        let path = self.path.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Sets an environment variable for the runs to come.
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.insert(name.to_owned(), value.to_owned());
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The program, to be run here, without arguments yet.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(keyward());
        command.current_dir(&self.path).env_clear().envs(&self.env);
        command
    }

    /// Runs the program here.
    ///
    /// # Panics
    ///
    /// Panics where it cannot be run, is killed, or prints what is not UTF-8.
    #[expect(clippy::unwrap_used, reason = "a test cannot go on without the program")]
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
            // It may end without reading all of it.
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
