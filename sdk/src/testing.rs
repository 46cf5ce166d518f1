//! A host for tests: runs a handler natively, without WebAssembly.
//!
//! ```
//! use keyward_sdk::{clock, testing::Host};
//!
//! let host = Host::new().at(1_767_225_600, 500_000_000);
//! assert_eq!(host.run(|| clock::now().seconds), 1_767_225_600);
//! ```

mod records;

use sha2::{Digest as _, Sha256};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use crate::clock::Datetime;
use crate::http::{HttpError, Response};
use crate::keys::KeyError;
use crate::log::Level;
use crate::public_keys::{Algorithm, PublicKeyError};
use crate::queries::{Answer, QueryError, Value};
use crate::store::{IdForm, Token};
use crate::{CreateError, CreateRequest, Created, TokenHandler};
use records::{Record, Records};

/// The host of a handler under test: a fixed clock, keys, settings, secrets, queries, endpoints,
/// and a store in memory.
///
/// Three things differ from a real host: random bytes are the numbers 0, 1, 2, …, random ids
/// are numbered too, and `sign` is not refused outside `create`.
#[derive(Debug, Default)]
pub struct Host {
    // Shared with the thread while `run` runs.
    state: Rc<State>,
}

impl Host {
    /// Creates a host with the clock at 0, and no grants.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the clock: Unix seconds, and the nanoseconds of the next one.
    #[must_use]
    pub fn at(self, seconds: u64, nanoseconds: u32) -> Self {
        self.with(|state| state.now = Datetime { seconds, nanoseconds })
    }

    /// Grants a key label: `sign` returns the signature over a message, `verify` returns whether a
    /// message has a signature.
    #[must_use]
    pub fn key(
        self,
        label: &str,
        sign: impl Fn(&[u8]) -> Vec<u8> + 'static,
        verify: impl Fn(&[u8], &[u8]) -> bool + 'static,
    ) -> Self {
        let named = ("1".to_owned(), "HS256".to_owned());
        let key = Key { label: label.to_owned(), named, sign: Box::new(sign), verify: Box::new(verify) };
        self.with(|state| state.keys.push(key))
    }

    /// Sets the id and the algorithm that `signing_key` returns for a key label; `1` and `HS256` by
    /// default.
    #[must_use]
    pub fn signing_key(self, label: &str, id: &str, algorithm: &str) -> Self {
        self.with(|state| {
            if let Some(key) = state.keys.iter_mut().find(|key| key.label == label) {
                key.named = (id.to_owned(), algorithm.to_owned());
            }
        })
    }

    /// Grants a label of public keys: `verify` gets the key id, the algorithm, the message and the
    /// signature.
    #[must_use]
    pub fn public_keys(
        self,
        label: &str,
        verify: impl Fn(Option<&str>, Algorithm, &[u8], &[u8]) -> Result<bool, PublicKeyError> + 'static,
    ) -> Self {
        self.with(|state| state.public_keys.push((label.to_owned(), Box::new(verify))))
    }

    /// Sets the value of a setting, as JSON text.
    #[must_use]
    pub fn setting(self, name: &str, json: &str) -> Self {
        self.with(|state| state.settings.push((name.to_owned(), json.to_owned())))
    }

    /// Configures a secret under a name.
    #[must_use]
    pub fn secret(self, name: &str, secret: &str) -> Self {
        self.with(|state| state.secrets.push((name.to_owned(), secret.to_owned())))
    }

    /// Grants a query label: `answer` maps parameters to the result.
    #[must_use]
    pub fn query(
        self,
        label: &str,
        answer: impl Fn(&[(String, Value)]) -> Result<Answer, QueryError> + 'static,
    ) -> Self {
        self.with(|state| state.queries.push((label.to_owned(), Box::new(answer))))
    }

    /// Grants an endpoint label: `answer` maps parameters to the response.
    #[must_use]
    pub fn http(
        self,
        label: &str,
        answer: impl Fn(&[(String, String)]) -> Result<Response, HttpError> + 'static,
    ) -> Self {
        self.with(|state| state.endpoints.push((label.to_owned(), Box::new(answer))))
    }

    /// Adds the record of a token, as if the handler had inserted it with this secret.
    #[must_use]
    pub fn record(self, token: Token, secret: Option<&str>) -> Self {
        self.state.records.borrow_mut().keep(token, secret);
        self
    }

