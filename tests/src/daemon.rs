//! The program `keyward` as a daemon: started, called over HTTP, and stopped.

use crate::cli::Folder;
use crate::http::DEADLINE;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Maximum time until a daemon listens, which compiles its components first.
const START: Duration = Duration::from_secs(180);

/// A running `keyward serve`, killed on drop. If the test fails, its output is printed.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    stdout: Output,
    stderr: Output,
    service: SocketAddr,
    admin: SocketAddr,
}

/// The result of a daemon that has exited.
#[derive(Debug)]
pub struct Ended {
    /// The exit status.
    pub status: ExitStatus,
    /// The complete standard output.
    pub stdout: String,
    /// The complete standard error.
    pub stderr: String,
}

impl Daemon {
    /// Starts `keyward serve --config CONFIG` in a folder, and waits until it listens.
    ///
    /// The configuration has `listen = "127.0.0.1:0"` and `admin = "127.0.0.1:0"`.
    ///
    /// # Panics
    ///
    /// Panics if the daemon does not start.
    #[must_use]
    #[expect(clippy::panic, reason = "a test cannot continue without the daemon")]
    pub fn start(folder: &Folder, config: &str) -> Self {
        let mut command = folder.command();
        command.args(["serve", "--config", config]);
        Self::spawn(command).unwrap_or_else(|ended| panic!("the daemon did not start: {ended:#?}"))
    }

