//! Client authentication and permission checks.

use crate::body::Form;
use crate::config::{Client, Config, Right, SecretDigest};
use crate::context::Context;
use crate::credential::Authorization;
use crate::decision_log::{self, DecisionContext};
use crate::endpoints::Endpoint;
use crate::error::{ApiError, RateLimited, Scheme};
use crate::peer::Peer;
use crate::slots::ListSlot;
use axum::body::Body;
use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// Minimum length of a client secret, in bytes. The hash of a shorter one could be reversed.
const MIN_SECRET: usize = 32;

/// The RFC 4648 alphabet, with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A client that has authenticated. [`authorize`] returns it only if it has the required rights.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AuthenticatedClient<'a> {
    id: &'a str,
    client: &'a Client,
}

impl<'a> AuthenticatedClient<'a> {
    /// Returns the client's id.
    pub(crate) fn id(&self) -> &'a str {
        self.id
    }

    /// Returns the client's configuration.
    pub(crate) fn config(&self) -> &'a Client {
        self.client
    }
}

/// Credentials in a form body: `client_secret_post`.
#[derive(Clone, Copy)]
pub(crate) struct PostCredentials<'a> {
    pub(crate) id: &'a str,
    pub(crate) secret: &'a str,
}

/// Authenticates the client, and checks its rate, and that it has the `rights`. Failures are
/// logged, unless there are too many per second.
///
/// # Errors
/// A failed authentication of a peer with too many gets 429. A valid secret is accepted
/// nevertheless, so that no client can lock out another.
pub(crate) fn authorize<'a>(
    context: &'a Context,
    endpoint: &Endpoint,
    headers: &HeaderMap,
    posted: Option<PostCredentials<'_>>,
    rights: &[Right],
) -> Result<AuthenticatedClient<'a>, ApiError> {
    let asked = DecisionContext { endpoint: endpoint.name, ..DecisionContext::default() };
    let live = &context.live;
    let client = match authenticate(&live.config, headers, posted) {
        Ok(client) => client,
        Err(problem) => {
            if let Peer::Address(address) = context.peer
                && !live.config.forward_auth.trusts(context.peer)
            {
                let counted = live.rates.failed_authentication(address);
                counted.map_err(|wait| ApiError::RateLimited(RateLimited { limit: "failed-authentications", wait }))?;
            }
            decision_log::log_without_token(context, asked, "unknown-client");
            return Err(problem);
        }
    };
    let counted = live.rates.client(client.id());
    counted.map_err(|wait| ApiError::RateLimited(RateLimited { limit: "client", wait }))?;
    if !rights.iter().all(|right| client.config().may(*right)) {
        decision_log::log_without_token(
            context,
            DecisionContext { client: Some(client.id()), ..asked },
            "unauthorized-client",
        );
        return Err(ApiError::UnauthorizedClient);
    }
    Ok(client)
}

/// Takes a slot for a list or a count of the client, which it keeps until it is dropped.
///
/// # Errors
/// The client has as many in progress as it may.
pub(crate) fn list_slot(context: &Context, client: AuthenticatedClient<'_>) -> Result<ListSlot, ApiError> {
    let slot = context.live.slots.take_for_list(client.id());
    slot.ok_or(ApiError::RateLimited(RateLimited { limit: "lists", wait: 1 }))
}

/// Like [`authorize`], for forms, which may contain the client's id and secret
/// (`client_secret_post`).
pub(crate) async fn authorize_form<'a>(
    context: &'a Context,
    endpoint: &Endpoint,
    headers: &HeaderMap,
    body: Body,
    rights: &[Right],
) -> Result<(AuthenticatedClient<'a>, Form), ApiError> {
    let authorize = |posted| authorize(context, endpoint, headers, posted, rights);
    // Check the header first, so that the body of an unauthorized client is never read.
    let known = if headers.contains_key(AUTHORIZATION) { Some(authorize(None)?) } else { None };
    let form = Form::receive(context, headers, body).await?;
    let posted = match (form.one("client_id")?, form.one("client_secret")?) {
        (Some(id), Some(secret)) => Some(PostCredentials { id, secret }),
        (None, Some(_)) => return Err(ApiError::InvalidRequest("`client_secret` requires `client_id`")),
        // Some clients send `client_id` in the body although they authenticate in the header.
        (_, None) => None,
    };
    let client = match (known, posted) {
        (Some(client), None) => client,
        (_, posted) => authorize(posted)?,
    };
    Ok((client, form))
}

