//! Fused elementwise programs as WGSL. An invocation computes four neighbouring elements of the outputs, so that it owns
//! whole words of every dtype; where an operand's neighbours lie along another dim, a block of four times four ([`blocks`]).
//!
//! Sizes, strides, offsets and numbers are parameters. The text depends on the program, on how each operand is walked, on
//! which operands share memory, and on the number of dims left after joining.

mod blocks;
mod jobs;
mod shape;
mod text;

pub(super) use jobs::{Form, Recipe, alike, workgroups};
pub(super) use shape::Shape;
use shape::Walk;
#[cfg(test)]
pub use text::samples;

use super::copy;
use super::device::Gpu;
use super::encoder::{Dispatch, WINDOW_ALIGNMENT};
use super::memory::{self, Allocation};
use super::pipelines::Pipeline;
use super::view::View;
use super::wgsl::assemble;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::exec::program::{Code, Instr, Program};
use crate::shape::Dims;
use crate::sync::lock;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

const WORKGROUP: usize = 256;
/// Elements an invocation computes.
const GROUP: usize = 4;
/// Bytes of a word.
const WORD: usize = 4;
/// What the elements of a stretch are a multiple of, so that its results begin where a window may.
const STRETCH: usize = 256;

/// Elements of the largest launch that may become part of one with others, on a GPU and where the processor computes. A GPU is
/// busy with more for longer than a launch takes to start. A processor goes through the reads and writes of all of them for
/// each workgroup, if only to skip them: only what is a single workgroup gains.
const MOST_JOINED: [usize; 2] = [1 << 20, WORKGROUP * GROUP];

/// A program with a name for the cache of pipelines.
#[derive(Clone, Debug)]
pub struct Kernel {
    pub(super) program: Arc<Program>,
    pub(super) id: u32,
}

/// An input: memory, the position of its first element and its strides in the output's index space.
pub struct Operand<'a> {
    pub memory: &'a Allocation,
    pub offset: usize,
    pub strides: Dims,
}

impl<'a> Operand<'a> {
    fn again(&self) -> Operand<'a> {
        Operand { memory: self.memory, offset: self.offset, strides: self.strides.clone() }
    }

    fn view<'b>(&'b self, dtype: DType, shape: &'b [usize]) -> View<'b> {
        View { memory: self.memory, offset: self.offset, dtype, shape, strides: &self.strides, inline: None }
    }
}

/// What a program is run on: an index space with its operands, numbers and targets, which are dense with the given strides.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    pub shape: &'a [usize],
    pub strides: &'a [usize],
    pub operands: &'a [Operand<'a>],
    pub numbers: &'a [u64],
    pub targets: &'a [&'a Allocation],
}

static NEXT: AtomicU32 = AtomicU32::new(0);
static PARTS: LazyLock<Mutex<HashMap<(u32, u16, u16), u32>>> = LazyLock::new(Mutex::default);

/// Programs that move elements of 1, 2, 4 and 8 bytes.
static MOVES: LazyLock<[Kernel; 4]> = LazyLock::new(|| {
    [DType::U8, DType::I16, DType::I32, DType::I64].map(|dtype| {
        let load = Instr { code: Code::Load(0), dtype, dst: 0, src: SmallVec::new() };
        Kernel::new(Program {
            instrs: vec![load],
            loads: vec![dtype],
            stores: vec![(0, dtype)],
            registers: 1,
            ..Default::default()
        })
    })
});

/// The program that moves elements of so many bytes.
fn mover(size: usize) -> &'static Kernel {
    &MOVES[size.trailing_zeros() as usize]
}

/// Whether a copy between distinct memories is work for [`move_all`]: into all of a dense tensor, from elements whose
/// neighbours lie along another dim.
pub fn moves_faster(gpu: &Gpu, target: &View, source: &View) -> bool {
    let (n, size) = (target.numel(), target.dtype.size());
    let operand = Operand { memory: source.memory, offset: source.offset, strides: Dims::from_slice(source.strides) };
    let own = Operand { memory: target.memory, offset: 0, strides: Dims::from_slice(target.strides) };
    let (dims, joined) = shape::join_dims(target.shape, target.strides, &[own, operand]);
    // Whole vectors are written.
    let fits = n.is_multiple_of(GROUP) || (n * size) as u64 == target.memory.used;
    let turned = joined[1].last() != Some(&1) && joined[1][..dims.len() - 1].contains(&1);
    n > 0
        && target.offset == 0
        && fits
        && turned
        && joined[0] == dims.contiguous_strides()
        && !gpu.too_large([target.memory, source.memory].into_iter())
}

