//! The interpreter of fused elementwise programs: runs all instructions over a tile that fits in L1, tile after tile, so
//! that a chain of operators touches memory once.

use super::bands::Bands;
use super::blocks::{BlockFn, block_fn, cast_fn, register_dtype, round_block};
use super::copy::whole_pairs;
use super::halves;
use super::lines::gather;
use super::philox::Philox;
use super::threads;
use crate::cpu::simd::prefetch;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::exec::program::{Code, Instr, Program};
use crate::op::{Ew, Rule};
use crate::shape::Dims;
use smallvec::SmallVec;
use std::cell::RefCell;
use std::sync::LazyLock;

/// Bytes of scratch a tile may use: two thirds of a 48 KiB L1 cache.
const SCRATCH: usize = 32 << 10;
const MAX_TILE: usize = 1024;
const MIN_TILE: usize = 64;
/// Instructions times elements below which a kernel stays on the caller's thread (about 20 µs).
const SERIAL_WORK: usize = 64 << 10;

/// An input: the address of its first element and its strides in the output's index space.
pub struct Operand<'a> {
    pub ptr: *const u8,
    pub strides: &'a [usize],
}

/// An output, dense in the kernel's layout.
pub struct Target {
    pub ptr: *mut u8,
}

// SAFETY: addresses only; tiles of different threads are disjoint.
unsafe impl Sync for Operand<'_> {}
unsafe impl Sync for Target {}

#[derive(Clone, Copy)]
enum Action {
    Load(u16),
    Block(BlockFn),
    /// Seed and offset are numbers of the program.
    Philox(u16, u16),
}

struct Step {
    action: Action,
    dst: u16,
    src: SmallVec<[u16; 4]>,
    /// The dtype whose precision the result is rounded to (half types), else the register's own.
    round: DType,
    /// The store that this step may write directly.
    store: Option<u16>,
}

/// Comparisons and tests leave bytes, not floats, in their register.
fn is_flag(code: Code) -> bool {
    matches!(code, Code::Ew(op) if matches!(op.rule(), Rule::Compare | Rule::Test | Rule::Logic))
}

/// Bytes of a tensor that caches hold beside others.
const IN_CACHE: usize = 1 << 20;

/// A program with its block functions resolved.
pub struct Kernel {
    steps: Vec<Step>,
    loads: Vec<DType>,
    /// The registers that hold numbers, which no step overwrites: register, number, and its dtype.
    numbers: Vec<(u16, u16, DType)>,
    stores: Vec<(u16, DType)>,
    registers: usize,
    /// Per load: the last step that reads it; stores read after all steps.
    last_read: Vec<usize>,
    /// Bytes of the widest register element.
    width: usize,
    tile: usize,
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kernel({} steps, {} loads, {} stores)", self.steps.len(), self.loads.len(), self.stores.len())
    }
}

