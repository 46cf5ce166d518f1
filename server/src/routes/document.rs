//! The OpenAPI document: what stands with the endpoints, and here what is the same for all of them and what attributes
//! cannot say.

use super::{described, forward};
use crate::problem::{Problem, Scheme};
use serde_json::{Map, Value, json};
use std::sync::LazyLock;
use utoipa::openapi::{Object, ObjectBuilder, Type};
use utoipa::{OpenApi, ToSchema};

/// The document.
pub(crate) fn text() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let (_, mut document) = described().split_for_parts();
        forward::describe(&mut document.paths);
        let mut document = serde_json::to_value(&document).unwrap_or_default();
        complete(&mut document);
        let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
        text.push('\n');
        text
    });
    &TEXT
}

/// What is said at its beginning.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Keyward",
        description = "Is this token good, whose is it, may it do that?\n\nEvery path that answers GET answers HEAD; every other method that is not listed gets 405. A request that is not of HTTP/1 gets an empty 400, one whose target or headers are too long an empty 414 or 431, and then the connection ends.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    tags(
        (name = "applications", description = "For host services that ask about tokens, make and revoke them"),
        (name = "proxies", description = "For proxies that ask before they let a request through. Any method is answered, also those that OpenAPI does not know. A query does not matter, and the body is not read"),
        (name = "discovery", description = "For programs, before they ask")
    )
)]
pub(super) struct Beginning;

pub(super) fn always_true() -> Object {
    ObjectBuilder::new().schema_type(Type::Boolean).enum_values(Some([true])).build()
}

pub(super) fn always_false() -> Object {
    ObjectBuilder::new().schema_type(Type::Boolean).enum_values(Some([false])).build()
}

pub(super) fn bearer() -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["Bearer"])).build()
}

/// The problems that several endpoints have in common, and what the document says of each. An endpoint that says something
/// itself about a status is left its word.
const SHARED: [(Problem, &str); 10] = [
    (Problem::InvalidRequest("The request is malformed"), "The request is malformed; the text says in what way"),
    (
        Problem::InvalidClient(Scheme::Basic),
        "The caller's credentials are missing or wrong: send its id and secret as HTTP Basic, or its secret as Bearer",
    ),
    (Problem::UnauthorizedClient, "This caller may not do that: `may` in its configuration says what it may"),
    (Problem::MethodNotAllowed, "This path has no such method"),
    (Problem::Timeout, "The body did not come in time"),
    (Problem::TooLarge, "The body is too long"),
    (
        Problem::UnsupportedMediaType("Send the one content type that stands here, not compressed"),
        "The body is not of the one content type that stands here, or is compressed",
    ),
    (Problem::Misdirected, "This server is not called what `Host` says"),
    (
        Problem::Overloaded,
        "No verdict could be had, or too many requests are being answered: neither a yes nor a no; try again",
    ),
    (Problem::NotFound, "There is no such policy"),
];

/// Whether an operation can have one of these problems.
fn applies(problem: Problem, path: &str, operation: &Map<String, Value>) -> bool {
    match problem {
        Problem::InvalidRequest(_) | Problem::Misdirected | Problem::Overloaded => true,
        Problem::MethodNotAllowed => !is_for_proxies(path),
        Problem::Timeout | Problem::TooLarge | Problem::UnsupportedMediaType(_) => {
            operation.contains_key("requestBody")
        }
        Problem::InvalidClient(_) | Problem::UnauthorizedClient => is_for_callers(operation),
        Problem::NotFound => is_for_proxies(path),
        // Their status stands here already.
        Problem::UnknownCoding
        | Problem::NoSuchHandler
        | Problem::NoSuchToken
        | Problem::NoStore
        | Problem::NoRecords
        | Problem::BadParent
        | Problem::RestrictedParent
        | Problem::NotItsToken
        | Problem::NoVerdict
        | Problem::NotRevoked
        | Problem::NoAnswer
        | Problem::NotConfirmed => false,
    }
}

fn is_for_proxies(path: &str) -> bool {
    path.starts_with("/v1/auth/")
}

fn is_for_callers(operation: &Map<String, Value>) -> bool {
    let ways = operation.get("security").and_then(Value::as_array);
    ways.is_some_and(|ways| ways.iter().any(|way| way.get("basic").is_some()))
}

