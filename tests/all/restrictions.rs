//! Restrictions as a real Datasette applies them: every case of
//! `vectors/datasette-restrictions.json`.

use crate::support;
use keyward_runtime::{Permission, Registry, Restrictions};
use serde_json::Value;

#[test]
fn restrictions_behave_as_in_datasette() {
    let vectors: Value = serde_json::from_str(include_str!("../vectors/datasette-restrictions.json")).unwrap();
    let mut builder = Registry::builder(&support::runtime_now());
    for (name, short) in members(&vectors["abbreviations"]) {
        builder = builder.action(name, text(short));
    }
    let registry = builder.build().unwrap();

    let cases = vectors["cases"].as_array().unwrap();
    let wrong: Vec<_> = cases
        .iter()
        .filter(|case| case["allowed"] != registry.allows(Some(&restrictions(&case["_r"])), &permission(case)))
        .map(Value::to_string)
        .collect();
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    // Without restrictions only the actor's own permissions count.
    assert!(cases.iter().all(|case| registry.allows(None, &permission(case))));
}

fn restrictions(listed: &Value) -> Restrictions {
    let mut restrictions = Restrictions::new();
    for action in items(&listed["a"]) {
        restrictions = restrictions.allow_all(text(action));
    }
    for (database, actions) in members(&listed["d"]) {
        for action in items(actions) {
            restrictions = restrictions.allow_database(database, text(action));
        }
    }
    for (database, resources) in members(&listed["r"]) {
        for (resource, actions) in members(resources) {
            for action in items(actions) {
                restrictions = restrictions.allow_resource(database, resource, text(action));
            }
        }
    }
    restrictions
}

fn permission(case: &Value) -> Permission {
    let permission = Permission::new(text(&case["action"]));
    match (case.get("database"), case.get("resource")) {
        (Some(database), Some(resource)) => permission.on_resource(text(database), text(resource)),
        (Some(database), None) => permission.on_database(text(database)),
        (None, _) => permission,
    }
}

fn members(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object.as_object().into_iter().flatten()
}

fn items(array: &Value) -> impl Iterator<Item = &Value> {
    array.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}
