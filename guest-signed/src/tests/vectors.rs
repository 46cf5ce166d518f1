//! The tokens of the originals and the verdicts required of them. `want` is authoritative; checks
//! of the host (actor policy, leeway) are applied here by rule and never by case name.

use std::collections::HashMap;

use keyward_sdk::{CreateError, CreateRequest, Reason, Restrictions, TokenHandler as _, Verdict};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::{derived, host_with, sha1_mac};
use crate::python_json::{Document, Kind, write_string};
use crate::{Signed, itsdangerous, restrictions};

const FILE: &str = include_str!("../../../tests/vectors/datasette-signed.json");

#[derive(Deserialize)]
struct File<'a> {
    meta: Meta,
    #[serde(borrow)]
    cases: Vec<Case<'a>>,
}

#[derive(Deserialize)]
struct Meta {
    abbr: HashMap<String, HashMap<String, String>>,
}

/// Inputs remain raw text: some hold values that neither Rust's strings nor its numbers can.
#[derive(Deserialize)]
struct Case<'a> {
    id: String,
    op: String,
    secret: String,
    #[serde(default)]
    abbr: String,
    #[serde(borrow)]
    now: Option<&'a RawValue>,
    #[serde(default)]
    settings: Map<String, Value>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    want: Option<&'a RawValue>,
}

fn cases(op: &str) -> (Vec<Case<'static>>, Meta) {
    let file: File<'static> = serde_json::from_str(FILE).unwrap();
    (file.cases.into_iter().filter(|case| case.op == op).collect(), file.meta)
}

impl Case<'_> {
    fn host(&self) -> Option<keyward_sdk::testing::Host> {
        let (seconds, nanoseconds) = instant(self.now?.get())?;
        let mut host = host_with(&self.secret, sha1_mac).at(seconds, nanoseconds);
        for (name, value) in &self.settings {
            host = host.setting(name, &value.to_string());
        }
        Some(host)
    }

    fn want(&self) -> Value {
        serde_json::from_str(self.want.unwrap().get()).unwrap()
    }
}

/// Returns the Unix seconds and nanoseconds of a decimal, or `None` before 1970.
fn instant(text: &str) -> Option<(u64, u32)> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    Some((seconds.parse().ok()?, format!("{fraction:0<9}").get(..9)?.parse().ok()?))
}

#[derive(Deserialize)]
struct CreateInput {
    actor_id: String,
    expires_after: Option<u32>,
    restrictions: Option<RestrictInput>,
}

#[derive(Deserialize)]
struct RestrictInput {
    all: Vec<String>,
    database: Map<String, Value>,
    resource: Map<String, Value>,
}

impl RestrictInput {
    /// Applies the operator's abbreviations. As in the original, no actions at all means no
    /// restrictions.
    fn abbreviated(self, abbr: &HashMap<String, String>) -> Option<Restrictions> {
        let actions = |value: &Value| -> Vec<String> {
            let names: Vec<String> = serde_json::from_value(value.clone()).unwrap();
            names.into_iter().map(|name| abbr.get(&name).cloned().unwrap_or(name)).collect()
        };
        if self.all.is_empty() && self.database.is_empty() && self.resource.is_empty() {
            return None;
        }
        Some(Restrictions {
            all: actions(&json!(self.all)),
            database: self.database.iter().map(|(db, value)| (db.clone(), actions(value))).collect(),
            resource: self
                .resource
                .iter()
                .flat_map(|(db, of)| {
                    of.as_object().unwrap().iter().map(|(res, v)| (db.clone(), res.clone(), actions(v)))
                })
                .collect(),
        })
    }
}

