//! The handler on a test host, with Datasette's keys.

mod codec;
mod judgement;
mod reader;
mod vectors;

use hmac::{Hmac, KeyInit as _, Mac as _};
use keyward_sdk::testing::Host;
use keyward_sdk::{CreateRequest, Created, Reason, Restrictions, TokenHandler as _, Verdict};
use sha1::{Digest as _, Sha1};
use sha2::Sha256;

use crate::Signed;

const SECRET: &str = "a secret of the operator, for tests";
const NOW: u64 = 1_767_225_600;

/// Derives Datasette's key: the SHA-1 of the salt, the word `signer` and the secret.
fn derived(secret: &str, salt: &str) -> Vec<u8> {
    Sha1::new().chain_update(salt).chain_update("signer").chain_update(secret).finalize().to_vec()
}

fn sha1_mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    Hmac::<Sha1>::new_from_slice(key).unwrap().chain_update(message).finalize().into_bytes().to_vec()
}

fn sha256_mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(message).finalize().into_bytes().to_vec()
}

type Mac = fn(&[u8], &[u8]) -> Vec<u8>;

fn host_with(secret: &str, mac: Mac) -> Host {
    let key = derived(secret, "token");
    let same = key.clone();
    Host::new().key("token", move |m| mac(&key, m), move |m, signature| mac(&same, m) == signature)
}

/// Creates a host with the scheme `itsdangerous` and the clock at `NOW`.
fn host() -> Host {
    host_with(SECRET, sha1_mac).at(NOW, 0)
}

/// Signs any payload, as only the holder of the key can.
fn sign(json: &str) -> String {
    let mut token = "dstok_".to_owned();
    crate::itsdangerous::push_value(&mut token, json);
    sign_value(token.strip_prefix("dstok_").unwrap())
}

fn sign_value(value: &str) -> String {
    let mut token = format!("dstok_{value}");
    crate::itsdangerous::push_signature(&mut token, &sha1_mac(&derived(SECRET, "token"), value.as_bytes()));
    token
}

fn verify(host: &Host, token: &str) -> Verdict {
    host.run(|| Signed::verify(token)).unwrap()
}

fn create(host: &Host, request: CreateRequest) -> Created {
    host.run(|| Signed::create(request)).unwrap()
}

fn request(id: &str) -> CreateRequest {
    CreateRequest { actor_id: id.to_owned(), expires_after: None, restrictions: None, description: None }
}

fn restrictions(all: &[&str], database: &[(&str, &[&str])], resource: &[(&str, &str, &[&str])]) -> Restrictions {
    let texts = |actions: &[&str]| actions.iter().map(|action| (*action).to_owned()).collect();
    Restrictions {
        all: texts(all),
        database: database.iter().map(|(db, actions)| ((*db).to_owned(), texts(actions))).collect(),
        resource: resource.iter().map(|(db, res, a)| ((*db).to_owned(), (*res).to_owned(), texts(a))).collect(),
    }
}

/// Returns the reason and the sentence of a rejection, or `None` for other verdicts.
fn rejection(verdict: Verdict) -> Option<(Reason, String)> {
    match verdict {
        Verdict::Rejected(rejection) => Some((rejection.reason, rejection.message)),
        _ => None,
    }
}
