//! Random numbers: creation, in-place sampling, distributions and dropout.

use super::create::{Options, dims, like_layout};
use crate::args::Args;
use crate::table::{Ret, Row};
use crate::{creation_rows, rows};
use corten_core::dtype::DType;
use corten_core::error::Result;
use corten_core::ops::elementwise::Operand;
use corten_core::ops::random::{self, Draw, Dropout, Shared};
use corten_core::tensor::Tensor;

const UNIT: Draw = Draw::Uniform { from: 0.0, to: 1.0 };
const STANDARD: Draw = Draw::Normal { mean: 0.0, std: 1.0 };

fn create(op: &str, a: &Args, generator: usize, what: Draw, sizes: usize, o: &Options) -> Result<Tensor> {
    let (layout, device) = (random::draw_layout(&dims(op, a.ints(sizes))?, a.target()), o.device());
    random::drawn(&a.generator(generator, device)?, what, o.float(), layout, device)
}

/// A `…_like` creation; `format` is the position of the memory format.
fn like(a: &Args, what: Draw, o: &Options, generator: usize) -> Result<Tensor> {
    let t = a.tensor(0);
    let (layout, device) = (like_layout(t, a.format(generator + 1))?, o.device_or(t));
    random::drawn(&a.generator(generator, device)?, what, o.dtype_or(t.dtype()), layout, device)
}

fn randint(a: &Args, low: i64, first: usize, o: &Options) -> Result<Tensor> {
    let (layout, device) = (random::draw_layout(&dims("randint", a.ints(first + 1))?, a.target()), o.device());
    let what = Draw::Range { from: low, to: Some(a.int(first)) };
    random::drawn(&a.generator(first + 2, device)?, what, o.dtype_or(DType::I64), layout, device)
}

fn randperm(a: &Args, o: &Options) -> Result<Tensor> {
    random::randperm(&a.generator(1, o.device())?, a.int(0), o.dtype_or(DType::I64), o.device())
}

/// The generator for operators on the first argument.
fn generator(a: &Args, i: usize) -> Result<Shared> {
    a.generator(i, a.tensor(0).device())
}

/// Samples into `self`, the first argument, which is the result.
fn into(a: &Args, what: Draw, at: usize) -> Result<Tensor> {
    random::draw_into(a.tensor(0), &generator(a, at)?, what)?;
    Ok(a.tensor(0).clone())
}

fn integers(a: &Args, from: i64, to: Option<i64>, at: usize) -> Result<Tensor> {
    random::random_range(a.tensor(0), &generator(a, at)?, from, to)?;
    Ok(a.tensor(0).clone())
}

/// `torch.normal` beside its first tensor.
fn normal(a: &Args, mean: Operand, std: Operand) -> Result<Tensor> {
    let device = [mean, std].iter().find_map(|o| if let Operand::Tensor(t) = o { Some(t.device()) } else { None });
    random::normal(&a.generator(2, device.unwrap_or_default())?, mean, std, a.target())
}

/// Writes the result of an operator on `t` back into it; nothing happens when the result is `t` itself.
fn in_place(t: &Tensor, name: &str, result: Result<Tensor>) -> Result<Tensor> {
    let new = result?;
    if !new.ptr_eq(t) {
        corten_core::ops::inplace::replace(t, &new, name)?;
    }
    Ok(t.clone())
}

const PLAIN: Dropout = Dropout { feature: false, alpha: false };
const FEATURE: Dropout = Dropout { feature: true, alpha: false };
const ALPHA: Dropout = Dropout { feature: false, alpha: true };
const FEATURE_ALPHA: Dropout = Dropout { feature: true, alpha: true };

fn dropout(a: &Args, kind: Dropout) -> Result<Tensor> {
    random::dropout(a.tensor(0), a.float(1), a.bool(2), kind)
}

fn dropout_in_place(a: &Args, kind: Dropout) -> Result<Tensor> {
    in_place(a.tensor(0), "dropout", dropout(a, kind))
}

