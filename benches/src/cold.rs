//! Costs before the first verdict: the start of the program, loading components, and the memory of
//! many handlers.

use crate::setup::{NOW, plain_request, runtime, signed, token};
use keyward_runtime::compile::ArtifactCache;
use keyward_runtime::component::Component;
use keyward_runtime::keys::Scheme;
use keyward_runtime::{HandlerConfig, Registry, Runtime, Verdict};
use keyward_tests::bombs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};
use tempfile::TempDir;

/// Number of runs of the program, and of loads.
const RUNS: u32 = 40;

const KEY: [u8; 32] = [7; 32];

/// The environment variable with the paths of more components to load, with `:` between them.
const COMPONENTS: &str = "KEYWARD_BENCH_COMPONENTS";

pub(crate) fn run() {
    start();
    load();
    many();
}

/// Measures the CPU time from `exec` to a verdict, and that of a program that does nothing.
fn start() {
    let folder = TempDir::new().unwrap();
    let handler = |component: &str| {
        format!(
            "[[handlers]]\nname = \"signed\"\ncomponent = \"{component}\"\nprefixes = [\"dstok_\"]\nactors = \"any\"\n"
        )
    };
    let keys = "[handlers.keys]\ntoken = { ring = \"main\", namespace = \"token\" }\n[keys.main]\nsecret = { file = \"secret.key\" }\n";
    let cache = "cache = { folder = \"cache\", key = \"cache.key\" }\n";
    let write = |name: &str, content: &[u8]| fs::write(folder.path().join(name), content).unwrap();
    write("secret.key", &[7; 32]);
    write("cache.key", b"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc\n");
    write("signed.wasm", &foreign(0, 0));
    write("built-in.toml", (handler("builtin:signed") + keys).as_bytes());
    write("cached.toml", (cache.to_owned() + &handler("signed.wasm") + keys).as_bytes());
    write("compiled.toml", (handler("signed.wasm") + keys).as_bytes());
    write("token", issued_token().as_bytes());
    for name in ["secret.key", "cache.key"] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(folder.path().join(name), mode).unwrap();
    }
    let cached = ArtifactCache::open(folder.path().join("cache"), KEY).unwrap();
    Runtime::builder().worker("/proc/self/exe").cache(cached).build().unwrap().inspect(foreign(0, 0)).unwrap();

    println!("CPU time from `exec` to a verdict:\n\n| program | ms | ratio to the first |\n| --- | --- | --- |");
    let mut first = None;
    for (name, args) in [
        ("does nothing", "nothing"),
        ("built-in handler", "verify --at 1767225660 --config built-in.toml"),
        ("third-party handler, cached", "verify --at 1767225660 --config cached.toml"),
        ("third-party handler, compiled", "verify --at 1767225660 --config compiled.toml"),
    ] {
        let each = cpu_of_children(folder.path(), args) / RUNS;
        let base = *first.get_or_insert(each);
        let ratio = each.as_secs_f64() / base.as_secs_f64();
        println!("| {name} | {:.1} | {ratio:.1} |", each.as_secs_f64() * 1e3);
    }
}

/// Runs this program [`RUNS`] times, and returns the CPU time of all runs together.
fn cpu_of_children(folder: &Path, args: &str) -> Duration {
    let script = format!(
        "i=0; while [ $i -lt {RUNS} ]; do \"$0\" {args} <token >out 2>err || exit 1; i=$((i + 1)); done; times"
    );
    let program = env::current_exe().unwrap();
    let mut shell = Command::new("sh");
    shell.current_dir(folder).args(["-c", &script]).arg(program).stderr(Stdio::inherit());
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{args}: {}", fs::read_to_string(folder.join("err")).unwrap());
    // The second line is that of the children: user and system time, such as `0m1.250s 0m0.310s`.
    let text = String::from_utf8(output.stdout).unwrap();
    let children = text.lines().nth(1).unwrap();
    let seconds = children.split_whitespace().map(|time| {
        let (minutes, seconds) = time.trim_end_matches('s').split_once('m').unwrap();
        minutes.parse::<f64>().unwrap() * 60.0 + seconds.parse::<f64>().unwrap()
    });
    Duration::from_secs_f64(seconds.sum())
}

/// Measures the time from the bytes of a component to its first verdict.
fn load() {
    println!("\nFrom the bytes of a component to its first verdict:\n");
    println!("| component | bytes | compiled: ms | cached: ms | ratio |\n| --- | --- | --- | --- | --- |");
    for (name, functions, rounds) in [("of a built-in's size", 0, RUNS), ("of 12 MB", 8_000, 3)] {
        load_one(name, &foreign(0, functions), Some(&issued_token()), rounds);
    }
    for path in env::var(COMPONENTS).unwrap_or_default().split(':').filter(|path| !path.is_empty()) {
        let name = Path::new(path).file_stem().unwrap().to_string_lossy();
        load_one(&name, &fs::read(path).unwrap(), None, 5);
    }
}

