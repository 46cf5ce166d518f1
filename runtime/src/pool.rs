//! Scheduling of calls: the first slice runs on the caller's thread, the rest on the runtime's own
//! threads.
//!
//! A well-behaved handler completes long before its first slice is over, so it never pays for a
//! change of thread. A call that still computes then yields and moves to a [`Lane`]. The steady
//! lane is guaranteed a fifth of one core on a busy machine; the spare lane gets only time that no
//! other thread wants, and runs the calls of handlers whose last call had to be stopped. A handler
//! whose calls cost more than [`ALLOWANCE`] on average, in CPU time or in work of the store, starts
//! them on a lane.

use crate::conduct::{ALLOWANCE, Conduct, Start, nanos, stopped_by};
use crate::error::{ErrorKind, LimitExceeded};
use crate::lane::{CpuUsage, Lane, Pace, Task};
use crate::limits::LimitKind;
use crate::slice::{self, SLICE, thread_cpu};
use crate::store::StoreError;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};
use thread_priority::unix::{
    NormalThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};
use thread_priority::{ThreadPriority, ThreadPriorityValue};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// Fraction of one core that the steady lane gets while other threads want the processor.
const STEADY_RATE: f64 = 0.2;

/// The scheduling policy of a lane that gets its fair share of the processor, but never preempts a
/// running thread.
const BATCH: ThreadSchedulePolicy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Batch);

/// The scheduling policy of a lane that runs only when no other thread wants to, and leaves the
/// processor as soon as one does. With the lowest priority alone (nice 19), a thread would finish
/// its slice first while others wait.
const IDLE: ThreadSchedulePolicy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);

/// The time limits of a call.
#[derive(Clone, Copy)]
pub(crate) struct Budget {
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
    /// `true` if the call has imports that wait for something outside of this process.
    pub(crate) may_wait: bool,
}

/// The lanes, and a timer that no guest can block.
pub(crate) struct Pool {
    steady: Lane,
    spare: Lane,
    timer: Timer,
}

impl Pool {
    /// Starts the threads of both lanes. `started` runs first on each of them.
    pub(crate) fn new(threads: usize, started: impl Fn() + Clone + Send + Sync + 'static) -> io::Result<Self> {
        let lane = |name, (policy, priority): (_, ThreadPriority), pace| {
            let started = started.clone();
            Lane::start(name, threads, pace, thread_cpu, move || {
                slice::on_lane();
                // Lowering a priority needs no privilege. If it fails, guests compete as equals.
                let _ = set_thread_priority_and_policy(thread_native_id(), priority, policy);
                started();
            })
        };
        Ok(Self {
            steady: lane("keyward-steady", (BATCH, nice_0()), Some(Pace::new(STEADY_RATE, Instant::now())))?,
            spare: lane("keyward-spare", (IDLE, ThreadPriority::Min), None)?,
            timer: Timer::start()?,
        })
    }

    /// Begins a call: decides where it starts.
    pub(crate) fn begin(&self, budget: Budget, conduct: &Conduct) -> Begun {
        let started = Instant::now();
        Begun { started, budget, start: conduct.start(started), before: None }
    }

