//! Random numbers. On the CPU, creation and in-place sampling draw from a sequential generator at the call, number for number
//! as PyTorch does there. On GPUs, and for noise inside the network (dropout, rrelu) everywhere, they are counter-based:
//! recorded kernels whose seed and offset are reserved in program order ([`super::philox`]). So noise is computed again in the
//! backward pass instead of kept.

use super::device::to_device;
use super::elementwise::{Operand, apply, cast, output_layout, preserved};
use super::philox::{self, Stream};
use super::{create, holds, inplace, reduce, view};
use crate::capture;
use crate::device::Device;
use crate::dtype::{DType, Scalar};
use crate::error::Result;
use crate::exec::draw;
pub use crate::exec::draw::Draw;
use crate::grad::{Grads, Rule, with_grad_mode};
use crate::graph::lock;
use crate::op::Ew;
use crate::rng::{DEFAULT_SEED, Generator};
use crate::shape::{Dims, Layout, broadcast_shapes};
use crate::tensor::{Keep, Tensor, attach, attach_rule};
use crate::{bail, ensure};
use smallvec::SmallVec;
use std::sync::{Arc, LazyLock, Mutex};

/// A generator that several owners draw from.
pub type Shared = Arc<Mutex<Generator>>;

/// The default generators of GPUs, made when they are first asked for: nothing needs to know how many GPUs there are.
struct Gpus {
    /// What a generator that is made starts from.
    seed: u64,
    made: Vec<Option<Shared>>,
}

static CPU: LazyLock<Shared> = LazyLock::new(Shared::default);
static GPUS: Mutex<Gpus> = Mutex::new(Gpus { seed: DEFAULT_SEED, made: Vec::new() });

/// The generator used for tensors of a device where none is given.
pub fn default_generator(device: Device) -> Shared {
    let Device::Gpu(i) = device else { return CPU.clone() };
    let mut gpus = lock(&GPUS);
    let (seed, i) = (gpus.seed, i as usize);
    if gpus.made.len() <= i {
        gpus.made.resize(i + 1, None);
    }
    gpus.made[i].get_or_insert_with(|| Arc::new(Mutex::new(Generator::on(device, seed)))).clone()
}

/// Restarts the default generators of all GPUs.
pub fn seed_gpus(seed: u64) {
    let mut gpus = lock(&GPUS);
    gpus.seed = seed;
    gpus.made.iter().flatten().for_each(|g| lock(g).manual_seed(seed));
}

/// Restarts the default generators of all devices.
pub fn seed_all(seed: u64) {
    lock(&CPU).manual_seed(seed);
    seed_gpus(seed);
}

/// The default generators of all GPUs as they are now.
pub struct GpuStates {
    seed: u64,
    made: Vec<Option<Generator>>,
}

pub fn gpu_states() -> GpuStates {
    let gpus = lock(&GPUS);
    let made = gpus.made.iter().map(|g| g.as_ref().map(|g| lock(g).clone())).collect();
    GpuStates { seed: gpus.seed, made }
}

/// Takes the generators back to where they were; those made since start anew.
pub fn restore_gpus(states: &GpuStates) {
    let mut gpus = lock(&GPUS);
    gpus.seed = states.seed;
    for (i, generator) in gpus.made.iter().enumerate() {
        let Some(generator) = generator else { continue };
        let fresh = || Generator::on(Device::Gpu(i as u16), states.seed);
        *lock(generator) = states.made.get(i).cloned().flatten().unwrap_or_else(fresh);
    }
}

/// The given generator, which has to be of the device's kind, or the device's default one.
pub fn generator_for(device: Device, generator: Option<Shared>) -> Result<Shared> {
    let Some(generator) = generator else { return Ok(default_generator(device)) };
    if device == Device::Meta {
        return Ok(generator);
    }
    let kind = |d: Device| if d == Device::Cpu { "cpu" } else { "cuda" };
    let (expected, found) = (kind(device), kind(lock(&generator).device()));
    ensure!(expected == found, Runtime, "Expected a '{expected}' device type for generator but found '{found}'");
    Ok(generator)
}