#[test]
fn create_cases() {
    let (cases, meta) = cases("create");
    let mut made = 0;
    for case in &cases {
        let (id, want) = (&case.id, case.want());
        let outcome = want["outcome"].as_str().unwrap();
        let input: Result<CreateInput, _> = serde_json::from_str(case.input.unwrap().get());
        let (Ok(input), Some(host)) = (input, case.host()) else {
            // The host refuses anything that a request or a clock cannot express.
            assert_ne!(outcome, "token", "{id}");
            continue;
        };
        let request = CreateRequest {
            actor_id: input.actor_id,
            expires_after: input.expires_after,
            restrictions: input.restrictions.and_then(|restrict| restrict.abbreviated(&meta.abbr[&case.abbr])),
            description: None,
        };
        let answer = host.run(|| Signed::create(request));
        match (outcome, answer) {
            ("token", Ok(created)) => {
                let wanted = want["token"].as_str().unwrap();
                if want["exact"] == json!(true) {
                    assert_eq!(created.token, wanted, "{id}");
                } else {
                    assert_eq!(payload(&created.token), payload(wanted), "{id}");
                }
                made += 1;
                for token in [created.token.as_str(), wanted] {
                    let Verdict::Accepted(acceptance) = host.run(|| Signed::verify(token)).unwrap() else {
                        panic!("{id}: {token} is not accepted");
                    };
                    assert_eq!(acceptance.expires_at, created.expires_at, "{id}");
                    assert_eq!(acceptance.token_id == created.token_id, token == created.token, "{id}");
                }
            }
            ("refused", Err(CreateError::Denied(denied))) => {
                if let Some(message) = want["message"].as_str() {
                    assert_eq!(denied.message, message, "{id}");
                }
            }
            ("refused-or-token", Ok(_) | Err(CreateError::Denied(_))) => {}
            (_, answer) => panic!("{id}: wanted {want}, got {answer:?}"),
        }
    }
    assert!(made >= 24, "{made} of {} cases", cases.len());
}

fn payload(token: &str) -> String {
    let (value, _) = itsdangerous::split(token.strip_prefix("dstok_").unwrap()).unwrap();
    itsdangerous::json(value).unwrap()
}

#[test]
fn verify_cases() {
    #[derive(Deserialize)]
    struct Input {
        token: String,
    }
    let (cases, _) = cases("verify");
    let mut judged = 0;
    for case in &cases {
        let (id, want) = (&case.id, case.want());
        let input: Result<Input, _> = serde_json::from_str(case.input.unwrap().get());
        let (Ok(Input { token }), Some(host)) = (input, case.host()) else {
            // Not text, or a clock before 1970: such a case never reaches a handler.
            assert_ne!(want["outcome"], "accepted", "{id}");
            continue;
        };
        judged += 1;
        let verdict = host.run(|| Signed::verify(&token)).unwrap();
        let (seconds, _) = instant(case.now.unwrap().get()).unwrap();
        match (want["outcome"].as_str().unwrap(), verdict) {
            // The host's leeway rejects a token from the future.
            ("rejected", Verdict::Accepted(acceptance)) => {
                assert!(acceptance.issued_at.unwrap() > seconds + 60, "{id}: accepted");
            }
            ("rejected", Verdict::Rejected(rejection)) => {
                if let Some(reason) = want["reason"].as_str() {
                    assert_eq!(name(rejection.reason), reason, "{id}");
                }
                if let Some(message) = want["message"].as_str() {
                    assert_eq!(rejection.message, message, "{id}");
                }
            }
            ("accepted", Verdict::Accepted(acceptance)) => {
                assert!(acceptance.issued_at.unwrap() <= seconds + 60, "{id}");
                let mut actor: Value = serde_json::from_str(&acceptance.actor).unwrap();
                // Added by the host.
                if let Some(own) = &acceptance.restrictions {
                    let mut text = String::new();
                    restrictions::write(&mut text, own);
                    actor["_r"] = serde_json::from_str(&text).unwrap();
                }
                if let Some(expires) = acceptance.expires_at {
                    actor["token_expires"] = json!(expires);
                }
                assert_eq!(actor, want["actor"], "{id}");
            }
            ("not-mine", Verdict::NotMine) | ("either", Verdict::Accepted(_) | Verdict::Rejected(_)) => {}
            (_, verdict) => panic!("{id}: wanted {want}, got {verdict:?}"),
        }
    }
    assert!(judged >= 126, "{judged} of {} cases", cases.len());
}

