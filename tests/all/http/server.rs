//! A server in this process: run as by the program, with a test's configuration, handlers and time.

use crate::support::{Log, TestClock};
use keyward_runtime::Registry;
use keyward_runtime::clock::UnixTime;
use keyward_server::{Config, Listeners, Service};
use keyward_tests::http::{Connection, Request, Response};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// A running server on its own thread, stopped on drop.
pub(crate) struct Server {
    service: SocketAddr,
    admin: SocketAddr,
    handle: Handle,
    live: Service,
    log: Log,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server. `now` is the time of its calls, if the registry's runtime has the
    /// [`TestClock`].
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
                let admin = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let addresses = (service.local_addr().unwrap(), admin.local_addr().unwrap());
                let live = Service::new(config, registry);
                tell.send((addresses, live.clone(), Handle::current())).unwrap();
                let mut listeners = Listeners::new(service);
                listeners.admin = Some(admin);
                keyward_server::run(listeners, live, async {
                    // An error means that the test has finished, which stops the server as well.
                    let _ = stopped.await;
                })
                .await;
            });
        });
        let ((service, admin), live, handle) = told.recv().unwrap();
        Self { service, admin, handle, live, log, stop: Some(stop), thread: Some(thread) }
    }

    /// Returns the address for applications and proxies.
    pub(crate) fn address(&self) -> SocketAddr {
        self.service
    }

    /// Returns the address for operators.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Replaces configuration and handlers, as a reload does.
    pub(crate) fn replace(&self, config: Config, registry: Registry) {
        self.live.replace(config, registry);
    }

    /// Sets the time of subsequent calls.
    pub(crate) fn set_time(&self, now: Option<UnixTime>) {
        let (tell, told) = mpsc::channel();
        self.handle.spawn(async move {
            TestClock.set(now);
            tell.send(()).unwrap();
        });
        told.recv().unwrap();
    }

    /// Returns the log up to now.
    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    /// Sends a request over a new connection.
    pub(crate) fn ask(&self, request: &Request) -> Response {
        request.send(self.service)
    }

    /// Opens a connection.
    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.service).unwrap()
    }

    /// Stops the server, and waits until it has stopped.
    pub(crate) fn stop(mut self) {
        self.end();
    }

    /// Stops the server without waiting.
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