impl Kernel {
    pub fn new(mut program: Program) -> Result<Kernel> {
        move_halves_as_bits(&mut program);
        let mut steps: Vec<Step> = Vec::with_capacity(program.instrs.len());
        let mut width = 1;
        let mut numbers: Vec<(u16, u16, DType)> = Vec::new();
        for instr in &program.instrs {
            let mut round = if is_flag(instr.code) { DType::Bool } else { instr.dtype };
            width = width.max(register_dtype(instr.dtype).size());
            let action = match instr.code {
                Code::Load(k) => Action::Load(k),
                Code::Scalar(k) => {
                    numbers.push((instr.dst, k, program.scalars[k as usize]));
                    continue;
                }
                Code::Cast(to) => {
                    round = to;
                    width = width.max(register_dtype(to).size());
                    Action::Block(cast_fn(instr.dtype, to))
                }
                // Registers are memory: bits stay what they are.
                Code::Bits(_) => Action::Block(cast_fn(DType::I32, DType::I32)),
                Code::Ew(Ew::Philox) => {
                    let number = |k: usize| numbers.iter().find(|n| n.0 == instr.src[k]).map(|n| n.1);
                    let (Some(seed), Some(offset)) = (number(0), number(1)) else {
                        return Err(Error::Internal("philox: seed and offset must be numbers".into()));
                    };
                    Action::Philox(seed, offset)
                }
                Code::Ew(op) => Action::Block(block_fn(op, instr.dtype).ok_or_else(|| {
                    Error::Runtime(format!("\"{}\" not implemented for '{}'", op.name(), instr.dtype.scalar_name()))
                })?),
            };
            steps.push(Step { action, dst: instr.dst, src: instr.src.clone(), round, store: None });
        }
        leave_rounding_to_stores(&mut steps);
        mark_direct_stores(&mut steps, &program.stores);
        let last_read = last_reads(&steps, &program);
        let tile = (SCRATCH / (program.registers.max(1) * width)).clamp(MIN_TILE, MAX_TILE) & !15;
        Ok(Kernel {
            steps,
            loads: program.loads,
            numbers,
            stores: program.stores,
            registers: program.registers,
            last_read,
            width,
            tile,
        })
    }

    /// Computes every element of an index space of this shape; targets are dense with the given strides.
    pub fn run(&self, shape: &[usize], strides: &[usize], operands: &[Operand], numbers: &[u64], targets: &[Target]) {
        let n: usize = shape.iter().product();
        if n == 0 {
            return;
        }
        if let Some(pairs) = self.pairs_of(shape, strides, operands, targets) {
            let operand = Operand { ptr: operands[0].ptr, strides: &pairs.1[1] };
            return PAIRS.run(&pairs.0, &pairs.1[0], &[operand], &[], targets);
        }
        let space = Space::new(shape, strides, operands);
        let direct = self.direct_stores(operands, targets);
        let large = n * self.width > IN_CACHE;
        let frame = Frame { kernel: self, space: &space, operands, numbers, targets, direct, large };
        let (tile, steps) = (self.tile, self.steps.len().max(1));
        if let Some(bands) = Bands::new(&space.shape, &space.strides, tile) {
            let grain = (SERIAL_WORK / (bands.elements() * steps)).max(1);
            return threads::parallel_for(bands.count(), grain, |r| frame.run_bands(&bands, r));
        }
        if n * steps <= SERIAL_WORK {
            frame.run_tiles(0, n, tile);
            return;
        }
        let tiles = n.div_ceil(tile);
        let grain = (SERIAL_WORK / (tile * steps)).max(1);
        threads::parallel_for(tiles, grain, |r| frame.run_tiles(r.start * tile, (r.end * tile).min(n), tile));
    }
}

/// Moves eight bytes: two elements of four that stay side by side.
static PAIRS: LazyLock<Kernel> = LazyLock::new(|| {
    let load = Instr { code: Code::Load(0), dtype: DType::I64, dst: 0, src: SmallVec::new() };
    let (loads, stores) = (vec![DType::I64], vec![(0, DType::I64)]);
    let program = Program { instrs: vec![load], loads, stores, registers: 1, ..Program::default() };
    Kernel::new(program).unwrap_or_else(|e| panic!("a move of int64 could not be made: {e}"))
});

/// Where nothing happens but that half values change their places, they need not be widened.
fn move_halves_as_bits(program: &mut Program) {
    if let ([Instr { code: Code::Load(_), dst, .. }], [load], [(from, store)]) =
        (&program.instrs[..], &mut program.loads[..], &mut program.stores[..])
        && load == store
        && dst == from
        && register_dtype(*load) != *load
    {
        (*load, *store) = (DType::I16, DType::I16);
        program.instrs[0].dtype = DType::I16;
    }
}

