//! The launch of a program: how each operand is walked, where it is bound, and the parameters.

use super::blocks::Blocks;
use super::{GROUP, Operand, WORKGROUP};
use crate::exec::program::Program;
use crate::gpu::encoder::{WINDOW_ALIGNMENT, Window};
use crate::gpu::memory::Allocation;
use crate::gpu::pipelines::Access;
use crate::gpu::wgsl::number;
use crate::shape::Dims;
use smallvec::SmallVec;
use std::ops::Range;

/// Words of the parameters before the dims.
pub(super) const HEADER: usize = 3;

/// How an operand's elements are found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::gpu) enum Walk {
    /// Element i of the output is element i from the offset.
    Linear,
    /// As `Linear`, read four at a time.
    Wide,
    /// One element for all.
    Constant,
    Strided,
    /// In blocks: four at a time along the dim of the rows.
    Turned,
    /// In blocks: four at a time along the dim of the columns.
    Row,
    /// In blocks: one at a time.
    Single,
    /// The kernel that the program is part of has the element at hand.
    Given,
}

impl Walk {
    /// Whether it needs strides.
    fn strided(self) -> bool {
        matches!(self, Walk::Strided | Walk::Turned | Walk::Row | Walk::Single)
    }

    /// Whether the program is given the element.
    pub(super) fn is_argument(self) -> bool {
        !matches!(self, Walk::Linear | Walk::Constant | Walk::Strided)
    }

    pub(super) fn in_vectors(self) -> bool {
        matches!(self, Walk::Wide | Walk::Turned | Walk::Row)
    }
}

/// The launch of one program: the walk and the binding of every operand and target.
pub(in crate::gpu) struct Shape {
    pub(super) dims: Dims,
    pub(super) strides: SmallVec<[Dims; 8]>,
    pub(super) walks: SmallVec<[Walk; 8]>,
    pub(super) blocks: Option<Blocks>,
    /// Bindings of loads and stores.
    pub(in crate::gpu) loads: SmallVec<[u8; 8]>,
    pub(super) stores: SmallVec<[u8; 4]>,
    /// Per binding: bytes of an element if it is bound as vectors of four elements, 0 if as words; and whether it is written.
    pub(in crate::gpu) bindings: SmallVec<[(u8, bool); 8]>,
}

impl Shape {
    pub(super) fn new(
        program: &Program,
        shape: &[usize],
        strides: &[usize],
        operands: &[Operand],
        targets: &[&Allocation],
        apart: bool,
    ) -> Shape {
        let (dims, joined) = join_dims(shape, strides, operands);
        let expected = dims.contiguous_strides();
        let mut walks: SmallVec<[Walk; 8]> = SmallVec::new();
        for ((operand, own), dtype) in operands.iter().zip(&joined).zip(&program.loads) {
            let linear = *own == expected;
            walks.push(if linear && (operand.offset * dtype.size()).is_multiple_of(GROUP * dtype.size().min(4)) {
                Walk::Wide
            } else if own.iter().zip(dims.iter()).all(|(&s, &d)| s == 0 || d == 1) {
                Walk::Constant
            } else if linear {
                Walk::Linear
            } else {
                Walk::Strided
            });
        }
        let mut s = Shape {
            dims,
            strides: joined,
            walks,
            blocks: None,
            loads: SmallVec::new(),
            stores: SmallVec::new(),
            bindings: SmallVec::new(),
        };
        s.bind(program, operands, targets, apart);
        s
    }

    /// For a program inside another kernel, which reads one element at a time and has operand `given` at hand.
    pub(in crate::gpu) fn inside(
        program: &Program,
        shape: &[usize],
        strides: &[usize],
        operands: &[Operand],
        given: Option<usize>,
    ) -> Shape {
        let mut s = Shape::new(program, shape, strides, operands, &[], false);
        for (k, walk) in s.walks.iter_mut().enumerate() {
            match walk {
                _ if given == Some(k) => *walk = Walk::Given,
                Walk::Wide => *walk = Walk::Linear,
                _ => {}
            }
        }
        let mut ids: SmallVec<[u64; 8]> = SmallVec::new();
        for (k, operand) in operands.iter().enumerate() {
            let at = ids.iter().position(|&i| i == operand.memory.id);
            s.loads[k] = match at {
                _ if given == Some(k) => 0,
                Some(at) => at as u8,
                None => {
                    ids.push(operand.memory.id);
                    ids.len() as u8 - 1
                }
            };
        }
        s.bindings = SmallVec::from_elem((0, false), ids.len());
        s
    }

