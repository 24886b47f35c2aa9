//! Lines of real numbers. Of an even length they are complex lines of half the length: even and odd elements as real and
//! imaginary parts, whose spectra are told apart by their symmetries. Of an odd length they are complex lines in full.

use super::plans::{Part, Plan, plan, turns};
use super::{Source, TASK, multiply, neighbours, with_memory};
use crate::cpu::threads::parallel_for;
use crate::cpu::view::{In, Out};
use crate::cpu::walk::{Shared, base_mut, grain};
use crate::dtype::Element;
use crate::simd_dispatch;
use rustfft::num_complex::Complex;

/// What lines of real numbers are multiplied by.
#[derive(Clone, Copy)]
struct Factors<T> {
    scale: T,
    inner: T,
}

/// Real lines to the halves of their spectra.
pub fn forward<T: Part>(x: &In, scale: T, inner: T, out: &mut Out) {
    let last = x.shape.len() - 1;
    let n = x.shape[last];
    let (source, dst) = (Source::<T>::new(x, last), base_mut::<T>(out));
    let count = out.numel() / (2 * (n / 2 + 1));
    let factors = Factors { scale, inner };
    let dst = Shared(dst.0.cast::<Complex<T>>());
    if n.is_multiple_of(2) {
        even_forward(n, count, &source, factors, dst)
    } else {
        odd_forward(n, count, &source, factors, dst)
    }
}

fn even_forward<T: Part>(n: usize, count: usize, source: &Source<T>, by: Factors<T>, dst: Shared<Complex<T>>) {
    let half = n / 2;
    let (plan, turns): (Plan<T>, _) = (plan(half, false), turns::<T>(n));
    let tile = source.together(n, count);
    parallel_for(count, grain(TASK, n).next_multiple_of(tile), |range| {
        with_memory([0, plan.get_inplace_scratch_len()], |_, own| {
            for first in range.clone().step_by(tile) {
                let lines = tile.min(range.end - first);
                // SAFETY: these lines of the output are this task's own; each has room for n real numbers and one pair more.
                let to = unsafe {
                    let to = dst.at((half + 1) * first);
                    source.copy::<T>(first, lines, n, to.cast::<T>(), n + 2);
                    std::slice::from_raw_parts_mut(to, (half + 1) * lines)
                };
                for line in to.chunks_exact_mut(half + 1) {
                    plan.process_with_scratch(&mut line[..half], own);
                    split(line, &turns, by);
                }
            }
        })
    });
}

/// Numbers of a spectrum that are taken at once from its beginning, and as many from its end.
const TOGETHER: usize = 16;

/// Complex numbers as real parts and imaginary parts.
type Parts<T> = [[T; TOGETHER]; 2];

#[inline(always)]
fn apart<T: Part>(values: &[Complex<T>; TOGETHER]) -> Parts<T> {
    [std::array::from_fn(|i| values[i].re), std::array::from_fn(|i| values[i].im)]
}

/// The same from the last to the first.
#[inline(always)]
fn apart_backwards<T: Part>(values: &[Complex<T>; TOGETHER]) -> Parts<T> {
    [std::array::from_fn(|i| values[TOGETHER - 1 - i].re), std::array::from_fn(|i| values[TOGETHER - 1 - i].im)]
}

#[inline(always)]
fn joined<T: Part>([re, im]: &Parts<T>) -> [Complex<T>; TOGETHER] {
    std::array::from_fn(|i| Complex::new(re[i], im[i]))
}

#[inline(always)]
fn joined_backwards<T: Part>([re, im]: &Parts<T>) -> [Complex<T>; TOGETHER] {
    std::array::from_fn(|i| Complex::new(re[TOGETHER - 1 - i], im[TOGETHER - 1 - i]))
}

/// The numbers of `line` from `k` on, those that end before `end`, and `turns` from `k` on.
#[inline(always)]
fn blocks<'a, T>(
    line: &'a [Complex<T>],
    turns: &'a [Complex<T>],
    k: usize,
    end: usize,
) -> Option<[&'a [Complex<T>; TOGETHER]; 3]> {
    Some([line[k..].first_chunk()?, line[..end].last_chunk()?, turns[k..].first_chunk()?])
}

