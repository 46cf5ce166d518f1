//! Threads for calls that outlast their first slice.
//!
//! A lane's threads each run one slice of a call at a time, always of the handler that has recently
//! used the least CPU time. A paced lane keeps to a fraction of one core while other threads want
//! the processor.

use crate::slice;
use crate::usage::Usage;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

/// CPU time that one handler's calls have recently used on lanes.
pub(crate) struct CpuUsage(Mutex<Usage>);

impl CpuUsage {
    pub(crate) fn new(now: Instant) -> Self {
        Self(Mutex::new(Usage::new(now)))
    }

    fn add(&self, used: Duration, now: Instant) {
        lock(&self.0).add(used, now);
    }

    fn level(&self, now: Instant) -> Duration {
        lock(&self.0).level(now)
    }
}

/// A set of threads, and the queue of calls that they run.
pub(crate) struct Lane {
    queue: Arc<Queue>,
}

struct Queue {
    waiting: Mutex<Waiting>,
    work: Condvar,
    pace: Option<Pace>,
    cpu_time: fn() -> Duration,
}

#[derive(Default)]
struct Waiting {
    /// Queued jobs, each with the time at which it was queued.
    jobs: Vec<(Arc<Job>, Instant)>,
    is_closed: bool,
}

impl Lane {
    /// Starts the threads; `begin` runs first on each of them. `cpu_time` reads the CPU time of its
    /// thread.
    pub(crate) fn start(
        name: &str,
        threads: usize,
        pace: Option<Pace>,
        cpu_time: fn() -> Duration,
        begin: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let queue = Arc::new(Queue { waiting: Mutex::default(), work: Condvar::new(), pace, cpu_time });
        let begin = Arc::new(begin);
        // Dropping it on an error stops the threads that were started.
        let lane = Self { queue };
        for _ in 0..threads.max(1) {
            let (queue, begin) = (lane.queue.clone(), begin.clone());
            thread::Builder::new().name(name.to_owned()).spawn(move || {
                begin();
                queue.run();
            })?;
        }
        Ok(lane)
    }

    /// Runs `work` to completion, one poll at a time, unless the [`Task`] is dropped first.
    pub(crate) fn spawn(&self, usage: Arc<CpuUsage>, work: impl Future<Output = ()> + Send + 'static) -> Task {
        let job = Arc::new(Job {
            queue: self.queue.clone(),
            usage,
            work: Mutex::new(Some(Box::pin(work))),
            status: AtomicU8::new(IDLE),
            is_cancelled: AtomicBool::new(false),
        });
        job.wake_by_ref();
        Task(job)
    }
}

impl Drop for Lane {
    /// Signals the threads to stop without joining them: a lane may be dropped where blocking is
    /// forbidden.
    fn drop(&mut self) {
        let mut waiting = lock(&self.queue.waiting);
        waiting.is_closed = true;
        let jobs = std::mem::take(&mut waiting.jobs);
        drop(waiting);
        self.queue.work.notify_all();
        drop(jobs);
    }
}

/// A handle to spawned work, which is not polled again once the handle is dropped.
pub(crate) struct Task(Arc<Job>);

impl Task {
    /// Returns whether the work waits for something other than the lane.
    pub(crate) fn is_waiting(&self) -> bool {
        self.0.status.load(Ordering::Acquire) == IDLE
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        // A thread of the lane drops the work, so that cleaning up a call costs its caller nothing.
        self.0.is_cancelled.store(true, Ordering::Release);
        self.0.wake_by_ref();
    }
}

impl Queue {
    fn run(&self) {
        while let Some((job, late)) = self.next() {
            let (cpu, started) = ((self.cpu_time)(), Instant::now());
            job.clone().run();
            let (cpu, now) = ((self.cpu_time)().saturating_sub(cpu), Instant::now());
            let kept_off = late.max(now.saturating_duration_since(started).saturating_sub(cpu));
            let cost = cpu.saturating_add(slice::last().charged);
            job.usage.add(cost, now);
            if let Some(pace) = &self.pace {
                let rest = pace.rest(cost, kept_off, now);
                if !rest.is_zero() {
                    thread::sleep(rest);
                }
            }
        }
    }

