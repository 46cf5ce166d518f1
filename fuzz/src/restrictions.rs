//! Restrictions as records and as Datasette's `_r`: the guest's writer and reader, the runtime's
//! writer, and the way from one to the other through a token.

use crate::boundary::{NOW, RUNTIME};
use keyward_guest_signed::python_json::Document;
use keyward_guest_signed::restrictions::{read, write};
use keyward_runtime::clock::UnixTime;
use keyward_runtime::keys::{KeyGrant, KeyRing, Scheme, Secret};
use keyward_runtime::{Actors, CreateRequest, Creation, HandlerConfig, Registry, Restrictions, Verdict};
use keyward_sdk::Restrictions as Record;
use serde_json::{Map, Value, json};
use std::sync::{Arc, LazyLock};

/// Reads the bytes as the text of `_r`, and as a recipe for one: written restrictions read back,
/// with the same meaning to every reader.
pub fn restrictions(data: &[u8]) {
    any_text(&String::from_utf8_lossy(data));
    let wanted = recipe(data);
    let record = record(&wanted);
    let written = text(&record);
    assert_eq!(written, serde_json::to_string(&wanted).unwrap(), "the guest writes what serde_json writes");
    let document = Document::parse(&written).unwrap();
    assert_eq!(fields(&read(document.root()).unwrap()), fields(&record));
    through_a_token(&wanted);
}

/// Checks that the guest writes back what it reads, with the same meaning to itself and to
/// serde_json if it can read it.
fn any_text(given: &str) {
    let Some(document) = Document::parse(given) else { return };
    let Some(record) = read(document.root()) else { return };
    let written = text(&record);
    let again = Document::parse(&written).unwrap();
    assert_eq!(fields(&read(again.root()).unwrap()), fields(&record), "{given}");
    if let Ok(value) = serde_json::from_str::<Value>(given) {
        assert_eq!(without_empty(value), serde_json::from_str::<Value>(&written).unwrap(), "{given}");
    }
}

/// Returns `_r` in its written form: without empty `a`, `d` and `r`, and without databases that
/// have no resource.
fn without_empty(value: Value) -> Value {
    let Value::Object(mut members) = value else { panic!("{value} is not an object") };
    if let Some(Value::Object(databases)) = members.get_mut("r") {
        databases.retain(|_, resources| resources.as_object().is_none_or(|resources| !resources.is_empty()));
    }
    members.retain(|_, value| value != &json!([]) && value != &json!({}));
    Value::Object(members)
}

/// Passes the runtime's own value through the canonical ABI and a token, and back.
fn through_a_token(wanted: &Value) {
    static SIGNING: LazyLock<Registry> = LazyLock::new(|| {
        let ring = KeyRing::new("main", Secret::new([7; 32]), Vec::new()).unwrap();
        let mut config = HandlerConfig::new("signed", keyward_handlers::SIGNED, Actors::Any);
        config.prefixes = vec!["dstok_".into()];
        config
            .keys
            .insert("token".into(), KeyGrant::new(Arc::new(ring)).scheme(Scheme::Itsdangerous).namespace("token"));
        config.limits.wall = std::time::Duration::from_secs(60);
        Registry::builder(&RUNTIME).handler(config).build().unwrap()
    });
    let restrictions = runtimes(wanted);
    assert_eq!(&serde_json::to_value(&restrictions).unwrap(), wanted);
    let mut request = CreateRequest::new("root");
    request.restrictions = Some(restrictions);
    let Ok(Creation::Created(created)) = SIGNING.create_blocking(request) else { panic!("no token: {wanted}") };
    let Ok(Verdict::Accepted(acceptance)) = SIGNING.verify_blocking(&created.token) else {
        panic!("not accepted: {wanted}")
    };
    assert_eq!(acceptance.issued_at, Some(UnixTime::from_seconds(NOW)));
    let mut actor: Value = serde_json::from_str(acceptance.actor_ignoring_restrictions().json()).unwrap();
    assert_eq!(serde_json::to_string(&actor["_r"].take()).unwrap(), serde_json::to_string(wanted).unwrap());
}

