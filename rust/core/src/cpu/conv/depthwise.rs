//! Depthwise convolution: every input channel has its own kernels. Rows are read in place, their borders by masks.

use crate::cpu::conv::Geometry;
use crate::cpu::conv::kernel::Real;
use crate::cpu::conv::product::Place;
use crate::cpu::conv::vector::{Lanes, Vector, low_mask};
use crate::cpu::elementwise::Then;
use crate::cpu::planes::{Shared, for_parts, grain};
use crate::cpu::simd::{Level, level};
use crate::cpu::threads;

/// The widest kernel these loops take.
pub const MOST_COLUMNS: usize = 64;

/// A correlation over planes: point `o` of `grid` reads `o·stride + shift` for every kernel element of `taps`.
pub struct Correlation {
    size: [usize; 3],
    grid: [usize; 3],
    stride: [usize; 3],
    /// Kernel columns and their shifts.
    columns: Vec<(usize, isize)>,
    kernel: [usize; 3],
    place: Place,
    rows: Vec<OutputRow>,
    /// The input rows under each output row.
    sources: Vec<SourceRow>,
    /// Per kernel row, its offset and where it meets: offsets of gradient and input rows.
    meetings: Vec<(usize, Vec<(usize, usize)>)>,
}

struct OutputRow {
    /// Offset in the output plane.
    place: usize,
    /// `sources[first..end]` lie under it.
    first: usize,
    end: usize,
}

struct SourceRow {
    /// Offset in the input plane.
    offset: usize,
    /// Offset of the kernel row it meets.
    kernel: usize,
}

impl Correlation {
    fn new(
        size: [usize; 3],
        grid: [usize; 3],
        stride: [usize; 3],
        taps: [Vec<(usize, isize)>; 3],
        kernel: [usize; 3],
        place: Place,
    ) -> Self {
        let inside = |axis: usize, at: usize, shift: isize| {
            let i = (at * stride[axis]) as isize + shift;
            (0..size[axis] as isize).contains(&i).then_some(i as usize)
        };
        let (mut rows, mut sources) = (Vec::<OutputRow>::new(), Vec::<SourceRow>::new());
        for row in 0..grid[0] * grid[1] {
            let first = sources.len();
            for &(d, shift) in &taps[0] {
                let Some(id) = inside(0, row / grid[1], shift) else { continue };
                for &(h, shift) in &taps[1] {
                    let Some(ih) = inside(1, row % grid[1], shift) else { continue };
                    let kernel = (d * kernel[1] + h) * kernel[2];
                    sources.push(SourceRow { offset: (id * size[1] + ih) * size[2], kernel });
                }
            }
            rows.push(OutputRow { place: place.offset(grid, row * grid[2]), first, end: sources.len() });
        }
        let mut meetings: Vec<_> = (0..kernel[0] * kernel[1]).map(|k| (k * kernel[2], Vec::new())).collect();
        for (i, row) in rows.iter().enumerate() {
            for source in &sources[row.first..row.end] {
                meetings[source.kernel / kernel[2]].1.push((i * grid[2], source.offset));
            }
        }
        let [_, _, columns] = taps;
        Correlation { size, grid, stride, columns, kernel, place, rows, sources, meetings }
    }

    /// The lanes of the vector of points `from..from + lanes` whose tap with `shift` lies inside the row.
    #[inline(always)]
    fn mask(&self, from: usize, lanes: usize, shift: isize) -> u32 {
        let (step, n) = (self.stride[2] as isize, lanes.min(self.grid[2] - from) as isize);
        let first = from as isize * step + shift;
        let up = |v: isize| if step == 1 { v.max(0) } else { (v.max(0) + step - 1) / step };
        let hi = up(self.size[2] as isize - first).min(n);
        let lo = up(-first).min(hi);
        low_mask(hi as usize) & !low_mask(lo as usize)
    }
}

/// The kernels, compiled for every level.
pub trait DepthwiseKernels: Real {
    /// Lanes of the partial sums of [`DepthwiseKernels::dots`].
    fn lanes() -> usize;
    /// One output plane, or one phase of it.
    ///
    /// # Safety
    /// The pointers address planes of the correlation's sizes, `w` a kernel.
    unsafe fn correlate(job: &Correlation, x: *const Self, w: *const Self, bias: Self, add: bool, out: *mut Self);
    /// Adds the products of one plane pair to partial sums `[tap][lane]`.
    ///
    /// # Safety
    /// As above; `sums` holds `lanes()` elements for every tap.
    unsafe fn dots(job: &Correlation, x: *const Self, grad: *const Self, sums: *mut Self);
}

