//! Products with few rows or columns, which are bound by memory: dot products and combinations of rows.

use super::blocked::SendPtr;
use super::kernel::{COMBINE_COLS, Compute, DOT_COLS, DOT_ROWS};
use super::pack::{Pack, Storage, Strided, widen};
use crate::cpu::scratch::with_scratch;
use crate::cpu::threads;

/// Bytes of the large operand per parallel chunk: about 20 µs of memory traffic.
const CHUNK_BYTES: usize = 256 << 10;

/// out[i·out_few + j·out_many] = Σₚ few(i, p)·many(j, p), where the depth of `many` is contiguous.
///
/// # Safety
/// The operands cover `few_len × k` and `many_len × k`; `out` covers the results.
pub(super) unsafe fn dot_products<E: Storage>(
    few: &Strided<E>,
    few_len: usize,
    many: &Strided<E>,
    many_len: usize,
    k: usize,
    out: *mut E::Acc,
    (out_few, out_many): (usize, usize),
) {
    debug_assert_eq!(many.depth, 1);
    let kernels = &<E::Acc as Compute>::kernels().0;
    // The few rows, contiguous and widened, unless they lie so already.
    let copy_few = !(E::DIRECT && few.depth == 1);
    with_scratch::<E::Acc, _>(if copy_few { few_len * k } else { 0 }, |rows| {
        if copy_few {
            // Lanes and depth change roles: a panel of width k whose "lanes" are the depth is the row-major copy.
            Strided { ptr: few.ptr, lane: few.depth, depth: few.lane }.pack(0..k, 0..few_len, k, rows);
        }
        let (x, x_row) = if copy_few { (rows.as_ptr(), k) } else { (few.ptr.cast(), few.lane) };
        let (x, out) = (SendPtr(x.cast_mut()), SendPtr(out));
        let groups = many_len.div_ceil(DOT_COLS);
        let grain = (CHUNK_BYTES / (DOT_COLS * k.max(1) * std::mem::size_of::<E>())).max(1);
        threads::parallel_for(groups, grain, |range| {
            with_scratch::<E::Acc, _>(if E::DIRECT { 0 } else { DOT_COLS * k }, |wide| {
                for group in range {
                    let js = group * DOT_COLS..((group + 1) * DOT_COLS).min(many_len);
                    let mut y = (many.ptr.wrapping_add(js.start * many.lane).cast::<E::Acc>(), many.lane);
                    if !E::DIRECT {
                        for j in js.clone() {
                            // SAFETY: row j of `many` has k elements.
                            let row = unsafe { std::slice::from_raw_parts(many.ptr.add(j * many.lane), k) };
                            widen(row, &mut wide[(j - js.start) * k..][..k]);
                        }
                        y = (wide.as_ptr(), k);
                    }
                    for i in (0..few_len).step_by(DOT_ROWS) {
                        let is = DOT_ROWS.min(few_len - i);
                        let mut sums = [E::Acc::default(); DOT_ROWS * DOT_COLS];
                        // SAFETY: the rows are contiguous for k elements; the table is this level's.
                        unsafe {
                            let x = x.get().add(i * x_row);
                            if js.len() == DOT_COLS {
                                kernels.dots(is, true)(k, x, x_row, y.0, y.1, sums.as_mut_ptr());
                            } else {
                                for j in 0..js.len() {
                                    kernels.dots(is, false)(
                                        k,
                                        x,
                                        x_row,
                                        y.0.add(j * y.1),
                                        y.1,
                                        sums.as_mut_ptr().add(j),
                                    );
                                }
                            }
                            for r in 0..is {
                                for j in js.clone() {
                                    *out.get().add((i + r) * out_few + j * out_many) =
                                        sums[r * DOT_COLS + j - js.start];
                                }
                            }
                        }
                    }
                }
            });
        });
    });
}

/// out[j·out_step] = Σₚ x(p)·b(j, p) for a matrix whose lanes are contiguous: a combination of its rows.
///
/// # Safety
/// The vector x (its only lane) and b cover k and n × k; `out` covers the results.
pub(super) unsafe fn combine_rows<E: Storage>(
    x: &Strided<E>,
    b: &Strided<E>,
    n: usize,
    k: usize,
    out: *mut E::Acc,
    out_step: usize,
) {
    debug_assert_eq!(b.lane, 1);
    let kernels = &<E::Acc as Compute>::kernels().0;
    let out = SendPtr(out);
    with_scratch::<E::Acc, _>(k, |xs| {
        x.pack(0..1, 0..k, 1, xs);
        let xs = &*xs;
        // Blocks of columns are fixed; small ones keep all threads busy on matrices that are not wide.
        let block = if n > 16 * COMBINE_COLS { COMBINE_COLS } else { 256 };
        let grain = (CHUNK_BYTES / (block * k.max(1) * std::mem::size_of::<E>())).max(1);
        threads::parallel_for(n.div_ceil(block), grain, |range| {
            const DEPTH: usize = 8;
            let mut sums = [E::Acc::default(); COMBINE_COLS];
            with_scratch::<E::Acc, _>(if E::DIRECT { 0 } else { DEPTH * block }, |wide| {
                for i in range {
                    let js = i * block..((i + 1) * block).min(n);
                    let sums = &mut sums[..js.len()];
                    sums.fill(E::Acc::default());
                    // SAFETY: columns js of all k rows are inside b; `out` has n places.
                    unsafe {
                        if E::DIRECT {
                            let from = b.ptr.add(js.start).cast();
                            (kernels.combine)(k, xs.as_ptr(), 1, from, b.depth, sums);
                        } else {
                            for p in (0..k).step_by(DEPTH) {
                                let ps = p..(p + DEPTH).min(k);
                                b.pack(js.clone(), ps.clone(), block, wide);
                                (kernels.combine)(ps.len(), xs[p..].as_ptr(), 1, wide.as_ptr(), block, sums);
                            }
                        }
                        for (s, j) in sums.iter().zip(js) {
                            *out.get().add(j * out_step) = *s;
                        }
                    }
                }
            });
        });
    });
}
