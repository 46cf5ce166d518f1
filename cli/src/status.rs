//! `keyward status`: an overview on one page.

use crate::args::CommonArgs;
use crate::config_file::ConfigFile;
use crate::date::age;
use crate::output::{Column, Table, WIDTH, count_of, one_line, wrap, write_json, write_lines};
use crate::pending_file::{PendingFile, PendingState};
use crate::{CliError, ExitStatus, Io, daemon, store};
use keyward_audit::last;
use keyward_runtime::clock::UnixTime;
use keyward_runtime::store::StatusCount;
use keyward_runtime::{Error, Registry};
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The overview. The members are in the order of the JSON; those that are not configured are null.
#[derive(Serialize)]
struct Page {
    keys: Vec<Key>,
    /// Numbers of tokens by handler and status.
    tokens: Option<BTreeMap<String, BTreeMap<&'static str, u64>>>,
    nodes: Option<Vec<Node>>,
    audit: Option<Audit>,
    pending_revocations: Option<Pending>,
    /// The lines of `/readyz`; null if no daemon responds at `server.admin`.
    daemon: Option<Vec<String>>,
}

#[derive(Serialize)]
struct Key {
    key: String,
    state: &'static str,
    age_seconds: Option<u64>,
}

#[derive(Serialize)]
struct Node {
    node: String,
    /// Number of revocations that it had not read at its last report.
    behind: u64,
    seen_seconds_ago: u64,
}

/// The revocations that only the daemon of this configuration applies.
#[derive(Serialize)]
struct Pending {
    file: String,
    revocations: usize,
    /// `true` if a restart may have lost others.
    may_be_lost: bool,
}

#[derive(Serialize)]
struct Audit {
    file: String,
    /// Number of the last record; null if there is no record yet.
    last: Option<u64>,
    time: Option<String>,
}

pub(crate) fn run(args: &CommonArgs, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    let now = args.now()?;
    let CommonArgs { config, at, json } = args;
    let loaded = ConfigFile::find(config.as_deref(), io)?;
    let keys = loaded.key_ages().into_iter();
    let keys = keys.map(|key| Key {
        age_seconds: key.made_at.map(|made_at| now.seconds_since(made_at)),
        state: key.state,
        key: key.key,
    });
    let mut page = Page {
        keys: keys.collect(),
        tokens: None,
        nodes: None,
        audit: audit(&loaded)?,
        pending_revocations: pending(&loaded)?,
        daemon: readiness(loaded.config.server.admin.value),
    };
    if loaded.config.store.is_some() {
        let store = store::open(&loaded, io.env)?;
        let registry = loaded.open(*at, io, store.as_ref(), None)?;
        (page.tokens, page.nodes) = (Some(tokens(&registry)?), Some(nodes(&registry, now)?));
    }
    if *json {
        write_json(io.stdout, &page)?;
    } else {
        write_lines(io.stdout, page.lines())?;
    }
    Ok(ExitStatus::Success)
}

fn no_answer(error: &Error) -> CliError {
    CliError::Unavailable(error.to_string())
}

fn tokens(registry: &Registry) -> Result<BTreeMap<String, BTreeMap<&'static str, u64>>, CliError> {
    let mut tokens: BTreeMap<String, BTreeMap<_, _>> = BTreeMap::new();
    for StatusCount { handler, status, tokens: count } in
        pollster::block_on(async { registry.tokens()?.tally().await }).map_err(|error| no_answer(&error))?
    {
        tokens.entry(handler).or_default().insert(status.name(), count);
    }
    Ok(tokens)
}

fn nodes(registry: &Registry, now: UnixTime) -> Result<Vec<Node>, CliError> {
    let store = registry.tokens().map_err(|error| no_answer(&error))?.store();
    let nodes = pollster::block_on(store.nodes()).map_err(|error| CliError::Unavailable(error.to_string()))?;
    let node = |seen: keyward_runtime::store::NodeStatus| Node {
        node: seen.node,
        behind: seen.behind,
        seen_seconds_ago: now.seconds_since(seen.at),
    };
    Ok(nodes.into_iter().map(node).collect())
}

