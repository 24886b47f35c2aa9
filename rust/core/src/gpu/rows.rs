//! What kernels over rows share: how many invocations take a row, and parameters with the axes of strided windows.

use super::device::Gpu;
use super::view::View;
use smallvec::SmallVec;

/// The text in front of a kernel over rows.
pub const ROWS: &str = include_str!("../../../../shaders/rows.wgsl");
pub const WORKGROUP: usize = 256;

/// Invocations that share a row of `n` elements. `across` says that neighbouring rows are neighbours in memory and the
/// elements of a row are not: then few share a row, so that neighbouring invocations still read neighbours.
pub fn lanes(rows: usize, n: usize, across: bool) -> usize {
    if across && rows >= WORKGROUP {
        return match n {
            2048.. if rows < 1 << 12 => 16,
            64.. if rows < 1 << 16 => 4,
            _ => 1,
        };
    }
    [256, 64, 16, 4].into_iter().find(|l| 2 * l <= n).unwrap_or(1)
}

/// The grid for rows of so many invocations.
pub fn grid(rows: usize, lanes: usize) -> [u32; 3] {
    Gpu::grid((rows * lanes).div_ceil(WORKGROUP))
}

/// A size and a stride.
pub type Axis = (usize, usize);

/// The axes of some dims of a view.
pub fn axes(x: &View, dims: impl IntoIterator<Item = usize>) -> SmallVec<[Axis; 6]> {
    dims.into_iter().map(|d| (x.shape[d], x.strides[d])).collect()
}

/// Whether the innermost of these axes has neighbours in memory.
pub fn dense_inside(axes: &[Axis]) -> bool {
    axes.iter().rfind(|a| a.0 != 1).is_some_and(|a| a.1 == 1)
}

/// The words of a kernel's parameters: a header of fixed length, then the axes that it points to.
pub struct Parameters {
    words: SmallVec<[u32; 64]>,
}

impl Parameters {
    pub fn new(header: &[usize]) -> Parameters {
        Parameters { words: header.iter().map(|&w| w as u32).collect() }
    }
    pub fn set(&mut self, slot: usize, value: usize) {
        self.words[slot] = value as u32;
    }
    pub fn words(&self) -> &[u32] {
        &self.words
    }
    /// Appends offset, count, sizes and strides of axes, those joined that can be walked as one, and returns where they stand.
    pub fn axes(&mut self, offset: usize, axes: &[Axis]) -> usize {
        let mut joined: SmallVec<[Axis; 6]> = SmallVec::new();
        for &(size, stride) in axes.iter().filter(|a| a.0 != 1) {
            match joined.last_mut() {
                Some(last) if last.1 == stride.wrapping_mul(size) => *last = (last.0 * size, stride),
                _ => joined.push((size, stride)),
            }
        }
        let at = self.words.len();
        self.words.extend([offset as u32, joined.len() as u32]);
        self.words.extend(joined.iter().map(|a| a.0 as u32));
        self.words.extend(joined.iter().map(|a| a.1 as u32));
        at
    }
    /// As `axes`, the place written to word `slot` of the header.
    pub fn point(&mut self, slot: usize, offset: usize, axes: &[Axis]) {
        self.words[slot] = self.axes(offset, axes) as u32;
    }
    /// All dims of a window.
    pub fn window(&mut self, slot: usize, x: &View) {
        self.point(slot, x.offset, &axes(x, 0..x.shape.len()));
    }
    pub fn set_float(&mut self, slot: usize, value: f64) {
        self.words[slot] = (value as f32).to_bits();
    }
}
