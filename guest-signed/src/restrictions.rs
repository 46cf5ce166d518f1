//! Restrictions as Datasette writes them: `{"a":[…],"d":{db:[…]},"r":{db:{resource:[…]}}}`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use keyward_sdk::Restrictions;

use crate::json::{Value, write_string};

/// Appends restrictions as JSON. Members without entries are left out, so that an empty allow-list is `{}`.
pub fn write(to: &mut String, restrictions: &Restrictions) {
    let Restrictions { all, database, resource } = restrictions;
    let mut members = Members::open(to);
    if !all.is_empty() {
        write_actions(members.name("a"), all);
    }
    if !database.is_empty() {
        let mut databases = Members::open(members.name("d"));
        for (name, actions) in database {
            write_actions(databases.name(name), actions);
        }
        databases.close();
    }
    if !resource.is_empty() {
        let mut databases = Members::open(members.name("r"));
        for (name, entries) in by_database(resource) {
            let mut resources = Members::open(databases.name(name));
            for (resource, actions) in entries {
                write_actions(resources.name(resource), actions);
            }
            resources.close();
        }
        databases.close();
    }
    members.close();
}

/// The resources of each database together, as an object needs them, databases in the order in which they first occur.
fn by_database(entries: &[(String, String, Vec<String>)]) -> Vec<(&str, Vec<(&str, &[String])>)> {
    let mut databases: Vec<(&str, Vec<(&str, &[String])>)> = Vec::new();
    let mut places = BTreeMap::new();
    for (database, resource, actions) in entries {
        let place = *places.entry(database).or_insert_with(|| {
            databases.push((database, Vec::new()));
            databases.len() - 1
        });
        if let Some((_, resources)) = databases.get_mut(place) {
            resources.push((resource, actions));
        }
    }
    databases
}

fn write_actions(to: &mut String, actions: &[String]) {
    to.push('[');
    for (at, action) in actions.iter().enumerate() {
        if at > 0 {
            to.push(',');
        }
        write_string(to, action);
    }
    to.push(']');
}

/// A JSON object that is being written.
struct Members<'a> {
    to: &'a mut String,
    empty: bool,
}

impl<'a> Members<'a> {
    fn open(to: &'a mut String) -> Self {
        to.push('{');
        Self { to, empty: true }
    }

    /// Writes a name; the caller writes the value.
    fn name(&mut self, name: &str) -> &mut String {
        if !self.empty {
            self.to.push(',');
        }
        self.empty = false;
        write_string(self.to, name);
        self.to.push(':');
        self.to
    }

    fn close(self) {
        self.to.push('}');
    }
}

/// Reads restrictions. `None`: the value has another shape or another member, or a name is no text.
///
/// Of equal names the last one counts, as in Python, and stands where the first one stood.
#[must_use]
pub fn read(value: Value<'_>) -> Option<Restrictions> {
    let mut restrictions = Restrictions { all: Vec::new(), database: Vec::new(), resource: Vec::new() };
    for (name, value) in named(value)? {
        match name.as_ref() {
            "a" => restrictions.all = actions(value)?,
            "d" => {
                for (database, value) in named(value)? {
                    restrictions.database.push((database.into_owned(), actions(value)?));
                }
            }
            "r" => {
                for (database, value) in named(value)? {
                    for (resource, value) in named(value)? {
                        restrictions.resource.push((database.to_string(), resource.into_owned(), actions(value)?));
                    }
                }
            }
            _ => return None,
        }
    }
    Some(restrictions)
}

fn actions(value: Value<'_>) -> Option<Vec<String>> {
    value.items()?.map(|item| item.string().map(String::from)).collect()
}

/// The members of an object, each name once.
fn named(value: Value<'_>) -> Option<Vec<(Cow<'_, str>, Value<'_>)>> {
    let mut members: Vec<(Cow<'_, str>, Value<'_>)> = Vec::new();
    // An object of thousands of names must not take the time of their square.
    let mut places = BTreeMap::new();
    for (name, value) in value.members()? {
        let name = name.string()?;
        match places.insert(name.clone(), members.len()) {
            None => members.push((name, value)),
            Some(place) => {
                members.get_mut(place)?.1 = value;
                places.insert(name, place);
            }
        }
    }
    Some(members)
}