fn audit(loaded: &ConfigFile) -> Result<Option<Audit>, CliError> {
    let Some(settings) = loaded.audit_settings() else { return Ok(None) };
    let file = settings.file.display().to_string();
    if !settings.file.exists() {
        return Ok(Some(Audit { file, last: None, time: None }));
    }
    let lines = last(&settings.file, 1).map_err(|error| CliError::Unavailable(error.to_string()))?;
    let record = lines.into_iter().next_back().and_then(Result::ok).map(|(_, record)| record);
    let (last, time) = record.map(|record| (record.seq, record.time)).unzip();
    Ok(Some(Audit { file, last, time }))
}

fn pending(loaded: &ConfigFile) -> Result<Option<Pending>, CliError> {
    let Some(path) = loaded.pending_file() else { return Ok(None) };
    let PendingState { may_be_lost, revocations } = PendingFile::look(&path)?;
    Ok(Some(Pending { file: path.display().to_string(), revocations: revocations.len(), may_be_lost }))
}

/// Returns what the daemon at the admin address says about itself, or `None` if there is none.
fn readiness(admin: SocketAddr) -> Option<Vec<String>> {
    Some(daemon::get(admin, "/readyz")?.lines().map(one_line).collect())
}

impl Page {
    fn lines(&self) -> Vec<String> {
        use Column::{Names, Numbers, Words};
        let Self { keys, tokens, nodes, audit, pending_revocations, daemon } = self;
        let mut parts = Vec::new();
        if let Some(tokens) = tokens {
            let rows = tokens.iter().map(|(handler, counts)| {
                let count =
                    |status: keyward_runtime::store::Status| counts.get(status.name()).copied().unwrap_or_default();
                let counts = keyward_runtime::store::Status::ALL.map(|status| count(status).to_string());
                [vec![one_line(handler)], counts.to_vec()].concat()
            });
            let head = [
                vec!["TOKENS"],
                keyward_runtime::store::Status::ALL.map(keyward_runtime::store::Status::name).to_vec(),
            ]
            .concat();
            parts.push(part(&head, &[Names, Numbers, Numbers, Numbers, Numbers], rows, "no records"));
        }
        let rows = keys.iter().map(|Key { key, state, age_seconds }| {
            vec![one_line(key), (*state).to_owned(), age_seconds.map_or_else(|| "-".to_owned(), age)]
        });
        parts.push(part(&["KEYS", "state", "age"], &[Names, Words, Numbers], rows, "no keys"));
        if let Some(nodes) = nodes {
            let rows = nodes.iter().map(|Node { node, behind, seen_seconds_ago }| {
                vec![one_line(node), behind.to_string(), age(*seen_seconds_ago)]
            });
            let none = "no daemon has reported yet";
            parts.push(part(&["NODES", "behind by", "seen"], &[Names, Numbers, Numbers], rows, none));
        }
        if let Some(Audit { file, last, time }) = audit {
            parts.push(wrap(&match (last, time) {
                (Some(last), Some(time)) => format!("AUDIT  last record {last} at {time}: {file}"),
                _ => format!("AUDIT  no records yet: {file}"),
            }));
        }
        parts.extend(pending_revocations.as_ref().and_then(Pending::lines));
        parts.extend(daemon.as_ref().map(|lines| wrap(&format!("DAEMON  {}", lines.join("; ")))));
        parts.join(&String::new())
    }
}

impl Pending {
    /// Returns the lines, or `None` if there is nothing to report.
    fn lines(&self) -> Option<Vec<String>> {
        let Self { file, revocations, may_be_lost } = self;
        let waiting = format!("{} not written yet", count_of(*revocations as u64, "revocation"));
        let lost = "others may be lost: request them again, then run `keyward store accept --revocations`";
        let text = match (revocations, may_be_lost) {
            (0, false) => return None,
            (_, false) => waiting,
            (_, true) => format!("{waiting}; {lost}"),
        };
        Some(wrap(&format!("PENDING  {text}: {file}")))
    }
}

/// Returns the lines of a table, or its head and `none` if it has no rows.
fn part(head: &[&str], cells: &[Column], rows: impl Iterator<Item = Vec<String>>, none: &str) -> Vec<String> {
    let head = head.iter().map(|head| (*head).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let mut lines = Table::of(WIDTH, 0, cells, &rows).all(&rows);
    if rows.len() == 1 {
        lines.push(none.to_owned());
    }
    lines
}
