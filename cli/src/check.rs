//! `keyward check`: describes a component, its imports and its grants.

use crate::args::Check;
use crate::config::{Component, Handler};
use crate::output::{one_line, write_json, write_lines};
use crate::store::OpenStore;
use crate::{CliError, ExitStatus, Io, assemble, config_file, limits, trial};
use keyward_runtime::component::ComponentInfo;
use keyward_runtime::session::SessionGrant;
use keyward_runtime::text::list_items;
use serde::Serialize;
use std::collections::BTreeSet;
use std::num::NonZeroU32;

/// The output. The members are in the order of the JSON.
#[derive(Serialize)]
struct Report {
    component: String,
    bytes: usize,
    sha256: String,
    /// The interfaces of `keyward:handler` that it exports.
    exports: BTreeSet<String>,
    /// The interfaces of `keyward:handler` that it imports.
    asks_for: Vec<String>,
    /// The interfaces of WASI that it imports.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    wasi: Vec<String>,
    /// Faults of the component that its operator or author should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    /// The settings that it accepts, each with its type.
    settings: Vec<String>,
    /// The handlers that use it; null without a configuration.
    handlers: Option<Vec<Use>>,
    /// The error of the configuration; null if it is valid.
    error: Option<String>,
}

/// A handler that uses the component.
#[derive(Serialize)]
struct Use {
    name: String,
    #[serde(skip)]
    handles_tokens: bool,
    line: usize,
    pinned: bool,
    grants: Vec<Grant>,
    /// The cookies and headers that it sees.
    sees: Vec<String>,
    settings: Vec<String>,
    prefixes: Vec<String>,
    /// The patterns of the actors that it may authenticate; null for any.
    actors: Option<Vec<String>>,
    default_ttl: Option<NonZeroU32>,
    max_ttl: Option<u64>,
    max_idle: Option<u64>,
    max_tokens_per_actor: Option<u64>,
    leeway: Option<u64>,
    /// The limits that differ from their default.
    limits: Vec<Limit>,
}

#[derive(Serialize)]
struct Grant {
    interface: String,
    state: State,
    /// Labels of keys, public keys, queries and endpoints, names of secrets, or the limit of the
    /// store.
    names: Vec<String>,
    /// The setting that grants it, if it is not granted.
    add: Option<&'static str>,
}

#[derive(Serialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum State {
    Always,
    Granted,
    NotGranted,
    /// Not granted, and not required either: keys of the other kind are granted.
    NotRequired,
    /// Granted, but not imported by the component.
    NotAskedFor,
}

impl State {
    /// Returns the state of an interface that an operator may grant; `None` if there is nothing to
    /// say about it.
    fn of(is_imported: bool, is_granted: bool) -> Option<Self> {
        match (is_imported, is_granted) {
            (true, true) => Some(Self::Granted),
            (true, false) => Some(Self::NotGranted),
            (false, true) => Some(Self::NotAskedFor),
            (false, false) => None,
        }
    }
}

#[derive(Serialize)]
struct Limit {
    setting: &'static str,
    value: Option<u64>,
    default: Option<u64>,
}

pub(crate) fn run(args: Check, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    let component = config_file::component(&args.component)?;
    let config = args.config.as_deref().map(config_file::ConfigFile::read).transpose()?;
    let cache = config.as_ref().and_then(|config| config.cache(false));
    let runtime = assemble::runtime(None, io.worker, cache)?;
    let info = runtime.inspect(component.clone()).map_err(|error| trial::load_error(&args.component, &error))?;
    let mut report = Report {
        warnings: trial::baked_randomness(component.bytes(), &info).map(str::to_owned).into_iter().collect(),
        component: args.component,
        bytes: info.bytes,
        sha256: info.sha256_hex(),
        exports: info.exports.clone(),
        asks_for: info.imports.iter().cloned().collect(),
        wasi: info.wasi.iter().cloned().collect(),
        settings: info.settings.iter().map(|(name, kind)| format!("{name}: {kind}")).collect(),
        handlers: None,
        error: None,
    };
    let mut refused = None;
    if let Some(config) = &config {
        let mut uses = Vec::new();
        for handler in &config.config.handlers {
            // A component that cannot be read is another one; the registry reports its error below.
            if config.component(handler).is_ok_and(|used| used.bytes() == component.bytes()) {
                uses.push(Use::new(handler, &info));
            }
        }
        report.handlers = Some(uses);
        // Loads everything that `keyward serve` would load.
        if let Err(stop) =
            config.registry(&runtime, io.env, Some(&OpenStore::closed()), None).and_then(|_| config.server())
        {
            if let CliError::Usage(text) = &stop {
                report.error = Some(one_line(text));
            }
            refused = Some(stop);
        }
    }
    if args.json {
        write_json(io.stdout, &report)?;
    } else {
        write_lines(io.stdout, report.text())?;
    }
    refused.map_or(Ok(ExitStatus::Success), Err)
}

