use super::handlers::PublicKeys;
use super::*;
use keyward_runtime::key_sets::Algorithm;
use keyward_runtime::keys::{KeyState, Scheme};
use keyward_runtime::{Actors, Limits};
use proptest::prelude::*;
use std::time::Duration;

const WHOLE: &str = r#"actions_open = true
dangerous_share_unprefixed = true
store = { sqlite = "keyward.db" }
[keys.main]
secret = { file = "secret.key" }
previous = [{ env = "OLD" }, { file = "older.key" }]

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
secrets.bot = { env = "BOT" }
settings = { actors = { zoe = { z = 1, a = [1.5, "é\n", false, {}] }, bot = { id = -3 } } }
actors = "any"
queries.token = "bots"
queries.more = "others"
public_keys.issuer = { set = "idp", algorithms = ["RS256", "EdDSA"] }

[queries.bots]
sqlite = "bots.db"
sql = "select 1"

[queries.others]
postgres = { env = "BOTS_URL" }
sql = "select 2"
deadline_ms = 5
rows = 1

[actions]
view-instance = "vi"

[key_sets.idp]
files = ["idp.json", "more.pem"]
algorithm = "PS256"
"#;

fn error(text: &str) -> (usize, String) {
    let ConfigError { line, text } = Config::parse(text).unwrap_err();
    (line.unwrap_or(0), text)
}

/// Returns a configuration of one handler, with added text from line 4 on.
fn handler(more: &str) -> String {
    format!("[[handlers]]\nname = \"h\"\ncomponent = \"builtin:signed\"\n{more}")
}

