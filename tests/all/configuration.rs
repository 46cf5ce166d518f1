//! The JSON Schema of the configuration, and docs/configuration.md, which is written from it,
//! compared with the parser, and with every configuration in the repository.

mod page;

use crate::bad_input;
use crate::support;
use boon::{Compiler, SchemaIndex, Schemas};
use keyward_cli::config::{Config, schema};
use keyward_runtime::clock::SystemClock;
use keyward_runtime::{Actors, HandlerConfig, Registry, Runtime, RuntimeLimits};
use keyward_tests::cli::Folder;
use keyward_tests::hostile;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// A configuration with every section, in which settings are changed.
const BASE: &str = r#"
keys.main.secret = { file = "secret.key" }
handlers = [{ name = "h", component = "benign.wasm", actors = "any", keys.token.ring = "main", queries.q = "tokens", http.s = "site", session.ttl_seconds = 60, public_keys.k = { set = "idp", algorithms = ["RS256"] } }]
key_sets.idp = { url = "https://idp.example/jwks.json" }
actions.view-table = "vt"
store.sqlite = "keyward.db"
audit.file = "audit.jsonl"
cache = { folder = "cache", key = "cache.key" }
endpoints.site = { url = "https://site.example/api" }
queries.tokens = { sqlite = "tokens.db", sql = "select 1" }
server.tls = { certificate = "tls.pem", key = "tls.key" }
clients.app = { secret_sha256 = "0000000000000000000000000000000000000000000000000000000000000000", may = ["verify"] }
policies.readers = { action = "view-table", session = "h" }
"#;

/// Added to parts of a configuration, which have no handler.
const HANDLER: &str = "\n[[handlers]]\nname = \"h\"\ncomponent = \"builtin:signed\"\n";

/// The configurations of `tests/cases/bad-input` that the schema accepts, with the reason.
const UNSEEN: &[(&str, &[&str])] = &[
    (
        "the mistake is in a file or variable that the configuration names, or in its component",
        &[
            "core-module",
            "digest-mismatch",
            "empty-file",
            "handler-file-missing",
            "hardcoded-under-foreign-prefix",
            "key-file-is-a-folder",
            "key-raw-public",
            "key-set-ca-is-no-certificate",
            "key-set-certificate",
            "key-set-encryption-key",
            "key-set-file-missing",
            "key-set-not-granted",
            "key-set-private-key",
            "key-set-writable-by-others",
            "key-variable-empty",
            "key-variable-not-set",
            "keys-not-granted",
            "keys-pending-file-missing",
            "keys-secret-twice",
            "precompiled",
            "previous-key-too-short",
            "query-file-missing",
            "query-not-granted",
            "query-table-missing",
            "query-url",
            "secrets-not-granted",
            "setting-negative",
            "setting-of-another-type",
            "store-not-asked-for",
            "text-file",
            "tls-file-missing",
            "tls-key-readable-by-others",
            "tls-no-certificate",
            "unknown-setting",
            "wasi",
        ],
    ),
    (
        "two settings contradict each other, or one refers to another that does not exist",
        &[
            "cache-key-in-the-folder",
            "cache-not-configured",
            "client-delegates-nothing",
            "client-edits-blindly",
            "client-handler-missing",
            "client-max-tokens-no-store",
            "client-secret-twice",
            "endpoint-missing",
            "endpoint-repeats-a-parameter",
            "endpoint-slower-than-its-handler",
            "endpoint-unused",
            "policy-session-missing",
            "session-sends-host",
            "session-with-a-prefix",
            "session-without-actors",
            "key-raw-shared",
            "key-set-missing",
            "key-set-too-old-before-refresh",
            "key-set-unused",
            "key-shared",
            "keys-file-twice",
            "keys-id-twice",
            "keys-none-active",
            "keys-two-active",
            "keys-without-secret",
            "max-idle-no-store",
            "name-twice",
            "no-prefix-twice",
            "policy-action-short",
            "policy-action-unknown",
            "prefix-claimed-twice",
            "query-missing",
            "query-unused",
            "ring-missing",
            "server-same-address",
        ],
    ),
    (
        "the text has a syntax of its own",
        &[
            "key-set-private-is-everything",
            "key-set-private-names-a-host",
            "key-set-url-with-a-user",
            "policy-path",
            "query-label",
            "query-no-select",
            "query-other-parameter",
            "query-two-statements",
            "server-header-taken",
            "server-hosts-with-port",
            "server-issuer-without-tls",
            "server-listen-no-address",
            "server-trusted-proxy-by-name",
        ],
    ),
    ("a date is text in JSON", &["config-date"]),
];

