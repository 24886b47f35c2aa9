//! Depthwise convolution: every input channel has its own kernels. Rows are read in place, their borders by masks.

use crate::cpu::conv::Geometry;
use crate::cpu::conv::kernel::Real;
use crate::cpu::conv::product::Place;
use crate::cpu::conv::vector::{Lanes, Vector, low_mask};
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
    /// Per axis, kernel elements and their shifts.
    taps: [Vec<(usize, isize)>; 3],
    kernel: [usize; 3],
    place: Place,
}

/// The kernels, compiled for every level; `W` columns of the kernel are unrolled, 0 stands for any number.
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
    ($t:ty, $wide:ident, $narrow:ident, $base:literal) => {
        const _: () = {
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
                            _ => dots::<Lanes<$t, $base>>(j, x, g, s),
                        }
                    }
                }
            }
        };
    };
}
levels!(f32, __m512, __m256, 4);
levels!(f64, __m512d, __m256d, 2);

impl Correlation {
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
    fn taps(&self) -> usize {
        self.kernel.iter().product()
    }
    /// The row of `size` that point `at` of an axis reads, if it is inside.
    #[inline(always)]
    fn inside(&self, axis: usize, at: usize, shift: isize) -> Option<usize> {
        let i = (at * self.stride[axis]) as isize + shift;
        (0..self.size[axis] as isize).contains(&i).then_some(i as usize)
    }
}

#[inline(always)]
unsafe fn load<V: Vector>(p: *const V::T, step: usize, mask: u32) -> V {
    // SAFETY: the caller's.
    unsafe { if step == 1 { V::load_masked(p, mask) } else { V::load_step(p, step, mask) } }
}

#[inline(always)]
unsafe fn correlate<V: Vector>(
    job: &Correlation, x: *const V::T, w: *const V::T, bias: V::T, add: bool, out: *mut V::T,
) {
    // SAFETY: the caller's.
    unsafe {
        match job.taps[2].len() {
            2 => correlate_columns::<V, 2>(job, x, w, bias, add, out),
            3 => correlate_columns::<V, 3>(job, x, w, bias, add, out),
            5 => correlate_columns::<V, 5>(job, x, w, bias, add, out),
            7 => correlate_columns::<V, 7>(job, x, w, bias, add, out),
            _ => correlate_columns::<V, 0>(job, x, w, bias, add, out),
        }
    }
}