    /// Runs a call until it completes or exceeds its [`Budget`].
    ///
    /// Unless it may wait, the call must return `Pending` only after [`slice::on_tick`] or
    /// [`slice::give_way`] made it yield.
    ///
    /// # Errors
    /// Returns the call's own error, an exceeded limit, or [`ErrorKind::Store`] if it waited beyond
    /// its deadline. A panic in the call is an [`ErrorKind::Runtime`].
    pub(crate) async fn run<T, F>(&self, begun: Begun, conduct: &Conduct, mut call: Pin<Box<F>>) -> Result<T, ErrorKind>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ErrorKind>> + Send + 'static,
    {
        let Begun { started, budget, start, before } = begun;
        let (lane, before) = match start {
            Start::Inline { is_measured } => {
                match self.run_inline(started, budget, conduct, is_measured, call.as_mut()).await {
                    Inline::Ended(result) => return result,
                    Inline::Slow(used) => (&self.steady, Some(used)),
                }
            }
            Start::Steady => (&self.steady, before),
            Start::Spare => (&self.spare, before),
        };
        let spent = Arc::new(Spent::new(before.unwrap_or_default()));
        let result = self.run_on(lane, started, budget, conduct.cpu.clone(), spent.clone(), call).await;
        let used = spent.used();
        match before {
            // The inline part was noted, and the rest costs its callers' threads nothing.
            Some(_) => {}
            None if used > SLICE => conduct.note_slow(spent.cost()),
            None => conduct.note_cost(spent.cost()),
        }
        conduct.note_end(&result, used, Instant::now());
        result
    }

    /// Runs the first part of a call on its caller's thread, until it completes or has computed for
    /// a slice. While it waits it holds no thread, so it stays.
    async fn run_inline<T>(
        &self,
        started: Instant,
        budget: Budget,
        conduct: &Conduct,
        is_measured: bool,
        mut call: Pin<&mut impl Future<Output = Result<T, ErrorKind>>>,
    ) -> Inline<T> {
        let is_measured = is_measured || budget.may_wait;
        let (mut used, mut charged) = (Duration::ZERO, Duration::ZERO);
        let mut alarm = None;
        poll_fn(|cx| {
            let polled = slice::run(call.as_mut(), cx, is_measured);
            let last = slice::last();
            let elapsed = started.elapsed();
            let is_quick = elapsed <= ALLOWANCE;
            if !is_quick {
                if last.since.is_none() && polled.is_ready() {
                    conduct.measure_next();
                }
                // Sums up the short pieces between waits.
                used = used.saturating_add(last.used());
            }
            charged = charged.saturating_add(last.charged);
            let cost = charged.saturating_add(if is_quick { elapsed } else { used });
            if let Poll::Ready(result) = polled {
                return Poll::Ready(Inline::Ended(note_inline(result, conduct, started, elapsed, used, cost, budget)));
            }
            if last.has_yielded || used > SLICE {
                conduct.note_slow(cost);
                return Poll::Ready(Inline::Slow(used));
            }
            let alarm = alarm.get_or_insert_with(|| self.timer.at(started + budget.wall));
            alarm.as_mut().poll(cx).map(|()| Inline::Ended(Err(no_answer(budget.wall))))
        })
        .await
    }

    /// Runs the rest of a call on a lane.
    async fn run_on<T, F>(
        &self,
        lane: &Lane,
        started: Instant,
        budget: Budget,
        usage: Arc<CpuUsage>,
        spent: Arc<Spent>,
        call: Pin<Box<F>>,
    ) -> Result<T, ErrorKind>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ErrorKind>> + Send + 'static,
    {
        let (sender, mut answer) = oneshot::channel();
        let task: Task = lane.spawn(usage, async move {
            let result = drive(call, started, spent, budget).await;
            // A caller that dropped the call needs no result.
            let _ = sender.send(result);
        });
        let mut alarm = self.timer.at(started + budget.wall);
        poll_fn(|cx| {
            if let Poll::Ready(answer) = Pin::new(&mut answer).poll(cx) {
                return Poll::Ready(answer.unwrap_or_else(|_| Err(ErrorKind::Runtime("is shutting down".into()))));
            }
            alarm.as_mut().poll(cx).map(|()| match task.is_waiting() {
                true => Err(no_answer(budget.wall)),
                false => Err(over(LimitKind::Wall, started.elapsed(), budget.wall)),
            })
        })
        .await
    }
}

/// A call that has begun.
pub(crate) struct Begun {
    started: Instant,
    budget: Budget,
    start: Start,
    /// The CPU time of a direct part that was noted.
    before: Option<Duration>,
}

