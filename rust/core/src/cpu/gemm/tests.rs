//! Products of small integers, which are exact in every dtype, against the definition; every path, level and stride order.

use super::*;
use crate::cpu::elementwise;
use crate::cpu::simd::{available, level, with_level};
use crate::cpu::threads::with_threads;
use crate::dtype::Element;

/// A reproducible sequence of small integers.
fn numbers<E: Element>(n: usize, seed: usize) -> Vec<E> {
    (0..n).map(|i| E::from_i64(((i * 7 + seed * 13 + i / 5 * 3) % 5) as i64 - 2)).collect()
}

/// The storage orders in which a rows × cols matrix is tried: row-major, column-major, padded rows, two gaps.
fn layouts(rows: usize, cols: usize) -> [(usize, usize); 4] {
    [(cols, 1), (1, rows), (cols + 3, 1), (2 * cols + 1, 2)]
}

fn extent(rows: usize, cols: usize, (r, c): (usize, usize)) -> usize {
    if rows == 0 || cols == 0 { 0 } else { (rows - 1) * r + (cols - 1) * c + 1 }
}

/// alpha·A·B + beta·C by the definition.
fn reference<E: Element>(
    (m, n, k): (usize, usize, usize),
    (a, sa): (&[E], (usize, usize)),
    (b, sb): (&[E], (usize, usize)),
    (alpha, beta): (f64, f64),
    (c, sc): (&[E], (usize, usize)),
) -> Vec<f64> {
    let mut out = vec![0.0; m * n];
    for i in 0..m {
        for j in 0..n {
            let dot: f64 = (0..k).map(|p| a[i * sa.0 + p * sa.1].to_f64() * b[p * sb.0 + j * sb.1].to_f64()).sum();
            out[i * n + j] = alpha * dot + if beta == 0.0 { 0.0 } else { beta * c[i * sc.0 + j * sc.1].to_f64() };
        }
    }
    out
}

fn check<E: Storage>(
    size: (usize, usize, usize),
    sa: (usize, usize),
    sb: (usize, usize),
    sc: (usize, usize),
    scale: (f64, f64),
) {
    let (m, n, k) = size;
    let (a, b) = (numbers::<E>(extent(m, k, sa), 1), numbers::<E>(extent(k, n, sb), 2));
    let mut c = numbers::<E>(extent(m, n, sc), 3);
    if scale.1 == 0.0 {
        c.fill(E::from_f64(f64::NAN));
    }
    let want = reference(size, (&a, sa), (&b, sb), scale, (&c, sc));
    let before = c.clone();
    for level in available() {
        c.copy_from_slice(&before);
        let (pa, pb) =
            (Matrix { ptr: a.as_ptr(), row: sa.0, col: sa.1 }, Matrix { ptr: b.as_ptr(), row: sb.0, col: sb.1 });
        let pc = MatrixMut { ptr: c.as_mut_ptr(), row: sc.0, col: sc.1 };
        let (alpha, beta) = (E::Acc::from_f64(scale.0), E::Acc::from_f64(scale.1));
        // SAFETY: the vectors have the extents of the strides.
        with_level(level, || unsafe { gemm::<E>(size, alpha, pa, pb, beta, pc, None) });
        let mut touched = vec![false; c.len()];
        for i in 0..m {
            for j in 0..n {
                let at = i * sc.0 + j * sc.1;
                touched[at] = true;
                let w = E::from_f64(want[i * n + j]);
                let got = c[at];
                assert!(got == w, "{:?} {size:?} {sa:?} {sb:?} {sc:?}: ({i}, {j}) = {got:?}, not {w:?}", E::DTYPE);
            }
        }
        for (i, hit) in touched.iter().enumerate() {
            assert!(
                *hit || c[i] == before[i] || c[i].is_nan(),
                "element {i} between rows was written: {size:?} {sc:?}"
            );
        }
    }
}

fn check_layouts<E: Storage>(size: (usize, usize, usize), scale: (f64, f64)) {
    let (m, n, k) = size;
    for (i, sa) in layouts(m, k).into_iter().enumerate() {
        for (j, sb) in layouts(k, n).into_iter().enumerate() {
            let sc = layouts(m, n)[(i + j) % 4];
            check::<E>(size, sa, sb, sc, scale);
        }
    }
}