/// A half value that no later step reads is rounded where it is stored.
fn leave_rounding_to_stores(steps: &mut [Step]) {
    let mut read: SmallVec<[u16; 16]> = SmallVec::new();
    for step in steps.iter_mut().rev() {
        if !read.contains(&step.dst) {
            step.round = register_dtype(step.round);
        }
        read.retain(|r| *r != step.dst);
        read.extend(step.src.iter().copied());
    }
}

/// A step whose result is a full-precision output may compute straight into the output's memory.
fn mark_direct_stores(steps: &mut [Step], stores: &[(u16, DType)]) {
    for (k, &(reg, dtype)) in stores.iter().enumerate() {
        if register_dtype(dtype) != dtype {
            continue;
        }
        let Some(step) = steps.iter_mut().rev().find(|s| s.dst == reg) else { continue };
        if matches!(step.action, Action::Block(_) | Action::Load(_)) && step.store.is_none() {
            step.store = Some(k as u16);
        }
    }
}

/// For every load the last step that reads it.
fn last_reads(steps: &[Step], program: &Program) -> Vec<usize> {
    let mut last = vec![0; program.loads.len()];
    let mut holds: Vec<Option<u16>> = vec![None; program.registers];
    for (at, step) in steps.iter().enumerate() {
        for load in step.src.iter().filter_map(|&r| holds[r as usize]) {
            last[load as usize] = at;
        }
        holds[step.dst as usize] = if let Action::Load(i) = step.action { Some(i) } else { None };
    }
    for load in program.stores.iter().filter_map(|&(r, _)| holds[r as usize]) {
        last[load as usize] = usize::MAX;
    }
    last
}

impl Kernel {
    /// The index space in pairs, where nothing happens but that pairs of elements of four bytes change their places.
    fn pairs_of(
        &self,
        shape: &[usize],
        strides: &[usize],
        operands: &[Operand],
        targets: &[Target],
    ) -> Option<(Dims, [Dims; 2])> {
        let ([Step { action: Action::Load(0), .. }], [from], [(0, to)]) =
            (&self.steps[..], &self.loads[..], &self.stores[..])
        else {
            return None;
        };
        if from != to || from.size() != 4 {
            return None;
        }
        let addresses = [targets[0].ptr.cast_const(), operands[0].ptr];
        whole_pairs(shape, [strides, operands[0].strides], addresses, 4)
    }

    /// Per store, whether its step may write the target at once. A donated target is an operand's memory, which a later
    /// step may still read.
    fn direct_stores(&self, operands: &[Operand], targets: &[Target]) -> SmallVec<[bool; 4]> {
        let mut direct = SmallVec::from_elem(false, targets.len());
        for (at, step) in self.steps.iter().enumerate() {
            let Some(store) = step.store else { continue };
            let target = targets[store as usize].ptr.cast_const();
            let read_later = |(o, &last): (&Operand<'_>, &usize)| std::ptr::eq(o.ptr, target) && last >= at;
            direct[store as usize] = !operands.iter().zip(&self.last_read).any(read_later);
        }
        direct
    }
}

/// The index space after reordering to the output's memory order and joining dims.
struct Space {
    shape: Dims,
    /// Per operand.
    strides: SmallVec<[Dims; 8]>,
    /// Per operand: whether element i of the space is element i of memory.
    linear: SmallVec<[bool; 8]>,
}

impl Space {
    fn new(shape: &[usize], out_strides: &[usize], operands: &[Operand]) -> Space {
        let mut space = Space { shape: Dims::new(), strides: SmallVec::new(), linear: SmallVec::new() };
        // The common case first: all lie as the output does.
        if operands.iter().all(|o| o.strides == out_strides) {
            space.shape.push(shape.iter().product());
            space.linear.resize(operands.len(), true);
            space.strides.resize_with(operands.len(), || Dims::from_slice(&[1]));
            return space;
        }
        let mut order: SmallVec<[usize; 6]> = (0..shape.len()).filter(|&d| shape[d] != 1).collect();
        order.sort_by_key(|&d| std::cmp::Reverse(out_strides[d]));
        space.strides.resize(operands.len(), Dims::new());
        for &d in &order {
            let last = space.shape.len().wrapping_sub(1);
            let joins = !space.shape.is_empty()
                && operands.iter().zip(&space.strides).all(|(o, s)| s[last] == o.strides[d].wrapping_mul(shape[d]));
            if joins {
                space.shape[last] *= shape[d];
                for (o, s) in operands.iter().zip(&mut space.strides) {
                    s[last] = o.strides[d];
                }
            } else {
                space.shape.push(shape[d]);
                for (o, s) in operands.iter().zip(&mut space.strides) {
                    s.push(o.strides[d]);
                }
            }
        }
        if space.shape.is_empty() {
            space.shape.push(1);
            for s in &mut space.strides {
                s.push(1);
            }
        }
        let expected = space.shape.contiguous_strides();
        space.linear = space.strides.iter().map(|s| *s == expected).collect();
        space
    }
}

/// A program that finishes the results of a structured kernel, part by part, while they are in cache: it reads them where that
/// kernel puts them.
pub struct Finisher<'a> {
    kernel: &'a Kernel,
    shape: &'a [usize],
    /// Of the results, which are dense.
    strides: &'a [usize],
    operands: &'a [Operand<'a>],
    numbers: &'a [u64],
    targets: &'a [Target],
    /// The address of the results' first element, and an element's bytes.
    results: (*const u8, usize),
    space: Space,
    direct: SmallVec<[bool; 4]>,
}

