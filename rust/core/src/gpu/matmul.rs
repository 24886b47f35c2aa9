//! Matrix products.

use super::device::Gpu;
use super::pipelines::Access;
use super::product::{Launch, Tile, bits, in_place_of, partial_sums, splits, sum_dtype, sum_up, with_arithmetic};
use super::text::Text;
use super::view::{View, inline_key};
use crate::dtype::DType;
use crate::error::Result;
use std::sync::Arc;

const MATRIX: &str = include_str!("../../../../shaders/product/matrix.wgsl");
const STAGED: &str = include_str!("../../../../shaders/product/matrix_staged.wgsl");
const DIRECT: &str = include_str!("../../../../shaders/product/matrix_direct.wgsl");
const DOT: &str = include_str!("../../../../shaders/product/dot.wgsl");

/// Products of so few columns are sums along rows.
const FEW_COLUMNS: usize = 4;
/// The word of the parameters that says which workgroup is a launch's first.
const FIRST_GROUP: usize = 14;
const WORKGROUP: usize = 256;

/// (…, m, k) × (…, k, n) of one batch shape; every operand and the result may have any strides.
pub fn matmul(gpu: &Arc<Gpu>, a: &View, b: &View, y: &View) -> Result<()> {
    if y.numel() == 0 {
        return Ok(());
    }
    let rank = y.shape.len() - 2;
    let (m, n) = (y.shape[rank], y.shape[rank + 1]);
    let product = Product::new(a, b, y, rank);
    // Few rows are few columns of the transposed product.
    if m <= FEW_COLUMNS && n > FEW_COLUMNS || m < n && n <= FEW_COLUMNS {
        return product.transposed().run(gpu);
    }
    if n < m && n > FEW_COLUMNS && gpu.features.workgroup_memory && n <= 16 {
        return product.transposed().run(gpu);
    }
    product.run(gpu)
}

/// One product in tiles of a given kind.
pub fn matmul_in(gpu: &Arc<Gpu>, tile: Tile, a: &View, b: &View, y: &View) -> Result<()> {
    Product::new(a, b, y, y.shape.len() - 2).run_in(gpu, tile, 0)
}

/// A batch of products y = a · b of strided matrices.
struct Product<'a> {
    a: &'a View<'a>,
    b: &'a View<'a>,
    y: &'a View<'a>,
    /// Dims of the batch.
    rank: usize,
    rows: usize,
    columns: usize,
    steps: usize,
    /// Strides by row and step, by step and column, by row and column.
    by_a: [usize; 2],
    by_b: [usize; 2],
    by_y: [usize; 2],
}

/// What the text depends on.
struct Form {
    tile: Tile,
    /// The invocations that share a row, for products of few columns; else 0.
    sharing: usize,
    from: [DType; 2],
    a_along: bool,
    b_along: bool,
    wide: [bool; 3],
}

impl<'a> Product<'a> {
    fn new(a: &'a View<'a>, b: &'a View<'a>, y: &'a View<'a>, rank: usize) -> Self {
        let pair = |v: &View| [v.strides[rank], v.strides[rank + 1]];
        let (rows, columns, steps) = (y.shape[rank], y.shape[rank + 1], a.shape[rank + 1]);
        Product { a, b, y, rank, rows, columns, steps, by_a: pair(a), by_b: pair(b), by_y: pair(y) }
    }

    fn transposed(self) -> Self {
        let turn = |[i, j]: [usize; 2]| [j, i];
        let Product { a, b, y, rank, rows, columns, steps, by_a, by_b, by_y } = self;
        let (by_a, by_b, by_y) = (turn(by_b), turn(by_a), turn(by_y));
        Product { a: b, b: a, y, rank, rows: columns, columns: rows, steps, by_a, by_b, by_y }
    }

    /// Whether fours of neighbours along one dim, of so many elements and this stride, may be read or written as vectors where
    /// the other dim has that stride.
    fn wide(&self, v: &View, along: usize, size: usize, other: usize) -> bool {
        let whole = |n: &usize| n.is_multiple_of(4);
        v.inline.is_none_or(|i| i.given_dtype().is_some())
            && along == 1
            && [v.offset, size, other].iter().all(whole)
            && v.strides[..self.rank].iter().all(whole)
    }

    fn form(&self, tile: Tile, sharing: usize) -> Form {
        let a_along = self.by_a[1] == 1 || (self.by_a[0] != 1 && self.steps > 1);
        let b_along = self.by_b[1] == 1 || self.by_b[0] != 1;
        let Product { a, b, y, .. } = self;
        let a_wide = if a_along {
            self.wide(a, self.by_a[1], self.steps, self.by_a[0])
        } else {
            tile.staged() && sharing == 0 && self.wide(a, self.by_a[0], self.rows, self.by_a[1])
        };
        let b_wide = if b_along {
            self.wide(b, self.by_b[1], self.columns, self.by_b[0])
        } else {
            tile.staged() && self.wide(b, self.by_b[0], self.steps, self.by_b[1])
        };
        let y_wide = self.wide(y, self.by_y[1], self.columns, self.by_y[0]);
        // Few columns are read as they come.
        let wide = [a_wide, b_wide && sharing == 0, y_wide && sharing == 0];
        Form { tile, sharing, from: [a.dtype, b.dtype], a_along, b_along, wide }
    }

