//! Fused elementwise programs as WGSL. An invocation computes four neighbouring elements of the outputs, so that it owns
//! whole words of every dtype.
//!
//! Sizes, strides, offsets and numbers are parameters. The text depends on the program, on how each operand is walked, on
//! which operands share memory, and on the number of dims left after joining.

use super::copy;
use super::device::Gpu;
use super::encoder::{Dispatch, WINDOW_ALIGNMENT, Window};
use super::instructions::{Names, write_instructions, write_results};
use super::memory::{self, Allocation};
use super::pipelines::{Access, Pipeline};
use super::view::View;
use super::wgsl::{assemble, declare, element_of, load, number, register, store_vector, vector, words_of};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::exec::program::Program;
use crate::shape::Dims;
use crate::sync::lock;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::fmt::Write;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

const WORKGROUP: usize = 256;
/// Elements an invocation computes.
const GROUP: usize = 4;
/// Words of the parameters before the dims.
const HEADER: usize = 3;
/// What the elements of a stretch are a multiple of, so that its results begin where a window may.
const STRETCH: usize = 256;
/// A kernel with one program only.
const OWN: Names = Names { prefix: "", base: 0 };

/// A program with a name for the cache of pipelines.
#[derive(Debug)]
pub struct Kernel {
    pub(super) program: Program,
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

/// How an operand's elements are found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Walk {
    /// Element i of the output is element i from the offset.
    Linear,
    /// As `Linear`, read four at a time.
    Wide,
    /// One element for all.
    Constant,
    Strided,
    /// The kernel that the program is part of has the element at hand.
    Given,
}

/// The launch of one program: the walk and the binding of every operand and target.
pub(super) struct Shape {
    dims: Dims,
    strides: SmallVec<[Dims; 8]>,
    walks: SmallVec<[Walk; 8]>,
    /// Bindings of loads and stores.
    pub(super) loads: SmallVec<[u8; 8]>,
    stores: SmallVec<[u8; 4]>,
    /// Per binding: bytes of an element if it is bound as vectors of four elements, 0 if as words; and whether it is written.
    pub(super) bindings: SmallVec<[(u8, bool); 8]>,
}

static NEXT: AtomicU32 = AtomicU32::new(0);
static PARTS: LazyLock<Mutex<HashMap<(u32, u16, u16), u32>>> = LazyLock::new(Mutex::default);