// SAFETY: addresses only; the parts that threads finish are disjoint.
unsafe impl Sync for Finisher<'_> {}

/// What finishes a kernel's results, if something does. The kernel hands every element over once.
pub type Then<'a> = Option<&'a Finisher<'a>>;

impl<'a> Finisher<'a> {
    pub fn new(
        kernel: &'a Kernel,
        (shape, strides): (&'a [usize], &'a [usize]),
        operands: &'a [Operand<'a>],
        numbers: &'a [u64],
        targets: &'a [Target],
        results: (*const u8, usize),
    ) -> Self {
        let space = Space::new(shape, strides, operands);
        let direct = kernel.direct_stores(operands, targets);
        Finisher { kernel, shape, strides, operands, numbers, targets, results, space, direct }
    }

    /// All elements at once.
    pub fn all(&self) {
        self.kernel.run(self.shape, self.strides, self.operands, self.numbers, self.targets);
    }

    /// `rows` stretches of `columns` elements, `pitch` elements apart, the first of them at this address of the results.
    pub fn block<T>(&self, first: *const T, rows: usize, pitch: usize, columns: usize) {
        let (rows, columns) = if pitch == columns { (1, rows * columns) } else { (rows, columns) };
        let at = (first.addr() - self.results.0.addr()) / self.results.1;
        let (kernel, numbers, targets) = (self.kernel, self.numbers, self.targets);
        let (direct, large) = (self.direct.clone(), false);
        let frame = Frame { kernel, space: &self.space, operands: self.operands, numbers, targets, direct, large };
        let tile = kernel.tile.min(columns.next_multiple_of(16));
        let tiles = columns.div_ceil(tile);
        let grain = (SERIAL_WORK / (tile * kernel.steps.len().max(1))).max(1);
        threads::parallel_for(rows * tiles, grain, |range| {
            frame.with_registers(tile, 0, |base, slot, regs, _| {
                for (row, i) in range.map(|i| (i / tiles, i % tiles)) {
                    let n = tile.min(columns - i * tile);
                    // SAFETY: as in `run_tiles`.
                    unsafe { frame.run_tile(at + row * pitch + i * tile, n, base, slot, regs, &[]) };
                }
            });
        });
    }
}

struct Frame<'a> {
    kernel: &'a Kernel,
    space: &'a Space,
    operands: &'a [Operand<'a>],
    numbers: &'a [u64],
    targets: &'a [Target],
    direct: SmallVec<[bool; 4]>,
    /// Whether the elements come from beyond the second-level cache.
    large: bool,
}

