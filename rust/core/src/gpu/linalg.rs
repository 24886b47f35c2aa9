//! Decompositions of matrices and triangular systems, float32: a workgroup a matrix, or 16 right-hand sides.

mod factors;

use super::copy;
use super::device::Gpu;
use super::encoder::Dispatch;
use super::memory::{self, Allocation};
use super::pipelines::Access;
use super::rows::{self, Parameters};
use super::text::Text;
use super::view::View;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::op::linalg::Linalg;
use crate::shape::Dims;
use std::sync::Arc;

const HOUSEHOLDER: &str = include_str!("../../../../shaders/householder.wgsl");
const QR: &str = include_str!("../../../../shaders/qr.wgsl");
const SOLVE: &str = include_str!("../../../../shaders/solve_triangular.wgsl");
const SVD: &str = include_str!("../../../../shaders/svd.wgsl");
const SVD_FINISH: &str = include_str!("../../../../shaders/svd_finish.wgsl");

/// Multiplications of one workgroup in one launch.
const LAUNCH: usize = 1 << 25;
/// Rotations converge quadratically; more sweeps than this are never needed in practice.
const SWEEPS: usize = 15;
const SIDES: usize = 16;

pub fn execute(gpu: &Arc<Gpu>, op: Linalg, ins: &[View], outs: &[View]) -> Result<()> {
    match (op, ins, outs) {
        (Linalg::Qr, [a], [r]) => qr(gpu, a, None, r),
        (Linalg::Qr, [a], [q, r]) => qr(gpu, a, Some(q), r),
        (Linalg::Svd, [a], [s]) => svd(gpu, a, s, None),
        (Linalg::Svd, [a], [u, s, v]) => svd(gpu, a, s, Some([u, v])),
        (Linalg::SolveTriangular { upper, left, unit }, [a, b], [x]) => {
            copy::copy(gpu, x, b)?;
            let (a, x) = (Matrices::of(a), Matrices::of(x));
            if left {
                solve(gpu, upper, unit, &a, &x)
            } else {
                solve(gpu, !upper, unit, &a.transposed(), &x.transposed())
            }
        }
        (Linalg::Cholesky { upper }, [a], [l, info]) => factors::cholesky(gpu, upper, a, l, info),
        (Linalg::LuFactor, [a], [lu, pivots, info]) => factors::lu(gpu, a, lu, pivots, info),
        (Linalg::Permutation, [pivots], [order]) => factors::permutation(gpu, pivots, order),
        (Linalg::Qr | Linalg::Svd | Linalg::SolveTriangular { .. } | Linalg::Cholesky { .. }, ..) => {
            Err(Error::Internal(format!("{}: unexpected number of inputs or outputs", op.name())))
        }
        _ => Err(Error::NotImplemented(format!("{}: not available on the GPU", op.name()))),
    }
}

/// A batch of matrices: the last two dims, and their strides.
struct Matrices<'a, 'b> {
    view: &'a View<'b>,
    rows: usize,
    columns: usize,
    row: usize,
    column: usize,
}

