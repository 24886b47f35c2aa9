//! Products in tiles, which matrix products and convolutions share: the sizes of tiles, the split of long sums, the text.

use super::device::Gpu;
use super::encoder::Dispatch;
use super::inline;
use super::memory::{self, Allocation};
use super::pipelines::{Access, Pipeline};
use super::reduce::reduce;
use super::text::{Text, arithmetic, arithmetic_of_fours};
use super::view::View;
use crate::dtype::DType;
use crate::error::Result;
use crate::op::Reduction;
use std::sync::Arc;

const STAGED: &str = include_str!("../../../../shaders/product/staged.wgsl");
const DIRECT: &str = include_str!("../../../../shaders/product/direct.wgsl");

/// With fewer workgroups than this, long sums are split among more of them.
const FEW_TILES: usize = 256;
/// Steps that a workgroup sums at most, and at least where sums are split.
const LONG: usize = 16384;
const SHORT: usize = 256;
/// Products of one launch: some 30 ms of a slow GPU.
const MOST_WORK: usize = 1 << 34;
/// Bytes of partial sums.
const MOST_PARTIAL: usize = 256 << 20;

/// How many rows, columns and steps a workgroup takes at once, and how many rows and columns an invocation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tile {
    pub rows: usize,
    pub columns: usize,
    pub depth: usize,
    r: usize,
    c: usize,
    /// Whether the operands pass through workgroup memory.
    pub staged: bool,
}

const fn staged(rows: usize, columns: usize, depth: usize, r: usize, c: usize) -> Tile {
    Tile { rows, columns, depth, r, c, staged: true }
}

/// From the largest, with the least number of tiles that keeps a large device busy.
const TILES: [(Tile, usize); 3] =
    [(staged(128, 128, 8, 8, 8), 192), (staged(64, 64, 16, 8, 4), 64), (staged(32, 32, 32, 4, 4), 0)];
/// For at most 16 rows.
const FLAT: Tile = staged(16, 128, 16, 4, 8);
/// int64 takes twice the memory.
const LONG_INTEGERS: Tile = staged(64, 64, 8, 4, 4);
/// Where workgroup memory is ordinary memory and barriers are expensive: on the processor.
const DIRECTS: [(Tile, usize); 2] = [
    (Tile { rows: 32, columns: 128, depth: 4, r: 8, c: 8, staged: false }, 16),
    (Tile { rows: 16, columns: 32, depth: 4, r: 4, c: 4, staged: false }, 0),
];

impl Tile {
    /// The tile for so many products of such a size.
    pub fn choose(gpu: &Gpu, compute: DType, rows: usize, columns: usize, products: usize) -> Tile {
        let tiles = if gpu.features.workgroup_memory { &TILES[..] } else { &DIRECTS[..] };
        if gpu.features.workgroup_memory {
            if compute == DType::I64 {
                return LONG_INTEGERS;
            }
            if rows <= FLAT.rows {
                return FLAT;
            }
        }
        let enough = |(t, least): &&(Tile, usize)| t.count(rows, columns) * products >= *least;
        tiles.iter().find(enough).unwrap_or(&tiles[tiles.len() - 1]).0
    }

    /// For products of few columns: so many rows, whose steps so many invocations share.
    pub fn dots(rows: usize, sharing: usize) -> Tile {
        Tile { rows, columns: 4, depth: 4 * sharing, r: 1, c: 4, staged: true }
    }

    pub fn count(&self, rows: usize, columns: usize) -> usize {
        rows.div_ceil(self.rows) * columns.div_ceil(self.columns)
    }

    /// What the pipeline's key needs of it.
    pub fn key(&self) -> u32 {
        let small = |n: usize| n.trailing_zeros();
        let sizes = small(self.rows) | small(self.columns) << 4 | small(self.depth) << 8;
        sizes | small(self.r) << 12 | small(self.c) << 16 | u32::from(self.staged) << 20
    }