thread_local! {
    static ARENA: RefCell<Vec<[u64; 8]>> = const { RefCell::new(Vec::new()) };
}

impl Frame<'_> {
    fn run_tiles(&self, start: usize, end: usize, tile: usize) {
        let tile = tile.min((end - start).next_multiple_of(16));
        self.with_registers(tile, 0, |base, slot, regs, _| {
            let mut at = start;
            while at < end {
                let n = tile.min(end - at);
                self.ask(at + n, tile.min(end - at - n));
                // SAFETY: register r owns bytes r·slot .. (r+1)·slot of the arena.
                unsafe { self.run_tile(at, n, base, slot, regs, &[]) };
                at += n;
            }
        });
    }

    /// Asks for the elements of the next tile, which memory brings while this one is computed.
    fn ask(&self, at: usize, n: usize) {
        if !self.large {
            return;
        }
        for ((operand, dtype), _) in
            self.operands.iter().zip(&self.kernel.loads).zip(&self.space.linear).filter(|o| *o.1)
        {
            let from = operand.ptr.wrapping_add(at * dtype.size());
            (0..n * dtype.size()).step_by(64).for_each(|line| prefetch(from.wrapping_add(line)));
        }
    }

    /// Runs whole bands: operands that lie across the rows are transposed a band at a time.
    fn run_bands(&self, bands: &Bands, range: std::ops::Range<usize>) {
        let across = bands.across();
        let stage = bands.elements() * size_of::<u64>();
        self.with_registers(bands.longest(), stage * across.len(), |base, slot, regs, stages| {
            for band in range {
                let band = bands.band(band);
                for (k, &i) in across.iter().enumerate() {
                    let (p, size) = (self.operands[i].ptr, self.kernel.loads[i].size());
                    // SAFETY: the index space stays inside the operand's window; every stage holds a band.
                    unsafe { bands.transpose(&band, p, size, &self.space.strides[i], stages.add(k * stage)) };
                }
                let stretch = bands.stretch(band.rows, band.columns);
                for first in (0..band.rows * band.columns).step_by(stretch) {
                    let staged = across.iter().enumerate().map(|(k, &i)| {
                        let size = self.kernel.loads[i].size();
                        // SAFETY: as above.
                        (i, unsafe { stages.add(k * stage + first * size) })
                    });
                    let staged: SmallVec<[Staged; 4]> = staged.collect();
                    let at = band.at + first / band.columns * bands.width();
                    // SAFETY: as in `run_tiles`.
                    unsafe { self.run_tile(at, stretch, base, slot, regs, &staged) };
                }
            }
        });
    }

    /// Calls `f` with memory for the registers and a half-precision load in flight, the size of each, the registers' addresses,
    /// of which those of numbers are there already, and `more` bytes.
    fn with_registers(&self, tile: usize, more: usize, f: impl FnOnce(*mut u8, usize, &mut [*mut u8], *mut u8)) {
        let k = self.kernel;
        let slot = (tile * k.width).next_multiple_of(64);
        let own = (k.registers + 1) * slot;
        let lines = (own + more).div_ceil(64);
        ARENA.with(|arena| {
            let mut arena = arena.borrow_mut();
            if arena.len() < lines {
                arena.resize(lines, [0; 8]);
            }
            let base = arena.as_mut_ptr().cast::<u8>();
            let mut regs: SmallVec<[*mut u8; 24]> = SmallVec::from_elem(std::ptr::null_mut(), k.registers);
            for &(reg, number, dtype) in &k.numbers {
                // SAFETY: every register has a slot.
                let own = unsafe { base.add(reg as usize * slot) };
                // SAFETY: as above; a slot holds the elements of a tile.
                unsafe { fill(own, dtype, self.numbers[number as usize], tile) };
                regs[reg as usize] = own;
            }
            // SAFETY: the arena holds both parts.
            f(base, slot, &mut regs, unsafe { base.add(own) });
        });
    }

    /// The elements `at..at + n`; `staged` operands lie ready.
    unsafe fn run_tile(
        &self,
        at: usize,
        n: usize,
        base: *mut u8,
        slot: usize,
        regs: &mut [*mut u8],
        staged: &[Staged],
    ) {
        let k = self.kernel;
        for step in &k.steps {
            let d = step.dst as usize;
            // SAFETY: see run_tiles; block functions get n elements of their types, in disjoint slots.
            unsafe {
                let own = base.add(d * slot);
                match step.action {
                    Action::Load(i) => {
                        let aside = base.add(k.registers * slot);
                        let own = self.written_at_once(step, at).unwrap_or(own);
                        regs[d] = match staged.iter().find(|s| s.0 == i as usize) {
                            Some(&(_, p)) => self.in_register(i as usize, p, n, own),
                            None => self.load(i as usize, at, n, own, aside),
                        };
                    }
                    Action::Block(f) => {
                        let mut src = [std::ptr::null::<u8>(); 4];
                        for (s, &r) in src.iter_mut().zip(&step.src) {
                            *s = regs[r as usize];
                        }
                        let dst = self.written_at_once(step, at).unwrap_or(own);
                        f(dst, &src, n);
                        if step.round != register_dtype(step.round) {
                            round_block(step.round, std::slice::from_raw_parts_mut(dst.cast::<f32>(), n));
                        }
                        regs[d] = dst;
                    }
                    Action::Philox(s, o) => {
                        let (seed, offset) = (self.numbers[s as usize], self.numbers[o as usize]);
                        if step.round == DType::F64 {
                            for i in 0..n {
                                let u = crate::rng::philox_uniform(seed, offset, (at + i) as u64);
                                *own.cast::<f64>().add(i) = u as f64;
                            }
                        } else {
                            Philox { seed, offset }
                                .fill_uniform(at as u64, std::slice::from_raw_parts_mut(own.cast::<f32>(), n));
                        }
                        if step.round != register_dtype(step.round) {
                            round_block(step.round, std::slice::from_raw_parts_mut(own.cast::<f32>(), n));
                        }
                        regs[d] = own;
                    }
                }
            }
        }
        for (i, &(reg, dtype)) in k.stores.iter().enumerate() {
            // SAFETY: the target holds elements at..at+n, the register n elements.
            unsafe { store(self.target(i, at), regs[reg as usize], dtype, n) };
        }
    }

    /// Contiguous elements of operand `i` as a register: in place, or widened into `own`.
    unsafe fn in_register(&self, i: usize, p: *mut u8, n: usize, own: *mut u8) -> *mut u8 {
        let dtype = self.kernel.loads[i];
        if register_dtype(dtype) == dtype {
            return p;
        }
        // SAFETY: `n` elements at `p`, and a register.
        unsafe { widen(own, p, dtype, n) };
        own
    }

    /// The place of a step's result in the output, where it need not pass through a register.
    unsafe fn written_at_once(&self, step: &Step, at: usize) -> Option<*mut u8> {
        let store = step.store.filter(|&s| self.direct[s as usize])?;
        // SAFETY: the caller's element is inside the output.
        Some(unsafe { self.target(store as usize, at) })
    }

    unsafe fn target(&self, i: usize, at: usize) -> *mut u8 {
        // SAFETY: `at` is inside the output.
        unsafe { self.targets[i].ptr.add(at * self.kernel.stores[i].1.size()) }
    }

    /// The operand's elements `at..at+n` of the index space, in place where they are contiguous, else gathered into `own`.
    unsafe fn load(&self, i: usize, at: usize, n: usize, own: *mut u8, aside: *mut u8) -> *mut u8 {
        let operand = &self.operands[i];
        let dtype = self.kernel.loads[i];
        let size = dtype.size();
        let half = register_dtype(dtype) != dtype;
        // SAFETY: the index space stays inside the operand's window.
        unsafe {
            if self.space.linear[i] {
                return self.in_register(i, operand.ptr.add(at * size).cast_mut(), n, own);
            }
            let raw = if half { aside } else { own };
            let strides = &self.space.strides[i];
            match size {
                1 => gather::<u8>(raw.cast(), operand.ptr.cast(), &self.space.shape, strides, at, n),
                2 => gather::<u16>(raw.cast(), operand.ptr.cast(), &self.space.shape, strides, at, n),
                4 => gather::<u32>(raw.cast(), operand.ptr.cast(), &self.space.shape, strides, at, n),
                _ => gather::<u64>(raw.cast(), operand.ptr.cast(), &self.space.shape, strides, at, n),
            }
            if half {
                widen(own, raw, dtype, n);
            }
        }
        own
    }
}

