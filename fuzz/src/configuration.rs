//! The configuration file, as the command reads it.

use keyward_cli::config::Config;
use keyward_cli::{ExitStatus, Io, run};
use std::ffi::OsString;
use tempfile::TempDir;

/// A text that looks like a secret in a configuration, and must not occur in an error.
const SECRET: &str = "correct-horse-battery-staple";

/// Places in which an operator could put a secret by mistake. The first byte of an input selects
/// one.
const MISTAKES: [[&str; 2]; 13] = [
    ["[keys.main]\nsecret = \"", "\"\n"],
    ["[keys.main]\nsecret = '", "'\n"],
    ["[keys.main]\nsecret = { file = \"f\" }\nprevious = [\"", "\"]\n"],
    ["[keys.main]\nsecret = [\"", "\"]\n"],
    ["[keys.main]\nsecret = { value = \"", "\" }\n"],
    ["[keys.main]\nsecret = { file = 1, env = \"", "\" }\n"],
    ["[[handlers]]\nname = \"h\"\ncomponent = \"builtin:hardcoded\"\nsecrets.bot = \"", "\"\n"],
    ["[[handlers]]\nname = \"h\"\ncomponent = \"builtin:hardcoded\"\nsecrets = \"", "\"\n"],
    ["[[handlers]]\nname = \"h\"\ncomponent = \"builtin:hardcoded\"\nsettings = { actors = \"", "\" }\n"],
    ["[[handlers]]\nname = \"h\"\ncomponent = \"builtin:hardcoded\"\nlimits = { cpu_ms = \"", "\" }\n"],
    ["[clients.app]\nmay = [\"verify\"]\nsecret_sha256 = \"", "\"\n"],
    ["[clients.app]\nsecret_sha256 = [\"", "\"]\n"],
    ["[clients]\napp = \"", "\"\n"],
];

/// Reads the bytes as a configuration, and as the text around a misplaced secret: there is no
/// panic, and an error is one line with a line number of the file, and without the secret.
pub fn configuration(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Err(error) = Config::parse(&text) {
        assert!(error.line.is_none_or(|line| (1..=text.matches('\n').count() + 1).contains(&line)), "{error:?}");
    }
    tell(data);
    // A coverage-guided fuzzer may find the secret itself.
    if let Some(which) = data.first()
        && !text.contains(SECRET)
    {
        let [before, after] = MISTAKES[usize::from(*which) % MISTAKES.len()];
        let rest: String = text.chars().skip(1).collect();
        for around in [format!("{before}{SECRET}{after}{rest}"), format!("{before}{SECRET}{rest}{after}")] {
            let told = tell(around.as_bytes());
            assert!(!told.contains(SECRET), "{told}");
        }
    }
}

/// Returns the command's error for a configuration file. The handler does not exist, so that
/// nothing is loaded.
fn tell(config: &[u8]) -> String {
    thread_local! {
        static FOLDER: TempDir = tempfile::tempdir().unwrap();
    }
    const NO_HANDLER: &str = "no/handler";
    let file = FOLDER.with(|folder| folder.path().join("keyward.toml"));
    std::fs::write(&file, config).unwrap();
    let args = ["keyward", "create", "--actor", "a", "--handler", NO_HANDLER, "--config"].map(OsString::from);
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let world = Io {
        stdin: &mut std::io::empty(),
        stdout: &mut stdout,
        stdout_is_terminal: false,
        columns: 80,
        stderr: &mut stderr,
        stderr_is_terminal: false,
        env: &|_| None,
        worker: std::path::Path::new("no-worker"),
    };
    let status = run(args.into_iter().chain([file.into()]), world);
    let told = String::from_utf8(stderr).unwrap();
    assert_eq!((status, stdout.len()), (ExitStatus::Usage, 0), "{told}");
    let line = told.strip_suffix('\n').unwrap();
    assert!(!line.contains(char::is_control), "more than a line: {line:?}");
    told
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let whole = r#"dangerous_share_unprefixed = true
[keys.main]
secret = { file = "secret.key" }
previous = [{ env = "OLD" }, { file = "older.key" }]
[keys.named]
keys = [
  { id = "2026-11", file = "2026-11.key", state = "active" },
  { id = "2026-12", env = "NEXT", state = "pending" },
  { id = "2026-10", state = "retired" },
]
[[handlers]]
name = "signed"
component = "builtin:signed"
prefixes = ["dstok_"]
settings = { allow_signed_tokens = true, max_signed_tokens_ttl = 0 }
keys.token = { ring = "main", scheme = "itsdangerous", namespace = "token" }
limits = { memory_mib = 1, cpu_ms = 20 }
[[handlers]]
name = "partner"
component = "handlers/partner.wasm"
sha256 = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"
keys.token = { ring = "main" }
actors = ["partner:*", "bob"]
max_ttl = 86400
leeway = 5
[[handlers]]
name = "bots"
component = "builtin:hardcoded"
secrets.zoe = { env = "ZOE" }
settings = { actors = { zoe = { z = 1, a = [1.5, "é\n", false, {}] }, bot = { id = -3 } }, d = 1979-05-27 }
actors = "any"
[actions]
view-instance = "vi"
[server]
listen = "127.0.0.1:0"
hosts = ["auth.example.org", "[::1]"]
issuer = "https://auth.example.org"
tls = { certificate = "tls.pem", key = "tls.key" }
forward_auth = { trusted_proxies = ["10.0.0.0/8", "::1"], headers = { subject = "X-User" }, refuse_forged = true }
limits = { connections = 10, header_bytes = 8192, drain_seconds = 0 }
[clients.app]
secret_sha256 = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"
may = ["introspect", "verify"]
handlers = ["signed"]
[policies]
members = "any"
orders = { action = "view-instance", database = "d", resource = "r", methods = ["GET"], paths = ["/a/*"] }
"#;
    let small = "[[handlers]]\nname = \"h\"\ncomponent = \"builtin:signed\"\nsettings = { a = [1, { b = 0x1f }] }\n";
    let parts = whole.split("[[handlers]]").skip(1).map(|part| format!("[[handlers]]{part}"));
    let mistakes = MISTAKES.iter().map(|[before, after]| format!("{before}s{after}"));
    let keys = ["[keys.\"a\\nb\"]\n", "\"\\u202e\\n\" = 1\n", "[keys]\nmain = 1\n"].map(str::to_owned);
    let plain = [whole.to_owned(), small.to_owned()].into_iter().chain(parts).chain(mistakes).chain(keys);
    // A first byte for each mistake.
    let picked: Vec<_> = plain
        .clone()
        .enumerate()
        .map(|(at, text)| format!("{}{text}", char::from(b'0' + (at % MISTAKES.len()) as u8)))
        .collect();
    plain.chain(picked).map(String::into_bytes).collect()
}