impl Kernel {
    pub fn new(program: Program) -> Kernel {
        Kernel { program, id: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    /// Computes every element of an index space of this shape; targets are dense with the given strides.
    pub fn run(
        &self,
        gpu: &Arc<Gpu>,
        shape: &[usize],
        strides: &[usize],
        operands: &[Operand],
        numbers: &[u64],
        targets: &[&Allocation],
    ) -> Result<()> {
        let n: usize = shape.iter().product();
        if n == 0 {
            return Ok(());
        }
        if u32::try_from(n).is_err() {
            return Err(Error::Runtime(format!("a tensor of {n} elements is beyond what gpu:{} can index", gpu.index)));
        }
        if gpu.too_large(operands.iter().map(|o| o.memory).chain(targets.iter().copied())) {
            return self.run_in_windows(gpu, shape, strides, operands, numbers, targets);
        }
        let limit = gpu.limits.max_storage_buffers_per_shader_stage as usize;
        let s = Shape::new(&self.program, shape, strides, operands, targets, false);
        if s.bindings.len() > limit {
            return self.run_in_parts(gpu, shape, strides, operands, numbers, targets);
        }
        let buffers = s.buffers(operands, targets);
        let pipeline = self.pipeline(gpu, &s)?;
        let parameters = s.parameters(&self.program, operands, numbers, 0..n, &[]);
        let grid = Gpu::grid(n.div_ceil(GROUP).div_ceil(WORKGROUP));
        gpu.dispatch(&Dispatch { pipeline: &pipeline, buffers: &buffers, parameters: &parameters, groups: grid })
    }

    fn pipeline(&self, gpu: &Gpu, s: &Shape) -> Result<Arc<Pipeline>> {
        gpu.pipeline(("elementwise", s.key(self.id)), || (assemble(&self.text(s)), s.accesses()))
    }

    /// A shader cannot see all of some operand or result at once: the index space is cut into stretches, and each launch
    /// binds what its stretch touches.
    fn run_in_windows(
        &self,
        gpu: &Arc<Gpu>,
        shape: &[usize],
        strides: &[usize],
        operands: &[Operand],
        numbers: &[u64],
        targets: &[&Allocation],
    ) -> Result<()> {
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
            return self.run_in_parts(gpu, shape, strides, operands, numbers, targets);
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
            return self.run_in_windows(gpu, shape, strides, &operands, numbers, targets);
        }
        let (buffers, pipeline) = (s.buffers(operands, targets), self.pipeline(gpu, &s)?);
        for first in (0..n).step_by(length) {
            let stretch = first..(first + length).min(n);
            let windows = s.windows(&self.program, operands, &buffers, stretch.clone());
            let parameters = s.parameters(&self.program, operands, numbers, stretch.clone(), &windows);
            let groups = Gpu::grid(stretch.len().div_ceil(GROUP).div_ceil(WORKGROUP));
            let launch = Dispatch { pipeline: &pipeline, buffers: &buffers, parameters: &parameters, groups };
            gpu.dispatch_windows(&launch, &windows)?;
        }
        Ok(())
    }
}

impl Kernel {
    /// Too many results for one launch: each part computes some of them. What they share is computed again, so no result may
    /// lie where a later part still reads.
    fn run_in_parts(
        &self,
        gpu: &Arc<Gpu>,
        shape: &[usize],
        strides: &[usize],
        operands: &[Operand],
        numbers: &[u64],
        targets: &[&Allocation],
    ) -> Result<()> {
        let taken = |t: &&Allocation| operands.iter().any(|o| o.memory.id == t.id);
        if targets.len() < 2 || targets.iter().any(taken) {
            return Err(Error::Internal("a fused kernel binds more buffers than the device allows".into()));
        }
        let half = targets.len() / 2;
        for (stores, targets) in [(0..half, &targets[..half]), (half..targets.len(), &targets[half..])] {
            let mut program = self.program.clone();
            program.stores = program.stores[stores.clone()].to_vec();
            let part = Kernel { program, id: self.part(stores.start, stores.end) };
            part.run(gpu, shape, strides, operands, numbers, targets)?;
        }
        Ok(())
    }

