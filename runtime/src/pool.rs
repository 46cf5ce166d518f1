//! Where calls run: the first slice on the thread that asks, the rest on threads of their own.
//!
//! A well-behaved handler is done long before its first slice ends, so it never pays for a change of thread. One that
//! still computes when the slice is over yields, and moves to the guest pool, whose threads get only the time that
//! nobody else wants: it holds its caller's thread for a tick or two, and nobody else's at all. The handler of a call that had
//! to be stopped begins its next one there.

use crate::engine::TICK;
use crate::error::{Fault, LimitHit, LimitName};
use rustix::time::{ClockId, clock_gettime};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use thread_priority::ThreadPriority;
use thread_priority::unix::{
    NormalThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::JoinHandle;
use wasmtime::UpdateDeadline;

/// CPU time after its first tick that a call may use on its caller's thread. A call that the machine kept waiting is not
/// taken for a long one.
const SLICE: Duration = Duration::from_micros(600);

/// How the pool's threads are scheduled: in time that nobody else wants, and off the processor as soon as somebody does.
/// The lowest priority alone (nice 19) would let them finish their slice first, which others wait for.
const IDLE: ThreadSchedulePolicy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);

/// What a call may use.
#[derive(Clone, Copy)]
pub(crate) struct Budget {
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
    /// Whether it has imports that wait for something outside of this process.
    pub(crate) may_wait: bool,
}

/// The guest pool, and a clock that no guest can hold up.
pub(crate) struct Pool {
    /// Taken out when dropped: a runtime must not be dropped where blocking is forbidden.
    threads: Option<Runtime>,
    timer: Timer,
    /// Calls beyond their first slice, over all handlers. Fewer than there are slots, so that slow calls, however many,
    /// leave room for quick ones.
    slow: Arc<Semaphore>,
    slow_permits: usize,
}

impl Pool {
    /// Starts the threads. `started` runs on each of them first.
    pub(crate) fn new(
        threads: usize,
        slow_permits: usize,
        started: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let threads = Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("keyward-guest")
            .on_thread_start(move || {
                SLOT.set(Slot { on_pool: true, ..Slot::default() });
                // To step back needs no privilege. Where it cannot be done, guests compete as equals.
                let _ = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, IDLE);
                started();
            })
            .build()?;
        Ok(Self {
            threads: Some(threads),
            timer: Timer::start()?,
            slow: Arc::new(Semaphore::new(slow_permits)),
            slow_permits,
        })
    }

    /// Runs a call to its end or to the end of its budget, whichever comes first. Unless it may wait, the call must poll as
    /// `Pending` only where [`on_tick`] says so. A panic in it is a fault of the runtime, and goes no further.
    ///
    /// `overran` is what the calls of one handler know of each other: that the last one had to be stopped. The next one then
    /// has no slice on its caller's thread, until one ends by itself.
    pub(crate) async fn run<T, F>(
        &self,
        budget: Budget,
        overran: &AtomicBool,
        mut call: Pin<Box<F>>,
    ) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Fault>> + Send + 'static,
    {
        let started = Instant::now();
        let mut used = Duration::ZERO;
        if !overran.load(Ordering::Relaxed) {
            match self.run_inline(started, budget, call.as_mut()).await {
                Inline::Ended(result) => return result,
                Inline::Slow(so_far) => used = so_far,
            }
        }
        let result = self.run_slowly(started, budget, used, call).await;
        let stopped =
            matches!(&result, Err(Fault::Limit(hit)) if matches!(hit.limit, LimitName::Cpu | LimitName::Wall));
        overran.store(stopped, Ordering::Relaxed);
        result
    }

    /// The beginning of a call, on its caller's thread: until it ends, or has computed for a slice. While it waits it holds
    /// nobody's thread, so it stays.
    async fn run_inline<T>(
        &self,
        started: Instant,
        budget: Budget,
        mut call: Pin<&mut impl Future<Output = Result<T, Fault>>>,
    ) -> Inline<T> {
        let mut used = Duration::ZERO;
        let mut alarm = None;
        poll_fn(|cx| {
            let before = budget.may_wait.then(thread_cpu);
            if let Poll::Ready(result) = slice(call.as_mut(), cx) {
                return Poll::Ready(Inline::Ended(result));
            }
            let slot = SLOT.get();
            // Many short pieces between waits add up.
            let piece = before.map_or(slot.used, |before| thread_cpu().saturating_sub(before));
            used = used.saturating_add(piece);
            if slot.yielded || used > SLICE {
                return Poll::Ready(Inline::Slow(used));
            }
            let alarm = alarm.get_or_insert_with(|| self.timer.at(started + budget.wall));
            // Not the guest's fault: it waits for the store.
            let late = || Fault::Store(format!("no answer within {} ms (`limits.wall_ms`)", budget.wall.as_millis()));
            alarm.as_mut().poll(cx).map(|()| Inline::Ended(Err(late())))
        })
        .await
    }

    /// The rest of a call, on the pool.
    async fn run_slowly<T, F>(
        &self,
        started: Instant,
        budget: Budget,
        used: Duration,
        call: Pin<Box<F>>,
    ) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Fault>> + Send + 'static,
    {
        if used >= budget.cpu {
            return Err(over(LimitName::Cpu, used, budget.cpu));
        }
        let permit = self.slow.clone().try_acquire_owned().map_err(|_| Fault::Busy {
            what: "slots for slow calls",
            of: self.slow_permits,
            setting: "RuntimeLimits::slots",
        })?;
        let Some(threads) = &self.threads else { return Err(Fault::Runtime("is shutting down".into())) };
        let mut task = AbortOnDrop(threads.spawn(drive(call, used, budget.cpu, permit)));
        let mut alarm = self.timer.at(started + budget.wall);
        poll_fn(|cx| {
            if let Poll::Ready(joined) = Pin::new(&mut task.0).poll(cx) {
                return Poll::Ready(
                    joined.unwrap_or_else(|error| Err(Fault::Runtime(format!("lost the call: {error}")))),
                );
            }
            alarm.as_mut().poll(cx).map(|()| Err(over(LimitName::Wall, started.elapsed(), budget.wall)))
        })
        .await
    }
}