impl Use {
    fn new(handler: &Handler, info: &ComponentInfo) -> Self {
        let keys = handler.keys.keys().cloned().collect();
        let public_keys = handler.public_keys.iter().map(|(label, keys)| {
            let algorithms: Vec<_> = keys.algorithms.iter().map(|algorithm| algorithm.as_str()).collect();
            format!("{label} (set `{}`: {})", keys.set, algorithms.join(", "))
        });
        let public_keys = public_keys.collect();
        let store = handler.store.map(|max| format!("{max} tokens")).into_iter().collect();
        let queries = handler.queries.keys().cloned().collect();
        let endpoints =
            handler.http.iter().map(|(label, endpoint)| format!("{label} (endpoint `{endpoint}`)")).collect();
        let SessionGrant { cookies, headers, method, path, ttl, stale } = &handler.session;
        let seen = cookies.iter().map(|name| format!("cookie {name}"));
        let seen = seen.chain(headers.iter().map(|name| format!("header {name}")));
        let line = [("method", method), ("path", path)].into_iter().filter(|(_, is_seen)| **is_seen);
        let seen = seen.chain(line.map(|(part, _)| part.to_owned()));
        let cached = [("cached for", ttl), ("and without the service for another", stale)].into_iter();
        let cached = cached.filter(|(_, time)| !time.is_zero());
        let seen = seen.chain(cached.map(|(text, time)| format!("{text} {} s", time.as_secs()))).collect();
        let secrets = handler.secrets.keys().cloned().collect();
        let mut grants = Vec::new();
        let is_key = |interface: &str| ["keys", "public-keys"].contains(&interface);
        let has_keys = !handler.keys.is_empty() || !handler.public_keys.is_empty();
        for (interface, names, add) in [
            ("keys", keys, "keys.LABEL = { ring = \"…\" }"),
            ("public-keys", public_keys, "public_keys.LABEL = { set = \"…\", algorithms = [\"RS256\"] }"),
            ("secrets", secrets, "secrets.NAME = { file = \"…\" }"),
            ("store", store, "store = true"),
            ("queries", queries, "queries.LABEL = \"…\""),
            ("http", endpoints, "http.LABEL = \"…\""),
        ] {
            let names: Vec<String> = names;
            let state = match State::of(info.imports.contains(interface), !names.is_empty()) {
                Some(State::NotGranted) if is_key(interface) && has_keys => State::NotRequired,
                Some(state) => state,
                None => continue,
            };
            let add = (state == State::NotGranted).then_some(add);
            grants.push(Grant { interface: interface.to_owned(), state, names, add });
        }
        grants.extend(State::of(!info.wasi.is_empty(), handler.wasi).map(|state| Grant {
            interface: "wasi".to_owned(),
            state,
            names: vec!["no files, sockets, variables or arguments".to_owned()],
            add: (state == State::NotGranted).then_some("wasi = true"),
        }));
        // Those above are granted by the operator.
        let is_listed = |interface: &String| grants.iter().any(|grant: &Grant| grant.interface == *interface);
        let others: Vec<_> = info.imports.iter().filter(|interface| !is_listed(interface)).collect();
        grants.extend(others.into_iter().map(|interface| Grant {
            interface: interface.clone(),
            state: State::Always,
            names: Vec::new(),
            add: None,
        }));
        let limits = limits::changed(&handler.limits).into_iter();
        Self {
            name: handler.name.value.clone(),
            handles_tokens: info.handles_tokens(),
            line: handler.name.line,
            pinned: handler.sha256.is_some() || matches!(handler.component.value, Component::Builtin(_)),
            grants,
            sees: seen,
            settings: handler.settings.keys().cloned().collect(),
            prefixes: handler.prefixes.clone(),
            actors: handler.actors.patterns.clone(),
            default_ttl: handler.default_ttl,
            max_ttl: handler.max_ttl,
            max_idle: handler.max_idle,
            max_tokens_per_actor: handler.max_tokens_per_actor,
            leeway: handler.leeway,
            limits: limits.map(|(setting, value, default)| Limit { setting, value, default }).collect(),
        }
    }

