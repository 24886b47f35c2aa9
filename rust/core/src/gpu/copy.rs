//! Writes through strided windows: a number everywhere, or the elements of another window of the same shape. Neighbours are
//! moved as one element of up to 16 bytes where they are neighbours in both windows.

use super::device::Gpu;
use super::elementwise;
use super::encoder::{Dispatch, WINDOW_ALIGNMENT, Window};
use super::memory;
use super::pipelines::Access;
use super::view::View;
use super::walk::{Walk, Words};
use super::wgsl::{assemble, declare, element_words};
use crate::dtype::DType;
use crate::error::Result;
use crate::shape::Dims;
use smallvec::SmallVec;
use std::sync::Arc;

const TEXT: &str = include_str!("../../../../shaders/copy.wgsl");
const WORKGROUP: usize = 256;
/// Bytes that an invocation moves at most.
const WIDEST: usize = 16;

/// Every element of the window becomes the number with these bits.
pub fn fill(gpu: &Gpu, target: &View, bits: u64, dtype: DType) -> Result<()> {
    let words = element_words(bits, dtype);
    let word = words[0];
    let pair = match dtype.size() {
        1 => [(word & 0xff) * 0x0101_0101; 2],
        2 => [(word & 0xffff) * 0x0001_0001; 2],
        4 => [word; 2],
        _ => words,
    };
    launch(gpu, target, None, pair)
}

/// The window becomes the source's elements, which may lie in the same memory.
pub fn copy(gpu: &Arc<Gpu>, target: &View, source: &View) -> Result<()> {
    if target.memory.id != source.memory.id {
        if elementwise::moves_faster(gpu, target, source) {
            return elementwise::move_all(gpu, target, source);
        }
        return launch(gpu, target, Some(source), [0; 2]);
    }
    let aside = memory::allocate(gpu, target.numel() * target.dtype.size())?;
    let strides = Dims::from_slice(target.shape).contiguous_strides();
    let between = View { memory: &aside, offset: 0, strides: &strides, ..*target };
    launch(gpu, &between, Some(source), [0; 2])?;
    launch(gpu, target, Some(&between), [0; 2])
}

fn launch(gpu: &Gpu, target: &View, source: Option<&View>, number: [u32; 2]) -> Result<()> {
    if target.numel() == 0 {
        return Ok(());
    }
    if !gpu.too_large(std::iter::once(target.memory).chain(source.map(|s| s.memory))) {
        return encode(gpu, target, source, number, &[]);
    }
    let views = || std::iter::once(target).chain(source);
    let windows: SmallVec<[Window; 2]> = views().map(window).collect();
    let Some(large) = views().zip(&windows).find(|(_, w)| w.1 > gpu.window_bytes()).map(|(v, _)| v) else {
        return encode(gpu, target, source, number, &windows);
    };
    // A shader cannot see all of this window at once: both halves along the dim that reaches furthest.
    let reach = |d: usize| (large.shape[d] - 1) * (large.strides[d] as isize).unsigned_abs();
    let dim = (0..large.shape.len()).max_by_key(|&d| reach(d)).unwrap_or(0);
    let middle = large.shape[dim] / 2;
    for (from, to) in [(0, middle), (middle, large.shape[dim])] {
        let mut shape = Dims::from_slice(target.shape);
        shape[dim] = to - from;
        let half = |v: &View| v.offset.wrapping_add(from.wrapping_mul(v.strides[dim]));
        let target = View { offset: half(target), shape: &shape, ..*target };
        let source = source.map(|s| View { offset: half(s), shape: &shape, ..*s });
        launch(gpu, &target, source.as_ref(), number)?;
    }
    Ok(())
}

fn window(v: &View) -> Window {
    touched(v.offset, v.shape, v.strides, v.dtype.size())
}

