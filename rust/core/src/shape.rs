//! Dimension lists, strided layouts and the arithmetic of views and broadcasting.

use crate::error::{Error, Result};
use crate::{bail, ensure};
use smallvec::SmallVec;
use std::fmt;
use std::ops::{Deref, DerefMut};

/// A list of sizes or strides; up to six stay inline.
#[derive(PartialEq, Eq, Hash, Default)]
pub struct Dims(SmallVec<[usize; 6]>);

impl Dims {
    #[inline]
    pub fn new() -> Self {
        Dims(SmallVec::new())
    }
    #[inline]
    pub fn from_slice(s: &[usize]) -> Self {
        Dims(SmallVec::from_slice(s))
    }
    #[inline]
    pub fn filled(value: usize, len: usize) -> Self {
        Dims(SmallVec::from_elem(value, len))
    }
    #[inline]
    pub fn push(&mut self, v: usize) {
        self.0.push(v);
    }
    pub fn pop(&mut self) -> Option<usize> {
        self.0.pop()
    }
    pub fn insert(&mut self, at: usize, v: usize) {
        self.0.insert(at, v);
    }
    pub fn remove(&mut self, at: usize) -> usize {
        self.0.remove(at)
    }
    /// The product of all sizes, 1 for a scalar; the largest number where it is larger.
    #[inline]
    pub fn numel(&self) -> usize {
        self.0.iter().fold(1, |n: usize, &size| n.saturating_mul(size))
    }
    /// [`Dims::numel`] of sizes that are given: refused where no number of PyTorch's holds it. A tensor that takes memory is
    /// counted when it is recorded; views that make more of a tensor call this.
    pub fn checked_numel(&self) -> Result<usize> {
        let numel = self.numel();
        ensure!(
            numel <= i64::MAX as usize,
            Runtime,
            "numel: integer multiplication overflow, sizes {self} have more elements than can be counted"
        );
        Ok(numel)
    }
    /// Row-major strides of this shape; sizes 0 and 1 count as 1, as in PyTorch.
    #[inline]
    pub fn contiguous_strides(&self) -> Dims {
        let mut strides = Dims::filled(1, self.len());
        let mut acc = 1usize;
        for i in (0..self.len()).rev() {
            strides[i] = acc;
            acc = acc.saturating_mul(self[i].max(1));
        }
        strides
    }
}

impl Clone for Dims {
    #[inline]
    fn clone(&self) -> Self {
        Dims(SmallVec::from_slice(&self.0))
    }
}

impl Deref for Dims {
    type Target = [usize];
    #[inline]
    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl DerefMut for Dims {
    #[inline]
    fn deref_mut(&mut self) -> &mut [usize] {
        &mut self.0
    }
}

impl FromIterator<usize> for Dims {
    fn from_iter<I: IntoIterator<Item = usize>>(iter: I) -> Self {
        Dims(iter.into_iter().collect())
    }
}

impl From<&[usize]> for Dims {
    fn from(s: &[usize]) -> Self {
        Dims::from_slice(s)
    }
}

impl<const N: usize> From<[usize; N]> for Dims {
    fn from(s: [usize; N]) -> Self {
        Dims::from_slice(&s)
    }
}

/// Prints as PyTorch does: `[2, 3]`.
impl fmt::Display for Dims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &self.0[..])
    }
}

impl fmt::Debug for Dims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How a view addresses its storage: element `i` lives at `offset + Σ i[d]·strides[d]`, counted in elements.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Layout {
    pub shape: Dims,
    pub strides: Dims,
    pub offset: usize,
}

impl Layout {
    /// Of the parts of the complex elements that lie here: a last dim of two.
    pub fn paired(&self) -> Layout {
        let mut out = self.clone();
        out.strides.iter_mut().for_each(|s| *s = s.wrapping_mul(2));
        out.offset *= 2;
        out.shape.push(2);
        out.strides.push(1);
        out
    }

    /// Of the complex elements whose parts lie here, if the last dim holds pairs.
    pub fn unpaired(&self) -> Option<Layout> {
        let mut out = self.clone();
        let (size, stride) = (out.shape.pop()?, out.strides.pop()?);
        if size != 2 || stride != 1 || !out.offset.is_multiple_of(2) || out.strides.iter().any(|s| !s.is_multiple_of(2))
        {
            return None;
        }
        out.strides.iter_mut().for_each(|s| *s /= 2);
        out.offset /= 2;
        Some(out)
    }