impl<'a, 'b> Matrices<'a, 'b> {
    fn of(view: &'a View<'b>) -> Self {
        let rank = view.shape.len() - 2;
        let [rows, columns] = [view.shape[rank], view.shape[rank + 1]];
        Matrices { view, rows, columns, row: view.strides[rank], column: view.strides[rank + 1] }
    }
    fn transposed(self) -> Self {
        Matrices { rows: self.columns, columns: self.rows, row: self.column, column: self.row, ..self }
    }
    fn batch(&self) -> usize {
        self.batch_shape().iter().product()
    }
    fn batch_shape(&self) -> &[usize] {
        &self.view.shape[..self.view.shape.len() - 2]
    }
    /// Points a word of the parameters to the axes of the batch.
    fn point(&self, p: &mut Parameters, slot: usize) {
        p.point(slot, self.view.offset, &rows::axes(self.view, 0..self.view.shape.len() - 2));
    }
    /// A window of the batch with these further dims.
    fn window(
        &self,
        memory: &Allocation,
        tail: &[(usize, usize)],
        pitch: usize,
        f: impl FnOnce(&View) -> Result<()>,
    ) -> Result<()> {
        let batch = Dims::from_slice(self.batch_shape());
        let steps = batch.contiguous_strides();
        let shape: Dims = batch.iter().copied().chain(tail.iter().map(|t| t.0)).collect();
        let strides: Dims = steps.iter().map(|s| s * pitch).chain(tail.iter().map(|t| t.1)).collect();
        f(&View { memory, offset: 0, dtype: DType::F32, shape: &shape, strides: &strides, inline: None })
    }
    /// Every matrix becomes an identity, columns beyond the rows zero.
    fn set_identity(&self, gpu: &Gpu) -> Result<()> {
        let rank = self.view.shape.len() - 2;
        copy::fill(gpu, self.view, 0, DType::F32)?;
        let mut shape = Dims::from_slice(&self.view.shape[..rank]);
        let mut strides = Dims::from_slice(&self.view.strides[..rank]);
        shape.push(self.rows.min(self.columns));
        strides.push(self.row + self.column);
        copy::fill(gpu, &View { shape: &shape, strides: &strides, ..*self.view }, 1f64.to_bits(), DType::F32)
    }
    /// The matrices, column after column, in memory of their own.
    fn work(&self, gpu: &Arc<Gpu>) -> Result<Allocation> {
        let (m, n) = (self.rows, self.columns);
        let work = memory::allocate(gpu, self.batch() * m * n * 4)?;
        let rank = self.view.shape.len() - 2;
        let mut shape = Dims::from_slice(self.view.shape);
        let mut strides = Dims::from_slice(self.view.strides);
        (shape[rank], shape[rank + 1], strides[rank], strides[rank + 1]) = (m, n, self.row, self.column);
        let source = View { shape: &shape, strides: &strides, ..*self.view };
        self.window(&work, &[(m, 1), (n, m)], m * n, |to| copy::copy(gpu, to, &source))?;
        Ok(work)
    }
}

/// The reflections of work matrices (batch × m × n): what they are, and the kernels that use them.
struct Reflections<'a> {
    gpu: &'a Gpu,
    work: &'a Allocation,
    factors: &'a Allocation,
    batch: usize,
    m: usize,
    n: usize,
}

/// The stages of qr.wgsl.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Reflect,
    FormQ,
    WriteR,
    Turn,
}

impl Reflections<'_> {
    fn launch(&self, stage: Stage, range: [usize; 2], y: Option<&Matrices>) -> Result<()> {
        if self.batch == 0 {
            return Ok(());
        }
        let mut words = [self.batch, self.m, self.n, range[0], range[1], 0, 0, 0, 0, 0];
        if let Some(y) = y {
            words[6..].copy_from_slice(&[y.row, y.column, y.rows, y.columns]);
        }
        let mut p = Parameters::new(&words);
        match y {
            Some(y) => y.point(&mut p, 5),
            None => p.point(5, 0, &[]),
        }
        let pipeline =
            self.gpu.pipeline(("linalg_qr", std::iter::once(stage as u32).chain(p.key()).collect()), || {
                let t = Text::new().scratch("work", "f32", Access::Write).scratch("factors", "f32", Access::Write);
                let (t, name) = match stage {
                    Stage::Reflect => (t, "work"),
                    _ => (t.scratch("result", "f32", Access::Write), "result"),
                };
                let constant = format!("const STAGE = {}u;", stage as u32);
                let get = format!("fn fetch(i: u32) -> f32 {{ return {name}[i]; }}");
                let put = format!("fn store(i: u32, v: f32) {{ {name}[i] = v; }}");
                t.line(&constant).line(&p.text()).line(&get).line(&put).finish(&format!("{HOUSEHOLDER}{QR}"))
            })?;
        let mut buffers = vec![self.work, self.factors];
        buffers.extend(y.map(|y| y.view.memory));
        let groups = Gpu::grid(self.batch);
        self.gpu.dispatch(&Dispatch { pipeline: &pipeline, buffers: &buffers, parameters: p.words(), groups })
    }

    /// Ranges of reflections, so that no launch takes long.
    fn ranges(&self) -> Vec<[usize; 2]> {
        let count = self.m.min(self.n);
        let step = (LAUNCH / (2 * self.m * self.n).max(1)).max(1);
        (0..count).step_by(step).map(|first| [first, (first + step).min(count)]).collect()
    }

    fn factorise(&self) -> Result<()> {
        self.ranges().into_iter().try_for_each(|range| self.launch(Stage::Reflect, range, None))
    }

    /// Q, as many columns of it as there is room for.
    fn form(&self, q: &Matrices) -> Result<()> {
        q.set_identity(self.gpu)?;
        self.ranges().into_iter().rev().try_for_each(|range| self.launch(Stage::FormQ, range, Some(q)))
    }
}

