//! Convolution and transposed convolution in one to three dimensions, with their input and weight gradients.
//!
//! Everything is expressed in the *direct* convolution's terms: its forward pass, its input gradient (which is the
//! transposed convolution's forward pass) and its weight gradient. Float types multiply packed weights with patches
//! that are packed on the fly (`product`, `weight_grad`); depthwise convolutions and integers have kernels of their own.

mod columns;
mod depthwise;
mod direct;
mod kernel;
#[cfg(target_arch = "x86_64")]
mod lines;
mod patches;
mod phases;
mod pointwise;
mod product;
#[cfg(test)]
mod tests;
mod vector;
mod weight_grad;
mod winograd;

use crate::cpu::elementwise::Then;
use crate::cpu::gemm::{Compute, Storage};
use crate::cpu::planes::{Shared, Widen, contiguous};
use crate::cpu::view::{In, Out};
use crate::dispatch;
use crate::dtype::DType;
use crate::params::ConvParams;
use depthwise::DepthwiseKernels;
use half::{bf16, f16};
use patches::Patches;
use product::{PackedWeights, Place, Product, Sizes, WeightLayout};
use std::borrow::Cow;

/// Shapes of a direct convolution `(N, C, *) → (N, M, *)` with weights `(M, C/groups, *)`.
#[derive(Clone, Debug)]
struct Geometry {
    batch: usize,
    groups: usize,
    channels: usize,
    rows: usize,
    input: [usize; 3],
    output: [usize; 3],
    kernel: [usize; 3],
    stride: [usize; 3],
    padding: [usize; 3],
    dilation: [usize; 3],
}

fn spatial(shape: &[usize]) -> [usize; 3] {
    let mut size = [1; 3];
    size[5 - shape.len()..].copy_from_slice(&shape[2..]);
    size
}

impl Geometry {
    /// `x` and `y` are the shapes of the direct convolution's input and output.
    fn new(p: &ConvParams, x: &[usize], w: &[usize], y: &[usize]) -> Geometry {
        let mut g = Geometry {
            batch: x[0],
            groups: p.groups,
            channels: x[1],
            rows: y[1],
            input: spatial(x),
            output: spatial(y),
            kernel: spatial(w),
            stride: p.stride,
            padding: p.padding,
            dilation: p.dilation,
        };
        // Points of a 1×1 convolution do not see each other: one long row packs fastest.
        if g.kernel == [1; 3] && g.stride == [1; 3] && g.padding == [0; 3] && g.input == g.output {
            let points = g.input.iter().product();
            (g.input, g.output) = ([1, 1, points], [1, 1, points]);
        }
        g
    }
    fn is_empty(&self) -> bool {
        let sizes = self.input.iter().chain(&self.output).chain(&self.kernel);
        self.batch * self.channels * self.rows * sizes.product::<usize>() == 0
    }
    fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.channels && self.kernel[2] <= depthwise::MOST_COLUMNS
    }
    fn group_channels(&self) -> usize {
        self.channels / self.groups
    }
    fn group_rows(&self) -> usize {
        self.rows / self.groups
    }
    fn taps(&self) -> usize {
        self.kernel.iter().product()
    }
    /// The input offset of a kernel element, `k·dilation - padding`.
    fn shift(&self, axis: usize, k: usize) -> isize {
        (k * self.dilation[axis]) as isize - self.padding[axis] as isize
    }
    /// The input position a point reads for every kernel element, row-major.
    fn all_taps(&self) -> Vec<[isize; 3]> {
        let [kd, kh, kw] = self.kernel;
        let index = (0..kd).flat_map(|d| (0..kh).flat_map(move |h| (0..kw).map(move |w| [d, h, w])));
        index.map(|k| [0, 1, 2].map(|a| self.shift(a, k[a]))).collect()
    }
    fn patches(&self) -> Patches {
        Patches {
            size: self.input,
            grid: self.output,
            stride: self.stride,
            axes: [0, 1, 2].map(|a| (0..self.kernel[a]).map(|k| self.shift(a, k)).collect()),
            batch_stride: self.channels * self.input.iter().product::<usize>(),
            batches: self.batch,
        }
    }
    /// The input positions that are `phase` modulo the stride: how many there are on each axis, and the kernel elements
    /// `k` by which they reach the output, each with the output position `(phase + padding - k·dilation) / stride` that
    /// the first of them reads.
    fn phase(&self, phase: [usize; 3]) -> ([usize; 3], [Vec<(usize, isize)>; 3]) {
        let grid = [0, 1, 2].map(|a| self.input[a].saturating_sub(phase[a]).div_ceil(self.stride[a]));
        let taps = [0, 1, 2].map(|a| {
            let stride = self.stride[a] as isize;
            let taps = (0..self.kernel[a]).map(|k| (k, phase[a] as isize - self.shift(a, k)));
            taps.filter(|t| t.1.rem_euclid(stride) == 0).map(|t| (t.0, t.1.div_euclid(stride))).collect()
        });
        (grid, taps)
    }
    fn phases(&self) -> impl Iterator<Item = [usize; 3]> {
        let [sd, sh, sw] = self.stride;
        (0..sd).flat_map(move |d| (0..sh).flat_map(move |h| (0..sw).map(move |w| [d, h, w])))
    }
}

