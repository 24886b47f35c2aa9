//! Running sums, products, log-sum-exps and extrema along one dimension.

use crate::cpu::fold::{Acc, Load, Loader, loader};
use crate::cpu::threads::parallel_for;
use crate::cpu::view::{In, Out};
use crate::cpu::walk::{Axes, Shared, base_mut, grain};
use crate::dispatch;
use crate::dtype::{DType, Element};
use crate::error::Result;
use crate::simd_dispatch;

/// What a scan accumulates.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ScanKind {
    Sum,
    Prod,
    LogSumExp,
}

/// Accumulates along `dim`, from the far end when `reverse`; the input is converted to the output's dtype as it is read.
///
/// float32 and float64 accumulate in f64, 16-bit floats in f32, integers in i64, each step rounded to the output only.
pub fn scan(kind: ScanKind, reverse: bool, x: &In, dim: usize, out: &mut Out) -> Result<()> {
    match out.dtype {
        DType::F16 | DType::BF16 => scan_in::<f32>(kind, reverse, x, dim, out),
        DType::F32 | DType::F64 => scan_in::<f64>(kind, reverse, x, dim, out),
        _ => scan_integers(kind, reverse, x, dim, out),
    }
    Ok(())
}

/// Running maximum or minimum along `dim` with the index of the latest element that equals it; NaN stays once seen.
pub fn scan_extremum(max: bool, x: &In, dim: usize, values: &mut Out, indices: &mut Out) -> Result<()> {
    match (x.dtype.accumulator(), max) {
        (DType::F32, true) => extremum::<f32, true>(x, dim, values, indices),
        (DType::F32, false) => extremum::<f32, false>(x, dim, values, indices),
        (DType::F64, true) => extremum::<f64, true>(x, dim, values, indices),
        (DType::F64, false) => extremum::<f64, false>(x, dim, values, indices),
        (_, true) => extremum::<i64, true>(x, dim, values, indices),
        (_, false) => extremum::<i64, false>(x, dim, values, indices),
    }
    Ok(())
}

trait Step<A> {
    const START: A;
    fn step(state: A, x: A) -> A;
    /// Whether steps may be taken in another order: exact ones, and sums in a type that cannot overflow where the output
    /// does not.
    fn regroups<T: Element>() -> bool {
        false
    }
}
struct Add;
struct Mul;
struct LogAdd;
impl<A: Acc> Step<A> for Add {
    const START: A = A::ZERO;
    #[inline(always)]
    fn step(state: A, x: A) -> A {
        state.add(x)
    }
    fn regroups<T: Element>() -> bool {
        A::DTYPE == DType::I64 || (A::DTYPE, T::DTYPE) == (DType::F64, DType::F32)
    }
}
impl<A: Acc> Step<A> for Mul {
    const START: A = A::ONE;
    #[inline(always)]
    fn step(state: A, x: A) -> A {
        state.mul(x)
    }
}
macro_rules! log_add {
    ($($t:ty),*) => {$(
        impl Step<$t> for LogAdd {
            const START: $t = <$t>::NEG_INFINITY;
            #[inline(always)]
            fn step(state: $t, x: $t) -> $t {
                if x.is_nan() || state.is_nan() {
                    return <$t>::NAN;
                }
                let (low, high) = if state < x { (state, x) } else { (x, state) };
                // Equal infinities would give the NaN of inf - inf.
                if low == high && low.is_infinite() { high } else { (low - high).exp().ln_1p() + high }
            }
        }
    )*};
}
log_add!(f32, f64);

fn scan_in<A: Acc>(kind: ScanKind, reverse: bool, x: &In, dim: usize, out: &mut Out)
where
    LogAdd: Step<A>,
{
    dispatch!(float out.dtype, T => match kind {
        ScanKind::Sum => run::<A, T, Add>(reverse, x, dim, out),
        ScanKind::Prod => run::<A, T, Mul>(reverse, x, dim, out),
        ScanKind::LogSumExp => run::<A, T, LogAdd>(reverse, x, dim, out),
    }, else unreachable!("the caller passes float outputs"))
}

fn scan_integers(kind: ScanKind, reverse: bool, x: &In, dim: usize, out: &mut Out) {
    dispatch!(out.dtype, T => match kind {
        ScanKind::Prod => run::<i64, T, Mul>(reverse, x, dim, out),
        _ => run::<i64, T, Add>(reverse, x, dim, out),
    });
}

