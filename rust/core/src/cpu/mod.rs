//! CPU kernels. `execute` is the one door: an exhaustive match, so a family without a kernel does not compile.

pub mod advanced;
pub mod attention;
pub mod attention_backward;
mod bands;
pub mod batch_norm;
pub mod blocks;
pub mod conv;
pub mod copy;
pub mod count;
pub mod distributions;
pub mod elementwise;
pub mod embedding;
pub mod fft;
pub mod fold;
pub mod fused;
pub mod gemm;
pub mod halves;
pub mod im2col;
pub mod index;
mod indexing;
pub mod interpolate;
pub mod linalg;
mod lines;
pub mod loss;
pub mod math;
pub mod norm;
pub mod pad;
pub mod philox;
pub mod planes;
pub mod pool;
pub mod random;
pub mod rearrange;
pub mod reduce;
pub mod reduce_index;
pub mod rnn;
pub mod rnn_backward;
pub mod rows;
pub mod sample;
pub mod scan;
pub mod scratch;
pub mod select;
pub mod simd;
pub mod softmax;
pub mod sort;
mod sorting;
pub mod threads;
pub mod tiles;
mod truncate;
pub mod unique;
pub mod view;
pub mod walk;

pub use crate::simd_dispatch;

use crate::dispatch;
use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::op::{Conv, Op, Reduction, Scan, Window};
use elementwise::Finisher;
use view::{In, Out};

/// Runs a structured operator whose results are finished by a program ([`Op::joins`]).
pub fn execute_then(op: &Op, ins: &[In], numbers: &[u64], outs: &mut [Out], then: &Finisher) -> Result<()> {
    match op {
        Op::Matmul => gemm::matmul(ins[0], ins[1], &mut outs[0], Some(then)),
        Op::Conv(Conv::Forward, p) => {
            conv::forward(p, ins[0], ins[1], ins.get(2).copied(), &mut outs[0], Some(then));
            Ok(())
        }
        _ => {
            execute(op, ins, numbers, outs)?;
            then.all();
            Ok(())
        }
    }
}

/// Runs a structured operator: inputs, numbers in order, outputs.
pub fn execute(op: &Op, ins: &[In], numbers: &[u64], outs: &mut [Out]) -> Result<()> {
    match op {
        Op::Data | Op::Ew(_) | Op::Cast | Op::Bits | Op::WriteView | Op::Kernel(_) => {
            Err(Error::Internal(format!("{} is not a structured kernel", op.name())))
        }
        Op::Arange => {
            ramp(numbers[0], numbers[1], &mut outs[0]);
            Ok(())
        }
        Op::Reduce(kind, mask) => reduce_dims(*kind, *mask, &ins[0], numbers, outs),
        Op::Scan(kind, dim) => scan_dim(*kind, *dim as usize, &ins[0], outs),
        Op::Cat(dim) => {
            cat(*dim as usize, ins, &mut outs[0]);
            Ok(())
        }
        Op::Matmul => gemm::matmul(ins[0], ins[1], &mut outs[0], None),
        Op::Linalg(l) => linalg::execute(*l, ins, outs),
        Op::ComplexLinalg(l, complex) => linalg::execute_complex(*l, *complex, ins, outs),
        Op::Fft(kind, dims) => fft::execute(*kind, *dims as usize, &ins[0], numbers, &mut outs[0]),
        Op::Conv(pass, p) => {
            match pass {
                Conv::Forward => conv::forward(p, ins[0], ins[1], ins.get(2).copied(), &mut outs[0], None),
                Conv::InputGrad => conv::input_grad(p, ins[0], ins[1], &mut outs[0]),
                Conv::WeightGrad => conv::weight_grad(p, ins[0], ins[1], &mut outs[0]),
            }
            Ok(())
        }
        Op::Window(w) => window(w, ins, outs),
        Op::Indexing(i) => indexing::execute(*i, ins, numbers, &mut outs[0]),
        Op::Sorting(s) => sorting::execute(*s, ins, numbers, outs),
        Op::Fused(f) => fused::execute(f, ins, numbers, outs),
    }
}

fn ramp(start: u64, step: u64, out: &mut Out) {
    let dtype = out.dtype;
    dispatch!(dtype, T => {
        let values = out.as_mut_slice::<T>();
        if dtype.is_float() {
            let (a, s) = (f64::from_bits(start), f64::from_bits(step));
            for (i, v) in values.iter_mut().enumerate() {
                *v = T::from_f64(a + s * i as f64);
            }
        } else {
            let (a, s) = (start as i64, step as i64);
            for (i, v) in values.iter_mut().enumerate() {
                *v = T::from_i64(a.wrapping_add(s.wrapping_mul(i as i64)));
            }
        }
    });
}