struct Validator {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Validator {
    fn new() -> Self {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        compiler.add_resource("schema.json", schema()).unwrap();
        let index = compiler.compile("schema.json", &mut schemas).unwrap();
        Self { schemas, index }
    }

    fn check(&self, config: &Value) -> Result<(), String> {
        self.schemas.validate(config, self.index).map_err(|error| format!("{error:#}"))
    }
}

/// A setting, at a JSON pointer into [`BASE`].
struct Setting {
    pointer: String,
    schema: Value,
}

/// Returns every setting and section below `schema`.
fn settings(schema: &Value, pointer: &str, base: &Value, found: &mut Vec<Setting>) {
    found.push(Setting { pointer: pointer.to_owned(), schema: schema.clone() });
    if let Some(properties) = schema["properties"].as_object() {
        for (name, property) in properties {
            settings(property, &format!("{pointer}/{name}"), base, found);
        }
    } else if schema["additionalProperties"].is_object() {
        let keys = base.pointer(pointer).and_then(Value::as_object);
        let name = keys.and_then(|keys| keys.keys().next().cloned()).unwrap_or_else(|| "name".to_owned());
        settings(&schema["additionalProperties"], &format!("{pointer}/{name}"), base, found);
    } else if schema["items"].is_object() {
        settings(&schema["items"], &format!("{pointer}/0"), base, found);
    } else if schema["title"].is_null() {
        for form in schema["anyOf"].as_array().into_iter().flatten().filter(|form| form["properties"].is_object()) {
            settings(form, pointer, base, found);
        }
    }
}

fn every_setting() -> Vec<Setting> {
    let mut found = Vec::new();
    settings(&schema(), "", &base(), &mut found);
    assert!(found.len() > 100, "{}", found.len());
    found
}

fn base() -> Value {
    toml::from_str(BASE).unwrap()
}

/// Returns [`BASE`] with one more setting.
fn with(pointer: &str, value: Value) -> Value {
    let mut config = base();
    let mut place = &mut config;
    for step in pointer.split('/').skip(1) {
        if step == "0" {
            if !place.is_array() {
                *place = json!([{}]);
            }
            place = &mut place[0];
        } else {
            if !place.is_object() {
                *place = json!({});
            }
            place = &mut place[step];
        }
    }
    *place = value;
    config
}

/// Returns a configuration with one line for each top-level setting, so that no line moves when
/// another setting is added.
fn lines(config: &Value) -> String {
    config.as_object().unwrap().iter().map(|(name, value)| format!("{name} = {}\n", inline(value))).collect()
}

/// Returns a value as TOML.
fn inline(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| format!("{name} = {}", inline(value)));
            format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// Returns what the parser makes of a configuration, without the numbers of lines.
fn parsed(config: &Value) -> String {
    let text = lines(config);
    let shown = format!("{:#?}", Config::parse(&text).unwrap_or_else(|error| panic!("{error:?}\n{text}")));
    let mut kept = String::new();
    let mut lines = shown.lines().map(str::trim);
    while let Some(line) = lines.next() {
        match line {
            // `line: Some(` is followed by the number and `),`.
            "line: Some(" => drop(lines.nth(1)),
            line if line.starts_with("line: ") => {}
            line => kept.extend([line, "\n"]),
        }
    }
    kept
}

/// Returns the schema of the whole numbers that a setting can be.
fn number(schema: &Value) -> Option<&Value> {
    let mut forms = std::iter::once(schema).chain(schema["anyOf"].as_array().into_iter().flatten());
    forms.find(|form| form["type"] == "integer")
}

static BENIGN: LazyLock<Vec<u8>> = LazyLock::new(|| hostile::case("benign").bytes);

/// Returns whether the number of a setting is accepted: by the parser, and those of handlers also
/// by the runtime, which loads them.
fn accepts(runtime: &Runtime, folder: &Folder, pointer: &str, value: i64) -> bool {
    let mut config = with(pointer, value.into());
    if pointer.ends_with("/max_stale_seconds") {
        // The other setting may not be greater.
        config["key_sets"]["idp"]["refresh_seconds"] = 10.into();
    }
    if Config::parse(&lines(&config)).is_err() {
        return false;
    }
    if let Some(name) = pointer.strip_prefix("/handlers/0/limits/") {
        let mut handler = HandlerConfig::new("h", BENIGN.clone(), Actors::Any);
        assert!(handler.limits.set(name, value.try_into().unwrap()));
        let loaded = Registry::builder(runtime).handler(handler).build();
        return !loaded.is_err_and(|error| error.code() == "bad-limit");
    }
    if !pointer.ends_with("/max_idle") {
        return true;
    }
    // The program would look for these.
    config["handlers"][0]
        .as_object_mut()
        .unwrap()
        .retain(|name, _| !["queries", "public_keys", "http"].contains(&name.as_str()));
    config
        .as_object_mut()
        .unwrap()
        .retain(|name, _| !["key_sets", "queries", "endpoints", "server"].contains(&name.as_str()));
    folder.write("keyward.toml", lines(&config), 0o644);
    folder.write("secret.key", "only-for-tests-only-for-tests-only-for-test\n", 0o600);
    folder.write("benign.wasm", BENIGN.as_slice(), 0o644);
    let checked = folder.run(&["check", "benign.wasm", "--config", "keyward.toml"], "");
    !checked.stderr.contains("`max_idle` is less than")
}

#[test]
fn the_parser_accepts_the_ranges_of_the_schema_and_nothing_else() {
    let folder = Folder::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("configuration"));
    let runtime = support::runtime(RuntimeLimits::default(), SystemClock);
    // Compiles the component once.
    let handler = HandlerConfig::new("h", BENIGN.clone(), Actors::Any);
    let _held = Registry::builder(&runtime).handler(handler).build().unwrap();
    let mut numbers = 0;
    for Setting { pointer, schema } in every_setting() {
        let Some(number) = number(&schema) else { continue };
        numbers += 1;
        let min = number["minimum"].as_i64().unwrap_or_else(|| panic!("{pointer} has no minimum"));
        let max = number["maximum"].as_i64();
        // No component is small enough to show the minimum.
        let min = Some(min).filter(|_| !pointer.ends_with("/component_bytes"));
        let inside = min.into_iter().chain(max);
        let outside = min.map(|min| min - 1).into_iter().chain(max.map(|max| max + 1));
        for (value, wanted) in inside.map(|value| (value, true)).chain(outside.map(|value| (value, false))) {
            assert_eq!(accepts(&runtime, &folder, &pointer, value), wanted, "{pointer} = {value}");
        }
    }
    assert!(numbers > 40, "{numbers}");
}

