//! The measured handlers and tokens.

use hmac::{Hmac, KeyInit, Mac};
use keyward_guest_signed::Signed;
use keyward_runtime::clock::UnixTime;
use keyward_runtime::keys::{KeyGrant, KeyRing, Scheme, Secret};
use keyward_runtime::{
    Actors, CreateRequest, Created, Creation, HandlerConfig, Registry, Restrictions, Runtime, Verdict,
};
use keyward_sdk::TokenHandler;
use keyward_sdk::testing::Host;
use sha1::{Digest, Sha1};
use sha2::Sha256;
use std::hint::black_box;
use std::sync::Arc;

pub(crate) const NOW: UnixTime = UnixTime { seconds: 1_767_225_660, nanoseconds: 0 };
pub(crate) const SECRET: [u8; 32] = [7; 32];

pub(crate) fn runtime() -> Runtime {
    Runtime::builder().clock(NOW).dangerous_compile_in_process().build().unwrap()
}

/// Configures `builtin:signed` with all features on except the verdict cache: every verification is
/// a call.
pub(crate) fn signed(scheme: Scheme) -> HandlerConfig {
    let ring = Arc::new(KeyRing::new("main", Secret::new(SECRET), vec![]).unwrap());
    let mut config = HandlerConfig::new("signed", keyward_handlers::SIGNED, Actors::Any);
    config.prefixes = vec!["dstok_".into()];
    config.limits.verdict_cache_bytes = 0;
    config.keys.insert("token".into(), KeyGrant::new(ring).scheme(scheme).namespace("token"));
    config
}

/// Returns the same handler compiled natively, over the same keys.
pub(crate) fn native(scheme: Scheme) -> Host {
    let host = Host::new().at(NOW.seconds, NOW.nanoseconds);
    match scheme {
        Scheme::HmacSha256 => {
            let mac = hmac();
            let signer = mac.clone();
            host.key(
                "token",
                move |message| signer.clone().chain_update(message).finalize().into_bytes().to_vec(),
                move |message, signature| mac.clone().chain_update(message).verify_slice(signature).is_ok(),
            )
        }
        _ => {
            let key = Sha1::new().chain_update("token").chain_update("signer").chain_update(SECRET).finalize();
            let mac = Hmac::<Sha1>::new_from_slice(&key).unwrap();
            let signer = mac.clone();
            host.key(
                "token",
                move |message| signer.clone().chain_update(message).finalize().into_bytes().to_vec(),
                move |message, signature| mac.clone().chain_update(message).verify_slice(signature).is_ok(),
            )
        }
    }
}

/// Returns the key of the scheme `hmac-sha256`.
pub(crate) fn hmac() -> Hmac<Sha256> {
    let mut info = b"keyward hmac-sha256 v1".to_vec();
    for name in ["token", "token"] {
        info.extend((name.len() as u64).to_be_bytes());
        info.extend(name.as_bytes());
    }
    let mut key = [0; 32];
    hkdf::Hkdf::<Sha256>::new(None, &SECRET).expand(&info, &mut key).unwrap();
    Hmac::new_from_slice(&key).unwrap()
}

/// A request for a token of about 300 bytes that zlib does not shrink: the actor id is random.
pub(crate) fn plain_request() -> CreateRequest {
    let mut request = CreateRequest::new(
        "acct:k3;Zx)Vq7~Wm2^Tb9&Lr4!Jd8@Hs6#Gf1$Ya5%Uo0*Pi(Ne+Cv=B,wKz<XQ>tM?Rj|Dh[Sg]Ef}Al{u_Oy.Ib-Fn`Tz7vPq%3mWd@1xLc&9sHj^5bRk!8gYf#2aUe*6oNi4wQ;hZ~Xp",
    );
    request.restrictions = Some(Restrictions::new().allow_all("vi"));
    request.expires_after = std::num::NonZeroU32::new(3600);
    request
}

/// A request for a token with repetitive restrictions, as Datasette's often are: compressed.
pub(crate) fn zipped_request() -> CreateRequest {
    let mut request = CreateRequest::new("someone@example.com");
    let tables = ["documents", "document_pages", "document_authors", "comments", "comment_votes"];
    request.restrictions = Some(tables.iter().fold(Restrictions::new().allow_all("vi"), |some, table| {
        some.allow_resource("docs", *table, "ir").allow_resource("docs", *table, "ur")
    }));
    request.expires_after = std::num::NonZeroU32::new(3600);
    request
}

pub(crate) fn token(registry: &Registry, request: CreateRequest) -> String {
    created(registry, request).token
}

pub(crate) fn created(registry: &Registry, request: CreateRequest) -> Created {
    match registry.create_blocking(request).unwrap() {
        Creation::Created(created) => created,
        Creation::Denied(denied) => panic!("{}", denied.message),
    }
}

pub(crate) fn verify_natively(token: &str) {
    let Ok(keyward_sdk::Verdict::Accepted(acceptance)) = Signed::verify(token) else { panic!("a valid token") };
    black_box(acceptance);
}

pub(crate) fn accepted(verdict: Result<Verdict, keyward_runtime::Error>) {
    match verdict {
        Ok(Verdict::Accepted(_)) => {}
        other => panic!("{other:?}"),
    }
}
