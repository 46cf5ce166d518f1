//! Slices of calls: how long a call runs until its thread is given back.
//!
//! Guests look at the clock when it ticks, and host functions when they have worked for a while.
//! Both find here what the thread knows about the slice that it runs.

use crate::engine::TICK;
use crate::error::ErrorKind;
use rustix::time::{ClockId, clock_gettime};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use wasmtime::UpdateDeadline;

/// CPU time after its first tick that a call may use on its caller's thread. A call that the
/// machine kept waiting is not taken for a long one.
pub(crate) const SLICE: Duration = Duration::from_micros(600);

/// Polls one slice of a call: up to its end or its next yield. `is_measured` takes its CPU time
/// from the beginning, which costs a system call.
pub(crate) fn run<T>(
    call: Pin<&mut impl Future<Output = Result<T, ErrorKind>>>,
    cx: &mut Context<'_>,
    is_measured: bool,
) -> Poll<Result<T, ErrorKind>> {
    let since = is_measured.then(thread_cpu);
    CURRENT.set(Slice { since, charged: Duration::ZERO, has_ticked: false, has_yielded: false, ..CURRENT.get() });
    catch_unwind(AssertUnwindSafe(|| call.poll(cx)))
        .unwrap_or_else(|_| Poll::Ready(Err(ErrorKind::Runtime("panicked in the host's code".into()))))
}

/// The state of the slice that a thread runs.
#[derive(Clone, Copy, Default)]
pub(crate) struct Slice {
    /// Set on the threads of lanes.
    on_lane: bool,
    /// The thread's CPU time when the slice was first looked at.
    pub(crate) since: Option<Duration>,
    /// CPU time that other threads use for this slice.
    pub(crate) charged: Duration,
    /// Set where a tick was the first to look. Before it the slice ran for up to one more.
    has_ticked: bool,
    /// Set once the slice has yielded: a call that is pending otherwise waits for something.
    pub(crate) has_yielded: bool,
}

impl Slice {
    /// Returns the CPU time of the slice so far, as far as it is known.
    pub(crate) fn used(self) -> Duration {
        let Some(since) = self.since else { return Duration::ZERO };
        // A guest that runs on from tick to tick has computed before the first one, too; a quick
        // call that meets one has not.
        let before = if self.has_ticked && self.has_yielded { TICK } else { Duration::ZERO };
        thread_cpu().saturating_sub(since).saturating_add(before)
    }
}

thread_local! {
    static CURRENT: Cell<Slice> = const {
        Cell::new(Slice { on_lane: false, since: None, charged: Duration::ZERO, has_ticked: false, has_yielded: false })
    };
}

/// Returns the slice that has just been run on this thread.
pub(crate) fn last() -> Slice {
    CURRENT.get()
}

/// Declares this thread to be one of a lane, which is shared: slices end with each tick.
pub(crate) fn on_lane() {
    CURRENT.set(Slice { on_lane: true, ..Slice::default() });
}

/// Decides for a guest that finds that the clock has ticked: yields on a lane, and on its caller's
/// thread when it has really computed for a slice. The first look only notes the time; ticks that
/// passed while the thread was preempted do not count.
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

/// Looks at the slice from a host function, where no tick does, and returns whether it is over.
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

/// Ends the slice, from an asynchronous host function: the call goes on when it is polled again.
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

/// CPU time of the current thread.
pub(crate) fn thread_cpu() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}