/// A new tensor of random numbers. The CPU draws them now, a GPU when they are needed.
pub fn drawn(generator: &Shared, what: Draw, dtype: DType, layout: Layout, device: Device) -> Result<Tensor> {
    if dtype.is_complex() {
        return complex_drawn(generator, what, dtype, layout, device);
    }
    what.check(dtype)?;
    if dtype.is_carried() {
        ensure!(
            dtype.is_wide_unsigned() && matches!(what, Draw::Range { .. }),
            NotImplemented,
            "\"random_\" not implemented for '{}'",
            dtype.scalar_name()
        );
        return cast(&drawn(generator, what, DType::I64, layout, device)?, dtype);
    }
    if device == Device::Meta {
        return create::empty(layout, dtype, device);
    }
    if device.is_gpu() {
        return philox::draw(generator, what, dtype, layout, device);
    }
    let buffer = draw::draw(generator, what, dtype, &layout)?;
    let drawn = create::from_buffer(buffer, dtype, layout.clone());
    // A draw with parameters has read them, which no capture allows.
    if let Some(what) = what.without_tensors() {
        capture::made(&drawn, || {
            let generator = generator.clone();
            Arc::new(move || {
                let buffer = draw::draw(&generator, what, dtype, &layout)?;
                Ok(create::from_buffer(buffer, dtype, layout.clone()))
            })
        });
    }
    Ok(drawn)
}

/// Complex numbers of which each part is drawn: uniform ones, and normal ones whose parts have the mean each and share the
/// variance.
fn complex_drawn(generator: &Shared, what: Draw, dtype: DType, layout: Layout, device: Device) -> Result<Tensor> {
    let part = match what {
        Draw::Normal { mean, std } => Draw::Normal { mean, std: std * std::f64::consts::FRAC_1_SQRT_2 },
        Draw::Uniform { .. } => what,
        other => {
            other.check(dtype)?;
            bail!(Internal, "a draw that no complex dtype has was not refused")
        }
    };
    let pairs = drawn(generator, part, dtype.part(), layout.paired(), device)?;
    Ok(pairs.alias(layout, dtype))
}

/// Overwrites `target` with random numbers, in the order of its addresses.
pub fn draw_into(target: &Tensor, generator: &Shared, what: Draw) -> Result<()> {
    inplace::check_writable(target)?;
    let layout = match target.device() {
        Device::Cpu => Layout { offset: 0, ..(**target.layout()).clone() },
        // Without the gaps between elements.
        Device::Gpu(_) | Device::Meta => preserved(target.layout()),
    };
    let values = drawn(generator, what, target.dtype(), layout, target.device())?;
    inplace::copy_(target, Operand::Tensor(&values))
}

/// Makes the result of a sampler differentiable with gradient zero, as PyTorch defines it.
fn without_slope(name: &'static str, inputs: &[&Tensor], out: Tensor) -> Tensor {
    let device = out.device();
    let shapes: SmallVec<[(Dims, DType); 2]> = inputs.iter().map(|t| (t.shape_dims().clone(), t.dtype())).collect();
    attach_rule(name, inputs, std::slice::from_ref(&out), || {
        Rule::Fn(Arc::new(move |_| {
            shapes.iter().map(|(s, d)| create::zeros(s.clone(), *d, device).map(Some)).collect()
        }))
    });
    out
}

/// A random permutation of `0 .. n`.
pub fn randperm(generator: &Shared, n: i64, dtype: DType, device: Device) -> Result<Tensor> {
    ensure!(n >= 0, Runtime, "Trying to create tensor with negative dimension {n}: [{n}]");
    let (limit, text) = match dtype {
        DType::Bool => bail!(NotImplemented, "\"randperm\" not implemented for 'Bool'"),
        DType::F16 | DType::BF16 | DType::F32 | DType::F64 => {
            let limit = dtype.integers() as i64;
            (limit, format!("n cannot be greater than {limit} for {} type.", dtype.scalar_name()))
        }
        d => {
            let bits = d.size() as u32 * 8 - d.is_signed() as u32;
            (
                (1i128 << bits).min(i64::MAX as i128) as i64 - 1,
                format!("value cannot be converted to type {d}_t without overflow"),
            )
        }
    };
    ensure!(n <= limit, Runtime, "{text}");
    drawn(generator, Draw::Permutation, dtype, Layout::contiguous(Dims::from([n as usize])), device)
}

/// `random_(from, to)`; without `to`, up to the largest integer of the dtype.
pub fn random_range(target: &Tensor, generator: &Shared, from: i64, to: Option<i64>) -> Result<()> {
    let end =
        if matches!(target.dtype(), DType::I64 | DType::U64) { None } else { Some(target.dtype().integers() as i64) };
    draw_into(target, generator, Draw::Range { from, to: to.or(end) })
}

