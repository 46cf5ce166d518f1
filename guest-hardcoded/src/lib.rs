//! Tokens from the operator's configuration: presenting a configured secret yields the actor that
//! is configured for it.
//!
//! ```toml
//! [[handlers]]
//! name = "bots"
//! component = "builtin:hardcoded"
//! secrets.bot = { env = "BOT_TOKEN" }
//! settings = { actors = { bot = { bot_id = "my-bot" } } }
//! actors = "any"
//! ```
//!
//! The host compares the token with the secrets in constant time and returns the name of the one
//! that equals it. The setting `actors` maps that name to an actor, which may be any JSON object.
//! An actor's own `_r` becomes the token's restrictions. Tokens do not expire; revoke one by
//! changing the configuration. The name of the secret is also the token id if it is printable ASCII
//! without spaces; otherwise the token has no id.
//!
//! Following datasette-auth-tokens, a token that equals no secret is `not-mine`, not rejected.

use keyward_sdk::{
    Acceptance, CreateError, CreateRequest, Created, Denial, Failure, Restrictions, TokenHandler, Verdict, secrets,
    settings,
};
use serde_json::{Map, Value};

/// The handler for secrets in the configuration.
#[derive(Debug)]
pub struct Hardcoded;

keyward_sdk::handler!(Hardcoded, settings: ["actors: json"]);

impl TokenHandler for Hardcoded {
    fn create(_: CreateRequest) -> Result<Created, CreateError> {
        let message = "hard-coded tokens come from the configuration".to_owned();
        Err(CreateError::denied(Denial::NotPermitted, message))
    }

    fn verify(token: &str) -> Result<Verdict, Failure> {
        let Some(name) = secrets::find(token) else { return Ok(Verdict::NotMine) };
        let mut actor = actor(&name)?;
        let restrictions = match actor.shift_remove("_r") {
            Some(value) => Some(restrictions(&value).ok_or_else(|| {
                let shape = r#"{"a":[actions],"d":{database:[actions]},"r":{database:{resource:[actions]}}}"#;
                failure(&["the `_r` of the actor of the secret `", &name, "` must be of the form ", shape])
            })?),
            None => None,
        };
        Ok(Verdict::Accepted(Acceptance {
            actor: Value::Object(actor).to_string(),
            restrictions,
            token_id: Some(name).filter(|name| is_token_id(name)),
            issued_at: None,
            expires_at: None,
        }))
    }
}

/// Returns the actor that the operator configured for a secret.
fn actor(name: &str) -> Result<Map<String, Value>, Failure> {
    let actors = settings::get("actors").and_then(|text| serde_json::from_str(&text).ok());
    let Some(Value::Object(mut actors)) = actors else {
        return Err(failure(&["the setting `actors` must map the names of secrets to actors"]));
    };
    match actors.swap_remove(name) {
        Some(Value::Object(actor)) => Ok(actor),
        Some(_) => Err(failure(&["the actor of the secret `", name, "` must be an object"])),
        None => Err(failure(&["the setting `actors` has no actor for the secret `", name, "`"])),
    }
}

/// Reads restrictions in Datasette's form, or returns `None` if they have another shape.
fn restrictions(value: &Value) -> Option<Restrictions> {
    let mut restrictions = Restrictions { all: Vec::new(), database: Vec::new(), resource: Vec::new() };
    for (kind, value) in value.as_object()? {
        match kind.as_str() {
            "a" => restrictions.all = actions(value)?,
            "d" => {
                for (database, value) in value.as_object()? {
                    restrictions.database.push((database.clone(), actions(value)?));
                }
            }
            "r" => {
                for (database, value) in value.as_object()? {
                    for (resource, value) in value.as_object()? {
                        restrictions.resource.push((database.clone(), resource.clone(), actions(value)?));
                    }
                }
            }
            _ => return None,
        }
    }
    Some(restrictions)
}

fn actions(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|action| action.as_str().map(str::to_owned)).collect()
}

