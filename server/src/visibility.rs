//! Visibility checks: the only place that turns a stored record into one that a client may see.

use crate::client::AuthenticatedClient;
use crate::config::Right;
use crate::context::LiveConfig;
use keyward_runtime::store::{CreatedBy, Filter, Record};

/// A record that the requesting client may see. Only [`VisibleToken::by`] creates one, and every
/// response about records is built from one.
pub(crate) struct VisibleToken {
    handler: String,
    record: Record,
}

impl VisibleToken {
    /// Returns a visible token if the client may see the record of a token of `handler`.
    ///
    /// # Errors
    /// Returns the record if the client may not see it.
    pub(crate) fn by(client: AuthenticatedClient<'_>, handler: String, record: Record) -> Result<Self, Box<Record>> {
        let config = client.config();
        let is_own = record.client.as_deref() == Some(client.id());
        let may_see = config.may(Right::ListAll) || is_own && config.may(Right::List);
        if may_see && config.handlers.contains(&handler) { Ok(Self { handler, record }) } else { Err(Box::new(record)) }
    }

    /// Replaces the record with its current state.
    pub(crate) fn now(self, record: Record) -> Self {
        Self { record, ..self }
    }

    /// Returns the name of the token's handler.
    pub(crate) fn handler(&self) -> &str {
        &self.handler
    }

    /// Returns the record.
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }
}

/// Returns the filter for the records that a client may see, of one handler or of each that it may
/// use.
pub(crate) fn filter(client: AuthenticatedClient<'_>, live: &LiveConfig, handler: Option<&str>) -> Filter {
    let config = client.config();
    let is_its = |name: &&str| config.handlers.contains(name) && handler.is_none_or(|only| only == *name);
    let mut names: Vec<_> = live.registry.handlers().map(|handler| handler.name).filter(is_its).collect();
    if !config.may(Right::List) {
        names.clear();
    }
    let sees_all = config.may(Right::ListAll);
    let client = (!sees_all).then(|| CreatedBy::Client(client.id().to_owned()));
    Filter { handlers: Some(names.into_iter().map(str::to_owned).collect()), client, ..Filter::default() }
}
