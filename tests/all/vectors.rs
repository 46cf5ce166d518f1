//! Datasette's own tokens: every create and verify case of `vectors/datasette-signed.json`,
//! in-process, through the program and over HTTP, and proof that the cases distinguish wrong
//! implementations from a correct one.

mod program;

use crate::support::{self, RUNTIME, TestClock, resign};
use keyward_runtime::clock::UnixTime;
use keyward_runtime::keys::{KeyGrant, KeyRing, Scheme, Secret};
use keyward_runtime::{Actors, CreateRequest, Creation, HandlerConfig, Registry, Restrictions, Verdict};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::sync::{Arc, LazyLock, Mutex};

/// A case for a subject.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) settings: Value,
    /// The time, parsed and as written in the file.
    pub(crate) now: Option<UnixTime>,
    pub(crate) now_text: String,
    pub(crate) actions: BTreeMap<String, String>,
    pub(crate) input: Value,
    pub(crate) want: Value,
    /// The payload of the original's token, for tokens whose bytes may differ.
    payload: Value,
    /// The original's verdicts on its own token at other times.
    later: Vec<Value>,
}

/// The response of a subject, in the terms of the vectors.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    Token(String),
    Refused(String),
    Accepted(Value),
    NotMine,
    Rejected {
        reason: String,
        message: String,
    },
    Failed(String),
    /// The request cannot be expressed for this subject.
    Inexpressible(&'static str),
}

pub(crate) fn cases(op: &str) -> Vec<Case> {
    let file: Value = serde_json::from_str(include_str!("../vectors/datasette-signed.json")).unwrap();
    let of_op = file["cases"].as_array().unwrap().iter().filter(|case| case["op"] == op && case["want"].is_object());
    of_op.map(|case| Case::read(case, &file["meta"]["abbr"])).collect()
}

impl Case {
    pub(crate) fn read(case: &Value, abbreviations: &Value) -> Self {
        Self {
            id: case["id"].as_str().unwrap().to_owned(),
            secret: case["secret"].as_str().unwrap().to_owned(),
            settings: case["settings"].clone(),
            now: unix_time(&case["now"]),
            now_text: case["now"].to_string(),
            actions: serde_json::from_value(abbreviations[case["abbr"].as_str().unwrap_or("none")].clone()).unwrap(),
            input: case["input"].clone(),
            want: case["want"].clone(),
            payload: case["expect"]["payload"].clone(),
            later: case["expect"]["verify"].as_array().cloned().unwrap_or_default(),
        }
    }
}

/// Parses a time of the vectors, in seconds with decimals. Returns `None` for times before 1970.
fn unix_time(now: &Value) -> Option<UnixTime> {
    let text = now.to_string();
    let (seconds, decimals) = text.split_once('.').unwrap_or((&text, ""));
    let nanoseconds = format!("{decimals:0<9}").get(..9)?.parse().ok()?;
    Some(UnixTime { seconds: seconds.parse().ok()?, nanoseconds })
}

/// Registries by configuration, shared by their cases.
#[derive(Default)]
pub(crate) struct InProcess {
    registries: Mutex<HashMap<String, Registry>>,
}

pub(crate) static IN_PROCESS: LazyLock<InProcess> = LazyLock::new(InProcess::default);

/// Returns the signed handler as in Datasette, which accepts a secret of any length.
fn with_a_key(secret: &[u8]) -> HandlerConfig {
    let ring = Arc::new(KeyRing::dangerous_allow_short("main", Secret::new(secret), vec![]).unwrap());
    let mut config = HandlerConfig::new("signed", support::SIGNED, Actors::Any);
    config.first_party = true;
    support::unhurried(&mut config.limits);
    config.prefixes = vec!["dstok_".into()];
    let grant = KeyGrant::new(ring).scheme(Scheme::Itsdangerous).namespace("token");
    config.keys.insert("token".into(), grant);
    config
}

impl InProcess {
    pub(crate) fn registry(&self, case: &Case) -> Registry {
        let configuration = format!("{:?}", (&case.secret, &case.settings, &case.actions));
        let mut registries = self.registries.lock().unwrap();
        registries.entry(configuration).or_insert_with(|| Self::build(case)).clone()
    }

    fn build(case: &Case) -> Registry {
        let mut config = with_a_key(case.secret.as_bytes());
        config.settings =
            case.settings.as_object().unwrap().iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
        let mut builder = Registry::builder(&RUNTIME).open_actions().handler(config);
        for (name, short) in &case.actions {
            builder = builder.action(name, short);
        }
        builder.build().unwrap()
    }

