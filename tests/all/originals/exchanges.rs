//! The exchanges with datasette-auth-tokens, replayed with Keyward.

use super::answer::{Answer, Kept};
use super::world::{MANAGED, World};
use super::{Played, Row};
use keyward_runtime::Runtime;
use keyward_tests::http::Request;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// The paths on which the original and Keyward report the actor.
const ACTOR: (&str, &str) = ("/-/actor.json", "/v1/actor");

const TOKEN_PAGE: &str = "/-/api/tokens/";

/// Returns the number of requests in a scenario.
pub(super) fn count(scenario: &Value) -> usize {
    let tokens = items(&scenario["handler_api"]["cases"]);
    items(&scenario["steps"]).count() + tokens.map(|case| 1 + items(&case["verify"]).count()).sum::<usize>()
}

/// Replays all requests with Keyward, in order.
pub(super) fn play(runtime: &Runtime, scenario: &Value) -> Played {
    let name = text(&scenario["name"]);
    let world = World::of(runtime, scenario);
    let mut played = Played::default();
    for step in items(&scenario["steps"]) {
        world.set_time(seconds(&step["now"]));
        let (step_name, target) = (text(&step["name"]), text(&step["request"]["target"]));
        let key = format!("{name}/{step_name}");
        let (path, _) = target.split_once('?').unwrap_or((target, ""));
        let row = if path == ACTOR.0 {
            let original = Answer::of_original(&step["response"]);
            Some(Row { key, asked: presented(step), original, ours: ask(&world, step) })
        } else if step["created_token"].is_string() {
            Some(create_by_page(&world, key, step))
        } else if step["response"]["status"] == 302 {
            Some(revoke_by_page(&world, key, step))
        } else {
            None
        };
        match row {
            Some(row) => played.rows.push(row),
            None => {
                let request = format!("`{} {path}`", text(&step["request"]["method"]));
                played.left_out.push((step_name.to_owned(), request));
            }
        }
    }
    played.rows.extend(made_by_calls(&world, name, &scenario["handler_api"]["cases"]));
    played
}

/// Sends the same request, byte for byte except for the path.
fn ask(world: &World, step: &Value) -> Answer {
    let target = text(&step["request"]["target"]).replacen(ACTOR.0, ACTOR.1, 1);
    let mut request = Request::get(&target);
    for header in items(&step["request"]["headers"]) {
        // Datasette's server decodes the bytes of headers as Latin-1, so each character is a byte.
        let value: Vec<u8> = text(&header[1]).chars().map(|byte| u8::try_from(u32::from(byte)).unwrap()).collect();
        request = request.header(text(&header[0]), value);
    }
    Answer::of_ours(&world.ask(&request))
}

/// Describes the credentials of a request, but never the token.
fn presented(step: &Value) -> String {
    let query = text(&step["request"]["target"]).split_once('?').map(|_| "the query".to_owned());
    let headers: Vec<_> = items(&step["request"]["headers"]).map(|header| text(&header[1])).collect();
    let header = match headers.as_slice() {
        [] => None,
        [value] => Some(format!("`{}`", value.split_once(' ').map_or(*value, |(scheme, _)| scheme))),
        _ => Some("two headers".to_owned()),
    };
    let all: Vec<_> = header.into_iter().chain(query).collect();
    if all.is_empty() { "no credentials".to_owned() } else { all.join(" and ") }
}

/// Creates a token through Keyward's API as the page did.
fn create_by_page(world: &World, key: String, step: &Value) -> Row {
    let row = items(&step["db_after"]).last().unwrap();
    let token = text(&step["created_token"]).to_owned();
    let told = step["error_shown"].as_str().map(str::to_owned);
    let original = Answer::Made { token, record: Kept::of_row(row), told };
    // The page creates tokens for the logged-in actor.
    let body = asked_of_page(text(&row["actor_id"]), text(&step["request"]["body"]));
    let ours = create(world, &body);
    keep_in_step(world, &ours, row);
    Row { key, asked: "a form".to_owned(), original, ours }
}

/// Converts the fields of the form to the JSON API. An invalid time is passed unchanged.
fn asked_of_page(actor: &str, form: &str) -> Value {
    let form = form.replace("%3A", ":");
    assert!(!form.contains(['%', '+']), "{form}");
    let (mut body, mut lifetime) = (Map::new(), (None, None));
    let (mut all, mut database, mut resource) = (Vec::new(), Map::new(), Map::new());
    for (name, value) in form.split('&').map(|field| field.split_once('=').unwrap()) {
        match (name, name.split(':').collect::<Vec<_>>().as_slice()) {
            ("description", _) => drop(body.insert("description".into(), value.into())),
            ("expire_type", _) => lifetime.0 = Some(value),
            ("expire_duration", _) => lifetime.1 = Some(value),
            (_, ["all", action]) => all.push(*action),
            (_, ["database", of, action]) => drop(database.insert((*of).to_owned(), json!([action]))),
            (_, ["resource", of, what, action]) => drop(resource.insert((*of).to_owned(), json!({*what: [action]}))),
            _ => panic!("{name}"),
        }
    }
    if let (Some(unit), Some(count)) = lifetime {
        let unit_seconds = [("minutes", 60), ("hours", 3_600)].iter().find(|(name, _)| *name == unit);
        let seconds = unit_seconds.and_then(|(_, seconds)| Some(count.parse::<u32>().ok()? * seconds));
        body.insert("expires_after".into(), seconds.map_or_else(|| json!(format!("{count} {unit}")), Value::from));
    }
    if !all.is_empty() {
        body.insert("restrictions".into(), json!({"all": all, "database": database, "resource": resource}));
    }
    body.insert("actor".into(), actor.into());
    Value::Object(body)
}

