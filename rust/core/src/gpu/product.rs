//! Products in tiles, which matrix products and convolutions share: the sizes of tiles, the split of long sums, the text.

use super::device::Gpu;
use super::encoder::Dispatch;
use super::inline;
use super::matrices;
use super::memory::{self, Allocation};
use super::pipelines::{Access, Pipeline};
use super::reduce::reduce;
use super::text::{Text, arithmetic, arithmetic_of_fours};
use super::view::View;
use crate::dtype::DType;
use crate::error::Result;
use crate::op::Reduction;
use std::fmt::Write;
use std::sync::Arc;

const EDGES: &str = include_str!("../../../../shaders/product/edges.wgsl");
const STAGED: &str = include_str!("../../../../shaders/product/staged.wgsl");
const DIRECT: &str = include_str!("../../../../shaders/product/direct.wgsl");
const COOPERATIVE: &str = include_str!("../../../../shaders/product/cooperative.wgsl");

/// With fewer workgroups than this, long sums are split among more of them.
const FEW_TILES: usize = 256;
/// Steps that a workgroup sums at most, and at least where sums are split.
const LONG: usize = 16384;
const SHORT: usize = 256;
/// Products of one launch: some 30 ms of a slow GPU.
const MOST_WORK: usize = 1 << 34;
/// Bytes of partial sums.
const MOST_PARTIAL: usize = 256 << 20;

/// How many rows, columns and steps a workgroup takes at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tile {
    pub rows: usize,
    pub columns: usize,
    pub depth: usize,
    way: Way,
}

/// How a tile is computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// Straight from the operands; an invocation takes r rows of c columns.
    Direct { r: usize, c: usize },
    /// From workgroup memory, which holds float16 operands as they are where the device computes with them (`half`). `spelled`
    /// says that the steps of a tile are written out one by one.
    Staged { r: usize, c: usize, half: bool, spelled: bool },
    /// By the matrix units, from matrices of `size` rows, of which a subgroup has a block; so many invocations.
    Matrices { size: usize, lanes: usize },
}

const fn staged(rows: usize, columns: usize, depth: usize, r: usize, c: usize) -> Tile {
    Tile { rows, columns, depth, way: Way::Staged { r, c, half: false, spelled: false } }
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
    (Tile { rows: 32, columns: 128, depth: 4, way: Way::Direct { r: 8, c: 8 } }, 16),
    (Tile { rows: 16, columns: 32, depth: 4, way: Way::Direct { r: 4, c: 4 } }, 0),
];
/// With fewer large tiles than this, matrix units get small ones.
const MATRIX_TILES: usize = 96;
/// Workgroup memory with which the largest tiles are deep.
const MUCH_MEMORY: u32 = 24 << 10;

impl Tile {
    /// The tile for so many products of such operands and such a size.
    pub fn choose(
        gpu: &Arc<Gpu>,
        dtypes: [DType; 2],
        rows: usize,
        columns: usize,
        steps: usize,
        products: usize,
    ) -> Result<Tile> {
        let halves = dtypes == [DType::F16; 2];
        if halves
            && rows.min(columns).min(steps) >= 32
            && let Some(size) = matrices::usable(gpu)?
        {
            let blocks =
                if Tile::of_matrices(gpu, size, 4).count(rows, columns) * products >= MATRIX_TILES { 4 } else { 2 };
            return Ok(Tile::of_matrices(gpu, size, blocks));
        }
        let enough = |(t, least): &&(Tile, usize)| t.count(rows, columns) * products >= *least;
        let first = |tiles: &[(Tile, usize)]| tiles.iter().find(enough).unwrap_or(&tiles[tiles.len() - 1]).0;
        if !gpu.features.workgroup_memory {
            return Ok(first(&DIRECTS));
        }
        let mut tile = match sum_dtype(dtypes[0]) {
            DType::I64 => LONG_INTEGERS,
            _ if rows <= FLAT.rows => FLAT,
            _ => first(&TILES),
        };
        if tile == TILES[0].0 && gpu.limits.max_compute_workgroup_storage_size >= MUCH_MEMORY {
            tile.depth = 16;
        }
        if let Way::Staged { half, spelled, .. } = &mut tile.way {
            *half = halves && gpu.features.f16;
            // A software driver takes a second to compile what is long.
            *spelled = gpu.info.device_type != wgpu::DeviceType::Cpu;
        }
        Ok(tile)
    }