    fn verify(&self, case: &Case, token: &str) -> Answer {
        // Each thread of the test binary has the clock of its own case.
        TestClock.set(case.now);
        answer_to_verify(self.registry(case).verify_blocking(token))
    }

    fn create(&self, case: &Case) -> Answer {
        let request = match request(&case.input) {
            Ok(request) => request,
            Err(why) => return Answer::Refused(why.to_owned()),
        };
        TestClock.set(case.now);
        match self.registry(case).create_blocking(request) {
            Ok(Creation::Created(created)) => Answer::Token(created.token),
            Ok(Creation::Denied(denied)) => Answer::Refused(denied.message),
            Err(error) => Answer::Failed(error.to_string()),
        }
    }
}

fn answer_to_verify(result: Result<Verdict, keyward_runtime::Error>) -> Answer {
    match result {
        Ok(Verdict::Accepted(acceptance)) => {
            Answer::Accepted(serde_json::from_str(acceptance.actor_ignoring_restrictions().json()).unwrap())
        }
        Ok(Verdict::NotMine) => Answer::NotMine,
        Ok(Verdict::Rejected(rejection)) => {
            Answer::Rejected { reason: rejection.reason.to_string(), message: rejection.message }
        }
        Err(error) => Answer::Failed(error.to_string()),
    }
}

/// Builds a [`CreateRequest`]. What its types rule out is refused here; the rest is left to the
/// handler.
fn request(input: &Value) -> Result<CreateRequest, &'static str> {
    let mut request = CreateRequest::new(input["actor_id"].as_str().ok_or("an actor id is text")?);
    request.expires_after = match &input["expires_after"] {
        Value::Null => None,
        given => {
            let seconds = given.as_u64().and_then(|seconds| u32::try_from(seconds).ok()).and_then(NonZeroU32::new);
            Some(seconds.ok_or("a lifetime is a whole number of seconds from 1 to 4294967295")?)
        }
    };
    let flags = restriction_flags(&input["restrictions"]);
    // A builder of the original without arguments restricts nothing (A1-38), like a command line
    // without flags.
    request.restrictions = (!flags.is_empty()).then(|| {
        flags.iter().fold(Restrictions::new(), |restrictions, flag| match flag {
            Flag::All(action) => restrictions.allow_all(action),
            Flag::Database(database, action) => restrictions.allow_database(database, action),
            Flag::Resource(database, resource, action) => restrictions.allow_resource(database, resource, action),
        })
    });
    Ok(request)
}

pub(crate) enum Flag {
    All(String),
    Database(String, String),
    Resource(String, String, String),
}