impl Begun {
    /// Runs a call directly on its caller's thread and stack, if it starts there. `None` if the
    /// call must run on a fiber, from its first instruction.
    pub(crate) fn run_direct<T>(
        &mut self,
        conduct: &Conduct,
        call: impl FnOnce() -> Result<T, ErrorKind>,
    ) -> Option<Result<T, ErrorKind>> {
        let Self { started, budget, start: Start::Inline { is_measured }, .. } = *self else { return None };
        let result = slice::run_direct(call, is_measured);
        let last = slice::last();
        let elapsed = started.elapsed();
        let is_quick = elapsed <= ALLOWANCE;
        let used = if is_quick { Duration::ZERO } else { last.used() };
        let cost = last.charged.saturating_add(if is_quick { elapsed } else { used });
        if last.has_yielded {
            conduct.note_overrun(cost);
            (self.start, self.before) = (Start::Steady, Some(used));
            return None;
        }
        if !is_quick && last.since.is_none() {
            conduct.measure_next();
        }
        Some(note_inline(result, conduct, started, elapsed, used, cost, budget))
    }
}

/// Notes the end of a call that needed one slice, and rejects a result beyond its budget.
fn note_inline<T>(
    result: Result<T, ErrorKind>,
    conduct: &Conduct,
    started: Instant,
    elapsed: Duration,
    used: Duration,
    cost: Duration,
    budget: Budget,
) -> Result<T, ErrorKind> {
    if used > SLICE {
        conduct.note_slow(cost);
    } else {
        conduct.note_cost(cost);
    }
    let result = within(result, used, elapsed, budget);
    if stopped_by(&result).is_some() {
        conduct.note_end(&result, used, started + elapsed);
    }
    result
}

/// The result of the first part of a call.
enum Inline<T> {
    /// The call has completed.
    Ended(Result<T, ErrorKind>),
    /// The call continues, after this much CPU time.
    Slow(Duration),
}

/// The time that one call has used, in nanoseconds, readable by other threads.
struct Spent {
    /// CPU time of the call itself.
    used: AtomicU64,
    /// CPU time that other threads used for the call.
    charged: AtomicU64,
}

impl Spent {
    fn new(used: Duration) -> Self {
        Self { used: AtomicU64::new(nanos(used)), charged: AtomicU64::new(0) }
    }

    /// Adds a slice, and returns the total CPU time.
    fn add(&self, slice: slice::Slice) -> Duration {
        self.charged.fetch_add(nanos(slice.charged), Ordering::Relaxed);
        let used = nanos(slice.used());
        Duration::from_nanos(self.used.fetch_add(used, Ordering::Relaxed).saturating_add(used))
    }

    fn used(&self) -> Duration {
        Duration::from_nanos(self.used.load(Ordering::Relaxed))
    }

    fn cost(&self) -> Duration {
        self.used().saturating_add(Duration::from_nanos(self.charged.load(Ordering::Relaxed)))
    }
}

