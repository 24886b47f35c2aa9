//! Ramps, and joining tensors.

use super::copy;
use super::device::Gpu;
use super::text::Text;
use super::view::View;
use super::walk::each;
use crate::dtype::DType;
use crate::error::Result;
use std::sync::Arc;

const ARANGE: &str = include_str!("../../../../shaders/arange.wgsl");

/// start + step·i; the numbers are float64 or int64 as the output is a float or an integer.
pub fn arange(gpu: &Gpu, start: u64, step: u64, y: &View) -> Result<()> {
    let (n, float) = (y.numel(), y.dtype.is_float());
    let (mut a, mut s, mut scale) = (start as i64, step as i64, 0.0f32);
    if float {
        let (from, by) = (f64::from_bits(start), f64::from_bits(step));
        // No value on the way reaches 2^62 in units of 2^-fraction.
        let most = from.abs() + by.abs() * n as f64;
        let fraction = if most > 0.0 { (61 - most.log2().floor() as i32).min(1000) } else { 0 };
        let unit = f64::from(2).powi(fraction);
        (a, s, scale) = ((from * unit).round() as i64, (by * unit).round() as i64, -fraction as f32);
    }
    let p = [n as u32, a as u32, (a >> 32) as u32, s as u32, (s >> 32) as u32, scale.to_bits()];
    each(gpu, ("arange", &[y.dtype as u32]), &[y.memory], &p, || {
        let (dtype, result) = match float {
            true => (DType::F32, "fn result(v: I64) -> f32 { return f_ldexp(i64_to_f32(v), bitcast<f32>(P(5u))); }"),
            false => (DType::I64, "fn result(v: I64) -> I64 { return v; }"),
        };
        (Text::new().output("y", y.dtype, dtype).line(result), ARANGE)
    })
}

/// Joins along a dim: every input is copied into its part of the output.
pub fn cat(gpu: &Arc<Gpu>, dim: usize, ins: &[View], y: &View) -> Result<()> {
    let mut start = 0;
    for x in ins {
        let part = View { offset: y.offset + start * y.strides[dim], shape: x.shape, ..*y };
        copy::copy(gpu, &part, x)?;
        start += x.shape[dim];
    }
    Ok(())
}
