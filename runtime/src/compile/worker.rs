//! The parent's side of the compile worker: starts the process, bounds it, and reads its reply.

use super::output::{Compiled, panicked, refused};
use super::reply::{DEFENCES, Reply};
use crate::error::{LoadError, LoadErrorKind};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// The first argument of a program that must call [`run_worker`](crate::compile::run_worker).
pub const COMMAND: &str = "compile-worker";

/// The bounds of one compilation in a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "written with `..WorkerLimits::default()`, and enforced in full")]
pub struct WorkerLimits {
    /// Maximum memory in bytes, of data and stack; 2 GiB by default.
    pub memory_bytes: u64,
    /// Maximum CPU time in whole seconds, a minute by default. Fractions are dropped.
    pub cpu: Duration,
    /// Maximum time from start to end, three minutes by default: on a busy machine, a worker gets
    /// little of the CPU.
    pub wall: Duration,
}

impl Default for WorkerLimits {
    fn default() -> Self {
        let cpu = Duration::from_secs(60);
        Self { memory_bytes: 2 << 30, cpu, wall: Duration::from_secs(180) }
    }
}

/// A program that compiles one component in each process.
pub(crate) struct Worker {
    program: PathBuf,
    limits: WorkerLimits,
    /// Set once the log has a warning about defences that the kernel lacks.
    warned: AtomicBool,
}

impl Worker {
    pub(crate) fn new(program: PathBuf, limits: WorkerLimits) -> Self {
        Self { program, limits, warned: AtomicBool::new(false) }
    }

    /// Returns the same worker with other limits.
    pub(crate) fn within(&self, limits: WorkerLimits) -> Self {
        Self::new(self.program.clone(), limits)
    }

    /// Compiles a component in a new process, and blocks until it has ended.
    ///
    /// # Errors
    /// Returns a [`LoadError`] if the component is not valid, if compiling it exceeds a limit or
    /// ends after `deadline`, or if the worker cannot be started.
    pub(crate) fn compile(&self, component: &[u8], deadline: Instant) -> Result<Compiled, LoadError> {
        let remaining = deadline.saturating_duration_since(Instant::now());
        if remaining.is_zero() {
            return Err(LoadError::new(
                LoadErrorKind::CompileLimit,
                "no time is left to compile it: the handlers before it took too long; load fewer, or give a cache",
            ));
        }
        let wall = self.limits.wall.min(remaining);
        let mut child = self.start().map_err(|error| {
            let text = format!(
                "the compile worker {} cannot be started ({error}): correct the path of the program",
                self.program.display()
            );
            LoadError::new(LoadErrorKind::Worker, text).with_source(error)
        })?;
        // Machine code is up to eight times as large as the component, in real ones.
        let max_code = u64::try_from(component.len()).unwrap_or(u64::MAX).saturating_mul(32).saturating_add(16 << 20);
        let (reply, is_late, status) = converse(&mut child, component, wall, max_code);
        let status = status.map_err(|error| self.failed(&error.to_string()))?;
        match reply {
            Ok(reply) if status.success() => {
                self.warn(reply.missing);
                reply.result.map(Compiled::new).map_err(|text| refused(&text))
            }
            _ if is_late => Err(self.exceeded(&format!("its time ({} s)", wall.as_secs()))),
            _ => Err(self.ended(status)),
        }
    }

    /// Starts the process in a group of its own, with no environment and two pipes.
    fn start(&self) -> io::Result<Child> {
        let WorkerLimits { memory_bytes, cpu, wall: _ } = self.limits;
        Command::new(&self.program)
            .arg(COMMAND)
            .arg(memory_bytes.to_string())
            .arg(cpu.as_secs().to_string())
            .env_clear()
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
    }

    fn warn(&self, missing: u8) {
        if missing == 0 || self.warned.swap(true, Ordering::Relaxed) {
            return;
        }
        let lacking: Vec<_> =
            DEFENCES.into_iter().enumerate().filter(|(bit, _)| missing >> bit & 1 == 1).map(|(_, name)| name).collect();
        tracing::warn!(target: "keyward::load", missing = lacking.join(", "), "this kernel lacks defences of the compile worker");
    }

    /// Returns the error of a worker that ended without a complete reply.
    fn ended(&self, status: ExitStatus) -> LoadError {
        let signal = status.signal().and_then(Signal::from_named_raw);
        match (signal, status.code()) {
            (Some(Signal::XCPU | Signal::KILL), _) => {
                self.exceeded(&format!("its CPU time ({} s)", self.limits.cpu.as_secs()))
            }
            (Some(Signal::ABORT | Signal::SEGV | Signal::BUS), _) => {
                self.exceeded(&format!("its memory ({} MiB) or stack", self.limits.memory_bytes >> 20))
            }
            (_, Some(101)) => panicked(),
            (_, Some(3)) => self.failed("it cannot enter its cage"),
            (_, Some(code)) => self.failed(&format!("it ended with status {code}")),
            (signal, None) => self.failed(&format!("it was ended by {signal:?}")),
        }
    }

    fn exceeded(&self, limit: &str) -> LoadError {
        let text = format!(
            "compiling the component exceeds {limit} in the compile worker: build it smaller, with optimization"
        );
        LoadError::new(LoadErrorKind::CompileLimit, text)
    }

    fn failed(&self, reason: &str) -> LoadError {
        let program = self.program.display();
        let text = format!(
            "the compile worker {program} failed: {reason}: give a `keyward` program of this version, or one that calls \
             `run_worker`"
        );
        LoadError::new(LoadErrorKind::Worker, text)
    }
}

/// Sends a component, and reads the reply. Ends the process after `wall`, and its group always.
///
/// The worker dies with the thread that started it, which is this one.
fn converse(
    child: &mut Child,
    component: &[u8],
    wall: Duration,
    max_code: u64,
) -> (io::Result<Reply>, bool, io::Result<ExitStatus>) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let kill = || group.map(|group| kill_process_group(group, Signal::KILL));
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let (ended, end) = channel::<()>();
    let (reply, is_late) = thread::scope(|scope| {
        let watch = scope.spawn(move || {
            let is_late = end.recv_timeout(wall) == Err(RecvTimeoutError::Timeout);
            if is_late {
                kill();
            }
            is_late
        });
        let reply = match (input, output) {
            (Some(mut input), Some(output)) => {
                // The worker may end without reading everything; its reply shows why.
                let _ = input.write_all(component);
                drop(input);
                Reply::read(output, max_code)
            }
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        };
        // Waits without reaping, so that the number of the process stays its own for `kill`.
        if let Some(pid) = group {
            let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        }
        drop(ended);
        (reply, watch.join().unwrap_or(true))
    });
    kill();
    (reply, is_late, child.wait())
}