/// Where numbers of a shape are drawn: in the order of the addresses of the target, which has the shape, else row by row.
pub fn draw_layout(shape: &Dims, target: Option<&Tensor>) -> Layout {
    match target.filter(|t| t.shape() == &shape[..] && t.device() == Device::Cpu) {
        Some(t) => Layout { offset: 0, ..(**t.layout()).clone() },
        None => Layout::contiguous(shape.clone()),
    }
}

/// `torch.normal` for a mean or a standard deviation per element; `target` is what the result will be written to.
pub fn normal(generator: &Shared, mean: Operand, std: Operand, target: Option<&Tensor>) -> Result<Tensor> {
    let (shape, dtype) = match (mean, std) {
        (Operand::Tensor(m), Operand::Tensor(s)) => (broadcast_shapes("normal", m.shape(), s.shape())?, m.dtype()),
        (Operand::Tensor(t), _) | (_, Operand::Tensor(t)) => (t.shape_dims().clone(), t.dtype()),
        _ => bail!(Internal, "normal: numbers need a size"),
    };
    let layout = draw_layout(&shape, target);
    if let Operand::Tensor(s) = std {
        ensure!(!s.dtype().is_complex(), Runtime, "normal expects standard deviation to be non-complex");
    }
    let spread = match std {
        Operand::Number(s) => s.to_f64(),
        Operand::Tensor(s) => {
            let valid = s.numel() == 0 || holds(&reduce::extremum(false, &s.detach(), None, false)?.ge(0.0)?)?;
            ensure!(valid, Runtime, "normal expects all elements of std >= 0.0");
            1.0
        }
    };
    let inputs: SmallVec<[&Tensor; 2]> =
        [mean, std].into_iter().filter_map(|o| if let Operand::Tensor(t) = o { Some(t) } else { None }).collect();
    let mut out = drawn(generator, Draw::Normal { mean: 0.0, std: spread }, dtype, layout, inputs[0].device())?;
    out = with_grad_mode(false, || {
        if let Operand::Tensor(s) = std {
            out = apply(Ew::Mul, &[(&out).into(), s.into()])?;
        }
        let moved = apply(Ew::Add, &[(&out).into(), mean])?;
        cast(&moved, dtype)
    })?;
    debug_assert_eq!(out.shape(), &shape[..]);
    Ok(without_slope("NormalBackward0", &inputs, out))
}

/// 0 or 1 with the probability that each element gives; `target` is what the result will be written to.
pub fn bernoulli(generator: &Shared, p: &Tensor, target: Option<&Tensor>) -> Result<Tensor> {
    ensure!(
        p.dtype().is_float(),
        NotImplemented,
        "\"bernoulli_tensor_cpu_p_\" not implemented for '{}'",
        p.dtype().scalar_name()
    );
    let layout = draw_layout(p.shape_dims(), target);
    let out = drawn(generator, Draw::BernoulliOf(p), p.dtype(), layout, p.device())?;
    let out = cast(&out, target.map_or(p.dtype(), Tensor::dtype))?;
    Ok(without_slope("BernoulliBackward0", &[p], out))
}

/// 0 or 1 with one probability, in the shape of `t`.
pub fn bernoulli_number(generator: &Shared, t: &Tensor, p: f64) -> Result<Tensor> {
    let layout = Layout::contiguous(t.shape_dims().clone());
    let out = drawn(generator, Draw::Bernoulli(p), t.dtype(), layout, t.device())?;
    Ok(without_slope("BernoulliBackward0", &[t], out))
}

/// `bernoulli_` with a probability per element, which is broadcast to the target.
pub fn bernoulli_into(target: &Tensor, generator: &Shared, p: &Tensor) -> Result<()> {
    inplace::check_writable(target)?;
    let p = if p.dtype().is_float() { p.detach() } else { cast(&p.detach(), DType::F32)? };
    let p = if p.shape() == target.shape() { p } else { view::expand(&p, target.shape())? };
    draw_into(target, generator, Draw::BernoulliOf(&to_device(&p, target.device())?))
}

/// Counts with Poisson rates per element.
pub fn poisson(generator: &Shared, rates: &Tensor) -> Result<Tensor> {
    ensure!(
        rates.dtype().is_float(),
        NotImplemented,
        "\"poisson_cpu\" not implemented for '{}'",
        rates.dtype().scalar_name()
    );
    let layout = Layout::contiguous(rates.shape_dims().clone());
    let out = drawn(generator, Draw::Poisson(rates), rates.dtype(), layout, rates.device())?;
    Ok(without_slope("PoissonBackward0", &[rates], out))
}

