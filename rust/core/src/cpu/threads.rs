//! The thread pool: persistent workers, a bounded spin and then parking. Each thread takes chunks from its own part of a loop
//! first, the same part in every loop, because the caches beside it may hold what an earlier loop left there, and then from
//! those of others.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering::*};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How long an idle thread spins before it parks: longer than the gap between two kernels of one program, far shorter
/// than a scheduler slice, so a busy neighbour loses nothing that matters.
const SPIN: Duration = Duration::from_micros(30);
/// Chunks per thread: enough that a thread which loses its core leaves only a small part behind.
const CHUNKS_PER_THREAD: usize = 6;
/// An upper bound that keeps a mistyped thread count from exhausting the system.
const MAX_THREADS: usize = 1024;

/// One parallel loop. It lives in the pool, and its closure on the caller's stack, until every worker has left.
struct Job {
    call: unsafe fn(*const (), Range<usize>),
    closure: *const (),
    n: usize,
    chunk: usize,
    /// A part for each thread that the loop is for.
    parts: Vec<Part>,
    caller: Option<Thread>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// A stretch of a loop; on a cache line of its own.
#[repr(align(64))]
struct Part {
    next: AtomicUsize,
    end: usize,
}

/// What one worker shares with the callers that wake it.
struct Worker {
    sleeping: AtomicBool,
    thread: Thread,
}

struct Pool {
    /// Taken by the thread whose loop is running; others compute on their own thread meanwhile.
    busy: AtomicBool,
    /// Epoch in the high half; below it WAITING, OPEN and the number of workers inside the job.
    state: AtomicU64,
    /// Workers with a higher index stay out.
    limit: AtomicUsize,
    job: UnsafeCell<Job>,
    /// Written only by the owner of `busy`.
    workers: UnsafeCell<Vec<&'static Worker>>,
}

// SAFETY: `job` and `workers` change only while `busy` is held and no worker is inside (see `Pool::run`).
unsafe impl Sync for Pool {}

const ACTIVE: u64 = 0xffff;
const OPEN: u64 = 1 << 16;
const WAITING: u64 = 1 << 17;
const EPOCH: u64 = 1 << 32;

static POOL: AtomicPtr<Pool> = AtomicPtr::new(std::ptr::null_mut());
static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Set on workers, and on a caller while it is inside a loop: nested loops run inline.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Calls `f` with disjoint ranges that cover `0..n`, on the pool's threads and the caller; returns when all is done.
///
/// Every range starts at a multiple of `grain` and, the last one aside, is a multiple of it long. With `n <= grain`, with
/// one thread, inside another loop, or while another thread uses the pool, this is just `f(0..n)`. A panic in any
/// thread is raised again here, after the others have stopped.
#[inline]
pub fn parallel_for<F: Fn(Range<usize>) + Sync>(n: usize, grain: usize, f: F) {
    if n <= grain {
        if n > 0 {
            f(0..n);
        }
        return;
    }
    let threads = num_threads();
    if threads == 1 || INSIDE.get() {
        return f(0..n);
    }
    unsafe fn call<F: Fn(Range<usize>)>(closure: *const (), range: Range<usize>) {
        // SAFETY: `closure` is the `&f` below; `run` returns only after the last use.
        unsafe { (*closure.cast::<F>())(range) }
    }
    if !pool().run(n, grain.max(1), threads, call::<F>, (&raw const f).cast()) {
        f(0..n);
    }
}

/// The number of threads that loops use, the caller included.
#[inline]
pub fn num_threads() -> usize {
    match THREADS.load(Relaxed) {
        0 => default_threads(),
        n => n,
    }
}

/// Sets the number of threads for the whole process; 0 counts as 1.
pub fn set_num_threads(n: usize) {
    THREADS.store(n.clamp(1, MAX_THREADS), Relaxed);
}

/// Whether this thread is inside a parallel loop, so that further loops run inline.
pub fn is_inside() -> bool {
    INSIDE.get()
}

/// To be called in the child after `fork`: the workers do not exist there, so the next loop starts a fresh pool.
pub fn after_fork_in_child() {
    // The old pool is leaked: its locks may be in any state.
    POOL.store(std::ptr::null_mut(), SeqCst);
    INSIDE.set(false);
}

fn pool() -> &'static Pool {
    let p = POOL.load(Acquire);
    // SAFETY: a published pool is never freed.
    if !p.is_null() { unsafe { &*p } } else { create_pool() }
}

