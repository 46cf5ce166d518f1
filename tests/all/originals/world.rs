//! Keyward, configured as the original was in a scenario: a server with a clock that the test sets,
//! and its store.

use super::vectors;
use crate::http::server::Server;
use crate::support;
use crate::support::time;
use keyward_runtime::clock::UnixTime;
use keyward_runtime::keys::{KeyGrant, KeyRing, Scheme, Secret};
use keyward_runtime::revocation::Revocations;
use keyward_runtime::store::{NewRecord, Record, RecordStore, SecretDigest, StoredRecord};
use keyward_runtime::{Actors, HandlerConfig, Registry, Runtime, StoreGrant};
use keyward_server::{Client, Config, Right, SecretDigest as ClientDigest};
use keyward_store::{Location, NamedQuery, QueryLimits, QueryThreads, Store};
use keyward_tests::http::{Request, Response};
use keyward_tests::postgres;
use pollster::block_on;
use serde_json::{Map, Value};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Executor};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// The name of the handler for managed tokens.
pub(super) const MANAGED: &str = "managed";

/// The client that creates and revokes tokens.
const CALLER: (&str, &str) = ("app", "secret-of-app-0123456789-0123456789");

/// A running server, and its parts.
pub(super) struct World {
    server: Server,
    store: Arc<Store>,
    _folder: TempDir,
}

impl World {
    /// Starts Keyward with the handlers that correspond to the plugin's configuration, and
    /// Datasette's own beside them.
    pub(super) fn of(runtime: &Runtime, scenario: &Value) -> Self {
        let (folder, store) = empty_store();
        let (secret, plugin) = (scenario["secret"].as_str().unwrap(), &scenario["plugin_config"]);
        let mut handlers = vec![with_key("signed", support::SIGNED, "dstok_", secret, "token")];
        if plugin["manage_tokens"] == true {
            // Other configuration is ignored, as in the original.
            let mut config = with_key(MANAGED, keyward_handlers::AUTH_TOKENS.component(), "dsatok_", secret, "dsatok");
            config.store = Some(grant(&store));
            handlers.push(config);
        } else {
            handlers.push(hardcoded(&plugin["tokens"], &scenario["env"]));
            if plugin["query"].is_object() {
                handlers.push(query(&plugin["query"], &tables(scenario), folder.path()));
            }
        }
        // The plugin tries both on one token.
        let mut builder = Registry::builder(runtime).dangerous_share_unprefixed().open_actions();
        for handler in handlers {
            builder = builder.handler(handler);
        }
        for (action, short) in [("view-instance", "vi"), ("view-table", "vt"), ("insert-row", "ir")] {
            builder = builder.action(action, short);
        }
        let revocations = Revocations::open(store.clone(), Duration::from_secs(60)).unwrap();
        let registry = builder.revocations(revocations).build().unwrap();
        let mut config = Config::default();
        config.query_parameter = plugin["param"].as_str().map(str::to_owned);
        let client = Client::new(ClientDigest::of(CALLER.1), [Right::Create, Right::Revoke]);
        config.clients.insert(CALLER.0.to_owned(), client);
        Self { server: Server::start(config, registry, None), store, _folder: folder }
    }

    pub(super) fn set_time(&self, seconds: u64) {
        self.server.set_time(Some(at(seconds)));
    }

    pub(super) fn ask(&self, request: &Request) -> Response {
        self.server.ask(request)
    }

    /// Sends a request as a client that may create and revoke tokens.
    pub(super) fn ask_as_client(&self, path: &str, body: &Value) -> Response {
        self.ask(&Request::json(path, body).basic(CALLER.0, CALLER.1))
    }

    /// Returns the record of a managed token.
    pub(super) fn record(&self, id: &str) -> Record {
        block_on(self.store.find(MANAGED, id)).unwrap().unwrap().record
    }

    /// Inserts a row of the plugin's table as the next record, as an import does.
    pub(super) fn take_over(&self, row: &Value) {
        let issued_at = row["created_timestamp"].as_u64().unwrap();
        let ends =
            row["expires_after_seconds"].as_i64().map(|lifetime| issued_at.checked_add_signed(lifetime).unwrap());
        assert_eq!((row["permissions"].as_str(), row["token_status"].as_str()), (Some("null"), Some("A")));
        let id = block_on(self.store.next_serial(MANAGED)).unwrap().to_string();
        assert_eq!(id, row["id"].to_string());
        put(&self.store, MANAGED, record(id, row["actor_id"].as_str().unwrap(), issued_at, ends), None);
    }
}

