//! Untrusted text is bounded everywhere: in sections of a component, lists in messages, and log
//! lines.

use crate::support;
use keyward_runtime::registry::RegistryBuilder;
use keyward_runtime::{Actors, HandlerConfig, LoadError, Registry};
use keyward_tests::bombs::{push_leb128, table, with_code};
use keyward_tests::cli::Folder;
use keyward_tests::daemon::{Daemon, wait_for};
use keyward_tests::hostile;
use keyward_tests::http::Request;
use rustix::process::Signal;
use serde_json::Value;
use std::path::PathBuf;

const MIB: usize = 1 << 20;

/// Returns a working component with custom sections appended.
fn component(sections: impl IntoIterator<Item = (&'static str, Vec<u8>)>) -> Vec<u8> {
    let mut bytes = hostile::case("accepts-everything").bytes;
    for (name, data) in sections {
        bytes.push(0);
        push_leb128(&mut bytes, 1 + name.len() + data.len());
        push_leb128(&mut bytes, name.len());
        bytes.extend(name.as_bytes());
        bytes.extend(data);
    }
    bytes
}

/// Returns setting names, one per line.
fn names(count: usize) -> Vec<u8> {
    (0..count).map(|number| format!("set{number}: u64\n")).collect::<String>().into_bytes()
}

fn inspect(bytes: &[u8]) -> Result<Vec<String>, LoadError> {
    let line = |(name, kind)| format!("{name}: {kind}");
    support::RUNTIME.inspect(bytes).map(|info| info.settings.into_iter().map(line).collect())
}

#[test]
fn sections_of_a_component_are_bounded() {
    let settings = |data: &[u8]| component([("keyward:settings", data.to_vec())]);
    let form = |data: &[u8]| component([("keyward:token-patterns", data.to_vec())]);
    for (what, bytes, code, told) in [
        (
            "a settings section by its size",
            settings(&vec![b'\n'; 16_385]),
            "too-complex",
            "16385 bytes, more than the 16384 allowed",
        ),
        ("31 MiB of names", settings(&names(2_080_000)), "too-complex", "bytes, more than the 16384 allowed"),
        ("too many settings", settings(&names(257)), "too-complex", "257 settings, more than the 256 allowed"),
        ("a name that is long", settings(&[b'x'; 65]), "invalid", "`keyward:settings`"),
        ("a name with a control character", settings(b"one\x1b[2J"), "invalid", "`one\\u{1b}[2J`"),
        ("a name with a carriage return", settings(b"one\rtwo"), "invalid", "`one\\u{d}two`"),
        ("a name with a space", settings(b"one two"), "invalid", "`one two`"),
        ("a name that looks like another", settings("аctors".as_bytes()), "invalid", "`аctors`"),
        ("a name that cannot be seen", settings("\u{3164}".as_bytes()), "invalid", "`\\u{3164}`"),
        ("a setting without a type", settings(b"one"), "invalid", "`one`: declare its type, such as `one: u64`"),
        ("a setting of an unknown type", settings(b"one: u32"), "invalid", "`one: u32`: declare its type"),
        ("settings that are not text", settings(b"\xff"), "invalid", "not UTF-8 text"),
        ("too long a form section", form(&[b'\n'; 4_097]), "too-complex", "4097 bytes, more than the 4096 allowed"),
        ("too many forms", form(&b"[a]{1}\n".repeat(17)), "too-complex", "17 patterns, more than the 16 allowed"),
        (
            "settings twice",
            component([("keyward:settings", b"one: text".to_vec()), ("keyward:settings", b"two: text".to_vec())]),
            "invalid",
            "more than once",
        ),
        (
            "forms twice",
            component([("keyward:token-patterns", b"[a]{1}".to_vec()), ("keyward:token-patterns", b"[b]{1}".to_vec())]),
            "invalid",
            "more than once",
        ),
        (
            "many sections",
            component((0..1_001).map(|_| ("x", Vec::new()))),
            "too-complex",
            "more than the 1000 allowed",
        ),
        (
            "names of functions",
            component((0..9).map(|_| ("name", vec![0; MIB]))),
            "too-complex",
            "bytes in `name` sections, more than the 8388608 allowed",
        ),
    ] {
        let error = inspect(&bytes).expect_err(what);
        let text = error.to_string();
        assert_eq!(error.code(), code, "{what}: {text}");
        assert!(text.contains(told) && text.len() < 300, "{what}: {text}");
    }
    assert_eq!(inspect(&settings(&names(256))).unwrap().len(), 256);
    assert_eq!(inspect(&settings(b"a: u64\n\nB-_.9: json\n")).unwrap(), ["B-_.9: json", "a: u64"]);
    inspect(&component([("x", vec![0; 20 * MIB]), ("name", vec![0; 7 * MIB])])).unwrap();
}

/// Each of these takes the compiler seconds or hours, or gigabytes of memory.
#[test]
fn bombs_are_refused_before_they_are_compiled() {
    let repeat = |count: usize, code: &[u8], end: &[u8]| [code.repeat(count), end.repeat(count)].concat();
    let branches = |count| repeat(count, b"\x20\0\x04\x40\x05\x0b", b"");
    let component = |functions, locals, body: &[u8]| with_code(&[], functions, locals, body);
    let bombs = [
        (component(1, 0, &branches(20_000)), "15001 blocks in a function, more than the 15000 allowed"),
        (component(1, 0, &branches(100_000)), "15001 blocks in a function"),
        (component(1, 0, &repeat(20_000, b"\x03\x40", b"\x0b")), "101 levels of nested loops in a function"),
        (component(1, 0, &repeat(600_000, b"\x02\x40", b"\x0b")), "2001 levels of nested blocks in a function"),
        (component(1, 0, &repeat(2_500_000, b"\x02\x40", b"\x0b")), "7500002 bytes in a function"),
        (component(2_000, 50_000, b""), "50000 locals in a function"),
        (component(2_000, 5_000, b""), "1005000 locals in all functions"),
        (component(1_000_000, 0, b""), "1000000 functions"),
        (with_code(&table(9_900_000), 1, 0, b""), "9900000 elements of tables"),
    ];
    for (bytes, told) in bombs {
        let error = inspect(&bytes).expect_err(told);
        let text = error.to_string();
        assert_eq!(error.code(), "too-complex", "{told}: {text}");
        assert!(text.contains(told), "{told}: {text}");
    }
    let error = inspect(&with_code(&table(1_000), 2, 5_000, &branches(3_000))).unwrap_err();
    assert_eq!(error.code(), "missing-export", "it compiles: {error}");
}

#[test]
fn a_refusal_by_the_compiler_has_a_remedy() {
    let bytes = |name: &str| hostile::case(name).bytes;
    for (bytes, code, told) in [
        (bytes("load-tail-calls"), "invalid", "build it with current tools"),
        (bytes("load-memory64"), "invalid", "build it with current tools"),
        (with_code(&table(100_000), 1, 0, b""), "too-complex", "merge its modules, or make it smaller"),
    ] {
        let error = inspect(&bytes).expect_err(told);
        let text = error.to_string();
        assert_eq!(error.code(), code, "{text}");
        assert!(text.contains(told) && text.len() < 300, "{text}");
    }
}

/// Messages about a name are short, whatever the length of the name.
#[test]
fn names_in_messages_are_short() {
    let load = |change: &dyn Fn(&mut HandlerConfig)| {
        let mut config = HandlerConfig::new("h", component([("keyward:settings", names(256))]), Actors::Any);
        change(&mut config);
        Registry::builder(&support::RUNTIME).handler(config).build().map(drop).expect_err("refused")
    };
    let long = "x\u{1b}".repeat(500_000);
    for (what, error) in [
        ("a setting", load(&|config| drop(config.settings.insert(long.clone(), "1".into())))),
        ("a setting's value", load(&|config| drop(config.settings.insert("set1".into(), long.clone())))),
        ("a name", load(&|config| config.name.clone_from(&long))),
        ("a prefix", load(&|config| config.prefixes.push(long.clone()))),
        ("a secret", load(&|config| config.secrets.push((long.clone(), keyward_runtime::keys::Secret::new([]))))),
    ] {
        let text = error.to_string();
        assert!(text.len() < 1_500 && !text.contains('\u{1b}'), "{what}: {} bytes: {text:.2000}", text.len());
    }
    let text = load(&|config| drop(config.settings.insert("other".into(), "1".into()))).to_string();
    assert!(text.ends_with(" more") && text.contains("`set0`, "), "{text}");
}

#[test]
fn a_list_of_handlers_in_a_message_is_truncated_and_counted() {
    let mut builder = Registry::builder(&support::RUNTIME);
    for number in 0..200 {
        let mut config = HandlerConfig::new(format!("handler-{number}"), component([]), Actors::Any);
        config.prefixes = vec![format!("h{number}_")];
        builder = builder.handler(config);
    }
    let registry = builder.build().unwrap();
    let text = pollster::block_on(registry.verify_with("none", "x")).unwrap_err().to_string();
    assert!(text.starts_with("no handler is named `none`; configured: `handler-0`, `handler-1`, "), "{text}");
    assert!(text.ends_with(" more") && text.len() < 1_000, "{text}");

    let unprefixed = (0..200).map(|number| HandlerConfig::new(format!("h{number}"), component([]), Actors::Any));
    let several = unprefixed.fold(Registry::builder(&support::RUNTIME), RegistryBuilder::handler);
    let text = several.build().map(drop).unwrap_err().to_string();
    assert!(text.starts_with("handlers `h0`, `h1`, ") && text.contains(" more claim no prefix"), "{text}");
    assert!(text.len() < 1_000, "{text}");
}

/// Creates the folder of a daemon whose only handler is `handler.wasm`, with these lines in its
/// table.
fn folder(name: &str, component: &[u8], lines: &str) -> Folder {
    let folder = Folder::new(PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bounds").join(name));
    folder.write("handler.wasm", component, 0o644);
    folder.write("keyward.toml", config(lines), 0o644);
    folder
}

fn config(lines: &str) -> String {
    let digest = keyward_server::SecretDigest::of(SECRET).to_hex();
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n[[handlers]]\nname = \"h\"\n\
         component = \"handler.wasm\"\nprefixes = [\"ho_\"]\nactors = \"any\"\n{lines}\n\
         [clients.app]\nsecret_sha256 = \"{digest}\"\nmay = [\"verify\"]\n"
    )
}

const SECRET: &str = "kwc_only-for-tests-only-for-tests-only-for-tes";

/// Returns the complete lines with this level from a daemon's log.
fn lines(daemon: &Daemon, level: &str) -> Vec<Value> {
    let log = daemon.stderr();
    let whole = log.rsplit_once('\n').map(|(lines, _)| lines).unwrap_or_default();
    let events = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("{line}")));
    events.filter(|event| event["level"] == level).collect()
}