    /// The text of a kernel of such tiles: `access` holds the definitions of how operands and results are found.
    pub fn finish(&self, text: Text, access: &str) -> (String, Vec<Access>) {
        let Tile { rows, columns, depth, r, c, staged } = *self;
        let sizes = format!("const ROWS = {rows}u;\nconst COLUMNS = {columns}u;\nconst DEPTH = {depth}u;");
        text.line(&sizes)
            .line(&format!("const R = {r}u;\nconst C = {c}u;"))
            .finish(&format!("{access}{}", if staged { STAGED } else { DIRECT }))
    }
}

/// The dtype in which products are summed.
pub fn sum_dtype(dtype: DType) -> DType {
    match dtype {
        d if d.is_float() => DType::F32,
        DType::I64 => DType::I64,
        _ => DType::I32,
    }
}

/// The arithmetic that a product's text needs.
pub fn with_arithmetic(text: Text, compute: DType) -> Text {
    let step = if compute == DType::F32 { "fma(a, b, c)" } else { "add(c, mul(a, b))" };
    text.line(arithmetic(compute))
        .line(arithmetic_of_fours(compute))
        .line(&format!("fn step(c: T, a: T, b: T) -> T {{ return {step}; }}"))
}

/// Into how many parts sums of so many steps are split where there are so many tiles of `elements` results; and the steps of
/// a part.
pub fn splits(tiles: usize, steps: usize, depth: usize, elements: usize, compute: DType) -> (usize, usize) {
    let wanted = (FEW_TILES / tiles.max(1)).max(steps.div_ceil(LONG));
    let room = MOST_PARTIAL / (elements * compute.size()).max(1);
    let count = wanted.min(steps / SHORT).min(room).max(1);
    let per_split = steps.div_ceil(count).next_multiple_of(depth).max(1);
    (steps.div_ceil(per_split).max(1), per_split)
}

/// A kernel's launch but for where its results go.
pub struct Launch<'a> {
    pub operands: &'a [&'a View<'a>],
    pub parameters: Vec<u32>,
    /// The word that says which workgroup is a launch's first.
    pub first_group: usize,
    /// Workgroups, and products of one.
    pub groups: usize,
    pub work: usize,
}

impl Launch<'_> {
    /// Not too many products at once.
    pub fn run(mut self, gpu: &Gpu, pipeline: &Pipeline, y: &View) -> Result<()> {
        let mut buffers = Vec::new();
        self.operands.iter().for_each(|v| v.bind(&mut buffers));
        y.bind(&mut buffers);
        inline::append(&mut self.parameters, self.operands.iter().map(|v| v.inline).chain([y.inline]));
        let most = (MOST_WORK / self.work.max(1)).max(1);
        for first in (0..self.groups).step_by(most) {
            self.parameters[self.first_group] = first as u32;
            let groups = Gpu::grid(most.min(self.groups - first));
            gpu.dispatch(&Dispatch { pipeline, buffers: &buffers, parameters: &self.parameters, groups })?;
        }
        Ok(())
    }
}

/// Room for the partial sums of so many splits. Those of an element lie as far apart as y is long.
pub fn partial_sums(gpu: &Arc<Gpu>, splits: usize, y: &View, compute: DType) -> Result<Allocation> {
    memory::allocate(gpu, splits * y.numel() * compute.size())
}

/// Partial sums as what a kernel writes instead of y: dense in y's order, split after split.
pub fn in_place_of<'a>(y: &View<'a>, partial: &'a Allocation, compute: DType) -> View<'a> {
    View { memory: partial, dtype: compute, inline: None, ..*y }
}

/// Sums partial sums; y is dense, whatever its order of dims.
pub fn sum_up(gpu: &Arc<Gpu>, partial: &Allocation, splits: usize, compute: DType, y: &View) -> Result<()> {
    let (shape, strides) = ([splits, y.numel()], [y.numel(), 1]);
    let partial = View { memory: partial, offset: 0, dtype: compute, shape: &shape, strides: &strides, inline: None };
    reduce(gpu, Reduction::Sum, 1, &partial, &[], &[View { shape: &shape[1..], strides: &strides[1..], ..*y }])
}