    #[inline]
    pub fn contiguous(shape: Dims) -> Self {
        let strides = shape.contiguous_strides();
        Layout { shape, strides, offset: 0 }
    }
    /// Dense, with the channel dim innermost (`memory_format=torch.channels_last`).
    pub fn channels_last(shape: Dims) -> Self {
        let rank = shape.len();
        let mut strides = Dims::filled(1, rank);
        let mut step = 1;
        for d in std::iter::once(1).chain((2..rank).rev()).chain([0]).filter(|&d| d < rank) {
            strides[d] = step;
            step *= shape[d].max(1);
        }
        Layout { shape, strides, offset: 0 }
    }
    /// Whether operators on (N, C, …) that follow their input's format give a channels-last result: strides grow in the
    /// order C, spatial, N. Where sizes of 1 leave it open, row-major wins, as in PyTorch.
    pub fn suggests_channels_last(&self) -> bool {
        let rank = self.rank();
        if rank < 3 {
            return false;
        }
        let mut least = 0;
        for d in std::iter::once(1).chain((2..rank).rev()).chain([0]) {
            let (size, stride) = (self.shape[d], self.strides[d]);
            if size == 0 || stride < least || (d == 0 && least == self.strides[1]) {
                return false;
            }
            least = stride * size;
        }
        true
    }
    /// A dense layout of `shape` in the format that `self`, an input of (N, C, …), suggests.
    pub fn format_for(&self, shape: Dims) -> Layout {
        if self.suggests_channels_last() && shape.len() == self.rank() {
            Layout::channels_last(shape)
        } else {
            Layout::contiguous(shape)
        }
    }
    #[inline]
    pub fn rank(&self) -> usize {
        self.shape.len()
    }
    #[inline]
    pub fn numel(&self) -> usize {
        self.shape.numel()
    }
    /// Whether the elements lie in row-major order without gaps (the offset may be any).
    #[inline]
    pub fn is_contiguous(&self) -> bool {
        let mut expect = 1usize;
        for d in (0..self.rank()).rev() {
            let size = self.shape[d];
            if size == 0 {
                return true;
            }
            if size != 1 {
                if self.strides[d] != expect {
                    return self.shape.contains(&0);
                }
                expect *= size;
            }
        }
        true
    }
    /// Whether this is exactly what [`Layout::contiguous`] gives: from offset 0, with the usual strides of size-1 dims.
    #[inline]
    pub fn is_row_major(&self) -> bool {
        let mut expect = 1usize;
        for d in (0..self.rank()).rev() {
            if self.strides[d] != expect {
                return false;
            }
            expect *= self.shape[d].max(1);
        }
        self.offset == 0
    }
    /// Whether four dims (N, C, H, W) lie in memory as N, H, W, C without gaps.
    pub fn is_channels_last(&self) -> bool {
        let mut expect = 1usize;
        self.rank() == 4
            && [1, 3, 2, 0].iter().all(|&d| {
                let fits = self.shape[d] == 1 || self.strides[d] == expect;
                expect *= self.shape[d];
                fits
            })
    }
    /// Whether the elements fill one block without gaps or overlap, in any dimension order.
    pub fn is_dense(&self) -> bool {
        let mut dims: SmallVec<[(usize, usize); 6]> =
            (0..self.rank()).filter(|&d| self.shape[d] != 1).map(|d| (self.strides[d], self.shape[d])).collect();
        if self.numel() == 0 {
            return true;
        }
        dims.sort_unstable();
        let mut expect = 1usize;
        for (stride, size) in dims {
            if stride != expect {
                return false;
            }
            expect *= size;
        }
        true
    }
    /// Whether two indices may address one element (PyTorch's check before in-place writes: zero strides of sizes over 1).
    pub fn has_internal_overlap(&self) -> bool {
        !self.shape.contains(&0) && (0..self.rank()).any(|d| self.strides[d] == 0 && self.shape[d] > 1)
    }
    /// One past the highest element addressed, counted from the storage's start.
    pub fn end(&self) -> usize {
        if self.numel() == 0 {
            return self.offset;
        }
        let last = (0..self.rank())
            .fold(self.offset, |last, d| last.saturating_add((self.shape[d] - 1).saturating_mul(self.strides[d])));
        last.saturating_add(1)
    }
    pub fn permute(&self, order: &[usize]) -> Layout {
        Layout {
            shape: order.iter().map(|&d| self.shape[d]).collect(),
            strides: order.iter().map(|&d| self.strides[d]).collect(),
            offset: self.offset,
        }
    }
    /// The layout read as `shape` with zero strides where sizes are repeated; `None` if the shapes do not broadcast.
    pub fn broadcast_to(&self, shape: &[usize]) -> Option<Layout> {
        if shape.len() < self.rank() {
            return None;
        }
        let lead = shape.len() - self.rank();
        let mut strides = Dims::filled(0, shape.len());
        for d in 0..self.rank() {
            if self.shape[d] == shape[lead + d] {
                strides[lead + d] = self.strides[d];
            } else if self.shape[d] != 1 {
                return None;
            }
        }
        Some(Layout { shape: Dims::from_slice(shape), strides, offset: self.offset })
    }
    /// The strides with which `shape` views the same elements without a copy; `None` when a copy is needed (`Tensor.view`).
    pub fn reshape(&self, shape: &[usize]) -> Option<Layout> {
        if self.numel() == 0 {
            let shape = Dims::from_slice(shape);
            let strides = if shape == self.shape { self.strides.clone() } else { shape.contiguous_strides() };
            return Some(Layout { shape, strides, offset: self.offset });
        }
        // Walk both shapes from the right, matching chunks of old dims that are mutually contiguous.
        let mut strides = Dims::filled(0, shape.len());
        let mut view_d = shape.len();
        let mut chunk_stride = self.strides.last().copied().unwrap_or(1);
        let (mut tensor_numel, mut view_numel) = (1usize, 1usize);
        if self.rank() == 0 {
            return Some(Layout {
                shape: Dims::from_slice(shape),
                strides: Dims::filled(1, shape.len()),
                offset: self.offset,
            });
        }
        for d in (0..self.rank()).rev() {
            tensor_numel *= self.shape[d];
            let chunk_ends = d == 0 || (self.shape[d - 1] != 1 && self.strides[d - 1] != tensor_numel * chunk_stride);
            if chunk_ends {
                while view_d > 0 && (view_numel < tensor_numel || shape[view_d - 1] == 1) {
                    view_d -= 1;
                    strides[view_d] = view_numel * chunk_stride;
                    view_numel *= shape[view_d];
                }
                if view_numel != tensor_numel {
                    return None;
                }
                if d > 0 {
                    chunk_stride = self.strides[d - 1];
                    tensor_numel = 1;
                    view_numel = 1;
                }
            }
        }
        if view_d != 0 {
            return None;
        }
        Some(Layout { shape: Dims::from_slice(shape), strides, offset: self.offset })
    }
}