/// What is asked about a token, to introspect or to revoke it. Each parameter stands once; others do not matter.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form body, which is read parameter by parameter")]
pub(crate) struct TokenForm {
    /// The token.
    token: String,
    /// Ignored: the answer is the same with any hint.
    #[schema(nullable = false)]
    token_type_hint: Option<String>,
    /// The caller's id, unless it authenticates in `Authorization`.
    #[schema(nullable = false)]
    client_id: Option<String>,
    /// The caller's secret, unless it authenticates in `Authorization`. Goes with `client_id`.
    #[schema(nullable = false)]
    client_secret: Option<String>,
}

/// Adds all that is not there yet.
fn complete(document: &mut Value) {
    if let Some(schemas) = object(document, "/components/schemas") {
        name_the_outcomes(schemas);
        if let Some(form) = schemas.get_mut("TokenForm").and_then(Value::as_object_mut) {
            form.insert("dependentRequired".into(), json!({"client_secret": ["client_id"]}));
        }
    }
    if let Some(request) = object(document, "/components/schemas/RevocationsRequest") {
        let some = ["handler", "actor", "issued_until"].map(|member| json!({"required": [member]}));
        request.insert("anyOf".into(), json!(some));
        request.insert("dependentRequired".into(), json!({"token_id": ["handler"]}));
        request.insert("not".into(), json!({"required": ["token_id", "actor"]}));
    }
    if let Some(request) = object(document, "/components/schemas/TokenRequest") {
        request.insert("anyOf".into(), json!([{"required": ["actor"]}, {"required": ["parent"]}]));
    }
    if let Some(components) = object(document, "/components") {
        let responses = SHARED.map(|(problem, description)| (word(problem).to_owned(), answer(problem, description)));
        components.insert("responses".into(), Map::from_iter(responses).into());
        components.insert("headers".into(), headers());
        components.insert("securitySchemes".into(), security());
    }
    let mut for_proxies = Map::new();
    for (path, item) in object(document, "/paths").into_iter().flatten() {
        for operation in item.as_object_mut().into_iter().flat_map(Map::values_mut).filter_map(Value::as_object_mut) {
            complete_operation(path, operation);
            if is_for_proxies(path) {
                for_proxies.extend(name_the_responses(operation));
            }
        }
    }
    if let Some(responses) = object(document, "/components/responses") {
        responses.extend(for_proxies);
    }
}

fn complete_operation(path: &str, operation: &mut Map<String, Value>) {
    let shared = SHARED.map(|(problem, _)| problem).into_iter().filter(|problem| applies(*problem, path, operation));
    let shared: Vec<_> = shared.collect();
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { return };
    for (status, response) in responses.iter_mut() {
        add_headers(path, status, response);
    }
    for problem in shared {
        let (status, word, _) = problem.parts();
        let own = responses.get_mut(status.as_str());
        match own.and_then(|response| response.pointer_mut("/content/application~1json/schema")) {
            None => drop(responses.insert(status.as_str().to_owned(), reference("responses", word))),
            Some(schema) if *schema == reference("schemas", "ErrorBody") => {}
            // The endpoint has a form of its own for what is its own affair.
            Some(schema) => *schema = json!({"anyOf": [schema.take(), reference("schemas", "ErrorBody")]}),
        }
    }
    responses.sort_keys();
}

/// What every answer says, and what those of a status say.
fn add_headers(path: &str, status: &str, response: &mut Value) {
    let Some(response) = response.as_object_mut() else { return };
    let mut names = vec!["X-Request-Id", "Cache-Control"];
    match status {
        "200" if is_for_proxies(path) => names.extend(IDENTITY.map(|(name, _)| name)),
        "401" => names.push("WWW-Authenticate"),
        "405" => names.push("Allow"),
        "503" => names.push("Retry-After"),
        _ => {}
    }
    let headers = response.entry("headers").or_insert_with(|| json!({}));
    if let Some(headers) = headers.as_object_mut() {
        headers.extend(names.into_iter().map(|name| (name.to_owned(), reference("headers", name))));
    }
}

/// The answer to a problem.
fn answer(problem: Problem, description: &str) -> Value {
    let (status, word, sentence) = problem.parts();
    let mut answer = json!({
        "description": description,
        "content": {"application/json": {
            "schema": {"allOf": [reference("schemas", "ErrorBody"), {"properties": {"error": {"const": word}}}]},
            "example": {"error": word, "error_description": sentence},
        }},
    });
    add_headers("", status.as_str(), &mut answer);
    answer
}

fn word(problem: Problem) -> &'static str {
    problem.parts().1
}