    /// The name of the part with these results.
    fn part(&self, from: usize, to: usize) -> u32 {
        let mut parts = lock(&PARTS);
        *parts.entry((self.id, from as u16, to as u16)).or_insert_with(|| NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl Shape {
    fn new(
        program: &Program,
        shape: &[usize],
        strides: &[usize],
        operands: &[Operand],
        targets: &[&Allocation],
        apart: bool,
    ) -> Shape {
        let (dims, joined) = join_dims(shape, strides, operands);
        let expected = dims.contiguous_strides();
        let mut walks: SmallVec<[Walk; 8]> = SmallVec::new();
        for ((operand, own), dtype) in operands.iter().zip(&joined).zip(&program.loads) {
            let linear = *own == expected;
            walks.push(if linear && (operand.offset * dtype.size()).is_multiple_of(GROUP * dtype.size().min(4)) {
                Walk::Wide
            } else if own.iter().zip(dims.iter()).all(|(&s, &d)| s == 0 || d == 1) {
                Walk::Constant
            } else if linear {
                Walk::Linear
            } else {
                Walk::Strided
            });
        }
        let mut s = Shape {
            dims,
            strides: joined,
            walks,
            loads: SmallVec::new(),
            stores: SmallVec::new(),
            bindings: SmallVec::new(),
        };
        s.bind(program, operands, targets, apart);
        s
    }

    /// For a program inside another kernel, which reads one element at a time and has operand `given` at hand.
    pub(super) fn inside(
        program: &Program,
        shape: &[usize],
        strides: &[usize],
        operands: &[Operand],
        given: Option<usize>,
    ) -> Shape {
        let mut s = Shape::new(program, shape, strides, operands, &[], false);
        for (k, walk) in s.walks.iter_mut().enumerate() {
            match walk {
                _ if given == Some(k) => *walk = Walk::Given,
                Walk::Wide => *walk = Walk::Linear,
                _ => {}
            }
        }
        let mut ids: SmallVec<[u64; 8]> = SmallVec::new();
        for (k, operand) in operands.iter().enumerate() {
            let at = ids.iter().position(|&i| i == operand.memory.id);
            s.loads[k] = match at {
                _ if given == Some(k) => 0,
                Some(at) => at as u8,
                None => {
                    ids.push(operand.memory.id);
                    ids.len() as u8 - 1
                }
            };
        }
        s.bindings = SmallVec::from_elem((0, false), ids.len());
        s
    }

    /// Gives every distinct buffer a binding, in the order of first mention. A buffer is bound as vectors if all its readers
    /// and writers take four neighbours of one size. `apart` gives every operand that no result overwrites a binding of its own.
    fn bind(&mut self, program: &Program, operands: &[Operand], targets: &[&Allocation], apart: bool) {
        let mut ids: SmallVec<[u64; 8]> = SmallVec::new();
        let uses = operands.iter().map(|o| o.memory.id).chain(targets.iter().map(|t| t.id));
        for (k, id) in uses.enumerate() {
            let (size, wide, write) = match k.checked_sub(operands.len()) {
                None => (program.loads[k].size() as u8, self.walks[k] == Walk::Wide, false),
                Some(t) => (program.stores[t].1.size() as u8, true, true),
            };
            let size = if wide { size } else { 0 };
            let alone = apart && !targets.iter().any(|t| t.id == id);
            let at = ids.iter().position(|&i| i == id && !alone).unwrap_or_else(|| {
                ids.push(id);
                self.bindings.push((size, false));
                ids.len() - 1
            });
            let binding = &mut self.bindings[at];
            binding.1 |= write;
            if binding.0 != size {
                binding.0 = 0;
            }
            if write { self.stores.push(at as u8) } else { self.loads.push(at as u8) }
        }
        // Where the binding is words, neighbours are read one by one.
        for (walk, &b) in self.walks.iter_mut().zip(&self.loads) {
            if *walk == Walk::Wide && self.bindings[b as usize].0 == 0 {
                *walk = Walk::Linear;
            }
        }
    }

    pub(super) fn key(&self, id: u32) -> Vec<u32> {
        let mut key = vec![id, if self.walks.contains(&Walk::Strided) { self.dims.len() as u32 } else { 0 }];
        key.extend(self.walks.iter().zip(&self.loads).map(|(w, b)| *w as u32 | u32::from(*b) << 8));
        key.extend(self.stores.iter().map(|&b| u32::from(b)));
        key.extend(self.bindings.iter().map(|&(size, write)| u32::from(size) | u32::from(write) << 8));
        key
    }

    fn accesses(&self) -> Vec<Access> {
        self.bindings.iter().map(|b| if b.1 { Access::Write } else { Access::Read }).collect()
    }

    fn strided(&self) -> bool {
        self.walks.contains(&Walk::Strided)
    }

    fn buffers<'a>(&self, operands: &[Operand<'a>], targets: &[&'a Allocation]) -> SmallVec<[&'a Allocation; 8]> {
        let mut buffers: SmallVec<[&Allocation; 8]> = SmallVec::new();
        let of_loads = self.loads.iter().zip(operands.iter().map(|o| o.memory));
        for (b, a) in of_loads.chain(self.stores.iter().zip(targets.iter().copied())) {
            if *b as usize == buffers.len() {
                buffers.push(a);
            }
        }
        buffers
    }

    /// The first element of operand `k`'s memory that a stretch of the index space touches, and the one after the last.
    fn touched(&self, k: usize, offset: usize, stretch: Range<usize>) -> (usize, usize) {
        match self.walks[k] {
            Walk::Constant => (offset, offset + 1),
            Walk::Linear | Walk::Wide | Walk::Given => (offset + stretch.start, offset + stretch.end),
            Walk::Strided => {
                // Strides may be negative.
                let (mut from, mut last) = (offset as isize, offset as isize);
                let mut inner: usize = self.dims.iter().product();
                // Until the stretch crosses a dim's end it moves along that dim only; from there on it may touch everything.
                let mut whole = false;
                for (&d, &s) in self.dims.iter().zip(self.strides[k].iter()) {
                    let size = inner;
                    inner /= d;
                    let (mut a, mut b) = (stretch.start % size / inner, (stretch.end - 1) % size / inner);
                    if whole {
                        (a, b) = (0, d - 1);
                    }
                    whole |= a != b;
                    let (a, b) = (a as isize * s as isize, b as isize * s as isize);
                    from += a.min(b);
                    last += a.max(b);
                }
                (from as usize, last as usize + 1)
            }
        }
    }

    /// What each binding has to show for a stretch of the index space.
    fn windows(
        &self,
        program: &Program,
        operands: &[Operand],
        buffers: &[&Allocation],
        stretch: Range<usize>,
    ) -> SmallVec<[Window; 8]> {
        let mut ranges: SmallVec<[(u64, u64); 8]> = SmallVec::from_elem((u64::MAX, 0), buffers.len());
        let mut show = |b: u8, (from, to): (usize, usize), size: usize| {
            let r = &mut ranges[b as usize];
            // Whole vectors are read and written.
            *r = (r.0.min((from * size) as u64), r.1.max((to * size) as u64 + 32));
        };
        for (k, &b) in self.loads.iter().enumerate() {
            show(b, self.touched(k, operands[k].offset, stretch.clone()), program.loads[k].size());
        }
        for (&b, (_, dtype)) in self.stores.iter().zip(&program.stores) {
            show(b, (stretch.start, stretch.end), dtype.size());
        }
        let window = |((from, to), memory): (&(u64, u64), &&Allocation)| {
            let from = from / WINDOW_ALIGNMENT * WINDOW_ALIGNMENT;
            (from, (to.next_multiple_of(16)).min(memory.buffer.size()) - from)
        };
        ranges.iter().zip(buffers).map(window).collect()
    }

    /// Words: groups of elements, the last element, the first, the dims if one operand is strided, then per operand its offset
    /// and, if strided, its strides, then the numbers. Offsets are such that the offset plus the position in the index space is
    /// the position in the window; for what is read four at a time, plus the position in the stretch.
    pub(super) fn parameters(
        &self,
        program: &Program,
        operands: &[Operand],
        numbers: &[u64],
        stretch: Range<usize>,
        windows: &[Window],
    ) -> SmallVec<[u32; 64]> {
        let groups = stretch.len().div_ceil(GROUP) as u32;
        let mut p: SmallVec<[u32; 64]> = SmallVec::from_slice(&[groups, stretch.end as u32 - 1, stretch.start as u32]);
        if self.strided() {
            p.extend(self.dims.iter().map(|&d| d as u32));
        }
        for (k, (operand, strides)) in operands.iter().zip(&self.strides).enumerate() {
            let walk = self.walks[k];
            let shown = windows.get(self.loads[k] as usize).map_or(0, |w| w.0 as usize / program.loads[k].size());
            let ahead = if walk == Walk::Wide { stretch.start } else { 0 };
            p.push((operand.offset + ahead).wrapping_sub(shown) as u32);
            if walk == Walk::Strided {
                p.extend(strides.iter().map(|&s| s as u32));
            }
        }
        for (&bits, &dtype) in numbers.iter().zip(&program.scalars) {
            let (words, count) = number(bits, dtype);
            p.extend_from_slice(&words[..count]);
        }
        p
    }
}

/// The index space in the output's memory order, with dims joined where every operand allows it; strides per operand.
fn join_dims(shape: &[usize], out_strides: &[usize], operands: &[Operand]) -> (Dims, SmallVec<[Dims; 8]>) {
    let mut order: SmallVec<[usize; 6]> = (0..shape.len()).filter(|&d| shape[d] != 1).collect();
    order.sort_by_key(|&d| std::cmp::Reverse(out_strides[d]));
    let mut dims = Dims::new();
    let mut strides: SmallVec<[Dims; 8]> = SmallVec::from_elem(Dims::new(), operands.len());
    for d in order {
        let last = dims.len().wrapping_sub(1);
        let joins = !dims.is_empty()
            && operands.iter().zip(&strides).all(|(o, s)| s[last] == o.strides[d].wrapping_mul(shape[d]));
        if joins {
            dims[last] *= shape[d];
            strides.iter_mut().zip(operands).for_each(|(s, o)| s[last] = o.strides[d]);
        } else {
            dims.push(shape[d]);
            strides.iter_mut().zip(operands).for_each(|(s, o)| s.push(o.strides[d]));
        }
    }
    if dims.is_empty() {
        dims.push(1);
        strides.iter_mut().for_each(|s| s.push(1));
    }
    (dims, strides)
}

impl Kernel {
    fn text(&self, s: &Shape) -> String {
        let mut t = String::new();
        for (k, &(size, write)) in s.bindings.iter().enumerate() {
            let element = if size == 0 { "u32" } else { vector(size as usize) };
            declare(&mut t, k, &format!("b{k}"), element, write);
        }
        write_results(&mut t, &self.program, OWN);
        self.write_compute(&mut t, s, OWN);
        self.write_main(&mut t, s);
        t
    }

    /// The program for one element; what is read four at a time comes as arguments.
    pub(super) fn write_compute(&self, t: &mut String, s: &Shape, names: Names) {
        let p = &self.program;
        let Names { prefix, base } = names;
        let _ = write!(t, "fn {prefix}compute(element: u32");
        for (k, walk) in s.walks.iter().enumerate() {
            if matches!(walk, Walk::Wide | Walk::Given) {
                let _ = write!(t, ", l{k}: {}", register(p.loads[k]));
            }
        }
        let _ = writeln!(t, ") -> {prefix}Results {{");
        let rank = if s.strided() { s.dims.len() } else { 0 };
        let mut at = base + HEADER + rank;
        if rank > 0 {
            t.push_str("    var rest = element;\n");
            for d in (1..rank).rev() {
                let _ =
                    writeln!(t, "    let c{d} = rest % P({at}u);\n    rest = rest / P({at}u);", at = base + HEADER + d);
            }
            t.push_str("    let c0 = rest;\n");
        }
        for (k, walk) in s.walks.iter().enumerate() {
            let offset = format!("P({at}u)");
            at += 1;
            let index = match walk {
                Walk::Wide | Walk::Given => continue,
                Walk::Constant => offset,
                Walk::Linear => format!("{offset} + element"),
                Walk::Strided => {
                    let terms = (0..rank).map(|d| format!(" + c{d} * P({}u)", at + d)).collect::<String>();
                    at += rank;
                    offset + &terms
                }
            };
            let _ = writeln!(t, "    let i{k} = {index};");
            let _ = writeln!(
                t,
                "    let l{k} = {};",
                load(&format!("{prefix}b{}", s.loads[k]), p.loads[k], &format!("i{k}"))
            );
        }
        write_instructions(t, p, at, names);
    }

    fn write_main(&self, t: &mut String, s: &Shape) {
        let p = &self.program;
        t.push_str("@compute @workgroup_size(256)\nfn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) grid: vec3<u32>) {\n");
        t.push_str("    let g = id.x + id.y * grid.x * 256u;\n    if (g >= P(0u)) { return; }\n    let first = P(2u) + 4u * g;\n");
        let mut at = HEADER + if s.strided() { s.dims.len() } else { 0 };
        for (k, walk) in s.walks.iter().enumerate() {
            if *walk == Walk::Wide {
                let b = s.loads[k];
                match p.loads[k].size() {
                    8 => {
                        let _ = writeln!(
                            t,
                            "    let o{k} = P({at}u) / 2u + 2u * g;\n    let w{k} = b{b}[o{k}];\n    let x{k} = b{b}[o{k} + 1u];"
                        );
                    }
                    _ => {
                        let _ = writeln!(t, "    let w{k} = b{b}[P({at}u) / 4u + g];");
                    }
                }
            }
            at += 1 + if *walk == Walk::Strided { s.dims.len() } else { 0 };
        }
        for j in 0..GROUP {
            let element = if j == 0 { "first".to_string() } else { format!("min(first + {j}u, P(1u))") };
            let mut call = format!("    let r{j} = compute({element}");
            for (k, walk) in s.walks.iter().enumerate() {
                if *walk == Walk::Wide {
                    let part = element_of(p.loads[k], &format!("w{k}"), &format!("x{k}"), j);
                    let _ = write!(call, ", {part}");
                }
            }
            let _ = writeln!(t, "{call});");
        }
        for (k, (_, dtype)) in p.stores.iter().enumerate() {
            write_store(t, k, *dtype, s.stores[k], s.bindings[s.stores[k] as usize].0 != 0);
        }
        t.push_str("}\n");
    }
}

/// The texts of a program with its operands walked in each way and bound in each way, for tests.
#[cfg(test)]
pub fn samples(kernel: &Kernel) -> Vec<String> {
    let p = &kernel.program;
    let count = p.loads.len();
    let mut texts = Vec::new();
    for walk in [Walk::Linear, Walk::Wide, Walk::Constant, Walk::Strided] {
        let wide = walk == Walk::Wide;
        let mut bindings: SmallVec<[(u8, bool); 8]> =
            p.loads.iter().map(|d| (if wide { d.size() as u8 } else { 0 }, false)).collect();
        let mut stores: SmallVec<[u8; 4]> = SmallVec::new();
        for (_, dtype) in &p.stores {
            stores.push(bindings.len() as u8);
            bindings.push((dtype.size() as u8, true));
        }
        let dims = Dims::from_slice(if walk == Walk::Strided { &[3, 5, 7] } else { &[105] });
        let mut s = Shape {
            strides: SmallVec::from_elem(dims.clone(), count),
            dims,
            walks: SmallVec::from_elem(walk, count),
            loads: (0..count as u8).collect(),
            stores,
            bindings,
        };
        texts.push(kernel.text(&s));
        // In place: the first operand's memory is the result's.
        if let (Some(load), Some((_, store))) = (p.loads.first(), p.stores.first()) {
            let together = wide && load.size() == store.size();
            s.bindings[count].0 = if together { store.size() as u8 } else { 0 };
            s.loads[0] = count as u8;
            if wide && !together {
                s.walks[0] = Walk::Linear;
            }
            texts.push(kernel.text(&s));
        }
    }
    texts
}

/// Writes the four results of store `k` to the words that they fill.
fn write_store(t: &mut String, k: usize, dtype: DType, b: u8, vectors: bool) {
    let words = words_of(dtype, &[0, 1, 2, 3].map(|j| format!("r{j}.s{k}")));
    if vectors {
        let _ = writeln!(t, "    {}", store_vector(&format!("b{b}"), "g", &words));
        return;
    }
    for (j, w) in words.iter().enumerate() {
        let _ = writeln!(t, "    b{b}[{}u * g + {j}u] = {w};", words.len());
    }
}