/// One vector of columns after another, down all rows.
#[inline(always)]
unsafe fn correlate_columns<V: Vector, const W: usize>(
    job: &Correlation, x: *const V::T, w: *const V::T, bias: V::T, add: bool, out: *mut V::T,
) {
    let count = if W == 0 { job.taps[2].len() } else { W };
    let columns = &job.taps[2][..count];
    let (mut masks, mut offsets) = ([0u32; MOST_COLUMNS], [0isize; MOST_COLUMNS]);
    let ([kd, kh, kw], step) = (job.kernel, job.stride[2]);
    debug_assert!(kd * kh * kw > 0);
    for from in (0..job.grid[2]).step_by(V::LANES) {
        let whole = low_mask(V::LANES.min(job.grid[2] - from));
        for (j, &(_, shift)) in columns.iter().enumerate() {
            masks[j] = job.mask(from, V::LANES, shift);
            offsets[j] = (from * step) as isize + shift;
        }
        for row in 0..job.grid[0] * job.grid[1] {
            let (od, oh) = (row / job.grid[1], row % job.grid[1]);
            let place = &job.place;
            let at = (place.start[0] + od * place.step[0]) * place.size[1] + place.start[1] + oh * place.step[1];
            let to = out.wrapping_add(at * place.size[2] + place.start[2] + from * place.step[2]);
            // SAFETY: masks keep every access inside its row.
            unsafe {
                let mut sum = V::splat(bias);
                if add {
                    sum = load(to, place.step[2], whole);
                }
                for &(d, shift) in &job.taps[0] {
                    let Some(id) = job.inside(0, od, shift) else { continue };
                    for &(h, shift) in &job.taps[1] {
                        let Some(ih) = job.inside(1, oh, shift) else { continue };
                        let source = x.wrapping_add((id * job.size[1] + ih) * job.size[2]);
                        let weights = w.wrapping_add((d * kh + h) * kw);
                        for j in 0..count {
                            let v: V = load(source.wrapping_offset(offsets[j]), step, masks[j]);
                            sum = V::splat(*weights.add(columns[j].0)).fma(v, sum);
                        }
                    }
                }
                // The next plane is usually next.
                V::prefetch(x.wrapping_add(plane(job.size) + row * job.size[2] + from));
                V::prefetch(to.wrapping_add(plane(place.size)));
                if place.step[2] == 1 {
                    sum.store_masked(to, whole);
                } else {
                    sum.store_step(to, place.step[2], whole);
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn dots<V: Vector>(job: &Correlation, x: *const V::T, grad: *const V::T, sums: *mut V::T) {
    let kw = job.kernel[2];
    let mut first = 0;
    while first < kw {
        let count = (kw - first).min(8);
        // SAFETY: the caller's.
        unsafe {
            match count {
                3 => dots_columns::<V, 3>(job, x, grad, sums, first),
                5 => dots_columns::<V, 5>(job, x, grad, sums, first),
                7 => dots_columns::<V, 7>(job, x, grad, sums, first),
                8 => dots_columns::<V, 8>(job, x, grad, sums, first),
                _ => {
                    for j in 0..count {
                        dots_columns::<V, 1>(job, x, grad, sums, first + j);
                    }
                }
            }
        }
        first += count;
    }
}

/// The sums of the `W` kernel columns from `first`, in registers while the plane is walked.
#[inline(always)]
unsafe fn dots_columns<V: Vector, const W: usize>(
    job: &Correlation, x: *const V::T, grad: *const V::T, sums: *mut V::T, first: usize,
) {
    let ([_, kh, kw], step) = (job.kernel, job.stride[2]);
    for (d, &(_, shift_d)) in job.taps[0].iter().enumerate() {
        for (h, &(_, shift_h)) in job.taps[1].iter().enumerate() {
            let sums = sums.wrapping_add(((d * kh + h) * kw + first) * V::LANES);
            // SAFETY: `sums` holds every tap; masks keep every access inside its row.
            unsafe {
                let mut acc: [V; W] = std::array::from_fn(|j| V::load(sums.add(j * V::LANES)));
                for from in (0..job.grid[2]).step_by(V::LANES) {
                    let whole = low_mask(V::LANES.min(job.grid[2] - from));
                    let shifts: [isize; W] = std::array::from_fn(|j| job.taps[2][first + j].1);
                    let masks = shifts.map(|s| job.mask(from, V::LANES, s));
                    for row in 0..job.grid[0] * job.grid[1] {
                        let (od, oh) = (row / job.grid[1], row % job.grid[1]);
                        let Some(id) = job.inside(0, od, shift_d) else { continue };
                        let Some(ih) = job.inside(1, oh, shift_h) else { continue };
                        let source = x.wrapping_add((id * job.size[1] + ih) * job.size[2] + from * step);
                        let g = V::load_masked(grad.wrapping_add(row * job.grid[2] + from), whole);
                        for j in 0..W {
                            let v: V = load(source.wrapping_offset(shifts[j]), step, masks[j]);
                            acc[j] = g.fma(v, acc[j]);
                        }
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
    Correlation { size: g.input, grid: g.output, stride: g.stride, taps, kernel: g.kernel, place }
}

/// `out[n, m] = bias[m] + w[m] ⋆ x[n, m / multiplier]`
pub fn forward<T: DepthwiseKernels>(g: &Geometry, x: &[T], w: &[T], bias: Option<&[T]>, out: &mut [T]) {
    let (job, input, output) = (over_input(g), plane(g.input), plane(g.output));
    for_parts(out, output, output * g.taps() / 8 + 64, |i, part| {
        let (n, m) = (i / g.rows, i % g.rows);
        let x = x[(n * g.channels + m / g.group_rows()) * input..][..input].as_ptr();
        let w = w[m * g.taps()..][..g.taps()].as_ptr();
        let bias = bias.map_or(T::default(), |b| b[m]);
        // SAFETY: planes and kernels of the sizes that `job` states.
        unsafe { T::correlate(&job, x, w, bias, false, part.as_mut_ptr()) }
    });
}

/// The input gradient, phase by phase: correlations of stride 1 over the output gradients of a channel's kernels.
pub fn input_grad<T: DepthwiseKernels>(g: &Geometry, grad: &[T], w: &[T], bias: Option<&[T]>, out: &mut [T]) {
    let (input, output, kernels) = (plane(g.input), plane(g.output), g.group_rows());
    let jobs: Vec<Correlation> = g
        .phases()
        .map(|phase| {
            let (grid, taps) = g.phase(phase);
            let place = Place { size: g.input, start: phase, step: g.stride };
            Correlation { size: g.output, grid, stride: [1; 3], taps, kernel: g.kernel, place }
        })
        .filter(|job| !job.grid.contains(&0))
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
    debug_assert_eq!(job.taps(), taps);
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
