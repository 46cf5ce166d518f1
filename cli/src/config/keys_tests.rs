use super::*;
use crate::config::Config;

fn rings(text: &str) -> Result<Vec<(String, Ring)>, (usize, String)> {
    let handler = "\n[[handlers]]\nname = \"h\"\ncomponent = \"builtin:signed\"\n";
    match Config::parse(&(text.to_owned() + handler)) {
        Ok(config) => Ok(config.rings.into_iter().collect()),
        Err(ConfigError { line, text }) => Err((line.unwrap_or(0), text)),
    }
}

fn ring(text: &str) -> Ring {
    rings(text).unwrap().remove(0).1
}

/// Returns `id state source` of each key, in order.
fn shown(ring: &Ring) -> Vec<String> {
    let source = |key: &RingKey| match &key.source {
        None => "-".to_owned(),
        Some(Located { value: SecretSource::File(path), .. }) => path.display().to_string(),
        Some(Located { value: SecretSource::Env(name), .. }) => format!("${name}"),
    };
    ring.keys.iter().map(|key| format!("{} {} {}", key.id.value, key.state.as_str(), source(key))).collect()
}

#[test]
fn keys_have_ids_and_states() {
    let text = r#"[keys.main]
keys = [
  { id = "2026-11", file = "2026-11.key", state = "active" },
  { id = "2026-12", env = "NEXT", state = "pending" },
  { id = "2026-10", file = "2026-10.key", state = "verify-only" },
  { id = "2026-09", file = "2026-09.key", state = "retired" },
  { id = "2026-08", state = "retired" },
]
dangerous_allow_short = true
"#;
    let ring = ring(text);
    assert_eq!(
        shown(&ring),
        [
            "2026-11 active 2026-11.key",
            "2026-12 pending $NEXT",
            "2026-10 verify-only 2026-10.key",
            "2026-09 retired 2026-09.key",
            "2026-08 retired -",
        ]
    );
    assert!(ring.has_ids && ring.allow_short);
    assert_eq!(ring.keys.iter().map(|key| key.id.line).collect::<Vec<_>>(), [3, 4, 5, 6, 7]);
    let loaded: Vec<_> = ring.keys.iter().map(|key| key.loaded().is_some()).collect();
    assert_eq!(loaded, [true, true, true, false, false], "the secret of a retired key is not read");
}

#[test]
fn the_short_form_derives_ids_from_names() {
    for (text, wanted) in [
        ("secret = { file = \"a/secret.key\" }", vec!["secret active a/secret.key"]),
        (
            "secret = { file = \"new.key\" }\nprevious = [{ env = \"OLD_KEY\" }, { file = \"../older.2.key\" }]",
            vec!["new active new.key", "OLD_KEY verify-only $OLD_KEY", "older.2 verify-only ../older.2.key"],
        ),
        (
            "secret = { file = \"b/key\" }\nprevious = [{ file = \"a/key\" }, { file = \"a_key\" }]",
            vec!["b_key active b/key", "a_key verify-only a/key", "a_key-2 verify-only a_key"],
        ),
        ("secret = { file = \"schlüssel 1.key\" }", vec!["schl_ssel_1 active schlüssel 1.key"]),
        ("secret = { file = \"\" }", vec!["_ active "]),
    ] {
        let ring = ring(&format!("[keys.main]\n{text}"));
        assert_eq!(shown(&ring), wanted);
        assert!(!ring.has_ids && ring.keys.iter().all(|key| Key::is_id(&key.id.value)), "{text}");
    }
    let long = "x".repeat(70);
    let both = format!("[keys.main]\nsecret = {{ file = \"1/{long}\" }}\nprevious = [{{ file = \"2/{long}\" }}]");
    let ids: Vec<_> = ring(&both).keys.into_iter().map(|key| key.id.value).collect();
    assert!(ids[0] != ids[1] && ids.iter().all(|id| Key::is_id(id)), "{ids:?}");
}

