//! The layers of each crate: which modules may use which.

use super::Source;
use std::collections::BTreeMap;

/// The modules of each crate from the bottom up. A module uses only modules of earlier lines, its
/// ancestors and its descendants. An unlisted module is in the line of its parent.
const LAYERS: &[(&str, &[&[&str]])] = &[
    (
        "runtime",
        &[
            &[
                "actor",
                "checksum",
                "clock",
                "counts",
                "i_json",
                "key_sets::roca",
                "limits",
                "revocation_list::kept",
                "sanitize",
                "session",
                "sync",
                "token",
                "token_pattern",
                "usage",
            ],
            &["http", "peaks", "revocation_list::pace", "store::error"],
            &["error"],
            &["component::bound", "component::imports", "component::setting", "component::source"],
            &["component::code"],
            &["compile::cache", "compile::output", "compile::reply"],
            &["artifact", "compile::cage", "compile::worker"],
            &["compile", "compile::child", "engine"],
            &[
                "admission",
                "breaker",
                "component",
                "component::shape",
                "key_sets",
                "key_sets::jwk",
                "key_sets::pem",
                "key_sets::remote",
                "keys",
                "keys::signer",
                "store::testing::conformance::support",
                "store::testing::listing",
                "store::testing::tickets",
                "verdict",
                "verdict_cache",
            ],
            &["session_cache", "session_flights"],
            &["hook", "registry::redact", "restrictions", "slice", "store::record"],
            &["store"],
            &["host::output", "lane", "policy", "queries", "registry::presented", "revocation_list::cutoffs"],
            &["revocation_list", "revocation_list::snapshot"],
            &["bindings", "conduct", "grants", "model", "revocation_list::pending_writes"],
            &["host::log", "host::random"],
            &["host", "pool"],
            &["handler::verify_record", "runtime"],
            &["sandbox"],
            &["handler", "handler::identify", "handler::issue"],
            &["registry::actions", "registry::revocations"],
            &["registry", "registry::builder", "registry::jwk_set", "registry::tokens"],
            &["proofs"],
        ],
    ),
    (
        "server",
        &[
            &[
                "completed",
                "credential",
                "endpoints",
                "invalid_value",
                "peer",
                "proxied_request",
                "routes::tokens::restrictions",
            ],
            &["session_cookies"],
            &["tls"],
            &["config"],
            &["http1", "identity_headers", "rate_limits", "slots"],
            &["error", "metrics"],
            &["context"],
            &["body", "decision_log"],
            &["client"],
            &["visibility"],
            &["decision"],
            &[
                "routes::forward",
                "routes::revocations",
                "routes::session",
                "routes::tokens",
                "routes::tokens::token",
                "routes::verify",
            ],
            &["routes::openapi", "routes::tokens::list", "routes::tokens::rotate"],
            &["pages", "routes"],
            &["service"],
            &["admin", "refresh"],
            &["connection"],
        ],
    ),
    (
        "service",
        &[
            &[
                "audited_change",
                "key_set_notes",
                "key_set_report",
                "metrics",
                "named",
                "outcome",
                "session_body",
                "unrecorded",
            ],
            &["operations"],
        ],
    ),
    (
        "pages",
        &[
            &["config", "request", "words"],
            &["once", "origin"],
            &["person"],
            &["response"],
            &["fields", "login"],
            &["list"],
            &["create"],
            &["token"],
        ],
    ),
    (
        "fetch",
        &[&["address", "error", "resolve", "thread"], &["endpoint"], &["client"], &["http", "key_sets"], &["fetcher"]],
    ),
    (
        "store",
        &[
            &["database", "last_used", "location", "notify", "queries::error", "queries::text"],
            &["connect", "queries", "queries::answer", "record_row"],
            &["pool", "queries::connection_pool"],
            &["nodes", "revocations", "tickets"],
            &["clock", "listing"],
            &["records", "upkeep"],
            &["import"],
        ],
    ),
    (
        "audit",
        &[
            &["allowance", "entry", "pending", "storage", "time"],
            &["dropped", "head"],
            &["files"],
            &["body"],
            &["line"],
            &["read", "tail"],
            &["retention", "verify"],
            &["chain"],
            &["queue"],
            &["writer"],
        ],
    ),
    (
        "cli",
        &[
            &["config::remote", "config::schema", "date"],
            &[
                "args",
                "args::audit",
                "args::cache",
                "args::config",
                "args::doctor",
                "args::keys",
                "args::login",
                "args::sessions",
                "args::store",
                "args::tokens",
                "builtin",
                "config",
                "config::access",
                "config::audit",
                "config::cache",
                "config::endpoints",
                "config::key_sets",
                "config::keys",
                "config::message",
                "config::queries",
                "config::session",
                "config::store",
                "daemon",
                "limits",
                "log",
                "log::line",
                "log::queue",
                "output",
                "private_file",
                "serve::watch",
            ],
            &["config::handlers", "config::server", "config_file", "keygen", "shell"],
            &["config::pages"],
            &["audit", "audit_log", "cache", "client", "pending_file", "remote", "store"],
            &["key_sets"],
            &["keys::sets"],
            &["assemble", "keys", "login", "serve::first_start", "serve::keep_pending", "serve::listen", "upkeep"],
            &["doctor", "doctor::machine"],
            &["trial::cases_file"],
            &["trial::stubs"],
            &["trial"],
            &["conformance::lab"],
            &["conformance::checks"],
            &[
                "bench",
                "check",
                "conformance",
                "create",
                "explain",
                "kit",
                "serve",
                "serve::reload",
                "status",
                "verify",
            ],
            &["tokens", "tokens::import", "tokens::records"],
            &["sessions"],
        ],
    ),
    (
        "sdk",
        &[
            &["bindings", "build", "convert", "memory", "panic_hook", "testing", "testing::records"],
            &["host", "session_bindings"],
        ],
    ),
    ("kit", &[&["encode", "language"], &["template"], &["project"]]),
];

