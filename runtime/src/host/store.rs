//! `keyward:handler/store`: records of the handler's own tokens. The changes of a call are
//! collected here and committed once the policy has accepted its result, so a call that traps
//! changes nothing.

use super::{Calls, HostError, Phase, State};
use crate::bindings::{self, store};
use crate::clock::{MAX_SECONDS, UnixTime};
use crate::counts::{Counters, Granted};
use crate::error::ErrorKind;
use crate::grants::StoreGrant;
use crate::store::{NewRecord, Record, SecretDigest, StoreError, StoredRecord, Transaction};
use crate::verdict::{CreateRequest, Restrictions};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use wasmtime::Result;
use wasmtime::component::{HasData, Linker};

/// Maximum number of store operations in a call. A call needs one or two, and all handlers share
/// the store.
const MAX_CALLS: u32 = 16;

/// The records that a call has read, and its changes.
#[derive(Default)]
pub(crate) struct Records {
    /// The request of `create`, from which a new record is filled; `None` outside of `create`.
    pub(crate) request: Option<CreateRequest>,
    /// Number of store operations.
    asked: u32,
    /// The records that the handler has read.
    pub(crate) shown: Vec<StoredRecord>,
    pub(crate) changes: Transaction,
}

pub(crate) struct Store<'a> {
    calls: &'a mut Calls,
    handler: &'a str,
    grant: Option<&'a StoreGrant>,
    phase: Phase,
    now: UnixTime,
    records: &'a mut Records,
    counters: &'a Counters,
}

struct HasStore;

impl HasData for HasStore {
    type Data<'a> = Store<'a>;
}

impl Store<'_> {
    /// Enters a function whose arguments have `bytes` bytes, and returns the [`StoreGrant`].
    async fn enter(&mut self, bytes: usize) -> Result<&StoreGrant> {
        self.calls.enter_lookup(bytes).await?;
        if self.phase == Phase::Instantiate {
            return Err(HostError::forbidden("`store` during instantiation"));
        }
        if self.phase == Phase::Identify {
            return Err(HostError::forbidden("`store` in `identify`: a session has no record"));
        }
        self.records.asked = self.records.asked.saturating_add(1);
        if self.records.asked > MAX_CALLS {
            return Err(HostError::forbidden("more than 16 calls of `store`"));
        }
        self.counters.lookups.count();
        self.counters.called.note(Granted::Store);
        self.grant.ok_or_else(|| HostError::forbidden("`store` without a grant"))
    }

    fn show(&mut self, stored: StoredRecord) -> Result<store::Token> {
        let record = &stored.record;
        let restrictions = record.restrictions.iter().flat_map(Restrictions::iter);
        let entries = restrictions.map(|(action, database, resource)| {
            [Some(action), database, resource].into_iter().flatten().map(str::len).sum::<usize>()
        });
        self.calls
            .charge(entries.sum::<usize>().saturating_add(record.id.len()).saturating_add(record.actor_id.len()))?;
        let shown = bindings::token_out(record);
        self.records.shown.push(stored);
        Ok(shown)
    }

    async fn make(
        &mut self,
        id: store::IdForm,
        secret: Option<String>,
        expires_at: Option<u64>,
        replace: bool,
    ) -> Result<String> {
        let store = self.enter(secret.as_ref().map_or(0, String::len)).await?.clone();
        if self.records.changes.insert.is_some() {
            return Err(HostError::forbidden("a second record in one call"));
        }
        let Some(request) = &self.records.request else {
            return Err(HostError::forbidden("a new record outside of `create`"));
        };
        if expires_at.is_some_and(|time| time > MAX_SECONDS) {
            return Err(HostError(ErrorKind::BadResult("a time is after the year 9999".into())).into());
        }
        let request = request.clone();
        let id = match id {
            store::IdForm::Random => random_id()?,
            store::IdForm::Serial => store.store.next_serial(self.handler).await.map_err(unavailable)?.to_string(),
        };
        let record = Record::requested(&request, id.clone(), self.now, expires_at.map(UnixTime::from_seconds));
        let digest = secret.map(|secret| digest(&secret));
        self.records.changes.insert = Some(NewRecord {
            stored: StoredRecord { record, digest, token_digest: None },
            replace,
            max: store.max,
            max_per_actor: None,
            max_per_client: None,
            idle_before: None,
        });
        Ok(id)
    }
}

impl store::Host for Store<'_> {
    async fn insert(&mut self, id: store::IdForm, secret: Option<String>, expires_at: Option<u64>) -> Result<String> {
        self.make(id, secret, expires_at, false).await
    }

    async fn replace(&mut self, id: store::IdForm, secret: Option<String>, expires_at: Option<u64>) -> Result<String> {
        self.make(id, secret, expires_at, true).await
    }

    async fn find(&mut self, id: String) -> Result<Option<store::Token>> {
        let store = self.enter(id.len()).await?.store.clone();
        let stored = store.find(self.handler, &id).await.map_err(unavailable)?;
        stored.map(|stored| self.show(stored)).transpose()
    }

    async fn find_secret(&mut self, secret: String) -> Result<Option<store::Token>> {
        let store = self.enter(secret.len()).await?.store.clone();
        let digest = digest(&secret);
        let stored = store.find_digest(self.handler, &digest).await.map_err(unavailable)?;
        stored.map(|stored| self.show(stored)).transpose()
    }

    /// Takes the same steps for a missing record as for a wrong secret, so that timing does not
    /// reveal which ids exist.
    async fn check_secret(&mut self, id: String, secret: String) -> Result<Option<store::Token>> {
        let store = self.enter(id.len().saturating_add(secret.len())).await?.store.clone();
        let stored = store.find(self.handler, &id).await.map_err(unavailable)?;
        let presented = digest(&secret);
        let kept = stored.as_ref().and_then(|stored| stored.digest.as_ref());
        let none = SecretDigest::new([0; 32]);
        let matches = presented.bytes().ct_eq(kept.unwrap_or(&none).bytes()) & u8::from(kept.is_some()).into();
        match stored {
            Some(stored) if matches.into() => self.show(stored).map(Some),
            _ => Ok(None),
        }
    }

    async fn end(&mut self, id: String) -> Result<()> {
        self.enter(id.len()).await?;
        let ends = &mut self.records.changes.end;
        if !ends.contains(&id) {
            ends.push(id);
        }
        Ok(())
    }
}

pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> Result<()> {
    store::add_to_linker::<State, HasStore>(linker, |state| Store {
        calls: &mut state.calls,
        handler: &state.bound.name,
        grant: state.bound.store.as_ref(),
        phase: state.phase,
        now: state.now.whole(),
        records: state.records.get_or_insert_default(),
        counters: &state.bound.counters,
    })
}

fn unavailable(error: StoreError) -> wasmtime::Error {
    HostError(error.into()).into()
}

fn digest(secret: &str) -> SecretDigest {
    SecretDigest::new(Sha256::digest(secret).into())
}

/// Returns 128 random bits as 22 base-62 digits.
fn random_id() -> Result<String> {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        HostError(ErrorKind::Runtime(format!("the operating system's random generator failed: {error}")))
    })?;
    let mut rest = u128::from_ne_bytes(bytes);
    let digits = (0..22).map(|_| {
        let digit = usize::try_from(rest % 62).ok().and_then(|digit| DIGITS.get(digit));
        rest /= 62;
        char::from(*digit.unwrap_or(&b'0'))
    });
    Ok(digits.collect())
}