fn qr(gpu: &Arc<Gpu>, a: &View, q: Option<&View>, r: &View) -> Result<()> {
    let a = Matrices::of(a);
    let (m, n, batch) = (a.rows, a.columns, a.batch());
    let (work, factors) = (a.work(gpu)?, memory::allocate(gpu, batch * m.min(n) * 4)?);
    let reflections = Reflections { gpu, work: &work, factors: &factors, batch, m, n };
    reflections.factorise()?;
    if let Some(q) = q {
        reflections.form(&Matrices::of(q))?;
    }
    reflections.launch(Stage::WriteR, [0, 0], Some(&Matrices::of(r)))
}

/// X, which holds B, becomes the solution of A·X = B.
fn solve(gpu: &Gpu, upper: bool, unit: bool, a: &Matrices, x: &Matrices) -> Result<()> {
    let (batch, n, sides) = (x.batch(), x.rows, x.columns);
    if batch * n * sides == 0 {
        return Ok(());
    }
    let parameters = |first: usize, end: usize| {
        let mut p = Parameters::new(&[batch, n, sides, first, end, 0, 0, a.row, a.column, x.row, x.column]);
        a.point(&mut p, 5);
        x.point(&mut p, 6);
        p
    };
    let p = parameters(0, 0);
    let key = [upper, unit].map(u32::from).into_iter().chain(p.key()).collect();
    let pipeline = gpu.pipeline(("linalg_solve_triangular", key), || {
        Text::new()
            .line(&p.text())
            .input("a", DType::F32, DType::F32)
            .scratch("x", "f32", Access::Write)
            .line(&format!("const UPPER = {upper};\nconst UNIT = {unit};"))
            .finish(SOLVE)
    })?;
    let step = (LAUNCH / (SIDES * n)).max(1);
    for first in (0..n).step_by(step) {
        let end = (first + step).min(n);
        let p = parameters(first, end);
        let groups = Gpu::grid(batch * sides.div_ceil(SIDES));
        let buffers = [a.view.memory, x.view.memory];
        gpu.dispatch(&Dispatch { pipeline: &pipeline, buffers: &buffers, parameters: p.words(), groups })?;
    }
    Ok(())
}

/// S, and U and Vᵀ if wanted. Of a wide matrix, the transpose is decomposed. Rotations make W = A·V of orthogonal columns; the
/// QR decomposition of W sorted by its norms gives U up to signs, and completes it where columns are zero or more are wanted.
fn svd(gpu: &Arc<Gpu>, a: &View, s: &View, vectors: Option<[&View; 2]>) -> Result<()> {
    let a = Matrices::of(a);
    let wide = a.rows < a.columns;
    let a = if wide { a.transposed() } else { a };
    let (m, n, batch) = (a.rows, a.columns, a.batch());
    let pitch = if vectors.is_some() { n * n } else { 1 };
    let (work, v) = (a.work(gpu)?, memory::allocate(gpu, batch * pitch * 4)?);
    if vectors.is_some() {
        a.window(&v, &[(n, 1), (n, n)], n * n, |to| Matrices::of(to).set_identity(gpu))?;
    }
    sweeps(gpu, &a, vectors.is_some(), [&work, &v])?;
    let (norms, sorted) = (memory::allocate(gpu, batch * n * 4)?, memory::allocate(gpu, batch * m * n * 4)?);
    // The results that the rotations and the reflections become, as matrices of columns.
    let sides = vectors.map(|[u, vt]| {
        let (u, v) = (Matrices::of(u), Matrices::of(vt).transposed());
        if wide { (v, u) } else { (u, v) }
    });
    finish(gpu, &a, s, sides.as_ref().map(|s| &s.1), [&work, &norms, &sorted, &v])?;
    let Some((u, _)) = sides else { return Ok(()) };
    let factors = memory::allocate(gpu, batch * n * 4)?;
    let reflections = Reflections { gpu, work: &sorted, factors: &factors, batch, m, n };
    reflections.factorise()?;
    reflections.form(&u)?;
    reflections.launch(Stage::Turn, [0, 0], Some(&u))
}