/// Copies all elements of a dense tensor.
pub fn move_all(gpu: &Arc<Gpu>, target: &View, source: &View) -> Result<()> {
    let operands =
        [Operand { memory: source.memory, offset: source.offset, strides: Dims::from_slice(source.strides) }];
    let View { shape, strides, .. } = *target;
    let job = Job { shape, strides, operands: &operands, numbers: &[], targets: &[target.memory] };
    mover(target.dtype.size()).launch(gpu, job)
}

impl Kernel {
    pub fn new(program: Program) -> Kernel {
        Kernel { program: Arc::new(program), id: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    /// Computes every element of the index space.
    pub fn run(&self, gpu: &Arc<Gpu>, job: Job) -> Result<()> {
        if job.shape.contains(&0) {
            return Ok(());
        }
        match self.moves() {
            Some(dtype) => mover(dtype.size()).move_elements(gpu, job),
            None => self.launch(gpu, job),
        }
    }

    /// The dtype of elements that the program only moves.
    fn moves(&self) -> Option<DType> {
        match (&self.program.loads[..], &self.program.stores[..], &self.program.instrs[..]) {
            ([from], [(_, to)], [_]) if from == to => Some(*from),
            _ => None,
        }
    }

    /// Runs a program that moves the raw elements of its dtype: as words where they lie alike.
    fn move_elements(&self, gpu: &Arc<Gpu>, job: Job) -> Result<()> {
        let operand = &job.operands[0];
        let (dims, own) = shape::join_dims(job.shape, job.strides, job.operands);
        let size = self.program.loads[0].size();
        let (first, bytes) = (operand.offset * size, dims.numel() * size);
        let whole_words = first.is_multiple_of(WORD) && bytes.is_multiple_of(WORD);
        if own[0] == dims.contiguous_strides() && whole_words && u32::try_from((first + bytes) / WORD).is_ok() {
            let words = [Operand { memory: operand.memory, offset: first / WORD, strides: Dims::from_slice(&[1]) }];
            let job = Job { shape: &[bytes / WORD], strides: &[1], operands: &words, ..job };
            return mover(WORD).launch(gpu, job);
        }
        self.launch(gpu, job)
    }

    fn launch(&self, gpu: &Arc<Gpu>, job: Job) -> Result<()> {
        let Job { shape, strides, operands, numbers, targets } = job;
        let n: usize = shape.iter().product();
        if u32::try_from(n).is_err() {
            return Err(Error::Runtime(format!("a tensor of {n} elements is beyond what gpu:{} can index", gpu.index)));
        }
        if gpu.too_large(operands.iter().map(|o| o.memory).chain(targets.iter().copied())) {
            return self.run_in_windows(gpu, job);
        }
        let limit = gpu.limits.max_storage_buffers_per_shader_stage as usize;
        let mut s = Shape::new(&self.program, shape, strides, operands, targets, false);
        if let Some(blocks) = s.in_blocks(&self.program, operands, targets) {
            s = blocks;
        }
        if s.bindings.len() > limit {
            return self.run_in_parts(gpu, job);
        }
        let buffers = s.buffers(operands, targets);
        let pipeline = self.pipeline(gpu, &s)?;
        let parameters = s.parameters(&self.program, operands, numbers, 0..n, &[]);
        let (groups, parameters) = (Gpu::grid(s.workgroups(n)), &parameters);
        let launch = Dispatch { pipeline: &pipeline, buffers: &buffers, parameters, groups };
        let whole = operands.iter().map(|o| o.memory).chain(targets.iter().copied()).all(|m| m.part.is_none());
        if !whole || !s.is_flat() {
            return gpu.dispatch(&launch);
        }
        let most = MOST_JOINED[usize::from(gpu.info.device_type == wgpu::DeviceType::Cpu)];
        gpu.join(&launch, &pipeline, Recipe { kernel: self.clone(), shape: s }, n > most)
    }

    fn pipeline(&self, gpu: &Gpu, s: &Shape) -> Result<Arc<Pipeline>> {
        gpu.pipeline(("elementwise", s.key(self.id)), || (assemble(&self.text(s)), s.accesses()))
    }

    /// A shader cannot see all of some operand or result at once: the index space is cut into stretches, and each launch
    /// binds what its stretch touches.
    fn run_in_windows(&self, gpu: &Arc<Gpu>, job: Job) -> Result<()> {
        let Job { shape, strides, operands, numbers, targets } = job;
        let n: usize = shape.iter().product();
        let widest = self.program.loads.iter().chain(self.program.stores.iter().map(|s| &s.1)).map(|d| d.size()).max();
        // One alignment for where a stretch begins inside a window, one for whole vectors at its end.
        let room = gpu.window_bytes().saturating_sub(2 * WINDOW_ALIGNMENT) as usize / widest.unwrap_or(8);
        let length = room / STRETCH * STRETCH;
        if length == 0 {
            return Err(Error::Runtime(format!(
                "gpu:{} binds {} bytes at most, which is too little for any kernel",
                gpu.index,
                gpu.window_bytes()
            )));
        }
        let s = Shape::new(&self.program, shape, strides, operands, targets, true);
        let limit = gpu.limits.max_storage_buffers_per_shader_stage as usize;
        if s.bindings.len() > limit {
            return self.run_in_parts(gpu, job);
        }
        // An operand that is walked across its memory is first brought into the results' order.
        let scattered = |k: usize| {
            s.walks[k] == Walk::Strided
                && (0..n).step_by(length).any(|first| {
                    let (from, to) = s.touched(k, operands[k].offset, first..(first + length).min(n));
                    to - from > room
                })
        };
        if let Some(k) = (0..operands.len()).find(|&k| scattered(k)) {
            let dtype = self.program.loads[k];
            let dense = memory::allocate(gpu, n * dtype.size())?;
            let whole = Operand { memory: &dense, offset: 0, strides: Dims::from_slice(strides) };
            copy::copy(gpu, &whole.view(dtype, shape), &operands[k].view(dtype, shape))?;
            let mut operands: SmallVec<[Operand; 8]> = operands.iter().map(Operand::again).collect();
            operands[k] = whole;
            return self.run_in_windows(gpu, Job { operands: &operands, ..job });
        }
        let (buffers, pipeline) = (s.buffers(operands, targets), self.pipeline(gpu, &s)?);
        for first in (0..n).step_by(length) {
            let stretch = first..(first + length).min(n);
            let windows = s.windows(&self.program, operands, &buffers, stretch.clone());
            let parameters = s.parameters(&self.program, operands, numbers, stretch.clone(), &windows);
            let groups = Gpu::grid(s.workgroups(stretch.len()));
            let launch = Dispatch { pipeline: &pipeline, buffers: &buffers, parameters: &parameters, groups };
            gpu.dispatch_windows(&launch, &windows)?;
        }
        Ok(())
    }
}

impl Kernel {
    /// Too many results for one launch: each part computes some of them. What they share is computed again, so no result may
    /// lie where a later part still reads.
    fn run_in_parts(&self, gpu: &Arc<Gpu>, job: Job) -> Result<()> {
        let Job { operands, targets, .. } = job;
        let taken = |t: &&Allocation| operands.iter().any(|o| o.memory.id == t.id);
        if targets.len() < 2 || targets.iter().any(taken) {
            return Err(Error::Internal("a fused kernel binds more buffers than the device allows".into()));
        }
        let half = targets.len() / 2;
        for (stores, targets) in [(0..half, &targets[..half]), (half..targets.len(), &targets[half..])] {
            let stored = self.program.stores[stores.clone()].to_vec();
            let program = Program { stores: stored, ..(*self.program).clone() };
            let part = Kernel { program: Arc::new(program), id: self.part(stores.start, stores.end) };
            part.run(gpu, Job { targets, ..job })?;
        }
        Ok(())
    }

    /// The name of the part with these results.
    fn part(&self, from: usize, to: usize) -> u32 {
        let mut parts = lock(&PARTS);
        *parts.entry((self.id, from as u16, to as u16)).or_insert_with(|| NEXT.fetch_add(1, Ordering::Relaxed))
    }
}
