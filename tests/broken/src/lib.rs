//! A token handler that breaks its contract in the way that the setting `fault` names, and keeps it
//! without the setting. Its tokens are `br_PAYLOAD.SIGNATURE`, both parts in hexadecimal digits.

use keyward_sdk::log::Level;
use keyward_sdk::{
    Acceptance, CreateError, CreateRequest, Created, Denial, Failure, Reason, TokenHandler, Verdict, clock, keys, log,
    random, settings,
};
use std::sync::Mutex;

struct Broken;

keyward_sdk::handler!(Broken, settings: ["fault: text"]);

/// Returns the prefix of the tokens.
fn prefix() -> &'static str {
    if has("leaks-without-prefix") { "" } else { "br_" }
}

/// The tokens that this instance has issued, of which none is left in the next one.
static ISSUED: Mutex<Vec<String>> = Mutex::new(Vec::new());

impl TokenHandler for Broken {
    fn create(request: CreateRequest) -> Result<Created, CreateError> {
        if has("only-decodes") {
            return Err(CreateError::denied(Denial::Disabled, "another program issues these tokens"));
        }
        if request.restrictions.is_some() && !has("drops-restrictions") {
            return Err(CreateError::denied(Denial::InvalidRequest, "these tokens have no restrictions"));
        }
        let expires_at = request.expires_at()?;
        if has("prints") {
            (0..100).for_each(|_| log::write(Level::Info, &"x".repeat(10_000)));
        }
        let id = if has("same-id") { "00".to_owned() } else { hex(&random::bytes(16)) };
        let end = expires_at.map_or(String::new(), |end| end.to_string());
        let payload = hex(format!("{id}\n{end}\n{}", request.actor_id).as_bytes());
        let signature = keys::sign("token", payload.as_bytes()).map_err(|error| CreateError::Failed(no_key(error)))?;
        let token = format!("{}{payload}.{}", prefix(), hex(&signature));
        if let Ok(mut issued) = ISSUED.lock() {
            issued.push(token.clone());
        }
        Ok(Created { token, token_id: (!has("no-id")).then_some(id), expires_at })
    }

    #[expect(clippy::panic, reason = "a fault")]
    fn verify(token: &str) -> Result<Verdict, Failure> {
        let token = if has("trims") { token.trim_end_matches('=') } else { token };
        let Some(rest) = token.strip_prefix(prefix()) else { return Ok(Verdict::NotMine) };
        if has("accepts-everything") {
            return Ok(accept("ann".to_owned(), Some("1".to_owned()), None));
        }
        let Some((payload, signature)) = rest.split_once('.').and_then(|(payload, text)| Some((payload, unhex(text)?)))
        else {
            if has("panics") {
                panic!("there is no signature");
            }
            if has("fails") {
                return Err(Failure::Internal("there is no signature".to_owned()));
            }
            while has("loops") {}
            let mut memory = Vec::new();
            while has("grows") {
                memory.push(vec![1_u8; 1 << 16]);
            }
            return Ok(Verdict::rejected(Reason::Malformed, "wrong format"));
        };
        if has("keeps-state") && ISSUED.lock().is_ok_and(|issued| !issued.iter().any(|known| known == token)) {
            return Ok(Verdict::rejected(Reason::Unknown, "unknown token"));
        }
        let is_checked = !has("ignores-signature") && !has("only-decodes");
        if is_checked && !keys::verify("token", payload.as_bytes(), &signature).map_err(no_key)? {
            if has("leaks") {
                log::write(Level::Warn, &format!("wrong signature: {token}"));
            }
            let leaks = has("leaks-a-part") || has("leaks-without-prefix");
            let message = if leaks { payload } else { "wrong signature" };
            return Ok(Verdict::rejected(Reason::BadSignature, message));
        }
        let text = unhex(payload).and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text.unwrap_or_default();
        let mut parts = text.splitn(3, '\n');
        let (Some(id), Some(end), Some(actor)) = (parts.next(), parts.next(), parts.next()) else {
            return Ok(Verdict::rejected(Reason::Malformed, "wrong format"));
        };
        let end = end.parse().ok().filter(|_| !has("forgets-expiry"));
        let now = clock::now().seconds;
        let is_past = |end: u64| if has("expires-early") { now >= end } else { now > end };
        if end.is_some_and(is_past) {
            return Ok(Verdict::rejected(Reason::Expired, "expired"));
        }
        let id = if has("moving-id") { hex(&random::bytes(16)) } else { id.to_owned() };
        let actor = if has("other-actor") { "root" } else { actor };
        Ok(accept(actor.to_owned(), (!has("no-id")).then_some(id), end))
    }
}

fn accept(actor: String, token_id: Option<String>, expires_at: Option<u64>) -> Verdict {
    let escaped = actor.replace('\\', "\\\\").replace('"', "\\\"");
    let actor = if has("junk") { format!("{{id: {escaped}}}") } else { format!("{{\"id\":\"{escaped}\"}}") };
    let issued_at = has("old-issue-time").then_some(0);
    Verdict::Accepted(Acceptance { actor, restrictions: None, token_id, issued_at, expires_at })
}

/// Returns whether this is the fault.
fn has(fault: &str) -> bool {
    settings::get("fault").is_some_and(|set| set == format!("\"{fault}\""))
}

fn no_key(error: keys::KeyError) -> Failure {
    Failure::Internal(format!("the key `token`: {error}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the bytes of lower-case digits, or of digits in any case as a fault.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let is_digit =
        |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f') || (has("spellings") && byte.is_ascii_hexdigit());
    if !text.len().is_multiple_of(2) || !text.bytes().all(is_digit) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}
