//! The compile worker: the process that compiles a foreign component.

use super::cage;
use super::reply::Reply;
use std::ffi::OsString;
use std::io::{self, Read};
use std::process::ExitCode;

/// Runs the compile worker, and returns the exit status of the process.
///
/// The program whose path is given to
/// [`RuntimeBuilder::worker`](crate::runtime::RuntimeBuilder::worker) calls it at the start of
/// `main`, before it creates a thread or opens a file, if its first argument is `compile-worker`.
/// `args` are the arguments after that one.
///
/// It enters its cage, reads a component from standard input, compiles it and writes the result to
/// standard output. The status is 2 if the arguments are wrong, and 3 if the cage cannot be
/// entered.
pub fn run_worker(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut numbers = args.into_iter().map(|arg| arg.to_str().and_then(|arg| arg.parse::<u64>().ok()));
    let (Some(Some(memory_bytes)), Some(Some(cpu_seconds)), None) = (numbers.next(), numbers.next(), numbers.next())
    else {
        return ExitCode::from(2);
    };
    // Created outside of the cage, because it examines the processor.
    let Ok(compiler) = keyward_engine::Compiler::new(None) else { return ExitCode::from(3) };
    let Ok(missing) = cage::enter(memory_bytes, cpu_seconds) else { return ExitCode::from(3) };
    let mut component = Vec::new();
    let done = io::stdin().lock().read_to_end(&mut component).and_then(|_| {
        let reply = match compiler.compile(&component) {
            Ok(code) => Reply { missing, result: Ok(code) },
            Err(error) => Reply::refused(missing, format!("{error:#}")),
        };
        reply.write(io::stdout().lock())
    });
    if done.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
