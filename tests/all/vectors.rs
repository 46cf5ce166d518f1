//! Datasette's own tokens: every create and verify case of `vectors/datasette-signed.json`, in-process and through the
//! program, and proof that the cases can tell a wrong implementation from a right one.

use crate::support::{self, TestClock};
use hmac::{Hmac, KeyInit, Mac};
use keyward_runtime::{
    Actors, CreateRequest, Creation, HandlerConfig, KeyGrant, KeyRing, Registry, Restrictions, Runtime, Scheme, Secret,
    UnixTime, Verdict,
};
use serde_json::{Map, Value, json};
use sha1::{Digest, Sha1};
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::num::NonZeroU32;
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock, Mutex};

/// A case that a subject is asked about.
#[derive(Clone)]
pub(crate) struct Case {
    id: String,
    secret: String,
    settings: Value,
    /// The clock, and its text in the file.
    now: Option<UnixTime>,
    now_text: String,
    actions: BTreeMap<String, String>,
    input: Value,
    want: Value,
    /// The payload that the original wrote, for tokens whose bytes may differ.
    payload: Value,
    /// What the original says to its own token at other times.
    later: Vec<Value>,
}

/// What a subject answers, in the words of the vectors.
#[derive(Debug, Clone, PartialEq)]
enum Answer {
    Token(String),
    Refused(String),
    Accepted(Value),
    NotMine,
    Rejected {
        reason: String,
        message: String,
    },
    Failed(String),
    /// The question cannot be put to this subject.
    Inexpressible(&'static str),
}

fn cases(op: &str) -> Vec<Case> {
    let file: Value = serde_json::from_str(include_str!("../vectors/datasette-signed.json")).unwrap();
    let abbreviations = &file["meta"]["abbr"];
    let of_op = file["cases"].as_array().unwrap().iter().filter(|case| case["op"] == op && case["want"].is_object());
    of_op
        .map(|case| Case {
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
        })
        .collect()
}

/// The vectors' clock: a number of seconds, with decimals. `None` is before 1970.
fn unix_time(now: &Value) -> Option<UnixTime> {
    let text = now.to_string();
    let (seconds, decimals) = text.split_once('.').unwrap_or((&text, ""));
    let nanoseconds = format!("{decimals:0<9}").get(..9)?.parse().ok()?;
    Some(UnixTime { seconds: seconds.parse().ok()?, nanoseconds })
}

/// In-process: one runtime, and one registry for all cases of one configuration.
struct InProcess {
    runtime: Runtime,
    clock: TestClock,
    registries: Mutex<HashMap<String, Registry>>,
}

static IN_PROCESS: LazyLock<InProcess> = LazyLock::new(|| {
    let clock = TestClock;
    let runtime = Runtime::with(keyward_runtime::RuntimeLimits::default(), clock.clone()).unwrap();
    InProcess { runtime, clock, registries: Mutex::default() }
});

/// The signed handler as Datasette has it: any secret, however short.
fn with_a_key(secret: &[u8]) -> HandlerConfig {
    let ring = Arc::new(KeyRing::dangerous_allow_short("main", Secret::new(secret), vec![]).unwrap());
    let mut config = HandlerConfig::new("signed", support::SIGNED, Actors::Any);
    config.prefixes = vec!["dstok_".into()];
    let grant = KeyGrant { ring, scheme: Scheme::Itsdangerous, namespace: Some("token".into()) };
    config.keys.insert("token".into(), grant);
    config
}

impl InProcess {
    fn registry(&self, case: &Case) -> Registry {
        let configuration = format!("{:?}", (&case.secret, &case.settings, &case.actions));
        let mut registries = self.registries.lock().unwrap();
        registries.entry(configuration).or_insert_with(|| self.build(case)).clone()
    }

    fn build(&self, case: &Case) -> Registry {
        let mut config = with_a_key(case.secret.as_bytes());
        config.settings =
            case.settings.as_object().unwrap().iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
        let mut builder = Registry::builder(&self.runtime).handler(config);
        for (name, short) in &case.actions {
            builder = builder.action(name, short);
        }
        builder.build().unwrap()
    }

    fn verify(&self, case: &Case, token: &str) -> Answer {
        // Each thread of the test binary has the clock of its own case.
        self.clock.set(case.now);
        answer_to_verify(self.registry(case).verify_blocking(token))
    }

