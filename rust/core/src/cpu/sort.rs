//! Stable sorting along a dimension, top-k, and the order-preserving integer keys that both are built on.

use crate::cpu::threads::{is_inside, num_threads, parallel_for};
use crate::cpu::view::{In, Out};
use crate::cpu::walk::{Lines, Shared, base, base_mut, grain, load_line};
use crate::dtype::{DType, Element};
use crate::error::Result;
use crate::simd_dispatch;

/// An unsigned integer that orders as the element does: NaN above everything, both zeros equal.
#[inline(always)]
pub fn key_of<T: Element>(v: T) -> u64 {
    let bytes = size_of::<T>();
    let top = 1u64 << (bytes * 8 - 1);
    let mask = top | (top - 1);
    if !T::DTYPE.is_float() {
        let bits = v.to_i64() as u64;
        return if T::DTYPE.is_signed() { (bits ^ top) & mask } else { bits & mask };
    }
    // SAFETY: the type is a float of `bytes` bytes; every width reads exactly that much.
    let bits = unsafe {
        match bytes {
            2 => *(&raw const v).cast::<u16>() as u64,
            4 => *(&raw const v).cast::<u32>() as u64,
            _ => *(&raw const v).cast::<u64>(),
        }
    };
    // Negative numbers are flipped whole, the others in the sign only; selections instead of branches, for SIMD.
    let negative = (bits & top != 0) as u64;
    let ordered = bits ^ (top | (mask * negative));
    let ordered = if bits & (top - 1) == 0 { top } else { ordered };
    if v.is_nan() { mask } else { ordered }
}

/// Keys computed at a time.
const KEYS: usize = 256;

simd_dispatch! {
    fn keys_of<T: Element>(x: &[T], flip: u64, keys: &mut [u64]) {
        for (k, &v) in keys.iter_mut().zip(x) {
            *k = key_of(v) ^ flip;
        }
    }
    fn least(keys: &[u64]) -> u64 {
        keys.iter().fold(u64::MAX, |a, &b| a.min(b))
    }
}

/// Calls `f(position, keys)` for stretches of a line, with flipped keys when `descending`.
///
/// # Safety
/// The `n` elements, `stride` apart, are readable.
unsafe fn for_each_keys<T: Element>(
    src: *const T,
    stride: usize,
    n: usize,
    descending: bool,
    mut f: impl FnMut(usize, &[u64]),
) {
    let flip = if descending { u64::MAX >> (64 - size_of::<T>() * 8) } else { 0 };
    let (mut keys, mut stage) = ([0; KEYS], [T::default(); KEYS]);
    for start in (0..n).step_by(KEYS) {
        let len = KEYS.min(n - start);
        // SAFETY: the caller's contract.
        unsafe { load_line(src.add(start * stride), stride, &mut stage[..len]) };
        keys_of(&stage[..len], flip, &mut keys[..len]);
        f(start, &keys[..len]);
    }
}

/// A key with its position below it in one integer: no two are equal, so any correct sort of them is a stable one.
pub trait Packed: Copy + Ord + Send + Sync + Default + 'static {
    fn pack(key: u64, position: usize) -> Self;
    fn key(self) -> u64;
    fn position(self) -> usize;
}

impl Packed for u64 {
    #[inline(always)]
    fn pack(key: u64, position: usize) -> Self {
        (key << 32) | position as u64
    }
    #[inline(always)]
    fn key(self) -> u64 {
        self >> 32
    }
    #[inline(always)]
    fn position(self) -> usize {
        self as u32 as usize
    }
}

impl Packed for u128 {
    #[inline(always)]
    fn pack(key: u64, position: usize) -> Self {
        ((key as u128) << 64) | position as u128
    }
    #[inline(always)]
    fn key(self) -> u64 {
        (self >> 64) as u64
    }
    #[inline(always)]
    fn position(self) -> usize {
        self as u64 as usize
    }
}

/// Whether keys of this dtype and positions below `n` share 64 bits.
pub fn packs_in_u64(dtype: DType, n: usize) -> bool {
    dtype.size() <= 4 && n <= u32::MAX as usize
}

/// Runs `$body` with `$T` the element type of `$dtype` and `$P` the packed type for lines of `$n` elements.
#[macro_export]
macro_rules! dispatch_packed {
    ($dtype:expr, $n:expr, $T:ident, $P:ident => $body:expr) => {
        $crate::dispatch!($dtype, $T => {
            if $crate::cpu::sort::packs_in_u64($dtype, $n) {
                type $P = u64;
                $body
            } else {
                type $P = u128;
                $body
            }
        })
    };
}