simd_dispatch! {
    fn step_rows<A: Acc, T: Element, F>(state: &mut [A], row: &[A], out: &mut [T]) where [F: Step<A>] {
        for ((s, &v), o) in state.iter_mut().zip(row).zip(out) {
            *s = F::step(*s, v);
            *o = s.to_element::<T>();
        }
    }
}

/// Elements whose own running values are computed first, so that one step a group waits for the group before.
const GROUP: usize = 8;

simd_dispatch! {
    /// Scans whole groups from `state` on, and returns the last state.
    fn scan_groups<A: Acc, T: Element, F>(state: A, x: &[A], out: &mut [T]) -> A where [F: Step<A>] {
        let mut state = state;
        for (x, out) in x.as_chunks::<GROUP>().0.iter().zip(out.as_chunks_mut::<GROUP>().0) {
            let mut sums = *x;
            let mut distance = 1;
            while distance < GROUP {
                let before = sums;
                for j in distance..GROUP {
                    sums[j] = F::step(before[j - distance], before[j]);
                }
                distance *= 2;
            }
            for (o, sum) in out.iter_mut().zip(&sums) {
                *o = F::step(state, *sum).to_element::<T>();
            }
            state = F::step(state, sums[GROUP - 1]);
        }
        state
    }
}

/// Scans `x` from `state` on, and returns the last state.
fn scan_part<A: Acc, T: Element, F: Step<A>>(state: A, x: &[A], out: &mut [T]) -> A {
    let whole = if F::regroups::<T>() { x.len() / GROUP * GROUP } else { 0 };
    let mut state = scan_groups::<A, T, F>(state, &x[..whole], &mut out[..whole]);
    for (&v, o) in x[whole..].iter().zip(&mut out[whole..]) {
        state = F::step(state, v);
        *o = state.to_element::<T>();
    }
    state
}

/// Columns scanned together, and elements of a line staged at once.
const TILE: usize = 256;
const TASK: usize = 16 * 1024;

/// The output seen as (outer, size, inner), the input by strides.
struct Space<A> {
    outer: Axes<1>,
    inner: Axes<1>,
    size: usize,
    step: usize,
    base: *const u8,
    loader: Loader<A>,
    load: Load,
}

// SAFETY: only reads, from memory that outlives it.
unsafe impl<A> Sync for Space<A> {}

impl<A: Acc> Space<A> {
    fn new(x: &In, dim: usize, out_dtype: DType) -> Self {
        let rank = x.shape.len();
        let halves = matches!(out_dtype, DType::F16 | DType::BF16) && x.dtype != out_dtype;
        Space {
            outer: Axes::of(x.shape, 0..dim.min(rank), [x.strides]),
            inner: Axes::of(x.shape, dim + 1..rank.max(dim + 1), [x.strides]),
            size: x.shape.get(dim).copied().unwrap_or(1),
            step: x.strides.get(dim).copied().unwrap_or(1),
            base: x.ptr,
            loader: loader::<A>(x.dtype),
            load: if halves { Load::Round(out_dtype) } else { Load::Convert },
        }
    }

    /// # Safety
    /// The elements `offset + i·stride` lie inside the input.
    unsafe fn load(&self, offset: usize, stride: usize, row: &mut [A]) {
        // SAFETY: the caller's contract.
        unsafe { (self.loader)(self.base, offset, stride, row, self.load) };
    }

    /// Reads `row` from the positions `first..` of the inner dimensions.
    fn load_inner(&self, base: usize, first: usize, row: &mut [A]) {
        let stride = self.inner.inner().strides[0];
        let mut filled = 0;
        self.inner.for_each_run(first..first + row.len(), |[offset], n| {
            // SAFETY: the run lies inside the input.
            unsafe { self.load(base + offset, stride, &mut row[filled..filled + n]) };
            filled += n;
        });
    }
}

