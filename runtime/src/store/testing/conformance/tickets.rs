//! Tickets: each is added once, valid until it expires, and taken once.

use super::support::*;
use super::{Case, Open};
use crate::clock::UnixTime;
use crate::store::{SecretDigest, Ticket, TicketKind, TokenStore};

pub(super) const CASES: &[Case<dyn TokenStore>] = &[
    ("tickets are returned in full", in_full),
    ("a ticket is added once", added_once),
    ("a ticket expires after its last second", expiry),
    ("tickets of different kinds are separate", by_kind),
    ("a ticket is taken once", taken_once),
    ("concurrent calls add and take a ticket once", concurrent),
    ("expired tickets are purged", purged),
    ("concurrent calls purge each ticket once", purged_once),
];

const LINK: TicketKind = TicketKind::Link;

/// Returns a link of `alice`, valid for a minute, whose digest consists of this byte.
fn link(byte: u8) -> Ticket {
    Ticket { kind: LINK, digest: secret(byte), actor_id: "alice".to_owned(), issued_at: NOW, expires_at: NOW.later(60) }
}

/// The content of a ticket, which can be compared.
type Content = (TicketKind, [u8; 32], String, UnixTime, UnixTime);

fn content(Ticket { kind, digest, actor_id, issued_at, expires_at }: Ticket) -> Content {
    (kind, *digest.bytes(), actor_id, issued_at, expires_at)
}

fn add(store: &dyn TokenStore, ticket: &Ticket, wanted: bool, what: &str) -> Outcome {
    equal(wait(store.add_ticket(ticket))?, wanted, format_args!("result of adding {what}"))
}

fn find(store: &dyn TokenStore, kind: TicketKind, digest: &SecretDigest, at: UnixTime) -> Outcome<Option<Content>> {
    Ok(wait(store.find_ticket(kind, digest, at))?.map(content))
}

fn take(store: &dyn TokenStore, kind: TicketKind, digest: &SecretDigest, at: UnixTime) -> Outcome<Option<Content>> {
    Ok(wait(store.take_ticket(kind, digest, at))?.map(content))
}

fn in_full(open: Open<'_, dyn TokenStore>) -> Outcome {
    let store = open();
    let long = "\u{1f980}'\"\\%_;--\n".repeat(5_000);
    let odd = ["", "'", "\"; DROP TABLE tickets; --", "e\u{301}\u{202e}", "$1 ? :x @y %s \\", " \t\r\n", &long];
    let kinds = TicketKind::ALL.into_iter().cycle();
    let tickets: Vec<_> = (1..)
        .zip(odd)
        .zip(kinds)
        .map(|((byte, actor_id), kind)| Ticket { kind, actor_id: actor_id.to_owned(), ..link(byte) })
        .chain([Ticket { issued_at: UnixTime::default(), expires_at: UnixTime::default(), ..link(0) }])
        .chain([Ticket { expires_at: UnixTime::from_seconds(UnixTime::MAX_SECONDS), ..link(255) }])
        .collect();
    for ticket in &tickets {
        add(&*store, ticket, true, "a ticket")?;
    }
    for ticket in tickets {
        let (Ticket { kind, digest, issued_at, .. }, what) = (&ticket, format!("{:.30}", ticket.actor_id));
        let wanted = || Some(content(ticket.clone()));
        for _ in 0..2 {
            equal(find(&*store, *kind, digest, *issued_at)?, wanted(), format_args!("ticket of {what:?}"))?;
        }
        equal(take(&*store, *kind, digest, *issued_at)?, wanted(), format_args!("taken ticket of {what:?}"))?;
        equal(find(&*store, *kind, digest, *issued_at)?, None, format_args!("ticket of {what:?} after it was taken"))?;
    }
    equal(find(&*store, LINK, &secret(99), NOW)?, None, "a ticket with an unknown digest")?;
    equal(take(&*store, LINK, &secret(99), NOW)?, None, "a taken ticket with an unknown digest")
}

