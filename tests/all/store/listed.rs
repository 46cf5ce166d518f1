//! Lists of records, compared with a model; and counts of handlers, keys and nodes.

use super::*;
use crate::support::time;
use keyward_runtime::clock::UnixTime;
use keyward_runtime::store::{
    CreatedBy, Cursor as Mark, Filter, KeyUsage, ListEntry, ListPage, NodeDirectory, NodeStatus, RecordUpdate,
    RevocationLog, Status, StatusCount, TokenIndex,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use std::collections::BTreeMap;
use std::time::Duration;

/// Computes the page of these records according to the model.
fn page(all: &[ListEntry], filter: &Filter, after: Option<&Mark>, max: u32, at: UnixTime) -> Vec<ListEntry> {
    let Filter { handlers, actor_id, client, status, unused_since, never_ends, idle } = filter;
    let matches = |ListEntry { handler, record }: &ListEntry| {
        handlers.as_ref().is_none_or(|handlers| handlers.contains(handler))
            && actor_id.as_ref().is_none_or(|actor| *actor == record.actor_id)
            && match client {
                None => true,
                Some(CreatedBy::Operator) => record.client.is_none(),
                Some(CreatedBy::Client(client)) => record.client.as_ref() == Some(client),
            }
            && status.is_none_or(|status| status == record.status(at, idle_before(idle, handler)))
            && unused_since.is_none_or(|since| record.last_used_at.unwrap_or(record.issued_at) < since)
            && (!never_ends || record.expires_at.is_none())
    };
    let mut page: Vec<ListEntry> = all.iter().filter(|listed| matches(listed)).cloned().collect();
    page.sort_by_key(|listed| std::cmp::Reverse(listed.place()));
    page.retain(|listed| after.is_none_or(|after| listed.place() < *after));
    page.truncate(usize::try_from(max).unwrap());
    page
}

fn idle_before(idle: &[(String, UnixTime)], handler: &str) -> Option<UnixTime> {
    idle.iter().find(|(name, _)| name == handler).map(|(_, before)| *before)
}

fn tallies(all: &[ListEntry], idle: &[(String, UnixTime)], at: UnixTime) -> Vec<StatusCount> {
    let mut counts = BTreeMap::new();
    for ListEntry { handler, record } in all {
        *counts.entry((handler, record.status(at, idle_before(idle, handler)))).or_insert(0) += 1;
    }
    let tally = |((handler, status), tokens): ((&String, Status), u64)| StatusCount {
        handler: handler.clone(),
        status,
        tokens,
    };
    counts.into_iter().map(tally).collect()
}

fn key_uses(all: &[ListEntry], at: UnixTime) -> Vec<KeyUsage> {
    let keys: BTreeSet<_> = all.iter().filter_map(|listed| listed.record.key.clone()).collect();
    let key_use = |key: String| {
        let minted: Vec<&Record> =
            all.iter().map(|listed| &listed.record).filter(|record| record.key.as_ref() == Some(&key)).collect();
        let good: Vec<_> = minted.iter().filter(|record| record.status(at, None) == Status::Active).collect();
        KeyUsage {
            key,
            minted: minted.len() as u64,
            good: good.len() as u64,
            never_end: good.iter().filter(|record| record.expires_at.is_none()).count() as u64,
            newest_expiry: good.iter().filter_map(|record| record.expires_at).max(),
        }
    };
    keys.into_iter().map(key_use).collect()
}

/// Few distinct values, so that they coincide.
fn times() -> impl Strategy<Value = UnixTime> + Clone {
    (0..8_u64).prop_map(time)
}

const HANDLERS: [&str; 4] = ["", "h", "H", "h\u{e9}"];

fn named(names: &'static [&'static str]) -> impl Strategy<Value = String> + Clone {
    select(names).prop_map(str::to_owned)
}

