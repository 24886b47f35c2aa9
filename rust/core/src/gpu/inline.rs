//! Fused programs inside other kernels: computed from each element that the kernel writes (an epilogue), or instead of reading
//! elements from memory (a prologue).
//!
//! A tensor's memory is dense, so an element's place in it names the element. A kernel hands the place to the program, which
//! finds its own operands from there, however the kernel walks.

use super::elementwise::{Kernel, Operand, Shape};
use super::instructions::{Names, write_results};
use super::memory::Allocation;
use super::wgsl::declare;
use crate::dtype::DType;
use smallvec::SmallVec;

/// Where the parameters of programs begin, and how many words each may have.
pub const BASE: usize = 128;
const ROOM: usize = 96;
/// Programs that a kernel holds at most.
pub const MOST: usize = 3;

/// A program bound to its operands, and an epilogue to its results.
pub struct Inline<'a> {
    kernel: &'a Kernel,
    shape: Shape,
    /// The operand that the kernel computes.
    given: Option<usize>,
    operands: Vec<&'a Allocation>,
    targets: Vec<&'a Allocation>,
    /// Whether what the kernel itself computes is written as well.
    pub keeps: bool,
    words: SmallVec<[u32; 64]>,
}

impl<'a> Inline<'a> {
    /// A program over a dense tensor of this shape and strides. With `given`, an epilogue that writes `targets`; without, a
    /// prologue, whose one result is what the kernel reads. `None` where it has more parameters than there is room for.
    pub fn new(
        kernel: &'a Kernel,
        shape: &[usize],
        strides: &[usize],
        operands: &[Operand<'a>],
        numbers: &[u64],
        given: Option<(usize, bool)>,
        targets: &[&'a Allocation],
    ) -> Option<Inline<'a>> {
        let index = given.map(|g| g.0);
        let own = Shape::inside(&kernel.program, shape, strides, operands, index);
        let n: usize = shape.iter().product();
        let words = own.parameters(&kernel.program, operands, numbers, 0..n, &[]);
        let mut memories: Vec<&Allocation> = Vec::new();
        for (k, o) in operands.iter().enumerate() {
            if index != Some(k) && own.loads[k] as usize == memories.len() {
                memories.push(o.memory);
            }
        }
        let keeps = given.is_some_and(|g| g.1);
        let targets = targets.to_vec();
        let inline = Inline { kernel, shape: own, given: index, operands: memories, targets, keeps, words };
        (inline.words.len() <= ROOM).then_some(inline)
    }

    /// Buffers beside those of the kernel.
    pub fn buffers(&self) -> usize {
        self.operands.len() + self.targets.len()
    }

    /// What the text depends on, for the key of a pipeline.
    pub fn key(&self) -> Vec<u32> {
        let mut key = self.shape.key(self.kernel.id);
        key.push(self.given.map_or(0, |g| g as u32 + 1) | u32::from(self.keeps) << 16);
        key
    }

    /// The buffers in the order in which the text declares them; `own` is the one that the kernel would bind.
    pub fn bind<'b>(&self, own: &'b Allocation, buffers: &mut Vec<&'b Allocation>)
    where
        'a: 'b,
    {
        buffers.extend(self.operands.iter().copied());
        if self.keeps {
            buffers.push(own);
        }
        buffers.extend(self.targets.iter().copied());
    }

    /// Some memory that the program reads.
    pub fn any_memory(&self) -> Option<&'a Allocation> {
        self.operands.first().copied()
    }

    pub fn words(&self) -> &[u32] {
        &self.words
    }

    /// Results and their dtypes.
    pub fn results(&self) -> impl Iterator<Item = DType> {
        self.kernel.program.stores.iter().map(|s| s.1)
    }

    /// The dtype of the operand that the kernel computes.
    pub fn given_dtype(&self) -> Option<DType> {
        self.given.map(|g| self.kernel.program.loads[g])
    }

    /// Declares the operands from binding `first` on, and the function `PREFIXcompute(element, value)`, without the value in a
    /// prologue; its results are `s0`, `s1`, …
    pub fn write(&self, t: &mut String, prefix: &str, first: usize, slot: usize) -> usize {
        for k in 0..self.operands.len() {
            declare(t, first + k, &format!("{prefix}b{k}"), "u32", false);
        }
        let names = Names { prefix, base: BASE + slot * ROOM, from: "" };
        write_results(t, &self.kernel.program, names);
        self.kernel.write_compute(t, &self.shape, names);
        self.operands.len()
    }
}

/// Puts the parameters of the views' programs behind a kernel's own.
pub fn append<'a>(parameters: &mut Vec<u32>, programs: impl Iterator<Item = Option<&'a Inline<'a>>>) {
    for (slot, inline) in programs.flatten().enumerate() {
        parameters.resize(BASE + slot * ROOM, 0);
        parameters.extend_from_slice(inline.words());
    }
}
