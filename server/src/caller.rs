//! Who asks: callers of the configuration and their secrets.

use crate::audit::{self, Asked};
use crate::config::{Caller, Config, SecretDigest};
use crate::context::Context;
use crate::credential::Authorization;
use crate::problem::{Problem, Scheme};
use crate::receive::Form;
use axum::body::Body;
use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// Shorter secrets are never accepted: their hash could be turned round.
const MIN_SECRET: usize = 32;

/// The RFC 4648 alphabet, with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A caller that has shown its secret and may do what it asks for. Only [`authorize`] gives one away.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AuthenticatedCaller<'a> {
    id: &'a str,
    caller: &'a Caller,
}

impl<'a> AuthenticatedCaller<'a> {
    /// Its id.
    pub(crate) fn id(&self) -> &'a str {
        self.id
    }

    /// What it may.
    pub(crate) fn rights(&self) -> &'a Caller {
        self.caller
    }
}

/// Credentials in a form body: `client_secret_post`.
#[derive(Clone, Copy)]
pub(crate) struct Posted<'a> {
    pub(crate) id: &'a str,
    pub(crate) secret: &'a str,
}

/// Finds out who asks, and that it may. Who is not known or may not is a line of the log.
pub(crate) fn authorize<'a>(
    context: &'a Context,
    endpoint: &'static str,
    headers: &HeaderMap,
    posted: Option<Posted<'_>>,
    may: fn(&Caller) -> bool,
) -> Result<AuthenticatedCaller<'a>, Problem> {
    let asked = Asked { endpoint, ..Asked::default() };
    let caller = authenticate(&context.live.config, headers, posted)
        .inspect_err(|_| audit::without_token(context, asked, "unknown-caller"))?;
    if !may(caller.rights()) {
        audit::without_token(context, Asked { caller: Some(caller.id()), ..asked }, "unauthorized-caller");
        return Err(Problem::UnauthorizedClient);
    }
    Ok(caller)
}

/// Like [`authorize`], for forms, which may hold the caller's id and secret themselves (`client_secret_post`).
pub(crate) async fn authorize_form<'a>(
    context: &'a Context,
    endpoint: &'static str,
    headers: &HeaderMap,
    body: Body,
    may: fn(&Caller) -> bool,
) -> Result<(AuthenticatedCaller<'a>, Form), Problem> {
    let authorize = |posted| authorize(context, endpoint, headers, posted, may);
    // Who names itself in the header has done so before any of the body is read.
    let known = if headers.contains_key(AUTHORIZATION) { Some(authorize(None)?) } else { None };
    let form = Form::receive(context, headers, body).await?;
    let posted = match (form.one("client_id")?, form.one("client_secret")?) {
        (Some(id), Some(secret)) => Some(Posted { id, secret }),
        (None, Some(_)) => return Err(Problem::InvalidRequest("`client_secret` needs a `client_id`")),
        // Some clients name themselves in the body although they authenticate in the header.
        (_, None) => None,
    };
    let caller = match (known, posted) {
        (Some(caller), None) => caller,
        (_, posted) => authorize(posted)?,
    };
    Ok((caller, form))
}

/// RFC 6749 section 2.3.1; Bearer as in RFC 7662 section 2.1.
fn authenticate<'a>(
    config: &'a Config,
    headers: &HeaderMap,
    posted: Option<Posted<'_>>,
) -> Result<AuthenticatedCaller<'a>, Problem> {
    let authorization = Authorization::of(headers);
    let nobody = Problem::InvalidClient(Scheme::Basic);
    match (authorization, posted) {
        (Authorization::Several, _) => Err(Problem::InvalidRequest("There is more than one `Authorization` header")),
        (Authorization::One { .. }, Some(_)) => {
            Err(Problem::InvalidRequest("The caller authenticates in more than one way: use one"))
        }
        (Authorization::Missing, None) => Err(nobody),
        (Authorization::Missing, Some(Posted { id, secret })) => by_id(config, id, secret).ok_or(nobody),
        (Authorization::One { .. }, None) => {
            if let Some(secret) = authorization.with_scheme("bearer") {
                by_secret(config, secret).ok_or(Problem::InvalidClient(Scheme::Bearer))
            } else {
                authorization.with_scheme("basic").and_then(|rest| by_basic(config, rest)).ok_or(nobody)
            }
        }
    }
}

