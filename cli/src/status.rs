//! `keyward status`: what there is, on a page.

use crate::args::Of;
use crate::audit::settings;
use crate::date::age;
use crate::load::{self, Loaded};
use crate::output::{cut, write_json, write_lines};
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
        let Self { keys, tokens, nodes, audit } = self;
        let mut lines = Vec::new();
        if let Some(tokens) = tokens {
            lines.push(format!(
                "{:20} {:>11} {:>11} {:>11} {:>11}",
                "TOKENS", "active", "expired", "revoked", "replaced"
            ));
            for (handler, counts) in tokens {
                let [active, expired, revoked, replaced] =
                    keyward_runtime::Status::ALL.map(|status| counts.get(status.name()).copied().unwrap_or_default());
                lines.push(format!("{:20} {active:>11} {expired:>11} {revoked:>11} {replaced:>11}", cut(handler, 20)));
            }
            if tokens.is_empty() {
                lines.push("none has a record".to_owned());
            }
            lines.push(String::new());
        }
        lines.push(format!("{:40} {:12} {:>8}", "KEYS", "state", "age"));
        for Key { key, state, age_seconds } in keys {
            let age = age_seconds.map_or_else(|| "-".to_owned(), age);
            lines.push(format!("{:40} {state:12} {age:>8}", cut(key, 40)));
        }
        if let Some(nodes) = nodes {
            lines.push(String::new());
            lines.push(format!("{:40} {:>12} {:>8}", "NODES", "behind by", "seen"));
            for Node { node, behind, seen_seconds_ago } in nodes {
                lines.push(format!("{:40} {behind:>12} {:>8}", cut(node, 40), age(*seen_seconds_ago)));
            }
            if nodes.is_empty() {
                lines.push("no daemon has said anything of itself yet".to_owned());
            }
        }
        if let Some(Audit { file, last, time }) = audit {
            lines.push(String::new());
            lines.push(match (last, time) {
                (Some(last), Some(time)) => format!("AUDIT  {last} records, the last of {time}: {file}"),
                _ => format!("AUDIT  no record yet: {file}"),
            });
        }
        lines
    }
}
