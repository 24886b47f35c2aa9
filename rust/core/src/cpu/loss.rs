//! Losses over class indices: cross-entropy fused with log-softmax, and negative log-likelihood; values and gradients.
//!
//! Scores are (N, C, …) or (C) seen as (outer, classes, inner); a target, a loss and a weight belong to every sample
//! (outer, inner). Log-probabilities are never written to memory: the gradient computes them again from two numbers per
//! sample.

use crate::cpu::math::Real;
use crate::cpu::rows::{self, Acc, Row, Shared, Storage, grain};
use crate::cpu::threads::parallel_for;
use crate::cpu::view::{In, Out};
use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::{bail, dispatch, ensure, simd_dispatch};

/// Samples whose target is `ignore_index` count for nothing; `label_smoothing` ε moves that share of the probability to
/// the uniform distribution (Szegedy et al., 2016).
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct CrossEntropyParams {
    pub ignore_index: i64,
    pub label_smoothing: f64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NllParams {
    pub ignore_index: i64,
}

const COLUMNS: usize = 64;
const EXP_COST: usize = 3;

/// How scores are seen.
#[derive(Clone, Copy)]
struct Sizes {
    outer: usize,
    classes: usize,
    inner: usize,
}

impl Sizes {
    fn of(shape: &[usize]) -> Sizes {
        match shape {
            [classes] => Sizes { outer: 1, classes: *classes, inner: 1 },
            [outer, classes, inner @ ..] => Sizes { outer: *outer, classes: *classes, inner: inner.iter().product() },
            [] => Sizes { outer: 1, classes: 1, inner: 1 },
        }
    }
    fn samples(&self) -> usize {
        self.outer * self.inner
    }
    /// The offset of class 0 of a sample.
    #[inline(always)]
    fn start(&self, sample: usize) -> usize {
        sample / self.inner * self.classes * self.inner + sample % self.inner
    }
}

/// Refuses targets that are neither a class nor `ignore_index`, with PyTorch's `IndexError`.
pub fn check_targets(target: &In, classes: usize, ignore_index: i64) -> Result<()> {
    targets(target, classes, ignore_index).map(|_| ())
}

/// The targets, checked; `None` marks a sample to be ignored.
fn targets(target: &In, classes: usize, ignore_index: i64) -> Result<Vec<Option<usize>>> {
    let check = |t: i64| {
        if t == ignore_index {
            return Ok(None);
        }
        ensure!((0..classes as i64).contains(&t), Index, "Target {t} is out of bounds.");
        Ok(Some(t as usize))
    };
    match target.dtype {
        DType::I64 => target.to_vec_or_slice::<i64>().iter().map(|&t| check(t)).collect(),
        DType::U8 => target.to_vec_or_slice::<u8>().iter().map(|&t| check(t.into())).collect(),
        other => bail!(Runtime, "expected target dtype to be Long or Byte, but got {}", other.scalar_name()),
    }
}

/// Everything about a call except the scores.
struct Problem<A> {
    sizes: Sizes,
    targets: Vec<Option<usize>>,
    weights: Option<Vec<A>>,
    total_weight: A,
    smoothing: A,
}

impl<A: Acc> Problem<A> {
    fn new(p: &CrossEntropyParams, x: &In, target: &In, weight: Option<&In>) -> Result<Self> {
        let sizes = Sizes::of(x.shape);
        let targets = targets(target, sizes.classes, p.ignore_index)?;
        let weights = rows::read_optional::<A>("cross_entropy", weight)?;
        if targets.len() != sizes.samples() {
            return Err(Error::Internal(format!(
                "cross_entropy: {} targets, {} samples",
                targets.len(),
                sizes.samples()
            )));
        }
        let total = weights.as_ref().map_or(sizes.classes as f64, |w| w.iter().map(|w| w.to_f64()).sum());
        Ok(Problem {
            sizes,
            targets,
            weights,
            total_weight: A::from_f64(total),
            smoothing: A::from_f64(p.label_smoothing),
        })
    }
    #[inline(always)]
    fn weight(&self, class: usize) -> A {
        self.weights.as_ref().map_or(A::ONE, |w| w[class])
    }
    /// ε/C, the share of every class.
    #[inline(always)]
    fn share(&self) -> A {
        self.smoothing / A::from_f64(self.sizes.classes as f64)
    }
    /// Σ over the samples that count of the weight of their target.
    fn weight_sum(&self) -> f64 {
        self.targets.iter().flatten().map(|&t| self.weight(t).to_f64()).sum()
    }
    /// A sample's loss from its maximum `m`, log Σ exp(x - m), the target's score and Σ w·(x - m).
    #[inline(always)]
    fn loss(&self, target: usize, max: A, log_sum: A, score: A, weighted: A) -> A {
        let nll = (log_sum - (score - max)) * self.weight(target);
        if self.smoothing == A::ZERO {
            return nll;
        }
        (A::ONE - self.smoothing) * nll + self.share() * (self.total_weight * log_sum - weighted)
    }
}

/// Per-sample losses (0 where ignored), in float32 or float64 whatever the scores' dtype if `loss` has it. `stats` is
/// (2, samples) of the accumulator's dtype (float64 for float64, else float32) for the gradient. `weight_sum` is a
/// scalar, what a mean divides by.
pub fn cross_entropy(
    p: &CrossEntropyParams,
    x: &In,
    target: &In,
    weight: Option<&In>,
    loss: &mut Out,
    stats: &mut Out,
    weight_sum: Option<&mut Out>,
) -> Result<()> {
    let op = "cross_entropy";
    dispatch!(float x.dtype, T => {
        type A = <T as Storage>::Acc;
        let problem = Problem::<A>::new(p, x, target, weight)?;
        let mut losses = vec![A::default(); problem.sizes.samples()];
        forward::<T>(&x.to_vec_or_slice::<T>(), &problem, &mut losses, stats.as_mut_slice::<A>());
        rows::write(op, &losses, loss)?;
        weight_sum.map_or(Ok(()), |out| rows::write(op, &[problem.weight_sum()], out))
    }, else Err(rows::unsupported(op, x.dtype)))
}

fn forward<T: Storage>(x: &[T], problem: &Problem<T::Acc>, losses: &mut [T::Acc], stats: &mut [T::Acc]) {
    let (sizes, samples) = (problem.sizes, losses.len());
    let (losses, stats) = (Shared::new(losses), Shared::new(stats));
    if x.is_empty() {
        return;
    }
    if sizes.inner == 1 {
        parallel_for(samples, grain(sizes.classes * EXP_COST), |r| {
            // SAFETY: ranges of samples are disjoint.
            let [loss, max, log_sum] = unsafe {
                [losses.range(r.start, r.len()), stats.range(r.start, r.len()), stats.range(samples + r.start, r.len())]
            };
            forward_rows(x, r.start, problem, loss, max, log_sum);
        });
        return;
    }
    let blocks = sizes.inner.div_ceil(COLUMNS);
    parallel_for(sizes.outer * blocks, grain(sizes.classes * COLUMNS * EXP_COST), |r| {
        for i in r {
            let column = i % blocks * COLUMNS;
            let (first, width) = (i / blocks * sizes.inner + column, COLUMNS.min(sizes.inner - column));
            // SAFETY: blocks of samples are disjoint.
            let [loss, max, log_sum] =
                unsafe { [losses.range(first, width), stats.range(first, width), stats.range(samples + first, width)] };
            forward_columns(x, first, problem, loss, max, log_sum);
        }
    });
}

simd_dispatch! {
    /// Samples `first ..`, one row each.
    fn forward_rows<T: Storage>(
        x: &[T], first: usize, problem: &Problem<T::Acc>, loss: &mut [T::Acc], max: &mut [T::Acc],
        log_sum: &mut [T::Acc]
    ) {
        let n = problem.sizes.classes;
        let mut source = Row::new::<T>(n);
        for (i, row) in x[first * n..].chunks_exact(n).take(loss.len()).enumerate() {
            let Some(target) = problem.targets[first + i] else {
                // Never read, but outputs hold no garbage.
                (loss[i], max[i], log_sum[i]) = (T::Acc::ZERO, T::Acc::ZERO, T::Acc::ZERO);
                continue;
            };
            let row = source.load(row);
            let m = rows::max(row);
            let l = rows::exp_sum::<T::Acc, S>(row, m).log::<S>();
            let weighted = match &problem.weights {
                _ if problem.smoothing == T::Acc::ZERO => T::Acc::ZERO,
                None => rows::sum1(row, m, |v| v - m),
                Some(w) => rows::sum2(row, w, [m, T::Acc::ZERO], |v, w| (w * (v - m), T::Acc::ZERO)).0,
            };
            (max[i], log_sum[i]) = (m, l);
            loss[i] = problem.loss(target, m, l, row[target], weighted);
        }
    }

    /// Samples `first ..` of one outer index, side by side.
    fn forward_columns<T: Storage>(
        x: &[T], first: usize, problem: &Problem<T::Acc>, loss: &mut [T::Acc], max: &mut [T::Acc],
        log_sum: &mut [T::Acc]
    ) {
        let (sizes, width, start) = (problem.sizes, loss.len(), problem.sizes.start(first));
        let class = |c: usize| &x[start + c * sizes.inner..][..width];
        let mut row = [T::Acc::ZERO; COLUMNS];
        let mut m = [-T::Acc::INFINITY; COLUMNS];
        for c in 0..sizes.classes {
            T::widen(class(c), &mut row[..width]);
            for j in 0..COLUMNS {
                m[j] = rows::max_of(m[j], row[j]);
            }
        }
        let (mut sum, mut weighted) = ([T::Acc::ZERO; COLUMNS], [T::Acc::ZERO; COLUMNS]);
        for c in 0..sizes.classes {
            T::widen(class(c), &mut row[..width]);
            let w = problem.weight(c);
            for j in 0..COLUMNS {
                let shifted = row[j] - m[j];
                sum[j] += shifted.exp_small::<S>();
                weighted[j] += w * shifted;
            }
        }
        for v in &mut sum {
            *v = v.log::<S>();
        }
        max.copy_from_slice(&m[..width]);
        log_sum.copy_from_slice(&sum[..width]);
        for (j, l) in loss.iter_mut().enumerate() {
            *l = match problem.targets[first + j] {
                Some(t) => problem.loss(t, m[j], sum[j], class(t)[j].up(), weighted[j]),
                None => T::Acc::ZERO,
            };
        }
    }
}

/// dx from the gradient of every sample's loss, or of all alike when `grad` has one element; zero where ignored.
pub fn cross_entropy_backward(
    p: &CrossEntropyParams,
    grad: &In,
    x: &In,
    target: &In,
    weight: Option<&In>,
    stats: &In,
    dx: &mut Out,
) -> Result<()> {
    let op = "cross_entropy";
    dispatch!(float x.dtype, T => {
        type A = <T as Storage>::Acc;
        let problem = Problem::<A>::new(p, x, target, weight)?;
        let (grad, stats) = (rows::read::<A>(op, grad)?, stats.to_vec_or_slice::<A>());
        gradient::<T>(&x.to_vec_or_slice::<T>(), &problem, &grad, &stats, dx.as_mut_slice::<T>());
        Ok(())
    }, else Err(rows::unsupported(op, x.dtype)))
}

fn gradient<T: Storage>(x: &[T], problem: &Problem<T::Acc>, grad: &[T::Acc], stats: &[T::Acc], dx: &mut [T]) {
    let sizes = problem.sizes;
    let dst = Shared::new(dx);
    if x.is_empty() {
        return;
    }
    if sizes.inner == 1 {
        parallel_for(sizes.samples(), grain(sizes.classes * EXP_COST), |r| {
            // SAFETY: ranges of samples are disjoint.
            let dx = unsafe { dst.range(r.start * sizes.classes, r.len() * sizes.classes) };
            gradient_rows(x, r.start, problem, grad, stats, dx);
        });
        return;
    }
    let blocks = sizes.inner.div_ceil(COLUMNS);
    parallel_for(sizes.outer * blocks, grain(sizes.classes * COLUMNS * EXP_COST), |r| {
        for i in r {
            let column = i % blocks * COLUMNS;
            let (first, width) = (i / blocks * sizes.inner + column, COLUMNS.min(sizes.inner - column));
            // SAFETY: blocks of samples are disjoint.
            unsafe { gradient_columns(x, first, width, problem, grad, stats, dst) };
        }
    });
}

/// The coefficients of a sample's gradient: dx = probability·p - share·w, less `hit` at the target.
#[inline(always)]
fn coefficients<A: Acc>(problem: &Problem<A>, sample: usize, grad: &[A]) -> Option<(usize, [A; 3])> {
    let target = problem.targets[sample]?;
    let g = grad[if grad.len() == 1 { 0 } else { sample }];
    let hit = g * (A::ONE - problem.smoothing) * problem.weight(target);
    let share = g * problem.share();
    Some((target, [hit + share * problem.total_weight, share, hit]))
}

simd_dispatch! {
    fn gradient_rows<T: Storage>(
        x: &[T], first: usize, problem: &Problem<T::Acc>, grad: &[T::Acc], stats: &[T::Acc], dx: &mut [T]
    ) {
        let n = problem.sizes.classes;
        let (max, log_sum) = stats.split_at(stats.len() / 2);
        let (mut source, mut target_row) = (Row::new::<T>(n), Row::new::<T>(n));
        for (i, (row, dx)) in x[first * n..].chunks_exact(n).zip(dx.chunks_exact_mut(n)).enumerate() {
            let sample = first + i;
            let Some((target, [scale, share, hit])) = coefficients(problem, sample, grad) else {
                dx.fill(T::down(T::Acc::ZERO));
                continue;
            };
            let (m, l, row) = (max[sample], log_sum[sample], source.load(row));
            target_row.fill(dx, |dx| {
                match &problem.weights {
                    Some(w) if share != T::Acc::ZERO => {
                        rows::map2(row, w, dx, |v, w| ((v - m) - l).exp_small::<S>() * scale - share * w);
                    }
                    _ => rows::map1(row, dx, |v| ((v - m) - l).exp_small::<S>() * scale - share),
                }
                dx[target] -= hit;
            });
        }
    }

}

simd_dispatch! {
    /// # Safety
    /// The block of samples lies inside `dx`, and nobody else touches it.
    unsafe fn gradient_columns<T: Storage>(
        x: &[T], first: usize, width: usize, problem: &Problem<T::Acc>, grad: &[T::Acc], stats: &[T::Acc], dx: Shared<T>
    ) {
        let (sizes, start) = (problem.sizes, problem.sizes.start(first));
        let zero = [T::Acc::ZERO; COLUMNS];
        let (mut scale, mut share, mut hit, mut m, mut l, mut row) = (zero, zero, zero, zero, zero, zero);
        // Past the last class: no hit for samples that are ignored.
        let mut target = [sizes.classes; COLUMNS];
        for j in 0..width {
            if let Some((t, c)) = coefficients(problem, first + j, grad) {
                (target[j], [scale[j], share[j], hit[j]]) = (t, c);
                (m[j], l[j]) = (stats[first + j], stats[sizes.samples() + first + j]);
            }
        }
        for c in 0..sizes.classes {
            let at = start + c * sizes.inner;
            T::widen(&x[at..at + width], &mut row[..width]);
            let w = problem.weight(c);
            for j in 0..COLUMNS {
                let p = ((row[j] - m[j]) - l[j]).exp_small::<S>() * scale[j] - share[j] * w;
                row[j] = if target[j] == sizes.classes {
                    T::Acc::ZERO
                } else if target[j] == c {
                    p - hit[j]
                } else {
                    p
                };
            }
            T::narrow(&row[..width], dx.range(at, width));
        }
    }
}

/// Per-sample -w·x[target] of log-probabilities (0 where ignored), and the sum of the weights that count.
pub fn nll_loss(
    p: &NllParams,
    x: &In,
    target: &In,
    weight: Option<&In>,
    loss: &mut Out,
    weight_sum: Option<&mut Out>,
) -> Result<()> {
    let op = "nll_loss";
    let sizes = Sizes::of(x.shape);
    let targets = targets(target, sizes.classes, p.ignore_index)?;
    dispatch!(float x.dtype, T => {
        type A = <T as Storage>::Acc;
        let w = rows::read_optional::<A>(op, weight)?;
        let weight_of = |t: usize| w.as_ref().map_or(A::from_f64(1.0), |w| w[t]);
        let x = x.to_vec_or_slice::<T>();
        let value = |(i, t): (usize, &Option<usize>)| {
            t.map_or(A::default(), |t| -x[sizes.start(i) + t * sizes.inner].up() * weight_of(t))
        };
        rows::write(op, &targets.iter().enumerate().map(value).collect::<Vec<A>>(), loss)?;
        let total: f64 = targets.iter().flatten().map(|&t| weight_of(t).to_f64()).sum();
        weight_sum.map_or(Ok(()), |out| rows::write(op, &[total], out))
    }, else Err(rows::unsupported(op, x.dtype)))
}

/// dx from the gradient of every sample's loss, or of all alike when `grad` has one element; `dx` gives the scores'
/// shape.
pub fn nll_loss_backward(p: &NllParams, grad: &In, target: &In, weight: Option<&In>, dx: &mut Out) -> Result<()> {
    let op = "nll_loss";
    let sizes = Sizes::of(dx.shape);
    let targets = targets(target, sizes.classes, p.ignore_index)?;
    dispatch!(float dx.dtype, T => {
        type A = <T as Storage>::Acc;
        let w = rows::read_optional::<A>(op, weight)?;
        let g = rows::read::<A>(op, grad)?;
        let dx = dx.as_mut_slice::<T>();
        dx.fill(T::default());
        for (i, t) in targets.iter().enumerate() {
            if let &Some(t) = t {
                let weight = w.as_ref().map_or(A::from_f64(1.0), |w| w[t]);
                let g = g[if g.len() == 1 { 0 } else { i }];
                dx[sizes.start(i) + t * sizes.inner] = <T as Storage>::down(-g * weight);
            }
        }
        Ok(())
    }, else Err(rows::unsupported(op, dx.dtype)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::rows::testing::{Tensor, assert_close, assert_gradient, at_every_level};

    const IGNORED: i64 = -100;
    const SHAPES: [&[usize]; 5] = [&[5], &[4, 7], &[3, 40], &[2, 5, 3], &[2, 3, 70]];

    struct Case {
        shape: Vec<usize>,
        target: Tensor<i64>,
        weight: Tensor<f64>,
        p: CrossEntropyParams,
    }

    impl Case {
        fn new(shape: &[usize], label_smoothing: f64) -> Case {
            let z = Sizes::of(shape);
            let pick = |i: usize| if i == 1 { IGNORED as f64 } else { (i * 7 % z.classes) as f64 };
            let target = Tensor::new((0..z.samples()).map(pick).collect(), &[z.samples()]);
            let weight = Tensor::new((0..z.classes).map(|c| 0.3 + (c % 5) as f64 / 4.0).collect(), &[z.classes]);
            Case {
                shape: shape.to_vec(),
                target,
                weight,
                p: CrossEntropyParams { ignore_index: IGNORED, label_smoothing },
            }
        }
        fn forward<T: Storage>(&self, x: &Tensor<T>) -> (Tensor<f64>, Tensor<T::Acc>, f64) {
            let n = self.target.data.len();
            let (mut loss, mut stats, mut total) =
                (Tensor::zeros(&[n]), Tensor::zeros(&[2, n]), Tensor::<f64>::zeros(&[]));
            let (target, weight) = (self.target.input(), self.weight.input());
            let (loss_out, stats_out, sum) = (&mut loss.output(), &mut stats.output(), &mut total.output());
            cross_entropy(&self.p, &x.input(), &target, Some(&weight), loss_out, stats_out, Some(sum))
                .expect("valid targets");
            (loss, stats, total.data[0])
        }
        /// The definition, in float64.
        fn naive(&self, x: &[f64]) -> Vec<f64> {
            let (z, smoothing) = (Sizes::of(&self.shape), self.p.label_smoothing);
            let loss = |sample: usize| {
                let t = self.target.data[sample];
                if t == IGNORED {
                    return 0.0;
                }
                let scores: Vec<f64> = (0..z.classes).map(|c| x[z.start(sample) + c * z.inner]).collect();
                let lse = scores.iter().map(|v| v.exp()).sum::<f64>().ln();
                let term = |c: usize| self.weight.data[c] * (lse - scores[c]);
                (1.0 - smoothing) * term(t as usize)
                    + smoothing / z.classes as f64 * (0..z.classes).map(term).sum::<f64>()
            };
            (0..z.samples()).map(loss).collect()
        }
    }

    #[test]
    fn cross_entropy_matches_its_definition() {
        at_every_level(|| {
            for shape in SHAPES {
                for smoothing in [0.0, 0.1] {
                    let case = Case::new(shape, smoothing);
                    let x = Tensor::<f32>::noise(1, shape);
                    let (loss, _, total) = case.forward(&x);
                    assert_close(&loss.data, &case.naive(&x.values()), 2e-6, "cross_entropy");
                    let counted = case.target.data.iter().filter(|&&t| t != IGNORED);
                    assert_close(&[total], &[counted.map(|&t| case.weight.data[t as usize]).sum()], 1e-6, "weights");
                }
            }
        });
    }

    #[test]
    fn cross_entropy_gradients_match_differences() {
        at_every_level(|| {
            for shape in SHAPES {
                for smoothing in [0.0, 0.1] {
                    let case = Case::new(shape, smoothing);
                    let x = Tensor::<f64>::noise(1, shape);
                    let g = Tensor::<f64>::noise(2, &[case.target.data.len()]);
                    let (_, stats, _) = case.forward(&x);
                    let mut dx = Tensor::<f64>::zeros(shape);
                    let (target, weight, stats) = (case.target.input(), case.weight.input(), stats.input());
                    let (g_in, x_in) = (g.input(), x.input());
                    cross_entropy_backward(&case.p, &g_in, &x_in, &target, Some(&weight), &stats, &mut dx.output())
                        .expect("valid targets");
                    assert_gradient(|x| case.forward(x).0, &x, &g, &dx, "cross_entropy");
                }
            }
        });
    }

    #[test]
    fn nll_loss_picks_scores_and_its_gradient_puts_them_back() {
        for shape in SHAPES {
            let case = Case::new(shape, 0.0);
            let p = NllParams { ignore_index: IGNORED };
            let (target, weight) = (case.target.input(), case.weight.input());
            let x = Tensor::<f64>::noise(1, shape);
            let run = |x: &Tensor<f64>| {
                let mut loss = Tensor::zeros(&[case.target.data.len()]);
                nll_loss(&p, &x.input(), &target, Some(&weight), &mut loss.output(), None).expect("valid targets");
                loss
            };
            let z = Sizes::of(shape);
            let first = case.target.data[0] as usize;
            assert_eq!(run(&x).data[0], -x.data[first * z.inner] * case.weight.data[first]);
            let g = Tensor::<f64>::noise(2, &[z.samples()]);
            let mut dx = Tensor::<f64>::zeros(shape);
            nll_loss_backward(&p, &g.input(), &target, Some(&weight), &mut dx.output()).expect("valid targets");
            assert_gradient(run, &x, &g, &dx, "nll_loss");
        }
    }

    #[test]
    fn targets_out_of_range_are_an_index_error() {
        let check = |t: f64| check_targets(&Tensor::<i64>::new(vec![0.0, t], &[2]).input(), 10, IGNORED);
        assert!(check(9.0).is_ok() && check(IGNORED as f64).is_ok());
        for bad in [10.0, -1.0] {
            let error = check(bad).expect_err("out of range");
            assert!(matches!(&error, Error::Index(m) if *m == format!("Target {bad} is out of bounds.")), "{error}");
        }
        assert!(check_targets(&Tensor::<i32>::zeros(&[2]).input(), 10, IGNORED).is_err());
    }
}