#[cold]
fn create_pool() -> &'static Pool {
    unsafe fn nothing(_: *const (), _: Range<usize>) {}
    let fresh = Box::into_raw(Box::new(Pool {
        busy: AtomicBool::new(false),
        state: AtomicU64::new(0),
        limit: AtomicUsize::new(0),
        job: UnsafeCell::new(Job {
            call: nothing,
            closure: std::ptr::null(),
            n: 0,
            chunk: 1,
            parts: Vec::new(),
            caller: None,
            panic: Mutex::new(None),
        }),
        workers: UnsafeCell::new(Vec::new()),
    }));
    match POOL.compare_exchange(std::ptr::null_mut(), fresh, AcqRel, Acquire) {
        // SAFETY: published pools live for ever.
        Ok(_) => unsafe { &*fresh },
        Err(winner) => {
            // SAFETY: nobody else has seen `fresh`; `winner` was published by another thread.
            unsafe {
                drop(Box::from_raw(fresh));
                &*winner
            }
        }
    }
}

impl Job {
    /// Takes chunks until none is left, first those of its own part. A panic empties all parts, so that the others stop early.
    fn work(&self, own: usize) {
        let result = catch_unwind(AssertUnwindSafe(|| {
            let (before, from) = self.parts.split_at(own.min(self.parts.len()));
            for part in from.iter().chain(before) {
                loop {
                    let start = part.next.fetch_add(self.chunk, Relaxed);
                    if start >= part.end {
                        break;
                    }
                    // SAFETY: the closure outlives the job (`Pool::run`), and each chunk is handed out once.
                    unsafe { (self.call)(self.closure, start..(start + self.chunk).min(part.end)) };
                }
            }
        }));
        if let Err(payload) = result {
            self.parts.iter().for_each(|part| part.next.store(self.n, Relaxed));
            self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(payload);
        }
    }

    /// Cuts the loop into parts of whole chunks.
    fn cut(&mut self, parts: usize) {
        let chunks = self.n.div_ceil(self.chunk);
        let at = |i: usize| (i * chunks / parts * self.chunk).min(self.n);
        self.parts.clear();
        self.parts.extend((0..parts).map(|i| Part { next: AtomicUsize::new(at(i)), end: at(i + 1) }));
    }
}

impl Pool {
    /// Runs one loop; false, with nothing done, when the pool is busy or the loop is a single chunk.
    fn run(
        &'static self,
        n: usize,
        grain: usize,
        threads: usize,
        call: unsafe fn(*const (), Range<usize>),
        closure: *const (),
    ) -> bool {
        let grains = n.div_ceil(grain);
        let chunk = grain * grains.div_ceil(threads * CHUNKS_PER_THREAD);
        let helpers = (threads - 1).min(n.div_ceil(chunk) - 1);
        if helpers == 0 || self.busy.compare_exchange(false, true, Acquire, Relaxed).is_err() {
            return false;
        }
        // SAFETY: `busy` is ours and the last job is closed with nobody inside, so nobody else reads the job now.
        let job = unsafe {
            let job = &mut *self.job.get();
            (job.call, job.closure, job.n, job.chunk) = (call, closure, n, chunk);
            job.cut(helpers + 1);
            job.caller = Some(thread::current());
            &*self.job.get()
        };
        self.limit.store(helpers, Relaxed);
        let epoch = (self.state.load(Relaxed) & !(EPOCH - 1)).wrapping_add(EPOCH);
        self.state.store(epoch | OPEN, SeqCst);
        self.wake(helpers);

        INSIDE.set(true);
        job.work(0);
        INSIDE.set(false);

        self.close_and_wait();
        let panic = job.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.busy.store(false, Release);
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
        true
    }

