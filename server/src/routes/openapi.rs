//! The OpenAPI document: combines the descriptions at the endpoints with the parts that they share
//! or that attributes cannot express.

use super::{described, forward};
use crate::endpoints::FORWARD_AUTH;
use crate::error::{ApiError, RateLimited, Scheme};
use serde_json::{Map, Value, json};
use std::sync::LazyLock;
use utoipa::openapi::{Object, ObjectBuilder, Type};
use utoipa::{OpenApi, ToSchema};

/// Returns the document as JSON.
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

/// The root of the document.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Keyward",
        description = "Verifies, issues and revokes API tokens.\n\nEvery path that supports GET supports HEAD; any other method that is not listed gets 405. A request that is not HTTP/1 gets an empty 400, and one whose target or headers are too long an empty 414 or 431; then the connection is closed.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    tags(
        (name = "applications", description = "For host services that verify, issue and revoke tokens"),
        (name = "proxies", description = "For proxies that authorize each request. Any method is accepted, also those that OpenAPI cannot describe. The query is ignored, and the body is not read"),
        (name = "discovery", description = "For clients that discover the other endpoints")
    )
)]
pub(super) struct ApiDoc;

pub(super) fn always_true() -> Object {
    ObjectBuilder::new().schema_type(Type::Boolean).enum_values(Some([true])).build()
}

pub(super) fn always_false() -> Object {
    ObjectBuilder::new().schema_type(Type::Boolean).enum_values(Some([false])).build()
}

pub(super) fn bearer() -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["Bearer"])).build()
}

/// The errors that several endpoints share, with their descriptions. An endpoint's own description
/// of a status takes precedence.
const SHARED: [(ApiError, &str); 11] = [
    (ApiError::InvalidRequest("The request is malformed"), "The request is malformed, as `error_description` explains"),
    (
        ApiError::InvalidClient(Scheme::Basic),
        "The client's credentials are missing or wrong: send its id and secret as HTTP Basic, or its secret as Bearer",
    ),
    (ApiError::UnauthorizedClient, "This client lacks the permission, which `may` in its configuration grants"),
    (ApiError::MethodNotAllowed, "The path does not support the method"),
    (ApiError::Timeout, "The request body did not arrive in time"),
    (ApiError::TooLarge, "The request body is too large"),
    (
        ApiError::UnsupportedMediaType("Send the described content type, not compressed"),
        "The body does not have the described content type, or is compressed",
    ),
    (ApiError::Misdirected, "The host in `Host` is not configured"),
    (
        ApiError::RateLimited(RateLimited { limit: "", wait: 1 }),
        "The client, the policy, or failed authentications of the peer exceed a rate, or the client has too many lists in progress: try again after the time in `Retry-After`",
    ),
    (
        ApiError::Overloaded,
        "There is no verdict, or too many requests are in progress: the request is neither granted nor denied; try again",
    ),
    (ApiError::NotFound, "The policy does not exist"),
];

/// Returns whether an operation can fail with this shared error.
fn applies(problem: ApiError, path: &str, operation: &Map<String, Value>) -> bool {
    match problem {
        ApiError::InvalidRequest(_) | ApiError::Misdirected | ApiError::Overloaded => true,
        ApiError::MethodNotAllowed => !is_for_proxies(path),
        ApiError::Timeout | ApiError::TooLarge | ApiError::UnsupportedMediaType(_) => {
            operation.contains_key("requestBody")
        }
        ApiError::InvalidClient(_) | ApiError::UnauthorizedClient => is_for_clients(operation),
        ApiError::RateLimited(_) => is_for_clients(operation) || is_for_proxies(path),
        ApiError::NotFound => is_for_proxies(path),
        // The endpoints describe these themselves, or their status is shared with another error.
        ApiError::UnknownCoding
        | ApiError::InvalidBody { .. }
        | ApiError::NoSuchHandler
        | ApiError::NoSuchToken
        | ApiError::NoStore
        | ApiError::NoRecords
        | ApiError::BadParent
        | ApiError::RestrictedParent
        | ApiError::NotItsToken
        | ApiError::QuotaExceeded(_)
        | ApiError::NoVerdict
        | ApiError::NotRevoked
        | ApiError::NotRemembered
        | ApiError::NoAnswer
        | ApiError::NotConfirmed => false,
    }
}

fn is_for_proxies(path: &str) -> bool {
    path.starts_with(FORWARD_AUTH)
}

fn is_for_clients(operation: &Map<String, Value>) -> bool {
    let ways = operation.get("security").and_then(Value::as_array);
    ways.is_some_and(|ways| ways.iter().any(|way| way.get("basic").is_some()))
}

/// The token to introspect. A parameter must not be repeated; unknown ones are ignored.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form body, which is read parameter by parameter")]
pub(crate) struct TokenForm {
    /// The token.
    token: String,
    /// Ignored: the result is the same with any hint.
    #[schema(nullable = false)]
    token_type_hint: Option<String>,
    /// The client's id, unless it authenticates in `Authorization`.
    #[schema(nullable = false)]
    client_id: Option<String>,
    /// The client's secret, unless it authenticates in `Authorization`. Requires `client_id`.
    #[schema(nullable = false)]
    client_secret: Option<String>,
}

