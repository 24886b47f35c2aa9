//! Counter-based random numbers: recorded nodes whose seed and offset are reserved in program order, so that results depend
//! on the seed and the order of calls alone. Noise inside the network is drawn so on every device, and all random numbers
//! of a GPU are.
//!
//! A draw is an elementwise operator without tensors, a function of the element's place in memory; scaling, rounding and
//! writing it are the ordinary operators, which fuse with it and with what reads it. A kernel of its own would write numbers
//! to memory that the next kernel reads again, and would repeat the conversions to every dtype.
//!
//! PyTorch's checks of tensors of probabilities and rates would wait for the GPU. As in PyTorch, `multinomial` and
//! `normal` do, since their errors are promised; elsewhere PyTorch's kernels assert, and these yield NaN.

use super::device::to_device;
use super::elementwise::{Operand, apply, cast};
use super::random::{Shared, default_generator};
use super::{create, item, laid_out, reduce, scan, sort, view};
use crate::capture;
use crate::device::Device;
use crate::dtype::{DType, Scalar};
use crate::ensure;
use crate::error::Result;
use crate::exec::draw::Draw;
use crate::exec::record::record_on;
use crate::exec::transfer::check_dtype;
use crate::grad::{self, with_grad_mode};
use crate::graph::{Input, Inputs, OutSpec, lock};
use crate::op::{Ew, Op};
use crate::shape::Layout;
use crate::tensor::Tensor;
use half::f16;
use std::sync::Arc;

/// A stretch of the counter-based generator: the same numbers whenever it is recorded.
#[derive(Clone, Debug)]
pub struct Stream {
    seed: u64,
    offset: u64,
    layout: Arc<Layout>,
    device: Device,
}

impl Stream {
    /// Reserves the next stretch of the device's default generator for a tensor of this dense layout.
    pub fn reserve(layout: Arc<Layout>, device: Device) -> Stream {
        Stream::from(&default_generator(device), layout, device)
    }

    pub fn from(generator: &Shared, layout: Arc<Layout>, device: Device) -> Stream {
        if device == Device::Meta {
            return Stream { seed: 0, offset: 0, layout, device };
        }
        let (seed, offset) = lock(generator).reserve_philox();
        capture::reserved((seed, offset), || {
            let generator = generator.clone();
            Arc::new(move || lock(&generator).reserve_philox())
        });
        Stream { seed, offset, layout, device }
    }

    fn record(&self, op: Ew, dtype: DType, parameters: &[Input]) -> Result<Tensor> {
        let (seed, offset) = grad::stream_now((self.seed, self.offset));
        let mut inputs: Inputs = [seed, offset].map(number).into_iter().collect();
        inputs.extend(parameters.iter().cloned());
        record_on(Op::Ew(op), inputs, OutSpec { dtype, layout: self.layout.clone() }, self.device)
    }

    /// Uniform float32 numbers in [0, 1).
    pub fn uniform(&self) -> Result<Tensor> {
        self.record(Ew::Philox, DType::F32, &[])
    }

    /// True with probability `keep`.
    pub fn mask(&self, keep: f64) -> Result<Tensor> {
        self.uniform()?.lt(keep)
    }

    /// Uniform integers below a range, 0 standing for 2⁶⁴, of which a narrower dtype gets the low bits.
    fn integers(&self, range: Input, dtype: DType) -> Result<Tensor> {
        self.record(Ew::PhiloxInteger, dtype, &[range])
    }

    /// Float32 numbers of a distribution with float parameters of the stream's shape.
    fn floats(&self, op: Ew, parameters: &[&Tensor]) -> Result<Tensor> {
        let wide = |t: &&Tensor| Ok(view::expand(&cast(&t.detach(), DType::F32)?, &self.layout.shape)?.input());
        self.record(op, DType::F32, &parameters.iter().map(wide).collect::<Result<Vec<Input>>>()?)
    }
}

/// A new tensor on a GPU with numbers that are drawn there, once they are needed.
pub fn draw(generator: &Shared, what: Draw, dtype: DType, layout: Layout, device: Device) -> Result<Tensor> {
    check_dtype(dtype, device)?;
    if layout.numel() == 0 {
        return create::full_with(layout, Scalar::Int(0), dtype, device);
    }
    let stream = Stream::from(generator, Arc::new(layout.clone()), device);
    with_grad_mode(false, || laid_out(cast(&stream.numbers(what, dtype)?, dtype)?, layout))
}

fn number(n: u64) -> Input {
    Input::Scalar(n, DType::I64)
}

fn where_(condition: &Tensor, yes: Operand, no: Operand) -> Result<Tensor> {
    apply(Ew::Where, &[condition.into(), yes, no])
}

impl Stream {
    /// The numbers before the last conversion.
    fn numbers(&self, what: Draw, dtype: DType) -> Result<Tensor> {
        match what {
            Draw::Uniform { from, to } => self.uniform_between(from, to, dtype),
            Draw::Normal { mean, std } => self.normal(mean, std),
            Draw::Range { from, to } => {
                self.integers_from(from, to.map_or(1u64 << 63, |to| to as u64).wrapping_sub(from as u64), dtype)
            }
            Draw::Full => self.integers_from(0, dtype.integers(), dtype),
            // With 64 bits for each, equal keys, whose order is fixed, do not occur in practice.
            Draw::Permutation => sort::argsort(&self.integers(number(0), DType::I64)?, 0, false),
            Draw::Bernoulli(p) => self.mask(p),
            Draw::BernoulliOf(p) => self.bernoulli(p),
            Draw::Exponential(lambda) => self.exponential(lambda, dtype),
            Draw::Geometric(p) => {
                apply(Ew::Ceil, &[(&self.floats(Ew::PhiloxExponential, &[])?.div(-(-p).ln_1p())?).into()])
            }
            Draw::Cauchy { median, sigma } => self.floats(Ew::PhiloxCauchy, &[])?.mul(sigma)?.add(median),
            Draw::LogNormal { mean, std } => self.normal(mean, std)?.exp(),
            Draw::Poisson(rates) => self.floats(Ew::PhiloxPoisson, &[rates]),
            Draw::Binomial(counts, probs) => self.floats(Ew::PhiloxBinomial, &[counts, probs]),
            Draw::Gamma(concentrations) => {
                let tiny = if dtype == DType::F16 { f16::MIN_POSITIVE.to_f64() } else { f64::from(f32::MIN_POSITIVE) };
                self.floats(Ew::PhiloxGamma, &[concentrations])?.maximum(tiny)
            }
            Draw::Multinomial(weights, replacement) => self.multinomial(weights, replacement),
        }
    }

