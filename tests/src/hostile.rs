//! Hostile handlers, one file each in `tests/hostile/`, with the outcome that Keyward must produce.
//!
//! # File format
//!
//! A file starts with header lines `;; key: value`, up to the first line without a key:
//!
//! | key | value |
//! | --- | --- |
//! | `what` | one sentence: the attack |
//! | `call` | `load`, `verify`, `create`, `verify+create` (both, each with this outcome) or `identify` |
//! | `world` | the world of the component: `handler` by default, `token-and-session` or `wasi` |
//! | `outcome` | the required outcome, see [`Outcome`] |
//! | `grants` | any of `keys` (the label `mine`), `public-keys` (the label `mine`, one key, for EdDSA), `secrets`, `store` (no records of its own yet), `silent-store` (which never responds), `queries` (labels `mine`, `long`, `broken`), `http` (labels `mine`, `long`, `moved`, and `cookies`, to which the host adds a cookie) and `silent-http` (the label `mine`, which never responds) and `wasi`; none by default |
//! | `max-ttl` | the handler's `max_ttl` in seconds; none by default |
//! | `actor` | with the outcome `ok`: the actor, as JSON, that the client gets |
//! | `twice` | `same`: the call is repeated, and the second result must equal the first |
//! | `base` | the case whose text this one changes; `benign` by default |
//! | `encoding` | how the guest encodes strings: `utf16` or `latin1+utf16`; UTF-8 by default |
//! | `wit` | `OLD => NEW`: replaces OLD in the contract that this guest is built for, and in the text of its base |
//! | `bytes` | the file is not WebAssembly text: one of the names in `hostile/build.rs` |
//!
//! The text after the header is one of the following:
//!
//! * `(component …)` is used unchanged.
//! * Anything else is a list of fields of a core module. A field replaces the field of the base
//!   with the same name (`(func $verify …)` replaces `(func $verify …)`; imports and exports are
//!   matched by their strings) or is added if there is none. The module is then turned into a
//!   component of the world `handler`. A file therefore contains only its differences from
//!   `benign.wat`.
//!
//! Shorthands:
//!
//! * `(repeat 100 …)` expands to 100 copies of its content; `{i}` in it is the number of the copy,
//!   from 0.
//! * `(contains lowered)` and `(contains lifted)` expand to the start of a component, with the
//!   contract's types and a memory in a module of its own, and to its end, with the exports: see
//!   `src/hostile/lowered.wat`.
//! * `(data $name "…")` without an offset is placed in free memory; the globals `$name.ptr` and
//!   `$name.len` hold its position.
//!
//! A handler that probes the host reports its finding: `rejected unknown` if the host refused
//! (`not-granted`, no such secret, nothing left behind), `rejected disabled` for
//! `not-permitted-now`, and `ok` if the attack worked.
//!
//! # Running a case
//!
//! Cases run with the default limits except for the wall clock, because the machine may be busy.
//! The handler is named `hostile`, claims the prefix `ho_` and may vouch for `hostile:*`; another
//! handler of the registry, `victim`, claims `vi_` and has the key label `token`.
//!
//! Any violation of the canonical ABI is `bad-result`, even if a guest passes it to an import or
//! returns it from `cabi_realloc`: a bad pointer, alignment, discriminant or text at the boundary
//! is one class of fault.

mod build;
mod text;

use keyward_runtime::key_sets::{Algorithm, KeySet, KeySetGrant};
use keyward_runtime::limits::LimitKind;
use std::sync::{Arc, LazyLock};
use std::{collections::BTreeMap, fmt, fs, path::PathBuf};

/// A hostile handler and its required outcome.
#[derive(Clone, Debug)]
pub struct Case {
    /// The file's name without `.wat`.
    pub name: String,
    /// The attack, in one sentence.
    pub what: String,
    /// The calls to test.
    pub call: Call,
    /// The operator's grants to the handler.
    pub grants: Grants,
    /// The handler's `max_ttl` in seconds.
    pub max_ttl: Option<u64>,
    /// The required outcome of the call.
    pub outcome: Outcome,
    /// The actor that the client must get, as JSON, if the case names one.
    pub actor: Option<String>,
    /// Set if the call is repeated, and the second result must equal the first.
    pub twice: bool,
    /// The bytes of the handler's file.
    pub bytes: Vec<u8>,
}

