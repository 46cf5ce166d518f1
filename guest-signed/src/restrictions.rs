//! Restrictions in Datasette's form: `{"a":[…],"d":{db:[…]},"r":{db:{resource:[…]}}}`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use keyward_sdk::Restrictions;

use crate::python_json::{Value, write_string};

/// Appends restrictions as JSON. Members without entries are omitted, so that an empty allow-list
/// is `{}`.
pub fn write(to: &mut String, restrictions: &Restrictions) {
    let Restrictions { all, database, resource } = restrictions;
    let mut members = Writer::open(to);
    if !all.is_empty() {
        write_actions(members.name("a"), all);
    }
    if !database.is_empty() {
        let mut databases = Writer::open(members.name("d"));
        for (name, actions) in database {
            write_actions(databases.name(name), actions);
        }
        databases.close();
    }
    if !resource.is_empty() {
        let mut databases = Writer::open(members.name("r"));
        for (name, entries) in by_database(resource) {
            let mut resources = Writer::open(databases.name(name));
            for (resource, actions) in entries {
                write_actions(resources.name(resource), actions);
            }
            resources.close();
        }
        databases.close();
    }
    members.close();
}

/// A database name, and its resources with their actions.
type Database<'a> = (&'a str, Vec<(&'a str, &'a [String])>);

/// Groups resources by database, in the order in which the databases first occur.
fn by_database(entries: &[(String, String, Vec<String>)]) -> Vec<Database<'_>> {
    let mut databases: Vec<Database<'_>> = Vec::new();
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
struct Writer<'a> {
    to: &'a mut String,
    empty: bool,
}

impl<'a> Writer<'a> {
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

/// Reads restrictions. Returns `None` if the value has another shape or another member, or if a
/// name is not text.
///
/// The last of several equal names counts, as in Python, at the position of the first.
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

type Members<'d> = Vec<(Cow<'d, str>, Value<'d>)>;

/// Returns the members of an object, each name once.
fn named(value: Value<'_>) -> Option<Members<'_>> {
    let members: Members<'_> =
        value.members()?.map(|(name, value)| Some((name.string()?, value))).collect::<Option<_>>()?;
    let once =
        |(at, (name, _)): (usize, &(Cow<'_, str>, _))| members.iter().skip(at + 1).all(|(other, _)| other != name);
    Some(if members.len() <= FEW && members.iter().enumerate().all(once) { members } else { last_of_equal(members) })
}

/// Maximum number of names that are compared pairwise. More are sorted, so that an object of
/// thousands does not take quadratic time.
const FEW: usize = 16;

fn last_of_equal(members: Members<'_>) -> Members<'_> {
    let mut last: Members<'_> = Vec::with_capacity(members.len());
    let mut places = BTreeMap::new();
    for (name, value) in members {
        let place = *places.entry(name.clone()).or_insert(last.len());
        match last.get_mut(place) {
            Some(member) => member.1 = value,
            None => last.push((name, value)),
        }
    }
    last
}
