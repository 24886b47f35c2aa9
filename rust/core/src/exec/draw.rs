//! Sequential random numbers of the CPU. The generator's state advances in program order, so these fill memory at the call
//! instead of recording a node. GPUs draw in kernels (`ops/philox.rs`); what may be asked for is checked here for both.

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
use crate::{bail, ensure};
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

    /// The same, where no element has a parameter of its own.
    pub fn without_tensors(self) -> Option<Draw<'static>> {
        Some(match self {
            Draw::Uniform { from, to } => Draw::Uniform { from, to },
            Draw::Normal { mean, std } => Draw::Normal { mean, std },
            Draw::Range { from, to } => Draw::Range { from, to },
            Draw::Full => Draw::Full,
            Draw::Permutation => Draw::Permutation,
            Draw::Bernoulli(p) => Draw::Bernoulli(p),
            Draw::Exponential(lambda) => Draw::Exponential(lambda),
            Draw::Geometric(p) => Draw::Geometric(p),
            Draw::Cauchy { median, sigma } => Draw::Cauchy { median, sigma },
            Draw::LogNormal { mean, std } => Draw::LogNormal { mean, std },
            Draw::BernoulliOf(_) | Draw::Poisson(_) | Draw::Binomial(..) | Draw::Gamma(_) | Draw::Multinomial(..) => {
                return None;
            }
        })
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

    /// PyTorch's checks of numbers and dtypes, whichever device draws.
    pub fn check(&self, dtype: DType) -> Result<()> {
        if dtype.is_complex() {
            self.check_complex(dtype)?;
        }
        match *self {
            Draw::Uniform { from, to } => check_uniform(dtype, from, to),
            Draw::Normal { std, .. } => {
                ensure!(std >= 0.0, Runtime, "normal expects std >= 0.0, but found std {std}");
                check_float("normal_kernel_cpu", dtype)
            }
            Draw::Range { from, to: Some(to) } => {
                ensure!(
                    from < to,
                    Runtime,
                    "random_ expects 'from' to be less than 'to', but got from={from} >= to={to}"
                );
                check_integers(dtype, from, to - 1)
            }
            Draw::Bernoulli(p) => {
                ensure!((0.0..=1.0).contains(&p), Runtime, "bernoulli_ expects p to be in [0, 1], but got p={p}");
                Ok(())
            }
            Draw::Exponential(lambda) => {
                check_continuous("Exponential", dtype)?;
                ensure!(lambda > 0.0, Runtime, "exponential_ expects lambda > 0.0, but found lambda={lambda}");
                Ok(())
            }
            Draw::Geometric(p) => {
                ensure!(p > 0.0 && p < 1.0, Runtime, "geometric_ expects p to be in (0, 1), but got p={p}");
                Ok(())
            }
            Draw::Cauchy { sigma, .. } => {
                check_continuous("Cauchy", dtype)?;
                ensure!(sigma > 0.0, Runtime, "cauchy_ expects sigma > 0.0, but found sigma={sigma}");
                Ok(())
            }
            Draw::LogNormal { std, .. } => {
                check_continuous("Log-normal", dtype)?;
                ensure!(std > 0.0, Runtime, "log_normal_ expects std > 0.0, but found std={std}");
                Ok(())
            }
            Draw::Gamma(_) => check_continuous("Gamma", dtype),
            _ => Ok(()),
        }
    }

    /// Complex numbers are uniform or normal.
    fn check_complex(&self, dtype: DType) -> Result<()> {
        let kernel = match self {
            Draw::Range { .. } => {
                bail!(Runtime, "check_random_bounds handles only integral, floating-point and boolean types")
            }
            Draw::Full => "random_kernel_cpu",
            Draw::Permutation => "randperm",
            Draw::Bernoulli(_) => "bernoulli_scalar_cpu_",
            Draw::BernoulliOf(_) => "bernoulli_tensor_cpu_self_",
            Draw::Geometric(_) => "geometric_cpu",
            Draw::LogNormal { .. } => "log_normal_cpu",
            Draw::Poisson(_) => "poisson_cpu",
            Draw::Binomial(..) => "binomial_cpu",
            Draw::Multinomial(..) => "multinomial",
            // These have errors of their own, or are drawn.
            Draw::Exponential(_)
            | Draw::Cauchy { .. }
            | Draw::Gamma(_)
            | Draw::Uniform { .. }
            | Draw::Normal { .. } => {
                return Ok(());
            }
        };
        bail!(NotImplemented, "\"{kernel}\" not implemented for '{}'", dtype.scalar_name())
    }

    fn fill(&self, g: &mut Generator, parameters: &[In], out: &mut Out) -> Result<()> {
        match *self {
            Draw::BernoulliOf(_) => return random::bernoulli_tensor(g, &parameters[0], out),
            Draw::Poisson(_) => return distributions::poisson(g, &parameters[0], out),
            Draw::Multinomial(_, replacement) => {
                return distributions::multinomial(g, &parameters[0], replacement, out);
            }
            Draw::Uniform { from, to } => random::uniform(g, out, from, to),
            Draw::Normal { mean, std } => random::normal(g, out, mean, std),
            Draw::Range { from, to } => random::random_range(g, out, from, to),
            Draw::Full => random::random_full(g, out),
            Draw::Permutation => random::randperm(g, out),
            Draw::Bernoulli(p) => random::bernoulli(g, out, p),
            Draw::Exponential(lambda) => distributions::exponential(g, out, lambda),
            Draw::Geometric(p) => distributions::geometric(g, out, p),
            Draw::Cauchy { median, sigma } => distributions::cauchy(g, out, median, sigma),
            Draw::LogNormal { mean, std } => distributions::log_normal(g, out, mean, std),
            Draw::Binomial(..) => distributions::binomial(g, &parameters[0], &parameters[1], out),
            Draw::Gamma(_) => distributions::standard_gamma(g, &parameters[0], out),
        }
        Ok(())
    }
}

