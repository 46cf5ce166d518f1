//! Slices of calls: the time that a call runs until it gives its thread back.
//!
//! Guests check their slice at every tick of the engine, host functions after some work. Both use
//! the thread's [`Slice`].

use crate::engine::TICK;
use crate::error::ErrorKind;
use rustix::time::{ClockId, clock_gettime};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
#[cfg(feature = "testing")]
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use wasmtime::UpdateDeadline;

/// Maximum CPU time after its first tick that a call may use on its caller's thread. Time spent
/// waiting for a processor does not count.
pub(crate) const SLICE: Duration = Duration::from_micros(600);

/// Polls a call for one slice: until it completes or yields. `is_measured` measures its CPU time
/// from the start, which costs a system call.
pub(crate) fn run<T>(
    call: Pin<&mut impl Future<Output = Result<T, ErrorKind>>>,
    cx: &mut Context<'_>,
    is_measured: bool,
) -> Poll<Result<T, ErrorKind>> {
    begin(is_measured);
    catch_unwind(AssertUnwindSafe(|| call.poll(cx))).unwrap_or_else(|_| Poll::Ready(Err(panicked())))
}

/// Runs a direct call for one slice: until it completes or overruns.
pub(crate) fn run_direct<T>(call: impl FnOnce() -> Result<T, ErrorKind>, is_measured: bool) -> Result<T, ErrorKind> {
    begin(is_measured);
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err(panicked()))
}

fn begin(is_measured: bool) {
    let since = is_measured.then(thread_cpu);
    CURRENT.set(Slice { since, charged: Duration::ZERO, has_ticked: false, has_yielded: false, ..CURRENT.get() });
}

fn panicked() -> ErrorKind {
    ErrorKind::Runtime("panicked in the host's code".into())
}

/// The state of the slice that a thread runs.
#[derive(Clone, Copy, Default)]
pub(crate) struct Slice {
    /// `true` on the threads of lanes.
    on_lane: bool,
    /// The thread's CPU time at the first check of the slice; `None` before it.
    pub(crate) since: Option<Duration>,
    /// CPU time that other threads used for this slice.
    pub(crate) charged: Duration,
    /// `true` if a tick made the first check. The slice had then already run for up to one tick.
    has_ticked: bool,
    /// `true` once the slice has yielded. A call that is pending without it waits for something.
    pub(crate) has_yielded: bool,
}

impl Slice {
    /// Returns the measured CPU time of the slice; zero before the first check.
    pub(crate) fn used(self) -> Duration {
        let Some(since) = self.since else { return Duration::ZERO };
        // A guest that runs through several ticks also computed before the first one; a quick call
        // that meets one tick did not.
        let before = if self.has_ticked && self.has_yielded { TICK } else { Duration::ZERO };
        thread_cpu().saturating_sub(since).saturating_add(before)
    }
}

thread_local! {
    static CURRENT: Cell<Slice> = const {
        Cell::new(Slice { on_lane: false, since: None, charged: Duration::ZERO, has_ticked: false, has_yielded: false })
    };
}

/// Returns the slice that this thread ran last.
pub(crate) fn last() -> Slice {
    CURRENT.get()
}

/// Marks this thread as a lane's, which calls share: slices end at each tick.
pub(crate) fn on_lane() {
    CURRENT.set(Slice { on_lane: true, ..Slice::default() });
}

/// Decides at a tick whether the guest yields: on a lane always, on its caller's thread once it has
/// used up [`SLICE`]. The first check only records the CPU time; ticks that pass while the thread
/// is preempted do not count.
pub(crate) fn on_tick() -> UpdateDeadline {
    let state = CURRENT.get();
    if state.since.is_none() {
        CURRENT.set(Slice { since: Some(thread_cpu()), has_ticked: true, ..state });
        return UpdateDeadline::Continue(1);
    }
    if !state.on_lane && state.used() < SLICE {
        return UpdateDeadline::Continue(1);
    }
    CURRENT.set(Slice { has_yielded: true, ..state });
    UpdateDeadline::Yield(1)
}

/// The end of a direct call that has used up its slice. The call runs again on a fiber.
#[derive(Debug, thiserror::Error)]
#[error("the slice is over")]
pub(crate) struct Overrun;

/// Decides at a tick whether a direct call goes on: like [`on_tick`], but it cannot yield.
pub(crate) fn on_direct_tick() -> wasmtime::Result<UpdateDeadline> {
    match on_tick() {
        UpdateDeadline::Yield(_) => Err(overrun()),
        next => Ok(next),
    }
}

/// Ends a direct call, which [`last`] then reports as one that has yielded.
pub(crate) fn overrun() -> wasmtime::Error {
    CURRENT.set(Slice { has_yielded: true, ..CURRENT.get() });
    Overrun.into()
}

/// Returns whether a direct call must run again on a fiber.
pub(crate) fn is_overrun<T>(result: &wasmtime::Result<T>) -> bool {
    result.as_ref().is_err_and(|error| error.is::<Overrun>())
}

/// Checks the slice from a host function, where no tick does, and returns whether it is over.
pub(crate) fn is_over() -> bool {
    let state = CURRENT.get();
    match state.since {
        None => {
            CURRENT.set(Slice { since: Some(thread_cpu()), ..state });
            false
        }
        Some(_) => state.used() >= SLICE,
    }
}

/// Charges the slice for CPU time that another thread uses for it, which decides where the
/// handler's next calls run. It does not count towards the call's CPU limit.
pub(crate) fn charge(cpu: Duration) {
    let state = CURRENT.get();
    CURRENT.set(Slice { charged: state.charged.saturating_add(cpu), ..state });
}

/// Yields from an asynchronous host function: the call continues when it is polled again.
pub(crate) async fn give_way() {
    let mut has_yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        CURRENT.set(Slice { has_yielded: true, ..CURRENT.get() });
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Stops the CPU time of all threads: from now on no call is slow.
#[cfg(feature = "testing")]
pub(crate) fn stop_time() {
    IS_STOPPED.store(true, Ordering::Relaxed);
}

#[cfg(feature = "testing")]
static IS_STOPPED: AtomicBool = AtomicBool::new(false);

/// Returns the CPU time of the current thread.
pub(crate) fn thread_cpu() -> Duration {
    #[cfg(feature = "testing")]
    if IS_STOPPED.load(Ordering::Relaxed) {
        return Duration::ZERO;
    }
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}