    /// Wakes the sleeping ones of the first `helpers` workers, starting those that do not exist yet.
    fn wake(&'static self, helpers: usize) {
        // SAFETY: only the owner of `busy` touches the list.
        let workers = unsafe { &mut *self.workers.get() };
        while workers.len() < helpers {
            match spawn(self, workers.len()) {
                Some(w) => workers.push(w),
                // The system refuses threads: the caller does the work.
                None => break,
            }
        }
        for w in workers.iter().take(helpers) {
            if w.sleeping.load(SeqCst) && w.sleeping.swap(false, SeqCst) {
                w.thread.unpark();
            }
        }
    }

    /// Lets no further worker in, and returns when those inside have left.
    fn close_and_wait(&self) {
        if self.state.fetch_and(!OPEN, AcqRel) & ACTIVE == 0 {
            return;
        }
        if spin_until(|| self.state.load(Acquire) & ACTIVE == 0) {
            return;
        }
        if self.state.fetch_or(WAITING, AcqRel) & ACTIVE != 0 {
            while self.state.load(Acquire) & ACTIVE != 0 {
                thread::park();
            }
        }
    }

    /// Enters the job seen in `state` if that job is still open.
    fn enter(&self, state: u64) -> bool {
        state & OPEN != 0 && self.state.compare_exchange(state, state + 1, AcqRel, Relaxed).is_ok()
    }

    /// Leaves the job; the last one out wakes a caller that has parked.
    fn leave(&self) {
        let mut state = self.state.load(Relaxed);
        loop {
            // While this worker counts as active the job stays as it is, so the handle is read before leaving.
            let caller = if state & WAITING != 0 && state & ACTIVE == 1 {
                // SAFETY: see above.
                unsafe { (*self.job.get()).caller.clone() }
            } else {
                None
            };
            match self.state.compare_exchange(state, state - 1, AcqRel, Relaxed) {
                Ok(_) => {
                    if let Some(t) = caller {
                        t.unpark();
                    }
                    return;
                }
                Err(now) => state = now,
            }
        }
    }
}