    fn text(&self) -> Vec<String> {
        let mut lines = vec![format!("handler `{}` (line {}):", self.name, self.line)];
        for Grant { interface, state, names, add } in &self.grants {
            lines.push(match state {
                State::Always => format!("  {interface}: always granted"),
                State::Granted => format!("  {interface}: granted: {}", list_items(names)),
                State::NotRequired => format!("  {interface}: not granted, and not required"),
                State::NotAskedFor => format!("  {interface}: granted, but not imported: {}", list_items(names)),
                State::NotGranted => {
                    format!("  {interface}: NOT granted; to grant it, add `{}`", add.unwrap_or_default())
                }
            });
        }
        if !self.sees.is_empty() {
            lines.push(format!("  session: {}", list_items(&self.sees)));
        }
        lines.push(format!("  settings: {}", list_items(&self.settings)));
        lines.push(match self.prefixes.as_slice() {
            [] if !self.handles_tokens => "  prefixes: none; it receives no tokens".to_owned(),
            [] => "  prefixes: none; it receives tokens that match no prefix".to_owned(),
            prefixes => format!("  prefixes: {}", list_items(prefixes)),
        });
        lines.push(match &self.actors {
            None => "  actors: any".to_owned(),
            Some(patterns) => format!("  actors: {}", list_items(patterns)),
        });
        lines.push(match self.max_ttl {
            None => "  maximum lifetime: unlimited".to_owned(),
            Some(seconds) => format!("  maximum lifetime: {seconds} s"),
        });
        if let Some(seconds) = self.default_ttl {
            lines.push(format!("  default lifetime: {seconds} s"));
        }
        if let Some(seconds) = self.max_idle {
            lines.push(format!("  maximum idle time: {seconds} s"));
        }
        if let Some(tokens) = self.max_tokens_per_actor {
            lines.push(format!("  maximum tokens per actor: {tokens}"));
        }
        if let Some(seconds) = self.leeway {
            lines.push(format!("  leeway: {seconds} s"));
        }
        let shown = |value: Option<u64>| value.map_or_else(|| "automatic".to_owned(), |value| value.to_string());
        for Limit { setting, value, default } in &self.limits {
            lines.push(format!("  limits.{setting}: {} (default: {})", shown(*value), shown(*default)));
        }
        if !self.pinned {
            lines.push("  not pinned; to pin it, add `sha256` with the digest above".to_owned());
        }
        lines
    }
}

/// Describes a component by its exports.
fn kind(exports: &BTreeSet<String>) -> &'static str {
    match (exports.contains("token-handler"), exports.contains("session-handler")) {
        (true, true) => "token and session handler",
        (false, _) => "session handler",
        (true, false) => "token handler",
    }
}

impl Report {
    fn text(&self) -> Vec<String> {
        let mut lines = vec![
            format!("{}: a {}", self.component, kind(&self.exports)),
            format!("size: {} bytes", self.bytes),
            format!("SHA-256: {}", self.sha256),
            format!("imports: {}", list_items(&self.asks_for)),
        ];
        if !self.wasi.is_empty() {
            lines.push(format!("WASI: {}", list_items(&self.wasi)));
        }
        lines.push(format!("settings: {}", list_items(&self.settings)));
        lines.extend(self.warnings.iter().map(|warning| format!("WARNING: {warning}")));
        match self.handlers.as_deref() {
            None => {}
            Some([]) => lines.push("no handler of the configuration uses it".to_owned()),
            Some(uses) => lines.extend(uses.iter().flat_map(Use::text)),
        }
        lines
    }
}