/// The calls to test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Load the handler only. In all other cases loading must succeed.
    Load,
    /// Verify a token that starts with `ho_`.
    Verify,
    /// Create a token.
    Create,
    /// Verify and create, each with the outcome of the case.
    Both,
    /// Identify the user of a request with a cookie.
    Identify,
}

/// The interfaces that the operator grants; all others are always granted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// `keys`, with the single label `mine` of scheme `hmac-sha256`.
    pub keys: bool,
    /// `public-keys`, with the single label `mine` of [`public_keys`].
    pub public_keys: bool,
    /// `secrets`, with at least one secret.
    pub secrets: bool,
    /// `store`, without records.
    pub store: bool,
    /// `store`, which never responds.
    pub silent_store: bool,
    /// `queries`: `mine`, which returns its parameter, `long`, which returns 17 MiB, and `broken`.
    pub queries: bool,
    /// `http`: `mine`, which returns its parameter, `long`, which returns 17 MiB, and `moved`,
    /// which redirects.
    pub http: bool,
    /// `http`: `mine`, which never responds.
    pub silent_http: bool,
    /// WASI.
    pub wasi: bool,
}

/// Returns a grant of one key, for EdDSA, of which no case has the private key.
#[expect(clippy::expect_used, reason = "the key is constant")]
pub fn public_keys() -> KeySetGrant {
    // RFC 8037 appendix A.2.
    let key = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let set = KeySet::new("issuer").with_jwks(key, None).expect("a JWK");
    KeySetGrant::new(Arc::new(set), [Algorithm::EdDsa])
}

/// The required outcome of a case.
///
/// [`fmt::Display`] formats it as in the header of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The call succeeds.
    Ok,
    /// The handler returns that the token is not its own.
    NotMine,
    /// The token is rejected, by the handler or by the host's policy: one of [`REASONS`].
    Rejected(String),
    /// No token is created: one of [`DENIALS`].
    Denied(String),
    /// The call fails, or the trial instantiation during loading does: one of [`CALL_CODES`].
    Failed(String),
    /// The handler does not load: one of [`LOAD_CODES`].
    Refused(String),
}

/// Cases of ten kinds: handlers that loop, trap, allocate, burn CPU time, flood the log, or return
/// invalid results.
pub const TEN_KINDS: [&str; 10] = [
    "loop-verify",
    "trap-divide",
    "memory-grow",
    "burns-and-accepts",
    "actor-root",
    "huge-actor-memory",
    "log-flood",
    "stack-mutual",
    "abi-area-at-end",
    "state-memory",
];

/// Reasons for rejecting a token: those of the contract, and `not-permitted`, which only the host
/// gives.
pub const REASONS: &[&str] =
    &["malformed", "bad-signature", "expired", "not-yet-valid", "revoked", "disabled", "unknown", "not-permitted"];

/// Reasons for not creating a token although the handler works.
pub const DENIALS: &[&str] = &["disabled", "invalid-request", "not-permitted"];

/// Codes of calls without a result, apart from those of [`LimitKind`].
const OTHER_CALL_CODES: &[&str] =
    &["busy", "trap", "forbidden-call", "bad-result", "bad-token", "unavailable", "store", "internal"];

/// Codes of calls without a result.
pub static CALL_CODES: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let limits = LimitKind::ALL.iter().map(|limit| limit.code());
    limits.chain(OTHER_CALL_CODES.iter().copied()).collect()
});

/// Codes of files that do not load.
pub const LOAD_CODES: &[&str] = &[
    "not-a-component",
    "core-module",
    "precompiled",
    "too-large",
    "too-complex",
    "invalid",
    "unknown-import",
    "wasi-import",
    "other-version",
    "not-granted",
    "missing-export",
    "wrong-type",
];

/// All cases, by name.
///
/// # Panics
///
/// Panics if a file breaks the rules above, naming the file and the fault.
#[must_use]
#[expect(clippy::panic, reason = "a broken case must stop the test that reads it")]
pub fn cases() -> Vec<Case> {
    Files::read()
        .and_then(|files| files.0.keys().map(|name| files.case(name)).collect())
        .unwrap_or_else(|error| panic!("{error}"))
}

