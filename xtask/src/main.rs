//! `cargo xtask COMMAND`: everything that is done with this repository beyond building it.

mod demo;
mod peers;
mod run;
mod test;
mod tidy;

use clap::{Parser, Subcommand};
use run::{Step, cargo, run, workspace};
use std::path::PathBuf;
use std::process::ExitCode;

/// Everything that is done with this repository beyond building it.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show what Keyward does: make a token, verify it, see bad ones and a hostile handler refused, and ask the daemon.
    Demo,
    /// Run everything that CI runs, with the same result.
    Test,
    /// Install the proxies and clients that the tests try Keyward with, as `test` does.
    Peers,
    /// Measure: the sandbox against native code, and good calls beside hostile ones. Ratios within one run.
    Bench {
        /// Measure the daemon instead, with `wrk`: against a bare server, beside hostile requests, with idle connections.
        #[arg(long)]
        http: bool,
        /// What to measure; all of it by default.
        names: Vec<String>,
    },
    /// Run the long forms of the random tests, of kills and races, and of reloads under load.
    Soak {
        /// How long each target runs, in minutes.
        #[arg(default_value_t = 10)]
        minutes: u64,
    },
    /// Turn a core module into a component.
    Componentize {
        /// The core module, as a compiler for wasm32 wrote it.
        input: PathBuf,
        /// Where the component goes.
        output: PathBuf,
    },
    /// Check the rules about this repository that no compiler knows.
    Tidy,
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Demo => demo::demo(),
        Command::Test => test::test(),
        Command::Peers => {
            peers::install();
            Ok(())
        }
        Command::Bench { http, names } => bench(http, &names),
        Command::Soak { minutes } => test::soak(minutes),
        Command::Componentize { input, output } => componentize(&input, &output),
        Command::Tidy => tidy::tidy(&workspace()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench(http: bool, names: &[String]) -> Step {
    run::wasm_target()?;
    let http = http.then_some("--http");
    run(cargo().args(["run", "--release", "--package", "keyward-benches", "--"]).args(http).args(names))
}

fn componentize(input: &PathBuf, output: &PathBuf) -> Step {
    let core = std::fs::read(input).map_err(|error| format!("{}: {error}", input.display()))?;
    let component =
        keyward_componentize::componentize(&core).map_err(|error| format!("{}: {error}", input.display()))?;
    std::fs::write(output, &component).map_err(|error| format!("{}: {error}", output.display()))?;
    println!("{}: a component of {} bytes", output.display(), component.len());
    Ok(())
}