    /// Starts any command that runs a daemon, and waits until it listens.
    ///
    /// An example is [`Folder::command`] with `serve` as its arguments.
    ///
    /// # Errors
    ///
    /// Returns the daemon's output if it exits before it listens.
    ///
    /// # Panics
    ///
    /// Panics if the daemon neither listens nor exits, or the command cannot be run.
    #[expect(clippy::unwrap_used, reason = "a test cannot continue without the program")]
    pub fn spawn(mut command: Command) -> Result<Self, Ended> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut daemon = Self {
            stdout: Output::of(child.stdout.take().unwrap()),
            stderr: Output::of(child.stderr.take().unwrap()),
            child,
            service: nowhere,
            admin: nowhere,
        };
        let mut ended = false;
        wait_within(START, "the daemon to listen", || {
            // Checked before reading the output, so that everything printed before the exit is
            // seen.
            ended = daemon.child.try_wait().unwrap().is_some();
            let stdout = daemon.stdout();
            let addresses = (address(&stdout, "listening"), address(&stdout, "admin"));
            if let (Some(service), Some(admin)) = addresses {
                (daemon.service, daemon.admin) = (service, admin);
                return true;
            }
            ended
        });
        if ended { Err(daemon.wait()) } else { Ok(daemon) }
    }

    /// Returns the address for applications and proxies.
    #[must_use]
    pub fn service(&self) -> SocketAddr {
        self.service
    }

    /// Returns the address for operators.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Returns the process id.
    ///
    /// # Panics
    ///
    /// Never: a process id is not 0.
    #[must_use]
    #[expect(clippy::unwrap_used, reason = "a process has an id that is not 0")]
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed()).unwrap()
    }

    /// Returns the standard output up to now.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stdout.so_far()
    }

    /// Returns the standard error up to now, which is the log.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.so_far()
    }

    /// Sends a signal to the daemon.
    ///
    /// # Panics
    ///
    /// Panics if the daemon has exited.
    #[expect(clippy::unwrap_used, reason = "a test cannot continue without the daemon")]
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Suspends the process, and waits until each of its threads has stopped.
    ///
    /// # Panics
    ///
    /// Panics if the daemon has exited, or does not stop in time.
    #[expect(clippy::unwrap_used, reason = "a test cannot continue without the daemon")]
    pub fn suspend(&self) {
        self.signal(Signal::STOP);
        // On a busy machine, threads run for some milliseconds after the signal was sent.
        let tasks = format!("/proc/{}/task", self.child.id());
        wait_for("a suspended daemon", || {
            std::fs::read_dir(&tasks).unwrap().all(|task| {
                let stat = std::fs::read_to_string(task.unwrap().path().join("stat"));
                stat.is_ok_and(|stat| stat.rsplit_once(") ").unwrap().1.starts_with('T'))
            })
        });
    }

    /// Returns the resident memory in bytes.
    ///
    /// # Panics
    ///
    /// Panics if the daemon has exited.
    #[must_use]
    pub fn resident(&self) -> u64 {
        // `VmRSS` is in kB, whatever the page size.
        self.status("VmRSS:") * 1024
    }

    /// Returns the peak resident memory in bytes.
    ///
    /// # Panics
    ///
    /// Panics if the daemon has exited.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.status("VmHWM:") * 1024
    }

    /// Returns the CPU time used, in clock ticks (hundredths of a second).
    ///
    /// # Panics
    ///
    /// Panics if the daemon has exited.
    #[must_use]
    #[expect(clippy::unwrap_used, reason = "a test cannot continue without the daemon")]
    pub fn cpu_ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // The fields after the name, which may contain anything: `utime` and `stime` are fields 14
        // and 15.
        let (_, fields) = stat.rsplit_once(')').unwrap();
        fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
    }

    #[expect(clippy::unwrap_used, reason = "a test cannot continue without the daemon")]
    fn status(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Sends `SIGTERM`, and waits until the daemon has exited.
    ///
    /// # Panics
    ///
    /// Panics if the daemon does not exit.
    pub fn stop(self) -> Ended {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits until the daemon exits by itself.
    ///
    /// # Panics
    ///
    /// Panics if the daemon does not exit.
    #[expect(clippy::unwrap_used, reason = "a test cannot continue with a daemon that does not exit")]
    pub fn wait(mut self) -> Ended {
        let mut status = None;
        wait_for("the daemon to exit", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        Ended { status: status.unwrap(), stdout: self.stdout.all(), stderr: self.stderr.all() }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail if the daemon has already exited.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- the end of the daemon's standard output:\n{}", end(&self.stdout.all()));
            eprintln!("--- the end of the daemon's standard error:\n{}", end(&self.stderr.all()));
        }
    }
}

/// Returns the last 31 lines of `text`.
fn end(text: &str) -> &str {
    let last = text.trim_end().rmatch_indices('\n').nth(30);
    last.and_then(|(at, _)| text.get(at + 1..)).unwrap_or(text)
}

/// Waits until `holds` returns `true`; `what` describes the condition.
///
/// # Panics
///
/// Panics with `what` if the condition does not hold within [`DEADLINE`].
pub fn wait_for(what: &str, holds: impl FnMut() -> bool) {
    wait_within(DEADLINE, what, holds);
}

fn wait_within(deadline: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + deadline;
    while !holds() {
        assert!(Instant::now() < until, "timed out waiting for {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Parses the address from a line such as `keyward: listening on http://127.0.0.1:1234`.
fn address(stdout: &str, what: &str) -> Option<SocketAddr> {
    // The last line may be incomplete.
    let (lines, _) = stdout.rsplit_once('\n')?;
    lines.lines().find_map(|line| {
        let url = line.strip_prefix("keyward: ")?.strip_prefix(what)?.strip_prefix(" on ")?;
        url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"))?.parse().ok()
    })
}

/// The output of a pipe, read by a thread as it arrives.
#[derive(Debug)]
struct Output {
    text: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Output {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::default());
        let reader = thread::spawn({
            let text: Arc<Mutex<Vec<u8>>> = text.clone();
            move || {
                let mut pipe = BufReader::new(pipe);
                while let Ok(more) = pipe.fill_buf() {
                    let count = more.len();
                    if count == 0 {
                        return;
                    }
                    text.lock().unwrap_or_else(PoisonError::into_inner).extend(more);
                    pipe.consume(count);
                }
            }
        });
        Self { text, reader: Some(reader) }
    }

    fn so_far(&self) -> String {
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Returns the output up to the end of the pipe.
    fn all(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        self.so_far()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_from_complete_lines_only() {
        let wanted = Some(SocketAddr::from(([127, 0, 0, 1], 80)));
        assert_eq!(address("x\nkeyward: listening on http://127.0.0.1:80\n", "listening"), wanted);
        assert_eq!(address("keyward: listening on https://127.0.0.1:80\n", "listening"), wanted);
        assert_eq!(address("keyward: listening on http://127.0.0.1:80", "listening"), None);
        assert_eq!(address("keyward: admin on http://127.0.0.1:80\n", "listening"), None);
    }

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    const LISTENS: &str = "echo keyward: listening on http://127.0.0.1:1; echo keyward: admin on http://127.0.0.1:2";

    #[test]
    fn a_process_that_exits_before_it_listens_has_not_started() {
        let ended = Daemon::spawn(shell("echo out; echo err >&2; exit 3")).unwrap_err();
        assert_eq!((ended.status.code(), ended.stdout.as_str(), ended.stderr.as_str()), (Some(3), "out\n", "err\n"));
    }

    #[test]
    fn stop_sends_sigterm() {
        let script = format!("sleep 60 >/dev/null 2>&1 & trap \"kill $!; echo bye; exit 0\" TERM; {LISTENS}; wait");
        let daemon = Daemon::spawn(shell(&script)).unwrap();
        assert_eq!((daemon.service().port(), daemon.admin().port()), (1, 2));
        assert!(daemon.resident() > 0);
        let ended = daemon.stop();
        assert!(ended.status.success());
        assert!(ended.stdout.ends_with("bye\n"));
    }
}