fn added_once(open: Open<'_, dyn TokenStore>) -> Outcome {
    let store = open();
    let expired = Ticket { expires_at: NOW.earlier(1), ..link(2) };
    add(&*store, &link(1), true, "a ticket")?;
    add(&*store, &expired, true, "an expired ticket")?;
    let again = |byte| Ticket { actor_id: "bob".to_owned(), expires_at: NOW.later(900), ..link(byte) };
    add(&*store, &link(1), false, "a ticket twice")?;
    add(&*store, &again(1), false, "a ticket with a used digest")?;
    add(&*store, &again(2), false, "a ticket with the digest of an expired one")?;
    equal(find(&*store, LINK, &secret(1), NOW)?, Some(content(link(1))), "the first ticket")?;
    equal(find(&*store, LINK, &secret(2), NOW)?, None, "the expired ticket")?;
    equal(find(&*store, LINK, &secret(2), NOW.earlier(1))?, Some(content(expired)), "the ticket before it expired")?;
    // A ticket that was removed is not in the way.
    take(&*store, LINK, &secret(1), NOW)?;
    add(&*store, &again(1), true, "a ticket with the digest of one that was taken")?;
    equal(find(&*store, LINK, &secret(1), NOW)?, Some(content(again(1))), "the second ticket")
}

fn expiry(open: Open<'_, dyn TokenStore>) -> Outcome {
    let store = open();
    let last = NOW.later(60);
    for byte in [1, 2] {
        add(&*store, &link(byte), true, "a ticket")?;
    }
    for (at, is_valid) in [(NOW, true), (last.earlier(1), true), (last, true), (last.later(1), false)] {
        let found = find(&*store, LINK, &secret(1), at)?;
        equal(found, is_valid.then(|| content(link(1))), format_args!("ticket at {at:?}, valid until {last:?}"))?;
    }
    // The clock of another node may be behind: for it, the ticket is still valid.
    equal(take(&*store, LINK, &secret(1), last.later(1))?, None, "an expired ticket that was taken")?;
    equal(find(&*store, LINK, &secret(1), last)?, Some(content(link(1))), "a ticket that was taken too late")?;
    equal(take(&*store, LINK, &secret(1), last)?, Some(content(link(1))), "a ticket taken in its last second")?;
    equal(take(&*store, LINK, &secret(2), last.earlier(1))?, Some(content(link(2))), "a ticket taken before that")
}

fn by_kind(open: Open<'_, dyn TokenStore>) -> Outcome {
    let store = open();
    let ticket = |kind: TicketKind| Ticket { kind, actor_id: kind.name().to_owned(), ..link(1) };
    for kind in TicketKind::ALL {
        let found = find(&*store, kind, &secret(1), NOW)?;
        equal(found, None, format_args!("a ticket of the kind {kind:?} that was not added"))?;
        add(&*store, &ticket(kind), true, "a ticket whose digest another kind has used")?;
    }
    for kind in TicketKind::ALL {
        let found = find(&*store, kind, &secret(1), NOW)?;
        equal(found, Some(content(ticket(kind))), format_args!("the ticket of the kind {kind:?}"))?;
    }
    equal(take(&*store, TicketKind::SignIn, &secret(1), NOW)?, Some(content(ticket(TicketKind::SignIn))), "a ticket")?;
    for kind in TicketKind::ALL {
        let wanted = (kind != TicketKind::SignIn).then(|| content(ticket(kind)));
        let found = find(&*store, kind, &secret(1), NOW)?;
        equal(found, wanted, format_args!("the ticket of the kind {kind:?} after one was taken"))?;
    }
    Ok(())
}