fn records() -> impl Strategy<Value = Vec<ListEntry>> {
    let ended = (times(), select(&[TerminationReason::Revoked, TerminationReason::Replaced][..]))
        .prop_map(|(at, why)| Termination { at, why });
    let times = (times(), option::of(times()), option::of(times()));
    let names =
        (named(&["alice", "bob"]), option::of(named(&["c", "d"])), option::of(named(&["main/1", "main/2", "x/1"])));
    let one = (named(&HANDLERS[..3]), times, names, option::weighted(0.3, ended));
    vec(one, 0..40).prop_map(|all| {
        let listed = |(number, (handler, times, names, ended)): (usize, (String, _, _, _))| {
            let (issued_at, expires_at, last_used_at) = times;
            let (actor, client, key): (String, _, _) = names;
            // In an order that differs from that of the numbers.
            let id = (number * 7 % 64).to_string();
            let record = Record { issued_at, expires_at, last_used_at, ended, client, key, ..record(&id, &actor) };
            ListEntry { handler, record }
        };
        all.into_iter().enumerate().map(listed).collect()
    })
}

type Question = (Filter, Option<Mark>, u32, UnixTime);

fn questions() -> impl Strategy<Value = Vec<Question>> {
    let client = prop_oneof![Just(CreatedBy::Operator), named(&["c", "d", "e"]).prop_map(CreatedBy::Client)];
    let whose = (
        option::of(vec(named(&HANDLERS), 0..4)),
        option::weighted(0.3, named(&["alice", "bob", "carol", "alice\0"])),
        option::weighted(0.3, client),
    );
    let idle = vec((named(&HANDLERS), times()), 0..3);
    let which = (option::of(select(&Status::ALL[..])), option::weighted(0.3, times()), any::<bool>(), idle);
    let filter = (whose, which).prop_map(|((handlers, actor_id, client), (status, unused_since, never_ends, idle))| {
        Filter { handlers, actor_id, client, status, unused_since, never_ends, idle }
    });
    let mark = (times(), named(&HANDLERS), 0..64_u32);
    let mark = mark.prop_map(|(issued_at, handler, id)| Mark { issued_at, handler, id: id.to_string() });
    vec((filter, option::of(mark), 0..6_u32, times()), 60)
}

#[test]
fn every_list_and_every_count_agrees_with_the_model() {
    for place in Place::both() {
        let store = place.open();
        let config = ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() };
        let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
        let ran = runner.run(&(records(), questions()), |(all, questions)| {
            place.run("DELETE FROM tokens WHERE issued_at > 0 OR id <> ''");
            for ListEntry { handler, record } in &all {
                commit(&store, handler, insert(record.clone(), None));
            }
            for (filter, after, max, at) in &questions {
                let found = wait(store.list(filter, after.as_ref(), *max, *at)).entries;
                prop_assert_eq!(&found, &page(&all, filter, after.as_ref(), *max, *at), "{:?}", filter);
                prop_assert_eq!(wait(store.tally(&filter.idle, *at)), tallies(&all, &filter.idle, *at));
                prop_assert_eq!(wait(store.key_uses(*at)), key_uses(&all, *at));
                prop_assert_eq!(
                    wait(store.list(filter, after.as_ref(), *max, *at)).entries,
                    found,
                    "looking changes nothing"
                );
            }
            Ok(())
        });
        ran.unwrap();
    }
}

#[test]
fn the_sentinel_record_is_not_listed() {
    for place in Place::both() {
        let store = place.open();
        let of_the_nameless = Filter { handlers: Some(vec![String::new()]), ..Filter::default() };
        let of_nobody = Filter { actor_id: Some("nobody@example.com".to_owned()), ..Filter::default() };
        for filter in [Filter::default(), of_the_nameless, of_nobody] {
            assert_eq!(wait(store.list(&filter, None, 10, time(NOW))), ListPage::default());
        }
        assert_eq!(wait(store.tally(&[], time(NOW))), []);
        assert_eq!(wait(store.key_uses(time(NOW))), []);
    }
}