/// Defaults that the library applies, and the parser does not.
const LATER: [&str; 1] = ["/handlers/0/leeway"];

#[test]
fn the_parser_has_the_defaults_of_the_schema() {
    let omitted = parsed(&base());
    for Setting { pointer, schema } in every_setting() {
        let Some(default) = schema.get("default").filter(|_| !LATER.contains(&pointer.as_str())) else { continue };
        assert_eq!(parsed(&with(&pointer, default.clone())), omitted, "{pointer} = {default}");
        let other = match (default.as_u64(), default.as_bool()) {
            (Some(number), _) => json!(number + 1),
            (_, Some(switch)) => json!(!switch),
            _ => continue,
        };
        assert_ne!(parsed(&with(&pointer, other)), omitted, "{pointer} is not {default}");
    }
}

#[test]
fn the_parser_has_the_settings_of_the_schema() {
    for Setting { pointer, schema } in every_setting() {
        let names: Vec<_> = match schema["properties"].as_object() {
            Some(properties) => properties.keys().collect(),
            None => {
                let forms = schema["anyOf"].as_array().into_iter().flatten();
                forms.filter_map(|form| form["properties"].as_object()).flat_map(|set| set.keys()).collect()
            }
        };
        if names.is_empty() {
            continue;
        }
        let error = Config::parse(&lines(&with(&format!("{pointer}/zzz"), json!(1)))).unwrap_err().text;
        let known: Vec<_> = error.split('`').skip(1).step_by(2).collect();
        assert!(error.starts_with("unknown field `zzz`"), "{pointer}: {error}");
        assert_eq!(known[1..], names, "{pointer}");
    }
}