    /// Integers that wrap in the dtype itself, so that a narrow one takes no wide intermediate.
    fn integers_from(&self, from: i64, range: u64, dtype: DType) -> Result<Tensor> {
        let narrow = (1..=1 << 30).contains(&range) && (-1 << 30..=1 << 30).contains(&from);
        let through = match dtype {
            DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 => dtype,
            _ if narrow => DType::I32,
            _ => DType::I64,
        };
        let values = self.integers(number(range), through)?;
        if from == 0 { Ok(values) } else { values.add(Scalar::Int(from)) }
    }

    /// What rounds up to the excluded end becomes the start, as on the CPU.
    fn uniform_between(&self, from: f64, to: f64, dtype: DType) -> Result<Tensor> {
        let unit = self.uniform()?;
        if dtype == DType::F32 && from == 0.0 && to == 1.0 {
            return Ok(unit);
        }
        let range = f64::from(to as f32 - from as f32);
        let values = cast(&unit.mul(range)?.add(from)?, dtype)?;
        where_(&values.eq(to)?, from.into(), (&values).into())
    }

    fn normal(&self, mean: f64, std: f64) -> Result<Tensor> {
        let values = self.floats(Ew::PhiloxNormal, &[])?;
        if mean == 0.0 && std == 1.0 { Ok(values) } else { values.mul(std)?.add(mean) }
    }

    fn bernoulli(&self, p: &Tensor) -> Result<Tensor> {
        let p = cast(&to_device(&p.detach(), self.device)?, DType::F32)?;
        let valid = p.ge(0.0)?.logical_and(&p.le(1.0)?)?;
        let hit = cast(&self.uniform()?.lt(&p)?, DType::F32)?;
        where_(&valid, (&hit).into(), f64::NAN.into())
    }

    /// Never 0, also after rounding to the dtype.
    fn exponential(&self, lambda: f64, dtype: DType) -> Result<Tensor> {
        let tiny = if dtype == DType::F16 { f16::from_bits(1).to_f64() } else { f64::from(f32::MIN_POSITIVE) };
        self.floats(Ew::PhiloxExponential, &[])?.div(lambda)?.maximum(tiny)
    }

    /// Without replacement, and for a single draw, the categories with the largest weight over an exponential number win; with
    /// replacement uniform integers are searched for in the sums of the weights, which are exact as fixed-point numbers, so
    /// that categories without weight stay without a place however many there are.
    fn multinomial(&self, weights: &Tensor, replacement: bool) -> Result<Tensor> {
        let weights = cast(&weights.detach(), DType::F32)?;
        let samples = self.layout.shape.last().copied().unwrap_or(1);
        let shares = weights.div(&largest_weights(&weights)?)?;
        if !replacement || samples == 1 {
            let layout = Arc::new(Layout::contiguous(weights.shape_dims().clone()));
            let race = Stream { layout, ..self.clone() }.floats(Ew::PhiloxExponential, &[])?;
            return Ok(sort::topk(&shares.div(&race)?, samples as i64, -1, true)?.1);
        }
        let fixed = cast(&apply(Ew::Ceil, &[(&shares.mul(FIXED_POINT)?).into()])?, DType::I64)?;
        let sums = scan::cumsum(&fixed, -1, None, false)?;
        let last = sums.rank() - 1;
        let total = view::slice(&sums, last, sums.shape()[last] - 1, 1, 1)?;
        let drawn = self.integers(view::expand(&total, &self.layout.shape)?.input(), DType::I64)?;
        sort::searchsorted(&sums, &drawn, sort::Search { right: true, ..Default::default() })
    }
}

/// The unit in which the weights of a row are counted, the largest being 1: sums of 2²⁴ categories stay below 2⁶³.
const FIXED_POINT: f64 = (1u64 << 38) as f64;

/// The largest weight of every row, kept as a dim, after PyTorch's checks, for which the GPU has to be waited for.
fn largest_weights(weights: &Tensor) -> Result<Tensor> {
    let largest = reduce::extremum(true, weights, Some(&[-1]), true)?;
    let finite = weights.ge(0.0)?.logical_and(&weights.lt(f64::INFINITY)?)?;
    let valid = reduce::truth(true, &finite, None, false)?;
    let positive = reduce::truth(true, &largest.gt(0.0)?, None, false)?;
    // One number for both answers, so that one wait is enough.
    let answers = item(&cast(&valid, DType::I32)?.mul(Scalar::Int(2))?.add(&cast(&positive, DType::I32)?)?)?.to_i64();
    ensure!(answers & 2 != 0, Runtime, "probability tensor contains either `inf`, `nan` or element < 0");
    ensure!(answers & 1 != 0, Runtime, "invalid multinomial distribution (sum of probabilities <= 0)");
    Ok(largest)
}