/// A listing is stable however long it takes, and whatever records are added and revoked.
#[test]
fn paging_lists_each_lasting_record_once() {
    const THERE: u64 = 90;
    for place in Place::both() {
        let (here, there) = (place.open(), place.open());
        let handler = |number: u64| ["g", "h", "i"][usize::try_from(number % 3).unwrap()];
        let name = |number: u64| format!("there {number:02}");
        for number in 0..THERE {
            // Ten records in each second.
            let issued_at = NOW + number / 10;
            let client = Some("c".to_owned());
            let record = Record { issued_at: time(issued_at), client, ..record(&name(number), "alice") };
            commit(&here, handler(number), insert(record, None));
        }
        let texts = |texts: &[&str]| Some(texts.iter().map(|&text| text.to_owned()).collect());
        let (all, of_two) = (Filter::default(), Filter { handlers: texts(&["i", "g"]), ..Filter::default() });
        let of_alice = Filter { actor_id: Some("alice".to_owned()), ..Filter::default() };
        let of_client = Filter { client: Some(CreatedBy::Client("c".to_owned())), ..of_two.clone() };
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0.. {
                    if done.load(Ordering::Acquire) {
                        break;
                    }
                    let changed = number * 7 % THERE;
                    let terms = find(&there, handler(changed), &name(changed)).unwrap().terms();
                    let mut after = terms.clone();
                    after.description = Some(number.to_string());
                    let edit = RecordUpdate { id: name(changed), before: terms, after, replaced: false };
                    // Before, between and after the existing records.
                    let added =
                        Record { issued_at: time(NOW + number % 20), ..record(&format!("new {number}"), "alice") };
                    let changes = Transaction { edit: Some(edit), ..insert(added, None) };
                    assert_eq!(commit(&there, handler(changed), changes), CommitOutcome::Done);
                }
            });
            let writing = Writing(&done);
            for (filter, wanted) in [(&all, THERE), (&of_two, 60), (&of_alice, THERE), (&of_client, 60)].repeat(3) {
                let mut seen: Vec<ListEntry> = vec![];
                loop {
                    let after = seen.last().map(ListEntry::place);
                    let more = wait(here.list(filter, after.as_ref(), 7, time(NOW))).entries;
                    if more.is_empty() {
                        break;
                    }
                    seen.extend(more);
                    assert!(seen.is_sorted_by(|one, two| one.place() > two.place()), "{filter:?}");
                }
                let there = seen.iter().filter(|listed| listed.record.id.starts_with("there")).count();
                assert_eq!(there as u64, wanted, "{filter:?}");
            }
            drop(writing);
        });
        assert!(
            wait(here.list(&all, None, 1_000, time(NOW))).entries.len() as u64 > THERE,
            "no record was added during the listing"
        );
    }
}

/// A page that few records match ends after some thousand others, and the list continues there.
#[test]
fn a_page_compares_a_bounded_number_of_records() {
    const ALL: u64 = 25_000;
    for place in Place::both() {
        let store = place.open();
        let row = |number: u64| {
            let (at, handler) = (NOW + number, if number.is_multiple_of(5) { "h" } else { "g" });
            let ended = if number == 1 { format!("{at}, 'replaced'") } else { "NULL, NULL".to_owned() };
            format!("('{handler}', '{number}', 'alice', {at}, {ended}, 'c')")
        };
        let rows = (1..=ALL).map(row).collect::<Vec<_>>().join(", ");
        place.run(&format!(
            "INSERT INTO tokens (handler, id, actor_id, issued_at, ended_at, ended_why, caller) VALUES {rows}"
        ));
        let texts = |texts: &[&str]| Some(texts.iter().map(|&text| text.to_owned()).collect());
        let replaced = Filter { status: Some(Status::Replaced), ..Filter::default() };
        let client = Some(CreatedBy::Client("c".to_owned()));
        for filter in [
            replaced.clone(),
            Filter { handlers: texts(&["g"]), ..replaced.clone() },
            Filter { handlers: texts(&["h", "g"]), ..replaced.clone() },
            Filter { handlers: texts(&["h", "g"]), client, ..replaced.clone() },
            Filter { actor_id: Some("alice".to_owned()), ..replaced },
        ] {
            let (mut after, mut found, mut pages) = (None, vec![], 0);
            loop {
                let ListPage { entries, stopped_at } = wait(store.list(&filter, after.as_ref(), 9, time(NOW)));
                assert!(stopped_at.is_none() || stopped_at < after || after.is_none(), "{filter:?}");
                pages += 1;
                found.extend(entries.into_iter().map(|listed| listed.record.id));
                match stopped_at {
                    None => break,
                    stopped_at => after = stopped_at,
                }
            }
            assert_eq!(found, ["1"], "{filter:?}");
            assert!((2..=10).contains(&pages), "{filter:?}: {pages}");
        }
        // A page whose records all match ends with the last of them.
        let page = wait(store.list(&Filter::default(), None, u32::MAX, time(NOW)));
        assert_eq!((page.entries.len() as u64, page.stopped_at), (ALL, None));
    }
}

