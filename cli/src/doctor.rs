//! `keyward doctor`: checks the sandbox, the configuration, its files and this machine.

mod machine;

use crate::args::doctor::Doctor;
use crate::config::Component;
use crate::config_file::ConfigFile;
use crate::key_sets::RemoteSets;
use crate::output::{one_line, wrap, write_json, write_lines};
use crate::{CliError, ExitStatus, Io, assemble, store};
use keyward_runtime::{Runtime, proofs};
use serde::Serialize;

/// A result of a check.
#[derive(Serialize)]
pub(super) struct Finding {
    check: &'static str,
    state: State,
    detail: String,
}

#[derive(Serialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    Ok,
    /// A fact to know, which is no danger by itself.
    Note,
    Unsafe,
}

impl Finding {
    pub(super) fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, state: State::Ok, detail: detail.into() }
    }

    pub(super) fn note(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, state: State::Note, detail: detail.into() }
    }

    pub(super) fn danger(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, state: State::Unsafe, detail: detail.into() }
    }

    fn line(&self) -> String {
        let state = match self.state {
            State::Ok => "ok",
            State::Note => "note",
            State::Unsafe => "UNSAFE",
        };
        one_line(&format!("{state}: {}: {}", self.check, self.detail))
    }
}

/// The output. The members are in the order of the JSON.
#[derive(Serialize)]
struct Report {
    safe: bool,
    findings: Vec<Finding>,
}

pub(crate) fn run(args: &Doctor, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    let loaded = ConfigFile::find(args.config.as_deref(), io)?;
    let runtime = assemble::runtime(None, io.worker, loaded.cache(false))?;
    let mut findings = proofs(&loaded, &runtime)?;
    findings.extend(configuration(&loaded));
    findings.extend(machine::findings(&loaded, args.backup.as_deref()));
    if loaded.config.store.is_some() {
        findings.push(store_is_ready(&loaded, io));
    }
    findings.extend(key_sets(&loaded)?);
    let safe = findings.iter().all(|finding| finding.state < State::Unsafe);
    let report = Report { safe, findings };
    if args.json {
        write_json(io.stdout, &report)?;
    } else {
        write_lines(io.stdout, report.findings.iter().flat_map(|finding| wrap(&finding.line())))?;
    }
    Ok(if safe { ExitStatus::Success } else { ExitStatus::Negative })
}

/// Refuses to serve on a machine on which the sandbox does not hold.
pub(crate) fn require_proofs(loaded: &ConfigFile, runtime: &Runtime) -> Result<(), CliError> {
    match proofs(loaded, runtime)?.into_iter().find(|finding| finding.state == State::Unsafe) {
        None => Ok(()),
        Some(Finding { check, detail, .. }) => Err(CliError::Unavailable(format!(
            "the sandbox does not hold on this machine: {check}: {detail}; do not run handlers here"
        ))),
    }
}

/// Attacks the sandbox and, if a foreign component is configured, the compile worker.
fn proofs(loaded: &ConfigFile, runtime: &Runtime) -> Result<Vec<Finding>, CliError> {
    let mut proofs = proofs::sandbox(runtime)
        .map_err(|error| CliError::Unavailable(format!("the sandbox cannot be checked: {error}")))?;
    if loaded.config.handlers.iter().any(|handler| matches!(handler.component.value, Component::File(_))) {
        proofs.extend(proofs::compile_worker(runtime));
    }
    let findings = proofs.into_iter().map(|proof| match proof.failure {
        None => Finding::ok("sandbox", proof.property),
        Some(seen) => Finding::danger("sandbox", format!("violated: {}: {seen}", proof.property)),
    });
    Ok(findings.collect())
}

/// Reports what the configuration allows that is dangerous, or not pinned.
fn configuration(loaded: &ConfigFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    if loaded.config.share_unprefixed {
        findings.push(Finding::note(
            "configuration",
            "`dangerous_share_unprefixed` is set: handlers without prefixes see each other's tokens",
        ));
    }
    for handler in &loaded.config.handlers {
        if matches!(handler.component.value, Component::File(_)) && handler.sha256.is_none() {
            let name = &handler.name.value;
            let text = format!("handler `{name}` is not pinned: add the `sha256` that `keyward check` prints");
            findings.push(Finding::danger("configuration", text));
        }
    }
    if loaded.config.audit.is_none() {
        findings.push(Finding::note("configuration", "there is no `[audit]`: changes are not recorded"));
    }
    findings
}

/// Fetches each key set that has a URL.
fn key_sets(loaded: &ConfigFile) -> Result<Vec<Finding>, CliError> {
    let mut remote = RemoteSets::default();
    let sets = loaded.key_sets(Some(&mut remote))?;
    remote.settle();
    let statuses = loaded.config.key_sets.keys().filter_map(|name| Some(sets.get(name.as_str())?.status()));
    let findings = statuses.filter_map(|set| {
        let remote = set.remote?;
        Some(match remote.error {
            None => Finding::ok("key set", format!("`{}` can be fetched", set.name)),
            Some(error) => Finding::danger("key set", format!("`{}` cannot be fetched: {error}", set.name)),
        })
    });
    Ok(findings.collect())
}

/// Opens the store, and compares it with the clock and the audit log.
fn store_is_ready(loaded: &ConfigFile, io: &mut Io<'_>) -> Finding {
    let opened = store::open(loaded, io.env).and_then(|store| loaded.open(None, io, store.as_ref(), None));
    match opened {
        Err(stop) => Finding::danger("store", stop.sentence().1),
        Ok(registry) => match registry.revocations().ok().and_then(|revocations| revocations.list().trouble()) {
            Some(trouble) => Finding::danger("store", trouble),
            None => Finding::ok("store", "it can be read, and agrees with the audit log"),
        },
    }
}
