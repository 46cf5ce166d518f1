//! The `keyward` command.

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<OsString> = env::args_os().collect();
    // Before anything else, because its cage must hold from the start.
    if args.get(1).is_some_and(|command| command == keyward_runtime::compile::COMMAND) {
        return keyward_runtime::compile::run_worker(args.into_iter().skip(2));
    }
    let mut stdin = io::stdin().lock();
    let mut stdout = io::stdout().lock();
    // Not locked, because the log writes to it from other threads.
    let mut stderr = io::stderr();
    let log = match keyward_cli::log_to_stderr(&args, &variable, &mut stderr) {
        Ok(log) => log,
        Err(status) => return status.into(),
    };
    let stdout_is_terminal = stdout.is_terminal();
    let columns = keyward_cli::columns(&variable, &stdout);
    let stderr_is_terminal = stderr.is_terminal();
    let io = keyward_cli::Io {
        stdin: &mut stdin,
        stdout: &mut stdout,
        stdout_is_terminal,
        columns,
        stderr: &mut stderr,
        stderr_is_terminal,
        env: &variable,
        worker: Path::new("/proc/self/exe"),
    };
    let status = keyward_cli::run(args, io);
    drop(log);
    status.into()
}

fn variable(name: &str) -> Option<OsString> {
    env::var_os(name)
}