#[test]
fn errors_in_rings_have_their_line() {
    let active = "{ id = \"a\", file = \"a.key\", state = \"active\" }";
    for (text, line, wanted) in [
        ("".to_owned(), 1, "there is no active key"),
        ("previous = [{ file = \"a.key\" }]".to_owned(), 1, "there is no active key"),
        (format!("secret = {{ file = \"a.key\" }}\nkeys = [{active}]"), 3, "`keys` cannot be combined with"),
        (format!("previous = [{{ file = \"a.key\" }}]\nkeys = [{active}]"), 3, "`keys` cannot be combined with"),
        ("keys = []".to_owned(), 2, "none of its keys is active"),
        ("\nkeys = [\n{ id = \"a\", state = \"retired\" }]".to_owned(), 3, "none of its keys is active"),
        (
            format!("keys = [{active},\n{{ id = \"b\", env = \"B\", state = \"active\" }}]"),
            3,
            "the keys `a` and `b` are both active",
        ),
        (format!("keys = [{active},\n{{ id = \"a\", state = \"retired\" }}]"), 3, "two keys have the id `a`"),
        (format!("keys = [\n{active},\n{{ id = \"b\", state = \"pending\" }}]"), 4, "the key `b` has no secret"),
        (
            format!("keys = [{active},\n{{ id = \"b\",\nfile = \"a.key\", state = \"verify-only\" }}]"),
            4,
            "another key of the ring has the same secret",
        ),
        (
            format!("keys = [{active},\n{{ id = \"b\", file = \"a.key\", state = \"retired\" }}]"),
            3,
            "another key of the ring has the same secret",
        ),
        (
            "secret = { env = \"A\" }\nprevious = [{ env = \"B\" },\n{ env = \"A\" }]".to_owned(),
            4,
            "another key of the ring has the same secret",
        ),
        (
            "keys = [\n{ id = \"a\", file = \"a\", env = \"A\", state = \"active\" }]".to_owned(),
            3,
            "the key `a` has both `file` and `env`",
        ),
        ("keys = [\n{ id = \"a/b\", file = \"a\", state = \"active\" }]".to_owned(), 3, "invalid key id"),
        ("keys = [\n{ id = \"\", file = \"a\", state = \"active\" }]".to_owned(), 3, "invalid key id"),
    ] {
        let (at, sentence) = rings(&format!("[keys.main]\n{text}")).unwrap_err();
        assert!(sentence.starts_with("key ring `main`: ") && sentence.contains(wanted), "{text}: {sentence}");
        assert_eq!(at, line, "{text}: {sentence}");
    }
    for (text, line, wanted) in [
        ("keys = [\n{ id = \"a\", file = \"a\" }]", 3, "`state` is missing; add it"),
        ("keys = [\n{ file = \"a\", state = \"active\" }]", 3, "`id` is missing; add it"),
        ("keys = [{ id = \"a\",\nstate = \"verify\" }]", 3, "unknown key state: use `pending`, `active`, "),
        ("keys = { a = 1 }", 2, "has the wrong type; expected a list"),
        ("keys = [\n1]", 3, "has the wrong type; expected a table"),
        ("keys = [{ id = \"a\",\nsecret = \"a\" }]", 3, "unknown field `secret`; expected"),
    ] {
        let (at, sentence) = rings(&format!("[keys.main]\n{text}")).unwrap_err();
        assert!(sentence.contains(wanted), "{text}: {sentence}");
        assert_eq!(at, line, "{text}: {sentence}");
    }
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    const SECRET: &str = "c2VjcmV0 IHNlY3JldA";
    for key in [
        format!("\"{SECRET}\""),
        format!("{{ id = \"{SECRET}\", file = \"a\", state = \"active\" }}"),
        format!("{{ id = \"a\", secret = \"{SECRET}\", state = \"active\" }}"),
        format!("{{ id = \"a\", file = [\"{SECRET}\"], state = \"active\" }}"),
        format!("{{ id = \"a\", file = \"a\", state = \"{SECRET}\" }}"),
    ] {
        let (_, sentence) = rings(&format!("[keys.main]\nkeys = [{key}]")).unwrap_err();
        assert!(!sentence.contains("c2VjcmV0"), "{key}: {sentence}");
    }
    let (_, sentence) = rings(&format!("[keys.main]\nkeys = \"{SECRET}\"")).unwrap_err();
    assert!(!sentence.contains("c2VjcmV0"), "{sentence}");
}
