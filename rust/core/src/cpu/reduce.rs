//! Reductions over any dimensions of a strided window: sums, products, extrema, norms, variances, log-sum-exp, counts.

use crate::bail;
use crate::cpu::fold::{
    self, Acc, BLOCK, Fold, LANES, Load, Loader, RowFold, Tree, combine_rows, fold_row_lanes, fold_rows, fold_slice,
    loader,
};
use crate::cpu::math::Real;
use crate::cpu::simd::{Simd, prefetch};
use crate::cpu::threads::parallel_for;
use crate::cpu::view::{In, Out};
use crate::cpu::walk::{Axes, Axis, Shared, grain};
use crate::dtype::DType;
use crate::error::Result;

/// What a reduction computes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum ReduceKind {
    Sum,
    /// The sum of the elements that are not NaN.
    NanSum,
    Prod,
    Mean,
    Amax,
    Amin,
    /// The row-major index, within the reduced dimensions, of the first maximum (of the first NaN if there is one).
    Argmax,
    Argmin,
    Any,
    All,
    CountNonzero,
    /// The sum of squared deviations over `max(0, n - correction)`.
    Var {
        correction: f64,
    },
    Std {
        correction: f64,
    },
    /// The vector norm of order `p`; ±inf and 0 included.
    Norm {
        p: f64,
    },
    LogSumExp,
}

use ReduceKind::*;

/// Reduces the dimensions `dims` (ascending) of `x` into `out`, which holds the kept dimensions contiguously.
///
/// The accumulator is f32 for 16- and 32-bit floats, f64 for float64 and for variances, i64 for integers; elements are
/// converted as they are read when the dtypes differ. Only kinds with an identity accept an empty reduction.
pub fn reduce(kind: ReduceKind, x: &In, dims: &[usize], out: &mut Out) -> Result<()> {
    if out.numel() == 0 {
        return Ok(());
    }
    match kind {
        Argmax | Argmin => {
            return crate::cpu::reduce_index::arg_reduce(kind == Argmax, x, dims, None, out);
        }
        Sum | Prod if out.dtype == DType::Bool => {
            return reduce(if kind == Sum { Any } else { All }, x, dims, out);
        }
        Any | All | CountNonzero => {
            let n = Plan::<i64>::new(x, dims, Load::NonZero).count;
            return reduce_as::<i64>(CountNonzero, x, dims, out, |c| match kind {
                Any => (c > 0) as i64,
                All => (c == n as i64) as i64,
                _ => c,
            });
        }
        _ => {}
    }
    if kind == Sum && few_columns(x, dims, out)? {
        return Ok(());
    }
    match (if matches!(kind, Amax | Amin) { x.dtype } else { out.dtype }).accumulator() {
        DType::F32 => match kind {
            Var { .. } | Std { .. } => float_reduce::<f64>(kind, x, dims, out),
            _ => float_reduce::<f32>(kind, x, dims, out),
        },
        DType::F64 => float_reduce::<f64>(kind, x, dims, out),
        _ => reduce_as::<i64>(kind, x, dims, out, |v| v),
    }
}

/// Rows that are taken as one of as many times the columns.
const ROWS_AT_ONCE: usize = 64;

/// Sums long columns of which there are few, such as the parts of complex numbers: rows of one or two elements would leave
/// vectors empty. Whether that was the case.
fn few_columns(x: &In, dims: &[usize], out: &mut Out) -> Result<bool> {
    let lead = dims.len();
    let columns: usize = x.shape[lead..].iter().product();
    let rows: usize = x.shape[..lead].iter().product();
    let wide = matches!(x.dtype, DType::F32 | DType::F64) && out.dtype == x.dtype;
    let leading = dims.iter().enumerate().all(|(i, &d)| i == d);
    if !wide || !leading || !(2..=8).contains(&columns) || rows < 64 * ROWS_AT_ONCE || !x.is_contiguous() {
        return Ok(false);
    }
    let (blocks, width, size) = (rows / ROWS_AT_ONCE, ROWS_AT_ONCE * columns, x.dtype.size());
    let tail = rows % ROWS_AT_ONCE;
    // The sums of whole blocks, then what is left.
    let mut sums = vec![0u64; (width + tail * columns) * size / 8 + 1];
    let ptr = sums.as_mut_ptr().cast::<u8>();
    let block = In { ptr: x.ptr, dtype: x.dtype, shape: &[blocks, width], strides: &[width, 1] };
    reduce(Sum, &block, &[0], &mut Out { ptr, dtype: x.dtype, shape: &[width], strides: &[1] })?;
    // SAFETY: the rest of the rows lies behind the blocks, and the scratch has room for it behind their sums.
    unsafe {
        let rest = x.ptr.add(blocks * width * size);
        std::ptr::copy_nonoverlapping(rest, ptr.add(width * size), tail * columns * size);
    }
    let shape = [ROWS_AT_ONCE + tail, columns];
    let partial = In { ptr, dtype: x.dtype, shape: &shape, strides: &[columns, 1] };
    reduce(Sum, &partial, &[0], &mut Out { ptr: out.ptr, dtype: out.dtype, shape: &[columns], strides: &[1] })?;
    Ok(true)
}

