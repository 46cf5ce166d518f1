//! Recognition of texts that are tokens or may be: how to revoke one, and how to detect one that
//! was passed as an id.
//!
//! No handler is called here. A handler that claims every text must not learn ids and actors that
//! are not its own, and must not block an operator.

use super::redact::{IdKind, is_random};
use super::{Registry, TokenRevocations};
use crate::error::{Error, ErrorKind};
use crate::store::{ListEntry, Revocation};
use crate::token::{TokenDigest, is_token_byte};
use crate::verdict::{Acceptance, Verdict};
use std::borrow::Cow;

/// Maximum number of parts of a text that are looked up among the issued tokens.
const MOST_PARTS: usize = 4;

/// Minimum length of a token that is recognized by its digest. Shorter texts are names, and no
/// handler may claim a name by issuing it as a token.
const SHORTEST_ISSUED: usize = 16;

/// A presented token, and the revocations that revoke it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Presented {
    /// The handler that the token belongs to.
    pub handler: String,
    /// The actor that the token speaks for, if known.
    pub actor_id: Option<String>,
    /// The revocations to apply, in order. Empty if the token's record has already ended.
    pub revocations: Vec<Revocation>,
    /// A note for the decision log and the audit log if the handler's id for the token differs from
    /// the record's.
    pub mismatch: Option<String>,
}

/// A revocation that was requested by ids, which may contain a token instead.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Requested {
    /// The revocation to apply.
    pub revocation: Revocation,
    /// `true` if one of the ids looks like a token, so that the logs must not contain them.
    pub is_like_a_token: bool,
}

impl TokenRevocations<'_> {
    /// Returns each [`Revocation`] of a token, given the [`Verdict`] on it: by the id from its
    /// handler, by the id of the host's record, and by the digest of the token, which is
    /// independent of its ids. `None` for a token that no handler accepts and that was not issued
    /// here.
    ///
    /// # Errors
    /// The token is not accepted, and the store cannot tell whether it was issued here.
    pub async fn presented(&self, token: &str, verdict: &Result<Verdict, Error>) -> Result<Option<Presented>, Error> {
        let digest = TokenDigest::of(token);
        let accepted = match verdict {
            Ok(Verdict::Accepted(Acceptance { handler, actor, token_id, .. })) => {
                Some((handler.to_string(), token_id.clone(), actor.id().map(|id| id.as_str().to_owned())))
            }
            Err(error) => match (error.handler(), error.kind()) {
                (Some(handler), ErrorKind::Renamed { named }) => Some((handler.to_owned(), named.clone(), None)),
                _ => None,
            },
            Ok(Verdict::NotMine | Verdict::Rejected(_)) => None,
        };
        let issued = match self.registry.find_issued(&digest).await {
            Ok(issued) => issued,
            // Its own id and digest suffice to revoke it.
            Err(_) if accepted.is_some() => None,
            Err(error) => return Err(error),
        };
        let by_digest = |handler: &str, token_id: Option<&str>| Revocation {
            handler: Some(handler.to_owned()),
            token_id: token_id.map(str::to_owned),
            token_digest: Some(digest),
            ..Revocation::default()
        };
        let Some((handler, named, actor_id)) = accepted else {
            return Ok(issued.map(|ListEntry { handler, record }| {
                let revocation = record.ended.is_none().then(|| by_digest(&handler, Some(&record.id)));
                let (actor_id, revocations) = (Some(record.actor_id), revocation.into_iter().collect());
                Presented { handler, actor_id, revocations, mismatch: None }
            }));
        };
        let is_ended = issued.as_ref().is_some_and(|issued| issued.record.ended.is_some());
        if is_ended && !matches!(verdict, Ok(Verdict::Accepted(_))) {
            return Ok(Some(Presented { handler, actor_id, revocations: Vec::new(), mismatch: None }));
        }
        let mut presented = Presented {
            actor_id: actor_id.or_else(|| issued.as_ref().map(|issued| issued.record.actor_id.clone())),
            revocations: vec![by_digest(&handler, named.as_deref())],
            mismatch: None,
            handler,
        };
        if let Some(ListEntry { handler, record }) = issued
            && (handler != presented.handler || named.as_ref() != Some(&record.id))
        {
            let named = named.map_or_else(|| "nothing".to_owned(), |named| format!("`{named}`"));
            presented.mismatch =
                Some(format!("its handler names it {named}; its record is `{}` of handler `{handler}`", record.id));
            if record.ended.is_none() {
                presented.revocations.push(by_digest(&handler, Some(&record.id)));
            }
        }
        Ok(Some(presented))
    }

    /// Returns the revocations for a request by ids, which is never refused: a token in place of
    /// its id is revoked as a token, and a token in place of an actor's id is revoked in addition
    /// to what was requested.
    pub async fn requested(&self, revocation: Revocation) -> Vec<Requested> {
        let plain = |revocation| Requested { revocation, is_like_a_token: false };
        let Revocation { handler, token_id, token_digest: _, actor_id, issued_until, keep_children } = &revocation;
        let is_usable = |issued: &ListEntry| handler.as_ref().is_none_or(|handler| *handler == issued.handler);
        let by_record = |(ListEntry { handler, record }, digest): (ListEntry, TokenDigest)| Revocation {
            handler: Some(handler),
            token_id: Some(record.id),
            token_digest: Some(digest),
            actor_id: None,
            issued_until: *issued_until,
            keep_children: *keep_children,
        };
        if let Some(id) = token_id {
            let issued = self.registry.issued_in(id).await;
            let is_like_a_token =
                issued.is_some() || self.registry.resembles_token(id, IdKind::Token) || is_random(id.trim());
            if let Some(issued) = issued.filter(|(issued, _)| is_usable(issued)) {
                return vec![plain(by_record(issued))];
            }
            if !is_like_a_token || self.registry.is_recorded(&revocation).await {
                return vec![plain(revocation)];
            }
            // A token must not be written to any file, so it is revoked by its digest, which also
            // covers an id.
            let mut texts = vec![id.as_str(), id.trim()];
            texts.dedup();
            let by_digest = |text| Requested {
                revocation: Revocation {
                    token_id: None,
                    token_digest: Some(TokenDigest::of(text)),
                    ..revocation.clone()
                },
                is_like_a_token: true,
            };
            return texts.into_iter().map(by_digest).collect();
        }
        let Some(actor) = actor_id else { return vec![plain(revocation)] };
        let issued = self.registry.issued_in(actor).await;
        let is_like_a_token = issued.is_some() || self.registry.resembles_token(actor, IdKind::Actor);
        let as_token = issued.filter(|(issued, _)| is_usable(issued)).map(by_record);
        let mut requested = vec![Requested { is_like_a_token, revocation }];
        requested.extend(as_token.map(plain));
        requested
    }
}

