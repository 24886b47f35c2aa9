//! Sequential random numbers. The generator's state advances in program order, so these fill memory at the call instead of
//! recording a node.

use super::cost::Cost;
use super::{HOOKS, materialize, profile};
use crate::cpu::view::{In, Out};
use crate::cpu::{distributions, random};
use crate::dtype::DType;
use crate::error::Result;
use crate::graph::{Buffer, lock};
use crate::rng::Generator;
use crate::shape::Layout;
use crate::tensor::Tensor;
use smallvec::SmallVec;
use std::sync::{Arc, Mutex};

/// Fills from this many elements on run without the interpreter's lock.
const LONG: usize = 1 << 16;

/// What to draw; tensors give every element a parameter of its own.
#[derive(Clone, Copy, Debug)]
pub enum Draw<'a> {
    Uniform {
        from: f64,
        to: f64,
    },
    Normal {
        mean: f64,
        std: f64,
    },
    /// Integers of `from..to`, `None` standing for 2⁶³.
    Range {
        from: i64,
        to: Option<i64>,
    },
    /// Every integer that the dtype represents from 0 on.
    Full,
    Permutation,
    Bernoulli(f64),
    BernoulliOf(&'a Tensor),
    Exponential(f64),
    Geometric(f64),
    Cauchy {
        median: f64,
        sigma: f64,
    },
    LogNormal {
        mean: f64,
        std: f64,
    },
    Poisson(&'a Tensor),
    Binomial(&'a Tensor, &'a Tensor),
    Gamma(&'a Tensor),
    Multinomial(&'a Tensor, bool),
}

impl<'a> Draw<'a> {
    fn parameters(&self) -> SmallVec<[&'a Tensor; 2]> {
        match *self {
            Draw::BernoulliOf(t) | Draw::Poisson(t) | Draw::Gamma(t) | Draw::Multinomial(t, _) => {
                SmallVec::from_slice(&[t])
            }
            Draw::Binomial(n, p) => SmallVec::from_slice(&[n, p]),
            _ => SmallVec::new(),
        }
    }

    /// The name in profiles.
    fn name(&self) -> &'static str {
        match self {
            Draw::Uniform { .. } => "uniform_",
            Draw::Normal { .. } => "normal_",
            Draw::Range { .. } | Draw::Full => "random_",
            Draw::Permutation => "randperm",
            Draw::Bernoulli(_) | Draw::BernoulliOf(_) => "bernoulli_",
            Draw::Exponential(_) => "exponential_",
            Draw::Geometric(_) => "geometric_",
            Draw::Cauchy { .. } => "cauchy_",
            Draw::LogNormal { .. } => "log_normal_",
            Draw::Poisson(_) => "poisson",
            Draw::Binomial(..) => "binomial",
            Draw::Gamma(_) => "standard_gamma",
            Draw::Multinomial(..) => "multinomial",
        }
    }

    fn fill(&self, g: &mut Generator, parameters: &[In], out: &mut Out) -> Result<()> {
        match *self {
            Draw::Uniform { from, to } => random::uniform(g, out, from, to),
            Draw::Normal { mean, std } => random::normal(g, out, mean, std),
            Draw::Range { from, to } => random::random_range(g, out, from, to),
            Draw::Full => {
                random::random_full(g, out);
                Ok(())
            }
            Draw::Permutation => {
                random::randperm(g, out);
                Ok(())
            }
            Draw::Bernoulli(p) => random::bernoulli(g, out, p),
            Draw::BernoulliOf(_) => random::bernoulli_tensor(g, &parameters[0], out),
            Draw::Exponential(lambda) => distributions::exponential(g, out, lambda),
            Draw::Geometric(p) => distributions::geometric(g, out, p),
            Draw::Cauchy { median, sigma } => distributions::cauchy(g, out, median, sigma),
            Draw::LogNormal { mean, std } => distributions::log_normal(g, out, mean, std),
            Draw::Poisson(_) => distributions::poisson(g, &parameters[0], out),
            Draw::Binomial(..) => distributions::binomial(g, &parameters[0], &parameters[1], out),
            Draw::Gamma(_) => distributions::standard_gamma(g, &parameters[0], out),
            Draw::Multinomial(_, replacement) => distributions::multinomial(g, &parameters[0], replacement, out),
        }
    }
}

/// A fresh buffer for `layout` (from offset 0) with the numbers drawn.
pub fn draw(generator: &Mutex<Generator>, what: Draw, dtype: DType, layout: &Layout) -> Result<Arc<Buffer>> {
    let bytes = layout.end().saturating_mul(dtype.size());
    crate::os::check_allocation(bytes, || layout.shape.to_string())?;
    // Parameters are computed before the generator is locked: whoever holds it must not wait for a flush.
    let tensors = what.parameters();
    let storages: SmallVec<[Arc<Buffer>; 2]> = tensors.iter().map(|t| materialize(t)).collect::<Result<_>>()?;
    let parameters: SmallVec<[In; 2]> = tensors
        .iter()
        .zip(&storages)
        .map(|(t, b)| {
            let l = t.layout();
            // SAFETY: the layout lies inside the storage.
            let ptr = unsafe { b.ptr().add(l.offset * t.dtype().size()) };
            In { ptr, dtype: t.dtype(), shape: &l.shape, strides: &l.strides }
        })
        .collect();
    let buffer = Buffer::new(bytes)?;
    if !layout.is_dense() {
        // SAFETY: the buffer holds `bytes` bytes; what lies between the elements must not be left uninitialised.
        unsafe { std::ptr::write_bytes(buffer.ptr(), 0, bytes) };
    }
    let mut out = Out { ptr: buffer.ptr(), dtype, shape: &layout.shape, strides: &layout.strides };
    let mut result = Ok(());
    let mut work = || result = what.fill(&mut lock(generator), &parameters, &mut out);
    let cost = Cost { written: bytes as u64, ..Cost::default() };
    profile::aside(
        || what.name().to_string(),
        cost,
        || match HOOKS.get() {
            Some(hooks) if layout.numel() >= LONG => (hooks.without_lock)(&mut work),
            _ => work(),
        },
    );
    result.map(|()| Arc::new(buffer))
}