/// An operand and where its elements of a tile lie.
type Staged = (usize, *mut u8);

unsafe fn widen(dst: *mut u8, src: *const u8, dtype: DType, n: usize) {
    // SAFETY: n half values in, n floats out, in different memory.
    unsafe {
        let out = std::slice::from_raw_parts_mut(dst.cast::<f32>(), n);
        match dtype {
            DType::F16 => halves::widen_f16(std::slice::from_raw_parts(src.cast(), n), out),
            _ => halves::widen_bf16(std::slice::from_raw_parts(src.cast(), n), out),
        }
    }
}

unsafe fn store(dst: *mut u8, src: *mut u8, dtype: DType, n: usize) {
    if dst == src {
        return;
    }
    // SAFETY: as the caller's.
    unsafe {
        let floats = || std::slice::from_raw_parts(src.cast::<f32>(), n);
        match dtype {
            DType::F16 => halves::narrow_f16(floats(), std::slice::from_raw_parts_mut(dst.cast(), n)),
            DType::BF16 => halves::narrow_bf16(floats(), std::slice::from_raw_parts_mut(dst.cast(), n)),
            d => std::ptr::copy(src, dst, n * d.size()),
        }
    }
}

/// `n` copies of a number, given as [`crate::dtype::Scalar::to_bits`], in the register type of `dtype`.
unsafe fn fill(dst: *mut u8, dtype: DType, bits: u64, n: usize) {
    // SAFETY: the register holds n elements.
    unsafe {
        match register_dtype(dtype) {
            DType::F32 => std::slice::from_raw_parts_mut(dst.cast::<f32>(), n).fill(f64::from_bits(bits) as f32),
            DType::I64 | DType::F64 => std::slice::from_raw_parts_mut(dst.cast::<u64>(), n).fill(bits),
            DType::I32 => std::slice::from_raw_parts_mut(dst.cast::<u32>(), n).fill(bits as u32),
            DType::I16 => std::slice::from_raw_parts_mut(dst.cast::<u16>(), n).fill(bits as u16),
            _ => std::slice::from_raw_parts_mut(dst, n).fill(bits as u8),
        }
    }
}

#[cfg(test)]
pub mod testing {
    use super::*;

    /// `y = x·x + b`, where `x` are the results of another kernel.
    pub fn square_plus() -> Kernel {
        let instr = |code, dst, src: &[u16]| Instr { code, dtype: DType::F32, dst, src: SmallVec::from_slice(src) };
        let instrs = vec![
            instr(Code::Load(0), 0, &[]),
            instr(Code::Load(1), 1, &[]),
            instr(Code::Ew(Ew::Mul), 2, &[0, 0]),
            instr(Code::Ew(Ew::Add), 3, &[2, 1]),
        ];
        let (loads, stores) = (vec![DType::F32; 2], vec![(3, DType::F32)]);
        Kernel::new(Program { instrs, loads, stores, registers: 4, ..Program::default() })
            .expect("a program of two operators")
    }
}
