//! `keyward bench`: the cost of a handler's calls, beside those of `builtin:signed` in the same
//! run.

use crate::args::kit::{Bench, Trial as Args};
use crate::output::{Progress, pad, write_json, write_lines};
use crate::trial::{Case, NAME, Setup, Trial, Want};
use crate::{CliError, ExitStatus, Io};
use keyward_runtime::clock::{MonotonicClock, SystemClock};
use keyward_runtime::component::ComponentInfo;
use keyward_runtime::limits::LimitKind;
use keyward_runtime::session::SessionRequest;
use keyward_runtime::{CreateRequest, Creation, Registry, Verdict};
use serde::Serialize;
use std::fs;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

/// The component for comparison.
const BASELINE: &str = "builtin:signed";

/// The time for all calls of one kind.
const TIME: Duration = Duration::from_millis(1_000);

/// Number of rounds, in which the handlers take turns: other load then affects them alike.
const ROUNDS: u32 = 20;

/// The report of `--json`. Times are in microseconds.
#[derive(Serialize)]
struct Report {
    component: String,
    calls: Vec<Row>,
    memory_bytes: u64,
    host_calls: u64,
    baseline: Vec<Row>,
    /// The median of the last kind of call as a multiple of that of the baseline.
    ratio: f64,
    advice: Vec<String>,
}

/// The measured calls of one kind.
#[derive(Serialize)]
struct Row {
    call: &'static str,
    calls: usize,
    median_us: f64,
    p99_us: f64,
    /// Page faults of the process in each call.
    page_faults: f64,
}

pub(crate) fn run(args: Bench, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    let Bench { of, json } = args;
    let open = |args: Args| Trial::open(args, io, MonotonicClock::new(SystemClock));
    let trial = open(of)?;
    let baseline = Args {
        component: Some(BASELINE.to_owned()),
        key: vec!["token".to_owned()],
        setting: vec![("unique_tokens".to_owned(), "true".to_owned())],
        cases: None,
    };
    let subjects = [trial.load(Setup::AsServed)?, open(baseline)?.load(Setup::AsServed)?];
    let [own, signed] = &subjects;
    let Some(mut own_calls) = Calls::of(own, &trial) else {
        let text = "it issues no token, and accepts none of the cases: describe one that it accepts now in cases.toml";
        return Err(CliError::Unavailable(format!("{}: {text}", trial.path)));
    };
    let mut signed_calls = Calls::issuing(signed)
        .ok_or_else(|| CliError::Unavailable(format!("internal error: {BASELINE} issues no token")))?;
    let mut progress = Progress::new(io.stderr, io.stderr_is_terminal);
    for round in 0..ROUNDS {
        progress.display(&format!("measuring: {} %", round * 100 / ROUNDS));
        own_calls.measure(own);
        signed_calls.measure(signed);
    }
    drop(progress);
    let (calls, baseline) = (own_calls.rows(), signed_calls.rows());
    let median = |rows: &[Row]| rows.last().map_or(f64::NAN, |row| row.median_us);
    let ratio = (median(&calls) / median(&baseline) * 100.0).round() / 100.0;
    let (memory_bytes, host_calls) = (peak(own, LimitKind::Memory), peak(own, LimitKind::HostCalls));
    let faults = calls.last().map_or(0.0, |row| row.page_faults);
    let advice = advice(&trial.info, ratio, memory_bytes, host_calls, faults);
    let report = Report { component: trial.path, calls, memory_bytes, host_calls, baseline, ratio, advice };
    if json {
        write_json(io.stdout, &report)?;
    } else {
        write_lines(io.stdout, report.text())?;
    }
    Ok(ExitStatus::Success)
}

/// Returns the highest use of a limit by one call.
fn peak(registry: &Registry, limit: LimitKind) -> u64 {
    let peaks = registry.handlers().flat_map(|handler| handler.peaks);
    peaks.filter(|peak| peak.limit == limit).map(|peak| peak.used).max().unwrap_or(0)
}

/// The calls of a handler, each kind with its times.
struct Calls(Vec<(Call, Times)>);

/// A call that succeeds.
enum Call {
    /// With this lifetime in seconds; `None` if the handler denies one.
    Issue(Option<NonZeroU32>),
    Verify(String),
    Identify(SessionRequest),
}

#[derive(Default)]
struct Times {
    /// Number of calls in a round.
    in_a_round: u32,
    calls: Vec<Duration>,
    page_faults: u64,
}

impl Calls {
    /// Returns the calls that a handler can be measured by: of a token that it issues, or of one of
    /// its cases. `None` if there is none.
    fn of(registry: &Registry, trial: &Trial) -> Option<Self> {
        let issuing = trial.info.handles_tokens().then(|| Self::issuing(registry)).flatten();
        issuing.or_else(|| {
            let accepted = trial.cases.cases.iter().filter(|case| case.want == Want::Accepted);
            let calls = accepted.map(|case: &Case| match &case.token {
                Some(token) => Call::Verify(token.clone()),
                None => Call::Identify(case.request()),
            });
            let call = calls.into_iter().find(|call| call.is_accepted(registry))?;
            Some(Self::new(registry, vec![call]))
        })
    }

    /// Returns the issue of a token, and its verification. `None` if the handler issues none.
    fn issuing(registry: &Registry) -> Option<Self> {
        let lifetimes = [NonZeroU32::new(3_600), None].into_iter();
        let (lifetime, token) = lifetimes.filter_map(|of| Some((of, issue(registry, of)?))).next()?;
        Some(Self::new(registry, vec![Call::Issue(lifetime), Call::Verify(token)]))
    }