/// Drives a call on a lane, where it yields at every tick, and stops it once its CPU time is used
/// up.
async fn drive<T>(
    mut call: Pin<Box<impl Future<Output = Result<T, ErrorKind>>>>,
    started: Instant,
    spent: Arc<Spent>,
    budget: Budget,
) -> Result<T, ErrorKind> {
    poll_fn(move |cx| {
        if spent.used() >= budget.cpu {
            return Poll::Ready(Err(over(LimitKind::Cpu, spent.used(), budget.cpu)));
        }
        let polled = slice::run(call.as_mut(), cx, true);
        let used = spent.add(slice::last());
        match polled {
            Poll::Ready(result) => Poll::Ready(within(result, used, started.elapsed(), budget)),
            Poll::Pending if used >= budget.cpu => Poll::Ready(Err(over(LimitKind::Cpu, used, budget.cpu))),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Rejects the result of a call that exceeded its budget: it may have run without a check until it
/// completed.
fn within<T>(result: Result<T, ErrorKind>, used: Duration, elapsed: Duration, budget: Budget) -> Result<T, ErrorKind> {
    match result {
        Ok(_) if used > budget.cpu => Err(over(LimitKind::Cpu, used, budget.cpu)),
        Ok(_) if elapsed > budget.wall => Err(over(LimitKind::Wall, elapsed, budget.wall)),
        result => result,
    }
}

/// Returns the priority that equals a niceness of 0. An unprivileged thread could not return from a
/// higher niceness.
fn nice_0() -> ThreadPriority {
    ThreadPriorityValue::try_from(48).map_or(ThreadPriority::Min, ThreadPriority::Crossplatform)
}

/// Blames what the call waited for, a store or an endpoint, and not the guest.
fn no_answer(within: Duration) -> ErrorKind {
    StoreError::new(format!("no answer within {} ms (`limits.wall_ms`)", within.as_millis())).into()
}

fn over(limit: LimitKind, used: Duration, of: Duration) -> ErrorKind {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    ErrorKind::Limit(LimitExceeded { limit, used: micros(used), of: micros(of) })
}

/// A thread that only runs timers. The caller's runtime may have none, and the lanes' threads run
/// guests.
struct Timer {
    handle: Handle,
    /// Stops the thread when dropped.
    _stop: oneshot::Sender<()>,
}

impl Timer {
    fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        std::thread::Builder::new().name("keyward-timer".into()).spawn(move || {
            // The dropped sender is the signal, so an error is expected.
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
    use crate::conduct::OUTLASTED;
    use crate::limits::Limits;
    use crate::peaks::Peaks;
    use crate::slice::{give_way, is_over};
    use std::thread;

    const BUDGET: Budget = Budget { cpu: Duration::from_millis(50), wall: Duration::from_secs(60), may_wait: false };

    fn pool() -> Pool {
        Pool::new(2, || ()).unwrap()
    }

    fn conduct() -> Conduct {
        Conduct::new(Instant::now(), Arc::new(Peaks::new(&Limits::default())))
    }

    fn stopped() -> ErrorKind {
        over(LimitKind::Cpu, BUDGET.cpu, BUDGET.cpu)
    }

    /// Computes for `cpu` on the current thread, without a tick.
    fn compute(cpu: Duration) {
        let start = thread_cpu();
        while thread_cpu().saturating_sub(start) < cpu {}
    }

    /// Runs a call on a fiber.
    fn run<T: Send + 'static>(
        pool: &Pool,
        budget: Budget,
        conduct: &Conduct,
        call: Pin<Box<impl Future<Output = Result<T, ErrorKind>> + Send + 'static>>,
    ) -> Result<T, ErrorKind> {
        pollster::block_on(pool.run(pool.begin(budget, conduct), conduct, call))
    }

    /// Returns the name of the thread on which a call starts; `None` for its caller's.
    fn begins_on(pool: &Pool, conduct: &Conduct) -> Option<String> {
        let here = thread::current().id();
        let call = async move {
            let thread = thread::current();
            Ok((thread.id() != here).then(|| thread.name().unwrap_or_default().to_owned()))
        };
        run(pool, BUDGET, conduct, Box::pin(call)).unwrap()
    }

    /// Runs a call that yields once and then returns `end`.
    fn yields(pool: &Pool, conduct: &Conduct, end: Result<(), ErrorKind>) {
        let call = async move {
            give_way().await;
            end
        };
        let _ = run(pool, BUDGET, conduct, Box::pin(call));
    }

    #[test]
    fn a_direct_call_that_overruns_runs_again_on_a_lane() {
        let (pool, conduct) = (pool(), conduct());
        let mut begun = pool.begin(BUDGET, &conduct);
        let overruns = || -> Result<(), _> { Err(ErrorKind::Trap(slice::overrun().to_string())) };
        assert!(begun.run_direct(&conduct, overruns).is_none());
        let call = async { Ok(thread::current().name().map(str::to_owned)) };
        let thread = pollster::block_on(pool.run(begun, &conduct, Box::pin(call))).unwrap();
        assert_eq!(thread.as_deref(), Some("keyward-steady"));

        let mut next = pool.begin(BUDGET, &conduct);
        let never = || -> Result<(), _> { panic!("the next call starts on the lane") };
        assert!(next.run_direct(&conduct, never).is_none());
    }

    #[test]
    fn a_direct_call_ends_at_once_and_may_panic() {
        let (pool, conduct) = (pool(), conduct());
        let run = |call: fn() -> Result<u8, ErrorKind>| pool.begin(BUDGET, &conduct).run_direct(&conduct, call);
        assert_eq!(run(|| Ok(7)), Some(Ok(7)));
        assert_eq!(run(|| panic!("a bug")).unwrap().unwrap_err().code(), "runtime");
        assert_eq!(run(|| Ok(8)), Some(Ok(8)));
    }

    #[test]
    fn a_handler_that_outlasted_slices_starts_on_a_lane() {
        let (pool, slow, other) = (pool(), conduct(), conduct());
        assert_eq!(begins_on(&pool, &slow), None);
        yields(&pool, &slow, Ok(()));
        assert_eq!(begins_on(&pool, &slow), None, "one slow call may be due to the machine");
        yields(&pool, &slow, Ok(()));
        assert_eq!(begins_on(&pool, &slow).as_deref(), Some("keyward-steady"));
        slow.note_slow(OUTLASTED);
        yields(&pool, &slow, Err(ErrorKind::Trap("unreachable".into())));
        assert_eq!(begins_on(&pool, &slow).as_deref(), Some("keyward-steady"), "the call was not stopped");
        yields(&pool, &slow, Err(stopped()));
        assert_eq!(begins_on(&pool, &other), None, "others are not punished");
        assert_eq!(begins_on(&pool, &slow).as_deref(), Some("keyward-spare"));
        assert_eq!(begins_on(&pool, &slow).as_deref(), Some("keyward-steady"), "its last call was not stopped");
    }

    /// Returns the kernel's scheduling policy and niceness of a thread of this pool.
    fn scheduling(pool: &Pool, conduct: &Conduct) -> (u32, i32) {
        let call = async move {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            // After the name, which may contain spaces.
            let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().map(str::to_owned).collect();
            Ok((fields[38].parse().unwrap(), fields[16].parse().unwrap()))
        };
        run(pool, BUDGET, conduct, Box::pin(call)).unwrap()
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_steady_lane_competes_and_the_spare_one_does_not() {
        const SCHED_BATCH: u32 = 3;
        const SCHED_IDLE: u32 = 5;
        let (pool, conduct) = (pool(), conduct());
        let (_, own) = scheduling(&pool, &conduct);
        conduct.note_slow(OUTLASTED);
        conduct.note_slow(OUTLASTED);
        assert_eq!(scheduling(&pool, &conduct), (SCHED_BATCH, own.max(0)));
        conduct.note_end::<()>(&Err(stopped()), BUDGET.cpu, Instant::now());
        assert_eq!(scheduling(&pool, &conduct).0, SCHED_IDLE);
    }

    /// Time that is charged to calls counts like the CPU time that they use themselves.
    #[test]
    fn a_handler_whose_calls_exceed_the_allowance_starts_on_a_lane() {
        for (charge, wanted) in [(ALLOWANCE / 2, None), (3 * ALLOWANCE, Some("keyward-steady"))] {
            let (pool, conduct) = (pool(), conduct());
            for _ in 0..20 {
                let call = Box::pin(async move {
                    slice::charge(charge);
                    Ok(())
                });
                run(&pool, BUDGET, &conduct, call).unwrap();
            }
            assert_eq!(begins_on(&pool, &conduct).as_deref(), wanted, "{charge:?}");
        }
    }

    #[test]
    fn a_busy_error_changes_nothing() {
        let (pool, conduct) = (pool(), conduct());
        yields(&pool, &conduct, Err(stopped()));
        let busy = ErrorKind::Busy { what: "slots", of: 1, setting: "RuntimeLimits::slots" };
        conduct.note_slow(OUTLASTED);
        assert_eq!(stopped_by::<()>(&Err(busy)), None);
        assert_eq!(conduct.start(Instant::now()), Start::Spare);
    }

    /// A call without a tick or a yield is checked when it completes, on its caller's thread and on
    /// a lane.
    #[test]
    fn cpu_time_is_checked_when_a_call_completes() {
        let pool = pool();
        let budget = Budget { cpu: Duration::from_millis(5), ..BUDGET };
        let call = || {
            Box::pin(async {
                is_over();
                compute(Duration::from_millis(8));
                Ok(())
            })
        };
        for start in [Start::Inline { is_measured: false }, Start::Steady, Start::Spare] {
            let conduct = conduct();
            match start {
                Start::Inline { .. } => {}
                Start::Steady => (0..2).for_each(|_| conduct.note_slow(OUTLASTED)),
                Start::Spare => conduct.note_end::<()>(&Err(stopped()), BUDGET.cpu, Instant::now()),
            }
            let ended = run(&pool, budget, &conduct, call()).unwrap_err();
            assert_eq!(ended.code(), "limit-cpu", "{start:?}");
            assert_eq!(conduct.start(Instant::now()), Start::Spare);
        }
    }

    /// The first unchecked call is accepted, and makes the pool measure the next ones.
    #[test]
    fn an_unchecked_call_makes_the_next_one_measured() {
        let (pool, conduct) = (pool(), conduct());
        let budget = Budget { cpu: Duration::from_millis(5), ..BUDGET };
        let call = || {
            Box::pin(async {
                compute(Duration::from_millis(8));
                Ok(())
            })
        };
        assert_eq!(run(&pool, budget, &conduct, call()), Ok(()));
        let ended = run(&pool, budget, &conduct, call()).unwrap_err();
        assert_eq!(ended.code(), "limit-cpu");
    }

    #[test]
    fn wall_time_is_checked_when_a_call_completes() {
        let (pool, conduct) = (pool(), conduct());
        let budget = Budget { wall: Duration::from_millis(5), ..BUDGET };
        let call = Box::pin(async {
            thread::sleep(Duration::from_millis(8));
            Ok(())
        });
        assert_eq!(run(&pool, budget, &conduct, call).unwrap_err().code(), "limit-wall");
        assert_eq!(begins_on(&pool, &conduct), None, "it waited and did not compute");
    }

    #[test]
    fn a_waiting_call_stays_inline_and_times_out() {
        let (pool, conduct) = (pool(), conduct());
        let here = thread::current().id();
        let budget = Budget { may_wait: true, ..BUDGET };
        let (answer, asked) = oneshot::channel();
        let call = async move {
            let answer: u32 = asked.await.unwrap();
            Ok((answer, thread::current().id() == here))
        };
        let done = thread::scope(|scope| {
            scope.spawn(|| answer.send(7).unwrap());
            run(&pool, budget, &conduct, Box::pin(call))
        });
        assert_eq!(done, Ok((7, true)));

        let budget = Budget { wall: Duration::from_millis(1), ..budget };
        let never = || Box::pin(async { std::future::pending::<Result<(), ErrorKind>>().await });
        let stopped = run(&pool, budget, &conduct, never()).unwrap_err();
        assert_eq!(stopped.code(), "store");
        assert_eq!(begins_on(&pool, &conduct), None, "the store is to blame");
        (0..2).for_each(|_| conduct.note_slow(OUTLASTED));
        let budget = Budget { wall: Duration::from_millis(20), ..budget };
        let stopped = run(&pool, budget, &conduct, never()).unwrap_err();
        assert_eq!(stopped.code(), "store", "on a lane, too");
    }
}