const SIZES: [(usize, usize, usize); 22] = [
    (1, 1, 1),
    (1, 37, 5),
    (37, 1, 5),
    (1, 300, 130),
    (300, 1, 130),
    (1, 1, 200),
    (2, 3, 4),
    (7, 9, 150),
    (16, 70, 129),
    (70, 5, 140),
    (17, 33, 15),
    (14, 32, 64),
    (15, 31, 65),
    (64, 64, 64),
    (28, 100, 300),
    (30, 130, 20),
    (130, 70, 20),
    (100, 40, 500),
    (200, 65, 33),
    (3, 5, 0),
    (0, 5, 3),
    (5, 0, 3),
];

#[test]
fn every_size_stride_and_level_gives_the_exact_product() {
    for size in SIZES {
        check_layouts::<f32>(size, (1.0, 0.0));
        check_layouts::<f64>(size, (1.0, 0.0));
    }
}

#[test]
fn few_rows_times_the_transpose_of_many() {
    for (m, n, k) in
        [(2, 4, 3), (9, 30, 20), (17, 34, 129), (20, 100, 37), (33, 150, 170), (64, 128, 600), (12, 2048, 64)]
    {
        for padding in [0, 5] {
            check::<f32>((m, n, k), (k + padding, 1), (1, k + padding), (n + padding, 1), (1.0, 0.0));
            check::<f64>((m, n, k), (k + padding, 1), (1, k + padding), (n + padding, 1), (1.0, 0.0));
            check::<f32>((m, n, k), (k, 1), (1, k), (n, 1), (2.0, 1.0));
        }
    }
}

#[test]
fn alpha_and_beta_scale_product_and_old_values() {
    for size in SIZES {
        check_layouts::<f32>(size, (2.0, 3.0));
        check_layouts::<f64>(size, (0.5, -1.0));
        check_layouts::<bf16>((size.0, size.1, size.2.min(12)), (1.0, 1.0));
    }
}

#[test]
fn half_precision_is_summed_in_f32_and_rounded_once() {
    for (m, n, k) in SIZES {
        check_layouts::<f16>((m, n, k), (1.0, 0.0));
        check_layouts::<bf16>((m, n, k.min(40)), (1.0, 0.0));
    }
    // 2049 products of 1: f16 itself would stop counting at 2048.
    let ones = vec![f16::from_f32(1.0); 4098];
    let mut c = [f16::from_f32(0.0)];
    let row = Matrix { ptr: ones.as_ptr(), row: 4098, col: 1 };
    let out = MatrixMut { ptr: c.as_mut_ptr(), row: 1, col: 1 };
    unsafe { gemm::<f16>((1, 1, 4098), 1.0, row, row.transposed(), 0.0, out, None) };
    assert_eq!(c[0].to_f32(), 4096.0, "4098 rounds to the even neighbour");
}

#[test]
fn half_precision_conversions_are_exact_for_every_bit_pattern() {
    for bits in 0..=u16::MAX {
        let (h, b) = (f16::from_bits(bits), bf16::from_bits(bits));
        assert!(Storage::widen(h).to_bits() == h.to_f32().to_bits() || h.is_nan(), "{bits:#x}");
        assert!(
            Storage::widen(b).to_bits() == b.to_f32().to_bits() || (b.is_nan() && Storage::widen(b).is_nan()),
            "{bits:#x}"
        );
        for v in
            [h.to_f32(), b.to_f32(), h.to_f32() * 1.000_3, h.to_f32() * 0.999_8, b.to_f32() * 1.003, b.to_f32() * 0.997]
        {
            if v.is_nan() {
                assert!(<f16 as Storage>::narrow(v).is_nan() && <bf16 as Storage>::narrow(v).is_nan());
            } else {
                assert_eq!(<f16 as Storage>::narrow(v).to_bits(), f16::from_f32(v).to_bits(), "{v:e}");
                assert_eq!(<bf16 as Storage>::narrow(v).to_bits(), bf16::from_f32(v).to_bits(), "{v:e}");
            }
        }
    }
}

