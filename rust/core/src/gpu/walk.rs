//! Launches with an invocation per element, and how such an invocation finds its places in strided windows.

use super::device::Gpu;
use super::encoder::Dispatch;
use super::memory::Allocation;
use super::text::Text;
use super::view::View;
use crate::dtype::DType;
use crate::error::Result;
use smallvec::SmallVec;
use std::fmt::Write;

const EACH: &str = include_str!("../../../../shaders/each.wgsl");
const WORKGROUP: usize = 256;

/// The words of a kernel's parameters.
pub type Words = SmallVec<[u32; 64]>;

/// Up to three windows over common dims, neighbouring dims joined where all can be walked as one (`walk3` in WGSL).
#[derive(Default)]
pub struct Walk {
    dims: SmallVec<[(usize, [usize; 3]); 6]>,
    offsets: [usize; 3],
}

impl Walk {
    pub fn new<const K: usize>(shape: &[usize], strides: [&[usize]; K], offsets: [usize; K]) -> Walk {
        let mut w = Walk::default();
        w.offsets[..K].copy_from_slice(&offsets);
        for (d, &size) in shape.iter().enumerate() {
            let mut own = [0; 3];
            (0..K).for_each(|k| own[k] = strides[k][d]);
            match w.dims.last_mut() {
                _ if size == 1 => {}
                Some(last) if (0..3).all(|k| last.1[k] == own[k].wrapping_mul(size)) => *last = (last.0 * size, own),
                _ => w.dims.push((size, own)),
            }
        }
        w
    }

    /// The elements of one window.
    pub fn of(x: &View) -> Walk {
        Walk::new(x.shape, [x.strides], [x.offset])
    }

    /// Takes so many neighbours as one element, at most `most` (a power of two) and only where that is so in every window;
    /// says how many.
    pub fn widen<const K: usize>(&mut self, most: usize) -> usize {
        let Some(((size, _), outer)) = self.dims.split_last_mut().filter(|(d, _)| d.1[..K] == [1; K]) else {
            return 1;
        };
        let mut steps: SmallVec<[usize; 16]> = SmallVec::from_slice(&self.offsets[..K]);
        steps.push(*size);
        steps.extend(outer.iter().flat_map(|d| d.1[..K].iter().copied()));
        // The largest power of two that divides all.
        let shared = steps.iter().fold(most, |all, step| all | step);
        let by = 1 << shared.trailing_zeros();
        let narrow = |stride: &mut usize| *stride = (*stride as isize / by as isize) as usize;
        self.offsets[..K].iter_mut().for_each(narrow);
        outer.iter_mut().for_each(|d| d.1[..K].iter_mut().for_each(narrow));
        *size /= by;
        by
    }

    /// Elements, as they are taken.
    pub fn count(&self) -> usize {
        self.dims.iter().map(|d| d.0).product()
    }

    pub fn write(&self, p: &mut Words) {
        p.push(self.dims.len() as u32);
        p.extend(self.offsets.iter().map(|&o| o as u32));
        for (size, strides) in &self.dims {
            p.push(*size as u32);
            p.extend(strides.iter().map(|&s| s as u32));
        }
    }
}

impl Walk {
    pub fn rank(&self) -> u32 {
        self.dims.len() as u32
    }

    /// As `walk3` for two windows, without a loop: a function of this name for a walk that stands at this word.
    pub fn unrolled(&self, name: &str, at: usize) -> String {
        let mut t = format!("fn {name}(i: u32) -> vec2<u32> {{\n    var rest = i;\n");
        let pair = |word: usize| format!("vec2<u32>(P({word}u), P({}u))", word + 1);
        let _ = writeln!(t, "    var places = {};", pair(at + 1));
        for d in (1..self.dims.len()).rev() {
            let word = at + 4 * (d + 1);
            let _ = writeln!(t, "    let q{d} = rest / P({word}u);");
            let _ = writeln!(t, "    places += (rest - q{d} * P({word}u)) * {};\n    rest = q{d};", pair(word + 1));
        }
        if !self.dims.is_empty() {
            let _ = writeln!(t, "    places += rest * {};", pair(at + 5));
        }
        t + "    return places;\n}\n"
    }
}

/// A list without one of its entries, if it has that.
pub fn without(list: &[usize], dim: usize) -> SmallVec<[usize; 6]> {
    list.iter().enumerate().filter(|&(d, _)| d != dim).map(|(_, &v)| v).collect()
}

/// A list with 0 for one of its entries.
pub fn zeroed(list: &[usize], dim: usize) -> SmallVec<[usize; 6]> {
    list.iter().enumerate().map(|(d, &v)| if d == dim { 0 } else { v }).collect()
}

/// A list with one of its entries moved to the end.
pub fn moved_last(list: &[usize], dim: usize) -> SmallVec<[usize; 6]> {
    let mut moved = without(list, dim);
    moved.extend(list.get(dim).copied());
    moved
}

/// The integer type that carries the bits of a dtype through a kernel which only moves them.
pub const fn raw(dtype: DType) -> DType {
    match dtype.size() {
        1 => DType::U8,
        2 => DType::I16,
        4 => DType::I32,
        _ => DType::I64,
    }
}

/// Runs `each(i)` of the text and body for every i below `p[0]`. The key names what the text depends on.
pub fn each(
    gpu: &Gpu,
    (name, key): (&'static str, &[u32]),
    buffers: &[&Allocation],
    p: &[u32],
    text: impl FnOnce() -> (Text, &'static str),
) -> Result<()> {
    let n = p[0] as usize;
    if n == 0 {
        return Ok(());
    }
    let pipeline = gpu.pipeline((name, key.to_vec()), || {
        let (text, body) = text();
        text.finish(&format!("{body}{EACH}"))
    })?;
    gpu.dispatch(&Dispatch { pipeline: &pipeline, buffers, parameters: p, groups: Gpu::grid(n.div_ceil(WORKGROUP)) })
}
