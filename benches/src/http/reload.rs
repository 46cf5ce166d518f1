//! Reloads while requests are answered: each answer must be whole, and of the configuration that was in place.

use crate::http::Done;
use crate::http::server::{CALLER, PATH, TOKEN};
use crate::setup::signed;
use keyward_runtime::{Actors, HandlerConfig, Registry, Runtime, Scheme};
use keyward_server::{Caller, Config, Handlers, Listeners, Policy, Realm, SecretDigest, Service};
use keyward_tests::http::{Connection, Request, Response};
use keyward_tests::{daemon::wait_for, hostile};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// Connections that ask without a pause.
const CLIENTS: usize = 4;

/// How many answers there are at least between two reloads.
const ANSWERS: u64 = 40;

/// Puts a configuration and a registry in place so many times. Each has its number as the realm and as its handler's name,
/// so that an answer tells by which of them it was made.
pub(crate) fn reloads(count: u64) {
    let runtime = Runtime::new().unwrap();
    let number = AtomicU64::new(0);
    let answers = AtomicU64::new(0);
    let done = AtomicBool::new(false);

    let (config, registry) = numbered(&runtime, 0);
    let service = Service::new(config, registry);
    let executor = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let listener = executor.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let to = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = executor.spawn(keyward_server::run(
        Listeners { service: listener, operations: None },
        service.clone(),
        async move { drop(stopped.await) },
    ));

    thread::scope(|scope| {
        let _done = Done(&done);
        // A call that is under way is ended by the registry that it began with.
        scope.spawn(|| {
            let mut connection = Connection::open(to).unwrap();
            while !done.load(Ordering::SeqCst) {
                let answer = connection.ask(&Request::get(PATH).bearer("ho_x")).unwrap();
                assert_eq!(answer.status, 503, "{answer:?}");
            }
        });
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut connection = Connection::open(to).unwrap();
                for (request, made_by) in questions().iter().cycle() {
                    if done.load(Ordering::SeqCst) {
                        break;
                    }
                    let least = number.load(Ordering::SeqCst);
                    let answer = connection.ask(request).unwrap();
                    // A reload counts a moment after it has happened.
                    let most = number.load(Ordering::SeqCst) + 1;
                    let number = made_by(&answer);
                    assert!(
                        number.is_some_and(|number| (least..=most).contains(&number)),
                        "{least} to {most}: {answer:?}"
                    );
                    answers.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for next in 1..=count {
            let before = answers.load(Ordering::SeqCst);
            let (config, registry) = numbered(&runtime, next);
            service.replace(config, registry);
            number.store(next, Ordering::SeqCst);
            wait_for("requests to be answered", || answers.load(Ordering::SeqCst) >= before + ANSWERS);
        }
    });
    let _ = stop.send(());
    executor.block_on(server).unwrap();
    println!("{count} reloads, {} answers to {CLIENTS} connections: 0 failed, 0 wrong", answers.into_inner());
}

/// A configuration and a registry that belong together: the one takes tokens only of the handler that the other has.
fn numbered(runtime: &Runtime, number: u64) -> (Config, Registry) {
    let name = format!("n{number}");
    let mut handler = signed(Scheme::HmacSha256);
    handler.name.clone_from(&name);
    let mut looping = HandlerConfig::new("looping", hostile::case("loop-verify").bytes, Actors::Any);
    looping.prefixes = vec!["ho_".into()];
    let registry = Registry::builder(runtime).handler(handler).handler(looping).build().unwrap();

    let mut config = Config::default();
    config.realm = Realm::new(&name).unwrap();
    let handlers = Handlers::Only([name, "looping".to_owned()].into());
    let secret = SecretDigest::of(CALLER);
    let caller = Caller { introspect: true, handlers: handlers.clone(), ..Caller::new(secret) };
    config.callers.insert("bench".to_owned(), caller);
    config.policies.insert("members".to_owned(), Policy { handlers, ..Policy::default() });
    (config, registry)
}

/// The number of what made an answer, if it is the right one.
type MadeBy = fn(&Response) -> Option<u64>;

fn questions() -> [(Request, MadeBy); 3] {
    let good: MadeBy = |answer| number(answer.header("x-auth-handler").filter(|_| answer.status == 200)?);
    let bad: MadeBy = |answer| {
        let challenge = answer.header("www-authenticate").filter(|_| answer.status == 401)?;
        let (realm, error) = challenge.strip_prefix("Bearer realm=\"")?.split_once('"')?;
        number(realm).filter(|_| error.starts_with(", error=\"invalid_token\""))
    };
    let active: MadeBy = |answer| {
        let answer = (answer.status == 200).then(|| answer.json())?;
        number(answer.get("handler").filter(|_| answer.get("active") == Some(&true.into()))?.as_str()?)
    };
    // Its MAC stands at the end; `~` is no character of it.
    let tampered = format!("{}~", *TOKEN);
    let introspect = Request::form("/v1/introspect", format!("token={}", *TOKEN)).bearer(CALLER);
    [(Request::get(PATH).bearer(&*TOKEN), good), (Request::get(PATH).bearer(tampered), bad), (introspect, active)]
}

fn number(name: &str) -> Option<u64> {
    name.strip_prefix('n')?.parse().ok()
}