/// Returns whether the contract allows `name` as a token id.
fn is_token_id(name: &str) -> bool {
    (1..=256).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

fn failure(text: &[&str]) -> Failure {
    Failure::Internal(text.concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyward_sdk::testing::Host;

    const ACTORS: &str = r#"{
        "bot": {"zeta": 1, "bot_id": "my-bot", "ratio": 1.5, "deep": {"b": [true, null], "a": "ü"}},
        "tied": {"id": "t", "_r": {"d": {"db2": ["vt"], "db1": []}, "a": ["vi"], "r": {"db": {"y": ["ir"], "x": ["ur"]}}}},
        "shut": {"id": "s", "_r": {}},
        "two words": {"id": "w"},
        "text": "no object",
        "odd": {"id": "o", "_r": {"a": "vi"}}
    }"#;

    fn host() -> Host {
        ["bot", "tied", "shut", "two words", "text", "odd", "absent"]
            .iter()
            .fold(Host::new().setting("actors", ACTORS), |host, name| host.secret(name, &format!("secret of {name}")))
    }

    fn verify(token: &str) -> Result<Verdict, Failure> {
        host().run(|| Hardcoded::verify(token))
    }

    fn accepted(token: &str) -> Acceptance {
        match verify(token) {
            Ok(Verdict::Accepted(acceptance)) => acceptance,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_secret_yields_its_configured_actor() {
        let acceptance = accepted("secret of bot");
        assert_eq!(acceptance.actor, r#"{"zeta":1,"bot_id":"my-bot","ratio":1.5,"deep":{"b":[true,null],"a":"ü"}}"#);
        assert_eq!(acceptance.restrictions, None);
        assert_eq!(acceptance.token_id.as_deref(), Some("bot"));
        assert_eq!((acceptance.issued_at, acceptance.expires_at), (None, None));
    }

    #[test]
    fn an_actors_own_restrictions_move_to_the_token() {
        let acceptance = accepted("secret of tied");
        assert_eq!(acceptance.actor, r#"{"id":"t"}"#);
        let own = acceptance.restrictions.unwrap();
        assert_eq!(own.all, ["vi"]);
        assert_eq!(own.database, [("db2".to_owned(), vec!["vt".to_owned()]), ("db1".to_owned(), vec![])]);
        let names: Vec<_> = own.resource.iter().map(|(db, resource, _)| (db.as_str(), resource.as_str())).collect();
        assert_eq!(names, [("db", "y"), ("db", "x")]);
    }

    #[test]
    fn empty_restrictions_allow_nothing_and_are_not_none() {
        let empty = Restrictions { all: vec![], database: vec![], resource: vec![] };
        assert_eq!(accepted("secret of shut").restrictions, Some(empty));
    }

    #[test]
    fn a_name_that_cannot_be_a_token_id_yields_no_id() {
        assert_eq!(accepted("secret of two words").token_id, None);
        assert!(is_token_id(&"n".repeat(256)) && !is_token_id(&"n".repeat(257)) && !is_token_id(""));
    }

    #[test]
    fn any_other_token_is_not_mine() {
        for token in ["", "bot", "secret of bo", "secret of bot ", "Secret of bot"] {
            assert_eq!(verify(token), Ok(Verdict::NotMine), "{token}");
        }
    }

    #[test]
    fn an_invalid_configuration_yields_no_actor_and_the_error_names_the_secret() {
        for (name, part) in [("text", "must be an object"), ("odd", "`_r`"), ("absent", "no actor")] {
            let secret = format!("secret of {name}");
            let Err(Failure::Internal(text)) = verify(&secret) else { panic!("{name}") };
            assert!(text.contains(part) && text.contains(&format!("`{name}`")), "{text}");
            assert!(!text.contains(&secret), "{text}");
        }
        for actors in ["", "[]", "null", r#"{"bot":"#] {
            let host = Host::new().secret("bot", "s").setting("actors", actors);
            assert!(matches!(host.run(|| Hardcoded::verify("s")), Err(Failure::Internal(_))), "{actors}");
        }
        let host = Host::new().secret("bot", "s");
        assert!(matches!(host.run(|| Hardcoded::verify("s")), Err(Failure::Internal(_))));
    }

    #[test]
    fn restrictions_of_another_shape_are_refused() {
        for text in [
            "null",
            "[]",
            r#""vi""#,
            r#"{"a":null}"#,
            r#"{"a":"vi"}"#,
            r#"{"a":[1]}"#,
            r#"{"d":[]}"#,
            r#"{"d":{"x":"vi"}}"#,
            r#"{"r":{"x":["vi"]}}"#,
            r#"{"r":{"x":{"y":null}}}"#,
            r#"{"x":[]}"#,
        ] {
            assert_eq!(restrictions(&serde_json::from_str(text).unwrap()), None, "{text}");
        }
    }

    #[test]
    fn creation_is_always_denied() {
        let request =
            CreateRequest { actor_id: "a".to_owned(), expires_after: None, restrictions: None, description: None };
        let Err(CreateError::Denied(denied)) = host().run(|| Hardcoded::create(request)) else { panic!() };
        assert_eq!(denied.denial, Denial::NotPermitted);
        assert_eq!(denied.message, "hard-coded tokens come from the configuration");
    }
}
