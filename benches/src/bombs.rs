//! The costs of components that are expensive to compile, under the default limits of the worker.

use keyward_runtime::Runtime;
use keyward_runtime::compile::{COMMAND, WorkerLimits};
use keyward_tests::bombs;
use std::env;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Prints the table of `docs/attacks.md`.
pub(crate) fn run() {
    println!("| component | bytes | ms | MiB | outcome |\n| --- | --- | --- | --- | --- |");
    let without_a_worker = Runtime::new().unwrap();
    let mut slowest = Duration::ZERO;
    for bombs::Bomb { name, bytes } in bombs::all() {
        let start = Instant::now();
        let code = without_a_worker.inspect(&*bytes).unwrap_err().code();
        let mut time = start.elapsed();
        let (memory, outcome) = if code == "no-compiler" {
            compile(&bytes, &mut time)
        } else {
            slowest = slowest.max(time);
            (None, format!("refused by its shape: `{code}`"))
        };
        let memory = memory.map_or_else(String::new, |bytes| (bytes >> 20).to_string());
        println!("| {name} | {} | {:.1} | {memory} | {outcome} |", bytes.len(), time.as_secs_f64() * 1e3);
    }
    crate::stats::at_most("ms of the slowest refusal by shape", &[slowest.as_secs_f64() * 1e3], 50.0);
}

/// Compiles a component in a worker. Returns its peak memory as sampled, and its outcome.
fn compile(bytes: &[u8], time: &mut Duration) -> (Option<u64>, String) {
    let WorkerLimits { memory_bytes, cpu, wall } = WorkerLimits::default();
    let mut command = Command::new(env::current_exe().unwrap());
    command.args([COMMAND, &memory_bytes.to_string(), &cpu.as_secs().to_string()]);
    let mut worker = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (mut input, mut output) = (worker.stdin.take().unwrap(), worker.stdout.take().unwrap());
    let start = Instant::now();
    let (kind, memory) = thread::scope(|scope| {
        // A worker that is stopped does not read everything.
        scope.spawn(move || drop(input.write_all(bytes)));
        let reply = scope.spawn(move || {
            let mut reply = Vec::new();
            output.read_to_end(&mut reply).map(|_| reply.first().copied())
        });
        let mut memory = 0;
        while !reply.is_finished() {
            memory = memory.max(peak(&worker).unwrap_or_default());
            if start.elapsed() > wall {
                worker.kill().unwrap();
            }
            thread::sleep(Duration::from_millis(1));
        }
        (reply.join().unwrap().unwrap(), memory)
    });
    let status = worker.wait().unwrap();
    *time += start.elapsed();
    let outcome = match (kind, status.signal()) {
        (Some(0), _) => "compiled, and refused: no handler",
        (Some(_), _) => "refused by the compiler",
        (None, Some(24)) => "stopped: CPU time",
        (None, Some(6)) => "stopped: memory",
        (None, Some(9)) => "stopped: time",
        (None, _) => "stopped",
    };
    (Some(memory), outcome.to_owned())
}

fn peak(worker: &Child) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", worker.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1_024)
}