fn sweeps(gpu: &Arc<Gpu>, a: &Matrices, vectors: bool, [work, v]: [&Allocation; 2]) -> Result<()> {
    let (m, n, batch) = (a.rows, a.columns, a.batch());
    if batch == 0 || n < 2 {
        return Ok(());
    }
    let state = memory::allocate(gpu, batch * 8)?;
    let all = View { memory: &state, offset: 0, dtype: DType::I32, shape: &[2 * batch], strides: &[1], inline: None };
    copy::fill(gpu, &all, 1, DType::I32)?;
    let pipeline = gpu.pipeline(("linalg_svd", vec![u32::from(vectors)]), || {
        Text::new()
            .scratch("work", "f32", Access::Write)
            .scratch("v", "f32", Access::Write)
            .scratch("state", "u32", Access::Write)
            .line(&format!("const VECTORS = {vectors};"))
            .finish(SVD)
    })?;
    let rounds = n + (n & 1) - 1;
    let step = (LAUNCH / (4 * m * n)).max(1);
    for _ in 0..SWEEPS {
        for first in (0..rounds).step_by(step) {
            let p = Parameters::new(&[batch, m, n, first, (first + step).min(rounds)]);
            let (buffers, groups) = ([work, v, &state], Gpu::grid(batch));
            gpu.dispatch(&Dispatch { pipeline: &pipeline, buffers: &buffers, parameters: p.words(), groups })?;
        }
    }
    Ok(())
}

/// Writes the singular values in order, and W and V with their columns in that order.
fn finish(
    gpu: &Gpu,
    a: &Matrices,
    s: &View,
    v_result: Option<&Matrices>,
    [work, norms, sorted, v]: [&Allocation; 4],
) -> Result<()> {
    if a.batch() * a.columns == 0 {
        return Ok(());
    }
    let rank = s.shape.len() - 1;
    let mut p = Parameters::new(&[a.batch(), a.rows, a.columns, 0, s.strides[rank], 0, 0, 0]);
    p.point(3, s.offset, &rows::axes(s, 0..rank));
    match v_result {
        Some(v) => {
            v.point(&mut p, 5);
            p.set(6, v.row);
            p.set(7, v.column);
        }
        None => p.point(5, 0, &[]),
    }
    let vectors = v_result.is_some();
    let pipeline = gpu.pipeline(("linalg_svd_finish", std::iter::once(u32::from(vectors)).chain(p.key()).collect()), || {
        let t = Text::new()
            .scratch("work", "f32", Access::Read)
            .scratch("norms", "f32", Access::Write)
            .output("s", DType::F32, DType::F32)
            .line(&format!("const VECTORS = {vectors};\n{}", p.text()));
        let t = if vectors {
            t.input("v", DType::F32, DType::F32)
                .output("sorted", DType::F32, DType::F32)
                .output("out", DType::F32, DType::F32)
        } else {
            t.line("fn v_at(i: u32) -> f32 { return 0.0; }\nfn sorted_put(i: u32, v: f32) {}\nfn out_put(i: u32, v: f32) {}")
        };
        t.finish(SVD_FINISH)
    })?;
    let mut buffers = vec![work, norms, s.memory];
    if let Some(result) = v_result {
        buffers.extend([v, sorted, result.view.memory]);
    }
    let groups = Gpu::grid(a.batch());
    gpu.dispatch(&Dispatch { pipeline: &pipeline, buffers: &buffers, parameters: p.words(), groups })
}