/// Returns a time.
pub(super) fn at(seconds: u64) -> UnixTime {
    UnixTime { seconds, nanoseconds: 0 }
}

/// Creates an empty store.
pub(super) fn empty_store() -> (TempDir, Arc<Store>) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(Location::sqlite(folder.path().join("keyward.db"))).unwrap();
    (folder, Arc::new(store))
}

/// Grants a store without a limit.
pub(super) fn grant(store: &Arc<Store>) -> StoreGrant {
    StoreGrant { store: store.clone(), max: 1_000 }
}

/// Returns a record with default values.
pub(super) fn record(id: String, actor: &str, issued_at: u64, expires_at: Option<u64>) -> Record {
    Record { expires_at: expires_at.map(time), ..Record::new(id, actor, time(issued_at)) }
}

/// Inserts a record into the store.
pub(super) fn put(store: &Store, handler: &str, record: Record, digest: Option<SecretDigest>) {
    let stored = StoredRecord { record, digest, token_digest: None };
    let insert =
        NewRecord { stored, replace: false, max: 1_000, max_per_actor: None, max_per_client: None, idle_before: None };
    let changes = keyward_runtime::store::Transaction { insert: Some(insert), ..Default::default() };
    block_on(store.commit(handler, changes)).unwrap();
}

/// Returns a handler whose tokens Datasette signs, with a secret of any length.
pub(super) fn with_key(name: &str, component: &[u8], prefix: &str, secret: &str, namespace: &str) -> HandlerConfig {
    let ring = Arc::new(KeyRing::dangerous_allow_short("datasette", Secret::new(secret), vec![]).unwrap());
    let mut config = HandlerConfig::new(name, component, Actors::Any);
    config.first_party = true;
    config.prefixes = vec![prefix.to_owned()];
    let grant = KeyGrant::new(ring).scheme(Scheme::Itsdangerous).namespace(namespace);
    config.keys.insert("token".to_owned(), grant);
    config
}

/// Returns a handler for the plugin's `tokens`, each with a name.
fn hardcoded(tokens: &Value, env: &Value) -> HandlerConfig {
    let mut config = HandlerConfig::new("hardcoded", support::HARDCODED, Actors::Any);
    let mut actors = Map::new();
    for (place, token) in tokens.as_array().unwrap().iter().enumerate() {
        let name = format!("token-{place}");
        let secret = match token["token"]["$env"].as_str() {
            // If the vectors do not contain the variable's value, no request uses it.
            Some(variable) => env[variable].as_str().unwrap_or(variable),
            None => token["token"].as_str().unwrap(),
        };
        config.secrets.push((name.clone(), Secret::new(secret)));
        actors.insert(name, token["actor"].clone());
    }
    config.settings.insert("actors".to_owned(), Value::Object(actors).to_string());
    config
}

/// Returns a handler for the plugin's `query`, over a database created in this folder.
fn query(query: &Value, tables: &str, folder: &Path) -> HandlerConfig {
    let file = folder.join("tokens.db");
    postgres::block_on(async {
        let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
        options.connect().await.unwrap().execute(sqlx::raw_sql(sqlx::AssertSqlSafe(tables))).await.unwrap();
    });
    let limits = QueryLimits { deadline: Duration::from_secs(30), rows: 16 };
    let sql = query["sql"].as_str().unwrap();
    let query = NamedQuery::open(&QueryThreads::new().unwrap(), Location::sqlite(file), sql, limits).unwrap();
    let mut config = HandlerConfig::new("query", keyward_handlers::QUERY, Actors::Any);
    config.queries.insert("token".to_owned(), Arc::new(query));
    config
}

/// Returns the database of a scenario, or of the one that it refers to.
fn tables(scenario: &Value) -> String {
    let tables = scenario["tokens.db"].as_str().unwrap();
    let Some(other) = tables.strip_prefix("as in ") else { return tables.to_owned() };
    let vectors = vectors();
    let other = vectors["scenarios"].as_array().unwrap().iter().find(|scenario| scenario["name"] == other).unwrap();
    other["tokens.db"].as_str().unwrap().to_owned()
}
