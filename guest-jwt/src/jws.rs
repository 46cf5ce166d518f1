//! The compact form of a JSON Web Signature (RFC 7515 section 3.1).

use crate::json;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// A token whose parts were parsed. Its signature is not verified.
pub(crate) struct Jws<'t> {
    pub(crate) algorithm: String,
    pub(crate) key_id: Option<String>,
    pub(crate) media_type: Option<String>,
    pub(crate) payload: Map<String, Value>,
    /// The first two parts, which the signature covers.
    pub(crate) signed: &'t str,
    pub(crate) signature: Vec<u8>,
}

impl<'t> Jws<'t> {
    /// Parses a token.
    ///
    /// # Errors
    /// Returns a sentence for the caller.
    pub(crate) fn parse(token: &'t str) -> Result<Self, &'static str> {
        const FORM: &str = "Invalid token: not a signed JWT in its compact form";
        let (signed, signature) = token.rsplit_once('.').ok_or(FORM)?;
        let (header, payload) = signed.split_once('.').filter(|(_, payload)| !payload.contains('.')).ok_or(FORM)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok().filter(|signature| !signature.is_empty()).ok_or(FORM)?;
        let object = |part: &str| URL_SAFE_NO_PAD.decode(part).ok().and_then(|json| json::object(&json));
        let header =
            object(header).ok_or("Invalid token: the header is not a JSON object with unique names and few levels")?;
        let payload = object(payload)
            .ok_or("Invalid token: the payload is not a JSON object with unique names and few levels")?;
        // Extensions that a verifier must understand (RFC 7515 section 4.1.11, RFC 7797), and
        // encryption.
        if ["crit", "b64", "enc", "zip"].iter().any(|name| header.contains_key(*name)) {
            return Err("Invalid token: the header has an extension that is not supported");
        }
        let text = |name: &str| match header.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err("Invalid token: a member of the header is not text"),
        };
        if text("cty")?.is_some_and(|content| is_media_type(&content, "JWT")) {
            return Err("Invalid token: nested tokens are not supported");
        }
        let algorithm = text("alg")?.ok_or("Invalid token: the header has no `alg`")?;
        Ok(Self { algorithm, key_id: text("kid")?, media_type: text("typ")?, payload, signed, signature })
    }
}

/// Returns whether a media type is `wanted`, in any case, and with or without `application/` (RFC
/// 7515 section 4.1.9).
pub(crate) fn is_media_type(text: &str, wanted: &str) -> bool {
    const APPLICATION: &str = "application/";
    let start = text.get(..APPLICATION.len()).filter(|start| start.eq_ignore_ascii_case(APPLICATION));
    let name = text.get(start.map_or(0, str::len)..).unwrap_or_default();
    name.eq_ignore_ascii_case(wanted)
}