#[test]
fn integers_wrap_in_their_type() {
    fn check<T: WrappingMul>(to: fn(i64) -> T) {
        for level in available() {
            with_level(level, || {
                for size @ (m, n, k) in SIZES.into_iter().filter(|s| s.0 * s.1 * s.2 < 50_000) {
                    for (i, sa) in layouts(m, k).into_iter().enumerate() {
                        for (j, sb) in layouts(k, n).into_iter().enumerate() {
                            let sc = layouts(m, n)[(i + j) % 4];
                            let a: Vec<T> = (0..extent(m, k, sa)).map(|i| to(i as i64 * 37 - 50)).collect();
                            let b: Vec<T> = (0..extent(k, n, sb)).map(|i| to(i as i64 * 91 - 77)).collect();
                            let mut c: Vec<T> = (0..extent(m, n, sc)).map(|i| to(i as i64)).collect();
                            let old = c.clone();
                            let (alpha, beta) = (to(3), to(-2));
                            unsafe {
                                gemm_integer(size, alpha, a.as_ptr(), sa, b.as_ptr(), sb, beta, c.as_mut_ptr(), sc)
                            };
                            for i in 0..m {
                                for j in 0..n {
                                    let mut sum = 0i64;
                                    for p in 0..k {
                                        let product = a[i * sa.0 + p * sa.1]
                                            .to_i64()
                                            .wrapping_mul(b[p * sb.0 + j * sb.1].to_i64());
                                        sum = sum.wrapping_add(product);
                                    }
                                    let at = i * sc.0 + j * sc.1;
                                    let want = sum
                                        .wrapping_mul(alpha.to_i64())
                                        .wrapping_add(beta.to_i64().wrapping_mul(old[at].to_i64()));
                                    assert_eq!(c[at], to(want), "{size:?} {sa:?} {sb:?}");
                                }
                            }
                        }
                    }
                }
            });
        }
    }
    check::<u8>(|v| v as u8);
    check::<i8>(|v| v as i8);
    check::<i16>(|v| v as i16);
    check::<i32>(|v| v as i32);
    check::<i64>(|v| v);
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    for (m, n, k) in [(300, 200, 700), (1, 4000, 900), (9, 3000, 600), (1000, 3, 500), (64, 64, 1000), (40, 900, 90)] {
        for (sb, half) in [((n, 1), false), ((1, k), false), ((1, k), true)] {
            let a: Vec<f32> = (0..m * k).map(|i| (i as f32 * 0.37).sin()).collect();
            let b: Vec<f32> = (0..k * n).map(|i| (i as f32 * 0.73).cos()).collect();
            let (ha, hb): (Vec<bf16>, Vec<bf16>) =
                (a.iter().map(|&v| bf16::from_f32(v)).collect(), b.iter().map(|&v| bf16::from_f32(v)).collect());
            let run = |threads: usize| {
                let mut c = vec![0f32; m * n];
                let mut hc = vec![bf16::ZERO; m * n];
                with_threads(threads, || unsafe {
                    let size = (m, n, k);
                    if half {
                        let (ma, mb) = (
                            Matrix { ptr: ha.as_ptr(), row: k, col: 1 },
                            Matrix { ptr: hb.as_ptr(), row: sb.0, col: sb.1 },
                        );
                        gemm::<bf16>(size, 1.0, ma, mb, 0.0, MatrixMut { ptr: hc.as_mut_ptr(), row: n, col: 1 }, None);
                    } else {
                        let (ma, mb) = (
                            Matrix { ptr: a.as_ptr(), row: k, col: 1 },
                            Matrix { ptr: b.as_ptr(), row: sb.0, col: sb.1 },
                        );
                        gemm::<f32>(size, 1.0, ma, mb, 0.0, MatrixMut { ptr: c.as_mut_ptr(), row: n, col: 1 }, None);
                    }
                });
                (c, hc)
            };
            // The level is held still while other tests change it.
            let same = with_level(level(), || run(1) == run(3)).expect("the level in use is available");
            assert!(same, "({m}, {n}, {k})");
        }
    }
}

