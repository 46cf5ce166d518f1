//! The payload of a token: `{"a":ACTOR,"t":ISSUED[,"d":LIFETIME][,"_r":RESTRICTIONS],"j":ID}`.

use indexmap::IndexMap;
use keyward_sdk::Restrictions;
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

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
        if json.starts_with(b"{") { serde_json::from_slice(json).ok() } else { None }
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
    #[serde(rename = "d", skip_serializing_if = "IndexMap::is_empty")]
    database: IndexMap<String, Vec<String>>,
    #[serde(rename = "r", skip_serializing_if = "IndexMap::is_empty")]
    resource: IndexMap<String, IndexMap<String, Vec<String>>>,
}

impl From<Restrictions> for AllowList {
    fn from(Restrictions { all, database, resource }: Restrictions) -> Self {
        let mut list = Self { all, database: database.into_iter().collect(), ..Self::default() };
        for (database, resource, actions) in resource {
            list.resource.entry(database).or_default().insert(resource, actions);
        }
        list
    }
}

impl From<AllowList> for Restrictions {
    fn from(AllowList { all, database, resource }: AllowList) -> Self {
        let resource = resource.into_iter().flat_map(|(database, resources)| {
            resources.into_iter().map(move |(resource, actions)| (database.clone(), resource, actions))
        });
        Self { all, database: database.into_iter().collect(), resource: resource.collect() }
    }
}

/// Reads a member that may be absent, but not `null`: that must not mean "no restrictions".
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

/// Like [`present`], and reads no list as an allow-list, as Serde would.
fn object<'de, D: Deserializer<'de>>(value: D) -> Result<Option<AllowList>, D::Error> {
    let members = Map::deserialize(value)?;
    AllowList::deserialize(Value::Object(members)).map(Some).map_err(D::Error::custom)
}
