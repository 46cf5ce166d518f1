//! The command `keyward`.

use std::env;
use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<OsString> = env::args_os().collect();
    let mut stdin = io::stdin().lock();
    let mut stdout = io::stdout().lock();
    // Not locked: the log writes to it as well, from other threads.
    let mut stderr = io::stderr();
    let log = match keyward_cli::log_to_stderr(&args, &variable, &mut stderr) {
        Ok(log) => log,
        Err(status) => return status.into(),
    };
    let world = keyward_cli::World { stdin: &mut stdin, stdout: &mut stdout, stderr: &mut stderr, env: &variable };
    let status = keyward_cli::run(args, world);
    drop(log);
    status.into()
}

fn variable(name: &str) -> Option<OsString> {
    env::var_os(name)
}