#[test]
fn the_parser_requires_what_the_schema_requires() {
    let validator = Validator::new();
    for Setting { pointer, schema } in every_setting() {
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let mut config = base();
            let Some(Value::Object(section)) = config.pointer_mut(&pointer) else { continue };
            let Some(_) = section.shift_remove(name) else { continue };
            assert!(Config::parse(&lines(&config)).is_err(), "{pointer}/{name}");
            assert!(validator.check(&config).is_err(), "{pointer}/{name}");
        }
    }
}

/// Returns the path and the text of each configuration in the repository, and of each part of one
/// in its pages.
fn examples() -> Vec<(String, String)> {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, found);
            } else {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut paths = vec![root.join("README.md"), root.join("SECURITY.md"), root.join("cli/src/default.toml")];
    collect(&root.join("examples"), &mut paths);
    collect(&root.join("docs"), &mut paths);
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        let text = || fs::read_to_string(&path).unwrap();
        // These have lines of a handler, without its table.
        if name.contains("docs/errors/") {
            continue;
        }
        if name.ends_with(".md") {
            for (number, block) in text().split("```toml\n").skip(1).enumerate() {
                found.push((format!("{name}, block {}", number + 1), block.split("```").next().unwrap().to_owned()));
            }
        } else if name.ends_with(".toml") && !["pyproject.toml", "Cargo.toml"].iter().any(|end| name.ends_with(end)) {
            found.push((name, text()));
        }
    }
    found
}

#[test]
fn the_schema_accepts_every_configuration_in_the_repository() {
    let (validator, digest) = (Validator::new(), "0".repeat(64));
    let examples = examples();
    let mut wrong = Vec::new();
    for (name, text) in &examples {
        let mut text = text.clone();
        for placeholder in ["…", "DIGEST", "ADMIN_SHA256"] {
            text = text.replace(&format!("sha256 = \"{placeholder}\""), &format!("sha256 = \"{digest}\""));
        }
        if !text.contains("[[handlers]]") {
            text += HANDLER;
        }
        let config = toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        if let Err(error) = validator.check(&config) {
            wrong.push(format!("{name}: {error}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(examples.len() >= 14, "{}", examples.len());
}

#[test]
fn the_schema_refuses_the_mistakes_that_it_can_see() {
    let validator = Validator::new();
    let unseen = |name: &str| UNSEEN.iter().any(|(_, names)| names.contains(&name));
    let (mut wrong, mut refused) = (Vec::new(), 0);
    for (name, config) in bad_input::configurations() {
        let accepted = toml::from_str(&config).is_ok_and(|config| validator.check(&config).is_ok());
        refused += usize::from(!accepted);
        match (accepted, unseen(&name)) {
            (true, false) => wrong.push(format!("{name}: accepted, without a reason in UNSEEN")),
            (false, true) => wrong.push(format!("{name}: refused, although it is in UNSEEN")),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(refused > 20, "{refused}");
}

#[test]
fn the_command_prints_the_schema() {
    let folder = Folder::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("configuration-schema"));
    let ran = folder.run(&["config", "schema"], "");
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""));
    assert_eq!(serde_json::from_str::<Value>(&ran.stdout).unwrap(), schema());
}