    /// Waits for a job and takes the one of the handler that has used the least. Cancelled jobs
    /// come first, because they hold a slot. Also returns how late a sleeping thread was woken for
    /// the job.
    fn next(&self) -> Option<(Arc<Job>, Duration)> {
        let mut waiting = lock(&self.waiting);
        let mut has_slept = false;
        loop {
            if waiting.is_closed {
                return None;
            }
            let now = Instant::now();
            let jobs = waiting.jobs.iter().enumerate();
            let lightest = jobs.min_by_key(|(_, (job, _))| (!job.is_cancelled(), job.usage.level(now)));
            if let Some((place, _)) = lightest {
                let (job, queued) = waiting.jobs.remove(place);
                let late = if has_slept { now.saturating_duration_since(queued) } else { Duration::ZERO };
                return Some((job, late));
            }
            waiting = self.work.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            has_slept = true;
        }
    }

    fn push(&self, job: Arc<Job>) {
        let mut waiting = lock(&self.waiting);
        if waiting.is_closed {
            // Drop `job` outside of the lock: that may wake others.
            drop(waiting);
            return;
        }
        waiting.jobs.push((job, Instant::now()));
        drop(waiting);
        self.work.notify_one();
    }
}

struct Job {
    queue: Arc<Queue>,
    usage: Arc<CpuUsage>,
    /// `None` once the work has completed.
    work: Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>,
    status: AtomicU8,
    is_cancelled: AtomicBool,
}

/// The status of a job that is neither queued nor polled.
const IDLE: u8 = 0;
/// The status of a job in the queue.
const QUEUED: u8 = 1;
/// The status of a job that a thread polls.
const RUNNING: u8 = 2;
/// The status of a job that was woken while a thread polls it.
const WOKEN: u8 = 3;

impl Job {
    fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Acquire)
    }

    /// Polls the work once, or drops it if its task was dropped.
    fn run(self: Arc<Self>) {
        self.status.store(RUNNING, Ordering::Release);
        let mut work = lock(&self.work);
        if self.is_cancelled() {
            *work = None;
        }
        if let Some(future) = &mut *work {
            let waker = Waker::from(self.clone());
            let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(&waker))));
            if !matches!(polled, Ok(Poll::Pending)) {
                *work = None;
            }
        }
        drop(work);
        let woken = self.status.compare_exchange(RUNNING, IDLE, Ordering::AcqRel, Ordering::Acquire).is_err();
        if woken {
            self.status.store(QUEUED, Ordering::Release);
            self.queue.clone().push(self);
        }
    }
}

impl Wake for Job {
    fn wake(self: Arc<Self>) {
        let mut status = self.status.load(Ordering::Acquire);
        loop {
            let next = match status {
                IDLE => QUEUED,
                RUNNING => WOKEN,
                _ => return,
            };
            match self.status.compare_exchange_weak(status, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(IDLE) => return self.queue.clone().push(self),
                Ok(_) => return,
                Err(now) => status = now,
            }
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.clone().wake();
    }
}

/// The rate limit of a [`Lane`], which applies only while other threads want the processor.
///
/// A thread that is preempted within a slice, or woken late, has met such a thread. For a while
/// after that the lane is limited by its budget, which refills at a constant rate.
pub(crate) struct Pace {
    /// CPU seconds per second.
    rate: f64,
    bucket: Mutex<Bucket>,
}

struct Bucket {
    /// Remaining CPU seconds; negative after a slice that exceeded them.
    budget: f64,
    filled: Instant,
    busy_until: Instant,
}

/// Maximum budget of a paced lane in CPU seconds: a few slices.
const MAX_BUDGET: f64 = 0.005;

/// Time for which a lane is limited after it has met another thread.
const BUSY: Duration = Duration::from_millis(100);

/// Time off the processor that is not attributed to another thread.
const JITTER: Duration = Duration::from_micros(200);

impl Pace {
    /// Creates a limit of `rate` CPU seconds per second.
    pub(crate) fn new(rate: f64, now: Instant) -> Self {
        let bucket = Bucket { budget: MAX_BUDGET, filled: now, busy_until: now };
        Self { rate, bucket: Mutex::new(bucket) }
    }

