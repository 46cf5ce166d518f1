//! Rulings on one token by the entries of the list: revoked, clear, or covered unless its record
//! postdates them.

use crate::clock::UnixTime;
use crate::store::{Entry, Revocation};
use crate::token::TokenDigest;
use std::collections::HashMap;

/// A token as revocations see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) handler: &'a str,
    pub(crate) token_id: Option<&'a str>,
    /// The digest of the token itself, if available.
    pub(crate) token: Option<&'a TokenDigest>,
    pub(crate) actor_id: Option<&'a str>,
    /// The issue time; `None` if there is none that the host trusts.
    pub(crate) issued_at: Option<UnixTime>,
    /// Number of seconds by which the clock that issued it may have been ahead.
    pub(crate) leeway: u64,
}

/// A ruling of revocations on a token. The greater of two applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ruling {
    /// No revocation covers the token.
    Clear,
    /// A cutoff covers the token, unless it has a record that has not ended: a revocation ends
    /// every record that exists, so such a record postdates it, whatever the clocks show.
    Covered,
    /// The token is revoked, regardless of its record.
    Revoked,
}

/// The cutoffs of all revocations, merged into one per scope.
#[derive(Debug, Default)]
pub(crate) struct Cutoffs {
    /// Cutoffs of tokens of any handler.
    any: ScopedCutoffs,
    /// Cutoffs of tokens of one handler.
    handlers: HashMap<String, ScopedCutoffs>,
}

#[derive(Debug, Default)]
struct ScopedCutoffs {
    ids: HashMap<String, Cutoff>,
    /// Cutoffs by digests of tokens, and of ids that look like a token and are therefore not stored
    /// as text.
    digests: HashMap<TokenDigest, Cutoff>,
    actors: HashMap<String, Cutoff>,
    all: Option<Cutoff>,
}

/// The last second of issue that is revoked, or all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cutoff {
    Issued(UnixTime),
    Always,
}

impl Cutoff {
    /// Rules on a token in the cutoff's scope. A token without an issue time may have any age. A
    /// token that was issued within the leeway after the cutoff may have been issued before the
    /// revocation, on a clock that was ahead.
    fn rule(self, subject: Subject<'_>) -> Ruling {
        match (self, subject.issued_at) {
            (Self::Always, _) => Ruling::Revoked,
            (Self::Issued(until), Some(issued)) if issued.whole() > until.later(subject.leeway) => Ruling::Clear,
            (Self::Issued(_), _) => Ruling::Covered,
        }
    }

    fn cap(&mut self, at: UnixTime) {
        if let Self::Issued(until) = self {
            *until = at.min(*until);
        }
    }
}

impl Cutoffs {
    /// Adds the next [`Entry`] of the list.
    pub(crate) fn add(&mut self, entry: Entry) {
        match entry {
            Entry::Revoked(revocation) => self.apply(revocation),
            Entry::Capped(at) => self.cap(at),
        }
    }

    pub(crate) fn apply(&mut self, revocation: Revocation) {
        let Revocation { handler, token_id, token_digest, actor_id, issued_until, keep_children: _ } = revocation;
        let until = issued_until.map_or(Cutoff::Always, |until| Cutoff::Issued(until.whole()));
        let marks = match handler {
            Some(handler) => self.handlers.entry(handler).or_default(),
            None => &mut self.any,
        };
        let raise = |mark: &mut Cutoff| *mark = until.max(*mark);
        if let Some(digest) = token_digest {
            raise(marks.digests.entry(digest).or_insert(until));
        }
        match (token_id, actor_id) {
            // With an actor too, it would be one of that actor's tokens: the id alone covers as
            // much or more.
            (Some(id), _) => raise(marks.ids.entry(id).or_insert(until)),
            (None, _) if token_digest.is_some() => {}
            (None, Some(actor)) => raise(marks.actors.entry(actor).or_insert(until)),
            (None, None) => raise(marks.all.get_or_insert(until)),
        }
    }

    /// Moves every cutoff after this second back to it.
    fn cap(&mut self, at: UnixTime) {
        for ScopedCutoffs { ids, digests, actors, all } in self.handlers.values_mut().chain([&mut self.any]) {
            let tokens = ids.values_mut().chain(digests.values_mut());
            tokens.chain(actors.values_mut()).chain(all).for_each(|until| until.cap(at));
        }
    }

    pub(crate) fn rule(&self, subject: Subject<'_>) -> Ruling {
        self.marks(subject).map(|until| until.rule(subject)).max().unwrap_or(Ruling::Clear)
    }

    /// Returns whether a cutoff that covers the token is at `now` or within the leeway after it.
    pub(crate) fn cut_off_now(&self, subject: Subject<'_>, now: UnixTime) -> bool {
        let latest = now.later(subject.leeway);
        self.marks(subject).any(|until| matches!(until, Cutoff::Issued(until) if (now..=latest).contains(&until)))
    }

