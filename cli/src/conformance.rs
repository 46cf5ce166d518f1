//! `keyward test`: judges from outside whether a handler meets the contract, with throw-away grants
//! and a clock of its own.

mod checks;
mod lab;

use crate::args::kit::Test;
use crate::output::{Progress, count_of, one_line, pad, write_json};
use crate::trial::{Trial, Want};
use crate::{CliError, ExitStatus, Io};
use checks::Checked;
use keyward_runtime::limits::LimitKind;
use keyward_runtime::registry::LimitPeak;
use keyward_runtime::{CreateRequest, Limits};
use lab::{ACTOR, Lab, START, Steps, time_of};
use serde::Serialize;

/// The report of `--json`.
#[derive(Serialize)]
struct Report {
    component: String,
    outcome: Outcome,
    /// The reason, if the handler was not judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    checks: Vec<Check>,
    /// Advice about what breaks no rule.
    notes: Vec<String>,
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
    name: String,
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
    let Test { of, json } = args;
    let clock = Steps::default();
    let lab = Lab::new(Trial::open(of, io, clock.clone())?, clock)?;
    let report = Judge { lab: &lab, io, is_shown: !json, checks: Vec::new() }.judge()?;
    if json {
        write_json(io.stdout, &report)?;
    } else {
        print_end(&report, io)?;
    }
    Ok(match report.outcome {
        Outcome::Passed => ExitStatus::Success,
        Outcome::Failed => ExitStatus::Negative,
        Outcome::NotJudged => ExitStatus::Unavailable,
    })
}

/// Runs the checks, and prints each outcome.
struct Judge<'a, 'io> {
    lab: &'a Lab,
    io: &'a mut Io<'io>,
    is_shown: bool,
    checks: Vec<Check>,
}

impl Judge<'_, '_> {
    /// Runs all checks that apply.
    fn judge(mut self) -> Result<Report, CliError> {
        let lab = self.lab;
        let cases = &lab.trial.cases.cases;
        let not_issuing = issues(lab).err();
        if not_issuing.is_none() {
            for (place, (name, check)) in checks::OF_ISSUING.iter().enumerate() {
                if !self.run(name, || check(lab))? && place == 0 {
                    return Ok(self.report(None));
                }
            }
        }
        for case in cases {
            self.run(&format!("case: {}", case.name), || checks::case(lab, case))?;
        }
        if let Some((token, at)) = self.valid_token() {
            for (name, check) in checks::OF_A_TOKEN {
                self.run(name, || lab.at(at, || check(lab, &token)))?;
            }
        }
        let reason = not_issuing.and_then(|why| match cases.iter().any(|case| case.want == Want::Accepted) {
            true => None,
            false if cases.is_empty() => Some(why),
            false => Some("it issues no tokens here, and none of the cases is one that it accepts: add one".to_owned()),
        });
        Ok(self.report(reason))
    }

    /// Returns a valid token, and the time at which it is: one of the cases, or a new one.
    fn valid_token(&self) -> Option<(String, u64)> {
        let accepted = self.lab.trial.cases.cases.iter().filter(|case| case.want == Want::Accepted);
        let mut tokens = accepted.filter_map(|case| Some((case.token.clone()?, time_of(case))));
        let of_a_case = tokens.find(|(token, at)| self.lab.at(*at, || self.lab.accepts(token)).is_ok());
        of_a_case.or_else(|| self.lab.token().ok().map(|created| (created.token, START)))
    }

    /// Runs a check, and returns whether it has not failed.
    fn run(&mut self, name: &str, check: impl FnOnce() -> Checked) -> Result<bool, CliError> {
        let name = one_line(name);
        let mut progress = Progress::new(self.io.stderr, self.is_shown && self.io.stderr_is_terminal);
        progress.display(&format!("{name} …"));
        let (outcome, reason) = match check() {
            Ok(None) => (Outcome::Passed, None),
            Ok(Some(reason)) => (Outcome::NotJudged, Some(reason)),
            Err(reason) => (Outcome::Failed, Some(one_line(&reason))),
        };
        drop(progress);
        let check = Check { name, outcome, reason };
        if self.is_shown {
            print(&check, self.io)?;
        }
        self.checks.push(check);
        Ok(outcome != Outcome::Failed)
    }

