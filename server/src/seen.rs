//! Records of tokens that a caller may see: the one border between what is known and who asks.

use crate::caller::AuthenticatedCaller;
use crate::config::{Caller, Sees};
use crate::context::Live;
use keyward_runtime::{Filter, MadeBy, Record};

/// A record that whoever asks may see. What is said of records is said of these, and [`Seen::by`] makes them.
pub(crate) struct Seen {
    handler: String,
    record: Record,
}

impl Seen {
    /// The record of a token of that handler, if this caller may see it; otherwise it is given back.
    pub(crate) fn by(caller: AuthenticatedCaller<'_>, handler: String, record: Record) -> Result<Self, Box<Record>> {
        let Caller { sees, handlers, .. } = caller.rights();
        let is_its_to_see = match sees {
            Sees::Nothing => false,
            Sees::Own => record.caller.as_deref() == Some(caller.id()),
            Sees::All => true,
        };
        if is_its_to_see && handlers.include(&handler) { Ok(Self { handler, record }) } else { Err(Box::new(record)) }
    }

    /// With what has become of the same record.
    pub(crate) fn now(self, record: Record) -> Self {
        Self { record, ..self }
    }

    /// Whose token it is.
    pub(crate) fn handler(&self) -> &str {
        &self.handler
    }

    /// What is known of it.
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }
}

/// Which records a list for this caller is made of: of one handler that it may use, or of all of those that are there.
pub(crate) fn filter(caller: AuthenticatedCaller<'_>, live: &Live, handler: Option<&str>) -> Filter {
    let Caller { sees, handlers, .. } = caller.rights();
    let is_its = |name: &&str| handlers.include(name) && handler.is_none_or(|only| only == *name);
    let mut names: Vec<_> = live.registry.handlers().map(|handler| handler.name).filter(is_its).collect();
    let caller = match sees {
        Sees::Nothing => {
            names.clear();
            None
        }
        Sees::Own => Some(MadeBy::Caller(caller.id().to_owned())),
        Sees::All => None,
    };
    Filter { handlers: Some(names.into_iter().map(str::to_owned).collect()), caller, ..Filter::default() }
}