#[test]
fn every_setting_is_parsed() {
    let Config {
        rings,
        key_sets,
        handlers,
        actions,
        actions_open,
        client_tokens: _,
        share_unprefixed,
        store,
        audit: _,
        cache: _,
        queries,
        endpoints: _,
        server: _,
        pages: _,
    } = Config::parse(WHOLE).unwrap();
    assert!(share_unprefixed && actions_open);
    let sql = Located { line: 38, value: "select 1".to_owned() };
    let place = Located { line: 37, value: StorePlace::Sqlite("bots.db".into()) };
    assert_eq!(queries["bots"], Query { place, sql, deadline: Duration::from_millis(100), rows: 100 });
    let [Query { place, deadline, rows, .. }] = queries.values().skip(1).collect::<Vec<_>>()[..] else { panic!() };
    assert_eq!(place.value, StorePlace::Postgres(SecretSource::Env("BOTS_URL".into())));
    assert_eq!((deadline.as_millis(), *rows), (5, 1));
    let place = Located { line: 3, value: StorePlace::Sqlite("keyward.db".into()) };
    assert_eq!(store, Some(Store { place, patience: Duration::from_secs(10), pending_file: None }));
    assert_eq!(actions.get("view-instance").unwrap(), "vi");
    let KeySet { line: 49, source: KeySetSource::Files(files), algorithm } = &key_sets["idp"] else { panic!() };
    let files: Vec<_> = files.iter().map(|file| (file.line, file.value.to_str().unwrap())).collect();
    assert_eq!((files, *algorithm), (vec![(50, "idp.json"), (50, "more.pem")], Some(Algorithm::Ps256)));
    let PublicKeys { set, algorithms } = &handlers[2].public_keys["issuer"];
    assert_eq!((set.as_str(), algorithms.as_slice()), ("idp", [Algorithm::Rs256, Algorithm::EdDsa].as_slice()));
    let ring = &rings["main"];
    let keys: Vec<_> = ring.keys.iter().map(|key| (key.id.value.as_str(), key.id.line, key.state)).collect();
    assert_eq!(
        keys,
        [("secret", 5, KeyState::Active), ("OLD", 6, KeyState::VerifyOnly), ("older", 6, KeyState::VerifyOnly)]
    );
    let sources: Vec<_> = ring.keys.iter().filter_map(RingKey::loaded).map(|source| &source.value).collect();
    let [secret, older] = ["secret.key", "older.key"].map(|file| SecretSource::File(file.into()));
    assert_eq!(sources, [&secret, &SecretSource::Env("OLD".into()), &older]);

    let [signed, partner, bots] = handlers.as_slice() else { panic!() };
    assert!(matches!(signed.component.value, Component::Builtin(builtin) if builtin.name() == "signed"));
    assert_eq!(signed.prefixes, ["dstok_"]);
    assert_eq!(signed.settings["allow_signed_tokens"], "true");
    assert_eq!(signed.settings["max_signed_tokens_ttl"], "0");
    let key = &signed.keys["token"];
    assert_eq!(
        (key.ring.as_str(), key.scheme, key.namespace.as_deref()),
        ("main", Scheme::Itsdangerous, Some("token"))
    );
    assert_eq!(signed.limits.memory_bytes, 1 << 20);
    assert_eq!(signed.limits.cpu.as_millis(), 20);
    assert_eq!(signed.limits.wall, Limits::default().wall);
    assert_eq!(signed.actors.actors, Actors::Any);

    assert!(matches!(&partner.component.value, Component::File(path) if path.ends_with("partner.wasm")));
    assert_eq!((partner.name.line, partner.component.line), (17, 18));
    assert_eq!(partner.sha256.unwrap()[..3], [0x00, 0x11, 0x22]);
    assert_eq!(partner.sha256.unwrap()[31], 0xff);
    assert_eq!(partner.keys["token"].scheme, Scheme::HmacSha256);
    assert_eq!(partner.actors.actors, Actors::matching(["partner:*", "bob"]).unwrap());
    assert_eq!((partner.max_ttl, partner.leeway), (Some(86_400), Some(5)));

    assert_eq!(bots.secrets.keys().collect::<Vec<_>>(), ["zoe", "bot"], "in the order of the file");
    assert_eq!(bots.settings["actors"], r#"{"zoe":{"z":1,"a":[1.5,"é\n",false,{}]},"bot":{"id":-3}}"#);
}

#[test]
fn unknown_fields_are_named_with_their_line() {
    for (text, line, word) in [
        ("handler = 1".to_owned(), 1, "`handler`"),
        ("[keys.main]\nsecret = { file = \"f\" }\nscheme = 1".to_owned(), 3, "`scheme`"),
        ("[keys.main]\nsecret = { path = \"f\" }".to_owned(), 2, "`path`"),
        (handler("prefix = [\"a\"]"), 4, "`prefix`"),
        (handler("limits = { memry_mib = 1 }"), 4, "`memry_mib`"),
        (handler("[handlers.limits]\nserver = 1"), 5, "`server`"),
        (handler("keys.token = { rings = \"a\" }"), 4, "`rings`"),
        (handler("secrets.a = { file = \"f\", mode = 1 }"), 4, "`mode`"),
        (handler("[queries.a]\nsql = \"select 1\"\ndatabase = \"d\""), 6, "`database`"),
    ] {
        let (at, sentence) = error(&text);
        assert_eq!(at, line, "{text}: {sentence}");
        assert!(sentence.starts_with(&format!("unknown field {word}; expected")), "{sentence}");
    }
}

#[test]
fn expected_types_are_named_in_terms_of_toml() {
    for (text, wanted) in [
        ("[clients]\napp = \"kwc_secret\"".to_owned(), "a table"),
        ("clients = 1".to_owned(), "a table"),
        ("server = true".to_owned(), "a table"),
        (handler("prefixes = \"dstok_\""), "a list"),
        (handler("max_ttl = -1"), "a whole number"),
        (handler("max_ttl = \"1d\""), "a whole number"),
        (handler("default_ttl = 0"), "a whole number from 1"),
        (handler("max_tokens_per_actor = 0"), "a whole number from 1"),
    ] {
        let (_, sentence) = error(&text);
        assert!(sentence.ends_with(&format!(" has the wrong type; expected {wanted}")), "{sentence}");
        assert!(!sentence.contains("secret"), "{sentence}");
    }
}

#[test]
fn missing_fields_are_named() {
    assert!(error("").1.contains("`[[handlers]]`"));
    assert_eq!(error("[[handlers]]\nname = \"h\"").1, "`component` is missing; add it");
    assert_eq!(error("[[handlers]]\ncomponent = \"x\"").1, "`name` is missing; add it");
    let (line, text) = error("[[handlers]]\nname = \"h\"\ncomponent = \"x.wasm\"\n");
    assert_eq!(line, 2);
    assert!(text.starts_with("handler `h`: ") && text.contains("add `actors"), "{text}");
    let (line, text) = error(&handler("keys.token = { ring = \"man\" }"));
    assert_eq!(line, 4);
    assert!(text.contains("`[keys.man]`"), "{text}");
    assert!(error(&handler("").replace("signed", "sigend")).1.contains("use one of `builtin:signed`"));
}

#[test]
fn values_of_the_wrong_type_are_rejected() {
    for more in [
        "sha256 = \"abc\"",
        &format!("sha256 = \"{}\"", "g".repeat(64)),
        &format!("sha256 = \"{}\"", "é".repeat(32)),
        "actors = \"all\"",
        "actors = [\"a*b\"]",
        "actors = [1]",
        "actors = 1",
        "max_ttl = -1",
        "leeway = \"60\"",
        "limits = { cpu_ms = 1.5 }",
        "limits = { cpu_ms = 4294967296 }",
        "limits = 1",
        "prefixes = \"a\"",
        "keys.token = { ring = \"main\", scheme = \"none\" }",
        "secrets.a = { file = \"f\", env = \"e\" }",
        "secrets.a = {}",
        "secrets.a = []",
        "queries = \"a\"",
        "queries.a = 1",
        "queries.a = { query = \"a\" }",
        "queries.a = \"a\"",
        "settings = { a = 1979-05-27 }",
        "settings = { a = [07:32:00] }",
        "settings = { a = inf }",
        "settings = { a = { b = nan } }",
        "name = \"twice\"",
        "= 1",
        "x = ",
    ] {
        let (line, text) = error(&handler(more));
        assert_eq!(line, 4, "{more}: {text}");
        assert!(text.lines().count() == 1, "{more}: {text}");
    }
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    const SECRET: &str = "c2VjcmV0IHNlY3JldA";
    for text in [
        format!("keys = \"{SECRET}\""),
        format!("[keys]\nmain = \"{SECRET}\""),
        format!("[keys.main]\nsecret = \"{SECRET}\""),
        format!("[keys.main]\nsecret = [\"{SECRET}\"]"),
        format!("[keys.main]\nsecret = {{ file = [\"{SECRET}\"] }}"),
        format!("[keys.main]\nsecret = {{ env = {{ a = \"{SECRET}\" }} }}"),
        format!("[keys.main]\nsecret = {{ file = \"f\" }}\nprevious = \"{SECRET}\""),
        format!("[keys.main]\nsecret = {{ file = \"f\" }}\nprevious = [\"{SECRET}\"]"),
        format!("[keys.main]\nsecret = {{ file = \"f\" }}\ndangerous_allow_short = \"{SECRET}\""),
        format!("[keys.main]\nsecret = {SECRET}"),
        format!("[keys.main]\nsecret = \"{SECRET}"),
        handler(&format!("secrets = \"{SECRET}\"")),
        handler(&format!("secrets.bot = \"{SECRET}\"")),
        handler(&format!("actors = \"{SECRET}\"")),
        handler(&format!("sha256 = \"{SECRET}\"")),
        handler(&format!("keys.token = \"{SECRET}\"")),
        handler(&format!("keys.token = {{ ring = \"r\", scheme = \"{SECRET}\" }}")),
        handler(&format!("limits = {{ cpu_ms = \"{SECRET}, expected {SECRET}\" }}")),
        handler(&format!("max_ttl = \"\\\"{SECRET}\"")),
    ] {
        let (_, sentence) = error(&text);
        assert!(!sentence.contains(SECRET), "{text}: {sentence}");
    }
}

#[test]
fn depth_is_bounded() {
    for text in ["[".repeat(100_000), format!("a = {}", "[".repeat(100_000)), "a.".repeat(100_000) + "b = 1"] {
        assert!(Config::parse(&text).is_err());
        assert!(Config::parse(&handler(&format!("settings.{text} = 1"))).is_err());
    }
}

proptest! {
    #[test]
    fn any_text_is_a_configuration_or_an_error(text in ".{0,200}") {
        let _ = Config::parse(&text);
    }

    #[test]
    fn mutated_configurations_do_not_panic(at in 0..WHOLE.len(), length in 0..40_usize, new in "[\\PC\n\"=\\[\\]{}]{0,8}") {
        let text: String = WHOLE.chars().take(at).chain(new.chars()).chain(WHOLE.chars().skip(at + length)).collect();
        if let Err(error) = Config::parse(&text) {
            prop_assert!(error.line.is_none_or(|line| line <= text.lines().count() + 1));
            prop_assert_eq!(error.text.lines().count(), 1);
        }
    }

    #[test]
    fn settings_become_equivalent_json(value in json(4)) {
        let settings = format!("settings = {{ a = {} }}", toml_of(&value));
        let config = Config::parse(&handler(&settings)).unwrap();
        let read: serde_json::Value = serde_json::from_str(&config.handlers[0].settings["a"]).unwrap();
        prop_assert_eq!(read, value);
    }
}

fn json(depth: u32) -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        (-1_000_000..1_000_000_i32).prop_map(|eighths| serde_json::Value::from(f64::from(eighths) / 8.0)),
        ".{0,8}".prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(depth, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            proptest::collection::hash_map("[a-z]{1,4}", inner, 0..4)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Returns a JSON value as TOML. JSON strings are TOML basic strings, except for U+007F.
fn toml_of(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Object(members) => {
            let members: Vec<_> = members.iter().map(|(name, value)| format!("{name} = {}", toml_of(value))).collect();
            format!("{{{}}}", members.join(", "))
        }
        serde_json::Value::Array(items) => {
            let items: Vec<_> = items.iter().map(toml_of).collect();
            format!("[{}]", items.join(", "))
        }
        other => other.to_string().replace('\u{7f}', "\\u007f"),
    }
}
