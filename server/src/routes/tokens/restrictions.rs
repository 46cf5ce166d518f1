//! Restrictions in requests and responses, with full action names.

use indexmap::IndexMap;
use keyward_runtime::{Registry, Restrictions};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::marker::PhantomData;
use utoipa::ToSchema;

/// Restrictions, with full action names. Empty restrictions allow nothing.
#[derive(Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RestrictionsBody {
    /// Actions allowed on everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    all: Vec<String>,
    /// Actions allowed on a database, by database.
    #[serde(default, skip_serializing_if = "Members::is_empty")]
    #[schema(value_type = BTreeMap<String, Vec<String>>)]
    database: Members<Vec<String>>,
    /// Actions allowed on a resource, by database and resource.
    #[serde(default, skip_serializing_if = "Members::is_empty")]
    #[schema(value_type = BTreeMap<String, BTreeMap<String, Vec<String>>>)]
    resource: Members<Members<Vec<String>>>,
}

impl RestrictionsBody {
    /// Converts to the runtime's type.
    pub(super) fn checked(self) -> Restrictions {
        let Self { all, database, resource } = self;
        let mut restrictions = all.into_iter().fold(Restrictions::new(), Restrictions::allow_all);
        for (database, actions) in database.0 {
            for action in actions {
                restrictions = restrictions.allow_database(&database, action);
            }
        }
        for (database, resources) in resource.0 {
            for (resource, actions) in resources.0 {
                for action in actions {
                    restrictions = restrictions.allow_resource(&database, &resource, action);
                }
            }
        }
        restrictions
    }

    /// Converts stored restrictions, whose actions are abbreviated. An abbreviation that is no
    /// longer configured is kept.
    pub(super) fn of(restrictions: &Restrictions, registry: &Registry) -> Self {
        let mut body = Self::default();
        for (action, database, resource) in restrictions.iter() {
            let action = registry.action(action).unwrap_or(action).to_owned();
            let Self { all, database: databases, resource: resources } = &mut body;
            match (database, resource) {
                (None, _) => all.push(action),
                (Some(database), None) => databases.0.entry(database.to_owned()).or_default().push(action),
                (Some(database), Some(resource)) => {
                    let resources = &mut resources.0.entry(database.to_owned()).or_default().0;
                    resources.entry(resource.to_owned()).or_default().push(action);
                }
            }
        }
        body
    }
}

/// The members of an object, in their order. Duplicate names are rejected as ambiguous.
struct Members<V>(IndexMap<String, V>);

impl<V> Members<V> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<V> Default for Members<V> {
    fn default() -> Self {
        Self(IndexMap::new())
    }
}

impl<V: Serialize> Serialize for Members<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(&self.0)
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Members<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Object<V> {
            type Value = Members<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = IndexMap::new();
                while let Some((name, value)) = map.next_entry()? {
                    if members.insert(name, value).is_some() {
                        return Err(A::Error::custom("duplicate name"));
                    }
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object(PhantomData))
    }
}
