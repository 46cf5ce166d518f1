//! The reader of Datasette's signed tokens, natively on a test host.

use crate::boundary::{NOW, hex};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use keyward_guest_signed::{Signed, itsdangerous as codec};
use keyward_sdk::testing::Host;
use keyward_sdk::{Acceptance, CreateRequest, Restrictions, TokenHandler as _, Verdict};
use serde_json::Value;
use sha1::Sha1;

const KEY: &[u8] = b"a key for tests";

/// Uses the bytes in four roles: as a token, as a correctly signed value, as a correctly signed
/// payload, and as a change to a valid token.
pub fn itsdangerous(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    any_text(&text);
    signed_value(&text);
    signed_payload(&text);
    changed_token(data);
}

/// Checks that a token is accepted in one spelling only: the canonical base64 of value and
/// signature.
fn any_text(text: &str) {
    for token in [format!("dstok_{text}"), text.to_owned()] {
        if accepted(&token).is_some() {
            let (value, _) = token["dstok_".len()..].rsplit_once('.').unwrap();
            assert_eq!(token, sign(value));
        }
    }
}

/// Checks a value that only the holder of the key can sign: it is the canonical base64 of its
/// bytes.
fn signed_value(value: &str) {
    let json = codec::json(value);
    if let Some(json) = &json {
        assert!(json.len() <= codec::MAX_JSON);
        let packed = value.strip_prefix('.').unwrap_or(value);
        assert_eq!(URL_SAFE_NO_PAD.encode(URL_SAFE_NO_PAD.decode(packed).unwrap()), packed);
        assert_eq!(codec::json(&write(json)).as_ref(), Some(json));
    }
    if let Some(acceptance) = accepted(&sign(value)) {
        agrees(&json.unwrap(), &acceptance);
    }
}

fn signed_payload(json: &str) {
    if json.len() > codec::MAX_JSON {
        return;
    }
    let value = write(json);
    assert_eq!(codec::json(&value).as_deref(), Some(json));
    if let Some(acceptance) = accepted(&sign(&value)) {
        agrees(json, &acceptance);
    }
}

/// Checks that an acceptance equals the payload, if serde_json can read the payload.
fn agrees(json: &str, acceptance: &Acceptance) {
    // Python reads more than serde_json: NaN, long integers, lone surrogates in ignored members.
    let Ok(payload) = serde_json::from_str::<Value>(json) else { return };
    let actor: Value = serde_json::from_str(&acceptance.actor).unwrap();
    // `-0` is a float in serde_json, and the integer 0 in Python.
    let number = |value: &Value| value.as_f64().map_or_else(|| value.clone(), Value::from);
    assert_eq!(number(&actor["id"]), number(&payload["a"]), "{json}");
    assert_eq!(actor["token"], "dstok");
    let seconds = |name: &str| payload.get(name).and_then(Value::as_f64).map_or(0, |seconds| seconds as u64);
    assert_eq!(acceptance.issued_at, Some(seconds("t")), "{json}");
    let end = Some(seconds("t") + seconds("d")).filter(|_| seconds("d") > 0);
    assert_eq!(acceptance.expires_at, end, "{json}");
    assert!(end.is_none_or(|end| end >= NOW));
    assert_eq!(acceptance.restrictions.is_some(), payload.get("_r").is_some());
}

/// Returns a text with one change, which the three bytes choose.
pub(crate) fn with_change(text: &str, [kind, place, byte]: [u8; 3]) -> String {
    let mut changed: Vec<char> = text.chars().collect();
    // Positions count from the end, where the free bits of the signature's base64 are.
    let at = changed.len() - 1 - usize::from(place) % changed.len();
    let new = char::from(byte & 0x7f);
    match kind % 6 {
        0 => changed[at] = new,
        1 => changed.insert(at, new),
        2 => drop(changed.remove(at)),
        3 => changed.truncate(at),
        4 => changed.swap(at, 0),
        _ => changed.push(new),
    }
    changed.into_iter().collect()
}

/// Checks that a valid token with one change is never accepted.
fn changed_token(data: &[u8]) {
    let [kind, place, byte, id @ ..] = data else { return };
    let id = id.iter().take(100).map(|byte| char::from(byte % 64 + b'0')).collect::<String>();
    let request = CreateRequest {
        actor_id: if id.is_empty() { "root".to_owned() } else { id },
        expires_after: (kind & 0x40 != 0).then_some(60),
        restrictions: (kind & 0x80 != 0).then(|| Restrictions {
            all: vec!["vi".to_owned()],
            database: Vec::new(),
            resource: Vec::new(),
        }),
        description: None,
    };
    let token = host().run(|| Signed::create(request)).unwrap().token;
    assert!(accepted(&token).is_some());
    let changed = with_change(&token, [*kind, *place, *byte]);
    assert!(changed == token || accepted(&changed).is_none(), "{token} and {changed} are both accepted");
}

fn accepted(token: &str) -> Option<Acceptance> {
    match host().run(|| Signed::verify(token)) {
        Ok(Verdict::Accepted(acceptance)) => Some(acceptance),
        Ok(_) => None,
        Err(failure) => panic!("every text has a verdict, not {failure:?}"),
    }
}

fn host() -> Host {
    Host::new().at(NOW, 0).key("token", mac, |message, signature| mac(message) == signature)
}

fn mac(message: &[u8]) -> Vec<u8> {
    Hmac::<Sha1>::new_from_slice(KEY).unwrap().chain_update(message).finalize().into_bytes().to_vec()
}

/// Returns the value of a JSON text.
fn write(json: &str) -> String {
    let mut value = String::new();
    codec::push_value(&mut value, json);
    value
}

/// Returns the token for a value, as only the holder of the key can create it.
fn sign(value: &str) -> String {
    format!("dstok_{value}.{}", URL_SAFE_NO_PAD.encode(mac(value.as_bytes())))
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let payloads = [
        format!(r#"{{"a":"root","t":{NOW}}}"#),
        format!(r#"{{"a":"root","t":{NOW},"d":60,"_r":{{"a":["vi"],"d":{{"x":["es"]}},"r":{{"x":{{"y":["ir"]}}}}}}}}"#),
        format!(r#"{{"a":-7,"t":{NOW},"d":null,"x":[NaN,-Infinity,1e5,"\ud800",{{}}],"a":"\u0061\"é"}}"#),
        format!(r#"{{"a":"{}","t":{NOW},"d":9}}"#, "long ".repeat(60)),
        r#"{"a":"root","t":-0,"d":253402300799}"#.to_owned(),
    ];
    let values = payloads.iter().map(|json| write(json));
    let tokens = payloads.iter().map(|json| sign(&write(json)));
    let bare = tokens.clone().map(|token| token["dstok_".len()..].to_owned());
    let changes = (0..=255_u8).step_by(5).map(|kind| hex(&[kind]) + "\u{1}\u{2}");
    payloads.iter().cloned().chain(values).chain(tokens).chain(bare).chain(changes).map(String::into_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seeds that are all rejected would test nothing.
    #[test]
    fn seeds_are_good_tokens() {
        let good = seeds().into_iter().filter(|seed| accepted(&sign(&write(&String::from_utf8_lossy(seed)))).is_some());
        assert_eq!(good.count(), 5);
        let good = seeds().into_iter().filter(|seed| accepted(&String::from_utf8_lossy(seed)).is_some());
        assert_eq!(good.count(), 5);
    }
}