    fn create(&self, case: &Case) -> Answer {
        let request = match request(&case.input) {
            Ok(request) => request,
            Err(why) => return Answer::Refused(why.to_owned()),
        };
        self.clock.set(case.now);
        match self.registry(case).create_blocking(None, request) {
            Ok(Creation::Created(created)) => Answer::Token(created.token),
            Ok(Creation::Denied(denied)) => Answer::Refused(denied.message),
            Err(error) => Answer::Failed(error.to_string()),
        }
    }
}

fn answer_to_verify(result: Result<Verdict, keyward_runtime::Error>) -> Answer {
    match result {
        Ok(Verdict::Accepted(acceptance)) => Answer::Accepted(serde_json::from_str(acceptance.actor.json()).unwrap()),
        Ok(Verdict::NotMine) => Answer::NotMine,
        Ok(Verdict::Rejected(rejection)) => {
            Answer::Rejected { reason: rejection.reason.to_string(), message: rejection.message }
        }
        Err(error) => Answer::Failed(error.to_string()),
    }
}

/// What the types of [`CreateRequest`] refuse is refused there; all else goes to the handler.
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
    // A builder of the original that was told nothing restricts nothing (A1-38), as no flag does on the command line.
    request.restrictions = (!flags.is_empty()).then(|| {
        flags.iter().fold(Restrictions::new(), |restrictions, flag| match flag {
            Flag::All(action) => restrictions.allow_all(action),
            Flag::Database(database, action) => restrictions.allow_database(database, action),
            Flag::Resource(database, resource, action) => restrictions.allow_resource(database, resource, action),
        })
    });
    Ok(request)
}

enum Flag {
    All(String),
    Database(String, String),
    Resource(String, String, String),
}

/// Each restriction once, in the order of the vectors.
fn restriction_flags(restrictions: &Value) -> Vec<Flag> {
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

/// Says what is wrong with an answer, if anything is.
fn judge(case: &Case, answer: &Answer) -> Result<(), String> {
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
    assert!(cases.len() >= 100, "the vectors are there");
    assert_eq!(wrong(&cases, verify_in_process), [""; 0]);
}

#[test]
fn every_create_case_in_process() {
    let cases = cases("create");
    assert!(cases.len() >= 30, "the vectors are there");
    assert_eq!(wrong(&cases, |case| IN_PROCESS.create(case)), [""; 0]);
}

/// Each side verifies the other's tokens, at every time that the vectors name.
#[test]
fn created_tokens_age_as_the_originals_do() {
    let mut asked = 0;
    for case in cases("create") {
        let Answer::Token(ours) = IN_PROCESS.create(&case) else { continue };
        for token in [Some(ours.as_str()), case.want["token"].as_str()].into_iter().flatten() {
            for later in &case.later {
                let at = Case { now: unix_time(&later["now"]), ..case.clone() };
                // The leeway for tokens from the future is Keyward's own.
                let from_the_future = at.now < case.now;
                match (IN_PROCESS.verify(&at, token), later) {
                    (Answer::Accepted(actor), later) if later["actor"] == actor => {}
                    (Answer::Rejected { message, .. }, later) if later["invalid"] == message.as_str() => {}
                    (Answer::Rejected { .. }, _) if from_the_future => {}
                    (answer, later) => panic!("{}: the original says {later}, got {answer:?}", case.id),
                }
                asked += 1;
            }
        }
    }
    assert!(asked > 100, "{asked}");
}

/// An implementation that accepts any signature behaves as one that is shown the right signature each time; one that
/// ignores the cap, as one without a cap; one that is off by a second, as one whose clock is. Each must fail some case.
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
        assert!(!failures.is_empty(), "the vectors do not notice: {mutant}");
        println!("{mutant}: fails {} of {} cases", failures.len(), cases.len());
    }
}

/// The token with the signature that Datasette would have given it.
fn resign(token: &str, secret: &str) -> String {
    let Some((value, _)) = token.strip_prefix("dstok_").and_then(|signed| signed.rsplit_once('.')) else {
        return token.to_owned();
    };
    let key = Sha1::new().chain_update("token").chain_update("signer").chain_update(secret).finalize();
    let mac = Hmac::<Sha1>::new_from_slice(&key).unwrap().chain_update(value).finalize().into_bytes();
    let mut signed = format!("dstok_{value}");
    keyward_guest_signed::itsdangerous::push_signature(&mut signed, &mac);
    signed
}