    /// Gives every distinct buffer a binding, in the order of first mention. A buffer is bound as vectors if all its readers
    /// and writers take four neighbours of one size. `apart` gives every operand that no result overwrites a binding of its own.
    pub(super) fn bind(&mut self, program: &Program, operands: &[Operand], targets: &[&Allocation], apart: bool) {
        let mut ids: SmallVec<[u64; 8]> = SmallVec::new();
        let uses = operands.iter().map(|o| o.memory.id).chain(targets.iter().map(|t| t.id));
        for (k, id) in uses.enumerate() {
            let (size, wide, write) = match k.checked_sub(operands.len()) {
                None => (program.loads[k].size() as u8, self.walks[k].in_vectors(), false),
                Some(t) => (program.stores[t].1.size() as u8, true, true),
            };
            let size = if wide { size } else { 0 };
            let alone = apart && !targets.iter().any(|t| t.id == id);
            let at = ids.iter().position(|&i| i == id && !alone).unwrap_or_else(|| {
                ids.push(id);
                self.bindings.push((size, false));
                ids.len() - 1
            });
            let binding = &mut self.bindings[at];
            binding.1 |= write;
            if binding.0 != size {
                binding.0 = 0;
            }
            if write { self.stores.push(at as u8) } else { self.loads.push(at as u8) }
        }
        // Where the binding is words, neighbours are read one by one.
        for (walk, &b) in self.walks.iter_mut().zip(&self.loads) {
            if walk.in_vectors() && self.bindings[b as usize].0 == 0 {
                *walk = if self.blocks.is_some() { Walk::Single } else { Walk::Linear };
            }
        }
    }

    pub(in crate::gpu) fn key(&self, id: u32) -> Vec<u32> {
        let rows = self.blocks.as_ref().map_or(0, |b| b.rows as u32 + 1);
        let mut key = vec![id, self.rank() as u32 | rows << 16];
        key.extend(self.walks.iter().zip(&self.loads).map(|(w, b)| *w as u32 | u32::from(*b) << 8));
        key.extend(self.stores.iter().map(|&b| u32::from(b)));
        key.extend(self.bindings.iter().map(|&(size, write)| u32::from(size) | u32::from(write) << 8));
        key
    }

    pub(super) fn accesses(&self) -> Vec<Access> {
        self.bindings.iter().map(|b| Access::of(b.1)).collect()
    }

    /// Whether it can be part of a launch with others: every operand is one element or read in vectors, and every result is
    /// written in them.
    pub(super) fn is_flat(&self) -> bool {
        self.blocks.is_none()
            && self.walks.iter().all(|w| matches!(w, Walk::Wide | Walk::Constant))
            && self.stores.iter().all(|&b| self.bindings[b as usize].0 != 0)
    }

    /// The dims among the parameters: those of the index space, if some walk needs them.
    pub(super) fn rank(&self) -> usize {
        if self.walks.iter().any(|w| w.strided()) { self.dims.len() } else { 0 }
    }

    /// Words of the parameters before the dims.
    pub(super) fn header(&self) -> usize {
        self.blocks.as_ref().map_or(HEADER, |b| b.header.len())
    }

    /// Words of the parameters for an operand.
    pub(super) fn words(&self, walk: Walk) -> usize {
        if walk.strided() { 1 + self.dims.len() } else { 1 }
    }

    /// Workgroups for so many elements.
    pub(super) fn workgroups(&self, elements: usize) -> usize {
        self.blocks.as_ref().map_or_else(|| elements.div_ceil(GROUP).div_ceil(WORKGROUP), |b| b.workgroups)
    }

