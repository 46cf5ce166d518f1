//! The public halves of the keys that handlers sign with, for other services.

use super::Registry;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

impl Registry {
    /// Returns the public halves of all Ed25519 keys that handlers sign or will sign with, as a JWK
    /// Set (RFC 7517, RFC 8037), with which another service verifies tokens. Symmetric keys are
    /// never part of it.
    ///
    /// Pending keys are included, so that every service knows a key before it signs.
    pub fn jwk_set(&self) -> String {
        let keys = self.0.handlers.iter().flat_map(|handler| handler.bound.keys.values());
        let mut keys: Vec<_> = keys.flat_map(|keys| keys.public_keys()).collect();
        // Grants have no order of their own.
        keys.sort_unstable();
        let jwk = |(id, key): (&str, &[u8])| {
            json!({
                "kty": "OKP",
                "crv": "Ed25519",
                "x": URL_SAFE_NO_PAD.encode(key),
                "kid": id,
                "use": "sig",
                "alg": "EdDSA",
            })
        };
        json!({ "keys": keys.into_iter().map(jwk).collect::<Vec<_>>() }).to_string()
    }
}