simd_dispatch! {
    /// The half spectrum of a real line from the spectrum of its pairs, which is all of `line` but its last element.
    fn split<T: Part>(line: &mut [Complex<T>], turns: &[Complex<T>], by: Factors<T>) {
        let half = line.len() - 1;
        let (zero, first) = (T::zero(), line[0]);
        line[0] = Complex::new((first.re + first.im) * by.scale, zero);
        line[half] = Complex::new((first.re - first.im) * by.scale, zero);
        let scale = by.scale * by.inner;
        let halved = scale * <T as Element>::from_f64(0.5);
        let middle = half.div_ceil(2);
        let mut k = 1;
        while k + TOGETHER <= middle {
            let end = half - k + 1;
            let Some([low, high, turn]) = blocks(line, turns, k, end) else { break };
            let ([ar, ai], [br, bi], [tr, ti]) = (apart(low), apart_backwards(high), apart(turn));
            let (mut low, mut high) = ([[zero; TOGETHER]; 2], [[zero; TOGETHER]; 2]);
            for i in 0..TOGETHER {
                let (er, ei) = ((ar[i] + br[i]) * halved, (ai[i] - bi[i]) * halved);
                let (dr, di) = ((ar[i] - br[i]) * halved, (ai[i] + bi[i]) * halved);
                let (or, oi) = (tr[i] * di + ti[i] * dr, ti[i] * di - tr[i] * dr);
                (low[0][i], low[1][i]) = (er + or, ei + oi);
                (high[0][i], high[1][i]) = (er - or, oi - ei);
            }
            line[k..k + TOGETHER].copy_from_slice(&joined(&low));
            line[end - TOGETHER..end].copy_from_slice(&joined_backwards(&high));
            k += TOGETHER;
        }
        for k in k..middle {
            let (a, b) = (line[k], line[half - k].conj());
            let (even, odd) = ((a + b) * halved, (a - b) * halved);
            // −i times the difference is the spectrum of the odd elements.
            let odd = turns[k] * Complex::new(odd.im, -odd.re);
            line[k] = even + odd;
            line[half - k] = (even - odd).conj();
        }
        if half.is_multiple_of(2) {
            line[half / 2] = line[half / 2].conj() * scale;
        }
    }
}

fn odd_forward<T: Part>(n: usize, count: usize, source: &Source<T>, by: Factors<T>, dst: Shared<Complex<T>>) {
    let half = n / 2 + 1;
    let (plan, tile): (Plan<T>, _) = (plan(n, false), neighbours(n, count));
    parallel_for(count, grain(TASK, n).next_multiple_of(tile), |range| {
        with_memory([n * tile, plan.get_inplace_scratch_len()], |memory, own| {
            for first in range.clone().step_by(tile) {
                let lines = tile.min(range.end - first);
                let work = &mut memory[..n * lines];
                // SAFETY: the input has these lines.
                unsafe {
                    source.each(first, lines, n, |k, line, v: T| work[line * n + k] = Complex::new(v, T::zero()));
                }
                plan.process_with_scratch(work, own);
                // SAFETY: these lines of the output are this task's own.
                let to = unsafe { std::slice::from_raw_parts_mut(dst.at(half * first), half * lines) };
                for (to, from) in to.chunks_exact_mut(half).zip(work.chunks_exact(n)) {
                    to[0] = from[0] * by.scale;
                    let scale = by.scale * by.inner;
                    to[1..].iter_mut().zip(&from[1..half]).for_each(|(t, f)| *t = *f * scale);
                }
            }
        })
    });
}