    pub(super) fn buffers<'a>(
        &self,
        operands: &[Operand<'a>],
        targets: &[&'a Allocation],
    ) -> SmallVec<[&'a Allocation; 8]> {
        let mut buffers: SmallVec<[&Allocation; 8]> = SmallVec::new();
        let of_loads = self.loads.iter().zip(operands.iter().map(|o| o.memory));
        for (b, a) in of_loads.chain(self.stores.iter().zip(targets.iter().copied())) {
            if *b as usize == buffers.len() {
                buffers.push(a);
            }
        }
        buffers
    }

    /// The first element of operand `k`'s memory that a stretch of the index space touches, and the one after the last.
    pub(super) fn touched(&self, k: usize, offset: usize, stretch: Range<usize>) -> (usize, usize) {
        match self.walks[k] {
            Walk::Constant => (offset, offset + 1),
            Walk::Linear | Walk::Wide | Walk::Given => (offset + stretch.start, offset + stretch.end),
            Walk::Strided | Walk::Turned | Walk::Row | Walk::Single => {
                // Strides may be negative.
                let (mut from, mut last) = (offset as isize, offset as isize);
                let mut inner: usize = self.dims.iter().product();
                // Until the stretch crosses a dim's end it moves along that dim only; from there on it may touch everything.
                let mut whole = false;
                for (&d, &s) in self.dims.iter().zip(self.strides[k].iter()) {
                    let size = inner;
                    inner /= d;
                    let (mut a, mut b) = (stretch.start % size / inner, (stretch.end - 1) % size / inner);
                    if whole {
                        (a, b) = (0, d - 1);
                    }
                    whole |= a != b;
                    let (a, b) = (a as isize * s as isize, b as isize * s as isize);
                    from += a.min(b);
                    last += a.max(b);
                }
                (from as usize, last as usize + 1)
            }
        }
    }

    /// What each binding has to show for a stretch of the index space.
    pub(super) fn windows(
        &self,
        program: &Program,
        operands: &[Operand],
        buffers: &[&Allocation],
        stretch: Range<usize>,
    ) -> SmallVec<[Window; 8]> {
        let mut ranges: SmallVec<[(u64, u64); 8]> = SmallVec::from_elem((u64::MAX, 0), buffers.len());
        let mut show = |b: u8, (from, to): (usize, usize), size: usize| {
            let r = &mut ranges[b as usize];
            // Whole vectors are read and written.
            *r = (r.0.min((from * size) as u64), r.1.max((to * size) as u64 + 32));
        };
        for (k, &b) in self.loads.iter().enumerate() {
            show(b, self.touched(k, operands[k].offset, stretch.clone()), program.loads[k].size());
        }
        for (&b, (_, dtype)) in self.stores.iter().zip(&program.stores) {
            show(b, (stretch.start, stretch.end), dtype.size());
        }
        let window = |((from, to), memory): (&(u64, u64), &&Allocation)| {
            let from = from / WINDOW_ALIGNMENT * WINDOW_ALIGNMENT;
            (from, (to.next_multiple_of(16)).min(memory.buffer.size()) - from)
        };
        ranges.iter().zip(buffers).map(window).collect()
    }

    /// Words: groups of elements, the last element, the first (in blocks, see [`Blocks::header`]), the dims if one operand is
    /// strided, then per operand its offset and, if strided, its strides, then the numbers. Offsets are such that the offset plus the position in the index space is
    /// the position in the window; for what is read four at a time, plus the position in the stretch.
    pub(in crate::gpu) fn parameters(
        &self,
        program: &Program,
        operands: &[Operand],
        numbers: &[u64],
        stretch: Range<usize>,
        windows: &[Window],
    ) -> SmallVec<[u32; 64]> {
        let groups = stretch.len().div_ceil(GROUP) as u32;
        let mut p: SmallVec<[u32; 64]> = match &self.blocks {
            Some(blocks) => SmallVec::from_slice(&blocks.header),
            None => SmallVec::from_slice(&[groups, stretch.end as u32 - 1, stretch.start as u32]),
        };
        p.extend(self.dims.iter().take(self.rank()).map(|&d| d as u32));
        for (k, (operand, strides)) in operands.iter().zip(&self.strides).enumerate() {
            let walk = self.walks[k];
            let shown = windows.get(self.loads[k] as usize).map_or(0, |w| w.0 as usize / program.loads[k].size());
            let ahead = if walk == Walk::Wide { stretch.start } else { 0 };
            p.push((operand.offset + ahead).wrapping_sub(shown) as u32);
            if walk.strided() {
                p.extend(strides.iter().map(|&s| s as u32));
            }
        }
        for (&bits, &dtype) in numbers.iter().zip(&program.scalars) {
            let (words, count) = number(bits, dtype);
            p.extend_from_slice(&words[..count]);
        }
        p
    }
}

/// The index space in the output's memory order, with dims joined where every operand allows it; strides per operand.
pub(super) fn join_dims(shape: &[usize], out_strides: &[usize], operands: &[Operand]) -> (Dims, SmallVec<[Dims; 8]>) {
    let mut order: SmallVec<[usize; 6]> = (0..shape.len()).filter(|&d| shape[d] != 1).collect();
    order.sort_by_key(|&d| std::cmp::Reverse(out_strides[d]));
    let mut dims = Dims::new();
    let mut strides: SmallVec<[Dims; 8]> = SmallVec::from_elem(Dims::new(), operands.len());
    for d in order {
        let last = dims.len().wrapping_sub(1);
        let joins = !dims.is_empty()
            && operands.iter().zip(&strides).all(|(o, s)| s[last] == o.strides[d].wrapping_mul(shape[d]));
        if joins {
            dims[last] *= shape[d];
            strides.iter_mut().zip(operands).for_each(|(s, o)| s[last] = o.strides[d]);
        } else {
            dims.push(shape[d]);
            strides.iter_mut().zip(operands).for_each(|(s, o)| s.push(o.strides[d]));
        }
    }
    if dims.is_empty() {
        dims.push(1);
        strides.iter_mut().for_each(|s| s.push(1));
    }
    (dims, strides)
}