/// The same through the program: tokens on its standard input, one a line.
#[test]
fn every_verify_case_through_the_program() {
    let mut groups: BTreeMap<String, Vec<Case>> = BTreeMap::new();
    let mut inexpressible = Vec::new();
    for case in cases("verify") {
        if case.input["token"].as_str().unwrap().contains('\n') {
            inexpressible.push(case.id);
            continue;
        }
        groups.entry(format!("{}\0{}\0{}", case.secret, case.settings, case.now_text)).or_default().push(case);
    }
    println!("a line cannot hold a newline: {inexpressible:?}");
    for group in groups.values() {
        let folder = tempfile::tempdir().unwrap();
        let tokens: Vec<_> = group.iter().map(|case| case.input["token"].as_str().unwrap()).collect();
        let args = ["verify", "--json", "--at", &group[0].now_text];
        let (_, stdout) = keyward(folder.path(), &group[0], &args, &(tokens.join("\n") + "\n"));
        let lines: Vec<_> = stdout.lines().collect();
        assert_eq!(lines.len(), group.len(), "one line a token");
        for (case, line) in group.iter().zip(lines) {
            judge(case, &answer_in_json(line)).unwrap();
        }
    }
}

fn answer_in_json(line: &str) -> Answer {
    let line: Value = serde_json::from_str(line).unwrap();
    let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    match line["outcome"].as_str().unwrap() {
        "accepted" => Answer::Accepted(line["actor"].clone()),
        "not-mine" => Answer::NotMine,
        "rejected" => Answer::Rejected { reason: text("reason"), message: text("message") },
        _ => Answer::Failed(line.to_string()),
    }
}

#[test]
fn every_create_case_through_the_program() {
    let mut inexpressible = Vec::new();
    for case in cases("create") {
        let answer = create_through_the_program(&case);
        if let Answer::Inexpressible(why) = answer {
            inexpressible.push(format!("{} ({why})", case.id));
        }
        judge(&case, &answer).unwrap();
    }
    println!("a command line cannot say: {inexpressible:?}");
}

fn create_through_the_program(case: &Case) -> Answer {
    let Some(actor) = case.input["actor_id"].as_str() else { return Answer::Inexpressible("the actor is no text") };
    if case.now.is_none() {
        return Answer::Inexpressible("a clock before 1970");
    }
    let mut args = vec!["create".to_owned(), format!("--actor={actor}"), format!("--at={}", case.now_text)];
    match &case.input["expires_after"] {
        Value::Null => {}
        Value::String(_) => return Answer::Inexpressible("a lifetime is no text"),
        seconds => args.push(format!("--expires-after={seconds}")),
    }
    for flag in restriction_flags(&case.input["restrictions"]) {
        match flag {
            Flag::All(action) => args.extend(["--all".into(), action]),
            Flag::Database(database, action) => args.extend(["--database".into(), database, action]),
            Flag::Resource(database, resource, action) => {
                args.extend(["--resource".into(), database, resource, action]);
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let (status, output) = keyward(folder.path(), case, &args, "");
    match status {
        0 => Answer::Token(output.trim_end().to_owned()),
        // The message stands behind what the program says about itself; the vectors know the message.
        1 | 2 => {
            let wanted = case.want["message"].as_str().unwrap_or_default();
            Answer::Refused(if output.contains(wanted) { wanted.to_owned() } else { output })
        }
        _ => Answer::Failed(output),
    }
}

/// Runs the program with the configuration of a case. Gives the exit status, and what it printed: on success its standard
/// output, else both.
fn keyward(folder: &std::path::Path, case: &Case, args: &[&str], input: &str) -> (i32, String) {
    let settings: Map<String, Value> = case.settings.as_object().unwrap().clone();
    let settings: Vec<_> = settings.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    let actions: Vec<_> = case.actions.iter().map(|(name, short)| format!("{name} = {short:?}")).collect();
    let config = format!(
        "[keys.main]\nsecret = {{ env = \"VECTOR_SECRET\" }}\ndangerous_allow_short = true\n\n[[handlers]]\nname = \
         \"signed\"\ncomponent = \"builtin:signed\"\nprefixes = [\"dstok_\"]\nsettings = {{ {} }}\nkeys.token = {{ ring = \
         \"main\", scheme = \"itsdangerous\", namespace = \"token\" }}\n\n[actions]\n{}\n",
        settings.join(", "),
        actions.join("\n")
    );
    let path = folder.join("keyward.toml");
    std::fs::write(&path, config).unwrap();
    let mut child = Command::new(keyward_tests::cli::keyward())
        .args(args)
        .arg("--config")
        .arg(&path)
        .env("VECTOR_SECRET", &case.secret)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let status = output.status.code().unwrap();
    let mut text = String::from_utf8(output.stdout).unwrap();
    if status != 0 {
        text.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    (status, text)
}
