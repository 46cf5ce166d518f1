//! `keyward test`: judges from outside how a token handler keeps its contract, with throw-away keys
//! and a clock of its own.

mod checks;

use crate::args::kit::Test;
use crate::output::{count_of, one_line, pad, write_json};
use crate::{CliError, ExitStatus, Io, builtin, config_file};
use checks::{CHECKS, Lab, Start};
use keyward_kit::Project;
use keyward_runtime::limits::LimitKind;
use keyward_runtime::registry::LimitPeak;
use keyward_runtime::{Limits, Runtime};
use serde::Serialize;
use std::path::Path;

/// The report of `--json`.
#[derive(Serialize)]
struct Report {
    component: String,
    outcome: Outcome,
    /// The reason, if the handler was not judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    checks: Vec<Check>,
    /// The highest use of each limit, in percent of its default.
    limits: Vec<Use>,
}

#[derive(Serialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    Passed,
    Failed,
    NotJudged,
}

#[derive(Serialize)]
struct Check {
    name: &'static str,
    outcome: Outcome,
    /// The reason, if it did not pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize)]
struct Use {
    setting: &'static str,
    percent: u64,
}

pub(crate) fn run(args: Test, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    let path = match &args.component {
        Some(path) => path.clone(),
        None => {
            let project = Project::open(Path::new(".")).map_err(|error| CliError::Usage(error.to_string()))?;
            project.component().display().to_string()
        }
    };
    let component = match builtin::parse(&path) {
        None => builtin::or_foreign(config_file::component(Path::new(&path))?),
        Some(Ok(builtin)) => (*builtin).into(),
        Some(Err(text)) => return Err(CliError::Usage(text)),
    };
    let clock = checks::Steps::default();
    let runtime = Runtime::builder().worker(io.worker).clock(clock.clone()).build();
    let runtime =
        runtime.map_err(|error| CliError::Unavailable(format!("the sandbox could not be set up: {error}")))?;
    let info = runtime.inspect(component.clone()).map_err(|error| CliError::Usage(format!("{path}: {error}")))?;
    let start = Lab::start(&runtime, &component, &info, &args.key, &args.setting, clock)?;
    let report = match start {
        Start::Lab(lab) => judge(path, &lab),
        Start::NotJudged(reason) => Report {
            component: path,
            outcome: Outcome::NotJudged,
            reason: Some(reason),
            checks: Vec::new(),
            limits: Vec::new(),
        },
    };
    if args.json {
        write_json(io.stdout, &report)?;
    } else {
        print(&report, io)?;
    }
    Ok(match report.outcome {
        Outcome::Passed => ExitStatus::Success,
        Outcome::Failed => ExitStatus::Negative,
        Outcome::NotJudged => ExitStatus::Unavailable,
    })
}

/// Runs all checks, or only the first if that fails: the others need its token.
fn judge(component: String, lab: &Lab) -> Report {
    let mut checks = Vec::new();
    for (name, check) in CHECKS {
        let (outcome, reason) = match check(lab) {
            Ok(None) => (Outcome::Passed, None),
            Ok(Some(reason)) => (Outcome::NotJudged, Some(reason)),
            Err(reason) => (Outcome::Failed, Some(one_line(&reason))),
        };
        checks.push(Check { name, outcome, reason });
        if checks.len() == 1 && outcome == Outcome::Failed {
            break;
        }
    }
    let is_failed = checks.iter().any(|check| check.outcome == Outcome::Failed);
    let outcome = if is_failed { Outcome::Failed } else { Outcome::Passed };
    let cpu = u64::try_from(Limits::default().cpu.as_nanos()).unwrap_or(u64::MAX);
    let percent = |LimitPeak { limit, used, of, .. }: LimitPeak| Use {
        setting: limit.setting(),
        // The limit of CPU time is higher here than by default.
        percent: used.saturating_mul(100) / if limit == LimitKind::Cpu { cpu } else { of.max(1) },
    };
    let limits = lab.peaks().into_iter().map(percent).collect();
    Report { component, outcome, reason: None, checks, limits }
}

fn print(report: &Report, io: &mut Io<'_>) -> Result<(), CliError> {
    let mut lines = Vec::new();
    for Check { name, outcome, reason } in &report.checks {
        let word = match outcome {
            Outcome::Passed => "passed",
            Outcome::Failed => "FAILED",
            Outcome::NotJudged => "-",
        };
        let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        lines.push(format!("{} {name}{reason}", pad(word, 6)));
    }
    let used: Vec<_> = report.limits.iter().map(|used| format!("{} {} %", used.setting, used.percent)).collect();
    if !used.is_empty() {
        lines.push(format!("used of the default limits: {}", used.join(", ")));
    }
    let failed = report.checks.iter().filter(|check| check.outcome == Outcome::Failed).count();
    lines.push(match (report.outcome, &report.reason) {
        (Outcome::Passed, _) => {
            format!("{}: passed {}", report.component, count_of(report.checks.len() as u64, "check"))
        }
        (Outcome::Failed, _) => format!("{}: failed {}", report.component, count_of(failed as u64, "check")),
        (Outcome::NotJudged, reason) => {
            format!("{}: not judged: {}", report.component, reason.as_deref().unwrap_or_default())
        }
    });
    crate::output::write_lines(io.stdout, lines)
}