/// Measures one component. Without a valid token it may return any verdict.
fn load_one(name: &str, bytes: &[u8], valid: Option<&str>, rounds: u32) {
    let folder = TempDir::new().unwrap();
    let first_verdict = |is_cached: bool| {
        let builder = Runtime::builder().clock(NOW).worker("/proc/self/exe");
        let builder = match is_cached {
            true => builder.cache(ArtifactCache::open(folder.path().join("cache"), KEY).unwrap()),
            false => builder,
        };
        let (runtime, mut config) = (builder.build().unwrap(), third_party("signed", bytes));
        config.limits.component_bytes = bytes.len();
        let start = Instant::now();
        let registry = Registry::builder(&runtime).handler(config).build().unwrap();
        let verdict = registry.verify_blocking(valid.unwrap_or("dstok_x")).unwrap();
        assert!(valid.is_none() || matches!(verdict, Verdict::Accepted(_)), "{name}: {verdict:?}");
        start.elapsed()
    };
    let compiled = (0..rounds.min(5)).map(|_| first_verdict(false)).min().unwrap();
    first_verdict(true);
    let cached = (0..rounds).map(|_| first_verdict(true)).min().unwrap();
    println!(
        "| {name} | {} | {:.1} | {:.2} | {:.0} |",
        bytes.len(),
        compiled.as_secs_f64() * 1e3,
        cached.as_secs_f64() * 1e3,
        compiled.as_secs_f64() / cached.as_secs_f64()
    );
}

/// Measures the resident memory of 1,000 handlers over ten components, in a process of its own.
fn many() {
    let output = Command::new(env::current_exe().unwrap()).arg("many").stderr(Stdio::inherit()).output().unwrap();
    print!("\n{}", String::from_utf8(output.stdout).unwrap());
}

/// Loads the handlers, and prints the memory of this process.
pub(crate) fn many_handlers() {
    let folder = TempDir::new().unwrap();
    let cache = || ArtifactCache::open(folder.path().join("cache"), KEY).unwrap();
    let compiling = Runtime::builder().worker("/proc/self/exe").cache(cache()).build().unwrap();
    let components: Vec<Component> = (0..10).map(|number| foreign(number, 0).into()).collect();
    for component in &components {
        compiling.inspect(component.clone()).unwrap();
    }
    drop(compiling);
    let load = |runtime: &Runtime, count: usize| {
        let configs = (0..count).zip(components.iter().cycle()).map(|(number, component)| {
            let mut config = third_party(&format!("h{number}"), component.clone());
            // Keys of their own: the namespace is the name.
            for key in config.keys.values_mut() {
                key.namespace = None;
            }
            config.prefixes = vec![format!("h{number}_")];
            config
        });
        configs.fold(Registry::builder(runtime), |builder, config| builder.handler(config)).build().unwrap()
    };
    let runtime = Runtime::builder().clock(NOW).cache(cache()).build().unwrap();
    let empty = resident();
    let ten = load(&runtime, 10);
    let with_ten = resident();
    let thousand = load(&runtime, 1_000);
    let with_thousand = resident();
    drop((ten, thousand));
    println!(
        "Resident memory:\n\n| handlers | MiB more than without | KiB for each beyond the ten |\n| --- | --- | --- |"
    );
    let mib = |bytes: u64| bytes.saturating_sub(empty) as f64 / f64::from(1 << 20);
    println!("| 10 over ten components | {:.1} | |", mib(with_ten));
    let each = with_thousand.saturating_sub(with_ten) as f64 / 1_000.0 / 1_024.0;
    println!("| 1,000 more over the same components | {:.1} | {each:.1} |", mib(with_thousand));
}

fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
}

/// Returns a token that is valid at [`NOW`].
fn issued_token() -> String {
    let registry = Registry::builder(&runtime()).handler(signed(Scheme::HmacSha256)).build().unwrap();
    token(&registry, plain_request())
}

/// Returns `builtin:signed` as bytes of a stranger: with another digest for each `number`, and with
/// as many functions more.
fn foreign(number: usize, functions: usize) -> Vec<u8> {
    let mut bytes = keyward_handlers::SIGNED.component().to_vec();
    bombs::section(&mut bytes, 0, format!("\u{1}x{number}").as_bytes());
    if functions > 0 {
        let component = bombs::with_code(&[], functions, 0, &b"\x20\0\x04\x40\x05\x0b".repeat(250));
        bytes.extend(component.iter().skip(b"\0asm\x0d\0\x01\0".len()));
    }
    bytes
}

fn third_party(name: &str, component: impl Into<Component>) -> HandlerConfig {
    let mut config = signed(Scheme::HmacSha256);
    (config.name, config.component) = (name.to_owned(), component.into());
    config
}