/// Successes among `count` trials of probability `prob`, which broadcast.
pub fn binomial(generator: &Shared, count: &Tensor, prob: &Tensor) -> Result<Tensor> {
    let shape = broadcast_shapes("binomial", count.shape(), prob.shape())?;
    ensure!(
        count.device() == prob.device(),
        Runtime,
        "Expected all tensors to be on the same device, but found at least two devices, {} and {}!",
        count.device(),
        prob.device()
    );
    let wide = |t: &Tensor| view::expand(&t.detach(), &shape);
    let layout = Layout::contiguous(shape.clone());
    let what = Draw::Binomial(&wide(count)?, &wide(prob)?);
    let out = drawn(generator, what, count.dtype(), layout, count.device())?;
    Ok(without_slope("BinomialBackward0", &[count, prob], out))
}

/// Standard gamma numbers with a concentration per element.
pub fn standard_gamma(generator: &Shared, concentrations: &Tensor) -> Result<Tensor> {
    let layout = Layout::contiguous(concentrations.shape_dims().clone());
    drawn(generator, Draw::Gamma(concentrations), concentrations.dtype(), layout, concentrations.device())
}

/// PyTorch counts categories in single precision.
const MAX_CATEGORIES: usize = 1 << 24;

/// `samples` categories from every row of `weights`, int64.
pub fn multinomial(generator: &Shared, weights: &Tensor, samples: i64, replacement: bool) -> Result<Tensor> {
    ensure!(
        weights.dtype().is_float(),
        Runtime,
        "multinomial only supports floating-point dtypes for input, got: {}",
        weights.dtype().scalar_name()
    );
    ensure!((1..=2).contains(&weights.rank()), Runtime, "prob_dist must be 1 or 2 dim");
    ensure!(samples > 0, Runtime, "cannot sample n_sample <= 0 samples");
    let categories = weights.shape()[weights.rank() - 1];
    ensure!(
        replacement || samples as usize <= categories,
        Runtime,
        "cannot sample n_sample > prob_dist.size(-1) samples without replacement"
    );
    ensure!(categories <= MAX_CATEGORIES, Runtime, "number of categories cannot exceed 2^24");
    let mut shape = weights.shape_dims().clone();
    let last = shape.len() - 1;
    shape[last] = samples as usize;
    ensure!(
        categories > 0 || shape[..last].contains(&0),
        Runtime,
        "multinomial: cannot sample from an empty set of categories (weights of shape {})",
        weights.shape_dims()
    );
    let what = Draw::Multinomial(&weights.detach(), replacement);
    drawn(generator, what, DType::I64, Layout::contiguous(shape), weights.device())
}

/// The negative limit of selu, α·λ (Klambauer et al. 2017): what alpha dropout sets elements to.
const SELU_LIMIT: f64 = 1.758_099_340_847_376_6;

/// What dropout does to a kept element and, for alpha dropout, to all of them.
#[derive(Clone)]
struct Noise {
    stream: Stream,
    dtype: DType,
    p: f64,
    alpha: bool,
}

impl Noise {
    fn mask(&self) -> Result<Tensor> {
        cast(&self.stream.mask(1.0 - self.p)?, self.dtype)
    }

    /// The scale of alpha dropout that keeps the variance.
    fn gain(&self) -> f64 {
        1.0 / ((SELU_LIMIT * SELU_LIMIT * self.p + 1.0) * (1.0 - self.p)).sqrt()
    }

    /// The factor by which elements, and their gradients, are multiplied.
    fn factor(&self) -> Result<Tensor> {
        let mask = self.mask()?;
        if self.alpha { mask.mul(self.gain()) } else { mask.div(1.0 - self.p) }
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let scaled = x.mul(&self.factor()?)?;
        if !self.alpha {
            return Ok(scaled);
        }
        let a = self.gain();
        scaled.add(&self.mask()?.add(-1.0)?.mul(SELU_LIMIT * a)?.add(SELU_LIMIT * a * self.p)?)
    }
}

/// Which variant of dropout.
#[derive(Clone, Copy, Default)]
pub struct Dropout {
    /// Whole channels at a time.
    pub feature: bool,
    /// Keeps mean and variance of selu's activations.
    pub alpha: bool,
}