/// Returns a case by its name.
///
/// `benign` does its work; `loop-verify` is the noisy neighbor of the benches.
///
/// # Panics
///
/// Panics if the case does not exist or is broken.
#[must_use]
#[expect(clippy::panic, reason = "a broken case must stop its reader")]
pub fn case(name: &str) -> Case {
    Files::read().and_then(|files| files.case(name)).unwrap_or_else(|error| panic!("{error}"))
}

/// Returns all cases that are built from a core module, as components that also import WASI.
///
/// # Panics
///
/// Panics as [`cases`].
#[must_use]
#[expect(clippy::panic, reason = "a broken case must stop the test that reads it")]
pub fn cases_in_wasi() -> Vec<Case> {
    Files::read().and_then(|files| files.in_wasi()).unwrap_or_else(|error| panic!("{error}"))
}

/// The files of the folder with their headers parsed, by name.
struct Files(BTreeMap<String, File>);

struct File {
    header: BTreeMap<String, String>,
    wit: Vec<(String, String)>,
    text: String,
}

impl Files {
    fn read() -> Result<Self, String> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("hostile");
        let unreadable = |error| format!("{}: {error}", folder.display());
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(&folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let shown = path.display();
            if path.extension().is_none_or(|extension| extension != "wat") {
                return Err(format!("{shown}: only .wat files belong here"));
            }
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let content = fs::read_to_string(&path).map_err(|error| format!("{shown}: {error}"))?;
            files.insert(name, File::parse(content).map_err(|error| format!("{shown}: {error}"))?);
        }
        Ok(Self(files))
    }

    fn case(&self, name: &str) -> Result<Case, String> {
        self.parse(name).map_err(|error| format!("hostile/{name}.wat: {error}"))
    }

    fn parse(&self, name: &str) -> Result<Case, String> {
        let file = self.0.get(name).ok_or("no such file")?;
        let get = |key: &str| file.header.get(key).map(String::as_str);
        let need = |key: &str| get(key).ok_or_else(|| format!("the header has no `{key}`"));

        let call = match need("call")? {
            "load" => Call::Load,
            "verify" => Call::Verify,
            "create" => Call::Create,
            "verify+create" => Call::Both,
            "identify" => Call::Identify,
            other => {
                return Err(format!("`call: {other}` is not one of load, verify, create, verify+create, identify"));
            }
        };
        let outcome = Outcome::parse(need("outcome")?)?;
        if !outcome.matches(call) {
            return Err(format!("this call cannot have the outcome `{outcome}`"));
        }
        let mut grants = Grants::default();
        for grant in get("grants").into_iter().flat_map(str::split_whitespace) {
            match grant {
                "keys" => grants.keys = true,
                "public-keys" => grants.public_keys = true,
                "secrets" => grants.secrets = true,
                "store" => grants.store = true,
                "silent-store" => grants.silent_store = true,
                "queries" => grants.queries = true,
                "http" => grants.http = true,
                "silent-http" => grants.silent_http = true,
                "wasi" => grants.wasi = true,
                other => {
                    return Err(format!(
                        "`grants: {other}` is not keys, public-keys, secrets, store, silent-store, queries, http, silent-http or wasi"
                    ));
                }
            }
        }
        let max_ttl = get("max-ttl").map(str::parse).transpose().map_err(|error| format!("`max-ttl`: {error}"))?;
        let twice = match get("twice") {
            None => false,
            Some("same") => true,
            Some(other) => return Err(format!("`twice: {other}` is not `same`")),
        };
        let actor = get("actor").map(str::to_owned);
        if actor.is_some() && outcome != Outcome::Ok {
            return Err("`actor` requires `outcome: ok`".to_owned());
        }

        Ok(Case {
            name: name.to_owned(),
            what: need("what")?.to_owned(),
            call,
            grants,
            max_ttl,
            outcome,
            actor,
            twice,
            bytes: self.bytes(name, file)?,
        })
    }

    fn bytes(&self, name: &str, file: &File) -> Result<Vec<u8>, String> {
        if let Some(kind) = file.header.get("bytes") {
            if !text::forms(&file.text)?.is_empty() {
                return Err("`bytes` excludes text".to_owned());
            }
            let benign = self.0.get("benign").ok_or("benign.wat does not exist")?;
            return build::raw(kind, &self.module("benign", benign)?);
        }
        let expanded = text::expand(&text::contains(&file.text))?;
        if text::forms(&expanded)?.first().is_some_and(|form| form.starts_with("(component")) {
            return wat::parse_str(&expanded).map_err(|error| error.to_string());
        }
        let encoding = file.header.get("encoding").map_or("utf8", String::as_str);
        let world = file.header.get("world").map_or("handler", String::as_str);
        build::component(&self.module(name, file)?, &file.wit, world, encoding)
    }

    fn in_wasi(&self) -> Result<Vec<Case>, String> {
        let mut cases = Vec::new();
        for (name, file) in &self.0 {
            let world = file.header.get("world").map_or("handler", String::as_str);
            let is_module = !file.header.contains_key("bytes") && !text::contains(&file.text).contains("(component");
            if !is_module || world.starts_with("wasi") || file.header.get("call").is_some_and(|call| call == "load") {
                continue;
            }
            let mut fields = self.fields(name, file, 0)?;
            fields.push(
                r#"(import "wasi:random/random@0.2.0" "get-random-u64" (func $in-wasi (result i64)))"#.to_owned(),
            );
            let world = if world == "handler" { "wasi".to_owned() } else { format!("wasi-{world}") };
            let encoding = file.header.get("encoding").map_or("utf8", String::as_str);
            let mut case = self.case(name)?;
            case.grants.wasi = true;
            case.bytes = build::component(&text::module(&fields)?, &file.wit, &world, encoding)?;
            cases.push(case);
        }
        Ok(cases)
    }

    /// Returns the text of a core module: the fields of the base, with replacements and additions.
    fn module(&self, name: &str, file: &File) -> Result<String, String> {
        text::module(&self.fields(name, file, 0)?)
    }

    fn fields(&self, name: &str, file: &File, depth: u32) -> Result<Vec<String>, String> {
        if depth > 4 {
            return Err("its base is its own base".to_owned());
        }
        let own = text::forms(&text::expand(&file.text)?)?;
        let base = match (file.header.get("base"), name) {
            (None, "benign") => return Ok(own),
            (None, _) => "benign",
            (Some(base), _) => base,
        };
        let base_file = self.0.get(base).ok_or_else(|| format!("no base {base}.wat"))?;
        for (old, _) in &file.wit {
            if !build::in_contract(old) && !base_file.text.contains(old) {
                return Err(format!("`wit`: neither the contract nor the base has `{old}`"));
            }
        }
        let inherited = self
            .fields(base, base_file, depth + 1)?
            .into_iter()
            .map(|field| file.wit.iter().fold(field, |field, (old, new)| field.replace(old, new)));
        text::merge(inherited.collect(), own)
    }
}