fn reduce_dims(kind: Reduction, mask: u64, x: &In, numbers: &[u64], outs: &mut [Out]) -> Result<()> {
    use reduce::ReduceKind as K;
    let dims: Vec<usize> = (0..x.shape.len()).filter(|d| mask & (1 << d) != 0).collect();
    let number = || numbers.first().copied().map_or(0.0, f64::from_bits);
    let kind = match kind {
        Reduction::Sum => K::Sum,
        Reduction::Prod => K::Prod,
        Reduction::Mean => K::Mean,
        Reduction::Max => K::Amax,
        Reduction::Min => K::Amin,
        Reduction::ArgMax => K::Argmax,
        Reduction::ArgMin => K::Argmin,
        Reduction::Any => K::Any,
        Reduction::All => K::All,
        Reduction::Var => K::Var { correction: number() },
        Reduction::Norm => K::Norm { p: number() },
        Reduction::LogSumExp => K::LogSumExp,
        Reduction::CountNonzero => K::CountNonzero,
        Reduction::MaxIndex | Reduction::MinIndex => {
            let [values, indices] = outs else { return Err(Error::Internal("max: two outputs expected".into())) };
            let dim = dims.first().copied().unwrap_or(0);
            return reduce_index::reduce_with_index(kind == Reduction::MaxIndex, x, dim, values, indices);
        }
    };
    reduce::reduce(kind, x, &dims, &mut outs[0])
}

fn scan_dim(kind: Scan, dim: usize, x: &In, outs: &mut [Out]) -> Result<()> {
    use scan::ScanKind as K;
    let (kind, reverse) = match kind {
        Scan::Sum { reverse } => (K::Sum, reverse),
        Scan::Prod { reverse } => (K::Prod, reverse),
        Scan::LogSumExp { reverse } => (K::LogSumExp, reverse),
        Scan::Max | Scan::Min => {
            let [values, indices] = outs else { return Err(Error::Internal("cummax: two outputs expected".into())) };
            return scan::scan_extremum(kind == Scan::Max, x, dim, values, indices);
        }
    };
    scan::scan(kind, reverse, x, dim, &mut outs[0])
}

fn cat(dim: usize, ins: &[In], out: &mut Out) {
    // Real and imaginary parts become complex numbers.
    if let [a, b] = ins
        && dim + 1 == out.shape.len()
        && (a.shape[dim], b.shape[dim]) == (1, 1)
        && out.dtype.size() >= 4
        && out.is_contiguous()
        && a.is_contiguous()
        && b.is_contiguous()
    {
        return copy::interleave(out.ptr, a.ptr, b.ptr, a.numel(), out.dtype.size());
    }
    let mut start = 0;
    for x in ins {
        // SAFETY: part `start..` of the dim lies inside the output.
        let dst = unsafe { out.ptr.add(start * out.strides[dim] * out.dtype.size()) };
        copy::copy_strided(dst, x.shape, out.strides, x, false);
        start += x.shape[dim];
    }
}

fn window(w: &Window, ins: &[In], outs: &mut [Out]) -> Result<()> {
    let x = ins[0];
    if let Window::MaxPool(_) | Window::AdaptiveMaxPool(_) = w {
        let [values, indices] = outs else { return Err(Error::Internal("max_pool: two outputs expected".into())) };
        match w {
            Window::MaxPool(p) => pool::max_pool(p, x, values, Some(indices)),
            Window::AdaptiveMaxPool(s) => pool::adaptive_max_pool(*s as usize, x, values, indices),
            _ => {}
        }
        return Ok(());
    }
    let out = &mut outs[0];
    match w {
        Window::MaxPool(_) | Window::AdaptiveMaxPool(_) => {}
        Window::SpreadPlanes(s, _) => pool::max_pool_grad(*s as usize, x, ins[1], out),
        Window::TakePlanes(s) => pool::take_planes(*s as usize, x, ins[1], out),
        Window::AvgPool(p) => pool::avg_pool(p, x, out),
        Window::AvgPoolGrad(p) => pool::avg_pool_grad(p, x, out),
        Window::AdaptiveAvgPool(s) => pool::adaptive_avg_pool(*s as usize, x, out),
        Window::AdaptiveAvgPoolGrad(s) => pool::adaptive_avg_pool_grad(*s as usize, x, out),
        Window::Pad(p) => pad::pad(p, x, out),
        Window::PadGrad(p) => pad::pad_grad(p, x, out),
        Window::Resize(p) => return interpolate::resize(p, x, out),
        Window::ResizeGrad(p) => return interpolate::resize_grad(p, x, out),
        Window::Im2col(p) => im2col::im2col(p, x, out),
        Window::Col2im(p) => im2col::col2im(p, x, out),
        Window::Sample(p) => return sample::sample(p, &x, &ins[1], out),
        Window::SampleImageGrad(p) => return sample::image_grad(p, &x, &ins[1], out),
        Window::SampleGridGrad(p) => return sample::grid_grad(p, &x, &ins[1], &ins[2], out),
    }
    Ok(())
}

/// The dtypes a window may have, for error messages.
pub fn check_dtype(op: &str, dtype: DType, ok: bool) -> Result<()> {
    if ok { Ok(()) } else { Err(Error::Runtime(format!("\"{op}\" not implemented for '{}'", dtype.scalar_name()))) }
}