/// The stretch of its memory that a strided window of elements of a size touches. Strides may be negative.
pub fn touched(offset: usize, shape: &[usize], strides: &[usize], size: usize) -> Window {
    let (mut from, mut last) = (offset as isize, offset as isize);
    for (&d, &s) in shape.iter().zip(strides) {
        let way = (d as isize - 1) * s as isize;
        from += way.min(0);
        last += way.max(0);
    }
    let start = (from as usize * size) as u64 / WINDOW_ALIGNMENT * WINDOW_ALIGNMENT;
    (start, (((last as usize + 1) * size) as u64).next_multiple_of(4) - start)
}

fn encode(gpu: &Gpu, target: &View, source: Option<&View>, number: [u32; 2], windows: &[Window]) -> Result<()> {
    let size = target.dtype.size();
    let offset = |v: &View, k: usize| v.offset - windows.get(k).map_or(0, |w| w.0 as usize / size);
    let from = source.map_or(0, |s| offset(s, 1));
    let strides = [target.strides, source.unwrap_or(target).strides];
    let mut walk = Walk::new(target.shape, strides, [offset(target, 0), from]);
    let size = size * walk.widen::<2>(WIDEST / size);
    let n = walk.count();
    let mut p = Words::from_slice(&[n as u32, number[0], number[1]]);
    let places = walk.unrolled("places", p.len());
    walk.write(&mut p);
    let variant = ("copy_", vec![size as u32, u32::from(source.is_some()), walk.rank()]);
    let pipeline = gpu.pipeline(variant, || text(size, source.is_some(), &places))?;
    let mut buffers = vec![target.memory];
    buffers.extend(source.map(|s| s.memory));
    let groups = Gpu::grid(n.div_ceil(WORKGROUP));
    gpu.dispatch_windows(&Dispatch { pipeline: &pipeline, buffers: &buffers, parameters: &p, groups }, windows)
}

fn text(size: usize, tensor: bool, places: &str) -> (String, Vec<Access>) {
    // Elements smaller than a word share it with neighbours that another invocation writes.
    let (word, read_word) = match size {
        1..4 => ("atomic<u32>", "u32"),
        WIDEST => ("vec4<u32>", "vec4<u32>"),
        _ => ("u32", "u32"),
    };
    let mut t = String::new();
    declare(&mut t, 0, "target_words", word, true);
    let mut accesses = vec![Access::Write];
    let read = if tensor {
        declare(&mut t, 1, "source_words", read_word, false);
        accesses.push(Access::Read);
        match size {
            1 => "vec2<u32>((source_words[i >> 2u] >> (8u * (i & 3u))) & 0xffu, 0u)",
            2 => "vec2<u32>((source_words[i >> 1u] >> (16u * (i & 1u))) & 0xffffu, 0u)",
            4 => "vec2<u32>(source_words[i], 0u)",
            8 => "vec2<u32>(source_words[2u * i], source_words[2u * i + 1u])",
            _ => "source_words[i]",
        }
    } else {
        match size {
            1..=4 => "vec2<u32>(P(1u) & (0xffffffffu >> (32u - BITS)), 0u)",
            8 => "vec2<u32>(P(1u), P(2u))",
            _ => "vec4<u32>(P(1u), P(2u), P(1u), P(2u))",
        }
    };
    let write = match size {
        1 | 2 => {
            "    let shift = (i * BITS) & 31u;\n    let at = (i * BITS) >> 5u;\n    atomicAnd(&target_words[at], ~((0xffffffffu >> (32u - BITS)) << shift));\n    atomicOr(&target_words[at], v.x << shift);"
        }
        4 => "    target_words[i] = v.x;",
        16 => "    target_words[i] = v;",
        _ => "    target_words[2u * i] = v.x;\n    target_words[2u * i + 1u] = v.y;",
    };
    let value = if size == WIDEST { "vec4<u32>" } else { "vec2<u32>" };
    t.push_str(&format!("const BITS = {}u;\n", size * 8));
    t.push_str(&format!(
        "fn fetch(i: u32) -> {value} {{ return {read}; }}\nfn store(i: u32, v: {value}) {{\n{write}\n}}\n"
    ));
    t.push_str(places);
    t.push_str(TEXT);
    (assemble(&t), accesses)
}