    fn new(registry: &Registry, calls: Vec<Call>) -> Self {
        let timed = calls.into_iter().map(|call| {
            // The first calls are slower than the others.
            let start = Instant::now();
            (0..10).for_each(|_| call.run(registry));
            let each = (start.elapsed() / 10).max(Duration::from_nanos(100));
            let number = (TIME / ROUNDS).as_nanos().div_ceil(each.as_nanos()).clamp(2, 5_000);
            (call, Times { in_a_round: u32::try_from(number).unwrap_or(2), ..Times::default() })
        });
        Self(timed.collect())
    }

    /// Measures a round of each kind of call.
    fn measure(&mut self, registry: &Registry) {
        for (call, times) in &mut self.0 {
            let before = page_faults();
            for _ in 0..times.in_a_round {
                let start = Instant::now();
                call.run(registry);
                times.calls.push(start.elapsed());
            }
            times.page_faults += page_faults().saturating_sub(before);
        }
    }

    fn rows(self) -> Vec<Row> {
        let row = |(call, mut times): (Call, Times)| {
            times.calls.sort_unstable();
            let number = times.calls.len();
            let at = |place: usize| times.calls.get(place).map_or(0.0, |time| time.as_secs_f64() * 1e6);
            Row {
                call: call.name(),
                calls: number,
                median_us: round(at(number / 2)),
                p99_us: round(at(number * 99 / 100)),
                page_faults: round(times.page_faults as f64 / number.max(1) as f64),
            }
        };
        self.0.into_iter().map(row).collect()
    }
}

impl Call {
    fn name(&self) -> &'static str {
        match self {
            Self::Issue(_) => "issue",
            Self::Verify(_) => "verify",
            Self::Identify(_) => "identify",
        }
    }

    fn run(&self, registry: &Registry) {
        match self {
            Self::Issue(lifetime) => drop(black_box(issue(registry, *lifetime))),
            _ => drop(black_box(self.is_accepted(registry))),
        }
    }

    fn is_accepted(&self, registry: &Registry) -> bool {
        let verdict = match self {
            Self::Issue(_) => return true,
            Self::Verify(token) => registry.verify_blocking(token),
            Self::Identify(request) => registry.identify_blocking(NAME, request),
        };
        matches!(verdict, Ok(Verdict::Accepted(_)))
    }
}

fn issue(registry: &Registry, lifetime: Option<NonZeroU32>) -> Option<String> {
    let mut request = CreateRequest::new("ann");
    request.expires_after = lifetime;
    match registry.create_blocking(request) {
        Ok(Creation::Created(created)) => Some(created.token),
        Ok(Creation::Denied(_)) | Err(_) => None,
    }
}

/// Returns the number of page faults of this process that needed no disk; 0 if the system does not
/// tell it.
fn page_faults() -> u64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The tenth value; the name, which is the second one, may contain spaces and ends with `)`.
    let after_name = text.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    after_name.split_whitespace().nth(7).and_then(|faults| faults.parse().ok()).unwrap_or(0)
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// Returns what an author may change to make a handler faster.
fn advice(info: &ComponentInfo, ratio: f64, memory: u64, host_calls: u64, faults: f64) -> Vec<String> {
    let mut advice = Vec::new();
    if ratio < 3.0 {
        return advice;
    }
    if !info.wasi.is_empty() {
        let text = "it imports WASI: each call sets up an interpreter or the library of its language. In Rust and C, \
                    a handler needs none";
        advice.push(text.to_owned());
    }
    if ["store", "queries", "http"].iter().any(|interface| info.imports.contains(*interface)) {
        advice
            .push("a call waits for the store, a query or an endpoint: most of the time may be spent there".to_owned());
    }
    if faults > 4.0 {
        advice.push(format!(
            "a call writes to {faults:.0} pages of memory for the first time: use less of it, with a smaller stack and \
             without large buffers (its memory has {} KiB)",
            memory >> 10
        ));
    }
    // A new token is verified in the same call.
    if host_calls > 40 {
        advice.push(format!("a call makes {host_calls} host calls: request each value once and reuse it"));
    }
    if advice.is_empty() {
        advice.push("most of the time is its own code: profile its unit tests".to_owned());
    }
    advice
}

impl Report {
    fn text(&self) -> Vec<String> {
        let Self { component, calls, memory_bytes, host_calls, baseline, ratio, advice } = self;
        let mut lines = vec![format!("{}     median        p99  page faults", pad("", 24))];
        let rows = calls.iter().map(|row| (row, "")).chain(baseline.iter().map(|row| (row, BASELINE)));
        lines.extend(rows.map(|(Row { call, median_us, p99_us, page_faults, .. }, of)| {
            let name = if of.is_empty() { (*call).to_owned() } else { format!("{call}, {of}") };
            format!("{}{} {} {page_faults:>12.1}", pad(&name, 24), time(*median_us), time(*p99_us))
        }));
        lines.push(format!("memory {} KiB, host calls {host_calls}", memory_bytes >> 10));
        let call = calls.last().map_or("", |row| row.call);
        lines.push(format!("{component}: {call} takes {ratio} times as long as `verify` of {BASELINE}"));
        lines.extend(advice.iter().map(|text| format!("advice: {text}")));
        lines
    }
}

/// Formats a time in 10 columns.
fn time(us: f64) -> String {
    if us < 10_000.0 { format!("{us:>7.1} µs") } else { format!("{:>7.1} ms", us / 1_000.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_faults_are_counted() {
        let before = page_faults();
        black_box(vec![1_u8; 1 << 20]);
        assert!(page_faults() > before);
    }
}