impl Registry {
    /// Returns whether `text` is, or contains, a token that was passed where an identifier belongs.
    /// Used to keep tokens out of logs.
    ///
    /// Detects issued tokens, also with other text around them, and texts that
    /// look like one. A token whose record has ended does not count: a name
    /// that a handler has issued as a token is free again once that token is revoked.
    pub async fn is_token(&self, text: &str, kind: IdKind) -> bool {
        let is_live = |(issued, _): (ListEntry, TokenDigest)| issued.record.ended.is_none();
        self.resembles_token(text, kind) || self.issued_in(text).await.is_some_and(is_live)
    }

    /// Returns the record of an issued token that `text` is or contains, also without its prefix.
    /// `None` if the store fails.
    async fn issued_in(&self, text: &str) -> Option<(ListEntry, TokenDigest)> {
        self.0.records.as_ref()?;
        for part in self.parts(text) {
            let digest = TokenDigest::of(&part);
            if let Ok(Some(issued)) = self.find_issued(&digest).await {
                return Some((issued, digest));
            }
        }
        None
    }

    /// Returns the longest parts of `text` that may be issued tokens: runs of the characters that
    /// tokens have, and what starts with a prefix within such a run. The longest one is returned
    /// with each prefix as well, because it may be a token without its prefix.
    fn parts<'a>(&self, text: &'a str) -> Vec<Cow<'a, str>> {
        let text = text.get(..text.floor_char_boundary(self.0.token_bytes.saturating_mul(2))).unwrap_or_default();
        let mut parts: Vec<&str> = Vec::new();
        for run in text.split(|c: char| !u8::try_from(c).is_ok_and(is_token_byte)) {
            parts.push(run);
            for (prefix, _) in &self.0.prefixes {
                let inside = run.match_indices(prefix.as_str()).filter(|(at, _)| *at > 0);
                parts.extend(inside.filter_map(|(at, _)| run.get(at..)));
            }
        }
        parts.retain(|part| (SHORTEST_ISSUED..=self.0.token_bytes).contains(&part.len()));
        parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
        parts.dedup();
        parts.truncate(MOST_PARTS);
        let longest = parts.first().copied().unwrap_or_default();
        let mut parts: Vec<_> = parts.into_iter().map(Cow::Borrowed).collect();
        if !longest.is_empty() {
            parts.extend(self.0.prefixes.iter().map(|(prefix, _)| Cow::Owned(format!("{prefix}{longest}"))));
        }
        parts
    }

    /// Returns whether a revocation names the id of a record. If the store fails, `false`.
    async fn is_recorded(&self, revocation: &Revocation) -> bool {
        let (Some(records), Some(handler), Some(id)) = (&self.0.records, &revocation.handler, &revocation.token_id)
        else {
            return false;
        };
        matches!(records.find(handler, id).await, Ok(Some(_)))
    }

    async fn find_issued(&self, digest: &TokenDigest) -> Result<Option<ListEntry>, Error> {
        let Some(records) = &self.0.records else { return Ok(None) };
        records.find_issued(None, digest).await.map_err(Error::from)
    }
}
