//! What ran when: the events of a profile (`corten.profiler`), and the lines of `CORTEN_DEBUG`. While neither is asked
//! for, a flush looks at two atomics and goes on.

use super::OPTIONS;
use super::cost::{self, Cost};
use super::plan::{Fused, Joined, Plan, Step};
use crate::device::Device;
use crate::error::Result;
use crate::gpu::{self, timing};
use crate::graph::{Input, LIVE_BYTES, Node};
use crate::op::Op;
use crate::os::clock;
use crate::shape::Dims;
use crate::sync::lock;
use std::cell::Cell;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};

pub use crate::gpu::timing::Launch;

/// Submissions whose times a GPU keeps before they are fetched.
const SUBMISSIONS: usize = 256;
/// Names of operators that the name of a fused kernel lists.
const NAMES: usize = 6;

/// A kernel of a plan, or a copy between devices, as it ran on the host; on the GPU it was encoded then.
#[derive(Clone, Debug)]
pub struct Event {
    pub id: u64,
    pub name: String,
    pub device: Device,
    pub thread: u64,
    /// Nanoseconds on [`clock`].
    pub begin: u64,
    pub end: u64,
    pub cost: Cost,
    /// Bytes that it took from its device's memory, or gave back.
    pub memory: i64,
    pub shapes: Vec<Dims>,
    /// Where the program asked for it, where that is recorded.
    pub stack: Option<String>,
}

/// What [`stop`] returns.
#[derive(Default, Debug)]
pub struct Profile {
    pub events: Vec<Event>,
    pub launches: Vec<Launch>,
    /// A GPU took part whose kernels could not be timed.
    pub untimed: bool,
}

#[derive(Default)]
struct State {
    profile: Profile,
    stacks: bool,
    gpu_times: bool,
    gpus: Vec<u16>,
}

/// Whether a profile is taken.
static ACTIVE: AtomicBool = AtomicBool::new(false);
static STATE: Mutex<Option<State>> = Mutex::new(None);
static NEXT_EVENT: AtomicU64 = AtomicU64::new(1);
/// The program's place, in words; set by the binding.
pub static STACK: OnceLock<fn() -> Option<String>> = OnceLock::new();

/// The number of this thread in profiles.
pub fn thread() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local! {
        static OWN: Cell<u64> = const { Cell::new(0) };
    }
    OWN.with(|own| {
        if own.get() == 0 {
            own.set(NEXT.fetch_add(1, Relaxed));
        }
        own.get()
    })
}

/// Starts a profile; false where one is taken already.
pub fn start(gpu_times: bool, stacks: bool) -> bool {
    let mut state = lock(&STATE);
    if state.is_some() {
        return false;
    }
    *state = Some(State { gpu_times, stacks, ..State::default() });
    ACTIVE.store(true, Relaxed);
    true
}

/// Ends the profile and waits for the GPUs that took part.
pub fn stop() -> Result<Profile> {
    ACTIVE.store(false, Relaxed);
    let Some(mut state) = lock(&STATE).take() else { return Ok(Profile::default()) };
    for index in state.gpus {
        let gpu = gpu::gpu(index)?;
        state.profile.launches.extend(gpu.take_launches()?);
        if OPTIONS.debug.load(Relaxed) < 2 {
            gpu.stop_timing();
        }
    }
    Ok(state.profile)
}

/// Watches one flush.
pub struct Watch {
    device: Device,
    /// Lines are printed, rather than a profile taken alone.
    print: bool,
    timed: bool,
    stack: Option<String>,
    events: Vec<Event>,
}

/// A kernel that has begun.
pub struct Open(Event);

fn allocated(device: Device) -> i64 {
    match device {
        Device::Cpu => LIVE_BYTES.load(Relaxed) as i64,
        Device::Gpu(i) => gpu::gpu(i).map_or(0, |g| g.memory().allocated as i64),
        Device::Meta => 0,
    }
}

fn open(name: String, device: Device, cost: Cost, shapes: Vec<Dims>, stack: Option<String>) -> Open {
    let id = NEXT_EVENT.fetch_add(1, Relaxed);
    timing::within(id);
    let (thread, memory) = (thread(), allocated(device));
    let begin = clock();
    Open(Event { id, name, device, thread, begin, end: begin, cost, memory, shapes, stack })
}

impl Open {
    fn close(mut self) -> Event {
        self.0.end = clock();
        self.0.memory = allocated(self.0.device) - self.0.memory;
        self.0
    }
}

impl Watch {
    /// Where nobody asks for a profile or for lines about kernels: none.
    pub fn new(device: Device) -> Result<Option<Watch>> {
        let print = OPTIONS.debug.load(Relaxed) >= 2;
        if !print && !ACTIVE.load(Relaxed) {
            return Ok(None);
        }
        let (times, stacks) = lock(&STATE).as_ref().map_or((false, false), |s| (s.gpu_times, s.stacks));
        // Not under the lock: the binding asks the interpreter, for which another thread may be waiting with its own.
        let stack = if stacks { STACK.get().and_then(|f| f()) } else { None };
        let mut timed = false;
        if let Device::Gpu(i) = device
            && (times || print)
        {
            timed = gpu::gpu(i)?.start_timing()?;
            if let Some(state) = lock(&STATE).as_mut() {
                state.profile.untimed |= !timed;
                if timed && !state.gpus.contains(&i) {
                    state.gpus.push(i);
                }
            }
        }
        Ok(Some(Watch { device, print, timed, stack, events: Vec::new() }))
    }

