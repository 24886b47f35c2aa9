//! Every pass against float64, which keeps to the definition.

use super::{Windows, forward, input_grad, weight_grad};
use crate::cpu::conv::{Geometry, Pass, compute};
use crate::cpu::simd;

/// Many channels, so that the algorithm pays; sizes are odd and even, the padding up to more than the kernel.
fn geometries() -> Vec<Geometry> {
    let square = |size: [usize; 3], kernel: [usize; 3], padding: [usize; 3], groups: usize| {
        let output = [0, 1, 2].map(|a| size[a] + 2 * padding[a] + 1 - kernel[a]);
        Geometry {
            batch: 3,
            groups,
            channels: 20 * groups,
            rows: 33 * groups,
            input: size,
            output,
            kernel,
            stride: [1; 3],
            padding,
            dilation: [1; 3],
        }
    };
    let deep = square([7, 8, 9], [3, 3, 3], [1, 1, 1], 1);
    let strided = Geometry { stride: [2, 1, 1], output: [4, 8, 9], ..deep.clone() };
    vec![
        square([1, 16, 16], [1, 3, 3], [0, 1, 1], 1),
        square([1, 17, 35], [1, 3, 3], [0, 1, 1], 2),
        square([1, 9, 6], [1, 3, 3], [0, 0, 0], 1),
        square([1, 13, 15], [1, 3, 3], [0, 3, 2], 1),
        square([1, 1, 97], [1, 1, 3], [0, 0, 1], 1),
        square([1, 6, 40], [1, 1, 3], [0, 0, 2], 2),
        deep,
        strided,
    ]
}

fn noise(n: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        f64::from((state >> 40) as f32 / (1u32 << 23) as f32 - 1.0)
    };
    std::iter::repeat_with(next).take(n).collect()
}

fn single(x: &[f64]) -> Vec<f32> {
    x.iter().map(|&v| v as f32).collect()
}

/// Elements of the input, the weights and the output.
fn lengths(g: &Geometry) -> [usize; 3] {
    let volume = |size: [usize; 3]| size.iter().product::<usize>();
    [
        g.batch * g.channels * volume(g.input),
        g.rows * g.group_channels() * g.taps(),
        g.batch * g.rows * volume(g.output),
    ]
}

#[test]
fn every_pass_agrees_with_float64() {
    for level in simd::available() {
        simd::with_level(level, || {
            for g in geometries() {
                let [nx, nw, ny] = lengths(&g);
                let (x, w, y) = (noise(nx, 1), noise(nw, 2), noise(ny, 3));
                for (pass, a, b, n) in
                    [(Pass::Forward, &x, &w, ny), (Pass::InputGrad, &y, &w, nx), (Pass::WeightGrad, &x, &y, nw)]
                {
                    let (mut want, mut got) = (vec![0f64; n], vec![7f32; n]);
                    compute(pass, &g, a, b, None, &mut want, None);
                    compute(pass, &g, &single(a), &single(b), None, &mut got, None);
                    let scale = want.iter().fold(0f64, |m, v| m.max(v.abs()));
                    for (i, (g, w)) in got.iter().zip(&want).enumerate() {
                        assert!((f64::from(*g) - w).abs() <= 2e-6 * scale, "{level:?} element {i}: {g}, expected {w}");
                    }
                }
            }
        });
    }
}

#[test]
fn these_shapes_take_the_algorithm() {
    for g in geometries() {
        let [nx, nw, ny] = lengths(&g);
        let (x, w, y) = (single(&noise(nx, 1)), single(&noise(nw, 2)), single(&noise(ny, 3)));
        assert!(forward(&g, &x, &w, None, &mut vec![0f32; ny]), "forward {g:?}");
        assert!(g.phases().all(|p| input_grad(&g, p, &y, &w, None, &mut vec![0f32; nx])), "input {g:?}");
        // Transforming the sums of few tiles costs more than their products save.
        let many = g.output.iter().product::<usize>() > 64;
        assert_eq!(weight_grad(&g, &x, &y, &mut vec![0f32; nw]), many, "weights {g:?}");
    }
    let strided = Geometry { stride: [1, 2, 2], output: [1, 8, 8], ..geometries().swap_remove(0) };
    assert!(Windows::of_forward(&strided).is_none());
}

#[test]
fn whole_numbers_give_exact_results_and_nan_stays_in_its_windows() {
    let g = geometries().swap_remove(0);
    let [nx, nw, ny] = lengths(&g);
    let whole = |n: usize, seed: u64| noise(n, seed).iter().map(|v| (v * 8.0).round()).collect::<Vec<_>>();
    let (mut x, w) = (whole(nx, 1), whole(nw, 2));
    x[5 * 16 + 7] = f64::NAN;
    let (mut want, mut got) = (vec![0f64; ny], vec![7f32; ny]);
    compute(Pass::Forward, &g, &x, &w, None, &mut want, None);
    compute(Pass::Forward, &g, &single(&x), &single(&w), None, &mut got, None);
    let equal = |(g, w): (&f32, &f64)| f64::from(*g) == *w || g.is_nan() && w.is_nan();
    assert!(got.iter().zip(&want).all(equal));
    assert_eq!(got.iter().filter(|v| v.is_nan()).count(), 9 * g.rows);
}