fn creation() -> Vec<Row> {
    creation_rows! {
        "rand(int[] size, *, Generator? generator=None" foc "Uniform numbers in [0, 1)." |a, o| create("rand", a, 1, UNIT, 0, &o)?;
        "randn(int[] size, *, Generator? generator=None" foc "Standard normal numbers." |a, o| create("randn", a, 1, STANDARD, 0, &o)?;
        "randint(int high, int[+] size, *, Generator? generator=None" foc "Integers in [low, high)." |a, o| randint(a, 0, 0, &o)?;
        "randint(int low, int high, int[+] size, *, Generator? generator=None" foc "" |a, o| randint(a, a.int(0), 1, &o)?;
        "randperm(int n, *, Generator? generator=None" foc "A random permutation of 0 … n − 1." |a, o| randperm(a, &o)?;
        "normal(float mean, float std, int[] size, *, Generator? generator=None" fo "Normal numbers with a mean and standard deviation, which may be tensors." |a, o| {
            create("normal", a, 3, Draw::Normal { mean: a.float(0), std: a.float(1) }, 2, &o)?
        };
        "rand_like(Tensor self, *, Generator? generator=None, format? memory_format=None" f "Uniform numbers in the shape of a tensor." |a, o| like(a, UNIT, &o, 1)?;
        "randn_like(Tensor self, *, Generator? generator=None, format? memory_format=None" f "Standard normal numbers in the shape of a tensor." |a, o| like(a, STANDARD, &o, 1)?;
        "randint_like(Tensor self, int high, *, Generator? generator=None, format? memory_format=None" f "Integers in the shape of a tensor." |a, o| like(a, Draw::Range { from: 0, to: Some(a.int(1)) }, &o, 2)?;
        "randint_like(Tensor self, int low, int high, *, Generator? generator=None, format? memory_format=None" f "" |a, o| like(a, Draw::Range { from: a.int(1), to: Some(a.int(2)) }, &o, 3)?;
    }
}

fn sampling() -> Vec<Row> {
    rows! {
        "uniform_(Tensor self, float from=0, float to=1, *, Generator? generator=None)" m "Overwrites with uniform numbers in [from, to)." |a| into(a, Draw::Uniform { from: a.float(1), to: a.float(2) }, 3)?;
        "normal_(Tensor self, float mean=0, float std=1, *, Generator? generator=None)" m "Overwrites with normal numbers." |a| into(a, Draw::Normal { mean: a.float(1), std: a.float(2) }, 3)?;
        "random_(Tensor self, *, Generator? generator=None)" m "Overwrites with integers: all of the dtype from 0 on, or of a range." |a| into(a, Draw::Full, 1)?;
        "random_(Tensor self, int to, *, Generator? generator=None)" m "" |a| integers(a, 0, Some(a.int(1)), 2)?;
        "random_(Tensor self, int from, int? to, *, Generator? generator=None)" m "" |a| integers(a, a.int(1), a.opt_int(2), 3)?;
        "exponential_(Tensor self, float lambd=1, *, Generator? generator=None)" m "Overwrites with exponential numbers of rate lambd." |a| into(a, Draw::Exponential(a.float(1)), 2)?;
        "geometric_(Tensor self, float p, *, Generator? generator=None)" m "Overwrites with the number of trials to the first success." |a| into(a, Draw::Geometric(a.float(1)), 2)?;
        "cauchy_(Tensor self, float median=0, float sigma=1, *, Generator? generator=None)" m "Overwrites with Cauchy numbers." |a| into(a, Draw::Cauchy { median: a.float(1), sigma: a.float(2) }, 3)?;
        "log_normal_(Tensor self, float mean=1, float std=2, *, Generator? generator=None)" m "Overwrites with numbers whose logarithms are normal." |a| into(a, Draw::LogNormal { mean: a.float(1), std: a.float(2) }, 3)?;
        "bernoulli_(Tensor self, Tensor p, *, Generator? generator=None)" m "Overwrites with 1 of probability p, which may be a tensor, else 0." |a| {
            random::bernoulli_into(a.tensor(0), &generator(a, 2)?, a.tensor(1))?;
            a.tensor(0).clone()
        };
        "bernoulli_(Tensor self, float p=0.5, *, Generator? generator=None)" m "" |a| into(a, Draw::Bernoulli(a.float(1)), 2)?;
        "bernoulli(Tensor self, *, Generator? generator=None)" fmo "1 with the probability that each element gives, else 0." |a| random::bernoulli(&generator(a, 1)?, a.tensor(0), a.target())?;
        "bernoulli(Tensor self, float p, *, Generator? generator=None)" fm "" |a| random::bernoulli_number(&generator(a, 2)?, a.tensor(0), a.float(1))?;
        "normal(Tensor mean, Tensor std, *, Generator? generator=None)" fo "" |a| normal(a, a.operand(0), a.operand(1))?;
        "normal(Tensor mean, float std=1, *, Generator? generator=None)" fo "" |a| normal(a, a.operand(0), a.float(1).into())?;
        "normal(float mean, Tensor std, *, Generator? generator=None)" fo "" |a| normal(a, a.float(0).into(), a.operand(1))?;
        "poisson(Tensor self, Generator? generator=None)" f "Poisson counts with the given rates." |a| random::poisson(&generator(a, 1)?, a.tensor(0))?;
        "binomial(Tensor count, Tensor prob, Generator? generator=None)" f "Successes among `count` trials." |a| random::binomial(&generator(a, 2)?, a.tensor(0), a.tensor(1))?;
        "_standard_gamma(Tensor self, Generator? generator=None)" f "Gamma numbers with the given concentrations and scale 1." |a| random::standard_gamma(&generator(a, 1)?, a.tensor(0))?;
        "multinomial(Tensor self, int num_samples, bool replacement=False, *, Generator? generator=None)" fmo "Categories drawn by weight from every row." |a| random::multinomial(&generator(a, 3)?, a.tensor(0), a.int(1), a.bool(2))?;
    }
}

