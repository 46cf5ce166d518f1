//! Texts that are tokens or may be: how one is revoked, and how one passed as an id is recognized.
//!
//! No handler is ever asked here. A handler that claims every text must neither learn of ids and
//! actors that are not its own nor keep an operator from anything.

use super::{Registry, store_error};
use crate::checksum;
use crate::error::{Error, ErrorKind};
use crate::store::{ListEntry, Revocation};
use crate::token::{TokenDigest, is_token_byte};
use crate::verdict::{Acceptance, Verdict};
use subtle::ConstantTimeEq;

/// How many parts of a text are looked up among the issued tokens.
const MOST_PARTS: usize = 4;

/// The shortest token that is recognised by its digest. Shorter texts are names, and no handler may
/// claim a name by issuing it as a token.
const SHORTEST_ISSUED: usize = 16;

/// A presented token, and all that revokes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Presented {
    /// The handler that the token belongs to.
    pub handler: String,
    /// The actor that the token speaks for, as far as it is known.
    pub actor_id: Option<String>,
    /// The revocations to make, in this order. Empty if the token's record has ended already.
    pub revocations: Vec<Revocation>,
    /// A note for log and audit where the handler names the token differently than its record.
    pub mismatch: Option<String>,
}

/// A revocation that was requested by ids, and may have been given a token in their place.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Requested {
    /// The revocation to make.
    pub revocation: Revocation,
    /// Keeps its ids out of log and audit, because one of them looks like a token.
    pub is_like_a_token: bool,
}

impl Registry {
    /// Returns what revokes a token, given the verdict about it: the id that its handler names, the
    /// id of the record that the host has of it, and the token itself, whatever it is called later.
    /// `None` for a token that no handler accepts and that was not issued here.
    ///
    /// # Errors
    /// The token is not accepted, and the store cannot say whether it was issued here.
    pub async fn presented(&self, token: &str, verdict: &Result<Verdict, Error>) -> Result<Option<Presented>, Error> {
        let digest = TokenDigest::of(token);
        let accepted = match verdict {
            Ok(Verdict::Accepted(Acceptance { handler, actor, token_id, .. })) => {
                Some((handler.to_string(), token_id.clone(), actor.id().map(str::to_owned)))
            }
            Err(error) => match (error.handler(), error.kind()) {
                (Some(handler), ErrorKind::Renamed { named }) => Some((handler.to_owned(), named.clone(), None)),
                _ => None,
            },
            Ok(Verdict::NotMine | Verdict::Rejected(_)) => None,
        };
        let issued = match self.find_issued(&digest).await {
            Ok(issued) => issued,
            // Its own id and digest revoke it too.
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
            let named = named.map_or_else(|| "not at all".to_owned(), |named| format!("`{named}`"));
            presented.mismatch =
                Some(format!("its handler names it {named}; its record is `{}` of handler `{handler}`", record.id));
            if record.ended.is_none() {
                presented.revocations.push(by_digest(&handler, Some(&record.id)));
            }
        }
        Ok(Some(presented))
    }

