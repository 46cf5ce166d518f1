//! A handler as a plugin author would write it with the SDK. Its token selects the behavior.

use keyward_sdk::{
    Acceptance, CreateDenied, CreateError, CreateRequest, Created, Denial, Failure, Restrictions, SessionHandler,
    SessionRequest, TokenHandler, Verdict, log,
};

struct Guest;

const CARELESS: &str = "sdk_a-token-that-is-logged-with-care";

keyward_sdk::handler!(Guest);
keyward_sdk::session_handler!(Guest);

impl TokenHandler for Guest {
    fn create(request: CreateRequest) -> Result<Created, CreateError> {
        if request.actor_id == "careless" {
            let token = CARELESS.to_owned();
            log::write(log::Level::Info, &format!("issued {token} to a friend"));
            return Ok(Created { token, token_id: None, expires_at: None });
        }
        log::write(log::Level::Info, "issued nothing");
        Err(CreateError::Denied(CreateDenied { denial: Denial::Disabled, message: "not here".into() }))
    }

    #[expect(clippy::panic, reason = "this handler exists to show what a panic results in")]
    fn verify(token: &str) -> Result<Verdict, Failure> {
        match token {
            "sdk_panic" => panic!("on purpose: {}", 6 * 7),
            "sdk_failure" => Err(Failure::Unavailable("the moon is down".into())),
            "sdk_alice" => Ok(accept("alice", None)),
            CARELESS => Ok(accept("careless", None)),
            "sdk_an-actor-of-that-name" => Ok(accept("user of sdk_an-actor-of-that-name", None)),
            "sdk_an-id-of-that-name" => Ok(accept("alice", Some(token))),
            _ => Ok(Verdict::NotMine),
        }
    }
}

impl SessionHandler for Guest {
    fn identify(request: SessionRequest) -> Result<Verdict, Failure> {
        let Some((_, value)) = request.cookies.first() else { return Ok(Verdict::NotMine) };
        // `ann+view-table` is Ann with this action only.
        let (name, action) =
            value.split_once('+').map_or((value.as_str(), None), |(name, action)| (name, Some(action)));
        let restrictions =
            action.map(|action| Restrictions { all: vec![action.to_owned()], database: vec![], resource: vec![] });
        Ok(match accept(name, None) {
            Verdict::Accepted(acceptance) => Verdict::Accepted(Acceptance { restrictions, ..acceptance }),
            other => other,
        })
    }
}

fn accept(id: &str, token_id: Option<&str>) -> Verdict {
    Verdict::Accepted(Acceptance {
        actor: format!(r#"{{"id":"{id}"}}"#),
        restrictions: None,
        token_id: token_id.map(str::to_owned),
        issued_at: None,
        expires_at: None,
    })
}
