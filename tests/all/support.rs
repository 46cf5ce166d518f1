//! Helpers shared by several tests.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use keyward_guest_signed::itsdangerous;
use keyward_runtime::clock::{Clock, MonotonicClock, SystemClock, UnixTime};
use keyward_runtime::{Limits, Runtime, RuntimeLimits};
use sha1::{Digest, Sha1};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use tracing::subscriber::DefaultGuard;

/// The handlers that ship, as the program embeds them.
pub(crate) const SIGNED: &[u8] = keyward_handlers::SIGNED.component();
pub(crate) const HARDCODED: &[u8] = keyward_handlers::HARDCODED.component();

/// Returns a time in whole seconds.
pub(crate) const fn time(seconds: u64) -> UnixTime {
    UnixTime::from_seconds(seconds)
}

/// A clock that each test sets for its own thread. Calls read it on the calling thread.
#[derive(Clone, Default)]
pub(crate) struct TestClock;

thread_local! {
    static NOW: Cell<Option<UnixTime>> = const { Cell::new(None) };
}

impl TestClock {
    pub(crate) fn set(&self, now: Option<UnixTime>) {
        NOW.set(now);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Option<UnixTime> {
        NOW.get()
    }
}

/// Returns a runtime that compiles components in this process, which is faster than a worker.
pub(crate) fn runtime(limits: RuntimeLimits, clock: impl Clock + 'static) -> Runtime {
    Runtime::builder().limits(limits).clock(clock).dangerous_compile_in_process().build().unwrap()
}

/// Returns a runtime with the default limits and the system's clock.
pub(crate) fn runtime_now() -> Runtime {
    runtime(RuntimeLimits::default(), MonotonicClock::new(SystemClock))
}

/// A runtime with the [`TestClock`], for tests that do not exhaust it. Compiled components are
/// shared.
pub(crate) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| runtime(RuntimeLimits::default(), TestClock));

/// Raises a handler's time limits, because the machine and its disk may be busy.
pub(crate) fn unhurried(limits: &mut Limits) {
    const FOREVER: Duration = Duration::from_secs(600);
    (limits.wall, limits.cpu) = (FOREVER, FOREVER);
}

/// Returns a token with this payload, as Datasette creates it.
pub(crate) fn dstok(payload: &serde_json::Value, secret: &str) -> String {
    let mut value = String::new();
    itsdangerous::push_value(&mut value, &payload.to_string());
    resign(&format!("dstok_{value}."), secret)
}

/// Returns the token with the signature that Datasette would compute.
pub(crate) fn resign(token: &str, secret: &str) -> String {
    let Some((value, _)) = token.strip_prefix("dstok_").and_then(|signed| signed.rsplit_once('.')) else {
        return token.to_owned();
    };
    let key = Sha1::new().chain_update("token").chain_update("signer").chain_update(secret).finalize();
    let mac = Hmac::<Sha1>::new_from_slice(&key).unwrap().chain_update(value).finalize().into_bytes();
    let mut signed = format!("dstok_{value}");
    itsdangerous::push_signature(&mut signed, &mac);
    signed
}

/// Returns the encodings of a text: unchanged; in hexadecimal; in base64 of both alphabets, at any
/// offset within a group of three bytes; percent-encoded, as forms do it and byte by byte.
pub(crate) fn forms(text: &str) -> BTreeSet<String> {
    let bytes = text.as_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let percent: String = bytes.iter().map(|byte| format!("%{byte:02X}")).collect();
    let form: String = bytes
        .iter()
        .map(|byte| match byte {
            byte if byte.is_ascii_alphanumeric() || b"*-._".contains(byte) => char::from(*byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect();
    let mut forms = BTreeSet::from([text.to_owned(), hex.to_uppercase(), hex, percent.to_lowercase(), percent, form]);
    for before in 0..3 {
        let shifted = [&b"\0\0"[..before], bytes].concat();
        // Drops the characters that also depend on neighboring bytes: those at the start, and the
        // last group unless it is full.
        let whole = shifted.len() / 3 * 3;
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let encoded = engine.encode(&shifted[..whole]);
            forms.insert(encoded[if before == 0 { 0 } else { 4 }..].to_owned());
        }
    }
    forms
}

/// Returns the log lines of this thread while `work` runs.
pub(crate) fn captured_log(work: impl FnOnce()) -> String {
    let log = Log::default();
    let taken = log.clone().take_this_thread();
    work();
    drop(taken);
    log.text()
}

/// A log capture for selected threads.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Captures the log of this thread until the guard is dropped.
    pub(crate) fn take_this_thread(self) -> DefaultGuard {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
            .with_ansi(false)
            .with_writer(move || self.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    /// Returns the captured text up to now.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