/// The line's elements as packed keys, largest first in order when `descending`.
///
/// # Safety
/// The `n` elements, `stride` apart, are readable.
pub unsafe fn pack_line<T: Element, P: Packed>(
    src: *const T,
    stride: usize,
    n: usize,
    descending: bool,
    line: &mut Vec<P>,
) {
    line.clear();
    line.reserve(n);
    // SAFETY: the caller's contract.
    unsafe {
        for_each_keys(src, stride, n, descending, |start, keys| {
            line.extend(keys.iter().enumerate().map(|(i, &key)| P::pack(key, start + i)));
        });
    }
}

/// Below this many elements a comparison sort beats counting.
const RADIX_MIN: usize = 1024;

/// Sorts packed keys of which the lowest `key_bytes` bytes vary.
pub fn sort_packed<P: Packed>(line: &mut [P], scratch: &mut Vec<P>, key_bytes: usize) {
    let n = line.len();
    if n < RADIX_MIN {
        return line.sort_unstable();
    }
    scratch.resize(n, P::default());
    let mut counts = vec![[0usize; 256]; key_bytes];
    for p in line.iter() {
        let key = p.key();
        for (b, count) in counts.iter_mut().enumerate() {
            count[(key >> (8 * b) & 255) as usize] += 1;
        }
    }
    let (mut from, mut to) = (&mut *line, &mut scratch[..n]);
    let mut swapped = false;
    for (b, count) in counts.iter_mut().enumerate() {
        // A byte that all keys share needs no pass.
        if count.contains(&n) {
            continue;
        }
        let mut start = 0;
        for c in count.iter_mut() {
            start += std::mem::replace(c, start);
        }
        for &p in from.iter() {
            let place = &mut count[(p.key() >> (8 * b) & 255) as usize];
            to[*place] = p;
            *place += 1;
        }
        (from, to) = (to, from);
        swapped = !swapped;
    }
    if swapped {
        to.copy_from_slice(from);
    }
}

/// Sorts one long line with all threads: runs, then pairwise merges. Keys are unique, so the cuts leave no trace.
fn sort_packed_parallel<P: Packed>(line: &mut Vec<P>, scratch: &mut Vec<P>, key_bytes: usize) {
    let n = line.len();
    let threads = num_threads();
    if threads == 1 || n < 64 * 1024 || is_inside() {
        return sort_packed(line, scratch, key_bytes);
    }
    let run = n.div_ceil(threads.next_power_of_two());
    let lines = Shared(line.as_mut_ptr());
    parallel_for(n.div_ceil(run), 1, |range| {
        for r in range {
            // SAFETY: runs are disjoint.
            let part = unsafe { std::slice::from_raw_parts_mut(lines.at(r * run), run.min(n - r * run)) };
            sort_packed(part, &mut Vec::new(), key_bytes);
        }
    });
    scratch.resize(n, P::default());
    let mut run = run;
    while run < n {
        let pieces = 4 * threads;
        let pairs = n.div_ceil(2 * run);
        let target = Shared(scratch.as_mut_ptr());
        let source = &line[..];
        parallel_for(pairs * pieces, 1, |range| {
            for task in range {
                let start = task / pieces * 2 * run;
                let middle = (start + run).min(n);
                let (a, b) = (&source[start..middle], &source[middle..(middle + run).min(n)]);
                let total = a.len() + b.len();
                let (from, to) = (total * (task % pieces) / pieces, total * (task % pieces + 1) / pieces);
                // SAFETY: pieces are disjoint stretches of the scratch buffer.
                let out = unsafe { std::slice::from_raw_parts_mut(target.at(start + from), to - from) };
                merge_piece(a, b, from, out);
            }
        });
        std::mem::swap(line, scratch);
        run *= 2;
    }
}

/// Elements `from .. from + out.len()` of the merge of two sorted runs.
fn merge_piece<P: Packed>(a: &[P], b: &[P], from: usize, out: &mut [P]) {
    // The number of elements of `a` among the first `from`: the first split at which a's next exceeds b's last taken.
    let (mut low, mut high) = (from.saturating_sub(b.len()), from.min(a.len()));
    while low < high {
        let i = low.midpoint(high);
        if a[i] < b[from - i - 1] { low = i + 1 } else { high = i }
    }
    let (mut i, mut j) = (low, from - low);
    for o in out {
        let take_a = j == b.len() || (i < a.len() && a[i] < b[j]);
        *o = if take_a { a[i] } else { b[j] };
        i += take_a as usize;
        j += !take_a as usize;
    }
}

