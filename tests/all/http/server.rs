//! A server in this process: as the program runs it, with the configuration, the handlers and the time that a test gives.

use crate::support::{Log, TestClock};
use keyward_runtime::{Registry, UnixTime};
use keyward_server::{Config, Listeners, Service};
use keyward_tests::http::{Connection, Request, Response};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// A running server, on a thread of its own. It is stopped when this is dropped.
pub(crate) struct Server {
    service: SocketAddr,
    operations: SocketAddr,
    handle: Handle,
    live: Service,
    log: Log,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts one. `now` is what its calls take for the time, where the registry's runtime has the [`TestClock`].
    pub(crate) fn start(config: Config, registry: Registry, now: Option<UnixTime>) -> Self {
        let (tell, told) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let log = Log::default();
        let writer = log.clone();
        let thread = thread::spawn(move || {
            let _log = writer.take_this_thread();
            TestClock.set(now);
            let executor = Builder::new_current_thread().enable_all().build().unwrap();
            executor.block_on(async {
                let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let operations = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let addresses = (service.local_addr().unwrap(), operations.local_addr().unwrap());
                let live = Service::new(config, registry);
                tell.send((addresses, live.clone(), Handle::current())).unwrap();
                let listeners = Listeners { service, operations: Some(operations) };
                keyward_server::run(listeners, live, async {
                    // An error is that the test has gone: an end as well.
                    let _ = stopped.await;
                })
                .await;
            });
        });
        let ((service, operations), live, handle) = told.recv().unwrap();
        Self { service, operations, handle, live, log, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it answers applications and proxies.
    pub(crate) fn address(&self) -> SocketAddr {
        self.service
    }

    /// Where it answers operators.
    pub(crate) fn operations(&self) -> SocketAddr {
        self.operations
    }

    /// Puts another configuration and other handlers in place, as a reload does.
    pub(crate) fn replace(&self, config: Config, registry: Registry) {
        self.live.replace(config, registry);
    }

    /// Sets the time of calls to come.
    pub(crate) fn set_time(&self, now: Option<UnixTime>) {
        let (tell, told) = mpsc::channel();
        self.handle.spawn(async move {
            TestClock.set(now);
            tell.send(()).unwrap();
        });
        told.recv().unwrap();
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    /// A request over a connection of its own.
    pub(crate) fn ask(&self, request: &Request) -> Response {
        request.send(self.service)
    }

    /// A connection.
    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.service).unwrap()
    }

    /// Tells it to end, and waits until it has.
    pub(crate) fn stop(mut self) {
        self.end();
    }

    /// Tells it to end, and does not wait.
    pub(crate) fn begin_stop(&mut self) {
        drop(self.stop.take());
    }

    fn end(&mut self) {
        self.begin_stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !thread::panicking()
        {
            panic!("the server panicked");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
        if thread::panicking() {
            eprintln!("--- the server's log:\n{}", self.log());
        }
    }
}
