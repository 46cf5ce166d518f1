//! Reloads under load: each response must be complete, and from the configuration that was in
//! place.

use crate::http::Done;
use crate::http::server::{CALLER, PATH, TOKEN};
use crate::setup::signed;
use keyward_runtime::keys::Scheme;
use keyward_runtime::{Actors, HandlerConfig, Registry, Runtime};
use keyward_server::{Client, Config, Handlers, Listeners, Policy, Realm, Right, SecretDigest, Service};
use keyward_tests::http::{Connection, Request, Response};
use keyward_tests::{daemon::wait_for, hostile};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// Connections that send requests without a pause.
const CLIENTS: usize = 4;

/// Minimum number of responses between two reloads.
const ANSWERS: u64 = 40;

/// Installs a configuration and a registry `count` times. Each has its number as the realm and as
/// its handler's name, so that a response shows which of them produced it.
pub(crate) fn reloads(count: u64) {
    let runtime = Runtime::builder().dangerous_compile_in_process().build().unwrap();
    let number = AtomicU64::new(0);
    let answers = AtomicU64::new(0);
    let done = AtomicBool::new(false);

    let (config, registry) = numbered(&runtime, 0);
    let service = Service::new(config, registry);
    let executor = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let listener = executor.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let to = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = executor
        .spawn(keyward_server::run(Listeners::new(listener), service.clone(), async move { drop(stopped.await) }));

    thread::scope(|scope| {
        let _done = Done(&done);
        // A call in flight completes on the registry that it started with.
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
                    let min = number.load(Ordering::SeqCst);
                    let answer = connection.ask(request).unwrap();
                    // The counter is incremented a moment after the reload.
                    let max = number.load(Ordering::SeqCst) + 1;
                    let number = made_by(&answer);
                    assert!(number.is_some_and(|number| (min..=max).contains(&number)), "{min} to {max}: {answer:?}");
                    answers.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for next in 1..=count {
            let before = answers.load(Ordering::SeqCst);
            let (config, registry) = numbered(&runtime, next);
            service.replace(config, registry);
            number.store(next, Ordering::SeqCst);
            wait_for("responses", || answers.load(Ordering::SeqCst) >= before + ANSWERS);
        }
    });
    let _ = stop.send(());
    executor.block_on(server).unwrap();
    println!("{count} reloads, {} responses to {CLIENTS} connections: 0 failed, 0 wrong", answers.into_inner());
}

/// Returns a matching pair of a configuration and a registry: the configuration allows only the
/// handler of the registry.
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
    let client = Client { handlers: handlers.clone(), ..Client::new(secret, [Right::Introspect]) };
    config.clients.insert("bench".to_owned(), client);
    config.policies.insert("members".to_owned(), Policy { handlers, ..Policy::default() });
    (config, registry)
}

/// Returns the number of the configuration that produced a response, if the response is correct.
type CreatedBy = fn(&Response) -> Option<u64>;

fn questions() -> [(Request, CreatedBy); 3] {
    let good: CreatedBy = |answer| number(answer.header("x-auth-handler").filter(|_| answer.status == 200)?);
    let bad: CreatedBy = |answer| {
        let challenge = answer.header("www-authenticate").filter(|_| answer.status == 401)?;
        let (realm, error) = challenge.strip_prefix("Bearer realm=\"")?.split_once('"')?;
        number(realm).filter(|_| error.starts_with(", error=\"invalid_token\""))
    };
    let active: CreatedBy = |answer| {
        let answer = (answer.status == 200).then(|| answer.json())?;
        number(answer.get("handler").filter(|_| answer.get("active") == Some(&true.into()))?.as_str()?)
    };
    // The MAC is at the end; `~` is not in its alphabet.
    let tampered = format!("{}~", *TOKEN);
    let introspect = Request::form("/v1/introspect", format!("token={}", *TOKEN)).bearer(CALLER);
    [(Request::get(PATH).bearer(&*TOKEN), good), (Request::get(PATH).bearer(tampered), bad), (introspect, active)]
}

fn number(name: &str) -> Option<u64> {
    name.strip_prefix('n')?.parse().ok()
}
