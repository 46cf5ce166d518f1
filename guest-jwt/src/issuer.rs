//! The setting `issuers`.

use keyward_sdk::public_keys::Algorithm;
use keyward_sdk::{Failure, settings};
use serde::de::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// An issuer whose tokens are accepted: an element of the setting `issuers`.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// The issuer's name, which the claim `iss` equals exactly.
    pub iss: String,
    /// The label of the key ring that verifies HS256, HS384, HS512 or EdDSA; either this or
    /// `public_keys`.
    #[serde(default)]
    pub key: Option<String>,
    /// The label of the public keys.
    #[serde(default)]
    pub public_keys: Option<String>,
    /// The algorithms that the issuer uses, at least one; exactly one with `key`.
    pub algorithms: Vec<String>,
    /// The names under which the host is addressed, one or a list: the claim `aud` has at least
    /// one.
    #[serde(default, deserialize_with = "one_or_many")]
    pub aud: Vec<String>,
    /// The media type that the header's `typ` must have, such as `at+jwt` (RFC 9068). Without it,
    /// `typ` is `JWT`, `at+jwt` or absent.
    #[serde(default)]
    pub typ: Option<String>,
    /// Number of seconds by which the clocks may differ; by default 60, or 0 with `issues`, whose
    /// tokens have the time of the host.
    #[serde(default)]
    pub leeway: Option<u32>,
    /// Maximum number of seconds from `iat` to `exp`; without it, `iat` may be absent.
    #[serde(default)]
    pub max_lifetime: Option<u64>,
    /// The claim with the actor's id; `sub` by default.
    #[serde(default = "subject")]
    pub actor: String,
    /// The claims that become members of the actor.
    #[serde(default)]
    pub claims: Vec<String>,
    /// The restrictions of the token. Without it, tokens are not restricted.
    #[serde(default)]
    pub scopes: Option<Scopes>,
    /// Set if this handler issues tokens as this issuer. Requires `key`.
    #[serde(default)]
    pub issues: bool,
    /// Claims that a token may lack. Without `exp`, a token never expires; without `aud`, it may
    /// have been issued for another service.
    #[serde(default)]
    pub dangerous_optional: Vec<Claim>,
}

/// A map from scopes to restrictions. A token without a scope that is mapped may do nothing.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scopes {
    /// The claim with the scopes: text in which spaces separate them (RFC 8693 section 4.2), or a
    /// list; `scope` by default.
    #[serde(default = "scope")]
    pub claim: String,
    /// The actions that each scope allows on everything.
    pub actions: BTreeMap<String, Vec<String>>,
}

/// A claim that is required unless `dangerous_optional` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Claim {
    /// The issuer. A token without it is verified as this issuer's.
    Iss,
    /// The audience.
    Aud,
    /// The expiry.
    Exp,
    /// The subject.
    Sub,
}

fn subject() -> String {
    "sub".to_owned()
}

fn scope() -> String {
    "scope".to_owned()
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(name) => vec![name],
        OneOrMany::Many(names) => names,
    })
}

/// The place of an issuer's keys, with its label.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source<'i> {
    Ring(&'i str),
    Set(&'i str),
}

/// The kind of a signature.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Method {
    Hmac,
    Public(Algorithm),
}

impl Method {
    /// Returns the method of an `alg`; `None` for `none` and any other name.
    fn named(algorithm: &str) -> Option<Self> {
        Some(match algorithm {
            "HS256" | "HS384" | "HS512" => Self::Hmac,
            "RS256" => Self::Public(Algorithm::Rs256),
            "RS384" => Self::Public(Algorithm::Rs384),
            "RS512" => Self::Public(Algorithm::Rs512),
            "PS256" => Self::Public(Algorithm::Ps256),
            "PS384" => Self::Public(Algorithm::Ps384),
            "PS512" => Self::Public(Algorithm::Ps512),
            "ES256" => Self::Public(Algorithm::Es256),
            "ES384" => Self::Public(Algorithm::Es384),
            // The newer name is that of RFC 9864.
            "EdDSA" | "Ed25519" => Self::Public(Algorithm::Eddsa),
            _ => return None,
        })
    }
}

impl Issuer {
    /// Returns the method of an algorithm, or `None` if the issuer does not use it.
    pub(crate) fn method(&self, algorithm: &str) -> Option<Method> {
        if self.algorithms.iter().any(|used| used == algorithm) { Method::named(algorithm) } else { None }
    }

    pub(crate) fn source(&self) -> Result<Source<'_>, Failure> {
        match (&self.key, &self.public_keys) {
            (Some(label), None) => Ok(Source::Ring(label)),
            (None, Some(label)) => Ok(Source::Set(label)),
            _ => Err(wrong(&self.iss, "needs one of `key` and `public_keys`")),
        }
    }

    pub(crate) fn leeway(&self) -> u32 {
        self.leeway.unwrap_or(if self.issues { 0 } else { 60 })
    }

    pub(crate) fn may_lack(&self, claim: Claim) -> bool {
        self.dangerous_optional.contains(&claim)
    }

    fn check(&self) -> Result<(), Failure> {
        let is_ring = matches!(self.source()?, Source::Ring(_));
        let fits = |algorithm: &String| match Method::named(algorithm) {
            Some(Method::Hmac) => is_ring,
            Some(Method::Public(Algorithm::Eddsa)) => true,
            Some(Method::Public(_)) => !is_ring,
            None => false,
        };
        if self.algorithms.is_empty() {
            return Err(wrong(&self.iss, "names no algorithm"));
        }
        if is_ring && self.algorithms.len() > 1 {
            return Err(wrong(&self.iss, "names several algorithms, but a key ring has one"));
        }
        if let Some(other) = self.algorithms.iter().find(|algorithm| !fits(algorithm)) {
            return Err(wrong(&self.iss, &["names the algorithm `", other, "`, which its keys cannot have"].concat()));
        }
        if self.aud.is_empty() && !self.may_lack(Claim::Aud) {
            return Err(wrong(&self.iss, "has no `aud`"));
        }
        if self.issues && !(is_ring && self.actor == "sub" && self.scopes.is_none()) {
            return Err(wrong(&self.iss, "can only issue tokens with a `key`, and without `actor` and `scopes`"));
        }
        Ok(())
    }
}

fn wrong(iss: &str, what: &str) -> Failure {
    Failure::Internal(["the setting `issuers`: the issuer `", iss, "` ", what].concat())
}

/// Returns the configured issuers.
///
/// # Errors
/// Fails if the setting is missing or wrong: an operator's mistake must not look like an invalid
/// token.
pub(crate) fn configured() -> Result<Vec<Issuer>, Failure> {
    let text = settings::get("issuers")
        .ok_or_else(|| Failure::Internal("the setting `issuers` is missing: list at least one issuer".to_owned()))?;
    let issuers: Vec<Issuer> = serde_json::from_str(&text)
        .map_err(|error| Failure::Internal(["the setting `issuers`: ", &error.to_string()].concat()))?;
    for (at, issuer) in issuers.iter().enumerate() {
        issuer.check()?;
        if issuers.iter().take(at).any(|other| other.iss == issuer.iss) {
            return Err(wrong(&issuer.iss, "is listed twice"));
        }
        if issuer.issues && issuers.iter().take(at).any(|other| other.issues) {
            return Err(wrong(&issuer.iss, "is not the only one that issues tokens"));
        }
    }
    Ok(issuers)
}