/// The kinds that finish with float arithmetic, and those of [`reduce_as`].
fn float_reduce<A: Float>(kind: ReduceKind, x: &In, dims: &[usize], out: &mut Out) -> Result<()> {
    let n = dims.iter().map(|&d| x.shape[d]).product::<usize>();
    match kind {
        Mean => reduce_as::<A>(Sum, x, dims, out, |s| s / A::from_f64(n as f64)),
        Norm { p } => {
            let root = |s: A| if p == 1.0 || p == 0.0 || p.is_infinite() { s } else { s.root(p) };
            reduce_as::<A>(kind, x, dims, out, root)
        }
        Var { correction } | Std { correction } => {
            // Of no elements there is no variance, whatever the correction.
            let freedom = A::from_f64(if n == 0 { 0.0 } else { (n as f64 - correction).max(0.0) });
            let plan = Plan::<A>::new(x, dims, load_for(x.dtype, out.dtype));
            let mut mean = vec![<A as Acc>::ZERO; out.numel()];
            plan.fold::<fold::Sum>(&[<A as Acc>::ZERO], &mut mean);
            mean.iter_mut().for_each(|m| *m = *m / A::from_f64(n as f64));
            finish_into(
                &plan,
                out,
                |plan, acc| plan.fold::<fold::SquaredDeviation>(&mean, acc),
                |s| match kind {
                    Std { .. } => (s / freedom).root(2.0),
                    _ => s / freedom,
                },
            );
            Ok(())
        }
        LogSumExp => {
            let plan = Plan::<A>::new(x, dims, load_for(x.dtype, out.dtype));
            let mut shift = vec![<A as Acc>::ZERO; out.numel()];
            plan.fold::<fold::Max>(&[<A as Acc>::ZERO], &mut shift);
            // exp(x - inf) would turn infinite maxima into NaN.
            shift.iter_mut().filter(|m| m.magnitude() == A::HIGHEST).for_each(|m| *m = <A as Acc>::ZERO);
            let mut sums = vec![<A as Acc>::ZERO; out.numel()];
            plan.fold::<ExpShifted>(&shift, &mut sums);
            sums.iter_mut().zip(&shift).for_each(|(s, &m)| *s = Float::ln(*s) + m);
            store_all(&sums, out);
            Ok(())
        }
        _ => reduce_as::<A>(kind, x, dims, out, |v| v),
    }
}

/// Floats with the functions that finish a reduction.
trait Float: Folds + Real {
    fn ln(self) -> Self;
    /// The `p`-th root.
    fn root(self, p: f64) -> Self;
}

macro_rules! float {
    ($($t:ty),*) => {$(
        impl Float for $t {
            fn ln(self) -> Self { <$t>::ln(self) }
            fn root(self, p: f64) -> Self { if p == 2.0 { <$t>::sqrt(self) } else { self.powf((1.0 / p) as $t) } }
        }
    )*};
}
float!(f32, f64);

/// The sum of |x|ᵖ.
struct PowerSum;
impl<A: Acc + Real> Fold<A> for PowerSum {
    const IDENTITY: A = <A as Acc>::ZERO;
    #[inline(always)]
    fn map<S: Simd>(x: A, p: A) -> A {
        x.magnitude().pow::<S>(p)
    }
    #[inline(always)]
    fn combine(a: A, b: A) -> A {
        a + b
    }
}