    /// Returns the report. `reason` says why a handler that issues no tokens was not judged.
    fn report(self, reason: Option<String>) -> Report {
        let Self { lab, checks, .. } = self;
        let outcome = if checks.iter().any(|check| check.outcome == Outcome::Failed) {
            Outcome::Failed
        } else if reason.is_some() {
            Outcome::NotJudged
        } else {
            Outcome::Passed
        };
        let cpu = u64::try_from(Limits::default().cpu.as_nanos()).unwrap_or(u64::MAX);
        let percent = |LimitPeak { limit, used, of, .. }: LimitPeak| Use {
            setting: limit.setting(),
            // The limit of CPU time is higher here than by default.
            percent: used.saturating_mul(100) / if limit == LimitKind::Cpu { cpu } else { of.max(1) },
        };
        let limits: Vec<_> = lab.peaks().into_iter().map(percent).collect();
        let notes = if outcome == Outcome::Passed { notes(lab, &limits) } else { Vec::new() };
        Report { component: lab.trial.path.clone(), outcome, reason, checks, notes, limits }
    }
}

/// Tries whether the handler issues tokens.
///
/// # Errors
/// Returns the reason that it issues none. A failure is none: the checks report it.
fn issues(lab: &Lab) -> Result<(), String> {
    const CASES: &str = "describe tokens or requests, and what it is granted, in cases.toml";
    if !lab.trial.info.handles_tokens() {
        return Err(format!("it is a session handler, which issues no tokens: {CASES}"));
    }
    match lab.issue(CreateRequest::new(ACTOR)) {
        Ok(Err(denied)) => Err(format!("it issues no tokens here ({denied}): {CASES}")),
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}

/// Returns the notes on a handler that has passed.
fn notes(lab: &Lab, limits: &[Use]) -> Vec<String> {
    let mut notes: Vec<_> = lab.trial.baked_randomness().map(str::to_owned).into_iter().collect();
    notes.extend(lab.trial.not_called(&lab.registry).into_iter().map(|interface| {
        format!(
            "it imports `{interface}`, which its operator has to grant, and has not called it here: leave it out of \
             the world if it is of no use"
        )
    }));
    if !lab.trial.info.wasi.is_empty() {
        let text = "it imports WASI, so its operator has to set `wasi = true`; behind it, there are no files, sockets, \
                    variables and arguments";
        notes.push(text.to_owned());
    }
    for Use { setting, percent } in limits.iter().filter(|used| used.percent > 100) {
        notes.push(format!(
            "a call used {percent} % of `{setting}`, so a daemon ends it by default: make it faster, or tell its \
             operators to raise the limit"
        ));
    }
    let dropped: u64 = lab.registry.handlers().map(|handler| handler.counts.dropped_lines).sum();
    if dropped > 0 {
        let (lines, default) = (count_of(dropped, "line"), Limits::default().log_lines);
        notes.push(format!("the host dropped {lines} of its log: a call may write {default} (`limits.log_lines`)"));
    }
    notes
}

/// Prints the line of a check, in color on a terminal unless `NO_COLOR` is set.
fn print(Check { name, outcome, reason }: &Check, io: &mut Io<'_>) -> Result<(), CliError> {
    let (word, color) = match outcome {
        Outcome::Passed => ("passed", "32"),
        Outcome::Failed => ("FAILED", "31"),
        Outcome::NotJudged => ("-", "33"),
    };
    let mut word = pad(word, 6);
    if io.stdout_is_terminal && (io.env)("NO_COLOR").is_none_or(|value| value.is_empty()) {
        word = format!("\u{1b}[{color}m{word}\u{1b}[0m");
    }
    let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    writeln!(io.stdout, "{word} {name}{reason}").and_then(|()| io.stdout.flush()).map_err(CliError::stdout)
}

/// Prints what follows the checks.
fn print_end(report: &Report, io: &mut Io<'_>) -> Result<(), CliError> {
    let Report { component, outcome, reason, checks, notes, limits } = report;
    let mut lines = Vec::new();
    let used = limits.iter().filter(|used| used.percent > 0);
    let used: Vec<_> = used.map(|used| format!("{} {} %", used.setting, used.percent)).collect();
    if !used.is_empty() {
        lines.push(format!("used of the default limits: {}", used.join(", ")));
    }
    lines.extend(notes.iter().map(|note| format!("note: {note}")));
    let failed = checks.iter().filter(|check| check.outcome == Outcome::Failed).count();
    lines.push(match (outcome, reason) {
        (Outcome::Passed, _) => format!("{component}: passed {}", count_of(checks.len() as u64, "check")),
        (Outcome::Failed, _) => format!("{component}: failed {}", count_of(failed as u64, "check")),
        (Outcome::NotJudged, reason) => {
            format!("{component}: not judged: {}", reason.as_deref().unwrap_or_default())
        }
    });
    crate::output::write_lines(io.stdout, lines)
}