/// Rejects modules without a line, and uses against the order.
pub(super) fn check(sources: &[Source], wrong: &mut Vec<String>) {
    for (name, layers) in LAYERS {
        let folder = format!("{name}/src/");
        let modules: BTreeMap<String, &Source> = sources
            .iter()
            .filter_map(|source| {
                let module = source.path.strip_prefix(&folder)?.strip_suffix(".rs")?.replace('/', "::");
                (!["lib", "main"].contains(&module.as_str()) && !module.split("::").any(|part| part.ends_with("tests")))
                    .then_some((module, source))
            })
            .collect();
        for (module, Source { path, text }) in &modules {
            let Some(own) = layer(layers, module) else {
                wrong.push(format!("{path}: has no line in the layers of its crate (xtask/src/tidy/layers.rs)"));
                continue;
            };
            let code = plain(without_tests(text));
            for used in used_by(module, &code, |name| modules.contains_key(name)) {
                let is_family = is_within(&used, module) || is_within(module, &used);
                if !is_family && layer(layers, &used).is_none_or(|layer| layer >= own) {
                    wrong.push(format!("{path}: uses `{used}`, which is not in a layer below"));
                }
            }
        }
    }
}

fn layer(layers: &[&[&str]], module: &str) -> Option<usize> {
    let own = layers.iter().position(|modules| modules.contains(&module));
    own.or_else(|| layer(layers, module.rsplit_once("::")?.0))
}

fn is_within(module: &str, ancestor: &str) -> bool {
    module.strip_prefix(ancestor).is_some_and(|rest| rest.starts_with("::") || rest.is_empty())
}

/// Returns the part of a file before its tests.
pub(super) fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod ").next().unwrap_or(text)
}

/// Returns code without comments and strings, which may contain any name.
fn plain(code: &str) -> String {
    let mut text = String::with_capacity(code.len());
    for line in code.lines() {
        let line = line.split("//").next().unwrap_or_default();
        // Strings over several lines do not contain module paths.
        text.extend(line.split('"').step_by(2));
        text.push('\n');
    }
    text
}

/// Returns the modules that a module names by a path, in declarations and in code.
fn used_by(module: &str, code: &str, is_module: impl Fn(&str) -> bool) -> Vec<String> {
    let mut used = Vec::new();
    let own: Vec<&str> = module.split("::").collect();
    let parent = own.split_last().map_or(&[][..], |(_, parent)| parent);
    for (start, base) in [("crate::", &[][..]), ("super::", parent), ("self::", &own)] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let mut path: Vec<String> = base.iter().map(|&part| part.to_owned()).collect();
            let mut rest = &code[at + start.len()..];
            while let Some(next) = rest.strip_prefix("super::").filter(|_| start == "super::") {
                path.pop();
                rest = next;
            }
            paths(rest, &mut path, &mut |path| used.extend(longest(path, &is_module)));
        }
    }
    used.retain(|used| used != module);
    used.sort();
    used.dedup();
    used
}

/// Reads one path, or the paths within braces, and returns how many bytes it took.
fn paths(text: &str, path: &mut Vec<String>, found: &mut impl FnMut(&[String])) -> usize {
    if text.starts_with('{') {
        let mut at = 1;
        while at < text.len() && !text[at..].starts_with('}') {
            let read = paths(&text[at..], path, found);
            at += read.max(1);
            at += text[at..].find([',', '}']).unwrap_or_default();
            at += text[at..].len() - text[at..].trim_start_matches(|c: char| c == ',' || c.is_whitespace()).len();
        }
        return at + 1;
    }
    let name = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    if name == 0 {
        found(path);
        return 0;
    }
    path.push(text[..name].to_owned());
    let read = match text[name..].strip_prefix("::") {
        Some(rest) => name + 2 + paths(rest, path, found),
        None => {
            found(path);
            name
        }
    };
    path.pop();
    read
}

/// Returns the module that a path begins with.
fn longest(path: &[String], is_module: impl Fn(&str) -> bool) -> Option<String> {
    (1..=path.len()).rev().filter_map(|len| Some(path.get(..len)?.join("::"))).find(|name| is_module(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_in_declarations_and_in_code() {
        let code = "use crate::a::{self, B};\nuse super::{c::D, e};\nfn f() { crate::g::h(); other::crate_::i(); self::j::k() }";
        let is_module = |name: &str| ["a", "m::c", "m::e", "g", "m::n::j"].contains(&name);
        assert_eq!(used_by("m::n", code, is_module), ["a", "g", "m::c", "m::e", "m::n::j"]);
    }

    #[test]
    fn a_use_against_the_order_is_refused() {
        let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
        let mut wrong = Vec::new();
        check(&[source("audit/src/head.rs", "use crate::writer::W;"), source("audit/src/writer.rs", "")], &mut wrong);
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        check(&[source("audit/src/new.rs", "")], &mut wrong);
        assert_eq!(wrong.len(), 2, "{wrong:?}");
    }
}