impl File {
    const KEYS: &[&str] = &[
        "what", "call", "outcome", "grants", "max-ttl", "actor", "twice", "base", "world", "encoding", "wit", "bytes",
    ];

    fn parse(content: String) -> Result<Self, String> {
        let mut header = BTreeMap::new();
        let mut wit = Vec::new();
        for line in content.lines() {
            let Some((key, value)) = line.strip_prefix(";; ").and_then(|line| line.split_once(": ")) else {
                break;
            };
            if !Self::KEYS.contains(&key) {
                return Err(format!("the header has no key `{key}`"));
            }
            if key == "wit" {
                let (old, new) = value.split_once(" => ").ok_or("`wit` is `OLD => NEW`")?;
                wit.push((old.to_owned(), new.to_owned()));
            } else if header.insert(key.to_owned(), value.trim().to_owned()).is_some() {
                return Err(format!("duplicate key `{key}`"));
            }
        }
        Ok(Self { header, wit, text: content })
    }
}

impl Outcome {
    fn parse(text: &str) -> Result<Self, String> {
        let known = |codes: &[&str], code: &str| codes.contains(&code).then(|| code.to_owned());
        let outcome = match text.split_once(' ') {
            Some(("rejected", reason)) => known(REASONS, reason).map(Self::Rejected),
            Some(("denied", denial)) => known(DENIALS, denial).map(Self::Denied),
            Some(_) => None,
            None if text == "ok" => Some(Self::Ok),
            None if text == "not-mine" => Some(Self::NotMine),
            None => known(&CALL_CODES, text).map(Self::Failed).or_else(|| known(LOAD_CODES, text).map(Self::Refused)),
        };
        outcome.ok_or_else(|| format!("`outcome: {text}` is not an outcome"))
    }

