//! Handlers that keep records, over a real store: tokens are read, narrowed and rotated in a
//! database.

use super::super::server::Server;
use super::{NOW, bots, client, config, signed};
use crate::support::{RUNTIME, TestClock, time, unhurried};
use keyward_runtime::revocation::Revocations;
use keyward_runtime::store::{CommitOutcome, NewRecord, Record, StoredRecord, TokenStore, Transaction};
use keyward_runtime::{Actors, CreateRequest, Created, Creation, HandlerConfig, Registry, Restrictions, StoreGrant};
use keyward_store::Store;
use keyward_tests::hostile;
use std::sync::Arc;
use std::time::Duration;

/// The clients in addition to those of the fixture.
pub(crate) const CALLERS: [(&str, &str, Option<&str>); 4] = [
    ("owner", "introspect create list edit revoke", None),
    ("neighbour", "introspect create list edit", None),
    ("overseer", "introspect create list-all edit delegate", Some("first")),
    ("reader", "list", Some("first")),
];

/// A server, and its parts.
pub(crate) struct Managed {
    pub(crate) server: Server,
    pub(crate) registry: Registry,
    pub(crate) store: Arc<dyn TokenStore>,
}

impl Managed {
    /// Starts a server over this store, with additional clients.
    pub(crate) fn over<'a>(store: Store, more: impl IntoIterator<Item = (&'a str, &'a str, Option<&'a str>)>) -> Self {
        let store: Arc<dyn TokenStore> = Arc::new(store);
        let registry = registry(&store);
        let mut config = config();
        for (id, may, handler) in CALLERS.into_iter().chain(more) {
            config.clients.insert(id.to_owned(), client(id, may, handler));
        }
        Self { server: Server::start(config, registry.clone(), Some(NOW)), registry, store }
    }

    /// Creates a token without the server, at [`NOW`].
    pub(crate) fn make(&self, handler: &str, actor: &str, client: Option<&str>) -> Created {
        let mut request = CreateRequest::new(actor);
        request.client = client.map(str::to_owned);
        TestClock.set(Some(NOW));
        match self.registry.create_blocking(request.handler(handler)) {
            Ok(Creation::Created(created)) => created,
            other => panic!("{other:?}"),
        }
    }

    /// Inserts the records of the cases into the store, with fixed ids.
    pub(crate) fn with_records(self) -> Self {
        let record = |id: &str, actor: &str, client: Option<&str>, age| Record {
            client: client.map(str::to_owned),
            ..Record::new(id, actor, time(NOW.seconds - age))
        };
        let narrow = Restrictions::new().allow_database("shop", "vt").allow_all("unknown-to-the-configuration");
        for (handler, record) in [
            ("first", record("f-1", "alice", Some("owner"), 40)),
            (
                "first",
                Record {
                    description: Some("a note".into()),
                    restrictions: Some(narrow),
                    expires_at: Some(time(NOW.seconds + 600)),
                    last_used_at: Some(time(NOW.seconds - 5)),
                    ..record("f 2/?%", "bob", Some("owner"), 30)
                },
            ),
            ("first", record("f-3", "carol", Some("neighbour"), 20)),
            ("second", record("s-1", "alice", None, 10)),
            ("gone", record("g-1", "alice", Some("owner"), 5)),
        ] {
            self.insert(handler, record);
        }
        self
    }

    /// Inserts a record into the store.
    pub(crate) fn insert(&self, handler: &str, record: Record) {
        let insert = NewRecord {
            stored: StoredRecord { record, digest: None, token_digest: None },
            replace: false,
            max: u64::MAX,
            max_per_actor: None,
            max_per_client: None,
            idle_before: None,
        };
        let changes = Transaction { at: NOW.whole(), insert: Some(insert), ..Transaction::default() };
        assert_eq!(pollster::block_on(self.store.commit(handler, changes)).unwrap(), CommitOutcome::Done);
    }
}

/// Builds a registry of two handlers that keep records, one that signs, one whose tokens have no
/// prefix, and one that never returns a verdict.
fn registry(store: &Arc<dyn TokenStore>) -> Registry {
    let keeping = |name: &str| {
        let prefix = format!("kwt_{name}_");
        let mut config = HandlerConfig::new(name, keyward_handlers::STORED, Actors::Any);
        config.settings.insert("prefix".into(), format!("{prefix:?}"));
        config.first_party = true;
        config.prefixes = vec![prefix];
        config.store = Some(StoreGrant { store: store.clone(), max: u64::MAX });
        config
    };
    let mut down = HandlerConfig::new("down", hostile::case("answer-unavailable").bytes, Actors::Any);
    down.prefixes = vec!["dn_".into()];
    let revocations = Revocations::open(store.clone(), Duration::from_secs(3_600)).unwrap();
    let mut builder = Registry::builder(&RUNTIME).records(store.clone(), revocations);
    for mut handler in [keeping("first"), keeping("second"), signed(), bots(), down] {
        unhurried(&mut handler.limits);
        builder = builder.handler(handler);
    }
    for (action, short) in [("view-instance", "vi"), ("view-table", "vt"), ("insert-row", "ir")] {
        builder = builder.action(action, short);
    }
    builder.build().unwrap()
}