/// Authenticates a client as in RFC 6749 section 2.3.1, or by Bearer as in RFC 7662 section 2.1.
fn authenticate<'a>(
    config: &'a Config,
    headers: &HeaderMap,
    posted: Option<PostCredentials<'_>>,
) -> Result<AuthenticatedClient<'a>, ApiError> {
    let authorization = Authorization::of(headers);
    let unauthenticated = ApiError::InvalidClient(Scheme::Basic);
    match (authorization, posted) {
        (Authorization::Several, _) => Err(ApiError::InvalidRequest("There is more than one `Authorization` header")),
        (Authorization::One { .. }, Some(_)) => {
            Err(ApiError::InvalidRequest("The client authenticates in more than one way: use one"))
        }
        (Authorization::Missing, None) => Err(unauthenticated),
        (Authorization::Missing, Some(PostCredentials { id, secret })) => {
            by_id(config, id, secret).ok_or(unauthenticated)
        }
        (Authorization::One { .. }, None) => {
            if let Some(secret) = authorization.with_scheme("bearer") {
                by_secret(config, secret).ok_or(ApiError::InvalidClient(Scheme::Bearer))
            } else {
                authorization.with_scheme("basic").and_then(|rest| by_basic(config, rest)).ok_or(unauthenticated)
            }
        }
    }
}

/// Authenticates by HTTP Basic. RFC 6749 section 2.3.1 requires id and secret to be form-encoded,
/// but not every client does so: the encoded reading is tried first, then the raw one.
fn by_basic<'a>(config: &'a Config, rest: &[u8]) -> Option<AuthenticatedClient<'a>> {
    let text = String::from_utf8(BASE64.decode(rest).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    let decoded = form_decode(id).zip(form_decode(secret));
    let decoded = decoded.and_then(|(id, secret)| by_id(config, &id, &secret));
    decoded.or_else(|| by_id(config, id, secret))
}

fn form_decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().ok()?.into_owned();
    Some(Cow::Owned(decoded))
}

fn by_id<'a>(config: &'a Config, id: &str, secret: &str) -> Option<AuthenticatedClient<'a>> {
    let (id, client) = config.clients.get_key_value(id)?;
    let matches = digest(secret.as_bytes())?.0.ct_eq(&client.secret.0);
    bool::from(matches).then_some(AuthenticatedClient { id, client })
}

/// Finds a client by its secret. Compares with every client, so that the time does not reveal which
/// one matched.
fn by_secret<'a>(config: &'a Config, secret: &[u8]) -> Option<AuthenticatedClient<'a>> {
    let digest = digest(secret)?;
    let mut found = u32::MAX;
    for (place, client) in (0..).zip(config.clients.values()) {
        let matches: Choice = digest.0.ct_eq(&client.secret.0);
        found.conditional_assign(&place, matches);
    }
    let (id, client) = config.clients.iter().nth(usize::try_from(found).ok()?)?;
    Some(AuthenticatedClient { id, client })
}