    pub fn begin(&self, step: &Step, node: impl Fn(u32) -> Option<Arc<Node>>) -> Open {
        let (name, (cost, shapes)) = match step {
            Step::Fused(f) => (fused_name(f, &node), cost::of_fused(f, &node)),
            Step::Joined(j) => (joined_name(j, &node), cost::of_joined(j, &node)),
            Step::Kernel(n) => match node(*n) {
                Some(n) => (n.op.name().to_string(), (cost::of_node(&n), cost::shapes(&n))),
                None => (String::new(), Default::default()),
            },
        };
        open(name, self.device, cost, shapes, self.stack.clone())
    }

    pub fn end(&mut self, open: Open) {
        self.events.push(open.close());
    }

    /// After the flush: prints its lines and adds to the profile.
    pub fn finish(self) -> Result<()> {
        let mut launches = Vec::new();
        if let Device::Gpu(i) = self.device
            && self.timed
        {
            let gpu = gpu::gpu(i)?;
            if self.print || gpu.submissions_to_read() >= SUBMISSIONS {
                launches = gpu.take_launches()?;
            }
        }
        if self.print {
            self.events.iter().for_each(|e| eprintln!("{}", line(e, self.timed.then_some(&launches[..]))));
        }
        if let Some(state) = lock(&STATE).as_mut() {
            state.profile.events.extend(self.events);
            state.profile.launches.extend(launches);
        }
        Ok(())
    }
}

/// Runs work of the host that stands in no plan.
pub fn aside<T>(name: impl FnOnce() -> String, cost: Cost, work: impl FnOnce() -> T) -> T {
    if !ACTIVE.load(Relaxed) {
        return work();
    }
    let open = open(name(), Device::Cpu, cost, Vec::new(), None);
    let result = work();
    if let Some(state) = lock(&STATE).as_mut() {
        state.profile.events.push(open.close());
    }
    result
}

fn fused_name(f: &Fused, node: impl Fn(u32) -> Option<Arc<Node>>) -> String {
    let names: Vec<&str> = f.nodes.iter().filter_map(|&n| node(n).map(|n| n.op.name())).collect();
    match names[..] {
        [one] => one.to_string(),
        _ if names.len() > NAMES => format!("fused({}, {} more)", names[..NAMES].join(", "), names.len() - NAMES),
        _ => format!("fused({})", names.join(", ")),
    }
}

fn joined_name(j: &Joined, node: impl Fn(u32) -> Option<Arc<Node>>) -> String {
    let mut names: Vec<String> = j.before.iter().map(|(_, f)| fused_name(f, &node)).collect();
    names.extend(node(j.node).map(|n| n.op.name().to_string()));
    names.extend(j.after.as_ref().map(|a| fused_name(&a.fused, &node)));
    names.join(" + ")
}

/// `corten:   matmul [64, 64] [64, 10]  12.3 us  1.20 GB/s  9.41 GFLOP/s`
fn line(e: &Event, launches: Option<&[Launch]>) -> String {
    let own = launches.unwrap_or_default().iter().filter(|l| l.unit == e.id);
    let host = e.end - e.begin;
    let (nanoseconds, whose) = match (e.device, launches) {
        (Device::Cpu, _) => (host, ""),
        (_, Some(_)) => (own.map(|l| l.end - l.begin).sum(), ""),
        // The GPU tells no times: all there is to say is how long the host was busy.
        (_, None) => (host, " to encode"),
    };
    let mut out = format!("corten:   {}", e.name);
    for shape in &e.shapes {
        let _ = write!(out, " {:?}", &shape[..]);
    }
    let _ = write!(out, "  {:.1} us{whose}", nanoseconds as f64 / 1e3);
    if nanoseconds > 0 && whose.is_empty() {
        let rate = |n: u64| n as f64 / nanoseconds as f64;
        let _ = write!(out, "  {:.2} GB/s", rate(e.cost.read + e.cost.written));
        if e.cost.flops > 0 {
            let _ = write!(out, "  {:.2} GFLOP/s", rate(e.cost.flops));
        }
    }
    out
}

/// The graph of a segment before fusion and the kernels after it.
pub fn graph(nodes: &[Arc<Node>], plan: &Plan) -> String {
    let mut out = String::from("corten: graph\n");
    for (i, node) in nodes.iter().enumerate() {
        let results: Vec<String> = node.outs.iter().map(|o| format!("{} {:?}", o.dtype, &o.layout.shape[..])).collect();
        let inputs: Vec<String> = node
            .inputs()
            .iter()
            .map(|input| match input {
                Input::Scalar(_, dtype) => format!("{dtype}"),
                Input::Tensor(e) if matches!(e.node.op, Op::Data) || !e.node.is_pending() => {
                    format!("{} {:?}", e.dtype, &e.layout.shape[..])
                }
                Input::Tensor(e) => format!("%{}", e.node.slot.load(Relaxed)),
            })
            .collect();
        let _ = writeln!(out, "  %{i} = {}({}) -> {}", node.op.name(), inputs.join(", "), results.join(", "));
    }
    out.push_str("corten: kernels\n");
    for step in &plan.steps {
        let _ = match step {
            Step::Kernel(n) => writeln!(out, "  {} %{n}", nodes[*n as usize].op.name()),
            Step::Fused(f) => {
                let list: Vec<String> = f.nodes.iter().map(|n| format!("%{n}")).collect();
                let name = fused_name(f, |n| nodes.get(n as usize).cloned());
                writeln!(out, "  {name} {}", list.join(" "))
            }
            Step::Joined(j) => {
                let list: Vec<String> = step.nodes().iter().map(|n| format!("%{n}")).collect();
                let name = joined_name(j, |n| nodes.get(n as usize).cloned());
                writeln!(out, "  {name} {}", list.join(" "))
            }
        };
    }
    out
}