/// The sum of exp(x - p).
struct ExpShifted;
impl<A: Acc + Real> Fold<A> for ExpShifted {
    const IDENTITY: A = <A as Acc>::ZERO;
    #[inline(always)]
    fn map<S: Simd>(x: A, p: A) -> A {
        (x - p).exp::<S>()
    }
    #[inline(always)]
    fn combine(a: A, b: A) -> A {
        a + b
    }
}

/// A reduction's input is first cast to the output's dtype; that rounds when it is a 16-bit float.
fn load_for(input: DType, output: DType) -> Load {
    if matches!(output, DType::F16 | DType::BF16) && input != output { Load::Round(output) } else { Load::Convert }
}

/// One pass of a fold, `finish` applied to every result.
fn reduce_as<A: Folds>(kind: ReduceKind, x: &In, dims: &[usize], out: &mut Out, finish: impl Fn(A) -> A) -> Result<()> {
    let load = match kind {
        CountNonzero => Load::NonZero,
        Norm { p: 0.0 } => Load::NonZero,
        Amax | Amin => Load::Convert,
        _ => load_for(x.dtype, out.dtype),
    };
    let plan = Plan::<A>::new(x, dims, load);
    let Some(fold) = A::pass(kind) else {
        bail!(NotImplemented, "\"{kind:?}\" not implemented for '{}'", x.dtype.scalar_name());
    };
    let p = if let Norm { p } = kind { A::from_f64(p) } else { A::ZERO };
    finish_into(&plan, out, |plan, acc| fold(plan, &[p], acc), finish);
    Ok(())
}

type Pass<A> = fn(&Plan<A>, &[A], &mut [A]);

/// Chooses the fold of a kind for an accumulator type.
trait Folds: Acc {
    fn pass(kind: ReduceKind) -> Option<Pass<Self>>;
}

impl Folds for i64 {
    fn pass(kind: ReduceKind) -> Option<Pass<i64>> {
        exact_pass(kind)
    }
}

macro_rules! float_folds {
    ($($t:ty),*) => {$(
        impl Folds for $t {
            fn pass(kind: ReduceKind) -> Option<Pass<$t>> {
                Some(match kind {
                    NanSum => Plan::fold::<fold::NanSum>,
                    Norm { p: 0.0 } => Plan::fold::<fold::Sum>,
                    Norm { p: 1.0 } => Plan::fold::<fold::AbsSum>,
                    Norm { p: 2.0 } => Plan::fold::<fold::SquareSum>,
                    Norm { p: f64::INFINITY } => Plan::fold::<fold::AbsMax>,
                    Norm { p: f64::NEG_INFINITY } => Plan::fold::<fold::AbsMin>,
                    Norm { .. } => Plan::fold::<PowerSum>,
                    _ => return exact_pass(kind),
                })
            }
        }
    )*};
}
float_folds!(f32, f64);

fn exact_pass<A: Acc>(kind: ReduceKind) -> Option<Pass<A>> {
    Some(match kind {
        Sum | NanSum | CountNonzero => Plan::fold::<fold::Sum>,
        Prod => Plan::fold::<fold::Prod>,
        Amax => Plan::fold::<fold::Max>,
        Amin => Plan::fold::<fold::Min>,
        _ => return None,
    })
}

/// Runs `pass` into the output itself when it holds accumulators, else into a buffer that is then converted.
fn finish_into<A: Acc>(plan: &Plan<A>, out: &mut Out, pass: impl FnOnce(&Plan<A>, &mut [A]), finish: impl Fn(A) -> A) {
    if out.dtype == A::DTYPE {
        let acc = out.as_mut_slice::<A>();
        pass(plan, acc);
        acc.iter_mut().for_each(|v| *v = finish(*v));
    } else {
        let mut acc = vec![A::ZERO; out.numel()];
        pass(plan, &mut acc);
        acc.iter_mut().for_each(|v| *v = finish(*v));
        store_all(&acc, out);
    }
}

fn store_all<A: Acc>(acc: &[A], out: &mut Out) {
    crate::dispatch!(out.dtype, T => {
        for (o, &v) in out.as_mut_slice::<T>().iter_mut().zip(acc) {
            *o = v.to_element::<T>();
        }
    });
}