fn noise() -> Vec<Row> {
    rows! {
        "dropout(Tensor input, float p, bool train)" f "Zeroes elements with probability p and scales the others by 1 / (1 − p)." |a| dropout(a, PLAIN)?;
        "dropout_(Tensor input, float p, bool train)" f "`dropout` in place." |a| dropout_in_place(a, PLAIN)?;
        "feature_dropout(Tensor input, float p, bool train)" f "`dropout` of whole channels." |a| dropout(a, FEATURE)?;
        "feature_dropout_(Tensor input, float p, bool train)" f "`feature_dropout` in place." |a| dropout_in_place(a, FEATURE)?;
        "alpha_dropout(Tensor input, float p, bool train)" f "Dropout that keeps mean and variance of selu's activations (Klambauer et al. 2017)." |a| dropout(a, ALPHA)?;
        "alpha_dropout_(Tensor input, float p, bool train)" f "`alpha_dropout` in place." |a| dropout_in_place(a, ALPHA)?;
        "feature_alpha_dropout(Tensor input, float p, bool train)" f "`alpha_dropout` of whole channels." |a| dropout(a, FEATURE_ALPHA)?;
        "feature_alpha_dropout_(Tensor input, float p, bool train)" f "`feature_alpha_dropout` in place." |a| dropout_in_place(a, FEATURE_ALPHA)?;
        "native_dropout(Tensor input, float p, bool? train)" f "`dropout` and its mask." |a| {
            let (out, mask) = random::native_dropout(a.tensor(0), a.float(1), a.opt_bool(2))?;
            Ret::Tuple(vec![out, mask])
        };
        "rrelu(Tensor input, float lower=0.125, float upper=0.3333333333333333, bool training=False, Generator? generator=None)" f "Leaky relu with random slopes (Xu et al. 2015)." |a| random::rrelu(a.tensor(0), a.float(1), a.float(2), a.bool(3), a.given_generator(4))?;
        "rrelu_(Tensor input, float lower=0.125, float upper=0.3333333333333333, bool training=False, Generator? generator=None)" f "`rrelu` in place." |a| {
            // The old value is kept for the gradient: its own cell stays when the tensor's moves on.
            let old = a.tensor(0).snapshot()?;
            in_place(a.tensor(0), "rrelu", random::rrelu(&old, a.float(1), a.float(2), a.bool(3), a.given_generator(4)))?
        };
    }
}

pub fn rows() -> Vec<Row> {
    let mut all = creation();
    all.extend(sampling());
    all.extend(noise());
    all
}
