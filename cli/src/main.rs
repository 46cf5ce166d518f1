//! The command `keyward`.

use std::env;
use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut stdin = io::stdin().lock();
    let mut stdout = io::stdout().lock();
    // Not locked: the log writes to it as well, from other threads.
    let mut stderr = io::stderr();
    let lookup = |name: &str| env::var_os(name);
    let world = keyward_cli::World { stdin: &mut stdin, stdout: &mut stdout, stderr: &mut stderr, env: &lookup };
    if let Err(status) = keyward_cli::log_to_stderr(&lookup, &mut io::stderr()) {
        return status.into();
    }
    keyward_cli::run(env::args_os(), world).into()
}