fn spawn(pool: &'static Pool, index: usize) -> Option<&'static Worker> {
    let (send, receive) = std::sync::mpsc::channel::<&'static Worker>();
    let handle = thread::Builder::new()
        .name(format!("corten-{}", index + 1))
        .spawn(move || {
            if let Ok(worker) = receive.recv() {
                worker_loop(pool, worker, index);
            }
        })
        .ok()?;
    // Workers live as long as the process.
    let worker: &'static Worker =
        Box::leak(Box::new(Worker { sleeping: AtomicBool::new(false), thread: handle.thread().clone() }));
    send.send(worker).ok()?;
    Some(worker)
}

fn worker_loop(pool: &'static Pool, worker: &'static Worker, index: usize) {
    INSIDE.set(true);
    let mut seen = 0;
    loop {
        let fresh = || {
            let state = pool.state.load(Acquire);
            state / EPOCH != seen && state & OPEN != 0 && index < pool.limit.load(Relaxed)
        };
        if !spin_until(fresh) {
            // The store of `sleeping` and the load of `state` pair with the reverse order in `run`: one side sees the other.
            worker.sleeping.store(true, SeqCst);
            let state = pool.state.load(SeqCst);
            if state / EPOCH != seen && state & OPEN != 0 && index < pool.limit.load(Relaxed) {
                worker.sleeping.store(false, SeqCst);
            }
            while worker.sleeping.load(SeqCst) {
                thread::park();
            }
        }
        let state = pool.state.load(Acquire);
        if state / EPOCH != seen && pool.enter(state) {
            seen = state / EPOCH;
            // SAFETY: the job cannot change while this worker is inside.
            unsafe { (*pool.job.get()).work(index + 1) };
            pool.leave();
        }
    }
}

/// Spins until `done` or until [`SPIN`] has passed, giving the core away now and then; returns the last `done`.
fn spin_until(done: impl Fn() -> bool) -> bool {
    let mut start = None;
    loop {
        for _ in 0..32 {
            if done() {
                return true;
            }
            std::hint::spin_loop();
        }
        let start = *start.get_or_insert_with(Instant::now);
        if start.elapsed() > SPIN {
            return done();
        }
        thread::yield_now();
    }
}

#[cold]
fn default_threads() -> usize {
    let asked = ["CORTEN_NUM_THREADS", "OMP_NUM_THREADS"]
        .iter()
        .find_map(|name| std::env::var(name).ok()?.split(',').next()?.trim().parse::<usize>().ok())
        .filter(|&n| n > 0);
    let n = asked.unwrap_or_else(usable_cpus).clamp(1, MAX_THREADS);
    let _ = THREADS.compare_exchange(0, n, Relaxed, Relaxed);
    num_threads()
}

/// Processors this process may use: its affinity mask, and its control group's quota rounded up.
fn usable_cpus() -> usize {
    let available = thread::available_parallelism().map_or(1, |n| n.get());
    if !cfg!(target_os = "linux") {
        return available;
    }
    // `available_parallelism` rounds a quota of 1.5 processors down, so on Linux both limits are read here.
    let affinity = std::fs::read_to_string("/proc/thread-self/status").ok().and_then(|s| affinity_count(&s));
    affinity.unwrap_or(available).min(cgroup_quota().unwrap_or(usize::MAX)).max(1)
}

/// The number of processors in the `Cpus_allowed` mask of a `/proc` status file.
fn affinity_count(status: &str) -> Option<usize> {
    let mask = status.lines().find_map(|l| l.strip_prefix("Cpus_allowed:"))?;
    let count: u32 = mask.chars().filter_map(|c| c.to_digit(16)).map(u32::count_ones).sum();
    (count > 0).then_some(count as usize)
}

/// The smallest processor quota of this control group and its parents (versions 1 and 2).
fn cgroup_quota() -> Option<usize> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let mut quota = None;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let v2 = controllers.is_empty();
        if !v2 && !controllers.split(',').any(|c| c == "cpu") {
            continue;
        }
        let roots: &[&str] =
            if v2 { &["/sys/fs/cgroup"] } else { &["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"] };
        for root in roots {
            // Inside a container the path may name a group of the host: then only the root exists here.
            for group in std::path::Path::new(path).ancestors() {
                let dir = std::path::Path::new(root).join(group.strip_prefix("/").unwrap_or(group));
                let read = |file: &str| std::fs::read_to_string(dir.join(file)).ok();
                let found = if v2 {
                    read("cpu.max").and_then(|s| quota_from(&s))
                } else {
                    read("cpu.cfs_quota_us")
                        .zip(read("cpu.cfs_period_us"))
                        .and_then(|(q, p)| quota_from(&format!("{} {}", q.trim(), p.trim())))
                };
                quota = [quota, found].into_iter().flatten().min();
            }
        }
    }
    quota
}

/// Processors, rounded up, from "quota period" in µs; `None` without a limit ("max", -1).
fn quota_from(text: &str) -> Option<usize> {
    let mut words = text.split_whitespace();
    let quota: i64 = words.next()?.parse().ok().filter(|&q| q > 0)?;
    let period: i64 = words.next()?.parse().ok().filter(|&p| p > 0)?;
    Some((quota as u64).div_ceil(period as u64) as usize)
}

