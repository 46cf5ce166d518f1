//! The program `keyward` as a daemon: started, asked over HTTP, and stopped.

use crate::cli::Folder;
use crate::http::DEADLINE;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A running `keyward serve`. It is killed when this is dropped; what it printed is shown where the test fails.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    stdout: Output,
    stderr: Output,
    service: SocketAddr,
    operations: SocketAddr,
}

/// What a daemon came to.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

impl Daemon {
    /// Starts `keyward serve --config CONFIG` in a folder, and waits until it listens. The configuration has
    /// `listen = "127.0.0.1:0"` and `operations = "127.0.0.1:0"`.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    #[expect(clippy::panic, reason = "a test cannot go on without the daemon")]
    pub fn start(folder: &Folder, config: &str) -> Self {
        let mut command = folder.command();
        command.args(["serve", "--config", config]);
        Self::spawn(command).unwrap_or_else(|ended| panic!("the daemon did not start: {ended:#?}"))
    }

    /// Starts any command that makes a daemon, such as [`Folder::command`] with `serve` as its arguments, and waits until
    /// it listens.
    ///
    /// # Errors
    /// It ended before it listened.
    ///
    /// # Panics
    /// It does neither, or cannot be run at all.
    #[expect(clippy::unwrap_used, reason = "a test cannot go on without the program")]
    pub fn spawn(mut command: Command) -> Result<Self, Ended> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut daemon = Self {
            stdout: Output::of(child.stdout.take().unwrap()),
            stderr: Output::of(child.stderr.take().unwrap()),
            child,
            service: nowhere,
            operations: nowhere,
        };
        let mut ended = false;
        wait_for("the daemon to listen", || {
            // Asked for first, so that all that it printed before its end is looked at.
            ended = daemon.child.try_wait().unwrap().is_some();
            let stdout = daemon.stdout();
            let addresses = (address(&stdout, "listening"), address(&stdout, "operations"));
            if let (Some(service), Some(operations)) = addresses {
                (daemon.service, daemon.operations) = (service, operations);
                return true;
            }
            ended
        });
        if ended { Err(daemon.wait()) } else { Ok(daemon) }
    }

    /// Where it answers applications and proxies.
    #[must_use]
    pub fn service(&self) -> SocketAddr {
        self.service
    }

    /// Where it answers operators.
    #[must_use]
    pub fn operations(&self) -> SocketAddr {
        self.operations
    }

    /// Its process.
    ///
    /// # Panics
    /// It has none, which cannot be.
    #[must_use]
    #[expect(clippy::unwrap_used, reason = "a process has an id that is not 0")]
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed()).unwrap()
    }

    /// What it has printed so far on standard output.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stdout.so_far()
    }

    /// What it has printed so far on standard error: its log.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.so_far()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// It is gone.
    #[expect(clippy::unwrap_used, reason = "a test cannot go on without the daemon")]
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Resident memory in bytes.
    ///
    /// # Panics
    /// It is gone.
    #[must_use]
    pub fn resident(&self) -> u64 {
        // Pages are 4 KiB wherever the tests run; `VmRSS` is in kB and does not ask.
        self.status("VmRSS:") * 1024
    }

    /// The most memory that it ever had, in bytes.
    ///
    /// # Panics
    /// It is gone.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.status("VmHWM:") * 1024
    }

    /// CPU time that it has used, in clock ticks: hundredths of a second.
    ///
    /// # Panics
    /// It is gone.
    #[must_use]
    #[expect(clippy::unwrap_used, reason = "a test cannot go on without the daemon")]
    pub fn cpu_ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // The fields behind the name, which may hold anything: `utime` and `stime` are 14 and 15 of all.
        let (_, fields) = stat.rsplit_once(')').unwrap();
        fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
    }

    #[expect(clippy::unwrap_used, reason = "a test cannot go on without the daemon")]
    fn status(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Tells it to end, and waits until it has.
    ///
    /// # Panics
    /// It does not.
    pub fn stop(self) -> Ended {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits until it ends of itself.
    ///
    /// # Panics
    /// It does not.
    #[expect(clippy::unwrap_used, reason = "a test cannot go on with a daemon that does not end")]
    pub fn wait(mut self) -> Ended {
        let mut status = None;
        wait_for("the daemon to end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        Ended { status: status.unwrap(), stdout: self.stdout.all(), stderr: self.stderr.all() }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Both fail where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- the end of the daemon's standard output:\n{}", end(&self.stdout.all()));
            eprintln!("--- the end of the daemon's standard error:\n{}", end(&self.stderr.all()));
        }
    }
}

/// The last lines of a text, as many as a person looks at.
fn end(text: &str) -> &str {
    let last = text.trim_end().rmatch_indices('\n').nth(30);
    last.and_then(|(at, _)| text.get(at + 1..)).unwrap_or(text)
}

/// Waits until something holds, and says what it waited for if it never does.
///
/// # Panics
/// It does not hold within [`DEADLINE`].
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < until, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// `keyward: listening on http://127.0.0.1:1234`
fn address(stdout: &str, what: &str) -> Option<SocketAddr> {
    // Whole lines only.
    let (lines, _) = stdout.rsplit_once('\n')?;
    lines.lines().find_map(|line| {
        let url = line.strip_prefix("keyward: ")?.strip_prefix(what)?.strip_prefix(" on ")?;
        url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"))?.parse().ok()
    })
}

/// What a pipe gives, taken off it as it comes.
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

    /// To its end.
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
    fn an_address_stands_in_a_whole_line() {
        let wanted = Some(SocketAddr::from(([127, 0, 0, 1], 80)));
        assert_eq!(address("x\nkeyward: listening on http://127.0.0.1:80\n", "listening"), wanted);
        assert_eq!(address("keyward: listening on https://127.0.0.1:80\n", "listening"), wanted);
        assert_eq!(address("keyward: listening on http://127.0.0.1:80", "listening"), None);
        assert_eq!(address("keyward: operations on http://127.0.0.1:80\n", "listening"), None);
    }

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    const LISTENS: &str =
        "echo keyward: listening on http://127.0.0.1:1; echo keyward: operations on http://127.0.0.1:2";

    #[test]
    fn what_ends_before_it_listens_has_not_started() {
        let ended = Daemon::spawn(shell("echo out; echo err >&2; exit 3")).unwrap_err();
        assert_eq!((ended.status.code(), ended.stdout.as_str(), ended.stderr.as_str()), (Some(3), "out\n", "err\n"));
    }

    #[test]
    fn it_is_told_to_end() {
        let script = format!("sleep 60 >/dev/null 2>&1 & trap \"kill $!; echo bye; exit 0\" TERM; {LISTENS}; wait");
        let daemon = Daemon::spawn(shell(&script)).unwrap();
        assert_eq!((daemon.service().port(), daemon.operations().port()), (1, 2));
        assert!(daemon.resident() > 0);
        let ended = daemon.stop();
        assert!(ended.status.success());
        assert!(ended.stdout.ends_with("bye\n"));
    }
}