    /// The tile for matrix units: two by two blocks of so many matrices a side.
    pub fn of_matrices(gpu: &Gpu, size: usize, block: usize) -> Tile {
        let depth = if size == 8 || gpu.limits.max_compute_workgroup_storage_size >= MUCH_MEMORY { 32 } else { 16 };
        // A workgroup of four subgroups of the smallest kind.
        Tile::matrices(size, block, depth, 4 * (gpu.info.subgroup_min_size as usize).clamp(8, 64))
    }

    pub const fn matrices(size: usize, block: usize, depth: usize, lanes: usize) -> Tile {
        let side = 2 * block * size;
        Tile { rows: side, columns: side, depth, way: Way::Matrices { size, lanes } }
    }

    /// For products of few columns: so many rows, whose steps so many invocations share.
    pub fn dots(rows: usize, sharing: usize) -> Tile {
        staged(rows, 4, 4 * sharing, 1, 4)
    }

    /// Whether the operands pass through workgroup memory.
    pub fn staged(&self) -> bool {
        !matches!(self.way, Way::Direct { .. })
    }

    pub fn count(&self, rows: usize, columns: usize) -> usize {
        rows.div_ceil(self.rows) * columns.div_ceil(self.columns)
    }

    /// What the pipeline's key needs of it.
    pub fn key(&self) -> [u32; 2] {
        let small = |n: usize| n.trailing_zeros();
        let way = match self.way {
            Way::Direct { r, c } => small(r) << 4 | small(c) << 8,
            Way::Staged { r, c, half, spelled } => {
                1 | u32::from(half) << 2 | u32::from(spelled) << 3 | small(r) << 4 | small(c) << 8
            }
            Way::Matrices { size, lanes } => 2 | small(size) << 4 | small(lanes) << 8,
        };
        [small(self.rows) | small(self.columns) << 4 | small(self.depth) << 8, way]
    }

    /// Whether workgroup memory holds operands as float16.
    pub fn halves(&self) -> bool {
        matches!(self.way, Way::Staged { half: true, .. } | Way::Matrices { .. })
    }