/// How the beginning of a call ended.
enum Inline<T> {
    /// So did the call.
    Ended(Result<T, Fault>),
    /// It goes on, after so much CPU time.
    Slow(Duration),
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

/// The rest of a call, on the pool. It yields at every tick; each time its CPU account is looked at.
async fn drive<T>(
    mut call: Pin<Box<impl Future<Output = Result<T, Fault>>>>,
    mut used: Duration,
    limit: Duration,
    _permit: OwnedSemaphorePermit,
) -> Result<T, Fault> {
    poll_fn(move |cx| {
        let before = thread_cpu();
        let polled = slice(call.as_mut(), cx);
        used = used.saturating_add(thread_cpu().saturating_sub(before));
        match polled {
            Poll::Pending if used >= limit => Poll::Ready(Err(over(LimitName::Cpu, used, limit))),
            polled => polled,
        }
    })
    .await
}

/// One slice of a call: up to its end or its next yield.
fn slice<T>(call: Pin<&mut impl Future<Output = Result<T, Fault>>>, cx: &mut Context<'_>) -> Poll<Result<T, Fault>> {
    SLOT.set(Slot { since: None, used: Duration::ZERO, yielded: false, ..SLOT.get() });
    catch_unwind(AssertUnwindSafe(|| call.poll(cx)))
        .unwrap_or_else(|_| Poll::Ready(Err(Fault::Runtime("panicked in the host's code".into()))))
}

/// What the thread knows about the slice that it runs.
#[derive(Clone, Copy, Default)]
struct Slot {
    /// Whether this is a thread of the pool.
    on_pool: bool,
    /// The thread's CPU time at the first tick of this slice.
    since: Option<Duration>,
    /// What the slice used before it yielded.
    used: Duration,
    /// Whether it yielded: a call that is pending otherwise waits for something.
    yielded: bool,
}

thread_local! {
    static SLOT: Cell<Slot> = const { Cell::new(Slot { on_pool: false, since: None, used: Duration::ZERO, yielded: false }) };
}

/// What a guest does when it finds that the clock has ticked: yields on the pool, and on its caller's thread when it has
/// really computed for a slice. The first tick of a slice only notes the time; ticks that passed while the thread was
/// preempted do not count.
pub(crate) fn on_tick() -> UpdateDeadline {
    let slot = SLOT.get();
    if slot.on_pool {
        return UpdateDeadline::Yield(1);
    }
    let now = thread_cpu();
    let Some(since) = slot.since else {
        SLOT.set(Slot { since: Some(now), ..slot });
        return UpdateDeadline::Continue(1);
    };
    let used = now.saturating_sub(since);
    if used < SLICE {
        return UpdateDeadline::Continue(1);
    }
    // Before its first tick it ran for up to one more.
    SLOT.set(Slot { used: used.saturating_add(TICK), yielded: true, ..slot });
    UpdateDeadline::Yield(1)
}

/// CPU time of the current thread.
fn thread_cpu() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

fn over(limit: LimitName, used: Duration, of: Duration) -> Fault {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    Fault::Limit(LimitHit { limit, used: micros(used), of: micros(of) })
}

/// The pool's part of a call ends with the caller's.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A thread that only keeps time. The caller's runtime may have no timer, and the pool's threads are the guests'.
struct Timer {
    handle: Handle,
    /// Dropped, it ends the thread.
    _stop: oneshot::Sender<()>,
}

impl Timer {
    fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        std::thread::Builder::new().name("keyward-timer".into()).spawn(move || {
            // Ends with an error when the sender is dropped: that is the signal.
            let _ = runtime.block_on(stopped);
        })?;
        Ok(Self { handle, _stop: stop })
    }