/// A failed reload is reported whatever the component contains, and costs no multiple of the file's
/// size.
#[test]
fn a_component_with_a_huge_section_is_rejected_in_one_short_line() {
    let folder = folder("sections", &component([]), "");
    let daemon = Daemon::start(&folder, "keyward.toml");
    let huge = names(2_080_000);
    assert!(huge.len() > 30 * MIB, "{}", huge.len());
    folder.write("keyward.toml", config("settings = { other = 1 }"), 0o644);
    for (number, data) in [(1, names(300_000)), (2, huge)] {
        let before = daemon.peak();
        let size = data.len();
        folder.write("handler.wasm", component([("keyward:settings", data)]), 0o644);
        daemon.signal(Signal::HUP);
        wait_for("the reload to fail", || lines(&daemon, "ERROR").len() >= number);
        let line = lines(&daemon, "ERROR").pop().unwrap();
        let error = line["error"].as_str().unwrap();
        assert!(
            error.contains(&format!("{size} bytes, more than the 16384 allowed")) && error.len() < 300,
            "{error:.2000}"
        );
        let grown = daemon.peak() - before;
        assert!(grown < 2 * size as u64 + 16 * MIB as u64, "{grown} bytes for a section of {size}");
    }
    assert_eq!(lines(&daemon, "WARN"), [Value::Null; 0], "no line is dropped");
    assert!(daemon.stop().status.success());
}

/// A log line that exceeds the limit is truncated, and written.
#[test]
fn an_overlong_log_line_is_truncated_and_written() {
    let limits = "limits = { message_bytes = 8388608, host_call_bytes = 16777216, host_work_bytes = 16777216, wall_ms = 60000, cpu_ms = 60000 }";
    let folder = folder("lines", &hostile::case("log-8-mib").bytes, limits);
    let daemon = Daemon::start(&folder, "keyward.toml");
    let request = Request::json("/v1/verify", &serde_json::json!({"token": "ho_x"})).basic("app", SECRET);
    assert_eq!(request.send(daemon.service()).json()["outcome"], "accepted");
    wait_for("the line", || daemon.stderr().contains("keyward::decision"));
    let log = daemon.stderr();
    let line = log.lines().find(|line| line.contains("keyward::handler")).unwrap_or_else(|| panic!("{log:.2000}"));
    assert!(line.len() < 20_000, "{}", line.len());
    let event: Value = serde_json::from_str(line).unwrap();
    assert!(event["message"].as_str().unwrap().ends_with('…'));
    assert_eq!((&event["cut"], &event["handler"]), (&Value::Bool(true), &Value::from("h")));
    assert!(daemon.stop().status.success());
}