    fn marks(&self, subject: Subject<'_>) -> impl Iterator<Item = Cutoff> {
        [Some(&self.any), self.handlers.get(subject.handler)].into_iter().flatten().flat_map(move |marks| {
            let ScopedCutoffs { ids, digests, actors, all } = marks;
            let of_id = subject.token_id.filter(|_| !digests.is_empty()).map(TokenDigest::of);
            let marks = [
                subject.token_id.and_then(|id| ids.get(id)),
                subject.token.and_then(|token| digests.get(token)),
                of_id.and_then(|digest| digests.get(&digest)),
                subject.actor_id.and_then(|actor| actors.get(actor)),
                all.as_ref(),
            ];
            marks.into_iter().flatten().copied()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn revocation() -> impl Strategy<Value = Revocation> {
        let word = || prop::option::of("[ab]");
        (word(), word(), word(), prop::option::of(0..8_u64)).prop_map(|(handler, token_id, actor_id, issued_until)| {
            // A revocation that names a token names its handler, and nothing else.
            let token_id = token_id.filter(|_| handler.is_some() && actor_id.is_none());
            let issued_until = issued_until.map(UnixTime::from_seconds);
            Revocation { handler, token_id, actor_id, issued_until, ..Revocation::default() }
        })
    }

    proptest! {
        /// The merged cutoffs rule as each revocation does by itself, in any order.
        #[test]
        fn a_token_is_covered_if_it_fits_any_revocation(
            revocations in prop::collection::vec(revocation(), 0..6),
            handler in "[ab]",
            id in prop::option::of("[ab]"),
            actor in prop::option::of("[ab]"),
            issued in prop::option::of(0..8_u64),
            leeway in 0..3_u64,
        ) {
            let issued = issued.map(UnixTime::from_seconds);
            let rule = |revocation: &Revocation| {
                let Revocation { handler: h, token_id, actor_id, issued_until, .. } = revocation;
                let matches = h.as_ref().is_none_or(|h| *h == handler)
                    && token_id.as_ref().is_none_or(|t| Some(t) == id.as_ref())
                    && actor_id.as_ref().is_none_or(|a| Some(a) == actor.as_ref());
                match issued_until {
                    _ if !matches => Ruling::Clear,
                    None => Ruling::Revoked,
                    Some(until) if issued.is_none_or(|issued| issued <= until.later(leeway)) => Ruling::Covered,
                    Some(_) => Ruling::Clear,
                }
            };
            let wanted = revocations.iter().map(rule).max().unwrap_or(Ruling::Clear);
            let mut cutoffs = Cutoffs::default();
            revocations.into_iter().for_each(|revocation| cutoffs.apply(revocation));
            let (token_id, actor_id) = (id.as_deref(), actor.as_deref());
            let subject = Subject { handler: &handler, token_id, token: None, actor_id, issued_at: issued, leeway };
            prop_assert_eq!(cutoffs.rule(subject), wanted);
        }
    }

    #[test]
    fn an_id_is_revoked_by_its_digest_too() {
        let text = "kwt_like-a-token";
        let digest = TokenDigest::of(text);
        let mut cutoffs = Cutoffs::default();
        let handler = Some("h".to_owned());
        cutoffs.apply(Revocation { handler, token_digest: Some(digest), ..Revocation::default() });
        for (handler, id, token, wanted) in [
            ("h", text, None, Ruling::Revoked),
            ("h", "another", Some(&digest), Ruling::Revoked),
            ("h", "another", None, Ruling::Clear),
            ("g", text, Some(&digest), Ruling::Clear),
        ] {
            let subject = Subject { handler, token_id: Some(id), token, actor_id: None, issued_at: None, leeway: 0 };
            assert_eq!(cutoffs.rule(subject), wanted, "{handler} {id}");
        }
    }

    #[test]
    fn a_cap_applies_to_earlier_entries_only() {
        let of_actor = |until| Revocation {
            actor_id: Some("a".into()),
            issued_until: Some(UnixTime::from_seconds(until)),
            ..Default::default()
        };
        let subject = |issued| Subject {
            handler: "h",
            token_id: None,
            token: None,
            actor_id: Some("a"),
            issued_at: Some(UnixTime::from_seconds(issued)),
            leeway: 60,
        };
        let mut cutoffs = Cutoffs::default();
        cutoffs.apply(of_actor(9_000));
        assert_eq!(cutoffs.rule(subject(9_060)), Ruling::Covered);
        cutoffs.add(Entry::Capped(UnixTime::from_seconds(1_000)));
        assert_eq!([1_060, 1_061].map(|issued| cutoffs.rule(subject(issued))), [Ruling::Covered, Ruling::Clear]);
        cutoffs.add(Entry::Revoked(of_actor(2_000)));
        assert_eq!([2_060, 2_061].map(|issued| cutoffs.rule(subject(issued))), [Ruling::Covered, Ruling::Clear]);
    }
}