/// Adds the parts that attributes cannot express.
fn complete(document: &mut Value) {
    if let Some(schemas) = object(document, "/components/schemas") {
        name_the_outcomes(schemas);
        for name in ["RevokeForm", "TokenForm"] {
            if let Some(form) = schemas.get_mut(name).and_then(Value::as_object_mut) {
                form.insert("dependentRequired".into(), json!({"client_secret": ["client_id"]}));
            }
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
            // The endpoint has an error format of its own, in addition to the shared one.
            Some(schema) => *schema = json!({"anyOf": [schema.take(), reference("schemas", "ErrorBody")]}),
        }
    }
    responses.sort_keys();
}

/// Adds the headers of every response, and those of the status.
fn add_headers(path: &str, status: &str, response: &mut Value) {
    let Some(response) = response.as_object_mut() else { return };
    let mut names = vec!["X-Request-Id", "Cache-Control"];
    match status {
        "200" if is_for_proxies(path) => names.extend(IDENTITY.map(|(name, _)| name)),
        "401" => names.push("WWW-Authenticate"),
        "405" => names.push("Allow"),
        "429" | "503" => names.push("Retry-After"),
        _ => {}
    }
    let headers = response.entry("headers").or_insert_with(|| json!({}));
    if let Some(headers) = headers.as_object_mut() {
        headers.extend(names.into_iter().map(|name| (name.to_owned(), reference("headers", name))));
    }
}

/// Returns the description of an error response.
fn answer(problem: ApiError, description: &str) -> Value {
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

fn word(problem: ApiError) -> &'static str {
    problem.parts().1
}

/// The identity headers, with their default names.
const IDENTITY: [(&str, &str); 5] = [
    ("X-Auth-Subject", "The actor's id; `-` for none"),
    ("X-Auth-Token-Id", "The token's id for revocation and the audit log; `-` for none"),
    (
        "X-Auth-Scopes",
        "The restrictions of the token: `ACTION`, `ACTION:DATABASE` or `ACTION:DATABASE/RESOURCE`, separated by spaces; `*` for a token that is not restricted, `-` for one that allows nothing",
    ),
    ("X-Auth-Handler", "The handler that accepted the token"),
    ("X-Auth-Expires", "The last second in which the token is valid, in unix seconds; `-` for never"),
];

/// Returns the descriptions of the headers, which are always present where the document lists them.
fn headers() -> Value {
    let mut headers = Map::new();
    for (name, pattern, description) in [
        ("X-Request-Id", "^[0-9a-f]{16}$", "The id of the request in the logs"),
        ("Cache-Control", "^(private, )?no-store$", "Responses must not be stored"),
        ("WWW-Authenticate", "^(Basic|Bearer) ", "The authentication scheme, and the error if there is one"),
        ("Allow", "^[A-Z]+(,[A-Z]+)*$", "The supported methods"),
        ("Retry-After", "^[0-9]+$", "Number of seconds to wait"),
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

/// Returns the security schemes. Clients of `/v1/introspect` and `/v1/revoke` may also send id and
/// secret in the form, which OpenAPI has no scheme for.
fn security() -> Value {
    json!({
        "basic": {"type": "http", "scheme": "basic", "description": "The id and the secret of a configured client"},
        "bearer": {"type": "http", "scheme": "bearer", "description": "The secret of a configured client"},
        "token": {"type": "http", "scheme": "bearer", "description": "The token to verify"},
    })
}

/// Replaces the responses of a forward-auth operation by references, and returns them by name: they
/// are the same for all.
fn name_the_responses(operation: &mut Map<String, Value>) -> Vec<(String, Value)> {
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { return Vec::new() };
    let names = [("200", "passes"), ("401", "not_a_good_token"), ("403", "refused")];
    let taken = names.into_iter().filter_map(|(status, name)| {
        let response = responses.get_mut(status)?;
        Some((name.to_owned(), std::mem::replace(response, reference("responses", name))))
    });
    taken.collect()
}

/// Gives each outcome a schema of its own, so that `outcome` can be the discriminator.
fn name_the_outcomes(schemas: &mut Map<String, Value>) {
    let Some(outcomes) = schemas.get_mut("Outcome").and_then(Value::as_object_mut) else { return };
    let Some(forms) = outcomes.get_mut("oneOf").and_then(Value::as_array_mut) else { return };
    let mut named = Vec::new();
    for form in forms.drain(..) {
        let word = form.pointer("/properties/outcome/enum/0").and_then(Value::as_str).unwrap_or_default().to_owned();
        // Over HTTP a denied creation is an error response.
        if word != "denied" {
            named.push((word, form));
        }
    }
    forms.extend(named.iter().map(|(word, _)| reference("schemas", &camel(word))));
    let mapping = named.iter().map(|(word, _)| (word.clone(), format!("#/components/schemas/{}", camel(word)).into()));
    let discriminator = json!({"propertyName": "outcome", "mapping": Map::from_iter(mapping)});
    outcomes.insert("discriminator".into(), discriminator);
    outcomes.insert("description".into(), "The outcome for one token.".into());
    schemas.extend(named.into_iter().map(|(word, form)| (camel(&word), form)));
    schemas.sort_keys();
}

/// Converts `not-mine` to `NotMine`.
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