/// Blocks whose results form one leaf when a long reduction is split between threads; powers of two, so that the tree
/// above them is the tree of the undivided reduction.
const ROW_CHUNK: usize = 256 * BLOCK;
const COLUMN_CHUNK: usize = 16 * BLOCK;
/// Rows up to this long are folded side by side: alone, each would be mostly overhead.
pub(super) const SHORT_ROW: usize = 32;
/// Elements a task should have, about 10 µs of work.
const TASK: usize = 32 * 1024;

/// Bytes that caches may hold.
const NEAR: usize = 8 << 20;
/// Bytes ahead that are asked for.
const AHEAD: usize = 4 << 10;

/// [`fold_slice`] in the order of memory, which is asked for elements before they are needed.
fn fold_far<A: Acc, F: Fold<A>>(x: &[A], p: A) -> A {
    let mut row = RowFold::<A, F>::new();
    for part in x.chunks(BLOCK) {
        let next = part.as_ptr().wrapping_byte_add(AHEAD);
        (0..part.len()).step_by(64 / size_of::<A>()).for_each(|i| prefetch(next.wrapping_add(i)));
        row.push_with(part, p);
    }
    row.finish()
}

/// Columns folded together: the lanes of this many fill half of a first-level cache.
const fn tile_width<A>() -> usize {
    1024 / size_of::<A>()
}

/// How a reduction walks its input: kept axes with their strides in input and output, reduced axes in logical order.
pub struct Plan<A> {
    base: *const u8,
    kept: Axes<2>,
    reduced: Axes<1>,
    /// Elements per output.
    pub count: usize,
    load: Load,
    loader: Loader<A>,
    /// Elements can be used where they lie.
    direct: bool,
    by_columns: bool,
    /// The input comes from memory, which is asked early.
    far: bool,
}

// SAFETY: the plan only reads, from memory that outlives it.
unsafe impl<A> Sync for Plan<A> {}

impl<A: Acc> Plan<A> {
    /// `dims` ascending; the results are laid out in row-major order of the kept dimensions.
    pub fn new(x: &In, dims: &[usize], load: Load) -> Self {
        let rank = x.shape.len();
        let mut out_strides = vec![0; rank];
        let mut step = 1;
        for d in (0..rank).rev().filter(|d| !dims.contains(d)) {
            out_strides[d] = step;
            step *= x.shape[d];
        }
        let kept = Axes::of(x.shape, (0..rank).filter(|d| !dims.contains(d)), [x.strides, &out_strides]);
        let reduced = Axes::of(x.shape, dims.iter().copied(), [x.strides]);
        let count = reduced.numel();
        let nearest = |s: Option<usize>| s.unwrap_or(usize::MAX);
        let kept_stride = nearest(kept.0.iter().map(|a| a.strides[0]).filter(|&s| s > 0).min());
        let reduced_stride = nearest(reduced.0.iter().map(|a| a.strides[0]).filter(|&s| s > 0).min());
        Plan {
            base: x.ptr,
            direct: x.dtype == A::DTYPE && load == Load::Convert,
            by_columns: count > 1
                && (kept_stride < reduced_stride || (count <= SHORT_ROW && kept.inner().size >= SHORT_ROW)),
            far: count * kept.numel() * size_of::<A>() > NEAR,
            kept,
            reduced,
            count,
            load,
            loader: loader::<A>(x.dtype),
        }
    }

    fn ptr(&self, offset: usize) -> *const A {
        self.base.cast::<A>().wrapping_add(offset)
    }

    /// Folds every output. `params` holds one value, or one per output.
    pub fn fold<F: Fold<A>>(&self, params: &[A], out: &mut [A]) {
        if self.count == 0 {
            return out.fill(F::IDENTITY);
        }
        let chunk = if self.by_columns { COLUMN_CHUNK } else { ROW_CHUNK };
        let tasks = if self.by_columns { out.len().div_ceil(tile_width::<A>()) } else { out.len() };
        let chunks = if tasks < 32 { self.count.div_ceil(chunk) } else { 1 };
        if chunks == 1 {
            return self.fold_part::<F>(0, self.count, params, Shared(out.as_mut_ptr()));
        }
        let outputs = out.len();
        let mut partial = vec![A::ZERO; chunks * outputs];
        let leaves = Shared(partial.as_mut_ptr());
        parallel_for(chunks, 1, |range| {
            for c in range {
                // SAFETY (of the writes below): chunk `c` owns the outputs from `c·outputs` on.
                let len = chunk.min(self.count - c * chunk);
                self.fold_part::<F>(c * chunk, len, params, Shared(leaves.at(c * outputs)));
            }
        });
        for (o, value) in out.iter_mut().enumerate() {
            let mut tree = Tree::default();
            (0..chunks).for_each(|c| tree.push::<F>(partial[c * outputs + o]));
            *value = tree.finish::<F>();
        }
    }

