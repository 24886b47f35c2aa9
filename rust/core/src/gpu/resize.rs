//! Resizing of the last dims and its gradient.

use super::device::Gpu;
use super::memory;
use super::text::Text;
use super::view::View;
use super::window::{Planes, moved};
use crate::bail;
use crate::cpu::interpolate::Fixed;
use crate::dtype::DType;
use crate::error::Result;
use crate::params::{ResizeMode, ResizeParams};
use std::sync::Arc;

const AXES: &str = include_str!("../../../../shaders/window/resize.wgsl");
const NEAREST: &str = include_str!("../../../../shaders/window/resize_nearest.wgsl");
const WEIGHTED: &str = include_str!("../../../../shaders/window/resize_weighted.wgsl");
const BYTES: &str = include_str!("../../../../shaders/window/resize_bytes.wgsl");
const GRAD: &str = include_str!("../../../../shaders/window/resize_grad.wgsl");

/// What one axis does, as `shaders/window/resize.wgsl` numbers it.
struct Axis {
    kind: u32,
    scale: f32,
    support: f32,
    inverse: f32,
}

/// Input positions per output position when corners are not aligned.
fn area_scale(input: usize, output: usize, factor: Option<f64>) -> f32 {
    match factor {
        Some(f) if f > 0.0 => (1.0 / f) as f32,
        _ => input as f32 / output as f32,
    }
}

fn axis(p: &ResizeParams, a: usize, size: [usize; 3], osize: [usize; 3]) -> Axis {
    let (input, output, factor) = (size[a], osize[a], p.scale_factors[a].map(f64::from_bits));
    let nearest = |kind, factor| Axis { kind, scale: area_scale(input, output, factor), support: 1.0, inverse: 1.0 };
    if a < 3 - p.spatial {
        return nearest(0, None);
    }
    // PyTorch's kernel for small images copies equal sizes and doubles exactly, whatever factor was given.
    let exact = p.spatial == 2 && osize[1] + osize[2] <= 128 && (input == output || 2 * input == output);
    match p.mode {
        ResizeMode::Nearest => return nearest(0, factor.filter(|_| !exact)),
        ResizeMode::NearestExact => return nearest(1, factor),
        ResizeMode::Linear if input == output => return nearest(0, None),
        ResizeMode::Cubic if p.antialias && input == output => return nearest(0, None),
        _ => {}
    }
    let scale = match p.align_corners {
        false => area_scale(input, output, factor),
        true if output > 1 => (input as f32 - 1.0) / (output as f32 - 1.0),
        true => 0.0,
    };
    let cubic = p.mode == ResizeMode::Cubic;
    let kind = if p.antialias { 4 } else { 2 } + u32::from(cubic);
    let radius = if cubic { 2.0 } else { 1.0 };
    let shrinks = scale >= 1.0;
    let support = if shrinks { radius * scale } else { radius };
    Axis { kind, scale, support, inverse: if shrinks { 1.0 / scale } else { 1.0 } }
}

fn describe(planes: &mut Planes, p: &ResizeParams) {
    let axes = [0, 1, 2].map(|a| axis(p, a, planes.input, planes.output));
    let mut push = |first: u32, f: &dyn Fn(&Axis) -> u32| {
        planes.own.push([first, f(&axes[0]), f(&axes[1]), f(&axes[2])]);
    };
    push(u32::from(p.align_corners), &|a| a.kind);
    push(0, &|a| a.scale.to_bits());
    push(0, &|a| a.support.to_bits());
    push(0, &|a| a.inverse.to_bits());
}

/// Resizes x into y: nearest modes take every dtype, the others floats and uint8 (rounded to nearest).
pub fn resize(gpu: &Arc<Gpu>, p: &ResizeParams, x: &View, y: &View) -> Result<()> {
    let mut planes = Planes::onward(p.spatial, x, y);
    describe(&mut planes, p);
    if matches!(p.mode, ResizeMode::Nearest | ResizeMode::NearestExact) {
        let same = moved(x.dtype);
        let text = |t: Text| t.input("x", x.dtype, same).output("y", y.dtype, same);
        return planes.launch(gpu, "interpolate_nearest", vec![], text, &format!("{AXES}{NEAREST}"));
    }
    if x.dtype == DType::U8 {
        return resize_bytes(gpu, p, x, y);
    }
    if !x.dtype.is_float() {
        bail!(Runtime, "interpolate: mode {:?} is not implemented for {}", p.mode, x.dtype.scalar_name());
    }
    let text = |t: Text| t.input("x", x.dtype, DType::F32).output("y", y.dtype, DType::F32);
    planes.launch(gpu, "interpolate", vec![], text, &format!("{AXES}{WEIGHTED}"))
}

/// Images of bytes, with the whole weights of the CPU: which integer a sum is rounded to depends on the last bit of each.
fn resize_bytes(gpu: &Arc<Gpu>, p: &ResizeParams, x: &View, y: &View) -> Result<()> {
    let mut planes = Planes::onward(p.spatial, x, y);
    let axes = Fixed::axes(p, planes.input, planes.output);
    let mut table: Vec<i32> = Vec::new();
    let mut starts = [0; 3];
    for (start, axis) in starts.iter_mut().zip(&axes) {
        *start = table.len();
        if let Some(axis) = axis {
            table.extend(axis.sources.iter().zip(&axis.weights).flat_map(|(&s, &w)| [s as i32, w]));
        }
    }
    let of = |f: fn(&Fixed) -> usize| [0, 1, 2].map(|a| axes[a].as_ref().map_or(0, f));
    planes.axes(0, of(|a| a.taps));
    planes.axes(0, of(|a| a.bits as usize));
    planes.axes(0, starts);
    // A buffer holds at least a word.
    table.resize(table.len().max(1), 0);
    let bytes: Vec<u8> = table.iter().flat_map(|v| v.to_le_bytes()).collect();
    let memory = memory::allocate(gpu, bytes.len())?;
    gpu.upload(&memory, &bytes)?;
    let (shape, strides) = (vec![1; x.shape.len()], vec![0; x.shape.len()]);
    let z = View { memory: &memory, offset: 0, dtype: DType::I32, shape: &shape, strides: &strides, inline: None };
    planes.z = Some(&z);
    let text = |t: Text| {
        t.input("x", DType::U8, DType::I32).input("z", DType::I32, DType::I32).output("y", DType::U8, DType::I32)
    };
    planes.launch(gpu, "interpolate_bytes", vec![], text, BYTES)
}

/// The gradient of [`resize`] for floats.
pub fn resize_grad(gpu: &Gpu, p: &ResizeParams, grad: &View, y: &View) -> Result<()> {
    if !grad.dtype.is_float() {
        bail!(Runtime, "interpolate: the gradient is not implemented for {}", grad.dtype.scalar_name());
    }
    let mut planes = Planes::backward(p.spatial, grad, y);
    describe(&mut planes, p);
    let text = |t: Text| t.input("x", grad.dtype, DType::F32).output("y", y.dtype, DType::F32);
    planes.launch(gpu, "interpolate_backward", vec![], text, &format!("{AXES}{GRAD}"))
}