/// Sorts along `dim`: values and their original positions (int64). Equal elements keep their order; NaN counts as largest.
pub fn sort(x: &In, dim: usize, descending: bool, values: Option<&mut Out>, indices: &mut Out) -> Result<()> {
    let Some(n) = line_length(x, dim, indices) else { return Ok(()) };
    dispatch_packed!(x.dtype, n, T, P => {
        let values = values.map(|v| base_mut::<T>(v));
        sort_lines::<T, P>(x, dim, n, descending, indices, values);
    });
    Ok(())
}

/// The line length along `dim`, 1 for a 0-d window; `None` when there is nothing to do.
fn line_length(x: &In, dim: usize, out: &Out) -> Option<usize> {
    let n = x.shape.get(dim).copied().unwrap_or(1);
    (out.numel() > 0).then_some(n)
}

fn sort_lines<T: Element, P: Packed>(
    x: &In,
    dim: usize,
    n: usize,
    descending: bool,
    indices: &Out,
    values: Option<Shared<T>>,
) {
    let lines = Lines::new(x.shape, dim, [x.strides, indices.strides]);
    let (src, target) = (Shared(base::<T>(x).cast_mut()), base_mut::<i64>(indices));
    let [step, out_step] = lines.strides;
    parallel_for(lines.count(), grain(2048, n), |range| {
        let (mut line, mut scratch) = (Vec::<P>::new(), Vec::<P>::new());
        for l in range {
            let [offset, o] = lines.outer.offsets(l);
            // SAFETY: the line lies inside the input; its outputs belong to it alone.
            unsafe {
                pack_line(src.at(offset), step, n, descending, &mut line);
                sort_packed_parallel(&mut line, &mut scratch, size_of::<T>());
                for (i, p) in line.iter().enumerate() {
                    *target.at(o + i * out_step) = p.position() as i64;
                }
                if let Some(values) = values {
                    for (i, p) in line.iter().enumerate() {
                        *values.at(o + i * out_step) = *src.at(offset + p.position() * step);
                    }
                }
            }
        }
    });
}

/// The `k` largest or smallest elements along `dim`, best first, and their positions; of equal elements the earlier comes first.
pub fn topk(x: &In, k: usize, dim: usize, largest: bool, values: &mut Out, indices: &mut Out) -> Result<()> {
    let Some(n) = line_length(x, dim, indices) else { return Ok(()) };
    dispatch_packed!(x.dtype, n, T, P => topk_lines::<T, P>(x, n, k, dim, largest, base_mut::<T>(values), indices));
    Ok(())
}

fn topk_lines<T: Element, P: Packed>(
    x: &In,
    n: usize,
    k: usize,
    dim: usize,
    largest: bool,
    values: Shared<T>,
    indices: &Out,
) {
    let lines = Lines::new(x.shape, dim, [x.strides, indices.strides]);
    let (src, target) = (Shared(base::<T>(x).cast_mut()), base_mut::<i64>(indices));
    let [step, out_step] = lines.strides;
    parallel_for(lines.count(), grain(8192, n), |range| {
        let mut best = Vec::<P>::new();
        for l in range {
            let [offset, o] = lines.outer.offsets(l);
            // SAFETY: the line lies inside the input; its outputs belong to it alone.
            unsafe {
                best_of_line(src.at(offset), step, n, k, largest, &mut best);
                for (i, p) in best.iter().enumerate() {
                    *target.at(o + i * out_step) = p.position() as i64;
                    *values.at(o + i * out_step) = *src.at(offset + p.position() * step);
                }
            }
        }
    });
}