/// Zeroes elements (or channels) with probability `p` and scales the rest; the input itself when there is nothing to do.
pub fn dropout(x: &Tensor, p: f64, train: bool, kind: Dropout) -> Result<Tensor> {
    ensure!((0.0..=1.0).contains(&p), Runtime, "dropout probability has to be between 0 and 1, but got {p}");
    if p == 0.0 || !train || x.numel() == 0 {
        return Ok(x.clone());
    }
    if p == 1.0 {
        return x.mul(0.0);
    }
    let layout = if kind.feature { feature_layout(x)? } else { output_layout(x.layout()) };
    let noise = Noise { stream: Stream::reserve(layout, x.device()), dtype: x.dtype(), p, alpha: kind.alpha };
    let out = with_grad_mode(false, || noise.apply(x))?;
    let name = if kind.alpha { "AlphaDropoutBackward0" } else { "DropoutBackward0" };
    attach(name, &[x], std::slice::from_ref(&out), Keep::default(), || {
        Rule::Fn(Arc::new(move |v| Ok(one(v.grad()?.mul(&noise.factor()?)?))))
    })?;
    Ok(out)
}

fn one(g: Tensor) -> Grads {
    SmallVec::from_iter([Some(g)])
}

/// One number per channel: the shape (N, C, 1, …).
fn feature_layout(x: &Tensor) -> Result<Arc<Layout>> {
    ensure!(x.rank() >= 2, Runtime, "Feature dropout requires at least 2 dimensions in the input");
    let shape = (0..x.rank()).map(|d| if d < 2 { x.shape()[d] } else { 1 }).collect();
    Ok(Arc::new(Layout::contiguous(shape)))
}

/// Dropout with its mask (true where an element was kept).
pub fn native_dropout(x: &Tensor, p: f64, train: Option<bool>) -> Result<(Tensor, Tensor)> {
    ensure!((0.0..=1.0).contains(&p), Runtime, "dropout probability has to be between 0 and 1, but got {p}");
    let layout = output_layout(x.layout());
    if train == Some(false) || x.numel() == 0 {
        return Ok((x.copy()?, create::full_with((*layout).clone(), Scalar::Bool(true), DType::Bool, x.device())?));
    }
    let stream = Stream::reserve(layout, x.device());
    let scale = if p == 1.0 { 0.0 } else { 1.0 / (1.0 - p) };
    let mask = stream.mask(1.0 - p)?;
    let out = with_grad_mode(false, || x.mul(&mask)?.mul(scale))?;
    attach("NativeDropoutBackward0", &[x], std::slice::from_ref(&out), Keep::default(), || {
        Rule::Fn(Arc::new(move |v| Ok(one(v.grad()?.mul(&stream.mask(1.0 - p)?)?.mul(scale)?))))
    })?;
    Ok((out, mask))
}

/// Leaky relu whose slope below zero is drawn from `[lower, upper)` for every element; their mean outside training.
pub fn rrelu(x: &Tensor, lower: f64, upper: f64, training: bool, generator: Option<Shared>) -> Result<Tensor> {
    ensure!(
        lower <= upper,
        Runtime,
        "Lower bound should be less than or equal to the upper bound: got {lower} and {upper}"
    );
    ensure!(
        x.dtype().is_float(),
        NotImplemented,
        "\"rrelu_with_noise_out_cpu\" not implemented for '{}'",
        x.dtype().scalar_name()
    );
    // The result is row-major whatever the input.
    let x = &super::contiguous(x)?;
    if !training {
        return apply(Ew::LeakyRelu, &[x.into(), ((lower + upper) / 2.0).into()]);
    }
    let generator = generator_for(x.device(), generator)?;
    let stream = Stream::from(&generator, output_layout(x.layout()), x.device());
    let factor = move |x: &Tensor| -> Result<Tensor> {
        let slope = cast(&stream.uniform()?.mul(upper - lower)?.add(lower)?, x.dtype())?;
        apply(Ew::Where, &[(&x.le(0.0)?).into(), (&slope).into(), Scalar::Int(1).into()])
    };
    let out = with_grad_mode(false, || x.mul(&factor(x)?))?;
    attach("RreluWithNoiseBackward0", &[x], std::slice::from_ref(&out), Keep { inputs: &[0], outputs: &[] }, || {
        Rule::Fn(Arc::new(move |v| Ok(one(v.grad()?.mul(&factor(&v.saved(0).detach())?)?))))
    })?;
    Ok(out)
}