    fn matches(&self, call: Call) -> bool {
        match self {
            Self::Ok | Self::Failed(_) => true,
            Self::NotMine | Self::Rejected(_) => matches!(call, Call::Verify | Call::Identify),
            Self::Denied(_) => call == Call::Create,
            Self::Refused(_) => call == Call::Load,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("ok"),
            Self::NotMine => f.write_str("not-mine"),
            Self::Rejected(reason) => write!(f, "rejected {reason}"),
            Self::Denied(denial) => write!(f, "denied {denial}"),
            Self::Failed(code) | Self::Refused(code) => f.write_str(code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_formatted_as_it_was_parsed() {
        for text in ["ok", "not-mine", "rejected expired", "denied disabled", "limit-cpu", "too-large"] {
            assert_eq!(Outcome::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "okay", "rejected", "rejected limit-cpu", "denied expired", "limit", "trap "] {
            assert!(Outcome::parse(text).is_err(), "{text}");
        }
    }

    fn parse(text: &str) -> Result<Case, String> {
        let benign = include_str!("../hostile/benign.wat").to_owned();
        let files = [("benign", benign), ("x", text.to_owned())];
        let files = files.map(|(name, text)| File::parse(text).map(|file| (name.to_owned(), file)));
        Files(files.into_iter().collect::<Result<_, _>>()?).case("x")
    }

    #[test]
    fn an_invalid_header_is_an_error() {
        let good = ";; what: a\n;; call: verify\n;; outcome: ok\n";
        assert_eq!(parse(good).unwrap().bytes, parse(&format!("{good};; grants: keys secrets\n")).unwrap().bytes);
        for (text, error) in [
            (";; call: verify\n;; outcome: ok\n".to_owned(), "no `what`"),
            (good.replace("outcome: ok", "outcome: fine"), "not an outcome"),
            (good.replace("verify", "run"), "`call: run`"),
            (good.replace("verify", "load").replace("outcome: ok", "outcome: not-mine"), "cannot have the outcome"),
            (format!("{good};; grants: key\n"), "`grants: key`"),
            (format!("{good};; limit: cpu\n"), "no key `limit`"),
            (format!("{good};; call: load\n"), "duplicate key `call`"),
            (format!("{good};; max-ttl: 1h\n"), "`max-ttl`"),
            (format!("{good};; twice: other\n"), "`twice: other`"),
            (format!("{good};; base: x\n"), "its own base"),
            (format!("{good};; base: y\n"), "no base y"),
            (format!("{good};; encoding: ascii\n"), "`encoding: ascii`"),
            (format!("{good};; wit: no-such-name => text\n"), "has `no-such-name`"),
            (format!("{good};; wit: clock\n"), "OLD => NEW"),
            (format!("{good};; bytes: rubbish\n"), "`bytes: rubbish`"),
            (format!("{good};; bytes: text\n(func)"), "excludes text"),
            (format!("{good}\n(func $verify"), "not closed"),
            (format!("{good}\n(func $verify (param i32 i32) (result i32) (call $nobody))"), "nobody"),
        ] {
            let told = parse(&text).map(|_| text.clone()).unwrap_err();
            assert!(told.contains(error), "{text}\n{told}");
        }
        let with_actor = good.replace("outcome: ok", "outcome: trap") + ";; actor: {}\n";
        assert!(parse(&with_actor).unwrap_err().contains("`actor`"));
    }

    #[test]
    fn a_verdict_needs_its_own_call() {
        assert!(Outcome::Rejected("expired".to_owned()).matches(Call::Verify));
        assert!(!Outcome::Rejected("expired".to_owned()).matches(Call::Create));
        assert!(!Outcome::Refused("invalid".to_owned()).matches(Call::Verify));
        assert!(!Outcome::Denied("disabled".to_owned()).matches(Call::Both));
    }
}