    /// What workgroup memory holds of four elements, and of one.
    fn held(&self) -> &'static str {
        match self.halves() {
            true => {
                "enable f16;\nalias E = f16;\nalias Held = vec4<f16>;\nfn hold(v: V) -> Held { return Held(v); }\n\
                 fn value_of(h: Held) -> V { return V(h); }"
            }
            false => {
                "alias E = T;\nalias Held = V;\nfn hold(v: V) -> Held { return v; }\nfn value_of(h: Held) -> V { return h; }"
            }
        }
    }

    /// The text of a kernel of such tiles: `access` holds the definitions of how operands and results are found.
    /// `fours` says that steps come in whole fours which lie next to each other in a.
    pub fn finish(&self, text: Text, access: &str, fours: bool) -> (String, Vec<Access>) {
        let Tile { rows, columns, depth, way } = *self;
        let sizes = format!("const ROWS = {rows}u;\nconst COLUMNS = {columns}u;\nconst DEPTH = {depth}u;");
        let text = text.line(&sizes).line(self.held());
        match way {
            Way::Direct { r, c } => {
                let steps = if fours { 4 } else { 1 };
                text.line(&format!("const R = {r}u;\nconst C = {c}u;\nconst STEPS = {steps}u;"))
                    .finish(&format!("{access}{DIRECT}"))
            }
            Way::Staged { r, c, spelled, .. } => {
                // Compilers leave a loop over workgroup memory as it is, which costs a quarter of the speed.
                let steps = match spelled {
                    true => (0..depth).map(|k| format!("    multiply(sums, {k}u, across, down);\n")).collect(),
                    false => "    for (var k = 0u; k < DEPTH; k++) { multiply(sums, k, across, down); }\n".to_string(),
                };
                let whole =
                    format!("fn multiply_tile(sums: ptr<function, Sums>, across: u32, down: u32) {{\n{steps}}}");
                text.line(&format!("const R = {r}u;\nconst C = {c}u;"))
                    .line(&whole)
                    .finish(&format!("{access}{EDGES}{STAGED}"))
            }
            Way::Matrices { size, lanes } => {
                let matrix = |name: &str, element: &str, role: &str| {
                    format!("alias {name} = coop_mat{size}x{size}<{element}, {role}>;")
                };
                let block = rows / (2 * size);
                text.line("enable wgpu_cooperative_matrix;")
                    .line(&format!("const M = {size}u;\nconst LANES = {lanes}u;"))
                    .line(&format!("const DOWN = {block}u;\nconst ACROSS = {block}u;"))
                    .line(&matrix("MatA", "f16", "A"))
                    .line(&matrix("MatB", "f16", "B"))
                    .line(&matrix("MatC", "f32", "C"))
                    .finish(&format!("{access}{EDGES}{}", self.cooperative(size, lanes)))
            }
        }
    }
}

impl Tile {
    /// The reads of an invocation's share of both tiles, and then the writes.
    fn tiles(&self, lanes: usize, whole: bool) -> String {
        let shares = [("a", self.rows), ("b", self.columns)].map(|(name, side)| (name, side * self.depth / 4 / lanes));
        let all = || shares.iter().flat_map(|&(name, share)| (0..share).map(move |i| (name, i)));
        let mut text = String::new();
        for (name, i) in all() {
            let _ = writeln!(text, "let {name}{i} = {name}_four(job, k0, lane + {i}u * LANES, {whole});");
        }
        for (name, i) in all() {
            let _ = writeln!(text, "tile_{name}[{name}_place(lane + {i}u * LANES)] = {name}{i};");
        }
        text
    }

    /// The text of the kernel for matrix units.
    fn cooperative(&self, size: usize, lanes: usize) -> String {
        let block = self.rows / (2 * size);
        let [mut sums, mut products, mut results] = [const { String::new() }; 3];
        for k in (0..self.depth).step_by(size) {
            for j in 0..block {
                let _ = writeln!(products, "let b{k}_{j} = b_matrix({k}u, column + {j}u * M);");
            }
            for i in 0..block {
                let _ = writeln!(products, "let a{k}_{i} = a_matrix(row + {i}u * M, {k}u);");
                for j in 0..block {
                    let _ = writeln!(products, "c{i}{j} = coopMultiplyAdd(a{k}_{i}, b{k}_{j}, c{i}{j});");
                }
            }
        }
        for (i, j) in (0..block).flat_map(|i| (0..block).map(move |j| (i, j))) {
            let _ = writeln!(sums, "var c{i}{j} = MatC();");
            let _ = writeln!(results, "emit(job, place, row0 + {i}u * M, column0 + {j}u * M, c{i}{j});");
        }
        let [tiles, whole] = [false, true].map(|whole| self.tiles(lanes, whole));
        let blocks = [("SUMS;", sums), ("PRODUCTS;", products), ("RESULTS;", results)];
        let texts = [("TILES;", tiles), ("WHOLE;", whole)];
        texts.iter().chain(&blocks).fold(COOPERATIVE.to_string(), |text, (name, lines)| text.replace(name, lines))
    }
}

/// Conditions as the bits of a word, for the key of a pipeline.
pub fn bits(conditions: &[bool]) -> u32 {
    conditions.iter().enumerate().fold(0, |word, (i, &on)| word | u32::from(on) << i)
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