    /// Folds the reduced elements `start .. start + len` of every output.
    fn fold_part<F: Fold<A>>(&self, start: usize, len: usize, params: &[A], out: Shared<A>) {
        if self.by_columns {
            self.fold_columns::<F>(start, len, params, out)
        } else {
            self.fold_rows::<F>(start, len, params, out)
        }
    }

    fn fold_rows<F: Fold<A>>(&self, start: usize, len: usize, params: &[A], out: Shared<A>) {
        let inner = self.kept.inner();
        parallel_for(self.kept.numel(), grain(TASK, len), |rows| {
            let mut stage = [A::ZERO; BLOCK];
            self.kept.for_each_run(rows, |[offset, o], n| {
                for i in 0..n {
                    let o = o + i * inner.strides[1];
                    let p = params[if params.len() == 1 { 0 } else { o }];
                    let value = self.fold_row::<F>(offset + i * inner.strides[0], start, len, p, &mut stage);
                    // SAFETY: every output belongs to one row, every row to one task.
                    unsafe { *out.at(o) = value };
                }
            });
        });
    }

    fn fold_row<F: Fold<A>>(&self, base: usize, start: usize, len: usize, p: A, stage: &mut [A; BLOCK]) -> A {
        let axis = self.reduced.inner();
        if self.direct && axis.strides[0] == 1 && self.reduced.0.len() <= 1 {
            // SAFETY: the row is one stretch of `A`s inside the input.
            let row = unsafe { std::slice::from_raw_parts(self.ptr(base + start), len) };
            return if self.far { fold_far::<A, F>(row, p) } else { fold_slice::<A, F>(row, p) };
        }
        let mut row = RowFold::<A, F>::new();
        let mut filled = 0;
        self.reduced.for_each_run(start..start + len, |[offset], run| {
            let mut done = 0;
            while done < run {
                let at = base + offset + done * axis.strides[0];
                let whole = (run - done) / BLOCK * BLOCK;
                if self.direct && axis.strides[0] == 1 && filled == 0 && whole > 0 {
                    // SAFETY: as above, for this run.
                    row.push_with(unsafe { std::slice::from_raw_parts(self.ptr(at), whole) }, p);
                    done += whole;
                    continue;
                }
                let n = (BLOCK - filled).min(run - done);
                // SAFETY: the elements of the run lie inside the input.
                unsafe { (self.loader)(self.base, at, axis.strides[0], &mut stage[filled..filled + n], self.load) };
                filled += n;
                done += n;
                if filled == BLOCK {
                    row.push_with(&stage[..], p);
                    filled = 0;
                }
            }
        });
        if filled > 0 {
            row.push_with(&stage[..filled], p);
        }
        row.finish()
    }

    fn fold_columns<F: Fold<A>>(&self, start: usize, len: usize, params: &[A], out: Shared<A>) {
        let (vector, others) = self.split_vector_axis();
        let tiles = vector.size.div_ceil(tile_width::<A>());
        let tasks = others.numel() * tiles;
        parallel_for(tasks, grain(TASK, len * tile_width::<A>().min(vector.size)), |range| {
            let mut lanes = vec![A::ZERO; LANES * tile_width::<A>()];
            let mut stage = vec![A::ZERO; LANES * tile_width::<A>()];
            let mut tree = RowTree::default();
            for task in range {
                let [base, o] = others.offsets(task / tiles);
                let first = task % tiles * tile_width::<A>();
                let width = tile_width::<A>().min(vector.size - first);
                let (base, o) = (base + first * vector.strides[0], o + first * vector.strides[1]);
                let gathered: Vec<A>;
                let params = if params.len() == 1 {
                    params
                } else {
                    gathered = (0..width).map(|j| params[o + j * vector.strides[1]]).collect();
                    &gathered
                };
                tree.clear();
                let mut done = 0;
                while done < len {
                    let rows = BLOCK.min(len - done);
                    let block = start + done;
                    self.fold_block_of_rows::<F>(
                        base,
                        vector.strides[0],
                        block,
                        rows,
                        width,
                        params,
                        &mut lanes,
                        &mut stage,
                    );
                    tree.push::<F>(&mut lanes[..width]);
                    done += rows;
                }
                let result = tree.finish::<F>();
                for (j, &v) in result.iter().enumerate() {
                    // SAFETY: every column belongs to one tile, every tile to one task.
                    unsafe { *out.at(o + j * vector.strides[1]) = v };
                }
            }
        });
    }

