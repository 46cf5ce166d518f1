//! A handler as an author would write it with the SDK. Its token says what it is to do.

use keyward_sdk::{
    Acceptance, CreateDenied, CreateError, CreateRequest, Created, Denial, Failure, TokenHandler, Verdict,
};

struct Guest;

keyward_sdk::handler!(Guest);

impl TokenHandler for Guest {
    fn create(_: CreateRequest) -> Result<Created, CreateError> {
        Err(CreateError::Denied(CreateDenied { denial: Denial::Disabled, message: "not here".into() }))
    }

    #[expect(clippy::panic, reason = "what a panic comes to is what this is for")]
    fn verify(token: &str) -> Result<Verdict, Failure> {
        match token {
            "sdk_panic" => panic!("on purpose: {}", 6 * 7),
            "sdk_failure" => Err(Failure::Unavailable("the moon is down".into())),
            "sdk_alice" => Ok(Verdict::Accepted(Acceptance {
                actor: r#"{"id":"alice"}"#.into(),
                restrictions: None,
                token_id: None,
                issued_at: None,
                expires_at: None,
            })),
            _ => Ok(Verdict::NotMine),
        }
    }
}
