//! Restrictions as requests and answers have them: actions in full.

use indexmap::IndexMap;
use keyward_runtime::{Registry, Restrictions};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::marker::PhantomData;
use utoipa::ToSchema;

/// Actions in full, and what they are allowed on. Nothing at all allows nothing.
#[derive(Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RestrictionsBody {
    /// On everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    all: Vec<String>,
    /// By database.
    #[serde(default, skip_serializing_if = "Members::is_empty")]
    #[schema(value_type = BTreeMap<String, Vec<String>>)]
    database: Members<Vec<String>>,
    /// By database and resource.
    #[serde(default, skip_serializing_if = "Members::is_empty")]
    #[schema(value_type = BTreeMap<String, BTreeMap<String, Vec<String>>>)]
    resource: Members<Members<Vec<String>>>,
}

impl RestrictionsBody {
    /// As the runtime takes them.
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

    /// Of what is kept, where actions stand by short names. One that the configuration does not know any more stays as it is.
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

/// The members of an object, in their order and each once: of two with one name, which counts would be a guess.
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
                        return Err(A::Error::custom("a name stands twice"));
                    }
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object(PhantomData))
    }
}
