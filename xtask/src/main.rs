//! `cargo xtask COMMAND`: the repository's tasks beyond building it.

mod demo;
mod dist;
mod handlers;
mod package;
mod peers;
mod run;
mod test;
mod tidy;
mod tools;

use clap::{Parser, Subcommand};
use run::{Step, cargo, run, workspace};
use std::process::ExitCode;

/// The repository's tasks beyond building it.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show what Keyward does: issue a token, verify it, reject invalid ones, stop a hostile
    /// handler, and call the daemon.
    Demo,
    /// Run everything that CI runs, with the same result.
    Test,
    /// Build the built-in handlers, which the command line and the tests include.
    Handlers,
    /// Package the published crates, compile each from its archive, and run programs that use
    /// nothing else. All changes must be committed.
    Package,
    /// Install the proxies and clients that the tests run against, as `test` does.
    Peers,
    /// Measure the sandbox against native code, and valid calls beside hostile ones. Prints ratios
    /// within one run.
    Bench {
        /// Measure the daemon instead, with `wrk`: against a bare server, beside hostile requests,
        /// with idle connections.
        #[arg(long)]
        http: bool,
        /// The measurements to run; all by default.
        names: Vec<String>,
    },
    /// Run the long forms of the random tests, of kills and races, and of reloads under load.
    Soak {
        /// Duration of each target, in minutes.
        #[arg(default_value_t = 10)]
        minutes: u64,
    },
    /// Write the files of a release to target/dist: an archive, a Debian package, a bill of
    /// materials, and checksums. Installs and removes the package as a test.
    Dist {
        /// The build profile: `demo` builds faster than `release`.
        #[arg(long, default_value = "release")]
        profile: String,
        /// The tag of the release, such as v1.2.3: must agree with the version and the changelog.
        #[arg(long)]
        tag: Option<String>,
    },
    /// Check the repository rules that no compiler checks.
    Tidy {
        /// Print statistics of each crate's prose instead of checking it.
        #[arg(long)]
        report: bool,
    },
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Demo => demo::demo(),
        Command::Test => test::test(),
        Command::Handlers => handlers::build(),
        Command::Package => package::package(),
        Command::Peers => {
            peers::install();
            Ok(())
        }
        Command::Bench { http, names } => bench(http, &names),
        Command::Soak { minutes } => test::soak(minutes),
        Command::Dist { profile, tag } => dist::dist(&profile, tag.as_deref()),
        Command::Tidy { report: false } => tidy::tidy(&workspace()),
        Command::Tidy { report: true } => tidy::report(&workspace()),
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
    handlers::build()?;
    let http = http.then_some("--http");
    run(cargo().args(["run", "--release", "--package", "keyward-benches", "--"]).args(http).args(names))
}