/// `x: (N, C, *)` convolved with `w`, plus `bias: (M,)`. Weights are `(M, C/groups, *)`, or `(C, M/groups, *)` when
/// transposed. Results are handed over to what finishes them.
pub fn forward(p: &ConvParams, x: In, w: In, bias: Option<In>, out: &mut Out, then: Then) {
    if p.transposed {
        let g = Geometry::new(p, out.shape, w.shape, x.shape);
        run(Pass::InputGrad, &g, x, w, bias, out, then)
    } else {
        let g = Geometry::new(p, x.shape, w.shape, out.shape);
        run(Pass::Forward, &g, x, w, bias, out, then)
    }
}

/// The gradient with respect to the input.
pub fn input_grad(p: &ConvParams, grad_out: In, w: In, out: &mut Out) {
    if p.transposed {
        let g = Geometry::new(p, grad_out.shape, w.shape, out.shape);
        run(Pass::Forward, &g, grad_out, w, None, out, None)
    } else {
        let g = Geometry::new(p, out.shape, w.shape, grad_out.shape);
        run(Pass::InputGrad, &g, grad_out, w, None, out, None)
    }
}

/// The gradient with respect to the weights.
pub fn weight_grad(p: &ConvParams, x: In, grad_out: In, out: &mut Out) {
    let (input, output) = if p.transposed { (grad_out, x) } else { (x, grad_out) };
    let g = Geometry::new(p, input.shape, out.shape, output.shape);
    run(Pass::WeightGrad, &g, input, output, None, out, None)
}

#[derive(Clone, Copy, PartialEq)]
enum Pass {
    /// Input, weights.
    Forward,
    /// Output gradient, weights.
    InputGrad,
    /// Input, output gradient.
    WeightGrad,
}

/// The types in which convolutions are computed.
trait Float: DepthwiseKernels + Compute + Storage<Acc = Self> {}
impl Float for f32 {}
impl Float for f64 {}

fn run(pass: Pass, g: &Geometry, a: In, b: In, bias: Option<In>, out: &mut Out, then: Then) {
    match out.dtype {
        DType::F32 => return run_real::<f32>(pass, g, a, b, bias, out, then),
        DType::F64 => return run_real::<f64>(pass, g, a, b, bias, out, then),
        DType::F16 => run_half::<f16>(pass, g, a, b, bias, out),
        DType::BF16 => run_half::<bf16>(pass, g, a, b, bias, out),
        other => dispatch!(other, T => {
            let (a, b, bias) = (contiguous::<T>(&a), contiguous::<T>(&b), bias.map(|v| contiguous::<T>(&v)));
            direct::run::<T>(pass, g, &a, &b, bias.as_deref(), out.as_mut_slice());
        }),
    }
    finish(then);
}

/// Hands over all results at once.
fn finish(then: Then) {
    if let Some(then) = then {
        then.all();
    }
}

fn run_real<T: Float>(pass: Pass, g: &Geometry, a: In, b: In, bias: Option<In>, out: &mut Out, then: Then) {
    let (a, b, bias) = (contiguous::<T>(&a), contiguous::<T>(&b), bias.map(|v| contiguous::<T>(&v)));
    compute(pass, g, &a, &b, bias.as_deref(), out.as_mut_slice::<T>(), then);
}