/// Clients disagree on whether id and secret are form-encoded before they are put together, as RFC 6749 section 2.3.1
/// wants it: so both readings count, that one first.
fn by_basic<'a>(config: &'a Config, rest: &[u8]) -> Option<AuthenticatedCaller<'a>> {
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

fn by_id<'a>(config: &'a Config, id: &str, secret: &str) -> Option<AuthenticatedCaller<'a>> {
    let (id, caller) = config.callers.get_key_value(id)?;
    let fits = digest(secret.as_bytes())?.0.ct_eq(&caller.secret.0);
    bool::from(fits).then_some(AuthenticatedCaller { id, caller })
}

/// Compares with every caller, so that the time tells nothing about which one it was.
fn by_secret<'a>(config: &'a Config, secret: &[u8]) -> Option<AuthenticatedCaller<'a>> {
    let digest = digest(secret)?;
    let mut found = u32::MAX;
    for (place, caller) in (0..).zip(config.callers.values()) {
        let fits: Choice = digest.0.ct_eq(&caller.secret.0);
        found.conditional_assign(&place, fits);
    }
    let (id, caller) = config.callers.iter().nth(usize::try_from(found).ok()?)?;
    Some(AuthenticatedCaller { id, caller })
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

    fn introspecting(secret: SecretDigest) -> Caller {
        Caller { introspect: true, ..Caller::new(secret) }
    }

    fn config() -> Config {
        let mut config = Config::default();
        for (id, secret) in [("a", SECRET), ("b", ODD), ("short", "hunter2")] {
            let secret = SecretDigest::of(secret);
            config.callers.insert(id.to_owned(), introspecting(secret));
        }
        config
    }

    fn who(config: &Config, value: &str, posted: Option<Posted<'_>>) -> Result<String, Problem> {
        let mut headers = HeaderMap::new();
        if !value.is_empty() {
            headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        authenticate(config, &headers, posted).map(|caller| caller.id().to_owned())
    }

    fn basic(text: &str) -> String {
        format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(text))
    }

    #[test]
    fn each_way_leads_to_the_caller() {
        let config = config();
        assert_eq!(who(&config, &basic(&format!("a:{SECRET}")), None).unwrap(), "a");
        assert_eq!(who(&config, &format!("bearer  {SECRET}"), None).unwrap(), "a");
        assert_eq!(who(&config, "", Some(Posted { id: "a", secret: SECRET })).unwrap(), "a");
        assert_eq!(who(&config, &basic(&format!("b:{ODD}")), None).unwrap(), "b", "raw");
        let encoded = form_urlencoded::byte_serialize(ODD.as_bytes()).collect::<String>();
        assert_eq!(who(&config, &basic(&format!("%62:{encoded}")), None).unwrap(), "b", "form-encoded");
        assert_eq!(who(&config, &basic(&format!("a:{SECRET}")).replace('=', ""), None).unwrap(), "a", "no padding");
    }

    #[test]
    fn everything_else_leads_nowhere() {
        let config = config();
        let basic_challenge = Problem::InvalidClient(Scheme::Basic);
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
            assert_eq!(who(&config, value, None).unwrap_err(), Problem::InvalidClient(Scheme::Bearer), "{value}");
        }
        let twice = who(&config, &format!("Bearer {SECRET}"), Some(Posted { id: "a", secret: SECRET }));
        assert!(matches!(twice, Err(Problem::InvalidRequest(_))));
    }

    fn caller(secret: &str) -> Config {
        let secret = SecretDigest::of(secret);
        let mut config = Config::default();
        config.callers.insert("app-1".to_owned(), introspecting(secret));
        config
    }

    proptest! {
        /// Raw and form-encoded, whatever the secret is made of.
        #[test]
        fn every_secret_leads_to_its_caller(secret in "\\PC{32,60}") {
            let config = caller(&secret);
            let encoded: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
            prop_assert_eq!(who(&config, &basic(&format!("app-1:{secret}")), None), Ok("app-1".to_owned()));
            prop_assert_eq!(who(&config, &basic(&format!("app-1:{encoded}")), None), Ok("app-1".to_owned()));
            prop_assert_eq!(who(&config, "", Some(Posted { id: "app-1", secret: &secret })), Ok("app-1".to_owned()));
        }

        /// Bytes of no origin, and those that look like credentials.
        #[test]
        fn other_bytes_lead_nowhere(
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
            let config = caller(SECRET);
            let posted = posted.as_ref().map(|(id, secret)| Posted { id, secret });
            prop_assert!(authenticate(&config, &headers, posted).is_err());
        }
    }
}