    fn at(&self, deadline: Instant) -> Pin<Box<tokio::time::Sleep>> {
        let _context = self.handle.enter();
        Box::pin(tokio::time::sleep_until(deadline.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const BUDGET: Budget = Budget { cpu: Duration::from_millis(50), wall: Duration::from_secs(60), may_wait: false };

    fn stopped() -> Fault {
        over(LimitName::Cpu, BUDGET.cpu, BUDGET.cpu)
    }

    /// Whether a call begins on its caller's thread.
    fn is_inline(pool: &Pool, overran: &AtomicBool) -> bool {
        let here = thread::current().id();
        let call = async move { Ok(thread::current().id() == here) };
        pollster::block_on(pool.run(BUDGET, overran, Box::pin(call))).unwrap()
    }

    /// A call that yields once, and then ends like this.
    fn yields(pool: &Pool, overran: &AtomicBool, end: Result<(), Fault>) {
        let mut yielded = false;
        let mut end = Some(end.clone());
        let call = poll_fn(move |cx| {
            if !yielded {
                yielded = true;
                SLOT.set(Slot { yielded, ..SLOT.get() });
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(end.take().unwrap())
        });
        let _ = pollster::block_on(pool.run(BUDGET, overran, Box::pin(call)));
    }

    #[test]
    fn who_had_to_be_stopped_has_no_slice_until_a_call_ends_by_itself() {
        let pool = Pool::new(2, 8, || ()).unwrap();
        let (bad, other) = (AtomicBool::new(false), AtomicBool::new(false));
        assert!(is_inline(&pool, &bad));
        yields(&pool, &bad, Ok(()));
        assert!(is_inline(&pool, &bad), "slow is not bad");
        yields(&pool, &bad, Err(Fault::Trap("unreachable".into())));
        assert!(is_inline(&pool, &bad), "it ended by itself");
        yields(&pool, &bad, Err(stopped()));
        assert!(is_inline(&pool, &other), "others are not punished");
        assert!(!is_inline(&pool, &bad));
        assert!(is_inline(&pool, &bad), "its last call was quick");
    }

    #[test]
    fn who_waits_stays_and_waits_no_longer_than_it_may() {
        let pool = Pool::new(2, 8, || ()).unwrap();
        let overran = AtomicBool::new(false);
        let here = thread::current().id();
        let budget = Budget { may_wait: true, ..BUDGET };
        let (answer, asked) = oneshot::channel();
        let call = async move {
            let answer: u32 = asked.await.unwrap();
            Ok((answer, thread::current().id() == here))
        };
        let done = thread::scope(|scope| {
            scope.spawn(|| answer.send(7).unwrap());
            pollster::block_on(pool.run(budget, &overran, Box::pin(call)))
        });
        assert_eq!(done, Ok((7, true)));

        let budget = Budget { wall: Duration::from_millis(1), ..budget };
        let never = async { std::future::pending::<Result<(), Fault>>().await };
        let stopped = pollster::block_on(pool.run(budget, &overran, Box::pin(never))).unwrap_err();
        assert_eq!(stopped.code(), "store");
        assert!(is_inline(&pool, &overran), "it was not its fault");
    }
}
