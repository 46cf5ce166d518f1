//! `keyward status`: what there is, on a page.

use crate::args::Of;
use crate::audit::settings;
use crate::date::age;
use crate::load::{self, Loaded};
use crate::output::{Cells, Table, one_line, wrap, write_json, write_lines};
use crate::{Status, Stop, World, store};
use keyward_audit::last;
use keyward_runtime::{Error, Registry, Tally};
use serde::Serialize;
use std::collections::BTreeMap;

/// All of it. The order of the members is that of the JSON; what a configuration does not have is null.
#[derive(Serialize)]
struct Page {
    keys: Vec<Key>,
    /// By handler and status.
    tokens: Option<BTreeMap<String, BTreeMap<&'static str, u64>>>,
    nodes: Option<Vec<Node>>,
    audit: Option<Audit>,
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
    /// How many revocations it had not read when it last said so.
    behind: u64,
    seen_seconds_ago: u64,
}

#[derive(Serialize)]
struct Audit {
    file: String,
    /// The last record: its number and its time. Null: there is none yet.
    last: Option<u64>,
    time: Option<String>,
}

pub(crate) fn run(args: &Of, world: &mut World<'_>) -> Result<Status, Stop> {
    let now = args.now()?;
    let Of { config, at, json } = args;
    let loaded = Loaded::read(config)?;
    let keys = loaded.key_ages().into_iter();
    let keys = keys.map(|key| Key {
        age_seconds: key.made_at.map(|made_at| now.saturating_sub(made_at)),
        state: key.state,
        key: key.key,
    });
    let mut page = Page { keys: keys.collect(), tokens: None, nodes: None, audit: audit(&loaded)? };
    if loaded.config.store.is_some() {
        let store = store::open(&loaded, world.env)?;
        let registry = loaded.registry(&load::runtime(*at)?, world.env, store.as_ref())?;
        (page.tokens, page.nodes) = (Some(tokens(&registry)?), Some(nodes(&registry, now)?));
    }
    if *json {
        write_json(world.stdout, &page)?;
    } else {
        write_lines(world.stdout, page.lines())?;
    }
    Ok(Status::Good)
}

fn no_answer(error: &Error) -> Stop {
    Stop::NoVerdict(error.to_string())
}

fn tokens(registry: &Registry) -> Result<BTreeMap<String, BTreeMap<&'static str, u64>>, Stop> {
    let mut tokens: BTreeMap<String, BTreeMap<_, _>> = BTreeMap::new();
    for Tally { handler, status, tokens: count } in
        pollster::block_on(registry.tally()).map_err(|error| no_answer(&error))?
    {
        tokens.entry(handler).or_default().insert(status.name(), count);
    }
    Ok(tokens)
}

fn nodes(registry: &Registry, now: u64) -> Result<Vec<Node>, Stop> {
    let nodes = pollster::block_on(registry.nodes()).map_err(|error| no_answer(&error))?;
    let node = |seen: keyward_runtime::NodeSeen| Node {
        node: seen.node,
        behind: seen.behind,
        seen_seconds_ago: now.saturating_sub(seen.at),
    };
    Ok(nodes.into_iter().map(node).collect())
}

fn audit(loaded: &Loaded) -> Result<Option<Audit>, Stop> {
    let Some(settings) = settings(loaded) else { return Ok(None) };
    let file = settings.file.display().to_string();
    if !settings.file.exists() {
        return Ok(Some(Audit { file, last: None, time: None }));
    }
    let lines = last(&settings.file, 1).map_err(|error| Stop::NoVerdict(error.to_string()))?;
    let record = lines.into_iter().next_back().and_then(Result::ok).map(|(_, record)| record);
    let (last, time) = record.map(|record| (record.seq, record.time)).unzip();
    Ok(Some(Audit { file, last, time }))
}

impl Page {
    fn lines(&self) -> Vec<String> {
        use Cells::{Names, Numbers, Words};
        let Self { keys, tokens, nodes, audit } = self;
        let mut parts = Vec::new();
        if let Some(tokens) = tokens {
            let rows = tokens.iter().map(|(handler, counts)| {
                let count = |status: keyward_runtime::Status| counts.get(status.name()).copied().unwrap_or_default();
                let counts = keyward_runtime::Status::ALL.map(|status| count(status).to_string());
                [vec![one_line(handler)], counts.to_vec()].concat()
            });
            let head =
                [vec!["TOKENS"], keyward_runtime::Status::ALL.map(keyward_runtime::Status::name).to_vec()].concat();
            parts.push(part(&head, &[Names, Numbers, Numbers, Numbers, Numbers], rows, "none has a record"));
        }
        let rows = keys.iter().map(|Key { key, state, age_seconds }| {
            vec![one_line(key), (*state).to_owned(), age_seconds.map_or_else(|| "-".to_owned(), age)]
        });
        parts.push(part(&["KEYS", "state", "age"], &[Names, Words, Numbers], rows, "there is none"));
        if let Some(nodes) = nodes {
            let rows = nodes.iter().map(|Node { node, behind, seen_seconds_ago }| {
                vec![one_line(node), behind.to_string(), age(*seen_seconds_ago)]
            });
            let none = "no daemon has said anything of itself yet";
            parts.push(part(&["NODES", "behind by", "seen"], &[Names, Numbers, Numbers], rows, none));
        }
        if let Some(Audit { file, last, time }) = audit {
            parts.push(wrap(&match (last, time) {
                (Some(last), Some(time)) => format!("AUDIT  record {last} of {time} is the last: {file}"),
                _ => format!("AUDIT  no record yet: {file}"),
            }));
        }
        parts.join(&String::new())
    }
}

/// A table, or what is said where there is nothing to put in.
fn part(head: &[&str], cells: &[Cells], rows: impl Iterator<Item = Vec<String>>, none: &str) -> Vec<String> {
    let head = head.iter().map(|head| (*head).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let mut lines = Table::of(0, cells, &rows).all(&rows);
    if rows.len() == 1 {
        lines.push(none.to_owned());
    }
    lines
}
