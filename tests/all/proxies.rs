//! Real proxies in front of an application, each configured by its file in `examples/` and driven
//! through the same cases, and real clients of introspection. The results are in `docs/proxies.md`.

mod application;
mod applications;
mod browser;
mod cases;
mod clients;
mod cookies;
mod keyward;
mod load;
mod page;
mod proxy;
mod services;
mod upgrades;

use application::Application;
use keyward::Keyward;
use keyward_tests::peers;
use page::Table;
use proxy::{Asks, Kind, Proxy};
use std::sync::Mutex;
use std::thread;

/// Table rows after the cases: a request with trailers, and those for which Keyward itself is
/// changed.
const TRAILERS: &str = "public path, with an identity header as a trailer";
const RELOADS: &str = "reloads under load";
const UNKNOWN_POLICY: &str = "valid, but the policy was removed";
const HANGS: &str = "valid, but Keyward hangs";
const DOWN: &str = "valid, but Keyward is down";
/// The cell of a row that does not apply.
const NONE: &str = "–";

/// The cases that are sent while configurations are reloaded.
const MIX: [&str; 4] = ["valid token", "tampered", "sufficient for the policy", "insufficient for the policy"];

/// Number of proxies tested at once: each uses up to one core, and some mostly wait.
const AT_ONCE: usize = 3;

#[test]
fn proxies_admit_exactly_the_permitted_requests() {
    let installed: Vec<_> = proxy::ALL.into_iter().filter(|kind| kind.is_installed()).collect();
    for kind in proxy::ALL.iter().filter(|kind| !installed.contains(kind)) {
        peers::skip(kind.name, "it is not installed");
    }
    let cases = cases::ALL.iter().chain(upgrades::ALL);
    let rows = cases.map(|case| case.name).chain([TRAILERS, RELOADS, UNKNOWN_POLICY, HANGS, DOWN]);
    let table = Mutex::new(Table::new(rows, proxy::ALL.map(|kind| kind.name)));
    let wrong = Mutex::new(Vec::new());
    each(installed, |kind| {
        drive(kind, |row, seen| match seen {
            Ok(cell) => table.lock().unwrap().set(row, kind.name, cell),
            Err(error) => wrong.lock().unwrap().push(format!("{row}: {error}")),
        });
    });
    let mut wrong = wrong.into_inner().unwrap();
    wrong.extend(table.into_inner().unwrap().compare("cases").err());
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn applications_see_only_what_keyward_authorized() {
    let applications = applications::start_all();
    let installed = proxy::ALL.into_iter().filter(|kind| kind.is_installed());
    let pairs = installed.flat_map(|kind| applications.iter().map(move |application| (kind, application)));
    let pairs: Vec<_> = pairs.filter(|(kind, application)| application.is_for(*kind)).collect();
    let wrong = Mutex::new(Vec::new());
    each(pairs, |(kind, application)| wrong.lock().unwrap().extend(applications::check(kind, application)));
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Calls `work` with each item, several at once.
fn each<T: Send>(items: Vec<T>, work: impl Fn(T) + Sync) {
    let items = Mutex::new(items.into_iter());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = items.lock().unwrap().next();
                    let Some(item) = next else { return };
                    work(item);
                }
            });
        }
    });
}

/// Runs one proxy from start to stop, with its own Keyward.
fn drive(kind: Kind, mut saw: impl FnMut(&'static str, Result<String, String>)) {
    let application = Application::start();
    let keyward = Keyward::start(kind.name, kind.asks == Asks::Introspection { tls: true });
    let proxy = Proxy::start(kind, &keyward, application.address());
    let check = |case: &cases::Case| cases::check(case, kind, &proxy, &application);

    let mut mix = Vec::new();
    for case in cases::ALL {
        let seen = check(case);
        if let Ok(cell) = &seen
            && MIX.contains(&case.name)
        {
            mix.push((case, cell.trim_end_matches('*').parse().unwrap()));
        }
        saw(case.name, seen);
    }
    for case in upgrades::ALL {
        saw(case.name, upgrades::check(case, kind, &proxy, &application));
    }
    saw(TRAILERS, cases::check_trailers(kind, &proxy, &application));
    saw(RELOADS, load::reload(&keyward, &proxy, &mix).map(|()| "all correct".to_owned()));

    // From here on Keyward cannot accept, so every request must be refused.
    let refused = |case: &cases::Case| check(&cases::Case { wanted: cases::Wanted::Refused, ..*case });
    let good = cases::GOOD;
    keyward.hang();
    saw(HANGS, if kind.gives_up { refused(good) } else { Ok(NONE.to_owned()) });
    keyward.go_on();
    let enough = cases::ALL.iter().find(|case| case.name == "sufficient for the policy").unwrap();
    if kind.asks == Asks::Policy {
        keyward.forget_orders();
        saw(UNKNOWN_POLICY, refused(enough));
    } else {
        saw(UNKNOWN_POLICY, Ok(NONE.to_owned()));
    }
    keyward.stop();
    saw(DOWN, refused(good));
}