/// Runs `f` with `n` threads. The number is the process's, so tests that set it take turns; one that fixes the
/// instruction set as well does so first.
#[cfg(test)]
pub fn with_threads<R>(n: usize, f: impl FnOnce() -> R) -> R {
    static TURN: Mutex<()> = Mutex::new(());
    struct Restore(usize);
    impl Drop for Restore {
        fn drop(&mut self) {
            set_num_threads(self.0);
        }
    }
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let _restore = Restore(num_threads());
    set_num_threads(n);
    f()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_visited_once_in_aligned_chunks() {
        for threads in [1, 2, 5] {
            with_threads(threads, || {
                for (n, grain) in [(0, 1), (1, 1), (7, 3), (1000, 7), (4096, 64), (100_003, 10), (5, 0)] {
                    let hits: Vec<AtomicUsize> = (0..n).map(|_| AtomicUsize::new(0)).collect();
                    parallel_for(n, grain, |r| {
                        assert_eq!(r.start % grain.max(1), 0);
                        r.for_each(|i| {
                            hits[i].fetch_add(1, Relaxed);
                        })
                    });
                    assert!(hits.iter().all(|h| h.load(Relaxed) == 1), "{n} {grain} {threads}");
                }
            });
        }
    }

    #[test]
    fn many_small_loops_finish_and_nested_ones_run_inline() {
        with_threads(3, || {
            let total = AtomicUsize::new(0);
            for i in 0..3000 {
                if i % 500 == 0 {
                    thread::sleep(Duration::from_millis(1));
                }
                parallel_for(64, 1, |r| {
                    // In one piece while another test has the pool.
                    assert!(is_inside() || r == (0..64));
                    parallel_for(r.len(), 1, |inner| {
                        total.fetch_add(inner.len(), Relaxed);
                    })
                });
            }
            assert!(!is_inside());
            assert_eq!(total.load(Relaxed), 64 * 3000);
        });
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_stays_usable() {
        with_threads(4, || {
            for _ in 0..20 {
                let caught = catch_unwind(|| parallel_for(100, 1, |r| assert!(!r.contains(&57), "item 57")));
                let payload = caught.expect_err("the panic was lost");
                assert_eq!(payload.downcast_ref::<&str>(), Some(&"item 57"));
            }
            let sum = AtomicUsize::new(0);
            parallel_for(100, 1, |r| {
                sum.fetch_add(r.sum::<usize>(), Relaxed);
            });
            assert_eq!(sum.load(Relaxed), 4950);
        });
    }

    #[test]
    fn several_application_threads_may_call_at_once() {
        with_threads(4, || {
            thread::scope(|s| {
                for _ in 0..4 {
                    s.spawn(|| {
                        for _ in 0..500 {
                            let sum = AtomicUsize::new(0);
                            parallel_for(1000, 10, |r| {
                                sum.fetch_add(r.len(), Relaxed);
                            });
                            assert_eq!(sum.load(Relaxed), 1000);
                        }
                    });
                }
            });
        });
    }

    #[test]
    fn a_fresh_pool_replaces_the_old_one_after_fork() {
        with_threads(2, || {
            parallel_for(100, 1, |_| {});
            after_fork_in_child();
            let sum = AtomicUsize::new(0);
            parallel_for(100, 1, |r| {
                sum.fetch_add(r.len(), Relaxed);
            });
            assert_eq!(sum.load(Relaxed), 100);
        });
    }

    #[test]
    fn limits_of_the_system_are_read() {
        assert_eq!(affinity_count("Name:\tx\nCpus_allowed:\tff,0000000f\nCpus_allowed_list:\t0-3\n"), Some(12));
        assert_eq!(quota_from("150000 100000\n"), Some(2));
        assert_eq!(quota_from("max 100000\n"), None);
        assert_eq!(quota_from("-1 100000"), None);
        assert!(usable_cpus() >= 1);
    }
}
