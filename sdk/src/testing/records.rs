//! The store of a test host: records in memory.

use crate::CreateRequest;
use crate::store::{Ending, IdForm, Token};

/// The committed records, and the changes of the running call.
#[derive(Default)]
pub(super) struct Records {
    kept: Vec<Record>,
    /// The greatest number that a record has had.
    last: u64,
    lookups: usize,
    /// The request of the running `create`.
    request: Option<CreateRequest>,
    made: Option<Made>,
    ended: Vec<String>,
}

/// A token's record and its secret.
#[derive(Clone)]
pub(crate) struct Record {
    pub(crate) token: Token,
    pub(crate) secret: Option<String>,
}

/// A record that the running call has inserted.
struct Made {
    record: Record,
    replace: bool,
}

impl Records {
    pub(super) fn keep(&mut self, token: Token, secret: Option<&str>) {
        self.last = self.last.max(token.id.parse().unwrap_or(0));
        self.kept.push(Record { token, secret: secret.map(str::to_owned) });
    }

    /// Starts a call, and discards the uncommitted changes of an earlier one.
    pub(super) fn begin(&mut self, request: Option<CreateRequest>) {
        self.request = request;
        self.made = None;
        self.ended.clear();
    }

    /// Commits the changes of the call, if it succeeded.
    #[expect(clippy::panic, reason = "a handler under test ended a record that it cannot end")]
    pub(super) fn finish(&mut self, good: bool) {
        let (made, ended) = (self.made.take(), std::mem::take(&mut self.ended));
        self.request = None;
        if !good {
            return;
        }
        for id in ended {
            match self.kept.iter_mut().find(|record| record.token.id == id && record.token.ended.is_none()) {
                Some(record) => record.token.ended = Some(Ending::Revoked),
                None => panic!("the record `{id}` does not exist or has ended: a host discards such a result"),
            }
        }
        if let Some(Made { record, replace }) = made {
            let others = self.kept.iter_mut().filter(|other| replace && other.token.actor_id == record.token.actor_id);
            for other in others {
                other.token.ended.get_or_insert(Ending::Replaced);
            }
            self.kept.push(record);
        }
    }

    #[expect(clippy::expect_used, reason = "a handler under test inserted a record where a host aborts the call")]
    pub(super) fn insert(
        &mut self,
        id: IdForm,
        secret: Option<&str>,
        expires_at: Option<u64>,
        replace: bool,
        issued_at: u64,
    ) -> String {
        assert!(self.made.is_none(), "a second record was inserted in one call");
        let request = self.request.clone();
        let CreateRequest { actor_id, restrictions, .. } =
            request.expect("a record was inserted outside of keyward_sdk::testing::Host::create");
        self.last += 1;
        let id = match id {
            IdForm::Random => format!("Random{:016}", self.last),
            IdForm::Serial => self.last.to_string(),
        };
        let token = Token { id: id.clone(), actor_id, restrictions, issued_at, expires_at, ended: None };
        self.made = Some(Made { record: Record { token, secret: secret.map(str::to_owned) }, replace });
        id
    }

    pub(super) fn find(&mut self, wanted: impl Fn(&Record) -> bool) -> Option<Token> {
        self.lookups += 1;
        self.kept.iter().find(|record| wanted(record)).map(|record| record.token.clone())
    }

    pub(super) fn end(&mut self, id: &str) {
        if !self.ended.iter().any(|ended| ended == id) {
            self.ended.push(id.to_owned());
        }
    }

    pub(super) fn tokens(&self) -> Vec<Token> {
        self.kept.iter().map(|record| record.token.clone()).collect()
    }