fn taken_once(open: Open<'_, dyn TokenStore>) -> Outcome {
    let store = open();
    for byte in [1, 2] {
        add(&*store, &link(byte), true, "a ticket")?;
    }
    equal(take(&*store, LINK, &secret(1), NOW)?, Some(content(link(1))), "a taken ticket")?;
    equal(take(&*store, LINK, &secret(1), NOW)?, None, "a ticket that was taken before")?;
    equal(find(&*store, LINK, &secret(1), NOW)?, None, "a ticket after it was taken")?;
    equal(find(&*store, LINK, &secret(2), NOW)?, Some(content(link(2))), "another ticket")
}

fn concurrent(open: Open<'_, dyn TokenStore>) -> Outcome {
    let store = open();
    for byte in 0..5 {
        let added = race(|number| {
            let ticket = Ticket { actor_id: number.to_string(), ..link(byte) };
            Ok(wait(store.add_ticket(&ticket))?.then_some(ticket.actor_id))
        })?;
        let added: Vec<_> = added.into_iter().flatten().collect();
        equal(added.len(), 1, "number of concurrent calls that added a ticket")?;
        let taken = race(|_| wait(store.take_ticket(LINK, &secret(byte), NOW)))?;
        let taken: Vec<_> = taken.into_iter().flatten().map(|ticket| ticket.actor_id).collect();
        equal(taken, added, "tickets that concurrent calls took, and those that were added")?;
    }
    Ok(())
}

fn purged(open: Open<'_, dyn TokenStore>) -> Outcome {
    let store = open();
    equal(wait(store.purge_tickets(NOW, 10))?, 0, "number of tickets purged from an empty store")?;
    let tickets: Vec<_> = (0..6)
        .zip(TicketKind::ALL.into_iter().cycle())
        .map(|(byte, kind)| Ticket { kind, expires_at: NOW.earlier(3).later(byte.into()), ..link(byte) })
        .collect();
    for ticket in &tickets {
        add(&*store, ticket, true, "a ticket")?;
    }
    // The time before which a ticket has expired, the maximum, the number of tickets that are
    // removed, and of those left.
    for (before, max, removed, left) in [
        (NOW.earlier(3), 10, 0, 6),
        (NOW, 0, 0, 6),
        (NOW, 2, 2, 4),
        (NOW, 2, 1, 3),
        (NOW, 2, 0, 3),
        (NOW.later(1), 10, 1, 2),
        (NOW.later(9), u32::MAX, 2, 0),
    ] {
        let what = format!("purged before {before:?}, with a maximum of {max}");
        equal(wait(store.purge_tickets(before, max))?, removed, format_args!("number of tickets {what}"))?;
        let mut kept = Vec::new();
        for Ticket { kind, digest, expires_at, .. } in &tickets {
            let found = find(&*store, *kind, digest, *expires_at)?;
            ensure(found.is_some() || *expires_at < before, format_args!("a ticket that was valid was {what}"))?;
            kept.extend(found);
        }
        equal(kept.len(), left, format_args!("number of tickets left when {what}"))?;
    }
    // Its digest may be used again.
    add(&*store, &link(0), true, "a ticket with the digest of one that was purged")
}

fn purged_once(open: Open<'_, dyn TokenStore>) -> Outcome {
    let store = open();
    for byte in 0..40 {
        add(&*store, &Ticket { expires_at: NOW.earlier(1), ..link(byte) }, true, "an expired ticket")?;
    }
    add(&*store, &link(99), true, "a ticket")?;
    let purged = race(|_| (0..4).map(|_| wait(store.purge_tickets(NOW, 3))).collect::<Outcome<Vec<_>>>())?;
    let purged: Vec<_> = purged.into_iter().flatten().collect();
    ensure(purged.iter().all(|removed| *removed <= 3), "a call purged more tickets than its maximum")?;
    let rest = wait(store.purge_tickets(NOW, 100))?;
    equal(purged.into_iter().sum::<u64>().saturating_add(rest), 40, "number of tickets that concurrent calls purged")?;
    equal(find(&*store, LINK, &secret(99), NOW)?, Some(content(link(99))), "a ticket that is valid")
}
