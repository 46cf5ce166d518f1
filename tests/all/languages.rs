//! The author kit, in each language from an empty folder to the daemon: the commands of its page in
//! `docs/authors/`, and tokens that the handlers of all languages verify.

use crate::authors;
use keyward_kit::Language;
use keyward_server::SecretDigest;
use keyward_tests::cli::Folder;
use keyward_tests::daemon::Daemon;
use keyward_tests::http::Request;
use keyward_tests::page::Page;
use keyward_tests::peers;
use serde_json::{Value, json};
use std::env;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

const PREFIX: &str = "acme_";
const SECRET: &str = "kwc_only-for-tests-only-for-tests-only-for-tes";

/// Components of two languages are snapshots of interpreters, which take a minute to compile in a
/// development build.
const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"

[keys.main]
secret = { file = "secret.key" }

[cache]
folder = "cache"
key = "cache.key"

[[handlers]]
name = "LANGUAGE"
component = "LANGUAGE/acme-tokens/acme-tokens.component.wasm"
prefixes = ["acme_"]
keys.token = { ring = "main", namespace = "acme" }
actors = ["ann"]
limits = { cpu_ms = 2000, wall_ms = 20000 }
wasi = WASI

[clients.app]
secret_sha256 = "DIGEST"
may = ["create", "verify"]
"#;

#[test]
fn each_language_goes_from_an_empty_folder_to_the_daemon() {
    let folder = Folder::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("languages"));
    folder.write("secret.key", "only-for-tests-only-for-tests-only-for-test\n", 0o600);
    folder.write("cache.key", "b25seS1mb3ItdGVzdHMtb25seS1mb3ItdGVzdHMtb25\n", 0o600);
    fs::DirBuilder::new().mode(0o700).create(folder.path().join("cache")).unwrap();
    let languages: Vec<_> = Language::ALL.into_iter().filter(|language| is_installed(*language)).collect();
    for language in &languages {
        build(&folder, *language);
    }
    let daemons: Vec<_> = languages.iter().map(|language| (*language, serve(&folder, *language))).collect();
    let restrictions = json!({ "all": ["view-instance"], "resource": { "db": { "a \"table\"": ["insert-row"] } } });
    for (issuer, daemon) in &daemons {
        let request = json!({ "actor": "ann", "expires_after": 3600, "restrictions": restrictions });
        let response = ask(daemon, "/v1/tokens", &request);
        let token = response["token"].as_str().unwrap_or_else(|| panic!("{issuer}: {response}"));
        assert!(token.starts_with(PREFIX), "{issuer}");
        let (middle, last) = (token.len() / 2, token.len() - 8);
        let other = if token[middle..].starts_with('A') { "B" } else { "A" };
        let tampered = format!("{}{other}{}", &token[..middle], &token[middle + 1..]);
        for (verifier, daemon) in &daemons {
            let tokens = json!({ "tokens": [token, tampered, &token[..last], "acme_", "other"] });
            let response = ask(daemon, "/v1/verify", &tokens);
            let outcomes = response["outcomes"].as_array().unwrap_or_else(|| panic!("{verifier}: {response}"));
            let actor = &outcomes[0]["actor"];
            assert_eq!(actor["id"], "ann", "{issuer}'s by {verifier}: {response}");
            assert_eq!(actor["_r"]["r"]["db"]["a \"table\""], json!(["insert-row"]), "{issuer}'s by {verifier}");
            let words: Vec<_> = outcomes.iter().map(|outcome| outcome["outcome"].as_str().unwrap()).collect();
            assert_eq!(words, ["accepted", "rejected", "rejected", "rejected", "not-mine"], "{issuer}'s by {verifier}");
            assert_eq!(outcomes[0]["token_id"].as_str().map(str::len), Some(22), "{issuer}'s by {verifier}");
        }
    }
}

/// Returns whether the tools of a language are installed.
fn is_installed(language: Language) -> bool {
    let has = |name: &str| peers::program(name).is_some();
    let installed = match language {
        Language::Python => has("componentize-py"),
        Language::Js | Language::Ts => peers::template_packages().is_some() && has("npm"),
        Language::C => has("clang-22") && has("make"),
        Language::Go => has("go"),
        _ => true,
    };
    if !installed {
        peers::skip(language.as_str(), "its tools are not installed");
    }
    installed
}

/// Follows the page of a language, which creates, tests and builds a project, and checks what the
/// daemon does with its component.
fn build(folder: &Folder, language: Language) {
    let projects = folder.path().join(language.as_str());
    fs::create_dir(&projects).unwrap();
    let node_modules = || format!("ln -s '{}' node_modules", peers::template_packages().unwrap().display());
    let (page, setup) = match language {
        Language::Rust => ("rust.md", authors::lock()),
        Language::Python => ("python.md", String::new()),
        Language::Js | Language::Ts => ("javascript.md", node_modules()),
        Language::C => ("c.md", String::new()),
        Language::Go => ("go.md", String::new()),
        other => panic!("{other}"),
    };
    // The page of JavaScript is also that of TypeScript.
    let output = Page::read(page, &[("--lang js", &format!("--lang {language}"))]).follow(&projects, &setup);
    assert!(!output.contains("WARNING"), "{output}");
    let config = CONFIG
        .replace("LANGUAGE", language.as_str())
        .replace("WASI", &language.needs_wasi().to_string())
        .replace("DIGEST", &SecretDigest::of(SECRET).to_hex());
    folder.write(&format!("{language}.toml"), config, 0o644);
    // Compiles it, into the cache.
    let (file, config) = (format!("{language}/acme-tokens/acme-tokens.component.wasm"), format!("{language}.toml"));
    let checked = folder.run(&["check", &file, "--config", &config], "");
    assert_eq!(checked.status, 0, "{checked:?}");
    assert!(!checked.stdout.contains("NOT granted") && !checked.stdout.contains("WARNING"), "{checked:?}");
    let measured = folder.run(&["bench", &file, "--json"], "");
    assert_eq!(measured.status, 0, "{measured:?}");
    let report: Value = serde_json::from_str(&measured.stdout).unwrap();
    let calls: Vec<_> = report["calls"].as_array().unwrap().iter().map(|row| row["call"].as_str().unwrap()).collect();
    assert_eq!(calls, ["issue", "verify"], "{language}: {report}");
}

fn serve(folder: &Folder, language: Language) -> Daemon {
    Daemon::start(folder, &format!("{language}.toml"))
}

fn ask(daemon: &Daemon, path: &str, body: &Value) -> Value {
    Request::json(path, body).basic("app", SECRET).send(daemon.service()).json()
}