    pub(super) fn lookups(&self) -> usize {
        self.lookups
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Host;
    use crate::{CreateDenied, CreateError, Created, Denial, Failure, TokenHandler, Verdict, store};
    use std::panic::{AssertUnwindSafe, catch_unwind};

    /// Inserts a record whose secret is the actor's id; then refuses the request if its description
    /// is `refuse`.
    struct Maker;

    impl TokenHandler for Maker {
        fn create(request: CreateRequest) -> Result<Created, CreateError> {
            let id = match request.description.as_deref() {
                Some("serial") => store::insert(IdForm::Serial, None, request.expires_after.map(u64::from)),
                Some("replace") => store::replace(IdForm::Random, Some(&request.actor_id), None),
                _ => store::insert(IdForm::Random, Some(&request.actor_id), None),
            };
            assert_eq!(store::find(&id), None, "an insert is committed when the call has succeeded");
            if request.description.as_deref() == Some("refuse") {
                let message = "as requested".to_owned();
                return Err(CreateError::Denied(CreateDenied { denial: Denial::NotPermitted, message }));
            }
            Ok(Created { token: String::new(), token_id: Some(id), expires_at: None })
        }

        fn verify(_: &str) -> Result<Verdict, Failure> {
            Ok(Verdict::NotMine)
        }
    }

    fn create(host: &Host, actor: &str, description: &str) -> Option<String> {
        let (actor_id, description) = (actor.to_owned(), Some(description.to_owned()));
        let request = CreateRequest { actor_id, expires_after: Some(60), restrictions: None, description };
        host.create::<Maker>(request).ok().and_then(|created| created.token_id)
    }

    #[test]
    fn a_record_has_the_requested_terms_and_is_found_by_id_and_secret() {
        let host = Host::new().at(7, 9);
        assert_eq!(create(&host, "ann", "serial").as_deref(), Some("1"));
        let id = create(&host, "bob", "").unwrap();
        assert!(id.len() == 22 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
        host.run(|| {
            let ann = store::find("1").unwrap();
            assert_eq!((ann.actor_id.as_str(), ann.issued_at, ann.expires_at), ("ann", 7, Some(60)));
            assert_eq!(store::find_secret("bob").unwrap().id, id);
            assert_eq!(store::check_secret(&id, "bob").unwrap().id, id);
            assert_eq!((store::check_secret(&id, "ann"), store::check_secret("1", "bob")), (None, None));
            assert_eq!((store::find("2"), store::find_secret("ann")), (None, None));
        });
        assert_eq!(host.records().len(), 2);
        // One for each of the two calls of `create`, and those above.
        assert_eq!(host.lookups(), 2 + 7);
    }

    #[test]
    fn a_refusal_commits_nothing_but_uses_up_a_number() {
        let host = Host::new();
        assert_eq!(create(&host, "ann", "refuse"), None);
        assert_eq!(host.records(), []);
        assert_eq!(create(&host, "ann", "serial").as_deref(), Some("2"));
    }

    #[test]
    fn a_record_ends_when_replaced_or_revoked_but_not_by_a_call_that_panics() {
        let host = Host::new();
        let [first, other, second] =
            [("ann", "replace"), ("bob", "replace"), ("ann", "replace")].map(|(a, d)| create(&host, a, d).unwrap());
        let ended = |id: &str| host.run(|| store::find(id)).unwrap().ended;
        assert_eq!([&first, &other, &second].map(|id| ended(id)), [Some(Ending::Replaced), None, None]);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            host.run(|| {
                store::end(&other);
                panic!("stop");
            });
        }));
        assert!(panicked.is_err());
        assert_eq!(ended(&other), None);
        host.run(|| {
            store::end(&other);
            assert_eq!(store::find(&other).unwrap().ended, None);
        });
        assert_eq!(ended(&other), Some(Ending::Revoked));
        assert!(catch_unwind(AssertUnwindSafe(|| host.run(|| store::end(&other)))).is_err());
        assert!(catch_unwind(AssertUnwindSafe(|| host.run(|| store::end("none")))).is_err());
    }

    #[test]
    fn a_record_is_inserted_only_by_create_and_only_once() {
        let host = Host::new();
        let outside = || host.run(|| store::insert(IdForm::Serial, None, None));
        assert!(catch_unwind(AssertUnwindSafe(outside)).is_err());
        let request =
            CreateRequest { actor_id: "ann".to_owned(), expires_after: None, restrictions: None, description: None };
        let twice = || {
            host.call(Some(request), || [(); 2].map(|()| store::insert(IdForm::Serial, None, None)), |_| true);
        };
        assert!(catch_unwind(AssertUnwindSafe(twice)).is_err());
        assert_eq!(host.records(), []);
    }

    #[test]
    fn existing_records_are_found_and_numbered() {
        let token = Token {
            id: "41".to_owned(),
            actor_id: "ann".to_owned(),
            restrictions: None,
            issued_at: 1,
            expires_at: None,
            ended: Some(Ending::Revoked),
        };
        let host = Host::new().record(token.clone(), Some("s3cret"));
        assert_eq!(host.run(|| store::find_secret("s3cret")), Some(token));
        assert_eq!(create(&host, "ann", "serial").as_deref(), Some("42"));
        assert!(!format!("{host:?}").contains("s3cret"));
    }
}