    /// Returns what to revoke for a request by ids. It is never refused: a token in the place of
    /// its id is revoked as a token, and one in the place of an actor's id is revoked besides what
    /// was requested.
    pub async fn requested(&self, revocation: Revocation) -> Vec<Requested> {
        let plain = |revocation| Requested { revocation, is_like_a_token: false };
        let Revocation { handler, token_id, actor_id, issued_until, .. } = &revocation;
        let is_usable = |issued: &ListEntry| handler.as_ref().is_none_or(|handler| *handler == issued.handler);
        let by_record = |(ListEntry { handler, record }, digest): (ListEntry, TokenDigest)| Revocation {
            handler: Some(handler),
            token_id: Some(record.id),
            token_digest: Some(digest),
            actor_id: None,
            issued_until: *issued_until,
        };
        if let Some(id) = token_id {
            let issued = self.issued_in(id).await;
            let is_like_a_token = issued.is_some() || self.resembles_token(id, true);
            if let Some(issued) = issued.filter(|(issued, _)| is_usable(issued)) {
                return vec![plain(by_record(issued))];
            }
            if !is_like_a_token || self.is_recorded(&revocation).await {
                return vec![plain(revocation)];
            }
            // A token must be in no file, so it is revoked by its digest, which holds for an id as
            // well.
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
        let issued = self.issued_in(actor).await;
        let is_like_a_token = issued.is_some() || self.resembles_token(actor, false);
        let as_token = issued.filter(|(issued, _)| is_usable(issued)).map(by_record);
        let mut requested = vec![Requested { is_like_a_token, revocation }];
        requested.extend(as_token.map(plain));
        requested
    }

    /// Returns whether a text is a token in the place of an actor's id, or of a token's with
    /// `like_one`: an issued one, also with something around it, or a text that
    /// [resembles](Self::resembles_token) one. There it names nothing, and would be written to
    /// logs. A token whose record has ended does not count: a name that a handler has issued as a
    /// token is free again once that token is revoked.
    pub async fn is_token(&self, text: &str, like_one: bool) -> bool {
        let is_live = |(issued, _): (ListEntry, TokenDigest)| issued.record.ended.is_none();
        self.resembles_token(text, like_one) || self.issued_in(text).await.is_some_and(is_live)
    }

    /// Returns the record of an issued token that a text consists of or contains. A store that does
    /// not answer knows none.
    pub async fn issued_in(&self, text: &str) -> Option<(ListEntry, TokenDigest)> {
        self.0.records.as_ref()?;
        for part in self.parts(text) {
            let digest = TokenDigest::of(part);
            if let Ok(Some(issued)) = self.find_issued(&digest).await {
                return Some((issued, digest));
            }
        }
        None
    }

    /// Returns whether a text looks like a token of one of the handlers: by a prefix with as much
    /// text behind it as tokens have, by a checksum, or because it is one of the handler's secrets.
    /// Where `like_one`, a prefix alone is enough: no token id begins like a token, though an
    /// actor's may, `dstok_team`, say.
    pub fn resembles_token(&self, text: &str, like_one: bool) -> bool {
        let word = text.trim();
        self.0.handlers.iter().any(|handler| {
            let mut prefixes = handler.prefixes.iter();
            prefixes.any(|prefix| shows_a_token(text, prefix) || like_one && word.starts_with(prefix.as_str()))
                || handler.has_checksum() && checksum::matches(word)
                || handler.bound.secrets.iter().any(|(_, secret)| bool::from(secret.expose().ct_eq(word.as_bytes())))
        })
    }

    /// Returns the longest parts of a text that may be issued tokens: runs of the characters that
    /// those have, and what begins with a prefix within such a run.
    fn parts<'a>(&self, text: &'a str) -> Vec<&'a str> {
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
        parts
    }

    /// Returns whether a revocation names the id of a record. A store that does not answer has
    /// none.
    async fn is_recorded(&self, revocation: &Revocation) -> bool {
        let (Some(records), Some(handler), Some(id)) = (&self.0.records, &revocation.handler, &revocation.token_id)
        else {
            return false;
        };
        matches!(records.find(handler, id).await, Ok(Some(_)))
    }

    async fn find_issued(&self, digest: &TokenDigest) -> Result<Option<ListEntry>, Error> {
        let Some(records) = &self.0.records else { return Ok(None) };
        records.find_issued(None, digest).await.map_err(store_error)
    }
}

/// Returns whether a word of a text begins with a prefix, and goes on for about as long as tokens
/// do. Names are shorter, and so is what is left of a UUID behind its first group.
fn shows_a_token(text: &str, prefix: &str) -> bool {
    const TELLING: usize = 4;
    const SHORTEST: usize = 24;
    let begins_a_word = |at| !text.get(..at).is_some_and(|before| before.ends_with(char::is_alphanumeric));
    prefix.len() >= TELLING
        && text.match_indices(prefix).filter(|(at, _)| begins_a_word(*at)).any(|(at, _)| {
            let behind = text.get(at..).and_then(|word| word.strip_prefix(prefix)).unwrap_or_default();
            behind.split(char::is_whitespace).next().is_some_and(|rest| rest.chars().count() >= SHORTEST)
        })
}