fn run<A: Acc, T: Element, F: Step<A>>(reverse: bool, x: &In, dim: usize, out: &mut Out) {
    if out.numel() == 0 {
        return;
    }
    let space = Space::<A>::new(x, dim, out.dtype);
    let (size, inner) = (space.size, space.inner.numel());
    debug_assert!(out.is_contiguous());
    let target = base_mut::<T>(out);
    if inner == 1 {
        parallel_for(space.outer.numel(), grain(TASK, size), |lines| {
            let (mut stage, mut turned) = ([A::ZERO; TILE], [T::default(); TILE]);
            for line in lines {
                let [base] = space.outer.offsets(line);
                // SAFETY: lines are disjoint parts of the contiguous output.
                let out = unsafe { std::slice::from_raw_parts_mut(target.at(line * size), size) };
                let mut state = F::START;
                for part in 0..size.div_ceil(TILE) {
                    let n = TILE.min(size - part * TILE);
                    let first = if reverse { size - part * TILE - n } else { part * TILE };
                    let (stage, out) = (&mut stage[..n], &mut out[first..first + n]);
                    // SAFETY: these elements of the line lie inside the input.
                    unsafe { space.load(base + first * space.step, space.step, stage) };
                    if reverse {
                        stage.reverse();
                        state = scan_part::<A, T, F>(state, stage, &mut turned[..n]);
                        out.iter_mut().zip(turned[..n].iter().rev()).for_each(|(o, &v)| *o = v);
                    } else {
                        state = scan_part::<A, T, F>(state, stage, out);
                    }
                }
            }
        });
        return;
    }
    let tiles = inner.div_ceil(TILE);
    parallel_for(space.outer.numel() * tiles, grain(TASK, size * TILE.min(inner)), |range| {
        let (mut state, mut row) = ([F::START; TILE], [A::ZERO; TILE]);
        for task in range {
            let (line, first) = (task / tiles, task % tiles * TILE);
            let [base] = space.outer.offsets(line);
            let width = TILE.min(inner - first);
            state.fill(F::START);
            for i in 0..size {
                let i = if reverse { size - 1 - i } else { i };
                space.load_inner(base + i * space.step, first, &mut row[..width]);
                // SAFETY: tiles of columns are disjoint parts of the contiguous output.
                let out =
                    unsafe { std::slice::from_raw_parts_mut(target.at((line * size + i) * inner + first), width) };
                step_rows::<A, T, F>(&mut state[..width], &row[..width], out);
            }
        }
    });
}

fn extremum<A: Acc, const MAX: bool>(x: &In, dim: usize, values: &mut Out, indices: &mut Out) {
    if values.numel() == 0 {
        return;
    }
    let space = Space::<A>::new(x, dim, values.dtype);
    let indices = base_mut::<i64>(indices);
    dispatch!(values.dtype, T => extremum_into::<A, T, MAX>(&space, base_mut::<T>(values), indices));
}

/// Whether `v`, which comes later, takes the place of `best`.
#[inline(always)]
fn overtakes<A: Acc, const MAX: bool>(best: A, v: A) -> bool {
    let reached = if MAX { v >= best } else { v <= best };
    v.is_nan() || (reached && !best.is_nan())
}