#[test]
fn every_element_is_handed_over_once() {
    for (m, n, k) in [(1, 70, 30), (70, 1, 30), (50, 90, 20), (20, 75, 33), (9, 40, 200), (300, 100, 400), (3, 4, 0)] {
        for column_major in [false, true] {
            let (a, b, more) = (numbers::<f32>(m * k, 1), numbers::<f32>(k * n, 2), numbers::<f32>(m * n, 3));
            let sc = if column_major { (1, m) } else { (n, 1) };
            // The second matrix of a linear layer is turned.
            let sb = if m == 20 { (1, k) } else { (n, 1) };
            let want = reference((m, n, k), (&a, (k, 1)), (&b, sb), (1.0, 0.0), (&[], sc));
            let mut c = vec![f32::NAN; m * n];
            let (shape, strides, kernel) = ([m, n], [sc.0, sc.1], elementwise::testing::square_plus());
            let at = c.as_mut_ptr().cast::<u8>();
            let own = elementwise::Operand { ptr: at, strides: &strides };
            let operands = [own, elementwise::Operand { ptr: more.as_ptr().cast(), strides: &[n, 1] }];
            let targets = [elementwise::Target { ptr: at }];
            let then = Finisher::new(&kernel, (&shape, &strides), &operands, &[], &targets, (at, 4));
            let right = Matrix { ptr: b.as_ptr(), row: sb.0, col: sb.1 };
            let out = MatrixMut { ptr: at.cast(), row: sc.0, col: sc.1 };
            let left = Matrix { ptr: a.as_ptr(), row: k, col: 1 };
            for level in available() {
                let run = || unsafe { gemm::<f32>((m, n, k), 1.0, left, right, 0.0, out, Some(&then)) };
                with_level(level, run).expect("the level is available");
                for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
                    let x = want[i * n + j] as f32;
                    let expected = x * x + more[i * n + j];
                    // SAFETY: inside C, which nothing else holds now.
                    let got = unsafe { *at.cast::<f32>().add(i * sc.0 + j * sc.1) };
                    assert_eq!(got, expected, "({m}, {n}, {k}) at ({i}, {j}), {level:?}");
                }
            }
        }
    }
}

#[test]
fn operands_may_be_packed_on_the_fly() {
    for level in available() {
        with_level(level, || {
            for (m, n, k) in [(5, 40, 9), (33, 70, 100), (200, 300, 500)] {
                let entry_a = |i: usize, p: usize| ((i * 3 + p) % 5) as f32 - 2.0;
                let entry_b = |p: usize, j: usize| ((p * 2 + j * 3) % 7) as f32 - 3.0;
                let pack_a = |lanes: Range<usize>, depth: Range<usize>, width: usize, panel: &mut [f32]| {
                    for (q, p) in depth.enumerate() {
                        lanes.clone().enumerate().for_each(|(l, i)| panel[q * width + l] = entry_a(i, p));
                    }
                };
                let pack_b = |lanes: Range<usize>, depth: Range<usize>, width: usize, panel: &mut [f32]| {
                    for (q, p) in depth.enumerate() {
                        lanes.clone().enumerate().for_each(|(l, j)| panel[q * width + l] = entry_b(p, j));
                    }
                };
                let mut c = vec![f32::NAN; m * n];
                let (a, b) = (Operand::packed(&pack_a), Operand::packed(&pack_b));
                unsafe { gemm_with_packers((m, n, k), 1.0, a, b, 0.0, c.as_mut_ptr(), n) };
                for i in 0..m {
                    for j in 0..n {
                        let want: f32 = (0..k).map(|p| entry_a(i, p) * entry_b(p, j)).sum();
                        assert_eq!(c[i * n + j], want);
                    }
                }
            }
        });
    }
}