/// Creates a token through the JSON API.
fn create(world: &World, body: &Value) -> Answer {
    let mut body = body.clone();
    body["handler"] = MANAGED.into();
    let answer = world.ask_as_client("/v1/tokens", &body);
    let said = answer.json();
    if answer.status != 201 {
        return Answer::Status(answer.status, format!("`{}`", text(&said["error"])));
    }
    let record = Kept::of_record(&world.record(text(&said["token_id"])));
    Answer::Made { token: text(&said["token"]).to_owned(), record, told: None }
}

/// Imports a token that Keyward would not create: this keeps the numbers aligned, and later
/// requests can use it.
fn keep_in_step(world: &World, ours: &Answer, row: &Value) {
    if !matches!(ours, Answer::Made { .. }) {
        world.take_over(row);
    }
}

/// Revokes a token through Keyward's API as the page did.
fn revoke_by_page(world: &World, key: String, step: &Value) -> Row {
    let id = text(&step["request"]["target"]).strip_prefix(TOKEN_PAGE).unwrap();
    assert_eq!(step["request"]["method"], "POST", "{key}");
    let number: u64 = id.parse().unwrap();
    let row = items(&step["db_after"]).find(|row| row["id"] == number).unwrap();
    assert_eq!(row["token_status"], "R", "{key}");
    let original = Answer::Ended { id: number, at: seconds(&row["ended_timestamp"]) };
    let answer = world.ask_as_client("/v1/revocations", &json!({"handler": MANAGED, "token_id": id}));
    let ours = match (answer.status, world.record(id).ended) {
        (200, Some(ended)) => Answer::Ended { id: number, at: ended.at.seconds },
        (status, _) => Answer::Status(status, answer.text().to_owned()),
    };
    Row { key, asked: "a form".to_owned(), original, ours }
}

/// Replays tokens that a program created, and the verdicts on each.
fn made_by_calls(world: &World, scenario: &str, cases: &Value) -> Vec<Row> {
    let mut rows: Vec<Vec<Row>> = items(cases).map(|case| vec![create_by_call(world, scenario, case)]).collect();
    // In chronological order, because the clock does not go back.
    let times: BTreeSet<_> =
        items(cases).flat_map(|case| items(&case["verify"])).map(|later| seconds(&later["dt"])).collect();
    for after in times {
        for (case, rows) in items(cases).zip(&mut rows) {
            world.set_time(seconds(&case["row"]["created_timestamp"]) + after);
            for later in items(&case["verify"]).filter(|later| seconds(&later["dt"]) == after) {
                rows.push(Row {
                    key: format!("{scenario}/token {}, after {after} s", case["row"]["id"]),
                    asked: "a call".to_owned(),
                    original: Answer::of_actor(&later["actor"]),
                    ours: Answer::of_ours(&world.ask(&Request::get(ACTOR.1).bearer(text(&case["token"])))),
                });
            }
        }
    }
    rows.into_iter().flatten().collect()
}

fn create_by_call(world: &World, scenario: &str, case: &Value) -> Row {
    let row = &case["row"];
    world.set_time(seconds(&row["created_timestamp"]));
    let mut body = case["create_token"].as_object().unwrap().clone();
    let actor = body.shift_remove("actor_id").unwrap();
    let options: Vec<_> = body.iter().map(|(name, value)| format!("`{name}={value}`")).collect();
    body.insert("actor".into(), actor);
    let ours = create(world, &Value::Object(body));
    keep_in_step(world, &ours, row);
    let step = match options.as_slice() {
        [] => "issued by `create_token`".to_owned(),
        options => format!("issued by `create_token` with {}", options.join(", ")),
    };
    let token = text(&case["token"]).to_owned();
    let original = Answer::Made { token, record: Kept::of_row(row), told: None };
    Row { key: format!("{scenario}/{step}"), asked: "a call".to_owned(), original, ours }
}

/// Returns the texts that must not appear in a page: everything presented as a token that is long
/// enough to be one.
pub(super) fn tokens(vectors: &Value) -> Vec<String> {
    let mut tokens = Vec::new();
    for scenario in items(&vectors["scenarios"]) {
        for step in items(&scenario["steps"]) {
            let headers = items(&step["request"]["headers"]).map(|header| text(&header[1]));
            let headers = headers.filter_map(|value| value.strip_prefix("Bearer "));
            let query = text(&step["request"]["target"]).split_once('=').map(|(_, value)| value);
            tokens.extend(headers.chain(query).map(str::to_owned));
        }
        tokens.extend(items(&scenario["handler_api"]["cases"]).map(|case| text(&case["token"]).to_owned()));
    }
    tokens.retain(|token| token.len() > 12);
    assert!(tokens.len() > 50);
    tokens
}

fn items(array: &Value) -> impl DoubleEndedIterator<Item = &Value> {
    array.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn seconds(value: &Value) -> u64 {
    value.as_u64().unwrap()
}