/// The headers that say who it is, by the names that they have unless configured.
const IDENTITY: [(&str, &str); 5] = [
    ("X-Auth-Subject", "The actor's id; `-` for none"),
    ("X-Auth-Token-Id", "What revocation and audit name the token by; `-` for nothing"),
    (
        "X-Auth-Scopes",
        "What the token is restricted to: `ACTION`, `ACTION:DATABASE` or `ACTION:DATABASE/RESOURCE`, separated by spaces; `*` for a token that is not restricted, `-` for one that allows nothing",
    ),
    ("X-Auth-Handler", "The handler that vouches"),
    ("X-Auth-Expires", "When the token ends, in unix seconds; `-` for never"),
];

/// Headers that are there wherever the document names them.
fn headers() -> Value {
    let mut headers = Map::new();
    for (name, pattern, description) in [
        ("X-Request-Id", "^[0-9a-f]{16}$", "The name of the request in the log"),
        ("Cache-Control", "^(private, )?no-store$", "Answers are not to be kept"),
        ("WWW-Authenticate", "^(Basic|Bearer) ", "How to authenticate, and what was wrong"),
        ("Allow", "^[A-Z]+(,[A-Z]+)*$", "The methods that there are"),
        ("Retry-After", "^[0-9]+$", "How many seconds to wait"),
    ] {
        headers.insert(name.to_owned(), header(pattern, description));
    }
    for (name, description) in IDENTITY {
        headers.insert(name.to_owned(), header("^[!-~]+( [!-~]+)*$", description));
    }
    headers.into()
}

fn header(pattern: &str, description: &str) -> Value {
    json!({"description": description, "required": true, "schema": {"type": "string", "pattern": pattern}})
}

/// Who may ask. A caller of `/v1/introspect` or `/v1/revoke` may also give its id and secret in the form, which no scheme describes.
fn security() -> Value {
    json!({
        "basic": {"type": "http", "scheme": "basic", "description": "A caller of the configuration: its id and its secret"},
        "bearer": {"type": "http", "scheme": "bearer", "description": "A caller of the configuration: its secret alone"},
        "token": {"type": "http", "scheme": "bearer", "description": "The token that is asked about"},
    })
}

/// Takes the responses out of an operation of a proxy's path, by names: they are the same for all.
fn name_the_responses(operation: &mut Map<String, Value>) -> Vec<(String, Value)> {
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { return Vec::new() };
    let names = [("200", "passes"), ("401", "not_a_good_token"), ("403", "refused")];
    let taken = names.into_iter().filter_map(|(status, name)| {
        let response = responses.get_mut(status)?;
        Some((name.to_owned(), std::mem::replace(response, reference("responses", name))))
    });
    taken.collect()
}

/// Gives each outcome a name, so that the member `outcome` can say which one it is.
fn name_the_outcomes(schemas: &mut Map<String, Value>) {
    let Some(outcomes) = schemas.get_mut("Outcome").and_then(Value::as_object_mut) else { return };
    let Some(forms) = outcomes.get_mut("oneOf").and_then(Value::as_array_mut) else { return };
    let mut named = Vec::new();
    for form in forms.drain(..) {
        let word = form.pointer("/properties/outcome/enum/0").and_then(Value::as_str).unwrap_or_default().to_owned();
        // Over HTTP a creation that is refused is an error.
        if word != "denied" {
            named.push((word, form));
        }
    }
    forms.extend(named.iter().map(|(word, _)| reference("schemas", &camel(word))));
    let mapping = named.iter().map(|(word, _)| (word.clone(), format!("#/components/schemas/{}", camel(word)).into()));
    let discriminator = json!({"propertyName": "outcome", "mapping": Map::from_iter(mapping)});
    outcomes.insert("discriminator".into(), discriminator);
    outcomes.insert("description".into(), "What is to be said about one token.".into());
    schemas.extend(named.into_iter().map(|(word, form)| (camel(&word), form)));
    schemas.sort_keys();
}

/// `not-mine` as `NotMine`.
fn camel(word: &str) -> String {
    let capitals = word.split('-').map(|part| {
        let (first, rest) = part.split_at(part.len().min(1));
        first.to_ascii_uppercase() + rest
    });
    capitals.collect()
}

fn reference(kind: &str, name: &str) -> Value {
    json!({"$ref": format!("#/components/{kind}/{name}")})
}

fn object<'a>(document: &'a mut Value, at: &str) -> Option<&'a mut Map<String, Value>> {
    document.pointer_mut(at).and_then(Value::as_object_mut)
}