    /// Runs `work` with this host behind every import on this thread, and returns its result.
    /// Records that it ends are committed unless it panics.
    pub fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        self.call(None, work, |_| true)
    }

    /// Runs `create` of a handler. A record that it inserts takes its actor and restrictions from
    /// the request, and is committed if a token was created.
    pub fn create<H: TokenHandler>(&self, request: CreateRequest) -> Result<Created, CreateError> {
        self.call(Some(request.clone()), || H::create(request), Result::is_ok)
    }

    fn call<T>(&self, request: Option<CreateRequest>, work: impl FnOnce() -> T, is_good: impl FnOnce(&T) -> bool) -> T {
        /// Restores the previous host, also when `work` panics.
        struct Restore(Option<Rc<State>>);
        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.set(self.0.take());
            }
        }
        let _restore = Restore(CURRENT.replace(Some(Rc::clone(&self.state))));
        self.state.records.borrow_mut().begin(request);
        let result = work();
        self.state.records.borrow_mut().finish(is_good(&result));
        result
    }

    /// Returns the committed records, in order of insertion.
    #[must_use]
    pub fn records(&self) -> Vec<Token> {
        self.state.records.borrow().tokens()
    }

    /// Returns the number of record lookups.
    #[must_use]
    pub fn lookups(&self) -> usize {
        self.state.records.borrow().lookups()
    }

    /// Returns the number of query runs.
    #[must_use]
    pub fn queried(&self) -> usize {
        self.state.queried.get()
    }

    /// Returns the logged lines, first to last.
    #[must_use]
    pub fn logged(&self) -> Vec<(Level, String)> {
        self.state.log.borrow().clone()
    }

    /// Changes the state, which is not shared while a host is being built.
    fn with(mut self, change: impl FnOnce(&mut State)) -> Self {
        if let Some(state) = Rc::get_mut(&mut self.state) {
            change(state);
        }
        self
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<State>>> = const { RefCell::new(None) };
}

/// Calls `ask` with the host of the test on this thread.
#[expect(clippy::expect_used, reason = "a test that calls an import without a host is wrong")]
pub(crate) fn current<T>(ask: impl FnOnce(&State) -> T) -> T {
    CURRENT.with_borrow(|current| {
        ask(current.as_ref().expect("an import was called outside of keyward_sdk::testing::Host::run"))
    })
}

/// Computes the only import that needs no host: it is the same everywhere.
pub(crate) fn sha256(data: &[u8]) -> Vec<u8> {
    Sha256::digest(data).to_vec()
}

/// The state behind the imports.
pub(crate) struct State {
    now: Datetime,
    keys: Vec<Key>,
    public_keys: Vec<(String, Box<VerifyPublic>)>,
    settings: Vec<(String, String)>,
    secrets: Vec<(String, String)>,
    queries: Vec<(String, Box<Ask>)>,
    endpoints: Vec<(String, Box<Send>)>,
    queried: Cell<usize>,
    drawn: Cell<u8>,
    records: RefCell<Records>,
    log: RefCell<Vec<(Level, String)>>,
}

struct Key {
    label: String,
    /// The id and the algorithm.
    named: (String, String),
    sign: Box<Sign>,
    verify: Box<Verify>,
}

/// A function from a message to its signature.
type Sign = dyn Fn(&[u8]) -> Vec<u8>;
/// A function that returns whether a message has a signature.
type Verify = dyn Fn(&[u8], &[u8]) -> bool;
/// A function from a key id, an algorithm, a message and a signature to whether they match.
type VerifyPublic = dyn Fn(Option<&str>, Algorithm, &[u8], &[u8]) -> Result<bool, PublicKeyError>;
/// A function from parameters to rows.
type Ask = dyn Fn(&[(String, Value)]) -> Result<Answer, QueryError>;
/// A function from parameters to a response.
type Send = dyn Fn(&[(String, String)]) -> Result<Response, HttpError>;

impl Default for State {
    fn default() -> Self {
        Self {
            now: Datetime { seconds: 0, nanoseconds: 0 },
            keys: Vec::new(),
            public_keys: Vec::new(),
            settings: Vec::new(),
            secrets: Vec::new(),
            queries: Vec::new(),
            endpoints: Vec::new(),
            queried: Cell::new(0),
            drawn: Cell::new(0),
            records: RefCell::default(),
            log: RefCell::default(),
        }
    }
}

/// Omits the secrets.
impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("now", &self.now).finish_non_exhaustive()
    }
}

impl State {
    pub(crate) fn now(&self) -> Datetime {
        self.now
    }

    pub(crate) fn sign(&self, label: &str, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        Ok((self.key(label)?.sign)(message))
    }

    pub(crate) fn signing_key(&self, label: &str) -> Result<(String, String), KeyError> {
        Ok(self.key(label)?.named.clone())
    }

    pub(crate) fn verify(&self, label: &str, message: &[u8], signature: &[u8]) -> Result<bool, KeyError> {
        Ok((self.key(label)?.verify)(message, signature))
    }

    fn key(&self, label: &str) -> Result<&Key, KeyError> {
        self.keys.iter().find(|key| key.label == label).ok_or(KeyError::NotGranted)
    }