#[test]
fn values_that_cannot_be_stored_match_nothing() {
    for place in Place::both() {
        let store = place.open();
        commit(&store, "h", insert(record("a", "alice"), None));
        let count = |filter: &Filter| wait(store.list(filter, None, u32::MAX, time(NOW))).entries.len();
        let odd = || "h\0".to_owned();
        for (filter, wanted) in [
            (Filter::default(), 1),
            (Filter { handlers: Some(vec![]), ..Filter::default() }, 0),
            (Filter { handlers: Some(vec![odd(), "h".to_owned()]), ..Filter::default() }, 1),
            (Filter { handlers: Some(vec!["h".to_owned(), "h".to_owned()]), ..Filter::default() }, 1),
            (Filter { client: Some(CreatedBy::Client(odd())), ..Filter::default() }, 0),
            (Filter { unused_since: Some(time(u64::MAX)), ..Filter::default() }, 1),
            (Filter { idle: vec![(odd(), time(1))], ..Filter::default() }, 1),
            (
                Filter {
                    idle: vec![("h".to_owned(), time(u64::MAX))],
                    status: Some(Status::Expired),
                    ..Filter::default()
                },
                1,
            ),
        ] {
            assert_eq!(count(&filter), wanted, "{filter:?}");
        }
        let mark = |issued_at, handler: &str| Mark { issued_at, handler: handler.to_owned(), id: "b".to_owned() };
        assert_eq!(
            wait(store.list(&Filter::default(), Some(&mark(time(u64::MAX), "")), 9, time(NOW))).entries.len(),
            1
        );
        store.list(&Filter::default(), Some(&mark(time(1), "\0")), 9, time(NOW)).block_on().unwrap_err();
        store.list(&Filter::default(), None, 9, time(u64::MAX)).block_on().unwrap_err();
        place.run("UPDATE tokens SET restrictions = 'x' WHERE id = 'a'");
        let error = failure(store.list(&Filter::default(), None, 9, time(NOW)), Duration::from_secs(2)).to_string();
        assert!(error.contains("record `a` of handler `h`: restrictions in the database cannot be read"), "{error}");
    }
}

#[test]
fn a_node_reports_how_far_it_has_read() {
    for place in Place::both() {
        let store = place.open();
        assert_eq!(wait(store.nodes()), []);
        for number in 0..5 {
            wait(store.revoke(&revocation("h", &number.to_string()), time(NOW)));
        }
        let all = wait(store.entries(0, 10));
        race(8, |thread| wait(store.note_node(&format!("n{}", thread % 2), 0, time(NOW))));
        wait(store.note_node("n0", all[4].0, time(NOW + 1)));
        wait(store.note_node("n1", all[2].0, time(NOW + 2)));
        wait(store.note_node("N", 0, time(NOW + 3)));
        let seen = |node: &str, last, behind, at| NodeStatus { node: node.to_owned(), last, behind, at };
        let wanted = [
            seen("N", 0, 5, time(NOW + 3)),
            seen("n0", all[4].0, 0, time(NOW + 1)),
            seen("n1", all[2].0, 2, time(NOW + 2)),
        ];
        assert_eq!(wait(store.nodes()), wanted);
        // The node has restarted. A node that has been silent for a month is removed.
        wait(store.note_node("n1", all[0].0, time(NOW + 30 * 86_400 + 2)));
        let wanted = [wanted[0].clone(), seen("n1", all[0].0, 4, time(NOW + 30 * 86_400 + 2))];
        assert_eq!(wait(place.open().nodes()), wanted);
        for (node, last, at) in [("\0", 0, NOW), ("n", u64::MAX, NOW), ("n", 0, u64::MAX)] {
            store.note_node(node, last, time(at)).block_on().unwrap_err();
        }
    }
}