fn check_float(kernel: &str, dtype: DType) -> Result<()> {
    ensure!(dtype.is_float(), NotImplemented, "\"{kernel}\" not implemented for '{}'", dtype.scalar_name());
    Ok(())
}

fn check_continuous(name: &str, dtype: DType) -> Result<()> {
    ensure!(
        dtype.is_float(),
        Runtime,
        "{name} distribution is a continuous probability distribution. dtype must be a floating point but you specified {}",
        dtype.scalar_name()
    );
    Ok(())
}

/// The name of a dtype's C++ type, which PyTorch's range errors use.
fn type_name(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool => "bool",
        DType::U8 => "unsigned char",
        DType::I8 => "signed char",
        DType::I16 => "short",
        DType::I32 => "int",
        DType::I64 => "long",
        DType::F16 => "c10::Half",
        DType::BF16 => "c10::BFloat16",
        DType::F32 => "float",
        DType::F64 => "double",
        DType::C32 => "c10::complex<c10::Half>",
        DType::C64 => "c10::complex<float>",
        DType::C128 => "c10::complex<double>",
        carried => carried.name(),
    }
}

fn check_uniform(dtype: DType, from: f64, to: f64) -> Result<()> {
    check_float("check_uniform_bounds", dtype)?;
    let max = dtype.largest();
    ensure!((-max..=max).contains(&from), Runtime, "from is out of bounds for {}", type_name(dtype));
    ensure!((-max..=max).contains(&to), Runtime, "to is out of bounds for {}", type_name(dtype));
    ensure!(from <= to, Runtime, "uniform_ expects to return a [from, to) range, but found from={from} > to={to}");
    ensure!(
        to - from <= max,
        Runtime,
        "uniform_ expects to-from <= std::numeric_limits<{}>::max(), but found to={to} and from={from} which result in \
         to-from to exceed the limit",
        dtype.scalar_name()
    );
    Ok(())
}

fn check_integers(dtype: DType, low: i64, high: i64) -> Result<()> {
    let (min, max) = match dtype {
        DType::Bool => (0, 1),
        DType::U8 => (0, 255),
        DType::I8 | DType::I16 | DType::I32 => (-1i64 << (dtype.size() * 8 - 1), !(-1i64 << (dtype.size() * 8 - 1))),
        DType::F16 => (-65504, 65504),
        _ => (i64::MIN, i64::MAX),
    };
    ensure!((min..=max).contains(&low), Runtime, "from is out of bounds for {}", type_name(dtype));
    ensure!((min..=max).contains(&high), Runtime, "to - 1 is out of bounds for {}", type_name(dtype));
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_out_of_range_are_refused() {
        for (what, dtype) in [
            (Draw::Uniform { from: 1.0, to: 0.0 }, DType::F32),
            (Draw::Uniform { from: 0.0, to: 1e39 }, DType::F32),
            (Draw::Uniform { from: 0.0, to: 1.0 }, DType::I64),
            (Draw::Normal { mean: 0.0, std: -1.0 }, DType::F32),
            (Draw::Range { from: 5, to: Some(5) }, DType::F32),
            (Draw::Range { from: 0, to: Some(300) }, DType::U8),
            (Draw::Bernoulli(1.5), DType::F32),
            (Draw::Exponential(0.0), DType::F32),
            (Draw::Geometric(1.0), DType::I64),
        ] {
            assert!(what.check(dtype).is_err(), "{what:?} in {dtype}");
        }
        assert!(Draw::Range { from: 0, to: Some(256) }.check(DType::U8).is_ok());
    }
}