fn digest(secret: &[u8]) -> Option<SecretDigest> {
    let secret = std::str::from_utf8(secret).ok()?;
    (secret.len() >= MIN_SECRET).then(|| SecretDigest::of(secret))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    const SECRET: &str = "0123456789abcdefghijklmnopqrstuv";
    const ODD: &str = "s3 cret%25 with + and more than 32 bytes";

    fn introspecting(secret: SecretDigest) -> Client {
        Client::new(secret, [Right::Introspect])
    }

    fn config() -> Config {
        let mut config = Config::default();
        for (id, secret) in [("a", SECRET), ("b", ODD), ("short", "hunter2")] {
            let secret = SecretDigest::of(secret);
            config.clients.insert(id.to_owned(), introspecting(secret));
        }
        config
    }

    fn who(config: &Config, value: &str, posted: Option<PostCredentials<'_>>) -> Result<String, ApiError> {
        let mut headers = HeaderMap::new();
        if !value.is_empty() {
            headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        authenticate(config, &headers, posted).map(|client| client.id().to_owned())
    }

    fn basic(text: &str) -> String {
        format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(text))
    }

    #[test]
    fn every_authentication_method_finds_the_client() {
        let config = config();
        assert_eq!(who(&config, &basic(&format!("a:{SECRET}")), None).unwrap(), "a");
        assert_eq!(who(&config, &format!("bearer  {SECRET}"), None).unwrap(), "a");
        assert_eq!(who(&config, "", Some(PostCredentials { id: "a", secret: SECRET })).unwrap(), "a");
        assert_eq!(who(&config, &basic(&format!("b:{ODD}")), None).unwrap(), "b", "raw");
        let encoded = form_urlencoded::byte_serialize(ODD.as_bytes()).collect::<String>();
        assert_eq!(who(&config, &basic(&format!("%62:{encoded}")), None).unwrap(), "b", "form-encoded");
        assert_eq!(who(&config, &basic(&format!("a:{SECRET}")).replace('=', ""), None).unwrap(), "a", "no padding");
    }

    #[test]
    fn invalid_credentials_are_rejected() {
        let config = config();
        let basic_challenge = ApiError::InvalidClient(Scheme::Basic);
        for value in [
            "",
            "Basic",
            "Basic !!!",
            "Digest x",
            &basic("a"),
            &basic("a:"),
            &basic(&format!("b:{SECRET}")),
            &basic(&format!("nobody:{SECRET}")),
            &basic("short:hunter2"),
            &basic(&format!("a:{SECRET}x")),
        ] {
            assert_eq!(who(&config, value, None).unwrap_err(), basic_challenge, "{value}");
        }
        for value in ["Bearer", "Bearer hunter2", &format!("Bearer {SECRET}x")] {
            assert_eq!(who(&config, value, None).unwrap_err(), ApiError::InvalidClient(Scheme::Bearer), "{value}");
        }
        let twice = who(&config, &format!("Bearer {SECRET}"), Some(PostCredentials { id: "a", secret: SECRET }));
        assert!(matches!(twice, Err(ApiError::InvalidRequest(_))));
    }

    fn client(secret: &str) -> Config {
        let secret = SecretDigest::of(secret);
        let mut config = Config::default();
        config.clients.insert("app-1".to_owned(), introspecting(secret));
        config
    }

    proptest! {
        /// Any secret works, raw or form-encoded.
        #[test]
        fn every_secret_finds_its_client(secret in "\\PC{32,60}") {
            let config = client(&secret);
            let encoded: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
            prop_assert_eq!(who(&config, &basic(&format!("app-1:{secret}")), None), Ok("app-1".to_owned()));
            prop_assert_eq!(who(&config, &basic(&format!("app-1:{encoded}")), None), Ok("app-1".to_owned()));
            prop_assert_eq!(who(&config, "", Some(PostCredentials { id: "app-1", secret: &secret })), Ok("app-1".to_owned()));
        }

        /// Random bytes, and text that resembles credentials.
        #[test]
        fn other_bytes_are_rejected(
            scheme in prop_oneof![Just(""), Just("Basic "), Just("Bearer "), Just("bAsIc  ")],
            rest in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..120),
                "[A-Za-z0-9+/=%:]{0,120}".prop_map(String::into_bytes),
                "app-1:[\\x00-\\x7f]{0,60}".prop_map(|text| base64::prelude::BASE64_STANDARD.encode(text).into_bytes()),
            ],
            posted in prop::option::of((prop_oneof![Just("app-1".to_owned()), ".{0,10}"], ".{0,60}")),
        ) {
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&[scheme.as_bytes(), &rest].concat()) {
                headers.insert(AUTHORIZATION, value);
            }
            let config = client(SECRET);
            let posted = posted.as_ref().map(|(id, secret)| PostCredentials { id, secret });
            prop_assert!(authenticate(&config, &headers, posted).is_err());
        }
    }
}