/// The first `k` packed keys of a line, in order, through a buffer of candidates that is pruned when it is full.
///
/// # Safety
/// The `n` elements, `stride` apart, are readable.
unsafe fn best_of_line<T: Element, P: Packed>(
    src: *const T,
    stride: usize,
    n: usize,
    k: usize,
    largest: bool,
    best: &mut Vec<P>,
) {
    let capacity = 2 * k + 64;
    best.clear();
    // Later elements with the threshold's key lose to it by position, so keys alone decide.
    let (mut threshold, mut full) = (0, k == 0);
    // SAFETY: the caller's contract.
    unsafe {
        for_each_keys(src, stride, n, largest, |start, keys| {
            if full && least(keys) >= threshold {
                return;
            }
            for (i, &key) in keys.iter().enumerate() {
                if full && key >= threshold {
                    continue;
                }
                best.push(P::pack(key, start + i));
                if best.len() >= capacity {
                    best.select_nth_unstable(k - 1);
                    best.truncate(k);
                    (threshold, full) = (best[k - 1].key(), true);
                }
            }
        });
    }
    if k > 0 && best.len() > k {
        best.select_nth_unstable(k - 1);
        best.truncate(k);
    }
    best.sort_unstable();
    best.truncate(k);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::rows::testing::at_every_level;

    fn sorted(x: &[f32], descending: bool) -> (Vec<f32>, Vec<i64>) {
        let (mut values, mut indices) = (vec![0f32; x.len()], vec![0i64; x.len()]);
        let (shape, n) = ([x.len()], x.len());
        let input = In { ptr: x.as_ptr().cast(), dtype: DType::F32, shape: &shape, strides: &[1] };
        let mut v = Out { ptr: values.as_mut_ptr().cast(), dtype: DType::F32, shape: &[n], strides: &[1] };
        let mut i = Out { ptr: indices.as_mut_ptr().cast(), dtype: DType::I64, shape: &[n], strides: &[1] };
        sort(&input, 0, descending, Some(&mut v), &mut i).expect("sort");
        (values, indices)
    }

    #[test]
    fn keys_order_like_elements() {
        at_every_level(|| {
            let floats = [f32::NEG_INFINITY, -2.0, -1e-40, 0.0, 1e-40, 3.0, f32::INFINITY, f32::NAN];
            assert!(floats.windows(2).all(|w| key_of(w[0]) < key_of(w[1])));
            assert_eq!(key_of(-0.0f64), key_of(0.0f64));
            assert!(key_of(-1i8) < key_of(0i8) && key_of(i64::MIN) < key_of(i64::MAX) && key_of(127u8) < key_of(200u8));
            assert!(key_of(false) < key_of(true));
        });
    }

    #[test]
    fn sorts_are_stable_and_place_nan_last_or_first() {
        at_every_level(|| {
            let (values, indices) = sorted(&[2.0, f32::NAN, -0.0, 2.0, 0.0], false);
            assert_eq!(indices, [2, 4, 0, 3, 1]);
            assert!(values[4].is_nan() && values[0].is_sign_negative());
            assert_eq!(sorted(&[2.0, f32::NAN, 1.0, 2.0], true).1, [1, 0, 3, 2]);
        });
    }

    #[test]
    fn long_lines_agree_with_the_library_sort() {
        at_every_level(|| {
            let x: Vec<f32> = (0..200_001u64).map(|i| (i * 48_271 % 65_537) as f32 - 3e4).collect();
            let (values, indices) = sorted(&x, false);
            let mut want: Vec<usize> = (0..x.len()).collect();
            want.sort_by(|&a, &b| x[a].total_cmp(&x[b]));
            assert!(indices.iter().zip(&want).all(|(&i, &w)| i as usize == w));
            assert!(values.is_sorted());
        });
    }

    #[test]
    fn topk_takes_the_first_of_the_sort() {
        at_every_level(|| {
            let x: Vec<i64> = (0..5000).map(|i| i * 7919 % 1009).collect();
            let (mut values, mut indices) = ([0i64; 20], [0i64; 20]);
            let input = In { ptr: x.as_ptr().cast(), dtype: DType::I64, shape: &[5000], strides: &[1] };
            let mut v = Out { ptr: values.as_mut_ptr().cast(), dtype: DType::I64, shape: &[20], strides: &[1] };
            let mut i = Out { ptr: indices.as_mut_ptr().cast(), dtype: DType::I64, shape: &[20], strides: &[1] };
            topk(&input, 20, 0, true, &mut v, &mut i).expect("topk");
            let mut want: Vec<usize> = (0..5000).collect();
            want.sort_by_key(|&i| (-x[i], i));
            assert!(indices.iter().zip(&want).all(|(&i, &w)| i as usize == w));
            assert_eq!(values[0], x[want[0]]);
        });
    }
}
