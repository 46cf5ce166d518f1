//! The world of `world.rs` for the program: tests of a whole process, its memory, its files and its
//! log.

use super::world::{BOTS, CALLERS, HOSTILE, KEY, bot_token, secret, token};
use keyward_server::SecretDigest;
use keyward_tests::cli::Folder;
use keyward_tests::daemon::Daemon;
use keyward_tests::hostile;
use keyward_tests::http::Request;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Creates a folder with a configuration of the world; `limits` are lines of `[server.limits]`,
/// `server` of `[server]`.
pub(crate) fn folder(name: &str, server: &str, limits: &str) -> Folder {
    let folder = Folder::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("http").join(name));
    folder.write("secret.key", KEY, 0o600);
    for (name, _, case) in HOSTILE {
        folder.write(&format!("{name}.wasm"), hostile::case(case).bytes, 0o644);
    }
    for name in BOTS.as_object().unwrap().keys() {
        folder.write(&bot_file(name), bot_token(name), 0o600);
    }
    folder.write("keyward.toml", configuration(server, limits), 0o644);
    folder
}

fn bot_file(name: &str) -> String {
    format!("bot-{}.key", name.replace(' ', "-"))
}

/// Returns the configuration as text.
pub(crate) fn configuration(server: &str, limits: &str) -> String {
    let mut text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n{server}\n\n[server.limits]\n{limits}\n\n\
         [keys.main]\nsecret = {{ file = \"secret.key\" }}\n\n[[handlers]]\nname = \"signed\"\ncomponent = \
         \"builtin:signed\"\nprefixes = [\"dstok_\"]\nkeys.token = {{ ring = \"main\", scheme = \"itsdangerous\", namespace \
         = \"token\" }}\n\n[[handlers]]\nname = \"bots\"\ncomponent = \"builtin:hardcoded\"\nactors = \"any\"\n"
    );
    let actors = BOTS.as_object().unwrap();
    for name in actors.keys() {
        writeln!(text, "secrets.{name:?} = {{ file = {:?} }}", bot_file(name)).unwrap();
    }
    for (name, actor) in actors {
        writeln!(text, "settings.actors.{name:?} = {}", inline(actor)).unwrap();
    }
    for (name, prefix, _) in HOSTILE {
        writeln!(
            text,
            "\n[[handlers]]\nname = {name:?}\ncomponent = \"{name}.wasm\"\nprefixes = [{prefix:?}]\nactors = \"any\""
        )
        .unwrap();
    }
    // A configured client must have at least one right.
    for (id, may, handlers) in CALLERS.into_iter().filter(|(_, may, _)| !may.is_empty()) {
        let digest = SecretDigest::of(&secret(id)).to_hex();
        let may: Vec<_> = may.split_whitespace().collect();
        writeln!(text, "\n[clients.{id}]\nsecret_sha256 = \"{digest}\"\nmay = {may:?}").unwrap();
        if let Some(name) = handlers {
            writeln!(text, "handlers = [{name:?}]").unwrap();
        }
    }
    text.push_str(
        "\n[policies]\nmembers = \"any\"\norders = { action = \"insert-row\", database = \"shop\", resource = \"orders\" }\n\
         \n[actions]\nview-instance = \"vi\"\nview-table = \"vt\"\ninsert-row = \"ir\"\n",
    );
    text
}

/// Formats JSON as TOML on one line.
fn inline(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Object(members) => {
            let members: Vec<_> = members.iter().map(|(name, value)| format!("{name:?} = {}", inline(value))).collect();
            format!("{{ {} }}", members.join(", "))
        }
        serde_json::Value::Array(values) => format!("[{}]", values.iter().map(inline).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

/// Asserts that a valid token, an invalid one and a foreign one get the usual responses.
pub(crate) fn is_as_ever(daemon: &Daemon) {
    let actor = |name: &str| Request::get("/v1/actor").bearer(token(name)).send(daemon.service());
    let good = actor("good");
    assert_eq!((good.status, &good.json()["actor"]["id"]), (200, &"root".into()), "{good:?}");
    assert_eq!(actor("forged").status, 401);
    assert_eq!(actor("nobody").json()["actor"], serde_json::Value::Null);
}

/// Asserts that the daemon has not panicked.
pub(crate) fn has_not_panicked(daemon: &Daemon) {
    let log = daemon.stderr();
    assert!(!log.contains("panicked"), "{log}");
}

/// Raises this process's limit of open files to its maximum, and returns the number of connections
/// it allows with both ends in this process.
pub(crate) fn connections_at_hand() -> usize {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    let files = getrlimit(Resource::Nofile).current.unwrap_or(1 << 20);
    usize::try_from(files.saturating_sub(500) / 2).unwrap()
}

/// Processes many inputs on several threads.
pub(crate) fn for_each<T: Send + Sync>(inputs: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Some(input) = inputs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(input);
                }
            });
        }
    });
}