    /// Folds one block of rows of a tile into `lanes[..width]`.
    fn fold_block_of_rows<F: Fold<A>>(
        &self,
        base: usize,
        column_stride: usize,
        start: usize,
        rows: usize,
        width: usize,
        params: &[A],
        lanes: &mut [A],
        stage: &mut [A],
    ) {
        let used = rows.min(LANES);
        let lanes = &mut lanes[..used * width];
        lanes.fill(F::IDENTITY);
        let row_stride = self.reduced.inner().strides[0];
        let mut row = 0;
        self.reduced.for_each_run(start..start + rows, |[offset], run| {
            if self.direct && column_stride == 1 {
                // SAFETY: `run` rows of `width` adjacent columns lie inside the input.
                unsafe {
                    fold_rows::<A, F>(self.ptr(base + offset), row_stride, run, width, lanes, row % LANES, params)
                };
                row += run;
                return;
            }
            let mut done = 0;
            while done < run {
                let n = LANES.min(run - done);
                for i in 0..n {
                    let at = base + offset + (done + i) * row_stride;
                    // SAFETY: the row's columns lie inside the input.
                    unsafe {
                        (self.loader)(self.base, at, column_stride, &mut stage[i * width..(i + 1) * width], self.load)
                    };
                }
                // SAFETY: the rows were just staged.
                unsafe { fold_rows::<A, F>(stage.as_ptr(), width, n, width, lanes, row % LANES, params) };
                row += n;
                done += n;
            }
        });
        fold_row_lanes::<A, F>(lanes, width, used);
    }

    /// The kept axis with the smallest stride, and the others.
    pub(super) fn split_vector_axis(&self) -> (Axis<2>, Axes<2>) {
        let nearest = (0..self.kept.0.len())
            .filter(|&i| self.kept.0[i].strides[0] > 0)
            .min_by_key(|&i| self.kept.0[i].strides[0]);
        let mut others = self.kept.clone();
        match nearest {
            Some(i) => (others.0.remove(i), others),
            None => (Axis { size: 1, strides: [1, 1] }, others),
        }
    }
}

/// [`Tree`] over whole tiles of columns.
struct RowTree<A> {
    count: u64,
    partial: Vec<Vec<A>>,
}

impl<A> Default for RowTree<A> {
    fn default() -> Self {
        RowTree { count: 0, partial: Vec::new() }
    }
}

impl<A: Acc> RowTree<A> {
    fn clear(&mut self) {
        self.count = 0;
    }

    fn push<F: Fold<A>>(&mut self, leaf: &mut [A]) {
        let carries = self.count.trailing_ones() as usize;
        for k in 0..carries {
            combine_rows::<A, F>(&self.partial[k], leaf);
        }
        if carries == self.partial.len() {
            self.partial.push(Vec::new());
        }
        self.partial[carries].clear();
        self.partial[carries].extend_from_slice(leaf);
        self.count += 1;
    }

    fn finish<F: Fold<A>>(&mut self) -> &[A] {
        let first = self.count.trailing_zeros() as usize;
        let mut rest = self.count & (self.count - 1);
        while rest != 0 {
            let (low, high) = self.partial.split_at_mut(rest.trailing_zeros() as usize);
            combine_rows::<A, F>(&high[0], &mut low[first]);
            rest &= rest - 1;
        }
        &self.partial[first]
    }
}

#[cfg(test)]
#[path = "reduce_tests.rs"]
mod tests;