fn name(reason: Reason) -> &'static str {
    match reason {
        Reason::Malformed => "malformed",
        Reason::BadSignature => "bad-signature",
        Reason::Expired => "expired",
        Reason::Disabled => "disabled",
        Reason::NotYetValid | Reason::Revoked | Reason::Unknown => "not a reason of this handler",
    }
}

#[test]
fn dumps_cases() {
    #[derive(Deserialize)]
    struct Input<'a> {
        salt: String,
        #[serde(borrow)]
        value: &'a RawValue,
    }
    #[derive(Deserialize)]
    struct Want {
        signed: String,
        exact: bool,
    }
    let (cases, _) = cases("dumps");
    assert!(cases.len() >= 13);
    for case in &cases {
        let id = &case.id;
        let input: Input = serde_json::from_str(case.input.unwrap().get()).unwrap();
        let want: Want = serde_json::from_str(case.want.unwrap().get()).unwrap();
        let json = compact(input.value.get());
        let key = derived(&case.secret, &input.salt);
        let mut signed = String::new();
        itsdangerous::push_value(&mut signed, &json);
        let signature = sha1_mac(&key, signed.as_bytes());
        itsdangerous::push_signature(&mut signed, &signature);
        if want.exact {
            assert_eq!(signed, want.signed, "{id}");
        }
        assert_eq!(load(&key, &signed), Some(json.clone()), "{id}");
        assert_eq!(load(&key, &want.signed), Some(json), "{id}");
    }
}

#[test]
fn loads_cases() {
    #[derive(Deserialize)]
    struct Input {
        salt: String,
        signed: String,
    }
    #[derive(Deserialize)]
    struct Want<'a> {
        #[serde(borrow)]
        value: Option<&'a RawValue>,
        #[serde(default)]
        refused: bool,
    }
    let (cases, _) = cases("loads");
    assert!(cases.len() >= 22);
    for case in &cases {
        let id = &case.id;
        let input: Input = serde_json::from_str(case.input.unwrap().get()).unwrap();
        let want: Want = serde_json::from_str(case.want.unwrap().get()).unwrap();
        let loaded = load(&derived(&case.secret, &input.salt), &input.signed);
        let loaded = loaded.filter(|json| Document::parse(json).is_some());
        assert_eq!(loaded.is_none(), want.refused, "{id}");
        let Some(loaded) = loaded else { continue };
        // `null` is a value, which an `Option` reads as none.
        let wanted = want.value.map_or("null", RawValue::get);
        let same_value = || serde_json::from_str::<Value>(&loaded).ok() == serde_json::from_str(wanted).ok();
        assert!(compact(&loaded) == compact(wanted) || same_value(), "{id}: {loaded}");
    }
}

/// Returns the JSON text of a signed text if the signature is valid.
fn load(key: &[u8], signed: &str) -> Option<String> {
    let (value, signature) = itsdangerous::split(signed)?;
    (sha1_mac(key, value.as_bytes()) == signature).then(|| itsdangerous::json(value))?
}

/// Returns JSON as Python writes it: no spaces, no needless escapes, numbers unchanged.
fn compact(json: &str) -> String {
    fn write(to: &mut String, value: crate::python_json::Value<'_>) {
        let separate = |to: &mut String, at| {
            if at > 0 {
                to.push(',')
            }
        };
        match value.kind() {
            Kind::String => write_string(to, &value.string().unwrap()),
            Kind::Array => {
                to.push('[');
                for (at, item) in value.items().unwrap().enumerate() {
                    separate(to, at);
                    write(to, item);
                }
                to.push(']');
            }
            Kind::Object => {
                to.push('{');
                for (at, (name, item)) in value.members().unwrap().enumerate() {
                    separate(to, at);
                    write(to, name);
                    to.push(':');
                    write(to, item);
                }
                to.push('}');
            }
            _ => to.push_str(value.text()),
        }
    }
    let mut text = String::new();
    write(&mut text, Document::parse(json).unwrap().root());
    text
}