macro_rules! levels {
    ($t:ty, $wide:ident, $narrow:ident, $neon:ident, $base:literal) => {
        const _: () = {
            #[cfg(target_arch = "aarch64")]
            use std::arch::aarch64::$neon;
            #[cfg(target_arch = "x86_64")]
            use std::arch::x86_64::{$narrow, $wide};
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
            unsafe fn correlate_512(j: &Correlation, x: *const $t, w: *const $t, b: $t, add: bool, o: *mut $t) {
                unsafe { correlate::<$wide>(j, x, w, b, add, o) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
            unsafe fn dots_512(j: &Correlation, x: *const $t, g: *const $t, s: *mut $t) {
                unsafe { dots::<$wide>(j, x, g, s) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            unsafe fn correlate_256(j: &Correlation, x: *const $t, w: *const $t, b: $t, add: bool, o: *mut $t) {
                unsafe { correlate::<$narrow>(j, x, w, b, add, o) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            unsafe fn dots_256(j: &Correlation, x: *const $t, g: *const $t, s: *mut $t) {
                unsafe { dots::<$narrow>(j, x, g, s) }
            }
            // SAFETY of all: the level is available; the caller's contract passes through.
            impl DepthwiseKernels for $t {
                fn lanes() -> usize {
                    match level() {
                        #[cfg(target_arch = "x86_64")]
                        Level::Avx512 => <$wide>::LANES,
                        #[cfg(target_arch = "x86_64")]
                        Level::Avx2 => <$narrow>::LANES,
                        _ => $base,
                    }
                }
                unsafe fn correlate(j: &Correlation, x: *const $t, w: *const $t, b: $t, add: bool, o: *mut $t) {
                    unsafe {
                        match level() {
                            #[cfg(target_arch = "x86_64")]
                            Level::Avx512 => correlate_512(j, x, w, b, add, o),
                            #[cfg(target_arch = "x86_64")]
                            Level::Avx2 => correlate_256(j, x, w, b, add, o),
                            #[cfg(target_arch = "aarch64")]
                            Level::Neon => correlate::<$neon>(j, x, w, b, add, o),
                            _ => correlate::<Lanes<$t, $base>>(j, x, w, b, add, o),
                        }
                    }
                }
                unsafe fn dots(j: &Correlation, x: *const $t, g: *const $t, s: *mut $t) {
                    unsafe {
                        match level() {
                            #[cfg(target_arch = "x86_64")]
                            Level::Avx512 => dots_512(j, x, g, s),
                            #[cfg(target_arch = "x86_64")]
                            Level::Avx2 => dots_256(j, x, g, s),
                            #[cfg(target_arch = "aarch64")]
                            Level::Neon => dots::<$neon>(j, x, g, s),
                            _ => dots::<Lanes<$t, $base>>(j, x, g, s),
                        }
                    }
                }
            }
        };
    };
}
levels!(f32, __m512, __m256, float32x4_t, 4);
levels!(f64, __m512d, __m256d, float64x2_t, 2);

#[inline(always)]
unsafe fn load<V: Vector, const UNIT: bool>(p: *const V::T, step: usize, mask: u32) -> V {
    // SAFETY: the caller's.
    unsafe { if UNIT { V::load_masked(p, mask) } else { V::load_step(p, step, mask) } }
}

#[inline(always)]
unsafe fn correlate<V: Vector>(
    job: &Correlation,
    x: *const V::T,
    w: *const V::T,
    bias: V::T,
    add: bool,
    out: *mut V::T,
) {
    // SAFETY: the caller's.
    unsafe {
        match (job.columns.len(), job.stride[2]) {
            (3, 1) => correlate_columns::<V, 3, true>(job, x, w, bias, add, out),
            (3, _) => correlate_columns::<V, 3, false>(job, x, w, bias, add, out),
            (5, 1) => correlate_columns::<V, 5, true>(job, x, w, bias, add, out),
            (7, 1) => correlate_columns::<V, 7, true>(job, x, w, bias, add, out),
            (_, 1) => correlate_columns::<V, 0, true>(job, x, w, bias, add, out),
            _ => correlate_columns::<V, 0, false>(job, x, w, bias, add, out),
        }
    }
}

/// One vector of columns after another, down all rows. `W` columns of the kernel are unrolled, 0 stands for any number.
#[inline(always)]
unsafe fn correlate_columns<V: Vector, const W: usize, const UNIT: bool>(
    job: &Correlation,
    x: *const V::T,
    w: *const V::T,
    bias: V::T,
    add: bool,
    out: *mut V::T,
) {
    let count = if W == 0 { job.columns.len() } else { W };
    let (mut masks, mut offsets, mut kernel) = ([0; MOST_COLUMNS], [0; MOST_COLUMNS], [0; MOST_COLUMNS]);
    let (step, place_step) = (job.stride[2], job.place.step[2]);
    for from in (0..job.grid[2]).step_by(V::LANES) {
        let whole = low_mask(V::LANES.min(job.grid[2] - from));
        for (j, &(column, shift)) in job.columns.iter().enumerate() {
            masks[j] = job.mask(from, V::LANES, shift);
            offsets[j] = (from * step) as isize + shift;
            kernel[j] = column;
        }
        let out = out.wrapping_add(from * place_step);
        for row in &job.rows {
            let to = out.wrapping_add(row.place);
            // SAFETY: masks keep every access inside its row.
            unsafe {
                let mut sum = if add { V::load_step(to, place_step, whole) } else { V::splat(bias) };
                for source in &job.sources[row.first..row.end] {
                    let (x, w) = (x.wrapping_add(source.offset), w.wrapping_add(source.kernel));
                    for j in 0..count {
                        let v: V = load::<V, UNIT>(x.wrapping_offset(offsets[j]), step, masks[j]);
                        sum = V::splat(*w.add(kernel[j])).fma(v, sum);
                    }
                }
                if place_step == 1 {
                    sum.store_masked(to, whole);
                } else {
                    sum.store_step(to, place_step, whole);
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn dots<V: Vector>(job: &Correlation, x: *const V::T, grad: *const V::T, sums: *mut V::T) {
    // SAFETY: the caller's.
    unsafe {
        match (job.kernel[2], job.stride[2]) {
            (3, 1) => dots_columns::<V, 3, true>(job, x, grad, sums, 0),
            (5, 1) => dots_columns::<V, 5, true>(job, x, grad, sums, 0),
            (7, 1) => dots_columns::<V, 7, true>(job, x, grad, sums, 0),
            (3, _) => dots_columns::<V, 3, false>(job, x, grad, sums, 0),
            (n, 1) => (0..n).for_each(|j| dots_columns::<V, 1, true>(job, x, grad, sums, j)),
            (n, _) => (0..n).for_each(|j| dots_columns::<V, 1, false>(job, x, grad, sums, j)),
        }
    }
}

/// The sums of the `W` kernel columns from `first`, for one kernel row after another.
#[inline(always)]
unsafe fn dots_columns<V: Vector, const W: usize, const UNIT: bool>(
    job: &Correlation,
    x: *const V::T,
    grad: *const V::T,
    sums: *mut V::T,
    first: usize,
) {
    let step = job.stride[2];
    for from in (0..job.grid[2]).step_by(V::LANES) {
        let whole = low_mask(V::LANES.min(job.grid[2] - from));
        let offsets: [isize; W] = std::array::from_fn(|j| (from * step) as isize + job.columns[first + j].1);
        let masks: [u32; W] = std::array::from_fn(|j| job.mask(from, V::LANES, job.columns[first + j].1));
        for (kernel, pairs) in &job.meetings {
            let sums = sums.wrapping_add((kernel + first) * V::LANES);
            // SAFETY: `sums` holds every tap; masks keep every access inside its row.
            unsafe {
                let mut acc: [V; W] = std::array::from_fn(|j| V::load(sums.add(j * V::LANES)));
                for &(row, source) in pairs {
                    let g = V::load_masked(grad.wrapping_add(row + from), whole);
                    let x = x.wrapping_add(source);
                    for j in 0..W {
                        let v: V = load::<V, UNIT>(x.wrapping_offset(offsets[j]), step, masks[j]);
                        acc[j] = g.fma(v, acc[j]);
                    }
                }
                for (j, acc) in acc.into_iter().enumerate() {
                    acc.store(sums.add(j * V::LANES));
                }
            }
        }
    }
}

fn plane(size: [usize; 3]) -> usize {
    size.iter().product()
}

fn over_input(g: &Geometry) -> Correlation {
    let taps = [0, 1, 2].map(|a| (0..g.kernel[a]).map(|k| (k, g.shift(a, k))).collect());
    let place = Place::dense(g.output);
    Correlation::new(g.input, g.output, g.stride, taps, g.kernel, place)
}

/// `out[n, m] = bias[m] + w[m] ⋆ x[n, m / multiplier]`
pub fn forward<T: DepthwiseKernels>(g: &Geometry, x: &[T], w: &[T], bias: Option<&[T]>, out: &mut [T], then: Then) {
    let (job, input, output) = (over_input(g), plane(g.input), plane(g.output));
    for_parts(out, output, output * g.taps() / 8 + 64, |i, part| {
        let (n, m) = (i / g.rows, i % g.rows);
        let x = x[(n * g.channels + m / g.group_rows()) * input..][..input].as_ptr();
        let w = w[m * g.taps()..][..g.taps()].as_ptr();
        let bias = bias.map_or(T::default(), |b| b[m]);
        // SAFETY: planes and kernels of the sizes that `job` states.
        unsafe { T::correlate(&job, x, w, bias, false, part.as_mut_ptr()) }
        if let Some(then) = then {
            then.block(part.as_ptr(), 1, part.len(), part.len());
        }
    });
}

/// The input gradient, phase by phase: correlations of stride 1 over the output gradients of a channel's kernels.
pub fn input_grad<T: DepthwiseKernels>(g: &Geometry, grad: &[T], w: &[T], bias: Option<&[T]>, out: &mut [T]) {
    let (input, output, kernels) = (plane(g.input), plane(g.output), g.group_rows());
    let jobs: Vec<Correlation> = g
        .phases()
        .filter_map(|phase| {
            let (grid, taps) = g.phase(phase);
            let place = Place { size: g.input, start: phase, step: g.stride };
            (!grid.contains(&0)).then(|| Correlation::new(g.output, grid, [1; 3], taps, g.kernel, place))
        })
        .collect();
    for_parts(out, input, input + output * g.taps() * kernels / 8 + 64, |i, part| {
        let (n, c) = (i / g.channels, i % g.channels);
        let bias = bias.map_or(T::default(), |b| b[c]);
        for m in 0..kernels {
            let m = c * kernels + m;
            let grad = grad[(n * g.rows + m) * output..][..output].as_ptr();
            let w = w[m * g.taps()..][..g.taps()].as_ptr();
            for job in &jobs {
                // SAFETY: planes and kernels of the sizes that the job states.
                unsafe { T::correlate(job, grad, w, bias, m > c * kernels, part.as_mut_ptr()) }
            }
        }
    });
}

/// The weight gradient: for every kernel one sum over the batch, in order.
pub fn weight_grad<T: DepthwiseKernels>(g: &Geometry, x: &[T], grad: &[T], out: &mut [T]) {
    let (job, input, output, taps) = (over_input(g), plane(g.input), plane(g.output), g.taps());
    let (lanes, out) = (T::lanes(), Shared::new(out));
    threads::parallel_for(g.rows, grain(g.batch * output * taps / 8), |range| {
        let mut sums = vec![T::default(); taps * lanes];
        for m in range {
            sums.fill(T::default());
            for n in 0..g.batch {
                let x = x[(n * g.channels + m / g.group_rows()) * input..][..input].as_ptr();
                let grad = grad[(n * g.rows + m) * output..][..output].as_ptr();
                // SAFETY: planes of the sizes that `job` states; `sums` holds every tap.
                unsafe { T::dots(&job, x, grad, sums.as_mut_ptr()) }
            }
            // SAFETY: the kernel `m` of the output belongs to this iteration alone.
            let to = unsafe { out.range(m * taps, taps) };
            for (o, lanes) in to.iter_mut().zip(sums.chunks_exact_mut(lanes)) {
                *o = lanes.iter().fold(T::default(), |sum, &v| sum + v);
            }
        }
    });
}
