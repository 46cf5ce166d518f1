//! A handler whose token is a question: is this the signature of this message?
//!
//! `sig_ALGORITHM.MESSAGE.SIGNATURE`, the last two in base64url. The algorithm `HMAC` is that of
//! the key label `k`; the others verify with the public keys `k`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyward_sdk::public_keys::Algorithm;
use keyward_sdk::{
    Acceptance, CreateError, CreateRequest, Created, Denial, Failure, Reason, TokenHandler, Verdict, keys, public_keys,
};

struct Verifier;

keyward_sdk::handler!(Verifier);

impl TokenHandler for Verifier {
    fn create(_: CreateRequest) -> Result<Created, CreateError> {
        Err(CreateError::denied(Denial::Disabled, "not here"))
    }

    fn verify(token: &str) -> Result<Verdict, Failure> {
        match verify(token) {
            None => Ok(Verdict::NotMine),
            Some(Err(error)) => Err(Failure::Internal(error)),
            Some(Ok(false)) => Ok(Verdict::rejected(Reason::BadSignature, "no")),
            Some(Ok(true)) => Ok(Verdict::Accepted(Acceptance {
                actor: "{\"id\":\"yes\"}".to_owned(),
                restrictions: None,
                token_id: None,
                issued_at: None,
                expires_at: None,
            })),
        }
    }
}

fn verify(token: &str) -> Option<Result<bool, String>> {
    let mut parts = token.strip_prefix("sig_")?.split('.');
    let algorithm = parts.next()?;
    let [message, signature] =
        [URL_SAFE_NO_PAD.decode(parts.next()?).ok()?, URL_SAFE_NO_PAD.decode(parts.next()?).ok()?];
    let algorithm = match algorithm {
        "HMAC" => return Some(keys::verify("k", &message, &signature).map_err(|error| error.to_string())),
        "RS256" => Algorithm::Rs256,
        "RS384" => Algorithm::Rs384,
        "RS512" => Algorithm::Rs512,
        "PS256" => Algorithm::Ps256,
        "PS384" => Algorithm::Ps384,
        "PS512" => Algorithm::Ps512,
        "ES256" => Algorithm::Es256,
        "ES384" => Algorithm::Es384,
        "EdDSA" => Algorithm::Eddsa,
        _ => return None,
    };
    Some(public_keys::verify("k", None, algorithm, &message, &signature).map_err(|error| error.to_string()))
}