/// Returns each restriction once, in the order of the vectors.
pub(crate) fn restriction_flags(restrictions: &Value) -> Vec<Flag> {
    let strings = |list: &Value| -> Vec<String> {
        list.as_array().into_iter().flatten().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let members = |map: &Value| map.as_object().cloned().unwrap_or_default();
    let mut flags: Vec<Flag> = strings(&restrictions["all"]).into_iter().map(Flag::All).collect();
    for (database, actions) in members(&restrictions["database"]) {
        flags.extend(strings(&actions).into_iter().map(|action| Flag::Database(database.clone(), action)));
    }
    for (database, resources) in members(&restrictions["resource"]) {
        for (resource, actions) in members(&resources) {
            let flag = |action| Flag::Resource(database.clone(), resource.clone(), action);
            flags.extend(strings(&actions).into_iter().map(flag));
        }
    }
    flags
}

/// Compares an answer with the expected one.
pub(crate) fn judge(case: &Case, answer: &Answer) -> Result<(), String> {
    let want = &case.want;
    let message_fits = |message: &str| want.get("message").is_none_or(|wanted| wanted == message);
    let fine = match (want["outcome"].as_str().unwrap(), answer) {
        (_, Answer::Inexpressible(_)) => true,
        ("token", Answer::Token(token)) if want["exact"] == true => want["token"] == token.as_str(),
        ("token", Answer::Token(token)) => payload_of(token) == case.payload,
        ("refused", Answer::Refused(message)) => message_fits(message),
        ("refused-or-token", Answer::Token(_) | Answer::Refused(_) | Answer::Failed(_)) => true,
        ("accepted", Answer::Accepted(actor)) => want["actor"] == *actor,
        ("not-mine", Answer::NotMine) => true,
        ("rejected", Answer::Rejected { reason, message }) => {
            want.get("reason").is_none_or(|wanted| wanted == reason.as_str()) && message_fits(message)
        }
        ("either", Answer::Accepted(_) | Answer::Rejected { .. }) => true,
        _ => false,
    };
    if fine { Ok(()) } else { Err(format!("{}: wanted {want}, got {answer:?}", case.id)) }
}

fn payload_of(token: &str) -> Value {
    let signed = token.strip_prefix("dstok_").unwrap();
    let json = keyward_guest_signed::itsdangerous::json(signed.rsplit_once('.').unwrap().0).unwrap();
    serde_json::from_str(&json).unwrap()
}

fn wrong<'a>(cases: &'a [Case], subject: impl Fn(&'a Case) -> Answer) -> Vec<String> {
    cases.iter().filter_map(|case| judge(case, &subject(case)).err()).collect()
}

fn verify_in_process(case: &Case) -> Answer {
    IN_PROCESS.verify(case, case.input["token"].as_str().unwrap())
}

#[test]
fn every_verify_case_in_process() {
    let cases = cases("verify");
    assert!(cases.len() >= 100, "the vectors are complete");
    assert_eq!(wrong(&cases, verify_in_process), [""; 0]);
}

#[test]
fn every_create_case_in_process() {
    let cases = cases("create");
    assert!(cases.len() >= 30, "the vectors are complete");
    assert_eq!(wrong(&cases, |case| IN_PROCESS.create(case)), [""; 0]);
}

/// Each side verifies the other's tokens, at every time in the vectors.
#[test]
fn created_tokens_age_as_the_originals_do() {
    let mut asked = 0;
    for case in cases("create") {
        let Answer::Token(ours) = IN_PROCESS.create(&case) else { continue };
        for token in [Some(ours.as_str()), case.want["token"].as_str()].into_iter().flatten() {
            for later in &case.later {
                let at = Case { now: unix_time(&later["now"]), ..case.clone() };
                // The leeway for tokens from the future is specific to Keyward.
                let from_the_future = at.now < case.now;
                match (IN_PROCESS.verify(&at, token), later) {
                    (Answer::Accepted(actor), later) if later["actor"] == actor => {}
                    (Answer::Rejected { message, .. }, later) if later["invalid"] == message.as_str() => {}
                    (Answer::Rejected { .. }, _) if from_the_future => {}
                    (answer, later) => panic!("{}: the original returned {later}, got {answer:?}", case.id),
                }
                asked += 1;
            }
        }
    }
    assert!(asked > 100, "{asked}");
}

/// Simulates mutants: accepting any signature equals always presenting the right one, ignoring the
/// maximum lifetime equals having none, and being off by a second equals shifting the clock. Each
/// must fail some case.
#[test]
fn wrong_implementations_fail() {
    let cases = cases("verify");
    let resigned = |case: &Case| {
        let token = case.input["token"].as_str().unwrap();
        IN_PROCESS.verify(case, &resign(token, &case.secret))
    };
    let without_cap = |case: &Case| {
        let mut case = case.clone();
        case.settings["max_signed_tokens_ttl"] = json!(0);
        verify_in_process(&case)
    };
    let off_by = |seconds: i64| {
        move |case: &Case| {
            let now = case.now.map(|now| UnixTime { seconds: now.seconds.saturating_add_signed(seconds), ..now });
            verify_in_process(&Case { now, ..case.clone() })
        }
    };
    let unsigned_disabled = |case: &Case| {
        let mut case = case.clone();
        case.settings["allow_signed_tokens"] = json!(true);
        verify_in_process(&case)
    };
    for (mutant, failures) in [
        ("any signature", wrong(&cases, resigned)),
        ("no lifetime cap", wrong(&cases, without_cap)),
        ("a second early at expiry", wrong(&cases, off_by(1))),
        ("a second late at expiry", wrong(&cases, off_by(-1))),
        ("cannot be disabled", wrong(&cases, unsigned_disabled)),
    ] {
        assert!(!failures.is_empty(), "undetected mutant: {mutant}");
        println!("{mutant}: fails {} of {} cases", failures.len(), cases.len());
    }
}

/// Parses a verdict in JSON, as written by the program and the server.
pub(crate) fn answer_in_json(line: &str) -> Answer {
    let line: Value = serde_json::from_str(line).unwrap();
    let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    match line["outcome"].as_str().unwrap() {
        "accepted" => Answer::Accepted(line["actor"].clone()),
        "not-mine" => Answer::NotMine,
        "rejected" => Answer::Rejected { reason: text("reason"), message: text("message") },
        _ => Answer::Failed(line.to_string()),
    }
}