/// The shape two shapes broadcast to, or PyTorch's error.
pub fn broadcast_shapes(op: &str, a: &[usize], b: &[usize]) -> Result<Dims> {
    let rank = a.len().max(b.len());
    let mut out = Dims::filled(1, rank);
    for i in 0..rank {
        let d = rank - 1 - i;
        let x = if i < a.len() { a[a.len() - 1 - i] } else { 1 };
        let y = if i < b.len() { b[b.len() - 1 - i] } else { 1 };
        out[d] = if x == y || y == 1 {
            x
        } else if x == 1 {
            y
        } else {
            bail!(
                Runtime,
                "{op}: The size of tensor a ({x}) must match the size of tensor b ({y}) at non-singleton dimension {d} (shapes {} and {} cannot be broadcast together)",
                Dims::from_slice(a),
                Dims::from_slice(b)
            );
        };
    }
    Ok(out)
}

/// Maps a possibly negative dimension into `0..rank` (a 0-d tensor counts as rank 1), or PyTorch's `IndexError`.
pub fn wrap_dim(op: &str, dim: i64, rank: usize) -> Result<usize> {
    let n = rank.max(1) as i64;
    if dim < -n || dim >= n {
        let (lo, hi) = (-n, n - 1);
        return Err(Error::Index(format!(
            "{op}: Dimension out of range (expected to be in range of [{lo}, {hi}], but got {dim})"
        )));
    }
    Ok(if dim < 0 { dim + n } else { dim } as usize)
}

/// Maps a list of dimensions into `0..rank` and refuses repeats.
pub fn wrap_dims(op: &str, dims: &[i64], rank: usize) -> Result<SmallVec<[usize; 6]>> {
    let mut out: SmallVec<[usize; 6]> = SmallVec::new();
    for &d in dims {
        let d = wrap_dim(op, d, rank)?;
        ensure!(!out.contains(&d), Runtime, "{op}: dim {d} appears multiple times in the list of dims");
        out.push(d);
    }
    Ok(out)
}

/// Calls `f` with the element offset of every index, in row-major order.
pub fn for_each_offset(shape: &[usize], strides: &[usize], mut f: impl FnMut(usize)) {
    if shape.contains(&0) {
        return;
    }
    let mut index = Dims::filled(0, shape.len());
    let mut offset = 0usize;
    loop {
        f(offset);
        let mut d = shape.len();
        loop {
            if d == 0 {
                return;
            }
            d -= 1;
            index[d] += 1;
            offset += strides[d];
            if index[d] < shape[d] {
                break;
            }
            offset -= strides[d] * shape[d];
            index[d] = 0;
        }
    }
}