    /// Accounts for a slice that has just finished, and returns how long its thread must rest.
    fn rest(&self, cost: Duration, kept_off: Duration, now: Instant) -> Duration {
        let mut bucket = lock(&self.bucket);
        let Bucket { budget, filled, busy_until } = &mut *bucket;
        let since = now.saturating_duration_since(*filled);
        *filled = now;
        *budget = (*budget + since.as_secs_f64() * self.rate).min(MAX_BUDGET) - cost.as_secs_f64();
        if kept_off > JITTER {
            *busy_until = now + BUSY;
        }
        if now >= *busy_until {
            // CPU time that no other thread wanted is free.
            *budget = budget.max(0.0);
        }
        let owed = (-*budget).max(0.0);
        Duration::try_from_secs_f64(owed / self.rate).unwrap_or_default()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::sync::mpsc::channel;

    const MS: Duration = Duration::from_millis(1);

    fn usage(used: Duration) -> Arc<CpuUsage> {
        let now = Instant::now();
        let usage = CpuUsage::new(now);
        usage.add(used, now);
        Arc::new(usage)
    }

    fn yield_once() -> impl Future<Output = ()> + Send {
        let mut yielded = false;
        poll_fn(move |cx| {
            if std::mem::replace(&mut yielded, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }

    #[test]
    fn the_handler_that_used_the_least_runs_first() {
        let lane = Lane::start("test", 1, None, Duration::default, || ()).unwrap();
        let (start, started) = channel::<()>();
        let (done, order) = channel();
        // Blocks the only thread until all other tasks are queued.
        let _first = lane.spawn(usage(Duration::ZERO), async move { started.recv().unwrap() });
        let tasks: Vec<_> = [30, 10, 20, 0]
            .map(|used| {
                let done = done.clone();
                lane.spawn(usage(used * MS), async move {
                    yield_once().await;
                    done.send(used).unwrap();
                })
            })
            .into();
        start.send(()).unwrap();
        assert_eq!(order.iter().take(4).collect::<Vec<_>>(), [0, 10, 20, 30]);
        drop(tasks);
    }

    /// CPU time that other threads use for a handler counts as its own.
    #[test]
    fn charged_time_counts_as_the_handlers_own() {
        let lane = Lane::start("test", 1, None, Duration::default, || ()).unwrap();
        let (usage, (done, told)) = (usage(Duration::ZERO), channel());
        let task = lane.spawn(usage.clone(), async move {
            slice::charge(MS);
            yield_once().await;
            done.send(()).unwrap();
        });
        told.recv().unwrap();
        drop(task);
        assert!(usage.level(Instant::now()) > MS / 2);
    }

    #[test]
    fn a_task_reports_that_it_waits_for_something_else() {
        let lane = Lane::start("test", 1, None, Duration::default, || ()).unwrap();
        let (polled, told) = channel();
        let task = lane.spawn(
            usage(Duration::ZERO),
            poll_fn(move |_| {
                polled.send(()).unwrap();
                Poll::Pending
            }),
        );
        told.recv().unwrap();
        // The thread has a few instructions left to run.
        while !task.is_waiting() {
            thread::yield_now();
        }
    }

    #[test]
    fn a_dropped_task_is_dropped_by_the_lane() {
        struct Told(std::sync::mpsc::Sender<Option<String>>);
        impl Drop for Told {
            fn drop(&mut self) {
                self.0.send(thread::current().name().map(str::to_owned)).unwrap();
            }
        }
        let lane = Lane::start("test-lane", 1, None, Duration::default, || ()).unwrap();
        let (dropped, told) = channel();
        let held = Told(dropped);
        let task = lane.spawn(usage(Duration::ZERO), async move {
            let _held = held;
            std::future::pending().await
        });
        drop(task);
        assert_eq!(told.recv().unwrap().as_deref(), Some("test-lane"));
    }

    #[test]
    fn a_panic_affects_only_its_own_task() {
        let lane = Lane::start("test", 1, None, Duration::default, || ()).unwrap();
        let (done, told) = channel();
        let panics = lane.spawn(usage(Duration::ZERO), async { panic!("a bug") });
        let ends = lane.spawn(usage(Duration::ZERO), async move { done.send(()).unwrap() });
        told.recv().unwrap();
        drop((panics, ends));
    }

    #[test]
    fn a_paced_lane_rests_only_while_others_want_the_processor() {
        let start = Instant::now();
        let pace = Pace::new(0.2, start);
        let mut now = start;
        let mut slice = |wall| {
            now += wall;
            let rest = pace.rest(MS, wall.saturating_sub(MS), now);
            now += rest;
            rest
        };
        for _ in 0..100 {
            assert!(slice(MS).is_zero(), "the processor is free");
        }
        // Preempted: it takes five times as long as it computes, including the rests.
        let rests: Duration = (0..100).map(|_| slice(MS + MS)).sum();
        assert!((250 * MS..350 * MS).contains(&rests), "{rests:?}");
        now += BUSY;
        let rests: Duration = (0..2).map(|_| pace.rest(MS, Duration::ZERO, now)).sum();
        assert!(rests.is_zero());
    }
}
