//! Decompositions and triangular systems on the GPU: against the CPU where results are unique, by their definition where not.

use corten_core::device::Device;
use corten_core::dtype::DType;
use corten_core::gpu::adapters;
use corten_core::ops::create::from_slice;
use corten_core::ops::device::{on_host, to_device};
use corten_core::ops::elementwise::cast;
use corten_core::ops::{linalg, matmul, view};
use corten_core::tensor::Tensor;

fn missing() -> bool {
    adapters::count() == 0
}

fn noise(seed: usize, shape: &[usize]) -> Tensor {
    let n: usize = shape.iter().product();
    // Far from singular, unlike numbers of a linear congruence.
    let at = |i: usize| ((i as f64 * 12.9898 + seed as f64 * 78.233).sin() * 43758.5453).rem_euclid(4.0) as f32 - 2.0;
    let values: Vec<f32> = (0..n).map(at).collect();
    view::reshape(&from_slice(&values).expect("tensor"), shape).expect("shape")
}

fn floats(t: &Tensor) -> Vec<f64> {
    let t = on_host(t).and_then(|t| corten_core::ops::contiguous(&t)).and_then(|t| cast(&t, DType::F64)).expect("read");
    let b = corten_core::exec::materialize(&t).expect("values");
    // SAFETY: contiguous float64 elements.
    unsafe { std::slice::from_raw_parts(b.ptr().cast::<f64>(), t.numel()) }.to_vec()
}

fn gpu(t: &Tensor) -> Tensor {
    to_device(t, Device::Gpu(0)).expect("upload")
}

fn t(x: &Tensor) -> Tensor {
    view::transpose(x, -2, -1).expect("transpose")
}

fn product(a: &Tensor, b: &Tensor) -> Tensor {
    matmul::matmul(&on_host(a).expect("host"), &on_host(b).expect("host")).expect("product")
}

fn close(what: &str, a: &Tensor, b: &Tensor, tolerance: f64) {
    assert_eq!(a.shape(), b.shape(), "{what}");
    let (a, b) = (floats(a), floats(b));
    let size = b.iter().fold(1.0f64, |m, v| m.max(v.abs()));
    for (i, (x, y)) in a.iter().zip(&b).enumerate() {
        assert!((x - y).abs() <= tolerance * size, "{what}: element {i}: {x} and {y}");
    }
}

fn identity(n: usize) -> Tensor {
    let values: Vec<f32> = (0..n * n).map(|i| if i % (n + 1) == 0 { 1.0 } else { 0.0 }).collect();
    view::reshape(&from_slice(&values).expect("tensor"), &[n, n]).expect("shape")
}

const SHAPES: [&[usize]; 7] = [&[1, 1], &[5, 5], &[3, 7, 4], &[2, 4, 9], &[70, 35], &[2, 20, 20], &[3, 0]];

#[test]
fn qr_is_that_of_the_cpu() {
    if missing() {
        return;
    }
    for shape in SHAPES {
        for mode in ["reduced", "complete", "r"] {
            let a = noise(1, shape);
            let (q, r) = linalg::qr(&gpu(&a), mode).expect("qr");
            let (cpu_q, cpu_r) = linalg::qr(&a, mode).expect("qr");
            close(&format!("R of {shape:?} {mode}"), &r, &cpu_r, 2e-5);
            close(&format!("Q of {shape:?} {mode}"), &q, &cpu_q, 2e-4);
        }
    }
    // A strided input, and a column that depends on another.
    let a = noise(2, &[6, 4]);
    close(
        "R of a transpose",
        &linalg::qr(&t(&gpu(&a)), "r").expect("qr").1,
        &linalg::qr(&t(&a), "r").expect("qr").1,
        2e-5,
    );
    let zero = from_slice(&[0.0f32; 12]).expect("zeros");
    let zero = view::reshape(&zero, &[4, 3]).expect("shape");
    close(
        "Q of zeros",
        &linalg::qr(&gpu(&zero), "reduced").expect("qr").0,
        &linalg::qr(&zero, "reduced").expect("qr").0,
        1e-6,
    );
}

#[test]
fn triangular_systems() {
    if missing() {
        return;
    }
    for (n, sides) in [(1, 1), (5, 3), (40, 17), (33, 40)] {
        let a = noise(1, &[2, n, n]).add(&identity(n).mul(3.0 * n as f64).expect("mul")).expect("add");
        for (upper, left, unit) in
            (0..8).map(|k| (k & 1 != 0, k & 2 != 0, k & 4 != 0)).filter(|&(_, _, unit)| !unit || n < 8)
        {
            let b = if left { noise(2, &[2, n, sides]) } else { noise(2, &[1, sides, n]) };
            let solve = |a: &Tensor, b: &Tensor| linalg::solve_triangular(a, b, upper, left, unit).expect("solve");
            let what = format!("{n} {sides} upper {upper} left {left} unit {unit}");
            close(&what, &solve(&gpu(&a), &gpu(&b)), &solve(&a, &b), 1e-4);
            close(&what, &solve(&t(&gpu(&a)), &gpu(&b)), &solve(&t(&a), &b), 1e-4);
        }
    }
}

#[test]
fn singular_values_and_vectors() {
    if missing() {
        return;
    }
    for shape in SHAPES {
        let a = noise(3, shape);
        let values = linalg::svdvals(&a).expect("svdvals");
        close(&format!("values of {shape:?}"), &linalg::svdvals(&gpu(&a)).expect("svdvals"), &values, 2e-5);
        for full in [false, true] {
            let [u, s, vt] = linalg::svd(&gpu(&a), full).expect("svd");
            let what = format!("{shape:?} full {full}");
            close(&what, &s, &values, 2e-5);
            let unit = |x: &Tensor| {
                let gram = product(&t(x), x);
                let wide = view::expand(&identity(x.shape()[x.rank() - 1]), gram.shape()).expect("expand");
                close(&format!("orthogonal vectors of {what}"), &gram, &wide, 2e-5);
            };
            unit(&u);
            unit(&t(&vt));
            let k = s.shape()[s.rank() - 1];
            let rank = u.rank();
            let (u, vt) = (on_host(&u).expect("host"), on_host(&vt).expect("host"));
            let narrow = |x: &Tensor, dim: usize| view::slice(x, dim, 0, k, 1).expect("slice");
            let scaled = narrow(&u, rank - 1).mul(&view::unsqueeze(&on_host(&s).expect("host"), -2).expect("row"));
            close(&format!("product of {what}"), &product(&scaled.expect("mul"), &narrow(&vt, rank - 2)), &a, 2e-5);
        }
    }
    // Of rank 1.
    let a = product(&noise(4, &[6, 1]), &noise(5, &[1, 4]));
    let [u, s, vt] = linalg::svd(&gpu(&a), true).expect("svd");
    close("values of rank 1", &s, &linalg::svdvals(&a).expect("svdvals"), 1e-5);
    close("vectors of rank 1", &product(&t(&u), &u), &identity(6), 2e-5);
    close("vectors of rank 1", &product(&vt, &t(&vt)), &identity(4), 2e-5);
}