    fn run(&self, gpu: &Arc<Gpu>) -> Result<()> {
        if self.columns <= FEW_COLUMNS {
            let sharing = if self.by_a[1] == 1 || self.rows < 64 { 64 } else { 4 };
            return self.run_in(gpu, Tile::dots(WORKGROUP / sharing, sharing), sharing);
        }
        let products = self.products();
        let tile = Tile::choose(gpu, [self.a.dtype, self.b.dtype], self.rows, self.columns, self.steps, products)?;
        self.run_in(gpu, tile, 0)
    }

    fn products(&self) -> usize {
        self.y.shape[..self.rank].iter().product()
    }

    fn run_in(&self, gpu: &Arc<Gpu>, tile: Tile, sharing: usize) -> Result<()> {
        let (products, compute) = (self.products(), sum_dtype(self.y.dtype));
        let mut form = self.form(tile, sharing);
        form.a_along |= sharing == 64;
        let tiles = tile.count(self.rows, self.columns) * products;
        let (splits, per_split) = splits(tiles, self.steps, tile.depth, self.y.numel(), compute);
        let launch = Launch {
            operands: &[self.a, self.b],
            parameters: self.parameters(products, splits, per_split),
            first_group: FIRST_GROUP,
            groups: tiles * splits,
            work: tile.rows * tile.columns * per_split,
        };
        if splits == 1 {
            return self.launch(gpu, &form, launch, self.y);
        }
        let partial = partial_sums(gpu, splits, self.y, compute)?;
        self.launch(gpu, &form, launch, &in_place_of(self.y, &partial, compute))?;
        sum_up(gpu, &partial, splits, compute, self.y)
    }

    fn launch(&self, gpu: &Gpu, form: &Form, launch: Launch, y: &View) -> Result<()> {
        let mut key = form.key(y.dtype);
        key.extend(inline_key(&[self.a, self.b, y]));
        let pipeline = gpu.pipeline(("matmul", key), || form.text(self, y))?;
        launch.run(gpu, &pipeline, y)
    }

    fn parameters(&self, products: usize, splits: usize, per_split: usize) -> Vec<u32> {
        let Product { a, b, y, rank, .. } = *self;
        let mut p: Vec<u32> = Vec::with_capacity(48);
        let mut push = |values: &[usize]| p.extend(values.iter().map(|&v| v as u32));
        push(&[self.rows, self.columns, self.steps, products, a.offset, b.offset]);
        for by in [self.by_a, self.by_b, self.by_y] {
            push(&by);
        }
        push(&[splits, per_split, 0, y.numel(), rank]);
        push(&y.shape[..rank]);
        for v in [a, b, y] {
            push(&v.strides[..rank]);
        }
        p
    }
}

impl Form {
    fn key(&self, to: DType) -> Vec<u32> {
        let flags = [self.a_along, self.b_along, self.wide[0], self.wide[1], self.wide[2]];
        let flags = bits(&flags);
        let dtypes = self.from[0] as u32 | (self.from[1] as u32) << 8 | (to as u32) << 16;
        let mut key = self.tile.key().to_vec();
        key.extend([self.sharing as u32, dtypes, flags]);
        key
    }

    fn text(&self, product: &Product, y: &View) -> (String, Vec<Access>) {
        let Form { tile, sharing, a_along, b_along, wide, .. } = self;
        let compute = sum_dtype(y.dtype);
        let halves = *sharing == 0 && tile.halves();
        let text = with_arithmetic(Text::new(), compute)
            .held("a", product.a, compute, wide[0], halves)
            .held("b", product.b, compute, wide[1], halves)
            .stores("y", y, compute, wide[2])
            .line(&format!("const A_ALONG = {a_along};\nconst B_ALONG = {b_along};"));
        if *sharing > 0 {
            let sizes =
                format!("const ROWS = {}u;\nconst COLUMNS = {FEW_COLUMNS}u;\nconst KL = {sharing}u;", tile.rows);
            return text.line(&sizes).finish(&format!("{MATRIX}{DOT}"));
        }
        tile.finish(text, &format!("{MATRIX}{}", if tile.staged() { STAGED } else { DIRECT }), wide[0])
    }
}

/// Texts for matrix units, which few devices have, for tests.
#[cfg(test)]
pub fn samples_of_matrices() -> Vec<String> {
    let load = |name: &str| format!("fn {name}_load(at: u32, step: u32, count: u32) -> Held {{ return Held(); }}");
    let text = |size: usize, block: usize, along: bool| {
        let text = with_arithmetic(Text::new(), DType::F32)
            .line(&load("a"))
            .line(&load("b"))
            .line("fn y_store(at: u32, step: u32, count: u32, v: V) {}")
            .line(&format!("const A_ALONG = {along};\nconst B_ALONG = {along};"));
        Tile::matrices(size, block, 32, 128).finish(text, &format!("{MATRIX}{STAGED}"), false).0
    };
    let both = |size, block| [text(size, block, false), text(size, block, true)];
    [(8, 2), (8, 4), (16, 2), (16, 4)].iter().flat_map(|&(size, block)| both(size, block)).collect()
}
