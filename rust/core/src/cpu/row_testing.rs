//! What the tests of the row kernels share: tensors with windows, comparison, numeric differentiation.

use crate::cpu::simd;
use crate::cpu::view::{In, Out};
use crate::dtype::Element;
use crate::shape::Dims;

/// A contiguous tensor.
#[derive(Clone)]
pub struct Tensor<T> {
    pub data: Vec<T>,
    shape: Dims,
    strides: Dims,
}

impl<T: Element> Tensor<T> {
    pub fn new(data: Vec<f64>, shape: &[usize]) -> Self {
        let shape = Dims::from(shape);
        assert_eq!(data.len(), shape.numel());
        let strides = shape.contiguous_strides();
        Tensor { data: data.into_iter().map(T::from_f64).collect(), shape, strides }
    }
    pub fn zeros(shape: &[usize]) -> Self {
        Tensor::new(vec![0.0; shape.iter().product()], shape)
    }
    /// Numbers in (-2, 2) that depend on the seed.
    pub fn noise(seed: u64, shape: &[usize]) -> Self {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / (1u64 << 22) as f64 - 2.0
        };
        Tensor::new((0..shape.iter().product()).map(next).collect(), shape)
    }
    pub fn input(&self) -> In<'_> {
        In { ptr: self.data.as_ptr().cast(), dtype: T::DTYPE, shape: &self.shape, strides: &self.strides }
    }
    pub fn output(&mut self) -> Out<'_> {
        Out { ptr: self.data.as_mut_ptr().cast(), dtype: T::DTYPE, shape: &self.shape, strides: &self.strides }
    }
    pub fn values(&self) -> Vec<f64> {
        self.data.iter().map(|v| v.to_f64()).collect()
    }
}

/// Runs `f` at every instruction-set level this processor has.
pub fn at_every_level(f: impl Fn()) {
    for level in simd::available() {
        simd::with_level(level, &f).expect("the level is available");
    }
}

/// Equal up to `tolerance` relative to 1 + |expected|; NaN equals NaN.
pub fn assert_close(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (&a, &b)) in found.iter().zip(expected).enumerate() {
        let close = a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance * (1.0 + b.abs());
        assert!(close, "{what}: element {i} is {a}, not {b}");
    }
}

/// Asserts that `gradient` is the derivative at `x` of the dot product of `f` with `weights`, by central
/// differences.
pub fn assert_gradient(
    f: impl Fn(&Tensor<f64>) -> Tensor<f64>,
    x: &Tensor<f64>,
    weights: &Tensor<f64>,
    gradient: &Tensor<f64>,
    what: &str,
) {
    const STEP: f64 = 1e-5;
    let value = |x: &Tensor<f64>| f(x).data.iter().zip(&weights.data).map(|(a, b)| a * b).sum::<f64>();
    let numeric: Vec<f64> = (0..x.data.len())
        .map(|i| {
            let (mut up, mut down) = (x.clone(), x.clone());
            up.data[i] += STEP;
            down.data[i] -= STEP;
            (value(&up) - value(&down)) / (2.0 * STEP)
        })
        .collect();
    assert_close(&gradient.data, &numeric, 1e-7, what);
}