/// Halves are computed in float32 and rounded once.
fn run_half<T: Widen<Acc = f32>>(pass: Pass, g: &Geometry, a: In, b: In, bias: Option<In>, out: &mut Out) {
    let (a, b, bias) = (widen::<T>(a), widen::<T>(b), bias.map(widen::<T>));
    let out = out.as_mut_slice::<T>();
    let mut wide = vec![0f32; out.len()];
    compute(pass, g, &a, &b, bias.as_deref(), &mut wide, None);
    for (o, v) in out.iter_mut().zip(wide) {
        *o = T::narrow(v);
    }
}

fn widen<T: Widen<Acc = f32>>(x: In) -> Vec<f32> {
    let x: Cow<[T]> = contiguous(&x);
    x.iter().map(|v| v.widen()).collect()
}

fn compute<T: Float>(pass: Pass, g: &Geometry, a: &[T], b: &[T], bias: Option<&[T]>, out: &mut [T], then: Then) {
    match pass {
        Pass::Forward if g.is_empty() => product::fill(out, g.rows, g.output.iter().product(), bias),
        Pass::InputGrad if g.is_empty() => product::fill(out, g.channels, g.input.iter().product(), bias),
        Pass::WeightGrad if g.is_empty() => out.fill(T::default()),
        Pass::Forward if g.is_depthwise() => return depthwise::forward(g, a, b, bias, out, then),
        Pass::InputGrad if g.is_depthwise() => depthwise::input_grad(g, a, b, bias, out),
        Pass::WeightGrad if g.is_depthwise() => depthwise::weight_grad(g, a, b, out),
        Pass::Forward => return forward_product(g, a, b, bias, out, then),
        Pass::InputGrad => input_grad_product(g, a, b, bias, out),
        Pass::WeightGrad if winograd::weight_grad(g, a, b, out) => {}
        Pass::WeightGrad => {
            let sizes = Sizes { groups: g.groups, rows: g.group_rows(), channels: g.group_channels() };
            weight_grad::WeightGrad { patches: &g.patches(), x: a, grad: b, sizes }.run(out)
        }
    }
    finish(then);
}

fn forward_product<T: Float>(g: &Geometry, x: &[T], w: &[T], bias: Option<&[T]>, out: &mut [T], then: Then) {
    if pointwise::forward(g, x, w, bias, out, then) {
        return;
    }
    if winograd::forward(g, x, w, bias, out) {
        return finish(then);
    }
    let sizes = Sizes { groups: g.groups, rows: g.group_rows(), channels: g.group_channels() };
    let layout = WeightLayout {
        row_stride: sizes.channels * g.taps(),
        channel_stride: g.taps(),
        taps: (0..g.taps()).collect(),
        group_stride: sizes.rows * sizes.channels * g.taps(),
    };
    let weights = PackedWeights::new(w, &layout, sizes);
    let (patches, place) = (&g.patches(), &Place::dense(g.output));
    let product = Product { patches, x, weights: &weights, sizes, bias, place, then };
    // SAFETY: `out` is ours alone.
    unsafe { product.run(Shared::new(out)) }
}

/// The input gradient, one phase of the stride after another: within a phase it is a convolution of stride 1 over the
/// output gradient with a subset of the kernel.
fn input_grad_product<T: Float>(g: &Geometry, grad: &[T], w: &[T], bias: Option<&[T]>, out: &mut [T]) {
    if columns::input_grad(g, grad, w, bias, out) {
        return;
    }
    if g.stride[2] > 1 {
        return phases::input_grad(g, grad, w, bias, out);
    }
    if g.phases().any(|p| g.phase(p).1.iter().any(Vec::is_empty)) {
        product::fill(out, g.channels, g.input.iter().product(), bias);
    }
    for phase in g.phases() {
        let (grid, taps) = g.phase(phase);
        if grid.contains(&0) || taps.iter().any(Vec::is_empty) {
            continue;
        }
        if winograd::input_grad(g, phase, grad, w, bias, out) {
            continue;
        }
        let place = Place { size: g.input, start: phase, step: g.stride };
        phases::product(g, (grid, &taps), grad, w, bias, &place, out);
    }
}