/// Halves of spectra to real lines.
pub fn backward<T: Part>(x: &In, scale: T, inner: T, out: &mut Out) {
    let last = out.shape.len() - 1;
    let n = out.shape[last];
    let source = Source::<T>::new(x, last);
    let (count, dst) = (out.numel() / n, base_mut::<T>(out));
    let even = n.is_multiple_of(2);
    let length = if even { n / 2 } else { n };
    let (plan, turns): (Plan<T>, _) = (plan(length, true), turns::<T>(if even { n } else { 4 }));
    let (known, work) = (n / 2 + 1, if even { 0 } else { n });
    let tile = neighbours(n, count);
    let memory = [tile * known + work, plan.get_inplace_scratch_len()];
    parallel_for(count, grain(TASK, n).next_multiple_of(tile), |range| {
        with_memory(memory, |memory, own| {
            let (spectra, work) = memory.split_at_mut(tile * known);
            for first in range.clone().step_by(tile) {
                let lines = tile.min(range.end - first);
                // SAFETY: the input has these lines, and there is memory for as many.
                unsafe { source.copy(first, lines, known, spectra.as_mut_ptr(), known) };
                for (line, spectrum) in spectra.chunks_exact_mut(known).take(lines).enumerate() {
                    spectrum[1..].iter_mut().take((n - 1) / 2).for_each(|v| *v = *v * inner);
                    // SAFETY: this line of the output is this task's own.
                    let to = unsafe { std::slice::from_raw_parts_mut(dst.at(n * (first + line)), n) };
                    if even {
                        // SAFETY: two parts are a complex number, and n is even.
                        let pairs = unsafe { std::slice::from_raw_parts_mut(to.as_mut_ptr().cast(), n / 2) };
                        join(spectrum, &turns, pairs);
                        plan.process_with_scratch(pairs, own);
                        multiply(pairs, scale);
                    } else {
                        mirror(spectrum, work);
                        plan.process_with_scratch(work, own);
                        to.iter_mut().zip(&*work).for_each(|(t, v)| *t = v.re * scale);
                    }
                }
            }
        })
    });
}

simd_dispatch! {
    /// The spectrum of a real line's pairs from the half of its own.
    fn join<T: Part>(spectrum: &[Complex<T>], turns: &[Complex<T>], pairs: &mut [Complex<T>]) {
        let half = pairs.len();
        let (first, last) = (spectrum[0].re, spectrum[half].re);
        pairs[0] = Complex::new(first + last, first - last);
        let (zero, middle) = (T::zero(), half.div_ceil(2));
        let mut k = 1;
        while k + TOGETHER <= middle {
            let end = half - k + 1;
            let Some([low, high, turn]) = blocks(spectrum, turns, k, end) else { break };
            let ([ar, ai], [br, bi], [tr, ti]) = (apart(low), apart_backwards(high), apart(turn));
            let (mut low, mut high) = ([[zero; TOGETHER]; 2], [[zero; TOGETHER]; 2]);
            for i in 0..TOGETHER {
                let (er, ei, dr, di) = (ar[i] + br[i], ai[i] - bi[i], ar[i] - br[i], ai[i] + bi[i]);
                let (or, oi) = (dr * tr[i] + di * ti[i], di * tr[i] - dr * ti[i]);
                (low[0][i], low[1][i]) = (er - oi, ei + or);
                (high[0][i], high[1][i]) = (er + oi, or - ei);
            }
            pairs[k..k + TOGETHER].copy_from_slice(&joined(&low));
            pairs[end - TOGETHER..end].copy_from_slice(&joined_backwards(&high));
            k += TOGETHER;
        }
        for k in k..middle {
            let (a, b) = (spectrum[k], spectrum[half - k].conj());
            let (even, odd) = (a + b, (a - b) * turns[k].conj());
            pairs[k] = Complex::new(even.re - odd.im, even.im + odd.re);
            pairs[half - k] = Complex::new(even.re + odd.im, odd.re - even.im);
        }
        if half.is_multiple_of(2) {
            let middle = spectrum[half / 2].conj();
            pairs[half / 2] = middle + middle;
        }
    }
}

/// A whole spectrum of an odd length from its first half.
fn mirror<T: Part>(spectrum: &[Complex<T>], whole: &mut [Complex<T>]) {
    let n = whole.len();
    whole[0] = Complex::new(spectrum[0].re, T::zero());
    for (k, v) in spectrum.iter().enumerate().skip(1) {
        (whole[k], whole[n - k]) = (*v, v.conj());
    }
}