    pub(crate) fn verify_public(
        &self,
        label: &str,
        key_id: Option<&str>,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<bool, PublicKeyError> {
        let keys = self.public_keys.iter().find(|(known, _)| known == label);
        let (_, verify) = keys.ok_or(PublicKeyError::NotGranted)?;
        verify(key_id, algorithm, message, signature)
    }

    pub(crate) fn setting(&self, name: &str) -> Option<String> {
        find(&self.settings, |(known, _)| known == name).map(|(_, json)| json.clone())
    }

    pub(crate) fn find_secret(&self, candidate: &str) -> Option<String> {
        find(&self.secrets, |(_, secret)| secret == candidate).map(|(name, _)| name.clone())
    }

    pub(crate) fn run_query(&self, label: &str, parameters: &[(String, Value)]) -> Result<Answer, QueryError> {
        let query = self.queries.iter().find(|(known, _)| known == label);
        let (_, ask) = query.ok_or(QueryError::NotGranted)?;
        self.queried.set(self.queried.get() + 1);
        ask(parameters)
    }

    pub(crate) fn request(&self, label: &str, query: &[(String, String)]) -> Result<Response, HttpError> {
        let endpoint = self.endpoints.iter().find(|(known, _)| known == label);
        let (_, answer) = endpoint.ok_or(HttpError::NotGranted)?;
        answer(query)
    }

    pub(crate) fn random(&self, count: u32) -> Vec<u8> {
        (0..count).map(|_| self.drawn.replace(self.drawn.get().wrapping_add(1))).collect()
    }

    pub(crate) fn insert(&self, id: IdForm, secret: Option<&str>, expires_at: Option<u64>, replace: bool) -> String {
        self.records.borrow_mut().insert(id, secret, expires_at, replace, self.now.seconds)
    }

    pub(crate) fn find_record(&self, wanted: impl Fn(&Record) -> bool) -> Option<Token> {
        self.records.borrow_mut().find(wanted)
    }

    pub(crate) fn end(&self, id: &str) {
        self.records.borrow_mut().end(id);
    }

    pub(crate) fn log(&self, level: Level, message: &str) {
        self.log.borrow_mut().push((level, message.to_owned()));
    }
}

fn find(pairs: &[(String, String)], wanted: impl Fn(&(String, String)) -> bool) -> Option<&(String, String)> {
    pairs.iter().find(|pair| wanted(pair))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock, keys, log, queries, random, secrets, settings};

    fn host() -> Host {
        Host::new()
            .at(7, 9)
            .key("token", |message| message.to_vec(), |message, signature| message == signature)
            .setting("limit", "60")
            .secret("first", "s3cret")
            .secret("second", "s3cret")
            .query("rows", |parameters| {
                let rows = parameters.iter().map(|(_, value)| vec![value.clone()]).collect();
                Ok(Answer { columns: vec!["value".to_owned()], rows })
            })
    }

    #[test]
    fn imports_reach_the_running_host() {
        let host = host();
        host.run(|| {
            assert_eq!(clock::now(), Datetime { seconds: 7, nanoseconds: 9 });
            assert_eq!(keys::sign("token", b"m"), Ok(b"m".to_vec()));
            assert_eq!(keys::verify("token", b"m", b"x"), Ok(false));
            assert_eq!(keys::verify("other", b"m", b"m"), Err(KeyError::NotGranted));
            assert_eq!(settings::get("limit").as_deref(), Some("60"));
            assert_eq!(settings::get("other"), None);
            assert_eq!(secrets::find("s3cret").as_deref(), Some("first"));
            assert_eq!(random::bytes(2), random::bytes(258)[254..256]);
            let answer = queries::run("rows", &[("a".to_owned(), Value::Real(0.5))]).unwrap();
            assert_eq!(answer.rows, [[Value::Real(0.5)]]);
            assert_eq!(queries::run("other", &[]), Err(QueryError::NotGranted));
            log::write(Level::Warn, "seen");
        });
        assert_eq!(host.queried(), 1);
        assert_eq!(host.logged(), [(Level::Warn, "seen".to_owned())]);
    }

    #[test]
    fn a_host_is_removed_after_its_run_even_if_that_panics() {
        let outer = host();
        outer.run(|| {
            let inner = Host::new().at(1, 0);
            std::panic::catch_unwind(|| ()).unwrap();
            let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| inner.run(|| panic!("stop"))));
            assert!(panicked.is_err());
            assert_eq!(clock::now().seconds, 7);
        });
        assert!(std::panic::catch_unwind(clock::now).is_err());
    }

    #[test]
    fn debug_omits_secrets() {
        assert!(!format!("{:?}", host()).contains("s3cret"));
    }
}