fn extremum_into<A: Acc, T: Element, const MAX: bool>(space: &Space<A>, values: Shared<T>, indices: Shared<i64>) {
    let (size, inner) = (space.size, space.inner.numel());
    if inner == 1 {
        return parallel_for(space.outer.numel(), grain(TASK, size), |lines| {
            let mut stage = [A::ZERO; TILE];
            for line in lines {
                let [base] = space.outer.offsets(line);
                let (mut best, mut at) = (A::ZERO, 0);
                for first in (0..size).step_by(TILE) {
                    let n = TILE.min(size - first);
                    // SAFETY: these elements of the line lie inside the input; lines are disjoint parts of the outputs.
                    let (values, indices) = unsafe {
                        space.load(base + first * space.step, space.step, &mut stage[..n]);
                        let place = line * size + first;
                        (
                            std::slice::from_raw_parts_mut(values.at(place), n),
                            std::slice::from_raw_parts_mut(indices.at(place), n),
                        )
                    };
                    for (j, &v) in stage[..n].iter().enumerate() {
                        if first + j == 0 || overtakes::<A, MAX>(best, v) {
                            (best, at) = (v, (first + j) as i64);
                        }
                        (values[j], indices[j]) = (best.to_element::<T>(), at);
                    }
                }
            }
        });
    }
    let tiles = inner.div_ceil(TILE);
    parallel_for(space.outer.numel() * tiles, grain(TASK, size * TILE.min(inner)), |range| {
        let (mut best, mut at, mut row) = ([A::ZERO; TILE], [0i64; TILE], [A::ZERO; TILE]);
        for task in range {
            let (line, first) = (task / tiles, task % tiles * TILE);
            let [base] = space.outer.offsets(line);
            let width = TILE.min(inner - first);
            for i in 0..size {
                space.load_inner(base + i * space.step, first, &mut row[..width]);
                for j in 0..width {
                    let v = row[j];
                    if i == 0 || overtakes::<A, MAX>(best[j], v) {
                        (best[j], at[j]) = (v, i as i64);
                    }
                    let place = (line * size + i) * inner + first + j;
                    // SAFETY: tiles of columns are disjoint parts of the contiguous outputs.
                    unsafe {
                        *values.at(place) = best[j].to_element::<T>();
                        *indices.at(place) = at[j];
                    }
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::rows::testing::at_every_level;

    fn scanned(kind: ScanKind, reverse: bool, x: &[f32], shape: &[usize], strides: &[usize], dim: usize) -> Vec<f32> {
        let mut out = vec![0f32; shape.iter().product()];
        let input = In { ptr: x.as_ptr().cast(), dtype: DType::F32, shape, strides };
        let dense: Vec<usize> = (0..shape.len()).map(|d| shape[d + 1..].iter().product()).collect();
        let mut window = Out { ptr: out.as_mut_ptr().cast(), dtype: DType::F32, shape, strides: &dense };
        scan(kind, reverse, &input, dim, &mut window).expect("scan");
        out
    }

    #[test]
    fn sums_run_both_ways_along_either_dimension() {
        at_every_level(|| {
            let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
            assert_eq!(scanned(ScanKind::Sum, false, &x, &[2, 3], &[3, 1], 1), [1.0, 3.0, 6.0, 4.0, 9.0, 15.0]);
            assert_eq!(scanned(ScanKind::Sum, true, &x, &[2, 3], &[3, 1], 1), [6.0, 5.0, 3.0, 15.0, 11.0, 6.0]);
            assert_eq!(scanned(ScanKind::Prod, false, &x, &[2, 3], &[3, 1], 0), [1.0, 2.0, 3.0, 4.0, 10.0, 18.0]);
            // The same data read as its transpose.
            assert_eq!(scanned(ScanKind::Sum, false, &x, &[3, 2], &[1, 3], 0), [1.0, 4.0, 3.0, 9.0, 6.0, 15.0]);
        });
    }

    #[test]
    fn long_lines_continue_across_stages() {
        at_every_level(|| {
            let x = vec![1.0f32; 1000];
            let (up, down) = (
                scanned(ScanKind::Sum, false, &x, &[1000], &[1], 0),
                scanned(ScanKind::Sum, true, &x, &[1000], &[1], 0),
            );
            assert!((0..1000).all(|i| up[i] == (i + 1) as f32 && down[i] == (1000 - i) as f32));
        });
    }

    #[test]
    fn log_sum_exp_keeps_infinities() {
        at_every_level(|| {
            let inf = f32::INFINITY;
            assert_eq!(
                scanned(ScanKind::LogSumExp, false, &[-inf, -inf, 0.0, inf, inf], &[5], &[1], 0),
                [-inf, -inf, 0.0, inf, inf]
            );
        });
    }

    #[test]
    fn ties_move_the_index_and_nan_stays() {
        at_every_level(|| {
            let x = [1.0f32, 3.0, 3.0, 2.0, f32::NAN, 5.0];
            let (mut values, mut indices) = ([0f32; 6], [0i64; 6]);
            let input = In { ptr: x.as_ptr().cast(), dtype: DType::F32, shape: &[6], strides: &[1] };
            let mut v = Out { ptr: values.as_mut_ptr().cast(), dtype: DType::F32, shape: &[6], strides: &[1] };
            let mut i = Out { ptr: indices.as_mut_ptr().cast(), dtype: DType::I64, shape: &[6], strides: &[1] };
            scan_extremum(true, &input, 0, &mut v, &mut i).expect("scan");
            assert_eq!(indices, [0, 1, 2, 2, 4, 4]);
            assert!(values[5].is_nan());
        });
    }
}