/// Builds an `_r` of names and actions that the bytes select, few enough to fit into a token.
fn recipe(data: &[u8]) -> Value {
    const NAMES: [&str; 8] = ["a", "d", "db \"1\"", "r\\", "é日😀", "", "\u{7f}\u{1}\n/", "x.y"];
    let name = |byte: u8| {
        let own = char::from(byte);
        if byte < 0xc0 { NAMES[usize::from(byte % 8)].to_owned() } else { own.to_string() }
    };
    let (mut all, mut databases, mut resources) = (Vec::new(), Map::new(), Map::new());
    for part in data.chunks_exact(4).take(32) {
        let [first, second, action] = [1, 2, 3].map(|at| name(part[at]));
        match part[0] % 3 {
            0 => all.push(Value::String(action)),
            1 => push(&mut databases, first, action),
            _ => {
                let database = resources.entry(first).or_insert_with(|| json!({}));
                push(database.as_object_mut().unwrap(), second, action);
            }
        }
    }
    without_empty(json!({"a": all, "d": databases, "r": resources}))
}

fn push(members: &mut Map<String, Value>, name: String, action: String) {
    members.entry(name).or_insert_with(|| json!([])).as_array_mut().unwrap().push(Value::String(action));
}

/// Returns the members of the object at `name` in `_r`, if it is present.
fn members<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value.get(name).and_then(Value::as_object).into_iter().flatten()
}

fn actions(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().map(|action| action.as_str().unwrap().to_owned()).collect()
}

/// Returns the record of the contract.
fn record(wanted: &Value) -> Record {
    let resource = members(wanted, "r").flat_map(|(database, resources)| {
        let resources = resources.as_object().unwrap();
        resources.iter().map(move |(resource, list)| (database.clone(), resource.clone(), actions(list)))
    });
    Record {
        all: wanted.get("a").map(actions).unwrap_or_default(),
        database: members(wanted, "d").map(|(database, list)| (database.clone(), actions(list))).collect(),
        resource: resource.collect(),
    }
}

/// Returns the value that an embedder of the runtime builds.
fn runtimes(wanted: &Value) -> Restrictions {
    let Record { all, database, resource } = record(wanted);
    let mut restrictions = Restrictions::new();
    for action in all {
        restrictions = restrictions.allow_all(action);
    }
    for (database, actions) in database {
        for action in actions {
            restrictions = restrictions.allow_database(&*database, action);
        }
    }
    for (database, resource, actions) in resource {
        for action in actions {
            restrictions = restrictions.allow_resource(&*database, &*resource, action);
        }
    }
    restrictions
}

fn text(record: &Record) -> String {
    let mut text = String::new();
    write(&mut text, record);
    text
}

/// The comparable parts of restrictions.
type Fields<'a> = (&'a [String], &'a [(String, Vec<String>)], &'a [(String, String, Vec<String>)]);

fn fields(record: &Record) -> Fields<'_> {
    (&record.all, &record.database, &record.resource)
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        r#"{"a":["vi","ir"],"d":{"x":["es"],"y":[]},"r":{"x":{"t":["ir"],"u":[]},"y":{"t":["ir","ur"]}}}"#,
        r#"{"d":{"\u0078":["a"],"y":["b"],"x":["c"]},"a":["x"],"a":["y"]}"#,
        r#"{"r":{"x":{"t":["1"]},"y":{},"x":{"t":["2"],"t":["3"],"u":["4"]}}}"#,
        "{}",
    ];
    let recipes: [&[u8]; 3] = [
        &[0, 1, 2, 3, 1, 1, 2, 3, 2, 1, 2, 3, 2, 1, 3, 3, 2, 4, 2, 3, 2, 1, 2, 4],
        &[1, 0xe9, 0, 0xff, 2, 0xc0, 0xc1, 0xc2, 0, 0, 0, 5],
        b"",
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).chain(recipes.map(<[u8]>::to_vec)).collect()
}
