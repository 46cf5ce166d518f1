//! The payload of a token: `{"a":ACTOR,"t":ISSUED[,"d":LIFETIME][,"_r":RESTRICTIONS],"j":ID}`.

use indexmap::IndexMap;
use keyward_sdk::Restrictions;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::marker::PhantomData;

/// The last second of the year 9999, and of the contract.
const LAST_SECOND: u64 = 253_402_300_799;

/// The content of a token. An unknown member could be a condition, so a payload with one is
/// invalid.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payload {
    /// The id of the actor that the token speaks for.
    #[serde(rename = "a")]
    pub actor: String,
    /// When it was issued, in Unix seconds.
    #[serde(rename = "t")]
    pub issued_at: u64,
    /// The lifetime in seconds; `None` if the token never expires.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub lifetime: Option<u32>,
    /// `None` leaves the actor its own rights; an empty allow-list, `{}`, allows nothing.
    #[serde(rename = "_r", default, skip_serializing_if = "Option::is_none", deserialize_with = "object")]
    pub restrictions: Option<AllowList>,
    /// A random name of the token, for revocation and audit.
    #[serde(rename = "j")]
    pub id: String,
}

impl Payload {
    /// Writes the payload as compact JSON.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts, numbers and lists are JSON")
    }

    /// Reads a payload, or returns `None` if it has another shape.
    pub fn from_json(json: &[u8]) -> Option<Self> {
        // Serde would read the members from a list, too.
        let read: Option<Self> = if json.starts_with(b"{") { serde_json::from_slice(json).ok() } else { None };
        read.filter(|payload| payload.expires_at().unwrap_or(payload.issued_at) <= LAST_SECOND)
    }

    /// Returns the last second in which the token is valid; `None` if it never expires.
    pub fn expires_at(&self) -> Option<u64> {
        self.lifetime.map(|seconds| self.issued_at.saturating_add(seconds.into()))
    }
}

/// Restrictions in Datasette's form: `{"a":[…],"d":{db:[…]},"r":{db:{resource:[…]}}}`, without
/// empty members.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AllowList {
    #[serde(rename = "a", skip_serializing_if = "Vec::is_empty")]
    all: Vec<String>,
    #[serde(rename = "d", skip_serializing_if = "Object::is_empty")]
    database: Object<Vec<String>>,
    #[serde(rename = "r", skip_serializing_if = "Object::is_empty")]
    resource: Object<Object<Vec<String>>>,
}

/// A JSON object in which each name occurs once. If one occurs twice, it is unclear which counts.
#[derive(Serialize)]
#[serde(transparent)]
struct Object<T>(IndexMap<String, T>);

impl<T> Object<T> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> Default for Object<T> {
    fn default() -> Self {
        Self(IndexMap::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Object<T>, A::Error> {
                let mut object = IndexMap::new();
                while let Some((name, value)) = members.next_entry()? {
                    if object.insert(name, value).is_some() {
                        return Err(A::Error::custom("a name occurs twice"));
                    }
                }
                Ok(Object(object))
            }
        }

        value.deserialize_map(Members(PhantomData))
    }
}

impl From<Restrictions> for AllowList {
    fn from(Restrictions { all, database, resource }: Restrictions) -> Self {
        let mut list = Self { all, database: Object(database.into_iter().collect()), ..Self::default() };
        for (database, resource, actions) in resource {
            list.resource.0.entry(database).or_default().0.insert(resource, actions);
        }
        list
    }
}

impl From<AllowList> for Restrictions {
    fn from(AllowList { all, database, resource }: AllowList) -> Self {
        let resource = resource.0.into_iter().flat_map(|(database, resources)| {
            resources.0.into_iter().map(move |(resource, actions)| (database.clone(), resource, actions))
        });
        Self { all, database: database.0.into_iter().collect(), resource: resource.collect() }
    }
}

/// Reads a member that may be absent, but not `null`: that must not mean "no restrictions".
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

/// Like [`present`], and reads no list as an allow-list, as Serde would.
fn object<'de, D: Deserializer<'de>>(value: D) -> Result<Option<AllowList>, D::Error> {
    struct Members;

    impl<'de> Visitor<'de> for Members {
        type Value = AllowList;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<AllowList, A::Error> {
            AllowList::deserialize(MapAccessDeserializer::new(members))
        }
    }

    value.deserialize_map(Members).map(Some)
}