/// matmul of windows with the given batch sizes; size 1 in `a_batch` or `b_batch` broadcasts.
fn check_matmul<E: Element>(batch: &[usize], a_batch: &[usize], b_batch: &[usize], (m, n, k): (usize, usize, usize)) {
    let window = |own: &[usize], rows: usize, cols: usize| {
        let mut own_shape = own.to_vec();
        own_shape.extend([rows, cols]);
        let strides = crate::shape::Dims::from_slice(&own_shape).contiguous_strides();
        let strides: Vec<usize> = strides
            .iter()
            .enumerate()
            .map(|(d, &s)| if d < batch.len() && own[d] != batch[d] { 0 } else { s })
            .collect();
        let mut shape = batch.to_vec();
        shape.extend([rows, cols]);
        (shape, strides, own_shape.iter().product::<usize>())
    };
    let (a_shape, a_strides, a_len) = window(a_batch, m, k);
    let (b_shape, b_strides, b_len) = window(b_batch, k, n);
    let (c_shape, c_strides, c_len) = window(batch, m, n);
    let (a, b, mut c) = (numbers::<E>(a_len, 1), numbers::<E>(b_len, 2), numbers::<E>(c_len, 3));
    let wa = In { ptr: a.as_ptr().cast(), dtype: E::DTYPE, shape: &a_shape, strides: &a_strides };
    let wb = In { ptr: b.as_ptr().cast(), dtype: E::DTYPE, shape: &b_shape, strides: &b_strides };
    let mut wc = Out { ptr: c.as_mut_ptr().cast(), dtype: E::DTYPE, shape: &c_shape, strides: &c_strides };
    matmul(wa, wb, &mut wc, None).expect("the dtype is supported");
    let at = |index: &[usize], strides: &[usize]| index.iter().zip(strides).map(|(i, s)| i * s).sum::<usize>();
    let mut index = vec![0; batch.len()];
    for i in 0..if m * n == 0 { 0 } else { batch.iter().product::<usize>() } {
        let mut rest = i;
        for d in (0..batch.len()).rev() {
            index[d] = rest % batch[d];
            rest /= batch[d];
        }
        let (oa, ob, oc) = (at(&index, &a_strides), at(&index, &b_strides), at(&index, &c_strides));
        let want = reference((m, n, k), (&a[oa..], (k, 1)), (&b[ob..], (n, 1)), (1.0, 0.0), (&c[oc..], (n, 1)));
        for (j, w) in want.iter().enumerate() {
            assert!(c[oc + j].to_f64() == *w, "{:?} batch {batch:?} {a_batch:?} {b_batch:?} {m} {n} {k}", E::DTYPE);
        }
    }
}

#[test]
fn batches_broadcast_and_collapse() {
    let shapes: [(&[usize], &[usize], &[usize]); 7] = [
        (&[], &[], &[]),
        (&[4], &[4], &[4]),
        (&[4], &[4], &[1]),
        (&[4], &[1], &[4]),
        (&[2, 3], &[2, 3], &[1, 3]),
        (&[2, 3], &[2, 1], &[1, 1]),
        (&[30, 2], &[30, 2], &[1, 1]),
    ];
    for (batch, a, b) in shapes {
        for size in [(5, 6, 7), (1, 40, 8), (20, 1, 9), (33, 35, 30), (1, 1, 3), (0, 2, 3)] {
            check_matmul::<f32>(batch, a, b, size);
            check_matmul::<f16>(batch, a, b, size);
            check_matmul::<i64>(batch, a, b, size);
            check_matmul::<i8>(batch, a, b, (size.0, size.1, size.2.min(9)));
        }
    }
    check_matmul::<f32>(&[3], &[3], &[3], (120, 100, 110));
}

#[test]
fn not_a_number_spreads_only_where_it_belongs() {
    for level in available() {
        with_level(level, || {
            let (m, n, k) = (29, 67, 150);
            let mut b = numbers::<f32>(k * n, 2);
            b[3 * n + 66] = f32::NAN;
            let a = vec![1f32; m * k];
            let mut c = vec![0f32; m * n];
            unsafe {
                let (ma, mb) = (Matrix { ptr: a.as_ptr(), row: k, col: 1 }, Matrix { ptr: b.as_ptr(), row: n, col: 1 });
                gemm::<f32>((m, n, k), 1.0, ma, mb, 0.0, MatrixMut { ptr: c.as_mut_ptr(), row: n, col: 1 }, None);
            }
            for (i, v) in c.iter().enumerate() {
                assert_eq!(v.is_nan(), i % n == 66);
            }
        });
    }
}
